"""Representational dissimilarity matrices, through one matrix product.

Every metric here is a function of inner products between response patterns, so that an RDM costs
one symmetric product ``X @ X.T``, accumulated over blocks of neuroids: a layer too large for memory
streams through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from probe.similarity.products import (
    Finish,
    Products,
    block_width,
    blocks,
    condense,
    products_for,
    require_memory,
    whitened,
    whitening,
)

EQUAL = 4.0 * float(np.finfo(np.float64).eps)
"""A distance 1 − r up to which two patterns are the same."""

METRICS = ("correlation", "euclidean", "cosine")
"""Names of the distances that `rdm` computes between any patterns, without further arguments."""

NOISE_METRICS = ("mahalanobis", "crossnobis", "poisson")
"""Names of the distances that reckon with the noise of recorded responses.

``mahalanobis`` needs the precision of the noise, ``crossnobis`` repetitions as well (see
`probe.similarity.crossvalidated_rdm`), and ``poisson`` responses that are counts or rates. A
network has no noise: what it is to be compared with them in is ``euclidean``.
"""


def rdm(
    x: Any,
    metric: str = "correlation",
    *,
    precision: Any = None,
    prior: tuple[float, float] = (1.0, 0.1),
    dtype: str = "float64",
    device: Any = None,
    block_bytes: int | None = None,
) -> np.ndarray:
    r"""Compute the dissimilarity of every pair of response patterns.

    Parameters
    ----------
    x : array-like or torch.Tensor, shape (n_stimuli, n_neuroids)
        Response patterns :math:`b_i`. Anything with ``shape`` whose slices ``x[:, a:b]`` turn into
        NumPy arrays, a Zarr array for one; it is read once, in blocks of neuroids. A tensor is
        computed with where it lies.
    metric : {'correlation', 'euclidean', 'cosine', 'mahalanobis', 'poisson'}
        ``correlation``: :math:`1 - r`, Pearson over neuroids, in [0, 2].
        ``euclidean``: :math:`\lVert b_i - b_j \rVert^2 / P`, squared and divided by the number of
        neuroids P, as in rsatoolbox and Nili et al. 2014.
        ``cosine``: :math:`1 - \cos`, in [0, 2].
        ``mahalanobis``: :math:`(b_i - b_j)^\top \Sigma^{-1} (b_i - b_j) / P`, squared, with the
        ``precision`` :math:`\Sigma^{-1}`.
        ``poisson``: :math:`(\lambda_i - \lambda_j)^\top (\ln \lambda_i - \ln \lambda_j) / P`, the
        symmetrised Kullback–Leibler divergence of Poisson distributions whose rates are the
        responses drawn towards the ``prior`` (Schütt et al. 2023).
    precision : array-like, shape (n_neuroids, n_neuroids) or (n_neuroids,), optional
        For ``mahalanobis``: inverse covariance of the noise, or its diagonal, see
        `probe.similarity.noise_precision`. With a full one, all of x is held in memory.
    prior : (float, float)
        For ``poisson``: rate :math:`\lambda_0` and weight w of the prior, the weight in units of
        observations; :math:`\lambda = (b + \lambda_0 w) / (1 + w)`.
    dtype : {'float64', 'float32'}
        What the products are computed in, whatever the precision of x. float32 takes half the
        memory and time, and its distances err by some 1e-7 of the largest *product*, not of the
        distance: where patterns are alike, few digits of their distance are right.
    device : str or torch.device, optional
        Compute with PyTorch on this device: 'cuda', 'mps' (float32 only) or 'cpu'.
    block_bytes : int, optional
        Size of one block of neuroids, in bytes; by default 4 MB, or 64 MB on a device.

    Returns
    -------
    numpy.ndarray, shape (n_stimuli * (n_stimuli - 1) / 2,), float64
        The strict upper triangle row by row: the order of ``numpy.triu_indices(n, 1)`` and of
        `scipy.spatial.distance.squareform`.

    Raises
    ------
    ValueError
        If the metric is unknown, values are not finite, the metric is undefined for a stimulus (a
        constant pattern for ``correlation``, a zero one for ``cosine``, a negative response for
        ``poisson``), the precision is not symmetric and positive definite, or memory does not hold
        n_stimuli² numbers.

    See Also
    --------
    compare : Score RDMs against RDMs.
    crossvalidated_rdm : Unbiased distances of repeated measurements.
    probe.similarity.RDMs : Several RDMs with the names of their stimuli, and their files.

    References
    ----------
    Kriegeskorte, Mur & Bandettini 2008, Front Syst Neurosci 2:4; Walther et al. 2016, NeuroImage
    137:188; Schütt et al. 2023, eLife 12:e82566.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import rdm
    >>> patterns = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    >>> rdm(patterns, "euclidean")  # stimuli 0 and 1, 0 and 2, 1 and 2: squared, per neuroid
    array([12.5, 32. , 12.5])
    """
    metrics = (*METRICS, "mahalanobis", "poisson")
    if metric == "crossnobis":
        raise ValueError("metric 'crossnobis' needs repeated measurements: use crossvalidated_rdm")
    if metric not in metrics:
        raise ValueError(f"metric {metric!r}: expected one of {', '.join(metrics)}")
    if (precision is None) == (metric == "mahalanobis"):
        verb = "needs a" if precision is None else "takes no"
        raise ValueError(f"metric {metric!r} {verb} precision; 'mahalanobis' does")
    x, products = products_for(x, dtype, device)
    if len(x.shape) != 2 or x.shape[0] < 2 or x.shape[1] < 1:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected (stimuli ≥ 2, neuroids ≥ 1)")
    n_stimuli, n_neuroids = x.shape
    root = None if metric != "mahalanobis" else whitening(precision, n_neuroids)
    rate = check_prior(prior) if metric == "poisson" else None
    n_bytes = 8 * n_stimuli * n_neuroids
    width = block_width(n_stimuli, products, block_bytes)
    n_parts = min(products.n_parts(n_stimuli), -(-n_neuroids // width))
    block = (2 if metric == "poisson" else 1) * 8 * n_stimuli * width  # or rates, and their logs
    require_memory(
        n_stimuli,
        # A block for each part, and one that is read; the parts but for the sum itself.
        min((n_parts + 1) * block, 2 * n_bytes)
        + (n_parts - 1) * 8 * n_stimuli**2
        + (n_bytes if root is not None and root.ndim == 2 else 0),
        products,
    )

    gram = products.zeros(n_stimuli, n_stimuli)
    # Not in float32, unless asked for: in a network that maps all stimuli to nearly the same
    # pattern, as deep layers of untrained ones do, or for two nearly equal stimuli, 1 − r would be
    # rounding error. And differences of large numbers lose digits: what a metric does not see is
    # taken off before the product, a constant per stimulus (correlation) or a common pattern.
    with np.errstate(over="ignore", invalid="ignore"):
        if metric == "correlation":
            finish = _correlation(x, gram, products, block_bytes)
        elif metric == "cosine":
            products.add_all(gram, _as_they_are(x, products, block_bytes))
            energy = _energy(gram, products)
            refuse(energy <= 0.0, "has no response on any neuroid: no cosine")
            finish = _cosine(energy)
        else:
            if rate is not None:
                rows = _as_they_are(x, products, block_bytes)
                products.add_all(gram, (log_rates(block, rate, products) for (block,) in rows))
            else:
                centred = _centred(x, products, block_bytes)
                rows = ((block,) for block in whitened(centred, root, x.shape, products))
                products.add_all(gram, rows)
            finish = _squared(_energy(gram, products), n_neuroids)
        return condense(products.numpy(gram), finish)


def _as_they_are(x: Any, products: Products, block_bytes: int | None) -> Iterator[tuple[Any]]:
    for _, block in blocks(x, products, block_bytes):
        check_finite(block, products)
        yield (block,)


def _centred(x: Any, products: Products, block_bytes: int | None) -> Iterator[tuple[slice, Any]]:
    for columns, block in blocks(x, products, block_bytes):
        check_finite(block, products)
        block -= block.mean(axis=0)
        yield columns, block


def _correlation(x: Any, gram: Any, products: Products, block_bytes: int | None) -> Finish:
    n_stimuli, n_neuroids = x.shape
    sums, shift = products.zeros(n_stimuli), None

    def shifted() -> Iterator[tuple[Any]]:
        nonlocal sums, shift
        for _, block in blocks(x, products, block_bytes):
            block_sums = check_finite(block, products)
            sums += block_sums
            if shift is None:
                shift = block_sums / block.shape[1]
            block -= shift[:, None]
            yield (block,)

    products.add_all(gram, shifted())
    energy = _energy(gram, products)
    first = products.numpy(shift).astype(np.float64)
    rest = products.numpy(sums - n_neuroids * shift).astype(np.float64)
    energy -= rest * (rest / n_neuroids)
    # A constant pattern leaves only the rounding error of its own mean.
    rounding = n_neuroids * (8.0 * np.finfo(products.dtype).eps * first) ** 2
    refuse(energy <= rounding, "has the same response on every neuroid: no correlation")
    cosine = _cosine(energy)

    def finish(tile: np.ndarray, rows: slice, columns: slice) -> None:
        tile -= np.outer(rest[rows], rest[columns] / n_neuroids)
        cosine(tile, rows, columns)

    return finish


def _cosine(energy: np.ndarray) -> Finish:
    scale = 1.0 / np.sqrt(energy)

    def finish(tile: np.ndarray, rows: slice, columns: slice) -> None:
        tile *= scale[rows, None]
        tile *= scale[columns]
        np.subtract(1.0, tile, out=tile)
        np.clip(tile, 0.0, 2.0, out=tile)
        # Of equal patterns, rounding is left, or is not, by the processor.
        tile[tile <= EQUAL] = 0.0

    return finish


def _squared(energy: np.ndarray, n_neuroids: int) -> Finish:
    def finish(tile: np.ndarray, rows: slice, columns: slice) -> None:
        tile *= -2.0
        tile += energy[rows, None]
        tile += energy[columns]
        tile /= n_neuroids
        np.maximum(tile, 0.0, out=tile)

    return finish


def _energy(gram: Any, products: Products) -> np.ndarray:
    energy = products.numpy(gram.diagonal()).astype(np.float64)
    refuse(~np.isfinite(energy), "has responses too large to be squared")
    return energy


def check_prior(prior: tuple[float, float]) -> tuple[float, float]:
    """Refuse a prior of which rates could not be made."""
    rate, weight = (float(value) for value in prior)
    if not (0.0 <= rate < np.inf and 0.0 <= weight < np.inf):
        raise ValueError(f"prior {prior}: expected a rate and a weight of zero or more")
    return rate, weight


def log_rates(block: Any, prior: tuple[float, float], products: Products) -> tuple[Any, Any]:
    """Turn responses (rows, neuroids) into rates drawn towards the prior, and their logarithms.

    Both less their mean over rows, which no difference sees. The rates take the place of ``block``.
    """
    check_rates(block, products)
    rate, weight = prior
    block += rate * weight
    block /= 1.0 + weight
    silent = products.numpy((block <= 0.0).any(axis=1))
    refuse(silent, "has a response of zero, whose logarithm needs a prior above zero")
    logs = products.xp.log(block)
    block -= block.mean(axis=0)
    logs -= logs.mean(axis=0)
    return block, logs


def check_rates(block: Any, products: Products) -> None:
    """Refuse a block with a row that has a negative response."""
    refuse(products.numpy((block < 0.0).any(axis=1)), "has a negative response: no Poisson rate")


def check_finite(block: Any, products: Products) -> Any:
    """Sum every row of a block, and refuse a block with a row that is not finite."""
    sums = block.sum(axis=1)
    refuse(products.numpy(~products.xp.isfinite(sums)), "has a NaN or infinite response")
    return sums


def n_conditions(n_pairs: int) -> int:
    """Number of conditions whose RDM has ``n_pairs`` entries.

    Raises
    ------
    ValueError
        If no RDM has that many.
    """
    n = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n < 2 or n * (n - 1) // 2 != n_pairs:
        raise ValueError(f"{n_pairs} pairs are not the upper triangle of an RDM")
    return int(n)


def refuse(bad: np.ndarray, what: str) -> None:
    """Raise a `BadPatternError` if any row is bad."""
    if bad.any():
        rows = np.flatnonzero(bad)
        raise BadPatternError(int(rows[0]), len(rows), what)


class BadPatternError(ValueError):
    """A response pattern for which the metric is undefined.

    Attributes
    ----------
    row : int
        The first such stimulus.
    count : int
        How many there are.
    what : str
        What is wrong with it.
    """

    def __init__(self, row: int, count: int, what: str, noun: str = "stimulus") -> None:
        self.row, self.count, self.what = row, count, what
        others = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(f"{noun} {row}{others} {what}")
