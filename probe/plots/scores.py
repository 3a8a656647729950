"""Models side by side: scores, how sure they are, and which differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from probe.errors import ProbeError, nearest
from probe.plots.figures import (
    SMALLEST,
    explain,
    head,
    is_own,
    name_axes,
    own_figure,
    points,
    room,
    width_of,
)
from probe.plots.layers import name_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from probe.inference import Evaluation

CORRECTIONS = {"fdr": "FDR", "holm": "Holm", "none": "uncorrected"}
"""What a correction for several tests is called: Benjamini & Hochberg 1995, Holm 1979, none."""

RESAMPLED = {"stimuli": " stimuli", "subjects": " subjects", "both": "\nstimuli and subjects"}

STARS = (0.05, 0.01, 0.001)
"""A p-value has a star for each of these that it is below."""

MAX_ROWS = 20
"""More comparisons than these are counted, not drawn."""

LEAST_ROW = 0.055
"""Height of such a line, in inches, at least."""

ROW = 0.13
"""Height of a line of the comparisons above the bars, in inches."""


def plot_scores(
    evaluation: Evaluation,
    names: Sequence[str] | None = None,
    *,
    order: Literal["score", "given"] = "score",
    error: Literal["ci", "se"] = "ci",
    correction: str = "fdr",
    ylabel: str = "score",
    title: str = "",
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean score of every model as a bar, and every test that was made.

    - The bar's line is the 95 % confidence interval, or the standard error; a small dot is a
      subject, the grey band the noise ceiling.
    - Stars above a bar: the model scores above zero.
    - A diamond above a bar: the model does not score below the lower bound of the ceiling.
    - A line above the bars: the model at its dot scores better than each of those at its ticks,
      in two-sided tests of all pairs. So every pair that differs is shown once, by its winner,
      and twelve models take eleven lines at most. Of very many models they are only counted.

    Parameters
    ----------
    evaluation : probe.inference.Evaluation
        M models.
    names : sequence of str, shape (M,), optional
        Of the models.
    order : {'score', 'given'}
        The best first, or as they are.
    error : {'ci', 'se'}
    correction : {'fdr', 'holm', 'none'}
        Which p-values decide: corrected over the models (against zero and the ceiling) and over
        all pairs, by Benjamini & Hochberg or by Holm, or not at all. The level is .05.
    ylabel, title : str
        What to write.
    legend : bool
        Whether there is one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ProbeError
        If the number of names is wrong, or an option is unknown.
    """
    for what, value, choices in (
        ("order", order, ("score", "given")),
        ("error", error, ("ci", "se")),
        ("correction", correction, tuple(CORRECTIONS)),
    ):
        if value not in choices:
            raise ProbeError(
                f"{what} {value!r}: expected one of {', '.join(choices)}"
                f"{nearest(str(value), choices)}"
            )
    n_models, n_subjects = evaluation.scores.shape
    labels = [f"model {k}" for k in range(n_models)] if names is None else [str(n) for n in names]
    if len(labels) != n_models:
        raise ProbeError(f"{len(labels)} names for {n_models} models")
    ranks = np.argsort(-evaluation.mean, kind="stable") if order == "score" else range(n_models)
    rows = np.array(ranks, dtype=np.intp)
    x = np.arange(n_models)
    mean, scores = evaluation.mean[rows], evaluation.scores[rows]
    if error == "ci":
        low, high = evaluation.ci_low[rows], evaluation.ci_high[rows]
    else:
        low, high = mean - evaluation.se[rows], mean + evaluation.se[rows]
    suffix = "" if correction == "none" else f"_{correction}"
    p_zero, p_ceiling = (getattr(evaluation, f"p_{of}{suffix}")[rows] for of in ("zero", "ceiling"))
    p_pairs = getattr(evaluation, f"p_pairs{suffix}")[np.ix_(rows, rows)]

    with own_figure(ax, float(np.clip(0.42 * n_models + 0.5, 2.2, 9.0)), 3.0) as ax:
        entries = _Legend(CORRECTIONS[correction])
        lower, upper = evaluation.ceiling
        if np.isfinite([lower, upper]).all():
            band = ax.axhspan(lower, upper, color="0.5", alpha=0.2, lw=0, zorder=0)
            entries.add(band, "noise ceiling")
        ax.bar(x, mean, width=0.68, color=BAR, zorder=1)
        ax.axhline(0.0, color="0.3", lw=0.8, zorder=2)
        if n_subjects > 1:
            # Side by side in one order of subjects, so that one can follow each.
            offsets = np.linspace(-0.24, 0.24, n_subjects)
            dots = ax.plot(
                (x[:, None] + offsets).ravel(), scores.ravel(), "o", mfc="white", mec="0.25",
                ms=3.2 if n_subjects < 20 else 2.0, mew=0.7, ls="none", zorder=3,
            )  # fmt: skip
            entries.add(dots[0], f"{n_subjects} subjects")
        if np.isfinite(low).any():
            line = ax.vlines(x, low, high, color="0.1", lw=1.6, zorder=4)
            kind = "95 % CI" if error == "ci" else "± standard error"
            population = RESAMPLED.get(str(evaluation.resample))
            entries.add(line, f"{kind} over{population}" if population else kind)

        tops = np.fmax(np.fmax(mean, np.nanmax(scores, axis=1)), np.fmax(high, 0.0))
        extremes = np.array([*tops, *low, *scores.ravel(), *mean, lower, upper, 0.0])
        bottom, top = np.nanmin(extremes), np.nanmax(extremes)
        span = (top - bottom) or 1.0
        # Stars and a diamond take a quarter of an inch, in small Axes, too.
        inches = room(ax)[1] if is_own(ax) else max(0.4 * room(ax)[1] - 0.5, 0.3)
        marks = max(0.13, min(0.25 / inches, 0.5))
        ax.set_ylim(bottom - 0.04 * span if bottom < 0 else 0.0, top + marks * span)
        ax.set_xlim(-0.6, n_models - 0.4)
        _marks(ax, x, tops, p_zero, p_ceiling if np.isfinite(lower) else None, entries)
        name_places(ax, [labels[k] for k in rows])
        name_axes(ax, ylabel=ylabel)
        ax.spines[["top", "right"]].set_visible(False)
        above = _wings(ax, mean, p_pairs, entries)
        head(ax, title)
        entries.draw(ax, legend, above)
    return ax


BAR = (0.63, 0.75, 0.87)
"""Light enough for dots and lines upon it, and grey in print."""


class _Legend:
    """What is in the figure, in words."""

    def __init__(self, correction: str) -> None:
        self.correction = correction
        self.entries: list[tuple[Any, str]] = []

    def add(self, handle: Any, text: str) -> None:
        self.entries.append((handle, text.format(self.correction)))

    def draw(self, ax: Axes, legend: bool, above: float) -> None:
        from matplotlib.legend_handler import HandlerTuple

        handles, texts = zip(*self.entries, strict=True) if self.entries else ((), ())
        handlers = {tuple: HandlerTuple(ndivide=None, pad=0.0)}
        explain(ax, legend, list(handles), list(texts), handler_map=handlers, above=above)


def _marks(
    ax: Axes,
    x: np.ndarray,
    tops: np.ndarray,
    p_zero: np.ndarray,
    p_ceiling: np.ndarray | None,
    legend: _Legend,
) -> None:
    """Draw stars above the bars, and diamonds above the stars."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation

    diamond: dict[str, Any] = {"marker": "D", "ms": 4.0, "color": "0.1", "ls": "none",
                               "clip_on": False}  # fmt: skip
    counts = (p_zero[:, None] < np.array(STARS)).sum(axis=1)
    # Where bars are too narrow for stars, it is said how many models have them.
    size = points("font.size")
    pitch = (1.0 if is_own(ax) else 0.36) * room(ax)[0] / len(x)
    size = min(size, size * 0.85 * pitch / width_of("***", size))
    if size < SMALLEST:
        told = f"{int((counts > 0).sum())} of {len(x)} models above zero\n(p < .05, {{}})"
        legend.add(Line2D([], [], ls="none"), told)
        counts[:] = 0
    for position, top, count in zip(x, tops, counts, strict=True):
        ax.annotate(
            "*" * count, (position, top), xytext=(0, -1), textcoords="offset points", ha="center",
            va="bottom", color="0.1", fontsize=max(size, SMALLEST),
        )  # fmt: skip
    if np.isfinite(p_zero).any() and size >= SMALLEST:
        star = Line2D([], [], marker=(5, 2, 0), color="0.1", ms=5, ls="none")
        legend.add(star, "above zero: * p < .05,\n** p < .01, *** p < .001 ({})")
    if p_ceiling is None or not (p_ceiling >= STARS[0]).any():
        return
    reached = p_ceiling >= STARS[0]
    for above, these in ((5.0, reached & (counts == 0)), (12.0, reached & (counts > 0))):
        shifted = ax.transData + ScaledTranslation(0, above / 72, ax.figure.dpi_scale_trans)
        if these.any():
            ax.plot(x[these], tops[these], transform=shifted, **diamond)
    legend.add(Line2D([], [], **diamond), "not below the ceiling\n(p ≥ .05, {})")


def _wings(ax: Axes, mean: np.ndarray, p: np.ndarray, legend: _Legend) -> float:
    """Draw, above the bars, which models each model is better than; return inches that it takes."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    better = (p < STARS[0]) & (mean[:, None] > mean[None, :])
    winners = np.flatnonzero(better.any(axis=1))
    if not np.isfinite(p[np.triu_indices(len(p), 1)]).any():
        return 0.0
    n_pairs = len(p) * (len(p) - 1) // 2
    of_pairs = f", {{}} over {n_pairs} pairs" if n_pairs > 1 else ""
    line: dict[str, Any] = {"color": "0.25", "lw": 0.9}
    dot = {"marker": "o", "ms": 4, **line}
    tick = {"marker": "|", "ms": 6, "mew": 1.2, **line}
    height = room(ax)[1] if is_own(ax) else 0.5 * room(ax)[1]
    tall = min(ROW * (len(winners) + 0.5), 0.4 * height)
    crowded = tall < LEAST_ROW * len(winners)
    if len(winners) > MAX_ROWS or crowded:
        n_differ = int(better.sum())
        legend.add(Line2D([], [], ls="none"), f"{n_differ} pairs differ\n(p < .05{of_pairs})")
        return 0.0
    if not len(winners):
        legend.add(Line2D([], [], ls="none"), f"no two models differ\n(p ≥ .05{of_pairs})")
        return 0.0
    handles = Line2D([], [], **dot), Line2D([], [], **tick)
    legend.add(handles, f"better than\n(p < .05{of_pairs})")
    # In inches: a share of the Axes' height would change while a layout finds that height.
    scale: Any = ax.figure.dpi_scale_trans
    axes: Any = ax.transAxes
    inches = blended_transform_factory(axes, scale + ScaledTranslation(0, 1, axes))
    above = ax.inset_axes((0.0, 0.03, 1.0, tall), transform=inches)
    above.set(xlim=ax.get_xlim(), ylim=(len(winners) - 0.5, -0.7))
    above.set_axis_off()
    for row, winner in enumerate(winners):
        losers = np.flatnonzero(better[winner])
        ends = [min(winner, *losers), max(winner, *losers)]
        above.plot(ends, [row, row], solid_capstyle="butt", **line)
        above.plot(losers, np.full(len(losers), row), **tick | {"ls": "none"})
        above.plot(winner, row, **dot)
    return 0.03 + tall
