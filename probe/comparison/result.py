"""What the comparison of a network with a recording found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from probe.comparison.settings import check_correction
from probe.output.files import Contents, csv
from probe.output.pictures import file_of
from probe.output.result import Compared
from probe.output.summarised import Figures
from probe.output.text import (
    CORRECTIONS,
    corrected,
    number,
    p_value,
    plain,
    said_of,
    share,
    weights_text,
)
from probe.plots import plot_layers
from probe.plots.layers import figure_size, places
from probe.plots.rdms import METRIC_LABELS
from probe.similarity import get_comparator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from probe.similarity.rdm_set import RDMs

OVER = {"stimuli": "stimuli", "subjects": "subjects", "both": "stimuli and subjects"}

ALPHA = 0.05
"""Level of the tests that notes speak of."""

HIGH_CEILING = 0.3
"""Lower bound of the noise ceiling above which it is strange that nothing is related."""

MOST_NAMED = 5
"""Layers that a sentence names, at most."""

_TESTS = {
    "permutation": "permutation of stimulus labels",
    "t": "t test",
    "bootstrap": "bootstrap",
    "sign-flip": "sign flips of subjects",
}
"""How p-values came about, by the name of the test."""
"""What an interval speaks of, by what was resampled."""


@dataclass(frozen=True)
class Ceiling:
    """What the best possible model could score.

    Attributes
    ----------
    lower, upper : float
        NaN where the recording cannot tell.
    kind : str
        How it was estimated, in words.
    """

    lower: float
    upper: float
    kind: str

    @property
    def known(self) -> bool:
        """Whether there is a ceiling."""
        return bool(np.isfinite(self.lower) and np.isfinite(self.upper))


@dataclass(frozen=True)
class Choice:
    """The best layer, chosen on one half of the stimuli and scored on the other.

    Attributes
    ----------
    layer : str
        The layer that was chosen in most splits.
    score : float
        Mean score, on the other half, of whichever layer a split had chosen.
    sd : float
        Standard deviation of that score over the splits. These share stimuli: it is no standard
        error.
    share : float
        Share of the splits that chose ``layer``.
    shares : dict of str to float
        The same for every layer that was chosen at all.
    n_splits : int
        Number of splits.
    """

    layer: str
    score: float
    sd: float
    share: float
    shares: dict[str, float]
    n_splits: int


class RSAComparison(Compared):
    """A network and a recording compared by their RDMs."""

    @property
    def symbol(self) -> str:
        """What a score is called on an axis."""
        return get_comparator(self.facts["comparison"]["comparator"]).symbol

    def describe(self) -> list[tuple[str, str]]:
        """Return what was compared with what, as (name, text) lines."""
        model, recording = self.facts["model"], self.facts["recording"]
        repeats = recording["n_repetitions"]
        if recording["averaged"]:
            repetitions = "averaged by the authors"
        elif repeats is not None:
            repetitions = "–".join(str(r) for r in dict.fromkeys(repeats)) + " per stimulus"
        else:
            repetitions = "RDMs only"
        comparison = self.facts["comparison"]
        test = comparison["test"]
        n_resamples = self.provenance["settings"]["n_resamples"]
        population = OVER.get(comparison["resample"])
        subjects = recording["subjects"]
        names = ", ".join(subjects) if len(subjects) <= 6 else f"{len(subjects)} subjects"
        order = recording.get("stimulus_order")
        return [
            ("weights", weights_text(model)),
            ("input", model["preprocessing"]),
            ("recording", recording["title"]),
            *([("stimuli", f"in the order of {order}")] if order else []),
            ("subjects", f"{names} · repetitions: {repetitions}"),
            (
                "inference",
                (f"{n_resamples:,} resamples of {population}" if population else "no resampling")
                + f" · p: one-sided against zero, by {_TESTS[test]}",
            ),
            *([("cite", recording["citation"])] if recording["citation"] else []),
        ]


@dataclass(frozen=True, repr=False)
class RSAResult(RSAComparison):
    """A network compared with a recording. Shows, plots and saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Tidy: one row per layer (``kind == 'layer'``), one for the pixels, one per layer and seed
        of the untrained network, and, with classic baselines, one per layer of each (``classic``,
        whose model is the ``type``). ``score`` is the mean over subjects; ``p_zero`` one-sided
        against zero, ``p_ceiling`` one-sided below the ceiling's lower bound (with several
        subjects), each also corrected over the layers, or those of the same classic model.
    by_subject : pandas.DataFrame
        ``kind``, ``layer``, ``subject``, ``score``: one row per layer (or pixels) and subject.
    pairs : pandas.DataFrame
        Two-sided tests between layers: ``model_a``, ``model_b``, ``difference``, ``se``, ``p``,
        ``p_fdr``, ``p_holm``; one row per pair of layers.
    ceiling : Ceiling
    choice : Choice or None
        None if there is only one layer, or too few stimuli to split.
    rdms, recorded : RDMs
        The RDMs of the layers, and those of the subjects that they were compared with.
    facts : dict
        What was compared with what: ``model``, ``recording``, ``comparison``.
    provenance : dict
        Versions, hashes, seeds and the command.
    classic : RDMs or None
        With classic baselines, their RDMs, for `probe.compare`.
    """

    table: pd.DataFrame
    by_subject: pd.DataFrame
    pairs: pd.DataFrame
    ceiling: Ceiling
    choice: Choice | None
    rdms: RDMs
    recorded: RDMs
    facts: dict[str, Any]
    provenance: dict[str, Any]
    classic: RDMs | None = None

    FILES: ClassVar = (
        "table.csv", "pairs.csv", "figure.png", "rdms.npz", "recording.npz", "result.json",
    )  # fmt: skip
    """What `save` writes."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `save` writes."""
        return (*self.FILES, *(() if self.classic is None else ("classic.npz",)))

    @property
    def layers(self) -> pd.DataFrame:
        """Rows of the table that are layers, without the baselines."""
        return self.table[self.table["kind"] == "layer"].reset_index(drop=True)

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> Axes:
        """Draw score along the layers, with interval, ceiling band and baselines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.axes.Axes
        """
        comparison = self.facts["comparison"]
        metric = comparison["metric"]
        return plot_layers(
            self.table,
            ceiling=(self.ceiling.lower, self.ceiling.upper) if self.ceiling.known else None,
            ceiling_label=f"noise ceiling ({self.ceiling.kind})",
            interval_label=interval_label(comparison["resample"]),
            ylabel=f"{self.symbol} with {self.facts['recording']['region']}"
            f"\n(RDMs of {METRIC_LABELS.get(metric, metric)})",
            title=self.title,
            legend=legend,
            ax=ax,
        )

    def _contents(self) -> Contents:
        """Return tables, RDMs, a figure and ``result.json``, which says how it all was made."""
        return {
            "table.csv": csv(self.table),
            "pairs.csv": csv(self.pairs),
            "figure.png": self._figure(".png"),
            "rdms.npz": self.rdms.save,  # of the layers
            "recording.npz": self.recorded.save,  # of the subjects
            **({} if self.classic is None else {"classic.npz": self.classic.save}),
            "result.json": self._json(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all but RDMs and pairs as plain values, as ``result.json`` (NaN as None)."""
        return {
            **self.facts,
            "ceiling": plain(vars(self.ceiling)),
            "choice": None if self.choice is None else plain(vars(self.choice)),
            "table": plain(self.table.to_dict("records")),
            "by_subject": plain(self.by_subject.to_dict("records")),
            "provenance": self.provenance,
        }

    def summary(self, correction: str = "fdr") -> pd.DataFrame:
        """Return the layers as a person reads them: rounded, with baselines beside the scores.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Which corrected p-value is shown.

        Returns
        -------
        pandas.DataFrame
            One row per layer, of strings; ``of ceiling`` is the score as a share of the noise
            ceiling's upper and lower bound, ``untrained`` a mean over seeds.
        """
        check_correction(correction)
        rows = self.layers
        untrained = self.table[self.table["kind"] == "untrained"].groupby("layer")["score"].mean()
        columns: dict[str, list[str]] = {"layer": list(rows["layer"])}
        if rows["alias"].any():
            columns["alias"] = list(rows["alias"])
        columns["score"] = [number(v) for v in rows["score"]]
        if rows["ci_low"].notna().any():
            columns["95 % CI"] = [
                f"{number(a)} to {number(b)}"
                for a, b in zip(rows["ci_low"], rows["ci_high"], strict=True)
            ]
        if rows["p_zero"].notna().any():
            columns["p"] = [p_value(v) for v in rows["p_zero"]]
            column, heading = corrected("p_zero", correction)
            columns[heading] = [p_value(v) for v in rows[column]]
        if self.ceiling.known:
            columns["of ceiling"] = [
                share(a, b)
                for a, b in zip(rows["share_of_upper"], rows["share_of_lower"], strict=True)
            ]
        if len(untrained):
            columns["untrained"] = [number(untrained[name]) for name in rows["layer"]]
        return pd.DataFrame(columns)

    def notes(self, correction: str = "fdr") -> list[str]:
        """Return in sentences what the table alone does not say.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Of the p-values that are spoken of.
        """
        check_correction(correction)
        notes = said_of(self.facts["recording"])
        if self.ceiling.known:
            notes.append(
                f"Noise ceiling {number(self.ceiling.lower)} to {number(self.ceiling.upper)}: "
                f"{self.ceiling.kind}."
            )
        else:
            notes.append(f"Noise ceiling unknown: {self.ceiling.kind}.")
        notes += self._below_ceiling(correction)
        if doubt := self.no_relation(correction):
            notes.append(doubt)
        if self.choice is not None:
            alias = self.layers.set_index("layer")["alias"][self.choice.layer]
            name = f"{self.choice.layer} ({alias})" if alias else self.choice.layer
            notes.append(
                f"Best layer {name}, chosen on one half of the stimuli in "
                f"{100 * self.choice.share:.0f} % of {self.choice.n_splits} splits; "
                f"score on the other half {number(self.choice.score)} "
                f"(SD over splits {number(self.choice.sd)})."
            )
            if alike := self.alike(correction):
                notes[-1] += f" {alike}"
        pixels = self.table[self.table["kind"] == "pixels"]
        if len(pixels):
            row = pixels.iloc[0]
            untrained = self.table[self.table["kind"] == "untrained"]
            best = untrained.groupby("layer")["score"].mean().dropna()
            notes.append(
                f"Baselines: pixels {number(row['score'])} "
                f"({number(row['ci_low'])} to {number(row['ci_high'])})"
                + (
                    f"; the untrained network at most {number(best.max())} ({best.idxmax()}, "
                    f"mean of {untrained['init_seed'].nunique()} seeds)."
                    if len(best)
                    else "."
                )
            )
            notes += self._below_baselines(float(row["score"]))
        classic = self.table[self.table["kind"] == "classic"]
        if len(classic):
            first = classic.sort_values("score", ascending=False).drop_duplicates("type")
            scores = [
                f"{row['layer']} {number(row['score'])}"
                + (
                    f" ({number(row['ci_low'])} to {number(row['ci_high'])})"
                    if np.isfinite(row["ci_low"])
                    else ""
                )
                for row in first.to_dict("records")
            ]
            notes.append(f"What came before, each by its best layer: {', '.join(scores)}.")
        notes += self.facts["comparison"]["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    @property
    def _names(self) -> list[str]:
        """What a sentence calls the layers: by their aliases, where they have any."""
        return [alias or name for name, alias in self.layers[["layer", "alias"]].to_numpy()]

    def _below_ceiling(self, correction: str) -> list[str]:
        """Return which layers a true model would beat."""
        rows = self.layers
        column, _ = corrected("p_ceiling", correction)
        if rows[column].isna().all():
            return []
        below = (rows[column] < 0.05).to_numpy()
        others = [name for name, is_below in zip(self._names, below, strict=True) if not is_below]
        how = CORRECTIONS[correction]
        which = f"{below.sum()} of {len(rows)} layers"
        if others and below.any() and len(others) <= 5:
            which += f" (not {', '.join(others)})"
        return [f"Below the ceiling's lower bound (p < .05{', ' if how else ''}{how}): {which}."]

    def no_relation(self, correction: str = "fdr") -> str:
        """Return that no layer's score is above zero, and what to look at then; or an empty text.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Of the p-values.
        """
        column, heading = corrected("p_zero", correction)
        p = self.layers[column].to_numpy(dtype=float)
        if not np.isfinite(p).any() or np.nanmin(p) < ALPHA:
            return ""
        text = f"No layer scores above zero: {heading} ≥ {number(np.nanmin(p))} for all."
        if self.ceiling.known and self.ceiling.lower > HIGH_CEILING:
            text += (
                " The recording is reliable: see whether its stimuli are in the order of its "
                "responses."
            )
        return text

    def alike(self, correction: str = "fdr") -> str:
        """Return which layers cannot be told from the chosen one; empty where all can, or untested.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Of the p-values.
        """
        column, heading = corrected("p", correction)
        if self.choice is None or self.pairs[column].isna().all():
            return ""
        names = self.layers.set_index("layer")["alias"]
        alike = [
            names[other] or other
            for a, b, p in self.pairs[["model_a", "model_b", column]].itertuples(index=False)
            for other in ({a, b} - {self.choice.layer})
            if self.choice.layer in (a, b) and p >= ALPHA
        ]
        if not alike:
            return ""
        which = _listed(alike, "other layers")
        return f"It cannot be told apart from {which} ({heading} ≥ .05, two-sided)."

    def _below_baselines(self, pixels: float) -> list[str]:
        """Return which layers score below the pixels, or below themselves untrained."""
        rows = self.layers
        untrained = self.table[self.table["kind"] == "untrained"].groupby("layer")["score"].mean()
        below = {
            "the pixels": rows["score"].to_numpy() < pixels,
            "their untrained counterparts": (
                rows["score"].to_numpy() < untrained.reindex(rows["layer"]).to_numpy()
            ),
        }
        parts = []
        for what, which in below.items():
            named = [name for name, is_below in zip(self._names, which, strict=True) if is_below]
            if named:
                parts.append(f"below {what}: {_listed(named, 'layers')}")
        return [f"Scores {'; '.join(parts)} (not tested)."] if parts else []

    def figures(self) -> Figures:
        """Return what writes the figure, by the name of its file."""
        return {"figure": self._figure}

    def _figure(self, kind: str) -> bytes:
        size = figure_size(places(self.table))
        about = self.provenance
        return file_of(lambda f: self.plot(f.add_subplot()), size, self.title, kind, about=about)


def _listed(names: list[str], what: str) -> str:
    """Return names as a sentence has them; of many, how many there are."""
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} {what}"


def interval_label(resample: str | None) -> str:
    """Return what a 95 % interval speaks of."""
    return f"95 % CI over {OVER[resample]}" if resample else ""
