"""Responses of MEG and EEG sensors: epochs and evoked responses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats import kinds
from probe.formats.mne_files import UNITS, Sensors, read_sensors
from probe.recordings.importing.options import Options
from probe.recordings.importing.presented import (
    LABELS,
    Axis,
    Presented,
    listed_names,
    one_of,
    texts,
)
from probe.recordings.importing.time_bins import in_ms, put_together
from probe.recordings.times import describe_times

SENSOR_KINDS = (kinds.FIF, kinds.EEGLAB)

EVENT = "event"
"""What `--labels` calls the names of the epochs' events."""


def from_sensors(
    path: Path, kind: str, options: Options, matches: Callable[[Collection[str]], bool]
) -> Presented:
    """Read epochs, or averages of them, and which picture each is of.

    Parameters
    ----------
    path : Path
    kind : str
        See `probe.formats.kinds`.
    options : Options
    matches : callable
        Whether all of some names are names of pictures.

    Returns
    -------
    Presented
        With all samples, unless there is a window or a step.

    Raises
    ------
    ProbeError
        If mne is not installed, or which picture an epoch is of cannot be known.
    """
    where = repr(str(path))
    for option, value in (
        ("--axes", options.axes), ("--bins", options.bins), ("--variable", options.variable),
        ("--presentations", options.presentations), ("--time-unit", options.time_unit),
    ):  # fmt: skip
        if value is not None:
            raise ProbeError(
                f"{where} holds epochs or averages, whose axes and times are known: leave out "
                f"{option}"
            )
    try:
        sensors = read_sensors(path, kind)
    except ImportError:
        raise ProbeError(
            f"{where} is a file of MEG or EEG: reading it needs mne, the extra 'meg' "
            "(pip install 'cnn-probe[meg]')"
        ) from None
    labels, label_name = _labels(sensors, options, matches, where)
    instants = in_ms(sensors.times, "s")
    times: np.ndarray | None = np.column_stack([instants, instants])
    assert times is not None
    n_items, n_times, n_channels = sensors.values.shape
    values, notes = sensors.values, list(sensors.notes)
    unit = ", ".join(f"{UNITS[t]} ({t})" for t in dict.fromkeys(sensors.types))
    axes = (
        Axis("presentation", n_items, "averages" if sensors.averaged else "epochs"),
        Axis("time", n_times, f"{describe_times(times)} after the event"),
        Axis("neuroid", n_channels, "channels that measure the brain, without bad ones"),
    )
    if options.window is not None or options.step is not None:
        values, times, _, how, note = put_together(values, times, options, where)
        unit = f"{unit}; {how}"
        notes.append(note)
    columns: dict[str, list[Any]] = {
        "neuroid_id": sensors.names,
        "channel_type": sensors.types,
        "unit": [UNITS[kind] for kind in sensors.types],
    }
    if sensors.subject:
        columns["subject"] = [sensors.subject] * n_channels
    return Presented(
        values, labels, label_name,
        {name: cells for name, cells in sensors.columns.items() if name != label_name},
        columns, "averages" if sensors.averaged else "epochs", axes, unit, notes, times,
        counts=False, averaged=sensors.averaged,
    )  # fmt: skip


def by_type(columns: dict[str, list[str]], where: str) -> dict[str, list[str]]:
    """Return columns of channels whose regions, where none are named, are their types.

    Raises
    ------
    ProbeError
        If a region that was named would mix types of channels, whose values are in other units.
    """
    columns = {"region": columns["channel_type"], **columns}
    types: dict[str, str] = {}
    for region, kind in zip(columns["region"], columns["channel_type"], strict=True):
        if types.setdefault(region, kind) != kind:
            raise ProbeError(
                f"{where}: region {region!r} would mix {types[region]} channels "
                f"({UNITS[types[region]]}) and {kind} channels ({UNITS[kind]}) in one pattern: a "
                "region is to hold channels of one type; without a region, each type is one"
            )
    return {"neuroid_id": columns["neuroid_id"], **columns}


def _labels(
    sensors: Sensors, options: Options, matches: Callable[[Collection[str]], bool], where: str
) -> tuple[list[Any], str]:
    """Return which picture each item is of, and what says so."""
    said, columns = options.labels, sensors.columns
    if sensors.averaged:
        if said is None:
            return list(sensors.events), "comment"
        return _from_list(sensors, said, "averages", where)
    if said is not None:
        if said in columns:
            return columns[said], said
        if said == EVENT:
            return list(sensors.events), EVENT
        return _from_list(sensors, said, "epochs", where)
    candidates = {name: columns[name] for name in columns if name.lower() in LABELS}
    if len(set(sensors.events)) > 1 and not candidates:
        return list(sensors.events), EVENT
    if len(candidates) > 1:
        fitting = [name for name, cells in candidates.items() if matches(texts(cells))]
        candidates = {name: candidates[name] for name in fitting} or candidates
    if not candidates:
        raise ProbeError(
            f"{where}: nothing says which picture each epoch is of: all events are called "
            f"{sensors.events[0]!r}, and the metadata has "
            + (
                f"{', '.join(list(columns)[:8])}: name the column"
                if columns
                else "no columns: name"
            )
            + " with --labels"
            + ("" if columns else " a .csv of one name per epoch (column stimulus_id)")
        )
    name = one_of(list(candidates), "the pictures' names", "--labels", where)
    return columns[name], name


def _from_list(sensors: Sensors, said: str, items: str, where: str) -> tuple[list[Any], str]:
    path = Path(said).expanduser()
    if not path.is_file():
        columns = [*sensors.columns, *([] if sensors.averaged else [EVENT])]
        raise ProbeError(
            f"{where} has no metadata {said!r}, and there is no such file either"
            + (suggest(said, columns) if columns else "")
        )
    names, n = listed_names(path), len(sensors.events)
    if len(names) != n:
        dropped = ""
        if not sensors.averaged and len(names) == sensors.n_before:
            dropped = (
                ", as many as before some were dropped: take the names of those that were kept "
                "(epochs.selection), or put them into epochs.metadata, which is dropped with them"
            )
        raise ProbeError(f"{where} has {n} {items}, and {said!r} {len(names)} names{dropped}")
    return list(names), path.name
