"""Options that several commands take, written once."""

from __future__ import annotations

from typing import Annotated

import typer

from probe.cli import complete

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A torchvision model (see `probe models`), timm:NAME, or file:PATH.",
        autocompletion=complete.models,
    ),
]
Layers = Annotated[
    str,
    typer.Option(
        help="Layer paths or aliases, separated by commas (features.6,conv4), or default, all, "
        "conv, relu, pool, linear, block. probe layers MODEL lists them.",
        autocompletion=complete.layer_words,
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="imagenet, random, or the path of a checkpoint.", autocompletion=complete.weights
    ),
]
Preprocessing = Annotated[
    str,
    typer.Option(
        help="resize: the whole picture, as the animal saw it; torchvision: as the weights "
        "were trained, with a crop.",
        autocompletion=complete.preprocessing,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Compute on several processes or machines with Dask: local:4 (so many processes "
        "here), tcp://HOST:PORT (a scheduler that runs), slurm:10 (so many jobs of a queue).",
        show_default="this process",
        autocompletion=complete.clusters,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="Accept a recording's restricted licence.")
]
