"""What libraries give that a reading must not take as it comes; each with the version seen."""

import datetime
import itertools
import struct

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.recordings import read_recording
from probe.recordings.importing.spikes import count_spikes

NAMES = ["a", "b", "a", "b"]
ONSETS = [1.0, 2.0, 3.0, 4.0]


class TestWindows:
    """pynwb 4.2.0: in_interval is closed at both ends, and bisects unsorted times."""

    def test_a_border_is_counted_in_one_of_two_windows_that_touch(self):
        times = np.array([0.5, 1.0, 1.5])
        onsets = np.zeros(1)
        assert count_spikes(times, onsets, (0.5, 1.0)) == [1]
        assert count_spikes(times, onsets, (1.0, 1.5)) == [1]

    @given(
        st.lists(st.integers(0, 200), max_size=60),
        st.lists(st.integers(0, 150), min_size=1, max_size=10),
        st.integers(-20, 20),
        st.integers(1, 40),
    )
    def test_by_definition(self, spikes, onsets, first, width):
        times = np.sort(np.array(spikes, dtype=float)) / 64
        counts = count_spikes(times, np.array(onsets) / 64, (first / 64, (first + width) / 64))
        expected = [sum(first <= t - o < first + width for t in spikes) for o in onsets]
        assert counts.tolist() == expected

    @given(st.lists(st.integers(0, 300), max_size=80), st.lists(st.integers(1, 30), min_size=2))
    def test_windows_that_touch_count_every_spike_once(self, spikes, widths):
        times = np.sort(np.array(spikes, dtype=float)) / 1000
        borders = np.concatenate([[0], np.cumsum(widths)]) / 1000
        counts = [
            count_spikes(times, np.zeros(1), (a, b))[0] for a, b in itertools.pairwise(borders)
        ]
        assert sum(counts) == np.sum((times >= borders[0]) & (times < borders[-1]))

    def test_outside_observation_there_is_no_count(self):
        """pynwb 4.2.0: obs_intervals change nothing in what it returns."""
        onsets = np.array([0.0, 1.0, 2.0, 3.0])
        observed = np.array([[1.0, 1.6], [1.6, 2.2], [3.0, 5.0]])  # two touch
        counts = count_spikes(np.array([1.1]), onsets, (0.0, 0.5), observed)
        np.testing.assert_array_equal(counts, [np.nan, 1, np.nan, 0])
        nowhere = count_spikes(np.array([1.1]), onsets, (0.0, 0.5), np.zeros((0, 2)))
        assert np.isnan(nowhere).all()

    def test_invalid_times_take_out_what_they_touch(self):
        onsets = np.array([0.0, 1.0, 2.0])
        counts = count_spikes(
            np.array([1.1]), onsets, (0.0, 0.5), invalid=np.array([[0.5, 1.0], [2.4, 2.6]])
        )
        np.testing.assert_array_equal(counts, [0, 1, np.nan])


def spikes_file(tmp_path, times, **more):
    arrays = {"spike_times_s": times, "spike_times_s_index": [len(times)]}
    arrays |= {"onset_s": ONSETS, "stimulus_id": NAMES}
    np.savez(tmp_path / "s.npz", **(arrays | more))
    return tmp_path / "s.npz"


class TestSpikeTimes:
    def test_times_that_are_not_ascending_are_sorted_only_when_told(self, tmp_path):
        path = spikes_file(tmp_path, [2.1, 1.1, 3.1, 4.1])
        with pytest.raises(ProbeError, match=r"not ascending \(2.1 is followed by 1.1.*--sort-tim"):
            read_recording(path, window="0,500ms")
        reading = read_recording(path, window="0,500ms", sort_times=True)
        assert reading.responses.ravel().tolist() == [1, 1, 1, 1]
        assert "spike times of unit 0 were sorted" in reading.notes

    def test_milliseconds_called_seconds(self, tmp_path):
        """As in recogmem-release-NWB (issue 5)."""
        path = spikes_file(tmp_path, [1100.0, 2100.0, 3100.0])
        with pytest.raises(ProbeError, match=r"none of 3 spikes .* one clock and in one unit\?"):
            read_recording(path, window="0,500ms")

    def test_a_unit_without_spikes_counts_0(self, tmp_path):
        path = spikes_file(tmp_path, [1.1, 2.1], spike_times_s_index=[1, 1, 2], unit_id=[5, 9, 2])
        reading = read_recording(path, window="0,500ms")
        assert reading.neuroid_columns["neuroid_id"] == ["5", "9", "2"]
        assert reading.responses.sum(axis=(0, 1)).tolist() == [1, 0, 1]
        assert "units without spikes, counted as 0: 9" in reading.notes

    def test_windows_that_overlap_each_count(self, tmp_path):
        path = spikes_file(tmp_path, [4.2], onset_s=[1.0, 2.0, 3.9, 4.0])
        reading = read_recording(path, window="0,500ms")
        assert reading.responses.sum() == 2
        assert "1 windows overlap the next: a spike counts in each" in reading.notes


def write_nwb(
    path, *, ids=(2, 3, 1), images=(), order=False, indices=(), timing=None, observed=None,
    invalid=(), **columns,
):  # fmt: skip
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
    file = pynwb.NWBFile("s", "id", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    for k, unit in enumerate(ids):
        more = {} if observed is None else {"obs_intervals": observed}
        file.add_unit(id=unit, spike_times=np.array(ONSETS[: k + 1]) + 0.1, **more)
    for start, stop in invalid:
        file.add_invalid_time_interval(start, stop)
    for name in columns:
        file.add_trial_column(name, name)
    if columns:
        for onset, *row in zip(ONSETS, *columns.values(), strict=True):
            file.add_trial(onset, onset + 0.5, **dict(zip(columns, row, strict=True)))
    if images:
        from pynwb.base import ImageReferences
        from pynwb.image import GrayscaleImage, Images, IndexSeries

        members = [GrayscaleImage(name=name, data=np.zeros((2, 2))) for name in images]
        references = ImageReferences(name="order_of_images", data=members)
        more = {"order_of_images": references} if order else {}
        template = Images(name="template", images=members, description="d", **more)
        file.add_stimulus_template(template)
        file.add_stimulus(
            IndexSeries(
                name="shown",
                data=np.array(indices, dtype=np.uint32),
                unit="N/A",
                indexed_images=template,
                **(timing or {"timestamps": ONSETS}),
            )
        )
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


class TestNWB:
    def test_units_go_by_their_ids_not_by_their_rows(self, tmp_path):
        """pynwb 4.2.0: get_unit_spike_times(1) gives the second row, whatever its id."""
        path = write_nwb(tmp_path / "s.nwb", stimulus_name=NAMES)
        reading = read_recording(path, window="0,500ms")
        ids = reading.neuroid_columns["neuroid_id"]
        spikes = reading.responses.sum(axis=(0, 1))
        assert dict(zip(ids, spikes.tolist(), strict=True)) == {"2": 1, "3": 2, "1": 3}

    def test_images_without_an_order_are_alphabetical(self, tmp_path):
        """pynwb 4.2.0: pic1, pic10, pic2, whatever was written."""
        pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
        images = ["pic2", "pic10", "pic1"]
        path = write_nwb(tmp_path / "s.nwb", images=images, indices=[0, 1, 2, 0])
        with pynwb.NWBHDF5IO(str(path), "r") as io:
            assert list(io.read().stimulus_template["template"].images) != images
        with pytest.raises(ProbeError, match=r"no order_of_images.*--labels"):
            read_recording(path, window="0,500ms")
        names = tmp_path / "names.csv"
        names.write_text("stimulus_id\n" + "\n".join(images))
        reading = read_recording(path, window="0,500ms", labels=names)
        assert reading.stimulus_ids == ("pic2", "pic10", "pic1")

    @pytest.mark.parametrize("timing", [None, {"rate": 1.0, "starting_time": 1.0}])
    def test_images_with_an_order_keep_it(self, tmp_path, timing):
        """pynwb 4.2.0: timestamps are None where rate and starting_time are given."""
        images = ["pic2", "pic10", "pic1"]
        path = write_nwb(
            tmp_path / "s.nwb", images=images, order=True, indices=[2, 0, 1, 2], timing=timing
        )
        reading = read_recording(path, window="0,500ms")
        assert reading.stimulus_ids == ("pic1", "pic2", "pic10")
        assert reading.label_name == "picture"
        assert np.nansum(reading.responses, axis=(0, 1)).tolist() == [1, 2, 3]

    def test_what_was_not_observed_or_is_invalid_is_missing_not_0(self, tmp_path):
        path = write_nwb(
            tmp_path / "s.nwb", stimulus_name=list("abcd"), observed=[[0.5, 3.8]],
            invalid=[(2.2, 2.3)],
        )  # fmt: skip
        reading = read_recording(path, window="0,500ms")
        expected = [[1, 1, 1], [np.nan] * 3, [0, 0, 1], [np.nan] * 3]
        np.testing.assert_array_equal(reading.responses[:, 0], expected)
        assert "6 of 12 counts are missing: outside what was observed" in reading.notes

    def test_frames_that_are_floats_and_a_blank_of_minus_1(self, tmp_path):
        """Allen's natural scenes: frame is a float, -1.0 is the blank (AllenSDK #2072)."""
        path = write_nwb(tmp_path / "s.nwb", frame=[12.0, -1.0, 3.0, 12.0])
        reading = read_recording(path, window="0,500ms", blanks=["-1"])
        assert reading.stimulus_ids == ("12", "3")
        assert "1 presentations of no picture were set apart" in reading.notes
        with pytest.raises(ProbeError, match="no presentation is called '-2'"):
            read_recording(path, window="0,500ms", blanks=["-2"])

    def test_two_columns_may_name_the_pictures(self, tmp_path):
        path = write_nwb(tmp_path / "s.nwb", stimulus_name=NAMES, image_name=["x", "y"] * 2)
        with pytest.raises(ProbeError, match=r"may be 'stimulus_name', 'image_name'.*--labels"):
            read_recording(path, window="0,500ms")
        reading = read_recording(path, window="0,500ms", labels="image_name")
        assert reading.stimulus_ids == ("x", "y")

    def test_two_tables_may_be_the_presentations(self, tmp_path):
        path = write_nwb(
            tmp_path / "s.nwb", images=["p", "q"], order=True, indices=[0, 1] * 2,
            stimulus_name=NAMES,
        )  # fmt: skip
        with pytest.raises(ProbeError, match=r"may be 'trials', 'shown'.*--presentations"):
            read_recording(path, window="0,500ms")
        reading = read_recording(path, window="0,500ms", presentations="shown")
        assert reading.stimulus_ids == ("p", "q")

    def test_no_window(self, tmp_path):
        path = write_nwb(tmp_path / "s.nwb", stimulus_name=NAMES)
        with pytest.raises(ProbeError, match="--window 50,250ms"):
            read_recording(path)

    def test_without_pynwb(self, tmp_path, monkeypatch):
        with h5py.File(tmp_path / "s.nwb", "w") as file:
            file.attrs["nwb_version"] = "2.8.0"
        monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
        with pytest.raises(ProbeError, match=r"the extra 'nwb' \(pip install 'cnn-probe\[nwb\]'\)"):
            read_recording(tmp_path / "s.nwb", window="0,500ms")


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def opaque(name, class_name):
    """Lay out an object of MATLAB's class system as version 5 files have it."""
    flags = element(6, struct.pack("<II", 13, 0)) + element(5, struct.pack("<ii", 1, 1))
    array = element(14, flags + element(1, b"") + element(6, struct.pack("<I", 0xDD000000)))
    head = element(6, struct.pack("<II", 17, 0)) + element(1, name)
    return element(14, head + element(1, b"MCOS") + element(1, class_name) + array)


class TestMATLAB:
    def test_axes_of_length_1_stay(self, tmp_path):
        """SciPy 1.17 with simplify_cells, and pymatreader: 1 x 5 x 3 becomes (5, 3)."""
        values = np.arange(15.0).reshape(1, 5, 3)
        scipy.io.savemat(
            tmp_path / "r.mat",
            {"resp": values, "image_id": np.array(list("abcde"), object), "unit_id": [1, 2, 3]},
        )
        reading = read_recording(tmp_path / "r.mat")
        assert reading.responses.shape == (5, 1, 3)
        assert [axis.kind for axis in reading.axes] == ["single", "stimulus", "neuroid"]
        said = read_recording(tmp_path / "r.mat", axes="repeat,image,neuron")
        np.testing.assert_array_equal(said.responses, reading.responses)

    def test_a_last_axis_of_length_1_is_not_in_the_file(self, tmp_path):
        """MATLAB keeps no trailing axis of length 1: 3 x 5 x 1 is 3 x 5."""
        scipy.io.savemat(
            tmp_path / "r.mat",
            {"resp": np.arange(15.0).reshape(3, 5), "image_id": np.array(list("abcde"), object)},
        )
        reading = read_recording(tmp_path / "r.mat", axes="neuron,image,repeat")
        assert reading.responses.shape == (5, 1, 3)

    def test_tables_and_strings_are_named_as_what_they_are(self, tmp_path):
        """SciPy 1.17: both are called 'None', and the second overwrites the first."""
        path = tmp_path / "r.mat"
        scipy.io.savemat(path, {"resp": np.ones((2, 3))})
        with path.open("ab") as file:
            file.write(opaque(b"trials", b"table") + opaque(b"names", b"string"))
        with pytest.raises(ProbeError, match=r"nothing says which picture.*only MATLAB reads"):
            read_recording(path)

    def test_a_mat_file_that_matlab_did_not_write_keeps_its_axes(self, tmp_path):
        """h5py 3.16 writes neither MATLAB's header nor its classes, and reverses nothing."""
        with h5py.File(tmp_path / "r.mat", "w") as file:
            file["resp"] = np.arange(4.0).reshape(2, 2)
            file["image_id"] = np.array([b"a", b"b"])
        reading = read_recording(tmp_path / "r.mat", axes="image,neuron")
        assert reading.kind == "HDF5"
        np.testing.assert_array_equal(reading.responses[:, 0], [[0, 1], [2, 3]])

    def test_tables_in_version_73(self, tmp_path):
        with h5py.File(tmp_path / "r.mat", "w") as file:
            file["image_id"] = np.zeros((1, 6), np.uint32)
            file["image_id"].attrs["MATLAB_class"] = np.bytes_("string")
            file["image_id"].attrs["MATLAB_object_decode"] = 3
            file["resp"] = np.ones((2, 3))
            file["resp"].attrs["MATLAB_class"] = np.bytes_("double")
        with pytest.raises(ProbeError, match=r"'image_id' holds .*only MATLAB reads"):
            read_recording(tmp_path / "r.mat")

    def test_cells_of_strings_in_version_73(self, tmp_path):
        with h5py.File(tmp_path / "r.mat", "w") as file:
            references = []
            for k, name in enumerate(["beta", "alpha"]):
                cell = file.create_dataset(
                    f"#refs#/{k}", data=np.array([[ord(c)] for c in name], np.uint16)
                )
                cell.attrs["MATLAB_class"] = np.bytes_("char")
                references.append([cell.ref])
            cells = file.create_dataset("image_id", (2, 1), dtype=h5py.ref_dtype)
            cells[...] = np.array(references, dtype=object)
            cells.attrs["MATLAB_class"] = np.bytes_("cell")
            file["resp"] = np.arange(6.0).reshape(2, 3)  # image x neuron; reversed in MATLAB
            file["resp"].attrs["MATLAB_class"] = np.bytes_("double")
        reading = read_recording(tmp_path / "r.mat", axes="neuron,image")
        assert reading.stimulus_ids == ("beta", "alpha")
        np.testing.assert_array_equal(reading.responses[:, 0], [[0, 1, 2], [3, 4, 5]])


class TestNetCDF:
    def test_a_multi_index_is_not_written_and_its_levels_are_read_flat(self, tmp_path):
        """xarray 2026.9: to_netcdf of a MultiIndex raises; `sel` on a level renames the dim."""
        array = xr.DataArray(
            np.arange(6.0).reshape(3, 2), dims=("presentation", "neuroid"),
            coords={
                "stimulus_id": ("presentation", list("aba")),
                "neuroid_id": ("neuroid", ["u", "v"]), "region": ("neuroid", ["V4", "IT"]),
            },
        )  # fmt: skip
        indexed = array.set_index(neuroid=["neuroid_id", "region"])
        with pytest.raises(NotImplementedError):
            indexed.to_netcdf(tmp_path / "a.nc", engine="scipy")
        indexed.reset_index("neuroid").to_netcdf(tmp_path / "a.nc", engine="scipy")
        reading = read_recording(tmp_path / "a.nc")
        assert reading.neuroid_columns == {"neuroid_id": ["u", "v"], "region": ["V4", "IT"]}
        np.testing.assert_array_equal(
            reading.responses, [[[0, 1], [4, 5]], [[2, 3], [np.nan, np.nan]]]
        )

    def test_fill_values_are_missing(self, tmp_path):
        with h5py.File(tmp_path / "a.nc", "w") as file:
            file["presentation"] = np.arange(2.0)
            file["presentation"].make_scale("presentation")
            file["neuroid"] = np.arange(3.0)
            file["neuroid"].make_scale("neuroid")
            file["r"] = np.array([[1, 2, -9], [4, 5, 6]])
            file["r"].attrs["_FillValue"] = -9
            file["stimulus_id"] = np.array([b"a", b"b"])
            for axis, name in enumerate(("presentation", "neuroid")):
                file["r"].dims[axis].attach_scale(file[name])
            file["stimulus_id"].dims[0].attach_scale(file["presentation"])
        reading = read_recording(tmp_path / "a.nc", variable="r")
        np.testing.assert_array_equal(reading.responses[:, 0], [[1, 2, np.nan], [4, 5, 6]])


POINTERS = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "annex": (b"/annex/objects/MD5E-s9--0.nwb\n", "git annex get"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("suffix", [".nwb", ".mat", ".nc", ".npz", ".npy", ".csv", ".parquet"])
@pytest.mark.parametrize("pointer", POINTERS)
def test_files_that_are_not_here(tmp_path, suffix, pointer):
    """NumPy offers allow_pickle, SciPy names a version 49, pandas reads the pointer as a table."""
    content, advice = POINTERS[pointer]
    path = tmp_path / f"r{suffix}"
    path.write_bytes(content)
    with pytest.raises(ProbeError, match=advice):
        read_recording(path)


def test_a_link_of_git_annex(tmp_path):
    (tmp_path / "r.nwb").symlink_to(tmp_path / ".git" / "annex" / "objects" / "x.nwb")
    with pytest.raises(ProbeError, match="git annex get"):
        read_recording(tmp_path / "r.nwb")


class TestTablesOfNeuroids:
    """Where a region is a range of rows, as in TVSD, a table has to say so."""

    @pytest.fixture
    def read(self, tmp_path):
        def read(table, **arrays):
            np.savez(tmp_path / "r.npz", resp=np.arange(6.0).reshape(3, 2), image_id=["a", "b"])
            if arrays:
                values = {"resp": np.arange(6.0).reshape(3, 2), "image_id": ["a", "b"]} | arrays
                np.savez(tmp_path / "r.npz", **values)
            (tmp_path / "sites.csv").write_text(table)
            return read_recording(tmp_path / "r.npz", neuroids=tmp_path / "sites.csv")

        return read

    def test_its_length_tells_the_axis_and_its_order_the_rows(self, read):
        reading = read("area,depth\nV1,10\nV1,20\nIT,30\n")
        assert str(reading.axes[0]) == "neuroid (3): the only one as long as sites.csv"
        assert reading.neuroid_columns["region"] == ["V1", "V1", "IT"]
        assert reading.neuroid_columns["neuroid_id"] == ["n0001", "n0002", "n0003"]
        np.testing.assert_array_equal(reading.responses[:, 0], [[0, 2, 4], [1, 3, 5]])

    def test_where_the_file_has_ids_rows_go_by_them(self, read):
        table = "neuroid_id,region\n9,IT\n7,V1\n8,V4\n5,V2\n"
        reading = read(table, unit_id=[7, 8, 9])
        assert reading.neuroid_columns["region"] == ["V1", "V4", "IT"]

    @pytest.mark.parametrize(
        ("table", "arrays", "reason"),
        [
            ("region\nV1\nV4\nIT\n", {"unit_id": [7, 8, 9]}, "which row describes which"),
            ("neuroid_id,region\n7,V1\n8,V4\n", {"unit_id": [7, 8, 9]}, "no row of neuroid '9'"),
            ("neuroid_id,region\n7,V1\n7,V4\n", {"unit_id": [7, 8, 9]}, "two rows of .* '7'"),
            ("region\nV1\nV4\nIT\nIT\n", {}, "none fits sites.csv, which has 4"),
            (
                "neuroid_id,region\n7,V1\n8,V4\n9,IT\n",
                {"unit_id": [7, 8, 9], "region": ["V1", "V1", "IT"]},
                "disagree in the region",
            ),
        ],
    )
    def test_what_cannot_be_known(self, read, table, arrays, reason):
        with pytest.raises(ProbeError, match=reason):
            read(table, **arrays)
