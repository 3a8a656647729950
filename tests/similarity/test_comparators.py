"""Comparators against closed forms, SciPy, and RDMs whose repeated pairs are written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import squareform

from probe.similarity import COMPARATORS, compare, get_comparator
from probe.similarity.comparators import whitened
from probe.similarity.pairs import Pairs

NAMES = tuple(COMPARATORS)
RANKED = ("spearman", "rho-a", "tau-a", "tau-b")
CORRELATIONS = (*RANKED, "pearson", "whitened-pearson")
PAIRWISE = (*RANKED, "pearson", "cosine")  # whose distances could stand in any order


def rdms(seed, n_rdms, n=8, levels=None):
    """Random distances; with ``levels``, of so many different values."""
    rng = np.random.default_rng(seed)
    values = rng.random((n_rdms, n * (n - 1) // 2))
    return values if levels is None else np.floor(levels * values) / 7.0


def expected(x, y, name):
    """The textbook definition over the pairs given."""
    if name == "cosine":
        return x @ y / np.sqrt((x @ x) * (y @ y))
    if name == "pearson":
        return stats.pearsonr(x, y).statistic
    if name == "spearman":
        return stats.spearmanr(x, y).statistic
    if name == "tau-b":
        return stats.kendalltau(x, y).statistic
    if name == "tau-a":
        signs = [np.sign(np.subtract.outer(v, v)) for v in (x, y)]
        return (signs[0] * signs[1]).sum() / (len(x) * (len(x) - 1))
    n, x, y = len(x), stats.rankdata(x), stats.rankdata(y)
    return 12.0 * (x @ y) / (n**3 - n) - 3.0 * (n + 1) / (n - 1)


def repeated(rdm, counts):
    """The RDM of a resample, pairs of a stimulus with itself dropped."""
    drawn = np.repeat(np.arange(len(counts)), counts)
    rows, columns = np.triu_indices(len(drawn), 1)
    different = drawn[rows] != drawn[columns]
    return squareform(rdm)[drawn[rows[different]], drawn[columns[different]]]


inputs = {
    "seed": st.integers(0, 10**6),
    "name": st.sampled_from(PAIRWISE),
    "levels": st.sampled_from([None, 2, 5]),
}


class TestClosedForms:
    def test_worked_example(self):
        x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
        assert compare(x, y, "spearman") == pytest.approx(0.5)
        assert compare(x, y, "rho-a") == pytest.approx(0.5)
        assert compare(x, y, "pearson") == pytest.approx(0.5)
        assert compare(x, y, "cosine") == pytest.approx(13 / 14)

    def test_ties(self):
        x, y = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])
        # Mid-ranks 1.5, 1.5, 3: Spearman divides by their own spread, rho-a by that of 1, 2, 3.
        assert compare(x, y, "spearman") == pytest.approx(np.sqrt(0.75))
        assert compare(x, y, "rho-a") == pytest.approx(0.75)

    @given(n=st.integers(3, 10), **inputs)
    def test_definitions(self, seed, name, levels, n):
        x, y = rdms(seed, 2, n, levels)
        assume(np.ptp(x) > 0 and np.ptp(y) > 0)
        assert compare(x, y, name) == pytest.approx(expected(x, y, name), abs=1e-12)

    @given(seed=st.integers(0, 10**6))
    def test_rho_a_is_spearman_under_random_tie_breaking(self, seed):
        rng = np.random.default_rng(seed)
        x, y = np.array([0.0, 0.0, 1.0]), rng.permutation(3).astype(float)
        broken = [stats.spearmanr(order, y).statistic for order in ([0, 1, 2], [1, 0, 2])]
        assert compare(x, y, "rho-a") == pytest.approx(np.mean(broken), abs=1e-12)

    def test_rho_a_is_spearman_without_ties(self):
        a, b = rdms(0, 3), rdms(1, 4)
        np.testing.assert_allclose(compare(a, b, "rho-a"), compare(a, b, "spearman"), rtol=1e-12)

    def test_default(self):
        x, y = rdms(0, 2)
        assert compare(x, y) == compare(x, y, "spearman")


class TestInvariances:
    @given(n=st.integers(3, 9), **inputs)
    def test_stimuli_in_another_order(self, seed, name, levels, n):
        x, y = rdms(seed, 2, n, levels)
        assume(np.ptp(x) > 0 and np.ptp(y) > 0)
        order = np.random.default_rng(seed + 1).permutation(n)
        permuted = [squareform(squareform(v)[np.ix_(order, order)]) for v in (x, y)]
        assert compare(*permuted, name) == pytest.approx(compare(x, y, name), abs=1e-12)

    @given(**inputs)
    def test_symmetric_and_bounded(self, seed, name, levels):
        a, b = rdms(seed, 3, levels=levels), rdms(seed + 1, 2, levels=levels)
        forth, back = compare(a, b, name), compare(b, a, name)
        np.testing.assert_allclose(forth, back.T, atol=1e-14)
        assert (np.abs(forth) <= 1.0).all()

    @given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6))
    def test_with_itself(self, name, seed):
        x = rdms(seed, 1)[0]
        assert compare(x, x, name) == pytest.approx(1.0, abs=1e-12)
        if name in CORRELATIONS:
            assert compare(x, -x, name) == pytest.approx(-1.0, abs=1e-12)

    @given(**inputs)
    def test_gain(self, seed, name, levels):
        a, b = rdms(seed, 2, levels=levels)
        assert compare(4.2 * a, b, name) == pytest.approx(compare(a, b, name), abs=1e-12)

    @given(seed=st.integers(0, 10**6), name=st.sampled_from(CORRELATIONS))
    def test_offset(self, seed, name):
        a, b = rdms(seed, 2)
        assert compare(a + 3.0, b, name) == pytest.approx(compare(a, b, name), abs=1e-10)

    @given(seed=st.integers(0, 10**6), name=st.sampled_from(RANKED))
    def test_monotone_transformation(self, seed, name):
        a, b = rdms(seed, 2, levels=5)
        assert compare(np.exp(a), b, name) == pytest.approx(compare(a, b, name), abs=1e-12)

    @given(seed=st.integers(0, 10**6), name=st.sampled_from(RANKED))
    def test_ties_up_to_rounding_are_ties(self, seed, name):
        a, b = rdms(seed, 2, levels=4) + 1.0
        jitter = np.random.default_rng(seed + 1).integers(-2, 3, len(a)) * np.finfo(float).eps
        assert compare(a * (1 + jitter), b, name) == pytest.approx(compare(a, b, name), abs=1e-12)


class TestResamples:
    @given(counts=st.lists(st.integers(0, 4), min_size=7, max_size=7), **inputs)
    def test_weights_equal_repeated_pairs(self, counts, seed, name, levels):
        assume(np.count_nonzero(counts) >= 3)
        a, b = rdms(seed, 2, 7, levels)
        x, y = repeated(a, counts), repeated(b, counts)
        assume(np.ptp(x) > 0 and np.ptp(y) > 0)
        chosen = COMPARATORS[name]
        result = chosen.similarity(chosen.prepare(a), chosen.prepare(b), np.array(counts))
        assert result[0, 0] == pytest.approx(expected(x, y, name), abs=1e-12)

    @pytest.mark.parametrize("name", NAMES)
    def test_all_once_is_no_resample(self, name):
        chosen = COMPARATORS[name]
        a, b = chosen.prepare(rdms(0, 2, levels=5)), chosen.prepare(rdms(1, 3))
        np.testing.assert_allclose(
            chosen.similarity(a, b, np.ones(8, int)), chosen.similarity(a, b), rtol=1e-14
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_counts_zero_and_one_are_a_subset(self, name):
        a, b = rdms(0, 2, 9, levels=6)
        kept = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0])
        subset = [squareform(squareform(v)[np.ix_(kept > 0, kept > 0)]) for v in (a, b)]
        chosen = COMPARATORS[name]
        result = chosen.similarity(chosen.prepare(a), chosen.prepare(b), kept)[0, 0]
        assert result == pytest.approx(compare(*subset, name), abs=1e-12)

    @pytest.mark.parametrize(("name", "left"), [
        ("spearman", np.nan), ("pearson", np.nan), ("cosine", np.nan), ("rho-a", 0.0),
        ("tau-a", 0.0), ("tau-b", np.nan), ("whitened-pearson", np.nan),
    ])  # fmt: skip
    @pytest.mark.parametrize("level", [0.1, 1 / 3, 7.0])
    def test_a_resample_that_leaves_a_constant(self, name, left, level):
        counts = np.random.default_rng(0).integers(0, 4, 30)
        counts[0] = 0
        model = np.where(
            np.arange(435) == 0, 0.9, 0.0 if name == "cosine" else level
        )  # pair (0, 1)
        chosen = COMPARATORS[name]
        a, b = chosen.prepare(model), chosen.prepare(rdms(0, 2, 30))
        result = chosen.similarity(a, b, counts)
        np.testing.assert_array_equal(result, [[left, left]])
        np.testing.assert_array_equal(chosen.similarity(b, a, counts), result.T)

    def test_pair_weights(self):
        np.testing.assert_array_equal(Pairs.all(4).weights([2, 0, 1, 3]), [0, 2, 6, 0, 0, 3])

    @pytest.mark.parametrize("name", ["pearson", "cosine"])
    @pytest.mark.parametrize("kind", ["random", "large mean", "nearly constant"])
    def test_many_resamples_at_once_are_the_same_one_by_one(self, name, kind):
        rng = np.random.default_rng(0)
        a, b = rdms(0, 3, 12), rdms(1, 4, 12)
        if kind == "large mean":
            a, b = a + 1e4, b + 1e4
        if kind == "nearly constant":  # but for one stimulus, which some resamples lack
            a[:, :11] += 1e7
        chosen = COMPARATORS[name]
        prepared = chosen.prepare(a), chosen.prepare(b)
        counts = rng.multinomial(12, np.full(12, 1 / 12), size=40)
        subjects = [rng.multinomial(4, np.full(4, 0.25), size=40), np.ones((40, 4))]
        together = chosen.resample(*prepared, counts, subjects)
        for k in range(40):
            one = slice(k, k + 1)
            alone = chosen.resample(*prepared, counts[one], [w[one] for w in subjects])
            np.testing.assert_allclose(together[0][one], alone[0], rtol=0, atol=1e-9)
            np.testing.assert_allclose(together[1][:, one], alone[1], rtol=0, atol=1e-9)


class TestPool:
    @given(
        seed=st.integers(0, 10**6),
        name=st.sampled_from([n for n in NAMES if n not in ("tau-a", "tau-b", "bures")]),
    )
    def test_no_other_rdm_is_more_like_all(self, seed, name):
        data = rdms(seed, 4, 6)
        best = compare(COMPARATORS[name].pool(data), data, name).mean()
        rng = np.random.default_rng(seed + 1)
        others = np.concatenate([data, data.mean(axis=0)[None], rng.random((20, data.shape[1]))])
        assert (compare(others, data, name).mean(axis=1) <= best + 1e-12).all()

    @given(**inputs)
    def test_subjects_in_another_order(self, seed, name, levels):
        data = rdms(seed, 5, levels=levels)
        order = np.random.default_rng(seed + 1).permutation(5)
        pool = COMPARATORS[name].pool
        np.testing.assert_allclose(pool(data[order]), pool(data), atol=1e-10)

    @pytest.mark.parametrize("name", NAMES)
    def test_scale_of_a_subject_does_not_matter(self, name):
        data = rdms(0, 3)
        scaled = data * np.array([[1.0], [100.0], [0.01]])
        pool = COMPARATORS[name].pool
        np.testing.assert_allclose(pool(scaled), pool(data), rtol=1e-10)


class TestErrors:
    def test_unknown(self):
        with pytest.raises(ValueError, match="'kendall': expected one of spearman, rho-a, pear"):
            compare(*rdms(0, 2), "kendall")
        assert get_comparator(COMPARATORS["cosine"]) is COMPARATORS["cosine"]

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, name, value):
        data = rdms(0, 3)
        data[2, 5] = value
        with pytest.raises(ValueError, match="RDM 2 has a NaN or infinite"):
            COMPARATORS[name].prepare(data)
        data[2, 5] = np.inf
        with pytest.raises(ValueError, match="RDM 2 has an infinite distance"):
            compare(rdms(1, 1)[0], data, name)

    @pytest.mark.parametrize("name", CORRELATIONS)
    @pytest.mark.parametrize("jitter", [0.0, 1e-16])
    def test_constant(self, name, jitter):
        data = rdms(0, 3)
        data[1] = 0.1 + jitter * np.arange(data.shape[1])
        with pytest.raises(ValueError, match=f"RDM 1 is constant: {name}"):
            compare(data, rdms(1, 1)[0], name)

    def test_cosine_of_a_constant_is_defined_and_of_zeros_is_not(self):
        x = rdms(0, 1)[0]
        assert compare(np.ones_like(x), x, "cosine") == pytest.approx(
            x.sum() / np.sqrt(len(x) * (x @ x))
        )
        with pytest.raises(ValueError, match="RDM 0 is constant"):
            compare(np.zeros_like(x), x, "cosine")

    def test_sizes(self):
        with pytest.raises(ValueError, match="RDMs of 28 and 15 pairs"):
            compare(rdms(0, 1, 8)[0], rdms(0, 1, 6)[0])
        with pytest.raises(ValueError, match="5 pairs are not"):
            compare(np.arange(5.0), np.arange(5.0))

    @pytest.mark.parametrize("name", NAMES)
    def test_input_is_left_alone(self, name):
        data = rdms(0, 3, levels=4)
        before = data.copy()
        compare(data, data, name)
        COMPARATORS[name].pool(data)
        np.testing.assert_array_equal(data, before)


class TestMissingPairs:
    """A pair that is NaN in one RDM is left out of all: the same rule in every comparator."""

    @given(seed=st.integers(0, 10**6), name=st.sampled_from(PAIRWISE))
    def test_equals_the_vectors_without_them(self, seed, name):
        rng = np.random.default_rng(seed)
        a, b = rdms(seed, 2, levels=6), rdms(seed + 1, 3)
        lost = rng.permutation(28)[:9]
        a[1, lost[:4]] = np.nan
        b[2, lost[3:]] = np.nan
        kept = np.setdiff1d(np.arange(28), lost)
        assume((np.ptp(a[:, kept], axis=1) > 0).all())
        by_hand = [[expected(x[kept], y[kept], name) for y in b] for x in a]
        np.testing.assert_allclose(compare(a, b, name), by_hand, atol=1e-12)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_condition_without_distances_is_left_out(self, name):
        a, b = rdms(0, 2, 9), rdms(1, 2, 9)
        kept = np.arange(9) != 4
        subset = [
            np.stack([squareform(squareform(v)[np.ix_(kept, kept)]) for v in r]) for r in (a, b)
        ]
        i, j = np.triu_indices(9, 1)
        b[1, (i == 4) | (j == 4)] = np.nan
        np.testing.assert_allclose(compare(a, b, name), compare(*subset, name), atol=1e-10)

    def test_bures_cannot_leave_out_a_single_pair(self):
        a = rdms(0, 2)
        a[0, 3] = np.nan
        with pytest.raises(ValueError, match="only all pairs of a condition"):
            compare(a, a, "bures")

    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_left(self, name):
        a = rdms(0, 2)
        a[1] = np.nan
        with pytest.raises(ValueError, match="RDM 1 has no distances"):
            compare(rdms(1, 1), a, name)
        a[1, :2] = 1.0, 2.0
        with pytest.raises(ValueError, match="2 pairs of conditions have a distance in every RDM"):
            compare(rdms(1, 1), a, name)


class TestWhitened:
    def test_sigma_of_independent_estimates_is_the_default(self):
        a, b = rdms(0, 2), rdms(1, 3)
        for centred, name in ((True, "whitened-pearson"), (False, "whitened-cosine")):
            same = compare(a, b, whitened(3.0 * np.eye(8), centred=centred))
            np.testing.assert_allclose(same, compare(a, b, name), atol=1e-12)
            other = compare(a, b, whitened(np.diag(np.arange(1.0, 9.0)), centred=centred))
            assert (np.abs(other - same) > 1e-4).all()


@pytest.mark.parametrize("name", list(COMPARATORS))
@pytest.mark.parametrize("levels", [None, 4])
def test_vectors_have_the_similarity_as_their_product(name, levels):
    """And where the comparator is no inner product, there are none."""
    chosen = get_comparator(name)
    rdms = np.random.default_rng(0).random((5, 45))
    if levels:
        rdms = np.ceil(levels * rdms)
    a, b = chosen.prepare(rdms[:2]), chosen.prepare(rdms[2:])
    if chosen.vectors(a) is None:
        assert name in ("tau-a", "tau-b", "bures")
        return
    products = chosen.vectors(a) @ chosen.vectors(b).T
    np.testing.assert_allclose(products, chosen.similarity(a, b), rtol=1e-10, atol=1e-13)


def test_there_are_no_vectors_where_pairs_are_missing():
    rdms = np.random.default_rng(0).random((2, 45))
    for name in COMPARATORS:
        chosen = get_comparator(name)
        pairs = Pairs.all(10).take(np.arange(9, 45))  # without the first condition
        assert chosen.vectors(chosen.prepare(rdms[:, 9:], pairs)) is None
    correlated = whitened(np.eye(10) + 0.2)
    assert correlated.vectors(correlated.prepare(rdms)) is None
