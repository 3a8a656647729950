"""The options of kernels, activation maps and patches, each written once.

Imports neither NumPy nor torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from probe.models import settings as of_network
from probe.settings import Settings, option

Sort = Literal["orientation", "energy", "index"]
SORTS: tuple[Sort, ...] = get_args(Sort)

Scale = Literal["shared", "own"]
SCALES: tuple[Scale, ...] = get_args(Scale)

Method = Literal["guided", "deconvnet"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class FilterSettings(Settings):
    """What is shown of a layer: the options of the functions of `probe.features`."""

    layer: str | None = option(
        None,
        "A layer's path or alias (features.8, conv4); probe layers MODEL lists them.",
        unset="the first",
    )
    channels: str | Sequence[int] | None = option(
        None,
        "Channels to show, separated by commas: 12,84 or 0-31.",
        unset="those with the largest activation",
    )
    k: int | None = option(None, "Patches for each channel.", at_least=1, unset="9")
    project: str | None = option(
        None,
        "Below each patch, show which part of it drives the unit: guided (backpropagation) or "
        "deconvnet.",
        choices=METHODS,
    )
    sort: str | None = option(
        None,
        "Order of kernels: orientation (coloured ones apart), energy, index.",
        choices=SORTS,
        unset="orientation",
    )
    scale: str | None = option(
        None,
        "Scale of activation maps: shared (one for all) or own (one for each).",
        choices=SCALES,
        unset="shared",
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    seed: int = option(0, "Seed of random weights.", at_least=0)
    batch_size: int | None = option(
        None, of_network.BATCH_SIZE, at_least=1, unset=of_network.BATCH_SIZE_UNSET
    )
    device: str = option("auto", of_network.DEVICE)
