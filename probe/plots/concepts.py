"""How a target changes along concepts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import matplotlib as mpl

from probe.output.pictures import FIGURE_STYLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BLUE, GREY = "#0072b2", "0.8"


def plot_concepts(
    table: pd.DataFrame, *, target: str = "", title: str = "", figure: Figure | None = None
) -> Figure:
    """Draw the change along every concept, and its TCAV score, beside those of random sets.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `probe.attribution.Concepts`.
    target : str
        Whose change it is.
    title : str
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = list(dict.fromkeys(table["layer"]))
    n_layers, n_rows = len(layers), len(table)
    if figure is None:
        from matplotlib import pyplot as plt

        with mpl.rc_context(FIGURE_STYLE):
            figure = plt.figure(
                figsize=(6.8, 1.3 + 0.22 * n_rows + 0.2 * n_layers), dpi=200, layout="constrained"
            )
    counts = [int((table["layer"] == layer).sum()) for layer in layers]
    axes = figure.subplots(
        n_layers, 2, squeeze=False, sharex="col",
        gridspec_kw={"height_ratios": counts, "width_ratios": (3, 2)},
    )  # fmt: skip
    columns = (
        ("change", "p_holm", 0.0, f"change of {textwrap.shorten(target, 40) or 'the target'}"),
        ("score", "score_p", 0.5, "TCAV score"),
    )
    for layer, line in zip(layers, axes, strict=True):
        rows = table[table["layer"] == layer].iloc[::-1].reset_index(drop=True)
        for (column, p, none, label), ax in zip(columns, line, strict=True):
            ax.axvline(none, color="0.6", lw=0.8, zorder=0)
            for at, row in rows.iterrows():
                ax.plot(
                    (row[f"{column}_low"], row[f"{column}_high"]), (at, at), color=GREY, lw=6,
                    solid_capstyle="butt", zorder=1,
                )  # fmt: skip
                ax.plot(
                    row[column], at, "o", ms=5, mec=BLUE, mfc=BLUE if row[p] < 0.05 else "white",
                    zorder=2, clip_on=False,
                )  # fmt: skip
            ax.set_ylim(-0.6, len(rows) - 0.4)
            ax.tick_params(axis="y", length=0)
            ax.spines[["top", "right", "left"]].set_visible(False)
            if column == "score":
                ax.set_xlim(-0.02, 1.02)
                ax.set_yticks([])
            else:
                ax.set_yticks(range(len(rows)), [str(name) for name in rows["concept"]])
                ax.set_title(layer, fontsize=7, loc="left", color="0.35")
            if layer == layers[-1]:
                filled = "filled: p < .05" + (" (Holm)" if p == "p_holm" else "")
                ax.set_xlabel(f"{label}\n{filled}; grey: 95 % of random sets", fontsize=7)
    if title:
        figure.suptitle(textwrap.fill(title, 80), fontsize=8)
    return figure
