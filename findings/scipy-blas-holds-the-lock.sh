#!/usr/bin/env bash
# Package: SciPy 1.17.1 (NumPy 2.4.6), scipy.linalg.blas.
# Expected: a matrix product in BLAS lets other Python threads go on, as NumPy's does, so that
#   products of blocks can be summed in a pool of threads.
# Seen: scipy.linalg.blas.dsyrk (and dgemm) hold the interpreter's lock from beginning to end: every
#   other thread stands still. The same dsyrk, called by the address in scipy.linalg.cython_blas,
#   does not, and gives the same matrix.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cd "$folder"
OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PY'
import ctypes
import sys
import threading

import numpy as np
from scipy.linalg import blas, cython_blas

sys.setswitchinterval(1e-5)
n, k = 1200, 8000
rows = np.random.default_rng(0).normal(size=(n, k))

capsule = cython_blas.__pyx_capi__["dsyrk"]
get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi))
get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi))
dsyrk = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 10)(get_pointer(capsule, get_name(capsule)))


def by_scipy(out):
    blas.dsyrk(1.0, rows.T, trans=1, lower=1, beta=0.0, c=out.T, overwrite_c=1)


def by_scipy_gemm(out):
    blas.dgemm(1.0, rows.T, rows.T, trans_a=1, beta=0.0, c=out.T, overwrite_c=1)


def by_address(out):
    one, zero = ctypes.c_double(1.0), ctypes.c_double(0.0)
    size, length = ctypes.c_int(n), ctypes.c_int(k)
    triangle, transposed = ctypes.c_char(b"L"), ctypes.c_char(b"T")
    dsyrk(*map(ctypes.byref, (triangle, transposed, size, length, one)), rows.ctypes.data,
          *map(ctypes.byref, (length, zero)), out.ctypes.data, ctypes.byref(size))


def by_numpy(out):
    np.matmul(rows, rows.T, out=out)


def steps(multiply):
    """Count what the main thread does while another one multiplies."""
    counts = []
    for _ in range(3):
        out = np.zeros((n, n))
        thread = threading.Thread(target=multiply, args=(out,))
        thread.start()
        count = 0
        while thread.is_alive():
            count += 1
        counts.append(count)
    return sorted(counts)[1], np.triu(out)


results = {f.__name__: steps(f) for f in (by_scipy, by_scipy_gemm, by_address, by_numpy)}
for name, (count, _) in results.items():
    print(f"{name:<14} {count:>9,} steps of another thread meanwhile")
for name in ("by_scipy_gemm", "by_address", "by_numpy"):
    np.testing.assert_allclose(results[name][1], results["by_scipy"][1], rtol=1e-9, atol=1e-9)
held = max(results["by_scipy"][0], results["by_scipy_gemm"][0])
free = min(results["by_address"][0], results["by_numpy"][0])
assert free > 10 * held, "scipy.linalg.blas lets other threads go on now"
PY
