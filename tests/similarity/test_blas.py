"""Symmetric updates without the interpreter's lock."""

import ctypes
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.similarity import blas, rdm
from probe.similarity import products as products_module
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


def test_another_dtype_is_converted_and_not_read_as_if_it_were_ours():
    a = np.random.default_rng(0).normal(size=(4, 10))
    for b in (None, 2 * a):
        expected, gram = np.zeros((4, 4)), np.zeros((4, 4), np.float32)
        symmetric_update("float64")(expected, a, b)
        symmetric_update("float32")(gram, a, b)
        np.testing.assert_allclose(gram, expected, atol=1e-5)


def test_prototypes_that_other_libraries_share_stay_as_they_were(monkeypatch):
    monkeypatch.setattr(ctypes.pythonapi.PyCapsule_GetName, "restype", ctypes.c_long)
    symmetric_update.cache_clear()
    symmetric_update("float64")
    assert ctypes.pythonapi.PyCapsule_GetName.restype is ctypes.c_long


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "all"])
def test_a_number_of_threads_that_is_none(text, monkeypatch):
    monkeypatch.setenv("PROBE_THREADS", text)
    with pytest.raises(ValueError, match=f"PROBE_THREADS '{text}': expected a whole number ≥ 1"):
        rdm(np.random.default_rng(0).random((300, 9000)))


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


@pytest.mark.parametrize("n_parts", [1, 4])
def test_no_more_blocks_are_held_than_memory_is_asked_for(n_parts, monkeypatch):
    monkeypatch.setattr(products_module, "MOST_PARTS", n_parts)
    _, products = products_for(np.zeros((50, 2)), "float64", None)
    blocks, n_held = [], []

    def terms():
        for _ in range(12):
            block = np.ones((50, 2000))
            blocks.append(weakref.ref(block))
            n_held.append(sum(block() is not None for block in blocks))
            yield (block,)

    gram = products.zeros(50, 50)
    products.add_all(gram, terms())
    assert gram[0, 1] == 12 * 2000
    assert max(n_held) <= n_parts + 1


def test_logarithms_of_rates_need_memory_too(monkeypatch):
    monkeypatch.setattr(products_module, "host_free_bytes", lambda: 30_000_000)
    x = np.random.default_rng(0).random((300, 9000))
    rdm(x, "euclidean")
    with pytest.raises(ValueError, match="GB of memory"):
        rdm(x, "poisson")
