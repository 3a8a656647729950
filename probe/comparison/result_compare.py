"""What the comparison of models' RDMs with the data's found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe import plots
from probe.comparison.result import check_correction
from probe.inference import Evaluation
from probe.output.files import Contents, csv, writable_folder, write_all
from probe.output.pictures import FIGURE_STYLE, figure_file
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import plain, said_of
from probe.similarity import get_comparator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from probe.similarity.rdm_set import RDMs

MAX_SUBJECTS_NAMED = 6
"""More subjects than these are counted, not named."""


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Models compared with data by their RDMs. Shows, plots and saves itself.

    Attributes
    ----------
    evaluation : probe.inference.Evaluation
        Scores, intervals and p-values, as arrays.
    models, data : RDMs
        The RDMs that were compared, over the same stimuli.
    aliases : dict of str to str
        What each model is called in figures: the alias of a layer, or its label.
    facts : dict
        How they were compared: ``comparator``, ``resample``, ``test``, ``n_resamples``, ``seed``,
        and how ``stimuli`` were matched.
    remarks : list of str
        What else has to be known.
    provenance : dict
        Versions, hashes of files, and the command.
    """

    evaluation: Evaluation
    models: RDMs
    data: RDMs
    aliases: dict[str, str]
    facts: dict[str, Any]
    remarks: list[str]
    provenance: dict[str, Any]

    FILES: ClassVar = ("table.csv", "pairs.csv", "figure.png", "result.json")
    """What `save` writes."""

    @property
    def table(self) -> pd.DataFrame:
        """Scores and tests, one row per model: see `probe.inference.Evaluation.table`."""
        return self.evaluation.table(self.models.labels)

    @property
    def pairs(self) -> pd.DataFrame:
        """Tests between models, one row per pair: see `probe.inference.Evaluation.pairs`."""
        return self.evaluation.pairs(self.models.labels)

    @property
    def by_subject(self) -> pd.DataFrame:
        """``model``, ``subject``, ``score``: one row per model and subject."""
        return pd.DataFrame(
            {
                "model": np.repeat(self.models.labels, len(self.data)),
                "subject": np.tile(self.data.labels, len(self.models)),
                "score": self.evaluation.scores.ravel(),
            }
        )

    @property
    def title(self) -> str:
        """One line that says what was compared with what."""

        def name(rdms: RDMs, plural: str) -> str:
            return rdms.labels[0] if len(rdms) == 1 else f"{len(rdms)} {plural}"

        return (
            f"{name(self.models, 'models')} and {name(self.data, 'subjects')}: "
            f"{self.models.n_stimuli} stimuli"
        )

    @property
    def symbol(self) -> str:
        """What a score is called on an axis."""
        return get_comparator(self.facts["comparator"]).symbol

    def describe(self) -> list[tuple[str, str]]:
        """Return what was compared, and how, as (name, text) lines."""
        subjects = self.data.labels
        few = len(subjects) <= MAX_SUBJECTS_NAMED
        return [
            ("data", ", ".join(subjects) if few else f"{len(subjects)} subjects"),
            ("stimuli", self.facts["stimuli"]),
            ("comparator", self.symbol),
            (
                "resampled",
                f"{self.facts['resample'] or 'nothing'}, test against zero: {self.facts['test']}",
            ),
        ]

    def summary(self, correction: str = "fdr") -> pd.DataFrame:
        """Return the models as a person reads them, the best first.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Which corrected p-value is shown.

        Returns
        -------
        pandas.DataFrame
            One row per model, of strings; ``ceiling`` is the score as a share of the noise
            ceiling's upper and lower bound.
        """
        check_correction(correction)
        summary = self.evaluation.summary(correction)
        aliases = [self.aliases[label] for label in summary["model"]]
        if aliases != list(summary["model"]):
            pairs = zip(aliases, summary["model"], strict=True)
            summary.insert(1, "alias", ["" if alias == label else alias for alias, label in pairs])
        return summary

    def notes(self, correction: str = "fdr") -> list[str]:
        """Return in sentences what the table alone does not say.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Of the p-values that are spoken of.
        """
        check_correction(correction)
        notes = self.evaluation.notes(correction)
        if len(notes) > 1:  # of pairs, where they were tested
            notes[1] = f"{notes[1].removesuffix('.')}; see pairs.csv."
        notes = [*said_of(dict(self.data.attrs)), *notes]
        notes += self.remarks
        if self.data.attrs.get("simulated"):
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def plot(self, ax: Axes | None = None, *, correction: str = "fdr", legend: bool = True) -> Axes:
        """Draw every model's score as a bar, with intervals, tests and the noise ceiling.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        correction : {'fdr', 'holm', 'none'}
            Which p-values decide.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.axes.Axes

        See Also
        --------
        probe.plots.plot_scores : what is drawn.
        """
        return plots.plot_scores(
            self.evaluation,
            [self.aliases[label] for label in self.models.labels],
            correction=correction,
            ylabel=f"{self.symbol} with the data",
            legend=legend,
            ax=ax,
        )

    def save(self, path: str | Path, *, correction: str = "fdr") -> list[Path]:
        """Write ``table.csv``, ``pairs.csv``, ``figure.png`` and ``result.json`` into a folder.

        Parameters
        ----------
        path : str or Path
            Made if it does not exist; files of these names are replaced, others left alone.
        correction : {'fdr', 'holm', 'none'}
            Which p-values decide in the figure. The tables have all.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If the folder cannot be written.
        """
        return write_all(writable_folder(path), self._contents(correction))

    def _contents(self, correction: str = "fdr") -> Contents:
        """Return the tables, the figure and ``result.json``."""
        return {
            "table.csv": csv(self.table),
            "pairs.csv": csv(self.pairs),
            "figure.png": self.figures(correction)["figure"](".png"),
            "result.json": self._json(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the RDMs as plain values, as ``result.json`` (NaN as None)."""
        lower, upper = self.evaluation.ceiling
        return {
            "models": list(self.models.labels),
            "data": list(self.data.labels),
            "n_stimuli": self.models.n_stimuli,
            "simulated": bool(self.data.attrs.get("simulated")),
            "comparison": self.facts,
            "ceiling": plain({"lower": lower, "upper": upper}),
            "table": plain(self.table.to_dict("records")),
            "pairs": plain(self.pairs.to_dict("records")),
            "by_subject": plain(self.by_subject.to_dict("records")),
            "notes": self.remarks,
            "provenance": self.provenance,
        }

    def figures(self, correction: str = "fdr") -> Figures:
        """Return what writes the figure, by the name of its file.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Which p-values decide.
        """

        def figure(kind: str) -> bytes:
            with mpl.rc_context({"backend": "agg"}):  # no window is opened
                drawn = self.plot(correction=correction)
                with mpl.rc_context(FIGURE_STYLE):
                    dpi = mpl.rcParams["savefig.dpi"]
                    return figure_file(drawn, self.title, kind, about=self.provenance, dpi=dpi)

        return {"figure": figure}

    def save_figures(
        self, path: str | Path, formats: Sequence[str], *, correction: str = "fdr"
    ) -> list[Path]:
        """Write the figure as vectors, beside what `save` writes."""
        (figure,) = self.figures(correction).values()
        contents = {f"figure{kind}": figure(kind) for kind in formats}
        return write_all(writable_folder(path), contents)
