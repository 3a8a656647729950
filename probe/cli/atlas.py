"""``probe atlas``: what a layer makes of many pictures, laid out on a plane."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options

if TYPE_CHECKING:
    from probe.synthesis.atlas import Atlas


def atlas(
    model: Annotated[
        str,
        typer.Argument(
            help=f"{options.MODEL}.",
            autocompletion=complete.models,
            show_default=False,
        ),
    ],
    layer: Annotated[
        str,
        typer.Argument(
            help="A layer, by its path or alias: features.10, conv5.",
            autocompletion=complete.layer_words,
            show_default=False,
        ),
    ],
    images: Annotated[
        str,
        typer.Option(
            help="What the layer is shown, some hundred pictures or more: a folder, a pattern in "
            "quotes, a table, a zip archive, or the stimuli of a recording (see `probe datasets`).",
            show_default=False,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            help="Show how strongly each cell drives it, by the colour of its frame: a class (281, "
            "tabby), a channel (features.10:84), a recorded site (site:v4:12) that `probe encode` "
            "fitted, or a sum; read from the layer or a later one.",
            show_default=False,
            autocompletion=complete.targets,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png file, or .csv, for the table of cells.",
            show_default="atlas-MODEL-LAYER.png, here",
        ),
    ] = None,
    grid: Annotated[int, typer.Option(min=1, help="Cells along each side.")] = 10,
    layout: Annotated[
        str,
        typer.Option(
            help="pca, or umap (which needs: pip install 'cnn-probe[atlas]').",
            autocompletion=complete.atlas_layouts,
        ),
    ] = "pca",
    samples: Annotated[
        int,
        typer.Option(min=3, help="Activations, at random positions, of all pictures together."),
    ] = 5000,
    size: Annotated[int, typer.Option(min=1, help="Of a cell's picture, in pixels.")] = 96,
    steps: Annotated[int, typer.Option(min=1, help="Of the optimiser.")] = 128,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Of random weights, positions, the layout, the noise, and the transforms."
        ),
    ] = 0,
    precision: Annotated[
        str,
        typer.Option(
            help="auto, float32, bfloat16; auto is bfloat16 where the processor computes it.",
            autocompletion=complete.precisions,
        ),
    ] = "auto",
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Make an atlas of a layer: like activations beside each other, and a picture for each kind.

    Activations at random places of many pictures are laid out on a plane. Of each cell of it, a
    picture is made that has the direction of its mean activation; it is larger where there are more
    activations. An interrupted command goes on when it is given again.

    With a target, frames show what cells contribute to it: gradient × activation, at the place and
    in the picture that each activation comes from (a site counts anywhere in the picture), times
    the number of positions, averaged over the cell. The numbers are in the table of cells (.csv).

    \b
    Examples:
      probe atlas alexnet conv5 --images ~/photos
      probe atlas squeezenet1_1 features.11 --images ~/photos --grid 16 --layout umap -o atlas.png
      probe atlas alexnet features.7 --images v4 --target site:v4:12
    """  # noqa: D301
    from probe.extraction import stimuli_of
    from probe.output.files import plain_name
    from probe.synthesis.atlas import atlas, check_place

    place = check_place(output or Path(plain_name("atlas", model, layer) + ".png"))
    found = atlas(
        model, stimuli_of(images), layer, grid=grid, layout=layout,  # type: ignore[arg-type]
        samples=samples, size=size, steps=steps, weights=weights, preprocessing=preprocessing,
        seed=seed, target=target, precision=precision,  # type: ignore[arg-type]
        batch_size=batch_size, device=device,
    )  # fmt: skip
    _show(found, found.save(place), as_json)


def _show(found: Atlas, written: Path, as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show
    from probe.targets import said

    table = found.table
    if as_json:
        record = {"about": found.about, "files": [str(written)], "table": table.to_dict("records")}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    counts = table["activations"]
    facts = [
        ("weights", str(found.about["weights"])),
        ("cells", f"{len(table)} of {found.grid**2} have enough activations"),
        ("activations", f"{counts.min()} to {counts.max()} in a cell"),
    ]
    if table["silent"].any():
        facts.append(("silent", f"{table['silent'].sum()}: nothing drives these directions"))
    if found.target is not None:
        facts.append(("target", found.target.name))
        facts += [("site", line) for line in said(found.target)]
        by_value = table.sort_values("attribution")
        for what, cell in (("most", by_value.iloc[-1]), ("least", by_value.iloc[0])):
            facts.append(
                (what, f"{cell['attribution']:+.3g}: row {cell['row']}, column {cell['column']}")
            )
    facts.append(("wrote", str(written)))
    show.put(Text(found.title, style="bold"), Padding(show.facts(facts), (0, 0, 0, 2)))
