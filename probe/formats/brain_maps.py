"""Maps over a volume or a surface, as the content of NIfTI and GIfTI files; meshes from GIfTI."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np

from probe.formats.nifti import HEMISPHERES

_IN_NAME = re.compile(r"(?<![A-Za-z0-9])([LR]|lh|rh)(?![A-Za-z0-9])")
"""As in hemi-L, lh.pial, sub-01.R.midthickness."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface of triangles.

    Attributes
    ----------
    coordinates : numpy.ndarray, shape (n_vertices, 3)
        In millimetres.
    faces : numpy.ndarray, shape (n_faces, 3), int
    hemisphere : str
        ``L`` or ``R`` as the file says, or its name; empty where neither does.
    """

    coordinates: np.ndarray
    faces: np.ndarray
    hemisphere: str


def nifti_content(volume: np.ndarray, affine: np.ndarray, space: str = "") -> bytes:
    """Return a volume as the content of a ``.nii.gz`` file: the same bytes for the same volume.

    Parameters
    ----------
    volume : numpy.ndarray, shape (x, y, z)
        Written as float32, without a scale.
    affine : numpy.ndarray, shape (4, 4)
        To millimetres; written as the sform, whose code is that of MNI space where ``space`` begins
        with MNI152, and 2 (aligned to something else) where it does not.
    space : str
        Kept as the file's description.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    """
    import nibabel

    image = nibabel.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)
    code = 4 if space.startswith("MNI152") else 2
    image.set_sform(affine, code)
    image.set_qform(affine, code, strip_shears=True)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = space.encode("ascii", "replace")[:79]
    return gzip.compress(image.to_bytes(), mtime=0)


def gifti_content(values: np.ndarray, hemisphere: str) -> bytes:
    """Return one value per vertex of a hemisphere as the content of a GIfTI file.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_vertices,)
        Written as float32.
    hemisphere : {'L', 'R'}

    Raises
    ------
    ImportError
        If nibabel is not installed.
    """
    import nibabel
    from nibabel import gifti

    structure = next(s for s, side in HEMISPHERES.items() if side == hemisphere)
    array = gifti.GiftiDataArray(
        np.asarray(values, dtype=np.float32),
        intent=nibabel.nifti1.intent_codes["NIFTI_INTENT_SHAPE"],
        datatype="NIFTI_TYPE_FLOAT32",
    )
    meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
    return bytes(gifti.GiftiImage(meta=meta, darrays=[array]).to_bytes())


def read_mesh(path: Path) -> Mesh:
    """Read a surface from a GIfTI file.

    Raises
    ------
    ImportError
        If nibabel is not installed.
    ValueError
        If the file is no GIfTI file, or holds no mesh.
    """
    import nibabel

    unreadable = OSError, ValueError, ExpatError, nibabel.filebasedimages.ImageFileError
    try:
        image = nibabel.load(path)
    except unreadable as error:
        raise ValueError(f"is not a GIfTI file that can be read ({error})") from None
    if not isinstance(image, nibabel.gifti.GiftiImage):
        raise ValueError("is no GIfTI file")
    points = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    triangles = image.get_arrays_from_intent("NIFTI_INTENT_TRIANGLE")
    if len(points) != 1 or len(triangles) != 1:
        raise ValueError("holds no mesh: expected one array of points and one of triangles")
    said = points[0].meta.get("AnatomicalStructurePrimary") or image.meta.get(
        "AnatomicalStructurePrimary"
    )
    sides = {match[0].upper() for match in _IN_NAME.findall(path.name)}
    hemisphere = HEMISPHERES.get(said or "", sides.pop() if len(sides) == 1 else "")
    return Mesh(
        np.asarray(points[0].data, dtype=np.float64),
        np.asarray(triangles[0].data, dtype=np.int64),
        hemisphere,
    )
