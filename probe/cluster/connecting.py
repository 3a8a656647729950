"""How a cluster is started, joined or queued, from the text that names it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from probe.cluster.local import ENDING_S, processes
from probe.cluster.slurm import jobs
from probe.cluster.tasks import ALIKE, Cluster
from probe.errors import ProbeError

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER_TIMEOUT_S = 10.0
"""Seconds in which a scheduler has to answer."""

SAME = ("distributed", "numpy", "torch", "cnn-probe")
"""Packages that workers need in the same versions: for what is sent, and for the last digits."""

LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application", "asyncio")
"""Those that tell how processes come and go."""


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
    ...     result = probe.rsa(["alexnet", "resnet18"], "v4", cluster=workers)
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
            where = stack.enter_context(processes(where))
        elif kind == "slurm":
            where = stack.enter_context(jobs(where))
        client = stack.enter_context(_client(where))
        yield Cluster(_checked(client) if kind == "tcp" else client)


def check(spec: str | Client | Cluster | None) -> tuple[str, Any]:
    """Check that `connect` can understand a cluster, before other work is done.

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
                f"a cluster needs the package {package.replace('_', '-')}: "
                "pip install 'cnn-probe[cluster]'"
            )
    return kind, where


def _parse(spec: str) -> tuple[str, Any]:
    """Read what kind of cluster a text names, and how many workers, or which address."""
    kind, colon, rest = spec.partition(":")
    if kind in ("tcp", "tls"):
        match = re.fullmatch(r"//([^/:\s]+|\[[0-9a-fA-F:]+\]):(\d+)/?", rest)
        if match is None or not 0 < int(match[2]) < 2**16:
            raise ProbeError(f"cluster {spec!r}: expected tcp://HOST:PORT")
        return "tcp", f"{kind}://{match[1]}:{match[2]}"
    if kind not in ("local", "slurm"):
        raise ProbeError(
            f"cluster {spec!r}: expected local:4 (processes), tcp://HOST:PORT or slurm:4 (jobs)"
        )
    if kind == "slurm" and not colon:
        return kind, 1
    if not re.fullmatch("[1-9][0-9]{0,3}", rest):
        what = "processes" if kind == "local" else "jobs"
        raise ProbeError(f"cluster {spec!r}: expected a number of {what}, such as {kind}:4")
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

    clients: list[Client] = []

    def make() -> None:
        with contextlib.suppress(OSError, ValueError):
            clients.append(
                distributed.Client(where, timeout=SCHEDULER_TIMEOUT_S, set_as_default=False)
            )

    thread = threading.Thread(target=make, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # versions are looked at in a moment
        thread.start()
        thread.join(SCHEDULER_TIMEOUT_S)
    if not clients:
        raise ProbeError(
            f"no Dask scheduler answers at {where}; `dask scheduler` on that machine starts one"
        )
    client = clients[0]
    try:
        yield client
    finally:
        client.close(timeout=ENDING_S)


def _checked(client: Client) -> Client:
    """Check that those who are there have what matters in the versions of this process."""
    import distributed

    if not isinstance(client, distributed.Client):
        raise ProbeError(
            f"expected a cluster as text, or a distributed.Client, not {type(client).__name__}"
        )
    if client.asynchronous or client.status != "running":
        raise ProbeError("the client of the cluster is asynchronous, or closed")
    versions: Any = client.get_versions(packages=SAME)
    here = versions["client"]["packages"]
    for where, there in [("the scheduler", versions["scheduler"]), *versions["workers"].items()]:
        for name in ("python", *SAME):
            expected, has = here[name], there["packages"][name]
            if name == "python":
                expected, has = (".".join(v.split(".")[:2]) for v in (expected, has))
            if has != expected and not (where == "the scheduler" and name in ("numpy", "torch")):
                raise ProbeError(
                    f"{where if where == 'the scheduler' else f'worker {where}'} has "
                    f"{f'{name} {has}' if has else f'no {name}'}, here it is {expected}: {ALIKE}"
                )
    return client
