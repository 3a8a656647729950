"""Representational dissimilarity matrices, through one matrix product.

Every metric here is a function of inner products between response patterns, so that an RDM costs
one symmetric product ``X @ X.T``, accumulated over blocks of neuroids: a layer too large for memory
streams through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.spatial.distance import squareform

METRICS = ("correlation", "euclidean", "cosine")
"""Names of the distances that `rdm` computes."""


def rdm(x: Any, metric: str = "correlation", *, block_bytes: int = 2**26) -> np.ndarray:
    r"""Compute the dissimilarity of every pair of response patterns.

    Parameters
    ----------
    x : array-like, shape (n_stimuli, n_neuroids)
        Response patterns. Anything with ``shape`` whose slices ``x[:, a:b]`` turn into NumPy
        arrays, a Zarr array for one; it is read once, in blocks of neuroids, and computed in
        float64 whatever its precision.
    metric : {'correlation', 'euclidean', 'cosine'}
        ``correlation``: :math:`1 - r`, Pearson over neuroids, in [0, 2].
        ``euclidean``: :math:`\lVert b_i - b_j \rVert^2 / P`, squared and divided by the number of
        neuroids P, as in rsatoolbox and Nili et al. 2014.
        ``cosine``: :math:`1 - \cos`, in [0, 2].
    block_bytes : int
        Size of one block of neuroids.

    Returns
    -------
    numpy.ndarray, shape (n_stimuli * (n_stimuli - 1) / 2,), float64
        The strict upper triangle row by row: the order of ``numpy.triu_indices(n, 1)`` and of
        `scipy.spatial.distance.squareform`.

    Raises
    ------
    ValueError
        If the metric is unknown, values are not finite, or the metric is undefined for a stimulus
        (a constant pattern for ``correlation``, a zero one for ``cosine``).

    References
    ----------
    Kriegeskorte, Mur & Bandettini 2008, Front Syst Neurosci 2:4.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; known: {', '.join(METRICS)}")
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    if len(x.shape) != 2 or x.shape[0] < 2 or x.shape[1] < 1:
        raise ValueError(f"x has shape {x.shape}; wanted (stimuli ≥ 2, neuroids ≥ 1)")
    n_stimuli, n_neuroids = x.shape

    gram = np.zeros((n_stimuli, n_stimuli))
    sums = np.zeros(n_stimuli)
    shift = None
    # Not in float32: in a network that maps all stimuli to nearly the same pattern, as deep layers
    # of untrained ones do, or for two nearly equal stimuli, 1 − r would be rounding error.
    for block in _blocks(x, block_bytes):
        with np.errstate(invalid="ignore", over="ignore"):
            block_sums = block.sum(axis=1)
        _refuse(~np.isfinite(block_sums), "has a NaN or infinite response")
        sums += block_sums
        # Differences of large numbers lose digits. What the metric does not see is taken off
        # before the product: a constant per stimulus (correlation), a common pattern (euclidean).
        if metric == "correlation":
            if shift is None:
                shift = block_sums / block.shape[1]
            block = block - shift[:, None]
        elif metric == "euclidean":
            block = block - block.mean(axis=0)
        # X @ X.T of one and the same array is a symmetric rank-k update in BLAS: half the work.
        with np.errstate(over="ignore", invalid="ignore"):
            gram += block @ block.T

    energy = gram.diagonal().copy()
    _refuse(~np.isfinite(energy), "has responses too large to be squared")
    if metric == "euclidean":
        gram *= -2.0
        gram += energy[:, None]
        gram += energy[None, :]
        distances = squareform(gram, checks=False)
        distances /= n_neuroids
        return np.maximum(distances, 0.0, out=distances)
    if shift is not None:
        sums -= n_neuroids * shift
        gram -= np.outer(sums, sums / n_neuroids)
        energy = gram.diagonal().copy()
        # A constant pattern leaves only the rounding error of its own mean.
        rounding = n_neuroids * (8.0 * np.finfo(np.float64).eps * shift) ** 2
        _refuse(energy <= rounding, "has the same response on every neuroid: no correlation")
    else:
        _refuse(energy <= 0.0, "has no response on any neuroid: no cosine")
    scale = 1.0 / np.sqrt(energy)
    gram *= scale[:, None]
    gram *= scale[None, :]
    distances = squareform(gram, checks=False)
    np.subtract(1.0, distances, out=distances)
    return np.clip(distances, 0.0, 2.0, out=distances)


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


def _blocks(x: Any, block_bytes: int) -> Iterator[np.ndarray]:
    n_stimuli, n_neuroids = x.shape
    width = max(1, block_bytes // (8 * n_stimuli))
    chunks = getattr(x, "chunks", None)
    if chunks is not None:  # whole chunks, so that none is read twice
        chunk = int(np.max(chunks[1]))
        width = max(chunk, width // chunk * chunk)
    for start in range(0, n_neuroids, width):
        yield np.asarray(x[:, start : start + width], dtype=np.float64)


def _refuse(bad: np.ndarray, what: str) -> None:
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

    def __init__(self, row: int, count: int, what: str) -> None:
        self.row, self.count, self.what = row, count, what
        others = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(f"stimulus {row}{others} {what}")
