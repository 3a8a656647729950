"""A window made of time bins."""

from __future__ import annotations

import numpy as np

from probe.errors import ProbeError
from probe.recordings.importing.options import Span


def covering(
    starts: np.ndarray, ends: np.ndarray, window: Span, unit: str, where: str
) -> np.ndarray:
    """Return the bins that together are the window.

    Parameters
    ----------
    starts, ends : numpy.ndarray, shape (n_bins,)
        Beginnings and ends.
    window : Span
    unit : str
        Of the bins.
    where : str
        What errors call the array.

    Returns
    -------
    numpy.ndarray of int
        Positions of the bins, ascending in time.

    Raises
    ------
    ProbeError
        If no bins make up the window exactly.
    """
    first, last = window.within(unit)
    slack = 1e-6 * float(np.min(ends - starts))
    kept = np.flatnonzero((starts >= first - slack) & (ends <= last + slack))
    kept = kept[np.argsort(starts[kept])]
    reaches = (
        kept.size
        and abs(starts[kept[0]] - first) <= slack
        and abs(ends[kept[-1]] - last) <= slack
        and np.all(np.abs(starts[kept[1:]] - ends[kept[:-1]]) <= slack)
    )
    if not reaches:
        overlap = " and overlap" if np.any(np.sort(starts)[1:] < np.sort(ends)[:-1] - slack) else ""
        raise ProbeError(
            f"{where}: no time bins make up the window {window} exactly; they lie from "
            f"{starts.min():g} to {ends.max():g} {unit}, each {ends[0] - starts[0]:g} {unit} "
            f"long{overlap}: choose a window that begins and ends where bins do"
        )
    return kept
