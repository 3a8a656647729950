"""Layers of a network aligned with responses, from stimuli to table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from torch import nn

from probe import assets, models, recordings
from probe.activations import extract
from probe.alignment import align
from probe.errors import ProbeError
from probe.models import Network
from probe.recordings import Recording
from probe.similarity.alignment import ALIGNMENTS, cka, svcca
from probe.stimuli import StimulusSet

LAYERS = ["features.6", "features.9"]


@pytest.fixture(scope="module")
def small():
    """30 shapes shown to two simulated subjects."""
    whole = recordings.simulate_v4(seed=1, n_subjects=2, n_neuroids=12, n_repetitions=4)
    return Recording(whole.data.isel(stimulus=slice(0, 150, 5)), whole.stimuli)


def aligned(recording, method="cka-debiased", **options):
    options = {"layers": LAYERS, "weights": "random", "n_permutations": 9} | options
    return align("squeezenet1_1", recording, method, **options)


@pytest.mark.parametrize("method", [m for m in ALIGNMENTS if m != "soft-matching"])
def test_one_row_per_layer_and_subject(small, method):
    variance = 0.6 if method in ("svcca", "pwcca") else None
    table = aligned(small, method, variance=variance)
    assert list(table["layer"]) == [layer for layer in LAYERS for _ in range(2)]
    assert list(table["subject"]) == ["sim-1", "sim-2"] * 2
    for column, value in {
        "model": "squeezenet1_1", "dataset": "sim-v4/1", "simulated": True, "method": method,
        "region": "V4", "n_recorded": 12, "n_stimuli": 30,
    }.items():  # fmt: skip
        assert (table[column] == value).all()
    assert table["n_neuroids"].tolist()[::2] == [256 * 27 * 27, 384 * 13 * 13]
    assert table["score"].between(-1, 1).all()
    assert table["p"].between(0.1, 1).all()
    if method != "cka-debiased":
        assert (table["chance"] > 0).all()


def test_the_numbers(small):
    network = models.load("squeezenet1_1", "random")
    x = extract(network, small.stimuli, LAYERS).array("features.9")[:]
    means = np.nanmean(small.data["responses"].values, axis=1)
    y = means[:, small.data["subject"].values == "sim-2"]
    orders = np.random.default_rng(5)
    orders = [orders.permutation(30) for _ in range(9)]
    for method, function in (
        ("cka-debiased", lambda x, y: cka(x, y, debiased=True)),
        ("svcca", lambda x, y: svcca(x, y, variance=0.5)),
    ):
        variance = 0.5 if method == "svcca" else None
        table = align(
            network, small, method, layers="features.9", variance=variance, n_permutations=9, seed=5
        )
        row = table.iloc[-1]
        chance = [function(x, y[order]) for order in orders]
        assert row["score"] == pytest.approx(function(x, y), abs=1e-12)
        assert row["chance"] == pytest.approx(np.mean(chance), abs=1e-12)
        assert row["p"] == (1 + np.sum(np.array(chance) >= row["score"])) / 10


def test_responses_that_the_layer_explains():
    """A recording of the layer itself, once as it is and once with the stimuli mixed."""
    whole = recordings.load("sim-v4")
    network = models.load("squeezenet1_1", "random")
    stimuli = whole.stimuli.subset(range(0, 178, 4))
    rng = np.random.default_rng(0)
    x = extract(network, stimuli, ["features.9"]).array("features.9")[:]
    x = x[:, rng.choice(x.shape[1], 1000, replace=False)]
    mixed = x[rng.permutation(len(x))]
    both = np.concatenate([x, mixed], axis=1)
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), both[:, None, :].astype(float))},
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            "subject": ("neuroid", ["one"] * both.shape[1]),
            "region": ("neuroid", ["same"] * x.shape[1] + ["mixed"] * x.shape[1]),
            "neuroid_id": ("neuroid", [str(k) for k in range(both.shape[1])]),
        },
        attrs={"name": "itself"},
    )
    table = align(network, Recording(data, stimuli), layers="features.9", n_permutations=19)
    table = table.set_index("region")
    assert list(table.index) == ["same", "mixed"]
    assert table.loc["same", "score"] > 0.9
    assert table.loc["same", "p"] == 1 / 20
    assert abs(table.loc["mixed", "score"]) < 0.2
    assert abs(table.loc["mixed", "chance"]) < 0.1


class Pooled(nn.Module):
    """A network whose layers are small enough to be matched unit by unit."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.mix = nn.Linear(48, 24, bias=False)
        nn.init.eye_(self.mix.weight)

    def forward(self, x):
        return self.mix(self.pool(x).flatten(1))


def test_soft_matching_and_a_network_of_ones_own(small):
    table = align(Pooled(), small, "soft-matching", layers=["pool", "mix"], n_permutations=2)
    assert table["n_neuroids"].tolist() == [48, 48, 24, 24]
    assert table["score"].between(-1, 1).all()
    left = list((assets.cache_dir() / "activations").iterdir())
    store = [p for p in left if (p / "zarr.json").is_file() and "pool" in str(list(p.iterdir()))]
    assert not store  # its activations are never asked for again


def test_it_shows_draws_and_saves_itself(small, tmp_path):
    table = aligned(small)
    assert isinstance(table, pd.DataFrame)
    assert repr(table).startswith("squeezenet1_1 and SIMULATED recording sim-v4/1: cka-debiased")
    assert table.notes()[-1].startswith("The recording is SIMULATED")
    assert "<img" in table._repr_html_()
    assert {p.name for p in table.save(tmp_path / "out")} == set(table.FILES)
    kept = pd.read_csv(tmp_path / "out/table.csv")
    np.testing.assert_allclose(kept["score"], table["score"])
    drawn = table.plot()
    score_lines = [line for line in drawn.lines if line.get_marker() == "o"]
    of_first = table[table["subject"] == "sim-1"]
    assert type(of_first) is pd.DataFrame
    np.testing.assert_array_equal(score_lines[0].get_ydata(), of_first["score"])
    plt.close(drawn.get_figure())


def test_seeds_and_no_permutations(small):
    first, again, other = (aligned(small, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not np.allclose(first["chance"], other["chance"])
    without = aligned(small, n_permutations=0)
    assert without["chance"].isna().all()
    assert without["p"].isna().all()
    assert without["score"].equals(first["score"])


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "cca"}, "method 'cca': expected one of .*; did you mean .*'svcca'"),
            ({"variance": 0.9}, "'cka-debiased' keeps all variance"),
            ({"n_permutations": -1}, "n_permutations -1: expected a number ≥ 0"),
            ({"method": "pwcca"}, "layer 'features.6' has 29 components.*0.99 or 0.9"),
            (
                {"method": "soft-matching", "layers": "features.0"},
                "788544 and 12 neuroids are too many",
            ),
            ({"layers": ["features.99"]}, "features.99"),
            ({"region": "IT"}, "no region 'IT'"),
        ],
    )
    def test_one_line_that_says_what_works(self, small, options, message):
        with pytest.raises(ProbeError, match=message) as raised:
            aligned(small, **options)
        assert "\n" not in str(raised.value)

    def test_rdms_only(self):
        n = 6
        data = xr.Dataset(
            {"rdms": (("rdm", "pair"), np.random.default_rng(0).random((1, 15)))},
            coords={
                "stimulus_id": ("stimulus", [str(k) for k in range(n)]),
                "subject": ("rdm", ["one"]),
                "region": ("rdm", ["IT"]),
            },
            attrs={"name": "published"},
        )
        pictures = [np.zeros((8, 8, 3), dtype=np.uint8) for _ in range(n)]
        recording = Recording(data, StimulusSet([str(k) for k in range(n)], pictures, "mine"))
        with pytest.raises(ProbeError, match=r"'published' holds RDMs only.*compare it with probe"):
            aligned(recording)

    def test_a_stimulus_that_a_layer_answers_with_nan(self, small):
        class Broken(nn.Module):
            def __init__(self):
                super().__init__()
                self.log = nn.Flatten()
                self.calls = 0

            def forward(self, x):
                return self.log(x[:, :, ::32, ::32].sub(x[0, 0, 0, 0]).log())

        with pytest.raises(ProbeError, match="has a NaN or infinite response in layer 'log'"):
            align(Broken(), small, layers=["log"])

    def test_a_network_of_ones_own_brings_its_weights(self, small):
        with pytest.raises(ProbeError, match="go with a model's name"):
            align(Network.from_module(Pooled()), small, weights="random")
