"""Pictures as files that say how they were made: PNG, TIFF, JPEG, WebP."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from probe.errors import ProbeError
from probe.images import colour
from probe.images.editable import Original
from probe.images.metadata import KEY, as_text, exif_of, tiff_tags
from probe.images.reading import reason

DEEP = (".png", ".tif", ".tiff")
"""Kinds of files that hold 16 bits."""

OPAQUE = (".jpg", ".jpeg")
"""Kinds of files that hold no transparency."""

WRITTEN = (*DEEP, *OPAQUE, ".webp")
"""How the names of pictures that are written end."""

LONGEST = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""Pixels along one side, at most."""

OVERSHOOT = 1e-3
"""What values may lie outside of [0, 1], as rounding leaves them; they are clipped."""

STRIP = 2**20
"""Bytes of a TIFF file that are compressed together, about."""


def png(picture: Image.Image | np.ndarray, about: Mapping[str, Any]) -> bytes:
    """Return the content of a PNG file that says how it was made.

    Parameters
    ----------
    picture : PIL.Image.Image or numpy.ndarray, uint8, (height, width[, 3])
    about : mapping
        Plain values, which stand as JSON in the text entry ``probe``.
    """
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, json.dumps(about, ensure_ascii=False))
    out = io.BytesIO()
    pillow = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    pillow.save(out, "png", pnginfo=info)
    return out.getvalue()


def check_kind(
    path: str | Path,
    like: Original | None = None,
    *,
    keep_profile: bool = False,
    depth: int | None = None,
) -> str:
    """Check that a picture can be written as is wished, before there is one.

    Parameters
    ----------
    path, like, keep_profile, depth
        As for `encode`.

    Returns
    -------
    str
        How the name ends, in lower case.

    Raises
    ------
    ProbeError
        If the kind of file does not hold that depth or the original's transparency, or if the
        original's profile is not for RGB.
    """
    kind = Path(path).suffix.lower()
    if kind not in WRITTEN:
        raise ProbeError(
            f"{str(path)!r} cannot be written: its name has to end in {', '.join(WRITTEN)}"
        )
    if depth not in (None, 8, 16):
        raise ProbeError(f"depth {depth}: expected 8 or 16 bits")
    if depth == 16 and kind not in DEEP:
        raise ProbeError(f"{str(path)!r} cannot hold 16 bits: choose {' or '.join(DEEP)}")
    if like is None:
        return kind
    if like.alpha is not None and kind in OPAQUE:
        raise ProbeError(
            f"{str(path)!r} cannot hold the transparency of {like.name!r}: choose .png, .tif or "
            ".webp"
        )
    if keep_profile and like.profile is not None:
        try:
            colour.from_srgb(np.zeros((1, 1, 3), np.float32), like.profile)
        except ValueError as error:
            raise ProbeError(
                f"the colour profile of {like.name!r} cannot be kept ({reason(error)}): without, "
                "the picture is written in sRGB"
            ) from None
    return kind


def encode(
    path: str | Path,
    pixels: np.ndarray,
    about: Mapping[str, Any],
    *,
    like: Original | None = None,
    keep_profile: bool = False,
    quality: int = 95,
    depth: int | None = None,
) -> bytes:
    """Return the content of a picture file; the same picture gives the same bytes.

    PNG, TIFF and WebP files hold the alpha; a JPEG file holds none, so that one that would need it
    is refused. The settings stand in the file: in PNG as the text ``probe``, in TIFF as the image
    description, in JPEG and WebP as the EXIF user comment (unless they are longer than that holds).

    Parameters
    ----------
    path : path
        What decides by its ending on the kind of file; nothing is written.
    pixels : numpy.ndarray, float, (height, width, 3 or 4), in [0, 1]
        sRGB, and alpha. Rounded to the nearest level.
    about : mapping
        Plain values: how it was made, which `about` reads again.
    like : Original, optional
        What it was made from: whose alpha (at the size of ``pixels``, unless these bring one), EXIF
        data, depth and profile it takes.
    keep_profile : bool
        Convert to the profile of ``like`` and embed it; by default, the picture is in sRGB.
    quality : int
        Of JPEG and WebP, from 1 to 100. From 90 on, colours are kept at all pixels of a JPEG; 100
        is WebP without loss.
    depth : int, optional
        8 or 16 bits; by default those of ``like`` where the kind of file holds them, and else 8.

    Returns
    -------
    bytes

    Raises
    ------
    ProbeError
        If ``pixels`` is no picture, or this kind of file cannot hold it.
    """
    kind = check_kind(path, like, keep_profile=keep_profile, depth=depth)
    pixels = _checked(pixels)
    if not 1 <= quality <= 100:
        raise ProbeError(f"quality {quality}: expected a number from 1 to 100")
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST.get(kind, max(height, width)):
        raise ProbeError(
            f"{str(path)!r} cannot hold {width} × {height} pixels, only {LONGEST[kind]} along one "
            "side: choose .png or .tif"
        )
    alpha = _alpha(pixels, like)
    if alpha is not None and kind in OPAQUE:
        raise ProbeError(f"{str(path)!r} cannot hold transparency: choose .png, .tif or .webp")
    rgb, profile = pixels[..., :3], b""
    if keep_profile and like is not None and like.profile is not None:
        profile = like.profile.content
        if not like.profile.is_srgb:
            rgb = colour.from_srgb(rgb, like.profile)
    bits = depth or (like.depth if like is not None and kind in DEEP else 8)
    levels = _levels(rgb if alpha is None else np.dstack([rgb, alpha]), bits)
    exif = b"" if like is None else like.exif
    if kind == ".png":
        return _png(levels, about, exif, profile)
    if kind in DEEP:
        return _tiff(levels, about, exif, profile)
    return _lossy(levels, kind, about, exif, profile, quality)


def _checked(pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    if (
        pixels.ndim != 3
        or pixels.shape[2] not in (3, 4)
        or 0 in pixels.shape
        or not np.issubdtype(pixels.dtype, np.floating)
    ):
        raise ProbeError(
            f"a picture of {pixels.dtype} and shape {pixels.shape} cannot be written: expected "
            "float of shape (height, width, 3 or 4), from 0 to 1"
        )
    least, most = float(pixels.min()), float(pixels.max())
    if not (least >= -OVERSHOOT and most <= 1 + OVERSHOOT):
        raise ProbeError(f"a picture with values from {least:.4g} to {most:.4g} cannot be written: "
                         "expected 0 to 1")  # fmt: skip
    return np.clip(pixels, 0, 1).astype(np.float32)


def _alpha(pixels: np.ndarray, like: Original | None) -> np.ndarray | None:
    if pixels.shape[2] == 4:
        return pixels[..., 3]
    if like is None or like.alpha is None or like.alpha.shape == pixels.shape[:2]:
        return None if like is None else like.alpha
    size = (pixels.shape[1], pixels.shape[0])
    resized = Image.fromarray(like.alpha).resize(size, Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized), 0, 1)


def _levels(values: np.ndarray, bits: int) -> np.ndarray:
    levels = np.empty(values.shape, f"uint{bits}")
    for start in range(0, len(values), colour.ROWS):
        rows = slice(start, start + colour.ROWS)
        levels[rows] = np.floor(values[rows].astype(np.float64) * (2**bits - 1) + 0.5)
    return levels


def _png(levels: np.ndarray, about: Mapping[str, Any], exif: bytes, profile: bytes) -> bytes:
    """PNG (W3C 2023): written here, since Pillow writes no colours of 16 bits."""
    height, width, n_bands = levels.shape
    bits = levels.itemsize * 8
    header = struct.pack(">2I5B", width, height, bits, {3: 2, 4: 6}[n_bands], 0, 0, 0)
    text = as_text(about).removeprefix(f'{{"{KEY}": ').removesuffix("}")
    chunks = [(b"IHDR", header)]
    if profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    else:
        chunks.append((b"sRGB", b"\0"))  # perceptual
    if exif:
        content = exif_of(exif, srgb=not profile).tobytes()
        chunks.append((b"eXIf", content.removeprefix(b"Exif\0\0")))
    chunks.append((b"iTXt", KEY.encode() + bytes(5) + text.encode("ascii")))
    chunks += [(b"IDAT", part) for part in _idat(levels)]
    chunks.append((b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _idat(levels: np.ndarray) -> list[bytes]:
    """Filter and compress the rows, each with the filter that leaves least (PNG, 12.7)."""
    step = levels.shape[2] * levels.itemsize
    rows = levels.astype(levels.dtype.newbyteorder(">")).reshape(len(levels), -1).view(np.uint8)
    packer, parts = zlib.compressobj(6), []
    for start in range(0, len(rows), colour.ROWS):
        here = rows[start : start + colour.ROWS]
        above = np.zeros_like(here)
        above[1:] = here[:-1]
        if start:
            above[0] = rows[start - 1]
        left, corner = np.zeros_like(here), np.zeros_like(here)
        left[:, step:], corner[:, step:] = here[:, :-step], above[:, :-step]
        filtered = np.stack([here - left, here - above, here - _paeth(left, above, corner)])
        sizes = np.abs(filtered.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64)
        best = sizes.argmin(0)
        chosen = filtered[best, np.arange(len(here))]
        types = np.array([1, 2, 4], np.uint8)[best]
        parts.append(packer.compress(np.hstack([types[:, None], chosen]).tobytes()))
    parts.append(packer.flush())
    return [part for part in parts if part]


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Predict a byte by the neighbour that is nearest to left + above − corner (PNG, 9.4)."""
    a, b, c = (values.astype(np.int16) for values in (left, above, corner))
    far = [np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)]
    a_is, b_is = (far[0] <= far[1]) & (far[0] <= far[2]), far[1] <= far[2]
    return np.where(a_is, left, np.where(b_is, above, corner))


def _tiff(levels: np.ndarray, about: Mapping[str, Any], exif: bytes, profile: bytes) -> bytes:
    """TIFF 6.0, deflated in strips; written here, since Pillow writes no colours of 16 bits."""
    height, width, n_bands = levels.shape
    rows = min(height, max(1, STRIP // levels[0].nbytes))
    differences = levels.astype(levels.dtype.newbyteorder("<"))
    differences[:, 1:] -= levels[:, :-1]
    strips = [
        zlib.compress(differences[start : start + rows].tobytes(), 6)
        for start in range(0, height, rows)
    ]
    sizes = [len(strip) for strip in strips]
    ifd = tiff_tags(exif_of(exif, srgb=not profile))
    ifd[256], ifd[257] = width, height
    ifd[258] = (levels.itemsize * 8,) * n_bands
    ifd[259], ifd[262], ifd[277], ifd[284] = 8, 2, n_bands, 1  # deflate, RGB, together
    ifd[270] = as_text(about)
    ifd[278], ifd[317] = rows, 2  # differences along the row
    if n_bands == 4:
        ifd[338] = 2  # alpha that the colours are not multiplied by
    for tag in (273, 279):
        ifd.tagtype[tag] = 4
    ifd[273], ifd[279] = tuple(np.cumsum([0, *sizes[:-1]]).tolist()), tuple(sizes)
    ifd.tagtype[34675] = 7
    ifd[34675] = profile or colour.srgb().content
    out = io.BytesIO()
    ifd.save(out)
    return out.getvalue() + b"".join(strips)


def _lossy(
    levels: np.ndarray,
    kind: str,
    about: Mapping[str, Any],
    exif: bytes,
    profile: bytes,
    quality: int,
) -> bytes:
    out = io.BytesIO()
    settings: dict[str, Any] = {
        "quality": quality,
        "exif": exif_of(exif, srgb=not profile, text=as_text(about)).tobytes(),
        "icc_profile": profile or colour.srgb().content,
    }
    if kind == ".webp":
        settings |= {"lossless": quality == 100, "exact": True}
    else:
        settings |= {"subsampling": 0 if quality >= 90 else 2}
    try:
        Image.fromarray(levels).save(out, "webp" if kind == ".webp" else "jpeg", **settings)
    except (OSError, ValueError) as error:
        raise ProbeError(f"a {kind} picture cannot be made ({reason(error)})") from None
    return out.getvalue()
