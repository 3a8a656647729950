"""Captum's objects as methods, and targets as forward functions for Captum."""

from __future__ import annotations

import copy
import functools
import random
import warnings
from collections.abc import Callable
from typing import Any

import captum.attr as attr
import numpy as np
import pytest
import torch
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, nn

import probe
from probe import targets
from probe.attribution import as_saliency, methods
from probe.attribution.captum_methods import attribute
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.targets import Channel, Class, Function

SIZE = 24
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


class Small(nn.Module):
    """ReLUs in place, modules and a function; with ``flat``, a module that LRP has no rule for."""

    def __init__(self, *, inplace: bool = True, flat: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2)
        self.relu = nn.ReLU(inplace=inplace)
        self.second = nn.Conv2d(6, 8, 3)
        self.relu2 = nn.ReLU(inplace=inplace)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten() if flat else None
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu2(self.second(self.relu(self.first(x)))))
        return self.last(self.flatten(x) if self.flatten is not None else x.flatten(1))


def described(module: nn.Module) -> Network:
    return Network.from_module(module, preprocessing=Preprocessing("resize", (SIZE, SIZE)))


@pytest.fixture
def module() -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Small()
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.3)
    return module.eval()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def state_of(module: nn.Module) -> list[Any]:
    """Return all that a user could find changed."""
    parts = [
        (name, sorted(vars(part)), part.training, dict(part._forward_hooks),
         dict(part._forward_pre_hooks), dict(part._backward_hooks))
        for name, part in module.named_modules()
    ]  # fmt: skip
    tensors = [
        (p.data_ptr(), p.requires_grad, p.grad, p.detach().clone().numpy().tobytes())
        for p in module.parameters()
    ]
    return [parts, tensors, torch.get_rng_state().tolist(), random.getstate(),
            np.random.get_state()[1].tolist()]  # fmt: skip  # noqa: NPY002


def quietly(function: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function()


PIXELS = {
    attr.Saliency: {},
    attr.InputXGradient: {},
    attr.IntegratedGradients: {"n_steps": 12},
    attr.DeepLift: {},
    attr.LRP: {},
    attr.GuidedBackprop: {},
    attr.Deconvolution: {},
    attr.Occlusion: {"sliding_window_shapes": (3, 8, 8), "strides": (3, 8, 8)},
    attr.FeatureAblation: {"feature_mask": (torch.arange(SIZE) // 8).expand(1, 1, SIZE, SIZE)},
}


@pytest.mark.parametrize("kind", PIXELS, ids=lambda kind: kind.__name__)
def test_maps_are_captums_own(kind: Any, module: Small, picture: np.ndarray) -> None:
    network = described(module)
    inputs = targets.forward_function(network, 2).inputs(picture)
    settings = PIXELS[kind]
    direct = quietly(
        lambda: kind(copy.deepcopy(module)).attribute(inputs.clone(), target=2, **settings)
    )
    for source in (kind, kind(module), lambda f: kind(f)):
        before = state_of(module)
        result = probe.saliency(picture, network, source, 2, **settings)
        assert state_of(module) == before
        scale = float(direct.detach().abs().max())
        np.testing.assert_allclose(result.values, direct[0].detach(), atol=2e-5 * scale)
    assert result.about["captum"]


@pytest.mark.parametrize(
    "kind",
    [attr.LayerGradCam, attr.LayerConductance, attr.InternalInfluence, attr.LayerDeepLift,
     attr.LayerGradientXActivation, attr.LayerIntegratedGradients, attr.LayerActivation],
)  # fmt: skip
def test_of_a_layer_it_is_what_the_module_returned(
    kind: Any, module: Small, picture: np.ndarray
) -> None:
    """ReLUs work in place on it: the same numbers as where they do not."""
    network = described(module)
    inputs = targets.forward_function(network, 2).inputs(picture)
    apart = Small(inplace=False)
    apart.load_state_dict(module.state_dict())
    of = {} if kind is attr.LayerActivation else {"target": 2}
    direct = quietly(lambda: kind(apart.eval(), apart.first).attribute(inputs.clone(), **of))
    expected = direct[0].sum(0).detach()
    if kind is attr.LayerIntegratedGradients:  # fails by itself where a ReLU works in place
        copied = copy.deepcopy(module)
        with pytest.raises(RuntimeError, match="in-place"):
            kind(copied, copied.first).attribute(inputs.clone(), **of)
    for source, layer in (
        (kind, "first"),
        (functools.partial(kind, layer=module.first), None),
        (lambda f: kind(f, f.network.first), None),
        (kind(module, module.first), None),
    ):
        before = state_of(module)
        result = probe.saliency(picture, network, source, 2, layer=layer)
        assert state_of(module) == before
        assert (result.layer, result.method.kind) == ("first", "layer")
        atol = 1e-5 * float(expected.abs().max())
        np.testing.assert_allclose(result.values, expected, atol=atol)


def test_targets_at_inner_layers_are_explained(module: Small, picture: np.ndarray) -> None:
    network = described(module)
    inputs = targets.forward_function(network, "second:3").inputs(picture)
    result = probe.saliency(
        picture, network, attr.IntegratedGradients, "second:3 - 2*first:1", n_steps=8
    )

    def by_hand(x: Tensor) -> Tensor:
        first = module.first(x)
        second = module.second(first.relu())
        return second[:, 3].mean((1, 2)) - 2 * first[:, 1].mean((1, 2))

    direct = attr.IntegratedGradients(by_hand).attribute(inputs, n_steps=8)
    np.testing.assert_allclose(result.values, direct[0].detach(), rtol=1e-4, atol=1e-6)
    assert result.target == "second:3 - 2*first:1"


def test_a_tunnel_draws_the_same_with_a_seed(module: Small, picture: np.ndarray) -> None:
    network = described(module)

    def run(seed: int) -> Any:
        return probe.saliency(
            picture, network, lambda f: attr.NoiseTunnel(attr.Saliency(f)), 1, seed=seed,
            nt_samples=4, stdevs=0.2, abs=False,
        )  # fmt: skip

    torch.manual_seed(8)
    before = state_of(module)
    one, again, other = run(0), run(0), run(1)
    assert state_of(module) == before
    assert one.values.tobytes() == again.values.tobytes() != other.values.tobytes()
    assert one.method.name == "NoiseTunnel of Saliency"
    assert one.method.slope
    assert one.method.signed
    torch.manual_seed(0)
    inputs = targets.forward_function(network, 1).inputs(picture)
    direct = attr.NoiseTunnel(attr.Saliency(module)).attribute(
        inputs, target=1, nt_samples=4, stdevs=0.2, abs=False
    )
    np.testing.assert_allclose(one.values, direct[0].detach(), rtol=1e-3, atol=1e-6)


def test_several_methods_make_a_sheet(module: Small, picture: np.ndarray) -> None:
    sheet = probe.saliency(
        picture, described(module), ["gradient", attr.Saliency, attr.Saliency(module)], 1
    )
    assert [one.method.name for one in sheet] == ["gradient", "Saliency", "Saliency #2"]
    np.testing.assert_allclose(sheet[1].values, np.abs(sheet[0].values), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("own_layer", [False, True])
def test_checks_take_them(own_layer: bool, module: Small, picture: np.ndarray) -> None:
    """The randomisation test makes maps of a copy, whose layers are others."""
    network = described(module)
    source = functools.partial(attr.LayerGradCam, layer=module.second)
    kind: Any = source if own_layer else attr.DeepLift(module)
    before = state_of(module)
    trust = probe.saliency(picture, network, kind, 1).check()
    assert state_of(module) == before
    table = trust.table.set_index("check")["value"]
    assert table["randomisation"] < 0.999
    if not own_layer:
        assert table["completeness"] < 1e-4


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_network_is_as_it_was_where_captum_fails(picture: np.ndarray) -> None:
    module = Small(flat=True).eval()
    module.first.rule = EpsilonRule()  # a user's own
    with pytest.raises(TypeError):
        attr.LRP(copied := copy.deepcopy(module)).attribute(torch.zeros(1, 3, SIZE, SIZE), target=0)
    assert hasattr(copied.relu, "rule")  # what Captum leaves behind
    before = state_of(module)
    with pytest.raises(ProbeError, match=r"Captum's LRP fails: Module of type .*Flatten"):
        probe.saliency(picture, described(module), attr.LRP, 1)
    assert state_of(module) == before


def test_a_network_is_as_it_was_where_the_target_fails(module: Small) -> None:
    calls = []

    def failing(output: Tensor) -> Tensor:
        calls.append(None)
        if len(calls) > 1:
            raise ValueError("no more")
        return output[:, 0]

    before = state_of(module)
    with pytest.raises(ProbeError, match="Captum's GuidedBackprop fails: no more"):
        attribute(
            attr.GuidedBackprop, module, torch.ones(1, 3, SIZE, SIZE), Function(failing),
            batch_size=2, seed=0, progress=False, settings={},
        )  # fmt: skip
    assert state_of(module) == before


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (lambda m: attr.DeepLift(Small()), {}, "DeepLift was built for another network"),
        (lambda m: attr.IntegratedGradients(lambda x: x), {}, "for the function <lambda>"),
        (lambda m: attr.NeuronGradient, {}, "target 'LAYER:CHANNEL,Y,X'"),
        (lambda m: attr.FeaturePermutation, {}, "a map is of one picture"),
        (lambda m: attr.GradientShap, {}, "GradientShap needs baselines"),
        (lambda m: attr.IntegratedGradients, {"steps": 3}, "has no setting 'steps'; it has: "),
        (lambda m: attr.LimeBase, {}, "cannot be built of a forward function"),
        (lambda m: lambda f: 3, {}, "returns int: expected one of Captum's objects"),
        (lambda m: functools.partial(attr.LayerGradCam, layer=nn.ReLU()), {}, "another network"),
        (lambda m: 7, {}, "method 7: expected a name"),
        (lambda m: dict, {}, "expected a name"),
        (lambda m: attr.LayerGradCam, {"layer": "last"}, "no positions"),
    ],
)
def test_refusals_are_one_line(
    source: Any, settings: dict[str, Any], message: str, module: Small, picture: np.ndarray
) -> None:
    method, before = source(module), state_of(module)
    with pytest.raises(ProbeError, match=message) as error:
        probe.saliency(picture, described(module), method, 1, **settings)
    assert "\n" not in str(error.value)
    assert state_of(module) == before


def test_a_layer_behind_the_target_is_refused(module: Small, picture: np.ndarray) -> None:
    with pytest.raises(ProbeError, match="may end before its layer"):
        probe.saliency(picture, described(module), attr.LayerGradCam, "first:1", layer="second")


# --- from here to Captum -------------------------------------------------------------------------


def test_a_target_is_a_forward_function(module: Small, picture: np.ndarray) -> None:
    network = described(module)
    forward = targets.forward_function(network, "second:3 + class:1")
    inputs = forward.inputs(picture, picture)
    assert inputs.shape == (2, 3, SIZE, SIZE)
    expected = module(inputs)[:, 1] + module.second(module.first(inputs).relu())[:, 3].mean((1, 2))
    torch.testing.assert_close(forward(inputs).detach(), expected.detach())
    with torch.no_grad():
        assert not forward(inputs).requires_grad
    values = attr.DeepLift(forward).attribute(inputs[:1].clone())
    ours = probe.saliency(picture, network, attr.DeepLift, "second:3 + class:1")
    shown = as_saliency(values, forward, picture, name="DeepLift")
    np.testing.assert_allclose(shown.values, ours.values, rtol=1e-4, atol=1e-6)
    assert (shown.target, shown.model, shown.value) == (ours.target, ours.model, ours.value)
    assert shown.plot("side") is not None
    with pytest.raises(ProbeError, match=r"give the method to probe\.saliency"):
        shown.check()
    with pytest.raises(ProbeError, match="values of shape"):
        as_saliency(np.full((3, 5), np.nan), forward, picture)
    layer = attr.LayerConductance(forward, forward.network.first).attribute(inputs[:1], n_steps=4)
    shown = as_saliency(layer, forward, picture, layer="first")
    assert shown.map.shape == (SIZE, SIZE)
    assert not module.first._forward_hooks


def test_an_object_of_a_forward_function_is_of_its_target(
    module: Small, picture: np.ndarray
) -> None:
    network = described(module)
    made = attr.Saliency(targets.forward_function(network, "second:3"))
    assert probe.saliency(picture, network, made, "second:3").target == "second:3"
    with pytest.raises(ProbeError, match="was built for target 'second:3', and 'second:1' is"):
        probe.saliency(picture, network, made, "second:1")


# --- segments ------------------------------------------------------------------------------------


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.randn((3, SIZE, SIZE), generator=torch.Generator().manual_seed(4))

    def forward(self, x: Tensor) -> Tensor:
        return ((self.weight * x).sum((1, 2, 3)) + 0.7)[:, None]


@pytest.mark.parametrize(
    ("name", "tolerance", "settings"),
    [("feature-ablation", 1e-4, {}), ("shapley", 1e-4, {"samples": 2}),
     ("kernel-shap", 2e-2, {"samples": 60}), ("lime", 0.1, {"samples": 200})],
)  # fmt: skip
def test_segments_of_a_linear_target_have_their_share(
    name: str, tolerance: float, settings: dict[str, Any]
) -> None:
    module, method = Linear(), methods.find(name)
    images = torch.randn((2, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(5))
    maps = method.function(
        module, images, Class(0), segments=3, baseline=0.2, progress=False, **settings
    )
    cells = (3, 3, SIZE // 3, 3, SIZE // 3)
    shares = (module.weight * (images - 0.2)).reshape(2, *cells).sum((1, 3, 5))
    found = maps.reshape(2, *cells).sum((1, 3, 5))
    torch.testing.assert_close(found, shares, rtol=0, atol=tolerance * float(shares.abs().max()))
    assert maps.shape == images.shape
    assert (maps[:, 0] == maps[:, 2]).all()


def test_segments_may_be_given(module: Small) -> None:
    images = torch.randn((1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(5))
    own = np.zeros((SIZE, SIZE), int)
    own[5:9, 4:20], own[12:] = 40, 7
    find = methods.find("feature-ablation").function
    maps = find(module, images, Channel("second", 2), segments=own, progress=False)
    whole = targets.values(module, images, Channel("second", 2))
    covered = images.clone()
    covered[:, :, 5:9, 4:20] = 0
    fall = whole - targets.values(module, covered, Channel("second", 2))
    torch.testing.assert_close(maps[:, :, 5:9, 4:20].sum((1, 2, 3)), fall)
    for wrong in (0, SIZE + 1, own[:5], own / 2):
        with pytest.raises(ProbeError, match="segments"):
            find(module, images, Channel("second", 2), segments=wrong)
    with pytest.raises(ProbeError, match="more than the 49 segments"):
        methods.find("lime").function(module, images, Channel("second", 2), samples=49)


def test_segments_draw_the_same_whatever_the_batch(module: Small) -> None:
    images = torch.randn((1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(5))
    for name in ("shapley", "kernel-shap", "lime"):
        find = functools.partial(
            methods.find(name).function, module, images, Class(1), segments=2, samples=9,
            progress=False,
        )  # fmt: skip
        before = state_of(module)
        one, other = find(seed=1, batch_size=1), find(seed=1, batch_size=7)
        assert state_of(module) == before
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
        assert torch.equal(one, find(seed=1, batch_size=1))
