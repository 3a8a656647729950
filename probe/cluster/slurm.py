"""Workers in the jobs of a SLURM queue."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from probe.cluster.restarting import restarting
from probe.errors import ProbeError

ABSENT_S = 30.0
"""Seconds without the workers of a job that had some, after which it is queued again."""


def import_jobqueue() -> Any:
    """Import the class that queues jobs; Ctrl-C stays what it was, which its package changes."""
    before = signal.getsignal(signal.SIGINT)
    try:
        from dask_jobqueue import SLURMCluster
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)
    return SLURMCluster


@contextmanager
def jobs(n: int) -> Iterator[Any]:
    """Queue n SLURM jobs with workers, whose scheduler is a thread of this process."""
    if shutil.which("sbatch") is None:
        raise ProbeError("cluster 'slurm' needs a machine of a SLURM cluster: sbatch was not found")
    SLURMCluster = import_jobqueue()
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
        with restarting(cluster, lambda: cluster.scale(jobs=n), ABSENT_S):
            yield cluster
    finally:
        with contextlib.suppress(AssertionError):  # Dask's, where a job was never queued
            cluster.close()
