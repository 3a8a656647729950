"""torchvision, which the rest of `probe` has from here.

`torchvision.ops.roi_align` imports all of `torch._dynamo`, torch's compiler, as it loads: 3.5
seconds of a processor and 150 MB, for one function that it calls only where torchvision was built
without its operators, or on a GPU that is told to be deterministic. Its own docstring means to
avoid that (https://github.com/pytorch/vision/issues/8436). Here, that one import is put off until
the function is called. A torchvision that does so itself is loaded as it is.
"""

from __future__ import annotations

import ast
import importlib
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from probe.models.compiler import is_imported

_MODULE = "torchvision.ops.roi_align"
_EAGER = "from torch._dynamo.utils import is_compile_supported"
_LATE = f"""
def is_compile_supported(device_type):
    {_EAGER}
    return is_compile_supported(device_type)
"""
_LOCK = threading.Lock()


def import_torchvision() -> Any:
    """Return torchvision, imported without `torch._dynamo` where nobody has imported that.

    Other threads, and all other modules, import what they always do.
    """
    with _LOCK:
        if "torchvision" in sys.modules or is_imported():
            return importlib.import_module("torchvision")
        # Another list, not another length: other threads may be halfway through this one.
        sys.meta_path = [_Finder, *sys.meta_path]
        try:
            return importlib.import_module("torchvision")
        finally:
            sys.meta_path = [finder for finder in sys.meta_path if finder is not _Finder]


def put_off(source: bytes) -> ast.Module | None:
    """Return the module with its import of `torch._dynamo` put off; None if it has none."""
    tree = ast.parse(source)
    for k, node in enumerate(tree.body):
        if ast.unparse(node) == _EAGER:
            (late,) = ast.parse(_LATE).body
            for part in ast.walk(late):  # a traceback shows the line that is there
                ast.copy_location(part, node)
            tree.body[k] = late
            return tree
    return None


class _Finder:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == _MODULE else None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        tree = put_off(self.get_data(self.path))
        return super().get_code(fullname) if tree is None else compile(tree, self.path, "exec")
