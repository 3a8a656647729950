"""Searchlights from end to end: a network, a simulated brain in which its layers have places."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from nibabel import gifti
from PIL import Image
from torch import nn

import probe
from probe.comparison.result_searchlight import SearchlightResult
from probe.comparison.searchlight import read_radius
from probe.errors import ProbeError
from probe.models import Network
from probe.models.preprocessing import Preprocessing
from probe.recordings import Recording
from probe.recordings.space import Volume
from probe.similarity import compare, rdm
from probe.similarity.neighbourhoods import ball_neighbourhoods
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

N = 20
SHAPE = (6, 7, 5)
AFFINE = np.array([[-3.0, 0, 0, 9], [0, 3, 0, -12], [0, 0, 3, -6], [0, 0, 0, 1]])
FIRST, SECOND = np.array([1, 1, 2]), np.array([4, 5, 2])
"""Voxels around which there are the layers of the network."""
HAXBY = Path(os.environ.get("PROBE_MIRROR", "")) / "samples" / "haxby2001-miniature"
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 5, stride=3))
    return Network.from_module(module.eval(), preprocessing=Preprocessing("resize", (12, 12)))


@pytest.fixture(scope="module")
def stimuli():
    rng = RNG(0)
    coarse = rng.integers(0, 256, (N, 4, 4, 3), dtype=np.uint8)
    pictures = [np.asarray(Image.fromarray(p).resize((12, 12))) for p in coarse]
    return StimulusSet([f"p{k:02}" for k in range(N)], pictures, "noise")


@pytest.fixture(scope="module")
def patterns(network, stimuli):
    """Patterns whose RDMs are those of the layers, nearly: as wide as a neighbourhood may be."""
    store = probe.extract(network, stimuli, layers="0,2", device="cpu", progress=False)
    rng, found = RNG(1), []
    for layer in ("0", "2"):
        distances = rdm(np.asarray(store[layer].values).reshape(N, -1))
        square = np.zeros((N, N))
        square[np.triu_indices(N, 1)] = distances
        centring = np.eye(N) - 1.0 / N
        values, vectors = np.linalg.eigh(-0.5 * centring @ (square + square.T) @ centring)
        x = vectors * np.sqrt(np.maximum(values, 0.0)) @ rng.normal(size=(N, 40))
        found.append(x / x.std())
    return found


def voxels_of(seed=0):
    """All but some voxels of a small volume."""
    voxels = np.argwhere(np.ones(SHAPE))
    return voxels[np.sort(RNG(seed).permutation(len(voxels))[10:])]


def data_of(responses, coords, stimuli, name, **attrs):
    n = responses.shape[-1]
    along = {name: ("neuroid", values) for name, values in coords.items()}
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            "neuroid_id": ("neuroid", [f"v{k}" for k in range(n)]),
            "subject": ("neuroid", [name] * n),
            "region": ("neuroid", ["back" if k < n // 2 else "front" for k in range(n)]),
            **along,
        },
        attrs={"name": name, "title": "simulated", "simulated": True, "source_hash": "", **attrs},
    )
    return Recording(data, stimuli)


def brain(patterns, stimuli, seed=0, name="sub-01", signal=4.0, n_repetitions=1, **attrs):
    """A simulated subject: noise, and the two layers each around a voxel."""
    voxels = voxels_of(seed)
    responses = RNG(seed).normal(size=(N, n_repetitions, len(voxels)))
    for centre, pattern in zip((FIRST, SECOND), patterns, strict=True):
        near = np.linalg.norm(voxels - centre, axis=1) <= 1.5
        responses[:, :, near] += signal * pattern[:, None, : near.sum()]
    coords = {axis: voxels[:, k] for k, axis in enumerate("ijk")}
    attrs = {"volume_shape": SHAPE, "affine": AFFINE.ravel(), "space": "T1w"} | attrs
    return data_of(responses, coords, stimuli, name, **attrs)


def run(network, recording, **options):
    settings = {"radius": 4.5, "layers": "0,2", "permutations": 99, "progress": False}
    return probe.searchlight(network, recording, **(settings | {"device": "cpu"} | options))


@pytest.fixture(scope="module")
def found(network, patterns, stimuli):
    return run(network, brain(patterns, stimuli))


def test_scores_are_those_of_each_neighbourhood(found, network, patterns, stimuli):
    recording = brain(patterns, stimuli)
    assert isinstance(found, SearchlightResult)
    assert isinstance(found.space, Volume)
    near = ball_neighbourhoods(found.space.voxels, AFFINE, 4.5)
    np.testing.assert_array_equal(found.sizes, near.sizes)
    responses = recording.mean_responses().values
    layers = probe.rsa(
        network, recording.select("back"), layers="0,2", baselines=False, resample=None,
        n_resamples=2, progress=False, device="cpu",
    ).rdms.distances  # fmt: skip
    for k in (0, 17, len(near) - 1):
        expected = compare(layers, rdm(responses[:, near[k]])[None], "spearman")[:, 0]
        np.testing.assert_allclose(found.scores[:, k], expected, atol=1e-12)


def test_each_layer_is_found_in_its_place(found):
    table = found.table.set_index("layer")
    for layer, place in (("0", FIRST), ("2", SECOND)):
        peak = table.loc[layer, list("ijk")].to_numpy(dtype=float)
        assert np.linalg.norm(peak - place) <= 1.5
        assert table.loc[layer, "p_max"] == pytest.approx(0.01)
        k = int(np.flatnonzero((found.space.voxels == peak).all(axis=1))[0])
        assert found.layers[found.best[k]] == layer
        assert found.p_of_best[k] <= 0.05
        mm = AFFINE[:3, :3] @ peak + AFFINE[:3, 3]
        np.testing.assert_allclose(table.loc[layer, list("xyz")].to_numpy(dtype=float), mm)
    far = np.minimum(*(
        np.linalg.norm(found.space.voxels - place, axis=1) for place in (FIRST, SECOND)
    )) > 3.2  # fmt: skip
    assert (found.p[:, far] > 0.05).all()
    assert table["n_best"].sum() == len(found.space)


def test_a_seed_gives_the_same_and_another_other_permutations(found, network, patterns, stimuli):
    again = run(network, brain(patterns, stimuli))
    np.testing.assert_array_equal(again.scores, found.scores)
    np.testing.assert_array_equal(again.p, found.p)
    other = run(network, brain(patterns, stimuli), seed=1)
    np.testing.assert_array_equal(other.scores, found.scores)
    assert (other.p != found.p).any()


def test_the_order_of_voxels_and_stimuli_changes_nothing(found, network, patterns, stimuli):
    recording = brain(patterns, stimuli)
    rng = RNG(5)
    mixed = recording.data.isel(
        neuroid=rng.permutation(len(found.space)), stimulus=rng.permutation(N)
    )
    other = run(network, Recording(mixed, stimuli), permutations=0)
    for m in range(2):
        np.testing.assert_allclose(
            other.space.filled(other.scores[m]), found.space.filled(found.scores[m]), rtol=1e-6
        )
    assert other.p is None
    assert other.p_of_best is None


def test_a_window_of_time(found, network, patterns, stimuli):
    """The mean over two of three times is that of the brain without time."""
    data = brain(patterns, stimuli).data
    responses = data["responses"].values
    noise = RNG(8).normal(size=responses.shape)
    timed = np.stack([responses - noise, responses + noise, 9.0 * noise], axis=2)
    dims = ("stimulus", "repetition", "time", "neuroid")
    along = {"time_start": ("time", [0.0, 10.0, 20.0]), "time_end": ("time", [10.0, 20.0, 30.0])}
    recording = Recording(
        data.drop_vars("responses").assign(responses=(dims, timed)).assign_coords(along), stimuli
    )
    result = run(network, recording, time="0,20ms", permutations=0)
    np.testing.assert_allclose(result.scores, found.scores, atol=1e-12)
    with pytest.raises(ProbeError, match=r"has a time axis .* name a window"):
        run(network, recording)


@pytest.mark.parametrize("metric", ["mahalanobis", "crossnobis", "euclidean"])
def test_metrics_that_know_the_noise(network, patterns, stimuli, metric):
    recording = brain(patterns, stimuli, n_repetitions=4, signal=3.0)
    result = run(network, recording, metric=metric, permutations=0, layers="0")
    near = ball_neighbourhoods(result.space.voxels, AFFINE, 4.5)
    k = 20
    responses = recording.data["responses"].values[:, :, near[k]]
    if metric == "euclidean":
        expected = rdm(responses.mean(axis=1), metric)
    else:
        expected = recording.rdm_of_repetitions(responses, metric, "sub-01")
    layers = probe.rsa(
        network, recording.select("back"), layers="0", baselines=False, resample=None,
        metric=metric, n_resamples=2, progress=False, device="cpu",
    ).rdms.distances  # fmt: skip
    assert result.scores[0, k] == pytest.approx(compare(layers, expected[None])[0, 0])
    peak = result.table.loc[0, list("ijk")].to_numpy(dtype=float)
    assert result.table.loc[0, "max"] > 0.3
    assert np.linalg.norm(peak - FIRST) < np.linalg.norm(peak - SECOND)


def test_files_are_volumes_in_the_space_of_the_recording(found, tmp_path):
    written = found.save(tmp_path / "out")
    names = {path.name for path in written}
    assert names == set(found.files)
    for m, layer in enumerate(("0", "2")):
        for stem, values in ((f"scores-{layer}", found.scores[m]), (f"p-{layer}", found.p[m])):
            image = nibabel.load(tmp_path / "out" / f"{stem}.nii.gz")
            assert image.shape == SHAPE
            assert image.get_data_dtype() == np.float32
            np.testing.assert_allclose(image.affine, AFFINE)
            volume = np.asarray(image.dataobj)
            inside = volume[tuple(found.space.voxels.T)]
            np.testing.assert_array_equal(inside, values.astype(np.float32))
            assert np.isnan(volume).sum() == 10
    best = np.asarray(nibabel.load(tmp_path / "out" / "best-layer.nii.gz").dataobj)
    assert set(best[np.isfinite(best)]) == {1.0, 2.0}
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(table["layer"].astype(str)) == ["0", "2"]
    sidecar = json.loads((tmp_path / "out" / "searchlight.json").read_text())
    assert sidecar["recording"]["simulated"] is True
    assert sidecar["layers_of_best_layer_map"] == {"1": "0", "2": "2"}
    assert sidecar["space"]["affine"] == AFFINE.ravel().tolist()
    assert sidecar["comparison"]["radius_mm"] == 4.5
    assert sidecar["provenance"]["settings"]["permutations"] == 99
    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_glass_brain_in_mni_space_alone(found, tmp_path):
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    assert found._glass_brain() is None
    there = replace(found.space, name="MNI152NLin2009cAsym")
    assert replace(found, space=there)._glass_brain().startswith(b"\x89PNG")


def test_it_says_what_it_is(found):
    text = repr(found)
    assert "around each voxel of SIMULATED sub-01: 4.5 mm, 200 voxels, 20 stimuli" in text
    assert "The recording is SIMULATED" in text
    assert "99 permutations of stimuli, largest score anywhere" in text
    assert "reaches up to 4.5 mm beyond" in text
    html = found._repr_html_()
    assert "data:image/png" in html
    assert "SIMULATED" in html
    json.loads(found.to_json())


def test_plots_some_layers(found):
    figure = found.plot("2")
    assert figure.axes[0].get_ylabel() == "2"
    with pytest.raises(ProbeError, match="no map of layer '7'"):
        found.plot("7")


def test_several_subjects(network, patterns, stimuli, tmp_path):
    """Their signs are flipped; a place that one of them lacks is in no mean."""
    subjects = [brain(patterns, stimuli, k, f"sub-{k:02}", signal=2.0) for k in range(6)]
    result = run(network, subjects, output=tmp_path)
    assert list(result.by_subject) == [f"sub-{k:02}" for k in range(6)]
    shared = set.intersection(*(set(m.space.keys) for m in result.by_subject.values()))
    assert set(result.space.keys) == shared
    where = {key: k for k, key in enumerate(result.space.keys)}
    by_hand = np.mean(
        [
            [m.scores[0][m.space.keys.index(key)] for key in where]
            for m in result.by_subject.values()
        ],
        axis=0,
    )
    np.testing.assert_allclose(result.scores[0], by_hand)
    assert result.p.min() == pytest.approx(1 / 64)
    assert result.p_cluster.min() == pytest.approx(1 / 64)
    assert "all 64 sign flips of 6 subjects" in repr(result)
    alone = run(network, subjects[2], permutations=0)
    own = nibabel.load(tmp_path / "scores-0.sub-02.nii.gz")
    np.testing.assert_array_equal(np.asarray(own.dataobj), alone.space.filled(alone.scores[0]))
    assert (tmp_path / "cluster-p-0.nii.gz").exists()


def test_subjects_in_one_recording(network, patterns, stimuli):
    parts = [brain(patterns, stimuli, k, f"sub-{k}") for k in range(2)]
    data = [part.data.drop_vars("neuroid_id") for part in parts]
    together = xr.concat(data, "neuroid", data_vars="all", coords="different", compat="equals")
    together = together.assign_coords(
        neuroid_id=("neuroid", [f"n{k}" for k in range(together.sizes["neuroid"])])
    ).assign_attrs(name="both")
    result = run(network, Recording(together, stimuli))
    assert list(result.by_subject) == ["both, sub-0", "both, sub-1"]
    one = run(network, parts[1], permutations=0)
    np.testing.assert_allclose(result.by_subject["both, sub-1"].scores, one.scores)
    assert result.p is None
    assert any("2 subjects have 4 sign flips, too few" in note for note in result.notes())


def test_a_region_alone(network, patterns, stimuli):
    recording = brain(patterns, stimuli)
    result = run(network, recording, region="front", permutations=0)
    assert len(result.space) == 100
    assert result.sizes.max() <= 19


def test_where_there_is_no_score(network, patterns, stimuli, tmp_path):
    recording = brain(patterns, stimuli)
    values = recording.data["responses"].values.copy()
    voxels = voxels_of()
    corner = np.linalg.norm(voxels - [0, 6, 4], axis=1) <= 3.0
    values[3, :, corner] = 2.0  # one stimulus has the same response all over a corner
    data = recording.data.assign(responses=(recording.data["responses"].dims, values))
    result = run(network, Recording(data, stimuli), output=tmp_path)
    assert (result.best < 0).any()
    assert (result.best < 0).sum() == np.isnan(result.scores[0]).sum()
    assert np.isnan(result.p[:, result.best < 0]).all()
    assert any("without a score" in note for note in result.notes())
    best = np.asarray(nibabel.load(tmp_path / "best-layer.nii.gz").dataobj)
    assert np.isnan(best).sum() == 10 + (result.best < 0).sum()


def sheet(n_rows=9, n_columns=10, x=-30.0):
    """A flat mesh, standing."""
    i, j = np.meshgrid(np.arange(n_rows), np.arange(n_columns), indexing="ij")
    points = np.column_stack([np.full(i.size, x), 3.0 * j.ravel(), 3.0 * i.ravel()])
    index = np.arange(i.size).reshape(i.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    triangles = [np.column_stack([f.ravel() for f in face]) for face in ((a, b, c), (b, d, c))]
    return points, np.concatenate(triangles)


def write_mesh(path, x):
    points, triangles = sheet(x=x)
    arrays = [
        gifti.GiftiDataArray(points.astype(np.float32), intent="NIFTI_INTENT_POINTSET"),
        gifti.GiftiDataArray(triangles.astype(np.int32), intent="NIFTI_INTENT_TRIANGLE"),
    ]
    nibabel.save(gifti.GiftiImage(darrays=arrays), path)
    return path


@pytest.fixture
def surfaces(tmp_path):
    return [write_mesh(tmp_path / "lh.surf.gii", -30.0), write_mesh(tmp_path / "rh.surf.gii", 30.0)]


def cortex(patterns, stimuli, name="cortex", seed=0):
    """A simulated surface: the first layer in the left hemisphere, the second in the right."""
    points, _ = sheet()
    responses = RNG(seed).normal(size=(N, 1, 180))
    for half, pattern in enumerate(patterns):
        near = np.flatnonzero(np.linalg.norm(points - points[44], axis=1) < 5.0)
        responses[:, 0, 90 * half + near] += 4.0 * pattern[:, : len(near)]
    keep = np.setdiff1d(np.arange(180), [3, 100])
    coords = {"vertex": keep % 90, "hemisphere": np.where(keep < 90, "L", "R")}
    return data_of(responses[:, :, keep], coords, stimuli, name)


def test_surfaces(network, patterns, stimuli, surfaces, tmp_path):
    result = run(network, cortex(patterns, stimuli), radius="6.5mm", surface=surfaces)
    table = result.table.set_index("layer")
    assert list(table["hemisphere"]) == ["L", "R"]
    points, _ = sheet()
    for vertex in table["vertex"]:
        assert np.linalg.norm(points[vertex] - points[44]) < 5.0
    assert (table["p_max"] <= 0.05).all()
    names = {path.name for path in result.save(tmp_path / "out")}
    assert names == set(result.files)
    for side, missing in (("L", 3), ("R", 10)):
        image = nibabel.load(tmp_path / "out" / f"scores-0.{side}.shape.gii")
        values = image.darrays[0].data
        here = result.space.hemispheres == side
        np.testing.assert_array_equal(
            values[result.space.vertices[here]], result.scores[0][here].astype(np.float32)
        )
        assert list(np.flatnonzero(np.isnan(values))) == [missing]
    assert "around each vertex of SIMULATED cortex: 6.5 mm, 178 vertices" in repr(result)


def test_several_surfaces(network, patterns, stimuli, surfaces):
    subjects = [cortex(patterns, stimuli, f"sub-{k}", k) for k in range(5)]
    result = run(network, subjects, radius=6.5, surface=surfaces, layers="0")
    assert result.p_cluster.min() == pytest.approx(1 / 32)
    assert (result.p_cluster[0][result.space.hemispheres == "L"] < 0.05).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: [], "hemisphere L, whose mesh is not named: .*--surface L=FILE.gii"),
        (lambda s: s[:1], "hemisphere R, whose mesh is not named"),
        (lambda s: [s[0], s[0]], "two meshes of hemisphere L"),
        (lambda s: [f"L={s[1]}", f"R={s[0].parent / 'none.gii'}"], "none.gii' is not a GIfTI file"),
        (lambda s: [s[0].rename(s[0].parent / "mesh.gii")], "does not say of which hemisphere"),
    ],
)
def test_meshes_that_are_not_known(network, patterns, stimuli, surfaces, change, words):
    with pytest.raises(ProbeError, match=words):
        run(network, cortex(patterns, stimuli), surface=change(surfaces))


def test_meshes_of_other_brains(network, patterns, stimuli, surfaces):
    recording = cortex(patterns, stimuli)
    data = recording.data.assign_coords(vertex=recording.data["vertex"] + 1)
    with pytest.raises(ProbeError, match="has 90 vertices, and the recording one of number 90"):
        run(network, Recording(data, stimuli), surface=surfaces)


def test_bad_input(network, patterns, stimuli, surfaces):
    recording = brain(patterns, stimuli)
    moved = AFFINE.copy()
    moved[1, 3] += 1.0
    other = brain(patterns, stimuli, 1, "sub-02", affine=moved.ravel())
    few = Recording(recording.data.isel(stimulus=slice(4)), stimuli)
    for arguments, words in (
        ({"radius": "wide"}, "radius 'wide': expected millimetres above 0, as 6mm"),
        ({"radius": -2}, "radius '-2'"),
        ({"permutations": -1}, "permutations -1"),
        ({"metric": "manhattan"}, "metric 'manhattan': expected one of correlation, "),
        ({"layers": "9"}, "'9'"),
        ({"surface": surfaces}, "this recording holds voxels"),
        ({"radius": 0.1}, "no neighbourhood of 0.1 mm has an RDM .* larger radius"),
        ({"metric": "crossnobis"}, "no neighbourhood .* no stimulus has two complete repetitions"),
        ({"recording": [recording, other]}, "sub-02 and sub-01 are not on one grid"),
        ({"recording": [recording, recording]}, "two recordings are called 'sub-01'"),
        ({"recording": few}, "has 4 stimuli, too few"),
        ({"recording": "sim-v4"}, "does not say where its neuroids are"),
        ({"region": "V9"}, "no region 'V9'"),
    ):
        given = arguments.pop("recording", recording)
        with pytest.raises(ProbeError, match=words):
            run(network, given, **arguments)


def test_without_nibabel_nothing_is_half_written(found, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ProbeError, match=r"need nibabel.*cnn-probe\[fmri\]"):
        found.save(tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("text", "value"), [("6mm", 6.0), (" 4.5 MM", 4.5), ("3", 3.0), (2, 2.0), (1.5, 1.5)]
)
def test_radius(text, value):
    assert read_radius(text) == value


@pytest.mark.skipif(not HAXBY.exists(), reason="the sample is not here")
def test_the_mask_of_a_real_volume(network, stimuli, tmp_path):
    """129 voxels of Haxby et al. 2001, axes L A S: what is written lies on them."""
    mask = nibabel.load(HAXBY / "sub001/masks/25mm/brain.nii.gz")
    bold = nibabel.load(HAXBY / "sub001/BOLD/task001_run001/bold_25mm.nii.gz")
    voxels = np.argwhere(np.asarray(mask.dataobj) > 0)
    series = bold.get_fdata()[tuple(voxels.T)]
    responses = series[:, 10 : 10 + N].T[:, None, :]  # volumes as if they were stimuli
    coords = {axis: voxels[:, k] for k, axis in enumerate("ijk")}
    attrs = {"volume_shape": bold.shape[:3], "affine": bold.affine.ravel(), "simulated": False}
    recording = data_of(responses, coords, stimuli, "haxby", **attrs)
    result = run(network, recording, radius=25.0, output=tmp_path)
    assert len(result.space) == 129
    assert (result.sizes.min(), result.sizes.max()) == (
        *(np.sort([_n_faces(voxels, v) for v in voxels])[[0, -1]]),
    )
    image = nibabel.load(tmp_path / "scores-0.nii.gz")
    np.testing.assert_allclose(image.affine, mask.affine)
    np.testing.assert_array_equal(
        np.isfinite(np.asarray(image.dataobj)), np.asarray(mask.dataobj) > 0
    )
    assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")


def _n_faces(voxels, voxel):
    return int((np.abs(voxels - voxel).sum(axis=1) <= 1).sum())
