"""The options of `probe.transfer`, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from probe.errors import ProbeError
from probe.models import settings as of_network
from probe.recordings import settings as of_recording
from probe.settings import Settings, option

SHOTS = (1, 2, 5, 10, 20, 50, 100)
"""Training pictures per class, of the few-shot curve."""


@dataclass(frozen=True)
class TransferSettings(Settings):
    """How layers are put to another classification: the options of `probe.transfer`."""

    classes: str | None = option(
        None,
        "Column of a table of pictures, or coordinate of a recording's stimuli, that names the "
        "class.",
        unset="the folder of each picture",
    )
    layers: str | Sequence[str] = option("default", of_network.LAYERS)
    reduce: Any = option(
        "srp:4096",
        "How to reduce a layer: srp:4096 (sparse random projection), mean or max over positions, "
        "units:1000, none (all of it).",
    )
    folds: int = option(
        5, "Number of parts of the pictures, each of which is held out once.", at_least=2
    )
    repeats: int = option(5, "Number of times the pictures are divided anew.", at_least=1)
    neighbours: int = option(5, "Number of nearest neighbours.", at_least=1)
    shots: str | Sequence[int] = option(
        ",".join(map(str, SHOTS)),
        "Training pictures per class of the few-shot curve, separated by commas, as far as there "
        "are as many; none for no curve.",
    )
    baselines: str = option(
        "default",
        "What the layers stand beside: default (pixels, HOG, the untrained network), classic (also "
        "colour histogram, visual words, GIST, V1 cells, HMAX, …), none.",
        choices=of_network.BASELINES,
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    n_resamples: int = option(
        1000, "Number of bootstrap samples of the pictures, for differences.", at_least=2
    )
    seed: int = option(
        0, "Seed of folds, draws, resamples, projections, and random weights.", at_least=0
    )
    device: str = option("auto", of_network.DEVICE)
    batch_size: int | None = option(
        None, of_network.BATCH_SIZE, at_least=1, unset=of_network.BATCH_SIZE_UNSET
    )
    skip_bad: bool = option(False, "Skip pictures that cannot be read.")
    root: str | Path | None = option(
        None,
        "Folder of the pictures in a table, if the table has their paths on another machine.",
    )
    accept_licence: bool = option(False, of_recording.ACCEPT_LICENCE)
    progress: bool | None = option(None, "Show progress bars.")

    def checked(self) -> Self:
        """Return the settings, every value of which is allowed; ``shots`` as numbers, ascending.

        Raises
        ------
        ProbeError
        """
        settings = replace(self, baselines=of_network.read_baselines(self.baselines))
        settings = super(TransferSettings, settings).checked()
        return replace(
            settings, shots=read_shots(settings.shots), seed=operator.index(settings.seed)
        )


def read_shots(shots: str | Sequence[int]) -> tuple[int, ...]:
    """Return numbers of training pictures per class, ascending.

    Raises
    ------
    ProbeError
        If one is no whole number, 1 or more.
    """
    words = [word.strip() for word in shots.split(",")] if isinstance(shots, str) else list(shots)
    if words in (["none"], [""]):
        return ()
    try:
        numbers = sorted({int(word) if isinstance(word, str) else operator.index(word)
                          for word in words})  # fmt: skip
    except (TypeError, ValueError):
        numbers = [0]
    if any(number < 1 for number in numbers):
        raise ProbeError(
            f"shots {shots!r}: expected whole numbers ≥ 1, such as '1,5,20', or 'none'"
        )
    return tuple(numbers)
