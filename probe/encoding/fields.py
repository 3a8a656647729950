r"""Where in the picture a site looks: a Gaussian pooling field over a layer's map.

A site's responses are predicted from the channels of a layer, averaged with the weights

    g(y, x) ∝ exp(−((y − y₀)² + (x − x₀)²) / 2σ²),   Σ g = 1,

and not from every unit by itself: a few numbers per site in place of tens of thousands, as a
recorded site has one receptive field (St-Yves & Naselaris 2018, NeuroImage 180:188; Klindt et al.
2017, NeurIPS). Which field it is, is chosen with the penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.activations.pooling import FLAT, Field, weights
from probe.encoding.ridge import Decomposition

READ_BYTES = 2**27
"""Activations that are read at a time, in bytes."""

KEPT_BYTES = 2**31
"""Decompositions of all candidates, in bytes, above which they are made anew when needed."""


def grid(n: int = 6, sds: Sequence[float] = (1 / 13, 2 / 13, 4 / 13)) -> tuple[Field, ...]:
    """Return the candidates: ``n`` × ``n`` centres for each size, and the flat field.

    On a map of 13 × 13 positions (AlexNet's conv3 to conv5) the centres are positions 1, 3, …, 11
    and the sizes 1, 2 and 4 positions: 109 candidates.
    """
    centres = [(2.0 * k + 1.5) / (2.0 * n + 1.0) for k in range(n)]
    return (*(Field(y, x, sd) for sd in sds for y in centres for x in centres), FLAT)


@dataclass(frozen=True)
class Layout:
    """How a layer's units, in the order channel, y, x, are divided.

    Attributes
    ----------
    channels : int
    height, width : int
        Positions; 1 × 1 where there are none.
    """

    channels: int
    height: int
    width: int

    @property
    def n_positions(self) -> int:
        """Number of positions."""
        return self.height * self.width

    def by_channel(self, rows: np.ndarray) -> np.ndarray:
        """Return flattened outputs (n, neuroids) as (n, channels, positions)."""
        return rows.reshape(len(rows), self.channels, self.n_positions)


def pool(activations: Any, layout: Layout, fields: Sequence[Field]) -> np.ndarray:
    """Pool the channels of a layer with each of several fields.

    Parameters
    ----------
    activations : array-like, shape (n, neuroids)
        Read some stimuli at a time: a layer of an `ActivationStore`, or an array.
    layout : Layout
    fields : sequence of Field

    Returns
    -------
    numpy.ndarray, float32, shape (n_fields, n, channels)
    """
    n, neuroids = activations.shape
    gaussians = weights(fields, layout.height, layout.width).astype(np.float32)
    pooled = np.empty((len(fields), n, layout.channels), dtype=np.float32)
    step = max(1, READ_BYTES // (4 * neuroids))
    for start in range(0, n, step):
        rows = np.asarray(activations[start : start + step, :], dtype=np.float32)
        values = layout.by_channel(rows) @ gaussians.T  # (n, channels, fields)
        pooled[:, start : start + step] = values.transpose(2, 0, 1)
    return pooled


class Decompositions(Sequence[Decomposition]):
    """The decomposition of each candidate, made when it is first asked for.

    Parameters
    ----------
    pooled : numpy.ndarray, float32, shape (n_fields, n, channels)
    """

    def __init__(self, pooled: np.ndarray) -> None:
        self._pooled = pooled
        n_fields, n, channels = pooled.shape
        self._keeps = 8 * n_fields * n * min(n, channels) <= KEPT_BYTES
        self._made: dict[int, Decomposition] = {}

    def __len__(self) -> int:
        return len(self._pooled)

    def __getitem__(self, k: Any) -> Any:
        decomposition = self._made.get(k)
        if decomposition is None:
            decomposition = Decomposition.of_patterns(self._pooled[k])
            if self._keeps:
                self._made[k] = decomposition
        return decomposition


__all__ = ["FLAT", "Decompositions", "Field", "Layout", "grid", "pool", "weights"]
