"""How far a map can be trusted, as figures: deletion, insertion, and randomised networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from probe.errors import ProbeError, nearest
from probe.plots.figures import (
    explain,
    head,
    looks_of_kinds,
    name_axes,
    name_ticks,
    own_figure,
)
from probe.plots.layers import name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = {
    "spearman": "rank correlation of the maps",
    "spearman_abs": "rank correlation of the maps’ magnitudes",
    "ssim": "structural similarity of the maps",
}
"""What is on the y axis."""

MAX_BANDS = 3
"""Bands of more curves hide each other."""


def plot_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    xlabel: str = "pixels removed or inserted",
    ylabel: str = "score",
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw how a target's score changes as pixels are removed or inserted.

    Parameters
    ----------
    curves : mapping of str to (fractions, scores)
        By name; fractions of the pixels (k,) and scores (k,) or (n, k), of which the mean is drawn,
        of few curves with a band from the lowest to the highest. The legend tells the areas below.
    xlabel, ylabel, title : str
        What to write.
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ProbeError
        If there is no curve.
    """
    import seaborn as sns

    if not curves:
        raise ProbeError("there is no curve to draw")
    banded = len(curves) <= MAX_BANDS
    looks = looks_of_kinds(len(curves))
    with own_figure(ax, 3.2, 2.6) as ax:
        for (name, (x, scores)), look in zip(curves.items(), looks, strict=True):
            fractions, rows = np.asarray(x), np.atleast_2d(np.asarray(scores))
            mean = rows.mean(axis=0)
            area = np.trapezoid(mean, fractions)
            ax.plot(fractions, mean, lw=1.4, label=f"{name} ({area:.2f})", zorder=3, **look)
            if banded and len(rows) > 1:
                ax.fill_between(
                    fractions, rows.min(0), rows.max(0), color=look["color"], alpha=0.15, lw=0
                )
        ax.set_xlim(0.0, 1.0)
        name_ticks(ax.xaxis, [0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        name_axes(ax, xlabel, ylabel)
        head(ax, title)
        sns.despine(ax=ax)
        area_label = "area below the mean" + (" (band: all pictures)" if banded else "")
        explain(ax, legend, title=area_label if len(rows) > 1 else "area below",
                last="100 %")  # fmt: skip
    return ax


def plot_randomisation(
    table: pd.DataFrame,
    *,
    measure: str = "spearman_abs",
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw how alike maps are to those of a network whose weights are drawn anew.

    The line is the cascade, from the last layer (left) to the first; circles are single layers. A
    good method's cascade falls to zero (dashed). Means over pictures.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `probe.attribution.checks.randomisation_test`. If it has a column ``method``, each
        has a colour.
    measure : {'spearman_abs', 'spearman', 'ssim'}
    title : str
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ProbeError
        If the measure is unknown, or not in the table.
    """
    import seaborn as sns
    from matplotlib.lines import Line2D

    if measure not in MEASURES:
        raise ProbeError(
            f"measure {measure!r}: expected one of {', '.join(MEASURES)}"
            f"{nearest(measure, MEASURES)}"
        )
    rows = table[table["measure"] == measure]
    if rows.empty:
        raise ProbeError(f"the table has no rows of measure {measure!r}")
    names = ["as trained", *rows["layer"].unique()]
    x_of = {name: k for k, name in enumerate(names)}
    groups = dict(list(rows.groupby("method", sort=False))) if "method" in rows else {"": rows}

    with own_figure(ax, float(np.clip(0.3 * len(names) + 1.2, 3.2, 9.0)), 2.8) as ax:
        ax.axhline(0.0, color="0.3", lw=0.8, ls=(0, (4, 2)), zorder=1)
        looks = looks_of_kinds(len(groups), markers=True)
        width = 0.5 * (len(groups) - 1) / max(len(groups), 4)
        shifts = np.linspace(-width, width, len(groups))
        for (name, of_group), look, shift in zip(groups.items(), looks, shifts, strict=True):
            mean = of_group.groupby(["mode", "layer"], sort=False)["similarity"].mean()
            cascade = mean.get("cascading", pd.Series(dtype=float))
            ax.plot(
                [0, *(x_of[str(layer)] for layer in cascade.index)], [1.0, *cascade],
                ms=3.5, lw=1.4, label=str(name), zorder=3, **look,
            )  # fmt: skip
            alone = mean.get("independent", pd.Series(dtype=float))
            ax.plot(
                [x_of[str(layer)] + shift for layer in alone.index], alone, ls="none", ms=4.5,
                marker=look["marker"], mfc="none", mew=0.9, color=look["color"], alpha=0.8,
                zorder=2,
            )  # fmt: skip
        name_places(ax, names)
        ax.set_xlim(-0.4, len(names) - 0.6 + width)
        ax.set_ylim(min(-0.05, ax.get_ylim()[0]), 1.05)
        name_axes(ax, "layers with new weights, from the last to the first", MEASURES[measure])
        head(ax, title)
        sns.despine(ax=ax)
        modes = [
            Line2D([], [], color="0.2", marker="o", ms=3.5, lw=1.4, label="all layers so far"),
            Line2D([], [], color="0.2", marker="o", ms=4.5, mfc="none", ls="none",
                   label="one layer"),
        ]  # fmt: skip
        methods = ax.get_legend_handles_labels()[0] if len(groups) > 1 else []
        explain(ax, legend, [*modes, *methods])
    return ax
