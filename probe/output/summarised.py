"""How a result shows itself, and what every comparison says of its two sides."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from typing import Any

import pandas as pd

from probe.output.html import as_html
from probe.output.text import chosen


class Summarised(ABC):
    """A result that shows itself, in a shell and in a notebook: title, table, notes, figures.

    A dataclass that derives from it says ``repr=False``.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """One line that says what was compared or measured."""

    @abstractmethod
    def summary(self) -> pd.DataFrame:
        """Return the table that is read, rounded and named for people."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""

    def _png(self) -> bytes | None:
        """Return the figure as the content of a PNG file; None where there is none."""
        return None

    def _pngs(self) -> list[bytes]:
        """Return all figures that a notebook shows."""
        png = self._png()
        return [] if png is None else [png]

    def __repr__(self) -> str:
        return "\n".join([self.title, "", self.summary().to_string(index=False), "", *self.notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes())
        figures = "".join(as_html(png, self.title) for png in self._pngs())
        return (
            f"<p><b>{html.escape(self.title)}</b></p>{self.summary().to_html(index=False)}"
            f"<ul>{notes}</ul>{figures}"
        )


class Compared(Summarised):
    """What is said of every comparison of a network with a recording."""

    facts: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def simulated(self) -> bool:
        """Whether the recording was generated."""
        return bool(self.facts["recording"]["simulated"])

    @property
    def model(self) -> str:
        """The network, and in brackets which weights it has."""
        model = self.facts["model"]
        trained = {"imagenet": "ImageNet weights", "random": "untrained"}
        weights = trained.get(model["weights_kind"], f"weights of the {model['weights_kind']}")
        return f"{model['name']} ({weights})"

    @property
    def title(self) -> str:
        """One line that says what is compared with what."""
        recording = self.facts["recording"]
        neuroids = recording["n_neuroids"]
        subjects = recording["subjects"]
        region = recording["region"]
        parts = [
            None if region == recording["name"] else region,  # a folder that names none
            f"{neuroids} neuroids{chosen(recording)}" if neuroids else None,
            f"{len(subjects)} subjects" if len(subjects) > 1 else f"subject {subjects[0]}",
            f"{recording['n_stimuli']} stimuli",
        ]
        mark = "SIMULATED recording " if self.simulated else ""
        return f"{self.model} and {mark}{recording['name']}: " + ", ".join(p for p in parts if p)
