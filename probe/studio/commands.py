"""What the commands say of themselves: options, their ranges and texts, and what they refuse."""

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
from probe.settings import Option as Known


@dataclass(frozen=True)
class Option:
    """An option or argument of a command.

    Attributes
    ----------
    name : str
        That of the parameter.
    flag : str
        As it is written, such as ``--size``; empty for an argument.
    off : str
        Of what can be switched off by name, how: ``--no-laplacian``; else empty.
    kind : type
        int, float, str, bool or Path.
    default : object
        None where the command finds out itself.
    placeholder : str
        What the command does where nothing is said.
    help : str
    words : tuple of str
        What can be said, where there are words for it.
    known : probe.settings.Option or None
        Of an option of a settings class, all that is known of it: its range, its unit.
    """

    name: str
    flag: str
    off: str
    kind: type
    default: Any
    placeholder: str
    help: str
    words: tuple[str, ...]
    known: Known | None = None

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the largest value of a number, where both are declared."""
        about = self.known
        if about is None or self.kind not in (int, float) or about.at_most is None:
            return None
        low = about.at_least if about.above is None else about.above
        return None if low is None else (float(low), float(about.at_most))


class Command:
    """A command of the command line.

    Parameters
    ----------
    app : typer.Typer
    name : str
        Of one in a group, with the group's: ``datasets import``.
    """

    def __init__(self, app: typer.Typer, name: str) -> None:
        self.name = name
        *groups, last = name.split()
        group: Any = get_command(app)
        part: Any = app
        for one in groups:
            part = next(g.typer_instance for g in part.registered_groups if g.name == one)
            group = group.commands[one]
        self._command = group.commands[last]
        self._context = self._command.context_class(self._command, info_name=f"probe {name}")
        function: Any = next(
            c.callback for c in part.registered_commands if last in (c.name, _name_of(c.callback))
        )
        hints = typing.get_type_hints(function)
        known = getattr(function, "known", {})
        self._parameters = {p.name: p for p in self._command.params if p.name in hints}
        self.options = {
            name: self._read(parameter, hints[name], known.get(name))
            for name, parameter in self._parameters.items()
        }
        self.about = (inspect.getdoc(function) or "").partition("\n")[0]

    def _read(self, option: Any, hint: Any, known: Known | None) -> Option:
        kinds = [kind for kind in (int, float, bool, Path) if _holds(hint, kind)]
        words = [item.value for item in option.shell_complete(self._context, "")]
        default = None if option.default in (None, [], ()) else option.default
        placeholder = getattr(option, "show_default", None)
        return Option(
            option.name,
            next((text for text in option.opts if text.startswith("--")), ""),
            next(iter(option.secondary_opts), ""),
            kinds[0] if kinds else str,
            default,
            placeholder if isinstance(placeholder, str) else "",
            getattr(option, "help", None) or "",
            tuple(words),
            known,
        )

    def check(self, name: str, value: Any) -> None:
        """Refuse a value of an option as the command refuses it.

        Parameters
        ----------
        name : str
            Of the parameter.
        value : str, number or bool

        Raises
        ------
        ProbeError
            In the words of the command.
        """
        option = self.options[name]
        if option.kind is bool or not option.flag:
            return
        try:
            read = self._parameters[name].process_value(self._context, str(value))
        except TyperException as error:
            raise ProbeError(error.format_message().rstrip(".")) from None
        if option.known is not None and read is not None:
            option.known.check(option.flag, read)

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
                if one not in (None, "") and str(one) != str(option.default):
                    written += _written(option, one)
        written += self.more(more)
        # What follows "--" is no option.
        return (
            *self.name.split(),
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
        words, by_name = self._parse(text)
        for name, value in by_name.items():
            option = self.options.get(name)  # None of --help, which does no harm
            values = [str(one) for one in (value if isinstance(value, list | tuple) else [value])]
            if option is not None and not option.flag and value:
                raise ProbeError(f"more options: {' '.join(values)!r} is not an option")
            if option is not None and option.flag and option.kind is Path:
                for one in values:
                    _check_name(option.flag, one)
        return words

    def named(self, text: str) -> set[str]:
        """Return the names of options that were written as in a shell.

        Raises
        ------
        ProbeError
            If they are none.
        """
        # Arguments are always among them, with or without a value.
        return {n for n in self._parse(text)[1] if n in self.options and self.options[n].flag}

    def _parse(self, text: str) -> tuple[list[str], dict[str, Any]]:
        """Return the words of a text, and the values of the options in it, by their names."""
        try:
            words = shlex.split(text)
            parser = self._command.make_parser(self._context)
            by_name, _, order = parser.parse_args(list(words))
        except ValueError as error:
            raise ProbeError(f"more options {text!r}: {error}") from None
        except TyperException as error:
            raise ProbeError(f"more options: {error.format_message().rstrip('.')}") from None
        return words, {name: by_name[name] for name in {one.name for one in order}}


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", "")).rstrip("_").replace("_", "-")


def _holds(hint: Any, kind: type) -> bool:
    """Return whether a type, such as ``list[Path] | None``, is of another or contains it."""
    return hint is kind or any(_holds(part, kind) for part in typing.get_args(hint))


def _written(option: Option, value: Any) -> list[str]:
    if option.kind is bool:
        return [option.flag] if value else [option.off] if option.off else []
    text = str(value)
    return [f"{option.flag}={text}"] if text.startswith("-") else [option.flag, text]


def _check_name(flag: str, name: str) -> None:
    if Path(name).name != name or name in ("", ".", "..") or name.startswith("~"):
        raise ProbeError(
            f"more options: {flag} {name!r} is elsewhere; here, files are named without a folder"
        )
