"""How tables look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Make a console that neither wraps nor colours what goes into a file or a pipe."""
    out = Console(highlight=False, soft_wrap=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=200)
    return out


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
    bold: int | None = None,
) -> Table:
    """Lay out rows of text.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : iterable of sequences of str
        Cells, taken literally.
    title : str, optional
    right : iterable of str
        Headings of columns that are aligned to the right.
    bold : int, optional
        Row to print in bold.
    """
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in set(right) else "left", no_wrap=False)
    for k, row in enumerate(rows):
        made.add_row(*(Text(cell) for cell in row), style="bold" if k == bold else None)
    return made
