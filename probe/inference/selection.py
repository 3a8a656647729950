"""The best model without circularity: chosen on one half of the stimuli, scored on the other.

A model that was chosen because it scored best, and is then reported with that score, is reported
too high: the choice has used the noise of the data. Here the two halves share no stimulus, and so
no pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.inference.evaluate import MIN_STIMULI, prepare
from probe.inference.resampling import Track, Units, resampled_scores
from probe.similarity import Comparator, get_comparator


@dataclass(frozen=True)
class Selection:
    """What `select_on_halves` found, over K splits of the stimuli.

    Attributes
    ----------
    chosen : numpy.ndarray, shape (K,), int
        Index of the model that scored best on the first half.
    scores : numpy.ndarray, shape (K,)
        Score of that model on the second half; NaN where that half leaves its RDM constant.
    """

    chosen: np.ndarray
    scores: np.ndarray

    @property
    def best(self) -> int:
        """Index of the model that was chosen most often (the first of equals)."""
        return int(np.bincount(self.chosen).argmax())

    @property
    def mean(self) -> float:
        """Mean score on the half that had no part in the choice, where there is one."""
        return float(np.nanmean(self.scores))

    def shares(self, n_models: int) -> np.ndarray:
        """Share of the splits in which each model was chosen, shape (n_models,)."""
        return np.bincount(self.chosen, minlength=n_models) / len(self.chosen)


def select_on_halves(
    models: np.ndarray,
    data: np.ndarray,
    comparator: str | Comparator = "spearman",
    *,
    groups: Sequence[Any] | None = None,
    n_splits: int = 100,
    seed: int = 0,
    track: Track | None = None,
) -> Selection:
    """Choose the best model on one half of the stimuli and score it on the other, many times.

    Parameters
    ----------
    models : numpy.ndarray, shape (M, n_pairs)
        Model RDMs.
    data : numpy.ndarray, shape (S, n_pairs)
        One RDM per subject; scores are means over subjects.
    comparator : str or Comparator
    groups : sequence, shape (n_stimuli,), optional
        A label per stimulus: stimuli that share one are in the same half.
    n_splits : int
        Number of random splits, an even number: every split is used both ways round.
    seed : int
        Of the splits; the global random state is not touched.
    track : callable, optional
        Wraps the iterable over halves in a progress bar.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If a half would have fewer than 5 stimuli or groups, or an RDM is constant (or all are, on
        a half), infinite or all NaN.

    See Also
    --------
    evaluate : Scores of all models on all stimuli.
    """
    chosen = get_comparator(comparator)
    a, b = prepare(chosen, models, data)
    units = Units.of(b.pairs, groups)
    if units.n // 2 < MIN_STIMULI:
        raise ValueError(
            f"{units.n} {units.name} are too few to split; at least {2 * MIN_STIMULI} are needed"
        )
    if n_splits < 2 or n_splits % 2:
        raise ValueError(f"n_splits={n_splits}: expected an even number, at least 2")
    rng = np.random.default_rng(seed)
    halves = np.zeros((n_splits, units.n), dtype=int)
    for k in range(0, n_splits, 2):
        halves[k, rng.permutation(units.n)[: units.n // 2]] = 1
        halves[k + 1] = 1 - halves[k]
    scores = resampled_scores(a, b, chosen, units.counts(halves), (), track)[0].mean(axis=2)
    if np.isnan(scores).all(axis=1).any():
        raise ValueError("all models, or the data, are constant on a half of the stimuli")
    # Row k chooses, its other half (k + 1 or k − 1) reports.
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
    other = np.arange(n_splits) ^ 1
    return Selection(best, scores[other, best])
