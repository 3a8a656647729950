r"""Inner products of RDMs, whitened by the covariance of their distances.

The distances of an RDM do not err independently: d_ij and d_ik share the pattern of condition i.
Where patterns have the covariance :math:`\Sigma_k` between conditions, the covariance of the
distances is, up to a factor, :math:`V = \Xi \circ \Xi` with :math:`\Xi = C \Sigma_k C^T` and C the
contrasts between all pairs of conditions; what is to be compared is :math:`r_1^T V^{-1} r_2`
(Diedrichsen et al. 2021, arXiv 2007.02789). V has a row for every pair, and is never made.

With G = −D/2, the RDM as a square matrix, and any symmetric matrix X that equals G but for a sum of
a row and a column term, :math:`X = G - u 1^T - 1 u^T`,

.. math::

    r^T V^{-1} r = \min_u \operatorname{tr}(\Sigma_k^{-1} X \Sigma_k^{-1} X) .

For independent conditions this is a sum of squares of the entries of X. Two things follow. A pair
whose distance is missing is left out of the sum: the inverse of a part of V is its Schur
complement, which is to say the minimum over the missing distances. And copies of a condition, as
they come up in a bootstrap, share one term u: their pairs with each other are missing, and the
pairs of two conditions are entries that occur :math:`c_i c_j` times. So there is one linear system
in the n terms u, whatever is missing or repeated. With nothing missing, X is G after
double-centring, and the cosine is linear CKA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from probe.similarity.moments import Products, moments
from probe.similarity.pairs import Pairs

MOST_MISSING = 5_000
"""Missing pairs that can be dealt with where the errors of conditions are correlated."""

BLOCK_ENTRIES = 2**22
"""Entries of RDMs that are worked on at a time."""


def inner_products(
    squares: np.ndarray,
    *,
    centred: bool,
    counts: np.ndarray | None = None,
    missing: np.ndarray | None = None,
    sigma_k: np.ndarray | None = None,
) -> np.ndarray:
    r"""Compute :math:`r_a^T V^{-1} r_b` for every two RDMs.

    Parameters
    ----------
    squares : numpy.ndarray, shape (n_rdms, n, n)
        RDMs as symmetric matrices of finite distances; what is on the diagonal, or missing, is not
        read.
    centred : bool
        First subtract each RDM's mean distance, over the pairs as often as they occur: for the
        correlation. Otherwise for the cosine.
    counts : numpy.ndarray, shape (n,), of whole numbers, optional
        How often each condition occurs in a resample, by default once. Copies of a condition count
        as conditions with errors of their own, and pairs of copies as missing.
    missing : numpy.ndarray, shape (n, n), bool, optional
        Symmetric; marks the pairs that have no distance.
    sigma_k : numpy.ndarray, shape (n, n) or (n,), optional
        Covariance of the errors of the conditions' patterns, or only their variances. By default
        independent, and of the same variance.

    Returns
    -------
    numpy.ndarray, shape (n_rdms, n_rdms), float64
        Symmetric, positive semidefinite. The product of an RDM of no spread, after centring, or of
        no distances with itself is 0 up to rounding: 1e-13 of its largest distance, squared, times
        the number of conditions, squared.

    Raises
    ------
    ValueError
        If ``sigma_k`` has not the size of the RDMs, is not symmetric or leaves a contrast of
        conditions without variance. If it has correlations, and conditions are repeated: the copies
        of one estimate err alike, and V is singular. If there are correlations, and more than
        `MOST_MISSING` pairs are missing.

    References
    ----------
    Diedrichsen, Berlot, Mur, Schütt, Shahbazi & Kriegeskorte 2021, arXiv 2007.02789.
    """
    squares = np.asarray(squares, dtype=np.float64)
    n = squares.shape[-1]
    c = np.ones(n) if counts is None else np.asarray(counts, dtype=np.float64)
    present = np.flatnonzero(c)
    if len(present) < n:
        c = c[present]
        squares = squares[:, present[:, None], present]
    pairs = np.outer(c, c)  # how often every pair occurs
    np.fill_diagonal(pairs, 0.0)
    if missing is not None:
        unknown = missing[np.ix_(present, present)]
        pairs[unknown] = 0.0
        squares = np.where(unknown, 0.0, squares)
    if not pairs.any():
        return np.zeros((len(squares), len(squares)))
    means = np.zeros(len(squares))
    if centred:
        means = np.einsum("kij,ij->k", squares, pairs) / pairs.sum()
    if sigma_k is None:
        return _independent(squares, means, pairs, c)
    sigma_k = _covariance(sigma_k, n)
    variances = sigma_k.diagonal()[present]
    if (variances > 0.0).all() and np.count_nonzero(sigma_k) == np.count_nonzero(
        sigma_k.diagonal()
    ):
        pairs /= np.outer(variances, variances)
        return _independent(squares, means, pairs, c / variances**2)
    if c.max() > 1:
        raise ValueError(
            "sigma_k has correlations, and a condition is repeated: the copies of one estimate "
            "err alike. Resample without repeats (counts of 0 and 1), or give variances only"
        )
    return _correlated(squares, means, pairs > 0.0, sigma_k[np.ix_(present, present)])


@dataclass(frozen=True, eq=False)
class Residuals:
    """RDMs less the terms of their conditions, so that no digits are lost in their products.

    Attributes
    ----------
    terms : numpy.ndarray, shape (K, n)
        The u of the module's text, with all conditions occurring once, for D rather than G.
    squares : numpy.ndarray, shape (K, n, n)
        D − u 1ᵀ − 1 uᵀ, 0 on the diagonal.
    vectors : numpy.ndarray, shape (K, n_pairs)
        The same, condensed.
    """

    terms: np.ndarray
    squares: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, squares: np.ndarray) -> Residuals:
        """Take the terms from RDMs as symmetric matrices (K, n, n), 0 on the diagonal."""
        n = squares.shape[-1]
        # The system of `_independent` with all counts 1: 1 1ᵀ + n I.
        rows = squares.sum(axis=2)
        terms = (rows - rows.sum(axis=1, keepdims=True) / (2.0 * n)) / n
        residuals = squares - terms[:, :, None] - terms[:, None, :]
        residuals[:, np.arange(n), np.arange(n)] = 0.0
        i, j = np.triu_indices(n, 1)
        return cls(terms, residuals, residuals[:, i, j])


def resampled_products(
    x: Residuals, y: Residuals, pairs: Pairs, counts: np.ndarray, *, centred: bool
) -> tuple[Products, np.ndarray]:
    r"""Compute whitened inner products in many resamples, of independent conditions.

    With nothing missing, the linear system in u is diagonal but for c cᵀ, and solved in closed form
    (Sherman & Morrison 1950, Ann Math Stat 21:124). In terms of the residuals D' = D − a 1ᵀ − 1 aᵀ,
    with g = N − 2 c + 2 and N = Σ c,

    .. math::

        4\, r_1^T V^{-1} r_2 = \sum_{i \neq j} c_i c_j d'_{1ij} d'_{2ij}
            + 4 \sum_i c_i a_{1i} a_{2i} - 2 \sum_i \frac{c_i}{g_i} \rho_{1i} \rho_{2i}
            + \frac{2}{1 + \sum_i c_i / g_i}
            \sum_i \frac{c_i}{g_i} \rho_{1i} \sum_i \frac{c_i}{g_i} \rho_{2i},
        \qquad \rho_i = \sum_j c_j d'_{ij} - 2 a_i .

    To subtract a mean distance is to subtract half of it from a.

    Parameters
    ----------
    x, y : Residuals
        Of M and S RDMs.
    pairs : Pairs
        All pairs of n conditions.
    counts : numpy.ndarray, shape (B, n), of whole numbers
        How often each condition occurs in each resample.
    centred : bool
        First subtract each RDM's mean distance, over the pairs as often as they occur.

    Returns
    -------
    products : Products
        As `inner_products` has them.
    poor : numpy.ndarray, shape (B,), bool
        Where little but rounding error is left, or one condition occurs more often than all others
        together.
    """
    c = np.ascontiguousarray(counts, dtype=np.float64)
    total = c.sum(axis=1, keepdims=True)
    g = total - 2.0 * c + 2.0
    one_condition = ((c > 0.0) & (g <= 0.0)).any(axis=1)
    share = c / np.where(g > 0.0, g, 1.0)
    sums, *_ = moments(x.vectors, y.vectors, pairs, counts)
    n_ordered = np.maximum(total**2 - (c**2).sum(axis=1, keepdims=True), 1.0)

    def of_conditions(rdms: Residuals) -> tuple[np.ndarray, np.ndarray]:
        """Return a and ρ, shape (B, K, n)."""
        rows = np.matmul(rdms.squares, c.T).transpose(2, 0, 1)
        terms = np.broadcast_to(rdms.terms, rows.shape)
        if centred:
            within_terms = 2.0 * (c * (total - c)) @ rdms.terms.T
            means = (np.einsum("bkn,bn->bk", rows, c) + within_terms) / n_ordered
            terms = terms - means[:, :, None] / 2.0
        return terms, rows - 2.0 * terms

    def corrected(
        products: np.ndarray,
        first: tuple[np.ndarray, np.ndarray],
        second: tuple[np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """Return the whole of the formula, given the sums over pairs, (B, K, L)."""
        (a_1, rho_1), (a_2, rho_2) = first, second
        sum_1, sum_2 = (np.einsum("bkn,bn->bk", rho, share) for rho in (rho_1, rho_2))
        of_terms = (a_1 * c[:, None]) @ a_2.transpose(0, 2, 1)
        of_rows = (rho_1 * share[:, None]) @ rho_2.transpose(0, 2, 1)
        of_rows -= sum_1[:, :, None] * (sum_2 / (1.0 + share.sum(axis=1, keepdims=True)))[:, None]
        return (2.0 * products + 4.0 * of_terms - 2.0 * of_rows) / 4.0

    of_x, of_y = of_conditions(x), of_conditions(y)
    squares_of_x = np.zeros((*sums.of_x.shape, sums.of_x.shape[1]))
    diagonal = np.arange(sums.of_x.shape[1])
    squares_of_x[:, diagonal, diagonal] = sums.of_x
    products = Products(
        corrected(sums.cross, of_x, of_y),
        np.einsum("bmm->bm", corrected(squares_of_x, of_x, of_x)),
        corrected(sums.of_y, of_y, of_y),
    )
    return products, products.poor(sums, 1e-6) | one_condition


def double_centred(squares: np.ndarray) -> np.ndarray:
    """Write RDMs as vectors of which the whitened inner product is the inner product.

    For independent conditions, nothing missing and nothing repeated, up to a factor of a quarter:
    the entries of the double-centred matrices, those off the diagonal once for both their places.

    Parameters
    ----------
    squares : numpy.ndarray, shape (n_rdms, n, n)
        Symmetric, with zeros on the diagonal.

    Returns
    -------
    numpy.ndarray, shape (n_rdms, n * (n + 1) / 2)
    """
    n = squares.shape[-1]
    means = squares.mean(axis=2)
    i, j = np.triu_indices(n)
    vectors = squares[:, i, j]
    vectors -= means[:, i]
    vectors -= means[:, j]
    vectors += means.mean(axis=1)[:, None]
    vectors *= np.where(i == j, 1.0, np.sqrt(2.0))
    return vectors


def _independent(
    squares: np.ndarray, means: np.ndarray, pairs: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Products where X's entries have the weights ``pairs``, and ``own`` on the diagonal.

    In terms of D rather than G, so that there is a factor of a quarter at the end.
    """
    n_rdms, n = squares.shape[:2]
    of_condition = pairs.sum(axis=1)
    # The minimum over u: Σ_j w_ij (d_ij − u_i − u_j) = 2 w_ii u_i for every condition i, where
    # w_ii weighs the diagonal entry of X, −2 u_i. The diagonal dominates: there is one solution.
    system = pairs + np.diag(of_condition + 2.0 * own)
    centred = np.einsum("kij,ij->ki", squares, pairs) - np.outer(means, of_condition)
    u = np.linalg.solve(system, centred.T).T
    on_diagonal = 2.0 * u * np.sqrt(own)
    result = on_diagonal @ on_diagonal.T
    roots = np.sqrt(pairs)
    rows = max(1, BLOCK_ENTRIES // (n_rdms * n))
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        x = squares[:, part] - (u[:, part] + means[:, None])[:, :, None]
        x -= u[:, None, :]
        x *= roots[part]
        x = x.reshape(n_rdms, -1)
        result += x @ x.T
    return result / 4.0


def _correlated(
    squares: np.ndarray, means: np.ndarray, entries: np.ndarray, sigma_k: np.ndarray
) -> np.ndarray:
    """Products for a general sigma_k: entries of X weigh on each other, missing ones are solved."""
    useful = entries.any(axis=1)
    if not useful.all():  # a condition without distances would only add unknowns
        squares, entries = squares[:, useful][:, :, useful], entries[np.ix_(useful, useful)]
        sigma_k = sigma_k[np.ix_(useful, useful)]
    n = len(sigma_k)
    values = np.where(entries, squares - means[:, None, None], 0.0)
    # Only contrasts of conditions matter. With the mean's variance put in, sigma_k is invertible,
    # and its inverse's root, applied to centred values, is that on the contrasts.
    centring = np.eye(n) - 1.0 / n
    contrasts = centring @ sigma_k @ centring
    scale = np.trace(contrasts) / n
    try:
        root = np.linalg.cholesky(contrasts + scale / n)
    except np.linalg.LinAlgError:
        root = np.zeros((n, n))
    pivots = root.diagonal() ** 2
    if scale <= 0.0 or pivots.min() <= 1e-12 * pivots.max():
        raise ValueError("sigma_k is not positive definite: it leaves a contrast without variance")
    whitener = solve_triangular(root, centring, lower=True)
    i, j = np.nonzero(np.triu(~entries, 1))
    if len(i) > MOST_MISSING:
        raise ValueError(
            f"{len(i)} pairs are missing; with correlations in sigma_k at most {MOST_MISSING} may"
        )
    if len(i):
        # The values that make the whitened length least, from the normal equations over them.
        precision = whitener.T @ whitener
        system = precision[np.ix_(i, i)] * precision[np.ix_(j, j)]
        system += precision[np.ix_(i, j)] * precision[np.ix_(j, i)]
        target = (precision @ values @ precision)[:, i, j]
        solution = np.linalg.solve(system, target.T).T
        values[:, i, j] = values[:, j, i] = -solution
    whitened = (whitener @ values @ whitener.T).reshape(len(values), -1)
    return whitened @ whitened.T / 4.0


def _covariance(sigma_k: np.ndarray, n: int) -> np.ndarray:
    sigma_k = np.asarray(sigma_k, dtype=np.float64)
    if sigma_k.shape == (n,):
        sigma_k = np.diag(sigma_k)
    if sigma_k.shape != (n, n):
        raise ValueError(f"sigma_k has shape {sigma_k.shape}: expected {(n, n)} or {(n,)}")
    if not np.isfinite(sigma_k).all():
        raise ValueError("sigma_k has a NaN or infinite value")
    if np.abs(sigma_k - sigma_k.T).max() > 1e-10 * np.abs(sigma_k).max():
        raise ValueError("sigma_k is not symmetric")
    return sigma_k
