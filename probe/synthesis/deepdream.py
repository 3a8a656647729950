"""The DeepDream algorithm: change a picture so that a network sees more of what it sees in it.

Mordvintsev, Olah & Tyka 2015, "Inceptionism: going deeper into neural networks", and their code.

1. The picture is scaled to sizes that grow by a factor, the *octaves*, from small to large.
2. In each octave, gradient ascent increases the mean square of a layer's activations, or any other
   target. Every step changes the picture by the same amount on average, and before each step the
   picture is rolled by a random distance.
3. What the dream has added so far, the *detail*, is enlarged and added to the photograph at the
   size of the next octave, so that the photograph itself stays sharp.

Departures from their code, each explained where it is made: the gradient is computed in tiles that
add up exactly to the gradient of the whole picture; slow changes are subtracted from the detail
after every octave; if there are several terms, they are weighted by their gradients; the
photograph's chroma can be kept.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

from probe.errors import ProbeError
from probe.models import Network
from probe.progress import track
from probe.synthesis.optimise import Precision, ValueAndGradient, as_array, optimise
from probe.synthesis.parameterisations import Pixels
from probe.synthesis.run import Run
from probe.synthesis.settings import MIN_OCTAVE_SIDE_PX, DreamSettings
from probe.synthesis.tiles import in_tiles, only_size
from probe.synthesis.transforms import generator
from probe.targets import Sum, Target

FIRST_OCTAVE_SIDE_PX = 88
"""Approximate shorter side of the first octave if the number of octaves is not given. As it is the
same for pictures of all sizes, a dream of a larger picture only has more fine detail."""

JITTER_PX = 32
"""Largest distance by which the picture is rolled before a step (Mordvintsev et al. 2015)."""

SLOW_CHANGE_PARTS = 16
"""Number of parts of the shorter side: what varies more slowly than these stays as it was."""

BALANCE_SIDE_PX = 224
"""Shorter side of the copy of the picture on which `balance_terms` compares gradients."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601, as in JPEG)."""


def dream_detail(
    pixels: Tensor,
    network: Network,
    target: Target,
    settings: DreamSettings,
    run: Run,
    *,
    detail: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Compute the detail: what a dream adds to a picture, which `blend` lays over it.

    Parameters
    ----------
    pixels : torch.Tensor, float32, (1, 3, height, width), in [0, 1]
        On the network's device. It is not changed.
    network : Network
    target : Target
        See `balance_terms`.
    settings : DreamSettings
        Resolved (`probe.synthesis.presets.resolved`). Used here are octaves, scale, steps,
        strength, laplacian, tile, seed and precision.
    run : Run
        Its state is that of the octave in which a run was interrupted.
    detail : torch.Tensor, same shape as ``pixels``, optional
        What another dream has added to a similar picture, such as the previous frame of a film.
        Each octave starts with it, at its own size.
    mask : torch.Tensor, (1, 1, height, width), in [0, 1], optional
        Where to dream.

    Returns
    -------
    torch.Tensor, float32, (1, 3, height, width)

    Raises
    ------
    ProbeError
        If the target does not react to the picture.
    """
    assert settings.steps is not None, "settings are resolved"
    assert settings.strength is not None, "settings are resolved"
    sizes = octave_sizes(pixels.shape[-2:], settings, only_size(network, target.layers))
    first = int(run.state.get("octave", 0))
    new_detail: Tensor | None = None  # without the detail that was carried over
    octaves = track(
        range(first, len(sizes)), desc="dream", unit="octave", initial=first,
        work=[settings.steps * size[0] * size[1] for size in sizes], progress=run.progress,
    )  # fmt: skip
    for octave in octaves:
        size = sizes[octave]
        photo = resize(pixels, size)
        carried = None if detail is None else resize(detail, size)
        start = torch.zeros_like(photo) if new_detail is None else resize(new_detail, size)
        del new_detail
        start += photo
        if carried is not None:
            start += carried
        picture = Pixels(start.clamp_(0, 1))
        del start
        area = None if mask is None else resize(mask, size).clamp(0, 1)
        (roll_seed,) = torch.randint(
            2**31, (1,), generator=generator(settings.seed, octave)
        ).tolist()
        # The original treats each tile of the rolled picture as a picture by itself, and borders
        # show. Here, units at a tile's border see what they see in the whole picture.
        objective = in_tiles(
            network, target, tile=settings.tile, jitter=min(JITTER_PX, min(size) // 4),
            seed=roll_seed, precision=settings.precision,
        )  # fmt: skip
        optimise(
            picture,
            normalise_gradient(objective, target, area, laplacian=bool(settings.laplacian)),
            torch.optim.SGD(picture.parameters, lr=settings.strength / 255, foreach=False),
            settings.steps,
            loop=run.loop(lambda pictures: as_array(pictures[0]), octave=octave),
            desc=f"octave {octave + 1} of {len(sizes)}",
        )
        new_detail = subtract_slow_changes(picture.parameters[0].detach().sub_(photo))
        del picture, photo
        if carried is not None:
            new_detail -= carried
    assert new_detail is not None, "there is at least one octave"
    return new_detail if detail is None else new_detail.add_(detail)


def octave_sizes(
    sides: tuple[int, ...], settings: DreamSettings, min_size: tuple[int, int] | None = None
) -> list[tuple[int, int]]:
    """Return the heights and widths of the octaves, from the smallest to the picture's own.

    Parameters
    ----------
    sides : tuple of int
        Height and width of the picture, in pixels.
    settings : DreamSettings
        Of which ``octaves`` and ``scale`` are used.
    min_size : (int, int), optional
        Octaves with a smaller height or width are left out; if all are, the picture's own size
        is the only one. By default `MIN_OCTAVE_SIDE_PX` for both.
    """
    n, scale = settings.octaves, settings.scale
    assert scale is not None, "settings are resolved"
    if n is None:
        n = 1 + max(0, int(log(min(sides) / FIRST_OCTAVE_SIDE_PX) / log(scale) + 1e-9))
    sizes = [(round(sides[0] / scale**k), round(sides[1] / scale**k)) for k in range(n)]
    height, width = min_size or (MIN_OCTAVE_SIDE_PX, MIN_OCTAVE_SIDE_PX)
    fitting = [size for size in reversed(sizes) if size[0] >= height and size[1] >= width]
    return fitting or [(sides[0], sides[1])]


def normalise_gradient(
    objective: ValueAndGradient, target: Target, mask: Tensor | None, *, laplacian: bool
) -> ValueAndGradient:
    """Scale gradients to a mean magnitude of 1 inside the mask, and to 0 outside.

    Parameters
    ----------
    objective : callable
        See `probe.synthesis.optimise.ValueAndGradient`.
    target : Target
        Named in the error if the gradient is zero everywhere.
    mask : torch.Tensor, (1, 1, height, width), in [0, 1], optional
        Where to dream.
    laplacian : bool
        Whether to apply `normalise_bands` first.
    """

    def normalised(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        values, gradient = objective(pictures, step)
        if laplacian:
            gradient = normalise_bands(gradient)
        if mask is not None:
            gradient *= mask
        magnitude = sum(float(channel.abs().sum()) for channel in gradient[0]) / gradient[0].numel()
        masked_share = 1.0 if mask is None else float(mask.mean())
        if magnitude == 0:
            raise ProbeError(_no_gradient(target))
        return values, gradient.mul_(masked_share / magnitude)

    return normalised


def normalise_bands(gradient: Tensor, levels: int = 4) -> Tensor:
    """Divide each band of a gradient's Laplacian pyramid by its root mean square, in place.

    The pyramid's kernel is [1, 4, 6, 4, 1] / 16 (Burt & Adelson 1983). The method is that of the
    code of Mordvintsev et al. (2016).
    """
    size = gradient.shape[-2:]
    if levels > 1 and min(size) >= 8:
        coarse = _halve(gradient)
        gradient -= _resize_linearly(coarse, size)
        gradient /= _rms(gradient)
        gradient += _resize_linearly(normalise_bands(coarse, levels - 1), size)
        return gradient
    return gradient.div_(_rms(gradient))


def subtract_slow_changes(detail: Tensor) -> Tensor:
    """Subtract from a detail, in place, what changes slowly across the picture.

    This keeps the brightness, contrast and colour cast of large areas of the photograph. Without
    it, a dream becomes darker and more of one colour with every step. The original does not do so.
    """
    height, width = detail.shape[-2:]
    part_px = max(2, round(min(height, width) / SLOW_CHANGE_PARTS))
    coarse = resize(detail, (max(2, round(height / part_px)), max(2, round(width / part_px))))
    return detail.sub_(resize(coarse, (height, width)))


def blend(
    pixels: Tensor, detail: Tensor, *, colour: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """Lay the detail of a dream over a picture.

    Parameters
    ----------
    pixels, detail : torch.Tensor, (1, 3, height, width)
        A picture, in [0, 1], and what `dream_detail` returns for it.
    colour : float
        Share of the dream's chroma in the result: 0 keeps the picture's own, 1 takes the dream's.
    mask : torch.Tensor, (1, 1, height, width), in [0, 1], optional
        Where to lay it; everywhere by default.

    Returns
    -------
    torch.Tensor, (1, 3, height, width), in [0, 1]
    """
    picture = detail.clone() if mask is None else detail * mask
    picture += pixels
    picture.clamp_(0, 1)
    if colour == 1:
        return picture
    weights = torch.tensor(LUMA, device=pixels.device)
    # Mix the chroma of both. Where a value would lie outside [0, 1], the brightness is adjusted.
    luma = torch.einsum("nchw,c->nhw", picture, weights)[:, None]
    picture -= luma
    picture *= colour
    picture += (1 - colour) * (pixels - torch.einsum("nchw,c->nhw", pixels, weights)[:, None])
    luma = torch.maximum(luma, -picture.amin(1, keepdim=True))
    luma = torch.minimum(luma, 1 - picture.amax(1, keepdim=True))
    return picture.add_(luma).clamp_(0, 1)


def balance_terms(
    network: Network, target: Target, pixels: Tensor, precision: Precision = "auto"
) -> Target:
    """Weight the terms of a sum so that at equal weights, all change a picture equally.

    Activations of different layers differ by orders of magnitude: unless that is corrected, the
    weights that a user writes mean nothing. The original has a single layer.

    Parameters
    ----------
    network : Network
    target : Target
    pixels : torch.Tensor, (1, 3, height, width)
        The picture on a small copy of which the gradients of the terms are compared.
    precision : {"auto", "float32", "bfloat16"}

    Raises
    ------
    ProbeError
        If one of the terms does not react to the picture.
    """
    if not isinstance(target, Sum):
        return target
    sides = pixels.shape[-2:]
    min_size = only_size(network, target.layers) or (0, 0)
    shrink = min(
        1.0, max(BALANCE_SIDE_PX / min(sides), min_size[0] / sides[0], min_size[1] / sides[1])
    )
    small = resize(pixels, tuple(max(1, round(side * shrink)) for side in sides))
    terms = []
    for weight, term in target.terms:
        _, gradient = in_tiles(network, term, precision=precision)(small, 0)
        magnitude = float(gradient.abs().mean())
        if not magnitude > 0:
            raise ProbeError(_no_gradient(term))
        terms.append((weight / magnitude, term))
    return Sum(tuple(terms))


def resize(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate bicubically, without aliasing; a tensor of that size is returned as it is."""
    if tuple(pictures.shape[-2:]) == tuple(size):
        return pictures
    smaller = pictures.shape[-2] > size[0] or pictures.shape[-1] > size[1]
    return F.interpolate(pictures, size=size, mode="bicubic", antialias=smaller)


def _resize_linearly(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)


def _halve(pictures: Tensor) -> Tensor:
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=pictures.device) / 16
    channels = pictures.shape[1]
    row = kernel.expand(channels, 1, 1, 5)
    padded = F.pad(pictures, (2, 2, 0, 0), mode="replicate")
    pictures = F.conv2d(padded, row, stride=(1, 2), groups=channels)
    padded = F.pad(pictures, (0, 0, 2, 2), mode="replicate")
    return F.conv2d(padded, row.mT, stride=(2, 1), groups=channels)


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt().clamp(min=1e-12)


def _no_gradient(target: Target) -> str:
    return (
        f"target {target.name!r} does not react to this picture: its gradient is zero everywhere; "
        "choose another channel or layer"
    )
