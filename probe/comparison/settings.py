"""The options of comparisons, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from probe.errors import ProbeError, nearest
from probe.models.settings import (
    BASELINES,
    BATCH_SIZE,
    BATCH_SIZE_UNSET,
    DEVICE,
    LAYERS,
    PREPROCESSING,
    WEIGHTS,
    read_baselines,
)
from probe.settings import Settings, option

RESAMPLES = ("stimuli", "subjects", "both", "none")
TESTS = ("auto", "permutation", "t", "bootstrap", "sign-flip")
CORRECTIONS = ("fdr", "holm", "none")
# As in probe.similarity, which imports SciPy.
COMPARATORS = (
    "auto", "spearman", "rho-a", "pearson", "cosine", "tau-a", "tau-b", "whitened-pearson",
    "whitened-cosine", "bures",
)  # fmt: skip
METRICS = ("correlation", "euclidean", "cosine", "mahalanobis", "crossnobis", "poisson")


@dataclass(frozen=True)
class ComparatorSettings(Settings):
    """How RDMs are compared."""

    comparator: str = option(
        "auto",
        "Comparator of RDMs: spearman, rho-a, pearson, cosine, tau-a, tau-b, whitened-cosine, "
        "whitened-pearson, bures; auto is spearman, or rho-a where an RDM of a model has ties.",
        choices=COMPARATORS,
    )


@dataclass(frozen=True)
class InferenceSettings(ComparatorSettings):
    """How RDMs are compared, and what intervals and tests refer to."""

    resample: str | None = option(
        "stimuli",
        "What intervals and tests generalise to: other stimuli, other subjects, both, or none.",
        choices=RESAMPLES,
    )
    test: str = option(
        "auto",
        "The test: permutation (of stimulus labels, against zero), t, bootstrap, sign-flip (with "
        "--resample subjects); auto is permutation.",
        choices=TESTS,
    )
    n_resamples: int = option(
        1000, "Number of bootstrap samples, and of permutations, at least 2.", at_least=2
    )
    seed: int = option(0, "Seed of the resamples.", at_least=0)

    def checked(self) -> Self:
        """Return the settings, which exist and go together.

        Raises
        ------
        ProbeError
        """
        settings = super().checked()
        resample = None if settings.resample == "none" else settings.resample
        if settings.test == "sign-flip" and resample != "subjects":
            raise ProbeError("test 'sign-flip' flips the signs of subjects: resample 'subjects'")
        if settings.test in ("t", "bootstrap") and resample is None:
            raise ProbeError(f"test {settings.test!r} needs something to resample: 'stimuli', …")
        return replace(settings, resample=resample, seed=operator.index(settings.seed))


@dataclass(frozen=True)
class CompareSettings(InferenceSettings):
    """How RDMs that there are are compared: the options of `probe.compare`."""

    common: bool = option(False, "Leave out the stimuli that are not in all files.")
    metric: str | None = option(
        None, "Distance of the RDMs of a recording.", choices=METRICS, unset="that of the models"
    )


@dataclass(frozen=True)
class RDMSettings(Settings):
    """Of what, and how, the RDMs of networks and recordings are made."""

    layers: str | Sequence[str] = option(
        "default",
        LAYERS,
    )
    metric: str = option(
        "correlation",
        "Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine, mahalanobis, "
        "crossnobis, poisson.",
        choices=METRICS,
    )
    weights: str = option(
        "imagenet",
        WEIGHTS,
    )
    preprocessing: str = option(
        "resize",
        PREPROCESSING,
    )
    baselines: str = option(
        "default",
        "What else to compare: default (the pixels and three untrained networks), classic (also "
        "features and networks from before: luminance and contrast, spatial-frequency power, "
        "colour histogram, GIST, HOG, visual words, V1 cells, HMAX), none (--no-baselines).",
        choices=BASELINES,
    )
    device: str = option("auto", DEVICE)
    batch_size: int | None = option(
        None,
        BATCH_SIZE,
        at_least=1,
        unset=BATCH_SIZE_UNSET,
    )
    accept_licence: bool = option(False, "Accept a recording's restricted licence.")
    progress: bool | None = option(None, "Show progress bars.", unset="when a person is watching")
    seed: int = option(0, "Seed of random weights.", at_least=0)
    time: tuple[float, float] | str | None = option(
        None,
        "For recordings with a time axis: the time after stimulus onset to use, such as 70,170ms; "
        "the end is not included.",
    )

    def with_baselines(self) -> Self:
        """Return the settings with one of `probe.models.settings.BASELINES`."""
        return replace(self, baselines=read_baselines(self.baselines))

    def checked(self, *, remote: bool = False) -> Self:
        """Return the settings, which exist, before anything is downloaded or computed.

        The device of a ``remote`` comparison is that of a cluster's workers.

        Raises
        ------
        ProbeError
        """
        from probe.recordings.timing import read_time

        settings = super(RDMSettings, self.with_baselines()).checked()
        if not remote:
            from probe.models.devices import resolve_device

            resolve_device(settings.device)
        return replace(settings, seed=operator.index(settings.seed), time=read_time(settings.time))


@dataclass(frozen=True)
class RSASettings(RDMSettings, InferenceSettings):
    """How networks and recordings are compared: the options of `probe.rsa`."""

    seed: int = option(0, "Seed of the resamples, the splits, and random weights.", at_least=0)
    min_reliability: float | None = option(
        None,
        "Use only neuroids with at least this reliability, from 0 to 1 (see `probe reliability`): "
        "they are chosen on half of the repetitions, and scored on the others.",
        at_least=0,
        at_most=1,
        unset="all neuroids",
    )
    step: float | str | None = option(
        None, "Divide --time into steps of this length, such as 10ms, and compare at each."
    )

    def checked(self, *, remote: bool = False) -> Self:
        """Return the settings, which exist and go together; see `RDMSettings.checked`."""
        from probe.recordings.reliability import check_threshold
        from probe.recordings.timing import check_steps

        if self.min_reliability is not None:
            check_threshold(self.min_reliability)
        settings = super().checked(remote=remote)
        time, step = check_steps(settings.time, settings.step)
        if step is not None:
            _check_over_time(settings.resample, settings.test)
        return replace(settings, time=time, step=step)


@dataclass(frozen=True)
class SearchlightSettings(RDMSettings, ComparatorSettings):
    """How networks and neighbourhoods are compared: the options of `probe.searchlight`."""

    radius: float | str = option(
        6.0, "Radius of the neighbourhoods in mm; on a surface, along the mesh."
    )
    metric: str = option(
        "correlation",
        "Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine; slower, since each "
        "neighbourhood's noise is estimated: mahalanobis, crossnobis.",
        choices=METRICS,
    )
    permutations: int = option(
        1000,
        "Number of permutations of the stimuli's labels; of several subjects, of sign flips of "
        "their maps. With 0, there are no tests.",
        at_least=0,
    )
    seed: int = option(0, "Seed of the permutations, and of random weights.", at_least=0)


@dataclass(frozen=True)
class ReliabilitySettings(Settings):
    """How reliability is measured: the options of `probe.reliability`."""

    metric: str = option(
        RDMSettings.metric,
        "Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine, mahalanobis, "
        "crossnobis, poisson.",
        choices=METRICS,
    )
    seed: int = option(0, "Seed of the halves of the repetitions.", at_least=0)


def check_correction(correction: str) -> None:
    """Refuse a correction that does not exist.

    Raises
    ------
    ProbeError
    """
    if correction not in CORRECTIONS:
        raise ProbeError(
            f"correction {correction!r}: expected one of {', '.join(CORRECTIONS)}"
            f"{nearest(correction, CORRECTIONS)}"
        )


def _check_over_time(resample: str | None, test: str) -> None:
    """Refuse what is not there over time, before anything is computed."""
    if resample == "both":
        raise ProbeError(
            "resample 'both' cannot be used over time (--step): choose 'stimuli', 'subjects' or "
            "'none'"
        )
    of_clusters = "sign-flip" if resample == "subjects" else "permutation"
    if test not in ("auto", of_clusters):
        raise ProbeError(
            f"test {test!r} cannot be used over time (--step): with resample "
            f"{resample or 'none'!r}, clusters are tested by {of_clusters!r}"
        )
