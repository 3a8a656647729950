"""``probe report``: results as one page that stands by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...",
            help="Folders that commands wrote, or pictures that they made.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="An .html file.",
            show_default="report.html, in the folder if there is one, else here",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the page.", show_default="of the result")
    ] = None,
) -> None:
    """Write results as one page: figures, tables, how it was done, whom to cite.

    The page stands by itself: it loads nothing, and can be sent as it is. Figures are vectors,
    tables are sorted by a click on a heading; a methods section is ready to paste, with its
    references as text and as BibTeX, and the licences of data and weights.

    \b
    Examples:
      probe report results/rsa-alexnet-v4
      probe report results/rsa-alexnet-v4 results/encode-alexnet-v4 -o v4.html
      probe rsa --model alexnet --dataset v4 --report
    """  # noqa: D301
    from probe.reporting import report as write_report

    path = write_report(*results, output=output, title=title)
    typer.echo(f"wrote {path}")
