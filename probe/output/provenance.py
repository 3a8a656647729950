"""With what a result was computed, so that it can be computed again."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from probe.progress import in_notebook

PACKAGES = ("numpy", "scipy", "pandas", "xarray")
NETWORK_PACKAGES = ("torch", "torchvision", *PACKAGES, "pillow", "zarr")


def command_line() -> list[str] | None:
    """Return the words of the command; None in a notebook, whose kernel's say nothing."""
    return None if in_notebook() else [Path(sys.argv[0]).name, *sys.argv[1:]]


def provenance_of(
    settings: dict[str, Any], packages: Sequence[str] = NETWORK_PACKAGES
) -> dict[str, Any]:
    """Return the command, the date, the settings, and the versions of packages.

    Parameters
    ----------
    settings : dict
    packages : sequence of str
        Those that the numbers depend on, besides this one.

    Returns
    -------
    dict
        For JSON.
    """
    return {
        "command": command_line(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "versions": {name: metadata.version(name) for name in ("cnn-probe", *packages)}
        | {"python": platform.python_version()},
        "platform": platform.platform(),
    }
