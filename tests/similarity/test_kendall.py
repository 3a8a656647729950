"""Kendall's tau against its definition, SciPy, and pairs written out as often as they occur."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rsatoolbox.inference import bootstrap_sample_pattern
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as rsatoolbox_compare
from scipy import stats

from probe.similarity import kendall as module
from probe.similarity.kendall import kendall
from probe.similarity.ranks import dense_ranks

THEIRS = {"a": "tau-a", "b": "tau-b"}


def distances(seed, n_rdms, n=8, levels=None):
    values = np.random.default_rng(seed).random((n_rdms, n * (n - 1) // 2))
    return values if levels is None else np.floor(levels * values) / 7.0


def tau(x, y, variant="a", weights=None):
    return kendall(dense_ranks(x), dense_ranks(y), weights, variant)


def definition(x, y, variant):
    """All comparisons, one by one."""
    first, second = np.triu_indices(len(x), 1)
    a, b = np.sign(x[first] - x[second]), np.sign(y[first] - y[second])
    if variant == "a":
        return (a @ b) / len(first)
    return (a @ b) / np.sqrt((a @ a) * (b @ b))


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile before Hypothesis takes the time."""
    tau(*distances(0, 2))


inputs = {
    "seed": st.integers(0, 10**6),
    "variant": st.sampled_from("ab"),
    "levels": st.sampled_from([None, 2, 5]),
}


class TestDefinition:
    def test_worked_example(self):
        x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
        assert tau(x, y, "a") == pytest.approx(1 / 3)
        assert tau(x, y, "b") == pytest.approx(1 / 3)
        # One of three comparisons is tied in x: it is one with which y does not agree, or none.
        x, y = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])
        assert tau(x, y, "a") == pytest.approx(2 / 3)
        assert tau(x, y, "b") == pytest.approx(2 / np.sqrt(6))

    @given(n=st.integers(3, 9), **inputs)
    def test_every_comparison(self, seed, variant, levels, n):
        x, y = distances(seed, 3, n, levels), distances(seed + 1, 2, n, levels)
        assume((np.ptp(x, axis=1) > 0).all() and (np.ptp(y, axis=1) > 0).all())
        expected = [[definition(a, b, variant) for b in y] for a in x]
        np.testing.assert_allclose(tau(x, y, variant), expected, rtol=0, atol=1e-14)

    @given(seed=st.integers(0, 10**6), levels=st.sampled_from([None, 3, 20]))
    def test_tau_b_equals_scipy(self, seed, levels):
        x, y = distances(seed, 2, 15, levels)
        assume(np.ptp(x) > 0 and np.ptp(y) > 0)
        assert tau(x, y, "b") == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-14)

    def test_tau_a_is_its_mean_over_broken_ties(self):
        y = np.array([3.0, 1.0, 2.0, 4.0])
        broken = [tau(np.array(x), y) for x in ([0.0, 1, 2, 3], [1.0, 0, 2, 3])]
        assert tau(np.array([0.0, 0.0, 1.0, 2.0]), y) == pytest.approx(np.mean(broken))

    @given(**inputs)
    def test_invariances(self, seed, variant, levels):
        x, y = distances(seed, 2, levels=levels), distances(seed + 1, 3, levels=levels)
        found = tau(x, y, variant)
        order = np.random.default_rng(seed).permutation(x.shape[1])
        np.testing.assert_array_equal(tau(x[:, order], y[:, order], variant), found)
        np.testing.assert_array_equal(tau(y, x, variant), found.T)
        np.testing.assert_array_equal(tau(-x, y, variant), -found)
        np.testing.assert_array_equal(tau(np.exp(x), y, variant), found)

    @pytest.mark.parametrize("variant", "ab")
    def test_with_itself(self, variant):
        x = distances(0, 1)
        assert tau(x, x, variant) == pytest.approx(1.0, abs=1e-15)
        assert tau(x, -x, variant) == pytest.approx(-1.0, abs=1e-15)


class TestWeights:
    @given(**inputs)
    def test_equal_pairs_written_out(self, seed, variant, levels):
        x, y = distances(seed, 2, 7, levels), distances(seed + 1, 2, 7, levels)
        weights = np.random.default_rng(seed + 2).integers(0, 4, x.shape[1])
        many_x, many_y = (np.repeat(v, weights, axis=1) for v in (x, y))
        assume((np.ptp(many_x, axis=1) > 0).all() and (np.ptp(many_y, axis=1) > 0).all())
        expected = [[definition(a, b, variant) for b in many_y] for a in many_x]
        np.testing.assert_allclose(tau(x, y, variant, weights), expected, rtol=0, atol=1e-14)

    @pytest.mark.parametrize("variant", "ab")
    def test_default_is_once(self, variant):
        x, y = distances(0, 3, levels=4), distances(1, 2)
        once = np.ones(x.shape[1], dtype=np.int64)
        np.testing.assert_array_equal(tau(x, y, variant, once), tau(x, y, variant))

    def test_many_conditions_do_not_overflow(self):
        """The counts of 60,000 conditions, in the weights of a few pairs."""
        weights = np.full(3, 600_000_000)
        x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
        assert tau(x, y, "a", weights) == pytest.approx(2 / 9, rel=1e-8)
        assert tau(x, y, "b", weights) == pytest.approx(1 / 3, rel=1e-12)
        with pytest.raises(ValueError, match=r"3.6e\+09 distances are too many"):
            tau(x, y, "a", 2 * weights)

    def test_nothing_to_compare(self):
        x, y = distances(0, 2)
        one = np.zeros(len(x), dtype=np.int64)
        assert np.isnan([tau(x, y, v, one) for v in "ab"]).all()
        one[3] = 1
        assert np.isnan([tau(x, y, v, one) for v in "ab"]).all()

    def test_all_tied(self):
        x, y = np.zeros(28), distances(1, 1)
        assert tau(x, y, "a") == 0.0
        assert np.isnan(tau(x, y, "b"))
        # Of a category model, a resample may leave one category.
        x[:3] = 1.0
        weights = (x == 0.0).astype(np.int64)
        assert tau(x, y, "a", weights) == 0.0
        assert np.isnan(tau(x, y, "b", weights))


class TestLargeProblems:
    @pytest.mark.parametrize("levels", [None, 2, 300])
    def test_hundred_thousand_pairs(self, levels):
        x, y = distances(0, 2, 450, levels)
        y = np.round(y + 0.5 * x, 6)
        assert tau(x, y, "b") == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-13)


class TestAgainstRsatoolbox:
    @pytest.mark.parametrize("levels", [None, 2, 6])
    @pytest.mark.parametrize("variant", "ab")
    def test_values(self, levels, variant):
        x, y = distances(0, 3, 20, levels), distances(1, 4, 20, 6)
        theirs = rsatoolbox_compare(RDMs(x), RDMs(y), THEIRS[variant])
        np.testing.assert_allclose(tau(x, y, variant), theirs, rtol=0, atol=1e-14)

    @pytest.mark.parametrize("levels", [None, 2, 6])
    @pytest.mark.parametrize("variant", "ab")
    def test_bootstrap_samples(self, levels, variant, monkeypatch):
        n = 15
        models, data = distances(0, 3, n, levels), distances(1, 2, n)
        rng = np.random.default_rng(7)
        # Their sampler draws from NumPy's global state: here from ours.
        monkeypatch.setattr(
            np.random, "randint", lambda low, high, size: rng.integers(low, high, size)
        )
        for _ in range(10):
            sample, drawn = bootstrap_sample_pattern(RDMs(data))
            assert np.isnan(sample.dissimilarities).any()
            of_models = RDMs(models).subsample_pattern("index", drawn)
            theirs = rsatoolbox_compare(of_models, sample, THEIRS[variant])
            counts = np.bincount(drawn, minlength=n)
            weights = np.outer(counts, counts)[np.triu_indices(n, 1)]
            np.testing.assert_allclose(
                tau(models, data, variant, weights), theirs, rtol=0, atol=1e-14
            )


class TestImplementation:
    @pytest.mark.parametrize("levels", [None, 3])
    def test_loop_is_the_same_before_it_is_compiled(self, levels):
        x, y = (dense_ranks(distances(seed, 2, levels=levels)) for seed in (0, 1))
        weights = np.random.default_rng(0).integers(0, 3, x.shape[1])
        counts = [np.zeros(shape, dtype=np.int64) for shape in ((2, 2), 2, 2)]
        everything = np.ones((len(x), len(y)), dtype=bool)
        module._compare(x, y, weights, everything, *counts)
        comparisons = weights.sum() * (weights.sum() - 1) // 2
        np.testing.assert_array_equal(counts[0] / comparisons, kendall(x, y, weights, "a"))

    def test_only_what_is_asked(self):
        x, y = dense_ranks(distances(0, 3)), dense_ranks(distances(1, 2))
        weights = np.random.default_rng(0).integers(0, 3, x.shape[1])
        asked = np.array([[True, False], [False, True], [True, True]])
        scores = kendall(x, y, weights, "b", asked)
        everything = kendall(x, y, weights, "b")
        np.testing.assert_array_equal(scores[asked], everything[asked])
        assert np.isnan(scores[~asked]).all()

    def test_input_is_left_alone(self):
        x, weights = dense_ranks(distances(0, 2)), np.arange(28)
        before = x.copy(), weights.copy()
        kendall(x, x, weights, "b")
        np.testing.assert_array_equal(x, before[0])
        np.testing.assert_array_equal(weights, before[1])

    def test_errors(self):
        x = dense_ranks(distances(0, 2))
        with pytest.raises(ValueError, match="variant 'c' of Kendall's tau: expected a or b"):
            kendall(x, x, None, "c")
        with pytest.raises(ValueError, match="28 and 15 pairs"):
            kendall(x, dense_ranks(distances(0, 2, 6)), None, "a")
        with pytest.raises(ValueError, match="no negative weight"):
            kendall(x, x, np.arange(28) - 1, "a")
        with pytest.raises(ValueError, match="not dense ranks"):
            kendall(x, distances(0, 2), None, "a")
