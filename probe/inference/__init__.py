"""Noise ceilings, bootstrap and tests. Arrays in, arrays out."""

from probe.inference.ceiling import noise_ceiling
from probe.inference.evaluate import RESAMPLES, TESTS, Evaluation, evaluate
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.selection import Selection, select_on_halves

__all__ = [
    "RESAMPLES",
    "TESTS",
    "Evaluation",
    "Selection",
    "benjamini_hochberg",
    "evaluate",
    "holm",
    "noise_ceiling",
    "select_on_halves",
]
