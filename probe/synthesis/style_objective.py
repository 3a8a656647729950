"""How like one picture is to the content of a second and the style of a third, at any size.

All that is asked of a picture are sums over positions: moments and histograms of style layers,
squared differences to the content. So a large picture is gone through in tiles twice: once without
gradients, for the sums; then, as the slope of the loss with respect to each sum is known, once more
for the gradient of the sums, weighted with these slopes. With a margin of what the positions of a
tile see, this is the gradient of the whole picture, and not an approximation of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from probe import targets
from probe.errors import ProbeError
from probe.models import Network
from probe.synthesis.optimise import Slopes, autocast
from probe.synthesis.style_losses import Gaussian, Histograms, Moments, gram, moments
from probe.synthesis.style_network import jump, margin
from probe.synthesis.style_settings import Loss, Precision
from probe.targets import Outputs, Target

GRID = 16
"""Tiles begin at multiples of as many pixels: the jump of the deepest layers, whose poolings then
fall as they do in the whole picture."""

TILE = 768
"""Pixels along a side of a tile. A picture of `WHOLE` as many pixels is taken at once."""

WHOLE = 2.0

TINY = 1e-12
"""What the size of a style or content is at least, in a layer that is silent."""


@dataclass(frozen=True)
class Window:
    """A tile of a picture, and the margin that its positions see.

    Attributes
    ----------
    rows, columns : torch.Tensor
        Which of the picture's are given to the network.
    top, left : int
        Pixels of them that are margin.
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
        """Give the tile with its margin."""
        return pictures[..., self.rows[:, None], self.columns]

    def inside(self, layer: str, output: Tensor) -> Tensor:
        """Give those positions of a layer that belong to the tile."""
        return self._part(output, self.top, self.left, jump(layer))

    def own(self, layer: str, whole: Tensor) -> Tensor:
        """Give the tile's part of what is known for all positions of a layer."""
        return whole if whole.ndim == 0 else self._part(whole, self.y, self.x, jump(layer))

    def _part(self, values: Tensor, y: int, x: int, step: int) -> Tensor:
        rows = slice(y // step, y // step + self.height // step)
        return values[..., rows, x // step : x // step + self.width // step]


def windows(size: Sequence[int], tile: int, around: int, *, wrap: bool = False) -> list[Window]:
    """Lay tiles over a picture.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    tile : int
        Side of a tile, a multiple of `GRID`. A picture of up to `WHOLE` times its area is one tile.
    around : int
        Width of the margin.
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
            low, high = start - around, end + around
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


@dataclass(frozen=True, eq=False)
class StyleTerm:
    """The style of one region in one layer.

    Attributes
    ----------
    layer : str
    share : float
        What its distance is multiplied by.
    distance : callable
        Takes moments.
    centre : torch.Tensor or None, shape (channels,)
        About which they are taken.
    weights : torch.Tensor, shape (y, x) or ()
        How much each position of the layer counts; 1 together.
    """

    layer: str
    share: float
    distance: Callable[[Moments], Tensor]
    centre: Tensor | None
    weights: Tensor


@dataclass(frozen=True, eq=False)
class ContentTerm:
    """What a layer makes of the content.

    Attributes
    ----------
    layer : str
    share : float
        What the mean squared difference is multiplied by.
    features : torch.Tensor, shape (channels, y, x)
    weights : torch.Tensor, shape (y, x) or ()
        As in `StyleTerm`.
    """

    layer: str
    share: float
    features: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class HistogramTerm:
    """How often each value comes in one region of one layer (Risser et al. 2017).

    Attributes
    ----------
    layer : str
    share : float
        What the mean squared difference to the style's values is multiplied by.
    style : Histograms
    weights : torch.Tensor, shape (y, x) or ()
        As in `StyleTerm`.
    """

    layer: str
    share: float
    style: Histograms
    weights: Tensor


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
        self.styles, self.contents = tuple(styles), tuple(contents)
        self.histograms = tuple(histograms)
        terms: list[StyleTerm | ContentTerm | HistogramTerm] = [*styles, *contents, *histograms]
        self.layers = tuple(dict.fromkeys(term.layer for term in terms))
        self.name = "style"

    def __call__(self, outputs: Outputs) -> Tensor:
        """See `Target.__call__`."""
        loss = self.loss(self.sums(outputs)) + self.unequal(outputs, self.counts(outputs))
        return -loss.view(1)

    def sums(self, outputs: Outputs, window: Window | None = None) -> list[Tensor]:
        """Give what a window adds to the sums that the loss is a function of."""
        found: list[Tensor] = []
        for style in self.styles:
            layer = style.layer
            features, weights = _inside(window, layer, outputs[layer][0], style.weights)
            of = moments(features, style.centre, weights)
            found += [of.mean, of.second]
        for content in self.contents:
            layer = content.layer
            features, wanted = _inside(window, layer, outputs[layer][0], content.features)
            _, weights = _inside(window, layer, outputs[layer][0], content.weights)
            apart = (features.float() - wanted.float()).square() * weights
            found.append(apart.sum() / len(features))
        return found

    def counts(self, outputs: Outputs, window: Window | None = None) -> list[Tensor]:
        """Give what a window adds to the histograms."""
        return [
            term.style.counts(*_inside(window, term.layer, outputs[term.layer][0], term.weights))
            for term in self.histograms
        ]

    def unequal(
        self, outputs: Outputs, counts: Sequence[Tensor], window: Window | None = None
    ) -> Tensor:
        """Give what a window adds to the loss of histograms, from the counts over all windows.

        Which value another is matched with changes only where two change places, and nothing with
        it: the gradient holds it fast.
        """
        losses = [torch.zeros(())]
        for term, counted in zip(self.histograms, counts, strict=True):
            found, weights = _inside(window, term.layer, outputs[term.layer][0], term.weights)
            apart = (found.float() - term.style.matched(found, counted)).square()
            losses.append(term.share * (apart * weights).sum() / len(found))
        return torch.stack([loss.to(losses[-1].device) for loss in losses]).sum()

    def loss(self, sums: Sequence[Tensor]) -> Tensor:
        """Give the loss but for histograms, from the sums over all windows."""
        n = 2 * len(self.styles)
        losses = []
        for style, mean, second in zip(self.styles, sums[0:n:2], sums[1:n:2], strict=True):
            centre = torch.zeros_like(mean) if style.centre is None else style.centre
            losses.append(style.share * style.distance(Moments(mean, second, centre)))
        losses += [c.share * value for c, value in zip(self.contents, sums[n:], strict=True)]
        return torch.stack(losses).sum()


def _inside(
    window: Window | None, layer: str, output: Tensor, known: Tensor
) -> tuple[Tensor, Tensor]:
    """Give a window's positions of a layer, and its part of what is known for all of them."""
    if window is None:
        return output, known
    return window.inside(layer, output), window.own(layer, known)


@dataclass(frozen=True, eq=False)
class _Weighted(Target):
    """The sums of a window, each weighted with the slope of the loss along it."""

    likeness: Likeness
    window: Window
    slopes: Sequence[Tensor]
    counts: Sequence[Tensor]

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.likeness.layers

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.likeness.name

    def __call__(self, outputs: Outputs) -> Tensor:
        sums = self.likeness.sums(outputs, self.window)
        terms = [(s * slope).sum() for s, slope in zip(sums, self.slopes, strict=True)]
        terms.append(self.likeness.unequal(outputs, self.counts, self.window))
        return -torch.stack(terms).sum().view(1)


def likeness_slopes(
    network: Network,
    likeness: Likeness,
    size: Sequence[int],
    *,
    tile: int = TILE,
    wrap: bool = False,
    precision: Precision = "auto",
) -> Slopes:
    """Give the gradient of a likeness for a picture of any size, in tiles if it is large.

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
        See `probe.synthesis.optimise.Slopes`.
    """
    laid = windows(size, tile, margin(network, list(likeness.layers)), wrap=wrap)
    if len(laid) == 1:
        return lambda pictures, step: _pulled(network, likeness, pictures, precision)

    def slopes(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        sums: list[Tensor] = []
        counts: list[Tensor] = []
        for window in laid:
            with torch.no_grad():
                outputs = features(network, window.cut(pictures), likeness.layers, precision)
            sums = _added(sums, likeness.sums(outputs, window))
            counts = _added(counts, likeness.counts(outputs, window))
        with torch.enable_grad():
            leaves = [s.detach().requires_grad_() for s in sums]
            loss = likeness.loss(leaves)
        along = torch.autograd.grad(loss, leaves, materialize_grads=True)  # Gram has no mean
        value = sum((s * slope).sum() for s, slope in zip(sums, along, strict=True)) - loss.detach()
        total = torch.zeros_like(pictures)
        for window in laid:
            weighted = _Weighted(likeness, window, along, counts)
            part, slope = _pulled(network, weighted, window.cut(pictures), precision)
            value = value + part
            # A margin that wraps may hold a pixel twice.
            place = (torch.zeros(1, dtype=torch.long), torch.arange(3)[:, None, None],
                     window.rows[:, None], window.columns)  # fmt: skip
            total.index_put_(tuple(i.to(total.device) for i in place), slope[0], accumulate=True)
        return value.view(1), total  # what the tiles say of sums is taken back above

    return slopes


def _added(sums: list[Tensor], more: list[Tensor]) -> list[Tensor]:
    return [a + b for a, b in zip(sums, more, strict=True)] if sums else more


def _pulled(
    network: Network, target: Target, pictures: Tensor, precision: Precision
) -> tuple[Tensor, Tensor]:
    """Give the number of a target, and its gradient with respect to pictures."""
    given = pictures.detach().requires_grad_()
    with torch.enable_grad():
        value = target(features(network, given, target.layers, precision))
    (slope,) = targets.gradient(value, [given], target)
    return value.detach(), slope


def features(
    network: Network, pictures: Tensor, layers: Sequence[str], precision: Precision
) -> dict[str, Tensor]:
    """Give what some layers make of pictures in 0–1, in the precision that they are computed in.

    Layer by layer, without `differentiable`: nothing writes in what a ReLU gives, and copies of it
    would be a third of all memory.
    """
    dtype = next(network.module.parameters()).dtype
    seen = network.preprocessing.normalise(pictures).to(dtype)
    seen = seen.contiguous(memory_format=torch.channels_last)
    found: dict[str, Tensor] = {}
    with autocast(precision, seen.device):
        for name, part in network.module.named_children():
            if len(found) == len(layers):
                break
            seen = part(seen)
            if name in layers:
                found[name] = seen
    return found


@torch.no_grad()
def style_moments(
    network: Network,
    picture: Tensor,
    layers: Sequence[str],
    mask: Tensor | None = None,
    centres: Mapping[str, Tensor] | None = None,
    *,
    tile: int = TILE,
    precision: Precision = "auto",
) -> dict[str, Moments]:
    """Give the moments of what layers make of a picture, in tiles if it is large.

    Parameters
    ----------
    network, tile, precision
        As in `likeness_slopes`.
    picture : torch.Tensor, shape (1, 3, height, width)
    layers : sequence of str
    mask : torch.Tensor, shape (height, width), optional
        How much each pixel counts.
    centres : mapping of str to torch.Tensor, optional
        See `Moments`; by default, the means over the first tile.
    """
    size = picture.shape[-2:]
    weights = position_weights(mask, size, layers, picture.device)
    found: dict[str, Moments] = {}
    about = dict(centres or {})
    for window in windows(size, tile, margin(network, list(layers))):
        outputs = features(network, window.cut(picture), layers, precision)
        for layer in layers:
            inside = window.inside(layer, outputs[layer][0])
            centre = about.setdefault(layer, inside.flatten(1).float().mean(1))
            part = moments(inside, centre, window.own(layer, weights[layer]))
            if layer in found:
                before = found[layer]
                part = Moments(before.mean + part.mean, before.second + part.second, centre)
            found[layer] = part
    return found


@torch.no_grad()
def style_counts(
    network: Network,
    picture: Tensor,
    wanted: Mapping[str, Moments],
    mask: Tensor | None = None,
    *,
    tile: int = TILE,
    precision: Precision = "auto",
) -> dict[str, Tensor]:
    """Give how often each value comes in what layers make of a picture, in tiles if it is large.

    Parameters
    ----------
    network, picture, mask, tile, precision
        As in `style_moments`.
    wanted : mapping of str to Moments
        Of the whole style in each layer; see `Histograms`.
    """
    size, layers = picture.shape[-2:], list(wanted)
    weights = position_weights(mask, size, layers, picture.device)
    found: dict[str, Tensor] = {}
    for window in windows(size, tile, margin(network, layers)):
        outputs = features(network, window.cut(picture), layers, precision)
        for layer in layers:
            inside, own = _inside(window, layer, outputs[layer][0], weights[layer])
            part = Histograms(wanted[layer]).counts(inside, own)
            found[layer] = found[layer] + part if layer in found else part
    return found


def position_weights(
    mask: Tensor | None, size: Sequence[int], layers: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """Give how much every position of layers counts, 1 together: the mean of the mask below it.

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


def mixed(found: Sequence[Moments], shares: Sequence[float]) -> Moments:
    """Give the moments of several pictures beside each other, of areas in such shares."""
    total = sum(shares)
    parts = [(share / total, one) for share, one in zip(shares, found, strict=True)]
    mean = torch.stack([share * one.mean for share, one in parts]).sum(0)
    second = torch.stack([share * one.second for share, one in parts]).sum(0)
    return Moments(mean, second, found[0].centre)


def style_term(
    layer: str, wanted: Moments, share: float, weights: Tensor, loss: Loss = "wasserstein"
) -> StyleTerm:
    """Give the distance to a style in a layer, relative to the style's own size.

    Parameters
    ----------
    layer : str
    wanted : Moments
    share : float
    weights : torch.Tensor
        See `StyleTerm`.
    loss : {"wasserstein", "gram"}
    """
    mean = wanted.mean + wanted.centre
    if loss == "wasserstein":
        style = Gaussian(wanted)
        own = (mean.square().sum() + wanted.covariance.trace()) / len(mean)
        return StyleTerm(layer, share / max(float(own), TINY), style.distance, style.mean, weights)
    about_zero = Moments(
        mean, wanted.covariance + torch.outer(mean, mean), torch.zeros_like(wanted.centre)
    )
    own = about_zero.second.square().mean()
    share /= max(float(own), TINY)
    return StyleTerm(layer, share, lambda found: gram(found, about_zero), None, weights)


def histogram_term(
    layer: str, wanted: Moments, counts: Tensor, share: float, weights: Tensor
) -> HistogramTerm:
    """Give the distance to a style's histograms in a layer, relative to the style's own size.

    Parameters
    ----------
    layer, wanted, share, weights
        As in `style_term`.
    counts : torch.Tensor
        See `style_counts`.
    """
    mean = wanted.mean + wanted.centre
    own = (mean.square().sum() + wanted.covariance.trace()) / len(mean)
    return HistogramTerm(layer, share / max(float(own), TINY), Histograms(wanted, counts), weights)


@torch.no_grad()
def content_term(
    network: Network,
    picture: Tensor,
    layer: str,
    share: float,
    mask: Tensor | None = None,
    *,
    tile: int = TILE,
    wrap: bool = False,
    precision: Precision = "auto",
) -> ContentTerm:
    """Give the squared difference to a picture in a layer, relative to the picture's own size.

    Parameters
    ----------
    network, tile, wrap, precision
        As in `likeness_slopes`.
    picture : torch.Tensor, shape (1, 3, height, width)
    layer : str
    share : float
    mask : torch.Tensor, shape (height, width), optional
        How much each pixel counts.
    """
    size, whole = picture.shape[-2:], None
    for window in windows(size, tile, margin(network, [layer]), wrap=wrap):
        output = features(network, window.cut(picture), [layer], precision)[layer][0]
        if whole is None:
            whole = output.new_zeros(len(output), *(side // jump(layer) for side in size))
        window.own(layer, whole).copy_(window.inside(layer, output))
    assert whole is not None  # there is a window
    weights = position_weights(mask, size, [layer], picture.device)[layer]
    own = float((whole.float().square().mean(0) * weights).sum())
    return ContentTerm(layer, share / max(own, TINY), whole, weights)
