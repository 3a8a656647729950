"""Scores of models over time: a curve per model, where it is no accident, and when it peaks.

The RDMs of models are ranked once, those of the data once per time, and a resample of the stimuli
weighs all of them alike. So curves of one resample belong together: a latency is that of the peak
of a whole curve, and a permutation of the stimuli's labels leaves the data's course in time as it
is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse, stats

from probe.inference.clusters import cluster_test
from probe.inference.evaluate import MIN_STIMULI, prepare
from probe.inference.resampling import Track, bootstrap_counts, by_blocks
from probe.inference.variance import stimulus_variance, subject_variance
from probe.similarity import Comparator, get_comparator
from probe.similarity.comparators import OfPairs, PreparedRDMs
from probe.similarity.pairs import Pairs

Z_OF_CLUSTERS = float(stats.norm.isf(0.05))
"""Deviation from chance, in standard deviations, beyond which neighbouring times form a cluster."""


@dataclass(frozen=True, eq=False)
class OverTime:
    """What `evaluate_over_time` found. M models, T times, S subjects, B resamples.

    Attributes
    ----------
    scores : numpy.ndarray, shape (M, T, S)
        Similarity of every model with every subject.
    mean : numpy.ndarray, shape (M, T)
        Over subjects.
    ci_low, ci_high : numpy.ndarray, shape (M, T)
        95 % confidence interval at each time; NaN if nothing was resampled.
    ceiling : numpy.ndarray, shape (2, T)
        Lower and upper bound of the true model's score; NaN with one subject.
    peaks : numpy.ndarray of int, shape (M,)
        Time of each model's highest score.
    resampled_peaks : numpy.ndarray of int, shape (B, M)
        The same in bootstrap samples of what is resampled; (0, M) if nothing is.
    p : numpy.ndarray, shape (M, T)
        Of the cluster of times that each time is in, one-sided, corrected for all models and
        times; 1 outside clusters.
    clusters : list of (int, int, int, float)
        Model, first time, last time (included), and p.
    resample : str or None
    """

    scores: np.ndarray
    mean: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    ceiling: np.ndarray
    peaks: np.ndarray
    resampled_peaks: np.ndarray
    p: np.ndarray
    clusters: list[tuple[int, int, int, float]]
    resample: str | None


def evaluate_over_time(
    models: np.ndarray,
    data: np.ndarray,
    comparator: str | Comparator = "spearman",
    *,
    resample: str | None = "stimuli",
    n_resamples: int = 1000,
    seed: int = 0,
    track: Track | None = None,
) -> OverTime:
    r"""Score models against data at every time.

    Parameters
    ----------
    models : numpy.ndarray, shape (M, n_pairs)
    data : numpy.ndarray, shape (T, S, n_pairs)
        A pair that is NaN in any RDM is left out of all.
    comparator : str or Comparator
    resample : {'stimuli', 'subjects', None}
        What intervals generalise to, of scores and of latencies, and what the test takes for
        exchangeable. ``stimuli``: the labels of the stimuli are permuted, the same way at all
        times and in all models. At each time, the score's deviation from its mean over
        permutations, in standard deviations, is compared with `Z_OF_CLUSTERS`; the mass of a
        cluster is its sum over times. This is valid for a single subject. ``subjects``: the signs
        of whole subjects are flipped, see `cluster_test`; the fewer subjects, the larger the
        smallest p. In both cases the largest mass in any model is what a cluster is compared with.
        None: as for stimuli, without intervals.
    n_resamples : int
        Bootstrap samples, and permutations.
    seed : int
    track : callable, optional
        Wraps an iterable over resamples in a progress bar.

    Returns
    -------
    OverTime

    Raises
    ------
    ValueError
        If there are fewer than 5 stimuli, fewer than 2 subjects to resample, or an RDM is constant
        or infinite.

    References
    ----------
    Cichy, Pantazis & Oliva 2014, Nat Neurosci 17:455; Maris & Oostenveld 2007, J Neurosci Methods
    164:177; Nichols & Holmes 2002, Hum Brain Mapp 15:1; Schütt et al. 2023, eLife 12:e82566.
    """
    chosen = get_comparator(comparator)
    n_times, n_subjects, n_pairs = data.shape
    if resample == "subjects" and n_subjects < 2:
        raise ValueError("there is one subject: subjects cannot be resampled")
    a, b = prepare(chosen, models, data.reshape(-1, n_pairs))
    n = len(a.pairs.conditions())
    if n < MIN_STIMULI:
        raise ValueError(f"{n} stimuli are too few to resample: at least {MIN_STIMULI} are needed")
    shape = len(a.rdms), n_times, n_subjects
    scores = chosen.similarity(a, b).reshape(shape)
    mean = scores.mean(axis=2)
    # The draws of `evaluate`: at each time, its intervals and permutations are these.
    of_samples, of_permutations = np.random.default_rng(seed).spawn(2)
    of_stimuli, of_subjects = of_samples.spawn(2)
    half = np.full(mean.shape, np.nan)
    resampled = np.empty((0, *mean.shape))
    if resample == "stimuli":
        counts = bootstrap_counts(n, n_resamples, of_stimuli)
        everyone = np.eye(a.pairs.n, dtype=int)[a.pairs.conditions()]
        resampled = _resampled(a, b, chosen, counts @ everyone, n_subjects, track)
        left_out = _resampled(a, b, chosen, (1 - np.eye(n, dtype=int)) @ everyone, n_subjects, None)
        variance = stimulus_variance(left_out, resampled, counts)
        half = stats.t.ppf(0.975, n - 1) * np.sqrt(variance)
    elif resample == "subjects":
        shares = np.full(n_subjects, 1.0 / n_subjects)
        weights = of_subjects.multinomial(n_subjects, shares, size=n_resamples) / n_subjects
        resampled = np.einsum("mts,bs->bmt", scores, weights)
        half = stats.t.ppf(0.975, n_subjects - 1) * np.sqrt(subject_variance(scores))
    if resample == "subjects":
        clusters = _sign_flipped(scores, n_resamples, int(of_permutations.integers(2**31)))
    else:
        orders = of_permutations.permuted(np.tile(np.arange(a.pairs.n), (n_resamples, 1)), axis=1)
        by_chance = permuted_curves(a, b, chosen, orders, n_times, track)
        clusters = permutation_clusters(mean, by_chance)
    p = np.ones(mean.shape)
    for model, first, last, of_cluster in clusters:
        p[model, first : last + 1] = of_cluster
    return OverTime(
        scores=scores,
        mean=mean,
        ci_low=np.maximum(mean - half, -1.0),
        ci_high=np.minimum(mean + half, 1.0),
        ceiling=_ceilings(b, chosen, n_times),
        peaks=mean.argmax(axis=1),
        resampled_peaks=peaks_of(resampled),
        p=p,
        clusters=clusters,
        resample=resample,
    )


def peaks_of(curves: np.ndarray) -> np.ndarray:
    """Return when curves (B, M, T) are highest, (B, M); −1 for one that has no value."""
    if not len(curves):
        return np.empty(curves.shape[:2], dtype=int)
    finite = np.isfinite(curves)
    return np.where(finite.any(axis=2), np.where(finite, curves, -np.inf).argmax(axis=2), -1)


def latencies(peaks: np.ndarray, resampled: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the latency of each model's peak, with a 95 % interval.

    Parameters
    ----------
    peaks, resampled : numpy.ndarray of int, shape (M,) and (B, M)
        See `OverTime`.
    times : numpy.ndarray, shape (T,)
        In the unit of the latencies.

    Returns
    -------
    numpy.ndarray, shape (M, 3)
        Latency, and the 2.5th and 97.5th percentile of those in resamples, NaN without any. They
        are times that there are, never in between.
    """
    intervals = np.full((len(peaks), 3), np.nan)
    intervals[:, 0] = times[peaks]
    for k, of_model in enumerate(resampled.T):
        if len(peaked := of_model[of_model >= 0]):
            intervals[k, 1] = np.quantile(times[peaked], 0.025, method="lower")
            intervals[k, 2] = np.quantile(times[peaked], 0.975, method="higher")
    return intervals


def permutation_clusters(
    observed: np.ndarray, by_chance: np.ndarray, threshold: float = Z_OF_CLUSTERS
) -> list[tuple[int, int, int, float]]:
    """Find clusters in curves, and compare their masses with the largest by chance.

    Parameters
    ----------
    observed : numpy.ndarray, shape (M, T)
    by_chance : numpy.ndarray, shape (B, M, T)
        The same in permutations of what is exchangeable without an effect.
    threshold : float
        Of z, the deviation from chance: the mean and the standard deviation at each time are of
        all permutations and of the data themselves, so that these are one of them.

    Returns
    -------
    list of (int, int, int, float)
        Model, first time, last time (included), and p over all models and times.
    """
    everything = np.concatenate([observed[None], by_chance])
    # A permutation that leaves some model without a score says nothing for it.
    everything = np.where(np.isfinite(everything), everything, np.inf)
    finite = np.where(np.isfinite(everything), everything, 0.0)
    count = np.isfinite(everything).sum(axis=0)
    centre = finite.sum(axis=0) / count
    spread = np.sqrt((np.where(np.isfinite(everything), finite - centre, 0.0) ** 2).sum(0) / count)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(spread > 0.0, (everything - centre) / spread, 0.0)
    largest = largest_masses(z, threshold).max(axis=1)
    clusters = []
    for model, curve in enumerate(z[0]):
        for first, last in _runs(curve > threshold):
            mass = curve[first : last + 1].sum()
            p = float(np.mean(largest >= mass * (1.0 - 1e-9)))  # the data are one of them
            clusters.append((model, first, last, p))
    return clusters


def largest_masses(z: np.ndarray, threshold: float) -> np.ndarray:
    """Return the largest sum of values beyond a threshold that follow one another, along time.

    Parameters
    ----------
    z : numpy.ndarray, shape (…, T)
    threshold : float

    Returns
    -------
    numpy.ndarray, shape (…)
        0 where no value is beyond it.
    """
    running = np.zeros(z.shape[:-1])
    largest = np.zeros(z.shape[:-1])
    for at in np.moveaxis(z, -1, 0):
        running = np.where(at > threshold, running + at, 0.0)
        np.maximum(largest, running, out=largest)
    return largest


def permuted_curves(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    orders: np.ndarray,
    n_times: int,
    track: Track | None = None,
) -> np.ndarray:
    """Score models over time with the labels of the stimuli permuted.

    Parameters
    ----------
    models : PreparedRDMs
        M RDMs.
    data : PreparedRDMs
        n_times · S RDMs, those of one time together.
    comparator : Comparator
    orders : numpy.ndarray, shape (B, n_conditions), int
        The data's conditions are taken in this order.
    n_times : int
    track : callable, optional

    Returns
    -------
    numpy.ndarray, shape (B, M, n_times)
        Means over subjects.
    """
    result = np.empty((len(orders), len(models.rdms), n_times))

    def keep(part: slice, found: np.ndarray) -> None:
        result[part] = found

    if isinstance(comparator, OfPairs) and models.pairs.complete:
        # A mean of inner products is the inner product with the mean. Of data and models, the
        # models are fewer: they are permuted, by the inverse.
        mean = comparator.units(data).reshape(n_times, -1, len(data.pairs)).mean(axis=1)
        shared = models.pairs, comparator.units(models), mean
        by_blocks(_permute_units, shared, (orders,), comparator.block, keep, track, None)
    else:
        shared_rdms = models, data, comparator, n_times
        by_blocks(_permute_rdms, shared_rdms, (orders,), comparator.block, keep, track, None)
    return result


def _permute_units(
    pairs: Pairs, models: np.ndarray, data: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    inverse = np.argsort(orders, axis=1)
    return np.stack([models[:, pairs.permuted(order)] @ data.T for order in inverse])


def _permute_rdms(
    models: PreparedRDMs, data: PreparedRDMs, comparator: Comparator, n_times: int,
    orders: np.ndarray,
) -> np.ndarray:  # fmt: skip
    n_subjects = len(data.rdms) // n_times
    scores = [
        comparator.permuted_scores(models, replace(data, rdms=of_one), orders)
        for of_one in data.rdms.reshape(n_times, n_subjects, -1)
    ]
    return np.stack(scores, axis=2)


def _resampled(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    counts: np.ndarray,
    n_subjects: int,
    track: Track | None,
) -> np.ndarray:
    """Curves, means over subjects, in resamples of the stimuli, (B, M, T)."""
    n_times = len(data.rdms) // n_subjects
    result = np.empty((len(counts), len(models.rdms), n_times))

    def keep(part: slice, found: np.ndarray) -> None:
        result[part] = found

    shared = models, data, comparator, n_subjects
    by_blocks(_resample, shared, (counts,), comparator.block, keep, track, None)
    return result


def _resample(
    models: PreparedRDMs, data: PreparedRDMs, comparator: Comparator, n_subjects: int,
    counts: np.ndarray,
) -> np.ndarray:  # fmt: skip
    scores, _ = comparator.resample(models, data, counts)
    return scores.reshape(len(counts), len(models.rdms), -1, n_subjects).mean(axis=3)


def _sign_flipped(
    scores: np.ndarray, n_permutations: int, seed: int
) -> list[tuple[int, int, int, float]]:
    """Test curves of several subjects against zero, over all models and times at once."""
    n_models, n_times, n_subjects = scores.shape
    along = sparse.diags_array(
        [np.ones(n_times - 1)] * 2, offsets=[-1, 1], shape=(n_times, n_times)
    )
    tested = cluster_test(
        scores.transpose(2, 0, 1).reshape(n_subjects, -1), tail="greater",
        n_permutations=n_permutations, seed=seed,
        adjacency=sparse.block_diag([along] * n_models),
    )  # fmt: skip
    return [
        (int(points[0]) // n_times, int(points[0]) % n_times, int(points[-1]) % n_times, float(p))
        for points, p in zip(tested.clusters, tested.p_values, strict=True)
    ]


def _ceilings(data: PreparedRDMs, comparator: Comparator, n_times: int) -> np.ndarray:
    """Bounds of the true model's score at each time, (2, T); NaN with one subject."""
    n_subjects = len(data.rdms) // n_times
    bounds = np.full((2, n_times), np.nan)
    if n_subjects < 2:
        return bounds
    everything, everyone = np.ones((1, data.pairs.n)), [np.ones((1, n_subjects))]
    for k in range(n_times):
        of_time = PreparedRDMs(data.rdms[k * n_subjects : (k + 1) * n_subjects], data.pairs)
        _, of_time_bounds = comparator.resample(of_time, of_time, everything, everyone)
        bounds[:, k] = of_time_bounds[0, 0].mean(axis=1)
    return bounds


def _runs(beyond: np.ndarray) -> list[tuple[int, int]]:
    """First and last places of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], beyond, [False]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
