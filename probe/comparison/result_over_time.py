"""What the comparison of a network with a recording over time found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from probe.comparison.result import RSAComparison, interval_label
from probe.errors import ProbeError
from probe.output.files import Contents, csv
from probe.output.pictures import file_of
from probe.output.summarised import Figures
from probe.output.text import number, p_value, peaks_text, plain, said_of
from probe.plots.over_time import over_time_size, plot_generalisation, plot_over_time
from probe.plots.rdms import METRIC_LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from probe.similarity.rdm_set import RDMs

TESTS = {
    "stimuli": "permutations of the stimuli's labels",
    "subjects": "flips of the subjects' signs",
    None: "permutations of the stimuli's labels",
}
"""What gives the p-values of clusters, by what is resampled."""


@dataclass(frozen=True, repr=False)
class RSAOverTime(RSAComparison):
    """A network compared with a recording at every time. Shows, plots and saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Tidy: one row per layer (``kind == 'layer'``) and time, one for the pixels, one per layer
        and seed of the untrained network. ``time_start`` and ``time_end`` in ms after stimulus
        onset, the end not included; ``score``, a mean over subjects, with ``ci_low`` and
        ``ci_high``; ``p`` of the cluster of times that it is in, over all layers and times, 1
        outside clusters; ``ceiling_lower`` and ``ceiling_upper``.
    peaks : pandas.DataFrame
        One row per layer: ``score`` at its peak, with interval, ``latency`` (the middle of the
        peak's time) with ``latency_low`` and ``latency_high`` in ms, ``p`` of the cluster that the
        peak is in.
    clusters : pandas.DataFrame
        ``layer``, ``time_start``, ``time_end``, ``p``.
    ceiling : str
        How the noise ceiling was estimated, in words.
    generalisation : numpy.ndarray, shape (n_times, n_times), or None
        How alike the recording's RDMs at any two times are; None of one subject without
        repetitions. See `probe.recordings.time_generalisation`.
    latencies : numpy.ndarray, shape (n_resamples, n_layers)
        Latencies in bootstrap samples, in ms, each row in one: differences between layers can be
        computed within rows.
    rdms : RDMs
        Of the layers.
    facts, provenance : dict
        As of `RSAResult`.
    """

    table: pd.DataFrame
    peaks: pd.DataFrame
    clusters: pd.DataFrame
    ceiling: str
    generalisation: np.ndarray | None
    latencies: np.ndarray
    rdms: RDMs
    facts: dict[str, Any]
    provenance: dict[str, Any]

    FILES: ClassVar = (
        "table.csv", "peaks.csv", "clusters.csv", "figure.png", "generalisation.csv",
        "generalisation.png", "rdms.npz", "result.json",
    )  # fmt: skip
    """What `save` writes; those of the generalisation where it is known."""

    @property
    def times(self) -> np.ndarray:
        """Beginnings and ends of the times in ms, shape (n_times, 2)."""
        first = self.table[self.table["kind"] == "layer"]
        one = first[first["layer"] == first["layer"].iloc[0]]
        return one[["time_start", "time_end"]].to_numpy()

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw a curve per layer with ceiling, and when each peaks.

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
        comparison = self.facts["comparison"]
        metric = comparison["metric"]
        return plot_over_time(
            self.table, self.peaks, self.clusters, figure=figure, legend=legend,
            title=self.title,
            ceiling_label=f"noise ceiling ({self.ceiling})",
            interval_label=interval_label(comparison["resample"]),
            ylabel=f"{self.symbol} with {self.facts['recording']['region']}"
            f"\n(RDMs of {METRIC_LABELS.get(metric, metric)})",
        )  # fmt: skip

    def plot_generalisation(self, ax: Axes | None = None) -> Axes:
        """Draw how alike the recording's RDMs at any two times are.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ProbeError
            If there is one subject and no repetitions.
        """
        if self.generalisation is None:
            raise ProbeError(f"no generalisation over time is known: {self.ceiling}")
        recording = self.facts["recording"]
        has_subjects = len(recording["subjects"]) > 1
        names = dict.fromkeys(
            (recording["name"], recording["region"])
        )  # a folder may name no region
        return plot_generalisation(
            self.generalisation, self.times, ax=ax,
            label=f"{self.symbol} between RDMs "
            + ("(a subject and all others)" if has_subjects else "(halves of the repetitions)"),
            title=f"{', '.join(names)}: RDMs at two times",
        )  # fmt: skip

    def _contents(self) -> Contents:
        """Return tables, figures, the layers' RDMs and ``result.json``."""
        contents: dict[str, bytes] = {
            "table.csv": csv(self.table),
            "peaks.csv": csv(self.peaks),
            "clusters.csv": csv(self.clusters),
            "figure.png": self._figure(".png"),
        }
        if self.generalisation is not None:
            starts = [f"{start:g}" for start in self.times[:, 0]]
            square = pd.DataFrame(self.generalisation, index=starts, columns=starts)
            contents["generalisation.csv"] = square.to_csv(index_label="time_start").encode()
            contents["generalisation.png"] = self._square(".png")
        return {**contents, "rdms.npz": self.rdms.save, "result.json": self._json()}

    def to_dict(self) -> dict[str, Any]:
        """Return everything but RDMs as plain values, as ``result.json`` (NaN as None)."""
        return {
            **self.facts,
            "ceiling": self.ceiling,
            "has_generalisation": self.generalisation is not None,
            "peaks": plain(self.peaks.to_dict("records")),
            "clusters": plain(self.clusters.to_dict("records")),
            "table": plain(self.table.to_dict("records")),
            "provenance": self.provenance,
        }

    def summary(self) -> pd.DataFrame:
        """Return the layers as a person reads them: one row per layer, of strings."""
        columns = peaks_text(self.peaks, "score")
        columns["p (cluster)"] = [p_value(p) for p in self.peaks["p"]]
        return pd.DataFrame(columns)

    def notes(self) -> list[str]:
        """Return in sentences what the table alone does not say."""
        times, comparison = self.times, self.facts["comparison"]
        widths = times[:, 1] - times[:, 0]
        notes = [
            f"{len(times)} times of {widths[0]:g} ms, {times[0, 0]:g} to {times[-1, 1]:g} ms after "
            "stimulus onset. The peak is the highest of them: its score is biased upwards.",
            *said_of(self.facts["recording"]),
        ]
        ceilings = self.table[["ceiling_lower", "ceiling_upper"]].dropna()
        if len(ceilings):
            notes.append(
                f"Noise ceiling at most {number(ceilings['ceiling_lower'].max())} to "
                f"{number(ceilings['ceiling_upper'].max())}: {self.ceiling}."
            )
        else:
            notes.append(f"Noise ceiling unknown: {self.ceiling}.")
        notes.append(
            f"p of the cluster of times around the peak, by {TESTS[comparison['resample']]}, over "
            "all layers and times: that there is something, not when it begins or ends."
        )
        pixels = self.table[self.table["kind"] == "pixels"]
        if len(pixels):
            best = pixels.iloc[int(pixels["score"].argmax())]
            notes.append(
                f"Pixels: at most {number(best['score'])}, at "
                f"{(best['time_start'] + best['time_end']) / 2:g} ms."
            )
        notes += comparison["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def figures(self) -> Figures:
        """Return what writes each figure, by the name of its file."""
        of_generalisation = {"generalisation": self._square}
        return {
            "figure": self._figure,
            **({} if self.generalisation is None else of_generalisation),
        }

    def _figure(self, kind: str) -> bytes:
        size = over_time_size(len(self.peaks))
        return file_of(self.plot, size, self.title, kind, about=self.provenance)

    def _square(self, kind: str) -> bytes:
        return file_of(
            lambda figure: self.plot_generalisation(figure.add_subplot()), (4.4, 3.8), self.title,
            kind, square=True, about=self.provenance,
        )  # fmt: skip
