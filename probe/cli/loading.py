"""While torch is imported: a person at a terminal is told, and no garbage is looked for.

The collector goes over all that has been imported again and again, which takes a fifth of the time
of the imports of `probe rsa`. What has come with torch stays, and is not looked at later either.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TEXT = "loading torch"
PATIENCE = 0.3
"""Seconds that it may take without a word."""


def prepare() -> None:
    """Be ready for the import of torch."""
    if "torch" not in sys.modules:
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
        with shown(TEXT) if sys.stderr.isatty() else nullcontext(), _no_garbage():
            run(module)

    loader.exec_module = exec_module


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Collect no garbage, and never look again at the objects that are there at the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
