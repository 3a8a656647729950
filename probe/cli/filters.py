"""``probe filters``: kernels, activation maps, and the patches that drive channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options, outputs
from probe.cli.settings import with_settings
from probe.errors import ProbeError
from probe.features.settings import FilterSettings

if TYPE_CHECKING:
    from probe.models import Network


@with_settings(
    FilterSettings,
    layer={"flags": ("--layer", "-l")},
    k={"flags": ("-k",)},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
)
def filters(
    model: options.ModelArgument,
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
    *,
    settings: FilterSettings,
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
    formats: options.Formats = "",
    report: options.Report = False,
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
    mode = _mode(settings.layer, image, images)
    for option, value, modes in (
        ("--sort", settings.sort, ["kernels"]),
        ("--scale", settings.scale, ["--image"]),
        ("--channels", settings.channels, ["--image", "--images"]),
        ("-k", settings.k, ["--images"]),
        ("--project", settings.project, ["--images"]),
        ("--batch-size", settings.batch_size, ["--images"]),
    ):
        if value is not None and mode not in modes:
            raise ProbeError(f"{option} can only be used for {' or '.join(modes)}, not for {mode}")
    channels = None if settings.channels is None else options.numbers(str(settings.channels))

    from probe.output.vectors import read_formats

    kinds = read_formats(formats)
    from probe import features
    from probe.output.files import plain_name
    from probe.output.pictures import place_of
    from probe.output.vectors import VECTORS

    of = image.stem if image is not None else Path(images or "").name
    name = output or plain_name("filters", model, settings.layer, of) + ".png"
    path = place_of(name, ".png", *VECTORS)
    raw = None if npy is None else place_of(npy, ".npy")
    if image is not None and path.resolve() == image.resolve():
        raise ProbeError(f"{str(path)!r} is the picture itself: choose another --output")
    network, layer, device = _network(model, settings), str(settings.layer), settings.device
    figure: Any
    if mode == "kernels":
        figure = features.kernels(network, settings.layer, **_written(settings, "sort"))
    elif image is not None:
        figure = features.activation_maps(
            network, image, layer, channels, device=device, **_written(settings, "scale")
        )
    else:
        figure = features.top_patches(
            network, str(images), layer, channels,
            batch_size=settings.batch_size, device=device, **_written(settings, "k"),
        )  # fmt: skip
        if settings.project is not None:
            method: Any = settings.project  # checked
            figure = features.projections(figure, method, device=device)
    files = [figure.save(path)] + ([] if raw is None else [figure.save(raw)])
    files += outputs.write_beside(figure, path, kinds, report=report)
    _show(figure, files, as_json)


def _written(settings: FilterSettings, name: str) -> dict[str, Any]:
    """Return an option that has a value; else the function has its own default."""
    value = getattr(settings, name)
    return {} if value is None else {name: value}


def _mode(layer: str | None, image: Path | None, images: str | None) -> str:
    """Return what is asked for: kernels, or the option that pictures are named with."""
    if image is not None and images is not None:
        raise ProbeError(
            "--image shows maps of one picture, --images patches of many: expected one of the two"
        )
    mode = "kernels" if image is None and images is None else "--images" if images else "--image"
    if mode != "kernels" and layer is None:
        raise ProbeError(f"{mode} needs --layer, such as --layer features.8")
    return mode


def _network(name: str, settings: FilterSettings) -> Network:
    from probe import models

    if settings.layer is not None:
        models.resolve([settings.layer], name)  # before anything is downloaded
    return models.load(
        name, settings.weights, seed=settings.seed, preprocessing=settings.preprocessing
    )


def _show(figure: Any, files: list[Path], as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal

    if as_json:
        record = {"about": figure.about, "table": figure.table.to_dict("records")}
        record |= {"files": [str(path) for path in files]}
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
        return
    facts = [("scale", figure.scale), ("weights", figure.about["weights"])]
    facts += [("wrote", str(path)) for path in files]
    summary = figure.summary
    terminal.put(
        Text(figure.title, style="bold"),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        terminal.table(
            list(summary.columns),
            [[_cell(value) for value in row] for row in summary.itertuples(index=False)],
            right=[name for name in summary.columns if name not in ("stimulus_id", "group")],
        ),
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
