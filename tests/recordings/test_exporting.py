"""Recordings as files and objects of others, read back by ours and by theirs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from probe import recordings
from probe.errors import ProbeError
from probe.recordings import Recording, exporting, read_recording, select_reliable
from probe.stimuli import StimulusSet


def made(values, **more):
    s, _, n = values.shape
    ids = [f"pic{k}.png" for k in range(s)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "object_name": ("stimulus", [f"Ding {k % 2}" for k in range(s)]),
            "contrast": ("stimulus", np.linspace(0.1, 1.0, s)),
            "subject": ("neuroid", ["Ä"] * n),
            "region": ("neuroid", ["V4"] * (n - 1) + ["IT"]),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(n)]),
            "depth": ("neuroid", np.arange(n) * 10),
            **more,
        },
        attrs={"name": "made", "title": "made up", "response_unit": "spikes", "averaged": False},
    )
    return Recording(data, StimulusSet(ids, [np.zeros((2, 2), np.uint8)] * s, "made"))


@pytest.fixture
def recording():
    values = np.random.default_rng(0).poisson(4.0, (5, 4, 3)).astype(float)
    values[1, 3] = np.nan  # a presentation that was not
    values[2, 1, 0] = np.nan  # a neuroid that was lost in one
    return made(values)


class TestBrainScore:
    def test_as_xarray_reads_it(self, recording, tmp_path):
        """One array, no index, every coordinate along one dimension."""
        path = recording.save(tmp_path / "made.nc")
        array = xr.load_dataarray(path, engine="h5netcdf")
        assert array.dims == ("presentation", "neuroid", "time_bin")
        assert array.shape == (19, 3, 1)
        assert not array.indexes
        assert {name: coord.dims for name, coord in array.coords.items()} == {
            "stimulus_id": ("presentation",), "repetition": ("presentation",),
            "object_name": ("presentation",), "contrast": ("presentation",),
            "animal": ("neuroid",), "region": ("neuroid",), "neuroid_id": ("neuroid",),
            "depth": ("neuroid",),
        }  # fmt: skip
        assert array.attrs == {"identifier": "made", "title": "made up", "units": "spikes"}
        values = recording.data["responses"].values
        for k, (stimulus, repetition) in enumerate(
            zip(array["stimulus_id"].values, array["repetition"].values, strict=True)
        ):
            row = list(recording.stimuli.ids).index(stimulus)
            np.testing.assert_array_equal(array.values[k, :, 0], values[row, repetition])
        assert list(array["animal"].values) == ["Ä"] * 3
        assert array["depth"].dtype.kind == "i"

    def test_as_we_read_it(self, recording, tmp_path):
        reading = read_recording(recording.save(tmp_path / "made.nc"))
        np.testing.assert_array_equal(reading.responses, recording.data["responses"].values)
        assert reading.stimulus_ids == recording.stimuli.ids
        assert reading.neuroid_columns["neuroid_id"] == ["n0", "n1", "n2"]
        assert reading.neuroid_columns["subject"] == ["Ä"] * 3
        assert reading.neuroid_columns["region"] == ["V4", "V4", "IT"]
        assert reading.stimulus_columns["object_name"] == ["Ding 0", "Ding 1"] * 2 + ["Ding 0"]
        assert reading.response_unit == "spikes"

    @settings(max_examples=25, deadline=None)
    @given(
        seed=st.integers(0, 10**6), s=st.integers(2, 5), k=st.integers(1, 4), n=st.integers(2, 4)
    )
    def test_whatever_is_missing(self, seed, s, k, n, tmp_path_factory):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(s, k, n))
        values[rng.random(values.shape) < 0.3] = np.nan
        values[:, 0][np.isnan(values).all(axis=1)] = 0.0
        path = tmp_path_factory.mktemp("nc") / "x.nc"
        recording = made(values)
        for suffix in (".nc", ".csv"):
            reading = read_recording(recording.save(path.with_suffix(suffix)))
            # Of a table, neuroids are in the order of their first response.
            order = [int(name[1:]) for name in reading.neuroid_columns["neuroid_id"]]
            for row in range(s):
                shown = values[row][np.isfinite(values[row]).any(axis=1)][:, order]
                np.testing.assert_array_equal(reading.responses[row, : len(shown)], shown)
                assert np.isnan(reading.responses[row, len(shown) :]).all()

    def test_a_selection_says_so(self, tmp_path):
        chosen = select_reliable(recordings.load("sim-v4", subject="sim-1"), 0.8)
        array = xr.load_dataarray(chosen.save(tmp_path / "x.nc"), engine="h5netcdf")
        assert "chosen on other repetitions" in array.attrs["selection"]
        assert array.attrs["simulated"] == "generated, not measured"

    def test_over_time(self, tmp_path):
        """Responses (stimulus, repetition, time, neuroid)."""
        values = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
        array = xr.load_dataarray(over_time(values, tmp_path / "x.nc"), engine="h5netcdf")
        assert array.shape == (6, 5, 4)
        np.testing.assert_array_equal(
            array.values.reshape(2, 3, 5, 4), values.transpose(0, 1, 3, 2)
        )
        np.testing.assert_array_equal(array["time_bin_start"], [0.0, 10.0, 20.0, 30.0])
        np.testing.assert_array_equal(array["time_bin_end"], [10.0, 20.0, 30.0, 40.0])
        assert array["time_bin_start"].dims == ("time_bin",)
        reading = read_recording(tmp_path / "x.nc", window="10,30ms", time_unit="ms")
        np.testing.assert_allclose(reading.responses, values[:, :, 1:3].mean(axis=2))

    @pytest.mark.parametrize("name", ["animal", "time_bin"])
    def test_a_name_that_means_something_else(self, name, tmp_path):
        one = made(np.ones((2, 1, 2)), **{name: ("neuroid", ["a", "b"])})
        with pytest.raises(ProbeError, match=f"coordinate '{name}', which means something else"):
            one.save(tmp_path / "x.nc")
        assert not list(tmp_path.iterdir())

    def test_a_unit_that_looks_like_a_date(self, recording, tmp_path):
        data = recording.data.assign_attrs(response_unit="spikes since onset")
        path = Recording(data, recording.stimuli).save(tmp_path / "x.nc")
        assert xr.load_dataarray(path, engine="h5netcdf").dtype == np.float64


def over_time(values, path):
    """A recording with times, as far as it is written."""
    times = np.arange(values.shape[2]) * 10.0
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "time", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", [f"s{k}" for k in range(len(values))]),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(values.shape[3])]),
            "time_start": ("time", times),
            "time_end": ("time", times + 10.0),
        },
    )
    about = dict.fromkeys(("title", "citation", "licence", "response_unit", "selection"), "")
    recording = SimpleNamespace(
        data=data, name="x", has_responses=True, stimuli=SimpleNamespace(ids=("s0", "s1")),
        describe=lambda: about | {"simulated": False},
    )  # fmt: skip
    return exporting.to_rsatoolbox(recording) if path is None else exporting.save(recording, path)


class TestTidy:
    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_as_it_is_read(self, suffix, recording, tmp_path):
        path = recording.save(tmp_path / f"made{suffix}")
        table = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
        assert list(table) == [
            "stimulus_id", "object_name", "contrast", "repetition", "subject", "region",
            "neuroid_id", "depth", "response_unit", "response",
        ]  # fmt: skip
        assert len(table) == np.isfinite(recording.data["responses"].values).sum() == 56
        reading = read_recording(path)
        np.testing.assert_array_equal(reading.responses, recording.data["responses"].values)
        assert reading.neuroid_columns["region"] == ["V4", "V4", "IT"]
        assert reading.response_unit == "spikes"
        assert "response_unit" not in (*reading.neuroid_columns, *reading.stimulus_columns)

    def test_over_time(self, tmp_path):
        values = np.arange(2 * 3 * 4 * 5, dtype=float).reshape(2, 3, 4, 5)
        table = pd.read_csv(over_time(values, tmp_path / "x.csv"))
        row = table[
            (table["stimulus_id"] == "s1") & (table["repetition"] == 2)
            & (table["neuroid_id"] == "n3") & (table["time_start_ms"] == 20.0)
        ]  # fmt: skip
        assert row[["time_end_ms", "response"]].to_numpy().tolist() == [[30.0, values[1, 2, 2, 3]]]

    def test_without_pyarrow(self, recording, tmp_path, monkeypatch):
        monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ProbeError, match=r"pyarrow: pip install 'cnn-probe\[parquet\]'"):
            recording.save(tmp_path / "x.parquet")
        assert not list(tmp_path.iterdir())


class TestRsatoolbox:
    rsatoolbox = pytest.importorskip("rsatoolbox")

    def test_rdms_are_ours(self):
        from rsatoolbox.rdm import calc_rdm

        recording = recordings.load("sim-v4", subject="sim-1")
        dataset = recording.to_rsatoolbox()
        assert dataset.measurements.shape == (178 * 8, 40)
        assert set(dataset.obs_descriptors) >= {"stimulus_id", "repetition"}
        theirs = calc_rdm(dataset, method="correlation", descriptor="stimulus_id")
        order = [recording.stimuli.ids.index(i) for i in theirs.pattern_descriptors["stimulus_id"]]
        square = theirs.get_matrices()[0]
        ours = np.zeros_like(square)
        rows, columns = np.triu_indices(178, 1)
        ours[rows, columns] = ours[columns, rows] = recording.rdms()[1][0]
        np.testing.assert_allclose(square, ours[np.ix_(order, order)], atol=1e-10)

    def test_what_is_missing(self, recording):
        dataset = recording.to_rsatoolbox()
        assert dataset.measurements.shape == (19, 3)
        assert np.isnan(dataset.measurements).sum() == 1
        assert [str(v) for v in dataset.channel_descriptors["region"]] == ["V4", "V4", "IT"]

    def test_over_time(self):
        values = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
        dataset = over_time(values, None)
        assert dataset.measurements.shape == (6, 5, 4)
        assert list(dataset.time_descriptors["time"]) == [5.0, 15.0, 25.0, 35.0]
        one = dataset.subset_time("time", 15.0, 15.0)
        np.testing.assert_array_equal(one.measurements[..., 0].reshape(2, 3, 5), values[:, :, 1])


class TestRefused:
    @pytest.mark.parametrize("name", ["x.mat", "x", "x.nc.gz"])
    def test_other_kinds(self, name, recording, tmp_path):
        with pytest.raises(ProbeError, match=r"a name that ends in \.nc, \.csv, \.parquet"):
            recording.save(tmp_path / name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", [".nc", ".csv", ".parquet"])
    def test_a_folder_that_is_not_there(self, suffix, recording, tmp_path):
        with pytest.raises(ProbeError, match="cannot be written"):
            recording.save(tmp_path / "none" / f"x{suffix}")

    def test_what_was_there_is_replaced_whole(self, recording, tmp_path, monkeypatch):
        path = tmp_path / "x.csv"
        path.write_text("before")

        def fails(recording, partial):
            partial.write_text("half")
            raise OSError(28, "No space left on device")

        monkeypatch.setitem(exporting.WRITERS, ".csv", fails)
        with pytest.raises(ProbeError, match="No space left"):
            recording.save(path)
        assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
        assert path.read_text() == "before"

    def test_rdms_only(self, tmp_path):
        data = xr.Dataset(
            {"rdms": (("rdm", "pair"), [[0.1, 0.2, 0.3]])},
            coords={
                "stimulus_id": ("stimulus", ["a", "b", "c"]),
                "subject": ("rdm", ["A"]),
                "region": ("rdm", ["V4"]),
            },
            attrs={"name": "made"},
        )
        one = Recording(data, StimulusSet(["a", "b", "c"], [np.zeros((2, 2), np.uint8)] * 3, "m"))
        for write in (lambda: one.save(tmp_path / "x.nc"), one.to_rsatoolbox):
            with pytest.raises(ProbeError, match="holds RDMs only, no responses"):
                write()
