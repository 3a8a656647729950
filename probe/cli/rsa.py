"""``probe rsa``: compare the layers of a network with a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete

if TYPE_CHECKING:
    from probe.result import RSAResult


def rsa(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="A torchvision model (see `probe models`), timm:NAME, or file:PATH.",
            autocompletion=complete.models,
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            "-d",
            help="A recording (see `probe datasets`): v4, it, evc, cowley2023/210322, "
            "simulated: sim-v4, sim-v1, or the path of a folder with responses.npy and images/.",
            autocompletion=complete.datasets,
        ),
    ],
    layers: Annotated[
        str,
        typer.Option(
            help="Layer paths or aliases, separated by commas (features.6,conv4), or default, all, "
            "conv, relu, pool, linear, block. probe layers MODEL lists them.",
            autocompletion=complete.layer_words,
        ),
    ] = "default",
    metric: Annotated[
        str,
        typer.Option(
            help="Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine.",
            autocompletion=complete.metrics,
        ),
    ] = "correlation",
    comparator: Annotated[
        str,
        typer.Option(
            help="Between RDMs: spearman, rho-a, pearson, cosine; auto is spearman, or rho-a "
            "where an RDM has ties.",
            autocompletion=complete.comparators,
        ),
    ] = "auto",
    region: Annotated[
        str | None, typer.Option(help="Region, where a recording has several.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="One animal or person; by default all.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="imagenet, random, or the path of a checkpoint.")
    ] = "imagenet",
    preprocessing: Annotated[
        str,
        typer.Option(
            help="resize: the whole picture, as the animal saw it; torchvision: as the weights "
            "were trained, with a crop."
        ),
    ] = "resize",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines", help="Compare also pixels and three untrained networks."
        ),
    ] = True,
    n_resamples: Annotated[int, typer.Option(min=2, help="Bootstrap samples over stimuli.")] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the resamples, the splits, and random weights.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per forward pass.", show_default="32")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="results/rsa-MODEL-DATASET"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
    ] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept a recording's restricted licence.")
    ] = False,
) -> None:
    """Compare the layers of a network with a recording.

    Prints a verdict per layer and writes table.csv, result.json and figure.png.

    \b
    Examples:
      probe rsa --model alexnet --dataset sim-v4
      probe rsa --model alexnet --dataset v4 --layers conv --comparator pearson
      probe rsa -m resnet18 -d it --region IT-monkey --output results/monkey
    """  # noqa: D301
    from probe import comparison
    from probe import result as results
    from probe.activations.extract import BATCH_SIZE

    # Whether there is a place for the result is known before the work, not after it.
    other_weights = None if weights == "imagenet" else weights
    place = output or results.default_folder(model, dataset, region, subject, other_weights)
    with results.place_for(place) as folder:
        result = comparison.rsa(
            model,
            dataset,
            layers=layers,
            metric=metric,
            comparator=comparator,
            region=region,
            subject=subject,
            weights=weights,
            preprocessing=preprocessing,
            baselines=baselines,
            n_resamples=n_resamples,
            seed=seed,
            device=device,
            batch_size=batch_size or BATCH_SIZE,
            accept_licence=accept_licence,
        )
        replaced = (folder / "result.json").exists()
        written = result.save(folder)
    if as_json:
        typer.echo(result.to_json())
    else:
        _show(result, written, "replaced" if replaced else "wrote")


def _show(result: RSAResult, written: list[Path], verb: str) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli.show import facts, put, table

    summary = result.summary()
    best = None
    if result.choice is not None:
        best = list(result.layers["layer"]).index(result.choice.layer)
    put(
        Text(result.title, style="bold"),
        Padding(facts(result.describe()), (0, 0, 1, 2)),
        table(
            list(summary.columns),
            summary.to_numpy().tolist(),
            right=[c for c in summary.columns if c not in ("layer", "alias")],
            folds="layer",
            bold=best,
        ),
        "",
        *(Text(note) for note in result.notes()),
        "",
        *(Text(f"{verb} {path}", style="dim") for path in written),
    )
