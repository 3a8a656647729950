"""How alike two sets of responses to the same stimuli are, without RDMs.

Every function takes responses ``x`` (n_stimuli, P) and ``y`` (n_stimuli, Q), the same stimuli in
the same order, and centres every neuroid over the stimuli first. Each returns one number, 1 for
``y`` equal to ``x``. They differ in what else they take for equal:

================  ==============================================================================
`cka`             rotations and reflections of either space, one gain for all its neuroids
`procrustes`      the same
`svcca`           the same, and any invertible linear map within the components that it keeps
`pwcca`           any invertible linear map of ``y``; a gain for all of ``x``. Not symmetric
`soft_matching`   another order of the neuroids, and a positive gain of each. No rotation
================  ==============================================================================

All but `soft_matching` work with matrices of n_stimuli × n_stimuli where there are more neuroids
than stimuli, so that a layer too large for memory streams through, as in `probe.similarity.rdm`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from probe.similarity.ranks import compiled
from probe.similarity.rdms import BadPatternError

BLOCK_BYTES = 2**26
"""Size of one block of neuroids, in float64."""

MAX_ASSIGNED = 2**26
"""Most pairs of neuroids in `soft_matching`, for equal numbers (8,192 and 8,192: 0.5 GB)."""

MAX_TRANSPORTED = 2**23
"""Most pairs of neuroids in `soft_matching`, for unequal numbers (200,000 and 40: a minute)."""

EPS = np.finfo(np.float64).eps


def cka(x: Any, y: Any, debiased: bool = False) -> float:
    r"""Compare two representations by linear centred kernel alignment.

    With the centred Gram matrices K = XXᵀ and L = YYᵀ,

    .. math:: \mathrm{CKA} = \frac{\mathrm{HSIC}(K, L)}
                                  {\sqrt{\mathrm{HSIC}(K, K)\,\mathrm{HSIC}(L, L)}},

    where :math:`\mathrm{HSIC}(K, L) = \mathrm{tr}(KL) = \lVert Y^TX \rVert_F^2` (Kornblith et al.
    2019; factors that cancel are left out). This is the whitened cosine of the two squared
    Euclidean RDMs for conditions with independent noise (Diedrichsen et al. 2021). With few
    stimuli and many neuroids it is biased upward: for two layers of 200,000 independent random
    responses to 100 stimuli it is nearly 1.

    ``debiased`` puts the U-statistic of HSIC in its place (Song et al. 2012; Nguyen et al. 2021,
    eq. 3):

    .. math:: \mathrm{HSIC}_1 = \frac{1}{n(n-3)} \left[ \mathrm{tr}(\tilde K \tilde L)
              + \frac{1^T \tilde K 1 \; 1^T \tilde L 1}{(n-1)(n-2)}
              - \frac{2}{n-2} 1^T \tilde K \tilde L 1 \right]

    (:math:`\tilde K`: K with a zero diagonal). It has the expected value 0 for independent
    responses, whatever the numbers of stimuli and neuroids, and may thus be negative.

    Parameters
    ----------
    x, y : array-like, shape (n_stimuli, n_neuroids)
        Responses. Anything with ``shape`` whose slices ``x[:, a:b]`` turn into NumPy arrays, a
        Zarr array for one. At least 3 stimuli, or 4 for the debiased form.
    debiased : bool
        Remove the bias of a small number of stimuli.

    Returns
    -------
    float
        In [0, 1]; debiased, in [−1, 1]. Constant neuroids have no part in it.

    Raises
    ------
    ValueError
        If the numbers of stimuli differ or are too small, a value is not finite (the stimulus is
        named), all stimuli have the same responses or, debiased, are equally far apart.

    See Also
    --------
    procrustes : After the best rotation of one onto the other.
    svcca, pwcca : Canonical correlation, blind to any linear map.
    soft_matching : Neuroid by neuroid, with nothing rotated.
    probe.align : Every layer of a network against a recording.

    References
    ----------
    Kornblith, Norouzi, Lee & Hinton 2019, ICML, arXiv:1905.00414; Song, Smola, Gretton, Bedo &
    Borgwardt 2012, J Mach Learn Res 13:1393; Nguyen, Raghu & Kornblith 2021, ICLR,
    arXiv:2010.15327; Diedrichsen et al. 2021, arXiv:2007.02789; on the bias: Murphy, Zylberberg &
    Fyshe 2024, arXiv:2405.01012.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import cka
    >>> x = np.random.default_rng(0).normal(size=(40, 10))
    >>> rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))[0]
    >>> round(cka(x, 3 * x @ rotation + 5), 6)
    1.0
    """
    x, y = _pair(x, y, least=4 if debiased else 3)
    n = x.n_stimuli
    if max(x.n_neuroids, y.n_neuroids) < n:  # products of neuroids are the smaller ones
        a, b = x.centred, y.centred
        own_a, own_b = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
        products = [np.einsum("ij,ij->", c, c) for c in (a.T @ b, a.T @ a, b.T @ b)]
    else:
        a, b = x.gram, y.gram
        own_a, own_b = a.diagonal(), b.diagonal()
        products = [np.einsum("ij,ij->", c, d) for c, d in ((a, b), (a, a), (b, b))]
    if debiased:
        # The rows of a centred Gram matrix sum to zero, so those of one without its diagonal sum
        # to minus the diagonal: the formula above needs no more than the diagonals.
        rounding = 64.0 * EPS * max(products)
        products = [
            product - n / (n - 2) * (c @ d) + c.sum() * d.sum() / ((n - 1) * (n - 2))
            for product, (c, d) in zip(
                products, ((own_a, own_b), (own_a, own_a), (own_b, own_b)), strict=True
            )
        ]
        for side, product in zip((x, y), products[1:], strict=True):
            if product <= rounding:
                raise ValueError(
                    f"all stimuli are equally far apart in {side.name}: debiased CKA is undefined"
                )
    between, within_x, within_y = products
    return float(np.clip(between / math.sqrt(within_x * within_y), -1.0, 1.0))


def svcca(x: Any, y: Any, variance: float = 0.99) -> float:
    """Compare two representations by singular vector canonical correlation.

    Both are reduced to the fewest principal components that hold ``variance`` of their variance;
    the score is the mean of the canonical correlations between these, as many as the smaller
    number of components (Raghu et al. 2017).

    Many components of few stimuli correlate by chance: if a and b of them are kept, at least
    a + b − (n_stimuli − 1) canonical correlations are 1 by construction. If all are, it is an
    error; short of that, compare with the score of permuted stimuli.

    Parameters
    ----------
    x, y : array-like, shape (n_stimuli, n_neuroids)
        As for `cka`; at least 3 stimuli.
    variance : float
        Share of the variance to keep, above 0 and at most 1. With more neuroids than stimuli,
        components below 10⁻⁷ of the largest (as amplitudes) count as none.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As for `cka`; or if the components of one side span all n_stimuli − 1 dimensions, where
        every canonical correlation is 1 whatever the responses.

    See Also
    --------
    pwcca : The mean weighted by what each canonical variate explains.
    cka : Invariant to rotations alone, and so harder to satisfy.

    References
    ----------
    Raghu, Gilmer, Yosinski & Sohl-Dickstein 2017, NeurIPS, arXiv:1706.05806.
    """
    x, y = _pair(x, y)
    correlations, _ = _canonical(x, y, variance)
    return float(correlations.mean())


def pwcca(x: Any, y: Any, variance: float = 1.0) -> float:
    r"""Compare two representations by projection-weighted canonical correlation.

    A mean of the canonical correlations :math:`\rho_i`, each weighted by how much of ``x`` its
    canonical variate :math:`h_i` (the one on the side of ``x``, of unit length) accounts for:

    .. math:: \frac{\sum_i \alpha_i \rho_i}{\sum_i \alpha_i},
              \qquad \alpha_i = \sum_j \lvert \langle h_i, x_j \rangle \rvert

    over the centred neuroids :math:`x_j` of ``x`` (Morcos et al. 2018; Kornblith et al.
    2019, table 1). The weights come from ``x`` alone: ``pwcca(x, y)`` says how well ``y`` has
    what matters in ``x``, and differs from ``pwcca(y, x)``. (The authors' code takes the side with
    fewer neuroids, and adds the neuroids' means to the variates; neither is done here.)

    Parameters
    ----------
    x, y : array-like, shape (n_stimuli, n_neuroids)
        As for `cka`; at least 3 stimuli.
    variance : float
        Share of the variance to keep, as in `svcca`. All of it, as published, is possible only
        with fewer independent neuroids than stimuli − 1.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As for `svcca`.

    See Also
    --------
    svcca : The plain mean, after small components are dropped.
    cka : Invariant to rotations alone, and so harder to satisfy.

    References
    ----------
    Morcos, Raghu & Bengio 2018, NeurIPS, arXiv:1806.05759; Kornblith et al. 2019, ICML,
    arXiv:1905.00414.
    """
    x, y = _pair(x, y)
    correlations, variates = _canonical(x, y, variance)
    weights = sum(np.abs(variates.T @ block).sum(axis=1) for block in x.blocks())
    return float(np.clip(weights @ correlations / weights.sum(), 0.0, 1.0))


def procrustes(x: Any, y: Any) -> float:
    r"""Compare two representations after the best rotation or reflection of one.

    The cosine of the angle between them, centred, once they are aligned,

    .. math:: \cos\theta = \max_{Q^TQ = 1} \frac{\langle X, YQ \rangle}
                                                {\lVert X \rVert_F \lVert Y \rVert_F}
              = \frac{\lVert X^TY \rVert_*}{\lVert X \rVert_F \lVert Y \rVert_F}

    (the nuclear norm; Schönemann 1966); where one has fewer neuroids, neuroids without response
    are added to it. What others report follows from it: the angular distance
    ``arccos(procrustes(x, y))``, a metric (Williams et al. 2021 with α = 1; netrep's
    ``LinearMetric(alpha=1, score_method="angular")``), and the squared distance between
    representations of unit length, ``2 − 2 * procrustes(x, y)`` (Ding et al. 2021). It is also the
    Bures similarity of the two centred Gram matrices.

    Parameters
    ----------
    x, y : array-like, shape (n_stimuli, n_neuroids)
        As for `cka`; at least 3 stimuli.

    Returns
    -------
    float
        In [0, 1]. With more neuroids than stimuli, components below 10⁻⁷ of the largest (as
        amplitudes) count as none. Like CKA, it is high for any two representations of many more
        neuroids than stimuli.

    Raises
    ------
    ValueError
        If the numbers of stimuli differ or are too small, a value is not finite (the stimulus is
        named), or all stimuli have the same responses.

    See Also
    --------
    cka : Invariant to the same transforms, without aligning.
    soft_matching : With permutations in place of rotations.

    References
    ----------
    Schönemann 1966, Psychometrika 31:1; Ding, Denain & Steinhardt 2021, NeurIPS,
    arXiv:2108.01661; Williams, Kunz, Kornblith & Linderman 2021, NeurIPS, arXiv:2110.14739.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import procrustes
    >>> x = np.random.default_rng(0).normal(size=(40, 10))
    >>> round(procrustes(x, x[:, ::-1]), 6)
    1.0
    """
    x, y = _pair(x, y)
    nuclear = np.linalg.svd(x.compact.T @ y.compact, compute_uv=False).sum()
    return float(np.clip(nuclear, 0.0, 1.0))


def soft_matching(x: Any, y: Any) -> float:
    r"""Compare two populations neuroid by neuroid, by the best soft permutation.

    The mean correlation of matched tuning curves,

    .. math:: \max_{P \in T} \sum_{ij} P_{ij} \, r(x_i, y_j), \qquad
              T = \Big\{P \ge 0 : \sum_j P_{ij} = \tfrac{1}{P_x}, \sum_i P_{ij} = \tfrac{1}{P_y}
              \Big\},

    where every neuroid gives and takes the same total, so that populations of unequal size can be
    matched: optimal transport between them (Khosla & Williams 2024, on tuning curves that are
    centred and of unit length, where their distance is ``sqrt(2 − 2 * soft_matching)``).
    Unlike the other alignments, it sees which neuroid does what: a rotation lowers it.

    The solution is exact. For equal numbers it is an assignment, up to 8,192 neuroids; for unequal
    ones a transport by successive shortest paths, up to 8 million pairs of neuroids (4,096 and 40
    take a tenth of a second, 65,000 and 40 some seconds).

    Parameters
    ----------
    x, y : array-like, shape (n_stimuli, n_neuroids)
        Responses, held in memory; at least 3 stimuli.

    Returns
    -------
    float
        In [−1, 1]. Constant neuroids have no tuning and are left out.

    Raises
    ------
    ValueError
        If the numbers of stimuli differ or are too small, a value is not finite (the stimulus is
        named), all neuroids are constant, or there are too many of them.

    See Also
    --------
    procrustes : With rotations in place of permutations.
    cka : Without any matching of neuroids.

    References
    ----------
    Khosla & Williams 2024, UniReps Workshop, PMLR 243, arXiv:2311.09466.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import soft_matching
    >>> x = np.random.default_rng(0).normal(size=(20, 6))
    >>> round(soft_matching(x, x[:, [3, 0, 5, 1, 2, 4]]), 6)
    1.0
    """
    x, y = _pair(x, y)
    _refuse_too_many(x.n_neuroids, y.n_neuroids)  # before anything is read
    correlations = x.tuning.T @ y.tuning
    _refuse_too_many(*correlations.shape)  # equal numbers may have become unequal
    if correlations.shape[0] == correlations.shape[1]:
        matched = linear_sum_assignment(correlations, maximize=True)
        return float(np.clip(correlations[matched].mean(), -1.0, 1.0))
    return float(np.clip(_transported(correlations), -1.0, 1.0))


ALIGNMENTS: dict[str, Callable[..., float]] = {
    "cka": cka,
    "cka-debiased": functools.partial(cka, debiased=True),
    "svcca": svcca,
    "pwcca": pwcca,
    "procrustes": procrustes,
    "soft-matching": soft_matching,
}
"""The alignments by name; each takes two sets of responses, and options of its own."""


class Representation:
    """Responses, and what the alignments compute of them, once.

    The functions of this module take it in the place of an array, for responses that are compared
    with many others: a layer then streams through once.

    Parameters
    ----------
    responses : array-like, shape (n_stimuli, n_neuroids)
        Anything with ``shape`` whose slices ``responses[:, a:b]`` turn into NumPy arrays.
    name : str
        What to call them in an error.

    Raises
    ------
    ValueError
        If the shape is another. Values are checked when they are read.
    """

    def __init__(self, responses: Any, name: str = "x") -> None:
        if not hasattr(responses, "shape"):
            responses = np.asarray(responses)
        if len(responses.shape) != 2 or responses.shape[1] < 1:
            raise ValueError(
                f"{name} has shape {responses.shape}: expected (stimuli, neuroids ≥ 1)"
            )
        self.responses, self.name = responses, name
        self.n_stimuli, self.n_neuroids = responses.shape

    def blocks(self) -> Iterator[np.ndarray]:
        """Return the responses in blocks of neuroids, centred over the stimuli, in float64."""
        width = max(1, BLOCK_BYTES // (8 * self.n_stimuli))
        chunks = getattr(self.responses, "chunks", None)
        if chunks is not None:  # whole chunks, so that none is read twice
            chunk = int(np.max(chunks[1]))
            width = max(chunk, width // chunk * chunk)
        for start in range(0, self.n_neuroids, width):
            block = np.asarray(self.responses[:, start : start + width], dtype=np.float64)
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if bad.size:
                what = f"has a NaN or infinite response in {self.name}"
                raise BadPatternError(int(bad[0]), bad.size, what)
            with np.errstate(over="ignore", invalid="ignore"):
                # From the first stimulus, so that a constant neuroid is exactly zero.
                block = block - block[0]
                block -= block.mean(axis=0)
            yield block

    @cached_property
    def centred(self) -> np.ndarray:
        """All responses, centred, with a sum of squares of 1: (n_stimuli, n_neuroids)."""
        centred = np.concatenate(list(self.blocks()), axis=1)
        largest = np.abs(centred).max()
        self._check_size(largest)
        centred /= largest
        return centred / np.linalg.norm(centred)

    @cached_property
    def gram(self) -> np.ndarray:
        """Gram matrix of the centred responses, (n_stimuli, n_stimuli), with a trace of 1."""
        gram = np.zeros((self.n_stimuli, self.n_stimuli))
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self.blocks():
                # A product of one and the same array with itself is half the work in BLAS.
                gram += block @ block.T
        self._check_size(np.trace(gram))
        return gram / np.trace(gram)

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal axes over stimuli (n_stimuli, rank), orthonormal; lengths, largest first."""
        if self.n_neuroids < self.n_stimuli:
            axes, lengths, _ = np.linalg.svd(self.centred, full_matrices=False)
            nonzero = lengths > lengths[0] * self.n_stimuli * EPS
        else:
            squared, axes = np.linalg.eigh(self.gram)
            # Centred responses span one dimension less than there are stimuli.
            squared, axes = squared[:0:-1], axes[:, :0:-1]
            nonzero = squared > squared[0] * self.n_stimuli * EPS
            lengths = np.sqrt(np.maximum(squared, 0.0))
        return axes[:, nonzero], lengths[nonzero]

    @cached_property
    def compact(self) -> np.ndarray:
        """The centred responses, rotated into fewer columns than there are stimuli."""
        if self.n_neuroids < self.n_stimuli:
            return self.centred
        axes, lengths = self.axes
        return axes * lengths

    @cached_property
    def tuning(self) -> np.ndarray:
        """Centred tuning curves of unit length, without the constant ones."""
        curves = np.concatenate(list(self.blocks()), axis=1)
        curves = curves[:, curves.any(axis=0)]
        if curves.shape[1] == 0:
            raise ValueError(f"all neuroids are constant in {self.name}: nothing to match")
        largest = np.abs(curves).max(axis=0)
        self._check_size(largest.sum())
        curves /= largest
        return curves / np.linalg.norm(curves, axis=0)

    def _check_size(self, size: float) -> None:
        if not np.isfinite(size):
            raise ValueError(f"{self.name} has responses too large to be squared")
        if size <= 0.0:
            raise ValueError(
                f"all stimuli have the same responses in {self.name}: nothing to align"
            )


def _pair(x: Any, y: Any, least: int = 3) -> tuple[Representation, Representation]:
    """Check shapes; nothing is read."""
    x, y = (
        a if isinstance(a, Representation) else Representation(a, name)
        for name, a in (("x", x), ("y", y))
    )
    if x.n_stimuli != y.n_stimuli:
        raise ValueError(
            f"{x.name} has {x.n_stimuli} stimuli and {y.name} {y.n_stimuli}: expected the same"
        )
    if x.n_stimuli < least:
        raise ValueError(f"{x.n_stimuli} stimuli are too few: at least {least} are needed")
    return x, y


def _canonical(
    x: Representation, y: Representation, variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical correlations of the leading components, and the variates on the side of ``x``."""
    if not 0.0 < variance <= 1.0:
        raise ValueError(f"variance {variance}: expected a share above 0 and at most 1")
    bases = []
    for side in (x, y):
        axes, lengths = side.axes
        cumulative = np.cumsum(lengths**2)
        n_kept = len(lengths)
        if variance < 1.0:
            n_kept = 1 + int(np.sum(cumulative[:-1] < variance * cumulative[-1] * (1.0 - 1e-12)))
        if n_kept >= x.n_stimuli - 1:
            raise ValueError(
                f"{side.name} has {n_kept} components, all the dimensions that {x.n_stimuli} "
                "stimuli span: every canonical correlation with it is 1 by construction; keep a "
                f"smaller share of the variance than {variance:g}, 0.99 or 0.9, or use more stimuli"
            )
        bases.append(axes[:, :n_kept])
    left, correlations, _ = np.linalg.svd(bases[0].T @ bases[1], full_matrices=False)
    return np.clip(correlations, 0.0, 1.0), bases[0] @ left


def _refuse_too_many(n_x: int, n_y: int) -> None:
    most, equal = (MAX_ASSIGNED, "equal") if n_x == n_y else (MAX_TRANSPORTED, "unequal")
    if n_x * n_y > most:
        raise ValueError(
            f"{n_x} and {n_y} neuroids are too many to match one by one: at most {most} pairs "
            f"for {equal} numbers; take some of them, or an alignment that works with stimuli (CKA)"
        )


def _transported(gains: np.ndarray) -> float:
    """Largest mean gain of a transport between uniform distributions over rows and columns."""
    costs = np.ascontiguousarray(-gains if gains.shape[0] >= gains.shape[1] else -gains.T)
    from probe.similarity.transport import transport  # imports numba

    flows = compiled(transport)(costs, math.gcd(*costs.shape))
    return -float(np.einsum("ij,ji->", costs, flows) / flows.sum())
