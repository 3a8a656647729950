"""Neighbourhoods found by looking at every pair, and RDMs as rsatoolbox and `rdm` have them."""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rsatoolbox.util.searchlight import get_searchlight_RDMs, get_volume_searchlight
from scipy import sparse
from scipy.spatial.distance import cdist

from probe.similarity import neighbourhoods, rdm
from probe.similarity.neighbourhoods import (
    PRODUCT_METRICS,
    SearchlightRDMs,
    ball_neighbourhoods,
    mesh_graph,
    surface_neighbourhoods,
    voxel_adjacency,
)

RNG = np.random.default_rng


def lists(near):
    return [list(near[k]) for k in range(len(near))]


def some_voxels(seed, n, shape=(5, 6, 4)):
    rng = RNG(seed)
    flat = rng.choice(np.prod(shape), size=n, replace=False)
    return np.column_stack(np.unravel_index(flat, shape))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), radius=st.floats(0.5, 9.0))
def test_balls_hold_the_measured_voxels_within_the_radius(seed, n, radius):
    """Whatever the order of the voxels, their sizes, and the angles between their axes."""
    voxels = some_voxels(seed, n) + RNG(seed).integers(0, 100, 3)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-2.0, 1.5, 3.0]) + RNG(seed).normal(0, 0.3, (3, 3))
    affine[:3, 3] = 12.0, -30.0, 5.0
    millimetres = voxels @ affine[:3, :3].T + affine[:3, 3]
    near = cdist(millimetres, millimetres) <= radius
    found = ball_neighbourhoods(voxels, affine, radius)
    assert lists(found) == [list(np.flatnonzero(row)) for row in near]
    np.testing.assert_array_equal(found.sizes, near.sum(axis=1))


def test_a_voxel_at_the_radius_is_in():
    """Whatever the last digit of its distance."""
    voxels = np.array([[0, 0, 0], [3, 0, 0], [4, 0, 0]])
    assert lists(ball_neighbourhoods(voxels, np.diag([0.1, 0.1, 0.1, 1]), 0.3)) == [
        [0, 1], [0, 1, 2], [1, 2],
    ]  # fmt: skip


def test_balls_as_rsatoolbox():
    """Whose voxels are cubes of 1, and lie below the radius rather than within it."""
    mask = RNG(0).random((9, 8, 7)) < 0.7
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        centres, neighbours = get_volume_searchlight(
            mask, radius=3, threshold=0.0, truncate_at_boundary=True
        )
    voxels = np.argwhere(mask)
    flat = np.ravel_multi_index(tuple(voxels.T), mask.shape)
    found = ball_neighbourhoods(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), 5.99)
    np.testing.assert_array_equal(flat, centres)
    for k, of_centre in enumerate(neighbours):
        np.testing.assert_array_equal(flat[found[k]], np.sort(of_centre))


def ribbon(n_rows=6, n_columns=7):
    """A bent sheet: its ends are near each other across the gap, and far along the sheet."""
    i, j = np.meshgrid(np.arange(n_rows), np.arange(n_columns), indexing="ij")
    angle = 1.8 * np.pi * j / (n_columns - 1)
    coordinates = np.column_stack(
        [3 * np.cos(angle).ravel(), 3 * np.sin(angle).ravel(), 2.0 * i.ravel()]
    )
    index = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    faces = np.concatenate(
        [np.column_stack([f.ravel() for f in face]) for face in ((a, b, c), (b, d, c))]
    )
    return coordinates, faces


def test_surfaces_along_the_mesh():
    """By Floyd and Warshall over all vertices; neighbours across the gap are none."""
    coordinates, faces = ribbon()
    n = len(coordinates)
    distances = np.full((n, n), np.inf)
    np.fill_diagonal(distances, 0.0)
    for face in faces:
        for a, b in itertools.permutations(face, 2):
            distances[a, b] = np.linalg.norm(coordinates[a] - coordinates[b])
    for k in range(n):
        distances = np.minimum(distances, distances[:, [k]] + distances[[k]])
    nodes = RNG(0).permutation(n)[:30]
    found = surface_neighbourhoods(mesh_graph(coordinates, faces), nodes, 5.0)
    near = distances[np.ix_(nodes, nodes)] <= 5.0 + 1e-9
    assert lists(found) == [list(np.flatnonzero(row)) for row in near]
    first, last = 0, 6
    assert np.linalg.norm(coordinates[first] - coordinates[last]) < 5.0
    everywhere = surface_neighbourhoods(mesh_graph(coordinates, faces), np.arange(n), 5.0)
    assert last not in everywhere[first]


def test_surfaces_in_chunks_are_the_same(monkeypatch):
    graph = mesh_graph(*ribbon())
    whole = surface_neighbourhoods(graph, np.arange(42), 4.0)

    def one_by_one(values, _n):
        return np.split(values, len(values))

    monkeypatch.setattr(neighbourhoods.np, "array_split", one_by_one)
    assert lists(surface_neighbourhoods(graph, np.arange(42), 4.0)) == lists(whole)


def test_voxels_that_share_a_face():
    voxels = some_voxels(1, 50)
    steps = np.abs(voxels[:, None] - voxels).sum(axis=2)
    graph = voxel_adjacency(voxels)
    assert sparse.issparse(graph)
    np.testing.assert_array_equal(graph.toarray() != 0, steps == 1)


@pytest.mark.parametrize("metric", PRODUCT_METRICS)
def test_rdms_are_those_of_each_neighbourhood(metric):
    """Though patterns stand on a common response a thousand times their differences."""
    voxels = some_voxels(2, 70)
    x = 1000.0 + RNG(0).normal(size=(9, 70))
    near = ball_neighbourhoods(voxels, np.diag([2, 2, 3, 1]), 4.0)
    rdms = SearchlightRDMs(x, near, metric)
    found = rdms.compute(slice(3, 60))
    for k, row in enumerate(found, start=3):
        if len(near[k]) > 1:
            np.testing.assert_allclose(row, rdm(x[:, near[k]], metric), rtol=1e-8, atol=1e-13)
    np.testing.assert_array_equal(rdms.compute(slice(0, 70))[3:60], found)


@pytest.mark.parametrize("metric", ["correlation", "euclidean"])
def test_rdms_as_rsatoolbox(metric):
    mask = RNG(0).random((6, 7, 5)) < 0.8
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        centres, neighbours = get_volume_searchlight(
            mask, radius=2, threshold=0.0, truncate_at_boundary=True
        )
        volume = RNG(1).normal(size=(12, mask.size))
        theirs = get_searchlight_RDMs(volume, centres, neighbours, np.arange(12), method=metric)
    x = volume[:, mask.ravel()]
    near = ball_neighbourhoods(np.argwhere(mask), np.eye(4), 1.99)
    ours = SearchlightRDMs(x, near, metric).compute(slice(None))
    assert near.sizes.min() > 1
    np.testing.assert_allclose(ours, theirs.dissimilarities, atol=1e-6 * ours.max(), rtol=1e-6)


@pytest.mark.parametrize("metric", PRODUCT_METRICS)
def test_where_no_distance_is_defined_there_is_no_rdm(metric):
    voxels = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 9, 9]])
    x = RNG(0).normal(size=(5, 4))
    x[2, :2] = 0.0  # on the neighbourhood of the first voxel alone
    near = ball_neighbourhoods(voxels, np.eye(4), 1.0)
    undefined = np.isnan(SearchlightRDMs(x, near, metric).compute(slice(None))).all(axis=1)
    expected = [False] * 4 if metric == "euclidean" else [True, False, False, True]
    assert list(undefined) == expected
    x[2, :2] = 0.1 + 0.2  # constant, and not zero
    undefined = np.isnan(SearchlightRDMs(x, near, metric).compute(slice(None))).all(axis=1)
    expected = {"correlation": [True, False, False, True], "cosine": [False] * 3 + [True]}
    assert list(undefined) == expected.get(metric, [False] * 4)


def test_blocks_shrink_with_what_they_hold():
    voxels = some_voxels(0, 100)
    near = ball_neighbourhoods(voxels, np.eye(4), 2.0)
    few = SearchlightRDMs(np.zeros((10, 100)), near)
    many = SearchlightRDMs(np.zeros((1500, 100)), near)
    assert few.block == neighbourhoods.MOST_CENTRES
    assert many.block == 1


def test_a_radius_beyond_all_voxels():
    near = ball_neighbourhoods(some_voxels(0, 50), np.eye(4), 1e6)
    assert (near.sizes == 50).all()


def test_neighbourhoods_that_do_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(neighbourhoods, "host_free_bytes", lambda: 10**4)
    with pytest.raises(ValueError, match=r"50 need .* GB of memory.* choose a smaller radius"):
        ball_neighbourhoods(some_voxels(0, 50), np.eye(4), 3.0)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: ball_neighbourhoods([[0, 0, 0], [0, 0, 0]], np.eye(4), 1.0), "named twice"),
        (lambda: ball_neighbourhoods([[0, 0, 0]], np.diag([1, 1, 0, 1]), 1.0), "no inverse"),
        (lambda: ball_neighbourhoods([[0, 0, 0]], np.eye(4), -1.0), "radius -1.0 mm"),
        (lambda: surface_neighbourhoods(mesh_graph(*ribbon()), [1, 1], 1.0), "named twice"),
        (
            lambda: surface_neighbourhoods(mesh_graph(*ribbon()), [99], 1.0),
            "vertex 99 does not exist",
        ),
        (lambda: surface_neighbourhoods(mesh_graph(*ribbon()), [0], 0.0), "radius 0.0 mm"),
        (lambda: SearchlightRDMs(np.eye(3), None, "jaccard"), "'jaccard': expected one of"),
        (lambda: SearchlightRDMs(np.full((3, 2), np.nan), None), "stimulus 0 has a NaN"),
        (lambda: SearchlightRDMs(np.zeros(3), None), "shape"),
    ],
)
def test_refuses(work, words):
    with pytest.raises(ValueError, match=words):
        work()
