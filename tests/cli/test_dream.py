"""``probe dream``: what it writes, what it prints, what repeats and goes on, what it refuses."""

import json
import os
import shutil
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe import cli, images
from probe.images import read_movie
from probe.output import pictures
from probe.output.pictures import save_animation
from probe.reporting import report
from probe.studio.commands import Command
from probe.synthesis import deepdream
from probe.synthesis import dream as dreams
from probe.synthesis.settings import PRESETS

QUICK = ("--steps", "2", "--octaves", "2", "--layer", "features.3", "--precision", "float32")


@pytest.fixture
def dream(run, own_cache):
    """Run ``probe dream`` on a small random network, quickly."""
    data = pytest.importorskip("skimage.data")
    cat = Image.fromarray(data.chelsea()).resize((96, 64))
    cat.save("cat.png")
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    cat.save("photo.jpg", exif=exif, quality=95)

    def dream(*more, model=("-m", "squeezenet1_1", "--weights", "random"), quick=QUICK):
        return run("dream", *model, *quick, *more)

    return dream


def test_a_picture_that_says_how_it_was_made_and_repeats(dream, run):
    ran = dream("photo.jpg", "--seed", 3)
    assert (ran.code, ran.err) == (0, "")
    for word in ("squeezenet1_1 · photo.jpg", "features.3", "2 × 2 steps", "photo-dream.jpg"):
        assert word in ran.out
    about = images.about("photo-dream.jpg")
    assert (about["made"], about["seed"], about["image"]) == ("dream", 3, "photo.jpg")
    with Image.open("photo-dream.jpg") as made:
        assert made.size == (96, 64)
        assert made.getexif()[0x010F] == "a camera"
    ran = run("dream", "--from", "photo-dream.jpg")
    assert (ran.code, ran.err) == (0, "")
    assert Path("photo-dream-again.jpg").read_bytes() == Path("photo-dream.jpg").read_bytes()
    # With another seed, it is another one.
    assert run("dream", "--from", "photo-dream.jpg.json", "--seed", 4, "-o", "new.jpg").code == 0
    assert images.about("new.jpg")["settings"] == about["settings"]
    assert Path("new.jpg").read_bytes() != Path("photo-dream.jpg").read_bytes()


def test_the_same_into_another_picture(dream, run):
    assert dream("cat.png", "--guide", "photo.jpg", "--colour", 0.5).code == 0
    ran = run("dream", "photo.jpg", "--from", "cat-dream.png", "-o", "other.png", "--json")
    assert (ran.code, ran.err) == (0, "")
    (record,) = json.loads(ran.out)
    assert record["files"] == ["other.png"]
    assert record["about"]["image"] == "photo.jpg"
    assert record["about"]["settings"] == images.about("cat-dream.png")["settings"]
    # Its guide has to be there, with its content.
    shutil.copy("cat.png", "photo.jpg")
    assert (
        "made from 'photo.jpg', which is neither"
        in run("dream", "cat.png", "--from", "cat-dream.png", "-o", "third.png").error
    )


@pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")
class TestOfASite:
    """Made of a recorded site, which brings the network that it was fitted with."""

    QUICK = ("--steps", "1", "--octaves", "1", "--precision", "float32")

    @pytest.fixture
    def fit(self, run, write_lab, own_cache):
        """Fit the sites of a recording of one's own, quickly, to a network that is not trained."""
        write_lab(Path("lab"))

        def fit(*more, model="squeezenet1_1", seed=3):
            return run(
                "encode", "-m", model, "--weights", "random", "--seed", seed, "-d", "./lab",
                "--layers", "features.4", "--readout", "flat", "--folds", 3, "--no-baselines",
                "--n-resamples", 0, *more, "-o", "fit",
            )  # fmt: skip

        return fit

    @pytest.fixture
    def site(self, fit):
        assert fit().code == 0
        return "site:./lab:2"

    @pytest.mark.slow
    def test_with_random_weights_it_repeats(self, dream, run, fit, site):
        ran = dream("cat.png", "-t", site, model=(), quick=self.QUICK)
        assert (ran.code, ran.err) == (0, "")
        about = images.about("cat-dream.png")
        assert about["weights"] == "random initialisation, seed 3"
        # Whatever the sites were fitted with last.
        assert fit(seed=4).code == 0
        ran = run("dream", "--from", "cat-dream.png")
        assert (ran.code, ran.err) == (0, "")
        assert Path("cat-dream-again.png").read_bytes() == Path("cat-dream.png").read_bytes()
        # Another seed is one of the dream alone: the site's weights are what they are.
        assert run("dream", "--from", "cat-dream.png", "--seed", 5, "-o", "new.png").code == 0
        assert images.about("new.png")["weights"] == about["weights"]
        # What else is asked for is asked of the same network.
        more = ("--target", "features.4:3", "-o", "channel.png")
        assert run("dream", "--from", "cat-dream.png", *more).code == 0
        assert images.about("channel.png")["weights_sha256"] == about["weights_sha256"]

    def test_with_the_network_named_it_repeats(self, dream, run, fit, site):
        named = ("-m", "squeezenet1_1", "--weights", "random", "--seed", 3)
        assert dream("cat.png", "-t", f"{site} + {site}", model=named, quick=self.QUICK).code == 0
        assert fit(seed=4).code == 0
        ran = run("dream", "--from", "cat-dream.png")
        assert (ran.code, ran.err) == (0, "")
        assert Path("cat-dream-again.png").read_bytes() == Path("cat-dream.png").read_bytes()

    def test_what_cannot_be_repeated_is_refused(self, dream, run, fit, site, own_cache):
        assert dream("cat.png", "-t", site, model=(), quick=self.QUICK).code == 0
        # Fitted again otherwise, with the same network.
        assert fit("--folds", 4, "--readout", "full").code == 0
        assert run("dream", "--from", "cat-dream.png").error == (
            f"'cat-dream.png' was made of {site}, which was fitted anew since, in another way: "
            "fit it again with the options of that time"
        )
        shutil.rmtree(own_cache / "encodings")
        assert run("dream", "--from", "cat-dream.png").error == (
            "no fit of './lab' with squeezenet1_1 (random initialisation, seed 3) is kept: fit its "
            "sites again with `probe encode --model squeezenet1_1 --dataset ./lab` and the options "
            "of that time"
        )
        assert not Path("cat-dream-again.png").exists()


def test_a_demonstration_needs_no_picture(dream, run):
    ran = dream("--demo", "--size", 96)
    assert (ran.code, ran.err) == (0, "")
    with Image.open("demo.png") as made:
        assert made.size == (96, 64)
    assert run("dream", "--from", "demo.png").code == 0
    assert Path("demo-again.png").read_bytes() == Path("demo.png").read_bytes()


def test_several_pictures_go_into_a_folder(dream, monkeypatch):
    ran = dream("cat.png", "photo.jpg", "-o", "folder", "--colour", "0")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(p.name for p in Path("folder").iterdir()) == [
        "cat-dream.png", "cat-dream.png.json", "photo-dream.jpg", "photo-dream.jpg.json",
    ]  # fmt: skip
    # What is there is not dreamt again.
    Path("folder/cat-dream.png").unlink()
    Path("folder/cat-dream.png.json").unlink()
    dreamt, ran_by = [], dreams.Plan.run
    monkeypatch.setattr(
        dreams.Plan, "run", lambda p, **k: dreamt.append(p.about["image"]) or ran_by(p, **k)
    )
    assert dream("cat.png", "photo.jpg", "-o", "folder", "--colour", "0").code == 0
    assert dreamt == ["cat.png"]


def test_what_was_interrupted_goes_on(dream, monkeypatch):
    assert dream("cat.png", "-o", "whole.png").code == 0
    began, loop = [], deepdream.optimise

    def optimise(*given, **settings):
        began.append(settings["loop"].state is not None)
        if len(began) == 2:  # the second octave
            os.kill(os.getpid(), signal.SIGINT)
        return loop(*given, **settings)

    monkeypatch.setattr(deepdream, "optimise", optimise)
    ran = dream("cat.png", "-o", "out.png", "--preview", 1)
    assert ran.code == 130
    assert "goes on" in ran.err
    assert [p.name for p in Path().glob("out*")] == ["out-preview.png"]  # to look at
    assert dream("cat.png", "-o", "out.png").code == 0
    assert began == [False, False, True]
    assert Path("out.png").read_bytes() == Path("whole.png").read_bytes()


def test_a_mask_and_16_bits_and_transparency(dream):
    levels = np.random.default_rng(0).integers(0, 65536, (64, 96), dtype=np.uint16)
    Image.fromarray(levels).save("deep.png")
    mask = np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 255
    Image.fromarray(mask).save("mask.png")
    assert dream("deep.png", "--mask", "mask.png", "-o", "out.tif").code == 0
    made = images.open_picture("out.tif")
    assert made.depth == 16
    assert np.abs(made.pixels[:, :47] - levels[:, :47, None] / 65535).max() < 1 / 255
    assert np.abs(made.pixels[:, 48:] - levels[:, 48:, None] / 65535).mean() > 1 / 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no picture was given"),
        (["--demo", "cat.png"], "--demo paints its own picture"),
        (["nowhere.jpg"], "'nowhere.jpg' does not exist"),
        (["cat.png", "--layer", "features.99"], "no layer 'features.99'"),
        (["cat.png", "--target", "features.3:2"], "layers cannot be combined with a target"),
        (
            ["cat.png", "--preset", "cities"],
            "preset 'cities': expected one of eyes, swirls, subtle for squeezenet1_1; cities is a "
            "look of vgg16: add --model vgg16",
        ),
        (["cat.png", "--preset", "swirl"], "did you mean 'swirls'?"),
        (["cta.png"], "image 'cta.png' does not exist; did you mean 'cat.png'?"),
        (["photo.jpg", "--mask", "cta.png"], "'cta.png' does not exist; did you mean 'cat.png'?"),
        (["clip.mp4"], "film 'clip.mp4' does not exist"),
        (["cat.png", "--steps", "0"], "steps 0: expected a number ≥ 1"),
        (["cat.png", "-o", "out.gif"], "has to end in"),
        (["cat.png", "-o", "cat.png"], "is one of the pictures"),
        (["cat.png", "photo.jpg", "-o", "out.png"], "is one file, for 2 pictures"),
        (["cat.png", "cat.png", "-o", "out"], "two of the pictures"),
        (["--from", "cat.png"], "does not say how probe made it"),
        (["cat.png", "--quality", "0"], "--quality 0: expected a number from 1 to 100"),
    ],
)
def test_bad_input_is_one_line(dream, arguments, message):
    quick = () if "--layer" in arguments else QUICK
    before = sorted(p.name for p in Path().iterdir())
    assert message in dream(*arguments, quick=quick).error
    assert sorted(p.name for p in Path().iterdir()) == before


def test_looks_are_completed():
    assert Command(cli.app, "dream").options["preset"].words == PRESETS


class TestFilms:
    QUICK = ("-m", "squeezenet1_1", "--weights", "random", "--layer", "features.4", "--steps", 2)

    @pytest.fixture
    def clip(self, tmp_path):
        pytest.importorskip("av")
        pytest.importorskip("cv2")
        frames = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), np.uint8)
        return save_animation(tmp_path / "clip.mp4", frames, 10, {})

    def test_a_film_of_a_film(self, run, clip):
        ran = run("dream", clip, "-o", "out.gif", *self.QUICK)
        assert ran.code == 0, ran.err
        assert "wrote out.gif" in ran.out
        assert read_movie("out.gif").n_frames == 2
        assert images.about(Path("out.gif"))["made"] == "dream film"

    def test_what_the_file_does_not_hold_is_told(self, run, lab):
        av = pytest.importorskip("av")
        with av.open("sound.mkv", "w") as out:
            video, sound = out.add_stream("ffv1", rate=10), out.add_stream("pcm_s16le", rate=8000)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            packets = []
            for k in range(2):
                levels = np.full((48, 64, 3), 90, np.uint8)
                frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
                frame.pts, frame.time_base = 2 * k * k, Fraction(1, 10)
                packets += video.encode(frame)
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
            wave.sample_rate, wave.pts = 8000, 0
            packets += [*video.encode(None), *sound.encode(wave), *sound.encode(None)]
            out.mux(packets)
        ran = run("dream", "sound.mkv", "-o", "out.mp4", *self.QUICK)
        assert ran.code == 0, ran.err
        assert "note: its sound (pcm_s16le) is coded anew as AAC" in ran.out
        assert any("does not say how its colours" in n for n in images.about("out.mp4")["notes"])
        assert [float(t) for t in read_movie("out.mp4").times][:2] == [0, 0.2]
        ran = run("dream", "sound.mkv", "-o", "out.gif", *self.QUICK)
        assert "note: its sound is left out, which .gif files do not hold" in ran.out

    def test_a_film_into_a_picture(self, run, clip):
        Image.new("RGB", (64, 48), (90, 120, 60)).save("photo.webp")
        ran = run("dream", "photo.webp", "-o", "out.webp", "--zoom", 2, *self.QUICK)
        assert ran.code == 0, ran.err
        assert read_movie("out.webp").n_frames == 2

    def test_a_still_webp_is_a_picture(self, run):
        Image.new("RGB", (64, 48), (90, 120, 60)).save("photo.webp")
        assert run("dream", "photo.webp", "-o", "out.webp", *self.QUICK).code == 0
        assert images.about(Path("out.webp"))["made"] == "dream"

    @pytest.mark.parametrize("zoom", [(), ("--zoom", 2)])
    def test_previews_come_and_go(self, run, clip, monkeypatch, zoom):
        """Of every step at the octave's size, and of every frame when it is done."""
        Image.new("RGB", (64, 48), (90, 120, 60)).save("photo.png")
        written, write = [], pictures.write

        def spy(path, content):
            written.append((path.name, Path("out-preview.png").exists()))
            return write(path, content)

        monkeypatch.setattr(pictures, "write", spy)
        file = "photo.png" if zoom else clip
        ran = run("dream", file, "-o", "out.gif", "--preview", 1, *zoom, *self.QUICK)
        assert ran.code == 0, ran.err
        previews = [name for name, _ in written if name == "out-preview.png"]
        # Steps of the first frame, then one of the second (a fifth of the steps), and both frames.
        octaves = 1  # of 64 × 48 pixels
        assert len(previews) == octaves * (2 + 1) + 2
        assert not Path("out-preview.png").exists()

    def test_a_preview_does_not_replace_what_is_read(self, run, clip):
        Image.new("RGB", (64, 48), (90, 120, 60)).save("out-preview.png")
        arguments = ("out-preview.png", "-o", "out.gif", "--zoom", 2, "--preview", 1)
        assert "is one of the pictures" in run("dream", *arguments, *self.QUICK).error

    def test_what_has_no_meaning_for_a_film_is_refused(self, run, clip):
        message = "--keep-profile: expected a picture; films have no colour profile"
        Image.new("RGB", (64, 48), (90, 120, 60)).save("photo.png")
        for more in ((clip,), ("photo.png", "--zoom", 2)):
            ran = run("dream", *more, "--keep-profile", "-o", "out.mp4", *self.QUICK)
            assert ran.error == message
        assert not Path("out.mp4").exists()

    def test_says_what_is_wrong(self, run, clip):
        for arguments, says in (
            ((clip, clip), "one at a time"),
            ((clip, "-o", clip), "is one of the pictures"),
            ((clip, "-o", "out.png"), "has to end in .gif, .webp, .mp4"),
            (("none.mp4",), "does not exist"),
        ):
            assert says in run("dream", *arguments).error


def test_a_page_about_each_picture(dream):
    ran = dream("cat.png", "photo.jpg", "-o", "made", "--report", "--json", "--seed", 3)
    assert (ran.code, ran.err) == (0, "")
    files = [one for record in json.loads(ran.out) for one in record["files"]]
    assert files == [
        "made/cat-dream.png", "made/cat-dream.html", "made/photo-dream.jpg",
        "made/photo-dream.html",
    ]  # fmt: skip
    page = Path("made/photo-dream.html").read_text()
    for words in (
        "The picture photo.jpg was changed by gradient ascent", "squeezenet1_1 (Iandola et al.",
        "2 octaves of 2 steps each", "Random numbers have the seed 3.",
        "probe dream --from photo-dream.jpg", "data:image/png;base64,",
    ):  # fmt: skip
        assert words in page
    assert "cat.png" not in page
    # Of a folder of them, each is a section of its own: they are of different pictures.
    whole = report("made").read_text()
    assert "The picture photo.jpg was changed" in whole
    assert "The picture cat.png was changed" in whole


def test_a_page_replaces_nothing_that_is_not_its_own(dream):
    Path("cat-dream.html").write_text("<p>My cat.</p>")
    ran = dream("cat.png", "-o", "cat-dream.png", "--report")
    assert ran.code == 2
    assert "'cat-dream.html' would be replaced by the page" in ran.err
    assert Path("cat-dream.html").read_text() == "<p>My cat.</p>"
    assert not Path("cat-dream.png").exists()
    for k in range(2):  # its own it does
        name = "a & b.png"
        assert dream("cat.png", "-o", name, "--report").code == 0, k
    assert "--from &#39;a &amp; b.png&#39;" in Path("a & b.html").read_text()


def test_two_pictures_have_two_pages(dream):
    Path("photo.png").write_bytes(Path("cat.png").read_bytes())
    ran = dream("photo.jpg", "photo.png", "-o", "made", "--report")
    assert ran.code == 2
    assert "two of the pages would be written to 'made/photo-dream.html'" in ran.err
    assert not list(Path().glob("made/*"))


def test_no_page_of_a_film(dream):
    ran = dream("photo.jpg", "--zoom", 2, "-o", "zoom.mp4", "--report")
    assert ran.code == 2
    assert "--report: expected a picture; a page shows no films" in ran.err
    assert not Path("zoom.mp4").exists()
