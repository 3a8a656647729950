"""``--baselines``, with a word or, as before, alone."""

from __future__ import annotations

import pytest

from probe.cli import complete
from probe.cli.command import OLD_FLAGS
from probe.models.settings import BASELINES


@pytest.fixture
def read(run, monkeypatch):
    """Return the settings that `probe.rsa` or `probe.encode` would be called with."""

    def read(command, *arguments):
        called = {}

        def note(*_, **values):
            called.update(values)
            raise KeyboardInterrupt

        monkeypatch.setattr("probe.comparison.rsa", note)
        monkeypatch.setattr("probe.encoding.encode", note)
        run(command, *arguments)
        return called["baselines"]

    return read


@pytest.mark.parametrize("command", ["rsa", "encode"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "default"),
        (["--baselines"], "default"),
        (["--no-baselines"], "none"),
        *((["--baselines", word], word) for word in BASELINES),
        (["--baselines=classic"], "classic"),
    ],
)
def test_a_word_or_a_flag(read, command, words, expected):
    assert read(command, "-m", "squeezenet1_1", "-d", "sim-v4", *words) == expected
    assert read(command, *words, "-m", "squeezenet1_1", "-d", "sim-v4") == expected


def test_a_flag_before_the_network(read):
    assert read("rsa", "--baselines", "squeezenet1_1", "-d", "sim-v4") == "default"


@pytest.mark.parametrize("word", ["clasic", "Classic"])
def test_a_misspelled_word(run, word):
    error = run("rsa", "-m", "squeezenet1_1", "-d", "sim-v4", "--baselines", word).error
    assert error.startswith(f"--baselines {word!r}: expected one of default, classic, none")
    assert "did you mean 'classic'?" in error


def test_completion():
    assert complete.one_of(BASELINES)("n") == ["none"]
    assert set(OLD_FLAGS.values()) < set(BASELINES)
