"""How fast inference is: `probe` beside rsatoolbox, on the same RDMs, in the same run.

Run ``python benchmarks/inference.py``; it takes half an hour, nearly all of it rsatoolbox's. Both
sides score 8 models against 4 subjects in bootstrap samples of stimuli and subjects, with both
bounds of the noise ceiling in every sample. The goals are of rsatoolbox's `eval_bootstrap`, which
samples both at once. Ours samples the subjects and the stimuli alone as well, since the variance
over both factors needs all three (Schütt et al. 2023); rsatoolbox's function for that is
`eval_dual_bootstrap`, and the ratio to it, of equal work, is printed too.

Each run is a process of its own, and counts from when everything is imported and compiled: its CPU
seconds (user and system, all threads) and its seconds on the clock. Both sides have one thread,
then two, of linear algebra (OMP_NUM_THREADS) and, on our side, of resamples (PROBE_THREADS);
rsatoolbox has no others. With one thread, either side stays on one core, where the system lets it:
moved to another, a process leaves its caches behind, and times vary by a half. They take turns, and
the mean of ``--turns`` runs of each counts. The goals are of CPU seconds with one thread.

rsatoolbox is given fewer samples where it is slow, and its time for 1,000 is extrapolated, since
its samples take one time each.

``--large`` adds, with an hour more,

640 stimuli × 10 models
    Spearman, one subject: everything that `probe rsa` does (bootstrap, jackknife, permutations),
    beside rsatoolbox's bootstrap alone.
5,000 stimuli × 10 models
    Ours only: 1,000 resamples on two threads, with the peak of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 1000
GOALS = {
    "cosine": 150, "pearson": 150, "spearman": 120, "rho-a": 100, "tau-a": 15,
    "whitened-cosine": 1000, "whitened-pearson": 1000,
}  # fmt: skip
"""Times as fast as rsatoolbox, in CPU seconds."""

THEIRS = {
    "cosine": "cosine", "pearson": "corr", "spearman": "spearman", "rho-a": "rho-a",
    "tau-a": "tau-a", "whitened-cosine": "cosine_cov", "whitened-pearson": "corr_cov",
}  # fmt: skip

EVERYTHING = 100
"""Goal of all that `probe rsa` does for 640 stimuli, beside rsatoolbox's bootstrap alone."""

GIGABYTES, MINUTES = 4.0, 10.0
"""Goals of 5,000 stimuli."""

SECONDS = 15.0
"""Of rsatoolbox, in a run."""


@dataclass(frozen=True)
class Time:
    """Of 1,000 samples: CPU seconds and seconds on the clock; and the peak of memory, GB."""

    cpu: float
    clock: float
    memory: float


def world(n: int, n_models: int, n_subjects: int) -> tuple[np.ndarray, np.ndarray]:
    """RDMs of models and subjects that have something in common."""
    from probe.similarity import rdm

    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n, 30))
    models, data = (np.empty((k, n * (n - 1) // 2)) for k in (n_models, n_subjects))
    for k, model in enumerate(models):  # in place: a list and its stack would be the peak
        model[:] = rdm(shared + rng.normal(0, 1 + k / 4, (n, 30)))
    for subject in data:
        subject[:] = rdm(shared + rng.normal(0, 1, (n, 30)))
    return models, data


def cpu_seconds() -> float:
    """Of this process, in all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work: Callable[[], object], factor: float = 1.0) -> Time:
    """Time work, and multiply it by what it is a part of."""
    begun = cpu_seconds(), time.perf_counter()
    work()
    spent = cpu_seconds() - begun[0], time.perf_counter() - begun[1]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return Time(spent[0] * factor, spent[1] * factor, memory)


def ours(name: str, size: tuple[int, int, int], whole: bool) -> Time:
    """Time `probe`: the bootstrap alone, or with the jackknife and the permutations."""
    from probe.inference import evaluate

    models, data = world(*size)
    resample = "both" if len(data) > 1 else "stimuli"
    alone = {} if whole else {"test": "bootstrap", "variance": "bootstrap"}
    evaluation = functools.partial(evaluate, models, data, name, resample=resample, **alone)  # type: ignore[arg-type]
    if size[0] <= 1000:  # compiles; at 5,000 stimuli that is nothing
        evaluation(n_resamples=8)
    return timed(lambda: evaluation(n_resamples=N_RESAMPLES))


def rsatoolbox(name: str, size: tuple[int, int, int], _whole: bool, dual: bool = False) -> Time:
    """Time rsatoolbox's bootstrap, from as many samples as fit into `SECONDS` or so."""
    from rsatoolbox.inference import eval_bootstrap, eval_bootstrap_pattern, eval_dual_bootstrap
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    models, data = world(*size)
    fixed = [ModelFixed(f"model {k}", model) for k, model in enumerate(models)]
    over_both = eval_dual_bootstrap if dual else eval_bootstrap
    evaluate = over_both if len(data) > 1 else eval_bootstrap_pattern

    def run(n: int) -> None:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluate(fixed, RDMs(data), method=THEIRS[name], N=n)

    run(2)
    per_sample = timed(lambda: run(4)).clock / 4
    n = int(np.clip(SECONDS / per_sample, 4, N_RESAMPLES))
    return timed(lambda: run(n), N_RESAMPLES / n)


SIDES: dict[str, Callable[[str, tuple[int, int, int], bool], Time]] = {
    "probe": ours, "rsatoolbox": rsatoolbox,
    "dual": functools.partial(rsatoolbox, dual=True),
}  # fmt: skip
"""What is timed; ``dual`` is rsatoolbox's `eval_dual_bootstrap`."""


def in_child(side: str, name: str, size: tuple[int, int, int], whole: bool, threads: int) -> Time:
    """Time a side in a process of its own, with a number of threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PROBE_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    task = json.dumps([side, name, size, whole])
    output = subprocess.run(
        [sys.executable, __file__, "--child", task], env=environment, check=True,
        stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    return Time(*json.loads(output.splitlines()[-1]))


def compared(
    name: str, size: tuple[int, int, int], threads: int, turns: int, whole: bool = False
) -> tuple[float, float]:
    """Time both sides in turns, print the means, and return the ratios of CPU and of the clock."""
    sides = list(SIDES) if size[2] > 1 and threads == 1 else ["probe", "rsatoolbox"]
    times: dict[str, list[Time]] = {side: [] for side in sides}
    for _ in range(turns):
        for side in sides:
            times[side].append(in_child(side, name, size, whole, threads))
    means = {
        side: (statistics.mean(t.cpu for t in of), statistics.mean(t.clock for t in of))
        for side, of in times.items()
    }
    cpu, clock = means["probe"]
    their_cpu, their_clock = means["rsatoolbox"]
    same_work = f", {means['dual'][0] / cpu:.0f} × of equal work" if "dual" in means else ""
    print(
        f"  {name:<17}{threads} thread{'s' if threads > 1 else ' '}  probe {cpu:7.2f} CPU s "
        f"{clock:7.2f} s, rsatoolbox {their_cpu:8.1f} CPU s {their_clock:8.1f} s = "
        f"{their_cpu / cpu:6.0f} × CPU{same_work}, {their_clock / clock:6.0f} × clock",
        end="",
        flush=True,
    )
    return their_cpu / cpu, their_clock / clock


def reached(ratio: float, goal: float, threads: int) -> bool:
    """Say whether a goal of CPU seconds is met; with several threads there is none."""
    if threads > 1:
        print()
        return True
    print(f" (goal ≥ {goal:g} × CPU: {'met' if ratio >= goal else 'NOT met'})", flush=True)
    return ratio >= goal


def bootstraps(names: list[str], turns: int) -> list[bool]:
    """Time bootstraps of 92 conditions with every comparator."""
    print(f"{N_RESAMPLES:,} bootstraps over stimuli and subjects with noise ceilings, 8 models, "
          "92 conditions, 4 subjects")  # fmt: skip
    return [
        reached(compared(name, (92, 8, 4), threads, turns)[0], GOALS[name], threads)
        for name in names
        for threads in (1, 2)
    ]


def kendall(turns: int) -> None:
    """Time tau-a of two large RDMs."""
    from rsatoolbox.rdm import RDMs
    from rsatoolbox.rdm import compare as rsatoolbox_compare

    from probe.similarity import compare

    a, b = np.random.default_rng(0).random((2, 1001 * 500))
    compare(a[:4950], b[:4950], "tau-a")
    own, theirs = [], []
    for _ in range(turns):
        own.append(timed(lambda: compare(a, b, "tau-a")).cpu)
        theirs.append(timed(lambda: rsatoolbox_compare(RDMs(a[None]), RDMs(b[None]), "tau-a")).cpu)
    mean, their_mean = statistics.mean(own), statistics.mean(theirs)
    print(
        f"\ntau-a of two RDMs of 1,001 conditions, {len(a):,} pairs: probe {mean:.2f} CPU s "
        f"(goal < 1), rsatoolbox {their_mean:.2f} CPU s = {their_mean / mean:.1f} × probe"
    )


def large(turns: int) -> list[bool]:
    """Time what `probe rsa` asks of 640 and of 5,000 stimuli."""
    print(f"\n{N_RESAMPLES:,} resamples of 640 stimuli, 10 models, 1 subject: bootstrap, jackknife "
          "and permutations of probe, bootstrap of rsatoolbox")  # fmt: skip
    met = [
        reached(compared("spearman", (640, 10, 1), n, turns, True)[0], EVERYTHING, n)
        for n in (1, 2)
    ]
    print(f"\n{N_RESAMPLES:,} resamples of 5,000 stimuli, 10 models, 1 subject, 2 threads: all")
    spent = in_child("probe", "spearman", (5000, 10, 1), True, 2)
    met.append(spent.memory <= GIGABYTES and spent.clock <= 60.0 * MINUTES)
    print(
        f"  probe {spent.cpu:.0f} CPU s, {spent.clock / 60.0:.1f} minutes (goal ≤ {MINUTES:g}), "
        f"peak {spent.memory:.2f} GB, RDMs and imports included (goal ≤ {GIGABYTES:g}): "
        f"{'met' if met[-1] else 'NOT met'}"
    )
    return met


def main() -> None:
    """Run what is chosen, and say how many goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(GOALS), help="comparators, of 92 conditions")
    parser.add_argument("--turns", type=int, default=3, help="runs of each side")
    parser.add_argument("--large", action="store_true", help="640 and 5,000 stimuli, too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        side, name, size, whole = json.loads(options.child)
        if os.environ.get("PROBE_THREADS") == "1" and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        result = SIDES[side](name, tuple(size), whole)
        print(json.dumps([result.cpu, result.clock, result.memory]))
        return
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(GOALS)):
        parser.error(f"--only {unknown[0]}: expected some of {', '.join(GOALS)}")
    print(f"{os.cpu_count()} cores; means of {options.turns} runs")
    met = bootstraps(names, options.turns)
    if options.only == ",".join(GOALS):
        kendall(options.turns)
    if options.large:
        met += large(options.turns)
    print(f"{met.count(False)} goals missed" if not all(met) else "all goals met")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
