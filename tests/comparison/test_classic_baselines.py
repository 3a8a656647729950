"""What came before today's networks, beside their layers."""

from __future__ import annotations

import functools

import numpy as np
import over_time
import pandas as pd
import pytest

import probe
from probe import recordings
from probe.activations import Extraction
from probe.comparison import layer_rdms
from probe.comparison.layer_rdms import ClassicRDMs
from probe.comparison.settings import RSASettings
from probe.encoding import jobs
from probe.models import baselines, load
from probe.models.known import BASELINES, CLASSIC, FEATURES
from probe.recordings import Recording

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

SOME = ("luminance-contrast", "hog")
OPTIONS = {"layers": "features.3,features.6", "weights": "random", "n_resamples": 20,
           "progress": False}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """30 shapes shown to two simulated subjects."""
    whole = recordings.simulate_v4(seed=3, n_subjects=2, n_neuroids=10, n_repetitions=3)
    return Recording(whole.data.isel(stimulus=slice(0, 150, 5)), whole.stimuli)


@pytest.fixture(scope="module", autouse=True)
def _some():
    """Two of all: the others take long, and come by the same way."""
    some = functools.partial(baselines.baselines_of, names=SOME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_rdms, "baselines_of", some)
        patch.setattr(jobs, "baselines_of", some)
        yield


@pytest.fixture(scope="module")
def result(small):
    return probe.rsa("squeezenet1_1", small, baselines="classic", **OPTIONS)


def test_a_row_for_each_layer_of_each(result):
    rows = result.table[result.table["kind"] == "classic"]
    assert list(rows["layer"]) == [
        "luminance-contrast local_luminance", "luminance-contrast local_contrast", "hog",
    ]  # fmt: skip
    assert list(rows["type"]) == ["luminance-contrast"] * 2 + ["hog"]
    assert list(rows["n_neuroids"]) == [64, 64, 36 * 27 * 27]
    assert np.isfinite(rows[["score", "ci_low", "ci_high", "p_zero", "p_zero_fdr"]]).all(axis=None)
    by_subject = result.by_subject[result.by_subject["layer"] == "hog"]
    assert by_subject["score"].mean() == pytest.approx(rows["score"].iloc[-1])
    assert any(note.startswith("What came before, each by its best") for note in result.notes())


def test_the_numbers_are_those_of_the_feature_alone(result, small):
    options = {**OPTIONS, "layers": "default", "weights": "imagenet"}
    for model in SOME:
        alone = probe.rsa(model, small, baselines="none", **options).table
        rows = result.table[result.table["type"] == model]
        numbers = alone.columns[alone.dtypes == np.float64]
        pd.testing.assert_frame_equal(
            rows[numbers].reset_index(drop=True), alone[numbers].reset_index(drop=True)
        )


def test_the_layers_are_as_they_were_without(result, small):
    without = probe.rsa("squeezenet1_1", small, **OPTIONS)
    rows = result.table[result.table["kind"] != "classic"]
    pd.testing.assert_frame_equal(rows, without.table)
    pd.testing.assert_frame_equal(result.pairs, without.pairs)
    assert without.classic is None
    assert "classic.npz" not in without.files


def test_their_rdms_are_saved_and_can_be_compared(result, tmp_path):
    assert {path.name for path in result.save(tmp_path)} == set(result.files)
    files = [tmp_path / name for name in ("rdms.npz", "classic.npz")]
    both = probe.compare(files, tmp_path / "recording.npz", n_resamples=20, progress=False)
    scores = both.table.set_index("model")["score"]
    expected = result.table[result.table["kind"].isin(["layer", "classic"])].set_index("layer")
    pd.testing.assert_series_equal(
        scores.sort_index(), expected["score"].sort_index(), check_names=False
    )
    assert {"model_a", "model_b"} <= set(both.pairs)


def test_of_another_network_they_are_read_from_the_cache(result, small, monkeypatch):
    extracted = []
    run = Extraction.run
    monkeypatch.setattr(
        Extraction, "run",
        lambda self, *args, **kwargs: (
            extracted.append(self.network.name), run(self, *args, **kwargs)
        )[1],
    )  # fmt: skip
    options = {**OPTIONS, "layers": "features.0"}
    again = probe.rsa("squeezenet1_0", small, baselines="classic", **options)
    assert not set(extracted) & set(SOME)
    hog = [table[table["layer"] == "hog"]["score"].item() for table in (again.table, result.table)]
    assert hog[0] == hog[1]


def test_a_feature_is_not_its_own_baseline(small):
    options = {**OPTIONS, "layers": "default", "weights": "imagenet"}
    table = probe.rsa("hog", small, baselines="classic", **options).table
    assert set(table.loc[table["kind"] == "classic", "type"]) == {"luminance-contrast"}


def test_a_layer_that_cannot_tell_stimuli_apart_has_no_row():
    (hog,) = baselines.baselines_of(load("squeezenet1_1", "random"), ("luminance-contrast",))
    classic = ClassicRDMs.of(hog, np.array([[0.1, 0.2, 0.3], [np.nan] * 3]))
    assert classic.names == ["luminance-contrast local_luminance"]
    assert classic.undefined == ["luminance-contrast local_contrast"]
    assert classic.n_neuroids == [64]
    assert classic.rdms.shape == (1, 3)


def test_truth_values_stand_for_words():
    words = [RSASettings(baselines=value).checked().baselines for value in (True, False, "classic")]
    assert words == ["default", "none", "classic"]


def test_all_of_them_can_be_had():
    assert set(BASELINES) <= {*CLASSIC, *FEATURES}
    assert {"colour-histogram", "hog", "bag-of-words", "gist", "power-spectrum"} < set(BASELINES)


def test_over_time_they_have_a_curve():
    rng = np.random.default_rng(0)
    times = over_time.BINS[:6]
    recording = over_time.recording(rng.normal(size=(12, 3, len(times), 5)), times)
    options = {**OPTIONS, "layers": "features.3", "time": (0, 60), "step": 20}
    result = probe.rsa("squeezenet1_1", recording, baselines="classic", **options)
    hog = result.table[result.table["layer"] == "hog"]
    assert list(hog["kind"]) == ["classic"] * 3
    assert np.isfinite(hog["score"]).all()


def test_encoded_they_are_what_the_feature_alone_is(small):
    options = {"splits": 3, "n_resamples": 20, "progress": False, "readout": "flat"}
    beside = probe.encode(
        "squeezenet1_1", small, layers="features.6", weights="random", baselines="classic",
        **options,
    ).table  # fmt: skip
    rows = beside[beside["kind"] == "classic"]
    assert list(rows["shown"]) == [
        "luminance-contrast local_luminance", "luminance-contrast local_contrast", "hog",
    ]  # fmt: skip
    assert list(rows["type"]) == ["luminance-contrast"] * 2 + ["hog"]
    alone = probe.encode("hog", small, **options).table
    columns = ["r", "r_low", "r_high", "r_ceiled", "n_neuroids"]
    one, other = rows[rows["layer"] == "hog"], alone[alone["kind"] == "layer"]
    np.testing.assert_allclose(one[columns], other[columns])
