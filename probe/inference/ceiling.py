"""How well the best possible model could do, given that subjects differ."""

from __future__ import annotations

import numpy as np

from probe.similarity import Comparator, get_comparator
from probe.similarity.pairs import complete_pairs, restrict


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
        One RDM per subject. A pair that is NaN in any of them is left out of all.
    comparator : str or Comparator

    Returns
    -------
    lower, upper : float
        NaN where a pool is constant, as that of two subjects of whom one is the other's opposite.

    Raises
    ------
    ValueError
        If there are fewer than two subjects, or an RDM is constant or not finite.

    See Also
    --------
    evaluate : Scores of models, held against this ceiling.

    References
    ----------
    Nili et al. 2014, PLoS Comput Biol 10:e1003553.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.inference import noise_ceiling
    >>> rng = np.random.default_rng(0)
    >>> subjects = rng.random(45) + rng.normal(scale=0.3, size=(4, 45))
    >>> lower, upper = noise_ceiling(subjects)
    >>> 0 < lower < upper < 1
    True
    """
    chosen = get_comparator(comparator)
    rdms = np.atleast_2d(np.asarray(rdms, dtype=np.float64))
    if len(rdms) < 2:
        raise ValueError("a noise ceiling over subjects needs at least two subjects")
    pairs = complete_pairs([rdms], ["subject"])
    data = chosen.prepare(restrict(rdms, pairs), pairs, "subject")
    _, bounds = chosen.resample(data, data, np.ones((1, pairs.n)), [np.ones((1, len(rdms)))])
    lower, upper = bounds[0, 0].mean(axis=1)
    return float(lower), float(upper)
