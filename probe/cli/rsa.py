"""``probe rsa``: compare the layers of networks with recordings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options
from probe.cli.settings import with_settings
from probe.comparison.settings import RSASettings, check_correction

if TYPE_CHECKING:
    from probe.comparison.result import RSAResult
    from probe.comparison.result_map import RSAMap
    from probe.comparison.result_over_time import RSAOverTime

_FIRST = (
    "model", "dataset", "layers", "region", "subject", "output", "comparator", "metric", "time",
    "step", "min_reliability", "weights", "preprocessing", "baselines", "resample", "test",
    "correction", "n_resamples", "seed",
)  # fmt: skip
"""What to compare, how to compare it, how sure it is; how it is computed comes last."""


@with_settings(
    RSASettings,
    first=_FIRST,
    progress=None,
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
    resample={"type": str},
    time={"metavar": "FROM,TO", "show_default": False},
    step={"metavar": "LENGTH", "show_default": False},
)
def rsa(
    model: options.Models,
    dataset: options.Datasets,
    settings: RSASettings,
    region: options.Region = None,
    subject: options.Subject = None,
    correction: options.Correction = "fdr",
    cluster: options.Cluster = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder of the result.", show_default="results/rsa-MODEL-DATASET"
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare the layers of networks with recordings.

    One network, one recording: prints a verdict per layer and writes table.csv, pairs.csv (tests
    between layers), result.json, figure.png, and the RDMs for `probe compare`: with --baselines
    classic, also those of what came before.

    With --time and --step, at every step: prints a line per layer, with the latency of its peak and
    an interval, and writes table.csv (layer × time), peaks.csv, clusters.csv, figure.png, and
    generalisation.png (one time against another).

    Several networks, recordings or regions: each is compared with each. Prints the best layer of
    each comparison, chosen on one half of the stimuli and scored on the other, and writes a folder
    for each as soon as it is done; at the end map.png (layer × region), map.csv, best.csv and
    table.csv. A comparison that fails is left out and named at the end (exit code 2). After Ctrl-C,
    the same command resumes with the RDMs that it has.

    With --cluster, each of several networks is a task of its own; a single network is divided into
    tasks by its images and by the resamples. The workers need the same version of this package, and
    the same file system. On the same kind of processor, the numbers are those of one process.

    \b
    Examples:
      probe rsa --model alexnet --dataset sim-v4
      probe rsa --model alexnet --dataset v4 --layers conv --comparator pearson
      probe rsa -m resnet18 -d it --region IT-monkey --output results/monkey
      probe rsa -m alexnet,resnet18 -d v4,it
      probe rsa -m alexnet -d it --region all
      probe rsa -m alexnet -d v4 --min-reliability .6
      probe rsa -m alexnet -d it --baselines classic
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
    check_correction(correction)  # before PyTorch is imported, which takes seconds

    from probe.output.vectors import read_formats

    kinds = read_formats(formats)

    from probe import comparison
    from probe.cli.outputs import write_besides
    from probe.output.files import default_folder, place_for
    from probe.recordings.several import several

    reliable = settings.min_reliability
    path = output or default_folder(
        several(model) or model, several(dataset) or dataset, region, subject,
        None if settings.weights == RSASettings.weights else settings.weights,
        None if reliable is None else f"reliability{reliable:g}",
        str(settings.time or ""), f"step-{settings.step}" if settings.step else None,
    )  # fmt: skip
    # Whether a folder takes the result is known before the work, not after it.
    with place_for(path) as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no result for")  # said at the end
        replaced = any((folder / name).exists() for name in ("result.json", "map.csv"))
        result = comparison.rsa(
            model, dataset, region=region, subject=subject, cluster=cluster, output=folder,
            **settings.to_about(),
        )  # fmt: skip
        besides = write_besides(result, folder, kinds, report=report)
    if as_json:
        typer.echo(result.to_json())
    else:
        _show(result, folder, "replaced" if replaced else "wrote", correction, besides)
    if isinstance(result, comparison.RSAMap) and result.failures:
        for failure in result.failures:
            typer.echo(f"probe: error: no result for {failure.message}", err=True)
        raise typer.Exit(2)


def _show(
    result: RSAResult | RSAMap | RSAOverTime,
    folder: Path,
    verb: str,
    correction: str,
    besides: list[Path],
) -> None:
    from probe.cli import terminal
    from probe.comparison import RSAMap, RSAOverTime

    facts: list[tuple[str, str]] = []
    best = None
    if isinstance(result, RSAMap):
        summary, notes = result.summary(correction), result.notes()
        names = [*result.FILES, *result.folders]
    elif isinstance(result, RSAOverTime):
        summary, notes, facts = result.summary(), result.notes(), result.describe()
        names = [name for name in result.FILES if (folder / name).exists()]
    else:
        summary, notes = result.summary(correction), result.notes(correction)
        names, facts = list(result.files), result.describe()
        if result.choice is not None:
            best = list(result.layers["layer"]).index(result.choice.layer)
    terminal.put_result(
        result.title,
        summary,
        notes,
        [*(f"{verb} {folder / name}" for name in names), *(f"wrote {path}" for path in besides)],
        details=facts,
        folds="best layer" if isinstance(result, RSAMap) else "layer",
        bold=best,
    )
