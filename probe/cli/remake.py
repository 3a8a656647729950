"""Making a picture again: how it was made, with which weights, and from which files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.models import Network


def given_anew(context: typer.Context, values: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return those of some settings that stand on the command line.

    Parameters
    ----------
    context : typer.Context
    values : mapping
        All of them.
    **names : str
        What the command calls a setting, where it has another name.
    """
    return {
        setting: value
        for setting, value in values.items()
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
        raise ProbeError(f"{str(path)!r} is not a picture made by `probe {command}`")
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
    _check_same(path, about, network)


def network_of_site(path: Path, about: Mapping[str, Any], target: str) -> Network:
    """Load the network that a picture's site was fitted with; random weights by their seed.

    Parameters
    ----------
    path : Path
        The picture.
    about : mapping
        How it was made.
    target : str
        With a site.

    Raises
    ------
    ProbeError
        If no fit with these weights is kept, the weights cannot be had any more, or the site has
        been fitted otherwise since.
    """
    from probe import models, targets
    from probe.encoding.kept import model_of

    model, weights, preprocessing, seed = model_of(target, about)
    network = models.load(model, weights, seed=seed, preprocessing=preprocessing)
    _check_same(path, about, network)
    if _fits(targets.parse(target, network).facts) != _fits(about["site"]):
        raise ProbeError(
            f"{str(path)!r} was made of {target}, which was fitted anew since, in another way: fit "
            "it again with the options of that time"
        )
    return network


def _fits(facts: Mapping[str, Any]) -> list[str]:
    """Return the hashes of the fitted weights of a site, or of each in a sum."""
    if "weights_sha256" in facts:
        return [facts["weights_sha256"]]
    return [fit for term in facts.values() for fit in _fits(term)]


def _check_same(path: Path, about: Mapping[str, Any], network: Network) -> None:
    if network.weights.sha256 != about["weights_sha256"]:
        raise ProbeError(
            f"{str(path)!r} was made with other weights of {network.name!r} "
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

    def sha256_of(file: Path) -> str:
        if film:
            return hashlib.sha256(file.read_bytes()).hexdigest()
        return images.sha256_of(images.open_picture(file))

    for file in (Path(name), path.parent / name):
        if file.is_file() and sha256_of(file) == sha256:
            return file
    raise ProbeError(
        f"{str(path)!r} was made from {name!r}, which is neither here nor beside it with the "
        "same content: give it by its path"
    )


def is_there(path: Path, about: Mapping[str, Any]) -> bool:
    """Return whether this very picture has been written."""
    from probe import images

    try:
        written = images.about(path)
    except ProbeError:
        return False
    expected: dict[str, Any] = json.loads(json.dumps(about))
    for record in (written, expected):  # they decide the last digits alone
        settings = record.get("settings", {}).items()
        record["settings"] = {k: v for k, v in settings if k != "threads"}
    return written == expected
