"""How often a property is tried where every example takes long."""

from __future__ import annotations

from hypothesis import settings

FULL = 100
"""The examples of the profile `full`, by which others know it."""


def costly(n: int, full: int) -> settings:
    """Return settings of a costly property: ``n`` examples, or ``full`` in the profile `full`."""
    return settings(deadline=None, max_examples=full if settings().max_examples >= FULL else n)
