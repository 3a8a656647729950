"""``probe saliency``: which parts of a picture drive a class or a unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.attribution.settings import SaliencySettings, name_of_method
from probe.cli import complete, options, outputs
from probe.cli.settings import with_settings
from probe.errors import ProbeError
from probe.targets.names import names_site

if TYPE_CHECKING:
    from probe.attribution import Saliency
    from probe.attribution.trust import Trust


def _list(asked: bool) -> None:
    if not asked:
        return
    from probe.attribution import METHODS
    from probe.cli import terminal

    terminal.put(
        terminal.table(
            ["method", "map of", "signed", "what it shows"],
            [[m.name, m.kind, "yes" if m.signed else "", m.about] for m in METHODS.values()],
            folds="what it shows",
        )
    )
    raise typer.Exit


@with_settings(
    SaliencySettings,
    progress=None,
    method={"autocompletion": complete.saliency_methods},
    target={"flags": ("--target", "-t"), "autocompletion": complete.targets},
    layer={"flags": ("--layers", "-l", "--layer"), "autocompletion": complete.layer_words},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
)
def saliency(
    image: Annotated[Path, typer.Argument(help="A picture file.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"{options.MODEL}.",
            show_default="for a site, the network that it was fitted with",
            autocompletion=complete.models,
        ),
    ] = None,
    *,
    settings: SaliencySettings,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png file (or .npy, .npz, for the values).",
            show_default="IMAGE-METHOD-MODEL-TARGET.png, here",
        ),
    ] = None,
    npy: Annotated[
        Path | None, typer.Option("--npy", help="Write the values, too.", show_default=False)
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            help="How the map is drawn: overlay, side (picture, overlay, map and scale), map, or "
            "contours.",
            autocompletion=complete.saliency_styles,
        ),
    ] = "overlay",
    check: Annotated[
        bool,
        typer.Option("--check", help="Measure how far to trust the map, and draw the curves."),
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method, such as steps=100, or baseline=blurred.",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
    _methods: Annotated[
        bool,
        typer.Option(
            "--methods", help="List the methods.", is_eager=True, callback=lambda v: _list(v)
        ),
    ] = False,
) -> None:
    """Show which parts of a picture drive a class, a channel, or another target.

    The network and its weights are not changed. Each picture records in its metadata how it was
    made. One method at one layer gives a picture; several give a contact sheet.

    \b
    Examples:
      probe saliency cat.jpg -m squeezenet1_1
      probe saliency cat.jpg -m alexnet --method occlusion --target "tiger cat" --style side
      probe saliency cat.jpg -m resnet18 --method grad-cam,guided-backprop,lrp -o sheet.png
      probe saliency cat.jpg -m alexnet --method integrated-gradients --check
      probe saliency cat.jpg --target site:v4:12 --style side
    """  # noqa: D301
    outputs.check_there([image])
    if model is None and not names_site(settings.target):
        raise ProbeError(
            f"name a network, such as: probe saliency {image} -m alexnet; only recorded sites, "
            "such as --target site:v4:12, know their own"
        )
    if settings.method not in (None, "all"):
        for name in settings.method.split(","):
            name_of_method(name)
    from probe.attribution import Saliencies
    from probe.attribution import saliency as explain
    from probe.attribution.explain import default_method
    from probe.output.files import plain_name
    from probe.output.pictures import place_of
    from probe.output.vectors import VECTORS, read_formats
    from probe.plots.maps import check_style

    check_style(style)
    kinds = read_formats(formats)
    chosen: dict[str, Any] = settings.to_about()
    method = chosen["method"] = settings.method or default_method(model, settings.target)
    name = plain_name(str(method)[:60], model, settings.target)
    path = output or Path(f"{image.stem}-{name}.png")
    place_of(path, ".png", *VECTORS, ".npy", ".npz")
    if npy is not None:
        place_of(npy, ".npy", ".npz")
    if path.resolve() == image.resolve():
        raise ProbeError(f"{str(path)!r} is the picture itself: choose another --output")
    of_method = dict(_setting(text) for text in setting or [])
    explained: Any = explain(str(image), model, **chosen, **of_method)
    is_sheet = isinstance(explained, Saliencies)
    maps = list(explained) if is_sheet else [explained]
    files = [explained.save(path) if is_sheet else explained.save(path, style)]
    if npy is not None:
        files.append(explained.save(npy))
    checks = [one.check(seed=settings.seed) for one in maps] if check else []
    curves = []
    for one, checked in zip(maps, checks, strict=bool(checks)):
        of = f"-{plain_name(one.method.name, one.layer)}" if is_sheet else ""
        curves.append(checked.save(path.with_name(f"{path.stem}{of}-check.png")))
    vectors = [path for k, one in enumerate(checks) for path in one.save_vectors(curves[k], kinds)]
    besides = [*vectors, *outputs.write_beside(explained, path, kinds, checks, report=report)]
    if as_json:
        records = []
        for k, one in enumerate(maps):
            record = {"about": dict(one.about), "top": one.top, "scale": one.scale}
            record |= {"check": checks[k].record()} if check else {}
            paths = (*files, *curves[k : k + 1], *besides)
            records.append(record | {"files": [str(one) for one in paths]})
        typer.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    _show(maps, checks, [*files, *curves, *besides])


def _show(maps: list[Saliency], trust: list[Trust], written: list[Path]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal

    first = maps[0]
    sees = ", ".join(f"{label} {share:.0%}" for label, share in first.top)
    facts = [("target", f"{first.target}, {first.value:.4g}")]
    facts += [("site", line) for line in first.said]
    facts += [("it sees", sees)] if sees else []
    if len(maps) == 1:
        facts += [("method", f"{first.method.name}: {first.method.about}")]
        facts += [("layer", first.layer)] if first.layer else []
        facts += [("scale", first.scale)]
    facts += [("note", note) for note in first.about.get("notes", ())]
    facts += [("written", str(path)) for path in written]
    terminal.put(
        Text(f"{first.model} · {first.about['image']}", style="bold"),
        Padding(terminal.facts(facts), (0, 0, 0, 2)),
    )
    for one, checked in zip(maps, trust, strict=bool(trust)):
        table = checked.summary()
        name = " at ".join(filter(None, (one.method.name, one.layer)))
        terminal.put(
            "",
            Text(f"How far to trust {name}", style="bold"),
            terminal.table(
                list(table.columns), table.values.tolist(), right=["value", "chance"],
                folds="meaning",
            ),
        )  # fmt: skip


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise ProbeError(f"setting {text!r}: expected NAME=VALUE, such as steps=100")
    try:
        return name.strip().replace("-", "_"), json.loads(value)
    except ValueError:
        return name.strip().replace("-", "_"), value.strip()
