"""``probe visualize``: what a class, a channel or a unit looks for."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options, outputs, remake
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.synthesis.visualisation import Visualisation
    from probe.synthesis.visualise import Plan

PATCHES = 4
"""Of photographs, beside each picture."""


def visualize(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help=f"{options.MODEL}.",
            autocompletion=complete.models,
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Argument(
            help="What the pictures are to drive, one or several: a channel (features.10:84, "
            "conv5:84), all channels of a layer (features.10), a unit by channel, row and column "
            "(features.10:84,6,6), a class by name or number (tabby, 281), a recorded site "
            "(site:v4:12) that `probe encode` fitted, or a sum ('tabby - 0.5*tiger cat').",
            show_default="the only output, such as a V4 neuron's response",
            autocompletion=complete.targets,
        ),
    ] = None,
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
    channels: Annotated[
        str | None,
        typer.Option(
            help="Which, of a layer, separated by commas: 12,84 or 0-31.", show_default="all"
        ),
    ] = None,
    interpolate: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="So many pictures from one channel to another of the same layer (or class).",
            show_default=False,
        ),
    ] = None,
    diverse: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="So many pictures of one target, as different as they can be.",
            show_default=False,
        ),
    ] = None,
    parameterisation: Annotated[
        str,
        typer.Option(
            help="What pictures are made of: fourier, laplacian (a pyramid), pixels, maco (phases "
            "with a photograph's amplitudes).",
            autocompletion=complete.parameterisations,
        ),
    ] = "fourier",
    size: Annotated[
        str | None,
        typer.Option(
            help="Of the pictures, in pixels: 256, or width and height, 256x128.",
            show_default="what the network was made for",
        ),
    ] = None,
    transparent: Annotated[
        bool,
        typer.Option(
            "--transparent", help="Make pictures that are opaque only where it counts (fourier)."
        ),
    ] = False,
    tileable: Annotated[
        bool, typer.Option("--tileable", help="Make borders that fit, for a pattern without seams.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Of the optimiser, at most.")] = 128,
    tolerance: Annotated[
        float,
        typer.Option(help="Stop early when 32 steps gain less than this share of the activation."),
    ] = 0.0,
    lr: Annotated[
        float | None,
        typer.Option(
            help="How far the optimiser goes in a step.", show_default="that of --parameterisation"
        ),
    ] = None,
    patches: Annotated[
        str | None,
        typer.Option(
            help="Show the parts of these photographs that drive the channel most beside its "
            "picture: a folder, a pattern in quotes, a table, or a zip archive.",
            show_default=False,
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Of sites: the network that judges the picture; of another architecture, and "
            "fitted to the other half of the stimuli.",
            show_default="squeezenet1_1, mobilenet_v2 or vgg16",
            autocompletion=complete.models,
        ),
    ] = None,
    together_with: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Of sites: more networks, separated by commas: the mean of their predictions "
            "grows; or none.",
            show_default="squeezenet1_1 or alexnet, whichever does not judge",
            autocompletion=complete.several_models,
        ),
    ] = None,
    photographs: Annotated[
        str | None,
        typer.Option(
            help="Of sites: pictures of which the best is shown beside: a folder, a pattern in "
            "quotes, a table, or a zip archive.",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        bool,
        typer.Option("--mask/--no-mask", help="Of sites: show grey where the site does not look."),
    ] = True,
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check",
            help="Of sites: keep to the contrast of the stimuli, and have another network judge.",
        ),
    ] = True,
    preview: options.Preview = 0,
    repeat: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Make this picture again, which `probe visualize` made, or with other options if "
            "some are given.",
            show_default=False,
        ),
    ] = None,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    seed: Annotated[
        int, typer.Option(min=0, help="Of random weights, the noise, and the transforms.")
    ] = 0,
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Make pictures that drive a channel, a unit or a class: what it looks for.

    The network and its weights are left as they are. What made a picture stands in its metadata,
    and --from makes it again. What nothing drives is reported, and crossed out on a sheet. An
    interrupted command goes on when it is given again.

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
    wanted: dict[str, Any] = {
        "model": model,
        "target": target or None,
        "channels": None if channels is None else options.numbers(channels),
        "interpolate": interpolate,
        "diverse": diverse,
        "parameterisation": parameterisation,
        "size": None if size is None else options.sides(size),
        "transparent": transparent,
        "tileable": tileable,
        "steps": steps,
        "tolerance": tolerance,
        "lr": lr,
        "weights": weights,
        "preprocessing": preprocessing,
        "seed": seed,
        "precision": precision,
        "batch_size": batch_size,
        "device": device,
    }
    if model is not None and model.startswith("site:"):  # a site knows its network
        wanted |= {"model": None, "target": [model, *(target or [])]}
    sites = [word for word in wanted["target"] or [] if word.startswith("site:")]
    if sites and repeat is None and check:
        plain = {"channels": channels, "interpolate": interpolate, "size": size,
                 "transparent": transparent, "tileable": tileable, "patches": patches}  # fmt: skip
        if any(plain.values()) or len(sites) < len(wanted["target"]):
            asked = next((k for k, v in plain.items() if v), "another target")
            raise ProbeError(
                f"a superstimulus of a site goes with sites alone, and not with {asked}: leave it "
                "out, or add --no-check for a plain picture without a budget and a judge"
            )
        _superstimulus(
            sites, wanted, output, judge=judge, together_with=together_with,
            photographs=photographs, masked=mask, given=remake.given_anew(context, wanted),
            as_json=as_json,
        )  # fmt: skip
        return
    if sites and wanted["model"] is None:
        from probe.encoding.kept import model_of

        model, weights, preprocessing, seed_of_weights = model_of(sites[0])
        wanted |= {"model": model, "weights": weights, "preprocessing": preprocessing}
        wanted["seed"] = seed_of_weights if weights == "random" else seed
    picture = None
    if repeat is not None:
        given = remake.given_anew(context, {**wanted, "patches": patches})
        settings, picture = _repeated(repeat, given)
        patches = settings.pop("patches", None)
        wanted |= settings
    if not wanted["model"]:
        raise ProbeError(
            "name a model and what to visualize, such as: probe visualize alexnet conv5:84"
        )

    from probe.output.files import plain_name
    from probe.synthesis.visualisation import check_place
    from probe.synthesis.visualise import prepare

    words = [wanted["target"]] if isinstance(wanted["target"], str) else wanted["target"] or []
    name = plain_name("visualize", wanted["model"], *words, channels)
    place = output or Path(f"{name}.png" if repeat is None else f"{repeat.stem}-again.png")
    outputs.check_apart(place, [repeat])
    plan = prepare(**wanted)
    n = 2 if patches is not None else 1 if picture is not None else len(plan.each)
    check_place(place, n, transparent=plan.transparent)
    of_patches = None if patches is None else _Photographs(patches, plan)
    with outputs.previews(place, preview, [repeat]) as show:
        found = plan.run(preview=show, preview_every=preview)
    if picture is not None:
        found = found[picture]
    if of_patches is not None:
        found = of_patches.beside(found)
    written = found.save(place)
    plan.finished()
    _show(found, written, as_json)


def _superstimulus(
    sites: list[str],
    wanted: dict[str, Any],
    output: Path | None,
    *,
    judge: str | None,
    together_with: str | None,
    photographs: str | None,
    masked: bool,
    given: dict[str, Any],
    as_json: bool,
) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show
    from probe.output.files import plain_name
    from probe.synthesis.superstimulus import superstimulus

    place = output or Path(f"{plain_name('superstimulus', *sites)}.png")
    if place.suffix.lower() not in ("", ".png", ".csv"):
        raise ProbeError(
            f"{str(place)!r}: superstimuli are written as a sheet (.png), a table (.csv), or into "
            "a folder (a name without an ending)"
        )
    # Where nothing is said of these, what suits superstimuli holds.
    chosen = {name: wanted[name] for name in ("steps", "lr") if name in given}
    pictures = superstimulus(
        sites, wanted["model"], together_with=together_with, judge=judge,
        diverse=wanted["diverse"] or 1, photographs=photographs, masked=masked,
        seed=wanted["seed"], precision=wanted["precision"],
        device=wanted["device"], **chosen,
    )  # fmt: skip
    written = pictures.save(place)
    if as_json:
        record = {"about": pictures.about, "files": [str(written)]}
        record |= {"table": json.loads(pictures.table.to_json(orient="records"))}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
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
        ("wrote", str(written)),
    ]  # fmt: skip
    show.put(
        Text(pictures.title, style="bold"),
        Padding(show.facts(facts), (0, 0, 1, 2)),
        show.table(columns, rows, right=columns[3:], folds="name"),
        "",
        *(Text(note) for note in pictures.notes()),
    )


def _repeated(path: Path, given: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Read how a picture was made: the settings, with what is given anew, and which it was."""
    about = remake.how_made(path, "visualize")
    # What is given anew decides for itself how many pictures go through together.
    settings = {**about["settings"], **({"batch_size": None} if given else {}), **given}
    if "parameterisation" in given and "lr" not in given:
        settings["lr"] = None  # each has its own
    of = ("model", "weights", "preprocessing")
    if not set(given) & {*of, "seed"}:
        preprocessing = settings["preprocessing"]
        remake.check_weights(path, about, settings, preprocessing=preprocessing)
    alone = "picture" in about and not set(given) & {"target", "channels"}
    if alone and "patches" not in given:
        settings.pop("patches", None)  # they are on sheets alone
    return settings, about["picture"] if alone else None


class _Photographs:
    """Where patches are looked for; that there are some is known before pictures are made."""

    def __init__(self, patches: str, plan: Plan) -> None:
        from probe.stimuli import image_set
        from probe.targets import Channel

        self.name, self.plan = patches, plan
        if not any(isinstance(target, Channel) for target in plan.each):
            raise ProbeError("--patches goes with channels, such as features.10:84")
        self.stimuli = image_set(patches)

    def beside(self, found: Visualisation) -> Visualisation:
        """Find patches for the pictures of channels, layer by layer."""
        from probe import features
        from probe.targets import Channel

        channels: dict[str, dict[int, None]] = {}
        for target in found.each:
            if isinstance(target, Channel):
                channels.setdefault(target.layer, {})[target.channel] = None
        for layer, numbers in channels.items():
            top = features.top_patches(
                self.plan.network, self.stimuli, layer, list(numbers), PATCHES,
                device=self.plan.device,
            )  # fmt: skip
            found = found.beside(top)
        settings = {**found.about["settings"], "patches": self.name}
        return replace(found, about={**found.about, "settings": settings})


def _show(found: Visualisation, written: Path, as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import show
    from probe.targets import said

    table = found.table
    if as_json:
        record = {"about": found.about, "files": [str(written)]}
        record |= {"table": json.loads(table.to_json(orient="records"))}
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    facts = [("weights", str(found.about["weights"]))]
    ranked = table["rank"].dropna()
    if len(ranked) > 1:
        facts += [
            ("most driven", f"{int((ranked == 1).sum())} of {len(ranked)}: no other channel of the "
             "layer is driven more by the picture")
        ]  # fmt: skip
    settings = found.about["settings"]
    if (taken := table["steps"]).min() < settings["steps"]:
        many = f"{taken.min()}" if taken.min() == taken.max() else f"{taken.min()} to {taken.max()}"
        facts += [("stopped early", f"after {many} of {settings['steps']} steps")]
    if found.silent:
        facts += [("silent", f"{len(found.silent)} of {len(table)}: {', '.join(found.silent)}")]
    facts += [("site", line) for line in dict.fromkeys(chain(*map(said, found.each)))]
    facts += [("wrote", str(written))]
    shown = table.drop(columns=["silent", "steps"])
    rows = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    columns = list(shown.columns)
    show.put(
        Text(found.title, style="bold"),
        Padding(show.facts(facts), (0, 0, 1, 2)),
        show.table(columns, rows, right=columns[1:]),
    )


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
