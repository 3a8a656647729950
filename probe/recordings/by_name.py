"""Recordings by name, real and simulated, and folders of a user's own."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from probe import assets
from probe.errors import ProbeError, suggest
from probe.recordings import loaders
from probe.recordings.brainscore import Part
from probe.recordings.catalogue import find_named, recorded, split_name
from probe.recordings.folder import from_folder
from probe.recordings.recording import Recording
from probe.recordings.reliability import check_threshold, select_reliable
from probe.recordings.simulated import SIM_V1_TITLE, SIM_V4_TITLE, simulate_v1, simulate_v4
from probe.recordings.simulated_compact import (
    N_STIMULI,
    SIM_V4_COMPACT_LICENCE,
    SIM_V4_COMPACT_TITLE,
    simulate_v4_compact,
)

_SIMULATED: dict[str, Callable[..., Recording]] = {
    "sim-v4": simulate_v4,
    "sim-v1": simulate_v1,
    "sim-v4-compact": simulate_v4_compact,
}


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
            ("sim-v4-compact", SIM_V4_COMPACT_TITLE, "V4", N_STIMULI, SIM_V4_COMPACT_LICENCE),
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


def load(
    name: str,
    *,
    region: str | None = None,
    subject: str | None = None,
    min_reliability: float | None = None,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Recording:
    """Get a recording by name.

    Parameters
    ----------
    name : str
        A dataset (``cowley2023``), one of its sessions (``cowley2023/210322``, ``v4/210322``, or
        with a colon, ``v4:210322``), an alias (``v4``, ``it``, ``evc``, ``it-fmri``), or a
        simulated recording (``sim-v4``, ``sim-v1``, ``sim-v4-compact``; with a seed,
        ``sim-v4/7``). `available` lists them. Or the path of a folder with a recording of your
        own, see `from_folder`.
    region : str, optional
        By default the alias' region, or the dataset's first.
    subject : str, optional
        By default all.
    min_reliability : float, optional
        Keep the neuroids that are at least as reliable, from 0 to 1, see `select_reliable`; where
        that was published, the others are not read. By default all.
    accept_licence : bool
        Accept the terms of a dataset whose manifest marks them as restricted.
    progress : bool, optional
        Show downloads; by default when a person is watching.

    Returns
    -------
    Recording
        Of one region.

    Raises
    ------
    ProbeError
        If a name, region or subject is unknown, a file cannot be had, or is broken; if no neuroid
        is reliable enough, or it cannot be known.
    """
    if min_reliability is not None:
        check_threshold(min_reliability)
    recording = load_part(name, Part(region, subject, min_reliability), accept_licence, progress)
    return recording if min_reliability is None else select_reliable(recording, min_reliability)


def check_name(name: str) -> None:
    """Check that there is a recording of a name, or a folder, before anything is read.

    Raises
    ------
    ProbeError
        With the nearest names.
    """
    if _is_path(name):
        if not Path(name).expanduser().is_dir():
            raise ProbeError(f"folder {name!r} does not exist")
    elif (head := head_of(name)) not in _SIMULATED and find_named(name, recorded()) is None:
        raise ProbeError(
            f"recording {head!r} does not exist{suggest(head, _names())} "
            "(see `probe datasets`; a folder of your own is named with its path, ./NAME)"
        )


def _is_path(name: str) -> bool:
    """Return whether a name is meant as the path of a folder."""
    if name.startswith((".", "/", "~")) or "\\" in name:
        return True
    return bool(name) and Path(name).is_dir() and head_of(name) not in _names()


def load_part(
    name: str, part: Part, accept_licence: bool = False, progress: bool | None = None
) -> Recording:
    """Get a part of a recording, as `load`; of reliability only what a loader chooses by itself.

    A loader that knows the published reliability of neuroids leaves the others unread. Of all else,
    `select_reliable` chooses, when it is known which times are scored.
    """
    region, subject = part.region, part.subject
    check_name(name)
    if _is_path(name):
        return _one_region(from_folder(name), region).select(None, subject)
    head, slash, tail = split_name(name)
    if head in _SIMULATED:
        if slash and not re.fullmatch(r"\d{1,18}", tail):
            raise ProbeError(f"{name!r}: the seed {tail!r} is not a whole number, as in '{head}/7'")
        more = {"progress": progress} if head == "sim-v4-compact" else {}  # it takes a while
        return _SIMULATED[head](seed=int(tail or 0), **more).select(region, subject)

    dataset = find_named(name, recorded())
    assert dataset is not None  # checked above
    manifest, session = dataset.manifest, dataset.session
    region = region or dataset.region
    regions = [r.name for r in manifest.regions]
    region = region or regions[0]
    if region not in regions:  # told before anything is downloaded
        raise ProbeError(f"{manifest.name} has no region {region!r}" + suggest(region, regions))
    loader = loaders.LOADERS.get(str(manifest.loader))
    if loader is None:
        raise ProbeError(
            f"manifest {manifest.name!r} names the loader {manifest.loader!r}, which does not exist"
            + suggest(str(manifest.loader), loaders.LOADERS)
        )
    fetch = functools.partial(assets.fetch, accept_licence=accept_licence, progress=progress)
    part = replace(part, region=region)
    return loader(manifest, session, fetch, part).select(region, subject)


def canonical(name: str) -> str:
    """Return the full name of a recording that is called so: ``cowley2023/210325`` for ``v4``.

    What is no known name is returned as it is; of a folder, its own name.
    """
    head, slash, tail = split_name(name)
    if head in _SIMULATED:
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


def _one_region(recording: Recording, region: str | None) -> Recording:
    if region is None and len(recording.regions) > 1:
        raise ProbeError(
            f"recording {recording.name!r} has the regions {', '.join(recording.regions)}: "
            "name one (--region)"
        )
    return recording.select(region)


def _names() -> list[str]:
    listed = recorded()
    return [*_SIMULATED, *(alias for m in listed.values() for alias in m.aliases), *listed]
