"""``probe dream``: a picture in which a network finds more of what it sees in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, outputs, remake
from probe.cli.settings import Writing, with_settings, with_writing
from probe.errors import ProbeError
from probe.synthesis.settings import DEFAULT_MODEL, LOOK, PRESETS, DreamSettings
from probe.targets.names import names_site

if TYPE_CHECKING:
    from probe.synthesis.dream import Plan

DEMO = "demo"
"""The name of the picture that is drawn rather than read."""


@with_writing
@with_settings(
    DreamSettings,
    model={
        "flags": ("--model", "-m"), "type": str, "default": DEFAULT_MODEL,
        "autocompletion": complete.models,
    },
    weights={"type": str, "autocompletion": complete.weights},
    layers={"flags": ("--layer", "--layers", "-l"), "autocompletion": complete.layer_words},
    target={
        "flags": ("--target", "-t"), "type": str | None, "autocompletion": complete.targets,
    },
    guide={"type": Path | None},
    mask={"type": Path | None},
    laplacian={"flags": ("--laplacian/--no-laplacian",)},
    threads=None,
    preset={"autocompletion": complete.one_of(PRESETS)},
)  # fmt: skip
def dream(
    context: typer.Context,
    settings: DreamSettings,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PICTURE]...", help="Picture files, or a film.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png, .jpg, .tif or .webp file; for several pictures, a folder; for a film, an "
            ".mp4, .gif or .webp file.",
            show_default="PICTURE-dream, here",
        ),
    ] = None,
    zoom: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="FRAMES",
            help="Dream a film of this many frames that zooms into the picture.",
            show_default=False,
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Dream into a landscape painted for the purpose.")
    ] = False,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Make this picture of `probe dream` again, byte for byte. Options and pictures "
            "that are given replace its own.",
            show_default=False,
        ),
    ] = None,
    *,
    writing: Writing,
) -> None:
    """Dream into a picture with a network.

    Each picture records how it was made, in its metadata and in a .json file beside it. It keeps
    the transparency, EXIF data and bit depth of the original.

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
    if demo and pictures:
        raise ProbeError("--demo paints its own picture: give a picture or --demo, not both")
    files: list[Path | None] = [None] if demo else [*(pictures or [])]
    overrides = remake.given_anew(context, vars(settings))
    if repeat is not None:
        settings, file = _repeated(repeat, settings, overrides, bool(files))
        if not files:
            files = [file]
            output = output or Path(f"{repeat.stem}-again{repeat.suffix}")
    elif "model" not in overrides and names_site(settings.target):  # a site knows its network
        settings = replace(settings, model=None)
    if not files:
        raise ProbeError("no picture was given: name one, or try --demo")
    _check_preset(settings)
    read = [*files, repeat, *(Path(one) for one in (settings.guide, settings.mask) if one)]
    outputs.check_there(read)
    if zoom or outputs.is_film(files[0], output):
        if writing.keep_profile:
            raise ProbeError("--keep-profile: expected a picture; films have no colour profile")
        outputs.refuse_page_of_film(report=writing.report)
        record = _film(files, output, zoom, read, settings, writing)
        if writing.as_json:
            _print_json([record])
        else:
            from probe.cli import terminal

            notes = record["about"].get("notes", ())
            terminal.put(f"wrote {record['files'][0]}", *(f"note: {note}" for note in notes))
        return
    paths = _paths(files, output, read)
    outputs.check_pages(paths, report=writing.report)

    from probe import images
    from probe.synthesis.dream import prepare
    from probe.synthesis.scenery import landscape

    records: list[Mapping[str, Any]] = []
    for file, path in zip(files, paths, strict=True):
        plan = prepare(
            landscape() if file is None else file, settings, name=DEMO if file is None else None
        )
        images.check_kind(path, plan.original, keep_profile=writing.keep_profile)
        # A batch goes on where it ended.
        if len(files) == 1 or not remake.is_there(path, plan.about):
            with outputs.previews(path, writing.preview, read) as show_preview:
                picture = plan.run(preview=show_preview, preview_every=writing.preview)
            picture.save(path, keep_profile=writing.keep_profile, quality=writing.quality)
        files_made = [path, *outputs.write_page(path, report=writing.report)]
        if not writing.as_json:
            _show(plan, files_made)
        records.append({"about": plan.about, "files": [str(one) for one in files_made]})
    if writing.as_json:
        _print_json(records)


def _check_preset(settings: DreamSettings) -> None:
    """Refuse a preset that the network does not have, before torch is imported."""
    from probe.models.registry import parse
    from probe.synthesis.presets import look_of

    model = settings.model
    if settings.preset is not None and isinstance(model, str):  # that of a site is not known yet
        look_of(parse(model).architecture, settings.preset, model)


def _print_json(records: Sequence[Mapping[str, Any]]) -> None:
    typer.echo(json.dumps(records, indent=2, ensure_ascii=False))


def _film(
    files: list[Path | None],
    output: Path | None,
    zoom: int | None,
    read: Sequence[Path | None],
    settings: DreamSettings,
    writing: Writing,
) -> Mapping[str, Any]:
    """Dream a film of a film, or of a picture, and return its record."""
    from probe import images
    from probe.synthesis.film import dream_film, dream_zoom
    from probe.synthesis.scenery import landscape

    if len(files) > 1:
        raise ProbeError(f"films are dreamt one at a time: expected one file, not {len(files)}")
    (file,) = files
    path = output or Path(f"{DEMO if file is None else f'{file.stem}-dream'}.mp4")
    outputs.check_apart(path, read)
    with outputs.previews(path, writing.preview, read) as preview_to:
        how: Any = {
            "quality": writing.quality, "preview": preview_to, "preview_every": writing.preview,
            **vars(settings),
        }  # fmt: skip
        if zoom:
            picture = landscape() if file is None else file
            dream_zoom(picture, path, frames=zoom, name=DEMO if file is None else None, **how)
        else:
            assert file is not None  # a painting is no film
            dream_film(file, path, **how)
    return {"about": images.about(path), "files": [str(path)]}


def _paths(
    files: list[Path | None], output: Path | None, read: Sequence[Path | None]
) -> list[Path]:
    """Return where each dream is going to be written, and check that it can be."""
    from probe import images

    names = []
    for file in files:
        kind = file.suffix.lower() if file is not None else ""
        stem = DEMO if file is None else f"{file.stem}-dream"
        names.append(stem + (kind if kind in images.WRITTEN else ".png"))
    return outputs.paths_of(names, output, read)


def _repeated(
    path: Path, settings: DreamSettings, overrides: Mapping[str, Any], another: bool
) -> tuple[DreamSettings, Path | None]:
    """Read how a dream was made: the settings, with those given anew, and of which picture."""
    about = remake.how_made(path, "dream")
    record = {**about["settings"], "seed": about["seed"], "device": settings.device}
    for name in ("guide", "mask"):
        if record[name] is not None and name not in overrides:
            record[name] = remake.source(record[name], record[f"{name}_sha256"], path)
    if "target" in overrides:
        record |= {"layers": None, "guide": None}
    if "layers" in overrides or "guide" in overrides:
        record["target"] = None
    if "preset" in overrides:
        record |= dict.fromkeys(LOOK if "layers" in overrides else (*LOOK, "layers", "target"))
    settings = DreamSettings.from_about({**record, **overrides})
    if not set(overrides) & {"model", "weights"}:
        settings = replace(settings, model=_network_of(path, about, settings, overrides))
    if another or about["image"] == DEMO:
        return settings, None
    return settings, remake.source(about["image"], about["image_sha256"], path)


def _network_of(
    path: Path, about: Mapping[str, Any], settings: DreamSettings, overrides: Mapping[str, Any]
) -> Any:
    """Return the network of a dream that is made again, as `DreamSettings` takes it.

    A record says which weights were named. Where a site brought its network, none were.
    """
    named = settings.weights != "imagenet"
    if "target" in overrides and names_site(settings.target):
        return settings.model if named else None  # the new site brings its own
    target = about["settings"]["target"]
    if not named and names_site(target):
        return remake.network_of_site(path, about, target)
    if "seed" not in overrides:
        remake.check_weights(path, about, vars(settings))
    return settings.model


def _show(plan: Plan, written: Sequence[Path]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal
    from probe.targets import said

    record = plan.about["settings"]
    of = record["target"] or record["layers"]
    facts = [
        ("dreams of", of + (f", like {record['guide']}" if record["guide"] else "")),
        ("octaves", f"{record['octaves']} × {record['steps']} steps"),
        ("weights", str(plan.about["weights"])),
    ]
    facts += [("site", line) for line in said(plan.target)]
    facts += [("note", note) for note in plan.original.remarks]
    facts += [("wrote", str(path)) for path in written]
    terminal.put(
        Text(f"{record['model']} · {plan.about['image']}", style="bold"),
        Padding(terminal.facts(facts), (0, 0, 0, 2)),
    )
