"""Score along the layers of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from probe.plots.figures import (
    LOOKS_MARKERS,
    cut_all,
    explain,
    head,
    is_own,
    letters_of,
    name_axes,
    name_ticks,
    own_figure,
    room,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 2.2
"""Inches that a name along the x axis takes at most; a longer one is shortened in the middle."""

NAMES = 0.28
"""Share of the height of a user's Axes that turned names may take."""


def plot_layers(
    table: pd.DataFrame,
    *,
    ceiling: tuple[float, float] | None = None,
    ceiling_label: str = "noise ceiling",
    interval_label: str = "95 % CI over stimuli",
    ylabel: str = "score",
    title: str = "",
    legend: bool = True,
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
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    names = places(table)
    with own_figure(ax, *axes_size(names)) as ax:
        draw_layers(
            ax, table, ceiling=ceiling, ceiling_label=ceiling_label, ylabel=ylabel, title=title
        )
        explain(
            ax,
            legend,
            last=names[-1][:3],
            title=f"bars: {interval_label}" if interval_label else "",
        )
    return ax


def draw_layers(
    ax: Axes,
    table: pd.DataFrame,
    *,
    ceiling: tuple[float, float] | None,
    ceiling_label: str,
    ylabel: str,
    title: str,
) -> None:
    """Draw all but the legend, into an Axes whose letters have their sizes."""
    import seaborn as sns

    rows = table[table["kind"] == "layer"].reset_index(drop=True)
    positions = {name: k for k, name in enumerate(rows["layer"])}
    names = places(table)
    if ceiling is not None and np.isfinite(ceiling).all():
        label = ceiling_label
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
    for k, (kind, colour) in enumerate(zip(kinds, palette, strict=True)):
        of_kind = rows[rows["type"] == kind]
        x = [positions[name] for name in of_kind["layer"]]
        error = [
            (of_kind["score"] - of_kind["ci_low"]).clip(lower=0),
            (of_kind["ci_high"] - of_kind["score"]).clip(lower=0),
        ]
        ax.errorbar(
            x, of_kind["score"], yerr=error, fmt=f"{LOOKS_MARKERS[k % 8]}-",
            ms=3 if small else 5, lw=1.4,
            elinewidth=1.2, capsize=1 if small else 2.5, color=colour, label=kind, zorder=4,
        )  # fmt: skip

    name_places(ax, names)
    _draw_classic(ax, table, len(positions))
    ax.set_xlim(-0.6, len(names) - 0.4)
    name_axes(ax, ylabel=ylabel)
    head(ax, title)
    sns.despine(ax=ax)


def places(table: pd.DataFrame) -> list[str]:
    """Name what stands along the x axis: layers, then the models that came before.

    Layers go by their aliases, which are short, and what the literature calls them; paths are in
    the table.
    """
    rows = table[table["kind"] == "layer"]
    names = [alias or name for name, alias in zip(rows["layer"], rows["alias"], strict=True)]
    return names + list(dict.fromkeys(table.loc[table["kind"] == "classic", "type"]))


def axes_size(names: list[str]) -> tuple[float, float]:
    """Width and height, in inches, of an Axes with these names along its x axis."""
    per_layer = 0.42 if len(names) <= 12 else 0.25
    return float(np.clip(0.5 + per_layer * len(names), 3.2, 8.2)), 2.7


def figure_size(names: list[str]) -> tuple[float, float]:
    """Width and height, in inches, of a figure of such an Axes and all that stands around it."""
    width, height = axes_size(names)
    longest = max(map(len, names), default=0)
    return width + 2.6, height + 0.7 + min(0.045 * max(longest - 6, 0), 1.6)


def name_places(ax: Axes, names: list[str], *, share: float = NAMES) -> None:
    """Write the names of layers along the x axis, at 0, 1, 2, …, so that they do not touch.

    In a user's Axes, turned names take so large a share of the height at most.
    """
    size = letters_of(ax.xaxis)
    wide, high = room(ax)
    longest = LONGEST if is_own(ax) else min(LONGEST, max(share * high * 2**0.5, 0.3))
    level = (1.0 if is_own(ax) else 0.45) * wide / max(len(names), 1)
    turned = max((width_of(name, size) for name in names), default=0) > 0.9 * level
    if turned:
        names = cut_all(names, longest, size)
    name_ticks(ax.xaxis, range(len(names)), names, turned=turned)
    if turned:
        ax.tick_params(axis="x", length=2, rotation=45)
        for tick in ax.xaxis.get_major_ticks(len(names)):
            tick.label1.set(ha="right", rotation_mode="anchor")
    else:
        ax.tick_params(axis="x", length=2)


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
