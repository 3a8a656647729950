"""Figures as PNG files that say how they were made."""

from __future__ import annotations

import html
import io
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.result.folder import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure_png(drawn: Axes | Figure, about: Mapping[str, Any]) -> bytes:
    """Give the content of a PNG file of a figure, and close it; see `probe.images.png`."""
    from matplotlib import pyplot as plt

    figure = drawn if isinstance(drawn, mpl.figure.Figure) else drawn.get_figure(root=True)
    assert isinstance(figure, mpl.figure.Figure)  # it lies in one
    out = io.BytesIO()
    try:
        figure.savefig(out, format="png", bbox_inches="tight", dpi=300)
    finally:
        plt.close(figure)
    with Image.open(out) as opened:
        return images.png(opened.convert("RGB"), about)


def as_html(png: bytes, title: str) -> str:
    """Give a picture as a notebook shows it."""
    encoded = b64encode(png).decode()
    return (
        f'<img src="data:image/png;base64,{encoded}" alt="{html.escape(title)}" '
        'style="max-width:100%;width:900px">'
    )


MEANT = {".png": "a figure", ".npy": "values", ".npz": "values", ".csv": "a table"}
"""What the kinds of files that are written hold."""


def place_of(path: str | Path, *kinds: str) -> Path:
    """Check the name of a file that is going to be written.

    Parameters
    ----------
    path : path
    *kinds : str
        How it may end: some of `MEANT`.

    Raises
    ------
    ProbeError
        If it ends otherwise.
    """
    place = Path(path).expanduser()
    if place.suffix.lower() not in kinds:
        known = " or ".join(f"{kind} ({MEANT[kind]})" for kind in kinds)
        raise ProbeError(f"{str(place)!r} cannot be written: its name has to end in {known}")
    return place


def write(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all, into a folder that is made if need be.

    Raises
    ------
    ProbeError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ProbeError(f"{str(path)!r} cannot be written ({error.strerror})") from None
    return path
