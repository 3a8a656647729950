"""Every ReLU of a network with another gradient, whoever calls it.

A ReLU may be a module, a function, a method or a clamp, in place or not, and a module may be used
twice. Hooks on modules miss all but the first kind. All of them are calls of torch's functions, and
these are overridden while the network runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Rule = Literal["guided", "deconvnet", "redirected"]


class Rectified(TorchFunctionMode):
    """While open, every ReLU hands its gradient back by another rule. Forwards, nothing changes.

    A ReLU is a call, by whomever, in place or not, of ``relu``, ``relu6``, ``hardtanh`` and
    ``clamp`` from 0 up (with any upper end), ``clamp_min`` at 0, or ``threshold`` at 0. Not seen
    are those inside of TorchScript and of fused operations (``nn.RNN``), and what only works out as
    a ReLU, such as ``x * (x > 0)``.

    Parameters
    ----------
    rule : {'guided', 'deconvnet'}
        ``guided`` (Springenberg et al. 2015): the gradient passes where it is positive and the
        input was in the range in which the output follows it: above 0, and below the upper end.
        ``deconvnet`` (Zeiler & Fergus 2014): the gradient passes where it is positive.
        ``redirected``: where nothing at all would pass for a picture, what would raise an input
        that is too low passes (a positive gradient: the target is to grow), and so a unit that is
        silent can be woken (Olah et al. 2017, in their code). Otherwise the gradient is left as it
        is.

    Examples
    --------
    >>> with Rectified("guided"):  # doctest: +SKIP
    ...     outputs = differentiable(module, images, target.layers)
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        called = func.__name__.partition(".")[0]  # of torch.ops, there are overloads: relu.default
        # Most calls are none of these, and every one comes by here.
        if called in _CALLS and torch.is_grad_enabled():
            relu = _as_relu(called, args, kwargs)
            if relu and relu[0].requires_grad:
                return _Rectifier.apply(*relu, self.rule)
        return func(*args, **kwargs)


_PARAMETERS = {
    "relu": ("input", "inplace"),
    "relu6": ("input", "inplace"),
    "hardtanh": ("input", "min_val", "max_val", "inplace"),
    "clamp": ("input", "min", "max"),
    "clip": ("input", "min", "max"),
    "clamp_min": ("input", "min"),
    "threshold": ("input", "threshold", "value", "inplace"),
}
"""Of the calls that may be a ReLU: as functions, methods or operators alike."""

_CALLS = {
    start + name + end: name for name in _PARAMETERS for start in ("", "_") for end in ("", "_")
}
"""How they are called, in place or not; ``functional.threshold`` says that it is ``_threshold``."""


def _as_relu(
    called: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Tensor, float, bool] | None:
    """Read a call as a ReLU: its input, its upper end, and whether it works in place."""
    name = _CALLS[called]
    arguments = dict(zip(_PARAMETERS[name], args, strict=False)) | dict(kwargs)
    lower: Any = 0.0
    upper: Any = inf
    if name == "relu6":
        upper = 6.0
    elif name == "hardtanh":
        lower, upper = arguments.get("min_val", -1.0), arguments.get("max_val", 1.0)
    elif name == "threshold":
        lower = arguments["threshold"] if arguments["threshold"] == arguments["value"] else inf
    elif name != "relu":
        lower, upper = arguments.get("min"), arguments.get("max")
        upper = inf if upper is None else upper
    if isinstance(lower, Tensor) or isinstance(upper, Tensor) or lower != 0 or upper <= 0:
        return None
    inputs: Tensor = arguments["input"] if "input" in arguments else arguments["self"]
    return inputs, float(upper), called.endswith("_") or bool(arguments.get("inplace"))


class _Rectifier(torch.autograd.Function):
    """A ReLU with an upper end, perhaps infinite."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, upper: float, in_place: bool, rule: Rule) -> Tensor:
        """Rectify, and remember what the rule asks for."""
        if in_place:
            ctx.mark_dirty(inputs)
        output = inputs.relu_() if in_place else inputs.relu()
        if upper < inf:
            output = output.clamp_(max=upper)
        ctx.upper, ctx.rule = upper, rule
        # Whatever the rule, as torch's ReLU does: checkpoints count what is kept.
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Hand the gradient back by the rule."""
        if ctx.rule == "deconvnet":
            return slope.clamp(min=0), None, None, None
        (output,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(slope, output, 0)  # 0 where it was not > 0
        if ctx.upper < inf:
            passed = passed.masked_fill_(output >= ctx.upper, 0)
        if ctx.rule == "guided":
            return passed.clamp_(min=0), None, None, None
        positions = tuple(range(1, passed.ndim))
        # Its ends: several times as fast as to ask whether there is any.
        blocked = (passed.amax(positions) == 0) & (passed.amin(positions) == 0)
        if blocked.any():
            raising = slope.clamp(min=0).masked_fill_(output > 0, 0)
            passed = torch.where(blocked.view(-1, *[1] * (slope.ndim - 1)), raising, passed)
        return passed, None, None, None
