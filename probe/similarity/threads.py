"""How many threads work side by side. Imports nothing heavy: a command asks before it begins."""

from __future__ import annotations

import os


def n_threads() -> int:
    """Return how many threads work side by side: at most 8, each of which holds its own blocks.

    Raises
    ------
    ValueError
        If PROBE_THREADS is not a whole number of 1 or more.
    """
    # Those that this process may use; of several that share a machine, each has its part.
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = os.environ.get("PROBE_THREADS") or str(n)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"PROBE_THREADS {text!r}: expected a whole number ≥ 1")
    return min(8, n, int(text))
