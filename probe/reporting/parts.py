"""What a page is made of."""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from probe.assets.manifest import Publication

MOST_ROWS = 400
"""Of a table; a page with more is slow, and nobody reads them: they are in the file."""

_NUMBER = re.compile(r"[<>≥≤±]?\s*([-−–+]?(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?)", re.IGNORECASE)

_NOTHING = ("", "-", "–", "—")
"""What stands where there is no number."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : str
    key : float or None
        What it is sorted by; by its text, where it is None.
    """

    text: str
    key: float | None = None

    @property
    def sort_key(self) -> str:
        """The key as a browser reads it; empty without one."""
        if self.key is None:
            return ""
        return repr(self.key).replace("inf", "Infinity")


@dataclass(frozen=True)
class Table:
    """A table that can be sorted.

    Attributes
    ----------
    caption : str
    columns : tuple of (str, str)
        Headings, and what stands below them: ``number``, ``text``, or ``long`` text.
    rows : tuple of tuple of Cell
    note : str
        Where the rest is, if there is more.
    folded : bool
        Whether it is opened by a click.
    """

    caption: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure or a picture.

    Attributes
    ----------
    content : Markup
        The element; empty of a picture.
    picture : str
        The address of a picture, with all its bytes in it; empty of a figure.
    caption : str
    alt : str
        What is seen, for those who cannot see it.
    """

    content: Markup
    picture: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Terms:
    """On what terms data or weights may be used, and whom to cite."""

    what: str
    licence: str
    citation: str
    homepage: str = ""


@dataclass(frozen=True)
class Section:
    """One result of a page.

    Attributes
    ----------
    kind : str
        Such as ``RSA``.
    title : str
    simulated : bool
        Whether a recording in it was generated.
    verdict : str
        What was found, in a sentence or two.
    notes : sequence of str
        What a reader has to know of the numbers.
    facts : sequence of (str, str)
        What was compared with what.
    figures, tables
    methods : sequence of str
        Paragraphs, ready to paste.
    references : sequence of Publication
        What they cite.
    terms : sequence of Terms
    provenance : dict
        With ``command``, ``date``, ``settings``, ``versions``, ``platform``, ``hashes``.
    parts : sequence of Section
        Of a map, its comparisons.
    """

    kind: str
    title: str
    simulated: bool = False
    verdict: str = ""
    notes: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    methods: Sequence[str] = ()
    references: Sequence[Publication] = ()
    terms: Sequence[Terms] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Section] = ()


def picture(png: bytes, caption: str, alt: str) -> Figure:
    """Return a picture, from the content of a PNG file."""
    return Figure(Markup(""), f"data:image/png;base64,{b64encode(png).decode()}", caption, alt)


def table_of(
    frame: pd.DataFrame, caption: str, *, file: str = "", folded: bool = False
) -> Table | None:
    """Return a table of a page; None of one without rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of numbers, or of texts that begin with numbers.
    caption : str
    file : str
        That has all its rows.
    folded : bool
    """
    frame = frame.dropna(axis=1, how="all")
    if frame.empty:
        return None
    same = _same_in_all(frame) if folded else {}
    frame = frame.drop(columns=list(same))
    columns, cells = [], []
    for name in map(str, frame.columns):
        texts = [_text(value) for value in frame[name]]
        keys = _keys(frame[name], texts)
        longest = max(map(len, texts))
        columns.append((name, "number" if keys is not None else "long" if longest > 40 else "text"))
        sort_keys: Sequence[float | None] = [None] * len(texts) if keys is None else keys
        cells.append([Cell(text, key) for text, key in zip(texts, sort_keys, strict=True)])
    rows = list(zip(*cells, strict=True))
    notes = []
    if same:
        notes.append(f"In all rows: {', '.join(f'{k} {v}' for k, v in same.items())}.")
    if len(rows) > MOST_ROWS:
        notes.append(
            f"The first {MOST_ROWS} of {len(rows):,} rows; all are in {file or 'the files'}."
        )
    return Table(caption, tuple(columns), tuple(rows[:MOST_ROWS]), " ".join(notes), folded)


def _same_in_all(frame: pd.DataFrame) -> dict[str, str]:
    """Return the columns of a long table that say the same in every row, and what they say."""
    if len(frame) < 3:
        return {}
    same = {
        str(name): _text(column.iloc[0])
        for name, column in frame.items()
        if column.map(str).nunique(dropna=False) == 1  # by all digits, not by those that are shown
    }
    return same if len(same) < len(frame.columns) else {}


def _text(value: Any) -> str:
    """Write a value as a person reads it: numbers with four digits."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        real = float(value)
        if not math.isfinite(real):
            return "" if math.isnan(real) else ("∞" if real > 0 else "−∞")
        return str(int(real)) if real == int(real) and abs(real) < 1e7 else f"{real:.4g}"
    return "" if value is None or value is pd.NA else str(value)


def _keys(column: pd.Series, texts: Sequence[str]) -> list[float | None] | None:
    """Return what a column is sorted by, if all of it are numbers; None otherwise."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return [None if pd.isna(value) else float(value) for value in column]
    keys: list[float | None] = []
    for text in texts:
        if text.strip() in _NOTHING:
            keys.append(None)
            continue
        match = _NUMBER.match(text.strip())
        if match is None:
            return None
        end = text.strip()[match.end() :]
        if end and (end[0].isalnum() or end[0] in "._/:"):  # a name that begins with a digit
            return None
        number = float(re.sub("[−–]", "-", match[1]).replace(",", ""))
        keys.append(number - 1e-12 if text.strip().startswith("<") else number)
    return keys if any(key is not None for key in keys) else None
