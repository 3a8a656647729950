"""Tasks for the workers of a cluster: sent, done, done again when a worker dies."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import operator
import os
import pickle
import queue
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from probe.errors import ProbeError
from probe.progress import track

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

COUNTING_INTERVAL_S = 1.0
"""Seconds after which workers are counted again: they come and go."""

SPARE_TASKS = 16
"""Tasks that are given away beyond two for each thread of a worker."""

LOST = (
    "the connection to the cluster's scheduler is lost; what is finished is kept: the same command "
    "goes on"
)
ALIKE = "install the same versions there and here"


class Cluster:
    """Workers, and a way to give them tasks; made by `connect`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        # What was sent last: it is not sent again.
        self._shared: tuple[Any, ...] = ()
        self._sent: Future | None = None

    def map(
        self,
        function: Callable[..., T],
        tasks: Sequence[Any],
        *,
        shared: Sequence[Any] = (),
        sizes: Sequence[float] | None = None,
        alone: bool = True,
        keep_errors: bool = False,
        desc: str = "",
        unit: str = "it",
        progress: bool | None = None,
    ) -> Iterator[tuple[int, T]]:
        """Call a function with every task, wherever there is a worker, and yield what it returns.

        A task whose worker dies is given to another; after four (Dask's setting
        ``distributed.scheduler.allowed-failures``), to four more when no other task is about. What
        the function raises is raised here, as it is. Whoever leaves the loop, by an exception,
        Ctrl-C or ``close()``, takes back what nobody has begun. The variables ``PROBE_…`` of this
        process hold for the workers.

        Parameters
        ----------
        function : callable
            Is called ``function(*shared, task)``.
        tasks : sequence
            Each is sent by itself, and should be small.
        shared : sequence
            What is large: every worker gets it once. A next call with the same objects does not
            send them again, so that they must not change in between.
        sizes : sequence of float, optional
            How much work every task is, for the bar; by default 1.
        alone : bool
            Whether a task has a process to itself, with all its threads. Otherwise there are as
            many in a process as it has threads.
        keep_errors : bool
            Yield what a task raised in the place of its result, and go on.
        desc, unit, progress
            As for `probe.progress.track`.

        Yields
        ------
        index : int
            Of a task that is done; in the order in which they are.
        result
            What the function returned.

        Raises
        ------
        ProbeError
            If workers die of a task, the scheduler is gone, or a worker lacks probe or has another
            version.
        """
        import cloudpickle

        weights = [1.0] * len(tasks) if sizes is None else list(sizes)
        environment = {k: v for k, v in os.environ.items() if k.startswith("PROBE_")}
        call = cloudpickle.dumps((function, environment, alone))
        call = pickle.dumps((metadata.version("cnn-probe"), call))
        waiting = deque(range(len(tasks)))
        running: dict[Future, int] = {}
        done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        suspects: deque[int] = deque()
        tried_alone: set[int] = set()
        looked, room = -math.inf, 0
        with (
            track(total=sum(weights), desc=desc, unit=unit, progress=progress) as bar,
            self._taking_back(running),
        ):
            sent = self._send(shared)
            while waiting or running or suspects:
                if self.client.status != "running":
                    raise ProbeError(LOST)
                if time.monotonic() - looked > COUNTING_INTERVAL_S:
                    n_threads, looked = self._n_threads(), time.monotonic()
                    bar.set_description(desc if n_threads else f"{desc} (no workers yet)".strip())
                    # Enough that nobody waits for us, few enough for any number of tasks.
                    room = 2 * n_threads + SPARE_TASKS
                if not waiting and not running:
                    waiting.append(suspects.popleft())
                if n_more := min(room - len(running), len(waiting)):
                    indices = [waiting.popleft() for _ in range(n_more)]
                    packed = [cloudpickle.dumps(tasks[index]) for index in indices]
                    with _unwarned():
                        futures = self.client.map(_run, packed, call=call, sent=sent, pure=False)
                    for future, index in zip(futures, indices, strict=True):
                        running[future] = index
                        future.add_done_callback(done.put)
                ended = _drained(done)
                indices = [running.pop(future) for future in ended]
                for index, result in zip(indices, self._results(ended), strict=True):
                    if isinstance(result, _Raised):
                        if result.deadly and index not in tried_alone:
                            # It may only have been there when another task ended the worker.
                            suspects.append(index)
                            tried_alone.add(index)
                            continue
                        if not keep_errors:
                            raise result.error
                        result = result.error
                    bar.update(weights[index])
                    yield index, result

    def _results(self, futures: list[Future]) -> list[Any]:
        """Fetch what tasks returned or raised, all at once where nothing was raised."""
        try:
            return self.client.gather(futures) if futures else []
        except Exception:
            return [_result(future) for future in futures]

    def _send(self, shared: Sequence[Any]) -> Future | None:
        """Send what tasks share, unless it is what was sent before.

        As a task whose result it is: if all who have it die, it is sent again.
        """
        import cloudpickle

        same = len(shared) == len(self._shared) and all(map(operator.is_, shared, self._shared))
        if not same or (self._sent is not None and self._sent.status in ("cancelled", "lost")):
            packed = uuid.uuid4().bytes + cloudpickle.dumps(tuple(shared))
            with _unwarned():
                self._sent = self.client.submit(bytes, packed, pure=False) if shared else None
            self._shared = tuple(shared)
        return self._sent

    def _n_threads(self) -> int:
        try:
            return sum(self.client.nthreads().values())
        except OSError:
            raise ProbeError(LOST) from None

    @contextmanager
    def _taking_back(self, running: dict[Future, int]) -> Iterator[None]:
        try:
            yield
        finally:
            if running:
                with contextlib.suppress(Exception):
                    self.client.cancel(list(running), force=True)


def _drained(done: queue.SimpleQueue[Future]) -> list[Future]:
    """Wait for a future that is done, and take all that are; none if it takes long."""
    ended = []
    with contextlib.suppress(queue.Empty):
        ended.append(done.get(timeout=COUNTING_INTERVAL_S))
        while True:
            ended.append(done.get_nowait())
    return ended


def _unwarned() -> Any:
    """Silence Dask's advice not to send large things."""
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1PB"})


@dataclass(frozen=True)
class _Raised:
    """What a task raised, and whether that was for want of a living worker."""

    error: Exception
    deadly: bool = False


def _result(future: Future) -> Any:
    """Return what a task returned or raised, in words where Dask has its own."""
    from distributed import KilledWorker

    try:
        return future.result()
    except CancelledError:
        raise ProbeError(LOST) from None
    except KilledWorker as error:
        words = (
            f"one task has ended {error.allowed_failures + 1} workers, one after the other, the "
            f"last at {error.last_worker.address}: out of memory, most likely; start fewer, or "
            "give each more"
        )
        return _Raised(ProbeError(words), deadly=True)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{error.name}.".startswith("probe."):
            return _Raised(ProbeError(f"a worker lacks probe, or has another version: {ALIKE}"))
        return _Raised(error)


_gate = threading.Lock()
_unpacked: tuple[bytes, tuple[Any, ...]] = (b"", ())
"""What tasks share, and the name that it was sent by."""


def _run(task: bytes, call: bytes, sent: bytes | None) -> Any:
    """Do a task; in a worker.

    Everything comes packed, so that a scheduler needs nothing of what it hands on.
    """
    from distributed import get_worker

    expected, packed = pickle.loads(call)
    if expected != (version := metadata.version("cnn-probe")):
        raise ProbeError(f"a worker has cnn-probe {version}, here it is {expected}: {ALIKE}")
    function, environment, alone = pickle.loads(packed)
    os.environ.update(environment)
    worker = get_worker()
    n_threads = worker.state.nthreads
    if worker.nanny:  # this process is there for tasks alone
        os.environ.setdefault("PROBE_THREADS", str(n_threads))
        _keep_memory()
        if alone and n_threads > 1 and "torch" in sys.modules:
            import torch

            torch.set_num_threads(n_threads)  # Dask allows one
    with _gate if alone else contextlib.nullcontext():
        return function(*_opened(sent), pickle.loads(task))


@functools.cache
def _keep_memory() -> None:
    """Set the C library to keep what is freed, up to 64 MB, as it does by itself.

    Dask has it given back at once, for workers that hold much data. Arithmetic on arrays, which
    come and go, then takes more than twice the time.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
            tune = ctypes.CDLL(None).mallopt
            tune(-1, 64 * 2**20)  # M_TRIM_THRESHOLD
            tune(-3, 32 * 2**20)  # M_MMAP_THRESHOLD


_opening = threading.Lock()


def _opened(sent: bytes | None) -> tuple[Any, ...]:
    """Unpack what tasks share; the same once.

    Told apart by name: between two rounds of tasks Dask takes spare copies back, and what comes
    again are other bytes.
    """
    global _unpacked
    if sent is None:
        return ()
    name, packed = sent[:16], memoryview(sent)[16:]
    with _opening:
        if _unpacked[0] != name:
            _unpacked = name, pickle.loads(packed)
        return _unpacked[1]
