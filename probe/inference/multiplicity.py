"""Corrections for testing several models at once (Benjamini–Hochberg is SciPy's)."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values so that the chance of any false positive is controlled.

    Parameters
    ----------
    p : array-like, shape (n_tests,)
        In [0, 1].

    Returns
    -------
    numpy.ndarray, shape (n_tests,)
        Adjusted, at most 1, in the order given.

    References
    ----------
    Holm 1979, Scand J Stat 6:65.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
