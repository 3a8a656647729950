"""What is drawn of maps that recorded responses judged."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from probe.plots.deletions import plot_in_vivo


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "method": ["gradient", "area", "occlusion"],
            "r": [0.1, 0.05, 0.3],
            "r_low": [0.0, -0.05, 0.2],
            "r_high": [0.2, 0.15, 0.4],
            "ceiling": [0.6, 0.6, 0.6],
        }
    )


def test_rows_are_sorted_with_intervals_and_references_are_hollow(table):
    ax = plot_in_vivo(table, ("area",), title="V4")
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["area", "gradient", "occlusion"]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [0.05, 0.1, 0.3]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [True, False, False]
    spans = [tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    for row in table.to_dict("records"):
        assert (row["r_low"], row["r_high"]) in spans
    assert ax.get_title("left") == "V4"
    assert list(table["method"]) == ["gradient", "area", "occlusion"]  # not sorted in place


def test_the_ceiling_is_a_line_where_it_is_known(table):
    ax = plot_in_vivo(table)
    (text,) = ax.texts
    assert text.get_text() == "ceiling"
    assert any(list(line.get_xdata()) == [0.6, 0.6] for line in ax.lines)
    assert not plot_in_vivo(table.assign(ceiling=np.nan)).texts


def test_into_given_axes(table):
    _, ax = plt.subplots()
    assert plot_in_vivo(table, ax=ax) is ax
    assert plot_in_vivo(table.assign(r=[np.nan, 0.1, 0.2]), ax=ax) is ax
