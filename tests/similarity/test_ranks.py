"""Dense ranks and mid-ranks against SciPy."""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import event
from scipy import stats

from probe.similarity import ranks as module
from probe.similarity.ranks import (
    centred_midranks,
    centred_ranks,
    compiled,
    dense_ranks,
    midranks,
    sort_rows,
)


def distances(seed, n_rdms=3, n_pairs=28, levels=None):
    values = np.random.default_rng(seed).normal(size=(n_rdms, n_pairs))
    return values if levels is None else np.round(levels * values) / 7.0


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile before Hypothesis takes the time."""
    midranks(dense_ranks(distances(0)), np.ones(28), np.arange(28))


inputs = {"seed": st.integers(0, 10**6), "levels": st.sampled_from([None, 1, 3])}


class TestSortRows:
    @given(**inputs, spread=st.sampled_from(["even", "skewed", "far apart", "descending"]))
    def test_equals_numpy(self, seed, levels, spread):
        x = distances(seed, n_pairs=300, levels=levels)
        if spread == "skewed":
            x = np.exp(8.0 * x)
        elif spread == "far apart":  # all but one in a bucket
            x[:, 7] = 1e9
        elif spread == "descending":
            x = -np.sort(-x, axis=1)
        order = sort_rows(x)
        np.testing.assert_array_equal(np.take_along_axis(x, order, 1), np.sort(x, axis=1))
        np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(300), (3, 1)))

    @pytest.mark.parametrize(
        "row",
        [[2.0], [1.0, 1.0, 1.0], [np.nan, 3.0, 1.0], [np.inf, 3.0, -np.inf, 1.0],
         [1e308, -1e308, 0.0], [5e-324, 0.0, 1e-323], [np.nan, np.nan], [-0.0, 0.0, -1.0]],
    )  # fmt: skip
    def test_rows_that_no_buckets_hold(self, row):
        x = np.array([row])
        order = sort_rows(x)
        np.testing.assert_array_equal(np.sort(order[0]), np.arange(len(row)))
        np.testing.assert_array_equal(x[0][order[0]], np.sort(x[0]))

    def test_nothing_to_sort(self):
        assert sort_rows(np.empty((2, 0))).shape == (2, 0)


class TestDenseRanks:
    @given(**inputs)
    def test_equals_scipy(self, seed, levels):
        x = distances(seed, levels=levels)
        ranks = dense_ranks(x)
        np.testing.assert_array_equal(ranks, stats.rankdata(x, "dense", axis=1) - 1)
        assert ranks.dtype == np.int32

    @given(**inputs)
    def test_ties_up_to_rounding_are_ties(self, seed, levels):
        x = distances(seed, levels=levels) + 3.0
        jitter = np.random.default_rng(seed).integers(-2, 3, x.shape) * np.finfo(float).eps
        np.testing.assert_array_equal(dense_ranks(x * (1.0 + jitter)), dense_ranks(x))

    def test_one_rdm(self):
        np.testing.assert_array_equal(dense_ranks(np.array([0.3, 0.1, 0.3])), [[1, 0, 1]])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, value):
        x = distances(0)
        x[1, 4] = value
        with pytest.raises(ValueError, match="RDM 1 has a NaN or infinite distance"):
            dense_ranks(x)


class TestMidranks:
    @given(**inputs)
    def test_equal_scipy_on_distances_written_out(self, seed, levels):
        x = distances(seed, levels=levels)
        weights = np.random.default_rng(seed + 1).integers(0, 4, x.shape[1])
        present = np.flatnonzero(weights)
        ranks = midranks(dense_ranks(x), weights, present)
        written = np.repeat(x, weights, axis=1)
        expected = stats.rankdata(written, axis=1)
        np.testing.assert_array_equal(np.repeat(ranks, weights[present], axis=1), expected)

    def test_loop_is_the_same_before_it_is_compiled(self):
        dense, present = dense_ranks(distances(0, levels=3)), np.arange(0, 28, 3)
        weights, ranks = np.arange(1.0, 11.0), np.empty((3, 10))
        module._midranks(dense, weights, present, ranks)
        everywhere = np.zeros(28)
        everywhere[present] = weights
        np.testing.assert_array_equal(ranks, midranks(dense, everywhere, present))

    @pytest.mark.parametrize(
        "dense", [np.array([[0, 3, 1]]), np.array([[0, -1, 1]]), np.ones((1, 3)), np.arange(3)]
    )
    def test_other_numbers_are_refused(self, dense):
        """Compiled loops would read and write outside of their arrays."""
        with pytest.raises(ValueError, match="not dense ranks"):
            midranks(dense, np.ones(3), np.arange(3))


class TestCompilation:
    def test_nowhere_to_keep_machine_code(self, monkeypatch):
        monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])

        def double(x):
            return 2 * x

        with pytest.raises(RuntimeError, match="no locator"):
            numba.njit(cache=True)(double)
        assert compiled(double)(21) == 42

    def test_machine_code_of_other_helpers_is_not_read_again(self, tmp_path, monkeypatch):
        """Numba looks at the file and the bytecode of the caller alone."""
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "machine code"))
        caller, helper = tmp_path / "caller.py", tmp_path / "helper.py"
        caller.write_text("def caller(x):\n    return helper(x)\n")
        for factor in (2, 3, 2):
            helper.write_text(f"def helper(x):\n    return {factor} * x\n")
            namespace: dict[str, Any] = {}
            for file in (caller, helper):
                exec(compile(file.read_text(), str(file), "exec"), namespace)
            assert compiled(namespace["caller"], namespace["helper"])(7) == 7 * factor
        assert list(tmp_path.rglob("caller.caller-*.nbi"))

    def test_without_a_compiler(self, monkeypatch):
        monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
        assert compiled(eval("lambda x: x / 4"))(2) == 0.5

    def test_a_signal_never_falls_into_the_compiler(self):
        """Python calls lose a KeyboardInterrupt that compiled code makes; main gets all signals."""
        where = []

        class Listener(event.Listener):
            def on_start(self, _event):
                where.append(threading.current_thread())

            def on_end(self, _event):
                pass

        halve = eval("lambda x: x / 2")  # of no file: no machine code of an earlier run is kept
        with event.install_listener("numba:compile", Listener()):
            assert compiled(halve)(21) == 10.5
            assert compiled(halve)(1.0) == 0.5
        assert where
        assert threading.main_thread() not in where

    def test_once(self):
        assert compiled(module._midranks) is compiled(module._midranks)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), levels=st.integers(1, 50))
def test_centred_ranks_are_midranks_about_zero(seed, n, levels):
    rdms = np.random.default_rng(seed).integers(0, levels, (3, n)) / 7.0
    ranks = centred_ranks(rdms)
    np.testing.assert_array_equal(ranks, stats.rankdata(rdms, axis=1) - (n + 1) / 2)
    everywhere = midranks(dense_ranks(rdms), np.ones(n), np.arange(n))
    np.testing.assert_array_equal(ranks, everywhere - (n + 1) / 2)


class TestCentredMidranks:
    @settings(deadline=None, max_examples=30)
    @given(**inputs)
    def test_pairs_that_occur_several_times(self, seed, levels):
        values = distances(seed, levels=levels)
        weights = np.random.default_rng(seed).integers(0, 3, (4, 28)).astype(float)
        ranks, squares = centred_midranks(values[None], weights)
        each, _ = centred_midranks(np.repeat(values[None], 4, axis=0), weights)
        np.testing.assert_array_equal(ranks, each)
        for t in range(4):
            drawn = np.repeat(np.arange(28), weights[t].astype(int))
            for k in range(3):
                expected = stats.rankdata(values[k, drawn])
                expected -= expected.mean() if len(expected) else 0.0
                np.testing.assert_array_equal(ranks[t, k, drawn], expected)
                assert squares[t, k] == pytest.approx((expected**2).sum())
                assert not ranks[t, k, weights[t] == 0].any()
