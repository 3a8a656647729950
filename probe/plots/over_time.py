"""Scores over time, and one time against another."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE
from probe.plots.figures import own_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    figure: Figure | None = None,
) -> Figure:
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
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns
    from matplotlib import pyplot as plt

    layers = table[table["kind"] == "layer"]
    names = list(dict.fromkeys(layers["layer"]))
    aliases = dict(zip(layers["layer"], layers["alias"], strict=True))
    with mpl.rc_context(FIGURE_STYLE if figure is None else {}):
        if figure is None:
            figure = plt.figure(figsize=over_time_size(len(names)), layout="constrained", dpi=200)
        rows = max(ROW * len(names), 0.5)
        heights = [figure.get_size_inches()[1] - rows - 0.9, rows]
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        best = peaks.loc[[peaks["score"].idxmax()], "layer"]
        all_have = len(names) <= MAX_RIBBONS
        with_ribbons = set(names if all_have else best)
        # Layers are in an order, early to late: so are the colours.
        palette = sns.color_palette("viridis", len(names) + 1)[: len(names)]
        _draw_ceiling(top, layers[layers["layer"] == names[0]], ceiling_label)
        top.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        pixels = table[table["kind"] == "pixels"]
        if len(pixels):
            x = pixels[["time_start", "time_end"]].mean(axis=1)
            top.plot(x, pixels["score"], color="0.25", lw=1.1, ls=(0, (4, 2)), label="pixels")
        for k, (name, colour) in enumerate(zip(names, palette, strict=True)):
            of_layer = layers[layers["layer"] == name]
            x = of_layer[["time_start", "time_end"]].mean(axis=1)
            top.plot(x, of_layer["score"], color=colour, lw=1.4, zorder=4)
            if name in with_ribbons and of_layer["ci_low"].notna().any():
                top.fill_between(
                    x, of_layer["ci_low"], of_layer["ci_high"], color=colour, alpha=0.18, lw=0,
                    zorder=3,
                    label=None if all_have else f"{interval_label}: {aliases[name] or name}",
                )  # fmt: skip
            _draw_latency(below, k, peaks[peaks["layer"] == name], colour)
            of_clusters = clusters[(clusters["layer"] == name) & (clusters["p"] < alpha)]
            for start, end in of_clusters[["time_start", "time_end"]].to_numpy():
                below.plot(
                    [start, end], [k, k], color=colour, lw=4.5, alpha=0.32, solid_capstyle="butt"
                )
        if layers["time_start"].min() < 0.0:
            for ax in (top, below):
                ax.axvline(0.0, color="0.6", lw=0.8, ls=":", zorder=0)
        top.set_ylabel(ylabel)
        top.set_title(textwrap.fill(title, 84, break_long_words=False), loc="left")
        handles, labels = top.get_legend_handles_labels()
        of_all = f"ribbons: {interval_label}" if all_have and interval_label else None
        if handles or of_all:
            top.legend(
                handles, labels, title=of_all, alignment="left", loc="upper left",
                bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0,
            )  # fmt: skip
        below.set_yticks(range(len(names)), [aliases[name] or name for name in names])
        for tick, colour in zip(below.get_yticklabels(), palette, strict=True):
            tick.set_color(colour)
        below.set_ylim(len(names) - 0.4, -0.6)
        below.tick_params(axis="y", length=0)
        below.set_xlabel("time after stimulus onset (ms)")
        explained = "dots: peak" + (", with 95 % CI" if peaks["latency_low"].notna().any() else "")
        if len(clusters):
            explained += f"\nbars: clusters, p < {alpha:g}".replace("0.", ".")
        below.text(
            1.015, 1.0,
            explained,
            transform=below.transAxes, va="top", fontsize=FIGURE_STYLE["legend.fontsize"],
        )  # fmt: skip
        sns.despine(ax=top)
        sns.despine(ax=below, left=True)
    return figure


def over_time_size(n_layers: int) -> tuple[float, float]:
    """Width and height of the figure, in inches."""
    return 7.2, 3.7 + max(ROW * n_layers, 0.5)


def _draw_ceiling(ax: Axes, of_layer: pd.DataFrame, label: str) -> None:
    lower, upper = of_layer["ceiling_lower"].to_numpy(), of_layer["ceiling_upper"].to_numpy()
    if not (np.isfinite(lower) & np.isfinite(upper)).any():
        return
    x = of_layer[["time_start", "time_end"]].mean(axis=1).to_numpy()
    ax.fill_between(
        x, lower, upper, color="0.5", alpha=0.22, lw=0, label=textwrap.fill(label, 28), zorder=0
    )


def _draw_latency(ax: Axes, row: int, peak: pd.DataFrame, colour: tuple[float, ...]) -> None:
    for latency, low, high in peak[["latency", "latency_low", "latency_high"]].to_numpy():
        ax.plot([low, high], [row, row], color=colour, lw=1.3, zorder=3)
        ax.plot(latency, row, "o", ms=4.5, color=colour, mec="white", mew=0.6, zorder=4)


def plot_generalisation(
    similarity: np.ndarray,
    times: np.ndarray,
    *,
    label: str = "similarity of RDMs",
    title: str = "",
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
    title : str
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
        ax.set_xlabel("time after stimulus onset (ms)")
        ax.set_ylabel("time after stimulus onset (ms)")
        ax.set_title(textwrap.fill(title, 58, break_long_words=False), loc="left")
        figure = ax.get_figure(root=True)
        assert figure is not None  # it lies in one
        bar = figure.colorbar(mapped, ax=ax, fraction=0.046, pad=0.04)
        bar.set_label(label.replace(" (", "\n("))
        bar.outline.set_linewidth(0.5)
    return ax
