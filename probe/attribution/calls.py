"""Rules for the calls of a forward pass, whoever makes them.

DeepLIFT and LRP replace the gradient of each operation by a rule. An operation may be a module, a
function, a method or an in-place sign; a module may be used twice. All of them come down to calls
of torch's functions, and these can be overridden while a network runs. What has no rule, or cannot
be seen, is refused: a map with a plain gradient somewhere inside looks like any other map.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.targets import Target
from probe.targets.kinds import check_single

Call = Callable[..., Any]
Rule = Callable[[Any, Call, tuple[Any, ...], dict[str, Any]], Tensor]
"""A method of `Calls` that makes a call, given as function (which writes into none of its
arguments), arguments and keywords, and sees to what its result hands back."""


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


ABOUT = names(
    """shape size dim ndim ndimension numel nelement dtype device layout stride storage_offset
    requires_grad is_leaf grad_fn is_cuda is_cpu is_mps is_nested is_sparse is_quantized is_meta
    is_floating_point is_complex is_contiguous get_device element_size __len__ __hash__ __format__
    __repr__ zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones
    new_empty new_full new_tensor result_type"""
)
"""Calls whose result does not depend on the values of a tensor."""

REARRANGED = names(
    """clone contiguous alias flatten ravel reshape reshape_as view view_as permute transpose
    swapaxes swapdims movedim moveaxis t T mT H mH unsqueeze squeeze unflatten expand expand_as
    broadcast_to repeat tile repeat_interleave flip fliplr flipud rot90 roll chunk split
    tensor_split unbind select narrow index_select gather __getitem__ __setitem__ cat concat
    concatenate stack copy to type type_as float double half bfloat16 cpu cuda pad pixel_shuffle
    pixel_unshuffle channel_shuffle"""
)
"""Calls that move values or leave them out. Their gradient does so with what is handed back."""

DROPOUTS = names("dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout")

_SYNONYMS = {
    "radd": "add",
    "subtract": "sub",
    "rmul": "mul",
    "multiply": "mul",
    "truediv": "div",
    "rtruediv": "rdiv",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "clip": "clamp",
    "upsample": "interpolate",
}

_INSTEAD = "gradient methods and occlusion work with any network"


class Calls(TorchFunctionMode):
    """While open, a picture's way through a network is made of calls with rules.

    A call counts if one of its arguments depends on the picture: asks for gradients, and is no
    parameter.

    Parameters
    ----------
    method : str
        What needs the rules, for errors.
    as_they_are : frozenset of str
        Calls whose gradient is right, by name, besides `REARRANGED`: ``add`` stands for ``+``,
        ``+=``, ``torch.add`` and ``Tensor.add_``.
    rules : mapping of str to callable
        Of other calls.

    Raises
    ------
    ProbeError
        In the forward pass, if there is a call that has no rule, or cannot be seen.
    """

    def __init__(self, method: str, as_they_are: frozenset[str], rules: Mapping[str, Rule]) -> None:
        super().__init__()
        self.method = method
        self.as_they_are = as_they_are | REARRANGED | DROPOUTS
        self.rules = rules
        self._seen: set[Any] = set()  # nodes of the graph that come of calls made here

    def __torch_function__(
        self,
        func: Call,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name, in_place = _read(func, kwargs)
        carrying = carriers((args, kwargs))
        if not carrying or name in ABOUT:
            return func(*args, **kwargs)
        for tensor in carrying:
            self._check(tensor)
        if not torch.is_grad_enabled():
            raise self.refusal(func, "without a gradient")
        if kwargs.get("out") is not None:
            raise self.refusal(func, "with out=")
        if name in DROPOUTS and _training(args, kwargs):
            raise self.refusal(func, "in training")
        if name not in self.rules and name not in self.as_they_are:
            raise self.refusal(func)
        if name not in self.rules:
            result = func(*args, **kwargs)
        elif in_place:
            before = (args[0].clone(), *args[1:])
            after = self.rules[name](self, _not_in_place(func, kwargs), before, kwargs)
            result = args[0].copy_(after)
        else:
            result = self.rules[name](self, func, args, kwargs)
        # In place, what was given (or what that is a part of) has a new node.
        for tensor in (*carriers((args, kwargs)), *carriers(result)):
            self._seen.add(tensor.grad_fn)
            if tensor._base is not None:
                self._seen.add(tensor._base.grad_fn)
        return result

    def run(self, module: nn.Module, inputs: Tensor, target: Target) -> Tensor:
        """Return the target's number for each picture, with the graph of the rules."""
        try:
            with self:
                value = self.read(target, differentiable(module, inputs, target.layers))
            check_single(value, target)
            self._check(value)
        finally:
            self._seen.clear()  # which keep the graph, and all that it keeps
        return value

    def read(self, target: Target, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the target's number, as the last part of the way."""
        return target(outputs)

    def _check(self, tensor: Tensor) -> None:
        """Raise if a tensor comes from an operation that was not seen."""
        if tensor.grad_fn is not None and tensor.grad_fn not in self._seen:
            raise ProbeError(
                f"{self.method} cannot see into {tensor.grad_fn.name()}, an operation of this "
                f"network (scripted, or with a gradient of its own); {_INSTEAD}"
            )

    def refusal(self, func: Call, how: str = "") -> ProbeError:
        """Return the error for a call that has no rule."""
        name = re.sub(r"\.__get__$", "", resolve_name(func) or func.__name__)
        how = f" {how}" if how else ""
        return ProbeError(f"{self.method} has no rule for {name}{how}; {_INSTEAD}")


class HandedBack(torch.autograd.Function):
    """A result, and what it hands back to the inputs in place of its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        result: Callable[[], Tensor],
        back: Callable[[Tensor], Iterable[Tensor]],
        *inputs: Tensor,
    ) -> Tensor:
        """Return ``result()``, a new tensor."""
        ctx.back = back
        return result()

    @staticmethod
    def backward(ctx: Any, handed: Tensor) -> tuple[Tensor | None, ...]:
        """Return ``back(handed)``, one for each input and of its shape."""
        return None, None, *ctx.back(handed)


def tensors(arguments: Any) -> Iterator[Tensor]:
    """Return the tensors among (nested) arguments."""
    if isinstance(arguments, Tensor):
        yield arguments
    elif isinstance(arguments, dict):
        yield from tensors(tuple(arguments.values()))
    elif isinstance(arguments, (tuple, list)):
        for argument in arguments:
            yield from tensors(argument)


def carriers(arguments: Any) -> list[Tensor]:
    """Return the tensors among (nested) arguments that depend on the picture, each once."""
    by_id = {id(t): t for t in tensors(arguments) if _carries(t)}
    return list(by_id.values())


def occurrences(arguments: Any) -> int:
    """Count the (nested) arguments that depend on the picture."""
    return sum(_carries(tensor) for tensor in tensors(arguments))


def with_values(arguments: Any, values: Mapping[int, Tensor]) -> Any:
    """Return (nested) arguments with other tensors for some, by ``id``."""
    if isinstance(arguments, Tensor):
        return values.get(id(arguments), arguments)
    if isinstance(arguments, dict):
        return {key: with_values(value, values) for key, value in arguments.items()}
    if isinstance(arguments, (tuple, list)):
        return type(arguments)(with_values(value, values) for value in arguments)
    return arguments


def as_function_of(
    inputs: list[Tensor], func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[..., Tensor]:
    """Return a call as a function of some of its arguments."""

    def function(*values: Tensor) -> Tensor:
        by_id = {id(t): value for t, value in zip(inputs, values, strict=True)}
        return func(*with_values(args, by_id), **with_values(kwargs, by_id))

    return function


def batch_statistics(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a batch normalisation takes mean and variance from the batch."""
    return bool(kwargs.get("training", len(args) > 5 and args[5]))


def _read(func: Call, kwargs: Mapping[str, Any]) -> tuple[str, bool]:
    """Return a function's name, however it is called, and whether it works in place."""
    name: str = func.__name__
    if name == "__get__":  # a property
        return func.__self__.__name__, False  # type: ignore[attr-defined]
    in_place = bool(kwargs.get("inplace"))
    if operator := re.fullmatch(r"__(i?)(r?(?:add|sub|mul|div|truediv|matmul|pow))__", name):
        name, in_place = operator[2], bool(operator[1])
    elif re.fullmatch(r"\w*[^_]_", name):
        name, in_place = name[:-1], True
    return _SYNONYMS.get(name, name), in_place


def _not_in_place(func: Call, kwargs: dict[str, Any]) -> Call:
    """Return a function that works in place as one that does not."""
    if kwargs.get("inplace"):
        kwargs["inplace"] = False
        return func
    return lambda first, *others, **settings: func(first.clone(), *others, **settings)


def _training(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return bool(kwargs.get("training", kwargs.get("train", len(args) > 2 and args[2])))


def _carries(tensor: Tensor) -> bool:
    return tensor.requires_grad and not isinstance(tensor, nn.Parameter)
