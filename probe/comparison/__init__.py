"""How like a visual area each layer of a network is: flow 1 from start to end, and its results.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.comparison.compare_rdms import compare
    from probe.comparison.derivatives import save_derivatives
    from probe.comparison.pipeline import N_SPLITS, UNTRAINED_SEEDS, rsa
    from probe.comparison.result import Ceiling, Choice, RSAResult
    from probe.comparison.result_compare import Comparison
    from probe.comparison.result_map import Failure, RSAMap
    from probe.comparison.result_over_time import RSAOverTime
    from probe.comparison.result_reliability import Reliability, reliability
    from probe.comparison.result_searchlight import SearchlightResult

__all__ = [
    "N_SPLITS",
    "UNTRAINED_SEEDS",
    "Ceiling",
    "Choice",
    "Comparison",
    "Failure",
    "RSAMap",
    "RSAOverTime",
    "RSAResult",
    "Reliability",
    "SearchlightResult",
    "compare",
    "reliability",
    "rsa",
    "save_derivatives",
]

_MODULES = {
    "Ceiling": "result",
    "Choice": "result",
    "Comparison": "result_compare",
    "Failure": "result_map",
    "N_SPLITS": "pipeline",
    "RSAMap": "result_map",
    "RSAOverTime": "result_over_time",
    "RSAResult": "result",
    "Reliability": "result_reliability",
    "SearchlightResult": "result_searchlight",
    "UNTRAINED_SEEDS": "pipeline",
    "compare": "compare_rdms",
    "reliability": "result_reliability",
    "rsa": "pipeline",
    "save_derivatives": "derivatives",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.comparison.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.comparison' has no attribute {name!r}")
