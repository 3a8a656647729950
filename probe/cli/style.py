"""``probe style``: the content of one picture in the style of others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options, outputs, remake
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.synthesis.style import Plan, Stylised

SOURCES = ("content", "styles", "masks", "style_masks", "begun_with")
"""How the pictures are called that a picture is made from."""


def style(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CONTENT] [STYLE]...",
            help="The picture or film that is painted anew, and one or several pictures whose "
            "style it takes on.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png, .jpg, .tif or .webp file; of several pictures, a folder; of a film, an "
            ".mp4, .gif or .webp file.",
            show_default="CONTENT-STYLE.png, here",
        ),
    ] = None,
    styles: Annotated[
        list[Path] | None,
        typer.Option(
            "--style",
            "-s",
            help="A picture whose style is taken on; can be given again. All the other pictures "
            "are then painted anew, each by itself.",
            show_default=False,
        ),
    ] = None,
    texture: Annotated[
        bool, typer.Option("--texture", help="All pictures are styles: make a texture of them.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(help="Longer side, in pixels.", show_default="the content's own, at most 512"),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="Of the style: 2 is twice as much, 0.5 half as much.")
    ] = 1.0,
    mix: Annotated[
        str | None,
        typer.Option(
            help="What each of several styles counts, with commas: 2,1.",
            show_default="all the same",
        ),
    ] = None,
    colours: Annotated[
        str,
        typer.Option(
            help="style: those of the style; keep: those of the content, only the brightness is "
            "painted; match: the style's, after it was given the content's hues.",
            autocompletion=complete.style_colours,
        ),
    ] = "style",
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="Where to paint: a picture that is white there and black elsewhere, with edges as "
            "soft as you like. Given once for each style, each goes to its own place.",
            show_default=False,
        ),
    ] = None,
    style_mask: Annotated[
        list[Path] | None,
        typer.Option(help="Which part of the style counts, likewise.", show_default=False),
    ] = None,
    style_scale: Annotated[
        float, typer.Option(help="Below 1, finer strokes; above, coarser ones.")
    ] = 1.0,
    tileable: Annotated[
        bool, typer.Option("--tileable", help="Make borders that fit, for a pattern without seams.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="What to begin with: content, noise, or a picture file.",
            show_default="content; for a texture, noise",
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            help="What makes a style: wasserstein (means and covariances of features) or gram "
            "(Gatys et al. 2016).",
            autocompletion=complete.style_losses,
        ),
    ] = "wasserstein",
    layers: Annotated[
        str | None,
        typer.Option(
            help="What each layer counts for the style: relu1_1=1,relu3_1=0.5.",
            show_default="relu1_1 to relu5_1",
        ),
    ] = None,
    content_layer: Annotated[str, typer.Option(help="What the content is compared in.")] = (
        "relu4_2"
    ),
    pooling: Annotated[
        str,
        typer.Option(help="max, or average, which is smoother.", autocompletion=complete.poolings),
    ] = "max",
    histogram: Annotated[
        float,
        typer.Option(
            help="Against washed-out results, 1: that each value comes as often as in the style "
            "(Risser et al. 2017)."
        ),
    ] = 0.0,
    smoothness: Annotated[float, typer.Option(help="Against noise.")] = 1.0,
    steps: Annotated[
        int, typer.Option(min=1, help="At each size; twice as many at the first.")
    ] = 100,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Leave a size early when 32 steps gain less than this share of the loss."
        ),
    ] = 0.0,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Make this picture or film again, to the byte, which `probe style` made, or with "
            "other options or pictures if some are given.",
            show_default=False,
        ),
    ] = None,
    preview: options.Preview = 0,
    keep_profile: options.KeepProfile = False,
    quality: options.Quality = 95,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="vgg16, vgg19, or another VGG.", autocompletion=complete.models
        ),
    ] = "vgg16",
    weights: options.Weights = "imagenet",
    precision: options.Precision = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of noise and random weights.")] = 0,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Paint a picture or a film anew in the style of others.

    What made a picture stands in its metadata and in a .json file beside it. Transparency, EXIF
    data and depth stay as they were. An interrupted command goes on when it is given again.

    \b
    Examples:
      probe style photo.jpg painting.jpg -o out.png
      probe style photo.jpg painting.jpg drawing.jpg --mix 2,1 --strength 2
      probe style photo.jpg painting.jpg --colours keep --mask sky.png
      probe style photo.jpg night.jpg straw.jpg --mask sky.png --mask field.png
      probe style clip.mp4 painting.jpg -o out.mp4
      probe style *.jpg --style ~/painting.jpg -o folder
      probe style --texture moss.jpg --tileable --size 512 -o tile.png
      probe style --from out.png --size 1024
    """  # noqa: D301
    wanted: dict[str, Any] = {
        "size": size, "strength": strength, "mix": _numbers(mix), "loss": loss,
        "content_layer": content_layer, "pooling": pooling, "histogram": histogram,
        "smoothness": smoothness, "style_scale": style_scale, "colours": colours,
        "tileable": tileable, "start": start,
        "steps": steps, "tolerance": tolerance, "weights": weights, "precision": precision,
        "model": model, "seed": seed,
    }  # fmt: skip
    if layers is not None:
        wanted["layers"] = layers
    files: list[Path] = pictures or []
    given: dict[str, Any] = {}
    if texture and styles:
        raise ProbeError("with --texture all pictures are styles: leave out --style")
    if files:
        given["content"] = [None] if texture else files if styles else files[:1]
        # With --from, a content alone takes on the styles of before.
        if painted_in := styles or (files if texture else files[1:]):
            given["styles"] = painted_in
    elif styles:
        given["styles"] = styles
    given |= {k: v for k, v in {"masks": mask, "style_masks": style_mask}.items() if v}
    if repeat is not None:
        said = remake.given_anew(context, wanted)
        settings, given = _repeated(repeat, said, given)
        wanted |= settings
        output = output or Path(f"{repeat.stem}-again{repeat.suffix}")
    contents: list[Path | None] = given.pop("content", [])
    if not contents or not given.get("styles"):
        raise ProbeError(
            "name a picture and a style, such as: probe style photo.jpg painting.jpg; or "
            "--texture and a style alone"
        )
    how = {**given, **wanted, "device": device}
    read = [*contents, repeat, Path(how["start"]) if how["start"] else None]
    read += [file for name in ("styles", "masks", "style_masks") for file in given.get(name, [])]
    if any(outputs.is_film(content, output) for content in contents):
        _film(contents, output, read, how, preview=preview, quality=quality, as_json=as_json)
        return

    from probe import images
    from probe.synthesis.style import prepare

    names = [_name([content, *given["styles"]], ".png") for content in contents]
    places = outputs.paths_of(names, output, read)
    records = []
    for content, place in zip(contents, places, strict=True):
        plan = prepare(content, **how)
        images.check_kind(place, plan.given.content, keep_profile=keep_profile)
        # A batch goes on where it ended.
        if len(contents) > 1 and remake.is_there(place, plan.about):
            painted = None
        else:
            with outputs.previews(place, preview, read) as show:
                painted = plan.run(preview=show, preview_every=preview)
            painted.save(place, keep_profile=keep_profile, quality=quality)
        records.append({"about": plan.about, "file": str(place)})
        if not as_json:
            _show(plan, painted, place)
    if as_json:
        printed = records if len(records) > 1 else records[0]
        typer.echo(json.dumps(printed, indent=2, ensure_ascii=False))


def _name(pictures: Sequence[Path | None], kind: str) -> str:
    """Give the name of what is made of some pictures."""
    from probe.output.files import plain_name

    return plain_name(*(path.stem for path in pictures if path is not None)) + kind


def _film(
    contents: Sequence[Path | None],
    output: Path | None,
    read: Sequence[Path | None],
    how: Mapping[str, Any],
    *,
    preview: int,
    quality: int,
    as_json: bool,
) -> None:
    """Paint a film anew."""
    from probe import images
    from probe.cli import show
    from probe.synthesis.style_film import style_film

    if len(contents) > 1:
        raise ProbeError(f"films are painted one by one: {len(contents)} files are named")
    (film,) = contents
    assert film is not None  # a texture is no film
    place = output or Path(_name([film, *how["styles"]], ".mp4"))
    outputs.check_apart(place, read)
    with outputs.previews(place, preview, read) as shown:
        style_film(film, output=place, quality=quality, preview=shown, preview_every=preview, **how)
    about = images.about(place)
    if as_json:
        record = {"about": about, "file": str(place)}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        show.put(f"wrote {place}", *(f"note: {note}" for note in about.get("notes", ())))


def _numbers(text: str | None) -> list[float] | None:
    """Read numbers with commas."""
    if text is None:
        return None
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ProbeError(f"mix {text!r} is no numbers with commas, such as 2,1") from None


def _repeated(
    path: Path, said: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read how a picture was made: the settings, with what is given anew, and of which pictures."""

    def found(one: Mapping[str, str], film: bool = False) -> Path:
        return remake.source(one["name"], one["sha256"], path, film=film)

    about = remake.how_made(path, "style", "style film")
    settings = {**about["settings"], "seed": about["seed"], **said}
    if "loss" in said and "layers" not in said:
        settings["layers"] = None  # each has its own
    sources: dict[str, Any] = {}
    for name in SOURCES:
        before = about[name]
        if name in given or (name == "begun_with" and "start" in said):
            sources[name] = given.get(name)
        elif name == "content":
            film = about["made"] == "style film"
            sources[name] = [None if before is None else found(before, film)]
        elif isinstance(before, list):
            sources[name] = [found(one) for one in before]
        else:
            sources[name] = None if before is None else found(before)
    begun_with = sources.pop("begun_with")
    if begun_with is not None:
        settings["start"] = str(begun_with)
    if not set(said) & {"model", "weights", "seed"}:
        remake.check_weights(path, about, settings)
    return settings, sources


def _show(plan: Plan, painted: Stylised | None, place: Path) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show
    from probe.synthesis.style import title_of

    facts = []
    if painted is not None:
        height, width = painted.pixels.shape[:2]
        loss = painted.history[-1]
        facts += [
            ("size", f"{width} × {height}, from {len(painted.history)} sizes"),
            ("loss", f"{loss[0]:.3g} → {loss[-1]:.3g} at the last size"),
        ]
    facts += [("weights", str(plan.about["weights"]))]
    content = plan.given.content
    facts += [("note", note) for note in (content.remarks if content else ())]
    facts += [("wrote" if painted else "was there", str(place))]
    show.put(Text(title_of(plan.about), style="bold"), Padding(show.facts(facts), (0, 0, 0, 2)))
