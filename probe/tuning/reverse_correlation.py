"""Mapping receptive fields by reverse correlation with white noise.

Checks of random red, green and blue fill a unit's window, and what it responds to is correlated
with each of them: of a linear unit, also of one with a rectifier behind it, the outcome is its
kernel (Marmarelis & Marmarelis 1978; Chichilnisky 2001, Network 12:199). Every noise is shown with
its negative, in which light and dark are exchanged, and half the difference of the two responses is
taken: what a unit does alike to both, as a complex cell does, would be noise in the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probe.errors import ProbeError
from probe.output.drawable import Contents, Drawable
from probe.synthesis.transforms import generator
from probe.tuning.units import Units, responses

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

PAIRS = 1536
"""Of noise and its negative."""

CHECKS = 11
"""Checks along a window's side, at most: a larger window has larger ones, in whole pixels."""

CONTRAST = 0.25
"""Standard deviation of grey levels, which are cut off at 0 and 1."""

RELIABLE = 0.1
"""Correlation of the maps of two halves of the noise, below which no field is measured in them."""


@dataclass(frozen=True, eq=False)
class FieldMaps:
    """Receptive-field maps of units that look at the same window.

    Attributes
    ----------
    rows : numpy.ndarray of int, shape (m,)
        Which of the units.
    maps : numpy.ndarray, float32, shape (m, 3, checks, checks)
        Change of the response per change of a check's red, green or blue from 0 to 1; half of it
        for a unit that responds to one of noise and negative only.
    start : (int, int)
        Row and column of the picture of the first check's first pixel.
    check : int
        Side of a check in pixels.
    """

    rows: np.ndarray
    maps: np.ndarray
    start: tuple[int, int]
    check: int


@dataclass(frozen=True, eq=False, repr=False)
class MappedFields(Drawable):
    """Receptive fields of units.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per unit: ``unit``, ``layer``, ``alias``, ``channel``, ``window`` (height in pixels
        of the window that it depends on at all) and

        - ``map_reliability``: Pearson's r of the maps by two halves of the noise. A complex cell
          has no map: about 0. NaN for a unit that noise leaves silent, as it does most of the
          deeper ones.
        - ``field_y``, ``field_x``: centre of the map's energy, row and column of the picture.
        - ``field_size``: side, in pixels, of the evenly filled square whose energy spreads as far
          as the map's does: √12 SD. ``field_share``: its share of the window's side.

        These are NaN where the reliability is below `RELIABLE`. Energies are products of the maps
        by two halves of the noise: to these, noise adds nothing on average.
    maps : tuple of FieldMaps
        One for each window that units look at.
    about : mapping
        Everything that decides them, as plain values.
    """

    table: pd.DataFrame
    maps: tuple[FieldMaps, ...]
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        layers = dict.fromkeys(
            self.table["alias"].where(self.table["alias"] != "", self.table["layer"])
        )
        n = f"{2 * self.about['pairs']:,} pictures of noise"
        return f"{self.about['model']} · {', '.join(layers)} · {n}"

    def plot(self, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
        """Draw the most reliable maps of each layer.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        from probe.plots.tuning_fields import plot_fields

        maps: list[Any] = [None] * len(self.table)
        for window in self.maps:
            for row, values in zip(window.rows, window.maps, strict=True):
                maps[row] = (values, window.start, window.check)
        return plot_fields(self.table, maps, title=self.title, figure=figure)

    def _contents(self) -> Contents:
        return {".csv": lambda: self.table.to_csv(index=False).encode()}


def receptive_fields(
    units: Units,
    *,
    pairs: int = PAIRS,
    checks: int = CHECKS,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
) -> MappedFields:
    """Map the receptive fields of units by reverse correlation with white noise.

    The map is the average of the noise, weighted by the response. Where there are four times as
    many pairs as values in the map, it is the solution of least squares instead, which is a linear
    unit's kernel exactly: by chance, the checks of finitely many noises correlate.

    Parameters
    ----------
    units : Units
        Windows are those that a unit depends on at all (`probe.models.ReceptiveField`).
    pairs : int
        Of noise and its negative, 4 or more.
    checks : int
        Along a window's side, at most.
    seed : int
        Of the noise.
    device, batch_size, progress
        As in `respond`.

    Returns
    -------
    MappedFields

    Raises
    ------
    ProbeError
        If a number is too small.

    Examples
    --------
    >>> from probe import models
    >>> from probe.tuning.reverse_correlation import receptive_fields
    >>> from probe.tuning.units import layer_units
    >>> units = layer_units(models.load("squeezenet1_1", "random"), "conv1")
    >>> receptive_fields(units, pairs=64).maps[0].maps.shape
    (64, 3, 3, 3)
    """
    for name, value, least in (("pairs", pairs, 4), ("checks", checks, 1)):
        if value < least:
            raise ProbeError(f"{name} {value}: expected {least} or more")
    side = min(units.size)
    table = units.table
    looks = pd.DataFrame(
        {
            "window": table["window"].fillna(side).clip(upper=side),
            "y": table["centre_y"], "x": table["centre_x"],
        }
    )  # fmt: skip
    names = ("map_reliability", "field_y", "field_x", "field_size", "field_share")
    values = {name: np.full(len(units), np.nan) for name in names}
    maps = []
    groups = looks.groupby(["window", "y", "x"], sort=False).indices
    for k, rows in enumerate(map(np.asarray, groups.values())):
        window, y, x = looks.iloc[rows[0]]
        check = int(np.ceil(window / checks))
        n = int(np.ceil(window / check))
        start = (_first(y, n * check), _first(x, n * check))
        halves, whole = _map(
            units, rows, n, check, start, pairs, (seed, k), device, batch_size, progress
        )
        maps.append(FieldMaps(rows, whole, start, check))
        reliability, middle, size = measure_maps(*halves)
        values["map_reliability"][rows] = reliability
        for name, at, first in zip(("field_y", "field_x"), middle, start, strict=True):
            values[name][rows] = first + at * check + (check - 1) / 2
        values["field_size"][rows] = size * check
        values["field_share"][rows] = size * check / window
    who = table[["unit", "layer", "alias", "channel", "window"]]
    about = units.network.provenance() | {
        "layers": list(dict.fromkeys(table["layer"])),
        "pairs": pairs,
        "checks": checks,
        "noise_seed": seed,
    }
    return MappedFields(pd.concat([who, pd.DataFrame(values)], axis=1), tuple(maps), about)


def _first(centre: float, side: int) -> int:
    """Return the first pixel of as many around a centre."""
    return int(np.round(centre - (side - 1) / 2))


def measure_maps(
    first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Measure fields in maps by two halves of the noise.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (m, 3, n, n)

    Returns
    -------
    reliability : numpy.ndarray, shape (m,)
        Pearson's r of the two; NaN where one is 0 all over.
    middle : tuple of two numpy.ndarray, shape (m,)
        Row and column of the centre, in checks.
    size : numpy.ndarray, shape (m,)
        In checks; see `receptive_fields`.
    """
    a, b = (
        x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(1, keepdims=True)
        for x in (first, second)
    )
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    silent = np.full(len(a), np.nan)
    reliability = np.divide((a * b).sum(1), lengths, out=silent, where=lengths > 0)
    energy = (first.astype(np.float64) * second).sum(1)
    energy /= np.where(energy.sum((1, 2)) > 0, energy.sum((1, 2)), np.nan)[:, None, None]
    along = np.arange(energy.shape[1])
    middles, spread = [], 0.0
    for axis in (1, 2):
        profile = energy.sum(3 - axis)
        middle = profile @ along
        middles.append(middle)
        spread = spread + (profile * (along - middle[:, None]) ** 2).sum(1) / 2
    # A check is a square itself, of a variance of 1/12.
    size = np.sqrt(12 * np.where(spread >= 0, spread, np.nan) + 1)
    reliable = (reliability >= RELIABLE) & np.isfinite(size)
    y, x, size = (np.where(reliable, value, np.nan) for value in (*middles, size))
    return reliability, (y, x), size


def _map(
    units: Units,
    rows: np.ndarray,
    n: int,
    check: int,
    start: tuple[int, int],
    pairs: int,
    seeds: tuple[int, int],
    device: str,
    batch_size: int,
    progress: bool | None,
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Map units that look at one window: by two halves of the noise, and by all of it."""
    at_once = max(1, batch_size // 2)
    starts = range(0, pairs, at_once)
    n_values = 3 * n * n

    def draw(first: int) -> Tensor:
        """Noise, (n_pairs, 3, n, n), which is drawn twice: to be shown, and to be weighted."""
        shape = (min(at_once, pairs - first), 3, n, n)
        noise = CONTRAST * torch.randn(shape, generator=generator(*seeds, first))
        return noise.clamp(-0.5, 0.5)

    def stacks() -> Iterator[Tensor]:
        for first in starts:
            noise = draw(first).repeat_interleave(check, 2).repeat_interleave(check, 3)
            pictures = torch.zeros((len(noise), 3, *units.size))
            parts = []
            for axis in (0, 1):
                low, high = start[axis], min(start[axis] + n * check, units.size[axis])
                parts.append((slice(max(low, 0), high), slice(max(-low, 0), high - low)))
            (y, from_y), (x, from_x) = parts
            pictures[:, :, y, x] = noise[:, :, from_y, from_x]
            yield torch.cat([0.5 + pictures, 0.5 - pictures])

    products = [np.zeros((n_values, len(rows))) for _ in range(2)]
    shown = responses(
        units.reading(rows), stacks(), device=device, batch_size=batch_size,
        progress=progress, total=2 * pairs,
    )  # fmt: skip
    by_squares = pairs >= 4 * n_values  # so that halves of the noise determine it, too
    sides = (n_values, n_values) if by_squares else (1, 1)
    squares = [np.zeros(sides) for _ in range(2)]
    for first, values in zip(starts, shown, strict=True):
        noise = draw(first).flatten(1).numpy()
        light, dark = values[: len(noise), rows], values[len(noise) :, rows]
        odd = (light - dark) / 2
        for k in range(2):
            half = noise[k::2]
            products[k] += half.T @ odd[k::2]
            if by_squares:
                squares[k] += half.T @ half
            else:
                squares[k][0, 0] += (half**2).sum() / n_values

    def solve(product: np.ndarray, square: np.ndarray) -> np.ndarray:
        if by_squares:
            kernel = np.linalg.lstsq(square, product)[0]
        else:
            kernel = product / max(square[0, 0], 1e-12)
        return kernel.T.reshape(len(rows), 3, n, n).astype(np.float32)

    halves = tuple(solve(p, s) for p, s in zip(products, squares, strict=True))
    return (halves[0], halves[1]), solve(products[0] + products[1], squares[0] + squares[1])
