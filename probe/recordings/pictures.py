"""Names of stimuli, as recordings list them, and the picture files that they mean."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from probe.formats.names import as_text


def picture_names(listed: Sequence[str], pictures: Sequence[str]) -> list[str | None]:
    """Return the picture that each name means.

    Parameters
    ----------
    listed : sequence of str
        A picture's name, with or without its ending, or its path on any system.
    pictures : sequence of str
        Names of the pictures that are there, perhaps below folders.

    Returns
    -------
    list of str or None
        One of the pictures for each name; None where no picture is called so. Of two pictures
        that differ in their endings or folders only, these have to be given.
    """
    full_names = {unicodedata.normalize("NFC", name): name for name in pictures}
    tables = [full_names]
    for part in (
        lambda name: str(PurePosixPath(name).with_suffix("")),
        lambda name: PurePosixPath(name).name,
        lambda name: PurePosixPath(name).stem,
    ):
        parts = Counter(part(name) for name in full_names)
        tables.append(
            {part(name): full_names[name] for name in full_names if parts[part(name)] == 1}
        )
    names: list[str | None] = []
    for text in listed:
        name = as_text(text)
        last = name.replace("\\", "/").rpartition("/")[2]
        meant = (by_name.get(one) for one in (name, last) for by_name in tables)
        names.append(next(filter(None, meant), None))
    return names
