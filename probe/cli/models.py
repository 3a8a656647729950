"""``probe models``: which networks there are."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help="List only names that contain this.")] = "",
) -> None:
    """List the networks, and below them the features from before networks.

    Besides these, timm:NAME names any model of timm (pip install 'cnn-probe[timm]'), and file:PATH
    a checkpoint of one of these architectures. v4-compact:SESSION names a network of all recorded
    neurons of a session, and v4-compact:SESSION-NEURON that of one neuron, numbered from 0.
    v1-gabor:DEGREES names V1's cells for pictures that span so many degrees of visual field.
    """
    from probe.errors import ProbeError, suggest
    from probe.models.known import CLASSIC, FEATURES
    from probe.models.registry import (
        COMPACT,
        COMPACT_SOURCE,
        PACKAGED,
        compact_megabytes,
        compact_names,
        compact_sessions,
        names,
    )

    # All neurons by their names would be twice as many lines as there are networks.
    sessions = {f"{COMPACT}{session}": n for session, n in compact_sessions().items()}
    matching = [name for name in names() if pattern in name and name not in FEATURES]
    features = [name for name in FEATURES if pattern in name]
    neurons = [name for name in sessions if pattern in name]
    neurons = neurons or [name for name in compact_names() if pattern in name]
    if not (matching or neurons or features):
        raise ProbeError(
            f"no model's name contains {pattern!r}{suggest(pattern, [*names(), *sessions])}"
        )
    for name in matching:
        note = PACKAGED.get(name) or CLASSIC.get(name)
        typer.echo(f"{name:<24}{note}" if note else name)
    megabytes = compact_megabytes()
    for name in neurons:
        n, size = sessions.get(name), megabytes.get(name.removeprefix(COMPACT), 0)
        of = f"{n} V4 neurons, {name}-0 to -{n - 1}, {size:.1f} MB; {COMPACT_SOURCE}" if n else ""
        typer.echo(f"{name:<24}{of}".rstrip())
    for name in features:
        typer.echo(f"{name:<24}{FEATURES[name]}")
