"""RDMs and the comparators between them, and other alignments. Arrays in, arrays out.

Importing this package does not import SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.similarity.alignment import (
        ALIGNMENTS,
        Representation,
        cka,
        procrustes,
        pwcca,
        soft_matching,
        svcca,
    )
    from probe.similarity.comparators import (
        COMPARATORS,
        Comparator,
        compare,
        get_comparator,
        whitened,
    )
    from probe.similarity.crossvalidated import crossvalidated_rdm
    from probe.similarity.noise import noise_covariance, noise_precision, residuals_from_repeats
    from probe.similarity.partition import partial, variance_partition
    from probe.similarity.rdm_set import RDMs, match
    from probe.similarity.rdms import METRICS, n_conditions, rdm

__all__ = [
    "ALIGNMENTS",
    "COMPARATORS",
    "METRICS",
    "Comparator",
    "RDMs",
    "Representation",
    "cka",
    "compare",
    "crossvalidated_rdm",
    "get_comparator",
    "match",
    "n_conditions",
    "noise_covariance",
    "noise_precision",
    "partial",
    "procrustes",
    "pwcca",
    "rdm",
    "residuals_from_repeats",
    "soft_matching",
    "svcca",
    "variance_partition",
    "whitened",
]

_MODULES = {
    "ALIGNMENTS": "alignment",
    "COMPARATORS": "comparators",
    "Comparator": "comparators",
    "METRICS": "rdms",
    "RDMs": "rdm_set",
    "Representation": "alignment",
    "cka": "alignment",
    "compare": "comparators",
    "crossvalidated_rdm": "crossvalidated",
    "get_comparator": "comparators",
    "match": "rdm_set",
    "n_conditions": "rdms",
    "noise_covariance": "noise",
    "noise_precision": "noise",
    "partial": "partition",
    "procrustes": "alignment",
    "pwcca": "alignment",
    "rdm": "rdms",
    "residuals_from_repeats": "noise",
    "soft_matching": "alignment",
    "svcca": "alignment",
    "variance_partition": "partition",
    "whitened": "comparators",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.similarity.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.similarity' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
