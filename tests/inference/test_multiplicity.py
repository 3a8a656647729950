"""Holm's correction against a worked example and its defining properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.inference import holm

ps = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


def test_worked_example():
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1; the last may not fall below the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_at_most_one():
    np.testing.assert_array_equal(holm([0.6, 0.9, 0.7]), [1.0, 1.0, 1.0])


@given(ps)
def test_between_raw_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1.0)).all()
    assert adjusted.min() == pytest.approx(min(1.0, len(p) * min(p)))


@given(ps, st.integers(0, 10**6))
def test_order(p, seed):
    p = np.array(p)
    adjusted = holm(p)
    ranked = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[ranked]) >= 0).all()
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(holm(p[order]), adjusted[order])


@given(ps, st.floats(0.001, 0.2))
def test_rejects_what_the_stepwise_procedure_rejects(p, alpha):
    rejected = np.zeros(len(p), dtype=bool)
    for step, k in enumerate(np.argsort(p)):
        if p[k] * (len(p) - step) > alpha:
            break
        rejected[k] = True
    np.testing.assert_array_equal(holm(p) <= alpha, rejected)
