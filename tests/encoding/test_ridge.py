"""Ridge regression from one decomposition, against scikit-learn fits to each training set."""

from __future__ import annotations

import numpy as np
import pytest
from examples import costly
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    cross_val_predict,
)

from probe.encoding import ridge
from probe.encoding.ridge import ALPHAS, Decomposition, centre_gram, select
from probe.errors import ProbeError

SEEDS = st.integers(0, 10**6)


def problem(seed, n, p, m, noise=1.0):
    """Patterns about a mean, with dimensions of unequal size, and responses that follow them."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(n, p)) * np.linspace(1.0, 0.1, p) + rng.normal(size=p)
    responses = patterns @ rng.normal(size=(p, m)) / np.sqrt(p)
    return patterns, responses + noise * rng.normal(size=(n, m)) + 5.0


def folds(n, k=3):
    return list(KFold(k, shuffle=True, random_state=0).split(np.zeros((n, 1))))


def random_splits(n, k=2):
    splitter = ShuffleSplit(k, test_size=0.2, random_state=0)
    return list(splitter.split(np.zeros((n, 1))))


def incomplete_splits(n):
    """Splits that leave stimuli out, and not the last ones."""
    order = np.random.default_rng(0).permutation(n)
    return [(order[: n // 2], order[-n // 4 :]), (order[n // 3 :], order[: n // 5])]


SPLITS = st.sampled_from([folds, random_splits, incomplete_splits])


def hat(patterns, alpha):
    """The matrix that turns responses into fitted ones, by the normal equations."""
    design = np.column_stack([np.ones(len(patterns)), patterns])
    penalty = alpha * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    return design @ np.linalg.solve(design.T @ design + penalty, design.T)


def both_forms(patterns):
    """The decomposition by patterns, and by their products."""
    return [Decomposition.of_patterns(patterns), Decomposition.of_gram(patterns @ patterns.T)]


def by_sklearn(candidates, responses, alphas, train):
    """Candidate, penalty and mean squared leave-one-out error of each site, by `RidgeCV`."""
    fitted = [
        RidgeCV(alphas, alpha_per_target=True).fit(patterns[train], responses[train])
        for patterns in candidates
    ]
    errors = -np.stack([np.atleast_1d(model.best_score_) for model in fitted])
    alpha = np.stack([np.broadcast_to(model.alpha_, errors[0].shape) for model in fitted])
    candidate = errors.argmin(axis=0)
    sites = np.arange(responses.shape[1])
    return candidate, alpha[candidate, sites], errors[candidate, sites]


def assert_equal(values, expected, responses, atol=1e-8):
    """Equal to a share of each site's SD."""
    sd = responses.std(axis=0)
    np.testing.assert_allclose(
        (values - expected) / np.where(sd > 0.0, sd, 1.0), 0.0, rtol=0.0, atol=atol
    )


class TestResidualMaker:
    @given(
        seed=SEEDS,
        n=st.integers(3, 30),
        p=st.integers(1, 45),
        alpha=st.sampled_from([1e-3, 1.0, 30.0, 1e6]),
    )
    def test_is_what_an_explicit_ridge_leaves(self, seed, n, p, alpha):
        patterns, _ = problem(seed, n, p, 1)
        expected = np.eye(n) - hat(patterns, alpha)
        for decomposition in both_forms(patterns):
            maker = decomposition.residual_maker(alpha)
            np.testing.assert_allclose(maker, expected, atol=1e-9)

    @pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e6])
    @pytest.mark.parametrize(("n", "p"), [(20, 6), (20, 19), (20, 20), (12, 50)])
    @pytest.mark.parametrize("what", ["repeated stimuli", "equal columns", "constant columns"])
    def test_of_patterns_without_full_rank(self, what, n, p, alpha):
        patterns, _ = problem(1, n, p, 1)
        if what == "repeated stimuli":
            patterns[n // 2 :] = patterns[: n - n // 2]
        elif what == "equal columns":
            patterns[:, 1:4] = patterns[:, :1]
        else:
            patterns[:, 1:4] = [0.0, 0.1, 100.0 / 3.0]
        expected = np.eye(n) - hat(patterns, alpha)
        for decomposition in both_forms(patterns):
            maker = decomposition.residual_maker(alpha)
            np.testing.assert_allclose(maker, expected, atol=1e-9)

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e5 / 3.0])
    @pytest.mark.parametrize(("n", "p"), [(12, 5), (12, 40)])
    def test_of_constant_patterns_is_that_of_the_mean(self, n, p, value):
        for decomposition in both_forms(np.full((n, p), value)):
            assert len(decomposition.squares) == 0
            np.testing.assert_allclose(
                decomposition.residual_maker(1.0), np.eye(n) - 1.0 / n, atol=1e-15
            )

    @given(seed=SEEDS, n=st.integers(3, 25), p=st.integers(1, 40))
    def test_vectors_are_orthonormal_with_mean_zero(self, seed, n, p):
        patterns, _ = problem(seed, n, p, 1)
        for decomposition in both_forms(patterns):
            vectors = decomposition.vectors
            assert vectors.shape == (n, min(n - 1, p))
            np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), atol=1e-9)
            np.testing.assert_allclose(vectors.sum(axis=0), 0.0, atol=1e-9)

    def test_small_eigenvalues_keep_all_digits(self):
        """Their vectors are near those of the eigenvalue 0, which is the constant's."""
        rng = np.random.default_rng(0)
        patterns = rng.normal(size=(18, 17)) * np.logspace(0.0, -4.0, 17)
        decomposition = Decomposition.of_gram(patterns @ patterns.T)
        assert decomposition.is_full
        np.testing.assert_allclose(decomposition.vectors.mean(axis=0), 0.0, atol=1e-16)
        responses, test = rng.normal(size=(18, 3)) + 3.0, np.arange(5)
        train = np.arange(5, 18)
        values = decomposition.predict_left_out(responses, 0.1, test, test)
        expected = Ridge(0.1).fit(patterns[train], responses[train]).predict(patterns[test])
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-13)

    def test_scale_is_the_mean_squared_length(self):
        patterns, _ = problem(2, 15, 30, 1)
        centred = patterns - patterns.mean(axis=0)
        for decomposition in both_forms(patterns):
            assert decomposition.scale == pytest.approx((centred**2).sum(axis=1).mean())

    def test_products_are_centred(self):
        patterns, _ = problem(3, 15, 30, 1)
        centred = patterns - patterns.mean(axis=0)
        np.testing.assert_allclose(
            centre_gram(patterns @ patterns.T), centred @ centred.T, atol=1e-12
        )


class TestAgainstScikitLearn:
    @costly(12, full=40)
    @given(
        seed=SEEDS,
        n=st.integers(12, 40),
        p=st.integers(1, 60),
        m=st.integers(1, 5),
        splits=SPLITS,
        noise=st.sampled_from([0.1, 1.0, 10.0]),
    )
    def test_one_candidate(self, seed, n, p, m, splits, noise):
        patterns, responses = problem(seed, n, p, m, noise)
        alphas = np.logspace(-2.0, 4.0, 7)
        for decomposition in both_forms(patterns):
            chosen = select([decomposition], responses, splits(n), alphas=alphas, relative=False)
            self.check([patterns], responses, splits(n), alphas, chosen)

    @costly(10, full=30)
    @given(seed=SEEDS, n=st.integers(12, 40), m=st.integers(1, 8), splits=SPLITS)
    def test_several_candidates(self, seed, n, m, splits):
        """Each site follows one of three sets of patterns, of other sizes and scales."""
        made = [problem(seed + k, n, p, m, 2.0) for k, p in enumerate((5, 20, 50))]
        candidates = [scale * p for scale, (p, _) in zip((1.0, 5.0, 0.2), made, strict=True)]
        responses = np.stack([made[k % 3][1][:, k] for k in range(m)], axis=1)
        alphas = np.logspace(-2.0, 4.0, 7)
        decompositions = [Decomposition.of_patterns(patterns) for patterns in candidates]
        chosen = select(decompositions, responses, splits(n), alphas=alphas, relative=False)
        self.check(candidates, responses, splits(n), alphas, chosen)

    def check(self, candidates, responses, splits, alphas, chosen):
        n = len(responses)
        candidate, alpha, error = by_sklearn(candidates, responses, alphas, np.arange(n))
        np.testing.assert_array_equal(chosen.candidate, candidate)
        np.testing.assert_array_equal(chosen.alpha, alpha)
        np.testing.assert_array_equal(alphas[chosen.alpha_index], alpha)
        np.testing.assert_allclose(chosen.error, error / responses.var(axis=0), rtol=1e-7)
        for row, (train, test) in enumerate(splits):
            candidate, alpha, error = by_sklearn(candidates, responses, alphas, train)
            np.testing.assert_array_equal(chosen.in_split[row], candidate)
            np.testing.assert_array_equal(alphas[chosen.alpha_in_split[row]], alpha)
            share = error / responses[train].var(axis=0)
            np.testing.assert_allclose(chosen.error_in_split[row], share, rtol=1e-7)
            expected = np.empty((len(test), responses.shape[1]))
            for site, (k, penalty) in enumerate(zip(candidate, alpha, strict=True)):
                model = Ridge(penalty).fit(candidates[k][train], responses[train, site])
                expected[:, site] = model.predict(candidates[k][test])
            assert_equal(chosen.predictions[row], expected, responses)

    @given(
        seed=SEEDS,
        n=st.integers(10, 40),
        p=st.integers(1, 60),
        alpha=st.sampled_from([1e-2, 1.0, 1e4]),
        splits=SPLITS,
    )
    def test_predictions_at_one_penalty(self, seed, n, p, alpha, splits):
        patterns, responses = problem(seed, n, p, 3)
        for train, test in splits(n):
            rest = np.setdiff1d(np.arange(n), np.concatenate([train, test]))
            removed = np.concatenate([test, rest])
            expected = Ridge(alpha).fit(patterns[train], responses[train]).predict(patterns[test])
            for decomposition in both_forms(patterns):
                values = decomposition.predict_left_out(responses, alpha, test, removed)
                assert_equal(values, expected, responses)

    @given(seed=SEEDS, n=st.integers(5, 40), p=st.integers(1, 60))
    def test_dual_coefficients_give_the_weights(self, seed, n, p):
        patterns, responses = problem(seed, n, p, 4)
        alphas = np.array([1e-2, 1.0, 30.0, 1e4])
        expected = Ridge(alphas).fit(patterns, responses).coef_.T
        centred = patterns - patterns.mean(axis=0)
        for decomposition in both_forms(patterns):
            dual = decomposition.dual(responses, alphas)
            np.testing.assert_allclose(
                centred.T @ dual, expected, rtol=0, atol=1e-8 * np.abs(expected).max()
            )
            np.testing.assert_allclose(dual.sum(axis=0), 0.0, atol=1e-9 * np.abs(dual).max())

    @costly(12, full=30)
    @given(seed=SEEDS, n=st.integers(12, 40), p=st.integers(2, 60), splits=SPLITS)
    def test_one_penalty_for_all_sites(self, seed, n, p, splits):
        patterns, responses = problem(seed, n, p, 6)
        responses *= [1.0, 1.0, 1.0, 1.0, 1.0, 4.0]  # sites count by their variance
        alphas = np.logspace(-2.0, 4.0, 13)
        decomposition = Decomposition.of_patterns(patterns)
        chosen = select(
            [decomposition], responses, splits(n), alphas=alphas, relative=False, shared_alpha=True
        )
        assert set(chosen.alpha) == {RidgeCV(alphas).fit(patterns, responses).alpha_}
        for row, (train, test) in enumerate(splits(n)):
            model = RidgeCV(alphas).fit(patterns[train], responses[train])
            assert set(alphas[chosen.alpha_in_split[row]]) == {model.alpha_}
            assert_equal(chosen.predictions[row], model.predict(patterns[test]), responses)

    def test_one_candidate_for_all_sites(self):
        """With a shared penalty, the candidate is shared as well."""
        first, responses = problem(4, 40, 20, 5)
        second, _ = problem(5, 40, 20, 5)
        _, others = problem(5, 40, 20, 5)
        responses[:, 4] = others[:, 4]  # this site alone follows the second
        decompositions = [Decomposition.of_patterns(p) for p in (second, first)]
        options = {"alphas": np.logspace(-1.0, 3.0, 5), "relative": False}
        assert set(select(decompositions, responses, **options).candidate) == {0, 1}
        shared = select(decompositions, responses, folds(40), shared_alpha=True, **options)
        assert set(shared.candidate) == {1}
        assert set(shared.in_split.ravel()) == {1}


def group_folds(n, labels):
    return list(GroupKFold(3).split(np.zeros((n, 1)), groups=labels))


def through_groups(n, labels):
    """Splits that no group keeps to, and that leave stimuli out."""
    return incomplete_splits(n)


def variants(seed, n_groups, size, p, m, noise=1.0):
    """Pictures, and variants that are nearly them; of no use for another picture, but alike."""
    rng = np.random.default_rng(seed)
    patterns, _ = problem(seed, n_groups, p, 1)
    patterns = np.repeat(patterns, size, axis=0)
    patterns += 0.05 * rng.normal(size=patterns.shape)
    responses = patterns @ rng.normal(size=(p, m)) / np.sqrt(p)
    # What the pictures share beyond the patterns: a picture's own response, as its variants'.
    responses += noise * np.repeat(rng.normal(size=(n_groups, m)), size, axis=0)
    return patterns, responses, np.repeat(np.arange(n_groups), size)


class TestGroups:
    """Whole groups are left out: against scikit-learn's fits without each."""

    ALPHAS = np.logspace(-2.0, 4.0, 7)

    def errors(self, patterns, responses, labels):
        """Sums of squared errors for each penalty and site, by explicit fits."""
        return np.stack(
            [
                (
                    (
                        cross_val_predict(
                            Ridge(alpha), patterns, responses, groups=labels, cv=LeaveOneGroupOut()
                        )
                        - responses
                    )
                    ** 2
                ).sum(axis=0)
                for alpha in self.ALPHAS
            ]
        )

    @costly(6, full=25)
    @given(
        seed=SEEDS,
        n=st.integers(16, 36),
        p=st.integers(1, 50),
        n_groups=st.integers(4, 14),
        splits=st.sampled_from([None, group_folds, through_groups]),
    )
    @pytest.mark.slow
    def test_of_any_size(self, seed, n, p, n_groups, splits):
        patterns, responses = problem(seed, n, p, 3, 0.5)
        labels = np.random.default_rng(seed).integers(n_groups, size=n)
        labels[:4] = range(4)  # enough for three folds
        names = np.array([f"picture {k}" for k in labels])
        divided = [] if splits is None else splits(n, labels)
        for decomposition in both_forms(patterns):
            chosen = select(
                [decomposition], responses, divided, groups=names, alphas=self.ALPHAS,
                relative=False,
            )  # fmt: skip
            expected = self.errors(patterns, responses, labels)
            np.testing.assert_array_equal(chosen.alpha_index, expected.argmin(axis=0))
            total = ((responses - responses.mean(axis=0)) ** 2).sum(axis=0)
            np.testing.assert_allclose(chosen.error, expected.min(axis=0) / total, rtol=1e-7)
            for row, (train, test) in enumerate(divided):
                expected = self.errors(patterns[train], responses[train], labels[train])
                index = chosen.alpha_in_split[row]
                np.testing.assert_array_equal(index, expected.argmin(axis=0))
                total = responses[train].var(axis=0) * len(train)
                np.testing.assert_allclose(
                    chosen.error_in_split[row], expected.min(axis=0) / total, rtol=1e-7
                )
                for site, k in enumerate(index):
                    model = Ridge(self.ALPHAS[k]).fit(patterns[train], responses[train, site])
                    assert_equal(
                        chosen.predictions[row][:, site], model.predict(patterns[test]),
                        responses[:, site],
                    )  # fmt: skip

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_as_a_grid_search(self, size):
        patterns, responses, labels = variants(size, 10, size, 30, 4)
        chosen = select(
            [Decomposition.of_patterns(patterns)], responses, groups=labels, alphas=self.ALPHAS,
            relative=False,
        )  # fmt: skip
        for site in range(4):
            search = GridSearchCV(
                Ridge(), {"alpha": self.ALPHAS}, cv=LeaveOneGroupOut(),
                scoring="neg_mean_squared_error",
            ).fit(patterns, responses[:, site], groups=labels)  # fmt: skip
            assert chosen.alpha[site] == search.best_params_["alpha"]

    @settings(max_examples=20, deadline=None)
    @given(seed=SEEDS, n=st.integers(12, 30), p=st.integers(1, 40), shared=st.booleans())
    def test_each_by_itself_is_as_without(self, seed, n, p, shared):
        patterns, responses = problem(seed, n, p, 3)
        labels = np.random.default_rng(seed).permutation(n)
        one, other = (
            select([Decomposition.of_patterns(patterns)], responses, folds(n), groups=groups,
                   shared_alpha=shared)
            for groups in (None, labels)
        )  # fmt: skip
        for name in ("alpha", "error", "error_in_split", "alpha_in_split"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert a.tobytes() == b.tobytes()

    def test_one_group_to_train_on_is_left_out_stimulus_by_stimulus(self):
        """As with one session that is predicted from another."""
        patterns, responses = problem(3, 30, 10, 3)
        labels = np.repeat([0, 1], 15)
        splits = [(np.arange(15), np.arange(15, 30)), (np.arange(15, 30), np.arange(15))]
        decomposition = Decomposition.of_patterns(patterns)
        one, other = (select([decomposition], responses, splits, groups=g) for g in (None, labels))
        np.testing.assert_array_equal(one.alpha_in_split, other.alpha_in_split)
        np.testing.assert_array_equal(one.error_in_split, other.error_in_split)

    def test_new_pictures_are_predicted_better(self):
        """A penalty that suits variants of known pictures is too weak for others."""
        patterns, responses, labels = variants(0, 60, 3, 100, 20, noise=1.0)
        splits = group_folds(len(labels), labels)
        decomposition = Decomposition.of_patterns(patterns)
        r2, alpha = [], []
        for groups in (None, labels):
            chosen = select([decomposition], responses, splits, groups=groups)
            error = [
                ((chosen.predictions[k] - responses[test]) ** 2).sum(axis=0)
                for k, (_, test) in enumerate(splits)
            ]
            r2.append(np.median(1 - np.sum(error, axis=0) / (responses.var(0) * len(labels))))
            alpha.append(np.median(chosen.alpha))
        assert alpha[1] > 100 * alpha[0]
        assert r2[0] < -0.5
        assert r2[1] > -0.1

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_same_bytes_on_any_number_of_threads(self, dtype):
        patterns, responses, labels = variants(1, 12, 3, 40, 6)
        decompositions = [Decomposition.of_patterns(patterns[:, k:]) for k in (0, 10, 20)]
        one, two = (
            select(decompositions, responses, group_folds(36, labels), groups=labels,
                   search_dtype=dtype, threads=threads)
            for threads in (1, 2)
        )  # fmt: skip
        for name in ("candidate", "alpha", "error", "error_in_split", "in_split"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()

    def test_single_precision_chooses_the_same(self):
        patterns, responses, labels = variants(2, 20, 3, 40, 10)
        options = {"alphas": np.logspace(-2.0, 3.0, 11), "groups": labels}
        splits = group_folds(60, labels)
        decomposition = Decomposition.of_patterns(patterns)
        double = select([decomposition], responses, splits, **options)
        single = select([decomposition], responses, splits, search_dtype="float32", **options)
        np.testing.assert_array_equal(double.alpha_index, single.alpha_index)
        np.testing.assert_array_equal(double.alpha_in_split, single.alpha_in_split)
        np.testing.assert_allclose(single.error, double.error, rtol=1e-3)

    @pytest.mark.parametrize("labels", [np.zeros(5), np.zeros((20, 2)), []])
    def test_of_another_number(self, labels):
        patterns, responses = problem(3, 20, 10, 3)
        with pytest.raises(ProbeError, match=r"expected \(20,\), a label per stimulus"):
            select([Decomposition.of_patterns(patterns)], responses, groups=labels)


class TestNumbers:
    def many(self, seed=6, n=60, m=40):
        made = [problem(seed + k, n, p, m, 3.0) for k, p in enumerate((8, 30, 100))]
        responses = np.stack([made[k % 3][1][:, k] for k in range(m)], axis=1)
        return [Decomposition.of_patterns(patterns) for patterns, _ in made], responses

    def assert_same_choice(self, one, other):
        for name in ("candidate", "alpha_index", "in_split", "alpha_in_split"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))

    def test_single_precision_chooses_the_same(self):
        decompositions, responses = self.many()
        options = {"alphas": np.logspace(-2.0, 3.0, 11)}
        double = select(decompositions, responses, folds(60, 5), **options)
        single = select(decompositions, responses, folds(60, 5), search_dtype="float32", **options)
        self.assert_same_choice(double, single)
        np.testing.assert_allclose(single.error, double.error, rtol=1e-4)
        for a, b in zip(double.predictions, single.predictions, strict=True):
            assert b.dtype == np.float64
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_same_bytes_on_any_number_of_threads(self, dtype):
        decompositions, responses = self.many()
        one, two = (
            select(decompositions, responses, folds(60), search_dtype=dtype, threads=threads)
            for threads in (1, 2)
        )
        self.assert_same_choice(one, two)
        for name in ("alpha", "error", "error_in_split"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
        for a, b in zip(one.predictions, two.predictions, strict=True):
            assert a.tobytes() == b.tobytes()

    @pytest.mark.parametrize("sites", [1, 3, 39])
    @pytest.mark.parametrize("shared", [False, True])
    def test_blocks_of_sites(self, monkeypatch, sites, shared):
        decompositions, responses = self.many()
        whole = select(decompositions, responses, folds(60), shared_alpha=shared)
        monkeypatch.setattr(ridge, "SITES_AT_A_TIME", sites)
        parts = select(decompositions, responses, folds(60), shared_alpha=shared)
        self.assert_same_choice(whole, parts)
        np.testing.assert_allclose(parts.error, whole.error, rtol=1e-10)
        for a, b in zip(whole.predictions, parts.predictions, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)

    def test_progress_counts_candidates(self):
        decompositions, responses = self.many()
        seen = []

        def track(iterable, total):
            for item in iterable:
                seen.append(total)
                yield item

        select(decompositions, responses, track=track)
        assert seen == [3, 3, 3]

    def test_ends_of_the_grid(self):
        patterns, responses = problem(7, 40, 10, 3, 0.01)
        responses[:, 2] = np.random.default_rng(0).normal(size=40)
        chosen = select([Decomposition.of_patterns(patterns)], responses, alphas=ALPHAS[6:])
        assert chosen.n_alphas == len(ALPHAS) - 6
        np.testing.assert_array_equal(
            chosen.at_end, np.isin(chosen.alpha_index, [0, len(ALPHAS) - 7])
        )
        assert chosen.at_end.any()

    def test_input_is_left_alone(self):
        patterns, responses = problem(8, 20, 30, 3)
        before = patterns.copy(), responses.copy()
        decomposition = Decomposition.of_patterns(patterns)
        vectors = decomposition.vectors.copy()
        select([decomposition], responses, folds(20))
        np.testing.assert_array_equal(patterns, before[0])
        np.testing.assert_array_equal(responses, before[1])
        np.testing.assert_array_equal(decomposition.vectors, vectors)


class TestInvariance:
    """What the choice of units has no say in: penalties are relative."""

    def fit(self, patterns, responses):
        decompositions = [Decomposition.of_patterns(patterns)]
        return select(decompositions, responses, folds(len(patterns)))

    @settings(max_examples=30)
    @given(
        seed=SEEDS,
        p=st.sampled_from([4, 50]),
        scale=st.sampled_from([1e-9, 0.1, 3.0, 1e9]),
        shift=st.floats(-100.0, 100.0),
    )
    def test_units_of_patterns(self, seed, p, scale, shift):
        patterns, responses = problem(seed, 20, p, 3)
        one = self.fit(patterns, responses)
        other = self.fit(scale * (patterns + shift), responses)
        np.testing.assert_array_equal(other.alpha_index, one.alpha_index)
        np.testing.assert_allclose(other.alpha, scale**2 * one.alpha, rtol=1e-7)
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert_equal(b, a, responses, atol=1e-6)

    @settings(max_examples=30)
    @given(
        seed=SEEDS,
        p=st.sampled_from([4, 50]),
        scale=st.sampled_from([-1.0, 1e-9, 7.0, 1e9]),
        shift=st.floats(-100.0, 100.0),
    )
    def test_units_of_responses(self, seed, p, scale, shift):
        patterns, responses = problem(seed, 20, p, 3)
        one = self.fit(patterns, responses)
        other = self.fit(patterns, scale * (responses + shift))
        np.testing.assert_array_equal(other.alpha_index, one.alpha_index)
        np.testing.assert_allclose(other.error, one.error, rtol=1e-6)
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert_equal(b / scale - shift, a, responses, atol=1e-7)

    @settings(max_examples=20)
    @given(seed=SEEDS, p=st.sampled_from([4, 50]))
    def test_order_of_stimuli_and_sites(self, seed, p):
        patterns, responses = problem(seed, 20, p, 3)
        order = np.random.default_rng(seed).permutation(20)
        place = np.argsort(order)
        splits = folds(20)
        one = select([Decomposition.of_patterns(patterns)], responses, splits)
        other = select(
            [Decomposition.of_patterns(patterns[order])],
            responses[order][:, ::-1],
            [(place[train], place[test]) for train, test in splits],
        )
        np.testing.assert_array_equal(other.alpha_index[::-1], one.alpha_index)
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert_equal(b[:, ::-1], a, responses)

    @settings(max_examples=20)
    @given(seed=SEEDS, p=st.sampled_from([4, 50]))
    def test_held_out_responses_do_not_matter(self, seed, p):
        """Neither for the penalty nor for what is predicted."""
        patterns, responses = problem(seed, 20, p, 3)
        train, test = folds(20)[0]
        other = responses.copy()
        other[test] += np.random.default_rng(seed).normal(size=(len(test), 3)) * 10.0
        one, two = (
            select([Decomposition.of_patterns(patterns)], r, [(train, test)], alphas=ALPHAS[6:])
            for r in (responses, other)
        )
        np.testing.assert_array_equal(one.alpha_in_split, two.alpha_in_split)
        assert_equal(two.predictions[0], one.predictions[0], responses)


class TestConstant:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 7.3, 1e4 / 3.0])
    def test_site(self, value, dtype):
        patterns, responses = problem(9, 30, 50, 3)
        responses[:, 1] = value
        decomposition = Decomposition.of_patterns(patterns)
        chosen = select([decomposition], responses, folds(30), search_dtype=dtype)
        for predictions in chosen.predictions:
            np.testing.assert_allclose(predictions[:, 1], value, rtol=1e-14)
        assert np.isfinite(chosen.error[[0, 2]]).all()
        assert np.isnan(chosen.error[1])
        assert np.isnan(chosen.error_in_split[:, 1]).all()

    @pytest.mark.parametrize("value", [0.0, 0.1, 7.3])
    def test_site_in_training_alone(self, value):
        patterns, responses = problem(10, 30, 50, 2)
        train, test = np.arange(10, 30), np.arange(10)
        responses[train, 1] = value
        chosen = select([Decomposition.of_patterns(patterns)], responses, [(train, test)])
        np.testing.assert_allclose(chosen.predictions[0][:, 1], value, atol=1e-12)
        assert np.isfinite(chosen.error).all()
        assert np.isnan(chosen.error_in_split[0, 1])

    @pytest.mark.parametrize("p", [5, 50])
    @pytest.mark.parametrize("value", [0.0, 0.1, 1e5 / 3.0])
    def test_patterns_predict_the_mean_of_training(self, p, value):
        _, responses = problem(11, 30, 5, 3)
        chosen = select([Decomposition.of_patterns(np.full((30, p), value))], responses, folds(30))
        for (train, test), predictions in zip(folds(30), chosen.predictions, strict=True):
            expected = np.tile(responses[train].mean(axis=0), (len(test), 1))
            np.testing.assert_allclose(predictions, expected, rtol=1e-12)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("p", [20, 100])
    def test_unit_that_only_one_stimulus_drives(self, p, dtype):
        """That stimulus has a leverage of nearly 1."""
        patterns, responses = problem(12, 40, p, 3)
        patterns[:, 0] = 0.0
        patterns[3, 0] = 1e3
        alphas = np.logspace(-2.0, 3.0, 6)
        chosen = select(
            [Decomposition.of_patterns(patterns)], responses, folds(40),
            alphas=alphas, relative=False, search_dtype=dtype,
        )  # fmt: skip
        if dtype == "float64":
            expected = by_sklearn([patterns], responses, alphas, np.arange(40))[1]
            np.testing.assert_array_equal(chosen.alpha, expected)
        for (train, test), predictions, index in zip(
            folds(40), chosen.predictions, chosen.alpha_in_split, strict=True
        ):
            model = Ridge(alphas[index]).fit(patterns[train], responses[train])
            assert_equal(predictions, model.predict(patterns[test]), responses, atol=1e-6)


class TestErrors:
    def given(self):
        patterns, responses = problem(13, 12, 5, 2)
        return [Decomposition.of_patterns(patterns)], responses

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_responses_that_are_not_finite(self, value):
        decompositions, responses = self.given()
        responses[3, 1] = value
        with pytest.raises(ProbeError, match="NaN or infinite"):
            select(decompositions, responses)

    @pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan])
    def test_penalty_that_is_not_above_zero(self, alpha):
        decompositions, responses = self.given()
        with pytest.raises(ProbeError, match="expected numbers above 0"):
            select(decompositions, responses, alphas=np.array([1.0, alpha]))

    def test_split_that_trains_on_what_it_tests(self):
        decompositions, responses = self.given()
        with pytest.raises(ProbeError, match="trains on a stimulus that it is tested on"):
            select(decompositions, responses, [(np.arange(8), np.arange(7, 12))])

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_too_few_training_stimuli(self, n):
        decompositions, responses = self.given()
        with pytest.raises(ProbeError, match=f"trains on {n} stimuli: expected 3 or more"):
            select(decompositions, responses, [(np.arange(n), np.arange(4, 12))])

    def test_three_training_stimuli_are_enough(self):
        decompositions, responses = self.given()
        split = (np.arange(3), np.arange(3, 12))
        assert np.isfinite(select(decompositions, responses, [split]).predictions[0]).all()
