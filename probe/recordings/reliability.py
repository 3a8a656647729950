"""How well a recording agrees with itself, and which neuroids do.

The repetitions of each stimulus are divided at random into two halves, which are averaged and
compared. The Spearman–Brown formula 2r / (1 + r) then says how the whole recording, twice as long
as a half, would agree with another one like it (Spearman 1910; Brown 1910).

Neuroids that are chosen because their responses to some presentations repeat are, in part, chosen
for the noise in these. Scored on the same presentations, neuroids of pure noise would seem to
respond to the stimuli; so `select_reliable` chooses on some repetitions and returns the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probe.errors import ProbeError
from probe.inference.evaluate import MIN_STIMULI
from probe.recordings.recording import Recording
from probe.similarity import compare

PUBLISHED = "published_reliability"
"""Coordinate of neuroids: how reliable they are, as was published with their responses."""


@dataclass(frozen=True)
class SplitHalf:
    """Split-half reliability of an RDM.

    Attributes
    ----------
    r : float
        Mean over splits of the comparator between the RDMs of the two halves.
    spearman_brown : float
        ``2 r / (1 + r)``: the reliability of the RDM of all repetitions.
    splits : numpy.ndarray, shape (n_splits,)
        The comparator in every split.
    """

    r: float
    spearman_brown: float
    splits: np.ndarray


@dataclass(frozen=True, eq=False)
class Noise:
    """What is known of the noise in averages over repetitions.

    Attributes
    ----------
    variance : numpy.ndarray, float64, shape (n, m)
        Unbiased variance over the repetitions of a stimulus; NaN with fewer than two.
    shares : numpy.ndarray, float64, shape (n, m)
        1/k: the share of it that is left in the average.
    """

    variance: np.ndarray
    shares: np.ndarray

    @classmethod
    def of_repetitions(cls, responses: np.ndarray) -> Noise:
        """Compute it from single repetitions, shape (n, k, m), NaN where one is missing."""
        present = np.isfinite(responses)
        counts = present.sum(axis=1)
        values = np.where(present, responses, 0.0)
        means = values.sum(axis=1) / counts
        squares = (np.where(present, responses - means[:, None], 0.0) ** 2).sum(axis=1)
        is_repeated = counts > 1
        variance = np.where(is_repeated, squares / np.where(is_repeated, counts - 1, 1), np.nan)
        return cls(variance, 1.0 / counts)

    @property
    def known(self) -> np.ndarray:
        """Neuroids of which some stimulus was repeated: bool, shape (m,)."""
        return np.asarray(np.isfinite(self.variance).any(axis=0))

    def take(self, stimuli: np.ndarray) -> Noise:
        """Return that of some stimuli."""
        return Noise(self.variance[stimuli], self.shares[stimuli])


def variance_components(recording: Recording) -> pd.DataFrame:
    r"""Split the variance of each neuroid's responses into signal and noise.

    The noise variance σ²_N is the mean over stimuli of the unbiased variance over repetitions; the
    averages over k_i repetitions vary over stimuli with σ²_T = σ²_S + σ²_N · mean(1/k_i). Every
    repetition counts, and no random halves are drawn.

    Parameters
    ----------
    recording : Recording
        Responses. Repetitions may be missing.

    Returns
    -------
    pandas.DataFrame
        One row per neuroid: ``neuroid_id``, ``subject``, ``region``; ``noise_variance`` of a single
        repetition, ``signal_variance``, ``total_variance`` (of the averages), in squared units of
        the responses; ``reliability`` ρ = σ²_S / σ²_T of the averages, whose root is the highest
        correlation that a prediction can reach; ``reliability_single`` = σ²_S / (σ²_S + σ²_N);
        ``snr`` = σ²_S / σ²_N, of a single repetition, whose root is the noise-ceiling
        signal-to-noise ratio (ncsnr) of NSD. NaN where no stimulus was repeated, or the responses
        are constant; ``snr`` is infinite without noise. By chance, they may be below zero.

    Raises
    ------
    ProbeError
        If the recording holds RDMs only.

    References
    ----------
    Sahani & Linden 2003, NeurIPS 15:125; Allen et al. 2022, Nat Neurosci 25:116 (noise ceilings).
    """
    means = recording.mean_responses()
    noise = Noise.of_repetitions(recording.data["responses"].values)
    is_repeated = np.isfinite(noise.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise_variance = np.where(is_repeated, noise.variance, 0.0).sum(axis=0) / is_repeated.sum(
            axis=0
        )
        total = means.values.var(axis=0, ddof=1)
        signal = total - noise_variance * noise.shares.mean(axis=0)
        varies = total > 1e-12 * (means.values**2).mean(axis=0)
        reliability = np.where(varies, signal / total, np.nan)
        single = np.where(varies, signal / (signal + noise_variance), np.nan)
        snr = np.where(varies, signal / noise_variance, np.nan)
    return pd.DataFrame(
        {name: means[name].values for name in ("neuroid_id", "subject", "region")}
        | {
            "noise_variance": noise_variance,
            "signal_variance": signal,
            "total_variance": total,
            "reliability": reliability,
            "reliability_single": single,
            "snr": snr,
        }
    )


def published_reliability(recording: Recording) -> np.ndarray | None:
    """Return the reliability that was published of each neuroid; None, if none was.

    Parameters
    ----------
    recording : Recording
        Whose neuroids may have the coordinate `PUBLISHED`.

    Returns
    -------
    numpy.ndarray, float64, shape (m,)
        NaN of a neuroid that has none.

    Raises
    ------
    ProbeError
        If what was published are no numbers up to 1.
    """
    if PUBLISHED not in recording.data.coords:
        return None
    cells = recording.data[PUBLISHED].values
    try:
        values = np.array([float(cell) if str(cell).strip() else np.nan for cell in cells])
    except ValueError:
        values = np.array([np.inf])
    if (values > 1.0).any():
        raise ProbeError(
            f"recording {recording.name!r}, coordinate {PUBLISHED!r}: expected numbers up to 1"
        )
    return values


def check_threshold(threshold: float) -> float:
    """Return the least reliability that is asked for, as a float.

    Raises
    ------
    ProbeError
        If it is no number from 0 to 1.
    """
    number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if not (number and 0 <= threshold <= 1):
        said = f"{threshold:g}" if number else repr(threshold)
        raise ProbeError(f"min_reliability {said}: expected a number from 0 to 1, such as 0.4")
    return float(threshold)


def select_reliable(recording: Recording, threshold: float, *, seed: int = 0) -> Recording:
    r"""Choose the neuroids that are reliable on some repetitions, and keep their other repetitions.

    Half of the repetitions of each stimulus, drawn at random, tell how reliable a neuroid is: what
    is kept are the others, in whose noise the choice had no say. A repetition (or run) that all
    stimuli have is as a whole in one of the two parts. In the part that tells, the variance of the
    averages over repetitions is split into signal σ²_S and noise σ²_N, as by
    `variance_components`, over the stimuli with two repetitions or more in it. The reliability
    is that of averages over all repetitions k_i of the whole recording,
    ρ = σ²_S / (σ²_S + σ²_N · mean(1/k_i)) (the Spearman–Brown formula), so that the threshold means
    the same as in the table of `probe.reliability`. The averages that are kept, over fewer
    repetitions, are less reliable.

    A stimulus with fewer than three repetitions tells nothing, and keeps them all. Of recordings
    that hold averages only, the reliability that was published counts: it is of the same responses.

    Parameters
    ----------
    recording : Recording
        Responses. With three or more repetitions of five or more stimuli, or the coordinate
        `PUBLISHED` of neuroids. Of several times, the mean over all tells.
    threshold : float
        The least reliability of a neuroid that is kept, in [0, 1].
    seed : int
        Of the division of the repetitions.

    Returns
    -------
    Recording
        Its attribute ``selection`` says how the neuroids were chosen, in plain values:
        ``threshold``, ``n_kept``, ``n``, ``seed``, ``by`` and ``said``.

    Raises
    ------
    ProbeError
        If the threshold is no number from 0 to 1, there are too few repetitions, only RDMs were
        published, or no neuroid is reliable enough.

    References
    ----------
    Kriegeskorte et al. 2009, Nat Neurosci 12:535 (circular analysis).
    """
    threshold = check_threshold(threshold)
    selection = recording.data.attrs.get("selection", {})
    if (selection.get("by"), selection.get("threshold")) == ("published", threshold):
        return recording  # as its loader chose, which left the others unread
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only: there are no neuroids to choose "
            "(leave out --min-reliability)"
        )
    published = published_reliability(recording)
    responses = recording.data["responses"].values
    if published is not None and np.isfinite(responses).sum(axis=1).max() == 1:
        reliability, scored, by = published, responses, "published"
    else:
        telling = _telling(responses, seed)
        _check_telling(recording, telling)
        scored = np.where(telling, np.nan, responses)
        reliability, by = _reliability_of_part(responses, telling), "other repetitions"
    chosen = np.flatnonzero(reliability >= threshold)  # NaN, of which nothing is known, is not
    n = len(reliability)
    if not chosen.size:
        highest = np.nanmax(reliability, initial=-np.inf)
        of_highest = f"the highest is {highest:.3f}" if np.isfinite(highest) else "none is known"
        raise ProbeError(
            f"recording {recording.name!r}: no neuroid of {n} has a reliability ≥ {threshold:g}, "
            f"{of_highest}: lower min_reliability (--min-reliability)"
        )
    how = (
        "as published, of the same responses"
        if by == "published"
        else "chosen on other repetitions"
    )
    selection = {
        "threshold": threshold,
        "n_kept": len(chosen),
        "n": n,
        "seed": None if by == "published" else int(seed),
        "by": by,
        "said": f"neuroids with reliability ≥ {threshold:g}: {len(chosen)} of {n}, {how}",
    }
    data = recording.data.assign(responses=recording.data["responses"].copy(data=scored))
    data = data.isel(neuroid=chosen)
    present = np.isfinite(data["responses"].values).any(
        axis=tuple(k for k, dim in enumerate(data["responses"].dims) if dim != "repetition")
    )
    data = data.isel(repetition=np.flatnonzero(present))
    return Recording(data.assign_attrs(selection=selection), recording.stimuli)


def _telling(responses: np.ndarray, seed: int) -> np.ndarray:
    """Draw half of the repetitions of each stimulus, two or more, where it has three or more.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n, k, …, m)
        NaN where a repetition is missing.

    Returns
    -------
    numpy.ndarray of bool, same shape
    """
    present: np.ndarray = np.isfinite(responses)
    if present.ndim == 4:  # of a presentation, all times or none
        present |= present.any(axis=2, keepdims=True)
    counts = present.sum(axis=1, keepdims=True)
    n_telling = np.where(counts < 3, 0, np.maximum(counts // 2, 2))
    # One order for all stimuli: what was shown in one run stays together.
    order = np.random.default_rng(seed).permutation(present.shape[1])
    rank = np.empty(present.shape, dtype=np.int64)
    rank[:, order] = present[:, order].cumsum(axis=1)
    return np.asarray(present & (rank <= n_telling))


def _check_telling(recording: Recording, telling: np.ndarray) -> None:
    """Check that enough stimuli tell how reliable neuroids are.

    Raises
    ------
    ProbeError
    """
    repeated = (telling.sum(axis=1) > 1).reshape(len(telling), -1).any(axis=1)
    if (n := int(repeated.sum())) < MIN_STIMULI:
        low, high = recording.n_repetitions or (0, 0)
        n_repeats = f"{low} to {high}" if low < high else str(low)
        contents = "means over repetitions" if recording.data.attrs.get("averaged") else "responses"
        raise ProbeError(
            f"recording {recording.name!r} holds {contents}, {n_repeats} of each stimulus, and no "
            f"published reliability: to choose neuroids on some repetitions and score others takes "
            f"3 or more of {MIN_STIMULI} or more stimuli ({n} have them); leave out "
            "min_reliability (--min-reliability)"
        )


def _reliability_of_part(responses: np.ndarray, telling: np.ndarray) -> np.ndarray:
    """Estimate the reliability of averages over all repetitions from some of them, (m,)."""
    if responses.ndim == 4:
        # Some times of a presentation may be missing.
        telling = np.asarray(telling.any(axis=2))
        is_present = np.isfinite(responses)
        n_times = np.maximum(is_present.sum(axis=2), 1)
        means = np.where(is_present, responses, 0.0).sum(axis=2) / n_times
        responses = np.where(is_present.any(axis=2), means, np.nan)
    counts = np.isfinite(responses).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(telling, responses, np.nan)
        noise = Noise.of_repetitions(part)
        tells = np.isfinite(noise.variance)
        n = tells.sum(axis=0)
        means = np.where(telling, responses, 0.0).sum(axis=1) * noise.shares

        def over_stimuli(values: np.ndarray) -> np.ndarray:
            return np.asarray(np.where(tells, values, 0.0).sum(axis=0) / n)

        centred = means - over_stimuli(means)
        total = over_stimuli(centred**2) * n / (n - 1)
        noise_variance = over_stimuli(noise.variance)
        signal = total - noise_variance * over_stimuli(noise.shares)
        varies = (n >= MIN_STIMULI) & (total > 1e-12 * over_stimuli(means**2))
        noise_of_means = noise_variance * (1.0 / counts).mean(axis=0)
        # With noise alone, signal + noise may lie near zero, or below.
        return np.where(
            varies & (signal > -noise_of_means), signal / (signal + noise_of_means), np.nan
        )


def split_half(
    recording: Recording,
    metric: str = "correlation",
    comparator: str = "spearman",
    n_splits: int = 20,
    seed: int = 0,
) -> SplitHalf:
    """Measure how well the RDMs of two halves of the repetitions agree.

    Parameters
    ----------
    recording : Recording
        Responses of one subject in one region, each stimulus shown at least twice.
    metric : {'correlation', 'euclidean', 'cosine', 'mahalanobis', 'crossnobis', 'poisson'}
        See `Recording.rdms`. For 'mahalanobis' and 'crossnobis' the noise is estimated in each half
        from its own repetitions: 'crossnobis' needs four of each stimulus.
    comparator : {'spearman', 'rho-a', 'pearson', 'cosine'}
        See `probe.similarity.compare`.
    n_splits : int
        Random splits to average. With 20, the mean of a recording of the size of cowley2023 has a
        Monte-Carlo standard error below .002.
    seed : int
        Of the splits.

    Returns
    -------
    SplitHalf

    Raises
    ------
    ProbeError
        If there are several subjects or regions, RDMs only, or a stimulus without repetition.

    Notes
    -----
    Repetitions that were shown together stay together where all neuroids have the same ones, so
    that correlated noise stays within a half. Of an odd number, either half gets the one more.
    """
    if len(recording.subjects) > 1 or len(recording.regions) > 1:
        raise ProbeError(
            f"recording {recording.name!r} holds {len(recording.subjects)} subjects in "
            f"{len(recording.regions)} region(s): select one of each for a split-half reliability"
        )
    whose = f"{recording.subjects[0]} (half of the repetitions)"
    similarities = []
    noisy = metric in ("mahalanobis", "crossnobis")
    rdm_of = recording.rdm_of_repetitions if noisy else recording.rdm_of
    for halves in (half_repetitions if noisy else _halves)(recording, n_splits, seed):
        a, b = (rdm_of(half, metric, whose) for half in halves)
        similarities.append(compare(a, b, comparator))
    splits = np.array(similarities, dtype=np.float64)
    r = float(splits.mean())
    return SplitHalf(r, float(_spearman_brown(r)), splits)


def neuroid_reliability(recording: Recording, n_splits: int = 20, seed: int = 0) -> pd.DataFrame:
    """Measure how well each neuroid's responses to the stimuli repeat.

    Parameters
    ----------
    recording : Recording
        Responses, each stimulus shown at least twice.
    n_splits : int
        Random splits to average.
    seed : int
        Of the splits.

    Returns
    -------
    pandas.DataFrame
        One row per neuroid: ``neuroid_id``, ``subject``, ``region``, ``r`` (Pearson over stimuli
        between the mean responses of the two halves, mean over splits) and ``spearman_brown``;
        NaN for a neuroid that responds alike to all stimuli in a half.

    Raises
    ------
    ProbeError
        If there are RDMs only, or a stimulus without repetition.

    See Also
    --------
    select_reliable : A recording of the reliable neuroids alone.
    variance_components : Signal and noise of each neuroid.
    probe.reliability : All of these for a recording, as a result that shows and saves itself.

    Examples
    --------
    >>> from probe import recordings
    >>> table = recordings.neuroid_reliability(recordings.load("sim-v4"), n_splits=2)
    >>> len(table)
    120
    """
    per_split = []
    for a, b in _halves(recording, n_splits, seed):
        a = a - a.mean(axis=0)
        b = b - b.mean(axis=0)
        scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        r = np.full(scale.shape, np.nan)
        np.divide((a * b).sum(axis=0), scale, out=r, where=scale > 1e-12 * len(a))
        per_split.append(np.clip(r, -1.0, 1.0))
    r = np.mean(per_split, axis=0)
    return pd.DataFrame(
        {
            "neuroid_id": recording.data["neuroid_id"].values.astype(str),
            "subject": recording.data["subject"].values.astype(str),
            "region": recording.data["region"].values.astype(str),
            "r": r,
            "spearman_brown": _spearman_brown(r),
        }
    )


def _spearman_brown(r: np.ndarray | float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.divide(2.0 * np.asarray(r), 1.0 + np.asarray(r))


def _halves(
    recording: Recording, n_splits: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the mean responses (stimulus, neuroid) of two random halves, ``n_splits`` times."""
    for halves in half_repetitions(recording, n_splits, seed):
        a, b = (np.nanmean(half, axis=1) for half in halves)
        yield a, b


def half_repetitions(
    recording: Recording, n_splits: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the responses of two random halves, NaN what is in the other, ``n_splits`` times."""
    if not recording.has_responses:
        raise ProbeError(f"recording {recording.name!r} holds RDMs only: no repetitions to split")
    if n_splits < 1:
        raise ProbeError(f"n_splits {n_splits}: expected 1 or more")
    recording.refuse_time()
    responses = recording.data["responses"].values
    present = ~np.isnan(responses)
    counts = present.sum(axis=1)
    if (counts < 2).any():
        stimulus = recording.stimuli.ids[np.argwhere(counts < 2)[0, 0]]
        averaged = (
            ", it holds means over repetitions" if recording.data.attrs.get("averaged") else ""
        )
        raise ProbeError(
            f"recording {recording.name!r} has one repetition of stimulus {stimulus!r}"
            f"{averaged}: a split-half reliability needs two or more of each "
            f"({(counts < 2).any(axis=1).sum()} of {len(counts)} stimuli have fewer)"
        )
    if (present == present[:, :, :1]).all():  # split whole presentations, for all neuroids at once
        present, counts = present[:, :, :1], counts[:, :1]
    rng = np.random.default_rng(seed)
    for _ in range(n_splits):
        # One random number per presentation, shared by the neuroids: the lowest go to one half.
        lots = rng.random(present.shape[:2])[:, :, None]
        extra = rng.integers(0, 2, size=len(counts))[:, None]
        rank = np.where(present, lots, np.inf).argsort(axis=1).argsort(axis=1)
        n_first = (counts + extra) // 2  # of an odd number, `extra` decides who gets one more
        first = rank < n_first[:, None, :]
        yield np.where(first, responses, np.nan), np.where(first, np.nan, responses)
