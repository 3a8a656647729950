"""Resamples of stimuli and of subjects, and the scores in them.

A bootstrap sample, a half and a jackknife sample of the stimuli are all counts: how often every
stimulus occurs. Stimuli that belong together (variants of one image, members of a category) can be
drawn as groups.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from probe.similarity import Comparator
from probe.similarity.blas import single_threaded
from probe.similarity.comparators import PreparedRDMs
from probe.similarity.pairs import Pairs
from probe.similarity.threads import n_threads

Track = Callable[..., Iterable[Any]]
"""Wraps an iterable, given with its ``total`` and, as ``desc``, a name, in a progress bar."""

N_TASKS = 256
"""Most tasks that an executor is given for one set of resamples."""


class Executor(Protocol):
    """Computes in other processes, or on other machines; as `probe.cluster.Cluster` does."""

    def map(
        self,
        function: Callable[..., Any],
        tasks: Sequence[Any],
        *,
        shared: Sequence[Any],
        alone: bool,
        progress: bool,
    ) -> Iterable[tuple[int, Any]]:
        """Call ``function(*shared, task)`` for every task; give its index and what came back.

        In any order. What is shared is sent once, or not at all if the call before shared the same
        objects. Without ``alone``, several threads of a process may be at work; without
        ``progress``, no bar is shown.
        """


@dataclass(frozen=True, eq=False)
class Units:
    """What is drawn when stimuli are drawn: stimuli, or groups of them.

    Attributes
    ----------
    n_stimuli : int
        Of the RDMs, those without any distance included.
    unit : numpy.ndarray, shape (n_stimuli,), int
        The unit of each stimulus, 0 … n − 1; −1 for a stimulus without any distance.
    name : str
        What the units are: ``stimuli`` or ``groups of stimuli``.
    """

    n_stimuli: int
    unit: np.ndarray
    name: str

    @classmethod
    def of(cls, pairs: Pairs, groups: Sequence[Any] | None) -> Units:
        """Find the units of stimuli that have a distance.

        Raises
        ------
        ValueError
            If there is not one group label per stimulus.
        """
        conditions = pairs.conditions()
        unit = np.full(pairs.n, -1)
        if groups is None:
            unit[conditions] = np.arange(len(conditions))
        else:
            labels = np.empty(len(groups), dtype=object)
            labels[:] = list(groups)
            if len(labels) != pairs.n:
                raise ValueError(
                    f"groups has {len(labels)} labels: expected one for each of {pairs.n} stimuli"
                )
            if pd.isna(labels).any():
                raise ValueError(
                    f"groups has no label for stimulus {np.flatnonzero(pd.isna(labels))[0]}"
                )
            unit[conditions] = pd.factorize(labels[conditions])[0]
        return cls(pairs.n, unit, "stimuli" if groups is None else "groups of stimuli")

    @property
    def n(self) -> int:
        """Number of units."""
        return int(self.unit.max()) + 1

    @property
    def everything(self) -> np.ndarray:
        """Counts of the stimuli when nothing is resampled, shape (n_stimuli,)."""
        return (self.unit >= 0).astype(int)

    def counts(self, of_units: np.ndarray) -> np.ndarray:
        """Turn counts of units (B, n) into counts of stimuli (B, n_stimuli)."""
        return of_units[:, self.unit] * self.everything.astype(of_units.dtype)

    def permutations(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw permutations of the units, shape (n, n_stimuli), int.

        Groups trade places with groups of their own size, stimulus by stimulus.

        Raises
        ------
        ValueError
            If no two groups have the same size.
        """
        orders = np.tile(np.arange(self.n_stimuli), (n, 1))
        members = [np.flatnonzero(self.unit == k) for k in range(self.n)]
        sizes = np.array([len(m) for m in members])
        alike = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
        if all(len(of_size) < 2 for of_size in alike):
            raise ValueError(
                "no two groups of stimuli have the same size, so that labels cannot be permuted; "
                "choose test='t' and something to resample, or other groups"
            )
        for of_size in alike:
            places = np.stack([members[k] for k in of_size])
            shuffled = rng.permuted(np.tile(np.arange(len(of_size)), (n, 1)), axis=1)
            orders[:, places.ravel()] = places[shuffled].reshape(n, -1)
        return orders


def bootstrap_counts(n: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n units out of n with replacement, and count them.

    Returns
    -------
    numpy.ndarray, shape (n_resamples, n), int
        A draw of fewer than three distinct units, which has no RDM to speak of, is drawn again.
    """
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples)
    while (poor := (counts > 0).sum(axis=1) < 3).any():
        counts[poor] = rng.multinomial(n, np.full(n, 1.0 / n), size=int(poor.sum()))
    return counts


def resampled_scores(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    counts: np.ndarray,
    subjects: Sequence[np.ndarray] = (),
    track: Track | None = None,
    executor: Executor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score every model against every subject, and bound the true model's score, in resamples.

    As `Comparator.resample`, in blocks, on threads or wherever the executor has them.

    Returns
    -------
    scores : numpy.ndarray, shape (B, M, S)
    bounds : numpy.ndarray, shape (len(subjects), B, 2, S)
    """
    scores = np.empty((len(counts), len(models.rdms), len(data.rdms)))
    bounds = np.empty((len(subjects), len(counts), 2, len(data.rdms)))

    def keep(part: slice, found: tuple[np.ndarray, np.ndarray]) -> None:
        scores[part], bounds[:, part] = found

    by_blocks(
        _resample, (models, data, comparator), (counts, *subjects), comparator.block, keep, track,
        executor,
    )  # fmt: skip
    return scores, bounds


def _resample(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    counts: np.ndarray,
    *subjects: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    return comparator.resample(models, data, counts, subjects)


def scores_without_each(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    units: Units,
    track: Track | None = None,
    executor: Executor | None = None,
) -> np.ndarray:
    """Score every model against every subject without each unit of the stimuli in turn.

    Returns
    -------
    numpy.ndarray, shape (units.n, M, S)
    """
    score = comparator.without_each(models, data, units.unit)
    if score is None:
        counts = units.counts(without_each(units.n))
        return resampled_scores(models, data, comparator, counts, (), track, executor)[0]
    scores = np.empty((units.n, len(models.rdms), len(data.rdms)))

    def one(part: slice) -> None:
        scores[:, part.start] = score(part.start)

    in_blocks(one, len(models.rdms), 1, track)
    return scores


def without_each(n: int) -> np.ndarray:
    """Return the counts of n units without each in turn, (n, n), int8.

    One byte each: of 5,000 stimuli, there are 25 million.
    """
    return 1 - np.eye(n, dtype=np.int8)


def permuted_scores(
    models: PreparedRDMs,
    data: PreparedRDMs,
    comparator: Comparator,
    orders: np.ndarray,
    track: Track | None = None,
    executor: Executor | None = None,
) -> np.ndarray:
    """Score every model against the data with the stimuli's labels permuted.

    As `Comparator.permuted_scores`, in blocks, on threads or wherever the executor has them.

    Returns
    -------
    numpy.ndarray, shape (B, M)
        Mean over subjects.
    """
    result = np.empty((len(orders), len(models.rdms)))

    def keep(part: slice, found: np.ndarray) -> None:
        result[part] = found

    shared = models, data, comparator
    by_blocks(_permute, shared, (orders,), comparator.block, keep, track, executor)
    return result


def _permute(
    models: PreparedRDMs, data: PreparedRDMs, comparator: Comparator, orders: np.ndarray
) -> np.ndarray:
    return comparator.permuted_scores(models, data, orders)


def by_blocks(
    function: Callable[..., Any],
    shared: Sequence[Any],
    tables: Sequence[np.ndarray],
    block: int,
    keep: Callable[[slice, Any], None],
    track: Track | None,
    executor: Executor | None,
) -> None:
    """Call a function with blocks of resamples: on threads, or where an executor has them done.

    The blocks are the same in both cases, and so are their results, to the last bit.

    Parameters
    ----------
    function : callable
        Of a module: called as ``function(*shared, *rows)``, with some rows of each table.
    shared : sequence
    tables : sequence of numpy.ndarray
        One row for each of n resamples.
    block : int
        Rows that are worked on together.
    keep : callable
        Is given the rows' place, and what the function returned.
    track : callable or None
    executor : Executor or None
        Has no part in a single block.
    """
    n = len(tables[0])
    if executor is None or n <= block:

        def one(part: slice) -> None:
            keep(part, function(*shared, *(table[part] for table in tables)))

        in_blocks(one, n, block, track)
        return
    task_size = block * -(-n // (block * N_TASKS))
    parts = [slice(start, min(start + task_size, n)) for start in range(0, n, task_size)]

    def finished() -> Generator[int]:
        for k, result in executor.map(
            functools.partial(_in_turn, function, block),
            [tuple(table[part] for table in tables) for part in parts],
            shared=shared,
            alone=False,
            progress=False,
        ):
            start = parts[k].start
            for of_block in result:
                stop = min(start + block, parts[k].stop)
                keep(slice(start, stop), of_block)
                start = stop
            yield from range(parts[k].start, parts[k].stop)

    _exhaust(finished(), n, track)


def _in_turn(function: Callable[..., Any], block: int, *given: Any) -> list[Any]:
    """Work on some blocks, in another process; last given are the rows of all tables."""
    *shared, tables = given
    with single_threaded():
        return [
            function(*shared, *(table[k : k + block] for table in tables))
            for k in range(0, len(tables[0]), block)
        ]


def in_blocks(one: Callable[[slice], None], n: int, block: int, track: Track | None) -> None:
    """Call ``one`` with every block of n resamples, on a few threads.

    The work is done outside the interpreter's lock; every call has its own place in the result.
    The blocks are the same for any number of threads, and linear algebra has one thread in each,
    so that a seed gives the same bytes. Not more than a few threads: each holds copies of RDMs.
    """
    parts = [slice(start, min(start + block, n)) for start in range(0, n, block)]
    with single_threaded():

        def finished() -> Generator[int]:
            # The first alone: it makes what all others share.
            for part in parts[:1]:
                one(part)
                yield from range(part.start, part.stop)
            if len(parts) < 2:
                return
            with ThreadPoolExecutor(n_threads()) as pool:
                try:
                    for part, _ in zip(parts[1:], pool.map(one, parts[1:]), strict=True):
                        yield from range(part.start, part.stop)
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

        _exhaust(finished(), n, track)


def _exhaust(done: Generator[int], n: int, track: Track | None) -> None:
    try:
        for _ in track(done, total=n) if track else done:
            pass
    finally:
        done.close()  # or, interrupted out here, it would leave others at work
