"""Jobs, one after another, in a process that they cannot take the page down with."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from probe.studio.worker import GRACE_PERIOD_S, INTERRUPTED, Bar, Ended, Order, work

POLL_INTERVAL_S = 0.05
"""Seconds between two looks whether a job is to be cancelled."""

State = Literal["waiting", "working", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Job:
    """A command line at work in a folder.

    Attributes
    ----------
    arguments : tuple of str
        Without ``probe``.
    folder : Path
        Holds the pictures that it takes, by the names in `arguments`.
    owner : str
        Who may cancel it: a tab of the browser.
    inputs : frozenset of str
        Files that were in the folder before, by their paths in it.
    state : str
        waiting, working, done, failed or cancelled.
    bars : tuple of Bar
        How far it is, the outer ones first.
    said : str
        What it printed.
    error : str
        What was wrong, in one line.
    """

    arguments: tuple[str, ...]
    folder: Path
    owner: str = ""
    inputs: frozenset[str] = field(init=False)
    state: State = "waiting"
    bars: tuple[Bar, ...] = ()
    said: str = ""
    error: str = ""
    started: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.inputs = frozenset(
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*")
        )

    @property
    def over(self) -> bool:
        """Whether nothing more is going to happen."""
        return self.state in ("done", "failed", "cancelled")

    def preview(self) -> Path | None:
        """Where the picture so far is, if the command has written one."""
        previews = self.folder.glob("*-preview.png")
        return next((path for path in previews if path.name not in self.inputs), None)

    def made(self) -> list[Path]:
        """Return the files that it wrote, also those in folders, by name."""
        return sorted(
            path
            for path in self.folder.rglob("*")
            if path.is_file() and str(path.relative_to(self.folder)) not in self.inputs
        )


class Jobs:
    """The queue, and the process that works it off.

    Parameters
    ----------
    main : callable
        The command line, which reads ``sys.argv``: a function of a module, that another process
        can import.
    warm : sequence of str
        Modules that the process imports while nobody waits for it.
    """

    def __init__(self, main: Callable[[], None], warm: Sequence[str] = ()) -> None:
        self._main, self._warm = main, tuple(warm)
        self._waiting: list[Job] = []
        self._now: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._start()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify_all()

    def before(self, job: Job) -> int:
        """Count the jobs that are worked on before one that waits."""
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._now is not None)

    def cancel(self, owner: str, *, command: str | None = None) -> None:
        """Cancel the jobs of somebody, or those of one command.

        One at work ends in a while, in order if it does so within `GRACE_PERIOD_S`.
        """
        with self._changed:
            for job in [*self._waiting, *filter(None, [self._now])]:
                if job.owner == owner and command in (None, job.arguments[0]):
                    job.cancelled.set()
            for job in [job for job in self._waiting if job.cancelled.is_set()]:
                self._waiting.remove(job)
                job.state = "cancelled"

    def close(self) -> None:
        """End the job at work, and the process."""
        with self._changed:
            self._closed = True
            for job in self._waiting:
                job.state = "cancelled"
            self._waiting.clear()
            if self._now is not None:
                self._now.cancelled.set()
            self._changed.notify_all()
        self._thread.join()

    def _start(self) -> None:
        """Start a process. It shares nothing with this one but a pipe, and ends with it."""
        spawn = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = spawn.Pipe()
        # Not a daemon: commands may have processes of their own.
        self._child = spawn.Process(
            target=work, args=(theirs, self._main, self._warm), name="probe studio"
        )
        self._child.start()
        theirs.close()

    def _end(self) -> None:
        self._pipe.close()  # by which the process sees that nobody is there any more
        self._child.join(GRACE_PERIOD_S)
        if self._child.is_alive():
            self._child.kill()
        self._child.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    break
                self._now = job = self._waiting.pop(0)
            job.started, job.state = time.monotonic(), "working"
            state = self._run(job)
            with self._changed:
                self._now = None
            job.state = state
        self._end()

    def _run(self, job: Job) -> State:
        """Run one job, and record what became of it."""
        if not self._child.is_alive():  # of want of memory, or somebody ended it
            self._end()
            self._start()
        cancelled_at: float | None = None
        try:
            self._pipe.send(Order(job.arguments, job.folder))
            while True:
                if job.cancelled.is_set() and cancelled_at is None:
                    self._pipe.send(None)
                    cancelled_at = time.monotonic()
                if cancelled_at is not None and time.monotonic() - cancelled_at > GRACE_PERIOD_S:
                    self._child.kill()
                    self._end()
                    self._start()
                    return "cancelled"
                if not self._pipe.poll(POLL_INTERVAL_S):
                    continue
                came = self._pipe.recv()
                if isinstance(came, Bar):
                    above = tuple(bar for bar in job.bars if bar.depth < came.depth)
                    job.bars = (*above, came)
                else:
                    return _ended(job, came)
        except (EOFError, OSError):
            self._end()
            code = self._child.exitcode
            self._start()
            if cancelled_at is not None:
                return "cancelled"
            job.error = (
                f"the process that worked on it was ended by the system (exit code {code}), most "
                "likely for want of memory: try a smaller size"
            )
            return "failed"


def _ended(job: Job, came: Ended) -> State:
    job.said = came.out.strip()
    if came.code == 0:
        return "done"
    if came.code == INTERRUPTED:
        return "cancelled"
    lines = [line.strip() for line in came.error.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("probe: error: ")]
    job.error = (said or lines or [f"it ended with exit code {came.code}"])[-1]
    job.error = job.error.removeprefix("probe: error: ")
    return "failed"


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
