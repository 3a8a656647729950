"""What a user says of a file where the file itself does not."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.errors import ProbeError, suggest
from probe.formats.names import as_text
from probe.recordings.settings import PICTURE_AXES, ReadSettings

AXIS_WORDS = {
    "stimulus": ("stimulus", "stimuli", "image", "images", "picture", "pictures", "condition"),
    "presentation": ("presentation", "presentations", "trial", "trials"),
    "repetition": ("repetition", "repetitions", "repeat", "repeats"),
    "neuroid": (
        "neuroid", "neuroids", "neuron", "neurons", "unit", "units", "site", "sites", "voxel",
        "voxels", "channel", "channels", "electrode", "electrodes", "cell", "cells",
    ),
    "time": ("time", "times", "time_bin", "time_bins", "bin", "bins"),
}  # fmt: skip
"""What an axis may be called."""

TIME_UNITS = {"s": 1.0, "ms": 1e-3}

_PAIR = re.compile(r"\s*([^,\s]+)\s*,\s*([^,\s]+?)\s*(ms|s)?\s*")


@dataclass(frozen=True)
class Span:
    """Two times, or a beginning and a width, in one unit."""

    first: float
    second: float
    unit: str

    def __str__(self) -> str:
        return f"{self.first:g} to {self.second:g} {self.unit}"

    def within(self, unit: str) -> tuple[float, float]:
        """Return both times in another unit."""
        if unit == self.unit:
            return self.first, self.second
        if unit == "s":  # divided, since 1e-3 is no binary number
            return self.first / 1000, self.second / 1000
        return self.first * 1000, self.second * 1000


@dataclass(frozen=True)
class Options:
    """Options of `probe.recordings.read_recording`, checked and parsed."""

    stimuli: str | None
    picture_axes: str | None
    variable: str | None
    axes: tuple[str, ...] | None
    labels: str | None
    presentations: str | None
    window: Span | None
    step: float | None  # in ms
    bins: Span | None
    time_unit: str | None
    neuroids: Path | None
    blanks: tuple[str, ...]
    region: str | None
    subject: str | None
    sort_times: bool
    masks: tuple[Path, ...]
    key: Path | None
    events: tuple[Path, ...]
    average: str | None

    @classmethod
    def of(cls, settings: ReadSettings) -> Options:
        """Check and parse what a user wrote.

        Raises
        ------
        ProbeError
            If a window, a step, an axis, … is not written as one.
        """
        # A stimulus set has a name, and so has a path, of which it is the last part.
        stimuli = settings.stimuli
        folder = stimuli if isinstance(stimuli, str | Path | None) else stimuli.name
        blanks = settings.blanks
        return cls(
            stimuli=_text(folder),
            picture_axes=check_picture_axes(settings.picture_axes),
            variable=settings.variable,
            axes=None if settings.axes is None else read_axes(settings.axes),
            labels=_text(settings.labels),
            presentations=_text(settings.presentations),
            window=None if settings.window is None else read_window(settings.window),
            step=None if settings.step is None else read_step(settings.step),
            bins=None if settings.bins is None else read_bins(settings.bins),
            time_unit=check_time_unit(settings.time_unit),
            neuroids=None if settings.neuroids is None else Path(settings.neuroids).expanduser(),
            blanks=(blanks,) if isinstance(blanks, str) else tuple(map(as_text, blanks)),
            region=settings.region,
            subject=settings.subject,
            sort_times=settings.sort_times,
            masks=paths_of(settings.mask),
            key=None if settings.key is None else Path(settings.key).expanduser(),
            events=paths_of(settings.events),
            average=settings.average,
        )


def paths_of(named: Path | str | Sequence[Path | str] | None) -> tuple[Path, ...]:
    """Return one path, or several, as a tuple; none for None."""
    if named is None:
        return ()
    paths = [named] if isinstance(named, str | Path) else list(named)
    return tuple(Path(path).expanduser() for path in paths)


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def check_picture_axes(order: str | None) -> str | None:
    """Return the order of a picture's axes, ``"y,x"`` or ``"x,y"``, if it is one."""
    if order is not None and order.replace(" ", "") not in PICTURE_AXES:
        raise ProbeError(
            f"--picture-axes {order}: expected y,x (rows first) or x,y (columns first)"
        )
    return None if order is None else order.replace(" ", "")


def read_axes(text: str | Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of axes that are named, each a key of `AXIS_WORDS`.

    Raises
    ------
    ProbeError
        If a word is unknown, a kind is there twice, or none is that of the pictures.
    """
    words = text.split(",") if isinstance(text, str) else list(text)
    kinds: list[str] = []
    kind_of = {word: kind for kind, words_of in AXIS_WORDS.items() for word in words_of}
    for word in words:
        kind = kind_of.get(word.strip().lower())
        if kind is None:
            raise ProbeError(f"--axes: {word.strip()!r} is not an axis{suggest(word, AXIS_WORDS)}")
        if kind in kinds:
            raise ProbeError(f"--axes names {kind!r} twice: {','.join(words)}")
        kinds.append(kind)
    if ("stimulus" in kinds) == ("presentation" in kinds):
        raise ProbeError(
            f"--axes {','.join(words)}: expected either 'stimulus' (one entry per picture) or "
            "'presentation' (one per showing)"
        )
    if "presentation" in kinds and "repetition" in kinds:
        raise ProbeError(
            f"--axes {','.join(words)}: repetitions are presentations; 'repetition' goes with "
            "'stimulus'"
        )
    return tuple(kinds)


def read_window(text: str, option: str = "--window", example: str = "50,250ms") -> Span:
    """Return a window such as ``50,250ms``, from the first time up to before the second."""
    window = _pair(text, option, example)
    if not window.first < window.second:
        raise ProbeError(f"{option} {text}: expected a start before the end")
    return window


def read_step(text: str) -> float:
    """Return a length such as ``10ms``, in ms."""
    match = re.fullmatch(r"\s*([^,\s]+?)\s*(ms|s)\s*", text)
    try:
        length = float(match[1]) * (1000.0 if match[2] == "s" else 1.0) if match else math.nan
    except ValueError:
        length = math.nan
    if not (math.isfinite(length) and length > 0):
        raise ProbeError(f"--step {text}: expected a length > 0 with a unit, as in 10ms")
    return length


def read_bins(text: str) -> Span:
    """Return the beginning of the first time bin and the width of all, such as ``-500,1ms``."""
    bins = _pair(text, "--bins", "-500,1ms")
    if not bins.second > 0:
        raise ProbeError(f"--bins {text}: expected a width > 0")
    return bins


def _pair(text: str, option: str, example: str) -> Span:
    match = _PAIR.fullmatch(text)
    try:
        first, second = (float(part) for part in match.groups()[:2]) if match else (math.nan,) * 2
    except ValueError:
        first = second = math.nan
    if not match or not (math.isfinite(first) and math.isfinite(second)):
        raise ProbeError(f"{option} {text}: expected two numbers and a unit, as in {example}")
    if match[3] is None:
        raise ProbeError(f"{option} {text} has no unit: write {text}ms or {text}s")
    return Span(first, second, match[3])


def check_time_unit(unit: str | None) -> str | None:
    """Return a unit of time that is known."""
    if unit is not None and unit not in TIME_UNITS:
        raise ProbeError(f"--time-unit {unit}: expected s or ms")
    return unit
