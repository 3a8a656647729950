"""How well sites are predicted along the layers of a network, and where they look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.plots.figures import (
    broken,
    cut_all,
    explain,
    head,
    looks_of_kinds,
    name_axes,
    name_ticks,
    own_figure,
    own_panels,
    points,
)
from probe.plots.layers import axes_size, draw_layers, places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MAX_BARS = 120
"""Sites that are drawn as bars, at most: of more, a sample of all ranks."""

MAX_CIRCLES = 400
"""Fields that are drawn, at most: of more, a sample."""


def plot_encoding(
    table: pd.DataFrame,
    *,
    ceiling: float | None = None,
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw r of held-out responses along the layers, with intervals, ceiling and baselines.

    Parameters
    ----------
    table : pandas.DataFrame
        `probe.encoding.Encoding.table`.
    ceiling : float, optional
        Median over sites of √ρ, the highest r that can be reached: drawn as a line.
    title : str
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    scores = table.rename(columns={"r": "score", "r_low": "ci_low", "r_high": "ci_high"})
    if "untrained" in set(scores["kind"]):
        scores["init_seed"] = np.where(scores["kind"] == "untrained", 0, np.nan)
    names = places(table)
    with own_figure(ax, *axes_size(names)) as ax:
        draw_layers(
            ax,
            scores,
            ceiling=None if ceiling is None else (ceiling, ceiling),
            ceiling_label="√ρ, the highest r (median over sites)",
            ylabel="r with held-out responses\n(median over sites)",
            title=title,
        )
        gabor = table[table["kind"] == "gabor"]
        for value in gabor["r"]:
            ax.axhline(
                value, color="0.45", lw=1.1, ls=(0, (1, 1.5)), label="Gabor energy", zorder=2
            )
        for value in table[table["kind"] == "bands"]["r"]:
            ax.axhline(value, color="#cc79a7", lw=1.3, label="all layers together", zorder=2)
        shuffled = table[table["kind"] == "layer"]["shuffled"]
        if shuffled.notna().any():
            ax.plot(
                range(len(shuffled)), shuffled, "x", ms=4, color="0.6",
                label="shuffled responses", zorder=2,
            )  # fmt: skip
        intervals = "bars: 95 % CI over stimuli" if scores["ci_low"].notna().any() else ""
        explain(ax, legend, title=intervals)
    return ax


def plot_sites(
    sites: pd.DataFrame,
    input_size: tuple[int, int],
    *,
    title: str = "",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the fields of sites over the picture, and r of each site against its ceiling.

    Where no ceiling is known, r is a histogram; of one site it would say nothing, and r stands in
    the title of the fields.

    Parameters
    ----------
    sites : pandas.DataFrame
        `probe.encoding.Encoding.sites`.
    input_size : (int, int)
        Height and width of the network's input, in pixels.
    title : str
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    import seaborn as sns

    alone = len(sites) == 1 and not np.isfinite(sites["reliability"].to_numpy(float)).any()
    with own_panels(figure, 4.1 if alone else 8.2, 3.9) as canvas:
        figure = canvas.figure
        r = sites["r"].to_numpy(np.float64)
        axes = figure.subplots(1, 1 if alone else 2, squeeze=False)
        left = axes[0, 0]
        colours = mpl.colormaps["viridis"]
        defined = r[np.isfinite(r)]
        scale = mpl.colors.Normalize(
            float(defined.min()) if len(defined) else 0.0,
            float(defined.max()) if len(defined) else 1.0,
        )
        _draw_fields(left, sites, input_size, colours, scale)
        if alone:
            of_site = f"{' '.join(left.get_title(loc='left').split())}: r = {r[0]:.2f}"
            left.set_title(broken(of_site, 0.8 * canvas.width, points("axes.titlesize")),
                           loc="left")  # fmt: skip
        else:
            _draw_ceilings(axes[0, 1], sites)
            sns.despine(ax=axes[0, 1])
            bar = figure.colorbar(
                mpl.cm.ScalarMappable(scale, colours), ax=left, shrink=0.75, pad=0.02, label="r"
            )
            bar.outline.set_visible(False)
        for ax in axes[0]:
            _fit_labels(ax, canvas.width / (len(axes[0]) + 0.35), canvas.height)
        canvas.head(title)
    return figure


def _fit_labels(ax: Axes, wide: float, high: float) -> None:
    """Break labels and title of a panel that may be so many inches wide and high."""
    size = points("axes.labelsize")
    ax.set_xlabel(broken(ax.get_xlabel(), 0.66 * wide, size))
    ax.set_ylabel(broken(ax.get_ylabel(), 0.5 * high, size))
    title = ax.get_title(loc="left")
    ax.set_title(broken(title, 0.66 * wide, points("axes.titlesize")), loc="left")


def plot_bands(
    table: pd.DataFrame,
    bands: pd.DataFrame,
    *,
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw what each layer contributes to R² of all together: on average, and in each site.

    Parameters
    ----------
    table : pandas.DataFrame
        `probe.encoding.Encoding.table`, of method ``banded``.
    bands : pandas.DataFrame
        `probe.encoding.Encoding.bands`.
    title : str
    legend : bool
        Whether there is one.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    import seaborn as sns
    from matplotlib.patheffects import withStroke

    rows = table[table["kind"] == "layer"]
    names = [alias or name for name, alias in zip(rows["layer"], rows["alias"], strict=True)]
    colours = sns.color_palette("viridis", len(names))
    with own_panels(figure, 8.2, min(2.6 + 0.12 * len(names), 9.0)) as canvas:
        figure = canvas.figure
        left, right = figure.subplots(1, 2, width_ratios=[2, 3])
        y = np.arange(len(names))
        r2 = rows["r2_band"].to_numpy(np.float64)
        ends = rows[["r2_band_low", "r2_band_high"]].to_numpy(np.float64)
        # With few resamples, an estimate may lie outside its interval.
        error = np.clip([r2 - ends[:, 0], ends[:, 1] - r2], 0.0, None)
        left.barh(y, r2, color=colours, xerr=error if np.isfinite(error).all() else None,
                  error_kw={"lw": 0.9, "path_effects": [withStroke(linewidth=2.4, foreground="w")]}
                  )  # fmt: skip
        left.set_ylim(len(names) - 0.4, -0.6)  # the first layer above
        size = points("ytick.labelsize")
        name_ticks(left.yaxis, y, cut_all(names, 0.22 * canvas.width, size))
        left.axvline(0.0, color="0.3", lw=0.8)
        left.set_xlabel("part of R² (mean over sites)")
        by_site = bands.pivot(index="layer", columns="site", values="r2").loc[rows["layer"]]
        _draw_stack(right, by_site.to_numpy(np.float64), colours)
        for ax, share in ((left, 0.4), (right, 0.6)):
            sns.despine(ax=ax)
            _fit_labels(ax, share * canvas.width, canvas.height)
        if legend:
            canvas.explain(*right.get_legend_handles_labels())
        canvas.head(title)
    return figure


def _draw_stack(ax: Axes, r2: np.ndarray, colours: Sequence[Any]) -> None:
    """Stack the parts of each site, (n_layers, m); those below zero downwards."""
    defined = r2[:, np.isfinite(r2).all(axis=0)]
    n = defined.shape[1]
    defined = defined[:, np.argsort(-defined.sum(axis=0), kind="stable")]
    if n > MAX_BARS:
        defined = defined[:, np.linspace(0, n - 1, MAX_BARS).astype(int)]
    x = np.arange(defined.shape[1])
    edges = np.arange(defined.shape[1] + 1) - 0.5
    for sign in (1.0, -1.0):
        ends = np.zeros(defined.shape[1])
        for of_layer, colour in zip(defined, colours, strict=True):
            begins, ends = ends, ends + np.clip(sign * of_layer, 0.0, None)
            ax.stairs(sign * ends, edges, baseline=sign * begins, fill=True, color=colour, lw=0)
    ax.plot(x, defined.sum(axis=0), "k_", ms=3, label="R² of all layers together")
    ax.axhline(0.0, color="0.3", lw=0.8)
    counted = f"{defined.shape[1]} of {n} sites" if n > MAX_BARS else f"{n} sites"
    ax.set_xlabel(f"{counted}, by R²")
    ax.set_xticks([])
    ax.set_ylabel("R² of held-out responses")


def _draw_fields(
    ax: Axes,
    sites: pd.DataFrame,
    input_size: tuple[int, int],
    colours: mpl.colors.Colormap,
    scale: mpl.colors.Normalize,
) -> None:
    height, width = input_size
    fitted = sites[sites["sd_px"].notna()]
    gaussian = fitted[np.isfinite(fitted["sd_px"])]
    n_flat, n_none = len(fitted) - len(gaussian), len(sites) - len(fitted)
    circles = gaussian
    if len(gaussian) > MAX_CIRCLES:
        circles = gaussian.iloc[np.linspace(0, len(gaussian) - 1, MAX_CIRCLES).astype(int)]
    # Sites on one grid point would hide each other: the largest first, each a little apart.
    rng = np.random.default_rng(0)
    for _, row in circles.sort_values("sd_px", ascending=False).iterrows():
        apart = rng.uniform(-0.012, 0.012, 2) * width
        ax.add_patch(
            mpl.patches.Circle(
                (row["x_px"] + apart[0], row["y_px"] + apart[1]), row["sd_px"], fill=False,
                lw=0.9, alpha=0.85, ec=colours(scale(row["r"])) if np.isfinite(row["r"]) else "0.7",
            )
        )  # fmt: skip
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
    ax.set_xlabel("pixels of the network's input")
    others = [f"{n_flat} look everywhere" if n_flat else "", f"{n_none} without" if n_none else ""]
    others = [text for text in others if text]
    plural = "" if len(gaussian) == 1 else "s"
    ax.set_title(
        f"field{plural} (1 SD) of {len(gaussian)} site{plural}"
        + (f"; {', '.join(others)}" if others else ""),
        loc="left",
    )


def _draw_ceilings(ax: Axes, sites: pd.DataFrame) -> None:
    reliability = sites["reliability"].to_numpy(np.float64)
    r = sites["r"].to_numpy(np.float64)
    if not np.isfinite(reliability).any():
        ax.hist(r[np.isfinite(r)], bins=20, color="0.6")
        ax.set_xlabel("r with held-out responses")
        ax.set_ylabel("sites")
        ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        ax.set_title("no ceiling is known", loc="left")
        return
    ceiling = np.sqrt(np.clip(reliability, 0.0, None))
    # With few resamples, an estimate may lie outside its interval.
    error = [np.clip(r - sites["r_low"], 0, None), np.clip(sites["r_high"] - r, 0, None)]
    ax.errorbar(ceiling, r, yerr=error, fmt="o", ms=3.5, lw=0.7, color="#0072b2", alpha=0.75)
    ends = (0.0, 1.0)
    ax.plot(ends, ends, color="0.3", lw=0.9)
    ax.set_xlim(max(0.0, float(np.nanmin(ceiling)) - 0.05), 1.0)
    ax.set_ylim(min(0.0, float(np.nanmin(r)) - 0.05), 1.0)
    ax.annotate(
        "r = √ρ", (1.0, 1.0), (-2.4, 0.0), textcoords="offset fontsize", ha="right", va="center",
        color="0.3", fontsize=points("legend.fontsize"),
    )  # fmt: skip
    ax.set_xlabel("√ρ, the highest r that can be reached")
    ax.set_ylabel("r with held-out responses")
    ax.set_title("each site against its ceiling", loc="left")


def plot_encodings(
    table: pd.DataFrame, *, title: str = "", legend: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw r of several networks and recordings along the depth of each network.

    Parameters
    ----------
    table : pandas.DataFrame
        `probe.encoding.Encodings.table`.
    title : str
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import seaborn as sns

    with own_figure(ax, 4.4, 3.0) as ax:
        rows = table[table["kind"] == "layer"]
        recordings = list(dict.fromkeys(zip(rows["dataset"], rows["region"], strict=True)))
        networks = list(dict.fromkeys(rows["model"]))
        looks = looks_of_kinds(len(networks), markers=True)
        styles = ["-", "--", ":", "-."]
        for (dataset, region), style in zip(recordings, styles * len(recordings), strict=False):
            for model, look in zip(networks, looks, strict=True):
                colour = look["color"]
                one = rows[(rows["dataset"] == dataset) & (rows["model"] == model)
                           & (rows["region"] == region)]  # fmt: skip
                if one.empty:
                    continue
                depth = np.linspace(0.0, 1.0, len(one)) if len(one) > 1 else np.array([0.5])
                ax.plot(depth, one["r"], style, marker=look["marker"], ms=3.5, lw=1.3,
                        color=colour, label=f"{model} · {dataset} {region}")  # fmt: skip
                ax.fill_between(depth, one["r_low"], one["r_high"], color=colour, alpha=0.13, lw=0)
        ax.axhline(0.0, color="0.3", lw=0.8, zorder=1)
        name_axes(
            ax, "depth of the layer in its network (0: first, 1: last compared)",
            "r with held-out responses\n(median over sites)",
        )  # fmt: skip
        head(ax, title)
        sns.despine(ax=ax)
        explain(ax, legend, last="1.0")
    return ax
