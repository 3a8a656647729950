"""How like a visual area each layer of a network is: flow 1 from start to end.

stimuli → network → activations per layer → RDM per layer ↘
recording → responses → RDM per subject → comparator → inference → `RSAResult`
"""

from __future__ import annotations

import functools
import io
import math
import operator
import platform
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe import assets, inference, models, recordings
from probe.activations import PIXELS
from probe.activations.extract import BATCH_SIZE, extract_for, request_of, resolve_device, target_of
from probe.activations.store import ActivationStore, key_of
from probe.errors import ProbeError, suggest
from probe.inference.evaluate import MIN_STIMULI
from probe.models import Network
from probe.models.registry import parse
from probe.progress import in_notebook, track
from probe.recordings import Recording
from probe.result import Ceiling, Choice, RSAResult, write_atomically
from probe.similarity import COMPARATORS, METRICS, get_comparator, n_conditions, rdm
from probe.similarity.comparators import is_constant
from probe.similarity.rdms import BadPatternError
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from torch import nn

UNTRAINED_SEEDS = (0, 1, 2)
"""Seeds of the untrained networks that every comparison carries."""

N_SPLITS = 100
"""Splits of the stimuli for choosing a layer on one half and scoring it on the other."""


def rsa(
    model: str | Network | nn.Module,
    dataset: str | Recording,
    *,
    layers: str | Sequence[str] = "default",
    metric: str = "correlation",
    comparator: str = "auto",
    region: str | None = None,
    subject: str | None = None,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    baselines: bool = True,
    n_resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> RSAResult:
    """Compare the layers of a network with a recording.

    Every layer's RDM is compared with the RDM of each subject. Scores are means over subjects,
    with a 95 % interval and a one-sided test against zero from a bootstrap over stimuli, and
    p-values corrected over layers. The best layer is chosen on one half of the stimuli and scored
    on the other. The pixels and the same network untrained are compared in the same way.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    dataset : str or Recording
        A name (`probe.recordings.available`), or a recording of yours.
    layers : str or sequence of str
        Layer paths or aliases, or ``default``, ``all``, ``conv``, ``relu``, ``pool``, ``linear``,
        ``block``; as a string, separated by commas.
    metric : {'correlation', 'euclidean', 'cosine'}
        Distance of both the network's and the recording's RDMs, see `probe.similarity.rdm`.
    comparator : {'auto', 'spearman', 'rho-a', 'pearson', 'cosine'}
        ``auto`` is Spearman, or rho-a where a layer's RDM has many ties, since these would raise
        its Spearman correlation.
    region, subject : str, optional
        Part of the recording; by default its default region, and all subjects.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        ``resize``: the whole picture resized to the network's input, since a crop would remove
        what the animal saw. ``torchvision``: what the weights were trained with.
    baselines : bool
        Compare also the pixels and three untrained networks.
    n_resamples : int
        Bootstrap samples.
    seed : int
        Of the resamples, the splits and, with ``weights='random'``, the initialisation.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    batch_size : int
        Images per forward pass.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    RSAResult

    Raises
    ------
    ProbeError
        If something that was named does not exist, a file is broken, or a score is undefined.

    References
    ----------
    Kriegeskorte, Mur & Bandettini 2008, Front Syst Neurosci 2:4; Nili et al. 2014, PLoS Comput
    Biol 10:e1003553; Schütt et al. 2023, eLife 12:e82566.
    """
    for what, given, known in (
        ("metric", metric, METRICS),
        ("comparator", comparator, ("auto", *COMPARATORS)),
    ):
        if given not in known:
            raise ProbeError(f"{what} {given!r} is unknown{suggest(given, known)}")
    for what, number, least in (("seed", seed, 0), ("n_resamples", n_resamples, 2)):
        if number < least:
            raise ProbeError(f"{what} is {number}; wanted {least} or more")
    seed = operator.index(seed)
    resolve_device(device)
    if isinstance(model, str):
        parse(model)  # a slip of the pen is told before anything is downloaded

    # What is compared with what.
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
    if recording.n_stimuli < MIN_STIMULI:
        raise ProbeError(
            f"recording {recording.name!r} has {recording.n_stimuli} stimuli, too few to resample: "
            f"at least {MIN_STIMULI} are needed"
        )
    subjects, data = recording.rdms(metric)
    network = _network(model, weights, seed, preprocessing, accept_licence, progress)
    names = models.resolve(layers, network)
    infos = [info for info in models.layers(network) if info.name in names]

    # RDMs of the layers, and of the two baselines.
    rdms_of = functools.partial(
        _rdms,
        stimuli=recording.stimuli,
        metric=metric,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    found = rdms_of(network, [*names, PIXELS] if baselines else names)
    trained, pixels = found[: len(names)], found[len(names) :]
    untrained: dict[int, np.ndarray] = {}
    if baselines and network.architecture is not None:
        for init_seed in UNTRAINED_SEEDS:
            blank = models.load(
                network.architecture, "random", seed=init_seed, preprocessing=network.preprocessing
            )
            named = blank.weights.sha256 == network.weights.sha256
            untrained[init_seed] = rdms_of(blank, names, baseline=not named)

    # Scores, and how sure one may be of them.
    remarks = _remarks(network, layers, baselines)
    for k, name in enumerate(names):
        n_silent = sum(bool(np.isnan(of_seed[k]).any()) for of_seed in untrained.values())
        if n_silent:
            remarks.append(
                f"Untrained, {name} cannot tell all stimuli apart with {n_silent} of "
                f"{len(untrained)} seeds: no score there."
            )
    if comparator == "auto":
        tied = [name for name, r in zip(names, trained, strict=True) if _has_ties(r)]
        comparator = "rho-a" if tied else "spearman"
        if tied:
            remarks.append(
                f"Comparator rho-a, since the RDM of {tied[0]} has ties, which raise Spearman's."
            )
    evaluate = functools.partial(
        inference.evaluate, data=data, comparator=comparator, n_resamples=n_resamples, seed=seed
    )
    bar = functools.partial(track, progress=progress)
    try:
        ceiling = _ceiling(recording, data, metric, comparator, seed)
        scored = {
            "layer": evaluate(
                trained, track=functools.partial(bar, desc="bootstrap", unit="resample")
            )
        }
        if baselines:
            scored["pixels"] = evaluate(pixels)
        choice = _choose(names, trained, data, comparator, seed, bar)
    except ValueError as error:
        raise ProbeError(f"{network.name} and {recording.name}: {error}") from None

    layer_columns = {
        "layer": names,
        "alias": [info.alias for info in infos],
        "type": [info.type for info in infos],
        "n_neuroids": [math.prod(info.output_shape) for info in infos],
    }
    pixel_columns = {
        "layer": ["pixels"],
        "alias": "",
        "type": "input",
        "n_neuroids": math.prod(network.input_shape),
    }
    parts = [
        pd.DataFrame({"kind": kind, **columns, **_columns(scored[kind], ceiling)})
        for kind, columns in (("layer", layer_columns), ("pixels", pixel_columns))
        if kind in scored
    ]
    chosen = get_comparator(comparator)
    prepared = chosen.prepare(data)
    for init_seed, of_seed in untrained.items():
        scores = np.full(len(names), np.nan)
        defined = np.isfinite(of_seed).all(axis=1)
        if defined.any():
            of_defined = chosen.similarity(chosen.prepare(of_seed[defined]), prepared)
            scores[defined] = of_defined.mean(axis=1)
        parts.append(
            pd.DataFrame({"kind": "untrained", **layer_columns, "score": scores}).assign(
                init_seed=init_seed
            )
        )
    table = pd.concat(parts, ignore_index=True)
    if "init_seed" in table:
        table["init_seed"] = table["init_seed"].astype("Int64")
    what_is_compared: dict[str, str | bool] = {
        "model": network.name,
        "dataset": recording.name,
        "region": recording.regions[0],
        "subject": subjects[0] if len(subjects) == 1 else f"mean of {len(subjects)}",
        "metric": metric,
        "comparator": comparator,
        "simulated": recording.simulated,
    }
    for place, (column, value) in enumerate(what_is_compared.items()):
        table.insert(place, column, value)

    return RSAResult(
        table=table,
        by_subject=pd.concat(
            [
                _by_subject("layer", names, subjects, scored["layer"].scores),
                *(
                    [_by_subject("pixels", ["pixels"], subjects, scored["pixels"].scores)]
                    if baselines
                    else []
                ),
            ],
            ignore_index=True,
        ),
        ceiling=ceiling,
        choice=choice,
        facts={
            "model": {
                "name": network.name,
                **{f"weights_{k}": v for k, v in vars(network.weights).items()},
                "preprocessing": network.preprocessing.describe(),
                "missing": list(network.missing),
                "layers": names,
            },
            "recording": recording.describe() | {"region": recording.regions[0]},
            "comparison": {"metric": metric, "comparator": comparator, "remarks": remarks},
        },
        provenance=_provenance(
            {
                "seed": seed,
                "n_resamples": n_resamples,
                "n_splits": N_SPLITS,
                "untrained_seeds": list(untrained),
                "device": str(target_of(network, device)),
                "batch_size": batch_size,
            }
        ),
    )


def _remarks(network: Network, layers: str | Sequence[str], baselines: bool) -> list[str]:
    remarks = []
    if network.missing and layers in ("default", "all"):
        remarks.append(
            f"Not compared: {', '.join(network.missing)}, which these weights lack "
            "(asking for one of its layers says how to get it)."
        )
    if baselines and network.architecture is None:
        remarks.append("No untrained baseline: only a network known by its name has one.")
    return remarks


def _has_ties(distances: np.ndarray) -> bool:
    """Tell whether ties are part of the RDM, rather than two distances that happen to be equal."""
    return len(np.unique(distances)) < 0.99 * len(distances)


def _network(
    model: str | Network | nn.Module,
    weights: str,
    seed: int,
    preprocessing: str,
    accept_licence: bool,
    progress: bool | None,
) -> Network:
    if not isinstance(model, str) and (weights, preprocessing) != ("imagenet", "resize"):
        raise ProbeError(
            "weights and preprocessing go with a model's name; give those of a network of yours "
            "to probe.models.load or probe.models.Network.from_module"
        )
    if isinstance(model, Network):
        return model
    if isinstance(model, str):
        return models.load(
            model,
            weights,
            seed=seed,
            preprocessing=preprocessing,
            accept_licence=accept_licence,
            progress=progress,
        )
    return Network.from_module(model)


def _rdms(
    network: Network,
    layers: Sequence[str],
    *,
    stimuli: StimulusSet,
    metric: str,
    batch_size: int,
    device: str,
    progress: bool | None,
    baseline: bool = False,
) -> np.ndarray:
    """RDMs of some layers, shape (n_layers, n_pairs), from the cache where it has them.

    RDMs are small and kept; activations are large, and only those of a network that the user
    named are kept as well. A layer of a ``baseline`` may have no RDM (an untrained network can
    answer alike to all stimuli): its row is NaN.
    """
    own = network.weights.kind == "user"
    root = assets.cache_dir()
    request = request_of(network, stimuli, device)
    key = key_of(request)
    n_pairs = len(stimuli) * (len(stimuli) - 1) // 2
    files = {
        layer: root / "rdms" / key / f"{layer.replace(':', '@')}.{metric}.npy" for layer in layers
    }
    found: dict[str, np.ndarray] = {}

    def look() -> list[str]:
        for layer in layers:
            if layer not in found and (known := _read_rdm(files[layer], n_pairs)) is not None:
                found[layer] = known
        return [layer for layer in layers if layer not in found]

    if look():
        # Whoever waited for another process finds its RDMs, whose activations may be gone.
        with assets.held(root / "rdms" / key):
            todo = look()
            try:
                store = extract_for(request, network, stimuli, todo, batch_size, device, progress)
                for layer in track(todo, desc="RDMs", unit="layer", progress=progress):
                    try:
                        found[layer] = _rdm(network, store, stimuli, layer, metric)
                    except UndefinedRDM:
                        if not baseline:
                            raise
                        found[layer] = np.full(n_pairs, np.nan)
                        continue
                    if not own:
                        content = io.BytesIO()
                        np.save(content, found[layer])
                        files[layer].parent.mkdir(parents=True, exist_ok=True)
                        write_atomically(files[layer], content.getvalue())
            finally:
                # What nobody will ask for again goes, if it is finished or can never be.
                if own or (baseline and len(found) == len(layers)):
                    shutil.rmtree(root / "activations" / key, ignore_errors=True)
    return np.stack([found[layer] for layer in layers])


class UndefinedRDM(ProbeError):
    """A layer that tells no stimuli apart, or responds to one in a way that has no distance."""


def _rdm(
    network: Network, store: ActivationStore, stimuli: StimulusSet, layer: str, metric: str
) -> np.ndarray:
    try:
        distances = rdm(store.array(layer), metric)
    except BadPatternError as error:
        others = f" (and {error.count - 1} more)" if error.count > 1 else ""
        raise UndefinedRDM(
            f"layer {layer!r} of {network.name}: stimulus {stimuli.ids[error.row]!r}{others} "
            f"{error.what}"
        ) from None
    if is_constant(distances):
        raise UndefinedRDM(
            f"layer {layer!r} of {network.name}: all stimuli are equally far apart, "
            "the RDM is constant"
        )
    return distances


def _read_rdm(path: Path, n_pairs: int) -> np.ndarray | None:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    usable = values.shape == (n_pairs,) and values.dtype == np.float64 and np.isfinite(values).all()
    return values if usable else None


def _ceiling(
    recording: Recording, data: np.ndarray, metric: str, comparator: str, seed: int
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
        return Ceiling(np.nan, np.nan, f"one subject, and {comparator} is no correlation")
    try:
        half = recordings.split_half(recording, metric, comparator, seed=seed)
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
    names: list[str], trained: np.ndarray, data: np.ndarray, comparator: str, seed: int, bar: Any
) -> Choice | None:
    if len(names) < 2 or n_conditions(data.shape[1]) // 2 < MIN_STIMULI:
        return None
    selection = inference.select_on_halves(
        trained, data, comparator, n_splits=N_SPLITS, seed=seed,
        track=functools.partial(bar, desc="choice of layer", unit="half"),
    )  # fmt: skip
    shares = selection.shares(len(names))
    return Choice(
        layer=names[selection.best],
        score=selection.mean,
        share=float(shares[selection.best]),
        shares={name: float(s) for name, s in zip(names, shares, strict=True) if s > 0},
        n_splits=N_SPLITS,
    )


def _columns(scored: inference.Evaluation, ceiling: Ceiling) -> dict[str, Any]:
    return {
        "score": scored.mean,
        "se": scored.se,
        "ci_low": scored.ci_low,
        "ci_high": scored.ci_high,
        "p_zero": scored.p_zero,
        "p_zero_fdr": scored.p_zero_fdr,
        "p_zero_holm": scored.p_zero_holm,
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


def _provenance(settings: dict[str, Any]) -> dict[str, Any]:
    packages = [
        "cnn-probe",
        "torch",
        "torchvision",
        "numpy",
        "scipy",
        "pandas",
        "pillow",
        "xarray",
        "zarr",
    ]
    return {
        # A kernel's own command line says nothing.
        "command": None if in_notebook() else [Path(sys.argv[0]).name, *sys.argv[1:]],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "versions": {name: metadata.version(name) for name in packages}
        | {"python": platform.python_version()},
        "platform": platform.platform(),
    }
