"""Noise ceilings, bootstrap and tests. Arrays in, arrays out."""

from probe.inference.ceiling import noise_ceiling
from probe.inference.evaluate import RESAMPLES, TESTS, Evaluation, evaluate
from probe.inference.flexible import Model, fitted_weights
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.over_time import OverTime, evaluate_over_time, latencies
from probe.inference.selection import Selection, select_on_halves

__all__ = [
    "RESAMPLES",
    "TESTS",
    "Evaluation",
    "Model",
    "OverTime",
    "Selection",
    "benjamini_hochberg",
    "evaluate",
    "evaluate_over_time",
    "fitted_weights",
    "holm",
    "latencies",
    "noise_ceiling",
    "select_on_halves",
]
