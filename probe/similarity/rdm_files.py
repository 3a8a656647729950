"""RDMs from files of other programs: NumPy, MATLAB, pandas and R, rsatoolbox.

What a file says of names and axes is taken; what it leaves open, and would decide a score, is an
error that says how to write it.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.formats.names import as_texts, counts_positions
from probe.formats.pickles import read_arrays
from probe.formats.tables import as_number, read_rows

if TYPE_CHECKING:
    from probe.similarity.rdm_set import RDMs

STIMULUS_IDS = (
    "stimulus_ids",
    "stimulus_id",
    "stimuli",
    "stimulus",
    "stimulus_names",
    "stimulus_name",
    "conditions",
    "condition",
    "image_names",
    "image_name",
    "image_ids",
    "image_id",
    "images",
    "image",
)
"""What the names of stimuli may be called in others' files, in this order and in any case."""

TIDY = ("label", "stimulus_a", "stimulus_b", "distance")
"""Columns of a table with one row per RDM and pair."""

KEYS = {"distances", "labels", "stimulus_ids", "metric", "attrs"}
"""The arrays of a file that `RDMs.save` writes."""

DISTANCES = ("distances", "rdms", "rdm", "dissimilarities", "dissimilarity")
LABELS = ("labels", "label", "rdm_names", "rdm_labels")
"""What arrays may be called, in this order and in any case."""

EITHER = "names"
"""Of RDMs or of stimuli: their number tells."""

LONG = (
    TIDY,
    ("label", "stimulus_1", "stimulus_2", "distance"),
    ("label", "stim1", "stim2", "dissimilarity"),
    ("", "level_0", "level_1", "0"),  # stack().reset_index() of pandas
    ("L1", "Var1", "Var2", "value"),  # melt of R's reshape2
    ("", "Var1", "Var2", "Freq"),  # as.data.frame(as.table()) of R
)
"""Columns of long tables: the RDM, the two stimuli, and their distance."""


def read(path: Path, rdms_type: type[RDMs]) -> RDMs:
    """Read a file of RDMs, see `RDMs.load`."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"file {str(path)!r} does not exist")
    if suffix not in READERS:
        raise ValueError(
            f"file {str(path)!r} is of no kind that holds RDMs: expected {', '.join(READERS)}"
        )
    try:
        rdms, labelled = READERS[suffix](path, rdms_type)
    except _UnreadableError as error:
        raise ValueError(f"file {str(path)!r} {error}") from None
    except ValueError as error:
        raise ValueError(f"file {str(path)!r}: {error}") from None
    if labelled:
        return rdms
    numbers = [""] if len(rdms) == 1 else [f"-{k + 1}" for k in range(len(rdms))]
    return replace(rdms, labels=tuple(path.stem + number for number in numbers))


class _UnreadableError(ValueError):
    """What is wrong with a file as a whole; follows its name."""


class _Unread:
    """An array that is there and cannot be read, and what would make it readable."""

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy


def _npy(path: Path, rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise _no_numbers(".npz or .npy", error) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise _UnreadableError("holds several arrays: call it .npz")
    return rdms_type.from_array(_rdms_first(array)), False


def _npz(path: Path, rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    try:
        with np.load(path, allow_pickle=False) as opened:
            arrays = {name: _member(opened, name) for name in opened.files}
    except AttributeError:  # a single array
        return _npy(path, rdms_type)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _no_numbers(".npz or .npy", error) from None
    if not set(arrays) >= KEYS:
        return _from_arrays(arrays, rdms_type)
    # Three RDMs of three stimuli look alike condensed and square: what `save` wrote is condensed.
    attrs = json.loads(str(arrays["attrs"]) or "{}")
    rdms = rdms_type(
        arrays["distances"],
        tuple(_texts(arrays["labels"], "labels")),
        tuple(_texts(arrays["stimulus_ids"], "stimulus_ids")),
        str(arrays["metric"]) or None,
        attrs if isinstance(attrs, dict) else {},
    )
    return rdms, True


def _member(opened: Any, name: str) -> Any:
    """Read an array of an .npz file; Python objects only if they are text or numbers."""
    try:
        return opened[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
    with opened.zip.open(f"{name}.npy" if f"{name}.npy" in opened.zip.namelist() else name) as file:
        version = np.lib.format.read_magic(file)
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
        header(file)
        try:
            return np.asarray(read_arrays(file.read()))
        except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError):
            return _Unread("save it as text, np.array(names, dtype=str)")


def _mat(path: Path, rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    import h5py  # only here: they take a while to import
    import scipy.io

    if h5py.is_hdf5(path):  # v7.3
        return _from_arrays(_read_hdf5(path, _matlab_value), rdms_type)
    try:
        contents = scipy.io.loadmat(path, chars_as_strings=True)
    except Exception as error:  # SciPy's reader lets many kinds through on a broken file
        raise _no_numbers("MATLAB", error) from None
    arrays = {name: _unwrapped(v) for name, v in contents.items() if not name.startswith("__")}
    return _from_arrays(arrays, rdms_type)


def _unwrapped(value: Any) -> Any:
    """Take text out of the arrays in which SciPy wraps what was in a MATLAB cell."""
    from scipy.io.matlab import MatlabFunction, MatlabOpaque

    if isinstance(value, MatlabOpaque | MatlabFunction):  # string, table, categorical
        return _Unread("save it as a cell of char, cellstr(names)")
    if not isinstance(value, np.ndarray):
        return np.asarray(value)
    if value.dtype.kind == "O":
        cells = [np.asarray(cell) for cell in value.ravel()]
        if all(cell.size == 1 for cell in cells):
            return np.array([cell.item() for cell in cells], dtype=object).reshape(value.shape)
        return _Unread("its cells hold more than a text or a number each")
    if value.dtype.kind in "US":  # a matrix of characters pads its rows with blanks
        return np.char.rstrip(value)
    return value


def _hdf5(path: Path, rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    arrays = _read_hdf5(path, _plain_value)
    if "dissimilarities" in arrays and "pattern_descriptors" in arrays:
        return _from_rsatoolbox(arrays, rdms_type)
    return _from_arrays(arrays, rdms_type)


def _read_hdf5(path: Path, value: Callable[[Any, Any], Any]) -> dict[str, Any]:
    import h5py  # only here: it takes a while to import

    try:
        with h5py.File(path, "r") as opened:
            contents = {name: value(opened[name], opened) for name in opened if name[0] != "#"}
            return contents | {name: opened.attrs[name] for name in opened.attrs}
    except (OSError, KeyError, RuntimeError) as error:
        raise _no_numbers("HDF5", error) from None


def _plain_value(item: Any, _: Any) -> Any:
    import h5py

    if isinstance(item, h5py.Group):
        values = {name: _plain_value(item[name], _) for name in item}
        return values | {name: item.attrs[name] for name in item.attrs}
    return None if item.shape is None else item[()]


def _matlab_value(item: Any, root: Any) -> Any:
    """Read a variable of a v7.3 file in MATLAB's axis order, which HDF5 reverses."""
    import h5py

    if isinstance(item, h5py.Group):
        return _Unread("save it as a matrix, not as a struct")
    kind = item.attrs.get("MATLAB_class", b"").decode()
    if "MATLAB_empty" in item.attrs:
        return np.zeros(0)
    if kind == "char":
        rows = item[()].T.reshape(item.shape[-1], -1) if item.ndim else item[()]
        return np.array(["".join(map(chr, row)).rstrip() for row in rows])
    if kind == "cell":
        cells = [_matlab_value(root[reference], root) for reference in item[()].T.ravel()]
        if all(isinstance(cell, np.ndarray) and cell.size == 1 for cell in cells):
            return np.array([cell.item() for cell in cells], dtype=object)
        return _Unread("its cells hold more than a text or a number each")
    if kind in ("string", "table", "categorical"):
        return _Unread("save it as a cell of char, cellstr(names)")
    return item[()].T


def _pickle(path: Path, rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    try:
        contents = read_arrays(path.read_bytes())
    except Exception as error:  # a broken pickle raises nearly anything
        raise _UnreadableError(
            "is not a pickle of plain arrays, and others are not opened, since they may run any "
            "code "
            f"({str(error) or type(error).__name__}); save it as rdms.save('rdms.hdf5') instead"
        ) from None
    if not (
        isinstance(contents, dict) and {"dissimilarities", "pattern_descriptors"} <= set(contents)
    ):
        raise _UnreadableError("is not what rsatoolbox saves; write arrays to an .npz file")
    return _from_rsatoolbox(contents, rdms_type)


def _from_rsatoolbox(found: Mapping[str, Any], rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    def columns(name: str) -> dict[str, list[Any]]:
        # A list that is no array was written as a group of numbered items.
        return {
            key: [values[k] for k in sorted(values, key=int)]
            if isinstance(values, dict)
            else np.asarray(values).tolist()
            for key, values in (found.get(name) or {}).items()
        }

    of_rdms = columns("rdm_descriptors")
    measure = found.get("dissimilarity_measure")
    of_all = found.get("descriptors") or {}
    rdms = rdms_type._from_descriptors(
        found["dissimilarities"],
        of_rdms,
        columns("pattern_descriptors"),
        {k: v.item() if isinstance(v, np.generic) else v for k, v in of_all.items()},
        measure if isinstance(measure, str) else None,
    )
    default = tuple(f"rdm-{k + 1}" for k in range(len(rdms)))
    return rdms, rdms.labels != default or "label" in of_rdms


def _from_arrays(arrays: dict[str, Any], rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    """Find RDMs, and the names that belong to them, among the arrays of a file."""
    lower = {name.casefold(): name for name in arrays}
    labels: list[str] = []
    named = [lower[name] for name in DISTANCES if name in lower]
    if len(named) > 1:
        raise _UnreadableError(f"holds {', '.join(map(repr, named))}: keep one of them")
    array = named[0] if named else None
    usual = {*STIMULUS_IDS, *LABELS, EITHER, "metric", "attrs"}
    if array is not None and isinstance(arrays[array], np.ndarray) and arrays[array].dtype.names:
        squares, labels = _structs(arrays[array], array, rdms_type)
    elif array is not None:
        squares = arrays[array]
    else:
        numeric = [name for name in arrays if name.casefold() not in usual and _holds(arrays[name])]
        structs = [name for name in numeric if arrays[name].dtype.names]
        if len(numeric) > 1:
            likely = [name for name in numeric if _single(arrays[name]) is not None]
            numeric = likely or numeric
        if len(structs) == 1:
            squares, labels = _structs(arrays[structs[0]], structs[0], rdms_type)
            array = structs[0]
        elif len(numeric) == 1:
            (array,) = numeric
            squares = arrays[array]
        elif len({_single(arrays[name]) for name in numeric} - {None}) == 1:
            squares = np.stack([_condensed(arrays[name], name, rdms_type) for name in numeric])
            labels = numeric
        else:
            raise _UnreadableError(
                f"holds {', '.join(map(repr, arrays)) or 'nothing'}: expected an array "
                f"{DISTANCES[0]!r} (or {', '.join(map(repr, DISTANCES[1:]))})"
            )
    if isinstance(squares, _Unread):
        raise ValueError(f"{array!r} cannot be read: {squares.remedy}")
    candidates = (lower[name] for name in STIMULUS_IDS if name in lower)
    ids_of = next((name for name in candidates if np.ndim(arrays[name]) < 3), None)  # not of pixels
    n_named = np.size(arrays[ids_of]) if ids_of else None
    values = rdms_type.from_array(_rdms_first(np.asarray(squares), n_named), labels)
    labels_of = next((lower[name] for name in LABELS if name in lower), None)
    if EITHER in lower:
        either = lower[EITHER]
        size = np.size(arrays[either])
        if size == values.n_stimuli != len(values) and ids_of is None:
            ids_of = either
        elif size == values.n_stimuli == len(values) and ids_of is None and labels_of is None:
            raise ValueError(
                f"{either!r} may name the {size} RDMs or the {size} stimuli: call it 'labels' or "
                "'stimulus_ids'"
            )
        elif labels_of is None:
            labels_of = either
    if labels_of is not None and not labels:
        labels = _texts(arrays[labels_of], labels_of)
    if ids_of is None:
        _refuse_hidden_names(arrays, {array, labels_of, *labels}, values.n_stimuli)
    ids = [] if ids_of is None else _texts(arrays[ids_of], ids_of)
    metric = "".join(_texts(arrays[lower["metric"]], "metric")) if "metric" in lower else ""
    return rdms_type(values.distances, tuple(labels), tuple(ids), metric or None), bool(labels)


def _refuse_hidden_names(arrays: dict[str, Any], others: set[Any], n: int) -> None:
    """Refuse what may be names of stimuli under a name that is not known."""
    for name, values in arrays.items():
        if name in others or isinstance(values, _Unread):
            continue
        texts = np.asarray(values)
        if texts.size != n or max(texts.shape, default=0) != n or texts.dtype.kind not in "OUSiuf":
            continue
        with_values = texts.ravel().tolist()
        whole_numbers = all(isinstance(v, str | bytes) or v == np.round(v) for v in with_values)
        if whole_numbers and len(set(with_values)) == n:
            raise ValueError(
                f"{name!r} may be the names of the {n} stimuli: call it 'stimulus_ids', or leave "
                "it out if the order of the stimuli is all there is to know"
            )


def _texts(values: Any, name: str) -> list[str]:
    if isinstance(values, _Unread):
        raise ValueError(f"the names {name!r} are there and cannot be read: {values.remedy}")
    try:
        return as_texts(np.atleast_1d(values))
    except ValueError as error:
        raise ValueError(f"the names {name!r} are there and cannot be read: {error}") from None


def _holds(values: Any) -> bool:
    """Whether these may be RDMs: numbers, or structs of MATLAB that have a field of them."""
    if not isinstance(values, np.ndarray) or values.size < 2:
        return isinstance(values, np.ndarray) and values.dtype.names is not None
    return values.dtype.kind in "iuf" or values.dtype.names is not None


def _single(values: np.ndarray) -> int | None:
    """Return the number of stimuli of what may be one RDM, square or condensed."""
    if values.ndim == 2 and values.shape[0] == values.shape[1]:
        return int(values.shape[0])
    return _n_of_pairs(values.size) if max(values.shape, default=0) == values.size else None


def _condensed(values: np.ndarray, name: str, rdms_type: type[RDMs]) -> np.ndarray:
    vector = values.ndim == 1 or 1 in values.shape
    return rdms_type.from_array(values.ravel() if vector else values, [name]).distances[0]


def _structs(values: np.ndarray, name: str, rdms_type: type[RDMs]) -> tuple[np.ndarray, list[str]]:
    """Take structs with the fields RDM and name, as MATLAB's RSA toolbox keeps them."""
    fields = {field.casefold(): field for field in values.dtype.names or ()}
    if "rdm" not in fields:
        raise ValueError(f"structs {name!r} have no field 'RDM'; they have {', '.join(fields)}")
    structs = values.ravel()
    labels = [f"{name}-{k + 1}" for k in range(len(structs))]
    if "name" in fields:
        labels = [str(np.asarray(struct[fields["name"]]).item()).strip() for struct in structs]
    rows = [
        _condensed(np.asarray(struct[fields["rdm"]]), label, rdms_type)
        for struct, label in zip(structs, labels, strict=True)
    ]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"the RDMs of {name!r} are over different numbers of stimuli")
    return np.stack(rows), labels


def _n_of_pairs(n_pairs: int) -> int | None:
    """Return the number of stimuli that have so many pairs, if there is one."""
    n = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    return n if n_pairs and n * (n - 1) // 2 == n_pairs else None


def _rdms_first(values: np.ndarray, n: int | None = None) -> np.ndarray:
    """Bring an array of RDMs to (K, n, n) or (K, P), where its shape or content tells the axes.

    Parameters
    ----------
    values : numpy.ndarray
    n : int, optional
        How many stimuli are named.
    """
    if values.dtype.kind not in "biuf":
        return values
    if values.ndim == 3:
        first, last = values.shape[1] == values.shape[2], values.shape[0] == values.shape[1]
        if first and last and len(values) > 1:
            first, last = _are_squares(values), _are_squares(np.moveaxis(values, 2, 0))
            if first and last:
                raise ValueError(
                    f"an array of shape {values.shape} is symmetric along two pairs of axes: which "
                    "one tells RDMs apart cannot be known; save each in an array of its own"
                )
        return np.moveaxis(values, 2, 0) if last and not first else values
    if values.ndim != 2 or values.shape[0] == values.shape[1]:
        return values
    least = min(values.shape)
    if least > 2 and values[:least, :least].any() and _are_squares(values[None, :least, :least]):
        raise ValueError(
            f"an array of shape {values.shape} has a zero diagonal: it seems to be a square RDM of "
            "which a part is missing"
        )
    in_rows, in_columns = (_n_of_pairs(values.shape[axis]) for axis in (1, 0))
    if n is not None:
        in_rows, in_columns = (k if k == n else None for k in (in_rows, in_columns))
    if in_columns is None or (1 in values.shape and values.shape[0] == 1):
        return values
    if in_rows is None or values.shape[1] == 1:
        return values.T
    if values.shape[0] > values.shape[1]:
        raise ValueError(
            f"an array of shape {values.shape} may be {values.shape[0]} RDMs over {in_rows} "
            f"stimuli or {values.shape[1]} over {in_columns}: name the stimuli beside it "
            "(stimulus_ids), or save square RDMs"
        )
    return values


def _are_squares(values: np.ndarray) -> bool:
    diagonals = np.nan_to_num(np.diagonal(values, axis1=1, axis2=2))
    return bool(
        (diagonals == 0).all() and np.allclose(values, values.swapaxes(1, 2), equal_nan=True)
    )


def _table(path: Path, rdms_type: type[RDMs]) -> tuple[RDMs, bool]:
    import pandas as pd  # only here: it takes a while to import

    rows = read_rows(path, "the table")
    if not rows:
        raise _UnreadableError("is empty")
    header = [cell.strip() for cell in rows[0]]
    for label, first, second, distance in LONG:
        if {first, second, distance} <= set(header):
            return _long(header, rows[1:], (label, first, second, distance), rdms_type)
    comma = not any("." in cell for row in rows for cell in row if _is_number(cell))
    if rows and len(rows[1:]) and all(len(row) == len(header) + 1 for row in rows[1:]):
        header = ["", *header]  # as R writes it without col.names=NA
        rows = [header, *rows[1:]]
    height, width = len(rows), len(rows[-1])
    for k, row in enumerate(rows, start=1):
        if len(row) != width:
            raise ValueError(
                f"row {k} of the table has {len(row)} {'cell' if len(row) == 1 else 'cells'}, and "
                f"the last one {width}: no square table"
            )
    in_rows = [row[0].strip() for row in rows]
    columns: list[str] | None = header
    names: list[str] | None = in_rows
    if (height == width and not all(map(_is_number, (*header, *in_rows)))) or not header[0]:
        columns, names, cells = header[1:], in_rows[1:], [row[1:] for row in rows[1:]]
    elif height == width + 1:
        names, cells = None, rows[1:]
    elif width == height + 1:
        columns, cells = None, [row[1:] for row in rows]
    else:
        columns, names, cells = None, None, rows
        if header == in_rows and _may_be_names(header[1:], [row[1:] for row in rows[1:]]):
            raise ValueError(
                "whether its first row and column are names of stimuli or distances cannot be "
                "known: if they are names, leave the cell in their corner empty"
            )
    values = np.array(
        [
            [_number(cell, comma, i, j) for j, cell in enumerate(row, start=1)]
            for i, row in enumerate(cells, start=1)
        ]
    )
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        if columns is None and names is None and _n_of_pairs(values.shape[-1]):
            return rdms_type.from_array(_rdms_first(values)), False
        shape = " × ".join(map(str, values.shape))
        raise ValueError(
            f"a table of {shape} distances is not square, and has none of the columns "
            f"{', '.join(TIDY[1:])}"
        )
    columns, names = (None if side is None else as_texts(side) for side in (columns, names))
    stimuli = _names_of_table(columns, names)
    if stimuli and columns and names and sorted(columns) == sorted(names):
        frame = pd.DataFrame(values, index=pd.Index(names, dtype=object), columns=columns)
        return rdms_type.from_pandas(frame), False
    return rdms_type.from_array(values, (), stimuli), False


def _may_be_names(numbers: list[str], cells: list[list[str]]) -> bool:
    """Whether these are different whole numbers, where other cells are not whole."""

    def whole(cell: str) -> bool:
        return re.fullmatch(r"\s*\d+(\.0*)?\s*", cell) is not None

    others = [cell for row in cells for cell in row if _is_number(cell)]
    different = len(set(numbers)) == len(numbers) > 1
    return different and all(map(whole, numbers)) and not all(map(whole, others))


def _names_of_table(columns: list[str] | None, rows: list[str] | None) -> list[str]:
    """Return the names along the sides of a square table; none if they count positions."""
    sides = [side for side in (rows, columns) if side and not counts_positions(side)]
    if not sides:
        return []
    names = sides[0]
    others = sides[-1]
    # R turns names of columns into names of variables, and leaves those of rows as they are.
    if sorted(names) != sorted(others) and list(map(_r_name, names)) != others:
        other = next((name for name in others if name not in names), others[0])
        raise ValueError(
            f"its columns are not its rows: {other!r} is a column only; a table of distances has "
            "the same stimuli along both sides"
        )
    return names


def _r_name(name: str) -> str:
    """Turn a name into that of a variable as R does (make.names)."""
    name = re.sub(r"[^\w.]", ".", name)
    return name if re.match(r"[^\W\d_]|\.(?!\d)", name) else f"X{name}"


def _long(
    header: list[str], rows: list[list[str]], columns: Sequence[str], rdms_type: type[RDMs]
) -> tuple[RDMs, bool]:
    import pandas as pd

    for k, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"row {k} has {len(row)} cells for {len(header)} columns, not counting the header"
            )
    at = {name: header.index(name) for name in columns if name in header}
    comma = not any("." in row[at[columns[3]]] for row in rows)
    frame = pd.DataFrame(
        {name: [row[at[column]] for row in rows] for name, column in zip(TIDY, columns, strict=True)
         if column in at and name != "distance"}
    )  # fmt: skip
    column = at[columns[3]]
    frame["distance"] = [
        _number(row[column], comma, k, column + 1) for k, row in enumerate(rows, start=1)
    ]
    return rdms_type.from_pandas(frame), columns[0] in at


def _is_number(cell: str) -> bool:
    try:
        as_number(cell, comma=True)
    except ValueError:
        return False
    return bool(cell.strip())


def _number(cell: str, comma: bool, row: int, column: int) -> float:
    try:
        return as_number(cell, comma)
    except ValueError:
        raise ValueError(
            f"{cell!r} in row {row}, column {column} of the distances is not a number"
        ) from None


def _no_numbers(kind: str, error: BaseException) -> _UnreadableError:
    reason = getattr(error, "strerror", None)
    article = "a" if kind[0] == "M" else "an"
    return _UnreadableError(
        f"is not {article} {kind} file of numbers" + (f" ({reason})" if reason else "")
    )


READERS: dict[str, Callable[[Path, type[RDMs]], tuple[RDMs, bool]]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".mat": _mat,
    ".csv": _table,
    ".tsv": _table,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".pkl": _pickle,
}
"""How a file is read, by the ending of its name."""
