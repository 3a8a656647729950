"""NWB files (on HDF5): the spikes of units, and what was shown when.

What pynwb 4.2 gives and a count of spikes must not take as it comes:

- ``get_unit_spike_times(k)`` takes rows counted from 0, not ids. Here units carry their ids.
- its ``in_interval`` is closed at both ends, and searches unsorted times by bisection. It is not
  used.
- ``obs_intervals`` change nothing in what it returns. They are handed on.
- ``GrayscaleImage`` and its like are (x, y) by the schema, and (row, column) as most write them
  (nwb-schema #262, #333, #660; nwbwidgets #193). Nothing in a file tells; pictures are handed on
  as they are stored.
- an ``Images`` container without ``order_of_images`` comes in the alphabet of its names, whatever
  was written; numbers of an ``IndexSeries`` then mean other pictures. Names are given only where
  the file has their order.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

REGION_COLUMNS = ("location", "region", "brain_area", "area", "ecephys_structure_acronym")
"""Columns of units and electrodes that name a region."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Presentations of pictures, from one table of intervals or one series of indices.

    Attributes
    ----------
    onsets : numpy.ndarray, shape (n_presentations,)
        In seconds.
    columns : dict of str to list
        Texts and numbers, one per presentation; the times of beginning and end are left out.
    numbers : numpy.ndarray or None
        Of the pictures, counted from 0, where names are not known from the file.
    reason : str
        Why they are not.
    frames : str
        The series of which the numbers are frames that the file holds itself; else empty.
    """

    onsets: np.ndarray
    columns: dict[str, list[Any]]
    numbers: np.ndarray | None = None
    reason: str = ""
    frames: str = ""


@dataclass(frozen=True, eq=False)
class Session:
    """The spikes of one NWB file, and what was shown.

    Attributes
    ----------
    unit_ids : list of str
        As the file has them; any integers.
    spike_times : list of numpy.ndarray
        Per unit, in seconds, in the order of the file.
    observed : list of (numpy.ndarray, shape (n, 2)) or None
        Per unit, the intervals in which it was observed; None where the file does not say.
    invalid : numpy.ndarray, shape (n, 2)
        Intervals that the file takes out of analysis.
    unit_columns : dict of str to list of str
        One per unit; ``region`` where columns or electrodes name one.
    shown : dict of str to Shown
        By the name of the table or series.
    subject : str
        Empty where the file does not say.
    pictures : dict of str to numpy.ndarray
        What the file holds of what was shown, as it is stored: two axes of the picture, of which
        the schema calls the first x and most writers make it the row, and perhaps one of colours.
        By the names of images, or as `frame_name` says.
    """

    unit_ids: list[str]
    spike_times: list[np.ndarray]
    observed: list[np.ndarray] | None
    invalid: np.ndarray
    unit_columns: dict[str, list[str]]
    shown: dict[str, Shown] = field(default_factory=dict)
    subject: str = ""
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


def frame_name(series: str, number: int) -> str:
    """Return what a frame of a series is called, which has no name of its own."""
    return f"{series}-{number:05d}"


def read_nwb(path: Path) -> Session:
    """Read the units and presentations of an NWB file on HDF5.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Session
        Without units or presentations where the file has none.

    Raises
    ------
    ImportError
        If pynwb is not installed.
    ValueError
        If it cannot be read.
    """
    import pynwb  # an extra, and it takes a while to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of namespaces that are cached in another version
        try:
            with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as io:
                return _session(io.read())
        except (OSError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"is an NWB file that pynwb cannot read ({reason})") from None


def _session(file: Any) -> Session:
    units = file.units
    ids: list[str] = []
    times: list[np.ndarray] = []
    observed: list[np.ndarray] | None = None
    columns: dict[str, list[str]] = {}
    if units is not None and "spike_times" in units.colnames:
        ids = [str(int(unit)) for unit in units.id[:]]
        rows = range(len(ids))
        times = [np.asarray(units["spike_times"][k], dtype=np.float64) for k in rows]
        if "obs_intervals" in units.colnames:
            observed = [np.asarray(units["obs_intervals"][k]).reshape(-1, 2) for k in rows]
        columns = _unit_columns(units)
    invalid = np.zeros((0, 2))
    if file.invalid_times is not None:
        invalid = np.column_stack(
            [file.invalid_times["start_time"].data[:], file.invalid_times["stop_time"].data[:]]
        )
    subject = file.subject.subject_id if file.subject is not None else ""
    return Session(
        ids, times, observed, invalid, columns, _shown(file), str(subject or ""), _pictures(file)
    )


def _shown(file: Any) -> dict[str, Shown]:
    tables = {**(file.intervals or {})}
    for table in (file.trials, file.epochs):
        if table is not None:
            tables[table.name] = table
    tables.pop("invalid_times", None)
    by_name = {}
    for name, table in tables.items():
        onsets = np.asarray(table["start_time"].data[:], dtype=np.float64)
        columns = {
            column: values
            for column in table.colnames
            if column not in ("start_time", "stop_time")
            and (values := _scalars(table[column], len(onsets))) is not None
        }
        by_name[name] = Shown(onsets, columns)
    for name, series in (file.stimulus or {}).items():
        if type(series).__name__ == "IndexSeries":
            by_name[name] = _indexed(series)
    return by_name


def _indexed(series: Any) -> Shown:
    numbers = np.asarray(series.data[:])
    onsets = np.asarray(series.get_timestamps(), dtype=np.float64)
    if series.indexed_images is not None:
        images = series.indexed_images
        if images.order_of_images is None:
            return Shown(
                onsets, {}, numbers,
                f"the Images {images.name!r} have no order_of_images: pynwb gives them in the "
                "alphabet of their names, whatever was written",
            )  # fmt: skip
        names = [image.name for image in images.order_of_images]
    else:
        target = series.indexed_timeseries
        external = None if target is None else target.external_file
        names = [] if external is None else [PurePosixPath(_text(f)).name for f in external[:]]
        if not names:
            what = "nothing" if target is None else f"frames of {target.name!r}"
            inside = "" if target is None or not _frames(target) else target.name
            return Shown(onsets, {}, numbers, f"it numbers {what}, which have no names", inside)
        starting = target.starting_frame
        if starting is not None and list(starting[:]) != list(range(len(names))):
            return Shown(onsets, {}, numbers, "its external files hold several frames each")
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(names)):
        raise ValueError(
            f"has the IndexSeries {series.name!r} with numbers {numbers.min()} to "
            f"{numbers.max()}, and {len(names)} pictures, counted from 0"
        )
    return Shown(onsets, {"picture": [names[k] for k in numbers]})


def _pictures(file: Any) -> dict[str, np.ndarray]:
    """Return the pictures that are in the file; of the frames of films, those that were shown."""
    pictures: dict[str, np.ndarray] = {}
    for template in (file.stimulus_template or {}).values():
        if type(template).__name__ == "Images":
            for name, image in template.images.items():
                if isinstance(image.data, str):  # an ExternalImage: the path of a file
                    continue
                if name in pictures:
                    raise ValueError(f"has two pictures called {name!r}")
                pictures[name] = np.asarray(image.data[:])
    for series in (file.stimulus or {}).values():
        target = getattr(series, "indexed_timeseries", None)
        if target is not None and (n_frames := _frames(target)):
            for number in np.unique(series.data[:]).tolist():
                if not 0 <= number < n_frames:
                    raise ValueError(
                        f"has the IndexSeries {series.name!r} with the number {number}, and "
                        f"{target.name!r} of {n_frames} frames, counted from 0"
                    )
                pictures[frame_name(target.name, number)] = np.asarray(target.data[number])
    return pictures


def _frames(series: Any) -> int:
    """Return how many frames a series holds itself; of external files, none."""
    return 0 if series.external_file is not None else len(series.data)


def _unit_columns(units: Any) -> dict[str, list[str]]:
    n = len(units.id)
    columns: dict[str, list[str]] = {}
    for name in units.colnames:
        values = None if name in ("spike_times", "obs_intervals") else _scalars(units[name], n)
        if values is not None:
            columns[name] = [_text(value) for value in values]
    regions = next((columns[name] for name in REGION_COLUMNS if name in columns), None)
    if regions is None and "electrodes" in units.colnames:
        regions = _of_electrodes(units, n)
    if regions is None and "electrode_group" in units.colnames:
        regions = [_text(group.location) for group in units["electrode_group"].data[:]]
    if regions is not None:
        columns["region"] = regions
    return columns


def _of_electrodes(units: Any, n: int) -> list[str] | None:
    """Return the region of each unit's electrodes; None where one has none, or several."""
    column = units["electrodes"]
    region = getattr(column, "target", column)
    locations = next(
        (region.table[name].data[:] for name in REGION_COLUMNS if name in region.table.colnames),
        None,
    )
    if locations is None:
        return None
    rows = np.asarray(region.data[:])
    ends = np.asarray(column.data[:]) if column is not region else np.arange(1, n + 1)
    starts = np.concatenate([[0], ends[:-1]])
    regions = []
    for start, end in zip(starts, ends, strict=True):
        of_unit = {_text(locations[row]) for row in rows[int(start) : int(end)]}
        if len(of_unit) != 1:
            return None
        regions.append(of_unit.pop())
    return regions


def _scalars(column: Any, n: int) -> list[Any] | None:
    """Return a column of texts or numbers; None of lists, references and the like."""
    if hasattr(column, "target") or hasattr(column, "table"):  # ragged, or rows of another table
        return None
    data = column.data
    values = data[:] if isinstance(data, Iterable) or hasattr(data, "__getitem__") else data
    values = list(values)
    if len(values) != n or not all(
        isinstance(v, str | bytes | int | float | np.generic) for v in values
    ):
        return None
    return values


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
