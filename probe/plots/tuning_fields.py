"""Receptive fields of units, as reverse correlation maps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.plots.figures import broken, cut, drawn_layers, own_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

MAX_LAYERS = 6
"""Of more layers than this, only so many are drawn, evenly chosen in depth."""

NARROWEST, LOWEST = 0.45, 0.5
"""Width and height of a map in inches, at least: where there is less room, fewer are drawn."""

UNITS = 8
"""Maps in each layer: the most reliable."""


FieldMap = tuple[np.ndarray, tuple[int, int], int]
"""A map, (3, checks, checks), row and column of its first pixel, and pixels in a check."""


def plot_fields(
    table: pd.DataFrame,
    maps: Sequence[FieldMap],
    *,
    title: str = "",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
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
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure. In a small one there are fewer layers
        and maps.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    n_layers = min(table["layer"].nunique(), MAX_LAYERS)
    with own_panels(figure, 0.9 + 0.92 * UNITS, 0.5 + 1.22 * n_layers) as canvas:
        figure, size, small = canvas.figure, canvas.points(9), canvas.points(7)
        of_title = 1.3 * size / 72 * (1 + broken(title, 0.96 * canvas.width, size).count("\n"))
        down = int((canvas.height - of_title) / (LOWEST + 1.5 * small / 72))
        layers = drawn_layers(table, int(np.clip(down, 1, MAX_LAYERS)))
        high = (canvas.height - of_title) / len(layers)
        of_names = 1.3 * size / 72 * 3 + 0.1
        n_units = int(np.clip((canvas.width - of_names) / NARROWEST, 1, UNITS))
        wide = (canvas.width - of_names) / n_units
        axes = figure.subplots(len(layers), n_units, squeeze=False)
        for layer, line in zip(layers, axes, strict=True):
            of_layer = table[table["layer"] == layer]
            best = of_layer["map_reliability"].nlargest(n_units).index
            first = of_layer.iloc[0]
            of_fields = of_layer["field_size"].median()
            named = first["alias"] or layer
            fields = f"{of_fields:.0f} px" if np.isfinite(of_fields) else "none"
            texts = (named, f"window {first['window']:.0f} px", f"field {fields}")
            beside = 0.85 * high - 1.3 * small / 72  # of a map, without the line below it
            name = "\n".join(cut(text, beside, size) for text in texts)
            line[0].set_ylabel(name, fontsize=size)
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
                text = f"{unit['channel']}  r = {unit['map_reliability']:.2f}"
                ax.set_xlabel(broken(text, 0.95 * wide, small), fontsize=small)
            for ax in line:
                ax.set(xticks=[], yticks=[])
            for ax in line[len(best) :]:
                ax.set_axis_off()
        canvas.head(title)
    return figure
