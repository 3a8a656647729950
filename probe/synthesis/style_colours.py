"""What becomes of the colours when a picture takes on another's style (Gatys et al. 2017,
Preserving color in neural artistic style transfer).

Pictures are (1, 3, height, width) in 0–1.
"""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601): the Y of YIQ, which that paper takes for luminance."""

FAINTEST = 1e-3
"""Share of a picture's variance below which one of its colours is taken for noise. Photographs have
0.003 and more in each; stretched to a style's, the last bits of a nearly grey one are grain."""


def luminance(picture: Tensor) -> Tensor:
    """Return the luminance, (1, 1, height, width)."""
    weights = torch.tensor(LUMA).to(picture)[:, None, None]
    return (picture * weights).sum(1, keepdim=True)


def luminance_bounds(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest luminance that each pixel can have in its chroma.

    With the same added to red, green and blue, the chroma (I and Q of YIQ) stays; none of the three
    may leave 0–1.
    """
    luma = luminance(picture)
    least, most = picture.amin(1, keepdim=True), picture.amax(1, keepdim=True)
    return luma - least, luma + (1 - most)


def with_luminance(picture: Tensor, luma: Tensor) -> Tensor:
    """Return a picture with another luminance, as far as its chroma allows.

    ``luma`` is (1, 1, height, width).
    """
    low, high = luminance_bounds(picture)
    luma = torch.minimum(torch.maximum(luma, low), high)
    return (picture + luma - luminance(picture)).clamp(0, 1)


def mean_and_covariance(picture: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Compute the mean, (channels, 1), and the covariance of colours, in float64.

    ``mask``, (height, width), says how much each pixel counts; by default all the same.
    """
    flat = picture[0].flatten(1).double()
    counts = torch.ones_like(flat[0]) if mask is None else mask.flatten().double()
    counts = counts / counts.sum()
    mean = (flat * counts).sum(1, keepdim=True)
    return mean, (flat - mean) * counts @ (flat - mean).T


def filled(picture: Tensor, alpha: Tensor | None) -> Tensor:
    """Return a picture whose transparent pixels have the mean of the colours that can be seen."""
    if alpha is None:
        return picture
    mean, _ = mean_and_covariance(picture, alpha)
    return torch.where(alpha > 0, picture, mean.to(picture)[:, None])


def grey_like(
    style: Tensor,
    content: Tensor,
    style_mask: Tensor | None = None,
    content_mask: Tensor | None = None,
) -> Tensor:
    """Return a style's luminance with the mean and standard deviation of the content's (eq. 10).

    Masks, (height, width), say how much each pixel counts.
    """
    luma = luminance(style)
    mean, variance = mean_and_covariance(luma, style_mask)
    new_mean, new_variance = mean_and_covariance(luminance(content), content_mask)
    factor = new_variance.sqrt() / variance.sqrt().clamp(min=1e-6)
    return ((luma - mean.to(luma)) * factor.to(luma) + new_mean.to(luma)).clamp(0, 1)


def matched(
    style: Tensor,
    content: Tensor,
    style_mask: Tensor | None = None,
    content_mask: Tensor | None = None,
) -> Tensor:
    """Return a style with the mean and covariance of the content's colours.

    Masks are as in `grey_like`. Of all linear maps that do, the one that moves colours
    least: S^-½ (S^½ C S^½)^½ S^-½, the optimal transport between two Gaussians (Olkin & Pukelsheim
    1982). Where S has less than `FAINTEST` of its variance it is taken to have that.
    """
    mean, covariance = mean_and_covariance(style, style_mask)
    new_mean, new_covariance = mean_and_covariance(content, content_mask)
    root, inverse = _roots(covariance, FAINTEST * float(covariance.trace()))
    cross = _roots(root @ new_covariance @ root)[0]
    moved = inverse @ cross @ inverse @ (style[0].flatten(1).double() - mean) + new_mean
    return moved.view_as(style).to(style.dtype).clamp(0, 1)


def _roots(matrix: Tensor, least: float = 0.0) -> tuple[Tensor, Tensor]:
    """Compute the root of a covariance, of eigenvalues of ``least`` or more, and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=max(least, 1e-8))
    return (vectors * values.sqrt()) @ vectors.T, (vectors / values.sqrt()) @ vectors.T
