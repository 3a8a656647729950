"""torch's compiler, kept away where nothing is compiled.

What torch computes on its ``meta`` device, shapes without values, goes for most operations through
functions of Python's. Each of them asks `torch._dynamo`, when it is first called, to be left alone
by the compiler, and so imports it (`torch._compile`, torch 2.14): 4 seconds of a processor and 150
MB before a network with batch normalisation tells its layers.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo"
_MARK = "__dynamo_disable"  # where `torch._compile` keeps what `disable` has returned
_LOCK = threading.RLock()


def is_imported() -> bool:
    """Return whether the compiler itself has been imported."""
    return not isinstance(sys.modules.get(_NAME), _Absent | None)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Answer in the compiler's place that there is nothing to be left alone by.

    Where it has been imported, nothing changes. Whoever wants anything else of it meanwhile, in
    whatever thread, has it imported.
    """
    with _LOCK:
        if _NAME in sys.modules:  # or in its place, further out
            yield
            return
        absent = _Absent(_NAME)
        sys.modules[_NAME] = absent
        try:
            yield
        finally:
            absent.leave()


class _Absent(ModuleType):
    """Has `disable` alone, which returns the function as it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._left_alone: list[Any] = []

    def disable(
        self, function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True
    ) -> Callable[..., Any]:
        self._left_alone.append(function)
        return function

    def leave(self) -> None:
        """Make room for the compiler, which will be asked again."""
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        for function in self._left_alone:
            if getattr(function, _MARK, None) is function:
                delattr(function, _MARK)

    def __getattr__(self, name: str) -> Any:
        # Whoever looks through all modules asks for their files; who imports a part, for the path.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(_NAME), name)
