"""A picture that is painted at one size after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from probe import images
from probe.errors import ProbeError
from probe.images import Original, Picture, open_picture
from probe.models import Network
from probe.models.devices import keep_freed_memory
from probe.synthesis import style_colours
from probe.synthesis.optimise import Slopes, as_array, optimise
from probe.synthesis.parameterisations import Parameterisation
from probe.synthesis.style_losses import Moments
from probe.synthesis.style_network import check_layers, style_network
from probe.synthesis.style_objective import (
    GRID,
    HistogramTerm,
    Likeness,
    StyleTerm,
    check_white,
    content_term,
    histogram_term,
    likeness_slopes,
    mixed,
    position_weights,
    style_counts,
    style_moments,
    style_term,
)
from probe.synthesis.transforms import generator

STYLE_SHARE: Mapping[str, float] = {"wasserstein": 5.0, "gram": 15.0}
"""What all layers' style counts beside the content at strength 1: by eye, such that it is on all of
the picture, and faces are faces."""

HISTOGRAM_LAYERS = ("relu1_1", "relu4_1")
"""In which histograms are compared (Risser et al. 2017)."""

HISTOGRAM_SHARE = 0.2
"""What they count in each, beside all layers' style."""

SMOOTHING = 1.0
"""What the total variation counts at smoothness 1."""

SMALLEST = 128
"""Pixels along the longer side, to begin with."""

LONGEST = 512
"""Pixels along the longer side, at most, unless asked for."""

RATE, BETAS = 0.02, (0.9, 0.99)

REMEMBERED = 0.2
"""Share of a size's steps over which its result is averaged."""

STARTS = ("content", "noise")

LEAST_SIDE = 32
"""Pixels of the shorter side, at least: the deepest layer then has two positions."""


def is_word(start: str | Picture | None) -> bool:
    """Tell whether what is begun with is one of `STARTS`, and no picture."""
    return isinstance(start, str) and start in STARTS


@dataclass(frozen=True, eq=False)
class Given:
    """The pictures that a run is made from."""

    content: Original | None
    styles: list[Original]
    masks: list[Original]
    style_masks: list[Original]
    start: Original | None

    @classmethod
    def read(
        cls,
        content: Picture | None,
        styles: Picture | Sequence[Picture],
        masks: Picture | Sequence[Picture],
        style_masks: Picture | Sequence[Picture],
        start: str | Picture | None,
        limit: float,
    ) -> Given:
        """Read them.

        Raises
        ------
        ProbeError
            If one cannot be read.
        """

        def opened(pictures: Any) -> list[Original]:
            several = pictures if isinstance(pictures, (list, tuple)) else [pictures]
            return [open_picture(one, limit=limit) for one in several]

        return cls(
            None if content is None else open_picture(content, limit=limit),
            opened(styles),
            opened(masks),
            opened(style_masks),
            None if start is None or is_word(start) else open_picture(start, limit=limit),
        )

    def check(self, settings: Mapping[str, Any]) -> None:
        """Check that they go together.

        Raises
        ------
        ProbeError
            If not.
        """
        n = len(self.styles)
        if not n:
            raise ProbeError("no style is given")
        if settings["mix"] is not None and len(settings["mix"]) != n:
            raise ProbeError(f"mix has {len(settings['mix'])} numbers for {n} styles")
        for what, masks in (("masks", self.masks), ("style masks", self.style_masks)):
            if len(masks) not in (0, 1, n):
                raise ProbeError(f"there are {len(masks)} {what} for {n} styles: give one, or {n}")
        for one in (self.content, *self.styles):
            if one is not None and one.alpha is not None and not one.alpha.any():
                raise ProbeError(f"{one.name!r} is transparent all over: there is nothing to see")
        if settings["tileable"] and settings["colours"] == "keep":
            raise ProbeError(
                "colours 'keep' are those of the content, whose borders do not fit each other: "
                "tileable takes 'style' or 'match'"
            )
        if self.content is None:
            if settings["colours"] != "style":
                raise ProbeError(
                    f"colours {settings['colours']!r} are those of the content, and a texture has "
                    "none"
                )
            if self.masks or settings["start"] == "content":
                raise ProbeError(
                    "a texture has no content that a mask could keep, or to start from"
                )

    def about(self) -> dict[str, Any]:
        """Tell which they are."""

        def one(original: Original | None) -> dict[str, str] | None:
            if original is None:
                return None
            return {"name": Path(original.name).name, "sha256": images.sha256_of(original)}

        return {
            "content": one(self.content),
            "styles": [one(original) for original in self.styles],
            "masks": [one(original) for original in self.masks],
            "style_masks": [one(original) for original in self.style_masks],
            "begun_with": one(self.start),
        }


class Painted(Parameterisation):
    """Pixels, and their moving average: the picture without the noise of single steps.

    Parameters
    ----------
    start : torch.Tensor, shape (1, 1 or 3, height, width)
        In 0–1; of one channel, a grey picture.
    base : torch.Tensor, shape as ``start``, optional
        What shows where ``mask`` does not.
    mask : torch.Tensor, shape (height, width), optional
    bounds : (torch.Tensor, torch.Tensor), optional
        The least and the largest value of every pixel; by default 0 and 1.
    decay : float
        What is left of the average in each step.
    """

    def __init__(
        self,
        start: Tensor,
        base: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        bounds: tuple[Tensor, Tensor] | None = None,
        decay: float = 0.99,
    ) -> None:
        self.base, self.mask, self.decay = base, mask, decay
        self.bounds = bounds or (start.new_zeros(()), start.new_ones(()))
        pixels = start.detach().clone().requires_grad_()
        # What a stopped run goes on with: the average, and of how many steps.
        self.parameters = [pixels, torch.zeros_like(start), start.new_zeros(())]

    def __call__(self) -> Tensor:
        """Give the picture."""
        return self._shown(self.parameters[0]).expand(-1, 3, -1, -1)

    def bound(self) -> None:
        """Clip, and take the pixels into the average."""
        pixels, average, count = self.parameters
        with torch.no_grad():
            pixels.clamp_(*self.bounds)
            average.mul_(self.decay).add_(pixels, alpha=1 - self.decay)
            count += 1

    def average(self) -> Tensor:
        """Give the average, as ``start``."""
        pixels, average, count = (p.detach() for p in self.parameters)
        if not count:
            return self._shown(pixels)
        return self._shown(average / (1 - self.decay ** float(count)))

    def _shown(self, pixels: Tensor) -> Tensor:
        if self.base is None or self.mask is None:
            return pixels
        return self.base + self.mask * (pixels - self.base)


@dataclass(frozen=True, eq=False)
class _Region:
    """Where in the picture some styles go, how much each counts, and how hard all pull."""

    mask: Tensor | None
    styles: list[int]
    shares: list[float]
    pull: float = 1.0


class Run:
    """One picture, size by size.

    Attributes
    ----------
    content : torch.Tensor or None, shape (1, 3, height, width)
        Another, of the same size, may take its place: the styles stay as they are.
    sizes : list of (int, int)
        Heights and widths; the last is that of the result.
    history : list of numpy.ndarray
        See `Stylised`.
    shown, adam
        After `all`: the picture, of one channel if colours are kept, and what Adam knows of it.
    """

    shown: Tensor
    adam: Mapping[str, Any]

    def __init__(
        self,
        given: Given,
        network: Network,
        settings: Mapping[str, Any],
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.history: list[np.ndarray] = []
        # What is looked at wraps around if the picture has to; the styles never do.
        self.plain = style_network(network, settings["pooling"])
        self.network = (
            style_network(network, settings["pooling"], wrap=True)
            if settings["tileable"]
            else self.plain
        )
        layers = list(settings["layers"])
        layers += [settings["content_layer"]] if given.content else []
        layers += HISTOGRAM_LAYERS if settings["histogram"] else []
        check_layers(self.plain, layers)
        self.layers = [layer for layer, share in settings["layers"].items() if share]
        self.content = self.alpha = None
        if given.content is not None:
            self.alpha = self._alpha(given.content)
            self.content = style_colours.filled(self._tensor(given.content.pixels), self.alpha)
        self.style_masks = [self._style_mask(given, k) for k in range(len(given.styles))]
        self.styles = [
            self._in_colours(style_colours.filled(self._tensor(one.pixels), self._alpha(one)), mask)
            for one, mask in zip(given.styles, self.style_masks, strict=True)
        ]
        self.regions = self._regions(given)
        self.start = None if given.start is None else self._tensor(given.start.pixels)
        self.sizes = self._sizes()
        # A film's frames share them.
        self._terms: dict[tuple[int, int], tuple[list[StyleTerm], list[HistogramTerm]]] = {}

    @keep_freed_memory()  # 1.2 to 1.7 times as fast on two cores
    def all(
        self,
        state: Mapping[str, Any] | None,
        *,
        keep: Callable[[dict[str, Any]], None],
        stop: threading.Event,
        preview: Callable[[np.ndarray], None] | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> np.ndarray:
        """Go through all sizes, on from a state that was kept; give the pixels.

        Raises
        ------
        Stopped
        """
        first, loop = 0, None
        if state:
            first, loop = int(state["stage"]), state["loop"]
            self.history = [one.numpy() for one in state["history"]]
        shown = self._start(self.sizes[first])
        before: Mapping[str, Any] | None = None
        for stage in range(first, len(self.sizes)):
            size = self.sizes[stage]
            content = self.content_at(size)
            made = self.painted(shown, content, size, self.steps(stage))
            optimiser = torch.optim.Adam(made.parameters[:1], lr=RATE, betas=BETAS)
            if before is not None:
                _carry(before, optimiser, made.parameters[0])
            del shown, before  # pictures of half a gigabyte, at 4,096 pixels

            def kept(loop: dict[str, Any], stage: int = stage) -> None:
                history = [torch.from_numpy(one) for one in self.history]
                keep({"stage": stage, "history": history, "loop": loop})

            def seen(pictures: Tensor, content: Tensor | None = content) -> None:
                assert preview is not None
                preview(as_array(self.coloured(pictures, content)[0]))

            values = optimise(
                made,
                self.slopes(content, size),
                optimiser,
                self.steps(stage),
                tolerance=self.settings["tolerance"],
                state=loop,
                keep=kept,
                stop=stop,
                preview=None if preview is None else seen,
                preview_every=preview_every,
                progress=progress,
                desc=f"{size[1]} × {size[0]}",
            )
            loop = None
            self.history.append(-values[:, 0].numpy())
            shown = made.average()
            before = optimiser.state[made.parameters[0]]
        assert before is not None  # there is a size
        self.shown, self.adam = shown, before
        return self._finished(shown, content)

    def _sizes(self) -> list[tuple[int, int]]:
        """Choose the sizes of the picture, height and width, that grow by √2.

        Raises
        ------
        ProbeError
            If even the largest is too narrow for the network.
        """
        wanted = self.settings["size"]
        if self.content is None:
            height = width = 1
            longest = wanted or LONGEST
        else:
            height, width = self.content.shape[-2:]
            longest = wanted or min(max(height, width), LONGEST)
        steps = max(int(2 * log2(longest / SMALLEST) + 0.05), 0)
        sizes = []
        for k in range(steps, -1, -1):
            factor = longest / max(height, width) / 2 ** (k / 2)
            sides = [round(side * factor) for side in (height, width)]
            if self.settings["tileable"]:
                sides = [max(round(side / GRID), 2) * GRID for side in sides]
            if min(sides) >= LEAST_SIDE:
                sizes.append((sides[0], sides[1]))
        if not sizes:
            raise ProbeError(
                f"at size {longest} the picture's shorter side has {min(sides)} pixels, and needs "
                f"{LEAST_SIDE}: choose a larger size"
            )
        return sizes

    def steps(self, stage: int) -> int:
        """Give how many steps a size takes."""
        return int(self.settings["steps"]) * (2 if stage == 0 else 1)

    def _tensor(self, pixels: np.ndarray) -> Tensor:
        """Give pixels as (1, 3, height, width), or a mask as (height, width)."""
        made = torch.from_numpy(np.ascontiguousarray(pixels)).float().to(self.device)
        return made if made.ndim == 2 else made.permute(2, 0, 1)[None].contiguous()

    def _alpha(self, picture: Original) -> Tensor | None:
        return None if picture.alpha is None else self._tensor(picture.alpha)

    def _in_colours(self, style: Tensor, mask: Tensor | None) -> Tensor:
        if self.content is None or self.settings["colours"] == "style":
            return style
        if self.settings["colours"] == "match":
            return style_colours.matched(style, self.content, mask, self.alpha)
        return style_colours.grey_like(style, self.content, mask, self.alpha).repeat(1, 3, 1, 1)

    def _style_mask(self, given: Given, k: int) -> Tensor | None:
        masks = []
        if given.style_masks:
            masks.append(self._mask(given.style_masks[k if len(given.style_masks) > 1 else 0]))
        if (alpha := self._alpha(given.styles[k])) is not None:
            masks.append(alpha)
        size = given.styles[k].pixels.shape[:2]
        mask = _product([_resized(mask, size) for mask in masks])
        check_white(mask)
        return mask

    def _mask(self, given: Original) -> Tensor:
        """Give a mask; where it is transparent, it is black."""
        mask, alpha = style_colours.luminance(self._tensor(given.pixels))[0, 0], self._alpha(given)
        return mask if alpha is None else mask * alpha

    def _regions(self, given: Given) -> list[_Region]:
        n = len(self.styles)
        shares = self.settings["mix"] or [1.0] * n
        shares = [share * n / sum(shares) for share in shares]
        masks = [self._mask(mask) for mask in given.masks]
        used = [k for k in range(n) if shares[k]]
        if len(masks) > 1:
            return [_Region(masks[k], [k], [1.0], shares[k]) for k in used]
        return [_Region(masks[0] if masks else None, used, [shares[k] for k in used])]

    def content_at(self, size: tuple[int, int]) -> Tensor | None:
        """Give the content, if there is one."""
        return None if self.content is None else _resized(self.content, size)

    def _start(self, size: tuple[int, int]) -> Tensor:
        """Give what is begun with."""
        if self.start is not None:
            return _resized(self.start, size)
        content = self.content_at(size)
        if content is not None and self.settings["start"] != "noise":
            return content
        # Noise in the colours of the first style.
        mean, spread = style_colours.mean_and_covariance(self.styles[0], self.style_masks[0])
        noise = torch.randn(1, 3, *size, generator=generator(self.seed)).to(self.device)
        root = torch.linalg.cholesky(spread + 1e-6 * torch.eye(3).to(spread)).to(noise)
        return (torch.einsum("dc,nchw->ndhw", root, noise) + mean.to(noise)[:, None]).clamp(0, 1)

    def painted(
        self, shown: Tensor, content: Tensor | None, size: tuple[int, int], steps: int
    ) -> Painted:
        """Begin a size with what the one before gave."""
        start = _resized(shown, size)
        base, bounds = content, None
        if self.settings["colours"] == "keep":
            assert content is not None  # `Given.check` saw to it
            bounds = style_colours.luminance_bounds(content)
            base = style_colours.luminance(content)
            start = start if start.shape[1] == 1 else style_colours.luminance(start)
        masks = [region.mask for region in self.regions if region.mask is not None]
        painted = None
        if masks:
            painted = torch.stack([_resized(mask, size) for mask in masks]).amax(0)
        # Long runs remember a hundred steps (1 − 1/0.99), short ones fewer: else the average would
        # still hold what they began with.
        decay = min(0.99, 1 - 1 / max(REMEMBERED * steps, 1))
        return Painted(start, base, painted, bounds=bounds, decay=max(decay, 0.0))

    def coloured(self, shown: Tensor, content: Tensor | None) -> Tensor:
        """Give a picture its colours back."""
        if self.settings["colours"] != "keep":
            return shown
        assert content is not None
        return style_colours.with_luminance(content, shown[:, :1])

    def _finished(self, shown: Tensor, content: Tensor | None) -> np.ndarray:
        pixels = self.coloured(shown, content)[0].clamp(0, 1)
        if self.alpha is not None:
            pixels = torch.cat([pixels, _resized(self.alpha, pixels.shape[-2:])[None]])
        return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())

    def slopes(self, content: Tensor | None, size: tuple[int, int]) -> Slopes:
        """Give the gradient of the objective at one size."""
        precision = self.settings["precision"]
        contents = []
        if content is not None:
            given = content
            if self.settings["colours"] == "keep":
                given = style_colours.luminance(content).repeat(1, 3, 1, 1)
            seen = None if self.alpha is None else _resized(self.alpha, size)
            contents = [
                content_term(
                    self.network, given, self.settings["content_layer"], 1.0, seen,
                    wrap=self.settings["tileable"], precision=precision,
                )
            ]  # fmt: skip
        if size not in self._terms:
            self._terms[size] = self._style_terms(size)
        styles, histograms = self._terms[size]
        likeness = Likeness(styles, contents, histograms)
        slopes = likeness_slopes(
            self.network, likeness, size, wrap=self.settings["tileable"], precision=precision
        )
        weight = SMOOTHING * self.settings["smoothness"]
        return smoothed(slopes, weight, wrap=self.settings["tileable"])

    def _style_terms(self, size: tuple[int, int]) -> tuple[list[StyleTerm], list[HistogramTerm]]:
        shares = self.settings["layers"]
        evened = HISTOGRAM_LAYERS if self.settings["histogram"] else ()
        layers = list(dict.fromkeys([*self.layers, *evened]))
        whole = self.settings["strength"] * STYLE_SHARE[self.settings["loss"]]
        alpha = None if self.alpha is None else _resized(self.alpha, size)
        terms, histograms = [], []
        for region in self.regions:
            mask = None if region.mask is None else _resized(region.mask, size)
            mask = _product([m for m in (mask, alpha) if m is not None])
            area = 1.0 if mask is None else float(mask.mean())
            wanted = self._moments(region, size, layers)
            weights = position_weights(mask, size, layers, self.device)
            # A region pulls at each of its pixels as hard as the whole would.
            pull = whole * area * region.pull
            for layer in self.layers:
                share = pull * shares[layer] / sum(shares.values())
                terms.append(
                    style_term(layer, wanted[layer], share, weights[layer], self.settings["loss"])
                )
            if evened:
                pull *= HISTOGRAM_SHARE * self.settings["histogram"]
                counts = self._counts(region, size, {layer: wanted[layer] for layer in evened})
                histograms += [
                    histogram_term(layer, wanted[layer], counts[layer], pull, weights[layer])
                    for layer in evened
                ]
        return terms, histograms

    def _moments(
        self, region: _Region, size: tuple[int, int], layers: Sequence[str]
    ) -> dict[str, Moments]:
        """Give the moments of a region's styles."""
        found: list[dict[str, Moments]] = []
        for k in region.styles:
            centres = {layer: one.centre for layer, one in found[0].items()} if found else None
            style, mask = self._style_at(k, size)
            found.append(
                style_moments(
                    self.plain, style, layers, mask, centres, precision=self.settings["precision"]
                )
            )
        return {layer: mixed([one[layer] for one in found], region.shares) for layer in layers}

    def _counts(
        self, region: _Region, size: tuple[int, int], wanted: Mapping[str, Moments]
    ) -> dict[str, Tensor]:
        """Give the histograms of a region's styles."""
        summed: dict[str, Tensor] = {}
        for k, share in zip(region.styles, region.shares, strict=True):
            style, mask = self._style_at(k, size)
            found = style_counts(
                self.plain, style, wanted, mask, precision=self.settings["precision"]
            )
            summed = {layer: summed.get(layer, 0) + share * found[layer] for layer in wanted}
        return summed

    def _style_at(self, k: int, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Give a style and its mask, as large as the picture is."""
        style, mask = self.styles[k], self.style_masks[k]
        shape = style.shape[-2:]
        factor = min(max(size) / max(shape), 1) * self.settings["style_scale"]
        factor = max(factor, LEAST_SIDE / min(shape))
        sides = [round(side * factor) for side in shape]
        return _resized(style, sides), None if mask is None else _resized(mask, sides)


def smoothed(slopes: Slopes, weight: float, *, wrap: bool = False) -> Slopes:
    """Subtract the total variation: the mean square of what neighbouring pixels differ by."""
    if not weight:
        return slopes

    def both(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, slope = slopes(pictures, step)
        pull = weight / pictures.numel()
        for axis in (2, 3):
            first, second = pictures, pictures.roll(-1, axis)
            if not wrap:
                first, second = (
                    one.narrow(axis, 0, one.shape[axis] - 1) for one in (first, second)
                )
            apart = second - first
            value = value - pull * apart.square().sum()
            apart *= 2 * pull
            slope.narrow(axis, 0, apart.shape[axis]).add_(apart)
            if wrap:
                slope -= apart.roll(1, axis)
            else:
                slope.narrow(axis, 1, apart.shape[axis]).sub_(apart)
        return value, slope

    return both


def _resized(picture: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a picture, (1, channels, height, width), or a mask, (height, width), within 0–1."""
    if picture.ndim == 2:
        return _resized(picture[None, None], size)[0, 0]
    if picture.shape[-2:] == tuple(size):
        return picture
    made = F.interpolate(picture, list(size), mode="bicubic", align_corners=False, antialias=True)
    return made.clamp(0, 1)


def _product(masks: Sequence[Tensor]) -> Tensor | None:
    return torch.stack(list(masks)).prod(0) if masks else None


def _carry(state: Mapping[str, Any], optimiser: torch.optim.Adam, pixels: Tensor) -> None:
    """Hand what Adam knows of a picture on to a larger one."""
    carried = {"step": state["step"].clone()}
    for name in ("exp_avg", "exp_avg_sq"):
        carried[name] = F.interpolate(
            state[name], pixels.shape[-2:], mode="bilinear", align_corners=False
        )  # fmt: skip
    optimiser.state[pixels] = carried
