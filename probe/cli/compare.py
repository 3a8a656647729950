"""``probe compare``: compare RDMs that are in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probe.cli import options
from probe.cli.settings import with_settings
from probe.comparison.settings import CompareSettings, check_correction
from probe.errors import ProbeError


@with_settings(CompareSettings, resample={"type": str}, metric=None)
def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Files with RDMs (.npz, .npy, .mat, .csv, .tsv, .hdf5, .pkl): models first, the "
            "data last. Every RDM of the data is a subject, every RDM of the others a model.",
        ),
    ],
    settings: CompareSettings,
    correction: options.Correction = "fdr",
    cluster: options.Cluster = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the result.",
            show_default="results/compare-MODELS-DATA",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare RDMs that you already have: models with data.

    Prints a verdict per model and writes table.csv, pairs.csv (tests between models), result.json
    and figure.png.

    A file is what `probe rsa` or RDMs.save wrote, or one of another program: an .npz, .npy or
    MATLAB file with RDMs, square, (n, n) or (K, n, n), or condensed, (K, n(n-1)/2), beside which
    an .npz or .mat file may name the RDMs (labels) and the stimuli (stimulus_ids); a square or a
    long table, as pandas and R write it; what rsatoolbox saved.

    Stimuli are matched by name. Those of a file without names are taken to be in the order of the
    others, and the output says so; names that cannot be read are an error.

    With --cluster, its workers compute the resamples, and the numbers are the same: worthwhile if
    the resamples take minutes.

    \b
    Examples:
      probe compare models.npz subjects.npz
      probe compare v1.npy v4.npy it.npy subjects.npz --comparator pearson
      probe compare results/rsa-alexnet-v4/rdms.npz results/rsa-alexnet-v4/recording.npz
      probe compare rdms.npz classic.npz recording.npz  (of probe rsa --baselines classic)
      probe compare models.npz subjects.npz --resample both --test t --correction holm
      probe compare models.npz subjects.npz --n-resamples 100000 --cluster slurm:10
    """  # noqa: D301
    from probe import comparison
    from probe.cli import outputs, terminal
    from probe.output.files import place_for, plain_name
    from probe.output.vectors import read_formats

    kinds = read_formats(formats)
    check_correction(correction)
    if len(files) < 2:
        raise ProbeError(
            f"one file, {str(files[0])!r}: name the models' files, and last the data's"
        )
    # A file's folder, too: several results have files of the same names.
    parts = [f"{p.parent.name}-{p.stem}" if p.parent.name else p.stem for p in files]
    with place_for(output or Path("results") / plain_name("compare", *parts)) as folder:
        verb = "replaced" if (folder / "result.json").exists() else "wrote"
        result = comparison.compare(files[:-1], files[-1], cluster=cluster, **settings.to_about())
        result.save(folder, correction=correction)
        besides = outputs.write_besides(result, folder, kinds, report=report)
    if as_json:
        typer.echo(result.to_json())
        return
    terminal.put_result(
        result.title,
        result.summary(correction),
        result.notes(correction),
        [*(f"{verb} {folder / name}" for name in result.FILES), *outputs.wrote(besides)],
        details=result.describe(),
        folds="model",
        bold=0,
    )
