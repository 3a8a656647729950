"""Simulated recordings: generated stimuli, a population with a known truth, noisy spike counts.

They stand in for a real recording where none can be had, and they have what no real one has: the
rate behind every spike count, and every neuron's tuning. Every result of one says that it is
simulated. The stimuli are always the same; the seed draws the population and the spikes.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
import xarray as xr

from probe.errors import ProbeError
from probe.recordings.recording import Recording
from probe.recordings.titles import SIM_V1_TITLE, SIM_V4_TITLE
from probe.stimuli import (
    StimulusSet,
    grating_patterns,
    grating_set,
    pasupathy_connor_shapes,
    shape_set,
)
from probe.stimuli.gratings import coordinates

WINDOW_S = 0.5
"""Seconds over which spikes are counted."""
GAIN_VARIANCE = 0.05
"""Variance of the gain from trial to trial, which makes counts more variable than Poisson's."""
VERSION = 1
"""Part of the source hash: raised whenever the generated numbers change."""

_DIMS = ("stimulus", "repetition", "neuroid")


def simulate_v4(
    seed: int = 0, n_subjects: int = 3, n_neuroids: int = 40, n_repetitions: int = 8
) -> Recording:
    r"""Simulate V4 neurons tuned to boundary curvature at an angular position.

    Each neuron prefers one squashed curvature c and one angular position θ around a shape's
    centre of mass, and responds to the element of the contour that comes nearest (Pasupathy &
    Connor 2001, J Neurophysiol 86:2505)::

        rate = baseline + amplitude · max over the contour of
               exp(−(curvature − c)² / 2σ_c² − (angle − θ)² / 2σ_θ²)

    Curvature and angle come from the contour's geometry, not from pixels: a network that
    resembles this population has found the contour by itself.

    Parameters
    ----------
    seed : int
        Draws neurons and spikes; the 178 shapes are always the same.
    n_subjects, n_neuroids, n_repetitions : int
        Subjects, neurons per subject, showings of each shape. Fewer repetitions, and fewer
        subjects, are the first ones of more: the same neurons and the same spikes.

    Returns
    -------
    Recording
        Region V4. Its data hold the truth too: ``rate`` (stimulus, neuroid) in spikes per second,
        and per neuroid ``preferred_curvature``, ``curvature_width`` (squashed, see
        `probe.stimuli.shapes.squash`), ``preferred_angle``, ``angle_width`` (degrees),
        ``baseline`` and ``amplitude`` (spikes per second).
    """
    _check(seed, n_subjects, n_neuroids, n_repetitions)
    curvature = np.stack([s.squashed_curvature for s in pasupathy_connor_shapes()])
    angle = np.stack([s.angle for s in pasupathy_connor_shapes()])
    populations, rates = [], []
    for rng in _streams(seed, n_subjects, "population"):
        # Many neurons for sharp convexities, fewer for broad ones, some for concavities.
        kind = rng.choice(3, size=n_neuroids, p=(0.55, 0.2, 0.25))
        low, high = np.array([0.65, 0.2, -0.7])[kind], np.array([1.0, 0.65, -0.15])[kind]
        tuning = {
            "preferred_curvature": rng.uniform(low, high),
            "curvature_width": rng.uniform(0.08, 0.2, n_neuroids),
            "preferred_angle": rng.uniform(0.0, 360.0, n_neuroids),
            "angle_width": rng.uniform(18.0, 36.0, n_neuroids),
            "baseline": rng.uniform(1.0, 5.0, n_neuroids),
            "amplitude": rng.uniform(8.0, 30.0, n_neuroids),
        }
        populations.append(tuning)
        rates.append(
            np.stack(
                [_curvature_tuned(curvature, angle, _row(tuning, k)) for k in range(n_neuroids)]
            )
        )
    return _record(
        "sim-v4", "V4", seed, _shapes(), {}, populations, rates, n_repetitions,
        title=SIM_V4_TITLE,
        citation="Simulated by cnn-probe; tuning after Pasupathy & Connor (2001). "
        "J Neurophysiol 86:2505-2519",
    )  # fmt: skip


def simulate_v1(
    seed: int = 0, n_subjects: int = 3, n_neuroids: int = 40, n_repetitions: int = 8
) -> Recording:
    r"""Simulate V1 complex cells: Gabor energy with divisive normalisation.

    The energy of a quadrature pair of Gabors on the picture's luminance (Adelson & Bergen 1985,
    J Opt Soc Am A 2:284), divided by the local contrast under the receptive field (Heeger 1992,
    Vis Neurosci 9:181)::

        rate = baseline + amplitude · energy / (σ² + mean squared contrast), σ = 0.15

    The energy of a matched grating of full contrast is 1, and its mean squared contrast 1/2, so
    that it drives a neuron to 1.9 times the amplitude.

    Parameters
    ----------
    seed : int
        Draws neurons and spikes; the 180 gratings and textures are always the same.
    n_subjects, n_neuroids, n_repetitions : int
        Subjects, neurons per subject, showings of each picture. Fewer repetitions, and fewer
        subjects, are the first ones of more: the same neurons and the same spikes.

    Returns
    -------
    Recording
        Region V1. Its data hold the truth too: ``rate`` (stimulus, neuroid) in spikes per second;
        per neuroid ``preferred_orientation`` (degrees), ``preferred_frequency`` (cycles per
        picture), ``x``, ``y`` (picture widths from the centre), ``size`` (standard deviation of
        the receptive field, picture widths), ``baseline``, ``amplitude``; per stimulus ``kind``,
        ``orientation`` and ``frequency``.
    """
    _check(seed, n_subjects, n_neuroids, n_repetitions)
    contrast = _contrasts()
    populations, rates = [], []
    for rng in _streams(seed, n_subjects, "population"):
        frequency = 2.0 ** rng.uniform(np.log2(6.0), np.log2(48.0), n_neuroids)
        away, angle = 0.2 * np.sqrt(rng.random(n_neuroids)), rng.uniform(0, 2 * np.pi, n_neuroids)
        tuning = {
            "preferred_orientation": rng.uniform(0.0, 180.0, n_neuroids),
            "preferred_frequency": frequency,
            "x": away * np.cos(angle),
            "y": away * np.sin(angle),
            # 0.4 to 0.7 cycles within a standard deviation: bandwidths of 1 to 1.5 octaves
            "size": rng.uniform(0.4, 0.7, n_neuroids) / frequency,
            "baseline": rng.uniform(1.0, 5.0, n_neuroids),
            "amplitude": rng.uniform(15.0, 50.0, n_neuroids),
        }
        populations.append(tuning)
        rates.append(
            np.stack([_gabor_energy(contrast, _row(tuning, k)) for k in range(n_neuroids)])
        )
    patterns = grating_patterns()
    coords = {
        "kind": [p.kind for p in patterns],
        "orientation": [p.orientation for p in patterns],
        "frequency": [p.frequency for p in patterns],
    }
    return _record(
        "sim-v1", "V1", seed, grating_set(), coords, populations, rates, n_repetitions,
        title=SIM_V1_TITLE,
        citation="Simulated by cnn-probe; energy model after Adelson & Bergen (1985). "
        "J Opt Soc Am A 2:284-299, normalisation after Heeger (1992). Vis Neurosci 9:181-197",
    )  # fmt: skip


def _curvature_tuned(
    curvature: np.ndarray, angle: np.ndarray, tuning: dict[str, float]
) -> np.ndarray:
    """Rate of one neuron for contours of shape (n_stimuli, n_points)."""
    off_curvature = (curvature - tuning["preferred_curvature"]) / tuning["curvature_width"]
    off_angle = (angle - tuning["preferred_angle"] + 180.0) % 360.0 - 180.0
    off_angle /= tuning["angle_width"]
    match = np.exp(-0.5 * (off_curvature**2 + off_angle**2).min(axis=1))
    return tuning["baseline"] + tuning["amplitude"] * match


def _gabor_energy(contrast: np.ndarray, tuning: dict[str, float]) -> np.ndarray:
    """Rate of one neuron for contrasts of shape (n_stimuli, size, size)."""
    size = contrast.shape[1]
    x, y = coordinates(size)
    x, y = x[0] - tuning["x"], y[:, 0] - tuning["y"]
    # Only where the envelope is above a thousandth of its peak.
    rows, columns = (np.flatnonzero(np.abs(v) < 3.7 * tuning["size"]) for v in (y, x))
    inside = contrast[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x, y = x[columns][None, :], y[rows][:, None]
    envelope = np.exp(-(x**2 + y**2) / (2.0 * tuning["size"] ** 2))
    envelope /= envelope.sum()
    turn = np.radians(tuning["preferred_orientation"])
    wave = np.exp(
        2j * np.pi * tuning["preferred_frequency"] * (x * np.cos(turn) + y * np.sin(turn))
    )
    gabor = envelope * wave
    gabor -= envelope * gabor.sum()  # blind to a change of mean luminance
    filters = np.stack([gabor.real, gabor.imag, envelope]).reshape(3, -1).T
    flat = inside.reshape(len(inside), -1)
    even_odd = flat @ filters[:, :2].astype(np.float32)
    local = (flat**2) @ filters[:, 2].astype(np.float32)
    # A matched grating of full contrast has the amplitude 1/2 in the pair: energy 1 after × 4.
    energy = 4.0 * (even_odd.astype(np.float64) ** 2).sum(axis=1)
    return tuning["baseline"] + tuning["amplitude"] * energy / (0.15**2 + local)


@functools.cache
def _shapes() -> StimulusSet:
    return shape_set()


@functools.cache
def _contrasts() -> np.ndarray:
    """The shown pictures as contrast, (n_stimuli, size, size) float32."""
    pictures = np.stack([p.picture[:, :, 0] for p in grating_patterns()])
    contrast = (pictures.astype(np.float32) - 128.0) / 127.0
    contrast.setflags(write=False)
    return contrast


def _record(
    name: str,
    region: str,
    seed: int,
    stimuli: StimulusSet,
    shown: dict[str, Any],
    populations: list[dict[str, np.ndarray]],
    rates: list[np.ndarray],
    n_repetitions: int,
    title: str,
    citation: str,
) -> Recording:
    """Draw spike counts for rates (n_subjects × (n_neuroids, n_stimuli)), and pack it all."""
    n_neuroids = len(rates[0])
    subjects = [f"sim-{k + 1}" for k in range(len(rates))]
    counts = [
        _spikes(rng, rate, n_repetitions)
        for rng, rate in zip(_streams(seed, len(rates), "spikes"), rates, strict=True)
    ]
    tuning = {key: np.concatenate([p[key] for p in populations]) for key in populations[0]}
    identity = f"{name} {VERSION} {seed} {len(rates)} {n_neuroids} {n_repetitions} {stimuli.hash}"
    data = xr.Dataset(
        {
            "responses": (_DIMS, np.concatenate(counts, axis=2)),
            "rate": (("stimulus", "neuroid"), np.concatenate(rates).T),
        },
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            **{key: ("stimulus", values) for key, values in shown.items()},
            "subject": ("neuroid", np.repeat(subjects, n_neuroids)),
            "region": ("neuroid", [region] * n_neuroids * len(subjects)),
            "neuroid_id": (
                "neuroid",
                [f"{subject}-{k:02d}" for subject in subjects for k in range(n_neuroids)],
            ),
            **{key: ("neuroid", values) for key, values in tuning.items()},
        },
        attrs={
            "name": f"{name}/{seed}",
            "title": title,
            "citation": citation,
            "licence": "BSD-3-Clause (generated)",
            "source_hash": hashlib.sha256(identity.encode()).hexdigest(),
            "simulated": True,
            "averaged": False,
            "seed": seed,
            "response_unit": f"spikes per {1000 * WINDOW_S:.0f} ms",
        },
    )
    return Recording(data, stimuli)


def _spikes(rng: np.random.Generator, rate: np.ndarray, n_repetitions: int) -> np.ndarray:
    """Draw counts (n_stimuli, n_repetitions, n_neuroids) for rates (n_neuroids, n_stimuli).

    Poisson with a gain that varies from trial to trial (Goris, Movshon & Simoncelli 2014, Nat
    Neurosci 17:858), independently for every neuron.
    """
    counts = []
    for _ in range(n_repetitions):
        gain = rng.gamma(1.0 / GAIN_VARIANCE, GAIN_VARIANCE, size=rate.T.shape)
        counts.append(rng.poisson(rate.T * WINDOW_S * gain))
    return np.stack(counts, axis=1).astype(np.float64)


def _streams(seed: int, n_subjects: int, purpose: str) -> list[np.random.Generator]:
    """One generator per subject, independent of how many there are and of other purposes."""
    key = {"population": 0, "spikes": 1}[purpose]
    return [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key, k)))
        for k in range(n_subjects)
    ]


def _row(tuning: dict[str, np.ndarray], k: int) -> dict[str, float]:
    return {key: float(values[k]) for key, values in tuning.items()}


def _check(seed: int, n_subjects: int, n_neuroids: int, n_repetitions: int) -> None:
    if seed < 0:
        raise ProbeError(f"seed {seed}: expected 0 or more")
    for what, value, least in (
        ("n_subjects", n_subjects, 1),
        ("n_neuroids", n_neuroids, 2),
        ("n_repetitions", n_repetitions, 1),
    ):
        if value < least:
            raise ProbeError(f"{what} {value}: expected {least} or more")
