"""Workers that have gone for good are started again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOKING_INTERVAL_S = 1.0
"""Seconds after which it is seen who is there."""


@contextmanager
def restarting(cluster: Any, scale: Callable[[], object], absent_s: float) -> Iterator[None]:
    """Start again those whose workers have gone for good: a job whose time is up, a nanny's end."""
    import dask

    ending = threading.Event()

    def keep() -> None:
        last_seen: dict[Any, float] = {}  # others may wait in a queue
        while not ending.wait(LOOKING_INTERVAL_S):
            here = {str(worker.name) for worker in list(cluster.scheduler.workers.values())}
            for name in list(cluster.worker_spec):
                # The workers of one job are called NAME, or NAME-0, NAME-1, …
                if any(worker == str(name) or worker.startswith(f"{name}-") for worker in here):
                    last_seen[name] = time.monotonic()
            now = time.monotonic()
            if gone := [name for name, when in last_seen.items() if now - when > absent_s]:
                for name in gone:
                    del last_seen[name]
                cluster.sync(cluster.scale_down, gone)
                scale()

    thread = threading.Thread(target=keep, daemon=True)
    # Dask would end them, too, and start none again.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1000 days"}):
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()
