"""Pictures for networks: whatever a file holds becomes an upright 8-bit RGB picture, in sRGB."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from probe.images.colour import Profile
from probe.images.editable import is_deep, open_picture
from probe.images.reading import (
    Picture,
    naming,
    over_grey,
    register_reader,
    to_pillow,
    to_rgb,
)
from probe.images.tags import meaning_of

COLOURS = "sRGB"
"""What the colours are that networks see; part of what activations are kept by."""

NOTES = "notes of probe"
"""Under which a picture that was read keeps them."""

_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def read(source: Picture, name: str) -> Image.Image:
    """Read one picture as upright 8-bit RGB.

    The EXIF orientation is applied, transparency is laid over mid-grey, 16-bit values are rounded
    to 8 bits, and CMYK, palette and grey pictures become RGB. Colours that the file does not mean
    as sRGB, by a profile or by numbers, are converted: networks were trained with pictures that are
    nearly all sRGB, or were published as if they were, so that these are the values by which they
    know a colour. (Programs that read with Pillow alone take the values as they stand.)

    Parameters
    ----------
    source : path, bytes of a picture file, uint8 array (height, width[, 3]), or Pillow image
        The picture.
    name : str
        How error messages call it.

    Returns
    -------
    PIL.Image.Image
        Mode ``RGB``; `notes_of` tells what was converted.

    Raises
    ------
    ProbeError
        If the picture cannot be read (`Unreadable`), or is no picture; the message names it.
    """
    with naming(name):
        if isinstance(source, (np.ndarray, Image.Image)):
            picture, content = to_pillow(source, name), None
        else:
            content = source if isinstance(source, bytes) else Path(source).read_bytes()
            register_reader(content)
            picture = Image.open(io.BytesIO(content))
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        if _is_plain(picture, content):
            picture.load()
            return to_rgb(ImageOps.exif_transpose(picture))
        original = open_picture(source if content is None else content, limit=np.inf)
        eight = np.floor(original.pixels * 255 + 0.5).astype(np.uint8)
        if original.alpha is None:
            rgb = Image.fromarray(eight)
        else:
            alpha = np.floor(original.alpha * 255 + 0.5).astype(np.uint8)
            rgb = over_grey(Image.fromarray(np.dstack([eight, alpha])))
        rgb.info[NOTES] = original.remarks
        return rgb


def notes_of(picture: Image.Image) -> list[str]:
    """Return what was converted, and what was wrong, when a picture was read; one line each."""
    return list(picture.info.get(NOTES, ()))


def _is_plain(picture: Image.Image, content: bytes | None) -> bool:
    """Return whether a picture has 8 bits and is sRGB, so that Pillow reads it as it is meant."""
    if picture.mode not in _PLAIN or (content is not None and is_deep(picture, content)):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meaning = meaning_of(picture, content, [])
    return meaning is None or (isinstance(meaning, Profile) and meaning.is_srgb)


def read_named(image: Picture) -> tuple[Image.Image, str]:
    """Read a picture as a user gives it, and tell its name: that of the file, or ``image``.

    Raises
    ------
    ProbeError
        As `read`.
    """
    name = str(image) if isinstance(image, (str, Path)) else "image"
    return read(Path(image) if isinstance(image, str) else image, name), name
