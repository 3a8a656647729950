"""What the commands that make pictures share: where they go, previews, making them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from probe.errors import ProbeError

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def previews(
    place: Path, every: int, read: Sequence[Path | None] = ()
) -> Iterator[Callable[[np.ndarray], None] | None]:
    """Give what writes a preview beside a picture; it is removed when that is made.

    It stays if making it fails, or is interrupted.

    Parameters
    ----------
    place : Path
        Of the picture.
    every : int
        In how many steps; of 0, there is none.
    read : sequence of Path or None
        What must not be written over.

    Raises
    ------
    ProbeError
        If the preview would.
    """
    shown = place.with_name(f"{place.stem}-preview.png")
    if every:
        check_apart(shown, read)

    def show(pixels: np.ndarray) -> None:
        from probe import images
        from probe.output.pictures import write

        write(shown, images.png(pixels, {}))

    yield show if every else None
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


def how_made(path: Path, command: str, *others: str) -> dict[str, Any]:
    """Read how a picture was made.

    Parameters
    ----------
    path : Path
    command : str
        Which made it.
    *others : str
        What else it may have made, besides what is called as it is.

    Raises
    ------
    ProbeError
        If it does not say so, or another command made it.
    """
    from probe import images

    about = images.about(path)
    if about.get("made") not in (command, *others):
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


def source(name: str, sha256: str, path: Path, *, film: bool = False) -> Path:
    """Find what a picture was made from, by its name and content: here, or beside that.

    Parameters
    ----------
    name, sha256 : str
        Of the file; of a picture, that of `probe.images.sha256_of`.
    path : Path
        What was made from it.
    film : bool
        Whether it is a film.

    Raises
    ------
    ProbeError
        If it is not there, or is not the same.
    """
    from probe import images

    def content(place: Path) -> str:
        if film:
            return hashlib.sha256(place.read_bytes()).hexdigest()
        return images.sha256_of(images.open_picture(place))

    for place in (Path(name), path.parent / name):
        if place.is_file() and content(place) == sha256:
            return place
    raise ProbeError(
        f"{str(path)!r} was made from {name!r}, which is neither here nor beside it with the "
        "same content: give it by its path"
    )


def is_film(file: Path | None, output: Path | None) -> bool:
    """Tell whether a file is a film; an animation is one if one is to be made of it."""
    from probe import images

    kind = "" if file is None else file.suffix.lower()
    if file is None or kind not in images.ANIMATED or kind in images.MOVIES:
        return kind in images.MOVIES
    if output is None or output.suffix.lower() not in images.ANIMATED:
        return False
    try:
        return images.read_movie(file).n_frames > 1
    except ProbeError:
        return False


def places(names: Sequence[str], output: Path | None, read: Sequence[Path | None]) -> list[Path]:
    """Say where pictures are going to be written, and check that they can be.

    Parameters
    ----------
    names : sequence of str
        How each is called, if it is not said.
    output : Path, optional
        A file, for a single picture, or a folder.
    read : sequence of Path or None
        What must not be written over.

    Raises
    ------
    ProbeError
        If one cannot be written, or would replace another.
    """
    from probe import images

    folder = output is not None and (output.is_dir() or not output.suffix)
    if len(names) > 1 and output is not None and not folder:
        raise ProbeError(f"{str(output)!r} is one file, for {len(names)} pictures: name a folder")
    if output is not None and not folder:
        found = [output]
    else:
        found = [(output or Path()) / name for name in names]
    for k, place in enumerate(found):
        images.check_kind(place)
        if place in found[:k]:
            raise ProbeError(f"two of the pictures would be written to {str(place)!r}: rename one")
        check_apart(place, read)
    return found


def check_apart(place: Path, read: Sequence[Path | None]) -> None:
    """Check that what is going to be written can be, and is none of what is read.

    Raises
    ------
    ProbeError
        If not.
    """
    if place.resolve() in [path.resolve() for path in read if path is not None]:
        raise ProbeError(f"{str(place)!r} is one of the pictures: choose another --output")
    nearest = next(folder for folder in place.resolve().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "no permission" if nearest.is_dir() else "not a folder"
        raise ProbeError(f"{str(place)!r} cannot be written ({why}: {str(nearest)!r})")


def is_there(place: Path, about: Mapping[str, Any]) -> bool:
    """Tell whether this very picture has been written."""
    from probe import images

    try:
        written = images.about(place)
    except ProbeError:
        return False
    wanted: dict[str, Any] = json.loads(json.dumps(about))
    for one in (written, wanted):  # they decide the last digits alone
        one["settings"] = {k: v for k, v in one.get("settings", {}).items() if k != "threads"}
    return written == wanted
