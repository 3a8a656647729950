"""What becomes of the colours when a picture takes on another's style (Gatys et al. 2017,
Preserving color in neural artistic style transfer).

Pictures are (1, 3, height, width) in 0–1.
"""

from __future__ import annotations

import torch
from torch import Tensor

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


def mean_and_covariance(picture: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Give the mean, (channels, 1), and the covariance of colours, in float64.

    ``seen``, (height, width), says how much each pixel counts; by default all the same.
    """
    flat = picture[0].flatten(1).double()
    counts = torch.ones_like(flat[0]) if seen is None else seen.flatten().double()
    counts = counts / counts.sum()
    mean = (flat * counts).sum(1, keepdim=True)
    return mean, (flat - mean) * counts @ (flat - mean).T


def filled(picture: Tensor, alpha: Tensor | None) -> Tensor:
    """Give what cannot be seen at all the mean of the colours that can."""
    if alpha is None:
        return picture
    mean, _ = mean_and_covariance(picture, alpha)
    return torch.where(alpha > 0, picture, mean.to(picture)[:, None])


def grey_like(
    style: Tensor, content: Tensor, seen: Tensor | None = None, there: Tensor | None = None
) -> Tensor:
    """Give a style's luminance the mean and deviation of the content's (eq. 10).

    ``seen`` and ``there``, (height, width), say how much the pixels of style and content count.
    """
    own = luminance(style)
    mean, variance = mean_and_covariance(own, seen)
    wanted, spread = mean_and_covariance(luminance(content), there)
    factor = spread.sqrt() / variance.sqrt().clamp(min=1e-6)
    return ((own - mean.to(own)) * factor.to(own) + wanted.to(own)).clamp(0, 1)


def matched(
    style: Tensor, content: Tensor, seen: Tensor | None = None, there: Tensor | None = None
) -> Tensor:
    """Give a style with the mean and covariance of the content's colours.

    ``seen`` and ``there`` as in `grey_like`. Of all linear maps that do, the one that moves colours
    least: S^-½ (S^½ C S^½)^½ S^-½, the optimal transport between two Gaussians (Olkin & Pukelsheim
    1982).
    """
    mean, covariance = mean_and_covariance(style, seen)
    wanted, spread = mean_and_covariance(content, there)
    root, inverse = _roots(covariance)
    middle = _roots(root @ spread @ root)[0]
    moved = inverse @ middle @ inverse @ (style[0].flatten(1).double() - mean) + wanted
    return moved.view_as(style).to(style.dtype).clamp(0, 1)


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Give the root of a covariance, and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=1e-8)
    return (vectors * values.sqrt()) @ vectors.T, (vectors / values.sqrt()) @ vectors.T
