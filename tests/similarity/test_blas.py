"""Symmetric updates without the interpreter's lock."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.similarity import blas, rdm
from probe.similarity.blas import single_threaded, symmetric_update
from probe.similarity.products import products_for


@given(
    n=st.integers(1, 9), k=st.integers(1, 9), double=st.booleans(), two=st.booleans(),
    locked=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_products_are_added_to_the_upper_triangle(n, k, double, two, locked, seed):
    rng = np.random.default_rng(seed)
    dtype = "float64" if double else "float32"
    a, b, gram = (rng.normal(size=shape).astype(dtype) for shape in ((n, k), (n, k), (n, n)))
    expected = gram + 0.5 * ((a @ b.T + b @ a.T) / 2.0 if two else a @ a.T)
    before = gram.copy()
    update = blas._locked_update("d" if double else "s") if locked else symmetric_update(dtype)
    update(gram, a, b if two else None, 0.5)
    upper = np.triu_indices(n)
    np.testing.assert_allclose(gram[upper], expected[upper], rtol=0, atol=1e-12 if double else 1e-5)
    np.testing.assert_array_equal(np.tril(gram, -1), np.tril(before, -1))


def test_a_slice_is_no_matrix_of_its_own():
    a = np.random.default_rng(0).normal(size=(4, 10))
    gram = np.zeros((4, 4))
    symmetric_update("float64")(gram, a[:, 3:8])
    np.testing.assert_allclose(gram, np.triu(a[:, 3:8] @ a[:, 3:8].T), atol=1e-14)


def test_other_threads_go_on_meanwhile():
    a, gram = np.ones((1200, 4000)), np.zeros((1200, 1200))

    def n_steps(update) -> int:
        thread = threading.Thread(target=update, args=(gram, a))
        thread.start()
        n = 0
        while thread.is_alive():
            n += 1
        return n

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with single_threaded():
            locked = min(n_steps(blas._locked_update("d")) for _ in range(3))
            unlocked = max(n_steps(symmetric_update("float64")) for _ in range(3))
    finally:
        sys.setswitchinterval(interval)
    assert unlocked > 20 * locked


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean", "poisson"])
def test_sums_are_the_same_for_any_number_of_threads(metric, monkeypatch):
    x = np.random.default_rng(0).random((300, 9000))
    _, products = products_for(x, "float64", None)
    assert x.shape[1] > 4 * products.block_width(300)
    rdms = []
    for n in ("1", "2", "7"):
        monkeypatch.setenv("PROBE_THREADS", n)
        rdms.append(rdm(x, metric))
    np.testing.assert_array_equal(rdms[0], rdms[1])
    np.testing.assert_array_equal(rdms[0], rdms[2])
    in_one = rdm(x, metric, block_bytes=8 * x.size)
    np.testing.assert_allclose(rdms[0], in_one, rtol=1e-11)


def test_a_pattern_that_is_refused_ends_all_threads():
    x = np.random.default_rng(0).random((300, 9000))
    x[7, -1] = np.nan
    before = threading.active_count()
    with pytest.raises(ValueError, match="stimulus 7 has a NaN"):
        rdm(x)
    assert threading.active_count() == before
