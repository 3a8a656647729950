"""The gradient of a target over a picture that is too large for one pass: tile by tile.

Every unit of a layer belongs to one tile: that in which the middle of its window lies. The network
is given each tile with a margin, so that its units see all that they see in the whole picture, and
the gradients of the tiles, margins included, add up to that of the whole. Tiles at the border of
the picture end there, as the whole picture does. So there are no seams to be hidden.

What exists for pictures of one size alone, such as the response of a published V4 neuron, is asked
of pieces of exactly that size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, inf, prod

import torch
from torch import Tensor

from probe import models
from probe.activations.batch_size import with_graph
from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.models import Network
from probe.models.receptive_fields import ReceptiveField
from probe.synthesis.optimise import Precision, ValueAndGradient, computes_bfloat16, through
from probe.synthesis.settings import MIN_OCTAVE_SIDE_PX
from probe.synthesis.transforms import generator
from probe.targets import Norm, Outputs, Sum, Target, Unit

MAX_PASS_BYTES = 3 * 2**28
"""What one pass keeps for the way back, at most, where nobody names a size of tiles."""

MAX_MARGIN_PX = 128
"""Pixels of a margin, at most. Units of deep layers see more in theory, but hardly react to what
lies so far from their middle (Luo et al. 2016, Understanding the effective receptive field in deep
convolutional networks). What is left out then differs from step to step, as the grid of tiles is
laid anew in each."""


@dataclass(frozen=True)
class Margin:
    """How tiles have to be laid for some layers.

    Attributes
    ----------
    step : int
        Pixels of which a tile's corner has to be a multiple, for units to lie where they do in the
        whole picture.
    width : int
        Pixels around a tile.
    exact : bool
        Whether that is all that the units of a tile see; if not, it is `MAX_MARGIN_PX`.
    fields : dict of str to ReceptiveField or None
        Of each layer; None where it has no positions, or none at even steps.
    """

    step: int
    width: int
    exact: bool
    fields: dict[str, ReceptiveField | None]


@dataclass(frozen=True)
class Part:
    """A stretch of one axis of the picture.

    Attributes
    ----------
    first, end : float
        Middles of windows that belong to it; infinite at the ends of the picture.
    low, high : int
        Pixels that the network is given.
    """

    first: float
    end: float
    low: int
    high: int


def margin(network: Network, layers: Sequence[str]) -> Margin:
    """Work out the margin of tiles from the receptive fields of some layers."""
    all_fields = models.measures(network).fields
    fields: dict[str, ReceptiveField | None] = {}
    for layer in layers:
        field = all_fields.get(layer)
        even = field is not None and field.jump is not None and not field.whole
        even = even and all(jump == int(jump) for jump in field.jump)  # type: ignore[union-attr]
        fields[layer] = field if even else None
    even_fields = [field for field in fields.values() if field is not None]
    jumps = [int(jump) for field in even_fields for jump in field.jump or ()]
    step = int(torch.tensor(jumps or [32]).amax())
    while any(step % jump for jump in jumps):
        step += 1
    needed = max((max(field.size) // 2 for field in even_fields), default=MAX_MARGIN_PX)
    width = ceil(min(needed, MAX_MARGIN_PX) / step) * step
    return Margin(step, width, len(even_fields) == len(fields) and width >= needed, fields)


def only_size(network: Network, layers: Sequence[str]) -> tuple[int, int] | None:
    """Return the height and width of the only pictures for which some layers exist.

    Parameters
    ----------
    network : Network
    layers : sequence of str
        Names as in `probe.models.layers`, or parts of what the network returns.

    Returns
    -------
    (int, int) or None
        What the network was made for, where it takes no picture of twice the side (such as a
        transformer with a table of positions), or does not come to the layers then (such as the
        readout of a V4 neuron); None where the layers exist for pictures of other sizes.
    """
    height, width = network.preprocessing.size
    names = {info.name for info in models.layers(network)}
    try:
        lacking = names - {info.name for info in models.layers(network, (2 * height, 2 * width))}
    except ProbeError:
        return height, width
    # What the network returns is not listed: it comes after all layers.
    ends = any(layer in lacking if layer in names else lacking for layer in layers)
    return (height, width) if ends else None


def runs_on(network: Network, layers: Sequence[str], size: tuple[int, int]) -> bool:
    """Return whether a network comes to some layers in pictures of a size.

    Where later layers take no picture of that size, it is run up to these, unless the picture is
    so large that this would take long.

    Parameters
    ----------
    network : Network
    layers : sequence of str
        Names as in `probe.models.layers`, or parts of what the network returns.
    size : (int, int)
        Height and width, in pixels.
    """
    try:
        models.layers(network, size)
    except ProbeError:
        if prod(size) > 4 * prod(network.preprocessing.size):
            return False
    else:
        return True
    first = next(network.module.parameters(), torch.zeros(()))
    zeros = torch.zeros(1, 3, *size, dtype=first.dtype, device=first.device)
    try:
        differentiable(network.module, zeros, layers)
    except Exception:  # a user's module may raise anything
        return False
    return True


def min_side_px(network: Network, layers: Sequence[str]) -> int | None:
    """Return the side of the smallest square in which a network comes to some layers, in pixels.

    Parameters
    ----------
    network, layers
        As in `runs_on`.

    Returns
    -------
    int or None
        At least `MIN_OCTAVE_SIDE_PX`. None where it does not come to them in squares of the size
        that it was made for.
    """
    sides = range(MIN_OCTAVE_SIDE_PX, max(network.preprocessing.size) + 1)
    k = bisect_left(sides, True, key=lambda side: runs_on(network, layers, (side, side)))
    return sides[k] if k < len(sides) else None


def fitting(network: Network, layers: Sequence[str], around: Margin, precision: Precision) -> int:
    """Return the side of tiles in pixels with which a pass keeps at most `MAX_PASS_BYTES`."""
    infos = models.layers(network)
    last = max((k for k, info in enumerate(infos) if info.name in layers), default=len(infos) - 1)
    values = sum(prod(info.output_shape) for info in infos[: last + 1] if info.kind != "block")
    device = next((p.device for p in network.module.parameters()), torch.device("cpu"))
    half = precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))
    per_pixel = values * (2 if half else 4) / prod(network.preprocessing.size)
    side = int((MAX_PASS_BYTES / max(per_pixel, 1)) ** 0.5) - 2 * around.width
    return max(side // around.step * around.step, 2 * around.step, 128)


def in_tiles(
    network: Network,
    target: Target,
    *,
    tile: int | None = None,
    jitter: int = 0,
    seed: int = 0,
    precision: Precision = "auto",
) -> ValueAndGradient:
    """Return value and gradient of a target over one picture of any size.

    Parameters
    ----------
    network : Network
        On the device of the pictures.
    target : Target
        Anything but a unit at one position. Of what has no positions, such as a class, every tile
        is asked as if it were a picture, and counts by its area. Of what exists for pictures of
        one size alone (see `only_size`), pieces of that size are asked as pictures, which overlap
        where the picture is no multiple of it: each pixel has the mean gradient of those that show
        it.
    tile : int, optional
        Side of the tiles, in pixels, without their margin; by default what `fitting` gives. A
        picture that fits is taken as a whole.
    jitter : int
        Pixels by which the picture is rolled in each step, at random, at most. Pieces of the only
        size are laid anywhere, if this is not 0.
    seed : int
        Of the rolls.
    precision : {"auto", "float32", "bfloat16"}
        See `probe.synthesis.optimise.through`.

    Returns
    -------
    callable
        See `ValueAndGradient`; of one picture, (1, 3, height, width).

    Raises
    ------
    ProbeError
        If the target is a unit at one position, tiles are smaller than the steps of its layers, or
        a picture is smaller than the only size for which the target exists.
    """
    terms = target.terms if isinstance(target, Sum) else ((1.0, target),)
    for _, term in terms:
        if isinstance(term, Unit):
            raise ProbeError(
                f"{term.name!r} is a unit at one position, but tiles ask for all of them: name "
                f"the channel, {term.layer}:{term.channel}"
            )
    if (only := only_size(network, target.layers)) is not None:
        if tile is not None:
            raise ProbeError(
                f"tile {tile}: expected none, since {target.name!r} exists only for "
                f"{only[1]}×{only[0]} pixels, which are the tiles then"
            )
        return _in_pieces(network, target, only, jitter=jitter, seed=seed, precision=precision)
    layout = margin(network, target.layers)
    side = fitting(network, target.layers, layout, precision) if tile is None else tile
    if side < layout.step:
        raise ProbeError(
            f"tiles of {side} pixels are too small: the units of {target.name} are "
            f"{layout.step} pixels apart"
        )

    def objective(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        rng = generator(seed, step)
        rolls = torch.randint(-jitter, jitter + 1, (2,), generator=rng).tolist()
        starts = torch.randint(side // layout.step, (2,), generator=rng).mul(layout.step).tolist()
        # Up to a whole number of units, the picture goes on with what comes in at its other side:
        # networks may lay their windows elsewhere if one is left over.
        sizes = [ceil(size / layout.step) * layout.step for size in pictures.shape[-2:]]
        down, across = (
            _parts(size, side, layout, 0 if layout.exact else start)
            for size, start in zip(sizes, starts, strict=True)
        )
        total = torch.zeros_like(pictures)
        value = torch.zeros(len(pictures), device=pictures.device)
        counts: dict[str, list[int]] = {}
        # The last comes first: it tells how many units there are.
        for parts in reversed([*product(down, across)]):
            of_tile = _Own(target, terms, parts, layout, sizes, counts)
            rows, columns = (
                _runs(part.low - roll, part.high - part.low, size)
                for part, roll, size in zip(parts, rolls, pictures.shape[-2:], strict=True)
            )
            rows_of_pixels = [torch.cat([pictures[..., row, column] for column in columns], -1)
                    for row in rows]  # fmt: skip
            ask = through(network, of_tile, waking=0, precision=precision)
            number, gradient = ask(torch.cat(rows_of_pixels, -2), step)
            value += number
            # Not those with which the picture goes on: they have been, or will be, in their place.
            height, width = (
                min(part.high, size) - part.low
                for part, size in zip(parts, pictures.shape[-2:], strict=True)
            )
            _add(total, gradient[..., :height, :width], rows, columns)
        return value, total

    return objective


def _in_pieces(
    network: Network,
    target: Target,
    size: tuple[int, int],
    *,
    jitter: int,
    seed: int,
    precision: Precision,
) -> ValueAndGradient:
    """Return value and gradient of a target that exists for one size only; see `in_tiles`."""
    ask = through(network, target, waking=0, precision=precision)
    most = with_graph(network)

    def objective(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        rng = generator(seed, step)
        axes = []
        for length, side in zip(pictures.shape[-2:], size, strict=True):
            if length < side:
                raise ProbeError(
                    f"a picture of {pictures.shape[-1]}×{pictures.shape[-2]} pixels is too small: "
                    f"{target.name!r} exists only for {size[1]}×{size[0]} pixels"
                )
            n = ceil(length / side)
            # Borders of pieces come to lie anywhere. A picture that is one piece stays nearly where
            # it is: a neuron's field is at one place of what it is shown.
            most_roll = jitter if n == 1 else side // 2 if jitter else 0
            (roll,) = torch.randint(-most_roll, most_roll + 1, (1,), generator=rng).tolist()
            axes.append([_runs(round(k * length / n) - roll, side, length) for k in range(n)])
        windows = [*product(*axes)]
        pieces = torch.cat([
            torch.cat(
                [torch.cat([pictures[..., row, column] for column in columns], -1) for row in rows],
                -2,
            )
            for rows, columns in windows
        ])  # fmt: skip
        results = [ask(some, step) for some in pieces.split(most)]
        total, count = torch.zeros_like(pictures), torch.zeros_like(pictures[:, :1])
        for (rows, columns), gradient in zip(
            windows, torch.cat([gradient for _, gradient in results]), strict=True
        ):
            _add(total, gradient[None], rows, columns)
            _add(count, torch.ones_like(gradient[None, :1]), rows, columns)
        values = torch.cat([value for value, _ in results])
        return values.mean(0, keepdim=True), total / count

    return objective


def _runs(start: int, n: int, size: int) -> list[slice]:
    """Return the pixels of an axis from ``start``, which goes on at its other end, as runs."""
    runs = []
    while n > 0:
        start %= size
        runs.append(slice(start, min(start + n, size)))
        n -= runs[-1].stop - start
        start = size
    return runs


def _add(total: Tensor, part: Tensor, rows: Sequence[slice], columns: Sequence[slice]) -> None:
    """Add what belongs to some runs of pixels in its place; what is left over has none."""
    top = 0
    for row in rows:
        left = 0
        for column in columns:
            here = part[
                ..., top : top + row.stop - row.start, left : left + column.stop - column.start
            ]
            total[..., row, column][..., : here.shape[-2], : here.shape[-1]] += here
            left += column.stop - column.start
        top += row.stop - row.start


def _parts(size: int, side: int, around: Margin, start: int) -> list[Part]:
    """Cut one axis into tiles; the first one ends at ``start``, or is as wide as the others."""
    if size <= side + around.width:
        return [Part(-inf, inf, 0, size)]
    n = ceil(size / side)
    side = ceil(size / n / around.step) * around.step  # all alike
    cuts = [cut for cut in range(start % side or side, size, side) if cut >= around.step]
    if len(cuts) > 1 and size - cuts[-1] < around.step:
        cuts.pop()
    return [
        Part(
            -inf if low == 0 else low,
            inf if high == size else high,
            max(low - around.width, 0),
            min(high + around.width, size),
        )
        for low, high in zip([0, *cuts], [*cuts, size], strict=True)
    ]


class _Own(Target):
    """What the units of one tile add to a target."""

    def __init__(
        self,
        target: Target,
        terms: Sequence[tuple[float, Target]],
        parts: tuple[Part, Part],
        around: Margin,
        sizes: Sequence[int],
        counts: dict[str, list[int]],
    ) -> None:
        self.layers, self.name = target.layers, target.name
        self.terms, self.parts, self.around = terms, parts, around
        self.sizes, self.counts = sizes, counts

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute the value of each picture; see `Target.__call__`."""
        values = [weight * self._share(term, outputs) for weight, term in self.terms]
        return torch.stack(values).sum(0)

    def _share(self, term: Target, outputs: Outputs) -> Tensor:
        """Compute a term over the units of the tile: a part of a sum, or of a mean."""
        units: dict[str, Tensor] = {}
        share = 1.0
        for layer in term.layers:
            field = self.around.fields[layer]
            if field is None or outputs[layer].ndim != 4:
                units[layer] = outputs[layer]
                share = prod(
                    (min(part.end, size) - max(part.first, 0)) / size
                    for part, size in zip(self.parts, self.sizes, strict=True)
                )
                continue
            (rows, n_rows), (columns, n_columns) = self._units(layer, field, outputs[layer])
            units[layer] = outputs[layer][:, :, rows, columns]
            share = prod(units[layer].shape[-2:]) / max(n_rows * n_columns, 1)
        if share == 0:  # the mean of nothing is no number
            return torch.stack([part.flatten(1).sum(1) for part in units.values()]).sum(0)
        return term(units) * (1.0 if isinstance(term, Norm) else share)

    def _units(
        self, layer: str, field: ReceptiveField, output: Tensor
    ) -> Iterator[tuple[slice, int]]:
        """Return the units of the tile along each axis, and how many there are in the picture."""
        totals = self.counts.setdefault(layer, [])
        assert field.jump is not None  # as in `margin`
        assert field.start is not None
        for axis, part in enumerate(self.parts):
            n, jump = output.shape[2 + axis], int(field.jump[axis])
            before = part.low // jump  # units of the picture above or left of the first one here
            if len(totals) <= axis:
                totals.append(before + n)
            middle = field.start[axis] + (field.size[axis] - 1) / 2
            first, end = (
                int(min(max(edge if abs(edge) == inf else ceil((edge - middle) / jump) - before,
                            0), n))
                for edge in (part.first, part.end)
            )  # fmt: skip
            yield slice(first, end), totals[axis]
