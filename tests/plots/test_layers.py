"""What is drawn: points, intervals, band, baselines, words."""

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.container import ErrorbarContainer

from probe.plots import plot_layers


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def table_of(names, types, *, alias=None, untrained=(), pixels=False):
    n = len(names)
    score = np.linspace(0.1, 0.4, n)
    columns = {"layer": names, "alias": alias or [""] * n, "type": types}
    parts = [
        pd.DataFrame(
            {"kind": "layer", **columns, "score": score, "ci_low": score - 0.05,
             "ci_high": score + 0.1}
        )
    ]  # fmt: skip
    if pixels:
        parts.append(
            pd.DataFrame({"kind": "pixels", "layer": ["pixels"], "alias": "", "type": "input",
                          "score": 0.07, "ci_low": 0.0, "ci_high": 0.1})
        )  # fmt: skip
    parts += [
        pd.DataFrame({"kind": "untrained", **columns, "score": 0.01 * seed, "init_seed": seed})
        for seed in untrained
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def table():
    return table_of(
        ["f.0", "f.1", "f.3", "f.4"],
        ["Conv2d", "ReLU", "Conv2d", "ReLU"],
        alias=["conv1", "relu1", "conv2", "relu2"],
        untrained=(0, 1, 2),
        pixels=True,
    )


def bars(ax):
    return {c.get_label(): c for c in ax.containers if isinstance(c, ErrorbarContainer)}


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_line_per_kind_of_layer_with_its_points_and_intervals(table):
    drawn = bars(plot_layers(table))
    assert list(drawn) == ["Conv2d", "ReLU"]
    for kind, places in (("Conv2d", [0, 2]), ("ReLU", [1, 3])):
        points, _caps, (intervals,) = drawn[kind].lines
        rows = table[(table["kind"] == "layer") & (table["type"] == kind)]
        np.testing.assert_array_equal(points.get_xdata(), places)
        np.testing.assert_allclose(points.get_ydata().astype(float), rows["score"])
        ends = np.array([segment[:, 1] for segment in intervals.get_segments()])
        np.testing.assert_allclose(ends, rows[["ci_low", "ci_high"]].to_numpy())


def test_ceiling_baselines_and_words(table):
    ax = plot_layers(
        table, ceiling=(0.5, 0.7), ceiling_label="ceiling", ylabel="rho with V4", title="A and B"
    )
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.5, 0.7))
    assert legend(ax) == ["ceiling", "pixels", "untrained (3 seeds, range)", "Conv2d", "ReLU"]
    assert "95 % CI" in ax.get_legend().get_title().get_text()
    (line,) = (line for line in ax.lines if line.get_label() == "pixels")
    np.testing.assert_allclose(line.get_ydata(), 0.07)
    (marks,) = (line for line in ax.lines if line.get_label().startswith("untrained"))
    np.testing.assert_allclose(marks.get_ydata(), 0.01)
    ranges = [
        c for c in ax.collections if isinstance(c, LineCollection) and len(c.get_paths()) == 4
    ]
    assert [p.vertices[:, 1].tolist() for p in ranges[0].get_paths()] == [[0.0, 0.02]] * 4
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "conv1",
        "relu1",
        "conv2",
        "relu2",
    ]
    assert ax.get_ylabel() == "rho with V4"
    assert ax.get_title(loc="left") == "A and B"


def test_what_is_not_there_is_not_drawn():
    ax = plot_layers(table_of(["a", "b"], ["X", "X"]), ceiling=(np.nan, np.nan))
    assert not ax.patches
    assert legend(ax) == ["X"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]  # without an alias


def test_a_given_axes_is_taken_and_its_style_kept(table):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot_layers(table, ax=right, title="t") is right
    assert not left.lines
    assert plt.get_fignums() == [figure.number]
    assert right._left_title.get_fontsize() == mpl.font_manager.FontProperties(
        size=mpl.rcParams["axes.titlesize"]
    ).get_size_in_points()  # fmt: skip


def test_the_users_settings_are_left_alone(table):
    before = mpl.rcParams.copy()
    plot_layers(table)
    assert mpl.rcParams == before


@pytest.mark.parametrize("n", [1, 26, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 200))])
def test_names_and_title_are_never_cut_and_do_not_overlap(n):
    names = [f"features.{k}.expand3x3" for k in range(n)]
    ax = plot_layers(
        table_of(names, ["Conv2d"] * n),
        ceiling=(0.4, 0.6),
        ceiling_label="noise ceiling (4 subjects, leave-one-out to all-in)",
        title="squeezenet1_1 (weights of the user) and SIMULATED recording my-laboratory/day-7: "
        "V4, 120 neuroids, 3 subjects, 178 stimuli",
    )
    figure = ax.figure
    figure.canvas.draw()
    whole = figure.bbox
    for text in (ax._left_title, *ax.get_xticklabels(), *ax.get_legend().get_texts()):
        box = text.get_window_extent()
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
    labels = ax.get_xticklabels()
    places = ax.transData.transform([(x, 0) for x in ax.get_xticks()])[:, 0]
    if labels[0].get_rotation():  # turned by 45 degrees, lines of text lie this far apart
        height = 1.2 * labels[0].get_fontsize() * figure.dpi / 72
        assert (np.diff(places) >= height).all()
    else:
        boxes = [label.get_window_extent() for label in labels]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert figure.get_size_inches()[0] <= 12


def test_short_names_stay_level():
    ax = plot_layers(table_of([f"conv{k}" for k in range(10)], ["Conv2d"] * 10))
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0}


def test_many_kinds_have_colours_of_their_own():
    n = 14
    ax = plot_layers(table_of([f"l{k}" for k in range(n)], [f"Kind{k}" for k in range(n)]))
    colours = {tuple(c.lines[0].get_color()) for c in bars(ax).values()}
    assert len(colours) == n


def test_classic_models_have_a_place_of_their_own():
    rows = [
        ("layer", "conv1", "Conv2d"), ("layer", "conv2", "Conv2d"), ("pixels", "pixels", "input"),
        ("classic", "hog", "hog"), ("classic", "hmax c1", "hmax"), ("classic", "hmax c2", "hmax"),
    ]  # fmt: skip
    table = pd.DataFrame(
        [
            {"kind": kind, "layer": layer, "alias": "", "type": type_, "score": 0.1 * k,
             "ci_low": 0.1 * k - 0.05, "ci_high": 0.1 * k + 0.05}
            for k, (kind, layer, type_) in enumerate(rows)
        ]
    )  # fmt: skip
    ax = plot_layers(table)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["conv1", "conv2", "hog", "hmax"]
    assert ax.get_xlim() == pytest.approx((-0.6, 3.6))
    drawn = [container.lines[0].get_xydata() for container in ax.containers]
    np.testing.assert_allclose(drawn[0], [[0, 0.0], [1, 0.1]])
    np.testing.assert_allclose(drawn[1], [[2, 0.3]])
    np.testing.assert_allclose(drawn[2], [[2.89, 0.4], [3.11, 0.5]])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["pixels", "Conv2d", "classic (layers in order)"]
