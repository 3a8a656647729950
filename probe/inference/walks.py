"""Loops over pairs of stimuli and over fits, compiled: what fitted models need in every part.

A part of the stimuli is a vector of counts. The pairs of an RDM are walked in the order of their
distances, for many parts at once: in each, the rank of a pair is the number of pairs before it.
"""

from __future__ import annotations

import numpy as np

from probe.similarity.ranks import compiled

INDEPENDENT = 1e-12
"""Share of a component's square, at least, that is no sum of the components in the fit."""


def products_with_ranks(
    first: np.ndarray,
    second: np.ndarray,
    positions: np.ndarray,
    tied: np.ndarray,
    counts: np.ndarray,
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply RDMs with the centred mid-ranks of another one, in many parts of the stimuli.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (n_pairs,), int
        The stimuli of every pair, in ascending order of the distances that are ranked.
    positions : numpy.ndarray, shape (n_pairs,), int
        Where the pair is in ``values``.
    tied : numpy.ndarray, shape (n_pairs,), bool
        Whether a distance is tied with the one before it.
    counts : numpy.ndarray, shape (T, n_stimuli)
        How often each stimulus occurs in each part.
    values : numpy.ndarray, shape (n_pairs, K, 1) or (n_pairs, K, T)
        Distances of K RDMs, the same in all parts or of each.

    Returns
    -------
    products : numpy.ndarray, shape (T, K)
        Sums over the pairs, as often as they occur.
    squares : numpy.ndarray, shape (T,)
        Sums of the squared ranks; exactly 0 where all distances are tied.
    """
    by_stimulus = np.ascontiguousarray(counts.T, dtype=np.float64)
    products = np.zeros((values.shape[1], len(counts)))
    squares = np.zeros(len(counts))
    compiled(_products_with_ranks)(
        np.ascontiguousarray(first), np.ascontiguousarray(second), np.ascontiguousarray(positions),
        tied, by_stimulus, np.ascontiguousarray(values), products, squares,
    )  # fmt: skip
    return products.T, squares


def nonnegative_weights(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Fit by least squares with weights that are not negative, given products only.

    The active-set method of Lawson & Hanson (1974, Solving Least Squares Problems, ch. 23) on the
    normal equations (Bro & de Jong 1997, J Chemom 11:393). A component that is, up to rounding, a
    sum of those that are in the fit stays out of it.

    Parameters
    ----------
    gram : numpy.ndarray, shape (T, K, K)
        Products of the components with each other, which have length 1, or are 0.
    cross : numpy.ndarray, shape (T, F, K)
        Products with F targets, the largest of size 1.

    Returns
    -------
    numpy.ndarray, shape (T, F, K)
    """
    weights = np.zeros(cross.shape)
    compiled(_nonnegative_weights)(
        np.ascontiguousarray(gram), np.ascontiguousarray(cross), INDEPENDENT, weights
    )
    return weights


def _products_with_ranks(
    first: np.ndarray,
    second: np.ndarray,
    positions: np.ndarray,
    tied: np.ndarray,
    by_stimulus: np.ndarray,
    values: np.ndarray,
    products: np.ndarray,
    squares: np.ndarray,
) -> None:
    n_pairs, n_parts = first.size, by_stimulus.shape[1]
    alike = values.shape[2] == 1
    total, below = np.zeros(n_parts), np.zeros(n_parts)
    here, rank, weighted = np.empty(n_parts), np.empty(n_parts), np.empty(n_parts)
    for t in range(n_pairs):
        of_first, of_second = by_stimulus[first[t]], by_stimulus[second[t]]
        for r in range(n_parts):
            total[r] += of_first[r] * of_second[r]
    t = 0
    while t < n_pairs:
        end = t + 1
        while end < n_pairs and tied[end]:
            end += 1
        of_first, of_second = by_stimulus[first[t]], by_stimulus[second[t]]
        for r in range(n_parts):
            here[r] = of_first[r] * of_second[r]
        for q in range(t + 1, end):
            of_first, of_second = by_stimulus[first[q]], by_stimulus[second[q]]
            for r in range(n_parts):
                here[r] += of_first[r] * of_second[r]
        for r in range(n_parts):
            # The mean of N ranks is (N + 1) / 2, ties or not.
            rank[r] = below[r] + 0.5 * (here[r] - total[r])
            below[r] += here[r]
            squares[r] += here[r] * rank[r] * rank[r]
        for q in range(t, end):
            of_first, of_second = by_stimulus[first[q]], by_stimulus[second[q]]
            of_pair = values[positions[q]]
            for r in range(n_parts):
                weighted[r] = of_first[r] * of_second[r] * rank[r]
            for k in range(of_pair.shape[0]):
                product = products[k]
                if alike:
                    value = of_pair[k, 0]
                    for r in range(n_parts):
                        product[r] += weighted[r] * value
                else:
                    row = of_pair[k]
                    for r in range(n_parts):
                        product[r] += weighted[r] * row[r]
        t = end


def _nonnegative_weights(
    gram: np.ndarray, cross: np.ndarray, independent: float, weights: np.ndarray
) -> None:
    n_parts, n_fits, n = cross.shape
    root = np.zeros((n, n))  # a triangular root of the products of the components in the fit
    solution, taken = np.empty(n), np.empty(n, np.int64)
    inside, refused = np.empty(n, np.bool_), np.empty(n, np.bool_)
    for t in range(n_parts):
        g = gram[t]
        for f in range(n_fits):
            c, w = cross[t, f], weights[t, f]
            inside[:] = False
            refused[:] = False
            n_taken = 0
            for _ in range(30 * n):
                # The component that most improves the fit.
                best, steepest = -1, 1e-14 * n
                for k in range(n):
                    if inside[k] or refused[k]:
                        continue
                    slope = c[k]
                    for q in range(n_taken):
                        slope -= g[k, taken[q]] * w[taken[q]]
                    if slope > steepest:
                        best, steepest = k, slope
                if best < 0:
                    break
                taken[n_taken] = best
                inside[best] = True
                n_taken += 1
                start = n_taken - 1
                is_new = True
                while True:
                    # Cholesky's decomposition, from the row that is new.
                    for a in range(start, n_taken):
                        for b in range(a + 1):
                            value = g[taken[a], taken[b]]
                            for q in range(b):
                                value -= root[a, q] * root[b, q]
                            if a == b:
                                if value <= independent:
                                    value = np.inf
                                root[a, a] = np.sqrt(value)
                            else:
                                root[a, b] = value / root[b, b]
                    for a in range(n_taken):
                        value = c[taken[a]]
                        for q in range(a):
                            value -= root[a, q] * solution[q]
                        solution[a] = value / root[a, a]
                    for a in range(n_taken - 1, -1, -1):
                        value = solution[a]
                        for q in range(a + 1, n_taken):
                            value -= root[q, a] * solution[q]
                        solution[a] = value / root[a, a]
                    if is_new and solution[n_taken - 1] <= 0.0:
                        # It is a sum of the others, or its slope was rounding error.
                        n_taken -= 1
                        inside[best] = False
                        refused[best] = True
                        break
                    is_new = False
                    # As far as no weight becomes negative; what is at 0 then leaves the fit.
                    step = 1.0
                    for a in range(n_taken):
                        if solution[a] <= 0.0:
                            step = min(step, w[taken[a]] / (w[taken[a]] - solution[a]))
                    if step == 1.0:
                        for a in range(n_taken):
                            w[taken[a]] = solution[a]
                        refused[:] = False
                        break
                    kept, start = 0, n_taken
                    for a in range(n_taken):
                        k = taken[a]
                        moved = w[k] + step * (solution[a] - w[k])
                        if solution[a] <= 0.0 and moved <= 1e-15:
                            w[k] = 0.0
                            inside[k] = False
                            start = min(start, a)
                        else:
                            w[k] = moved
                            taken[kept] = k
                            kept += 1
                    if kept == n_taken:  # rounding kept the one that bounds the step
                        lowest = 0
                        for a in range(n_taken):
                            if solution[a] <= 0.0 and w[taken[a]] <= w[taken[lowest]]:
                                lowest = a
                        w[taken[lowest]] = 0.0
                        inside[taken[lowest]] = False
                        start = lowest
                        for a in range(lowest, n_taken - 1):
                            taken[a] = taken[a + 1]
                        kept -= 1
                    n_taken = kept
