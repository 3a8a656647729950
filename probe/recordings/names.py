"""What recordings there are, and what they are called.

Importing this module imports no NumPy: a name that is wrong is answered at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from probe.errors import ProbeError, suggest
from probe.recordings.catalogue import find_named, recorded, split_name
from probe.recordings.titles import (
    N_COMPACT_STIMULI,
    SIM_V1_TITLE,
    SIM_V4_COMPACT_LICENCE,
    SIM_V4_COMPACT_TITLE,
    SIM_V4_TITLE,
)

SIMULATED = {
    "sim-v4": "simulate_v4",
    "sim-v1": "simulate_v1",
    "sim-v4-compact": "simulate_v4_compact",
}
"""Functions of `probe.recordings`, by the recordings that they return."""


@dataclass(frozen=True)
class Available:
    """One line of the list of recordings.

    Attributes
    ----------
    name : str
        What `load` takes; ``name/session`` or, for a simulated one, ``name/seed`` is more exact.
    aliases : tuple of str
        Short names; an alias may stand for one session and one region.
    title : str
        What it is.
    regions : tuple of str
        Recorded areas; the first is the default.
    sessions : tuple of str
        The default comes first.
    n_stimuli : int or None
        Of the default session.
    simulated : bool
        Whether it is generated.
    licence : str
        Name of the terms.
    restricted : bool
        Whether they have to be accepted before a download.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    regions: tuple[str, ...]
    sessions: tuple[str, ...]
    n_stimuli: int | None
    simulated: bool
    licence: str
    restricted: bool


def available() -> list[Available]:
    """List the recordings that `load` knows: the simulated ones, then those with a manifest."""
    generated = "BSD-3-Clause (generated)"
    listed = [
        Available(name, (), title, (region,), (), n_stimuli, True, licence, False)
        for name, title, region, n_stimuli, licence in (
            ("sim-v4", SIM_V4_TITLE, "V4", 178, generated),
            ("sim-v1", SIM_V1_TITLE, "V1", 180, generated),
            (
                "sim-v4-compact",
                SIM_V4_COMPACT_TITLE,
                "V4",
                N_COMPACT_STIMULI,
                SIM_V4_COMPACT_LICENCE,
            ),
        )
    ]
    for manifest in recorded().values():
        default = manifest.default_session
        sessions = sorted(manifest.sessions, key=lambda s: s != default)
        of_session = manifest.sessions[default].n_stimuli if default else None
        listed.append(
            Available(
                manifest.name,
                tuple(manifest.aliases),
                manifest.title,
                tuple(region.name for region in manifest.regions),
                tuple(sessions),
                of_session or manifest.n_stimuli,
                False,
                manifest.licence.name,
                manifest.licence.restricted,
            )
        )
    return listed


def check_name(name: str) -> None:
    """Check that there is a recording of a name, or a folder, before anything is read.

    Raises
    ------
    ProbeError
        With the nearest names.
    """
    if is_path(name):
        if not Path(name).expanduser().is_dir():
            raise ProbeError(f"folder {name!r} does not exist")
    elif (head := head_of(name)) not in SIMULATED and find_named(name, recorded()) is None:
        raise ProbeError(
            f"recording {head!r} does not exist{suggest(head, _names())} "
            "(see `probe datasets`; name a folder of your own with its path, ./NAME)"
        )


def check_region(name: str, region: str | None) -> None:
    """Check that a recording has a region, before anything is read; folders are not looked into.

    Raises
    ------
    ProbeError
        With the nearest names.
    """
    if region is None or is_path(name):
        return
    entry = next(e for e in available() if head_of(name) in (e.name, *e.aliases))
    if region not in entry.regions:
        what = f"recording {canonical(name)!r}" if entry.simulated else entry.name
        raise ProbeError(f"{what} has no region {region!r}{suggest(region, entry.regions)}")


def usual_region(name: str) -> str | None:
    """Return the region that a recording is loaded of where none is named; None of a folder."""
    entry = next((e for e in available() if head_of(name) in (e.name, *e.aliases)), None)
    if entry is None or is_path(name):
        return None
    dataset = find_named(name, recorded())
    return (dataset.region if dataset else None) or entry.regions[0]


def is_path(name: str) -> bool:
    """Return whether a name is meant as the path of a folder."""
    if name.startswith((".", "/", "~")) or "\\" in name:
        return True
    return bool(name) and Path(name).is_dir() and head_of(name) not in _names()


def canonical(name: str) -> str:
    """Return the full name of a recording that is called so: ``cowley2023/210325`` for ``v4``.

    What is no known name is returned as it is; of a folder, its own name.
    """
    head, slash, tail = split_name(name)
    if head in SIMULATED:
        return f"{head}/{tail or 0}"
    for manifest in recorded().values():
        alias = manifest.aliases.get(head)
        if head == manifest.name or alias is not None:
            of_alias = alias.session if alias is not None else None
            session = tail if slash else of_alias or manifest.default_session
            return f"{manifest.name}/{session}" if session else manifest.name
    path = Path(name).expanduser()
    return path.resolve().name if path.is_dir() else name


def head_of(name: str) -> str:
    """Return what a name begins with: ``v4`` of ``v4/210322`` and of ``v4:210322``."""
    return split_name(name)[0]


def _names() -> list[str]:
    listed = recorded()
    return [*SIMULATED, *(alias for m in listed.values() for alias in m.aliases), *listed]
