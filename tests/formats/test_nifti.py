"""Volumes and surfaces, as nibabel gives them."""

import numpy as np
import pytest

from probe.formats import kinds
from probe.formats.nifti import Grid, read_gifti, read_nifti

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
from nibabel.gifti import GiftiDataArray, GiftiImage  # noqa: E402

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(3, 4, 5, 6)) * 100


def save(path, values, dtype=None, image=nibabel.Nifti1Image, affine=AFFINE):
    written = image(values, affine)
    if dtype is not None:  # rounded on disk, where it is of integers
        written.header.set_data_dtype(dtype)
    nibabel.save(written, path)
    return path


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", "i4"])
def test_values_are_those_of_nibabel(tmp_path, values, ending, image, dtype):
    path = save(tmp_path / f"a.{ending}", values, dtype, image)
    read = read_nifti(path)
    expected = nibabel.load(path).get_fdata()
    np.testing.assert_array_equal(read.read(), expected.reshape(60, 6).T)
    chosen = np.random.default_rng(1).random(60) < 0.5
    np.testing.assert_array_equal(
        read.read(chosen), expected[chosen.reshape(3, 4, 5)].T
    )  # in C order of the mask
    assert read.rounded is (dtype[0] in "iu")
    assert (read.n_points, read.n_maps, read.has_map_axis) == (60, 6, True)
    assert kinds.kind_of(path) == kinds.NIFTI


def test_integers_without_a_scale_are_as_they_are(tmp_path, values):
    read = read_nifti(save(tmp_path / "a.nii", values.astype(np.int16)))
    assert (read.stored, read.rounded) == ("int16", False)


def test_big_endian(tmp_path, values):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">f4")
    nibabel.save(nibabel.Nifti1Image(values, AFFINE, header), tmp_path / "a.nii")
    assert kinds.kind_of(tmp_path / "a.nii") == kinds.NIFTI
    np.testing.assert_array_equal(
        read_nifti(tmp_path / "a.nii").read(), values.astype("f4").reshape(60, 6).T
    )


def test_an_axis_of_length_1_between(tmp_path, values):
    """Some write x, y, z, 1, t, as NIfTI keeps the fifth axis for what is no time."""
    read = read_nifti(save(tmp_path / "a.nii", values[:, :, :, None]))
    np.testing.assert_array_equal(read.read(), values.reshape(60, 6).T)


def test_axes_that_run_to_the_left(tmp_path, values):
    grid = read_nifti(save(tmp_path / "a.nii", values)).grid
    assert str(grid) == "3 × 4 × 5 voxels of 2 × 2 × 3 mm, axes L A S"
    np.testing.assert_array_equal(grid.affine, AFFINE)


def test_units_of_space(tmp_path, values):
    image = nibabel.Nifti1Image(values, np.diag([2000.0, 2000, 2000, 1]))
    image.header.set_xyzt_units("micron", "msec")
    image.header["pixdim"][4] = 2500
    nibabel.save(image, tmp_path / "a.nii")
    read = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(read.grid.voxel_sizes, 2)
    assert read.interval == 2.5
    assert read.notes == ("the affine was in microns, and is in mm now",)


def test_sides_that_are_not_known(tmp_path, values):
    read = read_nifti(save(tmp_path / "a.nii", values, affine=None))
    assert "which side is left" in read.notes[0]


def test_what_nibabel_mends_is_said_and_not_printed(tmp_path, values, capfd):
    """nibabel 5.4.2 logs to standard error, and goes on."""
    path = save(tmp_path / "a.nii", values)
    content = bytearray(path.read_bytes())
    content[252:254] = (99).to_bytes(2, "little")
    path.write_bytes(content)
    read = read_nifti(path)
    assert read.notes == ("nibabel: qform_code 99 not valid; setting to 0",)
    assert capfd.readouterr() == ("", "")


def test_two_forms_that_differ(tmp_path, values):
    image = nibabel.Nifti1Image(values, AFFINE)
    image.set_qform(np.eye(4), 1)
    image.set_sform(AFFINE, 1)
    nibabel.save(image, tmp_path / "a.nii")
    read = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(read.grid.affine, AFFINE)
    assert "sform and qform differ" in read.notes[0]


def test_grids_agree_to_a_hundredth_of_a_voxel():
    moved = AFFINE.copy()
    moved[0, 3] += 0.01
    assert Grid((3, 4, 5), AFFINE).agrees_with(Grid((3, 4, 5), moved))
    moved[0, 3] += 0.1
    assert not Grid((3, 4, 5), AFFINE).agrees_with(Grid((3, 4, 5), moved))
    # A small error of the angle is far off at the other end.
    turned = AFFINE.copy()
    turned[1, 0] = 0.001
    assert Grid((3, 4, 5), AFFINE).agrees_with(Grid((3, 4, 5), turned))
    assert not Grid((300, 4, 5), AFFINE).agrees_with(Grid((300, 4, 5), turned))


@pytest.mark.parametrize("together", [False, True])
def test_surfaces(tmp_path, together):
    """workbench writes one array per map, some tools one of vertex × map."""
    values = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
    arrays = [values.T] if together else list(values)
    image = GiftiImage(
        darrays=[GiftiDataArray(one, intent="NIFTI_INTENT_TIME_SERIES") for one in arrays],
        meta=nibabel.gifti.GiftiMetaData(AnatomicalStructurePrimary="CortexRight"),
    )
    nibabel.save(image, tmp_path / "a.func.gii")
    assert kinds.kind_of(tmp_path / "a.func.gii") == kinds.GIFTI
    read = read_gifti(tmp_path / "a.func.gii")
    np.testing.assert_array_equal(read.read(), values.astype(np.float64))
    assert (read.hemisphere, read.n_points, read.n_maps, read.grid) == ("R", 10, 3, None)
