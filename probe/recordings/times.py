"""The time axis of a recording: half-open bins, or instants, in ms after stimulus onset."""

from __future__ import annotations

import numpy as np

ROUNDING_MS = 1e-6
"""By so much of a bin, or of the time between two samples, a border may be missed."""


def check_times(times: np.ndarray) -> np.ndarray:
    """Return beginnings and ends of bins, or instants twice, as they may be in a recording.

    Parameters
    ----------
    times : array-like, shape (n_times, 2)
        In ms. Bins begin before they end, and do not include their end; of instants, both are the
        same.

    Returns
    -------
    numpy.ndarray, float64, shape (n_times, 2)

    Raises
    ------
    ValueError
        If they are not finite, not ascending, or both bins and instants.
    """
    times = np.asarray(times, dtype=np.float64)
    if times.ndim != 2 or times.shape[1] != 2 or not len(times):
        raise ValueError(f"times have shape {times.shape}: expected (times ≥ 1, 2)")
    if not np.isfinite(times).all():
        raise ValueError("a time is missing or infinite")
    widths = times[:, 1] - times[:, 0]
    if (widths < 0).any():
        k = int(np.argmax(widths < 0))
        raise ValueError(
            f"the time bin from {times[k, 0]:g} to {times[k, 1]:g} ms ends before it begins"
        )
    if (widths == 0).any() and (widths > 0).any():
        raise ValueError(
            "some times are bins and some are instants: expected all to be one or the other"
        )
    if (np.diff(times, axis=0) <= 0).any():
        k = int(np.argmax((np.diff(times, axis=0) <= 0).any(axis=1)))
        raise ValueError(
            f"times are not ascending: {times[k, 0]:g} ms is followed by {times[k + 1, 0]:g} ms"
        )
    return times


def are_instants(times: np.ndarray) -> bool:
    """Return whether times are those of samples, as in MEG and EEG, and no bins."""
    return bool(times[0, 0] == times[0, 1])


def describe_times(times: np.ndarray) -> str:
    """Return times in words: ``30 bins of 10 ms, 0 to 300 ms``."""
    n, span = len(times), f"{times[0, 0]:g} to {times[-1, 1]:g} ms"
    if are_instants(times):
        return f"{n} samples, {span}" if n > 1 else f"1 sample, at {times[0, 0]:g} ms"
    widths = times[:, 1] - times[:, 0]
    even = np.allclose(widths, widths[0], 0, ROUNDING_MS * widths[0])
    how = f" of {widths[0]:g} ms" if even else ""
    return f"{n} bin{'s' if n > 1 else ''}{how}, {span}"


def describe_time(time: np.ndarray) -> str:
    """Return one time in words: ``70-80 ms``, or ``71.6 ms`` of an instant."""
    start, end = time
    return f"{start:g} ms" if start == end else f"{start:g}-{end:g} ms"


def members(times: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return which times a window is made of.

    Parameters
    ----------
    times : numpy.ndarray, shape (n_times, 2)
        In ms, in any order: bins, which have to make up the window exactly, or instants, of which
        those with start ≤ t < end are taken.
    start, end : float
        In ms.

    Returns
    -------
    numpy.ndarray of int
        Positions, ascending in time.

    Raises
    ------
    ValueError
        If no bins make up the window, or no instant lies in it; the message says which would do.
    """
    starts, ends = times[:, 0], times[:, 1]
    if are_instants(times):
        ordered = np.sort(starts)
        gap = float(np.diff(ordered).min()) if len(ordered) > 1 else 1.0
        slack = ROUNDING_MS * gap
        positions = np.flatnonzero((starts >= start - slack) & (starts < end - slack))
        if not positions.size:
            raise ValueError(
                f"no sample lies in the window {start:g} to {end:g} ms: they lie from "
                f"{ordered[0]:g} to {ordered[-1]:g} ms, {gap:.6g} ms apart"
            )
        return positions[np.argsort(starts[positions])]
    slack = ROUNDING_MS * float(np.min(ends - starts))
    positions = np.flatnonzero((starts >= start - slack) & (ends <= end + slack))
    positions = positions[np.argsort(starts[positions])]
    reaches = (
        positions.size
        and abs(starts[positions[0]] - start) <= slack
        and abs(ends[positions[-1]] - end) <= slack
        and np.all(np.abs(starts[positions[1:]] - ends[positions[:-1]]) <= slack)
    )
    if not reaches:
        raise ValueError(
            f"no time bins make up the window {start:g} to {end:g} ms exactly: "
            f"{_remedy(starts, ends, start, end)}"
        )
    return positions


def _remedy(starts: np.ndarray, ends: np.ndarray, start: float, end: float) -> str:
    slack = ROUNDING_MS * float(np.min(ends - starts))
    if np.any(np.sort(starts)[1:] < np.sort(ends)[:-1] - slack):
        return (
            f"the bins are {ends[0] - starts[0]:g} ms long and overlap, and a window is made of "
            "bins that touch"
        )
    return (
        f"a window can begin at {_nearest(starts, start)} and end at {_nearest(ends, end)}"
        f" (bins lie from {starts.min():g} to {ends.max():g} ms)"
    )


def _nearest(borders: np.ndarray, time: float) -> str:
    """Return the border before and the one after a time, or the one that it is, in words."""
    before = borders[borders <= time + ROUNDING_MS]
    after = borders[borders >= time - ROUNDING_MS]
    both = [before.max()] if before.size else []
    both += [after.min()] if after.size else []
    return " or ".join(dict.fromkeys(f"{border:g}" for border in both))


def check_even(times: np.ndarray, windows: np.ndarray) -> None:
    """Check that steps hold about as many samples each: means over more have less noise.

    Parameters
    ----------
    times : numpy.ndarray, shape (n_times, 2)
        In ms. Of time bins, which make up steps exactly, there is nothing to see.
    windows : numpy.ndarray, shape (n_windows, 2)
        Steps of one length, in ms.

    Raises
    ------
    ValueError
        If one holds half as many samples again as another, or more; the message says which steps
        would do.
    """
    if not are_instants(times) or len(times) < 2:
        return
    n_samples = [len(members(times, *window)) for window in windows]
    if max(n_samples) >= 1.5 * min(n_samples):
        step = windows[0, 1] - windows[0, 0]
        gap = float(np.median(np.diff(np.sort(times[:, 0]))))
        fewer = max(1, int(step / gap))
        raise ValueError(
            f"steps of {step:g} ms hold {min(n_samples)} to {max(n_samples)} samples, which lie "
            f"{gap:.6g} ms apart, so that their noise differs: choose steps of {fewer * gap:.6g} "
            f"or {(fewer + 1) * gap:.6g} ms"
        )


def steps_of(start: float, end: float, step: float) -> np.ndarray:
    """Return the windows of one length that a longer one is divided into.

    Parameters
    ----------
    start, end, step : float
        In ms.

    Returns
    -------
    numpy.ndarray, float64, shape (n_steps, 2)

    Raises
    ------
    ValueError
        If the steps do not fill the window.
    """
    if not start < end:
        raise ValueError(f"window {start:g} to {end:g} ms: expected a start before the end")
    if not step > 0:
        raise ValueError(f"step {step:g} ms: expected a number > 0")
    n = round((end - start) / step)
    if n < 1 or abs(start + n * step - end) > ROUNDING_MS * step:
        fits = start + max(int((end - start) / step), 1) * step
        raise ValueError(
            f"steps of {step:g} ms do not fill {start:g} to {end:g} ms: end at {fits:g} ms, for "
            "example"
        )
    borders = start + step * np.arange(n + 1)
    borders[-1] = end
    return np.column_stack([borders[:-1], borders[1:]])


def gather(
    values: np.ndarray, times: np.ndarray, start: float, end: float, *, counts: bool
) -> np.ndarray:
    """Put the times of a window together.

    Parameters
    ----------
    values : numpy.ndarray, shape (…, n_times, n_neuroids)
    times : numpy.ndarray, shape (n_times, 2)
    start, end : float
        In ms.
    counts : bool
        Sum bins, since a count over a window is the sum of the counts in its bins; otherwise
        average, each bin for as long as it is.

    Returns
    -------
    numpy.ndarray, shape (…, n_neuroids)
        NaN where one of the times is missing.

    Raises
    ------
    ValueError
        See `members`.
    """
    if not start < end:
        raise ValueError(f"window {start:g} to {end:g} ms: expected a start before the end")
    positions = members(times, start, end)
    selected = values[..., positions, :]
    if counts:
        return np.asarray(selected.sum(axis=-2))
    widths = times[positions, 1] - times[positions, 0]
    if are_instants(times) or np.ptp(widths) <= ROUNDING_MS * widths.max():
        return np.asarray(selected.mean(axis=-2))
    return np.asarray(np.average(selected, axis=-2, weights=widths))


def all_counts(values: np.ndarray) -> bool:
    """Return whether all values that are there are whole numbers ≥ 0, as counts are."""
    present = values[np.isfinite(values)]
    return bool(np.all(present >= 0) and np.all(present == np.round(present)))
