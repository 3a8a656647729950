"""However a state dict is wrapped, it is the same network, or refused: never other weights."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from examples import costly
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from probe import models
from probe.errors import ProbeError
from probe.models.architectures import blueprint, build
from probe.models.layer_table import layers
from probe.models.missing import MissingLayer
from probe.models.weights import state_sha256
from probe.models.wrappings import fit_weights

State = dict[str, Tensor]
NAME = "squeezenet1_1"


def seeded(seed: int, name: str = NAME, **options: Any) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(name, **options).state_dict()


BASE, OTHER = seeded(0), seeded(1)
INPUT = torch.linspace(-1, 1, 3 * 40 * 40).reshape(1, 3, 40, 40)


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def answer(state: State) -> Tensor:
    module = build(NAME)
    module.load_state_dict(state)
    with torch.inference_mode():
        return module(INPUT)


BASE_ANSWER = answer(BASE)


def save(content: Any, folder: Path, name: str = NAME) -> Path:
    torch.save(content, folder / f"{name}.pth")
    return folder / f"{name}.pth"


# What each of the usual tools does to a state dict.
keys = st.sampled_from(
    ["state_dict", "model", "model_state_dict", "net", "network", "weights", "params", "ema"]
)
prefixes = st.sampled_from(
    ["model.", "net.", "module.", "_orig_mod.", "backbone.", "encoder_q.", "visual.", "a.b."]
)
steps = st.one_of(
    keys.map(lambda key: ("nest", key)),
    prefixes.map(lambda prefix: ("prefix", prefix)),
    st.sampled_from(
        [("inside", "module."), ("ordered", ""), ("numpy", ""), ("beside", "tensor"),
         ("beside", "plain"), ("beside", "optimiser"), ("within", "tensor")]
    ),
)  # fmt: skip


def wrapped(state: State, recipe: list[tuple[str, str]]) -> Any:
    """Apply steps to the names first, and to what they lie in after that."""
    content: Any = dict(state)
    for step, word in recipe:
        if step == "prefix":
            content = under(word, content)
        elif step == "inside":
            content = {k.replace("features.", f"features.{word}"): v for k, v in content.items()}
        elif step == "numpy":
            content = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in content.items()}
        elif step == "ordered":
            content = OrderedDict(content)
    if any(step == "prefix" for step, _ in recipe) and ("within", "tensor") in recipe:
        content["criterion.weight"] = torch.ones(7)
    for step, word in recipe:
        if step == "nest":
            content = {word: content}
    nested = any(step == "nest" for step, _ in recipe)
    for word in [word for step, word in recipe if step == "beside" and nested]:
        content |= {
            "tensor": {"mean": torch.ones(3)},
            "plain": {"epoch": 3, "best": np.float64(2), "args": argparse.Namespace(lr=1)},
            "optimiser": {"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
        }[word]
    return content


@costly(15, full=40)
@given(st.lists(steps, max_size=5))
def test_a_wrapped_network_is_the_same_network(recipe: list[tuple[str, str]]) -> None:
    fit = fit_weights(wrapped(BASE, recipe), NAME, "they")
    assert state_sha256(fit.module.state_dict()) == state_sha256(BASE)
    with torch.inference_mode():
        assert torch.equal(fit.module.eval()(INPUT), BASE_ANSWER)
    assert not fit.lacking
    changes = {step for step, _ in recipe} & {"nest", "prefix", "inside"}
    assert bool(fit.said) == bool(changes)
    assert "\n" not in fit.said


@costly(12, full=30)
@given(st.lists(steps, max_size=4), st.sampled_from(sorted(BASE)), st.integers(0, 3))
def test_what_is_not_all_of_a_network_is_refused(
    recipe: list[tuple[str, str]], name: str, fault: int
) -> None:
    state = dict(BASE)
    value = state.pop(name)
    if fault == 1:
        state[f"{name}s"] = value
    elif fault == 2:
        state[name] = torch.zeros(value.shape[0], 1, 7, 7)
    elif fault == 3:
        state |= {name: value, "features.99.weight": value}
    with pytest.raises(ProbeError, match=r"they do not fit the architecture|hold .* sets") as error:
        fit_weights(wrapped(state, recipe), NAME, "they")
    assert "\n" not in str(error.value)


@costly(5, full=12)
@given(
    st.lists(steps, max_size=3),
    st.lists(steps, max_size=3),
    st.sampled_from([("student", "teacher"), ("encoder", "momentum_encoder"), ("G", "D")]),
)
def test_two_networks_are_refused_until_one_is_named(
    one: list[tuple[str, str]], two: list[tuple[str, str]], names: tuple[str, str]
) -> None:
    # An average is told by its name, and is another matter.
    one, two = ([step for step in recipe if step[1] != "ema"] for recipe in (one, two))
    content = {names[0]: wrapped(BASE, one), names[1]: wrapped(OTHER, two)}
    with pytest.raises(ProbeError, match="they hold 2 sets of weights that fit") as error:
        fit_weights(content, NAME, "they")
    assert all(name in str(error.value) for name in names)
    for name, state in zip(names, (BASE, OTHER), strict=True):
        fit = fit_weights(content, NAME, "they", name)
        assert state_sha256(fit.module.state_dict()) == state_sha256(state)
    with pytest.raises(ProbeError, match=r"they have no part 'techer'"):
        fit_weights(content, NAME, "they", "techer")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (under("model.module.", BASE), "without 'model.module.'"),
        ({"state_dict": under("model.", BASE)}, "under 'state_dict', without 'model.'"),
        ({"state_dict": under("net.", BASE) | {"loss.weight": torch.ones(3)}}, "without 'net.'"),
        ({"a": {"b": BASE}}, "under 'a.b'"),
        ([BASE, {"lr": 0.1}], "under '0'"),
        (under("visual.", BASE) | {"logit_scale": torch.ones(())}, "without 'visual.'"),
        (
            {"state_dict": BASE, "state_dict_ema": OTHER},
            "under 'state_dict', not their moving average under 'state_dict_ema' "
            "(FILE#state_dict_ema takes it)",
        ),
        (
            {"model": BASE, "model_ema": under("module.", OTHER) | {"n_averaged": torch.ones(())}},
            "under 'model', not their moving average under 'model_ema.module' "
            "(FILE#model_ema.module takes it)",
        ),
        (BASE | under("ema.", OTHER), "not their moving average under 'ema' (FILE#ema takes it)"),
        # The same weights twice are no question.
        ({"model": under("model.", BASE) | under("attacker.model.", BASE)}, "without 'model.'"),
    ],
)
def test_says_what_it_took(content: Any, said: str) -> None:
    fit = fit_weights(content, NAME, "they")
    assert fit.said.startswith("took the weights ")
    assert fit.said.endswith(said)
    assert state_sha256(fit.module.state_dict()) == state_sha256(BASE)


class TestLoad:
    def test_an_average_by_its_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = save({"state_dict": BASE, "state_dict_ema": OTHER}, tmp_path)
        plain = models.load(f"file:{path}")
        assert plain.weights.sha256 == state_sha256(BASE)
        assert "not their moving average under 'state_dict_ema'" in plain.weights.source
        assert plain.weights.source in plain.provenance()["weights"]
        assert capsys.readouterr().err.count("\n") == 1
        for network in (
            models.load(f"file:{path}#state_dict_ema"),
            models.load(NAME, f"{path}#state_dict_ema"),
        ):
            assert network.weights.sha256 == state_sha256(OTHER)
            assert "under 'state_dict_ema'" in network.weights.source
        capsys.readouterr()
        models.load(NAME, path, progress=False)
        assert capsys.readouterr().err == ""

    def test_a_file_whose_name_has_a_sign_in_it(self, tmp_path: Path) -> None:
        path = save(BASE, tmp_path, f"{NAME}#2")
        assert models.load(NAME, path).weights.sha256 == state_sha256(BASE)

    def test_a_network_without_its_classifier(self, tmp_path: Path) -> None:
        body = {k: v for k, v in seeded(0, "resnet18").items() if not k.startswith("fc.")}
        heads = {"fc.0.weight": torch.ones(512, 512), "fc.2.weight": torch.ones(128, 512)}
        for content in (body, under("module.encoder_q.", body | heads) | {"queue": torch.ones(3)}):
            network = models.load("resnet18", save({"state_dict": content}, tmp_path))
            assert list(network.missing) == ["fc"]
            assert "the file has none for 'fc'" in network.weights.source
            assert network.architecture == "resnet18"
            assert [i.name for i in layers(network) if i.missing] == ["fc"]
            with pytest.raises(ProbeError, match=r"'fc' has no weights, as .* holds none that fit"):
                models.resolve("fc", network)
            with pytest.raises(MissingLayer, match="'fc' has no weights"):
                network.module(torch.zeros(1, 3, 64, 64))
        # A part of the body is no classifier.
        del body["layer4.1.bn2.bias"]
        with pytest.raises(ProbeError, match=r"Missing key 'layer4\.1\.bn2\.bias'"):
            models.load("resnet18", save(body, tmp_path))

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_precisions_become_float32(self, tmp_path: Path, kind: torch.dtype) -> None:
        path = save({"model": {k: v.to(kind) for k, v in BASE.items()}}, tmp_path)
        module = models.load(NAME, path).module
        assert {p.dtype for p in module.parameters()} == {torch.float32}
        for name, value in module.state_dict().items():
            assert torch.equal(value, BASE[name].to(kind).float())

    def test_other_layouts_become_ordinary(self, tmp_path: Path) -> None:
        state = {k: v.numpy().astype(">f8") for k, v in BASE.items()}
        state["classifier.1.bias"] = BASE["classifier.1.bias"].to_sparse()
        network = models.load(NAME, save(state, tmp_path))
        assert network.weights.sha256 == state_sha256(BASE)
        with torch.inference_mode():
            assert torch.equal(network.module(INPUT), BASE_ANSWER)

    def test_batches_that_were_not_counted(self, tmp_path: Path) -> None:
        state = seeded(0, "resnet18")
        expected = {k: v.clone() for k, v in state.items()}
        for name in [k for k in state if k.endswith("num_batches_tracked")]:
            del state[name]  # the dictionary says of itself that it is of today's torch
        module = models.load("resnet18", save(state, tmp_path)).module
        assert all(torch.equal(v, expected[k]) for k, v in module.state_dict().items())

    def test_weights_that_share_memory(self, tmp_path: Path) -> None:
        state = dict(BASE)
        state["features.4.expand1x1.weight"] = torch.zeros(64, 16, 1, 1)
        state["features.3.expand1x1.weight"] = state["features.4.expand1x1.weight"]
        network = models.load(NAME, save(state, tmp_path))
        assert network.weights.sha256 == state_sha256(state)

    def test_names_and_versions_of_older_torchvisions(self, tmp_path: Path) -> None:
        state = {k: torch.rand(v.shape) for k, v in blueprint("vit_b_32").state_dict().items()}
        expected = state_sha256(state)
        old = {
            name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
            for name, value in state.items()
        }
        fit = fit_weights({"model": under("module.", old)}, "vit_b_32", "they")
        assert state_sha256(fit.module.state_dict()) == expected
        state = dict(seeded(0, "mnasnet0_5"))  # which refuses a file without versions
        network = models.load("mnasnet0_5", save({"model": state}, tmp_path))
        assert network.weights.sha256 == state_sha256(state)

    def test_a_timm_network_that_computes_something_while_it_is_built(self, tmp_path: Path) -> None:
        timm = pytest.importorskip("timm")
        name = "levit_128s"
        with torch.random.fork_rng(devices=[]):
            module = timm.create_model(name).eval()
        content = {"state_dict": under("model.module.", module.state_dict())}
        before = torch.get_rng_state()
        network = models.load(f"timm:{name}", save(content, tmp_path))
        assert torch.equal(torch.get_rng_state(), before)
        x = torch.linspace(-1, 1, 3 * 224 * 224).reshape(1, 3, 224, 224)
        with torch.inference_mode():
            assert torch.equal(network.module(x), module(x))

    def test_torchvisions_own_file_brings_its_own_preprocessing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import hashlib

        weights = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2
        path = save(seeded(0, "mobilenet_v2"), tmp_path, "mine")
        assert (
            models.load("mobilenet_v2", path, preprocessing="torchvision").preprocessing.resize
            == 256
        )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        url = f"https://127.0.0.1/mobilenet_v2-{digest[:8]}.pth"
        monkeypatch.setattr(weights.value, "url", url)
        network = models.load("mobilenet_v2", path, preprocessing="torchvision")
        assert network.preprocessing.resize == 232


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (seeded(0, "squeezenet1_0"), r"size mismatch for 'features\.0\.weight': 96×3×7×7, not"),
            ({"state_dict": {"x.conv.weight": torch.ones(3)}}, "none of their names, such as 'x"),
            ([torch.ones(3)] * 4, r"no state dict .* but a list of 4 without names \(Tensor\)"),
            ({"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}, "of an optimiser"),
            ({"epoch": 3, "acc": 1.0}, "but a dictionary of 'epoch', 'acc'"),
            (torch.ones(3), "but one Tensor"),
            (
                BASE | {"classifier.1.weight": torch.quantize_per_tensor(
                    BASE["classifier.1.weight"], 0.1, 0, torch.qint8)},
                r"'classifier\.1\.weight' is qint8, and the network computes in float32",
            ),
            (BASE | {"features.0.total_ops": torch.zeros(1)}, "Unexpected key 'features.0.total"),
            (under("a.", BASE) | under("b.", OTHER), "2 sets of weights that fit: 'a', 'b'; name"),
            (BASE | under("module.", OTHER), "2 sets of weights that fit: the outermost, 'module'"),
            (BASE | under("twin.", OTHER), "2 sets of weights that fit: the outermost, 'twin'"),
            ({k: v.to("meta") for k, v in BASE.items()}, "is left without a value"),
            (BASE | {"classifier.1.bias": torch.zeros(6)}, "'classifier.1.weight': 1000.*, not 6"),
        ],
    )  # fmt: skip
    def test_by_what_it_holds(self, tmp_path: Path, content: Any, message: str) -> None:
        with pytest.raises(ProbeError, match=message) as error:
            models.load(NAME, save(content, tmp_path))
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600

    @pytest.mark.parametrize("nested", [False, True])
    def test_a_pickled_module(self, tmp_path: Path, nested: bool) -> None:
        module = torchvision.models.squeezenet1_1()
        path = save({"model": module, "epoch": 3} if nested else module, tmp_path)
        with pytest.raises(
            ProbeError,
            match=r"pickled module, torchvision\.models\.squeezenet\.SqueezeNet, .*state_dict\(\)",
        ):
            models.load(NAME, path)

    def test_says_how_near_it_is(self) -> None:
        state = BASE | {"features.3.squeeze.bias": torch.ones(17)}
        with pytest.raises(
            ProbeError,
            match=r"size mismatch for 'features\.3\.squeeze\.bias': 17, not 16 \(51 of its 52 "
            r"names and shapes are there, under 'model', without 'net\.'\)",
        ):
            fit_weights({"model": under("net.", state), "other": {"x": torch.ones(1)}}, NAME, "it")
