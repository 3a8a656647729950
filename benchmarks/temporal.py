"""How fast RSA over time is: `probe` beside mne-rsa, on the same data.

Run ``python benchmarks/temporal.py``; it takes about two minutes. mne-rsa has to be importable: it
pulls PySide6 and PyVista, so that it is better put into an environment of its own.

Every figure is a ratio of two times of the processor, in the same run, each with one thread, since
machines are noisy and others may be at work on them; the shortest of a few counts. Sizes are those
of MEG: 92 pictures × 306 sensors, and 15 model RDMs, the layers of AlexNet. What both sides compute
has to agree.

curves
    From responses to the Spearman correlation of each time's RDM with each model's.
tested
    The same, and the curves in 100 permutations of the stimuli's labels, which a test of clusters
    takes. mne-rsa has no such test: its RDMs are computed once, and `mne_rsa.rsa` is called with
    the models of all permutations. The goal is of this one. The curves alone are bound by the
    products and the sorting that both sides have to do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from probe.inference.over_time import permuted_curves
from probe.similarity import get_comparator, rdm

GOAL = 20.0
N_STIMULI, N_SENSORS, N_TIMES, N_MODELS, N_PERMUTATIONS = 92, 306, 60, 15, 100


def seconds(work: Callable[[], object], runs: int) -> float:
    """Time of the processor, the shortest of a few runs after a first."""
    work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def bench_temporal() -> bool:
    try:
        import mne_rsa
    except ImportError:
        print("mne-rsa is not here: pip install mne-rsa, in an environment of its own")
        return False

    rng = np.random.default_rng(0)
    responses = rng.standard_normal((N_STIMULI, N_SENSORS, N_TIMES))
    models = np.stack([rdm(rng.standard_normal((N_STIMULI, 50))) for _ in range(N_MODELS)])
    orders = rng.permuted(np.tile(np.arange(N_STIMULI), (N_PERMUTATIONS, 1)), axis=1)
    spearman = get_comparator("spearman")

    def ours() -> np.ndarray:
        over_time = np.ascontiguousarray(responses.transpose(2, 0, 1))
        data = spearman.prepare(np.stack([rdm(at) for at in over_time]))
        return spearman.similarity(spearman.prepare(models), data)

    def ours_tested() -> np.ndarray:
        over_time = np.ascontiguousarray(responses.transpose(2, 0, 1))
        data = spearman.prepare(np.stack([rdm(at) for at in over_time]))
        of_models = spearman.prepare(models)
        curves = spearman.similarity(of_models, data)
        by_chance = permuted_curves(of_models, data, spearman, orders, N_TIMES)
        return np.concatenate([curves[None], by_chance])

    def theirs() -> np.ndarray:
        patches = mne_rsa.searchlight(responses.shape, temporal_radius=0)
        found = mne_rsa.rsa_array(responses, list(models), patches, n_jobs=1, verbose=False)
        return np.asarray(found)

    def theirs_tested() -> np.ndarray:
        patches = mne_rsa.searchlight(responses.shape, temporal_radius=0)
        of_times = list(mne_rsa.rdm_array(responses, patches, n_jobs=1))
        # To permute the labels of the data is to permute those of the models by the inverse.
        permuted = [
            square[np.ix_(order, order)][np.triu_indices(N_STIMULI, 1)]
            for order in [np.arange(N_STIMULI), *np.argsort(orders, axis=1)]
            for square in squares
        ]
        found = np.asarray(mne_rsa.rsa(of_times, permuted, metric="spearman", n_jobs=1))
        return found.T.reshape(N_PERMUTATIONS + 1, N_MODELS, N_TIMES)

    squares = np.zeros((N_MODELS, N_STIMULI, N_STIMULI))
    rows, columns = np.triu_indices(N_STIMULI, 1)
    squares[:, rows, columns] = squares[:, columns, rows] = models
    print(
        f"RSA over time of {N_STIMULI} stimuli × {N_SENSORS} sensors × {N_TIMES} times, "
        f"{N_MODELS} models"
    )
    reached = True
    for name, mine, peer, goal in (
        ("curves", ours, theirs, None),
        (f"tested, {N_PERMUTATIONS} permutations", ours_tested, theirs_tested, GOAL),
    ):
        agree = float(np.abs(np.reshape(peer(), mine().shape) - mine()).max())
        a, b = seconds(mine, 3), seconds(peer, 1 if goal else 3)
        reached &= agree < 1e-9 and (goal is None or b / a >= goal)
        wanted = f" (goal ≥ {goal:.0f})" if goal else ""
        print(
            f"  {name:<26} probe {a * 1e3:7.0f} ms; mne-rsa {b * 1e3:8.0f} ms = {b / a:.1f} × probe"
            f"{wanted}; largest difference {agree:.0e}"
        )
    return reached


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.exit(0 if bench_temporal() else 1)
