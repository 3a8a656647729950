from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from probe import models
from probe.activations.relus import Rectified, Rule
from probe.attribution.gradients import gradient
from probe.attribution.rectifiers import deconvnet, guided_backprop
from probe.errors import ProbeError
from probe.targets import Class

RULES: dict[Rule, Callable[..., Tensor]] = {"guided": guided_backprop, "deconvnet": deconvnet}
NETWORKS = (
    "resnet18", "squeezenet1_1", "mobilenet_v2",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("googlenet", "vgg11", "densenet121")),
)  # fmt: skip
INDEX = 3  # of a class whose gradient is not nothing in any of them, untrained


def random_images(n: int = 2, size: int = 64) -> Tensor:
    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(2))


class Guided(torch.autograd.Function):
    """The reference's ReLU: keeps its input, always makes a new tensor."""

    @staticmethod
    def forward(ctx, x: Tensor, top: float) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.top = top
        return torch.where(x > 0, torch.where(x < top, x, top), 0.0)

    @staticmethod
    def backward(ctx, g: Tensor):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return g * (x > 0) * (x < ctx.top) * (g > 0), None


class Deconvolved(Guided):
    @staticmethod
    def backward(ctx, g: Tensor):  # type: ignore[no-untyped-def]
        return g * (g > 0), None


REFERENCES = {"guided": Guided, "deconvnet": Deconvolved}


def every_relu_replaced(module: nn.Module, images: Tensor, rule: Rule) -> Tensor:
    """Backpropagate through a network while torch has other ReLUs."""
    relu = REFERENCES[rule].apply
    with pytest.MonkeyPatch.context() as patch:
        for place in (F, torch, Tensor):
            for name in ("relu", "relu_"):
                patch.setattr(place, name, lambda x, inplace=False: relu(x, float("inf")))
        patch.setattr(F, "relu6", lambda x, inplace=False: relu(x, 6.0))
        patch.setattr(F, "hardtanh", lambda x, low, top, inplace=False: relu(x, float(top)))
        x = images.clone().requires_grad_()
        return torch.autograd.grad(module.eval()(x)[:, INDEX].sum(), x)[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_maps_equal_a_reference_that_replaces_every_relu(name: str, rule: Rule) -> None:
    module, images = models.load(name, "random").module, random_images()
    expected = every_relu_replaced(module, images, rule)
    size = float(expected.abs().max())
    assert size > 0
    found = RULES[rule](module, images, Class(INDEX))
    torch.testing.assert_close(found / size, expected / size, rtol=1e-5, atol=1e-5)
    plain = gradient(module, images, Class(INDEX))
    assert float((found - plain).abs().max()) > 0.1 * float(plain.abs().max())


def cosine(one: Tensor, other: Tensor) -> float:
    one, other = (x.flatten() / x.abs().max() for x in (one, other))  # untrained: some 1e-14
    return float(F.cosine_similarity(one, other, dim=0))


def test_captum_alone_fails_on_googlenet() -> None:
    # Its hooks find no module to sit on: GoogLeNet calls F.relu.
    module, images = models.load("googlenet", "random").module.eval(), random_images(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.attr.GuidedBackprop(module).attribute(images, target=INDEX)
        also = captum.attr.Deconvolution(module).attribute(images, target=INDEX)
    plain = gradient(module, images, Class(INDEX))
    torch.testing.assert_close(theirs, plain)
    torch.testing.assert_close(also, plain)
    for rule, ours in RULES.items():
        right = every_relu_replaced(module, images, rule)
        assert cosine(ours(module, images, Class(INDEX)), right) > 0.9999
        assert abs(cosine(plain, right)) < 0.5


@pytest.mark.parametrize("rule", RULES)
def test_equals_captum_where_every_relu_is_a_module(rule: Rule) -> None:
    module, images = models.load("squeezenet1_1", "random").module.eval(), random_images()
    theirs = {"guided": captum.attr.GuidedBackprop, "deconvnet": captum.attr.Deconvolution}[rule]
    # Captum's hooks work with no module that writes in place.
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(module).attribute(images, target=INDEX)
    found = RULES[rule](module, images, Class(INDEX))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


# How a ReLU can be called. Each takes a tensor in which it may write, and gives the result.
Call = Callable[[Tensor], Tensor]
PURE: dict[str, Call] = {
    "F.relu": F.relu,
    "F.relu(input=)": lambda x: F.relu(input=x, inplace=False),
    "torch.relu": torch.relu,
    "Tensor.relu": Tensor.relu,
    "nn.ReLU": nn.ReLU(),
    "torch.clamp(min=)": partial(torch.clamp, min=0),
    "torch.clamp(, 0.0)": lambda x: torch.clamp(x, 0.0),
    "Tensor.clamp(min=)": lambda x: x.clamp(min=0),
    "torch.clip": lambda x: torch.clip(x, 0, None),
    "torch.clamp_min": lambda x: torch.clamp_min(x, 0),
    "Tensor.clamp_min": lambda x: x.clamp_min(min=0.0),
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "nn.Threshold": nn.Threshold(0, 0.0),
    "torch.threshold": lambda x: torch.threshold(x, 0, 0),
    "torch.ops": torch.ops.aten.relu.default,
}
IN_PLACE: dict[str, Call] = {
    "F.relu(inplace=)": lambda x: F.relu(x, inplace=True),
    "F.relu(, True)": lambda x: F.relu(x, True),
    "F.relu_": F.relu_,
    "torch.relu_": torch.relu_,
    "Tensor.relu_": Tensor.relu_,
    "nn.ReLU(inplace=)": nn.ReLU(inplace=True),
    "Tensor.clamp_": lambda x: x.clamp_(min=0),
    "torch.clamp_": lambda x: torch.clamp_(x, 0),
    "Tensor.clip_": lambda x: x.clip_(0),
    "torch.clamp_min_": lambda x: torch.clamp_min_(x, 0),
    "F.threshold(inplace=)": lambda x: F.threshold(x, 0, 0, True),
    "torch.threshold_": lambda x: torch.threshold_(x, 0, 0),
}
UP_TO_6: dict[str, Call] = {
    "F.relu6": F.relu6,
    "nn.ReLU6": nn.ReLU6(),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "nn.Hardtanh": nn.Hardtanh(0.0, 6.0),
    "torch.clamp": lambda x: torch.clamp(x, 0, 6),
}
UP_TO_6_IN_PLACE: dict[str, Call] = {
    "F.relu6(inplace=)": lambda x: F.relu6(x, True),
    "nn.ReLU6(inplace=)": nn.ReLU6(inplace=True),
    "F.hardtanh_": lambda x: F.hardtanh_(x, 0.0, 6.0),
    "Tensor.clamp_": lambda x: x.clamp_(0, max=6),
}
VALUES = torch.tensor([-2.0, 0.0, 1.0, 3.0, 6.0, 8.0, -1.0, 2.0])
HANDED = torch.tensor([5.0, 5.0, 5.0, -5.0, 5.0, 5.0, -5.0, 0.0])
PASSES: dict[tuple[Rule, int], list[float]] = {  # by hand
    ("guided", 0): [0, 0, 5, 0, 5, 5, 0, 0],
    ("guided", 6): [0, 0, 5, 0, 0, 0, 0, 0],
    ("deconvnet", 0): [5, 5, 5, 0, 5, 5, 0, 0],
    ("deconvnet", 6): [5, 5, 5, 0, 5, 5, 0, 0],
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("call", "top", "in_place"),
    [
        pytest.param(call, top, in_place, id=f"{name} {top}")
        for calls, top, in_place in (
            (PURE, 0, False),
            (IN_PLACE, 0, True),
            (UP_TO_6, 6, False),
            (UP_TO_6_IN_PLACE, 6, True),
        )
        for name, call in calls.items()
    ],
)
def test_every_form_of_relu_follows_the_rule(
    call: Call, top: int, in_place: bool, rule: Rule
) -> None:
    expected = call(VALUES.clone())
    x = VALUES.clone().requires_grad_()
    with Rectified(rule):
        written = x * 1
        result = call(written)
    assert torch.equal(result, expected)
    assert torch.equal(written, expected if in_place else VALUES)
    if in_place:  # the caller may go on with what it gave
        assert result is written
    (passed,) = torch.autograd.grad((written if in_place else result) @ HANDED, x)
    assert passed.tolist() == PASSES[rule, top]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "call",
    [
        partial(F.leaky_relu, negative_slope=0.1),
        partial(torch.clamp, min=-1),
        partial(torch.clamp, max=0),
        partial(torch.clamp, min=-0.5, max=3),
        F.hardtanh,
        partial(F.threshold, threshold=1, value=0),
        partial(F.threshold, threshold=0, value=1),
        torch.abs,
        F.hardswish,
    ],
)
def test_what_is_no_relu_keeps_its_gradient(call: Call, rule: Rule) -> None:
    x = VALUES.clone().requires_grad_()
    (expected,) = torch.autograd.grad(call(x) @ HANDED, x)
    with Rectified(rule):
        result = call(x)
    assert torch.equal(torch.autograd.grad(result @ HANDED, x)[0], expected)


@pytest.mark.parametrize("rule", RULES)
def test_a_part_of_a_tensor_is_rectified_in_place(rule: Rule) -> None:
    x = VALUES.clone().requires_grad_()
    with Rectified(rule):
        whole = x * 1
        whole[:4].relu_()
        (passed,) = torch.autograd.grad(whole @ HANDED, x)
    assert passed.tolist() == [*PASSES[rule, 0][:4], *HANDED[4:].tolist()]


def test_afterwards_relus_are_what_they_were() -> None:
    x = VALUES.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="shape"), Rectified("deconvnet"):
        F.relu(x).view(3)
    (passed,) = torch.autograd.grad(F.relu(x) @ HANDED, x)
    assert passed.tolist() == [0, 0, 5, -5, 5, 5, 0, 0]


class Mixed(nn.Module):
    """One module used twice, functions and methods, in place or not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.second(x) - 0.1) - 0.1
        F.relu_(x)
        return self.last((torch.relu(x.mean((2, 3))) - 0.02).clamp_min(0))

    def spelled_out(self, x: Tensor, relu: Call) -> Tensor:
        """The same network, with one ReLU in all places."""
        x = relu(relu(self.second(relu(self.first(x))) - 0.1) - 0.1)
        return self.last(relu(relu(x.mean((2, 3))) - 0.02))


@pytest.mark.parametrize("rule", RULES)
def test_modules_used_twice_and_calls_between_them(rule: Rule) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module, images = Mixed(), random_images(2, 12)
    x = images.clone().requires_grad_()
    value = module.spelled_out(x, lambda x: REFERENCES[rule].apply(x, float("inf")))[:, 1]
    (expected,) = torch.autograd.grad(value.sum(), x)
    found = RULES[rule](module, images, Class(1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
    assert not torch.allclose(found, gradient(module, images, Class(1)), rtol=0.1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("rule", RULES)
def test_relus_that_cannot_be_seen_are_told_in_one_line(rule: Rule) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()))
    with pytest.raises(ProbeError, match=r"^the network is TorchScript, in which[^\n]+$"):
        RULES[rule](scripted, random_images(1, 8), Class(0))
    with pytest.raises(ProbeError, match=r"^module '0' is TorchScript, in which[^\n]+$"):
        RULES[rule](nn.Sequential(scripted), random_images(1, 8), Class(0))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("how", ["traced by fx", "with checkpoints"])
def test_relus_of_rewritten_networks_are_seen(how: str, rule: Rule) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        module, images = Mixed().requires_grad_(False), random_images(2, 12)
    expected = RULES[rule](module, images, Class(1))
    rewritten = torch.fx.symbolic_trace(module) if how == "traced by fx" else Recomputed(module)
    found = RULES[rule](rewritten, images, Class(1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


class Recomputed(nn.Module):
    """Keeps nothing for the way back, and runs a network a second time then."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.network, x, use_reentrant=False)
