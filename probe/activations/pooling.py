"""Gaussian pooling fields over a layer's map: what every position counts in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Field(NamedTuple):
    """A Gaussian pooling field.

    Attributes
    ----------
    y, x : float
        Its centre, as shares of the map's height and width, from 0 (top, left) to 1.
    sd : float
        Its standard deviation as a share of the map's side; infinite where all positions count
        alike.
    """

    y: float
    x: float
    sd: float


FLAT = Field(0.5, 0.5, np.inf)
"""The mean over all positions."""


def weights(fields: Sequence[Field], height: int, width: int) -> np.ndarray:
    """Return what every position of a map counts in each field.

    Parameters
    ----------
    fields : sequence of Field
    height, width : int
        Of the map, in positions.

    Returns
    -------
    numpy.ndarray, float64, shape (n_fields, height * width)
        Rows sum to 1.
    """
    y = (np.arange(height) + 0.5)[:, None]
    x = (np.arange(width) + 0.5)[None, :]
    rows = []
    for field in fields:
        if np.isinf(field.sd):
            rows.append(np.full(height * width, 1.0 / (height * width)))
            continue
        down, across = (y - field.y * height) / height, (x - field.x * width) / width
        distance = (down**2 + across**2) / (2.0 * field.sd**2)
        # Less the smallest: a field far narrower than a position is the nearest one.
        gaussian = np.exp(distance.min() - distance).ravel()
        rows.append(gaussian / gaussian.sum())
    return np.stack(rows)
