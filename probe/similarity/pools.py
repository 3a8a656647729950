"""Ceilings of comparators that rank: in every resample, subjects against the mean of their ranks.

The mean has ranks of its own, so that it is sorted in every resample, and again without each of
the subjects. That is most of the work of an evaluation with several subjects; it is one compiled
loop, which holds the pairs of one resample at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probe.similarity.lanes import SortedPairs
from probe.similarity.pairs import Pairs
from probe.similarity.ranks import ROUNDING, compiled, sort_row


def pooled_products(
    data: Sequence[SortedPairs],
    pairs: Pairs,
    counts: np.ndarray,
    per_length: np.ndarray,
    of_subjects: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply subjects' ranks with those of the pools over all subjects, and all but one.

    Parameters
    ----------
    data : sequence of SortedPairs
        Of S subjects.
    pairs : Pairs
        That these RDMs have.
    counts : numpy.ndarray, shape (b, n), of whole numbers
        How often each condition occurs in each resample.
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
    products = np.full((*of_subjects.shape[:2], 1 + len(data), len(data)), np.nan)
    squares = np.full(products.shape[:3], np.nan)
    compiled(_pooled_products, sort_row, _rank_present, _product)(
        pairs.i, pairs.j, pairs.offsets,
        np.stack([rdm.first for rdm in data]), np.stack([rdm.second for rdm in data]),
        np.stack([rdm.tied for rdm in data]),
        np.ascontiguousarray(counts, np.float64), np.ascontiguousarray(per_length),
        np.ascontiguousarray(of_subjects, np.float64), ROUNDING, products, squares,
    )  # fmt: skip
    return products, squares


def _pooled_products(
    i: np.ndarray,
    j: np.ndarray,
    offsets: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    tied: np.ndarray,
    counts: np.ndarray,
    per_length: np.ndarray,
    of_subjects: np.ndarray,
    rounding: float,
    products: np.ndarray,
    squares: np.ndarray,
) -> None:
    n_subjects, n_pairs = first.shape
    n = counts.shape[1]
    # Where a pair is in the order of each subject's distances.
    pair_of = np.empty((n_subjects, n_pairs), np.int32)
    for s in range(n_subjects):
        for t in range(n_pairs):
            pair_of[s, t] = offsets[first[s, t]] + second[s, t]
    column, weight_of = np.empty(n * (n - 1) // 2, np.int32), np.empty(n * (n - 1) // 2)
    weights = np.empty(n_pairs + 1)
    # The last column takes what is asked for pairs that do not occur.
    units = np.empty((n_subjects, n_pairs + 1))
    pool, of_others, ranks = np.empty(n_pairs), np.empty(n_pairs), np.empty(n_pairs)
    ordered, positions = np.empty(n_pairs), np.empty(n_pairs, np.int32)
    buckets, starts = np.empty(n_pairs, np.int32), np.empty(n_pairs + 1, np.int32)
    for b in range(counts.shape[0]):
        count = counts[b]
        n_present = 0
        total = 0.0
        for k in range(n_pairs):
            pair = offsets[i[k]] + j[k]
            weight = count[i[k]] * count[j[k]]
            weight_of[pair] = weights[n_present] = weight
            column[pair] = n_present if weight > 0.0 else n_pairs
            total += weight
            n_present += weight > 0.0
        for s in range(n_subjects):
            length = per_length[b, s]
            if np.isnan(length):
                continue
            unit, pairs, is_tied = units[s], pair_of[s], tied[s]
            below = -total
            t = 0
            while t < n_pairs:
                beginning = t
                here = weight_of[pairs[t]]
                t += 1
                while is_tied[t]:
                    here += weight_of[pairs[t]]
                    t += 1
                rank = 0.5 * (below + here) * length
                for k in range(beginning, t):
                    unit[column[pairs[k]]] = rank
                below += here + here
        for q in range(of_subjects.shape[0]):
            pool[:n_present] = 0.0
            for s in range(n_subjects):
                if not np.isnan(per_length[b, s]):
                    occurs = of_subjects[q, b, s]
                    for k in range(n_present):
                        pool[k] += occurs * units[s, k]
            for left_out in range(-1, n_subjects):
                values = pool[:n_present]
                if left_out >= 0:
                    occurs = of_subjects[q, b, left_out]
                    if occurs <= 0.0 or np.isnan(per_length[b, left_out]):
                        continue
                    values = of_others[:n_present]
                    for k in range(n_present):
                        values[k] = pool[k] - occurs * units[left_out, k]
                if not sort_row(
                    values, ordered, positions, buckets[:n_present], starts[: n_present + 1]
                ):
                    positions[:n_present] = np.argsort(values)
                    for k in range(n_present):
                        ordered[k] = values[positions[k]]
                squares[q, b, left_out + 1] = _rank_present(
                    ordered[:n_present], positions, weights, total, rounding, ranks
                )
                for s in range(n_subjects):
                    if left_out in (-1, s) and not np.isnan(per_length[b, s]):
                        products[q, b, left_out + 1, s] = _product(ranks[:n_present], units[s])


def _rank_present(
    ordered: np.ndarray,
    positions: np.ndarray,
    weights: np.ndarray,
    total: float,
    rounding: float,
    ranks: np.ndarray,
) -> float:
    """Write mid-ranks about zero, times the weights; return the sum of their squares."""
    n = ordered.size
    apart = rounding * max(abs(ordered[0]), abs(ordered[n - 1]))
    square, below = 0.0, 0.0
    beginning = 0
    while beginning < n:
        here = weights[positions[beginning]]
        end = beginning + 1
        while end < n and ordered[end] - ordered[end - 1] <= apart:
            here += weights[positions[end]]
            end += 1
        rank = below + 0.5 * (here - total)
        for k in range(beginning, end):
            ranks[positions[k]] = rank * weights[positions[k]]
        square += here * rank * rank
        below += here
        beginning = end
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
