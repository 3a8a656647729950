"""Where a result is written: whole files, in a folder that is known to take them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import ProbeError
from probe.output.replacing import replacing

if TYPE_CHECKING:
    import pandas as pd

MAX_NAME = 120
"""Longer names of folders end in a hash instead."""


def default_folder(
    models: str | Sequence[str],
    datasets: str | Sequence[str],
    *others: str | None,
    verb: str = "rsa",
) -> Path:
    """Where the command line puts a result: ``results/rsa-MODEL-DATASET``, and what else differs.

    Parameters
    ----------
    models, datasets : str or sequence of str
    *others : str or None
        Region, subject, weights, where they are not the default ones.
    verb : str
        The command.
    """
    named = [[names] if isinstance(names, str) else names for names in (models, datasets)]
    folders = [Path(name).expanduser() for name in named[1]]
    # A folder of one's own goes by its name, wherever it lies.
    of_data = [
        folder.resolve().name if folder.is_dir() else name
        for name, folder in zip(named[1], folders, strict=True)
    ]
    return Path("results") / plain_name(verb, *named[0], *of_data, *others)


def plain_name(*parts: str | None) -> str:
    """Join words to a name that every file system takes."""
    name = "-".join(part.removeprefix("./") for part in parts if part)
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    if len(plain) > MAX_NAME:
        plain = f"{plain[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return plain


def writable_folder(path: str | Path) -> Path:
    """Make a folder and see that it can be written.

    Raises
    ------
    ProbeError
        If it cannot.
    """
    folder = Path(path).expanduser()
    trial = folder / f".{os.getpid()}.writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ProbeError(
            f"result folder {str(folder)!r} cannot be written ({error.strerror}); "
            "choose another with --output"
        ) from None
    return folder


@contextlib.contextmanager
def place_for(path: str | Path) -> Iterator[Path]:
    """Make a folder that can be written; if nothing is put there, no trace of it is left."""
    folder = Path(path).expanduser()
    new_folders = [f for f in (folder, *folder.parents) if not f.exists()]
    try:
        yield writable_folder(folder)
    finally:
        for created in new_folders:
            with contextlib.suppress(OSError):  # it holds something
                created.rmdir()


Contents = Mapping[str, bytes | Callable[[Path], Any]]
"""By the name of a file its content, or what writes it whole or not at all, to a path."""


def write_all(folder: Path, contents: Contents) -> list[Path]:
    """Write files into a folder, one after the other, each whole or not at all.

    Raises
    ------
    ProbeError
        If one cannot be written.
    """
    written = []
    for name, content in contents.items():
        try:
            if isinstance(content, bytes):
                write_atomically(folder / name, content)
            else:
                content(folder / name)
        except OSError as error:
            raise ProbeError(
                f"{str(folder / name)!r} cannot be written ({error.strerror})"
            ) from None
        written.append(folder / name)
    return written


def csv(table: pd.DataFrame) -> bytes:
    """Return a table, without its index, as the content of a .csv file."""
    return table.to_csv(index=False).encode()


def read_pairs(path: Path) -> pd.DataFrame:
    """Read tests between layers or models, one for each pair of them, as ``.pairs`` of results.

    A page about a file in which some are missing would leave them out without a word.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, holds no tests, or not one for each pair.
    """
    import pandas as pd

    numbers = ["difference", "se", "p", "p_fdr", "p_holm"]
    # A layer may be called 'NA'.
    pairs = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in numbers})
    if missing := {"model_a", "model_b", *numbers} - set(pairs.columns):
        raise ValueError(f"{path.name} has no column {min(missing)}")
    pairs[numbers] = pairs[numbers].astype(float)
    n = len(set(pairs["model_a"]) | set(pairs["model_b"]))
    if len(pairs) != n * (n - 1) // 2:
        raise ValueError(f"{path.name} holds {len(pairs)} tests, not one for each pair of {n}")
    return pairs


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)
