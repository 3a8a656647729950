"""Long work: bars that look alike in a terminal, a notebook and a log file, and an orderly end."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import FrameType
from typing import Any

_bars: Any = None
"""The class of bars, where it is not tqdm's own."""

_announce = False
"""Whether how long a job takes is written as a line where no bars are shown."""

_open: list[_Task] = []
"""The bars that are open in the main thread, shown or not, from the outermost to the innermost."""

LONG_JOB_S = 30.0
"""Of a job that takes longer, it is said how long."""

EARLIEST_S, MIN_SHARE = 4.0, 0.01
"""Seconds and share of the work after which the time of the rest can be estimated: first steps
are slower than others."""

SAID_S, SAID_SHARE = 8.0, 0.05
"""Seconds and share of the work before a line is written: it stays, and a bar is corrected."""

OVERRUN = 1.5
"""When a job has taken this many times what was written, another line is."""

AT_ONCE_S = 2.0
"""Parts of a job that take no longer had been done before."""

LOOK_INTERVAL_S = 0.5
"""Seconds between two estimates."""

WORK_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}{postfix}]"
"""Of bars whose steps differ: tqdm's own estimate takes all steps to be alike."""


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
    work: Sequence[float] | None = None,
    **kwargs: Any,
) -> Any:
    """Wrap an iterable in a tqdm bar on standard error.

    Bars within a bar are parts of its current step. The outermost one says how much time is left
    of the whole, where that is more than half a minute.

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
    work : sequence of float, optional
        How much work each step is, relative to the others, from the first to the last; also those
        before ``initial``. Such a bar moves with the bars within it.
    **kwargs
        Passed on to `tqdm`.

    See Also
    --------
    whole, share : For jobs whose parts are no loop.
    """
    base: Any
    if _bars is not None:
        base = _bars
    elif in_notebook() and importlib.util.find_spec("ipywidgets"):  # it warns where there is none
        from tqdm.notebook import tqdm as base
    else:
        from tqdm import tqdm as base

    show = someone_watches() if progress is None else progress
    if work is not None:
        kwargs = {"bar_format": WORK_FORMAT} | kwargs
        total = len(work) if total is None else total
    bar = _estimating(base)(
        iterable, total=total, desc=desc, unit=unit, disable=not show, leave=False, **kwargs
    )
    announces = _announce and progress is None and not show
    bar.task = _Task(bar, work, kwargs.get("initial", 0), desc, announces)
    return bar


@contextmanager
def whole(desc: str, progress: bool | None = None) -> Iterator[None]:
    """Show a bar over a whole job, of which `share` says what its parts are.

    Within another job it is a part of that, and has no bar of its own.

    Parameters
    ----------
    desc : str
        What is being done.
    progress : bool, optional
        As in `track`.
    """
    _leave_abandoned()
    if _open:
        yield
        return
    with track(total=1, desc=desc, progress=progress, work=[1.0], delay=2.0) as bar:
        yield
        bar.update()


@contextmanager
def share(part: float) -> Iterator[None]:
    """Count the bars in this block as a part of the current step of the bar around it.

    Parameters
    ----------
    part : float
        Expected share of that step's time, in 0–1; all parts of a step add up to 1.
    """
    if not _open or threading.current_thread() is not threading.main_thread():
        yield
        return
    task, root = _open[-1], _open[0]
    around, before = (task.part, task.limit), task.within
    began_s, done = time.monotonic(), root.fraction()
    task.part *= part
    task.limit = before + task.part
    try:
        yield
    finally:
        task.within, task.child = task.limit, None
        task.part, task.limit = around
        if time.monotonic() - began_s < AT_ONCE_S:  # the cache had it: no sign of how fast we are
            root.at_start += root.fraction() - done
        task.tick()


@contextmanager
def apart() -> Iterator[None]:
    """Count the bars in this block, and its time, for nothing in the job around it.

    For what a job does only where it has never been done: files that are fetched, or hashed. It
    fills no part of the job, nor does it say how fast the rest will be.
    """
    is_within = bool(_open) and threading.current_thread() is threading.main_thread()
    began_s = time.monotonic()
    with share(0.0):
        yield
    if is_within:
        _open[0].start_s += time.monotonic() - began_s


def announce(on: bool) -> None:
    """Write how long a job will take as a line where no bars are shown; or not.

    Another line follows when the job has taken half as much again as was written, at most one each
    time that it has taken twice as long as at the line before. Commands announce, as their standard
    error may be a log; functions leave it to who calls them.
    """
    global _announce
    _announce = on


def in_words(seconds: float) -> str:
    """Return a duration as people say it: 40 s, 4 min, 2.5 h.

    Examples
    --------
    >>> in_words(43), in_words(250), in_words(9000)
    ('40 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(10 * round(seconds / 10), 10)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f}".removesuffix(".0") + " h"


class _Task:
    """How much of a bar's work is done, and, of the outermost one, how long the rest will take.

    Parameters
    ----------
    bar : tqdm.tqdm
    work : sequence of float or None
        As in `track`; None where all steps are alike.
    initial : float
        Steps that were done before.
    desc : str
    announces : bool
        Whether the time that is left is written as a line.

    Attributes
    ----------
    child : _Task or None
        The bar that is open within the current step.
    part : float
        Share of the step that the child fills; see `share`.
    within, limit : float
        Share of the step that closed children have filled, and the most that they can.
    """

    def __init__(
        self, bar: Any, work: Sequence[float] | None, initial: float, desc: str, announces: bool
    ) -> None:
        self.bar = weakref.ref(bar)  # a bar that nobody holds any more closes itself
        self.work, self.desc, self.announces = work, desc.strip(), announces
        self.n_steps = float(bar.total or 0)
        self.total = float(sum(work)) if work is not None else self.n_steps
        self.n = 0.0
        self.within, self.part, self.limit = 0.0, 1.0, 1.0
        self.child: _Task | None = None
        self.ticked, self.next_look_s = False, 0.0
        self.said_total_s, self.next_line_s = 0.0, SAID_S
        self.closed = threading.current_thread() is not threading.main_thread()
        self.n += initial
        if self.closed:
            return
        _leave_abandoned()
        self.caller, self.opened_s = id(next(_callers())), time.monotonic()
        if _open:
            _open[-1].child = self
        _open.append(self)
        if not _open[0].ticked:
            _open[0].start()

    def start(self) -> None:
        """Begin to measure time: what precedes the first bar is not part of the work."""
        self.start_s, self.at_start = time.monotonic(), self.fraction()

    def fraction(self) -> float:
        """Return the share of the work that is done, in 0–1."""
        if not self.total:
            return 0.0
        inside = self.within + (self.part * self.child.fraction() if self.child else 0.0)
        inside = min(inside, self.limit)
        if self.work is None:
            done = self.n + inside
        else:
            n = int(self.n)
            done = sum(self.work[:n]) + inside * sum(self.work[n : n + 1])
        return min(done / self.total, 1.0)

    def step(self, n: float) -> None:
        """Count steps that are done."""
        self.n += n
        self.within, self.child = 0.0, None
        self.tick()

    def tick(self) -> None:
        """Have the outermost bar say how long the whole will take, if it is time to."""
        if self.closed or not _open:
            return
        root = _open[0]
        root.ticked = True
        if (now_s := time.monotonic()) >= root.next_look_s:
            root.next_look_s = now_s + LOOK_INTERVAL_S
            root.tell(now_s - root.start_s)
            for task in _open[1:]:
                task.show()

    def tell(self, elapsed_s: float) -> None:
        """Show the time that is left in the bar, or write it as a line where that is news."""
        bar = self.bar()
        if bar is None:
            return
        fraction = self.fraction()
        left_s = time_left(elapsed_s, fraction - self.at_start, 1 - fraction)
        is_long = left_s is not None and elapsed_s + left_s >= LONG_JOB_S
        if not bar.disable and self.work is not None:  # others show what tqdm estimates
            self.show(f"about {in_words(left_s)} left" if left_s is not None and is_long else "")
        elif self.announces and left_s is not None and is_long:
            if (
                elapsed_s < self.next_line_s
                or fraction - self.at_start < SAID_SHARE * (1 - self.at_start)
                or elapsed_s < OVERRUN * self.said_total_s
            ):
                return
            now = "now " if self.said_total_s else ""
            self.said_total_s, self.next_line_s = elapsed_s + left_s, 2 * elapsed_s
            end = datetime.now() + timedelta(seconds=left_s)
            words = f"{now}about {in_words(left_s)} left, until {end:%H:%M}"
            print(f"{self.desc}: {words}" if self.desc else words, file=sys.stderr, flush=True)

    def show(self, words: str = "") -> None:
        """Move the bar to the share that is done, where tqdm does not, and draw it."""
        bar = self.bar()
        if bar is None or bar.disable or self.work is None:
            return
        bar.n = self.fraction() * self.n_steps
        bar.set_postfix_str(words, refresh=False)
        if time.monotonic() - self.opened_s >= bar.delay:
            bar.last_print_t = bar.start_t + bar.delay  # or tqdm takes it for never drawn
            bar.refresh()

    def close(self) -> None:
        """Leave the bars that are open."""
        if self.closed:
            return
        self.closed = True
        around = next((task for task in _open if task.child is self), None)
        if around is not None:  # another bar may follow within the same step
            inside = around.within + around.part * self.fraction()
            around.within = min(inside, around.limit)
            around.child = None
        _open.remove(self)


def _callers() -> Iterator[FrameType]:
    """Yield the calls that are running, from the innermost, that bars can belong to.

    A generator goes on when its frame is left, and so does what contextlib made of one: a bar that
    is opened there belongs to who runs it.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        is_generator = frame.f_code.co_flags & inspect.CO_GENERATOR
        if not is_generator and frame.f_globals.get("__name__") not in (__name__, "contextlib"):
            yield frame
        frame = frame.f_back


def _leave_abandoned() -> None:
    """Leave bars whose callers have failed, and which only a traceback holds.

    A notebook keeps the last one, with the generators in its frames: without this, all jobs from
    then on would be parts of the one that failed. Frames that are held keep their addresses.
    """
    if not _open or threading.current_thread() is not threading.main_thread():
        return
    running = {id(frame) for frame in _callers()}
    for task in [task for task in reversed(_open) if task.caller not in running]:
        bar = task.bar()
        task.close()
        if bar is not None:
            bar.close()


def time_left(elapsed: float, done: float, left: float) -> float | None:
    """Estimate how many seconds are left of a job.

    Parameters
    ----------
    elapsed : float
        Seconds since it began.
    done, left : float
        Shares of its work.

    Returns
    -------
    float or None
        None where it is too early to say.
    """
    if elapsed < EARLIEST_S or done < MIN_SHARE:
        return None
    return elapsed * left / done


@functools.lru_cache
def _estimating(base: type) -> type:
    """Return a class of bars that count for the estimate, whether they are shown or not."""

    class Bar(base):
        task: _Task | None = None

        def __iter__(self) -> Iterator[Any]:
            try:
                for item in self.iterable:
                    yield item
                    self.update()
            finally:
                self.close()

        def update(self, n: float | None = 1) -> Any:
            if self.task is None or n is None:
                return super().update(n)
            moved = super().update(n) if self.task.work is None else None
            self.task.step(n)
            return moved

        def close(self) -> None:
            if self.task is not None:
                if self.task.work is not None:  # a notebook shows one that is not full as failed
                    self.n = self.task.fraction() * self.task.n_steps
                self.task.close()
            super().close()

    Bar.__name__ = Bar.__qualname__ = base.__name__
    return Bar


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
