"""Maps of a searchlight: slices through a volume, views of a surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.ticker import MaxNLocator

from probe.plots.figures import Canvas, broken, cut, cut_all, name_ticks, own_panels, points
from probe.recordings.space import Surface, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from probe.formats.brain_maps import Mesh

SCORES = "RdBu_r"
BACKGROUND = "0.93"
MOST_SLICES = 7
INCHES = 1.15
"""Size of a panel."""

SCALE_ROWS = 3
"""So many rows is the scale of the scores' colours high, at most."""

LEAST = 0.4
"""The same, where there is no more room: below, fewer are drawn."""


def canonical(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a volume such that its axes run to the right, the front and the top, nearly.

    Parameters
    ----------
    volume : numpy.ndarray, shape (x, y, z)
    affine : numpy.ndarray, shape (4, 4)

    Returns
    -------
    volume : numpy.ndarray
        Its axes permuted and turned round; no value is changed.
    affine : numpy.ndarray, shape (4, 4)
        Of the turned volume.
    """
    from scipy.optimize import linear_sum_assignment

    steps = affine[:3, :3]
    share = np.abs(steps) / np.linalg.norm(steps, axis=0)
    _, axes = linear_sum_assignment(-share)  # the axis that runs along x, along y, along z
    volume, turned = np.transpose(volume, axes), affine.copy()
    turned[:, :3] = affine[:, axes]
    for axis in range(3):
        if turned[axis, axis] < 0:
            turned[:3, 3] += turned[:3, axis] * (volume.shape[axis] - 1)
            turned[:, axis] *= -1
            volume = np.flip(volume, axis)
    return volume, turned


def chosen_slices(space: Volume) -> np.ndarray:
    """Choose horizontal slices, evenly between the lowest and highest with measured voxels.

    Returns
    -------
    numpy.ndarray, shape (≤ 7,), int
        Numbers in the turned volume, see `canonical`.
    """
    measured, _ = canonical(space.filled(np.ones(len(space))), space.affine)
    levels = np.flatnonzero(np.isfinite(measured).any(axis=(0, 1)))
    picked = np.linspace(0, len(levels) - 1, min(MOST_SLICES, len(levels))).round().astype(int)
    return levels[picked]


def figure_size(space: Volume, n_rows: int) -> tuple[float, float]:
    """Width and height of a figure of slices, in inches."""
    return max(5.0, 1.8 + INCHES * len(chosen_slices(space))), 1.0 + INCHES * 1.15 * n_rows


def plot_slices(
    space: Volume,
    scores: np.ndarray,
    names: Sequence[str],
    *,
    significant: np.ndarray | None = None,
    best: np.ndarray | None = None,
    best_label: str = "best layer",
    symbol: str = "score",
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw horizontal slices of maps, one row per map, left on the left.

    Parameters
    ----------
    space : Volume
        C voxels.
    scores : numpy.ndarray, shape (n_maps, C)
        All maps have one scale of colours, symmetric about zero.
    names : sequence of str
        Of the maps.
    significant : numpy.ndarray, shape (n_maps, C), bool, optional
        Voxels to outline.
    best : numpy.ndarray, shape (C,), int, optional
        Which map is the best at each voxel, −1 where none is: a row of its own.
    best_label : str
        What that row is called.
    symbol, title : str
    legend : bool
        Whether scales of colours stand beside the maps.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where to draw; by default a new figure. In a small one there are fewer slices, and fewer
        maps, evenly chosen.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    levels = chosen_slices(space)
    turned, affine = canonical(space.filled(np.arange(len(space))), space.affine)
    inside = np.isfinite(turned)
    x0, x1 = np.flatnonzero(inside.any(axis=(1, 2)))[[0, -1]]
    y0, y1 = np.flatnonzero(inside.any(axis=(0, 2)))[[0, -1]]
    box = slice(x0, x1 + 1), slice(y0, y1 + 1)
    width, height = np.linalg.norm(affine[:3, :3], axis=0)[:2]

    def slice_of(values: np.ndarray, level: int) -> np.ndarray:
        image, _ = canonical(space.filled(values), space.affine)
        return image[(*box, level)].T

    with own_panels(figure, *figure_size(space, len(scores) + (best is not None))) as canvas:
        figure = canvas.figure
        chosen, columns = _drawn(canvas, len(scores), best is not None, len(levels))
        levels = levels[columns]
        n_rows = len(chosen) + (best is not None)
        axes = figure.subplots(n_rows, len(levels), squeeze=False)
        limit = float(np.nanmax(np.abs(scores))) if np.isfinite(scores).any() else 1.0
        norm = Normalize(-limit, limit)
        colours = mpl.colormaps[SCORES]
        for row, number in enumerate(chosen):
            values = scores[number]
            for ax, level in zip(axes[row], levels, strict=True):
                image = slice_of(values, level)
                mapped = ax.imshow(
                    image, origin="lower", cmap=colours, norm=norm, interpolation="nearest",
                    aspect=height / width,
                )  # fmt: skip
                if significant is not None:
                    marked = slice_of(significant[number].astype(float), level) > 0
                    ax.add_collection(LineCollection(_outline(marked), colors="k", linewidths=0.8))
        if legend:
            _scale(canvas, mapped, axes[: len(chosen)], symbol, aspect=8)
        if best is not None:
            palette, ticks = _palette(len(names)), np.arange(len(names))
            for ax, level in zip(axes[-1], levels, strict=True):
                ax.imshow(
                    slice_of(np.ones(len(space)), level), origin="lower",
                    cmap=ListedColormap(["w"]),
                    aspect=height / width,
                )  # fmt: skip
                values = np.where(best < 0, np.nan, best.astype(float))
                mapped = ax.imshow(
                    slice_of(values, level), origin="lower", cmap=palette,
                    norm=Normalize(-0.5, len(names) - 0.5), interpolation="nearest",
                    aspect=height / width,
                )  # fmt: skip
            if legend:
                _legend(canvas, mapped, axes[-1].tolist(), names, ticks)
        small = points("axes.labelsize")
        shown = cut_all([names[k] for k in chosen], 0.22 * canvas.width, small)
        shown += [cut(best_label, 0.22 * canvas.width, small)] if best is not None else []
        for row, name in enumerate(shown):
            axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
        heights = affine[2, 2] * levels + affine[2, 3]
        for ax, z in zip(axes[0], heights, strict=True):
            text = f"{z:.0f}".replace("-", "−")
            label = f"z = {text} mm" if ax is axes[0, 0] else text
            if ax is axes[0, 0] and canvas.shrink < 0.9:
                label = f"z = {text}\nmm"
            ax.set_title(label, fontsize=canvas.points(8), loc="center")
        for ax in axes.ravel():
            ax.set(xticks=[], yticks=[], facecolor=BACKGROUND)
            ax.spines[:].set_visible(False)
            if canvas.shrink < 0.6 and ax is not axes[0, 0]:
                continue  # letters would hide a small slice
            for where, text in ((0.01, "L"), (0.99, "R")):
                ax.text(
                    where, 0.01, text, transform=ax.transAxes, fontsize=canvas.points(6),
                    color="0.35",
                    ha="left" if text == "L" else "right", va="bottom",
                )  # fmt: skip
        note = (
            "outlined: p < .05, corrected" if significant is not None and significant.any() else ""
        )
        _heading(canvas, title, note)
        _line_up(canvas, axes)
    return figure


def surface_figure_size(n_hemispheres: int, n_rows: int) -> tuple[float, float]:
    """Width and height of a figure of surfaces, in inches."""
    return max(5.0, 2.0 + 2 * 1.7 * n_hemispheres), 1.0 + 1.35 * n_rows


def plot_surfaces(
    space: Surface,
    meshes: dict[str, Mesh],
    scores: np.ndarray,
    names: Sequence[str],
    *,
    best: np.ndarray | None = None,
    best_label: str = "best layer",
    symbol: str = "score",
    title: str = "",
    legend: bool = True,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw maps on meshes from the side and from the middle, one row per map.

    Parameters
    ----------
    space : Surface
        C vertices.
    meshes : dict of str to Mesh
        By hemisphere, in millimetres: x to the right, y to the front, z up.
    scores, names, best, best_label, symbol, title, legend, figure
        See `plot_slices`.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    sides = [side for side in ("L", "R") if side in meshes]
    views = [(side, view) for side in sides for view in ("lateral", "medial")]
    with own_panels(
        figure, *surface_figure_size(len(sides), len(scores) + (best is not None))
    ) as canvas:
        figure = canvas.figure
        chosen, columns = _drawn(canvas, len(scores), best is not None, len(views))
        views = [views[k] for k in columns]
        n_rows = len(chosen) + (best is not None)
        axes = figure.subplots(n_rows, len(views), squeeze=False)
        limit = float(np.nanmax(np.abs(scores))) if np.isfinite(scores).any() else 1.0
        norm = Normalize(-limit, limit)
        colours = mpl.colormaps[SCORES].with_extremes(bad="0.85")
        palette: Any = _palette(len(names)).with_extremes(bad="0.85")
        rows: list[tuple[np.ndarray, Any, Any]] = [(scores[k], colours, norm) for k in chosen]
        if best is not None:
            values = np.where(best < 0, np.nan, best.astype(float))
            rows.append((values, palette, Normalize(-0.5, len(names) - 0.5)))
        collections: list[Any] = []
        for row, (values, cmap, scale) in enumerate(rows):
            for ax, (side, view) in zip(axes[row], views, strict=True):
                mesh = meshes[side]
                here = space.hemispheres == side
                of_mesh = np.full(len(mesh.coordinates), np.nan)
                of_mesh[space.vertices[here]] = values[here]
                nominal = cmap is palette
                collection = _faces(mesh, of_mesh, side, view, nominal)
                collection.set(cmap=cmap, norm=scale)
                ax.add_collection(collection)
                ax.autoscale_view()
                ax.set_aspect("equal")
                ax.set_axis_off()
                if row == 0:
                    called = f"{'left' if side == 'L' else 'right'}, {view}"
                    if canvas.shrink < 0.9:
                        called = called.replace(", ", ",\n")
                    ax.set_title(called, fontsize=canvas.points(8), loc="center")
            collections.append(collection)
        if legend:
            _scale(canvas, collections[0], axes[: len(chosen)], symbol, aspect=8)
        if best is not None and legend:
            _legend(canvas, collections[-1], axes[-1].tolist(), names, np.arange(len(names)))
        small = points("axes.labelsize")
        shown = cut_all([names[k] for k in chosen], 0.22 * canvas.width, small)
        shown += [cut(best_label, 0.22 * canvas.width, small)] if best is not None else []
        for row, name in enumerate(shown):
            axes[row, 0].text(
                -0.02, 0.5, name, transform=axes[row, 0].transAxes, ha="right", va="center",
                fontsize=small,
            )  # fmt: skip
        _heading(canvas, title, "")
        _line_up(canvas, axes)
    return figure


def _faces(mesh: Mesh, values: np.ndarray, side: str, view: str, nominal: bool) -> PolyCollection:
    """The triangles that look at the viewer, the furthest first."""
    from_right = (side == "R") == (view == "lateral")
    sign = 1.0 if from_right else -1.0
    x, y, z = mesh.coordinates.T
    corners = np.stack([sign * y, z], axis=1)[mesh.faces]
    order = np.argsort(sign * x[mesh.faces].mean(axis=1))
    of_faces = values[mesh.faces]
    # A number of a layer is no quantity: a face takes that of its first vertex.
    mean = of_faces[:, 0] if nominal else of_faces.mean(axis=1)
    collection = PolyCollection(list(corners[order]), rasterized=True)
    collection.set_array(np.ma.masked_invalid(mean[order]))
    collection.set(edgecolor="face", linewidth=0.2)
    return collection


def _outline(marked: np.ndarray) -> list[list[tuple[float, float]]]:
    """Edges between marked pixels and others, shape (rows, columns) → segments (x, y)."""
    padded = np.pad(marked, 1)
    segments = []
    for r, c in np.argwhere(padded[1:, :] != padded[:-1, :]):
        segments.append([(c - 1.5, r - 0.5), (c - 0.5, r - 0.5)])
    for r, c in np.argwhere(padded[:, 1:] != padded[:, :-1]):
        segments.append([(c - 0.5, r - 1.5), (c - 0.5, r - 0.5)])
    return segments


def _palette(n: int) -> ListedColormap:
    """A colour per layer, from the first to the last."""
    colours = mpl.colormaps["viridis"](np.linspace(0.0, 1.0, max(2, n)))[:n]
    return ListedColormap(list(map(tuple, colours)))


def _drawn(
    canvas: Canvas, n_maps: int, with_best: bool, n_columns: int
) -> tuple[list[int], list[int]]:
    """Return which maps and columns are drawn: of more than have room, some, evenly chosen."""

    def chosen(n: int, most: int) -> list[int]:
        most = max(most, 1)
        return (
            list(range(n)) if n <= most else sorted({round(k) for k in np.linspace(0, n - 1, most)})
        )

    down = int((canvas.height - 0.6) / LEAST) - with_best
    return chosen(n_maps, down), chosen(n_columns, int(0.36 * canvas.width / LEAST))


def _scale(canvas: Canvas, drawn: Any, axes: np.ndarray, label: str, aspect: float) -> None:
    """Draw the scale of the scores' colours beside the first of their maps."""
    size = canvas.points(8)
    axes = axes[:SCALE_ROWS]
    aspect *= len(axes)
    bar = canvas.figure.colorbar(
        drawn, ax=axes.ravel().tolist(), fraction=0.03, pad=0.02, aspect=aspect
    )
    bar.set_label(broken(label, max(0.4 * canvas.height, 0.5), size), fontsize=size)
    bar.ax.tick_params(labelsize=size)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4 if canvas.height > 3 else 2))


def _legend(
    canvas: Canvas, drawn: Any, axes: list[Axes], names: Sequence[str], ticks: np.ndarray
) -> None:
    """Draw the scale of layers' colours, and as many of their names as have room."""
    size = canvas.points(6.5)
    bar = canvas.figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.02, aspect=8)
    bar.ax.tick_params(labelsize=size)
    shown = cut_all(names, 0.18 * canvas.width, size)
    name_ticks(bar.ax.yaxis, list(ticks), shown)
    bar.ax.minorticks_off()


def _line_up(canvas: Canvas, axes: np.ndarray) -> None:
    """Let all panels stand at the right of their places, as those do that have a scale beside."""
    for ax in axes.flat:
        ax.set_anchor("E")
    # A layout measures names beside panels before these shrink to their shapes.
    canvas.figure.get_figure(root=True).draw_without_rendering()


def _heading(canvas: Canvas, title: str, note: str) -> None:
    lines = [*title.split("\n"), *([note] if note else [])]
    canvas.head("\n".join(line for line in lines if line))
