"""``probe layers``: what the layers of a network are called."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from probe.cli import complete


def layers(
    model: Annotated[str, typer.Argument(help="A model's name.", autocompletion=complete.models)],
    select: Annotated[
        str,
        typer.Option(
            "--layers",
            help="Which: all, default (those that probe rsa compares), conv, relu, pool, linear, "
            "block, or names separated by commas.",
            autocompletion=complete.layer_words,
        ),
    ] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the layers of a network, in the order of computation.

    A name from this list is what --layers takes, and what torchvision, Captum and Brain-Score
    take too. No weights are needed. * marks the layers that probe rsa compares by default.
    """
    from probe import models
    from probe.cli.show import put, table

    chosen = models.resolve(select, model)
    infos = [info for info in models.layers(model) if info.name in chosen]
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in infos], indent=2))
        return
    put(
        table(
            ["layer", "alias", "type", "output", "parameters", ""],
            [
                [
                    info.name,
                    info.alias,
                    info.type,
                    "×".join(map(str, info.output_shape)),
                    f"{info.n_parameters:,}" if info.n_parameters else "",
                    "*" if info.default else "",
                ]
                for info in infos
            ],
            right=["output", "parameters"],
            folds="layer",
        )
    )
