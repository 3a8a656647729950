"""Crossvalidated RDMs: distances that noise does not make larger.

A distance between noisy patterns is too large by the noise: it squares it. Where the same
conditions were measured several times, the difference of one measurement can be multiplied with
the difference of another, whose noise is independent of it: what is expected is the distance of
the true patterns, zero where there is none. Such a distance can be negative.
"""

from __future__ import annotations

import itertools
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
from probe.similarity.rdms import (
    BadPatternError,
    check_finite,
    check_prior,
    check_rates,
    log_rates,
)

CROSSVALIDATED_METRICS = ("crossnobis", "poisson")
"""Names of the distances that `crossvalidated_rdm` computes."""


def crossvalidated_rdm(
    x: Any,
    conditions: Any,
    partitions: Any,
    metric: str = "crossnobis",
    *,
    precision: Any = None,
    prior: tuple[float, float] = (1.0, 0.1),
    dtype: str = "float64",
    device: Any = None,
    block_bytes: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Compute unbiased distances between conditions that were measured repeatedly.

    Parameters
    ----------
    x : array-like or torch.Tensor, shape (n_measurements, n_neuroids)
        Response patterns, one per measurement; see `probe.similarity.rdm`.
    conditions : array-like, shape (n_measurements,)
        What was shown, any labels.
    partitions : array-like, shape (n_measurements,), or None
        Which measurements belong together (runs, sessions, repetitions), any labels: noise is
        independent between partitions, and may be shared within. Measurements of a condition in a
        partition are averaged. None says that the noise of every measurement is independent of
        that of every other.
    metric : {'crossnobis', 'poisson'}
        With the patterns :math:`b_{im}` of condition i in partition m,

        ``crossnobis``: the mean over ordered pairs of partitions :math:`m \neq n` of
        :math:`(b_{im} - b_{jm})^\top \Sigma^{-1} (b_{in} - b_{jn}) / P`.

        ``poisson``: the mean over the same of :math:`(\lambda_{im} - \lambda_{jm})^\top
        (\ln \lambda_{in} - \ln \lambda_{jn}) / P`, with rates as in `probe.similarity.rdm`; for
        responses of zero or more. (The logarithm of a noisy rate is biased: this one is expected
        to be zero without signal, but not to be the divergence of the true rates.)
    precision : array-like, or list of these, optional
        For ``crossnobis``: :math:`\Sigma^{-1}`, shape (n_neuroids, n_neuroids) or (n_neuroids,)
        for a diagonal one; the identity by default. A list or tuple holds one per partition, in
        the order of their sorted labels: a pair of partitions then takes the inverse of the mean
        of its two covariances.
    prior, dtype, device, block_bytes
        See `probe.similarity.rdm`.

    Returns
    -------
    distances : numpy.ndarray, shape (n_conditions * (n_conditions - 1) / 2,), float64
        In the order of ``numpy.triu_indices(n_conditions, 1)``; negative where the measurements
        disagree, NaN for a pair of conditions that no two partitions have in common.
    labels : numpy.ndarray, shape (n_conditions,)
        The conditions, sorted.

    Raises
    ------
    ValueError
        If there are fewer than two conditions or partitions, no pair of conditions is in two
        partitions, labels are not one per measurement, responses are not finite (or negative, for
        ``poisson``), the precision is not symmetric and positive definite, or memory is short.

    See Also
    --------
    rdm : Distances of patterns that were measured once.
    noise_precision : The noise normalisation, from residuals.
    residuals_from_repeats : Residuals of repeated presentations.

    Notes
    -----
    With conditions that some partitions lack, every pair of conditions takes the partitions that
    have both, each pair of partitions with equal weight. Both differences are taken within a
    partition, so that what a partition adds to all of its patterns cancels (Walther et al. 2016).
    rsatoolbox 0.3.2 agrees on balanced designs. On others its ``calc_rdm`` pools the other
    partitions by number of measurements or fails, and its ``calc_rdm_unbalanced`` averages the
    products within and between conditions each over its own set of partitions: either lets
    patterns of partitions into the distances. It equals ``partitions=None`` here if it is given
    no partitions either. Its crossvalidated Poisson distance is that of the last fold alone.

    References
    ----------
    Walther et al. 2016, NeuroImage 137:188; Schütt et al. 2023, eLife 12:e82566
    (Poisson).

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import crossvalidated_rdm
    >>> rng = np.random.default_rng(0)
    >>> conditions, runs = np.tile([0, 1, 2], 4), np.repeat([0, 1, 2, 3], 3)
    >>> noise = rng.normal(size=(12, 30))  # three conditions in four runs, all alike
    >>> distances, labels = crossvalidated_rdm(noise, conditions, runs)
    >>> labels.tolist(), bool(abs(distances).max() < 1)  # around 0, on either side
    ([0, 1, 2], True)
    """
    if metric not in CROSSVALIDATED_METRICS:
        raise ValueError(f"metric {metric!r}: expected one of {', '.join(CROSSVALIDATED_METRICS)}")
    if metric == "poisson" and precision is not None:
        raise ValueError("metric 'poisson' takes no precision; 'crossnobis' does")
    x, products = products_for(x, dtype, device)
    if len(x.shape) != 2 or x.shape[0] < 2 or x.shape[1] < 1:
        raise ValueError(f"x has shape {tuple(x.shape)}: expected (measurements ≥ 2, neuroids ≥ 1)")
    labels, condition = _codes(conditions, "conditions", x.shape[0])
    if len(labels) < 2:
        raise ValueError(f"only one condition, {str(labels[0])!r}: an RDM needs two or more")
    rate = check_prior(prior) if metric == "poisson" else None
    settings: dict[str, Any] = {"dtype": dtype, "device": device, "block_bytes": block_bytes}
    if partitions is None:
        if isinstance(precision, list | tuple):
            raise ValueError("a precision per partition needs partitions")
        partition, names = None, None
    else:
        names, partition = _codes(partitions, "partitions", x.shape[0])
        if len(names) < 2:
            raise ValueError(
                f"only one partition, {str(names[0])!r}: crossvalidation needs two or more"
            )
        if isinstance(precision, list | tuple):
            return _of_pairs(x, condition, partition, precision, len(names), labels, settings)
    root = None if precision is None else whitening(precision, x.shape[1])
    n = len(labels)
    input_bytes = 8 * x.shape[0] * x.shape[1]
    require_memory(
        n,
        4 * min(8 * x.shape[0] * block_width(x.shape[0], products, block_bytes), input_bytes)
        + (input_bytes if root is not None and root.ndim == 2 else 0),
        products,
    )
    n_neuroids = x.shape[1]
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if partition is None:
                counts = np.bincount(condition)
                if (counts > 1).sum() < 2:
                    raise ValueError("no two conditions were measured twice: nothing to compare")
                factors = _measurements(x, root, rate, products, block_bytes)
                gram, finish = _independent(factors, condition, counts, n_neuroids, products)
            else:
                counts = np.zeros((int(partition.max()) + 1, n), dtype=np.int64)
                np.add.at(counts, (partition, condition), 1)
                present = counts > 0
                shared = present.T.astype(np.float64) @ present
                if (shared[np.triu_indices(n, 1)] < 2).all():
                    raise ValueError("no two conditions share two partitions: nothing to compare")
                cells = partition * n + condition
                factors = _cells(x, cells, counts, root, rate, products, block_bytes)
                method = _balanced if present.all() else _unbalanced
                gram, finish = method(factors, present, n_neuroids, products)
            return condense(products.numpy(gram), finish), labels
    except BadPatternError as error:
        raise BadPatternError(error.row, error.count, error.what, "measurement") from None


Factors = Iterator[tuple[Any, Any]]
"""Blocks of the two factors of a product; the second is None where it is the first."""


def _codes(values: Any, what: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(
            f"{what} has shape {values.shape}: expected one label per measurement, {n}"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"{what} holds NaN: leave out the measurements without a label")
    labels, codes = np.unique(values, return_inverse=True)
    return labels, codes.reshape(-1)


def _measurements(
    x: Any,
    root: np.ndarray | None,
    prior: tuple[float, float] | None,
    products: Products,
    block_bytes: int | None,
) -> Factors:
    """Blocks of all measurements, less a common pattern, which no distance sees."""
    if prior is not None:
        for _, block in blocks(x, products, block_bytes):
            check_finite(block, products)
            yield log_rates(block, prior, products)
        return

    def centred() -> Iterator[tuple[slice, Any]]:
        for columns, block in blocks(x, products, block_bytes):
            check_finite(block, products)
            block -= block.mean(axis=0)
            yield columns, block

    for block in whitened(centred(), root, x.shape, products):
        yield block, None


def _cells(
    x: Any,
    cells: np.ndarray,
    counts: np.ndarray,
    root: np.ndarray | None,
    prior: tuple[float, float] | None,
    products: Products,
    block_bytes: int | None,
) -> Factors:
    """Blocks (partitions, conditions, neuroids) of mean patterns, zero where there is none.

    Less the mean pattern of each partition, which cancels in differences within it: patterns that
    a partition adds to all conditions may be large, and cost digits.
    """
    present = products.array(counts > 0)[:, :, None]
    weights = products.array(1.0 / np.maximum(counts, 1))[:, :, None]
    per_partition = present.sum(axis=1)[:, None]

    def centre(means: Any) -> Any:
        means -= (means * present).sum(axis=1)[:, None] / per_partition
        means *= present
        return means

    def averaged() -> Iterator[tuple[slice, Any]]:
        for columns, block in blocks(x, products, block_bytes):
            check_finite(block, products)
            if prior is not None:
                check_rates(block, products)
            sums = products.sums(block, cells, counts.size)
            yield columns, sums.reshape(*counts.shape, -1) * weights

    if prior is not None:
        rate, weight = prior
        for _, means in averaged():
            rates = (means + rate * weight) / (1.0 + weight)
            rates += 1.0 - present  # where nothing was measured, a logarithm that is finite
            if (rates <= 0.0).any():
                raise ValueError(
                    "a condition has no response in a partition, whose logarithm needs a prior "
                    "above zero"
                )
            logs = products.xp.log(rates)
            yield centre(rates), centre(logs)
        return
    rows = ((columns, centre(means).reshape(counts.size, -1)) for columns, means in averaged())
    for block in whitened(rows, root, (counts.size, x.shape[1]), products):
        yield block.reshape(*counts.shape, -1), None


def _independent(
    factors: Factors, condition: np.ndarray, counts: np.ndarray, n_neuroids: int, products: Products
) -> tuple[Any, Finish]:
    r"""All pairs of different measurements: :math:`U_i + U_j - 2 \bar b_i \bar b_j`.

    :math:`U_i` is the mean product of two different measurements of condition i.
    """
    n = len(counts)
    gram, diagonal = products.zeros(n, n), products.zeros(n)
    weights = products.array(1.0 / counts)[:, None]
    for left, right in factors:
        a = products.sums(left, condition, n)
        b = a if right is None else products.sums(right, condition, n)
        same = products.sums(left * (left if right is None else right), condition, n)
        diagonal += (a * b).sum(axis=1) - same.sum(axis=1)
        products.add(gram, a * weights, None if right is None else b * weights)
    within = _check_size(diagonal, products)
    pairs = counts * (counts - 1.0)
    within = np.divide(within, pairs, out=np.full(n, np.nan), where=pairs > 0)
    return gram, _differences(within, n_neuroids)


def _balanced(
    factors: Factors, present: np.ndarray, n_neuroids: int, products: Products
) -> tuple[Any, Finish]:
    r"""Every condition in every partition.

    :math:`\sum_{m \neq n} B_m B_n^\top = (\sum_m B_m)(\sum_m B_m)^\top - \sum_m B_m B_m^\top`, one
    product per partition and one more.
    """
    n_partitions, n = present.shape
    share = 1.0 / (n_partitions * (n_partitions - 1))
    gram = products.zeros(n, n)
    for left, right in factors:
        total = None if right is None else right.sum(axis=0)
        products.add(gram, left.sum(axis=0), total, share)
        for m in range(n_partitions):
            products.add(gram, left[m], None if right is None else right[m], -share)
    return gram, _differences(_check_size(gram.diagonal(), products), n_neuroids)


def _check_size(energy: Any, products: Products) -> np.ndarray:
    values = products.numpy(energy).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("responses are too large to be multiplied")
    return values


def _differences(energy: np.ndarray, n_neuroids: int) -> Finish:
    def finish(tile: np.ndarray, rows: slice, columns: slice) -> None:
        tile *= -2.0
        tile += energy[rows, None]
        tile += energy[columns]
        tile /= n_neuroids

    return finish


def _unbalanced(
    factors: Factors, present: np.ndarray, n_neuroids: int, products: Products
) -> tuple[Any, Finish]:
    """Any pair of partitions compares the conditions that both have."""
    n_partitions, n = present.shape
    gram = products.zeros(n, n)
    pairs = list(itertools.combinations(range(n_partitions), 2))
    pairs = [(k, m) for k, m in pairs if (present[k] & present[m]).sum() > 1]
    both = np.array([present[k] & present[m] for k, m in pairs], dtype=np.float64)
    masks = products.array(both)[:, :, None]
    energy = products.zeros(len(pairs), n)
    for left, right in factors:
        for p, (k, m) in enumerate(pairs):
            if right is None:
                a, b = left[k] * masks[p], left[m] * masks[p]
                products.add(gram, a, b)
                energy[p] += (a * b).sum(axis=1)
            else:
                for a, b in ((left[k], right[m]), (left[m], right[k])):
                    a, b = a * masks[p], b * masks[p]
                    products.add(gram, a, b, 0.5)
                    energy[p] += 0.5 * (a * b).sum(axis=1)
    energies = _check_size(energy, products)

    def finish(tile: np.ndarray, rows: slice, columns: slice) -> None:
        tile *= -2.0
        tile += energies[:, rows].T @ both[:, columns]
        tile += both[:, rows].T @ energies[:, columns]
        counts = both[:, rows].T @ both[:, columns] * n_neuroids
        counts[counts == 0.0] = np.nan
        tile /= counts

    return gram, finish


def _of_pairs(
    x: Any,
    condition: np.ndarray,
    partition: np.ndarray,
    precisions: Any,
    n_partitions: int,
    labels: np.ndarray,
    settings: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """One precision per partition: the mean over pairs of partitions, each with its own."""
    if len(precisions) != n_partitions:
        raise ValueError(
            f"{len(precisions)} precisions for {n_partitions} partitions: expected one for each"
        )
    covariances = []
    for precision in precisions:
        root = whitening(precision, x.shape[1])
        full = np.diag(root) if root.ndim == 1 else root
        covariances.append(np.linalg.inv(full @ full.T))
    x = x[:, :]
    n = len(labels)
    total, count = np.zeros((2, n * (n - 1) // 2))
    for k, m in itertools.combinations(range(n_partitions), 2):
        shared = np.intersect1d(condition[partition == k], condition[partition == m])
        if len(shared) < 2:
            continue
        rows = np.flatnonzero(np.isin(partition, (k, m)) & np.isin(condition, shared))
        precision = np.linalg.inv((covariances[k] + covariances[m]) / 2.0)
        distances, counts = crossvalidated_rdm(
            x[rows], condition[rows], partition[rows], precision=precision, **settings
        )
        i, j = (counts[index] for index in np.triu_indices(len(counts), 1))
        where = i * (2 * n - i - 1) // 2 + j - i - 1
        total[where] += distances
        count[where] += 1
    if not count.any():
        raise ValueError("no two conditions share two partitions: nothing to compare")
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0), labels
