"""Responses from a file of arrays: MATLAB, netCDF, HDF5, NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats import kinds
from probe.formats.names import as_texts, repeated
from probe.formats.variables import Variable, Variables
from probe.recordings.importing.axes import SINGLE, axes_as_said, axes_by_length, axes_by_name
from probe.recordings.importing.options import Options, Span
from probe.recordings.importing.presented import (
    LABELS,
    NEUROID_IDS,
    Axis,
    Presented,
    is_missing,
    listed_names,
    one_of,
    plain_name,
    rename_known,
    time_unit_of,
)
from probe.recordings.importing.spikes import Onsets, Spikes, count_all
from probe.recordings.importing.tables import (
    ONSETS,
    SPIKE_TIMES,
    SPIKE_UNITS,
    onsets_in,
    read_columns,
    read_presentations,
)
from probe.recordings.importing.time_bins import in_ms, put_together
from probe.recordings.settings import Keep

_BINS = re.compile(r"(time_?)?bins?(_?(starts?|ends?|cent(er|re)s?))?(_(ms|s))?")

Matches = Callable[[Collection[str]], bool]
"""Whether all of some names are names of pictures."""


def from_variables(
    content: Variables,
    kind: str,
    path: Path,
    options: Options,
    matches: Matches,
    keep: Keep | None = None,
) -> Presented:
    """Read responses from the arrays of a file.

    Parameters
    ----------
    content : Variables
    kind : str
        Of file, see `probe.formats.kinds`.
    path : Path
    options : Options
    matches : callable
        Whether all of some names are names of pictures.
    keep : callable, optional
        Which neuroids are wanted, where there is an axis of them: the responses of the others are
        not read.

    Raises
    ------
    ProbeError
        If which array, axis or picture is which cannot be known; the message names the option
        that decides.
    """
    where = repr(str(path))
    if any(plain_name(name) in SPIKE_TIMES for name in content.arrays) and not options.variable:
        return _spikes(content, path, options, matches)
    if options.presentations is not None:
        raise ProbeError(f"{where} holds no spike times: leave out --presentations")
    name = _responses(content, options, where)
    variable = content.arrays[name]
    here = f"{where}, {name}"
    named = variable.dims is not None and options.axes is None
    dims = variable.dims if named else None
    labels, label_name = _labels(content, name, dims, options, matches, where)
    repeats = len(set(labels)) < len(labels)
    axes = _axes(content, name, dims, labels, label_name, kind, options, here)
    if any(axis.kind == "stimulus" for axis in axes) and repeats:
        twice = repeated(labels)
        raise ProbeError(
            f"{here}: {label_name} names {twice!r} more than once, so that its axis is one of "
            "presentations: say so with --axes, with 'presentation' for 'stimulus'"
        )
    notes = [f"not read: {n} ({why})" for n, why in content.unreadable.items()]
    used = {name, label_name}
    along = next((k for k, axis in enumerate(axes) if axis.kind == "neuroid"), None)
    n_neuroids = 1 if along is None else axes[along].length
    neuroids = _neuroids(content, axes, dims, used, path, options, n_neuroids)
    read_axes, chosen = axes, None
    if keep is not None and along is not None:
        chosen = np.flatnonzero(keep(neuroids))
        neuroids = {column: [cells[k] for k in chosen] for column, cells in neuroids.items()}
        notes.append(f"{len(chosen)} of {n_neuroids} neuroids were read")
        read_axes = (
            *axes[:along],
            replace(axes[along], length=len(chosen)),
            *axes[along + 1 :],
        )
    variable = replace(variable, values=variable.read(along, chosen))
    values, times, counts, unit, time_note = _over_time(variable, read_axes, content, options, here)
    if time_note:
        notes.append(time_note)
    n_labels, n_repetitions, *_, n_neuroids = values.shape
    flat = values.reshape(n_labels * n_repetitions, *values.shape[2:])
    columns = _along(content, axes, dims, ("stimulus", "presentation"), used, n_labels)
    return Presented(
        flat,
        [label for label in labels for _ in range(n_repetitions)],
        label_name,
        {
            column: [value for value in per_entry for _ in range(n_repetitions)]
            for column, per_entry in columns.items()
        },
        neuroids,
        name,
        axes,
        unit or variable.unit,
        notes,
        times,
        counts,
    )


def _responses(content: Variables, options: Options, where: str) -> str:
    """Return the name of the array of responses."""
    arrays = content.arrays
    if options.variable is not None:
        if options.variable in content.unreadable:
            raise ProbeError(
                f"{where}: {options.variable!r} holds {content.unreadable[options.variable]}"
            )
        if options.variable not in arrays:
            raise ProbeError(
                f"{where} has no {options.variable!r}{suggest(options.variable, arrays)}"
            )
        if arrays[options.variable].is_text:
            raise ProbeError(f"{where}: {options.variable!r} holds text, not responses")
        return options.variable
    candidates = [
        name for name, v in arrays.items() if not v.is_text and v.vector is None and v.values.size
    ]
    if candidates:
        return one_of(candidates, "the responses", "--variable", where)
    listed = [f"{name} ({' × '.join(map(str, v.values.shape))})" for name, v in arrays.items()]
    listed += [f"{name} ({why})" for name, why in content.unreadable.items()]
    few = ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "")
    raise ProbeError(
        f"{where} has no array of numbers with two or more axes, such as (presentation, neuroid): "
        f"it holds {few or 'nothing'}"
    )


def _labels(
    content: Variables,
    responses: str,
    dims: tuple[str, ...] | None,
    options: Options,
    matches: Matches,
    where: str,
) -> tuple[list[Any], str]:
    """Return which picture each entry is of, and what says so."""
    said = options.labels
    if said is not None and said not in content.arrays:
        if said in content.unreadable:
            raise ProbeError(f"{where}: {said!r} holds {content.unreadable[said]}")
        if not Path(said).expanduser().is_file():
            raise ProbeError(
                f"{where} has no {said!r}, and there is no such file either"
                + suggest(said, content.arrays)
            )
        return list(listed_names(Path(said).expanduser())), Path(said).name
    if said is None:
        candidates = [
            name
            for name, variable in content.arrays.items()
            if name != responses
            and plain_name(name) in LABELS
            and variable.vector is not None
            and (dims is None or variable.dims is None or set(variable.dims) <= set(dims))
        ]
        if len(candidates) > 1:
            fitting = [c for c in candidates if matches(_names(content.arrays[c], where, c))]
            candidates = fitting or candidates
        if not candidates:
            lost = "".join(f"; {n!r} holds {why}" for n, why in content.unreadable.items())
            texts = [n for n, v in content.arrays.items() if v.is_text and v.vector is not None]
            text_names = f" (it has the texts {', '.join(texts[:6])})" if texts else ""
            raise ProbeError(
                f"{where}: nothing says which picture each response belongs to: name the variable "
                f"with --labels{text_names}, or a .csv with a column stimulus_id{lost}"
            )
        said = one_of(candidates, "the pictures' names", "--labels", where)
    return _names(content.arrays[said], where, said), said


def _names(variable: Variable, where: str, name: str) -> list[Any]:
    vector = variable.vector
    if vector is None:
        shape = " × ".join(map(str, variable.values.shape))
        raise ProbeError(f"{where}: {name!r} has shape {shape}: names have one axis")
    return ["" if is_missing(v) else as_texts([v])[0] for v in vector]


def _axes(
    content: Variables,
    name: str,
    dims: tuple[str, ...] | None,
    labels: list[Any],
    label_name: str,
    kind: str,
    options: Options,
    where: str,
) -> tuple[Axis, ...]:
    shape = content.arrays[name].values.shape
    along = "presentation" if len(set(labels)) < len(labels) else "stimulus"
    if dims is not None:
        axes = axes_by_name(shape, dims, where)
        length = next(a.length for a in axes if a.kind in ("stimulus", "presentation"))
        if length != len(labels):
            raise ProbeError(
                f"{where} has {length} entries along its stimuli or presentations, and "
                f"{label_name} {len(labels)} names"
            )
        return axes
    lengths = {along: (len(labels), label_name)}
    if ids := _ids(content):
        lengths["neuroid"] = (content.arrays[ids].values.size, ids)
    elif options.neuroids is not None:
        rows = len(next(iter(read_columns(options.neuroids).values())))
        lengths["neuroid"] = (rows, options.neuroids.name)
    if bins := _bin_names(content):
        lengths["time"] = (content.arrays[bins[0]].values.size, bins[0])
    if options.axes is None:
        return axes_by_length(shape, lengths, where)
    if along not in options.axes:  # one showing of each picture, or the caller complains
        lengths[{"stimulus": "presentation", "presentation": "stimulus"}[along]] = lengths.pop(
            along
        )
    matlab = kind in (kinds.MATLAB_5, kinds.MATLAB_73)
    return axes_as_said(shape, options.axes, lengths, where, drops_last=matlab)


def _ids(content: Variables) -> str | None:
    for id_name in NEUROID_IDS:
        for name, variable in content.arrays.items():
            if plain_name(name) == id_name and variable.vector is not None:
                return name
    return None


def _bin_names(content: Variables) -> list[str]:
    return [
        name
        for name, variable in content.arrays.items()
        if _BINS.fullmatch(plain_name(name)) and variable.vector is not None
    ]


def _over_time(
    variable: Variable,
    axes: tuple[Axis, ...],
    content: Variables,
    options: Options,
    where: str,
) -> tuple[np.ndarray, np.ndarray | None, bool | None, str, str]:
    """Return responses, their times, whether they are counts, their unit, and a note.

    Responses are (stimulus or presentation, repetition, neuroid), or, with times, (…, time,
    neuroid).
    """
    order = [
        next((k for k, axis in enumerate(axes) if axis.kind in kind_group), None)
        for kind_group in (("stimulus", "presentation"), ("repetition",), ("time",), ("neuroid",))
    ]
    singles = [k for k, axis in enumerate(axes) if axis.kind == SINGLE]
    values = variable.read().reshape([axis.length for axis in axes])
    values = values.transpose([k for k in order if k is not None] + singles)
    values = values.reshape([1 if k is None else axes[k].length for k in order])
    values = values.astype(np.float64, copy=False)
    if order[2] is None:
        if options.window is not None:
            raise ProbeError(f"{where} has no time axis: --window has nothing to choose from")
        if options.step is not None:
            raise ProbeError(f"{where} has no time axis: leave out --step")
        if options.bins is not None:
            raise ProbeError(f"{where} has no time axis: leave out --bins")
        return values[:, :, 0], None, None, "", ""
    n_times = values.shape[2]
    starts, ends, unit = _bins(content, n_times, options, where)
    if n_times == 1 and options.step is None:
        if options.window is not None:
            _check_single(starts, ends, unit, options.window, where)
        if starts is None or ends is None:
            note = "one time bin, of which the file does not say when it is"
            return values[:, :, 0], None, None, "", note
        span = f"{starts[0]:g} to {ends[0]:g}{f' {unit}' if unit else ' (no unit in the file)'}"
        return values[:, :, 0], None, None, "", f"one time bin, {span}"
    if options.window is None and options.step is None:
        raise ProbeError(
            f"{where} has {n_times} time bins: name the window to take, as in --window 50,250ms, "
            "or keep them in steps, as in --step 10ms"
        )
    if starts is None or ends is None or unit is None:
        raise ProbeError(
            f"{where}: "
            + (
                "the file does not name the unit of its time bins: add --time-unit ms or s"
                if starts is not None and ends is not None
                else "the file does not say when its time bins begin and end: name the beginning "
                "of the first and the width of all, as in --bins -500,1ms"
            )
        )
    widths = ends - starts
    if not np.allclose(widths, widths[0]):
        raise ProbeError(
            f"{where} has time bins {widths.min():g} to {widths.max():g} {unit} long: only bins of "
            "one length can be combined"
        )
    times = np.column_stack([in_ms(starts, unit), in_ms(ends, unit)])
    return put_together(values, times, options, where)


def _bins(
    content: Variables, n: int, options: Options, where: str
) -> tuple[np.ndarray | None, np.ndarray | None, str | None]:
    """Return beginnings and ends of the time bins and their unit, as far as they are known."""
    names = _bin_names(content)
    edges: dict[str, np.ndarray] = {}
    unit = options.time_unit
    for name in names:
        vector = content.arrays[name].vector
        if vector is None or content.arrays[name].is_text or vector.size != n:
            continue
        for part in ("start", "end"):
            if part in plain_name(name):
                edges[part] = vector.astype(np.float64)
                unit = time_unit_of(name, options.time_unit, content.arrays[name].unit)
    if options.bins is not None:
        unit = unit or options.bins.unit
        first, width = options.bins.within(unit)
        starts = first + width * np.arange(n)
        if "start" in edges and not np.allclose(starts, edges["start"], 0, 1e-6 * width):
            raise ProbeError(
                f"{where}: --bins {first:g},{width:g}{unit} does not match the file, whose time "
                f"bins begin at {edges['start'][0]:g}, {edges['start'][min(1, n - 1)]:g}, …"
            )
        return starts, first + width * np.arange(1, n + 1), unit
    return edges.get("start"), edges.get("end"), unit


def _check_single(
    starts: np.ndarray | None,
    ends: np.ndarray | None,
    unit: str | None,
    window: Span,
    where: str,
) -> None:
    if starts is None or ends is None or unit is None:
        raise ProbeError(
            f"{where} has one time bin, but does not "
            + ("name its unit: add --time-unit ms or s, or" if ends is not None else "say when:")
            + " leave out --window"
        )
    if not np.allclose((starts[0], ends[0]), window.within(unit)):
        raise ProbeError(
            f"{where} has one time bin, from {starts[0]:g} to {ends[0]:g} {unit}, and not {window}"
        )


def _neuroids(
    content: Variables,
    axes: tuple[Axis, ...],
    dims: tuple[str, ...] | None,
    used: set[str],
    path: Path,
    options: Options,
    n: int,
) -> dict[str, list[Any]]:
    columns = _along(content, axes, dims, ("neuroid",), used, n)
    ids = next((c for id_name in NEUROID_IDS for c in columns if c == id_name), None)
    if ids is not None:
        columns = {"neuroid_id": columns.pop(ids), **columns}
    elif n == 1 and options.neuroids is None:
        columns = {"neuroid_id": [path.stem], **columns}
    return rename_known(columns)


def _along(
    content: Variables,
    axes: tuple[Axis, ...],
    dims: tuple[str, ...] | None,
    along_kinds: tuple[str, ...],
    used: set[str],
    n: int,
) -> dict[str, list[Any]]:
    """Return the vectors that lie along one kind of axis, by name or, without, by length alone."""
    axis = next((k for k, a in enumerate(axes) if a.kind in along_kinds), None)
    columns: dict[str, list[Any]] = {}
    only = n == 1 or [a.length for a in axes if a.kind != SINGLE].count(n) == 1
    for name, variable in content.arrays.items():
        vector = variable.vector
        if name in used or vector is None or vector.size != n:
            continue
        if dims is not None:
            if axis is None or variable.dims != (dims[axis],):
                continue
        elif not only or (axis is None and n > 1) or _BINS.fullmatch(plain_name(name)):
            continue
        columns.setdefault(plain_name(name), list(vector))
    return columns


def _spikes(content: Variables, path: Path, options: Options, matches: Matches) -> Presented:
    """Count spikes that lie in one array, with the unit of each, or the end of each unit's."""
    where = repr(str(path))
    by_plain = {plain_name(name): name for name in content.arrays}
    times_name = next(by_plain[name] for name in SPIKE_TIMES if name in by_plain)
    times = content.arrays[times_name].vector
    if times is None or content.arrays[times_name].is_text:
        raise ProbeError(f"{where}: {times_name!r} is not a list of spike times")
    unit = time_unit_of(times_name, options.time_unit, content.arrays[times_name].unit)
    if unit is None:
        raise ProbeError(
            f"{where}: the file does not name the unit of {times_name!r}: add --time-unit s or ms"
        )
    index = by_plain.get(f"{plain_name(times_name)}_index")
    ids_name = _ids(content)
    spike_units = next((by_plain[n] for n in SPIKE_UNITS if n in by_plain), None)
    if index is not None:
        ends = np.asarray(content.arrays[index].vector, dtype=np.int64)
        if ends.size == 0 or np.any(np.diff(ends) < 0) or ends[0] < 0 or ends[-1] != times.size:
            raise ProbeError(
                f"{where}: {index!r} has to hold the end of each unit's spikes, ascending up to "
                f"{times.size}"
            )
        spike_times = np.split(times.astype(np.float64), ends[:-1])
        unit_ids = [str(k) for k in range(len(ends))]
        if ids_name is not None:
            unit_ids = _names(content.arrays[ids_name], where, ids_name)
        if len(unit_ids) != len(ends):
            raise ProbeError(
                f"{where}: {ids_name!r} has {len(unit_ids)} ids, and {index!r} {len(ends)} ends"
            )
        known_by = {ids_name, index, times_name}
    elif spike_units is not None:
        of_spike = _names(content.arrays[spike_units], where, spike_units)
        if len(of_spike) != times.size:
            raise ProbeError(
                f"{where}: {spike_units!r} has {len(of_spike)} entries, and {times_name!r} "
                f"{times.size}"
            )
        unit_ids = list(dict.fromkeys(of_spike))
        if ids_name is not None and ids_name != spike_units:
            unit_ids = _names(content.arrays[ids_name], where, ids_name)
            if lost := set(of_spike) - set(unit_ids):
                raise ProbeError(
                    f"{where}: {ids_name!r} lacks unit {min(lost)!r}, which has spikes"
                )
        belongs = np.array(of_spike, dtype=object)
        spike_times = [times[belongs == u].astype(np.float64) for u in unit_ids]
        known_by = {ids_name, spike_units, times_name}
    else:
        raise ProbeError(
            f"{where}: the file does not say which unit each of {times_name!r} belongs to: "
            f"expected {plain_name(times_name)}_index (the end of each unit's spikes) or "
            "spike_units (the unit of each spike)"
        )
    if options.presentations is not None:
        table = Path(options.presentations).expanduser()
        onsets, labels, label_name, columns = read_presentations(table, unit, options, matches)
        source = table.name
    else:
        onset_name = next((by_plain[n] for n in ONSETS if n in by_plain), None)
        if onset_name is None:
            raise ProbeError(
                f"{where} has spikes but no onsets of pictures: name a table of presentations with "
                "--presentations FILE.csv (columns onset and stimulus_id)"
            )
        vector = content.arrays[onset_name].vector
        if vector is None or content.arrays[onset_name].is_text:
            raise ProbeError(f"{where}: {onset_name!r} is not a list of times")
        onsets = onsets_in(unit, vector.astype(np.float64), onset_name, options, where)
        labels, label_name = _labels(content, times_name, None, options, matches, where)
        if len(labels) != onsets.size:
            raise ProbeError(
                f"{where}: {label_name} has {len(labels)} names for {onsets.size} onsets"
            )
        columns, source = {}, onset_name
    n_units = len(unit_ids)
    unit_columns = {
        plain_name(name): list(variable.vector)
        for name, variable in content.arrays.items()
        if name not in known_by
        and variable.vector is not None
        and variable.values.size == n_units != onsets.size
    }
    return count_all(
        Spikes(spike_times, unit_ids, unit, rename_known(unit_columns)),
        Onsets(source, onsets, labels, label_name, columns), options, where,
    )  # fmt: skip
