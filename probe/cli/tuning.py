"""``probe tuning``: what units respond to, as an electrode in a visual cortex would measure it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.cli import complete, options, outputs
from probe.cli.settings import with_settings
from probe.models.settings import MODEL
from probe.tuning.settings import TuningSettings

if TYPE_CHECKING:
    from probe.tuning import Tuning


@with_settings(
    TuningSettings,
    progress=None,
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    sites={"autocompletion": complete.datasets},
    stimuli={"autocompletion": complete.stimuli},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
)
def tuning(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL}; for --sites, by default the one they were fitted with.",
            autocompletion=complete.models,
            show_default=False,
        ),
    ] = None,
    *,
    settings: TuningSettings,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .png file (figure) or a .csv file (one row per unit).",
            show_default="tuning-MODEL.png, here",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure what units respond to: orientation, spatial frequency, phase, size, contrast, form.

    Gratings are shown to every unit, and measured as in a recording: F0 is the mean response over
    phases, F1 its modulation by phase. F1/F0 above 1 is a simple cell, below 1 a complex one.
    Circular variance is 0 for a unit that responds to one orientation alone, 1 for one that
    responds to all alike; a unit is oriented if bars at right angles drive it less than half as
    well as the best. "At edge" is the share of units that prefer the lowest or the highest
    frequency shown: their peak may lie beyond. The figure shows each property, layer by layer, over
    that of neurons of macaque visual cortex as it was published, and how far apart they are: D, the
    greatest gap between the shares up to any value, from 0 to 1, beside what chance alone stays
    below.

    Frequencies and sizes are compared with those of neurons only if you say how many degrees of
    visual field a picture spans.

    \b
    Examples:
      probe tuning v1-gabor
      probe tuning alexnet --layers conv --degrees 8 -o alexnet.png
      probe tuning alexnet --stimuli size,contrast --layers conv1,conv2 -o alexnet.csv
      probe tuning vgg16 --stimuli shapes,textures --area V2

    \b
    Recorded sites, as `probe encode` fitted them; and published V4 neurons:
      probe tuning --sites v4
      probe tuning v4-compact:201025
    """  # noqa: D301
    from probe.errors import ProbeError
    from probe.output.files import plain_name
    from probe.output.pictures import place_of
    from probe.output.vectors import VECTORS, read_formats
    from probe.tuning.settings import read_stimuli

    read_stimuli(settings.stimuli, settings.positions)
    kinds = read_formats(formats)
    if model is None and settings.sites is None:
        raise ProbeError("name a network, such as: probe tuning alexnet; or sites: --sites v4")
    from probe.tuning import tuning

    name = plain_name("tuning", *filter(None, (model, settings.sites)))
    path = place_of(output or f"{name}.png", ".png", *VECTORS, ".csv")
    measured = tuning(model, **settings.to_about())
    files = [measured.save(path)]
    files += outputs.write_beside(measured, path, kinds, report=report)
    if as_json:
        record = measured.to_dict() | {"files": [str(file) for file in files]}
        typer.echo(json.dumps([record], indent=2, ensure_ascii=False))
        return
    _show(measured, files)


HEADS = {
    "units": "units",
    "responding": "respond",
    "oriented": "oriented",
    "simple": "simple",
    "preferred_frequency": "frequency",
    "at_edge": "at edge",
    "orientation_bandwidth": "half width",
    "circular_variance": "circ. var.",
    "f1_f0": "F1/F0",
    "summation_diameter": "diameter",
    "suppression_index": "suppression",
    "c50": "c50",
    "exponent": "exponent",
    "texture_modulation": "texture",
    "shape_correlation": "shape r",
    "preferred_curvature": "curvature",
}


def _show(measured: Tuning, files: list[Path]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from probe.cli import terminal

    summary = measured.summary
    columns = [name for name in HEADS if name in summary and summary[name].notna().any()]
    heads = [HEADS[name] for name in columns]
    about = measured.about
    facts = [("weights", str(about["weights"])), ("shown", ", ".join(about["stimuli"]))]
    facts.append(
        ("frequency", "cycles per picture")
        if measured.degrees is None
        else ("picture", f"{measured.degrees:g}° wide; frequency in cycles per picture")
    )
    terminal.put(
        Text(measured.title, style="bold"),
        Padding(terminal.facts(facts), (0, 0, 1, 2)),
        terminal.table(
            ["layer", "alias", *heads],
            [
                [row["layer"], row["alias"], *(_cell(name, row[name]) for name in columns)]
                for row in summary.to_dict("records")
            ],
            right=heads,
            folds="layer",
        ),
    )
    compared = measured.compare().dropna(subset=["distance"])
    if len(compared):
        wide = compared.pivot(index="property", columns="layer", values="distance")
        wide = wide.reindex(index=compared["property"].unique(), columns=summary["layer"])
        names = [row["alias"] or row["layer"] for row in summary.to_dict("records")]
        terminal.put(
            "",
            Text(f"distance to neurons of {about['area']} (0 to 1)", style="bold"),
            terminal.table(
                ["property", *names],
                [
                    [name, *("" if math.isnan(d) else f"{d:.2f}" for d in row)]
                    for name, row in zip(wide.index, wide.to_numpy(), strict=True)
                ],
                right=names,
                folds="property",
            ),
        )
    terminal.put("", *(Text(line, style="dim") for line in outputs.wrote(files)))


def _cell(column: str, value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞"
    if column in ("units", "responding"):
        return f"{int(value)}"
    if column in ("oriented", "simple", "at_edge"):
        return f"{100 * value:.0f} %"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
