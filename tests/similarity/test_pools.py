"""Bounds of rank correlations, against ranks of resamples that are written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from probe.similarity import pools as module
from probe.similarity.lanes import LaneRanks, SortedPairs
from probe.similarity.pairs import Pairs
from probe.similarity.pools import pooled_products
from probe.similarity.ranks import ROUNDING, compiled

N, N_SUBJECTS = 9, 3


def pairs_of(seed, *, complete):
    pairs = Pairs.all(N)
    if complete:
        return pairs
    return pairs.take(np.flatnonzero(np.random.default_rng(seed).random(len(pairs)) < 0.8))


def draws(seed, n, size):
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(size)])


def by_hand(rdms, weights, per_length, of_subjects):
    """Products (1 + S, S) and squares (1 + S,) of one resample, its pairs repeated."""
    written = np.repeat(rdms, weights, axis=1)
    units = stats.rankdata(written, axis=1) - (written.shape[1] + 1) / 2
    units = np.where(np.isnan(per_length)[:, None], 0.0, units * per_length[:, None])
    products, squares = np.full((1 + len(rdms), len(rdms)), np.nan), np.full(1 + len(rdms), np.nan)
    for q, without in enumerate([None, *range(len(rdms))]):
        occur = of_subjects.copy()
        if without is not None:
            if not of_subjects[without] or np.isnan(per_length[without]):
                continue
            occur[without] = 0
        pool = np.round(occur @ units, 10)
        ranks = stats.rankdata(pool) - (len(pool) + 1) / 2
        squares[q] = (ranks**2).sum()
        for s in range(len(rdms)) if without is None else [without]:
            if not np.isnan(per_length[s]):
                products[q, s] = ranks @ units[s]
    return products, squares


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), levels=st.sampled_from([None, 2, 5]), complete=st.booleans(),
    constant=st.booleans(),
)  # fmt: skip
def test_equals_ranks_of_pairs_that_are_repeated(seed, levels, complete, constant):
    rng = np.random.default_rng(seed)
    pairs = pairs_of(seed, complete=complete)
    rdms = rng.random((N_SUBJECTS, len(pairs)))
    rdms = rdms if levels is None else np.ceil(rdms * levels)
    counts, of_subjects = draws(seed, N, 4), draws(seed + 1, N_SUBJECTS, 8).reshape(2, 4, -1)
    per_length = 1.0 + rng.random((4, N_SUBJECTS))
    if constant:
        per_length[1, 2] = np.nan
    data = [SortedPairs.of(row, pairs.i, pairs.j) for row in rdms]
    products, squares = pooled_products(LaneRanks.of(data, pairs, counts), per_length, of_subjects)
    for b, weights in enumerate(pairs.weights(counts).astype(int)):
        for q in range(2):
            expected = by_hand(rdms, weights, per_length[b], of_subjects[q, b])
            np.testing.assert_allclose(products[q, b], expected[0], rtol=1e-12, atol=1e-9)
            np.testing.assert_allclose(squares[q, b], expected[1], rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("far", [1e-6, 1e15, 1e30])
def test_pools_that_no_buckets_hold(far):
    """One subject far longer than the others: nearly all of a pool is in one bucket."""
    pairs = Pairs.all(30)
    rdms = np.random.default_rng(0).random((2, len(pairs)))
    rdms[0] = np.arange(len(pairs)) < 3  # a jump: its ranks have two values
    data = [SortedPairs.of(row, pairs.i, pairs.j) for row in rdms]
    per_length, everyone = np.array([[1.0, 1.0 / far]]), np.ones((1, 1, 2))
    counts = np.ones((1, 30), dtype=int)
    products, squares = pooled_products(LaneRanks.of(data, pairs, counts), per_length, everyone)
    ranks = stats.rankdata(rdms, axis=1) - (len(pairs) + 1) / 2
    if far > 1.0:  # the second breaks no tie of the first: nearer than rounding
        np.testing.assert_allclose(squares[0, 0, 0], (ranks[0] ** 2).sum())
        np.testing.assert_allclose(products[0, 0, 0, 0], (ranks[0] ** 2).sum())
    else:
        np.testing.assert_allclose(squares[0, 0, 0], (ranks[1] ** 2).sum())
        np.testing.assert_allclose(products[0, 0, 0, 1], (ranks[1] ** 2).sum() / far)


@pytest.mark.parametrize("n", [1, 2, 37, 3000])
@pytest.mark.parametrize("spread", [0, 30, 61])
@pytest.mark.parametrize("arranged", [np.random.default_rng(0).permutation, np.sort, np.flip])
def test_keys_are_sorted_however_they_are_spread(n, spread, arranged):
    """The steeper the powers, the more keys are in one bucket, where steps of one are too short."""
    n_bits = max(1, (n - 1).bit_length())
    levels = 2.0 ** (np.linspace(0, spread, n) - n_bits)
    keys = (np.sort(levels.astype(np.int64)) << n_bits) | np.arange(n)
    keys = np.ascontiguousarray(arranged(keys))
    ordered, ends = np.empty_like(keys), np.empty((1 << (n_bits - 1)) + 1, np.int32)
    compiled(module._sort_keys)(keys, n_bits, ordered, ends)
    np.testing.assert_array_equal(ordered, np.sort(keys))


def test_loops_are_the_same_before_they_are_compiled():
    pairs = Pairs.all(6)
    rdms = np.random.default_rng(0).integers(0, 4, (3, len(pairs))).astype(float)
    data = [SortedPairs.of(row, pairs.i, pairs.j) for row in rdms]
    counts, of_subjects = draws(0, 6, 2), draws(1, 3, 2)[None]
    ranks = LaneRanks.of(data, pairs, counts)
    expected = pooled_products(ranks, np.ones((2, 3)), of_subjects)
    products, squares = (np.full(e.shape, np.nan) for e in expected)
    module._pooled_products(
        ranks.ranks, ranks.weights, np.ones((2, 3)), of_subjects.astype(float), ROUNDING,
        products, squares,
    )  # fmt: skip
    np.testing.assert_array_equal(products, expected[0])
    np.testing.assert_array_equal(squares, expected[1])
