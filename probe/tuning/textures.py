"""Responses to textures, against noise of the same spectrum.

A texture and its noise have the same energy at every orientation and spatial frequency; what they
differ in are the dependencies between them, of which edges, corners and things are made. Most cells
of V2 respond more to textures, those of V1 as much to either (Freeman, Ziemba, Heeger, Simoncelli &
Movshon 2013, Nat Neurosci 16:974).
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probe.assets import derive
from probe.errors import ProbeError
from probe.output.drawable import npy
from probe.progress import track
from probe.stimuli import StimulusSet, draw_texture, image_set, matched_noise
from probe.stimuli.textures import TEXTURES, with_contrast
from probe.synthesis.texture import LEAST_SIDE, MULTIPLE, STEPS, grey_square, synthesise
from probe.tuning.measured import Measured, curve_table
from probe.tuning.units import Units, responses

SAMPLES = 4
"""Synthesised samples of each texture."""

SHIFTS = 8
"""Places at which a unit sees each sample: samples are tiles, and moved on, round their edges."""

FORMAT = 1
"""Counts up when samples of the same seed become others: cached ones are then not taken."""


def texture_tuning(
    units: Units,
    textures: str | os.PathLike[str] | StimulusSet | None = None,
    *,
    samples: int = SAMPLES,
    shifts: int = SHIFTS,
    steps: int = STEPS,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
) -> Measured:
    """Measure by how much units respond more to textures than to noise of the same spectrum.

    Of each texture, samples are synthesised by the statistics of Portilla & Simoncelli
    (`probe.synthesis.synthesise_texture`), and of each sample's amplitude spectrum one noise is
    drawn. Both have the same mean (mid-grey) and contrast. Samples are kept in the cache.

    Parameters
    ----------
    units : Units
    textures : path, StimulusSet, optional
        Photographs of textures, as `probe.stimuli.image_set` takes them; their middle square is
        shown. By default `probe.stimuli.textures.TEXTURES`: these are drawn, and no photographs.
    samples : int
        Of each texture.
    shifts : int
        Places at which each sample is seen.
    steps : int
        Of the synthesis.
    seed : int
        Of samples, noise and places.
    device, batch_size, progress
        As in `respond`.

    Returns
    -------
    Measured
        Columns:

        - ``texture_modulation``: (texture − noise) / (texture + noise), of mean responses to each
          texture; the mean over textures, −1 to 1. NaN for units whose responses may be negative,
          or that respond to none.
        - ``texture_dprime``: difference of the means, over the root of the mean variance across
          samples and places; the mean over textures. For signed responses, too.
        - ``texture_response``, ``noise_response``: means over everything.

        The curve ``texture`` has the modulation (of signed responses, d′) by each texture.

    Raises
    ------
    ProbeError
        If a number is too small, pictures cannot be read, or one is of a single grey level.
    """
    for name, value in (("samples", samples), ("shifts", shifts), ("steps", steps)):
        if value < 1:
            raise ProbeError(f"{name} {value}: expected 1 or more")
    side = texture_side(units.size)
    sources = read_textures(textures, side)
    textures_shown = texture_samples(sources, samples, steps=steps, seed=seed, progress=progress)

    def stacks() -> Iterator[Tensor]:
        for k, of_texture in enumerate(textures_shown.values()):
            for j, sample in enumerate(of_texture):
                rng = np.random.default_rng([seed, k, j])
                noise = np.clip(matched_noise(sample, rng), 0.0, 1.0).astype(np.float32)
                offsets = rng.integers(0, side, (shifts, 2))
                pair = [
                    _middle(np.roll(picture, offset, (0, 1)), units.size)
                    for picture in (sample, noise)
                    for offset in offsets
                ]
                yield torch.from_numpy(np.stack(pair))

    n = len(textures_shown)
    sums = np.zeros((2, n, 2, len(units)))  # of responses and of their squares
    shown = responses(
        units, stacks(), device=device, batch_size=batch_size, progress=progress,
        total=n * samples * 2 * shifts,
    )  # fmt: skip
    for i, values in enumerate(shown):
        by_kind = values.reshape(2, shifts, -1).astype(np.float64)
        sums[0, i // samples] += by_kind.sum(1)
        sums[1, i // samples] += (by_kind**2).sum(1)
    means, squares = sums / (samples * shifts)
    return _measured(units, list(textures_shown), means, squares)


def _measured(units: Units, names: list[str], means: np.ndarray, squares: np.ndarray) -> Measured:
    """Compute the table from means of responses and their squares: (n_textures, 2, n_units)."""
    texture, noise = means[:, 0], means[:, 1]
    variance = np.maximum(squares - means**2, 0.0).mean(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        modulation = (texture - noise) / (texture + noise)
        dprime = (texture - noise) / np.sqrt(variance)
    if not units.rectified:
        modulation = np.full_like(modulation, np.nan)
    table = pd.DataFrame(
        {
            "texture_modulation": _mean(modulation),
            "texture_dprime": _mean(dprime),
            "texture_response": texture.mean(0),
            "noise_response": noise.mean(0),
        }
    )
    of_texture = modulation if units.rectified else dprime
    curve = curve_table(units.table, of_texture.T, names, "texture")
    return Measured(table, {"texture": curve})


def _mean(values: np.ndarray) -> np.ndarray:
    """Average over textures to which a unit responds; NaN where there is none."""
    finite = np.isfinite(values)
    total, n = np.where(finite, values, 0.0).sum(0), finite.sum(0)
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def texture_side(size: tuple[int, int]) -> int:
    """Return the side of textures for pictures of a size: what is too much is cut off."""
    return max(LEAST_SIDE, -(-max(size) // MULTIPLE) * MULTIPLE)


def read_textures(
    textures: str | os.PathLike[str] | StimulusSet | None, side: int
) -> dict[str, np.ndarray]:
    """Read photographs of textures, or draw textures.

    Parameters
    ----------
    textures : path, StimulusSet or None
        As in `texture_tuning`.
    side : int
        Height and width in pixels.

    Returns
    -------
    dict of str to numpy.ndarray, float32, shape (side, side)
        Grey levels in [0, 1], all of the same mean and contrast.

    Raises
    ------
    ProbeError
        If pictures cannot be read, or one is of a single grey level.
    """
    if textures is None:
        return {name: draw_texture(name, side) for name in TEXTURES}
    stimuli = image_set(textures)
    sources = {}
    for k, name in enumerate(stimuli.ids):
        grey = grey_square(np.asarray(stimuli.image(k), np.float32) / 255.0, side)
        if np.ptp(grey) < 2 / 255:
            raise ProbeError(f"picture {name!r} is of one grey level: it shows no texture")
        sources[str(name)] = with_contrast(grey)
    return sources


def texture_samples(
    sources: Mapping[str, np.ndarray],
    samples: int,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, np.ndarray]:
    """Synthesise samples of textures, or read them from the cache.

    Parameters
    ----------
    sources : mapping of str to numpy.ndarray, float32, shape (side, side)
    samples : int
        Of each; the first of more are the same.
    steps, seed, progress
        As in `texture_tuning`.

    Returns
    -------
    dict of str to numpy.ndarray, float32, shape (samples, side, side)
        Tiles, of the same mean and contrast as one another.
    """
    samples_of: dict[str, np.ndarray] = {}
    with track(
        total=len(sources) * samples, desc="textures", unit="sample", progress=progress
    ) as bar:
        for name, source in sources.items():
            parts = []
            for k in range(samples):
                key = hashlib.sha256(np.ascontiguousarray(source).data)
                key.update(f"{FORMAT} {source.shape} {seed} {k} {steps}".encode())

                def make(source: np.ndarray = source, k: int = k) -> bytes:
                    of_sample = int(np.random.SeedSequence([seed, k]).generate_state(1)[0])
                    return npy(synthesise(source, seed=of_sample, steps=steps, progress=False)[0])

                path = derive("textures", f"{key.hexdigest()[:32]}.npy", make)
                parts.append(with_contrast(np.load(io.BytesIO(path.read_bytes()))))
                bar.update()
            samples_of[name] = np.stack(parts)
    return samples_of


def _middle(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((have - want) // 2 for have, want in zip(picture.shape, size, strict=True))
    return picture[top : top + size[0], left : left + size[1]]
