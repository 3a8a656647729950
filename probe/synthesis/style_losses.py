"""The terms of the loss of style transfer: distances between what layers make of two pictures.

A style is the mean and the second moments of a layer's channels over all positions, and how often
each of their values comes. All are sums over positions, and so is their gradient: a picture of any
size can be worked on in tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from probe.synthesis.style_settings import Loss

RIDGE = 1e-3
"""Share of a style's mean variance that is added to all its variances. Where two layers hardly vary
at all, the gradient of the distance is a ratio of rounding errors; with it, float32 features give
the gradient that float64 features do, to 1e-4."""

MIN_EIGENVALUE = 1e-12
"""Share of the largest eigenvalue below which others are rounding errors."""

MIN_SIZE = 1e-12
"""Mean square of a style or content, at least, in a layer that is silent."""

STRIP_VALUES = 2**22
"""Of features, that are worked on at once: 16 MB."""

BINS = 256
"""Of a channel's histogram."""

TOP_STDS = 6.0
"""Standard deviations above a channel's mean at which its histogram ends."""


@dataclass(frozen=True)
class Moments:
    """The mean and the second moments of a layer's channels over positions.

    Attributes
    ----------
    mean : torch.Tensor, shape (channels,)
        About ``centre``.
    second : torch.Tensor, shape (channels, channels)
        About ``centre``.
    centre : torch.Tensor, shape (channels,)
        With one near the mean, a covariance loses no digits.
    """

    mean: Tensor
    second: Tensor
    centre: Tensor

    @property
    def covariance(self) -> Tensor:
        """About the mean, (channels, channels)."""
        return self.second - torch.outer(self.mean, self.mean)


def moments(
    features: Tensor, centre: Tensor | None = None, weights: Tensor | None = None
) -> Moments:
    """Compute the moments of what a layer makes of a picture.

    Parameters
    ----------
    features : torch.Tensor, shape (channels, height, width)
    centre : torch.Tensor, shape (channels,), optional
        By default 0.
    weights : torch.Tensor, shape (height, width) or (), optional
        How much each position counts, or all do; by default 1 together. The moments of the tiles of
        a picture add up to those of the whole if the weights of all tiles add up to 1.
    """
    exact = torch.promote_types(features.dtype, torch.float32)
    about = torch.zeros(len(features)).to(features) if centre is None else centre
    about = about.to(exact)
    if weights is None:
        weights = about.new_tensor(1 / features[0].numel())
    mean, second = _Sums.apply(features, about, weights)
    return Moments(mean, second, about)


class _Sums(torch.autograd.Function):
    """Weighted sums over positions of f − c and of (f − c)(f − c)ᵀ.

    Strip by strip, and with their own gradient: of all that they take nothing is kept but the
    features, which the network keeps anyway. With autograd, three more copies in float32 would be.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, centre: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the sums, strip by strip."""
        ctx.save_for_backward(features, centre, weights)
        mean, second = torch.zeros_like(centre), centre.new_zeros(2 * centre.shape)
        for strip, of_strip, _ in _strips(features, centre, weights):
            weighted = strip * of_strip
            mean += weighted.sum(1)
            second.addmm_(weighted, strip.T)
        return mean, second

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_second: Tensor) -> tuple[Tensor, None, None]:
        """Compute the gradient."""
        features, centre, weights = ctx.saved_tensors
        gradient = torch.empty_like(features)
        along = of_second + of_second.T
        for strip, of_strip, rows in _strips(features, centre, weights):
            part = torch.addmm(of_mean[:, None], along, strip).mul_(of_strip)
            gradient[:, rows] = part.view_as(gradient[:, rows])
        return gradient, None, None


def _strips(
    features: Tensor, centre: Tensor, weights: Tensor
) -> Iterator[tuple[Tensor, Tensor, slice]]:
    """Cut features, (channels, height, width), into rows that a processor's cache can hold.

    Yields
    ------
    strip : torch.Tensor, shape (channels, positions)
        About ``centre``, in float32 or float64.
    of_strip : torch.Tensor, shape (positions,) or ()
        Its weights.
    rows : slice
    """
    channels, height, width = features.shape
    # A tile may be too narrow for a position.
    step = max(STRIP_VALUES // max(channels * width, 1), 1)
    for start in range(0, height, step):
        rows = slice(start, start + step)
        of_strip = weights if weights.ndim == 0 else weights[rows].flatten()
        yield features[:, rows].flatten(1).to(centre.dtype) - centre[:, None], of_strip, rows


def gram(picture: Moments, style: Moments) -> Tensor:
    """Compute the mean squared difference of two Gram matrices (Gatys et al. 2016, eq. 4).

    Each is divided by its number of positions, so that pictures may differ in size. Both have to be
    about 0.
    """
    return (picture.second - style.second).square().mean()


class Gaussian:
    """A style as a Gaussian: what the Wasserstein distance to it needs, worked out once.

    Parameters
    ----------
    style : Moments

    Attributes
    ----------
    mean : torch.Tensor, shape (channels,)
        Moments of pictures that are compared are best taken about it.
    """

    def __init__(self, style: Moments) -> None:
        self.mean = style.mean + style.centre
        covariance = style.covariance.double()
        self.ridge = (
            RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
        )
        values, vectors = torch.linalg.eigh(covariance + self.ridge)
        values = values.clamp(min=0)
        self.root = (vectors * values.sqrt()) @ vectors.T
        self.trace = values.sum()

    def distance(self, picture: Moments) -> Tensor:
        """Compute the squared 2-Wasserstein distance to another Gaussian, per channel.

        |m − m'|² + tr(C) + tr(C') − 2 tr((S C S)^½), where S is the root of C' (Dowson & Landau
        1982; Olkin & Pukelsheim 1982), divided by the number of channels; C and C' have the same
        `RIDGE`.
        """
        means = (picture.mean + (picture.centre - self.mean)).square().sum()
        covariance = picture.covariance.double() + self.ridge
        cross = _RootTrace.apply(covariance, self.root)
        return (means + covariance.trace() + self.trace - 2 * cross).float() / len(self.mean)


class _RootTrace(torch.autograd.Function):
    """tr((S C S)^½), with its gradient ½ S (S C S)^(-½) S from the same eigenvectors.

    In float64: the eigenvalues are products of those of two covariances, and their roots' slopes
    quotients. The matrices are small; what they are computed from stays in float32.
    """

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, root: Tensor) -> Tensor:
        """Compute the sum of the roots of the eigenvalues."""
        product = root @ covariance @ root
        values, vectors = torch.linalg.eigh((product + product.T) / 2)
        # None is zero, as both have a ridge. But the covariance comes from float32 sums, whose
        # rounding may be larger than the ridge of a style that hardly varies.
        smallest = max(float(MIN_EIGENVALUE * values[-1]), torch.finfo(values.dtype).tiny)
        roots = values.clamp(min=smallest).sqrt()
        rotated = root @ vectors
        ctx.save_for_backward((rotated / (2 * roots)) @ rotated.T)
        return roots.sum()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        """Compute the gradient."""
        (gradient,) = ctx.saved_tensors
        return slope * gradient, None


class Histograms:
    """How often each value comes in each channel of a style, after a ReLU.

    Parameters
    ----------
    style : Moments
        They say how far each histogram goes.
    counts : torch.Tensor, shape (channels, BINS), optional
        See `counts`; what `matched` needs.
    """

    def __init__(self, style: Moments, counts: Tensor | None = None) -> None:
        std = style.covariance.diagonal().clamp(min=0).sqrt()
        top = style.mean + style.centre + TOP_STDS * std
        self.width = (top / BINS).clamp(min=1e-9)[:, None]
        self.shares = None if counts is None else _rising(counts)

    def counts(self, features: Tensor, weights: Tensor) -> Tensor:
        """Add up the weights of the positions whose values fall into each bin.

        Parameters
        ----------
        features : torch.Tensor, shape (channels, height, width)
        weights : torch.Tensor, shape (height, width) or ()

        Returns
        -------
        torch.Tensor, shape (channels, BINS)
        """
        flat = features.detach().flatten(1).float()
        bins = (flat / self.width).long().clamp(0, BINS - 1)
        # One after the other, many small numbers: in float32, a thousandth would be lost.
        counted = weights.double().flatten().expand_as(flat)
        return counted.new_zeros(len(flat), BINS).scatter_add_(1, bins, counted)

    def matched(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return for each value that of the style which as many are below (Risser et al. 2017).

        Parameters
        ----------
        features : torch.Tensor, shape (channels, height, width)
        counts : torch.Tensor, shape (channels, BINS)
            Of the whole picture to which the features belong.
        """
        assert self.shares is not None
        # First for the borders of bins; in between, in a straight line. Where the style has no
        # values, a bin begins above the gap and ends below it.
        below = _rising(counts)
        begin, end = self._value(below, right=True), self._value(below, right=False)
        flat = features.detach().flatten(1).float()
        position = (flat / self.width).clamp(0, BINS)
        bins = position.long().clamp(max=BINS - 1)
        low, high = begin.gather(1, bins), end.gather(1, bins + 1)
        return (low + (position - bins) * (high - low)).view_as(features)

    def _value(self, below: Tensor, *, right: bool) -> Tensor:
        """Return the largest, or the least, value of the style below which such a share is."""
        assert self.shares is not None
        index = torch.searchsorted(self.shares, below, right=right).clamp(1, BINS)
        low, high = (self.shares.gather(1, one) for one in (index - 1, index))
        part = ((below - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        return ((index - 1 + part) * self.width).float()


def _rising(counts: Tensor) -> Tensor:
    """Return the share of values below each border of the bins, from 0 to 1."""
    summed = counts.cumsum(1)
    shares = summed / summed[:, -1:].clamp(min=1e-12)
    return torch.cat([shares.new_zeros(len(shares), 1), shares], 1)


@dataclass(frozen=True, eq=False)
class Term:
    """A part of the loss, of one layer and, of a style, one region.

    Attributes
    ----------
    layer : str
    share : float
        What its distance is multiplied by.
    weights : torch.Tensor, shape (y, x) or ()
        How much each position of the layer counts; 1 together.
    """

    layer: str
    share: float
    weights: Tensor


@dataclass(frozen=True, eq=False)
class StyleTerm(Term):
    """A distance to a style, of moments about ``centre``, or about 0."""

    distance: Callable[[Moments], Tensor]
    centre: Tensor | None
    n_sums = 2

    @property
    def positions(self) -> tuple[Tensor, ...]:
        """What it has for each position."""
        return (self.weights,)

    def sums(self, features: Tensor, weights: Tensor) -> list[Tensor]:
        """Compute what positions add to the mean and the second moments."""
        part = moments(features, self.centre, weights)
        return [part.mean, part.second]

    def loss(self, mean: Tensor, second: Tensor) -> Tensor:
        """Compute the distance from the sums over all positions."""
        centre = torch.zeros_like(mean) if self.centre is None else self.centre
        return self.share * self.distance(Moments(mean, second, centre))


@dataclass(frozen=True, eq=False)
class ContentTerm(Term):
    """The mean squared difference to what the layer makes of the content, (channels, y, x)."""

    features: Tensor
    n_sums = 1

    @property
    def positions(self) -> tuple[Tensor, ...]:
        """What it has for each position."""
        return self.features, self.weights

    def sums(self, features: Tensor, content: Tensor, weights: Tensor) -> list[Tensor]:
        """Compute what positions add to the squared difference."""
        difference = (features.float() - content.float()).square() * weights
        return [difference.sum() / len(features)]

    def loss(self, total: Tensor) -> Tensor:
        """Compute the difference from the sum over all positions."""
        return self.share * total


@dataclass(frozen=True, eq=False)
class HistogramTerm(Term):
    """The mean squared difference to features with the style's histogram (Risser et al. 2017)."""

    style: Histograms

    def loss(self, features: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
        """Compute what positions add to it; ``counts`` are those of the whole picture."""
        difference = (features.float() - self.style.matched(features, counts)).square()
        return self.share * (difference * weights).sum() / len(features)


def style_term(
    layer: str, style: Moments, share: float, weights: Tensor, loss: Loss = "wasserstein"
) -> StyleTerm:
    """Return the distance to a style in a layer, relative to the style's own size.

    Parameters
    ----------
    layer : str
    style : Moments
    share : float
    weights : torch.Tensor
        See `Term`.
    loss : {"wasserstein", "gram"}
    """
    if loss == "wasserstein":
        gaussian = Gaussian(style)
        return StyleTerm(layer, share / _size(style), weights, gaussian.distance, gaussian.mean)
    mean = style.mean + style.centre
    about_zero = Moments(
        mean, style.covariance + torch.outer(mean, mean), torch.zeros_like(style.centre)
    )
    share /= max(float(about_zero.second.square().mean()), MIN_SIZE)
    return StyleTerm(layer, share, weights, lambda picture: gram(picture, about_zero), None)


def histogram_term(
    layer: str, style: Moments, counts: Tensor, share: float, weights: Tensor
) -> HistogramTerm:
    """Return the distance to a style's histograms in a layer, relative to the style's own size.

    Parameters
    ----------
    layer, style, share, weights
        As in `style_term`.
    counts : torch.Tensor
        See `Histograms.counts`.
    """
    return HistogramTerm(layer, share / _size(style), weights, Histograms(style, counts))


def content_term(layer: str, content: Tensor, share: float, weights: Tensor) -> ContentTerm:
    """Return the squared difference to the content in a layer, relative to the content's own size.

    Parameters
    ----------
    layer : str
    content : torch.Tensor, shape (channels, y, x)
        What the layer makes of it.
    share, weights
        As in `style_term`.
    """
    size = float((content.float().square().mean(0) * weights).sum())
    return ContentTerm(layer, share / max(size, MIN_SIZE), weights, content)


def _size(style: Moments) -> float:
    """Return the mean square of what a layer makes of a style."""
    mean = style.mean + style.centre
    return max(float((mean.square().sum() + style.covariance.trace()) / len(mean)), MIN_SIZE)


def mixed(styles: Sequence[Moments], shares: Sequence[float]) -> Moments:
    """Return the moments of several pictures beside each other, of areas in such shares."""
    total = sum(shares)
    parts = [(share / total, style) for share, style in zip(shares, styles, strict=True)]
    mean = torch.stack([share * style.mean for share, style in parts]).sum(0)
    second = torch.stack([share * style.second for share, style in parts]).sum(0)
    return Moments(mean, second, styles[0].centre)
