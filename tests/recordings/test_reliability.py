"""Split halves: against a known truth, with missing repetitions, and errors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from probe.errors import ProbeError
from probe.recordings import Recording, neuroid_reliability, simulate_v1, split_half
from probe.recordings.reliability import _halves, half_repetitions
from probe.similarity import compare
from probe.stimuli import StimulusSet


def recording(values, subjects=None):
    s, _, n = values.shape
    ids = [f"s{k}" for k in range(s)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "subject": ("neuroid", subjects or ["A"] * n),
            "region": ("neuroid", ["V4"] * n),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(n)]),
        },
        attrs={"name": "made"},
    )
    return Recording(data, StimulusSet(ids, [np.zeros((2, 2), np.uint8)] * s, "made"))


def signal_and_noise(n_stimuli=200, n_repetitions=6, n_neuroids=60, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_stimuli, 1, n_neuroids))
    return signal + noise * rng.normal(size=(n_stimuli, n_repetitions, n_neuroids))


def test_neuroid_reliability_has_its_expected_value():
    # Signal variance 1, noise variance 1 / repetition: of halves of three repetitions,
    # r = 1 / (1 + 1/3), and of all six 1 / (1 + 1/6).
    table = neuroid_reliability(recording(signal_and_noise()))
    assert table["r"].mean() == pytest.approx(3 / 4, abs=0.01)
    assert table["spearman_brown"].mean() == pytest.approx(6 / 7, abs=0.01)
    np.testing.assert_allclose(table["spearman_brown"], 2 * table["r"] / (1 + table["r"]))
    assert list(table["neuroid_id"]) == [f"n{k}" for k in range(60)]


def test_noiseless_and_pure_noise():
    signal = signal_and_noise(noise=0.0)
    assert split_half(recording(signal)).r == pytest.approx(1.0)
    assert neuroid_reliability(recording(signal))["r"].min() == pytest.approx(1.0)
    noise = np.random.default_rng(1).normal(size=(60, 4, 30))
    assert abs(split_half(recording(noise)).r) < 0.1


@pytest.mark.slow
def test_spearman_brown_predicts_twice_the_repetitions():
    long = simulate_v1(n_repetitions=16).select(subject="sim-1")
    short = simulate_v1(n_repetitions=8).select(subject="sim-1")
    predicted = split_half(short).spearman_brown
    assert split_half(long).r == pytest.approx(predicted, abs=0.03)


def test_halves_use_every_repetition_once():
    values = signal_and_noise(12, 5, 4)
    values[::2, 3:] = np.nan  # three repetitions here, five there
    counts = np.where(np.arange(12) % 2, 5, 3)[:, None]
    seen = set()
    for a, b in _halves(recording(values), 30, 0):
        # For an odd number, one half has one more: of either, both halves rebuild the total.
        small = counts // 2
        total = np.nansum(values, axis=1)
        one_way = np.isclose(a * small + b * (counts - small), total).all(axis=1)
        other_way = np.isclose(b * small + a * (counts - small), total).all(axis=1)
        assert (one_way ^ other_way).all()
        seen |= set(one_way)
    assert seen == {True, False}, "the repetition too many always goes to the same half"


def test_presentations_stay_together():
    # All neuroids repeat one number per presentation: halves must be equal across neuroids.
    shown = np.random.default_rng(0).normal(size=(10, 6, 1))
    values = np.repeat(shown, 3, axis=2)
    for a, b in _halves(recording(values), 5, 0):
        np.testing.assert_allclose(a, np.repeat(a[:, :1], 3, axis=1))
        np.testing.assert_allclose(b, np.repeat(b[:, :1], 3, axis=1))


def test_neuroids_with_different_repetitions():
    values = signal_and_noise(n_repetitions=8)
    rng = np.random.default_rng(0)
    for s, n in np.ndindex(values.shape[0], values.shape[2]):
        values[s, rng.permutation(8)[: rng.integers(0, 7)], n] = np.nan
    made = recording(values)
    assert made.n_repetitions == (2, 8)
    result = split_half(made, n_splits=5)
    assert np.isfinite(result.splits).all()
    for a, b in _halves(made, 3, 0):
        assert np.isfinite(a).all()
        assert np.isfinite(b).all()


def test_seed():
    made = recording(signal_and_noise(40, 4, 10))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = split_half(made, seed=3)
    np.testing.assert_array_equal(first.splits, split_half(made, seed=3).splits)
    assert (first.splits != split_half(made, seed=4).splits).any()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert first.splits.shape == (20,)
    assert first.r == pytest.approx(first.splits.mean())


def test_silent_neuroid_has_no_reliability():
    values = signal_and_noise(20, 4, 3)
    values[:, :, 1] = 2.0
    assert list(np.isnan(neuroid_reliability(recording(values))["r"])) == [False, True, False]


def test_what_cannot_be_split():
    values = signal_and_noise(10, 3, 4)
    values[7, 1:] = np.nan
    with pytest.raises(ProbeError, match=r"stimulus 's7'.*1 of 10"):
        split_half(recording(values))
    with pytest.raises(ProbeError, match="2 subjects"):
        split_half(recording(signal_and_noise(10, 3, 4), subjects=["A", "A", "B", "B"]))
    with pytest.raises(ProbeError, match="n_splits"):
        split_half(recording(signal_and_noise(10, 3, 4)), n_splits=0)


@pytest.mark.parametrize("metric", ["mahalanobis", "crossnobis"])
def test_halves_estimate_their_own_noise(metric):
    """Each half has an RDM from its own repetitions, as by hand."""
    made = recording(signal_and_noise(n_stimuli=20, n_repetitions=8, n_neuroids=6))
    found = split_half(made, metric, "pearson", n_splits=2, seed=3)
    by_hand = []
    for halves in half_repetitions(made, 2, 3):
        assert all((np.isfinite(half).sum(axis=1) == 4).all() for half in halves)
        assert (np.isfinite(halves[0]) != np.isfinite(halves[1])).all()
        by_hand.append(
            compare(*(made.rdm_of_repetitions(h, metric, "A") for h in halves), "pearson")
        )
    np.testing.assert_allclose(found.splits, by_hand)
    assert found.r > 0.2


def test_crossnobis_needs_repetitions_in_both_halves():
    with pytest.raises(ProbeError, match="repetition"):
        split_half(recording(signal_and_noise(n_stimuli=10, n_repetitions=2)), "crossnobis")
