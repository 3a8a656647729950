"""Sites predicted at every time: how well, when best, and how far a fit carries to other times.

Every site at every time is a column of responses: a layer is decomposed once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from probe.encoding import scores
from probe.encoding.ridge import Split
from probe.encoding.scoring import averages_within, score
from probe.inference.over_time import latencies, peaks_of
from probe.output.files import Contents, csv
from probe.output.pictures import file_of
from probe.output.result import Compared
from probe.output.summarised import Figures
from probe.output.text import number, peaks_text, plain, said_of
from probe.plots.over_time import over_time_size, plot_generalisation, plot_over_time
from probe.recordings import Noise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

POOLED = ("r", "r_ceiled")
"""Scores that are given over time."""


@dataclass(frozen=True, repr=False)
class EncodingOverTime(Compared):
    """Sites of a recording, predicted from the layers of a network at every time.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per layer (or baseline, see ``kind``) and time: ``time_start`` and ``time_end`` in
        ms after stimulus onset, the end not included; ``r``, the median over sites of the
        correlation of held-out stimuli, with ``r_low`` and ``r_high`` (95 % interval over
        stimuli), and ``r_ceiled``, divided by the root of the reliability at that time.
    peaks : pandas.DataFrame
        One row per layer: ``latency`` of the highest ``r``, with ``latency_low`` and
        ``latency_high`` in ms, ``score`` there with ``ci_low`` and ``ci_high``.
    sites : pandas.DataFrame
        ``layer``, ``time_start``, ``neuroid_id``, ``r``: one row each.
    generalisation : numpy.ndarray, shape (n_layers, n_times, n_times)
        Median over sites of r, fitted at the time of the row and tested at that of the column, in
        held-out stimuli.
    times : numpy.ndarray, shape (n_times, 2)
    facts, provenance : dict
        What was fitted to what, and how.
    """

    table: pd.DataFrame
    peaks: pd.DataFrame
    sites: pd.DataFrame
    generalisation: np.ndarray
    times: np.ndarray
    facts: dict[str, Any]
    provenance: dict[str, Any]

    FILES: ClassVar = (
        "table.csv", "peaks.csv", "sites.csv", "generalisation.csv", "figure.png",
        "generalisation.png", "encoding.json",
    )  # fmt: skip
    """What `save` writes."""

    @property
    def best(self) -> str:
        """The layer whose curve rises highest."""
        return str(self.peaks["layer"].iloc[int(self.peaks["score"].argmax())])

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw a curve per layer, and when each peaks.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        columns = {"r": "score", "r_low": "ci_low", "r_high": "ci_high"}
        table = self.table.rename(columns=columns).assign(
            ceiling_lower=np.nan, ceiling_upper=np.nan
        )
        no_clusters = pd.DataFrame(columns=["layer", "time_start", "time_end", "p"])
        resampled = bool(table["ci_low"].notna().any())
        return plot_over_time(
            table, self.peaks, no_clusters, figure=figure, legend=legend,
            title=self.title,
            interval_label="95 % CI over stimuli" if resampled else "",
            ylabel=f"r of held-out responses of {self.facts['recording']['region']}\n"
            "(median over sites)",
        )  # fmt: skip

    def plot_generalisation(self, layer: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw how far what was fitted at one time predicts at another.

        Parameters
        ----------
        layer : str, optional
            By default, the one whose curve rises highest.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        layer = layer or self.best
        k = list(self.peaks["layer"]).index(layer)
        name = self.peaks["alias"].iloc[k] or layer
        return plot_generalisation(
            self.generalisation[k].T, self.times, ax=ax,
            label="r of held-out responses (median over sites)",
            title=f"{name}: fitted at one time, tested at another",
            xlabel="fitted at (ms after onset)", ylabel="tested at (ms after onset)",
        )  # fmt: skip

    def _contents(self) -> Contents:
        """Return tables, figures and ``encoding.json``."""
        n_layers, n_times = self.generalisation.shape[:2]
        starts = self.times[:, 0]
        square = pd.DataFrame(
            {
                "layer": np.repeat(list(self.peaks["layer"]), n_times**2),
                "fitted_start": np.tile(np.repeat(starts, n_times), n_layers),
                "tested_start": np.tile(starts, n_layers * n_times),
                "r": self.generalisation.ravel(),
            }
        )
        return {
            "table.csv": csv(self.table),
            "peaks.csv": csv(self.peaks),
            "sites.csv": csv(self.sites),
            "generalisation.csv": csv(square),
            "figure.png": self._figure(".png"),
            "generalisation.png": self._square(".png"),
            "encoding.json": self._json(),
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return everything but single sites as plain values (NaN as None)."""
        return {
            **self.facts,
            "peaks": plain(self.peaks.to_dict("records")),
            "table": plain(self.table.to_dict("records")),
            "provenance": self.provenance,
        }

    def summary(self) -> pd.DataFrame:
        """Return the layers as a person reads them: one row per layer, of strings."""
        return pd.DataFrame(peaks_text(self.peaks, "r"))

    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""
        times = self.times
        notes = [
            f"{len(times)} times of {times[0, 1] - times[0, 0]:g} ms, {times[0, 0]:g} to "
            f"{times[-1, 1]:g} ms after stimulus onset. The peak is the highest of them: its r is "
            "biased upwards.",
            *said_of(self.facts["recording"]),
            _sentence(self.facts["fit"]["aggregate"]),
        ]
        others = self.table[self.table["kind"] != "layer"]
        for baseline, rows in others.groupby("shown", sort=False):
            best = rows.iloc[int(rows["r"].argmax())]
            middle = (best["time_start"] + best["time_end"]) / 2
            notes.append(f"Baseline, {baseline}: at most {number(best['r'])}, at {middle:g} ms.")
        notes += self.facts["fit"]["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def figures(self) -> Figures:
        """Return what writes each figure, by the name of its file."""
        return {"figure": self._figure, "generalisation": self._square}

    def _figure(self, kind: str) -> bytes:
        size = over_time_size(len(self.peaks))
        return file_of(self.plot, size, self.title, kind, about=self.provenance)

    def _square(self, kind: str) -> bytes:
        return file_of(
            lambda figure: self.plot_generalisation(ax=figure.add_subplot()), (4.6, 3.8),
            self.title, kind, square=True, about=self.provenance,
        )  # fmt: skip


def _sentence(aggregate: str) -> str:
    """Return how splits and sites were put together, as a sentence."""
    if aggregate.startswith("median over sites"):
        return f"{aggregate[0].upper()}{aggregate[1:]}."
    return f"{aggregate}; medians over sites."


@dataclass(frozen=True, eq=False)
class Curve:
    """How well sites are predicted at T times from one layer.

    Attributes
    ----------
    r : numpy.ndarray, shape (T, m)
        Of each site.
    columns : dict of str to numpy.ndarray, shape (T,)
        Medians over sites, with intervals.
    peaks : numpy.ndarray of int, shape (B,)
        Time of the highest median in each resample of the stimuli.
    """

    r: np.ndarray
    columns: dict[str, np.ndarray]
    peaks: np.ndarray


def score_over_time(
    responses: np.ndarray,
    predictions: list[np.ndarray],
    splits: list[Split],
    noise: Noise,
    counts: np.ndarray | None,
    n_times: int,
    *,
    partition: bool,
    n_units: int | None = None,
) -> Curve:
    """Score held-out predictions at each time.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n, T · m)
        Those of one time together.
    predictions : list of numpy.ndarray, shape (n_test, T · m)
    splits : list of (training, test) indices
    noise : Noise
    counts : numpy.ndarray, shape (B, n), optional
        Resamples of the stimuli, the same at all times.
    n_times : int
    partition : bool
        Whether every stimulus is tested once.
    n_units : int, optional
        As of `probe.encoding.scoring.score`.

    Returns
    -------
    Curve
    """
    m = responses.shape[1] // n_times
    r, rows, medians = [], [], []
    for k in range(n_times):
        some = slice(k * m, (k + 1) * m)
        scored = score(
            responses[:, some], [p[:, some] for p in predictions], splits,
            Noise(noise.variance[:, some], noise.shares[:, some]), counts, partition=partition,
            n_units=n_units,
        )  # fmt: skip
        r.append(scored.values["r"])
        row = scored.row()
        rows.append([row[f"{name}{end}"] for name in POOLED for end in ("", "_low", "_high")])
        medians.append(scores.over_sites(scored.resampled.astype(np.float64)))
    names = [f"{name}{end}" for name in POOLED for end in ("", "_low", "_high")]
    columns = dict(zip(names, np.array(rows).T, strict=True))
    resampled = np.stack(medians, axis=-1)[:, None]
    return Curve(np.stack(r), columns, peaks_of(resampled)[:, 0])


def generalise(
    responses: np.ndarray, predictions: list[np.ndarray], splits: list[Split], n_times: int
) -> np.ndarray:
    """Test what was fitted at each time at each other, in held-out stimuli.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n, T · m)
    predictions : list of numpy.ndarray, shape (n_test, T · m)
        Of the test stimuli of each split.
    splits : list of (training, test) indices
    n_times : int

    Returns
    -------
    numpy.ndarray, shape (T, T)
        Median over sites of r, fitted at the time of the row, tested at that of the column: in
        each split, then the mean; where splits test few stimuli, of all together, as deviations
        from the training mean.
    """
    pairs = []
    for (train, test), of_split in zip(splits, predictions, strict=True):
        mean = responses[train].mean(axis=0)
        pairs.append((of_split - mean, responses[test] - mean))
    if not averages_within(splits):
        pairs = [tuple(np.concatenate(side) for side in zip(*pairs, strict=True))]  # type: ignore[list-item]
    each = []
    for predicted, measured in pairs:
        a, b = (_unit(side.reshape(len(side), n_times, -1)) for side in (predicted, measured))
        each.append(np.einsum("ntm,num->tum", a, b, optimize=True))
    is_finite = np.isfinite(each)
    mean = np.where(is_finite, each, 0.0).sum(axis=0) / np.maximum(is_finite.sum(axis=0), 1)
    mean = np.where(is_finite.any(axis=0), mean, np.nan)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmedian(mean, axis=2))


def _unit(values: np.ndarray) -> np.ndarray:
    """Bring columns to mean 0 and length 1; NaN where they are constant."""
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    floor = 1e-12 * np.sqrt((values**2).sum(axis=0))
    return centred / np.where(length > floor, length, np.nan)


def peaks_table(names: list[str], aliases: list[str], curves: list[Curve], times: np.ndarray) -> (
    pd.DataFrame
):  # fmt: skip
    """Return a row per layer: when its curve is highest, and how high."""
    middles = times.mean(axis=1)
    at = [int(np.nanargmax(curve.columns["r"])) for curve in curves]
    latencies_ms = np.concatenate(
        [
            latencies(np.array([k]), c.peaks[:, None], middles)
            for k, c in zip(at, curves, strict=True)
        ]
    )
    rows = zip(at, curves, strict=True)
    there = np.array([[c.columns[n][k] for n in ("r", "r_low", "r_high")] for k, c in rows])
    return pd.DataFrame(
        {
            "layer": names, "alias": aliases, "latency": latencies_ms[:, 0],
            "latency_low": latencies_ms[:, 1],
            "latency_high": latencies_ms[:, 2], "score": there[:, 0], "ci_low": there[:, 1],
            "ci_high": there[:, 2],
        }
    )  # fmt: skip
