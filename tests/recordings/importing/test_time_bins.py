"""Imports that keep time: steps of a window, of spikes and of time bins."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from session_files import as_npz_spikes, as_npz_spikes_in_ms, as_nwb, write_table

from probe.errors import ProbeError
from probe.recordings import from_folder, read_recording

TICK = 15.625  # ms
STEP = "62.5ms"  # four ticks


def binned(session, n_bins=4, ticks=4):
    """Stimulus × repetition × bin × unit, by definition."""
    parts = []
    for k in range(n_bins):
        first = 8 + ticks * k
        parts.append(
            [
                [sum(first <= int(t - onset) < first + ticks for t in s) for s in session.spikes]
                for onset in session.onsets
            ]
        )
    of_presentation = np.array(parts, dtype=float).swapaxes(0, 1)
    n = max(session.pictures.count(name) for name in session.shown)
    responses = np.full((len(session.shown), n, n_bins, len(session.spikes)), np.nan)
    for s, name in enumerate(session.shown):
        rows = [k for k, label in enumerate(session.pictures) if label == name]
        responses[s, : len(rows)] = of_presentation[rows]
    return responses


@pytest.mark.parametrize("write", [as_nwb, as_npz_spikes, as_npz_spikes_in_ms])
def test_spikes_in_steps(session, pictures, tmp_path, write):
    path, options = write(session, tmp_path)
    reading = read_recording(path, stimuli=pictures, step=STEP, **options)
    np.testing.assert_array_equal(reading.responses, binned(session))
    np.testing.assert_array_equal(reading.times[:, 0], 125 + 62.5 * np.arange(4))
    assert reading.response_unit == "spikes in 62.5 ms after onset, the end not included"
    recording = reading.save(tmp_path / "out")
    np.testing.assert_array_equal(recording.data["responses"].values, binned(session))
    np.testing.assert_array_equal(recording.times, reading.times)
    # Each spike is in one step: they add up to the window.
    whole = recording.window(125, 375).data["responses"].values
    np.testing.assert_array_equal(whole, session.responses)
    assert ("time", "4 bins of 62.5 ms, 125 to 375 ms") in reading.describe()
    assert from_folder(tmp_path / "out").counts


def bins_file(session, folder, name="bins.nc", scale=1.0):
    values = binned(session, 8, 2)
    array = xr.DataArray(
        values,
        dims=("stimulus", "repetition", "time_bin", "neuroid"),
        coords={
            "stimulus_id": ("stimulus", session.shown),
            "neuroid_id": ("neuroid", [str(u) for u in session.unit_ids]),
            "region": ("neuroid", session.regions),
            "time_bin_start_ms": ("time_bin", 125 + 31.25 * np.arange(8)),
            "time_bin_end_ms": ("time_bin", 125 + 31.25 * np.arange(1, 9)),
        },
    )
    (array * scale).to_netcdf(folder / name, engine="scipy")
    return folder / name


@pytest.mark.parametrize("options", [{"step": STEP}, {"step": STEP, "window": "125,375ms"}])
def test_time_bins_in_steps(session, pictures, tmp_path, options):
    reading = read_recording(bins_file(session, tmp_path), stimuli=pictures, **options)
    np.testing.assert_array_equal(reading.responses, binned(session))
    assert reading.counts
    assert any("were summed in steps of 62.5 ms" in note for note in reading.notes)
    rates = read_recording(bins_file(session, tmp_path, "r.nc", 0.3), stimuli=pictures, **options)
    np.testing.assert_allclose(rates.responses, 0.3 * binned(session) / 2)
    assert not rates.counts


def test_time_bins_as_they_are(session, pictures, tmp_path):
    reading = read_recording(bins_file(session, tmp_path), stimuli=pictures, step="0.03125s")
    np.testing.assert_array_equal(reading.responses, binned(session, 8, 2))


def test_a_table_of_bins_in_steps(tmp_path):
    counts = np.random.default_rng(0).poisson(1.0, (6, 4))
    columns = {f"time.{10 * k}_{10 * k + 10}": counts[:, k].tolist() for k in range(4)}
    path = write_table(tmp_path / "site.csv", columns | {"labels.picture": list("abcabc")})
    reading = read_recording(path, step="20ms", time_unit="ms")
    expected = counts.reshape(2, 3, 2, 2).sum(axis=3).swapaxes(0, 1)[..., None]
    np.testing.assert_array_equal(reading.responses, expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"step": "50"}, "expected a length > 0 with a unit, as in 10ms"),
        ({"step": "0ms"}, "expected a length > 0"),
        ({"step": "-5ms"}, "expected a length > 0"),
        ({"step": "nans"}, "expected a length > 0"),
        ({"step": "70ms"}, "steps of 70 ms do not fill 125 to 375 ms: end at 335 ms, for example"),
        ({"step": "25ms"}, "can begin at 125 and end at 156.25"),
        ({}, "name the window to take.*or keep them in steps, as in --step 10ms"),
        ({"step": "500ms"}, "do not fill"),
    ],
)
def test_steps_that_cannot_be_taken(session, tmp_path, options, reason):
    path = bins_file(session, tmp_path)
    with pytest.raises(ProbeError, match=reason) as raised:
        read_recording(path, **options)
    assert "\n" not in str(raised.value)


def test_spikes_need_a_window_for_their_steps(session, tmp_path):
    path, _ = as_npz_spikes(session, tmp_path)
    with pytest.raises(ProbeError, match="name the window"):
        read_recording(path, step=STEP)


def test_what_has_no_time_has_no_steps(tmp_path):
    np.savez(tmp_path / "r.npz", resp=np.ones((2, 3)), stimulus_id=["a", "b"])
    with pytest.raises(ProbeError, match="has no time axis: leave out --step"):
        read_recording(tmp_path / "r.npz", axes="stimulus,neuroid", step="10ms")
    table = {"stimulus_id": ["a", "b"], "neuroid_id": ["u", "u"], "response": [1, 2]}
    pd.DataFrame(table).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(ProbeError, match="no times: --step has nothing"):
        read_recording(tmp_path / "r.csv", step="10ms")


def test_files_side_by_side_have_the_same_times(tmp_path):
    for name, first in (("a", 0), ("b", 5), ("c", 0)):
        np.savez(
            tmp_path / f"{name}.npz", resp=np.ones((2, 3, 4)), stimulus_id=["p", "q"],
            unit_id=[1, 2, 3], time_bin_start_ms=first + np.arange(0, 40, 10),
            time_bin_end_ms=first + np.arange(10, 50, 10),
        )  # fmt: skip
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    with pytest.raises(ProbeError, match="do not have the same times"):
        read_recording(files, step="10ms")
    assert read_recording([files[0], tmp_path / "c.npz"], step="10ms").responses.shape == (
        2,
        1,
        4,
        6,
    )


def test_presentations_over_time_are_averaged(tmp_path, pictures, session):
    names = session.shown[:3]
    values = np.random.default_rng(3).normal(size=(12, 4, 2))  # presentation, time bin, neuroid
    dims = ("presentation", "time_bin", "neuroid")
    coords = {
        "stimulus_id": ("presentation", [name for name in names for _ in range(4)]),
        "run": ("presentation", [1, 1, 2, 2] * 3),
        "neuroid_id": ("neuroid", ["a", "b"]),
        "time_bin_start_ms": ("time_bin", [0, 10, 20, 30]),
        "time_bin_end_ms": ("time_bin", [10, 20, 30, 40]),
    }
    xr.Dataset({"responses": (dims, values)}, coords).to_netcdf(tmp_path / "a.nc")
    reading = read_recording(tmp_path / "a.nc", stimuli=pictures, step="10ms", average="run")
    expected = values.reshape(3, 2, 2, 4, 2).mean(axis=2)
    np.testing.assert_allclose(reading.responses, expected, rtol=1e-12)
