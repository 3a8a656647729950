"""Options that several commands take, written once."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from probe.cli import complete
from probe.errors import ProbeError
from probe.settings import Settings, option_of

MODEL = (
    "A model of `probe models`, timm:NAME, file:PATH, or a published V4 neuron, "
    "v4-compact:SESSION-NEURON"
)
"""What every command says of models, without the full stop."""

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help=f"{MODEL}.",
        autocompletion=complete.models,
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
        help="Region, where a recording has several; several, separated by commas, or all.",
        show_default="the recording's first",
        autocompletion=complete.regions,
    ),
]
Subject = Annotated[str | None, typer.Option(help="One animal or person; by default all.")]
MinReliability = Annotated[
    float | None,
    typer.Option(
        help="Only neuroids that are at least as reliable, from 0 to 1 (see `probe reliability`): "
        "chosen on half of the repetitions, and scored on the others.",
        show_default="all neuroids",
    ),
]
Layers = Annotated[
    str,
    typer.Option(
        help="Layer paths or aliases, separated by commas (features.6,conv4), or default, all, "
        "conv, relu, pool, linear, block. probe layers MODEL lists them.",
        autocompletion=complete.layer_words,
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="imagenet, random, or the path of a checkpoint; of several sets of weights in it, "
        "PATH#PART takes one, such as dino.pth#teacher.",
        autocompletion=complete.weights,
    ),
]
Preprocessing = Annotated[
    str,
    typer.Option(
        help="resize: the whole picture, as the animal saw it; torchvision: as the weights "
        "were trained, with a crop.",
        autocompletion=complete.preprocessing,
    ),
]
Comparator = Annotated[
    str,
    typer.Option(
        help="Between RDMs: spearman, rho-a, pearson, cosine, tau-a, tau-b, whitened-cosine, "
        "whitened-pearson, bures; auto is spearman, or rho-a where an RDM of a model has ties.",
        autocompletion=complete.comparators,
    ),
]
Resample = Annotated[
    str,
    typer.Option(
        help="What intervals and tests generalise to: other stimuli, other subjects, both, or "
        "none.",
        autocompletion=complete.resamples,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="FROM,TO",
        help="Of recordings with a time axis: time after stimulus onset, as in 70,170ms; the end "
        "is not included.",
        show_default=False,
    ),
]
Step = Annotated[
    str | None,
    typer.Option(
        metavar="LENGTH",
        help="Divide --time into steps, as in 10ms, and compare, or fit, at each.",
        show_default=False,
    ),
]
NResamples = Annotated[int, typer.Option(min=2, help="Bootstrap samples, and permutations.")]
Test = Annotated[
    str,
    typer.Option(
        help="permutation (of stimulus labels, against zero), t, bootstrap, sign-flip (with "
        "--resample subjects); auto is permutation.",
        autocompletion=complete.tests,
    ),
]
Correction = Annotated[
    str,
    typer.Option(
        help="Which p is shown: fdr, holm, none. The tables have all.",
        autocompletion=complete.corrections,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Images per forward pass; halved when memory runs out.",
        show_default="what suits network and device",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="auto, float32, bfloat16; auto is bfloat16 where the processor computes it, which is "
        "several times faster.",
        autocompletion=complete.precisions,
    ),
]
Preview = Annotated[
    int,
    typer.Option(
        min=0,
        help="On every so manieth step, write OUTPUT-preview.png; it is removed when all is made. "
        "0: never.",
    ),
]
KeepProfile = Annotated[
    bool, typer.Option("--keep-profile", help="Write the picture in its own colour profile.")
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of .jpg and .webp files.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Compute on several processes or machines with Dask: local:4 (so many processes "
        "here), tcp://HOST:PORT (a scheduler that runs), slurm:10 (so many jobs of a queue).",
        show_default="this process",
        autocompletion=complete.clusters,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="Accept a recording's restricted licence.")
]


def of(settings: type[Settings], name: str, *flags: str, **more: Any) -> Any:
    """Return the option of a command that stands for an option of a settings class.

    Parameters
    ----------
    settings : type of Settings
    name : str
        Of the field, whose help text and default it has, and whose choices are completed.
    *flags : str
        How it is written, where it is not ``--NAME``.
    **more
        For `typer.Option`, such as ``autocompletion``.
    """
    known = option_of(settings, name)
    default = getattr(settings, name)
    more.setdefault("show_default", known.unset or (default is not None))
    if known.choices:
        more.setdefault("autocompletion", lambda incomplete: _beginning(incomplete, known.choices))
    return typer.Option(*flags, help=known.help, **more)


def spread(
    settings: type[Settings], *, without: Collection[str] = (), **written: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator by which a command has an option for every field of a settings class.

    In the command, one parameter of that class stands for them all; it is handed the settings,
    checked.

    Parameters
    ----------
    settings : type of Settings
    without : collection of str
        Fields that are no options of the command; they have their defaults.
    **written
        By field: what `of` returns, for options with other flags or a completion of their own.
    """
    hints = get_type_hints(settings)
    names = [f.name for f in fields(settings) if f.name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        (for_all,) = (p for p in signature.parameters.values() if p.annotation is settings)
        parameters = []
        for parameter in signature.parameters.values():
            if parameter is not for_all:
                parameters.append(parameter)
                continue
            for name in names:
                kind = _written_type(hints[name], getattr(settings, name))
                flags = (f"--{name.replace('_', '-')}",) if kind is bool else ()  # and no --no-…
                info = written.get(name) or of(settings, name, *flags)
                parameters.append(
                    parameter.replace(
                        name=name, default=getattr(settings, name), annotation=Annotated[kind, info]
                    )
                )

        @functools.wraps(command)
        def run(**values: Any) -> None:
            of_settings = {name: values.pop(name) for name in names}
            command(**values, **{for_all.name: settings.of(of_settings).checked()})

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _written_type(hint: Any, default: Any) -> Any:
    """Return the type that an option is read as: numbers and flags, and text for all else."""
    if hint in (bool, int, float, int | None, float | None):
        return hint
    if isinstance(default, bool | int | float):
        return type(default)
    return str if isinstance(default, str) else str | None


def _completion(words: Collection[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help=f"{MODEL}; or with --model.",
        autocompletion=complete.models,
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="The network, where it is not the first argument.",
        autocompletion=complete.models,
        show_default=False,
    ),
]


def one_model(argument: str | None, option: str | None) -> str:
    """Return the network that is named, as the first argument or with ``--model``.

    Raises
    ------
    ProbeError
        If there is none, or there are two.
    """
    if argument is not None and option is not None:
        raise ProbeError(f"model {argument!r} and --model {option!r}: expected one of the two")
    name = option if argument is None else argument
    if name is None:
        raise ProbeError(
            "no model: expected its name as the first argument, or with --model (see "
            "`probe models`)"
        )
    return name


def numbers(text: str) -> list[int]:
    """Read numbers and ranges, such as 12,84 or 0-31."""
    found: list[int] = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", word)
        if match is None:
            raise ProbeError(f"channels {text!r} are no numbers with commas, such as 12,84 or 0-31")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))


def sides(text: str) -> int | tuple[int, int]:
    """Read the size of a picture: one number for a square, or width and height, as 256x128."""
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    if match is None:
        raise ProbeError(f"size {text!r} is no number of pixels, nor two, such as 256x128")
    return int(match[1]) if match[2] is None else (int(match[1]), int(match[2]))
