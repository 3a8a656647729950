"""How reliable neuroids and RDMs are, per region and over time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from probe.errors import ProbeError
from probe.plots.figures import broken, cut_all, looks_of_kinds, name_ticks, own_panels, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MAX_DOTS = 2000
"""Neuroids of a region and subject that are drawn as dots, at most: of more, a sample of ranks."""


def plot_reliability(
    neuroids: pd.DataFrame,
    rdms: pd.DataFrame,
    times: pd.DataFrame | None = None,
    *,
    column: str = "reliability",
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the reliability of all neuroids, of the RDMs, and of both over time.

    Parameters
    ----------
    neuroids : pandas.DataFrame
        `probe.comparison.Reliability.neuroids`: ``region``, ``subject``, and the column that is
        drawn. Sorted, from the most reliable: the x axis tells which share of the neuroids
        is at least as reliable.
    rdms : pandas.DataFrame
        ``region``, ``subject``, ``r_halves``, ``r_low``, ``r_high``, ``spearman_brown``. Where all
        are NaN, the panel is left out.
    times : pandas.DataFrame, optional
        ``time_start``, ``time_end``, ``region``, ``subject``, ``reliability`` with ``_low`` and
        ``_high``, ``rdm_spearman_brown``. Without rows, the panel is left out.
    column : {'reliability', 'published'}
        Of ``neuroids``.
    title : str
    legend : bool
        Whether there is one.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure

    Raises
    ------
    ProbeError
        If no neuroid has a reliability.
    """
    import seaborn as sns

    if not neuroids[column].notna().any():
        raise ProbeError("no neuroid has a reliability: there is nothing to draw")
    groups = list(dict.fromkeys(zip(neuroids["region"], neuroids["subject"], strict=True)))
    looks = looks_of_kinds(len(groups))
    colours = {group: look["color"] for group, look in zip(groups, looks, strict=True)}
    with_rdms = bool(rdms["spearman_brown"].notna().any())
    over_time = times is not None and len(times) > 0
    widths = [3.0, *([1.9] if with_rdms else []), *([3.2] if over_time else [])]
    below = 0.2 * len(groups)
    with own_panels(figure, sum(widths) + 0.6, 2.9 + below) as canvas:
        figure = canvas.figure
        row = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)
        panels = list(row[0])
        _draw_neuroids(panels.pop(0), neuroids, column, colours)
        if with_rdms:
            _draw_rdms(panels.pop(0), rdms, colours, 0.13 * canvas.width)
        if over_time:
            assert times is not None
            _draw_times(panels[0], times, colours)
            # As many ticks at each width: a layout does not know of one that comes by widening.
            panels[0].xaxis.set_major_locator(MaxNLocator(2 if canvas.shrink < 0.6 else 4))
        size = points("axes.labelsize")
        for ax, width in zip(row[0], widths, strict=True):
            sns.despine(ax=ax)
            if canvas.shrink < 0.6:  # no room for what marks mean
                ax.set(xlabel=ax.get_xlabel().split("\n")[0], ylabel=ax.get_ylabel().split("\n")[0])
            part = 0.55 if ax is row[0, -1] else 0.75  # nothing is right of the last to lean on
            ax.set_ylabel(broken(ax.get_ylabel(), 0.5 * canvas.height, size))
            share = width / sum(widths) * canvas.width
            ax.set_xlabel(broken(ax.get_xlabel(), part * share, size))
        if legend:
            handles, labels = row[0, 0].get_legend_handles_labels()
            if with_rdms and canvas.shrink >= 0.6:
                of_rdms = row[0, 1].get_legend_handles_labels()
                handles, labels = handles + of_rdms[0], labels + of_rdms[1]
            if canvas.shrink < 0.6:
                labels = [re.sub(r": .* neuroids, ", ": ", label) for label in labels]
            canvas.explain(handles, labels)
        canvas.head(title)
    return figure


def _name(group: tuple[str, str]) -> str:
    region, subject = group
    return f"{region}, {subject}"


def _draw_neuroids(
    ax: Axes, neuroids: pd.DataFrame, column: str, colours: dict[tuple[str, str], Any]
) -> None:
    lowest = 0.0
    for k, (group, colour) in enumerate(colours.items()):
        of_group = (neuroids["region"] == group[0]) & (neuroids["subject"] == group[1])
        values = np.sort(neuroids.loc[of_group, column].to_numpy(dtype=np.float64))[::-1]
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        shares = 100 * np.arange(1, len(values) + 1) / len(values)
        dots = np.unique(np.linspace(0, len(values) - 1, MAX_DOTS).round().astype(int))
        size = float(np.clip(120 / np.sqrt(len(dots)), 2, 14))
        ax.scatter(shares[dots], values[dots], s=size, color=colour, lw=0, alpha=0.7)
        median = float(np.median(values))
        label = f"{_name(group)}: {len(values):,} neuroids, median {_said(median)}"
        size = max(8.0 - 1.5 * k, 4.0)  # of the same median, the edge of the one below is seen
        ax.plot(50, median, "D", ms=size, color=colour, mec="white", mew=0.8, zorder=4, label=label)
        lowest = min(lowest, float(values.min()))
    ax.set_xlim(0, 102)
    # By chance, the reliability of noise may be far below zero.
    ax.set_ylim(max(lowest - 0.03, -0.5), 1.02)
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.axvline(50, color="0.8", lw=0.8, zorder=0)
    name_ticks(ax.xaxis, [0, 25, 50, 75, 100], ["0 %", "25", "50", "75", "100 %"])
    ax.set_xlabel("share of neuroids that are as reliable, or more")
    what = "published reliability" if column == "published" else "reliability ρ of averages"
    ax.set_ylabel(f"{what}\n(diamond: median)")


def _draw_rdms(
    ax: Axes, rdms: pd.DataFrame, colours: dict[tuple[str, str], Any], wide: float
) -> None:
    for k, row in enumerate(rdms.to_dict("records")):
        colour = colours[row["region"], row["subject"]]
        ax.plot([row["r_low"], row["r_high"]], [k, k], color=colour, lw=1.2)
        ax.plot(row["r_halves"], k, "o", ms=5, mfc="white", color=colour)
        ax.plot(row["spearman_brown"], k, "o", ms=5, color=colour)
    groups = zip(rdms["region"], rdms["subject"], strict=True)
    names = cut_all([_name(group) for group in groups], wide, points("ytick.labelsize"))
    name_ticks(ax.yaxis, range(len(rdms)), names)
    ax.set_ylim(len(rdms) - 0.5, -0.5)
    low = float(np.nanmin(rdms[["r_low", "spearman_brown"]].to_numpy(dtype=np.float64)))
    ax.set_xlim(min(0.0, low - 0.03), 1.02)
    grey: dict[str, Any] = {"marker": "o", "ms": 5, "color": "0.3"}
    ax.plot([], [], mfc="white", label="RDM, of halves, with range", **grey)
    ax.plot([], [], ls="none", label="RDM, of all repetitions", **grey)
    ax.set_xlabel("reliability of the RDM")


def _draw_times(ax: Axes, times: pd.DataFrame, colours: dict[tuple[str, str], Any]) -> None:
    for group, colour in colours.items():
        rows = times[(times["region"] == group[0]) & (times["subject"] == group[1])]
        x = ((rows["time_start"] + rows["time_end"]) / 2).to_numpy(dtype=np.float64)
        ax.plot(x, rows["reliability"], color=colour, lw=1.4)
        ax.fill_between(
            x, rows["reliability_low"], rows["reliability_high"], color=colour, alpha=0.15, lw=0
        )
        ax.plot(x, rows["rdm_spearman_brown"], "--", color=colour, lw=1.2)
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.set_ylim(None, 1.02)
    ax.set_xlabel("time after stimulus onset (ms)")
    ax.set_ylabel("reliability\n(line: neuroids, median and quartiles;\ndashed: RDM)")


def _said(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)
