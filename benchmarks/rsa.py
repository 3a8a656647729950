"""How fast RDMs are: `probe` beside rsatoolbox and beside what physics allows.

Run ``python benchmarks/rsa.py``; it takes some minutes. Every figure is a ratio of two times taken
in turns in the same run, since machines are noisy.

RDM of 1,000 × 5,000 responses: rsatoolbox, ours, and the bare matrix product; and the metrics that
reckon with noise, beside rsatoolbox. What extraction takes is in ``benchmarks/extraction.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

GOAL = 1.3
"""Of an RDM, in matrix products."""


def best_of(runs: int, **candidates: Callable[[], object]) -> dict[str, float]:
    """Time candidates in turns and give the shortest time of each, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for candidate in candidates.values():
        candidate()
    for _ in range(runs):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def rdms() -> None:
    import rsatoolbox
    from rsatoolbox.data import Dataset
    from rsatoolbox.data.noise import prec_from_residuals
    from rsatoolbox.rdm import calc_rdm, calc_rdm_unbalanced

    from probe.similarity import rdm
    from probe.similarity.crossvalidated import crossvalidated_rdm
    from probe.similarity.noise import noise_precision

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 5000))
    dataset = rsatoolbox.data.Dataset(x)
    print("RDM of 1,000 stimuli × 5,000 neuroids, float64")
    for metric in ("correlation", "euclidean"):
        seconds = best_of(
            5,
            product=lambda: x @ x.T,
            probe=lambda m=metric: rdm(x, m),  # type: ignore[misc]
        )
        peer = best_of(
            2,
            rsatoolbox=lambda m=metric: rsatoolbox.rdm.calc_rdm(dataset, method=m),  # type: ignore[misc]
        )
        ours, product, theirs = seconds["probe"], seconds["product"], peer["rsatoolbox"]
        print(
            f"  {metric:<12} probe {ours * 1e3:6.0f} ms = {ours / product:.2f} × the matrix "
            f"product (goal ≤ {GOAL}); rsatoolbox {theirs * 1e3:6.0f} ms = "
            f"{theirs / ours:.1f} × probe"
        )

    n, m, p = 200, 8, 300
    print(f"RDM of {n} conditions × {m} partitions × {p} neuroids, noise precision given")
    counts = rng.poisson(5.0, (n, m, p)).astype(float)
    condition, partition = (i.ravel() for i in np.indices((n, m)))
    x = counts.reshape(n * m, p)
    keep = ~((condition % 10 == 0) & (partition == 3))  # some conditions are missing in one
    residuals = (counts - counts.mean(axis=1, keepdims=True)).reshape(-1, p)
    precision = noise_precision(residuals)

    def given(rows: np.ndarray) -> Dataset:
        labels = {"condition": condition[rows], "partition": partition[rows]}
        return Dataset(x[rows], obs_descriptors=labels)

    full = np.ones(n * m, dtype=bool)
    folds = {"descriptor": "condition", "cv_descriptor": "partition"}
    means = counts.mean(axis=1)
    of_means, of_all, of_some = Dataset(means), given(full), given(keep)
    tasks: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "mahalanobis": (
            lambda: rdm(means, "mahalanobis", precision=precision),
            lambda: calc_rdm(of_means, method="mahalanobis", noise=precision),
        ),
        "poisson": (lambda: rdm(means, "poisson"), lambda: calc_rdm(of_means, method="poisson")),
        "crossnobis, balanced": (
            lambda: crossvalidated_rdm(x, condition, partition, precision=precision),
            lambda: calc_rdm(of_all, method="crossnobis", noise=precision, **folds),
        ),
        "crossnobis, unbalanced, identity": (
            lambda: crossvalidated_rdm(x[keep], condition[keep], partition[keep]),
            lambda: calc_rdm_unbalanced(of_some, method="crossnobis", **folds),
        ),
        "poisson, crossvalidated": (
            lambda: crossvalidated_rdm(x, condition, partition, "poisson"),
            lambda: calc_rdm_unbalanced(of_all, method="poisson_cv", **folds),
        ),
        "precision of the noise": (
            lambda: noise_precision(residuals),
            lambda: prec_from_residuals(residuals),
        ),
    }
    for name, (probe, peer_of) in tasks.items():
        ours = best_of(5, probe=probe)["probe"]
        start = time.perf_counter()
        peer_of()
        theirs = time.perf_counter() - start
        print(
            f"  {name:<33} probe {ours * 1e3:7.1f} ms; rsatoolbox {theirs * 1e3:8.0f} ms = "
            f"{theirs / ours:.0f} × probe"
        )


if __name__ == "__main__":
    rdms()
