"""A recording that was dropped on the page: laid out, read, and described before anything runs.

A folder with ``responses.npy`` is read as `probe.recordings.from_folder` reads it; files of other
kinds as `probe datasets import` does, which refuses what can be read in two ways.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from probe import images
from probe.errors import ProbeError
from probe.output.files import plain_name
from probe.studio import uploads

if TYPE_CHECKING:  # it imports xarray and pandas
    from probe.recordings import Recording

RESPONSES = "responses.npy"
"""By which a folder in the layout of `probe.recordings.from_folder` is known."""

COMPANIONS = ("labels", "presentations", "neuroids", "events", "mask", "key")
"""Options of ``datasets import`` that name files; a file that is called so is that one."""

TABLES = (".csv", ".tsv", ".parquet")


class Dropped(NamedTuple):
    """A file as it was dropped: where it is now, and its name with the folders it lay in."""

    path: Path
    name: str


@dataclass(frozen=True)
class Understood:
    """A recording that was read.

    Attributes
    ----------
    folder : Path
        As `probe.recordings.load` takes it.
    lines : tuple of (str, str)
        What it holds, and how that is known.
    regions, subjects : tuple of str
    imported : str
        The command that made the folder of the files; empty where the folder was dropped.
    """

    folder: Path
    lines: tuple[tuple[str, str], ...]
    regions: tuple[str, ...]
    subjects: tuple[str, ...]
    imported: str = ""


def files_of(value: Any, uploaded: Path) -> list[Dropped]:
    """Return the files that a page says it uploaded.

    Parameters
    ----------
    value : object
        A list of ``{"path": …, "name": …}``, as the page sends it.
    uploaded : Path
        The folder in which uploads are; nothing outside of it is read.

    Raises
    ------
    ProbeError
        If a file is elsewhere, or its name leaves the folder that was dropped.
    """
    files = []
    for one in value or []:
        path, name = Path(str(one["path"])).resolve(), PurePosixPath(str(one["name"]))
        if not path.is_relative_to(uploaded.resolve()) or not path.is_file():
            raise ProbeError(f"{name.name!r} was not uploaded here: drop it again")
        if name.is_absolute() or ".." in name.parts or not name.name:
            raise ProbeError(f"{str(name)!r} is no name of a file in a folder")
        files.append(Dropped(path, str(name)))
    return files


def understand(files: Sequence[Dropped], options: Mapping[str, str], folder: Path) -> Understood:
    """Read what was dropped.

    Parameters
    ----------
    files : sequence of Dropped
    options : mapping
        Of ``datasets import``, by the names of parameters; what is empty is not said.
    folder : Path
        An empty one, which takes the files and the recording.

    Raises
    ------
    ProbeError
        If it is no recording, can be read in two ways, or is damaged: the importer's own line.
    """
    for file in files:
        if _is_picture(file.name):
            uploads.check(file.path)
    try:
        if any(PurePosixPath(file.name).name == RESPONSES for file in files):
            return _of_folder(files, folder)
        return _of_files(files, {k: v for k, v in options.items() if v}, folder)
    except ProbeError as error:  # which says where the files lie for the time being
        message = str(error)
        for prefix in (f"{folder}{os.sep}in{os.sep}", f"{folder}{os.sep}"):
            message = message.replace(prefix, "")
        raise ProbeError(message) from None


def named(name: str) -> list[tuple[str, str]]:
    """Return what is known of a recording by its name, before its files are read.

    Raises
    ------
    ProbeError
        If there is none; with the nearest names.
    """
    from probe import recordings
    from probe.recordings.catalogue import find_named, recorded
    from probe.recordings.names import check_name, head_of, is_path

    check_name(name)
    if is_path(name):
        return list(_described(recordings.from_folder(name)))
    entry = next(e for e in recordings.available() if head_of(name) in (e.name, *e.aliases))
    dataset = find_named(name, recorded())
    session = dataset.session if dataset is not None else None
    lines = [("recording", f"{entry.name}{f'/{session}' if session else ''}: {entry.title}")]
    if dataset is not None and session is not None:
        of_session = dataset.manifest.sessions[session]
        lines.append(("stimuli", str(of_session.n_stimuli or entry.n_stimuli or "")))
        lines += [("subject", of_session.subject)] if of_session.subject else []
    elif entry.n_stimuli:
        lines.append(("stimuli", str(entry.n_stimuli)))
    lines.append(("region", ", ".join(entry.regions)))
    terms = " (accept its terms below: accept licence)" if entry.restricted else ""
    return [*lines, ("licence", entry.licence + terms)]


def lay(understood: Understood, folder: Path) -> str:
    """Lay a recording into the folder of a job; return how it is named there."""
    name = understood.folder.name
    shutil.copytree(understood.folder, folder / name, copy_function=_link)
    return f"./{name}"


def _of_folder(files: Sequence[Dropped], folder: Path) -> Understood:
    """Read a folder in our own layout; its pictures may have been dropped without their folder."""
    from probe.recordings import from_folder

    (where, *others) = [
        PurePosixPath(file.name).parent
        for file in files
        if PurePosixPath(file.name).name == RESPONSES
    ]
    if others:
        raise ProbeError(f"{RESPONSES} is there {len(others) + 1} times: drop one recording")
    recording_folder = folder / (plain_name(where.name).strip("-.") or "recording")
    for file in files:
        name = PurePosixPath(file.name)
        if not name.is_relative_to(where):
            continue
        inside = name.relative_to(where)
        if _is_picture(file.name) and len(inside.parts) == 1:
            inside = PurePosixPath("images") / inside
        _place(file, recording_folder / inside)
    recording = from_folder(recording_folder)
    return Understood(
        recording_folder, _described(recording), tuple(recording.regions),
        tuple(recording.subjects),
    )  # fmt: skip


def _of_files(files: Sequence[Dropped], options: Mapping[str, str], folder: Path) -> Understood:
    """Read files of any kind, as ``datasets import`` does, and keep what was read as a folder."""
    from probe.recordings import read_recording

    laid = folder / "in"
    pictures = [file for file in files if _is_picture(file.name)]
    archives = [file for file in files if file.name.lower().endswith(".zip")]
    rest = [file for file in files if file not in (*pictures, *archives)]
    named = {option: options[option] for option in COMPANIONS if option in options}
    for file in rest:
        stem = PurePosixPath(file.name).stem.lower()
        if stem in COMPANIONS and len(rest) > 1:
            named.setdefault(stem, PurePosixPath(file.name).name)
    names = [PurePosixPath(file.name).name for file in rest]
    for option, name in named.items():
        if name not in names and Path(name).expanduser().is_file():  # one of the computer's own
            raise ProbeError(f"--{option} {name!r} was not dropped: drop it with the others")
    data = [file for file in rest if PurePosixPath(file.name).name not in named.values()]
    _check_roles(data, pictures, archives)
    for file in rest:
        _place(file, laid / PurePosixPath(file.name).name)
    for file in pictures:
        _place(file, laid / "images" / PurePosixPath(file.name).name)
    for file in archives:
        _place(file, laid / PurePosixPath(file.name).name)
    said: dict[str, Any] = {**options}
    said |= {o: str(laid / n) if n in names else n for o, n in named.items()}
    stimuli = "images" if pictures else PurePosixPath(archives[0].name).name if archives else None
    if stimuli is None and not said.get("picture_axes"):
        raise ProbeError("where are the pictures? Drop them, too, or the folder that holds them")
    paths = [laid / PurePosixPath(file.name).name for file in data]
    reading = read_recording(paths, stimuli=laid / stimuli if stimuli else None, **said)
    target = folder / (plain_name(paths[0].name.split(".")[0]).strip("-.") or "recording")
    recording = reading.save(target)
    words = ["probe", "datasets", "import", *(path.name for path in paths)]
    words += ["--stimuli", f"{stimuli}/" if pictures else str(stimuli)] if stimuli else []
    for option, value in {**options, **named}.items():
        words += [f"--{option.replace('_', '-')}", value]
    return Understood(
        target, tuple(reading.describe()), tuple(recording.regions), tuple(recording.subjects),
        shlex.join([*words, "-o", target.name]),
    )  # fmt: skip


def _check_roles(
    data: Sequence[Dropped], pictures: Sequence[Dropped], archives: Sequence[Dropped]
) -> None:
    """Refuse files of which it is not known what each is."""
    if not data:
        what = "only pictures were" if pictures or archives else "nothing was"
        raise ProbeError(
            f"{what} dropped: expected a folder with {RESPONSES} and images/, or files of "
            "responses (NWB, MATLAB, netCDF, HDF5, NumPy, tables) with their pictures"
        )
    if len(archives) > 1 or (archives and pictures):
        raise ProbeError("pictures came twice: drop one archive, or the pictures themselves")
    kinds = {PurePosixPath(file.name).suffix.lower() for file in data}
    tables = [file for file in data if PurePosixPath(file.name).suffix.lower() in TABLES]
    if tables and (len(kinds - set(TABLES)) or len(tables) > 1):
        raise ProbeError(
            f"what {PurePosixPath(tables[-1].name).name!r} says is not known: name it below as "
            "--labels, --presentations or --neuroids, or call it labels.csv, presentations.csv or "
            "neuroids.csv"
        )


def _described(recording: Recording) -> tuple[tuple[str, str], ...]:
    """Return what a recording in our own layout holds, as lines."""
    about = recording.describe()
    low, high = about["n_repetitions"] or (0, 0)
    data = recording.data

    def counted(name: str) -> str:
        values = [str(value) for value in data[name].values]
        return ", ".join(f"{value} ({values.count(value)})" for value in dict.fromkeys(values))

    repetitions = "averaged" if about["averaged"] else str(low) if low == high else f"{low}–{high}"
    responses = data["responses"]
    missing = int(responses.isnull().sum())
    return (
        ("stimuli", f"{recording.n_stimuli}, in the order of {about['stimulus_order']}"),
        ("repetitions", repetitions),
        *([("time", str(about["time"]))] if "time" in about else []),
        ("neuroids", str(recording.n_neuroids)),
        ("region", counted("region")),
        ("subject", counted("subject")),
        ("unit", about["response_unit"] or "not in the files"),
        ("missing", f"{missing} of {responses.size}"),
    )


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in images.SUFFIXES


def _place(file: Dropped, path: Path) -> None:
    """Lay a file; of two with one name, neither is known to be meant."""
    if path.exists():
        raise ProbeError(f"two of the files are called {path.name!r}: rename one")
    path.parent.mkdir(parents=True, exist_ok=True)
    _link(file.path, path)


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)
