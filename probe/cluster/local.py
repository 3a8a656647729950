"""Workers on this machine: processes that end with this one, however it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probe.cluster.restarting import restarting
from probe.errors import ProbeError

STARTING_S, ENDING_S = 120.0, 3.0
"""Seconds in which processes of this machine have to begin, and to end."""

ABSENT_S = 5.0
"""Seconds without a worker, after which one that was there has ended, and is started again."""

THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "PROBE_THREADS",
)  # fmt: skip
"""Variables that say how many threads torch, linear algebra, numba and probe may take."""


@contextmanager
def processes(n: int) -> Iterator[str]:
    """Start a scheduler and n workers on this machine; yield the scheduler's address.

    They are children of a process of their own, which runs `serve`: the usual way, to start
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
                f"from probe.cluster.local import serve; serve({n}, {folder!r})",
            ],
            env=dict.fromkeys(THREADS, str(n_threads)) | os.environ,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True,  # Ctrl-C is for us
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(STARTING_S, process.kill)
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
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def serve(n: int, folder: str) -> None:
    """Be a scheduler, start n workers, and end with them when standard input does."""
    import dask
    from distributed import LocalCluster

    stdout = os.dup(1)
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
    os.write(stdout, f"{cluster.scheduler_address}\n".encode())
    os.close(stdout)
    with restarting(cluster, lambda: cluster.scale(n), ABSENT_S):
        sys.stdin.buffer.read()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # and workers, who see it, without waiting for what they are at
