"""DeepDream in films: of a film, and into a picture for ever.

What a frame's dream has added is carried to the next along the optical flow, fades a little, and is
dreamt on for a few steps. So it stays with what it lies on, and does not flicker; what comes into
sight is dreamt into within a few frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe.images import Pace, Picture, check_animation, read_movie
from probe.synthesis.deepdream import blend, dream_detail, resize
from probe.synthesis.dream import Plan, prepare
from probe.synthesis.flow import carried
from probe.synthesis.frames import Film, Frames, first_of, frame_by_frame, since
from probe.synthesis.run import Preview, Run, Unfinished
from probe.synthesis.settings import DreamSettings, ZoomSettings

CARRIED = 0.8
"""Share of a frame's dream that goes on to the next. The steps make up for the rest, so that a
frame of a film has as much of a dream as a single picture."""


def dream_film(
    film: str | Path,
    output: str | Path,
    model: Any = None,
    layers: str | None = None,
    *,
    quality: int = 90,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Path:
    """Dream into every frame of a film.

    A call that is interrupted goes on with the frame it had come to when it is made again.

    Parameters
    ----------
    film : path
        MP4, MOV, MKV, WebM, or an animated GIF or WebP.
    output : path
        Ends in .mp4, .gif or .webp. Its frames are shown when the film's are. An MP4 file has the
        film's sound, a WebP file its transparency; what it does not hold, and what was converted,
        stands in the ``notes`` of `probe.images.about`.
    model, layers
        As in `probe.dream`.
    quality : int
        From 1 to 100, of MP4 and WebP.
    preview : callable, optional
        Takes the frame that is being dreamt, uint8, (height, width, 3), on every
        ``preview_every``-th step of an octave, at the octave's size, and when it is done.
    preview_every : int
    progress : bool, optional
        Show a progress bar; by default when a person is watching.
    **options
        As in `probe.dream`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ProbeError
        As `probe.dream`; if the film cannot be read, the other not be written, or PyAV or OpenCV is
        missing.
    """
    movie = read_movie(film, into=output)
    settings = DreamSettings(model=model, layers=layers, **options)
    plan = prepare(first_of(movie), settings, progress=progress)
    about = {
        **plan.about,
        "made": "dream film",
        "image": movie.path.name,
        "image_sha256": hashlib.sha256(movie.path.read_bytes()).hexdigest(),
        "notes": list(movie.notes),
    }
    sides = tuple(plan.pixels.shape[-2:])
    frames = Frames(movie)

    def following(number: int, last: Mapping[str, Any]) -> tuple[Tensor, Tensor | None] | None:
        if (frame := frames(number)) is None:
            return None
        pixels = resize(_tensor(frame), sides).clamp(0, 1)
        if not last:
            return pixels, None
        there, visible = since(pixels, last["pixels"])
        return pixels, CARRIED * visible * carried(last["detail"][0], there)[None]

    return _dreamt_frames(
        replace(plan, about=about), following, len(movie.times) - 1, output, movie,
        quality=quality, preview=preview, preview_every=preview_every, progress=progress,
    )  # fmt: skip


def dream_zoom(
    image: Picture,
    output: str | Path,
    model: Any = None,
    layers: str | None = None,
    *,
    frames: int = ZoomSettings.frames,
    zoom: float = ZoomSettings.zoom,
    fps: float = ZoomSettings.fps,
    quality: int = 90,
    name: str | None = None,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Path:
    """Dream into a picture, enlarge it a little about its centre, dream into that, and so on.

    Parameters
    ----------
    image : path, bytes, uint8 array (height, width[, 3 or 4]), or Pillow image
    output : path
        Ends in .mp4, .gif or .webp.
    model, layers
        As in `probe.dream`.
    frames : int
        Number of frames.
    zoom : float
        Magnification from one frame to the next; above 1.
    fps : float
        Frames a second.
    name : str, optional
        How the record calls the picture; by default, as its file is called.
    quality, preview, preview_every, progress, **options
        As in `dream_film`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ProbeError
        As in `dream_film`.
    """
    check_animation(output, fps)
    camera = ZoomSettings(frames, zoom, fps).checked()
    settings = DreamSettings(model=model, layers=layers, **options)
    plan = prepare(image, settings, name=name, progress=progress)
    about = {**plan.about, "made": "dream zoom"}
    about["settings"] = {**about["settings"], **camera.to_about()}
    height, width = plan.pixels.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centre = (width - 1) / 2, (height - 1) / 2
    there = torch.stack([(x - centre[0]) * (1 / zoom - 1), (y - centre[1]) * (1 / zoom - 1)])

    def following(number: int, last: Mapping[str, Any]) -> tuple[Tensor, Tensor | None] | None:
        if not last:
            return plan.pixels, None
        return carried(last["made"][0], there)[None].clamp_(0, 1), None

    return _dreamt_frames(
        replace(plan, about=about), following, frames, output, fps, quality=quality,
        preview=preview, preview_every=preview_every, progress=progress,
    )  # fmt: skip


def _dreamt_frames(
    plan: Plan,
    following: Callable[[int, Mapping[str, Any]], tuple[Tensor, Tensor | None] | None],
    n_frames: int,
    output: str | Path,
    pace: Pace,
    *,
    quality: int,
    preview: Preview | None,
    preview_every: int,
    progress: bool | None,
) -> Path:
    """Dream into one frame after the other, and write the film when all are there.

    Parameters
    ----------
    following : callable
        Takes the number of a frame and what was kept of the one before (nothing, of the first):
        ``pixels``, ``detail`` and ``made``. Gives the frame and the detail to begin with; None when
        there are no more.
    """
    settings, network = plan.settings, plan.network
    assert settings.steps is not None  # resolved
    assert settings.threads is not None
    later = replace(settings, steps=max(1, round(settings.steps * (1 - CARRIED))))

    def make(number: int, last: Mapping[str, Any], run: Run) -> dict[str, Tensor] | None:
        if (frame := following(number, last)) is None:
            return None
        pixels, detail = (None if part is None else part.to(run.device) for part in frame)
        assert pixels is not None
        mask = None if plan.mask is None else plan.mask.to(run.device)
        # Rolls are the same in every frame: what they leave to chance does not flicker.
        detail = dream_detail(
            pixels, network, plan.target, later if last else settings, run.part(progress=False),
            detail=detail, mask=mask,
        )  # fmt: skip
        picture = blend(pixels, detail, colour=settings.colour or 0.0, mask=mask)
        return {"pixels": pixels, "detail": detail, "made": picture}

    store = None if plan.store is None else Unfinished.of(plan.about, plan.network)
    return frame_by_frame(
        make, Film(plan.about, store, n_frames, output, pace, quality), network,
        device=settings.device, threads=settings.threads, preview=preview,
        preview_every=preview_every, progress=progress,
    )  # fmt: skip


def _tensor(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None] / 255
