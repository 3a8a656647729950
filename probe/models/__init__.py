"""Which network: its name, its weights, what its pictures go through, what its layers are called.

Importing this package, or `probe.models.registry`, does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.models.layer_table import (
        LayerInfo,
        Measures,
        default_layers,
        describe,
        layers,
        measures,
        outputs,
        resolve,
        trace,
    )
    from probe.models.network import (
        Network,
        WeightsInfo,
        as_network,
        check_model,
        check_models,
        load,
    )
    from probe.models.preprocessing import Preprocessing
    from probe.models.receptive_fields import ReceptiveField
    from probe.models.registry import names
    from probe.models.weights import known_assets

__all__ = [
    "LayerInfo",
    "Measures",
    "Network",
    "Preprocessing",
    "ReceptiveField",
    "WeightsInfo",
    "as_network",
    "check_model",
    "check_models",
    "default_layers",
    "describe",
    "known_assets",
    "layers",
    "load",
    "measures",
    "names",
    "outputs",
    "resolve",
    "trace",
]

_HOME = {
    "LayerInfo": "layer_table",
    "Measures": "layer_table",
    "Network": "network",
    "Preprocessing": "preprocessing",
    "ReceptiveField": "receptive_fields",
    "WeightsInfo": "network",
    "as_network": "network",
    "check_model": "network",
    "check_models": "network",
    "default_layers": "layer_table",
    "describe": "layer_table",
    "known_assets": "weights",
    "load": "network",
    "measures": "layer_table",
    "names": "registry",
    "outputs": "layer_table",
    "layers": "layer_table",
    "resolve": "layer_table",
    "trace": "layer_table",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"probe.models.{_HOME[name]}"), name)
    raise AttributeError(f"module 'probe.models' has no attribute {name!r}")
