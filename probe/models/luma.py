"""The grey that networks without colour see."""

from __future__ import annotations

from torch import Tensor

WEIGHTS = (0.299, 0.587, 0.114)
"""What R, G and B count (ITU-R BT.601, as in Pillow's mode ``L``); they sum to 1."""


def luma(pictures: Tensor) -> Tensor:
    """Weigh R, G and B, and add them: (n, 3, y, x) to (n, 1, y, x)."""
    red, green, blue = (w * pictures[:, k : k + 1] for k, w in enumerate(WEIGHTS))
    return red + green + blue
