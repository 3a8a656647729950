"""Scores of models on stimuli that they were not fitted to.

The stimuli are dealt out to folds, and each fold is scored with parameters that were fitted without
it; no pair of the one part shares a stimulus with a pair of the other (Schütt et al. 2023, eLife
12:e82566).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probe.inference.flexible import Fitting, Model
from probe.inference.resampling import Executor, Track, Units, by_blocks
from probe.similarity import Comparator
from probe.similarity.comparators import PreparedRDMs

MIN_UNITS = 3
"""Stimuli (or groups) in a fold: fewer have no RDM to speak of."""

BLOCK = 128
"""Resamples that are worked on together."""

BLOCK_PERMUTATIONS = 64
"""Permutations that are worked on together, at most."""

PERMUTED_PAIRS = 2**22
"""Pairs in all permutations that are worked on together, or those of one."""


def default_n_folds(n_units: float) -> int:
    """Choose a number of folds: 2 below 12 units, 3 below 24, 4 below 40, else 5.

    As Schütt et al. 2023. In a bootstrap over n stimuli, only (1 − 1/e) n of them occur.
    """
    return 2 + sum(n_units >= n for n in (12, 24, 40))


def random_folds(
    counts: np.ndarray, n_folds: int, n_repeats: int, rng: np.random.Generator
) -> np.ndarray:
    """Deal out the units of every resample to folds, as evenly as they go.

    Parameters
    ----------
    counts : numpy.ndarray, shape (B, n)
        How often each stimulus, or group of stimuli, occurs in each resample.
    n_folds : int
        At least 2.
    n_repeats : int
        How often the units of each resample are dealt out.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape (B, n_repeats, n), int
        The fold, 0 … n_folds − 1, of every unit with all its copies; −1 for one that does not
        occur, and for all in a resample with fewer than three different units per fold.

    Raises
    ------
    ValueError
        If there are fewer than three units per fold.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds {n_folds}: expected a whole number ≥ 2")
    if n_repeats < 1:
        raise ValueError(f"n_repeats {n_repeats}: expected a whole number ≥ 1")
    n_resamples, n = counts.shape
    if n < MIN_UNITS * n_folds:
        raise ValueError(
            f"n_folds={n_folds} is too many for {n} stimuli (or groups): each fold needs at least "
            f"{MIN_UNITS}"
        )
    occurs = counts > 0
    keys = rng.random((n_resamples, n_repeats, n))
    keys[~np.broadcast_to(occurs[:, None], keys.shape)] = 2.0  # behind all others
    places = keys.argsort(axis=2).argsort(axis=2)
    enough = occurs.sum(axis=1) >= MIN_UNITS * n_folds
    return np.where((occurs & enough[:, None])[:, None], places % n_folds, -1)


def crossvalidated_scores(
    models: Sequence[Model],
    components: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    units: Units,
    counts: np.ndarray,
    folds: np.ndarray,
    *,
    subjects: np.ndarray | None = None,
    other_subjects: bool = False,
    track: Track | None = None,
    executor: Executor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score models on stimuli that they were not fitted to, and bound the true model's score there.

    Models without parameters are scored on the same parts of the stimuli as all others, so that
    they compare: a score from few stimuli is another than one from many.

    Parameters
    ----------
    models : sequence of Model
        M models.
    components : PreparedRDMs
        The RDMs of all models, one model's after the other's.
    data : PreparedRDMs
        S subjects, over the same pairs.
    comparator : Comparator
    units : Units
        Stimuli, or groups of stimuli, that are in one fold.
    counts : numpy.ndarray, shape (B, n_units), int
        How often each unit occurs in each resample; a row of ones for the data as they are.
    folds : numpy.ndarray, shape (B, R, n_units), int
        From `random_folds`: R times, the fold of every unit.
    subjects : numpy.ndarray, shape (B, S), optional
        How often each subject occurs, by default once.
    other_subjects : bool
        Whether a subject is scored with a fit to the other subjects only: none of its copies takes
        part. Otherwise one fit is to all subjects.
    track : callable, optional
        Wraps the iterable over resamples in a progress bar.
    executor : Executor, optional
        Has blocks of resamples computed elsewhere.

    Returns
    -------
    scores : numpy.ndarray, shape (B, R, M, S)
        Mean over the folds that have a score. A fold has none where the model or the subject is
        constant (but rho-a and tau-a are 0 there), where it has fewer than three pairs, and where
        there was nothing to fit: components that are constant on the other folds are left out of
        a fit, and so are subjects. NaN if no fold has one.
    bounds : numpy.ndarray, shape (B, R, 2, S)
        Lower and upper noise ceiling, on the same parts, likewise. NaN with one subject.

    Raises
    ------
    ValueError
        If the arrays do not belong together, or there are no other subjects.
    """
    n_subjects = len(data.rdms)
    if subjects is None:
        subjects = np.ones((len(counts), n_subjects))
    if other_subjects and n_subjects < 2:
        raise ValueError("a fit to the other subjects needs at least two subjects")
    for name, array, shape in (
        ("counts", counts, (len(counts), units.n)),
        ("folds", folds, (len(counts), folds.shape[1], units.n)),
        ("subjects", subjects, (len(counts), n_subjects)),
    ):
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}: expected {shape}")
    fitting = Fitting(models, components, data, comparator)
    n_resamples, n_repeats, _ = folds.shape
    n_folds = int(folds.max()) + 1
    scores = np.full((n_resamples, n_repeats, len(models), n_subjects), np.nan)
    bounds = np.full((n_resamples, n_repeats, 2, n_subjects), np.nan)

    def keep(part: slice, found: tuple[np.ndarray, np.ndarray]) -> None:
        scores[part], bounds[part] = found

    if n_folds:
        by_blocks(
            _score, (fitting, units, n_folds, other_subjects), (counts, folds, subjects),
            BLOCK, keep, track, executor,
        )  # fmt: skip
    return scores, bounds


def _score(
    fitting: Fitting,
    units: Units,
    n_folds: int,
    other_subjects: bool,
    counts: np.ndarray,
    folds: np.ndarray,
    subjects: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (B, R, M, S) and bounds (B, R, 2, S) of a block of resamples."""
    n_repeats, n_subjects = folds.shape[1], len(fitting.data.rdms)
    train, test = _parts(units, counts, folds, n_folds)
    shape = len(counts), n_repeats, n_folds
    scores = np.empty((*shape, len(fitting.models), n_subjects))
    bounds = np.empty((*shape, 2, n_subjects))
    # A fold of all resamples at once: where they share folds, it is of the same stimuli in all.
    for r in range(n_repeats):
        for k in range(n_folds):
            scores[:, r, k], bounds[:, r, k] = fitting.scores(
                train[:, r, k], test[:, r, k], subjects, other_subjects
            )
    return mean_of_known(scores, axis=2), mean_of_known(bounds, axis=2)


def permuted_crossvalidated_scores(
    models: Sequence[Model],
    components: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    units: Units,
    orders: np.ndarray,
    folds: np.ndarray,
    *,
    other_subjects: bool = False,
    track: Track | None = None,
    executor: Executor | None = None,
) -> np.ndarray:
    """Fit and score models with the labels of the data's stimuli permuted.

    Parameters
    ----------
    models, components, data, comparator, units, other_subjects, track, executor
        As for `crossvalidated_scores`.
    orders : numpy.ndarray, shape (B, n_stimuli), int
        From `Units.permutations`.
    folds : numpy.ndarray, shape (B, R, n_units), int
        From `random_folds`; R as for the scores that these are compared with.

    Returns
    -------
    numpy.ndarray, shape (B, M)
        Mean over repeats and subjects.
    """
    result = np.empty((len(orders), len(models)))

    def keep(part: slice, found: np.ndarray) -> None:
        result[part] = found

    fitting = Fitting(models, components, data, comparator)
    by_blocks(
        _score_permuted, (fitting, units, int(folds.max()) + 1, other_subjects), (orders, folds),
        max(1, min(BLOCK_PERMUTATIONS, PERMUTED_PAIRS // len(data.pairs))), keep, track, executor,
    )  # fmt: skip
    return result


def _score_permuted(
    fitting: Fitting,
    units: Units,
    n_folds: int,
    other_subjects: bool,
    orders: np.ndarray,
    folds: np.ndarray,
) -> np.ndarray:
    """Mean scores (B, M) with the labels in a block of orders."""
    result = np.empty((len(orders), len(fitting.models)))
    once = np.ones((1, units.n), dtype=int)
    distinct, which = np.unique(folds, axis=0, return_inverse=True)
    for k, assignment in enumerate(distinct):
        rows = np.flatnonzero(which == k)
        train, test = (
            part.reshape(-1, part.shape[-1])
            for part in _parts(units, once, assignment[None], n_folds)
        )
        scores = fitting.permuted_scores(orders[rows], train, test, other_subjects)
        by_fold = scores.reshape(len(rows), -1, n_folds, *scores.shape[2:])
        # As the scores that these are compared with: known folds, known deals, subjects.
        result[rows] = mean_of_known(mean_of_known(by_fold, axis=2), axis=1).mean(axis=2)
    return result


def _parts(
    units: Units, counts: np.ndarray, folds: np.ndarray, n_folds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (B, R, k, n_stimuli) of the stimuli outside and inside every fold.

    ``counts``: (B, n_units), ``folds``: (B, R, n_units).
    """
    fold, number = folds[:, :, None], np.arange(n_folds)[:, None]
    train, test = (
        units.counts((counts[:, None, None] * chosen).reshape(-1, units.n)).reshape(
            *chosen.shape[:3], -1
        )
        for chosen in ((fold >= 0) & (fold != number), fold == number)
    )
    return train, test


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of values that are not NaN; NaN if all are."""
    finite = np.isfinite(values)
    n = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)
