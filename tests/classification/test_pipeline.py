"""Frozen layers put to another classification, from pictures to a result."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

import probe
from probe import assets, models
from probe.activations import extract
from probe.classification.classifiers import held_out_classes, stratified_splits
from probe.classification.settings import read_shots
from probe.errors import ProbeError
from probe.models.known import BASELINES
from probe.recordings import Recording
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

QUICK = {"folds": 3, "repeats": 2, "shots": [1, 2], "progress": False, "n_resamples": 50}


@pytest.fixture(scope="module")
def stripes():
    """Two classes of noisy stripes: upright and level, their phase at random."""
    rng = np.random.default_rng(0)
    ids, arrays = [], []
    for name in ("level", "upright"):
        for k in range(9):
            wave = np.sin(np.arange(48) / 2.0 + rng.uniform(0, 6))
            levels = np.tile(wave, (48, 1)) if name == "upright" else np.tile(wave[:, None], 48)
            noisy = 127 + 60 * levels + rng.normal(0, 30, (48, 48))
            arrays.append(np.repeat(noisy.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
            ids.append(f"{name}/{k}")
    return StimulusSet(ids, arrays, "stripes")


@pytest.fixture(scope="module")
def result(stripes):
    return probe.transfer(
        "squeezenet1_1", stripes, layers="features.3,features.6", weights="random", **QUICK
    )


def test_one_row_for_each_layer_classifier_and_number_of_pictures(result):
    table = result.table
    layers = ["features.3", "features.6"]
    shown = [*layers, *(f"untrained {name}" for name in layers), "pixels", "hog"]
    assert len(table) == 6 * 2 * 3
    assert list(dict.fromkeys(table["shown"])) == shown
    assert set(table["classifier"]) == {"linear", "knn"}
    assert sorted(set(table["n_train_per_class"])) == [1.0, 2.0, 6.0]
    assert (table["few_shot"] == (table["n_train_per_class"] < 6)).all()
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["high"]).all()
    assert (table["chance"] == 0.5).all()
    assert (table["balanced_chance"] == 0.5).all()
    np.testing.assert_allclose(table["accuracy"], table["balanced_accuracy"])  # of equal classes
    assert (table["n_pictures"] == 18).all()
    baseline = table[table["kind"] == "baseline"]
    assert list(dict.fromkeys(baseline["model"])) == ["pixels", "hog"]
    assert list(result.layers["layer"]) == [name for name in layers for _ in range(2)]
    hog = table[(table["shown"] == "hog") & ~table["few_shot"]]
    assert (hog["accuracy"] > 0.9).all()  # orientation is what it measures


def test_the_numbers_are_those_of_the_stored_activations(result, stripes):
    network = models.load("squeezenet1_1", "random")
    store = extract(network, stripes, ["features.6"], reduce="srp:4096")
    labels = np.repeat([0, 1], 9)
    splits = stratified_splits(labels, 3, 2, 0)
    predicted = held_out_classes(store.array("features.6")[:], labels, splits, 5)
    rows = result.layers[result.layers["layer"] == "features.6"].set_index("classifier")
    for name, of_classifier in predicted.items():
        right = of_classifier == labels[:, None]
        assert rows.loc[name, "accuracy"] == pytest.approx(right.mean())
        of_pictures = result.pictures.query("layer == 'features.6' and classifier == @name")
        np.testing.assert_allclose(of_pictures["correct"], right.mean(axis=1))
        assert set(of_pictures["most_often"]) <= {"level", "upright"}


def test_the_same_seed_gives_the_same_numbers(result, stripes):
    random_state, torch_state = random.getstate(), torch.random.get_rng_state()
    again = probe.transfer(
        "squeezenet1_1", stripes, layers="features.3,features.6", weights="random", **QUICK
    )
    pd.testing.assert_frame_equal(again.table, result.table)
    pd.testing.assert_frame_equal(again.pairs, result.pairs)
    assert again.choices == result.choices
    assert random.getstate() == random_state
    assert torch.equal(torch.random.get_rng_state(), torch_state)


def test_it_shows_and_saves_itself(result, tmp_path):
    assert result.title == "squeezenet1_1, frozen, classifies stripes: 2 classes, 18 pictures"
    summary = result.summary()
    assert list(summary["layer"])[-2:] == ["pixels", "hog"]
    assert "1 per class" in summary
    notes = "\n".join(result.notes())
    assert "chance .500" in notes
    assert "Best layer for the linear probe: features." in notes
    assert "accuracy from features." in notes
    assert "<table" in result._repr_html_()
    written = {path.name for path in result.save(tmp_path / "r")}
    assert written == set(result.FILES)
    record = json.loads((tmp_path / "r" / "result.json").read_text())
    assert record["pictures"]["classes"] == {"level": 9, "upright": 9}
    assert record["provenance"]["settings"]["folds"] == 3
    assert len(pd.read_csv(tmp_path / "r" / "table.csv")) == len(result.table)
    plt.close(result.plot())


def test_a_network_of_ones_own_leaves_nothing_behind(stripes):
    network = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4), nn.ReLU()).train()
    stores = assets.cache_dir() / "activations"
    before = set(stores.glob("*")) if stores.exists() else set()
    result = probe.transfer(network, stripes, layers="1", baselines="default", **QUICK)
    assert set(stores.glob("*")) == before
    assert network.training
    assert "untrained" not in set(result.table["kind"])
    assert any("No untrained baseline" in note for note in result.notes())


def test_what_came_before_can_stand_beside(stripes, monkeypatch):
    some = ("pixels", "hog", "luminance-contrast", "power-spectrum")
    monkeypatch.setattr("probe.classification.pipeline.BASELINES", some)
    network = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4), nn.ReLU())
    result = probe.transfer(network, stripes, layers="1", baselines="classic", **QUICK)
    others = result.table[result.table["kind"] == "baseline"]
    assert list(dict.fromkeys(others["shown"])) == [
        "pixels", "hog", "luminance-contrast local_luminance",
        "luminance-contrast local_contrast", "power-spectrum",
    ]  # fmt: skip
    assert {"hog", "hmax", "v1-gabor"} < set(BASELINES)
    hog = probe.transfer("hog", stripes, baselines="none", **QUICK)
    columns = ["classifier", "n_train_per_class", "accuracy", "low", "high"]
    pd.testing.assert_frame_equal(
        others[others["model"] == "hog"][columns].reset_index(drop=True), hog.table[columns]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds 1: expected a number ≥ 2"),
        ({"shots": "1,x"}, "shots '1,x': expected whole numbers ≥ 1"),
        ({"shots": [0]}, r"shots \[0\]: expected whole numbers"),
        ({"baselines": "clasic"}, "baselines 'clasic': expected one of .*did you mean 'classic'"),
        ({"reduce": "pca:3"}, "reduce 'pca:3@1000': components would be fitted"),
        ({"classes": "kind"}, "classes 'kind': no such column of 'stripes'; it has none"),
        ({"layers": "conv9"}, "no layer 'conv9'"),
        ({"folds": 10}, r"'level' \(9\), 'upright' \(9\)"),
    ],
)
def test_bad_input(stripes, options, message):
    with pytest.raises(ProbeError, match=message) as error:
        probe.transfer("squeezenet1_1", stripes, weights="random", **{**QUICK, **options})
    assert "\n" not in str(error.value)


def test_a_layer_that_is_not_finite_is_named(stripes):
    class Broken(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) * float("nan")

    network = nn.Sequential(Broken())
    with pytest.raises(ProbeError, match="layer '0' of Sequential gives values that are not fin"):
        probe.transfer(network, stripes, layers="0", baselines="none", **QUICK)


def test_the_classes_of_a_recordings_stimuli_are_its_coordinates():
    whole = probe.recordings.simulate_v4(seed=5, n_subjects=1, n_neuroids=4, n_repetitions=2)
    some = Recording(whole.data.isel(stimulus=slice(0, 150, 12)), whole.stimuli)
    kinds = ["round", "sharp"] * (some.n_stimuli // 2 + 1)
    data = some.data.assign_coords(kind=("stimulus", kinds[: some.n_stimuli]))
    network = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4), nn.ReLU())
    result = probe.transfer(
        network, Recording(data, some.stimuli), classes="kind", layers="1", baselines="none",
        **QUICK,
    )  # fmt: skip
    assert set(result.facts["pictures"]["classes"]) == {"round", "sharp"}
    assert sum(result.facts["pictures"]["classes"].values()) == some.n_stimuli


def test_shots_are_read():
    assert read_shots("5, 1,5") == (1, 5)
    assert read_shots("none") == read_shots([]) == ()
    assert read_shots(np.array([2, 1])) == (1, 2)


@pytest.mark.slow
def test_alexnet_beats_hog_and_pixels(alexnet):
    """The 92 objects in their six published categories; hog and pixels are alike there."""
    if "PROBE_MIRROR" not in os.environ:
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    result = probe.transfer(
        alexnet, "it", classes="category", layers="relu5", shots="none", repeats=3, progress=False
    )
    linear = result.pairs[result.pairs["classifier"] == "linear"]
    above = linear[linear["layer_a"] == "features.11"].set_index("layer_b")
    for name in ("untrained features.11", "pixels", "hog"):
        assert above.loc[name, "low"] > 0.15


@pytest.mark.slow
def test_hog_beats_pixels():
    """Of 600 of the digits that scikit-learn ships, 60 of each."""
    digits = load_digits()
    rows = np.concatenate([np.flatnonzero(digits.target == c)[:60] for c in range(10)])
    levels = (digits.images[rows] * 255 / 16).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    stimuli = StimulusSet(
        [f"{digits.target[row]}/{row}" for row in rows],
        list(np.repeat(levels[..., None], 3, axis=3)), "digits",
    )  # fmt: skip
    options = {"shots": "none", "repeats": 1, "reduce": "srp:2048", "progress": False}
    result = probe.transfer("hog", stimuli, **options)
    linear = result.pairs[result.pairs["classifier"] == "linear"]
    (pair,) = linear[linear["layer_b"] == "pixels"].to_dict("records")
    assert pair["layer_a"] == "hog"
    assert pair["low"] > 0.01
    assert result.layers["accuracy"].min() > 0.93
