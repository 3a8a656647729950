"""Pictures side by side, each with a line below it: what a network made, and what it is like."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from probe.plots.figures import own_figure
from probe.plots.layers import CHARACTER, in_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 300
"""Dots per inch of a figure: at this, a pixel of a picture is a dot."""

SMALLEST, LARGEST = 0.5, 2.0
"""Width of a picture in inches: labels have room, and few pictures fill no page."""

WIDTH = 7.0
"""What one row may take, in inches; more rows are about one and a half times as wide as high."""

NARROWEST = 2.5
"""Width of a figure in inches, at least: its title has room."""

LINE = 0.11
"""Height of a line below a picture, in inches."""

GAP = 0.05
"""Between pictures, in inches."""

SMALL = 5.5
"""Points of what stands below pictures."""


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
    pictures : numpy.ndarray, uint8, shape (n, height, width, 3)
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
    beside = max((len(row) for row in patches), default=0) if patches is not None else 0
    wide = min(max(width / DPI, SMALLEST), LARGEST)
    high = wide * height / width
    block = wide + beside * (high + GAP / 2)
    step = (block + GAP * (3 if beside else 1), high + LINE + GAP)
    columns = max(round(math.sqrt(1.5 * n * step[1] / step[0])), int(WIDTH / step[0]), 1)
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    whole = (max(columns * step[0] - (step[0] - block), NARROWEST), rows * step[1])
    with own_figure(ax, *whole) as axes:
        axes.set_axis_off()
        axes.set_title("", loc="left", fontsize=8)  # its size decides where lines are broken
        axes.set_title(in_lines(title, axes, ax is None), loc="left", fontsize=8)
        axes.set_autoscale_on(False)
        axes.set_xlim(0, whole[0])
        axes.set_ylim(whole[1], 0)
        axes.set_aspect("equal")
        for k, picture in enumerate(pictures):
            left, top = k % columns * step[0], k // columns * step[1]
            box = (left, left + wide, top + high, top)
            shown = picture if k not in crossed else picture // 4 + 191
            axes.imshow(shown, extent=box, interpolation="antialiased")
            if k in crossed:
                for ends in ((top, top + high), (top + high, top)):
                    axes.plot((left, left + wide), ends, color="0.4", linewidth=0.6)
            axes.text(
                left + wide / 2, top + high + 0.015, _cut(labels[k], wide + GAP),
                fontsize=SMALL, color="0.35", ha="center", va="top",
            )  # fmt: skip
            for place, patch in enumerate(patches[k] if patches is not None else ()):
                x = left + wide + GAP / 2 + place * (high + GAP / 2)
                if patch is not None:
                    axes.imshow(
                        patch, extent=(x, x + high, top + high, top), interpolation="antialiased"
                    )
        if note:
            axes.text(
                0, whole[1] + 0.03, in_lines(note, axes, ax is None),
                fontsize=SMALL, color="0.35", ha="left", va="top",
            )  # fmt: skip
    return axes


def _cut(label: str, width: float) -> str:
    """Shorten what does not fit into so many inches: in the middle, as names end in numbers."""
    most = max(int(width / (CHARACTER * SMALL)), 4)
    if len(label) <= most:
        return label
    return f"{label[: (most - 1) // 2]}…{label[len(label) - most // 2 :]}"


def tiled(pictures: np.ndarray) -> np.ndarray:
    """Lay pictures (n, height, width, 3) edge to edge in rows; what is left over is white."""
    n, height, width = pictures.shape[:3]
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    made = np.full((rows * columns, height, width, 3), 255, dtype=np.uint8)
    made[:n] = pictures
    made = made.reshape(rows, columns, height, width, 3)
    return made.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
