"""Films that are made frame by frame, each from the one before."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from probe import images
from probe.errors import ProbeError
from probe.images import Movie, Pace
from probe.models import Network
from probe.models.devices import on_device
from probe.output.pictures import save_animation, write
from probe.progress import finishing, track
from probe.synthesis.flow import motion, seen_before
from probe.synthesis.optimise import Stopped, Unfinished, as_array, on_threads

Make = Callable[
    [int, Mapping[str, Any], torch.device, threading.Event], Mapping[str, Any] | None
]  # fmt: skip
"""Takes the number of a frame, what it gave for the one before (nothing, of the first), where to
compute, and what is set when it shall stop. Gives what the next frame is made from: tensors, among
them the frame, ``made``, (1, 3, height, width) in 0–1; None when there are no more."""


class Frames:
    """The frames of a film by their numbers, which may only grow.

    Parameters
    ----------
    movie : Movie
    """

    def __init__(self, movie: Movie) -> None:
        self._frames, self._at = iter(movie), 0

    def __call__(self, number: int) -> np.ndarray | None:
        """Give a frame, uint8, (height, width, 3); None if there is none any more."""
        frame = next(islice(self._frames, number - self._at, None), None)
        self._at = number + 1
        return frame


def first_of(movie: Movie) -> np.ndarray:
    """Give the first frame of a film.

    Raises
    ------
    ProbeError
        If there is none.
    """
    if (first := next(iter(movie), None)) is None:
        raise ProbeError(f"film {str(movie.path)!r} has no frame")
    return first


def since(frame: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Tell what has moved between two frames.

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
    known = seen_before(there, motion(last, here))[None, None]
    return there, F.avg_pool2d(known, 9, stride=1, padding=4, count_include_pad=False)


def frame_by_frame(
    make: Make,
    network: Network,
    device: str,
    threads: int,
    about: Mapping[str, Any],
    n_frames: int,
    output: str | Path,
    pace: Pace,
    *,
    quality: int,
    progress: bool | None = None,
) -> Path:
    """Make one frame after the other, and write the film when all are there.

    Frames that were made before an interruption are kept, and not made again.

    Parameters
    ----------
    make : callable
        See `Make`.
    network, device
        See `probe.models.devices.on_device`.
    threads : int
    about : mapping
        Everything that decides the film, as plain values.
    n_frames : int
        At most.
    output, pace, quality
        As for `probe.output.pictures.save_animation`.
    progress : bool, optional

    Returns
    -------
    Path
        The file.
    """
    unfinished = Unfinished(about)
    folder = unfinished.path.with_suffix("")
    last = unfinished.load() or {}
    at_work = on_device(network, device, channels_last=True)
    with on_threads(threads), finishing() as stop, at_work as (place, _), suppress(Stopped):
        first = last.get("number", 0)
        for number in track(
            range(first, n_frames), desc="frames", unit="frame", total=n_frames, initial=first,
            progress=progress,
        ):  # fmt: skip
            if stop.is_set():
                raise Stopped
            if (found := make(number, last, place, stop)) is None:
                break
            write(folder / f"{number:06d}.png", images.png(as_array(found["made"][0]), {}))
            last = {k: v.cpu() if isinstance(v, Tensor) else v for k, v in found.items()}
            last["number"] = number + 1
            unfinished.keep(last)
    written = (folder / f"{number:06d}.png" for number in range(last["number"]))
    frames = (np.asarray(images.read(path, path.name)) for path in written)
    path = save_animation(output, frames, pace, about, quality=quality)
    unfinished.finished()
    shutil.rmtree(folder, ignore_errors=True)
    return path
