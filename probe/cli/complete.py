"""Names for tab completion. Nothing here may be slow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from probe.attribution.settings import METHODS as SALIENCY_METHODS
from probe.comparison.settings import CORRECTIONS
from probe.errors import ProbeError
from probe.models.known import LAYER_WORDS
from probe.models.settings import KINDS as PREPROCESSING
from probe.tuning.settings import STIMULI, TRANSFORMS

# Options of a settings class complete its choices (see probe.cli.options.of). The others:

# As in probe.activations, which imports torch.
REDUCERS = (
    "none", "mean", "max", "srp:4096", "srp:auto", "srp:eps=0.2", "units:1000", "pca:100",
    "pca:100@500",
)  # fmt: skip

# As in probe.plots, which imports matplotlib.
SALIENCY_STYLES = ("overlay", "side", "map", "contours")

# As in probe.recordings.importing.options.
AXES = ("stimulus", "presentation", "repetition", "neuroid", "time")
TIME_UNITS = ("s", "ms")
PICTURE_AXES = ("y,x", "x,y")

CLUSTERS = ("local:2", "local:4", "tcp://", "slurm", "slurm:10")


Completer = Callable[[str], list[str]]


def one_of(words: Iterable[str]) -> Completer:
    """Return a function that completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def some_of(words: Iterable[str]) -> Completer:
    """Return a function that completes the last of several words, separated by commas."""

    def complete(incomplete: str) -> list[str]:
        return _last(incomplete, words)

    return complete


corrections = one_of(CORRECTIONS)
layer_words = one_of(LAYER_WORDS)
preprocessing = one_of(PREPROCESSING)
reducers = one_of(REDUCERS)
clusters = one_of(CLUSTERS)
saliency_methods = some_of(("all", *SALIENCY_METHODS))
saliency_styles = one_of(SALIENCY_STYLES)
axes = some_of(AXES)
time_units = one_of(TIME_UNITS)
picture_axes = one_of(PICTURE_AXES)
transforms = some_of(TRANSFORMS)
stimuli = some_of(STIMULI)


def models(incomplete: str) -> list[str]:
    """Complete a model name."""
    return [name for name in _model_names(incomplete) if name.startswith(incomplete)]


def several_models(incomplete: str) -> list[str]:
    """Complete the last of several model names."""
    return _last(incomplete, _model_names(incomplete.rpartition(",")[2]))


def _model_names(incomplete: str) -> list[str]:
    """List the networks; of V4 neurons, the sessions, and of a session that is named, all."""
    from probe.models.registry import COMPACT, compact_names, compact_sessions, names

    sessions = [COMPACT + session for session in compact_sessions()]
    if incomplete.startswith(tuple(sessions)):
        return list(compact_names())
    return [*names(), *sessions]


def datasets(incomplete: str) -> list[str]:
    """Complete the last of several names or aliases of recordings."""
    from probe import recordings

    try:
        entries = recordings.available()
    except ProbeError:  # a manifest of the user's cannot be read: commands say why
        return []
    words = [name for entry in entries for name in (entry.name, *entry.aliases)]
    words += [f"{entry.name}/{session}" for entry in entries for session in entry.sessions]
    return _last(incomplete, words)


def manifests(incomplete: str) -> list[str]:
    """Complete the name or alias of a dataset with files."""
    from probe.assets.manifest import manifests

    try:
        entries = manifests().values()
    except ProbeError:
        return []
    words = [word for m in entries for word in (m.name, *m.aliases)]
    words += [f"{m.name}/{session}" for m in entries for session in m.sessions]
    return [word for word in words if word.startswith(incomplete)]


def images(incomplete: str) -> list[str]:
    """Complete the name of a recording whose stimuli are meant, or of what has pictures.

    Where no recording is meant, the shell's own completion of file names is the better one: it
    takes over when there is nothing here.
    """
    named = [name for name in datasets(incomplete) if "," not in name]
    return named + _paths(incomplete) if named else []


def weights(incomplete: str) -> list[str]:
    """Complete which weights, or the file that they are in."""
    named = [word for word in ("imagenet", "random") if word.startswith(incomplete)]
    return named + _paths(incomplete) if named else []


def regions(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of several regions, of the recordings that were named, or of any."""
    from probe import recordings

    names = str(context.params.get("dataset") or "").split(",")
    heads = {recordings.head_of(name.strip()) for name in names}
    try:
        entries = recordings.available()
    except ProbeError:
        return []
    named = [entry for entry in entries if heads & {entry.name, *entry.aliases}]
    words = [region for entry in named or entries for region in entry.regions]
    return _last(incomplete, dict.fromkeys(["all", *words]))


def stores(incomplete: str) -> list[str]:
    """Complete the key of activations in the cache."""
    from probe import assets

    keys = (p.name for p in (assets.cache_dir() / "activations").glob("[0-9a-f]*") if p.is_dir())
    return sorted(key for key in keys if key.startswith(incomplete))


def targets(incomplete: str) -> list[str]:
    """Complete the sites that were fitted: their recordings' names."""
    import json

    from probe import assets

    names = []
    for path in (assets.cache_dir() / "encodings").glob("*/encoding.json"):
        try:
            names.append(str(json.loads(path.read_text(encoding="utf-8"))["dataset"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    words = [f"site:{name}:{k}" for name in dict.fromkeys(names) for k in ("all", *range(10))]
    return [word for word in words if word.startswith(incomplete)]


def _last(incomplete: str, words: Iterable[str]) -> list[str]:
    """Complete the last word of a list with commas, which keeps those before it."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    return [
        f"{before}{comma}{word}" for word in words if word.startswith(last) and word not in named
    ]


def _paths(incomplete: str) -> list[str]:
    """Return files and folders whose names begin so; hidden ones only where a dot says so."""
    folder, name = Path(incomplete).parent, Path(incomplete).name
    if not incomplete or incomplete.endswith(("/", "\\")):
        folder, name = Path(incomplete), ""
    try:
        paths = sorted(p for p in folder.expanduser().iterdir() if p.name.startswith(name))
    except OSError:
        return []
    return [
        f"{incomplete[: len(incomplete) - len(name)]}{path.name}{'/' if path.is_dir() else ''}"
        for path in paths
        if name or not path.name.startswith(".")
    ]
