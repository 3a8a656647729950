"""Superstimuli beside recorded stimuli, and what another network says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 1.25
"""Of a picture, in inches."""

MAX_ROWS = 24
"""Sites that are drawn, at most."""


def plot_superstimuli(
    pictures: np.ndarray,
    beside: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    *,
    judge: str,
    makers: str,
    title: str = "",
    simulated: bool = False,
) -> Figure:
    """Draw a row per site: its superstimuli, recorded stimuli, and the judge's predictions.

    Parameters
    ----------
    pictures : numpy.ndarray, uint8, shape (n, height, width, 3)
        Superstimuli, those of a site one after the other.
    beside : mapping of str to numpy.ndarray, uint8, shape (n_sites, height, width, 3)
        What stands beside them.
    table : pandas.DataFrame
        As in `probe.synthesis.superstimulus.Superstimuli`.
    judge, makers : str
        Names of networks.
    title : str
    simulated : bool
        Whether the recording was generated: the figure says so.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib import pyplot as plt

    sites = list(dict.fromkeys(table["site"]))[:MAX_ROWS]
    per_site = int((table["picture"] == "superstimulus").sum() / max(table["site"].nunique(), 1))
    columns = per_site + len(beside)
    with mpl.rc_context(FIGURE_STYLE):
        wide = SIDE * columns + 2.9
        figure = plt.figure(
            figsize=(wide, (SIDE + 0.32) * len(sites) + 1.0), dpi=200, layout="constrained"
        )
        grid = figure.add_gridspec(len(sites), columns + 1, width_ratios=[*[SIDE] * columns, 2.4])
        for k, site in enumerate(sites):
            of_site = table[table["site"] == site]
            row = [
                *(("superstimulus", d, pictures[k * per_site + d]) for d in range(per_site)),
                *((kind, 0, others[k]) for kind, others in beside.items()),
            ]
            for column, (kind, index, picture) in enumerate(row):
                ax = figure.add_subplot(grid[k, column])
                ax.imshow(picture)
                ax.set_axis_off()
                one = of_site[(of_site["picture"] == kind) & (of_site["index"] == index)].iloc[0]
                ax.set_title(f"{_signed(one['judged'])} SD", fontsize=7.5, pad=2)
                if k == 0:
                    ax.text(0.5, 1.26, kind, transform=ax.transAxes, ha="center", fontsize=7.5)
                if column == 0:
                    ax.text(-0.06, 0.5, site, transform=ax.transAxes, rotation=90, va="center",
                            ha="right", fontsize=7.5)  # fmt: skip
            _draw_predictions(figure.add_subplot(grid[k, columns]), of_site, k == len(sites) - 1)
        mark = " SIMULATED recording." if simulated else ""
        figure.suptitle(
            f"{title}\nabove each picture: prediction by {judge}, fitted to the other half of the "
            f"stimuli, in SD of the recorded responses.{mark}",
            fontsize=8.5, x=0.01, ha="left",
        )  # fmt: skip
        handles = [
            mpl.lines.Line2D([], [], marker="o", ls="none", color="#0072b2", label=f"by {judge}"),
            mpl.lines.Line2D(
                [],
                [],
                marker="o",
                ls="none",
                mfc="white",
                mec="0.55",
                label=f"by {makers} (makers)",
            ),
        ]
        figure.legend(handles=handles, loc="outside lower right", ncols=2, fontsize=7.5)
    return figure


def _draw_predictions(ax: mpl.axes.Axes, rows: pd.DataFrame, last: bool) -> None:
    """Draw what the judge, and the networks that made it, predict for each picture of a site."""
    names = {"superstimulus": "super", "best recorded": "recorded", "best for the judge": "judge's",
             "best photograph": "photo"}  # fmt: skip
    y = np.arange(len(rows))[::-1]
    ax.axvline(0.0, color="0.8", lw=0.8, zorder=0)
    ax.plot(rows["made_for"], y, "o", ms=3.5, mfc="white", mec="0.55")
    ax.plot(rows["judged"], y, "o", ms=4, color="#0072b2")
    ax.set_yticks(y, [names.get(kind, kind) for kind in rows["picture"]], fontsize=6.5)
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xscale("symlog", linthresh=4.0)
    ax.set_xticks([-2, 0, 2, 4, 10, 30], ["−2", "0", "2", "4", "10", "30"])
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=6.5, length=2)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(min(-3.0, float(rows["judged"].min()) - 0.5),
                max(6.0, float(rows[["judged", "made_for"]].max().max()) * 1.3))  # fmt: skip
    for spine in ("top", "right"):
        ax.spines[spine].set_visible(False)
    if last:
        ax.set_xlabel("predicted response, SD (linear to 4, then logarithmic)", fontsize=6.5)


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
