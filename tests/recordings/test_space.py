"""Where neuroids are: read from a recording, or refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from probe.errors import ProbeError
from probe.recordings import Recording, load
from probe.recordings.space import Surface, Volume, space_of
from probe.stimuli import StimulusSet

PICTURES = StimulusSet(["a", "b"], list(np.zeros((2, 4, 4, 3), dtype=np.uint8)), "two")
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -40], [0, 0, 3, 5], [0, 0, 0, 1]])
VOXELS = {"i": [0, 1, 2], "j": [3, 3, 0], "k": [1, 1, 0]}
SHAPE = {"volume_shape": (4, 5, 2), "affine": AFFINE.ravel()}


def recording(coords, **attrs):
    coords = {name: ("neuroid", values) for name, values in coords.items()}
    coords |= {
        "stimulus_id": ("stimulus", ["a", "b"]),
        "neuroid_id": ("neuroid", ["x", "y", "z"]),
        "subject": ("neuroid", ["s"] * 3),
        "region": ("neuroid", ["V1"] * 3),
    }
    values = np.arange(6.0).reshape(2, 1, 3)
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords=coords,
        attrs={"name": "mine", **attrs},
    )
    return Recording(data, PICTURES)


@pytest.mark.parametrize("as_text", [False, True])
def test_voxels(as_text):
    """As whole numbers or, in a table that was read as text, as their digits."""
    coords = {a: list(map(str, v)) if as_text else v for a, v in VOXELS.items()}
    space = space_of(recording(coords, **SHAPE, space="MNI152NLin6Asym"))
    assert isinstance(space, Volume)
    np.testing.assert_array_equal(space.voxels, [[0, 3, 1], [1, 3, 1], [2, 0, 0]])
    assert (space.shape, space.name, len(space)) == ((4, 5, 2), "MNI152NLin6Asym", 3)
    np.testing.assert_allclose(space.millimetres[1], [28, -34, 8])
    volume = space.filled(np.array([1.0, 2.0, 3.0]))
    assert (volume.shape, volume.dtype) == ((4, 5, 2), np.float32)
    assert (volume[0, 3, 1], volume[1, 3, 1], volume[2, 0, 0]) == (1.0, 2.0, 3.0)
    assert np.isnan(volume).sum() == 40 - 3
    assert space.take(np.array([2, 0])).keys == [(2, 0, 0), (0, 3, 1)]


def test_vertices():
    space = space_of(recording({"vertex": [5, 9, 5], "hemisphere": ["L", "L", "R"]}))
    assert isinstance(space, Surface)
    assert space.keys == [("L", 5), ("L", 9), ("R", 5)]
    assert space.take(np.array([2])).keys == [("R", 5)]


def test_grids_are_the_same_to_a_hundredth_of_a_voxel():
    first = space_of(recording(VOXELS, **SHAPE))
    for step, same in ((0.0, True), (0.002, True), (0.2, False)):
        moved = AFFINE.copy()
        moved[0, 3] += step
        other = Volume(first.voxels[:1], first.shape, moved)
        assert first.same_grid(other) is same
    assert not first.same_grid(Volume(first.voxels, (4, 5, 3), AFFINE))
    assert not first.same_grid(Volume(first.voxels, first.shape, AFFINE, "T1w"))
    surface = space_of(recording({"vertex": [5, 9, 5], "hemisphere": ["L", "L", "R"]}))
    assert not first.same_grid(surface)
    assert not surface.same_grid(first)
    assert surface.same_grid(surface)


@pytest.mark.parametrize(
    ("coords", "attrs", "words"),
    [
        ({}, {}, "does not say where its neuroids are: a searchlight needs voxels"),
        ({"i": [0, 1, 2], "j": [0, 0, 0]}, SHAPE, "does not say where"),
        (VOXELS, {}, "has voxels .* and no 'volume_shape'"),
        (VOXELS, {"volume_shape": (4, 5, 2)}, "no 'affine'"),
        (VOXELS, SHAPE | {"affine": np.eye(3)}, "'affine' 9; expected 3 and 16"),
        (VOXELS, SHAPE | {"volume_shape": (2, 5, 2)}, r"voxel \(2, 0, 0\) is outside"),
        (VOXELS | {"i": [0.5, 1, 2]}, SHAPE, "'i' holds values that are not whole numbers"),
        (VOXELS | {"k": ["a", "b", "c"]}, SHAPE, "'k' holds values that are not whole"),
        ({"vertex": [1, 2, 3], "hemisphere": ["L", "L", "both"]}, {}, "hemisphere 'both'"),
    ],
)
def test_what_is_not_known_is_refused(coords, attrs, words):
    with pytest.raises(ProbeError, match=words):
        space_of(recording(coords, **attrs))


def test_rdms_have_no_place():
    data = xr.Dataset(
        {"rdms": (("rdm", "pair"), np.ones((1, 3)) * [1.0, 2.0, 0.5])},
        coords={
            "stimulus_id": ("stimulus", ["a", "b", "c"]),
            "subject": ("rdm", ["s"]),
            "region": ("rdm", ["V1"]),
        },
        attrs={"name": "published"},
    )
    three = StimulusSet(["a", "b", "c"], list(np.zeros((3, 4, 4, 3), dtype=np.uint8)), "three")
    with pytest.raises(ProbeError, match="holds RDMs only"):
        space_of(Recording(data, three))


def test_a_recording_of_neurons_says_what_is_needed():
    with pytest.raises(ProbeError, match=r"sim-v4.*does not say where .* `probe datasets import`"):
        space_of(load("sim-v4"))
