"""Stimuli divided into those that are trained on and those that are held out; resamples of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from probe.encoding.ridge import Split
from probe.encoding.settings import EncodeSettings
from probe.errors import ProbeError, suggest
from probe.formats.names import in_order
from probe.recordings import Recording

MAX_PERMUTED_SITES = 200
"""Sites whose responses are fitted a second time, permuted."""


def groups_of(recording: Recording, groups: str | Sequence[Any] | None) -> np.ndarray | None:
    """Return the label of each stimulus that keeps groups together, (n,); None without groups.

    Raises
    ------
    ProbeError
        If there is no such coordinate, or labels do not fit the stimuli.
    """
    if groups is None:
        return recording.data["group"].values if "group" in recording.data.coords else None
    if isinstance(groups, str):
        coords = [c for c, v in recording.data.coords.items() if v.dims == ("stimulus",)]
        if groups not in coords:
            raise ProbeError(
                f"recording {recording.name!r} has no coordinate {groups!r} of stimuli"
                f"{suggest(groups, [str(c) for c in coords])}"
            )
        return np.asarray(recording.data[groups].values)
    try:
        labels = np.asarray(in_order(groups, recording.stimuli.ids, "groups"))
    except ValueError as error:
        raise ProbeError(str(error)) from None
    if len(labels) != recording.n_stimuli:
        raise ProbeError(
            f"groups have {len(labels)} labels: expected {recording.n_stimuli}, one per stimulus"
        )
    return labels


def n_units_of(n: int, groups: np.ndarray | None) -> int:
    """Return how many stimuli, or groups of them, are held out and resampled."""
    return n if groups is None else len(np.unique(groups))


def splitter_of(settings: EncodeSettings) -> Any:
    """Return what divides the stimuli: a number of folds, a splitter, or pairs of indices."""
    if settings.protocol is not None:
        return ShuffleSplit(10, train_size=0.9, random_state=1)
    return settings.splits


def splits_of(n: int, groups: np.ndarray | None, settings: EncodeSettings) -> list[Split]:
    """Divide n stimuli into training and test stimuli, split by split.

    Raises
    ------
    ProbeError
        If the splitter cannot divide so many stimuli or groups.
    """
    splits = splitter_of(settings)
    if isinstance(splits, (int, np.integer)):
        splits = int(splits)
        n_units = n_units_of(n, groups)
        if n_units < splits:
            raise ProbeError(
                f"splits {splits}: expected at most {n_units}, the number of "
                f"{'stimuli' if groups is None else 'groups of stimuli'}"
            )
        splits = (
            KFold(splits, shuffle=True, random_state=settings.seed)
            if groups is None
            else GroupKFold(splits, shuffle=True, random_state=settings.seed)
        )
    try:
        if hasattr(splits, "split"):
            return list(splits.split(np.zeros((n, 1)), groups=groups))
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    except (TypeError, ValueError) as error:
        raise ProbeError(
            f"splits {splits!r} cannot divide {n} stimuli ({str(error).splitlines()[0]}): expected "
            "a number of folds, a scikit-learn splitter, or pairs of training and test indices"
        ) from None
    return [(_indices(train), _indices(test)) for train, test in pairs]


def _indices(part: np.ndarray) -> np.ndarray:
    return np.flatnonzero(part) if part.dtype == bool else part


def is_partition(splits: Sequence[Split], n: int) -> bool:
    """Return whether every one of n stimuli is held out once."""
    tested = np.concatenate([test for _, test in splits])
    return len(tested) == n and len(np.unique(tested)) == n


def permuted_sites(responses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return at most `MAX_PERMUTED_SITES` sites, the stimuli of each permuted by itself."""
    n_sites = responses.shape[1]
    rows = np.linspace(0, n_sites - 1, min(n_sites, MAX_PERMUTED_SITES)).astype(int)
    return np.stack([responses[rng.permutation(len(responses)), k] for k in rows], axis=1)


def resample_counts(
    n: int, groups: np.ndarray | None, n_resamples: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Draw stimuli, or groups of them, with replacement: counts, (B, n)."""
    if not n_resamples:
        return None
    index = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = int(index.max()) + 1
    counts = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=n_resamples)
    return counts[:, index].astype(np.float64)
