"""Inner products of RDMs in many resamples at once: one matrix product.

The weighted sums of products of two RDMs are W Z: W has a row of pair weights per resample, Z a
column per product of two RDMs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probe.similarity.pairs import Pairs
from probe.similarity.ranks import compiled


@dataclass(frozen=True, eq=False)
class Products:
    """Inner products of M RDMs x with S RDMs y in B resamples.

    Attributes
    ----------
    cross : numpy.ndarray, shape (B, M, S)
    of_x : numpy.ndarray, shape (B, M)
        Of each with itself.
    of_y : numpy.ndarray, shape (B, S, S)
    """

    cross: np.ndarray
    of_x: np.ndarray
    of_y: np.ndarray

    def poor(self, before: Products, share: float) -> np.ndarray:
        """Return in which resamples, (B,), at most this share of a square before is left."""
        of_y, y_before = (np.einsum("bss->bs", p.of_y) for p in (self, before))
        left = np.concatenate([self.of_x, of_y], axis=1)
        return np.asarray(
            (left <= share * np.concatenate([before.of_x, y_before], axis=1)).any(axis=1)
        )


def moments(
    x: np.ndarray, y: np.ndarray, pairs: Pairs, counts: np.ndarray
) -> tuple[Products, np.ndarray, np.ndarray]:
    """Compute second and first moments of RDMs, sums over pairs as often as they occur.

    Parameters
    ----------
    x, y : numpy.ndarray, shape (M, n_pairs) and (S, n_pairs)
    pairs : Pairs
        What the columns are.
    counts : numpy.ndarray, shape (B, n)
        How often each condition occurs in each resample.

    Returns
    -------
    products : Products
    x_sum, y_sum : numpy.ndarray, shape (B, M) and (B, S)
    """
    m, s = len(x), len(y)
    first, second = np.triu_indices(s)
    n_products = m * s + m + len(first)
    sums = np.zeros((len(counts), n_products + m + s))
    by_condition = np.ascontiguousarray(counts.T, dtype=np.float64)
    width = int(np.clip(2**21 // sums.shape[1], 256, 8192))
    for start in range(0, len(pairs), width):
        part = slice(start, start + width)
        weights = weights_of_pairs(pairs.i[part], pairs.j[part], by_condition)
        u, v = x[:, part], y[:, part]
        columns = np.concatenate([
            (u[:, None] * v).reshape(m * s, u.shape[1]), u * u, v[first] * v[second], u, v
        ])  # fmt: skip
        sums += (columns @ weights).T
    of_y = np.zeros((len(counts), s, s))
    of_y[:, first, second] = of_y[:, second, first] = sums[:, m * s + m : n_products]
    products = Products(
        sums[:, : m * s].reshape(len(counts), m, s), sums[:, m * s : m * s + m], of_y
    )
    return products, sums[:, n_products : n_products + m], sums[:, n_products + m :]


def weights_of_pairs(first: np.ndarray, second: np.ndarray, by_stimulus: np.ndarray) -> np.ndarray:
    """Count how often pairs of stimuli occur in many parts.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (n_pairs,), int
        The stimuli of every pair.
    by_stimulus : numpy.ndarray, shape (n_stimuli, T), float64
        How often each stimulus occurs in each part.

    Returns
    -------
    numpy.ndarray, shape (n_pairs, T)
    """
    weights = np.empty((len(first), by_stimulus.shape[1]))
    compiled(_weights_of_pairs)(first, second, by_stimulus, weights)
    return weights


def _weights_of_pairs(
    first: np.ndarray, second: np.ndarray, by_stimulus: np.ndarray, weights: np.ndarray
) -> None:
    for p in range(first.size):
        of_first, of_second, of_pair = by_stimulus[first[p]], by_stimulus[second[p]], weights[p]
        for r in range(of_pair.size):
            of_pair[r] = of_first[r] * of_second[r]
