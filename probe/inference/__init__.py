"""Noise ceilings, bootstrap and tests. Arrays in, arrays out."""

from probe.inference.ceiling import noise_ceiling
from probe.inference.evaluate import Evaluation, evaluate
from probe.inference.multiplicity import holm
from probe.inference.selection import Selection, select_on_halves

__all__ = [
    "Evaluation",
    "Selection",
    "evaluate",
    "holm",
    "noise_ceiling",
    "select_on_halves",
]
