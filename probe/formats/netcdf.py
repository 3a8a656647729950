"""netCDF and plain HDF5: named arrays with named dimensions, read as they lie in the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.formats.variables import Variable, Variables

BLOCK_BYTES = 64 * 2**20
"""Bytes that are read at once, before those that nobody wants are left out."""

GAP_BYTES = 64 * 2**10
"""Bytes between two parts that are read sooner than skipped."""

_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


def read_hdf5(path: Path) -> Variables:
    """Read the arrays of a netCDF-4 or plain HDF5 file, with the names of their dimensions.

    No index is made of coordinates: of two coordinates on one dimension, xarray's `sel` on one
    renames the dimension (2026.9), and here each stays what it is in the file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Variables
        Those in groups are called ``group.name``. What the file calls missing is NaN. Arrays of
        numbers with two or more axes longer than 1 stay unread until their values are asked for.

    Raises
    ------
    ValueError
        If it is cut or damaged.
    """
    import h5py  # only here: it takes a while to import

    arrays: dict[str, Variable] = {}
    unreadable: dict[str, str] = {}

    def take(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.attrs.get("NAME", b"").startswith(
            _NO_VARIABLE
        ):
            return
        name = name.replace("/", ".")
        dims = _dims(item)
        unit = item.attrs.get("units", "")
        unit = unit.decode() if isinstance(unit, bytes) else str(unit)
        if item.dtype.kind in "biuf" and sum(length > 1 for length in item.shape) > 1:
            unread = _Stored(path, item.name, item.shape, item.dtype)
            arrays[name] = Variable(unread, dims, unit)
            return
        values = np.asarray(item[()]) if item.shape else np.asarray(item[()]).reshape(())
        try:
            values = _plain(values, item)
        except ValueError as error:
            unreadable[name] = str(error)
            return
        if dims is not None and len(dims) == values.ndim + 1:
            dims = dims[:-1]  # characters, of which texts were made
        arrays[name] = Variable(values, dims, unit)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(take)
    except (OSError, KeyError, RuntimeError) as error:
        raise _damaged(error) from None
    return Variables(arrays, unreadable)


@dataclass(frozen=True)
class _Stored:
    """An array that is still in its HDF5 file."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def read(self, axis: int, kept: np.ndarray) -> np.ndarray:
        """Read some entries of one axis: float64, NaN where the file calls a value missing.

        What lies together is read together, block by block, and of a file in chunks each chunk
        once, and none that holds nothing that is wanted.
        """
        import h5py

        output = np.empty((*self.shape[:axis], len(kept), *self.shape[axis + 1 :]))
        try:
            with h5py.File(self.path, "r") as file:
                item = file[self.name]
                for run, block in self._blocks(axis, kept, item.chunks):
                    values = _plain(item[block], item)
                    inside = kept[run] - block[axis].start
                    if len(inside) < values.shape[axis]:
                        values = values.take(inside, axis)
                    output[(*block[:axis], run, *block[axis + 1 :])] = values
        except (OSError, KeyError, RuntimeError) as error:
            raise _damaged(error) from None
        return output

    def _blocks(
        self, axis: int, kept: np.ndarray, chunks: tuple[int, ...] | None
    ) -> Iterator[tuple[slice, tuple[slice, ...]]]:
        """Yield, block by block, which of the kept entries it has, and where it is in the file."""
        chunk = chunks or (1,) * len(self.shape)
        after = self.dtype.itemsize * int(np.prod(self.shape[axis + 1 :]))
        # Between chunks nothing is read; in a row of numbers, what is skipped takes a step, too.
        gap = chunk[axis] if chunks else max(GAP_BYTES // after, 1)
        corner = kept // chunk[axis] * chunk[axis]
        borders = [0, *(np.flatnonzero(np.diff(corner) > gap) + 1).tolist(), len(kept)]
        other = max((k for k in range(len(self.shape)) if k != axis), key=lambda k: self.shape[k])
        rest = self.dtype.itemsize * self.size // (self.shape[axis] * self.shape[other])
        width = max(BLOCK_BYTES // (rest * chunk[other]) // chunk[axis], 1) * chunk[axis]
        for first, last in itertools.pairwise(borders):
            # Of a long run, no more at once than a block that is one chunk long has room for.
            part = (kept[first:last] - corner[first]) // width if last > first else kept[:0]
            cuts = [first, *(first + 1 + np.flatnonzero(np.diff(part))).tolist(), last]
            for begin, end in itertools.pairwise(cuts):
                if begin == end:
                    continue
                span = slice(int(kept[begin]), int(kept[end - 1]) + 1)
                length = span.stop - span.start
                step = max(BLOCK_BYTES // (rest * length) // chunk[other], 1) * chunk[other]
                for start in range(0, self.shape[other], step):
                    block = [slice(0, n) for n in self.shape]
                    block[axis] = span
                    block[other] = slice(start, min(start + step, self.shape[other]))
                    yield slice(begin, end), tuple(block)


def _damaged(error: BaseException) -> ValueError:
    return ValueError(f"is an HDF5 file that is cut or damaged ({error})")


def _dims(item: Any) -> tuple[str, ...] | None:
    if item.attrs.get("CLASS") == b"DIMENSION_SCALE" and item.ndim == 1:
        return (item.name.rpartition("/")[2],)
    if "DIMENSION_LIST" not in item.attrs:
        return None
    names = []
    for references in item.attrs["DIMENSION_LIST"]:
        if len(references) == 0:
            return None
        names.append(item.file[references[0]].name.rpartition("/")[2])
    return tuple(names)


def _plain(values: np.ndarray, item: Any) -> np.ndarray:
    """Return numbers, with NaN where they are missing, or texts."""
    if values.dtype == object or values.dtype.kind in "SU":
        if values.dtype == "S1" and values.ndim > 1:  # netCDF's characters
            values = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0]
        texts = np.empty(values.shape, dtype=object)
        for k, value in np.ndenumerate(values):
            if not isinstance(value, bytes | str):
                raise ValueError("values that are neither numbers nor texts")
            texts[k] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return texts
    if values.dtype.kind not in "biuf":
        raise ValueError(f"values of type {values.dtype}")
    attrs = item.attrs
    missing = [
        np.ravel(attrs[name])[0] for name in ("_FillValue", "missing_value") if name in attrs
    ]
    absent = np.isin(values, [m for m in missing if not np.isnan(m)])
    if absent.any():
        values = np.where(absent, np.nan, values.astype(np.float64))
    if "scale_factor" in attrs or "add_offset" in attrs:
        scale = float(np.ravel(attrs.get("scale_factor", 1.0))[0])
        values = values * scale + float(np.ravel(attrs.get("add_offset", 0.0))[0])
    return values


def read_classic(path: Path) -> Variables:
    """Read the arrays of a classic netCDF file (version 3).

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
    import xarray as xr  # only here: it takes a while to import

    try:
        with xr.open_dataset(path, engine="scipy", decode_times=False) as data:
            data = data.load()
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"is a netCDF file that is cut or damaged ({reason})") from None
    arrays = {}
    for name, array in data.variables.items():
        values = array.values
        if values.dtype.kind in "SUO" or str(values.dtype).startswith("str"):
            texts = np.empty(values.shape, dtype=object)
            for k, value in np.ndenumerate(values):
                texts[k] = value.decode("utf-8") if isinstance(value, bytes) else str(value)
            values = texts
        dims = tuple(map(str, array.dims))
        arrays[str(name)] = Variable(values, dims, str(array.attrs.get("units", "")))
    return Variables(arrays)


def write_netcdf(
    path: Path,
    name: str,
    values: np.ndarray,
    dims: Sequence[str],
    coords: Mapping[str, tuple[str, np.ndarray]],
    attrs: Mapping[str, Any],
) -> None:
    """Write one array as netCDF-4, as xarray, h5netcdf and netCDF4 read it; without any of them.

    Dimensions have no coordinate of their own, and so no index; every coordinate lies along one.

    Parameters
    ----------
    path : Path
        Replaced, if it exists.
    name : str
        Of the array.
    values : numpy.ndarray
        Numbers.
    dims : sequence of str
        One per axis.
    coords : mapping of str to (dimension, values)
        Numbers or texts, one per place along the dimension.
    attrs : mapping
        Texts and numbers, of the array.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    import h5py  # only here: it takes a while to import

    with h5py.File(path, "w", track_order=True) as file:
        for k, (dim, length) in enumerate(zip(dims, values.shape, strict=True)):
            # netCDF-4's own words for a dimension that is no variable.
            scale = file.create_dataset(dim, data=np.zeros(length, dtype=">f4"))
            scale.make_scale(f"{_NO_VARIABLE.decode()}.{length:10d}")
            scale.attrs["_Netcdf4Dimid"] = np.int32(k)

        def write(called: str, array: np.ndarray, along: Sequence[str]) -> Any:
            if array.dtype.kind in "OUS":
                texts = np.array([str(cell) for cell in array.ravel()], dtype=object)
                array, dtype = texts.reshape(array.shape), h5py.string_dtype("utf-8")
            else:
                dtype = np.dtype("int8") if array.dtype == bool else array.dtype
            written = file.create_dataset(
                called, data=array, dtype=dtype,
                **({"compression": "gzip", "shuffle": True} if array.ndim > 1 else {}),
            )  # fmt: skip
            for axis, dim in enumerate(along):
                written.dims[axis].attach_scale(file[dim])
            return written

        for called, (dim, array) in coords.items():
            write(called, np.asarray(array), [dim])
        written = write(name, values, dims)
        written.attrs["coordinates"] = " ".join(coords)
        for key, value in attrs.items():
            written.attrs[key] = value
