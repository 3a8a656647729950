"""Slices and surfaces: what is on the left in the head is drawn on the left."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from probe.formats.brain_maps import Mesh
from probe.plots.searchlight import (
    canonical,
    chosen_slices,
    plot_slices,
    plot_surfaces,
)
from probe.recordings.space import Surface, Volume


def affines():
    """All ways in which axes may run, in voxels of 2 × 3 × 4 mm, a little oblique."""
    tilt = np.array([[1, 0.1, 0], [-0.1, 1, 0.05], [0, -0.05, 1]])
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = tilt @ np.eye(3)[:, order] * (np.array(signs) * [2.0, 3.0, 4.0])
            affine[:3, 3] = 11.0, -7.0, 5.0
            yield affine


@pytest.mark.parametrize("affine", list(affines()))
def test_volumes_are_turned_as_nibabel_turns_them(affine):
    volume = np.random.default_rng(0).normal(size=(4, 5, 6))
    turned, to_mm = canonical(volume, affine)
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume, affine))
    np.testing.assert_array_equal(turned, np.asarray(expected.dataobj))
    np.testing.assert_allclose(to_mm, expected.affine)


def large():
    return Figure(figsize=(9, 6))


def panels(plot, *tables, **options):
    """The panels that show maps: not the scales beside them."""
    return [ax for ax in plot(*tables, **options).axes if ax.get_label() != "<colorbar>"]


def cube(affine):
    voxels = np.argwhere(np.ones((4, 4, 4)))
    return Volume(voxels, (4, 4, 4), affine)


@pytest.mark.parametrize("affine", list(affines())[::5])
def test_left_is_left_and_front_is_up(affine):
    space = cube(affine)
    middle = space.millimetres.mean(axis=0)
    left, _, _ = (space.millimetres < middle).T
    _, front, _ = (space.millimetres > middle).T
    scores = np.stack([left, front]).astype(float)
    figure = large()
    axes = panels(plot_slices, space, scores, ["left", "front"], figure=figure)
    n = len(chosen_slices(space))
    image = np.asarray(axes[n // 2].get_images()[0].get_array())
    assert image[:, 0].mean() > 0.7 > 0.3 > image[:, -1].mean()
    image = axes[n + n // 2].get_images()[0]
    assert image.origin == "lower"
    rows = np.asarray(image.get_array()).mean(axis=1)
    assert rows[-1] > 0.7 > 0.3 > rows[0]
    texts = {text.get_text(): text.get_position()[0] for text in axes[0].texts}
    assert texts["L"] < 0.5 < texts["R"]


def test_what_is_significant_is_outlined():
    space = cube(np.diag([2.0, 2, 2, 1]))
    significant = (space.voxels == [1, 2, 0]).all(axis=1)[None]
    axes = panels(
        plot_slices, space, np.ones((1, 64)), ["one"], significant=significant, figure=large()
    )
    (lines,) = (c for c in axes[0].collections if isinstance(c, LineCollection))
    edges = {tuple(map(tuple, np.round(segment, 1).tolist())) for segment in lines.get_segments()}
    assert edges == {
        ((0.5, 1.5), (1.5, 1.5)), ((0.5, 2.5), (1.5, 2.5)),
        ((0.5, 1.5), (0.5, 2.5)), ((1.5, 1.5), (1.5, 2.5)),
    }  # fmt: skip
    (none,) = (c for c in axes[1].collections if isinstance(c, LineCollection))
    assert not none.get_segments()


def test_slices_are_labelled_with_their_height():
    affine = np.diag([2.0, 2.0, -5.0, 1.0])
    affine[2, 3] = 10.0
    figure = large()
    axes = panels(
        plot_slices, cube(affine), np.ones((1, 64)), ["one"], title="A title", figure=figure
    )
    assert [ax.get_title() for ax in axes] == ["z = −5 mm", "0", "5", "10"]
    assert "A title" in figure.get_suptitle()


def test_the_best_layer_has_a_row_and_a_legend():
    space = cube(np.eye(4))
    best = np.where(space.voxels[:, 0] < 2, 0, 1)
    best[space.voxels[:, 2] == 0] = -1
    figure = large()
    axes = panels(plot_slices, space, np.ones((2, 64)), ["early", "late"], best=best, figure=figure)
    assert [axes[k].get_ylabel() for k in (0, 4, 8)] == ["early", "late", "best layer"]
    shown = np.ma.filled(axes[9].get_images()[-1].get_array(), np.nan)
    np.testing.assert_array_equal(shown, [[0, 0, 1, 1]] * 4)
    assert np.isnan(np.ma.filled(axes[8].get_images()[-1].get_array(), np.nan)).all()
    labels = [t.get_text() for ax in figure.axes for t in ax.get_yticklabels()]
    assert {"early", "late"} <= set(labels)


def test_surfaces_are_seen_from_both_sides():
    """The face at the front of the left hemisphere is on the left, seen from outside."""
    points = np.array([[-30, -50, 0], [-30, -40, 0], [-30, -50, 9], [-30, 40, 0], [-30, 50, 0],
                       [-30, 50, 9]], dtype=float)  # fmt: skip
    mesh = Mesh(points, np.array([[0, 1, 2], [3, 4, 5]]), "L")
    space = Surface(np.arange(3, 6), np.array(["L"] * 3))
    axes = panels(plot_surfaces, space, {"L": mesh}, np.full((1, 3), 0.4), ["one"], figure=large())
    assert [ax.get_title() for ax in axes] == ["left, lateral", "left, medial"]
    for ax, side in zip(axes, (-1, 1), strict=True):
        (faces,) = (c for c in ax.collections if isinstance(c, PolyCollection))
        values = np.ma.filled(faces.get_array(), np.nan)
        front = int(np.flatnonzero(np.isfinite(values))[0])
        assert values[front] == pytest.approx(0.4)
        assert np.sign(faces.get_paths()[front].vertices[:, 0]).mean() == side
