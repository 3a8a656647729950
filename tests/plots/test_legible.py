"""No text of any figure is cut, or lies over another, whatever the size of the figure.

Texts and boxes are measured here, however wide the letters of a version of matplotlib are. That
marks are where they were is tested in test_marks.py, and what a figure shows function by function,
by its artists.
"""

from __future__ import annotations

import itertools

import legible
import matplotlib as mpl
import numpy as np
import pytest
from drawn import plots
from matplotlib import pyplot as plt

SIZES = ((3, 2), (4, 3), (6.4, 4.8), (9, 6), (12, 8))
"""In inches: a column of a journal, two, a default of matplotlib, and what slides take.

All cases take some 12 minutes of one core."""

CASES = [
    (name, size, n, long, layout)
    for name, (where, _) in plots().items()
    for size, n, long in itertools.product(SIZES, (2, 12, 150), (False, True))
    for layout in (("constrained", "tight") if where == "ax" else ("constrained",))
]

LARGE = ("saliency_map", "in_vivo", "kernels", "rdm_names", "sites", "dendrogram", "encodings")
"""What is drawn quickly at a middle size, too, stands for the others: the slow tests have all."""

FAST = [
    (name, SIZES[2] if name in LARGE else SIZES[0], 12, True, "constrained") for name in plots()
]
"""One of each function: mostly the smallest size, which asks for most."""


@pytest.fixture(autouse=True)
def _closed():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def faults(name, size, n, long, layout, **options):
    where, draw = plots()[name]
    if where == "ax":
        figure, ax = plt.subplots(figsize=size, layout=layout)
        draw(n, long, ax, **options)
        ax.set_title("my title")
    else:
        figure = plt.figure(figsize=size, layout=layout)
        draw(n, long, figure, **options)
    return legible.faults(figure)


def called(case):
    name, (wide, high), n, long, layout = case
    return f"{name}-{wide}x{high}-{n}{'-long' if long else ''}-{layout}"


@pytest.mark.parametrize("case", FAST, ids=called)
def test_every_text_is_legible(case):
    assert faults(*case) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in FAST], ids=called)
def test_every_text_is_legible_at_other_sizes(case):
    assert faults(*case) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", plots())
@pytest.mark.parametrize("n", [2, 12, 150])
@pytest.mark.parametrize("long", [False, True])
def test_figures_of_our_own_are_legible(name, n, long):
    where, draw = plots()[name]
    drawn = draw(n, long, None)
    figure = drawn.get_figure(root=True)
    if where == "ax":
        drawn.set_title("my title")
    assert legible.faults(figure) == []


LEGENDS = (
    "alignment",
    "curves",
    "layers",
    "mds",
    "scores",
    "invariance",
    "transfer",
    "bands",
    "concepts",
)


BESIDE_A_LEGEND = (
    "curves",
    "mds",
    pytest.param("layers", marks=pytest.mark.slow),
    pytest.param("scores", marks=pytest.mark.slow),
)
"""All are made room for by the same function: the slow tests have those that take long."""


@pytest.mark.parametrize("name", LEGENDS)
def test_a_legend_can_be_switched_off(name):
    where, draw = plots()[name]
    for legend in (True, False):
        figure = plt.figure(figsize=(6.4, 4.8), layout="constrained")
        draw(3, False, figure.add_subplot() if where == "ax" else figure, legend=legend)
        there = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
        assert bool(there) == legend


@pytest.mark.parametrize("name", BESIDE_A_LEGEND)
@pytest.mark.parametrize("placed", [False, True], ids=["in a grid", "by hand"])
def test_without_a_layout_a_legend_is_whole(name, placed):
    figure = plt.figure(figsize=(3.3, 2.5), layout="none")
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.7)) if placed else figure.add_subplot()
    plots()[name][1](12, True, ax)
    assert ax.get_legend().get_texts()
    assert legible.faults(figure) == []


@pytest.mark.parametrize("name", BESIDE_A_LEGEND)
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1)])
def test_without_a_layout_no_axes_of_a_grid_lies_on_another(name, rows, columns):
    figure, grid = plt.subplots(
        rows, columns, figsize=(5 * columns, 3.5 * rows), layout="none", squeeze=False
    )
    for ax in grid.flat:
        plots()[name][1](4, False, ax)
    assert legible.faults(figure) == []


def test_a_figure_without_a_layout_in_which_all_has_room_stays_as_it_is():
    _, ax = plt.subplots(figsize=(8, 5), layout="none")
    before = ax.get_position().bounds
    plots()["curves"][1](2, False, ax, legend=False)
    assert ax.get_position().bounds == before


@pytest.mark.parametrize(
    "name",
    [
        "transfer",
        pytest.param("invariance", marks=pytest.mark.slow),
        pytest.param("bands", marks=pytest.mark.slow),
    ],
)
def test_several_panels_are_drawn_into_a_subfigure(name):
    figure = plt.figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subfigures(1, 2)
    assert plots()[name][1](3, False, left) is left
    assert left.axes
    assert not right.axes
    assert legible.faults(figure) == []


class TestTheCheck:
    """The check itself finds what is wrong."""

    def figure(self):
        figure = plt.figure(figsize=(3, 2))
        ax = figure.add_axes((0.2, 0.2, 0.7, 0.6))
        ax.set(xticks=[], yticks=[])
        return figure, ax

    def test_a_plain_figure_is_legible(self):
        figure = plt.figure(figsize=(4, 3), layout="constrained")
        figure.add_subplot().plot([1, 2], label="a line")
        figure.axes[0].legend()
        assert legible.faults(figure) == []

    def test_a_title_that_leaves_the_canvas(self):
        figure, ax = self.figure()
        ax.set_title("a title that is much too long for so small a figure")
        (fault,) = legible.faults(figure)
        assert fault.startswith("cut: 'a title")

    def test_a_text_of_several_lines_that_leaves_the_canvas(self):
        figure, ax = self.figure()
        ax.set_title("a title that is much too\nlong for so small a figure")
        (fault,) = legible.faults(figure)
        assert fault.startswith("cut: 'a title")

    def test_a_legend_without_a_frame_is_what_is_seen_of_it(self):
        figure, ax = self.figure()
        ax.plot([0, 1], label="a line")
        ax.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0), frameon=False, borderpad=4)
        assert legible.faults(figure) == []
        ax.get_legend().set_bbox_to_anchor((1.7, 1.0))
        assert any(fault.startswith("cut: legend") for fault in legible.faults(figure))

    def test_texts_over_each_other(self):
        figure, ax = self.figure()
        ax.text(0.5, 0.5, "one")
        ax.text(0.52, 0.5, "other")
        (fault,) = legible.faults(figure)
        assert fault.startswith("overlap: 'one' and 'other'")

    def test_turned_names_side_by_side_do_not_overlap(self):
        figure, ax = self.figure()
        for x in (0.3, 0.45):  # their upright boxes do
            ax.text(x, 0.2, "a name of a layer", rotation=60, rotation_mode="anchor")
        assert legible.faults(figure) == []
        ax.text(0.32, 0.2, "a name of a layer", rotation=60, rotation_mode="anchor")
        assert legible.faults(figure)

    def test_what_is_not_drawn_is_not_counted(self):
        figure, ax = self.figure()
        for _ in range(2):
            ax.text(0.5, 0.5, "one").set_visible(False)
        ax.set_axis_off()
        ax.set_xlabel("x" * 200)
        assert legible.faults(figure) == []

    def test_a_legend_over_a_label(self):
        figure, ax = self.figure()
        ax.text(0.5, 0.5, "data")
        ax.plot([0, 1], [0, 1], label="a line")
        ax.legend(loc="center")
        assert any(fault.startswith("covers:") for fault in legible.faults(figure))

    def test_a_panel_without_room_and_small_letters(self):
        figure, ax = self.figure()
        ax.plot([0, 1])
        ax.set_position((0.4, 0.4, 0.3, 0.05))
        ax.set_xticks([0, 1])
        ax.tick_params(labelsize=3)
        found = " ".join(legible.faults(figure))
        assert "crushed" in found
        assert "small:" in found


def colour_blind(rgb):
    """Return how deuteranopes see colours: Viénot, Brettel & Mollon 1999 (Color Res Appl 24:243).

    Two of the three primaries are projected on the plane that they distinguish.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714],
                       [0.0299566, 0.184309, 1.46709]])  # fmt: skip
    seen = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    return np.clip(linear @ (np.linalg.inv(to_lms) @ seen @ to_lms).T, 0, 1)


class TestLooks:
    """Lines can be told apart."""

    @pytest.mark.parametrize("n", [2, 8, 12])
    def test_of_layers(self, n):
        from probe.plots.figures import looks_of_layers

        looks = looks_of_layers(n)
        assert len({(look["marker"], str(look["ls"]), look["color"]) for look in looks}) == n
        assert len({look["marker"] for look in looks}) == min(n, 8)
        for one, other in itertools.pairwise(looks):
            assert one["ls"] != other["ls"]
        # From light to dark, for the colour-blind, too; none is lost on white paper.
        luminance = colour_blind(np.array([look["color"] for look in looks])) @ [
            0.2126, 0.7152, 0.0722]  # fmt: skip
        assert (np.diff(luminance) < 0).all()
        assert luminance.max() < 0.65

    def test_of_kinds(self):
        from probe.plots.figures import looks_of_kinds

        looks = looks_of_kinds(8, markers=True)
        colours = colour_blind(np.array([look["color"] for look in looks]))
        for (k, a), (m, b) in itertools.combinations(enumerate(colours), 2):
            apart = np.abs(a - b).max() > 0.05
            assert apart or looks[k]["ls"] != looks[m]["ls"]
            assert looks[k]["marker"] != looks[m]["marker"]
