"""What workers do in tests: functions of a module that is soon imported."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from probe.errors import ProbeError


def square(task):
    return task**2


def add(base, task):
    return base + task


def told(path, task):
    """Leave a line, and be slow."""
    with Path(path).open("a") as file:
        file.write(f"{task}\n")
    time.sleep(0.05)
    return os.getpid()


def failing(path, task):
    told(path, task)
    if task == 3:
        raise ProbeError("three is too many")
    if task == 5:
        raise KeyError("five")
    return task


def deadly(task):
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def variable(task):
    return os.environ.get(task)


class Traced:
    """Says where it was unpacked."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        self.__dict__.update(state)
        told(self.path, os.getpid())


def of_traced(traced, _task):
    time.sleep(0.02)
    return traced.path


LISTS = {}


def by_key(task):
    """Call what this process knows by that key."""
    LISTS[task[0]](task[1])
