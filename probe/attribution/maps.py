"""Maps as tensors: all at the picture's size, and how alike two of them are."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import Tensor

from probe.errors import ProbeError

SHOWN_QUANTILE = 0.99
"""Share of a map's values that are told apart where it is compared as a picture."""


def at_picture(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps of any method to one number for every pixel.

    Parameters
    ----------
    maps : torch.Tensor, shape (n, 3, height, width) or (n, y, x)
        Of pixels: colours are summed, with their signs. Of a layer's positions: interpolated
        bilinearly.
    size : (height, width)
        Of the pictures.

    Returns
    -------
    torch.Tensor, shape (n, height, width), float32

    Raises
    ------
    ProbeError
        If they have another shape, or a value is not finite.
    """
    if maps.ndim not in (3, 4) or (maps.ndim == 4 and maps.shape[1:] != (3, *size)):
        raise ProbeError(
            f"maps have shape {tuple(maps.shape)}: expected (n, 3, {size[0]}, {size[1]}), or (n, "
            "y, x) of a layer's positions"
        )
    if not maps.isfinite().all():
        raise ProbeError("a map has values that are not finite, and cannot be checked")
    maps = maps.detach().float()
    if maps.ndim == 4:
        return maps.sum(1)
    if maps.shape[1:] == size:
        return maps
    large = torch.nn.functional.interpolate(maps[:, None], size, mode="bilinear")[:, 0]
    # Rounding must not make a constant map look as if it were none.
    return large.clamp(maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True))


def similarities(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Return how alike two maps are, as Adebayo et al. (2018) measure it.

    Parameters
    ----------
    one, other : numpy.ndarray, shape (height, width)

    Returns
    -------
    dict of str to float
        ``spearman``, of the values, and ``spearman_abs``, of their magnitudes, −1 to 1; ``ssim``,
        of the magnitudes as they are shown: up to the 99th percentile, divided by it. NaN, where a
        map is constant.
    """
    if np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return dict.fromkeys(("spearman", "spearman_abs", "ssim"), np.nan)
    return {
        "spearman": spearman(one, other),
        "spearman_abs": spearman(np.abs(one), np.abs(other)),
        "ssim": ssim(_shown(one), _shown(other)),
    }


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate the ranks of two maps; NaN, where one is constant."""
    if np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two pictures whose values lie between 0 and 1.

    Wang, Bovik, Sheikh & Simoncelli (2004), eq. 13, with their constants: means, variances and
    covariance in Gaussian windows of 1.5 pixels' deviation, 11 wide; the mean over all windows that
    lie within the picture.

    Parameters
    ----------
    one, other : numpy.ndarray, shape (height, width), at least 11×11

    Raises
    ------
    ProbeError
        If they are smaller.
    """
    radius, c1, c2 = 5, 0.01**2, 0.03**2
    if min(one.shape) <= 2 * radius:
        raise ProbeError(
            f"maps of {one.shape[0]}×{one.shape[1]} pixels are too small for SSIM: 11×11 at least"
        )

    def mean(values: np.ndarray) -> np.ndarray:
        smooth = gaussian_filter(values, 1.5, radius=radius)
        return np.asarray(smooth[radius:-radius, radius:-radius])

    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def _shown(values: np.ndarray) -> np.ndarray:
    """Return magnitudes as they are shown: up to the 99th percentile, divided by it."""
    magnitudes = np.abs(values).astype(np.float64)
    end = np.quantile(magnitudes, SHOWN_QUANTILE) or magnitudes.max()
    return np.minimum(magnitudes / end, 1.0)
