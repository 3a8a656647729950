"""Tuning for the orientation, spatial frequency and phase of sinusoidal gratings.

Gratings fill the picture. They stand still, and are shown at phases all around the circle, which is
what a drifting grating shows in one period: the mean over phases is the response's F0, the
amplitude of its first harmonic the F1. As in recordings, a cell is measured by whichever is the
larger at its best grating, F1 for simple cells, F0 above the spontaneous rate for complex cells
(Skottun et al. 1991, Vision Res 31:1079).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from probe.errors import ProbeError
from probe.stimuli.gratings import gratings
from probe.tuning.measured import Measured, curve_table
from probe.tuning.units import Units, responses

N_PHASES = 8
"""Phases of a grating: harmonics of the response up to the sixth leave F0 and F1 as they are.

Of a half-wave rectified sine, whose F1/F0 is π/2, the eighth does not: it comes out as 1.53 to
1.66, depending on the phase."""

LOWEST = 2.0
"""Cycles per picture of the coarsest grating."""

FINEST = 0.45
"""Cycles per pixel of the finest; at .5, a grating looks like another."""

PER_OCTAVE = 3
"""Spatial frequencies in an octave."""

MIN_RESPONSE = 0.01
"""A unit whose best response is a smaller share of the largest in its layer does not respond."""

ROUNDING = 1e-5
"""Share of the spontaneous rate, or of F1, below which a difference is rounding error."""

FLAT = 0.01
"""A curve that varies by a smaller share of its height has no preferred value."""

HALF, ROOT_HALF = 0.5, 2.0**-0.5
"""Shares of the height at which widths are measured."""

_DEGREES, _OCTAVES = 3.0, 1 / 8
"""Largest steps at which curves are interpolated; between them, peaks are parabolas and flanks
straight."""

_AT_A_TIME = 2048
"""Units whose curves are interpolated together."""


@dataclass(frozen=True, eq=False)
class GratingResponses:
    """Responses of units to gratings.

    Attributes
    ----------
    orientations : numpy.ndarray, shape (n_orientations,)
        In degrees, evenly from 0 to below 180.
    frequencies : numpy.ndarray, shape (n_frequencies,)
        In cycles per picture width, evenly on a logarithmic axis.
    f0, f1 : numpy.ndarray, float32, shape (n_frequencies, n_orientations, n_units)
        Mean over phases, and amplitude of the first harmonic.
    spontaneous : numpy.ndarray, float32, shape (n_units,)
        Responses to mid-grey.
    """

    orientations: np.ndarray
    frequencies: np.ndarray
    f0: np.ndarray
    f1: np.ndarray
    spontaneous: np.ndarray

    @property
    def is_simple(self) -> np.ndarray:
        """Whether the largest F1 exceeds the largest F0 above the spontaneous rate: (n_units,)."""
        return self.f1.max((0, 1)) > self.f0.max((0, 1)) - self.spontaneous

    def take(self, rows: slice | np.ndarray) -> GratingResponses:
        """Return those of some units."""
        parts = self.f0[..., rows], self.f1[..., rows], self.spontaneous[rows]
        return GratingResponses(self.orientations, self.frequencies, *parts)

    def evoked(self) -> np.ndarray:
        """Return what each unit is measured by: F1, or F0 above the spontaneous rate, 0 or more.

        Returns
        -------
        numpy.ndarray, float32, shape (n_units, n_frequencies, n_orientations)
        """
        above = self.f0 - self.spontaneous
        chosen = np.where(self.is_simple, self.f1, above)
        return np.ascontiguousarray(np.moveaxis(np.maximum(chosen, 0), -1, 0))

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the grating that drives each unit most.

        Returns
        -------
        orientation, frequency : numpy.ndarray, shape (n_units,)
            Of those that were shown.
        """
        flat = self.evoked().reshape(len(self.spontaneous), -1).argmax(1)
        f, o = np.divmod(flat, len(self.orientations))
        return self.orientations[o], self.frequencies[f]


def spatial_frequencies(width: int) -> np.ndarray:
    """Return the spatial frequencies that pictures of a width can show.

    Parameters
    ----------
    width : int
        In pixels.

    Returns
    -------
    numpy.ndarray
        Cycles per picture width, in steps of a third of an octave.

    Raises
    ------
    ProbeError
        If they are fewer than four.

    Examples
    --------
    >>> spatial_frequencies(224).round(1).tolist()
    [2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0, 10.1, 12.7, 16.0, 20.2, 25.4, 32.0, 40.3, 50.8, 64.0, 80.6]
    """
    n = int(np.floor(PER_OCTAVE * np.log2(max(FINEST * width / LOWEST, 0.5)))) + 1
    if n < 4:
        raise ProbeError(
            f"pictures of {width} pixels show too few spatial frequencies to measure a tuning: "
            "give the network pictures of 16 pixels or more"
        )
    return LOWEST * 2.0 ** (np.arange(n) / PER_OCTAVE)


def harmonics(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and the amplitude of the first harmonic.

    Parameters
    ----------
    values : numpy.ndarray, shape (n, phases, …)
        At phases that go once round in even steps.

    Returns
    -------
    f0, f1 : numpy.ndarray, shape (n, …)
    """
    n, phases, *rest = values.shape
    angle = 2 * np.pi * np.arange(phases) / phases
    waves = np.stack([np.ones(phases), 2 * np.cos(angle), 2 * np.sin(angle)]) / phases
    parts = waves.astype(values.dtype) @ values.reshape(n, phases, -1)
    shape = (n, *rest)
    amplitude = np.sqrt(np.square(parts[:, 1]) + np.square(parts[:, 2]))  # hypot is slower
    return parts[:, 0].reshape(shape), amplitude.reshape(shape)


def show_gratings(
    units: Units,
    orientations: int = 24,
    frequencies: Sequence[float] | np.ndarray | None = None,
    phases: int = N_PHASES,
    *,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
) -> GratingResponses:
    """Show gratings of full contrast to units.

    Parameters
    ----------
    units : Units
    orientations : int
        How many, evenly from 0 to 180°.
    frequencies : array-like, optional
        In cycles per picture width; by default, `spatial_frequencies`.
    phases : int
        Of each grating, 4 or more.
    device, batch_size, progress
        As in `respond`.

    Returns
    -------
    GratingResponses
    """
    turns = np.arange(orientations) * 180.0 / orientations
    cycles = spatial_frequencies(units.size[1]) if frequencies is None else np.array(frequencies)
    shifts = np.arange(phases) * 360.0 / phases
    each = np.array([(f, turn) for f in cycles for turn in turns])
    at_once = max(1, batch_size // phases)
    starts = range(0, len(each), at_once)

    def stacks() -> Iterator[Tensor]:
        yield torch.full((1, *units.size), 0.5)
        for start in starts:
            f, turn = np.repeat(each[start : start + at_once], phases, axis=0).T
            waves = gratings(turn, f, np.tile(shifts, len(f) // phases), units.size)
            waves *= 0.5
            waves += 0.5
            yield torch.from_numpy(waves)

    shown = responses(
        units,
        stacks(),
        device=device,
        batch_size=batch_size,
        progress=progress,
        total=1 + len(each) * phases,
    )
    spontaneous = next(shown)[0].copy()
    f0, f1 = (np.empty((len(each), len(units)), np.float32) for _ in range(2))
    for start, values in zip(starts, shown, strict=True):
        rows = slice(start, start + len(values) // phases)
        f0[rows], f1[rows] = harmonics(values.reshape(-1, phases, len(units)))
    grid = (len(cycles), orientations, len(units))
    return GratingResponses(turns, cycles, f0.reshape(grid), f1.reshape(grid), spontaneous)


def grating_tuning(units: Units, shown: GratingResponses) -> Measured:
    """Measure tuning for orientation, spatial frequency and phase.

    Curves are interpolated by cubic splines: the one for orientation at the preferred frequency,
    the one for frequency at the preferred orientation. A unit that answers to one of the gratings
    alone gets a width at half height of 1.2 steps between them (9° and .4 octaves by default): of
    units near that, widths are upper bounds.

    Parameters
    ----------
    units : Units
    shown : GratingResponses

    Returns
    -------
    Measured
        For units that respond (`MIN_RESPONSE`); NaN for others:

        - ``spontaneous``: response to mid-grey; ``response``: the largest to a grating, F1 or F0
          above the spontaneous rate; ``responds``;
        - ``preferred_orientation``: degrees, 0 to 180; 0° are vertical bars, anticlockwise; NaN
          where the curve is flat (`FLAT`);
        - ``preferred_frequency``: cycles per picture width; NaN where the curve is flat;
          ``frequency_at_edge``: whether it is the lowest or the highest that was shown, so that the
          true peak may lie beyond;
        - ``frequency_bandwidth``: octaves, full width at half height; NaN where the curve does not
          fall to it on both sides (low-pass and high-pass units; De Valois, Albrecht & Thorell
          1982, Vision Res 22:545); ``frequency_bandwidth_70``: at 1/√2 of the height (Schiller,
          Finlay & Volman 1976, J Neurophysiol 39:1334);
        - ``orientation_bandwidth``: degrees, half the width at 1/√2 of the height (Ringach, Shapley
          & Hawken 2002, J Neurosci 22:5639); ``orientation_full_width``: the whole width at half
          height (De Valois, Yund & Hepler 1982, Vision Res 22:531); NaN where the curve does not
          fall to it: the unit has no orientation to speak of;
        - ``circular_variance``: 1 − |Σ R exp(2iθ)| / Σ R (Ringach et al. 2002);
        - ``orthogonal_ratio``: the response to bars at right angles, over that to the preferred;
        - ``f1_f0``: at the best grating, F0 above the spontaneous rate; above 1 a unit is simple,
          below it complex (Skottun et al. 1991). Infinite where the mean does not rise by more
          than rounding.
    """
    layers = units.table["layer"].to_numpy()
    parts = [
        _tuned(shown.take(slice(start, start + _AT_A_TIME)))
        for start in range(0, len(units), _AT_A_TIME)
    ]
    columns = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    table = pd.DataFrame({"spontaneous": shown.spontaneous} | columns)
    largest = table.groupby(layers, sort=False)["response"].transform("max")
    # In a dead layer, even the largest response is rounding error.
    floor = np.maximum(MIN_RESPONSE * largest, ROUNDING * table["spontaneous"].abs())
    table.insert(2, "responds", (table["response"] > floor).to_numpy())
    silent = ~table["responds"]
    at_edge = table.pop("frequency_at_edge") & ~silent
    properties = table.columns[3:]
    table[properties] = table[properties].mask(silent)
    column = list(table.columns).index("preferred_frequency") + 1
    table.insert(column, "frequency_at_edge", at_edge.to_numpy())
    axes = {"orientation": shown.orientations, "frequency": shown.frequencies}
    curves = {
        name: curve_table(
            units.table, np.concatenate([part[1][name] for part in parts]), axis, name
        )
        for name, axis in axes.items()
    }
    return Measured(table, curves)


def _tuned(shown: GratingResponses) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Measure some units: columns of the table, and their curves at the values shown."""
    evoked = shown.evoked()  # (units, frequencies, orientations)
    n, n_f, n_o = evoked.shape
    each = np.arange(n)
    round_ = _periodic(shown.orientations)
    octaves = np.log2(shown.frequencies)
    # To the last that was shown and no further: a spline must not continue a curve.
    n_steps = int(np.ceil((octaves[-1] - octaves[0]) / _OCTAVES - 1e-9))
    fine_octaves, step = np.linspace(octaves[0], octaves[-1], n_steps + 1, retstep=True)
    along = CubicSpline(octaves, np.eye(n_f))(fine_octaves).astype(np.float32)

    flat = evoked.reshape(n, -1).argmax(1)
    best_f, best_o = np.divmod(flat, n_o)
    of_orientation = evoked[each, best_f]
    # Each curve is taken through the peak of the other; twice, and it stays where it is.
    for _ in range(2):
        turned = _curves(of_orientation, round_)
        peak_o = turned.argmax(1)
        of_frequency = np.einsum("uo,ufo->uf", round_[peak_o], evoked)
        scaled = _curves(of_frequency, along)
        peak_f = scaled.argmax(1)
        of_orientation = np.einsum("uf,ufo->uo", along[peak_f], evoked)
    turned = _curves(of_orientation, round_)
    peak_o = turned.argmax(1)
    at_peak_o, shift_o = _vertex(turned, peak_o, circular=True)
    _, shift_f = _vertex(scaled, peak_f, circular=False)

    narrow, full = _widths(turned, peak_o, (ROOT_HALF, HALF), circular=True)
    octaves_70, octaves_50 = _widths(scaled, peak_f, (ROOT_HALF, HALF), circular=False)
    angle = 2 * np.radians(shown.orientations)
    doubled = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    # A spline may dip below 0 between what was shown; the samples do not.
    summed = np.maximum(of_orientation, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = 1 - np.hypot(*_curves(summed, doubled).T) / summed.sum(1)
        opposite = np.maximum(turned[each, (peak_o + turned.shape[1] // 2) % turned.shape[1]], 0)
        above = shown.f0[best_f, best_o, each] - shown.spontaneous
        f1 = shown.f1[best_f, best_o, each]
        rounding = ROUNDING * np.maximum(f1, np.abs(shown.spontaneous))
        ratio = np.where(above > rounding, f1 / above, np.inf)
        is_flat_o, is_flat_f = (
            np.ptp(curve, axis=1) <= FLAT * curve.max(1) for curve in (of_orientation, of_frequency)
        )
        orientation = (peak_o + shift_o) * _DEGREES % 180
        frequency = 2.0 ** (fine_octaves[peak_f] + shift_f * step)
        columns = {
            "response": evoked.reshape(n, -1).max(1).astype(float),
            "preferred_orientation": np.where(is_flat_o, np.nan, orientation),
            "preferred_frequency": np.where(is_flat_f, np.nan, frequency),
            "frequency_at_edge": np.isin(peak_f, (0, len(fine_octaves) - 1)) & ~is_flat_f,
            "frequency_bandwidth": octaves_50 * step,
            "frequency_bandwidth_70": octaves_70 * step,
            "orientation_bandwidth": narrow * _DEGREES / 2,
            "orientation_full_width": full * _DEGREES,
            "circular_variance": variance.astype(float),
            "orthogonal_ratio": (opposite / at_peak_o).astype(float),
            "f1_f0": ratio.astype(float),
        }
    return columns, {"orientation": of_orientation, "frequency": of_frequency}


def _curves(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weigh the samples of each unit: (units, n) and (m, n) to (units, m)."""
    # No product of matrices: they are so small that its threads take longer to start.
    return np.einsum("un,mn->um", samples, weights)


def _periodic(orientations: np.ndarray) -> np.ndarray:
    """Return what interpolates curves of orientation finely: (n_steps, n)."""
    n = len(orientations)
    once_round = np.eye(n)[np.arange(n + 1) % n]
    spline = CubicSpline(np.arange(n + 1) * 180.0 / n, once_round, bc_type="periodic")
    return spline(np.arange(0, 180, _DEGREES)).astype(np.float32)


def _vertex(
    curves: np.ndarray, peak: np.ndarray, *, circular: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the height of a peak, and how many steps it lies beyond the largest value."""
    n, each = curves.shape[1], np.arange(len(curves))
    before, after = peak - 1, peak + 1
    if circular:
        before, after = before % n, after % n
    inside = (before >= 0) & (after < n)
    low, top, high = (curves[each, np.clip(k, 0, n - 1)] for k in (before, peak, after))
    curvature = low - 2 * top + high
    bent = inside & (curvature < 0)
    shift = np.where(bent, (low - high) / np.where(bent, 2 * curvature, 1), 0)
    return top - (low - high) * shift / 4, shift.astype(float)


def _widths(
    curves: np.ndarray, peak: np.ndarray, levels: Sequence[float], *, circular: bool
) -> list[np.ndarray]:
    """Measure how wide curves are at some shares of their height.

    Returns
    -------
    list of numpy.ndarray
        In steps, one for each level; NaN where a curve does not fall to it on both sides.
    """
    n, each = curves.shape[1], np.arange(len(curves))
    height = curves[each, peak]
    widths = [np.zeros(len(curves)) for _ in levels]
    for side in (1, -1):
        at = peak[:, None] + side * np.arange((n // 2 if circular else n - 1) + 1)
        flank = curves[each[:, None], at % n if circular else np.clip(at, 0, n - 1)]
        for width, level in zip(widths, levels, strict=True):
            below = flank < level * height[:, None]  # beyond the ends, as high as there
            first = below.argmax(1)
            inner, outer = flank[each, np.maximum(first - 1, 0)], flank[each, first]
            with np.errstate(invalid="ignore", divide="ignore"):
                share = (inner - level * height) / (inner - outer)
            width += np.where(first > 0, first - 1 + share, np.nan)
    return widths
