"""The layers of a network and a recording, aligned response by response rather than by RDMs.

stimuli → network → activations per layer ↘
recording → responses → mean over repetitions → alignment → table
"""

from __future__ import annotations

import functools
import math
import operator
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe import models, recordings
from probe.activations.extract import Extraction
from probe.errors import ProbeError, suggest
from probe.models import Network
from probe.models.devices import resolve_device
from probe.progress import track
from probe.recordings import Recording
from probe.similarity.alignment import ALIGNMENTS, Representation
from probe.similarity.rdms import BadPatternError

OWNER = ("region", "subject")

if TYPE_CHECKING:
    from torch import nn


def align(
    model: str | Network | nn.Module,
    dataset: str | Recording,
    method: str = "cka-debiased",
    *,
    layers: str | Sequence[str] = "default",
    region: str | None = None,
    subject: str | None = None,
    variance: float | None = None,
    n_permutations: int = 100,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Align the layers of a network with recorded responses.

    Responses are averaged over repetitions. Every score stands beside the score that the same
    layer and the same responses have when stimuli are permuted: with few stimuli, all alignments
    but the debiased CKA are far above zero for responses that have nothing in common.

    Parameters
    ----------
    model, dataset, layers, region, subject, weights, preprocessing, device, batch_size, \
accept_licence, progress
        As for `probe.rsa`. A recording of yours may have several regions: each is aligned.
    method : {'cka-debiased', 'cka', 'svcca', 'pwcca', 'procrustes', 'soft-matching'}
        See `probe.similarity.alignment`; the layer is ``x``, the responses are ``y``.
    variance : float, optional
        Share of the variance that 'svcca' and 'pwcca' keep; by default theirs.
    n_permutations : int
        Permutations of the stimuli, the same for all layers and subjects; 0 leaves them out.
    seed : int
        Of the permutations and, with ``weights='random'``, the initialisation.

    Returns
    -------
    pandas.DataFrame
        One row per layer, region and subject: ``model``, ``dataset``, ``simulated``, ``method``,
        ``layer``, ``alias``, ``n_neuroids`` (of the layer), ``region``, ``subject``, ``n_recorded``
        (neuroids of the subject), ``n_stimuli``, ``score``, ``chance`` (the mean score of permuted
        stimuli), and ``p`` (one-sided: the share of permutations, with the one that is no
        permutation, whose score is at least as high).

    Raises
    ------
    ProbeError
        If something that was named does not exist, the recording holds RDMs only, or a score is
        undefined (saying for which layer and stimulus).
    """
    if method not in ALIGNMENTS:
        raise ProbeError(f"method {method!r} is unknown{suggest(method, ALIGNMENTS)}")
    score = ALIGNMENTS[method]
    if variance is not None:
        if method not in ("svcca", "pwcca"):
            raise ProbeError(f"method {method!r} keeps all variance: only svcca and pwcca do not")
        score = functools.partial(score, variance=variance)
    for what, number in (("seed", seed), ("n_permutations", n_permutations)):
        if number < 0:
            raise ProbeError(f"{what} is {number}; wanted 0 or more")
    seed = operator.index(seed)
    resolve_device(device)
    model = models.check_model(model, weights, preprocessing)  # before anything is downloaded
    if isinstance(dataset, Recording):
        recording = dataset.select(region, subject)
    else:
        recording = recordings.load(
            dataset,
            region=region,
            subject=subject,
            accept_licence=accept_licence,
            progress=progress,
        )
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only, and {method} aligns responses: "
            "compare it with probe.rsa"
        )
    network = models.as_network(
        model, weights, preprocessing, seed=seed, accept_licence=accept_licence, progress=progress
    )
    names = models.resolve(layers, network)

    # One set of responses per region and subject, and the stimuli in other orders.
    means = recording.mean_responses()
    owners = [(str(r), str(s)) for r, s in zip(*(means[k].values for k in OWNER), strict=True)]
    responses = {
        owner: means.values[:, [k for k, other in enumerate(owners) if other == owner]]
        for owner in dict.fromkeys(owners)
    }
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(recording.n_stimuli) for _ in range(n_permutations)]

    rows = []
    infos = [info for info in models.layers(network) if info.name in names]
    extraction = Extraction(network, recording.stimuli, device=device)
    try:
        store = extraction.run(names, batch_size=batch_size, progress=progress)
        for info in track(infos, desc=method, unit="layer", progress=progress):
            x = Representation(store.array(info.name), f"layer {info.name!r}")
            for (of_region, of_subject), y in responses.items():
                try:
                    found = score(x, Representation(y, f"{of_region} of {of_subject!r}"))
                    chance = np.array([score(x, y[order]) for order in orders])
                except BadPatternError as error:
                    stimulus = recording.stimuli.ids[error.row]
                    raise ProbeError(f"{network.name}: {stimulus!r} {error.what}") from None
                except ValueError as error:
                    raise ProbeError(f"{network.name} and {recording.name}: {error}") from None
                rows.append(
                    {
                        "model": network.name,
                        "dataset": recording.name,
                        "simulated": recording.simulated,
                        "method": method,
                        "layer": info.name,
                        "alias": info.alias,
                        "n_neuroids": math.prod(info.output_shape),
                        "region": of_region,
                        "subject": of_subject,
                        "n_recorded": y.shape[1],
                        "n_stimuli": recording.n_stimuli,
                        "score": found,
                        "chance": chance.mean() if orders else np.nan,
                        "p": (1 + (chance >= found - 1e-12).sum()) / (1 + len(orders))
                        if orders
                        else np.nan,
                    }
                )
    finally:
        if network.weights.kind == "user":  # nobody will ask for these activations again
            shutil.rmtree(extraction.path, ignore_errors=True)
    return pd.DataFrame(rows)
