"""p-values of scores and their differences, from four kinds of evidence.

None is ever 0, and none above 1: where something is counted, the data themselves count as one of
the resamples, permutations and sign-flips that they are compared with (Phipson & Smyth 2010, Stat
Appl Genet Mol Biol 9:39).
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

ROUNDING = 1e-12
"""Statistics this near each other are equal: a permutation that changes nothing must count."""


def t_test(
    statistic: np.ndarray, se: np.ndarray, dof: np.ndarray, *, two_sided: bool
) -> np.ndarray:
    """Compare a statistic with a t distribution of the resamples' standard error.

    Parameters
    ----------
    statistic, se, dof : numpy.ndarray, any one shape
        The statistic, its standard error, and the degrees of freedom of that. Large statistics
        are evidence against the hypothesis.
    two_sided : bool
        Whether large negative ones are as well.

    Returns
    -------
    numpy.ndarray
        NaN where the standard error is, or where it is 0 and the statistic is not. A statistic that
        is only rounding error, as the difference of two models that are one, is 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(se > ROUNDING, statistic / se, np.nan)
    t = np.where((np.abs(statistic) <= ROUNDING) & np.isfinite(se), 0.0, t)
    p = 2.0 * stats.t.sf(np.abs(t), dof) if two_sided else stats.t.sf(t, dof)
    return np.maximum(p, np.finfo(float).tiny)


def bootstrap_test(resampled: np.ndarray, *, two_sided: bool) -> np.ndarray:
    """Count the bootstrap samples in which a statistic is not above zero.

    Parameters
    ----------
    resampled : numpy.ndarray, shape (B, …)
        The statistic in every resample; NaN where it has none.
    two_sided : bool
        Twice the smaller of both counts.

    Returns
    -------
    numpy.ndarray, shape (…)
        ``(count + 1) / (B + 1)``; NaN where no resample has the statistic.
    """
    n_finite = np.isfinite(resampled).sum(axis=0)
    below = (resampled <= ROUNDING).sum(axis=0)
    above = (resampled >= -ROUNDING).sum(axis=0)
    count = 2 * np.minimum(below, above) if two_sided else below
    return np.where(n_finite > 0, np.minimum((count + 1) / (n_finite + 1), 1.0), np.nan)


def permutation_test(statistic: np.ndarray, by_chance: np.ndarray) -> np.ndarray:
    """Count the permutations in which a statistic is as large as without.

    Parameters
    ----------
    statistic : numpy.ndarray, shape (…)
    by_chance : numpy.ndarray, shape (B, …)

    Returns
    -------
    numpy.ndarray, shape (…)
        ``(count + 1) / (B + 1)``. A permutation without a score counts against the model; without
        a statistic there is no p: NaN.
    """
    as_good = ~(by_chance < statistic - ROUNDING)
    p = (as_good.sum(axis=0) + 1) / (len(by_chance) + 1)
    return np.where(np.isnan(statistic), np.nan, p)


def sign_flip_test(
    by_subject: np.ndarray, n_flips: int, rng: np.random.Generator, *, two_sided: bool
) -> np.ndarray:
    """Flip the signs of subjects: without an effect, a subject's sign is a coin's.

    All 2^S ways if there are not more than ``n_flips``, else that many at random. With S subjects
    no p-value is below 1 / 2^S, or twice that if two-sided.

    Parameters
    ----------
    by_subject : numpy.ndarray, shape (…, S ≥ 2)
        One value per subject.
    n_flips : int
    rng : numpy.random.Generator
    two_sided : bool

    Returns
    -------
    numpy.ndarray, shape (…)

    References
    ----------
    Nichols & Holmes 2002, Hum Brain Mapp 15:1.
    """
    n_subjects = by_subject.shape[-1]
    exact = 2.0**n_subjects <= n_flips + 1
    if exact:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n_subjects)))
    else:
        signs = rng.choice((-1.0, 1.0), size=(n_flips, n_subjects))
    statistic = by_subject.sum(axis=-1)
    by_chance = np.moveaxis(by_subject @ signs.T, -1, 0)
    if two_sided:
        statistic, by_chance = np.abs(statistic), np.abs(by_chance)
    as_good = (by_chance >= statistic - ROUNDING).sum(axis=0)
    p = as_good / len(signs) if exact else (as_good + 1) / (len(signs) + 1)
    return np.where(np.isfinite(statistic), p, np.nan)
