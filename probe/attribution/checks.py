"""How far to trust a map: does it say what the network does, and does it stay what it is?

Maps are those of any method: (n, 3, height, width) of pixels, or (n, y, x) of a layer's positions.
What ranks pixels, or weighs them in a box, takes a map as it is: where its sign is a direction
rather than a vote (gradients), give its absolute values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from probe.activations.capture import differentiable
from probe.attribution.gradients import Baseline, as_baseline, blurred
from probe.attribution.maps import at_picture
from probe.attribution.randomisation import Method, randomisation_test
from probe.errors import ProbeError
from probe.progress import track
from probe.targets import Class, Target, values

__all__ = [
    "Curve",
    "blurred",
    "completeness_gap",
    "deletion_curve",
    "infidelity",
    "insertion_curve",
    "max_sensitivity",
    "pointing_game",
    "randomisation_test",
    "share_in_box",
]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; what is at right and bottom lies outside, as in Pillow."""


def completeness_gap(maps: Tensor, value: Tensor, baseline_value: Tensor) -> Tensor:
    """Return how far a map's sum is from what it shares out: the target's change from a baseline.

    |Σ map − (f(x) − f(x₀))| / |f(x) − f(x₀)|, zero for a map that is complete (Sundararajan, Taly &
    Yan 2017).

    Parameters
    ----------
    maps : torch.Tensor, shape (n, …)
    value, baseline_value : torch.Tensor, shape (n,)
        The target of the pictures, and of their baseline (`probe.targets.values`).

    Returns
    -------
    torch.Tensor, shape (n,), float64
        Infinite, where the target is that of the baseline and the map's sum is not zero.
    """
    change = value.double() - baseline_value.double()
    gap = (maps.double().flatten(1).sum(1) - change).abs()
    return torch.where(gap == 0, 0.0, gap / change.abs())


@dataclass(frozen=True, eq=False)
class Curve:
    """The target's score, as pixels are removed or inserted.

    Attributes
    ----------
    fractions : numpy.ndarray, shape (k + 1,)
        Of the pixels, 0 to 1.
    scores : numpy.ndarray, shape (n, k + 1)
        Of each picture: the probability of a class (softmax), the target's number itself otherwise.
    """

    fractions: np.ndarray
    scores: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """Area below the curve, by the trapezoidal rule: (n,)."""
        return np.asarray(np.trapezoid(self.scores, self.fractions, axis=1))


def deletion_curve(
    module: nn.Module,
    images: Tensor,
    target: Target,
    maps: Tensor,
    *,
    baseline: Baseline = 0.0,
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 32,
) -> Curve:
    """Remove pixels, those first that the map holds for the most important (Petsiuk et al. 2018).

    The score of a good map falls at once: the smaller the area, the better.

    Parameters
    ----------
    module : torch.nn.Module
    images : torch.Tensor, shape (n, 3, height, width)
    target : Target
    maps : torch.Tensor, shape (n, 3, height, width) or (n, y, x)
    baseline : torch.Tensor or float
        What is seen in place of a removed pixel; zero is the mean colour.
    steps : int
        Blocks of pixels, of equal size.
    seed : int
        Of the order of pixels that the map holds for equally important.
    batch_size : int
        Pictures in one forward pass, at most.

    Returns
    -------
    Curve

    Raises
    ------
    ProbeError
        If the maps do not fit the pictures, or there is no step, or more than pixels.
    """
    removed = as_baseline(baseline, images)
    return _curve(module, images.detach(), removed, target, maps, steps, seed, batch_size)


def insertion_curve(
    module: nn.Module,
    images: Tensor,
    target: Target,
    maps: Tensor,
    *,
    baseline: Baseline = "blurred",
    steps: int = 50,
    seed: int = 0,
    batch_size: int = 32,
) -> Curve:
    """Insert pixels into a blurred picture, the most important first (Petsiuk et al. 2018).

    The score of a good map rises at once: the larger the area, the better. The picture is blurred
    since the edges of pixels on an even ground are seen for themselves.

    Parameters
    ----------
    module, images, target, maps, steps, seed, batch_size
        As in `deletion_curve`.
    baseline : torch.Tensor, float or 'blurred'
        Into what pixels are inserted; by default the picture, blurred.

    Returns
    -------
    Curve

    Raises
    ------
    ProbeError
        As in `deletion_curve`.
    """
    start = as_baseline(baseline, images)
    return _curve(module, start, images.detach(), target, maps, steps, seed, batch_size)


def _curve(
    module: nn.Module,
    before: Tensor,
    after: Tensor,
    target: Target,
    maps: Tensor,
    steps: int,
    seed: int,
    batch_size: int,
) -> Curve:
    """Score pictures between two, in which pixels were replaced in the order of the map."""
    height, width = before.shape[-2:]
    if not 1 <= steps <= height * width:
        raise ProbeError(f"steps {steps}: expected 1 to {height * width}, the number of pixels")
    ranks = _ranks(_fitting(maps, before), seed)
    n_replaced = torch.linspace(0, height * width, steps + 1).round().to(ranks)
    scores = torch.empty(len(before), steps + 1, dtype=torch.float64)
    pairs = [(k, step) for k in range(len(before)) for step in range(steps + 1)]
    for first in range(0, len(pairs), batch_size):
        k, step = torch.tensor(pairs[first : first + batch_size]).T
        replaced = ranks[k] < n_replaced[step, None, None]
        mixed = torch.where(replaced[:, None], after[k], before[k])
        scores[k, step] = _scores(module, mixed, target).double().cpu()
    return Curve((n_replaced / (height * width)).cpu().numpy(), scores.numpy())


def _fitting(maps: Tensor, images: Tensor) -> Tensor:
    if len(maps) != len(images):
        raise ProbeError(f"{len(maps)} maps for {len(images)} pictures")
    return at_picture(maps, (images.shape[-2], images.shape[-1])).to(images.device)


def _ranks(maps: Tensor, seed: int) -> Tensor:
    """Rank every pixel, from 0 for the largest value; ties in random order, not in that of rows."""
    flat = maps.flatten(1)
    shuffled = torch.randperm(flat.shape[1], generator=_generator(seed)).to(flat.device)
    order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
    positions = torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, positions).view(maps.shape)


def _scores(module: nn.Module, images: Tensor, target: Target) -> Tensor:
    outputs = differentiable(module, images, target.layers)
    value = target(outputs)
    if isinstance(target, Class):
        return outputs[target.layers[0]].softmax(1)[:, target.index]
    return value


def infidelity(
    module: nn.Module,
    images: Tensor,
    target: Target,
    maps: Tensor,
    *,
    contributions: bool = True,
    scaled: bool = True,
    baseline: Baseline = 0.0,
    n_samples: int = 50,
    seed: int = 0,
    batch_size: int = 32,
) -> Tensor:
    """Compute how badly a map predicts the target's change when a square is covered.

    E[(I·Φ − (f(x) − f(x − I)))²] (Yeh et al. 2019, definition 2.1), with their square removal: the
    covered squares lie anywhere, with sides between 1/8 and 1/2 of the picture's shorter side.

    Parameters
    ----------
    module : torch.nn.Module
    images : torch.Tensor, shape (n, 3, height, width)
    target : Target
    maps : torch.Tensor, shape (n, 3, height, width) or (n, y, x)
        Φ.
    contributions : bool
        Whether a map's values are what pixels contribute, so that I·Φ is their sum within the
        square. Else they are slopes (gradients), and I·Φ multiplies each by how far the square
        moves its pixel; they have to be (n, 3, height, width).
    scaled : bool
        Whether the map is first multiplied by the number that suits it best (ibid., section 2.3),
        since most maps have no unit, and the result divided by that of a map of zeros: 0 if the
        change is predicted, 1 if the map says nothing of it.
    baseline : torch.Tensor or float
        What is seen in a square; zero is the mean colour.
    n_samples : int
        Squares, the same for every picture.
    seed : int
    batch_size : int
        Pictures in one forward pass, at most.

    Returns
    -------
    torch.Tensor, shape (n,), float64

    Raises
    ------
    ProbeError
        If the maps do not fit, or the target does not change behind any square.
    """
    images = images.detach()
    if not contributions and maps.shape != images.shape:
        raise ProbeError(
            f"maps have shape {tuple(maps.shape)}: slopes have that of the pictures, "
            f"{tuple(images.shape)}"
        )
    if n_samples < 1:
        raise ProbeError(f"n_samples {n_samples}: expected 1 or more")
    summed = _fitting(maps, images)
    removed = as_baseline(baseline, images)
    squares = _squares(n_samples, images.shape[-2], images.shape[-1], seed).to(images.device)
    before = _values(module, images, target, batch_size)
    predicted = torch.empty(len(images), n_samples, dtype=torch.float64)
    changes = torch.empty_like(predicted)
    for first in range(0, n_samples, batch_size):
        part = squares[first : first + batch_size]
        at = slice(first, first + len(part))
        for k in range(len(images)):
            covered = torch.where(part[:, None], removed[k], images[k])
            if contributions:
                dots = (part * summed[k].double()).sum((1, 2))
            else:
                dots = ((images[k] - covered) * maps[k]).double().sum((1, 2, 3))
            predicted[k, at] = dots.cpu()
            changes[k, at] = before[k] - _values(module, covered, target, batch_size)
    if not scaled:
        return (predicted - changes).square().mean(1)
    of_zeros = changes.square().mean(1)
    if (of_zeros == 0).any():
        raise ProbeError(
            f"target {target.name!r} does not change when parts of a picture are covered"
        )
    squared = predicted.square().mean(1)
    best = torch.where(squared == 0, 0.0, (predicted * changes).mean(1) / squared)
    return (best[:, None] * predicted - changes).square().mean(1) / of_zeros


def _values(module: nn.Module, images: Tensor, target: Target, batch_size: int) -> Tensor:
    parts = [values(module, part, target) for part in images.split(batch_size)]
    return torch.cat(parts).double().cpu()


def _squares(n: int, height: int, width: int, seed: int) -> Tensor:
    """Draw squares: (n, height, width), True inside."""
    generator = _generator(seed)
    shorter = min(height, width)
    sides = torch.randint(max(shorter // 8, 1), max(shorter // 2, 1) + 1, (n,), generator=generator)
    inside = []
    for length in (height, width):
        share = torch.rand(n, generator=generator)
        start = (share * (length - sides + 1)).floor()[:, None]
        at = torch.arange(length)
        inside.append((at >= start) & (at < start + sides[:, None]))
    return inside[0][:, :, None] & inside[1][:, None, :]


def max_sensitivity(
    method: Method,
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    maps: Tensor | None = None,
    radius: float = 0.02,
    n_samples: int = 10,
    seed: int = 0,
    progress: bool | None = None,
) -> Tensor:
    """Compute how much a map changes, at most, when noise is added that one cannot see.

    max ‖Φ(x + δ) − Φ(x)‖ / ‖Φ(x)‖, for noise δ between −radius and radius (Yeh et al. 2019,
    definition 3.1, as a share of the map's own length).

    Parameters
    ----------
    method : callable
        ``method(module, images, target)``. If it draws noise of its own, its seed is to be fixed.
    module : torch.nn.Module
    images : torch.Tensor, shape (n, 3, height, width)
    target : Target
    maps : torch.Tensor, optional
        Those of ``images``, where they are made already.
    radius : float
        In the units of the preprocessed picture: 0.02 is one grey level or two.
    n_samples : int
        Draws of the noise, the same for every picture.
    seed : int
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    torch.Tensor, shape (n,), float64
        NaN, where the map is zero everywhere.

    Raises
    ------
    ProbeError
        If ``n_samples`` is below 1, or the radius not above 0.
    """
    if n_samples < 1 or not radius > 0:
        raise ProbeError(
            f"n_samples is {n_samples} and radius {radius}: expected at least 1, and above 0"
        )
    images = images.detach()
    generator = _generator(seed)
    before = method(module, images, target) if maps is None else maps.to(images.device)
    before = before.double().flatten(1)
    largest = torch.zeros(len(images), dtype=torch.float64)
    for _ in track(range(n_samples), desc="sensitivity", unit="map", progress=progress):
        noise = (2 * torch.rand(images.shape[1:], generator=generator) - 1) * radius
        after = method(module, images + noise.to(images), target).double().flatten(1)
        largest = largest.maximum(((after - before).norm(dim=1) / before.norm(dim=1)).cpu())
    return largest


def pointing_game(
    maps: Tensor, boxes: Sequence[Box], size: tuple[int, int], *, tolerance: float = 15.0
) -> Tensor:
    """Return whether the largest value of a map lies on the object (Zhang et al. 2018).

    Parameters
    ----------
    maps : torch.Tensor, shape (n, 3, height, width) or (n, y, x)
    boxes : sequence of (left, top, right, bottom)
        Around the object in each picture, in its pixels.
    size : (height, width)
        Of the pictures.
    tolerance : float
        How many pixels beside the box still count; the paper's are 15.

    Returns
    -------
    torch.Tensor, shape (n,), bool
        A map that is constant points nowhere: False.

    Raises
    ------
    ProbeError
        If there are not as many boxes as maps, or one lies outside the picture.
    """
    _check_boxes(boxes, len(maps), size)
    hits = []
    for one, (left, top, right, bottom) in zip(at_picture(maps, size), boxes, strict=True):
        y, x = divmod(int(one.argmax()), size[1])
        distances = (max(left - x, x - (right - 1), 0), max(top - y, y - (bottom - 1), 0))
        hits.append(bool(one.min() < one.max()) and float(np.hypot(*distances)) <= tolerance)
    return torch.tensor(hits)


def share_in_box(maps: Tensor, boxes: Sequence[Box], size: tuple[int, int]) -> Tensor:
    """Return the share of the evidence for the target that lies in a box.

    Parameters
    ----------
    maps, boxes, size
        As in `pointing_game`.

    Returns
    -------
    torch.Tensor, shape (n,), float64
        Sum of the positive values in the box by that of all; NaN, where none is positive. A map
        without any knowledge has the box's share of the picture.

    Raises
    ------
    ProbeError
        As in `pointing_game`.
    """
    _check_boxes(boxes, len(maps), size)
    positive = at_picture(maps, size).double().clamp(min=0)
    y, x = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    shares = []
    for one, (left, top, right, bottom) in zip(positive.cpu(), boxes, strict=True):
        inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        shares.append(one[inside].sum() / one.sum())
    return torch.stack(shares)


def _check_boxes(boxes: Sequence[Box], n: int, size: tuple[int, int]) -> None:
    if len(boxes) != n:
        raise ProbeError(f"{len(boxes)} boxes for {n} maps")
    height, width = size
    for left, top, right, bottom in boxes:
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ProbeError(
                f"box {(left, top, right, bottom)} is not (left, top, right, bottom) within a "
                f"picture of {width}×{height} pixels"
            )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
