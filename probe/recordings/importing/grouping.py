"""Presentations grouped by picture: what was read becomes responses (stimulus, repetition, …)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats.names import repeated
from probe.recordings.importing.inside import pictures_inside
from probe.recordings.importing.options import Options
from probe.recordings.importing.presented import Presented, rename_known, texts
from probe.recordings.importing.reading import Reading
from probe.recordings.importing.sensors import SENSOR_KINDS, by_type
from probe.recordings.importing.tables import read_columns
from probe.recordings.pictures import picture_names
from probe.stimuli import StimulusSet


def grouped(
    paths: tuple[Path, ...],
    kind: str,
    presented: Presented,
    options: Options,
    pictures: StimulusSet | None,
) -> Reading:
    """Group presentations by picture, and find the pictures."""
    where = repr(str(paths[0]))
    notes = list(presented.notes)
    labels = texts(presented.labels)
    has_picture = np.array(
        [bool(name) and name not in options.blanks for name in labels], dtype=bool
    )
    if unknown := [name for name in options.blanks if name not in labels]:
        raise ProbeError(
            f"{where}: no presentation is called {unknown[0]!r} in {presented.label_name} (--blank)"
            + suggest(unknown[0], dict.fromkeys(labels))
        )
    if not has_picture.all():
        notes.append(f"{int((~has_picture).sum())} presentations of no picture were set apart")
    if not has_picture.any():
        raise ProbeError(f"{where}: {presented.label_name} names no picture")
    names = [name for name, used in zip(labels, has_picture, strict=True) if used]
    values = presented.values if has_picture.all() else presented.values[has_picture]
    columns = {
        name: [cell for cell, used in zip(cells, has_picture, strict=True) if used]
        for name, cells in presented.columns.items()
    }
    if options.average is not None:
        names, values, columns, note = _averaged(names, values, columns, options.average, where)
        notes.append(note)
    ids = list(dict.fromkeys(names))
    position = {name: k for k, name in enumerate(ids)}
    stimulus = np.array([position[name] for name in names])
    repetition = _repetitions(stimulus, len(ids))
    responses = np.full((len(ids), int(repetition.max()) + 1, *values.shape[1:]), np.nan)
    responses[stimulus, repetition] = values
    if np.isinf(responses).any():
        raise ProbeError(f"{where}: {presented.variable} has infinite responses")
    if np.isnan(responses).all():
        raise ProbeError(f"{where}: {presented.variable} has no responses: all are missing")
    stimulus_columns: dict[str, list[str]] = {}
    for name, cells in columns.items():
        if (per_stimulus := _per_stimulus(cells, stimulus, len(ids))) is not None:
            stimulus_columns[name] = per_stimulus
    neuroids = _neuroids(presented, options, where)
    if kind in SENSOR_KINDS:
        neuroids = by_type(neuroids, where)
    if pictures is None:
        stimuli = pictures_inside(presented, ids, options, where, notes)
    else:
        stimuli = _pictures(ids, pictures, presented, options, where)
    return Reading(
        paths=paths,
        companions=_companions(options),
        kind=kind,
        variable=presented.variable,
        axes=presented.axes,
        responses=responses,
        stimulus_ids=tuple(ids),
        stimulus_columns=stimulus_columns,
        neuroid_columns=neuroids,
        label_name=presented.label_name,
        response_unit=presented.unit,
        notes=tuple(notes),
        grid=presented.grid,
        space=presented.space,
        times=presented.times,
        counts=presented.counts,
        # Several averages of a picture are its repetitions.
        averaged=responses.shape[1] == 1 and (presented.averaged or options.average is not None),
        stimuli=stimuli,
    )


def _companions(options: Options) -> tuple[Path, ...]:
    """Return the tables that say what the file does not."""
    named = (
        options.labels, options.presentations, options.neuroids, *options.events, *options.masks,
        options.key,
    )  # fmt: skip
    files = (Path(name).expanduser() for name in named if name is not None)
    return tuple(path for path in files if path.is_file())


def _averaged(
    names: Sequence[str],
    values: np.ndarray,
    columns: dict[str, list[Any]],
    by: str,
    where: str,
) -> tuple[list[str], np.ndarray, dict[str, list[Any]], str]:
    """Average the presentations of one picture that have the same value in a column.

    Returns
    -------
    names, values, columns
        Of what is left, in the order in which each began; a column is kept where it has one value
        in each average.
    note : str
    """
    if by not in columns:
        raise ProbeError(
            f"{where}: presentations have no column {by!r} (--average)"
            + (suggest(by, columns) or f": they have {', '.join(columns) or 'none'}")
        )
    cells = texts(columns[by])
    if "" in cells:
        raise ProbeError(f"{where}: a presentation of {names[cells.index('')]!r} has no {by}")
    keys = list(zip(names, cells, strict=True))
    position = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    rows = np.array([position[key] for key in keys])
    n = len(position)
    sums = np.zeros((n, *values.shape[1:]))
    np.add.at(sums, rows, values)
    counts = np.bincount(rows, minlength=n)
    of_means = {
        c: per for c, v in columns.items() if (per := _per_stimulus(v, rows, n)) is not None
    }
    sizes = (
        f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    )
    note = (
        f"{len(names)} presentations were averaged by picture and {by}: {n} means of {sizes} each"
    )
    means = sums / counts.reshape(n, *[1] * (values.ndim - 1))
    return [name for name, _ in position], means, of_means, note


def _repetitions(stimulus: np.ndarray, n_stimuli: int) -> np.ndarray:
    """Number the presentations of each stimulus, in their order."""
    order = np.argsort(stimulus, kind="stable")
    counts = np.bincount(stimulus, minlength=n_stimuli)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    repetition = np.empty_like(stimulus)
    repetition[order] = np.arange(len(stimulus)) - first[stimulus[order]]
    return repetition


def _per_stimulus(cells: Sequence[Any], stimulus: np.ndarray, n: int) -> list[str] | None:
    """Return what a column says of each stimulus; None where its presentations differ."""
    values: list[str | None] = [None] * n
    try:
        plain = texts(cells)
    except ValueError:
        return None
    for k, text in zip(stimulus.tolist(), plain, strict=True):
        if values[k] is None:
            values[k] = text
        elif values[k] != text:
            return None
    return [value or "" for value in values]


def _neuroids(presented: Presented, options: Options, where: str) -> dict[str, list[str]]:
    n = presented.values.shape[-1]
    columns = {name: texts(cells) for name, cells in presented.neuroids.items()}
    if options.neuroids is not None:
        columns = _with_table(columns, n, options.neuroids, where)
    ids = columns.pop("neuroid_id", None) or [f"n{k + 1:04d}" for k in range(n)]
    if repeated(ids) and "subject" in columns:  # sites that are numbered in each animal anew
        ids = [f"{subject}-{i}" for subject, i in zip(columns["subject"], ids, strict=True)]
    if twice := repeated(ids):
        raise ProbeError(f"{where} has two neuroids called {twice!r}")
    for name, said in (("region", options.region), ("subject", options.subject)):
        if said is None:
            continue
        if name in columns and set(columns[name]) != {said}:
            named = ", ".join(dict.fromkeys(columns[name]))
            raise ProbeError(f"{where} names the {name} itself: {named}; leave out --{name}")
        columns[name] = [said] * n
    for name in ("region", "subject"):
        if name in columns and not any(columns[name]):
            del columns[name]
        elif name in columns and not all(columns[name]):
            lacking = ids[columns[name].index("")]
            raise ProbeError(f"{where}: neuroid {lacking!r} has no {name}, and others have")
    return {"neuroid_id": ids, **columns}


def _with_table(
    columns: dict[str, list[str]], n: int, path: Path, where: str
) -> dict[str, list[str]]:
    """Add what a table says of the neuroids: by their ids, or, where there are none, in order."""
    table = {name: texts(cells) for name, cells in rename_known(read_columns(path)).items()}
    listed, ids = table.pop("neuroid_id", None), columns.get("neuroid_id")
    rows = list(range(n))
    if ids is not None and listed is None:
        raise ProbeError(
            f"{str(path)!r} has no column neuroid_id, and {where} gives ids: which row describes "
            "which neuroid is ambiguous"
        )
    if ids is not None and listed is not None:
        if twice := repeated(listed):
            raise ProbeError(f"{str(path)!r} has two rows of neuroid {twice!r}")
        row_of = {name: k for k, name in enumerate(listed)}
        if lacking := [name for name in ids if name not in row_of]:
            raise ProbeError(
                f"{str(path)!r} has no row of neuroid {lacking[0]!r} of {where} ({len(lacking)} of "
                f"{n}){suggest(lacking[0], listed)}"
            )
        rows = [row_of[name] for name in ids]
    else:
        length = len(next(iter(table.values()), listed or []))
        if length != n:
            raise ProbeError(f"{str(path)!r} has {length} rows, and {where} {n} neuroids")
        if listed is not None:
            table = {"neuroid_id": listed, **table}
    for name, cells in table.items():
        ordered = [cells[row] for row in rows]
        if columns.setdefault(name, ordered) != ordered:
            raise ProbeError(f"{str(path)!r} and {where} disagree in the {name} of neuroids")
    return columns


def _pictures(
    ids: Sequence[str],
    pictures: StimulusSet,
    presented: Presented,
    options: Options,
    where: str,
) -> StimulusSet:
    meant = picture_names(ids, pictures.ids)
    missing = [name for name, picture in zip(ids, meant, strict=True) if picture is None]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ProbeError(
            f"{where}: no picture in {options.stimuli or pictures.name!r} is called "
            f"{missing[0]!r}{more} of {len(ids)} names in {presented.label_name}"
            f"{suggest(missing[0], pictures.ids)} (--labels names the pictures differently, "
            "--blank NAME what is no picture)"
        )
    matched = [picture for picture in meant if picture is not None]
    if twice := repeated(matched):
        both = [name for name, p in zip(ids, matched, strict=True) if p == twice]
        raise ProbeError(f"{where}: {both[0]!r} and {both[1]!r} both mean the picture {twice!r}")
    return pictures.subset(pictures.index(matched))
