"""Names of files in BIDS: what they say of subject, space, run and contrast."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENDING = re.compile(r"(\.[A-Za-z]\w*)?\.nii(\.gz)?$|(\.[a-z]+)?\.gii$|\.[A-Za-z]\w*$")
_ENTITY = re.compile(r"([A-Za-z]+)-([^_-]+)")
_NUMBERS = ("run", "echo", "split", "inv")
"""Entities whose values are numbers, with zeros in front or without."""

_INDIVIDUAL = ("", "T1w", "T2w", "fsnative", "bold", "boldref", "orig", "individual", "scanner")


@dataclass(frozen=True)
class BIDSName:
    """What the name of a file says.

    Attributes
    ----------
    entities : dict of str to str
        By their keys, as ``sub`` or ``space``; empty where the name is not of BIDS.
    suffix : str
        The last part before the ending, as ``bold`` or ``statmap``; empty where it has no entity.
    stem : str
        The whole name without its ending.
    """

    entities: dict[str, str]
    suffix: str
    stem: str

    def __getitem__(self, entity: str) -> str:
        """Return the value of an entity, empty where the name has none."""
        return self.entities.get(entity, "")

    @property
    def space(self) -> str:
        """Name of the space, of a template where the file is of one; empty where it is not said."""
        return self["space"] or self["tpl"]

    @property
    def in_own_space(self) -> bool:
        """Whether the space is that of one person."""
        return self.space in _INDIVIDUAL


def parse_name(name: str) -> BIDSName:
    """Take a file's name apart.

    ``run-1`` and ``run-01`` are one run. Parts that are no entities, as a prefix that a tool was
    given, say nothing.

    Parameters
    ----------
    name : str
        Of a file, without its folder.

    Returns
    -------
    BIDSName
    """
    stem = _ENDING.sub("", name)
    parts = stem.split("_")
    entities: dict[str, str] = {}
    for part in parts:
        if match := _ENTITY.fullmatch(part):
            key, value = match.groups()
            number = key in _NUMBERS and value.isdecimal()
            entities[key] = str(int(value)) if number else value
    suffix = parts[-1] if entities and "-" not in parts[-1] else ""
    return BIDSName(entities, suffix, stem)


def contrast_names(name: str) -> set[str]:
    """Return how a picture's name may be written where only letters and digits are allowed.

    nilearn 0.14 writes ``img_1_1`` as ``img11``, ``a-b`` as ``aMinusB``.

    Parameters
    ----------
    name : str
        Of a condition, or of a picture without its ending.

    Returns
    -------
    set of str
        In small letters.
    """
    spelled = name
    for sign, word in (("-", "minus"), ("+", "plus"), (">", "gt"), ("<", "lt")):
        spelled = spelled.replace(sign, word)
    return {
        "".join(c for c in one if c.isalnum()).lower() for one in (name, spelled)
    }  # fmt: skip
