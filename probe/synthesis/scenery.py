"""A landscape that nobody photographed, for those who have no picture at hand."""

from __future__ import annotations

import numpy as np

_SKY = np.array([[0.20, 0.38, 0.68], [0.55, 0.70, 0.85], [0.98, 0.82, 0.62]])
"""Colours from the zenith to the horizon."""

_HILLS = np.array([[0.55, 0.60, 0.72], [0.38, 0.48, 0.55], [0.24, 0.38, 0.33], [0.20, 0.33, 0.16]])
"""Colours of the ridges, from the farthest to the nearest, where haze gives way to green."""


def landscape(height: int = 384, width: int = 576, seed: int = 4) -> np.ndarray:
    """Paint a sky with clouds over hills and a meadow.

    Parameters
    ----------
    height, width : int
        In pixels.
    seed : int
        Of the clouds and hills.

    Returns
    -------
    numpy.ndarray, uint8, (height, width, 3)
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / height
    down = np.clip(rows / 0.62, 0, 1)
    sky = np.stack([np.interp(down, [0, 0.6, 1], band) for band in _SKY.T], -1)
    far = np.hypot(columns - 0.72 * width / height, 1.3 * (rows - 0.42))
    sky += np.exp(-((far / 0.16) ** 2))[..., None] * np.array([0.35, 0.25, 0.05])
    # Clouds lie flatter towards the horizon, and are lit from above.
    billows = _noise(rng, height, width, 1.7, flat=2.2)
    cover = np.clip(1.1 * billows + 0.25 - 0.5 * down, 0, 1)[..., None]
    light = 0.80 + 0.18 * np.clip(billows - np.roll(billows, -height // 40, 0), -1, 1)
    picture = sky * (1 - cover) + cover * light[..., None] * np.array([1.0, 0.97, 0.93])
    for k, colour in enumerate(_HILLS):
        ridge = 0.50 + 0.115 * k + 0.05 * (1 - 0.1 * k) * _noise(rng, 4, width, 2.2)[0]
        land = rows > ridge[None]
        depth = np.clip((rows - ridge[None]) / 0.25, 0, 1)[..., None]
        grain = _noise(rng, height, width, 1.2, flat=1 + 0.7 * k)[..., None]
        lit = colour * (1.12 - 0.45 * depth) * (1 + (0.05 + 0.07 * k) * grain)
        picture = np.where(land[..., None], lit, picture)
        if k >= 2:
            picture = _wooded(picture, ridge, rng, 9 * (k - 1), 0.05 + 0.05 * (k - 2))
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def _noise(
    rng: np.random.Generator, height: int, width: int, decay: float, flat: float = 1.0
) -> np.ndarray:
    """Return noise whose amplitudes fall with the frequency, of mean 0 and standard deviation 1."""
    white = np.fft.rfft2(rng.standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] / flat, np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise: np.ndarray = np.fft.irfft2(white / frequency**decay, (height, width))
    return noise / noise.std()


def _wooded(
    picture: np.ndarray, ridge: np.ndarray, rng: np.random.Generator, n: int, size: float
) -> np.ndarray:
    """Plant round trees along a ridge, lit from the right."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width] / height
    leaves = 1 + 0.25 * _noise(rng, height, width, 0.8)
    for at in np.sort(rng.uniform(0, width, n)).astype(int):
        radius = size * rng.uniform(0.5, 1.0)
        x, foot = at / height, ridge[at] + 0.02
        y = foot - 1.2 * radius
        trunk = (abs(columns - x) < 0.07 * radius) & (rows > y) & (rows < foot)
        picture = np.where(trunk[..., None], [0.22, 0.15, 0.10], picture)
        edge = np.hypot(columns - x, rows - y) / radius
        crown = edge < 0.85 + 0.15 * leaves
        shade = leaves * (0.75 + 0.5 * np.clip((columns - x - rows + y) / radius, -1, 1))
        green = np.array([0.17, 0.28, 0.10]) * rng.uniform(0.8, 1.25)
        picture = np.where(crown[..., None], green * shade[..., None], picture)
    return picture
