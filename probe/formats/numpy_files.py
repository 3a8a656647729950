"""NumPy's files, of which no pickle is opened."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from probe.formats.variables import Variable, Variables

PICKLED = "pickled objects, which could run any program: save numbers, or texts of a fixed length"


def read_npy(path: Path) -> Variables:
    """Read a ``.npy`` file, whose one array is called like the file.

    Raises
    ------
    ValueError
        If it is cut, damaged or pickled.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(_reason(error)) from None
    return _sorted_out({path.stem: values})


def read_npz(path: Path) -> Variables:
    """Read the arrays of a ``.npz`` file; those that are pickled are listed as unreadable.

    Raises
    ------
    ValueError
        If it is cut or damaged.
    """
    values: dict[str, np.ndarray] = {}
    unreadable: dict[str, str] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    values[name] = archive[name]
                except ValueError as error:
                    unreadable[name] = _reason(error).removeprefix("holds ")
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"is cut or damaged ({str(error).splitlines()[0]})") from None
    sorted_out = _sorted_out(values)
    return Variables(sorted_out.arrays, {**sorted_out.unreadable, **unreadable})


def _reason(error: Exception) -> str:
    if "allow_pickle" in str(error) or "pickle" in str(error):
        return f"holds {PICKLED}"
    return f"is cut or damaged ({(str(error) or type(error).__name__).splitlines()[0]})"


def _sorted_out(values: dict[str, np.ndarray]) -> Variables:
    arrays: dict[str, Variable] = {}
    unreadable: dict[str, str] = {}
    for name, array in values.items():
        if array.dtype.kind in "biuf":
            arrays[name] = Variable(array)
        elif array.dtype.kind in "SU":
            texts = np.empty(array.shape, dtype=object)
            for k, value in np.ndenumerate(array):
                texts[k] = (
                    value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                )
            arrays[name] = Variable(texts)
        else:
            unreadable[name] = f"values of type {array.dtype}"
    return Variables(arrays, unreadable)
