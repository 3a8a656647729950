"""NIfTI volumes and GIfTI surfaces, as nibabel reads them: values with the scale of the file.

Nothing is resampled, and nothing that is missing becomes a number.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MILLIMETRES = {"meter": 1e3, "micron": 1e-3}
"""Units of space that are no millimetres, and how many of these they are."""

SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}

_GZIP_AT_MOST = 1032
"""By so much, gzip makes a file smaller at most."""

_MESH = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")
HEMISPHERES = {"CortexLeft": "L", "CortexRight": "R"}
"""What GIfTI calls them."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume are.

    Attributes
    ----------
    shape : (int, int, int)
    affine : numpy.ndarray, shape (4, 4)
        From the index of a voxel to mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def voxel_sizes(self) -> np.ndarray:
        """Edges of a voxel in mm, shape (3,)."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))

    @property
    def axes(self) -> str:
        """Where the axes run to, as ``R A S``."""
        import nibabel

        return " ".join(code or "?" for code in nibabel.aff2axcodes(self.affine))

    def __str__(self) -> str:
        sizes = " × ".join(f"{size:.4g}" for size in self.voxel_sizes)
        return f"{' × '.join(map(str, self.shape))} voxels of {sizes} mm, axes {self.axes}"

    def agrees_with(self, other: Grid) -> bool:
        """Return whether the voxels of both are in the same places, to a hundredth of a voxel."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*([0, n - 1] for n in self.shape), [1])).reshape(4, -1)
        off = np.abs((self.affine - other.affine) @ corners).max()
        return bool(off <= 0.01 * min(self.voxel_sizes.min(), other.voxel_sizes.min()))


@dataclass(frozen=True, eq=False)
class BrainImage:
    """Maps on a volume or a surface, of which the values are read when they are asked for.

    Attributes
    ----------
    path : Path
    grid : Grid or None
        None of a surface.
    n_points : int
        Voxels or vertices.
    n_maps : int
        Volumes, or arrays of a surface; 1 of a single map.
    has_map_axis : bool
        Whether the maps lie along an axis of the file.
    stored : str
        How values lie on disk, as ``int16 with a scale``.
    rounded : bool
        Whether they were rounded to integers and scaled, which leaves no NaN.
    interval : float or None
        Seconds between volumes, where the header gives them in a unit of time.
    intent : str
        What a value is, as ``z score``; empty where the file does not say.
    hemisphere : str
        ``L`` or ``R`` where a surface says so; else empty.
    labels : dict of int to str
        Names of values, where the file itself gives them.
    notes : tuple of str
        What is not known of where the voxels are, and what nibabel says of the header.
    """

    path: Path
    grid: Grid | None
    n_points: int
    n_maps: int
    has_map_axis: bool
    stored: str
    rounded: bool
    interval: float | None
    intent: str
    hemisphere: str
    labels: dict[int, str]
    notes: tuple[str, ...]
    _content: Any

    def read(self, points: np.ndarray | None = None) -> np.ndarray:
        """Read the maps, at some points or at all.

        Parameters
        ----------
        points : numpy.ndarray of bool, shape (n_points,), optional
            In C order of the volume.

        Returns
        -------
        numpy.ndarray, shape (n_maps, n_points that are chosen)
            Float64.

        Raises
        ------
        ValueError
            If the file is cut or damaged.
        """
        with _reading():
            if self.grid is None:
                values = self._content if points is None else self._content[:, points]
                return values.astype(np.float64)
            proxy = self._content.dataobj
            raw = np.asanyarray(proxy.get_unscaled())
            raw = raw.reshape(*self.grid.shape, self.n_maps, order="F")
            chosen = np.ones(self.grid.shape, bool) if points is None else points
            # As nibabel's get_fdata, which would hold the whole file as float64.
            values = raw[chosen.reshape(self.grid.shape)].T.astype(np.float64)
            if (proxy.slope, proxy.inter) != (1.0, 0.0):
                values = values * proxy.slope + proxy.inter
            return values


def read_nifti(path: Path) -> BrainImage:
    """Open a NIfTI image of one file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    BrainImage

    Raises
    ------
    ImportError
        If nibabel is not installed.
    ValueError
        If it is cut or damaged, has colours or complex numbers, or more than four axes.
    """
    import nibabel

    notes: list[str] = []
    with _reading(notes):
        image: Any = nibabel.load(path)
        header = image.header
        dtype = header.get_data_dtype()
        shape = image.shape
        space_unit, time_unit = header.get_xyzt_units()
        sform, sform_code = header.get_sform(coded=True)
        qform, qform_code = header.get_qform(coded=True)
        intent = header.get_intent()[0]
        slope, inter = image.dataobj.slope, image.dataobj.inter
        zooms = header.get_zooms()
    if dtype.kind not in "iuf":
        what = "colours" if dtype.names else f"values of type {dtype}"
        raise ValueError(f"holds {what}, not one number per voxel")
    _check_size(path, shape, dtype.itemsize)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) < 3 or len(shape) > 5 or (len(shape) == 5 and shape[3] != 1):
        listed = " × ".join(map(str, shape))
        raise ValueError(f"has axes of lengths {listed}: expected x, y, z and one of volumes")
    affine = np.array(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError("has an affine that places no voxels: its header is damaged")
    if space_unit in MILLIMETRES:
        affine[:3] *= MILLIMETRES[space_unit]
        notes.append(f"the affine was in {space_unit}s, and is in mm now")
    if not sform_code and not qform_code:
        notes.append("neither sform nor qform is set: which side is left is not in the file")
    elif sform_code and qform_code and not np.allclose(sform, qform, atol=1e-2):
        notes.append("sform and qform differ: the sform was taken, as by nibabel")
    scaled = (slope, inter) != (1.0, 0.0)
    return BrainImage(
        path=path,
        grid=Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine),
        n_points=int(np.prod(shape[:3])),
        n_maps=int(np.prod(shape[3:])),
        has_map_axis=len(shape) > 3,
        stored=f"{dtype.name}{' with a scale' if scaled else ''}",
        rounded=dtype.kind in "iu" and scaled,
        interval=_interval(zooms, time_unit),
        intent="" if intent == "none" else str(intent),
        hemisphere="",
        labels={},
        notes=tuple(notes),
        _content=image,
    )


def _check_size(path: Path, shape: tuple[int, ...], itemsize: int) -> None:
    """Check that a file is as long as its header tells, before so much memory is asked for."""
    size = path.stat().st_size
    most = size * (_GZIP_AT_MOST if path.name.lower().endswith(".gz") else 1)
    expected = math.prod(shape) * itemsize
    if min(shape, default=0) < 1 or expected > most:
        lengths = " × ".join(map(str, shape))
        raise ValueError(
            f"is an image that is cut or damaged (its header tells of {lengths} values, {expected} "
            f"bytes, and the file has {size})"
        )


def _interval(zooms: tuple[float, ...], unit: str) -> float | None:
    if len(zooms) < 4 or unit not in SECONDS or not zooms[3] > 0:
        return None
    return float(zooms[3]) * SECONDS[unit]


def read_gifti(path: Path) -> BrainImage:
    """Read a GIfTI file of maps or labels on a surface.

    Parameters
    ----------
    path : Path

    Returns
    -------
    BrainImage

    Raises
    ------
    ImportError
        If nibabel is not installed.
    ValueError
        If it is cut or damaged, or holds a mesh and no values.
    """
    import nibabel

    with _reading():
        image: Any = nibabel.load(path)
        arrays = [np.asarray(one.data) for one in image.darrays]
        codes = nibabel.nifti1.intent_codes
        intents = [codes.niistring[one.intent] for one in image.darrays]
        names = [codes.label[one.intent] for one in image.darrays]
        structures = {
            str(meta.get("AnatomicalStructurePrimary", ""))
            for meta in (image.meta, *(one.meta for one in image.darrays))
        }
        labels = {int(k): str(name) for k, name in image.labeltable.get_labels_as_dict().items()}
    if not arrays:
        raise ValueError("holds no values")
    if set(intents) & set(_MESH):
        raise ValueError("holds the mesh of a surface, no values on it")
    if len(arrays) == 1 and arrays[0].ndim == 2:
        values = arrays[0].T
    elif all(one.ndim == 1 and one.shape == arrays[0].shape for one in arrays):
        values = np.stack(arrays)
    else:
        raise ValueError("holds arrays of several lengths: expected one value per vertex in each")
    hemispheres = {HEMISPHERES[one] for one in structures if one in HEMISPHERES}
    if len(hemispheres) > 1:
        raise ValueError("says that it is of both hemispheres: expected one file for each")
    intent = str(names[0]) if len(set(names)) == 1 else ""
    return BrainImage(
        path=path,
        grid=None,
        n_points=values.shape[1],
        n_maps=values.shape[0],
        has_map_axis=len(values) > 1,
        stored=values.dtype.name,
        rounded=False,
        interval=None,
        intent="" if intent in ("none", "time series", "label", "estimate") else intent,
        hemisphere=next(iter(hemispheres), ""),
        labels=labels if intents[0] == "NIFTI_INTENT_LABEL" else {},
        notes=(),
        _content=values,
    )


@contextmanager
def _reading(notes: list[str] | None = None) -> Iterator[None]:
    """Turn what nibabel, gzip and the XML parser raise on a broken file into a ValueError.

    What nibabel logs of a header that it mends becomes notes, and is not printed.
    """
    from nibabel.imageglobals import logger

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if notes is not None:
                notes.append(f"nibabel: {record.getMessage()}")

    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [Noting()], False
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, on a broken file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"is an image that is cut or damaged ({reason})") from None
    finally:
        logger.handlers, logger.propagate = handlers, propagate
