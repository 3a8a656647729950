"""``probe saliency``: what it writes, what it prints, what it refuses."""

import json

import numpy as np
import pytest
from PIL import Image

from probe import images
from probe.images import colour


@pytest.fixture
def saliency(run, lab):
    """Run ``probe saliency`` on a small random network."""
    data = pytest.importorskip("skimage.data")
    Image.fromarray(data.chelsea()).resize((90, 60)).save("the cat.png")

    def saliency(*more, picture="the cat.png"):
        return run("saliency", picture, "-m", "squeezenet1_1", "--weights", "random", *more)

    return saliency


def test_a_picture_that_says_how_it_was_made(saliency, tmp_path):
    ran = saliency("--target", "tabby", "--style", "overlay", "--npy", "values.npy")
    assert (ran.code, ran.err) == (0, "")
    assert "tabby" in ran.out
    assert "the cat-grad-cam-squeezenet1_1-tabby.png" in ran.out
    about = images.about("the cat-grad-cam-squeezenet1_1-tabby.png")
    assert (about["target"], about["layer"], about["method"]) == (
        "tabby",
        "features.12",
        "grad-cam",
    )
    with Image.open("the cat-grad-cam-squeezenet1_1-tabby.png") as made:
        assert made.size == (90, 60)
    assert np.load("values.npy").shape == (13, 13)


def test_colours_are_those_that_the_file_says(saliency):
    """A photograph in Display P3 gives what the same one in sRGB gives, and says so."""
    with Image.open("the cat.png") as opened:
        pixels = np.asarray(opened) / np.float32(255)
    p3 = colour.Numbers(12, 13).profile
    values = np.rint(colour.from_srgb(pixels, p3) * 255).astype(np.uint8)
    Image.fromarray(values).save("p3.png", icc_profile=p3.content)
    maps = []
    for picture in ("the cat.png", "p3.png"):
        ran = saliency("-t", "0", "--npy", "v.npy", picture=picture)
        assert (ran.code, ran.err) == (0, "")
        assert ("converted to sRGB, by its colour profile" in ran.out) == (picture == "p3.png")
        maps.append(np.load("v.npy"))
    np.testing.assert_allclose(*maps, atol=0.05 * np.abs(maps[0]).max())
    assert images.about("p3-grad-cam-squeezenet1_1-0.png")["notes"]


def test_several_methods_make_a_sheet_and_json_is_plain(saliency):
    ran = saliency(
        "--method", "gradient,layer-cam", "--layer", "features.5,features.12", "-o", "out/s.png",
        "--target", "281", "--json",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    records = json.loads(ran.out)
    assert [(r["about"]["method"], r["about"]["layer"]) for r in records] == [
        ("gradient", ""), ("layer-cam", "features.5"), ("layer-cam", "features.12"),
    ]  # fmt: skip
    assert all(record["files"] == ["out/s.png"] for record in records)
    with Image.open("out/s.png") as made:
        assert made.width > 500


def test_a_setting(saliency):
    ran = saliency("--method", "ig", "--set", "steps=3", "-t", "0", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)[0]["about"]["settings"] == {"steps": 3}


def test_the_methods_are_listed(run):
    ran = run("saliency", "--methods")
    assert ran.code == 0
    assert "integrated-gradients" in ran.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--method", "gradcamm"], "did you mean"),
        (["--target", "unicorns"], "has no class 'unicorns'"),
        (["--target", "features.3:9999"], "channel 9999 does not exist"),
        (["--layer", "features.77"], "has no layer"),
        (["--set", "steps"], "--set 'steps': expected NAME=VALUE"),
        (["--set", "steps=5"], "grad-cam has no setting 'steps'"),
        (["--style", "pretty"], "style 'pretty': expected one of"),
        (["-o", "map.jpg"], "has to end in .png, .pdf, .svg (a figure)"),
        (["-o", "the cat.png"], "is the picture itself"),
        (["-o", "the cat.png/deep.png"], "cannot be written"),
        (["--weights", "none.pt"], "none.pt"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(saliency, tmp_path, options, says):
    from pathlib import Path

    before = sorted(Path().rglob("*"))
    ran = saliency(*options)
    assert ran.code == 2
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "options",
    [["--style", "pretty"], ["-o", "map.jpg"], ["--npy", "map.txt"], ["-o", "the cat.png"]],
)
def test_what_could_not_be_written_is_told_before_the_work(saliency, monkeypatch, options):
    import probe.attribution

    def work(*arguments, **settings):
        raise AssertionError("it has begun")

    monkeypatch.setattr(probe.attribution, "saliency", work)
    assert saliency(*options).code == 2


def test_no_picture(saliency):
    from pathlib import Path

    Path("text.jpg").write_text("no picture")
    for name, says in (("none.jpg", "does not exist"), ("text.jpg", "cannot be read")):
        ran = saliency(picture=name)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert says in ran.err


def test_a_setting_that_is_a_word(saliency):
    options = ("--method", "input-x-gradient", "-t", "0", "--json")
    ran = saliency(*options, "--set", "baseline=blurred", "--npy", "blurred.npy")
    assert (ran.code, ran.err) == (0, "")
    (record,) = json.loads(ran.out)
    assert record["about"]["settings"] == {"baseline": "blurred"}
    assert saliency(*options, "--npy", "plain.npy").code == 0
    assert not np.allclose(np.load("blurred.npy"), np.load("plain.npy"))
    ran = saliency(*options, "--set", "baseline=blur")
    assert ran.code == 2
    assert "baseline 'blur': expected a number, values or 'blurred'" in ran.err
