"""Pictures that are worked on and given back: floating point, and all that their file held."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from probe.errors import ProbeError
from probe.images import colour
from probe.images.colour import Numbers, Profile
from probe.images.metadata import kept_exif
from probe.images.reading import Picture, naming, reason, register_reader, to_pillow
from probe.images.tags import meaning_of

LIMIT = 200.0
"""Megapixels that are read, if nothing else is said: what seven photographs of a phone hold."""

# What is damaged is told by its errors; unless the user listens, its warnings go nowhere.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_UPRIGHT: dict[int, Any] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""What makes a picture upright, by its EXIF orientation (CIPA DC-008, 4.6.4)."""


@dataclass(frozen=True, eq=False)
class Original:
    """A picture as it was given: its pixels to work on, and what is put back when it is saved.

    Attributes
    ----------
    pixels : numpy.ndarray, float32, (height, width, 3), in [0, 1]
        Upright, in sRGB. Under transparent places stands what the file has there.
    alpha : numpy.ndarray or None, float32, (height, width), in [0, 1]
        How opaque it is; None where all of it is.
    name : str
        How messages call it.
    depth : int
        Bits of a value in the file: 8 or 16.
    grey : bool
        Whether the file holds grey values.
    profile : Profile or None
        What the numbers in the file mean, where it says so.
    exif : bytes
        What the camera wrote, without the orientation and the thumbnail.
    notes : tuple of str
        What was wrong with the file and did not keep it from being read; one line each.
    """

    pixels: np.ndarray = field(repr=False)
    alpha: np.ndarray | None = field(repr=False)
    name: str
    depth: int = 8
    grey: bool = False
    profile: Profile | None = field(default=None, repr=False)
    exif: bytes = field(default=b"", repr=False)
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of how it was read: the notes, and that its profile counts."""
        if self.profile is None or self.profile.is_srgb or any("to sRGB" in n for n in self.notes):
            return self.notes
        return (*self.notes, "its colours were converted to sRGB, by its colour profile")


def open_picture(source: Picture, *, limit: float = LIMIT) -> Original:
    """Read a picture to work on and to give back.

    The EXIF orientation is applied. Colours that the file does not mean as sRGB, by an ICC profile
    or by numbers (cICP, gAMA and cHRM in PNG, nclx in AVIF), are converted, in floating point; by a
    profile that is made of tables, such as those of CMYK, at 8 bits. Colours outside of sRGB become
    the nearest per channel. PNG and TIFF files are read with all of their 16 bits. Of an animation,
    the first frame. A colour profile or EXIF data that are damaged are left out, and
    `Original.notes` says so.

    Parameters
    ----------
    source : path, bytes, uint8 array (height, width[, 3 or 4]), or Pillow image
    limit : float
        Megapixels; a larger picture is refused before it is decoded.

    Returns
    -------
    Original

    Raises
    ------
    ProbeError
        If it cannot be read, is no picture, or is too large.
    """
    name = str(source) if isinstance(source, (str, Path)) else "image"
    with naming(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow says of damaged metadata; see the notes
        return _original(source, name, limit)


def sha256_of(picture: Original) -> str:
    """Hash a picture's content: pixels and alpha, whatever kind of file they are in."""
    content = hashlib.sha256(np.ascontiguousarray(picture.pixels).data)
    if picture.alpha is not None:
        content.update(np.ascontiguousarray(picture.alpha).data)
    return content.hexdigest()


def _original(source: Picture, name: str, limit: float) -> Original:
    if isinstance(source, (np.ndarray, Image.Image)):
        opened = to_pillow(source, name)
        _check_size(opened, name, limit)
        file = None
        levels, alpha = _apart(opened)
    else:
        file = content = (
            source if isinstance(source, bytes) else Path(source).expanduser().read_bytes()
        )
        register_reader(content)
        opened = _opened(io.BytesIO(content))
        _check_size(opened, name, limit)
        levels, alpha = _levels(opened, content)
    notes: list[str] = []
    if opened.format == "TIFF" and getattr(opened, "n_frames", 1) > 1:
        notes.append(f"of its {opened.n_frames} pages, the first was read")  # type: ignore[attr-defined]
    top = np.iinfo(levels.dtype).max
    pixels, profile = _in_srgb(levels, meaning_of(opened, file, notes), notes)
    orientation, exif = _exif(opened, notes)
    upright = _UPRIGHT.get(orientation, lambda a: a)
    return Original(
        np.ascontiguousarray(upright(pixels)),
        None if alpha is None else np.ascontiguousarray(upright(alpha / np.float32(top))),
        name,
        8 if levels.dtype == np.uint8 else 16,
        levels.ndim == 2,
        profile,
        exif,
        tuple(notes),
    )


def _opened(content: IO[bytes]) -> ImageFile.ImageFile:
    """Open a picture as `PIL.Image.open` does, save that a large one is not refused."""
    Image.init()
    prefix, why = content.read(16), ""
    for kind in Image.ID:
        factory, accepts = Image.OPEN[kind]
        content.seek(0)
        try:
            if accepts is None or accepts(prefix) is True:
                return factory(content, "")
        except (SyntaxError, IndexError, TypeError, KeyError, struct.error) as error:
            if accepts is not None and len(prefix) == 16 and not why:
                why = f"a {kind} file that is damaged, or not of a known kind"
                if not isinstance(error, struct.error) and "driver" not in str(error):
                    why += f": {reason(error)}"
    if not prefix:
        raise ValueError("the file is empty")
    raise UnidentifiedImageError(why or f"not identified as a picture; it begins with {prefix!r}")


def _check_size(opened: Image.Image, name: str, limit: float) -> None:
    if 0 in opened.size:
        raise ValueError("it has no pixels")
    million = opened.width * opened.height / 1e6
    if million > limit:
        raise ProbeError(
            f"image {name!r} has {opened.width} × {opened.height} pixels, {million:.0f} megapixels;"
            f" the limit is {limit:g} megapixels"
        )


def _levels(opened: ImageFile.ImageFile, content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode a picture at its own depth.

    Returns
    -------
    levels : numpy.ndarray, uint8 or uint16, (height, width[, 3 or 4])
        Grey, RGB or CMYK.
    alpha : numpy.ndarray or None, of the same type, (height, width)
    """
    if not is_deep(opened, content):
        opened.load()
        return _apart(opened)
    if opened.format == "TIFF":
        return _decode_tiff(content)
    opened.load()  # what stands behind the pixels, and every checksum
    return _decode_png(content)


def is_deep(opened: Image.Image, content: bytes) -> bool:
    """Return whether a file is a PNG or a TIFF of 12 or 16 bits, of which Pillow may keep 8."""
    if opened.format == "PNG":
        return content[24] == 16  # W3C 2023, 11.2.1
    return isinstance(opened, TiffImageFile) and opened.mode not in ("I", "F") and _bits(opened) > 8


def _bits(tiff: TiffImageFile) -> int:
    return int(max(tiff.tag_v2.get(258, (1,))))


def _widen(values: np.ndarray, bits: int) -> np.ndarray:
    """Let values of a number of bits fill 16."""
    if bits == 16:
        return values
    return np.floor(values * (65535 / (2**bits - 1)) + 0.5).astype(np.uint16)


def _decode_png(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode a PNG file of 16 bits; a colour that is transparent becomes an alpha."""
    import imagecodecs

    values: np.ndarray = imagecodecs.png_decode(_without_metadata(content))
    if values.ndim == 3 and values.shape[2] in (2, 4):
        colours = values[..., 0] if values.shape[2] == 2 else values[..., :3]
        return colours, values[..., -1]
    return values, None


def _without_metadata(png: bytes) -> bytes:
    """Return a PNG file without its metadata: libpng prints what it finds wrong with them."""
    parts, at = [png[:8]], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] in (b"IHDR", b"tRNS", b"IDAT", b"IEND"):
            parts.append(png[at:end])
        at = end
    return b"".join(parts)


def _decode_tiff(content: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode the first page of a TIFF file of 12 or 16 bits."""
    from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffFile

    with TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        if page.imagedepth != 1:
            raise ValueError("a volume: save the section that is meant as a picture")
        # (channels that lie apart, 1, row, column, channels that lie together)
        values = np.moveaxis(page.asarray(squeeze=False)[:, 0], 0, 2)
    values = _widen(values.reshape(*values.shape[:2], -1), page.bitspersample)
    n_colours = {PHOTOMETRIC.RGB.value: 3, PHOTOMETRIC.SEPARATED.value: 4}.get(page.photometric, 1)
    colours = values[..., 0] if n_colours == 1 else values[..., :n_colours]
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        colours = 65535 - colours
    kind = page.extrasamples[0] if page.extrasamples else EXTRASAMPLE.UNASSALPHA
    if values.shape[2] == n_colours or kind == EXTRASAMPLE.UNSPECIFIED:
        return colours, None
    alpha = values[..., n_colours]
    if kind == EXTRASAMPLE.ASSOCALPHA:  # colours were multiplied by it
        share = np.maximum(alpha, 1) / 65535
        straight = colours / (share if colours.ndim == 2 else share[..., None])
        colours = np.floor(np.minimum(straight, 65535) + 0.5).astype(np.uint16)
    return colours, alpha


def _apart(picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values of a picture as Pillow holds it, and its alpha apart."""
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown: save it with 16 bits")
    if picture.mode == "I" and picture.format == "TIFF":
        raise ValueError("signed or 32-bit pixels, whose range is unknown: save it with 16 bits")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels, whose range is unknown: save it with 16 bits")
        values = values.astype(np.uint16)
        if isinstance(picture, TiffImageFile):
            values = _widen(values, _bits(picture))
            if picture.tag_v2.get(262) == 0:
                values = 65535 - values  # white is zero, which Pillow knows of 8 bits alone
        return values, _keyed(values, picture.info.get("transparency"))
    if picture.has_transparency_data:
        grey = picture.mode in ("1", "L", "LA", "La")
        both = np.asarray(picture.convert("LA" if grey else "RGBA"))
        return (both[..., 0] if grey else both[..., :3]), both[..., -1]
    if picture.mode == "CMYK":
        return np.asarray(picture), None
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB")), None


def _keyed(values: np.ndarray, transparent: Any) -> np.ndarray | None:
    """Return the alpha of a picture in which one colour is transparent."""
    if not isinstance(transparent, (int, tuple)):
        return None
    same = values == np.asarray(transparent)
    return np.where(same.all(2) if values.ndim == 3 else same, 0, 65535).astype(np.uint16)


def _in_srgb(
    levels: np.ndarray, meaning: Profile | Numbers | None, notes: list[str]
) -> tuple[np.ndarray, Profile | None]:
    if isinstance(meaning, Numbers) and meaning.is_hdr:
        return meaning.to_srgb(levels), None
    profile = meaning.profile if isinstance(meaning, Numbers) else meaning
    if profile is not None and not profile.is_srgb:
        try:
            return colour.to_srgb(levels, profile), profile
        except ValueError as error:
            profile = None
            notes.append(f"its colour profile was left out ({reason(error)})")
    if levels.ndim == 3 and levels.shape[2] == 4:
        if profile is None:
            notes.append("it does not say what its inks look like: its colours are approximate")
        levels = np.asarray(colour.as_pillow(levels).convert("RGB"))
    pixels = levels / np.float32(np.iinfo(levels.dtype).max)
    return (np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels), profile


def _exif(opened: Image.Image, notes: list[str]) -> tuple[int, bytes]:
    """Return the orientation that is still to be applied, and the EXIF data that are kept."""
    orientation = 1
    try:
        exif = opened.getexif()
        value = exif.get(ExifTags.Base.Orientation, 1)
        orientation = value if isinstance(value, int) else 1
        return orientation, kept_exif(exif)
    except Exception as error:  # EXIF data break in many ways
        notes.append(f"its EXIF data were left out ({reason(error)})")
        return orientation, b""
