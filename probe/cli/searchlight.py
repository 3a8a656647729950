"""``probe searchlight``: where in a brain the layers of a network are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probe.cli import complete, options


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
    radius: Annotated[
        str,
        typer.Option(
            help="Of the neighbourhoods, in mm; on a surface, along the mesh.", show_default="6mm"
        ),
    ] = "6mm",
    layers: options.Layers = "default",
    metric: Annotated[
        str,
        typer.Option(
            help="Distance of the RDMs: correlation (1 − Pearson r), euclidean, cosine; slower, "
            "since each neighbourhood's noise is estimated: mahalanobis, crossnobis.",
            autocompletion=complete.metrics,
        ),
    ] = "correlation",
    comparator: options.Comparator = "auto",
    region: Annotated[
        str | None, typer.Option(help="Voxels of one region alone.", show_default="all voxels")
    ] = None,
    subject: options.Subject = None,
    surface: Annotated[
        list[str] | None,
        typer.Option(
            help="Mesh of a hemisphere, GIfTI: for a recording of vertices, once for each. L=FILE "
            "where neither file nor name says which.",
            show_default=False,
        ),
    ] = None,
    time: options.Time = None,
    permutations: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of the stimuli's labels; of several subjects, sign flips of their maps. 0: no "
            "tests.",
        ),
    ] = 1000,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    seed: Annotated[int, typer.Option(min=0, help="Of the permutations, and random weights.")] = 0,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            "--out",
            help="Folder.",
            show_default="results/searchlight-MODEL-DATASET",
        ),
    ] = None,
    as_json: options.AsJson = False,
    accept_licence: options.AcceptLicence = False,
) -> None:
    """Map where in a brain the layers of a network are.

    Around every voxel (or vertex of a surface), the responses within the radius make an RDM, with
    which every layer's is compared. Writes a map per layer, p-values, and which layer is the best
    where, as NIfTI (or GIfTI) files in the recording's space; table.csv, searchlight.json, and
    figure.png, with a glass brain beside it in MNI space where nilearn is installed.

    One subject: p-values come from permutations of the stimuli's labels, and are corrected for
    having looked everywhere (the largest score anywhere in the map). Several subjects on one grid:
    their maps' signs are flipped, and there are p-values of clusters as well; at least five are
    needed.

    Neighbourhoods are worked on in blocks: memory holds the responses and the maps, whatever their
    number.

    \b
    Examples:
      probe datasets import betas/ --mask brain.nii.gz --events trials.tsv
      probe searchlight --model alexnet --dataset ./subject1 --radius 6mm
      probe searchlight -m alexnet -d ./subject1 --layers conv --permutations 5000 -o maps/
      probe searchlight -m alexnet -d ./sub-01,./sub-02,./sub-03,./sub-04,./sub-05
      probe searchlight -m alexnet -d ./surface1 --surface lh.midthickness.surf.gii \\
        --surface rh.midthickness.surf.gii
    """  # noqa: D301
    from rich.text import Text

    from probe.cli import show
    from probe.comparison.searchlight import searchlight as run
    from probe.output.files import default_folder, place_for
    from probe.recordings.several import several

    other_weights = None if weights == "imagenet" else weights
    place = output or default_folder(
        model, several(dataset) or dataset, region, subject, other_weights,
        time, verb="searchlight",
    )  # fmt: skip
    with place_for(place) as folder:
        replaced = (folder / "searchlight.json").exists()
        result = run(
            model, several(dataset) or dataset, radius=radius, layers=layers, metric=metric,
            comparator=comparator, region=region, subject=subject, surface=surface or (),
            time=time, permutations=permutations, weights=weights, preprocessing=preprocessing,
            seed=seed, device=device, batch_size=batch_size, accept_licence=accept_licence,
            output=folder,
        )  # fmt: skip
    if as_json:
        typer.echo(result.to_json())
        return
    summary = result.summary()
    verb = "replaced" if replaced else "wrote"
    maps = [name for name in result.files if name.endswith((".nii.gz", ".gii"))]
    others = [name for name in result.files if name not in maps]
    if (folder / result.GLASS_BRAIN).exists():
        others.append(result.GLASS_BRAIN)
    ending = "*.nii.gz" if maps[0].endswith(".gz") else "*.shape.gii"
    show.put(
        Text(result.title, style="bold"),
        "",
        show.table(
            list(summary.columns),
            summary.to_numpy().tolist(),
            right=[c for c in summary.columns if c not in ("layer", "alias")],
            folds="layer",
        ),
        "",
        *(Text(note) for note in result.notes()),
        "",
        Text(f"{verb} {folder / ending} ({len(maps)} maps)", style="dim"),
        *(Text(f"{verb} {folder / name}", style="dim") for name in others),
    )
