"""``probe searchlight``: where in a brain the layers of a network are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probe.cli import complete, options
from probe.cli.settings import with_settings
from probe.comparison.settings import SearchlightSettings


@with_settings(
    SearchlightSettings,
    progress=None,
    baselines=None,
    radius={"type": str, "default": "6mm"},
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
    time={"metavar": "FROM,TO", "show_default": False},
)
def searchlight(
    model: options.Model,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            "-d",
            help="The path of a folder with a recording of voxels or vertices, as `probe datasets "
            "import` makes of NIfTI and GIfTI files; several subjects, separated by commas.",
            autocompletion=complete.datasets,
        ),
    ],
    settings: SearchlightSettings,
    region: Annotated[
        str | None, typer.Option(help="Use only this region.", show_default="all voxels")
    ] = None,
    subject: options.Subject = None,
    surface: Annotated[
        list[str] | None,
        typer.Option(
            help="For a recording of vertices: the mesh of a hemisphere, GIfTI; once for each "
            "hemisphere. Write L=FILE or R=FILE if neither the file nor its name says which.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            "--out",
            help="Folder of the result.",
            show_default="results/searchlight-MODEL-DATASET",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Map where in a brain responses resemble each layer of a network.

    Around every voxel (or vertex of a surface), the responses within the radius make an RDM, with
    which every layer's is compared. Writes a map per layer, p-values, and a map of the best layer,
    as NIfTI (or GIfTI) files in the recording's space; table.csv, searchlight.json, and
    figure.png, with a glass brain beside it in MNI space where nilearn is installed.

    One subject: p-values come from permutations of the stimuli's labels, and are corrected for
    having looked everywhere (the largest score anywhere in the map). Several subjects on one grid:
    their maps' signs are flipped, and there are p-values of clusters as well; at least five are
    needed.

    Neighbourhoods are computed in blocks: memory need not hold more than responses and maps.

    \b
    Examples:
      probe datasets import betas/ --mask brain.nii.gz --events trials.tsv
      probe searchlight --model alexnet --dataset ./subject1 --radius 6mm
      probe searchlight -m alexnet -d ./subject1 --layers conv --permutations 5000 -o maps/
      probe searchlight -m alexnet -d ./sub-01,./sub-02,./sub-03,./sub-04,./sub-05
      probe searchlight -m alexnet -d ./surface1 --surface lh.midthickness.surf.gii \\
        --surface rh.midthickness.surf.gii
    """  # noqa: D301
    from probe.cli import outputs, terminal
    from probe.comparison.searchlight import searchlight as run
    from probe.output.files import default_folder, place_for
    from probe.output.vectors import read_formats
    from probe.recordings.several import several

    kinds = read_formats(formats)

    path = output or default_folder(
        model, several(dataset) or dataset, region, subject,
        None if settings.weights == SearchlightSettings.weights else settings.weights,
        str(settings.time or ""), verb="searchlight",
    )  # fmt: skip
    values = settings.to_about()
    del values["baselines"]  # there are none in a searchlight
    with place_for(path) as folder:
        verb = "replaced" if (folder / "searchlight.json").exists() else "wrote"
        result = run(
            model, several(dataset) or dataset, region=region, subject=subject,
            surface=surface or (), output=folder, **values,
        )  # fmt: skip
        besides = outputs.write_besides(result, folder, kinds, report=report)
    if as_json:
        typer.echo(result.to_json())
        return
    maps = [name for name in result.files if name.endswith((".nii.gz", ".gii"))]
    others = [name for name in result.files if name not in maps]
    if (folder / result.GLASS_BRAIN).exists():
        others.append(result.GLASS_BRAIN)
    ending = "*.nii.gz" if maps[0].endswith(".gz") else "*.shape.gii"
    terminal.put_result(
        result.title,
        result.summary(),
        result.notes(),
        [
            f"{verb} {folder / ending} ({len(maps)} maps)",
            *(f"{verb} {folder / name}" for name in others),
            *outputs.wrote(besides),
        ],
        folds="layer",
    )
