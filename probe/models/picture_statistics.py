"""Luminance, contrast, and power at each spatial frequency.

Of relative luminance: linear light, not the numbers of the file.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from probe.models.light import luminance

GRID = 8
"""Squares along a side of the picture."""
N_OCTAVES = 6
"""The finest ends at the pixels' limit, .5 cycles per pixel."""
ORIENTATIONS = tuple(22.5 * k for k in range(8))
"""Centres of the bins, in degrees: 0° are vertical bars, and they turn anticlockwise."""

ROUNDING = 1.0 / (12.0 * 255.0**2)
"""Variance that a picture of 8 bits has by rounding: what is added to every power, so that a
uniform picture has a logarithm."""


class Luminance(nn.Module):
    """Mean luminance: (n, 3, y, x) of sRGB, from 0 to 1, to (n, 1)."""

    output_axes = ("picture", "channel")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return values from 0 (black) to 1 (white)."""
        return luminance(pictures).mean((1, 2))[:, None]


class Contrast(nn.Module):
    """RMS contrast: (n, 3, y, x) of sRGB, from 0 to 1, to (n, 1).

    The standard deviation of luminance, with n − 1 (Peli 1990, J Opt Soc Am A 7:2032): not divided
    by the mean, and so defined for black.
    """

    output_axes = ("picture", "channel")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return values of 0 or more."""
        return _deviation(luminance(pictures).flatten(1))[:, None]


class LocalLuminance(nn.Module):
    """Mean luminance of squares: (n, 3, y, x) of sRGB, from 0 to 1, to (n, 1, 8, 8)."""

    output_axes = ("picture", "channel", "y", "x")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return values from 0 (black) to 1 (white)."""
        return _squares(luminance(pictures)).mean(-1)[:, None]


class LocalContrast(nn.Module):
    """RMS contrast of squares: (n, 3, y, x) of sRGB, from 0 to 1, to (n, 1, 8, 8)."""

    output_axes = ("picture", "channel", "y", "x")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return values of 0 or more."""
        return _deviation(_squares(luminance(pictures)))[:, None]


class SpectralPower(nn.Module):
    """Power of luminance by spatial frequency and orientation: (n, 3, y, x) to (n, 48).

    The logarithm, to base 10, of the share of the variance of luminance in a Hann window that a bin
    has, plus `ROUNDING`. Bins are octaves, the coarsest first, and the orientations of each.
    """

    output_axes = ("picture", "channel")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logarithms."""
        light = luminance(pictures)
        window = _window(*light.shape[1:]).to(light)
        # The weighted mean: what is left has no power at frequency 0.
        centred = light - ((window * light).sum((1, 2)) / window.sum())[:, None, None]
        spectrum = torch.fft.fft2(centred * window)
        power = spectrum.real.square() + spectrum.imag.square()
        shares = power.flatten(1) / (window.numel() * window.square().sum())
        order, lengths = _bins(*light.shape[1:])
        n = N_OCTAVES * len(ORIENTATIONS)
        parts = shares[:, torch.from_numpy(order).to(light.device)].split(lengths, 1)[:n]
        return (torch.stack([part.sum(1) for part in parts], 1) + ROUNDING).log10()


def _deviation(values: Tensor) -> Tensor:
    """Compute standard deviations along the last axis, with a slope of 0 where they are 0."""
    variance = values.var(-1)
    some = variance > 0.0
    return torch.where(some, torch.where(some, variance, 1.0).sqrt(), 0.0)


def _squares(light: Tensor) -> Tensor:
    """Gather the pixels of each square: (n, y, x) to (n, 8, 8, pixels); a rest is left out."""
    height, width = (n // GRID for n in light.shape[1:])
    squares = light[:, None, : height * GRID, : width * GRID]
    patches = functional.unfold(squares, (height, width), stride=(height, width))
    return patches.transpose(1, 2).unflatten(1, (GRID, GRID))


def _window(height: int, width: int) -> Tensor:
    rows, columns = (torch.hann_window(n, dtype=torch.float64) for n in (height, width))
    return rows[:, None] * columns


@functools.lru_cache(maxsize=4)
def _bins(height: int, width: int) -> tuple[np.ndarray, list[int]]:
    """Return the points of a Fourier transform in the order of their bins, and how many each has.

    Last come those of no bin.
    """
    # Whole numbers of cycles, as long as the picture is square: no edge depends on rounding.
    x = np.fft.fftfreq(width, 1.0 / width)[None, :]
    y = -np.fft.fftfreq(height, 1.0 / width)[:, None]  # rows run downwards
    frequency, direction = np.hypot(x, y), np.degrees(np.arctan2(y, x))
    edges = width / 2.0 ** np.arange(N_OCTAVES + 1, 0, -1)
    octave = np.searchsorted(edges, frequency, side="right") - 1
    width_of_bin = 180.0 / len(ORIENTATIONS)
    turn = ((direction % 180.0) / width_of_bin + 0.5).astype(int) % len(ORIENTATIONS)
    n = N_OCTAVES * len(ORIENTATIONS)
    is_binned = (octave >= 0) & (octave < N_OCTAVES)
    at = np.where(is_binned, octave * len(ORIENTATIONS) + turn, n).ravel()
    return np.argsort(at, kind="stable"), np.bincount(at, minlength=n + 1).tolist()
