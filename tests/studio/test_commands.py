"""What the page learns from the commands, and what it lets nobody have them do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from probe import cli
from probe.errors import ProbeError
from probe.settings import option_of
from probe.studio.commands import Command
from probe.synthesis.settings import PRESETS, DreamSettings


@pytest.fixture(scope="module")
def dream() -> Command:
    return Command(cli.app, "dream")


def test_words_defaults_and_texts_are_those_of_the_command(dream):
    preset, model, size = (dream.options[name] for name in ("preset", "model", "size"))
    assert preset.words == PRESETS
    assert (preset.default, preset.placeholder) == (None, "the network's first")
    assert model.default == "vgg16"
    assert "squeezenet1_1" in model.words
    assert (size.kind, size.flag, size.help) == (int, "--size", "Longer side, in pixels.")
    assert dream.options["guide"].kind is Path
    assert Command(cli.app, "style").options["mask"].kind is Path


def test_a_line_is_as_short_as_it_can_be(dream):
    options = {"preset": "cities", "model": "vgg16", "seed": "0", "size": "", "steps": None,
               "demo": None, "strength": "1.5", "target": "-1*features.22:3"}  # fmt: skip
    assert dream.line(["a b.jpg"], options, "--no-laplacian --layer 'x, y'") == (
        "dream", "a b.jpg", "--preset", "cities", "--strength", "1.5",
        "--target=-1*features.22:3", "--no-laplacian", "--layer", "x, y",
    )  # fmt: skip
    assert dream.line(["-o.png"], {"demo": True}) == ("dream", "--demo", "--", "-o.png")
    style = Command(cli.app, "style")
    masks = ("--mask", "a.png", "--mask", "b.png")
    assert style.line(["c.png"], {"mask": ["a.png", "b.png"]}) == ("style", "c.png", *masks)


def test_what_is_on_by_itself_is_switched_off_by_name(dream):
    assert dream.line([], {"laplacian": False}) == ("dream", "--no-laplacian")
    assert dream.line([], {"laplacian": True}) == ("dream", "--laplacian")
    assert dream.line([], {"demo": False}) == ("dream",)
    visualize = Command(cli.app, "visualize")
    assert visualize.line([], {"check": False, "mask": True}) == ("visualize", "--no-check")


def test_ranges_are_those_of_the_settings(dream):
    for name in ("strength", "colour", "scale", "size", "steps"):
        assert dream.options[name].known is option_of(DreamSettings, name)
    assert dream.options["colour"].range == (0.0, 1.0)
    assert dream.options["strength"].range == (0.0, 64.0)
    assert dream.options["steps"].range is None  # without an upper bound
    assert Command(cli.app, "rsa").options["min_reliability"].range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("dream", "strength", "99"),
        ("dream", "strength", "0"),
        ("dream", "steps", "2.7"),
        ("dream", "steps", "many"),
        ("dream", "size", "3"),
        ("dream", "colour", "-0.1"),
        ("dream", "precision", "float15"),
        ("style", "steps", "0"),
        ("rsa", "n_resamples", "1"),
        ("encode", "min_reliability", "2"),
    ],
)
def test_a_value_is_refused_in_the_words_of_the_command(
    command, name, value, capsys, monkeypatch, tmp_path
):
    written = Command(cli.app, command)
    with pytest.raises(ProbeError) as refused:
        written.check(name, value)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("a.png")
    needed = {"style": ["a.png", "a.png"], "dream": ["a.png"]}.get(
        command, ["--model", "alexnet", "--dataset", "sim-v4"]
    )
    line = ["probe", command, *needed, f"{written.options[name].flag}={value}"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err.strip()
    assert said.removeprefix("probe: error: ").startswith(str(refused.value))


def test_a_value_that_is_allowed_is_not_refused(dream):
    for name, value in {"strength": "64", "size": 32, "colour": "0", "preset": "cities",
                        "laplacian": False, "target": "tabby"}.items():  # fmt: skip
        dream.check(name, value)


def test_a_command_of_a_group():
    read = Command(cli.app, "datasets import")
    assert read.options["axes"].flag == "--axes"
    assert read.line(["a.npz"], {"window": "50,250ms"}) == (
        "datasets", "import", "a.npz", "--window", "50,250ms",
    )  # fmt: skip


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


def test_options_that_were_written_are_known_by_name(dream):
    assert dream.named("") == dream.named("--help") == set()
    assert dream.named("--demo --layer a --size 64") == {"demo", "layers", "size"}


def test_several_files_of_one_option_are_all_checked():
    with pytest.raises(ProbeError, match=r"--mask '\.\./b\.png' is elsewhere"):
        Command(cli.app, "style").line([], {}, "--mask a.png --mask ../b.png")
    with pytest.raises(ProbeError, match=r"--npy '/elsewhere/a\.npy' is elsewhere"):
        Command(cli.app, "saliency").line([], {}, "--npy /elsewhere/a.npy")


def test_more_options_are_taken_as_they_are(dream):
    text = "-o out.tif --mask sky.png --layer 'features.22, 0.5*features.15' --help"
    words = ("-o", "out.tif", "--mask", "sky.png", "--layer", "features.22, 0.5*features.15")
    assert dream.line([], {}, text) == ("dream", *words, "--help")
