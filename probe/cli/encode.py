"""``probe encode``: predict recorded sites from the layers of networks, and keep the sites."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probe.cli import complete, options

if TYPE_CHECKING:
    from probe.encoding import Encoding, EncodingOverTime, Encodings


def encode(
    model: options.Models,
    dataset: options.Datasets,
    layers: options.Layers = "default",
    readout: Annotated[
        str,
        typer.Option(
            help="field: a Gaussian receptive field per site over the layer's positions, then a "
            "weight per channel; flat: the mean over positions; full: a weight for every unit.",
            autocompletion=complete.readouts,
        ),
    ] = "field",
    method: Annotated[
        str,
        typer.Option(
            help="ridge: each layer alone; banded: also all --layers together, each with a penalty "
            "of its own, to see what each adds; pls: partial least squares on all units.",
            autocompletion=complete.encoding_methods,
        ),
    ] = "ridge",
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Exactly as Brain-Score does it, to compare numbers: brainscore-pls, "
            "brainscore-ridgecv.",
            show_default=False,
            autocompletion=complete.protocols,
        ),
    ] = None,
    n_components: Annotated[int, typer.Option("--components", min=1, help="Of pls, at most.")] = 25,
    splits: Annotated[
        int, typer.Option("--folds", min=2, help="Parts of the stimuli, each held out once.")
    ] = 10,
    groups: Annotated[
        str | None,
        typer.Option(
            help="A coordinate of the recording's stimuli: those of one value, such as variants of "
            "one picture, stay together in folds and resamples, and when penalties are chosen.",
            show_default="the recording's own, if it has one",
        ),
    ] = None,
    region: options.Region = None,
    subject: options.Subject = None,
    min_reliability: options.MinReliability = None,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = "resize",
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Fit also the pixels, Gabor energy, the untrained network, and shuffled "
            "responses.",
        ),
    ] = True,
    n_resamples: Annotated[
        int, typer.Option(min=0, help="Bootstrap samples of the stimuli, for intervals and tests.")
    ] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, help="Of folds, permutations, resamples, and random weights.")
    ] = 0,
    time: options.Time = None,
    step: options.Step = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    cluster: options.Cluster = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="results/encode-MODEL-DATASET"),
    ] = None,
    as_json: options.AsJson = False,
    accept_licence: options.AcceptLicence = False,
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

    The sites are kept, and are targets from then on: their number follows the recording's name,
    and the window of --time, as in site:./session@70-170ms:12.

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
    from probe import encoding
    from probe.output.files import default_folder, place_for
    from probe.recordings.several import several

    other_weights = None if weights == "imagenet" else weights
    place = output or default_folder(
        several(model) or model, several(dataset) or dataset, region, subject, other_weights,
        protocol or (method if method != "ridge" else None),
        f"reliability{min_reliability:g}" if min_reliability is not None else None,
        time, step and f"step-{step}", verb="encode",
    )  # fmt: skip
    with place_for(place) as folder:
        replaced = any((folder / name).exists() for name in ("encoding.json", "map.json"))
        fitted = encoding.encode(
            model, dataset, layers=layers, readout=readout, method=method, protocol=protocol,
            n_components=n_components, splits=splits, groups=groups, region=region,
            subject=subject, min_reliability=min_reliability, weights=weights,
            preprocessing=preprocessing, baselines=baselines, n_resamples=n_resamples, seed=seed,
            device=device, batch_size=batch_size, cluster=cluster, accept_licence=accept_licence,
            time=time, step=step, output=folder,
        )  # fmt: skip
    verb = "replaced" if replaced else "wrote"
    if as_json:
        typer.echo(fitted.to_json())
    elif isinstance(fitted, encoding.EncodingOverTime):
        _put(fitted, [f"{verb} {folder / name}" for name in fitted.FILES], folds="layer")
    elif isinstance(fitted, encoding.Encodings):
        files = [f"{verb} {folder / name}" for name in (*fitted.FILES, *fitted.folders)]
        _put(fitted, files, folds="best layer")
    else:
        files = [f"{verb} {folder / name}" for name in fitted.files]
        files.append(f"site:{fitted.dataset}:0 to site:{fitted.dataset}:{len(fitted) - 1} are kept")
        _put(fitted, files, folds="layer")


def _put(fitted: Encoding | Encodings | EncodingOverTime, files: list[str], **layout: Any) -> None:
    from rich.text import Text

    from probe.cli import show

    summary = fitted.summary()
    left = ("layer", "alias", "model", "recording", "region", "best layer")
    show.put(
        Text(fitted.title, style="bold"),
        "",
        show.table(
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
