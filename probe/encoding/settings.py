"""The options of `probe.encode`, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Literal, Self, get_args

from probe.errors import ProbeError
from probe.models import settings as of_network
from probe.recordings import settings as of_recording
from probe.settings import Settings, option

Readout = Literal["field", "flat", "full"]
Method = Literal["ridge", "banded", "pls"]
Protocol = Literal["brainscore-pls", "brainscore-ridgecv"]

READOUTS: tuple[Readout, ...] = get_args(Readout)
METHODS: tuple[Method, ...] = get_args(Method)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True)
class EncodeSettings(Settings):
    """How sites are fitted: the options of `probe.encode`, which explains them."""

    layers: str | Sequence[str] = option("default", of_network.LAYERS)
    readout: str = option(
        "field",
        "field: a Gaussian receptive field per site over the layer's positions, then a weight per "
        "channel; flat: the mean over positions; full: a weight for every unit.",
        choices=READOUTS,
    )
    method: str = option(
        "ridge",
        "ridge: each layer alone; banded: also all --layers together, each with a penalty of its "
        "own, to see what each adds; pls: partial least squares on all units.",
        choices=METHODS,
    )
    protocol: str | None = option(
        None,
        "A regression of Brain-Score's, in ten random splits: brainscore-pls, brainscore-ridgecv. "
        "Its benchmarks do more: see the documentation.",
        choices=PROTOCOLS,
    )
    n_components: int = option(25, "Largest number of components of pls.", at_least=1)
    splits: Any = option(10, "Number of parts of the stimuli, each of which is held out once.")
    groups: str | Sequence[Any] | None = option(
        None,
        "A coordinate of the recording's stimuli: stimuli with the same value, such as variants of "
        "one picture, stay together in folds and resamples, and when penalties are chosen.",
        unset="the recording's own, if it has one",
    )
    region: str | Sequence[str] | None = option(
        None, of_recording.REGION, unset=of_recording.REGION_UNSET
    )
    subject: str | None = option(None, of_recording.SUBJECT)
    min_reliability: float | None = option(
        None, of_recording.MIN_RELIABILITY,
        at_least=0, at_most=1, unset=of_recording.MIN_RELIABILITY_UNSET,
    )  # fmt: skip
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    baselines: str = option(
        "default",
        "What else to fit: default (the pixels, Gabor energy, the untrained network, and shuffled "
        "responses), classic (also features and networks from before: luminance and contrast, "
        "spatial-frequency power, colour histogram, GIST, HOG, visual words, V1 cells, HMAX), none "
        "(--no-baselines).",
        choices=of_network.BASELINES,
    )
    n_resamples: int = option(
        1000, "Number of bootstrap samples of the stimuli, for intervals and tests.", at_least=0
    )
    seed: int = option(0, "Seed of folds, permutations, resamples, and random weights.", at_least=0)
    time: tuple[float, float] | str | None = option(None, of_recording.TIME)
    step: float | str | None = option(None, of_recording.STEP)
    device: str = option("auto", of_network.DEVICE)
    batch_size: int | None = option(
        None, of_network.BATCH_SIZE, at_least=1, unset=of_network.BATCH_SIZE_UNSET
    )
    accept_licence: bool = option(False, of_recording.ACCEPT_LICENCE)
    progress: bool | None = option(None, "Show progress bars.")

    def checked(self) -> Self:
        """Return the settings, every value of which is allowed; with those of a protocol.

        Raises
        ------
        ProbeError
            With the nearest names of what exists.
        """
        settings = replace(self, baselines=of_network.read_baselines(self.baselines))
        settings = super(EncodeSettings, settings).checked()
        settings = replace(settings, seed=operator.index(self.seed))
        if isinstance(self.splits, Integral) and operator.index(self.splits) < 2:
            raise ProbeError(f"splits {self.splits}: expected 2 or more")
        if isinstance(self.splits, Iterator):  # several fits need it
            settings = replace(settings, splits=list(self.splits))
        if self.protocol is not None and self.method == "banded":
            raise ProbeError(
                f"protocol {self.protocol!r} fits one layer at a time, and method 'banded' several "
                "together: choose one of the two"
            )
        if self.protocol is not None:
            method = "pls" if self.protocol == "brainscore-pls" else "ridge"
            settings = replace(settings, method=method, readout="full", n_components=25)
        elif self.method == "pls" and self.readout == "field":
            # Components are of all units: PLS has no field.
            settings = replace(settings, readout="full")
        return settings
