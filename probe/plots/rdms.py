"""One RDM: as a matrix, as a map of the stimuli, and as a tree of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.transforms import Bbox
from PIL import Image
from scipy import ndimage, stats
from scipy.spatial.distance import pdist, squareform

from probe import images as pictures
from probe.errors import ProbeError
from probe.formats.names import in_order
from probe.plots.figures import (
    TOGETHER,
    broken,
    cut_all,
    explain,
    head,
    inches,
    is_own,
    name_axes,
    name_ticks,
    own_figure,
    points,
    room,
    width_of,
)
from probe.similarity.rdm_set import RDMs
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_LABELS = {
    "correlation": "1 − Pearson r",
    "cosine": "1 − cosine",
    "euclidean": "squared Euclidean",
    "mahalanobis": "squared Mahalanobis",
    "crossnobis": "crossnobis",
    "poisson": "symmetrised Poisson KL",
}
"""What a metric is called on an axis."""

SQUARED = ("euclidean", "mahalanobis")
"""Metrics whose square root is a distance in space."""

COLOURS = "viridis"
"""Perceptually uniform, and read alike by people with and without colour blindness."""

NO_VALUE = "0.88"
"""Grey of the diagonal and of missing pairs."""

MAX_ROWS = 5
"""In at most so many rows are thumbnails staggered; beyond, every second, third, … is shown."""

LEGIBLE = 0.2
"""Side, in inches, of the smallest thumbnail in which one sees something."""

LONGEST = 2.5
"""Inches that a stimulus's name takes at most."""

TOO_LIGHT = 205
"""What is lighter than this grey (of 255) would not be seen on white without its background."""

Pictures = Sequence[Any] | StimulusSet
"""One picture per stimulus: a `StimulusSet`, or Pillow images, arrays or paths."""


def plot_rdm(
    rdm: RDMs | np.ndarray,
    *,
    images: Pictures | None = None,
    categories: Sequence[str] | None = None,
    ranked: bool = False,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw an RDM as a matrix of colours.

    Parameters
    ----------
    rdm : RDMs or numpy.ndarray, shape (n_pairs,) or (n, n)
        One RDM. The diagonal and missing pairs are grey.
    images : StimulusSet or sequence of pictures, optional
        Drawn along the left and the lower side; where they would be too small, in staggered rows,
        and of many stimuli only some. A plain background is left out. Pictures of a `StimulusSet`
        are found by the names of the stimuli, if the RDM has them.
    categories : sequence of str, shape (n,), optional
        Drawn as coloured bars along the same sides.
    ranked : bool
        Colour by the percentile of a distance among all distances, which shows the structure
        where a few are much larger than the rest.
    legend : bool
        Whether there is one, of the categories.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ProbeError
        If there is more than one RDM, or as many pictures or categories as stimuli are not given.
    """
    one = _One.of(rdm)
    groups = _groups(categories, one)
    gallery = None if images is None else _Gallery.of(images, one)
    with own_figure(ax, 5.6 if gallery and one.n > 40 else 4.4, 4.4 + bool(gallery)) as ax:
        values = _percentiles(one.square) if ranked else one.square.copy()
        np.fill_diagonal(values, np.nan)
        colours = mpl.colormaps[COLOURS].with_extremes(bad=NO_VALUE)
        image = ax.imshow(values, cmap=colours, interpolation="nearest", aspect="equal")
        if ranked:
            image.set_clim(0.0, 100.0)
        ax.set_xticks([])
        ax.set_yticks([])
        head(ax, one.label)

        bar_width = 0.0
        for side in ("left", "bottom"):
            bar_width = _bar_of(groups, ax, side) if groups else 0.0
            if gallery:
                _line_up(gallery, ax, side, bar_width, range(one.n))
        # Bars of categories say what a stimulus is where there is no room for names, too.
        named = is_own(ax) or not groups or min(room(ax)) >= 2.5
        if not gallery and one.names and named and _fits(ax, one.n):
            size = points("xtick.labelsize")
            longest = LONGEST if is_own(ax) else min(LONGEST, 0.17 * min(room(ax)))
            names = cut_all(one.names, longest, size)
            name_ticks(ax.yaxis, range(one.n), names)
            name_ticks(ax.xaxis, range(one.n), names, turned=True)
            ax.tick_params(axis="x", rotation=90)
            ax.tick_params(length=0, pad=2.0 + 72 * bar_width)

        if groups:
            groups.legend(ax, 1.04, legend)
        key = ax.inset_axes((1.04, 0.0, 0.035, 1.0))
        key.set_axes_locator(_below_the_legend(ax))
        metric = METRIC_LABELS.get(one.metric or "", one.metric)
        label = "dissimilarity" + (f"\n({metric})".replace(" ", TOGETHER) if metric else "")
        figure = ax.get_figure(root=True)
        assert figure is not None  # it lies in one
        bar = figure.colorbar(image, cax=key)
        size = points("axes.labelsize")
        label = f"percentile of {label}" if ranked else label
        # Below a legend there is less room.
        share = 0.25 if groups and legend else 0.42
        least = max(width_of(word, size) for word in label.replace("\n", " ").split(" "))
        length = inches(ax)[1] if is_own(ax) else max(share * min(room(ax)), least)
        bar.set_label(broken(label, max(length, 0.5), size), fontsize=size)
        bar.ax.tick_params(labelsize=points("ytick.labelsize"))
        few = not is_own(ax) and min(room(ax)) < 3
        bar.ax.yaxis.set_major_locator(mpl.ticker.MaxNLocator(2 if few else 5))
    return ax


def plot_mds(
    rdm: RDMs | np.ndarray,
    *,
    images: Pictures | None = None,
    categories: Sequence[str] | None = None,
    metric: bool = True,
    seed: int = 0,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the stimuli in a plane, as far apart as an RDM says, as nearly as that is possible.

    Multidimensional scaling by SMACOF (scikit-learn), from the classical solution and from four
    random starts, the best of which is shown. How well it succeeds is written below it: Kruskal's
    stress-1, the root of the squared error of the plane's distances divided by their sum of
    squares; 0 is perfect, above 0.2 is called poor (Kruskal 1964, Psychometrika 29:1).

    Parameters
    ----------
    rdm : RDMs or numpy.ndarray, shape (n_pairs,) or (n, n)
        One RDM without missing pairs. Of the squared distances `euclidean` and `mahalanobis`, the
        root is drawn; of cross-validated ones, negative values are taken for 0.
    images : StimulusSet or sequence of pictures, optional
        Drawn in place of points, framed in their category's colour.
    categories : sequence of str, shape (n,), optional
    metric : bool
        Keep the distances themselves; otherwise only their order (non-metric scaling).
    seed : int
        Of the random starts.
    legend : bool
        Whether there is one, of the categories.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ProbeError
        If a pair is missing, there are fewer than three stimuli, or as `plot_rdm` says.
    """
    one = _One.of(rdm).complete("multidimensional scaling")
    if one.n < 3:
        raise ProbeError(f"a map needs at least 3 stimuli, not {one.n}")
    groups = _groups(categories, one)
    distances = np.maximum(squareform(one.square, checks=False), 0.0)
    if not distances.any():
        raise ProbeError("all distances are zero: they cannot be drawn as a map")
    if one.metric in SQUARED:
        distances = np.sqrt(distances)
    places, stress = _scaled(distances, metric, seed)

    gallery = None if images is None else _Gallery.of(images, one)

    with own_figure(ax, 5.0, 4.4) as ax:
        low, high = places.min(axis=0), places.max(axis=0)
        reach = float((high - low).max())
        margin = 0.06 * reach
        if gallery:
            size = reach * float(np.clip(0.66 / math.sqrt(one.n), 0.03, 0.2))
            margin = 0.7 * size
            for k, (x, y) in enumerate(places):
                frame = groups.of_each[k] if groups else None
                _draw(gallery.picture(k), ax, x, y, size, frame)
        else:
            colours = groups.of_each if groups else "0.25"
            ax.scatter(
                places[:, 0],
                places[:, 1],
                s=32,
                c=colours,
                edgecolors="white",
                linewidths=0.6,
                zorder=3,
            )
        ax.set_aspect("equal", adjustable="box")
        ax.set_xlim(low[0] - margin, high[0] + margin)
        ax.set_ylim(low[1] - margin, high[1] + margin)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color("0.8")
        kind = "metric" if metric else "non-metric"
        text = f"{kind} MDS, stress-1 = {stress:.2f}"
        if not is_own(ax):
            text = broken(text, 0.55 * min(room(ax)), points("axes.labelsize"))
        ax.set_xlabel(text, loc="left")
        head(ax, one.label)
        if groups:
            groups.legend(ax, 1.02, legend)
    return ax


def plot_dendrogram(
    rdm: RDMs | np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    images: Pictures | None = None,
    categories: Sequence[str] | None = None,
    method: str = "average",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the tree that hierarchical clustering finds in an RDM.

    Parameters
    ----------
    rdm : RDMs or numpy.ndarray, shape (n_pairs,) or (n, n)
        One RDM without missing pairs; of cross-validated distances, negative values are taken
        for 0.
    labels : sequence of str, optional
        Names of the leaves; by default the stimuli's, where there are no pictures.
    images : StimulusSet or sequence of pictures, optional
        Drawn at the leaves, as in `plot_rdm`.
    categories : sequence of str, shape (n,), optional
        Drawn as a coloured bar along the leaves.
    method : {'average', 'complete', 'single', 'ward', 'weighted', 'centroid', 'median'}
        How far apart two clusters are, see `scipy.cluster.hierarchy.linkage`.
    legend : bool
        Whether there is one, of the categories.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ProbeError
        If a pair is missing, the method is unknown, or as `plot_rdm` says.
    """
    from scipy.cluster import hierarchy

    one = _One.of(rdm).complete("hierarchical clustering")
    groups = _groups(categories, one)
    names = one.names if labels is None else _per_stimulus(labels, one, "labels")
    try:
        tree = hierarchy.linkage(np.maximum(squareform(one.square, checks=False), 0.0), method)
    except ValueError as error:
        raise ProbeError(f"method {method!r}: {error}") from None
    gallery = None if images is None else _Gallery.of(images, one)
    with own_figure(ax, 5.0, float(np.clip(0.14 * one.n, 2.5, 6.5 if gallery else 12.0))) as ax:
        with mpl.rc_context({"lines.linewidth": 1.0}):
            dendrogram = hierarchy.dendrogram(
                tree, orientation="left", color_threshold=0.0, above_threshold_color="0.3",
                no_labels=True, ax=ax,
            )  # fmt: skip
        order = dendrogram["leaves"]
        ax.set_ylim(10.0 * one.n, 0.0)  # the first leaf above, as in a matrix
        low, high = tree[:, 2].min(), tree[:, 2].max()
        span = high - low if high > low else 1.0
        # Not from zero, where most of the width would be leaves.
        ax.set_xlim(high + 0.05 * span, max(low - 0.25 * span, 0.0))
        ax.spines[["left", "top", "right"]].set_visible(False)
        metric = METRIC_LABELS.get(one.metric or "", one.metric) or "dissimilarity"
        name_axes(ax, f"{metric} ({method} linkage)")
        head(ax, one.label)

        bar_width = _bar_of(groups.reordered(order), ax, "right") if groups else 0.0
        if gallery:
            _line_up(gallery, ax, "right", bar_width, order)
        elif names and _fits(ax, one.n):
            ax.yaxis.tick_right()
            size = points("ytick.labelsize")
            longest = LONGEST if is_own(ax) else min(LONGEST, 0.35 * room(ax)[0])
            shown = cut_all([names[k] for k in order], longest, size)
            ax.set_yticks(10.0 * np.arange(one.n) + 5.0, shown)
            ax.tick_params(axis="y", length=0, pad=2.0 + 72 * bar_width)
        if groups:
            groups.legend(ax, -0.02, legend, loc="upper right")
    return ax


@dataclass(frozen=True)
class _One:
    """The one RDM that is drawn."""

    square: np.ndarray
    names: list[str]
    label: str
    metric: str | None

    @classmethod
    def of(cls, rdm: RDMs | np.ndarray) -> _One:
        if isinstance(rdm, RDMs):
            if len(rdm) != 1:
                labels = ", ".join(map(repr, rdm.labels[:8]))
                raise ProbeError(f"{len(rdm)} RDMs are not one: select by label, of {labels}")
            names = list(rdm.stimulus_ids) if rdm.named else []
            label = rdm.labels[0]
        else:
            rdm, names, label = RDMs.from_array(rdm), [], ""
            if len(rdm) != 1:
                raise ProbeError(f"{len(rdm)} RDMs are not one: take a row")
        return cls(rdm.squares()[0], names, label, rdm.metric)

    @property
    def n(self) -> int:
        return len(self.square)

    def complete(self, what: str) -> _One:
        if missing := int(np.isnan(self.square).sum()) // 2:
            raise ProbeError(f"{missing} pairs are missing: {what} needs all of them")
        return self


@dataclass(frozen=True)
class _Groups:
    """Categories of the stimuli, and their colours."""

    colours: dict[str, Any]
    of_each: list[Any]

    def reordered(self, order: Sequence[int]) -> _Groups:
        return _Groups(self.colours, [self.of_each[k] for k in order])

    def legend(
        self,
        ax: Axes,
        x: float,
        legend: bool,
        loc: Literal["upper left", "upper right"] = "upper left",
    ) -> None:
        from matplotlib.patches import Patch

        explain(
            ax, legend,
            [Patch(color=colour, label=name) for name, colour in self.colours.items()],
            loc=loc, bbox_to_anchor=(x, 1.0), handlelength=1.0,
        )  # fmt: skip


def _groups(categories: Sequence[str] | None, one: _One) -> _Groups | None:
    if categories is None:
        return None
    import seaborn as sns

    names = _per_stimulus(categories, one, "categories")
    kinds = list(dict.fromkeys(names))
    palette = sns.color_palette("colorblind" if len(kinds) <= 10 else "husl", len(kinds))
    colours = dict(zip(kinds, palette, strict=True))
    return _Groups(colours, [colours[name] for name in names])


def _per_stimulus(values: Sequence[str], one: _One, what: str) -> list[str]:
    """Return one text per stimulus; a mapping or a column with an index of names goes by these."""
    try:
        texts = [str(value) for value in in_order(values, one.names, what)]
    except ValueError as error:
        raise ProbeError(str(error)) from None
    if len(texts) != one.n:
        raise ProbeError(f"{len(texts)} {what} for an RDM of {one.n} stimuli")
    return texts


@dataclass(frozen=True)
class _Gallery:
    """Pictures of the stimuli, read when they are drawn."""

    images: Pictures
    places: Sequence[int]

    @classmethod
    def of(cls, images: Pictures, one: _One) -> _Gallery:
        if isinstance(images, StimulusSet) and one.names:
            return cls(images, images.index(one.names))
        if len(images) != one.n:
            raise ProbeError(f"{len(images)} pictures for an RDM of {one.n} stimuli")
        return cls(images, range(one.n))

    def picture(self, k: int) -> Image.Image:
        """Return one picture, small, and cut out of a plain background."""
        position = self.places[k]
        if isinstance(self.images, StimulusSet):
            picture = self.images.image(position)
        else:
            picture = pictures.read(self.images[position], f"number {position}")
        picture.thumbnail((160, 160))
        return _cut_out(picture)


def _cut_out(picture: Image.Image) -> Image.Image:
    """Make the background transparent, where it is plain: of one colour in all corners."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.int16)
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    if np.ptp(corners, axis=0).max() > 6:
        return picture
    plain = np.abs(pixels - corners[0]).max(axis=2) <= 6
    regions, _ = ndimage.label(plain)
    behind = np.isin(regions, regions[[0, 0, -1, -1], [0, -1, 0, -1]])
    if behind.all() or pixels[~behind].mean() > TOO_LIGHT:
        return picture
    alpha = Image.fromarray(np.where(behind, 0, 255).astype(np.uint8))
    cut = picture.convert("RGB")
    cut.putalpha(alpha)
    return cut


def _draw(
    picture: Image.Image, ax: Axes, x: float, y: float, size: float, frame: Any = None
) -> None:
    """Draw a picture around a point of an Axes, upright whichever way its axes run."""
    longer = max(picture.size)
    wide, high = (0.5 * size * side / longer for side in picture.size)
    left, right = (x - wide, x + wide)[:: -1 if ax.xaxis_inverted() else 1]
    lower, upper = (y - high, y + high)[:: -1 if ax.yaxis_inverted() else 1]
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(
        np.asarray(picture), extent=(left, right, lower, upper), aspect=ax.get_aspect(),
        origin="upper", interpolation="antialiased", zorder=3, clip_on=False,
    )  # fmt: skip
    ax.set(xlim=limits[0], ylim=limits[1])
    if frame is not None:
        from matplotlib.patches import Rectangle

        corner = (min(left, right), min(lower, upper))
        ax.add_patch(
            Rectangle(corner, 2 * wide, 2 * high, fill=False, ec=frame, lw=1.2, zorder=3.1)
        )


def _strip(ax: Axes, side: str, start: float, n: int, depth: float, width: float = 0.0) -> Axes:
    """Open a strip beside an Axes: one of its coordinates counts stimuli, the other goes away.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    side : {'left', 'right', 'bottom'}
    start : float
        How far away it begins, in inches.
    n : int
        How many stimuli lie along the side.
    depth : float
        The other coordinate goes from 0 to here.
    width : float
        In inches; by default, both coordinates have the same scale.
    """
    strip = ax.inset_axes((0.0, 0.0, 1.0, 1.0))
    if side == "bottom":
        strip.set(xlim=(-0.5, n - 0.5), ylim=(depth, 0.0))
    else:
        strip.set(xlim=(depth, 0.0) if side == "left" else (0.0, depth), ylim=(n - 0.5, -0.5))
    strip.set_axis_off()

    # Asked at every drawing: the shape of a user's Axes changes until its layout is made.
    def place(strip: Any, renderer: Any) -> Bbox:
        box = ax.get_window_extent()
        along = box.width if side == "bottom" else box.height
        dpi = ax.get_figure(root=True).dpi  # type: ignore[union-attr]
        near = start * dpi
        far = near + (width * dpi or depth * along / n)
        if side == "bottom":
            bounds = Bbox.from_extents(box.x0, box.y0 - far, box.x1, box.y0 - near)
        elif side == "left":
            bounds = Bbox.from_extents(box.x0 - far, box.y0, box.x0 - near, box.y1)
        else:
            bounds = Bbox.from_extents(box.x1 + near, box.y0, box.x1 + far, box.y1)
        return bounds.transformed(strip.figure.transSubfigure.inverted())

    strip.set_axes_locator(place)
    return strip


def _below_the_legend(ax: Axes) -> Any:
    """Place a colour bar to the right of an Axes, under its legend or else beside that."""

    def place(bar: Any, renderer: Any) -> Bbox:
        box, legend = ax.get_window_extent(), ax.get_legend()
        left, top = box.x0 + 1.04 * box.width, box.y1
        if legend is not None:
            taken = legend.get_window_extent(renderer)
            top = taken.y0 - 0.04 * box.height
            needed = bar.yaxis.label.get_window_extent(renderer).height
            if top < box.y0 + max(0.3 * box.height, needed):
                left, top = taken.x1 + 0.04 * box.width, box.y1
        bounds = Bbox.from_extents(left, box.y0, left + 0.035 * box.width, top)
        return bounds.transformed(bar.figure.transSubfigure.inverted())

    return place


def _bar_of(groups: _Groups, ax: Axes, side: str) -> float:
    """Draw categories beside an Axes; returns how far the bar reaches, in inches.

    Names stand beyond it, by points: a share of an Axes that has still to grow would cover them.
    """
    n = len(groups.of_each)
    width = float(np.clip(0.025 * min(room(ax)), 0.04, 0.12))
    strip = _strip(ax, side, 0.4 * width, n, 1.0, width=width)
    colours = np.array([[colour[:3] for colour in groups.of_each]])
    if side == "bottom":
        strip.imshow(colours, extent=(-0.5, n - 0.5, 1.0, 0.0), aspect="auto")
    else:
        colours = colours.transpose(1, 0, 2)
        strip.imshow(colours, extent=(*strip.get_xlim(), n - 0.5, -0.5), aspect="auto")
    return 1.4 * width


def _line_up(gallery: _Gallery, ax: Axes, side: str, start: float, order: Sequence[int]) -> None:
    """Draw pictures along a side of an Axes."""
    n = len(order)
    row = inches(ax)[0 if side == "bottom" else 1] / n
    # In a user's Axes, what stands beside the matrix is taken from it.
    most = MAX_ROWS if is_own(ax) else int(np.clip(0.25 * min(room(ax)) / LEGIBLE, 1, MAX_ROWS))
    n_rows = int(np.clip(math.ceil(LEGIBLE / row), 1, most))
    step = max(math.ceil(LEGIBLE / (n_rows * row)), 1)
    size = min(n_rows * step, 0.6 / row)  # in stimuli
    strip = _strip(ax, side, start + 0.01 * min(room(ax)), n, n_rows * size)
    for count, k in enumerate(range(0, n, step)):
        away = (count % n_rows + 0.5) * size
        x, y = (k, away) if side == "bottom" else (away, k)
        _draw(gallery.picture(order[k]), strip, x, y, 0.96 * size)


def _scaled(distances: np.ndarray, metric: bool, seed: int) -> tuple[np.ndarray, float]:
    """Place stimuli in a plane; returns the points, shape (n, 2), and Kruskal's stress-1."""
    from sklearn.isotonic import IsotonicRegression
    from sklearn.manifold import smacof

    square = squareform(distances)
    n = len(square)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ square**2 @ centring)
    classical = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0.0))
    rng = np.random.default_rng(seed)
    spread = max(float(classical.std()), 1e-6 * float(distances.max()))
    best: tuple[np.ndarray, float] | None = None
    for start in (classical, *(spread * rng.normal(size=(4, n, 2)))):
        points, _ = smacof(
            square, metric=metric, init=start, n_init=1, max_iter=500, eps=1e-7,
            normalized_stress=False,
        )  # fmt: skip
        distances_2d = pdist(points)
        target = (
            distances if metric else IsotonicRegression().fit_transform(distances, distances_2d)
        )
        # The scale of the plane is free: that which fits best.
        target = target * (distances_2d @ target) / max(target @ target, np.finfo(float).tiny)
        stress = float(np.sqrt(((distances_2d - target) ** 2).sum() / (distances_2d**2).sum()))
        if best is None or stress < best[1] - 1e-9:
            best = points, stress
    assert best is not None
    # The plane may be turned at will: the widest spread lies level.
    centred = best[0] - best[0].mean(axis=0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    return turned * np.where(np.abs(turned).max(axis=0) > turned.max(axis=0), -1.0, 1.0), best[1]


def _percentiles(square: np.ndarray) -> np.ndarray:
    """Replace the distances by the share of distances below them, in percent; ties share theirs."""
    condensed = square[np.triu_indices(len(square), 1)]
    present = np.isfinite(condensed)
    ranks = np.full_like(condensed, np.nan)
    ranks[present] = 100.0 * (stats.rankdata(condensed[present]) - 0.5) / max(present.sum(), 1)
    return squareform(ranks, checks=False)


def _fits(ax: Axes, n: int) -> bool:
    """Return whether n lines of text fit along the sides of an Axes."""
    high = inches(ax)[1] if is_own(ax) else 0.55 * min(room(ax))
    return n * 1.15 * points("ytick.labelsize") / 72 <= high
