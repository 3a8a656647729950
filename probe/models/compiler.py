"""torch's compiler, and the algebra it computes shapes with, kept away where nothing is compiled.

What torch computes on its ``meta`` device, shapes without values, goes for most operations through
functions of Python's. Each of them asks `torch._dynamo`, when it is first called, to be left alone
by the compiler, and so imports it (`torch._compile`, torch 2.14): 4 seconds of a processor and 150
MB before a network with batch normalisation tells its layers. Each condition, such as whether a
kernel fits, goes through functions for those that have symbols (`torch._check_with`), and each kind
of number is asked whether it is one (`torch._prims_common.elementwise_dtypes`): both import all of
SymPy, half a second, where there is none.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MARK = "__dynamo_disable"  # where `torch._compile` keeps what `disable` has returned
_LOCK = threading.RLock()


def is_imported() -> bool:
    """Return whether the compiler itself has been imported."""
    return not isinstance(sys.modules.get(_NoCompiler.NAME), _Absent | None)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Answer in the compiler's place that nothing compiles, and in SymPy's that there is no symbol.

    What has been imported is left as it is. Whoever wants anything else of it meanwhile, in
    whatever thread, has it imported.
    """
    with _LOCK:
        # Those that are there may be stand-ins themselves, further out.
        absent = [kind() for kind in _KINDS if kind.NAME not in sys.modules]
        sys.modules.update((module.NAME, module) for module in absent)
        try:
            yield
        finally:
            for module in absent:
                module.leave()
            for finder in [f for f in sys.meta_path if isinstance(f, _Parts)]:
                sys.meta_path.remove(finder)


class _Absent(ModuleType):
    """Stands in for a module, which is imported as soon as anything else of it is asked for."""

    NAME: str
    IS_PACKAGE = False

    def __init__(self) -> None:
        super().__init__(self.NAME)

    def leave(self) -> None:
        """Make room for the module itself."""
        if sys.modules.get(self.NAME) is self:
            del sys.modules[self.NAME]

    def imported(self) -> ModuleType:
        """Import the module itself."""
        self.leave()
        return importlib.import_module(self.NAME)

    def __getattr__(self, name: str) -> Any:
        if name == "__path__" and self.IS_PACKAGE:
            return _Parts.of(self.imported())
        if name.startswith("__"):  # whoever looks through all modules asks for their files
            raise AttributeError(name)
        return getattr(self.imported(), name)


class _Parts(list[str]):
    """The path of a package, for whoever met the stand-in when about to load a part of it.

    Importing the package may have loaded that part, which would then be loaded a second time: the
    path is a finder of modules, too, and hands over what is there.
    """

    @classmethod
    def of(cls, package: ModuleType) -> _Parts:
        parts = cls(package.__path__)
        sys.meta_path.insert(0, parts)
        return parts

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        module = sys.modules.get(name) if path is self else None
        return None if module is None else ModuleSpec(name, _Loaded(module))


class _Loaded(Loader):
    """Returns a module that has been loaded, and leaves its `__spec__` as it was."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _NoCompiler(_Absent):
    """Has `disable`, which returns the function as it is."""

    NAME = "torch._dynamo"
    IS_PACKAGE = True

    def __init__(self) -> None:
        super().__init__()
        self._left_alone: list[Any] = []

    def disable(
        self, function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True
    ) -> Callable[..., Any]:
        self._left_alone.append(function)
        return function

    def leave(self) -> None:
        """Make room for the compiler, which will be asked again."""
        super().leave()
        for function in self._left_alone:
            if getattr(function, _MARK, None) is function:
                delattr(function, _MARK)


class _NoSymbols(_Absent):
    """Has what conditions go through, for conditions and lengths that are Python's own."""

    NAME = "torch.fx.experimental.symbolic_shapes"

    def __getattr__(self, name: str) -> Any:
        if name not in _PLAIN:
            return super().__getattr__(name)

        def decide(*arguments: Any) -> Any:
            of_lengths = [x if isinstance(x, list | tuple) else (x,) for x in arguments]
            if all(type(x) in (bool, int) for lengths in of_lengths for x in lengths):
                return _PLAIN[name](*arguments)
            return getattr(self.imported(), name)(*arguments)

        return decide


class _NoSymPy(_Absent):
    """Has `Basic`, of which nothing is an instance."""

    NAME = "sympy"
    IS_PACKAGE = True

    def __getattr__(self, name: str) -> Any:
        if name == "Basic" and sys.modules.get(self.NAME) is self:
            return _NoBasic
        return super().__getattr__(name)


class _NoBasic:
    """Stands in for the type of all expressions."""


_KINDS = (_NoCompiler, _NoSymbols, _NoSymPy)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) if isinstance(a, int) else tuple(a) == tuple(b)


_PLAIN: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("expect_true", "guard_or_false", "guard_or_true", "guard_size_oblivious",
         "statically_known_true"), bool,
    ),
    "sym_and": lambda *conditions: all(conditions),
    "sym_or": lambda *conditions: any(conditions),
    "sym_eq": _equal,
    "is_nested_int": lambda _: False,
    "has_guarding_hint": lambda _: True,
    "guarding_hint_or_throw": lambda value: value,
}  # fmt: skip
"""What torch's functions of these names return where there is no symbol."""
