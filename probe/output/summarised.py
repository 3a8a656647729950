"""The base of results that show themselves: title, table, notes, figures."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import pandas as pd

from probe.output.html import as_html

Figures = Mapping[str, Callable[[str], bytes]]
"""By the name of a file, without its ending, what returns the content of one of a kind: ``.png``,
``.pdf`` or ``.svg``."""


class Summarised(ABC):
    """A result that shows itself, in a shell and in a notebook.

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

    def figures(self) -> Figures:
        """Return by name what writes each figure: takes an ending, and returns a file's content."""
        return {}

    def _png(self) -> bytes | None:
        """Return the first figure as the content of a PNG file; None where there is none."""
        return next((figure(".png") for figure in self.figures().values()), None)

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
