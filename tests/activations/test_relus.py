"""The rule that wakes silent units; the others are tested where maps are made by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probe import models
from probe.activations.capture import differentiable
from probe.activations.relus import Rectified


class Redirected(torch.autograd.Function):
    """The reference, picture by picture and number by number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.top = top
        return torch.where(x > 0, torch.where(x < top, x, top), 0.0)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (x,) = ctx.saved_tensors
        found = []
        for inputs, slope in zip(x, slopes[0], strict=True):
            passed = slope * (inputs > 0) * (inputs < ctx.top)
            if not any(passed.flatten().tolist()):
                passed = slope * (inputs <= 0) * (slope > 0)
            found.append(passed)
        return torch.stack(found), None


CALLS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "module": (nn.ReLU(), torch.inf),
    "module in place": (nn.ReLU(inplace=True), torch.inf),
    "function": (F.relu, torch.inf),
    "method": (lambda x: x.relu(), torch.inf),
    "method in place": (lambda x: x.relu_(), torch.inf),
    "clamp": (lambda x: x.clamp(min=0), torch.inf),
    "module with an upper end": (nn.ReLU6(), 6.0),
    "function with an upper end": (lambda x: F.hardtanh(x, 0.0, 1.5), 1.5),
}


@pytest.mark.parametrize("call", CALLS)
def test_it_wakes_only_the_pictures_that_are_blocked_altogether(call: str) -> None:
    relu, top = CALLS[call]
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, 3, 3, generator=drawn)
    x[1] = -x[1].abs()  # silent throughout
    x[2] = x[2].abs() * 20 + 7  # above every upper end
    weight = torch.randn(5, 4, 3, 3, generator=drawn)
    weight[3] = 0  # nobody asks for it
    weight[4] *= x[4] < 0  # asked for only where it is silent

    def slope(through: Callable[[Tensor], Tensor]) -> Tensor:
        given = x.clone().requires_grad_()
        (found,) = torch.autograd.grad((through(given * 1) * weight).sum(), given)
        return found

    with Rectified("redirected"):
        found = slope(relu)
    expected = slope(lambda given: Redirected.apply(given, top))  # type: ignore[no-any-return, no-untyped-call]
    assert torch.equal(found, expected)
    plain = slope(lambda given: F.hardtanh(given, 0.0, top))
    assert torch.equal(found[0], plain[0])
    assert bool((plain[[1, 4]] == 0).all())
    for woken in (1, 4):
        assert torch.equal(found[woken], weight[woken].clamp(min=0) * (x[woken] < 0))
    assert bool((found[3] == 0).all())


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "mobilenet_v2"])
def test_silent_channels_of_networks_get_the_slope_of_a_reference(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = {"squeezenet1_1": "features.3", "googlenet": "conv3", "mobilenet_v2": "features.2"}[
        name
    ]
    module = models.load(name, "random").module.eval()
    x = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    # All that is silent at first: the first convolution gives less than nothing.
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    norm = next((part for part in module.modules() if isinstance(part, nn.BatchNorm2d)), None)
    with torch.no_grad():
        (first if norm is None else norm).bias.sub_(30.0)  # type: ignore[union-attr, operator]

    def slope() -> Tensor:
        given = x.clone().requires_grad_()
        output = differentiable(module, given, [layer])[layer]
        (found,) = torch.autograd.grad(output.square().sum() + output.sum(), given)
        return found

    plain = slope()
    assert not plain.any()
    with Rectified("redirected"):
        found = slope()
    assert found.flatten(1).any(1).all()

    def reference(x: Tensor, top: float) -> Tensor:
        return Redirected.apply(x, top)  # type: ignore[no-any-return, no-untyped-call]

    for place in (F, torch, Tensor):
        for function in ("relu", "relu_"):
            monkeypatch.setattr(place, function, lambda x, inplace=False: reference(x, torch.inf))
    monkeypatch.setattr(F, "relu6", lambda x, inplace=False: reference(x, 6.0))
    monkeypatch.setattr(F, "hardtanh", lambda x, low, top, inplace=False: reference(x, float(top)))
    expected = slope()
    size = float(expected.abs().max())
    torch.testing.assert_close(found / size, expected / size, rtol=1e-5, atol=1e-6)
