"""Ceilings of comparators that rank: in every resample, subjects against the mean of their ranks.

The mean has ranks of its own, so that it is sorted in every resample, and again without each of
the subjects. That is most of the work of an evaluation with several subjects; it is one compiled
loop, which holds the pairs of one resample at a time.
"""

from __future__ import annotations

import numpy as np

from probe.similarity.lanes import LaneRanks
from probe.similarity.ranks import ROUNDING, compiled


def pooled_products(
    data: LaneRanks, per_length: np.ndarray, of_subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply subjects' ranks with those of the pools over all subjects, and all but one.

    Parameters
    ----------
    data : LaneRanks
        Of S subjects in b resamples.
    per_length : numpy.ndarray, shape (b, S)
        What ranks about zero are multiplied with before they are pooled. A subject for whom it
        is NaN is in no pool.
    of_subjects : numpy.ndarray, shape (Q, b, S)
        How often each subject occurs, in Q ways to draw them.

    Returns
    -------
    products : numpy.ndarray, shape (Q, b, 1 + S, S)
        Sums of pool's ranks times subject's ranks times ``per_length``, over the pairs as often as
        they occur: of the pool over all with every subject, and of the pool without a subject that
        occurs with that subject. Others are NaN.
    squares : numpy.ndarray, shape (Q, b, 1 + S)
        Sums of the squares of the pools' ranks.
    """
    n_subjects = len(data.ranks)
    products = np.full((*of_subjects.shape[:2], 1 + n_subjects, n_subjects), np.nan)
    squares = np.full(products.shape[:3], np.nan)
    compiled(_pooled_products, _sort_keys, _rank_pool, _product)(
        data.ranks, data.weights, np.ascontiguousarray(per_length),
        np.ascontiguousarray(of_subjects, np.float64), ROUNDING, products, squares,
    )  # fmt: skip
    return products, squares


def _pooled_products(
    lane_ranks: np.ndarray,
    lane_weights: np.ndarray,
    per_length: np.ndarray,
    of_subjects: np.ndarray,
    rounding: float,
    products: np.ndarray,
    squares: np.ndarray,
) -> None:
    n_subjects, n_pairs = lane_ranks.shape[:2]
    n_bits = 1
    while 1 << n_bits < n_pairs:
        n_bits += 1
    highest = np.float64((1 << (62 - n_bits)) - 512)  # a double near 2^61 has no digits for less
    # Of the pairs that occur, where they are, how often they occur, and the subjects' ranks.
    present, weights = np.empty(n_pairs + 1, np.int64), np.empty(n_pairs + 1)
    units = np.empty((n_subjects, n_pairs))
    pool, values, ranks = np.empty(n_pairs), np.empty(n_pairs), np.empty(n_pairs)
    keys, ordered = np.empty(n_pairs, np.int64), np.empty(n_pairs, np.int64)
    ends = np.empty((1 << (n_bits - 1)) + 1, np.int32)
    for b in range(per_length.shape[0]):
        n_present, total = 0, 0.0
        for k in range(n_pairs):
            weight = np.float64(lane_weights[k, b])
            present[n_present], weights[n_present] = k, weight
            total += weight
            n_present += int(weight > 0.0)
        for s in range(n_subjects):
            half_length = 0.5 * per_length[b, s]  # ranks are doubled
            for k in range(n_present):
                units[s, k] = half_length * lane_ranks[s, present[k], b]
        for q in range(of_subjects.shape[0]):
            for k in range(n_present):
                pool[k] = 0.0
            lengths, n_pooled, numbers = 0.0, 0, 0
            for s in range(n_subjects):
                occurs = of_subjects[q, b, s]
                if occurs > 0.0 and not np.isnan(per_length[b, s]):
                    lengths += occurs * per_length[b, s]
                    n_pooled += 1
                    numbers += s
                    for k in range(n_present):
                        pool[k] += occurs * units[s, k]
            for left_out in range(-1, n_subjects):
                lengths_left, n_left, only = lengths, n_pooled, numbers
                for k in range(n_present):
                    values[k] = pool[k]
                if left_out >= 0:
                    occurs = of_subjects[q, b, left_out]
                    if occurs <= 0.0 or np.isnan(per_length[b, left_out]):
                        continue
                    lengths_left -= occurs * per_length[b, left_out]
                    n_left -= 1
                    only -= left_out
                    for k in range(n_present):
                        values[k] -= occurs * units[left_out, k]
                if n_left == 1:  # the pool has the order of the one subject in it
                    square = 0.0
                    for k in range(n_present):
                        rank = 0.5 * lane_ranks[only, present[k], b]
                        ranks[k] = rank * weights[k]
                        square += rank * ranks[k]
                else:
                    # Ranks about zero are less than half of what there is to rank; where rounding
                    # leaves nothing of that, they are kept within the bounds.
                    bound = 0.5 * total * lengths_left
                    scale = np.float64(1 << (61 - n_bits)) / bound if bound > 0.0 else 0.0
                    for k in range(n_present):
                        level = min(max((values[k] + bound) * scale, 0.0), highest)
                        keys[k] = (np.int64(level) << n_bits) | k
                    _sort_keys(keys[:n_present], n_bits, ordered[:n_present], ends)
                    square = _rank_pool(
                        ordered[:n_present], n_bits, scale, values, weights, total, rounding, ranks
                    )
                squares[q, b, left_out + 1] = square
                for s in range(n_subjects):
                    if left_out in (-1, s) and not np.isnan(per_length[b, s]):
                        products[q, b, left_out + 1, s] = _product(ranks[:n_present], units[s])


def _sort_keys(keys: np.ndarray, n_bits: int, ordered: np.ndarray, ends: np.ndarray) -> None:
    """Sort whole numbers below 2^62, of which there are at most 2^n_bits.

    They are put into half as many buckets, and what is left to sort is sorted by insertion.
    """
    n, shift = keys.size, 63 - n_bits
    ends[:] = 0
    for k in range(n):
        ends[(keys[k] >> shift) + 1] += 1
    for bucket in range(1, ends.size):
        ends[bucket] += ends[bucket - 1]
    for k in range(n):
        bucket = keys[k] >> shift
        ordered[ends[bucket]] = keys[k]
        ends[bucket] += 1
    # Most of those that are in disorder are next to where they should be: without a branch, which
    # would be guessed wrongly as often as not.
    largest = ordered[0]
    for t in range(1, n):
        key = ordered[t]
        ordered[t - 1] = min(largest, key)
        largest = max(largest, key)
    ordered[n - 1] = largest
    moves = 16 * n  # beyond which steps of one place are too short
    for t in range(1, n):
        key, before = ordered[t], t
        while before > 0 and ordered[before - 1] > key:
            ordered[before] = ordered[before - 1]
            before -= 1
        ordered[before] = key
        moves -= t - before
        if moves < 0:
            break
    if moves >= 0:
        return
    # Shell 1959, Commun ACM 2:30. NumPy's own sort takes seconds to compile.
    step = n
    while step > 1:
        step = max(1, step * 5 // 11)
        for t in range(step, n):
            key, before = ordered[t], t
            while before >= step and ordered[before - step] > key:
                ordered[before] = ordered[before - step]
                before -= step
            ordered[before] = key


def _rank_pool(
    ordered: np.ndarray,
    n_bits: int,
    scale: float,
    values: np.ndarray,
    weights: np.ndarray,
    total: float,
    rounding: float,
    ranks: np.ndarray,
) -> float:
    """Write mid-ranks about zero, times the weights; return the sum of their squares."""
    n, mask = ordered.size, (1 << n_bits) - 1
    apart = rounding * max(abs(values[ordered[0] & mask]), abs(values[ordered[n - 1] & mask]))
    near = np.int64(apart * scale) + 1  # of keys, which are rounded down
    square = 0.0
    below = -total
    t = 0
    while t < n:
        beginning = t
        here = weights[ordered[t] & mask]
        t += 1
        while (
            t < n
            and (ordered[t] >> n_bits) - (ordered[t - 1] >> n_bits) <= near
            and values[ordered[t] & mask] - values[ordered[t - 1] & mask] <= apart
        ):
            here += weights[ordered[t] & mask]
            t += 1
        rank = 0.5 * (below + here)
        for k in range(beginning, t):
            ranks[ordered[k] & mask] = rank * weights[ordered[k] & mask]
        square += here * rank * rank
        below += here + here
    return square


def _product(a: np.ndarray, b: np.ndarray) -> float:
    """Return the sum of products, in four parts, since a sum waits for the one before it."""
    n = a.size
    p, q, r, s = 0.0, 0.0, 0.0, 0.0
    for k in range(0, n - 3, 4):
        p += a[k] * b[k]
        q += a[k + 1] * b[k + 1]
        r += a[k + 2] * b[k + 2]
        s += a[k + 3] * b[k + 3]
    for k in range(n - n % 4, n):
        p += a[k] * b[k]
    return (p + q) + (r + s)
