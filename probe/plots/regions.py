"""Layer × region maps: which layer is like which area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pandas as pd

from probe.plots.figures import (
    LINE_HEIGHT,
    SMALLEST,
    broken,
    cut,
    cut_all,
    name_ticks,
    own_panels,
    points,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from probe.plots.figures import Canvas

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
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
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
        Above all.
    legend : bool
        Whether it is explained below the cells what their marks are.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure. Where it is small, what stands beside the cells is
        shortened to the layer and its score, and then left out.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
        One Axes per network, in the order of ``cells``, and their scales of colours.
    """
    networks = list(dict.fromkeys(cells["model"]))
    size, heights = map_size(cells, best)
    with own_panels(figure, *size) as canvas:
        figure = canvas.figure
        panels = list(figure.subplots(len(networks), 1, squeeze=False, height_ratios=heights)[:, 0])
        room = _Room.of(canvas, cells, best)

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
                room,
            )
            images = [a or b for a, b in zip(mappable, images, strict=True)]
            letters = points("axes.titlesize")
            heading = broken(network, 0.5 * canvas.width, letters)
            ax.set_title(heading, loc="left", fontsize=letters)
        canvas.head(title)
        small = canvas.points(7.5)
        if legend:
            wide = 0.96 * canvas.width
            note = CAPTION if room.beside == "all" else MARKS
            text = broken(note, wide, small)
            tall = LINE_HEIGHT * small / 72 * (1 + text.count("\n"))
            if canvas.shrink == 1 or (tall < 0.14 * canvas.height and canvas.height > 3):
                figure.supxlabel(text, x=0.01, ha="left", fontsize=small)
        for image, label in zip(
            images,
            (f"{symbol}, in % of the ceiling's lower bound", f"{symbol} (ceiling unknown)"),
            strict=True,
        ):
            if image is not None:
                # High enough to be read, though cells may take little of the width.
                of_cells = max(room.cell * cells["layer"].nunique(), 0.1)
                aspect = max(15.0, 0.5 * canvas.height / (0.05 * of_cells))
                bar = figure.colorbar(image, ax=panels, aspect=aspect, fraction=0.05, pad=0.01)
                bar.set_label(broken(label, 0.5 * canvas.height, small), fontsize=small)
                bar.ax.tick_params(labelsize=small)
                bar.ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
                bar.outline.set_linewidth(0.5)
    return figure


MARKS = (
    "Cells: score over all stimuli, in sample. White bar: share of the splits that chose the layer "
    "on one half of the stimuli; frame: chosen most often."
)


@dataclass(frozen=True)
class _Room:
    """What of the texts has room.

    Attributes
    ----------
    letters : float
        Points of the texts beside the cells.
    name, names : float
        Inches of a region's name, and of a layer's.
    cell : float
        Inches of a cell, across, roughly.
    row : float
        Inches of a row.
    beside : {'all', 'score', 'nothing'}
        What stands on the right of the cells.
    heading : bool
        Whether it is said what that is.
    """

    letters: float
    name: float
    names: float
    cell: float
    row: float
    beside: str
    heading: bool

    @classmethod
    def of(cls, canvas: Canvas, cells: pd.DataFrame, best: pd.DataFrame) -> _Room:
        letters = canvas.points(8)
        n_layers = int(cells.groupby("model", sort=False)["layer"].nunique().max())
        n_rows, n_networks = len(best), cells["model"].nunique()
        layers = cells["alias"].where(cells["alias"] != "", cells["layer"]).unique()
        longest = max(width_of(name, letters) for name in layers) + 0.05
        names = float(np.clip(0.35 * canvas.height / n_networks, 0.2, min(max(longest, 0.2), 1.6)))
        taken = 0.3 + 0.6 * canvas.shrink + (0.2 + names) * n_networks
        row = min(max(canvas.height - taken, 0.2) / n_rows, 0.6)
        left = min(max(width_of(label, letters) for label in _rows(best)), 0.25 * canvas.width)
        right = max(width_of(text, letters) for text in _results(best))
        short = max(width_of(text, letters) for text in _results(best, short=True))
        has_ceiling = _has_ceiling(cells)
        scales = 0.9 * (int(has_ceiling.any()) + int((~has_ceiling).any())) * canvas.points(8) / 8
        # Cells are what the figure is about: what stands beside leaves them a third of the width.
        free = canvas.width - left - scales - canvas.width / 3
        beside, taken = "nothing", 0.0
        if right < min(0.36 * canvas.width, free) and row > 2.5 * letters / 72:
            beside, taken = "all", right
        elif short < min(0.36 * canvas.width, free) and row > 1.2 * letters / 72:
            beside, taken = "score", short
        cell = (canvas.width - left - taken - scales) / n_layers
        heading = beside == "all" and canvas.shrink > 0.8
        return cls(letters, left, names, cell, row, beside, heading)


def map_size(cells: pd.DataFrame, best: pd.DataFrame) -> tuple[tuple[float, float], list[int]]:
    """Width and height, in inches, of a figure of these panels, and the rows of each panel."""
    n_layers = cells.groupby("model", sort=False)["layer"].nunique()
    n_rows = [int(n) for n in cells.groupby("model", sort=False)["comparison"].nunique()]
    longest = cells["alias"].where(cells["alias"] != "", cells["layer"]).str.len().max()
    label_length = max(
        len(line) for label in _results(best) + _rows(best) for line in label.split("\n")
    )
    per_layer = 0.42 if n_layers.max() <= MAX_NUMBERED else 0.2
    width = 2.4 + 2 * 0.061 * label_length + per_layer * n_layers.max()
    height = 0.9 + 0.42 * sum(n_rows) + len(n_rows) * (0.7 + min(0.07 * longest, 1.6))
    return (float(np.clip(width, 6.5, 16.0)), float(height)), n_rows


def _draw_network(
    ax: Axes,
    cells: pd.DataFrame,
    best: pd.DataFrame,
    share_limits: tuple[float, float],
    score_limits: tuple[float, float],
    room: _Room,
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
            if width_of("100", room.letters) < 0.9 * room.cell and room.row > 0.2:
                _write_numbers(
                    ax, image, masked, "{:.0f}" if colours == SHARE_MAP else "{:.2f}", room.letters
                )
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

    names = [aliases[layer] or layer for layer in layers]
    turned = max(width_of(name, room.letters) for name in names) > 0.8 * room.cell
    if turned:
        names = cut_all(names, room.names, room.letters)
    ax.tick_params(axis="x", labelsize=room.letters, length=2, rotation=90 if turned else 0)
    name_ticks(ax.xaxis, range(len(layers)), names, turned=turned)
    lines = room.row > 2.5 * room.letters / 72
    regions = [
        "\n".join(cut(line, room.name, room.letters) for line in label.split("\n")[: 1 + lines])
        for label in _rows(best)
    ]
    name_ticks(ax.yaxis, range(len(rows)), regions)
    ax.tick_params(axis="y", labelsize=room.letters)
    ax.tick_params(axis="y", length=0)
    ax.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    ax.grid(which="minor", axis="y", color="white", lw=2.0)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    if room.beside != "nothing":
        right = ax.secondary_yaxis("right")
        right.set_yticks(range(len(rows)), _results(best, short=room.beside == "score"))
        right.tick_params(length=0, labelsize=room.letters)
        right.spines["right"].set_visible(False)
    if room.heading:
        ax.annotate(
            HEADING, (1.0, 1.0), (4.0, 4.0), "axes fraction", "offset points",
            fontsize=max(0.9 * room.letters, SMALLEST), va="bottom",
        )  # fmt: skip
    return images[0], images[1]


def _write_numbers(
    ax: Axes, image: AxesImage, values: np.ndarray, spelled: str, letters: float
) -> None:
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
            text = spelled.format(value).replace("0.", ".", 1)
            ax.text(
                x, y - 0.08, text, ha="center", va="center", color="black" if light else "white",
                fontsize=max(0.85 * letters, SMALLEST),
            )  # fmt: skip


def _rows(best: pd.DataFrame) -> list[str]:
    """What is recorded, and where from: one label per comparison."""
    return [
        f"{row['region']}\n{'SIMULATED ' if row['simulated'] else ''}{row['dataset']}"
        for _, row in best.iterrows()
    ]


def _results(best: pd.DataFrame, short: bool = False) -> list[str]:
    """What was found on held-out stimuli: one text per comparison."""
    texts = []
    for _, row in best.iterrows():
        if not isinstance(row["layer"], str):
            texts.append("no choice")
            continue
        if short:
            texts.append(f"{row['alias'] or cut(row['layer'], 0.6, 8)}: {row['score']:.2f}")
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
