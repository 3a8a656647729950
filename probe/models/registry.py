"""Names of networks. This file needs no torch: it reads torchvision's source instead."""

from __future__ import annotations

import functools
import importlib.util
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from probe.errors import ProbeError, suggest
from probe.models.known import (
    CLASSIC,
    COMPACT_SESSIONS,
    FEATURES,
    TORCHVISION,
    UNLEARNED,
    VERSION,
)

if TYPE_CHECKING:
    from probe.assets.manifest import ManifestFile

OWN = ("efficientnet_lite0", *CLASSIC)
"""Architectures that torchvision lacks and `probe` builds itself."""

PACKAGED = {
    "alexnet": "convolutions also from a Python package",
    "efficientnet_lite0": "weights from a Python package",
    "mobilenet_v2": "convolutions also from a Python package",
    "squeezenet1_1": "weights also from a Python package",
    "vgg16": "convolutions also from a Python package",
}
"""Networks whose weights, or a part of them, a package index is enough for: see `packaged`."""

GABOR = "v1-gabor"
"""V1's cells; `GABOR` and a colon come before the degrees that a picture spans."""

GABOR_DEGREES = (1.0, 8.0, 40.0)
"""Of visual field that a picture of it may span: the least, by default, the most."""

COMPACT = "v4-compact:"
"""Before a session, or SESSION-NEURON: V4 neurons as networks, see `compact`."""

COMPACT_SOURCE = "Cowley et al. 2026, doi:10.1038/s41586-026-10150-1, GPL-3.0"
"""Whom to cite for them, and on what terms they may be used."""


_CATEGORIES = "_IMAGENET_CATEGORIES"


@dataclass(frozen=True)
class ModelName:
    """What a user's model name stands for.

    Attributes
    ----------
    text : str
        As the user wrote it.
    architecture : str
        A torchvision builder, one of `OWN`, ``timm:NAME``, ``v4-compact:NEURONS``, or
        ``v1-gabor:DEGREES``.
    path : pathlib.Path or None
        The checkpoint of a ``file:`` name.
    """

    text: str
    architecture: str
    path: Path | None = None


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of networks and of features (besides ``timm:`` and ``file:``)."""
    return tuple(sorted((*torchvision_names(), *OWN, *FEATURES)))


def parse(text: str) -> ModelName:
    """Understand a model name.

    Parameters
    ----------
    text : str
        ``alexnet`` and the like, ``timm:NAME``, ``file:PATH`` or ``file:ARCHITECTURE@PATH``;
        ``v4-compact:SESSION`` or ``v4-compact:SESSION-NEURON``; ``v1-gabor:DEGREES``.

    Raises
    ------
    ProbeError
        If there is no such network; the message gives the nearest names.
    """
    if text.startswith("file:"):
        return _parse_file(text)
    if text.startswith(COMPACT):
        neurons(text)
    elif text.startswith(GABOR + ":"):
        degrees(text)
    elif not text.startswith("timm:") and text not in names():
        known_names = [*names(), *(COMPACT + session for session in compact_sessions())]
        raise ProbeError(f"unknown model {text!r}{suggest(text, known_names)} (see `probe models`)")
    return ModelName(text, text)


def degrees(architecture: str) -> float:
    """Return how many degrees of visual field a picture spans: ``v1-gabor:6`` or ``v1-gabor``.

    Raises
    ------
    ProbeError
        If it is no number, or one for which the cells cannot be built.
    """
    least, default, most = GABOR_DEGREES
    _, colon, text = architecture.partition(":")
    try:
        value = float(text) if colon else default
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ProbeError(
            f"model {architecture!r}: expected the degrees of visual field that a picture spans, "
            f"from {least:g} to {most:g}, such as {GABOR}:6"
        )
    return value


def is_made_here(architecture: str) -> bool:
    """Return whether what a network has learned is made by a recipe, and downloaded by nobody."""
    name = architecture.partition(":")[0]
    return name in CLASSIC or name in FEATURES


def is_learned(architecture: str) -> bool:
    """Return whether anything in a network is learned, so that it can be untrained."""
    return architecture.partition(":")[0] not in UNLEARNED


def compact_sessions() -> dict[str, int]:
    """Return how many V4 neurons were published as networks, by session."""
    return dict(COMPACT_SESSIONS)


def compact_megabytes() -> dict[str, float]:
    """Return how large the files of a session's V4 neurons are together."""
    sizes: Counter[str] = Counter()
    for file in _compact_files():
        sizes[file.name.split("_")[2]] += file.size or 0
    return {session: size / 1e6 for session, size in sizes.items()}


def _compact_files() -> tuple[ManifestFile, ...]:
    from probe.assets.manifest import manifests  # only here: it takes a while to import

    return manifests()["cowley2023-compact"].files


def neurons(architecture: str) -> tuple[str, ...]:
    """Return the V4 neurons that the outputs of a network are: ``201025-0`` and so on.

    Parameters
    ----------
    architecture : str
        ``v4-compact:SESSION`` (all its neurons) or ``v4-compact:SESSION-NEURON``; neurons are
        numbered from 0, as in the published files. Of any other network, none are.

    Raises
    ------
    ProbeError
        If there is no such session or neuron.
    """
    if not architecture.startswith(COMPACT):
        return ()
    session, dash, neuron = architecture.removeprefix(COMPACT).partition("-")
    sessions = compact_sessions()
    if session not in sessions:
        raise ProbeError(
            f"model {architecture!r}: no session {session!r} was published as networks"
            f"{suggest(session, sessions)}"
        )
    labels = tuple(f"{session}-{k}" for k in range(sessions[session]))
    if dash and f"{session}-{neuron}" not in labels:
        raise ProbeError(
            f"model {architecture!r}: session {session} has the neurons 0 to "
            f"{sessions[session] - 1}, numbered as in the published files"
        )
    return (f"{session}-{neuron}",) if dash else labels


@functools.cache
def compact_names() -> tuple[str, ...]:
    """Return the names of the networks that are V4 neurons: each session, then its neurons."""
    return tuple(
        COMPACT + name
        for session in compact_sessions()
        for name in (session, *neurons(COMPACT + session))
    )


def _parse_file(text: str) -> ModelName:
    rest = text.removeprefix("file:")
    architecture, at, file = rest.partition("@")
    if at and (architecture in names() or architecture.startswith("timm:")):
        return ModelName(text, architecture, Path(file).expanduser())
    path = Path(rest).expanduser()
    if not path.is_file() and at and not re.search(r"[/\\.]", architecture):
        raise ProbeError(f"unknown architecture {architecture!r}{suggest(architecture, names())}")
    # As torchvision names its files: alexnet-owt-7be5be79.pth, vgg16_bn-6c64b313.pth.
    fits = [n for n in names() if re.match(re.escape(n) + r"(?![a-z0-9])", path.name)]
    if not fits:
        raise ProbeError(
            f"the architecture of {rest!r} cannot be told from its file name; "
            f"write file:ARCHITECTURE@{rest}, such as file:alexnet@{rest}"
        )
    return ModelName(text, max(fits, key=len), path)


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """Return the names of torchvision's networks, in the order of its source."""
    version = Path(_torchvision(), "version.py").read_text(encoding="utf-8")
    is_listed = f"__version__ = '{VERSION}." in version
    return TORCHVISION if is_listed else read_torchvision_names()


def _torchvision() -> str:
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None  # a dependency
    assert spec.submodule_search_locations is not None
    return spec.submodule_search_locations[0]


@functools.cache
def class_names() -> tuple[str, ...]:
    """Read the names of the 1,000 classes of ImageNet, in their order, from torchvision's source.

    `probe.targets.class_labels` has those of a network; this needs no torch.
    """
    import ast

    source = Path(_torchvision(), "models", "_meta.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == _CATEGORIES:
            return tuple(ast.literal_eval(node.value))
    return ()


def read_torchvision_names() -> tuple[str, ...]:
    """Read the names of torchvision's networks from its source."""
    import ast

    names = []
    for file in sorted(Path(_torchvision(), "models").glob("*.py")):
        source = file.read_text(encoding="utf-8")
        if "register_model" not in source:
            continue
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and (
                        getattr(decorator.func, "id", None) == "register_model"
                    ):
                        arguments = [*decorator.args, *(k.value for k in decorator.keywords)]
                        names.append(ast.literal_eval(arguments[0]) if arguments else node.name)
    return tuple(names)
