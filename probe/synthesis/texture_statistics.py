"""The statistics by which Portilla & Simoncelli describe a visual texture.

A picture is taken apart by a complex steerable pyramid into bands of one scale and one orientation
each. What is measured are the distribution of its pixels, the autocorrelation of its coarser and
coarser versions, and how the magnitudes and the phases of bands go together: across space,
orientations and scales (Portilla & Simoncelli 2000, "A parametric texture model based on joint
statistics of complex wavelet coefficients", Int J Comput Vis 40:49, section 3). Opposite edges of a
picture are neighbours throughout, as in their code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial, pi, sqrt
from typing import Any

import torch
from torch import Tensor

from probe.errors import ProbeError

SCALES, ORIENTATIONS, NEIGHBOURHOOD = 4, 4, 7
"""Scales and orientations of the pyramid, and side of the part of an autocorrelation that is
measured, in pixels of its band: those of Portilla & Simoncelli."""

_TINY = 1e-12  # keeps roots and quotients differentiable where a band is empty


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Pictures, taken apart.

    Attributes
    ----------
    high : torch.Tensor, shape (n, height, width)
        What is finer than the first scale.
    bands : tuple of torch.Tensor, complex, shape (n, orientations, height / 2^k, width / 2^k)
        From fine to coarse. The real part is the band, the imaginary part the same in quadrature.
        Orientation j passes bars of 180° · j / orientations, where 0° is vertical, anticlockwise.
    low : torch.Tensor, shape (n, height / 2^scales, width / 2^scales)
        What is coarser than the last.
    lowpasses : tuple of torch.Tensor, shape (n, height / 2^k, width / 2^k)
        The pictures without what is finer than each scale, and than the last; filtered twice, when
        they are taken apart and when they are put together, as Portilla & Simoncelli do.
    """

    high: Tensor
    bands: tuple[Tensor, ...]
    low: Tensor
    lowpasses: tuple[Tensor, ...]


class SteerablePyramid:
    """A complex steerable pyramid for pictures of one size.

    Bands are cut out of the Fourier transform by masks whose squares add up to 1: the real bands
    are a tight frame (Simoncelli & Freeman 1995; Portilla & Simoncelli 2000, section 2.1). Each
    scale is kept at the resolution that it needs, with the values that it has at full resolution.

    Parameters
    ----------
    size : (int, int)
        Height and width of the pictures, in pixels; multiples of 2^scales.
    scales : int
        Octaves.
    orientations : int
    device : torch.device
    dtype : torch.dtype
        Of the pictures: float32 or float64.

    Raises
    ------
    ProbeError
        If pictures of that size cannot be halved so often, or there is one orientation.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: int = SCALES,
        orientations: int = ORIENTATIONS,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if any(side % 2**scales or side <= 0 for side in size):
            raise ProbeError(
                f"a picture of {size[0]} × {size[1]} px has no {scales} scales: height and width "
                f"have to be multiples of {2**scales}"
            )
        if orientations < 2:
            raise ProbeError(f"orientations {orientations}: a steerable pyramid has 2 or more")
        self.scales, self.orientations = scales, orientations
        self.sizes = [(size[0] >> k, size[1] >> k) for k in range(scales + 1)]
        options: Any = {"device": device, "dtype": dtype}
        self.high = _edge(_frequencies(size)[0], pi / 2).to(**options)
        # At each scale, what is let through to it from finer ones, in its own pixels.
        self.lowpass = [_below(_edge(_frequencies(s)[0], pi / 2)).to(**options) for s in self.sizes]
        frequencies = [_frequencies(s) for s in self.sizes[:-1]]
        self.bandpass = [_edge(radius, pi / 4).to(**options) for radius, _ in frequencies]
        self.angular = [_angular(angle, orientations).to(**options) for _, angle in frequencies]
        # Bands are even or odd in space, as are cosines of an even or odd power; made real here.
        self.phase = (-1j) ** (orientations - 1)

    def __call__(self, pictures: Tensor) -> Pyramid:
        """Take pictures, (n, height, width), apart."""
        spectrum = torch.fft.fft2(pictures)
        high = torch.fft.ifft2(spectrum * self.high).real
        spectrum = spectrum * self.lowpass[0]
        lowpasses, bands = [torch.fft.ifft2(spectrum * self.lowpass[0]).real], []
        for k, (bandpass, angular) in enumerate(zip(self.bandpass, self.angular, strict=True)):
            passed = (self.phase * spectrum * bandpass)[:, None]
            bands.append(torch.fft.ifft2(passed * (2 * angular)))  # one half of the plane, twice
            lowpass = self.lowpass[k + 1]
            spectrum = _cropped(spectrum) / 4 * lowpass
            lowpasses.append(torch.fft.ifft2(spectrum * lowpass).real)
        low = torch.fft.ifft2(spectrum).real
        return Pyramid(high, tuple(bands), low, tuple(lowpasses))

    def invert(self, pyramid: Pyramid) -> Tensor:
        """Put pictures, (n, height, width), together again, from the bands' real parts."""
        sign = (-1) ** (self.orientations - 1)
        spectrum = torch.fft.fft2(pyramid.low)
        for k in reversed(range(self.scales)):
            band, angular = torch.fft.fft2(pyramid.bands[k].real), self.angular[k]
            # The filter that a real band has been through has both halves of the plane.
            passed = (band * (angular + sign * _opposite(angular))).sum(1) * self.bandpass[k]
            below = 4 * _padded(spectrum * self.lowpass[k + 1], self.sizes[k])
            spectrum = below + passed * self.phase.conjugate()
        spectrum = spectrum * self.lowpass[0] + torch.fft.fft2(pyramid.high) * self.high
        return torch.fft.ifft2(spectrum).real


class TextureStatistics:
    """Compute the statistics of pictures of one size.

    Parameters
    ----------
    size : (int, int)
        Height and width of the pictures, in pixels; multiples of 2^scales.
    scales, orientations : int
        Of the pyramid.
    neighbourhood : int
        Side of the part of an autocorrelation that is measured; odd.
    device, dtype
        As in `SteerablePyramid`.

    Raises
    ------
    ProbeError
        If pictures of that size are too small for as many scales.

    Examples
    --------
    >>> import torch
    >>> from probe.synthesis.texture_statistics import TextureStatistics
    >>> noise = torch.randn(1, 128, 128, generator=torch.Generator().manual_seed(0))
    >>> measured = TextureStatistics((128, 128))(noise)
    >>> round(float(measured["kurtosis"]), 1)  # of a normal distribution: 3
    3.0
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: int = SCALES,
        orientations: int = ORIENTATIONS,
        neighbourhood: int = NEIGHBOURHOOD,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.pyramid = SteerablePyramid(size, scales, orientations, device=device, dtype=dtype)
        if min(size) < neighbourhood * 2**scales:
            raise ProbeError(
                f"a picture of {size[0]} × {size[1]} px is too small for texture statistics in "
                f"{scales} scales: it has to have {neighbourhood * 2**scales} px or more"
            )
        self.neighbourhood = neighbourhood

    def __call__(self, pictures: Tensor) -> Mapping[str, Tensor]:
        """Measure pictures.

        Parameters
        ----------
        pictures : torch.Tensor, shape (n, height, width)
            Grey levels.

        Returns
        -------
        mapping of str to torch.Tensor
            S scales, K orientations, A pixels of neighbourhood; each with n in front.

            - ``mean``, ``variance``, ``skewness``, ``kurtosis``: of the pixels.
            - ``lowpass_variance``, ``lowpass_skewness``, ``lowpass_kurtosis`` (S + 1), and
              ``lowpass_autocorrelation`` (S + 1, A, A): of the picture without what is finer than
              scale 1 … S, and of the lowpass residual.
            - ``highpass_variance``: of the highpass residual.
            - ``magnitude_mean`` (S, K): of the bands' magnitudes, the local amplitudes.
            - ``magnitude_autocorrelation`` (S, K, A, A)
            - ``orientation_correlation`` (S, K, K): of magnitudes at one scale.
            - ``scale_correlation`` (S − 1, K, K): of magnitudes with those of the next coarser
              scale.
            - ``phase_correlation`` (S − 1, K, 2 K): of bands with the real and with the imaginary
              part of the next coarser one's, whose phase is doubled. These tell an edge from a
              line, and light from shade.

            Autocorrelations are divided by their central value, which is left in: 1.
        """
        pyramid = self.pyramid(pictures)
        mean = pictures.mean((-2, -1))
        variance, skewness, kurtosis = _moments(pictures)
        low = [
            torch.stack(moments, -1)
            for moments in zip(*map(_moments, pyramid.lowpasses), strict=True)
        ]
        magnitudes = [_magnitude(band) for band in pyramid.bands]
        means = torch.stack([magnitude.mean((-2, -1)) for magnitude in magnitudes], 1)
        magnitudes = [_standardised(magnitude) for magnitude in magnitudes]
        # The next coarser bands, brought to the size of the finer ones.
        parents = [
            _enlarged(coarse, fine)
            for fine, coarse in zip(pyramid.bands, pyramid.bands[1:], strict=False)
        ]
        return {
            "mean": mean,
            "variance": variance,
            "skewness": skewness,
            "kurtosis": kurtosis,
            "lowpass_variance": low[0],
            "lowpass_skewness": low[1],
            "lowpass_kurtosis": low[2],
            "lowpass_autocorrelation": torch.stack(
                [self._autocorrelation(_standardised(low)) for low in pyramid.lowpasses], 1
            ),
            "highpass_variance": pyramid.high.var((-2, -1), correction=0),
            "magnitude_mean": means,
            "magnitude_autocorrelation": torch.stack(
                [self._autocorrelation(magnitude) for magnitude in magnitudes], 1
            ),
            "orientation_correlation": torch.stack([_products(m, m) for m in magnitudes], 1),
            "scale_correlation": torch.stack(
                [
                    _products(magnitude, _standardised(_magnitude(parent)))
                    for magnitude, parent in zip(magnitudes, parents, strict=False)
                ],
                1,
            ),
            "phase_correlation": torch.stack(
                [
                    _products(_standardised(band.real), _standardised(_doubled(parent)))
                    for band, parent in zip(pyramid.bands, parents, strict=False)
                ],
                1,
            ),
        }

    def _autocorrelation(self, maps: Tensor) -> Tensor:
        """Compute the middle of autocorrelations of standardised maps: (…, A, A)."""
        spectrum = torch.fft.rfft2(maps)
        power = spectrum.real**2 + spectrum.imag**2
        half = self.neighbourhood // 2
        size = (maps.shape[-2], maps.shape[-1])
        whole = torch.fft.irfft2(power, size).roll((half, half), (-2, -1))
        return whole[..., : self.neighbourhood, : self.neighbourhood]


def _frequencies(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return radius (radians per pixel) and direction (y upwards) of a picture's frequencies."""
    down = -2 * pi * torch.fft.fftfreq(size[0], dtype=torch.float64)[:, None]
    right = 2 * pi * torch.fft.fftfreq(size[1], dtype=torch.float64)[None]
    return torch.hypot(down, right), torch.atan2(down, right.expand(size))


def _edge(radius: Tensor, low: float) -> Tensor:
    """Return a mask that rises from 0 to 1 within the octave above a frequency, as a cosine."""
    octaves = (radius.clamp(min=1e-9) / low).log2().clamp(0, 1)
    return torch.sin(pi / 2 * octaves)


def _below(edge: Tensor) -> Tensor:
    """Return the mask whose square adds up to 1 with that of another."""
    return (1 - edge**2).clamp(min=0).sqrt()


def _angular(angle: Tensor, orientations: int) -> Tensor:
    """Return the masks of directions within 90° of each orientation's, (orientations, …)."""
    order = orientations - 1
    scale = 2**order * factorial(order) / sqrt(orientations * factorial(2 * order))
    preferred = pi / orientations * torch.arange(orientations, dtype=angle.dtype)
    off = angle - preferred[:, None, None]
    return scale * torch.cos(off).clamp(min=0) ** order * (torch.cos(off) > 1e-9)


def _opposite(masks: Tensor) -> Tensor:
    """Return a mask's value at the opposite frequency."""
    return masks.flip((-2, -1)).roll((1, 1), (-2, -1))


def _cropped(spectrum: Tensor) -> Tensor:
    """Return the lower half of the frequencies down and across: of a picture half as large."""
    for axis in (-2, -1):
        side = spectrum.shape[axis] // 2
        low = spectrum.narrow(axis, 0, side - side // 2)  # of an odd number, one more
        high = spectrum.narrow(axis, spectrum.shape[axis] - side // 2, side // 2)
        spectrum = torch.cat([low, high], axis)
    return spectrum


def _padded(spectrum: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `_cropped`, with nothing at the frequencies that were cut off."""
    for axis, side in zip((-2, -1), size, strict=True):
        n = spectrum.shape[axis]
        low, high = spectrum.split([n - n // 2, n // 2], axis)
        shape = list(spectrum.shape)
        shape[axis] = side - n
        spectrum = torch.cat([low, spectrum.new_zeros(shape), high], axis)
    return spectrum


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    """Interpolate maps, (…, height, width), to the size of others, complex."""
    spectrum = torch.fft.fft2(maps)
    factor = like.shape[-2] * like.shape[-1] / (maps.shape[-2] * maps.shape[-1])
    return torch.fft.ifft2(factor * _padded(spectrum, (like.shape[-2], like.shape[-1])))


def _moments(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute variance, skewness and kurtosis of pictures, (n, height, width): (n,) each."""
    off = pictures - pictures.mean((-2, -1), keepdim=True)
    variance = (off**2).mean((-2, -1))
    skewness = (off**3).mean((-2, -1)) / (variance + _TINY) ** 1.5
    return variance, skewness, (off**4).mean((-2, -1)) / (variance + _TINY) ** 2


def _magnitude(band: Tensor) -> Tensor:
    """Return the magnitude of a complex band; its gradient is 0 where the band is."""
    return (band.real**2 + band.imag**2 + _TINY).sqrt()


def _doubled(bands: Tensor) -> Tensor:
    """Double the phase of bands at the same magnitude: real parts, and behind them imaginary."""
    doubled = bands**2 / _magnitude(bands)
    return torch.cat([doubled.real, doubled.imag], 1)


def _standardised(maps: Tensor) -> Tensor:
    """Bring maps, (…, height, width), to mean 0 and a sum of squares of 1."""
    off = maps - maps.mean((-2, -1), keepdim=True)
    return off / ((off**2).sum((-2, -1), keepdim=True) + _TINY).sqrt()


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Correlate standardised maps, (n, K, height, width), with others, (n, L, …): (n, K, L)."""
    return a.flatten(2) @ b.flatten(2).mT
