"""``probe style``: what it writes, what it prints, what it refuses."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe import images, models
from probe.output.pictures import save_animation

QUICK = (
    *("-m", "vgg11", "--weights", "random", "--size", 48, "--steps", 2),
    *("--layers", "relu1_1,relu2_1", "--content-layer", "relu2_1", "--precision", "float32"),
)


@pytest.fixture(scope="module", autouse=True)
def _drawn_once():
    """Most of the time would go into random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probe.models.network.load", lru_cache(2)(models.load))
        yield


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
    ran = style("photo.png", "waves.jpg", "straw.png", "--mix", "2,1", "--colors", "match")
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
    (record,) = json.loads(ran.out)
    assert record["about"]["settings"]["steps"] == 1
    assert record["about"]["settings"]["mix"] == [2, 1]
    assert record["files"] == ["less.png"]


def test_a_texture_and_previews(style, monkeypatch):
    written = []
    monkeypatch.setattr("probe.output.pictures.write", watching(written))
    ran = style("--texture", "straw.png", "--tileable", "-o", "tile.png", "--preview", 2)
    assert (ran.code, ran.err) == (0, "")
    assert [path.name for path in written].count("tile-preview.png") == 2
    assert not written[0].exists()
    assert "texture of straw.png" in ran.out
    with Image.open("tile.png") as made:
        assert made.size == (48, 48)


def watching(written):
    from probe.output.pictures import write

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
        (["photo.png", "waves.jpg", "--start", "straw.png", "-o", "straw.png"], "is one of the"),
        (["photo.png", "waves.jpg", "--style-mask", "straw.png", "-o", "straw.png"], "is one of"),
        (["photo.png", "waves.jpg", "-o", "waves.jpg/a.png"], "cannot be written (not a folder"),
        (["photo.png", "waves.jpg", "-o", "out.gif"], "has to end in .png"),
        (["photo.png", "waves.jpg", "--mix", "a"], "mix 'a': expected numbers separated by commas"),
        (["photo.png", "waves.jpg", "--size", "40"], "picture's shorter side then has 27 pixels"),
        (["photo.png", "waves.jpg", "--steps", "0"], "steps 0: expected a number ≥ 1"),
        (["photo.png", "waves.jpg", "--loss", "gran"], "wasserstein, gram; did you mean 'gram'?"),
        (["photo.png", "waves.jpg", "--quality", "0"], "quality 0: expected a number from 1 to"),
        (
            ["photo.png", "waves.jpg", "--colours", "odd"],
            "colours 'odd': expected one of style, keep",
        ),
        (["photo.png", "waves.jpg", "--mask", "black.png"], "a mask is black"),
        (["--texture", "waves.jpg", "--colours", "keep"], "expected style for a texture"),
        (["--texture", "waves.jpg", "--style", "straw.png"], "leave out --style"),
        (["--style", "straw.png"], "name a picture and a style"),
        (["photo.png", "waves.jpg", "-s", "straw.png", "-o", "a.png"], "is one file, for 2"),
        (["--from", "photo.png"], "does not say how probe made it"),
    ],
)
def test_bad_input_is_one_clear_line(style, arguments, says):
    assert says in style(*arguments).error


def test_a_preview_that_is_begun_with_stays(style):
    Path("straw.png").rename("out-preview.png")
    given = ("photo.png", "waves.jpg", "--start", "out-preview.png", "-o", "out.png")
    assert "'out-preview.png' is one of the pictures" in style(*given, "--preview", 1).error
    assert Path("out-preview.png").exists()
    assert style(*given).code == 0


def test_another_content_in_the_styles_of_before(style, run):
    assert style("photo.png", "waves.jpg", "-o", "first.png").code == 0
    assert run("style", "--from", "first.png", "straw.png", "-o", "second.png").code == 0
    about = images.about("second.png")
    assert (about["content"]["name"], about["styles"][0]["name"]) == ("straw.png", "waves.jpg")
    assert run("style", "--from", "first.png", "--loss", "gram", "-o", "third.png").code == 0
    assert images.about("third.png")["settings"]["layers"]["relu5_1"] == 0.1  # of that loss


def test_many_pictures_go_on_where_they_ended(style, monkeypatch):
    batch = ("photo.png", "waves.jpg", "--style", "straw.png", "-o", "made")
    Image.open("waves.jpg").save("whole.png")
    Path("waves.jpg").write_bytes(b"cut off")
    ran = style(*batch)
    assert ran.code == 2
    assert "'waves.jpg'" in ran.err
    assert sorted(p.name for p in Path("made").iterdir()) == [
        "photo-straw.png", "photo-straw.png.json"
    ]  # fmt: skip
    first = Path("made/photo-straw.png").stat().st_mtime_ns
    Image.open("whole.png").save("waves.jpg")
    ran = style(*batch, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert [record["files"] for record in json.loads(ran.out)] == [
        [str(Path("made") / name)] for name in ("photo-straw.png", "waves-straw.png")
    ]
    assert Path("made/photo-straw.png").stat().st_mtime_ns == first
    assert images.about("made/waves-straw.png")["content"]["name"] == "waves.jpg"


def test_a_film_that_is_made_again(style, run, monkeypatch):
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    save_animation("clip.mp4", noise, 10, {})
    written = []
    monkeypatch.setattr("probe.output.pictures.write", watching(written))
    ran = style("clip.mp4", "waves.jpg", "-o", "out.gif", "--preview", 2)
    assert (ran.code, ran.err) == (0, "")
    assert "wrote out.gif" in ran.out
    # Every second of the first frame's 4 steps and the others' 2, and every frame when it is done.
    assert [path.name for path in written].count("out-preview.png") == 2 + 2 * 1 + 3
    assert not Path("out-preview.png").exists()
    made = images.read_movie("out.gif")
    assert (made.n_frames, made.size) == (3, (48, 32))
    assert run("style", "--from", "out.gif").code == 0
    assert Path("out-again.gif").read_bytes() == Path("out.gif").read_bytes()
    for arguments, says in (
        (
            ("clip.mp4", "photo.png", "--style", "waves.jpg"),
            "one at a time: expected one file, not 2",
        ),
        (("clip.mp4", "waves.jpg", "-o", "clip.mp4"), "is one of the pictures"),
        (("clip.mp4", "waves.jpg", "-o", "out.png"), "has to end in .gif, .webp, .mp4"),
        (("clip.mp4", "waves.jpg", "--keep-profile"), "--keep-profile: expected a picture"),
    ):
        assert says in style(*arguments).error


def test_a_page_about_a_picture_and_a_texture(style):
    assert style("photo.png", "waves.jpg", "-o", "out.png", "--report").code == 0
    page = Path("out.html").read_text()
    assert "photo.png was painted anew in the style of waves.jpg, by optimising" in page
    assert "those of the style at relu1_1, relu2_1, and for its content like" in page
    assert "Gatys et al. 2016" in page
    assert "probe style --from out.png" in page
    ran = style("--texture", "straw.png", "-o", "tile.png", "--report")
    assert (ran.code, ran.err) == (0, "")
    assert "tile.html" in ran.out
    page = Path("tile.html").read_text()
    assert "A texture was made of straw.png" in page
    assert "content like" not in page
