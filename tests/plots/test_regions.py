"""The layer × region map: cells, colours, choices, and what was found on held-out stimuli."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from probe.plots.regions import plot_regions


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def tables(models=("net",), n_layers=4, regions=("V1", "V4"), without_ceiling=(), aliased=True):
    """What `RSAMap.cells` and `RSAMap.best` give: the k-th region is most like layer k."""
    cells, best = [], []
    for model in models:
        names = [f"features.{k}" for k in range(n_layers)]
        aliases = [f"conv{k}" if aliased else "" for k in range(n_layers)]
        for r, region in enumerate(regions):
            score = 0.5 - 0.1 * np.abs(np.arange(n_layers) - r)
            lower = np.nan if region in without_ceiling else 0.8
            chosen = np.zeros(n_layers)
            chosen[r], chosen[r + 1] = 0.75, 0.25
            what = {"model": model, "dataset": "mine", "region": region, "simulated": r == 0}
            cells.append(
                pd.DataFrame(
                    {"comparison": len(cells), **what, "layer": names, "alias": aliases,
                     "score": score, "share_of_lower": score / lower, "chosen": chosen}
                )
            )  # fmt: skip
            best.append(
                {**what, "layer": names[r], "alias": aliases[r], "share": 0.75, "score": 0.45,
                 "score_sd": 0.05, "share_of_lower": 0.45 / lower}
            )  # fmt: skip
    return pd.concat(cells, ignore_index=True), pd.DataFrame(best)


def drawn(*tables, **options):
    """The panels of the networks."""
    figure = plot_regions(*tables, **options)
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def patches(ax, gid):
    return [p for p in ax.patches if isinstance(p, Rectangle) and p.get_gid() == gid]


def beside(ax):
    (right,) = ax.child_axes
    return [label.get_text() for label in right.get_yticklabels()]


def test_cells_are_shares_of_the_ceiling_in_network_order():
    cells, best = tables()
    (ax,) = drawn(cells, best, symbol="rho")
    (image,) = ax.images
    expected = 100 * cells["share_of_lower"].to_numpy().reshape(2, 4)
    np.testing.assert_allclose(image.get_array().filled(), expected)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["conv0", "conv1", "conv2", "conv3"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["V1\nSIMULATED mine", "V4\nmine"]
    assert image.get_clim() == (0.0, pytest.approx(62.5))
    bars = [" ".join(a.get_ylabel().split()) for a in ax.figure.axes if a is not ax]
    assert bars == ["rho, in % of the ceiling's lower bound"]
    numbers = {t.get_text() for t in ax.texts}
    assert {f"{value:.0f}" for value in expected.ravel()} <= numbers


def test_a_region_without_ceiling_has_its_plain_score_on_a_scale_of_its_own():
    cells, best = tables(without_ceiling=("V4",))
    (ax,) = drawn(cells, best, symbol="rho")
    shares, scores = ax.images
    assert shares.get_cmap() != scores.get_cmap()
    assert np.isfinite(shares.get_array()[0]).all()
    assert shares.get_array().mask[1].all()
    assert scores.get_array().mask[0].all()
    np.testing.assert_allclose(scores.get_array()[1], cells["score"][4:])
    labels = [" ".join(a.get_ylabel().split()) for a in ax.figure.axes if a is not ax]
    assert labels == ["rho, in % of the ceiling's lower bound", "rho (ceiling unknown)"]
    assert {".50", ".40"} <= {t.get_text() for t in ax.texts}
    assert beside(ax)[1] == "conv1 (75 %): 0.450 ± 0.050"


def test_choices_are_marked_by_their_share_and_the_most_frequent_by_a_frame():
    (ax,) = drawn(*tables())
    bars = {(round(p.get_x() + 0.42), round(p.get_y() - 0.27)): p.get_width()
            for p in patches(ax, "choice")}  # fmt: skip
    full = 0.84
    assert bars == pytest.approx(
        {(0, 0): 0.75 * full, (1, 0): 0.25 * full, (1, 1): 0.75 * full, (2, 1): 0.25 * full}
    )
    frames = [(p.get_x() + 0.5, p.get_y() + 0.5) for p in patches(ax, "best")]
    assert frames == [(0.0, 0.0), (1.0, 1.0)]


def test_it_says_what_is_in_sample_and_what_is_not():
    (ax,) = drawn(*tables())
    caption = " ".join(ax.figure.get_supxlabel().split())
    assert "in sample" in caption
    assert "held-out stimuli" in caption
    assert beside(ax) == [
        "conv0 (75 %): 0.450 ± 0.050\n56 % of the lower bound",
        "conv1 (75 %): 0.450 ± 0.050\n56 % of the lower bound",
    ]
    assert any("score on the other half ± SD over splits" in t.get_text() for t in ax.texts)


def test_a_comparison_without_a_choice_has_no_mark():
    cells, best = tables()
    cells.loc[cells["comparison"] == 0, "chosen"] = np.nan
    best["layer"] = best["layer"].astype(object)
    best.loc[0, ["layer", "share", "score", "score_sd"]] = np.nan
    (ax,) = drawn(cells, best)
    assert [p.get_y() + 0.5 for p in patches(ax, "best")] == [1.0]
    assert len(patches(ax, "choice")) == 2
    assert beside(ax)[0] == "no choice"


def test_networks_have_panels_and_one_scale_of_colours():
    cells, best = tables(("a", "b"))
    cells.loc[cells["model"] == "b", "share_of_lower"] *= 0.5
    axes = drawn(cells, best, title="title")
    assert [ax.get_title(loc="left") for ax in axes] == ["a", "b"]
    assert axes[0].figure.get_suptitle() == "title"
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim()
    assert len(axes[0].figure.axes) == 3  # two panels, one bar of colours


def test_negative_scores_are_on_the_scale():
    cells, best = tables()
    cells.loc[3, "share_of_lower"] = -0.2
    (ax,) = drawn(cells, best)
    assert ax.images[0].get_clim()[0] == pytest.approx(-20.0)


def test_a_figure_is_taken_and_settings_left_alone():
    cells, best = tables(("a", "b"))
    before = mpl.rcParams.copy()
    own = plt.figure(figsize=(7, 6))
    assert plot_regions(cells, best, figure=own) is own
    assert [ax.get_title(loc="left") for ax in own.axes[:2]] == ["a", "b"]
    assert plt.get_fignums() == [own.number]
    plot_regions(cells, best)
    assert mpl.rcParams == before


def test_in_a_small_figure_less_stands_beside_the_cells():
    small = plot_regions(*tables(aliased=False), figure=plt.figure(figsize=(3, 2)))
    assert not small.axes[0].child_axes
    small = plot_regions(*tables(aliased=False), figure=plt.figure(figsize=(4, 3)))
    (right,) = small.axes[0].child_axes
    assert right.get_yticklabels()[0].get_text().endswith(": 0.45")
    (right,) = plot_regions(*tables(n_layers=12)).axes[0].child_axes
    assert right.get_yticklabels()[0].get_text().startswith("conv0 (75 %)")


@pytest.mark.parametrize(
    ("n_layers", "n_regions"), [(2, 1), (60, 2), pytest.param(12, 3, marks=pytest.mark.slow)]
)
def test_nothing_is_cut_and_names_do_not_touch(n_layers, n_regions):
    cells, best = tables(
        ("efficientnet_b0 (ImageNet weights)",), n_layers, ("V1", "IT-human", "V4")[:n_regions],
        aliased=False,
    )  # fmt: skip
    cells["dataset"] = best["dataset"] = "cowley2023/210325"
    (ax,) = drawn(cells, best, symbol="Spearman ρ")
    figure = ax.figure
    figure.canvas.draw()
    whole = figure.bbox
    (right,) = ax.child_axes
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), *right.get_yticklabels(),
             ax.xaxis.label, ax._left_title, *ax.texts]  # fmt: skip
    for text in texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0, text
        assert box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0, text
        assert box.y1 <= whole.y1, text
    labels = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(a.y0 >= b.y1 for a, b in itertools.pairwise(labels))
    bar = next(a for a in figure.axes if a is not ax)
    assert all(
        label.get_window_extent().x1 <= bar.get_window_extent().x0
        for label in right.get_yticklabels()
    )
    cell = ax.get_window_extent().width / n_layers
    assert all(t.get_window_extent().width < cell for t in ax.texts if t.get_text().isdigit())
