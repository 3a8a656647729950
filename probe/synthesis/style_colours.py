"""What becomes of the colours when a picture takes on another's style (Gatys et al. 2017,
Preserving color in neural artistic style transfer).

Pictures are (1, 3, height, width) in 0–1.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Colours = Literal["style", "keep", "match"]
COLOURS = ("style", "keep", "match")

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601): the Y of YIQ, which that paper takes for luminance."""


def luminance(picture: Tensor) -> Tensor:
    """Give the luminance, (1, 1, height, width)."""
    weights = torch.tensor(LUMA).to(picture)[:, None, None]
    return (picture * weights).sum(1, keepdim=True)


def luminance_bounds(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Give the least and the largest luminance that each pixel can have in its chroma.

    With the same added to red, green and blue, the chroma (I and Q of YIQ) stays; none of the three
    may leave 0–1.
    """
    own = luminance(picture)
    least, most = picture.amin(1, keepdim=True), picture.amax(1, keepdim=True)
    return own - least, own + (1 - most)


def with_luminance(picture: Tensor, wanted: Tensor) -> Tensor:
    """Give a picture another luminance, (1, 1, height, width), as far as its chroma allows."""
    low, high = luminance_bounds(picture)
    wanted = torch.minimum(torch.maximum(wanted, low), high)
    return (picture + wanted - luminance(picture)).clamp(0, 1)


def grey_like(style: Tensor, content: Tensor) -> Tensor:
    """Give a style's luminance the mean and deviation of the content's (eq. 10)."""
    own, wanted = luminance(style), luminance(content)
    spread = wanted.std() / own.std().clamp(min=1e-6)
    return ((own - own.mean()) * spread + wanted.mean()).clamp(0, 1)


def matched(style: Tensor, content: Tensor) -> Tensor:
    """Give a style with the mean and covariance of the content's colours.

    Of all linear maps that do, the one that moves colours least: S^-½ (S^½ C S^½)^½ S^-½, the
    optimal transport between two Gaussians (Olkin & Pukelsheim 1982).
    """
    one, other = (p[0].flatten(1).double() for p in (style, content))
    means = [p.mean(1, keepdim=True) for p in (one, other)]
    root, inverse = _roots(torch.cov(one))
    middle = _roots(root @ torch.cov(other) @ root)[0]
    moved = inverse @ middle @ inverse @ (one - means[0]) + means[1]
    return moved.view_as(style).to(style.dtype).clamp(0, 1)


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Give the root of a covariance, and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=1e-8)
    return (vectors * values.sqrt()) @ vectors.T, (vectors / values.sqrt()) @ vectors.T
