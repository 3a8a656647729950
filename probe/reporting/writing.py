"""From results to one page: `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from probe.errors import ProbeError
from probe.output.pictures import write
from probe.reporting.opening import WORKS, sections_of
from probe.reporting.page import page_of
from probe.reporting.sections import Sections

NAME = "report.html"
"""Of a page, where none is said."""

MARK = b"Written by probe "
"""What every page says at its end."""


def report(*results: Any, output: str | Path | None = None, title: str | None = None) -> Path:
    """Write one page that stands by itself: figures, tables, how it was done, whom to cite.

    Figures are drawn anew as vectors, from the tables that were saved. The page fetches nothing,
    and can be sent as it is.

    Parameters
    ----------
    *results : path or result
        Folders that commands wrote, pictures that they made, or what `probe.rsa`, `probe.encode`,
        `probe.saliency`, `probe.tuning.tuning`, … returned.
    output : str or Path, optional
        An .html file. By default ``report.html``: of a single folder in it, otherwise here.
    title : str, optional
        By default that of the result, or how many there are.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ProbeError
        If one of them is no result, or the page cannot be written.

    See Also
    --------
    rsa, encode, saliency : What can be reported.

    Examples
    --------
    >>> probe.report("results/rsa-alexnet-v4")  # doctest: +SKIP
    PosixPath('results/rsa-alexnet-v4/report.html')
    """
    if not results:
        raise ProbeError(f"nothing to report: name {WORKS}")
    path = check_output(output, results)
    maker = Sections()
    sections = []
    for result in results:
        if isinstance(result, (str, Path)):
            sections += sections_of(result, maker)
        else:
            sections.append(maker.of(result))
    if title is None:
        title = sections[0].title if len(sections) == 1 else f"{len(sections)} results"
    return write(path, page_of(sections, title).encode())


def check_output(output: str | Path | None, results: tuple[Any, ...]) -> Path:
    """Return where the page is written, before it is made.

    Raises
    ------
    ProbeError
        If that is no .html file, or, where it was not named, a file of somebody else's.
    """
    if output is None:
        first = results[0]
        alone = len(results) == 1 and isinstance(first, (str, Path))
        return page_of_work(Path(first).expanduser() if alone else Path())
    path = Path(output).expanduser()
    if path.suffix.lower() not in (".html", ".htm"):
        raise ProbeError(f"{str(output)!r} cannot be written: its name has to end in .html")
    return path


def page_of_work(made: Path) -> Path:
    """Return where the page about a picture or a folder is written, if nobody says so.

    Parameters
    ----------
    made : Path
        A picture, or a folder; it need not be there yet.

    Raises
    ------
    ProbeError
        If a file is there that is no page of ours: nobody named what would be lost.
    """
    is_picture = made.is_file() or (bool(made.suffix) and not made.is_dir())
    path = made.with_suffix(".html") if is_picture else made / NAME
    if path.is_file() and MARK not in path.read_bytes():
        raise ProbeError(
            f"{str(path)!r} would be replaced by the page, and was not written by probe: move it, "
            "or choose another --output"
        )
    return path
