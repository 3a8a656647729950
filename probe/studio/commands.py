"""What the commands say of themselves: options, their words and texts, and what they refuse."""

from __future__ import annotations

import inspect
import shlex
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from probe.errors import ProbeError


@dataclass(frozen=True)
class Option:
    """An option or argument of a command.

    Attributes
    ----------
    name : str
        That of the parameter.
    flag : str
        As it is written, such as ``--size``; empty for an argument.
    kind : type
        int, float, str, bool or Path.
    default : object
        None where the command finds out itself.
    placeholder : str
        What the command does where nothing is said.
    help : str
    words : tuple of str
        What can be said, where there are words for it.
    """

    name: str
    flag: str
    kind: type
    default: Any
    placeholder: str
    help: str
    words: tuple[str, ...]


class Command:
    """A command of the command line.

    Parameters
    ----------
    app : typer.Typer
    name : str
    """

    def __init__(self, app: typer.Typer, name: str) -> None:
        group: Any = get_command(app)
        self.name = name
        self._command = group.commands[name]
        self._context = self._command.context_class(self._command, info_name=f"probe {name}")
        (function,) = (c.callback for c in app.registered_commands if c.name == name)
        assert function is not None
        hints = typing.get_type_hints(function)
        self.options = {
            option.name: self._read(option, hints[option.name])
            for option in self._command.params
            if option.name in hints
        }
        self.about = (inspect.getdoc(function) or "").partition("\n")[0]

    def _read(self, option: Any, hint: Any) -> Option:
        kinds = [kind for kind in (int, float, bool, Path) if _holds(hint, kind)]
        words = [item.value for item in option.shell_complete(self._context, "")]
        default = None if option.default in (None, [], ()) else option.default
        placeholder = getattr(option, "show_default", None)
        return Option(
            option.name,
            next((text for text in option.opts if text.startswith("--")), ""),
            kinds[0] if kinds else str,
            default,
            placeholder if isinstance(placeholder, str) else "",
            getattr(option, "help", None) or "",
            tuple(words),
        )

    def line(
        self,
        arguments: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        more: str = "",
    ) -> tuple[str, ...]:
        """Write a command line, as short as it can be.

        Parameters
        ----------
        arguments : sequence of str
            Names of pictures, and the like.
        options : mapping
            Values by the names of parameters; a sequence for an option that is given several times.
            What is empty, or the default, is not written.
        more : str
            More options, as a shell takes them.

        Raises
        ------
        ProbeError
            If `more` is no list of options, or would have files written elsewhere.
        """
        words = list(map(str, filter(None, arguments)))
        positional = ["--", *words] if any(word.startswith("-") for word in words) else words
        written: list[str] = []
        for name, value in (options or {}).items():
            option = self.options[name]
            for one in value if isinstance(value, list | tuple) else [value]:
                if one in (None, "", False) or str(one) == str(option.default):
                    continue
                written += _written(option, one)
        written += self.more(more)
        # What follows "--" is no option.
        return (
            self.name,
            *((*written, *positional) if positional != words else (*positional, *written)),
        )

    def more(self, text: str) -> list[str]:
        """Check options that were written as in a shell.

        A file is named without a folder: it lies, or is going to lie, where the job's pictures do.

        Raises
        ------
        ProbeError
            If they are none, or name a file elsewhere.
        """
        try:
            words = shlex.split(text)
            parser = self._command.make_parser(self._context)
            by_name, _, order = parser.parse_args(list(words))
        except ValueError as error:
            raise ProbeError(f"more options {text!r}: {error}") from None
        except TyperException as error:
            raise ProbeError(f"more options: {error.format_message().rstrip('.')}") from None
        for name in {parameter.name for parameter in order}:
            value = by_name[name]
            option = self.options.get(name)  # None of --help, which does no harm
            values = [str(one) for one in (value if isinstance(value, list | tuple) else [value])]
            if option is not None and not option.flag and value:
                raise ProbeError(f"more options: {' '.join(values)!r} is not an option")
            if option is not None and option.flag and option.kind is Path:
                for one in values:
                    _check_name(option.flag, one)
        return words


def _holds(hint: Any, kind: type) -> bool:
    """Return whether a type, such as ``list[Path] | None``, is of another or contains it."""
    return hint is kind or any(_holds(part, kind) for part in typing.get_args(hint))


def _written(option: Option, value: Any) -> list[str]:
    if option.kind is bool:
        return [option.flag]
    text = str(value)
    return [f"{option.flag}={text}"] if text.startswith("-") else [option.flag, text]


def _check_name(flag: str, name: str) -> None:
    if Path(name).name != name or name in ("", ".", "..") or name.startswith("~"):
        raise ProbeError(
            f"more options: {flag} {name!r} is elsewhere; here, files are named without a folder"
        )
