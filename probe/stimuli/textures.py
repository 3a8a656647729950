"""Textures that are drawn here, and noise with the spectrum of a picture.

The textures stand for what there is no photograph of in this package: things beside, on and behind
one another, with edges, corners and shades, whose structure is in the phases of their spectrum.
They are tiles: opposite edges fit together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from probe.errors import ProbeError, nearest

CONTRAST = 0.16
"""Standard deviation of grey levels around mid-grey: three of them are about the range there is."""


def draw_texture(name: str, size: int = 224, seed: int = 0) -> np.ndarray:
    """Draw a texture.

    Parameters
    ----------
    name : str
        One of `TEXTURES`.
    size : int
        Height and width in pixels.
    seed : int
        Another draws other stones, straws or rings of the same kind.

    Returns
    -------
    numpy.ndarray, float32, shape (size, size)
        Grey levels in [0, 1], of mean 0.5 and standard deviation `CONTRAST`, as far as the range
        allows.

    Raises
    ------
    ProbeError
        If there is no such texture.

    Examples
    --------
    >>> from probe.stimuli import draw_texture
    >>> draw_texture("pebbles", size=128).shape
    (128, 128)
    """
    if name not in TEXTURES:
        names = ", ".join(TEXTURES)
        raise ProbeError(f"texture {name!r}: expected one of {names}{nearest(name, TEXTURES)}")
    drawn = TEXTURES[name](np.random.default_rng([seed, *name.encode()]), size)
    return with_contrast(gaussian_filter(drawn, 0.7, mode="wrap"))  # no jagged edges


def matched_noise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw Gaussian noise with the amplitude spectrum of a picture.

    The amplitude of every frequency stays, its phase is drawn anew: that of white noise, so that
    the result is real and each frequency's sign in it as likely as the other (Freeman et al. 2013,
    Nat Neurosci 16:974: "spectrally matched noise").

    Parameters
    ----------
    picture : numpy.ndarray, shape (height, width)
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape (height, width)
        Of the picture's mean, variance and autocorrelation; not cut off at any grey level.
    """
    phases = np.angle(np.fft.rfft2(rng.standard_normal(picture.shape)))
    phases[0, 0] = 0.0 if picture.mean() >= 0 else np.pi
    return np.fft.irfft2(np.abs(np.fft.rfft2(picture)) * np.exp(1j * phases), picture.shape)


def with_contrast(picture: np.ndarray, contrast: float = CONTRAST) -> np.ndarray:
    """Bring grey levels to mean 0.5 and a standard deviation, cut off at 0 and 1, as float32."""
    off = picture - picture.mean()
    return np.clip(0.5 + contrast * off / off.std(), 0.0, 1.0).astype(np.float32)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of pixel centres, in picture widths."""
    along = (np.arange(size) + 0.5) / size
    return along[:, None], along[None, :]


def _off(along: np.ndarray, centre: float) -> np.ndarray:
    """Return the shortest way from a centre, round the edges, in picture widths."""
    return (along - centre + 0.5) % 1.0 - 0.5


def _scattered(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw n² points, one in each cell of a grid: (n², 2)."""
    corners = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)
    return (corners + rng.uniform(0.1, 0.9, (n * n, 2))) / n


def _cells(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each pixel's distances to the nearest and the second point, and which is nearest."""
    y, x = np.broadcast_arrays(*_grid(size))
    distance, index = cKDTree(points, boxsize=1.0).query(np.stack([y, x], -1), k=2)
    return distance[..., 0], distance[..., 1], index[..., 0]


def _lit(height: np.ndarray) -> np.ndarray:
    """Shade a relief, lit from above on the left."""
    down, right = (np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (0, 1))
    return np.tanh(down + right)


def _pebbles(rng: np.random.Generator, size: int) -> np.ndarray:
    points = _scattered(rng, 9)
    near, second, index = _cells(points, size)
    height = np.sqrt(np.clip(1.0 - (near / (0.02 + 0.9 * second)) ** 2, 0.0, None))
    return (
        -0.5 * _lit(0.1 * size * height / 4) + 0.7 * height + 0.2 * rng.random(len(points))[index]
    )


def _cracks(rng: np.random.Generator, size: int) -> np.ndarray:
    near, second, _ = _cells(rng.random((60, 2)), size)
    return np.clip((second - near) / 0.02, 0.0, 1.0)


def _mosaic(rng: np.random.Generator, size: int) -> np.ndarray:
    points = _scattered(rng, 8)
    return rng.random(len(points))[_cells(points, size)[2]]


def _leaves(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    drawn = np.zeros((size, size))
    for _ in range(500):
        radius = 0.02 * rng.random() ** -0.5  # as many large ones as cover as much as the small
        centre = rng.random(2)
        inside = np.hypot(_off(y, centre[0]), _off(x, centre[1])) < min(radius, 0.15)
        drawn[inside] = rng.random()
    return drawn


def _straw(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    drawn = np.zeros((size, size))
    for _ in range(450):
        centre, turn = rng.random(2), np.pi * rng.random()
        down, right = _off(y, centre[0]), _off(x, centre[1])
        along = right * np.cos(turn) + down * np.sin(turn)
        across = (down * np.cos(turn) - right * np.sin(turn)) / 0.014
        inside = (np.abs(along) < 0.13) & (np.abs(across) < 1.0)
        drawn[inside] = (rng.uniform(0.6, 1.0) * (1.0 - across**2))[inside]
    return drawn


def _rings(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    drawn = np.zeros((size, size))
    for centre in _scattered(rng, 7):
        radius = rng.uniform(0.035, 0.075)
        off = np.hypot(_off(y, centre[0]), _off(x, centre[1])) - radius
        drawn = np.maximum(drawn, np.exp(-0.5 * (off / 0.008) ** 2))
    return drawn


def _scales(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = _grid(size)
    n, radius = 8, 0.085
    drawn, nearest_below = np.zeros((size, size)), np.full((size, size), np.inf)
    for row in range(2 * n):
        for column in range(n):
            centre = ((row + 0.15 * rng.random()) / (2 * n), (column + (row % 2) / 2) / n)
            down, right = np.broadcast_arrays(_off(y, centre[0]), _off(x, centre[1]))
            distance = np.hypot(down, right) / radius
            # Lower ones lie on top: round the edges, too, where there is no first row.
            visible = (distance < 1.0) & (down < nearest_below)
            nearest_below[visible] = down[visible]
            drawn[visible] = (0.9 - 0.8 * distance**4 + 0.15 * rng.random())[visible]
    return drawn


def _marble(rng: np.random.Generator, size: int) -> np.ndarray:
    sigma = size / 22.0
    smooth = gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
    return 1.0 - np.abs(np.sin(5.0 * smooth / smooth.std())) ** 0.5


TEXTURES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "pebbles": _pebbles,
    "cracks": _cracks,
    "mosaic": _mosaic,
    "leaves": _leaves,
    "straw": _straw,
    "rings": _rings,
    "scales": _scales,
    "marble": _marble,
}
"""Textures that are drawn here: they are no photographs."""
