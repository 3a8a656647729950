"""SciPy's BLAS: symmetric updates that hold no lock, and how many threads it takes.

Threads of OpenBLAS that share one product wait for one another awake, which on a machine that has
other work to do takes as long as the product itself. Many products side by side, in threads of our
own, do not. For that they have to leave the interpreter's lock alone, which `scipy.linalg.blas`
holds; the same functions are reached here by the addresses that SciPy gives to Cython.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

Update = Callable[..., None]
"""Takes a matrix (n, n), one or two arrays (n, k) and a factor; see `symmetric_update`."""


@functools.cache
def symmetric_update(dtype: str) -> Update:
    """Return a function that adds the products of rows to the upper triangle of a matrix.

    ``update(gram, a, b=None, alpha=1.0)`` adds ``alpha · a aᵀ``, or ``alpha · (a bᵀ + b aᵀ) / 2``,
    where all are C-contiguous and of this ``dtype``. It runs without the interpreter's lock where
    SciPy's integers are those of 32 bits that we know how to pass.

    Parameters
    ----------
    dtype : {'float64', 'float32'}
    """
    letter = "d" if dtype == "float64" else "s"
    syrk, syr2k = _unlocked(f"{letter}syrk"), _unlocked(f"{letter}syr2k")
    if syrk is None or syr2k is None:
        return _locked_update(letter)

    # BLAS counts in columns: its lower triangle of the transposed matrix is our upper one.
    real = ctypes.c_double if letter == "d" else ctypes.c_float

    def address(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    def update(
        gram: np.ndarray, a: np.ndarray, b: np.ndarray | None = None, alpha: float = 1.0
    ) -> None:
        a = np.ascontiguousarray(a, dtype)
        n, k = (ctypes.byref(ctypes.c_int(size)) for size in a.shape)
        triangle, transposed = ctypes.c_char(b"L"), ctypes.c_char(b"T")
        of, one = (ctypes.byref(triangle), ctypes.byref(transposed), n, k), ctypes.byref(real(1.0))
        if b is None:
            syrk(*of, ctypes.byref(real(alpha)), address(a), k, one, address(gram), n)
        else:
            b = np.ascontiguousarray(b, dtype)
            half = ctypes.byref(real(alpha / 2.0))
            syr2k(*of, half, address(a), k, address(b), k, one, address(gram), n)

    return update


def _unlocked(name: str) -> Callable[..., None] | None:
    """Return a function of SciPy's BLAS that does not hold the interpreter's lock."""
    from scipy.linalg import cython_blas

    # Prototypes of our own: those of ``pythonapi``'s attributes are shared with other libraries.
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    capsule = cython_blas.__pyx_capi__[name]
    signature = name_of(capsule)
    if signature.count(b"char *") != 2 or signature.count(b", int *") < 4:
        return None
    n_arguments = signature.count(b",") + 1
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)
    return function(pointer_of(capsule, signature))


def _locked_update(letter: str) -> Update:
    from scipy.linalg import blas

    syrk, syr2k = getattr(blas, f"{letter}syrk"), getattr(blas, f"{letter}syr2k")

    def update(
        gram: np.ndarray, a: np.ndarray, b: np.ndarray | None = None, alpha: float = 1.0
    ) -> None:
        # Transposed, the arrays are what BLAS wants, without a copy.
        into: dict[str, Any] = {"beta": 1.0, "c": gram.T, "trans": 1, "lower": 1, "overwrite_c": 1}
        a = np.ascontiguousarray(a)
        if b is None:
            syrk(alpha, a.T, **into)
        else:
            syr2k(alpha / 2.0, a.T, np.ascontiguousarray(b).T, **into)

    return update


@functools.cache
def _controller() -> ThreadpoolController:
    """The libraries of linear algebra; to look for them takes longer than a small resample."""
    import scipy.linalg.blas  # noqa: F401  # or a later import of it would not be limited

    return ThreadpoolController()


_lock = threading.Lock()
_within: list[Any] = []


@contextmanager
def single_threaded() -> Iterator[None]:
    """Leave linear algebra one thread, until the last of all who want it so is done."""
    with _lock:
        if not _within:
            _within.append(_controller().limit(limits=1, user_api="blas"))
        _within.append(None)
    try:
        yield
    finally:
        with _lock:
            _within.pop()
            if len(_within) == 1:
                _within.pop().restore_original_limits()
