"""Maps from what happens to a target when parts of the picture are covered: no gradients needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import tee

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe import targets
from probe.attribution.gradients import Baseline, as_baseline, at_least, batches, checked
from probe.errors import ProbeError
from probe.progress import track
from probe.targets import Target


def occlusion(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    size: int | None = None,
    stride: int | None = None,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
    progress: bool | None = None,
) -> Tensor:
    """Cover the picture window by window, and see how the target falls (Zeiler & Fergus 2014).

    A window's fall, target(picture) − target(covered), is shared out evenly among its values; where
    windows overlap, a value has the mean of its shares. So a map of windows side by side sums to
    the sum of their falls, which of a linear target is target(picture) − target(baseline).

    Parameters
    ----------
    module : torch.nn.Module
        Any network.
    images : torch.Tensor, shape (n, channels, height, width)
        Preprocessed, on the module's device.
    target : Target
    size : int, optional
        Side of the square window, in pixels; by default a seventh of the picture's shorter side:
        32 of 224, 16 of 112. At the right and lower edge of the picture, windows are cut.
    stride : int, optional
        From a window to the next, in pixels; by default a fourteenth of the shorter side, at most
        ``size``.
    baseline : torch.Tensor, float or 'blurred'
        What covers, broadcast to ``images``. 0 is the mean colour; ``'blurred'`` is the picture,
        blurred.
    batch_size : int
        Most pictures in one forward pass.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, in units of the target; the same in all channels of a pixel.

    Raises
    ------
    ProbeError
        If windows leave gaps, a setting does not fit, or a layer does not exist.
    """
    images = checked(images)
    cover = as_baseline(baseline, images)
    n, channels, height, width = images.shape
    shorter = min(height, width)
    size = max(1, round(shorter / 7)) if size is None else size
    stride = min(size, max(1, round(shorter / 14))) if stride is None else stride
    at_least(1, size=size, stride=stride)
    if stride > size:
        raise ProbeError(f"windows of {size} pixels leave gaps at stride {stride}: take {size}")
    windows = [
        (slice(y, y + size), slice(x, x + size))
        for y in _starts(height, size, stride)
        for x in _starts(width, size, stride)
    ]

    def covered() -> Iterator[Tensor]:
        yield from images
        for y, x in windows:
            for picture, patch in zip(images, cover, strict=True):
                picture = picture.clone()
                picture[:, y, x] = patch[:, y, x]
                yield picture

    stream = _values(module, covered(), target, batch_size)
    unchanged = torch.stack([next(stream) for _ in range(n)])
    shares = images.new_zeros((*unchanged.shape, height, width))
    covers = images.new_zeros((height, width))
    for y, x in track(windows, desc="occlusion", unit="window", progress=progress):
        covers[y, x] += 1
        falls = unchanged - torch.stack([next(stream) for _ in range(n)])
        shares[..., y, x] += falls[..., None, None] / (channels * covers[y, x].numel())
    return _in_colours(shares / covers, channels).contiguous()


def _in_colours(maps: Tensor, channels: int) -> Tensor:
    """Repeat maps, (…, height, width), for every channel of a picture."""
    return maps.unsqueeze(-3).expand(*maps.shape[:-2], channels, *maps.shape[-2:]).float()


def _starts(length: int, size: int, stride: int) -> range:
    """Return where windows begin, so that the last one reaches the end."""
    return range(0, max(length - size, 0) + stride, stride)


def rise(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    masks: int = 2000,
    cells: int = 7,
    shown: float = 0.5,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool | None = None,
) -> Tensor:
    """Weigh random masks by the target that each leaves (RISE, Petsiuk et al. 2018).

    A pixel's value is the mean of the target over all masks, weighted by how far they show it, less
    its plain mean: how much higher the target is where the pixel is seen. The paper divides
    by the masks' expected sum in place of their sum, and subtracts nothing; then a pixel that more
    masks happen to show stands out on any network, and with it the whole map where the target is
    not a probability but far from 0.

    Parameters
    ----------
    module, images, target, batch_size, progress
        As in `occlusion`.
    masks : int
        How many; the same for every picture.
    cells : int
        A mask is a grid of so many cells in each direction, each shown or not, enlarged bilinearly
        and shifted by a random part of a cell.
    shown : float
        Share of the cells that are shown.
    baseline : torch.Tensor, float or 'blurred'
        What is seen where a mask does not show the picture, as in `occlusion`.
    seed : int
        Of the masks.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed, in units of the target; a third of a pixel's value in each of 3 channels.

    Raises
    ------
    ProbeError
        If a setting does not fit, no mask shows some pixel, or a layer does not exist.
    """
    images = checked(images)
    cover = as_baseline(baseline, images)
    at_least(1, masks=masks, cells=cells)
    if not 0 < shown < 1:
        raise ProbeError(f"shown {shown}: expected more than 0 and less than 1")
    n, channels, height, width = images.shape
    # Twice the same: to make pictures with, and to weigh by what they give, a batch later.
    ahead, behind = tee(_masks(masks, cells, shown, images, seed))

    def masked() -> Iterator[Tensor]:
        for mask in ahead:
            for picture, patch in zip(images, cover, strict=True):
                yield patch + mask * (picture - patch)

    stream = _values(module, masked(), target, batch_size)
    means, maps = images.new_zeros(()), images.new_zeros(())
    coverage = images.new_zeros((height, width))
    bar = track(behind, total=masks, desc="RISE", unit="mask", progress=progress)
    for done, mask in enumerate(bar, 1):
        values = torch.stack([next(stream) for _ in range(n)])
        # Running means: sums of thousands of values that are far from 0 would lose their digits.
        means = means + (values - means) / done
        coverage += mask
        maps = maps + (values[..., None, None] - maps) * (mask / coverage.clamp(min=1e-12))
    if (coverage == 0).any():
        raise ProbeError(f"none of {masks} masks shows some pixels: take more masks")
    return _in_colours((maps - means[..., None, None]) / channels, channels)


def _masks(masks: int, cells: int, shown: float, images: Tensor, seed: int) -> Iterator[Tensor]:
    """Draw masks: (height, width), 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    height, width = images.shape[2:]
    side = -(-height // cells), -(-width // cells)  # of a cell, in pixels
    for _ in range(masks):
        grid = torch.rand((1, 1, cells, cells), generator=generator) < shown
        y, x = (int(torch.randint(length, (), generator=generator)) for length in side)
        # A cell larger than the picture, for the shift.
        size = (cells + 1) * side[0], (cells + 1) * side[1]
        large = F.interpolate(grid.to(images), size, mode="bilinear")
        yield large[0, 0, y : y + height, x : x + width]


def _values(
    module: nn.Module, pictures: Iterable[Tensor], target: Target, batch_size: int
) -> Iterator[Tensor]:
    """Return the target's number for each picture of a stream, in its order."""
    for batch in batches(pictures, batch_size):
        yield from targets.values(module, batch, target)
