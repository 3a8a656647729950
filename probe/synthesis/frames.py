"""Films that are made frame by frame, each from the one before."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from probe import images
from probe.errors import ProbeError
from probe.images import Movie, Pace
from probe.models import Network
from probe.output.pictures import save_animation, write
from probe.progress import track
from probe.synthesis.flow import motion, seen_before
from probe.synthesis.optimise import as_array
from probe.synthesis.run import Preview, Run, Unfinished, running

Make = Callable[[int, Mapping[str, Any], Run], Mapping[str, Any] | None]
"""Takes the number of a frame, what it gave for the one before (nothing, of the first), and the
run. Returns what the next frame is made from: tensors, among them the frame, ``made``, (1, 3,
height, width) in 0–1; None when there are no more."""


@dataclass(frozen=True)
class Film:
    """A film that is going to be written.

    Attributes
    ----------
    about : mapping
        Everything that decides it, as plain values.
    store : Unfinished or None
        Where it is kept while it is unfinished.
    n_frames : int
        At most.
    output, pace, quality
        As for `probe.output.pictures.save_animation`.
    """

    about: Mapping[str, Any]
    store: Unfinished | None
    n_frames: int
    output: str | Path
    pace: Pace
    quality: int


class Frames:
    """The frames of a film by their numbers, which may only grow.

    Parameters
    ----------
    movie : Movie
    """

    def __init__(self, movie: Movie) -> None:
        self._frames, self._at = iter(movie), 0

    def __call__(self, number: int) -> np.ndarray | None:
        """Return a frame, uint8, (height, width, 3); None if there is none any more."""
        frame = next(islice(self._frames, number - self._at, None), None)
        self._at = number + 1
        return frame


def first_of(movie: Movie) -> np.ndarray:
    """Return the first frame of a film.

    Raises
    ------
    ProbeError
        If there is none.
    """
    if (first := next(iter(movie), None)) is None:
        raise ProbeError(f"film {str(movie.path)!r} has no frame")
    return first


def since(frame: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Compute what has moved between two frames.

    Parameters
    ----------
    frame, before : torch.Tensor, shape (1, 3, height, width)
        In 0–1.

    Returns
    -------
    there : torch.Tensor, shape (2, height, width)
        See `probe.synthesis.flow.motion`.
    known : torch.Tensor, shape (1, 1, height, width)
        From 0 to 1: where ``frame`` shows what was seen before. It ends softly, as at hard borders
        new pieces would show.
    """
    here, last = as_array(frame[0]), as_array(before[0])
    there = motion(here, last)
    visible = seen_before(there, motion(last, here))[None, None]
    return there, F.avg_pool2d(visible, 9, stride=1, padding=4, count_include_pad=False)


def frame_by_frame(
    make: Make,
    film: Film,
    network: Network,
    *,
    device: str,
    threads: int | None,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Path:
    """Make one frame after the other, and write the film when all are there.

    Frames that were made before an interruption are kept, and not made again.

    Parameters
    ----------
    make : callable
        See `Make`.
    film : Film
    network : Network
    device, threads, preview, preview_every, progress
        See `probe.synthesis.run.running`. Every frame that is made is a preview, too.

    Returns
    -------
    Path
        The file.
    """
    with _folder_of(film.store) as folder:
        with running(
            film.store, network, device=device, threads=threads, forget=False, preview=preview,
            preview_every=preview_every, progress=progress,
        ) as run:  # fmt: skip
            last = run.state
            first = last.get("number", 0)
            for number in track(
                range(first, film.n_frames), desc="frames", unit="frame", total=film.n_frames,
                initial=first, work=[1.0] * film.n_frames, progress=progress,
            ):  # fmt: skip
                run.check()
                if (state := make(number, last, run)) is None:
                    break
                frame = as_array(state["made"][0])
                write(folder / f"{number:06d}.png", images.png(frame, {}))
                if preview is not None:
                    preview(frame)
                last = {k: v.cpu() if isinstance(v, Tensor) else v for k, v in state.items()}
                last["number"] = number + 1
                run.keep(**last)
        paths = (folder / f"{number:06d}.png" for number in range(last["number"]))
        frames = (np.asarray(images.read(path, path.name)) for path in paths)
        path = save_animation(film.output, frames, film.pace, film.about, quality=film.quality)
    if film.store is not None:
        film.store.forget()
        shutil.rmtree(folder, ignore_errors=True)
    return path


@contextmanager
def _folder_of(store: Unfinished | None) -> Iterator[Path]:
    """Return a folder for frames: beside the state, or one that goes at the end."""
    if store is not None:
        yield store.path.with_suffix("")
    else:
        with tempfile.TemporaryDirectory(prefix="probe-film-") as folder:
            yield Path(folder)
