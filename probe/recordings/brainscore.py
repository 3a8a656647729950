"""Brain-Score's files: an assembly in netCDF, a table of its pictures, and an archive of them.

The assembly is read as any file of arrays that a user imports, with what the manifest says where
the file is silent. Which neuroids are wanted is decided before their responses are read: such a
file holds tens of thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from probe.assets.manifest import Manifest
from probe.errors import ProbeError, suggest
from probe.formats.names import as_text
from probe.formats.netcdf import read_classic, read_hdf5
from probe.formats.variables import Variable
from probe.recordings.folder import RESERVED
from probe.recordings.importing import Reading, read_recording
from probe.recordings.importing.options import Span
from probe.recordings.importing.presented import texts
from probe.recordings.importing.tables import read_columns
from probe.recordings.recording import RESPONSE_DIMS, TIME_DIMS, Recording
from probe.recordings.reliability import PUBLISHED
from probe.stimuli import StimulusSet
from probe.stimuli.archive import members
from probe.stimuli.image_sets import as_written

IDS = ("stimulus_id", "image_id")
"""What names the pictures, in files of today and of once."""

FILE_NAMES = ("filename", "image_file_name")
"""Columns of the table that name the files in the archive, likewise."""

POOLED = "pooled"
"""Where the file names no animals or people."""


@dataclass(frozen=True)
class Part:
    """What is wanted of a recording; a loader may leave the rest unread.

    Attributes
    ----------
    region, subject : str or None
        None for all.
    min_reliability : float or None
        Of each neuroid, where its reliability was published, and there are no repetitions from
        which it can be estimated on others than are kept.
    """

    region: str | None = None
    subject: str | None = None
    min_reliability: float | None = None


def read_assembly(
    manifest: Manifest,
    assembly: Path,
    stimuli: StimulusSet,
    part: Part,
    attrs: Mapping[str, Any],
) -> Recording:
    """Read what is wanted of an assembly.

    Presentations of a picture are its repetitions, in their order in the file, whatever its
    ``repetition`` says: in some files that is not unique.

    Parameters
    ----------
    manifest : Manifest
    assembly : Path
    stimuli : StimulusSet
        See `read_stimuli`.
    part : Part
    attrs : mapping
        Of the recording.

    Returns
    -------
    Recording
        With all coordinates of neuroids and presentations that the file has; the published
        reliability of each neuroid, where there is one, is ``published_reliability``.

    Raises
    ------
    ProbeError
        If the file is not what its manifest says, or has nothing of what is wanted.
    """
    layout = _layout(manifest, assembly)
    picture_ids = {as_text(name) for name in stimuli.ids}
    if missing := [name for name in layout.shown if name not in picture_ids]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _differs(
            assembly,
            f"it shows {missing[0]!r}{more}, and the table of pictures has no such "
            f"{IDS[0]}{suggest(missing[0], stimuli.ids)}",
        )
    window = manifest.responses.window_ms
    step = None
    if layout.n_times > 1 and window is None and layout.span is not None:  # all time bins are kept
        width = Span(*layout.span, str(manifest.responses.time_unit)).within("ms")
        step = f"{width[1] - width[0]:.6g}ms"
    reliability = manifest.responses.reliability
    if layout.repeats or reliability is None:  # then it is estimated from repetitions, or not known
        part = replace(part, min_reliability=None)
    columns_used: list[int] = []

    def keep(neuroids: Mapping[str, list[Any]]) -> np.ndarray:
        chosen = _kept(neuroids, layout.n_neuroids, manifest, part, assembly)
        columns_used.append(int(chosen.sum()))
        reliable = _reliable(neuroids, chosen, manifest, part, assembly)
        columns_used.append(int(reliable.sum()))
        _check_memory(manifest, columns_used[-1], layout)
        return reliable

    try:
        reading = read_recording(
            assembly,
            stimuli=stimuli,
            variable=layout.variable,
            labels=layout.labels,
            window=None if window is None else f"{window[0]:g},{window[1]:g}ms",
            step=step,
            time_unit=manifest.responses.time_unit,
            keep=keep,
        )
    except _Told:
        raise
    except ProbeError as error:
        raise _differs(assembly, str(error).removeprefix(f"{str(assembly)!r} ")) from None
    assert reading.stimuli is not None
    n = reading.responses.shape[-1]
    columns = {name: as_written(pd.Series(c)) for name, c in reading.neuroid_columns.items()}
    columns["neuroid_id"] = reading.neuroid_columns["neuroid_id"]
    columns["region"] = reading.neuroid_columns.get("region") or [manifest.regions[0].name] * n
    columns["subject"] = reading.neuroid_columns.get("subject") or [POOLED] * n
    if reliability is not None and reliability in columns:
        columns[PUBLISHED] = _numbers(reading.neuroid_columns[reliability], assembly)
    described = dict(reading.stimulus_columns)
    if reading.stimuli.metadata is not None:
        described |= {str(c): list(v) for c, v in reading.stimuli.metadata.items()}
    # Pictures that belong together are ours to say: a column of theirs by that name is another.
    taken = {*RESERVED, *columns, "group", "variant"}
    data = xr.Dataset(
        {"responses": (RESPONSE_DIMS if reading.times is None else TIME_DIMS, reading.responses)},
        coords={
            **(
                {}
                if reading.times is None
                else {
                    "time_start": ("time", reading.times[:, 0]),
                    "time_end": ("time", reading.times[:, 1]),
                }
            ),
            "stimulus_id": ("stimulus", list(reading.stimuli.ids)),
            **{c: ("stimulus", v) for c, v in described.items() if c not in taken},
            **{c: ("neuroid", v) for c, v in columns.items() if c not in _DIMENSIONS},
        },
        attrs={
            **attrs,
            "averaged": manifest.responses.averaged and not layout.repeats,
            "response_unit": _unit(manifest, reading, layout),
            **({} if reading.counts is None else {"counts": reading.counts}),
            **_selection(part.min_reliability, *columns_used),
        },
    )
    return Recording(data, reading.stimuli)


_DIMENSIONS = {"stimulus", "repetition", "neuroid", "time", "responses", "stimulus_id"}


def read_stimuli(table: Path, archive: Path, name: str) -> StimulusSet:
    """Make a stimulus set of a table and an archive, which is not unpacked.

    Parameters
    ----------
    table : Path
        A .csv with a column stimulus_id (once image_id) and one of the files' names, filename
        (once image_file_name).
    archive : Path
        A .zip.
    name : str
        Of the set.

    Returns
    -------
    StimulusSet
        In the order of the table, whose other columns are its metadata.

    Raises
    ------
    ProbeError
        If a column or a picture is missing.
    """
    columns = read_columns(table)
    id_column = next((c for c in IDS if c in columns), None)
    file_column = next((c for c in FILE_NAMES if c in columns), None)
    if id_column is None or file_column is None:
        lacks = IDS[0] if id_column is None else FILE_NAMES[0]
        raise _differs(table, f"it has no column {lacks!r}{suggest(lacks, columns)}")
    by_member = {member.name: member for member in members(archive)}
    last = {path.rpartition("/")[2]: path for path in by_member}
    ids, sources = texts(columns[id_column]), []
    for stimulus, file_name in zip(ids, texts(columns[file_column]), strict=True):
        path = file_name if file_name in by_member else last.get(file_name.rpartition("/")[2])
        if path is None:
            raise _differs(
                archive, f"it has no picture {file_name!r}, which is {stimulus!r}"
                f"{suggest(file_name, last)}"
            )  # fmt: skip
        sources.append(by_member[path])
    others = {
        name: as_written(pd.Series(cells, dtype=object))
        for name, cells in columns.items()
        if name and name not in (*IDS, *FILE_NAMES)
    }
    return StimulusSet(ids, sources, name, metadata=pd.DataFrame(others) if others else None)


@dataclass(frozen=True)
class _Layout:
    """What is where in an assembly."""

    variable: str
    labels: str
    n_presentations: int
    n_neuroids: int
    n_times: int
    shown: tuple[str, ...]  # each picture once
    repeats: bool  # whether one was presented again
    span: tuple[float, float] | None  # of the first time bin


class _Told(ProbeError):
    """What is wrong, in the words of the dataset already."""


def _of_responses(arrays: Mapping[str, Variable]) -> list[str]:
    return [name for name, v in arrays.items() if {"presentation", "neuroid"} <= set(v.dims or ())]


def _layout(manifest: Manifest, assembly: Path) -> _Layout:
    """Find the responses and the names of pictures, and see that time can be made one window."""
    try:
        with assembly.open("rb") as file:
            classic = file.read(3) == b"CDF"
        content = read_classic(assembly) if classic else read_hdf5(assembly)
    except OSError as error:
        raise ProbeError(f"file {str(assembly)!r} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise _differs(assembly, f"it {error}") from None
    # What lies in a group is beside the responses, as is what one did to other pictures.
    arrays = {name: v for name, v in content.arrays.items() if "." not in name and v.dims}
    of_responses = _of_responses(arrays)
    if not of_responses:  # an assembly may be called after its lab, as in dicarlo.MajajHong2015
        arrays = {name: v for name, v in content.arrays.items() if v.dims}
        of_responses = _of_responses(arrays)
    if len(of_responses) != 1:
        listed = [f"{name} ({', '.join(v.dims or ())})" for name, v in arrays.items()]
        raise _differs(
            assembly,
            f"expected one array of presentation × neuroid, but there are {len(of_responses)}: "
            "it has "
            + (", ".join(listed[:6]) + (", …" if len(listed) > 6 else "") if listed else "nothing"),
        )
    responses = arrays[of_responses[0]]
    labels = next((i for i in IDS if _along(arrays.get(i), "presentation")), None)
    if labels is None:
        raise _differs(assembly, "no stimulus_id says what each presentation was of")
    if not _along(arrays.get("neuroid_id"), "neuroid"):
        raise _differs(assembly, "no neuroid_id tells its neuroids apart")
    lengths = dict(zip(responses.dims or (), responses.values.shape, strict=True))
    n_times = lengths.get("time_bin", 1)
    borders = [arrays.get(f"time_bin_{end}") for end in ("start", "end")]
    span_borders = [float(b.read().flat[0]) for b in borders if b is not None and not b.is_text]
    if n_times > 1 and (len(span_borders) < 2 or manifest.responses.time_unit is None):
        raise _differs(
            assembly,
            f"it has {n_times} time bins whose times are not known: expected time_bin_start "
            "and time_bin_end, and their time_unit in the manifest",
        )
    span = (span_borders[0], span_borders[1]) if len(span_borders) == 2 else None
    named = [name for name in texts(arrays[labels].read().tolist()) if name]
    pictures = tuple(dict.fromkeys(named))
    n_presentations, n_neuroids = lengths["presentation"], lengths["neuroid"]
    repeats = len(pictures) < len(named)
    return _Layout(
        of_responses[0], labels, n_presentations, n_neuroids, n_times, pictures, repeats, span
    )


def _along(variable: Variable | None, dimension: str) -> bool:
    return variable is not None and variable.dims == (dimension,)


def _kept(
    neuroids: Mapping[str, list[Any]], n: int, manifest: Manifest, part: Part, path: Path
) -> np.ndarray:
    """Return which neuroids are wanted, by what the file says of them."""
    chosen = np.ones(n, dtype=bool)
    for what, part_name in (("region", part.region), ("subject", part.subject)):
        if part_name is None:
            continue
        if what not in neuroids:
            if what == "subject":
                raise _Told(f"{manifest.name} names no subjects: {path.name} has none")
            if len(manifest.regions) > 1:
                raise _differs(path, "it does not say the region of each neuroid")
            continue
        names = texts(neuroids[what])
        of_neuroids = np.array(names, dtype=object)
        if part_name not in of_neuroids[chosen]:
            there = [name for name in dict.fromkeys(of_neuroids[chosen]) if name]
            within = f" in {part.region}" if what == "subject" and part.region else ""
            raise _Told(
                f"{manifest.name} has no {what} {part_name!r}{within}{suggest(part_name, there)}"
            )
        chosen &= of_neuroids == part_name
    return chosen


def _reliable(
    neuroids: Mapping[str, list[Any]], kept: np.ndarray, manifest: Manifest, part: Part, path: Path
) -> np.ndarray:
    """Return which of the neuroids that are wanted are reliable enough, as published."""
    name = manifest.responses.reliability
    if part.min_reliability is None or name is None:
        return kept
    if name not in neuroids:
        raise _Told(
            f"{manifest.name}: no reliability of its neuroids was published with {path.name} "
            f"(it has no {name!r})"
        )
    values = _numbers(texts(neuroids[name]), path)
    is_published = kept & np.isfinite(values)
    reliable = is_published & (values >= part.min_reliability)
    if not reliable.any():
        highest = (
            f"the highest is {values[is_published].max():.3g}"
            if is_published.any()
            else "none is known"
        )
        raise _Told(
            f"{manifest.name}: no neuroid has a published reliability ≥ "
            f"{part.min_reliability:g}: {highest}"
        )
    return reliable


COPIES = 2.5
"""Of the responses that are wanted, how many are in memory while they are put in order."""


def _check_memory(manifest: Manifest, n_neuroids: int, layout: _Layout) -> None:
    """Check that there is room for the responses, before they are read."""
    import psutil

    n_values = n_neuroids * layout.n_presentations * layout.n_times
    needed, free = COPIES * 8 * n_values, int(psutil.virtual_memory().available)
    if needed > free:
        raise _Told(
            f"{manifest.name}: {layout.n_presentations:,} presentations of {n_neuroids:,} neuroids"
            f"{f' in {layout.n_times} time bins' if layout.n_times > 1 else ''} take "
            f"{needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: choose one "
            "subject, or reliable neuroids only (subject, min_reliability)"
        )


def _selection(threshold: float | None, n: int = 0, n_kept: int = 0) -> dict[str, Any]:
    """Return how neuroids were chosen by their published reliability, if they were."""
    if threshold is None:
        return {}
    said = f"neuroids with reliability ≥ {threshold:g}: {n_kept} of {n}, as published, of the same "
    return {
        "selection": {
            "threshold": threshold,
            "n_kept": n_kept,
            "n": n,
            "seed": None,
            "by": "published",
            "said": said + "responses",
        }
    }


def _numbers(cells: list[str], path: Path) -> np.ndarray:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError as error:  # which says what could not be converted
        raise _differs(path, f"a published reliability is not a number ({error})") from None


def _unit(manifest: Manifest, reading: Reading, layout: _Layout) -> str:
    """Return what a response is, and of which window."""
    unit = manifest.responses.unit
    window = ""
    if layout.n_times > 1:
        window = reading.response_unit  # as in "sum over 50 to 200 ms after onset"
    elif layout.span is not None and (time_unit := manifest.responses.time_unit) is not None:
        window = f"{layout.span[0]:g} to {layout.span[1]:g} {time_unit} after onset"
    return ", ".join(filter(None, (unit, window)))


def _differs(path: Path, how: str) -> ProbeError:
    return _Told(f"file {str(path)!r} is not what its manifest says: {how}")
