"""Frozen layers put to another classification: from names to accuracies.

pictures → classes → network → activations per layer, reduced ↘
baselines → activations → folds → linear probe, nearest neighbours → `Transfer`
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil

from probe import assets, extraction, models
from probe.activations.extract import Extraction
from probe.activations.reduce import Reducer, parse
from probe.activations.store import LayerArray
from probe.classification.classes import LabelledSet, labelled
from probe.classification.classifiers import (
    CLASSIFIERS,
    Split,
    few_shot_splits,
    held_out_classes,
    stratified_splits,
)
from probe.classification.result import Transfer
from probe.classification.scores import accuracies, choose, differences
from probe.classification.settings import SHOTS, TransferSettings, read_shots
from probe.errors import ProbeError
from probe.models import LayerInfo, Network
from probe.models.baselines import baselines_of, untrained
from probe.models.devices import devices_of, resolve_device
from probe.models.known import BASELINES
from probe.output.provenance import NETWORK_PACKAGES, provenance_of
from probe.progress import track
from probe.recordings import Recording
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from torch import nn

UNTRAINED_SEED = 0
"""Of the untrained network that layers stand beside."""

DEFAULT_BASELINES = ("pixels", "hog")
"""What layers stand beside, besides the untrained network."""

MANY = 2**30
"""Pictures, enough for every reducer: to see how it is spelled before they are counted."""

COPIES = 6
"""Of a layer's features in float64, at most in memory while a fold is fitted."""


def transfer(
    model: str | Network | nn.Module,
    images: str | Path | StimulusSet | Recording,
    *,
    classes: str | None = None,
    layers: str | Sequence[str] = "default",
    reduce: str | Reducer = "srp:4096",
    folds: int = 5,
    repeats: int = 5,
    neighbours: int = 5,
    shots: str | Sequence[int] = SHOTS,
    baselines: str = "default",
    weights: str = "imagenet",
    preprocessing: str = "resize",
    n_resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    skip_bad: bool = False,
    root: str | Path | None = None,
    accept_licence: bool = False,
    output: str | Path | None = None,
    progress: bool | None = None,
) -> Transfer:
    """Measure how well frozen layers serve a classification that the network was not made for.

    Of each layer, a linear probe and the nearest neighbours learn the classes from some pictures
    and are tested with others: with all pictures of the other folds, and with a few of each class.
    Nothing is fitted to held-out pictures: features are centred, and the probe's penalty is
    chosen, within the training pictures. The probe is a ridge classifier, see
    `probe.classification.classifiers.linear_probe`.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    images : str, path, StimulusSet or Recording
        A folder or archive in which each class is a folder; a pattern, ``'photos/*/*.jpg'``; a
        table with the column ``classes``; or the name of a recording, for its stimuli. Copies of a
        file within a class are left out.
    classes : str, optional
        Column of the table, or coordinate of the recording's stimuli, that names the class.
    layers : str or sequence of str
        Layer paths or aliases, or ``default``, ``all``, ``conv``, ``relu``, ``pool``, ``linear``,
        ``block``; as a string, separated by commas.
    reduce : str or Reducer
        What is kept of a layer, and of a baseline: by default 4,096 random sums, which keep
        distances between pictures within 2 %; smaller layers are whole. ``none`` keeps all units,
        where memory allows. No reducer that is fitted to pictures (``pca``): it would have seen
        those that are held out.
    folds : int
        Parts of the pictures, with the same share of each class; each is held out once.
    repeats : int
        Times that the pictures are divided anew; accuracies are means over these.
    neighbours : int
        Nearest training pictures that vote, by cosine distance, weighted by 1/distance; of fewer
        shots, no more than there are of a class.
    shots : str or sequence of int
        Training pictures per class of the few-shot curve; ``'none'`` for no curve. They are drawn
        from the training pictures of each fold, and tested with the same held-out ones.
    baselines : {'default', 'classic', 'none'}
        ``default``: pixels, histograms of oriented gradients, and the same network untrained.
        ``classic``: also all else of `probe.models.known.BASELINES`.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        ``resize``: the whole picture. ``torchvision``: what the weights were trained with, a crop.
    n_resamples : int
        Bootstrap samples of the pictures, for differences between layers.
    seed : int
        Of folds, draws, resamples, the projection and, with ``weights='random'``, the
        initialisation.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``: where the network runs.
    batch_size : int, optional
        Images per forward pass.
    skip_bad : bool
        Go on without pictures that cannot be read.
    root : path, optional
        Folder in which the pictures of a table lie; see `probe.stimuli.image_set`.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    output : str or Path, optional
        A folder in which the result is saved.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Transfer
        Shows, plots and saves itself.

    Raises
    ------
    ProbeError
        If something that was named does not exist; a picture has no class, or there is one class
        only; a class has fewer pictures than ``folds``; the same picture is in two classes; or a
        layer gives values that are not finite.

    See Also
    --------
    rsa : Compare the layers with a visual area.
    extract : The activations themselves.

    References
    ----------
    Yosinski et al. 2014, NeurIPS 27:3320; Donahue et al. 2014, ICML 32:647 (frozen features); Alain
    & Bengio 2017, ICLR workshop (linear probes); Kornblith, Shlens & Le 2019, CVPR:2656.

    Examples
    --------
    >>> import numpy as np
    >>> import probe
    >>> from torch import nn
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"{name}/{k}" for name in ("dark", "light") for k in range(5)]
    >>> pictures = [
    ...     rng.integers(100 * name.startswith("light"), 156, (32, 32, 3), np.uint8) for name in ids
    ... ]
    >>> stimuli = probe.stimuli.StimulusSet(ids, pictures, "noise")
    >>> network = nn.Sequential(nn.AvgPool2d(8))
    >>> result = probe.transfer(network, stimuli, layers="0", baselines="none", shots=[1, 2])
    >>> result.table.query("classifier == 'linear'")[["n_train_per_class", "accuracy"]]
       n_train_per_class  accuracy
    0                4.0       1.0
    2                1.0       1.0
    4                2.0       1.0
    >>> probe.transfer("alexnet", "photos/*/*.jpg", output="results/photos")  # doctest: +SKIP
    """
    settings = TransferSettings.of(locals()).checked()
    resolve_device(settings.device)
    checked = models.check_model(model, weights, preprocessing)
    models.resolve(settings.layers, checked)
    _reducer(settings, MANY)
    stimuli = extraction.stimuli_of(
        images, settings.skip_bad, settings.accept_licence, settings.progress, settings.root
    )
    pictures = labelled(stimuli, settings.classes, settings.folds)
    network = models.as_network(
        checked, settings.weights, settings.preprocessing, seed=settings.seed,
        accept_licence=settings.accept_licence, progress=settings.progress,
    )  # fmt: skip
    reducer = _reducer(settings, len(pictures.stimuli))
    result = _measure(network, pictures, reducer, settings)
    if output is not None:
        result.save(output)
    return result


def _reducer(settings: TransferSettings, n_stimuli: int) -> Reducer:
    """Return the reducer, which must not be fitted to the pictures."""
    reduce = settings.reduce
    if isinstance(reduce, str):
        reduce = parse(reduce, n_stimuli=n_stimuli, seed=settings.seed)
    reducer: Reducer = reduce
    if reducer.kind == "pca":
        raise ProbeError(
            f"reduce {reducer.name!r}: components would be fitted to the pictures that are held "
            "out, too; choose srp:4096, mean, max, units:1000 or none"
        )
    return reducer


@dataclass(frozen=True, eq=False)
class Job:
    """One layer that is put to the classification: of the network, or of a baseline.

    Attributes
    ----------
    kind : str
        ``layer``, ``untrained`` or ``baseline``.
    network : Network
    info : LayerInfo
    shown : str
        What it is called in the table of pictures, in pairs and in summaries.
    """

    kind: str
    network: Network
    info: LayerInfo
    shown: str


def _jobs(network: Network, settings: TransferSettings) -> list[Job]:
    """List the layers of the network, and of what they stand beside."""
    names = models.resolve(settings.layers, network)
    infos = [info for info in models.layers(network) if info.name in names]
    jobs = [Job("layer", network, info, info.name) for info in infos]
    if settings.baselines == "none":
        return jobs
    if network.architecture is not None:
        blank = untrained(network, UNTRAINED_SEED)
        jobs += [Job("untrained", blank, info, f"untrained {info.name}") for info in infos]
    others = [name for name in BASELINES if name not in DEFAULT_BASELINES]
    names = [*DEFAULT_BASELINES, *(others if settings.baselines == "classic" else [])]
    for baseline in baselines_of(network, names, progress=settings.progress):
        jobs += [
            Job("baseline", baseline.network, info, shown)
            for info, shown in zip(baseline.layers, baseline.names, strict=True)
        ]
    return jobs


def _measure(
    network: Network, pictures: LabelledSet, reducer: Reducer, settings: TransferSettings
) -> Transfer:
    labels, counts = pictures.labels, pictures.counts
    splits = stratified_splits(labels, settings.folds, settings.repeats, settings.seed)
    few = few_shot_splits(splits, labels, read_shots(settings.shots), settings.seed)
    jobs = _jobs(network, settings)
    plans: list[tuple[bool, float, list[Split]]] = [
        (False, float(np.mean([len(split.training) for split in splits]) / len(counts)), splits),
        *((True, float(m), of_shots) for m, of_shots in few.items()),
    ]
    facts = {
        "n_pictures": len(labels),
        "n_classes": len(counts),
        "chance": float(counts.max() / counts.sum()),
        "balanced_chance": 1.0 / len(counts),
    }
    rows: list[dict[str, Any]] = []
    of_pictures: list[pd.DataFrame] = []
    correct: dict[str, dict[str, np.ndarray]] = {name: {} for name in CLASSIFIERS}
    with track(
        total=len(jobs) * len(plans), desc="classify", unit="fit", progress=settings.progress
    ) as bar:
        for job, features in _features(jobs, pictures.stimuli, reducer, settings):
            for is_few_shot, n_train, of_plan in plans:
                predicted = held_out_classes(features, labels, of_plan, settings.neighbours)
                for name, of_classifier in predicted.items():
                    right = of_classifier == labels[:, None]
                    accuracy, balanced = accuracies(right, labels)
                    rows.append(
                        {
                            "kind": job.kind,
                            "model": job.network.name,
                            "layer": job.info.name,
                            "alias": job.info.alias,
                            "n_neuroids": math.prod(job.info.output_shape),
                            "classifier": name,
                            "few_shot": is_few_shot,
                            "n_train_per_class": n_train,
                            "accuracy": accuracy.value,
                            "low": accuracy.low,
                            "high": accuracy.high,
                            "balanced_accuracy": balanced.value,
                            "balanced_low": balanced.low,
                            "balanced_high": balanced.high,
                            **facts,
                            "shown": job.shown,
                        }
                    )
                    if not is_few_shot:
                        correct[name][job.shown] = right
                        of_pictures.append(_of_pictures(pictures, job, name, of_classifier))
                bar.update()
    of_layers = [job.shown for job in jobs if job.kind == "layer"]
    return Transfer(
        table=pd.DataFrame(rows),
        pictures=pd.concat(of_pictures, ignore_index=True),
        pairs=pd.DataFrame(
            [
                (name, *pair)
                for name, of_classifier in correct.items()
                for pair in differences(of_classifier, labels, settings.n_resamples, settings.seed)
            ],
            columns=["classifier", "layer_a", "layer_b", "difference", "low", "high"],
        ),
        choices={
            name: choose({layer: correct[name][layer] for layer in of_layers}, labels,
                         settings.seed)
            for name in CLASSIFIERS
        },
        facts=_facts(network, pictures, reducer, settings),
        provenance=provenance_of(
            settings.to_about()
            | {
                "reduce": reducer.name,
                "root": None if settings.root is None else str(settings.root),
                "layers": of_layers,
                "device": ",".join(map(str, devices_of(network, settings.device))),
            },
            (*NETWORK_PACKAGES, "scikit-learn"),
        ),
    )  # fmt: skip


def _features(
    jobs: Sequence[Job], stimuli: StimulusSet, reducer: Reducer, settings: TransferSettings
) -> Iterator[tuple[Job, np.ndarray]]:
    """Extract each network once, and yield its layers one at a time: float32, (n, d)."""
    by_network: dict[int, list[Job]] = {}
    for job in jobs:
        by_network.setdefault(id(job.network), []).append(job)
    for of_network in by_network.values():
        network, kind = of_network[0].network, of_network[0].kind
        # What no user named lies apart from what one did.
        apart = None if kind == "layer" else assets.cache_dir() / "baselines"
        of = Extraction(network, stimuli, reducer, device=settings.device, folder=apart)
        try:
            store = of.run(
                [job.info.name for job in of_network], batch_size=settings.batch_size,
                progress=settings.progress,
            )  # fmt: skip
            for job in of_network:
                yield job, _read(store.array(job.info.name), job)
        finally:
            if network.weights.kind == "user":  # nobody will ask for these activations again
                shutil.rmtree(of.path, ignore_errors=True)


def _read(array: LayerArray, job: Job) -> np.ndarray:
    """Read the features of all pictures, if they are finite and fit into memory."""
    needed, free = COPIES * 8 * array.size, int(psutil.virtual_memory().available)
    if needed > free:
        raise ProbeError(
            f"layer {job.info.name!r} of {job.network.name}: {array.shape[1]:,} values of "
            f"{array.shape[0]:,} pictures take {needed / 1e9:.1f} GB of memory while they are "
            f"fitted, {free / 1e9:.1f} GB are free: keep fewer (--reduce srp:4096)"
        )
    features = np.asarray(array)
    if not np.isfinite(features).all():
        raise ProbeError(
            f"layer {job.info.name!r} of {job.network.name} gives values that are not finite for "
            "some picture: leave the layer out"
        )
    return features


def _of_pictures(
    pictures: LabelledSet, job: Job, classifier: str, predicted: np.ndarray
) -> pd.DataFrame:
    """Return how each picture was classified: in which share correctly, and most often as what."""
    n_classes = len(pictures.names)
    votes = np.stack([(predicted == label).sum(axis=1) for label in range(n_classes)], axis=1)
    return pd.DataFrame(
        {
            "layer": job.shown,
            "classifier": classifier,
            "stimulus_id": pictures.stimuli.ids,
            "class": [pictures.names[label] for label in pictures.labels],
            "correct": (predicted == pictures.labels[:, None]).mean(axis=1),
            "most_often": [pictures.names[label] for label in votes.argmax(axis=1)],
        }
    )


def _facts(
    network: Network, pictures: LabelledSet, reducer: Reducer, settings: TransferSettings
) -> dict[str, Any]:
    """Return what was classified, with what, and what a reader would not expect."""
    remarks = []
    if settings.baselines != "none" and (why := network.why_no_untrained):
        remarks.append(f"No untrained baseline: {why}.")
    if pictures.copies:
        n = len(pictures.copies)
        remarks.append(
            f"Left out, since {'its file is' if n == 1 else 'their files are'} in the class "
            f"already: {', '.join(pictures.copies[:5])}{f' and {n - 5} more' if n > 5 else ''}."
        )
    return {
        "model": {
            "name": network.name,
            **{f"weights_{k}": v for k, v in vars(network.weights).items()},
            "preprocessing": network.preprocessing.describe(),
        },
        "pictures": {
            "name": pictures.stimuli.name,
            "sha256": pictures.stimuli.hash,
            "classes": dict(zip(pictures.names, pictures.counts.tolist(), strict=True)),
            "skipped": [list(bad) for bad in pictures.stimuli.skipped],
        },
        "reduced": reducer.describe(),
        "folds": settings.folds,
        "repeats": settings.repeats,
        "neighbours": settings.neighbours,
        "n_resamples": settings.n_resamples,
        "remarks": remarks,
    }
