"""Comparisons as a BIDS-style dataset: names that tell what is in a file, and nothing lost."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import probe
from probe.comparison.derivatives import labels, save_derivatives
from probe.comparison.result_map import RSAMap
from probe.errors import ProbeError


@pytest.fixture(scope="module")
def result():
    few = probe.recordings.load("sim-v4", subject="sim-1").select(stimuli=range(30))
    return probe.rsa(
        "squeezenet1_1", few, layers=["features.3", "features.6"], weights="random",
        baselines=False, n_resamples=10, progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("bids")
    written = save_derivatives(result, path)
    assert sorted(written) == sorted(path.iterdir())
    return path


STEM = "model-squeezenet11untrained_dataset-simv40_region-V4"


def test_names_are_those_of_bids(folder):
    names = {p.name for p in folder.iterdir()} - {"dataset_description.json"}
    assert {name for name in names if name.endswith(".tsv")} == {
        f"{STEM}_desc-scores_rsa.tsv", f"{STEM}_desc-pairs_rsa.tsv",
        f"{STEM}_layer-features3_rdm.tsv", f"{STEM}_layer-features6_rdm.tsv",
    }  # fmt: skip
    entities = re.compile(r"(?:[a-z]+-[A-Za-z0-9]+_)+[a-z]+\.(tsv|json)")
    assert all(entities.fullmatch(name) for name in names)
    assert {name.removesuffix(".tsv") + ".json" for name in names if name.endswith(".tsv")} <= names


def test_the_dataset_is_described(folder):
    about = json.loads((folder / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0]["Name"] == "cnn-probe"
    assert about["SourceDatasets"][0]["Name"] == "sim-v4/0"
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["BIDSVersion"])


def test_nothing_is_lost(result, folder):
    table = pd.read_csv(folder / f"{STEM}_desc-scores_rsa.tsv", sep="\t")
    np.testing.assert_allclose(table["score"], result.table["score"])
    assert "n/a" in (folder / f"{STEM}_desc-scores_rsa.tsv").read_text()  # p_ceiling of one subject
    rdm = pd.read_csv(folder / f"{STEM}_layer-features6_rdm.tsv", sep="\t")
    assert list(rdm) == ["stimulus_a", "stimulus_b", "distance"]
    np.testing.assert_allclose(rdm["distance"], result.rdms.distances[1])
    ids = result.rdms.stimulus_ids
    assert (rdm["stimulus_a"][0], rdm["stimulus_b"][0]) == ids[:2]
    about = json.loads((folder / f"{STEM}_layer-features6_rdm.json").read_text())
    assert (about["Layer"], about["Metric"]) == ("features.6", "correlation")
    about = json.loads((folder / f"{STEM}_desc-scores_rsa.json").read_text())
    assert about["Model"] == "squeezenet1_1 (untrained)"
    assert about["Simulated"] is True


def test_the_same_twice_is_refused(result, tmp_path):
    with pytest.raises(
        ProbeError, match=r"two comparisons are of squeezenet1_1 \(untrained\), sim"
    ):
        save_derivatives(RSAMap([result, result]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_that_lose_their_signs_stay_apart():
    assert labels(["img_1_1", "img_11", "img_1_1", "Img.11", "…"]) == [
        "img11", "img11x2", "img11", "Img11x3", "unnamed",
    ]  # fmt: skip


@given(st.lists(st.text("ab1._-xX2é", max_size=4), unique=True, max_size=30))
def test_labels_are_one_to_one(names):
    found = labels(names)
    assert len({label.lower() for label in found}) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9]+", label) for label in found)
