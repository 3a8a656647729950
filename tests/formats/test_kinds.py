"""Kinds of files, told by how they begin."""

import h5py
import numpy as np
import pytest
import scipy.io

from probe.formats import kinds
from probe.formats.matlab import read_matlab5, read_matlab73
from probe.formats.names import repeated


def test_by_content_not_by_name(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(2))
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    scipy.io.savemat(tmp_path / "a.mat", {"a": np.ones(2)})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.ones(2)
    with h5py.File(tmp_path / "nwb.h5", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
    with h5py.File(tmp_path / "nc.h5", "w") as file:
        file.attrs["_NCProperties"] = "version=2"
    with h5py.File(tmp_path / "v73.h5", "w", userblock_size=512) as file:
        file["a"] = np.ones(2)
        file["a"].attrs["MATLAB_class"] = np.bytes_("double")
    expected = {
        "a.npy": kinds.NPY, "a.npz": kinds.NPZ, "a.mat": kinds.MATLAB_5, "a.h5": kinds.HDF5,
        "nwb.h5": kinds.NWB, "nc.h5": kinds.NETCDF, "v73.h5": kinds.MATLAB_73,
    }  # fmt: skip
    for name, kind in expected.items():
        disguised = (tmp_path / name).rename(tmp_path / "file.dat")
        assert kinds.kind_of(disguised) == kind, name
        disguised.unlink()


def test_a_broken_link(tmp_path):
    (tmp_path / "a.mat").symlink_to(tmp_path / "nowhere.mat")
    with pytest.raises(ValueError, match=r"is a broken link to '.*nowhere.mat'"):
        kinds.kind_of(tmp_path / "a.mat")


def test_version_4_of_matlab(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"a": np.arange(6.0).reshape(2, 3)}, format="4")
    assert kinds.kind_of(tmp_path / "a.mat") == kinds.MATLAB_5
    content = read_matlab5(tmp_path / "a.mat")
    np.testing.assert_array_equal(content.arrays["a"].values, np.arange(6.0).reshape(2, 3))


def test_structs_cells_and_characters(tmp_path):
    """SciPy 1.17 pads the rows of char matrices with blanks."""
    cells = np.empty(2, dtype=object)
    cells[:] = [np.ones(3), "x"]
    structs = np.empty(2, dtype=[("name", object), ("n", object)])
    structs[:] = [("a", 1), ("b", 2)]
    scipy.io.savemat(
        tmp_path / "a.mat",
        {
            "s": {"names": ["face", "kiwi  "], "inner": {"n": 3.0}},
            "structs": structs,
            "mixed": cells,
        },
    )
    content = read_matlab5(tmp_path / "a.mat")
    arrays = content.arrays
    assert arrays["s.names"].values.tolist() == ["face", "kiwi"]
    assert arrays["s.inner.n"].values.tolist() == [[3.0]]
    assert arrays["structs.name"].vector.tolist() == ["a", "b"]
    assert arrays["structs.n"].vector.tolist() == [1, 2]
    assert list(content.unreadable) == ["mixed"]


def test_axes_of_version_73_are_those_of_matlab(tmp_path):
    """h5py shows MATLAB's 2 x 3 x 4 as (4, 3, 2); mat73 0.65 and this turn it."""
    values = np.arange(24.0).reshape(2, 3, 4)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["a"] = values.T
        file["empty"] = np.array([0, 3], np.uint64)
        for name in ("a", "empty"):
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        file["empty"].attrs["MATLAB_empty"] = 1
    arrays = read_matlab73(tmp_path / "a.mat").arrays
    np.testing.assert_array_equal(arrays["a"].values, values)
    assert arrays["empty"].values.shape == (0, 3)


def test_repeated():
    assert repeated("abcba") == "b"
    assert repeated("abc") is None
