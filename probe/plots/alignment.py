"""Alignment along the layers of a network, beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.plots.figures import own_figure
from probe.plots.layers import name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_alignment(
    table: pd.DataFrame, *, ylabel: str = "score", title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw alignment along the layers, a line per region and subject.

    Dotted, in the same colour: the mean score of permuted stimuli, which chance reaches.

    Parameters
    ----------
    table : pandas.DataFrame
        As `probe.align` returns it.
    ylabel, title : str
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
        for region, subject in owners:
            rows = table[(table["region"] == region) & (table["subject"] == subject)]
            (line,) = ax.plot(rows["score"].to_numpy(), "o-", ms=4, label=f"{region}, {subject}")
            if rows["chance"].notna().any():
                ax.plot(rows["chance"].to_numpy(), ":", color=line.get_color(), lw=1.2)
        if table["chance"].notna().any():
            ax.plot([], [], ":", color="0.3", lw=1.2, label="permuted stimuli")
        name_places(ax, names)
        ax.set_ylabel(ylabel)
        ax.set_title(title, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return ax
