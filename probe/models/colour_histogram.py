"""Histograms of colours (Swain & Ballard 1991, Int J Comput Vis 7:11).

How often each colour occurs in a picture, wherever it is. Colours are counted jointly: a bin is a
box in a space of colours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from probe.models.light import exact, lab

RGB_BINS = (8, 8, 8)
"""Of R, G and B, from 0 to 1 each."""

LAB_BINS = (5, 11, 11)
"""Of L*, a* and b*: cubes with sides of 20. Their numbers are odd, so that grey is in the middle of
a bin, and not on an edge, where rounding would choose the bin."""

LAB_RANGES = ((0.0, 100.0), (-110.0, 110.0), (-110.0, 110.0))
"""What L*, a* and b* of sRGB stay within."""


class _JointHistogram(nn.Module):
    """Shares of the pixels, which sum to 1: (n, 3, y, x) to (n, bins), the last axis fastest."""

    output_axes = ("picture", "channel")

    def __init__(self, bins: tuple[int, int, int], ranges: tuple[tuple[float, float], ...]) -> None:
        super().__init__()
        self.bins = bins
        self.ranges = ranges

    def count(self, values: Tensor) -> Tensor:
        """Count values of three axes, of which those at the upper end are in the last bin."""
        at = torch.zeros_like(values[:, 0], dtype=torch.long)
        for k, (bins, (low, high)) in enumerate(zip(self.bins, self.ranges, strict=True)):
            position = ((values[:, k] - low) / (high - low) * bins).floor()
            at = at * bins + position.long().clamp(0, bins - 1)
        return shares(at.flatten(1), math.prod(self.bins))


class RGBHistogram(_JointHistogram):
    """Shares of the pixels in boxes of R, G and B: (n, 3, y, x), from 0 to 1, to (n, 512)."""

    def __init__(self) -> None:
        super().__init__(RGB_BINS, ((0.0, 1.0),) * 3)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the shares."""
        return self.count(exact(pictures)).to(pictures.dtype)


class LabHistogram(_JointHistogram):
    """Shares of the pixels in cubes of CIELAB: (n, 3, y, x) of sRGB, from 0 to 1, to (n, 605)."""

    def __init__(self) -> None:
        super().__init__(LAB_BINS, LAB_RANGES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the shares."""
        return self.count(lab(exact(pictures))).to(pictures.dtype)


def shares(bins: Tensor, n_bins: int) -> Tensor:
    """Compute which share of each row of ``bins``, (n, values), is of each bin: (n, n_bins)."""
    counts = torch.zeros(len(bins), n_bins, dtype=torch.long, device=bins.device)
    # Whole numbers: their sum is the same in any order.
    return counts.scatter_add(1, bins, torch.ones_like(bins)) / bins.shape[1]
