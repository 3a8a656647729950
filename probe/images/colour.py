"""What the numbers of a picture mean: ICC profiles and H.273, to sRGB and back, at 8 and 16 bits.

Nearly every profile of a photograph is a matrix between three curves (ICC.1:2022, annex F.3). It is
applied here in floating point, since LittleCMS, as Pillow has it, takes and gives 8 bits. Profiles
made of tables (printers, scanners; all of CMYK) do go through LittleCMS.

Films, and PNG and AVIF files, may tell their colours by two numbers of ITU-T H.273 instead: which
primaries, and which transfer from light to values. HDR is made SDR as its reference white has it:
the 203 cd/m² that ITU-R BT.2408 gives paper and captions become the white of sRGB.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from PIL import Image, ImageCms

FINEST = 65536
"""Levels at which the curves of a profile are known: those of 16 bits."""

ROWS = 128
"""Rows that are converted at a time, which bounds the memory."""

ALIKE = 0.5 / 255
"""A profile whose colours are nearer to sRGB than half a step of 8 bits is sRGB."""

_KINDS = {"RGB ": "RGB", "GRAY": "grey", "CMYK": "CMYK"}

WHITE = 203.0
"""Luminance of reference white in HDR, cd/m² (ITU-R BT.2408)."""

PQ, HLG = 16, 18
HDR = {PQ: "PQ", HLG: "HLG"}
"""Transfers of high dynamic range (H.273, table 3; ITU-R BT.2100)."""

HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
"""Of the screen that HLG is made for: its peak, cd/m², and the gamma of such a peak (BT.2100)."""

# H.273, table 2: x and y of red, green and blue, and of white.
_D65 = (0.3127, 0.3290)
_PRIMARIES = {
    1: ("BT.709", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _D65),
    4: ("BT.470 M", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), (0.310, 0.316)),
    5: ("BT.470 BG", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), _D65),
    6: ("SMPTE 170M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    7: ("SMPTE 240M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), _D65),
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: ("DCI-P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), (0.314, 0.351)),
    12: ("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _D65),
}

NEAR = {number: _PRIMARIES[number][0] for number in (5, 6, 7)}
"""Primaries of television before HD. Most files that are tagged so come from programs and cameras
whose colours are those of BT.709, and players show them so."""

# Transfers that screens show alike, as sRGB; or, of the others, the exponent from values to light.
_SRGB_LIKE = (1, 2, 6, 7, 13, 14, 15)
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}

# XYZ under D65 to XYZ under D50 and the like: the cones of Bradford (ICC.1:2022, annex E.3).
_CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


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


@dataclass(frozen=True)
class Numbers:
    """What a film or a picture says of its colours by numbers of ITU-T H.273.

    Attributes
    ----------
    primaries, transfer : int
        Of its tables 2 and 3; 2 is unspecified.
    """

    primaries: int
    transfer: int

    def __post_init__(self) -> None:
        if self.primaries != 2 and self.primaries not in _PRIMARIES:
            raise ValueError(f"its primaries are number {self.primaries} of H.273, not read here")
        if self.transfer not in (*_SRGB_LIKE, *_EXPONENTS, *HDR):
            raise ValueError(f"its transfer is number {self.transfer} of H.273, not read here")

    def __str__(self) -> str:
        name = _PRIMARIES[1 if self.primaries == 2 else self.primaries][0]
        if self.transfer in _EXPONENTS:
            return f"{name}, exponent {_EXPONENTS[self.transfer]:g}"
        return f"{name}, {HDR[self.transfer]}" if self.is_hdr else name

    @property
    def is_hdr(self) -> bool:
        """Whether they are of high dynamic range."""
        return self.transfer in HDR

    @property
    def is_srgb(self) -> bool:
        """Whether they are shown as sRGB is."""
        return self.transfer in _SRGB_LIKE and self.primaries in (1, 2, *NEAR)

    @property
    def profile(self) -> Profile:
        """The ICC profile that says the same; of HDR there is none."""
        assert not self.is_hdr
        _, corners, white = _PRIMARIES[1 if self.primaries == 2 else self.primaries]
        return profile_of(corners, white, _EXPONENTS.get(self.transfer))

    def to_srgb(self, levels: np.ndarray) -> np.ndarray:
        """Convert a picture to sRGB; as `to_srgb`, of grey or RGB."""
        return _hdr_to_srgb(levels, self) if self.is_hdr else to_srgb(levels, self.profile)


@lru_cache(maxsize=64)
def profile_of(
    corners: tuple[tuple[float, float], ...], white: tuple[float, float], exponent: float | None
) -> Profile:
    """Make the ICC profile of an RGB space.

    Parameters
    ----------
    corners : three pairs of float
        CIE x and y of red, green and blue.
    white : pair of float
    exponent : float, optional
        From values to light; by default the curve of sRGB.

    Raises
    ------
    ValueError
        If these primaries make no colours.
    """
    matrix = _to_xyz(corners, white)
    cones = (_CONES @ _D50) / (_CONES @ matrix.sum(1))
    adapted = np.linalg.inv(_CONES) @ np.diag(cones) @ _CONES @ matrix
    curve: tuple[float, ...]
    if exponent is None:
        curve = (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    else:
        curve = (0, exponent)
    tags: list[tuple[str, bytes]] = [("wtpt", _xyz_tag(_D50))]
    for band, column in zip("rgb", adapted.T, strict=True):
        tags.append((f"{band}XYZ", _xyz_tag(column)))
        tags.append(
            (f"{band}TRC", b"para" + struct.pack(">IHH", 0, curve[0], 0) + _fixed(curve[1:]))
        )
    for name, text in (("desc", "RGB"), ("cprt", "none")):
        words = text.encode("utf-16-be")
        tags.append((name, b"mluc" + struct.pack(">4I", 0, 1, 12, 0x656E5553)
                     + struct.pack(">2I", len(words), 28) + words))  # fmt: skip
    tags.sort()
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags:
        table += struct.pack(">4sII", name.encode(), start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[0:4] = struct.pack(">I", start + len(body))
    head[8:24] = struct.pack(">I", 0x04300000) + b"mntrRGB XYZ "
    head[24:40] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp"
    head[68:80] = _fixed(tuple(_D50))
    return read_profile(bytes(head) + struct.pack(">I", len(tags)) + table + body)


def _to_xyz(corners: tuple[tuple[float, float], ...], white: tuple[float, float]) -> np.ndarray:
    """Compute the matrix from light in some primaries to XYZ, white at a Y of 1 (SMPTE RP 177)."""
    if not all(0 < y <= 1 and 0 <= x <= 1 for x, y in (*corners, white)):
        raise ValueError("its primaries do not make colours")
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in corners]).T
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("its primaries do not make colours")
    x, y = white
    return np.asarray(columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y]))


def _fixed(values: tuple[float, ...]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(65536 * float(value)) for value in values))


def _xyz_tag(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(tuple(values))


@lru_cache(maxsize=32)
def read_profile(content: bytes) -> Profile:
    """Read an ICC profile.

    Raises
    ------
    ValueError
        If it is damaged, or of a kind of colour that pictures are not kept in.
    """
    if len(content) < 132 or content[36:40] != b"acsp":
        raise ValueError("it is not an ICC profile")
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
    except struct.error:
        raise ValueError("it is cut") from None
    except (OSError, ImageCms.PyCMSError) as error:
        raise ValueError(str(error) or "it is damaged") from None
    if not (np.isfinite(curves).all() and abs(np.linalg.det(matrix)) > 1e-6):
        raise ValueError("its primaries do not make colours")
    return Profile(content, "RGB", curves, matrix)


@cache
def srgb() -> Profile:
    """Return the profile of sRGB, the same bytes every time."""
    profile_bytes = bytearray(_lcms(None).tobytes())
    profile_bytes[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # when it was made: not now
    content = bytes(profile_bytes)
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
        return _by_lcms(levels, profile.content, srgb().content)
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


def _hdr_to_srgb(levels: np.ndarray, numbers: Numbers) -> np.ndarray:
    """Convert HDR to sRGB: reference white becomes white, brighter light as bright as that.

    What is brighter keeps its hue: it is scaled by its largest channel.
    """
    if levels.ndim == 2:
        levels = np.repeat(levels[:, :, None], 3, axis=2)
    top = np.iinfo(levels.dtype).max
    light_of = hdr_light(np.linspace(0, 1, top + 1), numbers.transfer).astype(np.float32)
    _, corners, white = _PRIMARIES[9 if numbers.primaries == 2 else numbers.primaries]
    to_xyz = _to_xyz(corners, white)
    across = np.linalg.inv(_to_xyz(*_PRIMARIES[1][1:])) @ to_xyz
    out = np.empty(levels.shape, np.float32)
    for rows in _rows(len(levels)):
        light = light_of[levels[rows]]
        if numbers.transfer == HLG:
            luminance = light @ to_xyz[1].astype(np.float32)
            light = HLG_PEAK * luminance[..., None] ** (HLG_GAMMA - 1) * light
        light = np.maximum(light @ across.T.astype(np.float32) / WHITE, 0)
        out[rows] = _encoded(light / np.maximum(light.max(2, keepdims=True), 1))
    return out


def hdr_light(values: np.ndarray, transfer: int) -> np.ndarray:
    """Compute the light of HDR values (ITU-R BT.2100, tables 4 and 5).

    Parameters
    ----------
    values : numpy.ndarray
        From 0 to 1.
    transfer : int
        `PQ` or `HLG`.

    Returns
    -------
    numpy.ndarray
        Of PQ, light of the screen, cd/m². Of HLG, light of the scene, from 0 to 1.
    """
    if transfer == PQ:
        power = values ** (32 / 2523)
        above = np.maximum(power - 107 / 128, 0)
        return np.asarray(10000 * (above / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305))
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)


def _encoded(light: np.ndarray) -> np.ndarray:
    """Light to sRGB's numbers (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    bend = 0.0031308
    bright = np.maximum(light, bend)  # powers of 0 take ten times as long as others
    return np.where(light <= bend, 12.92 * light, 1.055 * bright ** (1 / 2.4) - 0.055)


def _decoded(numbers: np.ndarray) -> np.ndarray:
    """Undo `_encoded`."""
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)


def _by_lcms(levels: np.ndarray, here: bytes, there: bytes) -> np.ndarray:
    """Convert at 8 bits, by LittleCMS."""
    picture = as_pillow(levels)
    try:
        converted = ImageCms.profileToProfile(picture, _lcms(here), _lcms(there), outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise ValueError(str(error)) from None
    assert converted is not None  # it is not done in place
    return np.asarray(converted, np.float32) / 255


def as_pillow(levels: np.ndarray) -> Image.Image:
    """Return grey, RGB or CMYK values as Pillow holds them: with 8 bits."""
    if levels.dtype == np.uint16:
        levels = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if levels.ndim == 2 or levels.shape[2] == 3:
        return Image.fromarray(np.ascontiguousarray(levels))
    bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(levels, 2, 0)]
    return Image.merge("CMYK", bands)


def _lcms(content: bytes | None) -> ImageCms.ImageCmsProfile:
    """Return a profile as LittleCMS has it; of None, that of sRGB."""
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
