r"""Bures similarity of the kernels that RDMs imply.

An RDM of squared Euclidean distances is a kernel, the inner products of the patterns after their
mean is taken off: A = −½ C D C with C the centring matrix. Bures similarity is the fidelity of two
kernels, scaled to 1 for those that differ in scale only:

.. math::

    \operatorname{tr} (A^{1/2} B A^{1/2})^{1/2} / \sqrt{\operatorname{tr} A \operatorname{tr} B}

It is the cosine of the angle that is left between two sets of patterns after the best rotation of
one into the other (Harvey, Larsen & Williams 2023, Proc UniReps, PMLR 243:60, arXiv 2311.11436;
Bures 1969, Trans Am Math Soc 135:199).
"""

from __future__ import annotations

import numpy as np


def bures(
    squares_a: np.ndarray, squares_b: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    r"""Compare every RDM of one set with every one of another.

    With factors :math:`A = F_a F_a^T` and :math:`B = F_b F_b^T`, the fidelity is the sum of the
    singular values of :math:`F_a^T F_b`: one decomposition for each RDM, one for each two.

    Parameters
    ----------
    squares_a, squares_b : numpy.ndarray, shape (n_a, n, n) and (n_b, n, n)
        RDMs as symmetric matrices, of squared distances, with a zero diagonal. Distances that are
        not Euclidean (cross-validated ones, correlations of ranks, models made by hand) give
        kernels with negative eigenvalues; these are replaced by 0, here and in the traces.
    counts : numpy.ndarray, shape (n,), of whole numbers, optional
        How often each condition occurs in a resample, by default once. Copies of a condition are at
        distance 0 from each other: unlike single pairs, they cannot be left out of a kernel.

    Returns
    -------
    numpy.ndarray, shape (n_a, n_b), float64
        In [0, 1]. NaN where a kernel has no positive eigenvalue.

    Raises
    ------
    ValueError
        If a distance is not finite.
    """
    c = None if counts is None else np.asarray(counts, dtype=np.float64)
    factors_a = [_factor(square, c) for square in np.asarray(squares_a, dtype=np.float64)]
    factors_b = [_factor(square, c) for square in np.asarray(squares_b, dtype=np.float64)]
    result = np.full((len(factors_a), len(factors_b)), np.nan)
    for i, a in enumerate(factors_a):
        for j, b in enumerate(factors_b):
            if a.size and b.size:
                result[i, j] = np.linalg.svd(a.T @ b, compute_uv=False).sum()
    return np.minimum(result, 1.0)


def _factor(square: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Patterns (n, n_dimensions) whose kernel is the RDM's, scaled to a trace of 1."""
    n = len(square)
    weights = np.ones(n) if counts is None else counts
    present = np.flatnonzero(weights)
    if len(present) < n:
        square, weights = square[np.ix_(present, present)], weights[present]
    if not np.isfinite(square).all():
        raise ValueError("an RDM has a NaN or infinite distance: no kernel can be made of it")
    if len(present) < 2:
        return np.empty((len(present), 0))
    share = weights / weights.sum()
    of_condition = square @ share
    kernel = square - of_condition - (of_condition - share @ of_condition)[:, None]
    # The kernel of the resample has rows c_i times; on the span of the conditions' indicators,
    # which all RDMs have in common, it is this one.
    roots = np.sqrt(weights)
    kernel *= -0.5 * np.outer(roots, roots)
    values, axes = np.linalg.eigh(kernel)
    # The square root makes 1e-8 of the 1e-16 that rounding leaves of a zero.
    nonzero = values > n * np.finfo(np.float64).eps * np.abs(values).max()
    values = values[nonzero]
    return axes[:, nonzero] * np.sqrt(values / values.sum())
