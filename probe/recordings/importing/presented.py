"""What every reader of a file hands on: responses to presentations, and how each axis is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError
from probe.formats.names import as_text
from probe.formats.nifti import Grid
from probe.formats.tables import read_rows

LABELS = (
    "stimulus_id", "image_id", "stimulus_name", "image_name", "picture_name", "stimulus", "image",
    "picture", "frame", "filename", "stimulus_file", "image_file", "stim_file",
)  # fmt: skip
"""Names of what tells which picture was shown, in any case of letters."""

NEUROID_IDS = (
    "neuroid_id", "neuron_id", "unit_id", "site_id", "cell_id", "voxel_id", "channel_id",
    "electrode_id",
)  # fmt: skip
"""Names of what tells the neuroids apart."""

REGIONS = ("region", "area", "brain_area", "visual_area")
SUBJECTS = ("subject", "subject_id", "animal", "animal_id", "monkey")


@dataclass(frozen=True)
class Axis:
    """One axis of an array, and why it is known which.

    Attributes
    ----------
    kind : str
        A key of `probe.recordings.importing.options.AXIS_WORDS`; ``single`` for an axis of length
        1, of which it does not matter.
    length : int
    reason : str
        A phrase: ``"its name in the file"``.
    """

    kind: str
    length: int
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.length}): {self.reason}"


@dataclass(frozen=True, eq=False)
class Presented:
    """Responses to presentations, in the order of the file.

    Attributes
    ----------
    values : numpy.ndarray, shape (n_presentations, n_neuroids) or (n_presentations, n_times, \
n_neuroids)
        Float64, NaN where there is no response.
    labels : list
        Which picture was shown at each presentation: texts or numbers.
    label_name : str
        What tells so.
    columns : dict of str to list
        What else is known, one entry per presentation.
    neuroids : dict of str to list
        One entry per neuroid; ``neuroid_id`` where the file has ids.
    variable : str
        What the responses are called, or were counted from.
    axes : tuple of Axis
        Of the array in the file.
    unit : str
        What a response is; empty where it is not known.
    notes : list of str
        What a user should know of how they were read.
    times : numpy.ndarray, shape (n_times, 2), or None
        Beginnings and ends of time bins, or instants twice, in ms after onset, where the values
        have a time axis.
    counts : bool or None
        Whether the values count something; None where it is not known.
    averaged : bool
        Whether they are means over presentations that the file does not have.
    pictures : dict of str to numpy.ndarray
        Those that the file holds itself, as it stores them.
    grid : Grid or None
        Of voxels: where they are; their columns i, j, k are indices of it.
    space : str
        Of voxels and vertices, the space that they are in; empty where it is not known.
    """

    values: np.ndarray
    labels: list[Any]
    label_name: str
    columns: dict[str, list[Any]]
    neuroids: dict[str, list[Any]]
    variable: str
    axes: tuple[Axis, ...]
    unit: str
    notes: list[str] = field(default_factory=list)
    times: np.ndarray | None = None
    counts: bool | None = None
    averaged: bool = False
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    grid: Grid | None = None
    space: str = ""


def plain_name(name: str) -> str:
    """Return a name without the struct or group that it is in, in small letters."""
    return name.rpartition(".")[2].lower()


def one_of(candidates: Sequence[str], what: str, option: str, where: str) -> str:
    """Return the only candidate.

    Raises
    ------
    ProbeError
        If there are several; the message names the option that decides.
    """
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(map(repr, candidates[:6])) + (", …" if len(candidates) > 6 else "")
    raise ProbeError(f"{where}: {what} may be {listed}: name one with {option}")


def rename_known(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return columns of neuroids, of which an area is the region and an animal the subject."""
    renamed = dict(columns)
    for name, synonyms in (("region", REGIONS), ("subject", SUBJECTS)):
        named = next((c for c in columns if plain_name(c) in synonyms), None)
        if name not in renamed and named is not None:
            renamed[name] = renamed.pop(named)
    return renamed


def time_unit_of(name: str, said: str | None, attribute: str = "") -> str | None:
    """Return the unit of times: as their name ends, as the file says, or as the user says."""
    suffix = re.search(r"_(ms|s)$", name.lower())
    if suffix:
        return suffix[1]
    return attribute if attribute in ("s", "ms") else said


def listed_names(path: Path) -> list[str]:
    """Read names in order: a text file of one per line, or a table's column.

    Raises
    ------
    ProbeError
        If it cannot be read, or which column names the pictures cannot be told.
    """
    try:
        rows = read_rows(path, repr(str(path)))
    except ValueError as error:
        raise ProbeError(str(error)) from None
    if path.suffix.lower() not in (".csv", ".tsv"):
        return [row[0] for row in rows]
    header, *body = rows or [[]]
    columns = [k for k, name in enumerate(header) if name.strip().lower() in LABELS]
    if len(columns) != 1:
        raise ProbeError(
            f"{str(path)!r} has the columns {', '.join(header)}: the one that names the pictures "
            "has to be called stimulus_id"
        )
    if uneven := next((k for k, row in enumerate(body, 1) if len(row) != len(header)), None):
        raise ProbeError(
            f"{str(path)!r} has {len(body[uneven - 1])} cells for {len(header)} columns in row "
            f"{uneven}, not counting the header"
        )
    return [row[columns[0]] for row in body]


def is_missing(label: Any) -> bool:
    """Return whether a presentation names no picture: empty, NaN or None."""
    if label is None:
        return True
    if isinstance(label, float | np.floating):
        return bool(np.isnan(label))
    return isinstance(label, str | bytes) and not label.strip()


def texts(values: Iterable[Any]) -> list[str]:
    """Return values as they are written to a table; what is missing is empty."""
    text_of: dict[tuple[type, Any], str] = {}  # a table names few things, a million times
    written = []
    for value in values:
        key = (value.__class__, value)
        if key not in text_of:
            text_of[key] = "" if is_missing(value) else as_text(value)
        written.append(text_of[key])
    return written
