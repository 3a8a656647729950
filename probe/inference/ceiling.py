"""How well the best possible model could do, given that subjects differ."""

from __future__ import annotations

import numpy as np

from probe.similarity import Comparator, get_comparator


def noise_ceiling(
    rdms: np.ndarray, comparator: str | Comparator = "spearman"
) -> tuple[float, float]:
    """Bound the score of the true model from below and above.

    The upper bound compares every subject with the RDM pooled over all subjects, the lower bound
    with the one pooled over all others. The pooling is the one that is optimal for the
    comparator (`Comparator.pool`): the mean of untransformed RDMs is no upper bound for a rank
    correlation.

    Parameters
    ----------
    rdms : numpy.ndarray, shape (n_subjects ≥ 2, n_pairs)
        One RDM per subject.
    comparator : str or Comparator

    Returns
    -------
    lower, upper : float

    Raises
    ------
    ValueError
        If there are fewer than two subjects, or an RDM is constant or not finite.

    References
    ----------
    Nili et al. 2014, PLoS Comput Biol 10:e1003553.
    """
    chosen = get_comparator(comparator)
    rdms = np.atleast_2d(np.asarray(rdms, dtype=np.float64))
    n_subjects = len(rdms)
    if n_subjects < 2:
        raise ValueError("a noise ceiling over subjects needs at least two subjects")
    data = chosen.prepare(rdms)
    others = [chosen.pool(np.delete(rdms, s, axis=0)) for s in range(n_subjects)]
    pooled = chosen.prepare(np.stack([chosen.pool(rdms), *others]))
    scores = chosen.similarity(pooled, data)
    return float(np.diagonal(scores[1:]).mean()), float(scores[0].mean())
