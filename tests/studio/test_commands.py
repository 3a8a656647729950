"""What the page learns from the commands, and what it lets nobody have them do."""

from __future__ import annotations

from pathlib import Path

import pytest

from probe import cli
from probe.errors import ProbeError
from probe.studio.commands import Command
from probe.synthesis.settings import PRESETS


@pytest.fixture(scope="module")
def dream() -> Command:
    return Command(cli.app, "dream")


def test_words_defaults_and_texts_are_those_of_the_command(dream):
    preset, model, size = (dream.options[name] for name in ("preset", "model", "size"))
    assert preset.words == PRESETS
    assert (preset.default, preset.placeholder) == (None, "creatures")
    assert model.default == "vgg16"
    assert "squeezenet1_1" in model.words
    assert (size.kind, size.flag, size.help) == (int, "--size", "Longer side, in pixels.")
    assert dream.options["guide"].kind is Path
    assert Command(cli.app, "style").options["mask"].kind is Path


def test_a_line_is_as_short_as_it_can_be(dream):
    options = {"preset": "cities", "model": "vgg16", "seed": "0", "size": "", "steps": None,
               "demo": False, "strength": "1.5", "target": "-1*features.22:3"}  # fmt: skip
    assert dream.line(["a b.jpg"], options, "--no-laplacian --layer 'x, y'") == (
        "dream", "a b.jpg", "--preset", "cities", "--strength", "1.5",
        "--target=-1*features.22:3", "--no-laplacian", "--layer", "x, y",
    )  # fmt: skip
    assert dream.line(["-o.png"], {"demo": True}) == ("dream", "--demo", "--", "-o.png")
    style = Command(cli.app, "style")
    masks = ("--mask", "a.png", "--mask", "b.png")
    assert style.line(["c.png"], {"mask": ["a.png", "b.png"]}) == ("style", "c.png", *masks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-o /elsewhere/x.png", "--output '/elsewhere/x.png' is elsewhere"),
        ("-o../x.png", "--output '../x.png' is elsewhere"),
        ("--output=a/b.png", "--output 'a/b.png' is elsewhere"),
        ("--outp=/elsewhere/x.png", "No such option: --outp"),
        ("-o ok.png -o ~/x.png", "--output '~/x.png' is elsewhere"),
        ("-o ..", "--output '..' is elsewhere"),
        ("--guide /etc/passwd", "--guide '/etc/passwd' is elsewhere"),
        ("--from ../other.png", "--from '../other.png' is elsewhere"),
        ("--size", "Option '--size' requires an argument"),
        ("photo.jpg", "'photo.jpg' is not an option"),
        ("-- --output /elsewhere/x", "is not an option"),
        ("--colour '", "No closing quotation"),
        ("; ls", "'; ls' is not an option"),
    ],
)
def test_more_options_are_refused(dream, text, said):
    with pytest.raises(ProbeError) as refused:
        dream.line(["a.jpg"], {}, text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_several_files_of_one_option_are_all_checked():
    with pytest.raises(ProbeError, match=r"--mask '\.\./b\.png' is elsewhere"):
        Command(cli.app, "style").line([], {}, "--mask a.png --mask ../b.png")
    with pytest.raises(ProbeError, match=r"--npy '/elsewhere/a\.npy' is elsewhere"):
        Command(cli.app, "saliency").line([], {}, "--npy /elsewhere/a.npy")


def test_more_options_are_taken_as_they_are(dream):
    text = "-o out.tif --mask sky.png --layer 'features.22, 0.5*features.15' --help"
    words = ("-o", "out.tif", "--mask", "sky.png", "--layer", "features.22, 0.5*features.15")
    assert dream.line([], {}, text) == ("dream", *words, "--help")
