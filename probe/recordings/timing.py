"""Windows and steps of time, as users write them, and recordings in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from probe.errors import ProbeError
from probe.recordings.importing import options
from probe.recordings.recording import Recording
from probe.recordings.times import steps_of

Time = tuple[float, float] | str | None
"""From when to when, in ms, or a text such as ``70,170ms``."""

Step = float | str | None
"""A length in ms, or a text such as ``10ms``."""


def read_time(time: Time) -> tuple[float, float] | None:
    """Return a window in ms.

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


def read_step(step: Step) -> float | None:
    """Return a length in ms.

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


def check_steps(time: Time, step: Step) -> tuple[tuple[float, float] | None, float | None]:
    """Return a window and a step that fills it, before anything is computed.

    Raises
    ------
    ProbeError
        If they are none, or there is a step and no window.
    """
    window, length = read_time(time), read_step(step)
    if length is not None:
        if window is None:
            raise ProbeError("a step without a time: name the window it divides (--time 0,300ms)")
        try:
            steps_of(*window, length)
        except ValueError as error:
            raise ProbeError(str(error)) from None
    return window, length


def in_time(recordings: Sequence[Recording], time: Time, step: Step) -> list[Recording]:
    """Return recordings in a window, or in steps of it.

    Raises
    ------
    ProbeError
        If a recording has no time axis, its times do not make up the window, or it has one and no
        window is named.
    """
    window, length = check_steps(time, step)
    if window is None:
        for recording in recordings:
            recording.refuse_time()
        return list(recordings)
    if length is None:
        return [recording.window(*window) for recording in recordings]
    return [recording.in_steps(*window, length) for recording in recordings]
