"""Scores of held-out predictions, against plain loops and closed forms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.encoding.scores import CEILED, SCORES, correlation, of_predictions, over_sites
from probe.recordings import Noise

SEEDS = st.integers(0, 10**6)


def problem(seed, n=30, m=4, noise=1.0, k=6):
    """Responses to each stimulus, one by one (n, k, m), and predictions of their means."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, m)) + 5.0
    single = signal[:, None] + noise * rng.normal(size=(n, k, m))
    single[rng.random((n, k)) < 0.2] = np.nan
    single[:, 0] = signal + noise * rng.normal(size=(n, m))
    predictions = 0.7 * signal + 0.5 * rng.normal(size=(n, m)) + 1.0
    return np.nanmean(single, axis=1), predictions, single


def plain(y, p, single):
    """All scores of one site: y (n,), p (n,), single repetitions (n, k)."""
    n = len(y)
    variances, shares = [], []
    for stimulus in single:
        there = [value for value in stimulus if not np.isnan(value)]
        shares.append(1.0 / len(there))
        if len(there) > 1:
            mean = sum(there) / len(there)
            variances.append(sum((v - mean) ** 2 for v in there) / (len(there) - 1))
    left = sum(variances) / len(variances) * sum(shares) / n
    mean_y, mean_p = sum(y) / n, sum(p) / n
    yy = sum((a - mean_y) ** 2 for a in y)
    pp = sum((b - mean_p) ** 2 for b in p)
    yp = sum((a - mean_y) * (b - mean_p) for a, b in zip(y, p, strict=True))
    error = sum((a - b) ** 2 for a, b in zip(y, p, strict=True))
    total = yy / (n - 1)
    rho = (total - left) / total
    r = yp / (yy * pp) ** 0.5
    values = {"r": r, "r2": 1.0 - error / yy, "reliability": rho}
    if rho > 0.0:
        values |= {
            "r_ceiled": r / rho**0.5,
            "r2_ceiled": abs(r) * r / rho,
            "r2_er": (yp**2 - left * pp) / (pp * yy - (n - 1) * left * pp),
            "feve": 1.0 - (error / n - left) / (total - left),
        }
    else:
        values |= dict.fromkeys(CEILED, np.nan)
    return values


class TestValues:
    @given(
        seed=SEEDS,
        n=st.integers(3, 40),
        noise=st.sampled_from([0.1, 1.0, 5.0]),
    )
    def test_equal_loops(self, seed, n, noise):
        y, p, single = problem(seed, n, 4, noise)
        values = of_predictions(y, p, Noise.of_repetitions(single))
        assert set(values) == {*SCORES, "reliability"}
        for site in range(4):
            expected = plain(y[:, site], p[:, site], single[:, :, site])
            found = {name: values[name][site] for name in values}
            assert found == pytest.approx(expected, rel=1e-7, abs=1e-9, nan_ok=True)

    def test_equal_himalaya(self):
        scores = pytest.importorskip("himalaya.scoring")
        y, p, _ = problem(1)
        values = of_predictions(y, p)
        np.testing.assert_allclose(values["r"], scores.correlation_score(y, p), rtol=1e-10)
        np.testing.assert_allclose(values["r2"], scores.r2_score(y, p), rtol=1e-10)

    def test_without_noise_nothing_is_ceiled(self):
        y, p, _ = problem(2)
        values = of_predictions(y, p)
        for name in (*CEILED, "reliability"):
            assert values[name].shape == (4,)
            assert np.isnan(values[name]).all()

    def test_responses_without_noise_have_their_own_scores(self):
        y, p, _ = problem(3)
        values = of_predictions(y, p, Noise(np.zeros_like(y), np.full_like(y, 0.2)))
        np.testing.assert_array_equal(values["reliability"], 1.0)
        np.testing.assert_allclose(values["r_ceiled"], values["r"])
        np.testing.assert_allclose(values["r2_er"], values["r"] ** 2, rtol=1e-10)

    def test_inverse_prediction_has_a_sign(self):
        y, p, single = problem(4)
        values = of_predictions(y, -p, Noise.of_repetitions(single))
        for name in ("r", "r_ceiled", "r2_ceiled"):
            assert (values[name] < 0.0).all()

    @given(seed=SEEDS, scale=st.sampled_from([1e-3, 0.3, 1e3]), shift=st.floats(-10.0, 10.0))
    def test_units_of_predictions(self, seed, scale, shift):
        """r and what follows of it do not see them; R² and FEVE do."""
        y, p, single = problem(seed)
        noise = Noise.of_repetitions(single)
        one, other = of_predictions(y, p, noise), of_predictions(y, scale * (p + shift), noise)
        for name in ("r", "r_ceiled", "r2_ceiled", "r2_er"):
            np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-7)
        assert (other["r2"] != one["r2"]).all()

    @given(seed=SEEDS, scale=st.sampled_from([1e-9, 0.3, 1e9]))
    def test_units_of_responses(self, seed, scale):
        y, p, single = problem(seed)
        one = of_predictions(y, p, Noise.of_repetitions(single))
        other = of_predictions(scale * y, scale * p, Noise.of_repetitions(scale * single))
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-8, atol=1e-10)


class TestSimulation:
    """Many stimuli, so that what is expected is met."""

    def simulated(self, seed=0, n=20_000, m=6, k=5):
        rng = np.random.default_rng(seed)
        signal = rng.normal(size=(n, m))
        single = signal[:, None] + 1.5 * rng.normal(size=(n, k, m))
        return signal, single.mean(axis=1), Noise.of_repetitions(single)

    def test_noiseless_signal_is_a_perfect_prediction(self):
        signal, y, noise = self.simulated()
        values = of_predictions(y, signal, noise)
        for name in CEILED:
            np.testing.assert_allclose(values[name], 1.0, atol=0.02)
        np.testing.assert_allclose(values["reliability"], 1.0 / (1.0 + 1.5**2 / 5), atol=0.01)
        assert (values["r"] < 0.85).all()
        assert (values["r2"] < 0.72).all()

    def test_imperfect_prediction_has_the_score_that_it_has_without_noise(self):
        signal, y, noise = self.simulated()
        p = signal + 0.8 * np.random.default_rng(1).normal(size=signal.shape)
        values, without = of_predictions(y, p, noise), of_predictions(signal, p)
        np.testing.assert_allclose(values["r_ceiled"], without["r"], atol=0.02)
        np.testing.assert_allclose(values["r2_er"], without["r"] ** 2, atol=0.03)
        np.testing.assert_allclose(values["feve"], without["r2"], atol=0.03)

    def test_unbiased_with_few_stimuli(self):
        """r²_ER is on average what it should be, r²/ρ is above it: chance adds to r²."""
        signal, y, noise = self.simulated(2, 40, 3000)
        p = signal + 1.5 * np.random.default_rng(3).normal(size=signal.shape)
        values = of_predictions(y, p, noise)
        expected = 1.0 / (1.0 + 1.5**2)
        assert np.isnan(values["r2_er"]).mean() < 0.001
        assert np.nanmean(values["r2_er"]) == pytest.approx(expected, abs=0.015)
        assert np.nanmean(values["r2_ceiled"]) > expected + 0.005

    def test_nothing_is_clipped(self):
        signal, y, noise = self.simulated(4, 20, 500)
        perfect = of_predictions(y, signal, noise)
        chance = of_predictions(y, np.random.default_rng(5).normal(size=y.shape), noise)
        for name in CEILED:
            assert np.nanmax(perfect[name]) > 1.0
            assert np.nanmin(chance[name]) < 0.0


class TestResamples:
    @given(seed=SEEDS)
    def test_counts_are_repeated_rows(self, seed):
        y, p, single = problem(seed)
        noise = Noise.of_repetitions(single)
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, 30, size=(5, 30))
        counts = np.stack([np.bincount(row, minlength=30) for row in rows])
        values = of_predictions(y, p, noise, counts)
        r = correlation(y, p, counts.astype(np.float64))
        for b, row in enumerate(rows):
            expected = of_predictions(y[row], p[row], noise.take(row))
            for name in expected:
                assert values[name].shape == (5, 4)
                np.testing.assert_allclose(values[name][b], expected[name], rtol=1e-7, atol=1e-9)
            np.testing.assert_allclose(r[b], expected["r"], rtol=1e-9)

    def test_every_stimulus_once(self):
        y, p, single = problem(6)
        noise = Noise.of_repetitions(single)
        values = of_predictions(y, p, noise, np.ones((1, 30)))
        for name, expected in of_predictions(y, p, noise).items():
            np.testing.assert_array_equal(values[name][0], expected)


class TestNothingToTell:
    """NaN, and no warning."""

    @pytest.fixture(autouse=True)
    def _no_warnings(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    @pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e4 / 3.0])
    def test_constant_site(self, value):
        y, p, single = problem(7)
        y[:, 1], single[:, :, 1] = value, value
        values = of_predictions(y, p, Noise.of_repetitions(single))
        for name in SCORES:
            assert np.isnan(values[name][1])
            assert np.isfinite(np.delete(values[name], 1)).all()
        assert np.isnan(correlation(y, p, np.ones((1, 30)))[0, 1])

    @pytest.mark.parametrize("value", [0.0, 0.1, 5.0])
    def test_constant_prediction(self, value):
        y, p, single = problem(8)
        p[:, 2] = value
        values = of_predictions(y, p, Noise.of_repetitions(single))
        assert np.isnan(values["r"][2])
        assert np.isnan(values["r2_er"][2])
        assert np.isfinite(np.delete(values["r"], 2)).all()
        assert np.isnan(correlation(y, p, np.ones((1, 30)))[0, 2])

    def test_one_stimulus_drawn_again_and_again(self):
        y, p, single = problem(9)
        counts = np.zeros((2, 30))
        counts[0, 3] = 30.0
        counts[1] = 1.0
        for values in (
            of_predictions(y, p, Noise.of_repetitions(single), counts)["r"],
            correlation(y, p, counts),
        ):
            assert np.isnan(values[0]).all()
            assert np.isfinite(values[1]).all()

    def test_no_stimulus_drawn(self):
        y, p, _ = problem(9)
        assert np.isnan(correlation(y, p, np.zeros((1, 30)))).all()

    def test_no_repetitions(self):
        y, p, single = problem(10)
        values = of_predictions(y, p, Noise.of_repetitions(single[:, :1]))
        for name in CEILED:
            assert np.isnan(values[name]).all()
        assert np.isfinite(values["r"]).all()

    def test_site_that_does_not_repeat(self):
        """As noisy as its averages differ: ρ is not above 0."""
        y, p, single = problem(11)
        noise = Noise.of_repetitions(single)
        noise.variance[:, 0] = 100.0
        values = of_predictions(y, p, noise)
        assert values["reliability"][0] < 0.0
        for name in CEILED:
            assert np.isnan(values[name][0])
            assert np.isfinite(values[name][1:]).all()
        assert np.isfinite(values["r"]).all()

    def test_medians(self):
        values = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan] * 4, [1.0, 4.0, 2.0, np.nan]])
        np.testing.assert_array_equal(over_sites(values), [2.0, np.nan, 2.0])
        assert over_sites(np.array([4.0, 1.0])) == 2.5


@given(
    seed=SEEDS,
    rows=st.integers(1, 4),
    m=st.integers(1, 9),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_median_over_sites(seed, rows, m, missing):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, m))
    values[rng.random((rows, m)) < missing] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmedian(values, axis=1)
    np.testing.assert_array_equal(over_sites(values), expected)
