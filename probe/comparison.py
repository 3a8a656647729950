"""How like a visual area each layer of a network is: flow 1 from start to end.

stimuli → network → activations per layer → RDM per layer ↘
recording → responses → RDM per subject → comparator → inference → `RSAResult`
"""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import io
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe import activations, assets, inference, models, recordings
from probe.activations import PIXELS
from probe.activations.extract import BATCH_SIZE, request_of, resolve_device
from probe.activations.store import key_of
from probe.errors import ProbeError, suggest
from probe.models import Network
from probe.models.layers import layers as list_layers
from probe.models.layers import resolve
from probe.plots import plot_layers
from probe.inference.evaluate import MIN_STIMULI
from probe.progress import track
from probe.recordings import Recording
from probe.similarity import COMPARATORS, METRICS, get_comparator, rdm
from probe.similarity.rdms import BadPatternError
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

UNTRAINED_SEEDS = (0, 1, 2)
"""Seeds of the untrained networks that every comparison carries."""

N_SPLITS = 100
"""Splits of the stimuli for choosing a layer on one half and scoring it on the other."""

METRIC_LABELS = {
    "correlation": "1 − Pearson r",
    "euclidean": "squared Euclidean",
    "cosine": "1 − cosine",
}


@dataclass(frozen=True)
class Ceiling:
    """What the best possible model could score.

    Attributes
    ----------
    lower, upper : float
        NaN where the recording cannot tell.
    kind : str
        How it was estimated, in words.
    """

    lower: float
    upper: float
    kind: str

    @property
    def known(self) -> bool:
        """Whether there is a ceiling."""
        return bool(np.isfinite(self.lower) and np.isfinite(self.upper))


@dataclass(frozen=True)
class Choice:
    """The best layer, chosen on one half of the stimuli and scored on the other.

    Attributes
    ----------
    layer : str
        The layer that was chosen in most splits.
    score : float
        Mean score, on the other half, of whichever layer a split had chosen.
    share : float
        Share of the splits that chose ``layer``.
    shares : dict of str to float
        The same for every layer that was chosen at all.
    n_splits : int
        Number of splits.
    """

    layer: str
    score: float
    share: float
    shares: dict[str, float]
    n_splits: int


@dataclass(frozen=True)
class RSAResult:
    """A network compared with a recording. Shows, plots and saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Tidy: one row per layer (``kind == 'layer'``), one for the pixels, one per layer and seed
        of the untrained network. ``score`` is the mean over subjects.
    by_subject : pandas.DataFrame
        ``kind``, ``layer``, ``subject``, ``score``: one row per layer (or pixels) and subject.
    ceiling : Ceiling
    choice : Choice or None
        None if there is only one layer, or too few stimuli to split.
    facts : dict
        What was compared with what: ``model``, ``recording``, ``comparison``.
    provenance : dict
        Versions, hashes, seeds and the command.
    """

    table: pd.DataFrame
    by_subject: pd.DataFrame
    ceiling: Ceiling
    choice: Choice | None
    facts: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def layers(self) -> pd.DataFrame:
        """Rows of the table that are layers, without the baselines."""
        return self.table[self.table["kind"] == "layer"].reset_index(drop=True)

    @property
    def simulated(self) -> bool:
        """Whether the recording was generated."""
        return bool(self.facts["recording"]["simulated"])

    @property
    def title(self) -> str:
        """One line that says what is compared with what."""
        model, recording = self.facts["model"], self.facts["recording"]
        neuroids = recording["n_neuroids"]
        subjects = recording["subjects"]
        parts = [
            recording["region"],
            f"{neuroids} neuroids" if neuroids else None,
            f"{len(subjects)} subjects" if len(subjects) > 1 else f"subject {subjects[0]}",
            f"{recording['n_stimuli']} stimuli",
        ]
        mark = "SIMULATED recording " if self.simulated else ""
        return (
            f"{model['name']} ({model['weights_kind']}) and {mark}{recording['name']}: "
            + ", ".join(p for p in parts if p)
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw score along the layers, with interval, ceiling band and baselines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        comparison = self.facts["comparison"]
        symbol = get_comparator(comparison["comparator"]).symbol
        return plot_layers(
            self.table,
            ceiling=(self.ceiling.lower, self.ceiling.upper) if self.ceiling.known else None,
            ceiling_label=f"noise ceiling\n({self.ceiling.kind})",
            ylabel=f"{symbol} with {self.facts['recording']['region']}"
            f"\n(RDMs of {METRIC_LABELS[comparison['metric']]})",
            title=self.title,
            ax=ax,
        )

    def save(self, path: str | Path) -> list[Path]:
        """Write ``table.csv``, ``result.json`` and ``figure.png`` into a folder.

        Parameters
        ----------
        path : str or Path
            Made if it does not exist; files of these names are replaced, others left alone.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If the folder cannot be written.
        """
        folder = writable_folder(path)
        contents = {
            "table.csv": self.table.to_csv(index=False).encode(),
            "result.json": (json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n").encode(),
            "figure.png": self._png(),
        }
        written = []
        for name, content in contents.items():
            try:
                _write_atomically(folder / name, content)
            except OSError as error:
                raise ProbeError(
                    f"{str(folder / name)!r} cannot be written ({error.strerror})"
                ) from None
            written.append(folder / name)
        return written

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values, as in ``result.json`` (NaN as None)."""
        return {
            **self.facts,
            "ceiling": _plain(vars(self.ceiling)),
            "choice": None if self.choice is None else _plain(vars(self.choice)),
            "table": _plain(self.table.to_dict("records")),
            "by_subject": _plain(self.by_subject.to_dict("records")),
            "provenance": self.provenance,
        }

    def summary(self) -> pd.DataFrame:
        """Give the layers as a person reads them: rounded, with baselines beside the scores.

        Returns
        -------
        pandas.DataFrame
            One row per layer, of strings.
        """
        rows = self.layers
        untrained = self.table[self.table["kind"] == "untrained"].groupby("layer")["score"].mean()
        shown: dict[str, list[str]] = {"layer": list(rows["layer"])}
        if rows["alias"].any():
            shown["alias"] = list(rows["alias"])
        shown["score"] = [_number(v) for v in rows["score"]]
        shown["95 % CI"] = [
            f"{_number(a)} to {_number(b)}"
            for a, b in zip(rows["ci_low"], rows["ci_high"], strict=True)
        ]
        shown["p > 0"] = [_p(v) for v in rows["p_zero"]]
        shown["p (FDR)"] = [_p(v) for v in rows["p_zero_fdr"]]
        if self.ceiling.known:
            shown["of ceiling"] = [
                f"{100 * min(a, b):.0f}–{100 * max(a, b):.0f} %"
                for a, b in zip(rows["share_of_upper"], rows["share_of_lower"], strict=True)
            ]
        if len(untrained):
            shown["untrained"] = [_number(untrained[name]) for name in rows["layer"]]
        return pd.DataFrame(shown)

    def notes(self) -> list[str]:
        """Say in sentences what the table alone does not."""
        notes = []
        if self.ceiling.known:
            notes.append(
                f"Noise ceiling {_number(self.ceiling.lower)} to {_number(self.ceiling.upper)}: "
                f"{self.ceiling.kind}."
            )
        else:
            notes.append(f"Noise ceiling unknown: {self.ceiling.kind}.")
        if self.choice is not None:
            alias = self.layers.set_index("layer")["alias"][self.choice.layer]
            name = f"{self.choice.layer} ({alias})" if alias else self.choice.layer
            notes.append(
                f"Best layer {name}, chosen on one half of the stimuli in "
                f"{100 * self.choice.share:.0f} % of {self.choice.n_splits} splits; "
                f"score on the other half {_number(self.choice.score)}."
            )
        pixels = self.table[self.table["kind"] == "pixels"]
        if len(pixels):
            row = pixels.iloc[0]
            untrained = self.table[self.table["kind"] == "untrained"]
            best = untrained.groupby("layer")["score"].mean()
            notes.append(
                f"Baselines: pixels {_number(row['score'])} "
                f"({_number(row['ci_low'])} to {_number(row['ci_high'])})"
                + (
                    f"; the untrained network at most {_number(best.max())} ({best.idxmax()}, "
                    f"mean of {untrained['init_seed'].nunique()} seeds)."
                    if len(best)
                    else "."
                )
            )
        notes += self.facts["comparison"]["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def describe(self) -> list[tuple[str, str]]:
        """Say what was compared with what, as (name, text) lines."""
        model, recording = self.facts["model"], self.facts["recording"]
        repeats = recording["n_repetitions"]
        if recording["averaged"]:
            shown = "averaged by the authors"
        elif repeats is not None:
            shown = "–".join(str(r) for r in dict.fromkeys(repeats)) + " per stimulus"
        else:
            shown = "RDMs only"
        subjects = recording["subjects"]
        names = ", ".join(subjects) if len(subjects) <= 6 else f"{len(subjects)} subjects"
        return [
            ("weights", f"{model['weights_source']} · sha256 {model['weights_sha256'][:12]}…"),
            ("input", model["preprocessing"]),
            ("recording", recording["title"]),
            ("subjects", f"{names} · repetitions: {shown}"),
            ("cite", recording["citation"]),
        ]

    def __repr__(self) -> str:
        return "\n".join([self.title, "", self.summary().to_string(index=False), "", *self.notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes())
        image = base64.b64encode(self._png()).decode()
        return (
            f"<p><b>{html.escape(self.title)}</b></p>{self.summary().to_html(index=False)}"
            f"<ul>{notes}</ul><img alt='{html.escape(self.title)}' style='max-width:100%;"
            f"width:820px' src='data:image/png;base64,{image}'>"
        )

    def _png(self) -> bytes:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # Not through pyplot: a notebook would show the figure a second time.
        figure = Figure(
            figsize=(float(np.clip(5.2 + 0.42 * len(self.layers), 7.0, 18.0)), 3.8),
            dpi=200,
            layout="constrained",
        )
        FigureCanvasAgg(figure)
        self.plot(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Title": self.title})
        return buffer.getvalue()


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
        A name (`probe.models.available`), ``timm:NAME``, ``file:PATH``, or a network of yours.
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
        ``imagenet``, ``random``, or a checkpoint file.
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
    if metric not in METRICS:
        raise ProbeError(f"metric {metric!r} is unknown{suggest(metric, METRICS)}")
    if comparator not in ("auto", *COMPARATORS):
        raise ProbeError(
            f"comparator {comparator!r} is unknown{suggest(comparator, ('auto', *COMPARATORS))}"
        )
    resolve_device(device)
    bar = functools.partial(track, progress=progress)
    if isinstance(dataset, Recording):
        recording = dataset.select(region, subject)
    else:
        recording = recordings.load(
            dataset, region=region, subject=subject, accept_licence=accept_licence, progress=progress
        )
    subjects, data = recording.rdms(metric)
    network = _network(model, weights, seed, preprocessing, progress)
    names = resolve(layers, network)
    infos = [info for info in list_layers(network) if info.name in names]

    rdms_of = functools.partial(
        _rdms, stimuli=recording.stimuli, metric=metric, batch_size=batch_size, device=device,
        progress=progress,
    )  # fmt: skip
    extra = [PIXELS] if baselines else []
    found = rdms_of(network, [*extra, *names], keep=network.weights.kind != "user")
    pixels, trained = found[: len(extra)], found[len(extra) :]
    untrained: dict[int, np.ndarray] = {}
    remarks = []
    if baselines and network.architecture is None:
        remarks.append("No untrained baseline: only a network named by its architecture has one.")
    elif baselines:
        for init_seed in UNTRAINED_SEEDS:
            blank = models.load(
                network.architecture, "random", seed=init_seed, preprocessing=network.preprocessing
            )
            untrained[init_seed] = rdms_of(blank, names, keep=False)

    tied = [n for n, r in zip(names, trained, strict=True) if len(np.unique(r)) < 0.99 * len(r)]
    if comparator == "auto":
        comparator = "rho-a" if tied else "spearman"
        if tied:
            remarks.append(
                f"Comparator rho-a, since the RDM of {tied[0]} has ties, which raise Spearman's."
            )
    if network.missing:
        remarks.append(
            f"Not compared: {', '.join(network.missing)}, which these weights lack "
            "(asking for one of its layers says how to get it)."
        )

    ceiling = _ceiling(recording, data, metric, comparator, seed)
    evaluate = functools.partial(
        inference.evaluate, data=data, comparator=comparator, n_resamples=n_resamples, seed=seed
    )
    try:
        scored = evaluate(
            trained, track=functools.partial(bar, desc="bootstrap over stimuli", unit="resample")
        )
        scored_pixels = evaluate(pixels) if len(pixels) else None
    except ValueError as error:
        raise ProbeError(f"{recording.name}: {error}") from None
    choice = _choose(names, trained, data, comparator, seed, bar)

    rows = pd.DataFrame(
        {
            "kind": "layer",
            "layer": names,
            "alias": [info.alias for info in infos],
            "type": [info.type for info in infos],
            "n_neuroids": [int(np.prod(info.output_shape)) for info in infos],
            **_columns(scored, ceiling),
        }
    )
    parts = [rows]
    by_subject = [_by_subject("layer", names, subjects, scored.scores)]
    if scored_pixels is not None:
        parts.append(
            pd.DataFrame(
                {"kind": "pixels", "layer": PIXELS, "alias": "", "type": "input",
                 **_columns(scored_pixels, ceiling)}
            )
        )  # fmt: skip
        by_subject.append(_by_subject("pixels", [PIXELS], subjects, scored_pixels.scores))
    chosen = get_comparator(comparator)
    prepared = chosen.prepare(data)
    for init_seed, of_seed in untrained.items():
        scores = chosen.similarity(chosen.prepare(of_seed), prepared).mean(axis=1)
        parts.append(
            rows[["layer", "alias", "type", "n_neuroids"]].assign(
                kind="untrained", init_seed=init_seed, score=scores
            )
        )
    table = pd.concat(parts, ignore_index=True)
    table["init_seed"] = table.get("init_seed", pd.Series(dtype=float)).astype("Int64")
    table.insert(0, "model", network.name)
    table.insert(1, "dataset", recording.name)
    table.insert(2, "region", recording.regions[0])
    table.insert(3, "subject", subjects[0] if len(subjects) == 1 else f"mean of {len(subjects)}")
    table["metric"], table["comparator"] = metric, comparator
    table["simulated"] = recording.simulated

    facts = {
        "model": {
            "name": network.name,
            "weights_kind": network.weights.kind,
            **{f"weights_{k}": v for k, v in vars(network.weights).items() if k != "kind"},
            "preprocessing": network.preprocessing.describe(),
            "missing": list(network.missing),
            "layers": names,
        },
        "recording": recording.describe() | {"region": recording.regions[0]},
        "comparison": {
            "metric": metric,
            "comparator": comparator,
            "remarks": remarks,
        },
    }
    settings = {
        "seed": seed,
        "n_resamples": n_resamples,
        "n_splits": N_SPLITS,
        "untrained_seeds": list(untrained),
        "device": str(resolve_device(device)),
        "batch_size": batch_size,
    }
    return RSAResult(
        table=table,
        by_subject=pd.concat(by_subject, ignore_index=True),
        ceiling=ceiling,
        choice=choice,
        facts=facts,
        provenance=_provenance(settings),
    )


def default_folder(model: str, dataset: str) -> Path:
    """Where the command line puts a result: ``results/rsa-MODEL-DATASET``."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in f"rsa-{model}-{dataset}")
    return Path("results") / safe


def writable_folder(path: str | Path) -> Path:
    """Make a folder and see that it can be written.

    Raises
    ------
    ProbeError
        If it cannot.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ProbeError(
            f"result folder {str(folder)!r} cannot be written ({error.strerror}); "
            "choose another with --output"
        ) from None
    return folder


def remove_if_empty(folder: Path) -> None:
    """Leave no empty result folder behind when a comparison failed."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _network(
    model: str | Network | nn.Module,
    weights: str,
    seed: int,
    preprocessing: str,
    progress: bool | None,
) -> Network:
    if isinstance(model, Network):
        return model
    if isinstance(model, str):
        return models.load(
            model, weights, seed=seed, preprocessing=preprocessing, progress=progress
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
    keep: bool = True,
) -> np.ndarray:
    """RDMs of some layers, shape (n_layers, n_pairs), from the cache where it has them.

    RDMs are small and kept; activations are large, and only those of a network that the user
    named are kept as well.
    """
    request = request_of(network, stimuli)
    root = assets.cache_dir()
    folder = root / "rdms" / key_of(request)
    n_pairs = len(stimuli) * (len(stimuli) - 1) // 2
    files = {layer: folder / f"{layer.replace(':', '@')}.{metric}.npy" for layer in layers}
    found = {layer: _read_rdm(path, n_pairs) for layer, path in files.items()}
    todo = [layer for layer in layers if found[layer] is None]
    if todo:
        was_there = (root / "activations" / key_of(request)).exists()
        store = activations.extract(
            network, stimuli, todo, batch_size=batch_size, device=device, progress=progress
        )
        for layer in track(todo, desc="RDMs", unit="layer", progress=progress):
            try:
                found[layer] = rdm(store.array(layer), metric)
            except BadPatternError as error:
                raise ProbeError(
                    f"layer {layer!r} of {network.name}: stimulus {stimuli.ids[error.row]!r}"
                    f"{f' (and {error.count - 1} more)' if error.count > 1 else ''} {error.what}"
                ) from None
            if np.ptp(found[layer]) == 0.0:
                raise ProbeError(
                    f"layer {layer!r} of {network.name}: all stimuli are equally far apart, "
                    "the RDM is constant"
                )
            content = io.BytesIO()
            np.save(content, found[layer])
            folder.mkdir(parents=True, exist_ok=True)
            _write_atomically(files[layer], content.getvalue())
        if not keep and not was_there:
            store.delete()
    return np.stack([r for r in found.values() if r is not None])


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
    if repetitions is None or repetitions[0] < 2:
        why = "RDM only" if repetitions is None else "no repetitions"
        return Ceiling(np.nan, np.nan, f"one subject, {why}")
    half = recordings.split_half(recording, metric, comparator, seed=seed)
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
    n = round((1 + np.sqrt(1 + 8 * data.shape[1])) / 2)
    if len(names) < 2 or n // 2 < MIN_STIMULI:
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
        "share_of_lower": scored.mean / ceiling.lower,
        "share_of_upper": scored.mean / ceiling.upper,
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
    packages = ("cnn-probe", "torch", "torchvision", "numpy", "scipy", "pandas", "pillow", "xarray")
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "versions": {name: metadata.version(name) for name in packages}
        | {"python": platform.python_version()},
        "platform": platform.platform(),
    }


def _write_atomically(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is pd.NA or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _number(value: float) -> str:
    return "" if not np.isfinite(value) else f"{value:.3f}".replace("0.", ".", 1)


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else _number(value)
