"""Maps over pictures: colours that say what is for and what is against, and on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np

from probe.errors import ProbeError, nearest
from probe.plots.figures import Canvas, broken, cut, head, own_figure, own_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Style = Literal["overlay", "side", "map", "contours"]
STYLES: tuple[Style, ...] = ("overlay", "side", "map", "contours")

SIGNED, UNSIGNED = "RdBu_r", "magma"
"""Colour maps: red is evidence for the target, blue against it."""

QUANTILE = 0.995
"""Share of a map's values that lie within the scale: a few extreme pixels leave no colour for the
rest."""

LEAST = 0.26
"""Inches of the shorter side of a panel of a sheet, at least."""

INK, FADE = 0.85, 0.8
"""Opacity of an overlay where a value ends the scale, and the power with which it falls."""


def check_style(style: str) -> None:
    """Return whether there is such a way to draw a map.

    Raises
    ------
    ProbeError
        If there is not.
    """
    if style not in STYLES:
        raise ProbeError(
            f"style {style!r}: expected one of {', '.join(STYLES)}{nearest(style, STYLES)}"
        )


FINE_QUANTILE = 0.97
"""The same of a map with a value for each pixel, such as guided backprop's: its largest values are
single pixels, and half of all are below a tenth of them."""


def scale_of(values: np.ndarray, share: float = QUANTILE) -> float:
    """Return the end of the colour scale: so many of the absolute values lie below; 1 for zeros."""
    magnitudes = np.abs(np.asarray(values, dtype=np.float64))
    return float(np.quantile(magnitudes, share) or magnitudes.max() or 1.0)


def coloured(values: np.ndarray, *, signed: bool, scale: float | None = None) -> np.ndarray:
    """Colour a map.

    Parameters
    ----------
    values : numpy.ndarray, shape (h, w)
    signed : bool
        Zero is in the middle of the colours; else at their beginning.
    scale : float, optional
        Absolute value at the end of the colours; by default `scale_of`.

    Returns
    -------
    numpy.ndarray, shape (h, w, 3), float, 0 to 1
    """
    end = scale_of(values) if scale is None else scale
    share = np.clip(values / end, -1, 1)
    table = mpl.colormaps[SIGNED if signed else UNSIGNED]
    return np.asarray(table((share + 1) / 2 if signed else np.clip(share, 0, 1)))[..., :3]


def overlay(
    picture: np.ndarray, values: np.ndarray, *, signed: bool, scale: float | None = None
) -> np.ndarray:
    """Lay a map over a picture, the more opaque the larger its absolute value.

    Parameters
    ----------
    picture : numpy.ndarray, uint8, shape (h, w, 3)
        Is shown without its colours, which would be mistaken for the map's.
    values : numpy.ndarray, shape (h, w)
    signed, scale
        As in `coloured`.

    Returns
    -------
    numpy.ndarray, uint8, shape (h, w, 3)
    """
    end = scale_of(values) if scale is None else scale
    grey = picture @ np.array([0.2126, 0.7152, 0.0722]) / 255.0
    behind = np.repeat(0.15 + 0.75 * grey[..., None], 3, axis=2)  # neither black nor white
    strength = np.clip(np.abs(values) / end, 0, 1)
    # Where nothing is said, the picture is as it is.
    opacity = INK * (strength**FADE)[..., None]
    # The middle of the diverging colours is white: it would fade the picture.
    sign = np.sign(values) * (0.55 + 0.45 * strength) if signed else 0.35 + 0.65 * strength
    colour = coloured(sign, signed=signed, scale=1.0)
    return np.round(255 * ((1 - opacity) * behind + opacity * colour)).astype(np.uint8)


def plot_map(
    picture: np.ndarray,
    values: np.ndarray,
    *,
    signed: bool,
    style: Style = "overlay",
    title: str = "",
    scale: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one map: over the picture, alone, or as contours.

    Parameters
    ----------
    picture : numpy.ndarray, uint8, shape (h, w, 3)
    values : numpy.ndarray, shape (h, w)
    signed, scale
        As in `coloured`.
    style : {"overlay", "map", "contours"}
    title : str
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    height, width = picture.shape[:2]
    with own_figure(ax, 4.0, 4.0 * height / width) as ax:
        end = scale_of(values) if scale is None else scale
        if style == "map":
            ax.imshow(coloured(values, signed=signed, scale=end))
        elif style == "contours":
            ax.imshow(picture)
            levels = (0.25, 0.5, 0.75)
            colours = mpl.colormaps["autumn_r"](np.linspace(0.2, 1, len(levels)))
            for level, colour in zip(levels, colours, strict=True):
                if values.max() > level * end:
                    ax.contour(values, [level * end], colors="black", linewidths=2.2)
                    ax.contour(values, [level * end], colors=[colour], linewidths=1.2)
                if signed and values.min() < -level * end:
                    ax.contour(values, [-level * end], colors="white", linewidths=2.2)
                    ax.contour(values, [-level * end], colors=["#2166ac"], linewidths=1.2)
        else:
            ax.imshow(overlay(picture, values, signed=signed, scale=end))
        ax.set_axis_off()
        if title:
            head(ax, title)
    return ax


def plot_side_by_side(
    picture: np.ndarray,
    values: np.ndarray,
    *,
    signed: bool,
    scale: float | None = None,
    title: str = "",
    label: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw a picture, the map over it, and the map alone with its scale.

    Side by side in a wide figure, in two rows or below each other in a higher one.

    Parameters
    ----------
    picture : numpy.ndarray, uint8, shape (h, w, 3)
    values : numpy.ndarray, shape (h, w)
    signed, scale
        As in `coloured`.
    title, label : str
        What stands above, and beside the scale.
    legend : bool
        Whether there is a scale.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    height, width = picture.shape[:2]
    end = scale_of(values) if scale is None else scale
    with own_panels(figure, 9.0, 2.75 * height / width + 0.65) as canvas:
        figure = canvas.figure
        columns = _columns_of_three(canvas, height / width)
        axes = figure.subplots(-(-3 // columns), columns, squeeze=False).ravel()
        for ax in axes:
            ax.set_axis_off()
        axes[0].imshow(picture)
        plot_map(picture, values, signed=signed, scale=end, ax=axes[1])
        plot_map(picture, values, signed=signed, scale=end, style="map", ax=axes[2])
        if legend:
            where: dict[str, Any] = {"ax": axes[2], "fraction": 0.046, "pad": 0.03}
            if columns == 2:  # in the panel that is free, as high as the maps
                axes[3].set(xlim=(0, width), ylim=(0, height), aspect="equal")
                where = {"cax": axes[3].inset_axes((0.0, 0.0, 0.06, 1.0))}
            elif columns == 1:
                where = {"ax": axes, "location": "bottom", "aspect": 40, "pad": 0.02}
            _scale(canvas, end, signed=signed, label=label, where=where)
        canvas.head(title)
    return figure


def _columns_of_three(canvas: Canvas, aspect: float) -> int:
    """Return in how many columns three panels of an aspect (height in widths) are largest."""
    wide, high = canvas.width, canvas.height - 0.4

    def width_in(columns: int) -> float:
        rows = -(-3 // columns)
        # A scale beside the panels takes a part of the width, one below them of the height.
        beside, below = (0.1 * wide, 0.0) if columns == 3 else (0.0, 0.5 * (columns == 1))
        width = min((wide - beside) / columns, (high - below) / rows / aspect)
        return width * (0.8 if columns == 2 else 1.0)  # a quarter is empty

    return max((3, 2, 1), key=width_in)


def plot_sheet(
    picture: np.ndarray,
    maps: Sequence[Sequence[np.ndarray | None]],
    *,
    signed: Sequence[Sequence[bool]],
    rows: Sequence[str],
    columns: Sequence[str],
    scales: Sequence[Sequence[float | None]] | None = None,
    title: str = "",
    note: str = "",
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw a contact sheet: a picture, and maps in rows and columns, each on its own scale.

    The picture first, then one method after the other; one that has maps of several layers, layer
    by layer. There are as many columns as fill the last row best: no panel stands alone in it, and
    none is empty but at its end.

    Parameters
    ----------
    picture : numpy.ndarray, uint8, shape (h, w, 3)
    maps : sequence of sequences of numpy.ndarray, shape (h, w), or None
        Row by row; None where a method has no map of that row's layer.
    signed : sequence of sequences of bool
        Of each map.
    rows, columns : sequence of str
        What stands above them: the column, and where it has several maps, the row.
    scales : sequence of sequences of float or None, optional
        Where the colours of each map end; by default as in `coloured`.
    title, note : str
        What stands above, and below in small letters.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    height, width = picture.shape[:2]
    every = range(len(maps))
    cells = _cells(maps, columns, rows, every)
    n_columns, n_rows = _sheet_shape(len(cells))
    lines = 2 if any("\n" in text for text, _ in cells) else 1
    side = min(2.1, 10.0 / n_columns)
    size = (side * n_columns + 0.3, (side * height / width + 0.14 + 0.14 * lines) * n_rows + 0.3)
    with own_panels(figure, *size) as canvas:
        figure = canvas.figure
        letters = canvas.points(7)
        if canvas.shrink < 1:
            above = 1.4 * lines * letters / 72 + 0.05
            high = canvas.height - 0.4
            for n_drawn in range(len(maps), 0, -1):
                # Of more layers than have room, some, evenly chosen.
                drawn = sorted({round(k) for k in np.linspace(0, len(maps) - 1, n_drawn)})
                cells = _cells(maps, columns, rows, drawn)
                n_columns, n_rows = _sheet_shape(
                    len(cells), into=(canvas.width, high), text=above, aspect=height / width
                )
                of_rows = max(high / n_rows - above, 0.0) / (height / width)
                if min(canvas.width / n_columns, of_rows) * min(1, height / width) > LEAST:
                    break
        of_panel = 0.94 * canvas.width / n_columns
        axes = figure.subplots(n_rows, n_columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for ax, (text, at) in zip(axes.flat, cells, strict=False):
            if at is None:
                ax.imshow(picture)
            else:
                values = maps[at[0]][at[1]]
                assert values is not None  # only those that are there have a cell
                end = None if scales is None else scales[at[0]][at[1]]
                ax.imshow(overlay(picture, values, signed=signed[at[0]][at[1]], scale=end))
            shown = "\n".join(cut(line, of_panel, letters) for line in text.split("\n"))
            ax.set_title(shown, fontsize=letters, pad=2)
        canvas.head(title)
        if note:
            small = canvas.points(6)
            figure.supxlabel(
                broken(note, 0.97 * canvas.width, small), x=0.01, ha="left", fontsize=small
            )
    return figure


Cell = tuple[str, tuple[int, int] | None]
"""What stands above a panel, and row and column of its map; None of the picture."""


def _cells(
    maps: Sequence[Sequence[np.ndarray | None]],
    columns: Sequence[str],
    rows: Sequence[str],
    drawn: Sequence[int],
) -> list[Cell]:
    """Return the panels of a sheet in their order: the picture, then methods, each by layer."""
    cells: list[Cell] = [("", None)]
    for column, name in enumerate(columns):
        present = [row for row in drawn if maps[row][column] is not None]
        several = len(present) > 1
        for row in present:
            cells.append((f"{name}\n{rows[row]}" if several else name, (row, column)))
    return cells


def _sheet_shape(
    n: int,
    *,
    into: tuple[float, float] = (10.0, 9.0),
    text: float = 0.28,
    aspect: float = 1.0,
) -> tuple[int, int]:
    """Return columns and rows of a sheet: large panels, and a last row as full as can be.

    Parameters
    ----------
    n : int
        Panels; never is one of several alone in the last row.
    into : (width, height)
        Inches there are.
    text : float
        Inches above each panel.
    aspect : float
        Height of a panel, in widths.
    """

    def goodness(columns: int) -> float:
        rows = -(-n // columns)
        width = min(into[0] / columns, max(into[1] / rows - text, 0.01) / aspect)
        empty = rows * columns - n
        alone = n > 1 and columns > 1 and n % columns == 1
        return width * (1 - 0.5 * empty / n) * (0.1 if alone else 1.0)

    columns = max(range(1, n + 1), key=goodness)
    return columns, -(-n // columns)


def _scale(canvas: Canvas, end: float, *, signed: bool, label: str, where: dict[str, Any]) -> None:
    norm = mpl.colors.Normalize(-end if signed else 0.0, end)
    colours = mpl.cm.ScalarMappable(norm, SIGNED if signed else UNSIGNED)
    bar = canvas.figure.colorbar(colours, extend="both", **where)
    bar.ax.tick_params(labelsize=canvas.points(7))
    bar.outline.set_linewidth(0.5)
    size = canvas.points(8)
    upright = bar.orientation == "vertical"
    length = 0.6 * (min(canvas.height, 0.35 * canvas.width) if upright else canvas.width)
    bar.set_label(broken(label, max(length, 0.5), size), fontsize=size)
    bar.locator = mpl.ticker.MaxNLocator(5 if length > 1 else 3)
    bar.update_ticks()
