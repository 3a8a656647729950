"""Pictures that the file of a recording holds itself."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from probe.errors import ProbeError, suggest
from probe.recordings.importing.options import Options
from probe.recordings.importing.presented import Presented
from probe.recordings.pictures import picture_names
from probe.stimuli import StimulusSet

INSIDE = "the file"
"""What a set of pictures is called that were inside the file of the responses."""


def pictures_inside(
    presented: Presented, names: Sequence[str], options: Options, where: str, notes: list[str]
) -> StimulusSet | None:
    """Return the pictures that a file holds of those that were shown, as PNG files.

    Parameters
    ----------
    presented : Presented
    names : sequence of str
        What was shown, each once.
    options : Options
        ``picture_axes`` says how they lie.
    where : str
        What errors call the file.
    notes : list of str
        One is added.

    Returns
    -------
    StimulusSet or None
        None where the file holds none of them, or it is not said how they lie.

    Raises
    ------
    ProbeError
        If it is said how they lie and there is none; if some are missing, or are not 8-bit.
    """
    stored = presented.pictures
    meant = picture_names(names, list(stored))
    if not any(meant):
        if options.picture_axes is not None:
            raise ProbeError(
                f"{where} holds no picture that {presented.label_name} names: leave out "
                "--picture-axes, and name the folder of the pictures with --stimuli"
            )
        return None
    if options.picture_axes is None:
        notes.append(
            "the file holds the pictures; whether rows or columns come first it does not say: "
            "--picture-axes y,x (as most programs write) or x,y (as the schema of NWB says)"
        )
        return None
    if None in meant:
        lacking = names[meant.index(None)]
        raise ProbeError(
            f"{where} holds pictures, but none called {lacking!r} ({meant.count(None)} of "
            f"{len(meant)}){suggest(lacking, stored)}: name their folder with --stimuli"
        )
    files = []
    for name in meant:
        assert name is not None
        pixels = stored[name]
        if pixels.dtype != np.uint8:
            raise ProbeError(
                f"{where}: picture {name!r} is of {pixels.dtype}, whose black and white are not "
                "known: save the pictures as files, and name their folder with --stimuli"
            )
        if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
            raise ProbeError(
                f"{where}: picture {name!r} has shape {pixels.shape}: expected two axes, or a "
                "third one of 3 or 4 colours"
            )
        if options.picture_axes == "x,y":
            pixels = pixels.swapaxes(0, 1)
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
        files.append(file.getvalue())
    first = "rows" if options.picture_axes == "y,x" else "columns"
    notes.append(f"the pictures are those inside the file, read {first} first as you say")
    ids = [f"{str(name).removesuffix('.png')}.png" for name in meant]
    return StimulusSet(ids, files, INSIDE)
