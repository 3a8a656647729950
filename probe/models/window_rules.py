"""What each of torch's operations makes of windows and homes, and how many multiply-adds it costs.

A rule takes one call of an operation and returns the field of its output; the table `RULES` is at
the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from probe.models.window_fields import NOTHING, Field, common_home, compact, flat, opened, union


@dataclass(frozen=True)
class Call:
    """One call of one operation: what it was given, and what came out."""

    func: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    output: Any
    find: Callable[[Tensor], Field | None]

    def field(self, tensor: Any) -> Field | None:
        """Return the field of an argument; None where it does not depend on the picture."""
        field = self.find(tensor) if isinstance(tensor, Tensor) else None
        return None if field is None else field.each(lambda edge: opened(edge, tensor.ndim))

    def argument(self, name: str, default: Any = None) -> Any:
        """Return an argument by its name in the operation's schema."""
        if name in self.kwargs:
            return self.kwargs[name]
        for k, argument in enumerate(self.func._schema.arguments):
            if argument.name == name:
                if k < len(self.args):
                    return self.args[k]
                return argument.default_value if argument.has_default_value() else default
        return default

    @property
    def main(self) -> Field:
        """The field of the first argument."""
        field = self.field(self.args[0])
        if field is None:  # another argument depends on the picture
            others = flat((self.args, list(self.kwargs.values())))
            other = next(f for t in others if (f := self.field(t)) is not None)
            nothing = NOTHING.expand((1,) * self.args[0].ndim)
            return other.each(lambda _: nothing).still()
        return field


Rule = Callable[[Call], "Field | list[Field | None] | None"]


def anything(call: Call) -> Field:
    """Take an operation that nobody described to look at all of its inputs."""
    tensors = [t for t in flat((call.args, list(call.kwargs.values()))) if isinstance(t, Tensor)]
    fields = [field.together() for t in tensors if (field := call.field(t)) is not None]
    return union(fields)


def pointwise(call: Call) -> Field:
    """Combine the elements at each place of all inputs."""
    tensors = [t for t in flat((call.args, list(call.kwargs.values()))) if isinstance(t, Tensor)]
    return union([field for t in tensors if (field := call.field(t)) is not None])


def _copied(call: Call) -> Field:
    """Take what is copied, whatever was there before."""
    field = call.field(call.args[1])
    return call.main if field is None else field


def _of_main(call: Call) -> Field:
    return call.main


def _windows(call: Call, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any) -> Field:
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


def _taps(field: Field, dim: int, length: int, taps: Tensor, there: Tensor | None = None) -> Field:
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
    return compact(reached.amin(-1).movedim(-1, dim))


def _convolution(call: Call) -> Field:
    shape = call.args[1].shape[2:]
    how = [call.argument(name) for name in ("stride", "padding", "dilation")]
    slide = _transposed if call.argument("transposed") else _windows
    groups, dim = call.argument("groups"), -len(shape) - 1
    n_out = call.output.shape[dim]
    return slide(call, shape, *how).each(lambda edge: _over_channels(edge, dim, groups, n_out))


def _transposed(
    call: Call, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> Field:
    """Spread a window: output o takes the inputs (o + padding − tap) / stride."""
    field, n = call.main, len(kernel)
    strides, paddings, dilations = (_each(v, n) for v in (stride, padding, dilation))
    jump = list(field.jump)
    for k in range(n):
        dim = k - n
        position = torch.arange(call.output.shape[dim])[:, None] + paddings[k]
        position = position - torch.arange(kernel[k]) * dilations[k]
        taps, there = position // strides[k], position % strides[k] == 0
        field = _taps(field, dim, call.args[0].shape[dim], taps, there)
        if dim >= -2 and (before := jump[dim]) is not None:
            jump[dim] = before / strides[k]
    return replace(field, jump=(jump[0], jump[1]))


def _over_channels(edge: Tensor, dim: int, groups: int, n_out: int) -> Tensor:
    """Let every channel of a group depend on all channels of that group."""
    if edge.shape[dim] == 1 or groups == 1:
        return edge.amin(dim, keepdim=True)
    grouped = edge.unflatten(dim, (groups, -1)).amin(dim, keepdim=True).squeeze(dim)
    return compact(grouped.repeat_interleave(n_out // groups, dim))


def _pool(call: Call) -> Field:
    kernel = _each(call.argument("kernel_size"), _rank(call))
    stride = call.argument("stride") or kernel
    return _windows(call, kernel, stride, call.argument("padding", 0), call.argument("dilation", 1))


def _rank(call: Call) -> int:
    """Over how many dimensions an operation such as ``max_pool2d`` slides."""
    name = call.func._overloadpacket.__name__
    return next(n for n in (1, 2, 3) if f"{n}d" in name)


def _adaptive_pool(call: Call) -> Field:
    field, shape = call.main, call.args[0].shape
    out = (call.output if isinstance(call.output, Tensor) else call.output[0]).shape
    jump = list(field.jump)
    for dim in range(-_rank(call), 0):
        n_in, n_out = shape[dim], out[dim]
        position = torch.arange(n_out)
        first = position * n_in // n_out
        last = -(-(position + 1) * n_in // n_out) - 1
        field = _taps(field, dim, n_in, *_between(first, last))
        if dim >= -2 and n_in != n_out:
            jump[dim] = None
    return replace(field, jump=(jump[0], jump[1]))


def _between(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return the taps from ``first[i]`` to ``last[i]``, and which of them are there."""
    taps = first[:, None] + torch.arange(int((last - first).max()) + 1)
    return taps, taps <= last[:, None]


def _unfolded(call: Call) -> Field:
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


def _pad(call: Call) -> Field:
    """Go on beyond the border, whatever is there: zeros, or the picture once more."""
    pads, field = call.argument("pad") or call.argument("padding"), call.main
    shape = call.args[0].shape
    for k in range(len(pads) // 2):
        dim = -1 - k
        position = torch.arange(call.output.shape[dim]) - pads[2 * k]
        field = _taps(field, dim, shape[dim], position[:, None])
    return field


def _resampled(call: Call) -> Field:
    """Return the windows of an interpolation, which is asked where it takes its values from."""
    shape, out = call.args[0].shape, call.output.shape
    field, jump = call.main, list(call.main.jump)
    margin = 1 if "bicubic" in call.func._overloadpacket.__name__ else 0
    for dim in (-2, -1):
        ramp = torch.arange(shape[dim], dtype=torch.float64)
        ramp = ramp.view(-1, 1) if dim == -2 else ramp
        ramp = ramp.expand(1, 1, *shape[-2:]).contiguous()
        positions = call.func(ramp, *call.args[1:], **call.kwargs)
        positions = positions[0, 0, :, 0] if dim == -2 else positions[0, 0, 0]
        first = (positions.floor().long() - margin).clamp(0, shape[dim] - 1)
        last = (positions.ceil().long() + margin).clamp(0, shape[dim] - 1)
        field = _taps(field, dim, shape[dim], *_between(first, last))
        field = _spread(field, dim, shape[dim], out[dim])
        if (before := jump[dim]) is not None:
            jump[dim] = before * shape[dim] / out[dim]
    return replace(field, jump=(jump[0], jump[1]))


def _at_even_steps(call: Call) -> Field:
    """Take an operation on maps to look anywhere, and lay its output out as its input was."""
    out = call.output if isinstance(call.output, Tensor) else call.output[0]
    field = _laid_out(call.main, call.args[0].shape[-2:], out.shape[-2:])
    return replace(anything(call), homes=field.homes)


def _laid_out(field: Field, sides: Sequence[int], new_sides: Sequence[int]) -> Field:
    """Put the rows and columns of a larger or smaller map at even steps over those of a map."""
    for dim in (-2, -1):
        n, n_new = sides[dim], new_sides[dim]
        sources = torch.arange(n_new) * n // n_new
        field = _spread(_taps(field, dim, n, sources[:, None]), dim, n, n_new)
    return field


def _spread(field: Field, dim: int, n_in: int, n_out: int) -> Field:
    """Return the copies of a map's one row or column homes of their own."""
    if not field.homes or n_in > 1 or n_out == 1:
        return field
    axis = dim + 3  # picture, row, column
    home = field.homes[axis]
    steps = (torch.arange(n_out, dtype=torch.float64) / n_out).view(-1, *(1,) * (-1 - dim))
    homes = list(field.homes)
    homes[axis] = home + steps
    return replace(field, homes=tuple(homes))


def _sampled(call: Call) -> Field:
    """Lay out what was sampled at places of its own choice: a new map of each picture."""
    field, (height, width) = anything(call), call.output.shape[-2:]
    pictures = call.field(call.args[0])
    if not field.homes or pictures is None:
        return field
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in (height, width))
    positions = rows.view(1, 1, -1, 1), columns.view(1, 1, 1, -1)
    return replace(field, homes=(pictures.homes[0].amin((1, 2, 3), keepdim=True), *positions))


def _deformed(call: Call) -> Field:
    """Let a convolution that looks anywhere stand for where it would look if it were none such."""
    how = [
        [call.argument(f"{what}_{axis}") for axis in ("h", "w")]
        for what in ("stride", "pad", "dilation")
    ]
    field = _windows(call, call.args[1].shape[2:], *how).over(1)
    return replace(anything(call), homes=field.homes)


def _folded(call: Call) -> Field:
    """Add up columns to the map whose windows they are."""
    field, (n, _, length) = call.main.over(1), call.args[0].shape
    names = ("output_size", "kernel_size", "dilation", "padding", "stride")
    sides, kernel, *how = (_each(call.argument(name), 2) for name in names)
    windows = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, k, d, p, s in zip(sides, kernel, *how, strict=True)
    ]
    field = field.each(lambda edge: _view(edge, (n, 1, length), (n, 1, *windows)))
    return replace(anything(call), homes=_laid_out(field, windows, sides).homes)


def _written(call: Call) -> Field:
    """Leave a tensor standing for what it did, of which some elements are set."""
    field = call.field(call.args[0])
    return replace(anything(call), homes=field.homes) if field else anything(call)


def _reduced(call: Call) -> Field:
    """Combine some dimensions, or all, into one value."""
    dims = call.argument("dim")
    ndim = call.args[0].ndim
    every = range(ndim) if dims is None or dims == [] else _each(dims, None)
    chosen = sorted({dim % ndim for dim in every}, reverse=True)
    outputs = [t for t in flat([call.output]) if isinstance(t, Tensor)]
    gone = chosen if outputs[0].ndim < ndim else []

    def reduce(edge: Tensor) -> Tensor:
        edge = edge.amin(chosen, keepdim=True)
        for dim in gone:
            edge = edge.squeeze(dim)
        return edge

    return call.main.each(reduce).still()


def _mixed(call: Call) -> Field:
    """Let all along a dimension depend on each other, as a softmax does."""
    return call.main.mixed(call.argument("dim"))


def _layer_norm(call: Call) -> Field:
    dims = range(-len(call.argument("normalized_shape")), 0)
    # Over channels alone, which may have been put together from several places: one, then.
    return call.main.over(-1) if len(dims) == 1 else call.main.mixed(*dims)


def _group_norm(call: Call) -> Field:
    return call.main.mixed(*range(1, call.args[0].ndim))


def _linear(call: Call) -> Field:
    return call.main.over(-1)


def _product(call: Call) -> Field:
    """Multiply matrices: rows of the first, columns of the second, what is added besides."""
    *added, first, second = [a for a in call.args if isinstance(a, Tensor)][:3]
    if first.ndim < 2 or second.ndim < 2:
        return anything(call)
    # Rows of the first stay where they are; with columns of the second that have homes of their
    # own, they are pairs, and no more when these have been summed over.
    fields = [
        replace(field.over(dim).still(), pairs=False)
        for tensor, dim in ((first, -1), (second, -2))
        if (field := call.field(tensor)) is not None
    ]
    fields += [field for a in added if (field := call.field(a)) is not None]
    return union(fields)


def _attention(call: Call) -> Field:
    """Let each query depend on itself and on all keys and values of its window."""
    query, *others = call.args[:3]
    field = call.field(query)
    fields = [] if field is None else [field.over(-1)]
    for other in others:
        if (field := call.field(other)) is not None:
            fields.append(field.over(-2, -1))
    return union(fields).still()


def _viewed(call: Call) -> Field:
    old, new = tuple(call.args[0].shape), tuple(call.output.shape)
    jump = call.main.jump if len(old) == len(new) else (None, None)
    return replace(call.main.each(lambda edge: _view(edge, old, new)), jump=jump)


def _view(edge: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Reshape an edge as its tensor was, opening only the dimensions along which it changes."""
    if not math.prod(old):
        return edge.amin().reshape((1,) * len(new)) if edge.numel() else edge.reshape(new)
    lengths: list[int] = []
    shape: list[int] = []
    for before, after in _blocks(old, new):
        changes = any(edge.shape[dim] > 1 for dim in before)
        lengths += [old[dim] if changes else 1 for dim in before]
        shape += [new[dim] if changes else 1 for dim in after]
    return compact(edge.expand(lengths).reshape(shape))


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


def _expanded(call: Call) -> Field:
    return call.main  # dimensions of length 1, and those in front, are added by broadcasting


def _moved(call: Call) -> Field:
    """Do to the edges what was done to the tensor; lengths do not matter."""
    return call.main.each(lambda edge: call.func(edge, *call.args[1:], **call.kwargs))


def _picked(call: Call) -> list[Field | None]:
    """Do to the edges what was done to the tensor, at its full length along what is cut."""
    shape, dim = call.args[0].shape, call.argument("dim")
    lengths = [shape[d] if d == dim % len(shape) else -1 for d in range(len(shape))]

    def pick(edge: Tensor) -> list[Tensor]:
        picked = call.func(edge.expand(lengths), *call.args[1:], **call.kwargs)
        return [compact(part) for part in flat([picked])]

    field = call.main
    edges, homes = [pick(edge) for edge in field.edges], [pick(home) for home in field.homes]
    n_parts = len([*edges, *homes][0])
    return [
        replace(field, edges=tuple(e[k] for e in edges), homes=tuple(h[k] for h in homes))
        for k in range(n_parts)
    ]


def _joined(call: Call) -> Field:
    """Concatenate the edges as the tensors were."""
    tensors, dim = call.args[0], call.argument("dim") % call.args[0][0].ndim
    return _together([call.field(t) for t in tensors], [t.shape[dim] for t in tensors], dim)


def _stacked(call: Call) -> Field:
    """Put the edges beside each other along a dimension of their own."""
    tensors, dim = call.args[0], call.argument("dim") % call.output.ndim
    fields = [
        None if field is None else field.each(lambda edge: edge.unsqueeze(dim))
        for field in map(call.field, tensors)
    ]
    return _together(fields, [1] * len(tensors), dim)


def _together(fields: Sequence[Field | None], along: Sequence[int], dim: int) -> Field:
    """Concatenate edges, each of some length along a dimension; None is of no picture."""

    def join(parts: Sequence[Tensor]) -> Tensor:
        lengths = [max(sizes) for sizes in zip(*(p.shape for p in parts if p.ndim), strict=True)]
        expanded = [
            part.expand([length if d == dim else n for d, n in enumerate(lengths)])
            for part, length in zip(parts, along, strict=True)
        ]
        return compact(torch.cat(expanded, dim))

    def join_homes(k: int) -> Tensor:
        homes = [field.homes[k] for field in tracked]
        apart = k == 0 and len({float(home) for home in homes if home.numel() == 1}) > 1
        if all(home.shape[dim] == 1 for home in homes) and not apart:
            return common_home(homes)[0]  # channels: all of the same place
        # A class token is in every picture (k = 0), and at no place of it.
        nowhere = NOTHING if k else homes[0].amin(dim, keepdim=True)
        return join([nowhere if field is None else field.homes[k] for field in fields])

    tracked = [field for field in fields if field is not None]
    return replace(
        tracked[0],
        edges=tuple(
            join([NOTHING if field is None else field.edges[k] for field in fields])
            for k in range(len(tracked[0].edges))
        ),
        homes=tuple(map(join_homes, range(len(tracked[0].homes)))),
        pairs=any(field.pairs for field in tracked),
    )


def _rearranged(call: Call) -> Field:
    """Do to the edges what was done to the tensor, at its full size."""
    others = [t for t in flat((call.args[1:], list(call.kwargs.values()))) if isinstance(t, Tensor)]
    if any(other.device.type != "cpu" for other in others):  # what is taken cannot be looked up
        return anything(call)
    shape = call.args[0].shape
    return call.main.each(
        lambda edge: compact(call.func(edge.expand(shape), *call.args[1:], **call.kwargs))
    )


def fresh(call: Call) -> None:
    """Make a tensor that has but the shape or the type of another."""


RULES: dict[str, Rule] = {
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
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full", "zeros_like"), fresh),
    **dict.fromkeys(("ones_like", "empty_like", "full_like", "rand_like", "randn_like"), fresh),
    # Elementwise, though torch does not tag them so.
    **dict.fromkeys(("hardswish", "_prelu_kernel", "log_sigmoid_forward", "mish"), pointwise),
    **dict.fromkeys(("masked_fill", "threshold", "fill", "zero", "rsub"), pointwise),
    "copy": _copied,
    **dict.fromkeys(("alias", "detach", "contiguous", "to", "_to_copy"), _of_main),
}


def _cost_of_convolution(output: Tensor, image: Tensor, weight: Tensor, *more: Any) -> int:
    transposed = more[4]
    # Each weight of a filter is used at every place of the output (transposed: of the input).
    positions = image if transposed else output
    return positions.numel() * weight[0].numel()


def _cost_of_product(output: Tensor, first: Tensor, *more: Any) -> int:
    return output.numel() * first.shape[-1]


def _cost_of_sum_and_product(output: Tensor, added: Tensor, first: Tensor, *more: Any) -> int:
    return output.numel() * first.shape[-1]


def _cost_of_attention(output: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    pairs = query.shape[:-1].numel() * key.shape[-2]
    return pairs * (query.shape[-1] + value.shape[-1])


COSTS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("convolution", "_convolution"), _cost_of_convolution),
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mv", "dot"), _cost_of_product),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _cost_of_sum_and_product),
    "scaled_dot_product_attention": _cost_of_attention,
}


def _each(value: Any, n: int | None) -> list[int]:
    """Return one number for each dimension, of one for all or a list."""
    values = [value] if isinstance(value, int) else list(value)
    return values if n is None or len(values) == n else values * n
