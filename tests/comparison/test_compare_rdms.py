"""`probe.compare`: RDMs that there are, from sets, files and recordings."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

import probe
from probe import recordings
from probe.comparison import compare_rdms
from probe.errors import ProbeError
from probe.inference import evaluate
from probe.recordings import Recording
from probe.similarity.rdm_set import RDMs

IDS = [f"picture-{k}" for k in range(12)]


@pytest.fixture(scope="module")
def sets():
    """Three models and two subjects."""
    rng = np.random.default_rng(0)
    truth = pdist(rng.normal(size=(12, 3)))
    noise = np.array([0.1, 1.0, 5.0])[:, None] * rng.normal(size=(3, len(truth)))
    models = RDMs(truth + noise, ["good", "fair", "poor"], IDS, "correlation")
    return models, RDMs(truth + 0.3 * rng.normal(size=(2, len(truth))), ["anna", "otto"], IDS)


@pytest.fixture(scope="module")
def recording():
    """A simulated recording of 30 stimuli."""
    every = recordings.simulate_v4(seed=1, n_subjects=2, n_neuroids=12, n_repetitions=4)
    return Recording(every.data.isel(stimulus=slice(0, 150, 5)), every.stimuli)


def test_the_example_prints_what_it_says():
    ran = doctest.testmod(compare_rdms)
    assert (ran.failed, ran.attempted) == (0, 7)


def test_numbers_are_those_of_evaluate(sets):
    models, data = sets
    result = probe.compare(
        models, data, comparator="pearson", resample="both", test="t", n_resamples=50, seed=3
    )
    expected = evaluate(
        models.distances, data.distances, "pearson", resample="both", test="t", n_resamples=50,
        seed=3,
    )  # fmt: skip
    pd.testing.assert_frame_equal(result.table, expected.table(models.labels))
    pd.testing.assert_frame_equal(result.pairs, expected.pairs(models.labels))
    assert result.by_subject["score"].tolist() == expected.scores.ravel().tolist()
    assert list(result.by_subject.iloc[3]) == ["fair", "otto", expected.scores[1, 1]]


def test_files_and_sets_give_the_same(sets, tmp_path):
    models, data = sets
    files = [tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "data.npz"]
    for rdms, file in zip((models[["good"]], models[["fair", "poor"]], data), files, strict=True):
        rdms.save(file)
    of_files = probe.compare(files[:-1], str(files[-1]), n_resamples=20)
    of_sets = probe.compare([models[["good"]], files[1]], data, n_resamples=20)
    pd.testing.assert_frame_equal(of_files.table, of_sets.table)
    pd.testing.assert_frame_equal(of_files.table, probe.compare(models, data, n_resamples=20).table)
    assert set(of_files.provenance["sha256"]) == set(map(str, files))
    assert set(of_sets.provenance["sha256"]) == {str(files[1])}


def test_it_shows_draws_and_saves_itself(sets, tmp_path):
    result = probe.compare(*sets, n_resamples=20, output=tmp_path / "out")
    assert result.title == "3 models and 2 subjects: 12 stimuli"
    assert list(result.summary()["model"]) == ["good", "fair", "poor"]
    assert "p (Holm)" in result.summary("holm")
    assert repr(result).startswith(result.title)
    assert "<table" in result._repr_html_()
    assert "<img" in result._repr_html_()
    assert result.plot().get_ylabel() == "Spearman ρ with the data"
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(result.FILES)
    assert json.loads((tmp_path / "out/result.json").read_text()) == json.loads(result.to_json())
    with pytest.raises(ProbeError, match="correction 'fdrr'"):
        result.notes("fdrr")


def test_a_recording_has_the_distance_of_the_models(recording):
    subjects, distances = recording.rdms("euclidean")
    models = RDMs(
        distances + np.random.default_rng(0).random(distances.shape), ["a", "b"],
        recording.stimuli.ids, "euclidean",
    )  # fmt: skip
    result = probe.compare(models, recording, n_resamples=20)
    np.testing.assert_array_equal(result.data.distances, distances)
    assert list(result.data.labels) == subjects
    assert "SIMULATED" in result.notes()[-1]
    nameless = RDMs(models.distances, models.labels, recording.stimuli.ids)
    with pytest.raises(ProbeError, match="expected metric=, the distance of its RDMs"):
        probe.compare(nameless, recording)
    again = probe.compare(nameless, recording, metric="euclidean", n_resamples=20)
    pd.testing.assert_frame_equal(again.table, result.table)
    with pytest.raises(ProbeError, match="metric 'euclidean' is for recordings"):
        probe.compare(models, models, metric="euclidean")


def test_which_neuroids_and_times_were_kept_is_said(sets):
    models, data = sets
    attrs = {
        "recording": "v4", "region": "V4", "simulated": False, "window": [70, 170],
        "selection": {"threshold": 0.5, "said": "neuroids with reliability ≥ 0.5"},
    }  # fmt: skip
    chosen = RDMs(data.distances, data.labels, data.stimulus_ids, attrs=attrs)
    notes = probe.compare(models, chosen, n_resamples=20).notes()
    assert notes[:2] == [
        "Neuroids with reliability ≥ 0.5.",
        "Responses from 70 to 170 ms after stimulus onset.",
    ]


def test_rsa_hands_on_what_it_kept(recording, tmp_path):
    result = probe.rsa(
        "squeezenet1_1", recording, layers="features.0,features.3", weights="random",
        baselines=False, n_resamples=10, min_reliability=0.2, output=tmp_path,
    )  # fmt: skip
    again = probe.compare(tmp_path / "rdms.npz", tmp_path / "recording.npz", n_resamples=10)
    assert again.table["score"].tolist() == pytest.approx(result.layers["score"].tolist())
    assert again.notes()[0] == result.notes()[0]
    assert "reliab" in again.notes()[0]


def test_errors_name_models_and_subjects(sets):
    models, data = sets
    constant = models.distances.copy()
    constant[1] = 1.0
    with pytest.raises(ProbeError, match=r"^model 'fair' is constant: rho-a"):
        probe.compare(RDMs(constant, models.labels, IDS), data)
    missing = data.distances.copy()
    missing[1] = np.nan
    with pytest.raises(ProbeError, match=r"^subject 'otto' has no distances"):
        probe.compare(models, RDMs(missing, data.labels, IDS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"comparator": "spearmen"}, "^comparator 'spearmen': expected one of auto, spearman, .*"
         "did you mean 'spearman'"),
        ({"resample": "stimulus"}, "^resample 'stimulus': expected one of stimuli, subjects, both"),
        ({"n_resamples": 1}, "^n_resamples 1: expected a number ≥ 2$"),
        ({"seed": -1}, "^seed -1: expected a number ≥ 0$"),
        ({"test": "sign-flip"}, "flips the signs of subjects"),
        ({"test": "t", "resample": None}, "needs something to resample"),
    ],
)  # fmt: skip
def test_bad_options(sets, options, message):
    with pytest.raises(ProbeError, match=message):
        probe.compare(*sets, **options)


def test_bad_data(sets, tmp_path):
    models, data = sets
    with pytest.raises(ProbeError, match="a ndarray was named: expected RDMs, or the path"):
        probe.compare(models, data.distances)
    with pytest.raises(ProbeError, match=r"none\.npz"):
        probe.compare(tmp_path / "none.npz", data)
    fewer = data.subset(range(8))
    with pytest.raises(ProbeError, match="no distances of stimulus 'picture-8' and 3 more"):
        probe.compare(models, fewer)
    assert probe.compare(models, fewer, common=True, n_resamples=10).models.n_stimuli == 8


def test_same_labels_are_told_apart(sets):
    models, data = sets
    result = probe.compare([models, models], data, n_resamples=10)
    assert result.models.labels[0] == "set 1:good"
    assert result.models.labels[3] == "set 2:good"


def test_nothing_is_left_of_a_folder_that_cannot_be_written(sets, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ProbeError, match="cannot be written"):
        probe.compare(*sets, n_resamples=10, output=Path(file) / "out")
