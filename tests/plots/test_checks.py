"""What is drawn of deletion, insertion and randomised networks."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from probe.errors import ProbeError
from probe.plots import plot_curves, plot_randomisation

FRACTIONS = np.linspace(0, 1, 5)


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture
def table():
    rows = [
        {"mode": mode, "layer": layer, "measure": measure, "picture": picture,
         "similarity": 0.1 * k + 0.2 * picture + 0.3 * (mode == "independent")}
        for mode in ("cascading", "independent")
        for k, layer in enumerate(["fc", "conv2", "conv1"])
        for measure in ("spearman", "spearman_abs")
        for picture in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_line_per_curve_and_its_area():
    curves = {"deletion": (FRACTIONS, 1 - FRACTIONS), "insertion": (FRACTIONS, FRACTIONS**0 / 4)}
    ax = plot_curves(curves, ylabel="probability of a cat", title="Grad-CAM")
    assert [line.get_label() for line in ax.lines] == ["deletion (0.50)", "insertion (0.25)"]
    for line, (x, y) in zip(ax.lines, curves.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([x, y], 1))
    assert ax.get_legend().get_title().get_text() == "area below"
    assert ax.get_ylabel() == "probability of a cat"
    assert ax.get_title("left") == "Grad-CAM"


def test_several_pictures_are_a_mean_and_a_band():
    scores = np.array([1 - FRACTIONS, np.zeros(5)])
    ax = plot_curves({"deletion": (FRACTIONS, scores)})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), (1 - FRACTIONS) / 2)
    (band,) = ax.collections
    inside = band.get_paths()[0]
    assert inside.contains_point((0.2, 0.75))
    assert not inside.contains_point((0.2, 0.85))
    heading = " ".join(ax.get_legend().get_title().get_text().split())
    assert heading == "area below the mean (band: all pictures)"


def test_many_curves_have_no_bands_and_look_different():
    scores = np.random.default_rng(0).random((12, 3, 5))
    ax = plot_curves({f"method {k}": (FRACTIONS, rows) for k, rows in enumerate(scores)})
    assert not ax.collections
    looks = {(str(line.get_color()), str(line._unscaled_dash_pattern)) for line in ax.lines}
    assert len(looks) == 12


def test_the_cascade_is_a_line_and_single_layers_are_circles(table):
    ax = plot_randomisation(table, title="gradient")
    _zero, cascade, alone = ax.lines
    np.testing.assert_allclose(cascade.get_xydata(), [(0, 1), (1, 0.1), (2, 0.2), (3, 0.3)])
    np.testing.assert_allclose(alone.get_xydata(), [(1, 0.4), (2, 0.5), (3, 0.6)])
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert names == ["as trained", "fc", "conv2", "conv1"]
    assert legend(ax) == ["all layers so far", "one layer"]
    assert ax.get_title("left") == "gradient"


def test_methods_have_colours_and_stay_within_the_axes(table):
    both = pd.concat([table.assign(method="gradient"), table.assign(method="grad-cam")])
    ax = plot_randomisation(both, measure="spearman")
    assert legend(ax) == ["all layers so far", "one layer", "gradient", "grad-cam"]
    low, high = ax.get_xlim()
    for line in ax.lines[1:]:
        assert (line.get_xdata() > low).all()
        assert (line.get_xdata() < high).all()
    colours = [line.get_color() for line in ax.lines[1:]]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_a_map_that_is_like_nothing_leaves_a_gap(table):
    table.loc[table["layer"] == "conv2", "similarity"] = np.nan
    ax = plot_randomisation(table)
    assert np.isnan(ax.lines[1].get_ydata()).tolist() == [False, False, True, False]


def test_negative_similarities_are_seen(table):
    ax = plot_randomisation(table.assign(similarity=-0.7))
    assert ax.get_ylim()[0] < -0.7


def test_draws_into_the_users_axes(table):
    _, (left, right) = plt.subplots(1, 2)
    assert plot_curves({"deletion": (FRACTIONS, FRACTIONS)}, ax=left) is left
    assert plot_randomisation(table, ax=right) is right


def test_what_cannot_be_drawn_is_told(table):
    with pytest.raises(ProbeError, match="no curve"):
        plot_curves({})
    with pytest.raises(ProbeError, match=r"measure 'sim': expected one of .*; did you mean 'ssim'"):
        plot_randomisation(table, measure="sim")
    with pytest.raises(ProbeError, match="no rows of measure 'ssim'"):
        plot_randomisation(table, measure="ssim")
