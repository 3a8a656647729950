"""How the responses of layers move with the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.plots.figures import (
    broken,
    cut_all,
    drawn_layers,
    looks_of_layers,
    name_ticks,
    own_panels,
    points,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MAX_LAYERS = 12
"""Of more layers than this, only so many are drawn, evenly chosen in depth."""

_AXES: dict[str, tuple[str, tuple[float, ...]]] = {
    "translation": (
        "translation (px)",
        (-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64, 128),
    ),
    "scale": ("scale (×)", (0.125, 0.25, 0.5, 1, 2, 4, 8)),
    "rotation": ("rotation (°)", tuple(range(-180, 361, 45))),
}


def plot_invariance(
    table: pd.DataFrame,
    *,
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw equivariance errors above, correlations below, one column per transform.

    Lines are means over pictures, bands the standard error of the mean; a point is missing where
    too few units see no border. Layers run from light to dark, and neighbours differ in their
    lines and markers.

    Parameters
    ----------
    table : pandas.DataFrame
        ``Invariance.table``: columns ``layer``, ``alias``, ``kind``, ``transform``, ``amount``,
        ``error``, ``error_sd``, ``correlation``, ``correlation_sd``, ``n_images``.
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
    import seaborn as sns

    aliases = dict(zip(table["layer"], table["alias"], strict=True))
    transforms = list(dict.fromkeys(table["transform"]))
    maps = set(table.loc[table["error"].notna(), "layer"])
    rows = [("error", "equivariance error\n‖Φ(Tx) − T′Φ(x)‖ / ‖T′Φ(x)‖")] if maps else []
    rows.append(("correlation", "invariance\ncorrelation with response to x"))
    size = (1.7 + 2.1 * len(transforms), 0.6 + 2.0 * len(rows))
    with own_panels(figure, *size) as canvas:
        figure = canvas.figure
        of_legend = canvas.points(8)
        fit = int((canvas.height - 0.7) / (1.7 * of_legend / 72)) if legend else MAX_LAYERS
        layers = drawn_layers(table, min(max(fit, 2), MAX_LAYERS))
        looks = dict(zip(layers, looks_of_layers(len(layers)), strict=True))
        axes = figure.subplots(
            len(rows), len(transforms), sharey="row", sharex="col", squeeze=False
        )
        for (column, label), line in zip(rows, axes, strict=True):
            for transform, ax in zip(transforms, line, strict=True):
                for layer in layers:
                    of = table[(table["layer"] == layer) & (table["transform"] == transform)]
                    _draw(ax, of, column, **looks[layer])
                _dress(ax, transform)
                sns.despine(ax=ax)
            high_of_row = 0.8 * canvas.height / len(rows)
            if canvas.shrink < 0.5:  # no room for how it is measured
                label = label.split("\n")[0]
            line[0].set_ylabel(broken(label, 0.75 * high_of_row, points("axes.labelsize")))
            low, high = line[0].get_ylim()
            line[0].set_ylim(*((0.0, high) if column == "error" else (min(low, -0.05), 1.04)))
        for transform, ax in zip(transforms, axes[-1], strict=True):
            across = 0.5 * canvas.width / len(transforms)
            ax.set_xlabel(broken(_AXES[transform][0], across, points("axes.labelsize")))
            ax.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        if legend:
            # A name is as wide as a third of the figure, or as a panel.
            wide = 0.3 * canvas.width - 3 * of_legend / 72
            shown = cut_all([aliases[k] or k for k in looks], wide, of_legend)
            handles = [
                mpl.lines.Line2D([], [], ms=3, lw=1.2, label=name, **look)
                for name, look in zip(shown, looks.values(), strict=True)
            ]
            n_all = table["layer"].nunique()
            heading = "layer" if n_all == len(layers) else f"{len(layers)} of {n_all} layers"
            if width_of(heading, of_legend) > 0.3 * canvas.width:
                heading = "layer"
            figure.legend(
                handles=handles, loc="outside right upper", title=heading, alignment="left",
                fontsize=of_legend, title_fontsize=of_legend, handlelength=2.4,
            )  # fmt: skip
            names = [heading, *(str(handle.get_label()) for handle in handles)]
            beside = max(width_of(name, of_legend) for name in names) + 5 * of_legend / 72
            canvas.head(title, beside=beside)
        else:
            canvas.head(title)
    return figure


def _draw(ax: Axes, of: pd.DataFrame, column: str, **look: Any) -> None:
    """Draw a curve, and the standard error of the mean over pictures."""
    spread = of[f"{column}_sd"] / np.sqrt(of["n_images"])
    low, high = of[column] - spread, of[column] + spread
    ax.fill_between(of["amount"], low, high, color=look["color"], alpha=0.15, lw=0)
    ax.plot(of["amount"], of[column], ms=3, lw=1.1, **look)


def _dress(ax: Axes, transform: str) -> None:
    """Scale an axis as its amounts are spaced, and name them."""
    low, high = ax.dataLim.intervalx
    if transform == "translation":
        ax.set_xscale("symlog", base=2, linthresh=1.0, linscale=0.5)
    elif transform == "scale":
        ax.set_xscale("log", base=2)
    ticks = [tick for tick in _AXES[transform][1] if low <= tick <= high]
    name_ticks(ax.xaxis, ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    ax.minorticks_off()
    ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    ax.tick_params(length=2)
    ax.grid(axis="y", color="0.9", lw=0.6)
    ax.set_axisbelow(True)
