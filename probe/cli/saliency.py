"""``probe saliency``: which parts of a picture speak for a class or a unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.attribution import Saliency
    from probe.attribution.trust import Trust


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from probe.attribution import METHODS
    from probe.cli import show

    show.put(
        show.table(
            ["method", "map of", "signed", "what it shows"],
            [[m.name, m.kind, "yes" if m.signed else "", m.about] for m in METHODS.values()],
            folds="what it shows",
        )
    )
    raise typer.Exit


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
    method: Annotated[
        str | None,
        typer.Option(
            help="One method or several, with commas, or all: grad-cam, gradient, smoothgrad, "
            "integrated-gradients, guided-backprop, occlusion, lrp, … (see --methods).",
            show_default="grad-cam; of a recorded site or a neuron, integrated-gradients",
            autocompletion=complete.saliency_methods,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            help="A class by name or number (tabby, 281), a channel (features.10:84), a unit "
            "(features.10:84,6,6), a layer (features.10), a recorded site (site:v4:12, "
            "site:v4:all) that `probe encode` fitted, or a sum ('tabby - 0.5*tiger cat'); of all "
            "neurons of a session (v4-compact:201025), one of them (12). "
            "Where the network returns several tensors, [0]:281 or [logits]:281 is a class of one.",
            show_default="the class that the network sees, or its only output",
            autocompletion=complete.targets,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="For the CAMs: one layer or several, with commas.",
            show_default="the last one with positions",
            autocompletion=complete.layer_words,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png file (or .npy, .npz, for the values).",
            show_default="IMAGE-METHOD.png, here",
        ),
    ] = None,
    npy: Annotated[
        Path | None, typer.Option("--npy", help="Write the values, too.", show_default=False)
    ] = None,
    style: Annotated[
        str,
        typer.Option(
            help="overlay, side (picture, overlay, map and scale), map, contours.",
            autocompletion=complete.saliency_styles,
        ),
    ] = "overlay",
    check: Annotated[
        bool,
        typer.Option("--check", help="Tell how far to trust the map, and draw the curves."),
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method, such as steps=100, or baseline=blurred.",
        ),
    ] = None,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    seed: Annotated[int, typer.Option(min=0, help="Of random weights, noise and masks.")] = 0,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
    _methods: Annotated[
        bool,
        typer.Option(
            "--methods", help="List the methods.", is_eager=True, callback=lambda v: _list(v)
        ),
    ] = False,
) -> None:
    """Show which parts of a picture speak for a class, a channel, or another target.

    The network and its weights are left as they are; what made a picture stands in its metadata.
    One method at one layer gives a picture; several give a contact sheet.

    \b
    Examples:
      probe saliency cat.jpg -m squeezenet1_1
      probe saliency cat.jpg -m alexnet --method occlusion --target "tiger cat" --style side
      probe saliency cat.jpg -m resnet18 --method grad-cam,guided-backprop,lrp -o sheet.png
      probe saliency cat.jpg -m alexnet --method integrated-gradients --check
      probe saliency cat.jpg --target site:v4:12 --style side
    """  # noqa: D301
    from probe.attribution import Saliencies
    from probe.attribution import saliency as explain
    from probe.attribution.explain import default_method
    from probe.output.files import plain_name
    from probe.output.pictures import place_of
    from probe.plots.maps import check_style

    check_style(style)
    method = default_method(model, target) if method is None else method
    place = output or Path(f"{image.stem}-{method.replace(',', '-')[:60]}.png")
    place_of(place, ".png", ".npy", ".npz")
    if npy is not None:
        place_of(npy, ".npy", ".npz")
    if place.resolve() == image.resolve():
        raise ProbeError(f"{str(place)!r} is the picture itself: choose another --output")
    found: Any = explain(
        str(image),
        model,
        method,
        target,
        layer=layer,
        weights=weights,
        preprocessing=preprocessing,
        seed=seed,
        batch_size=batch_size,
        device=device,
        **dict(_setting(text) for text in setting or []),
    )
    maps = list(found) if isinstance(found, Saliencies) else [found]
    written = [found.save(place) if isinstance(found, Saliencies) else found.save(place, style)]
    if npy is not None:
        written.append(found.save(npy))
    trust = [one.check(seed=seed) for one in maps] if check else []
    for one, checked in zip(maps, trust, strict=bool(trust)):
        of = f"-{plain_name(one.method.name, one.layer)}" if len(maps) > 1 else ""
        written.append(checked.save(place.with_name(f"{place.stem}{of}-check.png")))
    if as_json:
        records = [dict(one.about) | {"top": one.top, "scale": one.scale} for one in maps]
        if check:
            records = [r | {"check": t.record()} for r, t in zip(records, trust, strict=True)]
        typer.echo(
            json.dumps({"maps": records, "files": [str(p) for p in written]}, indent=2,
                       ensure_ascii=False)
        )  # fmt: skip
        return
    _show(maps, trust, written)


def _show(maps: list[Saliency], trust: list[Trust], written: list[Path]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show

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
    show.put(
        Text(f"{first.model} · {first.about['image']}", style="bold"),
        Padding(show.facts(facts), (0, 0, 0, 2)),
    )
    for one, checked in zip(maps, trust, strict=bool(trust)):
        table = checked.shown()
        name = " at ".join(filter(None, (one.method.name, one.layer)))
        show.put(
            "",
            Text(f"How far to trust {name}", style="bold"),
            show.table(
                list(table.columns), table.values.tolist(), right=["value", "chance"],
                folds="meaning",
            ),
        )  # fmt: skip


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise ProbeError(f"setting {text!r} is not NAME=VALUE, such as steps=100")
    try:
        return name.strip().replace("-", "_"), json.loads(value)
    except ValueError:
        return name.strip().replace("-", "_"), value.strip()
