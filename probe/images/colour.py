"""What the numbers of a picture mean: ICC profiles, to sRGB and back, at 8 and 16 bits.

Nearly every profile of a photograph is a matrix between three curves (ICC.1:2022, annex F.3). It is
applied here in floating point, since LittleCMS, as Pillow has it, takes and gives 8 bits. Profiles
made of tables (printers, scanners; all of CMYK) do go through LittleCMS.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from PIL import Image, ImageCms

FINEST = 65536
"""Levels at which the curves of a profile are known: those of 16 bits."""

ROWS = 128
"""Rows that are converted at a time, which bounds the memory."""

ALIKE = 0.5 / 255
"""A profile whose colours are nearer to sRGB than half a step of 8 bits is sRGB."""

_KINDS = {"RGB ": "RGB", "GRAY": "grey", "CMYK": "CMYK"}


@dataclass(frozen=True, eq=False)
class Profile:
    """An ICC profile.

    Attributes
    ----------
    content : bytes
        As it stands in files.
    kind : str
        ``RGB``, ``grey`` or ``CMYK``.
    curves : numpy.ndarray or None, float64, (1 or 3, 65536)
        The light of every level of 16 bits, of each channel. None where the profile is made of
        tables, which are left to LittleCMS.
    matrix : numpy.ndarray, float64, (3, 3)
        From light in the profile's primaries to XYZ under D50.
    """

    content: bytes
    kind: str
    curves: np.ndarray | None
    matrix: np.ndarray

    @cached_property
    def is_srgb(self) -> bool:
        """Whether its colours are those of sRGB, to half a step of 8 bits."""
        if self.kind != "RGB" or self.curves is None:
            return False
        steps = np.linspace(0, 255, 18).astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(18, -1, 3)
        return bool(np.abs(to_srgb(grid, self) - grid / np.float32(255)).max() < ALIKE)


def read_profile(content: bytes) -> Profile:
    """Read an ICC profile.

    Raises
    ------
    ValueError
        If it is damaged, or of a kind of colour that pictures are not kept in.
    """
    if len(content) < 132 or content[36:40] != b"acsp":
        raise ValueError("it is no ICC profile")
    space = content[16:20].decode("latin-1")
    if space not in _KINDS:
        raise ValueError(f"it is for {space.strip()!r}")
    try:
        tags = _tags(content)
        if _KINDS[space] == "CMYK" or "A2B0" in tags or content[20:24] != b"XYZ ":
            _lcms(content)  # raises what is wrong with it
            return Profile(content, _KINDS[space], None, np.eye(3))
        if space == "GRAY":
            return Profile(content, "grey", _curve(tags["kTRC"])[None], np.eye(3))
        curves = np.stack([_curve(tags[f"{band}TRC"]) for band in "rgb"])
        matrix = np.stack([_numbers(tags[f"{band}XYZ"], 8, 3) for band in "rgb"], axis=1)
    except KeyError as error:
        raise ValueError(f"it has no entry {error.args[0]!r}") from None
    except (struct.error, OSError, ImageCms.PyCMSError) as error:
        raise ValueError(str(error) or "it is damaged") from None
    if not (np.isfinite(curves).all() and abs(np.linalg.det(matrix)) > 1e-6):
        raise ValueError("its primaries do not make colours")
    return Profile(content, "RGB", curves, matrix)


@cache
def srgb() -> Profile:
    """Give the profile of sRGB, the same bytes every time."""
    made = bytearray(_lcms(None).tobytes())
    made[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # when it was made: not now
    content = bytes(made)
    tags = _tags(content)
    return Profile(
        content,
        "RGB",
        np.stack([_curve(tags[f"{band}TRC"]) for band in "rgb"]),
        np.stack([_numbers(tags[f"{band}XYZ"], 8, 3) for band in "rgb"], axis=1),
    )


def to_srgb(levels: np.ndarray, profile: Profile) -> np.ndarray:
    """Convert a picture to sRGB; colours that sRGB does not hold become the nearest per channel.

    Parameters
    ----------
    levels : numpy.ndarray, uint8 or uint16, (height, width[, 3 or 4])
        Grey, RGB or CMYK. Grey values in an RGB profile are equal parts of the three. Where the
        profile is made of tables, 16 bits count as 8.
    profile : Profile

    Returns
    -------
    numpy.ndarray, float32, (height, width, 3), in [0, 1]

    Raises
    ------
    ValueError
        If the profile is for other colours.
    """
    has = {2: "grey", 3: "RGB"}.get(levels.ndim if levels.ndim == 2 else levels.shape[2], "CMYK")
    if profile.kind != has and (profile.kind, has) != ("RGB", "grey"):
        raise ValueError(f"it is for {profile.kind}, and the picture is {has}")
    if has == "grey" and profile.kind == "RGB":
        levels = np.repeat(levels[:, :, None], 3, axis=2)
    if profile.curves is None:
        return _by_tables(levels, profile)
    top = np.iinfo(levels.dtype).max
    curves = profile.curves[:, :: (FINEST - 1) // top].astype(np.float32)
    across = (np.linalg.inv(srgb().matrix) @ profile.matrix).astype(np.float32).T
    out = np.empty((*levels.shape[:2], 3), np.float32)
    for rows in _rows(len(levels)):
        if profile.kind == "grey":
            light = np.repeat(curves[0][levels[rows]][:, :, None], 3, axis=2)
        else:
            light = np.stack([curves[k][levels[rows, :, k]] for k in range(3)], axis=2) @ across
        out[rows] = _encoded(light)
    return out


def from_srgb(pixels: np.ndarray, profile: Profile) -> np.ndarray:
    """Convert a picture from sRGB to an RGB profile: the other way round than `to_srgb`.

    Parameters
    ----------
    pixels : numpy.ndarray, float32, (height, width, 3), in [0, 1]
    profile : Profile

    Returns
    -------
    numpy.ndarray, float32, (height, width, 3), in [0, 1]

    Raises
    ------
    ValueError
        If the profile is not for RGB, or knows only the way to other colours.
    """
    if profile.kind != "RGB":
        raise ValueError(f"it is for {profile.kind}, and the picture is RGB")
    if profile.curves is None:
        levels = np.floor(pixels * 255 + 0.5).astype(np.uint8)
        return _by_lcms(levels, srgb().content, profile.content)
    across = (np.linalg.inv(profile.matrix) @ srgb().matrix).astype(np.float32).T
    steps = np.linspace(0, 1, FINEST)
    rising = np.maximum.accumulate(profile.curves, axis=1)
    out = np.empty_like(pixels, dtype=np.float32)
    for rows in _rows(len(pixels)):
        light = _decoded(pixels[rows]) @ across
        for k in range(3):
            out[rows, :, k] = np.interp(light[:, :, k], rising[k], steps)
    return out


def _encoded(light: np.ndarray) -> np.ndarray:
    """Light to sRGB's numbers (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _decoded(numbers: np.ndarray) -> np.ndarray:
    """Undo `_encoded`."""
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)


def _by_tables(levels: np.ndarray, profile: Profile) -> np.ndarray:
    if levels.dtype == np.uint16:
        levels = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return _by_lcms(levels, profile.content, srgb().content)


def _by_lcms(levels: np.ndarray, here: bytes, there: bytes) -> np.ndarray:
    """Convert at 8 bits, by LittleCMS."""
    picture = as_pillow(levels)
    try:
        made = ImageCms.profileToProfile(picture, _lcms(here), _lcms(there), outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise ValueError(str(error)) from None
    assert made is not None  # it is not done in place
    return np.asarray(made, np.float32) / 255


def as_pillow(levels: np.ndarray) -> Image.Image:
    """Give 8-bit grey, RGB or CMYK values as Pillow holds them."""
    if levels.ndim == 2 or levels.shape[2] == 3:
        return Image.fromarray(np.ascontiguousarray(levels))
    bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(levels, 2, 0)]
    return Image.merge("CMYK", bands)


def _lcms(content: bytes | None) -> ImageCms.ImageCmsProfile:
    """Give a profile as LittleCMS has it; of None, that of sRGB."""
    if content is None:
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsProfile(io.BytesIO(content))


def _rows(height: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, height, ROWS)]


def _tags(content: bytes) -> dict[str, bytes]:
    """Read the table of a profile (ICC.1:2022, 7.3)."""
    tags = {}
    (count,) = struct.unpack_from(">I", content, 128)
    for k in range(min(count, 1000)):
        name, start, size = struct.unpack_from(">4sII", content, 132 + 12 * k)
        tags[name.decode("latin-1")] = content[start : start + size]
    return tags


def _numbers(tag: bytes, start: int, count: int) -> np.ndarray:
    """Read numbers with 16 bits after the point."""
    return np.array(struct.unpack_from(f">{count}i", tag, start)) / 65536


def _curve(tag: bytes) -> np.ndarray:
    """Read a curve (ICC.1:2022, 10.6 and 10.18) at all levels of 16 bits."""
    x = np.linspace(0, 1, FINEST)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        if count == 1:
            return np.asarray(x ** (struct.unpack_from(">H", tag, 12)[0] / 256))
        if len(tag) < 12 + 2 * count:
            raise ValueError("a curve is cut")
        points = np.frombuffer(tag, ">u2", count, 12) / 65535
        return np.interp(x, np.linspace(0, 1, count), points)
    if tag[:4] != b"para":
        raise ValueError(f"a curve is of the unknown kind {tag[:4]!r}")
    (form,) = struct.unpack_from(">H", tag, 8)
    if form > 4:
        raise ValueError(f"a curve is of the unknown form {form}")
    g, a, b, c, d, e, f = np.pad(_numbers(tag, 12, (1, 3, 4, 5, 7)[form]), (0, 7))[:7]
    with np.errstate(all="ignore"):
        if form == 0:
            a, d = 1.0, -1.0
        elif form in (1, 2):
            # Below the bend the curve is flat: 0, or c.
            d, e, f, c = -b / a, c, c, 0.0
        curve = np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    if not np.isfinite(curve).all():
        raise ValueError("a curve is not finite")
    return np.clip(curve, 0, 1)
