"""How well a recording agrees with itself.

The repetitions of each stimulus are divided at random into two halves, which are averaged and
compared. The Spearman–Brown formula 2r / (1 + r) then says how the whole recording, twice as long
as a half, would agree with another one like it (Spearman 1910; Brown 1910).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probe.errors import ProbeError
from probe.recordings.recording import Recording
from probe.similarity import compare


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
        several = counts > 1
        variance = np.where(several, squares / np.where(several, counts - 1, 1), np.nan)
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
        correlation that a prediction can reach; ``reliability_single`` = σ²_S / (σ²_S + σ²_N). NaN
        where no stimulus was repeated, or the responses are constant. By chance, they may be below
        zero.

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
    known = np.isfinite(noise.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise_variance = np.where(known, noise.variance, 0.0).sum(axis=0) / known.sum(axis=0)
        total = means.values.var(axis=0, ddof=1)
        signal = total - noise_variance * noise.shares.mean(axis=0)
        varies = total > 1e-12 * (means.values**2).mean(axis=0)
        reliability = np.where(varies, signal / total, np.nan)
        single = np.where(varies, signal / (signal + noise_variance), np.nan)
    return pd.DataFrame(
        {name: means[name].values for name in ("neuroid_id", "subject", "region")}
        | {
            "noise_variance": noise_variance,
            "signal_variance": signal,
            "total_variance": total,
            "reliability": reliability,
            "reliability_single": single,
        }
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
    for halves in (_half_repetitions if noisy else _halves)(recording, n_splits, seed):
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
    for halves in _half_repetitions(recording, n_splits, seed):
        a, b = (np.nanmean(half, axis=1) for half in halves)
        yield a, b


def _half_repetitions(
    recording: Recording, n_splits: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the responses of two random halves, NaN what is in the other, ``n_splits`` times."""
    if not recording.has_responses:
        raise ProbeError(f"recording {recording.name!r} holds RDMs only: no repetitions to split")
    if n_splits < 1:
        raise ProbeError(f"n_splits is {n_splits}; wanted 1 or more")
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
