"""``probe dream``: a picture in which a network finds more of what it sees in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, made, options
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.synthesis.dream import Plan

DEMO = "demo"
"""The name of the picture that is drawn rather than read."""


def dream(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PICTURE]...", help="Picture files, or a film.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help=f"{options.MODEL}; of a site, by default the network that it was fitted with.",
            autocompletion=complete.models,
        ),
    ] = "vgg16",
    layer: Annotated[
        str | None,
        typer.Option(
            help="One layer or several, with weights: 'features.22, 0.5*features.15'.",
            show_default="what the preset says",
            autocompletion=complete.layer_words,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            help="Instead of layers, a channel (features.22:84), a recorded site (site:v4:12) "
            "that `probe encode` fitted, a sum (site:v4:12+site:v4:30), a class by name or number, "
            "or the response of a published V4 neuron (0). Where it exists for pictures of one "
            "size alone, as the response does, the picture is dreamt in pieces of that size.",
            show_default=False,
            autocompletion=complete.targets,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A look: creatures, cities, brushstrokes, texture, subtle.",
            show_default="creatures",
            autocompletion=complete.dream_presets,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png, .jpg, .tif or .webp file; of several pictures, a folder; of a film, an "
            ".mp4, .gif or .webp file.",
            show_default="PICTURE-dream, here",
        ),
    ] = None,
    guide: Annotated[
        Path | None,
        typer.Option(help="A picture whose features are to be dreamt.", show_default=False),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Where to dream: a picture that is white there and black elsewhere, with edges "
            "as soft as you like.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Longer side, in pixels.", show_default="the picture's own"),
    ] = None,
    octaves: Annotated[
        int | None,
        typer.Option(
            help="Sizes at which is dreamt. More of them, and larger things appear.",
            show_default="what suits the picture's size",
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="From one octave to the next.", show_default="1.4")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="In each octave.", show_default="what the preset says")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            help="Mean change of a value in a step, where 255 is white.",
            show_default="what the preset says",
        ),
    ] = None,
    colour: Annotated[
        float | None,
        typer.Option(
            help="From 0, the photograph's colours and only the brightness dreamt, to 1, as they "
            "come.",
            show_default="what the preset says",
        ),
    ] = None,
    laplacian: Annotated[
        bool | None,
        typer.Option(
            "--laplacian/--no-laplacian",
            help="Make coarse and fine structure equally strong.",
            show_default="what the preset says",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            help="Side of the tiles in which large pictures are computed, in pixels.",
            show_default="what takes about 1 GB",
        ),
    ] = None,
    zoom: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="FRAMES",
            help="Dream a film of so many frames that goes into the picture.",
            show_default=False,
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Dream into a landscape that is painted for it.")
    ] = False,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Dream this again, to the byte, which `probe dream` made, or with other options "
            "or into other pictures if some are given.",
            show_default=False,
        ),
    ] = None,
    preview: options.Preview = 0,
    keep_profile: options.KeepProfile = False,
    quality: options.Quality = 95,
    weights: options.Weights = "imagenet",
    precision: options.Precision = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn at random.")] = 0,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Have a network dream into a picture.

    What made a picture stands in its metadata and in a .json file beside it. Transparency, EXIF
    data and depth stay as they were.

    \b
    Examples:
      probe dream --demo
      probe dream photo.jpg
      probe dream photo.jpg --preset cities --colour 0.5 -o out.png
      probe dream photo.jpg -m vgg16 --layer "features.22, 0.5*features.15" --mask sky.png
      probe dream a.jpg b.jpg c.jpg -o folder
      probe dream clip.mp4 -o dream.mp4
      probe dream photo.jpg --size 480 --zoom 200 -o zoom.mp4
      probe dream photo.jpg --target site:v4:12+site:v4:30
      probe dream photo.jpg -m v4-compact:201025-12 --target 0
      probe dream --from out.png
    """  # noqa: D301
    wanted: dict[str, Any] = {
        "model": model, "layers": layer, "target": target, "preset": preset, "guide": guide,
        "mask": mask, "size": size, "octaves": octaves, "scale": scale, "steps": steps,
        "strength": strength, "colour": colour, "laplacian": laplacian, "tile": tile,
        "weights": weights, "precision": precision, "seed": seed,
    }  # fmt: skip
    if demo and pictures:
        raise ProbeError("--demo paints its own picture: give a picture or --demo, not both")
    files: list[Path | None] = [None] if demo else [*(pictures or [])]
    if repeat is not None:
        given = made.given_anew(context, wanted, layers="layer")
        settings, found = _repeated(repeat, given, bool(files))
        wanted |= settings
        if not files:
            files = [found]
            output = output or Path(f"{repeat.stem}-again{repeat.suffix}")
    sites = any(word.startswith("site:") for word in re.split(r"[\s*+-]", target or ""))
    if sites and "model" not in made.given_anew(context, wanted, layers="layer"):
        wanted["model"] = None  # a site knows its network
    if not files:
        raise ProbeError("no picture is named: give one, or --demo to see what comes out")
    read = [*files, repeat, *(Path(one) for name in ("guide", "mask") if (one := wanted[name]))]
    if zoom or made.is_film(files[0], output):
        _film(files, output, zoom, read, wanted, quality=quality, device=device, as_json=as_json)
        return
    places = _places(files, output, read)

    from probe import images
    from probe.synthesis.dream import prepare
    from probe.synthesis.scenery import landscape

    written: list[tuple[Mapping[str, Any], Path]] = []
    for file, place in zip(files, places, strict=True):
        plan = prepare(
            landscape() if file is None else file, name=DEMO if file is None else None,
            device=device, **wanted,
        )  # fmt: skip
        images.check_kind(place, plan.original, keep_profile=keep_profile)
        # A batch goes on where it ended.
        if len(files) == 1 or not made.is_there(place, plan.about):
            with made.previews(place, preview, read) as show:
                one = plan.run(preview=show, preview_every=preview)
            one.save(place, keep_profile=keep_profile, quality=quality)
        if not as_json:
            _show(plan, place)
        written.append((plan.about, place))
    if as_json:
        records = [{"about": about, "file": str(place)} for about, place in written]
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))


def _film(
    files: list[Path | None],
    output: Path | None,
    zoom: int | None,
    read: Sequence[Path | None],
    wanted: Mapping[str, Any],
    *,
    quality: int,
    device: str,
    as_json: bool,
) -> None:
    """Dream a film of a film, or of a picture."""
    from probe import images
    from probe.cli import show
    from probe.synthesis.film import dream_film, dream_zoom
    from probe.synthesis.scenery import landscape

    if len(files) > 1:
        raise ProbeError(f"films are dreamt one by one: {len(files)} files are named")
    (file,) = files
    stem = DEMO if file is None else f"{file.stem}-dream"
    place = output or Path(f"{stem}.mp4")
    made.check_apart(place, read)
    if zoom:
        picture = landscape() if file is None else file
        name = DEMO if file is None else None
        dream_zoom(picture, place, frames=zoom, quality=quality, device=device, name=name, **wanted)
    else:
        assert file is not None  # a painting is no film
        dream_film(file, place, quality=quality, device=device, **wanted)
    about = images.about(place)
    if as_json:
        record = {"about": about, "file": str(place)}
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
    else:
        show.put(f"wrote {place}", *(f"note: {note}" for note in about.get("notes", ())))


def _places(
    files: list[Path | None], output: Path | None, read: Sequence[Path | None]
) -> list[Path]:
    """Say where each dream is going to be written, and check that it can be."""
    from probe import images

    names = []
    for file in files:
        kind = file.suffix.lower() if file is not None else ""
        stem = DEMO if file is None else f"{file.stem}-dream"
        names.append(stem + (kind if kind in images.WRITTEN else ".png"))
    return made.places(names, output, read)


def _repeated(
    path: Path, given: Mapping[str, Any], another: bool
) -> tuple[dict[str, Any], Path | None]:
    """Read how a dream was made: the settings, with what is given anew, and of which picture."""
    about = made.how_made(path, "dream")
    settings = {**about["settings"], "seed": about["seed"]}
    for name in ("guide", "mask"):
        sha256 = settings.pop(f"{name}_sha256")
        if settings[name] is not None and name not in given:
            settings[name] = made.source(settings[name], sha256, path)
    if "target" in given:
        settings |= {"layers": None, "guide": None}
    if "layers" in given or "guide" in given:
        settings["target"] = None
    if "preset" in given:
        look = ("octaves", "scale", "steps", "strength", "colour", "laplacian")
        settings |= dict.fromkeys(look if "layers" in given else (*look, "layers", "target"))
    settings |= given
    if not set(given) & {"model", "weights", "seed"}:
        made.check_weights(path, about, settings)
    if another or about["image"] == DEMO:
        return settings, None
    picture = about["image"], about["image_sha256"]
    return settings, made.source(*picture, path)


def _show(plan: Plan, place: Path) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show
    from probe.targets import said

    told = plan.about["settings"]
    of = told["target"] or told["layers"]
    facts = [
        ("dreams of", of + (f", like {told['guide']}" if told["guide"] else "")),
        ("octaves", f"{told['octaves']} × {told['steps']} steps"),
        ("weights", str(plan.about["weights"])),
    ]
    facts += [("site", line) for line in said(plan.target)]
    facts += [("note", note) for note in plan.original.remarks]
    facts += [("wrote", str(place))]
    show.put(
        Text(f"{told['model']} · {plan.about['image']}", style="bold"),
        Padding(show.facts(facts), (0, 0, 0, 2)),
    )
