"""Responses from tables: one row per presentation and neuroid, per spike, or per trial in bins."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats.names import repeated
from probe.formats.tables import as_number, read_rows
from probe.recordings.exporting import UNIT
from probe.recordings.folder import TIMES
from probe.recordings.importing.options import Options
from probe.recordings.importing.presented import (
    LABELS,
    NEUROID_IDS,
    REGIONS,
    SUBJECTS,
    Axis,
    Presented,
    one_of,
    rename_known,
    texts,
    time_unit_of,
)
from probe.recordings.importing.spikes import Onsets, Spikes, count_all
from probe.recordings.importing.time_bins import in_ms, put_together
from probe.recordings.times import check_times

RESPONSES = (
    "response", "responses", "spike_count", "spike_counts", "count", "counts", "spikes", "rate",
    "firing_rate", "value",
)  # fmt: skip
NEUROIDS = (*NEUROID_IDS, "neuroid", "neuron", "unit", "site", "cell", "voxel", "channel")
PRESENTATIONS = ("presentation_id", "presentation", "trial_id", "trial")
REPETITIONS = ("repetition", "repeat", "rep")
SPIKE_TIMES = tuple(
    f"{name}{unit}" for name in ("spike_times", "spike_time") for unit in ("", "_s", "_ms")
)
SPIKE_UNITS = ("spike_units", "spike_unit", "spike_clusters", "spike_unit_ids")
ONSETS = tuple(
    f"{name}{unit}"
    for name in ("onset", "onsets", "start_time", "start_times", "stimulus_onset", "onset_time")
    for unit in ("", "_s", "_ms")
)

_BIN = re.compile(r"time\.(-?[\d.]+)_(-?[\d.]+)")

Columns = dict[str, list[Any]]


def read_columns(path: Path) -> Columns:
    """Read a table: the cells of a .csv or .tsv are texts, those of Parquet as they are.

    Raises
    ------
    ProbeError
        If it cannot be read, has no rows, or columns without a name or with the same.
    """
    where = repr(str(path))
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    try:
        header, *rows = read_rows(path, where) or [[]]
    except ValueError as error:
        raise ProbeError(str(error)) from None
    header = [name.strip() for name in header]
    if twice := repeated(header):
        raise ProbeError(f"{where} has two columns called {twice!r}")
    if not rows:
        raise ProbeError(f"{where} has no rows")
    if uneven := next((k for k, row in enumerate(rows, 1) if len(row) != len(header)), None):
        raise ProbeError(
            f"{where} has {len(rows[uneven - 1])} cells for {len(header)} columns in row {uneven}, "
            "not counting the header"
        )
    return {name: [row[k] for row in rows] for k, name in enumerate(header)}


def _parquet(path: Path) -> Columns:
    import pandas as pd

    where = repr(str(path))
    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise ProbeError(
            f"{where} is a Parquet table: reading it needs the extra 'parquet' "
            "(pip install 'cnn-probe[parquet]')"
        ) from None
    except Exception as error:  # its readers have exceptions of their own
        raise ProbeError(f"{where} cannot be read ({str(error).splitlines()[0]})") from None
    if table.empty:
        raise ProbeError(f"{where} has no rows")
    return {
        str(name): [None if pd.isna(v) else v for v in table[name].astype(object)] for name in table
    }


def from_columns(
    columns: Columns, path: Path, options: Options, matches: Callable[[Collection[str]], bool]
) -> Presented:
    """Read responses from a table.

    Parameters
    ----------
    columns : dict of str to list
    path : Path
    options : Options
    matches : callable
        Whether all of some names are names of pictures.

    Raises
    ------
    ProbeError
        If what its columns are cannot be known; the message names the option that decides.
    """
    where = repr(str(path))
    if options.axes is not None:
        raise ProbeError(f"{where} is a table, whose columns have names: leave out --axes")
    if sum(_BIN.fullmatch(name) is not None for name in columns) > 1:
        return _from_bins(columns, path, options, matches)
    lower = {name.lower(): name for name in columns}
    spike_time = next((lower[name] for name in SPIKE_TIMES if name in lower), None)
    if spike_time is not None and options.variable is None:
        return _from_spikes(columns, spike_time, where, options, matches)
    if options.presentations is not None or options.bins is not None:
        raise ProbeError(
            f"{where} holds neither spikes nor bins: leave out --presentations, --bins"
        )
    over_time = all(name in columns for name in TIMES)
    if not over_time and (options.window is not None or options.step is not None):
        option = "--window" if options.window is not None else "--step"
        raise ProbeError(
            f"{where} holds responses, no times: {option} has nothing to choose from (spikes take "
            f"a column spike_time_s or spike_time_ms, responses over time {' and '.join(TIMES)})"
        )
    return _from_rows(columns, where, options, matches)


def numbers(cells: Sequence[Any], column: str, where: str) -> np.ndarray:
    """Return a column as float64, NaN where a cell is missing.

    Raises
    ------
    ProbeError
        If a cell is no number; the message names its row.
    """
    comma = any(isinstance(cell, str) and "," in cell for cell in cells)
    number_of: dict[Any, float] = {None: np.nan}
    values = np.empty(len(cells))
    for k, cell in enumerate(cells):
        try:
            if cell not in number_of:
                number_of[cell] = as_number(cell, comma) if isinstance(cell, str) else float(cell)
            values[k] = number_of[cell]
        except (TypeError, ValueError):
            raise ProbeError(
                f"{where}, column {column!r}: {cell!r} in row {k + 1}, not counting the header, is "
                "not a number"
            ) from None
    return values


def label_column(
    columns: Columns, where: str, options: Options, matches: Callable[[Collection[str]], bool]
) -> str:
    """Return the column that says which picture was shown."""
    if options.labels is not None:
        if options.labels not in columns:
            raise ProbeError(
                f"{where} has no column {options.labels!r}{suggest(options.labels, columns)}"
            )
        return options.labels
    candidates = [name for name in columns if name.lower() in LABELS]
    if len(candidates) > 1:
        fitting = [c for c in candidates if matches(_texts(columns[c]))]
        candidates = fitting or candidates
    if not candidates:
        raise ProbeError(
            f"{where}: nothing says which picture was shown: name the column with --labels; it has "
            f"{', '.join(list(columns)[:8])}{', …' if len(columns) > 8 else ''}"
        )
    return one_of(candidates, "the pictures' names", "--labels", where)


def read_presentations(
    path: Path, unit: str, options: Options, matches: Callable[[Collection[str]], bool]
) -> tuple[np.ndarray, list[Any], str, Columns]:
    """Read the onsets of presentations from a table, in the unit of the spikes.

    Returns
    -------
    onsets : numpy.ndarray, shape (n_presentations,)
    labels : list
        Which picture was shown.
    label_name : str
    columns : dict of str to list
        All others.
    """
    columns = read_columns(path)
    where = repr(str(path))
    lower = {name.lower(): name for name in columns}
    candidates = [lower[name] for name in ONSETS if name in lower]
    if not candidates:
        raise ProbeError(
            f"{where} has no onsets: expected a column onset_s or onset_ms; it has "
            f"{', '.join(columns)}"
        )
    if len(candidates) > 1:
        raise ProbeError(f"{where}: {' and '.join(candidates)} may both be the onsets: keep one")
    name = candidates[0]
    onsets = onsets_in(unit, numbers(columns[name], name, where), name, options, where)
    label = label_column(columns, where, options, matches)
    others = {c: v for c, v in columns.items() if c not in (name, label)}
    return onsets, columns[label], label, others


def onsets_in(unit: str, onsets: np.ndarray, name: str, options: Options, where: str) -> np.ndarray:
    """Return onsets in the unit of the spikes."""
    onset_unit = time_unit_of(name, options.time_unit)
    if onset_unit is None:
        raise ProbeError(f"{where}: the unit of {name!r} is not known: add --time-unit s or ms")
    if onset_unit == unit:
        return onsets
    return onsets / 1000 if unit == "s" else onsets * 1000


def _neuroid_column(columns: Columns, where: str) -> str:
    lower = {name.lower(): name for name in columns}
    ids = [lower[name] for name in NEUROIDS if name in lower]
    if len(ids) > 1:
        listed = " and ".join(ids)
        raise ProbeError(f"{where}: {listed} may both tell the neuroids apart: keep one of them")
    if not ids:
        raise ProbeError(
            f"{where} has no column of neuroids: expected neuroid_id, in a table of one row per "
            "presentation and neuroid or per spike; it has "
            f"{', '.join(list(columns)[:8])}{', …' if len(columns) > 8 else ''}"
        )
    return ids[0]


def _from_rows(
    columns: Columns, where: str, options: Options, matches: Callable[[Collection[str]], bool]
) -> Presented:
    """One row per presentation and neuroid, or per presentation, neuroid and time."""
    label = label_column(columns, where, options, matches)
    neuroid = _neuroid_column(columns, where)
    if options.variable is not None and options.variable not in columns:
        raise ProbeError(
            f"{where} has no column {options.variable!r}{suggest(options.variable, columns)}"
        )
    candidates = [name for name in columns if name.lower() in RESPONSES]
    if options.variable is None and not candidates:
        raise ProbeError(
            f"{where} has no column of responses: expected 'response' or 'spike_count', or name "
            f"one with --variable; it has {', '.join(columns)}"
        )
    response = options.variable or one_of(candidates, "the responses", "--variable", where)
    values = numbers(columns[response], response, where)
    ids = _texts(columns[neuroid])
    pictures = _texts(columns[label])
    if "" in ids:
        raise ProbeError(
            f"{where}, column {neuroid!r}: row {ids.index('') + 1}, not counting the header, is "
            "empty"
        )
    lower = {name.lower(): name for name in columns}
    shown_by = next((lower[n] for n in PRESENTATIONS if n in lower), None)
    repetition = next((lower[n] for n in REPETITIONS if n in lower), None)
    if shown_by is not None:
        keys: list[Any] = _texts(columns[shown_by])
        reason = f"the column {shown_by}"
    elif repetition is not None:
        keys = list(zip(pictures, _texts(columns[repetition]), strict=True))
        reason = f"the columns {label} and {repetition}"
    else:
        keys = list(pictures)
        reason = f"the column {label}: one response per picture and neuroid"
    showings = list(dict.fromkeys(keys))
    if shown_by is None and repetition is not None:
        rank = {p: k for k, p in enumerate(dict.fromkeys(pictures))}
        showings.sort(key=lambda key: (rank[key[0]], _natural(key[1])))
    units = list(dict.fromkeys(ids))
    row_of = {key: k for k, key in enumerate(showings)}
    column_of = {unit: k for k, unit in enumerate(units)}
    rows = np.array([row_of[key] for key in keys])
    cols = np.array([column_of[unit] for unit in ids])
    times, at = _times_of(columns, where)
    cells = cols * len(times) + at
    _refuse_twice(rows, cells, ids, pictures, shown_by, repetition, where)
    label_of: dict[Any, str] = {}
    for k, (key, picture) in enumerate(zip(keys, pictures, strict=True), 1):
        if label_of.setdefault(key, picture) != picture:
            raise ProbeError(
                f"{where}: {shown_by} {key!r} is of {label_of[key]!r} and, in row {k}, not "
                f"counting the header, of {picture!r}: a presentation shows one picture (what "
                "numbers the showings of each picture is to be called 'repetition')"
            )
    responses = np.full((len(showings), len(times), len(units)), np.nan)
    responses[rows, at, cols] = values
    used = {label, neuroid, response, shown_by, repetition}
    used |= set(TIMES) if all(name in columns for name in TIMES) else set()
    others = {c: v for c, v in columns.items() if c not in used}
    unit = _unit_in(others)
    of_neuroid, of_presentation = _belonging(others, rows, cols)
    absent = int(responses.size - len(ids))
    notes = [f"{absent} of {responses.size} responses have no row: missing"] if absent else []
    axes = [Axis("presentation", len(showings), reason)]
    times_kept, counts = None, None
    if len(times) > 1 or options.window is not None or options.step is not None:
        axes.append(Axis("time", len(times), f"the columns {' and '.join(TIMES)}"))
        responses, times_kept, counts, how, note = put_together(responses, times, options, where)
        unit = "; ".join(filter(None, (unit, how)))
        notes.append(note)
    else:
        responses = responses[:, 0]
    return Presented(
        responses,
        [label_of[key] for key in showings],
        label,
        of_presentation,
        {"neuroid_id": units, **rename_known(of_neuroid)},
        response,
        (*axes, Axis("neuroid", len(units), f"the column {neuroid}")),
        unit,
        notes,
        times_kept,
        counts,
    )


def _unit_in(columns: Columns) -> str:
    """Take the unit of all responses out of the columns; empty where it is not there."""
    units = dict.fromkeys(_texts(columns[UNIT])) if UNIT in columns else {}
    if len(units) != 1:
        return ""
    del columns[UNIT]
    return next(iter(units))


def _times_of(columns: Columns, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all times in ms, (n_times, 2), and which of them each row is of.

    Without both columns of times there is one time, of which nothing is known.
    """
    n = len(next(iter(columns.values())))
    if not all(name in columns for name in TIMES):
        return np.zeros((1, 2)), np.zeros(n, dtype=np.int64)
    each = np.column_stack([numbers(columns[name], name, where) for name in TIMES])
    times, at = np.unique(in_ms(each, "ms"), axis=0, return_inverse=True)
    try:
        return check_times(times), at.reshape(n)
    except ValueError as error:
        raise ProbeError(f"{where}, columns {' and '.join(TIMES)}: {error}") from None


def _refuse_twice(
    rows: np.ndarray,
    cols: np.ndarray,
    ids: Sequence[str],
    pictures: Sequence[str],
    shown_by: str | None,
    repetition: str | None,
    where: str,
) -> None:
    cells = rows.astype(np.int64) * (int(cols.max()) + 1) + cols
    _, first, inverse = np.unique(cells, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse] != np.arange(len(cells)))
    if not again.size:
        return
    k, before = int(again[0]), int(first[inverse[again[0]]])
    named = shown_by or repetition
    raise ProbeError(
        f"{where}: rows {before + 1} and {k + 1}, not counting the header, are both of neuroid "
        f"{ids[k]!r} and picture {pictures[k]!r}"
        + (f", with the same {named}" if named else "")
        + ": a column 'presentation' has to tell the presentations apart"
    )


def _belonging(columns: Columns, rows: np.ndarray, cols: np.ndarray) -> tuple[Columns, Columns]:
    """Sort columns into those that say something of neuroids, and of presentations."""
    of_neuroid: Columns = {}
    of_presentation: Columns = {}
    for name, cells in columns.items():
        of_neuroids_only = name.lower() in (*REGIONS, *SUBJECTS)
        for belongs, index, columns_of in (
            (of_neuroids_only, cols, of_neuroid),
            (True, rows, of_presentation),
            (True, cols, of_neuroid),
        ):
            if belongs and (per := _constant(cells, index)) is not None:
                columns_of[name] = per
                break
    return of_neuroid, of_presentation


def _constant(cells: Sequence[Any], index: np.ndarray) -> list[Any] | None:
    first: dict[int, Any] = {}
    for k, cell in zip(index.tolist(), cells, strict=True):
        if first.setdefault(k, cell) != cell:
            return None
    return [first[k] for k in range(len(first))]


def _from_spikes(
    columns: Columns,
    spike_time: str,
    where: str,
    options: Options,
    matches: Callable[[Collection[str]], bool],
) -> Presented:
    """One row per spike; what was shown is in a table of its own."""
    unit = time_unit_of(spike_time, options.time_unit)
    if unit is None:
        raise ProbeError(
            f"{where}: the file does not name the unit of {spike_time!r}: add --time-unit s or ms"
        )
    if options.presentations is None:
        raise ProbeError(
            f"{where} holds spikes: name the table of what was shown with --presentations "
            "FILE.csv (columns onset_s or onset_ms, and stimulus_id)"
        )
    neuroid = _neuroid_column(columns, where)
    times = numbers(columns[spike_time], spike_time, where)
    of_spike = np.array(_texts(columns[neuroid]), dtype=object)
    ids = list(dict.fromkeys(of_spike.tolist()))
    table = Path(options.presentations).expanduser()
    onsets, labels, label_name, others = read_presentations(table, unit, options, matches)
    per_unit = {
        name: per
        for name, cells in columns.items()
        if name not in (neuroid, spike_time)
        and (per := _constant(cells, np.array([ids.index(u) for u in of_spike]))) is not None
    }
    spikes = Spikes(
        [times[of_spike == unit_id] for unit_id in ids], ids, unit, rename_known(per_unit)
    )
    return count_all(
        spikes, Onsets(table.name, onsets, labels, label_name, others), options, where,
        notes=["units without a single spike are in no row of such a table"],
    )  # fmt: skip


def _from_bins(
    columns: Columns, path: Path, options: Options, matches: Callable[[Collection[str]], bool]
) -> Presented:
    """One row per trial of one site, one column per time bin, called time.BEGIN_END."""
    where = repr(str(path))
    bins = [(name, match) for name in columns if (match := _BIN.fullmatch(name))]
    starts = np.array([float(match[1]) for _, match in bins])
    ends = np.array([float(match[2]) for _, match in bins])
    if (options.window is None and options.step is None) or options.time_unit is None:
        option = "the unit of its bins, --time-unit s or ms"
        if options.window is None and options.step is None:
            option = "the window, as in --window 50,250ms, or the steps to keep, as in --step 10ms"
        raise ProbeError(f"{where} has {len(bins)} time bins, from {starts[0]:g} on: say {option}")
    times = np.column_stack([in_ms(starts, options.time_unit), in_ms(ends, options.time_unit)])
    counts = np.column_stack([numbers(columns[name], name, where) for name, _ in bins])
    values, times_kept, whole_numbers, _, note = put_together(
        counts[..., None], times, options, where
    )
    if not whole_numbers:
        raise ProbeError(f"{where}: its time bins hold values that are not counts of spikes")
    site = {n: v for n, v in columns.items() if n.startswith("site_info.")}
    constant_columns: Columns = {}
    for name, cells in site.items():
        if len(set(cells)) > 1:
            raise ProbeError(
                f"{where} has trials of several sites ({name}: {cells[0]}, "
                f"{next(c for c in cells if c != cells[0])}): expected one site per file"
            )
        constant_columns[name.removeprefix("site_info.")] = [cells[0]]
    candidates = [name for name in columns if name.startswith("labels.")]
    label = options.labels or one_of(candidates, "the pictures' names", "--labels", where)
    if label not in columns:
        raise ProbeError(f"{where} has no column {label!r}{suggest(label, candidates)}")
    return Presented(
        values,
        columns[label],
        label,
        {n.removeprefix("labels."): columns[n] for n in candidates if n != label},
        {"neuroid_id": [path.stem], **rename_known(constant_columns)},
        f"{len(bins)} time bins",
        (
            Axis("presentation", len(counts), "one row per trial"),
            Axis("time", len(bins), "the columns time.BEGIN_END"),
            Axis("neuroid", 1, "one site per file"),
        ),
        f"spikes in {options.window if options.step is None else f'{options.step:g} ms'} after "
        "onset, the end not included",
        [note],
        times_kept,
        True,
    )


def _texts(cells: Sequence[Any]) -> list[str]:
    return [text.strip() for text in texts(cells)]


def _natural(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text
