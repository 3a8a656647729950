"""How well frozen layers serve a classification that the network was not made for.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.classification.pipeline import transfer
    from probe.classification.result import Transfer

__all__ = ["Transfer", "transfer"]

_MODULES = {"Transfer": "result", "transfer": "pipeline"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.classification.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.classification' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
