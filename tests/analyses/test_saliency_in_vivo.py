from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from probe import recordings
from probe.attribution import METHODS
from probe.attribution.in_vivo import REFERENCES

SCRIPT = Path(__file__).parents[2] / "analyses" / "saliency_in_vivo.py"
_spec = importlib.util.spec_from_file_location("saliency_in_vivo", SCRIPT)
assert _spec is not None and _spec.loader is not None  # noqa: PT018
saliency_in_vivo = importlib.util.module_from_spec(_spec)
sys.modules["saliency_in_vivo"] = saliency_in_vivo
_spec.loader.exec_module(saliency_in_vivo)


def test_all_methods_that_need_no_transformer_and_no_segments_are_ranked_on_the_first_head() -> (
    None
):
    uses = saliency_in_vivo.methods_of(saliency_in_vivo.CASES[0], all_methods=False)
    named = {settings.get("method", name) for name, settings in uses.items()}
    assert named == {
        name
        for name, method in METHODS.items()
        if method.kind != "tokens" and "segments" not in method.settings
    }
    for name, settings in uses.items():
        method = METHODS[settings.get("method", name)]
        assert set(settings) - {"method"} <= set(method.settings)
    *others, vgg16 = (
        set(saliency_in_vivo.methods_of(case, all_methods=False))
        for case in saliency_in_vivo.CASES[1:]
    )
    assert all(other == set(saliency_in_vivo.FAST) for other in others)
    assert vgg16 == set(saliency_in_vivo.FEW) < set(saliency_in_vivo.FAST) < set(uses)
    assert len(saliency_in_vivo.methods_of(saliency_in_vivo.CASES[-1], all_methods=True)) == len(
        uses
    )


def test_correlations_are_numpys_of_each_column() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 30, 4))
    expected = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(saliency_in_vivo.correlate(a, b), expected)


def test_figures_show_every_map_and_layer() -> None:
    ranking = pd.DataFrame(
        [{"method": m, "head": h, "r": r} for m, r in (("gradient", 0.3), ("area", 0.1))
         for h in ("alexnet, features.7", "vgg16, features.8")]
    )  # fmt: skip
    figure = saliency_in_vivo.draw_networks(ranking, "V4")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["gradient", "area"]
    assert "area" in REFERENCES
    plt.close(figure)
    rows = [
        {"layer": layer, "predicted": what, "r": 0.4, "r_low": 0.3, "r_high": 0.5}
        for layer in ("features.1", "features.6") for what in ("some", "none")
    ]  # fmt: skip
    figure = saliency_in_vivo.draw_synthesised(pd.DataFrame(rows))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["none", "some"]
    plt.close(figure)


def test_a_map_that_was_not_run_is_hatched_and_one_without_r_is_not() -> None:
    rows = [
        {"method": "gradient", "head": "alexnet", "r": 0.3},
        {"method": "rise", "head": "alexnet", "r": -0.001},
        {"method": "gradient", "head": "vgg16", "r": np.nan},  # run, but its r is not defined
    ]
    figure = saliency_in_vivo.draw_networks(pd.DataFrame(rows), "V4")
    ax, bar = figure.axes
    (hatched,) = ax.patches
    assert hatched.get_hatch()
    assert hatched.get_xy() == (0.5, 0.5)  # vgg16, the second head; rise, the second row
    legend = bar.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["not run"]
    assert [text.get_text() for text in ax.texts] == [".30", ".00"]
    plt.close(figure)
    figure = saliency_in_vivo.draw_networks(pd.DataFrame(rows[:2]), "V4")
    assert not figure.axes[0].patches
    assert figure.axes[1].get_legend() is None
    plt.close(figure)


def test_a_wrong_number_of_sites_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        saliency_in_vivo.main(["--sites", "71"])
    assert stopped.value.code == 2
    assert "--sites 71: expected a number from 1 to 70" in capsys.readouterr().err


def test_sites_are_chosen_by_synthesised_pictures_alone() -> None:
    try:
        recording = recordings.load("v4:210305")
    except Exception as error:
        pytest.skip(f"needs the session: {error}")
    responses = recording.mean_responses().values
    predictions = np.random.default_rng(0).normal(size=responses.shape)
    synthesised = recording.data["kind"].values == "synthesised"
    predictions[np.ix_(synthesised, [3, 40])] = responses[np.ix_(synthesised, [3, 40])]
    predictions[np.ix_(~synthesised, [7, 9])] = responses[np.ix_(~synthesised, [7, 9])]

    class Heads:
        pass

    heads = Heads()
    heads.predictions = predictions  # type: ignore[attr-defined]
    assert saliency_in_vivo.choose_sites(recording, heads, 2) == [3, 40]  # type: ignore[arg-type]
