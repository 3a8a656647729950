"""What whole commands cost, beside an earlier state of the project, and whether numbers are equal.

Run ``PROBE_MIRROR=DIR python benchmarks/whole.py --against FOLDER``, where FOLDER is another
checkout (``git worktree add FOLDER COMMIT``). All of it takes more than an hour; ``--only startup``
or ``--only first,second`` runs some of it. Both sides run in the same environment, each with its
own modules (PYTHONPATH) and a cache of its own, and take turns, so that what else the machine does
meets both alike. ``--pairs`` says how often; medians are printed.

Costs are of a whole process and its children: CPU seconds (user and system, all threads), seconds
on the clock, and the largest resident memory. Ratios are the other side's CPU seconds by ours.
Machine code that is compiled at first use and kept is made by a run that does not count, except in
``first``, where the cache is empty in every run and nothing is left out of the account.

startup
    ``probe --help``, a misspelt network, ``probe layers``, ``probe filters``.
first
    ``probe rsa --model alexnet --dataset v4`` with an empty cache.
second
    The same once more. From both sides are taken off what ``from probe import rsa`` costs there.
large
    A folder of 1,200 stimuli, with 33 neuroids and no repetitions, × 4 layers, second run: pictures
    and responses of a session of the recording ``v4``.
weighted
    A weighted sum of 5 RDMs, and these alone, cross-validated on 178 stimuli.

Scores and intervals have to be equal to 1e-9, and p-values of permutations identical; the largest
differences are printed, and those of the other p-values, which depend on standard errors.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parents[1]
EQUAL = 1e-9
RSA = ("rsa", "--model", "alexnet", "--dataset", "v4")
SESSION, N_NEUROIDS = "v4:201025", 33
LAYERS = "conv1,conv2,conv3,conv4"

WEIGHTED = """
import sys
import numpy as np
from probe.inference import Model, evaluate
from probe.similarity import rdm

rng = np.random.default_rng(0)
rdms = np.stack([rdm(rng.normal(size=(178, 20))) for _ in range(5)])
truth = np.tensordot([0.0, 0.5, 1.0, 0.2, 0.3], rdms, 1)
data = truth + rng.normal(0.0, 2.0 * truth.std(), truth.shape)
result = evaluate([Model(rdms, "weighted"), *rdms], data)
result.table().to_csv(sys.argv[1] + "/table.csv")
result.pairs().to_csv(sys.argv[1] + "/pairs.csv")
"""

FOLDER = """
import sys
from pathlib import Path
import numpy as np
from probe import recordings

session, n_neuroids, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
recording = recordings.load(session)
responses = recording.data["responses"]
others = [dim for dim in responses.dims if dim not in ("stimulus", "neuroid")]
responses = responses.mean(others).transpose("stimulus", "neuroid").values
(folder / "images").mkdir(parents=True)
for k in range(len(recording.stimuli)):
    recording.stimuli.image(k).save(folder / "images" / f"{k:04d}.png")
np.save(folder / "responses.npy", responses[:, :n_neuroids])
"""


@dataclass(frozen=True)
class Case:
    """A command of `probe`, or a program, and what is asked of it."""

    name: str
    group: str
    command: tuple[str, ...]
    goal: float
    """CPU seconds, or, where they are of the same run, the ratio; see ``by_ratio``."""
    by_ratio: bool = False
    imports: str = ""
    """A module whose import is taken off."""
    fresh: bool = False
    """Whether the cache is empty."""
    memory: bool = False
    """Whether the memory may be no larger than on the other side."""
    tables: bool = False
    """Whether tables are written into a folder, given as ``--output`` or as the last argument."""
    status: int = 0


CASES = (
    Case("probe --help", "startup", ("--help",), 0.3),
    Case("probe rsa --model alxnet", "startup", ("rsa", "--model", "alxnet", "--dataset", "v4"),
         0.4, status=2),
    Case("probe layers alexnet", "startup", ("layers", "alexnet"), 3.5),
    Case("probe filters alexnet", "startup", ("filters", "alexnet", "--output", "PNG"), 6.0),
    Case("probe rsa, first run", "first", (*RSA, "--output", "OUT"), 2.5, by_ratio=True,
         fresh=True, memory=True, tables=True),
    Case("probe rsa, second run", "second", (*RSA, "--output", "OUT"), 4.0, by_ratio=True,
         imports="from probe import rsa", memory=True, tables=True),
    Case("1,200 stimuli × 4 layers, second run", "large",
         ("rsa", "-m", "alexnet", "-d", "FOLDER", "--layers", LAYERS, "--output", "OUT"),
         5.0, by_ratio=True, memory=True, tables=True),
    Case("weighted, 5 RDMs × 178 stimuli", "weighted", ("-c", WEIGHTED, "OUT"), 5.0, by_ratio=True,
         imports="import probe.inference", tables=True),
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU seconds, seconds on the clock, and MB."""

    cpu: float
    clock: float
    memory: float


@dataclass
class Side:
    """A checkout, with a folder for its caches and its results."""

    tree: Path
    folder: Path
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def argv(self, command: Sequence[str]) -> list[str]:
        """Say how this checkout runs a command of `probe`, or a program (``-c``)."""
        if command[0] == "-c":
            return [sys.executable, *command]
        project = tomllib.loads((self.tree / "pyproject.toml").read_text())["project"]
        module, function = project["scripts"]["probe"].split(":")
        start = f"import sys; sys.argv[0] = 'probe'; from {module} import {function} as main; "
        return [sys.executable, "-c", start + "sys.exit(main())", *command]

    def run(self, command: Sequence[str], cache: Path, status: int = 0) -> Cost:
        """Run a command to its end.

        Raises
        ------
        RuntimeError
            If it ends with another status.
        """
        environment = os.environ | {"PYTHONPATH": str(self.tree), "PROBE_CACHE": str(cache)}
        log = self.folder / "log.txt"
        start = time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen(
                self.argv(command), env=environment, cwd=self.folder, stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
            # Of the process and all its children that it waited for.
            _, ended, used = os.wait4(process.pid, 0)
        clock = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(ended)
        if process.returncode != status:
            raise RuntimeError(
                f"{' '.join(command[:3])} ended with {process.returncode} in {self.tree}:\n"
                + log.read_text()[-2000:]
            )
        return Cost(used.ru_utime + used.ru_stime, clock, used.ru_maxrss / 1e3)

    def results(self, case: Case) -> Path:
        """Return the folder of a case's results."""
        return self.folder / "results" / case.group

    def once(self, case: Case, recording: Path, *, counts: bool) -> None:
        """Run a case, and note its cost if it counts."""
        cache, results = self.folder / "cache", self.results(case)
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        if case.fresh:
            cache = self.folder / "fresh"
            shutil.rmtree(cache, ignore_errors=True)
        known = {
            "OUT": str(results), "PNG": str(results / "figure.png"), "FOLDER": str(recording),
        }  # fmt: skip
        cost = self.run([known.get(word, word) for word in case.command], cache, case.status)
        if case.imports:
            spent = self.run(("-c", case.imports), cache)
            cost = Cost(cost.cpu - spent.cpu, cost.clock - spent.clock, cost.memory)
        if counts:
            self.costs.setdefault(case.name, []).append(cost)

    def median(self, case: Case) -> Cost:
        """Return the median of all runs."""
        costs = self.costs[case.name]
        return Cost(
            *(statistics.median(getattr(c, f) for c in costs) for f in Cost.__annotations__)
        )


def differences(ours: Path, theirs: Path) -> tuple[float, float, float]:
    """Return the largest differences of scores, p-values of permutations, and other p-values."""
    largest = [0.0, 0.0, 0.0]
    for name in ("table.csv", "pairs.csv"):
        a, b = (pd.read_csv(folder / name) for folder in (ours, theirs))
        if list(a.columns) != list(b.columns) or len(a) != len(b):
            raise RuntimeError(f"{name} has other rows or columns in {theirs}")
        # A label that one side leaves out is a column of NaN there.
        numbers = [set(table.select_dtypes("number")) for table in (a, b)]
        for column in map(str, sorted(numbers[0] & numbers[1])):
            x, y = a[column].to_numpy(float), b[column].to_numpy(float)
            unlike = np.isnan(x) != np.isnan(y)
            apart = float(np.where(unlike, np.inf, np.nan_to_num(np.abs(x - y))).max(initial=0.0))
            kind = 0 if not column.startswith("p") else 1 if column.startswith("p_zero") else 2
            largest[kind] = max(largest[kind], apart)
    return largest[0], largest[1], largest[2]


def report(case: Case, ours: Side, theirs: Side) -> bool:
    """Print what a case costs on both sides, and tell whether its goals are met."""
    a, b = ours.median(case), theirs.median(case)
    ratio = b.cpu / a.cpu
    met = ratio >= case.goal if case.by_ratio else a.cpu <= case.goal
    goal = f"≥ {case.goal:g} ×" if case.by_ratio else f"≤ {case.goal:g} s"
    print(
        f"{case.name:<38}{a.cpu:8.2f}{b.cpu:9.2f} CPU s {ratio:7.2f} ×  {a.clock:7.1f}"
        f"{b.clock:8.1f} s {b.clock / a.clock:6.2f} × {a.memory:7.0f}{b.memory:7.0f} MB  "
        f"goal {goal}: {'met' if met else 'NOT met'}",
        flush=True,
    )
    if case.memory and a.memory > b.memory:
        print(f"{'':<38}NOT met: peak memory is {a.memory / b.memory - 1:.1%} higher")
        met = False
    if case.tables:
        scores, permuted, others = differences(ours.results(case), theirs.results(case))
        same = scores <= EQUAL and permuted == 0.0
        print(
            f"{'':<38}scores and intervals differ by {scores:.1e}, p-values of permutations by "
            f"{permuted:.1e}, others by {others:.1e}: {'equal' if same else 'NOT equal'}",
            flush=True,
        )
        met &= same
    return met


def main() -> None:
    """Run what is chosen, and say which goals are met."""
    groups = list(dict.fromkeys(case.group for case in CASES))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="another checkout")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side")
    parser.add_argument("--only", default=",".join(groups), help=f"some of {', '.join(groups)}")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := sorted(set(chosen) - set(groups)):
        parser.error(f"--only {unknown[0]}: expected some of {', '.join(groups)}")
    if not (options.against / "probe").is_dir():
        parser.error(f"--against {options.against}: there is no checkout of the project")
    if "PROBE_MIRROR" not in os.environ:
        parser.error("PROBE_MIRROR is not set: it names the folder with the recordings")
    if options.pairs < 1:
        parser.error(f"--pairs {options.pairs}: expected a number ≥ 1")
    met = []
    with tempfile.TemporaryDirectory() as temporary:
        sides = [
            Side(HERE, Path(temporary, "ours")),
            Side(options.against.resolve(), Path(temporary, "theirs")),
        ]
        for side in sides:
            side.folder.mkdir()
        recording = Path(temporary, "recording")
        if "large" in chosen:
            builder = ("-c", FOLDER, SESSION, str(N_NEUROIDS), str(recording))
            sides[0].run(builder, sides[0].folder / "cache")
        print(
            f"{os.cpu_count()} cores; medians of {options.pairs} pairs; this side, the other side"
        )
        for case in CASES:
            if case.group not in chosen:
                continue
            for pair in range(options.pairs + 1):
                if pair == 0 and case.fresh:
                    continue  # all that the first run makes is part of it
                for side in sides if pair % 2 else reversed(sides):
                    side.once(case, recording, counts=pair > 0)
            met.append(report(case, *sides))
    print(f"{sum(met)} of {len(met)} goals met")
    sys.exit(not all(met))


if __name__ == "__main__":
    main()
