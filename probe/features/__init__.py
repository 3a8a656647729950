"""What the units of a network look for: kernels, activation maps, the patches that drive them.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.features.first_layer import Kernels, kernels
    from probe.features.maps import ActivationMaps, activation_maps
    from probe.features.patches import TopPatches, top_patches
    from probe.features.projected import Projections, projections

__all__ = [
    "ActivationMaps",
    "Kernels",
    "Projections",
    "TopPatches",
    "activation_maps",
    "kernels",
    "projections",
    "top_patches",
]

_MODULES = {
    "ActivationMaps": "maps",
    "Kernels": "first_layer",
    "Projections": "projected",
    "TopPatches": "patches",
    "activation_maps": "maps",
    "kernels": "first_layer",
    "projections": "projected",
    "top_patches": "patches",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.features.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.features' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
