"""Spikes counted in a window after the onset of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.errors import ProbeError
from probe.recordings.importing.options import Options, Span
from probe.recordings.importing.presented import Axis, Presented
from probe.recordings.importing.time_bins import windows_of

WINDOW_TOLERANCE = 1e-9
"""By so much, relative to its length, a window may exceed what was observed."""


def count_spikes(
    spike_times: np.ndarray,
    onsets: np.ndarray,
    window: tuple[float, float],
    observed: np.ndarray | None = None,
    invalid: np.ndarray | None = None,
) -> np.ndarray:
    """Count the spikes of one unit in half-open windows.

    A spike at the beginning of a window counts, one at its end does not: of two windows that
    touch, each spike is in one. Windows may overlap; each counts for itself.

    Parameters
    ----------
    spike_times : numpy.ndarray, shape (n_spikes,)
        Ascending, in the unit of the onsets.
    onsets : numpy.ndarray, shape (n_presentations,)
        In any order.
    window : (float, float)
        Beginning and end relative to an onset.
    observed : numpy.ndarray, shape (n, 2), optional
        When the unit was observed. A window that is not wholly inside has no count.
    invalid : numpy.ndarray, shape (n, 2), optional
        What is taken out of analysis. A window that touches it has no count.

    Returns
    -------
    numpy.ndarray, shape (n_presentations,)
        Float64; NaN where there is no count.
    """
    starts, stops = onsets + window[0], onsets + window[1]
    ends = np.searchsorted(spike_times, stops, side="left")
    counts = (ends - np.searchsorted(spike_times, starts, side="left")).astype(np.float64)
    slack = WINDOW_TOLERANCE * (window[1] - window[0])
    if observed is not None:
        merged = _merged(observed)
        if not len(merged):
            return np.full_like(counts, np.nan)
        row = np.searchsorted(merged[:, 0], starts + slack, side="right") - 1
        inside = (row >= 0) & (stops <= merged[np.maximum(row, 0), 1] + slack)
        counts[~inside] = np.nan
    if invalid is not None and len(invalid):
        taken_out = _merged(invalid)
        first = np.searchsorted(taken_out[:, 1], starts + slack, side="right")
        touched = first < len(taken_out)
        touched[touched] = taken_out[first[touched], 0] < stops[touched] - slack
        counts[touched] = np.nan
    return counts


def _merged(intervals: np.ndarray) -> np.ndarray:
    """Join intervals that touch or overlap, in ascending order."""
    joined: list[list[float]] = []
    for start, stop in sorted(map(tuple, np.asarray(intervals, dtype=np.float64))):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return np.array(joined).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Spikes:
    """The spikes of all units.

    Attributes
    ----------
    times : sequence of numpy.ndarray
        Of each unit, in ``unit``.
    ids : sequence of str
    unit : str
        Of all times, those of presentations among them: ``s`` or ``ms``.
    columns : dict of str to list
        What else is known of the units.
    observed : sequence of numpy.ndarray, shape (n, 2), optional
        When each unit was observed.
    invalid : numpy.ndarray, shape (n, 2), optional
        What is taken out of analysis.
    """

    times: Sequence[np.ndarray]
    ids: Sequence[str]
    unit: str
    columns: dict[str, list[Any]]
    observed: Sequence[np.ndarray] | None = None
    invalid: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Onsets:
    """When pictures were presented.

    Attributes
    ----------
    name : str
        Of the table or series.
    times : numpy.ndarray, shape (n_presentations,)
    labels : list
        Which picture, of each.
    label_name : str
        What says so.
    columns : dict of str to list
        What else is known of the presentations.
    """

    name: str
    times: np.ndarray
    labels: list[Any]
    label_name: str
    columns: dict[str, list[Any]]


def count_all(
    spikes: Spikes, onsets: Onsets, options: Options, where: str, notes: Sequence[str] = ()
) -> Presented:
    """Count the spikes of all units at all presentations.

    Raises
    ------
    ProbeError
        If there is no window; if a time is missing, or spikes are not in the order of time and the
        user does not say that they may be sorted; if no spike falls into any window.
    """
    unit_ids, time_unit = spikes.ids, spikes.unit
    if not len(unit_ids):
        raise ProbeError(f"{where} has no units with spike times")
    if not len(onsets.times):
        raise ProbeError(f"{where}: {onsets.name} has no presentations")
    if options.window is None:
        raise ProbeError(
            f"{where} holds spike times: name the window after picture onset in which they are "
            "counted, as in --window 50,250ms"
        )
    if (bad := np.flatnonzero(~np.isfinite(onsets.times))).size:
        raise ProbeError(
            f"{where}: {onsets.name} has no onset in row {bad[0]}, counted from 0 "
            f"({bad.size} such rows)"
        )
    notes = list(notes)
    ordered = [
        _ascending(t, u, options, where, notes) for t, u in zip(spikes.times, unit_ids, strict=True)
    ]
    window = options.window.within(time_unit)
    steps = windows_of(options, where)
    windows = [window]
    if options.step is not None and steps is not None:
        windows = [Span(start, end, "ms").within(time_unit) for start, end in steps.tolist()]
    observed = spikes.observed if spikes.observed is not None else [None] * len(ordered)
    counts = np.stack(
        [
            [count_spikes(times, onsets.times, span, of_unit, spikes.invalid) for span in windows]
            for times, of_unit in zip(ordered, observed, strict=True)
        ],
        axis=-1,
    ).swapaxes(0, 1)
    if options.step is None:
        counts = counts[:, 0]
    full = [times for times in ordered if times.size]
    n_spikes = sum(times.size for times in full)
    first = min((times[0] for times in full), default=np.nan)
    last = max((times[-1] for times in full), default=np.nan)
    spans = (
        f"spikes from {first:.6g} to {last:.6g} {time_unit}, "
        f"onsets from {onsets.times.min():.6g} to {onsets.times.max():.6g} {time_unit}"
    )
    if not np.nansum(counts):
        raise ProbeError(
            f"{where}: none of {n_spikes} spikes lies in the window {options.window} of any of "
            f"{len(onsets.times)} presentations ({spans}): are both on one clock and in one unit?"
        )
    notes.append(spans)
    if silent := [u for u, times in zip(unit_ids, ordered, strict=True) if not times.size]:
        notes.append(f"units without spikes, counted as 0: {', '.join(silent)}")
    if missing := int(np.isnan(counts).sum()):
        notes.append(f"{missing} of {counts.size} counts are missing: outside what was observed")
    gaps = np.diff(np.sort(onsets.times))
    if overlapping := int((gaps < window[1] - window[0]).sum()):
        notes.append(f"{overlapping} windows overlap the next: a spike counts in each")
    return Presented(
        counts, onsets.labels, onsets.label_name, onsets.columns,
        {"neuroid_id": list(unit_ids), **spikes.columns},
        f"spikes of {len(unit_ids)} units, {onsets.name}",
        (
            Axis("presentation", len(onsets.times), f"the onsets of {onsets.name}"),
            Axis("neuroid", len(unit_ids), "the units, by their ids in the file"),
        ),
        f"spikes in {options.window if options.step is None else f'{options.step:g} ms'} "
        "after onset, the end not included",
        notes,
        times=None if options.step is None else steps,
        counts=True,
    )  # fmt: skip


def _ascending(
    times: np.ndarray, unit: str, options: Options, where: str, notes: list[str]
) -> np.ndarray:
    if np.isnan(times).any():
        raise ProbeError(f"{where}: unit {unit} has spikes without a time (NaN)")
    descents = np.flatnonzero(np.diff(times) < 0)
    if not descents.size:
        return times
    if not options.sort_times:
        k = descents[0]
        raise ProbeError(
            f"{where}: the spike times of unit {unit} are not ascending ({times[k]:.6g} is "
            f"followed by {times[k + 1]:.6g}; {descents.size} such pairs): if they are of one "
            "clock that never restarts, add --sort-times"
        )
    notes.append(f"spike times of unit {unit} were sorted")
    return np.sort(times)
