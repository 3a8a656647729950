"""The base of results that are one figure: it is drawn, shown in a notebook, and saved."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probe.output.pictures import as_html, figure_file, figure_png, place_of, write
from probe.output.vectors import VECTORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Contents = Mapping[str, Callable[[], bytes]]
"""By the ending of a file, what computes its content."""


class Drawable(ABC):
    """A result that draws itself, shows itself in a notebook, and saves itself.

    A dataclass that derives from it says ``repr=False``.
    """

    if TYPE_CHECKING:  # fields of some results, properties of others

        @property
        def title(self) -> str:
            """One line that says what is shown."""

        @property
        def about(self) -> Mapping[str, Any]:
            """Everything that decides the figure, as plain values, for its metadata."""

    @abstractmethod
    def plot(self) -> Axes | Figure | SubFigure:
        """Draw the figure."""

    def _contents(self) -> Contents:
        """Return what may be saved besides the figure."""
        return {}

    def _caption(self) -> str:
        """Return the HTML that stands below the figure in a notebook."""
        return ""

    def png(self) -> bytes:
        """Return the content of a PNG file; `probe.images.about` reads how it was made."""
        return figure_png(self.plot(), self.about)

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png, .pdf, .svg), with all that decides it, or what it shows.

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        return save_as(path, {".png": self.png, **self._vectors(), **self._contents()})

    def save_vectors(self, path: str | Path, formats: Sequence[str]) -> list[Path]:
        """Write the figure as vectors, beside a file of it: under its name, with other endings.

        Parameters
        ----------
        path : str or Path
            Of the figure.
        formats : sequence of str
            Some of ``.pdf`` and ``.svg``.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If one cannot be written.
        """
        vectors = self._vectors()
        return [save_as(Path(path).with_suffix(kind), {kind: vectors[kind]}) for kind in formats]

    def _vectors(self) -> Contents:
        """Return what computes the figure as vectors, by the ending of a file."""
        return {kind: partial(self._vector, kind) for kind in VECTORS}

    def _vector(self, kind: str) -> bytes:
        return figure_file(self.plot(), self.title, kind, about=self.about, tight=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}>"

    def _repr_html_(self) -> str:
        return as_html(self.png(), self.title) + self._caption()


def save_as(path: str | Path, contents: Contents) -> Path:
    """Write a file of one of several kinds, by its name's ending.

    Raises
    ------
    ProbeError
        If the file is of another kind, or cannot be written.
    """
    checked = place_of(path, *contents)
    return write(checked, contents[checked.suffix.lower()]())


def npy(values: np.ndarray) -> bytes:
    """Return an array as the content of a .npy file."""
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return arrays by name as the content of a .npz file."""
    content = io.BytesIO()
    by_name: Any = dict(arrays)
    np.savez(content, **by_name)
    return content.getvalue()
