"""From a picture and names to a map that shows itself."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import probe
from probe import images, models
from probe.attribution import METHODS, Saliencies, Saliency, explain, gradients, saliency
from probe.cli import complete
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.plots.maps import STYLES
from probe.targets import Class, Function, Target

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

SIZE = 48


class Small(nn.Module):
    """Convolutions, ReLUs in place, pooling, five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = torch.relu_(self.second(x))
        return self.last(self.pool(x).flatten(1))


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Small()
    module.train()
    return Network.from_module(module, preprocessing=Preprocessing("resize", (SIZE, SIZE)))


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.chelsea()).resize((90, 60))


FAST = {"rise": {"masks": 40}, "smoothgrad": {"samples": 3}, "vargrad": {"samples": 3}}
ALL = [m.name for m in METHODS.values() if m.kind != "tokens"]


@pytest.mark.parametrize("name", ALL)
def test_every_method_gives_a_map_and_leaves_everything_as_it_was(
    network: Network, picture: Image.Image, name: str
) -> None:
    module = network.module
    before = copy.deepcopy(module.state_dict())
    state = torch.get_rng_state()
    layer = "second" if METHODS[name].needs_layer else None
    found = saliency(picture, network, name, 2, layer=layer, progress=False, **FAST.get(name, {}))
    assert isinstance(found, Saliency)
    assert found.values.dtype == np.float32
    expected = (20, 20) if METHODS[name].kind == "layer" else (3, SIZE, SIZE)
    assert found.values.shape == expected
    assert found.map.shape == (60, 90)
    assert found.map.any()
    if not METHODS[name].signed:
        assert found.values.min() >= 0
    assert (found.target, found.layer, found.model) == ("class 2", layer or "", "Small")
    assert json.loads(json.dumps(found.about))["method"] == name
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training and not m._forward_hooks for m in module.modules())
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_the_same_again_and_the_predicted_class(network: Network, picture: Image.Image) -> None:
    one, other = (saliency(picture, network, "smoothgrad", samples=4) for _ in range(2))
    np.testing.assert_array_equal(one.values, other.values)
    with torch.no_grad():
        scores = network.module.eval()(network.preprocessing(picture)[None])
    network.module.train()
    assert one.target == f"class {int(scores.argmax())}"
    assert one.value == pytest.approx(float(scores.max()), rel=1e-5)


def test_a_target_of_ones_own(network: Network, picture: Image.Image) -> None:
    target = Function(lambda out: out[:, 1] - out[:, 2], name="difference")
    ours = saliency(picture, network, "gradient", target)
    parts = [saliency(picture, network, "gradient", Class(k)).values for k in (1, 2)]
    np.testing.assert_allclose(ours.values, parts[0] - parts[1], atol=1e-6)
    assert ours.title == "gradient of Small: difference"


def test_several_make_a_contact_sheet(
    network: Network, picture: Image.Image, tmp_path: Path
) -> None:
    found = saliency(
        picture, network, ["gradient", "grad-cam"], 0, layer=["first", "second"], progress=False
    )
    assert isinstance(found, Saliencies)
    assert [(m.method.name, m.layer) for m in found] == [
        ("gradient", ""), ("grad-cam", "first"), ("grad-cam", "second"),
    ]  # fmt: skip
    path = found.save(tmp_path / "deep" / "sheet.png")
    assert [m["method"] for m in images.about(path)["maps"]] == ["gradient", "grad-cam", "grad-cam"]
    with np.load(found.save(tmp_path / "values.npz")) as arrays:
        np.testing.assert_array_equal(arrays["grad-cam-second"], found[2].values)
    assert "<img" in found._repr_html_()


@pytest.mark.parametrize("style", ["overlay", "side", "map", "contours"])
def test_a_file_says_how_it_was_made(
    network: Network, picture: Image.Image, tmp_path: Path, style: str
) -> None:
    found = saliency(picture, network, "integrated-gradients", 1, steps=5)
    path = found.save(tmp_path / "map.png", style)  # type: ignore[arg-type]
    about = images.about(path)
    assert (about["method"], about["settings"], about["target"]) == (
        "integrated-gradients", {"steps": 5}, "class 1",
    )  # fmt: skip
    assert about["weights_sha256"] == network.weights.sha256
    with Image.open(path) as made:
        assert made.size == (90, 60) or style != "overlay"
    assert list(tmp_path.iterdir()) == [path]
    values = np.load(found.save(tmp_path / "map.npy"))
    np.testing.assert_array_equal(values, found.values)


def test_a_crop_lies_over_what_the_network_saw(picture: Image.Image) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    crop = Preprocessing("torchvision", 40, (32, 32))
    found = saliency(picture, Network.from_module(module, preprocessing=crop), "gradient", 0)
    assert found.picture.size == (32, 32)
    expected = crop._cropped(crop._resized(picture))
    np.testing.assert_allclose(np.asarray(found.picture), np.asarray(expected), atol=1)


def _saved(picture: Image.Image, kind: str, mode: str) -> bytes:
    out = io.BytesIO()
    picture.convert(mode).save(out, kind)
    return out.getvalue()


class TestPictures:
    @pytest.mark.parametrize(
        ("kind", "mode"),
        [("png", "L"), ("jpeg", "CMYK"), ("png", "RGBA"), ("png", "P"), ("png", "I;16"),
         ("png", "1"), ("tiff", "CMYK")],
    )  # fmt: skip
    def test_of_many_kinds(
        self, network: Network, picture: Image.Image, kind: str, mode: str
    ) -> None:
        source = picture.convert("L") if mode == "I;16" else picture
        found = saliency(_saved(source, kind, mode), network, "gradient", 0)
        assert found.map.shape == (60, 90)
        assert np.isfinite(found.values).all()

    def test_of_one_pixel(self, network: Network) -> None:
        found = saliency(np.zeros((1, 1, 3), dtype=np.uint8), network, "gradient", 0)
        assert found.map.shape == (1, 1)
        assert found.overlay().size == (1, 1)

    def test_turned_by_exif(self, network: Network, picture: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        out = io.BytesIO()
        picture.rotate(90, expand=True).save(out, "png", exif=exif)
        turned = saliency(out.getvalue(), network, "gradient", 0)
        plain = saliency(picture, network, "gradient", 0)
        np.testing.assert_allclose(turned.values, plain.values, atol=1e-6)

    def test_broken(self, network: Network, picture: Image.Image, tmp_path: Path) -> None:
        content = _saved(picture, "jpeg", "RGB")
        (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
        (tmp_path / "text.png").write_text("no picture")
        for name in ("half.jpg", "text.png"):
            with pytest.raises(ProbeError, match=rf"^image '.*{name}' cannot be read \([^\n]+\)$"):
                saliency(tmp_path / name, network, "gradient", 0)
        with pytest.raises(ProbeError, match="does not exist"):
            saliency(tmp_path / "none.png", network, "gradient", 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"method": "grad-cams"},
            "method 'grad-cams': expected a name of `probe saliency --methods`; did you mean "
            "'grad-cam'",
        ),
        ({"method": "gradient", "steps": 3}, "gradient has no setting 'steps'; it has: batch_size"),
        ({"method": "gradient", "target": 5}, "class 5 does not exist: the network has 5"),
        ({"method": "gradient", "target": "cat"}, "names of its classes are not known"),
        ({"method": "gradient", "target": "second:9"}, "channel 9 does not exist: layer 'second'"),
        ({"method": "grad-cam", "layer": "third"}, "has no layer 'third'"),
        ({"method": "grad-cam", "layer": "last", "target": 0}, "last"),
        ({"method": "grad-cam", "layer": "second", "target": "first:1"}, "does not depend on it"),
        ({"method": "attention-rollout"}, "attention"),
        ({"method": "gradient", "device": "cuda:77"}, "device 'cuda:77' is not on this machine"),
        ({"method": ""}, "method '': expected a name"),
    ],
)
def test_bad_input_ends_in_one_line(
    network: Network, picture: Image.Image, given: dict, message: str
) -> None:
    with pytest.raises(ProbeError, match=message) as error:
        saliency(picture, network, **given)
    assert "\n" not in str(error.value)


def test_what_overflows_is_told(picture: Image.Image) -> None:
    class Overflows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(1e4 * x.mean((2, 3)).abs() + 100)

    network = Network.from_module(Overflows())
    with pytest.raises(ProbeError, match="not finite"):
        saliency(picture, network, "gradient", 0)


def test_memory_that_is_short_halves_the_batch(
    network: Network, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = saliency(picture, network, "smoothgrad", 0, samples=8)
    seen: list[int] = []
    module = copy.deepcopy(network.module)
    forward = module.forward

    def short(x: Tensor) -> Tensor:
        seen.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return forward(x)

    module.forward = short  # type: ignore[method-assign]
    small = Network.from_module(module, preprocessing=network.preprocessing)
    found = saliency(picture, small, "smoothgrad", 0, samples=8, batch_size=8)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6)
    assert max(seen) == 8
    assert min(seen) <= 2


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("alexnet", "features.11"), ("vgg16", "features.29"), ("squeezenet1_1", "features.12"),
        ("resnet18", "layer4.1"),
        pytest.param("googlenet", "inception5b", marks=pytest.mark.slow),
        ("vit_b_16", "encoder.layers.encoder_layer_10"),
    ],
)  # fmt: skip
def test_the_layer_of_cams_is_the_last_with_positions(name: str, layer: str) -> None:
    network = Network(
        nn.Identity(), name, models.network.WeightsInfo("random", "", ""),
        Preprocessing("resize", (224, 224)), architecture=name,
    )  # fmt: skip
    assert explain.default_layers(None, network) == [layer]


def test_names_are_completed_and_documented() -> None:
    assert tuple(METHODS) == complete.SALIENCY_METHODS
    assert complete.SALIENCY_STYLES == STYLES
    for method in METHODS.values():
        assert method.about
        assert (method.function.__doc__ or "").strip()


def test_the_check_of_a_map(network: Network, picture: Image.Image, tmp_path: Path) -> None:
    found = probe.saliency(picture, network, "integrated-gradients", 0)
    trust = found.check(progress=False)
    rows = trust.table.set_index("check")
    assert list(rows.index) == [
        "deletion", "insertion", "infidelity", "sensitivity", "completeness", "randomisation",
    ]  # fmt: skip
    assert rows.loc["completeness", "value"] < 0.01
    assert 0 <= rows.loc["infidelity", "value"] <= 1
    assert trust.randomised["mode"].nunique() == 2
    about = images.about(trust.save(tmp_path / "check.png"))
    assert about["deletion"] == pytest.approx(trust.deletion.scores[0].tolist())
    again = found.check(progress=False)
    assert again.table.equals(trust.table)


def test_checks_take_as_many_steps_as_the_map_chose(
    network: Network, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noisy copies, and networks of random weights, each as many: none doubles by itself."""
    monkeypatch.setattr(gradients, "PATH_STEPS", (2, 4, 8))
    monkeypatch.setattr(gradients, "COMPLETENESS_TOLERANCE", 0.0)  # never reached
    found = saliency(picture, network, "integrated-gradients", 2, progress=False)
    assert found.given["steps"] == 8
    assert "steps" not in found.about["settings"]
    asked: list[int] = []
    rule = gradients.path_rule
    monkeypatch.setattr(gradients, "path_rule", lambda n: (asked.append(n), rule(n))[1])
    checked = found.check(progress=False)
    assert set(asked) == {8}
    fixed = saliency(picture, network, "integrated-gradients", 2, steps=8, progress=False)
    assert fixed.given["steps"] == 8
    np.testing.assert_array_equal(fixed.values, found.values)
    assert checked.table.equals(fixed.check(progress=False).table)


def test_a_title_of_ones_own(network: Network, picture: Image.Image) -> None:
    found = saliency(picture, network, "gradient", 2, progress=False)
    assert " ".join(found.plot().get_title(loc="left").split()) == found.title
    assert found.plot(title="").get_title(loc="left") == ""
    assert found.plot("contours", title="where").get_title(loc="left") == "where"
    assert found.plot("side", title="").get_suptitle() == ""


def test_the_check_makes_the_map_no_second_time(network: Network, picture: Image.Image) -> None:
    found = probe.saliency(picture, network, "gradient", 0)
    calls: list[tuple[nn.Module, Tensor]] = []

    def noted(module: nn.Module, images: Tensor, target: Target, **given: Any) -> Tensor:
        calls.append((module, images))
        return found.method.function(module, images, target, **given)

    counted = replace(found, method=replace(found.method, function=noted))
    assert counted.check(progress=False).table.equals(found.check(progress=False).table)
    assert len(calls) == 5 + 2 * 3  # noises; layers, with those behind them and alone
    for module, seen in calls:
        assert module is not network.module or not torch.equal(seen, found.inputs)


@pytest.mark.parametrize(
    ("method", "bar"),
    [("rise", "RISE: "), pytest.param("occlusion", "occlusion: ", marks=pytest.mark.slow)],
)
def test_a_long_map_has_a_bar_and_no_bar_has_one_within(
    network: Network,
    picture: Image.Image,
    method: str,
    bar: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told() -> str:
        return capsys.readouterr().err

    given = {"masks": 40} if method == "rise" else {}
    quiet = probe.saliency(picture, network, method, 0, progress=False, **given)
    assert told() == ""
    found = probe.saliency(picture, network, method, 0, progress=True, **given)
    assert np.array_equal(found.values, quiet.values)
    assert found.about == quiet.about
    assert bar in (text := told())
    assert "saliency" not in text
    probe.saliency(picture, network, [method, "gradient"], 0, progress=True, **given)
    assert "saliency: " in (text := told())
    assert bar not in text
    found.check(progress=True)
    text = told()
    assert "sensitivity: " in text
    assert "randomisation: " in text
    assert bar not in text
    found.check(progress=False)
    assert told() == ""


def test_sites_and_neurons_have_a_default_of_their_own(
    network: Network, picture: Image.Image
) -> None:
    class OfItsNetwork(Function):
        def home(self) -> Network:
            return network

    def first(outputs: Tensor) -> Tensor:
        return outputs[:, 0]

    found = saliency(picture, network, target=OfItsNetwork(first))
    assert isinstance(found, Saliency)
    assert (found.method.name, found.about["method"]) == ("integrated-gradients",) * 2
    assert found.values.shape == (3, SIZE, SIZE)
    found = saliency(picture, network, target=Function(first))
    assert isinstance(found, Saliency)
    assert found.method.name == "grad-cam"
    for model, target, method in (
        (None, "site:v4:12", "integrated-gradients"),
        ("alexnet", "site:v4:all - site:v4:1", "integrated-gradients"),
        ("v4-compact:201025-12", None, "integrated-gradients"),
        ("alexnet", "tabby", "grad-cam"),
        ("timm:vit_tiny_patch16_224", None, "grad-cam"),
    ):
        assert explain.default_method(model, target) == method


def test_the_check_starts_where_the_map_did(network: Network, picture: Image.Image) -> None:
    """Of a map made from the blurred picture, it is that from which the target changes."""
    found = probe.saliency(picture, network, "deeplift", 0, baseline="blurred")
    rows = found.check(progress=False).table.set_index("check")
    assert rows.loc["completeness", "value"] < 1e-4
    other = probe.saliency(picture, network, "deeplift", 0)
    assert other.check(progress=False).table.set_index("check").loc["completeness", "value"] < 1e-4
    assert not np.allclose(found.values, other.values)
    assert found.about["settings"] == {"baseline": "blurred"}
