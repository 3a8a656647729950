"""Where commands write pictures and films, and previews of what is being made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe.errors import ProbeError

if TYPE_CHECKING:
    import numpy as np

    from probe.output.drawable import Drawable
    from probe.output.result import Saved


@contextmanager
def previews(
    path: Path, every: int, read: Sequence[Path | None] = ()
) -> Iterator[Callable[[np.ndarray], None] | None]:
    """Return what writes a preview beside a picture; it is removed when that is made.

    It stays if making it fails, or is interrupted.

    Parameters
    ----------
    path : Path
        Of the picture.
    every : int
        Steps from one preview to the next; at 0, there is none.
    read : sequence of Path or None
        What must not be written over.

    Raises
    ------
    ProbeError
        If the preview would.
    """
    preview = path.with_name(f"{path.stem}-preview.png")
    if every:
        check_apart(preview, read)

    def show(pixels: np.ndarray) -> None:
        from probe import images
        from probe.output.pictures import write

        write(preview, images.png(pixels, {}))

    yield show if every else None
    if every:
        preview.unlink(missing_ok=True)


def write_besides(result: Saved, folder: Path, kinds: Sequence[str], *, report: bool) -> list[Path]:
    """Write the figures of a result as vectors, and the page about it.

    Parameters
    ----------
    result : Saved
        Which has been saved in the folder.
    folder : Path
    kinds : sequence of str
        Of `probe.output.vectors.VECTORS`.
    report : bool
        Whether there is a page.

    Returns
    -------
    list of Path
        What was written.
    """
    written = result.save_figures(folder, kinds) if kinds else []
    if report:
        from probe.reporting.writing import NAME
        from probe.reporting.writing import report as write_report

        written.append(write_report(result, output=folder / NAME))
    return written


def wrote(paths: Sequence[Path]) -> list[str]:
    """Return the lines that say what was written."""
    return [f"wrote {path}" for path in paths]


def write_beside(
    figure: Drawable, path: Path, kinds: Sequence[str], more: Sequence[Any] = (), *, report: bool
) -> list[Path]:
    """Write a figure as vectors, and the page about it, beside the file of it.

    Parameters
    ----------
    figure : Drawable
        Which has been saved.
    path : Path
        Its file; the others have other endings.
    kinds : sequence of str
        Of `probe.output.vectors.VECTORS`.
    more : sequence of results
        That are in the page, too.
    report : bool
        Whether there is a page.

    Returns
    -------
    list of Path
        What was written.
    """
    written = figure.save_vectors(path, [kind for kind in kinds if kind != path.suffix.lower()])
    if report:
        from probe.reporting import report as write_report

        title = figure.title if more else None
        page = path.with_suffix(".html")
        written.append(write_report(figure, *more, output=page, title=title))
    return written


def write_page(written: Path, *, report: bool) -> list[Path]:
    """Write the page about a picture beside it, or about a folder of pictures into it.

    Parameters
    ----------
    written : Path
        The picture, or the folder, which say how they were made.
    report : bool
        Whether there is a page.

    Returns
    -------
    list of Path
        What was written.
    """
    if not report:
        return []
    from probe.reporting import report as write_report

    return [write_report(written)]


def check_pages(made: Sequence[Path], *, report: bool) -> None:
    """Check that each picture, or folder of them, has a page of its own, before it is made.

    Raises
    ------
    ProbeError
        If two would have the same, or one would replace a file of somebody else's.
    """
    if not report:
        return
    from probe.reporting.writing import page_of_work

    pages = [page_of_work(path) for path in made]
    for k, page in enumerate(pages):
        if page in pages[:k]:
            raise ProbeError(
                f"--report: two of the pages would be written to {str(page)!r}: make the pictures "
                "one at a time, with an --output each"
            )


def refuse_page_of_film(*, report: bool) -> None:
    """Refuse a page about a film, before it is made.

    Raises
    ------
    ProbeError
    """
    if report:
        raise ProbeError("--report: expected a picture; a page shows no films")


def check_there(read: Sequence[Path | None]) -> None:
    """Refuse pictures and films that do not exist, before torch is imported.

    Raises
    ------
    ProbeError
        With the nearest names of the folder.
    """
    from probe import images

    for path in read:
        if path is not None and not os.path.lexists(path.expanduser()):
            what = "film" if path.suffix.lower() in images.MOVIES else "image"
            raise ProbeError(f"{what} {str(path)!r} does not exist{images.near(path)}")


def is_film(file: Path | None, output: Path | None) -> bool:
    """Return whether a file is a film; an animation is one if one is to be made of it."""
    from probe import images

    kind = "" if file is None else file.suffix.lower()
    if file is None or kind not in images.ANIMATED or kind in images.MOVIES:
        return kind in images.MOVIES
    if output is None or output.suffix.lower() not in images.ANIMATED:
        return False
    try:
        return images.read_movie(file).n_frames > 1
    except ProbeError:
        return False


def paths_of(names: Sequence[str], output: Path | None, read: Sequence[Path | None]) -> list[Path]:
    """Return where pictures are going to be written, and check that they can be.

    Parameters
    ----------
    names : sequence of str
        How each is called, if it is not said.
    output : Path, optional
        A file, for a single picture, or a folder.
    read : sequence of Path or None
        What must not be written over.

    Raises
    ------
    ProbeError
        If one cannot be written, or would replace another.
    """
    from probe import images

    folder = output is not None and (output.is_dir() or not output.suffix)
    if len(names) > 1 and output is not None and not folder:
        raise ProbeError(f"{str(output)!r} is one file, for {len(names)} pictures: name a folder")
    if output is not None and not folder:
        paths = [output]
    else:
        paths = [(output or Path()) / name for name in names]
    for k, path in enumerate(paths):
        images.check_kind(path)
        if path in paths[:k]:
            raise ProbeError(f"two of the pictures would be written to {str(path)!r}: rename one")
        check_apart(path, read)
    return paths


def check_apart(path: Path, read: Sequence[Path | None]) -> None:
    """Check that what is going to be written can be, and is none of what is read.

    Raises
    ------
    ProbeError
        If not.
    """
    if path.resolve() in [file.resolve() for file in read if file is not None]:
        raise ProbeError(f"{str(path)!r} is one of the pictures: choose another --output")
    nearest = next(folder for folder in path.resolve().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "no permission" if nearest.is_dir() else "not a folder"
        raise ProbeError(f"{str(path)!r} cannot be written ({why}: {str(nearest)!r})")
