"""Which parts of a picture drive a target, and how far to trust the answer.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.attribution.concept_vectors import Concepts, concepts
    from probe.attribution.explain import Saliencies, Saliency, as_saliency, saliency
    from probe.attribution.in_vivo import InVivo, deletion_in_vivo
    from probe.attribution.masses import held_out_masses, reference_masses
    from probe.attribution.method import Method
    from probe.attribution.methods import METHODS

__all__ = [
    "METHODS",
    "Concepts",
    "InVivo",
    "Method",
    "Saliencies",
    "Saliency",
    "as_saliency",
    "concepts",
    "deletion_in_vivo",
    "held_out_masses",
    "reference_masses",
    "saliency",
]

_MODULES = {
    "Concepts": "concept_vectors",
    "InVivo": "in_vivo",
    "METHODS": "methods",
    "Method": "method",
    "Saliencies": "explain",
    "Saliency": "explain",
    "as_saliency": "explain",
    "concepts": "concept_vectors",
    "deletion_in_vivo": "in_vivo",
    "held_out_masses": "masses",
    "reference_masses": "masses",
    "saliency": "explain",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.attribution.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.attribution' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
