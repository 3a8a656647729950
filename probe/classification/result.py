"""What another classification, learned from frozen layers, gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from probe.classification.classifiers import CLASSIFIERS
from probe.classification.scores import Choice
from probe.output.files import Contents, csv
from probe.output.pictures import figure_file, figure_png
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import number, plain, weights_text
from probe.output.vectors import VECTORS
from probe.plots.transfer import plot_transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SUMMARISED_SHOTS = (1, 5)
"""Training pictures per class, of which a summary has the accuracy."""


@dataclass(frozen=True, eq=False, repr=False)
class Transfer(Result):
    """Frozen layers put to another classification. Shows, plots and saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Tidy: one row per layer (``kind == 'layer'``), baseline (``untrained``, ``baseline``),
        ``classifier`` (``linear``, ``knn``) and number of training pictures.
        ``n_train_per_class``: of ``few_shot`` rows exact; of the others, which learn from all
        pictures of the other folds, the mean over classes. ``accuracy`` and ``balanced_accuracy``
        (the mean over classes) of held-out pictures, from 0 to 1, with the ends of 95 % intervals,
        ``low`` and ``high``, ``balanced_low`` and ``balanced_high``, over pictures (see
        `probe.classification.scores.accuracies`). ``chance``: the accuracy of naming always the
        largest class; ``balanced_chance``: one over the number of classes. ``shown``: what the
        layer is called in the other tables, such as ``hog`` or ``hmax c2``.
    pictures : pandas.DataFrame
        One row per layer, classifier and picture, learned from all pictures of the other folds:
        ``stimulus_id``, ``class``, ``correct`` (the share of repeats) and ``most_often`` (the class
        that was named most often).
    pairs : pandas.DataFrame
        ``layer_a``, ``layer_b``, ``difference`` of their accuracies and the ends of its 95 %
        interval, paired over pictures, which are resampled within classes.
    choices : dict of str to Choice
        By classifier, the best layer, chosen on one half of the pictures and scored on the other.
    facts, provenance : dict
        What was classified, and how: plain values.
    """

    table: pd.DataFrame
    pictures: pd.DataFrame
    pairs: pd.DataFrame
    choices: dict[str, Choice]
    facts: dict[str, Any]
    provenance: dict[str, Any]

    FILES: ClassVar = ("table.csv", "pictures.csv", "pairs.csv", "figure.png", "result.json")
    """What `save` writes."""

    @property
    def title(self) -> str:
        """One line that says what was classified from what."""
        model, pictures = self.facts["model"], self.facts["pictures"]
        counts = pictures["classes"].values()
        return (
            f"{model['name']}, frozen, classifies {pictures['name']}: {len(counts)} classes, "
            f"{sum(counts)} pictures"
        )

    @property
    def layers(self) -> pd.DataFrame:
        """Rows of layers that learned from all pictures of the other folds, without baselines."""
        return self.table[(self.table["kind"] == "layer") & ~self.table["few_shot"]].reset_index(
            drop=True
        )

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw accuracy along the layers and with few training pictures; see `plot_transfer`.

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
        return plot_transfer(self.table, title=self.title, legend=legend, figure=figure)

    def describe(self) -> list[tuple[str, str]]:
        """Return what was done, as (name, text) lines."""
        model, pictures = self.facts["model"], self.facts["pictures"]
        counts = pictures["classes"]
        listed = ", ".join(f"{name} {n}" for name, n in list(counts.items())[:8])
        more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
        return [
            ("weights", weights_text(model)),
            ("input", model["preprocessing"]),
            ("classes", listed + more),
            ("features", self.facts["reduced"]),
            (
                "held out",
                f"each picture once in {self.facts['folds']} stratified folds, "
                f"{self.facts['repeats']} times",
            ),
        ]

    def summary(self) -> pd.DataFrame:
        """Return the layers and the baselines as a person reads them: rounded, as text."""
        full = self.table[~self.table["few_shot"]]
        rows = full[full["classifier"] == "linear"]
        columns: dict[str, list[str]] = {"layer": list(rows["shown"])}
        aliases = rows["alias"].where(rows["kind"] != "baseline", "")
        if aliases.any():
            columns["alias"] = list(aliases)
        for name, said in CLASSIFIERS.items():
            of = full[full["classifier"] == name].to_dict("records")
            columns[said] = [number(row["accuracy"]) for row in of]
            columns["95 % CI" if name == "linear" else "95 % CI "] = [
                f"{number(row['low'])} to {number(row['high'])}" for row in of
            ]
        few = self.table[self.table["few_shot"] & (self.table["classifier"] == "linear")]
        for shots in SUMMARISED_SHOTS:
            accuracies = few.loc[few["n_train_per_class"] == shots, "accuracy"]
            if len(accuracies):
                columns[f"{shots} per class"] = [number(value) for value in accuracies]
        return pd.DataFrame(columns)

    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""
        first = self.table.iloc[0]
        facts = self.facts
        notes = [
            f"Accuracy of held-out pictures; chance {number(first['chance'])} (always the largest "
            "class). Linear probe: a ridge classifier, penalty by leave-one-out within the "
            f"training pictures; {facts['neighbours']} nearest neighbours by cosine distance, "
            "weighted by 1/distance. Intervals: 95 % over pictures, not over repeats.",
        ]
        for name, said in CLASSIFIERS.items():
            choice = self.choices[name]
            notes.append(
                f"Best layer for the {said}: {choice.layer}, chosen on one half of the pictures in "
                f"{100 * choice.share:.0f} % of divisions; accuracy on the other half "
                f"{number(choice.accuracy)}."
            )
        notes += self._against_baselines()
        if (self.table["balanced_chance"] < self.table["chance"]).any():
            notes.append(
                "Classes differ in size: the table has balanced accuracies, too (chance "
                f"{number(first['balanced_chance'])})."
            )
        return notes + facts["remarks"]

    def _against_baselines(self) -> list[str]:
        """Return by how much the best layer is above pixels, HOG, and the best other baseline."""
        others = self.table[(self.table["kind"] == "baseline") & ~self.table["few_shot"]]
        if others.empty:
            return []
        layer = self.choices["linear"].layer
        of = self.pairs[(self.pairs["classifier"] == "linear") & (self.pairs["layer_a"] == layer)]
        rows = of[of["layer_b"].isin(others["shown"])].sort_values("difference")
        rows = rows[rows["layer_b"].isin(("pixels", "hog", rows["layer_b"].iloc[0]))]
        parts = [
            f"{row['layer_b']} {number(row['difference'])} "
            f"({number(row['low'])} to {number(row['high'])})"
            for row in rows.to_dict("records")
        ]
        return [f"Linear probe, accuracy from {layer} less that from {', '.join(parts)}."]

    def _contents(self) -> Contents:
        """Return tables, the figure and ``result.json``, which says how it all was made."""
        return {
            "table.csv": csv(self.table.drop(columns="shown")),
            "pictures.csv": csv(self.pictures),
            "pairs.csv": csv(self.pairs),
            "figure.png": self._figure(".png"),
            "result.json": self._json(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all but the tables of pictures and pairs as plain values (NaN as None)."""
        return {
            **plain(self.facts),
            "choices": {name: plain(vars(choice)) for name, choice in self.choices.items()},
            "table": plain(self.table.to_dict("records")),
            "provenance": plain(self.provenance),
        }

    def figures(self) -> Figures:
        """Return what writes the figure, by the name of its file."""
        return {"figure": self._figure}

    def _figure(self, kind: str) -> bytes:
        if kind in VECTORS:
            return figure_file(self.plot(), self.title, kind, about=self.provenance, tight=True)
        return figure_png(self.plot(), {"title": self.title})
