"""How alike two RDMs are.

A resample of the stimuli is a vector of counts c, one per stimulus. The pair (i, j) then occurs
c_i · c_j times, and a stimulus paired with another showing of itself does not occur at all, since
its distance is zero by construction (Schütt et al. 2023, eLife 12:e82566). All comparators take
these weights, so that no resampled RDM is ever built: bootstrap samples (counts 0, 1, 2, …) and
random halves (counts 0 and 1) are the same operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probe.similarity.rdms import n_conditions

ROUNDING = 1e-13
"""Distances that differ by less than this share of the largest are tied: equal distances that were
computed in another order of summation differ in their last digits."""


def is_constant(rdm: np.ndarray) -> bool:
    """Tell whether all distances of an RDM are tied, so that it says nothing."""
    return bool(np.ptp(rdm) <= ROUNDING * np.abs(rdm).max())


@dataclass(frozen=True)
class Comparator:
    """A correlation-like comparator: products of transformed RDMs.

    Attributes
    ----------
    name : str
        How it is called in arguments and tables.
    symbol : str
        How it is called on an axis.
    ranked, centred : bool
        Whether distances are replaced by their mid-ranks, and whether their mean is removed.
    unbiased_by_ties : bool
        Divide by the variance of untied ranks (rho-a) rather than by the RDMs' own.
    """

    name: str
    symbol: str
    ranked: bool
    centred: bool
    unbiased_by_ties: bool = False

    def prepare(self, rdms: np.ndarray) -> PreparedRDMs:
        """Do once what every resample needs: order the distances, find the ties.

        Parameters
        ----------
        rdms : numpy.ndarray, shape (n_rdms, n_pairs) or (n_pairs,)
            Finite distances.

        Raises
        ------
        ValueError
            If a value is not finite, or an RDM is constant.
        """
        rdms = np.atleast_2d(np.asarray(rdms, dtype=np.float64))
        n = n_conditions(rdms.shape[1])
        for k, row in enumerate(rdms):
            if not np.isfinite(row).all():
                raise ValueError(f"RDM {k} has a NaN or infinite distance")
            if not row.any() or (self.centred and is_constant(row)):
                raise ValueError(f"RDM {k} is constant: {self.name} with it is undefined")
        orders, groups = [], []
        if self.ranked:
            for row in rdms:
                order = np.argsort(row, kind="stable")
                ordered = row[order]
                rounding = ROUNDING * np.abs(ordered[[0, -1]]).max()
                last = np.flatnonzero(np.append(np.diff(ordered) > rounding, True))
                orders.append(order)
                groups.append(None if len(last) == len(row) else last)
        return PreparedRDMs(rdms, n, orders, groups, np.einsum("kp,kp->k", rdms, rdms))

    def similarity(
        self, a: PreparedRDMs, b: PreparedRDMs, counts: np.ndarray | None = None
    ) -> np.ndarray:
        """Compare every RDM of ``a`` with every RDM of ``b``.

        Parameters
        ----------
        a, b : PreparedRDMs
            From `prepare`, over the same conditions.
        counts : numpy.ndarray, shape (n_conditions,), optional
            How often each condition occurs; by default once.

        Returns
        -------
        numpy.ndarray, shape (n_a, n_b)
            Where a resample leaves an RDM constant: NaN, or 0 for rho-a, its expected value
            under random tie-breaking.
        """
        everywhere = np.ones(a.rdms.shape[1]) if counts is None else pair_weights(counts)
        # Most pairs of a resample do not occur: work on those that do.
        pairs = np.flatnonzero(everywhere)
        weights = everywhere[pairs]
        total = weights.sum()
        u = self._transform(a, everywhere, pairs)
        v = u if b is a else self._transform(b, everywhere, pairs)
        uw = u * weights
        # Not through BLAS, whose sums depend on its number of threads: a seed gives the same bytes.
        product = np.einsum("kp,lp->kl", uw, v)
        if self.unbiased_by_ties:
            return np.clip(12.0 * product / (total**3 - total), -1.0, 1.0)
        norm_u = np.einsum("kp,kp->k", uw, u)
        norm_v = np.einsum("kp,p,kp->k", v, weights, v)
        if not self.ranked:
            # What is left of a constant RDM is the rounding error of its mean, not a variance.
            norm_u[norm_u <= ROUNDING**2 * a.energy] = np.nan
            norm_v[norm_v <= ROUNDING**2 * b.energy] = np.nan
        norm = np.sqrt(np.outer(norm_u, norm_v))
        result = np.full(product.shape, np.nan)
        np.divide(product, norm, out=result, where=norm > 0.0)
        return np.clip(result, -1.0, 1.0)

    def pool(self, rdms: np.ndarray) -> np.ndarray:
        """Make the one RDM that is on average the most like the RDMs given.

        Each RDM is first brought to the scale on which the comparator is an inner product (unit
        length for cosine, after centring for Pearson, ranks for Spearman and rho-a), then they
        are averaged: this maximises the mean similarity, where an average of the distances
        as they are does not (Nili et al. 2014, PLoS Comput Biol 10:e1003553; the scales as in
        rsatoolbox).

        Parameters
        ----------
        rdms : numpy.ndarray, shape (n_rdms, n_pairs)
            Finite distances.

        Returns
        -------
        numpy.ndarray, shape (n_pairs,)

        Raises
        ------
        ValueError
            If a value is not finite, or an RDM is constant.
        """
        return self.scaled(self.prepare(rdms)).mean(axis=0)

    def scaled(self, prepared: PreparedRDMs) -> np.ndarray:
        """Bring RDMs to the scale on which the comparator is their inner product.

        Returns
        -------
        numpy.ndarray, shape (n_rdms, n_pairs)
        """
        n_pairs = prepared.rdms.shape[1]
        values = self._transform(prepared, np.ones(n_pairs), np.arange(n_pairs))
        if self.unbiased_by_ties:
            return values * np.sqrt(12.0 / (float(n_pairs) ** 3 - n_pairs))
        return values / np.sqrt(np.einsum("kp,kp->k", values, values))[:, None]

    def _transform(
        self, prepared: PreparedRDMs, everywhere: np.ndarray, pairs: np.ndarray
    ) -> np.ndarray:
        weights = everywhere[pairs]
        if self.ranked:
            ranks = np.empty((len(prepared.rdms), len(pairs)))
            for k, (order, groups) in enumerate(zip(prepared.orders, prepared.groups, strict=True)):
                ranks[k] = _weighted_ranks(everywhere, order, groups)[pairs]
            # The mean of N ranks is (N + 1) / 2, ties or not.
            ranks -= (weights.sum() + 1.0) / 2.0
            return ranks
        values = prepared.rdms[:, pairs]
        if self.centred:
            means = np.einsum("kp,p->k", values, weights) / weights.sum()
            values = values - means[:, None]
        return values


@dataclass(frozen=True)
class PreparedRDMs:
    """RDMs with the order of their distances, made by `Comparator.prepare`."""

    rdms: np.ndarray
    n_conditions: int
    orders: Sequence[np.ndarray]
    groups: Sequence[np.ndarray | None]
    energy: np.ndarray


def pair_weights(counts: np.ndarray) -> np.ndarray:
    """Say how often every pair of distinct conditions occurs in a resample.

    Parameters
    ----------
    counts : numpy.ndarray, shape (n_conditions,)
        How often each condition was drawn.

    Returns
    -------
    numpy.ndarray, shape (n_conditions * (n_conditions - 1) / 2,), float64
        ``counts[i] * counts[j]`` in the order of ``numpy.triu_indices(n, 1)``.
    """
    counts = np.asarray(counts, dtype=np.float64)
    return np.concatenate([counts[i] * counts[i + 1 :] for i in range(len(counts) - 1)])


def _weighted_ranks(
    weights: np.ndarray, order: np.ndarray, group_ends: np.ndarray | None
) -> np.ndarray:
    """Mid-ranks of distances that occur ``weights`` times each, in the pairs' own order.

    A distance that occurs w times, after N smaller ones, has the mid-rank N + (w + 1) / 2. Where
    the weight is zero, the rank is not meaningful.
    """
    ordered = weights.take(order)
    ranks = np.zeros_like(weights)
    if group_ends is None:
        present = np.flatnonzero(ordered)
        ordered = ordered[present]
        ranks[order.take(present)] = np.cumsum(ordered) - (ordered - 1.0) / 2.0
    else:
        ends = np.cumsum(ordered)[group_ends]
        sizes = np.diff(ends, prepend=0.0)
        ranks[order] = np.repeat(ends - (sizes - 1.0) / 2.0, np.diff(group_ends, prepend=-1))
    return ranks


COMPARATORS = {
    c.name: c
    for c in (
        Comparator("spearman", "Spearman ρ", ranked=True, centred=True),
        Comparator("rho-a", "ρ-a", ranked=True, centred=True, unbiased_by_ties=True),
        Comparator("pearson", "Pearson r", ranked=False, centred=True),
        Comparator("cosine", "cosine", ranked=False, centred=False),
    )
}
"""The comparators by name.

`spearman` favours models with tied distances, categories for one; `rho-a`, the expected
Spearman correlation under random tie-breaking, does not (Schütt et al. 2023), and equals it
where nothing is tied.
"""


def get_comparator(comparator: str | Comparator) -> Comparator:
    """Find a comparator by its name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(comparator, Comparator):
        return comparator
    if comparator not in COMPARATORS:
        raise ValueError(f"comparator {comparator!r} is unknown; known: {', '.join(COMPARATORS)}")
    return COMPARATORS[comparator]


def compare(
    a: np.ndarray, b: np.ndarray, comparator: str | Comparator = "spearman"
) -> np.ndarray | float:
    """Compare RDMs with RDMs.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (n_a, n_pairs) and (n_b, n_pairs), or (n_pairs,)
        Condensed RDMs over the same conditions in the same order.
    comparator : {'spearman', 'rho-a', 'pearson', 'cosine'} or Comparator

    Returns
    -------
    float, or numpy.ndarray of shape (n_a, n_b)
        A number if both are single RDMs.

    Raises
    ------
    ValueError
        If the comparator is unknown, the RDMs differ in size, or one is constant or not finite.
    """
    chosen = get_comparator(comparator)
    if np.shape(a)[-1] != np.shape(b)[-1]:
        raise ValueError(f"RDMs of {np.shape(a)[-1]} and {np.shape(b)[-1]} pairs do not compare")
    result = chosen.similarity(chosen.prepare(a), chosen.prepare(b))
    return float(result[0, 0]) if np.ndim(a) == np.ndim(b) == 1 else result
