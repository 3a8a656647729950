"""``probe layers``: what the layers of a network are called, what they see, what they cost."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.models import LayerInfo, Measures


def layers(
    model: Annotated[str, typer.Argument(help=f"{options.MODEL}.", autocompletion=complete.models)],
    select: Annotated[
        str,
        typer.Option(
            "--layers",
            help="Layers to list: all, default (those that probe rsa compares), conv, relu, pool, "
            "linear, block, or names separated by commas.",
            autocompletion=complete.layer_words,
        ),
    ] = "all",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            help="Height and width of the picture, in pixels.",
            show_default="those that the weights were trained on",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the layers of a network, in the order of computation.

    A name from this list is what --layers takes, and what torchvision, Captum and Brain-Score
    take too. No weights are needed. * marks the layers that probe rsa compares by default.

    output: shape for one picture: channels × rows × columns, tokens × channels, or channels, in
    whatever order the module has them. A ? marks axes that are not known: no channel can be named
    there.

    field: height and width of the receptive field in pixels, padding included, of the unit in the
    middle; whole: all units see the whole picture. jump: how far apart neighbouring fields are.
    start: row and column of the first pixel of the first. multiply-adds: for one picture,
    without biases. Blocks sum what they hold.

    \b
    Examples:
      probe layers alexnet
      probe layers resnet50 --layers block --size 448x448
      probe layers vgg16 --csv > vgg16.csv
    """  # noqa: D301
    from probe import models

    if as_csv and as_json:
        raise ProbeError("--csv and --json cannot be combined: choose one")
    pixels = None if size is None else _pixels(size)
    infos = models.layers(model, pixels)
    chosen = [i.name for i in infos] if select == "all" else models.resolve(select, model)
    infos = [info for info in infos if info.name in chosen]
    measured = models.measures(model, pixels)
    if as_json:
        typer.echo(json.dumps([_record(info, measured) for info in infos], indent=2))
    elif as_csv:
        layers = models.describe(model, pixels)
        typer.echo(layers[layers["layer"].isin(chosen)].to_csv(index=False), nl=False)
    else:
        _show(infos, measured)


def _record(info: LayerInfo, known: Measures) -> dict[str, Any]:
    field = known.fields[info.name]
    return asdict(info) | {
        "receptive_field": None if field is None else asdict(field),
        "multiply_adds": known.multiply_adds[info.name],
    }


def _pixels(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×](\d+)", text.strip().lower())
    height, width = (int(part) for part in match.groups()) if match else (0, 0)
    if not height or not width:
        raise ProbeError(f"size {text!r}: expected HEIGHTxWIDTH in pixels, such as 224x224")
    return height, width


def _show(infos: list[LayerInfo], known: Measures) -> None:
    from probe.cli.terminal import put, table
    from probe.models.receptive_fields import times

    rows = []
    for info in infos:
        field, cost = known.fields[info.name], known.multiply_adds[info.name]
        rows.append(
            [
                info.name,
                info.alias,
                info.type,
                "×".join(map(str, info.output_shape)) + ("" if info.axes_known else " ?"),
                str(field or ""),
                times(field.jump) if field and field.jump else "",
                times(field.start) if field and field.start else "",
                f"{info.n_parameters:,}" if info.n_parameters else "",
                f"{cost:,}" if cost else "",
                "*" if info.default else "",
            ]
        )
    totals = [f"{known.total_parameters:,}", f"{known.total_multiply_adds:,}"]
    rows.append(["whole network", *[""] * 6, *totals, ""])
    numbers = ["output", "field", "jump", "start", "parameters", "multiply-adds"]
    put(
        table(
            ["layer", "alias", "type", *numbers, ""],
            rows,
            right=numbers,
            folds=["layer", "type"],
            bold=len(rows) - 1,
        )
    )
