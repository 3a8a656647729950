"""Figures as PNG files that say how they were made."""

from __future__ import annotations

import io
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
        figure.savefig(out, format="png", bbox_inches="tight", dpi=200)
    finally:
        plt.close(figure)
    with Image.open(out) as opened:
        return images.png(opened.convert("RGB"), about)


def png_place(path: Path) -> Path:
    """Check that a file is to be a PNG file.

    Raises
    ------
    ProbeError
        If not.
    """
    path = path.expanduser()
    if path.suffix.lower() != ".png":
        raise ProbeError(f"{path.name!r} is no .png file (nor, for the values, a .npy file)")
    return path


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
