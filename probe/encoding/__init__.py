"""Recorded sites as a head of a network: fitted, scored, and used as targets.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.encoding.fitting import encode
    from probe.encoding.map import Encodings
    from probe.encoding.opening import open_encoding
    from probe.encoding.over_time import EncodingOverTime
    from probe.encoding.result import Encoding
    from probe.encoding.sites import Head, Site

__all__ = [
    "Encoding",
    "EncodingOverTime",
    "Encodings",
    "Head",
    "Site",
    "encode",
    "open_encoding",
]

_MODULES = {
    "Encoding": "result",
    "EncodingOverTime": "over_time",
    "Encodings": "map",
    "Head": "sites",
    "Site": "sites",
    "encode": "fitting",
    "open_encoding": "opening",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.encoding.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.encoding' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
