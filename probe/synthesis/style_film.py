"""Style transfer of films.

The first frame is painted as a picture is. Each other begins with what the one before became,
carried along by the optical flow, and stays close to it (Ruder, Dosovitskiy & Brox 2016): so
strokes move with what they lie on, and do not flicker.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.images import Picture, read_movie
from probe.models import Network
from probe.models.devices import keep_freed_memory
from probe.synthesis import style_colours
from probe.synthesis.flow import carried
from probe.synthesis.frames import Film, Frames, first_of, frame_by_frame, since
from probe.synthesis.optimise import Slopes, as_array, optimise
from probe.synthesis.run import Run as Session
from probe.synthesis.run import Unfinished
from probe.synthesis.style import MODEL, prepare
from probe.synthesis.style_run import BETAS, RATE, Run

LATER = 0.5
"""Steps of a frame beside those that the last size of the first one takes."""

STEADINESS = 50.0
"""What the difference to the frame before counts, per mean squared difference of values in 0–1."""


def style_film(
    film: str | Path,
    styles: Picture | Sequence[Picture],
    output: str | Path,
    model: str | Network | nn.Module = MODEL,
    *,
    quality: int = 90,
    preview: Callable[[np.ndarray], None] | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Path:
    """Make a film with the content of one in the style of pictures.

    A call that is interrupted goes on with the frame it had come to when it is made again.

    Parameters
    ----------
    film : path
        MP4, MOV, MKV, WebM, or an animated GIF or WebP.
    styles : picture or sequence of pictures
    output : path
        Ends in .mp4, .gif or .webp; as in `probe.dream_film`.
    model : str, Network or torch.nn.Module
        As in `probe.style`.
    quality : int
        From 1 to 100, of MP4 and WebP.
    preview : callable, optional
        Is given what a frame is at, uint8, (height, width, 3), on every ``preview_every``-th step,
        and when it is done.
    preview_every : int
    progress : bool, optional
        Show a progress bar; by default when a person is watching.
    **options
        As in `probe.style`. Masks lie still, ``start`` is that of the first frame, and colours are
        matched to those of the first frame.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ProbeError
        As `probe.style`; if the film cannot be read, the other not be written, or PyAV or OpenCV is
        missing.
    """
    movie = read_movie(film, into=output)
    plan = prepare(first_of(movie), styles, model, progress=progress, **options)
    sha256 = hashlib.sha256(movie.path.read_bytes()).hexdigest()
    about = {
        **plan.about,
        "made": "style film",
        "content": {"name": movie.path.name, "sha256": sha256},
        "notes": list(movie.notes),
    }
    frames = Frames(movie)
    run: Run | None = None

    def make(number: int, last: Mapping[str, Any], session: Session) -> dict[str, Any] | None:
        nonlocal run
        if (frame := frames(number)) is None:
            return None
        if run is None:
            run = Run(plan.given, plan.network, plan.settings, plan.seed, session.device)
        run.content = torch.from_numpy(frame).to(session.device).permute(2, 0, 1)[None] / 255
        shown: dict[str, Any] = {
            "preview": preview, "preview_every": preview_every, "stop": session.stop,
            "progress": progress,
        }  # fmt: skip
        if last:
            made = followed(run, last, **shown)
        else:
            # It takes longer than others: all sizes, like a picture of its own.
            begun = Unfinished.of(plan.about, plan.network)
            assert begun is not None  # no target is an object
            run.all(begun.load(), keep=begun.keep, **shown)
            begun.forget()
            made = _given_on(run, run.shown, run.adam)
        return made

    store = Unfinished.of(about, plan.network)
    return frame_by_frame(
        make, Film(about, store, len(movie.times) - 1, output, movie, quality), plan.network,
        device=plan.device, threads=plan.threads, preview=preview, preview_every=preview_every,
        progress=progress,
    )  # fmt: skip


@keep_freed_memory()
def followed(
    run: Run,
    last: Mapping[str, Any],
    *,
    stop: threading.Event,
    preview: Callable[[np.ndarray], None] | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Paint a frame, from the one before.

    Parameters
    ----------
    run : Run
        Whose content is the frame.
    last : mapping
        What this gave for the frame before.
    stop, preview, preview_every, progress
        As in `optimise`.

    Returns
    -------
    dict
        At the size of the result: ``frame``; ``shown``, as `Run.shown`; ``squares`` and ``steps``,
        what Adam knows of slopes; ``made``, the picture.
    """
    size = run.sizes[-1]
    content = run.content_at(size)
    assert content is not None
    there, known = since(content, last["frame"])
    known = known.to(content)
    begun, squares = (
        carried(last[name][0], there)[None].to(content) for name in ("shown", "squares")
    )
    begun.clamp_(0, 1)
    grey = begun.shape[1] == 1
    fresh = style_colours.luminance(content) if grey else content
    steps = max(1, round(LATER * run.steps(len(run.sizes) - 1)))
    made = run.painted(known * begun + (1 - known) * fresh, content, size, steps)
    optimiser = torch.optim.Adam(made.parameters[:1], lr=RATE, betas=BETAS)
    # How steep slopes are is known: Adam would else begin with steps of all pixels that are alike.
    optimiser.state[made.parameters[0]] = {
        "step": torch.tensor(float(last["steps"])),
        "exp_avg": torch.zeros_like(squares),
        "exp_avg_sq": squares.clamp_(min=0),
    }

    def seen(pictures: Tensor) -> None:
        assert preview is not None
        preview(as_array(run.coloured(pictures, content)[0]))

    optimise(
        made,
        steadied(run.slopes(content, size), begun, known, STEADINESS),
        optimiser,
        steps,
        tolerance=run.settings["tolerance"],
        stop=stop,
        preview=None if preview is None else seen,
        preview_every=preview_every,
        progress=progress,
        desc="steps",
    )
    return _given_on(run, made.average(), optimiser.state[made.parameters[0]])


def _given_on(run: Run, shown: Tensor, adam: Mapping[str, Any]) -> dict[str, Any]:
    content = run.content_at(run.sizes[-1])
    assert content is not None
    return {
        "frame": content, "shown": shown, "squares": adam["exp_avg_sq"],
        "steps": float(adam["step"]), "made": run.coloured(shown, content),
    }  # fmt: skip


def steadied(slopes: Slopes, before: Tensor, known: Tensor, weight: float) -> Slopes:
    """Subtract the mean square of what pixels that were seen before differ by.

    The temporal loss of Ruder, Dosovitskiy & Brox (2016), whose weights are 0 or 1.

    Parameters
    ----------
    slopes : callable
        See `probe.synthesis.optimise.Slopes`.
    before : torch.Tensor, shape (1, 1 or 3, height, width)
        The picture before, carried along.
    known : torch.Tensor, shape (1, 1, height, width)
        How much each pixel counts, from 0 to 1.
    weight : float
    """

    def both(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, slope = slopes(pictures, step)
        apart = pictures.detach() - before
        pull = weight / apart.numel() * known * apart
        return value - (pull * apart).sum(), slope - 2 * pull

    return both
