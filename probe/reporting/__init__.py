"""Results as one page that stands by itself: figures, tables, how it was done, whom to cite.

Importing this package imports nothing heavy, and it does not need PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.reporting.writing import report

__all__ = ["report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("probe.reporting.writing"), name)
    raise AttributeError(f"module 'probe.reporting' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
