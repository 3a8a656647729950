"""``probe style``: what it writes, what it prints, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from probe import images

QUICK = (
    *("-m", "vgg11", "--weights", "random", "--size", 48, "--steps", 2),
    *("--layers", "relu1_1,relu2_1", "--content-layer", "relu2_1", "--precision", "float32"),
)


@pytest.fixture
def style(run, own_cache):
    """Run ``probe style`` on a small random network, with three pictures here."""
    for k, name in enumerate(("photo.png", "waves.jpg", "straw.png")):
        noise = np.random.default_rng(k).integers(0, 256, (6, 9, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((60, 40)).save(name)
    Image.new("L", (60, 40)).save("black.png")

    def style(*arguments):
        return run("style", *QUICK, *arguments)

    return style


def test_a_picture_that_says_how_it_was_made_and_is_made_again(style, run):
    ran = style("photo.png", "waves.jpg", "straw.png", "--mix", "2,1", "--colours", "match")
    assert (ran.code, ran.err) == (0, "")
    assert "photo.png in the style of waves.jpg and straw.png" in ran.out
    assert "photo-waves-straw.png" in ran.out
    about = images.about("photo-waves-straw.png")
    assert about["settings"]["mix"] == [2, 1]
    assert [one["name"] for one in about["styles"]] == ["waves.jpg", "straw.png"]
    with Image.open("photo-waves-straw.png") as made:
        assert made.size == (48, 32)

    ran = run("style", "--from", "photo-waves-straw.png")
    assert (ran.code, ran.err) == (0, "")
    with open("photo-waves-straw.png", "rb") as one, open("photo-waves-straw-again.png", "rb") as b:
        assert one.read() == b.read()
    ran = run("style", "--from", "photo-waves-straw.png", "--steps", 1, "-o", "less.png", "--json")
    record = json.loads(ran.out)
    assert record["about"]["settings"]["steps"] == 1
    assert record["about"]["settings"]["mix"] == [2, 1]
    assert record["file"] == "less.png"


def test_a_texture_and_previews(style, monkeypatch):
    written = []
    monkeypatch.setattr("probe.result.picture.write", watching(written))
    ran = style("--texture", "straw.png", "--tileable", "-o", "tile.png", "--preview", 2)
    assert (ran.code, ran.err) == (0, "")
    assert [path.name for path in written].count("tile-preview.png") == 2
    assert not written[0].exists()
    assert "texture of straw.png" in ran.out
    with Image.open("tile.png") as made:
        assert made.size == (48, 48)


def watching(written):
    from probe.result.picture import write

    def note(path, content):
        written.append(path)
        return write(path, content)

    return note


def test_it_is_made_again_from_files_that_are_the_same(style, run):
    assert style("photo.png", "waves.jpg", "--start", "straw.png", "--mask", "straw.png").code == 0
    assert run("style", "--from", "photo-waves.png").code == 0
    Image.new("RGB", (60, 40)).save("straw.png")
    error = run("style", "--from", "photo-waves.png").error
    assert "was made from 'straw.png', which is neither here nor beside it" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a picture and a style"),
        (["photo.png"], "name a picture and a style"),
        (["photo.png", "none.jpg"], "image 'none.jpg' does not exist"),
        (["photo.png", "waves.jpg", "-o", "photo.png"], "is one of the pictures"),
        (["photo.png", "waves.jpg", "-o", "out.gif"], "has to end in .png"),
        (["photo.png", "waves.jpg", "--mix", "a"], "is no numbers with commas"),
        (["photo.png", "waves.jpg", "--size", "40"], "shorter side has 27 pixels"),
        (["photo.png", "waves.jpg", "--colours", "odd"], "colours 'odd' is unknown"),
        (["photo.png", "waves.jpg", "--mask", "black.png"], "a mask is black"),
        (["--texture", "waves.jpg", "--colours", "keep"], "a texture has none"),
        (["--from", "photo.png"], "does not say how probe made it"),
    ],
)
def test_bad_input_is_one_clear_line(style, arguments, says):
    assert says in style(*arguments).error
