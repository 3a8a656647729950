"""Size tuning and contrast response, each unit with the grating that drives it most.

Units with the same best grating are measured together, so that no unit needs pictures of its own:
there are no more of these than gratings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from probe.stimuli.gratings import disc, gratings
from probe.tuning.gratings import GratingResponses, harmonics
from probe.tuning.measured import Measured, curve_table
from probe.tuning.units import Units, responses

N_PHASES = 4
"""Phases of a grating."""

SMALLEST = 4.0
"""Diameter of the smallest patch, in pixels."""

SUMMED = 0.95
"""The grating summation field ends where the response first reaches this share of its maximum
(Cavanaugh, Bair & Movshon 2002, J Neurophysiol 88:2530)."""

CONTRASTS = tuple(float(c) for c in 2.0 ** np.linspace(-5, 0, 9))
"""Michelson contrasts, .03 to 1."""

_SEARCHES = 50

OFF_CENTRE = 0.1
"""Share of a unit's window by which the patch may miss the window's middle."""


@dataclass(frozen=True, eq=False)
class _Group:
    """Units that are measured together: their best grating, where its patch lies, and which."""

    orientation: float
    frequency: float
    centre: tuple[float, float]
    rows: np.ndarray


def size_tuning(
    units: Units,
    shown: GratingResponses,
    responds: np.ndarray,
    *,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
) -> Measured:
    """Measure how far units sum a grating, and whether more of it suppresses them.

    Round patches of each unit's best grating, around the middle of its window, from `SMALLEST`
    pixels to the whole picture, in steps of half an octave; the curve between is interpolated
    monotonically, and not fitted: there is no noise.

    Parameters
    ----------
    units : Units
    shown : GratingResponses
        Which are the best gratings.
    responds : numpy.ndarray of bool, shape (n_units,)
        Others are left out.
    device, batch_size, progress
        As in `respond`.

    Returns
    -------
    Measured
        - ``summation_diameter``: the diameter of the grating summation field, as a share of the
          picture's width (`SUMMED`); no larger than the picture's diagonal, whatever the unit's;
        - ``suppression_index``: 1 − response to the whole picture / largest response: 0 without a
          suppressive surround, 1 if it silences the unit (Cavanaugh et al. 2002).
    """
    height, width = units.size
    n = int(np.floor(2 * np.log2(width / SMALLEST))) + 1
    diagonal = np.hypot(height, width) / width
    diameters = np.append(2.0 ** (-np.arange(n)[::-1] / 2), diagonal)

    def pictures(group: _Group) -> np.ndarray:
        waves = _waves(group, units.size)
        windows = [disc(d * width, units.size, group.centre) for d in diameters[:-1]]
        windows.append(np.ones(units.size, np.float32))
        return waves * np.array(windows)[:, None]

    groups = _groups(units, shown, responds, centred=True)
    curves = _measure(units, shown, groups, pictures, len(diameters), device, batch_size, progress)
    octaves = np.log2(diameters)
    fine = np.linspace(octaves[0], octaves[-1], 16 * len(octaves))
    table = pd.DataFrame(
        np.nan, range(len(units)), ["summation_diameter", "suppression_index"], dtype=float
    )
    active = np.flatnonzero(curves.max(1, initial=0) > 0)
    if len(active):
        between = PchipInterpolator(octaves, curves[active], axis=1)(fine)
        largest = between.max(1)
        level = SUMMED * largest
        after = (between >= level[:, None]).argmax(1)
        before, each = np.maximum(after - 1, 0), np.arange(len(active))
        low, high = between[each, before], between[each, after]
        share = np.where(after > 0, (level - low) / np.where(after > 0, high - low, 1), 0)
        at = fine[before] + share * (fine[after] - fine[before])
        table.loc[active, "summation_diameter"] = 2.0**at
        table.loc[active, "suppression_index"] = np.maximum(1 - curves[active, -1] / largest, 0)
    curve = curve_table(units.table, curves, diameters, "diameter")
    return Measured(table, {"diameter": curve})


def contrast_response(
    units: Units,
    shown: GratingResponses,
    responds: np.ndarray,
    *,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
) -> Measured:
    """Measure how responses grow with contrast, and fit the Naka–Rushton function.

    R(c) = Rₘₐₓ cⁿ / (cⁿ + c₅₀ⁿ) above the spontaneous rate (Naka & Rushton 1966; Albrecht &
    Hamilton 1982, J Neurophysiol 48:217), by least squares, to each unit's best grating, which
    fills the picture.

    Parameters
    ----------
    units, shown, responds, device, batch_size, progress
        As in `size_tuning`.

    Returns
    -------
    Measured
        - ``c50``: the contrast of half of Rₘₐₓ, 0 to 1; infinite where it would be above 1, since
          the response does not saturate;
        - ``exponent``: n;
        - ``contrast_r2``: the share of the curve's variance that the function accounts for.
    """

    def pictures(group: _Group) -> np.ndarray:
        contrasts = np.array(CONTRASTS, np.float32)[:, None, None, None]
        return _waves(group, units.size) * contrasts

    groups = _groups(units, shown, responds, centred=False)
    curves = _measure(units, shown, groups, pictures, len(CONTRASTS), device, batch_size, progress)
    c50, exponent, r2 = fit_naka_rushton(np.array(CONTRASTS), curves)
    table = pd.DataFrame(
        {"c50": np.where(c50 > 1, np.inf, c50), "exponent": exponent, "contrast_r2": r2}
    )
    curve = curve_table(units.table, curves, CONTRASTS, "contrast")
    return Measured(table, {"contrast": curve})


def fit_naka_rushton(
    contrasts: np.ndarray, curves: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit R(c) = Rₘₐₓ cⁿ / (cⁿ + c₅₀ⁿ) to many curves at once, by least squares.

    Rₘₐₓ has a closed form; c₅₀ and n are searched on a grid, which is refined around the best.

    Parameters
    ----------
    contrasts : numpy.ndarray, shape (n_contrasts,)
        Above 0.
    curves : numpy.ndarray, shape (n_units, n_contrasts)
        Responses above the spontaneous rate.

    Returns
    -------
    c50 : numpy.ndarray, shape (n_units,)
        From .001 to 100; infinite where cⁿ, the limit for large c₅₀, fits better: the response
        does not saturate. NaN where a curve is flat or not finite.
    exponent : numpy.ndarray, shape (n_units,)
        From .1 to 20.
    r2 : numpy.ndarray, shape (n_units,)

    Examples
    --------
    >>> c = np.array([0.05, 0.1, 0.2, 0.4, 0.8])
    >>> c50, exponent, r2 = fit_naka_rushton(c, 30 * c**2 / (c**2 + 0.3**2)[None])
    >>> c50.round(3), exponent.round(3), r2.round(3)
    (array([0.3]), array([2.]), array([1.]))
    """
    results = np.full((3, len(curves)), np.nan)
    rows = np.flatnonzero(np.isfinite(curves).all(1) & (np.ptp(curves, axis=1) > 0))
    low, high = np.log([1e-3, 0.1]), np.log([100.0, 20.0])
    sides = np.linspace(low, high, 25)  # (25, 2): logarithms of c50 and n
    for start in range(0, len(rows), 512):
        chosen = rows[start : start + 512]
        values = curves[chosen].astype(float)
        best = _best_of(contrasts, values, sides[:, None, :1], sides[None, :, 1:])
        step = np.tile(sides[1] - sides[0], (len(chosen), 1))
        for _ in range(_SEARCHES):
            tried = best[:, None] + step[:, None] * np.linspace(-1, 1, 5)[None, :, None]
            tried = np.clip(tried, low, high)
            before = best
            best = _best_of(contrasts, values, tried[:, :, None, :1], tried[:, None, :, 1:])
            # Where none of these is better, look closer: the valley is long, narrow and bent.
            step[(best == before).all(1)] /= 2
        fitted = _saturating(contrasts, best[:, :1], best[:, 1:])
        height = (fitted * values).sum(1) / np.square(fitted).sum(1)
        left = np.square(values - height[:, None] * fitted).sum(1)
        total = np.square(values - values.mean(1, keepdims=True)).sum(1)
        # Far from saturation the valley is too long to search: its end has a fit of its own.
        power, left_by_power = _power_law(contrasts, values)
        is_power = left_by_power < left
        results[0, chosen] = np.where(is_power, np.inf, np.exp(best[:, 0]))
        results[1, chosen] = np.where(is_power, power, np.exp(best[:, 1]))
        results[2, chosen] = 1 - np.minimum(left, left_by_power) / total
    return results[0], results[1], results[2]


def _power_law(contrasts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a · cⁿ to each curve: n from .1 to 20, in steps of .3 %, and what is left, squared."""
    exponents = np.geomspace(0.1, 20.0, 1800)
    powers = contrasts ** exponents[:, None]
    powers /= np.linalg.norm(powers, axis=1, keepdims=True)
    projected = np.maximum(values @ powers.T, 0)
    best = projected.argmax(1)
    height = projected[np.arange(len(values)), best]
    return exponents[best], np.square(values - height[:, None] * powers[best]).sum(1)


def _saturating(contrasts: np.ndarray, log_c50: np.ndarray, log_n: np.ndarray) -> np.ndarray:
    """Compute cⁿ / (cⁿ + c₅₀ⁿ) along a last axis of contrasts."""
    return 1 / (1 + np.exp(np.exp(log_n) * (log_c50 - np.log(contrasts))))


def _best_of(
    contrasts: np.ndarray, values: np.ndarray, log_c50: np.ndarray, log_n: np.ndarray
) -> np.ndarray:
    """Find which of some pairs fits each curve best: (n_units, 2).

    ``log_c50`` and ``log_n`` have shape (n_units or absent, n, 1, 1) and (…, 1, n, 1).
    """
    shape = np.broadcast_shapes(log_c50.shape, log_n.shape)[:-1]
    functions = _saturating(contrasts, log_c50, log_n)  # (…, n, n, contrasts)
    subscript = "abc,uc->uab" if functions.ndim == 3 else "uabc,uc->uab"
    projected = np.einsum(subscript, functions, values)
    explained = np.square(projected) / np.square(functions).sum(-1)
    explained = np.where(projected > 0, explained, 0).reshape(len(values), -1)
    pairs = np.stack(
        [np.broadcast_to(log[..., 0], shape) for log in (log_c50, log_n)], axis=-1
    ).reshape(*shape[:-2], -1, 2)
    best = explained.argmax(1)
    return pairs[best] if pairs.ndim == 2 else pairs[np.arange(len(values)), best]


def _waves(group: _Group, size: tuple[int, int]) -> np.ndarray:
    shifts = np.arange(N_PHASES) * 360.0 / N_PHASES
    turns, cycles = np.full(N_PHASES, group.orientation), np.full(N_PHASES, group.frequency)
    return gratings(turns, cycles, shifts, size)


def _groups(
    units: Units, shown: GratingResponses, responds: np.ndarray, *, centred: bool
) -> list[_Group]:
    """Put units together that have the same best grating, and the middle of their windows."""
    middle = [(side - 1) / 2 for side in units.size]
    centres = _shared_centres(units.table) if centred else np.tile(middle, (len(units), 1))
    rows = np.flatnonzero(responds)
    keys = np.column_stack([*shown.best(), centres])[rows]
    distinct, group = np.unique(keys, axis=0, return_inverse=True)
    return [
        _Group(float(turn), float(cycles), (float(y), float(x)), rows[group.ravel() == k])
        for k, (turn, cycles, y, x) in enumerate(distinct)
    ]


def _shared_centres(table: pd.DataFrame) -> np.ndarray:
    """Return where patches lie: units of large windows share those of small ones nearby."""
    columns = ["centre_y", "centre_x", "window"]
    window_of_unit = table.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    windows = table[columns].drop_duplicates()  # in the order of their numbers
    shared = windows[columns[:2]].to_numpy(float)
    chosen: list[np.ndarray] = []
    for k in np.argsort(windows["window"].to_numpy(float), kind="stable"):
        window = windows["window"].iloc[k]
        tolerance = 0.0 if np.isnan(window) else OFF_CENTRE * window
        near = [centre for centre in chosen if np.hypot(*(shared[k] - centre)) <= tolerance]
        if near:
            shared[k] = near[0]
        else:
            chosen.append(shared[k].copy())
    return shared[window_of_unit]


def _measure(
    units: Units,
    shown: GratingResponses,
    groups: list[_Group],
    pictures: Callable[[_Group], np.ndarray],
    n: int,
    device: str,
    batch_size: int,
    progress: bool | None,
) -> np.ndarray:
    """Measure one curve for each unit: (n_units, n), NaN for those in no group.

    ``pictures`` makes contrasts of shape (n, `N_PHASES`, height, width).
    """

    def stacks() -> Iterator[Tensor]:
        for group in groups:
            contrasts = pictures(group)
            contrasts *= 0.5
            contrasts += 0.5
            yield torch.from_numpy(contrasts.reshape(-1, *units.size))

    curves = np.full((len(units), n), np.nan, np.float32)
    is_simple = shown.is_simple
    measured = responses(
        units,
        stacks(),
        device=device,
        batch_size=batch_size,
        progress=progress,
        total=len(groups) * n * N_PHASES,
    )
    for group, values in zip(groups, measured, strict=True):
        rows = group.rows
        f0, f1 = harmonics(values[:, rows].reshape(n, N_PHASES, len(rows)))
        evoked = np.where(is_simple[rows], f1, f0 - shown.spontaneous[rows])
        curves[rows] = np.maximum(evoked, 0).T
    return curves
