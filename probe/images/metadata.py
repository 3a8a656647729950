"""What a picture says of itself: how probe made it, and what its camera wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from probe.errors import ProbeError
from probe.images.reading import MOVIES, reason
from probe.images.video import pyav

KEY = "probe"
"""Under which the settings stand."""

MOST = 60_000
"""Bytes of text that fit into the metadata of a JPEG file, with some room for the camera's."""

_BASE = ExifTags.Base
_EXIF, _GPS = int(ExifTags.IFD.Exif), int(ExifTags.IFD.GPSInfo)
_START = f'{{"{KEY}":'
_ASCII = b"ASCII\0\0\0"
"""How a comment in EXIF begins that is ASCII (CIPA DC-008, 4.6.5)."""

# What describes a picture, not a file of it. All else (orientation, thumbnail, where the strips of
# a TIFF file lie) is no longer true of a file that is written anew.
_KEPT = (
    *(_BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.XResolution, _BASE.YResolution),
    *(_BASE.ResolutionUnit, _BASE.Software, _BASE.DateTime, _BASE.Artist, _BASE.HostComputer),
    *(_BASE.Copyright, _BASE.Rating, _BASE.XPTitle, _BASE.XPComment, _BASE.XPAuthor),
    *(_BASE.XPKeywords, _BASE.XPSubject),
)
# Likewise, of the part that the camera writes. A maker note points to places in the old file.
_LEFT_OUT = (
    *(_BASE.ExifImageWidth, _BASE.ExifImageHeight, _BASE.ExifInteroperabilityOffset),
    *(_BASE.MakerNote, _BASE.ColorSpace, _BASE.UserComment),
)


def _plain(value: object) -> Any:
    """Return a number of NumPy as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not plain")


def as_text(about: Mapping[str, Any], indent: int | None = None) -> str:
    """Write settings as JSON in ASCII, marked as probe's; on one line, or indented.

    Raises
    ------
    ProbeError
        If they are not plain values.
    """
    try:
        return json.dumps({KEY: dict(about)}, indent=indent, default=_plain)
    except (TypeError, ValueError) as error:
        raise ProbeError(f"the settings are not plain values ({reason(error)})") from None


def side_car(path: Path | str) -> Path:
    """Name the file beside a picture that holds its settings, too: ``dream.png.json``."""
    return Path(path).with_name(f"{Path(path).name}.json")


def about(path: Path | str) -> dict[str, Any]:
    """Read how a picture or film was made, as probe wrote it.

    It stands in the file, and in the file beside it (`side_car`), in case a program or a service
    took it out of the picture. That file may be given itself.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict

    Raises
    ------
    ProbeError
        If neither says so.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        text, why = _beside(path)
    else:
        text, why = _inside(path)
        if not text:
            text = _beside(side_car(path))[0]
    try:
        return dict(json.loads(text)[KEY])
    except (ValueError, TypeError, KeyError):
        raise ProbeError(
            f"{str(path)!r} does not say how probe made it ({why or 'that text is damaged'})"
        ) from None


def _beside(path: Path) -> tuple[str, str]:
    try:
        return path.read_text(encoding="utf-8"), ""
    except (OSError, UnicodeDecodeError) as error:
        return "", reason(error)


def _inside(path: Path) -> tuple[str, str]:
    """Find the text in a file, or why there is none."""
    nothing = "its metadata say nothing, and no .json file lies beside it"
    try:
        if path.suffix.lower() in MOVIES:
            text = _comment_of(path)
            return (text, "") if text.startswith(_START) else ("", nothing)
        with Image.open(path) as opened:
            opened.load()
            if isinstance(written := opened.info.get(KEY), str):
                return f"{_START} {written}}}", ""
            for text in _texts(opened):
                if text.startswith(_START):
                    return text, ""
            return "", nothing
    except Exception as error:  # Pillow's many readers raise many kinds
        return "", reason(error)


def _comment_of(path: Path) -> str:
    """Return the comment in the metadata of a film; empty if there is none."""
    with pyav().open(str(path), metadata_errors="replace") as container:
        return str(container.metadata.get("comment", ""))


def _texts(opened: Image.Image) -> list[str]:
    """Return what a file says of itself: TIFF, GIF, then what has EXIF."""
    exif = opened.getexif()
    comments = [opened.info.get("comment"), exif.get(_BASE.ImageDescription)]
    comment = exif.get_ifd(_EXIF).get(_BASE.UserComment)
    if isinstance(comment, bytes):
        comments.append(comment.removeprefix(_ASCII))
    texts = [
        text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in comments
    ]
    return [text for text in texts if isinstance(text, str)]


def kept_exif(exif: Image.Exif) -> bytes:
    """Keep what the camera and the photographer wrote that is still true of a changed picture.

    Not the orientation, which has been applied, the thumbnail, and the size. Empty if nothing is
    left.
    """
    still_true = Image.Exif()
    for tag in _KEPT:
        if tag in exif:
            still_true[tag] = exif[tag]
    inner = {k: v for k, v in exif.get_ifd(_EXIF).items() if k not in _LEFT_OUT}
    for where, part in ((_EXIF, inner), (_GPS, dict(exif.get_ifd(_GPS)))):
        if part:
            still_true[where] = part
    return still_true.tobytes() if len(still_true) else b""


def exif_of(kept: bytes, *, srgb: bool, text: str = "") -> Image.Exif:
    """Make the EXIF data of a file that is written.

    Parameters
    ----------
    kept : bytes
        Of `kept_exif`.
    srgb : bool
        Whether its colours are sRGB.
    text : str
        A comment; left out if it is too long for a JPEG file.
    """
    exif = Image.Exif()
    if kept:
        exif.load(kept)
    inner = dict(exif.get_ifd(_EXIF))
    inner[_BASE.ColorSpace] = 1 if srgb else 0xFFFF
    if text and len(text) <= MOST:
        inner[_BASE.UserComment] = _ASCII + text.encode("ascii")
    written = Image.Exif()
    for tag, value in exif.items():
        written[tag] = dict(exif.get_ifd(tag)) if tag == _GPS else value
    written[_EXIF] = inner
    return written


def tiff_tags(exif: Image.Exif) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Return EXIF data as the entries of a TIFF file."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in exif.items():
        tags[tag] = value
    return tags
