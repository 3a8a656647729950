"""``probe rsa``: compare the layers of networks with recordings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options

if TYPE_CHECKING:
    import pandas as pd

    from probe.comparison.result import RSAResult
    from probe.comparison.result_map import RSAMap
    from probe.comparison.result_over_time import RSAOverTime


def rsa(
    model: options.Models,
    dataset: options.Datasets,
    layers: options.Layers = "default",
    metric: Annotated[
        str,
        typer.Option(
            help="Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine, …",
            autocompletion=complete.metrics,
        ),
    ] = "correlation",
    comparator: options.Comparator = "auto",
    region: options.Region = None,
    subject: options.Subject = None,
    min_reliability: options.MinReliability = None,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines", help="Compare also pixels and three untrained networks."
        ),
    ] = True,
    resample: options.Resample = "stimuli",
    n_resamples: options.NResamples = 1000,
    test: options.Test = "auto",
    correction: options.Correction = "fdr",
    seed: Annotated[
        int, typer.Option(min=0, help="Of the resamples, the splits, and random weights.")
    ] = 0,
    time: options.Time = None,
    step: options.Step = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    cluster: options.Cluster = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="results/rsa-MODEL-DATASET"),
    ] = None,
    as_json: options.AsJson = False,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Compare the layers of networks with recordings.

    One network, one recording: prints a verdict per layer and writes table.csv, pairs.csv (tests
    between layers), result.json, figure.png, and the RDMs for `probe compare`.

    With --time and --step, at every step: prints a line per layer, with the latency of its peak and
    an interval, and writes table.csv (layer × time), peaks.csv, clusters.csv, figure.png, and
    generalisation.png (one time against another).

    Several: each network with each recording and region. Prints the best layer of each, chosen on
    one half of the stimuli and scored on the other, and writes a folder per comparison as soon as
    it is done; at the end map.png (layer × region), map.csv, best.csv and table.csv. A comparison
    that fails is left out and told at the end (exit code 2). After Ctrl-C, the same command goes
    on from the RDMs that it has.

    With --cluster, each of several networks is a task of its own, and of one network its images
    and the resamples are. The workers need this package in the same version, and the same file
    system. On the same kind of processor, the numbers are those of one process.

    \b
    Examples:
      probe rsa --model alexnet --dataset sim-v4
      probe rsa --model alexnet --dataset v4 --layers conv --comparator pearson
      probe rsa -m resnet18 -d it --region IT-monkey --output results/monkey
      probe rsa -m alexnet,resnet18 -d v4,it
      probe rsa -m alexnet -d it --region all
      probe rsa -m alexnet -d v4 --min-reliability .6
      probe rsa -m alexnet -d it --resample both --test t --correction holm

    \b
    Recordings with a time axis: one window; a curve per layer, with the latency of its peak:
      probe rsa -m alexnet -d ./session --time 70,170ms
      probe rsa -m alexnet -d ./session --time 0,300ms --step 10ms

    \b
    From a laptop to a queue (cores, memory and walltime of a job: jobqueue.yaml of Dask):
      probe rsa -m alexnet,resnet18,vgg16 -d v4,it --cluster local:3
      probe rsa -m alexnet,resnet18,vgg16 -d v4,it --cluster tcp://HOST:8786
      probe rsa -m alexnet,resnet18,vgg16 -d v4,it --cluster slurm:3
    """  # noqa: D301
    from probe import comparison
    from probe.comparison import RSAMap, RSAOverTime
    from probe.comparison.result import check_correction
    from probe.output.files import default_folder, place_for
    from probe.recordings.several import several

    # Whether there is a place for the result is known before the work, not after it.
    check_correction(correction)
    other_weights = None if weights == "imagenet" else weights
    place = output or default_folder(
        several(model) or model, several(dataset) or dataset, region, subject, other_weights,
        f"reliability{min_reliability:g}" if min_reliability is not None else None,
        time, step and f"step-{step}",
    )  # fmt: skip
    with place_for(place) as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no result for")  # told at the end
        replaced = any((folder / name).exists() for name in ("result.json", "map.csv"))
        found = comparison.rsa(
            model,
            dataset,
            layers=layers,
            metric=metric,
            comparator=comparator,
            region=region,
            subject=subject,
            min_reliability=min_reliability,
            weights=weights,
            preprocessing=preprocessing,
            baselines=baselines,
            resample=resample,
            test=test,
            n_resamples=n_resamples,
            seed=seed,
            device=device,
            batch_size=batch_size,
            cluster=cluster,
            accept_licence=accept_licence,
            time=time,
            step=step,
            output=folder,
        )
    verb = "replaced" if replaced else "wrote"
    if as_json:
        typer.echo(found.to_json())
    elif isinstance(found, RSAOverTime):
        _show_over_time(found, folder, verb)
    elif isinstance(found, RSAMap):
        _show_map(found, folder, verb, correction)
    else:
        _show(found, folder, verb, correction)
    if isinstance(found, RSAMap) and found.failures:
        for failure in found.failures:
            typer.echo(f"probe: error: no result for {failure.message}", err=True)
        raise typer.Exit(2)


def _show(result: RSAResult, folder: Path, verb: str, correction: str) -> None:
    best = None
    if result.choice is not None:
        best = list(result.layers["layer"]).index(result.choice.layer)
    _put(
        result,
        result.summary(correction),
        result.notes(correction),
        [f"{verb} {folder / name}" for name in result.FILES],
        facts=result.describe(),
        folds="layer",
        bold=best,
    )


def _show_over_time(found: RSAOverTime, folder: Path, verb: str) -> None:
    written = [name for name in found.FILES if (folder / name).exists()]
    _put(
        found, found.summary(), found.notes(), [f"{verb} {folder / name}" for name in written],
        facts=found.describe(), folds="layer",
    )  # fmt: skip


def _show_map(found: RSAMap, folder: Path, verb: str, correction: str) -> None:
    files = [f"{verb} {folder / name}" for name in (*found.FILES, *found.folders)]
    _put(found, found.summary(correction), found.notes(), files, folds="best layer")


def _put(
    found: RSAResult | RSAMap | RSAOverTime,
    summary: pd.DataFrame,
    notes: list[str],
    files: list[str],
    *,
    facts: list[tuple[str, str]] | None = None,
    **options: Any,
) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show

    left = ("layer", "alias", "model", "recording", "region", "best layer")
    rows = summary.to_numpy().tolist()
    if "alias" in summary and not show.fits(list(summary.columns), rows):
        summary = summary.drop(columns="alias")  # rather than cut the names that users paste
    show.put(
        Text(found.title, style="bold"),
        Padding(show.facts(facts or []), (0, 0, 1, 2)),
        show.table(
            list(summary.columns),
            summary.to_numpy().tolist(),
            right=[c for c in summary.columns if c not in left],
            **options,
        ),
        "",
        *(Text(note) for note in notes),
        "",
        *(Text(line, style="dim") for line in files),
    )
