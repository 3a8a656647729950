"""Curves of `probe.plots.invariance`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from probe.plots.invariance import MAX_LAYERS, plot_invariance


def table_of(n_layers, transforms=("translation", "scale"), with_errors=True):
    amounts = {"translation": [0, 1, 8], "scale": [0.5, 1.0, 2.0], "rotation": [0, 90, 180]}
    return pd.DataFrame(
        [
            {
                "layer": f"features.{k}", "alias": f"conv{k}" if k % 2 else "", "kind": "conv",
                "transform": name, "amount": amount, "error": 0.1 * i if with_errors else np.nan,
                "error_sd": 0.01, "correlation": 1 - 0.1 * i, "correlation_sd": 0.02, "n_images": 4,
            }
            for k in range(n_layers)
            for name in transforms
            for i, amount in enumerate(amounts[name])
        ]
    )  # fmt: skip


def test_a_row_for_each_measure_and_a_column_for_each_transform():
    table = table_of(3)
    figure = plot_invariance(table, title="a title")
    axes = np.array(figure.axes).reshape(2, 2)
    assert [ax.get_xlabel() for ax in axes[1]] == ["translation (px)", "scale (×)"]
    assert len(axes[0, 1].lines) == 3
    drawn = axes[0, 1].lines[2].get_xydata()
    np.testing.assert_allclose(drawn, [[0.5, 0.0], [1.0, 0.1], [2.0, 0.2]])
    assert axes[0, 0].get_ylim()[0] == 0
    assert axes[0, 0].get_ylim()[1] > 0.2
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["features.0", "conv1", "features.2"]
    plt.close(figure)


def test_without_maps_there_are_no_errors():
    figure = plot_invariance(table_of(2, ("rotation",), with_errors=False))
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "45", "90", "135", "180"]
    plt.close(figure)


def test_of_many_layers_some_are_drawn_the_first_and_the_last_among_them():
    figure = plot_invariance(table_of(40, ("scale",)))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == MAX_LAYERS
    assert (names[0], names[-1]) == ("features.0", "conv39")
    plt.close(figure)
