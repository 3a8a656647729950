"""Sites fitted to one half of the stimuli, so that the other half can judge what they say."""

from __future__ import annotations

import numpy as np

from probe.encoding.fitting import check_recording, fit
from probe.encoding.kept import find_fit, keep
from probe.encoding.result import Encoding
from probe.encoding.settings import EncodeSettings
from probe.models import Network
from probe.models.devices import resolve_device
from probe.recordings import Recording

N_FOLDS = 5
"""Of a half, for its own held-out scores."""


def halves(recording: Recording, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Divide stimuli at random into two halves; those of one group stay together.

    Returns
    -------
    first, second : numpy.ndarray of int
        Sorted indices.
    """
    n = recording.n_stimuli
    labels = np.arange(n)
    if "group" in recording.data.coords:
        labels = np.unique(recording.data["group"].values, return_inverse=True)[1]
    n_groups = int(labels.max()) + 1
    order = np.random.default_rng(seed).permutation(n_groups)
    in_first = np.zeros(n_groups, dtype=bool)
    in_first[order[: n_groups // 2]] = True
    chosen = in_first[labels]
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def fit_half(
    network: Network,
    recording: Recording,
    stimuli: np.ndarray,
    *,
    alias: str,
    layers: str = "default",
    device: str = "auto",
    progress: bool | None = None,
) -> Encoding:
    """Fit all sites to some of the stimuli, or open the fit that is kept.

    Parameters
    ----------
    network : Network
    recording : Recording
        Of one region.
    stimuli : numpy.ndarray of int
        What is fitted and scored; the others are not looked at.
    alias : str
        What the recording is called.
    layers, device, progress
        As in `probe.encode`.
    """
    check_recording(recording)
    earlier = find_fit(network, recording, stimuli, layers)
    if earlier is not None:
        return earlier
    kind = network.weights.kind
    settings = EncodeSettings(
        layers=layers, splits=N_FOLDS, baselines="none", n_resamples=0, device=device,
        weights="imagenet" if kind in ("published", "recipe") else kind,
        progress=progress,
    ).checked()  # fmt: skip
    resolve_device(device)
    encoding = fit(network, recording, settings, alias=alias, stimuli=[int(k) for k in stimuli])
    keep(encoding)
    return encoding
