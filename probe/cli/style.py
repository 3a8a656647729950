"""``probe style``: the content of one picture in the style of others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, outputs, remake
from probe.cli.settings import Writing, with_settings, with_writing
from probe.errors import ProbeError
from probe.synthesis.style_settings import StyleSettings

if TYPE_CHECKING:
    from probe.synthesis.style import Plan, Stylised


@dataclass(frozen=True)
class Sources:
    """The files that pictures are made from.

    Attributes
    ----------
    contents : list of Path or None
        Each is painted anew, by itself; None stands for the content of a texture.
    styles, masks, style_masks : list of Path
    """

    contents: Sequence[Path | None]
    styles: Sequence[Path]
    masks: Sequence[Path]
    style_masks: Sequence[Path]

    @property
    def all(self) -> list[Path | None]:
        """All files, none of which may be written over."""
        return [*self.contents, *self.styles, *self.masks, *self.style_masks]


@with_settings(
    StyleSettings,
    mix={"type": str | None},
    layers={"type": str | None},
    colours={"flags": ("--colours", "--colors")},
    start={"type": str | None},
    weights={"autocompletion": complete.weights},
    threads=None,
    model={"flags": ("--model", "-m"), "type": str, "autocompletion": complete.models},
)
@with_writing
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
            help="A .png, .jpg, .tif or .webp file; for several pictures, a folder; for a film, an "
            ".mp4, .gif or .webp file.",
            show_default="CONTENT-STYLE.png, here",
        ),
    ] = None,
    styles: Annotated[
        list[Path] | None,
        typer.Option(
            "--style",
            "-s",
            help="A picture whose style to use; may be given more than once. All the other "
            "pictures are then painted in it, each by itself.",
            show_default=False,
        ),
    ] = None,
    texture: Annotated[
        bool,
        typer.Option("--texture", help="Take all pictures as styles, and make a texture of them."),
    ] = False,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="Where to paint: a picture that is white there and black elsewhere, with edges as "
            "soft as you like. Given once for each style, each style has a region of its own.",
            show_default=False,
        ),
    ] = None,
    style_mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="Which part of a style to use: a picture that is white there and black elsewhere.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Make this picture or film of `probe style` again, byte for byte. Options and "
            "pictures that are given replace its own.",
            show_default=False,
        ),
    ] = None,
    *,
    settings: StyleSettings,
    writing: Writing,
) -> None:
    """Paint a picture or a film anew in the style of others.

    Each picture records how it was made, in its metadata and in a .json file beside it. It keeps
    the transparency, EXIF data and bit depth of the original. If the command is interrupted, the
    same command resumes where it stopped. 512 pixels take about 4 minutes on two cores that
    have bfloat16 (longer on others), and twice the side four times as long; how long yours will
    take is said after the first steps.

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
    if texture and styles:
        raise ProbeError("with --texture all pictures are styles: leave out --style")
    files: list[Path] = pictures or []
    if texture:
        sources = Sources([None] if files else [], files, mask or [], style_mask or [])
    elif styles:
        sources = Sources(files, styles, mask or [], style_mask or [])
    else:
        sources = Sources(files[:1], files[1:], mask or [], style_mask or [])
    if repeat is not None:
        anew = remake.given_anew(context, vars(settings))
        settings, sources = _repeated(repeat, anew, sources)
        output = output or Path(f"{repeat.stem}-again{repeat.suffix}")
    if not sources.contents or not sources.styles:
        raise ProbeError(
            "name a picture and a style, such as: probe style photo.jpg painting.jpg; or "
            "--texture and a style alone"
        )
    read = [*sources.all, repeat, Path(settings.start) if settings.start else None]
    outputs.check_there(read[:-1])  # what it starts with may be a word
    if any(outputs.is_film(content, output) for content in sources.contents):
        records = [_paint_film(sources, settings, writing, output, read)]
    else:
        records = _paint_pictures(sources, settings, writing, output, read)
    if writing.as_json:
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))


def _paint_pictures(
    sources: Sources,
    settings: StyleSettings,
    writing: Writing,
    output: Path | None,
    read: Sequence[Path | None],
) -> list[dict[str, Any]]:
    """Paint pictures one after the other; return what was made of each, and how."""
    from probe import images
    from probe.synthesis.style import prepare

    names = [_name([content, *sources.styles], ".png") for content in sources.contents]
    records = []
    paths = outputs.paths_of(names, output, read)
    outputs.check_pages(paths, report=writing.report)
    for content, path in zip(sources.contents, paths, strict=True):
        plan = prepare(
            content, sources.styles, settings, masks=sources.masks, style_masks=sources.style_masks
        )
        images.check_kind(path, plan.inputs.content, keep_profile=writing.keep_profile)
        painted = None
        # A batch goes on where it ended.
        if len(names) == 1 or not remake.is_there(path, plan.about):
            with outputs.previews(path, writing.preview, read) as preview:
                painted = plan.run(preview=preview, preview_every=writing.preview)
            painted.save(path, keep_profile=writing.keep_profile, quality=writing.quality)
        pages = outputs.write_page(path, report=writing.report)
        records.append({"about": plan.about, "files": [str(one) for one in (path, *pages)]})
        if not writing.as_json:
            _show(plan, painted, path, pages)
    return records


def _paint_film(
    sources: Sources,
    settings: StyleSettings,
    writing: Writing,
    output: Path | None,
    read: Sequence[Path | None],
) -> dict[str, Any]:
    """Paint a film; return what was made, and how."""
    from probe import images
    from probe.cli import terminal
    from probe.synthesis.style_film import style_film

    if len(sources.contents) > 1:
        raise ProbeError(
            f"films are painted one at a time: expected one file, not {len(sources.contents)}"
        )
    if writing.keep_profile:
        raise ProbeError("--keep-profile: expected a picture; films have no colour profile")
    outputs.refuse_page_of_film(report=writing.report)
    (film,) = sources.contents
    assert film is not None  # a texture is no film
    path = output or Path(_name([film, *sources.styles], ".mp4"))
    outputs.check_apart(path, read)
    with outputs.previews(path, writing.preview, read) as preview:
        style_film(
            film, sources.styles, path, masks=sources.masks, style_masks=sources.style_masks,
            quality=writing.quality, preview=preview, preview_every=writing.preview,
            **vars(settings),
        )  # fmt: skip
    about = images.about(path)
    if not writing.as_json:
        terminal.put(f"wrote {path}", *(f"note: {note}" for note in about.get("notes", ())))
    return {"about": about, "files": [str(path)]}


def _name(pictures: Sequence[Path | None], kind: str) -> str:
    """Return the name of what is made of some pictures."""
    from probe.output.files import plain_name

    return plain_name(*(path.stem for path in pictures if path is not None)) + kind


def _repeated(
    path: Path, anew: Mapping[str, Any], sources: Sources
) -> tuple[StyleSettings, Sources]:
    """Read how and of what a picture was made; what is named anew takes the place of that."""

    def find(source: Mapping[str, str], *, film: bool = False) -> Path:
        return remake.source(source["name"], source["sha256"], path, film=film)

    about = remake.how_made(path, "style", "style film")
    settings = replace(StyleSettings.from_about(about), **anew)
    if "loss" in anew and "layers" not in anew:
        settings = replace(settings, layers=None)  # each loss has its own
    if "start" not in anew and about["begun_with"]:
        settings = replace(settings, start=str(find(about["begun_with"])))
    contents = sources.contents
    if not contents:
        content, film = about["content"], about["made"] == "style film"
        contents = [None if content is None else find(content, film=film)]
    sources = Sources(
        contents,
        sources.styles or [find(source) for source in about["styles"]],
        sources.masks or [find(source) for source in about["masks"]],
        sources.style_masks or [find(source) for source in about["style_masks"]],
    )
    if not set(anew) & {"model", "weights", "seed"}:
        remake.check_weights(path, about, vars(settings))
    return settings, sources


def _show(plan: Plan, painted: Stylised | None, path: Path, pages: Sequence[Path]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal
    from probe.output.text import count
    from probe.synthesis.style import title_of

    facts = []
    if painted is not None:
        height, width = painted.pixels.shape[:2]
        loss = painted.history[-1]
        facts += [
            ("size", f"{width} × {height}, from {count(len(painted.history), 'size')}"),
            ("loss", f"{loss[0]:.3g} → {loss[-1]:.3g} at the last size"),
        ]
    facts += [("weights", str(plan.about["weights"]))]
    content = plan.inputs.content
    facts += [("note", note) for note in (content.remarks if content else ())]
    facts += [("wrote" if painted else "was there", str(path))]
    facts += [("wrote", str(page)) for page in pages]
    terminal.put(
        Text(title_of(plan.about), style="bold"), Padding(terminal.facts(facts), (0, 0, 0, 2))
    )
