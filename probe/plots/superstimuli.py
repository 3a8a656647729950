"""Superstimuli beside recorded stimuli, and what another network says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.plots.figures import Canvas, broken, cut, name_ticks, own_panels, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SIDE = 1.25
"""Of a picture, in inches."""

LEAST, NARROWEST = 0.3, 1.6
"""Of a picture, and of the predictions beside them, in inches: where there is less, some are left
out."""

MAX_ROWS = 24
"""Sites that are drawn, at most."""

SHORT = {"superstimulus": "super", "best recorded": "recorded", "best for the judge": "judge's",
         "best photograph": "photo"}  # fmt: skip
"""What pictures are called where there is little room."""


def plot_superstimuli(
    pictures: np.ndarray,
    beside: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    *,
    judge: str,
    makers: str,
    title: str = "",
    simulated: bool = False,
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
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
    legend : bool
        Whether there is one.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure. In a small one, only the first sites
        are drawn, and only their pictures.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    sites = list(dict.fromkeys(table["site"]))[:MAX_ROWS]
    per_site = int((table["picture"] == "superstimulus").sum() / max(table["site"].nunique(), 1))
    columns = per_site + len(beside)
    wide, high = SIDE * columns + 2.9, (SIDE + 0.32) * len(sites) + 1.0
    with own_panels(figure, wide, high) as canvas:
        figure, size = canvas.figure, canvas.points(7.5)
        line = 1.3 * size / 72
        heads = 1.3 * canvas.points(8.5) / 72 * 5  # title, and what numbers are
        beside_pictures = canvas.width > LEAST * columns + NARROWEST
        below = (7 if beside_pictures else 0) * line  # of the predictions: ticks, label, legend
        # Predictions have numbers below, pictures a line above.
        n_rows = int((canvas.height - heads - below) / (LEAST + (2 + beside_pictures) * line))
        sites = sites[: max(n_rows, 1)]
        grid = figure.add_gridspec(
            len(sites), columns + beside_pictures,
            width_ratios=[*[SIDE] * columns, *([2.4] if beside_pictures else [])],
        )  # fmt: skip
        of_picture = 0.92 * canvas.width / (columns + 1.9 * beside_pictures)
        for k, site in enumerate(sites):
            of_site = table[table["site"] == site]
            row = [
                *(("superstimulus", d, pictures[k * per_site + d]) for d in range(per_site)),
                *((kind, 0, others[k]) for kind, others in beside.items()),
            ]
            for column, (kind, index, picture) in enumerate(row):
                ax = figure.add_subplot(grid[k, column])
                ax.imshow(picture)
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                one = of_site[(of_site["picture"] == kind) & (of_site["index"] == index)].iloc[0]
                text = f"{_signed(one['judged'])} SD"
                if k == 0:
                    across = 0.95 * of_picture
                    fits = all(width_of(word, size) <= across for word in kind.split())
                    kind = kind if fits else SHORT.get(kind, kind)
                    text = f"{broken(kind, across, size)}\n{text}"
                ax.set_title(text, fontsize=size, pad=2, loc="center")
                if column == 0:
                    ax.set_ylabel(cut(site, 0.9 * of_picture, size), fontsize=size)
            if beside_pictures:
                ax = figure.add_subplot(grid[k, columns])
                _draw_predictions(ax, of_site, k == len(sites) - 1, canvas)
        mark = " SIMULATED recording." if simulated else ""
        canvas.head(
            f"{title}\nabove each picture: prediction by {judge}, fitted to the other half of the "
            f"stimuli, in SD of the recorded responses.{mark}",
            8.5,
        )
        if legend and beside_pictures:
            look: dict[str, Any] = {"marker": "o", "ls": "none"}
            handles = [
                mpl.lines.Line2D([], [], color="#0072b2", **look),
                mpl.lines.Line2D([], [], mfc="white", mec="0.55", **look),
            ]
            canvas.explain(handles, [f"by {judge}", f"by {makers} (makers)"], 7.5)
    return figure


def _draw_predictions(ax: mpl.axes.Axes, rows: pd.DataFrame, last: bool, canvas: Canvas) -> None:
    """Draw what the judge, and the networks that made it, predict for each picture of a site."""
    y = np.arange(len(rows))[::-1]
    ax.axvline(0.0, color="0.8", lw=0.8, zorder=0)
    ax.plot(rows["made_for"], y, "o", ms=3.5, mfc="white", mec="0.55")
    ax.plot(rows["judged"], y, "o", ms=4, color="#0072b2")
    small = canvas.points(6.5)
    ax.tick_params(labelsize=small)
    name_ticks(ax.yaxis, y, [SHORT.get(kind, kind) for kind in rows["picture"]])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xscale("symlog", linthresh=4.0)
    ax.minorticks_off()
    ax.tick_params(axis="x", length=2)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(min(-3.0, float(rows["judged"].min()) - 0.5),
                max(6.0, float(rows[["judged", "made_for"]].max().max()) * 1.3))  # fmt: skip
    low, high = ax.get_xlim()
    ticks = [tick for tick in (0, 4, -2, 2, 10, 30) if low <= tick <= high]
    name_ticks(ax.xaxis, sorted(ticks), [f"{tick}".replace("-", "−") for tick in sorted(ticks)])
    for spine in ("top", "right"):
        ax.spines[spine].set_visible(False)
    if last:
        text = "predicted response, SD (linear to 4, then logarithmic)"
        ax.set_xlabel(broken(text, 0.2 * canvas.width, small), fontsize=small)


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
