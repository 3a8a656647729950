"""Receptive fields of units, as reverse correlation maps them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE
from probe.plots.figures import drawn_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LAYERS = 6
"""Of more layers than this, only so many are drawn, evenly chosen in depth."""

UNITS = 8
"""Maps in each layer: the most reliable."""


FieldMap = tuple[np.ndarray, tuple[int, int], int]
"""A map, (3, checks, checks), row and column of its first pixel, and pixels in a check."""


def plot_fields(table: pd.DataFrame, maps: Sequence[FieldMap], *, title: str = "") -> Figure:
    """Draw the most reliable maps of each layer, and how large fields are in their windows.

    In a map, a colour says which colour excites: grey does nothing, light excites by light. Maps
    fill the window that a unit depends on; the dotted square is as large as the field.

    Parameters
    ----------
    table : pandas.DataFrame
        ``MappedFields.table``.
    maps : sequence of FieldMap
        One for each row.
    title : str
        A long one is broken into lines.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib import pyplot as plt

    layers = drawn_layers(table, MAX_LAYERS)
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            len(layers), UNITS, figsize=(0.9 + 0.92 * UNITS, 0.5 + 1.22 * len(layers)),
            squeeze=False, layout="constrained", dpi=200,
        )  # fmt: skip
        for layer, line in zip(layers, axes, strict=True):
            of_layer = table[table["layer"] == layer]
            best = of_layer["map_reliability"].nlargest(UNITS).index
            first = of_layer.iloc[0]
            size = of_layer["field_size"].median()
            named = first["alias"] or layer
            fields = f"{size:.0f} px" if np.isfinite(size) else "none"
            line[0].set_ylabel(f"{named}\nwindow {first['window']:.0f} px\nfield {fields}")
            for ax, row in zip(line, best, strict=False):
                values, start, check = maps[row]
                values = values.transpose(1, 2, 0)
                ax.imshow(0.5 + values / (2 * np.abs(values).max() + 1e-12))
                unit = table.loc[row]
                side = unit["field_size"] / check
                if side < 0.95 * len(values):  # not where it is not a number, either
                    y, x = (
                        (unit[name] - first_pixel + 0.5) / check - 0.5 - side / 2
                        for name, first_pixel in zip(("field_y", "field_x"), start, strict=True)
                    )
                    ax.add_patch(
                        mpl.patches.Rectangle((x, y), side, side, fill=False, ls=":", lw=0.9)
                    )
                ax.set_xlabel(f"{unit['channel']}  r = {unit['map_reliability']:.2f}")
            for ax in line:
                ax.set(xticks=[], yticks=[])
                ax.xaxis.label.set_size(7)
            for ax in line[len(best) :]:
                ax.set_axis_off()
        room = int(figure.get_size_inches()[0] * 0.9 / (0.0076 * 9))
        figure.suptitle(textwrap.fill(title, room), x=0.01, ha="left", fontsize=9)
    return figure
