"""``probe filters``: kernels, activation maps, and the patches that drive channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.models import Network


def filters(
    model: Annotated[
        str,
        typer.Argument(
            help=f"{options.MODEL}.",
            autocompletion=complete.models,
            show_default=False,
        ),
    ],
    layer: Annotated[
        str | None,
        typer.Option(
            help="A layer's path or alias (features.8, conv4); probe layers MODEL lists them.",
            show_default="the first",
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="Show what the layer's channels make of this picture: activation maps."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            "-i",
            help="Show the patches of these pictures that drive the layer's channels most: a "
            "folder, a pattern in quotes, a table (csv, tsv, parquet), or a zip archive.",
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(
            help="Which, separated by commas: 12,84 or 0-31.",
            show_default="those with the largest activation",
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", min=1, help="Patches for each channel.", show_default="9"),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            help="Below each patch, show what of it drives the unit: guided (backpropagation), "
            "deconvnet.",
            show_default=False,
            autocompletion=complete.projections,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Of kernels: orientation (coloured ones apart), energy, index.",
            show_default="orientation",
            autocompletion=complete.kernel_sorts,
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Of activation maps: shared by all, or each its own.",
            show_default="shared",
            autocompletion=complete.map_scales,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A .png file.", show_default="filters-MODEL-LAYER-….png, here"
        ),
    ] = None,
    npy: Annotated[
        Path | None,
        typer.Option(
            "--npy",
            help="Write the values, too: weights, maps of all channels, activations of all "
            "channels, or projections.",
            show_default=False,
        ),
    ] = None,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    seed: Annotated[int, typer.Option(min=0, help="Of random weights.")] = 0,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Show what the units of a network look for.

    Without a picture: the kernels of the first layer, Gabors by orientation and colours apart. With
    one picture (--image): the activation maps of a layer. With many (--images): for each channel,
    the pictures that drive it most, cut to what the unit sees.

    The figure's metadata say how it was made.

    \b
    Examples:
      probe filters alexnet
      probe filters alexnet --layer conv1 --image cat.jpg
      probe filters alexnet --layer conv4 --images ~/photos --channels 12,84
      probe filters vgg16 --layer relu4_2 --images ~/photos -k 5 --project guided
    """  # noqa: D301
    mode = _mode(layer, image, images)
    for name, value, modes in (
        ("--sort", sort, ["kernels"]),
        ("--scale", scale, ["--image"]),
        ("--channels", channels, ["--image", "--images"]),
        ("-k", k, ["--images"]),
        ("--project", project, ["--images"]),
        ("--batch-size", batch_size, ["--images"]),
    ):
        if value is not None and mode not in modes:
            raise ProbeError(f"{name} goes with {' or '.join(modes)}, not with {mode}")
    numbers = None if channels is None else options.numbers(channels)

    from probe import features
    from probe.features.projected import check_method
    from probe.output.files import plain_name
    from probe.output.pictures import place_of

    of = image.stem if image is not None else Path(images or "").name
    place = place_of(output or plain_name("filters", model, layer, of) + ".png", ".png")
    raw = None if npy is None else place_of(npy, ".npy")
    if image is not None and place.resolve() == image.resolve():
        raise ProbeError(f"{str(place)!r} is the picture itself: choose another --output")
    if project is not None:
        check_method(project)
    network = _network(model, layer, weights, preprocessing, seed)
    found: Any
    how: Any  # checked where they are used
    if mode == "kernels":
        how = {} if sort is None else {"sort": sort}
        found = features.kernels(network, layer, **how)
    elif image is not None:
        how = {} if scale is None else {"scale": scale}
        found = features.activation_maps(network, image, str(layer), numbers, device=device, **how)
    else:
        how = {} if k is None else {"k": k}
        found = features.top_patches(
            network, str(images), str(layer), numbers, batch_size=batch_size, device=device, **how
        )
        if project is not None:
            how = {"method": project}
            found = features.projections(found, device=device, **how)
    written = [found.save(place)] + ([] if raw is None else [found.save(raw)])
    _show(found, written, as_json)


def _mode(layer: str | None, image: Path | None, images: str | None) -> str:
    """Tell what is asked for."""
    if image is not None and images is not None:
        raise ProbeError("--image shows maps of one picture, --images patches of many: give one")
    mode = "kernels" if image is None and images is None else "--images" if images else "--image"
    if mode != "kernels" and layer is None:
        raise ProbeError(f"{mode} goes with --layer, such as --layer features.8")
    return mode


def _network(model: str, layer: str | None, weights: str, preprocessing: str, seed: int) -> Network:
    from probe import models

    if layer is not None:
        models.resolve([layer], model)  # before anything is downloaded
    return models.load(model, weights, seed=seed, preprocessing=preprocessing)


def _show(found: Any, written: list[Path], as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show

    table = found.table
    if as_json:
        record = {"about": found.about, "files": [str(path) for path in written]}
        record |= {"table": table.to_dict("records")}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    facts = [("scale", found.scale), ("weights", found.about["weights"])]
    facts += [("wrote", str(path)) for path in written]
    show.put(
        Text(found.title, style="bold"),
        Padding(show.facts(facts), (0, 0, 1, 2)),
        show.table(
            list(found.summary.columns),
            [[_cell(value) for value in row] for row in found.summary.itertuples(index=False)],
            right=[name for name in found.summary.columns if name not in ("stimulus_id", "group")],
        ),
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
