"""How reliable a recording is: each neuroid, the RDM, and over time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from probe.comparison.settings import ReliabilitySettings
from probe.errors import ProbeError
from probe.output.files import Contents, csv
from probe.output.pictures import figure_file, figure_png
from probe.output.provenance import PACKAGES, provenance_of
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import count, number, plain, said_of
from probe.output.vectors import VECTORS
from probe.plots.reliability import plot_reliability
from probe.progress import track
from probe.recordings import (
    Recording,
    neuroid_reliability,
    published_reliability,
    split_half,
    variance_components,
)
from probe.recordings.several import load_recordings
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

COMPARATOR = "spearman"
"""Between the RDMs of two halves."""


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Result):
    """How well recorded responses repeat. Shows, plots and saves itself.

    Attributes
    ----------
    neuroids : pandas.DataFrame
        One row per neuroid: the columns of `probe.recordings.variance_components` (``reliability``
        ρ of averages over all repetitions, ``reliability_single``, ``snr``, …); ``r_halves``,
        Pearson between the averages over two halves of the repetitions, mean over random halves,
        and ``spearman_brown`` = 2r / (1 + r); ``published``, the reliability that was published.
        NaN where there is none, or it cannot be known.
    rdms : pandas.DataFrame
        One row per region and subject: ``region``, ``subject``, ``n_neuroids``, ``r_halves``
        (Spearman between the RDMs of two halves of the repetitions, mean over random halves),
        ``r_low`` and ``r_high`` (lowest and highest of these), ``spearman_brown``, and ``note``,
        which says why there is none.
    times : pandas.DataFrame
        Of recordings with several times, one row per time, region and subject: ``time_start``,
        ``time_end`` (ms after stimulus onset), ``reliability`` (median of ρ over neuroids),
        ``reliability_low``, ``reliability_high`` (quartiles), ``rdm_r_halves``,
        ``rdm_spearman_brown``. Otherwise empty.
    facts, provenance : dict
        What was measured, and how: plain values.
    """

    neuroids: pd.DataFrame
    rdms: pd.DataFrame
    times: pd.DataFrame
    facts: dict[str, Any]
    provenance: dict[str, Any]

    FILES: ClassVar = ("neuroids.csv", "rdms.csv", "figure.png", "reliability.json")
    """What `save` writes, and times.csv, if there are several times."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `save` writes."""
        return (*self.FILES, *(("times.csv",) if len(self.times) else ()))

    @property
    def published(self) -> bool:
        """Whether all that is known was published, and could not be measured."""
        return bool(self.facts["source"] == "published")

    @property
    def title(self) -> str:
        """One line that says what was measured."""
        recording = self.facts["recording"]
        mark = "SIMULATED recording " if recording["simulated"] else ""
        subjects = recording["subjects"]
        repeats = "–".join(str(r) for r in dict.fromkeys(recording["n_repetitions"]))
        repetitions = "averaged" if self.published else f"{repeats} repetitions"
        return (
            f"Reliability of {mark}{recording['name']}: {', '.join(recording['regions'])}, "
            f"{count(recording['n_neuroids'], 'neuroid')}, "
            + (f"{len(subjects)} subjects" if len(subjects) > 1 else f"subject {subjects[0]}")
            + f", {recording['n_stimuli']:,} stimuli, {repetitions}"
        )

    def summary(self) -> pd.DataFrame:
        """Return regions and subjects as a person reads them: rounded, as text."""
        column = "published" if self.published else "reliability"
        rows = []
        for row in self.rdms.to_dict("records"):
            of_row = (self.neuroids["region"] == row["region"]) & (
                self.neuroids["subject"] == row["subject"]
            )
            neuroids = self.neuroids[of_row]
            low, median, high = _quartiles(neuroids[column])
            columns = {
                "region": row["region"],
                "subject": row["subject"],
                "neuroids": f"{len(neuroids):,}",
                "published ρ" if self.published else "ρ": number(median),
                "quartiles": f"{number(low)} to {number(high)}" if np.isfinite(low) else "",
            }
            if not self.published:
                columns |= {
                    "SNR": number(_quartiles(neuroids["snr"])[1]),
                    "r of halves": number(_quartiles(neuroids["r_halves"])[1]),
                    "RDM, r of halves": number(row["r_halves"]),
                    "RDM ρ": number(row["spearman_brown"]),
                }
                if neuroids["published"].notna().any():
                    columns["published ρ"] = number(_quartiles(neuroids["published"])[1])
            rows.append(columns)
        return pd.DataFrame(rows).fillna("")

    def notes(self) -> list[str]:
        """Return in sentences what the table alone does not say."""
        if self.published:
            notes = [
                "Reliabilities are those that were published with the responses, which are "
                "averages: they cannot be measured here, nor can that of the RDM."
            ]
        else:
            n, metric = self.facts["n_splits"], self.facts["metric"]
            notes = [
                "Medians over neuroids. ρ: share of signal in the variance, over stimuli, of "
                "averages over all repetitions; the highest r that a prediction can reach is √ρ. "
                "SNR: variance of signal over that of noise, of a single repetition. r of halves: "
                f"mean over {n} random halves of the repetitions.",
                f"RDM ({metric}): Spearman between the RDMs of two halves; ρ: the same of all "
                "repetitions (Spearman–Brown).",
            ]
        if (missing := self._unknown()) > 0:
            notes.append(f"{missing} of {count(len(self.neuroids), 'neuroid')}: not known.")
        notes += self.facts["remarks"]
        for row in self.rdms[self.rdms["note"] != ""].to_dict("records"):
            if not self.published:
                notes.append(f"{row['region']}, {row['subject']}: no RDM, since {row['note']}.")
        notes += said_of(self.facts["recording"])
        if self.facts["recording"]["simulated"]:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def _unknown(self) -> int:
        return int(self.neuroids["published" if self.published else "reliability"].isna().sum())

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw all neuroids, the RDM and, if there are several times, both over time.

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
        column = "published" if self.published else "reliability"
        return plot_reliability(
            self.neuroids, self.rdms, self.times, column=column, title=self.title,
            legend=legend, figure=figure,
        )  # fmt: skip

    def _contents(self) -> Contents:
        """Return the tables, the figure and ``reliability.json``."""
        tables = {"neuroids.csv": self.neuroids, "rdms.csv": self.rdms}
        if len(self.times):
            tables["times.csv"] = self.times
        return {
            **{name: csv(table) for name, table in tables.items()},
            "figure.png": self._figure(".png"),
            "reliability.json": self._json(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the neuroids as plain values, as in ``reliability.json``."""
        return {
            **self.facts,
            "rdms": plain(self.rdms.to_dict("records")),
            "times": plain(self.times.to_dict("records")),
            "summary": self.summary().to_dict("records"),
            "provenance": self.provenance,
        }

    def figures(self) -> Figures:
        """Return what writes the figure, by the name of its file."""
        return {"figure": self._figure}

    def _figure(self, kind: str) -> bytes:
        if kind in VECTORS:
            return figure_file(self.plot(), self.title, kind, about=self.provenance, tight=True)
        return figure_png(self.plot(), {"title": self.title} | self.provenance["settings"], dpi=200)


def reliability(
    dataset: str | Recording,
    *,
    region: str | None = None,
    subject: str | None = None,
    metric: str = "correlation",
    n_splits: int = 20,
    seed: int = 0,
    accept_licence: bool = False,
    output: str | Path | None = None,
    progress: bool | None = None,
) -> Reliability:
    """Measure how reliable a recording is: each neuroid, the RDM, and over time.

    Of a recording that holds averages only, the reliabilities that were published are shown, if it
    has them: in the coordinate ``published_reliability`` of its neuroids.

    Parameters
    ----------
    dataset : str or Recording
        A name (`probe.recordings.available`), the path of a folder, or a recording of yours.
    region : str, optional
        One region, or ``'all'``. By default the recording's default region.
    subject : str, optional
        By default, all.
    metric : str
        Distance of the RDMs, one of `probe.similarity.METRICS`, ``mahalanobis`` or ``crossnobis``.
    n_splits : int
        Random halves of the repetitions, over which r is averaged.
    seed : int
        Of the halves.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    output : str or Path, optional
        A folder in which the result is saved.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Reliability

    Raises
    ------
    ProbeError
        If a recording cannot be had, or holds RDMs only; if nothing was repeated, and no
        reliability was published.

    See Also
    --------
    probe.recordings.select_reliable : A recording of the reliable neuroids alone.
    probe.recordings.split_half : The reliability of the RDM alone.

    References
    ----------
    Spearman 1910, Br J Psychol 3:271; Sahani & Linden 2003, NeurIPS 15:125; Nili et al. 2014, PLoS
    Comput Biol 10:e1003553 (RDMs).

    Examples
    --------
    >>> import probe
    >>> result = probe.reliability("sim-v4", n_splits=2)
    >>> len(result.neuroids)
    120
    >>> round(float(result.neuroids["reliability"].median()), 1)
    0.9
    >>> result.plot()  # doctest: +SKIP
    """
    ReliabilitySettings(metric, seed).checked()
    parts = [
        _measure(recording, metric, n_splits, seed, progress)
        for recording in load_recordings(
            [dataset], region, subject, accept_licence=accept_licence, progress=progress
        )
    ]
    result = _joined(parts)
    if output is not None:
        result.save(output)
    return result


def _measure(
    recording: Recording, metric: str, n_splits: int, seed: int, progress: bool | None
) -> Reliability:
    """Measure one recording, of one region or several."""
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only, and no repetitions: how reliable it is "
            "cannot be measured"
        )
    low, high = recording.n_repetitions or (0, 0)
    published = published_reliability(recording)
    if high < 2 and published is None:
        contents = (
            "means over repetitions" if recording.data.attrs.get("averaged") else "one response"
        )
        raise ProbeError(
            f"recording {recording.name!r} holds {contents} of each stimulus, and no published "
            "reliability: how reliable it is cannot be known"
        )
    mean_over_times, at_times = _over_time(recording.data, recording.stimuli)
    neuroids = variance_components(mean_over_times)
    halves, remarks = None, []
    if low > 1:
        halves = neuroid_reliability(mean_over_times, n_splits, seed)
    elif high > 1:
        remarks.append("No halves: some stimulus was shown once.")
    neuroids["r_halves"] = np.nan if halves is None else halves["r"]
    neuroids["spearman_brown"] = np.nan if halves is None else halves["spearman_brown"]
    neuroids["published"] = np.nan if published is None else published
    rdms = pd.DataFrame(_rdms(mean_over_times, metric, n_splits, seed))
    if at_times:
        remarks.append("Of the mean over all times, but for what is over time.")
    times = [
        {"time_start": start, "time_end": end, **row}
        for start, end, moment in track(
            at_times, desc="reliability", unit="time", progress=progress if at_times else False
        )
        for row in _at_a_time(moment, metric, n_splits, seed)
    ]
    settings = {"metric": metric, "n_splits": n_splits, "seed": seed}
    facts = {
        "recording": recording.describe(),
        "source": "repetitions" if high > 1 else "published",
        "metric": metric,
        "comparator": COMPARATOR,
        "n_splits": n_splits,
        "remarks": remarks,
    }
    return Reliability(
        neuroids, rdms, pd.DataFrame(times), facts, provenance_of(settings, PACKAGES)
    )


def _over_time(
    data: xr.Dataset, stimuli: StimulusSet
) -> tuple[Recording, list[tuple[float, float, Recording]]]:
    """Return the mean over all times, and the responses at each: beginning and end in ms."""
    if "time" not in data["responses"].dims:
        return Recording(data, stimuli), []
    along = [str(name) for name, coord in data.coords.items() if "time" in coord.dims]
    bare = data.drop_vars(along)
    mean = bare["responses"].mean("time", keep_attrs=True)
    mean_over_times = Recording(bare.drop_vars("responses").assign(responses=mean), stimuli)
    borders = zip(data["time_start"].values, data["time_end"].values, strict=True)
    at_times = [
        (float(start), float(end), Recording(bare.isel(time=k), stimuli))
        for k, (start, end) in enumerate(borders)
    ]
    return mean_over_times, at_times


def _parts(recording: Recording) -> Iterator[Recording]:
    """Yield the neuroids of each subject in each region."""
    names = zip(
        recording.data["region"].values.astype(str),
        recording.data["subject"].values.astype(str),
        strict=True,
    )
    for region, subject in dict.fromkeys(names):
        yield recording.select(region, subject)


def _rdms(recording: Recording, metric: str, n_splits: int, seed: int) -> Iterator[dict[str, Any]]:
    """Measure the RDM of each subject in each region."""
    for part in _parts(recording):
        row = {
            "region": part.regions[0],
            "subject": part.subjects[0],
            "n_neuroids": part.n_neuroids,
            "metric": metric,
        }
        unknown = dict.fromkeys(("r_halves", "r_low", "r_high", "spearman_brown"), math.nan)
        try:
            halves = split_half(part, metric, COMPARATOR, n_splits, seed)
        except ProbeError as error:
            yield {**row, **unknown, "note": str(error)}
            continue
        low, high = float(halves.splits.min()), float(halves.splits.max())
        yield {
            **row, "r_halves": halves.r, "r_low": low, "r_high": high,
            "spearman_brown": halves.spearman_brown, "note": "",
        }  # fmt: skip


def _at_a_time(
    recording: Recording, metric: str, n_splits: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Measure each subject in each region, of one time."""
    for part, rdm in zip(_parts(recording), _rdms(recording, metric, n_splits, seed), strict=True):
        low, median, high = _quartiles(variance_components(part)["reliability"])
        yield {
            "region": rdm["region"], "subject": rdm["subject"],
            "reliability": median, "reliability_low": low, "reliability_high": high,
            "rdm_r_halves": rdm["r_halves"], "rdm_spearman_brown": rdm["spearman_brown"],
        }  # fmt: skip


def _quartiles(values: pd.Series) -> tuple[float, float, float]:
    present = values.dropna()
    if not len(present):
        return (math.nan,) * 3
    low, median, high = np.quantile(present, (0.25, 0.5, 0.75))
    return float(low), float(median), float(high)


def _joined(parts: list[Reliability]) -> Reliability:
    """Put the regions of a recording below each other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    described = [part.facts["recording"] for part in parts]
    if len({part.facts["source"] for part in parts}) > 1:
        raise ProbeError(
            f"recording {described[0]['name']!r} holds repetitions of some regions and averages of "
            "others: name one, region=… (--region)"
        )
    repeats = [r for one in described for r in one["n_repetitions"]]
    recording = described[0] | {
        "regions": [name for one in described for name in one["regions"]],
        "subjects": list(dict.fromkeys(name for one in described for name in one["subjects"])),
        "n_neuroids": sum(one["n_neuroids"] for one in described),
        "n_repetitions": [min(repeats), max(repeats)],
    }
    remarks = list(dict.fromkeys(remark for part in parts for remark in part.facts["remarks"]))

    def table(name: str) -> pd.DataFrame:
        return pd.concat([getattr(part, name) for part in parts], ignore_index=True)

    return Reliability(
        table("neuroids"), table("rdms"), table("times"),
        first.facts | {"recording": recording, "remarks": remarks}, first.provenance,
    )  # fmt: skip
