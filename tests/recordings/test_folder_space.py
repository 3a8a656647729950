"""Where voxels and vertices are, in a folder of one's own."""

import json

import numpy as np
import pytest
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import from_folder
from probe.recordings.folder import responses_hash

AFFINE = [-2.0, 0, 0, 90, 0, 2, 0, -126, 0, 0, 0.1, -72, 0, 0, 0, 1]
VOXELS = "neuroid_id,i,j,k,depth\nu,0,10,2,5\nv,3,0,1,7\n"


@pytest.fixture
def write(tmp_path):
    def write(neuroids=VOXELS, **manifest):
        folder = tmp_path / "mine"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for k in range(3):
            Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / "images" / f"p{k}.png")
        responses = np.arange(6.0).reshape(3, 1, 2)
        np.save(folder / "responses.npy", responses)
        (folder / "neuroids.csv").write_text(neuroids)
        if manifest:
            texts = dict.fromkeys(("title", "citation", "licence", "response_unit"), "")
            record = {
                **texts, "averaged": False, "responses_sha256": responses_hash(responses),
                **manifest,
            }  # fmt: skip
            (folder / "recording.json").write_text(json.dumps(record))
        return folder

    return write


def test_voxels(write):
    recording = from_folder(write(volume_shape=[4, 11, 3], affine=AFFINE, space="T1w"))
    data = recording.data
    assert [data[c].values.tolist() for c in "ijk"] == [[0, 3], [10, 0], [2, 1]]
    assert {data[c].dtype for c in "ijk"} == {np.dtype(np.int64)}
    assert data["depth"].values.tolist() == ["5", "7"]  # any other column is text
    assert data.attrs["volume_shape"] == (4, 11, 3)
    assert data.attrs["affine"] == tuple(AFFINE)
    assert data.attrs["space"] == "T1w"


def test_without_a_manifest_indices_are_numbers_all_the_same(write):
    data = from_folder(write()).data
    assert data["j"].values.tolist() == [10, 0]
    assert "affine" not in data.attrs


def test_a_column_i_alone_is_text(write):
    assert from_folder(write("neuroid_id,i\nu,a\nv,b\n")).data["i"].values.tolist() == ["a", "b"]


def test_vertices(write):
    data = from_folder(write("neuroid_id,vertex,hemisphere\nu,7,L\nv,7,R\n")).data
    assert data["vertex"].values.tolist() == [7, 7]
    assert data["hemisphere"].values.tolist() == ["L", "R"]


PLACED = {"volume_shape": [4, 11, 3], "affine": AFFINE}


@pytest.mark.parametrize(
    ("neuroids", "manifest", "reason"),
    [
        ("neuroid_id,i,j,k\nu,0,1.5,2\nv,3,0,1\n", {}, "'1.5' in column 'j', row 1"),
        ("neuroid_id,i,j,k\nu,0,1,2\nv,-3,0,1\n", {}, "'-3' in column 'i', row 2"),
        ("neuroid_id,vertex\nu,\nv,1\n", {}, "'' in column 'vertex', row 1"),
        ("neuroid_id,i,j\nu,0,1\nv,3,0\n", PLACED, "has no column 'k'"),
        ("neuroid_id,i,j,k\nu,0,1,2\nv,4,0,1\n", PLACED, r"\(4, 0, 1\) in row 2.* outside"),
        ("neuroid_id,i,j,k\nu,0,1,2\nv,0,1,2\n", PLACED, r"\(0, 1, 2\) in row 2.*more than once"),
        (VOXELS, {"volume_shape": [4, 11, 3]}, "go together"),
        (VOXELS, PLACED | {"volume_shape": [4, 11]}, "three whole numbers > 0"),
        (VOXELS, PLACED | {"volume_shape": [4, 11, True]}, "three whole numbers > 0"),
        (VOXELS, PLACED | {"affine": AFFINE[:12]}, "'affine': expected 16 numbers"),
        (VOXELS, PLACED | {"affine": [None, *AFFINE[1:]]}, "'affine': expected 16 numbers"),
        (VOXELS, PLACED | {"space": 3}, "'space': expected a text"),
    ],
)
def test_what_places_no_voxel(write, neuroids, manifest, reason):
    with pytest.raises(ProbeError, match=reason):
        from_folder(write(neuroids, **manifest))
