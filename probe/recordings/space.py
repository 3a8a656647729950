"""Where in the brain neuroids are: voxels of a volume, or vertices of a surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.errors import ProbeError
from probe.formats.nifti import Grid
from probe.recordings.recording import Recording

HEMISPHERES = ("L", "R")


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels, and where they are.

    Attributes
    ----------
    voxels : numpy.ndarray, shape (n, 3), int64
        Index of each into the volume.
    shape : tuple of three int
        Of the volume.
    affine : numpy.ndarray, shape (4, 4)
        From indices to millimetres; as NIfTI has it, x grows to the right, y to the front, z up.
    name : str
        What the millimetres are of, such as MNI152NLin2009cAsym; empty if the recording does not
        say.
    """

    voxels: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray
    name: str = ""

    def __len__(self) -> int:
        return len(self.voxels)

    @property
    def millimetres(self) -> np.ndarray:
        """The centre of each voxel, shape (n, 3)."""
        return self.voxels @ self.affine[:3, :3].T + self.affine[:3, 3]

    @property
    def keys(self) -> list[tuple[Any, ...]]:
        """What tells a place from others, one for each."""
        return list(map(tuple, self.voxels.tolist()))

    def same_grid(self, other: Any) -> bool:
        """Whether the voxels of another space are those of this one, to a hundredth of a voxel."""
        if not isinstance(other, Volume) or self.name != other.name:
            return False
        return Grid(self.shape, self.affine).agrees_with(Grid(other.shape, other.affine))

    def take(self, chosen: np.ndarray) -> Volume:
        """Keep some of the voxels."""
        return Volume(self.voxels[chosen], self.shape, self.affine, self.name)

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Put one value per voxel into the whole volume: float32, NaN elsewhere."""
        volume = np.full(self.shape, np.nan, dtype=np.float32)
        volume[tuple(self.voxels.T)] = values
        return volume


@dataclass(frozen=True, eq=False)
class Surface:
    """Vertices of one or both hemispheres.

    Attributes
    ----------
    vertices : numpy.ndarray, shape (n,), int64
        Number of each in the mesh of its hemisphere.
    hemispheres : numpy.ndarray of str, shape (n,)
        ``L`` or ``R``.
    name : str
        Which mesh this is, such as fsaverage5; empty if the recording does not say.
    """

    vertices: np.ndarray
    hemispheres: np.ndarray
    name: str = ""

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def keys(self) -> list[tuple[Any, ...]]:
        """What tells a place from others, one for each."""
        return list(zip(self.hemispheres.tolist(), self.vertices.tolist(), strict=True))

    def same_grid(self, other: Any) -> bool:
        """Whether the vertices of another space are of the same meshes, as far as is known."""
        return isinstance(other, Surface) and self.name == other.name

    def take(self, chosen: np.ndarray) -> Surface:
        """Keep some of the vertices."""
        return Surface(self.vertices[chosen], self.hemispheres[chosen], self.name)


def space_of(recording: Recording) -> Volume | Surface:
    """Return where the neuroids of a recording are.

    Parameters
    ----------
    recording : Recording
        Of voxels: with the coordinates ``i``, ``j``, ``k`` of its neuroids and the attributes
        ``volume_shape`` and ``affine`` (row by row). Of a surface: with the coordinates ``vertex``
        and ``hemisphere``. Of one subject, or several on one grid.

    Returns
    -------
    Volume or Surface

    Raises
    ------
    ProbeError
        If the recording does not say where its neuroids are, or not in full.
    """
    data = recording.data
    label = f"recording {recording.name!r}"
    name = str(data.attrs.get("space", ""))
    if not recording.has_responses:
        raise ProbeError(f"{label} holds RDMs only, no responses: they have no positions")
    if all(axis in data.coords for axis in "ijk"):
        lacking = [a for a in ("volume_shape", "affine") if a not in data.attrs]
        if lacking:
            raise ProbeError(
                f"{label} has voxels (i, j, k) and no {lacking[0]!r}: how far apart they are is "
                "not known; import it again from its images, or give both in recording.json"
            )
        voxels = np.stack([_whole(data[axis].values, axis, label) for axis in "ijk"], axis=1)
        shape = tuple(int(n) for n in data.attrs["volume_shape"])
        affine = np.asarray(data.attrs["affine"], dtype=np.float64).ravel()
        if len(shape) != 3 or affine.size != 16:
            raise ProbeError(
                f"{label}: 'volume_shape' holds {len(shape)} numbers and 'affine' {affine.size}; "
                "expected 3 and 16"
            )
        if (outside := first_outside(voxels, shape)) is not None:
            raise ProbeError(
                f"{label}: voxel {tuple(voxels[outside].tolist())} is outside its volume of "
                f"{' × '.join(map(str, shape))}"
            )
        return Volume(voxels, (shape[0], shape[1], shape[2]), affine.reshape(4, 4), name)
    if "vertex" in data.coords and "hemisphere" in data.coords:
        hemispheres = np.array([str(h) for h in data["hemisphere"].values])
        other = [h for h in dict.fromkeys(hemispheres.tolist()) if h not in HEMISPHERES]
        if other:
            raise ProbeError(f"{label} has a vertex of hemisphere {other[0]!r}; expected L or R")
        return Surface(_whole(data["vertex"].values, "vertex", label), hemispheres, name)
    raise ProbeError(
        f"{label} does not say where its neuroids are: a searchlight needs voxels (i, j, k of each "
        "neuroid, and the affine of their volume) or vertices of a surface (vertex, hemisphere), "
        "as `probe datasets import` keeps them of NIfTI and GIfTI files"
    )


def first_outside(voxels: np.ndarray, shape: Sequence[int]) -> int | None:
    """Return the first of some voxels, (n, 3), that is not in a volume; None if all are."""
    outside = np.flatnonzero(((voxels < 0) | (voxels >= np.array(shape))).any(axis=1))
    return int(outside[0]) if outside.size else None


def _whole(values: np.ndarray, what: str, label: str) -> np.ndarray:
    try:
        numbers = np.asarray(values).astype(np.int64)
        if (numbers.astype(np.float64) == np.asarray(values).astype(np.float64)).all():
            return numbers
    except (TypeError, ValueError):
        pass
    raise ProbeError(f"{label}: the coordinate {what!r} holds values that are not whole numbers")
