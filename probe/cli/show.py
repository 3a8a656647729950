"""How things look in a terminal, and in a file or a pipe."""

from __future__ import annotations

import math
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
    folds: str | Sequence[str] = (),
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
    folds : str or sequence of str
        Headings of the columns that are broken into lines where the terminal is too narrow.
    bold : int, optional
        Row to print in bold.
    """
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in set(right) else "left",
            no_wrap=name not in ([folds] if isinstance(folds, str) else folds),
            overflow="fold",
        )
    for k, row in enumerate(rows):
        made.add_row(*(Text(cell) for cell in row), style="bold" if k == bold else None)
    return made


def fits(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """Tell whether a table has room between the edges of the terminal."""
    console = Console()
    room = Console(width=UNWRAPPED)  # of its own width at most, a table is measured
    needed = room.measure(table(columns, rows)).maximum
    return not console.is_terminal or needed <= console.width


def size(n_bytes: float) -> str:
    """Write a number of bytes as a person reads it."""
    units = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}
    unit = next((unit for unit, factor in units.items() if n_bytes >= factor), "kB")
    value = n_bytes / units[unit]
    return f"{value:,.0f} {unit}" if value >= 100 or not value else f"{value:.1f} {unit}"


def percent(share: float) -> str:
    """Write a share, 0 to 1, such that 100 % is all and not nearly all."""
    return f"{math.floor(100 * share)} %"


def count(n: int, what: str) -> str:
    """Write how many there are of something."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def facts(lines: Iterable[tuple[str, str]]) -> Table:
    """Lay out (name, text) lines, long texts indented under their beginning."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column()
    for name, text in lines:
        made.add_row(Text(name), Text(text))
    return made
