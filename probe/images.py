"""Pictures in: whatever a file holds becomes an upright 8-bit RGB picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from probe.errors import ProbeError

GREY = 128
"""What lies behind transparent pixels: mid-grey, as around the stimuli of most recordings."""


def read(source: Path | str | bytes | np.ndarray | Image.Image, name: str) -> Image.Image:
    """Read one picture as upright 8-bit RGB.

    The EXIF orientation is applied, transparency is laid over mid-grey, 16-bit values are scaled
    to 8 bits, and CMYK, palette and grey pictures become RGB.

    Parameters
    ----------
    source : path, bytes of a picture file, uint8 array (height, width[, 3]), or Pillow image
        The picture.
    name : str
        How error messages call it.

    Returns
    -------
    PIL.Image.Image
        Mode ``RGB``.

    Raises
    ------
    ProbeError
        If the picture cannot be read; the message names it.
    """
    try:
        if isinstance(source, np.ndarray):
            if source.dtype != np.uint8 or not (
                source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))
            ):
                raise ProbeError(
                    f"image {name!r} is an array of {source.dtype} and shape {source.shape}; "
                    "wanted uint8 of shape (height, width), (height, width, 3) or (…, 4)"
                )
            picture: Image.Image = Image.fromarray(source)
        elif isinstance(source, Image.Image):
            picture = source
        else:
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
                opened.load()
                picture = opened
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        return _to_rgb(ImageOps.exif_transpose(picture))
    except ProbeError:
        raise
    except FileNotFoundError:
        raise ProbeError(f"image {name!r} does not exist") from None
    except Exception as error:  # Pillow's many readers raise many kinds
        reason = str(error).split("\n")[0].replace("<_io.BytesIO object", "<bytes")
        raise ProbeError(f"image {name!r} cannot be read ({reason})") from None


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = np.asarray(picture).astype(np.float64)
        return Image.fromarray(np.clip(values / 257.0 + 0.5, 0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown: save it with 8 bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (GREY, GREY, GREY, 255))
        return Image.alpha_composite(behind, picture).convert("RGB")
    return picture.convert("RGB")
