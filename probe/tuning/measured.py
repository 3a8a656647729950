"""What an experiment on units returns: columns of the table, and the curves they are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
