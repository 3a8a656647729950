"""Sites fitted once for every fold of the stimuli, so that each stimulus meets a fit without it.

A map of a picture that a head was fitted to says in part what was recorded for that very picture.
Held against what was recorded, it would be right by having seen the answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from probe import models
from probe.activations.store import ActivationStore
from probe.encoding.fitting import check_recording
from probe.encoding.jobs import extract_jobs, jobs_of
from probe.encoding.layer_fit import Held, prepare
from probe.encoding.ridge import Split
from probe.encoding.settings import EncodeSettings
from probe.encoding.sites import Identity, Site
from probe.encoding.splits import groups_of, splits_of
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import resolve_device
from probe.progress import track
from probe.recordings import Recording


@dataclass(frozen=True, eq=False)
class HeldOut:
    """All sites of a recording, read from one layer by fits that have not seen some stimuli.

    Attributes
    ----------
    network : Network
    layer : str
    folds : tuple of Held
        Each with the stimuli that it has not seen; together, all, each once.
    predictions : numpy.ndarray, float64, shape (n, m)
        Of every stimulus, by the fit that has not seen it: as deviations from what that was trained
        on, plus the mean of all, since pooled training means would run against the responses.
    mean, sd : numpy.ndarray, shape (m,)
        Of the responses to all stimuli: the unit of `site`.
    dataset : str
        What the recording is called.
    identity : Identity
        Of the network.
    """

    network: Network
    layer: str
    folds: tuple[Held, ...]
    predictions: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    dataset: str
    identity: Identity

    def site(self, number: int, fold: int) -> Site:
        """Return a site as a target, as a fold's fit reads it.

        Parameters
        ----------
        number : int
            From 0, in the order of the recording.
        fold : int
            From 0.

        Raises
        ------
        ProbeError
            If there is no such site or fold.
        """
        for what, index, n in (("site", number, len(self.mean)), ("fold", fold, len(self.folds))):
            if not 0 <= index < n:
                raise ProbeError(f"{what} {index}: expected a number from 0 to {n - 1}")
        readout = self.folds[fold].readout.take([number])
        return Site(
            f"site:{self.dataset}:{number}",
            (readout.module(),),
            (torch.tensor([self.mean[number]], dtype=torch.float32),),
            (torch.tensor([self.sd[number]], dtype=torch.float32),),
            1,
            self.identity,
            {"fold": fold, "unseen": [int(k) for k in self.folds[fold].test]},
            lambda: self.network,
        )


def fit_held_out(
    network: Network,
    recording: Recording,
    layers: str | Sequence[str] = "default",
    *,
    readout: str = "field",
    splits: Any = 10,
    groups: str | Sequence[Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool | None = None,
) -> dict[str, HeldOut]:
    """Fit all sites from each layer, once for every fold.

    Parameters
    ----------
    network : Network
    recording : Recording
        Of one region, with responses.
    layers, readout, splits, groups, seed, device, batch_size, progress
        As in `probe.encode`; splits hold out every stimulus once.

    Returns
    -------
    dict of str to HeldOut
        By layer.

    Raises
    ------
    ProbeError
        As of `probe.encode`, and if splits do not hold out every stimulus once.
    """
    check_recording(recording)
    settings = EncodeSettings.of(locals() | {"baselines": "none", "n_resamples": 0}).checked()
    resolve_device(device)
    responses = recording.mean_responses().values
    labels = groups_of(recording, groups)
    divided = splits_of(len(responses), labels, settings)
    _check_once(len(responses), divided)
    names = models.resolve(layers, network)
    infos = [info for info in models.layers(network) if info.name in names]
    jobs = jobs_of(network, infos, settings, labels)
    stores = extract_jobs(jobs, recording, settings, None)
    identity, fitted = Identity.of(network), {}
    for job, store in track(
        list(zip(jobs, stores, strict=True)), desc="fit folds", unit="layer", progress=progress
    ):
        patterns = prepare(
            ActivationStore(store.path).complete(job.layer), job.layer, job.layout, job.plan,
            pooled=job.plan.pools(job.layout), network=network.name,
        )  # fmt: skip
        folds = patterns.fit_without(responses, divided)
        predictions = np.full(responses.shape, np.nan)
        for (train, test), fold in zip(divided, folds, strict=True):
            shift = responses.mean(axis=0) - responses[train].mean(axis=0)
            predictions[test] = fold.predictions + shift
        fitted[job.layer] = HeldOut(
            network, job.layer, tuple(folds), predictions, responses.mean(0), responses.std(0),
            recording.name, identity,
        )  # fmt: skip
    if network.weights.kind == "user":  # nobody will ask for these activations again
        for path in {store.path for store in stores}:
            shutil.rmtree(path, ignore_errors=True)
    return fitted


def _check_once(n: int, splits: Sequence[Split]) -> None:
    """Refuse splits that hold out a stimulus never, or more than once."""
    times = np.bincount(np.concatenate([test for _, test in splits]), minlength=n)
    if (times != 1).any():
        k = int(np.flatnonzero(times != 1)[0])
        raise ProbeError(
            f"splits hold out stimulus {k} {times[k]} times: expected every stimulus once, as a "
            "number of folds does"
        )
