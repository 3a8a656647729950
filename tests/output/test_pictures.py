"""Pictures and films that are saved: whole or not at all, with a file beside them."""

import json

import numpy as np
import pytest

from probe import images
from probe.errors import ProbeError
from probe.output.pictures import save_animation, save_picture

PIXELS = np.random.default_rng(0).random((12, 16, 3), dtype=np.float32)
ABOUT = {"command": "dream", "seed": 3, "words": "größer"}


@pytest.mark.parametrize("kind", images.WRITTEN)
def test_a_picture_and_what_it_is_about(tmp_path, kind):
    path = save_picture(tmp_path / "new" / f"x{kind}", PIXELS, ABOUT, quality=90)
    assert sorted(p.name for p in path.parent.iterdir()) == [f"x{kind}", f"x{kind}.json"]
    assert path.read_bytes() == images.encode(path, PIXELS, ABOUT, quality=90)
    assert images.about(path) == ABOUT
    beside = images.side_car(path)
    assert json.loads(beside.read_text()) == {"probe": ABOUT}
    before = path.read_bytes(), beside.read_bytes()
    save_picture(str(path), PIXELS, ABOUT, quality=90)
    assert (path.read_bytes(), beside.read_bytes()) == before


@pytest.mark.parametrize("kind", images.ANIMATED)
def test_an_animation_and_what_it_is_about(tmp_path, kind):
    frames = [np.roll(PIXELS, k, 1) for k in range(4)]
    path = save_animation(tmp_path / "new" / f"x{kind}", iter(frames), 10, ABOUT)
    assert sorted(p.name for p in path.parent.iterdir()) == [f"x{kind}", f"x{kind}.json"]
    assert images.read_movie(path).n_frames == 4
    assert images.about(path) == ABOUT
    path.unlink()
    assert images.about(images.side_car(path)) == ABOUT


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, ProbeError])
@pytest.mark.parametrize("kind", images.ANIMATED)
def test_a_film_that_is_not_finished_leaves_the_old_one(tmp_path, kind, stopped):
    def frames():
        yield PIXELS
        yield PIXELS
        raise stopped

    path = tmp_path / f"x{kind}"
    path.write_bytes(b"old")
    with pytest.raises(stopped):
        save_animation(path, frames(), 10, ABOUT)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


def save_film(path, pixels, about):
    return save_animation(path, [pixels] * 2, 10, about)


@pytest.mark.parametrize("name", ["file/x.png", "file/x.gif", "file/x.mp4"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, name):
    (tmp_path / "file").touch()
    save = save_picture if name.endswith(".png") else save_film
    with pytest.raises(ProbeError, match="cannot be written") as error:
        save(tmp_path / name, PIXELS, ABOUT)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_nothing_is_written_of_what_is_no_picture(tmp_path):
    for path, pixels, about in (
        ("x.png", PIXELS * np.nan, ABOUT), ("x.bmp", PIXELS, ABOUT), ("x.png", PIXELS, {"a": {1}}),
    ):  # fmt: skip
        with pytest.raises(ProbeError):
            save_picture(tmp_path / path, pixels, about)
    with pytest.raises(ProbeError, match="the settings are not plain values"):
        save_animation(tmp_path / "x.gif", [PIXELS] * 2, 10, {"a": {1}})
    assert not list(tmp_path.iterdir())
