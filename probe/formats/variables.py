"""What an array file holds: named arrays, and what it says of their axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


class Unread(Protocol):
    """An array of numbers that is still in its file, with two or more axes longer than 1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How long its axes are."""

    @property
    def size(self) -> int:
        """How many numbers it has."""

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers in the file."""

    def read(self, axis: int, kept: np.ndarray) -> np.ndarray:
        """Read some entries of one axis, ascending positions, and all of the others."""


@dataclass(frozen=True, eq=False)
class Variable:
    """One array of a file.

    Attributes
    ----------
    values : numpy.ndarray or Unread
        Numbers, or texts (dtype object), with the axes in the order that its authors know. Unread
        where there are too many to read those that nobody wants.
    dims : tuple of str or None
        Names of its axes, where the file gives them.
    unit : str
        As the file says it; empty where it does not.
    """

    values: np.ndarray | Unread
    dims: tuple[str, ...] | None = None
    unit: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.values.dtype == object

    @property
    def vector(self) -> np.ndarray | None:
        """Its values in one row, where at most one of its axes is longer than 1."""
        if not isinstance(self.values, np.ndarray):
            return None
        longest = max(self.values.shape, default=1)
        return self.values.ravel() if longest == self.values.size else None

    def read(self, axis: int | None = None, kept: np.ndarray | None = None) -> np.ndarray:
        """Return its values; of one axis, only some.

        Parameters
        ----------
        axis : int, optional
        kept : numpy.ndarray of int, optional
            Ascending positions along the axis.

        Raises
        ------
        ValueError
            If the file is cut or damaged.
        """
        if isinstance(self.values, np.ndarray):
            if axis is None or kept is None:
                return self.values
            return self.values.take(kept, axis)
        if axis is None or kept is None:
            axis, kept = 0, np.arange(self.values.shape[0])
        return self.values.read(axis, kept)


@dataclass(frozen=True, eq=False)
class Variables:
    """All arrays of a file.

    Attributes
    ----------
    arrays : dict of str to Variable
        By name; those in a struct or a group are called ``struct.field``.
    unreadable : dict of str to str
        What is in the file and cannot be read, and why.
    """

    arrays: dict[str, Variable]
    unreadable: dict[str, str] = field(default_factory=dict)
