"""Says that torch is being imported, which may take seconds, to a person at a terminal."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TEXT = "loading torch"
PATIENCE = 0.3
"""Seconds that it may take without a word."""


def announce() -> None:
    """Announce that torch is being imported, if standard error is a terminal."""
    if sys.stderr.isatty() and "torch" not in sys.modules:
        sys.meta_path = [_Finder, *sys.meta_path]


@contextmanager
def shown(text: str) -> Iterator[None]:
    """Show a text on standard error while something takes long; it is gone at the end."""
    done = threading.Event()

    def show() -> None:
        if not done.wait(PATIENCE):
            sys.stderr.write(text)
            sys.stderr.flush()
            done.wait()
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Finder:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path = [finder for finder in sys.meta_path if finder is not _Finder]
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            _show_while_it_runs(spec.loader)
        return spec


def _show_while_it_runs(loader: Any) -> None:
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module  # the class's own is back
        with shown(TEXT):
            run(module)

    loader.exec_module = exec_module
