"""Is this file what the repository says it is?

A file is hashed in full once. A small record beside it keeps the result together with the file's
size and times, so that the next check costs one `stat`. The change time (ctime) is part of the
record, because a program can set back a file's modification time, but not that one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import BinaryIO, NamedTuple

from probe.output.replacing import replacing

CHUNK = 1 << 20
_TICK_NS = 20_000_000  # coarser than the clock that file systems stamp with


class Digest(NamedTuple):
    """Both hashes of one file's bytes, in hexadecimal."""

    sha256: str
    sha1: str


def digest(source: BinaryIO, copy_to: BinaryIO | None = None) -> Digest:
    """Hash what is left of an open file, copying it on the way if asked to."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    while chunk := source.read(CHUNK):
        sha256.update(chunk)
        sha1.update(chunk)
        if copy_to is not None:
            copy_to.write(chunk)
    return Digest(sha256.hexdigest(), sha1.hexdigest())


def digest_of(path: Path) -> Digest:
    """Hash a file in full."""
    with open(path, "rb") as opened:
        return digest(opened)


def matches(expected: str, found: Digest) -> bool:
    """Compare with ``sha256:HEX``, ``sha1:HEX`` or ``sha256-prefix:HEX``."""
    scheme, _, value = expected.partition(":")
    if scheme == "sha256-prefix":
        return found.sha256.startswith(value)
    return {"sha256": found.sha256, "sha1": found.sha1}[scheme] == value


def shown(expected: str, found: Digest) -> str:
    """Write a found hash in the scheme of the expected one."""
    scheme = "sha1" if expected.startswith("sha1:") else "sha256"
    return f"{scheme}:{getattr(found, scheme)}"


def record_path(path: Path) -> Path:
    """Where the record of a file lies."""
    return path.with_name(f".{path.name}.check.json")


def noted(path: Path) -> Digest | None:
    """Return the hashes from the record, unless the file was touched since."""
    record = _record(path)
    if record is None or any(record.get(key) != value for key, value in _times(path).items()):
        return None
    return Digest(record["sha256"], record["sha1"])


def noted_before(path: Path) -> Digest | None:
    """Return the hashes from the record, whatever became of the file."""
    record = _record(path)
    return None if record is None else Digest(record["sha256"], record["sha1"])


def check(path: Path) -> Digest:
    """Return a file's hashes: of its record if nothing was touched, else by hashing it in full."""
    return noted(path) or note(path)


def note(path: Path) -> Digest:
    """Hash a file in full, and write the record."""
    # A change within one tick of the clock after our stat would not show in the times.
    age = time.time_ns() - path.stat().st_ctime_ns
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
    times = _times(path)
    digest = digest_of(path)
    record = record_path(path)
    # Without a record (a cache that we may only read) every check is a full one.
    with contextlib.suppress(OSError), replacing(record) as partial:
        partial.write_text(json.dumps({**digest._asdict(), **times}))
    return digest


def discard(path: Path) -> str:
    """Remove a bad file of the cache and its record; say what to do next."""
    try:
        path.unlink(missing_ok=True)
        record_path(path).unlink(missing_ok=True)
    except OSError as error:
        return f"it could not be removed ({error.strerror}): remove it and run again"
    return "it was removed: run again to get it anew"


def _record(path: Path) -> dict | None:
    try:
        record = json.loads(record_path(path).read_text())
        return record if {"sha256", "sha1"} <= record.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _times(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
