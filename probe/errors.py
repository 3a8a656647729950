"""The one exception that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ProbeError(ValueError):
    """Bad input, or a file that is not what it should be.

    The message is one line that names what is wrong and what would work. The command line prints
    it and exits with code 2; in a notebook it is an ordinary ``ValueError``.
    """


def suggest(name: str, known: Iterable[str]) -> str:
    """End an error message with the nearest known names, or with what is known.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        What would have worked.

    Returns
    -------
    str
        Starts with a semicolon, so that it can be put after any message.
    """
    options = list(known)
    first = ", ".join(options[:12]) + (", …" if len(options) > 12 else "")
    return nearest(name, options) or (f"; known: {first}" if options else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message with the nearest known names, empty if none is near."""
    by_folded = {option.casefold(): option for option in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    return "; did you mean " + " or ".join(repr(by_folded[n]) for n in near) + "?" if near else ""
