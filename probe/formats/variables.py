"""What an array file holds: named arrays, and what it says of their axes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Variable:
    """One array of a file.

    Attributes
    ----------
    values : numpy.ndarray
        Numbers, or texts (dtype object), with the axes in the order that its authors know.
    dims : tuple of str or None
        Names of its axes, where the file gives them.
    unit : str
        As the file says it; empty where it does not.
    """

    values: np.ndarray
    dims: tuple[str, ...] | None = None
    unit: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.values.dtype == object

    @property
    def vector(self) -> np.ndarray | None:
        """Its values in one row, where at most one of its axes is longer than 1."""
        longest = max(self.values.shape, default=1)
        return self.values.ravel() if longest == self.values.size else None


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
