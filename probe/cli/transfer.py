"""``probe transfer``: how well frozen layers serve another classification."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Annotated

import typer

from probe.classification.settings import TransferSettings
from probe.cli import complete, options
from probe.cli.settings import with_settings


@with_settings(
    TransferSettings,
    progress=None,
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    reduce={"autocompletion": complete.reducers},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
    root={"type": Path | None},
)
def transfer(
    model: options.Model,
    images: Annotated[
        str,
        typer.Option(
            "--images",
            "-i",
            help="A folder or a zip archive in which each class is a folder; a pattern in quotes "
            "('photos/*/*.jpg'); a table (csv, tsv, parquet) with --classes; or a recording, for "
            "its stimuli.",
            autocompletion=complete.images,
        ),
    ],
    settings: TransferSettings,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the result.",
            show_default="results/transfer-MODEL-IMAGES",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how well frozen layers serve another classification.

    Of each layer, a linear probe and the nearest neighbours learn the classes from some pictures,
    and are tested with others: with all pictures of the other folds, and with 1, 2, 5, … of each
    class (few-shot). Beside the layers stand the pixels, histograms of oriented gradients, and the
    untrained network. Features are centred, and the penalty is chosen, within the training
    pictures.

    Prints a line per layer, with intervals, and writes table.csv, pictures.csv (how each picture
    was classified), pairs.csv (differences between layers), figure.png and result.json.

    \b
    Examples:
      probe transfer --model alexnet --images 'photos/*/*.jpg'
      probe transfer -m resnet18 -i photos.zip --layers block --shots 1,5,25
      probe transfer -m alexnet -i photos.csv --classes species --baselines classic
      probe transfer -m alexnet -i it --classes category
    """  # noqa: D301
    settings = settings.checked()  # before PyTorch is imported

    from probe import classification
    from probe.cli import outputs, terminal
    from probe.output.files import default_folder, place_for
    from probe.output.vectors import read_formats

    kinds = read_formats(formats)

    # Of a pattern, the folder in which it begins.
    named = images if not glob.has_magic(images) else re.split(r"/?[^/]*[*?\[]", images)[0]
    path = output or default_folder(
        model, Path(named).name or images, settings.classes,
        None if settings.weights == TransferSettings.weights else settings.weights,
        verb="transfer",
    )  # fmt: skip
    with place_for(path) as folder:
        verb = "replaced" if (folder / "result.json").exists() else "wrote"
        result = classification.transfer(model, images, **settings.to_about(), output=folder)
        besides = outputs.write_besides(result, folder, kinds, report=report)
    if as_json:
        typer.echo(result.to_json())
        return
    terminal.put_result(
        result.title,
        result.summary(),
        result.notes(),
        [*(f"{verb} {folder / name}" for name in result.FILES), *outputs.wrote(besides)],
        details=result.describe(),
        folds="layer",
    )
