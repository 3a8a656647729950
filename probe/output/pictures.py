"""Figures, pictures and films as files that say how they were made."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.output.files import write_atomically
from probe.output.html import as_html
from probe.output.replacing import replacing
from probe.output.vectors import VECTORS, vector

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


SHOWN = 1200
"""Pixels of the longer side of what a notebook shows, at most."""


@dataclass(frozen=True, eq=False, repr=False)
class Made:
    """A picture that was made, and how.

    Attributes
    ----------
    pixels : numpy.ndarray, float32, (height, width, 3 or 4), in [0, 1]
        sRGB, and alpha.
    original : Original or None
        What is put back when it is saved: alpha, EXIF data, profile and depth.
    title : str
    about : dict
        Everything that decides the picture, as plain values.
    """

    pixels: np.ndarray
    original: images.Original | None
    title: str
    about: Mapping[str, Any]

    @property
    def picture(self) -> Image.Image:
        """The picture, 8-bit, with its transparency."""
        content = images.encode("made.png", self.pixels, {}, like=self.original, depth=8)
        return Image.open(io.BytesIO(content))

    def save(
        self,
        path: str | Path,
        *,
        keep_profile: bool = False,
        quality: int = 95,
        depth: int | None = None,
    ) -> Path:
        """Write the picture, with all that made it in its metadata and in a file beside it.

        Parameters
        ----------
        path : path
            Ends in .png, .tif, .jpg or .webp.
        keep_profile, quality, depth
            See `probe.images.encode`.

        Raises
        ------
        ProbeError
            If that kind of file does not hold it, or it cannot be written.
        """
        return save_picture(
            path, self.pixels, self.about, like=self.original,
            keep_profile=keep_profile, quality=quality, depth=depth,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        picture = self.picture
        picture.thumbnail((SHOWN, SHOWN))
        return as_html(images.png(picture, self.about), self.title)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<{type(self).__name__} {self.title}, {width}×{height}>"


FIGURE_STYLE: Any = {
    "font.size": 9,
    "axes.linewidth": 0.8,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "savefig.dpi": 300,
    "text.parse_math": False,  # a name with $ in it is no formula
}
"""For figures of our own; in a user's Axes the user's own settings hold."""


def png(
    draw: Callable[[Figure], Any], size: tuple[float, float], title: str, *, square: bool = False
) -> bytes:
    """Draw a figure in our own style, and return it as the content of a PNG file; see `file_of`."""
    return file_of(draw, size, title, square=square)


def file_of(
    draw: Callable[[Figure], Any],
    size: tuple[float, float],
    title: str,
    kind: str = ".png",
    *,
    square: bool = False,
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """Draw a figure in our own style, and return it as the content of a file.

    One of ``square`` Axes needs another layout: beside them, the constrained one cuts labels off.

    Parameters
    ----------
    draw : callable
        Takes an empty figure.
    size : (float, float)
        Width and height, in inches.
    title : str
    kind : {'.png', '.pdf', '.svg'}
    square : bool
    about : mapping, optional
        How it was made; for the metadata of vectors.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not through pyplot: a notebook would show the figure a second time.
    with mpl.rc_context(FIGURE_STYLE):
        figure = Figure(figsize=size, layout="compressed" if square else "constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        if kind in VECTORS:
            return vector(figure, kind, title, about or {}, tight=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Title": title})
    return buffer.getvalue()


def figure_file(
    drawn: Axes | Figure | SubFigure,
    title: str,
    kind: str = ".png",
    *,
    about: Mapping[str, Any] | None = None,
    dpi: int = 200,
    tight: bool = False,
) -> bytes:
    """Return a figure that is drawn as the content of a file, and close it.

    Parameters
    ----------
    drawn : Axes, Figure or SubFigure
    title : str
    kind : {'.png', '.pdf', '.svg'}
    about : mapping, optional
        How it was made; for the metadata of vectors.
    dpi : int
        Pixels per inch of a PNG file.
    tight : bool
        Whether it ends where its contents do.
    """
    from matplotlib import pyplot as plt

    figure = drawn.get_figure(root=True)
    assert isinstance(figure, mpl.figure.Figure)  # it lies in one
    out = io.BytesIO()
    try:
        if kind in VECTORS:
            return vector(figure, kind, title, about or {}, tight=tight)
        figure.savefig(
            out, format="png", dpi=dpi, metadata={"Title": title},
            bbox_inches="tight" if tight else None,
        )  # fmt: skip
    finally:
        plt.close(figure)
    return out.getvalue()


def figure_png(
    drawn: Axes | Figure | SubFigure,
    about: Mapping[str, Any],
    *,
    dpi: int = 300,
    transparent: bool = False,
) -> bytes:
    """Return the content of a PNG file of a figure, and close it; see `probe.images.png`."""
    from matplotlib import pyplot as plt

    figure = drawn.get_figure(root=True)
    assert isinstance(figure, mpl.figure.Figure)  # it lies in one
    out = io.BytesIO()
    try:
        # It is compressed below, with what it is about.
        figure.savefig(
            out, format="png", bbox_inches="tight", dpi=dpi, transparent=transparent,
            pil_kwargs={"compress_level": 0},
        )  # fmt: skip
    finally:
        plt.close(figure)
    with Image.open(out) as opened:
        return images.png(opened.convert("RGBA" if transparent else "RGB"), about)


MEANT = {
    ".png": "a figure",
    ".pdf": "a figure",
    ".svg": "a figure",
    ".npy": "values",
    ".npz": "values",
    ".csv": "a table",
}
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
    file = Path(path).expanduser()
    if file.suffix.lower() not in kinds:
        endings: dict[str, list[str]] = {}
        for kind in kinds:
            endings.setdefault(MEANT[kind], []).append(kind)
        allowed = " or ".join(f"{', '.join(of)} ({what})" for what, of in endings.items())
        raise ProbeError(f"{str(file)!r} cannot be written: its name has to end in {allowed}")
    return file


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


def save_picture(
    path: str | Path,
    pixels: np.ndarray,
    about: Mapping[str, Any],
    *,
    like: images.Original | None = None,
    keep_profile: bool = False,
    quality: int = 95,
    depth: int | None = None,
) -> Path:
    """Write a picture, and a JSON file beside it, which both say how it was made.

    Parameters
    ----------
    path : path
        Ends in one of `probe.images.WRITTEN`.
    pixels, about, like, keep_profile, quality, depth
        As for `probe.images.encode`.

    Returns
    -------
    Path

    Raises
    ------
    ProbeError
        If it cannot be written so (`probe.images.check_kind` tells this before there is a picture),
        or not there.
    """
    file = Path(path).expanduser()
    content = images.encode(
        file, pixels, about, like=like, keep_profile=keep_profile, quality=quality, depth=depth
    )
    write(file, content)
    write(images.side_car(file), images.as_text(about, indent=2).encode())
    return file


def save_animation(
    path: str | Path,
    frames: Iterable[np.ndarray],
    pace: images.Pace,
    about: Mapping[str, Any],
    *,
    quality: int = 90,
) -> Path:
    """Write an animation while its frames are made, and a JSON file beside it.

    If making them fails, or is stopped, nothing is written.

    Parameters
    ----------
    path : path
        Ends in one of `probe.images.ANIMATED`.
    frames, pace, about, quality
        As for `probe.images.write_frames`.

    Returns
    -------
    Path

    Raises
    ------
    ProbeError
        If it cannot be written so (`probe.images.check_animation` tells this before there is a
        frame), or not there.
    """
    file = Path(path).expanduser()
    kind = images.check_animation(file, pace)
    side_car = images.as_text(about, indent=2).encode()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            images.write_frames(partial, kind, frames, pace, about, quality=quality)
    except OSError as error:
        raise ProbeError(f"{str(file)!r} cannot be written ({error.strerror})") from None
    write(images.side_car(file), side_car)
    return file
