"""Resamples side by side against one after the other, and against definitions."""

from __future__ import annotations

import ast
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.similarity import comparators, lanes
from probe.similarity.comparators import COMPARATORS
from probe.similarity.kendall import kendall
from probe.similarity.lanes import (
    LANES,
    LaneRanks,
    SortedPairs,
    agreements,
    permute_rows,
)
from probe.similarity.pairs import Pairs
from probe.similarity.ranks import compiled, dense_ranks

N = 9


def draw(seed, n_rdms, levels=None, missing=0):
    """RDMs over the pairs of 9 conditions, some pairs left out, and the pairs."""
    rng = np.random.default_rng(seed)
    pairs = Pairs.all(N)
    if missing:
        pairs = pairs.take(np.sort(rng.permutation(len(pairs))[missing:]))
    rdms = rng.random((n_rdms, len(pairs)))
    return (rdms if levels is None else np.floor(levels * rdms) / 7.0), pairs


def resamples(seed, n=5):
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(N, np.full(N, 1.0 / N), size=n)
    counts[0] = 1
    return counts


def sort(rdms, pairs):
    return [SortedPairs.of(rdm, pairs.i, pairs.j) for rdm in rdms]


designs = {
    "seed": st.integers(0, 10**6),
    "levels": st.sampled_from([None, 2, 4]),
    "missing": st.sampled_from([0, 11]),
}


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile before Hypothesis takes the time."""
    rdms, pairs = draw(0, 1)
    LaneRanks.of(sort(rdms, pairs), pairs, resamples(0)).products(sort(rdms, pairs))
    agreements(sort(rdms, pairs), dense_ranks(rdms), pairs, resamples(0))


class TestRanks:
    @given(**designs, single=st.booleans())
    def test_products_are_those_of_pairs_written_out(self, seed, levels, missing, single):
        x, pairs = draw(seed, 2, levels, missing)
        y, _ = draw(seed, 3, None, missing)
        counts = resamples(seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lanes, "MOST_EXACT", 2**24 if single else 0)
            sums = LaneRanks.of(sort(y, pairs), pairs, counts).products(sort(x, pairs))
        for b, row in enumerate(counts):
            times = pairs.weights(row).astype(int)

            def ranks(rdms, times=times):
                copies = np.repeat(rdms, times, axis=1)
                return 2.0 * stats.rankdata(copies, axis=1) - (times.sum() + 1.0)

            u, v = ranks(x), ranks(y)
            np.testing.assert_array_equal(sums.cross[b], u @ v.T)
            np.testing.assert_allclose(sums.of_models[b], (u**2).sum(axis=1), rtol=1e-12)
            np.testing.assert_allclose(sums.of_data[b], (v**2).sum(axis=1), rtol=1e-12)

    @pytest.mark.parametrize("levels", [None, 4])
    @pytest.mark.parametrize(
        "is_compiled",
        [False, pytest.param(True, marks=pytest.mark.slow)],
        ids=["python", "compiled"],
    )
    def test_more_lanes_of_large_rdms_give_the_same(self, levels, is_compiled, monkeypatch):
        """As Python runs them; to compile them takes ten seconds."""
        x, pairs = draw(0, 2, levels)
        y, _ = draw(1, 2, levels)
        counts = resamples(2, lanes.WIDE)
        expected = [
            LaneRanks.of(sort(y, pairs), pairs, counts[k : k + LANES]).products(sort(x, pairs))
            for k in range(0, lanes.WIDE, LANES)
        ]
        monkeypatch.setattr(lanes, "MANY_PAIRS", len(pairs))
        assert lanes.n_lanes(pairs) == lanes.WIDE
        if not is_compiled:

            def in_python(walk, n):
                function = lanes.unrolled(walk, n)
                function.__globals__["prefetch"] = lanes.prefetch
                return function

            monkeypatch.setattr(lanes, "compiled_walk", in_python)
        sums = LaneRanks.of(sort(y, pairs), pairs, counts).products(sort(x, pairs))
        for name in ("cross", "of_models", "of_data"):
            both = np.concatenate([getattr(part, name) for part in expected])
            np.testing.assert_array_equal(getattr(sums, name), both)

    def test_no_more_lanes_than_a_line_of_the_cache_has_room_for(self):
        assert [lanes.n_lanes(Pairs.all(n)) for n in (640, 1025, 5000)] == [8, 16, 16]
        assert lanes.n_lanes(Pairs(5800, *np.zeros((2, 2**20), dtype=np.int32))) == 8

    def test_several_rdms_hold_fewer_where_memory_is_short(self, monkeypatch):
        x, pairs = draw(0, 2)
        y, _ = draw(1, 3)
        counts = resamples(2, 4)
        expected = LaneRanks.of(sort(y, pairs), pairs, counts).products(sort(x, pairs))
        monkeypatch.setattr(lanes, "MOST_HELD", 5 * y.size)
        assert [lanes.n_lanes(pairs, n) for n in (1, 2, 3)] == [8, 4, 4]
        ranks = LaneRanks.of(sort(y, pairs), pairs, counts)
        assert ranks.ranks.shape == (3, len(pairs), 4)
        np.testing.assert_array_equal(ranks.products(sort(x, pairs)).cross, expected.cross)

    def test_all_tied_has_no_squares(self):
        pairs = Pairs.all(N)
        constant = sort(np.ones((1, len(pairs))), pairs)
        sums = LaneRanks.of(constant, pairs, resamples(1)).products(constant)
        assert not sums.of_models.any()
        assert not sums.of_data.any()
        assert not sums.cross.any()

    def test_ranks_beyond_single_precision(self):
        """5,800 conditions weigh more than 2^24 together: here 9 that occur 700 times each."""
        rdms, pairs = draw(3, 2)
        counts = np.full((1, N), 700)
        sums = LaneRanks.of(sort(rdms[1:], pairs), pairs, counts).products(sort(rdms[:1], pairs))
        assert pairs.totals(counts)[0] > lanes.MOST_EXACT
        u, v = 490_000.0 * (2.0 * stats.rankdata(rdms, axis=1) - len(pairs) - 1.0)
        assert sums.cross[0, 0, 0] == pytest.approx(490_000.0 * (u @ v), rel=1e-14)


class TestKendall:
    @given(**designs)
    def test_counts_are_those_of_one_resample_after_the_other(self, seed, levels, missing):
        x, pairs = draw(seed, 2, levels, missing)
        y, _ = draw(seed + 1, 3, 3, 0)
        y = y[:, pairs.positions]
        counts = resamples(seed)
        compared = agreements(sort(x, pairs), dense_ranks(y), pairs, counts)
        for b, row in enumerate(counts):
            weights = pairs.weights(row).astype(np.int64)
            n = weights.sum()
            if n < 2:
                continue
            tau = kendall(dense_ranks(x), dense_ranks(y), weights, "a")
            np.testing.assert_allclose(compared.balance[b] / (n * (n - 1) / 2), tau, atol=1e-15)
            for rdms, ties in ((x, compared.of_models), (y, compared.of_data)):
                sizes = [
                    np.array([weights[rdm == value].sum() for value in np.unique(rdm)])
                    for rdm in rdms
                ]
                np.testing.assert_array_equal(ties[b], [(s * (s - 1) // 2).sum() for s in sizes])


@pytest.mark.parametrize("name", sorted(COMPARATORS))
@pytest.mark.parametrize("missing", [0, 3])
def test_many_resamples_are_as_each_by_itself(name, missing):
    comparator = COMPARATORS[name]
    if missing and name == "bures":
        pytest.skip("compares whole matrices")
    x, pairs = draw(1, 2, None, missing)
    y, _ = draw(2, 3, None, 0)
    y = y[:, pairs.positions] + x[:1]
    models, data = comparator.prepare(x, pairs), comparator.prepare(y, pairs)
    counts = resamples(3, n=LANES + 3)
    counts[1] = [8, 0, 0, 1, 0, 0, 0, 0, 0]  # one condition more often than all others together
    counts[2] = [8, 1, 0, 0, 0, 0, 0, 0, 0] if name != "bures" else 1
    everyone = np.ones((len(counts), 3))
    drawn = np.tile([2.0, 0.0, 1.0], (len(counts), 1))
    scores, bounds = comparator.resample(models, data, counts, [everyone, drawn])
    for k in range(len(counts)):
        part = slice(k, k + 1)
        one, its_bounds = comparator.resample(
            models, data, counts[part], [everyone[part], drawn[part]]
        )
        np.testing.assert_allclose(scores[k], one[0], atol=1e-12)
        np.testing.assert_allclose(bounds[:, k], its_bounds[:, 0], atol=1e-12)


@pytest.mark.parametrize("at_a_time", [1, 3 * N * 2, 2**22])
@pytest.mark.parametrize("name", ["spearman", "rho-a", "pearson", "cosine"])
def test_permuted_scores_are_those_of_permuted_rdms(name, at_a_time, monkeypatch):
    monkeypatch.setattr(comparators, "PERMUTED_PAIRS", at_a_time)
    comparator = COMPARATORS[name]
    x, pairs = draw(0, 2)
    y, _ = draw(1, 3)
    models, data = comparator.prepare(x, pairs), comparator.prepare(y, pairs)
    orders = np.stack([np.random.default_rng(k).permutation(N) for k in range(3)])
    scores = comparator.permuted_scores(models, data, orders)
    for of_order, order in zip(scores, orders, strict=True):
        permuted = comparator.prepare(y[:, pairs.permuted(order)], pairs)
        expected = comparator.similarity(models, permuted).mean(axis=1)
        np.testing.assert_allclose(of_order, expected, atol=1e-14)


def test_rows_of_permuted_rdms():
    rdms, pairs = draw(0, 1)
    orders = np.stack([np.random.default_rng(k).permutation(N) for k in range(3)])
    permuted = np.empty((3, len(pairs)))
    compiled(permute_rows)(pairs.squares(rdms)[0], orders, 0, permuted)
    for order, row in zip(orders, permuted, strict=True):
        np.testing.assert_array_equal(row, rdms[0, pairs.permuted(order)])


def test_unrolled_repeats_what_is_about_a_lane():
    source = """
def add_up(values, total):
    sum_ = 0.0
    for k in range(2):
        sum_ += values[k, lane]
    total[lane] = sum_
"""
    namespace = {}
    tree = ast.fix_missing_locations(lanes._Unrolling(LANES).visit(ast.parse(source)))
    exec(compile(tree, "test", "exec"), namespace)
    values, total = np.random.default_rng(0).random((2, LANES)), np.empty(LANES)
    namespace["add_up"](values, total)
    np.testing.assert_array_equal(total, values[0] + values[1])
    assert ast.unparse(tree).count("+=") == LANES


def test_more_pairs_than_are_counted_are_refused():
    """9 conditions that occur 8,000 times each are 2.3 · 10⁹ pairs."""
    rdms, pairs = draw(0, 2)
    models, ranks = sort(rdms[:1], pairs), dense_ranks(rdms[1:])
    with pytest.raises(ValueError, match="too many for Kendall's tau; at most 2,147,483,647"):
        agreements(models, ranks, pairs, np.full((2, N), 8_000))


def test_memory_does_not_grow_with_the_number_of_permutations():
    """Of 400 conditions 256 permutations take 163 MB, and 5,000 are no rare number."""
    comparator = COMPARATORS["pearson"]
    rdms = np.random.default_rng(0).random((2, 400 * 399 // 2))
    models, data = comparator.prepare(rdms[:1]), comparator.prepare(rdms[1:])
    orders = np.stack([np.random.default_rng(k).permutation(400) for k in range(256)])
    few = comparator.permuted_scores(models, data, orders[:3])  # and compiled
    tracemalloc.start()
    try:
        scores = comparator.permuted_scores(models, data, orders)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6
    np.testing.assert_allclose(scores[:3], few, atol=1e-14)


@pytest.mark.parametrize("name", ["pearson", "cosine", "whitened-pearson"])
def test_many_rdms_of_data_are_not_multiplied_with_each_other(name):
    """As of all subjects and times of a recording: 600 would have 180,000 products."""
    comparator = COMPARATORS[name]
    (x, pairs), (y, _) = draw(0, 2), draw(1, 600)
    models, data = comparator.prepare(x, pairs), comparator.prepare(y, pairs)
    counts = resamples(3, n=16)
    some = slice(450, 453)
    expected, _ = comparator.resample(models, comparator.prepare(y[some], pairs), counts)
    tracemalloc.start()
    try:
        scores, bounds = comparator.resample(models, data, counts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    assert bounds.shape == (0, 16, 2, 600)
    np.testing.assert_allclose(scores[:, :, some], expected, atol=1e-12)
