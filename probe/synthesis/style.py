"""Style transfer: paint the content of one picture in the style of others.

Let F_l(x) be the features of picture x in layer l of a VGG network. We look for the picture that
minimises the loss

    L(x) = |F_c(x) − F_c(content)|² / |F_c(content)|²                          content
         + strength · Σ_l w_l · D(F_l(x), F_l(style)) / |F_l(style)|²           style
         + histogram · Σ_l |F_l(x) − H_l(x)|² / |F_l(style)|²                   histograms
         + smoothness · TV(x)                                                  total variation

(Gatys, Ecker & Bethge 2016, eq. 7), where c is the content layer, w_l the weight of the style in
layer l, D a distance between styles, H_l(x) F_l(x) after matching the histogram of each feature to
the style's (Risser et al. 2017), and TV the total variation. We depart from Gatys et al. in that

- D is the Wasserstein distance between two Gaussians with the means and covariances of the
  features; ``loss="gram"`` is theirs, the squared difference of Gram matrices;
- each term is divided by the magnitude of its reference, so that one strength suits all styles;
- the picture starts as a small copy of the content, in the style's colours, and grows in steps of
  √2: broad strokes are painted first, and fine ones on top of them (Gatys et al. 2017);
- Adam optimises the pixels instead of L-BFGS, and the result is a moving average over its steps.

`Transfer.paint` is the loop over sizes, `Transfer.objective` the loss. The distances are in
`style_losses`; their gradients, for pictures of any size, in `style_tiles`; the pictures, their
masks and regions in `style_inputs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe import images, models
from probe.errors import ProbeError
from probe.images import Picture
from probe.models import Network
from probe.models.devices import keep_freed_memory, on_device
from probe.output.pictures import Made
from probe.progress import track
from probe.synthesis import style_colours
from probe.synthesis.optimise import ValueAndGradient, as_array, computes_bfloat16, optimise
from probe.synthesis.parameterisations import Parameterisation
from probe.synthesis.run import Preview, Run, Unfinished, running
from probe.synthesis.style_inputs import Region, Source, StyleInputs, StyleTensors, resized
from probe.synthesis.style_losses import (
    HistogramTerm,
    Moments,
    StyleTerm,
    content_term,
    histogram_term,
    mixed,
    style_term,
)
from probe.synthesis.style_network import check_layers, style_network
from probe.synthesis.style_settings import (
    MIN_SIDE_PX,
    Colours,
    Loss,
    Pooling,
    Precision,
    StyleSettings,
)
from probe.synthesis.style_tiles import (
    GRID_PX,
    Likeness,
    check_white,
    content_features,
    likeness_gradient,
    position_weights,
    style_counts,
    style_moments,
)
from probe.synthesis.transforms import generator

STYLE_WEIGHT: Mapping[str, float] = {"wasserstein": 5.0, "gram": 15.0}
"""Weight of the style relative to the content at strength 1, chosen by eye: the style covers the
whole picture, and faces are still recognisable."""

HISTOGRAM_LAYERS = ("relu1_1", "relu4_1")
"""Layers in which histograms are matched (Risser et al. 2017)."""

HISTOGRAM_WEIGHT = 0.2
"""Weight of each layer's histograms relative to the style in all layers, at histogram 1."""

SMOOTHNESS_WEIGHT = 1.0
"""Weight of the total variation at smoothness 1."""

FIRST_SIDE_PX = 128
"""Longer side of the first size."""

DEFAULT_SIDE_PX = 512
"""Longer side of the result: the largest if the content decides, and that of a texture."""

STEP_SIZE, BETAS = 0.02, (0.9, 0.99)
"""Learning rate and decay rates of Adam, for pixels in 0–1."""

ROOTS_PX = 15_000
"""Number of pixels that are as much work as the roots of covariances, which the Wasserstein
distance takes in every step: half the work at 128 pixels, 5 % at 512 (VGG-16, one core)."""

AVERAGED_SHARE = 0.2
"""Share of a size's steps over which its result is averaged."""


@dataclass(frozen=True, eq=False, repr=False)
class Stylised(Made):
    """A picture in another's style, and how it was made: see `probe.output.pictures.Made`.

    Attributes
    ----------
    history : tuple of numpy.ndarray
        The loss at every step of each size.
    """

    history: tuple[np.ndarray, ...]


def title_of(about: Mapping[str, Any]) -> str:
    """Return a caption of one line, from the record of how a picture was made."""
    styles = " and ".join(style["name"] for style in about["styles"])
    content = about["content"]
    return f"{content['name']} in the style of {styles}" if content else f"texture of {styles}"


def style(
    content: Source | None,
    styles: Source | Sequence[Source],
    model: str | Network | nn.Module = "vgg16",
    *,
    size: int | None = None,
    strength: float = 1.0,
    mix: Sequence[float] | None = None,
    loss: Loss = "wasserstein",
    layers: Mapping[str, float] | str | None = None,
    content_layer: str = "relu4_2",
    pooling: Pooling = "max",
    histogram: float = 0.0,
    smoothness: float = 1.0,
    style_scale: float = 1.0,
    colours: Colours = "style",
    masks: Picture | Sequence[Picture] = (),
    style_masks: Picture | Sequence[Picture] = (),
    tileable: bool = False,
    start: str | Source | None = None,
    steps: int = 60,
    tolerance: float = 0.0,
    weights: str = "imagenet",
    seed: int = 0,
    precision: Precision = "auto",
    device: str = "auto",
    threads: int | None = None,
    limit: float = images.LIMIT,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Stylised:
    """Paint the content of one picture in the style of others.

    If a call is interrupted, the same call resumes where it stopped.

    Parameters
    ----------
    content : path, bytes, uint8 array (height, width[, 3 or 4]), Pillow image, or None
        Or what `probe.dream` or this returned. None makes a texture, which has a style and no
        content.
    styles : as content, or a sequence of these
        Transparent pixels of styles and content do not count.
    model : str, Network or torch.nn.Module
        A network of the VGG family.
    size : int, optional
        Pixels along the longer side, at least 32; by default the content's, but at most 512.
    strength : float
        Weight of the style relative to the content, at least 0; 2 is twice as much as 1.
    mix : sequence of float or str, optional
        Weight of each style, at least 0, such as ``2,1``; equal by default.
    loss : {"wasserstein", "gram"}
        Distance between the features of two styles: the Wasserstein distance between Gaussians
        with their means and covariances, or the squared difference of their Gram matrices (Gatys et
        al. 2016).
    layers : mapping of str to float, or str, optional
        Weight of the style in each layer; as a string, ``relu1_1=1,relu3_1=0.5``. By default,
        `probe.synthesis.style_settings.LAYERS` of the loss.
    content_layer : str
        Layer in which the content is compared.
    pooling : {"max", "average"}
        ``average`` gives smoother pictures (Gatys et al. 2016).
    histogram : float
        Weight of matching each feature's histogram to the style's, against washed-out results
        (Risser et al. 2017).
    smoothness : float
        Weight of the total variation.
    style_scale : float
        Width of strokes: 0.5 makes them half as wide, 2 twice as wide. At 1, a style is scaled to
        the size of the picture, but never enlarged.
    colours : {"style", "keep", "match"}
        ``style``: those of the style. ``keep``: those of the content, of which only the luminance
        is painted. ``match``: those of the style after its colours were given the mean and
        covariance of the content's (Gatys et al. 2017).
    masks : picture or sequence of pictures
        White where to paint; elsewhere the picture stays as it is. One mask for all styles, or one
        for each, so that each style has a region of its own.
    style_masks : picture or sequence of pictures
        White on the part of a style to use; one mask for each style, or one for all.
    tileable : bool
        Make opposite borders match, for a pattern without seams; sides become multiples of 16.
    start : "content", "noise" or picture, optional
        Picture to start from; by default the content in the colours of the style, and for a
        texture noise.
    steps : int
        Number of steps of the optimiser at each size; twice as many at the first.
    tolerance : float
        Go on to the next size when 32 steps reduce the loss by less than this share.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of your own has its own weights.
    seed : int
        Seed of noise and random weights.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 where the processor supports it natively, and float32 elsewhere.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    threads : int, optional
        Number of threads, by default torch's own; with another number, rounding differs.
    limit : float
        Largest picture to read, in megapixels.
    preview : callable, optional
        Called with the picture, uint8, (height, width, 3), after every ``preview_every`` steps.
    preview_every : int
        Number of steps between two previews; 0 for none.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Stylised

    Raises
    ------
    ProbeError
        If a value is out of range, a file or layer does not exist, or options cannot be combined.

    See Also
    --------
    probe.dream : Pictures that grow out of a picture.

    Examples
    --------
    >>> probe.style("cat.jpg", "waves.jpg")  # doctest: +SKIP
    >>> probe.style("cat.jpg", probe.dream("waves.jpg"))  # doctest: +SKIP
    >>> probe.style(None, "moss.jpg", size=512, tileable=True).save("tile.png")  # doctest: +SKIP
    """
    plan = prepare(
        content, styles, StyleSettings.of(locals()),
        masks=masks, style_masks=style_masks, limit=limit, progress=progress,
    )  # fmt: skip
    return plan.run(preview=preview, preview_every=preview_every, progress=progress)


def prepare(
    content: Source | None,
    styles: Source | Sequence[Source],
    settings: StyleSettings,
    *,
    masks: Picture | Sequence[Picture] = (),
    style_masks: Picture | Sequence[Picture] = (),
    limit: float = images.LIMIT,
    progress: bool | None = None,
) -> Plan:
    """Read and check everything that a run needs; `Plan.run` then makes the picture.

    Parameters
    ----------
    content, styles, masks, style_masks, limit
        As in `style`.
    settings : StyleSettings
    progress : bool, optional
        Show a progress bar while weights are downloaded.

    Raises
    ------
    ProbeError
        See `style`.
    """
    settings = settings.checked()
    model = models.check_model(settings.model, settings.weights, "resize")
    inputs = StyleInputs.read(content, styles, masks, style_masks, settings.start, limit)
    inputs.check(settings)
    network = models.as_network(model, settings.weights, seed=settings.seed, progress=progress)
    precision = settings.precision
    if precision == "auto":
        with on_device(network, settings.device) as (device, _):
            precision = "bfloat16" if computes_bfloat16(device) else "float32"
    settings = replace(
        settings,
        model=network.name,
        precision=precision,
        start=settings.start if inputs.start is None else "picture",
        threads=settings.threads or torch.get_num_threads(),
    )
    about = {
        **network.provenance(), "made": "style", "settings": settings.to_about(),
        "seed": settings.seed, **inputs.about(),
    }  # fmt: skip
    return Plan(inputs, network, settings, about)


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that is about to begin; see `prepare`.

    Attributes
    ----------
    inputs : StyleInputs
    network : Network
    settings : StyleSettings
    about : dict
        Record of everything that decides the result, as plain values.
    """

    inputs: StyleInputs
    network: Network
    settings: StyleSettings
    about: Mapping[str, Any]

    def run(
        self,
        *,
        preview: Preview | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> Stylised:
        """Make the picture; an interrupted run resumes where it stopped."""
        with running(
            Unfinished.of(self.about, self.network), self.network, device=self.settings.device,
            threads=self.settings.threads, preview=preview, preview_every=preview_every,
            progress=progress,
        ) as run:  # fmt: skip
            transfer = Transfer(self.inputs, self.network, self.settings, run.device)
            pixels = transfer.paint(run)
        return Stylised(
            pixels, self.inputs.content, title_of(self.about), self.about, tuple(transfer.history)
        )


class Transfer:
    """One picture, painted at one size after another.

    Attributes
    ----------
    pictures : StyleTensors
    sizes : list of (int, int)
        Heights and widths; the last is that of the result.
    history : list of numpy.ndarray
        See `Stylised`.
    painted, adam
        After `paint`: the picture, of one channel if colours are kept, and the optimiser's state.
    """

    painted: Tensor
    adam: Mapping[str, Any]

    def __init__(
        self,
        inputs: StyleInputs,
        network: Network,
        settings: StyleSettings,
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        self.history: list[np.ndarray] = []
        # In a tileable picture, convolutions wrap around the borders; in its styles, they never do.
        self.style_network = style_network(network, settings.pooling)
        self.network = (
            style_network(network, settings.pooling, wrap=True)
            if settings.tileable
            else self.style_network
        )
        layers = [*settings.layer_weights]
        layers += [settings.content_layer] if inputs.content else []
        layers += HISTOGRAM_LAYERS if settings.histogram else []
        check_layers(self.style_network, layers)
        self.pictures = StyleTensors(inputs, settings, device)
        self.sizes = sizes_of(self.pictures.content, settings)
        # Kept because they are the same for all frames of a film.
        self._style_terms: dict[tuple[int, int], tuple[list[StyleTerm], list[HistogramTerm]]] = {}

    @keep_freed_memory()  # 1.2 to 1.7 times as fast on two cores
    def paint(self, run: Run) -> np.ndarray:
        """Paint the picture from the smallest size to the largest, and return its pixels.

        Parameters
        ----------
        run : Run
            Its state is that of the size at which a run was interrupted.

        Returns
        -------
        numpy.ndarray, float32, shape (height, width, 3 or 4)

        Raises
        ------
        Stopped
        """
        first = int(run.state.get("stage", 0))
        self.history = [losses.numpy() for losses in run.state.get("history", ())]
        painted = self.start(self.sizes[first])
        adam: Mapping[str, Any] | None = None
        stages = track(
            range(first, len(self.sizes)), desc="style", unit="size", initial=first,
            work=[self.work(k) for k in range(len(self.sizes))],
            progress=run.progress,
        )  # fmt: skip
        for stage in stages:
            size = self.sizes[stage]
            content = self.pictures.content_at(size)
            pixels = self.canvas(painted, content, size, self.steps(stage))
            optimiser = torch.optim.Adam(pixels.parameters[:1], lr=STEP_SIZE, betas=BETAS)
            if adam is not None:
                _carry_over(adam, optimiser, pixels.parameters[0])
            del painted, adam  # half a gigabyte of memory at 4,096 pixels
            history = [torch.from_numpy(losses) for losses in self.history]
            values = optimise(
                pixels,
                self.objective(content, size),
                optimiser,
                self.steps(stage),
                tolerance=self.settings.tolerance,
                desc=f"{size[1]} × {size[0]}",
                loop=run.loop(self.render(content), stage=stage, history=history),
            )
            self.history.append(-values[:, 0].numpy())
            painted = pixels.average()
            adam = optimiser.state[pixels.parameters[0]]
        assert adam is not None, "there is at least one size"
        self.painted, self.adam = painted, adam
        return self._finished(painted, content)

    def steps(self, stage: int) -> int:
        """Return the number of steps at a size: twice as many at the first, which changes most."""
        return int(self.settings.steps) * (2 if stage == 0 else 1)

    def work(self, stage: int) -> float:
        """Return how much work a size is, in pixels times steps, for the time that is left."""
        height, width = self.sizes[stage]
        roots_px = ROOTS_PX if self.settings.loss == "wasserstein" else 0
        return self.steps(stage) * (height * width + roots_px)

    def start(self, size: tuple[int, int]) -> Tensor:
        """Return the picture to start from, (1, 3, height, width)."""
        if self.pictures.start is not None:
            return resized(self.pictures.start, size)
        content = self.pictures.content_at(size)
        # Gatys et al. start from noise. Starting from the content takes fewer steps, and keeps it
        # clear; in the style's colours it takes fewer still, as a step moves a colour little.
        if content is not None and self.settings.start != "noise":
            return self.begun(content)
        # Noise whose colours have the mean and covariance of the first style's.
        mean, covariance = style_colours.mean_and_covariance(
            self.pictures.styles[0], self.pictures.style_masks[0]
        )
        noise = torch.randn(1, 3, *size, generator=generator(self.settings.seed)).to(self.device)
        root = torch.linalg.cholesky(covariance + 1e-6 * torch.eye(3).to(covariance)).to(noise)
        return (torch.einsum("dc,nchw->ndhw", root, noise) + mean.to(noise)[:, None]).clamp(0, 1)

    def begun(self, content: Tensor) -> Tensor:
        """Return what pixels start as that have not been painted: the content, as `start` has it.

        Of a film, also those of later frames that were hidden in the frame before, whatever the
        first frame starts from: as the content is, if that was asked for, else in the colours of
        the style.
        """
        return content if self.settings.start == "content" else self.recoloured(content)

    def recoloured(self, content: Tensor) -> Tensor:
        """Return the content in the colours of each region's styles, where these are painted."""
        if self.settings.colours != "style":
            return content
        size = (content.shape[2], content.shape[3])
        recoloured = content
        for region in self.pictures.regions:
            mask = self.pictures.region_mask(region, size)
            check_white(mask)
            matched = torch.stack([
                weight * style_colours.matched(
                    content, self.pictures.styles[k], mask, self.pictures.style_masks[k]
                )
                for k, weight in zip(region.styles, region.weights, strict=True)
            ]).sum(0) / sum(region.weights)  # fmt: skip
            part = 1 if region.mask is None else resized(region.mask, size)
            recoloured = recoloured + part * (matched - recoloured)
        return recoloured

    def canvas(
        self, painted: Tensor, content: Tensor | None, size: tuple[int, int], steps: int
    ) -> AveragedPixels:
        """Return the pixels to optimise at a size, which start as the result of the size before."""
        start = resized(painted, size)
        base, bounds = content, None
        if self.settings.colours == "keep":
            assert content is not None, "StyleInputs.check refuses to keep colours of no content"
            # Only the luminance is painted (Gatys et al. 2017), within the range that the content's
            # chroma allows.
            bounds = style_colours.luminance_bounds(content)
            base = style_colours.luminance(content)
            start = start if start.shape[1] == 1 else style_colours.luminance(start)
        # In long runs the average spans a hundred steps, 1 / (1 − 0.99); in short ones fewer, as it
        # would otherwise still contain the start.
        decay = max(min(0.99, 1 - 1 / max(AVERAGED_SHARE * steps, 1)), 0.0)
        mask = self.pictures.painted_mask(size)
        return AveragedPixels(start, base, mask, bounds=bounds, decay=decay)

    def objective(self, content: Tensor | None, size: tuple[int, int]) -> ValueAndGradient:
        """Return the function that computes −L and its gradient at one size (L: see the module)."""
        settings = self.settings
        options: dict[str, Any] = {"wrap": settings.tileable, "precision": settings.precision}
        # Content: squared differences as in Gatys et al., but relative to the content's magnitude.
        content_terms = []
        if content is not None:
            if settings.colours == "keep":
                content = style_colours.luminance(content).repeat(1, 3, 1, 1)
            layer, alpha = settings.content_layer, self.pictures.alpha_at(size)
            positions = position_weights(alpha, size, [layer], self.device)[layer]
            features = content_features(self.network, content, layer, **options)
            content_terms = [content_term(layer, features, 1.0, positions)]
        # Style and histograms: these terms are computed once for each size.
        if size not in self._style_terms:
            self._style_terms[size] = self.style_terms(size)
        style_terms, histogram_terms = self._style_terms[size]
        likeness = Likeness(style_terms, content_terms, histogram_terms)
        # The gradient of these terms is computed in tiles if the picture is large. The total
        # variation needs no network.
        objective = likeness_gradient(self.network, likeness, size, **options)
        smoothness = SMOOTHNESS_WEIGHT * settings.smoothness
        return smoothed(objective, smoothness, wrap=settings.tileable)

    def style_terms(self, size: tuple[int, int]) -> tuple[list[StyleTerm], list[HistogramTerm]]:
        """Return the terms of the style in every region and layer, and those of histograms."""
        layer_weights = self.settings.layer_weights
        style_layers = [layer for layer, weight in layer_weights.items() if weight]
        histogram_layers = HISTOGRAM_LAYERS if self.settings.histogram else ()
        layers = list(dict.fromkeys([*style_layers, *histogram_layers]))
        strength = self.settings.strength * STYLE_WEIGHT[self.settings.loss]
        terms, histograms = [], []
        for region in self.pictures.regions:
            mask = self.pictures.region_mask(region, size)
            positions = position_weights(mask, size, layers, self.device)
            moments = self._moments(region, size, layers)
            # A term is a mean over its region: times the area, it changes each pixel as much as a
            # style of the whole picture would.
            area = 1.0 if mask is None else float(mask.mean())
            weight = strength * area * region.pull
            for layer in style_layers:
                share = weight * layer_weights[layer] / sum(layer_weights.values())
                terms.append(
                    style_term(layer, moments[layer], share, positions[layer], self.settings.loss)
                )
            if histogram_layers:
                weight *= HISTOGRAM_WEIGHT * self.settings.histogram
                counts = self._counts(
                    region, size, {layer: moments[layer] for layer in histogram_layers}
                )
                histograms += [
                    histogram_term(layer, moments[layer], counts[layer], weight, positions[layer])
                    for layer in histogram_layers
                ]
        return terms, histograms

    def _moments(
        self, region: Region, size: tuple[int, int], layers: Sequence[str]
    ) -> dict[str, Moments]:
        """Return the mixed moments of a region's styles in each layer."""
        moments_of_styles: list[dict[str, Moments]] = []
        for k in region.styles:
            # Moments can only be mixed if they are about the same centres: the first style's.
            first = moments_of_styles[0] if moments_of_styles else {}
            centres = {layer: first[layer].centre for layer in first}
            style, mask = self.pictures.style_at(k, size)
            moments_of_styles.append(
                style_moments(
                    self.style_network, style, layers, mask, centres,
                    precision=self.settings.precision,
                )
            )  # fmt: skip
        return {
            layer: mixed([moments[layer] for moments in moments_of_styles], region.weights)
            for layer in layers
        }

    def _counts(
        self, region: Region, size: tuple[int, int], moments: Mapping[str, Moments]
    ) -> dict[str, Tensor]:
        """Return the mixed histograms of a region's styles in each layer."""
        total: dict[str, Tensor] = {}
        for k, weight in zip(region.styles, region.weights, strict=True):
            style, mask = self.pictures.style_at(k, size)
            counts = style_counts(
                self.style_network, style, moments, mask, precision=self.settings.precision
            )
            total = {layer: total.get(layer, 0) + weight * counts[layer] for layer in moments}
        return total

    def coloured(self, painted: Tensor, content: Tensor | None) -> Tensor:
        """Return the picture as it is shown: with the content's colours, if these are kept."""
        if self.settings.colours != "keep":
            return painted
        assert content is not None
        return style_colours.with_luminance(content, painted[:, :1])

    def render(self, content: Tensor | None) -> Callable[[Tensor], np.ndarray]:
        """Return the function that draws a preview of the picture while it is optimised."""
        return lambda pictures: as_array(self.coloured(pictures, content)[0])

    def _finished(self, painted: Tensor, content: Tensor | None) -> np.ndarray:
        pixels = self.coloured(painted, content)[0].clamp(0, 1)
        if (alpha := self.pictures.alpha_at((pixels.shape[1], pixels.shape[2]))) is not None:
            pixels = torch.cat([pixels, alpha[None]])
        return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def sizes_of(content: Tensor | None, settings: StyleSettings) -> list[tuple[int, int]]:
    """Return the heights and widths at which to paint, each √2 times the one before.

    Raises
    ------
    ProbeError
        If even the largest is too small for the network.
    """
    if content is None:
        height = width = 1
        longest = settings.size or DEFAULT_SIDE_PX
    else:
        height, width = content.shape[-2:]
        longest = settings.size or min(max(height, width), DEFAULT_SIDE_PX)
    n_smaller = max(int(2 * log2(longest / FIRST_SIDE_PX) + 0.05), 0)
    sizes = []
    for k in range(n_smaller, -1, -1):
        factor = longest / max(height, width) / 2 ** (k / 2)
        sides = [round(side * factor) for side in (height, width)]
        if settings.tileable:
            sides = [max(round(side / GRID_PX), 2) * GRID_PX for side in sides]
        if min(sides) >= MIN_SIDE_PX:
            sizes.append((sides[0], sides[1]))
    if not sizes:
        raise ProbeError(
            f"size {longest}: expected a larger one, as the picture's shorter side then has "
            f"{min(sides)} pixels, and needs {MIN_SIDE_PX}"
        )
    return sizes


class AveragedPixels(Parameterisation):
    """Pixels and their moving average, which lacks the noise of single steps.

    Parameters
    ----------
    start : torch.Tensor, shape (1, 1 or 3, height, width)
        In 0–1; a grey picture if there is one channel.
    base : torch.Tensor, shape as ``start``, optional
        What is shown where ``mask`` is 0.
    mask : torch.Tensor, shape (height, width), optional
    bounds : (torch.Tensor, torch.Tensor), optional
        Smallest and largest allowed value of every pixel; by default 0 and 1.
    decay : float
        Share of the average that remains after each step.
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
        # The average and its number of steps are saved with the pixels, so that a run can resume.
        self.parameters = [pixels, torch.zeros_like(start), start.new_zeros(())]

    def __call__(self) -> Tensor:
        """Return the picture."""
        return self._masked(self.parameters[0]).expand(-1, 3, -1, -1)

    def bound(self) -> None:
        """Clip the pixels, and include them in the average."""
        pixels, average, count = self.parameters
        with torch.no_grad():
            pixels.clamp_(*self.bounds)
            average.mul_(self.decay).add_(pixels, alpha=1 - self.decay)
            count += 1

    def average(self) -> Tensor:
        """Return the average, of the same shape as ``start``."""
        pixels, average, count = (p.detach() for p in self.parameters)
        if not count:
            return self._masked(pixels)
        return self._masked(average / (1 - self.decay ** float(count)))

    def _masked(self, pixels: Tensor) -> Tensor:
        if self.base is None or self.mask is None:
            return pixels
        return self.base + self.mask * (pixels - self.base)


def smoothed(objective: ValueAndGradient, weight: float, *, wrap: bool = False) -> ValueAndGradient:
    """Subtract the total variation, weighted: mean squared differences of neighbouring pixels."""
    if not weight:
        return objective

    def with_penalty(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = objective(pictures, step)
        pixel_weight = weight / pictures.numel()
        for axis in (2, 3):
            n = pictures.shape[axis] - (0 if wrap else 1)
            difference = pictures.roll(-1, axis).narrow(axis, 0, n) - pictures.narrow(axis, 0, n)
            value = value - pixel_weight * difference.square().sum()
            difference *= 2 * pixel_weight
            gradient.narrow(axis, 0, n).add_(difference)
            if wrap:
                gradient -= difference.roll(1, axis)
            else:
                gradient.narrow(axis, 1, n).sub_(difference)
        return value, gradient

    return with_penalty


def _carry_over(state: Mapping[str, Any], optimiser: torch.optim.Adam, pixels: Tensor) -> None:
    """Start the optimiser of a larger picture with the enlarged state of the one before."""
    carried = {"step": state["step"].clone()}
    for name in ("exp_avg", "exp_avg_sq"):
        carried[name] = F.interpolate(
            state[name], pixels.shape[-2:], mode="bilinear", align_corners=False
        )  # fmt: skip
    optimiser.state[pixels] = carried
