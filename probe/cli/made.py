"""What the commands that make pictures share: previews, and making them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from probe.errors import ProbeError

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def previews(place: Path, every: int) -> Iterator[Callable[[np.ndarray], None] | None]:
    """Give what writes a preview beside a picture; it is removed in the end.

    Parameters
    ----------
    place : Path
        Of the picture.
    every : int
        In how many steps; of 0, there is none.
    """
    shown = place.with_name(f"{place.stem}-preview.png")

    def show(pixels: np.ndarray) -> None:
        from probe import images
        from probe.result.picture import write

        write(shown, images.png(pixels, {}))

    try:
        yield show if every else None
    finally:
        if every:
            shown.unlink(missing_ok=True)


def given_anew(context: typer.Context, wanted: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Give those of some settings that stand on the command line.

    Parameters
    ----------
    context : typer.Context
    wanted : mapping
        All of them.
    **names : str
        What the command calls a setting, where it has another name.
    """
    return {
        setting: value
        for setting, value in wanted.items()
        if (source := context.get_parameter_source(names.get(setting, setting)))
        and source.name == "COMMANDLINE"
    }


def how_made(path: Path, command: str) -> dict[str, Any]:
    """Read how a picture was made.

    Raises
    ------
    ProbeError
        If it does not say so, or another command made it.
    """
    from probe import images

    about = images.about(path)
    if about.get("made") != command:
        raise ProbeError(f"{str(path)!r} is no picture that was made by `probe {command}`")
    return about


def check_weights(
    path: Path, about: Mapping[str, Any], settings: Mapping[str, Any], **more: Any
) -> None:
    """Check that a network has the weights with which a picture was made.

    Parameters
    ----------
    path : Path
        The picture.
    about : mapping
        How it was made.
    settings : mapping
        With ``model``, ``weights`` and ``seed``.
    **more
        As for `probe.models.load`.
    """
    from probe import models

    network = models.load(settings["model"], settings["weights"], seed=settings["seed"], **more)
    if network.weights.sha256 != about["weights_sha256"]:
        raise ProbeError(
            f"{str(path)!r} was made with other weights of {settings['model']!r} "
            f"({about['weights']}) than those that are here ({network.weights.source})"
        )


def source(name: str, sha256: str, path: Path, sha256_of: Callable[[Path], str]) -> Path:
    """Find a picture from which another was made, by its name and content: here, or beside that.

    Raises
    ------
    ProbeError
        If it is not there, or is not the same.
    """
    for place in (Path(name), path.parent / name):
        if place.is_file() and sha256_of(place) == sha256:
            return place
    raise ProbeError(
        f"{str(path)!r} was made from {name!r}, which is neither here nor beside it with the "
        "same content: give it by its path"
    )
