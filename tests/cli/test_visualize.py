"""``probe visualize``: what it prints and writes, how it is repeated, and what it refuses."""

import json
import signal
from pathlib import Path

import pytest
from PIL import Image

from probe import cli, features, images
from probe.assets import cache_dir
from probe.studio.commands import Command
from probe.synthesis import optimise
from probe.synthesis import visualize as visualise


@pytest.fixture
def visualize(run):
    """Run ``probe visualize`` on a small random network, with few steps."""

    def visualize(*more, model="squeezenet1_1", size=32):
        quick = ["--size", size, "--steps", 3, "--device", "cpu"]
        return run("visualize", model, *more, *quick, "--weights", "random")

    return visualize


class TestWhatIsWritten:
    def test_one_picture(self, visualize):
        ran = visualize("features.0:3")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("squeezenet1_1: features.0:3\n")
        name = "visualize-squeezenet1_1-features.0-3.png"
        assert f"wrote    {name}" in ran.out
        assert "rank: 1 where the picture drives no other channel (or class) more" in ran.out
        with Image.open(name) as opened:
            assert opened.size == (32, 32)
        assert images.about(name)["settings"]["steps"] == 3
        assert Path(f"{name}.json").is_file()

    def test_a_sheet_as_json(self, visualize):
        ran = visualize("features.0", "--channels", "0-2,7", "-o", "out/sheet.png", "--json")
        assert (ran.code, ran.err) == (0, "")
        (record,) = json.loads(ran.out)
        assert record["files"] == ["out/sheet.png"]
        assert [row["target"] for row in record["table"]] == [
            f"features.0:{k}" for k in (0, 1, 2, 7)
        ]
        assert images.about("out/sheet.png")["settings"]["channels"] == [0, 1, 2, 7]

    def test_a_page(self, visualize):
        ran = visualize("features.0:3", "-o", "one.png", "--report")
        assert (ran.code, ran.err) == (0, "")
        assert "one.html" in ran.out
        page = Path("one.html").read_text()
        assert "that drive features.0:3 of squeezenet1_1 (Iandola et al. 2016)" in page
        assert "probe visualize --from one.png" in page
        assert visualize("features.0", "--channels", "0-1", "-o", "each", "--report").code == 0
        assert Path("each/report.html").read_text().count("<img ") == 2
        ran = visualize("features.0:3", "-o", "table.csv", "--report")
        assert ran.code == 2
        assert "expected a picture or a folder, and 'table.csv' is a table" in ran.err

    def test_several_kinds_at_once(self, visualize):
        ran = visualize("tabby", "features.3:5,2,2", "-o", "table.csv")
        assert (ran.code, ran.err) == (0, "")
        assert "most driven" in ran.out
        assert len(Path("table.csv").read_text().splitlines()) == 3

    def test_between_and_diverse(self, visualize):
        assert (
            visualize("features.0:3", "features.0:5", "--interpolate", 3, "-o", "a.png").code == 0
        )
        assert len(images.about("a.png")["targets"]) == 3
        assert visualize("features.3:3", "--diverse", 2, "-o", "b.png").code == 0
        assert images.about("b.png")["targets"] == ["features.3:3"] * 2

    def test_patches_beside(self, visualize, lab):
        ran = visualize("features.2:3", "features.2:5", "--patches", lab / "images", "-o", "p.png")
        assert (ran.code, ran.err) == (0, "")
        about = images.about("p.png")
        assert about["patches"]["n_images"] == 12
        assert about["patches"]["channels"] == [3, 5]

    def test_previews_come_and_go(self, visualize, monkeypatch):
        seen = []
        write = images.png

        def spy(picture, about):
            seen.append(Path("v-preview.png").exists())
            return write(picture, about)

        monkeypatch.setattr(images, "png", spy)
        assert visualize("features.0:3", "--preview", 1, "-o", "v.png").code == 0
        assert seen == [False, True, True]
        assert sorted(path.name for path in Path().iterdir()) == ["v.png", "v.png.json"]

    def test_transparent_tiles_of_two_sides(self, visualize, run):
        ran = visualize("features.0:3", "--transparent", "--tileable", size="40x24")
        assert (ran.code, ran.err) == (0, "")
        name = "visualize-squeezenet1_1-features.0-3.png"
        with Image.open(name) as opened:
            assert (opened.mode, opened.size) == ("RGBA", (40, 24))
        assert run("visualize", "--from", name, "-o", "again.png").code == 0
        assert Path("again.png").read_bytes() == Path(name).read_bytes()
        ran = run("visualize", "--from", name, "-o", "again.jpg")
        assert "'again.jpg' cannot hold transparency" in ran.error

    def test_that_it_stopped_early(self, run):
        ran = run(
            "visualize", "squeezenet1_1", "features.0:3", "--weights", "random", "--size", 24,
            "--steps", 100, "--tolerance", 1e6,
        )  # fmt: skip
        assert "stopped early  after 64 of 100 steps" in ran.out


class TestFrom:
    def test_repeats_a_picture_to_the_byte(self, visualize, run):
        visualize("features.0:3", "--seed", 4, "--lr", 0.1, "-o", "v.png")
        ran = run("visualize", "--from", "v.png")
        assert (ran.code, ran.err) == (0, "")
        assert Path("v-again.png").read_bytes() == Path("v.png").read_bytes()

    def test_repeats_a_sheet_and_one_picture_of_a_folder(self, visualize, run):
        visualize("features.0", "--channels", "2-4", "--batch-size", 2, "-o", "v.png")
        assert run("visualize", "--from", "v.png", "-o", "w.png").code == 0
        assert Path("w.png").read_bytes() == Path("v.png").read_bytes()
        visualize("features.0", "--channels", "2-4", "--batch-size", 2, "-o", "all")
        name = "all/1-features.0-3.png"
        assert run("visualize", "--from", name, "-o", "one.png").code == 0
        with Image.open("one.png") as one, Image.open(name) as before:
            assert one.tobytes() == before.tobytes()

    def test_with_patches(self, visualize, run, lab):
        visualize("features.2:3", "--patches", lab / "images", "-o", "v.png")
        assert run("visualize", "--from", "v.png", "-o", "w.png").code == 0
        assert Path("w.png").read_bytes() == Path("v.png").read_bytes()

    def test_one_picture_of_a_folder_has_no_patches(self, visualize, run, lab):
        visualize("features.2", "--channels", "3-4", "--patches", lab / "images", "-o", "all")
        name = "all/1-features.2-4.png"
        assert run("visualize", "--from", name, "-o", "one.png").code == 0
        with Image.open("one.png") as one, Image.open(name) as before:
            assert one.tobytes() == before.tobytes()

    def test_with_another_option(self, visualize, run):
        visualize("features.0:3", "-o", "v.png")
        assert run("visualize", "--from", "v.png", "--seed", 1, "-o", "w.png").code == 0
        settings = images.about("w.png")["settings"]
        before = images.about("v.png")["settings"]
        assert settings == before | {"seed": 1}

    def test_another_parameterisation_has_its_own_step(self, visualize, run):
        visualize("features.0:3", "-o", "v.png")
        again = ("--from", "v.png", "--parameterisation", "pixels", "-o", "w.png")
        assert run("visualize", *again).code == 0
        assert images.about("w.png")["settings"]["lr"] == visualise.WAYS["pixels"].lr

    def test_what_probe_did_not_make(self, run):
        Image.new("RGB", (8, 8)).save("photo.png")
        assert "does not say how probe made it" in run("visualize", "--from", "photo.png").error
        Path("other.png").write_bytes(images.png(Image.new("RGB", (8, 8)), {"made": "dream"}))
        assert (
            "is not a picture made by `probe visualize`"
            in run("visualize", "--from", "other.png").error
        )

    def test_other_weights(self, visualize, run):
        visualize("features.0:3", "-o", "v.png")
        about = images.about("v.png") | {"weights_sha256": "0" * 64}
        Path("w.png").write_bytes(images.png(Image.new("RGB", (8, 8)), about))
        assert "was made with other weights" in run("visualize", "--from", "w.png").error

    def test_not_over_itself(self, visualize, run):
        visualize("features.0:3", "-o", "v.png")
        assert "is one of the pictures" in run("visualize", "--from", "v.png", "-o", "v.png").error


def test_an_interrupted_command_goes_on(visualize, monkeypatch):
    visualize("features.0:3", "-o", "whole.png")
    write = images.png

    def stop(picture, about):
        signal.raise_signal(signal.SIGINT)
        return write(picture, about)

    with monkeypatch.context() as patch:
        patch.setattr(images, "png", stop)
        ran = visualize("features.0:3", "-o", "v.png", "--preview", 2)
    assert ran.code == 130
    assert "the same command goes on" in ran.err
    assert [path.name for path in Path().glob("v*")] == ["v-preview.png"]  # to look at
    assert visualize("features.0:3", "-o", "v.png", "--preview", 2).code == 0
    assert Path("v.png").read_bytes() == Path("whole.png").read_bytes()
    assert not Path("v-preview.png").exists()


def test_pictures_outlive_an_interrupted_search_for_patches(visualize, lab, monkeypatch):
    command = ("features.2:3", "--patches", lab / "images", "-o", "p.png")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features, "top_patches", interrupted)
        assert visualize(*command).code == 130
    with monkeypatch.context() as patch:
        patch.setattr(visualise, "optimise", None)  # is not called again
        assert visualize(*command).code == 0
    assert Path("p.png").is_file()
    assert not list((cache_dir() / "unfinished").iterdir())


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "no target is named, and squeezenet1_1 returns more than one number"),
            (["features.00:1"], "features.0"),
            (["features.0:64"], "channel 64 does not exist"),
            (["featres.0:3"], "has no layer"),
            (["no such thing"], "has no class 'no such thing'"),
            (["features.0", "--channels", "a"], "expected numbers with commas"),
            (["features.0:3", "--channels", "1"], "channels can only be chosen from one layer"),
            (["features.0:3", "-o", "v.gif"], "cannot be written"),
            (["features.0", "-o", "v.jpg"], "cannot be written"),
            (["features.0:3", "--size", "0"], "size 0: expected a number of pixels ≥ 1"),
            (["features.0:3", "--size", "9by9"], "such as 256x128"),
            (["features.0:3", "--steps", "0"], "steps 0: expected a number ≥ 1"),
            (["features.0:3", "--lr", "0"], "lr 0.0: expected a number > 0"),
            (["features.0:3", "--size", "1"], "do not go through squeezenet1_1"),
            (["features.0:3", "--parameterisation", "furier"], "did you mean 'fourier'"),
            (["features.0:3", "--precision", "half"], "precision 'half': expected one of auto"),
            (["features.0:3", "--patches", "nowhere"], "nowhere"),
            (["tabby", "--patches", "here"], "--patches can only be shown for channels"),
            (["features.0:3", "--interpolate", "3"], "two channels of one layer"),
        ],
    )
    def test_one_line_and_nothing_written(self, run, arguments, message):
        quick = [] if "--size" in arguments else ["--size", 32]
        quick += [] if "--steps" in arguments else ["--steps", 1]
        ran = run("visualize", "squeezenet1_1", *arguments, *quick, "--weights", "random")
        assert message in ran.error
        assert not list(Path().iterdir())

    def test_a_model_that_does_not_exist(self, visualize):
        assert "did you mean 'alexnet'" in visualize("features.0:3", model="alexnt").error


def test_words_that_are_completed():
    options = Command(cli.app, "visualize").options
    assert set(options["parameterisation"].words) == set(visualise.WAYS)
    assert options["precision"].words == optimise.PRECISIONS
    assert Command(cli.app, "atlas").options["layout"].words == ("pca", "umap")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--weights", "random"),
        ("--preprocessing", "torchvision"),
        ("--batch-size", "2"),
        ("--parameterisation", "pixels"),
        ("--size", "64"),
    ],
)
def test_what_a_superstimulus_does_not_take_is_refused(run, option, value):
    error = run("visualize", "site:sim-v4:0", option, value).error
    assert f"cannot be combined with {option}: leave that out" in error
