"""What is compared with what, and how: from what a user wrote."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from probe.activations.extract import resolve_device
from probe.errors import ProbeError, suggest
from probe.inference.evaluate import RESAMPLES, TESTS
from probe.models import Network
from probe.models import several as several_networks
from probe.recordings import Recording, select_reliable
from probe.recordings import several as several_recordings
from probe.recordings.importing import options
from probe.recordings.reliability import check_threshold
from probe.recordings.times import steps_of
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
    time: tuple[float, float] | str | None = None
    step: float | str | None = None

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
        time, step = read_time(self.time), read_step(self.step)
        if step is not None:
            _check_over_time(time, step, resample, self.test)
        return replace(
            self, seed=operator.index(self.seed), resample=resample, time=time, step=step
        )


def read_time(time: tuple[float, float] | str | None) -> tuple[float, float] | None:
    """Return a window in ms, of numbers or of a text such as ``70,170ms``.

    Raises
    ------
    ProbeError
        If it is none.
    """
    if time is None:
        return None
    if isinstance(time, str):
        return options.read_window(time, "--time", "70,170ms").within("ms")
    try:
        start, end = (float(border) for border in time)
    except (TypeError, ValueError):
        start = end = math.nan
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        raise ProbeError(f"time {time!r}: expected (start, end) in ms, or '70,170ms'")
    return start, end


def read_step(step: float | str | None) -> float | None:
    """Return a length in ms, of a number or of a text such as ``10ms``.

    Raises
    ------
    ProbeError
        If it is none.
    """
    if step is None or isinstance(step, str):
        return None if step is None else options.read_step(step)
    if not (isinstance(step, int | float | np.number) and math.isfinite(step) and step > 0):
        raise ProbeError(f"step {step!r}: expected a number of ms > 0, or '10ms'")
    return float(step)


def _check_over_time(
    time: tuple[float, float] | None, step: float, resample: str | None, test: str
) -> None:
    """Refuse what is not there over time, before anything is computed."""
    if time is None:
        raise ProbeError("a step without a time: name the window that it divides (--time 0,300ms)")
    try:
        steps_of(*time, step)
    except ValueError as error:
        raise ProbeError(str(error)) from None
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


def in_time(recordings: Sequence[Recording], settings: Settings) -> list[Recording]:
    """Return the recordings in the window, or in the steps, that the settings name.

    Raises
    ------
    ProbeError
        If a recording has no time axis, or its times do not make up the window.
    """
    time, step = read_time(settings.time), read_step(settings.step)
    if time is None:
        for recording in recordings:
            recording.refuse_time()
        return list(recordings)
    if step is None:
        return [recording.window(*time) for recording in recordings]
    return [recording.in_steps(*time, step) for recording in recordings]


def load_network(model: str | Network, settings: Settings) -> Network:
    """Load a network by its name, with the weights and the preprocessing of the settings."""
    return several_networks.load_network(
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
    """Load recordings, one per dataset and region, in the times that are compared.

    Neuroids are chosen by how reliable they are in these times. See `probe.recordings.several`.
    """
    loaded = several_recordings.load_recordings(
        datasets,
        region,
        subject,
        min_reliability=settings.min_reliability,
        accept_licence=settings.accept_licence,
        progress=settings.progress,
    )
    loaded = in_time(loaded, settings)
    if settings.min_reliability is None:
        return loaded
    return [select_reliable(one, settings.min_reliability, seed=settings.seed) for one in loaded]
