"""Recorded sites predicted from the layers of a network: from names to sites that can be used.

stimuli → network → activations per layer ↘
recording → mean responses → fit inside every split → held-out scores, sites → `Encoding`
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe import models, recordings
from probe.cluster import Cluster, connect
from probe.encoding.banded_fit import BandedFit
from probe.encoding.facts import encoding_provenance, facts_of_fit, facts_of_model
from probe.encoding.fit_jobs import Data, fit_jobs
from probe.encoding.jobs import Job, banded_plan_of, jobs_of
from probe.encoding.judge import Judge, best_layer
from probe.encoding.kept import SUBJECT, keep
from probe.encoding.layer_fit import LayerFit
from probe.encoding.map import Encodings
from probe.encoding.over_time import EncodingOverTime, generalise, peaks_table, score_over_time
from probe.encoding.readouts import Readout
from probe.encoding.result import Encoding
from probe.encoding.scoring import Scored, compare_layers
from probe.encoding.settings import EncodeSettings
from probe.encoding.sites import Identity
from probe.encoding.splits import (
    groups_of,
    is_partition,
    n_units_of,
    permuted_sites,
    resample_counts,
    splits_of,
)
from probe.encoding.tables import (
    SiteSources,
    add_bands,
    bands_table,
    chosen_columns,
    sites_table,
    together_columns,
)
from probe.errors import ProbeError
from probe.models import LayerInfo, Network, as_network, check_models
from probe.models.devices import resolve_device
from probe.progress import track
from probe.recordings import Noise, Recording
from probe.recordings.names import usual_region
from probe.recordings.several import load_scored, several
from probe.recordings.timing import Step, Time, check_steps

if TYPE_CHECKING:
    from distributed import Client
    from torch import nn

MIN_STIMULI = 10
"""Fewer stimuli tell nothing of a site."""


def encode(
    model: str | Network | nn.Module | Sequence[str | Network | nn.Module],
    dataset: str | Recording | Sequence[str | Recording],
    *,
    layers: str | Sequence[str] = "default",
    readout: str = "field",
    method: str = "ridge",
    protocol: str | None = None,
    n_components: int = 25,
    splits: Any = 10,
    groups: str | Sequence[Any] | None = None,
    region: str | Sequence[str] | None = None,
    subject: str | None = None,
    min_reliability: float | None = None,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    baselines: str | bool = "default",
    n_resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    cluster: str | Client | Cluster | None = None,
    accept_licence: bool = False,
    time: Time = None,
    step: Step = None,
    output: str | Path | None = None,
    progress: bool | None = None,
) -> Encoding | Encodings | EncodingOverTime:
    """Predict recorded sites from the layers of a network, and keep the sites as targets.

    Responses, averaged over repetitions, are predicted by ridge regression on what a layer makes
    of each stimulus. Field, penalty and each site's layer are chosen by leaving out one stimulus,
    or one group of them, inside the training stimuli of each split; scores are of stimuli that were
    held out. The sites, fitted to
    all stimuli, are kept: ``site:v4:12`` then is a target of `probe.saliency`, `probe.visualize`
    and `probe.dream`.

    Parameters
    ----------
    model : str, Network, torch.nn.Module, or a sequence of these
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours. Names
        may be separated by commas.
    dataset : str, Recording, or a sequence of these
        A name (`probe.recordings.available`), the path of a folder, or a recording of yours. Names
        may be separated by commas.
    layers : str or sequence of str
        Layer paths or aliases, or ``default``, ``all``, ``conv``, ``relu``, ``pool``, ``linear``,
        ``block``; as a string, separated by commas.
    readout : {'field', 'flat', 'full'}
        ``field``: a Gaussian pooling field over the layer's positions, one for each site, then a
        weight per channel. ``flat``: channels averaged over all positions. ``full``: a weight for
        every unit. Layers without positions are read in full.
    method : {'ridge', 'banded', 'pls'}
        ``ridge``: each layer alone, with a penalty per site. ``banded``: also all ``layers``
        together, two or more, each a band with a penalty of its own per site (banded ridge), to see
        what they explain beyond the best one, and how much of R² comes from each. A site then is
        read from all of them; with readout ``field``, in one field that all layers share.
        Penalties of two layers are searched on a grid, of more at random: name few, since the time
        grows with them. ``pls``: partial least squares on all units (readout ``full``).
    protocol : {'brainscore-pls', 'brainscore-ridgecv'}, optional
        A regression of Brain-Score's, with full readout: ``brainscore-pls`` with 25 components,
        ``brainscore-ridgecv`` with one penalty for all sites from its own grid. r is scored in ten
        random splits of 90 % and 10 %, as by its cross-validated metrics: the median over sites,
        then the mean over splits. Its benchmarks do more, so that numbers are like those of its
        leaderboard, and not the same: see the page "Numbers to compare with Brain-Score's".
    n_components : int
        Of PLS, at most.
    splits : int or scikit-learn splitter
        Folds, of which each is held out once; or any object with a method ``split``, such as
        ``ShuffleSplit(10, test_size=0.1, random_state=1)``.
    groups : str or sequence, optional
        Stimuli that stay together, such as variants of one picture: in splits, in resamples, and
        when penalties are chosen, for which a whole group is left out at a time. One label per
        stimulus, in their order or, as a dict or pandas.Series, by their names; or the name of a
        coordinate of the recording. By default the recording's own, ``group``, if it has one.
    region : str or sequence of str, optional
        By default the recording's default region; ``'all'`` are all that it has.
    subject : str, optional
        By default, all.
    min_reliability : float, optional
        Of each recording, the neuroids that are at least as reliable, from 0 to 1. They are chosen
        on half of the repetitions and scored on the others, or chosen by the reliability that was
        published where only averages were: see `probe.recordings.select_reliable`. By default, all.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        ``resize``: the whole picture. ``torchvision``: what the weights were trained with, a crop.
    baselines : {'default', 'classic', 'none'} or bool
        What else is fitted. ``default``, or True: the pixels, a V1-like bank of Gabor energy, the
        untrained network, and responses that were permuted over stimuli. ``classic``: also what
        came before, `probe.models.known.BASELINES`. ``none``, or False: nothing.
    n_resamples : int
        Bootstrap samples of the stimuli, for intervals and tests; 0 for none.
    seed : int
        Of folds, permutations, resamples, penalties of more than two bands, the choice of neuroids
        and, with ``weights='random'``, the initialisation.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``: where the network runs.
    batch_size : int, optional
        Images per forward pass.
    cluster : str, distributed.Client or Cluster, optional
        Where to compute, see `probe.cluster.connect`: pictures and layers are shared among workers.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    time : (float, float) or str, optional
        Of recordings with a time axis: from when to when after stimulus onset, in ms; the end is
        not included. ``(70, 170)``, or ``"70,170ms"``.
    step : float or str, optional
        Divide the time into steps of so many ms, and fit the sites at each: an `EncodingOverTime`.
        Of one network and one recording. No sites are kept.
    output : str or Path, optional
        A folder in which the results are saved.
    progress : bool, optional
        Show progress bars, with an estimate of the time; by default when a person is watching.

    Returns
    -------
    Encoding
        Of one network and one recording. Shows itself; ``.table``, ``.sites``, ``.pairs``,
        ``.bands``;
        ``.site(12)``, ``.head()``, ``.predict(pictures)``, ``.save(folder)``.
    Encodings
        Of several.
    EncodingOverTime
        With a ``step``.

    Raises
    ------
    ProbeError
        If something that was named does not exist, the recording holds RDMs only or has fewer than
        ten stimuli, a layer gives values that are not finite, or method ``banded`` has one layer.

    See Also
    --------
    open_encoding : A fit that was saved.
    rsa, align : Compare whole populations in place of single sites.
    saliency, visualize, dream : Take a fitted site as target, ``site:v4:12``.

    References
    ----------
    Yamins et al. 2014, PNAS 111:8619; St-Yves & Naselaris 2018, NeuroImage 180:188; Schrimpf et al.
    2018, bioRxiv 407007; Nunez-Elizalde et al. 2019, NeuroImage 197:482; Dupré la Tour et al. 2022,
    NeuroImage 264:119728 (bands).

    Examples
    --------
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> sites = probe.encode(network, "sim-v4", layers="1", baselines="none", n_resamples=0)
    >>> len(sites.sites)
    120
    >>> sites.site(12).layers
    ('1',)
    >>> probe.encode("alexnet", "v4", output="results/v4")  # doctest: +SKIP
    >>> probe.saliency("photo.jpg", target="site:v4:12")  # doctest: +SKIP
    """
    settings = EncodeSettings.of(locals()).checked()
    if cluster is None:
        resolve_device(settings.device)
    named_models, named_datasets = several(model), several(dataset)
    is_one = named_models is named_datasets is None and region != "all" and several(region) is None
    _, length = check_steps(time, step)
    if length is not None and not is_one:
        raise ProbeError(
            "over time (--step), one network is fitted to one recording in one region: name one of "
            "each"
        )
    if length is not None and settings.method == "banded":
        raise ProbeError(
            "method 'banded' cannot be used over time (--step): choose 'ridge' or 'pls'"
        )
    networks = check_models(named_models or [model], weights, preprocessing)
    fitted: list[Encoding] = []
    with connect(cluster) as workers, ExitStack() as stack:
        named = named_datasets or [dataset]
        loaded = load_scored(
            named, region, subject, time=time, step=step, min_reliability=min_reliability,
            seed=settings.seed, accept_licence=accept_licence, progress=progress,
        )  # fmt: skip
        for recording in loaded:
            check_recording(recording)
        aliases = _aliases(named, loaded)
        names = [recording.name for recording in loaded]
        pairs = track(
            total=len(networks) * len(loaded), desc="encode", unit="fit", progress=progress,
            work=[1.0] * (len(networks) * len(loaded)), delay=2.0,
        )  # fmt: skip
        stack.enter_context(pairs)
        for network_name in networks:
            network = as_network(
                network_name, weights, preprocessing, seed=settings.seed,
                accept_licence=accept_licence, progress=progress,
            )  # fmt: skip
            if length is not None:
                over_time = fit_over_time(network, loaded[0], settings, workers)
                if output is not None:
                    over_time.save(output)
                return over_time
            for recording in loaded:
                alias = _alias_of(recording, aliases, names, region, subject)
                encoding = fit(network, recording, settings, workers, alias=alias)
                fitted.append(encoding)
                keep(encoding)
                pairs.update()
                if output is not None and not is_one:
                    encoding.save(Path(output).expanduser() / Encodings(tuple(fitted)).folders[-1])
    if is_one:
        if output is not None:
            fitted[0].save(output)
        return fitted[0]
    encodings = Encodings(tuple(fitted))
    if output is not None:
        encodings.save_map(output)
    return encodings


def check_recording(recording: Recording) -> None:
    """Refuse a recording that has nothing to fit, before the network is run.

    Raises
    ------
    ProbeError
    """
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only, and sites are fitted to responses: "
            "compare it with probe.rsa"
        )
    if recording.n_stimuli < MIN_STIMULI:
        raise ProbeError(
            f"recording {recording.name!r} has {recording.n_stimuli} stimuli, too few to fit a "
            f"site: expected {MIN_STIMULI} or more"
        )


def fit(
    network: Network,
    recording: Recording,
    settings: EncodeSettings,
    workers: Cluster | None = None,
    *,
    alias: str | None = None,
    stimuli: Sequence[int] | None = None,
) -> Encoding:
    """Fit the sites of one region of a recording with the layers of one network.

    Parameters
    ----------
    network : Network
    recording : Recording
        Of one region.
    settings : EncodeSettings
    workers : Cluster, optional
    alias : str, optional
        What the recording is called in ``site:NAME:NUMBER``.
    stimuli : sequence of int, optional
        Use these stimuli alone; the others are neither fitted nor scored.
    """
    used = np.arange(recording.n_stimuli) if stimuli is None else np.asarray(stimuli)
    responses = recording.mean_responses().values[used]
    noise = Noise.of_repetitions(recording.data["responses"].values[used])
    groups = groups_of(recording, settings.groups)
    groups = None if groups is None else groups[used]
    splits = splits_of(len(used), groups, settings)
    rng = np.random.default_rng(settings.seed)
    n_sites = responses.shape[1]
    permuted = permuted_sites(responses, rng) if settings.baselines != "none" else responses[:, :0]

    # Every layer, and every baseline, predicts the held-out stimuli of each split.
    infos = _layers_of(network, settings)
    jobs = jobs_of(network, infos, settings, groups)
    banded = banded_plan_of(settings, groups)
    data = Data(
        np.concatenate([responses, permuted], axis=1), splits, n_sites,
        None if stimuli is None else tuple(used.tolist()),
    )  # fmt: skip
    fits = fit_jobs(jobs, banded, recording, data, settings, workers)
    together = fits.pop() if banded is not None else None
    _check_predictions(jobs, fits)

    # Predictions are compared with the responses, by layer and with each site's own layer.
    partition = is_partition(splits, len(used))
    counts = resample_counts(len(used), groups, settings.n_resamples, rng)
    judge = Judge(
        responses, noise, splits, counts if partition else None, partition,
        n_units_of(len(used), groups),
    )  # fmt: skip
    rows, of_layer = _score_jobs(jobs, fits, judge, permuted)
    n_layers = len(infos)
    choice = _choose_layers(jobs[:n_layers], fits[:n_layers], judge, of_layer, settings, permuted)
    if choice.row:
        rows.insert(n_layers, choice.row)
    scored, compared, bands = choice.scored, dict(of_layer), None
    sources = SiteSources.of_layers(choice.layer_of_site, jobs[:n_layers], fits[:n_layers], network)
    readouts = _readouts_of(choice.layer_of_site, jobs, fits)
    if isinstance(together, BandedFit):
        # All layers together: what they explain, and how much of it each contributes.
        scored = judge.score([p[:, :n_sites] for p in together.predictions])
        compared |= {"chosen": choice.scored, "bands": scored}
        of_layer |= {"bands": scored}
        row = {**together_columns(n_layers), **scored.row()}
        row |= {"shuffled": judge.shuffled(together, permuted)}
        rows.insert(n_layers + 1, row | {"n_at_end": int(together.at_end[:n_sites].sum())})
        of_bands = judge.score_bands(together)
        add_bands(rows, of_bands)
        bands = bands_table(together, of_bands, infos, recording)
        sources = SiteSources.of_bands(together, jobs[:n_layers], network, n_sites)
        readouts = {readout.layer: readout for readout in together.readouts}

    about_fit = facts_of_fit(network, settings, splits, groups, len(used), jobs, recording)
    about_fit["remarks"] += choice.remarks
    return Encoding(
        table=_labelled(pd.DataFrame(rows), network, recording),
        sites=sites_table(recording, responses, scored, sources, network),
        pairs=compare_layers(compared, groups, rng, settings.n_resamples if partition else 0),
        held_out={name: s.predictions.astype(np.float32) for name, s in of_layer.items()}
        if partition
        else {},
        readouts=readouts,
        identity=Identity.of(network),
        facts={
            "dataset": alias or recording.name,
            "region": recording.regions[0],
            "model": facts_of_model(network, infos),
            "recording": recording.describe()
            | {
                "n_stimuli": len(used),
                "response_mean": float(responses.mean()),
                "used": None if stimuli is None else [int(k) for k in used],
            },
            "fit": about_fit,
        },
        provenance=encoding_provenance(settings, network),
        network=network,
        resampled=scored.resampled,
        **({} if bands is None else {"bands": bands}),
    )


def _layers_of(network: Network, settings: EncodeSettings) -> list[LayerInfo]:
    """Return the layers that are fitted, in the network's order.

    Raises
    ------
    ProbeError
        If there is no such layer, or one alone for bands.
    """
    names = models.resolve(settings.layers, network)
    infos = [info for info in models.layers(network) if info.name in names]
    if settings.method == "banded" and len(infos) < 2:
        raise ProbeError(
            f"method 'banded' fits several layers together, and {infos[0].name!r} is one: name two "
            "or more, or use method 'ridge'"
        )
    return infos


def _check_predictions(jobs: Sequence[Job], fits: Sequence[LayerFit]) -> None:
    for job, layer_fit in zip(jobs, fits, strict=True):
        if not all(np.isfinite(p).all() for p in layer_fit.predictions):
            raise ProbeError(
                f"layer {job.layer!r} of {job.network.name} gives values that are not finite for "
                "some stimulus: leave the layer out"
            )


def _score_jobs(
    jobs: Sequence[Job], fits: Sequence[LayerFit], judge: Judge, permuted: np.ndarray
) -> tuple[list[dict[str, Any]], dict[str, Scored]]:
    """Score every layer and baseline: a row of each, and all scores of the network's layers."""
    n_sites = judge.responses.shape[1]
    rows, of_layer = [], {}
    for job, layer_fit in zip(jobs, fits, strict=True):
        scored = judge.score([p[:, :n_sites] for p in layer_fit.predictions])
        row = {**job.columns, **scored.row(), "shuffled": judge.shuffled(layer_fit, permuted)}
        rows.append({**row, "n_at_end": int(layer_fit.at_end[:n_sites].sum())})
        if job.kind == "layer":
            of_layer[job.layer] = scored
    return rows, of_layer


@dataclass(frozen=True, eq=False)
class _Choice:
    """Which layer each site is read from, and how well it is predicted so.

    Attributes
    ----------
    layer_of_site : numpy.ndarray of int, shape (m,)
        Chosen on all stimuli, for what is kept.
    scored : Scored
        Of the layers that were chosen inside each split.
    row : dict
        The row of the table; empty where there is nothing to choose.
    remarks : list of str
    """

    layer_of_site: np.ndarray
    scored: Scored
    row: dict[str, Any]
    remarks: list[str]


def _choose_layers(
    jobs: Sequence[Job],
    fits: Sequence[LayerFit],
    judge: Judge,
    of_layer: dict[str, Scored],
    settings: EncodeSettings,
    permuted: np.ndarray,
) -> _Choice:
    """Choose the layer of each site: inside each split for the score, on all stimuli to keep."""
    n_sites = judge.responses.shape[1]
    layer_of_site = best_layer([layer_fit.error[:n_sites] for layer_fit in fits])
    if len(jobs) == 1:
        return _Choice(layer_of_site, of_layer[jobs[0].layer], {}, [])
    if settings.method == "pls":
        # Components have no leave-one-out error by which each site could choose.
        medians = [of_layer[job.layer].median["r"] for job in jobs]
        best = int(np.nanargmax(medians)) if np.isfinite(medians).any() else 0
        layer = jobs[best].layer
        remark = (
            f"Sites are read from {layer}, the layer with the highest median r: since it was "
            "chosen by these scores, they are a little too high for it."
        )
        return _Choice(np.full_like(layer_of_site, best), of_layer[layer], {}, [remark])
    predictions = []
    for s in range(len(judge.splits)):
        best_in_split = best_layer([f.error_in_split[s, :n_sites] for f in fits])
        of_split = np.stack([f.predictions[s][:, :n_sites] for f in fits])
        predictions.append(of_split[best_in_split, :, np.arange(n_sites)].T)
    scored = judge.score(predictions)
    shuffled = judge.shuffled_choice(fits, permuted, n_sites)
    row = {**chosen_columns(), **scored.row(), "shuffled": shuffled, "n_at_end": 0}
    return _Choice(layer_of_site, scored, row, [])


def _readouts_of(
    layer_of_site: np.ndarray, jobs: Sequence[Job], fits: Sequence[LayerFit]
) -> dict[str, Readout]:
    """Return the readouts of each layer that a site is read from, of these sites alone."""
    readouts = {}
    for k in np.unique(layer_of_site):
        sites = np.flatnonzero(layer_of_site == k)
        readouts[jobs[k].layer] = _some(fits[k].readout, sites)
    return readouts


def _labelled(table: pd.DataFrame, network: Network, recording: Recording) -> pd.DataFrame:
    """Return a table whose first columns say which network and recording it is of."""
    labels: dict[str, str | bool | int | None] = {
        "model": network.name, "dataset": recording.name, "region": recording.regions[0],
        "simulated": recording.simulated, "n_sites": recording.n_neuroids,
    }  # fmt: skip
    for index, (column, value) in enumerate(labels.items()):
        table.insert(index, column, value)
    return table


def fit_over_time(
    network: Network,
    recording: Recording,
    settings: EncodeSettings,
    workers: Cluster | None = None,
) -> EncodingOverTime:
    """Fit the sites of one region of a recording at every time with the layers of one network.

    Parameters
    ----------
    network : Network
    recording : Recording
        Of one region, with a time axis.
    settings : EncodeSettings
        Of any method but ``banded``.
    workers : Cluster, optional
    """
    flat, times = recording.unfolded(), recording.times
    assert times is not None  # or it could not be unfolded
    responses = flat.mean_responses().values
    noise = Noise.of_repetitions(flat.data["responses"].values)
    groups = groups_of(recording, settings.groups)
    splits = splits_of(len(responses), groups, settings)
    partition = is_partition(splits, len(responses))
    counts = resample_counts(
        len(responses), groups, settings.n_resamples, np.random.default_rng(settings.seed)
    )
    infos = _layers_of(network, settings)
    # Components, and a penalty of all sites, are of one time, as if it were fitted alone.
    jobs = [
        replace(job, plan=replace(job.plan, n_at_a_time=recording.n_neuroids))
        for job in jobs_of(network, infos, settings, groups)
    ]
    fits = fit_jobs(jobs, None, flat, Data(responses, splits, 0), settings, workers)
    curves, tables, across = [], [], []
    for job, layer_fit in zip(jobs, fits, strict=True):
        predictions = list(layer_fit.predictions)
        curve = score_over_time(
            responses, predictions, splits, noise, counts if partition else None, len(times),
            partition=partition, n_units=n_units_of(len(responses), groups),
        )  # fmt: skip
        rows = {**job.columns, "time_start": times[:, 0], "time_end": times[:, 1], **curve.columns}
        tables.append(pd.DataFrame(rows))
        if job.kind == "layer":
            curves.append(curve)
            across.append(generalise(responses, predictions, splits, len(times)))
    table = _labelled(pd.concat(tables, ignore_index=True), network, recording)
    layers = [info.name for info in infos]
    ids = recording.data["neuroid_id"].values.astype(str)
    return EncodingOverTime(
        table=table,
        peaks=peaks_table(layers, [info.alias for info in infos], curves, times),
        sites=pd.DataFrame(
            {
                "layer": np.repeat(layers, len(times) * len(ids)),
                "time_start": np.tile(np.repeat(times[:, 0], len(ids)), len(layers)),
                "neuroid_id": np.tile(ids, len(layers) * len(times)),
                "r": np.concatenate([curve.r.ravel() for curve in curves]),
            }
        ),
        generalisation=np.stack(across),
        times=times,
        facts={
            "model": facts_of_model(network, infos),
            "recording": recording.describe() | {"region": recording.regions[0]},
            "fit": facts_of_fit(network, settings, splits, groups, len(responses), jobs, recording),
        },
        provenance=encoding_provenance(settings, network),
    )


def _some(readout: Readout, rows: np.ndarray) -> Readout:
    """Take some sites of a readout, still in dual form if it is."""
    return replace(
        readout,
        weights=readout.weights[rows],
        offsets=readout.offsets[rows],
        fields=None if readout.fields is None else tuple(readout.fields[k] for k in rows),
    )


def _alias_of(
    recording: Recording,
    aliases: dict[str, str],
    names: Sequence[str],
    region: str | Sequence[str] | None,
    subject: str | None,
) -> str:
    """Return what a recording is called in ``site:NAME:NUMBER``, with what decides its sites."""
    alias = name = aliases.get(recording.name, recording.name)
    is_usual = region is None or usual_region(name) == recording.regions[0]
    if names.count(recording.name) > 1 or not is_usual:
        alias = f"{alias}@{recording.regions[0]}"
    if subject is not None:  # as in another region, numbers mean other sites
        alias = f"{alias}@{SUBJECT}{subject}"
    about = recording.describe()
    if selection := about["selection"]:  # other sites by these numbers
        alias = f"{alias}@reliability{selection['threshold']:g}"
    if about.get("chosen_neuroids"):  # other sites, by recording.select(neuroids=…)
        ids = "\n".join(map(str, recording.data["neuroid_id"].values))
        digest = hashlib.sha256(ids.encode()).hexdigest()[:6]
        alias = f"{alias}@{recording.n_neuroids}-neuroids-{digest}"
    if window := about.get("window"):  # other responses of these sites
        alias = f"{alias}@{window[0]:g}-{window[1]:g}ms"
    return alias


def _aliases(named: Sequence[str | Recording], loaded: Sequence[Recording]) -> dict[str, str]:
    """Return what a user calls the recordings."""
    aliases: dict[str, str] = {}
    for name in named:
        if not isinstance(name, str):
            continue
        for recording in loaded:
            if recordings.canonical(name) == recording.name:
                aliases.setdefault(recording.name, name)
    return aliases
