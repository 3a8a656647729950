"""GIST: the spatial envelope of a scene (Oliva & Torralba 2001, Int J Comput Vis 42:145).

The energy of oriented filters at several scales, averaged on a coarse grid: 4 scales, 8
orientations, 4×4 squares, 512 values. Bank and prefilter are those with which the authors publish
it: the logarithm of the grey levels, without what is coarser than 4 cycles per picture, divided by
its local contrast.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = (256, 256)
"""Height and width of the pictures, in pixels."""
ORIENTATIONS = tuple(22.5 * k for k in range(8))
"""In degrees: 0° are vertical bars, and they turn anticlockwise."""
FREQUENCIES = tuple(0.3 / 1.85**k for k in range(4))
"""Of the filters, in cycles per pixel."""
GRID = 4
"""Squares along a side of the picture."""

_CUTOFF = 4.0  # of the prefilter, in cycles per picture: half the amplitude is left there
_FRAME = 5  # around the picture while it is whitened, in pixels
_BORDER = 32  # around it while it is filtered
_CONTRAST = 0.2  # added to the local contrast


class LocalNormalisation(nn.Module):
    """Whitening and normalisation of contrast: (n, 3, y, x), from 0 to 1, to (n, 1, y, x)."""

    output_axes = ("picture", "channel", "y", "x")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return what is left of the grey levels."""
        grey = (255.0 * pictures.mean(1) + 1.0).log()
        framed = _mirrored(grey, _FRAME)
        coarse = torch.from_numpy(_coarse(*framed.shape[1:])).to(framed)
        fine = framed - _filtered(framed, coarse)
        # A root has no slope at 0.
        contrast = _filtered(fine.square(), coarse).abs().clamp_min(1e-12).sqrt()
        return _cut(fine / (_CONTRAST + contrast), _FRAME)[:, None]


class GaborEnergy(nn.Module):
    """Energy of oriented filters on a grid: (n, 1, y, x) to (n, 32, 4, 4).

    Channels are the frequencies, the finest first, and the orientations of each.
    """

    output_axes = ("picture", "channel", "y", "x")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the mean moduli of what the filters return."""
        framed = _mirrored(pictures[:, 0], _BORDER)
        spectrum = torch.fft.fft2(framed)
        bank = torch.from_numpy(gabor_bank(*framed.shape[1:])).to(framed)
        energies = [_cut(torch.fft.ifft2(spectrum * gabor).abs(), _BORDER) for gabor in bank]
        return functional.adaptive_avg_pool2d(torch.stack(energies, 1), GRID)


@functools.lru_cache(maxsize=4)
def gabor_bank(height: int, width: int) -> np.ndarray:
    """Compute the transfer functions of the filters.

    Returns
    -------
    numpy.ndarray, float32, shape (32, height, width)
        In the order of `torch.fft.fft2`; 1 at a filter's frequency and orientation.
    """
    x, y = _plane(height, width)
    frequency, direction = np.hypot(x, y), np.degrees(np.arctan2(-y, x))  # rows run downwards
    filters = []
    for centre in FREQUENCIES:
        along = 3.5 * (frequency / centre - 1.0) ** 2
        for orientation in ORIENTATIONS:
            off = np.radians((direction - orientation + 180.0) % 360.0 - 180.0)
            filters.append(np.exp(-along - 2.0 * math.pi * off**2))
    return np.stack(filters).astype(np.float32)


@functools.lru_cache(maxsize=4)
def _coarse(height: int, width: int) -> np.ndarray:
    """Compute the transfer function of the low-pass filter."""
    x, y = _plane(height, width)
    square = (x * width) ** 2 + (y * height) ** 2
    return np.exp(-math.log(2.0) * square / _CUTOFF**2).astype(np.float32)


def _plane(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies of a Fourier transform along x and y, in cycles per pixel."""
    return np.fft.fftfreq(width)[None, :], np.fft.fftfreq(height)[:, None]


def _filtered(pictures: Tensor, transfer: Tensor) -> Tensor:
    return torch.fft.ifft2(torch.fft.fft2(pictures) * transfer).real


def _mirrored(pictures: Tensor, margin: int) -> Tensor:
    """Mirror pictures at their edges, which are repeated: (n, y, x) to (n, y + 2 m, x + 2 m)."""
    for axis in (1, 2):
        before = pictures.narrow(axis, 0, margin).flip(axis)
        after = pictures.narrow(axis, pictures.shape[axis] - margin, margin).flip(axis)
        pictures = torch.cat([before, pictures, after], axis)
    return pictures


def _cut(pictures: Tensor, margin: int) -> Tensor:
    return pictures[:, margin:-margin, margin:-margin]
