"""Tuning properties of macaque neurons as they were published, and how far a sample is from them.

The numbers stand in ``published.toml``: histograms, medians and means as printed, each with its
source and where it was read. Where a paper gives a mean alone, nothing is made of it but a mean.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from probe.errors import ProbeError, suggest

__all__ = ["PROPERTIES", "Published", "distance", "expected_distance", "published"]

PROPERTIES = {
    "preferred_orientation": "°",
    "preferred_frequency": "cycles/°",
    "frequency_bandwidth": "octaves",
    "frequency_bandwidth_70": "octaves",
    "orientation_bandwidth": "°",
    "orientation_full_width": "°",
    "circular_variance": "",
    "orthogonal_ratio": "",
    "f1_f0": "",
    "summation_diameter": "°",
    "suppression_index": "",
    "c50": "contrast",
    "exponent": "",
    "texture_modulation": "",
    "shape_correlation": "",
    "preferred_curvature": "",
    "preferred_angle": "°",
}
"""Properties and their units. Not of each was a distribution found in print."""

AREAS = ("V1", "V2", "V4")

_N_DRAWS = 4000
_PER_CENT = "low over high cut-off, per cent"


@dataclass(frozen=True, eq=False)
class Published:
    """What was published of one property of the neurons of one area.

    Attributes
    ----------
    property : str
        One of `PROPERTIES`, in its unit.
    area : {'V1', 'V2', 'V4'}
    source : str
        Authors (year), journal.
    neurons : str
        Which of the neurons of the study.
    eccentricity : str
        Where in the visual field; empty if that was not found.
    n : int or None
        Number of neurons, None if that was not found.
    values, shares : numpy.ndarray, shape (n_points,)
        The cumulative distribution where it is known: the share of neurons up to a value, in
        [0, 1]. Edges of a histogram, or a median alone. Empty if only a mean was published.
    counts : numpy.ndarray, shape (n_points − 1,), or None
        Neurons between one value and the next, if a histogram was published.
    mean, median : float
        NaN if not published. Neither is computed from the histogram.
    range : tuple of float
        Least and greatest value of a neuron, NaN if not published.
    fold : {'', 'cardinal'}
        ``cardinal``: values are distances to the nearest of vertical and horizontal, 0° to 45°.
    read_in, note : str
        Where the numbers were read, and what to keep in mind.
    """

    property: str
    area: str
    source: str
    neurons: str
    eccentricity: str
    n: int | None
    values: np.ndarray
    shares: np.ndarray
    counts: np.ndarray | None
    mean: float
    median: float
    range: tuple[float, float]
    fold: str
    read_in: str
    note: str

    @functools.cached_property
    def cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Values, and the share of neurons up to each; empty if only a mean is known."""
        return self.values, self.shares

    def folded(self, sample: ArrayLike) -> np.ndarray:
        """Return a sample's finite values on the scale of the published ones.

        Parameters
        ----------
        sample : array_like
            Values of `property`; orientations in degrees, 0° vertical. NaN are units without one.

        Returns
        -------
        numpy.ndarray, shape (n_finite,)

        Raises
        ------
        ProbeError
            If no value is finite.
        """
        values = np.asarray(sample, dtype=float).ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            raise ProbeError(f"no unit has a finite {self.property}: there is nothing to compare")
        if self.fold == "cardinal":
            return np.asarray(np.abs((values + 45.0) % 90.0 - 45.0))
        return values


def published(property: str | None = None, area: str | None = None) -> list[Published]:
    """Return what was published of a property in an area of macaque visual cortex.

    Parameters
    ----------
    property : str, optional
        One of `PROPERTIES`; by default, all.
    area : {'V1', 'V2', 'V4'}, optional
        By default, all.

    Returns
    -------
    list of Published
        Empty where no number was found in print. Of several entries with the same source, the
        first takes in all neurons.

    Raises
    ------
    ProbeError
        If the property or the area has another name.

    See Also
    --------
    distance : How far a sample is from one of them.

    Examples
    --------
    >>> from probe.tuning.published import distance, published
    >>> suppression = published("suppression_index", "V1")[0]
    >>> suppression.source
    'Cavanaugh, Bair & Movshon (2002), Journal of Neurophysiology 88:2530–2546'
    >>> round(distance([0.1, 0.2, 0.3, 0.9], suppression), 2)  # .4 : 3 of 4, published 110 of 190
    0.17
    """
    if property is not None and property not in PROPERTIES:
        raise ProbeError(f"no property {property!r}{suggest(property, PROPERTIES)}")
    if area is not None and area not in AREAS:
        raise ProbeError(f"no area {area!r}{suggest(area, AREAS)}")
    return [
        entry
        for entry in _read()
        if property in (None, entry.property) and area in (None, entry.area)
    ]


def distance(sample: ArrayLike, published: Published) -> float:
    """Measure the greatest gap between the cumulative shares of a sample and of what was published.

    It is taken at the published points only (a histogram's edges, or a median), where the published
    share is known. So it is a lower bound of the Kolmogorov–Smirnov distance between the sample
    and the neurons.

    Parameters
    ----------
    sample : array_like
        Values of the property, one per unit, in the unit of `PROPERTIES`. NaN are left out: units
        without a value, as neurons without one were left out of the papers.
    published : Published

    Returns
    -------
    float
        From 0 to 1. Compare it with `expected_distance`.

    Raises
    ------
    ProbeError
        If only a mean was published, or no value of the sample is finite.

    References
    ----------
    As used for models of V1 by Marques, Schrimpf & DiCarlo 2021, bioRxiv 2021.03.01.433495.
    """
    _check_distribution(published)
    ordered = np.sort(published.folded(sample))
    up_to = np.searchsorted(ordered, published.values, side="right")
    if published.counts is not None:
        # A value on an edge is in the bin above, as 0 is in a first bin from 0 to .2; but for the
        # last edge, which closes its bin.
        up_to[:-1] = np.searchsorted(ordered, published.values[:-1], side="left")
    return float(np.abs(up_to / ordered.size - published.shares).max())


def expected_distance(n: int, published: Published, level: float = 0.95) -> float:
    """Compute the distance that chance alone stays below.

    Samples of ``n`` units are drawn from the published distribution. Where the number of neurons
    is known, so are the neurons, since the published shares are those of a sample too.

    Parameters
    ----------
    n : int
        Number of units with a finite value.
    published : Published
    level : float
        Share of draws whose distance is at most the one returned.

    Returns
    -------
    float
        A sample with a greater `distance` differs from the neurons (at ``1 − level``).

    Raises
    ------
    ProbeError
        If only a mean was published, or ``n`` is less than 1.
    """
    _check_distribution(published)
    if n < 1:
        raise ProbeError(f"n={n}: expected the number of units, at least 1")
    between = np.diff(published.shares, prepend=0.0, append=1.0)
    rng = np.random.default_rng(0)
    gaps = _drawn_shares(rng, n, between) - published.shares
    if published.n is not None:
        gaps -= _drawn_shares(rng, published.n, between) - published.shares
    return float(np.quantile(np.abs(gaps).max(axis=1), level, method="higher"))


def _drawn_shares(rng: np.random.Generator, n: int, between: np.ndarray) -> np.ndarray:
    """Draw samples of n; return their cumulative shares, shape (n_draws, n_points)."""
    counts = rng.multinomial(n, between / between.sum(), size=_N_DRAWS)
    return np.asarray(counts.cumsum(axis=1)[:, :-1] / n)


def _check_distribution(published: Published) -> None:
    if not published.values.size:
        raise ProbeError(
            f"of {published.property} in {published.area}, {published.source} gives no "
            "distribution: compare with its mean or range"
        )


@functools.cache
def _read() -> tuple[Published, ...]:
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        content = tomllib.load(file)
    return tuple(_entry(row, content["sources"]) for row in content["distributions"])


def _entry(row: dict[str, Any], sources: dict[str, dict[str, Any]]) -> Published:
    source = sources[row["source"]]
    values, shares, counts = _points(row)
    low, high = row.get("range", (np.nan, np.nan))
    return Published(
        property=row["property"],
        area=row["area"],
        source=f"{source['authors']} ({source['year']}), {source['journal']}",
        neurons=row["neurons"],
        eccentricity=row.get("eccentricity", ""),
        n=row.get("n"),
        values=values,
        shares=shares,
        counts=counts,
        mean=row.get("mean", np.nan),
        median=row.get("median", np.nan),
        range=(low, high),
        fold=row.get("fold", ""),
        read_in=row["read_in"],
        note=row.get("note", ""),
    )


def _points(row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the known points of the cumulative distribution, and the counts between them."""
    if "counts" in row:
        edges, counts = np.asarray(row["edges"], dtype=float), np.asarray(row["counts"])
        if row.get("unit") == _PER_CENT:
            # A cut-off at 50 % of the other is an octave away from it; the order turns round. Bins
            # from 0 % reach to infinity: they are left out, as they are empty.
            first = int(np.flatnonzero(counts)[0])
            edges, counts = np.log2(100.0 / edges[first:])[::-1], counts[first:][::-1]
        cumulative = np.concatenate([[0], counts.cumsum()])
        return edges, cumulative / cumulative[-1], counts
    points = row.get("shares", [[row["median"], 0.5]] if "median" in row else [])
    values, shares = np.asarray(points, dtype=float).reshape(-1, 2).T
    return values, shares, None
