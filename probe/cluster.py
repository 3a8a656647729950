"""Work on several processes or machines, with Dask: started here, joined, or queued with SLURM.

From a laptop to a queue, only the last word changes::

    probe rsa -m alexnet,resnet18 -d v4,it --cluster local:4
    probe rsa -m alexnet,resnet18 -d v4,it --cluster tcp://HOST:8786
    probe rsa -m alexnet,resnet18 -d v4,it --cluster slurm:10

The machines share a file system: what one has downloaded or computed, another reads.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import logging
import math
import operator
import os
import pickle
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from probe.errors import ProbeError
from probe.progress import track

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds in which a scheduler has to answer."""

STARTING, ENDING = 120.0, 3.0
"""Seconds in which processes of this machine have to begin, and to end."""

LOOK = 1.0
"""Seconds after which workers are counted again: they come and go."""

ABSENT = {"local": 5.0, "slurm": 30.0}
"""Seconds without a worker, after which one that was there has ended, and is started again."""

SPARE = 16
"""Tasks that are given away beyond two for each thread of a worker."""

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "PROBE_THREADS",
)  # fmt: skip
"""Variables that say how many threads torch, linear algebra, numba and probe may take."""

SAME = ("distributed", "numpy", "torch", "cnn-probe")
"""Packages that workers need in the same versions: for what is sent, and for the last digits."""

LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application", "asyncio")
"""Those that tell how processes come and go."""


LOST = (
    "the connection to the cluster's scheduler is lost; what is finished is kept: the same command "
    "goes on"
)
ALIKE = "install the same versions there and here"


@contextmanager
def connect(spec: str | Client | Cluster | None) -> Iterator[Cluster | None]:
    """Start, join or queue processes that work together, and leave in good order.

    Parameters
    ----------
    spec : str, distributed.Client, Cluster or None
        - ``'local:4'``: four processes of this machine. They end with the context, or when this
          process ends, however that happens.
        - ``'tcp://HOST:8786'``: the workers of a Dask scheduler that runs there.
        - ``'slurm:10'``: ten SLURM jobs as your ``jobqueue.yaml`` describes them. One whose time is
          up is queued again; at the end all are cancelled. ``'slurm'`` is one job.
        - A client of yours, of any Dask cluster, or what `connect` gave: it stays open.
        - None: this process alone.

    Yields
    ------
    Cluster or None
        None for None.

    Raises
    ------
    ProbeError
        If the text is none of these, a package is missing, nobody answers, or those who do have
        other versions of what matters.

    Examples
    --------
    >>> with connect("local:4") as workers:  # doctest: +SKIP
    ...     found = probe.rsa(["alexnet", "resnet18"], "v4", cluster=workers)
    """
    if spec is None or isinstance(spec, Cluster):
        yield spec
        return
    kind, where = check(spec)
    if kind == "client":
        yield Cluster(_checked(where))
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if kind == "local":
            where = stack.enter_context(_processes(where))
        elif kind == "slurm":
            where = stack.enter_context(_jobs(where))
        client = stack.enter_context(_client(where))
        yield Cluster(_checked(client) if kind == "tcp" else client)


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
        """Call a function with every task, wherever there is a worker, and give what comes back.

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
            Give what a task raised in the place of its result, and go on.
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
                if time.monotonic() - looked > LOOK:
                    n_threads, looked = self._n_threads(), time.monotonic()
                    bar.set_description(desc if n_threads else f"{desc} (no workers yet)".strip())
                    # Enough that nobody waits for us, few enough for any number of tasks.
                    room = 2 * n_threads + SPARE
                if not waiting and not running:
                    waiting.append(suspects.popleft())
                if n_more := min(room - len(running), len(waiting)):
                    begun = [waiting.popleft() for _ in range(n_more)]
                    packed = [cloudpickle.dumps(tasks[index]) for index in begun]
                    with _unwarned():
                        futures = self.client.map(_run, packed, call=call, sent=sent, pure=False)
                    for future, index in zip(futures, begun, strict=True):
                        running[future] = index
                        future.add_done_callback(done.put)
                finished = _drained(done)
                indices = [running.pop(future) for future in finished]
                for index, result in zip(indices, self._results(finished), strict=True):
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

    def _results(self, finished: list[Future]) -> list[Any]:
        """Fetch what tasks returned or raised, all at once where nothing was raised."""
        try:
            return self.client.gather(finished) if finished else []
        except Exception:
            return [_result(future) for future in finished]

    def _send(self, shared: Sequence[Any]) -> Future | None:
        """Send what tasks share, unless it is what was sent before.

        As a task whose result it is: if all who have it die, it is sent again.
        """
        import cloudpickle

        known = len(shared) == len(self._shared) and all(map(operator.is_, shared, self._shared))
        if not known or (self._sent is not None and self._sent.status in ("cancelled", "lost")):
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
    finished = []
    with contextlib.suppress(queue.Empty):
        finished.append(done.get(timeout=LOOK))
        while True:
            finished.append(done.get_nowait())
    return finished


def _unwarned() -> Any:
    """Let large things pass without Dask's advice not to send them."""
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1PB"})


@dataclass(frozen=True)
class _Raised:
    """What a task raised, and whether that was for want of a living worker."""

    error: Exception
    deadly: bool = False


def _result(future: Future) -> Any:
    """Give what a task returned or raised, in words where Dask has its own."""
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

    wanted, packed = pickle.loads(call)
    if wanted != (version := metadata.version("cnn-probe")):
        raise ProbeError(f"a worker has cnn-probe {version}, here it is {wanted}: {ALIKE}")
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
    """Let the C library keep what is freed, up to 64 MB, as it does by itself.

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


def check(spec: str | Client | Cluster | None) -> tuple[str, Any]:
    """See that `connect` can understand a cluster, before other work is done.

    Raises
    ------
    ProbeError
        If a text names none, or a package is missing.
    """
    if spec is None or isinstance(spec, Cluster):
        return "", spec
    kind, where = _parse(spec) if isinstance(spec, str) else ("client", spec)
    for package in ["distributed", *(["dask_jobqueue"] if kind == "slurm" else [])]:
        if importlib.util.find_spec(package) is None:
            raise ProbeError(
                f"a cluster takes the package {package.replace('_', '-')}: "
                "pip install 'cnn-probe[cluster]'"
            )
    return kind, where


def _parse(spec: str) -> tuple[str, Any]:
    """Tell what kind of cluster a text names, and how many workers, or which address."""
    kind, colon, rest = spec.partition(":")
    if kind in ("tcp", "tls"):
        found = re.fullmatch(r"//([^/:\s]+|\[[0-9a-fA-F:]+\]):(\d+)/?", rest)
        if found is None or not 0 < int(found[2]) < 2**16:
            raise ProbeError(f"cluster {spec!r} is no address; wanted tcp://HOST:PORT")
        return "tcp", f"{kind}://{found[1]}:{found[2]}"
    if kind not in ("local", "slurm"):
        raise ProbeError(
            f"cluster {spec!r} is unknown; wanted local:4 (processes), tcp://HOST:PORT or slurm:4 "
            "(jobs)"
        )
    if kind == "slurm" and not colon:
        return kind, 1
    if not re.fullmatch("[1-9][0-9]{0,3}", rest):
        what = "processes" if kind == "local" else "jobs"
        raise ProbeError(f"cluster {spec!r} names no number of {what}; wanted {kind}:4")
    return kind, int(rest)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask tells of its processes from the user's terminal."""
    import distributed  # noqa: F401 (it sets these levels)

    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _client(where: Any) -> Iterator[Client]:
    """Connect to a scheduler.

    On a thread, to be sure of an end: something else that listens there is waited for for ever.
    """
    import distributed

    made: list[Client] = []

    def make() -> None:
        with contextlib.suppress(OSError, ValueError):
            made.append(distributed.Client(where, timeout=PATIENCE, set_as_default=False))

    thread = threading.Thread(target=make, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # versions are looked at in a moment
        thread.start()
        thread.join(PATIENCE)
    if not made:
        raise ProbeError(
            f"no Dask scheduler answers at {where}; `dask scheduler` on that machine starts one"
        )
    client = made[0]
    try:
        yield client
    finally:
        client.close(timeout=ENDING)


def _checked(client: Client) -> Client:
    """See that those who are there have what matters in the versions of this process."""
    import distributed

    if not isinstance(client, distributed.Client):
        raise ProbeError(
            f"wanted a cluster as text, or a distributed.Client, not {type(client).__name__}"
        )
    if client.asynchronous or client.status != "running":
        raise ProbeError("the client of the cluster is asynchronous, or closed")
    found: Any = client.get_versions(packages=SAME)
    here = found["client"]["packages"]
    for where, there in [("the scheduler", found["scheduler"]), *found["workers"].items()]:
        for name in ("python", *SAME):
            wanted, has = here[name], there["packages"][name]
            if name == "python":
                wanted, has = (".".join(v.split(".")[:2]) for v in (wanted, has))
            if has != wanted and not (where == "the scheduler" and name in ("numpy", "torch")):
                raise ProbeError(
                    f"{where if where == 'the scheduler' else f'worker {where}'} has "
                    f"{f'{name} {has}' if has else f'no {name}'}, here it is {wanted}: {ALIKE}"
                )
    return client


@contextmanager
def _processes(n: int) -> Iterator[str]:
    """Start a scheduler and n workers on this machine, and give the scheduler's address.

    They are children of a process of their own, which runs `_serve`: the usual way, to start
    them from here, would have each of them run the user's script again. That process ends when
    the pipe to it is closed, which the system does for us if we are killed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_threads = max(1, (cores or 1) // n)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="probe-", ignore_cleanup_errors=True)
        )
        log = stack.enter_context(Path(folder, "log").open("w+b"))
        process = subprocess.Popen(
            [
                sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; "
                f"from probe.cluster import _serve; _serve({n}, {folder!r})",
            ],
            env=dict.fromkeys(THREADS, str(n_threads)) | os.environ,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True,  # Ctrl-C is for us
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(STARTING, process.kill)
        try:
            limit.start()
            address = process.stdout.readline().decode().strip()
            limit.cancel()
            if not address:
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines() or ["no answer"]
                raise ProbeError(f"{n} processes cannot be started here: {said[-1]}")
            yield address
        finally:
            limit.cancel()
            process.stdin.close()
            try:
                process.wait(ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _serve(n: int, folder: str) -> None:
    """Be a scheduler, start n workers, and end with them when standard input does."""
    import dask
    from distributed import LocalCluster

    told = os.dup(1)
    os.dup2(2, 1)  # whatever tasks print
    dask.config.set({"temporary-directory": folder})
    cluster = LocalCluster(
        n_workers=n,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard": False, "dashboard_address": ":0"},
        memory_limit=0,  # to pause, or to kill, who has much is of no help: nothing is kept there
        silence_logs=logging.CRITICAL,
    )
    os.write(told, f"{cluster.scheduler_address}\n".encode())
    os.close(told)
    with _kept_up(cluster, lambda: cluster.scale(n), ABSENT["local"]):
        sys.stdin.buffer.read()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # and workers, who see it, without waiting for what they are at


def _slurm() -> Any:
    """Import the class that queues jobs; Ctrl-C stays what it was, which its package changes."""
    before = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue import SLURMCluster
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)
    return SLURMCluster


@contextmanager
def _jobs(n: int) -> Iterator[Any]:
    """Queue n SLURM jobs with workers, whose scheduler is a thread of this process."""
    if shutil.which("sbatch") is None:
        raise ProbeError("cluster 'slurm' needs a machine of a SLURM cluster: there is no sbatch")
    SLURMCluster = _slurm()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the dashboard takes another port
        try:
            cluster = SLURMCluster()
        except ValueError as error:
            raise ProbeError(
                "SLURM jobs need at least 'cores' and 'memory', under jobqueue: slurm: in "
                f"~/.config/dask/jobqueue.yaml ({str(error).splitlines()[0]})"
            ) from None
    try:
        try:
            # As cluster.scale(jobs=n), which does not tell what sbatch says.
            while len(cluster.worker_spec) < n:
                cluster.worker_spec.update(cluster.new_worker_spec())
            cluster.sync(cluster._correct_state)
        except RuntimeError as error:
            said = [line for line in str(error).splitlines() if line and not line.endswith(":")]
            raise ProbeError(f"SLURM does not take the job: {said[-1]}") from None
        with _kept_up(cluster, lambda: cluster.scale(jobs=n), ABSENT["slurm"]):
            yield cluster
    finally:
        with contextlib.suppress(AssertionError):  # Dask's, where a job was never queued
            cluster.close()


@contextmanager
def _kept_up(cluster: Any, scale: Callable[[], object], absent: float) -> Iterator[None]:
    """Start again those whose workers have gone for good: a job whose time is up, a nanny's end."""
    import dask

    over = threading.Event()

    def keep() -> None:
        seen: dict[Any, float] = {}  # others may wait in a queue
        while not over.wait(LOOK):
            here = {str(worker.name) for worker in list(cluster.scheduler.workers.values())}
            for name in list(cluster.worker_spec):
                # The workers of one job are called NAME, or NAME-0, NAME-1, …
                if any(worker == str(name) or worker.startswith(f"{name}-") for worker in here):
                    seen[name] = time.monotonic()
            if gone := [name for name, when in seen.items() if time.monotonic() - when > absent]:
                for name in gone:
                    del seen[name]
                cluster.sync(cluster.scale_down, gone)
                scale()

    thread = threading.Thread(target=keep, daemon=True)
    # Dask would end them, too, and start none again.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1000 days"}):
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
