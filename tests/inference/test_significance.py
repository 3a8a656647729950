"""p-values: closed forms, SciPy, and what must never happen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.inference.significance import (
    bootstrap_test,
    permutation_test,
    sign_flip_test,
    t_test,
)

RNG = np.random.default_rng


def test_t():
    values = RNG(0).normal(0.4, 1.0, size=(5, 9))
    se, dof = stats.sem(values, axis=1), np.full(5, 8.0)
    for two_sided, alternative in ((True, "two-sided"), (False, "greater")):
        expected = stats.ttest_1samp(values, 0.0, axis=1, alternative=alternative).pvalue
        found = t_test(values.mean(axis=1), se, dof, two_sided=two_sided)
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_t_of_two_models_that_are_one():
    """No difference, and no variance of it, is no evidence of a difference."""
    p = t_test(np.array([0.0, 1e-17]), np.zeros(2), np.full(2, 9.0), two_sided=True)
    np.testing.assert_array_equal(p, 1.0)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), shift=st.floats(-3, 3), two=st.booleans())
def test_bootstrap_is_a_probability(seed, n, shift, two):
    """Never 0, and never above 1, as rsatoolbox's can be."""
    p = bootstrap_test(RNG(seed).normal(shift, 1.0, size=(n, 4)), two_sided=two)
    assert ((p > 0.0) & (p <= 1.0)).all()


def test_bootstrap_counts():
    resampled = np.array([[0.1], [0.2], [-0.1], [np.nan]])
    assert bootstrap_test(resampled, two_sided=False)[0] == pytest.approx(2 / 4)
    assert bootstrap_test(resampled, two_sided=True)[0] == pytest.approx(3 / 4)
    assert np.isnan(bootstrap_test(np.full((3, 1), np.nan), two_sided=True)[0])


def test_what_has_no_score_counts_against_the_model():
    by_chance = np.array([[np.nan, 0.1], [0.3, 0.1], [0.2, 0.1]])
    found = permutation_test(np.array([0.25, np.nan]), by_chance)
    assert found[0] == pytest.approx(3 / 4)
    assert np.isnan(found[1])


def test_permutation_counts_what_is_as_good():
    by_chance = np.array([[0.1, 0.5], [0.3, 0.5 - 1e-15], [0.2, 0.6]])
    np.testing.assert_allclose(permutation_test(np.array([0.25, 0.5]), by_chance), [2 / 4, 1.0])


@pytest.mark.parametrize("two_sided", [True, False])
def test_sign_flips_are_those_of_scipy(two_sided):
    values = RNG(0).normal(0.5, 1.0, size=(3, 8))
    found = sign_flip_test(values, 255, RNG(0), two_sided=two_sided)
    for row, p in zip(values, found, strict=True):
        expected = stats.permutation_test(
            (row,), np.mean, permutation_type="samples", n_resamples=np.inf,
            alternative="two-sided" if two_sided else "greater",
        ).pvalue  # fmt: skip
        # SciPy doubles the smaller tail, which is the same for a symmetric distribution.
        assert p == pytest.approx(expected, abs=1e-12)


def test_sign_flips_at_random_agree_with_all_of_them():
    values = RNG(1).normal(0.3, 1.0, size=(4, 12))
    exact = sign_flip_test(values, 4095, RNG(0), two_sided=True)
    drawn = sign_flip_test(values, 3000, RNG(0), two_sided=True)
    np.testing.assert_allclose(drawn, exact, atol=0.03)


def test_few_subjects_cannot_be_significant():
    p = sign_flip_test(np.full((1, 4), 0.9), 1000, RNG(0), two_sided=False)
    assert p[0] == 1 / 16
    assert np.isnan(sign_flip_test(np.array([[1.0, np.nan]]), 100, RNG(0), two_sided=False)[0])
