"""Noise covariance and precision against scikit-learn and what they are defined to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import empirical_covariance, ledoit_wolf

from probe.similarity.noise import (
    METHODS,
    noise_covariance,
    noise_precision,
    residuals_from_repeats,
)


def residuals(seed, n=30, p=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + rng.normal(size=p)


any_method = pytest.mark.parametrize("method", METHODS)


class TestCovariance:
    @given(seed=st.integers(0, 10**6), n=st.integers(2, 40), p=st.integers(1, 9))
    def test_full_and_diagonal(self, seed, n, p):
        x = residuals(seed, n, p)
        full = noise_covariance(x, "full")
        np.testing.assert_allclose(full, np.cov(x.T).reshape(p, p), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(noise_covariance(x, "diagonal"), full.diagonal(), rtol=1e-12)
        np.testing.assert_allclose(
            noise_covariance(x, "full", dof=n), empirical_covariance(x), rtol=1e-10, atol=1e-12
        )

    @given(seed=st.integers(0, 10**6), n=st.integers(2, 40), p=st.integers(1, 9))
    def test_ledoit_wolf_is_that_of_scikit_learn(self, seed, n, p):
        x = residuals(seed, n, p)
        ours = noise_covariance(x, "ledoit-wolf", dof=n)
        np.testing.assert_allclose(ours, ledoit_wolf(x)[0], rtol=1e-9, atol=1e-11)
        # Elsewhere only the scale is another.
        other = noise_covariance(x, "ledoit-wolf", dof=3)
        np.testing.assert_allclose(other, ours * n / 3, rtol=1e-12)

    def test_shrinkage_diagonal_by_loops(self):
        """Schäfer & Strimmer 2005: λ* = Σ Var(r_ij) / Σ r_ij² over i ≠ j."""
        x = residuals(0, 25, 5)
        n, p = x.shape
        z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
        error = size = 0.0
        for i in range(p):
            for j in range(p):
                if i != j:
                    w = z[:, i] * z[:, j]
                    # With n − 1 where they have n: the difference is of the order 1 / n.
                    error += n / (n - 1) ** 3 * (np.sum(w**2) - np.sum(w) ** 2 / (n - 1))
                    size += (w.sum() / (n - 1)) ** 2
        shrunk = np.cov(x.T) * np.where(np.eye(p), 1.0, 1.0 - error / size)
        assert 0.0 < error / size < 1.0
        np.testing.assert_allclose(noise_covariance(x), shrunk, rtol=1e-12)

    @any_method
    @given(seed=st.integers(0, 10**6), p=st.integers(1, 30))
    def test_positive_definite_and_symmetric(self, method, seed, p):
        x = residuals(seed, 40, p)
        found = noise_covariance(x, method)
        if method == "diagonal":
            found = np.diag(found)
        np.testing.assert_array_equal(found, found.T)
        assert np.linalg.eigvalsh(found)[0] > 0.0
        np.testing.assert_allclose(found.trace(), x.var(axis=0, ddof=1).sum(), rtol=1e-10)

    def test_independent_noise_is_shrunk_to_its_diagonal(self):
        x = np.random.default_rng(0).normal(size=(20, 200))
        shrunk = noise_covariance(x)
        off = ~np.eye(200, dtype=bool)
        assert np.abs(shrunk[off]).max() < 0.1 * np.abs(noise_covariance(x, "full")[off]).max()


class TestPrecision:
    @any_method
    @given(seed=st.integers(0, 10**6), p=st.integers(1, 9))
    def test_inverse(self, method, seed, p):
        x = residuals(seed, 40, p)
        covariance, precision = noise_covariance(x, method), noise_precision(x, method)
        if method == "diagonal":
            np.testing.assert_allclose(precision * covariance, 1.0, rtol=1e-12)
        else:
            np.testing.assert_allclose(precision, np.linalg.inv(covariance), rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(precision, precision.T, rtol=1e-12)

    def test_unlike_scales_are_not_singular(self):
        x = residuals(0, 40, 4) * [1e-9, 1.0, 1e3, 1e9]
        for method in ("full", "shrinkage-diagonal"):
            found = noise_precision(x, method) @ noise_covariance(x, method)
            np.testing.assert_allclose(found.diagonal(), 1.0, rtol=1e-9)

    @any_method
    def test_fewer_residuals_than_neuroids(self, method):
        x = residuals(0, 6, 6)
        if method == "full":
            with pytest.raises(ValueError, match=r"5 degrees.*singular: use method='shrinkage-dia"):
                noise_precision(x, method)
            with pytest.raises(ValueError, match=r"3 degrees.*singular"):
                noise_precision(residuals(0, 20, 6), method, dof=3)
        else:
            assert np.isfinite(noise_precision(x, method)).all()

    def test_a_neuroid_twice(self):
        x = residuals(0, 40, 3)
        with pytest.raises(ValueError, match="singular: use method='shrinkage-diagonal'"):
            noise_precision(np.column_stack([x, x[:, 0]]), "full")

    @any_method
    def test_a_neuroid_without_noise(self, method):
        x = residuals(0, 40, 4)
        x[:, 2] = 0.1
        if method == "ledoit-wolf":  # lends it some of the others' variance
            assert np.isfinite(noise_precision(x, method)).all()
        else:
            with pytest.raises(ValueError, match=r"neuroid 2 \(1 of 4\) has no noise"):
                noise_precision(x, method)


class TestResiduals:
    def test_by_loops(self):
        rng = np.random.default_rng(0)
        responses = rng.normal(size=(5, 4, 3))
        responses[1, 2:] = np.nan
        responses[2, 1:] = np.nan  # once: no residual
        responses[3, 0, 1] = np.nan  # in one neuroid only: left out
        found, dof = residuals_from_repeats(responses)
        kept = [[0, 1, 2, 3], [0, 1], [], [1, 2, 3], [0, 1, 2, 3]]
        expected = [responses[s, k] - responses[s, k].mean(axis=0) for s, k in enumerate(kept) if k]
        np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-14)
        assert dof == 13 - 4

    def test_the_variance_of_noise_is_found(self):
        rng = np.random.default_rng(0)
        signal = 10.0 * rng.normal(size=(300, 1, 2))
        found, dof = residuals_from_repeats(signal + rng.normal(size=(300, 3, 2)) * [1.0, 2.0])
        assert found.shape == (900, 2)
        np.testing.assert_allclose(noise_covariance(found, "diagonal", dof), [1.0, 4.0], rtol=0.1)

    def test_errors(self):
        with pytest.raises(ValueError, match="expected"):
            residuals_from_repeats(np.ones((3, 2)))
        with pytest.raises(ValueError, match="no stimulus has two complete repetitions"):
            residuals_from_repeats(np.ones((3, 1, 2)))
        with pytest.raises(ValueError, match="infinite"):
            residuals_from_repeats(np.full((3, 2, 2), np.inf))


class TestErrors:
    @pytest.mark.parametrize("estimate", [noise_covariance, noise_precision])
    def test_bad_input(self, estimate):
        with pytest.raises(ValueError, match="'lw': expected one of shrinkage-diagonal, ledoit"):
            estimate(residuals(0), "lw")
        for shape in [(1, 4), (4, 0), (4,), (2, 2, 2)]:
            with pytest.raises(ValueError, match="expected"):
                estimate(np.ones(shape))
        with pytest.raises(ValueError, match="NaN"):
            estimate(np.full((3, 3), np.nan))
        with pytest.raises(ValueError, match="dof 0"):
            estimate(residuals(0), dof=0)
