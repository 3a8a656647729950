"""Whether every text of a figure can be read: none leaves the canvas or lies over another."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from unittest import mock

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TOLERANCE = 1.0
"""Pixels by which boxes may overlap or leave the canvas: they are a little larger than letters."""

SMALLEST = 6.0
"""Points of the smallest letters that are read in print."""

LEAST = 0.2
"""Inches that a panel is wide and high, at least: what is less shows nothing."""


def faults(figure: Figure, *, tolerance: float = TOLERANCE, least: float = LEAST) -> list[str]:
    """Draw a figure, and return what is wrong with it, a sentence each; empty if nothing is.

    Texts that are really drawn are compared by their turned boxes: those that leave the canvas,
    overlap another, or lie below a legend of which they are no part; legends that leave the canvas
    or overlap; letters below 6 points; panels that the layout left no room, or could not lay out.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with _drawn_texts() as texts:
            figure.canvas.draw()
    found = [f"layout: {w.message}" for w in caught if "layout" in str(w.message)]
    if any("not applied" in text for text in found):
        return found  # all else would follow from it
    wide, high = figure.bbox.width, figure.bbox.height
    boxes = {text: _corners(text) for text in texts}
    for text, corners in boxes.items():
        (left, low), (right, top) = corners.min(0), corners.max(0)
        out = max(-left, -low, right - wide, top - high)
        if out > tolerance:
            found.append(f"cut: {_name(text)} by {out:.1f} px")
        if text.get_fontsize() < SMALLEST - 1e-6:
            found.append(f"small: {_name(text)} has {text.get_fontsize():.1f} points")
    for (a, of_a), (b, of_b) in itertools.combinations(boxes.items(), 2):
        if (deep := _overlap(of_a, of_b)) > tolerance:
            found.append(f"overlap: {_name(a)} and {_name(b)} by {deep:.1f} px")
    legends = _legends(figure)
    frames = [(legend, _rectangle(legend.get_window_extent())) for legend in legends]
    for legend, frame in frames:
        shown = frame
        if not legend.get_frame_on():
            # What is seen of it; its box has an edge of several pixels, which may leave the canvas.
            parts = [*legend.get_texts(), legend.get_title(), *legend.legend_handles]
            boxes_of_parts = [part.get_window_extent() for part in parts if part is not None]
            shown = _rectangle(Bbox.union([box for box in boxes_of_parts if box.width > 0]))
        (left, low), (right, top) = shown.min(0), shown.max(0)
        out = max(-left, -low, right - wide, top - high)
        if out > tolerance:
            found.append(f"cut: legend of {_name(legend.get_texts()[0])} by {out:.1f} px")
        parts = {*legend.get_texts(), legend.get_title()}
        for text, corners in boxes.items():
            if text not in parts and (deep := _overlap(frame, corners)) > tolerance:
                found.append(f"covers: legend lies over {_name(text)} by {deep:.1f} px")
    for (_, a), (_, b) in itertools.combinations(frames, 2):
        if (deep := _overlap(a, b)) > tolerance:
            found.append(f"covers: two legends lie over each other by {deep:.1f} px")
    for ax in figure.axes:
        if _is_panel(ax):
            box = ax.get_window_extent()
            if min(box.width, box.height) < least * figure.dpi - tolerance:
                size = f"{box.width / figure.dpi:.2f} × {box.height / figure.dpi:.2f} in"
                found.append(f"crushed: a panel of {size}")
    return found


@contextlib.contextmanager
def _drawn_texts() -> Iterator[list[Text]]:
    """Record the texts that are drawn: not those of hidden ticks, or of an axis that is off.

    A renderer isn't told which text it draws if that has several lines: the text itself is asked.
    """
    texts: dict[Text, None] = {}
    current: list[Text] = []
    draw, draw_text = Text.draw, RendererAgg.draw_text

    def recorded(self, renderer, *args, **kwargs):
        current.append(self)
        draw(self, renderer, *args, **kwargs)
        current.pop()

    def recorded_text(self, gc, x, y, s, *args, **kwargs):
        if s.strip() and current:
            texts[current[-1]] = None
        draw_text(self, gc, x, y, s, *args, **kwargs)

    drawn: list[Text] = []
    with (
        mock.patch.object(Text, "draw", recorded),
        mock.patch.object(RendererAgg, "draw_text", recorded_text),
    ):
        yield drawn
    drawn += texts


def _corners(text: Text) -> np.ndarray:
    """Return the corners of a text's box, which is turned as the text is, in pixels: (4, 2)."""
    outer = text.get_window_extent()
    angle = text.get_rotation()
    if angle % 90 == 0:
        return _rectangle(outer)
    # A turned rectangle and the upright one around it have one centre.
    text.set_rotation(0.0)
    level = text.get_window_extent()
    text.set_rotation(angle)
    turn = np.deg2rad(angle)
    along = np.array([np.cos(turn), np.sin(turn)]) * level.width / 2
    across = np.array([-np.sin(turn), np.cos(turn)]) * level.height / 2
    centre = np.array([(outer.x0 + outer.x1) / 2, (outer.y0 + outer.y1) / 2])
    return centre + np.array([-along - across, along - across, along + across, across - along])


def _rectangle(box) -> np.ndarray:
    return np.array([(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return how deep two rectangles lie in each other, in pixels; below 0 they are apart.

    By the theorem of separating axes: along the one on which they overlap least.
    """
    least = np.inf
    for corners in (a, b):
        for side in (corners[1] - corners[0], corners[3] - corners[0]):
            length = np.linalg.norm(side)
            if length < 1e-9:
                return -np.inf
            of_a, of_b = a @ side / length, b @ side / length
            least = min(least, of_a.max() - of_b.min(), of_b.max() - of_a.min())
            if least <= 0:
                return least
    return float(least)


def _legends(figure: FigureBase) -> list[Legend]:
    return [legend for legend in figure.findobj(Legend) if legend.get_visible()]


def _is_panel(ax: Axes) -> bool:
    """Return whether an Axes shows data: not the scale of its colours, nor nothing."""
    return ax.get_visible() and ax.get_label() != "<colorbar>" and ax.has_data()


def _name(text: Text) -> str:
    short = " ".join(text.get_text().split())
    return repr(short if len(short) <= 40 else f"{short[:19]}…{short[-19:]}")
