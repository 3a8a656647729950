"""How fast inference is: `probe` beside rsatoolbox, on the same RDMs, in the same run.

Run ``python benchmarks/inference.py``; it takes about ten minutes, nearly all of them
rsatoolbox's. Both sides score 8 models against 4 subjects in bootstrap samples of stimuli and
subjects, with both bounds of the noise ceiling in every sample. rsatoolbox is given fewer samples
where it is slow, and its time for 1,000 is extrapolated, since its samples take one time each.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
import warnings
from collections.abc import Callable

import numpy as np

N_RESAMPLES = 1000
GOALS = {
    "cosine": 50, "pearson": 50, "spearman": 10, "rho-a": 10, "tau-a": 10,
    "whitened-cosine": 500, "whitened-pearson": 500,
}  # fmt: skip
THEIRS = {
    "cosine": "cosine", "pearson": "corr", "spearman": "spearman", "rho-a": "rho-a",
    "tau-a": "tau-a", "whitened-cosine": "cosine_cov", "whitened-pearson": "corr_cov",
}  # fmt: skip


def seconds(work: Callable[[], object], runs: int = 3) -> float:
    """Give the shortest time of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def world(n: int) -> tuple[np.ndarray, np.ndarray]:
    """RDMs of 8 models and 4 subjects that have something in common."""
    from probe.similarity import rdm

    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n, 30))
    models = [rdm(shared + rng.normal(0, 1 + k / 4, (n, 30))) for k in range(8)]
    data = [rdm(shared + rng.normal(0, 1, (n, 30))) for _ in range(4)]
    return np.stack(models), np.stack(data)


def rsatoolbox_seconds(models: np.ndarray, data: np.ndarray, name: str, both: bool) -> float:
    """Time of `N_RESAMPLES` bootstrap samples, from as many as fit into 15 seconds or so."""
    from rsatoolbox.inference import eval_bootstrap, eval_bootstrap_pattern
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    fixed = [ModelFixed(f"model {k}", model) for k, model in enumerate(models)]
    subjects = RDMs(data)
    evaluate = eval_bootstrap if both else eval_bootstrap_pattern

    def run(n: int) -> float:
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluate(fixed, subjects, method=THEIRS[name], N=n)
        return time.perf_counter() - start

    run(2)
    per_sample = run(4) / 4
    n = int(np.clip(15.0 / per_sample, 4, N_RESAMPLES))
    return run(n) * N_RESAMPLES / n


def bootstraps() -> None:
    from probe.inference import evaluate

    print(f"{N_RESAMPLES:,} bootstraps over stimuli and subjects with noise ceilings, 8 models, "
          "92 conditions, 4 subjects")  # fmt: skip
    models, data = world(92)
    for name, goal in GOALS.items():
        same = seconds(
            lambda n=name: evaluate(  # type: ignore[misc]
                models, data, n, resample="both", test="bootstrap", variance="bootstrap",
                n_resamples=N_RESAMPLES,
            )
        )  # fmt: skip
        default = seconds(
            lambda n=name: evaluate(models, data, n, resample="both", n_resamples=N_RESAMPLES),  # type: ignore[misc]
            1,
        )
        theirs = rsatoolbox_seconds(models, data, name, both=True)
        print(
            f"  {name:<17} probe {same:6.2f} s, rsatoolbox {theirs:7.1f} s = {theirs / same:6.0f} "
            f"× probe (goal ≥ {goal}); with jackknife and permutations {default:5.2f} s"
        )


def many_conditions() -> None:
    from probe.inference import evaluate

    print(f"\n{N_RESAMPLES:,} bootstraps over stimuli, 8 models, 1,000 conditions, 4 subjects")
    models, data = world(1000)
    ours = seconds(
        lambda: evaluate(
            models, data, "pearson", test="bootstrap", variance="bootstrap",
            n_resamples=N_RESAMPLES,
        ),
        1,
    )  # fmt: skip
    theirs = rsatoolbox_seconds(models, data, "pearson", both=False)
    print(
        f"  pearson           probe {ours:6.2f} s, rsatoolbox {theirs:7.1f} s = "
        f"{theirs / ours:6.0f} × probe (goal ≥ 100)"
    )


def kendall() -> None:
    from rsatoolbox.rdm import RDMs
    from rsatoolbox.rdm import compare as rsatoolbox_compare

    from probe.similarity import compare

    a, b = np.random.default_rng(0).random((2, 1001 * 500))
    ours = seconds(lambda: compare(a, b, "tau-a"))
    theirs = seconds(lambda: rsatoolbox_compare(RDMs(a[None]), RDMs(b[None]), "tau-a"), 1)
    print(
        f"\ntau-a of two RDMs of 1,001 conditions, {len(a):,} pairs: probe {ours:.2f} s "
        f"(goal < 1), rsatoolbox {theirs:.2f} s = {theirs / ours:.1f} × probe"
    )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print(f"{os.cpu_count()} cores")
    bootstraps()
    many_conditions()
    kendall()
