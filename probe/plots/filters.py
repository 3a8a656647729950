"""Grids of small pictures: kernels, activation maps, and the patches that drive a channel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from probe.plots.figures import own_figure
from probe.plots.grid import LINE, SMALL, Grid, blank, columns_of, line_below, space
from probe.plots.maps import SIGNED, UNSIGNED, coloured, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMED = 40
"""Rows that have a number beside them whatever their height, at most."""

WIDTH = 7.0
"""Of a figure, in inches: two columns of a journal."""

LARGEST = 1.0
"""Side of a tile, in inches, at most."""

NUMBERED = 0.22
"""Tiles that are narrower, in inches, have no number below them."""

LETTERED = 0.36
"""The same of tiles that have a number and a value."""

BESIDE = 0.42
"""Room for the number of a channel left of its patches, in inches."""


def _grid(
    n: int,
    aspect: float,
    *,
    columns: int | None = None,
    into: tuple[float, float] | None = None,
    numbered: float = NUMBERED,
) -> Grid:
    """Lay out ``n`` tiles of a height of ``aspect`` widths, in our width or into a space."""

    def below(width: float) -> float:
        return 0.8 * line_below(width) if width >= numbered else 0.0

    def step(width: float) -> tuple[float, float]:
        gap = 0.06 * width + 0.01
        return width + gap, width * aspect + gap + below(width)

    if into is not None:
        columns, width = columns_of(n, step, into, into[0])
    else:
        columns = columns or max(1, min(n, math.ceil(math.sqrt(1.5 * n * aspect))))
        width = min(LARGEST, WIDTH / columns * 0.94)
    return Grid(columns, width, width * aspect, below(width), 0.06 * width + 0.01)


def plot_kernels(
    kernels: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    *,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw kernels in groups, all on one scale that is symmetric around zero.

    Parameters
    ----------
    kernels : numpy.ndarray, shape (n, channels, height, width)
        Those of 3 channels (R, G, B) are drawn in their own colours around mid-grey, those of 1
        channel in red (positive) and blue.
    groups : mapping of str to sequence of int
        Which kernels are drawn, under which heading, in which order.
    title, note : str
        What stands above, and below in small letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    n, _, height, width = kernels.shape
    into = space(ax, title, note)
    if into is not None:
        # A row more for each heading's last, which may be half empty.
        into = (into[0], into[1] - 1.6 * LINE * len(groups))
        fewest = min(len(group) for group in groups.values() if len(group)) if n else 1
        grid = _grid(n + (len(groups) - 1) * min(fewest, 12), height / width, into=into)
    else:
        grid = _grid(max(n, 60), height / width)
    end = scale_of(kernels)
    high = sum(grid.size(len(group))[1] + 1.6 * LINE for group in groups.values())
    across = grid.size(max(map(len, groups.values()), default=n))[0]
    with own_figure(ax, across, high) as axes:
        blank(axes, across, high, title, note)
        top = 0.0
        for heading, group in groups.items():
            name = f"{len(group)} {heading}"
            axes.text(0, top + 1.2 * LINE, name, fontsize=7, ha="left", va="bottom")
            top += 1.6 * LINE
            for position, k in enumerate(group):
                grid.draw(axes, position, top, _kernel_picture(kernels[k], end), str(k))
            top += grid.size(len(group))[1]
    return axes


def _kernel_picture(kernel: np.ndarray, end: float) -> np.ndarray:
    if len(kernel) == 1:
        return coloured(kernel[0], signed=True, scale=end)
    return np.clip(0.5 + kernel.transpose(1, 2, 0) / (2 * end), 0, 1)


def plot_maps(
    maps: np.ndarray,
    numbers: Sequence[int],
    picture: np.ndarray,
    *,
    shared: bool = True,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a picture, and activation maps of it.

    Parameters
    ----------
    maps : numpy.ndarray, shape (n, height, width)
        If any is negative, zero is in the middle of the colours.
    numbers : sequence of int
        Of the channels.
    picture : numpy.ndarray, uint8, shape (height, width, 3)
    shared : bool
        All maps on one scale, within which 99.5 % of the values lie; else each on its own, which
        ends at its largest absolute value.
    title, note : str
        What stands above, and below in small letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    n = len(maps)
    signed = bool(maps.min() < 0)
    end = scale_of(maps)
    bar = 3.0 * LINE
    into = space(ax, title, note)
    into = None if into is None else (into[0], into[1] - bar)
    grid = _grid(n + 1, picture.shape[0] / picture.shape[1], into=into, numbered=LETTERED)
    across, high = grid.size(n + 1)
    across = max(across, 0.8)  # for the numbers of the scale
    with own_figure(ax, across, high + bar) as axes:
        blank(axes, across, high + bar, title, note)
        grid.draw(axes, 0, 0.0, picture, "as the network sees it", smooth=True)
        for position, (number, values) in enumerate(zip(numbers, maps, strict=True), start=1):
            own_end = float(np.abs(values).max()) or 1.0
            rgb = coloured(values, signed=signed, scale=end if shared else own_end)
            grid.draw(axes, position, 0.0, rgb, f"{number}: {_short(float(values.max()))}")
        _scale_bar(axes, high, min(across, 2.0), end if shared else None, signed=signed)
    return axes


def _scale_bar(ax: Axes, top: float, width: float, end: float | None, *, signed: bool) -> None:
    """Draw the colours from one end of the scale to the other, with its numbers below."""
    colours = mpl.colormaps[SIGNED if signed else UNSIGNED](np.linspace(0, 1, 256))[None, :, :3]
    top += 0.6 * LINE
    ax.imshow(colours, extent=(0, width, top + 0.8 * LINE, top), aspect="auto")
    last = "its largest" if end is None else _short(end)
    for x, text, align in (
        (0.0, f"−{last}" if signed else "0", "left"),
        (width / 2, "0" if signed else "", "center"),
        (width, last, "right"),
    ):
        ax.text(x, top + LINE, text, fontsize=SMALL, color="0.35", ha=align, va="top")
    ax.set_aspect("equal")


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def plot_patches(
    patches: Sequence[Sequence[np.ndarray | None]],
    values: np.ndarray,
    numbers: Sequence[int],
    projections: Sequence[Sequence[np.ndarray | None]] | None = None,
    *,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the patches that drive some channels, and what of them does.

    Parameters
    ----------
    patches : sequence of sequences of numpy.ndarray, uint8, shape (height, width, 3), or None
        A row per channel, the strongest first; None leaves a place empty.
    values : numpy.ndarray, shape (n_channels, k)
        The activations, which stand below the patches.
    numbers : sequence of int
        Of the channels.
    projections : sequence of sequences of numpy.ndarray, float, (height, width, 3), optional
        One for each patch, below it; each on its own scale, zero is grey, and 99.5 % of the values
        lie within.
    title, note : str
        What stands above, and below in small letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    n, k = values.shape
    some = next((patch for row in patches for patch in row if patch is not None), None)
    aspect = 1.0 if some is None else some.shape[0] / some.shape[1]
    into = space(ax, title, note)
    grid = _grid(k, aspect, columns=k, numbered=0.3)
    if into is not None:
        # Rows of patches, and lines of text between them.
        times, line = (2 if projections else 1) * aspect * 1.06, 0.6 * LINE
        room_across = (into[0] - BESIDE) / (1.06 * k)
        width = min(LARGEST, room_across, max((into[1] / n - 1.4 * LINE) / times, 0.0))
        if width < 0.3:  # without values
            width = min(LARGEST, room_across, max((into[1] / n - line) / times, 0.02))
        grid = Grid(k, width, aspect * width, 0.8 * line_below(width) if width >= 0.3 else 0.0,
                    0.06 * width + 0.005)  # fmt: skip
    across, high = grid.size(k)
    below = grid.height + grid.gap if projections else 0.0
    block = max(high + below + 0.6 * LINE, 1.7 * LINE if n <= MAX_NAMED else 0.0)
    with own_figure(ax, across + BESIDE, n * block) as axes:
        blank(axes, across + BESIDE, n * block, title, note, left=-BESIDE)
        for row, number in enumerate(numbers):
            top = row * block
            heading = f"channel\n{number}" if block > 2.4 * LINE else str(number)
            axes.text(-BESIDE, top, heading, fontsize=SMALL, color="0.2", ha="left", va="top")
            for rank, patch in enumerate(patches[row]):
                text = _short(float(values[row, rank]))
                if patch is None:
                    grid.draw(axes, rank, top, np.ones((1, 1, 3)), f"{text}, not driven")
                elif projections:
                    projection = projections[row][rank]
                    assert projection is not None  # there is one for each patch
                    scaled = np.clip(0.5 + projection / (2 * scale_of(projection)), 0, 1)
                    grid.draw(axes, rank, top, patch, "", smooth=True)
                    grid.draw(axes, rank, top + below, scaled, text, smooth=True)
                else:
                    grid.draw(axes, rank, top, patch, text, smooth=True)
    return axes
