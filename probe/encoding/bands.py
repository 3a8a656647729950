r"""Banded ridge regression: how much each layer, or family of features, adds to a prediction.

Layers that predict a site together differ in how many of their dimensions are of use, and one
penalty for all favours the largest. Here each band b of features has its own (Nunez-Elizalde et al.
2019, NeuroImage 197:482), written as one penalty α and shares γ of the bands, for each site:

    K = Σ_b γ_b K_b,    γ_b ≥ 0,    Σ_b γ_b = 1,

with K_b the products of the band's patterns, scaled as a whole to a mean squared length of 1. A
band's own penalty is α / γ_b. Shares and penalty are those of the least leave-one-out error among a
set of candidates (Dupré la Tour et al. 2022, NeuroImage 264:119728), inside each split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

import numpy as np

from probe.encoding.ridge import ALPHAS, Decomposition, Selection, Split, centre_gram, select
from probe.errors import ProbeError
from probe.similarity.blas import single_threaded

CONCENTRATIONS = (0.1, 1.0)
"""Of random shares: mostly one band, or uniform over the simplex, in turn."""

MIN_SHARE = 1e-6
"""Random shares below this are 0: the dimensions of such a band would drown in rounding."""

MAX_BYTES = 1_000_000_000
"""Bytes of decompositions that are kept. The others are computed again when they are needed."""

CONSTANT = 1e-24
"""A sum of squares below this share of its uncentred one is that of a constant."""


@dataclass(frozen=True, eq=False)
class BandedSelection:
    """The shares and the penalty of each site, and what every band adds to its prediction.

    Attributes
    ----------
    selection : Selection
        Its candidates are the rows of shares; its penalties belong to bands of mean squared length
        1.
    shares : numpy.ndarray, float64, shape (m, n_bands)
        Chosen on all stimuli. Each row sums to 1.
    shares_in_split : numpy.ndarray, float64, shape (n_splits, m, n_bands)
        Chosen inside the training stimuli of each split.
    by_band : list of numpy.ndarray, float64, shape (n_bands, n_test, m)
        The parts of ``selection.predictions``. With the mean of the training responses, they sum
        to it, but for dimensions that `probe.encoding.ridge.RANK_TOLERANCE` cuts off.
    coefficients : numpy.ndarray, float64, shape (n, m)
        C, the dual coefficients of a fit to all stimuli. The weights of the features of band b are
        γ_b X_bᵀC / scale_b, with X_b less its mean.
    scales : numpy.ndarray, float64, shape (n_bands,)
        The mean squared length of each band's centred patterns, by which it was divided.
    """

    selection: Selection
    shares: np.ndarray
    shares_in_split: np.ndarray
    by_band: list[np.ndarray]
    coefficients: np.ndarray
    scales: np.ndarray


def simplex(n_bands: int, n_steps: int = 20, n_random: int = 100, seed: int = 0) -> np.ndarray:
    """Compute candidate shares of bands.

    Parameters
    ----------
    n_bands : int
        Of one, the share is 1. Of two, shares are all multiples of 1 / n_steps. Of more, they are
        each band alone, all alike, and random ones.
    n_steps : int
        At least 1.
    n_random : int
        Random shares, from Dirichlet distributions of `CONCENTRATIONS` in turn, as himalaya draws
        them. Those below `MIN_SHARE` are 0.
    seed : int

    Returns
    -------
    numpy.ndarray, float64, shape (k, n_bands)
        In [0, 1]. Each row sums to 1.

    Raises
    ------
    ProbeError
        If there is no band or no step.

    References
    ----------
    Dupré la Tour et al. 2022, NeuroImage 264:119728.
    """
    if n_bands < 1 or n_steps < 1:
        raise ProbeError(f"{n_bands} bands and {n_steps} steps: expected 1 or more of each")
    if n_bands == 1:
        return np.ones((1, 1))
    if n_bands == 2:
        counts = np.arange(n_steps + 1)
        return np.stack([counts, n_steps - counts], axis=1) / n_steps
    rng = np.random.default_rng(seed)
    shares = np.empty((n_random, n_bands))
    for k in range(n_random):
        shares[k] = rng.dirichlet(np.full(n_bands, CONCENTRATIONS[k % len(CONCENTRATIONS)]))
    shares[shares < MIN_SHARE] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    return np.vstack([np.eye(n_bands), np.full((1, n_bands), 1.0 / n_bands), shares])


def select_bands(
    grams: Sequence[np.ndarray],
    responses: np.ndarray,
    splits: Sequence[Split] = (),
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    shares: np.ndarray | None = None,
    alphas: np.ndarray | None = None,
    search_dtype: str = "float64",
    threads: int = 1,
    track: Callable[..., Iterable[Any]] | None = None,
) -> BandedSelection:
    """Choose the shares of bands and a penalty for each site, inside each split and on all stimuli.

    Parameters
    ----------
    grams : sequence of numpy.ndarray, shape (n, n)
        XXᵀ of each band's patterns, centred or not, of one stimulus set in one order. A band is
        scaled as a whole, to a mean squared length of 1 over all stimuli; its features keep their
        relative sizes.
    responses : numpy.ndarray, shape (n, m)
        Without NaN.
    splits : sequence of (training, test) indices
    groups : sequence, shape (n,), optional
        Stimuli of one label are left out together, see `probe.encoding.ridge.select`.
    shares : numpy.ndarray, shape (k, n_bands), optional
        Candidates; by default `simplex`.
    alphas : numpy.ndarray, optional
        Penalties, above zero; by default `probe.encoding.ridge.ALPHAS`.
    search_dtype : {"float64", "float32"}
        In which leave-one-out errors are compared. What is predicted is float64 in any case.
    threads : int
        Candidates that are solved at a time; the values do not depend on it.
    track : callable, optional
        Wraps the iteration over candidates, for progress.

    Returns
    -------
    BandedSelection

    Raises
    ------
    ProbeError
        If sizes differ, a band does not vary over stimuli, shares are negative or do not sum to 1,
        or as `probe.encoding.ridge.select`.
    """
    responses = np.asarray(responses, dtype=np.float64)
    if responses.ndim != 2:
        raise ProbeError(f"responses of shape {responses.shape}: expected (n, m)")
    scaled, scales = scaled_bands(grams, len(responses))
    shares = simplex(len(scaled)) if shares is None else np.asarray(shares, dtype=np.float64)
    _check_shares(shares, len(scaled))
    grid = np.asarray(ALPHAS if alphas is None else alphas, dtype=np.float64)
    mixtures = _Mixtures(scaled, shares, threads)
    selection = select(
        mixtures, responses, splits, groups=groups, alphas=grid, search_dtype=search_dtype,
        threads=threads, track=track,
    )  # fmt: skip
    coefficients = np.empty_like(responses)
    # As in `select`: the same bytes on any number of threads.
    with single_threaded():
        for candidate in np.unique(selection.candidate):
            sites = selection.candidate == candidate
            coefficients[:, sites] = mixtures[candidate].dual(
                responses[:, sites], selection.alpha[sites]
            )
        by_band = [
            _parts(scaled, mixtures, responses, split, candidates, grid[indices])
            for split, candidates, indices in zip(
                splits, selection.in_split, selection.alpha_in_split, strict=True
            )
        ]
    return BandedSelection(
        selection,
        shares[selection.candidate],
        shares[selection.in_split],
        by_band,
        coefficients,
        scales,
    )


def split_r2(by_band: np.ndarray, predictions: np.ndarray, responses: np.ndarray) -> np.ndarray:
    r"""Compute how much of R² each band contributes: the product measure (Pratt 1987).

    With responses y, predictions ŷ and their parts ŷ_b, each less its own mean over the stimuli,

        R²_b = Σ ŷ_b (2y − ŷ) / Σy²,    Σ_b R²_b = 1 − Σ(y − ŷ)² / Σy².

    The predictions have to be centred, too: that they are too high or too low on the whole comes
    from the mean of the training responses, and belongs to no band. The R² of predictions as they
    are is lower than the sum, by the square of the difference of the means over the variance of the
    responses (ddof 0).

    Parameters
    ----------
    by_band : numpy.ndarray, shape (n_bands, n_test, m)
        Which sum to the predictions, except for a constant of each site.
    predictions, responses : numpy.ndarray, shape (n_test, m)
        Of stimuli that were held out.

    Returns
    -------
    numpy.ndarray, float64, shape (n_bands, m)
        Of a band that predicts what another one corrects, below 0. NaN for a site that is constant.

    Raises
    ------
    ProbeError
        If sizes differ.

    References
    ----------
    Pratt 1987, Proc 2nd Tampere Conf Stat, 245; Dupré la Tour et al. 2022, NeuroImage 264:119728.
    """
    by_band = np.asarray(by_band, dtype=np.float64)
    if not by_band.shape[1:] == np.shape(predictions) == np.shape(responses):
        raise ProbeError(
            f"parts of shape {by_band.shape}, predictions of shape {np.shape(predictions)} and "
            f"responses of shape {np.shape(responses)}: expected (n_bands, n_test, m) and twice "
            "(n_test, m)"
        )
    raw = np.asarray(responses, dtype=np.float64)
    y = raw - raw.mean(axis=0)
    parts = by_band - by_band.mean(axis=1, keepdims=True)
    gain = 2.0 * y - (predictions - np.mean(predictions, axis=0, dtype=np.float64))
    total = (y**2).sum(axis=0)
    varies = total > CONSTANT * (raw**2).sum(axis=0)
    return np.einsum("btm,tm->bm", parts, gain) / np.where(varies, total, np.nan)


class Decompositions(Sequence[Decomposition]):
    """Decompositions of products of stimuli, made when asked for; as many kept as fit the memory.

    Parameters
    ----------
    gram : callable
        Gives the k-th products, shape (n, n).
    length : int
        How many there are.
    n : int
        Stimuli.
    threads : int
        How many are in use at a time.
    """

    def __init__(
        self, gram: Callable[[int], np.ndarray], length: int, n: int, threads: int = 1
    ) -> None:
        self._length = length
        n_kept = max(threads, MAX_BYTES // (8 * n * n))
        self._decompose = lru_cache(maxsize=n_kept)(lambda k: Decomposition.of_gram(gram(k)))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Decomposition: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Decomposition]: ...

    def __getitem__(self, index: int | slice) -> Decomposition | Sequence[Decomposition]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self._decompose(int(index))


class _Mixtures(Decompositions):
    """The decomposition of every mixture of bands."""

    def __init__(self, grams: Sequence[np.ndarray], shares: np.ndarray, threads: int) -> None:
        self.shares = shares
        super().__init__(lambda k: mix(grams, shares[k]), len(shares), len(grams[0]), threads)


def mix(grams: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """Compute the products of a mixture of bands, Σ γ_b K_b, shape (n, n)."""
    mixed = np.zeros_like(grams[0])
    for share, gram in zip(shares, grams, strict=True):
        if share > 0.0:
            mixed += share * gram
    return mixed


def scaled_bands(
    grams: Sequence[np.ndarray], n_stimuli: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Compute the centred products of every band, (n, n), of mean diagonal 1, and what it was."""
    if not len(grams):
        raise ProbeError("no bands: expected the products of one or more")
    scaled, scales = [], []
    for index, gram in enumerate(grams):
        if np.shape(gram) != (n_stimuli, n_stimuli):
            raise ProbeError(
                f"band {index} has products of shape {np.shape(gram)}: expected "
                f"{(n_stimuli, n_stimuli)}, as many as there are stimuli"
            )
        centred = centre_gram(gram)
        scale = float(centred.diagonal().mean())
        if not varies(scale, float(np.abs(np.diagonal(gram)).max()), n_stimuli):
            raise ProbeError(
                f"band {index} has patterns of mean squared length {scale:.3g} about their mean: "
                "expected patterns that vary over stimuli"
            )
        centred /= scale
        scaled.append(centred)
        scales.append(scale)
    return scaled, np.array(scales)


def varies(scale: float, length: float, n_stimuli: int) -> bool:
    """Return whether patterns of a mean squared length about their mean vary, beyond rounding.

    Parameters
    ----------
    scale : float
        The mean squared length of the centred patterns.
    length : float
        The largest squared length of the patterns as they are.
    n_stimuli : int
    """
    return scale > n_stimuli * float(np.finfo(np.float64).eps) * length


def _check_shares(shares: np.ndarray, n_bands: int) -> None:
    if shares.ndim != 2 or shares.shape[1] != n_bands or not len(shares):
        raise ProbeError(f"shares of shape {shares.shape}: expected (k, {n_bands}), one per band")
    if not ((shares >= 0.0).all() and np.allclose(shares.sum(axis=1), 1.0, rtol=0.0, atol=1e-9)):
        raise ProbeError(
            f"shares from {shares.min():g}, with sums from {shares.sum(axis=1).min():g} to "
            f"{shares.sum(axis=1).max():g}: expected none below 0, and sums of 1"
        )


def _parts(
    grams: Sequence[np.ndarray],
    mixtures: _Mixtures,
    responses: np.ndarray,
    split: Split,
    candidates: np.ndarray,
    alphas: np.ndarray,
) -> np.ndarray:
    """Compute what each band adds to the predictions of a split, shape (n_bands, n_test, m).

    Parameters
    ----------
    candidates : numpy.ndarray of int, shape (m,)
    alphas : numpy.ndarray, shape (m,)
        As multiples of the scale of each site's candidate.
    """
    train, test = (np.asarray(part) for part in split)
    trained = np.zeros(len(responses), dtype=bool)
    trained[train] = True
    removed = np.flatnonzero(~trained)
    parts = np.empty((len(grams), len(test), responses.shape[1]))
    completed = responses.copy()
    for candidate in np.unique(candidates):
        mixture = mixtures[candidate]
        of_candidate = np.flatnonzero(candidates == candidate)
        penalties = alphas[of_candidate] * (mixture.scale or 1.0)
        for penalty in np.unique(penalties):
            sites = of_candidate[penalties == penalty]
            # If what is left out were as predicted, a fit to all would be that to the training.
            completed[np.ix_(removed, sites)] = mixture.predict_left_out(
                responses[:, sites], penalty, removed, removed
            )
        dual = mixture.dual(completed[:, of_candidate], penalties)
        for band, gram in enumerate(grams):
            # Less their mean over the training stimuli: the intercept is the mean response.
            of_band = gram @ dual
            of_band -= of_band[trained].mean(axis=0)
            parts[band][:, of_candidate] = mixtures.shares[candidate, band] * of_band[test]
    return parts
