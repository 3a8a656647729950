"""Tuning of units, over what was published of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from probe.plots.figures import Canvas, broken, cut, drawn_layers, name_ticks, own_panels, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MAX_LAYERS = 6
"""Of more layers than this, only so many are drawn, evenly chosen in depth."""

NARROWEST, LOWEST = 0.75, 0.62
"""Width and height of a panel and its labels in inches, at least: where there is less room, fewer
are drawn."""

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
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
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
    legend : bool
        Whether it is explained below what bars, lines and ``D`` are.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure. In a small one, there are fewer layers,
        and only the first properties; how many, stands below.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    import seaborn as sns

    aliases = dict(zip(table["layer"], table["alias"], strict=True))
    # One of the two widths: that at 71 % only where it was published and the other was not.
    names = [name for name in units if table[name].notna().any()]
    has_counts = {n for n, reference in references.items() if reference.counts is not None}
    if {"frequency_bandwidth", "frequency_bandwidth_70"} <= set(names):
        names.remove(
            "frequency_bandwidth" + ("" if "frequency_bandwidth_70" in has_counts else "_70")
        )
    examples = "orientation" if "orientation" in curves else next(iter(curves), None)
    n_layers = min(table["layer"].nunique(), MAX_LAYERS)
    n_rows = len(names) + (examples is not None)
    with own_panels(figure, 1.9 + 1.45 * n_layers, 0.8 + 0.98 * n_rows) as canvas:
        figure, small = canvas.figure, canvas.points(6.5)
        n_all = table["layer"].nunique()
        of_names = min(1.3, 0.3 * canvas.width)
        layers = drawn_layers(
            table, int(np.clip((canvas.width - of_names) / NARROWEST, 1, MAX_LAYERS))
        )
        most = max(int((canvas.height - 0.9) / LOWEST), 1)
        n_named = len(names)
        names = names[: max(most - (examples is not None), 0)]
        n_rows = len(names) + (examples is not None)
        of_panel = (canvas.width - of_names) / len(layers)
        colours = sns.color_palette("viridis", len(layers) + 1)[: len(layers)]
        axes = figure.subplots(n_rows, len(layers), squeeze=False, sharey="row")
        for ax, layer in zip(axes[0], layers, strict=True):
            size = canvas.points(8)
            ax.set_title(
                cut(aliases[layer] or layer, 0.9 * of_panel, size), fontsize=size, loc="center"
            )
        rows = list(axes)
        if examples is not None:
            for ax, layer, colour in zip(rows.pop(0), layers, colours, strict=True):
                _draw_examples(ax, table[table["layer"] == layer], curves[examples], colour)
                _dress(ax, examples, canvas, of_panel)
            _name(axes[0, 0], "examples:\nresponse,\nshare of largest", of_names, canvas)
            axes[0, 0].set_ylim(0, 1.08)
        for name, line in zip(names, rows, strict=True):
            reference = references.get(name)
            edges = _edges(name, table[name].to_numpy(float), reference)
            for ax, layer, colour in zip(line, layers, colours, strict=True):
                values = table.loc[table["layer"] == layer, name].to_numpy(float)
                _draw_histogram(ax, name, values, edges, reference, colour)
                row = comparison[(comparison["layer"] == layer) & (comparison["property"] == name)]
                _annotate(ax, values, row, canvas.points(6), 0.85 * of_panel)
                if name in _OCTAVES:
                    ax.set_xscale("log", base=2)
                    low, high = np.log2(edges[[0, -1]])
                    ticks = 2.0 ** np.arange(np.ceil(low), np.floor(high) + 1)
                    name_ticks(ax.xaxis, ticks, [f"{tick:g}" for tick in ticks])
            label = _LABELS.get(name, name)
            unit = f"\n({units[name]})" if units[name] else ""
            _name(line[0], label + unit, of_names, canvas)
        for ax in axes.flat:
            ax.tick_params(length=2, labelsize=small)
            if ax.get_xscale() == "linear" and ax not in axes[0][: len(axes[0]) * bool(examples)]:
                ax.xaxis.set_major_locator(MaxNLocator(max(1, int(of_panel / 0.4)), min_n_ticks=2))
            ax.yaxis.set_major_locator(MaxNLocator(2))
            sns.despine(ax=ax)
        canvas.head(title)
        if legend:
            canvas_note(canvas, references, names, (len(layers), n_all), (len(names), n_named))
    return figure


def canvas_note(
    canvas: Canvas,
    references: Mapping[str, Reference],
    names: Sequence[str],
    layers: tuple[int, int],
    properties: tuple[int, int],
) -> None:
    """Write below all what bars and lines are, and how many layers and properties are drawn."""
    labels = dict.fromkeys(references[n].label for n in names if n in references)
    note = "Share of units that have a value (bars)" if names else "Tuning curves of some units"
    if labels:
        note += (
            " and of published neurons (line; dashed: median, dotted: mean). D: greatest gap "
            "between cumulative shares, and what chance stays below. " + "; ".join(labels)
        )
    drawn = [
        f"{some} of {every} {what}"
        for what, (some, every) in (("layers", layers), ("properties", properties))
        if some < every
    ]
    if drawn:
        note += f". Drawn: {', '.join(drawn)}"
    size = canvas.points(6)
    text = broken(f"{note}.", 0.97 * canvas.width, size)
    canvas.figure.supxlabel(text, x=0.01, ha="left", fontsize=size)


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


def _annotate(ax: Axes, values: np.ndarray, row: pd.DataFrame, size: float, wide: float) -> None:
    text = f"n {np.sum(~np.isnan(values))}"
    if len(row) and np.isfinite(row["distance"].iloc[0]):
        text += f" · D {row['distance'].iloc[0]:.2f} ({row['expected'].iloc[0]:.2f})"
    if width_of(text, size) > wide:
        text = text.split(" · ")[-1].removeprefix("D ").split(" (")[0]
        text = f"D {text}" if not text.startswith("n") else text
    ax.text(
        1, 1.01, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=size, color="0.3"
    )


def _name(ax: Axes, text: str, wide: float, canvas: Canvas) -> None:
    size = canvas.points(7)
    ax.set_ylabel(
        broken(text, 0.75 * wide, size), fontsize=size, rotation=0, ha="right", va="center",
        ma="right",
    )  # fmt: skip


def _dress(ax: Axes, varied: str, canvas: Canvas, wide: float) -> None:
    size = canvas.points(6.5)
    if varied == "orientation":
        name_ticks(ax.xaxis, [0, 45, 90, 135], ["0", "45", "90", "135"])
        varied = "orientation (°)"
    else:
        ax.set_xscale("log", base=2)
    ax.set_xlabel(broken(varied, 0.8 * wide, size), fontsize=size, labelpad=1)
