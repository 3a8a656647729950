"""Scores over time, and one time against another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe.plots.figures import (
    broken,
    cut_all,
    head,
    is_own,
    looks_of_layers,
    name_axes,
    name_ticks,
    own_figure,
    own_panels,
    points,
    room,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

ROW = 0.2
"""Height of a layer's row of latencies, in inches."""

MAX_RIBBONS = 4
"""Of more layers, only the curve that rises highest has its interval: others would hide it."""


def plot_over_time(
    table: pd.DataFrame,
    peaks: pd.DataFrame,
    clusters: pd.DataFrame,
    *,
    ceiling_label: str = "noise ceiling",
    interval_label: str = "95 % CI over stimuli",
    ylabel: str = "score",
    title: str = "",
    alpha: float = 0.05,
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw a curve per layer, and below it when each peaks and where it is no accident.

    Parameters
    ----------
    table : pandas.DataFrame
        ``RSAOverTime.table``: columns ``kind`` (``layer``, ``pixels``, ``untrained``), ``layer``,
        ``alias``, ``time_start``, ``time_end``, ``score``, ``ci_low``, ``ci_high``,
        ``ceiling_lower``, ``ceiling_upper``.
    peaks : pandas.DataFrame
        ``RSAOverTime.peaks``: ``layer``, ``latency``, ``latency_low``, ``latency_high``.
    clusters : pandas.DataFrame
        ``RSAOverTime.clusters``: ``layer``, ``time_start``, ``time_end``, ``p``.
    ceiling_label, interval_label, ylabel, title : str
        What to write.
    alpha : float
        Clusters with a larger p are not drawn.
    legend : bool
        Whether there is one.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    import seaborn as sns

    layers = table[table["kind"] == "layer"]
    names = list(dict.fromkeys(layers["layer"]))
    aliases = dict(zip(layers["layer"], layers["alias"], strict=True))
    with own_panels(figure, *over_time_size(len(names))) as canvas:
        figure = canvas.figure
        size = canvas.points(8)
        # Rows have what the curves leave, at most half of it.
        rows = min(max(ROW * len(names), 0.5), 0.5 * (canvas.height - 0.6))
        heights = [max(canvas.height - rows - 0.9, rows), rows]
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        best = peaks.loc[[peaks["score"].idxmax()], "layer"]
        all_have = len(names) <= MAX_RIBBONS
        with_ribbons = set(names if all_have else best)
        # Layers are in an order, early to late: so are the colours.
        looks = looks_of_layers(len(names), markers=False)
        _draw_ceiling(top, layers[layers["layer"] == names[0]], ceiling_label)
        top.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        pixels = table[table["kind"] == "pixels"]
        if len(pixels):
            x = pixels[["time_start", "time_end"]].mean(axis=1)
            top.plot(x, pixels["score"], color="0.25", lw=1.1, ls=(0, (4, 2)), label="pixels")
        for k, (name, look) in enumerate(zip(names, looks, strict=True)):
            colour = look["color"]
            of_layer = layers[layers["layer"] == name]
            x = of_layer[["time_start", "time_end"]].mean(axis=1)
            top.plot(x, of_layer["score"], lw=1.4, zorder=4, **look)
            if name in with_ribbons and of_layer["ci_low"].notna().any():
                top.fill_between(
                    x, of_layer["ci_low"], of_layer["ci_high"], color=colour, alpha=0.18, lw=0,
                    zorder=3,
                    label=None if all_have else f"{interval_label}: {aliases[name] or name}",
                )  # fmt: skip
            _draw_latency(below, k, peaks[peaks["layer"] == name], look, len(names))
            of_clusters = clusters[(clusters["layer"] == name) & (clusters["p"] < alpha)]
            for start, end in of_clusters[["time_start", "time_end"]].to_numpy():
                below.plot(
                    [start, end], [k, k], color=colour, lw=4.5, alpha=0.32, solid_capstyle="butt"
                )
        if layers["time_start"].min() < 0.0:
            for ax in (top, below):
                ax.axvline(0.0, color="0.6", lw=0.8, ls=":", zorder=0)
        above = 0.75 * canvas.height * heights[0] / sum(heights)
        # In a very small figure, the first line and what stands before brackets must do.
        brief = canvas.shrink < 0.5
        label = ylabel.split("\n")[0] if brief else ylabel
        top.set_ylabel(broken(label, above, points("axes.labelsize")))
        canvas.head(title)
        handles, labels = top.get_legend_handles_labels()
        if brief:
            labels = [label.split(" (")[0].split(": ")[0] for label in labels]
        of_all = f"ribbons: {interval_label}" if all_have and interval_label else ""
        beside = 0.26 * canvas.width
        if legend and (handles or of_all):
            wide = beside - 2.9 * size / 72
            top.legend(
                handles, [broken(label, wide, size) for label in labels],
                title=broken(of_all, beside, size) or None, alignment="left", loc="upper left",
                bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, fontsize=size, title_fontsize=size,
            )  # fmt: skip
        wide = 0.22 * canvas.width
        shown = cut_all([aliases[name] or name for name in names], wide, size)
        name_ticks(below.yaxis, range(len(names)), shown)
        below.set_ylim(len(names) - 0.4, -0.6)
        below.tick_params(axis="y", length=0, labelsize=size)
        across = 0.62 * canvas.width
        below.set_xlabel(broken("time after stimulus onset (ms)", across, points("axes.labelsize")))
        explained = "dots: peak"
        if peaks["latency_low"].notna().any() and not brief:
            explained += ", with 95 % CI"
        if len(clusters):
            what = "" if brief else "clusters, "
            explained += f"\nbars: {what}p < {alpha:g}".replace("0.", ".")
        if legend:
            below.text(
                1.015, 1.0, broken(explained, beside, size), transform=below.transAxes, va="top",
                fontsize=size,
            )  # fmt: skip
        sns.despine(ax=top)
        sns.despine(ax=below, left=True)
    return figure


def over_time_size(n_layers: int) -> tuple[float, float]:
    """Width and height of the figure, in inches."""
    return 7.2, 3.7 + min(max(ROW * n_layers, 0.5), 8.0)


def _draw_ceiling(ax: Axes, of_layer: pd.DataFrame, label: str) -> None:
    lower, upper = of_layer["ceiling_lower"].to_numpy(), of_layer["ceiling_upper"].to_numpy()
    if not (np.isfinite(lower) & np.isfinite(upper)).any():
        return
    x = of_layer[["time_start", "time_end"]].mean(axis=1).to_numpy()
    ax.fill_between(x, lower, upper, color="0.5", alpha=0.22, lw=0, label=label, zorder=0)


def _draw_latency(
    ax: Axes, row: int, peak: pd.DataFrame, look: dict[str, Any], n_rows: int
) -> None:
    colour = look["color"]
    edge = 0.6 if n_rows <= 40 else 0.0  # dots that overlap hide each other by their edges
    for latency, low, high in peak[["latency", "latency_low", "latency_high"]].to_numpy():
        ax.plot([low, high], [row, row], lw=1.3, zorder=3, **look)
        ax.plot(latency, row, "o", ms=4.5, color=colour, mec="white", mew=edge, zorder=4)


def plot_generalisation(
    similarity: np.ndarray,
    times: np.ndarray,
    *,
    label: str = "similarity of RDMs",
    xlabel: str = "time after stimulus onset (ms)",
    ylabel: str = "time after stimulus onset (ms)",
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw how alike the RDMs at any two times are.

    Parameters
    ----------
    similarity : numpy.ndarray, shape (n_times, n_times)
        See `probe.recordings.time_generalisation`.
    times : numpy.ndarray, shape (n_times, 2)
        Beginnings and ends, or instants twice, in ms.
    label : str
        Of the colours.
    xlabel, ylabel, title : str
        What to write.
    legend : bool
        Whether the scale of the colours stands beside.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    with own_figure(ax, 3.4, 3.4) as ax:
        # Edges half-way between instants.
        middles = times.mean(axis=1)
        gap = np.diff(middles).mean() if len(middles) > 1 else 1.0
        instants = times[0, 0] == times[0, 1]
        first, last = (middles[0] - gap / 2, middles[-1] + gap / 2)
        if not instants:
            first, last = times[0, 0], times[-1, 1]
        limit = float(np.nanmax(np.abs(similarity)))
        below = bool(np.nanmin(similarity) < -0.1 * limit)
        mapped = ax.imshow(
            similarity, origin="lower", extent=(first, last, first, last), vmax=limit,
            cmap="RdBu_r" if below else "magma", vmin=-limit if below else 0.0,
            interpolation="nearest",
        )  # fmt: skip
        if first < 0.0 < last:
            for line in (ax.axhline, ax.axvline):
                line(0.0, color="0.7", lw=0.8, ls=":")
        wide, high = room(ax)
        name_axes(ax, xlabel, ylabel)
        head(ax, title)
        if legend:
            figure = ax.get_figure(root=True)
            assert figure is not None  # it lies in one
            # As high as the square, whatever room a layout leaves around it.
            bar = figure.colorbar(mapped, cax=ax.inset_axes((1.04, 0.0, 0.046, 1.0)))
            size = points("axes.labelsize")
            length = (1.0 if is_own(ax) else 0.5) * min(wide, high)
            bar.set_label(broken(label.replace(" (", "\n("), length, size), fontsize=size)
            bar.ax.tick_params(labelsize=points("ytick.labelsize"))
            bar.outline.set_linewidth(0.5)
    return ax
