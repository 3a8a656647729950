"""What can be said of a target from the way it is written. Imports neither NumPy nor torch."""

from __future__ import annotations

import re


def names_site(target: str | None) -> bool:
    """Return whether a target, as a user writes it, has a recorded site among its terms."""
    return re.search(r"(^|[\s*+-])site:", target or "") is not None
