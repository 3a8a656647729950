"""One network, one region, at every time: a curve per layer, and when it peaks."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from probe import inference, recordings
from probe.comparison.layer_rdms import LayerRDMs, NetworkRDMs
from probe.comparison.layer_scores import (
    check_design,
    facts_of,
    named_rdms,
    settings_of,
)
from probe.comparison.result_over_time import RSAOverTime
from probe.comparison.settings import RSASettings
from probe.errors import ProbeError
from probe.output.provenance import provenance_of
from probe.progress import track
from probe.recordings import Recording
from probe.similarity import compare as similarity
from probe.similarity import get_comparator
from probe.similarity.comparators import choose_comparator


def compare_over_time(
    network_rdms: NetworkRDMs, recording: Recording, settings: RSASettings
) -> RSAOverTime:
    """Compare the layers of a network, and its baselines, with a recording at each of its times.

    Parameters
    ----------
    network_rdms : NetworkRDMs
    recording : Recording
        Of one region, in the steps that are compared.
    settings : RSASettings

    Returns
    -------
    RSAOverTime

    Raises
    ------
    ProbeError
        If a distance or a score is undefined, or the design does not allow what was asked for.
    """
    network = network_rdms.network
    check_design(recording, settings)
    times = recording.times
    assert times is not None  # it is in steps
    _, data = recording.rdms_over_time(settings.metric)
    rdms = network_rdms.over(recording.stimuli)
    comparator, remarks = choose_comparator(rdms.of_layers, settings.comparator)
    try:
        of_layers = inference.evaluate_over_time(
            rdms.trained, data, comparator, resample=settings.resample,
            n_resamples=settings.n_resamples, seed=settings.seed,
            track=functools.partial(
                track, desc="inference", unit="resample", progress=settings.progress
            ),
        )  # fmt: skip
    except ValueError as error:
        raise ProbeError(f"{network.name} and {recording.name}: {error}") from None
    generalisation, ceiling, how = _ceiling(recording, of_layers.ceiling, comparator, settings)
    undefined = 0 if generalisation is None else int(np.isnan(np.diagonal(generalisation)).sum())
    if undefined:
        remarks.append(
            f"No noise ceiling at {undefined} of {len(times)} times: there, the RDM of some half "
            "of the repetitions is undefined, as where a stimulus has no response."
        )

    middles = times.mean(axis=1)
    latencies = inference.latencies(of_layers.peaks, of_layers.resampled_peaks, middles)
    at_peak = np.arange(len(rdms.names)), of_layers.peaks
    aliases = [info.alias for info in network_rdms.layers]
    facts = {"layer": rdms.names, "alias": aliases}
    peaks = pd.DataFrame(
        facts
        | {
            "latency": latencies[:, 0],
            "latency_low": latencies[:, 1],
            "latency_high": latencies[:, 2],
            "score": of_layers.mean[at_peak],
            "ci_low": of_layers.ci_low[at_peak],
            "ci_high": of_layers.ci_high[at_peak],
            "p": of_layers.p[at_peak],
        }
    )
    clusters = pd.DataFrame(
        [
            (rdms.names[model], times[first, 0], times[last, 1], p)
            for model, first, last, p in of_layers.clusters
        ],
        columns=["layer", "time_start", "time_end", "p"],
    )
    resampled = of_layers.resampled_peaks
    return RSAOverTime(
        table=_table(
            network_rdms, recording, settings, comparator, rdms, data, of_layers, ceiling
        ),
        peaks=peaks,
        clusters=clusters,
        ceiling=how,
        generalisation=generalisation,
        latencies=np.where(resampled >= 0, middles[resampled], np.nan),
        rdms=named_rdms(network_rdms, rdms, recording, settings),
        facts=facts_of(
            network, rdms, recording, settings, comparator, of_layers.resample,
            "sign-flip" if of_layers.resample == "subjects" else "permutation", remarks,
        ),
        provenance=provenance_of(
            settings_of(network, settings, untrained_seeds=list(rdms.untrained))
        ),
    )  # fmt: skip


def _ceiling(
    recording: Recording, of_subjects: np.ndarray, comparator: str, settings: RSASettings
) -> tuple[np.ndarray | None, np.ndarray, str]:
    """Return the generalisation over time, bounds of a true model's score (2, T), and how."""
    unknown = np.full_like(of_subjects, np.nan)
    of_several = len(recording.subjects) > 1
    repetitions = recording.n_repetitions
    if not of_several and (repetitions is None or repetitions[1] < 2):
        return None, unknown, "one subject, no repetitions"
    try:
        generalisation = recordings.time_generalisation(
            recording, settings.metric, comparator, seed=settings.seed
        )
    except ProbeError as error:
        if of_several:
            return None, of_subjects, _of_subjects(recording)
        return None, unknown, f"no split-half reliability, since {error}"
    if of_several:
        return generalisation, of_subjects, _of_subjects(recording)
    if not get_comparator(comparator).centred:
        # Two RDMs of noise have a high cosine, since distances are not negative.
        return generalisation, unknown, f"one subject, and {comparator} is not a correlation"
    reliability = recordings.reliability_over_time(generalisation)
    return (
        generalisation,
        np.stack([reliability, np.sqrt(reliability)]),
        "split-half reliability to its square root",
    )


def _of_subjects(recording: Recording) -> str:
    return f"{len(recording.subjects)} subjects, leave-one-out to all-in"


def _table(
    network_rdms: NetworkRDMs,
    recording: Recording,
    settings: RSASettings,
    comparator: str,
    rdms: LayerRDMs,
    data: np.ndarray,
    of_layers: inference.OverTime,
    ceiling: np.ndarray,
) -> pd.DataFrame:
    times = recording.times
    assert times is not None  # it is in steps
    n_times = len(times)

    def rows(kind: str, names: list[str], aliases: list[str], **columns: Any) -> pd.DataFrame:
        n = len(names)
        of_times = {
            "time_start": times[:, 0],
            "time_end": times[:, 1],
            "ceiling_lower": ceiling[0],
            "ceiling_upper": ceiling[1],
        }
        return pd.DataFrame(
            {"kind": kind, "layer": np.repeat(names, n_times), "alias": np.repeat(aliases, n_times)}
            | {name: np.ravel(values) for name, values in columns.items()}
            | {name: np.tile(values, n) for name, values in of_times.items()}
        )

    def scores(models: np.ndarray) -> np.ndarray:
        flat = data.reshape(-1, data.shape[-1])
        both = np.atleast_2d(similarity(models, flat, comparator))
        return both.reshape(len(models), n_times, -1).mean(axis=2)

    aliases = [info.alias for info in network_rdms.layers]
    tables = [
        rows(
            "layer", rdms.names, aliases, score=of_layers.mean, ci_low=of_layers.ci_low,
            ci_high=of_layers.ci_high, p=of_layers.p,
        )
    ]  # fmt: skip
    if len(rdms.pixels):
        tables.append(rows("pixels", ["pixels"], [""], score=scores(rdms.pixels)))
    for init_seed, of_seed in rdms.untrained.items():
        of_untrained = np.full((len(of_seed), n_times), np.nan)
        defined = np.isfinite(of_seed).all(axis=1)
        if defined.any():
            of_untrained[defined] = scores(of_seed[defined])
        tables.append(
            rows("untrained", rdms.names, aliases, score=of_untrained).assign(init_seed=init_seed)
        )
    for classic in rdms.classic:
        if classic.names:
            blank = [""] * len(classic.names)
            tables.append(rows("classic", classic.names, blank, score=scores(classic.rdms)))
    table = pd.concat(tables, ignore_index=True)
    if "init_seed" in table:
        table["init_seed"] = table["init_seed"].astype("Int64")
    order = [
        "kind", "layer", "alias", "time_start", "time_end", "score", "ci_low", "ci_high", "p",
        "ceiling_lower", "ceiling_upper", *(["init_seed"] if "init_seed" in table else []),
    ]  # fmt: skip
    table = table[order]
    subjects = recording.subjects
    compared: dict[str, str | bool] = {
        "model": network_rdms.network.name,
        "dataset": recording.name,
        "region": recording.regions[0],
        "subject": subjects[0] if len(subjects) == 1 else f"mean of {len(subjects)}",
        "metric": settings.metric,
        "comparator": comparator,
        "simulated": recording.simulated,
    }
    for k, (column, value) in enumerate(compared.items()):
        table.insert(k, column, value)
    return table
