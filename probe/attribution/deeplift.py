"""DeepLIFT: differences from a baseline, handed back from the target to the picture.

Shrikumar, Greenside & Kundaje 2017, "Learning important features through propagating activation
differences", arXiv:1704.02685, in the form of Ancona et al. 2018, arXiv:1711.06104: the gradient,
in which a nonlinear operation has not the slope of its tangent at the picture but that of the line
from the baseline to the picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from probe.attribution.calls import (
    Call,
    Calls,
    HandedBack,
    Rule,
    as_function_of,
    batch_statistics,
    carriers,
    names,
    occurrences,
    tensors,
)
from probe.attribution.gradients import Baseline, as_baseline
from probe.targets import Target, gradient

LINEAR = names(
    """add sub rsub neg mean sum cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d interpolate"""
)
BILINEAR = names(
    """mul matmul mm bmm mv dot einsum linear conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d"""
)
EXACT = names("relu relu6 hardtanh clamp threshold abs")
"""Functions of one number, without rounding."""

ROUNDED = names(
    """leaky_relu prelu elu selu celu gelu silu mish hardswish hardsigmoid hardshrink softshrink
    tanhshrink softplus softsign logsigmoid sigmoid tanh exp log square sqrt rsqrt reciprocal pow
    rpow rdiv"""
)
MAX_POOLS = names(
    """max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d"""
)


def deeplift(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
) -> Tensor:
    """Share out a target's difference from a baseline among the values of a picture (DeepLIFT).

    The Rescale rule: an operation of one number hands back Δout/Δin of what it is handed, Δ being
    the difference between picture and baseline (its slope at the picture, where Δin is 0). Linear
    operations hand back as in the gradient. The map is what arrives, times picture − baseline.

    Beyond the paper: of a maximum, what it is above the baseline's is handed back to the place of
    the picture's maximum, and what it is below to the place of the baseline's, as in SHAP's
    implementation of DeepLIFT (Lundberg & Lee 2017, arXiv:1705.07874). A product of two activations
    (squeeze and excitation) hands back to each the mean of the other at picture and baseline, which
    are their Shapley values. A quotient and a softmax are made of sums, products and operations of
    one number.

    All of these conserve: the map sums to target(picture) − target(baseline), to rounding.

    Parameters
    ----------
    module : torch.nn.Module
        Its operations may be modules or functions, in place, and used more than once.
    images : torch.Tensor, shape (n, 3, height, width)
        Preprocessed.
    target : Target
    baseline : torch.Tensor, float or 'blurred'
        The picture without what is to be explained, broadcast to ``images``. 0 is the mean colour;
        ``'blurred'`` is the picture, blurred.
    batch_size : int
        Most pictures in one forward pass.

    Returns
    -------
    torch.Tensor, shape (n, 3, height, width)
        Signed, in units of the target.

    Raises
    ------
    ProbeError
        If the network has an operation for which there is no rule.
    """
    images = images.detach()
    # One baseline for all takes one forward pass.
    alike = not isinstance(baseline, str) and torch.as_tensor(baseline).shape[:-3] in ((), (1,))
    origin = as_baseline(baseline, images[:1] if alike else images)
    maps, differences = [], _Differences()
    for at in range(0, len(images), batch_size):
        its = origin if alike else origin[at : at + batch_size]
        if at == 0 or not alike:
            differences.keep(module, its, target)
        maps.append(differences.map(module, images[at : at + batch_size], its, target))
    return torch.cat(maps).float()


class _Differences(Calls):
    """The Rescale rule. A pass with the baseline comes first, in which rules keep their inputs."""

    def __init__(self) -> None:
        super().__init__("DeepLIFT", LINEAR, _RULES)
        self._kept: list[list[Tensor]] = []
        self._next: int | None = None  # which of them comes next; None while they are kept

    def keep(self, module: nn.Module, origin: Tensor, target: Target) -> None:
        """Run the network on the baseline."""
        self._kept, self._next = [], None
        self.run(module, origin.clone().requires_grad_(), target)

    def map(self, module: nn.Module, images: Tensor, origin: Tensor, target: Target) -> Tensor:
        """Run the network on pictures, and hand back what the target differs by."""
        self._next = 0
        x = images.clone().requires_grad_()
        (slope,) = gradient(self.run(module, x, target), [x], target)
        return slope * (images - origin)

    def _origins(self, func: Call, inputs: list[Tensor]) -> list[Tensor] | None:
        """Return what a call's inputs were at the baseline; None while this is being found."""
        if self._next is None:
            self._kept.append([tensor.detach().clone() for tensor in inputs])
            return None
        origins = self._kept[self._next] if self._next < len(self._kept) else []
        self._next += 1
        alike = len(origins) == len(inputs) and all(
            o.shape == t.shape or (len(o) == 1 and o.shape[1:] == t.shape[1:])
            for o, t in zip(origins, inputs, strict=True)
        )
        if not alike:
            raise self.refusal(
                func, "where pictures and baseline go different ways (try one picture at a time)"
            )
        return [o.expand_as(t) for o, t in zip(origins, inputs, strict=True)]

    def _exact(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        return self._elementwise(func, args, kwargs, torch.float32)

    def _rounded(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        # In single precision, Δout is lost in rounding where Δin is small.
        return self._elementwise(func, args, kwargs, torch.float64)

    def _elementwise(
        self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any], precision: torch.dtype
    ) -> Tensor:
        inputs = carriers((args, kwargs))
        if len(inputs) > 1:
            raise self.refusal(func, "of two activations")
        origins = self._origins(func, inputs)
        if origins is None:
            return func(*args, **kwargs)
        here, there = inputs[0].detach(), origins[0]
        if here.device.type == "mps":  # which has no double precision
            precision = here.dtype
        precision = torch.promote_types(here.dtype, precision)
        constants = [t for t in tensors((args, kwargs)) if t is not inputs[0]]
        function = as_function_of([*inputs, *constants], func, args, kwargs)
        others = [t.to(precision) for t in constants]
        slope = _slope(lambda x: function(x, *others), here.to(precision), there.to(precision))
        return HandedBack.apply(
            lambda: func(*args, **kwargs), lambda handed: (handed * slope.to(handed),), *inputs
        )

    def _bilinear(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if occurrences((args, kwargs)) == 1:
            return func(*args, **kwargs)
        if func is torch.einsum and occurrences(args) > 2:
            raise self.refusal(func, "of three activations")
        inputs = carriers((args, kwargs))
        origins = self._origins(func, inputs)
        if origins is None:
            return func(*args, **kwargs)
        middle = [(t.detach() + o) / 2 for t, o in zip(inputs, origins, strict=True)]
        function = as_function_of(inputs, func, args, kwargs)

        def back(handed: Tensor) -> tuple[Tensor, ...]:
            # Of a function of second degree, the tangent half way has the slope of the whole way.
            with torch.enable_grad():
                leaves = [t.requires_grad_() for t in middle]
                return torch.autograd.grad(function(*leaves), leaves, handed)

        return HandedBack.apply(lambda: func(*args, **kwargs), back, *inputs)

    def _div(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        numerator, under = args if len(args) == 2 else (args[0], kwargs["other"])
        if kwargs.get("rounding_mode"):
            raise self.refusal(func, "with rounding_mode")
        if not carriers(under):
            return func(*args, **kwargs)
        with self:
            return numerator * torch.reciprocal(under)

    def _max_pool(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if kwargs.get("return_indices"):
            raise self.refusal(func, "with return_indices")
        inputs = carriers((args, kwargs))
        origins = self._origins(func, inputs)
        if origins is None:
            return func(*args, **kwargs)
        function = getattr(functional, func.__name__)
        pool = as_function_of(inputs, function, args, {**kwargs, "return_indices": True})
        here, there = inputs[0].detach(), origins[0]
        (top, at), (origin_top, origin_at) = pool(here), pool(there)
        positions = -int(func.__name__[-2])  # of max_pool2d, the last two axes

        def taken(values: Tensor, at: Tensor) -> Tensor:
            return values.flatten(positions).gather(-1, at.flatten(positions)).view_as(at)

        step = here - there
        rise = top - origin_top
        risen = torch.where(rise > 0, rise / taken(step, at), 0)
        fallen = torch.where(rise < 0, rise / taken(step, origin_at), 0)
        # Where nothing changes, it is the gradient, as elsewhere.
        risen = torch.where((rise == 0) & (taken(step, at) == 0), 1, risen)

        def back(handed: Tensor) -> tuple[Tensor]:
            share = torch.zeros_like(here).flatten(positions)
            for slope, places in ((risen, at), (fallen, origin_at)):
                share.scatter_add_(
                    -1, places.flatten(positions), (handed * slope).flatten(positions)
                )
            return (share.view_as(here),)

        return HandedBack.apply(lambda: func(*args, **kwargs), back, *inputs)

    def _batch_norm(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if batch_statistics(args, kwargs):
            raise self.refusal(func, "with the statistics of a batch")
        return func(*args, **kwargs)

    def _softmax(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        inputs = carriers((args, kwargs))
        origins = self._origins(func, inputs)
        axis = kwargs["dim"] if "dim" in kwargs else args[1]
        if origins is None:
            return func(*args, **kwargs)
        # Exponentials, their sum, its reciprocal, and a product. A common factor cancels.
        here, there = inputs[0].detach().double(), origins[0].double()
        top = torch.maximum(here, there).amax(axis, keepdim=True)
        here, there = here - top, there - top
        slope = _slope(torch.exp, here, there)
        total = here.exp().sum(axis, keepdim=True)
        origin_total = there.exp().sum(axis, keepdim=True)
        middle = (here.exp() + there.exp()) / 2

        def back(handed: Tensor) -> tuple[Tensor]:
            through_total = (handed * middle).sum(axis, keepdim=True) / (total * origin_total)
            direct = handed * (1 / total + 1 / origin_total) / 2
            return ((slope * (direct - through_total)).to(inputs[0]),)

        return HandedBack.apply(lambda: func(*args, **kwargs), back, *inputs)


def _slope(function: Call, here: Tensor, there: Tensor) -> Tensor:
    """Return Δout/Δin between two places, and the slope at the first where they are the same."""
    step = here - there
    slope = (function(here) - function(there)) / step
    if (same := step == 0).any():
        with torch.enable_grad():
            at = here.clone().requires_grad_()
            (tangent,) = torch.autograd.grad(function(at).sum(), [at])
        slope = torch.where(same, tangent, slope)
    return slope


_RULES: dict[str, Rule] = {
    **dict.fromkeys(BILINEAR, _Differences._bilinear),
    **dict.fromkeys(ROUNDED, _Differences._rounded),
    **dict.fromkeys(EXACT, _Differences._exact),
    **dict.fromkeys(MAX_POOLS, _Differences._max_pool),
    "batch_norm": _Differences._batch_norm,
    "div": _Differences._div,
    "softmax": _Differences._softmax,
}
