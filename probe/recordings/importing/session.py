"""Responses from NWB: spikes of units, counted at the presentations of pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from probe.errors import ProbeError, suggest
from probe.formats.nwb import Shown, frame_name, read_nwb
from probe.recordings.importing.options import Options
from probe.recordings.importing.presented import LABELS, Presented, listed_names, one_of, texts
from probe.recordings.importing.spikes import Onsets, Spikes, count_all


def from_nwb(path: Path, options: Options, matches: Callable[[Collection[str]], bool]) -> Presented:
    """Count the spikes of an NWB file.

    Parameters
    ----------
    path : Path
    options : Options
    matches : callable
        Whether all of some names are names of pictures.

    Raises
    ------
    ProbeError
        If pynwb is not installed, the file has no units or presentations, or which of several are
        meant cannot be known.
    """
    where = repr(str(path))
    if options.axes is not None or options.bins is not None:
        raise ProbeError(
            f"{where} is an NWB file, from which units are read: leave out --axes, --bins"
        )
    try:
        session = read_nwb(path)
    except ImportError:
        raise ProbeError(
            f"{where} is an NWB file: reading it needs pynwb, the extra 'nwb' "
            "(pip install 'cnn-probe[nwb]')"
        ) from None
    if not session.unit_ids:
        raise ProbeError(f"{where} has no units with spike times")
    name = _table(session.shown, options, matches, where)
    presentations = session.shown[name]
    labels, label_name = _labels(name, presentations, options, matches, where)
    n = len(session.unit_ids)
    columns: dict[str, list[Any]] = dict(session.unit_columns)
    if session.subject:
        columns["subject"] = [session.subject] * n
    spikes = Spikes(
        session.spike_times, session.unit_ids, "s", columns, session.observed, session.invalid
    )
    others = {c: v for c, v in presentations.columns.items() if c != label_name}
    onsets = Onsets(name, presentations.onsets, labels, label_name, others)
    presented = count_all(spikes, onsets, options, where)
    return replace(presented, pictures=session.pictures)


def _table(
    shown: dict[str, Shown],
    options: Options,
    matches: Callable[[Collection[str]], bool],
    where: str,
) -> str:
    if options.presentations is not None:
        if options.presentations not in shown:
            raise ProbeError(
                f"{where} has no table or series {options.presentations!r} of presentations"
                + suggest(options.presentations, shown)
            )
        return options.presentations
    if options.labels is not None and not _is_file(options.labels):
        candidates = [name for name, one in shown.items() if options.labels in one.columns]
    else:
        candidates = [
            name
            for name, one in shown.items()
            if one.numbers is not None or any(c.lower() in LABELS for c in one.columns)
        ]
    if len(candidates) > 1:
        fitting = [
            name
            for name in candidates
            if any(matches(texts(values)) for values in shown[name].columns.values())
        ]
        candidates = fitting or candidates
    if not candidates:
        sought = repr(options.labels) if options.labels else "such as stimulus_name"
        listed = "; ".join(
            f"{n} ({', '.join(s.columns) or 'no columns'})" for n, s in shown.items()
        )
        raise ProbeError(
            f"{where} has no presentations of pictures: no table of intervals has a column "
            f"{sought}, and no IndexSeries is there"
            + (f"; it has {listed}: name the column with --labels" if listed else "")
        )
    return one_of(candidates, "the presentations", "--presentations", where)


def _labels(
    table: str,
    shown: Shown,
    options: Options,
    matches: Callable[[Collection[str]], bool],
    where: str,
) -> tuple[list[Any], str]:
    if shown.numbers is not None:
        if options.labels is None and options.stimuli is None and shown.frames:
            frames = [frame_name(shown.frames, int(k)) for k in shown.numbers]
            return frames, f"{table}, by the frames of {shown.frames}"
        if options.labels is None or not _is_file(options.labels):
            raise ProbeError(
                f"{where}: the file does not say which pictures the numbers of {table!r} stand "
                f"for, since {shown.reason}: name a .csv that lists the pictures (column "
                "stimulus_id) in the order of the numbers, from 0 on, with --labels"
            )
        names = listed_names(Path(options.labels).expanduser())
        numbers = shown.numbers
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(names)):
            raise ProbeError(
                f"{where}: the numbers of {table!r} go from {numbers.min()} to {numbers.max()}, "
                f"and {options.labels!r} has {len(names)} names, counted from 0"
            )
        return [names[k] for k in numbers], f"{table}, by the list {Path(options.labels).name}"
    if options.labels is not None:
        if _is_file(options.labels) and options.labels not in shown.columns:
            names = listed_names(Path(options.labels).expanduser())
            if len(names) != len(shown.onsets):
                raise ProbeError(
                    f"{where}: {table!r} has {len(shown.onsets)} presentations, and "
                    f"{options.labels!r} {len(names)} names"
                )
            return list(names), Path(options.labels).name
        if options.labels not in shown.columns:
            raise ProbeError(
                f"{where}: {table!r} has no column {options.labels!r}"
                + suggest(options.labels, shown.columns)
            )
        return shown.columns[options.labels], options.labels
    candidates = [c for c in shown.columns if c.lower() in LABELS]
    if len(candidates) > 1:
        fitting = [c for c in candidates if matches(texts(shown.columns[c]))]
        candidates = fitting or candidates
    if not candidates:
        raise ProbeError(
            f"{where}: no column of {table!r} is known to name pictures: name it with --labels; it "
            f"has {', '.join(shown.columns) or 'none'}"
        )
    name = one_of(candidates, f"the pictures' names in {table!r}", "--labels", where)
    return shown.columns[name], name


def _is_file(name: str) -> bool:
    return Path(name).expanduser().is_file()
