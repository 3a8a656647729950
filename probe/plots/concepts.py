"""How a target changes along concepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from probe.plots.figures import broken, cut, cut_all, name_ticks, own_panels, points

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from probe.plots.figures import Canvas

HIGHEST = 16.0
"""Inches of a figure of our own, at most: of more layers, the first are drawn."""

BLUE, GREY = "#0072b2", "0.8"

COLUMNS = (("change", "p_holm", 0.0), ("score", "score_p_holm", 0.5))
"""Of the table: what is drawn, its p-value, and where there is no effect."""


def plot_concepts(
    table: pd.DataFrame,
    *,
    target: str = "",
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the change along every concept, and its TCAV score, beside those of random sets.

    A row of panels per layer: on the left the change of the target, on the right the share of
    pictures in which it rises. Grey bars are where 95 % of random sets of pictures lie; marks are
    filled where p < .05, corrected over all rows by Holm's method.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `probe.attribution.Concepts`.
    target : str
        Whose change it is.
    title : str
        A long one is broken into lines.
    legend : bool
        Whether there is one.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new one, of 16 inches at most. Layers that have no room for a
        line per concept are left out, the last first, and the legend says so.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    layers = list(dict.fromkeys(table["layer"]))
    with own_panels(figure, *concepts_size(table)) as canvas:
        figure = canvas.figure
        small, line = canvas.points(7), 1.25 * canvas.points(7) / 72
        room = canvas.height - 10 * line  # title, labels of the x axes, and legend
        counts = [int((table["layer"] == layer).sum()) for layer in layers]
        n_drawn = 1
        while n_drawn < len(layers) and _needed(counts[: n_drawn + 1], line) <= room:
            n_drawn += 1
        axes = figure.subplots(
            n_drawn, 2, squeeze=False, sharex="col",
            gridspec_kw={"height_ratios": counts[:n_drawn], "width_ratios": (3, 2)},
        )  # fmt: skip
        for layer, (left, right) in zip(layers, axes, strict=False):
            rows = table[table["layer"] == layer].iloc[::-1].reset_index(drop=True)
            for (column, p, none), ax in zip(COLUMNS, (left, right), strict=True):
                ax.axvline(none, color="0.6", lw=0.8, zorder=0)
                _draw_rows(ax, rows, column, p)
            names = [str(name) for name in rows["concept"]]
            names = cut_all(names, 0.22 * canvas.width, points("ytick.labelsize"))
            name_ticks(left.yaxis, range(len(rows)), names)
            right.set(xlim=(-0.03, 1.03), yticks=[])
            left.set_title(cut(layer, 0.4 * canvas.width, small), fontsize=small, loc="left",
                           color="0.35")  # fmt: skip
        left, right = axes[-1]
        whose = target or "the target"
        label = broken(f"change of {whose}", 0.4 * canvas.width, small)
        left.set_xlabel(label if label.count("\n") < 2 else "change of the target", fontsize=small)
        right.set_xlabel("TCAV score", fontsize=small)
        if legend:
            _explain(canvas, len(layers) - n_drawn)
        canvas.head(title)
    return figure


def concepts_size(table: pd.DataFrame) -> tuple[float, float]:
    """Width and height of the figure, in inches."""
    return 6.8, min(1.6 + 0.22 * len(table) + 0.25 * table["layer"].nunique(), HIGHEST)


def _needed(counts: list[int], line: float) -> float:
    """Return the height of the panels of layers with so many concepts, in inches, at least."""
    return sum(counts) * 1.3 * line + 3 * line * len(counts)


def _draw_rows(ax: Axes, rows: pd.DataFrame, column: str, p: str) -> None:
    for at, row in enumerate(rows.to_dict("records")):
        ax.plot(
            (row[f"{column}_low"], row[f"{column}_high"]), (at, at), color=GREY, lw=4,
            solid_capstyle="butt", zorder=1,
        )  # fmt: skip
        ax.plot(
            row[column], at, "o", ms=4, mec=BLUE, mfc=BLUE if row[p] < 0.05 else "white",
            zorder=2, clip_on=False,
        )  # fmt: skip
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _explain(canvas: Canvas, n_left_out: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mark: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 4, "mec": BLUE}
    handles = [Line2D([], [], mfc=BLUE, **mark), Line2D([], [], mfc="white", **mark),
               Patch(color=GREY)]  # fmt: skip
    labels = ["p < .05 (Holm)", "p ≥ .05", "95 % of random sets"]
    if n_left_out:
        handles.append(Line2D([], [], ls="none"))
        labels.append(f"{n_left_out} more layer{'s' if n_left_out > 1 else ''} in the table")
    canvas.explain(handles, labels, 7)
