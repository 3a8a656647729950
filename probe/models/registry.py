"""Names of networks. This file needs no torch: it reads torchvision's source instead."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from probe.errors import ProbeError, suggest

OWN = ("efficientnet_lite0",)
"""Architectures that torchvision lacks and `probe` builds itself."""

PACKAGED = {
    "alexnet": "convolutions also from a Python package",
    "efficientnet_lite0": "weights from a Python package",
    "mobilenet_v2": "convolutions also from a Python package",
    "squeezenet1_1": "weights also from a Python package",
    "vgg16": "convolutions also from a Python package",
}
"""Networks whose weights, or a part of them, a package index is enough for: see `packaged`."""

LAYER_WORDS = ("default", "all", "conv", "relu", "pool", "linear", "block")
"""What may stand for several layers at once: see `layers.resolve`."""


@dataclass(frozen=True)
class ModelName:
    """What a user's model name stands for.

    Attributes
    ----------
    text : str
        As the user wrote it.
    architecture : str
        A torchvision builder, one of `OWN`, or ``timm:NAME``.
    path : pathlib.Path or None
        The checkpoint of a ``file:`` name.
    """

    text: str
    architecture: str
    path: Path | None = None


@functools.cache
def names() -> tuple[str, ...]:
    """Give the names of the networks that are always there (besides ``timm:`` and ``file:``)."""
    return tuple(sorted((*torchvision_names(), *OWN)))


def parse(text: str) -> ModelName:
    """Understand a model name.

    Parameters
    ----------
    text : str
        ``alexnet`` and the like, ``timm:NAME``, ``file:PATH`` or ``file:ARCHITECTURE@PATH``.

    Raises
    ------
    ProbeError
        If there is no such network; the message gives the nearest names.
    """
    if text.startswith("file:"):
        return _parse_file(text)
    if not text.startswith("timm:") and text not in names():
        raise ProbeError(f"unknown model {text!r}{suggest(text, names())} (see `probe models`)")
    return ModelName(text, text)


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
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None  # a dependency
    assert spec.submodule_search_locations is not None
    found = []
    for file in sorted(Path(spec.submodule_search_locations[0], "models").glob("*.py")):
        source = file.read_text(encoding="utf-8")
        if "register_model" not in source:
            continue
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and (
                        getattr(decorator.func, "id", None) == "register_model"
                    ):
                        given = [*decorator.args, *(k.value for k in decorator.keywords)]
                        found.append(ast.literal_eval(given[0]) if given else node.name)
    return tuple(found)
