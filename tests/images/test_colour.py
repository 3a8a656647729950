"""Colour profiles, compared with LittleCMS and with the formulas of the standard."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from profiles import PROFILES, file_of_tags, fixed, gamma, para, rgb_profile, table

from probe.images import colour

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)


def by_littlecms(picture, profile):
    made = ImageCms.profileToProfile(
        picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    return np.asarray(made, np.float64)


@pytest.mark.parametrize("name", ["p3", "adobe", "table", "srgb", "scanner"])
def test_the_same_colours_as_littlecms(name):
    profile = colour.read_profile(PROFILES[name])
    expected = by_littlecms(Image.fromarray(COLOURS), PROFILES[name])
    found = colour.to_srgb(COLOURS, profile)
    assert found.dtype == np.float32
    # Of which the last step is rounded to 8 bits, and some before it.
    np.testing.assert_allclose(found * 255, expected, atol=1.01)
    assert np.abs(found * 255 - expected).mean() < 0.3


def test_grey_and_ink_as_littlecms():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = by_littlecms(Image.fromarray(grey), PROFILES["grey"])
    found = colour.to_srgb(grey, colour.read_profile(PROFILES["grey"]))
    # LittleCMS goes by a table here, which is coarse in the darkest colours.
    np.testing.assert_allclose(found[1:] * 255, expected[1:], atol=1.01)
    light = (grey / 255) ** (461 / 256)
    closed = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found, closed[:, :, None].repeat(3, 2), atol=1e-6)
    inks = RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    expected = by_littlecms(colour.as_pillow(inks), PROFILES["cmyk"])
    found = colour.to_srgb(inks, colour.read_profile(PROFILES["cmyk"]))
    np.testing.assert_allclose(found * 255, expected, atol=1.01)
    assert expected.std() > 30


def test_grey_values_in_an_rgb_profile_are_three_equal_ones():
    profile = colour.read_profile(PROFILES["adobe"])
    both = colour.to_srgb(np.repeat(COLOURS[:, :, :1], 3, 2), profile)
    np.testing.assert_array_equal(colour.to_srgb(COLOURS[:, :, 0], profile), both)
    np.testing.assert_allclose(both, both[:, :, :1].repeat(3, 2), atol=5e-4)  # and grey


def test_sixteen_bits_are_the_same_colours_but_finer():
    profile = colour.read_profile(PROFILES["p3"])
    wide = COLOURS.astype(np.uint16) * 257
    np.testing.assert_array_equal(colour.to_srgb(wide, profile), colour.to_srgb(COLOURS, profile))
    ramp = np.arange(30000, 30256, dtype=np.uint16)[None, :, None].repeat(3, 2)
    assert (np.diff(colour.to_srgb(ramp, profile)[0], axis=0) > 0).all()


def test_by_hand():
    """P3's green as CSS Color 4 has it, times the whole way by plain matrices."""
    profile = colour.read_profile(PROFILES["p3"])
    dull = np.array([[[128, 130, 120]]], np.uint8)
    light = (dull[0, 0] / 255 + 0.055) / 1.055
    xyz = [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869],
           [0, 0.0451134, 1.0439444]] @ light**2.4  # fmt: skip
    linear = [[3.2409699, -1.5373832, -0.4986108], [-0.9692436, 1.8759675, 0.0415551],
              [0.0556301, -0.2039770, 1.0569715]] @ xyz  # fmt: skip
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(colour.to_srgb(dull, profile)[0, 0], expected, atol=4e-4)


@pytest.mark.parametrize("name", ["p3", "adobe", "table"])
def test_there_and_back_again(name):
    profile = colour.read_profile(PROFILES[name])
    levels = RNG.integers(9000, 56000, (30, 40, 3)).astype(np.uint16)
    pixels = colour.to_srgb(levels, profile)
    held = ((pixels > 1e-6) & (pixels < 1 - 1e-6)).all(2)  # by sRGB
    assert held.mean() > 0.5
    back = colour.from_srgb(pixels, profile)
    np.testing.assert_allclose(back[held] * 65535, levels[held], atol=0.5)


def test_back_through_tables_is_told_where_there_is_no_way():
    with pytest.raises(ValueError, match=r"\w"):
        colour.from_srgb(np.zeros((2, 2, 3), np.float32), colour.read_profile(PROFILES["scanner"]))
    for name in ("grey", "cmyk"):
        with pytest.raises(ValueError, match=r"it is for (grey|CMYK)"):
            colour.from_srgb(np.zeros((2, 2, 3), np.float32), colour.read_profile(PROFILES[name]))


def formula(form, x, g, a=1.0, b=0.0, c=0.0, d=0.0, e=0.0, f=0.0):
    """ICC.1:2022, table 68."""
    if form == 0:
        return x**g
    if form == 1:
        return (a * x + b) ** g if x >= -b / a else 0.0
    if form == 2:
        return (a * x + b) ** g + c if x >= -b / a else c
    if form == 3:
        return (a * x + b) ** g if x >= d else c * x
    return (a * x + b) ** g + e if x >= d else c * x + f


@pytest.mark.parametrize(
    ("form", "numbers"),
    [
        (0, (2.25,)),
        (1, (2.0, 1.25, -0.25)),
        (2, (2.0, 1.125, -0.25, 0.125)),
        (3, (2.5, 0.875, 0.125, 0.25, 0.125)),
        (4, (2.0, 0.75, 0.25, 0.5, 0.25, 0.0, 0.0625)),
    ],
)
def test_curves_by_formula(form, numbers):
    profile = colour.read_profile(rgb_profile("srgb", para(form, *numbers)))
    levels = np.arange(0, 65536, 97)
    expected = [formula(form, level / 65535, *numbers) for level in levels]
    np.testing.assert_allclose(profile.curves[0][levels], np.clip(expected, 0, 1), atol=1e-12)


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=20))
def test_curves_by_points(points):
    profile = colour.read_profile(rgb_profile("srgb", table(np.array(points) / 65535)))
    expected = np.interp(
        np.linspace(0, 1, 65536), np.linspace(0, 1, len(points)), np.array(points) / 65535
    )
    np.testing.assert_allclose(profile.curves[2], expected, atol=1e-12)


def test_what_is_srgb():
    assert colour.srgb().is_srgb
    assert colour.read_profile(PROFILES["srgb"]).is_srgb
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert colour.read_profile(made).is_srgb
    assert not any(
        colour.read_profile(PROFILES[name]).is_srgb
        for name in ("p3", "adobe", "table", "grey", "cmyk", "scanner")
    )
    assert not colour.read_profile(rgb_profile("srgb", gamma(2.2))).is_srgb


def test_the_profile_that_is_written_is_always_the_same_and_littlecms_reads_it():
    colour.srgb.cache_clear()
    first = colour.srgb().content
    colour.srgb.cache_clear()
    assert colour.srgb().content == first
    expected = by_littlecms(Image.fromarray(COLOURS), first)
    np.testing.assert_allclose(expected, COLOURS, atol=1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an ICC profile"),
        (b"x" * 500, "not an ICC profile"),
        (PROFILES["p3"][:131], "not an ICC profile"),
        (PROFILES["p3"][:140], r"\w"),
        (PROFILES["p3"][:400], r"\w"),
        (file_of_tags(b"Lab ", b"XYZ ", {}), "it is for 'Lab'"),
        (file_of_tags(b"RGB ", b"XYZ ", {}), "no entry 'rTRC'"),
        (file_of_tags(b"GRAY", b"XYZ ", {}), "no entry 'kTRC'"),
        (rgb_profile("p3", b"curv" + bytes(4)), r"\w"),
        (rgb_profile("p3", b"curv" + bytes(4) + b"\0\0\xff\xff" + bytes(40)), "a curve is cut"),
        (rgb_profile("p3", b"para" + bytes(4) + b"\0\x09\0\0" + fixed(1)), "unknown form 9"),
        (rgb_profile("p3", b"blob" + bytes(40)), "unknown kind"),
        (rgb_profile("p3", para(3, -9, 1, 0, 1, 0)), "not finite"),
    ],
)
def test_damaged_profiles(content, says):
    with pytest.raises(ValueError, match=says):
        colour.read_profile(content)


def test_primaries_that_are_all_alike():
    tags = {b"rXYZ": b"XYZ " + bytes(4) + fixed(0.3, 0.3, 0.3)}
    tags |= {b"gXYZ": tags[b"rXYZ"], b"bXYZ": tags[b"rXYZ"]}
    tags |= {bytes([band]) + b"TRC": gamma(2) for band in b"rgb"}
    with pytest.raises(ValueError, match="do not make colours"):
        colour.read_profile(file_of_tags(b"RGB ", b"XYZ ", tags))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_profile_is_read_or_refused_and_nothing_else(damage):
    content = bytearray(PROFILES["p3"])
    for place, value in damage:
        content[place % len(content)] = value
    try:
        found = colour.to_srgb(COLOURS[:2, :2], colour.read_profile(bytes(content)))
    except ValueError:
        return
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize(
    ("name", "n_bands", "says"),
    [("cmyk", 3, "CMYK, and the picture is RGB"), ("grey", 3, "grey, and the picture is RGB"),
     ("p3", 4, "RGB, and the picture is CMYK"), ("cmyk", 1, "CMYK, and the picture is grey")],
)  # fmt: skip
def test_a_profile_for_other_colours(name, n_bands, says):
    levels = RNG.integers(0, 256, (4, 5, n_bands), dtype=np.uint8).squeeze()
    with pytest.raises(ValueError, match=f"it is for {says}"):
        colour.to_srgb(levels, colour.read_profile(PROFILES[name]))
