r"""V1's simple and complex cells: Gabor filters, half-squaring and divisive normalisation.

After Heeger 1992, Vis Neurosci 9:181 and 427. A simple cell squares the positive part of what its
filter returns; four of them, a quarter of a period apart, add up to a complex cell, which is the
energy of a pair in quadrature (Adelson & Bergen 1985, J Opt Soc Am A 2:284). Both are divided by
the energy of the contrast around them, so that a grating of contrast c at a cell's own orientation
and frequency has the responses

    simple: c² max(cos φ, 0)² / (c² + c₅₀²),    complex: c² / (c² + c₅₀²),

φ being its phase at the cell. Heeger's pool, the sum of all cells' energies, is the local energy of
the contrast, since his filters cover all frequencies alike; here that is computed as such, and
bends no tuning curve at the ends of the bank.

A picture spans `degrees` of visual field, 8 unless said otherwise, and lies on a grey screen.
Nothing here was learned: there is no untrained V1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from probe.errors import ProbeError
from probe.models.light import luma
from probe.models.registry import GABOR_DEGREES

SIZE = (224, 224)
"""Height and width of the pictures, in pixels."""

STRIDE = 8
"""Pixels from one position of the map to the next."""

ORIENTATIONS = tuple(22.5 * k for k in range(8))
"""In degrees: 0° are vertical bars, and they turn anticlockwise, as in `probe.stimuli.gratings`."""

FREQUENCIES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""In cycles per degree, in steps of an octave: most of the range of macaque V1 near the fovea (De
Valois, Albrecht & Thorell 1982, Vision Res 22:545). Those that a picture cannot show are left
out."""

PHASES = (0.0, 90.0, 180.0, 270.0)
"""Of the simple cells, in degrees."""

BANDWIDTH = 1.4
"""Octaves between the frequencies at which the sensitivity to contrast, which goes with what the
filter returns, is half the largest: near the median (ibid.)."""

ORIENTATION_BANDWIDTH = 40.0
"""Degrees between the orientations at which the response is half the largest: near the median (De
Valois, Yund & Hepler 1982, Vision Res 22:531)."""

SEMISATURATION = 0.33
"""c₅₀, the contrast of half the largest response: a choice of ours among what cells of macaque V1
have (Sclar, Maunsell & Lennie 1990, Vision Res 30:1)."""

VERSION = 1
"""Part of the state, and so of what activations are kept under: raised when the values change."""

_POOL = 2.0
"""Deviation of the window of the normalisation, as a multiple of the envelope's: a choice of ours,
since suppressive surrounds are wider than the classical field (Cavanaugh, Bair & Movshon 2002, J
Neurophysiol 88:2530)."""

_SPREAD = (2.0**BANDWIDTH - 1.0) / (2.0**BANDWIDTH + 1.0) / math.sqrt(2.0 * math.log(2.0))
"""Deviation of a filter's passband, as a share of its frequency: .383."""

_REACH = 4.0
"""Deviations at which an envelope is cut off."""


def envelope(frequency: float) -> tuple[float, float]:
    """Compute how wide the envelope of a Gabor of the stated bandwidths is.

    Parameters
    ----------
    frequency : float
        In cycles per unit of length.

    Returns
    -------
    across, along : float
        Standard deviations across and along the bars, in that unit.
    """
    spread = _SPREAD * frequency
    turn = math.radians(ORIENTATION_BANDWIDTH / 2.0)
    # Responses are squares of what filters return: half of one is √½ of the other.
    off = frequency * (1.0 - math.cos(turn)) / spread
    spread_along = frequency * math.sin(turn) / math.sqrt(math.log(2.0) - off**2)
    return 1.0 / (2.0 * math.pi * spread), 1.0 / (2.0 * math.pi * spread_along)


def across_and_along(reach: int, orientation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the pixels of a kernel lie across and along the bars, from its middle.

    Parameters
    ----------
    reach : int
        Pixels on each side of the middle.
    orientation : float
        In degrees: 0° are vertical bars, and they turn anticlockwise.

    Returns
    -------
    tuple of two numpy.ndarray, shape (2 · reach + 1, 2 · reach + 1)
    """
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    turn = math.radians(orientation)
    # Rows run downwards.
    return x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)


def gabor_pair(frequency: float, orientation: float) -> np.ndarray:
    """Compute an even and an odd Gabor filter without a mean.

    Parameters
    ----------
    frequency : float
        In cycles per pixel.
    orientation : float
        In degrees.

    Returns
    -------
    numpy.ndarray, complex128, shape (side, side)
        A grating of contrast 1 at this frequency and orientation has a response of modulus 1.
    """
    across, along = envelope(frequency)
    reach = math.ceil(_REACH * max(across, along))
    u, v = across_and_along(reach, orientation)
    window = np.exp(-(u**2) / (2.0 * across**2) - v**2 / (2.0 * along**2))
    kernel = window * np.exp(2j * np.pi * frequency * u)
    kernel -= window * (kernel.sum() / window.sum())
    return kernel / np.abs((kernel * np.cos(2.0 * np.pi * frequency * u)).sum())


class GaborFilters(nn.Module):
    """Pairs of Gabors: (n, 3, y, x), as contrasts, to (n, frequencies · orientations · 2, y, x).

    Each pair is an even filter and an odd one. Frequencies are in cycles per pixel.
    """

    def __init__(self, frequencies: Sequence[float], surround: float) -> None:
        super().__init__()
        self.surround = surround
        self.n = len(frequencies)
        for k, frequency in enumerate(frequencies):
            pairs = np.stack([gabor_pair(frequency, turn) for turn in ORIENTATIONS])
            kernels = np.stack([pairs.real, pairs.imag], axis=1).reshape(-1, 1, *pairs.shape[1:])
            self.register_buffer(f"gabors_{k}", torch.from_numpy(kernels.astype(np.float32)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return what the filters see, from −1 to 1 for gratings."""
        contrast, maps = luma(pictures), []
        for gabors in (self.get_buffer(f"gabors_{k}") for k in range(self.n)):
            framed = _framed(contrast, gabors.shape[-1] // 2, self.surround)
            maps.append(functional.conv2d(framed, gabors, stride=STRIDE))
        return torch.cat(maps, 1)


class NormalisationPool(nn.Module):
    """The energy of the contrast around cells: (n, 3, y, x) to (n, frequencies, y, x).

    Twice the variance of the contrast in a Gaussian window: c² for a grating of contrast c.
    """

    def __init__(self, frequencies: Sequence[float], surround: float) -> None:
        super().__init__()
        self.surround = surround
        self.n = len(frequencies)
        for k, frequency in enumerate(frequencies):
            window = _gaussian(_POOL * max(envelope(frequency)))
            self.register_buffer(f"window_{k}", torch.from_numpy(window))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the energies, 0 or more."""
        contrast, energies = luma(pictures), []
        for window in (self.get_buffer(f"window_{k}") for k in range(self.n)):
            framed = _framed(contrast, len(window) // 2, self.surround)
            mean, square = (_blurred(values, window) for values in (framed, framed.square()))
            energies.append(2.0 * (square - mean.square()).clamp_min(0.0))
        return torch.cat(energies, 1)


class SimpleCells(nn.Module):
    """Half-squared and normalised: (n, frequencies · orientations · phases, y, x), 0 to 1."""

    def forward(self, filtered: Tensor, energy: Tensor) -> Tensor:
        """Return the responses of cells of four phases."""
        n, _, height, width = filtered.shape
        even, odd = filtered.view(n, energy.shape[1], -1, 2, height, width).unbind(3)
        # A filter of phase φ is even · cos φ + odd · sin φ.
        phases = torch.stack([even, odd, -even, -odd], 3)
        normalised = phases.clamp_min(0.0).square() / (energy + SEMISATURATION**2)[:, :, None, None]
        return normalised.flatten(1, 3)


class ComplexCells(nn.Module):
    """The sum of four simple cells: (n, frequencies · orientations, y, x), 0 to 1."""

    def forward(self, simple: Tensor) -> Tensor:
        """Return the energies of pairs in quadrature, normalised as the simple cells are."""
        n, channels, height, width = simple.shape
        return simple.view(n, channels // 4, 4, height, width).sum(2)


class V1Gabor(nn.Module):
    """V1's cells: (n, 3, 224, 224), as contrasts from −1 to 1, to (n, 40, 28, 28).

    Parameters
    ----------
    degrees : float
        Of visual field that the width of a picture spans.
    surround : float
        Luminance around the picture, from 0 (black) to 1 (white): by default that of a grey screen,
        which cells at the border see as well.

    Attributes
    ----------
    cells : tuple of (float, float)
        Frequency (cycles per degree) and orientation (degrees) of each complex cell; those of a
        frequency come together. Of the simple cells, each has the four of `PHASES` in turn.

    Raises
    ------
    ProbeError
        If the cells cannot be built for pictures of so many degrees.
    """

    def __init__(self, degrees: float = GABOR_DEGREES[1], surround: float = 0.5) -> None:
        super().__init__()
        least, _, most = GABOR_DEGREES
        if not least <= degrees <= most:
            raise ProbeError(f"degrees {degrees:g}: expected {least:g} to {most:g}")
        if not 0.0 <= surround <= 1.0:
            raise ProbeError(f"surround {surround:g}: expected a luminance from 0 to 1")
        per_degree = SIZE[0] / degrees
        # What passes the filters with more than a sixth of the amplitude is seen by the pixels, and
        # two periods lie in a picture.
        finest = per_degree / 2.0 / (1.0 + 1.9 * _SPREAD)
        frequencies = [f for f in FREQUENCIES if 2.0 / degrees <= f <= finest]
        self.degrees = degrees
        self.cells = tuple((f, turn) for f in frequencies for turn in ORIENTATIONS)
        per_pixel, contrast = [f / per_degree for f in frequencies], 2.0 * surround - 1.0
        self.filters = GaborFilters(per_pixel, contrast)
        self.pool = NormalisationPool(per_pixel, contrast)
        self.simple = SimpleCells()
        self.complex = ComplexCells()
        self.register_buffer("version", torch.tensor([VERSION, surround]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the responses of the complex cells."""
        return self.complex(self.simple(self.filters(x), self.pool(x)))


def _framed(contrast: Tensor, reach: int, surround: float) -> Tensor:
    """Put the screen around pictures: cells are in the middle of squares of 8×8 pixels."""
    before, after = reach - STRIDE // 2, reach - (STRIDE - STRIDE // 2 - 1)
    return functional.pad(contrast, (before, after) * 2, value=surround)


def _gaussian(deviation: float) -> np.ndarray:
    reach = math.ceil(_REACH * deviation)
    window = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2.0 * deviation**2))
    return (window / window.sum()).astype(np.float32)


def _blurred(pictures: Tensor, window: Tensor) -> Tensor:
    rows = functional.conv2d(pictures, window.view(1, 1, -1, 1), stride=(STRIDE, 1))
    return functional.conv2d(rows, window.view(1, 1, 1, -1), stride=(1, STRIDE))
