"""RDMs and the comparators between them. Arrays in, arrays out."""

from probe.similarity.comparators import COMPARATORS, Comparator, compare, get_comparator
from probe.similarity.rdms import METRICS, n_conditions, rdm

__all__ = [
    "COMPARATORS",
    "METRICS",
    "Comparator",
    "compare",
    "get_comparator",
    "n_conditions",
    "rdm",
]
