"""Figures as vectors: PDF and SVG files whose text is text, the same bytes every time."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from probe.errors import ProbeError, suggest

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

VECTORS = (".pdf", ".svg")
"""Endings of files that hold a figure as vectors."""

MOST_MARKS = 2000
"""Of what is drawn as one, such as a cloud of dots: more of them are an image within the figure,
which otherwise would be megabytes large and slow to show."""

IMAGE_DPI = 200
"""Pixels per inch of what is an image within a figure."""

_STYLE: Any = {
    "svg.fonttype": "none",  # text that can be searched and edited
    "svg.hashsalt": "probe",  # names of clipping paths, the same every time
    "pdf.fonttype": 42,  # TrueType, which journals ask for
}


_NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
"""What XML cannot hold, in UTF-8: a name may have it, and the file would not be opened."""


def read_formats(text: str) -> tuple[str, ...]:
    """Read in which forms figures are written besides PNG.

    Parameters
    ----------
    text : str
        Such as ``pdf,svg``; ``png``, which is always written, may be among them.

    Returns
    -------
    tuple of str
        Some of `VECTORS`.

    Raises
    ------
    ProbeError
        If one of them does not exist.

    Examples
    --------
    >>> from probe.output.vectors import read_formats
    >>> read_formats("pdf,svg")
    ('.pdf', '.svg')
    """
    names = [word.strip().lower().removeprefix(".") for word in text.split(",") if word.strip()]
    known_names = ("png", *(kind[1:] for kind in VECTORS))
    for name in names:
        if name not in known_names:
            raise ProbeError(
                f"format {name!r} does not exist{suggest(name, known_names)}: figures are written "
                "as png, and with --format also as pdf or svg"
            )
    return tuple(kind for kind in VECTORS if kind[1:] in names)


def vector(
    figure: Figure, kind: str, title: str, about: Mapping[str, Any], *, tight: bool = True
) -> bytes:
    """Return a figure as the content of a PDF or SVG file.

    Fonts are embedded (PDF) or named (SVG), so that text can be searched; title and ``about`` are
    in the metadata; there is no date, and the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    kind : {'.pdf', '.svg'}
    title : str
    about : mapping
        How it was made, as plain values.
    tight : bool
        Whether the page ends where the figure's contents do.
    """
    made_by = f"probe {metadata.version('cnn-probe')}"
    made = json.dumps(dict(about), ensure_ascii=False, default=str) if about else ""
    fields: dict[str, Any] = {"Title": title, "Creator": made_by}
    if kind == ".pdf":
        fields |= {"Subject": made or None, "CreationDate": None}
    else:
        fields |= {"Description": made or None, "Date": None}
    content = io.BytesIO()
    with mpl.rc_context(_STYLE), _large_as_images(figure):
        figure.savefig(
            content, format=kind[1:], metadata=fields, dpi=IMAGE_DPI,
            bbox_inches="tight" if tight else None,
        )  # fmt: skip
    if kind == ".svg":
        return _NO_XML.sub("\N{REPLACEMENT CHARACTER}".encode(), content.getvalue())
    return content.getvalue()


@contextlib.contextmanager
def _large_as_images(figure: Figure) -> Iterator[None]:
    """Draw what has very many parts as an image within the figure, for as long as it is saved."""
    changed = [artist for artist in _many_marks(figure) if not artist.get_rasterized()]
    for artist in changed:
        artist.set_rasterized(True)
    try:
        yield
    finally:
        for artist in changed:
            artist.set_rasterized(False)


def _many_marks(figure: Figure) -> Iterator[Artist]:
    """Find collections of more than `MOST_MARKS` parts, and lines with as many markers."""
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D

    for artist in figure.findobj(lambda one: isinstance(one, (Collection, Line2D))):
        if isinstance(artist, Collection):
            sizes = [np.size(artist.get_offsets()) // 2, len(artist.get_paths())]
            values = artist.get_array()  # of a mesh, a value per cell
            n_marks = max(*sizes, 0 if values is None else np.size(values))
        else:
            assert isinstance(artist, Line2D)
            has_markers = str(artist.get_marker()) not in ("None", "", " ")
            n_marks = np.size(artist.get_xdata()) if has_markers else 0
        if n_marks > MOST_MARKS:
            yield artist
