"""Responses in time bins or samples, put together as a user asks: one window, or steps of it."""

from __future__ import annotations

import numpy as np

from probe.errors import ProbeError
from probe.recordings.importing.options import Options, Span
from probe.recordings.times import (
    all_counts,
    are_instants,
    check_even,
    gather,
    members,
    steps_of,
)

MS_DECIMALS = 6
"""Decimals of a millisecond to which times are kept: 0.07 s is 70 ms."""


def in_ms(times: np.ndarray, unit: str) -> np.ndarray:
    """Return times in ms, to a nanosecond."""
    return np.round(np.asarray(times, dtype=np.float64) * (1000.0 if unit == "s" else 1.0), 6)


def windows_of(options: Options, where: str) -> np.ndarray | None:
    """Return the windows that ``--window`` and ``--step`` name, in ms, shape (n, 2).

    None without a window. Without a step there is one.

    Raises
    ------
    ProbeError
        If the steps do not fill the window.
    """
    if options.window is None:
        return None
    window = options.window.within("ms")
    if options.step is None:
        return np.round([window], MS_DECIMALS)
    try:
        return np.round(steps_of(*window, options.step), MS_DECIMALS)
    except ValueError as error:
        raise ProbeError(f"{where}: --step: {error}") from None


def put_together(
    values: np.ndarray, times: np.ndarray, options: Options, where: str
) -> tuple[np.ndarray, np.ndarray | None, bool, str, str]:
    """Put time bins or samples together.

    Parameters
    ----------
    values : numpy.ndarray, shape (…, n_times, n_neuroids)
    times : numpy.ndarray, shape (n_times, 2)
        In ms, in the order of the values.
    options : Options
        Its window and step.
    where : str
        What errors call the array.

    Returns
    -------
    values : numpy.ndarray, shape (…, n_neuroids), or (…, n_windows, n_neuroids) with a step
    times : numpy.ndarray, shape (n_windows, 2), or None without a time axis
    counts : bool
        Whether they are sums of counts.
    unit, note : str

    Raises
    ------
    ProbeError
        If no window was named, or no bins make up one of them.
    """
    windows = windows_of(options, where)
    instants = are_instants(times)
    what = "samples" if instants else "time bins"
    if windows is None and options.step is not None:
        try:
            windows = steps_of(times[:, 0].min(), times[:, 1].max(), options.step)
        except ValueError as error:
            raise ProbeError(f"{where}: --step: {error} (--window)") from None
    if windows is None:
        raise ProbeError(
            f"{where} has {len(times)} {what}: name the window to take, as in --window 50,250ms, "
            "or keep them in steps, as in --step 10ms"
        )
    try:
        check_even(times, np.asarray(windows))
        used = np.concatenate([members(times, *window) for window in windows])
        counts = not instants and all_counts(values[..., used, :])
        gathered = [gather(values, times, *window, counts=counts) for window in windows]
    except ValueError as error:
        raise ProbeError(f"{where}: {error}") from None
    how = "summed" if counts else "averaged"
    reason = "" if instants else f" ({'all' if counts else 'not all'} values are whole numbers ≥ 0)"
    word = "sum" if counts else "mean"
    if options.step is None:
        span: Span | str = options.window or ""
        return (
            gathered[0],
            None,
            counts,
            f"{word} over {span} after onset",
            f"{len(used)} {what} from {span} were {how}{reason}",
        )
    return (
        np.stack(gathered, axis=-2),
        windows,
        counts,
        f"{word} over {options.step:g} ms",
        f"{len(used)} {what} were {how} in steps of {options.step:g} ms{reason}",
    )
