"""How things look in a terminal, and in a file or a pipe."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

NAMES = frozenset({"layer", "alias", "model", "recording", "region", "subject", "best layer"})
"""Columns of tables that hold names: they are aligned to the left, the others to the right."""

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
    laid_out = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        laid_out.add_column(
            name,
            justify="right" if name in set(right) else "left",
            no_wrap=name not in ([folds] if isinstance(folds, str) else folds),
            overflow="fold",
        )
    for k, row in enumerate(rows):
        laid_out.add_row(*(Text(cell) for cell in row), style="bold" if k == bold else None)
    return laid_out


def fits(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """Return whether a table has room between the edges of the terminal."""
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
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, text in lines:
        grid.add_row(Text(name), Text(text))
    return grid


def put_result(
    title: str,
    summary: pd.DataFrame,
    notes: Iterable[str],
    files: Iterable[str],
    *,
    details: Iterable[tuple[str, str]] = (),
    folds: str = "",
    bold: int | None = None,
) -> None:
    """Print a result: its title, facts, table and notes, and which files were written.

    Parameters
    ----------
    title : str
    summary : pandas.DataFrame
        Of text. Where it does not fit the terminal, its column ``alias`` is left out, rather than
        names cut that users paste.
    notes : iterable of str
    files : iterable of str
        A line for each file.
    details : iterable of (str, str)
        (name, text) lines between title and table.
    folds, bold
        See `table`.
    """
    columns, rows = list(summary.columns), summary.to_numpy().tolist()
    if "alias" in columns and not fits(columns, rows):
        summary = summary.drop(columns="alias")
        columns, rows = list(summary.columns), summary.to_numpy().tolist()
    put(
        Text(title, style="bold"),
        Padding(facts(details), (0, 0, 1, 2)),
        table(columns, rows, right=[c for c in columns if c not in NAMES], folds=folds, bold=bold),
        "",
        *(Text(note) for note in notes),
        "",
        *(Text(line, style="dim") for line in files),
    )
