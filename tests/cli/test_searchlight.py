"""``probe searchlight``: what it prints, writes, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from probe.recordings.folder import responses_hash

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

SHAPE = (5, 4, 3)
AFFINE = np.array([[-2.0, 0, 0, 4], [0, 2, 0, -3], [0, 0, 2, -2], [0, 0, 0, 1]])


@pytest.fixture
def brain(write_lab, tmp_path):
    """Writes a folder of voxels, as an import of brain images does."""

    def write(name, seed=0):
        folder = write_lab(tmp_path / name)
        voxels = np.argwhere(np.ones(SHAPE))
        responses = np.random.default_rng(seed).normal(size=(12, 1, len(voxels)))
        np.save(folder / "responses.npy", responses)
        neuroids = {"neuroid_id": [f"v{k}" for k in range(len(voxels))]}
        neuroids |= {axis: voxels[:, k] for k, axis in enumerate("ijk")}
        pd.DataFrame(neuroids).to_csv(folder / "neuroids.csv", index=False)
        manifest = {
            "title": name, "citation": "", "licence": "", "response_unit": "", "averaged": False,
            "responses_sha256": responses_hash(responses), "volume_shape": list(SHAPE),
            "affine": AFFINE.ravel().tolist(), "space": "T1w",
        }  # fmt: skip
        (folder / "recording.json").write_text(json.dumps(manifest))
        return folder

    return write


@pytest.fixture
def searchlight(run):
    def searchlight(dataset, *more):
        quick = ["--weights", "random", "--layers", "features.0,features.3", "--radius", "4mm"]
        return run(
            "searchlight", "--model", "squeezenet1_1", "--dataset", dataset, *quick,
            "--permutations", 19, *more,
        )  # fmt: skip

    return searchlight


def test_prints_a_table_and_writes_maps(searchlight, brain):
    ran = searchlight(brain("one"), "--out", "maps")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == (
        "squeezenet1_1 (untrained) around each voxel of one: 4 mm, 60 voxels, 12 stimuli"
    )
    assert [line.split()[0] for line in lines if line.startswith("features.")] == [
        "features.0", "features.3",
    ]  # fmt: skip
    assert f"wrote {Path('maps') / '*.nii.gz'} (7 maps)" in lines
    assert lines[-1] == f"wrote {Path('maps') / 'searchlight.json'}"
    image = nibabel.load("maps/scores-features.0.nii.gz")
    assert image.shape == SHAPE
    np.testing.assert_allclose(image.affine, AFFINE)
    assert np.isfinite(np.asarray(image.dataobj)).all()
    sidecar = json.loads(Path("maps/searchlight.json").read_text())
    assert sidecar["provenance"]["command"][:2] == ["probe", "searchlight"]
    assert sidecar["comparison"]["test"].startswith("19 permutations of stimuli")
    assert "replaced maps" in searchlight(brain("two"), "-o", "maps").out


def test_the_window_is_said(searchlight, brain):
    folder = brain("one")
    whole = np.load(folder / "responses.npy")
    np.save(folder / "responses.npy", np.stack([whole, 2 * whole, -whole], axis=2))
    (folder / "times.csv").write_text("time_start_ms,time_end_ms\n0,10\n10,20\n20,30\n")
    manifest = json.loads((folder / "recording.json").read_text())
    times = np.array([[0.0, 10.0], [10.0, 20.0], [20.0, 30.0]])
    digest = responses_hash(np.load(folder / "responses.npy"), times)
    (folder / "recording.json").write_text(json.dumps(manifest | {"responses_sha256": digest}))
    ran = searchlight(folder, "--time", "10,30ms", "-o", "maps")
    assert (ran.code, ran.err) == (0, "")
    assert "Responses from 10 to 30 ms after stimulus onset." in ran.out
    sidecar = json.loads(Path("maps/searchlight.json").read_text())
    assert sidecar["provenance"]["settings"]["time"] == [10, 30]


def test_json_is_all_that_is_printed(searchlight, brain):
    ran = searchlight(brain("one"), "--json")
    (folder,) = Path("results").iterdir()
    assert folder.name == "searchlight-squeezenet1_1-one-random"
    assert json.loads(ran.out) == json.loads((folder / "searchlight.json").read_text())


def test_several_subjects(searchlight, brain):
    folders = [str(brain(f"sub-{k:02}", k)) for k in range(5)]
    ran = searchlight(",".join(folders), "-o", "maps")
    assert ran.code == 0, ran.err
    assert "around each voxel of 5 subjects" in ran.out
    assert "sign flips of 5 subjects" in ran.out
    assert Path("maps/cluster-p-features.3.nii.gz").exists()
    assert Path("maps/scores-features.3.sub-04.nii.gz").exists()


def test_what_cannot_be_done_is_one_line_and_leaves_nothing(searchlight, brain, lab):
    assert "does not say where its neuroids are" in searchlight("sim-v4").error
    assert "recording 'sub1' does not exist; " in searchlight("sub1").error
    folder = brain("one")
    assert "radius 'wide'" in searchlight(folder, "--radius", "wide").error
    assert "metric 'manhattan'" in searchlight(folder, "--metric", "manhattan").error
    assert "this recording holds voxels" in searchlight(folder, "--surface", "lh.gii").error
    assert "no region 'V1'" in searchlight(folder, "--region", "V1").error
    assert not Path("results").exists()


def test_help_teaches(run):
    ran = run("searchlight", "--help")
    assert ran.code == 0
    for words in (
        "probe searchlight --model alexnet --dataset ./subject1 --radius 6mm",
        "probe datasets import",
        "corrected for",
        "at least five",
    ):
        assert words in " ".join(ran.out.split())
