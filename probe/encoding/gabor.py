r"""Gabor energy: what complex cells, which have learned nothing, predict of recorded sites.

The bank stands beside the layers of a network: what a layer predicts beyond it is more than
oriented contrast energy.

Each unit is a pair of Gabors in quadrature with one isotropic envelope (Jones & Palmer 1987, J
Neurophysiol 58:1233), and returns the root of the sum of their squared responses: the same for a
grating of any phase and for either polarity (Adelson & Bergen 1985, J Opt Soc Am A 2:284). The pair
is the real and the imaginary part of one filter, here by its transfer function,

    H(f) = 2 / (1 − κ²) · [exp(−|f − f₀|² / 2s²) − κ exp(−|f|² / 2s²)],   κ = exp(−|f₀|² / 2s²),

with f in cycles per picture width. In the picture it is, up to a factor and with x in picture
widths, exp(−|x|² / 2σ²) · (exp(2πi f₀·x) − κ), σ = 1 / 2πs. Since H(0) = 0, no unit sees the mean
luminance.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from probe.errors import ProbeError
from probe.models import Network, Preprocessing, WeightsInfo
from probe.models.light import LUMA
from probe.models.weights import state_sha256

ORIENTATIONS = tuple(22.5 * k for k in range(8))
"""In degrees: 0° are vertical bars, and they turn anticlockwise, as in `probe.stimuli.gratings`."""

FREQUENCIES = (3.0, 6.0, 12.0, 24.0, 48.0)
"""In cycles per picture width, in steps of an octave.

In a picture that spans 6° they are 0.5 to 8 cycles per degree, out of the 0.5 to 11.2 from which
Dapello et al. (2020, NeurIPS 33:13073) draw theirs.
"""

BANDWIDTH = 1.4
"""Octaves between the two frequencies that pass at half the amplitude: the median in macaque V1
(De Valois, Albrecht & Thorell 1982, Vision Res 22:545)."""

CELLS = 28
"""Positions along each side of the map."""

N_CHANNELS = len(FREQUENCIES) * len(ORIENTATIONS) + 1
"""Units, and the luminance."""

VERSION = 1
"""Part of what activations are kept under: raised whenever the values change."""

_HALF_WIDTH = (2.0**BANDWIDTH - 1.0) / (2.0**BANDWIDTH + 1.0)
"""Half the distance between those two frequencies, as a share of their centre."""

_SD = _HALF_WIDTH / math.sqrt(2.0 * math.log(2.0))
"""s as a share of |f₀|: .383, so that σ is .416 periods."""

_MARGIN = 14
"""Cells of mid-grey between the picture and its own repetition, which the discrete Fourier
transform implies: 3.6 σ of the widest envelope."""

_REACH = 4.5
"""Standard deviations s around f₀ that are kept of a transfer function."""

_CHUNK = 4
"""Pictures that are filtered at a time: more leave the processor's cache, and take longer."""


class GaborBank(nn.Module):
    """A bank of Gabor pairs: the largest amplitude in each cell of a map, and the luminance there.

    Luma Y = .299 R + .587 G + .114 B becomes contrast, 2Y − 1, from −1 (black) to 1 (white) with
    mid-grey at 0. It is taken from the sRGB values as they are: their gamma is about that of
    lightness, a compression which the eye has made before V1. Around the picture lies mid-grey, as
    on a screen; the border of a picture that is not grey there is an edge, and seen as one.

    Amplitudes are roots of energies: they grow with contrast as such, not with its square. A
    grating of contrast c at a unit's own frequency and orientation has the amplitude
    c |1 − κ² exp(2iφ)|, φ being its phase at the position: c within .11 %. Of the amplitudes in a
    cell, from samples .7 σ apart or less, the largest is kept, as complex cells of a larger field
    are modelled (Riesenhuber & Poggio 1999, Nat Neurosci 2:1019).

    Parameters
    ----------
    size : int
        Height and width of the pictures in pixels: a multiple of 28, 140 or more, where the finest
        units pass half the amplitude at 70 cycles per picture, two pixels per cycle.

    Attributes
    ----------
    units : tuple of (float, float)
        Frequency (cycles per picture width) and orientation (degrees) of channels 0 to 39: the
        8 orientations of the lowest frequency come first. Channel 40 is the luminance.

    Raises
    ------
    ProbeError
        If pictures of this size cannot be filtered.
    """

    output_axes = ("picture", "channel", "y", "x")

    def __init__(self, size: int = 224) -> None:
        super().__init__()
        finest = FREQUENCIES[-1] * (1.0 + _HALF_WIDTH)
        if size % CELLS or size < 2.0 * finest:
            least = CELLS * math.ceil(2.0 * finest / CELLS)
            raise ProbeError(f"size {size}: expected a multiple of {CELLS}, {least} or more")
        self.size = size
        self.version = VERSION
        self.units = tuple((f, orientation) for f in FREQUENCIES for orientation in ORIENTATIONS)
        self._padded = size // CELLS * (CELLS + _MARGIN)
        self._corners: list[list[tuple[int, int]]] = []
        self._above = 0
        for k, frequency in enumerate(FREQUENCIES):
            filters, corners = _transfer_functions(frequency, size, self._padded)
            self.register_buffer(f"filters_{k}", torch.from_numpy(filters))
            self._corners.append(corners)
            farthest = max(max(-low, low + filters.shape[-1]) for pair in corners for low in pair)
            self._above = max(self._above, farthest - self._padded // 2)
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None])
        self.register_buffer("blur", torch.from_numpy(_blur(size)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the maps of some pictures.

        Parameters
        ----------
        pictures : torch.Tensor, shape (n, 3, size, size)
            sRGB values from 0 to 1.

        Returns
        -------
        torch.Tensor, float32, shape (n, 41, 28, 28)
            Amplitudes in the order of `units`, 0 or more, 1 for a matched grating of full contrast;
            last the luminance, as contrast, from −1 to 1.
        """
        if tuple(pictures.shape[1:]) != (3, self.size, self.size):
            raise ProbeError(
                f"pictures of shape {tuple(pictures.shape)}: expected (n, 3, {self.size}, "
                f"{self.size})"
            )
        # Transforms have no half precision: within autocast, too, these are float32.
        with torch.autocast(pictures.device.type, enabled=False):
            return torch.cat([self._maps(some) for some in pictures.float().split(_CHUNK)])

    def _maps(self, pictures: Tensor) -> Tensor:
        contrast = 2.0 * (pictures * self.get_buffer("luma")).sum(dim=1) - 1.0
        spectrum = torch.fft.fft2(contrast, s=(self._padded, self._padded))
        # Above the highest frequency that pixels can show there is nothing.
        spectrum = functional.pad(torch.fft.fftshift(spectrum, dim=(-2, -1)), (self._above,) * 4)
        zero = self._padded // 2 + self._above
        maps = []
        for k, corners in enumerate(self._corners):
            filters = self.get_buffer(f"filters_{k}")
            side = filters.shape[-1]
            samples = side // (CELLS + _MARGIN)
            inside = CELLS * samples
            for transfer, (row, column) in zip(filters, corners, strict=True):
                y, x = zero + row, zero + column
                passed = spectrum[:, y : y + side, x : x + side] * transfer
                # The window's corner is taken for frequency 0: that turns phases, not moduli.
                responses = torch.fft.ifft2(passed)[:, :inside, :inside]
                # Field readout of three sessions of cowley2023 (210325, 210322, 210305), median r
                # over sites, mean of 10 splits: largest amplitude .482, .363, .534; mean amplitude
                # .479, .348, .527; largest energy .456, .319 and mean energy .451, .311, .496.
                cells = responses.abs().reshape(-1, CELLS, samples, CELLS, samples)
                maps.append(cells.amax(dim=2).amax(dim=3))  # 7 times as fast as both at once
        blur = self.get_buffer("blur")
        maps.append(blur @ contrast @ blur.T)
        return torch.stack(maps, dim=1)


def gabor_network() -> Network:
    """Build the bank as a network, whose only layer is ``gabor``.

    Returns
    -------
    Network
        It takes whole pictures, resized to 224×224, as values from 0 to 1. Its activations are kept
        like those of any network.
    """
    module = nn.Sequential(OrderedDict(gabor=GaborBank())).eval()
    weights = WeightsInfo("none", "Gabor energy, no weights", state_sha256(module.state_dict()))
    preprocessing = Preprocessing("resize", (224, 224), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Network(module, "gabor", weights, preprocessing)


def _transfer_functions(
    frequency: float, size: int, padded: int
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Compute H for each orientation, in a window of the spectrum around f₀.

    Parameters
    ----------
    frequency : float
        |f₀|, in cycles per picture width.
    size, padded : int
        Side of the picture, and of the picture with its margin, in pixels.

    Returns
    -------
    filters : numpy.ndarray, complex64, shape (8, side, side)
        Include the shift of samples to the centres of the squares that they stand for, and the
        scale of an inverse transform of fewer points.
    corners : list of (int, int)
        Lowest row and column of each window, as bins of the padded picture's spectrum, from
        frequency 0.
    """
    per_bin = size / padded
    s = _SD * frequency
    # A window of so many bins makes as many samples of the picture with its margin.
    samples = max(2, math.ceil(2.0 * _REACH * s / CELLS))
    side = samples * (CELLS + _MARGIN)
    # From the centre of pixel 0 to the first sample, in pixels.
    shift = (padded / side - 1.0) / 2.0
    kappa = math.exp(-((frequency / s) ** 2) / 2.0)
    filters, corners = [], []
    for turn in np.radians(ORIENTATIONS):
        # Rows run downwards, angles anticlockwise.
        centre = -frequency * np.sin(turn), frequency * np.cos(turn)
        corner = tuple(round(f / per_bin) - side // 2 for f in centre)
        bins = [low + np.arange(side) for low in corner]
        low_pass_above, low_pass = (
            np.outer(*(np.exp(-((b * per_bin - f) ** 2) / (2.0 * s**2)) for b, f in pairs))
            for pairs in (zip(bins, centre, strict=True), zip(bins, (0.0, 0.0), strict=True))
        )
        transfer = 2.0 / (1.0 - kappa**2) * (low_pass_above - kappa * low_pass)
        shifted = np.outer(*(np.exp(2j * np.pi * b * shift / padded) for b in bins))
        filters.append(transfer * shifted * (side / padded) ** 2)
        corners.append((corner[0], corner[1]))
    return np.stack(filters).astype(np.complex64), corners


def _blur(size: int) -> np.ndarray:
    """Compute the Gaussian weights of pixels in each cell's luminance, along one axis.

    It passes half the amplitude where the coarsest units do, below them: at 1.6 cycles per picture
    width, with a standard deviation of .11 widths. What lies beyond the picture is mid-grey.

    Returns
    -------
    numpy.ndarray, float32, shape (28, size)
    """
    half = FREQUENCIES[0] * (1.0 - _HALF_WIDTH)
    sd = math.sqrt(2.0 * math.log(2.0)) / (2.0 * math.pi * half)
    cells, pixels = ((np.arange(n) + 0.5) / n for n in (CELLS, size))
    gaussian = np.exp(-((cells[:, None] - pixels) ** 2) / (2.0 * sd**2))
    return (gaussian / (sd * math.sqrt(2.0 * math.pi) * size)).astype(np.float32)
