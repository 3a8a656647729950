"""Kernel partial least squares against scikit-learn, which has the patterns themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression

from probe.encoding import pls
from probe.errors import ProbeError

N_TEST = 15


def problem(seed, n, p, m, noise=1.0, shared=0.0):
    """Patterns about a mean, and responses that follow them; the last `N_TEST` are held out.

    With `shared`, sites have this share of their variance in common.
    """
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(n + N_TEST, p)) * np.linspace(1.0, 0.1, p) + rng.normal(size=p)
    weights = np.sqrt(1.0 - shared) * rng.normal(size=(p, m))
    weights += np.sqrt(shared) * rng.normal(size=(p, 1))
    responses = patterns @ weights / np.sqrt(p) + noise * rng.normal(size=(n + N_TEST, m)) + 5.0
    return patterns, responses


def halves(patterns):
    n = len(patterns) - N_TEST
    return np.arange(n), np.arange(n, len(patterns))


def by_sklearn(patterns, responses, split, n_components):
    train, test = split
    model = PLSRegression(n_components, scale=False).fit(patterns[train], responses[train])
    return model.predict(patterns[test]).reshape(len(test), -1)


def predictions(patterns, responses, split, n_components):
    """Predictions of one split, and the number of components."""
    of_splits, fitted = pls.predict_splits(patterns @ patterns.T, responses, [split], n_components)
    return of_splits[0], fitted[0]


def assert_equal(values, expected, responses, atol=1e-9):
    """Equal to a share of each site's SD."""
    deviation = responses.std(axis=0)
    np.testing.assert_allclose(
        (values - expected) / np.where(deviation > 0.0, deviation, 1.0), 0.0, atol=atol
    )


class TestAgainstScikitLearn:
    @given(
        seed=st.integers(0, 10**6),
        n=st.integers(12, 40),
        p=st.integers(3, 120),
        m=st.integers(1, 60),
        n_components=st.integers(1, 10),
        noise=st.sampled_from([0.1, 1.0, 10.0]),
    )
    def test_any_size(self, seed, n, p, m, n_components, noise):
        patterns, responses = problem(seed, n, p, m, noise)
        split, n_components = halves(patterns), min(n_components, p)
        expected = by_sklearn(patterns, responses, split, n_components)
        values, fitted = predictions(patterns, responses, split, n_components)
        assert fitted == n_components
        assert_equal(values, expected, responses)

    @pytest.mark.parametrize("m", [1, 8, 50, 100])
    @pytest.mark.parametrize("p", [30, 500])
    def test_twenty_five_components(self, p, m):
        patterns, responses = problem(1, 80, p, m)
        split = halves(patterns)
        expected = by_sklearn(patterns, responses, split, 25)
        values, fitted = predictions(patterns, responses, split, 25)
        assert fitted == 25
        assert_equal(values, expected, responses)

    @pytest.mark.parametrize("shared", [0.9, 0.999, 1.0])
    def test_correlated_sites(self, shared):
        patterns, responses = problem(2, 60, 200, 12, 0.01, shared)
        split = halves(patterns)
        expected = by_sklearn(patterns, responses, split, 15)
        values, _ = predictions(patterns, responses, split, 15)
        assert_equal(values, expected, responses)

    @pytest.mark.parametrize("m", [6, 40])
    def test_power_iterations_stop_at_the_same_step(self, m):
        """Two nearly equal covariances: where iterations stop decides what is predicted."""
        patterns, responses = problem(3, 30, 60, m, 10.0)
        split = halves(patterns)
        model = PLSRegression(12, scale=False).fit(patterns[split[0]], responses[split[0]])
        assert max(model.n_iter_) > 60
        further = PLSRegression(12, scale=False, tol=1e-14, max_iter=100_000)
        further = further.fit(patterns[split[0]], responses[split[0]]).predict(patterns[split[1]])
        values, _ = predictions(patterns, responses, split, 12)
        assert_equal(values, model.predict(patterns[split[1]]), responses)
        assert np.abs(values - further).max() > 1e-4

    def test_most_steps(self):
        """Two covariances nearly as large as each other: w still moves after 500 steps."""
        rng = np.random.default_rng(0)
        patterns = np.linalg.qr(np.column_stack([np.ones(40), rng.normal(size=(40, 4))]))[0][:, 1:]
        angle = np.deg2rad(75.0)
        turned = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        responses = patterns[:, :2] * [1.0, 0.998] @ turned
        with pytest.warns(match="Maximum number of iterations"):
            model = PLSRegression(1, scale=False).fit(patterns, responses)
        assert model.n_iter_ == [pls.MAX_STEPS]
        values = patterns @ patterns.T @ pls.fit(patterns @ patterns.T, responses, 1).coefficients
        assert_equal(values, model.predict(patterns), responses)


class TestRank:
    def repeated(self, m):
        """Twenty different stimuli, ten of them twice, with responses that differ."""
        patterns, responses = problem(4, 30, 300, m)
        patterns[20:30] = patterns[:10]
        return patterns, responses, halves(patterns)

    @pytest.mark.parametrize("m", [2, 5, 40])
    def test_repeated_stimuli(self, m):
        patterns, responses, split = self.repeated(m)
        values, fitted = predictions(patterns, responses, split, 25)
        assert fitted == 19
        assert_equal(values, by_sklearn(patterns, responses, split, 19), responses, atol=1e-8)

    def test_one_site_is_done_earlier(self):
        """What is left of it are the differences between equal stimuli."""
        patterns, responses, split = self.repeated(1)
        values, fitted = predictions(patterns, responses, split, 25)
        assert 10 < fitted < 19
        assert_equal(values, by_sklearn(patterns, responses, split, fitted), responses)
        assert_equal(values, by_sklearn(patterns, responses, split, 19), responses, atol=1e-5)

    @pytest.mark.parametrize("m", [1, 5, 40])
    def test_scikit_learn_goes_on(self, m):
        patterns, responses, split = self.repeated(m)
        values, _ = predictions(patterns, responses, split, 25)
        assert np.abs(values - 5.0).max() < 20.0
        assert np.abs(by_sklearn(patterns, responses, split, 25)).max() > 1e6

    @given(seed=st.integers(0, 10**6), n=st.integers(5, 25), p=st.integers(1, 40))
    def test_number_of_components(self, seed, n, p):
        patterns, responses = problem(seed, n, p, 3)
        split = halves(patterns)
        values, fitted = predictions(patterns, responses, split, 50)
        assert fitted == min(n - 1, p)
        # As many as there are: least squares.
        expected = by_least_squares(patterns, responses, split)
        assert_equal(values, expected, responses, atol=1e-5)

    def test_dimensions_with_one_variance(self):
        """One component holds all that the patterns have to do with one site."""
        basis = np.linalg.qr(
            np.column_stack([np.ones(20), np.random.default_rng(0).normal(size=(20, 6))])
        )[0][:, 1:]
        responses = basis @ np.arange(1.0, 7.0)[:, None] + 2.0
        fitted = pls.fit(basis @ basis.T, responses, 6)
        assert fitted.n_components == 1
        gram = basis @ basis.T
        np.testing.assert_allclose(gram @ fitted.coefficients + 2.0, responses, atol=1e-12)

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e5])
    def test_constant_patterns(self, value):
        patterns = np.full((12, 7), value)
        responses = np.random.default_rng(0).normal(size=(12, 3))
        fitted = pls.fit(patterns @ patterns.T, responses, 4)
        assert fitted.n_components == 0
        np.testing.assert_array_equal(fitted.coefficients, np.zeros((12, 3)))
        np.testing.assert_array_equal(fitted.intercept, responses.mean(axis=0))


def by_least_squares(patterns, responses, split):
    train, test = split
    mean, intercept = patterns[train].mean(axis=0), responses[train].mean(axis=0)
    weights = np.linalg.pinv(patterns[train] - mean, rcond=1e-10) @ (responses[train] - intercept)
    return (patterns[test] - mean) @ weights + intercept


class TestSites:
    @pytest.mark.parametrize("where", [0, 3, -1])
    @pytest.mark.parametrize("value", [0.0, 7.3, 1e4 / 3.0])
    def test_constant_site(self, where, value):
        patterns, responses = problem(5, 40, 90, 6)
        responses[:, where] = value
        split = halves(patterns)
        values, fitted = predictions(patterns, responses, split, 10)
        assert fitted == 10
        np.testing.assert_allclose(values[:, where], value, rtol=1e-14, atol=1e-14)
        others = np.delete(responses, where, axis=1)
        expected = by_sklearn(patterns, others, split, 10)
        assert_equal(np.delete(values, where, axis=1), expected, others)

    def test_constant_sites_only(self):
        patterns, responses = problem(5, 20, 30, 3)
        responses[:] = [1.0, 0.1, -3.0]
        values, fitted = predictions(patterns, responses, halves(patterns), 10)
        assert fitted == 0
        np.testing.assert_allclose(values, responses[:N_TEST], rtol=1e-15)

    def test_explained_site(self):
        """The first site is used up by the first component: the second starts at another."""
        rng = np.random.default_rng(6)
        basis = np.linalg.qr(np.column_stack([np.ones(30), rng.normal(size=(30, 5))]))[0][:, 1:]
        patterns = basis * [5.0, 4.0, 3.0, 2.0, 1.0]
        responses = basis[:, [0, 1, 2]] * [3.0, 1.0, 1.0]
        fitted = pls.fit(patterns @ patterns.T, responses, 5)
        assert fitted.n_components == 3
        np.testing.assert_allclose(
            patterns @ patterns.T @ fitted.coefficients, responses, atol=1e-12
        )

    @given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-12, 1e-3, 1e9]))
    def test_units(self, seed, scale):
        """Predictions follow the unit of responses, and do not depend on that of patterns."""
        patterns, responses = problem(seed, 25, 40, 4)
        split = halves(patterns)
        values, _ = predictions(patterns, responses, split, 8)
        scaled, _ = predictions(patterns, scale * responses, split, 8)
        assert_equal(scaled / scale, values, responses)
        scaled, _ = predictions(scale * patterns, responses, split, 8)
        assert_equal(scaled, values, responses)


class TestModel:
    def test_weights_of_features(self):
        patterns, responses = problem(7, 40, 60, 5)
        model = pls.fit(patterns @ patterns.T, responses, 8)
        theirs = PLSRegression(8, scale=False).fit(patterns, responses)
        weights = (patterns - patterns.mean(axis=0)).T @ model.coefficients
        np.testing.assert_allclose(weights, theirs.coef_.T, atol=1e-10)
        np.testing.assert_allclose(model.coefficients.sum(axis=0), 0.0, atol=1e-12)
        assert model.n_components == 8

    @given(seed=st.integers(0, 10**6))
    def test_centred_or_not(self, seed):
        patterns, responses = problem(seed, 20, 30, 3)
        centred = patterns - patterns.mean(axis=0)
        first = pls.fit(patterns @ patterns.T, responses, 5).coefficients
        second = pls.fit(centred @ centred.T, responses, 5).coefficients
        np.testing.assert_allclose(first, second, atol=1e-9 * np.abs(first).max())

    def test_splits_are_fits_of_their_own(self):
        patterns, responses = problem(8, 45, 70, 4)
        order = np.random.default_rng(0).permutation(len(patterns))
        splits = [(order[10:], order[:10]), (order[:30], order[40:])]
        values, fitted = pls.predict_splits(patterns @ patterns.T, responses, splits, 6)
        assert fitted == [6, 6]
        for split, of_split in zip(splits, values, strict=True):
            assert_equal(of_split, by_sklearn(patterns, responses, split, 6), responses)

    def test_input_is_left_alone(self):
        patterns, responses = problem(9, 20, 30, 3)
        gram = patterns @ patterns.T
        before = gram.copy(), responses.copy()
        pls.fit(gram, responses, 5)
        pls.predict_splits(gram, responses, [halves(patterns)], 5)
        np.testing.assert_array_equal(gram, before[0])
        np.testing.assert_array_equal(responses, before[1])


class TestErrors:
    @pytest.mark.parametrize(
        ("n", "shape", "n_components", "message"),
        [
            (10, (10, 2), 0, "0 components: expected 1 or more"),
            (10, (9, 2), 5, r"shape \(10, 10\) and responses of shape \(9, 2\)"),
            (10, (10,), 5, r"responses of shape \(10,\)"),
            (1, (1, 2), 5, "1 training stimuli: expected 2 or more"),
        ],
    )
    def test_sizes(self, n, shape, n_components, message):
        with pytest.raises(ProbeError, match=message):
            pls.fit(np.eye(n), np.zeros(shape), n_components)

    def test_not_finite(self):
        responses = np.zeros((5, 2))
        responses[3, 1] = np.nan
        with pytest.raises(ProbeError, match="NaN"):
            pls.fit(np.eye(5), responses)

    def test_overlap(self):
        with pytest.raises(ProbeError, match="trains on a stimulus that it is tested on"):
            pls.predict_splits(np.eye(5), np.eye(5), [(np.arange(4), np.arange(3, 5))], 2)
