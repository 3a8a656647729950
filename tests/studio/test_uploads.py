"""Pictures that come through the browser."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.studio import uploads


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    Image.fromarray(pixels).save(tmp_path / "a photo (1).png", exif=exif)
    return tmp_path / "a photo (1).png"


def test_a_picture_comes_to_a_job_byte_for_byte(picture, tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    other = tmp_path / "-o.png"
    other.write_bytes(picture.read_bytes())
    names = uploads.lay([picture, picture, other], folder)
    assert names == ["a-photo--1.png", "a-photo--1-2.png", "o.png"]
    for name in names:
        assert (folder / name).read_bytes() == picture.read_bytes()


def test_it_is_shown_small_and_upright(picture):
    head, _, content = uploads.as_url(picture, 20).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as shown:
        assert shown.size == (15, 20)


def test_what_is_no_picture_is_refused_as_the_commands_refuse_it(tmp_path):
    text = tmp_path / "letter.jpg"
    text.write_text("Dear Sir or Madam, this is no picture.")
    with pytest.raises(ProbeError) as here:
        uploads.check(text)
    with pytest.raises(ProbeError) as there:
        images.open_picture(text)
    assert str(here.value) == str(there.value).replace(str(text), text.name)


def test_100_megapixels_are_refused_before_they_are_decoded(tmp_path, recwarn):
    Image.new("1", (12500, 8000)).save(tmp_path / "wall.png")
    with pytest.raises(ProbeError) as refused:
        uploads.check(tmp_path / "wall.png")
    assert str(refused.value) == (
        "image 'wall.png' has 100 megapixels; the limit of this page is 50 megapixels"
    )
    assert not recwarn.list


def test_a_picture_and_a_film_are_taken(picture, tmp_path):
    uploads.check(picture)
    (tmp_path / "clip.mp4").write_bytes(b"what it is, the command finds out")
    uploads.check(tmp_path / "clip.mp4")
