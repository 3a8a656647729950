"""Held-out predictions scored: of layers, of those that sites chose, of permuted responses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probe.encoding.banded_fit import BandedFit
from probe.encoding.layer_fit import LayerFit
from probe.encoding.ridge import Split
from probe.encoding.scoring import Scored, ScoredBands, score, score_bands
from probe.recordings import Noise


def best_layer(errors: Sequence[np.ndarray]) -> np.ndarray:
    """Choose the layer of each site by the least leave-one-out error; the first, where none has."""
    stacked = np.where(np.isfinite(errors), errors, np.inf)
    return np.asarray(stacked.argmin(axis=0))


@dataclass(frozen=True, eq=False)
class Judge:
    """What held-out predictions are scored against; ``n_units`` is as of `score`."""

    responses: np.ndarray
    noise: Noise
    splits: Sequence[Split]
    counts: np.ndarray | None
    partition: bool
    n_units: int

    def score(self, predictions: Sequence[np.ndarray]) -> Scored:
        """Score predictions of each split, (n_test, m)."""
        return score(
            self.responses, predictions, self.splits, self.noise, self.counts,
            partition=self.partition, n_units=self.n_units,
        )  # fmt: skip

    def score_bands(self, together: BandedFit) -> ScoredBands:
        """Divide R² of all layers together among them."""
        n_sites = self.responses.shape[1]
        return score_bands(
            self.responses, [p[:, :n_sites] for p in together.predictions],
            [parts[:, :, :n_sites] for parts in together.by_band], self.splits, self.counts,
            partition=self.partition,
        )  # fmt: skip

    def shuffled(self, layer_fit: LayerFit, shuffled: np.ndarray) -> float:
        """Return the median r of permuted responses, (n, k), the last sites of a fit."""
        n = shuffled.shape[1]
        if not n:
            return math.nan
        return self._shuffled_r([p[:, -n:] for p in layer_fit.predictions], shuffled)

    def shuffled_choice(
        self, fits: Sequence[LayerFit], shuffled: np.ndarray, n_sites: int
    ) -> float:
        """Return the median r of permuted responses, each from the layer that it chose."""
        n = shuffled.shape[1]
        if not n:
            return math.nan
        predictions = []
        for s in range(len(self.splits)):
            best = best_layer([f.error_in_split[s, n_sites:] for f in fits])
            stacked = np.stack([f.predictions[s][:, n_sites:] for f in fits])
            predictions.append(stacked[best, :, np.arange(n)].T)
        return self._shuffled_r(predictions, shuffled)

    def _shuffled_r(self, predictions: Sequence[np.ndarray], shuffled: np.ndarray) -> float:
        scored = score(shuffled, predictions, self.splits, None, None, partition=self.partition)
        return float(scored.median["r"])
