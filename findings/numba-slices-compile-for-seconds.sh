#!/usr/bin/env bash
# Package: numba 0.68.1 (llvmlite 0.50.0, NumPy 2.4.6).
# Expected: a[:n] = b[:n] in a compiled function takes about as long to compile as the loop that
#   copies the same n numbers: both are a few instructions.
# Seen: the first assignment of a slice to a slice takes more than ten times as long to compile as the
#   loop, seconds of a processor, and so does the first a.sort().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 llvmlite==0.50.0 numpy==2.4.6
cd "$folder"
cat > compile.py <<'PY'
import sys
import time

import numba
import numpy as np


def by_loop(a, b, n):
    for k in range(n):
        a[k] = b[k]


def by_slices(a, b, n):
    a[:n] = b[:n]


def sorted_in_place(a, b, n):
    by_loop_compiled(a, b, n)
    a.sort()


by_loop_compiled = numba.njit(by_loop)
of_numbers = numba.float64[::1]
numba.njit(by_loop).compile((numba.int64[::1], numba.int64[::1], numba.int64))  # what all need
function = numba.njit(globals()[sys.argv[1]])
start = time.process_time()
function.compile((of_numbers, of_numbers, numba.int64))
seconds = time.process_time() - start
a, b = np.zeros(5), np.array([3.0, 1.0, 2.0, 5.0, 4.0])
function(a, b, 5)
assert sorted(a) == [1.0, 2.0, 3.0, 4.0, 5.0]
print(seconds)
PY
"$folder/venv/bin/python" - <<'PY'
import subprocess
import sys


def seconds(name):
    times = [float(subprocess.check_output([sys.executable, "compile.py", name])) for _ in range(3)]
    return sorted(times)[1]


of = {name: seconds(name) for name in ("by_loop", "by_slices", "sorted_in_place")}
for name, time in of.items():
    print(f"{name:<15} {time:5.2f} CPU s to compile, {time / of['by_loop']:5.1f} times the loop")
assert of["by_slices"] > 8 * of["by_loop"], "slices compile faster now"
assert of["sorted_in_place"] > 8 * of["by_loop"], "sorting compiles faster now"
PY
