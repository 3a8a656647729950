"""Tuning of units, over what was published of neurons."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE
from probe.plots.figures import drawn_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LAYERS = 6
"""Of more layers than this, only so many are drawn, evenly chosen in depth."""

EXAMPLES = 4
"""Tuning curves in each layer: of units from the most to the least selective for orientation."""

_LABELS = {
    "preferred_orientation": "preferred\norientation",
    "preferred_frequency": "preferred\nspatial frequency",
    "frequency_bandwidth": "frequency bandwidth\nat half height",
    "frequency_bandwidth_70": "frequency bandwidth\nat 71 %",
    "orientation_bandwidth": "orientation\nhalf width at 71 %",
    "orientation_full_width": "orientation\nfull width at 50 %",
    "circular_variance": "circular\nvariance",
    "orthogonal_ratio": "orthogonal /\npreferred",
    "f1_f0": "F1/F0",
    "summation_diameter": "diameter of\nsummation field",
    "suppression_index": "suppression\nindex",
    "c50": "c₅₀",
    "exponent": "exponent of the\ncontrast response",
    "texture_modulation": "texture\nmodulation",
    "shape_correlation": "curvature model,\ncorrelation",
    "preferred_curvature": "preferred\ncurvature",
    "preferred_angle": "preferred angular\nposition",
}

_BINS: dict[str, np.ndarray] = {
    "preferred_orientation": np.arange(0, 181, 15.0),
    "frequency_bandwidth": np.arange(0, 4.01, 0.25),
    "orientation_bandwidth": np.arange(0, 91, 7.5),
    "orientation_full_width": np.arange(0, 181, 15.0),
    "circular_variance": np.linspace(0, 1, 11),
    "orthogonal_ratio": np.linspace(0, 1, 11),
    "f1_f0": np.linspace(0, 2, 9),  # a rectified sine (π∕2) is in the middle of one
    "suppression_index": np.linspace(0, 1, 11),
    "c50": np.linspace(0, 1, 11),
    "exponent": np.arange(0, 6.01, 0.5),
    "texture_modulation": np.linspace(-1, 1, 21),
    "shape_correlation": np.linspace(0, 1, 11),
    "preferred_curvature": np.linspace(-1, 1, 11),
    "preferred_angle": np.arange(0, 361, 30.0),
}

_OCTAVES = ("preferred_frequency", "summation_diameter")
"""Drawn on a logarithmic axis."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What was published of one property.

    Attributes
    ----------
    edges, counts : numpy.ndarray or None
        Of a histogram.
    median, mean : float
        NaN if not published.
    label : str
        Whose.
    """

    edges: np.ndarray | None
    counts: np.ndarray | None
    median: float
    mean: float
    label: str


def plot_tuning(
    table: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
    units: Mapping[str, str],
    references: Mapping[str, Reference],
    comparison: pd.DataFrame,
    *,
    title: str = "",
) -> Figure:
    """Draw one column per layer: examples of tuning curves, and a histogram of each property.

    Bars are shares of the units that have a value, the line is the share of published neurons in
    the same bins; a dashed line is their median, a dotted one their mean. ``D`` is the distance to
    them, beside it what chance stays below.

    Parameters
    ----------
    table : pandas.DataFrame
        ``unit``, ``layer``, ``alias``, and a column for each property, in the unit of ``units``.
    curves : mapping of str to pandas.DataFrame
        ``orientation`` is drawn, or else the first: one row per unit, one column per value.
    units : mapping of str to str
        By property: what it is measured in.
    references : mapping of str to Reference
    comparison : pandas.DataFrame
        ``Tuning.compare()``: ``layer``, ``property``, ``distance``, ``expected``.
    title : str
        A long one is broken into lines.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import seaborn as sns
    from matplotlib import pyplot as plt

    layers = drawn_layers(table, MAX_LAYERS)
    aliases = dict(zip(table["layer"], table["alias"], strict=True))
    # One of the two widths: that at 71 % only where it was published and the other was not.
    names = [name for name in units if table[name].notna().any()]
    has_counts = {n for n, reference in references.items() if reference.counts is not None}
    if {"frequency_bandwidth", "frequency_bandwidth_70"} <= set(names):
        names.remove(
            "frequency_bandwidth" + ("" if "frequency_bandwidth_70" in has_counts else "_70")
        )
    examples = "orientation" if "orientation" in curves else next(iter(curves), None)
    colours = sns.color_palette("viridis", len(layers) + 1)[: len(layers)]
    n_rows = len(names) + (examples is not None)
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            n_rows,
            len(layers),
            figsize=(1.9 + 1.45 * len(layers), 0.8 + 0.98 * n_rows),
            squeeze=False,
            sharey="row",
            layout="constrained",
            dpi=200,
        )
        for ax, layer in zip(axes[0], layers, strict=True):
            ax.set_title(aliases[layer] or layer, fontsize=8)
        rows = list(axes)
        if examples is not None:
            for ax, layer, colour in zip(rows.pop(0), layers, colours, strict=True):
                _draw_examples(ax, table[table["layer"] == layer], curves[examples], colour)
                _dress(ax, examples)
            _name(axes[0, 0], "examples:\nresponse,\nshare of largest")
            axes[0, 0].set_ylim(0, 1.08)
        for name, line in zip(names, rows, strict=True):
            reference = references.get(name)
            edges = _edges(name, table[name].to_numpy(float), reference)
            for ax, layer, colour in zip(line, layers, colours, strict=True):
                values = table.loc[table["layer"] == layer, name].to_numpy(float)
                _draw_histogram(ax, name, values, edges, reference, colour)
                row = comparison[(comparison["layer"] == layer) & (comparison["property"] == name)]
                _annotate(ax, values, row)
                if name in _OCTAVES:
                    ax.set_xscale("log", base=2)
                    ax.xaxis.set_major_formatter("{x:g}")
            label = _LABELS.get(name, name)
            unit = f"\n({textwrap.fill(units[name], 18)})" if units[name] else ""
            _name(line[0], label + unit)
        for ax in axes.flat:
            ax.tick_params(length=2, labelsize=6.5)
            sns.despine(ax=ax)
        room = int(figure.get_size_inches()[0] * 0.95 / (0.0076 * 8))
        figure.suptitle(textwrap.fill(title, room), x=0.01, ha="left", fontsize=9)
        labels = dict.fromkeys(references[n].label for n in names if n in references)
        note = "Share of units that have a value (bars)"
        if labels:
            note += (
                " and of published neurons (line; dashed: median, dotted: mean). D: greatest gap "
                "between cumulative shares, and what chance stays below. " + "; ".join(labels)
            )
        figure.supxlabel(textwrap.fill(note + ".", int(room * 1.3)), x=0.01, ha="left", fontsize=6)
    return figure


def _draw_examples(ax: Axes, of: pd.DataFrame, curves: pd.DataFrame, colour: Any) -> None:
    """Draw curves of units from the most to the least selective."""
    by = "circular_variance" if "circular_variance" in of else None
    alive = of.dropna(subset=[by]).sort_values(by) if by else of
    if not len(alive):
        return
    chosen = alive.iloc[np.unique(np.linspace(0, len(alive) - 1, EXAMPLES).round().astype(int))]
    for k, unit in enumerate(chosen["unit"]):
        curve = curves.loc[unit]
        ax.plot(
            curve.index, curve / curve.max(), color=colour, lw=1.1, alpha=1 - 0.2 * k, marker="o",
            ms=1.6,
        )  # fmt: skip


def _edges(name: str, values: np.ndarray, reference: Reference | None) -> np.ndarray:
    """Return the edges of bins: the published ones, continued to where units are."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.01, 0.99]) if len(finite) else (0.0, 1.0)
    if reference is not None and reference.edges is not None:
        edges = np.asarray(reference.edges, float)
        logarithmic = name in _OCTAVES and edges[0] > 0
        scale = np.log2(edges) if logarithmic else edges
        ends = np.log2([low, high]) if logarithmic else (low, high)
        step = np.diff(scale).mean()
        before = scale[0] - step * np.arange(max(0, np.ceil((scale[0] - ends[0]) / step)), 0, -1)
        after = scale[-1] + step * np.arange(1, max(0, np.ceil((ends[1] - scale[-1]) / step)) + 1)
        scale = np.concatenate([before, scale, after])
        return 2.0**scale if logarithmic else scale
    if name in _OCTAVES:
        return 2.0 ** np.arange(np.floor(2 * np.log2(low)) / 2, np.log2(high) + 0.5, 0.5)
    return _BINS.get(name, np.linspace(low, high, 11))


def _draw_histogram(
    ax: Axes,
    name: str,
    values: np.ndarray,
    edges: np.ndarray,
    reference: Reference | None,
    colour: Any,
) -> None:
    present = values[~np.isnan(values)]
    if len(present):
        # What lies beyond the axis, infinite ratios among it, is counted at its end.
        counts, _ = np.histogram(np.clip(present, edges[0], edges[-1]), edges)
        ax.bar(
            edges[:-1], counts / len(present), np.diff(edges), align="edge", color=colour, lw=0.4,
            edgecolor="white",
        )  # fmt: skip
    ax.set_xlim(edges[0], edges[-1])
    if reference is None:
        return
    if reference.edges is not None and reference.counts is not None:
        ax.stairs(reference.counts / reference.counts.sum(), reference.edges, color="black", lw=1.0)
    elif np.isfinite(reference.median):
        ax.axvline(reference.median, color="black", lw=1.0, ls="--")
    elif np.isfinite(reference.mean):
        ax.axvline(reference.mean, color="black", lw=1.0, ls=":")


def _annotate(ax: Axes, values: np.ndarray, row: pd.DataFrame) -> None:
    text = f"n {np.sum(~np.isnan(values))}"
    if len(row) and np.isfinite(row["distance"].iloc[0]):
        text += f" · D {row['distance'].iloc[0]:.2f} ({row['expected'].iloc[0]:.2f})"
    ax.text(1, 1.01, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=6, color="0.3")


def _name(ax: Axes, text: str) -> None:
    ax.set_ylabel(text, fontsize=7, rotation=0, ha="right", va="center", ma="right")


def _dress(ax: Axes, varied: str) -> None:
    if varied == "orientation":
        ax.set_xticks([0, 45, 90, 135])
        ax.set_xlabel("orientation (°)", fontsize=6.5, labelpad=1)
    else:
        ax.set_xscale("log", base=2)
        ax.set_xlabel(varied, fontsize=6.5, labelpad=1)
