r"""Partial least squares from products of patterns alone: at one cost for any number of features.

Each component is the direction w of the patterns X, (n × p), along which they covary most with the
responses Y, (n × m). Its scores t = Xw then explain what they can of both, and the next component
is sought in what is left (NIPALS; Wold 1975; for kernels, Rosipal & Trejo 2001, J Mach Learn Res
2:97). With K = XXᵀ of centred patterns, and P the projection away from the scores of the earlier
components, w = XᵀPYq for some weights q of the sites, so that

    t = PKPYq,    ‖w‖² = qᵀMq,    M = YᵀPKPY,    q ← Mq until w stands still:

no step needs X, and those that are repeated need only M, (m × m).

Where w stands still is a convention: repeated further, predictions change in the fifth digit. Here
it is that of scikit-learn's ``PLSRegression(scale=False)``: start at the first site, and stop when
‖Δw‖² < 10⁻⁶.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh, solve_triangular

from probe.encoding.ridge import RANK_TOLERANCE, Split, centre_gram
from probe.errors import ProbeError

MIN_PROGRESS = 1e-6
"""Squared length of the change of w, itself of length 1, at which a component is done."""

MAX_STEPS = 500
"""Steps after which a component is done in any case."""

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class KernelPLS:
    """What partial least squares predicts of each site, from products with the training patterns.

    A prediction is ``across @ coefficients + intercept``, with ``across`` from `centre_across`. As
    weights of the features it is W = XᵀC, with X the training patterns less their mean.

    Attributes
    ----------
    coefficients : numpy.ndarray, float64, shape (n, m)
        C, the dual coefficients. Their sum over stimuli is 0.
    intercept : numpy.ndarray, float64, shape (m,)
        The means of the training responses, in their unit.
    n_components : int
        Components that were fitted: as many as asked for, or as there are.
    """

    coefficients: np.ndarray
    intercept: np.ndarray
    n_components: int


def fit(gram: np.ndarray, responses: np.ndarray, n_components: int = 25) -> KernelPLS:
    """Fit partial least squares of all sites together.

    Components are fewer than asked for where the patterns have no more dimensions (few stimuli, or
    some that are alike), or where nothing that is left of them covaries with the responses.
    scikit-learn 1.9 goes on there, into rounding errors: with 10 of 30 stimuli repeated and 25
    components, its predictions are of the order of 10¹⁵, without a warning.

    Parameters
    ----------
    gram : numpy.ndarray, shape (n, n)
        XXᵀ of the training patterns, centred or not.
    responses : numpy.ndarray, shape (n, m)
        Of the same stimuli, without NaN. A site that is constant is predicted by its mean.
    n_components : int
        At least 1.

    Returns
    -------
    KernelPLS

    Raises
    ------
    ProbeError
        If there are fewer than two stimuli or one component, sizes differ, or a value is not
        finite.

    References
    ----------
    Rosipal & Trejo 2001, J Mach Learn Res 2:97; Wegelin 2000, Tech Rep 371, Univ. of Washington.
    """
    gram = np.asarray(gram, dtype=np.float64)
    responses = np.asarray(responses, dtype=np.float64)
    _check(gram, responses, n_components)
    intercept = responses.mean(axis=0)
    centred = centre_gram(gram)
    n_components, largest = _numerical_rank(centred, np.abs(gram.diagonal()).max(), n_components)
    left = responses - intercept
    # Below this, what is left of a site is rounding, even of one that is constant.
    rounding = 10.0 * EPS * np.abs(responses).max(axis=0)
    # Of more sites than stimuli, w depends on YYᵀ only: as many columns as stimuli have the same.
    many = left.shape[1] > len(left)
    compact = np.asarray(np.linalg.qr(left.T, mode="r")).T if many else left
    images = centred @ compact

    scores = np.empty((len(gram), n_components))
    directions, their_images = np.empty_like(scores), np.empty_like(scores)
    k = 0
    while k < n_components:
        left = np.where(np.abs(left).max(axis=0) < rounding, 0.0, left)
        compact = compact if many else left
        start = _first_direction(centred, left, largest)
        if start is None:
            break
        direction, image = start
        if left.shape[1] > 1:
            weights = _stand_still(compact.T @ images, compact.T @ image)
            direction, image = compact @ weights, images @ weights
        directions[:, k], their_images[:, k] = direction, image
        earlier = scores[:, :k]
        score = image - earlier @ (earlier.T @ image)
        score -= earlier @ (earlier.T @ score)  # again: the first time leaves rounding
        score /= np.linalg.norm(score)
        scores[:, k] = score
        loadings = score @ compact
        images = images - np.outer(centred @ score, loadings)
        compact = compact - np.outer(score, loadings)
        left = left - np.outer(score, score @ left) if many else compact
        k += 1
    scores, directions, their_images = scores[:, :k], directions[:, :k], their_images[:, :k]
    # Each direction has scores on its own component and those before it: a triangle.
    of_sites = scores.T @ (responses - intercept)
    along = solve_triangular(scores.T @ their_images, of_sites) if k else of_sites
    return KernelPLS(directions @ along, intercept, k)


def predict_splits(
    gram: np.ndarray, responses: np.ndarray, splits: Sequence[Split], n_components: int = 25
) -> tuple[list[np.ndarray], list[int]]:
    """Compute what a fit to the training stimuli of each split predicts for its test stimuli.

    Parameters
    ----------
    gram : numpy.ndarray, shape (n, n)
        XXᵀ of the patterns of all stimuli, centred or not.
    responses : numpy.ndarray, shape (n, m)
    splits : sequence of (training, test) indices
    n_components : int

    Returns
    -------
    predictions : list of numpy.ndarray, float64, shape (n_test, m)
        In the unit of the responses.
    n_components : list of int
        Components that were fitted in each split.

    Raises
    ------
    ProbeError
        As `fit`, and if a split trains on a stimulus that it is tested on.
    """
    gram = np.asarray(gram, dtype=np.float64)
    responses = np.asarray(responses, dtype=np.float64)
    _check(gram, responses, n_components)
    predictions, fitted = [], []
    for train, test in splits:
        if np.intersect1d(train, test).size:
            raise ProbeError("a split trains on a stimulus that it is tested on")
        model = fit(gram[np.ix_(train, train)], responses[train], n_components)
        across = centre_across(gram, train, test)
        predictions.append(across @ model.coefficients + model.intercept)
        fitted.append(model.n_components)
    return predictions, fitted


def centre_across(gram: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Compute the products of test with training patterns, both less the mean of the training.

    Parameters
    ----------
    gram : numpy.ndarray, shape (n, n)
        Of the patterns of all stimuli, centred or not.
    train, test : numpy.ndarray of int

    Returns
    -------
    numpy.ndarray, float64, shape (n_test, n_train)
    """
    within = np.asarray(gram[np.ix_(train, train)], dtype=np.float64)
    across = np.asarray(gram[np.ix_(test, train)], dtype=np.float64)
    rows = within.mean(axis=0)
    return np.asarray(across - across.mean(axis=1, keepdims=True) - rows + rows.mean())


def _check(gram: np.ndarray, responses: np.ndarray, n_components: int) -> None:
    if n_components < 1:
        raise ProbeError(f"{n_components} components: expected 1 or more")
    if responses.ndim != 2 or gram.shape != (len(responses),) * 2:
        raise ProbeError(
            f"products of shape {gram.shape} and responses of shape {responses.shape}: "
            "expected (n, n) and (n, m), of the same stimuli"
        )
    if len(gram) < 2:
        raise ProbeError(f"{len(gram)} training stimuli: expected 2 or more")
    if not (np.isfinite(gram).all() and np.isfinite(responses).all()):
        raise ProbeError("products or responses hold a NaN or infinite value: expected none")


def _numerical_rank(centred: np.ndarray, diagonal: float, at_most: int) -> tuple[int, float]:
    """Compute how many dimensions patterns have, up to a number, and the largest eigenvalue."""
    n = len(centred)
    at_most = min(at_most, n - 1)
    squares = eigvalsh(centred, subset_by_index=(n - at_most, n - 1))
    largest = float(squares[-1])
    # Patterns that are constant, or nearly, leave the rounding of their own products.
    floor = max(RANK_TOLERANCE * largest, n * EPS * diagonal)
    return int((squares > floor).sum()), largest


def _first_direction(
    centred: np.ndarray, left: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Choose the first site of which something is left that the patterns covary with.

    Returns
    -------
    direction, image : numpy.ndarray, shape (n,), or None
        What is left of its responses, such that w = Xᵀdirection has length 1, and its product with
        K. None if there is no such site.
    """
    for site in np.flatnonzero(left.any(axis=0)):
        direction = left[:, site]
        image = centred @ direction
        square = direction @ image
        if square > RANK_TOLERANCE * largest * (direction @ direction):
            length = np.sqrt(square)
            return direction / length, image / length
    return None


def _stand_still(covariances: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Compute the weights of the sites whose w stands still.

    Parameters
    ----------
    covariances : numpy.ndarray, shape (m, m)
        M, the products of the sites' covariances with the patterns.
    start : numpy.ndarray, shape (m,)
        The covariance of each site with the scores to start from, those of a w of length 1.

    Returns
    -------
    numpy.ndarray, shape (m,)
        Of which w has length 1.
    """
    weights = image = start
    for _ in range(MAX_STEPS - 1):  # the scores to start from are those of the first
        weights, earlier = image, image
        image = covariances @ weights
        length = np.sqrt(weights @ image)
        weights, image = weights / length, image / length
        # ‖Δw‖² of two w of length 1.
        if 2.0 - 2.0 * (earlier @ weights) < MIN_PROGRESS:
            break
    return weights
