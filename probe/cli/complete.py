"""Names for tab completion. Nothing here may be slow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from probe.errors import ProbeError

# As in probe.inference and probe.output, which take a while to import.
RESAMPLES = ("stimuli", "subjects", "both", "none")
TESTS = ("auto", "permutation", "t", "bootstrap", "sign-flip")
CORRECTIONS = ("fdr", "holm", "none")

# As in probe.activations, which imports torch.
REDUCERS = (
    "none", "mean", "max", "srp:4096", "srp:auto", "srp:eps=0.2", "units:1000", "pca:100",
    "pca:100@500",
)  # fmt: skip
DTYPES = ("float32", "float16", "bfloat16")
AUTOCASTS = ("none", "float16", "bfloat16")

# As in probe.attribution and probe.plots, which import torch and matplotlib.
SALIENCY_METHODS = (
    "gradient", "input-x-gradient", "smoothgrad", "vargrad", "integrated-gradients",
    "expected-gradients", "deeplift", "lrp", "guided-backprop", "deconvnet", "occlusion", "rise",
    "guided-grad-cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam",
    "ablation-cam", "attention-rollout", "attention-grad-cam",
)  # fmt: skip
SALIENCY_STYLES = ("overlay", "side", "map", "contours")

# As in probe.features.
KERNEL_SORTS = ("orientation", "energy", "index")
MAP_SCALES = ("shared", "own")
PROJECTIONS = ("guided", "deconvnet")

# As in probe.tuning.
TRANSFORMS = ("translation", "scale", "rotation")

# As in probe.synthesis.
PRECISIONS = ("auto", "float32", "bfloat16")
STYLE_COLOURS = ("style", "keep", "match")
STYLE_LOSSES = ("wasserstein", "gram")
POOLINGS = ("max", "average")

# As in probe.encoding.
READOUTS = ("field", "flat", "full")
ENCODING_METHODS = ("ridge", "banded", "pls")
PROTOCOLS = ("brainscore-pls", "brainscore-ridgecv")

# As in probe.recordings.importing.options.
AXES = ("stimulus", "presentation", "repetition", "neuroid", "time")
TIME_UNITS = ("s", "ms")
PICTURE_AXES = ("y,x", "x,y")

PREPROCESSING = ("resize", "torchvision")
CLUSTERS = ("local:2", "local:4", "tcp://", "slurm", "slurm:10")


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
        known = recordings.available()
    except ProbeError:  # a manifest of the user's cannot be read: commands say why
        return []
    words = [name for entry in known for name in (entry.name, *entry.aliases)]
    words += [f"{entry.name}/{session}" for entry in known for session in entry.sessions]
    return _last(incomplete, words)


def manifests(incomplete: str) -> list[str]:
    """Complete the name or alias of a dataset with files."""
    from probe.assets.manifest import manifests

    try:
        known = manifests()
    except ProbeError:
        return []
    words = [word for m in known.values() for word in (m.name, *m.aliases)]
    words += [f"{m.name}/{session}" for m in known.values() for session in m.sessions]
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

    given = str(context.params.get("dataset") or "").split(",")
    heads = {recordings.head_of(name.strip()) for name in given}
    try:
        known = recordings.available()
    except ProbeError:
        return []
    named = [entry for entry in known if heads & {entry.name, *entry.aliases}]
    words = [region for entry in named or known for region in entry.regions]
    return _last(incomplete, dict.fromkeys(["all", *words]))


def metrics(incomplete: str) -> list[str]:
    """Complete an RDM metric."""
    from probe.similarity.rdms import METRICS, NOISE_METRICS

    return [name for name in (*METRICS, *NOISE_METRICS) if name.startswith(incomplete)]


def comparators(incomplete: str) -> list[str]:
    """Complete a comparator."""
    from probe.similarity import COMPARATORS

    return [name for name in ("auto", *COMPARATORS) if name.startswith(incomplete)]


def layer_words(incomplete: str) -> list[str]:
    """Complete a word that stands for several layers."""
    from probe.models.registry import LAYER_WORDS

    return [word for word in LAYER_WORDS if word.startswith(incomplete)]


def preprocessing(incomplete: str) -> list[str]:
    """Complete what a picture goes through."""
    return [word for word in PREPROCESSING if word.startswith(incomplete)]


def reducers(incomplete: str) -> list[str]:
    """Complete what is kept of a layer's output."""
    return [word for word in REDUCERS if word.startswith(incomplete)]


def dtypes(incomplete: str) -> list[str]:
    """Complete how values are stored."""
    return [word for word in DTYPES if word.startswith(incomplete)]


def autocasts(incomplete: str) -> list[str]:
    """Complete how a network computes."""
    return [word for word in AUTOCASTS if word.startswith(incomplete)]


def clusters(incomplete: str) -> list[str]:
    """Complete where is computed."""
    return [word for word in CLUSTERS if word.startswith(incomplete)]


def stores(incomplete: str) -> list[str]:
    """Complete the key of activations in the cache."""
    from probe import assets

    keys = (p.name for p in (assets.cache_dir() / "activations").glob("[0-9a-f]*") if p.is_dir())
    return sorted(key for key in keys if key.startswith(incomplete))


def resamples(incomplete: str) -> list[str]:
    """Complete what is resampled."""
    return [word for word in RESAMPLES if word.startswith(incomplete)]


def tests(incomplete: str) -> list[str]:
    """Complete a test."""
    return [word for word in TESTS if word.startswith(incomplete)]


def corrections(incomplete: str) -> list[str]:
    """Complete a correction of p-values."""
    return [word for word in CORRECTIONS if word.startswith(incomplete)]


def saliency_methods(incomplete: str) -> list[str]:
    """Complete the last of several methods of saliency."""
    return _last(incomplete, ("all", *SALIENCY_METHODS))


def saliency_styles(incomplete: str) -> list[str]:
    """Complete how a map is drawn."""
    return [word for word in SALIENCY_STYLES if word.startswith(incomplete)]


def readouts(incomplete: str) -> list[str]:
    """Complete how sites are read from a layer."""
    return [word for word in READOUTS if word.startswith(incomplete)]


def encoding_methods(incomplete: str) -> list[str]:
    """Complete how sites are fitted."""
    return [word for word in ENCODING_METHODS if word.startswith(incomplete)]


def protocols(incomplete: str) -> list[str]:
    """Complete whose protocol is followed."""
    return [word for word in PROTOCOLS if word.startswith(incomplete)]


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


def axes(incomplete: str) -> list[str]:
    """Complete the last of several axes of an array."""
    return _last(incomplete, AXES)


def time_units(incomplete: str) -> list[str]:
    """Complete a unit of time."""
    return [word for word in TIME_UNITS if word.startswith(incomplete)]


def picture_axes(incomplete: str) -> list[str]:
    """Complete how pictures inside a file lie."""
    return [word for word in PICTURE_AXES if word.startswith(incomplete)]


def kernel_sorts(incomplete: str) -> list[str]:
    """Complete in which order kernels are shown."""
    return [word for word in KERNEL_SORTS if word.startswith(incomplete)]


def map_scales(incomplete: str) -> list[str]:
    """Complete on which scale activation maps are shown."""
    return [word for word in MAP_SCALES if word.startswith(incomplete)]


def projections(incomplete: str) -> list[str]:
    """Complete how activations are carried back to a picture."""
    return [word for word in PROJECTIONS if word.startswith(incomplete)]


def transforms(incomplete: str) -> list[str]:
    """Complete the last of several transforms of pictures."""
    return _last(incomplete, TRANSFORMS)


def precisions(incomplete: str) -> list[str]:
    """Complete with which digits a network computes."""
    return [word for word in PRECISIONS if word.startswith(incomplete)]


def style_colours(incomplete: str) -> list[str]:
    """Complete what becomes of colours."""
    return [word for word in STYLE_COLOURS if word.startswith(incomplete)]


def style_losses(incomplete: str) -> list[str]:
    """Complete what makes a style."""
    return [word for word in STYLE_LOSSES if word.startswith(incomplete)]


def poolings(incomplete: str) -> list[str]:
    """Complete how a network pools."""
    return [word for word in POOLINGS if word.startswith(incomplete)]


def _last(incomplete: str, words: Iterable[str]) -> list[str]:
    """Complete the last word of a list with commas, which keeps those before it."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    return [
        f"{before}{comma}{word}" for word in words if word.startswith(last) and word not in named
    ]


def _paths(incomplete: str) -> list[str]:
    """Files and folders whose names begin so; hidden ones only where a dot says so."""
    folder, name = Path(incomplete).parent, Path(incomplete).name
    if not incomplete or incomplete.endswith(("/", "\\")):
        folder, name = Path(incomplete), ""
    try:
        found = sorted(p for p in folder.expanduser().iterdir() if p.name.startswith(name))
    except OSError:
        return []
    return [
        f"{incomplete[: len(incomplete) - len(name)]}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if name or not path.name.startswith(".")
    ]
