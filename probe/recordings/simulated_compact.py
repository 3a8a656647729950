"""A simulated recording whose neurons are networks: those that were published of V4 neurons.

What it has beside other simulated recordings are receptive fields and selectivity as found in V4,
and an answer to any picture: the noise-free rate is a network's, with a gradient.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Sequence

import numpy as np
import xarray as xr

from probe.assets import derive, fetch
from probe.assets.manifest import manifests
from probe.errors import ProbeError
from probe.progress import track
from probe.recordings.loaders import cowley2023
from probe.recordings.recording import Recording
from probe.recordings.titles import N_COMPACT_STIMULI, SIM_V4_COMPACT_LICENCE, SIM_V4_COMPACT_TITLE
from probe.stimuli import StimulusSet

VERSION = 1
"""Part of the source hash: raised whenever the generated numbers change."""

_SESSION = "201025"
_WINDOW = 0.1
"""Seconds over which spikes were counted in the session, and are here."""
_BATCH = 4
"""Pictures at a time: more do not fit into a processor's cache, and take half as long again."""


def simulate_v4_compact(
    seed: int = 0,
    n_repetitions: int = 8,
    *,
    stimuli: StimulusSet | None = None,
    neurons: Sequence[int] | None = None,
    progress: bool | None = None,
) -> Recording:
    r"""Simulate V4 neurons by the networks that Cowley et al. (2026) fitted to recorded ones.

    The network of a neuron gives unscaled numbers. Its gain and offset are those that bring them
    nearest (least squares) to the neuron's mean counts for the 600 pictures of its session that the
    network was not fitted to; a count is Poisson, with the mean::

        rate · 100 ms = max(0, offset + gain · network(picture))

    Parameters
    ----------
    seed : int
        Draws the spikes. Neurons and rates are always the same.
    n_repetitions : int
        Showings of each picture. Fewer are the first ones of more.
    stimuli : StimulusSet, optional
        Any pictures, which are resized to 112×112 px; by default the 600 of the session.
    neurons : sequence of int, optional
        Which of the 89, from 0 as in ``v4-compact:201025-0``; by default all. All take minutes on
        a CPU, the first time; rates are kept in the cache.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Recording
        Region V4, marked as simulated. Its data hold the truth too: ``rate`` (stimulus, neuroid)
        in spikes per second; per neuroid ``gain`` and ``offset`` (spikes per 100 ms), and ``r``,
        the network's correlation with the recorded means over those 600 pictures.

    Raises
    ------
    ProbeError
        If a file of the networks or of their session cannot be had, or an argument is out of range.
    """
    if seed < 0:
        raise ProbeError(f"seed {seed}: expected 0 or more")
    if n_repetitions < 1:
        raise ProbeError(f"n_repetitions {n_repetitions}: expected 1 or more")
    session = _session(progress)
    pictures = session.stimuli if stimuli is None else stimuli
    rate = v4_compact_rates(pictures, neurons, progress=progress)
    labels = [str(label) for label in rate["neuroid_id"].values]
    counts = np.empty((len(pictures), n_repetitions, len(labels)))
    for k, label in enumerate(labels):
        # A stream for each neuron, so that the same one fires alike among others.
        key = (2, int(label.partition("-")[2]))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        for repetition in range(n_repetitions):
            counts[:, repetition, k] = rng.poisson(rate.values[:, k] * _WINDOW)
    what = f"sim-v4-compact {VERSION} {seed} {n_repetitions} {' '.join(labels)} {pictures.hash}"
    manifest = manifests()["cowley2023-compact"]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), counts), "rate": rate.variable},
        coords={
            "stimulus_id": ("stimulus", list(pictures.ids)),
            "subject": ("neuroid", ["sim-1"] * len(labels)),
            "region": ("neuroid", ["V4"] * len(labels)),
            "neuroid_id": ("neuroid", labels),
            "gain": rate["gain"],
            "offset": rate["offset"],
            "r": rate["r"],
        },
        attrs={
            "name": f"sim-v4-compact/{seed}",
            "title": SIM_V4_COMPACT_TITLE,
            "citation": f"Simulated by cnn-probe with networks of: {manifest.citation}",
            "licence": SIM_V4_COMPACT_LICENCE,
            "homepage": manifest.homepage,
            "source_hash": hashlib.sha256(what.encode()).hexdigest(),
            "simulated": True,
            "averaged": False,
            "seed": seed,
            "response_unit": "spikes per 100 ms",
        },
    )
    return Recording(data, pictures)


def v4_compact_rates(
    stimuli: StimulusSet,
    neurons: Sequence[int] | None = None,
    *,
    progress: bool | None = None,
) -> xr.DataArray:
    """Compute the noise-free rates of `simulate_v4_compact` for any pictures.

    Parameters
    ----------
    stimuli : StimulusSet
    neurons, progress
        As in `simulate_v4_compact`.

    Returns
    -------
    xarray.DataArray, dims (stimulus, neuroid)
        Spikes per second, with the coordinates ``stimulus_id``, ``neuroid_id``, ``gain``,
        ``offset`` and ``r``.

    Raises
    ------
    ProbeError
        If a file cannot be had, or there is no such neuron.
    """
    n_known = len(_labels())
    chosen = list(range(n_known)) if neurons is None else [int(k) for k in neurons]
    if not chosen or not set(chosen) <= set(range(n_known)) or len(set(chosen)) < len(chosen):
        raise ProbeError(f"neurons {chosen}: expected numbers from 0 to {n_known - 1}, each once")
    session = _session(progress)
    counts = session.mean_responses().values[:, chosen]
    fitted = _outputs(session.stimuli, chosen, progress)
    gain, offset, r = _fit_gain(fitted, counts)
    outputs = (
        fitted if stimuli.hash == session.stimuli.hash else _outputs(stimuli, chosen, progress)
    )
    return xr.DataArray(
        np.maximum(offset + gain * outputs, 0) / _WINDOW,
        dims=("stimulus", "neuroid"),
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            "neuroid_id": ("neuroid", [_labels()[k] for k in chosen]),
            "gain": ("neuroid", gain),
            "offset": ("neuroid", offset),
            "r": ("neuroid", r),
        },
        name="rate",
    )


def _labels() -> tuple[str, ...]:
    from probe.models.registry import COMPACT, neurons

    return neurons(COMPACT + _SESSION)


def _session(progress: bool | None) -> Recording:
    """Return what was recorded for the pictures that the networks were not fitted to."""
    fetch_file = functools.partial(fetch, progress=progress)
    recording = cowley2023(manifests()["cowley2023"], _SESSION, fetch_file)
    held_out = recording.data.isel(stimulus=slice(-N_COMPACT_STIMULI, None))
    return Recording(held_out, recording.stimuli)


def _fit_gain(outputs: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit gain and offset of each column of outputs (n_stimuli, n_neurons) to that of counts."""
    mean, target = outputs.mean(0), counts.mean(0)
    x, y = outputs - mean, counts - target
    gain = (x * y).sum(0) / np.square(x).sum(0)
    r = gain * np.sqrt(np.square(x).sum(0) / np.square(y).sum(0))
    return gain, target - gain * mean, r


def _outputs(stimuli: StimulusSet, neurons: Sequence[int], progress: bool | None) -> np.ndarray:
    """Compute what the networks return: (n_stimuli, n_neurons), float64; kept in the cache."""
    labels = [_labels()[k] for k in neurons]
    key = hashlib.sha256(f"{VERSION} {stimuli.hash} {' '.join(labels)}".encode()).hexdigest()

    def compute() -> bytes:
        import torch

        from probe import models
        from probe.models.registry import COMPACT

        networks = [models.load(COMPACT + label, progress=False) for label in labels]
        preprocess = networks[0].preprocessing
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        order = torch.channels_last  # in which these convolutions take half the time
        modules = [n.module.to(device).to(memory_format=order) for n in networks]
        rows = []
        starts = range(0, len(stimuli), _BATCH)
        with torch.inference_mode():
            for start in track(starts, desc="V4 neurons", unit="batch", progress=progress):
                batch = range(start, min(start + _BATCH, len(stimuli)))
                pictures = torch.stack([preprocess(stimuli.image(k)) for k in batch])
                x = pictures.to(device, memory_format=order)
                rows.append(torch.cat([module(x) for module in modules], 1).cpu().double())
        out = io.BytesIO()
        np.save(out, torch.cat(rows).numpy())
        return out.getvalue()

    path = derive("simulated", f"v4-compact-{key[:24]}.npy", compute)
    return np.asarray(np.load(path, allow_pickle=False))
