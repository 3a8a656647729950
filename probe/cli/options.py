"""Options that several commands take, written once."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from probe.cli import complete
from probe.comparison.settings import RSASettings
from probe.errors import ProbeError
from probe.models.settings import MODEL
from probe.settings import Settings, option_of


def of(settings: type[Settings], name: str, *flags: str, **more: Any) -> Any:
    """Return the option of a command that stands for an option of a settings class.

    Its choices, if it has any, are completed.

    Parameters
    ----------
    settings : type of Settings
    name : str
        Of the field, whose help text and default it has.
    *flags : str
        How it is written, where it is not ``--NAME``.
    **more
        For `typer.Option`, such as ``autocompletion``.
    """
    option = option_of(settings, name)
    default = getattr(settings, name)
    more.setdefault("show_default", option.unset or (default is not None))
    if option.choices:
        more.setdefault("autocompletion", complete.one_of(option.choices))
    return typer.Option(*flags, help=option.help, **more)


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=f"{MODEL}.",
        autocompletion=complete.models,
    ),
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"{MODEL}.",
        autocompletion=complete.models,
        show_default=False,
    ),
]
Models = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=f"{MODEL}; several, separated by commas.",
        autocompletion=complete.several_models,
    ),
]
Datasets = Annotated[
    str,
    typer.Option(
        "--dataset",
        "-d",
        help="A recording (see `probe datasets`): v4, it, evc, v4:201025, simulated: sim-v4, "
        "sim-v1, sim-v4-compact, or the path of a folder with responses.npy and images/; several, "
        "separated by commas.",
        autocompletion=complete.datasets,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        "-d",
        help="A recording (see `probe datasets`), or the path of a folder with responses.npy and "
        "images/.",
        autocompletion=complete.datasets,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        help="Region of the recording; several, separated by commas; or all, for each of them.",
        show_default="the recording's first; of a folder with several, none",
        autocompletion=complete.regions,
    ),
]
Subject = Annotated[
    str | None, typer.Option(help="Use only this animal or person.", show_default="all")
]
MinReliability = Annotated[float | None, of(RSASettings, "min_reliability")]
Correction = Annotated[
    str,
    typer.Option(
        help="Correction of the p-values that are shown: fdr, holm or none. The tables have all "
        "three.",
        autocompletion=complete.corrections,
    ),
]
Preview = Annotated[
    int,
    typer.Option(
        min=0,
        help="Write OUTPUT-preview.png each time this number of steps is done; it is removed at "
        "the end. 0 writes none.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Compute on several processes or machines with Dask: local:4 (4 processes on this "
        "machine), tcp://HOST:PORT (a running scheduler), slurm:10 (10 jobs of a queue).",
        show_default="this process",
        autocompletion=complete.clusters,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]
Report = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Also write one page that stands by itself, with figures, tables, a methods section "
        "and references: report.html in the folder, or beside the picture, .html (see `probe "
        "report`).",
    ),
]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="Write figures as vectors, too: pdf, svg, or pdf,svg.",
        show_default="png alone",
        autocompletion=complete.one_of(("pdf", "svg", "pdf,svg")),
    ),
]
AcceptLicence = Annotated[bool, of(RSASettings, "accept_licence", "--accept-licence")]


def numbers(text: str) -> list[int]:
    """Read numbers and ranges, such as 12,84 or 0-31."""
    channels: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", word)
        if match is None:
            raise ProbeError(
                f"channels {text!r}: expected numbers with commas, such as 12,84 or 0-31"
            )
        channels += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(channels))


def sides(text: str) -> int | tuple[int, int]:
    """Read the size of a picture: one number for a square, or width and height, as 256x128."""
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    if match is None:
        raise ProbeError(f"size {text!r}: expected a number of pixels, or two, such as 256x128")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))
