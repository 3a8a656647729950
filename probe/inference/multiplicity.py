"""Corrections for testing several models at once. What was not tested does not count."""

from __future__ import annotations

import numpy as np
from scipy import stats


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values so that the chance of any false positive is controlled.

    Parameters
    ----------
    p : array-like, shape (n_tests,)
        In [0, 1], or NaN where there was no test.

    Returns
    -------
    numpy.ndarray, shape (n_tests,)
        Adjusted, at most 1, in the order given.

    See Also
    --------
    benjamini_hochberg : Controls the share of false positives, and finds more.

    References
    ----------
    Holm 1979, Scand J Stat 6:65.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.inference import holm
    >>> holm(np.array([0.01, 0.02, 0.5]))
    array([0.03, 0.04, 0.5 ])
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN is sorted to the end
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted = np.full_like(p, np.nan)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjust p-values so that the expected share of false positives is controlled.

    Parameters
    ----------
    p : array-like, shape (n_tests,)
        In [0, 1], or NaN where there was no test.

    Returns
    -------
    numpy.ndarray, shape (n_tests,)

    See Also
    --------
    holm : Controls the chance of any false positive.

    References
    ----------
    Benjamini & Hochberg 1995, J R Stat Soc B 57:289.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.inference import benjamini_hochberg
    >>> benjamini_hochberg(np.array([0.01, 0.02, 0.5]))
    array([0.03, 0.03, 0.5 ])
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(p, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(p[tested])
    return adjusted
