"""What the cache holds of activations: list, look into, check, and make room.

These are the functions behind `probe cache`. Each takes the folder of the stores, by default the
cache's own; a store is named by its key, of which the first characters are enough.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from probe import assets
from probe.activations.components import Components
from probe.activations.store import FORMAT, ActivationStore, LayerArray, key_of
from probe.errors import ProbeError
from probe.output.replacing import PARTIAL_SUFFIX
from probe.progress import track
from probe.stimuli.stimulus_set import hash_of

SHOWN = 8
"""Characters of a key that are shown, unless more are needed to tell it from the others."""

KINDS = STORE, TORN, LOCK = "store", "unfinished file", "lock file"
"""Kinds of what may be removed; unfinished is what a process that was killed left."""

UNREAD = {
    "damaged": "a damaged store",
    "old": "an outdated store",
    "newer": "a store of a later version",
}
"""States of what cannot be opened, in words."""

FOREIGN = "foreign"
"""State of what is called like a store, but is not probe's: never listed, never removed."""

_KEY = re.compile(r"[0-9a-f]{32}")
_REMOVED = re.compile(r"\.[0-9a-f]{32}\.[0-9a-f]{32}\.removed")
_AGE = re.compile(r"(\d+(?:\.\d+)?) ?([hdw])")
_SECONDS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True)
class Entry:
    """One store, as it is listed.

    Attributes
    ----------
    path : pathlib.Path
        Its folder, whose name is the key.
    state : str
        ``complete``, ``incomplete``, ``damaged``; ``old`` or ``newer`` for one that an earlier or
        a later version of probe wrote.
    n_bytes : int
        Size on disk.
    used : datetime.datetime
        When it was last written or opened.
    problem : str
        Why it cannot be opened; empty if it can.
    model, weights, stimuli, reducer, dtype : str
        What it holds; ``weights`` is a kind (``imagenet``, ``random``, ``file``, ``user``).
    n_stimuli : int
    layers : dict of str to float
        Share of the stimuli, 0 to 1, for which each layer is complete.
    """

    path: Path
    state: str
    n_bytes: int
    used: datetime
    problem: str = ""
    model: str = ""
    weights: str = ""
    stimuli: str = ""
    n_stimuli: int = 0
    reducer: str = ""
    dtype: str = ""
    layers: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def share(self) -> float:
        """Share of all stimuli of all layers that is there, 0 to 1."""
        return sum(self.layers.values()) / len(self.layers) if self.layers else 0.0


class Damage(NamedTuple):
    """A file that is not what was written, or a store that cannot be opened."""

    key: str
    layer: str
    path: Path
    reason: str
    repaired: bool


class Verified(NamedTuple):
    """What was read to check it, and what is damaged."""

    damage: list[Damage]
    n_files: int
    n_bytes: int


class Removal(NamedTuple):
    """Something that may be removed, what it is, and whether a process writes it just now."""

    path: Path
    kind: str
    what: str
    n_bytes: int
    used: datetime
    held: bool


def root(folder: str | Path | None = None) -> Path:
    """Return the folder of the stores: the cache's, or another."""
    return assets.cache_dir() / "activations" if folder is None else Path(folder).expanduser()


def entries(folder: str | Path | None = None) -> list[Entry]:
    """List the stores, the last used first."""
    entries = [_entry(path) for path in _folders(root(folder))]
    entries = [entry for entry in entries if entry.state != FOREIGN]
    return sorted(entries, key=lambda entry: entry.used, reverse=True)


def shown(keys: Iterable[str]) -> dict[str, str]:
    """Shorten keys to what tells them apart: `SHOWN` characters, or more."""
    keys = list(keys)
    short = {}
    for key in keys:
        n = SHOWN
        while sum(other.startswith(key[:n]) for other in keys) > 1:
            n += 1
        short[key] = key[:n]
    return short


def short(store: ActivationStore) -> str:
    """Return the beginning of a store's key that tells it from the others in its folder."""
    return shown(path.name for path in _folders(store.path.parent))[store.key]


def find(key: str | Path, folder: str | Path | None = None) -> Path:
    """Find a store by the beginning of its key, or by its path.

    Raises
    ------
    ProbeError
        If there is none, or several; the message lists them.
    """
    text = str(key)
    if isinstance(key, Path) or os.sep in text or "/" in text or text.startswith("~"):
        path = Path(key).expanduser()
        if not path.is_dir():
            raise ProbeError(f"folder {text!r} does not exist, or holds no activations")
        return path
    keys = [path.name for path in _folders(root(folder))]
    fitting = [k for k in keys if text and k.startswith(text)]
    if len(fitting) == 1:
        return root(folder) / fitting[0]
    if fitting:
        raise ProbeError(
            f"{len(fitting)} stores begin with {text!r}: "
            + ", ".join(list(shown(fitting).values())[:12])
        )
    there = f"; there are {', '.join(list(shown(keys).values())[:12])}" if keys else ""
    raise ProbeError(
        f"no activations with key {text!r} in {str(root(folder))!r}{there} (see `probe cache ls`)"
    )


def title(model: str, stimuli: str, n_stimuli: int, n_layers: int) -> str:
    """Describe in one line what a store holds."""
    pictures = f"{n_stimuli:,} {'stimulus' if n_stimuli == 1 else 'stimuli'}"
    return f"{model} · {stimuli}, {pictures} · {n_layers} layer{'' if n_layers == 1 else 's'}"


def facts(store: ActivationStore) -> list[tuple[str, str]]:
    """Return what was done to get what a store holds, as (name, text) lines."""
    about, request = store.about, store.request
    digits = "" if about["autocast"] == "none" else f", computed in {about['autocast']}"
    return [
        ("weights", str(about["weights_source"])),
        ("pictures", str(about["preprocessing"])),
        ("kept", str(about["reduced"])),
        ("stored as", f"{store.dtype}{digits} on {request['device']}"),
    ]


def skipped(left_out: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return which pictures were left out, and why, as a (name, text) line, or none."""
    lines = [f"{name} ({reason})" for name, reason in left_out]
    more = f", and {len(lines) - 5} more" if len(lines) > 5 else ""
    return [("skipped", f"{len(lines)}: {', '.join(lines[:5])}{more}")] if lines else []


def rdms() -> tuple[int, int]:
    """Count the RDMs that the cache keeps, and their bytes."""
    sizes = [path.stat().st_size for path in (assets.cache_dir() / "rdms").glob("*/*.npy")]
    return len(sizes), sum(sizes)


def verify(
    keys: Sequence[str | Path] = (),
    *,
    repair: bool = False,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> Verified:
    """Read every file of some stores, and compare it with its checksums.

    Parameters
    ----------
    keys : sequence of str or path
        By default, all stores.
    repair : bool
        Remove damaged files, so that the next extraction computes just these again. A store whose
        description is damaged cannot be repaired: see `removable`.
    folder : path, optional
        Of the stores.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Verified
        Whose ``damage`` is empty if all is as it was written.
    """
    paths = [find(key, folder) for key in keys] or list(_folders(root(folder)))
    damage: list[Damage] = []
    todo: list[tuple[str, LayerArray, Path]] = []
    for path in paths:
        try:
            store = ActivationStore(path)
            arrays = [store.array(layer) for layer in store.layers]
            _check_description(store)
        except ProbeError as error:
            if keys or _unread(path) == "damaged":
                damage.append(Damage(path.name, "", path, str(error), False))
            continue
        for array in arrays:
            damage += _damaged_components(path.name, array, repair)
        todo += [(path.name, a, shard) for a in arrays for shard in sorted(a.path.glob("c.*.0"))]
    n_bytes = sum(_size(shard) for _, _, shard in todo)
    with track(total=n_bytes, desc="verify", unit="B", unit_scale=True, progress=progress) as bar:
        for key, array, shard in todo:
            size, reason = _size(shard), array.layout.damage(shard)
            if reason is not None and shard.exists():
                repaired = repair and _discard(shard)
                damage.append(Damage(key, array.layer, shard, reason, repaired))
            bar.update(size)
    return Verified(damage, len(todo), n_bytes)


def removable(
    keys: Sequence[str | Path] = (),
    *,
    incomplete: bool = False,
    old_format: bool = False,
    everything: bool = False,
    older_than: str | None = None,
    folder: str | Path | None = None,
) -> list[Removal]:
    """Return what could be removed: what any of the choices names; nothing without one.

    Parameters
    ----------
    keys : sequence of str or path
        These stores.
    incomplete : bool
        Stores that lack something, or are damaged.
    old_format : bool
        Stores of earlier versions, what killed processes left, and lock files that nobody holds.
    everything : bool
        All this, and all complete stores. (RDMs stay: they are small.)
    older_than : str
        Of these, only what was not used for so long: ``12h``, ``30d``, ``8w``. Without another
        choice, of all stores.
    folder : path, optional
        Of the stores.

    Returns
    -------
    list of Removal
        For `remove`.

    Raises
    ------
    ProbeError
        If there is no such store, or ``older_than`` is no age.
    """
    before = time.time() - _seconds(older_than)
    every = everything or (older_than is not None and not (keys or incomplete or old_format))
    named = {find(key, folder) for key in keys}
    states = {"complete", "incomplete", "damaged", "old", "newer"} if every else set()
    states |= {"incomplete", "damaged"} if incomplete else set()
    states |= {"old"} if old_format else set()
    there = {entry.path: entry for entry in entries(folder)}
    for path in named - there.keys():  # in other folders
        there[path] = _entry(path)
        if there[path].state == FOREIGN:
            raise ProbeError(
                f"{str(path)!r} holds no activations that probe wrote, so it is not removed"
            )
    removals = [
        Removal(path, STORE, _in_words(entry), entry.n_bytes, entry.used, _is_held(path))
        for path, entry in there.items()
        if path in named or entry.state in states
    ]
    if everything or old_format:
        gone = {removal.path for removal in removals}
        removals += [r for r in leftovers(folder) if not gone & {r.path, *r.path.parents}]
    return [removal for removal in removals if removal.used.timestamp() <= before]


def leftovers(folder: str | Path | None = None) -> list[Removal]:
    """List what processes that were killed left, and lock files that nobody holds."""
    removals = []
    for path, kind in _leftovers(root(folder)):
        removal = Removal(path, kind, kind, _bytes_of(path), _used(path), _is_held(path))
        if not (kind == LOCK and removal.held):
            removals.append(removal)
    return removals


def remove(removals: Iterable[Removal]) -> list[Removal]:
    """Remove what `removable` found, but nothing that a process writes just now.

    A store is renamed first, so that a removal that is interrupted leaves no half of one.

    Returns
    -------
    list of Removal
        What was removed.

    Raises
    ------
    ProbeError
        If something cannot be removed.
    """
    import filelock

    done = []
    for removal in removals:
        path = removal.path
        try:
            with _lock(path):
                _delete(path)
        except FileNotFoundError:
            continue  # another process was quicker
        except filelock.Timeout:
            continue
        except OSError as error:
            raise ProbeError(f"{str(path)!r} cannot be removed ({error.strerror})") from None
        done.append(removal)
    return done


def free_bytes(folder: str | Path | None = None) -> int:
    """Return how much room the disk of the stores has, whether or not the folder is there yet."""
    existing = root(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _check_description(store: ActivationStore) -> None:
    """Check that a store says of itself what its name, a hash of it, says.

    Raises
    ------
    ProbeError
        If not.
    """
    try:
        stimuli = hash_of(store.stimulus_ids, store.stimuli["sha256"])
    except (KeyError, TypeError, ValueError):
        stimuli = ""
    renamed = not _KEY.fullmatch(store.key)
    if stimuli != store.request.get("stimuli") or not (
        renamed or store.key == key_of(store.request)
    ):
        raise ProbeError(
            f"activations in {str(store.path)!r} are damaged: zarr.json does not say what was "
            f"written; `probe cache prune {store.key[:SHOWN]}` removes them"
        )


def _damaged_components(key: str, array: LayerArray, repair: bool) -> list[Damage]:
    """Read the principal components of a layer, if it has any."""
    file = array.path / "components.npz"
    if not file.exists():
        return []
    try:
        Components.load(file)
    except ProbeError:
        reason = "does not hold the components that were fitted"
        return [Damage(key, array.layer, file, reason, repair and _discard(file))]
    return []


def _folders(stores: Path) -> Iterator[Path]:
    """Folders that are called like a store."""
    if stores.is_dir():
        yield from sorted(p for p in stores.iterdir() if _KEY.fullmatch(p.name) and p.is_dir())


def _unread(path: Path) -> str:
    """Return why a store cannot be opened: a state of `UNREAD`, or `FOREIGN`."""
    if not _KEY.fullmatch(path.name):
        return FOREIGN  # whatever it is: nothing is removed that could be something else
    try:
        text = (path / "zarr.json").read_text()
    except FileNotFoundError:
        return "damaged" if _is_torn(path) or _has_layers(path) else FOREIGN
    except (OSError, ValueError):
        return "damaged"
    try:
        attributes = json.loads(text)["attributes"]
        version = int(attributes.get("format", 1)) if "request" in attributes else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return "damaged"
    if version is None:
        return FOREIGN
    return {-1: "old", 0: "damaged", 1: "newer"}[(version > FORMAT) - (version < FORMAT)]


def _is_torn(path: Path) -> bool:
    """Return whether a store was not even begun when its process was killed."""
    return all(inside.suffix == PARTIAL_SUFFIX for inside in path.iterdir())


def _has_layers(path: Path) -> bool:
    """Return whether a folder without a description holds layers of probe's all the same."""
    try:
        return any('"layer"' in file.read_text() for file in path.glob("*/zarr.json"))
    except (OSError, ValueError):
        return False


def _entry(path: Path) -> Entry:
    n_bytes, used = _bytes_of(path), _used(path)
    try:
        store = ActivationStore(path)
        layers = {layer: store.array(layer).share_done() for layer in store.layers}
    except ProbeError as error:
        return Entry(path, _unread(path), n_bytes, used, str(error))
    return Entry(
        path,
        "complete" if layers and min(layers.values()) == 1 else "incomplete",
        n_bytes,
        used,
        n_stimuli=store.n_stimuli,
        dtype=store.dtype,
        layers=layers,
        **_names(store),
    )


def _names(store: ActivationStore) -> dict[str, str]:
    names = {"model": "model", "weights": "weights", "stimuli": "stimuli", "reducer": "reduce"}
    return {name: str(store.about.get(key, "")) for name, key in names.items()}


def _in_words(entry: Entry) -> str:
    if entry.state in UNREAD:
        return UNREAD[entry.state]
    share = "" if entry.state == "complete" else f", {math.floor(100 * entry.share)} % complete"
    return f"{entry.model}, {entry.stimuli} ({entry.n_stimuli}), {len(entry.layers)} layers{share}"


def _leftovers(stores: Path) -> Iterator[tuple[Path, str]]:
    """What processes that were killed left, and lock files."""
    locks = assets.lock_of(stores / "store").parent
    if stores.is_dir():
        yield from ((p, TORN) for p in sorted(stores.iterdir()) if _REMOVED.fullmatch(p.name))
    for path in _folders(stores):
        if _is_torn(path):
            yield path, TORN
        elif (path / "zarr.json").is_file():
            yield from ((p, TORN) for p in sorted(path.rglob(f"*{PARTIAL_SUFFIX}")))
    yield from ((p, LOCK) for p in sorted(locks.glob("*.lock")))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock that a process holds while it writes here; fails at once if one does."""
    import filelock

    lock = _lock_of(path)
    if lock is None:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(lock, timeout=0):
        yield


def _lock_of(path: Path) -> Path | None:
    if path.suffix == ".lock":
        return path
    store = next((p for p in (path, *path.parents) if _KEY.fullmatch(p.name)), None)
    return assets.lock_of(store) if store else None


def _is_held(path: Path) -> bool:
    import filelock

    lock = _lock_of(path)
    if lock is None or not lock.exists():  # looking leaves no trace
        return False
    try:
        with _lock(path):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a cache that may only be read: what cannot be removed says so then
        return False


def _delete(path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    torn = path
    if not _REMOVED.fullmatch(path.name):
        torn = path.with_name(f".{path.name}.{uuid.uuid4().hex}.removed")
        path.rename(torn)
    shutil.rmtree(torn)


def _discard(shard: Path) -> bool:
    """Remove a damaged file, unless a process writes its store just now."""
    import filelock

    try:
        with _lock(shard):
            shard.unlink(missing_ok=True)
    except filelock.Timeout:
        return False
    except OSError as error:
        raise ProbeError(f"{str(shard)!r} cannot be removed ({error.strerror})") from None
    return True


def _seconds(age: str | None) -> float:
    if age is None:
        return 0.0
    match = _AGE.fullmatch(age.strip())
    if match is None:
        raise ProbeError(f"age {age!r}: expected a number and a unit, such as 12h, 30d or 8w")
    return float(match[1]) * _SECONDS[match[2]]


def _used(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:  # gone by now
        return datetime.now(UTC)


def _bytes_of(path: Path) -> int:
    if not path.is_dir():
        return _size(path)
    return sum(_size(Path(folder, f)) for folder, _, files in os.walk(path) for f in files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
