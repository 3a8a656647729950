"""What a picture file says of its colours: a profile, or numbers.

PNG (W3C 2025, 4.3): the numbers of a cICP chunk count before a profile (iCCP), this before sRGB,
and that before gAMA and cHRM. AVIF (ISO/IEC 23000-22): a profile counts before the numbers (nclx).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from probe.images import colour
from probe.images.colour import Numbers, Profile
from probe.images.reading import reason

USUAL_GAMMA = 0.45455
"""The gAMA of sRGB, by the standard; it stands for its curve, not for an exponent of 2.2."""

_CHROMA = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_D65 = (0.3127, 0.3290)


def meaning_of(
    opened: Image.Image, content: bytes | None, notes: list[str]
) -> Profile | Numbers | None:
    """Return what the values of a picture mean; None if they are sRGB, or it does not say.

    Parameters
    ----------
    opened : PIL.Image.Image
    content : bytes, optional
        The file, where there is one.
    notes : list of str
        Is told what is converted, and what was left out.
    """
    try:
        numbers = None if content is None else _numbers(opened, content)
        if isinstance(numbers, Numbers) and not numbers.is_srgb:
            white = f"; {colour.WHITE:g} cd/m² became white, and so did brighter light"
            notes.append(
                f"its colours ({numbers}) were converted to sRGB{white if numbers.is_hdr else ''}"
            )
            return numbers
        if numbers is not None:
            return None
    except (ValueError, struct.error) as error:
        notes.append(f"what it says of its colours was left out ({reason(error)})")
    if profile := opened.info.get("icc_profile"):
        try:
            return colour.read_profile(profile)
        except ValueError as error:
            notes.append(f"its colour profile was left out ({reason(error)})")
            return None
    if opened.format != "PNG" or "srgb" in opened.info:
        return None
    try:
        from_gamma = _by_gamma(opened)
    except ValueError as error:
        notes.append(f"what it says of its colours was left out ({reason(error)})")
        return None
    if from_gamma is not None and not from_gamma.is_srgb:
        notes.append("its colours were converted to sRGB, by its gamma and primaries")
        return from_gamma
    return None


def _numbers(opened: Image.Image, content: bytes) -> Numbers | None:
    if opened.format == "PNG":
        for name, data in _chunks(content):
            if name == b"cICP":
                if len(data) < 4:
                    raise ValueError("a cICP chunk that is cut")
                primaries, transfer, matrix, full = data[:4]
                if matrix or not full:
                    raise ValueError("a cICP chunk whose values are not RGB of the full range")
                return Numbers(primaries, transfer)
        return None
    if opened.format == "HEIF" and "icc_profile" not in opened.info:
        told_by_heif = opened.info.get("nclx_profile") or {}
        if {"color_primaries", "transfer_characteristics"} <= set(told_by_heif):
            return Numbers(
                int(told_by_heif["color_primaries"]), int(told_by_heif["transfer_characteristics"])
            )
    if opened.format == "AVIF" and "icc_profile" not in opened.info:
        pairs = set(_nclx(content))
        if len(pairs) > 1:
            raise ValueError("it tells them in several ways")
        for primaries, transfer in pairs:
            return Numbers(primaries, transfer)
    return None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG file before its pixels."""
    at = 8
    while at + 8 <= len(png):
        size, name = struct.unpack_from(">I4s", png, at)
        if name == b"IDAT":
            return
        yield name, png[at + 8 : at + 8 + size]
        at += 12 + size


def _nclx(avif: bytes) -> Iterator[tuple[int, int]]:
    """Yield primaries and transfers of an AVIF file, of its colr boxes (ISO/IEC 14496-12)."""
    for _, meta in _boxes(avif, b"meta"):
        for _, properties in _boxes(meta[4:], b"iprp"):
            for _, container in _boxes(properties, b"ipco"):
                for _, box in _boxes(container, b"colr"):
                    if box[:4] == b"nclx":
                        yield struct.unpack_from(">2H", box, 4)


def _boxes(content: bytes, kind: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes of a kind in a box."""
    at = 0
    while at + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", content, at + 8), 16
        end = at + size if size else len(content)
        if end < at + head:
            return
        if name == kind:
            yield name, content[at + head : end]
        at = end


def _by_gamma(opened: Image.Image) -> Profile | None:
    """Make the profile that the gAMA and cHRM chunks of a PNG file amount to."""
    gamma, chroma = opened.info.get("gamma"), opened.info.get("chromaticity")
    if gamma is None and chroma is None:
        return None
    if gamma is not None and not 0.05 <= gamma <= 5:
        raise ValueError(f"a gamma of {gamma:g}")
    exponent = None if gamma is None or abs(gamma - USUAL_GAMMA) < 1e-4 else 1 / gamma
    white: tuple[float, float] = _D65
    corners: tuple[tuple[float, float], ...] = _CHROMA
    if chroma is not None:
        pairs = tuple(zip(chroma[::2], chroma[1::2], strict=True))
        white, corners = pairs[0], pairs[1:]
    return colour.profile_of(corners, white, exponent)
