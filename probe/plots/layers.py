"""Score along the layers of a network."""

from __future__ import annotations

import contextlib
import math
import textwrap
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHARACTER = 0.0076
"""Width of a character in inches, per point of font size."""

MAX_LABELS = 60
"""With more layers than this, only every second, third, … is named."""


def plot_layers(
    table: pd.DataFrame,
    *,
    ceiling: tuple[float, float] | None = None,
    ceiling_label: str = "noise ceiling",
    interval_label: str = "95 % CI over stimuli",
    ylabel: str = "score",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw score with confidence interval against layer, with ceiling band and baselines.

    Parameters
    ----------
    table : pandas.DataFrame
        ``RSAResult.table``: columns ``kind`` (``layer``, ``pixels``, ``untrained``, and
        ``classic``, each of which has a place of its own beside the layers), ``layer``,
        ``alias``, ``type``, ``score``, ``ci_low``, ``ci_high``, and ``init_seed`` if there are
        untrained networks.
    ceiling : (lower, upper), optional
        Drawn as a band, or as a line where both are the same.
    ceiling_label, interval_label, ylabel, title : str
        What to write; a long title is broken into lines. Without an ``interval_label`` none is
        explained, as when nothing was resampled.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import seaborn as sns
    from matplotlib import pyplot as plt

    rows = table[table["kind"] == "layer"].reset_index(drop=True)
    positions = {name: k for k, name in enumerate(rows["layer"])}
    names = places(table)
    new_figure = ax is None
    with mpl.rc_context(FIGURE_STYLE) if new_figure else contextlib.nullcontext():
        if ax is None:
            _, ax = plt.subplots(figsize=figure_size(names), layout="constrained", dpi=200)
        if ceiling is not None and np.isfinite(ceiling).all():
            label = textwrap.fill(ceiling_label, 28)
            if ceiling[0] == ceiling[1]:
                ax.axhline(ceiling[0], color="0.5", lw=1.4, alpha=0.6, label=label, zorder=0)
            else:
                ax.axhspan(*ceiling, color="0.5", alpha=0.18, lw=0, label=label, zorder=0)
        ax.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        _draw_baselines(ax, table, positions)

        # One line per kind of layer: before and after a ReLU are different representations.
        kinds = list(dict.fromkeys(rows["type"]))
        palette = sns.color_palette("colorblind" if len(kinds) <= 10 else "husl", len(kinds))
        small = len(names) > 40
        for kind, colour in zip(kinds, palette, strict=True):
            of_kind = rows[rows["type"] == kind]
            x = [positions[name] for name in of_kind["layer"]]
            error = [
                (of_kind["score"] - of_kind["ci_low"]).clip(lower=0),
                (of_kind["ci_high"] - of_kind["score"]).clip(lower=0),
            ]
            ax.errorbar(
                x, of_kind["score"], yerr=error, fmt="o-", ms=3 if small else 5, lw=1.4,
                elinewidth=1.2, capsize=1 if small else 2.5, color=colour, label=kind, zorder=4,
            )  # fmt: skip

        name_places(ax, names)
        _draw_classic(ax, table, len(positions))
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.set_ylabel(ylabel)
        ax.set_title(in_lines(title, ax, new_figure), loc="left")
        sns.despine(ax=ax)
        ax.legend(
            title=f"bars: {interval_label}" if interval_label else None,
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            borderaxespad=0.0,
        )
    return ax


def places(table: pd.DataFrame) -> list[str]:
    """Name what stands along the x axis: layers, then the models that came before.

    Layers go by their aliases, which are short, and what the literature calls them; paths are in
    the table.
    """
    rows = table[table["kind"] == "layer"]
    names = [alias or name for name, alias in zip(rows["layer"], rows["alias"], strict=True)]
    return names + list(dict.fromkeys(table.loc[table["kind"] == "classic", "type"]))


def figure_size(names: list[str]) -> tuple[float, float]:
    """Width and height, in inches, of a figure with these names along its x axis."""
    per_layer = 0.42 if len(names) <= 12 else 0.25
    width = float(np.clip(2.8 + per_layer * len(names), 5.5, 12.0))
    longest = max(map(len, names), default=0)
    return width, 3.4 + min(0.045 * max(longest - 6, 0), 1.6)  # room for turned names


def name_places(ax: Axes, names: list[str]) -> None:
    """Write the names of layers along the x axis, at 0, 1, 2, …, so that they do not touch."""
    step = math.ceil(len(names) / MAX_LABELS)
    turned = step > 1 or _crowded(ax, names)
    ax.set_xticks(
        range(0, len(names), step),
        names[::step],
        rotation=45 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
    )
    ax.tick_params(axis="x", length=2)


def _crowded(ax: Axes, names: list[str]) -> bool:
    """Return whether names would touch if they were written level."""
    size = float(ax.xaxis.get_major_ticks()[0].label1.get_fontsize())
    room = _width(ax) / max(len(names), 1)
    return max(map(len, names), default=0) * CHARACTER * size > 0.9 * room


def in_lines(title: str, ax: Axes, own: bool) -> str:
    """Break a title so that it is not cut; it may stand above the legend in our own figure."""
    figure = ax.get_figure(root=True)
    room = 0.9 * figure.get_size_inches()[0] if own and figure is not None else _width(ax)
    size = ax._left_title.get_fontsize()  # type: ignore[attr-defined]
    return textwrap.fill(title, max(int(room / (CHARACTER * size)), 20), break_long_words=False)


def _width(ax: Axes) -> float:
    """Width of an Axes in inches; in a layout that is not made yet, roughly."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # it lies in one
    return float(ax.get_position().width * figure.get_size_inches()[0])


def _draw_classic(ax: Axes, table: pd.DataFrame, first: int) -> None:
    """Draw models that came before, each at a place of its own, its layers side by side."""
    classic = table[table["kind"] == "classic"]
    if classic.empty:
        return
    ax.axvline(first - 0.5, color="0.8", lw=0.8, zorder=0)
    for k, (_, of_model) in enumerate(classic.groupby("type", sort=False)):
        x = first + k + 0.22 * (np.arange(len(of_model)) - (len(of_model) - 1) / 2)
        error = [
            (of_model["score"] - of_model["ci_low"]).clip(lower=0),
            (of_model["ci_high"] - of_model["score"]).clip(lower=0),
        ]
        ax.errorbar(
            x, of_model["score"], yerr=error, fmt="s-", ms=3.5, lw=0.8, elinewidth=0.9, capsize=0,
            color="0.35", zorder=4, label=None if k else "classic (layers in order)",
        )  # fmt: skip


def _draw_baselines(ax: Axes, table: pd.DataFrame, positions: dict[str, int]) -> None:
    pixels = table[table["kind"] == "pixels"]
    for _, row in pixels.iterrows():
        ax.axhline(row["score"], color="0.25", lw=1.1, ls=(0, (4, 2)), label="pixels", zorder=2)
    untrained = table[table["kind"] == "untrained"]
    if untrained.empty:
        return
    spread = untrained.groupby("layer", sort=False)["score"].agg(["mean", "min", "max"])
    # Beside the layer's own mark, which would hide it.
    x = np.array([positions[name] + 0.2 for name in spread.index])
    n_seeds = untrained["init_seed"].nunique()
    ax.vlines(x, spread["min"], spread["max"], color="0.55", lw=1.2, zorder=2)
    ax.plot(
        x, spread["mean"], "D", ms=4, mfc="white", mec="0.45", mew=1.1, ls="none",
        label=f"untrained ({n_seeds} seeds, range)" if n_seeds > 1 else "untrained", zorder=3,
    )  # fmt: skip
