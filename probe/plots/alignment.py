"""Alignment along the layers of a network, beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.plots.figures import explain, head, looks_of_kinds, name_axes, own_figure
from probe.plots.layers import name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_alignment(
    table: pd.DataFrame,
    *,
    ylabel: str = "score",
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw alignment along the layers, a line per region and subject.

    Dotted, in the same colour: the mean score of permuted stimuli, which chance reaches.

    Parameters
    ----------
    table : pandas.DataFrame
        As `probe.align` returns it.
    ylabel, title : str
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    layers = table.drop_duplicates("layer")
    names = [alias or layer for layer, alias in layers[["layer", "alias"]].to_numpy()]
    owners = table[["region", "subject"]].drop_duplicates().to_numpy()
    with own_figure(ax, float(np.clip(0.45 * len(names) + 1.0, 2.6, 9.0)), 2.6) as ax:
        looks = looks_of_kinds(len(owners), markers=True)
        for (region, subject), look in zip(owners, looks, strict=True):
            rows = table[(table["region"] == region) & (table["subject"] == subject)]
            label = f"{region}, {subject}"
            ax.plot(rows["score"].to_numpy(), ms=4, lw=1.3, label=label, **look)
            if rows["chance"].notna().any():
                ax.plot(rows["chance"].to_numpy(), ":", color=look["color"], lw=1.0)
        if table["chance"].notna().any():
            ax.plot([], [], ":", color="0.3", lw=1.2, label="permuted stimuli")
        name_places(ax, names)
        name_axes(ax, ylabel=ylabel)
        head(ax, title)
        ax.spines[["top", "right"]].set_visible(False)
        explain(ax, legend)
    return ax
