"""Banded ridge against its definition, scikit-learn, and himalaya."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
    cross_val_predict,
)

from probe.encoding import bands
from probe.encoding.bands import select_bands, simplex, split_r2
from probe.encoding.pls import centre_across
from probe.errors import ProbeError

ALPHAS = np.logspace(-3.0, 2.0, 6)


def problem(seed, n=24, widths=(5, 40), m=4, noise=0.5):
    """Patterns of each band, of sizes that differ, and responses to all of them."""
    rng = np.random.default_rng(seed)
    patterns = [10.0**k * (rng.normal(size=(n, p)) + 2.0) for k, p in enumerate(widths)]
    responses = noise * rng.normal(size=(n, m)) + 3.0
    for k, (x, p) in enumerate(zip(patterns, widths, strict=True)):
        responses += 10.0**-k * x @ rng.normal(size=(p, m)) * rng.random(m) / np.sqrt(p)
    return patterns, responses


def grams_of(patterns):
    return [x @ x.T for x in patterns]


def splits_of(n, n_splits=2):
    return list(ShuffleSplit(n_splits, test_size=0.25, random_state=0).split(np.empty(n)))


def scaled(patterns):
    """Patterns of which the mean squared length about their mean is 1."""
    centred = [x - x.mean(axis=0) for x in patterns]
    return [x / np.sqrt((c**2).sum() / len(c)) for x, c in zip(patterns, centred, strict=True)]


def joined(patterns, shares):
    return np.hstack([np.sqrt(g) * x for g, x in zip(shares, scaled(patterns), strict=True)])


class TestSimplex:
    def test_one_band(self):
        np.testing.assert_array_equal(simplex(1), [[1.0]])

    @given(n_steps=st.integers(1, 60))
    def test_grid_of_two(self, n_steps):
        expected = [[k / n_steps, (n_steps - k) / n_steps] for k in range(n_steps + 1)]
        np.testing.assert_array_equal(simplex(2, n_steps), expected)
        assert simplex(2)[[0, 7, -1]].tolist() == [[0.0, 1.0], [0.35, 0.65], [1.0, 0.0]]

    @given(n_bands=st.integers(3, 9), n_random=st.integers(0, 40), seed=st.integers(0, 100))
    def test_more(self, n_bands, n_random, seed):
        shares = simplex(n_bands, n_random=n_random, seed=seed)
        assert shares.shape == (n_bands + 1 + n_random, n_bands)
        np.testing.assert_array_equal(shares[:n_bands], np.eye(n_bands))
        np.testing.assert_allclose(shares[n_bands], 1.0 / n_bands)
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
        assert ((shares == 0.0) | (shares >= bands.MIN_SHARE)).all()
        again = simplex(n_bands, n_random=n_random, seed=seed)
        np.testing.assert_array_equal(shares, again)

    def test_random_shares(self):
        """Uniform ones, of which the largest of three is 11/18 in the mean, and mostly one band."""
        drawn = simplex(3, n_random=4000)[4:]
        np.testing.assert_allclose(drawn.mean(axis=0), 1.0 / 3.0, atol=0.02)
        assert drawn[1::2].max(axis=1).mean() == pytest.approx(11.0 / 18.0, abs=0.01)
        assert drawn[::2].max(axis=1).mean() > 0.85
        assert (simplex(3, seed=1) != simplex(3)).any()


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("widths", [(5, 40), pytest.param((3, 8, 30), marks=pytest.mark.slow)])
    def test_choice_and_predictions(self, widths):
        patterns, responses = problem(0, widths=widths)
        splits = splits_of(len(responses), 1)
        shares = simplex(len(widths), n_steps=4, n_random=3)
        chosen = select_bands(grams_of(patterns), responses, splits, shares=shares, alphas=ALPHAS)
        everything = np.arange(len(responses))
        cases = [*splits, (everything, everything)]
        for row, (train, test) in enumerate(cases):
            errors = np.empty((len(shares), len(ALPHAS), responses.shape[1]))
            for k, share in enumerate(shares):
                x = joined(patterns, share)[train]
                for j, alpha in enumerate(ALPHAS):
                    left_out = cross_val_predict(
                        Ridge(alpha), x, responses[train], cv=LeaveOneOut()
                    )
                    errors[k, j] = ((left_out - responses[train]) ** 2).sum(axis=0)
            for site in range(responses.shape[1]):
                k, j = np.unravel_index(errors[:, :, site].argmin(), errors.shape[:2])
                x = joined(patterns, shares[k])
                model = Ridge(ALPHAS[j]).fit(x[train], responses[train, site])
                if row < len(splits):
                    np.testing.assert_array_equal(chosen.shares_in_split[row, site], shares[k])
                    assert chosen.selection.alpha_in_split[row, site] == j
                    values = chosen.selection.predictions[row][:, site]
                else:
                    np.testing.assert_array_equal(chosen.shares[site], shares[k])
                    assert chosen.selection.alpha[site] == pytest.approx(ALPHAS[j], rel=1e-12)
                    centred = x - x.mean(axis=0)
                    values = centred @ centred.T @ chosen.coefficients[:, site]
                    values += responses[:, site].mean()
                np.testing.assert_allclose(values, model.predict(x[test]), rtol=0, atol=1e-9)

    def test_groups_are_left_out_together(self):
        """Shares and penalty of each site: those of the least error of explicit fits."""
        patterns, responses = problem(3, n=24)
        labels = np.repeat(np.arange(8), 3)
        shares = simplex(2, 4)
        chosen = select_bands(
            grams_of(patterns), responses, groups=labels, shares=shares, alphas=ALPHAS
        )
        errors = np.empty((len(shares), len(ALPHAS), 4))
        for k, row in enumerate(shares):
            x = joined(patterns, row)
            scale = ((x - x.mean(axis=0)) ** 2).sum() / len(x)
            for j, alpha in enumerate(ALPHAS):
                predicted = cross_val_predict(
                    Ridge(alpha * scale), x, responses, groups=labels, cv=LeaveOneGroupOut()
                )
                errors[k, j] = ((predicted - responses) ** 2).sum(axis=0)
        total = ((responses - responses.mean(axis=0)) ** 2).sum(axis=0)
        for site in range(4):
            k, j = np.unravel_index(errors[:, :, site].argmin(), errors.shape[:2])
            np.testing.assert_array_equal(chosen.shares[site], shares[k])
            assert chosen.selection.alpha_index[site] == j
        np.testing.assert_allclose(chosen.selection.error, errors.min(axis=(0, 1)) / total)

    def test_weights_of_features(self):
        """The fit to all stimuli, as weights of each band's own features."""
        patterns, responses = problem(1)
        chosen = select_bands(grams_of(patterns), responses, alphas=ALPHAS)
        for site, shares in enumerate(chosen.shares):
            model = Ridge(chosen.selection.alpha[site])
            expected = model.fit(joined(patterns, shares), responses[:, site]).predict(
                joined(patterns, shares)
            )
            values = responses[:, site].mean()
            for share, scale, x in zip(shares, chosen.scales, patterns, strict=True):
                centred = x - x.mean(axis=0)
                weights = share / scale * centred.T @ chosen.coefficients[:, site]
                values = values + centred @ weights
            np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


class TestAgainstHimalaya:
    @pytest.mark.parametrize("widths", [(5, 40), (3, 8, 30)])
    def test_fixed_shares(self, widths):
        himalaya = pytest.importorskip("himalaya.kernel_ridge")
        patterns, responses = problem(2, widths=widths)
        train, test = splits_of(len(responses))[0]
        shares, alpha = np.random.default_rng(0).dirichlet(np.ones(len(widths))), 0.03
        chosen = select_bands(
            grams_of(patterns), responses, [(train, test)], shares=shares[None], alphas=[alpha]
        )
        centred = [x - x[train].mean(axis=0) for x in scaled(patterns)]
        kernels = np.stack([x @ x[train].T for x in centred])
        model = himalaya.WeightedKernelRidge(
            alpha=alpha, deltas=np.log(shares), kernels="precomputed", solver="conjugate_gradient",
            solver_params={"max_iter": 2000, "tol": 1e-12},
        )  # fmt: skip
        mean = responses[train].mean(axis=0)
        model.fit(kernels[:, train], responses[train] - mean)
        np.testing.assert_allclose(
            chosen.selection.predictions[0], model.predict(kernels[:, test]) + mean, atol=1e-6
        )
        np.testing.assert_allclose(
            chosen.by_band[0], model.predict(kernels[:, test], split=True), atol=1e-6
        )

    @pytest.mark.filterwarnings("ignore:divide by zero encountered in log")  # of a share of 0
    @pytest.mark.parametrize("widths", [(5, 40), (3, 8, 30)])
    def test_random_search(self, widths):
        """Their choice by leave-one-out, for which they take a number of folds only."""
        himalaya = pytest.importorskip("himalaya.kernel_ridge")
        from himalaya.scoring import l2_neg_loss

        patterns, responses = problem(3, widths=widths)
        train, test = splits_of(len(responses))[1]
        shares = simplex(len(widths), n_steps=5, n_random=8)
        chosen = select_bands(
            grams_of(patterns), responses, [(train, test)], shares=shares, alphas=ALPHAS
        )
        kernels = np.stack([x @ x.T for x in scaled(patterns)])
        model = himalaya.MultipleKernelRidgeCV(
            kernels="precomputed", solver="random_search", fit_intercept=True, cv=len(train),
            solver_params={
                "n_iter": shares, "alphas": ALPHAS, "score_func": l2_neg_loss,
                "progress_bar": False,
            },
        )  # fmt: skip
        model.fit(kernels[:, train[:, None], train], responses[train])
        theirs = np.exp(model.deltas_) * model.best_alphas_
        np.testing.assert_allclose(chosen.shares_in_split[0].T, theirs, atol=1e-12)
        np.testing.assert_allclose(ALPHAS[chosen.selection.alpha_in_split[0]], model.best_alphas_)
        np.testing.assert_allclose(
            chosen.selection.predictions[0],
            model.predict(kernels[:, test[:, None], train]),
            atol=1e-6,
        )

    def test_split_r2(self):
        scoring = pytest.importorskip("himalaya.scoring")
        rng = np.random.default_rng(4)
        parts, responses = rng.normal(size=(3, 20, 5)), rng.normal(size=(20, 5))
        centred = parts - parts.mean(axis=1, keepdims=True)
        theirs = scoring.r2_score_split(responses - responses.mean(axis=0), centred)
        values = split_r2(parts, parts.sum(axis=0), responses)
        np.testing.assert_allclose(values, theirs, atol=1e-12)


class TestParts:
    @given(
        seed=st.integers(0, 10**6),
        widths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
        n=st.integers(10, 30),
        # Of sixteen digits, a small penalty and nearly dependent patterns leave fewer.
        limits=st.sampled_from([(1e-3, 1e-10), (1e-6, 1e-7)]),
    )
    def test_sum_to_predictions(self, seed, widths, n, limits):
        patterns, responses = problem(seed, n, widths, 3)
        splits = splits_of(n)
        least, atol = limits
        shares = simplex(len(widths), 4, 5, seed)
        alphas = least * 10.0 ** np.arange(8)
        chosen = select_bands(grams_of(patterns), responses, splits, shares=shares, alphas=alphas)
        assert len(chosen.by_band) == 2
        for (train, test), parts, values in zip(
            splits, chosen.by_band, chosen.selection.predictions, strict=True
        ):
            assert parts.shape == (len(widths), len(test), 3)
            total = parts.sum(axis=0) + responses[train].mean(axis=0)
            np.testing.assert_allclose(total, values, rtol=0, atol=atol)

    def test_definition(self):
        """Each part from the fit to the training stimuli; some stimuli are in neither."""
        patterns, responses = problem(5)
        grams = grams_of(scaled(patterns))
        train, test = np.arange(4, 20), np.array([22, 1])
        shares, alpha = np.array([[0.3, 0.7]]), 0.1
        chosen = select_bands(
            grams_of(patterns), responses, [(train, test)], shares=shares, alphas=[alpha]
        )
        mixed = sum(
            g * centre_across(k, train, train) for g, k in zip(shares[0], grams, strict=True)
        )
        centred = responses[train] - responses[train].mean(axis=0)
        dual = np.linalg.solve(mixed + alpha * np.eye(len(train)), centred)
        for g, gram, part in zip(shares[0], grams, chosen.by_band[0], strict=True):
            np.testing.assert_allclose(
                part, g * centre_across(gram, train, test) @ dual, atol=1e-10
            )

    def test_band_without_share(self):
        patterns, responses = problem(6)
        chosen = select_bands(
            grams_of(patterns), responses, splits_of(24), shares=np.array([[0.0, 1.0]])
        )
        for parts in chosen.by_band:
            np.testing.assert_array_equal(parts[0], 0.0)


class TestChoice:
    def test_site_of_one_band(self):
        rng = np.random.default_rng(7)
        patterns = [rng.normal(size=(80, p)) for p in (6, 6, 30)]
        drives = [x @ rng.normal(size=x.shape[1]) for x in patterns[:2]]
        responses = np.stack(drives, axis=1) + 0.1 * rng.normal(size=(80, 2))
        splits = splits_of(80)
        chosen = select_bands(grams_of(patterns), responses, splits)
        np.testing.assert_allclose(chosen.shares[:, :2], np.eye(2), atol=0.05)
        np.testing.assert_allclose(
            chosen.shares_in_split[:, :, :2], [np.eye(2), np.eye(2)], atol=0.05
        )
        for (_, test), parts, values in zip(
            splits, chosen.by_band, chosen.selection.predictions, strict=True
        ):
            r2 = split_r2(parts, values, responses[test])
            assert (r2[[0, 1], [0, 1]] > 0.95).all()
            assert (np.abs(r2[[1, 0, 2, 2], [0, 1, 0, 1]]) < 0.02).all()

    def test_one_band_is_ridge(self):
        patterns, responses = problem(8, widths=(12,))
        splits = splits_of(24)
        chosen = select_bands(grams_of(patterns), responses, splits)
        own = bands.select([bands.Decomposition.of_patterns(patterns[0])], responses, splits)
        for values, expected in zip(chosen.selection.predictions, own.predictions, strict=True):
            np.testing.assert_allclose(values, expected, atol=1e-8)
        np.testing.assert_array_equal(chosen.shares, np.ones((4, 1)))

    @settings(max_examples=20)
    @given(seed=st.integers(0, 10**6), factor=st.sampled_from([1e-6, 1e4]))
    def test_size_of_a_band_does_not_matter(self, seed, factor):
        patterns, responses = problem(seed)
        splits = splits_of(24)
        first = select_bands(grams_of(patterns), responses, splits, alphas=ALPHAS)
        patterns[1] = factor * patterns[1]
        second = select_bands(grams_of(patterns), responses, splits, alphas=ALPHAS)
        np.testing.assert_array_equal(first.shares, second.shares)
        np.testing.assert_allclose(first.by_band, second.by_band, atol=1e-8)
        np.testing.assert_allclose(second.scales, first.scales * [1.0, factor**2], rtol=1e-9)

    def test_threads_and_memory(self, monkeypatch):
        """The same bytes, also if each decomposition is computed whenever it is needed."""
        patterns, responses = problem(9)
        splits = splits_of(24)
        first = select_bands(grams_of(patterns), responses, splits)
        monkeypatch.setattr(bands, "MAX_BYTES", 0)
        seen = []
        second = select_bands(
            grams_of(patterns), responses, splits, threads=3,
            track=lambda steps, total: (seen.append(total), steps)[1],
        )  # fmt: skip
        assert seen == [21]
        np.testing.assert_array_equal(first.shares_in_split, second.shares_in_split)
        np.testing.assert_array_equal(first.by_band, second.by_band)
        np.testing.assert_array_equal(first.coefficients, second.coefficients)

    def test_without_splits(self):
        patterns, responses = problem(10)
        chosen = select_bands(grams_of(patterns), responses)
        assert chosen.by_band == []
        assert chosen.shares.shape == (4, 2)
        assert chosen.shares_in_split.shape == (0, 4, 2)


class TestSplitR2:
    @given(
        seed=st.integers(0, 10**6), n_bands=st.integers(1, 5), offset=st.sampled_from([0.0, 3.0])
    )
    def test_sums_to_r2(self, seed, n_bands, offset):
        rng = np.random.default_rng(seed)
        parts, responses = rng.normal(size=(n_bands, 12, 3)), rng.normal(size=(12, 3)) + 5.0
        values = parts.sum(axis=0) + 5.0 + offset
        total = split_r2(parts, values, responses).sum(axis=0)
        y = responses - responses.mean(axis=0)
        error = y - (values - values.mean(axis=0))
        variance = (y**2).mean(axis=0)
        np.testing.assert_allclose(total, 1.0 - (error**2).mean(axis=0) / variance, atol=1e-12)
        # With their offset, predictions are worse by its square.
        as_they_are = 1.0 - ((responses - values) ** 2).mean(axis=0) / variance
        difference = values.mean(axis=0) - responses.mean(axis=0)
        np.testing.assert_allclose(total - difference**2 / variance, as_they_are, atol=1e-10)

    def test_worked_example(self):
        y = np.array([[1.0], [-1.0], [0.0], [0.0]])
        parts = np.array([y, [[0.0], [0.0], [1.0], [-1.0]]])
        # The first predicts everything, the second adds an error as large.
        np.testing.assert_allclose(split_r2(parts, parts.sum(axis=0), y), [[1.0], [-1.0]])

    def test_constant_site(self):
        parts = np.random.default_rng(0).normal(size=(2, 6, 2))
        responses = np.full((6, 2), 0.1)
        responses[0, 1] = 1.0
        r2 = split_r2(parts, parts.sum(axis=0), responses)
        assert np.isnan(r2).tolist() == [[True, False]] * 2


class TestErrors:
    def test_no_bands(self):
        with pytest.raises(ProbeError, match="no bands"):
            select_bands([], np.zeros((5, 2)))
        with pytest.raises(ProbeError, match="0 bands"):
            simplex(0)

    def test_sizes(self):
        with pytest.raises(ProbeError, match=r"band 1 has products of shape \(4, 4\): expected"):
            select_bands([np.eye(5), np.eye(4)], np.zeros((5, 2)))
        with pytest.raises(ProbeError, match=r"responses of shape \(5,\)"):
            select_bands([np.eye(5)], np.zeros(5))
        with pytest.raises(ProbeError, match=r"parts of shape \(2, 4, 3\)"):
            split_r2(np.zeros((2, 4, 3)), np.zeros((4, 3)), np.zeros((4, 2)))

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e5])
    def test_constant_band(self, value):
        constant = np.full((6, 9), value)
        with pytest.raises(ProbeError, match="band 1 has patterns of mean squared length"):
            select_bands([np.eye(6), constant @ constant.T], np.eye(6))

    @pytest.mark.parametrize("shares", [[[0.5, 0.6]], [[-0.1, 1.1]], [[np.nan, 1.0]]])
    def test_shares_off_the_simplex(self, shares):
        with pytest.raises(ProbeError, match="none below 0, and sums of 1"):
            select_bands([np.eye(6)] * 2, np.eye(6), shares=shares)

    def test_shares_of_other_bands(self):
        with pytest.raises(ProbeError, match=r"shares of shape \(1, 3\): expected \(k, 2\)"):
            select_bands([np.eye(6)] * 2, np.eye(6), shares=[[0.2, 0.3, 0.5]])
