"""Scores of models against data, with how sure one may be of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial.distance import squareform

from probe.inference.multiplicity import holm
from probe.similarity import Comparator, get_comparator
from probe.similarity.comparators import PreparedRDMs

MIN_STIMULI = 5
"""Below this many stimuli a bootstrap over stimuli says nothing."""


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. M models, S subjects, B resamples.

    Attributes
    ----------
    scores : numpy.ndarray, shape (M, S)
        Similarity of every model with every subject.
    mean : numpy.ndarray, shape (M,)
        Mean over subjects.
    se : numpy.ndarray, shape (M,)
        Standard error of the mean score over the resampled factor.
    ci_low, ci_high : numpy.ndarray, shape (M,)
        95 % confidence interval.
    p_zero : numpy.ndarray, shape (M,)
        One-sided p-value of the hypothesis that model and data have nothing in common.
    p_zero_fdr, p_zero_holm : numpy.ndarray, shape (M,)
        The same, corrected over the models (Benjamini & Hochberg 1995; Holm 1979).
    dof : int
        Degrees of freedom of the t distribution behind the interval.
    resampled : numpy.ndarray, shape (B, M)
        Mean score of every resample.
    """

    scores: np.ndarray
    mean: np.ndarray
    se: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    p_zero: np.ndarray
    p_zero_fdr: np.ndarray
    p_zero_holm: np.ndarray
    dof: int
    resampled: np.ndarray


def evaluate(
    models: np.ndarray,
    data: np.ndarray,
    comparator: str | Comparator = "spearman",
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    track: Callable[..., Iterable[Any]] | None = None,
) -> Evaluation:
    """Score models against subjects, and bootstrap the scores over stimuli.

    Interval: the variance of the score is that of its bootstrap over stimuli, times n / (n − 1);
    a t distribution with n − 1 degrees of freedom lies around the score itself, since the
    bootstrap distribution of an RDM correlation is shifted against it (Schütt et al. 2023, eLife
    12:e82566).

    Test: the stimulus labels of the data are permuted, which is exact for the hypothesis that the
    RDMs have nothing to do with each other (Mantel 1967, Cancer Res 27:209; Nili et al. 2014).
    The bootstrap would make a test that almost never rejects there, since its variance is then
    too large. One-sided: a network whose RDM correlates negatively is no model of the data.

    Subjects are taken as given: nothing is claimed of other subjects.

    Parameters
    ----------
    models : numpy.ndarray, shape (M, n_pairs)
        Model RDMs.
    data : numpy.ndarray, shape (S, n_pairs)
        One RDM per subject.
    comparator : str or Comparator
    n_resamples : int
        Number of bootstrap samples, and of permutations, at least 2. The smallest p-value is
        ``1 / (n_resamples + 1)``.
    seed : int
        Of bootstrap and permutations; the global random state is not touched.
    track : callable, optional
        Wraps the iterable over resamples in a progress bar.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If there are fewer than 5 stimuli, or an RDM is constant (in most resamples) or not finite.
    """
    chosen = get_comparator(comparator)
    a, b = chosen.prepare(models), chosen.prepare(data)
    n = b.n_conditions
    if a.n_conditions != n:
        raise ValueError(f"models have {a.n_conditions} stimuli, the data {n}")
    if n < MIN_STIMULI:
        raise ValueError(f"{n} stimuli are too few to resample; at least {MIN_STIMULI} are needed")
    if n_resamples < 2:
        raise ValueError(f"n_resamples={n_resamples}; at least 2 are needed")
    scores = chosen.similarity(a, b)
    rng = np.random.default_rng(seed)
    counts = bootstrap_counts(n, n_resamples, rng)
    resampled = resampled_scores(a, b, chosen, counts, track).mean(axis=2)

    # A resample that leaves a categorical RDM constant has no score, and is left out.
    scored = np.isfinite(resampled)
    if (rare := scored.sum(axis=0) < max(2, n_resamples / 2)).any():
        raise ValueError(
            f"model {np.flatnonzero(rare)[0]}, or the data, is constant in most resamples of the "
            "stimuli: too few stimuli differ for a bootstrap"
        )
    variance = np.nanvar(resampled, axis=0, ddof=1) * n / (n - 1)
    mean, se, dof = scores.mean(axis=1), np.sqrt(variance), n - 1
    half = stats.t.ppf(0.975, dof) * se
    permutations = rng.permuted(np.tile(np.arange(n), (n_resamples, 1)), axis=1)
    by_chance = permuted_scores(a, b, chosen, permutations)
    # A permutation that changes nothing is one of those possible; rounding must not hide it.
    as_good = by_chance >= mean - 1e-12
    p_zero = (as_good.sum(axis=0) + 1) / (n_resamples + 1)
    return Evaluation(
        scores=scores,
        mean=mean,
        se=se,
        ci_low=np.maximum(mean - half, -1.0),
        ci_high=np.minimum(mean + half, 1.0),
        p_zero=p_zero,
        p_zero_fdr=stats.false_discovery_control(p_zero),
        p_zero_holm=holm(p_zero),
        dof=dof,
        resampled=resampled,
    )


def bootstrap_counts(n: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n stimuli out of n with replacement, and count them.

    Returns
    -------
    numpy.ndarray, shape (n_resamples, n), int
        A draw of fewer than three distinct stimuli, which has no RDM to speak of, is drawn again.
    """
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    while (poor := (counts > 0).sum(axis=1) < 3).any():
        counts[poor] = rng.multinomial(n, np.full(n, 1.0 / n), size=int(poor.sum()))
    return counts


def resampled_scores(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    counts: np.ndarray,
    track: Callable[..., Iterable[Any]] | None = None,
) -> np.ndarray:
    """Score every model against every subject in every resample.

    Parameters
    ----------
    models, data : PreparedRDMs
        From ``comparator.prepare``.
    comparator : Comparator
    counts : numpy.ndarray, shape (B, n_conditions)
        How often each condition occurs in each resample.
    track : callable, optional
        Wraps the iterable over resamples in a progress bar.

    Returns
    -------
    numpy.ndarray, shape (B, M, S)
        As `Comparator.similarity` says where a resample leaves an RDM constant.
    """
    result = np.empty((len(counts), len(models.rdms), len(data.rdms)))

    def one(k: int) -> None:
        result[k] = comparator.similarity(models, data, counts[k])

    _each(one, len(counts), track)
    return result


def permuted_scores(
    models: PreparedRDMs, data: PreparedRDMs, comparator: Comparator, permutations: np.ndarray
) -> np.ndarray:
    """Score every model against the data with the stimuli's labels permuted.

    Parameters
    ----------
    models, data : PreparedRDMs
        From ``comparator.prepare``.
    comparator : Comparator
    permutations : numpy.ndarray, shape (B, n_conditions), int

    Returns
    -------
    numpy.ndarray, shape (B, M)
        Mean over subjects.
    """
    # A mean of inner products is the inner product with the mean: one RDM to permute.
    scaled, target = comparator.scaled(models), squareform(comparator.scaled(data).mean(axis=0))
    result = np.empty((len(permutations), len(scaled)))

    def one(k: int) -> None:
        order = permutations[k]
        permuted = squareform(target.take(order, axis=0).take(order, axis=1), checks=False)
        result[k] = np.einsum("kp,p->k", scaled, permuted)

    _each(one, len(permutations), None)
    return result


def _each(one: Callable[[int], None], n: int, track: Callable[..., Iterable[Any]] | None) -> None:
    """Call ``one(k)`` for every k below n, on a few threads.

    NumPy works outside the interpreter's lock; every call has its own place in the result. Not
    more than a few threads: each holds copies of all RDMs.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        done: Iterable[Any] = pool.map(one, range(n))
        try:
            for _ in track(done, total=n) if track else done:
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
