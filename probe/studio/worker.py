"""The process that works: it imports probe once, and runs one command line after another."""

from __future__ import annotations

import _thread
import importlib
import io
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from probe import progress

INTERRUPTED = 130
"""Exit code of what Ctrl-C ended."""

GRACE_PERIOD_S = 5.0
"""Seconds that a job has to end in order, once it is cancelled; then its process is ended."""


@dataclass(frozen=True)
class Order:
    """A command line, and the folder in which it is given."""

    arguments: tuple[str, ...]
    folder: Path


class Bar(NamedTuple):
    """How far something is.

    Attributes
    ----------
    depth : int
        0, or how many bars stand above this one.
    what : str
    done, total : float
        ``total`` is 0 where nobody knows it.
    unit : str
    """

    depth: int
    what: str
    done: float
    total: float
    unit: str


class Ended(NamedTuple):
    """What a command left: its exit code, and what it said."""

    code: int
    out: str
    error: str


def work(pipe: Connection, main: Callable[[], None], warm: Sequence[str]) -> None:
    """Run the orders that come through a pipe, until nobody is at its other end.

    Through it go `Order`, and None to interrupt the one at work; back come `Bar` and, at the end
    of each, `Ended`.

    Parameters
    ----------
    pipe : multiprocessing.connection.Connection
    main : callable
        The command line, which reads ``sys.argv``.
    warm : sequence of str
        Modules that are imported while there is no order yet.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between jobs there is nothing to interrupt
    os.environ["MPLBACKEND"] = "agg"
    tqdm.set_lock(threading.RLock())  # its own is shared between processes, and outlives a kill
    orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, orders), daemon=True).start()
    progress.show_with(_bars(pipe.send))
    for name in warm:
        if orders.empty():
            importlib.import_module(name)
    while (order := orders.get()) is not None:
        ended = _run(order, main)
        with suppress(OSError):
            pipe.send(ended)


def _listen(pipe: Connection, orders: queue.SimpleQueue[Order | None]) -> None:
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            orders.put(None)
            _thread.interrupt_main()
            time.sleep(GRACE_PERIOD_S)
            os._exit(1)
        if order is None:
            _thread.interrupt_main()  # as Ctrl-C, and without effect where that is ignored
        else:
            orders.put(order)


def _bars(send: Callable[[Bar], None]) -> type:
    """Return bars that are sent rather than drawn."""

    class Sent(tqdm):
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if not self.disable:  # closed
                depth = abs(self.pos if pos is None else pos)
                what = str(self.desc or "").rstrip(": ")
                send(Bar(depth, what, float(self.n), float(self.total or 0), str(self.unit)))

    return Sent


def _run(order: Order, main: Callable[[], None]) -> Ended:
    out, error = io.StringIO(), io.StringIO()
    code: Any = 0
    os.chdir(order.folder)
    sys.argv = ["probe", *order.arguments]
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with redirect_stdout(out), redirect_stderr(error):
                main()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except SystemExit as end:
        code = end.code or 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException as unforeseen:
        traceback.print_exc()  # in the terminal from which the studio was started
        said = " ".join(str(unforeseen).split())
        print(f"probe: error: {type(unforeseen).__name__}: {said}", file=error)
        code = 1
    os.chdir(order.folder.parent)  # a folder in which somebody stands cannot always be removed
    return Ended(code if isinstance(code, int) else 1, out.getvalue(), error.getvalue())
