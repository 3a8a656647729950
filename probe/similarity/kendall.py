"""Kendall's tau of RDMs, in the time of a sort.

Tau compares the order of every two distances in one RDM with their order in the other. Taking the
distances in the order of the first RDM, and counting how many of those already taken are smaller or
larger in the second (in a tree of partial sums: Fenwick 1994, Softw Pract Exp 24:327), n log n
steps count all n² comparisons (Knight 1966, J Am Stat Assoc 61:436).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from probe.similarity.ranks import checked, compiled

MOST = 3_000_000_000
"""More distances than this make more comparisons than a 64-bit integer counts. They are the RDM of
77,000 stimuli."""


def kendall(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None,
    variant: Literal["a", "b"],
    asked: np.ndarray | None = None,
) -> np.ndarray:
    r"""Kendall's tau between every RDM of ``x`` and every one of ``y``.

    With C the number of comparisons on which two RDMs agree, D on which they disagree, and
    :math:`n_0 = N (N - 1) / 2` the number of all, of which :math:`n_x` and :math:`n_y` are ties:

    .. math::

        \tau_a = \frac{C - D}{n_0}, \qquad \tau_b = \frac{C - D}{\sqrt{(n_0 - n_x)(n_0 - n_y)}}

    Parameters
    ----------
    x, y : numpy.ndarray, shape (n_x, n_pairs) and (n_y, n_pairs), int32
        From `probe.similarity.ranks.dense_ranks`.
    weights : numpy.ndarray, shape (n_pairs,), of whole numbers, or None
        How often each pair occurs, by default once. Its copies are tied with one another.
    variant : {'a', 'b'}
        Whether ties count as comparisons on which the RDMs do not agree, or are left out. With
        ``a``, an RDM that leaves distances tied does not profit from it (Nili et al. 2014, PLoS
        Comput Biol 10:e1003553).
    asked : numpy.ndarray, shape (n_x, n_y), bool, or None
        Which RDMs of ``x`` are compared with which of ``y``, by default all; others are NaN.

    Returns
    -------
    numpy.ndarray, shape (n_x, n_y), float64
        In [-1, 1]. NaN where nothing can be compared: fewer than two distances, or, for tau-b, an
        RDM whose distances are all tied.

    Raises
    ------
    ValueError
        If the variant is unknown, sizes differ, a weight is negative, or there are more distances
        than can be counted.
    """
    if variant not in ("a", "b"):
        raise ValueError(f"variant {variant!r} of Kendall's tau: expected a or b")
    x, y = checked(x), checked(y)
    if weights is None:
        weights = np.ones(x.shape[1], dtype=np.int64)
    weights = np.ascontiguousarray(weights, dtype=np.int64)
    if x.shape[1] != y.shape[1] or weights.shape != x.shape[1:] or (weights < 0).any():
        raise ValueError(
            f"RDMs of {x.shape[1]} and {y.shape[1]} pairs and weights of shape {weights.shape}: "
            "expected as many of each, and no negative weight"
        )
    total = float(weights.sum(dtype=np.float64))
    if total > MOST:
        raise ValueError(f"{total:.3g} distances are too many for Kendall's tau; at most {MOST:,}")
    agreement = np.zeros((len(x), len(y)), dtype=np.int64)
    ties_x, ties_y = np.zeros(len(x), dtype=np.int64), np.zeros(len(y), dtype=np.int64)
    if asked is None:
        asked = np.ones(agreement.shape, dtype=bool)
    compiled(_compare)(x, y, weights, asked, agreement, ties_x, ties_y)
    result = tau(agreement, np.full((), total), ties_x, ties_y, variant)
    return np.where(asked, result, np.nan)


def tau(
    balance: np.ndarray,
    n_pairs: np.ndarray,
    ties_x: np.ndarray,
    ties_y: np.ndarray,
    variant: Literal["a", "b"],
) -> np.ndarray:
    """Compute tau from comparisons that were counted.

    Parameters
    ----------
    balance : numpy.ndarray, shape (…, n_x, n_y), int64
        Agreements less disagreements.
    n_pairs : numpy.ndarray, shape (…)
        How many pairs were compared with one another.
    ties_x, ties_y : numpy.ndarray, shape (…, n_x) and (…, n_y), int64
        Comparisons that are ties.
    variant : {'a', 'b'}

    Returns
    -------
    numpy.ndarray, shape (…, n_x, n_y), float64
        NaN where nothing can be compared.
    """
    n_whole = np.asarray(n_pairs).astype(np.int64)
    comparisons = n_whole * (n_whole - 1) // 2
    if variant == "a":
        norm = np.broadcast_to(comparisons[..., None, None], balance.shape).astype(np.float64)
    else:
        # Each root by itself: the product of two such numbers would have lost digits.
        of_x = np.sqrt(comparisons[..., None] - ties_x)[..., :, None]
        norm = of_x * np.sqrt(comparisons[..., None] - ties_y)[..., None, :]
    result = np.full(balance.shape, np.nan)
    np.divide(balance, norm, out=result, where=norm > 0.0)
    return np.clip(result, -1.0, 1.0)


def _compare(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    asked: np.ndarray,
    agreement: np.ndarray,
    ties_x: np.ndarray,
    ties_y: np.ndarray,
) -> None:
    """Count agreements less disagreements, and ties. Written as loops, to be compiled."""
    present, w = np.empty(weights.size, np.int64), np.empty(weights.size, np.int64)
    m = 0
    for i in range(weights.size):
        if weights[i] != 0:
            present[m], w[m] = i, weights[i]
            m += 1
    n_x, n_y = x.shape[0], y.shape[0]

    # The ranks of those present, without gaps.
    ranks = np.empty((n_x + n_y, m), dtype=np.int32)
    n_ranks = np.empty(n_x + n_y, dtype=np.int64)
    occurs = np.empty(x.shape[1], dtype=np.int64)
    renumbered = np.empty(x.shape[1], dtype=np.int32)
    for k in range(n_x + n_y):
        row = x[k] if k < n_x else y[k - n_x]
        occurs[:] = 0
        for i in range(m):
            occurs[row[present[i]]] += w[i]
        ties, n = 0, 0
        for r in range(occurs.size):
            renumbered[r] = n
            if occurs[r] > 0:
                n += 1
                ties += occurs[r] * (occurs[r] - 1) // 2
        for i in range(m):
            ranks[k, i] = renumbered[row[present[i]]]
        n_ranks[k] = n
        if k < n_x:
            ties_x[k] = ties
        else:
            ties_y[k - n_x] = ties

    start = np.empty(m + 1, dtype=np.int64)  # of the distances at one rank of x
    fill = np.empty(m + 1, dtype=np.int64)
    order = np.empty(m, dtype=np.int64)
    at_rank = np.empty(m, dtype=np.int64)  # how many distances taken have this rank in y
    tree = np.empty(m + 1, dtype=np.int64)  # their partial sums
    for a in range(n_x):
        n = n_ranks[a]
        start[: n + 1] = 0
        for i in range(m):
            start[ranks[a, i] + 1] += 1
        for r in range(n):
            fill[r] = start[r]
            start[r + 1] += start[r]
        for i in range(m):
            r = ranks[a, i]
            order[fill[r]] = i
            fill[r] += 1
        for b in range(n_y):
            if not asked[a, b]:
                continue
            in_y = ranks[n_x + b]
            size = n_ranks[n_x + b]
            at_rank[:size] = 0
            tree[: size + 1] = 0
            taken, total = 0, 0
            for r in range(n):
                # First compare all at this rank of x, which are not compared with each other …
                for j in range(start[r], start[r + 1]):
                    i = order[j]
                    smaller = 0
                    node = in_y[i]
                    equal = at_rank[node]
                    while node > 0:
                        smaller += tree[node]
                        node &= node - 1
                    total += w[i] * (2 * smaller + equal - taken)
                # … then take them.
                for j in range(start[r], start[r + 1]):
                    i = order[j]
                    taken += w[i]
                    at_rank[in_y[i]] += w[i]
                    node = in_y[i] + 1
                    while node <= size:
                        tree[node] += w[i]
                        node += node & -node
            agreement[a, b] = total
