"""Colours of maps: what is for, what is against, and what is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

from probe.plots import maps


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_red_speaks_for_and_blue_against() -> None:
    red, white, blue = maps.coloured(np.array([[1.0, 0.0, -1.0]]), signed=True, scale=1.0)[0]
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2
    assert white.min() > 0.95
    assert np.ptp(white) < 0.02


def test_the_scale_leaves_out_what_is_extreme() -> None:
    values = np.ones((100, 100))
    values[0, 0] = 1000.0
    assert maps.scale_of(values) == 1.0
    assert maps.scale_of(np.zeros((3, 3))) == 1.0
    one = np.zeros((100, 100))
    one[0, 0] = 5.0
    assert maps.scale_of(one) == 5.0  # nothing else is there


@pytest.mark.parametrize("signed", [False, True])
def test_an_overlay_is_grey_where_nothing_is_said(picture: np.ndarray, signed: bool) -> None:
    values = np.zeros((20, 30))
    values[5:10, 5:10] = 1.0
    laid = maps.overlay(picture, values, signed=signed).astype(int)
    assert laid.shape == picture.shape
    nothing = values == 0
    assert np.ptp(laid[nothing], axis=1).max() == 0
    assert np.ptp(laid[~nothing], axis=1).min() > 20
    # The order of brightness is that of the picture.
    luminance = picture @ [0.2126, 0.7152, 0.0722]
    order = np.argsort(luminance[nothing])
    assert (np.diff(laid[nothing][order, 0]) >= 0).all()


def test_contours_and_sheets_are_drawn(picture: np.ndarray) -> None:
    y, x = np.mgrid[-1:1:20j, -1:1:30j]
    bump = np.exp(-(x**2 + y**2) * 4)
    ax = maps.plot_map(picture, bump - 0.5, signed=True, style="contours")
    assert len(ax.collections) >= 6
    figure = maps.plot_sheet(
        picture, [[bump] * 7], signed=[[False] * 7], rows=["layer"], columns=list("abcdefg")
    )
    assert len(figure.axes) in (8, 9)  # none alone in the last row
    assert sum(bool(ax.images) for ax in figure.axes) == 8
    several = maps.plot_sheet(
        picture, [[bump, None], [None, bump]], signed=[[False, False], [False, True]],
        rows=["first", "second"], columns=["a", "b"],
    )  # fmt: skip
    above = [ax.get_title(loc="left") for ax in several.axes]
    assert above == ["", "a", "b"]  # each method has one map
    layers = maps.plot_sheet(
        picture, [[bump, bump], [bump, None]], signed=[[False] * 2] * 2, rows=["first", "second"],
        columns=["a", "b"],
    )  # fmt: skip
    above = [ax.get_title(loc="left") for ax in layers.axes]
    assert above == ["", "a\nfirst", "a\nsecond", "b"]


@pytest.mark.parametrize("n", range(2, 40))
def test_no_panel_of_a_sheet_stands_alone(n: int) -> None:
    for into in ((10.0, 9.0), (3.0, 2.0), (12.0, 3.0)):
        columns, rows = maps._sheet_shape(n, into=into)
        assert columns * (rows - 1) < n <= columns * rows
        assert columns == 1 or n % columns != 1 or n == 2
    plt.close("all")


@pytest.mark.parametrize(
    ("size", "columns"), [((9.0, 2.7), 3), ((6.4, 4.8), 2), ((4.0, 8.0), 1)], ids=str
)
def test_maps_side_by_side_fill_the_figure(picture: np.ndarray, size, columns: int) -> None:
    figure = plt.figure(figsize=size)
    maps.plot_side_by_side(
        picture, np.ones((20, 30)), signed=True, label="gradient", title="one", figure=figure
    )
    figure.draw_without_rendering()
    panels = [ax for ax in figure.axes if ax.images]
    assert len(panels) == 3
    assert len({round(ax.get_position().x0, 2) for ax in panels}) == columns
    assert sum(np.prod(ax.get_position().size) for ax in panels) > 0.45
    assert any("gradient" in text.get_text() for text in figure.findobj(plt.Text))
    plt.close(figure)
