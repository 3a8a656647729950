"""Figures look as they did: their marks are compared with stored pictures, without any letters.

Letters of other versions of matplotlib and FreeType differ by whole pixels, and so do the layouts
that they push about. So texts and legends are left out, panels stand at fixed places, and only the
mean colours of coarse blocks are compared: these hardly change with how an edge is smoothed, but do
where a band, a baseline, an order or a scale of colours is lost. What letters do is tested in
test_legible.py.

After a change that is meant, ``python tests/plots/test_marks.py`` writes the pictures anew: look at
them, they are small.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import drawn

FOLDER = Path(__file__).parent / "marks"

NAMES = ("layers", "scores", "curves", "rdm", "invariance", "over_time", "bands", "generalisation")

BLOCK = 8
"""Pixels of a side of a block."""

MEAN, MOST = 1.0, 22.0
"""Difference of colours (of 255) that is no change: on average, and in the worst block."""


def marks(name, n=5, **changed):
    """Draw a figure's marks; return the mean colours of its blocks, (45, 60, 3)."""
    where, draw = drawn.plots()[name]
    with mpl.rc_context({"backend": "agg", "figure.dpi": 100}):
        figure = plt.figure(figsize=(4.8, 3.6))
        target = figure.add_axes((0.1, 0.1, 0.7, 0.7)) if where == "ax" else figure
        draw(n, False, target, **changed)
        return blocks(figure)


def blocks(figure):
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_axes_locator(None)
        if (spec := ax.get_subplotspec()) is not None:
            rows, columns = spec.get_gridspec().nrows, spec.get_gridspec().ncols
            wide, high = 0.9 / columns, 0.9 / rows
            left, top = 0.05 + spec.colspan.start * wide, 0.95 - spec.rowspan.start * high
            ax.set_position((left, top - 0.85 * high, 0.85 * wide, 0.85 * high))
        elif ax.get_label() != "<colorbar>":
            ax.set_position((0.1, 0.1, 0.7, 0.7))
        else:
            ax.set_visible(False)
    for legend in figure.findobj(Legend):
        legend.remove()  # hidden, it would still take its room
    for text in figure.findobj(Text):
        text.set_visible(False)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)
    plt.close(figure)
    high, wide = (side // BLOCK for side in pixels.shape[:2])
    return pixels.reshape(high, BLOCK, wide, BLOCK, 3).mean(axis=(1, 3))


def differences(a, b):
    apart = np.abs(a - b).mean(axis=2)
    return apart.mean(), apart.max()


@pytest.mark.parametrize("name", NAMES)
def test_marks_are_where_they_were(name):
    stored = np.asarray(Image.open(FOLDER / f"{name}.png"), dtype=float)
    mean, most = differences(marks(name), stored)
    assert mean < MEAN
    assert most < MOST


class TestWhatIsCaught:
    """The comparison fails where a figure shows something else."""

    @staticmethod
    def is_caught(before, after):
        mean, most = differences(before, after)
        return mean >= MEAN or most >= MOST

    def layers(self, change=lambda table: table, **options):
        from probe.plots.layers import plot_layers

        figure = plt.figure(figsize=(4.8, 3.6), dpi=100)
        table = change(drawn.layers(5, False))
        options = {"ceiling": (0.5, 0.62), **options}
        plot_layers(table, ax=figure.add_axes((0.1, 0.1, 0.7, 0.7)), **options)
        return blocks(figure)

    def test_the_same_is_the_same(self):
        assert not self.is_caught(self.layers(), self.layers())

    @pytest.mark.parametrize("lost", ["pixels", "untrained", "classic"])
    def test_a_lost_baseline(self, lost):
        assert self.is_caught(self.layers(), self.layers(lambda t: t[t["kind"] != lost]))

    def test_a_lost_ceiling(self):
        assert self.is_caught(self.layers(), self.layers(ceiling=None))

    def test_lost_intervals(self):
        after = self.layers(lambda t: t.assign(ci_low=t["score"], ci_high=t["score"]))
        assert self.is_caught(self.layers(), after)

    def test_another_order_of_models(self):
        assert self.is_caught(marks("scores"), marks("scores", order="given", error="se"))

    def test_another_scale_of_colours(self, monkeypatch):
        before = marks("rdm")
        monkeypatch.setattr("probe.plots.rdms.COLOURS", "magma")
        assert self.is_caught(before, marks("rdm"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        Image.fromarray(np.round(marks(name)).astype(np.uint8)).save(
            FOLDER / f"{name}.png", optimize=True
        )
