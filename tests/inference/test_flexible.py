"""Fitted models against fits to RDMs that are cut out and written out, and known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize, minimize_scalar, nnls
from scipy.spatial.distance import squareform

from probe.inference.ceiling import noise_ceiling
from probe.inference.crossvalidation import (
    crossvalidated_scores,
    default_n_folds,
    permuted_crossvalidated_scores,
    random_folds,
)
from probe.inference.flexible import FITS, Model, fitted_weights
from probe.inference.resampling import Units, bootstrap_counts
from probe.similarity import COMPARATORS, compare
from probe.similarity.pairs import complete_pairs, restrict

FITTED = FITS[1:]
COSINES = ("pearson", "cosine", "whitened-pearson", "whitened-cosine")
RANKED = ("spearman", "rho-a", "tau-a", "tau-b")


def rdms(n_rdms, n=16, seed=0, dims=8):
    """Distances between random patterns."""
    x = np.random.default_rng(seed).normal(size=(n_rdms, n, dims))
    i, j = np.triu_indices(n, 1)
    return ((x[:, i] - x[:, j]) ** 2).mean(axis=2)


def design(n=16, n_subjects=3, noise=0.5, seed=0):
    """Models of every kind, and subjects that are a sum of two components, and noise."""
    components = rdms(4, n, seed)
    truth = components[0] + 0.5 * components[1]
    noises = np.random.default_rng(seed + 1).normal(size=(n_subjects, len(truth)))
    data = truth + noise * truth.std() * noises
    models = [Model(components[2])]
    models += [Model(components[k : k + 3], fit) for k, fit in enumerate(("selection",) * 2)]
    models += [Model(components, fit) for fit in ("weighted", "interpolation")]
    return models, data


def run(models, data, name, folds, counts=None, groups=None, **options):
    """`crossvalidated_scores` of arrays."""
    stacked = np.concatenate([m.rdms for m in models])
    pairs = complete_pairs([stacked, data])
    comparator = COMPARATORS[name]
    a, b = (comparator.prepare(restrict(r, pairs), pairs) for r in (stacked, data))
    units = Units.of(pairs, groups)
    counts = np.ones((len(folds), units.n), dtype=int) if counts is None else counts
    return crossvalidated_scores(models, a, b, comparator, units, counts, folds, **options)


def some_folds(n, n_folds, n_repeats=1, seed=0, counts=None):
    counts = np.ones((1, n), dtype=int) if counts is None else counts
    return random_folds(counts, n_folds, n_repeats, np.random.default_rng(seed))


# --- The same by cutting out RDMs, and fitting to these ---------------------------------------


def cut(vectors, counts):
    """RDMs of stimuli that occur so often, without pairs of a stimulus with itself."""
    drawn = np.repeat(np.arange(len(counts)), counts)
    i, j = np.triu_indices(len(drawn), 1)
    different = drawn[i] != drawn[j]
    i, j = drawn[i[different]], drawn[j[different]]
    return np.array([squareform(v)[i, j] for v in vectors])


def whitener(n):
    """The root of V⁻¹, V the covariance of the distances of n independent conditions."""
    i, j = np.triu_indices(n, 1)
    c = np.zeros((len(i), n))
    c[np.arange(len(i)), i], c[np.arange(len(i)), j] = 1.0, -1.0
    return np.linalg.inv(np.linalg.cholesky((c @ c.T) ** 2))


def scaled(vectors, name, n):
    """Vectors whose cosine the comparator is."""
    if name.endswith("pearson"):
        vectors = vectors - vectors.mean(axis=1, keepdims=True)
    return vectors @ whitener(n).T if name.startswith("whitened") else vectors


def score(x, y, name, n):
    if name in COSINES:
        x, y = scaled(np.stack([x, y]), name, n)
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    if name == "spearman":
        return stats.spearmanr(x, y).statistic
    if name == "tau-b":
        return stats.kendalltau(x, y).statistic
    if name == "tau-a":
        i, j = np.triu_indices(len(x), 1)
        return (np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])).mean()
    m, x, y = len(x), stats.rankdata(x), stats.rankdata(y)
    return 12.0 * (x @ y) / (m**3 - m) - 3.0 * (m + 1) / (m - 1)


def regressors(components, data, name, n):
    """What is fitted to what: vectors (K, p), and the pooled data (p,)."""
    if name in COSINES:
        y = scaled(data, name, n)
        return scaled(components, name, n), (y / np.linalg.norm(y, axis=1)[:, None]).mean(axis=0)
    y = np.mean([stats.rankdata(d) for d in data], axis=0)
    return scaled(components, "pearson", n), y - y.mean()


def brute_fit(model, data, name, counts):
    n = np.count_nonzero(counts)  # whitened comparators: without repeats only
    components, data = cut(model.rdms, counts), cut(data, counts)
    if model.fit == "fixed":
        return np.ones(1)
    if model.fit == "selection":
        means = [np.mean([score(c, d, name, n) for d in data]) for c in components]
        return np.eye(len(components))[np.argmax(means)]
    x, y = regressors(components, data, name, n)
    if model.fit == "weighted":
        return nnls(x.T, y)[0]
    best, weights = -np.inf, None
    for k in range(len(x) - 1):

        def between(t, k=k):
            return (1 - t) * x[k] + t * x[k + 1]

        def loss(t, v=between):
            return -(v(t) @ y) / np.linalg.norm(v(t))

        found = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).x
        for t in (0.0, found, 1.0):
            if -loss(t) > best:
                best, weights = -loss(t), np.zeros(len(x))
                weights[k], weights[k + 1] = 1 - t, t
    return weights


def brute_scores(models, data, name, counts, folds, subjects, other):
    """Scores (M, S) of one resample and one assignment to folds."""
    result = []
    for fold in range(folds.max() + 1):
        train, test = counts * (folds != fold), counts * (folds == fold)
        by_model = np.empty((len(models), len(data)))
        for s in range(len(data)):
            taken = subjects * (np.arange(len(data)) != s) if other else subjects
            for m, model in enumerate(models):
                weights = brute_fit(model, np.repeat(data, taken, axis=0), name, train)
                x, y = cut([weights @ model.rdms], test)[0], cut(data[s : s + 1], test)[0]
                by_model[m, s] = score(x, y, name, np.count_nonzero(test))
        result.append(by_model)
    return np.mean(result, axis=0)


class TestAgainstFitsToRDMsThatAreCutOut:
    @pytest.mark.parametrize("other", [False, True])
    @pytest.mark.parametrize("name", [*COSINES, *RANKED])
    def test_scores(self, name, other):
        models, data = design(n=12)
        folds = some_folds(12, 3)
        ours, _ = run(models, data, name, folds, other_subjects=other)
        ones, everyone = np.ones(12, dtype=int), np.ones(3, dtype=int)
        wanted = brute_scores(models, data, name, ones, folds[0, 0], everyone, other)
        np.testing.assert_allclose(ours[0, 0, :-1], wanted[:-1], rtol=0, atol=1e-11)
        # An interpolation is found there by search, here in closed form.
        np.testing.assert_allclose(ours[0, 0, -1], wanted[-1], rtol=0, atol=1e-7)

    @pytest.mark.parametrize("other", [False, True])
    @pytest.mark.parametrize("name", ["pearson", "cosine", "spearman", "rho-a", "tau-b"])
    def test_resamples(self, name, other):
        """Stimuli that occur several times, or not at all, and subjects likewise."""
        models, data = design(n=14)
        models = [m for m in models if m.fit != "interpolation"]
        rng = np.random.default_rng(3)
        counts = bootstrap_counts(14, 4, rng)
        subjects = np.array([[1, 1, 1], [2, 0, 1], [0, 2, 1], [1, 2, 0]])
        folds = some_folds(14, 2, n_repeats=2, counts=counts)
        ours, _ = run(models, data, name, folds, counts, subjects=subjects, other_subjects=other)
        for b in range(4):
            for r in range(2):
                of_folds = np.where(counts[b] > 0, folds[b, r], -1)
                wanted = brute_scores(models, data, name, counts[b], of_folds, subjects[b], other)
                np.testing.assert_allclose(ours[b, r], wanted, rtol=0, atol=1e-11)

    @pytest.mark.parametrize("name", ["pearson", "spearman", "whitened-cosine", "bures"])
    def test_bounds(self, name):
        models, data = design(n=15)
        folds = some_folds(15, 3)
        _, bounds = run(models, data, name, folds)
        wanted = [
            noise_ceiling(cut(data, (folds[0, 0] == fold).astype(int)), name) for fold in range(3)
        ]
        np.testing.assert_allclose(
            bounds[0, 0].mean(axis=1), np.mean(wanted, axis=0), rtol=0, atol=1e-12
        )

    def test_missing_pairs(self):
        """A stimulus without distances is as if it were not there."""
        models, data = design(n=13)
        kept = np.arange(1, 13)
        whole = [squareform(d) for d in data]
        fewer = np.array([squareform(d[np.ix_(kept, kept)]) for d in whole])
        smaller = [
            Model([squareform(squareform(r)[np.ix_(kept, kept)]) for r in m.rdms], m.fit)
            for m in models
        ]
        data[1, :12] = np.nan  # the pairs of stimulus 0
        folds = some_folds(12, 3)
        for name in ("pearson", "spearman", "whitened-pearson"):
            ours, wanted = run(models, data, name, folds), run(smaller, fewer, name, folds)
            for a, b in zip(ours, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)

    def test_single_missing_pairs(self):
        models, data = design(n=12)
        missing = np.random.default_rng(0).choice(66, 8, replace=False)
        data[0, missing] = np.nan
        folds = some_folds(12, 2)[0, 0]
        ours, _ = run(models[:-1], data, "pearson", folds[None, None])
        wanted = np.zeros(ours.shape[2:])
        i, j = np.triu_indices(12, 1)
        known = np.isfinite(data).all(axis=0)
        for fold in range(2):
            train = known & (folds[i] != fold) & (folds[j] != fold)
            test = known & (folds[i] == fold) & (folds[j] == fold)
            for m, model in enumerate(models[:-1]):
                x, y = regressors(model.rdms[:, train], data[:, train], "pearson", 12)
                if model.fit == "weighted":
                    weights = nnls(x.T, y)[0]
                else:
                    best = np.argmax(x @ y / np.linalg.norm(x, axis=1))
                    weights = np.eye(len(model.rdms))[best]
                predicted = weights @ model.rdms[:, test]
                wanted[m] += [np.corrcoef(predicted, d[test])[0, 1] / 2 for d in data]
        np.testing.assert_allclose(ours[0, 0], wanted, rtol=0, atol=1e-12)


class TestFits:
    @pytest.mark.parametrize("name", COSINES)
    def test_weights_are_optimal(self, name):
        """No other non-negative weights score better than those of least squares."""
        components, data = rdms(5), rdms(3, seed=1) + rdms(5)[:3].sum(axis=0)
        ours = fitted_weights(Model(components, "weighted"), data, name)

        def loss(roots):
            return -compare((roots**2) @ components, data, name).mean()

        best = min(minimize(loss, start).fun for start in np.eye(5) + 0.1)
        assert -loss(np.sqrt(ours)) >= -best - 1e-12
        assert -loss(np.sqrt(ours)) == pytest.approx(-best, abs=1e-6)

    @pytest.mark.parametrize("name", ["pearson", "cosine", "spearman"])
    @pytest.mark.parametrize("fit", FITTED)
    def test_weights_are_recovered(self, name, fit):
        truth = {"selection": [0, 1, 0], "weighted": [0.2, 0, 0.8], "interpolation": [0, 0.3, 0.7]}
        components = rdms(3, 60)
        clean = truth[fit] @ components
        noises = np.random.default_rng(0).normal(size=(4, len(clean)))
        found = fitted_weights(Model(components, fit), clean + 0.1 * clean.std() * noises, name)
        assert found == pytest.approx(truth[fit], abs=0.03)
        exact = fitted_weights(Model(components, fit), clean, "pearson")
        assert exact == pytest.approx(truth[fit], abs=1e-9)

    @pytest.mark.parametrize("name", list(COMPARATORS))
    def test_selection_is_the_best_score(self, name):
        components, data = rdms(6), rdms(3, seed=1) + rdms(6)[2]
        weights = fitted_weights(Model(components, "selection"), data, name)
        assert weights.argmax() == compare(components, data, name).mean(axis=1).argmax()
        assert sorted(weights) == [0, 0, 0, 0, 0, 1]

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 10**6), name=st.sampled_from(COSINES))
    def test_interpolation_beats_a_dense_grid(self, seed, name):
        components, data = rdms(3, 7, seed), rdms(2, 7, seed + 1)
        ours = fitted_weights(Model(components, "interpolation"), data, name)
        assert (ours >= 0).all()
        assert np.count_nonzero(ours) <= 2
        assert ours[0] * ours[2] == 0
        t = np.linspace(0, 1, 501)[:, None]
        grid = np.concatenate([
            (1 - t) * components[k] + t * components[k + 1] for k in range(2)
        ])  # fmt: skip
        best = compare(grid, data, name).mean(axis=1).max()
        found = compare(ours @ components, data, name).mean()
        assert best - 1e-12 <= found <= best + 1e-3

    @pytest.mark.parametrize("name", list(COMPARATORS))
    def test_scale_of_components_does_not_matter_to_a_sum(self, name):
        models, data = design(n=14)
        weighted = next(m for m in models if m.fit == "weighted")
        other = Model(weighted.rdms * np.array([[1e-4], [1.0], [50.0], [1e3]]), "weighted")
        folds = some_folds(14, 2)
        ours, _ = run([weighted, other], data, name, folds)
        np.testing.assert_allclose(ours[:, :, 0], ours[:, :, 1], rtol=0, atol=1e-9)

    @pytest.mark.parametrize("fit", FITTED)
    @pytest.mark.parametrize("name", ["pearson", "whitened-pearson", "spearman"])
    def test_no_component_correlates_positively(self, name, fit):
        """The best one by itself: all weights 0 would predict nothing."""
        truth = rdms(1)[0]
        components = np.stack([-truth + rdms(1, seed=k)[0] * 0.3 for k in (1, 2, 3)])
        data = truth[None] + 0.01 * rdms(2, seed=5)
        alone = compare(components, data, name).mean(axis=1)
        assert alone.max() < 0
        ours = fitted_weights(Model(components, fit), data, name)
        assert ours == pytest.approx(np.eye(3)[alone.argmax()])
        scores, _ = run([Model(components, fit)], data, name, some_folds(16, 2))
        assert (scores < 0).all()

    def test_duplicate_components(self):
        components, data = rdms(3, 14), rdms(2, 14, seed=1) + rdms(3, 14)[0]
        doubled = np.concatenate([components, components])
        folds = some_folds(14, 2)
        for name in ("pearson", "cosine", "spearman", "whitened-cosine"):
            one, two = (
                run([Model(r, "weighted")], data, name, folds)[0] for r in (components, doubled)
            )
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-9)

    def test_one_and_many_parts_alike(self):
        """Parts are worked on one by one, or all at once: it must not matter."""
        models, data = design(n=30)
        counts = bootstrap_counts(30, 40, np.random.default_rng(0))
        folds = some_folds(30, 2, counts=counts)
        for name in ("pearson", "cosine"):
            many, _ = run(models, data + 1e4, name, folds, counts)
            for b in range(40):
                one, _ = run(models, data + 1e4, name, folds[b : b + 1], counts[b : b + 1])
                np.testing.assert_allclose(many[b], one[0], rtol=0, atol=1e-10)


class TestCrossvalidation:
    @pytest.mark.parametrize("name", ["pearson", "spearman"])
    def test_parameters_that_fit_noise_do_not_pay(self, name):
        noise, components = rdms(2, 24, seed=100), rdms(30, 24, seed=0)
        model = Model(components, "weighted")
        in_sample = compare(fitted_weights(model, noise, name) @ components, noise, name).mean()
        scores, _ = run([model], noise, name, some_folds(24, 3, n_repeats=20))
        assert in_sample > 0.25
        assert abs(scores.mean()) < 0.08

    def test_fixed_models_are_scored_on_the_same_folds(self):
        models, data = design(n=15)
        folds = some_folds(15, 3)
        scores, _ = run(models, data, "pearson", folds)
        by_fold = []
        for fold in range(3):
            test = (folds[0, 0] == fold).astype(int)
            by_fold.append(compare(cut(models[0].rdms, test), cut(data, test), "pearson")[0])
        np.testing.assert_allclose(scores[0, 0, 0], np.mean(by_fold, axis=0), atol=1e-13)

    def test_true_model_does_as_well_as_the_ceiling_says(self):
        components = rdms(3, 48)
        truth = components[0] + 0.5 * components[2]
        noises = np.random.default_rng(0).normal(size=(6, len(truth)))
        data = truth + truth.std() * noises
        model = [Model(components, "weighted")]
        scores, bounds = run(model, data, "pearson", some_folds(48, 4, n_repeats=5))
        lower, upper = bounds.mean(axis=(0, 1, 3))
        assert lower < scores.mean() < upper

    def test_other_subjects_have_no_part_in_the_fit(self):
        models, data = design(n=14)
        folds = some_folds(14, 2)
        others = run(models, data, "pearson", folds, other_subjects=True)[0][0, 0, :, 0]
        # Subject 0 is scored alike, whatever else it is given: here without it.
        alone = run(
            models, data, "pearson", folds, subjects=np.array([[0, 1, 1]]), other_subjects=True
        )[0][0, 0, :, 0]
        np.testing.assert_allclose(others, alone, atol=1e-14)
        # And all other subjects' fit is not everyone's.
        everyone = run(models, data, "pearson", folds)[0][0, 0, :, 0]
        assert np.abs(everyone - others).max() > 1e-6

    def test_a_subject_without_others(self):
        models, data = design(n=14)
        scores, bounds = run(
            models, data, "spearman", some_folds(14, 2), subjects=np.array([[0, 3, 0]]),
            other_subjects=True,
        )  # fmt: skip
        assert np.isnan(scores[0, 0, 1:, 1]).all()
        assert np.isfinite(scores[0, 0, :, [0, 2]]).all()
        assert np.isnan(bounds[0, 0, 0]).all()
        with pytest.raises(ValueError, match="at least two subjects"):
            run(models, data[:1], "pearson", some_folds(14, 2), other_subjects=True)

    def test_one_subject(self):
        models, data = design(n=14, n_subjects=1)
        scores, bounds = run(models, data, "pearson", some_folds(14, 2))
        assert np.isfinite(scores).all()
        assert np.isnan(bounds).all()

    @pytest.mark.parametrize("name", ["pearson", "spearman", "rho-a", "bures"])
    def test_constant_test_part(self, name):
        """A fold in which a model is constant has no score of it; rho-a says 0 of all its ties."""
        data = rdms(2, 12)
        folds = np.repeat([0, 1, 2], 4)[None, None]
        square = squareform(rdms(1, 12, seed=3)[0])
        square[:4, :4] = 1.0 - np.eye(4)
        models = [Model(squareform(square)), Model(rdms(2, 12, seed=4), "weighted")]
        scores, bounds = run(models, data, name, folds)
        by_fold = []
        for fold in range(3):
            test = (folds[0, 0] == fold).astype(int)
            if fold or name == "bures":  # a constant is something to say of a whole matrix
                by_fold.append(compare(cut(models[0].rdms, test), cut(data, test), name)[0])
            elif name == "rho-a":
                by_fold.append([0.0, 0.0])
        np.testing.assert_allclose(scores[0, 0, 0], np.mean(by_fold, axis=0), atol=1e-12)
        assert np.isfinite(scores).all()
        assert np.isfinite(bounds).all()

    @pytest.mark.parametrize("name", ["pearson", "spearman", "whitened-pearson", "tau-b"])
    def test_constant_everywhere_it_is_scored(self, name):
        category = np.repeat([0, 1, 2], 4)
        folds = category[None, None]
        square = (category[:, None] != category).astype(float)
        scores, _ = run([Model(squareform(square))], rdms(2, 12), name, folds)
        assert np.isnan(scores).all()

    @pytest.mark.parametrize("name", ["pearson", "spearman", "rho-a", "whitened-pearson"])
    @pytest.mark.parametrize("fit", FITTED)
    def test_component_that_is_constant_where_it_is_fitted(self, name, fit):
        """It is left out of the fit; if there is no other, there is no score."""
        half = np.repeat([0, 1], 6)
        square = np.ones((12, 12)) - np.eye(12)
        square[:6, :6] = squareform(rdms(1, 6)[0])
        flat, good = squareform(square), rdms(1, 12, seed=2)[0]  # flat on the second half
        data = good + 0.3 * rdms(2, 12, seed=3)
        scores, _ = run([Model([flat, good], fit)], data, name, half[None, None])
        # On the first half: fitted to the second, where only one component says anything. On the
        # second, the sum is that component again, plus a constant.
        of_good = [
            compare(cut([good], part), cut(data, part), name)[0]
            for part in ((half == 0).astype(int), (half == 1).astype(int))
        ]
        np.testing.assert_allclose(scores[0, 0, 0], np.mean(of_good, axis=0), rtol=0, atol=1e-12)
        # Nothing to fit on the second half, and nothing said there by a fit to the first, of which
        # rho-a says 0.
        nothing, _ = run([Model([flat, flat], fit)], data, name, half[None, None])
        np.testing.assert_array_equal(nothing, 0.0 if name == "rho-a" else np.nan)


class TestFolds:
    @pytest.mark.parametrize(("n", "k"), [(5, 2), (11, 2), (12, 3), (24, 4), (39, 4), (40, 5)])
    def test_default(self, n, k):
        assert default_n_folds(n) == k

    @given(seed=st.integers(0, 10**6), n=st.integers(6, 40), n_folds=st.integers(2, 5))
    def test_evenly_dealt_out(self, seed, n, n_folds):
        if n < 3 * n_folds:
            with pytest.raises(ValueError, match=f"n_folds={n_folds} is too many for {n} stimuli"):
                some_folds(n, n_folds)
            return
        rng = np.random.default_rng(seed)
        counts = bootstrap_counts(n, 5, rng)
        folds = random_folds(counts, n_folds, 2, rng)
        for row, of_row in zip(counts, folds, strict=True):
            distinct = np.count_nonzero(row)
            for assignment in of_row:
                if distinct < 3 * n_folds:
                    assert (assignment == -1).all()
                    continue
                assert ((assignment == -1) == (row == 0)).all()
                sizes = np.bincount(assignment[row > 0], minlength=n_folds)
                assert sizes.max() - sizes.min() <= 1
                assert sizes.min() >= 3

    def test_by_seed(self):
        assert (some_folds(20, 3, 4) == some_folds(20, 3, 4)).all()
        assert (some_folds(20, 3, 4, seed=1) != some_folds(20, 3, 4)).any()
        first, second = some_folds(20, 3, 2)[0]
        assert (first != second).any()

    def test_resample_with_too_few_different_stimuli(self):
        models, data = design(n=12)
        counts = np.array([np.ones(12), [4, 3, 2, 2, 1, *7 * [0]]], dtype=int)
        scores, bounds = run(models, data, "pearson", some_folds(12, 2, counts=counts), counts)
        assert np.isfinite(scores[0]).all()
        assert np.isnan(scores[1]).all()
        assert np.isnan(bounds[1]).all()
        scores, _ = run(models, data, "pearson", some_folds(12, 2, counts=counts[1:]), counts[1:])
        assert np.isnan(scores).all()

    def test_groups_are_never_split(self, monkeypatch):
        groups = np.repeat(np.arange(9), [2, 1, 3, 2, 2, 1, 2, 3, 2])
        seen = []
        from probe.inference import flexible

        scores = flexible.Fitting.scores

        def spy(self, train, test, *rest):
            seen.append((train, test))
            return scores(self, train, test, *rest)

        monkeypatch.setattr(flexible.Fitting, "scores", spy)
        models, data = design(n=18)
        counts = bootstrap_counts(9, 20, np.random.default_rng(0))
        run(models, data, "pearson", some_folds(9, 2, 2, counts=counts), counts, groups=groups)
        parts = [(a, b) for train, test in seen for a, b in zip(train, test, strict=True)]
        assert len(parts) == 20 * 2 * 2
        scored = 0
        for train, test in parts:
            in_train, in_test = (set(groups[c > 0]) for c in (train, test))
            assert not in_train & in_test
            for group in in_train | in_test:
                assert len(set((train + test)[groups == group])) == 1
            scored += bool(in_test)
        assert scored > 20

    @pytest.mark.parametrize("name", ["pearson", "spearman"])
    def test_same_bytes_on_any_number_of_threads(self, name, monkeypatch):
        models, data = design(n=20)
        counts = bootstrap_counts(20, 60, np.random.default_rng(0))
        folds = some_folds(20, 2, 2, counts=counts)
        results = []
        for n in (1, 4):
            monkeypatch.setattr("os.cpu_count", lambda n=n: n)
            results.append(run(models, data, name, folds, counts))
        for a, b in zip(*results, strict=True):
            assert a.tobytes() == b.tobytes()


class TestPermutations:
    @pytest.mark.parametrize("name", ["pearson", "spearman", "whitened-cosine"])
    @pytest.mark.parametrize("other", [False, True])
    def test_equal_to_permuted_data(self, name, other):
        models, data = design(n=12)
        orders = np.stack([np.random.default_rng(k).permutation(12) for k in range(5)])
        folds = some_folds(12, 2, 2, counts=np.ones((5, 12), dtype=int))
        stacked, comparator = np.concatenate([m.rdms for m in models]), COMPARATORS[name]
        a, b = comparator.prepare(stacked), comparator.prepare(data)
        ours = permuted_crossvalidated_scores(
            models, a, b, comparator, Units.of(b.pairs, None), orders, folds, other_subjects=other
        )
        for k, order in enumerate(orders):
            permuted = np.array([squareform(squareform(d)[np.ix_(order, order)]) for d in data])
            wanted, _ = run(models, permuted, name, folds[k : k + 1], other_subjects=other)
            np.testing.assert_allclose(ours[k], wanted[0].mean(axis=(0, 2)), rtol=0, atol=1e-12)

    def test_with_missing_pairs(self):
        models, data = design(n=12)
        data[0, [3, 20, 41]] = np.nan
        pairs = complete_pairs([data])
        comparator = COMPARATORS["pearson"]
        stacked = np.concatenate([m.rdms for m in models])
        a, b = (comparator.prepare(restrict(r, pairs), pairs) for r in (stacked, data))
        order = np.random.default_rng(0).permutation(12)
        folds = some_folds(12, 2)
        ours = permuted_crossvalidated_scores(
            models, a, b, comparator, Units.of(pairs, None), order[None], folds
        )
        gone = data + 0 * data[0]
        permuted = np.array([
            squareform(squareform(d, checks=False)[np.ix_(order, order)], checks=False)
            for d in gone
        ])  # fmt: skip
        permuted[:, np.isnan(gone[0])] = np.nan
        wanted, _ = run(models, permuted, "pearson", folds)
        np.testing.assert_allclose(ours[0], wanted[0].mean(axis=(0, 2)), rtol=0, atol=1e-12)
