"""Stimulus sets from what a user has: a folder, a pattern, a table of paths, a zip archive.

Every file is read once before anything else begins, to be hashed and checked, so that whatever
cannot be read is known, and listed together, before hours of work rest on it.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import importlib.util
import os
import re
import stat
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np

from probe import images
from probe.errors import ProbeError, suggest
from probe.formats.names import as_text
from probe.formats.tables import read_rows
from probe.images import Unreadable
from probe.stimuli.archive import Member, members
from probe.stimuli.stimulus_set import StimulusSet, in_threads

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".parquet")
"""How the names of tables end."""

MAX_BYTES = 2**30
"""No file larger than this is taken for a picture."""

MISSING = {"", "NA", "NaN", "nan"}
"""What stands in a csv or tsv for a number that is missing."""

# What begins with a zero, or has more digits than a number can hold, is a name.
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d{0,14})(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def image_set(
    source: str | os.PathLike[str] | StimulusSet,
    *,
    id_column: str = "stimulus_id",
    path_column: str = "path",
    root: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
) -> StimulusSet:
    """Make a stimulus set of images on disk, each of them checked and hashed.

    Parameters
    ----------
    source : str, path or StimulusSet
        One of:

        - a folder: all pictures in it and in the folders below, links to folders included;
        - a pattern such as ``~/stimuli/**/*.png``, where ``**`` stands for any folders. Written in
          quotes in a shell, which would otherwise expand it itself;
        - a table (``.csv``, ``.tsv``, ``.parquet``) with a column of paths, which are relative to
          the table's folder, perhaps one of names, and any others, which become metadata: numbers,
          booleans or text (a column without a name, as pandas writes its index, does not). In a
          ``.csv`` file, columns may be separated by semicolons; paths may be those of Windows;
        - a ``.zip`` archive: all pictures in it; it is never unpacked;
        - a single picture;
        - a stimulus set, which is returned as it is.

        In folders and archives, hidden files and those without a picture's ending
        (`probe.images.SUFFIXES`) are left out; a file that has one and is no picture is an error,
        and so is, in folders, a JPEG, PNG, GIF, WebP, AVIF, HEIC or JPEG XL picture that has
        none.
    id_column : str
        Column of a table with the stimuli's names; where there is none, the paths are the names.
    path_column : str
        Column of a table with the paths.
    root : path, optional
        Folder in which a table's pictures lie, if they lie elsewhere than the table says, as on
        another machine: relative paths are taken from it, and of absolute ones it stands for the
        folders that they have in common.
    skip_bad : bool
        Leave out images that cannot be read, and say so in ``skipped``. All are then decoded once;
        otherwise, PNG and JPEG files are checked by their structure, which is faster.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    StimulusSet
        In the order of the table, or sorted by the paths below the folder (that of a pattern is
        the part before its first wildcard), which are the stimuli's names, with their endings.

    Raises
    ------
    ProbeError
        If there is no such source or no image in it; if a table lacks the columns, or a name or
        path is empty or there twice; if images cannot be read (the first three are named, with the
        reasons) and ``skip_bad`` is False, or none can be read.
    """
    if isinstance(source, StimulusSet):
        return source
    listing = _list(source, id_column, path_column, None if root is None else Path(root))
    return _checked(listing, skip_bad, progress)


@dataclass
class _Listing:
    """Images that were found, before any of them is opened.

    Attributes
    ----------
    name, where : str
        What the set will be called, and what error messages call the place.
    ids, sources : list
        One per image.
    metadata : pandas.DataFrame or None
        One row per image.
    closed : list of (str, str)
        Folders that cannot be listed, and why.
    """

    name: str
    where: str
    ids: list[str]
    sources: Sequence[Path | Member]
    metadata: pd.DataFrame | None = None
    closed: list[tuple[str, str]] = field(default_factory=list)


def _list(
    source: str | os.PathLike[str], id_column: str, path_column: str, root: Path | None
) -> _Listing:
    if not isinstance(source, str | os.PathLike) or isinstance(os.fspath(source), bytes):
        raise ProbeError(f"image set {source!r} is a {type(source).__name__}: expected a path")
    text = os.path.expanduser(os.fspath(source))
    if not text.strip():
        raise ProbeError("image set '': name a folder, a pattern, a table, an archive or a picture")
    # Absolute, so that another process, or a change of the working folder, finds them too.
    path = _as_spelled_on_disk(Path(text).absolute())
    if root is not None and (path.suffix.lower() not in TABLES or not path.is_file()):
        raise ProbeError(
            f"root {str(root)!r} is where the pictures of a table lie, and {str(path)!r} is no "
            f"table ({', '.join(TABLES)})"
        )
    # What is there goes before patterns: a folder may be called '[1] faces'.
    if os.path.isdir(path):
        return _list_folder(path)
    if os.path.isfile(path):
        return _list_file(path, id_column, path_column, root)
    if glob.has_magic(text):
        return _list_pattern(path)
    raise ProbeError(f"image set {str(path)!r} does not exist{_near(path, holds_images=True)}")


def _list_folder(folder: Path) -> _Listing:
    files, closed = _below(folder, lambda inside: True)
    ids = sorted(relative for relative in files if _is_picture(relative))
    where = f"folder {str(folder)!r}"
    closed += _misnamed(folder, files)
    if not ids and not closed:
        raise _no_pictures(where, files)
    sources = [folder / relative for relative in ids]
    return _Listing(folder.resolve().name or str(folder), where, ids, sources, closed=closed)


def _list_file(path: Path, id_column: str, path_column: str, root: Path | None) -> _Listing:
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return _list_table(path, id_column, path_column, root)
    if suffix == ".zip":
        return _list_archive(path)
    if suffix in images.SUFFIXES:
        return _Listing(path.name, f"{str(path)!r}", [path.name], [path])
    raise ProbeError(
        f"{str(path)!r} is not an image set: expected a folder, a pattern such as "
        f"'stimuli/**/*.png', a table ({', '.join(TABLES)}), a .zip archive, or a picture "
        f"({', '.join(images.SUFFIXES)})"
    )


def _list_pattern(path: Path) -> _Listing:
    folder, parts = _fixed_part(path)
    files, closed = _below(folder, lambda inside: _matches(inside, parts, in_part=True))
    matching = [relative for relative in files if _matches(tuple(relative.split("/")), parts)]
    ids = sorted(relative for relative in matching if _is_picture(relative))
    where = f"pattern {str(path)!r}"
    closed += _misnamed(folder, matching)
    if matching and not ids and not closed:
        raise _no_pictures(where, matching)
    if not ids and not closed:
        raise ProbeError(f"no file matches the {where}{_near(folder / parts[0])}")
    name = "/".join((folder.name, *parts))
    return _Listing(name, where, ids, [folder / relative for relative in ids], closed=closed)


def _list_archive(path: Path) -> _Listing:
    inside = {member.name: member for member in members(path) if _is_visible(member.name)}
    ids = sorted(name for name in inside if _is_picture(name))
    where = f"archive {str(path)!r}"
    if not ids:
        raise _no_pictures(where, list(inside))
    sources = [inside[name] for name in ids]
    if all(member.encrypted for member in sources):
        raise ProbeError(f"{where} is encrypted: unpack it with its password, then name the folder")
    return _Listing(path.name, where, ids, sources)


def _list_table(path: Path, id_column: str, path_column: str, root: Path | None) -> _Listing:
    import pandas as pd  # only here: it takes a while to import

    where = f"table {str(path)!r}"
    typed = path.suffix.lower() == ".parquet"
    table = _read_parquet(path, where) if typed else _read_text(path, where)
    if path_column not in table:
        raise _no_column(where, path_column, table)
    if id_column not in table:
        if id_column != "stimulus_id":  # asked for by name
            raise _no_column(where, id_column, table)
        id_column = path_column
    if table.empty:
        raise ProbeError(f"{where} has no rows")
    ids, paths = _texts(table[id_column]), _texts(table[path_column])
    row_of: dict[str, int] = {}
    for row, (name, text) in enumerate(zip(ids, paths, strict=True), start=1):
        for column, value in ((id_column, name), (path_column, text)):
            if not value.strip():
                raise ProbeError(f"{where} has no {column} in row {row}, not counting the header")
        if row_of.setdefault(name, row) != row:
            raise ProbeError(
                f"{where} names {name!r} in row {row_of[name]} and again in row {row}, not "
                "counting the header"
            )
    others = [c for c in table if c not in (id_column, path_column, "stimulus_id", "")]
    convert = _as_typed if typed else as_written
    metadata = pd.DataFrame({str(c): convert(table[c]) for c in others}) if others else None
    sources, written = _located(paths, path.parent, root, where)
    if id_column == path_column:
        ids = written
    return _Listing(path.name, where, ids, sources, metadata)


def _located(
    texts: Sequence[str], folder: Path, root: Path | None, where: str
) -> tuple[list[Path], list[str]]:
    """Find the files that a table means, and their paths with ``/`` between the parts.

    A path of Windows is one in which backslashes lead to a file, or a drive comes first.
    """
    base = folder if root is None else root.expanduser().absolute()
    if not base.is_dir():
        raise ProbeError(f"root {str(base)!r} is not a folder")
    written, pures = [], []
    for text in texts:
        windows = re.match(r"[A-Za-z]:[\\/]|\\\\", text)
        if "\\" in text and (windows or not os.path.lexists(base / text)):
            text = text.replace("\\", "/")
        written.append(text)
        pure = PureWindowsPath(text) if windows else PurePosixPath(os.path.expanduser(text))
        pures.append(pure)
    absolute = [pure.parts[1:] for pure in pures if pure.is_absolute()]
    if root is None or not absolute:
        sources = [_as_spelled_on_disk(base / os.path.expanduser(text)) for text in written]
        if absolute and len(absolute) == len(texts) and not any(map(os.path.lexists, sources)):
            raise ProbeError(
                f"{where} names pictures that are not here, as {written[0]!r}: name the folder in "
                "which they lie, root=… (--root)"
            )
        return sources, written
    levels = list(zip(*(parts[:-1] for parts in absolute), strict=False))
    shared = next((k for k, names in enumerate(levels) if len(set(names)) > 1), len(levels))
    there = {
        cut: sum(os.path.lexists(base.joinpath(*parts[cut:])) for parts in absolute[:100])
        for cut in range(shared + 1)
    }
    most = [cut for cut in there if there[cut] and there[cut] == max(there.values())]
    if len(most) != 1:
        one = "/".join(absolute[0])
        raise ProbeError(
            f"{where}: "
            + (
                f"below root {str(base)!r}, {one!r} may be several pictures"
                if most
                else f"root {str(base)!r} has none of its pictures, as {one!r}"
            )
        )
    first = 1 + most[0]
    moved = (pure.parts[first:] if pure.is_absolute() else pure.parts for pure in pures)
    return [_as_spelled_on_disk(base.joinpath(*parts)) for parts in moved], written


def _read_text(path: Path, where: str) -> pd.DataFrame:
    """Read a csv or tsv file as it is written: all cells are text."""
    import pandas as pd

    try:
        header, *rows = read_rows(path, where) or [[]]
    except ValueError as error:
        raise ProbeError(str(error)) from None
    header = [column.strip() for column in header]
    if twice := [column for k, column in enumerate(header) if column and column in header[:k]]:
        raise ProbeError(f"{where} has two columns {twice[0]!r}")
    for k, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ProbeError(
                f"{where} has {len(row)} cells for {len(header)} columns in row {k}, not counting "
                "the header"
            )
    return pd.DataFrame(rows, columns=header, dtype=object)


def _read_parquet(path: Path, where: str) -> pd.DataFrame:
    import pandas as pd

    if importlib.util.find_spec("pyarrow") is None:
        raise ProbeError(
            f"{where}: to read parquet, pip install 'cnn-probe[parquet]', or save it as .csv"
        )
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except Exception as error:  # pyarrow raises many kinds
        raise ProbeError(f"{where} cannot be read ({_one_line(error)})") from None
    return table.reset_index() if any(table.index.names) else table


def _texts(column: pd.Series) -> list[str]:
    """Every cell as text; empty where it is missing."""
    missing = column.isna()
    return [
        "" if gone else as_text(v) if isinstance(v, float) else str(v)
        for v, gone in zip(column, missing, strict=True)
    ]


def as_written(column: pd.Series) -> np.ndarray | list[str]:
    """Return numbers or booleans, where all cells of a column are written like such; else texts."""
    texts = _texts(column)
    present = [text for text in texts if text not in MISSING]
    if present and all(_INTEGER.fullmatch(text) for text in texts):
        return np.array(texts, dtype=np.int64)
    if present and all(_NUMBER.fullmatch(text) for text in present):
        return np.array(["nan" if t in MISSING else t for t in texts], dtype=np.float64)
    if set(texts) <= {"True", "False"}:
        return np.array([text == "True" for text in texts])
    return texts


def _as_typed(column: pd.Series) -> np.ndarray | list[str]:
    """Numbers and booleans as they are; anything else as text."""
    plain = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64}
    kind = getattr(column.dtype, "kind", "")
    if kind in ("i", "u", "f") and column.hasnans:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind in plain and not column.hasnans:
        return column.to_numpy(dtype=plain[kind])
    return _texts(column)


def _checked(listing: _Listing, skip_bad: bool, progress: bool | None) -> StimulusSet:
    """Read all images once, and make a set of those that can be read."""

    def examine(item: tuple[str, Path | Member]) -> tuple[str, str]:
        return _examine(*item, decode=skip_bad)

    images_found = list(zip(listing.ids, listing.sources, strict=True))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # of damaged files, which are listed below
        examined = in_threads(examine, images_found, desc="checking images", progress=progress)
    good = [k for k, (_, reason) in enumerate(examined) if not reason]
    bad = list(listing.closed)
    for (name, source), (_, reason) in zip(images_found, examined, strict=True):
        if reason:
            # Of a table's image, the name need not tell which file it is.
            which = "" if str(source).endswith(name) else f"{str(source)!r}: "
            bad.append((name, which + reason))
    if bad and not (skip_bad and good):
        named = ", ".join(f"{name!r} ({reason})" for name, reason in bad[:3])
        named += f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        if not good:
            raise ProbeError(f"no image in {listing.where} can be read: {named}")
        raise ProbeError(
            f"{len(bad)} of {len(bad) + len(good)} images in {listing.where} cannot be read: "
            f"{named}; put them right, or go on without them: skip_bad=True (--skip-bad)"
        )
    return StimulusSet(
        [listing.ids[k] for k in good],
        [listing.sources[k] for k in good],
        listing.name,
        metadata=None if listing.metadata is None else listing.metadata.iloc[good],
        # A name may hold bytes that are no text, which no file of results could take.
        skipped=[(name.encode("utf-8", "backslashreplace").decode(), why) for name, why in bad],
        content_hashes=[examined[k][0] for k in good],
    )


class _Budget:
    """Lets threads in while what they ask for fits; one that asks for more than all goes alone."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._change = threading.Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        amount = min(amount, self._total)
        with self._change:
            self._change.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._change:
                self._free += amount
                self._change.notify_all()


# However many threads there are, and however large the images.
_BYTES = _Budget(2**28)
_PIXELS = _Budget(2**26)


def _examine(name: str, source: Path | Member, decode: bool) -> tuple[str, str]:
    """Read one file; give the hash of its content, and what is wrong with it, or nothing."""
    try:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise Unreadable(name, "its name is not text in UTF-8: rename it") from None
        with _BYTES.take(_size(source)):
            content = source.read() if isinstance(source, Member) else source.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            n_pixels, complete = images.check(content, name)
            if decode or not complete:
                with _PIXELS.take(n_pixels):
                    images.read(content, name)
    except Unreadable as error:
        return "", error.reason
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        return "", _one_line(error)
    return digest, ""


def _size(source: Path | Member) -> int:
    """How many bytes a file has, if it is one that can be a picture."""
    if isinstance(source, Member):
        size = max(source.size, source.packed_size)
    else:
        info = source.stat()
        if stat.S_ISDIR(info.st_mode):
            raise Unreadable(str(source), "it is a folder")
        if not stat.S_ISREG(info.st_mode):  # reading a pipe would wait for ever
            raise Unreadable(str(source), "it is not a regular file")
        size = info.st_size
    if size > MAX_BYTES:
        raise Unreadable(str(source), f"{size / 1e9:.1f} GB are too much for a picture")
    return size


def _below(
    folder: Path, enter: Callable[[tuple[str, ...]], bool]
) -> tuple[list[str], list[tuple[str, str]]]:
    """List what is in a folder and those below it, hidden files and folders left out.

    Links to folders are followed, except to one in which they lie: that would never end.

    Parameters
    ----------
    folder : path
        Where to begin.
    enter : callable
        Whether to list a folder, given the parts of its path below the first.

    Returns
    -------
    files : list of str
        Paths of files below the folder, with ``/`` between their parts, in no order.
    closed : list of (str, str)
        Folders that cannot be listed, and why.

    Raises
    ------
    ProbeError
        If the folder itself cannot be listed.
    """
    real = folder.resolve()
    todo = [("", frozenset(_identity(f) for f in (real, *real.parents)))]
    files, closed = [], []
    while todo:
        inside, above = todo.pop()
        try:
            entries = [e for e in os.scandir(folder / inside) if _is_visible(e.name)]
        except OSError as error:
            if not inside:
                raise ProbeError(
                    f"folder {str(folder)!r} cannot be listed ({error.strerror})"
                ) from None
            closed.append((inside, f"the folder cannot be listed: {error.strerror}"))
            continue
        for entry in entries:
            relative = inside + entry.name
            if not os.path.isdir(entry.path):
                files.append(relative)
            elif enter(tuple(relative.split("/"))):
                this = _identity(entry.path)
                if this not in above:
                    todo.append((f"{relative}/", above | {this}))
    return files, closed


def _identity(folder: str | Path) -> tuple[int, int]:
    info = os.stat(folder)
    return info.st_dev, info.st_ino


def _fixed_part(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Split a pattern into the folder that is there, and the parts from the first wildcard on."""
    folder, parts = Path(path.anchor), path.parts[1:]
    while len(parts) > 1 and os.path.isdir(here := _as_spelled_on_disk(folder / parts[0])):
        folder, parts = here, parts[1:]
    return folder, parts


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...], in_part: bool = False) -> bool:
    """Whether a path matches a pattern; with ``in_part``, whether anything below it could."""
    if not parts:
        return bool(pattern) if in_part else all(part == "**" for part in pattern)
    if not pattern:
        return False
    if pattern[0] == "**":
        return _matches(parts, pattern[1:], in_part) or _matches(parts[1:], pattern, in_part)
    # Letters with accents are written in two ways, which look the same.
    name, pattern_name = (unicodedata.normalize("NFC", text) for text in (parts[0], pattern[0]))
    return fnmatch.fnmatchcase(name, pattern_name) and _matches(parts[1:], pattern[1:], in_part)


def _as_spelled_on_disk(path: Path) -> Path:
    """Find a path whose letters with accents are written in another way than the file's name.

    A table from one system often names files that were copied from another: 'é' may be one
    character (Unicode's form NFC) or two (NFD).
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    existing = Path(path.anchor)
    for part in path.parts[1:]:
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        existing /= next((f for f in forms if os.path.lexists(existing / f)), part)
    return existing


def _is_visible(name: str) -> bool:
    """Neither hidden, nor what macOS adds to archives."""
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(images.SUFFIXES)


def _misnamed(folder: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    """Find files that are pictures by their content, and not by their names; say why each is out.

    They would be left out without a word, and a set be smaller than its folder.
    """
    out = []
    for name in sorted(name for name in names if not _is_picture(name)):
        try:
            if not (folder / name).is_file():
                continue
            with open(folder / name, "rb") as file:
                kind = images.kind_of(file.read(40))
        except OSError:
            continue
        if kind:
            out.append((name, f"it is a {kind} picture, but its name does not end like one"))
    return out


def _no_pictures(where: str, found: Sequence[str]) -> ProbeError:
    has = f"; it has {min(found)!r}" if found else "; it is empty"
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return ProbeError(f"{where} has no images ({', '.join(images.SUFFIXES)}){has}{more}")


def _no_column(where: str, column: str, table: pd.DataFrame) -> ProbeError:
    columns = [_one_line(c) for c in table if c != ""]
    return ProbeError(f"{where} has no column {column!r}{suggest(column, columns)}")


def _near(path: Path, *, holds_images: bool = False) -> str:
    """End an error message with what there is in the folder of a path that is not there.

    With ``holds_images``, only with what can be an image set: folders, tables, archives, pictures.
    """
    endings = (*TABLES, ".zip", *images.SUFFIXES)
    try:
        names = sorted(
            name
            for name in os.listdir(path.parent)
            if _is_visible(name)
            and (
                not holds_images
                or name.lower().endswith(endings)
                or os.path.isdir(path.parent / name)
            )
        )
    except (OSError, ValueError):
        return f", nor does folder {str(path.parent)!r}"
    return suggest(path.name, [repr(name)[1:-1] for name in names])


def _one_line(what: object) -> str:
    text = (what.strerror if isinstance(what, OSError) else None) or str(what)
    return " ".join(text.split()) or type(what).__name__
