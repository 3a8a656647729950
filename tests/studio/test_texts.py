"""What the page says in place of what a command says to a shell."""

from __future__ import annotations

import pytest

from probe import cli
from probe.studio import tabs, texts
from probe.studio.commands import Command


@pytest.mark.parametrize(
    ("command", "said", "means"),
    [
        (
            "dream",
            "Invalid value for '--octaves': Input should be a valid integer, unable to parse "
            "string as an integer",
            "Octaves (scales): expected a whole number",
        ),
        (
            "dream",
            "Invalid value for '--size' / '-s': Input should be a valid integer (see `probe dream "
            "--help`)",
            "Size: expected a whole number",
        ),
        (
            "dream",
            "--colour 3.0: expected a number from 0 to 1",
            "Colour 3: expected a number from 0 to 1",
        ),
        (
            "dream",
            "--colour 1.5: expected a number from 0 to 1",
            "Colour 1.5: expected a number from 0 to 1",
        ),
        (
            "atlas",
            "Missing option '--images' / '-i' (see `probe atlas --help`)",
            "Pictures: choose one first",
        ),
        ("filters", "--image needs --layer, such as --layer features.8",
         "“Picture” needs “Layer”, such as features.8"),
        ("dream", "No such option: --outp", "No such option: --outp"),
        (
            "datasets import",
            "responses.npy has axes of lengths 8, 8, of which more than one may be that of the "
            "stimuli (8): say which axis is which, as in --axes stimulus,neuroid or --axes "
            "neuroid,stimulus",
            "responses.npy has axes of lengths 8, 8, of which more than one may be that of the "
            "stimuli (8): say which axis is which, such as stimulus,neuroid in “Order of the axes” "
            "or neuroid,stimulus",
        ),
        (
            "datasets import",
            "the file does not name the unit of its time bins: add --time-unit ms or s",
            "the file does not name the unit of its time bins: add “Unit of the times” ms or s",
        ),
    ],
)  # fmt: skip
def test_flags_become_labels(command: str, said: str, means: str) -> None:
    assert texts.translate(said, Command(cli.app, command)) == means


def test_the_field_that_decides_is_the_first_that_is_named() -> None:
    command = Command(cli.app, "datasets import")
    said = "--mask x: say which is which, with --axes a,b or --labels c"
    assert texts.first(said, command, tabs.READING) == "axes"
    assert texts.first("nothing of the kind", command, tabs.READING) == ""


@pytest.mark.parametrize("tab", tabs.TABS, ids=lambda tab: tab.command)
def test_every_field_has_a_label_of_its_own_and_a_sentence(tab: tabs.Tab) -> None:
    command = Command(cli.app, tab.command)
    names = (*tab.options, *tab.more)
    assert len({texts.label(tab.command, name) for name in names}) == len(names)
    for name in names:
        assert 0 < len(texts.explain(tab.command, command.options[name])) < 90
        assert "--" not in texts.explain(tab.command, command.options[name])


def test_every_text_is_of_an_option() -> None:
    everything = [tab.command for tab in (*tabs.TABS, *tabs.RECORDING)] + ["datasets import"]
    options = {name: Command(cli.app, name).options for name in everything}
    assert set(texts.TEXTS) <= {name for some in options.values() for name in some}
    for command, name in texts.OF_COMMAND:
        assert name in options[command]


def test_what_holds_without_a_value_is_said_in_the_page_s_words() -> None:
    """No flags, and each for a field that there is."""
    for tab in (*tabs.TABS, *tabs.RECORDING):
        command = Command(cli.app, tab.command)
        for name in (*tab.options, *tab.more):
            said = texts.placeholder(command, command.options[name])
            assert "--" not in said
            assert "preset" not in said
    for command_name, name in texts.PLACEHOLDERS:
        assert name in Command(cli.app, command_name).options
