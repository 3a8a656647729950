"""Noise ceilings, bootstrap and tests. Arrays in, arrays out."""

from probe.inference.ceiling import noise_ceiling
from probe.inference.clusters import Clusters, MaxStatistic, cluster_test, max_statistic_test
from probe.inference.evaluate import RESAMPLES, TESTS, Evaluation, evaluate
from probe.inference.flexible import Model, fitted_weights
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.over_time import OverTime, evaluate_over_time, latencies
from probe.inference.selection import Selection, select_on_halves

__all__ = [
    "RESAMPLES",
    "TESTS",
    "Clusters",
    "Evaluation",
    "MaxStatistic",
    "Model",
    "OverTime",
    "Selection",
    "benjamini_hochberg",
    "cluster_test",
    "evaluate",
    "evaluate_over_time",
    "fitted_weights",
    "holm",
    "latencies",
    "max_statistic_test",
    "noise_ceiling",
    "select_on_halves",
]
