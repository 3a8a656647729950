"""Where results are drawn: in the user's Axes or Figure, or in one of our own.

One idiom for all functions of this package: what has one panel takes ``ax=``, what has several
takes ``figure=`` (a `matplotlib.figure.Figure` or `SubFigure` without Axes yet); without, a new
figure is made, as large as its content asks for. ``legend=False`` leaves the legend out.

Where there is less room than a figure of our own would take, letters shrink, down to 6 points;
titles and labels are broken into lines; of names along an axis as many are written as have room,
whatever the layout makes of the Axes; and of many panels or layers fewer are drawn.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.ticker import FuncFormatter, Locator
from matplotlib.transforms import ScaledTranslation

from probe.output.pictures import FIGURE_STYLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure

SMALLEST = 6.0
"""Points of the smallest letters."""

ROOMY = (5.0, 3.6)
"""Width and height, in inches, from which on letters in a user's Axes are as large as the user's
settings say."""

BESIDE = 0.46
"""Share of a user's Axes' room that a legend beside it may take."""

TOGETHER = "\u00a0"
"""A space at which no line ends."""

LINE_HEIGHT = 1.25
"""Distance of lines of text, in letters' sizes."""

FONT_KEYS = ("font.size", "axes.labelsize", "axes.titlesize", "legend.fontsize",
             "legend.title_fontsize", "xtick.labelsize", "ytick.labelsize")  # fmt: skip


def drawn_layers(table: pd.DataFrame, most: int) -> list[str]:
    """Return the layers of a table, in its order; of more than ``most``, so many, evenly chosen."""
    layers = list(dict.fromkeys(table["layer"]))
    if len(layers) > most:
        layers = [layers[round(k)] for k in np.linspace(0, len(layers) - 1, most)]
    return list(dict.fromkeys(layers))


def letters_of(axis: Axis) -> float:
    """Return the size of an axis's tick labels, in points."""
    return float(axis.get_major_ticks(1)[0].label1.get_fontsize())


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of an Axes, in a layout that is not made yet, roughly."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # it lies in one
    wide, high = ax.get_position().size * figure.get_size_inches()
    if ax.get_aspect() == "auto":
        return float(wide), float(high)
    return (float(min(wide, high)),) * 2


def is_own(ax: Axes) -> bool:
    """Return whether an Axes lies in a figure of our own, which grows with what stands beside."""
    from probe.plots.own_axes import OwnAxes

    return isinstance(ax, OwnAxes)


def room(ax: Axes) -> tuple[float, float]:
    """Return width and height, in inches, that an Axes and all that stands around it may take.

    In a grid of Axes, its part of the figure, which the layout divides; an Axes with a place of its
    own has what the figure has. Of a figure of ours, the size of the Axes alone.
    """
    figure: Any = ax.get_figure(root=False)
    size = figure.bbox.size / figure.get_figure(root=True).dpi
    if is_own(ax):
        size = size * ax.get_position(original=True).size
    elif (spec := ax.get_subplotspec()) is not None:
        grid: Any = spec.get_gridspec()
        widths = grid.get_width_ratios() or [1] * grid.ncols
        heights = grid.get_height_ratios() or [1] * grid.nrows
        size = size * (
            sum(widths[spec.colspan.start : spec.colspan.stop]) / sum(widths),
            sum(heights[spec.rowspan.start : spec.rowspan.stop]) / sum(heights),
        )
    return float(size[0]), float(size[1])


def points(name: str) -> float:
    """Return a font size of the settings, in points."""
    from matplotlib.font_manager import FontProperties

    settings: Any = mpl.rcParams
    size = settings[name]
    if size is None:  # of a legend's title: that of the legend
        size = settings["legend.fontsize"]
    return float(FontProperties(size=size).get_size_in_points())


@functools.lru_cache(4096)
def _width(line: str, size: float, family: tuple[str, ...]) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=list(family), size=size)
    wide, _, _ = text_to_path.get_text_width_height_descent(line, font, ismath=False)
    return 1.04 * float(wide) / 72  # on a screen, letters stand on whole pixels


def width_of(text: str, size: float) -> float:
    """Return the width of a text's longest line, in inches, at so many points."""
    family = tuple(mpl.rcParams["font.family"])
    return max(_width(line, float(size), family) for line in text.split("\n"))


def broken(text: str, wide: float, size: float) -> str:
    """Break a text into lines of so many inches at most, at so many points.

    Lines are as even as their number allows. Words are broken only where one alone is too wide: at
    a sign between parts of a name, or anywhere. A number is never parted from its ``%``.
    """
    lines = []
    for line in re.sub(r"(?<=\d) %", f"{TOGETHER}%", text).split("\n"):
        parts = _lines(line, wide, size)
        if len(parts) > 1:
            # The narrowest that takes no more lines leaves no single word on the last.
            low, high = wide / 2, wide
            for _ in range(6):
                middle = (low + high) / 2
                closer = _lines(line, middle, size)
                if len(closer) == len(parts) and len(_words(closer)) == len(_words(parts)):
                    parts, high = closer, middle
                else:
                    low = middle
        lines += parts
    return "\n".join(lines).replace(TOGETHER, " ")


def _words(lines: Sequence[str]) -> list[str]:
    return " ".join(lines).split(" ")


def _lines(line: str, wide: float, size: float) -> list[str]:
    """Fill lines of so many inches with words, or with parts of those that are wider."""
    lines = [""]
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer, size) <= wide:
            lines[-1] = longer
            continue
        pieces = [word] if width_of(word, size) <= wide else _pieces(word, wide, size)
        if not lines[-1]:
            lines.pop()
        lines += pieces
    return lines


def _pieces(word: str, wide: float, size: float) -> list[str]:
    """Break a word that is too wide behind the signs between its parts, else between letters."""
    parts = re.findall(r"[^\W_]+[\W_]*|[\W_]+", word)
    letters = [part if width_of(part, size) <= wide else list(part) for part in parts]
    pieces = [""]
    for part in itertools.chain.from_iterable([x] if isinstance(x, str) else x for x in letters):
        if pieces[-1] and width_of(pieces[-1] + part, size) > wide:
            pieces.append(part)
        else:
            pieces[-1] += part
    return pieces


def cut(text: str, wide: float, size: float) -> str:
    """Shorten what is wider than so many inches: in the middle, as names differ in their ends."""
    if width_of(text, size) <= wide:
        return text
    for most in range(len(text) - 1, 3, -1):
        start = (most - 1) // 2
        short = f"{text[:start]}…{text[len(text) - (most - 1 - start) :]}"
        if width_of(short, size) <= wide:
            return short
    return short if len(text) > 4 else text


def _in_common(texts: Sequence[str]) -> int:
    """Return how many letters all begin with."""
    low, high = min(texts), max(texts)
    same = [a == b for a, b in zip(low, high, strict=False)]
    return same.index(False) if False in same else len(same)


def cut_all(texts: Sequence[str], wide: float, size: float) -> list[str]:
    """Shorten texts of which one is wider than so many inches, so that they stay different.

    First goes what all begin and end with, then the middle.
    """
    texts = list(texts)
    if not texts or max(width_of(text, size) for text in texts) <= wide:
        return texts
    if len(set(texts)) > 1:
        first = _in_common(texts)
        last = _in_common([text[first:][::-1] for text in texts])
        # Whole parts of a name remain where they have room: 012 and 013, not 2 and 3.
        start, end = texts[0][:first], texts[0][len(texts[0]) - last :]
        signs = "./_-: "
        whole = (
            max(start.rfind(sign) for sign in signs) + 1,
            len(end) - min((end.find(sign) for sign in signs if sign in end), default=len(end)),
        )
        parts = _inner(texts, *whole)
        if max(width_of(text, size) for text in parts) > wide:
            parts = _inner(texts, first, last)
    else:
        parts = texts
    short = [cut(text, wide, size) for text in parts]
    for one in set(short):
        alike = [k for k, other in enumerate(short) if other == one]
        same = {texts[k] for k in alike}
        if 1 < len(same) < len(set(texts)):  # what these have in common, all have not
            closer = cut_all([texts[k] for k in alike], wide, size)
            for k, text in zip(alike, closer, strict=True):
                short[k] = text
    return [re.sub("…+", "…", text) for text in short]


def _inner(texts: Sequence[str], first: int, last: int) -> list[str]:
    """Leave out so many letters at the beginning and the end of each."""
    return [
        f"{'…' if first > 1 else text[:first]}{text[first : len(text) - last]}"
        f"{'…' if last > 1 else text[len(text) - last :]}"
        for text in texts
    ]


@contextlib.contextmanager
def own_figure(ax: Axes | None, width: float, height: float) -> Iterator[Axes]:
    """Return the user's Axes, with the user's settings, or a new one of a size, with ours.

    Of a user's Axes that is small, letters are smaller than the settings say. A new figure is as
    large as the Axes and all that stands around it; its layout stays constrained, so that what is
    added later has room, too.
    """
    if ax is not None:
        wide, high = room(ax)
        shrink = min(1.0, wide / ROOMY[0], high / ROOMY[1])
        sizes: dict[Any, Any] = {
            key: min(points(key), max(SMALLEST, shrink * points(key))) for key in FONT_KEYS
        }
        with mpl.rc_context(sizes if shrink < 1 else {}):
            if shrink < 1:
                for axis, key in ((ax.xaxis, "xtick.labelsize"), (ax.yaxis, "ytick.labelsize")):
                    axis.set_tick_params(labelsize=sizes[key])
                    axis.label.set_fontsize(sizes["axes.labelsize"])
                    axis.get_offset_text().set_fontsize(sizes[key])
            yield ax
        figure: Any = ax.get_figure(root=True)
        engine = figure.get_layout_engine()
        if isinstance(engine, TightLayoutEngine) or (
            engine and (ax.get_aspect() != "auto" or ax.child_axes)
        ):
            _settle(figure, ax)
        elif engine is None:
            _fit(figure, ax)
        return
    from matplotlib import pyplot as plt

    from probe.plots.own_axes import OwnAxes

    with mpl.rc_context(FIGURE_STYLE):
        # Constrained from the start: a colour bar takes its place by the layout that there is.
        figure = plt.figure(figsize=(width, height), dpi=200, layout="constrained")
        grid = figure.add_gridspec(1, 1, left=0.0, right=1.0, bottom=0.0, top=1.0)
        ax = figure.add_subplot(grid[0, 0], axes_class=OwnAxes)
        try:
            yield ax
        except BaseException:
            plt.close(figure)
            raise
        _grow(figure, ax, width, height)


def _settle(figure: Any, ax: Axes) -> None:
    """Lay a figure out until an Axes stays as it is.

    A layout measures what stands beside an Axes before it shrinks it. Names are at their last
    places at the second attempt; what has a shape of its own shrinks more, and needs a few.
    """
    _move_left(ax)
    before = np.zeros(8)
    for _ in range(1 if ax.get_aspect() == "auto" else 8):
        _lay_out(figure)
        after = np.concatenate([ax.get_position(original=own).extents for own in (True, False)])
        if np.abs(after - before).max() < 0.003:
            break
        before = after


def _fit(figure: Any, ax: Axes) -> None:
    """Move the margins of a figure without a layout so far that nothing of an Axes is cut.

    A legend beside the Axes would be, or lie on the next Axes, unless the user knew to ask for a
    layout.
    """
    _move_left(ax)
    for _ in range(4):
        figure.draw_without_rendering()
        is_cut = _widen_margins(figure, ax)
        if not (_widen_gaps(figure, ax) or is_cut):
            return


def _widen_margins(figure: Any, ax: Axes) -> bool:
    """Move an Axes, or the margins of its grid, into the figure; return whether it moved."""
    edge = 0.08 * figure.dpi  # letters are wider at some resolutions than at others
    outer = ax.get_tightbbox()
    assert outer is not None  # it is visible
    inside, canvas = figure.bbox.padded(-edge), figure.bbox
    left, low = np.maximum(inside.min - outer.min, 0.0) / canvas.size
    right, top = np.maximum(outer.max - inside.max, 0.0) / canvas.size
    if max(left, low, right, top) * max(canvas.size) < 1.0:
        return False
    in_grid, margins = ax.get_subplotspec() is not None, figure.subplotpars
    x0, y0, x1, y1 = ax.get_position(original=True).extents
    if in_grid:
        x0, y0, x1, y1 = margins.left, margins.bottom, margins.right, margins.top
    x0, x1, y0, y1 = x0 + left, x1 - right, y0 + low, y1 - top
    if x1 - x0 < 0.1 or y1 - y0 < 0.1:
        return False  # what is beside leaves no room
    if in_grid:
        figure.subplots_adjust(x0, y0, x1, y1)
    else:
        ax.set_position((x0, y0, x1 - x0, y1 - y0))
    return True


def _widen_gaps(figure: Any, ax: Axes) -> bool:
    """Move the Axes of a grid apart where one lies on another; return whether they moved."""
    spec = ax.get_subplotspec()
    if spec is None:
        return False
    grid, outer, edge = spec.get_gridspec(), ax.get_tightbbox(), 0.08 * figure.dpi
    assert outer is not None
    in_rows, in_columns = [0.0], [0.0]  # pixels by which one lies on another
    for other in figure.axes:
        its_spec, its_outer = other.get_subplotspec(), other.get_tightbbox()
        if other is ax or its_spec is None or its_outer is None:
            continue
        if its_spec.get_gridspec() is not grid:
            continue
        if set(spec.rowspan) & set(its_spec.rowspan):
            first, second = sorted((outer, its_outer), key=lambda box: box.x0 + box.x1)
            in_rows.append(first.x1 + edge - second.x0)
        elif set(spec.colspan) & set(its_spec.colspan):
            first, second = sorted((outer, its_outer), key=lambda box: box.y0 + box.y1)
            in_columns.append(first.y1 + edge - second.y0)
    margins, moved = figure.subplotpars, False
    for name, lack, n, low, high, size in (
        ("wspace", max(in_rows), grid.ncols, margins.left, margins.right, figure.bbox.width),
        ("hspace", max(in_columns), grid.nrows, margins.bottom, margins.top, figure.bbox.height),
    ):
        if lack < 1.0:
            continue
        # Between Axes, as a share of their mean size, which shrinks as what is between grows.
        total = (high - low) * size
        space = getattr(margins, name)
        gap = space * total / (n + space * (n - 1)) + lack
        if (mean := (total - gap * (n - 1)) / n) > 0.1 * total / n:
            figure.subplots_adjust(**{name: gap / mean})
            moved = True
    return moved


def _move_left(ax: Axes) -> None:
    """Let what has a shape of its own stand at the left end of its place.

    In the middle it moves with what stands beside, and a layout is never done: a legend is cut when
    a title is set later. At the left end only the blank space changes.
    """
    if ax.get_aspect() != "auto" and ax.axison and ax.get_anchor() == "C":
        ax.set_anchor("W")


def _lay_out(figure: Any) -> None:
    """Give the Axes of a figure their places, as drawing it does before it draws."""
    figure.get_layout_engine().execute(figure)


def _grow(figure: Figure, ax: Axes, width: float, height: float) -> None:
    """Make a figure so large that its only Axes has a size, whatever stands around it."""
    _move_left(ax)
    title = ax.get_title(loc="left")
    ax.set_title("", loc="left", fontsize=ax._left_title.get_fontsize())  # type: ignore[attr-defined]
    outer = ax.get_tightbbox()
    assert outer is not None  # it is visible
    inner = ax.get_window_extent().frozen()  # it would grow with the figure
    beside = (outer.width - inner.width) / figure.dpi, (outer.height - inner.height) / figure.dpi
    pad = 2 * 0.06
    # A title may stand over the legend: it is broken for the whole width.
    if title:
        size = ax._left_title.get_fontsize()  # type: ignore[attr-defined]
        left = max(inner.x0 - outer.x0, 0.0) / figure.dpi
        whole = max(width + beside[0] - left, 2.0)
        title = broken(title, whole, size)
        ax.set_title(title, loc="left", fontsize=size)
        beside = (beside[0], beside[1] + (title.count("\n") + 1.5) * LINE_HEIGHT * size / 72)
        beside = (max(beside[0], left + width_of(title, size) - width), beside[1])
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    figure.set_size_inches(width + beside[0] + pad, height + beside[1] + pad)
    if ax.get_aspect() != "auto":  # no room beside what has a shape of its own
        width, height = inner.width / figure.dpi, inner.height / figure.dpi + 0.04
    for _ in range(4):
        _lay_out(figure)
        wide, high = ax.get_position(original=True).size * figure.get_size_inches()
        outer = ax.get_tightbbox()
        assert outer is not None  # it is visible
        across, down = figure.get_size_inches()
        # What is beside may be as wide as the Axes are: it is measured again.
        more = (
            max(width - wide, outer.width / figure.dpi + pad - across),
            max(height - high, outer.height / figure.dpi + pad - down),
        )
        if max(map(abs, more)) < 0.004:
            break
        figure.set_size_inches(across + more[0], down + more[1])
    if ax.get_aspect() != "auto" and ax.axison:
        # Once higher than it need be: from then on its width decides how large it is, and it does
        # not grow, over what stands beside, when a shorter title is set later.
        across, down = figure.get_size_inches()
        for more_down in (0.5, 0.5, 0.0):
            figure.set_size_inches(across, down + more_down)
            _lay_out(figure)


@dataclass(frozen=True)
class Canvas:
    """A figure of several panels, and how large its letters are.

    Attributes
    ----------
    figure : Figure or SubFigure
    width, height : float
        Its size, in inches.
    shrink : float
        As a share of the size that its content asks for; 1 at most.
    """

    figure: Any
    width: float
    height: float
    shrink: float

    def points(self, size: float) -> float:
        """Return how large letters are that would have so many points."""
        return max(SMALLEST, min(size, size * self.shrink))

    def head(self, title: str, size: float = 9, *, beside: float = 0.0) -> None:
        """Write a title above all, in as many lines as it takes.

        A legend at the right may take so many inches of the width: it begins at the very top.
        """
        size = self.points(size)
        text = broken(title, 0.96 * self.width - beside, size)
        self.figure.suptitle(text, x=0.01, ha="left", fontsize=size)

    def explain(self, handles: Sequence[Any], labels: Sequence[str], size: float = 8) -> None:
        """Draw a legend below all, in as many columns as have room."""
        if not handles:
            return
        size = self.points(size)
        wide = 0.96 * self.width - 3 * size / 72
        labels = [broken(label, wide, size) for label in labels]
        column = max(width_of(label, size) for label in labels) + 5 * size / 72
        self.figure.legend(
            handles, labels, loc="outside lower left", fontsize=size,
            ncols=int(np.clip((wide + 3 * size / 72) / column, 1, len(labels))),
        )  # fmt: skip


@contextlib.contextmanager
def own_panels(figure: Figure | SubFigure | None, width: float, height: float) -> Iterator[Canvas]:
    """Return the user's Figure, or a new one of a size, in our settings and constrained layout.

    In a smaller figure than that, letters are smaller.
    """
    from matplotlib import pyplot as plt

    new = figure is None
    # Settings are ours in both: sizes of letters in small panels depend on each other.
    with mpl.rc_context(FIGURE_STYLE):
        if figure is None:
            figure = plt.figure(figsize=(width, height), dpi=200, layout="constrained")
        else:
            # Panels, legends and titles find their places by this layout alone.
            figure.get_figure(root=True).set_layout_engine("constrained")
        root: Any = figure.get_figure(root=True)
        wide, high = (float(side) for side in np.asarray(figure.bbox.size) / root.dpi)
        canvas = Canvas(figure, wide, high, min(1.0, wide / width, high / height))
        of_settings: dict[Any, Any] = {key: canvas.points(points(key)) for key in FONT_KEYS}
        with mpl.rc_context(of_settings):
            try:
                yield canvas
            except BaseException:
                if new:
                    plt.close(root)
                raise


def head(ax: Axes, title: str, *, size: float | None = None) -> None:
    """Write a title above an Axes, broken into lines.

    In a user's Axes it stands where the user's settings say, and a title that is set later takes
    its place.
    """
    own = is_own(ax)
    size = size or points("axes.titlesize")
    if own:
        ax.set_title(title, fontsize=size)
        return
    wide, _ = room(ax)
    # On the left, it may stand above the legend, too.
    length = (0.86 if mpl.rcParams["axes.titlelocation"] == "left" else 0.6) * wide
    if ax.get_aspect() != "auto" and ax.axison:
        # A square would grow when a shorter title is set later, over what stands beside it.
        size = max(
            SMALLEST, min(size, size * length / max(width_of(title, size), 1e-9)), 0.7 * size
        )
        ax.set_title(cut(" ".join(title.split()), length, size), fontsize=size)
        return
    if title.count("\n") + width_of(title, size) / length > 3:  # more than three lines
        size = max(SMALLEST, 0.75 * size)
    ax.set_title(broken(title, length, size), fontsize=size)


def name_axes(ax: Axes, xlabel: str = "", ylabel: str = "") -> None:
    """Write what is on the axes, broken into lines that are no longer than the Axes."""
    wide, high = room(ax)
    share = 1.0 if is_own(ax) else 0.6
    if ax.get_aspect() != "auto":  # as wide as high, or nearly, with much beside
        wide = high = min(wide, high)
        share = 1.0 if is_own(ax) else 0.45
    for text, label, length in ((xlabel, ax.xaxis.label, wide), (ylabel, ax.yaxis.label, high)):
        if text:
            label.set_text(broken(text, max(share * length, 0.5), float(label.get_fontsize())))


def explain(
    ax: Axes,
    legend: bool,
    handles: Sequence[Any] | None = None,
    labels: Sequence[str] | None = None,
    *,
    title: str = "",
    last: str = "",
    above: float = 0.0,
    **options: Any,
) -> None:
    """Draw the legend of an Axes beside it, broken into lines and as small as its room asks for.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    legend : bool
        Otherwise there is none.
    handles, labels : sequence, optional
        By default what in the Axes has a label.
    title : str
    last : str
        What is written at the end of the x axis, beyond which the legend begins.
    above : float
        How many inches above the Axes it begins, beside what stands there.
    **options
        Of `matplotlib.axes.Axes.legend`.
    """
    if handles is None:
        handles, labels = ax.get_legend_handles_labels()
    elif labels is None:
        labels = [handle.get_label() for handle in handles]
    assert labels is not None
    if not legend or not (handles or title):
        if (old := ax.get_legend()) is not None:
            old.remove()
        return
    own = is_own(ax)
    wide, high = room(ax)
    square = ax.get_aspect() != "auto"
    # A square is as high as it is wide: a wider legend would take both.
    most = 0.75 * BESIDE * wide if square else 0.6 * wide
    share = 0.75 * BESIDE if square else BESIDE
    part = 0.76 if square else 0.72
    # A layout keeps an edge of so many inches and a title free, however small the figure is: it
    # makes an Axes ever smaller of which the legend is higher than what remains.
    wide, high = (2.1, 12.0) if own else (share * wide, min(part * high, max(high - 0.6, 0.5)))
    size, spacing, whole = points("legend.fontsize"), 0.4, True
    while True:
        handle = (2.9 if len(handles) else 0.3) * size / 72  # and its distance from the text
        room_of_text = max(wide - handle, 0.3)
        if whole:
            texts = [broken(label, room_of_text, size) for label in labels]
        else:
            texts = cut_all([" ".join(label.split()) for label in labels], room_of_text, size)
        heading = broken(title, max(wide, 0.4), size) if title else ""
        n_lines = sum(1 + text.count("\n") for text in texts)
        n_lines += 1 + heading.count("\n") if heading else 0
        tall = (LINE_HEIGHT * n_lines + spacing * len(texts)) * size / 72
        if tall <= high:
            break
        if size > SMALLEST:
            size = max(SMALLEST, 0.9 * size)
        elif wide < most:
            wide = min(1.1 * wide, most)
        elif spacing > 0.05:
            spacing = 0.05
        elif whole:
            whole = False
        else:
            break
    away = 0.0 if own else 0.03 + width_of(last, points("xtick.labelsize")) / 2
    options = {
        "loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0,
        "bbox_transform": ax.transAxes + ScaledTranslation(away, above, ax.figure.dpi_scale_trans),
        "handlelength": 2.0, "alignment": "left", "labelspacing": spacing, "frameon": False,
        "borderpad": 0.1, **options,
    }  # fmt: skip
    ax.legend(handles, texts, title=heading or None, fontsize=size, title_fontsize=size, **options)
    if not own and not square and options["loc"] == "upper left":
        _make_way(ax, max(width_of(text, size) for text in [heading, *texts]) + handle + away)


def _make_way(ax: Axes, taken: float) -> None:
    """Let the name of the x axis end where the Axes do, if a legend of so many inches is beside.

    It may begin below the numbers of the y axis, which would be left blank.
    """
    label, of_numbers = ax.xaxis.label, 0.5
    size = float(label.get_fontsize())
    rest = max(room(ax)[0] - taken - of_numbers - 0.1, 0.0)
    if width_of(label.get_text(), size) > rest:
        text = broken(label.get_text().replace("\n", " "), max(rest + of_numbers, 0.5), size)
        ax.set_xlabel(text, loc="right")


class _Legible(Locator):
    """Ticks at some values, of which as many are drawn as have room for their labels.

    Asked at every drawing, as the locators of matplotlib are: it knows how large the layout has
    made the Axes.
    """

    def __init__(self, values: Any, labels: Sequence[str], turned: bool) -> None:
        self.values = np.asarray(values, dtype=float)
        self.labels, self.turned = list(labels), turned

    def __call__(self) -> Any:
        axis: Any = self.axis
        ax = axis.axes
        index = 0 if axis.axis_name == "x" else 1
        if len(self.values) < 2:
            return self.values
        at = np.zeros((len(self.values), 2))
        at[:, index] = self.values
        at[:, 1 - index] = (ax.get_ylim() if index == 0 else ax.get_xlim())[0]
        where = ax.transData.transform(at)[:, index] * 72 / ax.get_figure(root=True).dpi
        size = letters_of(axis)
        lines = 1 + max(label.count("\n") for label in self.labels)
        if index == 1:
            needed = 1.2 * size * lines
        elif self.turned:
            needed = 1.2 * size * lines / np.sin(np.pi / 4)
        else:
            widths = [72 * width_of(label, size) for label in self.labels]
        for step in range(1, len(self.values)):
            chosen = slice(None, None, step)
            if index == 0 and not self.turned:
                w = np.array(widths[chosen])
                needed = (w[1:] + w[:-1]) / 2 + 0.5 * size
            if (np.abs(np.diff(where[chosen])) >= needed).all():
                return self.values[chosen]
        return self.values[:1]

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks; they do not depend on the limits."""
        return self()


def name_ticks(
    axis: Axis, values: Sequence[float] | np.ndarray, labels: Sequence[str], *, turned: bool = False
) -> None:
    """Set ticks with labels; where the layout leaves no room for all, every second, third, … ."""
    texts = dict(zip(map(float, values), labels, strict=True))

    def text(value: float, _: int | None) -> str:
        return texts.get(value) or texts[min(texts, key=lambda tick: abs(tick - value))]

    axis.set_major_locator(_Legible(values, labels, turned))
    axis.set_major_formatter(FuncFormatter(text))


LOOKS_MARKERS = "osD^vPX*"
LOOKS_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))


def looks_of_layers(n: int, *, markers: bool = True) -> list[dict[str, Any]]:
    """Return how the lines of layers look, from the first layer to the last.

    Colours run from light to dark as the layers do, on one scale that people with and without
    colour blindness read alike (cividis), without its lightest tenth, which white paper hides; as
    neighbours are close on it, lines and markers change from each to the next. Eight lines differ
    in their marker, and every line from its neighbours in both.

    Parameters
    ----------
    n : int
    markers : bool
        Whether lines have markers; curves over many times have none.
    """
    shades = np.linspace(0.88, 0.0, n) if n > 1 else np.zeros(1)
    colours = mpl.colormaps["cividis"](shades)
    return [
        {
            "color": tuple(float(v) for v in colours[k, :3]),
            "ls": LOOKS_LINES[k % len(LOOKS_LINES)],
            **({"marker": LOOKS_MARKERS[k % len(LOOKS_MARKERS)]} if markers else {}),
        }
        for k in range(n)
    ]


def looks_of_kinds(n: int, *, markers: bool = False) -> list[dict[str, Any]]:
    """Return how lines look that have no order (methods, networks, regions).

    Colours that the colour-blind tell apart (Wong 2011, Nat Methods 8:441, as seaborn has them),
    and lines and markers of their own, which grey print tells apart, too.

    Parameters
    ----------
    n : int
    markers : bool
        Whether lines have markers of their own.
    """
    import seaborn as sns

    colours = sns.color_palette("colorblind")
    del colours[8]  # yellow, on white
    return [
        {
            "color": colours[k % len(colours)],
            "ls": LOOKS_LINES[(k + k // len(colours)) % len(LOOKS_LINES)],
            **({"marker": LOOKS_MARKERS[k % len(LOOKS_MARKERS)]} if markers else {}),
        }
        for k in range(n)
    ]
