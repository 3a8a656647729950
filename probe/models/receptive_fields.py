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

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from probe.models.hooks import watched
from probe.models.network import MissingLayer

_SWITCH = threading.RLock()

_NOTHING = torch.tensor(math.inf, dtype=torch.float64)
"""The edge of a window without pixels."""


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
    seen: list[tuple[str, int, str, _Field | None, tuple[int, ...], int]] = []
    mode = _Traced(picture, _windows_of(picture))
    begun: dict[str, int] = {}

    def saw(path: str, call: int, place: str, output: Tensor) -> None:
        cost = mode.multiply_adds - begun[path]
        seen.append((path, call, place, mode.field(output), tuple(output.shape), cost))

    def entered(path: str) -> None:
        begun[path] = mode.multiply_adds

    paths = [path for path, _ in module.named_modules() if path]
    seeing = watched(module, paths, saw, entered=entered)
    with suppress(MissingLayer), _attention_in_parts(), seeing, mode:
        module(picture)
    size = (picture.shape[-2], picture.shape[-1])
    return [
        Measured(path, call, place, _summary(field, shape, size), cost)
        for path, call, place, field, shape, cost in seen
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
    """Run a network once, and tell which picture, row and column each element stands for.

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
    mode = _Traced(pictures, _homes_of(pictures))
    seen: list[Homes] = []

    def saw(path: str, call: int, part: str, output: Tensor) -> None:
        shape = tuple(output.shape)
        with _disable_current_modes():  # the trace follows the network's operations, not ours
            field = mode.field(output)
            homes = None
            if field is not None and not field.pairs:
                picture, row, column = (_compact(_opened(h, len(shape))) for h in field.homes)
                homes = picture, row, column
            seen.append(Homes(path, call, part, shape, homes, field is None))
            if (axes := stated(seen[-1])) is not None:
                mode.attach(output, _homes_along(axes, shape))

    paths = [path for path, _ in module.named_modules()]
    with suppress(MissingLayer), _attention_in_parts(), watched(module, paths, saw), mode:
        module(pictures)
    return seen


def _homes_along(axes: Sequence[str], shape: Sequence[int]) -> _Field:
    """Give the homes of an output whose axes are known; a token has a row and a column of its own.

    The places of tokens in the picture are not known: no grid is made of these.
    """

    def along(*names: str) -> Tensor:
        dim = next((dim for dim, axis in enumerate(axes) if axis in names), None)
        if dim is None:
            return torch.zeros((1,) * len(shape), dtype=torch.float64)
        places = torch.arange(shape[dim], dtype=torch.float64)
        return places.view([-1 if d == dim else 1 for d in range(len(shape))])

    return _Field(homes=(along("picture"), along("y", "token"), along("x", "token")))


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Keep torch from doing all of attention in a call of its own, which nobody can look into.

    The switch is one for all threads: one at a time.
    """
    with _SWITCH:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


@dataclass(frozen=True)
class _Field:
    """The windows of a tensor's elements, or their homes.

    Attributes
    ----------
    edges : tuple of torch.Tensor
        First row, first column, minus the last row, minus the last column, so that the common
        window of several is the minimum of each; infinite where there is none. Each has as many
        dimensions as the tensor, and length 1 along those along which it is the same. Empty where
        homes are traced.
    homes : tuple of torch.Tensor
        Picture, row and column that an element stands for, in the same form. Empty where windows
        are traced.
    jump : tuple of (float or None)
        Down and across, for maps of one row or column, whose edges do not tell.
    pairs : bool
        Whether elements stand for pairs of places, as the weights of attention do; homes are those
        of the first place.
    """

    edges: tuple[Tensor, ...] = ()
    homes: tuple[Tensor, ...] = ()
    jump: tuple[float | None, float | None] = (None, None)
    pairs: bool = False

    def each(self, function: Callable[[Tensor], Tensor]) -> _Field:
        edges = tuple(function(edge) for edge in self.edges)
        return replace(self, edges=edges, homes=tuple(function(home) for home in self.homes))

    def over(self, *dims: int) -> _Field:
        """Combine all along some dimensions."""
        return self.each(lambda edge: edge.amin(dims, keepdim=True))

    def mixed(self, *dims: int) -> _Field:
        """Let all along some dimensions depend on each other, each staying what it stands for."""
        return replace(self, edges=tuple(edge.amin(dims, keepdim=True) for edge in self.edges))

    def together(self) -> _Field:
        """Give what depends on all elements."""
        return self.each(lambda edge: edge.amin().reshape(())).still()

    def still(self) -> _Field:
        """Forget how far apart neighbours are."""
        return replace(self, jump=(None, None))


def _windows_of(picture: Tensor) -> _Field:
    """Give the windows of pixels: themselves."""
    rows = torch.arange(picture.shape[-2], dtype=torch.float64).view(1, 1, -1, 1)
    columns = torch.arange(picture.shape[-1], dtype=torch.float64).view(1, 1, 1, -1)
    return _Field((rows, columns, -rows, -columns), jump=(1.0, 1.0))


def _homes_of(pictures: Tensor) -> _Field:
    """Give the homes of pixels."""
    n, _, height, width = pictures.shape
    shapes = ((-1, 1, 1, 1), n), ((1, 1, -1, 1), height), ((1, 1, 1, -1), width)
    return _Field(
        homes=tuple(torch.arange(k, dtype=torch.float64).view(shape) for shape, k in shapes)
    )


def _union(fields: Sequence[_Field]) -> _Field:
    edges = zip(*(field.edges for field in fields), strict=True)
    homes = [_home(parts) for parts in zip(*(field.homes for field in fields), strict=True)]
    jumps = zip(*(field.jump for field in fields), strict=True)
    down, across = (next((j for j in axis if j is not None), None) for axis in jumps)
    return _Field(
        tuple(_minimum(parts) for parts in edges),
        tuple(home for home, _ in homes),
        (down, across),
        any(field.pairs for field in fields) or any(pairs for _, pairs in homes),
    )


def _home(parts: Sequence[Tensor]) -> tuple[Tensor, bool]:
    """Give the home of what is combined of several, and whether it is a pair of places.

    A gate that is the same everywhere leaves what it multiplies where it is.
    """
    along = [{d - part.ndim for d, n in enumerate(part.shape) if n > 1} for part in parts]
    most = max(range(len(parts)), key=lambda k: len(along[k]))
    return parts[most], any(not dims <= along[most] for dims in along)


def _minimum(edges: Sequence[Tensor]) -> Tensor:
    first, *others = edges
    for other in others:
        first = torch.minimum(first, other)
    return first


class _Traced(TorchDispatchMode):
    """Follow every operation on tensors that depend on a picture."""

    def __init__(self, pictures: Tensor, field: _Field) -> None:
        super().__init__()
        self.multiply_adds = 0
        # What was written through views: homes of each element of a storage; whoever reads any of
        # it is taken to see it all.
        self._written: dict[int, tuple[Any, _Field]] = {}
        self.attach(pictures, field)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        rule, cost = _RULES.get(name.rstrip("_")), _COSTS.get(name)
        if torch.Tag.pointwise in func.tags or func._overloadname == "other":  # max(a, b)
            rule = _pointwise
        if rule is None and cost is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = func(*args, **kwargs)
        if cost is not None:
            self.multiply_adds += cost(output, *args)
        inputs = [t for t in _flat((args, list(kwargs.values()))) if isinstance(t, Tensor)]
        if any(self.field(tensor) for tensor in inputs):
            given = _Call(func, args, kwargs, output, self.field)
            outputs = [t for t in _flat([output]) if isinstance(t, Tensor)]
            empty = not any(tensor.numel() for tensor in outputs)
            field = (_fresh if empty else rule or _anything)(given)
            fields = field if isinstance(field, list) else [field] * len(outputs)
            for tensor, of_tensor in zip(outputs, fields, strict=True):
                if func._schema.is_mutable:
                    self._remember(tensor, of_tensor)
                self.attach(tensor, of_tensor)
        return output

    def attach(self, tensor: Tensor, field: _Field | None) -> None:
        if field is not None and tensor.numel():
            tensor._probe_field = field  # type: ignore[attr-defined]

    def _remember(self, tensor: Tensor, field: _Field | None) -> None:
        """Note what was written into a part of a tensor, or through a view of a new one."""
        storage = tensor.untyped_storage()
        n = storage.nbytes() // tensor.element_size()
        new = getattr(tensor, "_probe_field", None) is None
        if field is None or not (new or tensor.numel() < n):
            return
        written = replace(field.together(), homes=tuple(_NOTHING.repeat(n) for _ in field.homes))
        if (before := self._noted(tensor)) is not None:
            edges = _union([replace(written, homes=()), replace(before, homes=())])
            written = replace(edges, homes=before.homes, pairs=before.pairs or field.pairs)
        for elements, home in zip(written.homes, field.homes, strict=True):
            _view_of(elements, tensor).copy_(_opened(home, tensor.ndim))
        self._written[storage._cdata] = storage, written

    def _noted(self, tensor: Tensor) -> _Field | None:
        """Give what was written into the memory of a tensor, or of one that it is a view of."""
        storage = tensor.untyped_storage()
        _, written = self._written.get(storage._cdata, (None, None))
        n = storage.nbytes() // tensor.element_size()
        # Not of a view as another type, whose elements are others.
        return None if written is None or any(len(h) != n for h in written.homes) else written

    def field(self, tensor: Tensor) -> _Field | None:
        field: _Field | None = getattr(tensor, "_probe_field", None)
        if not self._written or (written := self._noted(tensor)) is None:
            return field
        homes = tuple(_compact(_view_of(elements, tensor)) for elements in written.homes)
        if homes and not any(home.isfinite().any() for home in homes):
            return field
        if field is None:
            return replace(written, homes=tuple(map(_filled_in, homes)))
        homes = tuple(
            _compact(torch.where(new.isfinite(), new, _opened(old, tensor.ndim)))
            for old, new in zip(field.homes, homes, strict=True)
        )
        field = field.each(lambda edge: _opened(edge, tensor.ndim))
        pairs = field.pairs or written.pairs
        both = _union([replace(field, homes=()), replace(written, homes=())])
        return replace(both, homes=homes, pairs=pairs)


def _view_of(elements: Tensor, tensor: Tensor) -> Tensor:
    """Give those elements of a storage that a tensor shows."""
    return elements.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _filled_in(home: Tensor) -> Tensor:
    """Take what nobody wrote, such as a border, to be in the row, column or picture that it is in.

    What is in none of them, such as a class token, stays so.
    """
    for dim in range(home.ndim if home.isinf().any() else 0):
        along = home.amin([d for d in range(home.ndim) if d != dim], keepdim=True)
        if ((home == along) | home.isinf()).all():
            return along
    return home


@dataclass(frozen=True)
class _Call:
    """One call of one operation: what it was given, and what came out."""

    func: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    output: Any
    find: Callable[[Tensor], _Field | None]

    def field(self, tensor: Any) -> _Field | None:
        found = self.find(tensor) if isinstance(tensor, Tensor) else None
        return None if found is None else found.each(lambda edge: _opened(edge, tensor.ndim))

    def argument(self, name: str, default: Any = None) -> Any:
        """Give an argument by its name in the operation's schema."""
        if name in self.kwargs:
            return self.kwargs[name]
        for k, argument in enumerate(self.func._schema.arguments):
            if argument.name == name:
                if k < len(self.args):
                    return self.args[k]
                return argument.default_value if argument.has_default_value() else default
        return default

    @property
    def main(self) -> _Field:
        """The field of the first argument."""
        field = self.field(self.args[0])
        if field is None:  # another argument depends on the picture
            others = _flat((self.args, list(self.kwargs.values())))
            other = next(found for t in others if (found := self.field(t)) is not None)
            nothing = _NOTHING.expand((1,) * self.args[0].ndim)
            return other.each(lambda _: nothing).still()
        return field


Rule = Callable[[_Call], "_Field | list[_Field | None] | None"]


def _anything(call: _Call) -> _Field:
    """Take an operation that nobody described to look at all of its inputs."""
    tensors = [t for t in _flat((call.args, list(call.kwargs.values()))) if isinstance(t, Tensor)]
    fields = [found.together() for t in tensors if (found := call.field(t)) is not None]
    return _union(fields)


def _pointwise(call: _Call) -> _Field:
    tensors = [t for t in _flat((call.args, list(call.kwargs.values()))) if isinstance(t, Tensor)]
    return _union([found for t in tensors if (found := call.field(t)) is not None])


def _copied(call: _Call) -> _Field:
    """Take what is copied, whatever was there before."""
    field = call.field(call.args[1])
    return call.main if field is None else field


def _of_main(call: _Call) -> _Field:
    return call.main


def _windows(
    call: _Call, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> _Field:
    """Slide a window over the last dimensions, one for each entry of ``kernel``."""
    field, shape, n = call.main, call.args[0].shape, len(kernel)
    out = (call.output if isinstance(call.output, Tensor) else call.output[0]).shape
    strides, paddings, dilations = (_each(v, n) for v in (stride, padding, dilation))
    jump = list(field.jump)
    for k in range(n):
        dim = k - n
        first = torch.arange(out[dim]) * strides[k] - paddings[k]
        taps = first[:, None] + torch.arange(kernel[k]) * dilations[k]
        field = _taps(field, dim, shape[dim], taps)
        if dim >= -2 and (before := jump[dim]) is not None:
            jump[dim] = before * strides[k]
    return replace(field, jump=(jump[0], jump[1]))


def _taps(
    field: _Field, dim: int, length: int, taps: Tensor, there: Tensor | None = None
) -> _Field:
    """Let element i along a dimension of some length depend on the elements ``taps[i]``.

    They may lie beyond both ends. ``there`` tells which of them count; all by default.
    """
    there = torch.ones_like(taps, dtype=torch.bool) if there is None else there
    edges = []
    for k, edge in enumerate(field.edges):
        axis = k % 2  # rows, columns
        jump = field.jump[axis] if dim == axis - 2 and length == 1 else None
        edges.append(_tapped(edge, dim, length, taps, there, (jump or 0.0) * (-1) ** (k // 2)))
    if not field.homes:
        return replace(field, edges=tuple(edges))
    # What an element stands for is in the middle. The first row it depends on would be the same for
    # more and more of them: whatever lies beyond the border, where steps are uneven, is at it.
    before = there.cumsum(1) - there.long()
    middle = ((before == there.sum(1, keepdim=True) // 2) & there).long().argmax(1, keepdim=True)
    taps, there = taps.gather(1, middle), there.gather(1, middle)
    homes = tuple(_tapped(home, dim, length, taps, there, 0.0) for home in field.homes)
    return replace(field, edges=tuple(edges), homes=homes)


def _tapped(
    edge: Tensor, dim: int, length: int, taps: Tensor, there: Tensor, jump: float
) -> Tensor:
    edge = edge.movedim(dim, -1)
    if edge.shape[-1] == 1 and not jump and bool(there.any(1).all()):
        return edge.movedim(-1, dim)  # the same everywhere
    edge = edge.expand(*edge.shape[:-1], length)
    step = torch.full_like(edge[..., :1], jump)
    if length > 1:
        steps = edge.diff(dim=-1)
        even = ((steps == steps[..., :1]) & steps.isfinite()).all(-1, keepdim=True)
        step = torch.where(even, steps[..., :1], 0.0)
    inside = taps.clamp(0, length - 1)
    reached = torch.where(there, edge[..., inside] + step[..., None] * (taps - inside), math.inf)
    return _compact(reached.amin(-1).movedim(-1, dim))


def _convolution(call: _Call) -> _Field:
    shape = call.args[1].shape[2:]
    how = [call.argument(name) for name in ("stride", "padding", "dilation")]
    slide = _transposed if call.argument("transposed") else _windows
    groups, dim = call.argument("groups"), -len(shape) - 1
    n_out = call.output.shape[dim]
    return slide(call, shape, *how).each(lambda edge: _over_channels(edge, dim, groups, n_out))


def _transposed(
    call: _Call, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> _Field:
    """Spread a window: output o takes the inputs (o + padding − tap) / stride."""
    field, n = call.main, len(kernel)
    strides, paddings, dilations = (_each(v, n) for v in (stride, padding, dilation))
    jump = list(field.jump)
    for k in range(n):
        dim = k - n
        place = torch.arange(call.output.shape[dim])[:, None] + paddings[k]
        place = place - torch.arange(kernel[k]) * dilations[k]
        taps, there = place // strides[k], place % strides[k] == 0
        field = _taps(field, dim, call.args[0].shape[dim], taps, there)
        if dim >= -2 and (before := jump[dim]) is not None:
            jump[dim] = before / strides[k]
    return replace(field, jump=(jump[0], jump[1]))


def _over_channels(edge: Tensor, dim: int, groups: int, n_out: int) -> Tensor:
    """Let every channel of a group depend on all channels of that group."""
    if edge.shape[dim] == 1 or groups == 1:
        return edge.amin(dim, keepdim=True)
    grouped = edge.unflatten(dim, (groups, -1)).amin(dim, keepdim=True).squeeze(dim)
    return _compact(grouped.repeat_interleave(n_out // groups, dim))


def _pool(call: _Call) -> _Field:
    kernel = _each(call.argument("kernel_size"), _rank(call))
    stride = call.argument("stride") or kernel
    return _windows(call, kernel, stride, call.argument("padding", 0), call.argument("dilation", 1))


def _rank(call: _Call) -> int:
    """Over how many dimensions an operation such as ``max_pool2d`` slides."""
    name = call.func._overloadpacket.__name__
    return next(n for n in (1, 2, 3) if f"{n}d" in name)


def _adaptive_pool(call: _Call) -> _Field:
    field, shape = call.main, call.args[0].shape
    out = (call.output if isinstance(call.output, Tensor) else call.output[0]).shape
    jump = list(field.jump)
    for dim in range(-_rank(call), 0):
        n_in, n_out = shape[dim], out[dim]
        place = torch.arange(n_out)
        first = place * n_in // n_out
        last = -(-(place + 1) * n_in // n_out) - 1
        field = _taps(field, dim, n_in, *_between(first, last))
        if dim >= -2 and n_in != n_out:
            jump[dim] = None
    return replace(field, jump=(jump[0], jump[1]))


def _between(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Give the taps from ``first[i]`` to ``last[i]``, and which of them are there."""
    taps = first[:, None] + torch.arange(int((last - first).max()) + 1)
    return taps, taps <= last[:, None]


def _unfolded(call: _Call) -> _Field:
    """Lay out each window of a map as one column, as a convolution's input."""
    names = ("kernel_size", "stride", "padding", "dilation")
    kernel, *how = (_each(call.argument(name), 2) for name in names)
    stride, padding, dilation = how
    n, _, *sides = call.args[0].shape
    out = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, s, p, d in zip(sides, kernel, stride, padding, dilation, strict=True)
    ]
    slid = replace(call, output=torch.empty((n, 1, *out), device="meta"))
    field = _windows(slid, kernel, stride, padding, dilation).over(1)
    return field.each(lambda edge: _view(edge, (n, 1, *out), (n, 1, math.prod(out)))).still()


def _pad(call: _Call) -> _Field:
    """Go on beyond the border, whatever is there: zeros, or the picture once more."""
    pads, field = call.argument("pad") or call.argument("padding"), call.main
    shape = call.args[0].shape
    for k in range(len(pads) // 2):
        dim = -1 - k
        place = torch.arange(call.output.shape[dim]) - pads[2 * k]
        field = _taps(field, dim, shape[dim], place[:, None])
    return field


def _resampled(call: _Call) -> _Field:
    """Give the windows of an interpolation, which is asked where it takes its values from."""
    shape, out = call.args[0].shape, call.output.shape
    field, jump = call.main, list(call.main.jump)
    margin = 1 if "bicubic" in call.func._overloadpacket.__name__ else 0
    for dim in (-2, -1):
        ramp = torch.arange(shape[dim], dtype=torch.float64)
        ramp = ramp.view(-1, 1) if dim == -2 else ramp
        ramp = ramp.expand(1, 1, *shape[-2:]).contiguous()
        places = call.func(ramp, *call.args[1:], **call.kwargs)
        places = places[0, 0, :, 0] if dim == -2 else places[0, 0, 0]
        first = (places.floor().long() - margin).clamp(0, shape[dim] - 1)
        last = (places.ceil().long() + margin).clamp(0, shape[dim] - 1)
        field = _taps(field, dim, shape[dim], *_between(first, last))
        field = _spread(field, dim, shape[dim], out[dim])
        if (before := jump[dim]) is not None:
            jump[dim] = before * shape[dim] / out[dim]
    return replace(field, jump=(jump[0], jump[1]))


def _at_even_steps(call: _Call) -> _Field:
    """Take an operation on maps to look anywhere, and lay its output out as its input was."""
    out = call.output if isinstance(call.output, Tensor) else call.output[0]
    field = _laid_out(call.main, call.args[0].shape[-2:], out.shape[-2:])
    return replace(_anything(call), homes=field.homes)


def _laid_out(field: _Field, sides: Sequence[int], new_sides: Sequence[int]) -> _Field:
    """Put the rows and columns of a larger or smaller map at even steps over those of a map."""
    for dim in (-2, -1):
        n, n_new = sides[dim], new_sides[dim]
        places = torch.arange(n_new) * n // n_new
        field = _spread(_taps(field, dim, n, places[:, None]), dim, n, n_new)
    return field


def _spread(field: _Field, dim: int, n_in: int, n_out: int) -> _Field:
    """Give the copies of a map's one row or column homes of their own."""
    if not field.homes or n_in > 1 or n_out == 1:
        return field
    axis = dim + 3  # picture, row, column
    home = field.homes[axis]
    steps = (torch.arange(n_out, dtype=torch.float64) / n_out).view(-1, *(1,) * (-1 - dim))
    homes = list(field.homes)
    homes[axis] = home + steps
    return replace(field, homes=tuple(homes))


def _sampled(call: _Call) -> _Field:
    """Lay out what was sampled at places of its own choice: a new map of each picture."""
    field, (height, width) = _anything(call), call.output.shape[-2:]
    pictures = call.field(call.args[0])
    if not field.homes or pictures is None:
        return field
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in (height, width))
    places = rows.view(1, 1, -1, 1), columns.view(1, 1, 1, -1)
    return replace(field, homes=(pictures.homes[0].amin((1, 2, 3), keepdim=True), *places))


def _deformed(call: _Call) -> _Field:
    """Let a convolution that looks anywhere stand for where it would look if it were none such."""
    how = [
        [call.argument(f"{what}_{axis}") for axis in ("h", "w")]
        for what in ("stride", "pad", "dilation")
    ]
    field = _windows(call, call.args[1].shape[2:], *how).over(1)
    return replace(_anything(call), homes=field.homes)


def _folded(call: _Call) -> _Field:
    """Add up columns to the map whose windows they are."""
    field, (n, _, length) = call.main.over(1), call.args[0].shape
    names = ("output_size", "kernel_size", "dilation", "padding", "stride")
    sides, kernel, *how = (_each(call.argument(name), 2) for name in names)
    windows = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, d, p, s in zip(sides, kernel, *how, strict=True)
    ]
    field = field.each(lambda edge: _view(edge, (n, 1, length), (n, 1, *windows)))
    return replace(_anything(call), homes=_laid_out(field, windows, sides).homes)


def _written(call: _Call) -> _Field:
    """Leave a tensor standing for what it did, of which some elements are set."""
    field = call.field(call.args[0])
    return replace(_anything(call), homes=field.homes) if field else _anything(call)


def _reduced(call: _Call) -> _Field:
    """Combine some dimensions, or all, into one value."""
    dims = call.argument("dim")
    ndim = call.args[0].ndim
    every = range(ndim) if dims is None or dims == [] else _each(dims, None)
    chosen = sorted({dim % ndim for dim in every}, reverse=True)
    outputs = [t for t in _flat([call.output]) if isinstance(t, Tensor)]
    gone = chosen if outputs[0].ndim < ndim else []

    def reduce(edge: Tensor) -> Tensor:
        edge = edge.amin(chosen, keepdim=True)
        for dim in gone:
            edge = edge.squeeze(dim)
        return edge

    return call.main.each(reduce).still()


def _mixed(call: _Call) -> _Field:
    """Let all along a dimension depend on each other, as a softmax does."""
    return call.main.mixed(call.argument("dim"))


def _layer_norm(call: _Call) -> _Field:
    dims = range(-len(call.argument("normalized_shape")), 0)
    # Over channels alone, which may have been put together from several places: one, then.
    return call.main.over(-1) if len(dims) == 1 else call.main.mixed(*dims)


def _group_norm(call: _Call) -> _Field:
    return call.main.mixed(*range(1, call.args[0].ndim))


def _linear(call: _Call) -> _Field:
    return call.main.over(-1)


def _product(call: _Call) -> _Field:
    """Multiply matrices: rows of the first, columns of the second, what is added besides."""
    *added, first, second = [a for a in call.args if isinstance(a, Tensor)][:3]
    if first.ndim < 2 or second.ndim < 2:
        return _anything(call)
    # Rows of the first stay where they are; with columns of the second that have homes of their
    # own, they are pairs, and no more when these have been summed over.
    fields = [
        replace(field.over(dim).still(), pairs=False)
        for tensor, dim in ((first, -1), (second, -2))
        if (field := call.field(tensor)) is not None
    ]
    fields += [field for a in added if (field := call.field(a)) is not None]
    return _union(fields)


def _attention(call: _Call) -> _Field:
    """Let each query depend on itself and on all keys and values of its window."""
    query, *others = call.args[:3]
    field = call.field(query)
    fields = [] if field is None else [field.over(-1)]
    for other in others:
        if (field := call.field(other)) is not None:
            fields.append(field.over(-2, -1))
    return _union(fields).still()


def _viewed(call: _Call) -> _Field:
    old, new = tuple(call.args[0].shape), tuple(call.output.shape)
    jump = call.main.jump if len(old) == len(new) else (None, None)
    return replace(call.main.each(lambda edge: _view(edge, old, new)), jump=jump)


def _view(edge: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Reshape an edge as its tensor was, opening only the dimensions along which it changes."""
    if not math.prod(old):
        return edge.amin().reshape((1,) * len(new)) if edge.numel() else edge.reshape(new)
    opened: list[int] = []
    shape: list[int] = []
    for before, after in _blocks(old, new):
        changes = any(edge.shape[dim] > 1 for dim in before)
        opened += [old[dim] if changes else 1 for dim in before]
        shape += [new[dim] if changes else 1 for dim in after]
    return _compact(edge.expand(opened).reshape(shape))


def _blocks(old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Pair the dimensions of two shapes into the least blocks of equally many elements."""
    i = j = 0
    while i < len(old) or j < len(new):
        before: list[int] = []
        after: list[int] = []
        n_before = n_after = 1
        while True:
            if i < len(old) and (n_before <= n_after or j == len(new)):
                before, n_before, i = [*before, i], n_before * old[i], i + 1
            elif j < len(new):
                after, n_after, j = [*after, j], n_after * new[j], j + 1
            if n_before == n_after and (after or j == len(new)):
                break
        yield before, after


def _expanded(call: _Call) -> _Field:
    return call.main  # dimensions of length 1, and those in front, are added by broadcasting


def _moved(call: _Call) -> _Field:
    """Do to the edges what was done to the tensor; lengths do not matter."""
    return call.main.each(lambda edge: call.func(edge, *call.args[1:], **call.kwargs))


def _picked(call: _Call) -> list[_Field | None]:
    """Do to the edges what was done to the tensor, at its full length along what is cut."""
    shape, dim = call.args[0].shape, call.argument("dim")
    lengths = [shape[d] if d == dim % len(shape) else -1 for d in range(len(shape))]

    def pick(edge: Tensor) -> list[Tensor]:
        picked = call.func(edge.expand(lengths), *call.args[1:], **call.kwargs)
        return [_compact(part) for part in _flat([picked])]

    field = call.main
    edges, homes = [pick(edge) for edge in field.edges], [pick(home) for home in field.homes]
    n_parts = len([*edges, *homes][0])
    return [
        replace(field, edges=tuple(e[k] for e in edges), homes=tuple(h[k] for h in homes))
        for k in range(n_parts)
    ]


def _joined(call: _Call) -> _Field:
    """Concatenate the edges as the tensors were."""
    tensors, dim = call.args[0], call.argument("dim") % call.args[0][0].ndim
    return _together([call.field(t) for t in tensors], [t.shape[dim] for t in tensors], dim)


def _stacked(call: _Call) -> _Field:
    """Put the edges beside each other along a dimension of their own."""
    tensors, dim = call.args[0], call.argument("dim") % call.output.ndim
    fields = [
        None if field is None else field.each(lambda edge: edge.unsqueeze(dim))
        for field in map(call.field, tensors)
    ]
    return _together(fields, [1] * len(tensors), dim)


def _together(fields: Sequence[_Field | None], along: Sequence[int], dim: int) -> _Field:
    """Concatenate edges, each of some length along a dimension; None is of no picture."""

    def join(parts: Sequence[Tensor]) -> Tensor:
        lengths = [max(sizes) for sizes in zip(*(p.shape for p in parts if p.ndim), strict=True)]
        opened = [
            part.expand([own if d == dim else n for d, n in enumerate(lengths)])
            for part, own in zip(parts, along, strict=True)
        ]
        return _compact(torch.cat(opened, dim))

    def join_homes(k: int) -> Tensor:
        homes = [field.homes[k] for field in tracked]
        apart = k == 0 and len({float(home) for home in homes if home.numel() == 1}) > 1
        if all(home.shape[dim] == 1 for home in homes) and not apart:
            return _home(homes)[0]  # channels: all of the same place
        # A class token is in every picture (k = 0), and at no place of it.
        nowhere = _NOTHING if k else homes[0].amin(dim, keepdim=True)
        return join([nowhere if field is None else field.homes[k] for field in fields])

    tracked = [field for field in fields if field is not None]
    return replace(
        tracked[0],
        edges=tuple(
            join([_NOTHING if field is None else field.edges[k] for field in fields])
            for k in range(len(tracked[0].edges))
        ),
        homes=tuple(map(join_homes, range(len(tracked[0].homes)))),
        pairs=any(field.pairs for field in tracked),
    )


def _rearranged(call: _Call) -> _Field:
    """Do to the edges what was done to the tensor, at its full size."""
    others = [
        t for t in _flat((call.args[1:], list(call.kwargs.values()))) if isinstance(t, Tensor)
    ]
    if any(other.device.type != "cpu" for other in others):  # what is taken cannot be looked up
        return _anything(call)
    shape = call.args[0].shape
    return call.main.each(
        lambda edge: _compact(call.func(edge.expand(shape), *call.args[1:], **call.kwargs))
    )


def _fresh(call: _Call) -> None:
    """Make a tensor that has but the shape or the type of another."""


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution"), _convolution),
    **dict.fromkeys(
        ("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"), _pool
    ),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), _pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _adaptive_pool),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive_pool),
    **dict.fromkeys(("constant_pad_nd", "_pad_circular", "reflection_pad2d"), _pad),
    **dict.fromkeys(("replication_pad2d",), _pad),
    **dict.fromkeys(
        ("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d"), _resampled
    ),
    "upsample_bicubic2d": _resampled,
    **dict.fromkeys(
        ("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_lanczos2d_aa"),
        _at_even_steps,
    ),
    **dict.fromkeys(("max_unpool2d", "fractional_max_pool2d"), _at_even_steps),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d"), _sampled),
    **dict.fromkeys(("cudnn_grid_sampler", "_grid_sampler_2d_cpu_fallback"), _sampled),
    "deform_conv2d": _deformed,
    "col2im": _folded,
    **dict.fromkeys(("index_put", "_index_put_impl", "scatter", "scatter_add"), _written),
    **dict.fromkeys(("index_copy", "index_fill", "index_add", "masked_scatter"), _written),
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "prod"), _reduced
    ),
    **dict.fromkeys(("linalg_vector_norm", "logsumexp", "norm", "argmax", "any"), _reduced),
    **dict.fromkeys(
        ("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax"), _mixed
    ),
    **dict.fromkeys(("cumsum", "sort"), _mixed),
    **dict.fromkeys(("layer_norm", "native_layer_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys(("group_norm", "native_group_norm", "instance_norm"), _group_norm),
    **dict.fromkeys(("batch_norm", "native_batch_norm", "dropout", "feature_dropout"), _of_main),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), _product),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(
        ("view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze"), _viewed
    ),
    **dict.fromkeys(("unsqueeze", "as_strided"), _viewed),
    **dict.fromkeys(("expand", "expand_as"), _expanded),
    **dict.fromkeys(("permute", "transpose", "t", "movedim", "roll", "flip"), _moved),
    **dict.fromkeys(("slice", "select", "split", "split_with_sizes", "unbind", "chunk"), _picked),
    "cat": _joined,
    "stack": _stacked,
    "im2col": _unfolded,
    **dict.fromkeys(("repeat", "index_select", "index", "unfold", "pixel_shuffle"), _rearranged),
    **dict.fromkeys(("pixel_unshuffle", "channel_shuffle", "rot90"), _rearranged),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full", "zeros_like"), _fresh),
    **dict.fromkeys(("ones_like", "empty_like", "full_like", "rand_like", "randn_like"), _fresh),
    # Elementwise, though torch does not tag them so.
    **dict.fromkeys(("hardswish", "_prelu_kernel", "log_sigmoid_forward", "mish"), _pointwise),
    **dict.fromkeys(("masked_fill", "threshold", "fill", "zero", "rsub"), _pointwise),
    "copy": _copied,
    **dict.fromkeys(("alias", "detach", "contiguous", "to", "_to_copy"), _of_main),
}


def _cost_of_convolution(output: Tensor, image: Tensor, weight: Tensor, *more: Any) -> int:
    transposed = more[4]
    # Each weight of a filter is used at every place of the output (transposed: of the input).
    places = image if transposed else output
    return places.numel() * weight[0].numel()


def _cost_of_product(output: Tensor, first: Tensor, *more: Any) -> int:
    return output.numel() * first.shape[-1]


def _cost_of_sum_and_product(output: Tensor, added: Tensor, first: Tensor, *more: Any) -> int:
    return output.numel() * first.shape[-1]


def _cost_of_attention(output: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    pairs = query.shape[:-1].numel() * key.shape[-2]
    return pairs * (query.shape[-1] + value.shape[-1])


_COSTS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("convolution", "_convolution"), _cost_of_convolution),
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv", "dot"), _cost_of_product),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _cost_of_sum_and_product),
    "scaled_dot_product_attention": _cost_of_attention,
}


def _summary(
    field: _Field | None, shape: tuple[int, ...], picture: tuple[int, int]
) -> ReceptiveField | None:
    """Say in a few numbers what the windows of a tensor's elements are."""
    if field is None:
        return None
    edges = [_opened(edge, len(shape)) for edge in field.edges]
    places = _places(edges, len(shape))
    others = [dim for dim in range(len(shape)) if dim not in places]
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
            _jump(edges[axis], edges[axis + 2], places[axis], shape, field.jump[axis])
            if (len(places) == 2)
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


def _places(edges: Sequence[Tensor], ndim: int) -> tuple[int, ...]:
    """Give the dimensions of a tensor along which its units lie over the picture."""
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


def _opened(edge: Tensor, ndim: int) -> Tensor:
    """Give an edge as many dimensions as its tensor."""
    return edge.reshape((1,) * (ndim - edge.ndim) + tuple(edge.shape))


def _compact(edge: Tensor) -> Tensor:
    """Cut a dimension along which nothing changes to length 1."""
    for dim, length in enumerate(edge.shape):
        if length > 1:
            one = edge.narrow(dim, 0, 1)
            if edge.stride(dim) == 0 or bool((edge == one).all()):
                edge = one
    return edge


def _each(value: Any, n: int | None) -> list[int]:
    """Give one number for each dimension, of one for all or a list."""
    values = [value] if isinstance(value, int) else list(value)
    return values if n is None or len(values) == n else values * n


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value
