"""How the responses of layers move with the picture."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE
from probe.plots.figures import drawn_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


def plot_invariance(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw equivariance errors above, correlations below, one column per transform.

    Lines are means over pictures, bands the standard error of the mean; a point is missing where
    too few units see no border. Pools are dashed, linear layers dotted.

    Parameters
    ----------
    table : pandas.DataFrame
        ``Invariance.table``: columns ``layer``, ``alias``, ``kind``, ``transform``, ``amount``,
        ``error``, ``error_sd``, ``correlation``, ``correlation_sd``, ``n_images``.
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
    transforms = list(dict.fromkeys(table["transform"]))
    colours = dict(zip(layers, sns.color_palette("viridis_r", len(layers)), strict=True))
    colours = {k: tuple(0.88 * v for v in rgb) for k, rgb in colours.items()}  # yellow on white
    types = dict(zip(table["layer"], table["kind"], strict=True))
    maps = set(table.loc[table["error"].notna(), "layer"])
    rows = [("error", "equivariance error\n‖Φ(Tx) − T′Φ(x)‖ / ‖T′Φ(x)‖")] if maps else []
    rows.append(("correlation", "invariance\ncorrelation with response to x"))
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            len(rows),
            len(transforms),
            figsize=(1.7 + 2.1 * len(transforms), 0.6 + 2.0 * len(rows)),
            sharey="row",
            sharex="col",
            squeeze=False,
            layout="constrained",
            dpi=200,
        )
        for (column, label), line in zip(rows, axes, strict=True):
            for transform, ax in zip(transforms, line, strict=True):
                for layer in layers:
                    of = table[(table["layer"] == layer) & (table["transform"] == transform)]
                    _draw(ax, of, column, color=colours[layer], ls=_style(types[layer]))
                _dress(ax, transform)
                sns.despine(ax=ax)
            line[0].set_ylabel(label)
            low, high = line[0].get_ylim()
            line[0].set_ylim(*((0.0, high) if column == "error" else (min(low, -0.05), 1.04)))
        for transform, ax in zip(transforms, axes[-1], strict=True):
            ax.set_xlabel(_AXES[transform][0])
            ax.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        handles = [
            mpl.lines.Line2D(
                [], [], color=colours[k], ls=_style(types[k]), marker="o", ms=2.4, lw=1.2,
                label=aliases[k] or k,
            )
            for k in layers
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside right upper", title="layer", alignment="left")
        room = int(figure.get_size_inches()[0] * 0.9 / (0.0076 * 9))
        figure.suptitle(textwrap.fill(title, room), x=0.01, ha="left", fontsize=9)
    return figure


def _draw(ax: Axes, of: pd.DataFrame, column: str, **look: Any) -> None:
    """Draw a curve, and the standard error of the mean over pictures."""
    spread = of[f"{column}_sd"] / np.sqrt(of["n_images"])
    low, high = of[column] - spread, of[column] + spread
    ax.fill_between(of["amount"], low, high, color=look["color"], alpha=0.15, lw=0)
    ax.plot(of["amount"], of[column], marker="o", ms=2.4, lw=1.2, **look)


def _style(kind: str) -> Any:
    """Return a style that distinguishes layers by their lines, too: colours alone are close."""
    return {"pool": (0, (2.5, 1.2)), "linear": (0, (1, 1))}.get(kind, "-")


def _dress(ax: Axes, transform: str) -> None:
    """Scale an axis as its amounts are spaced, and name them."""
    low, high = ax.dataLim.intervalx
    if transform == "translation":
        ax.set_xscale("symlog", base=2, linthresh=1.0, linscale=0.5)
    elif transform == "scale":
        ax.set_xscale("log", base=2)
    ticks = [tick for tick in _AXES[transform][1] if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.tick_params(length=2)
    ax.grid(axis="y", color="0.9", lw=0.6)
    ax.set_axisbelow(True)
