"""One way to write a file: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""How the name of a file ends that is being written. What a killed process left is told by it."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file that is there entirely or not at all, whatever happens.

    Parameters
    ----------
    path : Path
        The file. What lies there is replaced in one step, and otherwise stays as it is.

    Yields
    ------
    Path
        A hidden file in the same folder, to be written and closed: process and thread are part of
        its name, so that nobody else writes there.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "result.txt")
    ...     with replacing(path) as partial:
    ...         _ = partial.write_text("r = 0.5")
    ...     [file.name for file in Path(folder).iterdir()]
    ['result.txt']
    """
    writer = f"{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.name}.{writer}{PARTIAL_SUFFIX}")
    try:
        yield partial
        flush(partial)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first of two errors is the one to tell
            partial.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Bring the bytes of a file from the system's memory to the disk."""
    # A name that survives a power cut must not be that of a file that did not.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
