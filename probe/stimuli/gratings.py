"""Gratings, plaids and textures, in a soft round window on mid-grey.

Spatial frequencies are in cycles per picture width, orientations in degrees: 0° are vertical
bars, and they turn anticlockwise. All contrasts are relative to mid-grey, in [−1, 1].
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from probe.errors import ProbeError
from probe.stimuli.stimulus_set import StimulusSet

SIZE = 224
ORIENTATIONS = tuple(22.5 * k for k in range(8))
FREQUENCIES = (6.0, 12.0, 24.0, 48.0)
TEXTURE_RMS = 0.3
"""Root-mean-square contrast of noise inside the window; a full-contrast grating has 0.71."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """One picture and how it was made.

    Attributes
    ----------
    name : str
        Unique in a set.
    kind : {'grating', 'plaid', 'oriented noise', 'noise'}
        The family.
    orientation : float
        In degrees, [0, 180); of a plaid, of its first grating; NaN where there is none.
    frequency : float
        In cycles per picture width; NaN for noise of all frequencies.
    picture : numpy.ndarray, shape (size, size, 3), uint8
        Grey levels, equal in the three channels.
    """

    name: str
    kind: str
    orientation: float
    frequency: float
    picture: np.ndarray


def grating(
    orientation: float, frequency: float, phase: float = 0.0, size: int = SIZE
) -> np.ndarray:
    """Make a sinusoidal grating of full contrast, without a window.

    Parameters
    ----------
    orientation, phase : float
        In degrees.
    frequency : float
        In cycles per picture width.
    size : int
        Width and height in pixels.

    Returns
    -------
    numpy.ndarray, shape (size, size)
        Contrast in [−1, 1].
    """
    x, y = coordinates(size)
    turn = np.radians(orientation)
    along = x * np.cos(turn) + y * np.sin(turn)
    return np.cos(2.0 * np.pi * frequency * along - np.radians(phase))


def gratings(
    orientation: np.ndarray | float,
    frequency: np.ndarray | float,
    phase: np.ndarray | float,
    size: tuple[int, int],
) -> np.ndarray:
    """Make many sinusoidal gratings of full contrast at once, without a window.

    Parameters
    ----------
    orientation, phase : float or array-like, shape (n,)
        In degrees.
    frequency : float or array-like, shape (n,)
        In cycles per picture width, along the height as well: bars are as wide wherever they lie.
    size : (int, int)
        Height and width in pixels, which are square.

    Returns
    -------
    numpy.ndarray, float32, shape (n, height, width)
        Contrast in [−1, 1]. The phase is that in the middle of the picture.

    Raises
    ------
    ProbeError
        If a grating is too fine for the pixels, so that they would show another one.

    See Also
    --------
    grating : One, in double precision.
    """
    height, width = size
    turn, f, shift = (
        np.atleast_1d(np.asarray(value, float)) for value in (orientation, frequency, phase)
    )
    if f.max() >= width / 2:
        raise ProbeError(
            f"{f.max():g} cycles per picture: pictures of {width} pixels show fewer than "
            f"{width / 2:g}"
        )
    turn, shift = np.radians(turn), np.radians(shift)
    per_pixel = 2.0 * np.pi * f / width
    x = np.arange(width) + 0.5 - width / 2
    y = height / 2 - 0.5 - np.arange(height)  # upwards
    across = (per_pixel * np.cos(turn))[:, None] * x
    along = (per_pixel * np.sin(turn) + 0.0 * shift)[:, None] * y - shift[:, None]
    # cos(a + b) is a product of two matrices: of cosines and sines, a row's and a column's.
    rows = np.stack([np.cos(along), -np.sin(along)], axis=-1).astype(np.float32)
    columns = np.stack([np.cos(across), np.sin(across)], axis=-2).astype(np.float32)
    return np.clip(rows @ columns, -1.0, 1.0)


def disc(
    diameter: float, size: tuple[int, int], centre: tuple[float, float] | None = None
) -> np.ndarray:
    """Make a round window, its edge as sharp as pixels can show.

    Parameters
    ----------
    diameter : float
        In pixels.
    size : (int, int)
        Height and width of the picture in pixels.
    centre : (float, float), optional
        Row and column, 0 being the middle of the first; by default the middle of the picture.

    Returns
    -------
    numpy.ndarray, float32, shape (height, width)
        1 inside, 0 outside.
    """
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2) if centre is None else centre
    y, x = np.ogrid[: size[0], : size[1]]
    edge = diameter / 2 + 0.5 - np.hypot(y - middle[0], x - middle[1])
    return np.clip(edge, 0.0, 1.0).astype(np.float32)


def noise(
    rng: np.random.Generator,
    orientation: float | None = None,
    frequency: float | None = None,
    size: int = SIZE,
) -> np.ndarray:
    """Make filtered Gaussian noise, without a window.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the noise.
    orientation, frequency : float, optional
        Keep a band of one octave around the frequency and 15° (standard deviation) around the
        orientation; without a frequency, amplitudes fall as 1/f, as in natural scenes (Field
        1987, J Opt Soc Am A 4:2379).
    size : int
        Width and height in pixels.

    Returns
    -------
    numpy.ndarray, shape (size, size)
        Contrast with the root mean square `TEXTURE_RMS`, cut off at ±1.
    """
    across = np.fft.fftfreq(size, 1.0 / size)
    fx, fy = across[None, :], -across[:, None]
    radius = np.hypot(fx, fy)
    radius[0, 0] = 1.0
    if frequency is None:
        gain = 1.0 / radius
    else:
        gain = np.exp(-0.5 * (np.log2(radius / frequency) / 0.5) ** 2)
    if orientation is not None:
        off = (np.degrees(np.arctan2(fy, fx)) - orientation + 90.0) % 180.0 - 90.0
        gain = gain * np.exp(-0.5 * (off / 15.0) ** 2)
    gain[0, 0] = 0.0
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * gain).real
    return np.clip(field * TEXTURE_RMS / field.std(), -1.0, 1.0)


def picture(contrast: np.ndarray) -> np.ndarray:
    """Show a contrast pattern in a soft round window on mid-grey, as uint8 RGB."""
    size = len(contrast)
    x, y = coordinates(size)
    # Flat up to .40 of the width from the centre, gone at .47.
    edge = np.clip((0.47 - np.hypot(x, y)) / 0.07, 0.0, 1.0)
    window = 0.5 - 0.5 * np.cos(np.pi * edge)
    grey = np.rint(128.0 + 127.0 * contrast * window).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@functools.cache
def grating_patterns() -> tuple[Pattern, ...]:
    """Return 180 patterns: gratings, plaids, oriented noise and 1/f noise; always the same.

    Returns
    -------
    tuple of Pattern
        64 gratings (8 orientations × 4 frequencies × 2 phases), 28 plaids (two gratings 45° or 90°
        apart), 64 fields of oriented noise (8 orientations × 4 frequencies × 2 draws), and
        24 of 1/f noise.
    """
    rng = np.random.default_rng(20010)  # of the textures alone: part of the stimuli's definition
    patterns: list[Pattern] = []

    def add(name: str, kind: str, orientation: float, frequency: float, c: np.ndarray) -> None:
        image = picture(c)
        image.setflags(write=False)
        patterns.append(Pattern(name, kind, orientation, frequency, image))

    for f in FREQUENCIES:
        for o in ORIENTATIONS:
            for phase in (0.0, 90.0):
                name = f"grating-{o:05.1f}deg-{f:02.0f}c-{phase:02.0f}"
                add(name, "grating", o, f, grating(o, f, phase))
    for f, angle in ((6.0, 90.0), (12.0, 90.0), (24.0, 90.0), (12.0, 45.0), (24.0, 45.0)):
        for o in ORIENTATIONS[:4] if angle == 90.0 else ORIENTATIONS:  # the rest look the same
            name = f"plaid-{o:05.1f}deg-{f:02.0f}c-{angle:03.0f}"
            add(name, "plaid", o, f, (grating(o, f) + grating(o + angle, f)) / 2.0)
    for f in FREQUENCIES:
        for o in ORIENTATIONS:
            for draw in (1, 2):
                name = f"noise-{o:05.1f}deg-{f:02.0f}c-{draw}"
                add(name, "oriented noise", o, f, noise(rng, o, f))
    for draw in range(24):
        add(f"noise-1f-{draw + 1:02d}", "noise", np.nan, np.nan, noise(rng))
    return tuple(patterns)


def grating_set() -> StimulusSet:
    """Return `grating_patterns` as a stimulus set."""
    patterns = grating_patterns()
    return StimulusSet(
        [p.name for p in patterns], [p.picture for p in patterns], "gratings and textures"
    )


def coordinates(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel centres, x to the right and y upwards, in picture widths from the centre."""
    along = (np.arange(size) + 0.5) / size - 0.5
    return along[None, :] + np.zeros((size, 1)), -along[:, None] + np.zeros((1, size))
