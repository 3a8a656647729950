"""Maps as nibabel reads them, and meshes as it writes them."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
from nibabel import gifti

from probe.formats.brain_maps import gifti_content, nifti_content, read_mesh

AFFINE = np.array([[-3.0, 0.1, 0, 27], [0, 3, 0.2, -50], [0, 0, 3.5, -20], [0, 0, 0, 1]])
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=np.float32)
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def write_mesh(path, meta=None, arrays=("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")):
    values = {"NIFTI_INTENT_POINTSET": POINTS, "NIFTI_INTENT_TRIANGLE": TRIANGLES}
    made = [gifti.GiftiDataArray(values[name], intent=name) for name in arrays]
    if meta:
        made[0].meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": meta})
    nibabel.save(gifti.GiftiImage(darrays=made), path)
    return path


@pytest.mark.parametrize(("space", "code"), [("MNI152NLin2009cAsym", 4), ("T1w", 2), ("", 2)])
def test_volumes_come_back_as_they_were(tmp_path, space, code):
    volume = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    volume[1] = np.nan
    (tmp_path / "map.nii.gz").write_bytes(nifti_content(volume, AFFINE, space))
    image = nibabel.load(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-6)
    assert int(image.header["sform_code"]) == code
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header["descrip"].item().decode() == space


def test_the_same_volume_gives_the_same_bytes():
    volume = np.ones((2, 2, 2))
    assert nifti_content(volume, AFFINE) == nifti_content(volume, AFFINE)


@pytest.mark.parametrize(("side", "structure"), [("L", "CortexLeft"), ("R", "CortexRight")])
def test_surfaces_come_back_as_they_were(tmp_path, side, structure):
    values = np.array([1.5, np.nan, -2.0], dtype=np.float32)
    (tmp_path / "map.shape.gii").write_bytes(gifti_content(values, side))
    image = nibabel.load(tmp_path / "map.shape.gii")
    np.testing.assert_array_equal(image.darrays[0].data, values)
    assert image.meta["AnatomicalStructurePrimary"] == structure


@pytest.mark.parametrize(
    ("name", "meta", "hemisphere"),
    [
        ("mesh.surf.gii", "CortexRight", "R"),
        ("sub-01_hemi-L_midthickness.surf.gii", None, "L"),
        ("lh.pial.surf.gii", None, "L"),
        ("fsaverage.R.surf.gii", None, "R"),
        ("rh.surf.gii", "CortexLeft", "L"),  # what the file says, not its name
        ("mesh.surf.gii", None, ""),
        ("lh.rh.surf.gii", None, ""),
        ("rhino.surf.gii", None, ""),
    ],
)
def test_whose_mesh_it_is_is_read_and_not_guessed(tmp_path, name, meta, hemisphere):
    mesh = read_mesh(write_mesh(tmp_path / name, meta))
    assert mesh.hemisphere == hemisphere
    np.testing.assert_array_equal(mesh.coordinates, POINTS)
    np.testing.assert_array_equal(mesh.faces, TRIANGLES)


def test_what_is_no_mesh(tmp_path):
    with pytest.raises(ValueError, match="holds no mesh"):
        read_mesh(write_mesh(tmp_path / "a.gii", arrays=("NIFTI_INTENT_POINTSET",)))
    (tmp_path / "b.gii").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "d.gii").write_text("")
    for name in ("b.gii", "d.gii", "absent.gii"):
        with pytest.raises(ValueError, match="is not a GIfTI file"):
            read_mesh(tmp_path / name)
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2)), AFFINE), tmp_path / "c.nii.gz")
    with pytest.raises(ValueError, match="is no GIfTI file"):
        read_mesh(tmp_path / "c.nii.gz")


def test_without_nibabel(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError):
        nifti_content(np.ones((2, 2, 2)), AFFINE)
    with pytest.raises(ImportError):
        read_mesh(tmp_path / "a.gii")
