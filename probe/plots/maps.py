"""Maps over pictures: colours that say what is for and what is against, and on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np

from probe.errors import ProbeError, nearest
from probe.output.pictures import FIGURE_STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = Literal["overlay", "side", "map", "contours"]
STYLES: tuple[Style, ...] = ("overlay", "side", "map", "contours")

SIGNED, UNSIGNED = "RdBu_r", "magma"
"""Colour maps: red is evidence for the target, blue against it."""

QUANTILE = 0.995
"""Share of a map's values that lie within the scale: a few extreme pixels leave no colour for the
rest."""

INK, FADE = 0.85, 0.8
"""Opacity of an overlay where a value ends the scale, and the power with which it falls."""

COLUMNS = 5
"""Of a contact sheet without rows of layers."""


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


def scale_of(values: np.ndarray) -> float:
    """Return the end of the colour scale: 99.5 % of the absolute values lie below; 1 for zeros."""
    magnitudes = np.abs(np.asarray(values, dtype=np.float64))
    return float(np.quantile(magnitudes, QUANTILE) or magnitudes.max() or 1.0)


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
    if ax is None:
        from matplotlib import pyplot as plt

        height, width = picture.shape[:2]
        with mpl.rc_context(FIGURE_STYLE):
            figure = plt.figure(figsize=(4.0, 4.0 * height / width + 0.3), layout="constrained")
            ax = figure.add_subplot()
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
        ax.set_title(title, fontsize=9)
    return ax


def plot_side_by_side(
    picture: np.ndarray,
    values: np.ndarray,
    *,
    signed: bool,
    title: str = "",
    label: str = "",
) -> Figure:
    """Draw a picture, the map over it, and the map alone with its scale."""
    from matplotlib import pyplot as plt

    height, width = picture.shape[:2]
    end = scale_of(values)
    with mpl.rc_context(FIGURE_STYLE):
        figure = plt.figure(
            figsize=(9.0, 2.75 * height / width + 0.65), dpi=200, layout="constrained"
        )
        left, middle, right = figure.subplots(1, 3)
        left.imshow(picture)
        left.set_axis_off()
        plot_map(picture, values, signed=signed, scale=end, ax=middle)
        plot_map(picture, values, signed=signed, scale=end, style="map", ax=right)
        _scale(figure, [right], end, signed=signed, label=label)
        if title:
            figure.suptitle(title, fontsize=9)
    return figure


def plot_sheet(
    picture: np.ndarray,
    maps: Sequence[Sequence[np.ndarray | None]],
    *,
    signed: Sequence[Sequence[bool]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
) -> Figure:
    """Draw a contact sheet: a picture, and maps in rows and columns, each on its own scale.

    Parameters
    ----------
    picture : numpy.ndarray, uint8, shape (h, w, 3)
    maps : sequence of sequences of numpy.ndarray, shape (h, w), or None
        Row by row; None leaves a place empty. A single row is broken into several.
    signed : sequence of sequences of bool
        Of each map.
    rows, columns : sequence of str
        What stands beside them; beside a single row, nothing.
    title : str
    """
    from matplotlib import pyplot as plt

    height, width = picture.shape[:2]
    if len(maps) == 1:  # the picture first, then one after the other
        n_columns = min(COLUMNS, 1 + len(columns))
        n_rows = -(-(1 + len(columns)) // n_columns)
        slots = [divmod(k, n_columns) for k in range(1, 1 + len(columns))]
    else:
        n_rows, n_columns = len(maps), 1 + len(columns)
        slots = [(r, c + 1) for r in range(n_rows) for c in range(len(columns))]
    side = min(2.1, 10.0 / n_columns)
    with mpl.rc_context(FIGURE_STYLE):
        figure = plt.figure(
            figsize=(side * n_columns + 0.3, (side * height / width + 0.28) * n_rows + 0.3),
            dpi=200,
            layout="constrained",
        )
        axes = figure.subplots(n_rows, n_columns, squeeze=False)
        for ax in axes.flat:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        axes[0, 0].imshow(picture)
        cells = [(values, r, c) for r, line in enumerate(maps) for c, values in enumerate(line)]
        for (y, x), (values, r, c) in zip(slots, cells, strict=True):
            ax = axes[y, x]
            if r == 0:
                ax.set_title(columns[c], fontsize=7, pad=2)
            if values is not None:
                ax.imshow(overlay(picture, values, signed=signed[r][c]))
        for r, name in enumerate(rows if len(maps) > 1 else ()):
            axes[r, 1].set_ylabel(name, fontsize=7)
        if title:
            figure.suptitle(title, fontsize=9)
    return figure


def _scale(figure: Figure, axes: Sequence[Axes], end: float, *, signed: bool, label: str) -> None:
    norm = mpl.colors.Normalize(-end if signed else 0.0, end)
    colours = mpl.cm.ScalarMappable(norm, SIGNED if signed else UNSIGNED)
    bar = figure.colorbar(colours, ax=list(axes), fraction=0.046, pad=0.03, extend="both")
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_linewidth(0.5)
    bar.set_label(label, fontsize=8)
