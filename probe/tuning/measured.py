"""What an experiment on units returns: columns of the table, and the curves they are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Measured:
    """Results of one experiment on some units.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per unit, in their order; columns as in `probe.tuning.Tuning`.
    curves : mapping of str to pandas.DataFrame
        By what was varied (``orientation``, ``frequency``, ``diameter``, …): one row per unit,
        indexed by its name, and one column per value.
    """

    table: pd.DataFrame
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def curve_table(
    units: pd.DataFrame, curves: np.ndarray, values: Sequence[Any] | np.ndarray, name: str
) -> pd.DataFrame:
    """Return curves, (n_units, n_values), as `Measured` has them.

    Parameters
    ----------
    units : pandas.DataFrame
        ``Units.table``.
    curves : numpy.ndarray, shape (n_units, n_values)
    values : sequence, length n_values
        What was varied.
    name : str
        What it is called, such as ``orientation``.
    """
    return pd.DataFrame(curves, pd.Index(units["unit"], name="unit"), pd.Index(values, name=name))
