"""The options of `probe.tuning.invariance`, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probe.models import settings as of_network
from probe.settings import Settings, option

TRANSFORMS = ("translation", "scale", "rotation")

POSITIONS = ("middle", "all")
"""Which units of a map are measured: see `probe.tuning.units.layer_units`."""


@dataclass(frozen=True)
class InvarianceSettings(Settings):
    """How the responses of layers to moved pictures are measured."""

    layers: str | Sequence[str] = option(
        "default",
        "Layers, as for probe rsa; default: convolutions, pools, linear layers and blocks.",
    )
    transforms: str | Sequence[Any] = option(
        ",".join(TRANSFORMS),
        "Transforms, separated by commas: translation, scale, rotation.",
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    seed: int = option(0, "Seed of random weights.", at_least=0)
    batch_size: int = option(8, "Largest number of pictures in a forward pass.", at_least=1)
    device: str = option("auto", of_network.DEVICE)
    progress: bool | None = option(None, "Show a progress bar.")
