"""Score along the layers of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: Any = {
    "font.size": 9,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def plot_layers(
    table: pd.DataFrame,
    *,
    ceiling: tuple[float, float] | None = None,
    ceiling_label: str = "noise ceiling",
    ylabel: str = "score",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw score with confidence interval against layer, with ceiling band and baselines.

    Parameters
    ----------
    table : pandas.DataFrame
        ``RSAResult.table``: columns ``kind`` (``layer``, ``pixels``, ``untrained``), ``layer``,
        ``alias``, ``type``, ``score``, ``ci_low``, ``ci_high``.
    ceiling : (lower, upper), optional
        Drawn as a band.
    ceiling_label, ylabel, title : str
        What to write.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import seaborn as sns
    from matplotlib import pyplot as plt

    rows = table[table["kind"] == "layer"].reset_index(drop=True)
    places = {name: k for k, name in enumerate(rows["layer"])}
    with mpl.rc_context(STYLE):
        if ax is None:
            width = float(np.clip(2.6 + 0.42 * len(rows), 5.0, 16.0))
            _, ax = plt.subplots(figsize=(width, 3.8), layout="constrained", dpi=200)
        if ceiling is not None and np.isfinite(ceiling).all():
            ax.axhspan(*ceiling, color="0.5", alpha=0.18, lw=0, label=ceiling_label, zorder=0)
        ax.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        _draw_baselines(ax, table, places)

        # One line per kind of layer: before and after a ReLU are different representations.
        kinds = list(dict.fromkeys(rows["type"]))
        palette = sns.color_palette("colorblind", max(len(kinds), 1))
        for kind, colour in zip(kinds, palette, strict=True):
            of_kind = rows[rows["type"] == kind]
            x = [places[name] for name in of_kind["layer"]]
            error = [
                of_kind["score"] - of_kind["ci_low"],
                of_kind["ci_high"] - of_kind["score"],
            ]
            ax.errorbar(
                x, of_kind["score"], yerr=error, fmt="o-", ms=5, lw=1.4, elinewidth=1.2,
                capsize=2.5, color=colour, label=f"{kind} (95 % CI)", zorder=4,
            )  # fmt: skip

        # Aliases are short, and what the literature calls the layers; paths are in the table.
        names = [alias or name for name, alias in zip(rows["layer"], rows["alias"], strict=True)]
        crowded = sum(len(name) + 2 for name in names) > 80
        ax.set_xticks(
            range(len(names)),
            names,
            rotation=45 if crowded else 0,
            ha="right" if crowded else "center",
            rotation_mode="anchor" if crowded else "default",
        )
        ax.tick_params(axis="x", length=2)
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.set_ylabel(ylabel)
        ax.set_title(title, loc="left", fontsize=9)
        sns.despine(ax=ax)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return ax


def _draw_baselines(ax: Axes, table: pd.DataFrame, places: dict[str, int]) -> None:
    pixels = table[table["kind"] == "pixels"]
    for _, row in pixels.iterrows():
        ax.axhline(row["score"], color="0.25", lw=1.1, ls=(0, (4, 2)), label="pixels", zorder=2)
    untrained = table[table["kind"] == "untrained"]
    if untrained.empty:
        return
    spread = untrained.groupby("layer", sort=False)["score"].agg(["mean", "min", "max"])
    x = np.array([places[name] for name in spread.index])
    n_seeds = untrained["init_seed"].nunique()
    ax.vlines(x, spread["min"], spread["max"], color="0.55", lw=1.2, zorder=2)
    ax.plot(
        x, spread["mean"], "D", ms=4, mfc="white", mec="0.45", mew=1.1, ls="none",
        label=f"untrained ({n_seeds} seeds, range)", zorder=3,
    )  # fmt: skip
