"""Recordings in Brain-Score's layout: what is read, what is left unread, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import xarray as xr
from assemblies import MANIFEST, example, write_assembly, write_manifest, write_pictures
from hypothesis import given
from hypothesis import strategies as st

from probe.assets.manifest import Manifest
from probe.errors import ProbeError
from probe.formats import netcdf
from probe.recordings import from_folder, load, loaders, read_recording
from probe.recordings.loaders import Part
from probe.recordings.reliability import PUBLISHED

SAMPLES = Path(os.environ.get("PROBE_MIRROR", "")) / "samples"
IT, V4 = [1, 2, 5, 6], [0, 3, 4, 7]


def read(folder, part=Part("IT"), text=MANIFEST):  # noqa: B008
    manifest = Manifest.load(write_manifest(folder / "doe2026.toml", folder, text=text))
    return loaders.brainscore(manifest, None, lambda m, name: folder / name, part)


def values(recording):
    return recording.data["responses"].values


class TestWhatIsRead:
    @pytest.mark.parametrize(
        "layout",
        [
            {},
            {"name": "__xarray_dataarray_variable__"},
            {"name": "doe.Doe2026.public"},
            {"chunks": (7, 3, 1), "gzip": 4},
            {"dims": ("neuroid", "presentation", "time_bin")},
            {"dims": ("neuroid", "presentation"), "bins": None},
            {"dims": ("time_bin", "presentation", "neuroid")},
            {"group": "of_others"},
        ],
        ids=str,
    )
    def test_presentations_of_a_picture_are_its_repetitions(self, tmp_path, layout):
        expected, names = example(tmp_path, **layout)
        recording = read(tmp_path)
        np.testing.assert_array_equal(values(recording), expected[:, :, IT])
        assert list(recording.stimuli.ids) == names
        assert recording.n_repetitions == (3, 3)
        assert recording.regions == ["IT"]
        assert recording.subjects == ["Ada", "Bob"]

    def test_pictures_come_with_their_names(self, tmp_path):
        _, names = example(tmp_path)
        recording = read(tmp_path)
        with zipfile.ZipFile(tmp_path / "stimuli.zip") as archive:
            for k, name in enumerate(names):
                assert recording.stimuli.content(k) == archive.read(f"{name}.png")
        assert recording.data["variation"].values.tolist() == [int(name[1:]) for name in names]
        assert recording.data["object_name"].values[0] in {"x"} | {f"object {k}" for k in range(3)}

    def test_sites_that_each_animal_numbers_anew_are_told_apart(self, tmp_path):
        """Brain-Score's Papale2025 and Hebart2023: neuroid_id counts from 0 in each subject."""
        example(tmp_path)
        recording = read(tmp_path)
        ids = ["Ada-1", "Ada-2", "Bob-1", "Bob-2"]
        assert recording.data["neuroid_id"].values.tolist() == ids
        imported = read_recording(tmp_path / "assembly.nc", variable="data", labels="stimulus_id")
        assert imported.neuroid_columns["neuroid_id"] == [
            f"{animal}-{k}" for animal in ("Ada", "Bob") for k in range(4)
        ]

    def test_what_is_read_is_what_an_import_reads(self, tmp_path):
        example(tmp_path)
        imported = read_recording(
            tmp_path / "assembly.nc", stimuli=read(tmp_path).stimuli, time_unit="ms"
        )
        np.testing.assert_array_equal(values(read(tmp_path)), imported.responses[:, :, IT])

    def test_one_time_bin_is_one_window(self, tmp_path):
        example(tmp_path)
        facts = read(tmp_path).describe()
        assert facts["response_unit"] == "spikes, 70 to 170 ms after onset"
        assert facts["citation"] == "Doe (2026). On V4 & IT. Journal, doi:10.1234/v4_it"
        assert len(facts["source_hash"]) == 64
        assert not facts["averaged"]

    def test_a_time_bin_that_means_nothing_is_not_told(self, tmp_path):
        """Brain-Score's Hebart2023: fMRI with a time bin of 70 to 170 ms."""
        example(tmp_path, n_repetitions=1)
        text = MANIFEST.replace('time_unit = "ms"', "averaged = true")
        facts = read(tmp_path, text=text).describe()
        assert (facts["response_unit"], facts["averaged"]) == ("spikes", True)

    def test_what_was_repeated_is_not_averaged(self, tmp_path):
        example(tmp_path, n_repetitions=3)
        facts = read(tmp_path, text=f"{MANIFEST}averaged = true\n").describe()
        assert (facts["n_repetitions"], facts["averaged"]) == ([3, 3], False)

    def test_several_time_bins_are_put_together_in_the_published_window(self, tmp_path):
        rng = np.random.default_rng(3)
        example(tmp_path)
        counts = rng.poisson(0.2, (12, 8, 300))
        for bins in ([(t, t + 1) for t in range(300)], [(t, t + 10) for t in range(0, 3000, 10)]):
            write_assembly(
                tmp_path / "assembly.nc", counts, bins=bins,
                presentations={"stimulus_id": [f"p{k:02d}" for k in range(12)]},
                neuroids={"neuroid_id": range(8), "region": ["V4", "IT", "IT", "V4"] * 2},
            )  # fmt: skip
            text = MANIFEST + "window_ms = [50, 200]\n"
            recording = read(tmp_path, text=text)
            first, last = (50, 200) if bins[0][1] == 1 else (5, 20)
            expected = counts[:, IT, first:last].sum(axis=2)
            np.testing.assert_array_equal(values(recording)[:, 0], expected)
            assert recording.describe()["response_unit"].startswith("spikes, sum over 50 to 200 ms")

    def test_without_a_published_window_time_is_kept(self, tmp_path):
        counts = np.random.default_rng(3).poisson(0.2, (12, 8, 30))
        example(tmp_path)
        write_assembly(
            tmp_path / "assembly.nc", counts, bins=[(t, t + 10) for t in range(0, 300, 10)],
            presentations={"stimulus_id": [f"p{k:02d}" for k in range(12)]},
            neuroids={"neuroid_id": range(8), "region": ["V4", "IT", "IT", "V4"] * 2},
        )  # fmt: skip
        recording = read(tmp_path)
        assert recording.has_time
        np.testing.assert_array_equal(recording.times[:2], [[0, 10], [10, 20]])
        expected = counts[:, IT].transpose(0, 2, 1)
        np.testing.assert_array_equal(values(recording)[:, 0], expected)
        window = recording.window(70, 170)
        np.testing.assert_array_equal(values(window)[:, 0], expected[:, 7:17].sum(axis=1))

    def test_seconds_are_seconds(self, tmp_path):
        """Brain-Score's Gifford2022 gives time_bin_start in seconds; its others in ms."""
        example(tmp_path)
        write_assembly(
            tmp_path / "assembly.nc", np.ones((12, 2, 2)), bins=[(0.05, 0.06), (0.06, 0.07)],
            presentations={"stimulus_id": [f"p{k:02d}" for k in range(12)]},
            neuroids={"neuroid_id": range(2), "region": ["IT", "IT"]},
        )  # fmt: skip
        text = MANIFEST.replace('"ms"', '"s"') + "window_ms = [50, 70]\n"
        np.testing.assert_array_equal(values(read(tmp_path, text=text)), 2.0)
        with pytest.raises(ProbeError, match="no time bins make up the window"):
            read(tmp_path, text=MANIFEST + "window_ms = [50, 70]\n")

    def test_image_id_is_accepted(self, tmp_path):
        ids = ["b", "a", "c"]
        write_pictures(tmp_path, ids, id_column="image_id", file_column="image_file_name")
        write_assembly(
            tmp_path / "assembly.nc", np.arange(6.0).reshape(3, 2, 1),
            presentations={"image_id": ids, "image_file_name": ["x", "y", "z"]},
            neuroids={"neuroid_id": ["u", "v"], "region": ["IT", "V4"]},
        )  # fmt: skip
        recording = read(tmp_path)
        assert list(recording.stimuli.ids) == ids
        assert values(recording).ravel().tolist() == [0, 2, 4]

    def test_a_file_without_regions_and_animals(self, tmp_path):
        write_pictures(tmp_path, ["a", "b"])
        write_assembly(
            tmp_path / "assembly.nc", np.ones((2, 3, 1)), neuroids={"neuroid_id": range(3)},
            presentations={"stimulus_id": ["a", "b"]},
        )  # fmt: skip
        one = MANIFEST.replace('[[regions]]\nname = "V4"\nspecies = "macaque"\n\n', "")
        recording = read(tmp_path, text=one)
        assert (recording.regions, recording.subjects) == (["IT"], ["pooled"])
        with pytest.raises(ProbeError, match="does not say the region"):
            read(tmp_path)
        with pytest.raises(ProbeError, match="names no subjects"):
            read(tmp_path, Part("IT", "Ada"), one)

    def test_presentations_of_nothing_are_set_apart(self, tmp_path):
        """A None or NaN among texts is '' in netCDF (xarray 2026.9)."""
        write_pictures(tmp_path, ["a", "b"])
        write_assembly(
            tmp_path / "assembly.nc", np.arange(3.0).reshape(3, 1, 1),
            presentations={"stimulus_id": ["a", "", "b"]},
            neuroids={"neuroid_id": ["u"], "region": ["IT"]},
        )  # fmt: skip
        assert values(read(tmp_path)).ravel().tolist() == [0, 2]

    def test_neuroids_of_no_region_belong_to_none(self, tmp_path):
        example(tmp_path, more_neuroids={"region": ["V4", "", "IT", ""] * 2})
        assert read(tmp_path).n_neuroids == 2

    def test_their_groups_are_not_ours(self, tmp_path):
        """Folds keep together what we call a group; in their tables it is another word."""
        expected, _ = example(tmp_path)
        write_pictures(tmp_path, [f"p{k:02d}" for k in range(12)], more={"group": ["all"] * 12})
        recording = read(tmp_path)
        assert "group" not in recording.data.coords
        assert values(recording).shape == (12, 3, 4)
        assert np.isfinite(expected).all()

    def test_numbers_stay_numbers(self, tmp_path):
        example(tmp_path, more_neuroids={"snr": np.arange(8) / 4, "code": ["01"] * 8})
        data = read(tmp_path).data
        assert data["snr"].values.tolist() == [0.25, 0.5, 1.25, 1.5]
        assert data["code"].values.tolist() == ["01"] * 4

    @pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
    def test_brainios_own_file(self, tmp_path):
        source = SAMPLES / "brainio-tests"
        (tmp_path / "assembly.nc").write_bytes((source / "assy_test_TestMe.nc").read_bytes())
        table = (source / "images" / "image_test_ten_images.csv").read_text()
        (tmp_path / "stimuli.csv").write_text(table)
        with zipfile.ZipFile(tmp_path / "stimuli.zip", "w") as archive:
            for k in range(10):
                archive.write(source / "images" / f"n{k}.png", f"n{k}.png")
        one = MANIFEST.replace('[[regions]]\nname = "V4"\nspecies = "macaque"\n\n', "")
        recording = read(tmp_path, text=one)
        assert np.nansum(values(recording)) == 171
        assert list(recording.stimuli.ids) == ["n0", "n1", "n4", "n9"]
        assert recording.data["thing"].values.tolist() == ["foo0", "foo1", "foo4", "foo9"]
        extras = (source / "assy_test_package_assembly_extras.nc").read_bytes()
        (tmp_path / "assembly.nc").write_bytes(extras)
        with pytest.raises(ProbeError, match=r"one array of presentation × neuroid.*event"):
            read(tmp_path, text=one)

    def test_xarrays_own_file(self, tmp_path):
        """A MultiIndex is not written by xarray 2026.9; flattened, its levels are coordinates."""
        pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
        write_pictures(tmp_path, ["a", "b"])
        array = xr.DataArray(
            np.arange(8.0).reshape(2, 4, 1), dims=("presentation", "neuroid", "time_bin"),
            coords={
                "stimulus_id": ("presentation", ["a", "b"]),
                "neuroid_id": ("neuroid", list("stuv")),
                "region": ("neuroid", ["IT", "V4"] * 2),
                "time_bin_start": ("time_bin", [70]), "time_bin_end": ("time_bin", [170]),
            },
        )  # fmt: skip
        indexed = array.set_index(neuroid=["neuroid_id", "region"])
        with pytest.raises(NotImplementedError):
            indexed.to_netcdf(tmp_path / "assembly.nc", engine="h5netcdf")
        flat = indexed.reset_index("neuroid").to_dataset(name="data")
        flat.to_netcdf(tmp_path / "assembly.nc", engine="h5netcdf")
        assert values(read(tmp_path)).tolist() == [[[0, 2]], [[4, 6]]]
        flat.to_netcdf(tmp_path / "assembly.nc", engine="scipy")  # of netCDF 3
        assert values(read(tmp_path)).tolist() == [[[0, 2]], [[4, 6]]]


class TestReliability:
    def test_the_window_of_the_responses_counts(self, tmp_path):
        """Triple-N's `reliability` is of each unit's best window, not of the scored."""
        expected, _ = example(tmp_path, n_repetitions=1)
        recording = read(tmp_path)
        known = recording.data[PUBLISHED].values
        np.testing.assert_allclose(known, [0.4, 0.5, 0.4, 0.5])
        assert recording.data["reliability"].values.tolist() == [0.9] * 4
        reliable = read(tmp_path, Part("IT", None, 0.45))
        np.testing.assert_array_equal(values(reliable), expected[:, :, [2, 6]])
        selection = reliable.data.attrs["selection"]
        assert (selection["n_kept"], selection["n"], selection["by"]) == (2, 4, "published")
        assert "2 of 4" in selection["said"]
        assert "selection" not in recording.data.attrs

    def test_with_repetitions_it_does_not_count(self, tmp_path):
        """It was estimated from these, and would choose neuroids for their noise."""
        example(tmp_path)
        recording = read(tmp_path, Part("IT", None, 0.45))
        assert recording.n_neuroids == 4
        assert "selection" not in recording.data.attrs

    def test_the_threshold_is_reached_by_its_equal(self, tmp_path):
        example(tmp_path, n_repetitions=1)  # float32: 0.4 is 0.4000000059…
        assert read(tmp_path, Part("IT", None, 0.4)).n_neuroids == 4

    def test_what_is_not_known_is_not_reliable(self, tmp_path):
        example(tmp_path, n_repetitions=1)
        recording = read(tmp_path, Part("V4", None, 0.0))
        assert recording.data[PUBLISHED].values.tolist() == [0.2, 0.2]
        assert read(tmp_path, Part("V4")).n_neuroids == 4

    def test_a_file_without_it(self, tmp_path):
        example(tmp_path, n_repetitions=1)
        text = MANIFEST.replace("reliability_window", "reliability_70")
        assert PUBLISHED not in read(tmp_path, text=text).data.coords
        with pytest.raises(ProbeError, match="no reliability of its neuroids was published"):
            read(tmp_path, Part("IT", None, 0.3), text)

    def test_none_is_reliable(self, tmp_path):
        example(tmp_path, n_repetitions=1)
        with pytest.raises(ProbeError, match=r"reliability ≥ 0.6: the highest is 0.5"):
            read(tmp_path, Part("IT", None, 0.6))

    @pytest.mark.parametrize("threshold", [1.5, -0.1, float("nan"), "0.4", float("inf")])
    def test_a_threshold_that_is_none(self, threshold):
        with pytest.raises(ProbeError, match="expected a number from 0 to 1"):
            load("sim-v4", min_reliability=threshold)

    @pytest.mark.usefixtures("mirror")
    @pytest.mark.parametrize("name", ["v4/210322", "it"])
    def test_of_means_and_rdms_it_cannot_be_known(self, name):
        with pytest.raises(ProbeError, match=r"leave out (min_|--min-)reliability"):
            load(name, min_reliability=0.3)

    def test_of_a_folder_it_is_a_column_of_neuroids(self, lab):
        responses = np.load(lab / "responses.npy")[:, 0]
        np.save(lab / "responses.npy", responses)
        (lab / "neuroids.csv").write_text(
            f"neuroid_id,{PUBLISHED}\n" + "".join(f"n{k},{k / 10}\n" for k in range(5)) + "n5,\n"
        )
        recording = load(str(lab), min_reliability=0.3)
        assert recording.data["neuroid_id"].values.tolist() == ["n3", "n4"]
        assert from_folder(lab).n_neuroids == 6


@pytest.fixture
def lab(tmp_path, write_lab):
    return write_lab(tmp_path / "lab")


_BLOCKS = netcdf._Stored._blocks


class TestWhatIsLeftUnread:
    @given(data=st.data())
    def test_parts_are_what_numpy_takes(self, data, tmp_path_factory):
        shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=3, max_size=3)))
        axis = data.draw(st.integers(0, 2))
        chunks = data.draw(
            st.none() | st.tuples(*(st.integers(1, length) for length in shape))
        )  # fmt: skip
        kept = data.draw(st.lists(st.sampled_from(range(shape[axis])), unique=True))
        kept = np.array(sorted(kept), dtype=int)
        array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        path = tmp_path_factory.mktemp("stored") / "a.nc"
        with h5py.File(path, "w") as file:
            file.create_dataset("a", data=array, chunks=chunks)
        stored = netcdf._Stored(path, "a", shape, array.dtype)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(netcdf, "BLOCK_BYTES", data.draw(st.sampled_from([1, 64, 10**6])))
            patch.setattr(netcdf, "GAP_BYTES", data.draw(st.sampled_from([1, 16, 10**6])))
            np.testing.assert_array_equal(stored.read(axis, kept), array.take(kept, axis))

    def test_each_chunk_that_is_wanted_is_read_once(self, tmp_path, monkeypatch):
        monkeypatch.setattr(netcdf, "BLOCK_BYTES", 2 * 50 * 10 * 8)
        seen = self._blocks(
            tmp_path, monkeypatch, (50, 10, 1), [*range(200, 260), *range(300, 320)]
        )
        touched = [
            (row, column)
            for rows, columns, _ in seen
            for row in range(rows.start // 50, (rows.stop - 1) // 50 + 1)
            for column in range(columns.start // 10, (columns.stop - 1) // 10 + 1)
        ]
        wanted = {(row, column) for row in (0, 1) for column in (*range(20, 26), 30, 31)}
        assert len(touched) == len(wanted)
        assert set(touched) == wanted

    def test_of_an_array_in_one_piece_the_rest_is_skipped(self, tmp_path, monkeypatch):
        seen = self._blocks(tmp_path, monkeypatch, None, [*range(200, 260), *range(262, 320)])
        assert {(columns.start, columns.stop) for _, columns, _ in seen} == {(200, 320)}
        seen = self._blocks(tmp_path, monkeypatch, None, [*range(200, 260), *range(280, 320)])
        spans = {(columns.start, columns.stop) for _, columns, _ in seen}
        assert spans == {(200, 260), (280, 320)}

    def _blocks(self, folder, monkeypatch, chunks, wanted):
        """Read a region of 400 neuroids, of which it has some; give which blocks were read."""
        ids = [f"p{k:03d}" for k in range(100)]
        write_pictures(folder, ids)
        array = np.random.default_rng(0).normal(size=(100, 400, 1))
        regions = ["IT" if k in wanted else "V4" for k in range(400)]
        write_assembly(
            folder / "assembly.nc", array, chunks=chunks, presentations={"stimulus_id": ids},
            neuroids={"neuroid_id": range(400), "region": regions},
        )  # fmt: skip
        seen = []
        blocks = _BLOCKS

        def noted(self, axis, kept, chunks):
            for run, block in blocks(self, axis, kept, chunks):
                seen.append(block)
                yield run, block

        monkeypatch.setattr(netcdf._Stored, "_blocks", noted)
        monkeypatch.setattr(netcdf, "GAP_BYTES", 80)
        recording = read(folder)
        np.testing.assert_array_equal(values(recording)[:, 0], array[:, wanted, 0])
        return seen

    def test_what_does_not_fit_into_memory_is_not_begun(self, tmp_path, monkeypatch):
        import psutil

        expected, _ = example(tmp_path)
        room = 2.5 * 8 * 36 * 4  # of one region, bytes
        for free, fits in ((room - 1, False), (room, True)):
            memory = SimpleNamespace(available=free)
            monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
            if fits:
                np.testing.assert_array_equal(values(read(tmp_path)), expected[:, :, IT])
                continue
            monkeypatch.setattr(netcdf._Stored, "read", None)
            with pytest.raises(ProbeError, match=r"36 presentations of 4 neuroids take .* GB"):
                read(tmp_path)
            monkeypatch.undo()

    @pytest.mark.slow
    def test_a_region_of_the_largest_takes_little_memory(self):
        benchmark = Path(__file__).parents[2] / "benchmarks" / "families.py"
        done = subprocess.run([sys.executable, benchmark], check=False, timeout=900)
        assert done.returncode == 0


REFUSED = {
    "an unknown region": (lambda folder: read(folder, Part("V1")), "no region 'V1'; known: V4, IT"),
    "an unknown subject": (
        lambda folder: read(folder, Part("IT", "Cat")), "no subject 'Cat' in IT; known: Ada, Bob"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_does_not_have(tmp_path, case):
    example(tmp_path)
    action, said = REFUSED[case]
    with pytest.raises(ProbeError) as caught:
        action(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


SHOWN = {"stimulus_id": ["a", "b"]}
UNITS = {"neuroid_id": ["u", "v"], "region": ["IT", "V4"]}
NUMBERS = np.ones((2, 2, 1))


def assembly(array=NUMBERS, presentations=SHOWN, neuroids=UNITS, **layout):
    def write(folder):
        write_assembly(
            folder / "assembly.nc", array, presentations=presentations, neuroids=neuroids, **layout
        )

    return write


def content(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def pictures(**more):
    return lambda folder: write_pictures(folder, ["a", "b"], **more)


def archive_of(**files):
    def write(folder):
        with zipfile.ZipFile(folder / "stimuli.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(f"{name}.png", data)

    return write


def cut(folder):
    path = folder / "assembly.nc"
    path.write_bytes(path.read_bytes()[:3000])


def two_arrays(folder):
    with h5py.File(folder / "assembly.nc", "a") as file:
        file["again"] = NUMBERS
        for axis, dim in enumerate(("presentation", "neuroid", "time_bin")):
            file["again"].dims[axis].attach_scale(file[dim])


MALFORMED = {
    "an event array": (
        assembly(np.ones(4), {}, {}, dims=("event",), bins=None), "presentation × neuroid",
    ),
    "RDMs": (
        assembly(np.ones((2, 2)), {}, {}, dims=("presentation", "stimulus"), bins=None),
        "presentation × neuroid",
    ),
    "an unknown axis": (
        assembly(np.ones((2, 2, 3)), dims=("presentation", "neuroid", "fold"), bins=None),
        "which is 'fold' cannot be known",
    ),
    "two arrays": (two_arrays, "there are 2: it has"),
    "no array at all": (content("assembly.nc", b""), "cut or damaged"),
    "a cut file": (cut, "cut or damaged"),
    "text": (content("assembly.nc", b"hello"), "cut or damaged"),
    "no stimulus_id": (assembly(presentations={"picture": ["a", "b"]}), "no stimulus_id says"),
    "no neuroid_id": (assembly(neuroids={"region": ["IT", "V4"]}), "no neuroid_id tells"),
    "only blanks": (assembly(presentations={"stimulus_id": ["", ""]}), "names no picture"),
    "a picture that is not in the table": (
        assembly(presentations={"stimulus_id": ["a", "z"]}), "it shows 'z', and the table",
    ),
    "pictures that are only called alike": (
        assembly(presentations={"stimulus_id": ["a.png", "x/b"]}), "it shows 'a.png' and 1 more",
    ),
    "no region in the file": (
        assembly(neuroids={"neuroid_id": ["u", "v"], "region": ["V1", "V4"]}), "no region 'IT'",
    ),
    "neuroids called the same": (
        assembly(neuroids={"neuroid_id": ["u", "u"], "region": ["IT", "IT"]}),
        "two neuroids called 'u'",
    ),
    "an infinite response": (assembly(np.full((2, 2, 1), np.inf)), "infinite"),
    "a picture that a neuroid was never shown": (
        assembly(np.array([[np.nan, 1], [1, 1]])[..., None]), "no response in any repetition",
    ),
    "texts for numbers": (
        assembly(neuroids=UNITS | {"reliability_window": ["high", "low"]}),
        "is not a number (could",
    ),
    "a table without ids": (pictures(id_column="name"), "no column 'stimulus_id'"),
    "a table without files": (pictures(file_column="path"), "no column 'filename'"),
    "an empty table": (content("stimuli.csv", b"stimulus_id,filename\n"), "has no rows"),
    "a table with a row too long": (
        content("stimuli.csv", b"stimulus_id,filename\na,a.png,1\n"), "3 cells for 2 columns",
    ),
    "a picture twice in the table": (
        content("stimuli.csv", b"stimulus_id,filename\na,a.png\na,b.png\n"), "'a' more than once",
    ),
    "a picture that is not in the archive": (archive_of(a=b"x"), "no picture 'b.png'"),
    "no archive": (content("stimuli.zip", b"hello"), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(tmp_path, case):
    write_pictures(tmp_path, ["a", "b"])
    assembly()(tmp_path)
    write, said = MALFORMED[case]
    write(tmp_path)
    before = sorted(tmp_path.iterdir())
    part = Part("IT", None, 0.1) if case == "texts for numbers" else Part("IT")
    with pytest.raises(ProbeError) as caught:
        read(tmp_path, part)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "doe2026.toml"])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["stimuli.csv", "stimuli.zip"], "expected one file .nc, and there are 0"),
        (["assembly.nc", "b.nc", "stimuli.csv", "stimuli.zip"], "there are 2: assembly.nc, b.nc"),
        (["assembly.nc", "stimuli.zip"], "expected one file .csv"),
    ],
)
def test_a_manifest_with_other_files(tmp_path, names, said):
    text = MANIFEST + "".join(f'[[files]]\nname = "{n}"\nsha256 = "{"0" * 64}"\n' for n in names)
    (tmp_path / "doe2026.toml").write_text(text)
    with pytest.raises(ProbeError, match="doe2026") as caught:
        loaders.brainscore(Manifest.load(tmp_path / "doe2026.toml"), None, None)
    assert said in str(caught.value)
