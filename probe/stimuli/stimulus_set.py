"""Which images were shown, in which order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from probe import images
from probe.errors import ProbeError, suggest

Source = Path | bytes | np.ndarray
"""Where the pixels of one stimulus are: a picture file, its bytes, or a uint8 array."""


class StimulusSet:
    """An ordered set of named images.

    Parameters
    ----------
    ids : sequence of str
        One unique name per stimulus.
    sources : sequence of path, bytes or array
        One picture per stimulus: a file, the bytes of a file, or uint8 (height, width[, 3]).
        Files are opened when they are needed.
    name : str
        What the set is called in messages and results.

    Raises
    ------
    ProbeError
        If names repeat, or the numbers of names and pictures differ.
    """

    def __init__(self, ids: Sequence[str], sources: Sequence[Source], name: str) -> None:
        if len(ids) != len(sources):
            raise ProbeError(
                f"stimulus set {name!r} has {len(ids)} names for {len(sources)} pictures"
            )
        self.ids = tuple(str(i) for i in ids)
        self.name = name
        self._sources = tuple(sources)
        self._position = {stimulus: k for k, stimulus in enumerate(self.ids)}
        if len(self._position) < len(self.ids):
            twice = next(s for k, s in enumerate(self.ids) if self._position[s] != k)
            raise ProbeError(f"stimulus set {name!r} names {twice!r} more than once")

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
        name = str(source) if isinstance(source, Path) else f"{self.name}/{self.ids[position]}"
        return images.read(source, name)

    def index(self, ids: Sequence[str]) -> list[int]:
        """Give the positions of some stimuli.

        Raises
        ------
        ProbeError
            If one is missing; the message names it, and says how many are.
        """
        missing = [i for i in ids if i not in self._position]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ProbeError(
                f"stimulus {missing[0]!r}{others} not in stimulus set {self.name!r}"
                + suggest(missing[0], self.ids)
            )
        return [self._position[i] for i in ids]

    def subset(self, positions: Sequence[int]) -> StimulusSet:
        """Make a set of some of the stimuli, in the order given."""
        return StimulusSet(
            [self.ids[p] for p in positions], [self._sources[p] for p in positions], self.name
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of names, order and content: equal for equal sets, wherever the files lie."""
        digest = hashlib.sha256()
        for name, source in zip(self.ids, self._sources, strict=True):
            if isinstance(source, np.ndarray):
                content = repr((source.shape, source.dtype.str)).encode() + source.tobytes()
            elif isinstance(source, bytes):
                content = source
            else:
                try:
                    content = source.read_bytes()
                except OSError as error:
                    raise ProbeError(
                        f"image {str(source)!r} cannot be read ({error.strerror})"
                    ) from None
            for part in (name.encode(), content):
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
        return digest.hexdigest()
