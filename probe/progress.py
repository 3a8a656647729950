"""Long work: bars that look alike in a terminal, a notebook and a log file, and an orderly end."""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_bars: Any = None
"""The class of bars, where it is not tqdm's own."""


def show_with(bars: type) -> None:
    """Show all bars from now on with another class, which a program watches that runs this one.

    Parameters
    ----------
    bars : type
        A subclass of `tqdm.tqdm`.
    """
    global _bars
    _bars = bars


def someone_watches() -> bool:
    """Return whether standard error is a terminal, or a notebook or another program shows bars."""
    return _bars is not None or sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    # Loaded is not running: other tools import IPython, too.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


def track(
    iterable: Iterable[Any] | None = None,
    *,
    total: float | None = None,
    desc: str = "",
    unit: str = "it",
    progress: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Wrap an iterable in a tqdm bar on standard error.

    Parameters
    ----------
    iterable : iterable, optional
        Without one, the bar is moved by its ``update`` method.
    total : float, optional
        Number of steps, where the iterable does not know it.
    desc, unit : str
        What is being done, and what one step is called.
    progress : bool, optional
        Show the bar; by default when a person is watching.
    **kwargs
        Passed on to `tqdm`.
    """
    bar: Any
    if _bars is not None:
        bar = _bars
    elif in_notebook() and importlib.util.find_spec("ipywidgets"):  # it warns where there is none
        from tqdm.notebook import tqdm as bar
    else:
        from tqdm import tqdm as bar

    show = someone_watches() if progress is None else progress
    return bar(iterable, total=total, desc=desc, unit=unit, disable=not show, leave=False, **kwargs)


def note(text: str, progress: bool | None = None) -> None:
    """Write a line to standard error, above the bars; by default when a person is watching."""
    if someone_watches() if progress is None else progress:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)


@contextmanager
def finishing() -> Iterator[threading.Event]:
    """Set an event at Ctrl-C or SIGTERM: work looks at it where it can stop without a loss.

    At the end, when the work has stopped, the signal has its effect: KeyboardInterrupt, or
    SystemExit with code 143. A second signal has it at once.

    Yields
    ------
    threading.Event
        Is never set outside the main thread, which alone gets signals.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    came: list[int] = []

    def take(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # Whoever ignores a signal (nohup), or handles it outside Python, is left to it.
    before = {n: h for n, h in before.items() if h not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, take)
        yield stop
    finally:
        restore()
    if came:
        raise KeyboardInterrupt if came[0] == signal.SIGINT else SystemExit(128 + came[0])
