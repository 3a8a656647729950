"""Which images were shown, in which order."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from probe import images
from probe.errors import ProbeError, suggest
from probe.formats.names import as_text
from probe.progress import apart, track
from probe.stimuli.archive import Member

if TYPE_CHECKING:
    import pandas as pd

Source = Path | Member | bytes | np.ndarray
"""Where the pixels of one stimulus are: a picture file, a member of a zip archive, the bytes of a
file, or a uint8 array.
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


class StimulusSet:
    """An ordered set of named images.

    Parameters
    ----------
    ids : sequence of str
        One unique name per stimulus: text, or numbers, of which 1 and 1.0 are the name ``1``.
    sources : sequence of path, zip member, bytes or array
        One picture per stimulus: a file, a file in a zip archive, the bytes of a file, or uint8
        (height, width[, 3]). Files are opened when they are needed.
    name : str
        What the set is called in messages and results.
    metadata : pandas.DataFrame, optional
        What else is known of the stimuli, one row for each, in their order.
    skipped : sequence of (str, str)
        Names of images that were left out, and why.
    content_hashes : sequence of str, optional
        The pictures' hashes, where they are known; otherwise they are computed when needed.

    Attributes
    ----------
    ids : tuple of str
        The names, in order.
    name : str
        What the set is called.
    metadata : pandas.DataFrame or None
        Indexed by ``ids``.
    skipped : tuple of (str, str)
        Which images were left out, and why.

    Raises
    ------
    ProbeError
        If names repeat, or the numbers of names and pictures differ.
    """

    def __init__(
        self,
        ids: Sequence[str],
        sources: Sequence[Source],
        name: str,
        *,
        metadata: pd.DataFrame | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        content_hashes: Sequence[str] | None = None,
    ) -> None:
        for count, what in (
            (len(sources), "pictures"),
            (len(ids) if metadata is None else len(metadata), "rows of metadata"),
            (len(ids) if content_hashes is None else len(content_hashes), "hashes"),
        ):
            if len(ids) != count:
                raise ProbeError(f"stimulus set {name!r} has {len(ids)} names for {count} {what}")
        try:
            self.ids = tuple(as_text(i) if not isinstance(i, str) else str(i) for i in ids)
        except ValueError as error:
            raise ProbeError(f"stimulus set {name!r}: {error}") from None
        self.name = name
        self.skipped = tuple(skipped)
        self._sources = tuple(sources)
        # Names are kept as they are, since hashes go by them; accents are the same in either form.
        self._position = {as_text(stimulus): k for k, stimulus in enumerate(self.ids)}
        if len(self._position) < len(self.ids):  # two forms of one name, or one twice
            self._position = {stimulus: k for k, stimulus in enumerate(self.ids)}
        if len(self._position) < len(self.ids):
            twice = next(s for k, s in enumerate(self.ids) if self._position[s] != k)
            raise ProbeError(f"stimulus set {name!r} names {twice!r} more than once")
        self.metadata = None
        if metadata is not None:
            self.metadata = metadata.set_axis(list(self.ids)).rename_axis(index="stimulus_id")
        if content_hashes is not None:
            self.content_hashes = tuple(content_hashes)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"StimulusSet({self.name!r}, {len(self)} stimuli)"

    def image(self, position: int) -> Image.Image:
        """Read one stimulus as an upright RGB picture.

        Raises
        ------
        ProbeError
            If the picture cannot be read; the message names the stimulus.
        """
        source = self._sources[position]
        if isinstance(source, Member):
            return images.read(source.read(), str(source))
        name = str(source) if isinstance(source, Path) else f"{self.name}/{self.ids[position]}"
        hashes = self.__dict__.get("content_hashes")
        if isinstance(source, Path) and hashes is not None:
            # Results go by the hash that the file had: they must not be those of another.
            try:
                content = source.read_bytes()
            except OSError:
                return images.read(source, name)  # which says what is wrong
            if hashlib.sha256(content).hexdigest() != hashes[position]:
                raise ProbeError(f"image {name!r} has changed since it was listed: start again")
            return images.read(content, name)
        return images.read(source, name)

    def content(self, position: int) -> bytes:
        """Read the file of one stimulus as it is.

        Raises
        ------
        ProbeError
            If it cannot be read, has changed since it was listed, or is an array, no file.
        """
        source = self._sources[position]
        if isinstance(source, np.ndarray):
            raise ProbeError(f"stimulus {self.ids[position]!r} of {self.name!r} is not a file")
        if isinstance(source, Member):
            return source.read()
        if isinstance(source, bytes):
            return source
        try:
            content = source.read_bytes()
        except OSError as error:
            raise images.Unreadable(str(source), error.strerror or str(error)) from None
        hashes = self.__dict__.get("content_hashes")
        if hashes is not None and hashlib.sha256(content).hexdigest() != hashes[position]:
            raise ProbeError(f"image {str(source)!r} has changed since it was listed: start again")
        return content

    def suffix(self, position: int) -> str:
        """Return the ending of one stimulus's file, with its dot; empty where there is none."""
        source = self._sources[position]
        name = source.name if isinstance(source, Path | Member) else ""
        return Path(name).suffix

    def index(self, ids: Sequence[str]) -> list[int]:
        """Return the positions of some stimuli.

        Raises
        ------
        ProbeError
            If one is missing; the message names it, and says how many are.
        """
        names = [i if i in self._position else as_text(i) for i in ids]
        missing = [i for i in names if i not in self._position]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ProbeError(
                f"stimulus {missing[0]!r}{others} not in stimulus set {self.name!r}"
                + suggest(missing[0], self.ids)
            )
        return [self._position[i] for i in names]

    def subset(self, positions: Sequence[int]) -> StimulusSet:
        """Make a set of some of the stimuli, in the order given."""
        positions = [int(p) for p in positions]
        hashes = self.__dict__.get("content_hashes")  # not computed for the subset's sake
        return StimulusSet(
            [self.ids[p] for p in positions],
            [self._sources[p] for p in positions],
            self.name,
            metadata=None if self.metadata is None else self.metadata.iloc[positions],
            skipped=self.skipped,
            content_hashes=None if hashes is None else [hashes[p] for p in positions],
        )

    @cached_property
    def content_hashes(self) -> tuple[str, ...]:
        """SHA-256 of each picture's content: of a file's bytes, or of an array's values.

        Raises
        ------
        ProbeError
            If a file cannot be read; the message names it.
        """
        return tuple(in_threads(_content_hash, self._sources, desc="hashing images"))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of names, order and content: equal for equal sets, wherever the files lie."""
        return hash_of(self.ids, self.content_hashes)


def hash_of(ids: Iterable[str], content_hashes: Iterable[str]) -> str:
    """Hash names, order and content of stimuli, for `StimulusSet.hash`."""
    digest = hashlib.sha256()
    for stimulus, content in zip(ids, content_hashes, strict=True):
        name = stimulus.encode()
        digest.update(len(name).to_bytes(8, "little") + name + bytes.fromhex(content))
    return digest.hexdigest()


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    desc: str,
    progress: bool | None = None,
) -> list[Result]:
    """Apply a function to every image in threads, under a progress bar.

    Only a few items are worked at a time, so that an exception or Ctrl-C ends it at once.

    Parameters
    ----------
    function : callable
        Should spend its time where Python's lock is free: reading, hashing, decoding.
    items : sequence
        What it is applied to.
    desc : str
        What the bar says.
    progress : bool, optional
        Show the bar; by default when a person is watching, and it takes more than a second.

    Returns
    -------
    list
        The results, in the order of the items.
    """
    results: list[Result] = []
    ahead: deque[Future[Result]] = deque()
    delay = 1.0 if progress is None else 0.0
    with (
        apart(),
        track(total=len(items), desc=desc, unit="img", progress=progress, delay=delay) as bar,
        ThreadPoolExecutor(thread_name_prefix="images") as pool,
    ):
        try:
            for item in items:
                if len(ahead) == 256:
                    results.append(ahead.popleft().result())
                    bar.update()
                ahead.append(pool.submit(function, item))
            while ahead:
                results.append(ahead.popleft().result())
                bar.update()
        finally:
            for future in ahead:
                future.cancel()
    return results


def _content_hash(source: Source) -> str:
    if isinstance(source, np.ndarray):
        content = repr((source.shape, source.dtype.str)).encode() + source.tobytes()
    elif isinstance(source, Member):
        content = source.read()
    elif isinstance(source, bytes):
        content = source
    else:
        try:
            with source.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise images.Unreadable(str(source), error.strerror or str(error)) from None
    return hashlib.sha256(content).hexdigest()
