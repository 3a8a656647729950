import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from probe import images
from probe.errors import ProbeError


def file_of(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def pixels(source, name="test"):
    picture = images.read(source, name)
    assert picture.mode == "RGB"
    return np.asarray(picture)


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_all_kinds_of_sources_give_the_same(colours, tmp_path):
    content = file_of(Image.fromarray(colours))
    (tmp_path / "a.png").write_bytes(content)
    for source in (colours, content, tmp_path / "a.png", str(tmp_path / "a.png"),
                   Image.fromarray(colours)):  # fmt: skip
        np.testing.assert_array_equal(pixels(source), colours)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a)),
    ],
)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(colours, orientation, upright, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(colours), format, exif=exif)
    np.testing.assert_array_equal(pixels(content), upright(colours))


def test_transparency_is_laid_over_mid_grey():
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, :3] = 255, 0, 0
    rgba[0, :, 3] = 0, 255, 51  # 51 / 255 = a fifth
    found = pixels(file_of(Image.fromarray(rgba)))[0]
    np.testing.assert_array_equal(found[:2], [[128] * 3, [255, 0, 0]])
    np.testing.assert_allclose(found[2], [128 + 0.2 * 127, 128 * 0.8, 128 * 0.8], atol=1)
    np.testing.assert_array_equal(pixels(rgba)[0], found)


def test_grey_with_alpha_and_a_transparent_palette_entry():
    grey_alpha = Image.merge("LA", [Image.new("L", (2, 1), 200), Image.new("L", (2, 1), 0)])
    assert (pixels(file_of(grey_alpha)) == 128).all()
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    found = pixels(file_of(palette, transparency=0))
    np.testing.assert_array_equal(found[0], [[128] * 3, [40, 50, 60]])


def test_sixteen_bits_are_scaled_to_eight():
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    found = pixels(file_of(Image.fromarray(values)))
    np.testing.assert_array_equal(found[0, :, 0], [0, 1, 128, 255])
    assert (found == found[:, :, :1]).all()


def test_palette_grey_bilevel_and_cmyk_become_rgb():
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    np.testing.assert_array_equal(pixels(file_of(palette))[0, 0], [9, 8, 7])
    np.testing.assert_array_equal(pixels(file_of(Image.new("L", (1, 1), 77)))[0, 0], [77] * 3)
    np.testing.assert_array_equal(pixels(np.full((1, 1), 77, np.uint8))[0, 0], [77] * 3)
    np.testing.assert_array_equal(pixels(file_of(Image.new("1", (1, 1), 1)))[0, 0], [255] * 3)
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    np.testing.assert_allclose(
        pixels(file_of(cyan, "JPEG", quality=100))[4, 4], [0, 255, 255], atol=3
    )


def test_a_picture_of_one_pixel(colours):
    np.testing.assert_array_equal(
        pixels(file_of(Image.fromarray(colours[:1, :1]))), colours[:1, :1]
    )


def test_the_users_picture_is_left_as_it_is(colours):
    picture = Image.fromarray(colours).convert("RGBA")
    before = picture.copy()
    images.read(picture, "test")
    assert picture == before
    assert picture.mode == "RGBA"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        file_of(Image.effect_noise((40, 40), 50))[:-200],
        file_of(Image.effect_noise((40, 40), 50), "JPEG")[:300],
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
    ],
    ids=["empty", "text", "truncated PNG", "truncated JPEG", "head of a GIF", "head of a PNG"],
)
def test_what_cannot_be_read_is_named(content, tmp_path):
    path = tmp_path / "face 7.png"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(ProbeError, match=r"image 'face 7' cannot be read \(.+\)") as error:
            images.read(source, "face 7")
        assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    with pytest.raises(ProbeError, match="image 'x' does not exist"):
        images.read(tmp_path / "x.png", "x")
    with pytest.raises(ProbeError, match="image 'x' cannot be read"):
        images.read(tmp_path, "x")


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8),
     np.zeros((1, 4, 4, 3), np.uint8), np.zeros((4, 4), np.int32)],
)  # fmt: skip
def test_arrays_of_another_kind(array):
    with pytest.raises(ProbeError, match=r"image 'x' is an array of .*: expected uint8"):
        images.read(array, "x")


def test_an_array_without_pixels():
    with pytest.raises(ProbeError, match="image 'x'"):
        images.read(np.zeros((0, 4, 3), np.uint8), "x")


def test_floating_point_pixels_have_no_known_range():
    content = file_of(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")
    with pytest.raises(ProbeError, match=r"image 'x' cannot be read .*floating-point"):
        images.read(content, "x")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_a_damaged_file_is_read_or_named_and_nothing_else(format, damage):
    rng = np.random.default_rng(0)
    content = bytearray(
        file_of(Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)), format)
    )
    for place, value in damage:
        content[place % len(content)] = value
    try:
        message = ""
        assert images.read(bytes(content), "x").mode == "RGB"
    except ProbeError as error:
        message = str(error)
    assert message == "" or message.startswith("image 'x' cannot be read (")
    assert "\n" not in message


def noise_file(format, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    return file_of(Image.fromarray(pixels), format, **options)


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        (noise_file("PNG"), True),
        (noise_file("JPEG"), True),
        (noise_file("JPEG", progressive=True), True),
        (noise_file("JPEG", restart_marker_rows=1, comment=b"\xff\xd9 \xff\xda"), True),
        (noise_file("JPEG") + b"trailing bytes \xff", True),
        (noise_file("JPEG")[:-2], False),
        (noise_file("BMP"), False),
        (noise_file("WEBP"), False),
    ],
    ids=["PNG", "JPEG", "progressive", "restarts", "trailing", "no end", "BMP", "WebP"],
)
def test_structure_tells_whether_png_and_jpeg_are_complete(content, complete):
    assert images.check(content, "x") == (3000, complete)


@given(st.sampled_from([{}, {"progressive": True}, {"restart_marker_rows": 1}]), st.integers(0))
def test_a_jpeg_that_was_cut_anywhere_is_never_complete(options, cut):
    content = noise_file("JPEG", **options)
    try:
        complete = images.check(content[: cut % len(content)], "x")[1]
    except images.Unreadable:
        complete = False
    assert not complete


@given(st.integers(0), st.integers(1, 255))
def test_a_png_with_one_byte_changed_is_found_by_its_checksums(place, change):
    content = bytearray(noise_file("PNG"))
    content[place % (len(content) - 12)] ^= change  # before the chunk that ends it
    with pytest.raises(images.Unreadable, match=r"image 'x' cannot be read \(.+\)"):
        images.check(bytes(content), "x")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html>", "not identified as a picture; it begins with b'<!DOCTYPE html>'"),
        (noise_file("PNG")[:-60], "Truncated File Read"),
    ],
)  # fmt: skip
def test_the_reason_is_given_apart(content, reason):
    with pytest.raises(images.Unreadable) as error:
        images.check(content, "face 7")
    copy = pickle.loads(pickle.dumps(error.value))
    assert (copy.name, copy.reason) == ("face 7", reason)
    assert str(copy) == f"image 'face 7' cannot be read ({reason})"
