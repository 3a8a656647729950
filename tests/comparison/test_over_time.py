"""``probe rsa`` over time: one window, and a curve per layer."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from scipy.stats import spearmanr

import probe
from probe import cli
from probe.comparison import rsa
from probe.comparison.result_over_time import RSAOverTime
from probe.errors import ProbeError
from probe.recordings import from_folder

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

LAYERS = ["features.0", "features.3"]
FILES = {
    "table.csv", "peaks.csv", "clusters.csv", "figure.png", "generalisation.csv",
    "generalisation.png", "rdms.npz", "result.json",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def write(folder, n_repetitions=3, n_subjects=1, seed=0):
    """12 stimuli, 6 bins of 10 ms from 40 ms on, 8 neuroids per subject."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    for k in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        picture.save(folder / "images" / f"p{k:02d}.png")
    rates = rng.gamma(2.0, 2.0, (12, 1, 6, 8 * n_subjects))
    np.save(folder / "responses.npy", rng.poisson(rates, (12, n_repetitions, 6, 8 * n_subjects)))
    starts = 40 + 10.0 * np.arange(6)
    pd.DataFrame({"time_start_ms": starts, "time_end_ms": starts + 10}).to_csv(
        folder / "times.csv", index=False
    )
    subjects = np.repeat([f"s{k}" for k in range(n_subjects)], 8)
    pd.DataFrame(
        {"neuroid_id": [f"n{k}" for k in range(len(subjects))], "subject": subjects,
         "region": "V4"}
    ).to_csv(folder / "neuroids.csv", index=False)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return write(tmp_path_factory.mktemp("labs") / "lab")


def untrained(dataset, **options):
    options = {"layers": LAYERS, "n_resamples": 20, "baselines": False} | options
    return rsa("squeezenet1_1", str(dataset), weights="random", **options)


@pytest.fixture(scope="module")
def curves(lab):
    return untrained(lab, time=(40, 100), step=20, baselines=True)


def test_scores_are_those_of_each_window(lab, curves):
    assert isinstance(curves, RSAOverTime)
    np.testing.assert_array_equal(curves.times, [[40, 60], [60, 80], [80, 100]])
    rows = curves.table.set_index(["kind", "layer", "time_start"])["score"]
    for start in (40, 60, 80):
        one = untrained(lab, time=(start, start + 20))
        for name, score in one.layers[["layer", "score"]].to_numpy():
            assert rows["layer", name, start] == pytest.approx(score, abs=1e-12)
        low, high = one.layers[["ci_low", "ci_high"]].to_numpy()[0]
        at = curves.table[(curves.table["layer"] == LAYERS[0]) & (curves.table["kind"] == "layer")]
        at = at[at["time_start"] == start].iloc[0]
        assert (at["ci_low"], at["ci_high"]) == pytest.approx((low, high), abs=1e-10)
        assert at["ceiling_lower"] == pytest.approx(one.ceiling.lower, nan_ok=True)
    (of_model,) = spearmanr(
        curves.rdms.distances[0],
        from_folder(lab).window(60, 80).rdms()[1][0],
    )[:1]
    assert rows["layer", LAYERS[0], 60] == pytest.approx(of_model)


def test_what_is_in_the_tables(curves):
    table = curves.table
    assert set(table["kind"]) == {"layer", "pixels", "untrained"}
    assert len(table[table["kind"] == "layer"]) == 2 * 3
    assert len(table[table["kind"] == "untrained"]) == 2 * 3 * 3
    layers = table[table["kind"] == "layer"]
    best = layers.loc[layers.groupby("layer", sort=False)["score"].idxmax()]
    np.testing.assert_allclose(curves.peaks["score"], best["score"])
    np.testing.assert_allclose(curves.peaks["latency"], best["time_start"] + 10)
    assert (curves.peaks["latency_low"] <= curves.peaks["latency_high"]).all()
    assert curves.latencies.shape == (20, 2)
    assert set(np.unique(curves.latencies)) <= {50.0, 70.0, 90.0}
    assert curves.generalisation.shape == (3, 3)
    assert not curves.simulated
    assert "3 times of 20 ms, 40 to 100 ms after stimulus onset" in repr(curves)
    assert '<img src="data:image/png;base64,' in curves._repr_html_()
    assert f'alt="{curves.title}"' in curves._repr_html_()


def test_saves_itself(curves, tmp_path):
    written = curves.save(tmp_path / "out")
    assert {path.name for path in written} == FILES
    record = json.loads((tmp_path / "out" / "result.json").read_text())
    assert record["provenance"]["settings"]["time"] == [40.0, 100.0]
    assert record["provenance"]["settings"]["step"] == 20.0
    assert record["recording"]["time"] == "3 bins of 20 ms, 40 to 100 ms"
    assert len(pd.read_csv(tmp_path / "out" / "table.csv")) == len(curves.table)
    square = pd.read_csv(tmp_path / "out" / "generalisation.csv", index_col=0)
    np.testing.assert_allclose(square.to_numpy(), curves.generalisation)


def test_draws_itself(curves):
    figure = curves.plot()
    top, below = figure.axes
    assert top.get_ylabel().startswith("Spearman ρ with V4")
    assert below.get_xlabel() == "time after stimulus onset (ms)"
    assert len(below.get_yticklabels()) == 2
    ax = curves.plot_generalisation()
    assert ax.images[0].get_extent() == [40, 100, 40, 100]


def test_several_subjects(tmp_path):
    found = untrained(write(tmp_path / "lab", n_subjects=3), time="40,100ms", step="20ms")
    assert "3 subjects" in found.ceiling
    assert (found.table["ceiling_lower"] < found.table["ceiling_upper"]).all()
    flipped = untrained(
        tmp_path / "lab", time="40,100ms", step="20ms", resample="subjects", test="sign-flip"
    )
    assert flipped.facts["comparison"]["test"] == "sign-flip"
    assert (flipped.clusters["p"] >= 1 / 8).all()


def test_one_subject_without_repetitions(tmp_path):
    found = untrained(write(tmp_path / "lab", n_repetitions=1), time=(40, 100), step=20)
    assert found.generalisation is None
    assert found.table["ceiling_lower"].isna().all()
    with pytest.raises(ProbeError, match="no generalisation over time is known: one subject, no"):
        found.plot_generalisation()
    assert {path.name for path in found.save(tmp_path / "out")} == FILES - {
        "generalisation.csv", "generalisation.png",
    }  # fmt: skip


def test_without_intervals(lab):
    found = untrained(lab, time=(40, 100), step=20, resample=None)
    assert found.peaks["latency_low"].isna().all()
    assert found.table["ci_low"].isna().all()
    assert "95 % CI" not in found.summary()
    found.plot()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "has a time axis .*: name a window of it, as in --time 70,170ms"),
        ({"step": 10}, "a step without a time"),
        ({"time": (40, 100), "step": 25}, "do not fill 40 to 100 ms: end at 90 ms, for example"),
        ({"time": (45, 95)}, "can begin at 40 or 50 and end at 90 or 100"),
        ({"time": (40, 100), "step": 5}, "can begin at 40 and end at 50"),
        ({"time": (100, 40)}, "expected .start, end. in ms"),
        ({"time": "100,40ms"}, "a start before the end"),
        ({"time": "40,100"}, "--time 40,100 has no unit"),
        ({"time": "soon"}, "--time soon: expected two numbers and a unit, as in 70,170ms"),
        ({"time": 40}, "expected .start, end. in ms"),
        ({"time": (40, 100), "step": -1}, "expected a number of ms > 0"),
        ({"time": (40, 100), "step": "fast"}, "--step fast: expected a length"),
        ({"time": (40, 100), "step": 20, "resample": "both"}, "'both' cannot be used over time"),
        ({"time": (40, 100), "step": 20, "test": "t"}, "clusters are tested by 'permutation'"),
        ({"time": (40, 100), "step": 20, "region": "all"}, "one network is compared with one"),
        ({"time": (40, 100), "step": 20, "resample": "subjects"}, "has one subject"),
    ],
)
def test_what_is_refused_before_anything_is_computed(lab, options, reason):
    with pytest.raises(ProbeError, match=reason) as raised:
        untrained(lab, **options)
    assert "\n" not in str(raised.value)


def test_recordings_without_time():
    with pytest.raises(ProbeError, match=r"has no time axis: .*keeps time with --step"):
        rsa("squeezenet1_1", "sim-v4", weights="random", layers=LAYERS, time=(0, 100))


def test_the_command(lab, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "probe", "rsa", "-m", "squeezenet1_1", "-d", str(lab), "--weights", "random", "--layers",
        ",".join(LAYERS), "--n-resamples", "20", "--no-baselines", "--time", "40,100ms",
        "--step", "20ms",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert not exit_.value.code
    shown = capsys.readouterr().out
    assert "p (cluster)" in shown
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name == "rsa-squeezenet1_1-lab-random-40-100ms-step-20ms"
    assert {path.name for path in folder.iterdir()} == FILES
    assert shown.count("wrote ") == len(FILES)
    monkeypatch.setattr("sys.argv", [*words[:-2], "--json", "-o", "one"])
    with pytest.raises(SystemExit):
        cli.main()
    record = json.loads(capsys.readouterr().out)
    assert record["recording"]["response_unit"].endswith("sum over 40 to 100 ms after onset")
    assert (Path("one") / "pairs.csv").exists()


def test_public_names():
    assert probe.RSAOverTime is RSAOverTime


def test_the_window_and_the_choice_of_neuroids_are_said(lab):
    one = untrained(lab, time="60,80ms")
    assert "Responses from 60 to 80 ms after stimulus onset." in one.notes()
    assert one.facts["recording"]["window"] == [60, 80]
    both = untrained(lab, time="60,80ms", step="10ms", min_reliability=0)
    (said,) = [note for note in both.notes() if note.startswith("Neuroids with reliability ≥ 0: ")]
    assert said.endswith("chosen on other repetitions.")
    assert "window" not in both.facts["recording"]


def test_regions_of_a_path(lab):
    found = rsa(
        "squeezenet1_1", [lab], region=["V4"], layers=LAYERS, weights="random", time="60,80ms",
        n_resamples=20, baselines=False,
    )  # fmt: skip
    assert [one.facts["recording"]["region"] for one in found] == ["V4"]
