"""Several networks with several regions: what is compared, what is kept, what is said."""

from __future__ import annotations

import json
import warnings
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

from probe import models, recordings
from probe.comparison import rsa
from probe.comparison.result import RSAResult
from probe.comparison.result_map import RSAMap
from probe.errors import ProbeError
from probe.models import Network
from probe.recordings import Recording
from probe.recordings.several import several
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

QUICK = {"baselines": False, "n_resamples": 10, "progress": False}


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def network(name: str, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 9, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 27 * 27, 5)
        )
    return Network.from_module(module, name=name)


def recording(
    name: str, regions=("V1", "V4"), seed: int = 0, n_stimuli: int = 12, subjects="ab"
) -> Recording:
    """Random pictures and responses, four neuroids per region and subject."""
    rng = np.random.default_rng(seed)
    places = [(region, subject) for region in regions for subject in subjects for _ in range(4)]
    ids = [f"s{k}" for k in range(n_stimuli)]
    pictures = list(rng.integers(0, 256, (n_stimuli, 16, 16, 3), dtype=np.uint8))
    data = xr.Dataset(
        {
            "responses": (
                ("stimulus", "repetition", "neuroid"),
                rng.normal(size=(n_stimuli, 3, len(places))),
            )
        },
        coords={
            "stimulus_id": ("stimulus", ids),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(len(places))]),
            "subject": ("neuroid", [subject for _, subject in places]),
            "region": ("neuroid", [region for region, _ in places]),
        },
        attrs={"name": name, "title": name, "citation": "me"},
    )
    return Recording(data, StimulusSet(ids, pictures, name))


@pytest.fixture(scope="module")
def nets():
    return [network("one", 1), network("two", 2)]


@pytest.fixture(scope="module")
def found(nets):
    return rsa(nets, [recording("mine"), recording("yours", ("V4",), 1)], region="all", **QUICK)


@pytest.fixture(scope="module")
def simulated(nets):
    """Two simulated recordings, one of them named twice, and which were loaded."""
    loads = []
    load = recordings.load_part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "probe.recordings.load_part",
            lambda name, *rest: loads.append(name) or load(name, *rest),
        )
        return rsa(nets[:1], "sim-v4, sim-v1/3,sim-v4", layers=["0"], **QUICK), loads


@pytest.fixture(scope="module")
def regions(nets):
    """A map that is quickly saved."""
    return rsa(nets[0], recording("mine"), region="all", layers=["0", "3"], **QUICK)


class TestWhatIsCompared:
    def test_each_network_with_each_region(self, found):
        assert isinstance(found, RSAMap)
        compared = [
            (r.facts["model"]["name"], r.facts["recording"]["name"], r.facts["recording"]["region"])
            for r in found
        ]
        regions = [("mine", "V1"), ("mine", "V4"), ("yours", "V4")]
        assert compared == [(net, *region) for net in ("one", "two") for region in regions]
        assert len(found) == 6
        assert not found.failures

    def test_each_result_is_that_of_its_own_comparison(self, found, nets):
        alone = rsa(nets[1], recording("mine"), region="V4", **QUICK)
        assert isinstance(alone, RSAResult)
        pd.testing.assert_frame_equal(found.results[4].table, alone.table)
        assert found.results[4].choice == alone.choice

    @pytest.mark.parametrize(
        ("region", "expected"),
        [
            ("V1", RSAResult), (["V1"], ["V1"]), ("V1,V4", ["V1", "V4"]), ("V4, V1", ["V4", "V1"]),
            ("all", ["V1", "V4"]), (["all"], ["V1", "V4"]), (("V4", "V4"), ["V4"]),
        ],
    )  # fmt: skip
    def test_regions(self, nets, region, expected):
        result = rsa(nets[0], recording("mine"), region=region, layers=["0", "3"], **QUICK)
        if expected is RSAResult:
            assert isinstance(result, RSAResult)
        else:
            assert [r.facts["recording"]["region"] for r in result] == expected

    def test_of_several_regions_each_recording_is_compared_in_those_it_has(self, nets):
        both = [recording("mine", ("V1", "V2")), recording("yours", ("V4", "V1"), 1)]
        result = rsa(nets[:1], both, region=["V4", "V1"], layers=["0"], **QUICK)
        where = [(r.facts["recording"]["name"], r.facts["recording"]["region"]) for r in result]
        assert where == [("mine", "V1"), ("yours", "V4"), ("yours", "V1")]

    def test_names_with_commas_and_names_twice(self, simulated):
        result, loads = simulated
        assert [r.facts["recording"]["name"] for r in result] == ["sim-v4/0", "sim-v1/3"]
        assert loads == ["sim-v4", "sim-v1/3", "sim-v4"]  # not once per network

    @pytest.mark.parametrize(
        ("given", "things"),
        [
            ("alexnet", None), ("alexnet,vgg16", ["alexnet", "vgg16"]), ("a, b ,", ["a", "b", ""]),
            (["alexnet"], ["alexnet"]), (("a", "b"), ["a", "b"]), (nn.Sequential(), None),
            (None, None), ("file:vgg16@none,here.pth", ["file:vgg16@none", "here.pth"]),
        ],
    )  # fmt: skip
    def test_several(self, given, things):
        assert several(given) == things

    def test_a_path_may_have_commas(self, tmp_path):
        (tmp_path / "a,b").mkdir()
        assert several(str(tmp_path / "a,b")) is None
        assert several(f"file:alexnet@{tmp_path}/a,b") is None
        assert several(f"file:{tmp_path}/a,b") is None

    def test_a_folder_of_ones_own_with_all_its_regions(self, nets, tmp_path):
        mine = recording("mine")
        np.save(tmp_path / "responses.npy", mine.data["responses"].values)
        (tmp_path / "images").mkdir()
        for k in range(12):
            mine.stimuli.image(k).save(tmp_path / "images" / f"p{k:02d}.png")
        table = mine.data[["neuroid_id", "subject", "region"]].to_dataframe().reset_index(drop=True)
        table.to_csv(tmp_path / "neuroids.csv", index=False)
        result = rsa(nets[0], str(tmp_path), region="all", layers=["0"], **QUICK)
        assert [r.facts["recording"]["region"] for r in result] == ["V1", "V4"]
        expected = rsa(nets[0], mine, region="V4", layers=["0"], **QUICK)
        assert result.results[1].layers["score"][0] == expected.layers["score"][0]

    @pytest.mark.usefixtures("mirror")
    def test_an_alias_with_all_regions(self, nets):
        named = ["it", "it-fmri"]
        result = rsa(nets[0], named, region="all", layers=["0"], accept_licence=True, **QUICK)
        assert list(result.best["region"]) == ["IT-human", "IT-monkey", "EVC", "IT"]


class TestNothingTwice:
    def test_a_network_is_loaded_and_run_once(self, monkeypatch):
        loads, passes = [], []
        load, forward = models.load, nn.Conv2d.forward
        monkeypatch.setattr(
            "probe.models.network.load",
            lambda name, *a, **k: loads.append(name) or load(name, *a, **k),
        )
        monkeypatch.setattr(
            nn.Conv2d, "forward", lambda self, x: passes.append(1) or forward(self, x)
        )
        # The user's own module, whose RDMs are not kept on disk, and a recording of two regions.
        rsa("squeezenet1_1", recording("mine", seed=7), region="all", weights="random",
            layers=["features.3"], **QUICK)  # fmt: skip
        assert loads == ["squeezenet1_1"]
        mine = network("mine", 5)
        models.layers(mine)  # traced
        passes.clear()
        rsa(mine, recording("mine", seed=7), region="V1", layers=["0"], **QUICK)
        once = len(passes)
        passes.clear()
        rsa(mine, recording("mine", seed=7), region="all", layers=["0"], **QUICK)
        assert len(passes) == once


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"model": "alexnet,alexnett"}, "unknown model 'alexnett'; did you mean 'alexnet'"),
            (
                {"dataset": ["sim-v4", "sim-v5"]},
                "recording 'sim-v5' does not exist; did you mean 'sim-v",
            ),
            ({"region": "V4,V44"}, "no region 'V44' in these recordings; did you mean 'V4'"),
            ({"dataset": "sim-v4,sim-v1", "region": ["V1"]}, "sim-v4 has none of these regions"),
            ({"model": []}, "not an empty list"),
            ({"dataset": []}, "not an empty list"),
            ({"region": []}, "not an empty list"),
            ({"model": "alexnet,"}, "unknown model ''"),
            ({"layers": "features.99"}, "no layer 'features.99'.*and 1 others"),
        ],
    )
    def test_what_does_not_exist_is_told_before_any_work(self, given, message, tmp_path):
        default = {"model": ["squeezenet1_1"], "dataset": "sim-v4,sim-v1", "weights": "random"}
        with (
            warnings.catch_warnings(record=True),
            pytest.raises(ProbeError, match=message),
        ):
            rsa(**default | given, **QUICK, output=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_two_of_one_name(self, nets):
        with pytest.raises(ProbeError, match="two networks are called 'one'"):
            rsa([nets[0], network("one", 9)], recording("mine"), region="V1", **QUICK)
        with pytest.raises(ProbeError, match="two recordings are called 'mine'"):
            rsa(nets[0], [recording("mine"), recording("mine", seed=3)], region="V1", **QUICK)

    def test_a_map_of_nothing(self):
        with pytest.raises(ValueError, match="at least one result"):
            RSAMap([])


class TestFailures:
    @pytest.fixture
    def broken(self, nets):
        """The first network cannot be run on anything; the second recording has one subject."""
        bad = network("bad", 3)
        bad.module[0].weight.data.fill_(float("nan"))
        alone = recording("alone", ("V4",), 1, subjects="a")
        return [bad, nets[0]], [recording("mine", ("V1",)), alone]

    def test_one_that_fails_does_not_stop_the_others(self, broken, tmp_path):
        with pytest.warns(UserWarning, match="no result for") as warned:
            result = rsa(*broken, resample="subjects", output=tmp_path, layers=["0", "3"], **QUICK)
        assert [r.facts["model"]["name"] for r in result] == ["one"]
        failed = [(f.model, f.dataset, f.region) for f in result.failures]
        assert failed == [("bad", "mine", "V1"), ("bad", "alone", "V4"), ("one", "alone", "V4")]
        assert "layer '0' of bad: stimulus 's0'" in result.failures[0].message
        assert "has one subject, a" in result.failures[2].message
        assert [str(w.message) for w in warned] == [
            f"no result for {failure.message}" for failure in result.failures
        ]
        assert result.notes()[-3:] == [f"Failed: {f.message}" for f in result.failures]
        assert json.loads(result.to_json())["failures"] == [f.message for f in result.failures]
        assert {p.name for p in tmp_path.iterdir()} == {*RSAMap.FILES, "one-mine-V1"}

    def test_an_error_that_is_not_ours_is_named_by_its_kind(self, nets):
        class Picky(nn.Module):
            def forward(self, x):
                if x.sum() != 0:  # names of layers are found with zeros
                    raise RuntimeError("mat1 and mat2\nshapes cannot be multiplied")
                return x

        odd = Network.from_module(nn.Sequential(Picky()), name="odd")
        with pytest.warns(UserWarning, match="odd and mine"):
            result = rsa([odd, nets[0]], recording("mine"), region="V1", layers=["0"], **QUICK)
        assert result.failures[0].message == (
            "odd and mine (V1): RuntimeError: mat1 and mat2 shapes cannot be multiplied"
        )

    def test_if_all_fail_there_is_no_map(self, broken):
        with (
            pytest.warns(UserWarning, match="no result for"),
            pytest.raises(ProbeError, match=r"bad and mine \(V1\): layer '0'.*\(and 1 others"),
        ):
            rsa(broken[0][:1], broken[1], layers=["0"], **QUICK)

    def test_what_was_finished_before_an_interruption_is_kept(self, nets, tmp_path, monkeypatch):
        from probe.comparison import pipeline

        score_layers, calls = pipeline.score_layers, []

        def interrupted(*args):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return score_layers(*args)

        monkeypatch.setattr(pipeline, "score_layers", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rsa(nets, recording("mine"), region="all", layers=["0"], output=tmp_path, **QUICK)
        assert {p.name for p in tmp_path.iterdir()} == {"one-mine-V1", "one-mine-V4"}
        for folder in tmp_path.iterdir():
            assert {p.name for p in folder.iterdir()} == set(RSAResult.FILES)


class TestTables:
    def test_best_is_the_held_out_score_of_each_comparison(self, found):
        assert len(found.best) == len(found)
        for (_, row), result in zip(found.best.iterrows(), found, strict=True):
            choice = result.choice
            assert (row["layer"], row["share"], row["score"], row["score_sd"]) == (
                choice.layer, choice.share, choice.score, choice.sd,
            )  # fmt: skip
            of_layer = result.layers.set_index("layer").loc[choice.layer]
            assert row["p_zero_holm"] == of_layer["p_zero_holm"]
            assert row["score"] != of_layer["score"]
            lower = result.ceiling.lower
            if lower > 0:
                assert row["share_of_lower"] == pytest.approx(choice.score / lower)
            else:
                assert np.isnan(row["share_of_lower"])

    def test_cells_hold_scores_and_the_distribution_of_choices(self, found):
        cells = found.cells
        assert list(cells["comparison"].unique()) == list(range(6))
        pd.testing.assert_series_equal(
            cells["score"], found.table.query("kind == 'layer'")["score"].reset_index(drop=True)
        )
        np.testing.assert_allclose(cells.groupby("comparison")["chosen"].sum(), 1.0)
        for k, result in enumerate(found):
            rows = cells[cells["comparison"] == k].set_index("layer")
            assert rows["chosen"][rows["chosen"] > 0].to_dict() == result.choice.shares
            assert list(rows.index) == list(result.layers["layer"])

    def test_one_layer_leaves_no_choice(self, nets):
        result = rsa(nets[:1], recording("mine"), region="V1", layers=["0"], **QUICK)
        assert result.best[["layer", "share", "score", "share_of_lower"]].isna().all(axis=None)
        assert result.cells["chosen"].isna().all()
        assert result.summary()["best layer"][0] == ""
        assert json.loads(result.to_json())["best"][0]["layer"] is None
        result.plot()

    def test_results_of_several_calls_may_be_put_together(self, found, nets):
        again = rsa(nets[0], recording("mine"), region="V1", metric="euclidean", **QUICK)
        both = RSAMap([*found, again])
        assert len(both.best) == 7
        assert both.folders[0] == "one-mine-V1"
        assert both.folders[-1] == "one-mine-V1~2"
        assert len(set(both.folders)) == 7
        assert len(both.plot().axes[0].get_yticks()) == 4


class TestShowingAndSaving:
    def test_one_folder_per_comparison_and_the_map(self, regions, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        written = regions.save(tmp_path)
        assert regions.folders == ["one-mine-V1", "one-mine-V4"]
        assert {p.name for p in tmp_path.iterdir()} == {
            *RSAMap.FILES, *regions.folders, "notes.txt",
        }  # fmt: skip
        assert len(written) == 4 + 2 * len(RSAResult.FILES)
        assert all(path.is_file() for path in written)
        best = pd.read_csv(tmp_path / "best.csv", dtype={"layer": str}, keep_default_na=False)
        np.testing.assert_allclose(best["score"], regions.best["score"], rtol=1e-12)
        assert list(best["layer"]) == list(regions.best["layer"])
        assert list(best.columns) == list(regions.best.columns)
        assert len(pd.read_csv(tmp_path / "map.csv")) == len(regions.cells) == 4
        assert len(pd.read_csv(tmp_path / "table.csv")) == len(regions.table)
        one = json.loads((tmp_path / "one-mine-V4" / "result.json").read_text())
        assert one["choice"] == json.loads(regions.results[-1].to_json())["choice"]
        with Image.open(tmp_path / "map.png") as picture:
            assert picture.text["Title"] == regions.title

    def test_output_is_what_save_writes(self, regions, nets, tmp_path):
        mine = recording("mine")
        rsa(nets[0], mine, region="all", layers=["0", "3"], output=tmp_path / "a", **QUICK)
        regions.save(tmp_path / "b")
        files = [
            sorted(p.relative_to(tmp_path / k) for p in (tmp_path / k).rglob("*")) for k in "ab"
        ]
        assert files[0] == files[1]
        for name in ("table.csv", "best.csv", "map.csv", "one-mine-V1/pairs.csv"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def test_a_single_result_goes_into_the_folder_itself(self, nets, tmp_path):
        result = rsa(
            nets[0], recording("mine"), region="V1", layers=["0"], output=tmp_path, **QUICK
        )
        assert isinstance(result, RSAResult)
        assert {p.name for p in tmp_path.iterdir()} == set(RSAResult.FILES)

    def test_summary_and_notes(self, found):
        shown = found.summary("holm")
        assert list(shown["model"]) == ["one"] * 3 + ["two"] * 3
        assert list(shown["region"]) == ["V1", "V4", "V4"] * 2
        assert "p (Holm)" in shown.columns
        assert all(" ± " in score for score in shown["score ± SD"])
        notes = found.notes()
        assert any("on one half of the stimuli and scored on the other, in 100" in n for n in notes)
        assert any("their highest is too high" in n for n in notes)
        with pytest.raises(ProbeError, match="correction"):
            found.summary("fwer")

    def test_a_remark_that_holds_everywhere_is_made_once(self, nets):
        result = rsa(nets[0], recording("mine"), region="all", layers=["0"],
                     **{**QUICK, "baselines": True})  # fmt: skip
        assert sum("No untrained baseline" in note for note in result.notes()) == 1

    def test_a_notebook_and_a_terminal(self, found):
        text = repr(found)
        assert text.startswith(found.title)
        shown = found._repr_html_()
        assert plt.get_fignums() == []
        assert shown.count("<img") == 1
        assert "<td>yours</td>" in shown

    def test_simulated_recordings_say_so(self, simulated):
        result, _ = simulated
        assert result.simulated
        assert "SIMULATED sim-v1/3" in result.title
        for text in (result.title, repr(result), result._repr_html_(), result.notes()[-1]):
            assert "SIMULATED" in text
        ax = result.plot().axes[0]
        assert "SIMULATED" in ax.get_yticklabels()[0].get_text()

    def test_plot_has_a_panel_per_network(self, found):
        axes = found.plot().axes[:2]
        assert [ax.get_title(loc="left").split(" ")[0] for ax in axes] == ["one", "two"]
        labels = [label.get_text() for label in axes[0].get_yticklabels()]
        assert labels == ["V1\nmine", "V4\nmine", "V4\nyours"]


def test_progress_says_which_comparison_of_how_many(nets, capsys):
    rsa(nets, recording("mine"), region="all", layers=["0"], **{**QUICK, "progress": True})
    shown = capsys.readouterr().err
    assert "1 of 4: one and mine (V1)" in shown
    assert "4 of 4: two and mine (V4)" in shown


def test_output_that_cannot_be_written(nets, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProbeError, match="cannot be written"):
        rsa(nets, recording("mine"), region="V1", layers=["0"], output=Path(tmp_path, "file", "x"),
            **QUICK)  # fmt: skip
