"""Style transfer of films.

The first frame is painted as a picture is. Each other begins with what the one before became,
carried along by the optical flow, and stays close to it (Ruder, Dosovitskiy & Brox 2016): so
strokes move with what they lie on, and do not flicker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probe.images import Picture, read_movie
from probe.models import Network
from probe.models.devices import keep_freed_memory
from probe.synthesis import style_colours
from probe.synthesis.flow import carried
from probe.synthesis.frames import Film, Frames, first_of, frame_by_frame, since
from probe.synthesis.optimise import ValueAndGradient, optimise
from probe.synthesis.run import Preview, Run, Unfinished
from probe.synthesis.style import BETAS, STEP_SIZE, Transfer, prepare
from probe.synthesis.style_settings import StyleSettings

LATER_SHARE = 0.8
"""Steps of a frame, as a share of those that the last size of the first one takes."""

STEADINESS = 50.0
"""Weight of the mean squared difference to the frame before, of values in 0–1."""


def style_film(
    film: str | Path,
    styles: Picture | Sequence[Picture],
    output: str | Path,
    model: str | Network | nn.Module = "vgg16",
    *,
    quality: int = 90,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> Path:
    """Paint a film anew in the style of pictures.

    An interrupted call goes on with the frame it had come to when it is made again.

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
        Called with the frame, uint8, (height, width, 3), on every ``preview_every``-th step, and
        when it is done.
    preview_every : int
    progress : bool, optional
        Show a progress bar; by default when a person is watching.
    **options
        As in `probe.style`. Masks lie still, and colours are matched to those of the first frame.
        ``start`` is that of the first frame. What comes into sight later starts as the content,
        in the colours of the style unless ``start`` is ``content``.

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
    reading = {k: options.pop(k) for k in ("masks", "style_masks", "limit") if k in options}
    settings = StyleSettings(model=model, **options)
    plan = prepare(first_of(movie), styles, settings, progress=progress, **reading)
    sha256 = hashlib.sha256(movie.path.read_bytes()).hexdigest()
    about = {
        **plan.about,
        "made": "style film",
        "content": {"name": movie.path.name, "sha256": sha256},
        "notes": list(movie.notes),
    }
    frames = Frames(movie)
    transfer: Transfer | None = None

    def make(number: int, before: Mapping[str, Any], run: Run) -> dict[str, Any] | None:
        nonlocal transfer
        if (frame := frames(number)) is None:
            return None
        if transfer is None:
            transfer = Transfer(plan.inputs, plan.network, plan.settings, run.device)
        content = torch.from_numpy(frame).to(run.device).permute(2, 0, 1)[None] / 255
        transfer.pictures.content = content
        if before:
            return paint_next(transfer, before, run.part(progress=progress))
        # The first takes longer than others: all sizes, like a picture of its own.
        first = run.part(Unfinished.of(plan.about, plan.network), progress=progress)
        transfer.paint(first)
        if first.store is not None:
            first.store.forget()
        return _state(transfer, transfer.painted, transfer.adam)

    store = Unfinished.of(about, plan.network)
    return frame_by_frame(
        make, Film(about, store, len(movie.times) - 1, output, movie, quality), plan.network,
        device=settings.device, threads=plan.settings.threads, preview=preview,
        preview_every=preview_every, progress=progress,
    )  # fmt: skip


@keep_freed_memory()
def paint_next(transfer: Transfer, before: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Paint a frame, from the one before.

    Parameters
    ----------
    transfer : Transfer
        Whose content is the frame.
    before : mapping
        What this returned for the frame before.
    run : Run

    Returns
    -------
    dict
        At the size of the result: ``frame``; ``shown``, as `Transfer.painted`; ``squares`` and
        ``steps``, what Adam knows of gradients; ``made``, the picture.
    """
    size = transfer.sizes[-1]
    content = transfer.pictures.content_at(size)
    assert content is not None
    flow, visible = since(content, before["frame"])
    visible = visible.to(content)
    warped, squares = (
        carried(before[name][0], flow)[None].to(content) for name in ("shown", "squares")
    )
    warped.clamp_(0, 1)
    is_grey = warped.shape[1] == 1
    fresh = style_colours.luminance(content) if is_grey else transfer.begun(content)
    steps = max(1, round(LATER_SHARE * transfer.steps(len(transfer.sizes) - 1)))
    pixels = transfer.canvas(visible * warped + (1 - visible) * fresh, content, size, steps)
    optimiser = torch.optim.Adam(pixels.parameters[:1], lr=STEP_SIZE, betas=BETAS)
    # How steep gradients are is known: Adam would else begin with steps of all pixels that are
    # alike.
    optimiser.state[pixels.parameters[0]] = {
        "step": torch.tensor(float(before["steps"])),
        "exp_avg": torch.zeros_like(squares),
        "exp_avg_sq": squares.clamp_(min=0),
    }
    optimise(
        pixels,
        steadied(transfer.objective(content, size), warped, visible, STEADINESS),
        optimiser,
        steps,
        tolerance=transfer.settings.tolerance,
        desc="steps",
        loop=run.loop(transfer.render(content)),
    )
    return _state(transfer, pixels.average(), optimiser.state[pixels.parameters[0]])


def _state(transfer: Transfer, painted: Tensor, adam: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the next frame is painted from."""
    content = transfer.pictures.content_at(transfer.sizes[-1])
    assert content is not None
    return {
        "frame": content, "shown": painted, "squares": adam["exp_avg_sq"],
        "steps": float(adam["step"]), "made": transfer.coloured(painted, content),
    }  # fmt: skip


def steadied(
    objective: ValueAndGradient, before: Tensor, visible: Tensor, weight: float
) -> ValueAndGradient:
    """Subtract the mean squared difference to the frame before, where that was seen.

    The temporal loss of Ruder, Dosovitskiy & Brox (2016), whose weights are 0 or 1.

    Parameters
    ----------
    objective : callable
        See `probe.synthesis.optimise.ValueAndGradient`.
    before : torch.Tensor, shape (1, 1 or 3, height, width)
        The picture before, carried along.
    visible : torch.Tensor, shape (1, 1, height, width)
        How much each pixel counts, from 0 to 1.
    weight : float
    """

    def with_penalty(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = objective(pictures, step)
        difference = pictures.detach() - before
        pull = weight / difference.numel() * visible * difference
        return value - (pull * difference).sum(), gradient - 2 * pull

    return with_penalty
