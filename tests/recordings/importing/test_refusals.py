"""Malformed and ambiguous files: one line that says what would work, and nothing written."""

import pickle
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import from_folder, read_recording

TIDY = "stimulus_id,neuroid_id,response\na,u,1\na,v,2\nb,u,3\nb,v,4\n"
SPIKES = "unit_id,spike_time_s\n1,1.1\n2,2.1\n"
TRIALS = "onset_s,stimulus_id\n1,a\n2,b\n"
ROWS = {"stimulus_id": ["a", "b"], "neuroid_id": ["u", "v", "w"]}
DATA = np.arange(6.0).reshape(2, 3)


def text(content, suffix=".csv"):
    def write(folder):
        (folder / f"r{suffix}").write_text(content, encoding="utf-8")
        return folder / f"r{suffix}"

    return write


def raw(content, suffix):
    def write(folder):
        (folder / f"r{suffix}").write_bytes(content)
        return folder / f"r{suffix}"

    return write


def npz(**arrays):
    def write(folder):
        np.savez(folder / "r.npz", **arrays)
        return folder / "r.npz"

    return write


def npy(array):
    def write(folder):
        np.save(folder / "r.npy", array, allow_pickle=True)
        return folder / "r.npy"

    return write


def mat(**arrays):
    def write(folder):
        scipy.io.savemat(folder / "r.mat", arrays)
        return folder / "r.mat"

    return write


def cut(write, n_bytes):
    def write_cut(folder):
        path = write(folder)
        path.write_bytes(path.read_bytes()[:n_bytes])
        return path

    return write_cut


def nc(dims=("presentation", "neuroid"), data=DATA, **coords):
    """Lay out a netCDF-4 file; of a coordinate, the axis and its values."""

    def write(folder):
        with h5py.File(folder / "r.nc", "w") as file:
            for axis, name in enumerate(dims):
                file[name] = np.zeros(data.shape[axis], np.float32)
                file[name].make_scale("This is a netCDF dimension but not a netCDF variable.")
            file["data"] = data
            for axis, name in enumerate(dims):
                file["data"].dims[axis].attach_scale(file[name])
            for name, (axis, values) in coords.items():
                file[name] = values
                file[name].dims[0].attach_scale(file[dims[axis]])
        return folder / "r.nc"

    return write


def nothing(folder):
    return folder / "nothing.mat"


def folder_of(name=None):
    def write(folder):
        (folder / "store").mkdir()
        if name:
            (folder / "store" / name).write_text("{}")
        return folder / "store"

    return write


def archive(folder):
    with zipfile.ZipFile(folder / "r.npz", "w") as file:
        file.writestr("a.txt", "x")
    return folder / "r.npz"


def spikes(**more):
    base = {
        "spike_times_s": [1.1, 2.1], "spike_times_s_index": [1, 2], "onset_s": [1.0, 2.0],
        "stimulus_id": ["a", "b"],
    }  # fmt: skip
    return npz(**{k: v for k, v in (base | more).items() if v is not None})


def parquet(**columns):
    def write(folder):
        pytest.importorskip("pyarrow")
        pd.DataFrame(columns).to_parquet(folder / "r.parquet")
        return folder / "r.parquet"

    return write


W = {"window": "0,500ms"}
NAMES = ["a", "b"]
HDF5 = b"\x89HDF\r\n\x1a\n"
BINS = "site_info.site,labels.name,time.0_1,time.1_2\nx,a,0,1\nx,b,1,0\n"
IDS = (0, np.array([b"a", b"b"]))

CASES = {
    # files
    "no such file": (nothing, {}, "does not exist"),
    "a folder": (folder_of(), {}, "is a folder"),
    "zarr 3": (folder_of("zarr.json"), {}, "is a Zarr store: NWB on Zarr needs hdmf-zarr"),
    "zarr 2": (folder_of(".zgroup"), {}, "is a Zarr store"),
    "pickle": (raw(pickle.dumps({"a": 1}), ".pkl"), {}, "is a pickle.*not opened"),
    "pickle called npy": (raw(pickle.dumps([1]), ".npy"), {}, "is a pickle"),
    "pickle called mat": (raw(pickle.dumps([1]), ".mat"), {}, "is a pickle"),
    "pickled npy": (npy(np.array([{"a": 1}], dtype=object)), {}, "pickled objects"),
    "pickled in npz": (
        npz(resp=np.array([[1, None]], dtype=object)), {}, r"resp \(pickled objects"
    ),
    "pickled, by name": (
        npz(r=np.array([[1, None]], dtype=object)), {"variable": "r"}, "'r' holds pickled objects"
    ),
    "gzip": (raw(b"\x1f\x8b\x08\x00", ".nwb.gz"), {}, "is compressed with gzip"),
    "NIfTI": (raw(b"\x1f\x8b\x08\x00", ".nii.gz"), {}, "called .nii.gz but is no such file"),
    "one column per neuron": (
        text("stimulus_id,n1,n2\na,1,2\n"), {}, "one row per presentation and neuroid"
    ),
    "zip of texts": (archive, {}, "other files than arrays"),
    "another kind": (raw(b"hello", ".doc"), {}, "of a kind that is not read"),
    "json": (text("{}", ".json"), {}, "of a kind that is not read"),
    "cut npy": (cut(npy(DATA), 100), {"axes": "image,site"}, "cut or damaged"),
    "cut npz": (cut(npz(r=DATA), 60), {}, "cut or damaged"),
    "cut HDF5": (raw(HDF5 + b"\0" * 40, ".h5"), {}, "is an HDF5 file that is cut or damaged"),
    "cut NWB": (raw(HDF5 + b"\0" * 40, ".nwb"), {}, "cut or damaged"),
    "cut MATLAB 5": (cut(mat(r=DATA), 160), {}, "is no MATLAB file that can be read"),
    "cut MATLAB 7.3": (
        raw(b"MATLAB 7.3 MAT-file".ljust(512) + HDF5, ".mat"), {}, "cut or damaged"
    ),
    "cut classic netCDF": (raw(b"CDF\x01\0\0", ".nc"), {}, "cut or damaged"),
    "cut parquet": (raw(b"PAR1\0\0\0", ".parquet"), {}, "cannot be read"),
    "text called mat": (raw(b"not a MATLAB file at all", ".mat"), {}, "is no MATLAB file"),
    "text called nc": (raw(b"hello there", ".nc"), {}, "called .nc but is no such file"),
    "text called nwb": (raw(b"hello there", ".nwb"), {}, "called .nwb but is no such file"),
    "text called npz": (raw(b"hello there", ".npz"), {}, "called .npz but is no such file"),
    "Latin-1": (raw("stimulus_id;é\n".encode("latin-1"), ".csv"), {}, "not text in UTF-8"),
    # options
    "unknown axis": (
        npz(r=DATA, **ROWS), {"axes": "image,wavelength"}, "'wavelength' is not an axis"
    ),
    "axis twice": (npz(r=DATA, **ROWS), {"axes": "neuron,unit"}, "names 'neuroid' twice"),
    "axes without pictures": (npz(r=DATA, **ROWS), {"axes": "neuron,time"}, "expected either"),
    "axes with both": (npz(r=DATA), {"axes": "image,trial"}, "expected either 'stimulus'"),
    "repetitions of presentations": (
        npz(r=DATA), {"axes": "trial,repeat"}, "'repetition' goes with 'stimulus'"
    ),
    "window without unit": (spikes(), {"window": "50,250"}, "has no unit: write 50,250ms"),
    "window backwards": (spikes(), {"window": "250,50ms"}, "a start before the end"),
    "window empty": (spikes(), {"window": "50,50ms"}, "a start before the end"),
    "window of one": (spikes(), {"window": "50ms"}, "expected two numbers and a unit"),
    "window of words": (spikes(), {"window": "a,bms"}, "expected two numbers and a unit"),
    "window infinite": (spikes(), {"window": "0,infs"}, "expected two numbers and a unit"),
    "bins of no width": (npz(r=DATA), {"bins": "0,0ms"}, "expected a width > 0"),
    "unit of time": (spikes(), {"time_unit": "min", **W}, "expected s or ms"),
    # which array
    "two arrays": (npz(r=DATA, q=DATA, **ROWS), {}, r"may be 'r', 'q': name one with --variable"),
    "no such array": (npz(resp=DATA, **ROWS), {"variable": "rsp"}, "did you mean 'resp'"),
    "texts": (npz(**ROWS), {"variable": "stimulus_id"}, "holds text, not responses"),
    "vectors only": (npz(r=[1.0, 2.0], **ROWS), {}, "two or more axes"),
    "nothing": (npz(), {}, "called .npz but is no such file"),
    "an empty array": (npz(r=np.zeros((0, 3)), **ROWS), {}, "two or more axes"),
    "complex": (npz(r=DATA + 1j, **ROWS), {"variable": "r"}, "values of type complex128"),
    "structured": (
        npz(r=np.zeros((2, 2), dtype=[("a", "f8")])), {"variable": "r"}, "values of type"
    ),
    # which axis
    "no axis fits": (npz(r=DATA, stimulus_id=list("abcd")), {}, "none fits stimulus_id"),
    "two axes fit": (
        npz(r=np.ones((2, 2)), stimulus_id=NAMES), {}, "more than one may be .* stimulus_id"
    ),
    "two fit one": (
        npz(r=DATA, stimulus_id=NAMES, unit_id=[1, 2]), {}, "more than one may be .* unit_id"
    ),
    "one is left": (npz(r=DATA, stimulus_id=NAMES), {}, "the axis of length 3 is .* cannot be"),
    "two are left": (
        npz(r=np.ones((2, 3, 4)), stimulus_id=NAMES), {}, "of length 3 and of length 4"
    ),
    "wrong number of axes": (
        npz(r=DATA, **ROWS), {"axes": "image,repeat,neuron"}, "has 2 axes.* --axes names 3"
    ),
    "wrong length": (npz(r=DATA, **ROWS), {"axes": "neuron,image"}, "calls the one of 2 'neuroid'"),
    "images that repeat": (
        npz(r=DATA, stimulus_id=["a", "a"]), {"axes": "image,neuron"}, "names 'a' more than once"
    ),
    "matlab, wrong order": (
        mat(r=DATA, stimulus_id=np.array(NAMES, object)), {"axes": "neuron,image"},
        "calls the one of 3 'stimulus', and stimulus_id has 2",
    ),
    "unknown dimension": (
        nc(("presentation", "wavelength"), stimulus_id=IDS), {}, "which is 'wavelength' cannot be"
    ),
    "no presentation": (nc(("time_bin", "neuroid"), stimulus_id=IDS), {}, "none is that of pres"),
    "two of one kind": (
        nc(("unit", "site"), stimulus_id=IDS), {}, "which is 'site' cannot be known"
    ),
    # which picture
    "no names": (npz(r=DATA), {}, "nothing says which picture"),
    "no names, netCDF": (nc(), {}, "nothing says which picture"),
    "two names": (
        npz(r=DATA, image_id=["x", "y"], **ROWS), {}, "'image_id', 'stimulus_id': name one with"
    ),
    "no such labels": (npz(r=DATA, **ROWS), {"labels": "names"}, "there is no such file either"),
    "labels of two axes": (npz(r=DATA, **ROWS), {"labels": "r"}, "names have one axis"),
    "no picture named": (
        npz(r=DATA, stimulus_id=["", " "], neuroid_id=list("uvw")), {}, "names no picture"
    ),
    "netCDF, labels along neuroids": (
        nc(stimulus_id=(1, np.array([b"a", b"b", b"c"]))), {}, "has 2 entries along"
    ),
    # time
    "window without time": (
        npz(r=DATA, **ROWS), {"window": "0,100ms"}, "no time axis: --window has nothing"
    ),
    "bins without times": (
        npz(r=np.ones((2, 4)), stimulus_id=NAMES), {"axes": "image,time", **W}, "--bins -500,1ms"
    ),
    "bins without window": (
        npz(r=np.ones((2, 4)), stimulus_id=NAMES), {"axes": "image,time", "bins": "0,50ms"},
        "has 4 time bins: name the window",
    ),
    "bins without a time axis": (
        npz(r=DATA, **ROWS), {"bins": "0,1ms"}, "no time axis: leave out --bins"
    ),
    "presentations without spikes": (
        npz(r=DATA, **ROWS), {"presentations": "t.csv"}, "leave out --presentations"
    ),
    "presentations of a table": (text(TIDY), {"presentations": "t.csv"}, "neither spikes nor bins"),
    "bins of several lengths": (
        npz(
            r=np.ones((2, 3)), stimulus_id=NAMES, bin_start_ms=[0, 50, 100],
            bin_end_ms=[50, 100, 200],
        ), {"axes": "image,time", "window": "0,200ms"}, "time bins 50 to 100 ms long",
    ),
    "window between bins": (
        npz(r=np.ones((2, 4)), stimulus_id=NAMES),
        {"axes": "image,time", "bins": "0,50ms", "window": "25,100ms"},
        "no time bins make up the window 25 to 100 ms exactly",
    ),
    "window beyond bins": (
        npz(r=np.ones((2, 4)), stimulus_id=NAMES),
        {"axes": "image,time", "bins": "0,50ms", "window": "0,250ms"}, "from 0 to 200 ms",
    ),
    "bins of no unit": (
        npz(
            r=np.ones((2, 4)), stimulus_id=NAMES, time_bin_start=[0, 5, 10, 15],
            time_bin_end=[5, 10, 15, 20],
        ), {"axes": "image,time", **W}, "add --time-unit ms or s",
    ),
    "bins that overlap": (
        npz(
            r=np.ones((2, 3)), stimulus_id=NAMES, bin_start_ms=[0, 50, 100],
            bin_end_ms=[150, 200, 250],
        ), {"axes": "image,time", "window": "0,250ms"}, "150 ms long and overlap",
    ),
    "bins that disagree": (
        npz(r=np.ones((2, 3)), stimulus_id=NAMES, bin_start_ms=[0, 50, 100]),
        {"axes": "image,time", "bins": "0,20ms", "window": "0,20ms"}, "does not match the file",
    ),
    "another window than the one bin": (
        nc(
            ("presentation", "neuroid", "time_bin"), DATA[..., None], stimulus_id=IDS,
            time_bin_start=(2, [70]), time_bin_end=(2, [170]),
        ), {"window": "50,250ms", "time_unit": "ms"}, "one time bin, from 70 to 170 ms, and not 50",
    ),
    # spikes
    "spikes without window": (spikes(), {}, "name the window after picture onset"),
    "spikes without unit of time": (
        npz(spike_times=[1.1], spike_times_index=[1], onset_s=[1.0], stimulus_id=["a"]), W,
        "the file does not name the unit of 'spike_times'",
    ),
    "onsets without unit of time": (
        spikes(onset_s=None, onset=[1.0, 2.0]), W, "the unit of 'onset' is not known"
    ),
    "spikes without units": (
        spikes(spike_times_s_index=None), W, "which unit each of 'spike_times_s' belongs to"
    ),
    "ends that descend": (spikes(spike_times_s_index=[2, 1]), W, "the end of each unit's spikes"),
    "ends too short": (spikes(spike_times_s_index=[1, 1]), W, "ascending up to 2"),
    "ids too few": (spikes(unit_id=[4]), W, "has 1 ids, and 'spike_times_s_index' 2 ends"),
    "ids twice": (spikes(unit_id=[4, 4]), W, "two neuroids called '4'"),
    "units too few": (
        spikes(spike_times_s_index=None, spike_units=[1]), W, "has 1 entries, and 'spike_times_s' 2"
    ),
    "unknown unit": (
        spikes(spike_times_s_index=None, spike_units=[1, 7], unit_id=[1]), W, "lacks unit '7'"
    ),
    "no onsets": (spikes(onset_s=None), W, "--presentations FILE.csv"),
    "an onset that is missing": (spikes(onset_s=[1.0, np.nan]), W, "has no onset in row 1"),
    "names for other onsets": (spikes(stimulus_id=["a"]), W, "1 names for 2 onsets"),
    "a spike without time": (spikes(spike_times_s=[1.1, np.nan]), W, r"without a time \(NaN\)"),
    "no spike in a window": (spikes(onset_s=[10.0, 20.0]), W, "one clock and in one unit"),
    "spikes in milliseconds": (spikes(spike_times_s=[1100.0, 2100.0]), W, "one clock"),
    "spikes without presentations": (text(SPIKES), W, "--presentations FILE.csv"),
    "spikes of no unit": (
        text("spike_time_s\n1.1\n"), {**W, "presentations": "TRIALS"}, "no column of neuroids"
    ),
    "presentations without onsets": (
        text(SPIKES), {**W, "presentations": "TIDY"}, "expected a column onset_s or onset_ms"
    ),
    "no such presentations": (text(SPIKES), {**W, "presentations": "nowhere.csv"}, "be read"),
    # tables
    "an empty table": (text("stimulus_id,neuroid_id,response\n"), {}, "has no rows"),
    "uneven rows": (text(TIDY + "c,u\n"), {}, "2 cells for 3 columns in row 5"),
    "a column twice": (text("a,a\n1,2\n"), {}, "two columns called 'a'"),
    "axes of a table": (text(TIDY), {"axes": "image,site"}, "leave out --axes"),
    "window of a table": (text(TIDY), W, "holds responses, no times"),
    "no pictures in a table": (
        text(TIDY.replace("stimulus_id", "thing")), {}, "name the column with --labels"
    ),
    "no such column": (text(TIDY), {"labels": "stimulus"}, "did you mean 'stimulus_id'"),
    "two columns of pictures": (
        text("stimulus_id,image_id,neuroid_id,response\na,b,u,1\n"), {}, "name one with --labels"
    ),
    "no neuroids": (text(TIDY.replace("neuroid_id", "thing")), {}, "no column of neuroids"),
    "two columns of neuroids": (
        text("stimulus_id,unit_id,channel,response\na,1,2,3\n"), {}, "unit_id and channel may both"
    ),
    "no responses": (text(TIDY.replace("response", "thing")), {}, "one with --variable"),
    "two columns of responses": (
        text("stimulus_id,unit_id,rate,count\na,1,2,3\n"), {}, "name one with --variable"
    ),
    "no such response": (text(TIDY), {"variable": "rate"}, "has no column 'rate'"),
    "a word for a number": (text(TIDY.replace(",3", ",many")), {}, "'many' in row 3.*not a number"),
    "a neuroid without id": (text(TIDY.replace("b,v", "b,")), {}, "row 4, .*is empty"),
    "showings that cannot be told apart": (
        text(TIDY + "a,u,9\n"), {}, "rows 1 and 5.*'presentation' has to tell"
    ),
    "a repetition twice": (
        text("stimulus_id,unit_id,repetition,count\na,1,1,2\na,1,1,3\n"), {},
        "rows 1 and 2.*with the same repetition",
    ),
    "a presentation of two pictures": (
        text("stimulus_id,unit_id,trial,count\na,1,1,2\nb,2,1,3\n"), {}, "shows one picture"
    ),
    "infinite": (text(TIDY.replace(",3", ",inf")), {}, "has infinite responses"),
    "all missing": (
        text("stimulus_id,unit_id,count\na,1,NA\n"), {}, "has no responses: all are missing"
    ),
    "parquet without names": (parquet(unit_id=[1], count=[2]), {}, "which picture was shown"),
    "bins of a table, no window": (text(BINS), {}, "say the window"),
    "bins of a table, no unit": (text(BINS), {"window": "0,1ms"}, "--time-unit s or ms"),
    "bins of a table, no label": (
        text(BINS.replace("labels.name", "labels.name,labels.other").replace(",a,", ",a,p,")
             .replace(",b,", ",b,q,")), {"window": "0,1ms", "time_unit": "ms"}, "with --labels"
    ),
    "bins of two sites": (
        text(BINS.replace("x,b", "y,b")), {"window": "0,1ms", "time_unit": "ms"}, "several sites"
    ),
    # regions
    "a region that the file names": (
        npz(r=DATA, region=["V4", "V4", "IT"], **ROWS), {"region": "V1"}, "leave out --region"
    ),
    "a region that is missing": (
        npz(r=DATA, region=["V4", "", "IT"], **ROWS), {}, "neuroid 'v' has no region"
    ),
    "a blank that is none": (npz(r=DATA, **ROWS), {"blanks": ["grey"]}, "is called 'grey'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(case, tmp_path):
    write, options, reason = CASES[case]
    path = write(tmp_path)
    options = dict(options)
    for name, content in (("TRIALS", TRIALS), ("TIDY", TIDY)):
        if options.get("presentations") == name:
            (tmp_path / "other.csv").write_text(content)
            options["presentations"] = tmp_path / "other.csv"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ProbeError, match=reason) as raised:
        read_recording(path, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 600
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in NAMES:
        Image.new("RGB", (8, 8), (len(name), 0, ord(name))).save(folder / f"{name}.png")
    return folder


class TestSaving:
    """Whole, or not at all."""

    @pytest.fixture
    def save(self, tmp_path, pictures):
        def save(content=TIDY, **options):
            path = text(content)(tmp_path)
            return read_recording(path, stimuli=pictures, **options).save(tmp_path / "out")

        return save

    def test_a_picture_that_is_missing(self, save, tmp_path):
        with pytest.raises(ProbeError, match=r"no picture in .* is called 'c' of 3 names"):
            save(TIDY + "c,u,1\nc,v,1\n")
        assert not (tmp_path / "out").exists()

    def test_two_names_of_one_picture(self, save):
        with pytest.raises(ProbeError, match=r"'a' and 'a.png' both mean the picture 'a.png'"):
            save(TIDY + "a.png,u,1\na.png,v,1\n")

    def test_without_pictures(self, tmp_path):
        with pytest.raises(ProbeError, match="--stimuli"):
            read_recording(text(TIDY)(tmp_path)).save(tmp_path / "out")

    def test_what_is_there_stays(self, save, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        with pytest.raises(ProbeError, match="exists: name another folder with --output"):
            save()
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]

    def test_a_recording_that_is_not_valid(self, save, tmp_path):
        with pytest.raises(ProbeError, match="no response in any repetition of neuroid 'v'"):
            save(TIDY.replace("b,v,4", "b,v,NA"))
        assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "r.csv"]

    def test_a_disk_that_is_full(self, save, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("probe.recordings.importing.reading.np.save", full)
        with pytest.raises(ProbeError, match=r"cannot be written \(No space left on device\)"):
            save()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "r.csv"]

    def test_responses_that_were_changed_afterwards(self, save, tmp_path):
        save()
        values = np.load(tmp_path / "out" / "responses.npy")
        np.save(tmp_path / "out" / "responses.npy", values + 1)
        with pytest.raises(ProbeError, match="is not what was imported"):
            from_folder(tmp_path / "out")

    @pytest.mark.parametrize("content", ["{", "[]", '{"title": 3}', "\xff"])
    def test_a_manifest_that_is_none(self, save, tmp_path, content):
        save()
        (tmp_path / "out" / "recording.json").write_text(content, encoding="latin-1")
        with pytest.raises(
            ProbeError, match=r"recording.json' (cannot be read|is not the manifest)"
        ):
            from_folder(tmp_path / "out")

    def test_other_presentations_side_by_side(self, tmp_path):
        first = npz(r=DATA, **ROWS)(tmp_path)
        second = first.rename(tmp_path / "second.npz")
        first = npz(r=DATA, **(ROWS | {"stimulus_id": ["b", "a"]}))(tmp_path)
        with pytest.raises(ProbeError, match="do not name the same pictures in the same order"):
            read_recording([first, second])
