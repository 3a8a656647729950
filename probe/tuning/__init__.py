"""In-silico electrophysiology: how the responses of units change with what is shown to them.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.tuning.equivariance import Invariance, Transform, invariance
    from probe.tuning.experiment import Tuning, tuning
    from probe.tuning.reverse_correlation import receptive_fields

__all__ = [
    "Invariance",
    "Transform",
    "Tuning",
    "invariance",
    "receptive_fields",
    "tuning",
]

_MODULES = {
    "Invariance": "equivariance",
    "Transform": "equivariance",
    "Tuning": "experiment",
    "invariance": "equivariance",
    "receptive_fields": "reverse_correlation",
    "tuning": "experiment",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.tuning.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.tuning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
