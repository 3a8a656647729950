"""Where a figure is drawn: in the user's Axes, or in a figure of our own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from probe.output.pictures import FIGURE_STYLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def drawn_layers(table: pd.DataFrame, most: int) -> list[str]:
    """Return the layers of a table, in its order; of more than ``most``, so many, evenly chosen."""
    layers = list(dict.fromkeys(table["layer"]))
    if len(layers) > most:
        layers = [layers[round(k)] for k in np.linspace(0, len(layers) - 1, most)]
    return layers


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of an Axes, in a layout that is not made yet, roughly."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # it lies in one
    wide, high = ax.get_position().size * figure.get_size_inches()
    if ax.get_aspect() == "auto":
        return float(wide), float(high)
    return (float(min(wide, high)),) * 2


@contextlib.contextmanager
def own_figure(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Return the user's Axes, with the user's settings, or a new one with ours."""
    if ax is not None:
        yield ax
        return
    from matplotlib import pyplot as plt

    with mpl.rc_context(FIGURE_STYLE):
        figure = plt.figure(figsize=(width, height), dpi=200)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        try:
            yield ax
        except BaseException:
            plt.close(figure)
            raise
        # What stands beside the Axes is measured in shares of it: the figure grows, it does not
        # shrink.
        outer = ax.get_tightbbox()
        assert outer is not None  # it is visible
        inner = ax.get_window_extent().frozen()  # before the figure grows
        pad = 0.06 * figure.dpi
        wide, high = outer.width + 2 * pad, outer.height + 2 * pad
        figure.set_size_inches(wide / figure.dpi, high / figure.dpi)
        ax.set_position(
            (
                (inner.x0 - outer.x0 + pad) / wide,
                (inner.y0 - outer.y0 + pad) / high,
                inner.width / wide,
                inner.height / high,
            )
        )
