"""Colours of pictures are those that the file says: by numbers, a gamma, or a profile."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from probe import images
from probe.errors import ProbeError
from probe.images import colour, open_picture

RED = (200, 40, 40)


def png(levels, *chunks, kind=2):
    """Write a PNG file with chunks before its pixels; levels are uint8 or uint16."""
    depth = 8 * levels.itemsize
    rows = b"".join(b"\0" + row.tobytes() for row in levels.astype(levels.dtype.newbyteorder(">")))
    height, width = levels.shape[:2]
    parts = [(b"IHDR", struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0)),
             *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def flat(value, dtype=np.uint8):
    return np.broadcast_to(np.array(value, dtype), (6, 6, len(value))).copy()


def both(content):
    """What networks see of a picture, and what is worked on: 0 to 255."""
    seen = np.asarray(images.read(content, "x"))[3, 3]
    return seen.astype(int), open_picture(content).pixels[3, 3] * 255


def lcms(value, profile):
    """What LittleCMS makes of a colour."""
    there = ImageCms.createProfile("sRGB")
    here = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    made = ImageCms.profileToProfile(Image.new("RGB", (1, 1), value), here, there)
    return made.getpixel((0, 0))


P3_CHROMA = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
P3 = colour.Numbers(12, 13).profile.content


@pytest.mark.parametrize(
    "content",
    [
        png(flat(RED), (b"cICP", bytes([12, 13, 0, 1]))),
        png(flat(RED), (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", P3_CHROMA)),
        png(flat(RED), (b"iCCP", b"p\0\0" + zlib.compress(P3))),
        # The numbers count before a profile, and this before a gamma.
        png(flat(RED), (b"cICP", bytes([12, 13, 0, 1])),
            (b"iCCP", b"p\0\0" + zlib.compress(colour.srgb().content))),
        png(flat(RED), (b"gAMA", struct.pack(">I", 100000)),
            (b"iCCP", b"p\0\0" + zlib.compress(P3))),
        png(257 * flat(RED, np.uint16), (b"cICP", bytes([12, 13, 0, 1]))),
    ],
    ids=["cICP", "gAMA and cHRM", "iCCP", "cICP, iCCP", "iCCP, gAMA", "16 bits"],
)  # fmt: skip
def test_a_picture_in_display_p3_whatever_says_so(content):
    seen, worked_on = both(content)
    np.testing.assert_allclose(seen, lcms(RED, P3), atol=1)
    np.testing.assert_allclose(worked_on, seen, atol=0.51)
    assert images.notes_of(images.read(content, "x"))


@pytest.mark.parametrize("chunk", [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455)),
                                   (b"cICP", bytes([1, 13, 0, 1]))])  # fmt: skip
def test_what_is_srgb_is_not_changed(chunk):
    content = png(flat(RED), chunk)
    np.testing.assert_array_equal(both(content)[0], RED)
    assert images.notes_of(images.read(content, "x")) == []
    assert open_picture(content).notes == ()


def test_what_is_cut_is_left_out_and_told_of_in_words():
    profile = colour.srgb().content
    original = open_picture(png(flat(RED), (b"iCCP", b"x\0\0" + zlib.compress(profile[:200]))))
    assert original.notes == ("its colour profile was left out (it is cut)",)
    original = open_picture(png(flat(RED), (b"cICP", bytes([9, 16]))))
    assert original.notes == (
        "what it says of its colours was left out (a cICP chunk that is cut)",
    )


def test_linear_light():
    content = png(flat((55, 55, 55)), (b"gAMA", struct.pack(">I", 100000)))
    light = 55 / 255
    np.testing.assert_array_equal(
        both(content)[0], round(255 * (1.055 * light ** (1 / 2.4) - 0.055))
    )


@pytest.mark.parametrize(("transfer", "value"), [(16, 0.58069), (18, 0.75)], ids=["PQ", "HLG"])
def test_reference_white_of_hdr_is_white(transfer, value):
    # 203 cd/m²: 58 % of PQ, 75 % of HLG (ITU-R BT.2408, table 1).
    content = png(
        flat([round(value * 65535)] * 3, np.uint16), (b"cICP", bytes([9, transfer, 0, 1]))
    )
    np.testing.assert_allclose(both(content)[0], 255, atol=1)
    assert "became white" in open_picture(content).notes[0]


def test_hdr_keeps_the_hue_of_what_is_brighter_than_white():
    numbers = colour.Numbers(9, 16)
    bright = (np.array([0.75, 0.65, 0.55]) * 65535).astype(np.uint16)
    got = numbers.to_srgb(bright[None, None])[0, 0]
    assert got[0] > 1 - 1e-6
    assert 1 > got[1] > got[2] > 0


@pytest.mark.parametrize("data", [bytes([12, 13, 0, 0]), bytes([3, 13, 0, 1]), b"\1"])
def test_numbers_that_are_not_read_are_left_out_and_told_of(data):
    original = open_picture(png(flat(RED), (b"cICP", data)))
    np.testing.assert_allclose(original.pixels[0, 0] * 255, RED, atol=1e-3)
    assert "left out" in original.notes[0]


def avif(primaries, transfer, value):
    out = io.BytesIO()
    Image.fromarray(flat(value)).resize((16, 16)).save(
        out, "avif", quality=100, subsampling="4:4:4"
    )
    content = out.getvalue()
    at = content.index(b"colrnclx") + 8
    return content[:at] + struct.pack(">2H", primaries, transfer) + content[at + 4 :]


def test_the_numbers_of_avif():
    np.testing.assert_allclose(both(avif(12, 13, RED))[0], lcms(RED, P3), atol=2)
    np.testing.assert_allclose(both(avif(2, 2, RED))[0], RED, atol=1)
    np.testing.assert_allclose(both(avif(9, 16, (148,) * 3))[0], 255, atol=2)


def test_a_profile_is_kept_that_was_told_by_numbers():
    original = open_picture(png(flat(RED), (b"cICP", bytes([12, 13, 0, 1]))))
    content = images.encode("x.png", original.pixels, {}, like=original, keep_profile=True)
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.info["icc_profile"] == P3
        np.testing.assert_allclose(opened.getpixel((3, 3)), RED, atol=2)  # 0 was clipped


def tiff(values, **how):
    out = io.BytesIO()
    tifffile.imwrite(out, values, **how)
    return out.getvalue()


def test_white_is_zero_at_any_depth():
    for values in (np.full((6, 6), 200, np.uint8), np.full((6, 6), 200 * 257, np.uint16)):
        np.testing.assert_array_equal(both(tiff(values, photometric="miniswhite"))[0], 55)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
def test_pixels_whose_range_is_unknown_are_refused(dtype):
    content = tiff(np.full((6, 6), 1, dtype), photometric="minisblack")
    for use in (lambda: images.read(content, "x"), lambda: open_picture(content)):
        with pytest.raises(ProbeError, match="whose range is unknown: save it with 16 bits"):
            use()


def test_pages_that_are_not_read_are_told_of():
    original = open_picture(tiff(np.zeros((3, 6, 6), np.uint8), photometric="minisblack"))
    assert original.notes == ("of its 3 pages, the first was read",)


def test_a_transparent_colour_of_16_bits():
    key = (b"tRNS", struct.pack(">3H", 51400, 10280, 10281))
    np.testing.assert_array_equal(both(png(flat((51400, 10280, 10281), np.uint16), key))[0], 128)
    other = png(flat((51400, 10280, 10282), np.uint16), key)  # the same at 8 bits
    np.testing.assert_array_equal(both(other)[0], RED)


@pytest.mark.parametrize(
    ("content", "kind", "module"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC", "pillow_heif"),
        (b"\xff\x0a" + bytes(40), "JPEG XL", "pillow_jxl"),
    ],
)
def test_what_takes_other_packages_says_which(content, kind, module, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    message = rf"{kind}, which takes other packages: pip install 'cnn-probe\[photos\]'"
    for use in (images.read, images.check):
        with pytest.raises(ProbeError, match=message):
            use(content, "x")
    with pytest.raises(ProbeError, match=message):
        open_picture(content)


# The same picture in other files: it looks the same, to what each loses.

Y, X = np.mgrid[:24, :32]
PHOTO = np.stack([8 * X, 10 * Y, 255 - 4 * (X + Y)], -1).clip(0, 255).astype(np.uint8)


def saved(levels, kind, **how):
    out = io.BytesIO()
    Image.fromarray(levels).save(out, kind, **how)
    return out.getvalue()


def in_p3():
    """The picture in Display P3, at 16 bits, with its profile."""
    across = colour.from_srgb(PHOTO / np.float32(255), colour.Numbers(12, 13).profile)
    levels = np.rint(across * 65535).astype(np.uint16)
    return png(levels, (b"iCCP", b"p\0\0" + zlib.compress(P3)))


def turned(orientation):
    back = {2: PHOTO[:, ::-1], 4: PHOTO[::-1], 5: PHOTO.swapaxes(0, 1), 6: np.rot90(PHOTO),
            7: PHOTO[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(PHOTO, -1)}  # fmt: skip
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(np.ascontiguousarray(back[orientation]), "png", exif=exif)


MEANS_THE_SAME = {
    "TIFF": (saved(PHOTO, "tiff"), 0),
    "TIFF, LZW": (saved(PHOTO, "tiff", compression="tiff_lzw"), 0),
    "TIFF of 16 bits": (tiff(PHOTO.astype(np.uint16) * 257, photometric="rgb"), 0),
    "TIFF, channels apart": (
        tiff(np.moveaxis(PHOTO.astype(np.uint16) * 257, 2, 0), photometric="rgb", planarconfig=2),
        0,
    ),
    "WebP": (saved(PHOTO, "webp", lossless=True), 0),
    "BMP": (saved(PHOTO, "bmp"), 0),
    "PPM": (saved(PHOTO, "ppm"), 0),
    "TGA": (saved(PHOTO, "tga"), 0),
    "PNG of 16 bits": (png(PHOTO.astype(np.uint16) * 257), 0),
    "PNG, opaque": (saved(np.dstack([PHOTO, np.full((24, 32), 255, np.uint8)]), "png"), 0),
    "JPEG 2000": (saved(PHOTO, "jpeg2000", irreversible=False), 0),
    "AVIF": (saved(PHOTO, "avif", quality=100, subsampling="4:4:4"), 3),
    "JPEG": (saved(PHOTO, "jpeg", quality=100, subsampling=0), 4),
    "in Display P3": (in_p3(), 1),
    "by cICP": (png(PHOTO, (b"cICP", bytes([1, 13, 0, 1]))), 0),
    **{f"orientation {k}": (turned(k), 0) for k in (2, 4, 5, 6, 7, 8)},
}


@pytest.mark.parametrize("name", MEANS_THE_SAME)
def test_the_same_picture_in_another_file_is_read_the_same(name):
    content, lost = MEANS_THE_SAME[name]
    seen = np.asarray(images.read(content, name)).astype(int)
    assert seen.shape == PHOTO.shape
    assert np.abs(seen - PHOTO).max() <= lost
    assert np.abs(open_picture(content).pixels * 255 - PHOTO).max() <= lost + 0.51
