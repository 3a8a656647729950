"""``probe atlas``: what a layer makes of many pictures, laid out on a plane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options, outputs
from probe.cli.settings import with_settings
from probe.synthesis.settings import AtlasSettings

if TYPE_CHECKING:
    from probe.synthesis.atlas import Atlas


@with_settings(
    AtlasSettings,
    model={"argument": True, "type": str, "default": ..., "autocompletion": complete.models},
    layer={"argument": True, "default": ..., "autocompletion": complete.layer_words},
    weights={"type": str, "autocompletion": complete.weights},
    preprocessing={"type": str, "autocompletion": complete.preprocessing},
    target={
        "flags": ("--target", "-t"), "type": str | None, "autocompletion": complete.targets,
    },
)  # fmt: skip
def atlas(
    settings: AtlasSettings,
    images: Annotated[
        str,
        typer.Option(
            "--images",
            "-i",
            help="Pictures to show to the layer, a few hundred or more: a folder, a pattern in "
            "quotes, a table, a zip archive, or the stimuli of a recording (see `probe datasets`).",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png file; or a .csv file, for the table of cells.",
            show_default="atlas-MODEL-LAYER.png, here",
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="The bare pictures, larger where there are more activations, without title, "
            "numbers of rows and columns, and scale.",
        ),
    ] = False,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Make an atlas of a layer: similar activations side by side, with a picture of each kind.

    Activations at random positions of many pictures are laid out on a plane. For each cell of the
    plane, a picture is made whose activations have the direction of the cell's mean; the frame
    around it is darker where there are more activations. If the command is interrupted, the same
    command resumes where it stopped.

    With a target, the colour of each frame shows how much the cell contributes to it: gradient ×
    activation, at the position and in the picture that each activation comes from (a site counts
    anywhere in the picture), times the number of positions, averaged over the cell. The numbers are
    in the table of cells (.csv).

    \b
    Examples:
      probe atlas alexnet conv5 --images ~/photos
      probe atlas squeezenet1_1 features.11 --images ~/photos --grid 16 --layout umap -o atlas.png
      probe atlas alexnet features.7 --images v4 --target site:v4:12
    """  # noqa: D301
    from probe.extraction import stimuli_of
    from probe.output.files import plain_name
    from probe.output.vectors import read_formats
    from probe.synthesis.atlas import atlas, check_place

    kinds = read_formats(formats)
    name = plain_name("atlas", settings.model, settings.layer)
    path = check_place(output or Path(f"{name}.png"))
    sheet = atlas(images=stimuli_of(images), **vars(settings))
    files = [sheet.save(path, plain=plain)]
    files += outputs.write_beside(sheet, path, kinds, report=report)
    _show(sheet, files, as_json)


def _show(atlas: Atlas, written: list[Path], as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal
    from probe.targets import said

    table = atlas.table
    if as_json:
        record: dict[str, object] = {"about": atlas.about, "table": table.to_dict("records")}
        record["files"] = [str(path) for path in written]
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
        return
    counts = table["activations"]
    facts = [
        ("weights", str(atlas.about["weights"])),
        ("cells", f"{len(table)} of {atlas.grid**2} have enough activations"),
        ("activations", f"{counts.min()} to {counts.max()} in a cell"),
    ]
    if table["silent"].any():
        facts.append(("silent", f"{table['silent'].sum()}: nothing drives these directions"))
    if atlas.target is not None:
        facts.append(("target", atlas.target.name))
        facts += [("site", line) for line in said(atlas.target)]
        by_value = table.sort_values("attribution")
        for what, cell in (("most", by_value.iloc[-1]), ("least", by_value.iloc[0])):
            facts.append(
                (what, f"{cell['attribution']:+.3g}: row {cell['row']}, column {cell['column']}")
            )
    facts += [("wrote", str(path)) for path in written]
    terminal.put(Text(atlas.title, style="bold"), Padding(terminal.facts(facts), (0, 0, 0, 2)))
