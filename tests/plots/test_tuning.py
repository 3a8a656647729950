"""Histograms of `probe.plots.tuning`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probe.plots.tuning import MAX_LAYERS, Reference, plot_tuning

EDGES, COUNTS = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1, 2, 1])


def drawn(n_layers: int = 2, reference: Reference | None = None):
    rng = np.random.default_rng(0)
    rows = [
        {"unit": f"{layer}:{k}", "layer": layer, "alias": alias}
        for layer, alias in ((f"features.{i}", f"conv{i}" if i else "") for i in range(n_layers))
        for k in range(40)
    ]
    table = pd.DataFrame(rows)
    table["preferred_frequency"] = 2.0 ** rng.uniform(0, 3, len(table))
    table["circular_variance"] = rng.uniform(size=len(table))
    table["f1_f0"] = np.inf
    table.loc[table["layer"] == "features.0", "circular_variance"] = np.nan
    table["exponent"] = np.nan
    curves = pd.DataFrame(
        rng.uniform(size=(len(table), 4)), pd.Index(table["unit"]), [0.0, 45.0, 90.0, 135.0]
    )
    names = ("preferred_frequency", "circular_variance", "f1_f0", "exponent")
    comparison = pd.DataFrame(
        {"layer": ["features.1"], "property": ["preferred_frequency"], "distance": [0.25],
         "expected": [0.1]}
    )  # fmt: skip
    references = {} if reference is None else {"preferred_frequency": reference}
    figure = plot_tuning(
        table, {"orientation": curves}, dict.fromkeys(names, ""), references, comparison,
        title="a title",
    )  # fmt: skip
    shown = min(n_layers, MAX_LAYERS)
    return np.array(figure.axes).reshape(-1, shown), table, figure


def test_a_column_for_each_layer_and_a_row_for_each_property_that_some_unit_has():
    axes, _, _ = drawn()
    assert axes.shape == (4, 2)  # examples and three properties: no unit has an exponent
    assert [ax.get_title() for ax in axes[0]] == ["features.0", "conv1"]
    assert len(axes[0, 1].lines) == 4
    assert len(axes[2, 0].patches) == 0  # a layer without values


def test_bars_are_shares_of_the_units_that_have_a_value():
    axes, table, _ = drawn(reference=Reference(EDGES, COUNTS, np.nan, np.nan, "V1: somebody"))
    values = table.loc[table["layer"] == "features.1", "preferred_frequency"]
    heights = [bar.get_height() for bar in axes[1, 1].patches if hasattr(bar, "get_height")]
    np.testing.assert_allclose(heights, np.histogram(values, EDGES)[0] / 40)
    texts = [text.get_text() for text in axes[1, 1].texts]
    assert texts == ["n 40 · D 0.25 (0.10)"]


def test_infinite_ratios_are_counted_at_the_end():
    axes, _, _ = drawn()
    heights = [bar.get_height() for bar in axes[3, 0].patches]
    assert heights == [0.0] * 7 + [1.0]


@pytest.mark.parametrize(
    ("reference", "style"),
    [
        (Reference(None, None, 3.0, np.nan, "V4: somebody"), "--"),
        (Reference(None, None, np.nan, 3.0, "V4: somebody"), ":"),
    ],
)
def test_a_median_or_mean_is_a_line(reference: Reference, style: str):
    axes, _, figure = drawn(reference=reference)
    (line,) = axes[1, 0].lines
    assert (line.get_linestyle(), line.get_xdata()[0]) == (style, 3.0)
    assert "V4: somebody" in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.slow
def test_of_many_layers_some_are_drawn():
    axes, _, _ = drawn(9)
    assert axes.shape[1] == MAX_LAYERS
    assert axes[0, 0].get_title() == "features.0"
    assert axes[0, -1].get_title() == "conv8"
