"""Tests over a whole curve or map: which stretches, or places, of it are no accident.

Observations, as subjects, are values of one curve or map each, and without an effect a value and
its opposite are equally likely. So the signs of whole observations are flipped at random, and what
is largest anywhere in the flipped data, a t value or the sum of a cluster's, is what chance makes
somewhere: the chance of any false positive, not of one at a given point, is controlled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse, stats

from probe.similarity.ranks import compiled

Tail = Literal["two-sided", "greater", "less"]

TAILS = ("two-sided", "greater", "less")
"""What is evidence against the hypothesis: values on either side of zero, above it, or below it."""

ROUNDING = 1e-9
"""Sums nearer than this share are equal: a flip that changes nothing must count."""

BLOCK_VALUES = 2**21
"""t values of flipped data that are held at a time."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """What `cluster_test` returns.

    Attributes
    ----------
    statistic : numpy.ndarray, shape (n_points,)
        One-sample t over observations.
    threshold : float
        A point belongs to a cluster where the statistic is beyond this, on a side that was tested.
    clusters : list of numpy.ndarray of int
        The points of each cluster, ascending; the clusters in the order of their first points.
    masses : numpy.ndarray, shape (n_clusters,)
        Sum of the statistic over each cluster; negative below zero.
    p_values : numpy.ndarray, shape (n_clusters,)
        Of each cluster, corrected for having looked everywhere. What it says is that there is an
        effect, not that it begins or ends where the cluster does (Sassenhagen & Draschkow 2019,
        Psychophysiology 56:e13335).
    null : numpy.ndarray, shape (n_flips,)
        Largest mass of any cluster in each flip, without its sign; 0 where there is none. Of an
        exact test, the first flip is the data themselves.
    exact : bool
        Whether all flips that there are were made.
    """

    statistic: np.ndarray
    threshold: float
    clusters: list[np.ndarray]
    masses: np.ndarray
    p_values: np.ndarray
    null: np.ndarray
    exact: bool

    @property
    def p_at_points(self) -> np.ndarray:
        """The p-value of the cluster that each point is in; 1 outside clusters."""
        p = np.ones(len(self.statistic))
        for points, of_cluster in zip(self.clusters, self.p_values, strict=True):
            p[points] = of_cluster
        return p


@dataclass(frozen=True, eq=False)
class MaxStatistic:
    """What `max_statistic_test` returns.

    Attributes
    ----------
    statistic : numpy.ndarray, shape (n_points,)
        One-sample t over observations.
    p_values : numpy.ndarray, shape (n_points,)
        Of each point, corrected for having looked everywhere.
    null : numpy.ndarray, shape (n_flips,)
        Largest statistic anywhere in each flip, in the direction tested. Of an exact test, the
        first flip is the data themselves.
    exact : bool
        Whether all flips that there are were made.
    """

    statistic: np.ndarray
    p_values: np.ndarray
    null: np.ndarray
    exact: bool


def cluster_test(
    samples: np.ndarray,
    *,
    threshold: float | None = None,
    tail: Tail = "two-sided",
    n_permutations: int = 10_000,
    seed: int = 0,
    adjacency: Any = None,
) -> Clusters:
    """Test curves or maps against zero by the masses of clusters, flipping signs.

    Parameters
    ----------
    samples : array-like, shape (n_observations ≥ 2, n_points)
        A curve or map per observation, as a subject, of something that is zero by hypothesis: a
        correlation, a score less chance, a difference.
    threshold : float, optional
        t value, above zero, beyond which neighbouring points form a cluster; by default that of
        p = .05 at one point (two-sided: .025 on either side). It decides what the test is
        sensitive to, not how often it errs.
    tail : {'two-sided', 'greater', 'less'}
        Points above and below zero never share a cluster.
    n_permutations : int
        Flips at random. All there are, which makes the test exact, if they are not more than these
        and the data themselves; two-sided, a flip and its opposite are one.
    seed : int
    adjacency : scipy.sparse array or matrix, shape (n_points, n_points), optional
        Not zero where two points are neighbours; symmetric. By default every point is a neighbour
        of the one before and the one after.

    Returns
    -------
    Clusters

    Raises
    ------
    ValueError
        If a value is not finite, a point has the same value, not zero, in all observations, or an
        argument is not what it should be.

    See Also
    --------
    max_statistic_test : Point by point, without clusters.

    References
    ----------
    Maris & Oostenveld 2007, J Neurosci Methods 164:177; Bullmore et al. 1999, IEEE Trans Med
    Imaging 18:32; Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.inference import cluster_test
    >>> curves = np.random.default_rng(0).normal(size=(12, 40))
    >>> curves[:, 10:20] += 2  # twelve subjects, whose scores rise between points 10 and 19
    >>> result = cluster_test(curves, n_permutations=200)
    >>> best = result.p_values.argmin()
    >>> bool(result.p_values[best] < 0.05), set(range(11, 19)) <= set(result.clusters[best])
    (True, True)
    """
    samples = _checked(samples, tail, n_permutations)
    n_observations, n_points = samples.shape
    if threshold is None:
        share = 0.025 if tail == "two-sided" else 0.05
        threshold = float(stats.t.isf(share, n_observations - 1))
    elif not 0.0 < threshold < np.inf:
        raise ValueError(f"threshold {threshold}: expected a t value above zero")
    neighbours = _neighbours(adjacency, n_points)
    sides = (tail != "less", tail != "greater")
    statistic = _t(samples)
    clusters, masses = _clusters(statistic, threshold, sides, neighbours)
    signs, exact = _signs(n_observations, tail, n_permutations, seed)
    null = np.empty(len(signs))
    for part, t in _flipped(samples, statistic, signs, exact):
        compiled(_largest_masses)(t, threshold, *sides, *neighbours, null[part])
    return Clusters(
        statistic, threshold, clusters, masses, _p_values(np.abs(masses), null, exact), null, exact
    )


def max_statistic_test(
    samples: np.ndarray,
    *,
    tail: Tail = "two-sided",
    n_permutations: int = 10_000,
    seed: int = 0,
) -> MaxStatistic:
    """Test every point of curves or maps against zero, flipping signs.

    Each point's t value is compared with the largest one anywhere: unlike a cluster's, its p-value
    says of this point that there is an effect.

    Parameters
    ----------
    samples, tail, n_permutations, seed
        See `cluster_test`.

    Returns
    -------
    MaxStatistic

    Raises
    ------
    ValueError
        As `cluster_test`.

    See Also
    --------
    cluster_test : More power where neighbouring points rise together.

    References
    ----------
    Nichols & Holmes 2002, Hum Brain Mapp 15:1.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.inference import max_statistic_test
    >>> curves = np.random.default_rng(0).normal(size=(12, 40))
    >>> curves[:, 7] += 3
    >>> result = max_statistic_test(curves, n_permutations=200)
    >>> int(result.p_values.argmin()), bool(result.p_values[7] < 0.05)
    (7, True)
    """
    samples = _checked(samples, tail, n_permutations)
    statistic = _t(samples)
    signs, exact = _signs(len(samples), tail, n_permutations, seed)
    null = np.empty(len(signs))
    for part, t in _flipped(samples, statistic, signs, exact):
        null[part] = _directed(t, tail).max(axis=1)
    p = _p_values(_directed(statistic, tail), null, exact)
    return MaxStatistic(statistic, p, null, exact)


def max_statistic_p(statistic: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Compare every point of a map with the largest value anywhere, by chance.

    Parameters
    ----------
    statistic : numpy.ndarray, any shape
        Large values are evidence against the hypothesis; NaN where there is none.
    null : numpy.ndarray, shape (n_permutations,)
        The largest statistic anywhere in each permutation.

    Returns
    -------
    numpy.ndarray, shape of ``statistic``
        ``(count + 1) / (n_permutations + 1)``; NaN where the statistic is.
    """
    return np.where(np.isnan(statistic), np.nan, _p_values(statistic, null, exact=False))


def _checked(samples: np.ndarray, tail: str, n_permutations: int) -> np.ndarray:
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 2 or len(samples) < 2 or samples.shape[1] < 1:
        raise ValueError(
            f"samples has shape {samples.shape}; expected (observations ≥ 2, points ≥ 1)"
        )
    if tail not in TAILS:
        raise ValueError(f"tail {tail!r}: expected one of {', '.join(TAILS)}")
    if n_permutations < 1:
        raise ValueError(f"n_permutations {n_permutations}: expected a number ≥ 1")
    bad = ~np.isfinite(samples)
    if bad.any():
        observation, point = np.argwhere(bad)[0]
        raise ValueError(
            f"observation {observation} has a NaN or infinite value at point {point}: leave out "
            "points that not all observations have"
        )
    constant = (samples == samples[0]).all(axis=0) & (samples[0] != 0.0)
    if constant.any():
        raise ValueError(
            f"point {np.flatnonzero(constant)[0]} has the same value in all observations: its t "
            "value is infinite"
        )
    return samples


def _t(samples: np.ndarray) -> np.ndarray:
    """One-sample t of every column; 0 where all values are 0."""
    mean, std = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    return np.divide(
        mean * np.sqrt(len(samples)), std, out=np.zeros(len(mean)), where=samples.any(axis=0)
    )


def _signs(n: int, tail: str, n_permutations: int, seed: int) -> tuple[np.ndarray, bool]:
    """Draw flips (n_flips, n) of 1 and −1, or list all there are, the one of no flip first."""
    free = n - (tail == "two-sided")  # the opposite of a flip has the same clusters
    if free < 63 and 2**free <= n_permutations + 1:
        bits = np.arange(2**free)[:, None] >> np.arange(n) & 1
        return 1.0 - 2.0 * bits, True
    return np.random.default_rng(seed).choice((-1.0, 1.0), size=(n_permutations, n)), False


def _flipped(
    samples: np.ndarray, statistic: np.ndarray, signs: np.ndarray, exact: bool
) -> Iterator[tuple[slice, np.ndarray]]:
    """The t values (b, n_points) of flipped data, in blocks: each is one matrix product."""
    n, n_points = samples.shape
    # A point's t value does not depend on its unit, and the sum of its squares on no sign.
    scale = np.sqrt(np.mean(samples**2, axis=0))
    values = samples / np.where(scale > 0.0, scale, 1.0)
    height = max(1, BLOCK_VALUES // n_points)
    for start in range(0, len(signs), height):
        part = slice(start, start + height)
        mean = signs[part] @ values / n
        variance = np.maximum(1.0 - mean**2, np.finfo(float).eps) / (n - 1)
        t = np.divide(mean, np.sqrt(variance), out=mean)
        if exact and start == 0:
            t[0] = statistic
        yield part, t


def _directed(t: np.ndarray, tail: str) -> np.ndarray:
    return np.abs(t) if tail == "two-sided" else t if tail == "greater" else -t


def _p_values(statistic: np.ndarray, null: np.ndarray, exact: bool) -> np.ndarray:
    ordered = np.sort(null)
    limit = statistic - ROUNDING * np.abs(statistic)
    as_large = len(ordered) - np.searchsorted(ordered, limit, side="left")
    p = as_large / len(null) if exact else (as_large + 1) / (len(null) + 1)
    return np.asarray(p)


def _neighbours(adjacency: Any, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the neighbours of every point begin in a list, and that list."""
    if adjacency is None:
        adjacency = sparse.diags_array(
            [np.ones(n_points - 1)] * 2, offsets=[-1, 1], shape=(n_points, n_points)
        )
    graph = sparse.csr_array(adjacency)
    if graph.shape != (n_points, n_points):
        raise ValueError(f"adjacency has shape {graph.shape}; expected {(n_points, n_points)}")
    graph = graph.astype(bool)
    graph.eliminate_zeros()
    if (graph != graph.T).nnz:
        raise ValueError("adjacency is not symmetric: a neighbour of a point must have it as one")
    return graph.indptr.astype(np.int64), graph.indices.astype(np.int64)


def _clusters(
    statistic: np.ndarray,
    threshold: float,
    sides: tuple[bool, bool],
    neighbours: tuple[np.ndarray, np.ndarray],
) -> tuple[list[np.ndarray], np.ndarray]:
    n = len(statistic)
    graph = sparse.csr_array((np.ones(len(neighbours[1]), bool), *neighbours[::-1]), shape=(n, n))
    clusters = []
    for side, tested in zip((1.0, -1.0), sides, strict=True):
        beyond = np.flatnonzero(side * statistic > threshold) if tested else np.empty(0, int)
        if len(beyond):
            n_clusters, label = sparse.csgraph.connected_components(
                graph[beyond][:, beyond], directed=False
            )
            clusters += [beyond[label == k] for k in range(n_clusters)]
    clusters.sort(key=lambda points: points[0])
    return clusters, np.array([statistic[points].sum() for points in clusters])


def _largest_masses(
    t: np.ndarray,
    threshold: float,
    above: bool,
    below: bool,
    starts: np.ndarray,
    neighbours: np.ndarray,
    largest: np.ndarray,
) -> None:
    """Find the largest mass of a cluster in every row of t. Written as loops, to be compiled."""
    n_points = t.shape[1]
    last_flip = np.full(n_points, -1)
    stack = np.empty(n_points, dtype=np.int64)
    for row in range(t.shape[0]):
        largest[row] = 0.0
        for first in range(n_points):
            if above and t[row, first] > threshold:
                side = 1.0
            elif below and t[row, first] < -threshold:
                side = -1.0
            else:
                continue
            if last_flip[first] == row:
                continue
            mass = 0.0
            last_flip[first] = row
            stack[0] = first
            height = 1
            while height:
                height -= 1
                point = stack[height]
                mass += side * t[row, point]
                for k in range(starts[point], starts[point + 1]):
                    near = neighbours[k]
                    if last_flip[near] != row and side * t[row, near] > threshold:
                        last_flip[near] = row
                        stack[height] = near
                        height += 1
            largest[row] = max(largest[row], mass)
