"""Brain images as laboratories have them, for the tests beside."""

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
gifti = nibabel.gifti

SHAPE = (3, 4, 2)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])
STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}


def volume(path, values, affine=AFFINE, dtype=None):
    """Write a volume; with a dtype of integers, rounded and scaled as by nibabel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine)
    if dtype is not None:
        image.header.set_data_dtype(dtype)
    nibabel.save(image, path)
    return path


def mask(path, *voxels, affine=AFFINE, shape=SHAPE):
    """Write a mask of a few voxels, or of all."""
    values = np.zeros(shape, np.uint8)
    for voxel in voxels:
        values[voxel] = 1
    return volume(path, values if voxels else np.ones(shape, np.uint8), affine)


def surface(path, *maps, hemisphere=None, intent="NIFTI_INTENT_NONE", names=None):
    """Write maps on a surface; with names of values, labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = gifti.GiftiLabelTable()
    for value, name in (names or {}).items():
        label = gifti.GiftiLabel(key=value)
        label.label = name
        table.labels.append(label)
    meta = {"AnatomicalStructurePrimary": STRUCTURES[hemisphere]} if hemisphere else {}
    intent = "NIFTI_INTENT_LABEL" if names else intent
    arrays = [gifti.GiftiDataArray(np.asarray(one), intent=intent) for one in maps]
    nibabel.save(
        gifti.GiftiImage(darrays=arrays, meta=gifti.GiftiMetaData(meta), labeltable=table), path
    )
    return path


def table(path, /, **columns):
    """Write a tsv."""
    rows = [columns, *zip(*columns.values(), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path
