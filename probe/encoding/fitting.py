"""Recorded sites predicted from the layers of a network: from names to sites that can be used.

stimuli → network → activations per layer ↘
recording → mean responses → fit inside every split → held-out scores, sites → `Encoding`
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from probe import assets, models, recordings
from probe.activations import PIXELS, Extraction
from probe.activations.extract import WHOLE
from probe.activations.reduce import GaussianFields
from probe.activations.store import ActivationStore
from probe.cluster import Cluster, connect
from probe.encoding import scores
from probe.encoding.banded_fit import BandedFit, BandedPatterns
from probe.encoding.fields import Field, Layout
from probe.encoding.gabor import gabor_network
from probe.encoding.kept import keep
from probe.encoding.layer_fit import (
    BRAINSCORE_ALPHAS,
    LayerFit,
    Patterns,
    Plan,
    fit_blocks,
    prepare,
)
from probe.encoding.map import Encodings
from probe.encoding.over_time import EncodingOverTime, generalise, peaks_table, score_over_time
from probe.encoding.readouts import Readout, layout_of
from probe.encoding.result import BAND_COLUMNS, Encoding
from probe.encoding.ridge import Split
from probe.encoding.scoring import (
    Scored,
    ScoredBands,
    averages_within,
    compare_layers,
    score,
    score_bands,
)
from probe.encoding.sites import Identity
from probe.errors import ProbeError, suggest
from probe.formats.names import in_order
from probe.models import LayerInfo, Network, as_network, check_models
from probe.models.devices import devices_of, resolve_device
from probe.output.provenance import NETWORK_PACKAGES, provenance_of
from probe.progress import track
from probe.recordings import Noise, Recording
from probe.recordings.reliability import check_threshold
from probe.recordings.several import load_scored, several
from probe.recordings.timing import Step, Time, check_steps

if TYPE_CHECKING:
    from distributed import Client
    from torch import nn

READOUTS = ("field", "flat", "full")
METHODS = ("ridge", "banded", "pls")
PROTOCOLS = ("brainscore-pls", "brainscore-ridgecv")

MIN_STIMULI = 10
"""Fewer stimuli tell nothing of a site."""

MAX_SHUFFLED = 200
"""Sites whose responses are fitted a second time, permuted."""

UNTRAINED_SEED = 0

BETWEEN = " + "
"""Between the names of layers that a site is read from together."""

WITHIN = "r within each of {n} folds, then the mean; every stimulus is held out once"
POOLED = (
    "r pooled over {n} folds, which are too small for an r within each: by chance it lies below 0, "
    "where that of the shuffled responses lies"
)
BY_SPLIT = "median over sites of r in each split, then the mean over {n} splits"


@dataclass(frozen=True)
class Settings:
    """How sites are fitted: the options of `encode`, which explains them."""

    layers: str | Sequence[str]
    readout: str
    method: str
    protocol: str | None
    n_components: int
    splits: Any
    groups: Any
    weights: str
    preprocessing: str
    baselines: bool
    n_resamples: int
    seed: int
    device: str
    batch_size: int | None
    accept_licence: bool
    progress: bool | None
    min_reliability: float | None = None

    def checked(self, *, remote: bool = False) -> Settings:
        """Check the options before anything is downloaded or computed.

        Raises
        ------
        ProbeError
            With the nearest names of what exists.
        """
        for what, value, known in (
            ("readout", self.readout, READOUTS),
            ("method", self.method, METHODS),
            ("protocol", self.protocol or PROTOCOLS[0], PROTOCOLS),
        ):
            if value not in known:
                raise ProbeError(f"{what} {value!r} is unknown{suggest(value, known)}")
        for what, number, least in (
            ("n_components", self.n_components, 1),
            ("n_resamples", self.n_resamples, 0),
            ("seed", self.seed, 0),
        ):
            if number < least:
                raise ProbeError(f"{what} {number}: expected {least} or more")
        if isinstance(self.splits, (int, np.integer)) and self.splits < 2:
            raise ProbeError(f"splits {self.splits}: expected 2 or more")
        if self.min_reliability is not None:
            check_threshold(self.min_reliability)
        if not remote:
            resolve_device(self.device)
        settings = replace(self, seed=operator.index(self.seed))
        if isinstance(self.splits, Iterator):  # several fits need it
            settings = replace(settings, splits=list(self.splits))
        if self.protocol is not None and self.method == "banded":
            raise ProbeError(
                f"protocol {self.protocol!r} fits one layer at a time, and method 'banded' several "
                "together: choose one of the two"
            )
        if self.protocol is not None:
            method = "pls" if self.protocol == "brainscore-pls" else "ridge"
            cross_validation = ShuffleSplit(10, train_size=0.9, random_state=1)
            settings = replace(
                settings, method=method, readout="full", n_components=25, splits=cross_validation
            )
        elif self.method == "pls" and self.readout == "field":
            # Components are of all units: PLS has no field.
            settings = replace(settings, readout="full")
        return settings

    def plan_for(self, groups: np.ndarray | None) -> Plan:
        """How each layer is fitted by itself, and, with ``groups``, what is left out together."""
        if self.protocol == "brainscore-ridgecv":
            return Plan("full", "ridge", shared_alpha=True, alphas=tuple(BRAINSCORE_ALPHAS))
        method = "ridge" if self.method == "banded" else self.method
        return Plan(self.readout, method, self.n_components, groups=_numbered(groups))

    def banded_plan_for(self, groups: np.ndarray | None) -> Plan | None:
        """How all layers are fitted together, if they are."""
        if self.method != "banded":
            return None
        return Plan(self.readout, "banded", seed=self.seed, groups=_numbered(groups))


def _numbered(groups: np.ndarray | None) -> tuple[int, ...] | None:
    """Number the groups of stimuli, (n,)."""
    if groups is None:
        return None
    return tuple(np.unique(groups, return_inverse=True)[1].tolist())


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
    baselines: bool = True,
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
        Exactly as Brain-Score does it, so that numbers can be compared: full readout, ten random
        splits of 90 % and 10 %, the median over sites of r, then the mean over splits;
        ``brainscore-pls`` with 25 components, ``brainscore-ridgecv`` with one penalty for all
        sites from its own grid.
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
    baselines : bool
        Fit also the pixels, a V1-like bank of Gabor energy, the untrained network, and responses
        that were permuted over stimuli.
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

    Examples
    --------
    >>> found = probe.encode("alexnet", "v4")  # doctest: +SKIP
    >>> probe.saliency("photo.jpg", "alexnet", target=found.site(12))  # doctest: +SKIP

    References
    ----------
    Yamins et al. 2014, PNAS 111:8619; St-Yves & Naselaris 2018, NeuroImage 180:188; Schrimpf et al.
    2018, bioRxiv 407007; Nunez-Elizalde et al. 2019, NeuroImage 197:482; Dupré la Tour et al. 2022,
    NeuroImage 264:119728 (bands).
    """
    settings = Settings(
        layers=layers, readout=readout, method=method, protocol=protocol,
        n_components=n_components, splits=splits, groups=groups, weights=weights,
        preprocessing=preprocessing, baselines=baselines, n_resamples=n_resamples, seed=seed,
        device=device, batch_size=batch_size, accept_licence=accept_licence, progress=progress,
        min_reliability=min_reliability,
    ).checked(remote=cluster is not None)  # fmt: skip
    named_models, named_datasets = several(model), several(dataset)
    one = named_models is named_datasets is None and region != "all" and several(region) is None
    _, length = check_steps(time, step)
    if length is not None and not one:
        raise ProbeError(
            "over time (--step), one network is fitted to one recording in one region: name one of "
            "each"
        )
    if length is not None and settings.method == "banded":
        raise ProbeError("method 'banded' is not there over time: choose 'ridge' or 'pls'")
    networks = check_models(named_models or [model], weights, preprocessing)
    fitted: list[Encoding] = []
    with connect(cluster) as workers:
        named = named_datasets or [dataset]
        loaded = load_scored(
            named, region, subject, time=time, step=step, min_reliability=min_reliability,
            seed=settings.seed, accept_licence=accept_licence, progress=progress,
        )  # fmt: skip
        for recording in loaded:
            check_recording(recording)
        aliases = _aliases(named, loaded)
        names = [recording.name for recording in loaded]
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
                alias = aliases.get(recording.name, recording.name)
                if names.count(recording.name) > 1:  # of several regions
                    alias = f"{alias}@{recording.regions[0]}"
                about = recording.describe()
                if selection := about["selection"]:  # other sites by these numbers
                    alias = f"{alias}@reliability{selection['threshold']:g}"
                if window := about.get("window"):  # other responses of these sites
                    alias = f"{alias}@{window[0]:g}-{window[1]:g}ms"
                encoding = fit(network, recording, settings, workers, alias=alias)
                fitted.append(encoding)
                keep(encoding)
                if output is not None and not one:
                    encoding.save(Path(output).expanduser() / Encodings(tuple(fitted)).folders[-1])
    if one:
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
    settings: Settings,
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
    settings : Settings
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
    shuffled = _shuffled(responses, rng) if settings.baselines else responses[:, :0]
    both = np.concatenate([responses, shuffled], axis=1)

    names = models.resolve(settings.layers, network)
    infos = [info for info in models.layers(network) if info.name in names]
    if settings.method == "banded" and len(infos) < 2:
        raise ProbeError(
            f"method 'banded' fits several layers together, and {infos[0].name!r} is one: name two "
            "or more, or use method 'ridge'"
        )
    jobs = jobs_of(network, infos, settings, groups)
    banded = settings.banded_plan_for(groups)
    rows_used = None if stimuli is None else tuple(used.tolist())
    fits = _fit_all(jobs, banded, recording, both, n_sites, splits, rows_used, settings, workers)
    together = fits.pop() if banded is not None else None
    for job, layer_fit in zip(jobs, fits, strict=True):
        if not all(np.isfinite(p).all() for p in layer_fit.predictions):
            raise ProbeError(
                f"layer {job.layer!r} of {job.network.name} gives values that are not finite for "
                "some stimulus: leave the layer out"
            )

    counts = _resamples(len(used), groups, settings.n_resamples, rng)
    partition = _is_partition(splits, len(used))
    judge = _Judge(responses, noise, splits, counts if partition else None, partition)
    table, of_layer = [], {}
    of_network = [k for k, job in enumerate(jobs) if job.kind == "layer"]
    for k, (job, layer_fit) in enumerate(zip(jobs, fits, strict=True)):
        scored = judge.score([p[:, :n_sites] for p in layer_fit.predictions])
        row = {**job.columns, **scored.row(), "shuffled": judge.shuffled(layer_fit, shuffled)}
        at_end = layer_fit.at_end[:n_sites]
        table.append({**row, "n_at_end": int(at_end.sum())})
        if k in of_network:
            of_layer[job.layer] = scored
    # The layer of each site: inside each split for the score, on all stimuli for what is kept.
    layer_of_site = _best_layer([fits[k].error[:n_sites] for k in of_network])
    chosen_on_test = ""
    scored_by = dict(of_layer)
    if settings.method == "pls" and len(of_network) > 1:
        # Components have no leave-one-out error by which each site could choose.
        medians = [of_layer[jobs[k].layer].median["r"] for k in of_network]
        best = int(np.nanargmax(medians)) if np.isfinite(medians).any() else 0
        layer_of_site[:] = best
        own = of_layer[jobs[of_network[best]].layer]
        chosen_on_test = jobs[of_network[best]].layer
    elif len(of_network) > 1:
        in_split = [
            _best_layer([fits[k].error_in_split[s, :n_sites] for k in of_network])
            for s in range(len(splits))
        ]
        predictions = [
            np.stack([fits[k].predictions[s][:, :n_sites] for k in of_network])[
                in_split[s], :, np.arange(n_sites)
            ].T
            for s in range(len(splits))
        ]
        own = judge.score(predictions)
        row = {**_chosen_columns(), **own.row(), "shuffled": judge.shuffled_choice(
            [fits[k] for k in of_network], shuffled, n_sites)}  # fmt: skip
        table.insert(len(of_network), {**row, "n_at_end": 0})
    else:
        own = of_layer[jobs[of_network[0]].layer]
    bands = None
    if isinstance(together, BandedFit):
        scored_by |= {"chosen": own}
        own = judge.score([p[:, :n_sites] for p in together.predictions])
        scored_by |= {"bands": own}
        of_layer |= {"bands": own}
        row = {**_together_columns(len(infos)), **own.row(),
               "shuffled": judge.shuffled(together, shuffled)}  # fmt: skip
        row |= {"n_at_end": int(together.at_end[:n_sites].sum())}
        table.insert(len(of_network) + 1, row)
        of_bands = judge.score_bands(together)
        _add_bands(table, of_bands)
        bands = _bands_table(together, of_bands, infos, recording)
    facts_of_fit = _facts_of_fit(
        network, settings, splits, partition, groups, noise, responses, jobs, recording
    )
    if chosen_on_test:
        facts_of_fit["remarks"].append(
            f"Sites are read from {chosen_on_test}, the layer with the highest median r: since it "
            "was chosen by these scores, they are a little too high for it."
        )
    of_jobs = [jobs[k] for k in of_network]
    reading = (
        _Reading.of_bands(together, of_jobs, network, n_sites)
        if isinstance(together, BandedFit)
        else _Reading.of_layers(layer_of_site, of_jobs, [fits[k] for k in of_network], network)
    )
    sites = _sites_table(recording, responses, own, reading, network)
    frame = pd.DataFrame(table)
    for place, (column, value) in enumerate(
        {
            "model": network.name, "dataset": recording.name, "region": recording.regions[0],
            "simulated": recording.simulated, "n_sites": n_sites,
        }.items()
    ):  # fmt: skip
        frame.insert(place, column, value)
    readouts: dict[str, Readout] = {}
    if isinstance(together, BandedFit):
        readouts = {readout.layer: readout for readout in together.readouts}
    else:
        for k, index in enumerate(of_network):
            rows = np.flatnonzero(layer_of_site == k)
            if len(rows):
                readouts[jobs[index].layer] = _some(fits[index].readout, rows)
    return Encoding(
        table=frame,
        sites=sites,
        pairs=compare_layers(scored_by, groups, rng, settings.n_resamples if partition else 0),
        held_out={name: s.predictions.astype(np.float32) for name, s in of_layer.items()}
        if partition
        else {},
        readouts=readouts,
        identity=Identity.of(network),
        facts={
            "dataset": alias or recording.name,
            "region": recording.regions[0],
            "model": {
                "name": network.name,
                **{f"weights_{k}": v for k, v in vars(network.weights).items()},
                "preprocessing": network.preprocessing.describe(),
                "layers": [info.name for info in infos],
            },
            "recording": recording.describe()
            | {
                "n_stimuli": len(used),
                "response_mean": float(responses.mean()),
                "used": None if stimuli is None else [int(k) for k in used],
            },
            "fit": facts_of_fit,
        },
        provenance=_provenance(settings, network),
        network=network,
        resampled=own.resampled,
        **({} if bands is None else {"bands": bands}),
    )


def fit_over_time(
    network: Network,
    recording: Recording,
    settings: Settings,
    workers: Cluster | None = None,
) -> EncodingOverTime:
    """Fit the sites of one region of a recording at every time with the layers of one network.

    Parameters
    ----------
    network : Network
    recording : Recording
        Of one region, with a time axis.
    settings : Settings
        Of any method but ``banded``.
    workers : Cluster, optional
    """
    flat, times = recording.unfolded(), recording.times
    assert times is not None  # or it could not be unfolded
    responses = flat.mean_responses().values
    noise = Noise.of_repetitions(flat.data["responses"].values)
    groups = groups_of(recording, settings.groups)
    splits = splits_of(len(responses), groups, settings)
    partition = _is_partition(splits, len(responses))
    counts = _resamples(
        len(responses), groups, settings.n_resamples, np.random.default_rng(settings.seed)
    )
    names = models.resolve(settings.layers, network)
    infos = [info for info in models.layers(network) if info.name in names]
    # Components, and a penalty of all sites, are of one time, as if it were fitted alone.
    jobs = [
        replace(job, plan=replace(job.plan, n_at_a_time=recording.n_neuroids))
        for job in jobs_of(network, infos, settings, groups)
    ]
    fits = _fit_all(jobs, None, flat, responses, 0, splits, None, settings, workers)
    curves, tables, across = [], [], []
    for job, layer_fit in zip(jobs, fits, strict=True):
        predictions = list(layer_fit.predictions)
        curve = score_over_time(
            responses, predictions, splits, noise, counts if partition else None, len(times),
            partition=partition,
        )  # fmt: skip
        rows = {**job.columns, "time_start": times[:, 0], "time_end": times[:, 1], **curve.columns}
        tables.append(pd.DataFrame(rows))
        if job.kind == "layer":
            curves.append(curve)
            across.append(generalise(responses, predictions, splits, len(times)))
    facts: dict[str, str | bool | int | None] = {
        "model": network.name, "dataset": recording.name, "region": recording.regions[0],
        "simulated": recording.simulated, "n_sites": recording.n_neuroids,
    }  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    for place, (column, value) in enumerate(facts.items()):
        table.insert(place, column, value)
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
            "model": {
                "name": network.name,
                **{f"weights_{k}": v for k, v in vars(network.weights).items()},
                "preprocessing": network.preprocessing.describe(),
                "layers": layers,
            },
            "recording": recording.describe() | {"region": recording.regions[0]},
            "fit": _facts_of_fit(
                network, settings, splits, partition, groups, noise, responses, jobs, recording
            ),
        },
        provenance=_provenance(settings, network),
    )


def _some(readout: Readout, rows: np.ndarray) -> Readout:
    """Take some sites of a readout, still in dual form if it is."""
    return replace(
        readout,
        weights=readout.weights[rows],
        offsets=readout.offsets[rows],
        fields=None if readout.fields is None else tuple(readout.fields[k] for k in rows),
    )


@dataclass(frozen=True, eq=False)
class Job:
    """One layer to be fitted, of the network or of a baseline."""

    kind: str
    network: Network
    layer: str
    info: LayerInfo | None
    layout: Layout | None
    plan: Plan
    title: str

    @property
    def columns(self) -> dict[str, Any]:
        """What a table says of it."""
        info = self.info
        return {
            "kind": self.kind,
            "layer": self.layer,
            "alias": info.alias if info and self.kind in ("layer", "untrained") else "",
            "type": info.type if info and self.kind in ("layer", "untrained") else self.title,
            "n_neuroids": math.prod(info.output_shape)
            if info
            else math.prod(self.network.input_shape),
            "shown": self.layer if self.kind == "layer" else self.title,
        }


def jobs_of(
    network: Network, infos: Sequence[LayerInfo], settings: Settings, groups: np.ndarray | None
) -> list[Job]:
    """List the layers that are fitted: those of the network, then the baselines."""
    plan = settings.plan_for(groups)
    layouts = {info.name: layout_of(info) for info in infos}
    jobs = [
        Job("layer", network, info.name, info, layouts[info.name], plan, info.name)
        for info in infos
    ]
    if not settings.baselines:
        return jobs
    if network.architecture is not None:
        blank = models.load(
            network.architecture, "random", seed=UNTRAINED_SEED,
            preprocessing=network.preprocessing,
        )  # fmt: skip
        jobs += [
            Job("untrained", blank, info.name, info, layouts[info.name], plan,
                 f"untrained {info.alias or info.name}")
            for info in infos
        ]  # fmt: skip
    # Pixels have no channels to pool: each has its own weight.
    full = replace(plan, readout="full")
    jobs.append(Job("pixels", network, PIXELS, None, None, full, "pixels"))
    gabor = gabor_network()
    (info,) = [info for info in models.layers(gabor) if info.name == "gabor"]
    channels, height, width = info.output_shape
    layout = Layout(channels, height, width)
    jobs.append(Job("gabor", gabor, "gabor", info, layout, plan, "Gabor energy"))
    return jobs


def _fit_all(
    jobs: Sequence[Job],
    banded: Plan | None,
    recording: Recording,
    responses: np.ndarray,
    n_kept: int,
    splits: Sequence[Split],
    used: tuple[int, ...] | None,
    settings: Settings,
    workers: Cluster | None,
) -> list[LayerFit]:
    """Extract and fit all layers, in the order of jobs; then, last, those of the network together.

    Sites are fitted some at a time. On a cluster, each time is a task: so a process may read a
    layer again that another has read, and none waits for the longest.
    """
    stores = extract_jobs(jobs, recording, settings, workers)
    layers = [(store.path, job.layer, job.layout) for job, store in zip(jobs, stores, strict=True)]
    tasks = [
        _Task((layer,), job.plan, job.network.name, job.title)
        for layer, job in zip(layers, jobs, strict=True)
    ]
    of_network = [layer for layer, job in zip(layers, jobs, strict=True) if job.kind == "layer"]
    if banded is not None:
        tasks.append(_Task(tuple(of_network), banded, jobs[0].network.name, "all together"))
    fits: list[LayerFit] = []
    try:
        fits = (
            _fit_here(tasks, responses, splits, n_kept, used, settings)
            if workers is None
            else _fit_there(tasks, responses, splits, n_kept, used, settings, workers)
        )
        return fits
    finally:
        user = [job.network.weights.kind == "user" for job in jobs]
        if user[0]:  # sites are read from all together, or from the layers
            last = fits[-1:] if banded else fits[: len(of_network)]
            for readout in (readout for one in last for readout in one.readouts):
                if readout.training is not None:
                    readout.hold()
        for is_user, store in zip(user, stores, strict=True):
            if is_user:  # nobody will ask for these again
                shutil.rmtree(store.path, ignore_errors=True)


@dataclass(frozen=True)
class _Task:
    """Layers whose activations are on disk, and how sites are fitted from them."""

    layers: tuple[tuple[Path, str, Layout | None], ...]
    plan: Plan
    network: str
    title: str

    @property
    def n_candidates(self) -> int:
        """How many are solved for some sites: the work, for a progress bar."""
        layouts = [layout for _, _, layout in self.layers]
        if self.plan.method == "banded":
            return BandedPatterns.n_candidates(self.plan, layouts)
        return self.plan.n_candidates(layouts[0])

    def prepare(self, used: tuple[int, ...] | None) -> Patterns:
        """Read the layers, of some stimuli or of all, and compute what all sites need of them."""
        read: list[tuple[Any, str, Layout | None]] = []
        for path, layer, layout in self.layers:
            array: Any = ActivationStore(path).complete(layer)
            if used is not None:
                array = np.asarray(array[np.array(used), :])
            read.append((array, layer, layout))
        if self.plan.method == "banded":
            return BandedPatterns(read, self.plan, self.network)
        ((array, layer, layout),) = read
        return prepare(
            array, layer, layout, self.plan, pooled=self.plan.pools(layout), network=self.network
        )


def _fit_here(
    tasks: Sequence[_Task],
    responses: np.ndarray,
    splits: Sequence[Split],
    n_kept: int,
    used: tuple[int, ...] | None,
    settings: Settings,
) -> list[LayerFit]:
    """Fit in this process, one task after the other."""
    n_sites, fits = responses.shape[1], []
    n_blocks = [len(task.plan.blocks(n_sites, n_kept)) for task in tasks]
    total = sum(task.n_candidates * n for task, n in zip(tasks, n_blocks, strict=True))
    with track(total=total, desc="fit", unit="fit", progress=settings.progress) as bar:

        def step(iterable: Iterable[Any], **_: Any) -> Iterable[Any]:
            for item in iterable:
                yield item
                bar.update()

        for task, n in zip(tasks, n_blocks, strict=True):
            bar.set_description(f"fit {task.title}")
            patterns = task.prepare(used)
            fits.append(
                fit_blocks(patterns, responses, splits, task.plan, n_kept=n_kept, track=step)
            )
            if task.plan.method == "pls":
                bar.update(n)
    return fits


def _fit_there(
    tasks: Sequence[_Task],
    responses: np.ndarray,
    splits: Sequence[Split],
    n_kept: int,
    used: tuple[int, ...] | None,
    settings: Settings,
    workers: Cluster,
) -> list[LayerFit]:
    """Fit on workers: what takes longest first, so that none is waited for at the end."""
    n_sites = responses.shape[1]
    pieces = [
        (k, task, block)
        for k, task in sorted(enumerate(tasks), key=lambda pair: -pair[1].n_candidates)
        for block in task.plan.blocks(n_sites, n_kept)
    ]
    parts: dict[int, dict[int, LayerFit]] = {k: {} for k in range(len(tasks))}
    for index, part in workers.map(
        _fit_on_worker, [(task, block) for _, task, block in pieces],
        shared=(responses, splits, n_kept, used),
        sizes=[task.n_candidates for _, task, _ in pieces],
        desc="fit", unit="fit", progress=settings.progress,
    ):  # fmt: skip
        parts[pieces[index][0]][index] = part
    with contextlib.suppress(Exception):
        workers.client.run(_forget, on_error="ignore")
    return [
        type(of_task[min(of_task)]).joined([of_task[index] for index in sorted(of_task)])
        for of_task in parts.values()
    ]


_prepared: dict[Any, Patterns] = {}
"""What a worker read last: pieces of one task follow each other."""


def _forget() -> None:
    """Free the memory of what was read."""
    _prepared.clear()


def _fit_on_worker(
    responses: np.ndarray,
    splits: Sequence[Split],
    n_kept: int,
    used: tuple[int, ...] | None,
    piece: tuple[_Task, slice],
) -> LayerFit:
    task, block = piece
    if (task, used) not in _prepared:
        _prepared.clear()  # first: there is memory for one
        _prepared[task, used] = task.prepare(used)
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return _prepared[task, used].fit(responses, splits, block, n_kept, threads=n_threads)


def extract_jobs(
    jobs: Sequence[Job], recording: Recording, settings: Settings, workers: Cluster | None
) -> list[ActivationStore]:
    """Have the activations of each job: pooled with all fields, where that is what it needs.

    A hundred numbers per channel in place of all positions: of VGG-16's layers, 2 GB in place of
    69 for 640 stimuli.
    """
    root = assets.cache_dir() / "baselines"
    stores: dict[int, ActivationStore] = {}
    alike: dict[tuple[int, Any], list[int]] = {}
    for k, job in enumerate(jobs):
        pools = job.plan.pools(job.layout)
        alike.setdefault((id(job.network), job.plan.fields if pools else None), []).append(k)
    for (_, pooled), places in alike.items():
        network = jobs[places[0]].network
        extraction = Extraction(
            network, recording.stimuli,
            reducer=GaussianFields.of(pooled) if pooled else WHOLE,
            device=settings.device,
            folder=root if jobs[places[0]].kind == "untrained" else None,
        )  # fmt: skip
        store = extraction.run(
            [jobs[k].layer for k in places], batch_size=settings.batch_size, cluster=workers,
            progress=settings.progress,
        )  # fmt: skip
        stores |= dict.fromkeys(places, store)
    return [stores[k] for k in range(len(jobs))]


def groups_of(recording: Recording, groups: str | Sequence[Any] | None) -> np.ndarray | None:
    """Return the label of each stimulus that keeps groups together, (n,); None without groups.

    Raises
    ------
    ProbeError
        If there is no such coordinate, or labels do not fit the stimuli.
    """
    if groups is None:
        return recording.data["group"].values if "group" in recording.data.coords else None
    if isinstance(groups, str):
        coords = [c for c, v in recording.data.coords.items() if v.dims == ("stimulus",)]
        if groups not in coords:
            raise ProbeError(
                f"recording {recording.name!r} has no coordinate {groups!r} of stimuli"
                f"{suggest(groups, [str(c) for c in coords])}"
            )
        return np.asarray(recording.data[groups].values)
    try:
        labels = np.asarray(in_order(groups, recording.stimuli.ids, "groups"))
    except ValueError as error:
        raise ProbeError(str(error)) from None
    if len(labels) != recording.n_stimuli:
        raise ProbeError(
            f"groups have {len(labels)} labels: expected {recording.n_stimuli}, one per stimulus"
        )
    return labels


def splits_of(n: int, groups: np.ndarray | None, settings: Settings) -> list[Split]:
    """Divide n stimuli into training and test stimuli, split by split.

    Raises
    ------
    ProbeError
        If the splitter cannot divide so many stimuli or groups.
    """
    splits = settings.splits
    if isinstance(splits, (int, np.integer)):
        splits = int(splits)
        n_units = n if groups is None else len(np.unique(groups))
        if n_units < splits:
            raise ProbeError(
                f"splits {splits}: expected at most {n_units}, the number of "
                f"{'stimuli' if groups is None else 'groups of stimuli'}"
            )
        splits = (
            KFold(splits, shuffle=True, random_state=settings.seed)
            if groups is None
            else GroupKFold(splits, shuffle=True, random_state=settings.seed)
        )
    try:
        if hasattr(splits, "split"):
            return list(splits.split(np.zeros((n, 1)), groups=groups))
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    except (TypeError, ValueError) as error:
        raise ProbeError(
            f"splits {splits!r} cannot divide {n} stimuli ({str(error).splitlines()[0]}): expected "
            "a number of folds, a scikit-learn splitter, or pairs of training and test indices"
        ) from None
    return [(_indices(train), _indices(test)) for train, test in pairs]


def _indices(part: np.ndarray) -> np.ndarray:
    return np.flatnonzero(part) if part.dtype == bool else part


def _is_partition(splits: Sequence[Split], n: int) -> bool:
    tested = np.concatenate([test for _, test in splits])
    return len(tested) == n and len(np.unique(tested)) == n


def _shuffled(responses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permute the stimuli of (at most `MAX_SHUFFLED`) sites, each by itself."""
    n_sites = responses.shape[1]
    rows = np.linspace(0, n_sites - 1, min(n_sites, MAX_SHUFFLED)).astype(int)
    return np.stack([responses[rng.permutation(len(responses)), k] for k in rows], axis=1)


def _resamples(
    n: int, groups: np.ndarray | None, n_resamples: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Draw stimuli, or groups of them, with replacement: counts, (B, n)."""
    if not n_resamples:
        return None
    index = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(index.max()) + 1
    counts = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=n_resamples)
    return counts[:, index].astype(np.float64)


def _best_layer(errors: Sequence[np.ndarray]) -> np.ndarray:
    """Choose the layer of each site by the least leave-one-out error; the first, where none has."""
    stacked = np.where(np.isfinite(errors), errors, np.inf)
    return np.asarray(stacked.argmin(axis=0))


@dataclass(frozen=True, eq=False)
class _Judge:
    """What held-out predictions are scored against."""

    responses: np.ndarray
    noise: Noise
    splits: Sequence[Split]
    counts: np.ndarray | None
    partition: bool

    def score(self, predictions: Sequence[np.ndarray]) -> Scored:
        return score(
            self.responses, predictions, self.splits, self.noise, self.counts,
            partition=self.partition,
        )  # fmt: skip

    def score_bands(self, together: BandedFit) -> ScoredBands:
        n_sites = self.responses.shape[1]
        return score_bands(
            self.responses, [p[:, :n_sites] for p in together.predictions],
            [parts[:, :, :n_sites] for parts in together.by_band], self.splits, self.counts,
            partition=self.partition,
        )  # fmt: skip

    def shuffled(self, layer_fit: LayerFit, shuffled: np.ndarray) -> float:
        n = shuffled.shape[1]
        if not n:
            return math.nan
        return self._shuffled_r([p[:, -n:] for p in layer_fit.predictions], shuffled)

    def shuffled_choice(
        self, fits: Sequence[LayerFit], shuffled: np.ndarray, n_sites: int
    ) -> float:
        n = shuffled.shape[1]
        if not n:
            return math.nan
        predictions = []
        for s in range(len(self.splits)):
            best = _best_layer([f.error_in_split[s, n_sites:] for f in fits])
            stacked = np.stack([f.predictions[s][:, n_sites:] for f in fits])
            predictions.append(stacked[best, :, np.arange(n)].T)
        return self._shuffled_r(predictions, shuffled)

    def _shuffled_r(self, predictions: Sequence[np.ndarray], shuffled: np.ndarray) -> float:
        scored = score(shuffled, predictions, self.splits, None, None, partition=self.partition)
        return float(scored.median["r"])


def _chosen_columns() -> dict[str, Any]:
    shown = "each site's layer, chosen in training"
    return {
        "kind": "chosen", "layer": "chosen", "alias": "", "type": "", "n_neuroids": np.nan,
        "shown": shown,
    }  # fmt: skip


def _together_columns(n_layers: int) -> dict[str, Any]:
    return {
        "kind": "bands", "layer": "bands", "alias": "", "type": "", "n_neuroids": np.nan,
        "shown": f"all {n_layers} layers together",
    }  # fmt: skip


def _add_bands(table: list[dict[str, Any]], of_bands: ScoredBands) -> None:
    """Write into the rows of layers, and of all together, what they contribute to R²."""
    rows = [row for row in table if row["kind"] in ("layer", "bands")]
    for k, row in enumerate(rows):
        row |= {
            "r2_band": of_bands.mean[k],
            "r2_band_low": of_bands.mean_low[k],
            "r2_band_high": of_bands.mean_high[k],
        }


def _bands_table(
    together: BandedFit, of_bands: ScoredBands, infos: Sequence[LayerInfo], recording: Recording
) -> pd.DataFrame:
    """Compute one row per site and layer, site by site."""
    n_bands, n_sites = of_bands.r2.shape
    share = together.shares[:, :n_sites]
    with np.errstate(divide="ignore"):
        alpha = together.alpha[:n_sites] / share  # without a share, it is infinite
    columns = {
        "site": np.repeat(np.arange(n_sites), n_bands),
        "neuroid_id": np.repeat(recording.data["neuroid_id"].values.astype(str), n_bands),
        "layer": [info.name for info in infos] * n_sites,
        "alias": [info.alias for info in infos] * n_sites,
        "share": share.T.ravel(),
        "alpha": alpha.T.ravel(),
        "r2": of_bands.r2.T.ravel(),
        "r2_low": of_bands.low.T.ravel(),
        "r2_high": of_bands.high.T.ravel(),
    }
    return pd.DataFrame(columns)[list(BAND_COLUMNS)]


@dataclass(frozen=True, eq=False)
class _Reading:
    """What each site is read from, and how.

    Attributes
    ----------
    layers, aliases : list of str
    fields : list of Field or None
    windows : list of _Window
        Of the layer that a field is given in pixels for.
    alpha, at_end : numpy.ndarray, shape (m,)
    """

    layers: list[str]
    aliases: list[str]
    fields: list[Field | None]
    windows: list[_Window]
    alpha: np.ndarray
    at_end: np.ndarray

    @classmethod
    def of_layers(
        cls,
        layer_of_site: np.ndarray,
        jobs: Sequence[Job],
        fits: Sequence[LayerFit],
        network: Network,
    ) -> _Reading:
        """One layer each."""
        sites = np.arange(len(layer_of_site))
        seen = [_window(network, job) for job in jobs]
        readouts = [fits[k].readout for k in layer_of_site]
        return cls(
            [jobs[k].layer for k in layer_of_site],
            [info.alias if (info := jobs[k].info) else "" for k in layer_of_site],
            [r.fields[site] if r.fields is not None else None for site, r in enumerate(readouts)],
            [seen[k] for k in layer_of_site],
            np.stack([f.alpha[: len(sites)] for f in fits])[layer_of_site, sites],
            np.stack([f.at_end[: len(sites)] for f in fits])[layer_of_site, sites],
        )

    @classmethod
    def of_bands(
        cls, together: BandedFit, jobs: Sequence[Job], network: Network, n_sites: int
    ) -> _Reading:
        """All layers, of which that with a field and the largest share gives its pixels."""
        pooled = [k for k, readout in enumerate(together.readouts) if readout.fields is not None]
        seen = [_window(network, job) for job in jobs]
        share = together.shares[:, :n_sites]
        largest = np.array(pooled)[share[pooled].argmax(axis=0)] if pooled else [0] * n_sites
        fields: list[Field | None] = [None] * n_sites
        if pooled:
            fields = list(together.readouts[pooled[0]].fields or ())
        return cls(
            [BETWEEN.join(job.layer for job in jobs)] * n_sites,
            [BETWEEN.join(_called(job) for job in jobs)] * n_sites,
            fields,
            [seen[k] for k in largest],
            together.alpha[:n_sites],
            together.at_end[:n_sites],
        )


def _called(job: Job) -> str:
    """Return what a layer is called in short."""
    return (job.info.alias if job.info else "") or job.layer


def _sites_table(
    recording: Recording,
    responses: np.ndarray,
    own: Scored,
    reading: _Reading,
    network: Network,
) -> pd.DataFrame:
    n_sites = responses.shape[1]
    data = recording.data
    sd = responses.std(axis=0, ddof=1)
    sd = np.where(sd > 1e-12 * np.abs(responses).max(axis=0), sd, 0.0)
    averaged = bool(data.attrs.get("averaged", False))
    notes = []
    for k in range(n_sites):
        rho = own.values["reliability"][k]
        if sd[k] == 0:
            notes.append("the responses are constant, there is nothing to predict")
        elif np.isnan(rho):
            notes.append(
                "no ceiling, since the recording holds means over repetitions"
                if averaged
                else "no ceiling, since no stimulus was repeated"
            )
        elif rho <= 0:
            notes.append("no ceiling, since the reliability is not above zero")
        else:
            notes.append("")
    fields = reading.fields
    places = [window.of(f) for window, f in zip(reading.windows, fields, strict=True)]
    degrees = data.attrs.get("picture_degrees")
    frame = pd.DataFrame(
        {
            "site": np.arange(n_sites),
            "neuroid_id": data["neuroid_id"].values.astype(str),
            "subject": data["subject"].values.astype(str),
            "region": data["region"].values.astype(str),
            "layer": reading.layers,
            "alias": reading.aliases,
            "reliability": own.values["reliability"],
            **{
                name + end: values.get(name, np.full(n_sites, np.nan))
                for name in scores.SCORES
                for end, values in (("", own.values), ("_low", own.low), ("_high", own.high))
            },
            "y": [np.nan if f is None else f.y for f in fields],
            "x": [np.nan if f is None else f.x for f in fields],
            "sd_field": [np.nan if f is None else f.sd for f in fields],
            **{name: [p[i] for p in places] for i, name in enumerate(("y_px", "x_px", "sd_px"))},
            "alpha": reading.alpha,
            "at_end": reading.at_end,
            "mean": responses.mean(axis=0),
            "sd": sd,
            "note": notes,
        }
    )
    if degrees:
        scale = float(degrees) / network.preprocessing.size[1]
        centre = network.preprocessing.size[0] / 2, network.preprocessing.size[1] / 2
        frame["y_deg"] = (centre[0] - frame["y_px"]) * scale
        frame["x_deg"] = (frame["x_px"] - centre[1]) * scale
        frame["sd_deg"] = frame["sd_px"] * scale
    return frame


@dataclass(frozen=True)
class _Window:
    """Where a layer's positions lie in the network's input, in pixels.

    ``first`` and ``step`` are down and across: the centre of the first position, and how far apart
    positions are.
    """

    layout: Layout
    first: tuple[float, float]
    step: tuple[float, float]

    def of(self, field: Field | None) -> tuple[float, float, float]:
        """Return centre (y, x) and SD of a field, in pixels; NaN where there is none."""
        if field is None:
            return (np.nan, np.nan, np.nan)
        y = self.first[0] + self.step[0] * (field.y * self.layout.height - 0.5)
        x = self.first[1] + self.step[1] * (field.x * self.layout.width - 0.5)
        return y, x, field.sd * self.layout.height * self.step[0]


def _window(network: Network, job: Job) -> _Window:
    layout = job.layout or Layout(1, 1, 1)
    height, width = network.preprocessing.size
    seen = models.measures(network).fields.get(job.layer)
    if seen is None or seen.jump is None or seen.start is None:
        step = (height / layout.height, width / layout.width)
        return _Window(layout, (step[0] / 2, step[1] / 2), step)
    first = tuple(start + (size - 1) / 2 for start, size in zip(seen.start, seen.size, strict=True))
    return _Window(layout, (first[0], first[1]), seen.jump)


def _facts_of_fit(
    network: Network,
    settings: Settings,
    splits: Sequence[Split],
    partition: bool,
    groups: np.ndarray | None,
    noise: Noise,
    responses: np.ndarray,
    jobs: Sequence[Job],
    recording: Recording,
) -> dict[str, Any]:
    remarks = []
    unpooled = [
        job.layer for job in jobs
        if job.kind == "layer" and job.layout is None and settings.readout != "full"
    ]  # fmt: skip
    if unpooled:
        remarks.append(f"Read in full, since their positions are not known: {', '.join(unpooled)}.")
    if settings.baselines and network.architecture is None:
        remarks.append("No untrained baseline: only a network known by its name has one.")
    aggregate = WITHIN if averages_within(splits) else POOLED
    aggregate = aggregate if partition else BY_SPLIT
    averaged = bool(recording.data.attrs.get("averaged", False))
    units = (
        f"{len(responses)} stimuli"
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
        "n_units": len(responses) if groups is None else len(np.unique(groups)),
        "n_resamples": settings.n_resamples,
        "chosen_by": None if settings.method == "pls" else f"leaving out one of {units}",
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


def _provenance(settings: Settings, network: Network) -> dict[str, Any]:
    return provenance_of(
        {
            "readout": settings.readout,
            "method": settings.method,
            "n_components": settings.n_components,
            "splits": settings.splits if isinstance(settings.splits, int) else str(settings.splits),
            "seed": settings.seed,
            "n_resamples": settings.n_resamples,
            "min_reliability": settings.min_reliability,
            "device": ",".join(map(str, devices_of(network, settings.device))),
        },
        (*NETWORK_PACKAGES, "scikit-learn"),
    )


def _aliases(named: Sequence[str | Recording], loaded: Sequence[Recording]) -> dict[str, str]:
    """Tell what a user calls the recordings."""
    aliases: dict[str, str] = {}
    for name in named:
        if not isinstance(name, str):
            continue
        for recording in loaded:
            if recordings.canonical(name) == recording.name:
                aliases.setdefault(recording.name, name)
    return aliases
