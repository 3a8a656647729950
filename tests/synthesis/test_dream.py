"""Dreams: what is kept of the photograph, what repeats, what goes on, what is refused."""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import probe
from probe import images, models
from probe.assets import cache_dir
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.synthesis import presets
from probe.synthesis.deepdream import (
    balance_terms,
    blend,
    dream_detail,
    normalise_bands,
    octave_sizes,
    resize,
    subtract_slow_changes,
)
from probe.synthesis.dream import Dream, dream, prepare
from probe.synthesis.objectives import Guided
from probe.synthesis.presets import LOOKS
from probe.synthesis.run import Run, Stopped
from probe.synthesis.scenery import landscape
from probe.synthesis.settings import MIN_OCTAVE_SIDE_PX, PRESETS, PRESETS_OF, DreamSettings
from probe.synthesis.tiles import in_tiles
from probe.targets import Channel, Norm, Sum

CPU = torch.device("cpu")


class Small(nn.Module):
    """Two convolutions and a ReLU in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.relu(self.first(x)))


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = Small()
    module.train()
    return Network.from_module(module, preprocessing=Preprocessing("resize", (64, 64)))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.asarray(Image.fromarray(data.chelsea()).resize((120, 80)))


@pytest.fixture(autouse=True)
def _cache_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def small_dream(network: Network, photo: np.ndarray) -> Callable[..., Dream]:
    def made(image: Any = photo, **given: Any) -> Dream:
        settings = {"layers": None if "target" in given else "second", "steps": 3, "octaves": 2}
        settings |= {"precision": "float32", "progress": False} | given
        return dream(image, network, **settings)  # type: ignore[arg-type]

    return made


def chroma(pixels: np.ndarray) -> np.ndarray:
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    return pixels - luma[..., None]


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()


def test_a_dream_says_how_it_was_made(
    small_dream: Callable[..., Dream], tmp_path: Path, photo: np.ndarray
) -> None:
    made = small_dream(laplacian=True, colour=0.5)
    assert made.pixels.shape == (80, 120, 3)
    assert made.pixels.dtype == np.float32
    assert (made.pixels * 255 - photo).__abs__().mean() > 1
    assert made.picture.size == (120, 80)
    assert repr(made) == "<Dream Small dreams of second, 120×80>"
    assert "<img" in made._repr_html_()
    about = images.about(made.save(tmp_path / "out.png"))
    assert about == images.about(tmp_path / "out.png.json")
    assert (about["made"], about["model"]) == ("dream", "Small")
    assert {**about["settings"], "threads": 0} == {
        "model": "Small", "weights": "imagenet", "layers": "second", "target": None, "guide": None,
        "guide_sha256": None, "mask": None, "mask_sha256": None, "size": None, "octaves": 2,
        "scale": 1.4, "steps": 3, "strength": 1.5, "colour": 0.5, "laplacian": True, "tile": None,
        "precision": "float32", "threads": 0,
    }  # fmt: skip


def test_same_seed_same_bytes_and_nothing_is_changed(
    small_dream: Callable[..., Dream], network: Network
) -> None:
    state, random, numbers = (
        copy.deepcopy(network.module.state_dict()),
        torch.get_rng_state(),
        np.random.get_state()[1],  # noqa: NPY002
    )
    threads = torch.get_num_threads()
    first, second, other = small_dream(), small_dream(), small_dream(seed=1)
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert first.pixels.tobytes() != other.pixels.tobytes()
    with pytest.raises(ProbeError, match="channel 9"):
        small_dream(target="second:9")
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert torch.get_num_threads() == threads
    module = network.module
    assert module.training
    assert module.relu.inplace
    for name, parameter in module.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad
        assert torch.equal(parameter, state[name])
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.parametrize("at", [0, 2, 3, 7])
def test_a_dream_that_was_stopped_goes_on_to_the_same_bytes(
    network: Network, photo: np.ndarray, at: int
) -> None:
    plan = prepare(
        photo,
        DreamSettings(model=network, layers="second", steps=4, octaves=2, precision="float32"),
    )
    stop, seen = threading.Event(), []

    def preview(picture: np.ndarray) -> None:
        seen.append(picture)
        if len(seen) == at:
            stop.set()

    def run(**given: Any) -> Tensor:
        run = Run(CPU, progress=False, **given)
        return dream_detail(plan.pixels, network, plan.target, plan.settings, run)

    whole = run()
    if at == 0:
        stop.set()
    assert plan.store is not None
    with pytest.raises(Stopped):
        run(stop=stop, store=plan.store, preview=preview, preview_every=1)
    kept = plan.store.load()
    assert kept is not None
    assert kept["octave"] == at // 4
    assert torch.equal(run(state=kept), whole)
    assert np.array_equal(plan.run(progress=False).pixels[None],
                          blend(plan.pixels, whole).permute(0, 2, 3, 1).numpy())  # fmt: skip
    assert plan.store.load() is None


def test_a_target_that_has_but_a_name_begins_anew(
    small_dream: Callable[..., Dream],
) -> None:
    def stop(_picture: np.ndarray) -> None:
        signal.raise_signal(signal.SIGINT)

    before = set(cache_dir().rglob("*.pt"))
    with pytest.raises(KeyboardInterrupt):
        small_dream(target=Channel("second", 1), preview=stop, preview_every=1)
    assert set(cache_dir().rglob("*.pt")) == before
    with pytest.raises(KeyboardInterrupt):
        small_dream(target="second:1", preview=stop, preview_every=1)
    (kept,) = set(cache_dir().rglob("*.pt")) - before
    kept.unlink()


def test_detail_that_was_carried_is_added_to(network: Network, photo: np.ndarray) -> None:
    """Of a picture to which nothing is added, all of what was carried stays."""
    plan = prepare(
        photo,
        DreamSettings(model=network, layers="second", steps=2, octaves=3, precision="float32"),
    )
    carried = subtract_slow_changes(
        0.02 * torch.randn(plan.pixels.shape, generator=torch.Generator())
    )
    still = replace(plan.settings, strength=1e-6)
    run = Run(CPU, progress=False)
    same = dream_detail(plan.pixels, network, plan.target, still, run, detail=carried)
    inside = (plan.pixels + carried).clamp(0, 1) - plan.pixels
    # What changes slowly is taken out again at every octave.
    assert (same - inside).abs().mean() < 0.1 * inside.abs().mean()
    other = dream_detail(plan.pixels, network, plan.target, plan.settings, run, detail=carried)
    alone = dream_detail(plan.pixels, network, plan.target, plan.settings, run)
    assert not torch.allclose(other, alone, atol=1e-3)


def test_outside_of_a_mask_the_picture_stays(
    small_dream: Callable[..., Dream], photo: np.ndarray
) -> None:
    mask = np.zeros((160, 240), np.uint8)
    mask[:, 120:] = 255
    mask[:, 100:120] = np.linspace(0, 255, 20)
    made = small_dream(mask=mask, steps=8, strength=4)
    moved = np.abs(made.pixels - photo / 255).max(2)
    assert moved[:, :48].max() < 1 / 255
    assert moved[:, 64:].mean() > 8 / 255
    # As strong inside as without a mask.
    free = np.abs(small_dream(steps=8, strength=4).pixels - photo / 255).max(2)
    assert moved[:, 64:].mean() == pytest.approx(free[:, 64:].mean(), rel=0.25)


def test_without_colour_the_chroma_is_the_photographs(
    small_dream: Callable[..., Dream], photo: np.ndarray
) -> None:
    made = small_dream(colour=0.0, steps=8, strength=6)
    assert np.abs(chroma(made.pixels) - chroma(photo / np.float32(255))).max() < 2 / 255
    assert np.abs(made.pixels - photo / 255).mean() > 4 / 255


@given(colour=st.floats(0, 1), seed=st.integers(0, 99))
def test_chroma_moves_in_proportion_to_the_colour(colour: float, seed: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    pixels = torch.rand(1, 3, 6, 7, generator=drawn)
    detail = torch.randn(1, 3, 6, 7, generator=drawn)
    photo, full, made = (
        chroma(x[0].permute(1, 2, 0).numpy())
        for x in (pixels, blend(pixels, detail), blend(pixels, detail, colour=colour))
    )
    assert np.abs(made - ((1 - colour) * photo + colour * full)).max() < 1e-5
    assert blend(pixels, detail, colour=colour).min() >= 0
    assert blend(pixels, detail, colour=colour).max() <= 1


def test_nothing_darkens(small_dream: Callable[..., Dream]) -> None:
    """Mean brightness stays to 1 %, of every quarter to 2 %; without levelling, it does not."""
    picture = landscape(96, 144)
    grey = np.array([0.299, 0.587, 0.114], np.float32)
    made = small_dream(picture, steps=20, strength=3).pixels @ grey
    given = picture / np.float32(255) @ grey
    assert abs(made.mean() - given.mean()) < 0.01
    for rows in (slice(48), slice(48, None)):
        for columns in (slice(72), slice(72, None)):
            assert abs(made[rows, columns].mean() - given[rows, columns].mean()) < 0.02


def test_levelled_details_change_nothing_over_large_areas() -> None:
    rows = torch.linspace(-1, 1, 64)[:, None].expand(64, 96)
    waves = torch.cos(torch.arange(96) * torch.pi / 2).expand(64, 96)
    detail = torch.stack([rows + waves, waves, waves + 3])[None]
    made = subtract_slow_changes(detail.clone())[..., 8:-8, 8:-8]
    expected = waves.expand(1, 3, 64, 96)[..., 8:-8, 8:-8]
    torch.testing.assert_close(made, expected, atol=0.02, rtol=0)


def test_a_guide_is_followed_by_its_nearest_features(
    network: Network, photo: np.ndarray, small_dream: Callable[..., Dream]
) -> None:
    drawn = torch.Generator().manual_seed(2)
    guide, seen = torch.randn(9, 8, generator=drawn), torch.randn(1, 8, 5, 4, generator=drawn)
    expected = np.mean(
        [max(float(g @ seen[0, :, y, x]) for g in guide) for y in range(5) for x in range(4)]
    )
    value = Guided("second", guide)({"second": seen})
    assert float(value) == pytest.approx(expected, rel=1e-5)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    guided = small_dream(guide=noise)
    assert not np.array_equal(guided.pixels, small_dream().pixels)
    assert guided.about["settings"]["guide"] == "image"
    # More like the guide than it was, and more so than what follows another one.
    target = prepare(photo, DreamSettings(model=network, layers="second", guide=noise)).target

    def likeness(pixels: np.ndarray) -> float:
        ask = in_tiles(network, target, precision="float32")
        return float(ask(tensor(pixels), 0)[0])

    other = small_dream(guide=np.full((64, 64, 3), 90, np.uint8)).pixels
    assert likeness(guided.pixels) > max(likeness(photo / 255), likeness(other))


def test_several_terms_are_weighed_alike(network: Network, photo: np.ndarray) -> None:
    pixels = tensor(photo / 255)
    target = balance_terms(
        network, Sum(((2.0, Norm("first")), (-1.0, Channel("second", 3)))), pixels
    )
    assert isinstance(target, Sum)
    sizes = [
        float((in_tiles(network, weight * term, precision="float32")(pixels, 0)[1]).abs().mean())
        for weight, term in target.terms
    ]
    assert sizes[0] / sizes[1] == pytest.approx(2, rel=0.05)
    assert target.terms[1][0] < 0


@given(height=st.integers(8, 50), width=st.integers(8, 50), scale=st.floats(0.01, 100))
def test_bands_of_a_gradient_do_not_depend_on_its_size(
    height: int, width: int, scale: float
) -> None:
    slope = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))
    one, other = normalise_bands(slope.clone()), normalise_bands(scale * slope)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_bands_bring_up_what_is_coarse() -> None:
    rows = torch.arange(64)[:, None]
    coarse = torch.sin(2 * torch.pi * rows / 32).expand(1, 3, 64, 64)
    fine = torch.where((rows + torch.arange(64)) % 2 == 0, 1.0, -1.0).expand(1, 3, 64, 64)
    made = normalise_bands(0.01 * coarse + fine)
    share = (made * coarse).mean() / coarse.square().mean()
    assert share / ((made * fine).mean() / fine.square().mean()) > 0.5


@given(
    sides=st.tuples(st.integers(32, 9000), st.integers(32, 9000)),
    scale=st.floats(1.05, 3),
    octaves=st.one_of(st.none(), st.integers(1, 12)),
)
def test_octaves_grow_to_the_picture(
    sides: tuple[int, int], scale: float, octaves: int | None
) -> None:
    found = octave_sizes(sides, DreamSettings(scale=scale, octaves=octaves))
    assert found[-1] == sides
    assert len(found) <= (octaves or 100)
    for smaller, larger in pairwise(found):
        assert min(smaller) >= MIN_OCTAVE_SIDE_PX
        assert larger[0] / smaller[0] == pytest.approx(scale, rel=0.05)


def test_transparency_and_depth_come_back(
    small_dream: Callable[..., Dream], photo: np.ndarray, tmp_path: Path
) -> None:
    alpha = np.linspace(0, 255, 80 * 120).reshape(80, 120).astype(np.uint8)
    made = small_dream(np.dstack([photo, alpha]), size=60)
    assert made.pixels.shape == (40, 60, 3)
    assert made.picture.mode == "RGBA"
    with pytest.raises(ProbeError, match="transparency"):
        made.save(tmp_path / "out.jpg")


def test_tiles_give_the_same_dream(network: Network, photo: np.ndarray) -> None:
    """To the errors of rounding, which steps of a fixed size enlarge."""
    given: dict[str, Any] = {"steps": 2, "octaves": 2, "precision": "float32", "size": 300}
    whole, tiled = (
        prepare(photo, DreamSettings(model=network, layers="second", tile=tile, **given))
        .run(progress=False)
        .pixels
        for tile in (4096, 64)
    )
    assert np.abs(whole - tiled).max() < 0.1 / 255


@pytest.mark.parametrize("name", LOOKS)
def test_the_looks_name_layers_and_channels_that_exist(name: str) -> None:
    assert set(LOOKS[name]) <= set(PRESETS)
    assert tuple(LOOKS[name]) == PRESETS_OF[name]
    for look in LOOKS[name].values():
        if look.target is None:
            (resolved_layer,) = models.resolve([look.layers], name)
            assert resolved_layer == look.layers
        else:
            assert look.layers is None
            sizes = {info.name: info.n_channels for info in models.layers(name)}
            for channel in look.target.split(" + "):
                layer, number = channel.split(":")
                assert int(number) < sizes[layer]


class TestALookOfChannels:
    """A preset that has a target in place of layers."""

    look = DreamSettings(target="second:1 + second:2", scale=2.0, steps=2, strength=1.0, colour=1.0)

    @pytest.fixture
    def dreamt(
        self, network: Network, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., dict[str, Any]]:
        monkeypatch.setattr(presets, "look_of", lambda *_: self.look)
        return lambda **options: prepare(photo, DreamSettings(model=network, **options)).about[
            "settings"
        ]

    def test_is_dreamt_where_nothing_is_named(self, dreamt: Callable[..., Any]) -> None:
        assert (dreamt()["target"], dreamt()["layers"]) == ("second:1 + second:2", None)

    def test_gives_way_to_what_is_named(self, dreamt: Callable[..., Any]) -> None:
        assert dreamt(target="second:0")["target"] == "second:0"
        assert (dreamt(layers="first")["target"], dreamt(layers="first")["layers"]) == (
            None, "first",
        )  # fmt: skip

    def test_a_guide_is_followed_in_a_layer(
        self, dreamt: Callable[..., Any], photo: np.ndarray
    ) -> None:
        followed = dreamt(guide=photo[::-1].copy())
        assert (followed["target"], followed["layers"]) == (None, "second")


def test_networks_without_a_look_have_a_layer(network: Network, photo: np.ndarray) -> None:
    assert prepare(photo, DreamSettings(model=network)).about["settings"]["layers"] == "second"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": "thirdd"}, "no layer 'thirdd'"),
        ({"layers": "first", "target": "second:2"}, "layers cannot be combined with a target"),
        ({"target": "second:2", "guide": "x.png"}, "a guide cannot be combined with a target"),
        ({"layers": " , "}, "no layer is named"),
        ({"layers": 0}, "layers 0: expected the name of a layer"),
        ({"image": "nowhere.jpg"}, "'nowhere.jpg' does not exist"),
        ({"guide": "nowhere.jpg"}, "'nowhere.jpg' does not exist"),
        ({"mask": np.full((80, 80), 255, np.uint8)}, "80 × 80 pixels, and the picture 120 × 80"),
        ({"mask": np.zeros((80, 120), np.uint8)}, "is black"),
        ({"steps": 0}, "steps 0: expected a number ≥ 1"),
        ({"octaves": 0}, "octaves 0: expected a number ≥ 1"),
        ({"scale": 1.0}, r"scale 1\.0: expected a number from 1 \(not included\) to 4"),
        ({"strength": 0.0}, "strength 0.0: expected a number from 0"),
        ({"colour": 1.5}, "colour 1.5: expected a number from 0 to 1"),
        ({"tile": 5}, "tile 5: expected a number of pixels ≥ 64"),
        ({"size": 3}, "size 3: expected a number of pixels from 32 to 20000"),
        ({"image": np.zeros((20, 90, 3), np.uint8)}, "90 × 20 pixels; at least 32"),
        ({"preset": "houses"}, "preset 'houses': expected one of"),
        ({"preset": "subtle"}, "only vgg16, .* have presets"),
        ({"precision": "float16"}, "precision 'float16': expected one of auto, float32, bfloat16"),
        ({"target": "second:2,1,1"}, "is a unit at one position"),
        ({"target": "second:2 - second:2"}, "does not react"),
    ],
)
def test_what_makes_no_sense_is_refused(
    small_dream: Callable[..., Dream], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProbeError, match=message) as told:
        small_dream(**given)
    assert "\n" not in str(told.value)


class Fixed(nn.Module):
    """A convolution that goes with a picture of any size, and a sum that goes with 64 × 48."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        self.readout = nn.Linear(4 * 8 * 6, 2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            for part in (self.conv, self.readout):
                nn.init.normal_(part.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(torch.relu(self.conv(x)).flatten(1))


@pytest.fixture(scope="module")
def fixed() -> Network:
    return Network.from_module(Fixed(), preprocessing=Preprocessing("resize", (64, 48)))


@pytest.mark.parametrize("given", [{"target": 1}, {"target": "1 - 0.5*0"}, {"layers": "conv"}])
def test_what_exists_for_one_size_alone_is_dreamt_in_pieces_of_it(
    fixed: Network, photo: np.ndarray, given: dict[str, Any]
) -> None:
    settings = {"steps": 4, "octaves": 4, "precision": "float32", "progress": False} | given
    made = dream(photo, fixed, **settings)
    assert made.picture.size == (120, 80)
    # Of 120 × 80, 86 × 57, 61 × 41 and 44 × 29, only the first holds a piece.
    assert made.about["settings"]["octaves"] == 1
    if given == {"target": 1}:
        assert made.about["settings"]["target"] == "class 1"

        def answer(picture: np.ndarray) -> Tensor:
            values = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
            pieces = torch.cat([values[..., y : y + 64, x : x + 48]
                                for y in range(0, 17, 3) for x in range(0, 73, 5)])  # fmt: skip
            with torch.no_grad():
                return fixed.module(fixed.preprocessing.normalise(pieces))[:, 1]

        # Of pieces cut out in steps, of which a random network asks for different things.
        assert answer(np.asarray(made.picture)).max() > answer(photo).max() + 0.05


def test_a_picture_that_is_smaller_than_the_one_size_is_refused(
    fixed: Network, photo: np.ndarray
) -> None:
    with pytest.raises(ProbeError, match="60 × 40 pixels, and 'class 1' of Fixed exists for 48 × "):
        prepare(photo, DreamSettings(model=fixed, target=1, size=60))
    with pytest.raises(
        ProbeError, match="tile 64: expected none, since 'class 1' exists only for 48×64 pixels"
    ):
        dream(photo, fixed, target=1, tile=64, progress=False)


@pytest.fixture(scope="module")
def pooling() -> Network:
    """A network whose last layers take no picture that is smaller than 56 × 56."""
    module = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.AvgPool2d(7, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for part in (module[0], module[2]):
            nn.init.normal_(part.weight, std=0.1)
    return Network.from_module(module, preprocessing=Preprocessing("resize", (112, 112)))


def test_an_octave_that_is_too_small_for_a_layer_is_refused(
    pooling: Network, photo: np.ndarray
) -> None:
    settings = DreamSettings(model=pooling, layers="3", octaves=3, scale=1.4)
    with pytest.raises(ProbeError) as told:
        prepare(photo, settings)
    assert str(told.value) == (
        "the smallest of 3 octaves has 61 × 41 pixels, and '3' of Sequential needs at least 56 "
        "along each side: choose --size 165 or more, or --octaves 2"
    )
    assert prepare(photo, replace(settings, size=165)).settings.octaves == 3
    assert prepare(photo, replace(settings, octaves=2)).settings.octaves == 2
    with pytest.raises(ProbeError, match="needs at least 56"):
        prepare(photo, replace(settings, size=162))


def test_a_picture_that_is_too_small_for_a_layer_is_refused(
    pooling: Network, photo: np.ndarray
) -> None:
    settings = DreamSettings(model=pooling, layers="3", size=60)
    with pytest.raises(ProbeError, match=r"^the picture has 60 × 40 .* --size 84 or more$"):
        prepare(photo, settings)
    assert prepare(photo, replace(settings, size=84)).settings.octaves == 1


def test_default_octaves_are_large_enough_for_the_layer(
    pooling: Network, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probe.synthesis.deepdream.FIRST_OCTAVE_SIDE_PX", 36)
    numbers = [
        prepare(photo, DreamSettings(model=pooling, layers=layer)).settings.octaves
        for layer in ("2", "3")
    ]
    assert numbers == [3, 2]  # 57 × 86 is enough for both, 41 × 61 for the first


def test_octaves_are_no_smaller_than_the_one_size() -> None:
    look = DreamSettings(octaves=4, scale=2.0)
    assert octave_sizes((300, 400), look, (112, 112)) == [(150, 200), (300, 400)]
    assert octave_sizes((300, 400), look, (112, 250)) == [(300, 400)]
    assert octave_sizes((300, 400), look) == [(38, 50), (75, 100), (150, 200), (300, 400)]


def test_resizing_leaves_a_picture_of_that_size_alone() -> None:
    picture = torch.rand(1, 3, 9, 8, generator=torch.Generator())
    assert resize(picture, (9, 8)) is picture


def test_probe_has_it() -> None:
    assert probe.dream is dream
