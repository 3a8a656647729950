"""What of the similarity of two RDMs a third one explains, and what several explain together.

Both questions have their answer in the correlations between the RDMs: a partial correlation, and
the R² of every subset of predictors in a linear regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from probe.similarity.comparators import get_comparator, is_constant
from probe.similarity.pairs import complete_pairs, restrict

if TYPE_CHECKING:
    import pandas as pd

PARTIAL = ("pearson", "spearman", "rho-a")
"""Comparators that `partial` knows: correlations, of which a part can be taken out."""

MAX_PREDICTORS = 4
"""Most predictors of `variance_partition`, which has 2ᵏ − 1 components: 15."""

COLLINEAR = 1e-10
"""A share of the variance below which nothing but rounding is left."""


def partial(
    a: np.ndarray,
    b: np.ndarray,
    given: np.ndarray | Sequence[np.ndarray],
    comparator: str = "spearman",
) -> float:
    r"""Compare two RDMs after others are regressed out of both: partial RSA.

    The correlation between what a linear regression on ``given`` leaves of ``a`` and of ``b``; for
    one RDM given,

    .. math:: r_{ab \cdot g} = \frac{r_{ab} - r_{ag} r_{bg}}
                                    {\sqrt{(1 - r_{ag}^2)(1 - r_{bg}^2)}} .

    Spearman's is that of the ranks. For rho-a, the correlations in the formula are rho-a: those
    that are expected when ties are broken at random, independently in every RDM.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (n_pairs,)
        Condensed RDMs over the same conditions in the same order.
    given : numpy.ndarray, shape (n_pairs,) or (n_given, n_pairs), or a sequence of RDMs
        What is regressed out.
    comparator : {'spearman', 'pearson', 'rho-a'}
        Which correlation.

    Returns
    -------
    float
        In [−1, 1]. A pair that is missing (NaN) in any of the RDMs is left out of all.

    Raises
    ------
    ValueError
        If the comparator is another, the RDMs differ in size, one is constant or infinite, or
        ``given`` explains ``a`` or ``b`` completely, so that nothing is left to compare.

    See Also
    --------
    compare : Without regressing anything out.
    variance_partition : What each of several predictors adds.

    References
    ----------
    Legendre & Legendre 2012, Numerical Ecology, 3rd ed., sections 4.5 and 10.5 (the partial Mantel
    statistic); Fisher 1924, Metron 3:329.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import partial
    >>> rng = np.random.default_rng(0)
    >>> pixels = rng.random(45)
    >>> model, data = pixels + rng.random(45) / 10, pixels + rng.random(45) / 10
    >>> bool(abs(partial(model, data, pixels)) < 0.4)  # both owe their likeness to the pixels
    True
    """
    if comparator not in PARTIAL:
        raise ValueError(
            f"comparator {comparator!r}: expected one with a partial form: {', '.join(PARTIAL)}"
        )
    others = _rows(given, "given")
    sets = [_rows(a, "a", single=True), _rows(b, "b", single=True), others]
    names = ["a", "b", *(f"given {k}" for k in range(len(others)))]
    correlations, _ = _correlations(sets, names, comparator)
    with_given, among_given = correlations[:2, 2:], correlations[2:, 2:]
    explained = with_given @ _inverse(among_given)
    left = correlations[:2, :2] - explained @ with_given.T
    for name, variance in zip("ab", left.diagonal(), strict=True):
        if variance <= COLLINEAR:
            raise ValueError(f"the RDMs given explain {name} completely: nothing of it is left")
    return float(np.clip(left[0, 1] / np.sqrt(left[0, 0] * left[1, 1]), -1.0, 1.0))


def variance_partition(
    data: np.ndarray,
    predictors: Mapping[str, np.ndarray],
    *,
    ranks: bool = False,
    adjusted: bool = False,
) -> pd.DataFrame:
    r"""Share out the variance of RDMs between predictor RDMs: commonality analysis.

    Every data RDM is regressed linearly, with an intercept, on every subset of the predictors.
    What exactly the subset T of all predictors N explains in common, and no other does, is

    .. math:: C(T) = -\sum_{U \subseteq T} (-1)^{|U|} \, R^2_{(N \setminus T) \cup U},
              \qquad R^2_\emptyset = 0 .

    For a single predictor it is what R² loses without it. The 2ᵏ − 1 components add up to the R²
    of the regression on all.

    A shared component can be negative, where predictors explain more together than the sum of
    what each does alone (suppression): it is reported as it is, and no Venn diagram shows it.

    Parameters
    ----------
    data : numpy.ndarray, shape (n_pairs,) or (S, n_pairs)
        The RDM to explain, or one per subject.
    predictors : mapping of str to numpy.ndarray, shape (n_pairs,)
        2 to 4 RDMs, by name.
    ranks : bool
        Replace the distances of every RDM by their ranks.
    adjusted : bool
        Take the adjusted R², :math:`1 - (1 - R^2)(n - 1)/(n - k - 1)` for k predictors and n
        pairs. The pairs of conditions are not independent, so that this corrects too little.

    Returns
    -------
    pandas.DataFrame
        One row per subject and component: ``subject`` (position in ``data``), ``component`` (the
        names of its predictors, joined by " & "), ``n_predictors`` (1: unique, more: shared),
        ``r2`` (its share of the variance), ``r2_all`` (of all predictors together, the sum of the
        components). A pair that is missing (NaN) in any RDM is left out of all.

    Raises
    ------
    ValueError
        If the number of predictors is another, RDMs differ in size, are constant or infinite, or
        have too few pairs for the adjusted R².

    See Also
    --------
    partial : One correlation, with other RDMs regressed out.

    References
    ----------
    Seibold & McPhee 1979, Hum Commun Res 5:355; Legendre & Legendre 2012, Numerical Ecology, 3rd
    ed., section 10.3.5; for RDMs: Lescroart, Stansbury & Gallant 2015, Front Comput Neurosci
    9:135; Groen et al. 2018, eLife 7:e32962.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import variance_partition
    >>> a, b = np.random.default_rng(0).random((2, 45))
    >>> parts = variance_partition(a + b, {"a": a, "b": b})
    >>> round(float(parts["r2"].sum()), 6)
    1.0
    """
    import pandas as pd

    names = [str(name) for name in predictors]
    k = len(names)
    if not 2 <= k <= MAX_PREDICTORS or len(set(names)) < k:
        raise ValueError(
            f"{k} predictors ({', '.join(names)}): expected 2 to {MAX_PREDICTORS} with different "
            "names"
        )
    subjects = _rows(data, "data")
    sets = [_rows(values, name, single=True) for name, values in predictors.items()]
    labels = [*names, *(f"data {s}" for s in range(len(subjects)))]
    correlations, n_pairs = _correlations(
        [*sets, subjects], labels, "spearman" if ranks else "pearson"
    )
    if adjusted and n_pairs <= k + 1:
        raise ValueError(f"{n_pairs} pairs are too few for the adjusted R² of {k} predictors")

    everyone = tuple(range(k))
    subsets = _subsets(everyone)
    table = []
    for s, with_data in enumerate(correlations[k:]):
        r2: dict[tuple[int, ...], float] = {(): 0.0}
        for chosen in subsets[1:]:
            among, with_chosen = correlations[np.ix_(chosen, chosen)], with_data[list(chosen)]
            r2[chosen] = float(with_chosen @ _inverse(among) @ with_chosen)
            if adjusted:
                r2[chosen] = 1 - (1 - r2[chosen]) * (n_pairs - 1) / (n_pairs - len(chosen) - 1)
        for component in subsets[1:]:
            others = set(everyone) - set(component)
            table.append(
                {
                    "subject": s,
                    "component": " & ".join(names[i] for i in component),
                    "n_predictors": len(component),
                    "r2": -sum(
                        (-1) ** len(some) * r2[tuple(sorted(others | set(some)))]
                        for some in _subsets(component)
                    ),
                    "r2_all": r2[everyone],
                }
            )
    return pd.DataFrame(table)


def _subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets, the empty one first."""
    return [some for size in range(len(items) + 1) for some in combinations(items, size)]


def _inverse(correlations: np.ndarray) -> np.ndarray:
    """Inverse of a correlation matrix, also where an RDM is in it twice."""
    return np.linalg.pinv(correlations, rcond=COLLINEAR, hermitian=True)


def _rows(rdms: np.ndarray | Sequence[np.ndarray], name: str, single: bool = False) -> np.ndarray:
    """RDMs as rows, shape (n_rdms, n_pairs)."""
    rows = np.atleast_2d(np.asarray(rdms, dtype=np.float64))
    if rows.ndim != 2 or len(rows) == 0 or (single and len(rows) > 1):
        expected = "(pairs,)" if single else "(pairs,) or (RDMs, pairs)"
        raise ValueError(f"{name} has shape {np.shape(rdms)}: expected {expected}")
    return rows


def _correlations(
    sets: Sequence[np.ndarray], names: Sequence[str], comparator: str
) -> tuple[np.ndarray, int]:
    """Correlations of all RDMs with all, over the pairs that all have, and how many these are."""
    pairs = complete_pairs(sets)
    rdms = restrict(np.concatenate(sets), pairs)
    for name, row in zip(names, rdms, strict=True):
        if is_constant(row):
            raise ValueError(f"RDM {name!r} is constant: a correlation with it is undefined")
    chosen = get_comparator(comparator)
    prepared = chosen.prepare(rdms, pairs)
    correlations = chosen.similarity(prepared, prepared)
    # Rho-a of an RDM with ties with itself, when these are broken once and not twice.
    np.fill_diagonal(correlations, 1.0)
    return correlations, len(pairs)
