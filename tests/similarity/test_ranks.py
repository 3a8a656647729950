"""Dense ranks and mid-ranks against SciPy."""

from __future__ import annotations

import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import event
from scipy import stats

from probe.similarity import ranks as module
from probe.similarity.ranks import centred_ranks, compiled, dense_ranks, midranks


def distances(seed, n_rdms=3, n_pairs=28, levels=None):
    values = np.random.default_rng(seed).normal(size=(n_rdms, n_pairs))
    return values if levels is None else np.round(levels * values) / 7.0


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile before Hypothesis takes the time."""
    midranks(dense_ranks(distances(0)), np.ones(28), np.arange(28))


inputs = {"seed": st.integers(0, 10**6), "levels": st.sampled_from([None, 1, 3])}


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
    def test_importing_does_not_import_numba(self):
        code = "import sys, probe.similarity.kendall; print('numba' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "False", done.stderr

    def test_nowhere_to_keep_machine_code(self, monkeypatch):
        monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])

        def double(x):
            return 2 * x

        with pytest.raises(RuntimeError, match="no locator"):
            numba.njit(cache=True)(double)
        assert compiled(double)(21) == 42

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
