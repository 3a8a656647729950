"""Options, each written once: its default, its range, and what it means.

What is made or measured has a frozen dataclass of its settings. The command line takes its help
and defaults from there, checks happen there, and the records in files (``about``) are written and
read there. Importing this module, or a module of settings, imports neither NumPy nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from probe.errors import ProbeError, nearest

_KEY = "option"


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its name, type and default.

    Attributes
    ----------
    help : str
        One or two whole sentences, as the command line shows them.
    at_least, at_most : float or None
        Bounds, which are allowed themselves.
    above : float or None
        Lower bound, which is not allowed itself.
    choices : collection of str
        Of words, those that there are; empty if anything may be written.
    unit : str
        Of a number, such as ``pixels``.
    unset : str
        What happens where the value is None, to follow "default:" in a help text.
    """

    help: str
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    choices: Collection[str] = ()
    unit: str = ""
    unset: str = ""

    @property
    def expected(self) -> str:
        """What a value has to be, to follow "expected" in an error."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        number = f"a number of {self.unit}" if self.unit else "a number"
        if self.at_most is not None:
            start = self.at_least if self.above is None else self.above
            edge = " (not included)" if self.above is not None else ""
            return f"{number} from {start:g}{edge} to {self.at_most:g}"
        return (
            f"{number} > {self.above:g}"
            if self.above is not None
            else f"{number} ≥ {self.at_least:g}"
        )

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is not allowed.

        Parameters
        ----------
        name : str
            What the option is called where the value was given: the name of a field, or a flag.
        value : object

        Raises
        ------
        ProbeError
            ``NAME VALUE: expected …``, with the nearest word where there are choices.
        """
        if not self.allows(value):
            near = nearest(str(value), self.choices)
            raise ProbeError(f"{name} {value!r}: expected {self.expected}{near}")

    def allows(self, value: Any) -> bool:
        """Return whether a value is one of the choices, or within the bounds."""
        if self.choices:
            return value in self.choices
        if self.at_least is self.at_most is self.above is None:
            return True
        try:
            number = float(value)
        except (TypeError, ValueError):
            return False
        return (
            math.isfinite(number)
            and (self.at_least is None or number >= self.at_least)
            and (self.at_most is None or number <= self.at_most)
            and (self.above is None or number > self.above)
        )


def option(default: Any, help: str, **known: Any) -> Any:
    """Return a field of a settings class.

    Parameters
    ----------
    default : object
    help : str
    **known
        The other attributes of `Option`.
    """
    return field(default=default, metadata={_KEY: Option(help, **known)})


def option_of(settings: type[Settings], name: str) -> Option:
    """Return what is known of an option of a settings class."""
    return next(f for f in fields(settings) if f.name == name).metadata[_KEY]


@dataclass(frozen=True)
class Settings:
    """The base of all settings. Every field of a subclass is an `option`."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return settings from values by name, such as a function's ``locals()``.

        Names that are no options are passed over, options that are not named have their defaults.
        """
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})

    def checked(self) -> Self:
        """Return the settings, every value of which is allowed.

        Raises
        ------
        ProbeError
            ``NAME VALUE: expected …``, with the nearest word where there are choices.
        """
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None:
                f.metadata[_KEY].check(f.name, value)
        return self

    def to_about(self) -> dict[str, Any]:
        """Return the values by name, for the record in a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_about(cls, record: Mapping[str, Any]) -> Self:
        """Return settings from the record in a file; what is not in it has its default."""
        return cls.of(record)
