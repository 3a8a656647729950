"""``probe visualize``: what a class, a channel or a unit looks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options, outputs, remake
from probe.cli.settings import with_settings
from probe.errors import ProbeError
from probe.settings import Settings, option
from probe.synthesis.settings import VisualizeSettings

if TYPE_CHECKING:
    from probe.synthesis.visualize import Plan
    from probe.synthesis.visualize_result import Visualisation

PATCHES = 4
"""Patches of photographs beside each picture."""

COLUMNS = (
    "value, noise, grey: the target's number for the picture, for noise before the first step, and "
    "for plain grey; rank: 1 where the picture drives no other channel (or class) more; strongest: "
    "which one it drives most"
)
"""What the columns of the table are."""


@dataclass(frozen=True)
class SiteOptions(Settings):
    """What is said of the superstimulus of a site alone."""

    judge: str | None = option(
        None,
        "For sites: the network that judges the picture. It has another architecture, and is "
        "fitted to the other half of the stimuli.",
        unset="squeezenet1_1, mobilenet_v2 or vgg16",
    )
    together_with: str | None = option(
        None,
        "For sites: more networks, separated by commas, or none. The picture increases the mean "
        "of all their predictions.",
        unset="squeezenet1_1 or alexnet, whichever does not judge",
    )
    photographs: str | None = option(
        None,
        "For sites: pictures, the best of which is shown beside the superstimulus: a folder, a "
        "pattern in quotes, a table, or a zip archive.",
    )
    mask: bool = option(True, "For sites: show grey where the site does not look.")
    check: bool = option(
        True,
        "For sites: limit contrast to that of the stimuli, and let another network judge.",
    )


@with_settings(
    VisualizeSettings,
    model={"argument": True, "type": str | None, "autocompletion": complete.models},
    target={"argument": True, "type": list[str] | None, "autocompletion": complete.targets},
    channels={"type": str | None},
    size={"type": str | None},
    transparent={"flags": ("--transparent",)},
    tileable={"flags": ("--tileable",)},
    weights={"type": str, "autocompletion": complete.weights},
    preprocessing={"type": str, "autocompletion": complete.preprocessing},
    threads=None,
)
@with_settings(
    SiteOptions,
    judge={"autocompletion": complete.models},
    together_with={"flags": ("--with",), "autocompletion": complete.several_models},
    mask={"flags": ("--mask/--no-mask",)},
    check={"flags": ("--check/--no-check",)},
)
def visualize(
    context: typer.Context,
    settings: VisualizeSettings,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="One picture: .png, .tif, .jpg, .webp; several: .png, a sheet. A name without an "
            "ending is a folder, for every picture by itself. .csv: the measurements alone.",
            show_default="visualize-MODEL-TARGET.png, here",
        ),
    ] = None,
    patches: Annotated[
        str | None,
        typer.Option(
            help="Beside the channel's picture, show the parts of these photographs that drive it "
            "most: a folder, a pattern in quotes, a table, or a zip archive.",
            show_default=False,
        ),
    ] = None,
    of_sites: SiteOptions,
    preview: options.Preview = 0,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Make this picture of `probe visualize` again. Options that are given replace its "
            "own.",
            show_default=False,
        ),
    ] = None,
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Make pictures that drive a channel, a unit or a class: what it looks for.

    The network and its weights are not changed. Each picture records in its metadata how it was
    made, and --from makes it again. Targets that no picture drives are reported, and crossed out on
    a sheet. If the command is interrupted, the same command resumes where it stopped.

    \b
    Examples:
      probe visualize alexnet conv5:84
      probe visualize squeezenet1_1 tabby --diverse 4 -o cats.png
      probe visualize alexnet conv5 --channels 0-31 --size 128
      probe visualize alexnet conv5:84 conv5:12 --interpolate 5
      probe visualize alexnet conv5:84 --patches ~/photos
      probe visualize alexnet conv5:84 --transparent --size 448x224
      probe visualize v4-compact:201025-12
      probe visualize --from visualize-alexnet-conv5-84.png --seed 1

    \b
    A recorded site (the first time, its sites are fitted to halves of the stimuli, which takes
    minutes): its superstimulus beside recorded stimuli under the same budget, and what a network
    of another architecture predicts for each.
      probe visualize site:v4:12
      probe visualize site:v4:12 --diverse 4 --judge vgg16
      probe visualize alexnet site:v4:12 --with vgg16 --judge squeezenet1_1
    """  # noqa: D301
    if report and output is not None and output.suffix.lower() == ".csv":
        raise ProbeError(
            f"--report: expected a picture or a folder, and {str(output)!r} is a table"
        )
    overrides = remake.given_anew(context, {**vars(settings), "patches": patches})
    settings = _parsed(settings)
    model: str | None = settings.model
    sites = [word for word in settings.target or [] if word.startswith("site:")]
    if sites and repeat is None and of_sites.check:
        plain = (
            "channels", "interpolate", "size", "transparent", "tileable", "patches",
            "parameterisation", "tolerance", "weights", "preprocessing", "batch_size",
        )  # fmt: skip
        flag = next((f"--{name.replace('_', '-')}" for name in plain if name in overrides), None)
        if flag or len(sites) < len(settings.target):
            raise ProbeError(
                f"a superstimulus of a site cannot be combined with {flag or 'other targets'}: "
                "leave that out, or add --no-check for a plain picture without a budget and a judge"
            )
        _superstimulus(
            sites, settings, of_sites, output, overrides, preview, report=report, as_json=as_json
        )
        return
    if sites and model is None:
        from probe.encoding.kept import model_of

        model, weights, preprocessing, seed = model_of(sites[0])
        settings = replace(
            settings,
            model=model,
            weights=weights,
            preprocessing=preprocessing,
            seed=seed if weights == "random" else settings.seed,
        )
    picture = None
    if repeat is not None:
        values = {name: value for name, value in vars(settings).items() if name in overrides}
        if "patches" in overrides:
            values["patches"] = patches
        settings, patches, picture = _repeated(repeat, settings, values)
    if not settings.model:
        raise ProbeError(
            "name a model and what to visualize, such as: probe visualize alexnet conv5:84"
        )

    from probe.output.files import plain_name
    from probe.synthesis.visualize import prepare
    from probe.synthesis.visualize_result import check_place

    words = [settings.target] if isinstance(settings.target, str) else settings.target or []
    name = plain_name("visualize", settings.model, *words, context.params["channels"])
    path = output or Path(f"{name}.png" if repeat is None else f"{repeat.stem}-again.png")
    outputs.check_apart(path, [repeat])
    outputs.check_pages([path], report=report)
    plan = prepare(settings)
    n = 2 if patches is not None else 1 if picture is not None else len(plan.each)
    check_place(path, n, transparent=settings.transparent)
    of_patches = None if patches is None else _Photographs(patches, plan)
    with outputs.previews(path, preview, [repeat]) as show:
        visualisation = plan.run(preview=show, preview_every=preview)
    if picture is not None:
        visualisation = visualisation[picture]
    if of_patches is not None:
        visualisation = of_patches.beside(visualisation)
    written = visualisation.save(path)
    plan.finished()
    _show(visualisation, [written, *outputs.write_page(written, report=report)], as_json)


def _parsed(settings: VisualizeSettings) -> VisualizeSettings:
    """Read what is written as words: numbers, sizes, and a site without its network."""
    model, target = settings.model, settings.target or None
    if model is not None and model.startswith("site:"):  # a site knows its network
        model, target = None, [model, *(target or [])]
    channels: Any = settings.channels
    return replace(
        settings,
        model=model,
        target=target,
        channels=None if channels is None else options.numbers(channels),
        size=None if settings.size is None else options.sides(settings.size),
    )


def _superstimulus(
    sites: list[str],
    settings: VisualizeSettings,
    of_sites: SiteOptions,
    output: Path | None,
    overrides: dict[str, Any],
    preview: int,
    *,
    report: bool,
    as_json: bool,
) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal
    from probe.output.files import plain_name
    from probe.synthesis.superstimulus import superstimulus

    path = output or Path(f"{plain_name('superstimulus', *sites)}.png")
    if path.suffix.lower() not in ("", ".png", ".csv"):
        raise ProbeError(
            f"{str(path)!r}: superstimuli are written as a sheet (.png), a table (.csv), or into "
            "a folder (a name without an ending)"
        )
    outputs.check_pages([path], report=report)
    # Where nothing is said of these, what suits superstimuli holds.
    chosen = {name: overrides[name] for name in ("steps", "lr") if name in overrides}
    with outputs.previews(path, preview) as show_preview:
        pictures = superstimulus(
            sites, settings.model, together_with=of_sites.together_with, judge=of_sites.judge,
            diverse=settings.diverse or 1, photographs=of_sites.photographs, masked=of_sites.mask,
            seed=settings.seed, precision=settings.precision, device=settings.device,
            preview=show_preview, preview_every=preview, **chosen,
        )  # fmt: skip
    written = pictures.save(path)
    files = [written, *outputs.write_page(written, report=report)]
    if as_json:
        record = {"about": pictures.about, "files": [str(one) for one in files]}
        record |= {"table": json.loads(pictures.table.to_json(orient="records"))}
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
        return
    table = pictures.table.drop(columns="index")
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    columns = list(table.columns)
    budget = pictures.about["budget"]
    facts = [
        ("budget", f"mean {budget['mean']:.3f}, RMS contrast {budget['contrast']:.3f}, "
         f"{budget['size'][1]}×{budget['size'][0]} pixels{'' if budget['colour'] else ', grey'}"),
        *(("site", str(of["said"])) for of in pictures.about["site"].values()),
        *(("judge", str(of["said"])) for of in pictures.about["judges"].values()),
        *(("wrote", str(one)) for one in files),
    ]  # fmt: skip
    terminal.put(
        Text(pictures.title, style="bold"),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        terminal.table(columns, rows, right=columns[3:], folds="name"),
        "",
        *(Text(note) for note in pictures.notes()),
    )


def _repeated(
    path: Path, settings: VisualizeSettings, overrides: dict[str, Any]
) -> tuple[VisualizeSettings, str | None, int | None]:
    """Return the settings of a picture, with those given anew, its patches, and which it is."""
    about = remake.how_made(path, "visualize")
    # What is given anew decides for itself how many pictures go through together.
    record = {**about["settings"], **({"batch_size": None} if overrides else {}), **overrides}
    if "parameterisation" in overrides and "lr" not in overrides:
        record["lr"] = None  # each has its own
    if not set(overrides) & {"model", "weights", "preprocessing", "seed"}:
        remake.check_weights(path, about, record, preprocessing=record["preprocessing"])
    alone = "picture" in about and not set(overrides) & {"target", "channels"}
    patches = record.get("patches")
    if alone and "patches" not in overrides:
        patches = None  # they are on sheets alone
    return VisualizeSettings.from_about(record), patches, about["picture"] if alone else None


class _Photographs:
    """Where patches are looked for; that there are some is known before pictures are made."""

    def __init__(self, patches: str, plan: Plan) -> None:
        from probe.stimuli import image_set
        from probe.targets import Channel

        self.name, self.plan = patches, plan
        if not any(isinstance(target, Channel) for target in plan.each):
            raise ProbeError("--patches can only be shown for channels, such as features.10:84")
        self.stimuli = image_set(patches)

    def beside(self, visualisation: Visualisation) -> Visualisation:
        """Find patches for the pictures of channels, layer by layer."""
        from probe import features
        from probe.targets import Channel

        channels: dict[str, dict[int, None]] = {}
        for target in visualisation.each:
            if isinstance(target, Channel):
                channels.setdefault(target.layer, {})[target.channel] = None
        for layer, numbers in channels.items():
            top = features.top_patches(
                self.plan.network, self.stimuli, layer, list(numbers), PATCHES,
                device=self.plan.settings.device,
            )  # fmt: skip
            visualisation = visualisation.beside(top)
        settings = {**visualisation.about["settings"], "patches": self.name}
        return replace(visualisation, about={**visualisation.about, "settings": settings})


def _show(visualisation: Visualisation, written: Sequence[Path], as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal
    from probe.targets import said

    table = visualisation.table
    if as_json:
        record = {"about": visualisation.about, "files": [str(one) for one in written]}
        record |= {"table": json.loads(table.to_json(orient="records"))}
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
        return
    facts = [("weights", str(visualisation.about["weights"]))]
    ranked = table["rank"].dropna()
    if len(ranked) > 1:
        facts += [
            ("most driven", f"{int((ranked == 1).sum())} of {len(ranked)}: no other channel of the "
             "layer is driven more by the picture")
        ]  # fmt: skip
    settings = visualisation.about["settings"]
    if (steps := table["steps"]).min() < settings["steps"]:
        many = f"{steps.min()}" if steps.min() == steps.max() else f"{steps.min()} to {steps.max()}"
        facts += [("stopped early", f"after {many} of {settings['steps']} steps")]
    if visualisation.silent:
        facts += [
            (
                "silent",
                f"{len(visualisation.silent)} of {len(table)}: {', '.join(visualisation.silent)}",
            )
        ]
    facts += [("site", line) for line in dict.fromkeys(chain(*map(said, visualisation.each)))]
    facts += [("wrote", str(one)) for one in written]
    table = table.drop(columns=["silent", "steps"])
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    columns = list(table.columns)
    terminal.put(
        Text(visualisation.title, style="bold"),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        terminal.table(columns, rows, right=columns[1:]),
        Text(COLUMNS if len(ranked) else COLUMNS.split("; rank")[0]),
    )


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
