"""What was read from a file, said in words, and written as a folder of our own."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from probe import images
from probe.errors import ProbeError
from probe.formats import kinds
from probe.formats.names import repeated
from probe.formats.nifti import Grid
from probe.recordings.folder import MANIFEST, NEUROIDS, TIMES, from_folder, responses_hash
from probe.recordings.importing.inside import INSIDE
from probe.recordings.importing.presented import Axis, texts
from probe.recordings.recording import TIME_DIMS, Recording
from probe.recordings.times import describe_times
from probe.stimuli import StimulusSet


@dataclass(frozen=True, eq=False, repr=False)
class Reading:
    """Responses that were read from a file, and how each axis of it was known.

    Attributes
    ----------
    paths : tuple of Path
        The files.
    companions : tuple of Path
        Tables that say what the files do not.
    kind : str
        Of file.
    variable : str
        The array, or what was counted.
    axes : tuple of Axis
        Of the array in the file, in its order, each with the reason why it is known.
    responses : numpy.ndarray, shape (n_stimuli, n_repetitions, n_neuroids)
        Float64, NaN where missing; with ``times``, (n_stimuli, n_repetitions, n_times, n_neuroids).
    stimulus_ids : tuple of str
        As the file names them, in the order of their first presentation.
    stimulus_columns, neuroid_columns : dict of str to list of str
        What else is known of the stimuli, and of the neuroids.
    label_name : str
        What says which picture was shown.
    response_unit : str
        What a response is; empty where it is not known.
    notes : tuple of str
        What a user should know of how it was read.
    stimuli : StimulusSet or None
        The pictures, in the order of ``stimulus_ids``; None where none were named.
    grid : Grid or None
        Of voxels, where they are: their columns i, j, k are indices of it.
    space : str
        The space that voxels or vertices are in; empty where it is not known.
    times : numpy.ndarray, shape (n_times, 2), or None
        Beginnings and ends of time bins, or instants twice, in ms after onset.
    counts : bool or None
        Whether the responses count something; None where it is not known.
    averaged : bool
        Whether the one repetition is a mean over several.
    """

    paths: tuple[Path, ...]
    companions: tuple[Path, ...]
    kind: str
    variable: str
    axes: tuple[Axis, ...]
    responses: np.ndarray
    stimulus_ids: tuple[str, ...]
    stimulus_columns: dict[str, list[str]]
    neuroid_columns: dict[str, list[str]]
    label_name: str
    response_unit: str
    notes: tuple[str, ...]
    stimuli: StimulusSet | None
    grid: Grid | None = None
    space: str = ""
    times: np.ndarray | None = None
    counts: bool | None = None
    averaged: bool = False

    def describe(self) -> list[tuple[str, str]]:
        """Return how the file was read, as (what, how) lines.

        Returns
        -------
        list of (str, str)
        """
        responses = self.responses
        present = np.isfinite(responses)
        there = present.any(axis=tuple(range(2, present.ndim)))
        counts = present.sum(axis=1)
        low, high = int(counts.min()), int(counts.max())
        total = float(np.nansum(responses))
        is_integer = total == round(total)
        lines = [
            ("file" if len(self.paths) == 1 else "files", f"{_named(self.paths)} ({self.kind})"),
            *(("with", names) for names in _listed(self.companions)),
            ("responses", self.variable),
            *(("axis", str(axis)) for axis in self.axes),
            ("pictures", f"named by {self.label_name}; {self._matched()}"),
            ("stimuli", f"{len(self.stimulus_ids)}, {_few(self.stimulus_ids)}"),
            (
                "repetitions",
                "averaged" if self.averaged else str(low) if low == high else f"{low} to {high}",
            ),
            *([("time", describe_times(self.times))] if self.times is not None else []),
            ("neuroids", f"{responses.shape[-1]}, {_few(self.neuroid_columns['neuroid_id'])}"),
        ]
        if self.grid is not None or "vertex" in self.neuroid_columns:
            space = self.space or "not named by the files"
            lines.append(("space", f"{space}{f'; {self.grid}' if self.grid else ''}"))
        for name in ("region", "subject", "hemisphere"):
            if name in self.neuroid_columns:
                counted = dict.fromkeys(self.neuroid_columns[name], 0)
                for value in self.neuroid_columns[name]:
                    counted[value] += 1
                lines.append(
                    (name, ", ".join(f"{v or '(none)'} ({n})" for v, n in counted.items()))
                )
        lines += [
            ("unit", self.response_unit or "not in the file"),
            (
                "values",
                f"{np.nanmin(responses):g} to {np.nanmax(responses):g}, sum "
                f"{int(total) if is_integer else f'{total:.6g}'}",
            ),
            # Of repetitions that others have more of, nothing is missing.
            ("missing", f"{int((~present[there]).sum())} of {int(present[there].size)}"),
            *(("note", note) for note in self.notes),
        ]
        return lines

    def save(
        self, folder: Path | str, *, title: str = "", citation: str = "", licence: str = ""
    ) -> Recording:
        """Write a folder that `probe.recordings.load` takes by its path; whole, or not at all.

        Parameters
        ----------
        folder : path
            Must not exist, or be empty. Its name becomes the recording's.
        title, citation, licence : str, optional
            Whose data these are; kept in recording.json, where they can be filled in later.

        Returns
        -------
        Recording
            As read from the folder.

        Raises
        ------
        ProbeError
            If there is such a folder, no pictures were named, or the recording is not valid: a
            stimulus without a response of some neuroid, say.
        """
        folder = Path(folder).expanduser().absolute()
        check_free(folder)
        if self.stimuli is None:
            question = ask_for_pictures(in_file=self.kind == kinds.NWB)
            raise ProbeError(f"{_named(self.paths)}: {question}")
        names = _file_names(self.stimuli)
        with _whole(folder) as partial:
            (partial / "images").mkdir(parents=True)
            for k, name in enumerate(names):
                (partial / "images" / name).write_bytes(self.stimuli.content(k))
            np.save(partial / "responses.npy", self.responses)
            columns = {"stimulus_id": names, "name": list(self.stimulus_ids)}
            others = dict(self.stimulus_columns)
            if self.stimuli.metadata is not None:
                others |= {str(c): list(v) for c, v in self.stimuli.metadata.items()}
            columns |= {
                column: cells
                for column, cells in others.items()
                if column not in (*columns, *NEUROIDS, *TIME_DIMS)
            }
            _write_csv(partial / "stimuli.csv", columns)
            _write_csv(partial / "neuroids.csv", self.neuroid_columns)
            if self.times is not None:
                times = {name: self.times[:, k] for k, name in enumerate(TIMES)}
                _write_csv(partial / "times.csv", times)
            record = {
                "title": title or f"imported from {_named(self.paths)}",
                "citation": citation,
                "licence": licence,
                "response_unit": self.response_unit,
                "averaged": self.averaged,
                **({} if self.counts is None else {"counts": self.counts}),
                "responses_sha256": responses_hash(self.responses, self.times),
                **self._placed(),
                "sources": [_source(path) for path in (*self.paths, *self.companions)],
                "reading": [f"{what}: {how}" for what, how in self.describe()],
                "probe": metadata.version("cnn-probe"),
            }
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            (partial / MANIFEST).write_text(text, encoding="utf-8")
            try:
                from_folder(partial)
            except ProbeError as error:
                raise ProbeError(str(error).replace(str(partial), str(folder))) from None
        return from_folder(folder)

    def _placed(self) -> dict[str, Any]:
        """Return what the manifest says of where voxels or vertices are."""
        placed: dict[str, Any] = {}
        if self.grid is not None:
            placed["volume_shape"] = list(self.grid.shape)
            placed["affine"] = self.grid.affine.ravel().tolist()
        if self.space:
            placed["space"] = self.space
        return placed

    def _matched(self) -> str:
        if self.stimuli is None:
            return "not looked for (--stimuli)"
        name = self.stimuli.name
        return f"all found in {name if name == INSIDE else repr(name)} by name"

    def __repr__(self) -> str:
        return "\n".join(["<reading", *(f"  {what}: {how}" for what, how in self.describe()), ">"])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(what)}</th>"
            f"<td style='text-align:left'>{html.escape(how)}</td></tr>"
            for what, how in self.describe()
        )
        return f"<table>{cells}</table>"


def ask_for_pictures(*, in_file: bool) -> str:
    """Return the question where pictures are that may lie ``in_file``, and what answers it."""
    inside = (
        ", or say with --picture-axes how those inside the file lie: y,x or x,y" if in_file else ""
    )
    return f"where are the pictures? Name their folder with --stimuli{inside}"


def check_free(folder: Path) -> None:
    """Refuse to overwrite a file, or a folder with something in it.

    Raises
    ------
    ProbeError
        If there is a file, or a folder that is not empty.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise ProbeError(f"{str(folder)!r} exists: name another folder with --output, or remove it")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Return a folder of the same name to write to, which takes its place when all is written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise ProbeError(f"{str(folder)!r} cannot be written ({error.strerror})") from None
    try:
        yield partial / folder.name
        if folder.is_dir():
            folder.rmdir()  # empty, as checked
        (partial / folder.name).rename(folder)
    except OSError as error:
        raise ProbeError(f"{str(folder)!r} cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _file_names(stimuli: StimulusSet) -> list[str]:
    names = []
    for k, stimulus in enumerate(stimuli.ids):
        name = stimulus.replace("\\", "/").replace("/", "_")
        if PurePosixPath(name).suffix.lower() not in images.SUFFIXES:
            name += stimuli.suffix(k)
        names.append(name.lstrip("."))
    if twice := repeated(name.casefold() for name in names):
        raise ProbeError(f"two pictures would both be called {twice!r}: rename one")
    return names


def _write_csv(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(texts(cells) for cells in columns.values()), strict=True))
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def _source(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "sha256": digest, "bytes": path.stat().st_size}


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0].name}{more}"


def _listed(paths: Sequence[Path]) -> list[str]:
    """Return the names of a few files one by one, of many in one line."""
    names = [path.name for path in paths]
    return names if len(names) <= 3 else [", ".join(names)]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
