"""Malformed pictures: each gives one line that says what is wrong, or is read as far as it can be.

40 kinds of damage, as files come: cut off, renamed, with checksums that fail, with metadata that
lie, larger than they are.
"""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from profiles import PROFILES

from probe.errors import ProbeError
from probe.images import open_picture

VALUES = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def file_of(format, picture=None, **options):
    out = io.BytesIO()
    (picture or Image.fromarray(VALUES)).save(out, format, **options)
    return out.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks, head=(50, 40, 8, 2, 0, 0, 0)):
    rows = b"".join(b"\0" + row.tobytes() for row in VALUES)
    body = chunks or (chunk(b"IDAT", zlib.compress(rows)),)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", struct.pack(">2I5B", *head)), *body, chunk(b"IEND", b"")]
    )


def with_chunk(content, *chunks):
    return content[:33] + b"".join(chunks) + content[33:]


def tiff(values, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def bmp(width, height):
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return struct.pack("<2sIII", b"BM", 54, 0, 54) + size


PNG, JPEG, GIF, TIFF, WEBP, BMP = (
    file_of(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
)
DEEP = tiff(VALUES.astype(np.uint16) * 257, photometric="rgb")
CHANGED = bytearray(PNG)
CHANGED[60] ^= 255
HUGE_IFD = struct.pack("<2sHIH", b"II", 42, 8, 65535) + bytes(100)

REFUSED = {
    "nothing": b"",
    "one byte": b"\x89",
    "text": b"not a picture, though its name ends so",
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "an archive": b"PK\3\4" + bytes(200),
    "a PDF": b"%PDF-1.7\n" + bytes(200),
    "zeros": bytes(4096),
    "PNG: the signature alone": PNG[:8],
    "PNG: the head alone": PNG[:33],
    "PNG: cut": PNG[: len(PNG) // 2],
    "PNG: a changed byte": bytes(CHANGED),
    "PNG: no size": png(head=(0, 0, 8, 2, 0, 0, 0)),
    "PNG: no width": png(head=(0, 40, 8, 2, 0, 0, 0)),
    "PNG: unknown depth": png(head=(50, 40, 7, 2, 0, 0, 0)),
    "PNG: unknown kind of colours": png(head=(50, 40, 8, 5, 0, 0, 0)),
    "PNG: pixels that are no zlib stream": png(chunk(b"IDAT", b"garbage" * 30)),
    "PNG: a wrong checksum": with_chunk(PNG, chunk(b"tEXt", b"a\0b")[:-1] + b"?"),
    "PNG: no pixels": png(chunk(b"tEXt", b"a\0b")),
    "PNG: 10 gigapixels": png(head=(100_000, 100_000, 8, 2, 0, 0, 0)),
    "PNG: text that unpacks to 64 megabytes": with_chunk(
        PNG, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26)))
    ),
    "BMP: 4 gigapixels": bmp(65535, 65535),
    "BMP: no pixels": bmp(50, 40),
    "JPEG: the start alone": JPEG[:2],
    "JPEG: the head alone": JPEG[:300],
    "JPEG: cut": JPEG[: len(JPEG) // 2],
    "JPEG: no size": JPEG.replace(struct.pack(">HH", 40, 50), bytes(4), 1),
    "GIF: the head alone": GIF[:6],
    "GIF: cut": GIF[:400],
    "WebP: the head alone": WEBP[:20],
    "WebP: cut": WEBP[: len(WEBP) // 2],
    "TIFF: the head alone": TIFF[:8],
    "TIFF: cut": TIFF[: len(TIFF) // 2],
    "TIFF with 16 bits: cut": DEEP[: len(DEEP) // 2],
    "TIFF: 65,535 entries that are not there": HUGE_IFD,
    "TIFF: floating point of 16 bits": tiff(VALUES.astype(np.float16), photometric="rgb"),
    "TIFF: floating point of 32 bits": tiff(VALUES[..., 0].astype(np.float32)),
    "TIFF: NaN": tiff(np.full((4, 5), np.nan, np.float32)),
    "TIFF: complex numbers": tiff(VALUES[..., 0].astype(np.complex64)),
    "TIFF: whole numbers of 32 bits": tiff(VALUES[..., 0].astype(np.int32) * 1_000_000),
    "TIFF: five channels": tiff(
        np.zeros((4, 5, 5), np.uint16),
        photometric="rgb",
        planarconfig="contig",
        extrasamples=(0, 0),
    ),
}

BROKEN_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\1" * 20
CUT_PROFILE = PROFILES["p3"][:300]

READ = {
    "JPEG: bytes behind the end": (JPEG + b"trailing \xff\xd8 bytes", ""),
    "JPEG: EXIF data that are cut": (file_of("JPEG", exif=BROKEN_EXIF), ""),
    "JPEG: EXIF data that are text": (file_of("JPEG", exif=b"Exif\0\0hello there"), ""),
    "PNG: EXIF data that are text": (with_chunk(PNG, chunk(b"eXIf", b"hello there")), "EXIF"),
    "JPEG: a profile that is cut": (file_of("JPEG", icc_profile=CUT_PROFILE), "colour profile"),
    "PNG: a profile that is cut": (file_of("PNG", icc_profile=CUT_PROFILE), "colour profile"),
    "TIFF: a profile that is text": (file_of("TIFF", icc_profile=b"sRGB"), "colour profile"),
    "PNG: a profile for ink": (file_of("PNG", icc_profile=PROFILES["cmyk"]), "colour profile"),
    "PNG: a profile that does not unpack": (
        with_chunk(PNG, chunk(b"iCCP", b"x\0\0garbage")), ""
    ),
    "PNG: an orientation that there is not": (file_of("PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0"
                                                      b"\x12\1\3\0\1\0\0\0\x2a\0\0\0\0\0\0\0"), ""),
    "renamed": (WEBP, ""),
}  # fmt: skip


DEEP_PNG = imagecodecs.png_encode(VALUES.astype(np.uint16) * 257)
LOUD = {
    "PNG: a profile that is cut": with_chunk(
        DEEP_PNG, chunk(b"iCCP", b"icc\0\0" + zlib.compress(CUT_PROFILE))
    ),
    "PNG: EXIF data that are text": with_chunk(DEEP_PNG, chunk(b"eXIf", b"hello there")),
    "PNG: cut": DEEP_PNG[: len(DEEP_PNG) // 2],
    "PNG: a changed byte": DEEP_PNG[:60] + bytes([DEEP_PNG[60] ^ 255]) + DEEP_PNG[61:],
    "TIFF: cut": tiff(VALUES.astype(np.uint16), photometric="rgb", rowsperstrip=7)[:300],
}


@pytest.mark.parametrize("name", LOUD)
def test_what_is_damaged_of_16_bits_is_told_once(name, capfd):
    try:
        said = list(open_picture(LOUD[name]).notes)
    except ProbeError as error:
        said = [str(error)]
    assert len(said) == 1
    assert "\n" not in said[0]
    assert capfd.readouterr() == ("", "")  # what libraries print of it themselves


def test_there_are_forty():
    assert len(REFUSED) == 40


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(name, tmp_path, recwarn):
    path = tmp_path / "face 7.png"
    path.write_bytes(REFUSED[name])
    for source, called in ((path, str(path)), (REFUSED[name], "image")):
        with pytest.raises(ProbeError) as error:
            open_picture(source)
        text = str(error.value)
        assert text.startswith(f"image {called!r} ")
        assert "\n" not in text
        assert len(text) < len(called) + 200
        assert "0x" not in text  # where in memory it was
        assert "cannot be read (" in text or "the limit is" in text
    assert not recwarn.list


@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_says_what_was_left_out(name, recwarn):
    content, said = READ[name]
    found = open_picture(content)
    np.testing.assert_allclose(found.pixels.mean((0, 1)), VALUES.mean((0, 1)) / 255, atol=0.05)
    assert found.pixels.shape == (40, 50, 3)
    assert len(found.notes) == bool(said)
    assert all(said in note and "\n" not in note for note in found.notes)
    assert not recwarn.list


@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 4, 3), np.nan),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((4, 4), np.int32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
    ],
    ids=lambda a: f"{a.dtype} {a.shape}",
)
def test_arrays_that_are_no_picture(array):
    with pytest.raises(ProbeError) as error:
        open_picture(array)
    assert "image 'image'" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_not_there(tmp_path):
    with pytest.raises(ProbeError, match=r"image '.*none.png' does not exist"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(ProbeError, match="cannot be read"):
        open_picture(tmp_path)


@pytest.mark.parametrize("content", [PNG, JPEG, GIF, WEBP, TIFF, DEEP, DEEP_PNG], ids=len)
def test_a_file_cut_anywhere_is_read_or_refused_and_nothing_else(content):
    for cut in range(0, len(content), max(1, len(content) // 60)):
        try:
            found = open_picture(content[:cut])
        except ProbeError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert found.pixels.shape == (40, 50, 3)
            assert np.isfinite(found.pixels).all()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"compression": "zlib", "predictor": True}, {"tile": (16, 16)}, {"rowsperstrip": 7},
     {"compression": "lzw", "rowsperstrip": 7}, {"compression": "zstd", "tile": (16, 16)}],
    ids=str,
)  # fmt: skip
def test_a_tiff_of_16_bits_cut_anywhere_loses_no_pixel_in_silence(options, apart):
    values = VALUES.astype(np.uint16) * 257
    laid = np.moveaxis(values, 2, 0) if apart else values
    config = "separate" if apart else "contig"
    content = tiff(laid, photometric="rgb", planarconfig=config, **options)
    for cut in range(8, len(content), len(content) // 60):
        try:
            found = open_picture(content[:cut])
        except ProbeError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(np.round(found.pixels * 65535), values)
