"""Pictures as files: read again here, and by tifffile, FFmpeg and Pillow, they are the same."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from profiles import PROFILES

from probe import images
from probe.errors import ProbeError
from probe.images import Original, colour, encode, open_picture

RNG = np.random.default_rng(0)
PIXELS = RNG.random((37, 50, 4), dtype=np.float32)
ABOUT = {"seed": 3, "layer": "features.22", "words": "größer", "list": [1, 2.5, None]}


def original(content):
    found = open_picture(content)
    assert found.notes == ()
    return found


def levels(values, depth=8):
    return np.floor(values.astype(np.float64) * (2**depth - 1) + 0.5).astype(int)


def read_levels(content):
    found = original(content)
    values = found.pixels if found.alpha is None else np.dstack([found.pixels, found.alpha])
    return levels(values, found.depth)


@pytest.mark.parametrize("n_bands", [3, 4])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", [".png", ".tif", ".tiff"])
def test_every_level_comes_back(kind, depth, n_bands, ffmpeg_read):
    pixels = PIXELS[..., :n_bands]
    content = encode(f"x{kind}", pixels, ABOUT, depth=depth)
    np.testing.assert_array_equal(read_levels(content), levels(pixels, depth))
    assert original(content).depth == depth
    if kind == ".png":
        np.testing.assert_array_equal(ffmpeg_read(content), levels(pixels, depth))
    else:
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(content)), levels(pixels, depth))
    images.check(content, "x")  # the checksums
    assert encode(f"y{kind}", pixels.copy(), dict(ABOUT), depth=depth) == content


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 140), st.integers(1, 5), st.sampled_from([3, 4])),
        elements=st.floats(0, 1, width=32),
    ),
    st.sampled_from([8, 16]),
    st.sampled_from([".png", ".tif"]),
)
def test_every_shape_comes_back(pixels, depth, kind):
    content = encode(f"x{kind}", pixels, {}, depth=depth)
    np.testing.assert_array_equal(read_levels(content), levels(pixels, depth))


def test_a_large_tiff_has_several_strips():
    pixels = np.tile(PIXELS[:, :, :3], (20, 16, 1))
    content = encode("x.tif", pixels, {})
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        assert len(file.pages[0].dataoffsets) > 1
        np.testing.assert_array_equal(file.asarray(), levels(pixels))


@pytest.mark.parametrize("kind", [".jpg", ".jpeg", ".webp"])
def test_what_loses_loses_less_with_quality(kind):
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    smooth = np.stack([*np.meshgrid(ramp, ramp), np.full((64, 64), 0.5, np.float32)], -1)
    noisy = np.clip(smooth + RNG.normal(0, 0.1, smooth.shape), 0, 1).astype(np.float32)
    files = {quality: encode(f"x{kind}", noisy, {}, quality=quality) for quality in (30, 80, 99)}
    errors = [np.abs(original(files[q]).pixels - noisy).mean() for q in files]
    sizes = [len(content) for content in files.values()]
    assert sizes[0] < sizes[1] < sizes[2]
    assert errors[0] > errors[1] > errors[2]
    assert np.abs(original(encode(f"x{kind}", smooth, {})).pixels - smooth).mean() < 0.01
    assert encode(f"x{kind}", noisy, {}, quality=80) == files[80]


def test_colours_of_a_jpeg_are_kept_at_every_pixel_from_quality_90_on():
    stripes = np.zeros((32, 32, 3), np.float32)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 1, 1
    fine, coarse = (original(encode("x.jpg", stripes, {}, quality=q)).pixels for q in (90, 89))
    assert np.abs(fine - stripes).mean() < 0.05
    assert np.abs(coarse - stripes).mean() > 0.1


def test_webp_without_loss():
    content = encode("x.webp", PIXELS, ABOUT, quality=100)
    np.testing.assert_array_equal(read_levels(content), levels(PIXELS))


@pytest.mark.parametrize("kind", images.WRITTEN)
def test_files_are_tagged_as_srgb(kind):
    with Image.open(io.BytesIO(encode(f"x{kind}", PIXELS[..., :3], {}))) as opened:
        if kind == ".png":
            assert opened.info["srgb"] == 0
        else:
            assert opened.info["icc_profile"] == colour.srgb().content
            assert opened.getexif().get_ifd(0x8769)[0xA001] == 1  # sRGB, in EXIF


@pytest.mark.parametrize("kind", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("name", ["p3", "adobe", "table"])
def test_the_profile_is_put_back(kind, name):
    muted = np.floor(80 + 100 * PIXELS[..., :3]).astype(np.uint8)  # that sRGB holds
    out = io.BytesIO()
    Image.fromarray(muted).save(out, "PNG", icc_profile=PROFILES[name])
    given = original(out.getvalue())
    held = ((given.pixels > 1e-6) & (given.pixels < 1 - 1e-6)).all(2)
    assert held.mean() > 0.9
    kept = encode(f"x{kind}", given.pixels, {}, like=given, keep_profile=True, quality=100)
    with Image.open(io.BytesIO(kept)) as opened:
        assert opened.info["icc_profile"] == PROFILES[name]
        np.testing.assert_array_equal(np.asarray(opened)[held], muted[held])
    plain = encode(f"x{kind}", given.pixels, {}, like=given, quality=100)
    with Image.open(io.BytesIO(plain)) as opened:
        assert np.abs(np.asarray(opened).astype(int) - muted).max() > 2
    np.testing.assert_allclose(original(plain).pixels, given.pixels, atol=0.51 / 255)


def test_the_profile_is_put_back_at_16_bits(ffmpeg_read):
    values = RNG.integers(20000, 45000, (30, 40, 3)).astype(np.uint16)
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric="rgb", iccprofile=PROFILES["p3"])
    given = original(out.getvalue())
    held = ((given.pixels > 1e-6) & (given.pixels < 1 - 1e-6)).all(2)
    assert held.mean() > 0.9
    content = encode("x.tif", given.pixels, {}, like=given, keep_profile=True)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(content))[held], values[held])
    content = encode("x.png", given.pixels, {}, like=given, keep_profile=True)
    np.testing.assert_array_equal(ffmpeg_read(content)[held], values[held])


def test_an_srgb_profile_of_the_original_is_put_back_as_it_is():
    out = io.BytesIO()
    Image.fromarray(levels(PIXELS[..., :3]).astype(np.uint8)).save(
        out, "PNG", icc_profile=PROFILES["srgb"]
    )
    given = original(out.getvalue())
    content = encode("x.png", given.pixels, {}, like=given, keep_profile=True)
    np.testing.assert_array_equal(read_levels(content), levels(PIXELS[..., :3]))
    assert original(content).profile.content == PROFILES["srgb"]


@pytest.mark.parametrize("kind", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_and_depth_are_put_back(kind, depth):
    content = encode("x.png", PIXELS, {}, depth=depth)
    given = original(content)
    made = original(encode(f"x{kind}", 1 - given.pixels, {}, like=given, quality=100))
    assert made.depth == (8 if kind == ".webp" else depth)
    tolerance = 0.51 / (2**made.depth - 1)
    np.testing.assert_allclose(made.alpha, PIXELS[..., 3], atol=2 * tolerance)
    np.testing.assert_allclose(made.pixels, 1 - PIXELS[..., :3], atol=2 * tolerance)


def test_alpha_follows_the_size_of_the_picture():
    alpha = np.zeros((20, 30), np.float32)
    alpha[:, 15:] = 1
    given = Original(np.zeros((20, 30, 3), np.float32), alpha, "x")
    made = original(encode("x.png", np.zeros((40, 60, 3), np.float32), {}, like=given))
    assert made.alpha.shape == (40, 60)
    np.testing.assert_array_equal(made.alpha[:, :28], 0)
    np.testing.assert_array_equal(made.alpha[:, 32:], 1)
    own = encode("x.png", np.ones((20, 30, 4), np.float32), {}, like=given)
    assert (original(own).alpha == 1).all()


def test_rounding_is_to_the_nearest_level_and_halves_go_up():
    ramp = (np.arange(256) / 255).astype(np.float32)
    for shift in (-0.49, 0.49, 0.0):
        pixels = np.clip(ramp + shift / 255, 0, 1)[None, :, None].repeat(3, 2).astype(np.float32)
        np.testing.assert_array_equal(read_levels(encode("x.png", pixels, {}))[0, :, 0], range(256))
    half = np.full((1, 1, 3), 0.5)
    assert read_levels(encode("x.png", half, {}))[0, 0, 0] == 128


@pytest.mark.parametrize(
    ("path", "pixels", "options", "says"),
    [
        ("x.gif", PIXELS, {}, "'x.gif' cannot be written: its name has to end in .png, .tif"),
        ("x", PIXELS, {}, "its name has to end in"),
        ("x.jpg", PIXELS, {}, "'x.jpg' cannot hold transparency: choose .png"),
        ("x.jpg", PIXELS[..., :3], {"depth": 16}, "cannot hold 16 bits: choose .png or"),
        ("x.webp", PIXELS, {"depth": 16}, "cannot hold 16 bits"),
        ("x.png", PIXELS, {"depth": 12}, "depth 12: expected 8 or 16 bits"),
        ("x.png", PIXELS, {"quality": 0}, "quality 0: expected a number from 1 to 100"),
        ("x.png", PIXELS * np.nan, {}, "values from nan to nan cannot be written: expected 0 to 1"),
        ("x.png", PIXELS * np.inf, {}, "cannot be written: expected 0 to 1"),
        ("x.png", PIXELS * 255, {}, "expected 0 to 1"),
        ("x.png", PIXELS - 0.1, {}, "expected 0 to 1"),
        ("x.png", (PIXELS * 255).astype(np.uint8), {}, "a picture of uint8 and shape (37, 50, 4)"),
        ("x.png", PIXELS[..., 0], {}, "of shape (height, width, 3 or 4)"),
        ("x.png", PIXELS[..., :2], {}, "of shape (height, width, 3 or 4)"),
        ("x.png", PIXELS[:0], {}, "of shape (height, width, 3 or 4)"),
        ("x.png", PIXELS[None], {}, "of shape (height, width, 3 or 4)"),
        ("x.webp", np.zeros((1, 16384, 3), np.float32), {}, "cannot hold 16384 × 1 pixels"),
        ("x.jpg", np.zeros((1, 65501, 3), np.float32), {}, "cannot hold 65501 × 1 pixels"),
    ],
)
def test_what_cannot_be_written_is_one_line(path, pixels, options, says):
    with pytest.raises(ProbeError) as error:
        encode(path, pixels, {}, **options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_are_not_plain():
    for kind in images.WRITTEN:
        with pytest.raises(ProbeError, match="the settings are not plain values"):
            encode(f"x{kind}", PIXELS[..., :3], {"model": object()})


def test_what_the_original_asks_for_is_checked_before_the_work():
    see_through = Original(PIXELS[..., :3], PIXELS[..., 3], "cut.png")
    with pytest.raises(ProbeError, match=r"'x.jpg' cannot hold the transparency of 'cut.png'"):
        images.check_kind("x.jpg", see_through)
    assert images.check_kind("x.TIF", see_through) == ".tif"
    for name in ("grey", "cmyk", "scanner"):
        like = Original(PIXELS[..., :3], None, "a.tif", profile=colour.read_profile(PROFILES[name]))
        with pytest.raises(ProbeError, match=r"profile of 'a.tif' cannot be kept \(.+\): without"):
            images.check_kind("x.png", like, keep_profile=True)
        assert images.check_kind("x.png", like) == ".png"


def test_a_small_overshoot_is_rounding():
    pixels = np.array([[[-0.0005, 0.5, 1.0005]]])
    np.testing.assert_array_equal(read_levels(encode("x.png", pixels, {}))[0, 0], [0, 128, 255])
