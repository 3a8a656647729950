"""What light a picture sends out, and how it looks: luma, luminance and CIELAB, from sRGB."""

from __future__ import annotations

import torch
from torch import Tensor

# Linear R, G, B to CIE XYZ, with white D65 (IEC 61966-2-1).
_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)

LUMA = (0.299, 0.587, 0.114)
"""What R, G and B count (ITU-R BT.601, as in Pillow's mode ``L``); they sum to 1."""


def exact(pictures: Tensor) -> Tensor:
    """Return pictures in double precision, where the device has it.

    What is counted in bins depends on which side of an edge a value is: with fewer digits, pixels
    would change bins, and counts the first digits.
    """
    return pictures if pictures.device.type == "mps" else pictures.double()


def linear(pictures: Tensor) -> Tensor:
    """Compute the light of each primary: undo the transfer function of sRGB, element by element."""
    curve = ((pictures.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(pictures > 0.04045, curve, pictures / 12.92)


def luma(pictures: Tensor) -> Tensor:
    """Compute the grey that networks without colour see: (n, 3, y, x) of sRGB to (n, 1, y, x)."""
    return _weighed(pictures, LUMA)[:, None]


def luminance(pictures: Tensor) -> Tensor:
    """Compute relative luminance: (n, 3, y, x) of sRGB to (n, y, x), from black 0 to white 1."""
    return _weighed(linear(pictures), _TO_XYZ[1])


def lab(pictures: Tensor) -> Tensor:
    """Compute CIELAB: (n, 3, y, x) of sRGB to L* (0 to 100), a* and b*, in the same shape."""
    light = linear(pictures)
    x, y, z = (
        _root(_weighed(light, weights) / white)
        for weights, white in zip(_TO_XYZ, _WHITE, strict=True)
    )
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], 1)


def _weighed(primaries: Tensor, weights: tuple[float, float, float]) -> Tensor:
    red, green, blue = (weight * primaries[:, k] for k, weight in enumerate(weights))
    return red + green + blue


def _root(share: Tensor) -> Tensor:
    """Compute CIELAB's lightness of a share of white: a cube root, but for a straight start."""
    straight = 7.787 * share + 16.0 / 116.0  # CIE 15, in its rounded constants
    return torch.where(share > 0.008856, share.clamp_min(0.008856) ** (1.0 / 3.0), straight)
