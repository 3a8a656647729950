"""Variances over stimuli and subjects: closed forms, rsatoolbox's formula, worlds with a truth."""

from __future__ import annotations

import numpy as np
import pytest
from rsatoolbox.util.inference_util import _dual_bootstrap

from probe.inference.resampling import bootstrap_counts
from probe.inference.variance import (
    _bootstrap_orders,
    contrast_values,
    schuett2023_variance,
    stimulus_and_subject_variance,
    stimulus_variance,
    subject_variance,
    variance_over_samples,
)


def u_statistic(values, pairs, counts):
    """Mean over pairs of distinct units of h_ij = v_i + v_j + w_ij, in resamples (B, n)."""
    i, j = np.triu_indices(len(values), 1)
    kernel = (values[:, None] + values)[i, j] + pairs[i, j]
    weights = counts[:, i] * counts[:, j]
    return weights @ kernel / weights.sum(axis=1)


@pytest.mark.parametrize(("first", "second"), [(1.0, 0.0), (0.0, 1.0), (1.0, 3.0)])
@pytest.mark.parametrize("n", [10, 25])
def test_a_statistic_of_known_variance(first, second, n):
    """Var = 4 V(v) / n + 2 V(w) / (n (n − 1)): the estimate is unbiased for both components."""
    rng = np.random.default_rng(0)
    counts = bootstrap_counts(n, 150, rng)
    estimates, corrected = [], []
    for _ in range(600):
        values = first * rng.normal(size=n)
        pairs = second * rng.normal(size=(n, n))
        left_out = u_statistic(values, pairs, 1 - np.eye(n, dtype=int))
        resampled = u_statistic(values, pairs, counts)
        estimates.append(stimulus_variance(left_out, resampled, counts, clip=False))
        corrected.append(variance_over_samples(resampled) * n / (n - 1))
    truth = 4.0 * first**2 / n + 2.0 * second**2 / (n * (n - 1))
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 3.5 * error
    if first == 0.0:  # what the bootstrap makes of it
        assert np.mean(corrected) > 2.5 * truth


def test_orders_of_the_bootstrap_by_hand():
    n = 9
    counts = bootstrap_counts(n, 40, np.random.default_rng(0))
    total = n**2 - (counts**2).sum(axis=1, keepdims=True)
    i, j = np.triu_indices(n, 1)
    first = n * (counts * (n - counts) / total).var(axis=0, ddof=1).sum()
    second = n * (n - 1) / 2 * (2 * counts[:, i] * counts[:, j] / total).var(axis=0, ddof=1).sum()
    assert _bootstrap_orders(counts) == pytest.approx((first, second), rel=1e-12)


def test_clipping_keeps_to_the_jackknife():
    rng = np.random.default_rng(0)
    counts = bootstrap_counts(12, 30, rng)
    left_out, resampled = rng.normal(size=(12, 500)), rng.normal(size=(30, 500))
    resampled *= rng.uniform(0, 10, 500)
    variance = stimulus_variance(left_out, resampled, counts)
    jackknife = left_out.var(axis=0) * 11
    j2 = 2 * 11 / 10
    assert (variance <= jackknife * (1 + 1e-12)).all()
    assert (variance >= jackknife / j2 * (1 - 1e-12)).all()
    assert np.isclose(variance, jackknife).any()
    assert np.isclose(variance, jackknife / j2).any()


def test_subjects():
    values = np.random.default_rng(0).normal(size=(3, 7))
    np.testing.assert_allclose(
        subject_variance(values), values.std(axis=1, ddof=1) ** 2 / 7, rtol=1e-12
    )


@pytest.mark.parametrize(("main", "interaction"), [(0.0, 1.0), (0.3, 1.0), (1.0, 0.2)])
def test_both_factors(main, interaction):
    """Scores with effects of stimuli, of subjects, and of both together, of known variances."""
    n, n_subjects, rng = 16, 6, np.random.default_rng(1)
    counts = bootstrap_counts(n, 100, rng)
    everything = np.ones((1, n), dtype=int)
    estimates = []
    for _ in range(500):
        shared, own = rng.normal(size=n), interaction * rng.normal(size=(n_subjects, n))
        of_subjects = main * rng.normal(size=n_subjects)
        by_subject, left_out, resampled = (
            np.stack(
                [of_subjects[s] + c @ (shared + own[s]) / c.sum(axis=1) for s in range(n_subjects)],
                axis=-1,
            )[:, None]
            for c in (everything, 1 - np.eye(n, dtype=int), counts)
        )
        variance, dof = stimulus_and_subject_variance(by_subject[0], left_out, resampled, counts)
        estimates.append(variance[0])
        assert 1.0 <= dof[0] <= n + n_subjects
    truth = 1 / n + main**2 / n_subjects + interaction**2 / (n * n_subjects)
    # It may not be below the part of the stimuli, which makes it a little too large.
    assert np.mean(estimates) == pytest.approx(truth, rel=0.12)


def test_rsatoolbox_dual_bootstrap():
    rng = np.random.default_rng(0)
    of_three = rng.uniform(0.0, 1.0, size=(3, 200))
    of_three[0] += 0.5
    ours = schuett2023_variance(*of_three, 6, 40)
    np.testing.assert_allclose(ours, _dual_bootstrap(of_three, 6, 40), rtol=1e-12)


def test_contrasts_of_what_is_unknown():
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    contrasts = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(contrast_values(values, contrasts), [[-2, np.nan], [-2, 5]])
    several = np.repeat(values[..., None], 2, axis=2)
    np.testing.assert_array_equal(
        contrast_values(several, contrasts), np.repeat([[[-2], [np.nan]], [[-2], [5]]], 2, axis=2)
    )


def test_variance_of_what_is_known():
    values = np.array([[1.0, np.nan, np.nan], [2.0, np.nan, 1.0], [4.0, np.nan, 1.5]])
    found = variance_over_samples(values)
    assert found[0] == pytest.approx(np.var([1.0, 2.0, 4.0], ddof=1))
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(0.125)
