"""The bases of results that save themselves, and what every comparison says of its two sides."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from probe.output.files import Contents, writable_folder, write_all
from probe.output.summarised import Summarised
from probe.output.text import chosen


class Saved(Summarised):
    """A result that saves itself into a folder, too."""

    @abstractmethod
    def _contents(self) -> Contents:
        """Return what is saved, by the name of a file.

        Last comes what says how it all was made: where that is, the others are of the same result.
        """

    def save(self, path: str | Path) -> list[Path]:
        """Write tables, figures, and how they were made, into a folder.

        Parameters
        ----------
        path : str or Path
            Made if it does not exist; files of the same names are replaced, others left alone.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If the folder cannot be written.
        """
        return write_all(writable_folder(path), self._contents())

    def save_figures(self, path: str | Path, formats: Sequence[str]) -> list[Path]:
        """Write the figures as vectors, beside what `save` writes.

        Parameters
        ----------
        path : str or Path
            The folder.
        formats : sequence of str
            Some of ``.pdf`` and ``.svg``.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If the folder cannot be written.
        """
        contents = {
            f"{name}{kind}": figure(kind)
            for name, figure in self.figures().items()
            for kind in formats
        }
        return write_all(writable_folder(path), contents)


class Result(Saved):
    """A result that is known as plain values, too."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values (NaN as None)."""

    def to_json(self) -> str:
        """Return what `to_dict` does as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def _json(self) -> bytes:
        """Return the content of a JSON file."""
        return f"{self.to_json()}\n".encode()


class Compared(Result):
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
        trained = {
            "imagenet": "ImageNet weights", "published": "as published", "recipe": "made here",
            "random": "untrained",
        }  # fmt: skip
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
