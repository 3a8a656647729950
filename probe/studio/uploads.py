"""Pictures that come through the browser: checked, shown small, and laid where a job takes them."""

from __future__ import annotations

import base64
import io
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.output.files import plain_name

MEGABYTES = 200
"""Size of a file that is taken, at most."""

MEGAPIXELS = 50.0
"""Size of a picture that is taken, at most: what the largest photographs of cameras hold."""


def check(path: Path) -> None:
    """Check that a file is a picture that a job can take; a film is left to the job.

    Raises
    ------
    ProbeError
        If it is none, is damaged, or is too large. It says so as the commands do.
    """
    if path.suffix.lower() in images.MOVIES:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, at half of what it refuses
        n_pixels, _ = images.check(path.read_bytes(), path.name)
    million = n_pixels / 1e6
    if million > MEGAPIXELS:
        raise ProbeError(
            f"image {path.name!r} has {million:.0f} megapixels; the limit of this page is "
            f"{MEGAPIXELS:g} megapixels"
        )


def lay(files: Sequence[Path], folder: Path) -> list[str]:
    """Lay files into the folder of a job, as they are, under names that need no care.

    Returns
    -------
    list of str
        Their names there, in order: those that they had, but for characters that a shell or a file
        system minds. Of two that are called the same, one gets a number.
    """
    names: list[str] = []
    for file in files:
        stem = plain_name(file.stem).strip("-.") or "picture"
        kind = plain_name(file.suffix)
        name, k = stem + kind, 2
        while (folder / name).exists():
            name, k = f"{stem}-{k}{kind}", k + 1
        try:
            os.link(file, folder / name)
        except OSError:  # another disk
            shutil.copyfile(file, folder / name)
        names.append(name)
    return names


def as_url(path: Path, longer: int) -> str:
    """Return a picture as a data URL, made smaller if need be, such that a page can hold it.

    Parameters
    ----------
    path : Path
    longer : int
        Pixels of the longer side, at most.

    Raises
    ------
    ProbeError
        If it cannot be read.
    """
    # At once: the file of a preview is replaced by the next one, and removed.
    picture = images.read(path.read_bytes(), path.name)
    picture.thumbnail((longer, longer), Image.Resampling.BOX)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
