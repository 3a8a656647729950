"""Options of a settings class as options of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from probe.cli.settings import with_settings
from probe.errors import ProbeError
from probe.settings import Settings, option


@dataclass(frozen=True)
class Cooking(Settings):
    pot: str = option("small", "Which pot.", choices=("small", "large"))
    minutes: float | None = option(None, "Time in the water.", at_least=0, unset="until soft")
    lid: bool = option(True, "Put the lid on.")
    salty: bool = option(False, "Add salt.")
    n_eggs: int = option(2, "How many eggs.", at_least=1)
    parts: object = option(3, "Parts, as a number.")
    secret: str | None = option(None, "Not of the command.")


received: list[tuple[str, Cooking, int]] = []
app = typer.Typer()


@app.command()
@with_settings(Cooking, secret=None, lid={"flags": ("--lid/--no-lid",)}, n_eggs={"flags": ("-n",)})
def cook(
    dish: Annotated[str, typer.Argument()],
    settings: Cooking,
    guests: Annotated[int, typer.Option()] = 1,
) -> None:
    """Cook a dish."""
    received.append((dish, settings.checked(), guests))


def test_without_options_it_is_handed_the_defaults():
    assert CliRunner().invoke(app, ["egg"]).exit_code == 0
    assert received.pop() == ("egg", Cooking(), 1)


def test_every_option_is_read_as_its_type():
    words = [
        "egg",
        "--pot",
        "large",
        "--minutes",
        "4.5",
        "--no-lid",
        "--salty",
        "-n",
        "6",
        "--parts",
        "4",
        "--guests",
        "2",
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    expected = Cooking("large", 4.5, lid=False, salty=True, n_eggs=6, parts=4)
    assert received.pop() == ("egg", expected, 2)


def test_help_and_defaults_are_those_of_the_class():
    text = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    for words in ("Which pot.", "small", "until soft", "--no-lid", "-n", "Put the lid on."):
        assert words in text
    assert "--no-salty" not in text
    assert "Not of the command" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pot", "lage"], "pot 'lage': expected one of small, large; did you mean 'large'?"),
        (["-n", "0"], "n_eggs 0: expected a number ≥ 1"),
    ],
)
def test_what_is_not_allowed_is_refused_before_the_command_runs(words, message):
    ran = CliRunner().invoke(app, ["egg", *words])
    assert isinstance(ran.exception, ProbeError)
    assert str(ran.exception) == message
    assert not received
