"""MATLAB files, with the axes as MATLAB shows them and no axis dropped.

SciPy 1.17 reads versions 4, 5 and 7; version 7.3 is HDF5 with the axes reversed. Objects of
MATLAB's own classes (table, string, datetime, categorical) are stored in a form that is not
documented: SciPy calls them ``None`` and overwrites one with the next. They are listed as
unreadable, never returned.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from probe.formats.variables import Variable, Variables

OPAQUE = (
    "a table, string, datetime or other object that only MATLAB reads: save matrices, and texts as "
    "cellstr(…)"
)


def read_matlab5(path: Path) -> Variables:
    """Read a MATLAB file of version 4, 5 or 7.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Variables

    Raises
    ------
    ValueError
        If it is cut or damaged.
    """
    import scipy.io  # only here: it takes a while to import
    from scipy.io.matlab import MatlabFunction, MatlabOpaque

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of objects that overwrite each other: they are listed
            loaded = scipy.io.loadmat(path, squeeze_me=False, struct_as_record=True)
    except Exception as error:  # SciPy's reader lets many kinds through on a broken file
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"is no MATLAB file that can be read ({reason})") from None
    arrays: dict[str, Variable] = {}
    unreadable: dict[str, str] = {}

    def take(name: str, value: Any) -> None:
        if isinstance(value, MatlabOpaque | MatlabFunction):
            unreadable["(without a name)" if name == "None" else name] = OPAQUE
        elif hasattr(value, "toarray"):
            arrays[name] = Variable(value.toarray())
        elif value.dtype.names is not None:
            if value.size != 1:
                _take_fields(name, value, take)
                return
            for field in value.dtype.names:
                take(f"{name}.{field}", value.flat[0][field])
        elif value.dtype == object:
            cells = [_single(cell) for cell in value.ravel()]
            if all(isinstance(cell, str) for cell in cells):
                arrays[name] = Variable(_texts([str(cell) for cell in cells]).reshape(value.shape))
            elif all(isinstance(cell, int | float) for cell in cells):
                arrays[name] = Variable(np.array(cells).reshape(value.shape))
            else:
                unreadable[name] = "a cell array of other things than one text or number per cell"
        elif value.dtype.kind in "US":
            arrays[name] = Variable(_texts([str(text).rstrip() for text in value.ravel()]))
        elif value.dtype.kind in "biuf":
            arrays[name] = Variable(value)
        else:
            unreadable[name] = f"values of type {value.dtype}"

    for name, value in loaded.items():
        if not name.startswith("__"):
            take(name, value)
    return Variables(arrays, unreadable)


def _take_fields(name: str, structs: np.ndarray, take: Any) -> None:
    """Take an array of structs as one cell array per field."""
    for field in structs.dtype.names or ():
        cells = np.empty(structs.shape, dtype=object)
        for k, struct in np.ndenumerate(structs):
            cells[k] = struct[field]
        take(f"{name}.{field}", cells)


def _single(cell: Any) -> str | int | float | None:
    """Return the one text or number of a cell; an empty one is an empty text; None of others."""
    values = np.asarray(cell)
    if values.size == 0:
        return ""
    if values.size != 1 or values.dtype.names is not None:
        return None
    value = values.reshape(-1)[0]
    if isinstance(value, np.ndarray):
        return _single(value)
    if values.dtype.kind in "US":
        return str(value)
    return value.item() if values.dtype.kind in "biuf" else None


def _texts(texts: list[str]) -> np.ndarray:
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return values


def read_matlab73(path: Path) -> Variables:
    """Read a MATLAB file of version 7.3.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Variables
        Arrays with the axes as in MATLAB: reversed from those on disk.

    Raises
    ------
    ValueError
        If it is cut or damaged.
    """
    import h5py  # only here: it takes a while to import

    arrays: dict[str, Variable] = {}
    unreadable: dict[str, str] = {}

    def take(name: str, item: Any, file: Any) -> None:
        attrs = item.attrs
        kind = attrs.get("MATLAB_class", b"")
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if "MATLAB_object_decode" in attrs:
            unreadable[name] = OPAQUE
        elif isinstance(item, h5py.Group):
            for field in item:
                take(f"{name}.{field}", item[field], file)
        elif "MATLAB_empty" in attrs:
            arrays[name] = Variable(np.zeros(tuple(int(n) for n in item[()])))
        elif kind == "char":
            arrays[name] = Variable(_texts(_rows_of_characters(item[()])))
        elif h5py.check_ref_dtype(item.dtype) is not None:
            cells = [_cell(file[reference]) for reference in item[()].T.ravel()]
            shape = item.shape[::-1]
            if all(isinstance(cell, str) for cell in cells):
                arrays[name] = Variable(_texts([str(cell) for cell in cells]).reshape(shape))
            elif all(isinstance(cell, int | float) for cell in cells):
                arrays[name] = Variable(np.array(cells).reshape(shape))
            else:
                unreadable[name] = "a cell array of other things than one text or number per cell"
        elif item.dtype.kind in "biuf":
            arrays[name] = Variable(np.transpose(item[()]))
        else:
            unreadable[name] = f"values of type {item.dtype}"

    try:
        with h5py.File(path, "r") as file:
            for name in file:
                if not name.startswith("#"):
                    take(name, file[name], file)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"is a MATLAB 7.3 file that is cut or damaged ({error})") from None
    return Variables(arrays, unreadable)


def _cell(item: Any) -> str | int | float | None:
    kind = item.attrs.get("MATLAB_class", b"")
    if "MATLAB_object_decode" in item.attrs or not hasattr(item, "shape"):
        return None
    if "MATLAB_empty" in item.attrs:
        return ""
    if kind in (b"char", "char"):
        rows = _rows_of_characters(item[()])
        return rows[0] if len(rows) == 1 else None
    return item[()].item() if item.size == 1 and item.dtype.kind in "biuf" else None


def _rows_of_characters(codes: np.ndarray) -> list[str]:
    """Return the rows of a char matrix, which lie along the columns on disk."""
    if codes.ndim != 2:
        return ["".join(map(chr, codes.ravel()))]
    units = np.ascontiguousarray(codes.T).astype("<u2")  # MATLAB's characters are UTF-16
    return [row.tobytes().decode("utf-16-le", errors="replace").rstrip(" \0") for row in units]
