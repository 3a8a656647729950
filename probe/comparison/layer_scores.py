"""One network, one region: scores, how sure one may be of them, and the best layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from probe import inference, recordings
from probe.comparison.layer_rdms import COUNTERPART, ClassicRDMs, LayerRDMs, NetworkRDMs
from probe.comparison.recorded import rdms_of_recording
from probe.comparison.result import Ceiling, Choice, RSAResult
from probe.comparison.settings import RSASettings
from probe.errors import ProbeError
from probe.inference.evaluate import MIN_STIMULI
from probe.inference.resampling import Executor
from probe.models import Network
from probe.models.devices import devices_of
from probe.output.provenance import provenance_of
from probe.progress import share, track
from probe.recordings import Recording
from probe.similarity import compare as similarity
from probe.similarity import get_comparator, n_conditions
from probe.similarity.comparators import choose_comparator
from probe.similarity.rdm_set import RDMs

N_SPLITS = 100
"""Splits of the stimuli for choosing a layer on one half and scoring it on the other."""

RDMS_SHARE = 0.85
"""Share of the RDMs in the time of a comparison; the rest is inference. For the estimate alone."""


def score_layers(
    network_rdms: NetworkRDMs,
    recording: Recording,
    settings: RSASettings,
    executor: Executor | None = None,
) -> RSAResult:
    """Compare the layers of a network, and its baselines, with one region of a recording.

    Parameters
    ----------
    network_rdms : NetworkRDMs
    recording : Recording
        Of one region.
    settings : RSASettings
    executor : Executor, optional
        Has resamples computed elsewhere.

    Returns
    -------
    RSAResult

    Raises
    ------
    ProbeError
        If a distance or a score is undefined, or the design does not allow what was asked for.
    """
    network = network_rdms.network
    check_design(recording, settings)
    recorded = rdms_of_recording(recording, settings.metric)
    subjects, data = list(recorded.labels), recorded.distances
    with share(RDMS_SHARE):
        rdms = network_rdms.over(recording.stimuli)
    comparator, remarks = choose_comparator(rdms.of_layers, settings.comparator)

    bar = functools.partial(track, progress=settings.progress)
    evaluate = functools.partial(
        inference.evaluate, data=data, comparator=comparator, resample=settings.resample,
        test=settings.test, n_resamples=settings.n_resamples, seed=settings.seed,
        subjects=subjects, executor=executor,
    )  # fmt: skip
    try:
        ceiling = _ceiling(recording, data, comparator, settings)
        watched = functools.partial(bar, desc="inference", unit="resample")
        # Pixels, and what came before, are RDMs more in the same resamples, but no part of the
        # layers' family.
        classic = [one for one in rdms.classic if one.names]
        with share(1 - RDMS_SHARE):
            of_all = evaluate(
                np.concatenate([rdms.trained, rdms.pixels, *(one.rdms for one in classic)]),
                names=[
                    *rdms.names, *["pixels"] * len(rdms.pixels),
                    *(name for one in classic for name in one.names),
                ],
                track=watched,
            )  # fmt: skip
        n_layers = len(rdms.names)
        of_layers = of_all.of_models(range(n_layers))
        of_pixels = of_all.of_models([n_layers]) if len(rdms.pixels) else None
        of_classic, start = [], n_layers + len(rdms.pixels)
        for one in classic:
            of_classic.append(of_all.of_models(range(start, start + len(one.names))))
            start += len(one.names)
        choice = _choose(rdms, data, comparator, settings.seed, bar)
    except ValueError as error:
        raise ProbeError(f"{network.name} and {recording.name}: {error}") from None

    what_is_compared: dict[str, str | bool] = {
        "model": network.name,
        "dataset": recording.name,
        "region": recording.regions[0],
        "subject": subjects[0] if len(subjects) == 1 else f"mean of {len(subjects)}",
        "metric": settings.metric,
        "comparator": comparator,
        "simulated": recording.simulated,
    }
    table = pd.concat(
        [
            _layer_rows(network_rdms, of_layers, ceiling),
            *([_pixel_rows(network, of_pixels, ceiling)] if of_pixels else []),
            *_untrained_rows(network_rdms, rdms, data, comparator),
            *(
                _classic_rows(one, scored, ceiling)
                for one, scored in zip(classic, of_classic, strict=True)
            ),
        ],
        ignore_index=True,
    )
    if "init_seed" in table:
        table["init_seed"] = table["init_seed"].astype("Int64")
    for position, (column, value) in enumerate(what_is_compared.items()):
        table.insert(position, column, value)
    by_subject = [_by_subject("layer", rdms.names, subjects, of_layers.scores)]
    if of_pixels:
        by_subject.append(_by_subject("pixels", ["pixels"], subjects, of_pixels.scores))

    by_subject += [
        _by_subject("classic", one.names, subjects, scored.scores)
        for one, scored in zip(classic, of_classic, strict=True)
    ]

    return RSAResult(
        table=table,
        by_subject=pd.concat(by_subject, ignore_index=True),
        pairs=of_layers.pairs(rdms.names),
        ceiling=ceiling,
        choice=choice,
        rdms=named_rdms(network_rdms, rdms, recording, settings),
        recorded=recorded,
        facts=facts_of(
            network, rdms, recording, settings, comparator, of_layers.resample, of_layers.test,
            remarks,
        ),
        provenance=provenance_of(
            settings_of(
                network, settings, n_splits=N_SPLITS, untrained_seeds=list(rdms.untrained)
            )
        ),
        classic=_classic_rdms(classic, recording, settings),
    )  # fmt: skip


def _classic_rdms(
    classic: list[ClassicRDMs], recording: Recording, settings: RSASettings
) -> RDMs | None:
    """Return the RDMs of what came before, with what they are of; None where there are none."""
    if not classic:
        return None
    return RDMs(
        np.concatenate([one.rdms for one in classic]),
        tuple(name for one in classic for name in one.names),
        recording.stimuli.ids,
        COUNTERPART.get(settings.metric, settings.metric),
        {"model": "classic"},
    )


def named_rdms(
    network_rdms: NetworkRDMs, rdms: LayerRDMs, recording: Recording, settings: RSASettings
) -> RDMs:
    """Return the RDMs of the layers, with what they are of."""
    network = network_rdms.network
    return RDMs(
        rdms.trained,
        tuple(rdms.names),
        recording.stimuli.ids,
        COUNTERPART.get(settings.metric, settings.metric),
        {
            "model": network.name,
            "weights_sha256": network.weights.sha256,
            "aliases": {info.name: info.alias for info in network_rdms.layers if info.alias},
        },
    )


def facts_of(
    network: Network,
    rdms: LayerRDMs,
    recording: Recording,
    settings: RSASettings,
    comparator: str,
    resample: str | None,
    test: str,
    remarks: list[str],
) -> dict[str, Any]:
    """Return what was compared with what, and how."""
    return {
        "model": facts_of_network(network, rdms.names),
        "recording": recording.describe() | {"region": recording.regions[0]},
        "comparison": {
            "metric": settings.metric,
            "comparator": comparator,
            "resample": resample,
            "test": test,
            "remarks": _remarks(network, rdms, settings) + remarks,
        },
    }


def facts_of_network(network: Network, layers: list[str]) -> dict[str, Any]:
    """Return which network was compared, with which weights, and how it saw the pictures."""
    return {
        "name": network.name,
        **{f"weights_{k}": v for k, v in vars(network.weights).items()},
        "preprocessing": network.preprocessing.describe(),
        "missing": list(network.missing),
        "layers": layers,
    }


def check_design(recording: Recording, settings: RSASettings) -> None:
    """Refuse what the recording is too small for, before the network is run."""
    if recording.n_stimuli < MIN_STIMULI:
        raise ProbeError(
            f"recording {recording.name!r} has {recording.n_stimuli} stimuli, too few to resample: "
            f"at least {MIN_STIMULI} are needed"
        )
    if settings.resample in ("subjects", "both") and len(recording.subjects) < 2:
        raise ProbeError(
            f"recording {recording.name!r} ({recording.regions[0]}) has one subject, "
            f"{recording.subjects[0]}: subjects cannot be resampled; use resample='stimuli' "
            "(--resample stimuli)"
        )


def _remarks(network: Network, rdms: LayerRDMs, settings: RSASettings) -> list[str]:
    remarks = []
    if network.missing and settings.layers in ("default", "all"):
        remarks.append(
            f"Not compared: {', '.join(network.missing)}, which these weights lack "
            "(asking for one of its layers says how to get it)."
        )
    if settings.baselines != "none" and (why := network.why_no_untrained):
        remarks.append(f"No untrained baseline: {why}.")
    if undefined := [name for one in rdms.classic for name in one.undefined]:
        remarks.append(f"No score of {', '.join(undefined)}: they cannot tell all stimuli apart.")
    for k, name in enumerate(rdms.names):
        n_silent = sum(bool(np.isnan(of_seed[k]).any()) for of_seed in rdms.untrained.values())
        if n_silent:
            remarks.append(
                f"Untrained, {name} cannot tell all stimuli apart with {n_silent} of "
                f"{len(rdms.untrained)} seeds: no score there."
            )
    return remarks


def _ceiling(
    recording: Recording, data: np.ndarray, comparator: str, settings: RSASettings
) -> Ceiling:
    if len(data) > 1:
        lower, upper = inference.noise_ceiling(data, comparator)
        return Ceiling(lower, upper, f"{len(data)} subjects, leave-one-out to all-in")
    repetitions = recording.n_repetitions
    if repetitions is None or repetitions[1] < 2:
        why = "RDM only" if repetitions is None else "no repetitions"
        return Ceiling(np.nan, np.nan, f"one subject, {why}")
    if not get_comparator(comparator).centred:
        # Two RDMs of noise have a high cosine, since distances are not negative.
        return Ceiling(np.nan, np.nan, f"one subject, and {comparator} is not a correlation")
    try:
        half = recordings.split_half(recording, settings.metric, comparator, seed=settings.seed)
    except ProbeError as error:
        return Ceiling(np.nan, np.nan, f"no split-half reliability, since {error}")
    # Reliability is the correlation with a second recording as long as this one; its square root
    # the correlation with a recording without noise (Spearman 1904, Am J Psychol 15:72).
    reliability = half.spearman_brown
    if not reliability > 0:
        return Ceiling(np.nan, np.nan, f"split-half reliability is {half.r:.3f}, not above zero")
    return Ceiling(
        reliability, float(np.sqrt(reliability)), "split-half reliability to its square root"
    )


def _choose(
    rdms: LayerRDMs, data: np.ndarray, comparator: str, seed: int, bar: Callable[..., Any]
) -> Choice | None:
    names = rdms.names
    if len(names) < 2 or n_conditions(data.shape[1]) // 2 < MIN_STIMULI:
        return None
    selection = inference.select_on_halves(
        rdms.trained, data, comparator, n_splits=N_SPLITS, seed=seed,
        track=functools.partial(bar, desc="choice of layer", unit="half"),
    )  # fmt: skip
    shares = selection.shares(len(names))
    return Choice(
        layer=names[selection.best],
        score=selection.mean,
        sd=float(np.nanstd(selection.scores, ddof=1)),
        share=float(shares[selection.best]),
        shares={name: float(s) for name, s in zip(names, shares, strict=True) if s > 0},
        n_splits=N_SPLITS,
    )


def _layer_rows(
    network_rdms: NetworkRDMs, scored: inference.Evaluation, ceiling: Ceiling
) -> pd.DataFrame:
    columns = _layer_columns(network_rdms)
    return pd.DataFrame({"kind": "layer", **columns, **_columns(scored, ceiling)})


def _pixel_rows(network: Network, scored: inference.Evaluation, ceiling: Ceiling) -> pd.DataFrame:
    columns = {
        "layer": ["pixels"],
        "alias": "",
        "type": "input",
        "n_neuroids": math.prod(network.input_shape),
    }
    return pd.DataFrame({"kind": "pixels", **columns, **_columns(scored, ceiling)})


def _classic_rows(
    classic: ClassicRDMs, scored: inference.Evaluation, ceiling: Ceiling
) -> pd.DataFrame:
    columns = {
        "layer": classic.names,
        "alias": "",
        "type": classic.model,
        "n_neuroids": classic.n_neuroids,
    }
    return pd.DataFrame({"kind": "classic", **columns, **_columns(scored, ceiling)})


def _untrained_rows(
    network_rdms: NetworkRDMs, rdms: LayerRDMs, data: np.ndarray, comparator: str
) -> list[pd.DataFrame]:
    """Scores of the untrained networks, NaN where a layer has no RDM; one table per seed."""
    tables = []
    for init_seed, of_seed in rdms.untrained.items():
        scores = np.full(len(of_seed), np.nan)
        defined = np.isfinite(of_seed).all(axis=1)
        if defined.any():
            scores[defined] = np.mean(similarity(of_seed[defined], data, comparator), axis=1)
        rows = {"kind": "untrained", **_layer_columns(network_rdms), "score": scores}
        tables.append(pd.DataFrame(rows).assign(init_seed=init_seed))
    return tables


def _layer_columns(network_rdms: NetworkRDMs) -> dict[str, list[Any]]:
    layers = network_rdms.layers
    return {
        "layer": [info.name for info in layers],
        "alias": [info.alias for info in layers],
        "type": [info.type for info in layers],
        "n_neuroids": [math.prod(info.output_shape) for info in layers],
    }


def _columns(scored: inference.Evaluation, ceiling: Ceiling) -> dict[str, Any]:
    return {
        "score": scored.mean,
        "se": scored.se,
        "ci_low": scored.ci_low,
        "ci_high": scored.ci_high,
        "p_zero": scored.p_zero,
        "p_zero_fdr": scored.p_zero_fdr,
        "p_zero_holm": scored.p_zero_holm,
        "p_ceiling": scored.p_ceiling,
        "p_ceiling_fdr": scored.p_ceiling_fdr,
        "p_ceiling_holm": scored.p_ceiling_holm,
        "ceiling_lower": ceiling.lower,
        "ceiling_upper": ceiling.upper,
        # Of a ceiling at or below zero there is no share.
        "share_of_lower": scored.mean / (ceiling.lower if ceiling.lower > 0 else np.nan),
        "share_of_upper": scored.mean / (ceiling.upper if ceiling.upper > 0 else np.nan),
    }


def _by_subject(
    kind: str, names: list[str], subjects: list[str], scores: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": kind,
            "layer": np.repeat(names, len(subjects)),
            "subject": np.tile(subjects, len(names)),
            "score": scores.ravel(),
        }
    )


def settings_of(network: Network, settings: RSASettings, **others: Any) -> dict[str, Any]:
    """Return which settings a comparison had, ``others`` among them."""
    return {
        "seed": settings.seed,
        "n_resamples": settings.n_resamples,
        "resample": settings.resample,
        "test": settings.test,
        "min_reliability": settings.min_reliability,
        **others,
        "device": ",".join(map(str, devices_of(network, settings.device))),
        "batch_size": settings.batch_size,
        **({"time": list(settings.time)} if settings.time else {}),
        **({"step": settings.step} if settings.step else {}),
    }
