"""Compiled loops against SciPy's ranks and fits of what is written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import nnls

from probe.inference.walks import (
    nonnegative_weights,
    products_with_ranks,
)

N = 9
FIRST, SECOND = np.triu_indices(N, 1)


def some_rdms(n_rdms, seed, tied):
    rng = np.random.default_rng(seed)
    values = rng.random((n_rdms, len(FIRST)))
    return np.round(values * 5) if tied else values


def written_out(values, weights):
    """Centred ranks of distances that occur so often, one for each, and all of them."""
    drawn = np.repeat(np.arange(len(weights)), weights.astype(int))
    ranks = stats.rankdata(values[drawn])
    return drawn, ranks - ranks.mean() if len(ranks) else ranks


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), tied=st.booleans())
def test_products_with_ranks(seed, tied):
    ranked, *values = some_rdms(4, seed, tied)
    values = np.stack(values)
    counts = np.random.default_rng(seed).integers(0, 3, (5, N))
    order = np.argsort(ranked)
    ties = np.diff(ranked[order], prepend=-1.0) == 0.0
    walked = FIRST[order], SECOND[order], order, ties, counts
    products, squares = products_with_ranks(*walked, values.T[:, :, None])
    of_parts = np.repeat(values.T[:, :, None], 5, axis=2) * np.arange(5)
    several, _ = products_with_ranks(*walked, of_parts)
    np.testing.assert_allclose(several, products * np.arange(5)[:, None], atol=1e-9)
    for t, row in enumerate(counts):
        drawn, ranks = written_out(ranked, row[FIRST] * row[SECOND])
        np.testing.assert_allclose(products[t], values[:, drawn] @ ranks, atol=1e-9)
        assert squares[t] == pytest.approx((ranks**2).sum())


def test_all_tied_have_no_rank():
    order = np.arange(len(FIRST))
    _, squares = products_with_ranks(
        FIRST, SECOND, order, order > 0, np.full((1, N), 3), np.ones((len(order), 1, 1))
    )
    assert squares[0] == 0.0


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), rank=st.integers(1, 9))
def test_least_squares_without_negative_weights(seed, n, rank):
    """Where components are sums of others, weights differ, but not what they fit."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, min(n, rank))) @ rng.normal(size=(min(n, rank), n))
    x /= np.linalg.norm(x, axis=0)
    y = rng.normal(size=(3, 30)) + x.sum(axis=1)
    cross = y @ x
    scale = np.abs(cross).max(axis=1)
    ours = nonnegative_weights((x.T @ x)[None], (cross / scale[:, None])[None])[0]
    assert (ours >= 0.0).all()
    for w, target, size in zip(ours, y, scale, strict=True):
        np.testing.assert_allclose(x @ w * size, x @ nnls(x, target)[0], rtol=0, atol=1e-6)
        if rank >= n:
            np.testing.assert_allclose(w * size, nnls(x, target)[0], rtol=1e-7, atol=1e-9)


def test_components_that_are_the_same_and_one_that_is_nothing():
    x = np.random.default_rng(0).normal(size=(20, 2))
    x = np.column_stack([x[:, 0], x[:, 0], x[:, 1], np.zeros(20)])
    x[:, :3] /= np.linalg.norm(x[:, :3], axis=0)
    target = x[:, 0] + 2.0 * x[:, 2]
    weights = nonnegative_weights((x.T @ x)[None], (target @ x)[None, None])[0, 0]
    assert weights == pytest.approx([1.0, 0.0, 2.0, 0.0])
