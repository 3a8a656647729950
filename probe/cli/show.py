"""How things look in a terminal, and in a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

UNWRAPPED = 10_000
"""Width of a file or a pipe, in characters: whoever reads it breaks lines, not we."""


def put(*things: RenderableType) -> None:
    """Print, without blanks at the ends of lines; in a file or a pipe, lines are not broken."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=UNWRAPPED)
    with console.capture() as captured:
        for thing in things:
            console.print(thing)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    sys.stdout.flush()


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[str] = (),
    folds: str | None = None,
    bold: int | None = None,
) -> Table:
    """Lay out rows of text.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : iterable of sequences of str
        Cells, taken literally.
    right : iterable of str
        Headings of columns that are aligned to the right.
    folds : str, optional
        Heading of the one column that is broken into lines where the terminal is too narrow.
    bold : int, optional
        Row to print in bold.
    """
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in set(right) else "left",
            no_wrap=name != folds,
            overflow="fold",
        )
    for k, row in enumerate(rows):
        made.add_row(*(Text(cell) for cell in row), style="bold" if k == bold else None)
    return made


def facts(lines: Iterable[tuple[str, str]]) -> Table:
    """Lay out (name, text) lines, long texts indented under their beginning."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column()
    for name, text in lines:
        made.add_row(Text(name), Text(text))
    return made
