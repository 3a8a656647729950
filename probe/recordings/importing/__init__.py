"""Recordings of a user's own, from the files that laboratories have.

A file is read into `Presented` by one module per layout (`arrays`, `tables`, `session` of NWB,
`brain_maps` of fMRI, `sensors` of MEG and EEG), which know each axis from the file or from the user
and refuse where two readings fit. What they hand on becomes a `Reading`, which says how it was read
and writes itself as a folder. Importing this package does not import NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.recordings.importing.presented import Axis
    from probe.recordings.importing.read import read_recording
    from probe.recordings.importing.reading import Reading

__all__ = [
    "Axis",
    "Reading",
    "read_recording",
]

_MODULES = {
    "Axis": "presented",
    "Reading": "reading",
    "read_recording": "read",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(
            importlib.import_module(f"probe.recordings.importing.{_MODULES[name]}"), name
        )
    raise AttributeError(f"module 'probe.recordings.importing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
