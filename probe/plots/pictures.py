"""Pictures side by side, each with a line below it: what a network made, and what it is like."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from probe.plots.figures import cut_all, own_figure, width_of
from probe.plots.grid import SMALL, Grid, blank, columns_of, line_below, space

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 300
"""Dots per inch of a figure: at this, a pixel of a picture is a dot."""

SMALLEST, LARGEST = 0.5, 2.0
"""Width of a picture in inches: labels have room, and few pictures fill no page."""

FEW = 1.1
"""The least width where all pictures go into one row at it: a single small one is no stamp."""

WIDTH = 7.0
"""What one row may take, in inches; more rows are about one and a half times as wide as high."""

LABELLED = 0.3
"""Pictures that are narrower, in inches, have no label."""

NARROWEST = 2.5
"""Width of a figure in inches, at least: its title has room."""

GAP = 0.05
"""Between pictures, in inches."""


def plot_pictures(
    pictures: np.ndarray,
    labels: Sequence[str],
    *,
    crossed: Collection[int] = (),
    patches: Sequence[Sequence[np.ndarray | None]] | None = None,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures of one size in rows.

    Parameters
    ----------
    pictures : numpy.ndarray, uint8, shape (n, height, width, 3 or 4)
    labels : sequence of str
        What stands below each.
    crossed : collection of int
        Pictures that show nothing: they are pale and crossed out.
    patches : sequence of sequences of numpy.ndarray, uint8, (height, width, 3), or None, optional
        What stands at the right of each picture, as high as it is; None leaves a place empty.
    title, note : str
        What stands above, and below in small letters.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    n, height, width = pictures.shape[:3]
    n_patches = max((len(row) for row in patches or ()), default=0)
    into = space(ax, title, note)
    longest = max((width_of(label, SMALL) for label in labels), default=0.0)
    grid = _grid(n, width, height, n_patches, into, longest)
    across, high = grid.size(n)
    across = max(across, NARROWEST if into is None else min(NARROWEST, into[0]))
    shown = cut_all(labels, 0.86 * grid.width, grid.letters)
    with own_figure(ax, across, high) as axes:
        blank(axes, across, high, title, note)
        for k, picture in enumerate(pictures):
            pixels = picture if k not in crossed else _pale(picture)
            grid.draw(axes, k, 0.0, pixels, shown[k], smooth=True)
            left, right, bottom, top = grid.box(k)
            if k in crossed:
                for ends in ((top, bottom), (bottom, top)):
                    axes.plot((left, right), ends, color="0.4", linewidth=0.6)
            for column, patch in enumerate(patches[k] if patches is not None else ()):
                x = right + GAP / 2 + column * (grid.height + GAP / 2)
                if patch is not None:
                    axes.imshow(
                        patch,
                        extent=(x, x + grid.height, bottom, top),
                        interpolation="antialiased",
                    )
    return axes


def _grid(
    n: int,
    width: int,
    height: int,
    beside: int,
    into: tuple[float, float] | None,
    longest: float,
) -> Grid:
    """Lay out n pictures of so many pixels, with so many patches beside each, and their labels."""
    if into is not None:

        def step(wide: float) -> tuple[float, float]:
            high = wide * height / width
            across = beside * (high + GAP / 2) + 2 * GAP if beside else 0.0
            return wide + across + GAP, high + (line_below(wide) if wide >= LABELLED else 0.0) + GAP

        columns, wide = columns_of(n, step, into, into[0])
        across = step(wide)[0] - wide - GAP
        below = line_below(wide) if wide >= LABELLED else 0.0
        return Grid(columns, wide, wide * height / width, below, GAP, across)
    wide = min(max(width / DPI, SMALLEST, min(longest / 0.86, FEW)), LARGEST)
    if n * (FEW + GAP) <= WIDTH:  # as large as one row allows
        wide = max(wide, FEW)
    high = wide * height / width
    room = beside * (high + GAP / 2) + 2 * GAP if beside else 0.0
    line = line_below(wide)
    across, down = Grid(1, wide, high, line, GAP, room).step
    columns = max(round(math.sqrt(1.5 * n * down / across)), int(WIDTH / across), 1)
    return Grid(min(columns, n), wide, high, line, GAP, room)


def _pale(picture: np.ndarray) -> np.ndarray:
    """Lighten the colours, not the transparency."""
    return np.concatenate([picture[..., :3] // 4 + 191, picture[..., 3:]], 2)


def tiled(pictures: np.ndarray) -> np.ndarray:
    """Lay pictures (n, height, width, 3 or 4) edge to edge in rows; what is left over is white."""
    n, height, width, channels = pictures.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * columns, height, width, channels), 255, dtype=np.uint8)
    sheet[:n] = pictures
    sheet = sheet.reshape(rows, columns, height, width, channels)
    return sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
