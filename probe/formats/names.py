"""Names as other programs write them, and the orders in which other programs list them."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np


def as_text(value: Any) -> str:
    """Return a name as text: ``"1"`` for 1, 1.0 and ``b"1"``; accents in Unicode's form NFC.

    Raises
    ------
    ValueError
        If it is neither text nor a number, as a missing value.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"the name {bytes(value)!r} is not text in UTF-8") from None
    elif isinstance(value, bool | np.bool_):
        value = str(bool(value))
    elif isinstance(value, int | np.integer):
        value = str(int(value))
    elif isinstance(value, float | np.floating):
        if not np.isfinite(value):
            raise ValueError(f"{value} is not a name")
        value = str(int(value)) if value == int(value) else str(value)
    elif not isinstance(value, str | os.PathLike):
        raise ValueError(f"{value!r} is not a name: expected text or a number")
    return unicodedata.normalize("NFC", str(os.fsdecode(value)))


def as_texts(values: Any) -> list[str]:
    """Return the names of an array, a column or a sequence as texts.

    Parameters
    ----------
    values : array-like, shape (n,), (n, 1) or (1, n)
        As MATLAB has it, a vector may be a matrix of one row or column.

    Raises
    ------
    ValueError
        If it has another shape, or one of them is no name.
    """
    if isinstance(values, np.ndarray):
        if values.ndim > 1 and max(values.shape) != values.size:
            raise ValueError(f"names of shape {values.shape}: expected (n,), (n, 1) or (1, n)")
        values = values.ravel()
    return [as_text(value) for value in values]


def repeated(names: Iterable[str]) -> str | None:
    """Return the first name that is there again; None where all differ."""
    before = set()
    for name in names:
        if name in before:
            return name
        before.add(name)
    return None


def counts_positions(names: Sequence[str]) -> bool:
    """Return whether names are 0, 1, 2, … or 1, 2, 3, …: what programs write where there are none.

    R calls columns without names V1, V2, ….
    """
    n = len(names)
    return any(
        list(names) == [f"{prefix}{k + first}" for k in range(n)]
        for prefix, first in (("", 0), ("", 1), ("V", 1))
    )


def rivals(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two file names that common ways of sorting put in different orders.

    The order of text (10 before 2), natural order (2 before 10), each with letters of either case
    and with accents apart or together, with endings or without, and of numbers by their value.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    (str, str) or None
        The first of the two comes first in the order of text; None where all ways agree.
    """
    by_text = sorted(names)
    for key in (_natural, _folded, _natural_folded, _stem, _natural_stem, _value):
        for first, other in zip(by_text, sorted(by_text, key=key), strict=True):
            if first != other:
                return first, other
    for first, other in itertools.pairwise(sorted(by_text, key=_natural_folded)):
        if _natural_folded(first) == _natural_folded(other):  # in whatever order they were listed
            return first, other
    return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers by their value: text between them stands for itself."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def _natural_folded(name: str) -> list[tuple[int, str]]:
    return _natural(_folded(name))


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if name else name


def _natural_stem(name: str) -> list[tuple[int, str]]:
    return _natural_folded(_stem(name))


def _value(name: str) -> tuple[float, str]:
    """Value of a name that is one number, as -45.png."""
    try:
        return float(_stem(name)), ""
    except ValueError:
        return float("inf"), name


def in_order(values: Any, names: Sequence[str], what: str) -> list[Any]:
    """Return one value per name, in the order of the names.

    Parameters
    ----------
    values : mapping, pandas.Series or sequence
        A mapping of names, or a column whose index are names, is put in order; of anything else,
        the order is that of the names.
    names : sequence of str
        None of several things that have no names.
    what : str
        What errors call the values.

    Raises
    ------
    ValueError
        If a name has no value, or values have names and the others have none.
    """
    if isinstance(values, Mapping):
        keys, items = as_texts(values), list(values.values())
    elif hasattr(values, "index") and hasattr(values, "to_numpy"):
        keys, items = as_texts(values.index), list(values)
        if counts_positions(keys):
            return items
    else:
        return list(values)
    if not names:
        raise ValueError(f"{what} are given by name, and the stimuli have no names")
    by_key = dict(zip(keys, items, strict=True))
    if len(by_key) < len(keys):
        raise ValueError(f"{what} name a stimulus twice")
    if missing := [name for name in as_texts(names) if name not in by_key]:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"{what} have nothing for stimulus {missing[0]!r}{others}")
    return [by_key[name] for name in as_texts(names)]
