"""``probe datasets``: which recordings there are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from probe.recordings import Available


def datasets(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the recordings that --dataset takes, real and simulated."""
    from probe import recordings
    from probe.cli.show import put, table

    entries = recordings.available()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    put(
        table(
            ["dataset", "alias", "what"],
            [
                [
                    "\n".join([entry.name, *(f"{entry.name}/{s}" for s in entry.sessions)]),
                    "\n".join(entry.aliases),
                    f"{entry.title}\n{_details(entry)}\n",
                ]
                for entry in entries
            ],
            folds="what",
        ),
        "A folder of your own: probe rsa --dataset ./FOLDER, with responses.npy and images/.",
    )


def _details(entry: Available) -> str:
    terms = entry.licence + (" (--accept-licence)" if entry.restricted else "")
    stimuli = f"{entry.n_stimuli} stimuli; " if entry.n_stimuli else ""
    return f"{', '.join(entry.regions)}; {stimuli}licence: {terms}"
