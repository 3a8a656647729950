"""Which brain: recordings by name, real and simulated, and how reliable they are.

Importing this package does not import NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.recordings.by_name import load
    from probe.recordings.by_name import load_part as load_part
    from probe.recordings.catalogue import HeldFile, fetch_files, verify_files
    from probe.recordings.deletions import Deletions, find_deletions
    from probe.recordings.folder import from_folder
    from probe.recordings.generalisation import reliability_over_time, time_generalisation
    from probe.recordings.importing.read import read_recording
    from probe.recordings.importing.reading import Reading
    from probe.recordings.names import Available, available, canonical, head_of
    from probe.recordings.names import check_name as check_name
    from probe.recordings.names import check_region as check_region
    from probe.recordings.recording import Recording
    from probe.recordings.reliability import (
        Noise,
        SplitHalf,
        neuroid_reliability,
        published_reliability,
        select_reliable,
        split_half,
        variance_components,
    )
    from probe.recordings.simulated import simulate_v1, simulate_v4
    from probe.recordings.simulated_compact import simulate_v4_compact, v4_compact_rates

__all__ = [
    "Available",
    "Deletions",
    "HeldFile",
    "Noise",
    "Reading",
    "Recording",
    "SplitHalf",
    "available",
    "canonical",
    "fetch_files",
    "find_deletions",
    "from_folder",
    "head_of",
    "load",
    "neuroid_reliability",
    "published_reliability",
    "read_recording",
    "reliability_over_time",
    "select_reliable",
    "simulate_v1",
    "simulate_v4",
    "simulate_v4_compact",
    "split_half",
    "time_generalisation",
    "v4_compact_rates",
    "variance_components",
    "verify_files",
]

_MODULES = {
    "Available": "names",
    "Deletions": "deletions",
    "HeldFile": "catalogue",
    "Noise": "reliability",
    "Reading": "importing.reading",
    "Recording": "recording",
    "SplitHalf": "reliability",
    "available": "names",
    "canonical": "names",
    "check_name": "names",
    "check_region": "names",
    "fetch_files": "catalogue",
    "find_deletions": "deletions",
    "from_folder": "folder",
    "head_of": "names",
    "load": "by_name",
    "load_part": "by_name",
    "neuroid_reliability": "reliability",
    "published_reliability": "reliability",
    "read_recording": "importing.read",
    "reliability_over_time": "generalisation",
    "select_reliable": "reliability",
    "simulate_v1": "simulated",
    "simulate_v4": "simulated",
    "simulate_v4_compact": "simulated_compact",
    "split_half": "reliability",
    "time_generalisation": "generalisation",
    "v4_compact_rates": "simulated_compact",
    "variance_components": "reliability",
    "verify_files": "catalogue",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.recordings.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.recordings' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
