"""What a picture says of itself, of how it was made and of its camera."""

import io
import json

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from probe import images
from probe.errors import ProbeError
from probe.images import encode, metadata, open_picture

PIXELS = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
ABOUT = {
    "command": "dream",
    "seed": 3,
    "layers": {"features.22": 1.5},
    "words": "größer",
    "no": None,
}


@pytest.mark.parametrize("kind", images.WRITTEN)
@pytest.mark.parametrize("about", [ABOUT, {}, {"long": "x" * 50_000}], ids=["some", "none", "long"])
def test_how_it_was_made_is_read_again(tmp_path, kind, about):
    (tmp_path / f"x{kind}").write_bytes(encode(f"x{kind}", PIXELS, about))
    assert images.about(tmp_path / f"x{kind}") == about
    assert images.about(str(tmp_path / f"x{kind}")) == about


def test_what_png_writes_is_read_again(tmp_path):
    (tmp_path / "x.png").write_bytes(images.png(Image.new("RGB", (2, 2)), ABOUT))
    assert images.about(tmp_path / "x.png") == ABOUT


def test_the_file_beside_it_says_so_too(tmp_path):
    path = tmp_path / "x.jpg"
    Image.new("RGB", (4, 4)).save(path)  # as a service gives it back
    images.side_car(path).write_text(images.as_text(ABOUT, indent=2))
    assert images.side_car(path).name == "x.jpg.json"
    assert images.about(path) == ABOUT
    assert images.about(images.side_car(path)) == ABOUT
    path.write_bytes(encode(path, PIXELS, {"seed": 4}))
    assert images.about(path) == {"seed": 4}  # the picture itself knows better


def test_too_much_for_a_jpeg_stands_in_the_file_beside_it(tmp_path):
    path, about = tmp_path / "x.jpg", {"long": "x" * 70_000}
    path.write_bytes(encode(path, PIXELS, about))
    with pytest.raises(ProbeError, match="its metadata say nothing"):
        images.about(path)
    images.side_car(path).write_text(images.as_text(about))
    assert images.about(path) == about


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.png", None),
        ("none.json", None),
        ("plain.png", b"PNG"),
        ("plain.jpg", b"JPEG"),
        ("text.png", b"no picture"),
        ("other.json", b'{"a": 1}'),
        ("broken.json", b'{"probe": '),
        ("list.json", b"[1, 2]"),
        ("number.json", b'{"probe": 3}'),
        ("bytes.json", b"\xff\xfe\x00"),
        ("none.mp4", None),
        ("text.mp4", b"no film"),
    ],
)
def test_a_file_that_does_not_say_so(tmp_path, name, content):
    path = tmp_path / name
    if content in (b"PNG", b"JPEG"):
        Image.new("RGB", (3, 3)).save(path, content.decode())
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ProbeError) as error:
        images.about(path)
    assert str(error.value).startswith(f"{str(path)!r} does not say how probe made it (")
    assert "\n" not in str(error.value)


def test_a_description_by_another_program_is_not_ours(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 5, 3), np.uint8))  # writes JSON, too
    with pytest.raises(ProbeError, match="its metadata say nothing"):
        images.about(tmp_path / "x.tif")


def camera():
    """What a camera writes: of the picture, of the file, and a thumbnail."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "a maker", "a camera"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.DateTime] = "2020:02:02 20:20:20"
    exif[ExifTags.IFD.Exif] = {
        int(ExifTags.Base.ExposureTime): 0.004,
        int(ExifTags.Base.ExifImageWidth): 30,
        int(ExifTags.Base.ExifImageHeight): 20,
        int(ExifTags.Base.MakerNote): b"\1\2\3",
        int(ExifTags.Base.LensModel): "a lens",
        int(ExifTags.Base.UserComment): b"ASCII\0\0\0a holiday",
    }
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 30.0, 15.5)}
    return exif


@pytest.mark.parametrize("kind", images.WRITTEN)
@pytest.mark.parametrize("source", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_what_the_camera_wrote_is_kept_and_what_is_no_longer_true_is_not(tmp_path, source, kind):
    out = io.BytesIO()
    Image.new("RGB", (30, 20)).save(out, source, exif=camera().tobytes())
    given = open_picture(out.getvalue())
    assert (given.pixels.shape, given.notes) == ((30, 20, 3), ())
    content = encode(f"x{kind}", given.pixels, ABOUT, like=given)
    with Image.open(io.BytesIO(content)) as opened:
        exif = opened.getexif()
        inner, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert ImageOps.exif_transpose(opened).size == (20, 30)
    assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Model]) == ("a maker", "a camera")
    assert exif[ExifTags.Base.DateTime] == "2020:02:02 20:20:20"
    assert inner[ExifTags.Base.LensModel] == "a lens"
    assert float(inner[ExifTags.Base.ExposureTime]) == 0.004
    assert place[1] == "N"
    assert [float(n) for n in place[2]] == [48.0, 30.0, 15.5]
    assert ExifTags.Base.Orientation not in exif
    assert not {ExifTags.Base.ExifImageWidth, ExifTags.Base.MakerNote} & set(inner)
    (tmp_path / f"x{kind}").write_bytes(content)
    assert images.about(tmp_path / f"x{kind}") == ABOUT
    again = open_picture(content)
    assert encode(f"x{kind}", given.pixels, ABOUT, like=again) == content


def test_a_thumbnail_is_left_out():
    small = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(small, "JPEG")
    # A directory of one entry, then one with the thumbnail (CIPA DC-008, annex A).
    first = b"\1\0" + b"\x0f\1\2\0\4\0\0\0cam\0" + (26).to_bytes(4, "little")
    where = 8 + len(first) + 2 + 24 + 4
    second = b"\2\0" + b"\1\2\4\0\1\0\0\0" + where.to_bytes(4, "little")
    second += b"\2\2\4\0\1\0\0\0" + len(small.getvalue()).to_bytes(4, "little") + bytes(4)
    data = b"Exif\0\0II*\0\x08\0\0\0" + first + second + small.getvalue()
    out = io.BytesIO()
    Image.new("RGB", (30, 20)).save(out, "JPEG", exif=data)
    with Image.open(out) as opened:
        assert opened.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(small.getvalue())
    given = open_picture(out.getvalue())
    content = encode("x.jpg", given.pixels, {}, like=given)
    assert small.getvalue() not in content
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.getexif()[ExifTags.Base.Make] == "cam"
        assert not opened.getexif().get_ifd(ExifTags.IFD.IFD1)


def test_nothing_to_keep_is_nothing():
    assert metadata.kept_exif(Image.Exif()) == b""


def test_the_text_is_one_line_of_ascii():
    text = images.as_text(ABOUT)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == {"probe": ABOUT}
