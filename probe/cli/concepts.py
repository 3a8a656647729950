"""``probe concepts``: how a class, or a recorded site, changes along concepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from probe.attribution.settings import ConceptSettings
from probe.cli import complete, options
from probe.cli.settings import with_settings
from probe.errors import ProbeError

PICTURES = "a folder, a pattern in quotes, a table (csv, tsv, parquet), a zip archive."


@with_settings(
    ConceptSettings,
    progress=None,
    target={"flags": ("--target", "-t"), "autocompletion": complete.targets},
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
)
def concepts(
    concepts: Annotated[
        str,
        typer.Argument(
            help="A folder with a folder of pictures for each concept, or a table with a column of "
            "their names.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"{options.MODEL}.",
            show_default="for a site, the network that it was fitted with",
            autocompletion=complete.models,
        ),
    ] = None,
    random: Annotated[
        str | None,
        typer.Option(
            "--random",
            help=f"Pictures that concepts are told from: {PICTURES}",
            show_default="those of the other concepts",
        ),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            "--pictures",
            help=f"In which the target's change is measured: {PICTURES}",
            show_default="all, of concepts and random ones",
        ),
    ] = None,
    *,
    settings: ConceptSettings,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the result.",
            show_default="results/concepts-MODEL-TARGET",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure how a class or a recorded site changes along concepts.

    A concept is a set of pictures (TCAV, Kim et al. 2018). In a layer, its vector leads from random
    pictures to those of the concept, and the target's gradient along it says how the target changes
    with the concept.
    Tested against random sets of pictures in the concept's place. Writes table.csv and figure.png.

    \b
    Examples:
      probe concepts concepts/ --target site:v4:12 --random photos/
      probe concepts concepts/ -m alexnet -t zebra --random photos/ --layers conv3,conv5
    """  # noqa: D301
    if settings.target is None:
        raise ProbeError("no target is named: expected --target, such as zebra or site:v4:12")
    from rich.text import Text

    from probe.attribution import concepts as measure
    from probe.cli import terminal
    from probe.output.files import default_folder, place_for

    path = output or default_folder(
        model or "", str(settings.target).replace("/", "-"), verb="concepts"
    )
    with place_for(path) as folder:
        measured = measure(concepts, model, random=random, pictures=pictures, **settings.to_about())
        files = measured.save(folder)
    if as_json:
        rows = json.loads(measured.table.to_json(orient="records"))
        typer.echo(json.dumps({"about": dict(measured.about), "table": rows}, indent=2))
        return
    summary = measured.summary()
    terminal.put(
        Text(measured.title, style="bold"),
        "",
        terminal.table(
            list(summary.columns), summary.to_numpy().tolist(),
            right=[c for c in summary.columns if c not in ("concept", "layer")], folds="concept",
        ),
        "",
        *(Text(note) for note in measured.notes()),
        "",
        *(Text(f"wrote {file}", style="dim") for file in files),
    )  # fmt: skip
