"""Accuracy along layers, and with few training pictures."""

from __future__ import annotations

import legible
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from probe.plots.transfer import MAX_CURVES, plot_transfer


def table_of(n_layers=3, others=("pixels", "hog"), shots=(1.0, 5.0), untrained=True):
    kinds = [("layer", f"features.{k}", f"conv{k}") for k in range(n_layers)]
    if untrained:
        kinds += [("untrained", name, alias) for _, name, alias in kinds]
    kinds += [("baseline", name, "") for name in others]
    return pd.DataFrame(
        [
            {
                "kind": kind, "layer": layer, "alias": alias, "classifier": classifier,
                "model": layer if kind == "baseline" else "alexnet",
                "shown": f"untrained {layer}" if kind == "untrained" else layer,
                "few_shot": m < 8, "n_train_per_class": m, "chance": 0.25,
                "balanced_chance": 0.2,
                "accuracy": 0.3 + 0.02 * k + 0.01 * m, "low": 0.28, "high": 2.0,
            }
            for k, (kind, layer, alias) in enumerate(kinds)
            for classifier in ("linear", "knn")
            for m in (*shots, 8.0)
        ]
    )  # fmt: skip


def test_layers_then_baselines_each_at_a_place_of_its_own():
    figure = plot_transfer(table_of(), title="a title")
    left, right = figure.axes
    names = [tick.get_text() for tick in left.get_xticklabels()]
    assert names == ["conv0", "conv1", "conv2", "pixels", "hog"]
    drawn = {tuple(np.round(c.lines[0].get_xdata(), 2)) for c in left.containers}
    assert drawn == {
        (-0.12, 0.88, 1.88), (0.12, 1.12, 2.12), (2.88,), (3.12,), (3.88,), (4.12,),
    }  # fmt: skip
    (chance,) = {line.get_ydata()[0] for line in left.lines if line.get_linestyle() == ":"}
    assert chance == 0.25
    (of_shots,) = [line.get_ydata() for line in right.lines if line.get_linestyle() == ":"]
    np.testing.assert_array_equal(of_shots, [0.2, 0.2, 0.25])
    curve = right.lines[0].get_xydata()
    np.testing.assert_allclose(curve, [[1, 0.31], [5, 0.35], [8, 0.38]])
    assert [text.get_text() for text in right.get_legend().get_texts()] == names
    plt.close(figure)


def test_without_few_shots_there_is_one_panel():
    figure = plot_transfer(table_of(shots=(), others=(), untrained=False))
    assert len(figure.axes) == 1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["linear probe", "nearest neighbours"]
    plt.close(figure)


@pytest.mark.parametrize("n_layers", [1, MAX_CURVES + 9])
def test_of_many_layers_some_have_a_curve(n_layers):
    figure = plot_transfer(table_of(n_layers))
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert len(labels) == min(n_layers, MAX_CURVES) + 2
    assert labels[0] == "conv0"
    assert f"conv{n_layers - 1}" in labels
    plt.close(figure)


def test_layers_of_a_baseline_stand_side_by_side():
    table = table_of(2, others=("pixels", "hmax c1", "hmax c2"))
    table["model"] = table["model"].str.removesuffix(" c1").str.removesuffix(" c2")
    figure = plot_transfer(table)
    left = figure.axes[0]
    assert [t.get_text() for t in left.get_xticklabels()] == ["conv0", "conv1", "pixels", "hmax"]
    pairs = [c.lines[0].get_xdata() for c in left.containers if len(c.lines[0].get_xdata()) == 2]
    np.testing.assert_allclose(pairs[1], [2.81, 3.07])
    plt.close(figure)


def test_untrained_marks_are_hidden_behind_none():
    figure = plot_transfer(table_of())
    left = figure.axes[0]
    trained = {tuple(c.lines[0].get_xdata()) for c in left.containers}
    hollow = [line for line in left.lines if "untrained" in str(line.get_label())]
    assert len(hollow) == 2
    assert not trained & {tuple(line.get_xdata()) for line in hollow}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ["untrained" in label for label in labels] == [False, False, True, True]
    plt.close(figure)


def test_numbers_of_pictures_are_not_written_over_each_other():
    figure = plot_transfer(table_of(shots=(1.0, 7.0)))
    assert legible.faults(figure) == []
    near = plot_transfer(table_of(shots=(1.0, 7.9)))
    assert [tick.get_text() for tick in near.axes[1].get_xticklabels()] == ["1", "8"]
    assert legible.faults(near) == []
    plt.close(near)
    plt.close(figure)
