"""``probe reliability``: how well the responses of a recording repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probe.cli import complete, options


def reliability(
    dataset: options.Dataset,
    region: options.Region = None,
    subject: options.Subject = None,
    metric: Annotated[
        str,
        typer.Option(
            help="Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine, …",
            autocompletion=complete.metrics,
        ),
    ] = "correlation",
    seed: Annotated[int, typer.Option(min=0, help="Of the halves of the repetitions.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="results/reliability-DATASET"),
    ] = None,
    as_json: options.AsJson = False,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Measure how reliable a recording is: each neuroid, the RDM, and over time.

    Prints, for each subject in each region, the reliability of averages over all repetitions (by
    the variance over repetitions, and by random halves), the signal-to-noise ratio of a single
    one, and how reliable the RDM is. Where a recording holds averages only, the reliabilities that
    were published are shown. Writes neuroids.csv, rdms.csv, figure.png and reliability.json; and
    times.csv, if responses are of several times.

    \b
    Examples:
      probe reliability --dataset v4
      probe reliability -d ./mylab --region all --metric crossnobis
      probe rsa -m alexnet -d v4 --min-reliability .6
    """  # noqa: D301
    from rich.text import Text

    from probe.cli import show
    from probe.comparison.result_reliability import reliability
    from probe.output.files import default_folder, place_for

    place = output or default_folder([], dataset, region, subject, verb="reliability")
    with place_for(place) as folder:
        replaced = (folder / "reliability.json").exists()
        result = reliability(
            dataset, region=region, subject=subject, metric=metric, seed=seed,
            accept_licence=accept_licence, output=folder,
        )  # fmt: skip
    if as_json:
        typer.echo(result.to_json())
        return
    verb = "replaced" if replaced else "wrote"
    summary = result.summary()
    show.put(
        Text(result.title, style="bold"),
        "",
        show.table(
            list(summary.columns),
            summary.to_numpy().tolist(),
            right=[c for c in summary.columns if c not in ("region", "subject")],
            folds="region",
        ),
        "",
        *(Text(note) for note in result.notes()),
        "",
        *(Text(f"{verb} {folder / name}", style="dim") for name in result.files),
    )
