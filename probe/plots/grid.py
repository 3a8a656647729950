"""Pictures of one size in rows and columns, each with a line below it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from probe.plots.figures import broken, cut, is_own, points, room

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.13
"""Height of a line of small text, in inches."""

SMALL, LARGE = 6.0, 8.0
"""Points of what stands below pictures: those of less than three quarters of an inch, and large
ones."""

NOTE = 6.0
"""Points of the note below all."""


@dataclass(frozen=True)
class Grid:
    """Tiles of equal size in columns; lengths are inches.

    Attributes
    ----------
    columns : int
    width, height : float
        Of a tile.
    below : float
        Room for text below each.
    gap : float
    beside : float
        Room at the right of each.
    """

    columns: int
    width: float
    height: float
    below: float
    gap: float
    beside: float = 0.0

    @property
    def step(self) -> tuple[float, float]:
        """From one tile to the next: across, down."""
        return self.width + self.beside + self.gap, self.height + self.below + self.gap

    @property
    def letters(self) -> float:
        """How large letters below are, in points."""
        return letters_below(self.width)

    def size(self, n: int) -> tuple[float, float]:
        """Return the width and height that ``n`` tiles take."""
        across, down = self.step
        return min(n, self.columns) * across - self.gap, math.ceil(n / self.columns) * down

    def box(self, k: int, top: float = 0.0) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top of the tile that is the ``k``-th below ``top``."""
        across, down = self.step
        x, y = k % self.columns * across, top + k // self.columns * down
        return x, x + self.width, y + self.height, y

    def draw(
        self, ax: Axes, k: int, top: float, picture: np.ndarray, text: str, *, smooth: bool = False
    ) -> None:
        """Draw the tile that is the ``k``-th below ``top``, and a text below it."""
        left, right, bottom, top = self.box(k, top)
        ax.imshow(
            picture,
            extent=(left, right, bottom, top),
            interpolation="antialiased" if smooth else "nearest",
        )
        if self.below and text:
            ax.text(
                (left + right) / 2, bottom + 0.02,
                cut(text, 0.95 * self.width + self.gap, self.letters), fontsize=self.letters,
                color="0.35", ha="center", va="top",
            )  # fmt: skip


def letters_below(width: float) -> float:
    """Return how large letters are below a picture of so many inches, in points."""
    return float(np.clip(7.3 * width, SMALL, LARGE))


def line_below(width: float) -> float:
    """Return the height of such a line, in inches."""
    return LINE * letters_below(width) / SMALL


def space(ax: Axes | None, title: str, note: str) -> tuple[float, float] | None:
    """Return width and height, in inches, that pictures have in a user's Axes; None in our own."""
    if ax is None:
        return None
    wide, high = room(ax)
    size = min(8.0, points("axes.titlesize"))
    titles = 1 + broken(title, 0.94 * wide, size).count("\n") if title else 1
    notes = 1 + broken(note, 0.94 * wide, NOTE).count("\n") if note else 0
    taken = 1.3 * (titles * size + notes * NOTE) / 72 + 0.15
    return 0.92 * wide, max(high - taken - 0.1, 0.4 * high)


def columns_of(n: int, step: Callable[[float], tuple[float, float]], into: tuple[float, float],
               largest: float) -> tuple[int, float]:  # fmt: skip
    """Return into how many columns ``n`` tiles fit at their largest, and how wide they are.

    Parameters
    ----------
    n : int
    step : callable
        Of the width of a tile, in inches: from one to the next, across and down.
    into : (width, height)
        Inches there are.
    largest : float
        Inches of a tile at most.
    """
    best = (1, 0.0)
    for columns in range(1, n + 1):
        low, high = 0.01, largest
        for _ in range(12):
            width = (low + high) / 2
            across, down = step(width)
            fits = columns * across <= into[0] and math.ceil(n / columns) * down <= into[1]
            low, high = (width, high) if fits else (low, width)
        if low > best[1] + 1e-3:
            best = columns, low
    return best


def blank(ax: Axes, width: float, height: float, title: str, note: str, *, left: float = 0.0
          ) -> None:  # fmt: skip
    """Make an Axes in inches, from the top left, which is at ``left``."""
    ax.set_axis_off()
    own = is_own(ax)
    size = min(8.0, points("axes.titlesize"))
    wide = width if own else 0.94 * room(ax)[0]
    # In our own figure, the title is broken when all that it may stand above is there.
    ax.set_title(title if own else broken(title, wide, size), fontsize=size)
    if note:
        ax.text(
            left, height + 0.04, broken(note, max(width, 1.2), NOTE), fontsize=NOTE, color="0.35",
            va="top",
        )  # fmt: skip
    ax.set_autoscale_on(False)
    ax.set_xlim(left, left + width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
