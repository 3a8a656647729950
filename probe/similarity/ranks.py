"""Ranks of distances that occur several times.

The distances are sorted once. Afterwards a resample, which is a weight for every pair, needs no
sorting: in the dense ranks 0, 1, 2, …, the number of pairs at every rank is a histogram, and the
number below it a running sum.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

ROUNDING = 1e-13
"""Distances that differ by less than this share of the largest are tied: equal distances that were
computed in another order of summation differ in their last digits."""


SORTED_TOGETHER = 2**22
"""Distances whose order is held at a time, or those of one RDM: it takes as much memory as they."""


@cache
def compiled(function: Callable[..., Any], *helpers: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays to machine code, when it is first wanted.

    The function may use NumPy's arrays and numbers only, and call the ``helpers``, which are
    compiled with it. A sort of NumPy's, or a slice assigned to a slice, takes seconds to compile; a
    loop does not. It runs without Python's global lock, and in IEEE arithmetic, in the order in
    which it is written.
    """
    import numba

    config: Any = numba.config  # whose attributes no type checker knows

    def with_options(**options: Any) -> Any:
        if not helpers:
            return numba.njit(**options)(function)
        by_name = {helper.__name__: numba.njit(**options)(helper) for helper in helpers}
        with_helpers = FunctionType(function.__code__, function.__globals__ | by_name)
        # Machine code that is kept holds the helpers, too, of whose files Numba looks at none.
        with_helpers.__qualname__ = f"{function.__qualname__}-{_digest(helpers)}"
        return numba.njit(**options)(with_helpers)

    if config.DISABLE_JIT:
        return function

    try:
        machine = with_options(nogil=True, cache=True)
    except RuntimeError:  # no folder that may be written, to keep the machine code for next time
        machine = with_options(nogil=True)

    compiled_for = set()

    def run(*arguments: Any) -> Any:
        kinds = tuple(map(_kind, arguments))
        if kinds not in compiled_for:
            _in_vectors(machine.compile, tuple(map(numba.typeof, arguments)))
            compiled_for.add(kinds)
        return machine(*arguments)

    return run


def _digest(functions: Sequence[Callable[..., Any]]) -> str:
    """Return what changes with what functions do."""
    codes = [function.__code__ for function in functions]
    text = repr([(code.co_code, code.co_consts, code.co_names) for code in codes])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _kind(argument: Any) -> tuple[Any, ...] | type:
    """Return what machine code depends on; Numba's own answer takes as long as a small loop."""
    if isinstance(argument, np.ndarray):
        flags = argument.flags
        return argument.dtype, argument.ndim, flags.c_contiguous, flags.writeable
    return type(argument)


def _in_vectors(compile_signature: Callable[..., Any], signature: tuple[Any, ...]) -> None:
    """Compile with what is written side by side joined to vector instructions.

    Numba leaves that out (LLVM's SLP vectoriser) unless asked, for the whole process.
    """
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    config: Any = numba.config  # whose attributes no type checker knows

    def work() -> None:
        with global_compiler_lock:
            before = config.SLP_VECTORIZE
            config.SLP_VECTORIZE = 1
            try:
                compile_signature(signature)
            finally:
                config.SLP_VECTORIZE = before

    if threading.current_thread() is not threading.main_thread():
        work()
        return
    # The compiler calls back into Python, where a Ctrl-C would be lost. Signals come to the main
    # thread alone.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def sort_rows(values: np.ndarray) -> np.ndarray:
    """Return what order the values of every row have, from the smallest, as `numpy.argsort` does.

    Values are put into as many buckets as there are of them, and what is left to sort in a bucket
    is sorted by insertion: a fifth of the time of a sort by comparisons where values are spread
    like distances or sums of ranks. Rows that are spread too unevenly for that are left to NumPy.

    Parameters
    ----------
    values : numpy.ndarray, shape (n_rows, n)

    Returns
    -------
    numpy.ndarray, shape (n_rows, n), int64
        NaN comes last. Values that are equal are in no particular order.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    order = np.empty(values.shape, dtype=np.int64)
    is_sorted = np.zeros(len(values), dtype=bool)
    if values.shape[1]:
        compiled(_sort_rows, sort_row)(values, order, is_sorted)
    for k in np.flatnonzero(~is_sorted):
        order[k] = np.argsort(values[k])
    return order


def dense_ranks(rdms: np.ndarray) -> np.ndarray:
    """Number the different distances of every RDM, from the smallest.

    Parameters
    ----------
    rdms : numpy.ndarray, shape (n_rdms, n_pairs) or (n_pairs,)
        Distances.

    Returns
    -------
    numpy.ndarray, shape (n_rdms, n_pairs), int32
        0 for the smallest distance, 1 for the second smallest, … Neighbours nearer than `ROUNDING`
        of the largest absolute distance are tied.

    Raises
    ------
    ValueError
        If a distance is not finite.
    """
    rdms = np.ascontiguousarray(np.atleast_2d(rdms), dtype=np.float64)
    finite = np.isfinite(rdms).all(axis=1)
    if not finite.all():
        raise ValueError(f"RDM {finite.argmin()} has a NaN or infinite distance")
    ranks = np.empty(rdms.shape, dtype=np.int32)
    if rdms.shape[1]:
        compiled(_dense_ranks)(rdms, sort_rows(rdms), ROUNDING, ranks)
    return ranks


def centred_ranks(rdms: np.ndarray) -> np.ndarray:
    """Rank the distances of every RDM, each occurring once, about zero.

    What `dense_ranks` and `midranks` give together, less the mean rank, with one pass over the
    sorted distances.

    Parameters
    ----------
    rdms : numpy.ndarray, shape (n_rdms, n_pairs)
        Finite distances. Neighbours nearer than `ROUNDING` of the largest absolute distance are
        tied.

    Returns
    -------
    numpy.ndarray, shape (n_rdms, n_pairs), float64
        From −(n_pairs − 1) / 2 to (n_pairs − 1) / 2; all 0 if all are tied.
    """
    rdms = np.ascontiguousarray(rdms, dtype=np.float64)
    ranks = np.empty_like(rdms)
    n_together = max(1, SORTED_TOGETHER // max(1, rdms.shape[1]))
    for start in range(0, len(rdms), n_together):
        part = slice(start, start + n_together)
        compiled(_centred_ranks)(rdms[part], sort_rows(rdms[part]), ROUNDING, ranks[part])
    return ranks


def midranks(dense: np.ndarray, weights: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Rank distances that occur ``weights`` times each, members of a tie at their mean rank.

    A distance that occurs w times, after N smaller ones, has the mid-rank N + (w + 1) / 2; the
    members of a tie share that of all of them.

    Parameters
    ----------
    dense : numpy.ndarray, shape (n_rdms, n_pairs), int32
        From `dense_ranks`.
    weights : numpy.ndarray, shape (n_pairs,)
        How often every pair occurs.
    present : numpy.ndarray, shape (n_present,), int
        The pairs to rank: all those that occur, and no others.

    Returns
    -------
    numpy.ndarray, shape (n_rdms, n_present), float64
        Mid-ranks, from 1 to the sum of the weights.

    Raises
    ------
    ValueError
        If ``dense`` does not hold dense ranks.
    """
    dense = checked(dense)
    present = np.ascontiguousarray(present, dtype=np.int64)
    weights = np.ascontiguousarray(weights[present], dtype=np.float64)
    ranks = np.empty((len(dense), len(present)))
    compiled(_midranks)(dense, weights, present, ranks)
    return ranks


def centred_midranks(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank distances that occur several times each, about zero.

    Parameters
    ----------
    values : numpy.ndarray, shape (T, K, n_pairs) or (1, K, n_pairs)
        K RDMs, those of each part or the same in all. Neighbours nearer than `ROUNDING` of the
        largest distance that occurs are tied.
    weights : numpy.ndarray, shape (T, n_pairs) or (1, n_pairs)
        How often every pair occurs in each part.

    Returns
    -------
    ranks : numpy.ndarray, shape (T, K, n_pairs)
        Mid-ranks less their mean; 0 for a pair that does not occur.
    squares : numpy.ndarray, shape (T, K)
        Sums of their squares, over the pairs as often as they occur.
    """
    n = max(len(values), len(weights))
    values = np.ascontiguousarray(values, dtype=np.float64)
    order = sort_rows(values.reshape(-1, values.shape[-1])).reshape(values.shape)
    ranks = np.empty((n, *values.shape[1:]))
    squares = np.empty(ranks.shape[:2])
    compiled(_centred_midranks)(
        values, order, np.ascontiguousarray(weights, dtype=np.float64),
        ROUNDING, ranks, squares,
    )  # fmt: skip
    return ranks, squares


def checked(dense: np.ndarray) -> np.ndarray:
    """Bring dense ranks to the form that compiled loops read, which check no index.

    Raises
    ------
    ValueError
        If they are not whole numbers from 0 to the number of pairs, less one.
    """
    if dense.ndim != 2 or not np.issubdtype(dense.dtype, np.integer):
        raise ValueError(f"not dense ranks: an array of {dense.dtype} of shape {dense.shape}")
    if dense.size and (dense.min() < 0 or dense.max() >= dense.shape[1]):
        raise ValueError(f"not dense ranks of {dense.shape[1]} pairs: {dense.min()}…{dense.max()}")
    return np.ascontiguousarray(dense, dtype=np.int32)


def _sort_rows(values: np.ndarray, order: np.ndarray, is_sorted: np.ndarray) -> None:
    n = values.shape[1]
    buckets, starts = np.empty(n, np.int32), np.empty(n + 1, np.int32)
    ordered, positions = np.empty(n), np.empty(n, np.int32)
    for k in range(values.shape[0]):
        is_sorted[k] = sort_row(values[k], ordered, positions, buckets, starts)
        for t in range(n):
            order[k, t] = positions[t]


def sort_row(
    row: np.ndarray,
    ordered: np.ndarray,
    positions: np.ndarray,
    buckets: np.ndarray,
    starts: np.ndarray,
) -> bool:
    """Sort values, of shape (n,), and say where each was; for compiled loops.

    ``buckets`` (n,) and ``starts`` (n + 1,) are room to work in. Return whether they are sorted:
    nothing is certain otherwise.
    """
    n = row.size
    low, high, nothing = row[0], row[0], 0.0
    for i in range(n):
        low, high = min(low, row[i]), max(high, row[i])
        nothing += row[i] - row[i]  # NaN, if a value is infinite or NaN
    if nothing != 0.0 or not np.isfinite(high - low):
        return False
    per_bucket = (n - 1) / (high - low) if high > low else 0.0
    if not np.isfinite(per_bucket):
        return False
    starts[:] = 0
    for i in range(n):
        buckets[i] = min(np.int32((row[i] - low) * per_bucket), n - 1)
        starts[buckets[i] + 1] += 1
    for b in range(n):
        starts[b + 1] += starts[b]
    for i in range(n):
        t = starts[buckets[i]]
        starts[buckets[i]] = t + 1
        ordered[t] = row[i]
        positions[t] = i
    moves = 16 * n  # beyond which another sort is faster
    for t in range(1, n):
        value, position, before = ordered[t], positions[t], t
        while before > 0 and ordered[before - 1] > value:
            ordered[before] = ordered[before - 1]
            positions[before] = positions[before - 1]
            before -= 1
        ordered[before] = value
        positions[before] = position
        moves -= t - before
        if moves < 0:
            return False
    return True


def _dense_ranks(rdms: np.ndarray, order: np.ndarray, rounding: float, ranks: np.ndarray) -> None:
    n = rdms.shape[1]
    for k in range(rdms.shape[0]):
        before = rdms[k, order[k, 0]]
        apart = rounding * max(abs(before), abs(rdms[k, order[k, n - 1]]))
        rank = 0
        for t in range(n):
            value = rdms[k, order[k, t]]
            rank += value - before > apart
            ranks[k, order[k, t]] = rank
            before = value


def _midranks(
    dense: np.ndarray, weights: np.ndarray, present: np.ndarray, ranks: np.ndarray
) -> None:
    occurs = np.empty(dense.shape[1])
    for k in range(dense.shape[0]):
        occurs[:] = 0.0
        for i in range(present.size):
            occurs[dense[k, present[i]]] += weights[i]
        below = 0.0
        for r in range(occurs.size):
            here = occurs[r]
            occurs[r] = below + (here + 1.0) / 2.0
            below += here
        for i in range(present.size):
            ranks[k, i] = occurs[dense[k, present[i]]]


def _centred_midranks(
    values: np.ndarray,
    order: np.ndarray,
    weights: np.ndarray,
    rounding: float,
    ranks: np.ndarray,
    squares: np.ndarray,
) -> None:
    n_parts, n_rdms, n_pairs = ranks.shape
    present = np.empty(n_pairs, np.int64)
    for t in range(n_parts):
        weight = weights[min(t, weights.shape[0] - 1)]
        total = 0.0
        for p in range(n_pairs):
            total += weight[p]
        for k in range(n_rdms):
            value = values[min(t, values.shape[0] - 1), k]
            by_size = order[min(t, values.shape[0] - 1), k]
            rank = ranks[t, k]
            n = 0
            for q in range(n_pairs):
                p = by_size[q]
                rank[p] = 0.0
                present[n] = p
                n += weight[p] > 0.0
            square, below = 0.0, 0.0
            apart = 0.0
            if n:
                apart = rounding * max(abs(value[present[0]]), abs(value[present[n - 1]]))
            first = 0
            while first < n:
                here = weight[present[first]]
                end = first + 1
                while end < n and value[present[end]] - value[present[end - 1]] <= apart:
                    here += weight[present[end]]
                    end += 1
                middle = below + 0.5 * (here - total)
                for q in range(first, end):
                    rank[present[q]] = middle
                square += here * middle * middle
                below += here
                first = end
            squares[t, k] = square


def _centred_ranks(rdms: np.ndarray, order: np.ndarray, rounding: float, ranks: np.ndarray) -> None:
    n = rdms.shape[1]
    for k in range(rdms.shape[0]):
        apart = rounding * max(abs(rdms[k, order[k, 0]]), abs(rdms[k, order[k, n - 1]]))
        first = 0
        for t in range(1, n + 1):
            if t < n and rdms[k, order[k, t]] - rdms[k, order[k, t - 1]] <= apart:
                continue
            rank = 0.5 * (first + t - n)  # the mean of first … t − 1, less (n − 1) / 2
            for i in range(first, t):
                ranks[k, order[k, i]] = rank
            first = t
