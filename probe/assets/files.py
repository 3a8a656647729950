"""The one way to every foreign file: cache, then mirror folder, then download.

Files lie at ``CACHE/assets/COLLECTION/FILE``; a mirror folder (``PROBE_MIRROR``) is laid out
``COLLECTION/FILE``, and is only ever read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from probe.assets import checks
from probe.errors import ProbeError
from probe.output.replacing import replacing

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@=-]*")
_HASH = re.compile(r"sha256:[0-9a-f]{64}|sha1:[0-9a-f]{40}|sha256-prefix:[0-9a-f]{8,63}")


@dataclass(frozen=True)
class Asset:
    """One foreign file, and the hash that its bytes must have.

    Attributes
    ----------
    collection, name : str
        Its folder and file name, in the cache and in a mirror folder.
    hash : str
        ``sha256:HEX``, ``sha1:HEX``, or ``sha256-prefix:HEX`` where only a prefix is published.
    url : str or None
        Where it is downloaded from; None where it cannot be.
    licence, note, homepage : str
        The terms of use, what one must know besides, and where to read more.
    restricted : bool
        Whether the terms have to be accepted before a download.
    """

    collection: str
    name: str
    hash: str
    url: str | None = None
    licence: str = ""
    restricted: bool = False
    note: str = ""
    homepage: str = ""

    def __post_init__(self) -> None:
        for part in (self.collection, self.name):
            if not PLAIN_NAME.fullmatch(part):
                raise ValueError(f"{part!r} is not a plain file name without folders")
        if not _HASH.fullmatch(self.hash):
            raise ValueError(f"{self.hash!r} is not a hash such as sha256:… of lower-case digits")

    def __str__(self) -> str:
        return f"{self.collection}/{self.name}"

    @property
    def path(self) -> Path:
        """Where it lies in the cache, or would."""
        return cache_dir() / "assets" / self.collection / self.name


class Unavailable(ProbeError):
    """A file is neither here nor to be had.

    Attributes
    ----------
    asset : Asset
        What is missing.
    tried : tuple of str
        Where it was looked for, and why it was not there.
    """

    def __init__(self, asset: Asset, tried: Iterable[str]) -> None:
        self.asset, self.tried = asset, tuple(tried)
        see = f" (see {asset.homepage})" if asset.homepage else ""
        connect = "connect to the network and run again, or " if asset.url else ""
        super().__init__(
            f"{asset} is not on this machine; tried: {'; '.join(self.tried)}. Ways out: {connect}"
            f"put the file into a mirror folder (PROBE_MIRROR=DIR, as DIR/{asset}), or get it "
            f"elsewhere{see} and run `probe assets add FILE`"
        )


def cache_dir() -> Path:
    """Return the cache folder: ``PROBE_CACHE``, or the user's cache folder of this system."""
    import platformdirs

    chosen = os.environ.get("PROBE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("probe"))


def mirror_dirs() -> list[Path]:
    """Return the mirror folders: the parts of ``PROBE_MIRROR``, in order."""
    parts = os.environ.get("PROBE_MIRROR", "").split(os.pathsep)
    return [Path(part).expanduser() for part in parts if part]


def fetch_asset(
    asset: Asset, *, accept_licence: bool = False, progress: bool | None = None
) -> Path:
    """Return the path of a file whose bytes were checked, getting it if need be.

    The cache is tried first, then the mirror folders, then a download.

    Parameters
    ----------
    asset : Asset
        What is wanted.
    accept_licence : bool
        Whether the user accepts the terms of a restricted file. Asked only before a download: a
        file in the cache or in a mirror folder is the user's already.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    pathlib.Path
        The file in the cache.

    Raises
    ------
    Unavailable
        If the file is nowhere to be had.
    ProbeError
        If its hash is wrong, or a licence must be accepted first.
    """
    path = find(asset)
    if path is not None:
        return path
    if asset.restricted and not accept_licence:
        raise ProbeError(
            f"{asset} is under a restricted licence, {asset.licence}"
            + (f": {asset.note.rstrip('.')}" if asset.note else "")
            + (f" (see {asset.homepage})" if asset.homepage else "")
            + "; if you accept it, run again with --accept-licence (in Python: accept_licence=True)"
        )
    with held(asset.path):
        if (path := _in_cache(asset)) is not None:  # another process was quicker
            return path
        _download(asset, progress)
    return asset.path


def find(asset: Asset) -> Path | None:
    """Return the file from the cache, or copy it there from a mirror folder; never download.

    Raises
    ------
    ProbeError
        If there is such a file, with a wrong hash.
    """
    path = _in_cache(asset)
    if path is None and any(file.is_file() for file in _in_mirrors(asset)):
        with held(asset.path):
            path = _in_cache(asset) or _from_mirror(asset)
    return path


def places(asset: Asset) -> list[tuple[str, Path, bool]]:
    """List where a file may lie: (``"cache"`` or ``"mirror"``, path, whether it is there)."""
    spots = [("cache", asset.path)] + [("mirror", path) for path in _in_mirrors(asset)]
    return [(kind, path, path.is_file()) for kind, path in spots]


def add_known(path: Path | str, assets: Iterable[Asset]) -> list[Path]:
    """Copy a user's own file into the cache, recognised by its hash alone; see `assets.add`."""
    path = Path(path)
    try:
        digest = checks.digest_of(path)
    except OSError as error:
        raise ProbeError(f"file {str(path)!r} cannot be read ({error.strerror})") from None
    assets = list(assets)
    matching = [asset for asset in assets if checks.matches(asset.hash, digest)]
    if not matching:
        named = [asset for asset in assets if asset.name == path.name]
        why = (
            f"{named[0]} should have {named[0].hash}"
            if named
            else f"it is none of the {len(assets)} files that probe knows (`probe assets list`)"
        )
        raise ProbeError(f"file {str(path)!r} has sha256:{digest.sha256}; {why}")
    for asset in matching:
        with held(asset.path):
            _copy(path, asset.path, lambda copied: None if copied == digest else _changed(path))
    return [asset.path for asset in matching]


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache; ``verified`` tells whether it is untouched since its last full check."""

    collection: str
    name: str
    path: Path
    size: int
    verified: bool


def listing() -> list[CachedFile]:
    """List what is in the cache."""
    files = sorted((cache_dir() / "assets").glob("*/[!.]*"))
    return [
        CachedFile(f.parent.name, f.name, f, f.stat().st_size, checks.noted(f) is not None)
        for f in files
        if f.is_file() and f.suffix != ".part"
    ]


def derive(collection: str, name: str, make: Callable[[], bytes]) -> Path:
    """Keep in the cache what was made from a foreign file, such as converted weights.

    There is no published hash to hold it to: the one noted when it was made is.

    Parameters
    ----------
    collection, name : str
        Its folder and file name in the cache. The name must tell one content from another.
    make : callable
        Gives the bytes; called if the file is not there.
    """
    path = derived_path(collection, name)
    if _derived_is_good(path):
        return path
    content = make()
    with held(path):
        # Another process may have made it meanwhile, and not to the byte what was made here.
        if not _derived_is_good(path):
            with _shared(path) as partial:
                partial.write_bytes(content)
            checks.note(path)
    return path


def find_derived(collection: str, name: str) -> Path | None:
    """Return a derived file from the cache, checked, or None."""
    path = derived_path(collection, name)
    return path if _derived_is_good(path) else None


def derived_path(collection: str, name: str) -> Path:
    """Where a derived file lies in the cache, or would."""
    return cache_dir() / "assets" / collection / name


def _derived_is_good(path: Path) -> bool:
    expected = checks.noted_before(path)
    if not path.is_file() or expected is None:
        return False  # without its record nobody knows what it is: made anew
    digest = checks.check(path)
    if digest != expected:
        was = f"sha256:{expected.sha256}"
        raise ProbeError(_wrong(f"cached file {path}", was, digest, checks.discard(path)))
    return True


def _in_cache(asset: Asset) -> Path | None:
    path = asset.path
    if not path.is_file():
        return None
    expected = asset.hash
    before = checks.noted_before(path)
    if before is not None and checks.matches(expected, before):
        expected = f"sha256:{before.sha256}"  # stricter where only a prefix is published
    digest = checks.check(path)
    if not checks.matches(expected, digest):
        raise ProbeError(_wrong(f"cached file {path}", expected, digest, checks.discard(path)))
    return path


def _in_mirrors(asset: Asset) -> list[Path]:
    return [folder / asset.collection / asset.name for folder in mirror_dirs()]


def _from_mirror(asset: Asset) -> Path | None:
    for path in _in_mirrors(asset):
        if path.is_file():
            _copy_checked(asset, path, f"mirror file {path}", "replace that file")
            return asset.path
    return None


def _copy_checked(asset: Asset, source: Path, what: str, do: str) -> None:
    def wrong(found: checks.Digest) -> str | None:
        return None if checks.matches(asset.hash, found) else _wrong(what, asset.hash, found, do)

    _copy(source, asset.path, wrong)


def _copy(source: Path, path: Path, wrong: Callable[[checks.Digest], str | None]) -> None:
    if not os.access(source, os.R_OK):
        raise ProbeError(f"file {str(source)!r} may not be read")
    with open(source, "rb") as opened, _shared(path) as partial:
        with open(partial, "wb") as copy:
            digest = checks.digest(opened, copy_to=copy)
        if message := wrong(digest):
            raise ProbeError(message)
    checks.note(path)


def _download(asset: Asset, progress: bool | None) -> None:
    from probe.assets.download import Failed, download

    tried = [f"cache {asset.path} (no such file)"]
    tried += [f"mirror {file} (no such file)" for file in _in_mirrors(asset)]
    if not mirror_dirs():
        tried.append("mirror (PROBE_MIRROR is not set)")
    if asset.url is None:
        raise Unavailable(asset, [*tried, "download (no address is known for it)"])

    def wrong(path: Path) -> str | None:
        digest = checks.digest_of(path)
        do = "nothing was kept: run again to download it anew"
        if checks.matches(asset.hash, digest):
            return None
        return _wrong(f"{asset}, downloaded from {asset.url},", asset.hash, digest, do)

    if urlsplit(asset.url).scheme == "file":
        source = Path(url2pathname(urlsplit(asset.url).path))
        if not source.is_file():
            raise Unavailable(asset, [*tried, f"{asset.url} (no such file)"])
        _copy_checked(asset, source, f"file {source}", "replace that file")
        return
    try:
        download(asset.url, asset.path, wrong, progress)
    except Failed as error:
        raise Unavailable(asset, [*tried, f"{asset.url} ({error})"]) from None
    checks.note(asset.path)


def _wrong(what: str, expected: str, found: checks.Digest, do: str) -> str:
    return f"{what} has {checks.shown(expected, found)}, expected {expected}; {do}"


def _changed(path: Path) -> str:
    return f"file {str(path)!r} changed while it was read; run again"


def lock_of(path: Path) -> Path:
    """Where the lock of a file or folder lies: in the cache for what is there, else beside it."""
    path = path.resolve()  # one lock for one folder, by whatever name
    if path.is_relative_to(cache_dir().resolve()):
        return cache_dir() / "locks" / f"{path.parent.name}--{path.name}.lock"
    return path.parent / ".locks" / f"{path.name}.lock"


@contextmanager
def held(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Lock a file or folder, so that one process at a time writes it.

    Parameters
    ----------
    path : path
    waiting : callable
        Is called if another process writes it now, before it is waited for.

    Raises
    ------
    ProbeError
        If the cache cannot be written, a full disk included, here or in what is done inside.
    """
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock_of(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(file)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        inside = path.is_relative_to(cache_dir())
        what = f"the cache {str(cache_dir())!r}" if inside else repr(str(path.parent))
        raise ProbeError(
            f"{what} cannot be written ({error.strerror or error}); make room or "
            + ("set PROBE_CACHE to another folder" if inside else "choose another folder")
        ) from None


@contextmanager
def _shared(path: Path) -> Iterator[Path]:
    """Write a file, whole or not at all, that other users of the same cache can read."""
    with replacing(path) as partial:
        yield partial
        os.chmod(partial, 0o644)  # whatever the umask of who wrote it: its content is public
