"""What is compared with what, and how: from what a user wrote."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

from probe.errors import ProbeError, suggest
from probe.inference.evaluate import RESAMPLES, TESTS
from probe.models import Network, as_network
from probe.models.devices import resolve_device
from probe.recordings import Recording
from probe.recordings import several as several_recordings
from probe.recordings.reliability import check_threshold
from probe.recordings.timing import Step, Time, check_steps
from probe.similarity import COMPARATORS, METRICS
from probe.similarity.rdms import NOISE_METRICS


@dataclass(frozen=True)
class Settings:
    """How networks and recordings are compared: the options of `probe.rsa`, which explains them."""

    layers: str | Sequence[str]
    metric: str
    comparator: str
    weights: str
    preprocessing: str
    baselines: bool
    resample: str | None
    test: str
    n_resamples: int
    seed: int
    device: str
    batch_size: int | None
    accept_licence: bool
    progress: bool | None
    min_reliability: float | None = None
    time: Time = None
    step: Step = None

    def checked(self, *, remote: bool = False) -> Settings:
        """See that all this exists, before anything is downloaded or computed.

        The device of a ``remote`` comparison is that of a cluster's workers.

        Raises
        ------
        ProbeError
            With the nearest names of what does.
        """
        for what, given, known in (
            ("metric", self.metric, (*METRICS, *NOISE_METRICS)),
            ("comparator", self.comparator, ("auto", *COMPARATORS)),
            ("resample", self.resample or "none", (*RESAMPLES, "none")),
            ("test", self.test, TESTS),
        ):
            if given not in known:
                raise ProbeError(f"{what} {given!r} is unknown{suggest(given, known)}")
        for what, number, least in (("seed", self.seed, 0), ("n_resamples", self.n_resamples, 2)):
            if number < least:
                raise ProbeError(f"{what} is {number}; wanted {least} or more")
        if self.min_reliability is not None:
            check_threshold(self.min_reliability)
        if not remote:
            resolve_device(self.device)
        resample = None if self.resample == "none" else self.resample
        if self.test == "sign-flip" and resample != "subjects":
            raise ProbeError("test 'sign-flip' flips the signs of subjects: resample 'subjects'")
        if self.test in ("t", "bootstrap") and resample is None:
            raise ProbeError(f"test {self.test!r} needs something to resample: 'stimuli', …")
        time, step = check_steps(self.time, self.step)
        if step is not None:
            _check_over_time(resample, self.test)
        return replace(
            self, seed=operator.index(self.seed), resample=resample, time=time, step=step
        )


def _check_over_time(resample: str | None, test: str) -> None:
    """Refuse what is not there over time, before anything is computed."""
    if resample == "both":
        raise ProbeError(
            "resample 'both' is not there over time: choose 'stimuli', 'subjects' or 'none'"
        )
    known = "sign-flip" if resample == "subjects" else "permutation"
    if test not in ("auto", known):
        raise ProbeError(
            f"test {test!r} is not there over time: with resample {resample or 'none'!r}, clusters "
            f"are tested by {known!r}"
        )


def load_network(model: str | Network, settings: Settings) -> Network:
    """Load a network by its name, with the weights and the preprocessing of the settings."""
    return as_network(
        model,
        settings.weights,
        settings.preprocessing,
        seed=settings.seed,
        accept_licence=settings.accept_licence,
        progress=settings.progress,
    )


def load_recordings(
    datasets: Sequence[str | Recording],
    region: str | Sequence[str] | None,
    subject: str | None,
    settings: Settings,
) -> list[Recording]:
    """Load recordings, one per dataset and region: see `probe.recordings.several`."""
    return several_recordings.load_scored(
        datasets,
        region,
        subject,
        time=settings.time,
        step=settings.step,
        min_reliability=settings.min_reliability,
        seed=settings.seed,
        accept_licence=settings.accept_licence,
        progress=settings.progress,
    )
