"""``probe filters``: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe import images
from probe.features.settings import METHODS, SCALES, SORTS, FilterSettings
from probe.settings import option_of


@pytest.fixture
def filters(run, lab):
    """Run ``probe filters`` on a small random network; pictures lie in ``images``."""
    (lab / "images").rename("images")

    def filters(*more, model="squeezenet1_1"):
        return run("filters", model, *more, "--weights", "random")

    return filters


class TestWhatIsWritten:
    def test_kernels(self, filters):
        ran = filters()
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("squeezenet1_1 features.0 (conv1): 64 kernels of 3×3\n")
        assert "wrote    filters-squeezenet1_1.png" in ran.out
        about = images.about("filters-squeezenet1_1.png")
        assert about["model"] == "squeezenet1_1"
        assert about["weights"] == "random initialisation, seed 0"
        with Image.open("filters-squeezenet1_1.png") as picture:
            assert picture.width > 1500

    def test_activation_maps(self, filters):
        ran = filters("--layer", "features.2", "--image", "images/p03.png", "--npy", "maps.npy",
                      "--scale", "own", "--channels", "5,0-2")  # fmt: skip
        assert (ran.code, ran.err) == (0, "")
        about = images.about("filters-squeezenet1_1-features.2-p03.png")
        assert (about["image"], about["scale"]) == ("p03.png", "own")
        assert about["channels"] == [5, 0, 1, 2]
        assert np.load("maps.npy").shape == (64, 55, 55)
        assert [line.split()[0] for line in ran.out.splitlines()[-4:]] == ["5", "0", "1", "2"]

    def test_patches(self, filters):
        ran = filters("--layer", "features.3", "--images", "images", "--channels", "7,3", "-k", 2,
                      "-o", "out/top.png", "--npy", "top.npy")  # fmt: skip
        assert (ran.code, ran.err) == (0, "")
        about = images.about("out/top.png")
        assert (about["k"], about["n_images"], about["channels"]) == (2, 12, [7, 3])
        assert np.load("top.npy").shape == (128, 2)
        assert "wrote    out/top.png" in ran.out

    def test_projections_as_json(self, filters):
        ran = filters("--layer", "features.2", "-i", "images", "--channels", "7", "-k", 2,
                      "--project", "deconvnet", "--npy", "p.npy", "--json")  # fmt: skip
        assert (ran.code, ran.err) == (0, "")
        (record,) = json.loads(ran.out)
        assert record["about"]["projection"] == "deconvnet"
        assert record["files"] == ["filters-squeezenet1_1-features.2-images.png", "p.npy"]
        assert [row["rank"] for row in record["table"]] == [1, 2]
        box = record["table"][0]
        shape = (box["bottom"] - box["top"], box["right"] - box["left"])
        assert np.load("p.npy").shape == (1, 2, 3, *shape)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--layer", "features.33"], ["'features.33'", "did you mean 'features.3'"]),
        (["--layer", "features.3.squeeze"], ["kernels of 64 channels"]),
        (["--layer", "features.1"], ["'features.1' (ReLU) is not a convolution"]),
        (["--sort", "energie"], ["'energie'", "did you mean 'energy'"]),
        (["--image", "images/p00.png"], ["--image needs --layer"]),
        (["--images", "images"], ["--images needs --layer"]),
        (["--layer", "features.0", "--image", "a.png", "--images", "b"], ["one of the two"]),
        (["--layer", "features.0", "--image", "nowhere.png"], ["'nowhere.png' does not exist"]),
        (["--layer", "features.0", "--images", "nowhere"], ["nowhere' does not exist"]),
        (["--layer", "features.0", "--images", "empty"], ["it is empty"]),
        (["--layer", "features.0", "--image", "images/p00.png", "-k", 3],
         ["-k can only be used for --images"]),
        (["--channels", "3"], ["--channels can only be used for --image or --images"]),
        (["--layer", "features.0", "--image", "images/p00.png", "--channels", "64"],
         ["channel 64 does not exist", "has 64, from 0"]),
        (["--layer", "features.0", "-i", "images", "--channels", "x"],
         ["--channels 'x': expected numbers"]),
        (["--layer", "features.0", "-i", "images", "--project", "guide"],
         ["'guide'", "did you mean 'guided'"]),
        (["--layer", "features.0", "-i", "images", "-k", 0], ["k 0: expected a number ≥ 1"]),
        (["-o", "kernels.jpg"], ["'kernels.jpg'", ".png"]),
        (["--npy", "kernels.csv"], ["'kernels.csv'", ".npy"]),
        (["-o", "images/p00.png/kernels.png"], ["kernels.png' cannot be written"]),
        (["--layer", "features.0", "--image", "images/p00.png", "-o", "images/p00.png"],
         ["is the picture itself"]),
    ],
)  # fmt: skip
def test_bad_input(filters, arguments, parts):
    Path("empty").mkdir()
    before = Path("images/p00.png").read_bytes()
    error = filters(*arguments).error
    for part in parts:
        assert part in error
    assert Path("images/p00.png").read_bytes() == before
    assert not list(Path().glob("*.png"))
    assert not list(Path().glob("*.npy"))


def test_the_network_is_the_first_argument_or_an_option(run):
    first = run("filters", "squeezenet1_1", "--weights", "random", "-o", "first.png")
    option = run("filters", "-m", "squeezenet1_1", "--weights", "random", "-o", "option.png")
    assert (first.code, option.code) == (0, 0)
    assert Path("first.png").read_bytes() == Path("option.png").read_bytes()
    assert "expected one, as first argument" in run("filters", "alexnet", "-m", "vgg16").error
    assert "Missing argument 'MODEL'" in run("filters").error


def test_a_network_that_does_not_exist(run):
    assert "did you mean 'alexnet'" in run("filters", "alexnett").error


def test_words_are_those_that_exist():
    assert option_of(FilterSettings, "sort").choices == SORTS
    assert option_of(FilterSettings, "scale").choices == SCALES
    assert tuple(METHODS) == option_of(FilterSettings, "project").choices
