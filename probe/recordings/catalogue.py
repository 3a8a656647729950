"""What a recording is called, and the files that it is made of: here, to be had, and whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from probe import assets
from probe.assets import Asset, checks
from probe.assets.manifest import Manifest, manifests
from probe.errors import ProbeError, suggest
from probe.progress import track


@dataclass(frozen=True)
class Named:
    """A dataset with a manifest, as a user names it.

    Attributes
    ----------
    manifest : Manifest
    session : str or None
        The one that was named, that of an alias, or the default; None where there are none.
    region : str or None
        That of an alias.
    """

    manifest: Manifest
    session: str | None
    region: str | None


@dataclass(frozen=True)
class HeldFile:
    """A file of a dataset, as it lies on this machine.

    Attributes
    ----------
    asset : Asset
        What it should be.
    path : Path or None
        Where it is; None where it is not.
    found : str
        The hash of what is there; empty where nothing is.
    """

    asset: Asset
    path: Path | None
    found: str

    @property
    def differs(self) -> bool:
        """Whether there is a file, and another one than there should be."""
        return self.path is not None and self.found != self.asset.hash


def split_name(name: str) -> tuple[str, str, str]:
    """Split ``NAME/SESSION`` or ``NAME:SESSION``; of simulated recordings, the seed."""
    match = re.fullmatch(r"([^/:]*)([/:]?)(.*)", name, flags=re.DOTALL)
    assert match is not None  # the pattern takes any string
    return match[1], match[2], match[3]


def recorded() -> dict[str, Manifest]:
    """Return the manifests that are recordings, by name."""
    return {name: m for name, m in manifests().items() if m.loader is not None}


def find_named(name: str, candidates: Mapping[str, Manifest] | None = None) -> Named | None:
    """Return the dataset and session that a name means; None where it means none.

    Parameters
    ----------
    name : str
        A dataset or an alias, perhaps with a session.
    known : mapping of str to Manifest, optional
        By default, all that there are.

    Raises
    ------
    ProbeError
        If the dataset has no such session.
    """
    candidates = manifests() if candidates is None else candidates
    head, slash, tail = split_name(name)
    aliases = {alias: (m, what) for m in candidates.values() for alias, what in m.aliases.items()}
    region = None
    session = tail if slash else None
    if head in candidates:
        manifest = candidates[head]
    elif head in aliases:
        manifest, alias = aliases[head]
        session = alias.session if session is None else session
        region = alias.region
    else:
        return None
    if session is None:
        session = manifest.default_session
    elif session not in manifest.sessions:
        there = f"no session {session!r}" if manifest.sessions else "no sessions"
        raise ProbeError(f"{manifest.name} has {there}" + suggest(session, manifest.sessions))
    return Named(manifest, session, region)


def named(name: str) -> Named:
    """Return the dataset and session that a name means.

    Raises
    ------
    ProbeError
        If there is none with a manifest.
    """
    dataset = find_named(name)
    if dataset is not None:
        return dataset
    head = split_name(name)[0]
    if head.startswith("sim-"):
        raise ProbeError(f"{head!r} is simulated: it has no files, and nothing to cite")
    if Path(name).expanduser().is_dir():
        raise ProbeError(
            f"{name!r} is a folder of your own: it has no manifest, and what is known of it is in "
            "its recording.json"
        )
    words = [word for m in manifests().values() for word in (m.name, *m.aliases)]
    raise ProbeError(
        f"dataset {head!r} does not exist{suggest(head, words)} (see `probe datasets`)"
    )


def files_of(dataset: Named) -> list[Asset]:
    """Return the files of a session, and those of all sessions, the pictures' included."""
    manifest, session = dataset.manifest, dataset.session
    parts = [manifest]
    if manifest.stimuli_from is not None:
        parts.append(manifests()[manifest.stimuli_from])
    return [assets.of_manifest(m, file.name) for m in parts for file in m.files_of(session)]


def places_of(dataset: Named) -> list[tuple[Asset, Path | None]]:
    """List the files of a dataset, and where each is on this machine; None where it is not.

    Those of all sessions; the pictures of another manifest included.
    """
    of_others = [a for a in files_of(dataset) if a.collection != dataset.manifest.name]
    return [(asset, _spots(asset)[0]) for asset in (*_of_all_sessions(dataset), *of_others)]


def _of_all_sessions(dataset: Named) -> list[Asset]:
    return [assets.of_manifest(dataset.manifest, file.name) for file in dataset.manifest.files]


def size_of(asset: Asset, path: Path | None) -> int | None:
    """Return the length of a file in bytes: as it lies here, or as its manifest says."""
    if path is not None:
        return path.stat().st_size
    files = manifests()[asset.collection].files
    return next((file.size for file in files if file.name == asset.name), None)


def fetch_files(
    name: str, *, accept_licence: bool = False, progress: bool | None = None
) -> list[Path]:
    """Get the files of a dataset, each checked against its hash; those that are here stay.

    Parameters
    ----------
    name : str
        A dataset or an alias, perhaps with a session; by default its default session.
    accept_licence : bool
        Accept the terms of a dataset whose manifest marks them as restricted.
    progress : bool, optional
        Show progress; by default when a person is watching.

    Returns
    -------
    list of pathlib.Path
        In the cache. A download that is broken off is taken up by the next call.

    Raises
    ------
    ProbeError
        If there is no such dataset, a licence must be accepted first, or a file cannot be had.
    """
    return [
        assets.fetch_asset(asset, accept_licence=accept_licence, progress=progress)
        for asset in files_of(named(name))
    ]


def verify_files(name: str, *, progress: bool | None = None) -> list[HeldFile]:
    """Hash in full what is here of the files of a dataset; nothing is fetched or removed.

    Parameters
    ----------
    name : str
        A dataset or an alias, perhaps with a session; without one, all sessions.
    progress : bool, optional
        Show progress; by default when a person is watching.

    Returns
    -------
    list of HeldFile
        One per file that should be there; one that lies both in the cache and in a mirror folder
        is there twice.

    Raises
    ------
    ProbeError
        If there is no such dataset, or a file cannot be read.
    """
    dataset = named(name)
    names_session = bool(split_name(name)[1])
    listed = files_of(dataset) if names_session else _of_all_sessions(dataset)
    spots = [(asset, path) for asset in listed for path in _spots(asset)]
    bar = track(total=len(spots), desc="verifying", unit="file", progress=progress)
    files = []
    with bar:
        for asset, path in spots:
            files.append(HeldFile(asset, path, "" if path is None else _hash(asset, path)))
            bar.update()
    return files


def _spots(asset: Asset) -> list[Path | None]:
    there: list[Path | None] = [path for _, path, is_there in assets.places(asset) if is_there]
    return there or [None]


def _hash(asset: Asset, path: Path) -> str:
    try:
        digest = checks.digest_of(path)
    except OSError as error:
        raise ProbeError(f"file {str(path)!r} cannot be read ({error.strerror})") from None
    # In the words of the manifest where it is what it should be, whose hash may be a prefix.
    return asset.hash if checks.matches(asset.hash, digest) else checks.shown(asset.hash, digest)
