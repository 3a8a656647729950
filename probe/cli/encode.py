"""``probe encode``: predict recorded sites from the layers of networks, and keep the sites."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options
from probe.cli.settings import with_settings
from probe.encoding.settings import EncodeSettings

if TYPE_CHECKING:
    from probe.encoding import Encoding, EncodingOverTime, Encodings


@with_settings(
    EncodeSettings,
    progress=None,
    layers={"flags": ("--layers", "-l"), "autocompletion": complete.layer_words},
    n_components={"flags": ("--components",)},
    splits={"flags": ("--folds",)},
    region={"autocompletion": complete.regions},
    weights={"autocompletion": complete.weights},
    preprocessing={"autocompletion": complete.preprocessing},
    time={"metavar": "FROM,TO"},
    step={"metavar": "LENGTH"},
)
def encode(
    model: options.Models,
    dataset: options.Datasets,
    settings: EncodeSettings,
    cluster: options.Cluster = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the result.",
            show_default="results/encode-MODEL-DATASET",
        ),
    ] = None,
    formats: options.Formats = "",
    report: options.Report = False,
    as_json: options.AsJson = False,
) -> None:
    """Predict recorded sites from the layers of networks, and keep the sites as targets.

    Each site's receptive field, penalty and layer are chosen by leaving out one stimulus, or one of
    --groups, inside the training stimuli; scores are of stimuli that were held out. Prints a line
    per layer, with intervals, the noise ceiling and baselines, and writes table.csv, sites.csv,
    pairs.csv (tests between layers), figure.png, sites.png, sites.npz and encoding.json.

    With --method banded, two or more layers are fitted together, too: R² of held-out responses is
    divided among them (bands.csv, bands.png), and a site is read from all of them. Name few layers:
    the time grows with them.

    With --time and --step, the sites of a recording with a time axis are fitted at every step: a
    line per layer, with the latency of its peak, and how far a fit carries to other times. No sites
    are kept.

    The sites are kept, and can be targets from then on: a site's number follows the name of the
    recording, as in site:v4:12, with the --region, --subject and --time that were chosen, as in
    site:./session@IT@70-170ms:12.

    \b
    Examples:
      probe encode --model alexnet --dataset v4
      probe encode -m alexnet -d v4 --layers conv3,conv4 --readout full
      probe encode -m alexnet,vgg16 -d v4,./mylab --method pls
      probe encode -m alexnet -d v4 --layers relu2,relu3 --method banded
      probe encode -m alexnet -d v4 --layers relu3 --protocol brainscore-pls
      probe encode -m alexnet -d ./session --time 0,300ms --step 10ms

    \b
    Then:
      probe saliency photo.jpg --target site:v4:12
      probe visualize site:v4:12
      probe dream photo.jpg --target site:v4:12
    """  # noqa: D301
    settings = settings.checked()  # before PyTorch is imported
    from probe.output.vectors import read_formats

    kinds = read_formats(formats)
    from probe import encoding
    from probe.cli.outputs import write_besides, wrote
    from probe.output.files import default_folder, place_for
    from probe.recordings.several import several

    said: dict[str, Any] = settings.to_about()
    method, least = said["protocol"] or said["method"], said["min_reliability"]
    path = output or default_folder(
        several(model) or model, several(dataset) or dataset, said["region"], said["subject"],
        None if said["weights"] == "imagenet" else said["weights"],
        None if method == "ridge" else method,
        None if least is None else f"reliability{least:g}",
        said["time"], said["step"] and f"step-{said['step']}", verb="encode",
    )  # fmt: skip
    with place_for(path) as folder:
        replaced = any((folder / name).exists() for name in ("encoding.json", "map.json"))
        fitted = encoding.encode(model, dataset, **said, cluster=cluster, output=folder)
        besides = write_besides(fitted, folder, kinds, report=report)
    verb = "replaced" if replaced else "wrote"
    also = wrote(besides)
    if as_json:
        typer.echo(fitted.to_json())
    elif isinstance(fitted, encoding.EncodingOverTime):
        files = [*(f"{verb} {folder / name}" for name in fitted.FILES), *also]
        _put(fitted, files, folds="layer")
    elif isinstance(fitted, encoding.Encodings):
        files = [f"{verb} {folder / name}" for name in (*fitted.FILES, *fitted.folders)]
        files += also
        _put(fitted, files, folds="best layer")
    else:
        files = [f"{verb} {folder / name}" for name in fitted.files]
        files += also
        files.append(f"site:{fitted.dataset}:0 to site:{fitted.dataset}:{len(fitted) - 1} are kept")
        _put(fitted, files, folds="layer")


def _put(fitted: Encoding | Encodings | EncodingOverTime, files: list[str], **layout: Any) -> None:
    from rich.text import Text

    from probe.cli import terminal

    summary = fitted.summary()
    left = ("layer", "alias", "model", "recording", "region", "best layer")
    terminal.put(
        Text(fitted.title, style="bold"),
        "",
        terminal.table(
            list(summary.columns),
            summary.to_numpy().tolist(),
            right=[c for c in summary.columns if c not in left],
            **layout,
        ),
        "",
        *(Text(note) for note in fitted.notes()),
        "",
        *(Text(line, style="dim") for line in files),
    )
