"""Histograms of oriented gradients, and the dense descriptors that visual words are made of.

Dalal & Triggs 2005, CVPR, without the Gaussian window on blocks and without interpolation between
bins, as scikit-image computes them: equal to its ``hog`` with the same settings, but where the
longest gradients of two channels are equally long, such as (5, 5) and (1, 7): rounding chooses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from probe.models.light import exact

_CUT = 0.2
"""What no value of a block may exceed before it is normalised again (Lowe's hysteresis)."""
_FLOOR = 1e-5
"""Joins the norms, so that a uniform block has values of 0."""


class OrientedGradients(nn.Module):
    """Histograms of gradients in blocks of cells: (n, 3, y, x) to (n, channels, blocks, blocks).

    Of each pixel, the channel with the steepest gradient counts, with its length. Channels of the
    output are row and column of the cell in the block, then orientation.

    Parameters
    ----------
    orientations : int
        Number of bins.
    cell : int
        Side of a cell, in pixels.
    block : int
        Side of a block, in cells. Blocks overlap: there is one at every cell.
    signed : bool
        Whether a gradient and its opposite are two orientations: bins of 360°, and not of 180°.
    """

    output_axes = ("picture", "channel", "y", "x")

    def __init__(
        self, orientations: int = 9, cell: int = 8, block: int = 2, signed: bool = False
    ) -> None:
        super().__init__()
        self.orientations = orientations
        self.cell = cell
        self.block = block
        self.span = 360.0 if signed else 180.0

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the normalised blocks: 0 or more."""
        length, orientation = _steepest(exact(pictures))
        position = (orientation.remainder(self.span) / (self.span / self.orientations)).floor()
        # An angle just below 0° is rounded to 180°, which is that of the last bin.
        bins = position.clamp_max(self.orientations - 1)
        zero = torch.zeros_like(length)
        cells = torch.stack(
            [
                functional.avg_pool2d(torch.where(bins == k, length, zero), self.cell)
                for k in range(self.orientations)
            ],
            1,
        )
        blocks = self._blocks(cells)
        blocks = (blocks / _norm(blocks)).clamp_max(_CUT)
        return (blocks / _norm(blocks)).to(pictures.dtype)

    def _blocks(self, cells: Tensor) -> Tensor:
        """Put the cells of each block side by side."""
        rows, columns = (n - self.block + 1 for n in cells.shape[2:])
        of_blocks = [
            cells[:, :, y : y + rows, x : x + columns]
            for y in range(self.block)
            for x in range(self.block)
        ]
        return torch.cat(of_blocks, 1)


def _steepest(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return length and direction, in degrees, of the longest gradient of any channel."""
    down = functional.pad(pictures[:, :, 2:] - pictures[:, :, :-2], (0, 0, 1, 1))
    right = functional.pad(pictures[..., 2:] - pictures[..., :-2], (1, 1))
    chosen = torch.hypot(down, right).argmax(1, keepdim=True)
    down, right = (side.gather(1, chosen)[:, 0] for side in (down, right))
    square = down.square() + right.square()
    # A root has no slope at 0.
    some = square > 0.0
    length = torch.where(some, torch.where(some, square, 1.0).sqrt(), 0.0)
    return length, torch.atan2(down.detach(), right.detach()) * (180.0 / math.pi)


def _norm(blocks: Tensor) -> Tensor:
    return (blocks.square().sum(1, keepdim=True) + _FLOOR**2).sqrt()
