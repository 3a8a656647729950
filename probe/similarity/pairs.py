"""Pairs of conditions: what the entries of an RDM stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from probe.similarity.rdms import n_conditions


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs (i, j), i < j, of n conditions, in the order of ``numpy.triu_indices(n, 1)``.

    Attributes
    ----------
    n : int
        Number of conditions.
    i, j : numpy.ndarray, shape (n_pairs,), int
        The two conditions of every pair; pairs that are missing are left out.
    """

    n: int
    i: np.ndarray
    j: np.ndarray

    @classmethod
    def all(cls, n: int) -> Pairs:
        """Return all pairs of n conditions."""
        i, j = (of_pairs.astype(np.int32) for of_pairs in np.triu_indices(n, 1))
        return cls(n, i, j)

    def __len__(self) -> int:
        return len(self.i)

    @property
    def complete(self) -> bool:
        """Whether no pair is missing."""
        return len(self) == self.n * (self.n - 1) // 2

    def take(self, kept: np.ndarray) -> Pairs:
        """Keep some of the pairs."""
        return Pairs(self.n, self.i[kept], self.j[kept])

    def conditions(self) -> np.ndarray:
        """Conditions that have a pair, shape (≤ n,), int."""
        return np.union1d(self.i, self.j)

    def weights(self, counts: np.ndarray) -> np.ndarray:
        """Return how often every pair of distinct conditions occurs in resamples.

        Parameters
        ----------
        counts : numpy.ndarray, shape (…, n)
            How often each condition was drawn.

        Returns
        -------
        numpy.ndarray, shape (…, n_pairs), float64
            ``counts[i] * counts[j]``.
        """
        counts = np.asarray(counts, dtype=np.float64)
        return counts[..., self.i] * counts[..., self.j]

    def totals(self, counts: np.ndarray) -> np.ndarray:
        """Return how many pairs of distinct conditions resamples have, (B, n) to (B,)."""
        counts = np.asarray(counts, dtype=np.float64)
        if self.complete:
            return (counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)) / 2.0
        partners = np.zeros((self.n, self.n))
        partners[self.i, self.j] = 1.0
        return np.asarray(((counts @ partners) * counts).sum(axis=1))

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where the pairs (i, j) are in an RDM of all pairs: at ``offsets[i] + j``, (n,), int64."""
        i = np.arange(self.n)
        return i * self.n - i * (i + 1) // 2 - i - 1

    @property
    def positions(self) -> np.ndarray | slice:
        """Where these pairs are in an RDM of all pairs."""
        return slice(None) if self.complete else self.offsets[self.i] + self.j

    def squares(self, vectors: np.ndarray) -> np.ndarray:
        """Write vectors of shape (K, n_pairs) as symmetric matrices (K, n, n).

        The diagonal and missing pairs are 0.
        """
        squares = np.zeros((len(vectors), self.n, self.n))
        squares[:, self.i, self.j] = vectors
        squares[:, self.j, self.i] = vectors
        return squares

    def missing(self) -> np.ndarray | None:
        """Mark the missing pairs in a boolean matrix (n, n); None if there are none."""
        if self.complete:
            return None
        missing = ~np.eye(self.n, dtype=bool)
        missing[self.i, self.j] = missing[self.j, self.i] = False
        return missing

    def permuted(self, order: np.ndarray) -> np.ndarray:
        """Find every pair's distance in an RDM whose conditions were permuted.

        Parameters
        ----------
        order : numpy.ndarray, shape (n,), int
            The condition that takes each condition's place.

        Returns
        -------
        numpy.ndarray, shape (n_pairs,), int
            Positions such that ``rdm[positions]`` is the RDM of ``order``; −1 where that pair is
            missing.
        """
        a, b = order[self.i], order[self.j]
        low, high = np.minimum(a, b), np.maximum(a, b)
        positions = self.offsets[low] + high
        if self.complete:
            return positions
        present = np.full(self.n * (self.n - 1) // 2, -1)
        present[self.positions] = np.arange(len(self))
        return present[positions]


def rdm_name(names: str | Sequence[str], row: int) -> str:
    """Return what to call an RDM in an error: its own name, or the kind of RDM and its number."""
    return f"{names} {row}" if isinstance(names, str) else names[row]


def complete_pairs(
    sets: Sequence[np.ndarray], names: Sequence[str | Sequence[str]] | None = None
) -> Pairs:
    """Find the pairs that have a distance in every RDM.

    One rule for all comparators: a pair that is missing (NaN) in any RDM of a call is left out of
    the whole call, so that all its numbers are about the same pairs.

    Parameters
    ----------
    sets : sequence of numpy.ndarray, each of shape (n_rdms, n_pairs)
    names : sequence of (str or sequence of str), optional
        For each set, what to call one of its RDMs in an error, or the names of all of them.

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        If sizes differ, a distance is infinite, an RDM has no distances, or fewer than three
        pairs have a distance in every RDM.
    """
    names = names or ["RDM"] * len(sets)
    sizes = [rdms.shape[1] for rdms in sets]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"RDMs of {' and '.join(map(str, dict.fromkeys(sizes)))} pairs cannot be compared"
        )
    pairs = Pairs.all(n_conditions(sizes[0]))
    in_all = np.ones(len(pairs), dtype=bool)
    for rdms, name in zip(sets, names, strict=True):
        for k, row in enumerate(rdms):
            missing = np.isnan(row)
            if np.isinf(row).any():
                raise ValueError(f"{rdm_name(name, k)} has an infinite distance")
            if missing.all():
                raise ValueError(f"{rdm_name(name, k)} has no distances: all are NaN")
            in_all &= ~missing
    if in_all.all():
        return pairs
    if in_all.sum() < 3:
        raise ValueError(
            f"{in_all.sum()} pairs of conditions have a distance in every RDM, too few to compare; "
            "a pair that is NaN in one RDM is left out of all"
        )
    return pairs.take(np.flatnonzero(in_all))


def restrict(rdms: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Keep the distances of some pairs, shape (n_rdms, len(pairs))."""
    if pairs.complete:
        return rdms
    return rdms[:, pairs.positions]
