"""The loss of style transfer, and its gradient, for pictures of any size.

All that is asked of a picture are sums over positions: moments and histograms of style layers,
squared differences to the content. So a large picture is gone through in tiles twice: once without
gradients, for the sums; then, as the gradient of the loss with respect to each sum is known, once
more for the gradient of the sums, weighted with these. With a margin as wide as the positions of a
tile see, this is the gradient of the whole picture, and not an approximation of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from probe import targets
from probe.errors import ProbeError
from probe.models import Network
from probe.synthesis.optimise import ValueAndGradient, autocast
from probe.synthesis.style_losses import (
    ContentTerm,
    Histograms,
    HistogramTerm,
    Moments,
    StyleTerm,
    moments,
)
from probe.synthesis.style_network import jump, margin
from probe.synthesis.style_settings import Precision
from probe.targets import Outputs, Target

GRID_PX = 16
"""Tiles begin at multiples of it: the jump of the deepest layers, whose poolings then fall as they
do in the whole picture."""

TILE_PX = 768
"""Side of a tile. A picture of `WHOLE` as many pixels is taken at once."""

WHOLE = 2.0


@dataclass(frozen=True)
class Window:
    """A tile of a picture, and the margin that its positions see.

    Attributes
    ----------
    rows, columns : torch.Tensor
        Which of the picture's are shown to the network.
    top, left : int
        How many of them are margin.
    y, x : int
        Where the tile itself begins in the picture.
    height, width : int
        Of the tile itself.
    """

    rows: Tensor
    columns: Tensor
    top: int
    left: int
    y: int
    x: int
    height: int
    width: int

    def cut(self, pictures: Tensor) -> Tensor:
        """Return the tile with its margin."""
        return pictures[..., self.rows[:, None], self.columns]

    def add_to(self, total: Tensor, gradient: Tensor) -> None:
        """Add the gradient of a tile with its margin, which may hold a pixel twice if it wraps."""
        index = (torch.zeros(1, dtype=torch.long), torch.arange(3)[:, None, None],
                 self.rows[:, None], self.columns)  # fmt: skip
        total.index_put_(tuple(i.to(total.device) for i in index), gradient[0], accumulate=True)

    def inside(self, layer: str, output: Tensor) -> Tensor:
        """Return those positions of a layer that belong to the tile."""
        return self._part(output, self.top, self.left, jump(layer))

    def part(self, layer: str, values: Tensor) -> Tensor:
        """Return the tile's part of values for all positions of a layer, or the one for each."""
        return values if values.ndim == 0 else self._part(values, self.y, self.x, jump(layer))

    def _part(self, values: Tensor, y: int, x: int, step: int) -> Tensor:
        rows = slice(y // step, y // step + self.height // step)
        return values[..., rows, x // step : x // step + self.width // step]


def windows(size: Sequence[int], tile: int, margin: int, *, wrap: bool = False) -> list[Window]:
    """Return the tiles of a picture.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    tile : int
        Side of a tile, a multiple of `GRID_PX`. A picture of up to `WHOLE` times its area is one
        tile.
    margin : int
        Pixels around a tile.
    wrap : bool
        Whether the margin at a border comes from the opposite one.
    """
    height, width = size
    if height * width <= WHOLE * tile**2:
        return [Window(torch.arange(height), torch.arange(width), 0, 0, 0, 0, height, width)]
    axes = []
    for side in size:
        parts = []
        for start in range(0, side, tile):
            end = min(start + tile, side)
            low, high = start - margin, end + margin
            if wrap:
                pixels = torch.arange(low, high) % side
            else:
                low = max(low, 0)
                pixels = torch.arange(low, min(high, side))
            parts.append((pixels, start - low, start, end - start))
        axes.append(parts)
    return [
        Window(rows, columns, top, left, y, x, tall, wide)
        for rows, top, y, tall in axes[0]
        for columns, left, x, wide in axes[1]
    ]


class Likeness(Target):
    """Minus the loss of style transfer, of one picture.

    Parameters
    ----------
    styles : sequence of StyleTerm
    contents : sequence of ContentTerm
    histograms : sequence of HistogramTerm
    """

    def __init__(
        self,
        styles: Sequence[StyleTerm],
        contents: Sequence[ContentTerm],
        histograms: Sequence[HistogramTerm] = (),
    ) -> None:
        self.terms: tuple[StyleTerm | ContentTerm, ...] = (*styles, *contents)
        self.histograms = tuple(histograms)
        self.layers = tuple(dict.fromkeys(t.layer for t in (*self.terms, *self.histograms)))
        self.name = "style"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute minus the loss of a picture that is looked at as a whole."""
        loss = self.loss(self.sums(outputs))
        loss = loss + self.histogram_loss(outputs, self.counts(outputs))
        return -loss.view(1)

    def sums(self, outputs: Outputs, window: Window | None = None) -> list[Tensor]:
        """Compute what a window adds to the sums that the loss is a function of."""
        totals: list[Tensor] = []
        for term in self.terms:
            features, *values = _cut(window, term.layer, outputs, *term.positions)
            totals += term.sums(features, *values)
        return totals

    def loss(self, sums: Sequence[Tensor]) -> Tensor:
        """Compute the loss but for histograms, from the sums over all windows."""
        remaining = iter(sums)
        losses = [term.loss(*islice(remaining, term.n_sums)) for term in self.terms]
        return torch.stack(losses).sum()

    def counts(self, outputs: Outputs, window: Window | None = None) -> list[Tensor]:
        """Compute what a window adds to the histograms."""
        return [
            term.style.counts(*_cut(window, term.layer, outputs, term.weights))
            for term in self.histograms
        ]

    def histogram_loss(
        self, outputs: Outputs, counts: Sequence[Tensor], window: Window | None = None
    ) -> Tensor:
        """Compute what a window adds to the loss of histograms, from the counts over all windows.

        Which value another is matched with changes only where two change places, and nothing with
        it: for the gradient it is constant.
        """
        losses = [torch.zeros(())]
        for term, counted in zip(self.histograms, counts, strict=True):
            features, weights = _cut(window, term.layer, outputs, term.weights)
            losses.append(term.loss(features, weights, counted))
        return torch.stack([loss.to(losses[-1].device) for loss in losses]).sum()

    def part(
        self,
        outputs: Outputs,
        window: Window,
        gradients: Sequence[Tensor],
        counts: Sequence[Tensor],
    ) -> Tensor:
        """Compute minus the sums of a window, each weighted with the gradient of the loss along it.

        Its gradient is what the window adds to that of the likeness.
        """
        sums = self.sums(outputs, window)
        terms = [(s * gradient).sum() for s, gradient in zip(sums, gradients, strict=True)]
        terms.append(self.histogram_loss(outputs, counts, window))
        return -torch.stack(terms).sum().view(1)


def _cut(window: Window | None, layer: str, outputs: Outputs, *values: Tensor) -> list[Tensor]:
    """Return a window's positions of a layer, and its part of values for all positions."""
    features = outputs[layer][0]
    if window is None:
        return [features, *values]
    return [window.inside(layer, features), *(window.part(layer, value) for value in values)]


def likeness_gradient(
    network: Network,
    likeness: Likeness,
    size: Sequence[int],
    *,
    tile: int = TILE_PX,
    wrap: bool = False,
    precision: Precision = "auto",
) -> ValueAndGradient:
    """Return the gradient of a likeness for a picture of any size, in tiles if it is large.

    Parameters
    ----------
    network : Network
        See `probe.synthesis.style_network.style_network`.
    likeness : Likeness
    size : (int, int)
        Height and width of the picture.
    tile, wrap
        See `windows`.
    precision : {"auto", "float32", "bfloat16"}

    Returns
    -------
    callable
        See `probe.synthesis.optimise.ValueAndGradient`.
    """
    tiles = windows(size, tile, margin(network, list(likeness.layers)), wrap=wrap)
    if len(tiles) == 1:
        return lambda pictures, step: _gradient(network, likeness, likeness, pictures, precision)

    def in_tiles(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        sums: list[Tensor] = []
        counts: list[Tensor] = []
        for window in tiles:
            with torch.no_grad():
                outputs = features(network, window.cut(pictures), likeness.layers, precision)
            sums = _added(sums, likeness.sums(outputs, window))
            counts = _added(counts, likeness.counts(outputs, window))
        with torch.enable_grad():
            leaves = [s.detach().requires_grad_() for s in sums]
            loss = likeness.loss(leaves)
        # The Gram matrix has no mean: its gradient is zero.
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
        # What the tiles add to the value, of sums, is taken off again here.
        weighted = [(s * gradient).sum() for s, gradient in zip(sums, gradients, strict=True)]
        value = sum(weighted) - loss.detach()
        total = torch.zeros_like(pictures)
        for window in tiles:
            part = partial(likeness.part, window=window, gradients=gradients, counts=counts)
            part_value, gradient = _gradient(
                network, likeness, part, window.cut(pictures), precision
            )
            value = value + part_value
            window.add_to(total, gradient)
        return value.view(1), total

    return in_tiles


def _added(sums: list[Tensor], more: list[Tensor]) -> list[Tensor]:
    return [a + b for a, b in zip(sums, more, strict=True)] if sums else more


def _gradient(
    network: Network,
    likeness: Likeness,
    value_of: Callable[[Outputs], Tensor],
    pictures: Tensor,
    precision: Precision,
) -> tuple[Tensor, Tensor]:
    """Compute a value of what the layers of a likeness make of pictures, and its gradient."""
    leaf = pictures.detach().requires_grad_()
    with torch.enable_grad():
        value = value_of(features(network, leaf, likeness.layers, precision))
    (gradient,) = targets.gradient(value, [leaf], likeness)
    return value.detach(), gradient


def features(
    network: Network, pictures: Tensor, layers: Sequence[str], precision: Precision
) -> dict[str, Tensor]:
    """Compute what some layers make of pictures in 0–1, in the precision that they compute in.

    Layer by layer, without `differentiable`: nothing writes into a ReLU's output, and copies of it
    would be a third of all memory.
    """
    dtype = next(network.module.parameters()).dtype
    values = network.preprocessing.normalise(pictures).to(dtype)
    values = values.contiguous(memory_format=torch.channels_last)
    outputs: dict[str, Tensor] = {}
    with autocast(precision, values.device):
        for name, part in network.module.named_children():
            if len(outputs) == len(layers):
                break
            values = part(values)
            if name in layers:
                outputs[name] = values
    return outputs


def _features_in_tiles(
    network: Network,
    picture: Tensor,
    layers: Sequence[str],
    precision: Precision,
    *,
    tile: int,
    wrap: bool = False,
) -> Iterator[tuple[Window, dict[str, Tensor]]]:
    """Compute what some layers make of a picture, tile by tile."""
    for window in windows(picture.shape[-2:], tile, margin(network, list(layers)), wrap=wrap):
        yield window, features(network, window.cut(picture), layers, precision)


@torch.no_grad()
def style_moments(
    network: Network,
    picture: Tensor,
    layers: Sequence[str],
    mask: Tensor | None = None,
    centres: Mapping[str, Tensor] | None = None,
    *,
    tile: int = TILE_PX,
    precision: Precision = "auto",
) -> dict[str, Moments]:
    """Compute the moments of what layers make of a picture, in tiles if it is large.

    Parameters
    ----------
    network, tile, precision
        As in `likeness_gradient`.
    picture : torch.Tensor, shape (1, 3, height, width)
    layers : sequence of str
    mask : torch.Tensor, shape (height, width), optional
        How much each pixel counts.
    centres : mapping of str to torch.Tensor, optional
        See `Moments`; by default, the means over the first tile.
    """
    weights = position_weights(mask, picture.shape[-2:], layers, picture.device)
    totals: dict[str, Moments] = {}
    about = dict(centres or {})
    for window, outputs in _features_in_tiles(network, picture, layers, precision, tile=tile):
        for layer in layers:
            inside, positions = _cut(window, layer, outputs, weights[layer])
            centre = about.setdefault(layer, inside.flatten(1).float().mean(1))
            part = moments(inside, centre, positions)
            if layer in totals:
                total = totals[layer]
                part = Moments(total.mean + part.mean, total.second + part.second, centre)
            totals[layer] = part
    return totals


@torch.no_grad()
def style_counts(
    network: Network,
    picture: Tensor,
    style: Mapping[str, Moments],
    mask: Tensor | None = None,
    *,
    tile: int = TILE_PX,
    precision: Precision = "auto",
) -> dict[str, Tensor]:
    """Count how often each value comes in what layers make of a picture, in tiles if it is large.

    Parameters
    ----------
    network, picture, mask, tile, precision
        As in `style_moments`.
    style : mapping of str to Moments
        Of all of the style in each layer; see `Histograms`.
    """
    weights = position_weights(mask, picture.shape[-2:], list(style), picture.device)
    totals: dict[str, Tensor] = {}
    for window, outputs in _features_in_tiles(network, picture, list(style), precision, tile=tile):
        for layer in style:
            part = Histograms(style[layer]).counts(*_cut(window, layer, outputs, weights[layer]))
            totals[layer] = totals[layer] + part if layer in totals else part
    return totals


@torch.no_grad()
def content_features(
    network: Network,
    picture: Tensor,
    layer: str,
    *,
    tile: int = TILE_PX,
    wrap: bool = False,
    precision: Precision = "auto",
) -> Tensor:
    """Compute what a layer makes of a picture, (channels, y, x), in tiles if it is large.

    Parameters
    ----------
    network, tile, wrap, precision
        As in `likeness_gradient`.
    picture : torch.Tensor, shape (1, 3, height, width)
    layer : str
    """
    total = None
    tiles = _features_in_tiles(network, picture, [layer], precision, tile=tile, wrap=wrap)
    for window, outputs in tiles:
        output = outputs[layer][0]
        if total is None:
            sides = [side // jump(layer) for side in picture.shape[-2:]]
            total = output.new_zeros(len(output), *sides)
        window.part(layer, total).copy_(window.inside(layer, output))
    assert total is not None  # there is a window
    return total


def position_weights(
    mask: Tensor | None, size: Sequence[int], layers: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """Return how much every position of layers counts, 1 together: the mean of the mask below it.

    Raises
    ------
    ProbeError
        If all of it is black.
    """
    check_white(mask)
    weights = {}
    for layer in layers:
        step = jump(layer)
        if mask is None:
            count = max((size[0] // step) * (size[1] // step), 1)
            weights[layer] = torch.tensor(1 / count, device=device)
        else:
            # So that the last pixels count too, where a layer has no position of their own.
            sides = (max(size[0] // step, 1), max(size[1] // step, 1))
            below = F.adaptive_avg_pool2d(mask[None, None].to(device), sides)[0, 0]
            weights[layer] = below / below.sum()
    return weights


def check_white(mask: Tensor | None) -> None:
    """Check that a mask leaves anything.

    Raises
    ------
    ProbeError
        If it is black.
    """
    if mask is not None and not mask.any():
        raise ProbeError(
            "a mask is black, or what is white in it is transparent: nothing is left to paint"
        )
