"""Encodings that are kept in the cache, so that ``site:v4:12`` means something tomorrow."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probe import assets, models, recordings
from probe.encoding.opening import open_encoding
from probe.encoding.result import Encoding
from probe.encoding.sites import Identity, Site
from probe.errors import ProbeError, suggest
from probe.output.files import plain_name

if TYPE_CHECKING:
    from probe.models import Network
    from probe.recordings import Recording

PREFIX = "site:"

SUBJECT = "subject-"
"""What precedes a subject in ``site:NAME@subject-SUBJECT:NUMBER``."""

_OTHER_PART = re.compile(r"reliability[\d.e-]+|\d+-neuroids-[0-9a-f]{6}|-?[\d.e]+--?[\d.e]+ms")
"""Some neuroids, or a window of time, as names say it. A region may begin with a digit: 46."""

_TEXT = re.compile(r"site:(?P<name>.+):(?P<number>[^:]+)")


@dataclass(frozen=True)
class Fit:
    """A kept encoding, and how its sites are named.

    Attributes
    ----------
    path : Path
        As `probe.open_encoding` takes it.
    dataset : str
        As in ``site:DATASET:NUMBER``.
    recording : str
        The full name of the recording.
    region : str
    fitted_with : str
        The network, with its weights and preprocessing where they are not the usual ones.
    layers : tuple of str
        That sites were fitted with; each is read from one of them.
    model : str
        The network to name beside a site. Empty where the name alone does not say which weights
        and preprocessing are meant: then none is named, and the site brings its own.
    """

    path: Path
    dataset: str
    recording: str
    region: str
    fitted_with: str
    layers: tuple[str, ...]
    model: str


def folder() -> Path:
    """Return where encodings are kept."""
    return assets.cache_dir() / "encodings"


def keep(encoding: Encoding) -> Path | None:
    """Keep an encoding; the same fit again takes its place. Return its folder."""
    identity = encoding.identity
    facts = {k: encoding.facts[k] for k in ("region", "fit")} | {
        "recording": encoding.facts["recording"]["name"],
        "stimuli": encoding.facts["recording"]["stimulus_hash"],
        "used": encoding.facts["recording"]["used"],
        "selection": encoding.facts["recording"].get("selection"),
        "neuroids": [str(name) for name in encoding.sites["neuroid_id"]],
        "subjects": encoding.facts["recording"]["subjects"],
        "source": encoding.facts["recording"]["source_hash"],
        "settings": encoding.provenance["settings"],
        "layers": encoding.facts["model"]["layers"],
        "identity": vars(identity),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    name = plain_name(identity.model, encoding.facts["recording"]["name"], digest[:10])
    path = folder() / name
    with assets.held(path):
        encoding.save(path, figures=False)
        os.utime(path)
    return path


def find_fit(
    network: Network, recording: Recording, stimuli: np.ndarray, layers: str
) -> Encoding | None:
    """Find a fit to some stimuli of a recording; None if there is none that is kept."""
    identity = Identity.of(network)
    stimulus_numbers = [int(k) for k in stimuli]
    names = models.resolve(layers, network)
    described = recording.describe()
    neuroids = [str(name) for name in recording.data["neuroid_id"].values]
    for path, about in _listed():
        if (
            about["recording"].get("used") == stimulus_numbers
            and about["recording"]["name"] == recording.name
            and about["recording"]["stimulus_hash"] == recording.stimuli.hash
            and about["recording"]["source_hash"] == described["source_hash"]
            # Other repetitions were kept, even if all neuroids were.
            and about["recording"].get("selection") == described["selection"]
            and about["region"] == recording.regions[0]
            and about["model"]["layers"] == names
            and about["identity"] == vars(identity)
        ):
            encoding = open_encoding(path, network)
            if [str(name) for name in encoding.sites["neuroid_id"]] == neuroids:
                return encoding
    return None


def list_fits() -> list[Fit]:
    """List the kept encodings whose sites can be named, the newest first.

    Left out are fits that a later one hides from `find_site`, fits of modules of the user's own,
    and fits to a part of the stimuli.
    """
    fits_on_disk = list(_listed())
    fits = []
    for path, about in fits_on_disk:
        identity, fit, dataset = about["identity"], about["fit"], str(about["dataset"])
        of_name = [one for one in fits_on_disk if _is_called(one[1], dataset)]
        mine = [one for one in of_name if _network_of(one[1]) == _network_of(about)]
        if identity["weights_kind"] == "user" or not mine or mine[0][0] != path:
            continue
        usual = fit["weights"] == "imagenet" and fit["preprocessing"] == "resize"
        last = next(p for p, a in of_name if a["identity"]["weights_kind"] != "user")
        if not usual and last != path:  # neither its network's name nor its own leads to it
            continue
        fitted_with = [str(identity["model"])]
        if fit["weights"] != "imagenet":
            fitted_with.append(f"weights {Path(fit['weights']).name}")
        if fit["preprocessing"] != "resize":
            fitted_with.append(f"preprocessing {fit['preprocessing']}")
        fits.append(
            Fit(
                path, dataset, str(about["recording"]["name"]), str(about["region"]),
                ", ".join(fitted_with), tuple(map(str, about["model"]["layers"])),
                str(identity["model"]) if usual else "",
            )
        )  # fmt: skip
    return fits


def find_site(text: str, network: Network) -> Site:
    """Find a site by its name, ``site:NAME:NUMBER``, among those that were fitted with a network.

    Raises
    ------
    ProbeError
        If there is none; the message says how to fit it.
    """
    name, number = split_name(text)
    return replace(find_encoding(name, network).site(number), name=text)


def find_encoding(name: str, network: Network) -> Encoding:
    """Find the last fit of a recording's sites, ``NAME`` in ``site:NAME:NUMBER``, with a network.

    Raises
    ------
    ProbeError
        If there is none; the message says how to fit them.
    """
    identity = Identity.of(network)
    of_name = [(path, about) for path, about in _listed() if _is_called(about, name)]
    mine = [
        (path, about)
        for path, about in of_name
        if _network_of(about) == (identity.weights_sha256, identity.preprocessing)
    ]
    alike = [a for _, a in of_name if a["identity"]["weights_sha256"] == identity.weights_sha256]
    if not mine and alike:
        raise ProbeError(
            f"sites of {name!r} were fitted with pictures {alike[0]['identity']['described']}, and "
            f"this network gets them {identity.described}: use the same preprocessing"
        )
    if not mine:
        command = f"`probe encode --model {network.name} --dataset {name}`"
        if of_name:
            others = ", ".join(dict.fromkeys(about["identity"]["model"] for _, about in of_name))
            raise ProbeError(
                f"sites of {name!r} were fitted with {others}, not with this network "
                f"({network.name}, weights {identity.weights_sha256[:8]}…): fit them with {command}"
            )
        dataset_names = list(dict.fromkeys(str(about["dataset"]) for _, about in _listed()))
        raise ProbeError(
            f"no sites of {name!r} were fitted yet{suggest(name, dataset_names)}: fit them with "
            f"{command}"
        )
    return open_encoding(mine[0][0], network)


def split_name(text: str) -> tuple[str, str]:
    """Return the recording and the number of ``site:RECORDING:NUMBER``.

    Raises
    ------
    ProbeError
        If it is no such name.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ProbeError(
            f"target {text!r} names no site: expected site:RECORDING:NUMBER, such as site:v4:12, "
            "or site:v4:all"
        )
    return match["name"], match["number"]


def load_named(name: str, progress: bool | None = None) -> Recording:
    """Load the recording that the name of sites is of, ``NAME`` in ``site:NAME:NUMBER``.

    Raises
    ------
    ProbeError
        If there is none, or the name is of a window of time or of some neuroids.
    """
    dataset, *parts = [name] if Path(name).expanduser().is_dir() else name.split("@")
    regions = [part for part in parts if not part.startswith(SUBJECT)]
    subjects = [part.removeprefix(SUBJECT) for part in parts if part.startswith(SUBJECT)]
    if len(regions) > 1 or any(_OTHER_PART.fullmatch(region) for region in regions):
        raise ProbeError(
            f"{name!r} is of a window of time, or of some neuroids: expected all of a recording, "
            f"as in site:{dataset}:0, or of a region, as in site:{dataset}@V4:0"
        )
    return recordings.load(
        dataset, region=next(iter(regions), None), subject=next(iter(subjects), None),
        progress=progress,
    )  # fmt: skip


def model_of(text: str, provenance: Mapping[str, Any] | None = None) -> tuple[str, str, str, int]:
    """Return the network that the sites of a target were fitted with last.

    Parameters
    ----------
    text : str
        A target that names a site, perhaps among others.
    provenance : mapping, optional
        Of the one network that is meant, as `Network.provenance` returns it; by default, any.

    Returns
    -------
    model, weights, preprocessing : str
    seed : int
        As `probe.models.load` takes them.

    Raises
    ------
    ProbeError
        If no such sites were fitted, or they belong to a module of the user's own.
    """
    match = re.search(r"site:(.+?):[^:\s+]+([\s+-]|$)", text)
    name = match[1] if match else text
    for _, about in _listed():
        if _is_called(about, name) and about["recording"].get("used") is None:
            identity, fit = about["identity"], about["fit"]
            if identity["weights_kind"] == "user":
                continue
            if provenance is None or (identity["weights_sha256"], identity.get("described")) == (
                provenance["weights_sha256"], provenance["preprocessing"],
            ):  # fmt: skip
                return identity["model"], fit["weights"], fit["preprocessing"], int(fit["seed"])
    if provenance is not None:
        raise ProbeError(
            f"no fit of {name!r} with {provenance['model']} ({provenance['weights']}) is kept: fit "
            f"its sites again with `probe encode --model {provenance['model']} --dataset {name}` "
            "and the options of that time"
        )
    dataset_names = list(dict.fromkeys(str(about["dataset"]) for _, about in _listed()))
    raise ProbeError(
        f"no sites of {name!r} were fitted yet{suggest(name, dataset_names)}: fit them with "
        f"`probe encode --model alexnet --dataset {name}`"
    )


def _listed() -> Iterator[tuple[Path, dict[str, Any]]]:
    """List the encodings that are kept, the newest first."""
    fit_folders = [path for path in folder().glob("*") if (path / "encoding.json").is_file()]
    for fit_folder in sorted(fit_folders, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            about = json.loads((fit_folder / "encoding.json").read_text(encoding="utf-8"))
            required = (
                about["dataset"], about["region"], about["recording"]["name"],
                about["recording"]["stimulus_hash"], about["recording"]["source_hash"],
                about["identity"]["weights_sha256"], about["identity"]["preprocessing"],
                about["fit"]["weights"], about["fit"]["preprocessing"], about["fit"]["seed"],
                about["identity"]["model"], about["identity"]["weights_kind"],
                about["model"]["layers"],
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError):  # of another version, or damaged
            continue
        if all(value is not None for value in required):
            yield fit_folder, about


def _network_of(about: dict[str, Any]) -> tuple[str, str]:
    return about["identity"]["weights_sha256"], about["identity"]["preprocessing"]


def _is_called(about: dict[str, Any], name: str) -> bool:
    recording = str(about["recording"]["name"])
    if about["recording"].get("used") is not None:
        return False  # a fit to some stimuli, for a check
    # Of a selection, the numbers mean other sites; in another window, sites respond otherwise. So
    # they do in another region or subject, which follow an @.
    is_part = any(about["recording"].get(key) for key in ("selection", "chosen_neuroids", "window"))
    if is_part or "@" in str(about["dataset"]):
        return name == str(about["dataset"])
    return name in (str(about["dataset"]), recording) or recordings.canonical(name) == recording
