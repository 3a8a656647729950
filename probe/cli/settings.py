"""Options of a command that are those of a settings class."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from probe.cli.options import of
from probe.settings import Settings, option, option_of

Command = Callable[..., None]


def with_settings(
    settings: type[Settings], *, first: Sequence[str] = (), **overrides: Mapping[str, Any] | None
) -> Callable[[Command], Command]:
    """Add an option to a command for each of a settings class.

    They stand where the command has a parameter of that class, which is given the values.

    Parameters
    ----------
    settings : type of Settings
    first : sequence of str
        Parameters of the command, its own and those of the settings, that help shows first.
    **overrides : mapping or None
        By the names of fields: None leaves an option out. ``flags``: how it is written, where it is
        not ``--NAME``. ``type``, ``default``: of the command line, where the field has others.
        ``argument``: whether it is one. Anything else is for `typer.Option` or `typer.Argument`.
    """
    hints = typing.get_type_hints(settings)
    own_parameters = {
        f.name: _parameter(settings, f.name, hints[f.name], overrides.get(f.name, {}) or {})
        for f in fields(settings)
        if overrides.get(f.name, {}) is not None
    }

    def decorate(command: Command) -> Command:
        parameters: list[inspect.Parameter] = []
        target = "settings"
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            new: Iterable[inspect.Parameter] = [parameter]
            if parameter.annotation is settings:
                target, new = parameter.name, own_parameters.values()
            parameters += [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in new]
        parameters.sort(key=lambda p: first.index(p.name) if p.name in first else len(first))

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            chosen = settings.of({name: values.pop(name) for name in own_parameters})
            # What is out of range is refused before a command imports PyTorch, which takes seconds;
            # what does not go together, by the function that the command calls.
            Settings.checked(chosen)
            command(**{target: chosen}, **values)

        decorated: Any = wrapper
        decorated.__signature__ = inspect.Signature(parameters)
        decorated.__annotations__ = {p.name: p.annotation for p in parameters}
        # What else is known of them, for the page of the studio: ranges, units.
        decorated.known = getattr(command, "known", {}) | {
            name: option_of(settings, name) for name in own_parameters
        }
        return wrapper

    return decorate


def _parameter(
    settings: type[Settings], name: str, hint: Any, override: Mapping[str, Any]
) -> inspect.Parameter:
    more = dict(override)
    kind = more.pop("type", _written_type(hint, getattr(settings, name)))
    flags = more.pop("flags", ())
    if kind is bool and not flags:
        flags = (f"--{name.replace('_', '-')}",)  # and no --no-…
    default = more.pop("default", getattr(settings, name))
    details = option_of(settings, name)
    if details.choices and "autocompletion" not in more:
        kind = str
    if more.pop("argument", False):
        declared: Any = typer.Argument(
            help=details.help, show_default=details.unset or False, **more
        )
    else:
        if default is not getattr(settings, name):
            more.setdefault("show_default", True)
        declared = of(settings, name, *flags, **more)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is ... else default,
        annotation=Annotated[kind, declared],
    )


def _written_type(hint: Any, default: Any) -> Any:
    """Return the type that an option is read as: numbers and flags, and text for all else."""
    if hint in (bool, int, float, bool | None, int | None, float | None):
        return hint
    if isinstance(default, bool | int | float):
        return type(default)
    return str if isinstance(default, str) else str | None


@dataclass(frozen=True)
class Writing(Settings):
    """How a command writes and prints what it made."""

    preview: int = option(
        0,
        "Write OUTPUT-preview.png each time this number of steps is done; it is removed at the "
        "end. 0 writes none.",
        at_least=0,
    )
    keep_profile: bool = option(False, "Write the picture in its own colour profile.")
    quality: int = option(95, "Quality of .jpg and .webp files.", at_least=1, at_most=100)
    report: bool = option(
        False,
        "Also write a page about each picture beside it, .html: how it was made, on what terms, "
        "and whom to cite (see `probe report`).",
    )
    as_json: bool = option(False, "Print the result as JSON, and nothing else, on stdout.")


with_writing = with_settings(Writing, as_json={"flags": ("--json",)})
"""Gives a command the options of `Writing`."""
