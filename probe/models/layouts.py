"""What the axes of a layer's output are: traced through the network, not read off its lengths.

Networks return (n, channels, y, x), (n, y, x, channels), (n, tokens, channels), or tokens before
pictures. Whoever asks a layer for a channel or a position gets its output arranged in one order:
pictures, then channels, y, x, or tokens, channels, or channels.

A module whose axes cannot be traced, since it mixes all positions as a Fourier transform does, may
say them itself: ``module.output_axes = ("picture", "channel", "y", "x")``. What comes after it is
traced from there.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from probe.errors import ProbeError
from probe.models.hooks import watched
from probe.models.missing import MissingLayer
from probe.models.receptive_fields import Homes, trace_homes

N_PICTURES = 2
"""Pictures in a trace: an axis along which they differ is that of the pictures."""

ORDERS = (("channel", "y", "x"), ("token", "channel"), ("channel",))
"""What the axes of an output for one picture are once it is arranged."""

Call = tuple[str, int, str]
"""A module's path, the number of its call, and the part of its output, as `watched` has them."""


class Grid(NamedTuple):
    """Where the patches of a picture are among tokens: ``height × width`` of them, row by row."""

    first: int
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """What the axes of a layer's output are.

    Attributes
    ----------
    axes : tuple of str
        As the module returns them: ``picture``, and ``channel``, ``y``, ``x`` or ``token``; empty
        where it is not known what an axis is.
    grid : Grid or None
        Of tokens: which of them are patches. Those before and after are class tokens and registers.
        None if there are no tokens, or patches are in another order.
    """

    axes: tuple[str, ...]
    grid: Grid | None = None

    @cached_property
    def arranged(self) -> tuple[str, ...]:
        """The axes after `arrange`, without the pictures; unknown ones stay where they are."""
        rest = [axis for axis in self.axes if axis != "picture"]
        return next((order for order in ORDERS if sorted(order) == sorted(rest)), tuple(rest))

    @property
    def known(self) -> bool:
        """Whether every axis is known."""
        return self.arranged in ORDERS

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The axes of an output in the order in which `arrange` puts them."""
        at = self.axes.index("picture")
        if self.known:
            return (at, *(self.axes.index(axis) for axis in self.arranged))
        return (at, *(k for k in range(len(self.axes)) if k != at))

    def arrange(self, output: Tensor) -> Tensor:
        """Return an output with pictures first, then (channels, y, x) or (tokens, channels)."""
        return output if self._as_it_is else output.permute(self.order)

    def restore(self, output: Tensor) -> Tensor:
        """Return an arranged output as the module returned it."""
        if self._as_it_is:
            return output
        return output.permute([self.order.index(k) for k in range(len(self.order))])

    @cached_property
    def _as_it_is(self) -> bool:
        return self.order == tuple(range(len(self.order)))


class Output(NamedTuple):
    """One output of one call of one module, for `N_PICTURES` pictures.

    Attributes
    ----------
    path, call, part
        As in `probe.models.hooks.watched`.
    shape : tuple of int
        As the module returns it, pictures included.
    layout : Layout or None
        None where pictures do not have an axis of their own.
    """

    path: str
    call: int
    part: str
    shape: tuple[int, ...]
    layout: Layout | None

    @property
    def shape_of_one(self) -> tuple[int, ...]:
        """The shape for one picture, arranged; as returned, where it is not known."""
        if self.layout is not None:
            return tuple(self.shape[axis] for axis in self.layout.order[1:])
        if self.shape and self.shape[0] % N_PICTURES == 0:
            # Windows of attention lie along the first axis: so many for each picture.
            return (self.shape[0] // N_PICTURES, *self.shape[1:])
        return self.shape


Structure = list[tuple[str, weakref.ref[nn.Module], Sequence[str] | None]]
"""Paths and parts of a network, and what each says of its axes."""


@dataclass
class _Memory:
    """What is known of a network, as long as it has the same parts.

    Attributes
    ----------
    structure : list
        Its parts when it was traced.
    outputs, layouts : dict
        By the shape of a picture: what was traced, and the layouts of it by call.
    """

    structure: Structure
    outputs: dict[tuple[int, ...], list[Output]] = field(default_factory=dict)
    layouts: dict[tuple[int, ...], dict[Call, Layout | None]] = field(default_factory=dict)
    has_tokens: bool = False


_MEMORIES: weakref.WeakKeyDictionary[nn.Module, _Memory] = weakref.WeakKeyDictionary()


def outputs_of(module: nn.Module, input_shape: Sequence[int]) -> list[Output]:
    """Trace what the modules of a network return; the second time, look it up.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is. It is traced without its weights where it can be.
    input_shape : sequence of int
        Of one picture: (channels, height, width).

    Returns
    -------
    list of Output
        In the order in which the modules finish, the network itself last; ends where a part
        without weights would have to compute.

    Raises
    ------
    Exception
        Whatever the network raises on such pictures.
    """
    memory, shape = _memory_of(module), tuple(input_shape)
    if shape not in memory.outputs:
        with torch._C.DisableTorchFunction():  # overrides of torch's functions are for real passes
            traced = trace_outputs(module, shape)
        memory.outputs[shape] = traced
        memory.layouts[shape] = {(o.path, o.call, o.part): o.layout for o in traced}
        memory.has_tokens = any(o.layout and "token" in o.layout.axes for o in traced)
    return memory.outputs[shape]


def layouts(module: nn.Module, input_shape: Sequence[int]) -> Mapping[Call, Layout | None]:
    """Return what the axes of all outputs of a network are.

    Parameters
    ----------
    module, input_shape
        As in `outputs_of`.

    Returns
    -------
    mapping of (str, int, str) to (Layout or None)
        By path, call and part; the network's own output is that of the empty path. None where
        pictures do not have an axis of their own.

    Raises
    ------
    Exception
        Whatever the network raises on such pictures.
    """
    memory, shape = _memory_of(module), tuple(input_shape)
    if memory.layouts and not memory.has_tokens:
        # Axes are the same in pictures of any size; only a grid of tokens is another.
        return next(iter(memory.layouts.values()))
    outputs_of(module, shape)
    return memory.layouts[shape]


def _memory_of(module: nn.Module) -> _Memory:
    structure = [
        (path, weakref.ref(part), getattr(part, "output_axes", None))
        for path, part in module.named_modules()
    ]
    memory = _MEMORIES.get(module)
    # The user has exchanged a part (another may have the address of one that is gone), or has said
    # what its axes are.
    if memory is None or memory.structure != structure:
        memory = _MEMORIES[module] = _Memory(structure)
    return memory


def trace_outputs(module: nn.Module, input_shape: Sequence[int]) -> list[Output]:
    """Run a network on `N_PICTURES` pictures, and tell what modules return: see `outputs_of`."""
    try:
        return _trace(_without_weights(module), input_shape, torch.empty((), device="meta"))
    except ProbeError:
        raise
    except Exception:  # it looks at values, or holds what cannot be copied
        tensors = (t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point())
        return _trace(module, input_shape, next(tensors, torch.empty(())))


def _trace(module: nn.Module, input_shape: Sequence[int], like: Tensor) -> list[Output]:
    n = N_PICTURES
    pictures = torch.zeros((n, *input_shape), device=like.device, dtype=like.dtype)
    parts = dict(module.named_modules())

    by_call: list[Layout | None] = []

    def stated(homes: Homes) -> tuple[str, ...] | None:
        """Note the layout of an output; where it is known from the module alone, go on with it."""
        of_module, layout = _stated(parts[homes.path], homes), layout_of(homes)
        by_call.append(of_module or layout)
        return of_module.axes if of_module and not (layout and layout.known) else None

    traced = trace_homes(module, pictures, stated)
    # A first state, zeros whatever the picture, has the axes of later ones.
    of_others: dict[tuple[object, ...], set[Layout]] = {}
    for homes, layout in zip(traced, by_call, strict=True):
        if layout is not None and layout.known:
            of_others.setdefault((homes.path, homes.part, homes.shape), set()).add(layout)
    outputs = []
    for homes, layout in zip(traced, by_call, strict=True):
        others = of_others.get((homes.path, homes.part, homes.shape), set())
        if layout is None and homes.constant and len(others) == 1:
            (layout,) = others
        outputs.append(Output(homes.path, homes.call, homes.part, homes.shape, layout))
    if all(output.layout for output in outputs):
        return outputs
    # What went through an operation that nobody described: which axis grows with the pictures?
    shapes: dict[Call, tuple[int, ...]] = {}
    one_more = torch.zeros((n + 1, *input_shape), device=like.device, dtype=like.dtype)
    with (
        suppress(MissingLayer),
        watched(
            module,
            [path for path, _ in module.named_modules()],
            lambda path, call, part, out: shapes.update({(path, call, part): tuple(out.shape)}),
        ),
    ):
        module(one_more)
    return [
        output if output.layout else output._replace(layout=_by_growth(output, shapes, n))
        for output in outputs
    ]


def _stated(part: nn.Module, output: Homes) -> Layout | None:
    """Take a module's own word for its axes."""
    axes = getattr(part, "output_axes", None)
    if axes is None:
        return None
    layout = Layout(tuple(axes))
    if len(layout.axes) != len(output.shape) or "picture" not in layout.axes or not layout.known:
        raise ProbeError(
            f"output_axes {axes!r} of {output.path or 'the network'!r}: expected 'picture' and "
            f"{' or '.join(map(str, ORDERS))}, {len(output.shape)} in all"
        )
    return layout


def _by_growth(output: Output, shapes: Mapping[Call, tuple[int, ...]], n: int) -> Layout | None:
    larger = shapes.get((output.path, output.call, output.part), ())
    if len(larger) != len(output.shape):
        return None
    pairs = list(zip(output.shape, larger, strict=True))
    grown = [axis for axis, (a, b) in enumerate(pairs) if a != b]
    if len(grown) != 1 or pairs[grown[0]] != (n, n + 1):
        return None
    axes = ["picture" if axis == grown[0] else "" for axis in range(len(pairs))]
    return Layout(tuple("channel" if len(axes) == 2 and not axis else axis for axis in axes))


def _without_weights(module: nn.Module) -> nn.Module:
    """Copy a network, its tensors without their values, and without hooks."""
    memo: dict[int, object] = {}
    for part in module.modules():
        for owned in (part._parameters, part._buffers, vars(part)):
            for tensor in owned.values():
                if isinstance(tensor, Tensor):
                    empty = tensor.detach().to("meta")
                    memo[id(tensor)] = (
                        nn.Parameter(empty, requires_grad=False)
                        if isinstance(tensor, nn.Parameter)
                        else empty
                    )
    weightless = copy.deepcopy(module, memo)
    for part in weightless.modules():
        part._forward_hooks.clear()
        part._forward_pre_hooks.clear()
    return weightless


def layout_of(output: Homes) -> Layout | None:
    """Return what the axes of an output are from what its elements stand for."""
    shape, ndim = output.shape, len(output.shape)
    if output.homes is None:
        return None
    picture, row, column = output.homes
    (of_pictures, of_rows, of_columns) = (
        [dim for dim in range(ndim) if home.shape[dim] > 1] for home in output.homes
    )
    if len(of_pictures) != 1 or shape[of_pictures[0]] != N_PICTURES:
        return None
    if picture.flatten().tolist() != list(range(N_PICTURES)):
        return None
    at = of_pictures[0]
    axes = [""] * ndim
    axes[at] = "picture"
    unknown = Layout(tuple(axes))
    if ndim == 2:  # units, whatever they stand for
        axes[1 - at] = "channel"
        return Layout(tuple(axes))
    if ndim > 4 or at in of_rows + of_columns or len(of_rows) > 1 or len(of_columns) > 1:
        return unknown
    left = [dim for dim in range(ndim) if dim not in (at, *of_rows, *of_columns)]
    # An axis of length 1 has nothing to vary along it: it is what is still missing.
    channel = max(left, key=lambda dim: shape[dim], default=None)
    if channel is None or any(shape[dim] > 1 for dim in left if dim != channel):
        return unknown
    axes[channel] = "channel"
    positions = [dim for dim in range(ndim) if dim not in (at, channel)]
    if len(positions) == 1:
        axes[positions[0]] = "token"
        return Layout(tuple(axes), _grid(row.flatten(), column.flatten(), shape[positions[0]]))
    if len(positions) == 2:
        if of_rows and of_rows == of_columns:  # tokens, and an axis of length 1
            return unknown
        if shape[channel] == 1 and not (_in_order(row) and _in_order(column)):
            return unknown  # channels may be folded into rows
        (y,) = of_rows or [next(dim for dim in positions if dim not in of_columns)]
        axes[y] = "y"
        axes[next(dim for dim in positions if dim != y)] = "x"
    return Layout(tuple(axes))


def _in_order(home: Tensor) -> bool:
    """Whether rows, or columns, follow each other as in the picture, or the other way round."""
    steps = home.flatten().diff()
    return bool((steps >= 0).all() or (steps <= 0).all())


def _grid(rows: Tensor, columns: Tensor, n: int) -> Grid | None:
    """Find the patches among tokens that stand for these rows and columns of the picture."""
    rows, columns = rows.expand(n), columns.expand(n)
    patches = (rows.isfinite() & columns.isfinite()).nonzero().flatten()
    if not len(patches):
        return None
    first, last = int(patches[0]), int(patches[-1])
    rows, columns = rows[patches], columns[patches]
    height, width = len(rows.unique()), len(columns.unique())
    if last - first + 1 != len(patches) or len(patches) != height * width:
        return None
    by_row = rows.reshape(height, width), columns.reshape(height, width)
    in_order = (by_row[0] == by_row[0][:, :1]).all() and (by_row[1] == by_row[1][:1]).all()
    return Grid(first, height, width) if in_order else None
