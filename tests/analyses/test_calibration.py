"""The short version of the calibration study: the defaults hold what they promise."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from probe.inference import noise_ceiling
from probe.similarity import compare

SCRIPT = Path(__file__).parents[2] / "analyses" / "calibration.py"
SIMULATIONS = 200


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def _quick_worlds(calibration: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels of noise are found from few draws, where their precision does not matter."""
    levels = calibration.World._set_levels
    assert levels.__defaults__ == (600,)
    monkeypatch.setattr(levels, "__defaults__", (60,))


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")


def rates(calibration: ModuleType, cell: object, worlds: int = 4) -> pd.Series:
    """Rates by (quantity, hypothesis, test), without power."""
    parts = [
        (cell, calibration.simulate(cell, world, SIMULATIONS // worlds, 199, seed=0))
        for world in range(worlds)
    ]
    table = calibration.summarise(parts)
    assert (table["simulations"] == SIMULATIONS).all()
    table = table[table["quantity"] != "power"]
    return table.set_index(["quantity", "hypothesis", "test"])["rate"]


def three_sigma(p: float) -> float:
    return 3 * np.sqrt(p * (1 - p) / SIMULATIONS)


@pytest.mark.parametrize(
    ("comparator", "resample", "n_stimuli", "n_subjects"),
    [
        ("pearson", "stimuli", 16, 4),
        pytest.param("spearman", "stimuli", 20, 1, marks=pytest.mark.slow),
        pytest.param("pearson", "subjects", 16, 5, marks=pytest.mark.slow),
        pytest.param("pearson", "both", 12, 8, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_defaults_reject_and_cover_as_often_as_they_say(
    calibration: ModuleType, comparator: str, resample: str, n_stimuli: int, n_subjects: int
) -> None:
    found = rates(calibration, calibration.Cell(comparator, resample, n_stimuli, n_subjects))
    false = found["false positives"]
    assert false["zero", "permutation"] == pytest.approx(0.05, abs=three_sigma(0.05))
    assert false["pairs", "t"] == pytest.approx(0.05, abs=three_sigma(0.05))
    for coverage in found["coverage"]:
        assert coverage == pytest.approx(0.95, abs=three_sigma(0.95))
    if n_subjects > 1:
        # The lower bound is a bound: the tests against it may be careful, and must not be liberal.
        assert false["ceiling", "t"] <= 0.05 + three_sigma(0.05)
        assert false["ceiling, true model", "t"] <= 0.05


@pytest.mark.slow
def test_the_study_finds_what_is_not_calibrated(calibration: ModuleType) -> None:
    cell = calibration.Cell("pearson", "subjects", 16, 3, ("bootstrap",))
    found = rates(calibration, cell)["false positives"]
    assert found["pairs", "bootstrap"] > 0.05 + 2 * three_sigma(0.05)
    assert found["zero on average", "bootstrap"] > 0.05 + three_sigma(0.05)


def test_power_grows_with_the_effect(calibration: ModuleType) -> None:
    cell = calibration.Cell("pearson", "stimuli", 20, 4)
    table = calibration.simulate(cell, 0, 60, 99, seed=1)
    power = table[table["quantity"] == "power"]
    for _, rows in power.groupby("hypothesis"):
        ordered = rows.sort_values("effect")
        assert (ordered["effect"].diff().dropna() > 0.0).all()
        assert ordered["hits"].iloc[-1] > ordered["hits"].iloc[0] + 5
    assert set(power["hypothesis"]) == {"zero", "pairs", "ceiling"}


@pytest.mark.parametrize(
    "resample",
    ["stimuli", *(pytest.param(name, marks=pytest.mark.slow) for name in ("subjects", "both"))],
)
def test_null_hypotheses_are_true(calibration: ModuleType, resample: str) -> None:
    world = calibration.World(
        calibration.Cell("pearson", resample, 12, 4), np.random.default_rng(5)
    )
    differences = []
    for _ in range(500):
        world.draw()
        models, data = world.models(), world.data()
        scores = compare(models, data, "pearson").mean(axis=1)
        lower, _ = noise_ceiling(data, "pearson")
        differences.append(
            (
                scores[calibration.AT_BOUND] - lower,
                scores[calibration.TWIN] - scores[calibration.OTHER_TWIN],
                scores[calibration.UNRELATED],
            )
        )
    found = np.array(differences)
    # The noise was found with 600 draws, so both means are uncertain.
    se = found.std(axis=0) * np.sqrt(1 / 600 + 1 / len(found))
    assert (np.abs(found.mean(axis=0)) < 3.5 * se).all()
    assert (found.std(axis=0) > 0.0).all()


def test_stimuli_without_equal_models_are_drawn_again(
    calibration: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With this seed, the first stimuli favour the noise of one model whatever its size."""
    once, found = calibration.World._set_levels, []

    def tried(world: object) -> bool:
        found.append(once(world))
        return found[-1]

    monkeypatch.setattr(calibration.World, "_set_levels", tried)
    cell = calibration.Cell("pearson", "subjects", 8, 2)
    world = calibration.World(cell, np.random.default_rng(7))
    assert found == [False, True]
    assert np.isfinite(world.levels[calibration.OTHER_TWIN])


@pytest.mark.usefixtures("_quick_worlds")
def test_only_what_is_resampled_is_drawn_anew(calibration: ModuleType) -> None:
    for resample in ("stimuli", "subjects", "both"):
        world = calibration.World(
            calibration.Cell("cosine", resample, 8, 2), np.random.default_rng(0)
        )
        latent, maps = world.latent.copy(), world.maps.copy()
        world.draw()
        assert np.array_equal(latent, world.latent) == (resample == "subjects")
        assert np.array_equal(maps, world.maps) == (resample == "stimuli")


def test_distances(calibration: ModuleType) -> None:
    patterns = np.random.default_rng(0).standard_normal((3, 6, 4))
    expected = [pdist(p, "sqeuclidean") for p in patterns]
    np.testing.assert_allclose(calibration.squared_distances(patterns), expected, atol=1e-12)


def test_variants_are_alike_and_grouped(calibration: ModuleType) -> None:
    cell = calibration.Cell("pearson", "stimuli", 12, 2, stimuli="variants")
    world = calibration.World(cell, np.random.default_rng(0))
    rdm = calibration.squared_distances(world.latent)
    i, j = np.triu_indices(12, 1)
    groups = np.array(cell.groups)
    within = groups[i] == groups[j]
    assert rdm[within].max() < rdm[~within].min()


@pytest.mark.usefixtures("_quick_worlds")
def test_a_seed_gives_the_same_table(calibration: ModuleType) -> None:
    cell = calibration.Cell("cosine", "both", 8, 3, ("auto", "bootstrap"))
    one, two, other = (calibration.simulate(cell, 0, 3, 19, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, two)
    assert not one["effect"].equals(other["effect"])


@pytest.mark.slow
def test_command_line_writes_table_and_figure(tmp_path: Path) -> None:
    arguments = ["--quick", "--simulations", "2", "--n-resamples", "19", "--jobs", "2"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments, "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["resample"]) == {"stimuli", "subjects", "both"}
    assert set(table["quantity"]) == {"false positives", "coverage", "power"}
    assert (table["recordings"] == "simulated").all()
    assert (table["low"] <= table["rate"]).all()
    assert (table["rate"] <= table["high"]).all()
    assert (table["simulations"] == 2).all()
    assert "false-positive rates" in done.stdout
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.usefixtures("_quick_worlds")
@pytest.mark.slow
def test_goes_on_where_it_was_stopped(
    calibration: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    simulate, calls = calibration.simulate, []

    def stopped(*item: object) -> pd.DataFrame:
        calls.append(item)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return simulate(*item)

    monkeypatch.setattr(calibration, "simulate", stopped)
    arguments = ["--quick", "--simulations", "1", "--n-resamples", "19", "--jobs", "1"]
    arguments += ["--output", str(tmp_path)]
    assert calibration.main(arguments) == 130
    assert "run again" in capsys.readouterr().err
    assert len(list((tmp_path / "parts").iterdir())) == 1
    assert not (tmp_path / "table.csv").exists()

    assert calibration.main(arguments) == 0
    assert len(calls) == 4  # of three parts, one was cut off and done again
    calls.clear()
    assert calibration.main(arguments) == 0
    assert not calls
    assert (tmp_path / "figure.png").exists()


@pytest.mark.parametrize(
    "wrong", [["--simulations", "-1"], ["--jobs", "0"], ["--n-resamples", "5"]]
)
def test_refuses_numbers_that_make_no_sense(
    calibration: ModuleType, tmp_path: Path, wrong: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        calibration.main([*wrong, "--output", str(tmp_path)])
