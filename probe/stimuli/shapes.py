"""Closed shapes built from boundary elements, in the manner of Pasupathy & Connor 2001.

A shape is a closed contour that passes through convex projections (sharp, medium or broad) and
concavities, placed at multiples of 45° around its centre and joined by a periodic cubic spline.
The spline gives the curvature at every point of the contour exactly, without any pixels. The
elements and their placing follow Pasupathy & Connor 2001, J Neurophysiol 86:2505-2519; the shapes
themselves are our own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from probe.stimuli.stimulus_set import StimulusSet

# Tip radius, and how far from the centre the tip lies; 1 is the longest projection.
_PROJECTIONS = {"S": (0.055, 1.0), "M": (0.15, 0.97), "B": (0.33, 0.92)}
# Distance from the centre, for places that are no projection.
_RADII = {"c": 0.26, "d": 0.42, "o": 0.62}

ROUNDING = 0.03
"""Over which distance contours are rounded off; the longest projection is about 1 long."""

PROTOTYPES = (
    *("oooooooo", "dddddddd"),  # no projection
    *("S.o.o.o.", "M..o.o..", "Sc.o.o.c", "Bc.o.o.c"),  # one
    *("S.d.S.d.", "B.c.B.c.", "S.d.B.d.", "Sc.Sc.c.", "S..S.o..", "Sc.S.oo."),  # two
    *("ScS.o.o.", "ScM.o.o.", "McM.o.o.", "BcS.o.o.", "BcB.o.o."),  # two, a notch between
    *("ScScS.o.", "McMcM.o.", "BcScB.o.", "MdBdM.o.", "S.d.Sc.M"),  # three
    *("ScScScSc", "SdSdSdSd", "McMcMcMc", "BcBcBcBc"),  # four
    *("ScBcScBc", "SdMdSdMd", "ScScScBc"),
)
"""Eight places around each shape, anticlockwise from the right, 45° apart.

``S``, ``M``, ``B``: a sharp, medium or broad convex projection. ``c``, ``d``: a deep or shallow
concavity. ``o``: the body's own round outline. ``.``: nothing; the contour runs on.
"""


@dataclass(frozen=True, eq=False)
class Shape:
    """A closed contour with its curvature.

    Attributes
    ----------
    name : str
        Names the prototype and its rotation.
    points : numpy.ndarray, shape (n_points, 2)
        The contour, anticlockwise, x to the right and y upwards, evenly sampled in arc length;
        the centre of mass is at the origin, and the longest projection about 1 long.
    curvature : numpy.ndarray, shape (n_points,)
        Signed curvature, positive where convex; the inverse of the radius of curvature.
    """

    name: str
    points: np.ndarray
    curvature: np.ndarray

    @property
    def squashed_curvature(self) -> np.ndarray:
        """Curvature brought into (−1, 1), see `squash`."""
        return squash(self.curvature)

    @property
    def angle(self) -> np.ndarray:
        """Angular position of each point around the centre of mass, in degrees, [0, 360)."""
        return np.degrees(np.arctan2(self.points[:, 1], self.points[:, 0])) % 360.0

    def render(self, size: int = 224, radius: float = 0.4, light: int = 240) -> np.ndarray:
        """Draw the shape as a light silhouette on mid-grey.

        Parameters
        ----------
        size : int
            Width and height, in pixels.
        radius : float
            What a contour distance of 1 becomes, as a share of ``size``.
        light : int
            Grey level of the shape.

        Returns
        -------
        numpy.ndarray, shape (size, size, 3), uint8
        """
        factor = 4  # drawn this much larger, then averaged: smooth edges
        centre = size * factor / 2.0
        xy = centre + self.points * [radius * size * factor, -radius * size * factor]
        canvas = Image.new("L", (size * factor, size * factor), 0)
        ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in xy], fill=255)
        share = np.asarray(canvas.reduce(factor), dtype=np.float64) / 255.0
        grey = 128.0 + (light - 128.0) * share
        picture = np.repeat(np.rint(grey).astype(np.uint8)[:, :, None], 3, axis=2)
        picture.setflags(write=False)  # stimulus sets keep it
        return picture


def squash(curvature: np.ndarray) -> np.ndarray:
    """Bring curvature into (−1, 1): equal steps there are about equally easy to tell apart.

    Parameters
    ----------
    curvature : numpy.ndarray
        In units of 1 / the length of the longest projection.

    Returns
    -------
    numpy.ndarray
        About .95 for a sharp tip, .7 for a medium one, .3 for a broad one, .16 for a disc, 0 for a
        straight edge, negative for concavities.
    """
    return np.tanh(0.1 * np.asarray(curvature))


def build(prototype: str, rotation: float = 0.0, n_points: int = 480) -> Shape:
    """Build a shape from its eight places.

    Parameters
    ----------
    prototype : str
        See `PROTOTYPES`.
    rotation : float
        In degrees, anticlockwise.
    n_points : int
        How finely the contour is sampled.
    """
    points, curvature = _contour(prototype, n_points)
    turn = np.radians(rotation)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return Shape(f"{prototype}-{rotation:03.0f}", points @ matrix, curvature)


@functools.cache
def pasupathy_connor_shapes() -> tuple[Shape, ...]:
    """All prototypes in all rotations by multiples of 45° that look different."""
    shapes = []
    for prototype in PROTOTYPES:
        drawn_before = set()
        for step in range(8):
            turned = prototype[-step:] + prototype[:-step] if step else prototype
            if turned not in drawn_before:
                drawn_before.add(turned)
                shapes.append(build(prototype, 45.0 * step))
    return tuple(shapes)


def shape_set(shapes: Sequence[Shape] | None = None, size: int = 224) -> StimulusSet:
    """Draw shapes as a stimulus set, named by the shapes; by default all of them."""
    shapes = pasupathy_connor_shapes() if shapes is None else shapes
    return StimulusSet([s.name for s in shapes], [s.render(size) for s in shapes], "closed shapes")


@functools.cache
def _contour(prototype: str, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and curvature of a prototype that is not turned."""
    corners = _periodic_spline(_control_points(prototype), 0.75)
    # The spline meets its control points with small wobbles; rounding them off over a distance
    # below the sharpest tip's radius makes the contour smooth before its curvature is taken.
    xy, step = _evenly(corners, 2048)
    rounded = gaussian_filter1d(xy, ROUNDING / step, axis=0, mode="wrap")
    contour = _periodic_spline(np.vstack([rounded, rounded[:1]]), 1.0)

    at = _even_parameters(contour, n_points)
    x, y = contour(at).T
    (dx, dy), (ddx, ddy) = contour(at, 1).T, contour(at, 2).T
    curvature = (dx * ddy - dy * ddx) / np.hypot(dx, dy) ** 3

    points = np.stack([x, y], axis=1)
    points = points - _centre_of_mass(points)
    curvature.setflags(write=False)  # shared by all rotations
    return points, curvature


def _control_points(prototype: str) -> np.ndarray:
    """Points that the contour passes through, anticlockwise and closed, shape (n, 2)."""
    points = []
    for position, kind in enumerate(prototype):
        angle = np.radians(45.0 * position)
        if kind in _PROJECTIONS:
            tip, reach = _PROJECTIONS[kind]
            # The tip is an arc of a circle, so that its curvature is 1 / tip.
            for bend in np.radians((-60.0, 0.0, 60.0)):
                points.append(
                    (
                        (reach - tip) * np.cos(angle) + tip * np.cos(angle + bend),
                        (reach - tip) * np.sin(angle) + tip * np.sin(angle + bend),
                    )
                )
        elif kind != ".":
            points.append((_RADII[kind] * np.cos(angle), _RADII[kind] * np.sin(angle)))
    return np.array([*points, points[0]])


def _periodic_spline(closed: np.ndarray, power: float) -> CubicSpline:
    """A smooth closed curve through points whose last is the first.

    Its parameter grows by a power of the chords' lengths: 1 is arc length, 0.5 overshoots least
    between chords of unequal length.
    """
    chords = np.linalg.norm(np.diff(closed, axis=0), axis=1) ** power
    return CubicSpline(np.concatenate([[0.0], np.cumsum(chords)]), closed, bc_type="periodic")


def _even_parameters(curve: CubicSpline, n: int) -> np.ndarray:
    """Parameters of ``n`` points at even steps of arc length."""
    fine = np.linspace(0.0, curve.x[-1], 8 * n + 1)
    steps = np.linalg.norm(np.diff(curve(fine), axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    return np.interp(np.arange(n) / n * length[-1], length, fine)


def _evenly(curve: CubicSpline, n: int) -> tuple[np.ndarray, float]:
    """``n`` points at even steps of arc length, and the step."""
    points = curve(_even_parameters(curve, n))
    return points, float(np.linalg.norm(points[1] - points[0]))


def _centre_of_mass(points: np.ndarray) -> np.ndarray:
    """Centre of mass of the area within a polygon."""
    following = np.roll(points, -1, axis=0)
    cross = points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]
    return ((points + following) * cross[:, None]).sum(axis=0) / (3.0 * cross.sum())
