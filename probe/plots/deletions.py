"""Maps that were judged by recorded responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from probe.plots.figures import (
    LINE_HEIGHT,
    SMALLEST,
    cut_all,
    head,
    is_own,
    letters_of,
    name_axes,
    name_ticks,
    own_figure,
    room,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BLUE, GREY = "#0072b2", "0.45"


def plot_in_vivo(
    table: pd.DataFrame, references: Sequence[str] = (), *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw r of every map with its 95 % interval, the best on top; references are hollow and grey.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `probe.attribution.InVivo`: ``method``, ``r``, ``r_low``, ``r_high``, ``ceiling``.
    references : sequence of str
        Rows that are no map of a method.
    title : str
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    rows = table.sort_values("r", kind="stable").reset_index(drop=True)
    with own_figure(ax, 3.6, 0.35 + 0.17 * len(rows)) as ax:
        ax.axvline(0.0, color="0.8", lw=0.8, zorder=0)
        for position, row in enumerate(rows.to_dict("records")):
            is_reference = row["method"] in references
            colour = GREY if is_reference else BLUE
            ax.plot(
                (row["r_low"], row["r_high"]), (position, position), color=colour, lw=1.2, zorder=1
            )
            ax.plot(
                row["r"], position, "o", ms=4.5, mec=colour, zorder=2,
                mfc="white" if is_reference else colour,
            )  # fmt: skip
        ceilings = rows["ceiling"].to_numpy(np.float64)
        if np.isfinite(ceilings).any():
            ceiling = float(np.nanmean(ceilings))
            ax.axvline(ceiling, color="0.5", lw=0.8, ls="--", zorder=0)
            ax.annotate(
                "ceiling", (ceiling, 1.0), (-3, -3), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="right", va="top", fontsize=7, color="0.35",
            )  # fmt: skip
        wide = 0.4 * max(room(ax)[0], 3.0)
        # Every row has its name: in a small Axes, letters are smaller.
        size = letters_of(ax.yaxis)
        if not is_own(ax):
            size = float(np.clip(72 * 0.45 * room(ax)[1] / len(rows) / LINE_HEIGHT, SMALLEST, size))
            ax.tick_params(axis="y", labelsize=size)
        names = cut_all([str(name) for name in rows["method"]], wide, size)
        name_ticks(ax.yaxis, range(len(rows)), names)
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.tick_params(axis="y", length=0)
        hollow = "\nhollow: no map of a method" if set(references) & set(rows["method"]) else ""
        name_axes(ax, f"r of differences between regions, mean over sites (95 % CI){hollow}")
        for spine in ("top", "right", "left"):
            ax.spines[spine].set_visible(False)
        head(ax, title)
    return ax
