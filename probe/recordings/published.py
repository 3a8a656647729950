"""Which neuroids are reliable enough: by what was published, or by their repetitions."""

from __future__ import annotations

import math

import numpy as np

from probe.errors import ProbeError
from probe.recordings import reliability
from probe.recordings.brainscore import PUBLISHED
from probe.recordings.recording import Recording


def check_threshold(threshold: float) -> None:
    """See that a least reliability is one.

    Raises
    ------
    ProbeError
        If it is no number from 0 to 1.
    """
    if not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        raise ProbeError(
            f"min_reliability {threshold!r}: expected a number from 0 to 1, such as 0.4"
        )


def reliable(recording: Recording, threshold: float) -> Recording:
    """Keep the neuroids of a recording that are reliable enough.

    Parameters
    ----------
    recording : Recording
    threshold : float
        The least reliability, from 0 to 1. It is estimated from the repetitions; where there are
        none, that which was published for each neuroid counts, its coordinate
        ``published_reliability``.

    Returns
    -------
    Recording

    Raises
    ------
    ProbeError
        If the threshold is no number from 0 to 1, no neuroid is reliable enough, or nothing tells
        how reliable they are.
    """
    check_threshold(threshold)
    if "selection" in recording.data.attrs:  # by the loader, before it read the responses
        return recording
    # The one place to join: `select_reliable` chooses by repetitions, and by what was published.
    select_reliable = getattr(reliability, "select_reliable", None)
    if select_reliable is not None:
        selected: Recording = select_reliable(recording, threshold)
        return selected
    low, high = recording.n_repetitions or (0, 0)
    if high > 1:
        raise ProbeError(
            f"recording {recording.name!r} holds {low} to {high} repetitions, of which "
            "probe.recordings.variance_components estimates how reliable each neuroid is: keep "
            "those that you want with select(neuroids=…)"
        )
    if recording.has_responses and PUBLISHED in recording.data.coords:
        return _by_published(recording, threshold)
    held = "RDMs only" if not recording.has_responses else "one response to each stimulus"
    raise ProbeError(
        f"recording {recording.name!r}: how reliable its neuroids are was not published, and it "
        f"holds {held}: leave out min_reliability (--min-reliability)"
    )


def _by_published(recording: Recording, threshold: float) -> Recording:
    cells = recording.data[PUBLISHED].values
    try:
        values = np.array([float(cell) if str(cell).strip() else np.nan for cell in cells])
    except ValueError:
        raise ProbeError(
            f"recording {recording.name!r}: {PUBLISHED} holds texts that are no numbers"
        ) from None
    kept = np.flatnonzero(values >= threshold)  # NaN, of which nothing is known, is not
    if kept.size == len(values):
        return recording
    if not kept.size:
        highest = np.nanmax(values) if np.isfinite(values).any() else math.nan
        raise ProbeError(
            f"recording {recording.name!r}: no neuroid has a published reliability ≥ "
            f"{threshold:g}: the highest is {highest:.3g}"
        )
    return recording.select(neuroids=kept.tolist())
