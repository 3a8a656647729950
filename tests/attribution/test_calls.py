"""What DeepLIFT and LRP have in common: no operation escapes them, and none is changed."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from probe import models
from probe.attribution.calls import HandedBack
from probe.attribution.deeplift import deeplift
from probe.attribution.lrp import lrp
from probe.errors import ProbeError
from probe.targets import Class, Function, Unit

Method = Callable[..., Tensor]
METHODS = pytest.mark.parametrize("method", [deeplift, lrp])
LAST = Function(lambda out: out.flatten(1).sum(1))


def pictures(n: int = 2, size: int = 9) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


class Convolutions(nn.Module):
    """Two convolutions, and whatever happens between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.norm = nn.BatchNorm2d(4)
        self.between = between
        self.relu, self.writing = nn.ReLU(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(self.first(x)))


def twice(network: Convolutions) -> Callable[[Tensor], Tensor]:
    return lambda x: network.relu(network.relu(x) - 0.1)


def written_into(x: Tensor) -> Tensor:
    y = x.clone()
    y -= 0.1
    z = y.relu_()
    z += x
    z[:, :2].mul_(2)
    z[:, 2] = z[:, 2] / 4
    functional.leaky_relu(z, 0.1, inplace=True)
    return y


def written_out(x: Tensor) -> Tensor:
    y = torch.relu(x - 0.1) + x
    y = torch.cat([2 * y[:, :2], 0.25 * y[:, 2:3], y[:, 3:]], 1)
    return functional.leaky_relu(y, 0.1)


def kept_and_overwritten(x: Tensor) -> Tensor:
    kept = torch.relu(x)
    mean = kept.mean(1, keepdim=True)
    kept.mul_(0.5)  # after it went into the mean
    return kept + mean


def kept(x: Tensor) -> Tensor:
    return 0.5 * torch.relu(x) + torch.relu(x).mean(1, keepdim=True)


@METHODS
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.relu, functional.relu),
        (nn.ReLU(), nn.ReLU(inplace=True)),
        (nn.ReLU(), torch.relu_),
        (nn.ReLU(), lambda x: x.relu_()),
        (nn.ReLU6(), lambda x: functional.hardtanh(x, 0, 6)),
        (written_out, written_into),
        (kept, kept_and_overwritten),
        (lambda x: x + x.relu(), lambda x: x.add_(x.relu())),
        (lambda x: x - 2, lambda x: -(2 - x)),
    ],
)
def test_ways_of_writing_make_no_difference(
    method: Method, one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor]
) -> None:
    images = pictures()
    assert torch.equal(Convolutions(one)(images), Convolutions(other)(images))
    expected = method(Convolutions(one), images, LAST)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(method(Convolutions(other), images, LAST), expected)


@METHODS
def test_a_module_may_be_used_twice(method: Method) -> None:
    network, plain = Convolutions(torch.relu), Convolutions(torch.relu)
    network.between = twice(network)
    plain.between = lambda x: torch.relu(torch.relu(x) - 0.1)
    torch.testing.assert_close(method(network, pictures(), LAST), method(plain, pictures(), LAST))


class OfItsOwn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
        return slope


class Cube(OfItsOwn):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x * x


def without_gradient(x: Tensor) -> Tensor:
    with torch.no_grad():
        scale = x.mean()
    return x * scale


REFUSED = {
    "torch.Tensor.gt": lambda x: x * (x > 0),
    "torch.Tensor.detach": lambda x: x * x.detach(),
    "torch.Tensor.data": lambda x: x * x.data,
    "torch.Tensor.__float__": lambda x: x * float(x.flatten()[0]),
    "torch.Tensor.item": lambda x: x * x.flatten()[0].item(),
    "torch.Tensor.amax": lambda x: x - x.amax(1, keepdim=True),
    "torch.maximum": lambda x: torch.maximum(x, -x),
    "torch.nn.functional.layer_norm": nn.LayerNorm([4, 7, 7]),
    "torch.nn.functional.group_norm": nn.GroupNorm(2, 4),
    "torch.nn.functional.instance_norm": nn.InstanceNorm2d(4),
    "torch.nn.functional.local_response_norm": nn.LocalResponseNorm(2),
    "torch.nn.functional.batch_norm with the statistics of a batch": nn.BatchNorm2d(
        4, track_running_stats=False
    ),
    "torch.nn.functional.dropout in training": functional.dropout,
    "torch.add with out=": lambda x: torch.add(x, 1, out=torch.empty(0)),
    "torch.Tensor.mean without a gradient": without_gradient,
    "torch.nn.functional.normalize": functional.normalize,
    "torch.Tensor.numpy": lambda x: x * float(x.numpy(force=True).mean()),
    "cannot see into OfItsOwnBackward": OfItsOwn.apply,
    "torch.Tensor.mul without a gradient": Cube.apply,
}


@METHODS
@pytest.mark.parametrize("says", REFUSED)
@pytest.mark.parametrize("last", [False, True])
def test_what_has_no_rule_is_named(method: Method, says: str, last: bool) -> None:
    network: nn.Module = Convolutions(REFUSED[says])
    if last:  # nothing follows in which it could be noticed
        network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), Convolutions(REFUSED[says]))
        network[1].first = network[1].second = nn.Identity()  # type: ignore[assignment]
    with pytest.raises(ProbeError, match=r"^[^\n]+$") as error:
        method(network, pictures(), LAST)
    assert says in str(error.value)
    assert "occlusion work" in str(error.value)


def state(network: nn.Module) -> Any:
    return (
        [(n, p.tolist(), p.requires_grad, p.grad is None) for n, p in network.named_parameters()],
        [(n, b.tolist()) for n, b in network.named_buffers()],
        [(n, m.training, getattr(m, "inplace", None)) for n, m in network.named_modules()],
        [(len(m._forward_hooks), len(m._backward_hooks)) for m in network.modules()],
        [set(vars(m)) for m in network.modules()],
        torch.random.get_rng_state().tolist(),
        torch.is_grad_enabled(),
        torch.overrides._get_current_function_mode_stack(),
    )


@METHODS
@pytest.mark.parametrize("broken", [False, True])
def test_everything_is_as_it_was(method: Method, broken: bool) -> None:
    network = Convolutions(nn.ReLU(inplace=True))
    network.between = nn.Sequential(
        network.norm, network.writing, nn.Softmin(1) if broken else nn.Identity()
    )
    network.train()
    network.first.eval()
    network.first.bias.requires_grad_(False)  # type: ignore[union-attr]
    images = pictures().requires_grad_()
    before, given = state(network), images.detach().clone()
    if broken:
        with pytest.raises(ProbeError):
            method(network, images, LAST)
    else:
        maps = method(network, images, LAST)
        assert maps.shape == images.shape
        assert maps.dtype == torch.float32
        assert not maps.requires_grad
    assert state(network) == before
    assert torch.equal(images, given)
    assert images.grad is None


@METHODS
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_a_picture_has_the_same_map_in_any_batch(method: Method, name: str) -> None:
    network, images = models.load(name, "random").module, pictures(3, 48)
    together = method(network, images, Class(1))
    each = method(network, images, Class(1), batch_size=1)
    torch.testing.assert_close(together, each, rtol=1e-3, atol=1e-4 * float(each.abs().max()))
    torch.testing.assert_close(together.flip(0), method(network, images.flip(0), Class(1)))


@METHODS
def test_a_layer_inside_can_be_the_target(method: Method) -> None:
    network = models.load("squeezenet1_1", "random").module
    target = Unit("features.4.expand3x3", 3, (1, 1))  # overwritten by the ReLU that follows
    maps = method(network, pictures(1, 48), target)
    assert maps.abs().max() > 0
    assert maps[..., 40:, 40:].eq(0).all()  # outside its receptive field


@METHODS
def test_a_target_that_does_not_depend_on_the_picture(method: Method) -> None:
    network, target = Convolutions(torch.relu), Function(lambda out: torch.ones(len(out)))
    with pytest.raises(ProbeError, match="has no gradient here"):
        method(network, pictures(), target)


@METHODS
def test_nothing_stays_in_memory(method: Method) -> None:
    network, images = Convolutions(nn.ReLU(inplace=True)), pictures()
    node = HandedBack._backward_cls  # type: ignore[attr-defined]

    def kept() -> int:
        gc.collect()
        return sum(type(thing) in (Tensor, node) for thing in gc.get_objects())

    method(network, images, LAST)
    before = kept()
    gc.disable()  # what is not in a circle goes by itself
    try:
        for _ in range(5):
            method(network, images, LAST)
        left = sum(type(thing) in (Tensor, node) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert left <= before
