"""Closed shapes: curvature against closed forms, and pictures against contours."""

from __future__ import annotations

import numpy as np
import pytest

from probe.stimuli import pasupathy_connor_shapes, shape_set
from probe.stimuli.shapes import PROTOTYPES, build, squash


def area(points):
    x, y = points.T
    return 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)


def test_a_disc_has_the_curvature_of_its_radius():
    disc = build("oooooooo")
    radius = np.hypot(*disc.points.T)
    assert radius == pytest.approx(np.full(480, 0.62), abs=0.01)
    assert disc.curvature == pytest.approx(1.0 / radius, rel=0.05)


def test_curvature_is_that_of_the_drawn_contour():
    # The circle through three neighbouring points of the contour, drawn finely.
    for shape in (build(p, n_points=4000) for p in PROTOTYPES):
        a, b, c = np.roll(shape.points, 1, 0), shape.points, np.roll(shape.points, -1, 0)
        u, v = b - a, c - b
        cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        sides = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
        menger = 2.0 * cross / (sides * np.linalg.norm(c - a, axis=1))
        np.testing.assert_allclose(shape.curvature, menger, atol=0.02 * np.abs(menger).max())


@pytest.mark.parametrize("prototype", PROTOTYPES)
def test_contours_are_closed_simple_and_centred(prototype):
    shape = build(prototype)
    steps = np.linalg.norm(np.roll(shape.points, -1, 0) - shape.points, axis=1)
    assert steps.max() < 1.05 * np.median(steps), "evenly sampled, the last step closing it"
    # A simple closed curve turns once: the integral of its curvature is 2π.
    assert (shape.curvature * steps).sum() == pytest.approx(2 * np.pi, rel=0.01)
    assert not crosses_itself(shape.points)
    # Centre of mass, from the pixels of the drawing.
    drawn = shape.render()[:, :, 0] - 128.0
    grid = (np.arange(224) + 0.5) / 224 - 0.5
    assert abs((drawn.sum(axis=0) * grid).sum() / drawn.sum()) < 0.003
    assert abs((drawn.sum(axis=1) * grid).sum() / drawn.sum()) < 0.003
    assert drawn.sum() / 112.0 == pytest.approx(area(shape.points) * (0.4 * 224) ** 2, rel=0.02)


def crosses_itself(points):
    p, q = points, np.roll(points, -1, axis=0)
    d = q - p

    def side(origin, direction, other):
        r = other[None, :, :] - origin[:, None, :]
        return np.sign(direction[:, None, 0] * r[..., 1] - direction[:, None, 1] * r[..., 0])

    a = side(p, d, p) * side(p, d, q)  # [i, j]: whether segment j's ends lie on both sides of i
    return bool(((a < 0) & (a.T < 0)).any())


def test_a_crossing_is_found():
    t = np.linspace(0, 2 * np.pi, 100, endpoint=False) + 0.01
    assert crosses_itself(np.stack([np.sin(t), np.sin(2 * t)], axis=1))


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("S", 0.9, 1.0), ("M", 0.6, 0.8), ("B", 0.15, 0.45)]
)
def test_projections_are_as_sharp_as_they_are_called(kind, low, high):
    shape = build(f"{kind}d{kind}d{kind}d{kind}d")
    tips = [np.abs((shape.angle - a + 180) % 360 - 180).argmin() for a in (0, 90, 180, 270)]
    for tip in tips:
        assert low < shape.squashed_curvature[tip] < high
    between = np.abs(shape.angle - 45.0).argmin()
    assert shape.squashed_curvature[between] < -0.2


def test_rotation_turns_anticlockwise():
    still, turned = build("S.o.o.o."), build("S.o.o.o.", 90.0)
    np.testing.assert_allclose(turned.points[:, 0], -still.points[:, 1], atol=1e-12)
    np.testing.assert_allclose(turned.points[:, 1], still.points[:, 0], atol=1e-12)
    np.testing.assert_array_equal(turned.curvature, still.curvature)
    # The tip points right, then up: rows of a picture count downwards.
    light = still.render()[:, :, 0] > 200
    assert light[:, 112:].any(axis=0).sum() > light[:, :112].any(axis=0).sum()
    light = turned.render()[:, :, 0] > 200
    assert light[:112].any(axis=1).sum() > light[112:].any(axis=1).sum()


def test_squash_is_odd_and_bounded():
    assert squash(np.array(0.0)) == 0.0
    values = squash(np.linspace(-100, 100, 201))
    assert (np.abs(values) <= 1).all()
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose(values, -values[::-1])


def test_the_set():
    shapes, stimuli = pasupathy_connor_shapes(), shape_set()
    assert len(stimuli) == len(shapes) == 178
    drawn = [s.render() for s in shapes]
    assert len({d.tobytes() for d in drawn}) == 178, "two shapes look the same"
    for picture in drawn:
        assert picture.shape == (224, 224, 3)
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (border == 128).all(), "a shape touches the edge"
        assert picture.max() == 240
    assert shape_set().hash == stimuli.hash
    assert np.asarray(stimuli.image(0)).shape == (224, 224, 3)


def test_edges_are_smooth():
    levels = np.unique(build("oooooooo").render())
    assert levels.min() == 128
    assert levels.max() == 240
    assert len(levels) > 10
