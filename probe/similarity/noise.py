"""The covariance of noise, and its inverse, for Mahalanobis and crossnobis distances."""

from __future__ import annotations

from typing import Any

import numpy as np

METHODS = ("shrinkage-diagonal", "ledoit-wolf", "full", "diagonal")
"""Names of the estimators of `noise_covariance`."""


def noise_covariance(
    residuals: Any, method: str = "shrinkage-diagonal", dof: float | None = None
) -> np.ndarray:
    r"""Estimate the covariance of noise between neuroids.

    Parameters
    ----------
    residuals : array-like, shape (n_observations, n_neuroids)
        What a model of the responses leaves over: of repetitions, the deviations from the mean
        (`residuals_from_repeats`). The mean observation is taken off.
    method : {'shrinkage-diagonal', 'ledoit-wolf', 'full', 'diagonal'}
        ``full``: the sample covariance.
        ``diagonal``: the variances alone.
        ``shrinkage-diagonal``: correlations shrunk towards zero as far as their estimated error
        advises, variances kept (Schäfer & Strimmer 2005).
        ``ledoit-wolf``: shrunk towards a multiple of the identity (Ledoit & Wolf 2004).
    dof : float, optional
        Degrees of freedom: observations less fitted parameters. By default n_observations − 1,
        for the mean observation.

    Returns
    -------
    numpy.ndarray, shape (n_neuroids, n_neuroids), or (n_neuroids,) for ``diagonal``

    Raises
    ------
    ValueError
        If the method is unknown, residuals are not finite or fewer than two, or a neuroid has no
        variance where that is divided by.

    Notes
    -----
    ``ledoit-wolf`` finds the shrinkage as scikit-learn does, which divides by n_observations: it
    equals `sklearn.covariance.ledoit_wolf` for ``dof=n_observations``, and is otherwise
    n_observations / dof times as large. In ``shrinkage-diagonal``, the variance of a correlation
    is estimated as in rsatoolbox 0.3.2, which takes n − 1 for n in the mean of its products.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    residuals = np.asarray(residuals, dtype=np.float64)
    if residuals.ndim != 2 or residuals.shape[0] < 2 or residuals.shape[1] < 1:
        raise ValueError(
            f"residuals have shape {residuals.shape}: expected (observations ≥ 2, neuroids ≥ 1)"
        )
    if not np.isfinite(residuals).all():
        raise ValueError("residuals hold a NaN or infinite value")
    n, n_neuroids = residuals.shape
    dof = n - 1 if dof is None else dof
    if not dof > 0:
        raise ValueError(f"dof {dof}: expected a number > 0")
    e = residuals - residuals.mean(axis=0)
    if method == "diagonal":
        return np.einsum("ij,ij->j", e, e) / dof
    products = e.T @ e
    if method == "full":
        return products / dof
    squares = (e**2).T @ (e**2)
    if method == "ledoit-wolf":
        s = products / n
        target = np.trace(s) / n_neuroids
        distance = np.sum((s - target * np.eye(n_neuroids)) ** 2)
        error = min(np.sum(squares / n - s**2) / n, distance)
        shrinkage = error / distance if distance > 0.0 else 1.0
        s *= 1.0 - shrinkage
        s[np.diag_indices(n_neuroids)] += shrinkage * target
        return s * (n / dof)
    covariance = products / dof
    variance = covariance.diagonal().copy()
    _refuse_silent(variance, residuals)
    scale = np.sqrt(np.outer(variance, variance))
    correlation = products / scale / (n - 1)
    error_of = n / dof**2 * (squares / scale**2 / (n - 1) - correlation**2)
    off = ~np.eye(n_neuroids, dtype=bool)
    size = np.sum(correlation[off] ** 2)
    shrinkage = np.clip(np.sum(error_of[off]) / size, 0.0, 1.0) if size > 0.0 else 1.0
    covariance[off] *= 1.0 - shrinkage
    return covariance


def noise_precision(
    residuals: Any, method: str = "shrinkage-diagonal", dof: float | None = None
) -> np.ndarray:
    """Estimate the inverse of the covariance of noise between neuroids.

    Parameters
    ----------
    residuals, method, dof
        See `noise_covariance`.

    Returns
    -------
    numpy.ndarray, shape (n_neuroids, n_neuroids), or (n_neuroids,) for ``diagonal``
        What `probe.similarity.rdm` and `probe.similarity.crossvalidated_rdm` take.

    Raises
    ------
    ValueError
        As in `noise_covariance`, and if the covariance is singular: a ``full`` one is, with no
        more observations than neuroids.

    See Also
    --------
    noise_covariance : The covariance itself.
    residuals_from_repeats : Residuals of repeated presentations.
    rdm, crossvalidated_rdm : Take the precision.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import noise_precision
    >>> residuals = np.random.default_rng(0).normal(size=(50, 20))
    >>> noise_precision(residuals).shape
    (20, 20)
    """
    covariance = noise_covariance(residuals, method, dof)
    n, n_neuroids = np.shape(residuals)
    variance = covariance if method == "diagonal" else covariance.diagonal()
    if method != "ledoit-wolf":
        _refuse_silent(variance, np.asarray(residuals, dtype=np.float64))
    if method == "diagonal":
        return 1.0 / covariance
    rank = n - 1 if dof is None else min(dof, n - 1)
    singular = (
        f"the {method} covariance of {n_neuroids} neuroids from {n} residuals "
        f"({rank:g} degrees of freedom) is singular: use method='shrinkage-diagonal'"
    )
    if method == "full" and rank < n_neuroids:
        raise ValueError(singular)
    # In units of each neuroid, so that unlike scales do not look like a singular matrix.
    scale = 1.0 / np.sqrt(variance) if (variance > 0.0).all() else np.ones(n_neuroids)
    correlation = covariance * scale[:, None] * scale
    values, vectors = np.linalg.eigh(correlation)
    if values[0] <= values[-1] * n_neuroids * np.finfo(np.float64).eps:
        raise ValueError(singular)
    inverse = (vectors / values) @ vectors.T
    inverse = (inverse + inverse.T) / 2  # some processors add up the two halves in other orders
    return inverse * scale[:, None] * scale


def residuals_from_repeats(responses: Any) -> tuple[np.ndarray, int]:
    """Take from every repetition of a stimulus the mean over its repetitions.

    Parameters
    ----------
    responses : array-like, shape (n_stimuli, n_repetitions, n_neuroids)
        NaN where a repetition is missing, in all neuroids. A repetition that only some neuroids
        have is left out, and so is a stimulus that has but one.

    Returns
    -------
    residuals : numpy.ndarray, shape (n_observations, n_neuroids)
    dof : int
        Observations less stimuli: every stimulus has a mean of its own.

    Raises
    ------
    ValueError
        If the shape is another, a response is infinite, or no stimulus has two repetitions.
    """
    responses = np.asarray(responses, dtype=np.float64)
    if responses.ndim != 3:
        raise ValueError(
            f"responses have shape {responses.shape}: expected (stimuli, repetitions, neuroids)"
        )
    if np.isinf(responses).any():
        raise ValueError("responses hold an infinite value")
    present = ~np.isnan(responses).any(axis=2)
    counts = present.sum(axis=1)
    present[counts < 2] = False
    repeated = counts >= 2
    if not repeated.any():
        raise ValueError("no stimulus has two complete repetitions: the noise cannot be estimated")
    means = np.where(present[:, :, None], responses, 0.0).sum(axis=1)
    means /= np.maximum(counts, 1)[:, None]
    residuals = (responses - means[:, None])[present]
    return residuals, int(present.sum() - repeated.sum())


def _refuse_silent(variance: np.ndarray, residuals: np.ndarray) -> None:
    # The mean of a constant is off by rounding, which is no variance.
    silent = variance <= (8.0 * np.finfo(np.float64).eps * np.abs(residuals).max(axis=0)) ** 2
    if silent.any():
        raise ValueError(
            f"neuroid {np.flatnonzero(silent)[0]} ({silent.sum()} of {silent.size}) has no noise: "
            "its residuals are constant, no precision exists; leave it out"
        )
