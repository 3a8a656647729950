"""The options of an extraction of activations, each once: for Python and the command line."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.models.settings import (
    BATCH_SIZE,
    BATCH_SIZE_UNSET,
    DEVICE,
    LAYERS,
    PREPROCESSING,
    WEIGHTS,
)
from probe.settings import Settings, option

STORED = ("float32", "float16", "bfloat16")
"""What activations can be stored as; see `probe.activations.shards.DTYPES`."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""What a network can compute in; see `probe.activations.engine.AUTOCAST`."""

NO_AUTOCAST = "none"
"""What ``autocast`` was where a network computed in float32. Stores are called so still."""


@dataclass(frozen=True)
class ExtractSettings(Settings):
    """How activations are extracted: the options of `probe.extract`, which explains them."""

    layers: Any = option(
        "default",
        LAYERS,
    )
    reduce: Any = option(
        "none",
        "How to reduce a layer: none (all of it), mean or max over positions, srp:4096 (sparse "
        "random projection; srp:auto chooses how many), units:1000 (1,000 units at random), "
        "pca:100@500 (100 components, fitted to 500 of the stimuli).",
    )
    dtype: str = option(
        "float32", "Number format of the stored values: float32, float16, bfloat16.", choices=STORED
    )
    precision: str = option(
        "float32",
        "Number format in which the network computes: float32; or bfloat16 or float16, which are "
        "faster on a GPU.",
        choices=PRECISIONS,
    )
    weights: str = option(
        "imagenet",
        WEIGHTS,
    )
    preprocessing: Any = option(
        "resize",
        PREPROCESSING,
    )
    seed: int = option(0, "Seed of random weights, projections and choices.", at_least=0)
    batch_size: int | None = option(
        None,
        BATCH_SIZE,
        at_least=1,
        unset=BATCH_SIZE_UNSET,
    )
    device: str = option("auto", DEVICE)
    skip_bad: bool = option(False, "Skip pictures that cannot be read.")
    root: str | Path | None = option(
        None,
        "Folder of the pictures in a table, if the table has their paths on another machine.",
    )
    folder: str | Path | None = option(None, "Folder for the activations.", unset="the cache")
    force: bool = option(False, "Start even if the disk seems too small.")


def precision_of(autocast: str, *, stacklevel: int = 3) -> str:
    """Return the precision that an ``autocast`` of earlier versions stands for, and warn."""
    precision = "float32" if autocast == NO_AUTOCAST else autocast
    warnings.warn(
        f"autocast={autocast!r} is called precision={precision!r} now",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
    return precision
