"""``probe models``: which networks there are."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
) -> None:
    """List the networks.

    Besides these, timm:NAME takes any model of timm (extra "timm"), and
    file:PATH a checkpoint of one of these architectures.
    """
    from probe.errors import ProbeError, suggest
    from probe.models.registry import PACKAGED, names

    found = [name for name in names() if pattern in name]
    if not found:
        raise ProbeError(f"no model's name contains {pattern!r}{suggest(pattern, names())}")
    for name in found:
        note = PACKAGED.get(name)
        typer.echo(f"{name:<24}{note}" if note else name)
