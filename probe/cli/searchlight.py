"""``probe searchlight``: where in a brain the layers of a network are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probe.cli import complete, options
from probe.comparison.settings import SearchlightSettings


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
    radius: Annotated[str, options.of(SearchlightSettings, "radius", show_default="6mm")] = "6mm",
    layers: options.Layers = "default",
    metric: Annotated[str, options.of(SearchlightSettings, "metric")] = SearchlightSettings.metric,
    comparator: options.Comparator = SearchlightSettings.comparator,
    region: Annotated[
        str | None, typer.Option(help="One region, alone.", show_default="all voxels")
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
        int, options.of(SearchlightSettings, "permutations")
    ] = SearchlightSettings.permutations,
    weights: options.Weights = SearchlightSettings.weights,
    preprocessing: options.Preprocessing = SearchlightSettings.preprocessing,
    seed: Annotated[int, options.of(SearchlightSettings, "seed")] = SearchlightSettings.seed,
    device: options.Device = SearchlightSettings.device,
    batch_size: Annotated[int | None, options.of(SearchlightSettings, "batch_size")] = None,
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
    from probe.cli import show
    from probe.output.files import default_folder, place_for
    from probe.recordings.several import check_names, several

    check_names(dataset)  # before PyTorch is imported, which takes seconds

    from probe.comparison.searchlight import searchlight

    other_weights = None if weights == SearchlightSettings.weights else weights
    path = output or default_folder(
        model, several(dataset) or dataset, region, subject, other_weights,
        time, verb="searchlight",
    )  # fmt: skip
    with place_for(path) as folder:
        verb = "replaced" if (folder / "searchlight.json").exists() else "wrote"
        result = searchlight(
            model, several(dataset) or dataset, radius=radius, layers=layers, metric=metric,
            comparator=comparator, region=region, subject=subject, surface=surface or (),
            time=time, permutations=permutations, weights=weights, preprocessing=preprocessing,
            seed=seed, device=device, batch_size=batch_size, accept_licence=accept_licence,
            output=folder,
        )  # fmt: skip
    if as_json:
        typer.echo(result.to_json())
        return
    maps = [name for name in result.files if name.endswith((".nii.gz", ".gii"))]
    others = [name for name in result.files if name not in maps]
    if (folder / result.GLASS_BRAIN).exists():
        others.append(result.GLASS_BRAIN)
    ending = "*.nii.gz" if maps[0].endswith(".gz") else "*.shape.gii"
    show.put_result(
        result.title,
        result.summary(),
        result.notes(),
        [
            f"{verb} {folder / ending} ({len(maps)} maps)",
            *(f"{verb} {folder / name}" for name in others),
        ],
        folds="layer",
    )
