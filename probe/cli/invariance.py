"""``probe invariance``: how the responses of layers move with the picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options, outputs
from probe.cli.settings import with_settings
from probe.tuning.settings import InvarianceSettings

if TYPE_CHECKING:
    from probe.tuning import Invariance


@with_settings(
    InvarianceSettings,
    progress=None,
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    transforms={"flags": ("--transform",), "autocompletion": complete.transforms},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
)
def invariance(
    model: options.ModelArgument,
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            "-i",
            help="A folder, a pattern in quotes, a table (csv, tsv, parquet), a zip archive.",
            show_default="shapes on grey",
        ),
    ] = None,
    *,
    settings: InvarianceSettings,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png file (figure) or a .csv file (table).",
            show_default="invariance-MODEL.png, here",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Show how the responses of layers move when the picture moves.

    Pictures are moved to the right, scaled and turned about their centre, on grey. Equivariance
    error: how far the response to the moved picture is from the response to the picture, moved
    likewise; of the units that see no border. Tolerates: by how much a picture can be changed
    until the layer's response correlates with the first one by no more than one half.

    \b
    Examples:
      probe invariance alexnet
      probe invariance resnet18 --images ~/photos --transform translation
      probe invariance alexnet --layers conv,fc6 -o alexnet.csv
    """  # noqa: D301
    from probe.output.files import plain_name
    from probe.output.pictures import place_of
    from probe.output.vectors import VECTORS, read_formats
    from probe.tuning import invariance

    kinds = read_formats(formats)
    name = output or plain_name("invariance", model) + ".png"
    path = place_of(name, ".png", *VECTORS, ".csv")
    measured = invariance(model, images, **settings.to_about())
    files = [measured.save(path)]
    files += outputs.write_beside(measured, path, kinds, report=report)
    if as_json:
        record = measured.to_dict() | {"files": [str(file) for file in files]}
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
        return
    _show(measured, files)


def _show(measured: Invariance, files: list[Path]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal

    summary = measured.summary
    columns = [name for name in summary.columns if name not in ("layer", "alias")]
    units = {"translation": "px", "scale": "octaves", "rotation": "°"}
    heads = {
        f"{kind}_{name}": f"error, {name}" if kind == "error" else f"tolerates {unit}"
        for name, unit in units.items()
        for kind in ("error", "tolerates")
    }
    terminal.put(
        Text(measured.title, style="bold"),
        Padding(terminal.facts([("weights", measured.about["weights"])]), (0, 0, 1, 2)),
        terminal.table(
            ["layer", "alias", *(heads[name] for name in columns)],
            [
                [row["layer"], row["alias"], *(_cell(name, row[name]) for name in columns)]
                for row in summary.to_dict("records")
            ],
            right=list(heads.values()),
            folds="layer",
        ),
        "",
        *(Text(line, style="dim") for line in outputs.wrote(files)),
    )


def _cell(column: str, value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "all"
    return f"{value:.3f}" if column.startswith("error") else f"{value:.2g}"
