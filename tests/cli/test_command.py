"""Where a network may stand, and how flags may be spelled, in every command."""

from __future__ import annotations

import pytest
import typer
import typer.main

from probe.cli import app
from probe.cli.command import Command
from probe.errors import ProbeError


def command(function):
    """Return a command as the command line makes it."""
    own = typer.Typer(rich_markup_mode=None)
    own.command(cls=Command)(function)
    return typer.main.get_command(own)


def parsed(function, *arguments):
    built = command(function)
    return built.make_context("probe", list(arguments)).params


def first(model: str, target: str = typer.Argument(...), size: int = 3) -> None:
    pass


def optional(model: str = typer.Option(..., "--model", "-m"), output: str = "x") -> None:
    pass


def of_pictures(picture: str, model: str = typer.Option("alexnet", "--model", "-m")) -> None:
    pass


@pytest.mark.parametrize(
    "words",
    [
        ["alexnet", "conv1"],
        ["-m", "alexnet", "conv1"],
        ["conv1", "--model", "alexnet"],
        ["conv1", "--model=alexnet"],
        ["conv1", "-malexnet"],
    ],
)
def test_a_network_that_is_an_argument_may_be_an_option(words):
    assert parsed(first, *words, "--size", "4") == {
        "model": "alexnet", "target": "conv1", "size": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [["-m", "alexnet"], ["alexnet"], ["--output", "x", "alexnet"], ["alexnet", "--output=x"]],
)
def test_a_network_that_is_an_option_may_be_an_argument(words):
    assert parsed(optional, *words) == {"model": "alexnet", "output": "x"}


def test_pictures_stay_pictures():
    assert parsed(of_pictures, "alexnet.png") == {"picture": "alexnet.png", "model": "alexnet"}
    with pytest.raises(Exception, match="unexpected extra argument"):
        parsed(of_pictures, "vgg16", "cat.png")


@pytest.mark.parametrize(
    ("function", "words"),
    [(first, ["alexnet", "conv1", "-m", "vgg16"]), (optional, ["alexnet", "-m", "vgg16"])],
)
def test_two_networks(function, words):
    with pytest.raises(ValueError, match="model 'alexnet' and model 'vgg16': expected one"):
        parsed(function, *words)


def spelled(
    accept_licence: bool = typer.Option(False, "--accept-licence"),
    colour: str = typer.Option("grey", "--colour"),
    title: str = "",
) -> None:
    pass


def test_other_spellings_are_understood_and_not_shown():
    values = parsed(spelled, "--accept-license", "--color=red")
    assert (values["accept_licence"], values["colour"]) == (True, "red")
    built = command(spelled)
    text = built.get_help(typer.Context(built))
    assert "--accept-licence" in text
    assert "--accept-license" not in text


def test_every_command_understands_them():
    def commands(group):
        for built in group.commands.values():
            yield from commands(built) if hasattr(built, "commands") else [built]

    assert {type(built) for built in commands(typer.main.get_command(app))} == {Command}


@pytest.mark.parametrize("words", [["alexnet"], ["-m", "alexnet"]])
def test_layers(run, words):
    ran = run("layers", *words)
    assert (ran.code, ran.err) == (0, "")
    assert "features.0" in ran.out


@pytest.mark.parametrize(
    ("words", "message", "error"),
    [
        (["--folds", "1"], "splits 1: expected 2 or more", "--folds 1: expected 2 or more"),
        (["--folds=1"], "splits 1: expected 2 or more", "--folds 1: expected 2 or more"),
        (["-l", "a,cnv"], "layers 'cnv': expected a layer", "-l 'cnv': expected a layer"),
        (["--layers", ""], "layers '': expected a layer", "--layers '': expected a layer"),
        # What was not typed keeps its name: here, it comes from elsewhere.
        (["--folds", "3"], "layers 'cnv': expected a layer", "layers 'cnv': expected a layer"),
        (["--folds", "3"], "splits 2: expected 3 or more", "splits 2: expected 3 or more"),
        (["--folds", "3"], "splits of 3 stimuli are small", "splits of 3 stimuli are small"),
    ],
)
def test_an_error_names_the_flag_that_was_typed(words, message, error):
    def fit(
        splits: int = typer.Option(10, "--folds"),
        layers: str = typer.Option("all", "--layers", "-l"),
    ) -> None:
        raise ProbeError(message)

    with pytest.raises(ProbeError) as raised:
        command(fit).main(words, standalone_mode=False)
    assert str(raised.value) == error
