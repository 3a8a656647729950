"""Pictures to work on: what Pillow, tifffile and FFmpeg write is read with all of its bits."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from profiles import PROFILES

from probe import images
from probe.errors import ProbeError
from probe.images import colour, open_picture

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (30, 41, 4), dtype=np.uint8)
SIXTEEN = RNG.integers(0, 65536, (30, 41, 4), dtype=np.uint16)

UPRIGHT = [
    lambda a: a,
    lambda a: a[:, ::-1],
    lambda a: a[::-1, ::-1],
    lambda a: a[::-1],
    lambda a: a.swapaxes(0, 1),
    lambda a: np.rot90(a, -1),
    lambda a: a[::-1, ::-1].swapaxes(0, 1),
    lambda a: np.rot90(a),
]


def file_of(picture, format="PNG", **options):
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def tiff(values, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric=options.pop("photometric", "rgb"), **options)
    return out.getvalue()


def with_chunk(png, name, data):
    """Put a chunk behind the head of a PNG file."""
    chunk = struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return png[:33] + chunk + png[33:]


def levels_of(found):
    """What was in the file."""
    top = 2**found.depth - 1
    values = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
    return np.round(values * top).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "PNG with 16 bits", "TIFF with 16 bits"])
def test_upright(orientation, format, ffmpeg_png):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    if format == "PNG with 16 bits":
        data = exif.tobytes().removeprefix(b"Exif\0\0")
        values, content = SIXTEEN, with_chunk(ffmpeg_png(SIXTEEN), b"eXIf", data)
    elif format == "TIFF with 16 bits":
        tags = [(0x0112, 3, 1, orientation, True), (0x010F, 2, 0, "a camera", True)]
        values = SIXTEEN
        content = tiff(SIXTEEN, extrasamples=["unassalpha"], extratags=tags)
    else:
        more = {"lossless": True, "exact": True} if format == "WEBP" else {}
        values, content = EIGHT, file_of(Image.fromarray(EIGHT), format, exif=exif, **more)
    found = open_picture(content)
    np.testing.assert_array_equal(levels_of(found), UPRIGHT[orientation - 1](values))
    assert (found.pixels.dtype, found.alpha.dtype) == (np.float32, np.float32)
    assert (found.depth, found.grey, found.notes) == (8 * values.itemsize, False, ())
    kept = Image.Exif()
    kept.load(found.exif)
    assert (kept[0x010F], 0x0112 in kept) == ("a camera", False)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("n_bands", [1, 2, 3, 4])
def test_all_bits_of_a_png_of_ffmpeg(ffmpeg_png, n_bands, interlaced):
    values = SIXTEEN[..., :n_bands].squeeze()
    content = ffmpeg_png(values, interlaced=interlaced)
    assert content[28] == interlaced
    found = open_picture(content)
    assert (found.depth, found.grey) == (16, n_bands < 3)
    bands = {1: [0, 0, 0], 2: [0, 0, 0, 1], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[n_bands]
    expected = SIXTEEN[..., bands]
    np.testing.assert_array_equal(levels_of(found), expected)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("n_bands", [3, 4])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16)},
     {"rowsperstrip": 7}, {"compression": "lzw"}, {"compression": "zstd"},
     {"compression": "packbits"}],
    ids=str,
)  # fmt: skip
def test_all_bits_of_a_tiff_of_tifffile(options, n_bands, byteorder):
    values = SIXTEEN[..., :n_bands]
    extra = ["unassalpha"] if n_bands == 4 else None
    found = open_picture(tiff(values, byteorder=byteorder, extrasamples=extra, **options))
    assert (found.depth, found.notes) == (16, ())
    np.testing.assert_array_equal(levels_of(found), values)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_channels_that_lie_apart(options, byteorder):
    content = tiff(
        np.moveaxis(SIXTEEN[..., :3], 2, 0), planarconfig="separate", byteorder=byteorder, **options
    )
    found = open_picture(content)
    np.testing.assert_array_equal(levels_of(found), SIXTEEN[..., :3])
    assert (found.depth, found.notes) == (16, ())
    eight = np.round(SIXTEEN[..., :3] / 257)
    np.testing.assert_array_equal(np.asarray(images.read(content, "x")), eight)


def test_colours_that_are_multiplied_by_their_alpha():
    alpha = RNG.integers(40000, 65536, (6, 7, 1))
    held = np.round(SIXTEEN[:6, :7, :3] * (alpha / 65535))
    content = tiff(np.dstack([held, alpha]).astype(np.uint16), extrasamples=["assocalpha"])
    found = open_picture(content)
    assert (found.depth, found.notes) == (16, ())
    np.testing.assert_allclose(found.pixels, SIXTEEN[:6, :7, :3] / 65535, atol=1.4 / 65535)
    np.testing.assert_allclose(found.alpha, alpha[..., 0] / 65535, atol=1e-7)


def test_a_fourth_channel_that_is_no_alpha_is_left_out():
    found = open_picture(tiff(SIXTEEN, extrasamples=["unspecified"]))
    np.testing.assert_array_equal(levels_of(found), SIXTEEN[..., :3])


@pytest.mark.parametrize(
    ("bits", "photometric"), [(12, "minisblack"), (16, "minisblack"), (16, "miniswhite")]
)
def test_grey_values_fill_all_bits_that_they_have(bits, photometric):
    values = SIXTEEN[..., 0] >> 16 - bits
    values[0, :2] = 0, 2**bits - 1
    content = tiff(values, photometric=photometric, bitspersample=bits)
    found = open_picture(content)
    expected = values / (2**bits - 1)
    if photometric == "miniswhite":
        expected = 1 - expected
    assert (found.depth, found.grey) == (16, True)
    np.testing.assert_allclose(found.pixels[..., 1], expected, atol=0.51 / 65535)
    as_opened = open_picture(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(as_opened.pixels, found.pixels)


@pytest.mark.parametrize("planar", [False, True])
def test_ink_of_16_bits_is_converted_with_8(planar):
    inks = SIXTEEN // 257 * 257
    laid = np.moveaxis(inks, 2, 0) if planar else inks
    config = "separate" if planar else "contig"
    content = tiff(laid, photometric="separated", planarconfig=config)
    bands = [Image.fromarray((inks[..., k] // 257).astype(np.uint8)) for k in range(4)]
    eight = open_picture(file_of(Image.merge("CMYK", bands), "TIFF"))
    np.testing.assert_array_equal(open_picture(content).pixels, eight.pixels)


def test_a_volume_is_refused():
    volume = SIXTEEN[..., :3].reshape(3, 10, 41, 3)
    with pytest.raises(ProbeError, match="a volume"):
        open_picture(tiff(volume, volumetric=True, tile=(16, 16, 16)))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_all_bits_of_grey_values_of_pillow(format):
    found = open_picture(file_of(Image.fromarray(SIXTEEN[..., 0]), format))
    assert (found.depth, found.grey, found.alpha) == (16, True, None)
    np.testing.assert_array_equal(levels_of(found), SIXTEEN[..., :1].repeat(3, 2))


@pytest.mark.parametrize("n_bands", [1, 3])
def test_one_colour_of_16_bits_that_is_transparent(ffmpeg_png, n_bands):
    values = SIXTEEN[..., :n_bands].squeeze()
    key = values[3, 4]
    content = with_chunk(ffmpeg_png(values), b"tRNS", np.array(key, ">u2").tobytes())
    found = open_picture(content)
    same = (values == key).reshape(30, 41, -1).all(2)
    assert same[3, 4]
    np.testing.assert_array_equal(found.alpha, np.where(same, 0, 1))
    assert (found.alpha == 0).sum() < 5  # though upper bytes are shared by more


def test_modes_of_eight_bits():
    rgba = Image.fromarray(EIGHT)
    expected = {
        "RGB": EIGHT[..., :3],
        "RGBA": EIGHT,
        "L": np.asarray(rgba.convert("L"))[..., None].repeat(3, 2),
        "1": np.asarray(rgba.convert("1"))[..., None].repeat(3, 2) * 255,
    }
    grey = np.asarray(rgba.convert("L"))
    expected["LA"] = np.dstack([grey, grey, grey, EIGHT[..., 3]])
    for mode, values in expected.items():
        found = open_picture(file_of(rgba.convert(mode)))
        np.testing.assert_array_equal(levels_of(found), values, err_msg=mode)
        assert found.grey == (mode in ("1", "L", "LA")), mode
    palette = rgba.convert("RGB").quantize(16)
    found = open_picture(file_of(palette, transparency=3))
    np.testing.assert_array_equal(levels_of(found)[..., :3], np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(found.alpha == 0, np.asarray(palette) == 3)
    gif = open_picture(file_of(palette, "GIF"))
    np.testing.assert_array_equal(levels_of(gif), np.asarray(palette.convert("RGB")))


def test_ink_with_and_without_a_profile():
    inks = Image.merge("CMYK", [Image.new("L", (16, 16), v) for v in (200, 40, 90, 30)])
    plain = open_picture(file_of(inks, "JPEG", quality=100))
    np.testing.assert_allclose(
        levels_of(plain)[8, 8], np.asarray(inks.convert("RGB"))[8, 8], atol=3
    )
    managed = open_picture(file_of(inks, "TIFF", icc_profile=PROFILES["cmyk"]))
    expected = colour.to_srgb(np.asarray(inks), colour.read_profile(PROFILES["cmyk"]))
    np.testing.assert_array_equal(managed.pixels, expected)
    assert np.abs(managed.pixels - plain.pixels).max() > 0.1
    assert managed.profile.kind == "CMYK"


@pytest.mark.parametrize("name", ["p3", "adobe", "table"])
def test_a_profile_is_applied_at_both_depths(ffmpeg_png, name):
    profile = colour.read_profile(PROFILES[name])
    eight = open_picture(file_of(Image.fromarray(EIGHT), icc_profile=PROFILES[name]))
    np.testing.assert_array_equal(eight.pixels, colour.to_srgb(EIGHT[..., :3], profile))
    np.testing.assert_array_equal(np.round(eight.alpha * 255), EIGHT[..., 3])  # which is no colour
    chunk = b"icc\0\0" + zlib.compress(PROFILES[name])
    deep = open_picture(with_chunk(ffmpeg_png(SIXTEEN), b"iCCP", chunk))
    np.testing.assert_array_equal(deep.pixels, colour.to_srgb(SIXTEEN[..., :3], profile))
    in_tiff = open_picture(tiff(SIXTEEN[..., :3], iccprofile=PROFILES[name]))
    np.testing.assert_array_equal(in_tiff.pixels, deep.pixels)
    assert eight.profile.content == deep.profile.content == PROFILES[name]


def test_grey_values_with_a_profile_of_grey_or_of_colours():
    grey = Image.fromarray(SIXTEEN[..., 0])
    for name in ("grey", "adobe"):
        found = open_picture(file_of(grey, icc_profile=PROFILES[name]))
        expected = colour.to_srgb(SIXTEEN[..., 0], colour.read_profile(PROFILES[name]))
        np.testing.assert_array_equal(found.pixels, expected)


def test_values_in_srgb_are_left_as_they_are():
    for profile in (PROFILES["srgb"], colour.srgb().content):
        found = open_picture(file_of(Image.fromarray(EIGHT), icc_profile=profile))
        np.testing.assert_array_equal(levels_of(found), EIGHT)
        assert found.profile.content == profile


def test_all_kinds_of_sources_give_the_same(tmp_path):
    content = file_of(Image.fromarray(EIGHT))
    (tmp_path / "a.png").write_bytes(content)
    for source in (EIGHT, content, tmp_path / "a.png", str(tmp_path / "a.png"),
                   Image.fromarray(EIGHT)):  # fmt: skip
        found = open_picture(source)
        np.testing.assert_array_equal(levels_of(found), EIGHT)
        assert found.name == ("image" if not isinstance(source, (str, type(tmp_path)))
                              else str(tmp_path / "a.png"))  # fmt: skip


def test_the_users_picture_is_left_as_it_is():
    picture = Image.fromarray(EIGHT)
    before = picture.copy()
    open_picture(picture).pixels[:] = 0
    array = EIGHT[..., :3].copy()
    open_picture(array).pixels[:] = 0
    assert picture == before
    np.testing.assert_array_equal(array, EIGHT[..., :3])


def test_the_limit_is_told_before_the_picture_is_decoded(monkeypatch):
    content = file_of(Image.new("1", (3000, 2000)))
    with monkeypatch.context() as patch:
        patch.setattr(Image.core, "zip_decoder", None)  # which would decode
        with pytest.raises(ProbeError) as error:
            open_picture(content, limit=5)
    assert str(error.value) == (
        "image 'image' has 3000 × 2000 pixels, 6 megapixels; the limit is 5 megapixels"
    )
    assert open_picture(content, limit=6).pixels.shape == (2000, 3000, 3)


def test_a_picture_beyond_pillows_own_limit_is_read(monkeypatch):
    content = file_of(Image.new("L", (300, 200), 7))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert open_picture(content).pixels.shape == (200, 300, 3)
