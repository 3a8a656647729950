"""``probe reliability``: how well the responses of a recording repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probe.cli import options
from probe.comparison.settings import ReliabilitySettings


def reliability(
    dataset: options.Dataset,
    region: options.Region = None,
    subject: options.Subject = None,
    metric: Annotated[str, options.of(ReliabilitySettings, "metric")] = ReliabilitySettings.metric,
    seed: Annotated[int, options.of(ReliabilitySettings, "seed")] = ReliabilitySettings.seed,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the result.",
            show_default="results/reliability-DATASET",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Measure how reliable a recording is: its neuroids, its RDM, and both over time.

    Prints, for each subject in each region, the reliability of averages over all repetitions (by
    the variance over repetitions, and by random halves), the signal-to-noise ratio of a single
    one, and how reliable the RDM is. If a recording holds averages only, the published
    reliabilities are shown. Writes neuroids.csv, rdms.csv, figure.png and reliability.json; and
    times.csv, if there are responses at several times.

    \b
    Examples:
      probe reliability --dataset v4
      probe reliability -d ./mylab --region all --metric crossnobis
      probe rsa -m alexnet -d v4 --min-reliability .6
    """  # noqa: D301
    from probe.cli import outputs, terminal
    from probe.comparison.result_reliability import reliability
    from probe.output.files import default_folder, place_for
    from probe.output.vectors import read_formats

    kinds = read_formats(formats)

    path = output or default_folder([], dataset, region, subject, verb="reliability")
    with place_for(path) as folder:
        verb = "replaced" if (folder / "reliability.json").exists() else "wrote"
        result = reliability(
            dataset, region=region, subject=subject, metric=metric, seed=seed,
            accept_licence=accept_licence, output=folder,
        )  # fmt: skip
        besides = outputs.write_besides(result, folder, kinds, report=report)
    if as_json:
        typer.echo(result.to_json())
        return
    terminal.put_result(
        result.title,
        result.summary(),
        result.notes(),
        [*(f"{verb} {folder / name}" for name in result.files), *outputs.wrote(besides)],
        folds="region",
    )
