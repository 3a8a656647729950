"""How well frozen layers serve another classification."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.transforms import ScaledTranslation

from probe.plots.figures import (
    broken,
    cut_all,
    looks_of_layers,
    name_ticks,
    own_panels,
    points,
    width_of,
)
from probe.plots.layers import axes_size, name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from probe.plots.figures import Canvas

CLASSIFIERS = {
    "linear": ("linear probe", "#0072b2", -0.12),
    "knn": ("nearest neighbours", "#d55e00", 0.12),
}
"""What each is called, its colour, and by how much its marks stand beside the place."""

MAX_CURVES = 6
"""Layers with a few-shot curve, at most: of more, so many, evenly chosen in depth."""

USUAL_BASELINES, MAX_OTHERS = ("pixels", "hog"), 2
"""Baselines with a few-shot curve, and how many others have one at most: the best."""

CHANCE_STYLE: dict[str, Any] = {"color": "0.3", "lw": 0.9, "ls": ":", "zorder": 1}

BASELINE_STYLES = ((0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)), "-")


def plot_transfer(
    table: pd.DataFrame,
    *,
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw accuracy along the layers, and of the linear probe with few training pictures.

    On the left, layers with intervals, then baselines, each at a place of its own, its layers side
    by side, so that none hides a layer; hollow marks are the untrained network. On the right,
    accuracy against the number of training pictures per class; the last point of each curve learned
    from all pictures of the other folds. Chance is there to name always the largest class, and of
    few-shot points, whose training pictures do not tell which that is, one over the number of
    classes.

    Parameters
    ----------
    table : pandas.DataFrame
        `probe.classification.Transfer.table`.
    title : str
        A long one is broken into lines.
    legend : bool
        Whether there is one.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    full = table[~table["few_shot"]]
    rows = full[full["kind"] == "layer"]
    layers = list(dict.fromkeys(rows["layer"]))
    others = list(dict.fromkeys(full.loc[full["kind"] == "baseline", "model"]))
    aliases = dict(zip(rows["layer"], rows["alias"], strict=True))
    names = [aliases[layer] or layer for layer in layers]
    has_curve = bool(table["few_shot"].any())
    width, height = axes_size([*names, *others])
    left_width = max(width + 0.6, 3.4)
    size = (left_width + (4.2 if has_curve else 1.4), height + 1.4)
    with own_panels(figure, *size) as canvas:
        figure = canvas.figure
        ratios = [min(left_width, 4.5), 2.7] if canvas.width < size[0] else [left_width, 2.7]
        axes = figure.subplots(
            1, 2 if has_curve else 1, sharey=True, squeeze=False,
            width_ratios=ratios if has_curve else None,
        )  # fmt: skip
        brief = canvas.shrink < 0.5
        ylabel = "accuracy" if brief else "accuracy of held-out pictures"
        ylabel = broken(ylabel, 0.45 * canvas.height, points("axes.labelsize"))
        left = axes[0, 0]
        _draw_layers(left, full, layers, others)
        # In a small figure, the legend below takes its part of the height.
        name_places(left, [*names, *others], share=0.34 if canvas.shrink > 0.8 else 0.16)
        left.set_ylabel(ylabel)
        left.set_title("trained on all other folds", loc="left")
        if has_curve:
            _draw_curves(axes[0, 1], table, layers, names, legend, canvas)
        chance = float(table["chance"].iloc[0])
        left.axhline(chance, **CHANCE_STYLE)
        for ax in axes[0]:
            ax.spines[["top", "right"]].set_visible(False)
        left.annotate(
            "chance", (1.0, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=canvas.points(7), color="0.3", xytext=(0, 1), textcoords="offset points",
        )  # fmt: skip
        low, _ = left.get_ylim()
        left.set_ylim(max(0.0, min(low, chance - 0.05)), 1.02)  # of both panels
        handles, labels = left.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda k: "untrained" in labels[k])
        if brief:
            labels = [re.sub("nearest | network", "", label) for label in labels]
        if legend:
            canvas.explain([handles[k] for k in order], [labels[k] for k in order])
        canvas.head(title)
    return figure


def _draw_layers(ax: Axes, full: pd.DataFrame, layers: list[str], others: list[str]) -> None:
    """Draw layers and the untrained ones at 0, 1, 2, …, then each baseline at its place."""
    for classifier, (label, colour, shift) in CLASSIFIERS.items():
        of = full[full["classifier"] == classifier]
        marks = [("o-", of[of["kind"] == "layer"], np.arange(len(layers)) + shift, label)]
        for k, name in enumerate(others):
            rows = of[(of["kind"] == "baseline") & (of["model"] == name)]
            # Layers of one model stand side by side, from the first on.
            beside = 0.26 * (np.arange(len(rows)) - (len(rows) - 1) / 2)
            marks.append(("s", rows, len(layers) + k + beside + shift / len(rows), ""))
        for mark, rows, x, name in marks:
            error = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
            ax.errorbar(
                x, rows["accuracy"], yerr=error, fmt=mark, ms=4 if mark == "o-" else 3, lw=1.2,
                elinewidth=0.9, capsize=0, color=colour, zorder=4, label=name or None,
            )  # fmt: skip
        untrained = of[of["kind"] == "untrained"]
        if len(untrained):
            ax.plot(
                # Beside the trained ones, which would hide those that are as good.
                np.arange(len(layers)) + 2 * shift, untrained["accuracy"], "o", ms=4, mfc="white",
                mec=colour, mew=0.9, ls="none", zorder=3, label=f"{label}, untrained network",
            )  # fmt: skip
    if others:
        ax.axvline(len(layers) - 0.5, color="0.8", lw=0.8, zorder=0)
    ax.set_xlim(-0.6, len(layers) + len(others) - 0.4)


def _draw_curves(
    ax: Axes,
    table: pd.DataFrame,
    layers: list[str],
    names: list[str],
    legend: bool,
    canvas: Canvas,
) -> None:
    """Draw the linear probe's accuracy against the number of training pictures per class."""
    linear = table[table["classifier"] == "linear"]
    brief = canvas.shrink < 0.5  # half as many names have room
    most = MAX_CURVES // 2 if brief else MAX_CURVES
    positions = np.unique(np.linspace(0, len(layers) - 1, most).round().astype(int))
    curves: list[tuple[str, str, dict[str, Any]]] = [
        (layers[k], names[k], {**look, "zorder": 4})
        for k, look in zip(positions, looks_of_layers(len(positions)), strict=True)
    ]
    # Of many baselines, the usual and the best ones: all would hide the layers.
    full = linear[(linear["kind"] == "baseline") & ~linear["few_shot"]]
    is_usual = full["shown"].isin(USUAL_BASELINES)
    best = full[~is_usual].nlargest(0 if brief else MAX_OTHERS, "accuracy")["shown"]
    others = [name for name in full["shown"] if name in {*full.loc[is_usual, "shown"], *best}]
    shades = np.linspace(0.15, 0.6, len(others))
    curves += [
        (name, name, {"color": str(shade), "ls": BASELINE_STYLES[k % 4], "marker": "."})
        for k, (name, shade) in enumerate(zip(others, shades, strict=True))
    ]
    for shown, label, look in curves:
        of = linear[linear["shown"] == shown].sort_values("n_train_per_class")
        ax.plot(of["n_train_per_class"], of["accuracy"], ms=3, lw=1.2, label=label, **look)
    ax.set_xscale("log")
    # As many training pictures of each class do not tell which class is the largest.
    by_shots = table.drop_duplicates("n_train_per_class").sort_values("n_train_per_class")
    chance = by_shots["balanced_chance"].where(by_shots["few_shot"], by_shots["chance"])
    ax.plot(by_shots["n_train_per_class"], chance, **CHANCE_STYLE)
    shots = list(by_shots["n_train_per_class"])
    name_ticks(ax.xaxis, shots, [f"{m:.3g}" for m in shots])
    ax.minorticks_off()
    size = canvas.points(8)
    wide = 0.24 * canvas.width
    ax.set_xlabel(broken("training pictures per class", wide, points("axes.labelsize")))
    ax.set_title("linear probe", loc="left")
    if legend:
        handles, labels = ax.get_legend_handles_labels()
        away = 0.03 + width_of(f"{shots[-1]:.3g}", size) / 2  # beyond the last number
        of_name = 0.18 * canvas.width - 3 * size / 72
        ax.legend(
            handles, cut_all([str(label) for label in labels], of_name, size), loc="upper left",
            bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, fontsize=size, labelspacing=0.3,
            bbox_transform=ax.transAxes + ScaledTranslation(away, 0, ax.figure.dpi_scale_trans),
        )  # fmt: skip
