"""What is said of a fit besides its numbers: how it was computed, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probe.encoding.jobs import Job
from probe.encoding.ridge import Split
from probe.encoding.scoring import averages_within
from probe.encoding.settings import EncodeSettings
from probe.encoding.splits import is_partition, n_units_of, splitter_of
from probe.models import LayerInfo, Network
from probe.models.devices import devices_of
from probe.output.provenance import NETWORK_PACKAGES, provenance_of
from probe.recordings import Recording

WITHIN = "r within each of {n} folds, then the mean; every stimulus is held out once"
POOLED = (
    "r pooled over {n} folds, which are too small for an r within each: by chance it lies below 0"
)
WHERE_SHUFFLED = ", where that of the shuffled responses lies"
INTERVALS = (
    "of medians over sites, t intervals around the score, with the standard deviation of resamples "
    "for its standard error; of single sites, percentiles of resamples"
)
BY_SPLIT = "median over sites of r in each split, then the mean over {n} splits"


def facts_of_model(network: Network, infos: Sequence[LayerInfo]) -> dict[str, Any]:
    """Return what decides a network, and which of its layers were fitted."""
    return {
        "name": network.name,
        **{f"weights_{k}": v for k, v in vars(network.weights).items()},
        "preprocessing": network.preprocessing.describe(),
        "layers": [info.name for info in infos],
    }


def facts_of_fit(
    network: Network,
    settings: EncodeSettings,
    splits: Sequence[Split],
    groups: np.ndarray | None,
    n_stimuli: int,
    jobs: Sequence[Job],
    recording: Recording,
) -> dict[str, Any]:
    """Return how sites were fitted and scored, with remarks on what a reader would not expect."""
    remarks = []
    unpooled = [
        job.layer for job in jobs
        if job.kind == "layer" and job.layout is None and settings.readout != "full"
    ]  # fmt: skip
    if unpooled:
        remarks.append(f"Read in full, since their positions are not known: {', '.join(unpooled)}.")
    if settings.baselines != "none" and (why := network.why_no_untrained):
        remarks.append(f"No untrained baseline: {why}.")
    shuffled = settings.baselines != "none" and settings.step is None  # no row of them over time
    pooled = POOLED + (WHERE_SHUFFLED if shuffled else "")
    aggregate = WITHIN if averages_within(splits) else pooled
    aggregate = aggregate if is_partition(splits, n_stimuli) else BY_SPLIT
    averaged = bool(recording.data.attrs.get("averaged", False))
    units = (
        f"{n_stimuli} stimuli"
        if jobs[0].plan.groups is None
        else f"{len(np.unique(jobs[0].plan.groups))} groups of stimuli"
    )
    return {
        "readout": settings.readout,
        "method": settings.method,
        "protocol": settings.protocol,
        "n_splits": len(splits),
        "aggregate": aggregate.format(n=len(splits)),
        "units": "stimuli" if groups is None else f"{len(np.unique(groups))} groups of stimuli",
        "n_units": n_units_of(n_stimuli, groups),
        "intervals": INTERVALS if settings.n_resamples and is_partition(splits, n_stimuli) else "",
        "n_resamples": settings.n_resamples,
        "chosen_by": None
        if settings.method == "pls"
        else f"the least error when each of {units} is left out in turn",
        # How the network is loaded again, as it is: it may not have come by these settings.
        "weights": network.weights.kind
        if network.weights.kind in ("imagenet", "random")
        else str(settings.weights),
        "preprocessing": network.preprocessing.name,
        "seed": settings.seed if network.weights.seed is None else network.weights.seed,
        "input_size": list(network.preprocessing.size),
        "no_ceiling": "the recording holds means over repetitions"
        if averaged
        else "no stimulus was repeated",
        "remarks": remarks,
    }


def encoding_provenance(settings: EncodeSettings, network: Network) -> dict[str, Any]:
    """Return with which settings, packages and devices sites were fitted."""
    splits = splitter_of(settings)
    return provenance_of(
        {
            "readout": settings.readout,
            "method": settings.method,
            "n_components": settings.n_components,
            "splits": splits if isinstance(splits, int) else str(splits),
            "seed": settings.seed,
            "n_resamples": settings.n_resamples,
            "min_reliability": settings.min_reliability,
            "device": ",".join(map(str, devices_of(network, settings.device))),
        },
        (*NETWORK_PACKAGES, "scikit-learn"),
    )
