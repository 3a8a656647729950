"""Responses over time: windows of bins and of samples, in a recording and in its folder."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from over_time import BINS, recording
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import Recording, from_folder, neuroid_reliability, split_half
from probe.recordings.times import check_times, gather, members, steps_of


@pytest.fixture
def counted():
    values = np.random.default_rng(1).poisson(2.0, (6, 3, 30, 4)).astype(float)
    return recording(values, BINS, response_unit="spikes")


@st.composite
def bins_and_window(draw):
    """Whole borders in units that are no binary fraction, so that sums of widths are not exact."""
    widths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=20))
    unit = draw(st.sampled_from([1.0, 0.1, 1 / 3, 1000 / 600.615]))
    origin = draw(st.integers(-50, 50))
    borders = origin + np.concatenate([[0], np.cumsum(widths)])
    first = draw(st.integers(0, len(widths) - 1))
    last = draw(st.integers(first + 1, len(widths)))
    return borders, unit, first, last


@given(bins_and_window(), st.randoms(use_true_random=False))
def test_a_window_is_its_bins_and_no_others(drawn, random):
    borders, unit, first, last = drawn
    edges = borders * unit
    order = list(range(len(borders) - 1))
    random.shuffle(order)
    times = np.column_stack([edges[:-1], edges[1:]])[order]
    kept = members(times, borders[first] * unit, borders[last] * unit)
    assert [order[k] for k in kept] == list(range(first, last))


@given(bins_and_window(), st.floats(0.05, 0.95))
def test_a_border_within_a_bin_is_refused_and_the_nearest_named(drawn, share):
    borders, unit, first, last = drawn
    edges = borders * unit
    times = np.column_stack([edges[:-1], edges[1:]])
    inside = edges[last - 1] + share * (edges[last] - edges[last - 1])
    with pytest.raises(ValueError, match="exactly") as raised:
        members(times, edges[first], inside)
    assert f"{edges[last]:g}" in str(raised.value)
    assert f"{edges[first]:g}" in str(raised.value)


@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([1000.0, 600.615, 512.0, 44.1]))
def test_samples_from_start_up_to_before_end(first, n, rate):
    """At the borders: the first sample counts, that at the end does not."""
    instants = (np.arange(100) - 10) * 1000 / rate
    times = np.column_stack([instants, instants])
    kept = members(times, instants[first], instants[first + n])
    np.testing.assert_array_equal(kept, np.arange(first, first + n))


@given(st.integers(1, 60), st.floats(0.01, 100), st.floats(-1000, 1000))
def test_steps_fill_the_window(n, step, start):
    windows = steps_of(start, start + n * step, step)
    assert len(windows) == n
    assert windows[0, 0] == start
    assert windows[-1, 1] == start + n * step
    np.testing.assert_array_equal(windows[1:, 0], windows[:-1, 1])
    if n > 1:
        with pytest.raises(ValueError, match="do not fill"):
            steps_of(start, start + (n - 0.4) * step, step)


@given(st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_windows_of_windows(n_windows, n_bins, counts):
    """Sums, and means, of steps are those of the whole."""
    rng = np.random.default_rng(n_bins)
    n = n_windows * n_bins
    times = np.column_stack([np.arange(n) * 10.0, np.arange(1, n + 1) * 10.0])
    values = rng.poisson(3.0, (2, n, 3)).astype(float)
    windows = steps_of(0.0, 10.0 * n, 10.0 * n_bins)
    parts = np.stack([gather(values, times, *w, counts=counts) for w in windows], axis=-2)
    whole = gather(values, times, 0.0, 10.0 * n, counts=counts)
    np.testing.assert_allclose(gather(parts, windows, 0.0, 10.0 * n, counts=counts), whole)
    np.testing.assert_allclose(whole, values.sum(axis=1) if counts else values.mean(axis=1))


def test_a_mean_over_bins_of_two_lengths_is_over_time():
    times = np.array([[0.0, 10.0], [10.0, 40.0]])
    values = np.array([[4.0], [8.0]])
    np.testing.assert_allclose(gather(values, times, 0, 40, counts=False), [7.0])
    np.testing.assert_allclose(gather(values, times, 0, 40, counts=True), [12.0])


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([[0, 10], [20, 20]], "some times are bins and some are instants"),
        ([[10, 0]], "ends before it begins"),
        ([[0, np.nan]], "missing or infinite"),
        ([[10, 20], [0, 10]], "not ascending: 10 ms is followed by 0 ms"),
        ([[5, 5], [5, 5]], "not ascending"),
        (np.zeros((0, 2)), "expected"),
    ],
)
def test_times_that_are_none(times, reason):
    with pytest.raises(ValueError, match=reason):
        check_times(np.array(times, dtype=float))


def test_counts_are_summed(counted):
    values = counted.data["responses"].values
    assert counted.has_time
    np.testing.assert_array_equal(counted.times, BINS)
    part = counted.window(70, 170)
    assert not part.has_time
    assert part.times is None
    np.testing.assert_array_equal(part.data["responses"].values, values[:, :, 7:17].sum(axis=2))
    assert part.data.attrs["response_unit"] == "spikes; sum over 70 to 170 ms after onset"
    assert part.data.attrs["source_hash"] not in (
        "abc", counted.window(60, 170).data.attrs["source_hash"],
    )  # fmt: skip
    assert part.mean_responses().dims == ("stimulus", "neuroid")


def test_other_values_are_averaged(counted):
    rates = recording(counted.data["responses"].values + 0.5, BINS)
    expected = rates.data["responses"].values[:, :, 7:17].mean(axis=2)
    np.testing.assert_allclose(rates.window(70, 170).data["responses"].values, expected)
    # Whole numbers of which it is known that they are no counts, as quantised voltages.
    levels = recording(counted.data["responses"].values, BINS, counts=False)
    expected = levels.data["responses"].values[:, :, 7:17].mean(axis=2)
    np.testing.assert_allclose(levels.window(70, 170).data["responses"].values, expected)


def test_samples_are_averaged():
    instants = np.arange(-10, 31) * 10.0
    values = np.random.default_rng(0).poisson(3.0, (6, 2, 41, 4)).astype(float)
    sampled = recording(values, np.column_stack([instants, instants]))
    part = sampled.window(70, 170)  # 70, 80, … 160: the sample at 170 ms is not one of it
    expected = values[:, :, 17:27].mean(axis=2)
    np.testing.assert_allclose(part.data["responses"].values, expected)
    with pytest.raises(ProbeError, match="no sample lies in the window 71 to 79 ms"):
        sampled.window(71, 79)


def test_a_missing_bin_is_a_missing_window(counted):
    values = counted.data["responses"].values.copy()
    values[2, 1, 8, 3] = np.nan
    part = recording(values, BINS).window(70, 170).data["responses"].values
    assert np.argwhere(np.isnan(part)).tolist() == [[2, 1, 3]]


def test_what_needs_one_window_says_so(counted):
    message = r"has a time axis \(30 bins of 10 ms, 0 to 300 ms\): name a window"
    for ask in (
        Recording.mean_responses, Recording.rdms, split_half, neuroid_reliability,
    ):  # fmt: skip
        with pytest.raises(ProbeError, match=message):
            ask(counted)
    with pytest.raises(ProbeError, match="can begin at 70 or 80 and end at 170"):
        counted.window(75, 170)
    with pytest.raises(ProbeError, match="a start before the end"):
        counted.window(170, 70)
    with pytest.raises(ProbeError, match="has no time axis"):
        counted.window(70, 170).window(70, 170)


def test_a_part_keeps_its_times(counted):
    part = counted.select(neuroids=[2, 0], stimuli=["p3", "p1"])
    np.testing.assert_array_equal(part.times, BINS)
    expected = counted.data["responses"].values[[3, 1]][..., [2, 0]]
    np.testing.assert_array_equal(part.data["responses"].values, expected)
    assert "30 bins of 10 ms" in repr(part)
    assert part.describe()["time"] == "30 bins of 10 ms, 0 to 300 ms"


def test_times_are_part_of_what_is_checked(counted):
    with pytest.raises(ProbeError, match="lacks the coordinate 'time_end'"):
        dataclasses.replace(counted, data=counted.data.drop_vars("time_end"))
    values = counted.data["responses"].values.copy()
    values[4, :, 3, 1] = np.nan
    with pytest.raises(
        ProbeError, match=r"no response in any repetition .*'n1'.*'p4' at 30 ms; 1 "
    ):
        recording(values, BINS)


@pytest.fixture
def lab(tmp_path, counted):
    folder = tmp_path / "mylab"
    (folder / "images").mkdir(parents=True)
    np.save(folder / "responses.npy", counted.data["responses"].values)
    for k in range(6):
        Image.fromarray(np.full((8, 8, 3), 40 * k, np.uint8)).save(folder / f"images/p{k}.png")
    table = pd.DataFrame(BINS, columns=["time_start_ms", "time_end_ms"])
    table.to_csv(folder / "times.csv", index=False)
    return folder


def test_a_folder_with_times(lab, counted):
    read = from_folder(lab)
    np.testing.assert_array_equal(read.times, BINS)
    np.testing.assert_array_equal(read.data["responses"].values, counted.data["responses"].values)
    before = read.describe()["source_hash"]
    table = pd.read_csv(lab / "times.csv") + 5
    table.to_csv(lab / "times.csv", index=False)
    assert from_folder(lab).describe()["source_hash"] != before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: (f / "times.csv").unlink(), "four axes, but there is no .*times.csv"),
        (
            lambda f: np.save(f / "responses.npy", np.ones((6, 30, 4))),
            "has no time axis: save it as",
        ),
        (lambda f: (f / "times.csv").write_text("time_start_ms,time_end_ms\n0,10\n"), "1 rows"),
        (
            lambda f: (f / "times.csv").write_text("time_start_ms,time_end_ms\n" + "0,ten\n" * 30),
            "could not convert",
        ),
        (
            lambda f: (f / "times.csv").write_text("time_start_ms,time_end_ms\n" + "0,10\n" * 30),
            "not ascending",
        ),
        (lambda f: (f / "times.csv").write_text("start,end\n" + "0,10\n" * 30), "no column"),
        (
            lambda f: np.save(f / "responses.npy", np.ones((4, 3, 30, 6))),
            r"axes are \(stimulus, repetition, time, neuroid\)",
        ),
    ],
)
def test_folders_whose_times_cannot_be_known(lab, change, reason):
    change(lab)
    with pytest.raises(ProbeError, match=reason):
        from_folder(lab)


def test_what_counts_is_kept_with_the_folder(lab):
    read = from_folder(lab)
    record = {
        "title": "t", "citation": "", "licence": "", "response_unit": "mV", "averaged": False,
        "counts": False, "responses_sha256": read.describe()["source_hash"],
    }  # fmt: skip
    (lab / "recording.json").write_text(json.dumps(record))
    assert read.counts
    assert not from_folder(lab).counts
    (lab / "recording.json").write_text(json.dumps(record | {"counts": 1}))
    with pytest.raises(ProbeError, match="'counts': expected true or false"):
        from_folder(lab)


def test_the_same_window_is_the_same_recording(counted):
    def hash_of(recording):
        return recording.describe()["source_hash"]

    assert hash_of(counted.window(20, 50)) == hash_of(counted.window(np.float64(20), 50.0))
    assert hash_of(counted.window(20, 50)) != hash_of(counted.window(20, 60))
    steps = counted.in_steps(0, 40, 20), counted.in_steps(0.0, 40.0, np.int64(20))
    assert hash_of(steps[0]) == hash_of(steps[1])
