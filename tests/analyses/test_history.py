from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from scipy import stats

from probe.models.known import CLASSIC, FEATURES, TORCHVISION

SCRIPT = Path(__file__).parents[2] / "analyses" / "history.py"
_spec = importlib.util.spec_from_file_location("history", SCRIPT)
assert _spec is not None and _spec.loader is not None  # noqa: PT018
history = importlib.util.module_from_spec(_spec)
sys.modules["history"] = history
_spec.loader.exec_module(history)


def result(scores: dict[str, float], shares: dict[str, float] | None, se: float) -> dict[str, Any]:
    return {
        "table": [
            {"kind": "layer", "layer": name, "alias": name.upper(), "score": score, "se": se,
             "ci_low": score - 2 * se, "ci_high": score + 2 * se}
            for name, score in scores.items()
        ] + [{"kind": "pixels", "layer": "pixels", "score": 0.9, "se": 0.1}],
        "choice": None if shares is None else {"shares": shares, "score": 0.2},
        "ceiling": {"lower": 0.3, "upper": 0.4},
        "model": {"weights_source": "made here"},
    }  # fmt: skip


def test_every_model_exists_and_has_the_year_of_its_authors() -> None:
    known = {**CLASSIC, **FEATURES}
    for model in history.MODELS:
        assert (
            model.name in known or model.name in TORCHVISION or model.name == ("efficientnet_lite0")
        )
        said = known.get(model.name, "")
        if said[:4].isdigit() and model.name != "v1-gabor":  # Hubel & Wiesel's, as Heeger put it
            assert model.year == int(said[:4])
    assert set(FEATURES) <= {model.name for model in history.MODELS}
    assert {model.kind for model in history.MODELS} == set(history.KINDS) == set(history.COLOURS)


def test_the_interval_holds_the_choice_of_the_layer() -> None:
    only = history.summarise(result({"a": 0.25}, None, 0.05))
    assert (only["layer"], only["score"], only["se"]) == ("a", 0.25, pytest.approx(0.05))
    assert only["ci_high"] - only["ci_low"] == pytest.approx(4 * 0.05)
    sure = history.summarise(result({"a": 0.25, "b": 0.1}, {"a": 1.0}, 0.05))
    assert sure["score"] == 0.2
    assert sure["in_sample"] == 0.25  # the pixels are no layer
    assert sure["se"] == pytest.approx(0.05)
    unsure = history.summarise(result({"a": 0.25, "b": 0.15}, {"a": 0.6, "b": 0.4}, 0.05))
    assert unsure["layer"] == "a"
    # A mixture: the standard deviation between is half the difference × 2 √(.6 · .4).
    assert unsure["se"] == pytest.approx(np.hypot(0.05, 0.1 * np.sqrt(0.24)))


def test_a_trend_over_years_is_found_and_has_an_interval() -> None:
    rng = np.random.default_rng(0)
    n = 24
    pairs = n * (n - 1) // 2
    data = rng.normal(size=(3, pairs)) * 0.3 + rng.normal(size=pairs)
    noise = np.linspace(6, 0.5, 7)[:, None]
    models = data.mean(axis=0) + noise * rng.normal(size=(7, pairs))
    years = np.array([np.nan, 1990, 2000, 2012, 2014, 2016, 2018])
    found = history.trend(models, data, years, 100, 0)
    assert (found["n_all"], found["n_deep"]) == (6, 4)
    scores = [np.mean([stats.spearmanr(model, row).statistic for row in data]) for model in models]
    assert found["rho_all"] == stats.spearmanr(years[1:], scores[1:]).statistic
    assert found["low_all"] <= found["rho_all"] <= found["high_all"]
    assert "rho_deep" not in history.trend(models[:5], data, years[:5], 10, 0)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_names_are_moved_apart_and_no_more_than_that(values: list[int]) -> None:
    values = sorted(values)
    places = history.spread(np.array(values, dtype=float), 2.0)
    assert (np.diff(places) >= 2.0 - 1e-9).all()
    assert places.mean() == pytest.approx(np.mean(values))
    apart = np.arange(len(values)) * 3.0
    np.testing.assert_allclose(history.spread(apart, 2.0), apart)


def test_the_figure_names_every_model_once_and_has_a_panel_per_area() -> None:
    rows = [
        {"model": model.name, "label": model.label, "year": model.year, "kind": model.kind,
         "area": area.title, "panel": area.panel, "n_stimuli": 92, "score": 0.1, "ci_low": 0.0,
         "ci_high": 0.2, "ceiling_lower": 0.3, "ceiling_upper": 0.4}
        for model in history.MODELS for area in history.AREAS
    ]  # fmt: skip
    figure = history.draw(pd.DataFrame(rows))
    rail, *panels = figure.axes
    assert [ax.get_title(loc="left").split(",")[0] for ax in panels] == [
        "human EVC (fMRI)", "macaque V4 (neurons)", "human IT (fMRI)",
    ]  # fmt: skip
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in rail.texts]
    assert [text.get_text() for text in rail.texts] == [
        model.label for model in history.MODELS if np.isfinite(model.year)
    ]
    for one, other in itertools.pairwise(boxes):
        assert one.x1 <= other.x0, "names overlap"
    plt.close(figure)


def test_models_are_compared_once_and_those_without_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    area = history.Area("simulated V4", "sim-v4", "V4", "V4")
    monkeypatch.setattr(history, "AREAS", (area,))
    arguments = ["--models", "pixels", "luminance-contrast", "zfnet", "--n-resamples", "20",
                 "--v4-stimuli", "24", "--output", str(tmp_path)]  # fmt: skip
    assert history.main(arguments) == 0
    said = capsys.readouterr().out
    assert "left out: ZFNet" in said
    table = pd.read_csv(tmp_path / "history.csv")
    assert table["n_stimuli"].tolist() == [24, 24]
    assert len(pd.read_csv(tmp_path / "pairs.csv")) == 1
    part = tmp_path / "parts" / "luminance-contrast-sim-v4-V4" / "result.json"
    saved = json.loads(part.read_text())
    assert table["score"].iloc[1] == pytest.approx(saved["choice"]["score"])

    def refuse(*_: object) -> None:
        raise AssertionError("compared again")

    monkeypatch.setattr(history, "compare", refuse)
    arguments.remove("zfnet")
    assert history.main(arguments) == 0


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for option, value in (("--v4-stimuli", "641"), ("--n-resamples", "1")):
        with pytest.raises(SystemExit) as stopped:
            history.main([option, value])
        assert stopped.value.code == 2
        assert f"{option} {value}: expected" in capsys.readouterr().err
