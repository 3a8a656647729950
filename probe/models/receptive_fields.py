"""Which pixels a unit can see, and what it costs to compute: worked out on the calls themselves.

A network is run once, and beside every tensor goes the window of the picture that each of its
elements depends on: its first and last row and column. An operation that combines elements gives
their common window; a convolution or a pool that reaches over the border goes on in even steps, as
if the picture did. For a chain of convolutions and pools this is the recursion of Araujo, Norris &
Sim 2019, "Computing receptive fields of convolutional neural networks", Distill 4:e21; branches,
residuals, gates, shuffled channels and attention in windows come out of the same rule.

Run in the same way, with a home in place of a window, the network tells what the axes of its
outputs are: every element keeps the picture, row and column that it stands for, also where
attention lets it depend on all the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from probe.models.compiler import is_imported, without_compiler
from probe.models.hooks import watched
from probe.models.missing import MissingLayer
from probe.models.window_fields import (
    NOTHING,
    Field,
    compact,
    filled_in,
    flat,
    opened,
    pixel_homes,
    pixel_windows,
    union,
    view_of,
)
from probe.models.window_rules import COSTS, RULES, Call, anything, fresh, pointwise

_SWITCH = threading.RLock()


@dataclass(frozen=True)
class ReceptiveField:
    """The window of the picture that a unit depends on.

    Attributes
    ----------
    size : (int, int)
        Height and width, in pixels, padding included; where units differ, as in attention within
        windows, those of the unit in the middle.
    jump : (float, float) or None
        How far apart the windows of neighbouring units are, down and across, in pixels; None where
        there are no neighbours, or none at even steps.
    start : (int, int) or None
        Row and column of the first unit's first pixel; negative where that is padding.
    whole : bool
        Whether it is nothing but the whole picture, for every unit.
    """

    size: tuple[int, int]
    jump: tuple[float, float] | None
    start: tuple[int, int] | None
    whole: bool = False

    def __str__(self) -> str:
        if self.whole:
            return "whole"
        return times(self.size)


def times(pair: Sequence[float]) -> str:
    """Write (height, width), once if they are the same."""
    return "×".join(f"{value:g}" for value in dict.fromkeys(pair))


class Measured(NamedTuple):
    """What is known of one output of one call of one module.

    Attributes
    ----------
    path, call, place
        As in `probe.models.hooks.watched`.
    field : ReceptiveField or None
        None where the output does not depend on the picture.
    multiply_adds : int
        Of the call, and all calls within it, for one picture.
    """

    path: str
    call: int
    place: str
    field: ReceptiveField | None
    multiply_adds: int


def measure(module: nn.Module, picture: Tensor) -> tuple[list[Measured], int]:
    """Run a network once, and measure the windows and the costs of what its modules return.

    Multiply-adds are those of convolutions, linear layers and products of matrices (attention
    among them): one for each weight that an output is summed from, at the border too, and none for
    biases, normalisation, pooling or activation functions.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is.
    picture : torch.Tensor, shape (1, channels, height, width)
        Its values do not matter; it may be on torch's ``meta`` device.

    Returns
    -------
    measured : list of Measured
        In the order in which the modules finish; ends where a part without weights would have to
        compute.
    multiply_adds : int
        Of the whole network.
    """
    outputs: list[tuple[str, int, str, Field | None, tuple[int, ...], int]] = []
    mode = _Traced(picture, pixel_windows(picture))
    cost_before: dict[str, int] = {}

    def saw(path: str, call: int, place: str, output: Tensor) -> None:
        cost = mode.multiply_adds - cost_before[path]
        outputs.append((path, call, place, mode.field(output), tuple(output.shape), cost))

    def entered(path: str) -> None:
        cost_before[path] = mode.multiply_adds

    paths = [path for path, _ in module.named_modules() if path]
    seeing = watched(module, paths, saw, entered=entered)
    with suppress(MissingLayer), _in_parts(), seeing, mode:
        module(picture)
    size = (picture.shape[-2], picture.shape[-1])
    return [
        Measured(path, call, place, _summary(field, shape, size), cost)
        for path, call, place, field, shape, cost in outputs
    ], mode.multiply_adds


class Homes(NamedTuple):
    """What the elements of one output of one call of one module stand for.

    Attributes
    ----------
    path, call, part
        As in `probe.models.hooks.watched`.
    shape : tuple of int
        Of the output, pictures included.
    picture, row, column : torch.Tensor
        With as many dimensions as the output, each of length 1 along those along which it is the
        same; infinite for what stands for no place, such as a class token. None where an element
        stands for a pair of places, or nothing is known.
    constant : bool
        Whether it does not depend on the pictures.
    """

    path: str
    call: int
    part: str
    shape: tuple[int, ...]
    homes: tuple[Tensor, Tensor, Tensor] | None
    constant: bool


def trace_homes(
    module: nn.Module,
    pictures: Tensor,
    stated: Callable[[Homes], Sequence[str] | None] = lambda _: None,
) -> list[Homes]:
    """Run a network once, and find which picture, row and column each element stands for.

    A convolution's output stands for the middle of where it looks, a token for its patch, also when
    it has attended to others.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is.
    pictures : torch.Tensor, shape (n, channels, height, width)
        Two or more; values do not matter, and they may be on torch's ``meta`` device.
    stated : callable, optional
        Is shown what is known of an output; where it returns its axes (``picture``, ``channel``,
        ``y``, ``x``, ``token``), the network goes on with them.

    Returns
    -------
    list of Homes
        In the order in which the modules finish, the network itself last; ends where a part
        without weights would have to compute.
    """
    mode = _Traced(pictures, pixel_homes(pictures))
    outputs: list[Homes] = []

    def saw(path: str, call: int, part: str, output: Tensor) -> None:
        shape = tuple(output.shape)
        with _disable_current_modes():  # the trace follows the network's operations, not ours
            field = mode.field(output)
            homes = None
            if field is not None and not field.pairs:
                picture, row, column = (compact(opened(h, len(shape))) for h in field.homes)
                homes = picture, row, column
            outputs.append(Homes(path, call, part, shape, homes, field is None))
            if (axes := stated(outputs[-1])) is not None:
                mode.attach(output, _homes_along(axes, shape))

    paths = [path for path, _ in module.named_modules()]
    with suppress(MissingLayer), _in_parts(), watched(module, paths, saw), mode:
        module(pictures)
    return outputs


def _homes_along(axes: Sequence[str], shape: Sequence[int]) -> Field:
    """Return the homes of an output whose axes are known; a token has row and column of its own.

    The places of tokens in the picture are not known: no grid is made of these.
    """

    def along(*names: str) -> Tensor:
        dim = next((dim for dim, axis in enumerate(axes) if axis in names), None)
        if dim is None:
            return torch.zeros((1,) * len(shape), dtype=torch.float64)
        indices = torch.arange(shape[dim], dtype=torch.float64)
        return indices.view([-1 if d == dim else 1 for d in range(len(shape))])

    return Field(homes=(along("picture"), along("y", "token"), along("x", "token")))


@contextmanager
def _in_parts() -> Iterator[None]:
    """Keep torch from doing several operations in one call, which nobody can look into.

    That is attention, and what is compiled. The switches are one for all threads: one at a time.
    """
    with _SWITCH, _uncompiled(), without_compiler():
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def _uncompiled() -> AbstractContextManager[None]:
    """Let compiled parts of a network run as they are written."""
    if not is_imported():  # without the compiler, there are none
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


class _Traced(TorchDispatchMode):
    """Follow every operation on tensors that depend on a picture."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, to keep it away from here

    def __init__(self, pictures: Tensor, field: Field) -> None:
        super().__init__()
        self.multiply_adds = 0
        # What was written through views: homes of each element of a storage; whoever reads any of
        # it is taken to see it all.
        self._written: dict[int, tuple[Any, Field]] = {}
        self.attach(pictures, field)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        rule, cost = RULES.get(name.rstrip("_")), COSTS.get(name)
        if torch.Tag.pointwise in func.tags or func._overloadname == "other":  # max(a, b)
            rule = pointwise
        if rule is None and cost is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = _computed(func, args, kwargs)
        if cost is not None:
            self.multiply_adds += cost(output, *args)
        inputs = [t for t in flat((args, list(kwargs.values()))) if isinstance(t, Tensor)]
        if any(self.field(tensor) for tensor in inputs):
            call = Call(func, args, kwargs, output, self.field)
            outputs = [t for t in flat([output]) if isinstance(t, Tensor)]
            empty = not any(tensor.numel() for tensor in outputs)
            field = (fresh if empty else rule or anything)(call)
            fields = field if isinstance(field, list) else [field] * len(outputs)
            for tensor, of_tensor in zip(outputs, fields, strict=True):
                if func._schema.is_mutable:
                    self._remember(tensor, of_tensor)
                self.attach(tensor, of_tensor)
        return output

    def attach(self, tensor: Tensor, field: Field | None) -> None:
        if field is not None and tensor.numel():
            tensor._probe_field = field  # type: ignore[attr-defined]

    def _remember(self, tensor: Tensor, field: Field | None) -> None:
        """Note what was written into a part of a tensor, or through a view of a new one."""
        storage = tensor.untyped_storage()
        n = storage.nbytes() // tensor.element_size()
        new = getattr(tensor, "_probe_field", None) is None
        if field is None or not (new or tensor.numel() < n):
            return
        written = replace(field.together(), homes=tuple(NOTHING.repeat(n) for _ in field.homes))
        if (before := self._noted(tensor)) is not None:
            edges = union([replace(written, homes=()), replace(before, homes=())])
            written = replace(edges, homes=before.homes, pairs=before.pairs or field.pairs)
        for elements, home in zip(written.homes, field.homes, strict=True):
            view_of(elements, tensor).copy_(opened(home, tensor.ndim))
        self._written[storage._cdata] = storage, written

    def _noted(self, tensor: Tensor) -> Field | None:
        """Return what was written into the memory of a tensor, or of one that it is a view of."""
        storage = tensor.untyped_storage()
        _, written = self._written.get(storage._cdata, (None, None))
        n = storage.nbytes() // tensor.element_size()
        # Not of a view as another type, whose elements are others.
        return None if written is None or any(len(h) != n for h in written.homes) else written

    def field(self, tensor: Tensor) -> Field | None:
        field: Field | None = getattr(tensor, "_probe_field", None)
        if not self._written or (written := self._noted(tensor)) is None:
            return field
        homes = tuple(compact(view_of(elements, tensor)) for elements in written.homes)
        if homes and not any(home.isfinite().any() for home in homes):
            return field
        if field is None:
            return replace(written, homes=tuple(map(filled_in, homes)))
        homes = tuple(
            compact(torch.where(new.isfinite(), new, opened(old, tensor.ndim)))
            for old, new in zip(field.homes, homes, strict=True)
        )
        field = field.each(lambda edge: opened(edge, tensor.ndim))
        pairs = field.pairs or written.pairs
        both = union([replace(field, homes=()), replace(written, homes=())])
        return replace(both, homes=homes, pairs=pairs)


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return the output of an operation.

    A linear layer without values is a product: as one, torch would compute its shape by steps that
    import its compiler.
    """
    if func is torch.ops.aten.linear.default and args[0].is_meta:
        tensor, weight, *_ = args
        return torch.matmul(tensor, weight.t())
    return func(*args, **kwargs)


def _summary(
    field: Field | None, shape: tuple[int, ...], picture: tuple[int, int]
) -> ReceptiveField | None:
    """Sum up the windows of a tensor's elements in a few numbers."""
    if field is None:
        return None
    edges = [opened(edge, len(shape)) for edge in field.edges]
    position_dims = _position_dims(edges, len(shape))
    others = [dim for dim in range(len(shape)) if dim not in position_dims]
    edges = [edge.amin(others, keepdim=True) if others else edge for edge in edges]
    middle = [
        edge[tuple(n // 2 if edge.shape[dim] > 1 else 0 for dim, n in enumerate(shape))]
        if others != list(range(len(shape)))
        else edge.amin()
        for edge in edges
    ]
    if not all(edge.isfinite() for edge in middle):
        return None
    top, left, bottom, right = (float(edge) for edge in middle)
    size = (round(-bottom - top) + 1, round(-right - left) + 1)
    jumps, starts = [], []
    for axis in range(2):
        jump = (
            _jump(edges[axis], edges[axis + 2], position_dims[axis], shape, field.jump[axis])
            if (len(position_dims) == 2)
            else None
        )
        jumps.append(jump)
        starts.append(float(edges[axis].flatten()[0]))
    if jumps[0] is not None and jumps[1] is not None:
        return ReceptiveField(size, (jumps[0], jumps[1]), (round(starts[0]), round(starts[1])))
    covered = all(
        bool((edges[axis] <= 0).all() and (-edges[axis + 2] >= picture[axis] - 1).all())
        for axis in range(2)
    )
    if covered:
        return ReceptiveField(picture, None, None, whole=True)
    return ReceptiveField(size, None, None)


def _position_dims(edges: Sequence[Tensor], ndim: int) -> tuple[int, ...]:
    """Return the dimensions of a tensor along which its units lie over the picture."""
    if ndim != 4:
        return (1,) if ndim == 3 else ()
    rows, columns = (
        [dim for dim in range(ndim) if max(edges[k].shape[dim], edges[k + 2].shape[dim]) > 1]
        for k in range(2)
    )
    if len(rows) == len(columns) == 1:
        return (rows[0], columns[0])
    return (1, 2) if rows == [1] or columns == [2] else (2, 3)  # a map of one column, or row


def _jump(
    first: Tensor, last: Tensor, dim: int, shape: tuple[int, ...], known: float | None
) -> float | None:
    if shape[dim] == 1:
        return known
    steps = [edge.diff(dim=dim).unique() for edge in (first, -last)]
    same = all(len(s) == 1 for s in steps) and bool(steps[0] == steps[1])
    return float(steps[0]) if same and steps[0] else None
