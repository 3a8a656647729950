"""Pictures of one size in rows and columns, each with a line below it."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from probe.plots.layers import CHARACTER, in_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.13
"""Height of a line of small text, in inches."""

SMALL = 5.5
"""Points of what stands below pictures."""

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
        if self.below:
            ax.text(
                (left + right) / 2, bottom + 0.02, text,
                fontsize=SMALL, color="0.35", ha="center", va="top",
            )  # fmt: skip


def blank(
    ax: Axes, width: float, height: float, title: str, note: str, *, own: bool, left: float = 0.0
) -> None:
    """Make an Axes in inches, from the top left, which is at ``left``."""
    ax.set_axis_off()
    ax.set_title("", loc="left", fontsize=8)  # its size decides where lines are broken
    ax.set_title(in_lines(title, ax, own), loc="left", fontsize=8)
    if note:
        broken = textwrap.fill(note, max(int(width / (CHARACTER * NOTE)), 20))
        ax.text(left, height + 0.04, broken, fontsize=NOTE, color="0.35", va="top")
    ax.set_autoscale_on(False)
    ax.set_xlim(left, left + width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
