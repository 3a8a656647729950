"""Maps from the gradient of a target with respect to the picture: at it, near it, on a way to it.

All take their gradients from one stream of pictures (noisy copies, points on a path), which are
made when their batch is due: memory is bounded by ``batch_size``, whatever the number of samples.
Random draws are the same for every picture, so that a map does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Literal

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from probe import targets
from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.targets import Target

PATH_STEPS = (64, 128, 256, 512)
"""Points on the way of integrated gradients: the first, and if they do not do, the next."""

Baseline = Tensor | float | Literal["blurred"]
"""The picture without what is to be explained: values, or the picture itself, blurred."""

COMPLETENESS_TOLERANCE = 0.01
"""Share of a target's change by which the sum of integrated gradients may miss it."""


def gradient(module: nn.Module, images: Tensor, target: Target, *, batch_size: int = 32) -> Tensor:
    """Return the gradient of a target with respect to the picture (Simonyan et al. 2014).

    Parameters
    ----------
    module : torch.nn.Module
        Any network.
    images : torch.Tensor, shape (n, channels, height, width)
        Preprocessed, on the module's device.
    target : Target
    batch_size : int
        Most pictures in one forward pass.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, in units of the target per unit of the preprocessed picture.

    Raises
    ------
    ProbeError
        If a layer does not exist, or the target does not depend on the picture.
    """
    images = checked(images)
    return torch.stack([*_gradients(module, images, target, batch_size)]).float()


def input_x_gradient(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
) -> Tensor:
    """Multiply the picture by its gradient (Shrikumar et al. 2016).

    What the target would lose if it were linear and a pixel took the mean colour, or that of
    another baseline.

    Parameters
    ----------
    module, images, target, batch_size
        As in `gradient`.
    baseline : torch.Tensor, float or 'blurred'
        What is subtracted from the picture, broadcast to ``images``. 0 is the mean colour;
        ``'blurred'`` is the picture, blurred (`blurred`): then the map is of its details alone.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, in units of the target.

    Raises
    ------
    ProbeError
        As in `gradient`.
    """
    origin = as_baseline(baseline, checked(images))
    slopes = gradient(module, images, target, batch_size=batch_size)
    return (slopes * _beside(images.detach() - origin, slopes)).float()


def smoothgrad(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    samples: int = 50,
    noise: float = 0.15,
    batch_size: int = 32,
    seed: int = 0,
) -> Tensor:
    """Average the gradient over noisy copies of the picture (Smilkov et al. 2017).

    Parameters
    ----------
    module, images, target, batch_size
        As in `gradient`.
    samples : int
        Noisy copies; with more than 50 the paper's maps no longer change.
    noise : float
        Standard deviation, as a share of the difference between the picture's largest and smallest
        value; the paper recommends 0.1 to 0.2.
    seed : int
        Of the noise.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, as of `gradient`.

    Raises
    ------
    ProbeError
        As in `gradient`, and if ``samples`` or ``noise`` is out of range.
    """
    images = checked(images)
    total = [torch.zeros(()).to(images)] * len(images)
    noisy = _noisy(images, samples, noise, seed)
    for k, slope in enumerate(_gradients(module, noisy, target, batch_size)):
        total[k % len(images)] = total[k % len(images)] + slope
    return (torch.stack(total) / samples).float()


def vargrad(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    samples: int = 50,
    noise: float = 0.15,
    batch_size: int = 32,
    seed: int = 0,
) -> Tensor:
    """Return the variance of the gradient over noisy copies of the picture (Adebayo et al. 2018).

    Parameters
    ----------
    module, images, target, samples, noise, batch_size, seed
        As in `smoothgrad`.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, not negative, in squared units of `gradient`.

    Raises
    ------
    ProbeError
        As in `smoothgrad`, and if there is one sample, which has no variance.
    """
    images = checked(images)
    at_least(2, samples=samples)
    mean, squares = ([torch.zeros(()).to(images)] * len(images) for _ in range(2))
    noisy = _noisy(images, samples, noise, seed)
    for k, slope in enumerate(_gradients(module, noisy, target, batch_size)):
        # Welford's recurrence: a mean of squares less a squared mean could come out negative.
        sample, at = divmod(k, len(images))
        away = slope - mean[at]
        mean[at] = mean[at] + away / (sample + 1)
        squares[at] = squares[at] + away * (slope - mean[at])
    return (torch.stack(squares) / samples).float()


def integrated_gradients(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int | None = None,
    batch_size: int = 32,
) -> Tensor:
    """Integrate the gradient on the straight way from a baseline (Sundararajan et al. 2017).

    The map sums to target(picture) − target(baseline), up to the error of `path_rule`, the rule by
    which the integral is taken.

    Parameters
    ----------
    module, images, target, batch_size
        As in `gradient`.
    baseline : torch.Tensor, float or 'blurred'
        Where the way begins, broadcast to ``images``. 0 is the mean colour; ``'blurred'`` is the
        picture, blurred.
    steps : int, optional
        Points on the way. By default 64, and twice as many again, at most 512, for a picture whose
        map sums to something else than it should by more than 1 %. Of photographs, 64 do on AlexNet
        and SqueezeNet. The answer of EfficientNet-Lite0 turns up in the first tenth of the way, and
        by jumps: 128 or 256 are needed, and half as many again may be worse.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, in units of the target.

    Raises
    ------
    ProbeError
        As in `gradient`, and if ``steps`` or ``baseline`` does not fit.
    """
    return integrated_and_chosen(
        module, images, target, baseline=baseline, steps=steps, batch_size=batch_size
    )[0]


def integrated_and_chosen(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int | None = None,
    batch_size: int = 32,
) -> tuple[Tensor, dict[str, int]]:
    """Return what `integrated_gradients` does, and how many ``steps`` it took at most.

    Whoever compares a map with others of the same method, such as of noisy copies or of random
    weights, takes as many for these: else each doubles until it is as complete by itself.
    """
    images = checked(images)
    origin = as_baseline(baseline, images)

    def integral(n_steps: int, of: Tensor) -> Tensor:
        places, weights = path_rule(n_steps)
        start = origin[of]
        return _from_origins(
            module, images[of], target, lambda _: start, places, weights, batch_size
        )

    everything = torch.arange(len(images))
    if steps is not None:
        return integral(steps, everything), {"steps": steps}

    def value(pictures: Tensor) -> Tensor:
        parts = pictures.split(batch_size)
        return torch.cat([targets.values(module, part, target) for part in parts])

    taken, *more = PATH_STEPS
    maps = integral(taken, everything)
    change = (value(images) - value(origin)).to(maps)
    for n_steps in more:
        gap = (maps.flatten(-3).sum(-1) - change).abs()
        (left,) = torch.where(
            (gap > COMPLETENESS_TOLERANCE * change.abs()).reshape(len(maps), -1).any(1)
        )
        if not len(left):
            break
        maps[left] = integral(n_steps, left)
        taken = n_steps
    return maps, {"steps": taken}


def path_rule(steps: int) -> tuple[list[float], list[float]]:
    """Return the points at which a path from 0 to 1 is looked at, and their weights.

    The middles and lengths of intervals that end at (1/steps)³, (2/steps)³, …, 1. Near a uniform
    baseline the contrast of a picture is low, and there a network's answer changes most. The
    gradient of a network of ReLUs is a step function, with which Gauss' rule fares no better.

    Parameters
    ----------
    steps : int

    Returns
    -------
    places, weights : list of float
        The weights sum to 1.
    """
    at_least(1, steps=steps)
    pairs = list(pairwise((step / steps) ** 3 for step in range(steps + 1)))
    return [(start + end) / 2 for start, end in pairs], [end - start for start, end in pairs]


def expected_gradients(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baselines: Tensor | None = None,
    samples: int = 100,
    batch_size: int = 32,
    seed: int = 0,
) -> Tensor:
    """Average integrated gradients over baselines, by sampling (Erion et al. 2021).

    Each sample takes a baseline and a place on the way from it to the picture. Where the paper
    draws both at random, here the baselines take turns, and the places of each are spread over its
    way: the same expectation, with less variance.

    Parameters
    ----------
    module, images, target, batch_size
        As in `gradient`.
    baselines : torch.Tensor, shape (m, channels, height, width), optional
        Pictures to compare with, such as a sample of the training set. By default, each sample has
        a uniform picture in the colour of a random pixel of the picture itself.
    samples : int
    seed : int
        Of the order of baselines, and of places.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, in units of the target. Sums to target(picture) − the mean of
        target(baseline), in expectation.

    Raises
    ------
    ProbeError
        As in `gradient`, and if ``samples`` or ``baselines`` does not fit.
    """
    images = checked(images)
    at_least(1, samples=samples)
    if baselines is not None and (baselines.shape[1:] != images.shape[1:] or not len(baselines)):
        raise ProbeError(
            f"baselines of shape {tuple(baselines.shape)} do not fit pictures of shape "
            f"{tuple(images.shape)}: expected one or more of the same size"
        )
    generator = torch.Generator().manual_seed(seed)
    if baselines is None:
        pixels = torch.randint(images[0, 0].numel(), (samples,), generator=generator)
        pool = images.flatten(2)[:, :, pixels].movedim(2, 0)[..., None, None]
    else:
        order = torch.randperm(len(baselines), generator=generator)
        pool = baselines[order[:samples]].detach().to(images)[:, None]
    m = len(pool)
    turn, of = torch.arange(samples) % m, torch.arange(samples) // m
    turns = turn.bincount()[turn]
    # A part of the way for each turn of a baseline, and in that, one for each baseline.
    order = torch.rand((samples // m + 1, m), generator=generator).argsort(1).flatten()[:samples]
    jitter = torch.rand(samples, generator=generator)
    shares = ((of + (order + jitter) / m) / turns).tolist()

    return _from_origins(
        module,
        images,
        target,
        lambda sample: pool[sample % m].expand_as(images),
        shares,
        [1 / samples] * samples,
        batch_size,
    )


def checked(images: Tensor) -> Tensor:
    """Return pictures without their graph.

    Raises
    ------
    ProbeError
        If they are not (n, channels, height, width), with n > 0.
    """
    if images.ndim != 4 or not len(images):
        raise ProbeError(
            f"images have shape {tuple(images.shape)}: expected (n, channels, height, width), one "
            "or more"
        )
    return images.detach()


def as_baseline(baseline: Baseline, images: Tensor) -> Tensor:
    """Return a baseline for every picture: (n, channels, height, width).

    Raises
    ------
    ProbeError
        If its shape does not fit, or a word is not 'blurred'.
    """
    if isinstance(baseline, str):
        if baseline != "blurred":
            raise ProbeError(f"baseline {baseline!r}: expected a number, values or 'blurred'")
        return blurred(images)
    values = torch.as_tensor(baseline).detach().to(images)
    try:
        return values.broadcast_to(images.shape)
    except RuntimeError:
        raise ProbeError(
            f"a baseline of shape {tuple(values.shape)} does not fit pictures of shape "
            f"{tuple(images.shape)}"
        ) from None


def blurred(images: Tensor) -> Tensor:
    """Blur pictures until objects are not recognised: Gaussian, 1/20 of the shorter side wide.

    Parameters
    ----------
    images : torch.Tensor, shape (n, 3, height, width)
    """
    sd = min(images.shape[-2:]) / 20
    smooth = gaussian_filter(images.detach().float().cpu().numpy(), (0, 0, sd, sd))
    return torch.from_numpy(smooth).to(images)


def _beside(images: Tensor, slopes: Tensor) -> Tensor:
    """Add to pictures an axis for several targets, where slopes have one: (n, m, …)."""
    return images[:, None] if slopes.ndim > images.ndim else images


def at_least(least: int, **settings: int) -> None:
    """Check numbers that a user sets.

    Raises
    ------
    ProbeError
        If one is smaller; the message names it.
    """
    for name, value in settings.items():
        if value < least:
            raise ProbeError(f"{name} {value}: expected {least} or more")


def batches(pictures: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Stack a stream of pictures, each taken from it when its batch is due.

    Raises
    ------
    ProbeError
        If ``batch_size`` is less than 1.
    """
    at_least(1, batch_size=batch_size)
    stream = iter(pictures)
    while batch := list(islice(stream, batch_size)):
        yield torch.stack(batch)


def _gradients(
    module: nn.Module, pictures: Iterable[Tensor], target: Target, batch_size: int
) -> Iterator[Tensor]:
    """Return the gradient at each picture of a stream, in its order."""
    for batch in batches(pictures, batch_size):
        with torch.enable_grad():  # also for one who has switched gradients off
            batch.requires_grad_()
            value = target(differentiable(module, batch, target.layers))
        (slopes,) = targets.gradient(value, [batch], target)
        yield from slopes


def _from_origins(
    module: nn.Module,
    images: Tensor,
    target: Target,
    origin: Callable[[int], Tensor],
    places: Sequence[float],
    weights: Sequence[float],
    batch_size: int,
) -> Tensor:
    """Sum weighted gradients on the ways from origins to the pictures, each times its way.

    Parameters
    ----------
    origin : callable
        Takes the number of a place, gives where the way begins on which it lies, for each picture.
    places : sequence of float
        0 at the origin, 1 at the picture.
    weights : sequence of float
    """

    def on_the_way() -> Iterator[Tensor]:
        for step, fraction in enumerate(places):
            for start, end in zip(origin(step), images, strict=True):
                yield start + fraction * (end - start)

    total = [torch.zeros(()).to(images)] * len(images)
    for k, slope in enumerate(_gradients(module, on_the_way(), target, batch_size)):
        step, at = divmod(k, len(images))
        way = images[at] - origin(step)[at]
        total[at] = torch.addcmul(total[at], slope, way, value=weights[step])
    return torch.stack(total).float()


def _noisy(images: Tensor, samples: int, noise: float, seed: int) -> Iterator[Tensor]:
    """Return each picture with noise, then each with other noise, and so on."""
    at_least(1, samples=samples)
    if not 0 <= noise < float("inf"):
        raise ProbeError(f"noise {noise}: expected 0 or more: a share of the picture's range")
    spreads = noise * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        sample = torch.randn(images.shape[1:], generator=generator).to(images)
        for picture, spread in zip(images, spreads, strict=True):
            yield torch.addcmul(picture, spread, sample)
