"""Layer × region maps: which layer is like which area."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pandas as pd

from probe.output.pictures import FIGURE_STYLE
from probe.plots.layers import CHARACTER, in_lines, name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

CAPTION = (
    "Cells: score over all stimuli, in sample. On the right: with held-out stimuli.\n"
    "White bar: share of the splits that chose the layer on one half of the stimuli; "
    "frame: chosen most often."
)
HEADING = "layer chosen on one half (share of splits):\nscore on the other half ± SD over splits"

SHARE_MAP = "viridis"
SCORE_MAP = mpl.colors.LinearSegmentedColormap.from_list("greys", ["0.97", "0.4"])

MAX_NUMBERED = 24
"""With more layers than this, cells are too narrow for numbers."""


def plot_regions(
    cells: pd.DataFrame,
    best: pd.DataFrame,
    *,
    symbol: str = "score",
    title: str = "",
    axes: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw, for each network, the scores of its layers (columns) with several regions (rows).

    Colours say the score as a share of the lower bound of the region's noise ceiling, and, in
    greys, the plain score where no ceiling is known. They are scores over all stimuli, in which
    the highest of a row is too high. Beside them stands what is not: the layer was chosen on one
    half of the stimuli and scored on the other; bars show how the choices were distributed.

    Parameters
    ----------
    cells : pandas.DataFrame
        `RSAMap.cells`: one row per layer of a comparison.
    best : pandas.DataFrame
        `RSAMap.best`: one row per comparison.
    symbol : str
        What a score is called.
    title : str
        Above the first network.
    axes : matplotlib.axes.Axes, or one per network, optional
        Where to draw; by default a new figure.

    Returns
    -------
    list of matplotlib.axes.Axes
        One per network, in the order of ``cells``.

    Raises
    ------
    ValueError
        If the number of axes is not that of networks.
    """
    from matplotlib import pyplot as plt

    networks = list(dict.fromkeys(cells["model"]))
    new_figure = axes is None
    with mpl.rc_context(FIGURE_STYLE) if new_figure else contextlib.nullcontext():
        if axes is None:
            size, heights = map_size(cells, best)
            _, grid = plt.subplots(
                len(networks), 1, figsize=size, squeeze=False, layout="constrained", dpi=200,
                height_ratios=heights,
            )  # fmt: skip
            panels: list[Any] = list(grid[:, 0])
        else:
            panels = list(np.ravel(np.asarray(axes, dtype=object)))
        if len(panels) != len(networks):
            raise ValueError(f"{len(panels)} axes for {len(networks)} networks: one for each")

        # One scale of colours for all networks, or they could not be compared.
        shares = cells["share_of_lower"].where(_has_ceiling(cells))
        scores = cells["score"].where(~_has_ceiling(cells))
        images: list[AxesImage | None] = [None, None]
        for network, ax in zip(networks, panels, strict=True):
            mappable = _draw_network(
                ax,
                cells[cells["model"] == network],
                best[best["model"] == network],
                _limits(100 * shares),
                _limits(scores),
            )
            images = [a or b for a, b in zip(mappable, images, strict=True)]
            heading = network if network is not networks[0] or not title else f"{title}\n{network}"
            lines = [in_lines(line, ax, new_figure) for line in heading.split("\n")]
            ax.set_title("\n".join(lines), loc="left")
        caption = "\n".join(in_lines(line, panels[-1], False) for line in CAPTION.split("\n"))
        panels[-1].set_xlabel(caption, loc="left", fontsize="small")
        for image, label in zip(
            images,
            (f"{symbol}, in % of the ceiling's lower bound", f"{symbol} (ceiling unknown)"),
            strict=True,
        ):
            if image is not None:
                bar = panels[0].figure.colorbar(
                    image, ax=panels, aspect=15, fraction=0.05, pad=0.01
                )
                bar.set_label(label)
                bar.outline.set_linewidth(0.5)
    return panels


def map_size(cells: pd.DataFrame, best: pd.DataFrame) -> tuple[tuple[float, float], list[int]]:
    """Width and height, in inches, of a figure of these panels, and the rows of each panel."""
    n_layers = cells.groupby("model", sort=False)["layer"].nunique()
    n_rows = [int(n) for n in cells.groupby("model", sort=False)["comparison"].nunique()]
    longest = cells["alias"].where(cells["alias"] != "", cells["layer"]).str.len().max()
    label_length = max(
        len(line) for label in _results(best) + _rows(best) for line in label.split("\n")
    )
    per_layer = 0.42 if n_layers.max() <= MAX_NUMBERED else 0.2
    width = 2.4 + 2 * 8 * CHARACTER * label_length + per_layer * n_layers.max()
    height = 0.9 + 0.42 * sum(n_rows) + len(n_rows) * (0.7 + min(0.05 * longest, 1.4))
    return (float(np.clip(width, 6.5, 16.0)), float(height)), n_rows


def _draw_network(
    ax: Axes,
    cells: pd.DataFrame,
    best: pd.DataFrame,
    share_limits: tuple[float, float],
    score_limits: tuple[float, float],
) -> tuple[AxesImage | None, AxesImage | None]:
    from matplotlib.patches import Rectangle

    rows = list(dict.fromkeys(cells["comparison"]))
    layers = list(dict.fromkeys(cells["layer"]))
    aliases = dict(zip(cells["layer"], cells["alias"], strict=True))

    def grid(column: str) -> np.ndarray:
        square = cells.pivot(index="comparison", columns="layer", values=column)
        return square.loc[rows, layers].to_numpy()

    score, shares, chosen = grid("score"), 100 * grid("share_of_lower"), grid("chosen")
    defined = np.isfinite(shares).any(axis=1)
    images: list[AxesImage | None] = []
    for values, selected, colours, limits in (
        (shares, defined, SHARE_MAP, share_limits),
        (score, ~defined, SCORE_MAP, score_limits),
    ):
        masked = np.where(selected[:, None], values, np.nan)
        image = None
        if np.isfinite(masked).any():
            image = ax.imshow(
                masked, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto",
                interpolation="nearest",
            )  # fmt: skip
            if len(layers) <= MAX_NUMBERED:
                _write_numbers(ax, image, masked, "{:.0f}" if colours == SHARE_MAP else "{:.2f}")
        images.append(image)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)

    for y in range(len(rows)):
        for x in np.flatnonzero(np.nan_to_num(chosen[y]) > 0):
            ax.add_patch(
                Rectangle((x - 0.42, y + 0.27), 0.84 * chosen[y, x], 0.15, fc="white", ec="black",
                          lw=0.5, gid="choice", zorder=3)
            )  # fmt: skip
    for y, layer in enumerate(best["layer"]):
        if isinstance(layer, str):
            row = layers.index(layer)
            ax.add_patch(
                Rectangle((row - 0.5, y - 0.5), 1, 1, fc="none", ec="crimson", lw=1.8,
                          gid="best", clip_on=False, zorder=4)
            )  # fmt: skip

    name_places(ax, [aliases[layer] or layer for layer in layers])
    ax.set_yticks(range(len(rows)), _rows(best))
    ax.tick_params(axis="y", length=0)
    ax.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    ax.grid(which="minor", axis="y", color="white", lw=2.0)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    right = ax.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), _results(best))
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    ax.annotate(
        HEADING, (1.0, 1.0), (4.0, 4.0), "axes fraction", "offset points", fontsize="x-small",
        va="bottom",
    )  # fmt: skip
    return images[0], images[1]


def _write_numbers(ax: Axes, image: AxesImage, values: np.ndarray, spelled: str) -> None:
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
            text = spelled.format(value).replace("0.", ".", 1)
            ax.text(x, y - 0.08, text, ha="center", va="center", fontsize="x-small",
                    color="black" if light else "white")  # fmt: skip


def _rows(best: pd.DataFrame) -> list[str]:
    """What is recorded, and where from: one label per comparison."""
    return [
        f"{row['region']}\n{'SIMULATED ' if row['simulated'] else ''}{row['dataset']}"
        for _, row in best.iterrows()
    ]


def _results(best: pd.DataFrame) -> list[str]:
    """What was found on held-out stimuli: one text per comparison."""
    texts = []
    for _, row in best.iterrows():
        if not isinstance(row["layer"], str):
            texts.append("no choice")
            continue
        share = 100 * row["share_of_lower"]
        of_ceiling = f"\n{share:.0f} % of the lower bound" if np.isfinite(share) else ""
        texts.append(
            f"{row['alias'] or row['layer']} ({100 * row['share']:.0f} %): "
            f"{row['score']:.3f} ± {row['score_sd']:.3f}{of_ceiling}"
        )
    return texts


def _has_ceiling(cells: pd.DataFrame) -> pd.Series:
    return cells.groupby("comparison")["share_of_lower"].transform(lambda s: s.notna().any())


def _limits(values: pd.Series) -> tuple[float, float]:
    """Lowest and highest colour: zero is always a part of the scale."""
    finite = values.dropna()
    return (min(0.0, finite.min()), max(finite.max(), 1e-3)) if len(finite) else (0.0, 1.0)
