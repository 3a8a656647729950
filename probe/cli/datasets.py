"""``probe datasets``: which recordings there are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer


def datasets(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the recordings that --dataset takes, real and simulated."""
    from probe import recordings
    from probe.cli.show import console, table

    entries = recordings.available()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    console().print(
        table(
            ["dataset", "alias", "regions", "stimuli", "what", "terms"],
            [
                [
                    "\n".join([entry.name, *(f"{entry.name}/{s}" for s in entry.sessions)]),
                    ", ".join(entry.aliases),
                    ", ".join(entry.regions),
                    str(entry.n_stimuli or ""),
                    entry.title,
                    entry.licence + (" (--accept-licence)" if entry.restricted else ""),
                ]
                for entry in entries
            ],
            right=["stimuli"],
        )
    )
