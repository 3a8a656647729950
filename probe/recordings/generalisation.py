"""How far the geometry at one time is that at another."""

from __future__ import annotations

import numpy as np

from probe.errors import ProbeError
from probe.recordings.recording import Recording
from probe.recordings.reliability import half_repetitions
from probe.similarity import compare, get_comparator

NOISY = ("mahalanobis", "crossnobis")


def time_generalisation(
    recording: Recording,
    metric: str = "correlation",
    comparator: str = "spearman",
    *,
    n_splits: int = 20,
    seed: int = 0,
) -> np.ndarray:
    """Compare the RDM at each time with that at each other, in data whose noise is independent.

    Parameters
    ----------
    recording : Recording
        With a time axis, of one region. Of one subject, the repetitions are divided at random into
        two halves, the same at all times; of several, each is compared with the RDM pooled over
        all others.
    metric : str
        See `Recording.rdms`.
    comparator : str
        See `probe.similarity.compare`.
    n_splits : int
        Random halves to average, of one subject.
    seed : int
        Of the halves.

    Returns
    -------
    numpy.ndarray, shape (n_times, n_times)
        Between the RDM at the time of the row and that of the column, averaged with the same the
        other way round. What repeats at one time and does not at another is on the diagonal alone,
        which is the reliability of the RDM at each time. NaN at times at which the RDM of some half
        is undefined, as where a stimulus has no response.

    Raises
    ------
    ProbeError
        If there is no time axis, one subject and no repetitions, or a distance is undefined: of
        one subject, at all times.

    References
    ----------
    King & Dehaene 2014, Trends Cogn Sci 18:203; Cichy, Pantazis & Oliva 2014, Nat Neurosci 17:455.
    """
    if len(recording.subjects) > 1:
        subjects, rdms = recording.rdms_over_time(metric)
        between = [
            compare(_pooled(np.delete(rdms, s, axis=1), comparator), rdms[:, s], comparator)
            for s in range(len(subjects))
        ]
        defined = np.ones(rdms.shape[0], dtype=bool)
    else:
        halves, defined = _halves(recording, metric, n_splits, seed)
        between = [compare(a[defined], b[defined], comparator) for a, b in halves]
    mean = np.mean(np.stack([np.asarray(one) for one in between]), axis=0)
    generalisation = np.full((len(defined), len(defined)), np.nan)
    generalisation[np.ix_(defined, defined)] = (mean + mean.T) / 2.0
    return generalisation


def _pooled(rdms: np.ndarray, comparator: str) -> np.ndarray:
    """Pool RDMs (time, subject, pair) over subjects."""
    chosen = get_comparator(comparator)
    return np.stack([chosen.pool(of_time) for of_time in rdms])


def _halves(
    recording: Recording, metric: str, n_splits: int, seed: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """RDMs (n_times, n_pairs) of two halves of the repetitions, ``n_splits`` times.

    The second array says at which times all of them are defined, (n_times,); the others are NaN.
    """
    times = recording.times
    flat = recording.unfolded()
    assert times is not None  # or it could not be unfolded
    whose = f"{recording.subjects[0]} (half of the repetitions)"
    noisy = metric in NOISY
    pairs = []
    rdm_of = recording.rdm_of_repetitions if noisy else recording.rdm_of
    defined = np.ones(len(times), dtype=bool)
    n_pairs = recording.n_stimuli * (recording.n_stimuli - 1) // 2
    for halves in half_repetitions(flat, n_splits, seed):
        both = []
        for half in halves:
            half = half if noisy else np.nanmean(half, axis=1)
            over_time = half.reshape(*half.shape[:-1], len(times), -1)
            rdms = np.full((len(times), n_pairs), np.nan)
            for k in np.flatnonzero(defined):
                try:
                    rdms[k] = rdm_of(over_time[..., k, :], metric, whose)
                except ProbeError:
                    defined[k] = False
                    if not defined.any():
                        raise
            both.append(rdms)
        pairs.append((both[0], both[1]))
    return pairs, defined


def reliability_over_time(generalisation: np.ndarray) -> np.ndarray:
    """Return the reliability at each time of the RDM of all repetitions, (n_times,).

    Parameters
    ----------
    generalisation : numpy.ndarray, shape (n_times, n_times)
        From halves of the repetitions, see `time_generalisation`.

    Returns
    -------
    numpy.ndarray, shape (n_times,)
        By the formula of Spearman and Brown; NaN where halves do not agree above chance.

    Raises
    ------
    ProbeError
        If it is no square.
    """
    if generalisation.ndim != 2 or len(set(generalisation.shape)) > 1:
        raise ProbeError(f"a generalisation of shape {generalisation.shape}: expected a square")
    r = np.diagonal(generalisation)
    return np.where(r > 0, 2.0 * r / (1.0 + np.where(r > 0, r, 0.0)), np.nan)
