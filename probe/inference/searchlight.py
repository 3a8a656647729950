"""Models compared with the RDMs of all neighbourhoods, and what chance makes of that anywhere.

Where the stimuli's labels are permuted, no model has anything in common with any neighbourhood. One
permutation is one map: neighbourhoods that overlap, or whose noise is shared, stay as alike as they
are. The largest score anywhere in each such map is what a score has to exceed, so that the chance
of any false positive in the map is controlled (Nichols & Holmes 2002, Hum Brain Mapp 15:1).
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from probe.inference.clusters import max_statistic_p
from probe.inference.resampling import Track, in_blocks
from probe.similarity import Comparator, get_comparator
from probe.similarity.comparators import PreparedRDMs
from probe.similarity.ranks import ROUNDING

NULL_BYTES = 2**29
"""Models with permuted labels that are compared with all neighbourhoods at a time."""

BLOCKS = 8
"""Blocks that are compared with models with permuted labels at a time: one large product."""

SINGLE = 1e-6
"""Scores with permuted labels are computed in single precision, and count as equal within this."""


class NeighbourhoodRDMs(Protocol):
    """RDMs of neighbourhoods, computed when they are wanted; as `SearchlightRDMs`."""

    @property
    def block(self) -> int:
        """Neighbourhoods that are best worked on together."""

    def __len__(self) -> int:
        """How many neighbourhoods there are."""

    def compute(self, part: slice) -> np.ndarray:
        """Compute the RDMs (n, n_pairs) of some; a row of NaN where there is none."""


@dataclass(frozen=True, eq=False)
class SearchlightScores:
    """What `searchlight_scores` returns: of M models and C centres.

    Attributes
    ----------
    scores : numpy.ndarray, shape (M, C)
        NaN where the neighbourhood has no RDM, or a constant one.
    null : numpy.ndarray, shape (n_permutations, M)
        Each model's largest score anywhere, with the stimuli's labels permuted.
    """

    scores: np.ndarray
    null: np.ndarray

    @property
    def p_values(self) -> np.ndarray:
        """One-sided, of each model at each centre, corrected over centres; shape (M, C)."""
        return np.stack([self._p(s, n) for s, n in zip(self.scores, self.null.T, strict=True)])

    @property
    def p_of_best(self) -> np.ndarray:
        """Of the best model at each centre, corrected over centres and models; shape (C,).

        A model that is chosen as the best of several is compared with the best of several.
        """
        return self._p(_max(self.scores), _max(self.null.T))

    def _p(self, scores: np.ndarray, null: np.ndarray) -> np.ndarray:
        if not len(null):
            return np.full(scores.shape, np.nan)
        return max_statistic_p(scores, null + SINGLE)


def searchlight_scores(
    rdms: NeighbourhoodRDMs,
    models: np.ndarray,
    comparator: str | Comparator = "spearman",
    *,
    n_permutations: int = 0,
    seed: int = 0,
    track: Track | None = None,
) -> SearchlightScores:
    """Compare models with the RDM of every neighbourhood.

    Parameters
    ----------
    rdms : NeighbourhoodRDMs
        Computed in blocks, and never held.
    models : numpy.ndarray, shape (M, n_pairs)
        Finite, and not constant.
    comparator : str or Comparator
        Where it is an inner product of transformed RDMs (all but Kendall's tau, Bures similarity,
        and whitening by errors that are correlated), a block is compared by one matrix product.
    n_permutations : int
        Permutations of the stimuli's labels, the same for all centres and models.
    seed : int
        Of the permutations.
    track : callable, optional
        Wraps an iterable, given with its ``total`` and ``desc``, in a progress bar.

    Returns
    -------
    SearchlightScores

    Raises
    ------
    ValueError
        If a model's RDM is constant or not finite, or the comparator is unknown.
    """
    chosen = get_comparator(comparator)
    if n_permutations < 0:
        raise ValueError(f"n_permutations {n_permutations}: expected a number ≥ 0")
    original = chosen.prepare(np.atleast_2d(models), name="model")
    n_models, n_pairs = original.rdms.shape
    n_centres = len(rdms)
    model_vectors = chosen.vectors(original)
    scores = np.full((n_models, n_centres), np.nan)
    null = np.full((n_permutations, n_models), -np.inf)
    lock = threading.Lock()
    together = rdms.block * (BLOCKS if n_permutations else 1)
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(original.pairs.n) for _ in range(n_permutations)])
    passes = max(1, -(-n_permutations * n_models * n_pairs * 4 // NULL_BYTES))
    for k, chunk in enumerate(np.array_split(np.arange(n_permutations), passes)):
        permuted, permuted_vectors = _permuted(chosen, original, orders[chunk])

        def one(
            part: slice,
            first: bool = k == 0,
            chunk: np.ndarray = chunk,
            permuted: PreparedRDMs | None = permuted,
            permuted_vectors: np.ndarray | None = permuted_vectors,
        ) -> None:
            by_chance: list[np.ndarray] = []
            single: list[np.ndarray] = []
            for start in range(part.start, part.stop, rdms.block):
                of_centres = rdms.compute(slice(start, min(start + rdms.block, part.stop)))
                defined = np.flatnonzero(~_is_undefined(of_centres))
                if not len(defined):
                    continue
                block = PreparedRDMs(of_centres[defined], original.pairs)
                vectors = chosen.vectors(block)
                if first:
                    scores[:, start + defined] = _compare(
                        chosen, original, model_vectors, block, vectors
                    )
                if permuted is not None:
                    by_chance.append(chosen.similarity(permuted, block))
                elif permuted_vectors is not None and vectors is not None:
                    single.append(vectors.astype(np.float32))
            if single:
                by_chance.append(permuted_vectors @ np.concatenate(single).T)
            for some in by_chance:
                largest = _max(some.T).reshape(len(chunk), n_models)
                with lock:
                    null[chunk] = np.fmax(null[chunk], largest)

        watched = track
        if track is not None and passes > 1:
            watched = functools.partial(track, desc=f"searchlight, pass {k + 1} of {passes}")
        in_blocks(one, n_centres, together, watched)
    return SearchlightScores(scores, null)


def _permuted(
    comparator: Comparator, models: PreparedRDMs, orders: np.ndarray
) -> tuple[PreparedRDMs | None, np.ndarray | None]:
    """Models whose conditions are permuted: all by the first order, then all by the second, ….

    As vectors (n_orders · M, d) in single precision, where the comparator has them, else as RDMs.
    """
    if not len(orders):
        return None, None
    rdms = [models.rdms[:, models.pairs.permuted(order)] for order in orders[:1]]
    first = comparator.vectors(PreparedRDMs(rdms[0], models.pairs))
    if first is None:
        rdms += [models.rdms[:, models.pairs.permuted(order)] for order in orders[1:]]
        return PreparedRDMs(np.concatenate(rdms), models.pairs), None
    vectors = np.empty((len(orders), *first.shape), dtype=np.float32)
    vectors[0] = first
    for k, order in enumerate(orders[1:], start=1):
        permuted = PreparedRDMs(models.rdms[:, models.pairs.permuted(order)], models.pairs)
        vectors[k] = comparator.vectors(permuted)
    return None, vectors.reshape(-1, first.shape[1])


def _compare(
    comparator: Comparator,
    models: PreparedRDMs,
    model_vectors: np.ndarray | None,
    block: PreparedRDMs,
    vectors: np.ndarray | None,
) -> np.ndarray:
    """Scores (n_models, n_centres) of a block of centres."""
    if model_vectors is None or vectors is None:
        return comparator.similarity(models, block)
    scores: np.ndarray = np.clip(model_vectors @ vectors.T, -1.0, 1.0)
    return scores


def _is_undefined(rdms: np.ndarray) -> np.ndarray:
    """Return which rows have a NaN, or are constant."""
    low, high = rdms.min(axis=1), rdms.max(axis=1)
    return ~(high - low > ROUNDING * np.maximum(np.abs(low), np.abs(high)))


def _max(values: np.ndarray) -> np.ndarray:
    """Largest value over the first axis … of those that are known; NaN if none is."""
    return np.fmax.reduce(values, axis=0)
