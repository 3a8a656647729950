"""Tuning for the curvature and the angular position of parts of a contour.

Closed shapes are shown in the middle of what a unit sees. What it responds to them is described by
a Gaussian over curvature and angular position: a shape's response is that of its best part, the
largest value of the Gaussian along the contour (Pasupathy & Connor 2001, J Neurophysiol 86:2505).
They fit the Gaussian by nonlinear least squares; here the best of many is chosen, for all units by
one product of matrices, and its peak interpolated.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from probe.errors import ProbeError
from probe.stimuli import Shape, pasupathy_connor_shapes
from probe.tuning.measured import Measured, curve_table
from probe.tuning.units import Units, respond

CURVATURES = np.linspace(-0.7, 1.0, 24)
"""Preferred curvatures that are tried: squashed, as `probe.stimuli.shapes.squash` does it."""

ANGLES = np.arange(0.0, 360.0, 15.0)
"""Preferred angular positions that are tried, in degrees, anticlockwise from the right."""

CURVATURE_SDS = (0.1, 0.14, 0.2, 0.28, 0.4, 0.56)
ANGLE_SDS = (15.0, 21.0, 30.0, 42.0, 60.0, 85.0)
"""Widths of the Gaussians that are tried: standard deviations, in squashed curvature, degrees."""

N_FOLDS = 5
"""Parts of the shapes, each of which is predicted from the others."""

AT_A_TIME = 512
"""Units that are fitted together: correlations with all Gaussians are held for as many."""

SHARE = 0.4
"""What the longest projection is of the window's height: the shape fits in."""

LEAST_RADIUS = 6.0
"""Pixels of the longest projection, at least: smaller shapes are not told apart."""


@dataclass(frozen=True, eq=False)
class ShapeTuning:
    """How well Gaussians over curvature and angular position describe responses to shapes.

    Attributes
    ----------
    correlation : numpy.ndarray, shape (n_units,)
        Pearson's r of the best Gaussian's prediction with the responses to all shapes, as
        Pasupathy & Connor report it: the best of thousands, it is above 0 by chance too. NaN for a
        unit that responds the same to all.
    held_out : numpy.ndarray, shape (n_units,)
        Pearson's r with responses to shapes by which the Gaussian was not chosen: mean over
        `N_FOLDS` parts.
    curvature, curvature_sd : numpy.ndarray, shape (n_units,)
        Of the best Gaussian: squashed curvature, −1 to 1, convex above 0.
    angle, angle_sd : numpy.ndarray, shape (n_units,)
        In degrees, anticlockwise from the right of the centre of mass.
    """

    correlation: np.ndarray
    held_out: np.ndarray
    curvature: np.ndarray
    curvature_sd: np.ndarray
    angle: np.ndarray
    angle_sd: np.ndarray


def shape_tuning(
    units: Units,
    shapes: Sequence[Shape] | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
) -> Measured:
    """Measure tuning for curvature and angular position.

    Each shape is a light silhouette on mid-grey around the middle of a unit's window, its longest
    projection `SHARE` of the window's height: where units have other windows, shapes are drawn
    anew.

    Parameters
    ----------
    units : Units
    shapes : sequence of Shape, optional
        By default, `probe.stimuli.pasupathy_connor_shapes`.
    seed : int
        Of the parts of the shapes that are held out.
    device, batch_size, progress
        As in `respond`.

    Returns
    -------
    Measured
        Columns:

        - ``shape_correlation``, ``shape_correlation_held_out``,
        - ``preferred_curvature``: squashed, −1 to 1; ``preferred_angle``: degrees, 0 to 360, from
          the right, anticlockwise; ``curvature_sd``, ``angle_sd``: see `ShapeTuning`;
        - ``shape_radius``: pixels of the longest projection.

        The curve ``shape`` has the response to each shape.

    Raises
    ------
    ProbeError
        If there are fewer than 20 shapes.

    Examples
    --------
    >>> from probe import models
    >>> from probe.tuning.shapes import shape_tuning
    >>> from probe.tuning.units import layer_units
    >>> units = layer_units(models.load("squeezenet1_1", "random"), "conv1")
    >>> shape_tuning(units).table.shape
    (64, 7)
    """
    shapes = pasupathy_connor_shapes() if shapes is None else tuple(shapes)
    table = units.table
    side = min(units.size)
    window = table["window"].fillna(side).clip(upper=side)
    radius = (SHARE * window).clip(lower=LEAST_RADIUS).round(1)
    centres = table[["centre_y", "centre_x"]].round()
    looks = pd.concat([radius.rename("radius"), centres], axis=1)
    shown = np.empty((len(shapes), len(units)), np.float32)
    groups = looks.groupby(["radius", "centre_y", "centre_x"]).indices
    for rows in map(np.asarray, groups.values()):
        size, y, x = looks.iloc[rows[0]]
        responses = respond(
            units.reading(rows),
            torch.from_numpy(draw_shapes(shapes, units.size, size, (y, x))),
            device=device, batch_size=batch_size, progress=progress,
        )  # fmt: skip
        shown[:, rows] = responses[:, rows]
    fitted = fit_shapes(shown, shapes, seed=seed)
    curve = curve_table(table, shown.T, [shape.name for shape in shapes], "shape")
    columns = {
        "shape_correlation": fitted.correlation,
        "shape_correlation_held_out": fitted.held_out,
        "preferred_curvature": fitted.curvature,
        "preferred_angle": fitted.angle,
        "curvature_sd": fitted.curvature_sd,
        "angle_sd": fitted.angle_sd,
        "shape_radius": radius.to_numpy(),
    }
    return Measured(pd.DataFrame(columns), {"shape": curve})


def draw_shapes(
    shapes: Sequence[Shape], size: tuple[int, int], radius: float, centre: tuple[float, float]
) -> np.ndarray:
    """Draw shapes around a place of the picture.

    Parameters
    ----------
    shapes : sequence of Shape
    size : (int, int)
        Of the pictures: height and width.
    radius : float
        Of the longest projection, in pixels.
    centre : (float, float)
        Row and column, whole ones.

    Returns
    -------
    numpy.ndarray, float32, shape (n, height, width)
        Grey levels in [0, 1]; mid-grey where there is no shape.
    """
    side = 2 * int(np.ceil(1.2 * radius)) + 1
    pictures = np.full((len(shapes), *size), 0.5, np.float32)
    top, left = (int(at) - side // 2 for at in centre)
    rows, columns = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
    for picture, shape in zip(pictures, shapes, strict=True):
        small = shape.render(side, radius=radius / side)[..., 0]
        window = picture[rows, columns]
        cut = small[rows.start - top :, columns.start - left :]
        window += (cut[: window.shape[0], : window.shape[1]] - 128.0) / 255.0
    return pictures


def fit_shapes(responses: np.ndarray, shapes: Sequence[Shape], *, seed: int = 0) -> ShapeTuning:
    """Find the Gaussian over curvature and angular position that describes each unit best.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n_shapes, n_units)
    shapes : sequence of Shape
    seed : int
        Of the parts of the shapes that are held out.

    Returns
    -------
    ShapeTuning

    Raises
    ------
    ProbeError
        If there are fewer than 20 shapes, or another number of responses.
    """
    n_shapes, n_units = responses.shape
    if n_shapes < 4 * N_FOLDS or n_shapes != len(shapes):
        raise ProbeError(
            f"responses to {n_shapes} shapes, of {len(shapes)}: expected one for each of "
            f"{4 * N_FOLDS} shapes or more"
        )
    predicted = predictions(tuple(shapes))
    fold = np.random.default_rng(seed).permutation(n_shapes) % N_FOLDS
    parts = [
        _fit(predicted, responses[:, start : start + AT_A_TIME], fold)
        for start in range(0, n_units, AT_A_TIME)
    ]
    varies = np.ptp(responses, axis=0) > 0
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return ShapeTuning(**{name: np.where(varies, v, np.nan) for name, v in values.items()})


def _fit(predicted: np.ndarray, responses: np.ndarray, fold: np.ndarray) -> dict[str, np.ndarray]:
    """Fit some units: what `ShapeTuning` holds, by its names."""
    correlations = _correlate(predicted, responses)
    best, each = correlations.argmax(0), np.arange(responses.shape[1])
    held_out = np.zeros(len(each))
    for k in range(N_FOLDS):
        test = fold == k
        chosen = _correlate(predicted[:, ~test], responses[~test]).argmax(0)
        held_out += _paired(predicted[chosen][:, test].T, responses[test]) / N_FOLDS
    grid = (len(CURVATURES), len(CURVATURE_SDS), len(ANGLES), len(ANGLE_SDS))
    c, c_sd, a, a_sd = np.unravel_index(best, grid)
    cube = correlations.reshape(*grid, len(each))
    steps = (-1, 0, 1)
    along_c = _vertex([cube[np.clip(c + d, 0, grid[0] - 1), c_sd, a, a_sd, each] for d in steps])
    along_a = _vertex([cube[c, c_sd, (a + d) % grid[2], a_sd, each] for d in steps])
    return {
        "correlation": correlations[best, each].astype(np.float64),
        "held_out": held_out,
        "curvature": CURVATURES[c] + along_c * (CURVATURES[1] - CURVATURES[0]),
        "curvature_sd": np.array(CURVATURE_SDS)[c_sd],
        "angle": (ANGLES[a] + along_a * (ANGLES[1] - ANGLES[0])) % 360.0,
        "angle_sd": np.array(ANGLE_SDS)[a_sd],
    }


@functools.lru_cache(maxsize=2)
def predictions(shapes: tuple[Shape, ...]) -> np.ndarray:
    """Compute what units with Gaussian tuning respond to shapes.

    Returns
    -------
    numpy.ndarray, float32, shape (n_gaussians, n_shapes)
        Of Gaussians of all combinations of `CURVATURES`, `CURVATURE_SDS`, `ANGLES` and
        `ANGLE_SDS`, the last varying fastest.
    """
    curvature = np.stack([s.squashed_curvature for s in shapes])
    angle = np.stack([s.angle for s in shapes])
    off_curvature = _exponents(curvature - CURVATURES[:, None, None], CURVATURE_SDS)
    off_angle = _exponents((angle - ANGLES[:, None, None] + 180.0) % 360.0 - 180.0, ANGLE_SDS)
    nearest = np.empty((len(off_curvature), len(off_angle), len(shapes)), np.float32)
    summed = np.empty_like(off_angle)
    for row, of_curvature in zip(nearest, off_curvature, strict=True):
        np.add(off_angle, of_curvature, out=summed).min(-1, out=row)
    np.exp(-nearest, out=nearest)
    responses = nearest.reshape(-1, len(shapes))
    responses.setflags(write=False)  # shared
    return responses


def gaussian_response(
    shapes: Sequence[Shape], curvature: float, curvature_sd: float, angle: float, angle_sd: float
) -> np.ndarray:
    """Compute what a unit with Gaussian tuning responds to shapes, from 0 to 1: (n_shapes,).

    Parameters
    ----------
    shapes : sequence of Shape
    curvature, curvature_sd : float
        Preferred curvature and width, squashed.
    angle, angle_sd : float
        Preferred angular position and width, in degrees.
    """
    responses = []
    for shape in shapes:
        off = (shape.angle - angle + 180.0) % 360.0 - 180.0
        exponent = ((shape.squashed_curvature - curvature) / curvature_sd) ** 2
        responses.append(np.exp(-0.5 * (exponent + (off / angle_sd) ** 2)).max())
    return np.array(responses)


def _exponents(off: np.ndarray, sds: Sequence[float]) -> np.ndarray:
    """Return half the squared distances in SD: (n_means · n_sds, n_shapes, n_points)."""
    scaled = off[:, None] / np.array(sds)[:, None, None]
    return (0.5 * scaled**2).astype(np.float32).reshape(-1, *off.shape[1:])


def _correlate(predicted: np.ndarray, responses: np.ndarray) -> np.ndarray:
    """Correlate (n_gaussians, n_shapes) with (n_shapes, n_units); −1 where one is constant."""
    a = predicted - predicted.mean(1, keepdims=True)
    b = responses - responses.mean(0)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=0)
    products = a @ b.astype(np.float32)
    return np.divide(products, lengths, out=np.full_like(products, -1.0), where=lengths > 1e-9)


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlate the columns of two tables; 0 where one is constant: nothing is predicted."""
    a, b = a - a.mean(0), b - b.mean(0)
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    products = (a * b).sum(0)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 1e-9)


def _vertex(values: Sequence[Any]) -> np.ndarray:
    """Return how far a peak lies from the middle of three values, in steps, −½ to ½."""
    low, middle, high = values
    bend = low - 2 * middle + high
    # At the end of the grid, the middle stands twice: the peak stays where it is.
    inside = (bend < -1e-9) & (low < middle) & (high < middle)
    return np.where(inside, 0.5 * (low - high) / np.where(inside, bend, 1.0), 0.0)
