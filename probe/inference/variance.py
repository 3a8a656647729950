"""How far a score would vary if other stimuli, or other subjects, had been drawn.

An RDM score depends on stimuli one by one (first order) and in pairs (second order), and its
variance over stimuli is the sum of two components, V1 + V2 (Hoeffding 1948, Ann Math Stat 19:293).
The delete-one jackknife counts the second twice (Efron & Stein 1981, Ann Stat 9:586), the bootstrap
three times: where scores are small its intervals are far too wide, and its tests hardly ever
reject. From the two estimates together both components follow.
"""

from __future__ import annotations

import numpy as np


def contrast_values(values: np.ndarray, contrasts: np.ndarray) -> np.ndarray:
    """Weighted sums of values, some of which are unknown.

    Parameters
    ----------
    values : numpy.ndarray, shape (B, K, …)
        NaN where unknown.
    contrasts : numpy.ndarray, shape (Q, K)
        The weights.

    Returns
    -------
    numpy.ndarray, shape (B, Q, …)
        NaN where an unknown value has a weight other than 0.
    """
    unknown = np.isnan(values)
    sums = np.einsum("qk,bk...->bq...", contrasts, np.where(unknown, 0.0, values), optimize=True)
    if unknown.any():
        used = np.einsum("qk,bk...->bq...", contrasts != 0.0, unknown)
        sums[used] = np.nan
    return sums


def variance_over_samples(values: np.ndarray) -> np.ndarray:
    """Variance over resamples, shape (B, …) to (…), of those that have a value."""
    finite = np.isfinite(values)
    n = finite.sum(axis=0)
    mean = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(finite, values - mean, 0.0) ** 2
    return np.where(n > 1, squares.sum(axis=0) / np.maximum(n - 1, 1), np.nan)


def stimulus_variance(
    left_out: np.ndarray, resampled: np.ndarray, counts: np.ndarray, *, clip: bool = True
) -> np.ndarray:
    r"""Variance over stimuli: the jackknife's, freed from its bias with the help of a bootstrap.

    Of the components the jackknife expects :math:`V_1 + j_2 V_2`, :math:`j_2 = 2 (n-1) / (n-2)`,
    and the bootstrap :math:`a_1 V_1 + a_2 V_2`, where the :math:`a` follow from the counts that
    were drawn (about 1 and 3): two equations with two unknowns.

    Parameters
    ----------
    left_out : numpy.ndarray, shape (n, …)
        Values without each unit (a stimulus or a group of them).
    resampled : numpy.ndarray, shape (B, …)
        Values in bootstrap samples.
    counts : numpy.ndarray, shape (B, n)
        How often every unit occurs in these samples.
    clip : bool
        Keep both components from being negative.

    Returns
    -------
    numpy.ndarray, shape (…)
        :math:`V_1 + V_2`. NaN where the value hangs on one unit, without which there is none.
    """
    n = counts.shape[1]
    by_jackknife = variance_over_samples(left_out) * (n - 1) ** 2 / n
    by_jackknife = np.where(np.isnan(left_out).any(axis=0), np.nan, by_jackknife)
    j2 = 2.0 * (n - 1) / (n - 2)
    a1, a2 = _bootstrap_orders(counts)
    second = (variance_over_samples(resampled) - a1 * by_jackknife) / (a2 - a1 * j2)
    if clip:
        second = np.clip(second, 0.0, by_jackknife / j2)
    return np.asarray(by_jackknife - (j2 - 1.0) * second)


def _bootstrap_orders(counts: np.ndarray) -> tuple[float, float]:
    """How often a bootstrap counts the components of first and second order, for these counts.

    A unit that occurs c_i times has a share c_i (n − c_i) / T of the resample's pairs, and two
    units have 2 c_i c_j / T, where T = n² − Σ c², since copies are not compared. Of groups, the
    pairs within are not counted, which makes the variance a little too large.
    """
    c = counts.astype(np.float64)
    n_samples, n = c.shape
    total = n**2 - (c**2).sum(axis=1, keepdims=True)
    first = n * (c * (n - c) / total).var(axis=0, ddof=1).sum()
    # Σ_ij of the variances of 2 c_i c_j / T, without a table of all pairs for every sample.
    mean = 2.0 / n_samples * (c / total).T @ c
    np.fill_diagonal(mean, 0.0)
    squares = 2.0 * ((c**2).sum(axis=1) ** 2 - (c**4).sum(axis=1)) / total[:, 0] ** 2
    spread = (squares.sum() - n_samples * (mean**2).sum() / 2.0) / (n_samples - 1)
    return float(first), float(n * (n - 1) / 2.0 * spread)


def subject_variance(by_subject: np.ndarray) -> np.ndarray:
    """Variance over subjects of a mean over subjects, shape (…, S) to (…)."""
    return np.asarray(by_subject.var(axis=-1, ddof=1) / by_subject.shape[-1])


def stimulus_and_subject_variance(
    by_subject: np.ndarray, left_out: np.ndarray, resampled: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Variance over stimuli and subjects of a mean over subjects, and its degrees of freedom.

    The interaction of subjects and stimuli, with all noise of the measurement, is part of the
    variance over stimuli, and part of that over subjects, :math:`V_s`, too. It counts once:

    .. math::

        V = V_{stimuli} + \max(V_s - V_{cs}, 0), \qquad V_{cs} = (\bar v - \bar c) / S

    with :math:`\bar v` the mean variance over stimuli of a single subject's value, and
    :math:`\bar c` the mean covariance of two subjects'. Degrees of freedom follow Satterthwaite
    (1946, Biometrics Bull 2:110) for the summands :math:`V_s` and :math:`V - V_s`.

    Parameters
    ----------
    by_subject : numpy.ndarray, shape (Q, S)
        The values themselves.
    left_out : numpy.ndarray, shape (n, Q, S)
        Without each unit of the stimuli.
    resampled : numpy.ndarray, shape (B, Q, S)
        In bootstrap samples of the stimuli.
    counts : numpy.ndarray, shape (B, n)
        Of these samples.

    Returns
    -------
    variance, dof : numpy.ndarray, shape (Q,)
    """
    n_subjects, n = by_subject.shape[1], counts.shape[1]
    means = left_out.mean(axis=2), resampled.mean(axis=2)
    of_one = stimulus_variance(left_out, resampled, counts, clip=False).mean(axis=1)
    of_mean = stimulus_variance(*means, counts, clip=False)
    of_two = (n_subjects * of_mean - of_one) / (n_subjects - 1)
    interaction = (of_one - of_two) / n_subjects
    over_subjects = subject_variance(by_subject)
    over_both = stimulus_variance(*means, counts) + np.maximum(over_subjects - interaction, 0.0)
    rest = np.maximum(over_both - over_subjects, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = over_both**2 / (over_subjects**2 / (n_subjects - 1) + rest**2 / (n - 1))
    return over_both, np.maximum(np.nan_to_num(dof, nan=1.0), 1.0)


def schuett2023_variance(
    both: np.ndarray, subjects: np.ndarray, stimuli: np.ndarray, n_subjects: int, n_stimuli: int
) -> np.ndarray:
    r"""Variance over subjects and stimuli from three bootstraps, as rsatoolbox has it.

    A bootstrap over both factors counts the variance of their interaction, and of the noise, three
    times. With :math:`V_b`, :math:`V_s`, :math:`V_c` the variances of the bootstraps over both,
    subjects, and stimuli:

    .. math::

        V = \frac{n_s}{n_s-1} V_s + \frac{n_c}{n_c-1} V_c
            - \frac{n_s n_c}{(n_s-1)(n_c-1)} (V_b - V_s - V_c)

    but not less than either of its first two terms, and not more than :math:`V_b`. It is too
    large where the second-order component of the variance over stimuli is not small.

    Parameters
    ----------
    both, subjects, stimuli : numpy.ndarray, any one shape
        :math:`V_b`, :math:`V_s`, :math:`V_c`.
    n_subjects, n_stimuli : int
        At least 2.

    Returns
    -------
    numpy.ndarray

    References
    ----------
    Schütt et al. 2023, eLife 12:e82566.
    """
    of_subjects = n_subjects / (n_subjects - 1) * subjects
    of_stimuli = n_stimuli / (n_stimuli - 1) * stimuli
    interaction = both - subjects - stimuli
    variance = (
        of_subjects
        + of_stimuli
        - (n_subjects * n_stimuli / ((n_subjects - 1) * (n_stimuli - 1)) * interaction)
    )
    return np.minimum(np.maximum(variance, np.maximum(of_subjects, of_stimuli)), both)
