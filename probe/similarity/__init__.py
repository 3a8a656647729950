"""RDMs and the comparators between them, and other alignments. Arrays in, arrays out."""

from probe.similarity.alignment import (
    ALIGNMENTS,
    Representation,
    cka,
    procrustes,
    pwcca,
    soft_matching,
    svcca,
)
from probe.similarity.comparators import (
    COMPARATORS,
    Comparator,
    compare,
    get_comparator,
    whitened,
)
from probe.similarity.crossvalidated import crossvalidated_rdm
from probe.similarity.noise import noise_covariance, noise_precision, residuals_from_repeats
from probe.similarity.partition import partial, variance_partition
from probe.similarity.rdm_set import RDMs, match
from probe.similarity.rdms import METRICS, n_conditions, rdm

__all__ = [
    "ALIGNMENTS",
    "COMPARATORS",
    "METRICS",
    "Comparator",
    "RDMs",
    "Representation",
    "cka",
    "compare",
    "crossvalidated_rdm",
    "get_comparator",
    "match",
    "n_conditions",
    "noise_covariance",
    "noise_precision",
    "partial",
    "procrustes",
    "pwcca",
    "rdm",
    "residuals_from_repeats",
    "soft_matching",
    "svcca",
    "variance_partition",
    "whitened",
]
