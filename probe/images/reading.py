"""What reading pictures takes, whatever they are for: kinds of files, what is wrong with one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from probe.errors import ProbeError, nearest

GREY = 128
"""What lies behind transparent pixels: mid-grey, as around the stimuli of most recordings."""

SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jp2", ".jpe"),
    *(".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff"),
    ".webp",
)
"""How the names of picture files end, in lower case."""

MOVIES = (".m4v", ".mkv", ".mov", ".mp4", ".webm")
"""How the names of films end, in lower case. Animated GIF and WebP files are pictures."""


Picture = str | Path | bytes | np.ndarray | Image.Image
"""A picture as a user gives it: a file, its content, an array, a Pillow image."""


_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_IN_PACKAGES = ("HEIC", "JPEG XL")
_SIGNATURES = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
}


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn whatever the reading of a picture raises into an error that names the picture."""
    try:
        yield
    except Unreadable as error:
        raise Unreadable(name, error.reason) from None
    except ProbeError:
        raise
    except FileNotFoundError:
        raise ProbeError(f"image {name!r} does not exist{near(Path(name))}") from None
    except Exception as error:  # Pillow's many readers raise many kinds
        raise Unreadable(name, reason(error)) from None


def near(path: Path) -> str:
    """Return the end of an error message with pictures and films called like one that is missing.

    Parameters
    ----------
    path : Path
        Of a file that does not exist.

    Returns
    -------
    str
        Empty if none of that folder is called alike.
    """
    path = path.expanduser()
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        return f", nor does the folder {str(path.parent)!r}"
    # Ends of names are alike in all.
    near = [name for name in names if nearest(path.stem, [Path(name).stem])]
    return nearest(path.name, [n for n in near if n.lower().endswith((*SUFFIXES, *MOVIES))])


class Unreadable(ProbeError):
    """A picture that cannot be read.

    Attributes
    ----------
    name, reason : str
        Which one, and why.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)  # both, so that it can be sent between processes
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"image {self.name!r} cannot be read ({self.reason})"


def to_pillow(source: np.ndarray | Image.Image, name: str) -> Image.Image:
    """Return an array, or a Pillow image, as the latter.

    Raises
    ------
    ProbeError
        If the array is no picture; the message names it.
    """
    if isinstance(source, Image.Image):
        return source
    if source.dtype != np.uint8 or not (
        source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))
    ):
        raise ProbeError(
            f"image {name!r} is an array of {source.dtype} and shape {source.shape}: "
            "expected uint8 of shape (height, width), (height, width, 3) or (…, 4)"
        )
    return Image.fromarray(source)


def kind_of(beginning: bytes) -> str:
    """Recognise a kind of picture by the first 40 bytes of its file; empty if none is sure."""
    for kind, signatures in _SIGNATURES.items():
        if beginning.startswith(signatures):
            return kind
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "WebP"
    if beginning[4:8] == b"ftyp" and beginning[8:12] in (b"avif", b"avis", *_HEIC):
        return "AVIF" if b"avif" in beginning[8:] or b"avis" in beginning[8:] else "HEIC"
    return ""


def register_reader(content: bytes) -> None:
    """Register readers of HEIC and JPEG XL files with Pillow, if they are installed.

    Raises
    ------
    ValueError
        If the file is one of these, and it is not; the message says how to install it.
    """
    kind = kind_of(content[:40])
    if kind not in _IN_PACKAGES:
        return
    try:
        if kind == "HEIC":
            import pillow_heif

            pillow_heif.register_heif_opener()
        else:
            import pillow_jxl  # noqa: F401 - it registers itself
    except ImportError:
        raise ValueError(
            f"{kind}, which takes other packages: pip install 'cnn-probe[photos]'; or save it as "
            "PNG or JPEG"
        ) from None


def check(content: bytes, name: str) -> tuple[int, bool]:
    """Check a picture file by its structure, without decoding its pixels.

    Of a PNG file all chunks are held to their checksums. A JPEG file has none; it is walked
    from marker to marker to the one at its end, which may be followed by anything.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        How error messages call it.

    Returns
    -------
    n_pixels : int
        Width times height.
    complete : bool
        Whether the structure shows that all of the file is there. False where only decoding can
        tell: for other formats, and for a JPEG file without its end.

    Raises
    ------
    Unreadable
        If it is empty, no picture, or damaged.
    """
    if not content:
        raise Unreadable(name, "the file is empty")
    try:
        register_reader(content)
        with Image.open(io.BytesIO(content)) as opened:
            width, height = opened.size
            if not width * height:
                raise ValueError("it has no pixels")
            if opened.format == "PNG":
                opened.verify()
                return width * height, True
            walked = opened.format in ("JPEG", "MPO")
            return width * height, walked and _reaches_its_end(content)
    except UnidentifiedImageError:
        raise Unreadable(
            name, f"not identified as a picture; it begins with {content[:16]!r}"
        ) from None
    except Exception as error:  # Pillow's many readers raise many kinds
        raise Unreadable(name, reason(error)) from None


# A marker of a JPEG file: neither a stuffed 0xFF of the coded pixels, nor a restart, nor filling.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _TEM = 0xD8, 0xD9, 0x01


def _reaches_its_end(jpeg: bytes) -> bool:
    """Walk the markers of a JPEG file (ITU-T T.81, annex B): is there one for the end?"""
    at = 0
    while following := _MARKER.search(jpeg, at):
        marker, at = following[0][1], following.end()
        if marker == _EOI:
            return True
        if marker not in (_SOI, _TEM):  # all others begin with their length
            at += int.from_bytes(jpeg[at : at + 2], "big")
    return False


def reason(error: Exception) -> str:
    """Why a picture cannot be read, in one line that is the same in every run."""
    text = " ".join(str(error).split())
    if "BytesIO object at" in text:  # where in memory it was
        return "not identified as a picture"
    return text or type(error).__name__


def to_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture of any mode as 8-bit RGB, over mid-grey."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = np.asarray(picture).astype(np.float64)
        return Image.fromarray(np.clip(values / 257.0 + 0.5, 0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown: save it with 8 bits")
    if picture.has_transparency_data:
        return over_grey(picture.convert("RGBA"))
    return picture.convert("RGB")


def over_grey(picture: Image.Image) -> Image.Image:
    """Lay a picture with transparency over mid-grey.

    Parameters
    ----------
    picture : PIL.Image.Image
        Of mode RGBA.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.
    """
    behind = Image.new("RGBA", picture.size, (GREY, GREY, GREY, 255))
    return Image.alpha_composite(behind, picture).convert("RGB")
