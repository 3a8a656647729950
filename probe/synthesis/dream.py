"""DeepDream: a picture in which a network finds more of what it sees in it.

Mordvintsev, Olah & Tyka 2015, "Inceptionism: going deeper into neural networks".

picture → octaves, from small to large → steps uphill on a layer's activity → `Dream`

Only what the dream has added, the *detail*, goes on to the next octave, so that each begins with
the photograph at its own sharpness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from probe import images, models, targets
from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.images import Original, Picture
from probe.models import Network
from probe.models.devices import on_device
from probe.output.pictures import Made
from probe.synthesis.looks import Look, look_of
from probe.synthesis.optimise import (
    PRECISIONS,
    Precision,
    Slopes,
    as_array,
    computes_bfloat16,
    optimise,
)
from probe.synthesis.parameterisations import Pixels
from probe.synthesis.run import Run, Unfinished, on_threads, running
from probe.synthesis.tiles import in_tiles, only_size
from probe.synthesis.transforms import generator
from probe.targets import Norm, Outputs, Sum, Target

DEFAULT_MODEL = "vgg16"
"""Of those whose weights come from a package index, the one that looks best."""

JITTER = 32
"""Pixels by which the picture is rolled in every step, at most (Mordvintsev et al. 2015)."""

SMALLEST = 32
"""Pixels of an octave's shorter side, at least."""

LARGEST = 20_000
"""Pixels of a picture's longer side, at most."""

BALANCED_AT = 224
"""Pixels of the shorter side of the picture on which several terms are weighed."""

LEVELLED = 16
"""Into so many parts the shorter side is cut; what changes more slowly stays the photograph's."""

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are (ITU-R BT.601, as in JPEG files)."""


@dataclass(frozen=True, eq=False)
class Guided(Target):
    """How like the features of a guide a layer's are: the mean product with the most alike.

    At every position, the one of the guide's features counts whose dot product with the picture's
    is largest (Mordvintsev et al. 2015, in their code).

    Attributes
    ----------
    layer : str
    features : torch.Tensor, shape (positions, channels)
        What the layer returned for the guide.
    """

    layer: str
    features: Tensor = field(repr=False)

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """For titles."""
        return f"{self.layer} like the guide"

    def __call__(self, outputs: Outputs) -> Tensor:
        """See `Target.__call__`."""
        seen = targets.by_channel(outputs[self.layer]).flatten(2)
        guide = self.features.to(seen)
        nearest = torch.einsum("pc,ncq->nqp", guide, seen.detach()).argmax(2)
        return torch.einsum("nqc,ncq->n", guide[nearest], seen) / seen.shape[2]


@dataclass(frozen=True, eq=False, repr=False)
class Dream(Made):
    """A dreamt picture, and how it was made: see `probe.output.pictures.Made`."""


def dream(
    image: Picture,
    model: str | Network | torch.nn.Module | None = None,
    layers: str | None = None,
    *,
    target: str | int | Target | None = None,
    preset: str | None = None,
    guide: Picture | None = None,
    mask: Picture | None = None,
    size: int | None = None,
    octaves: int | None = None,
    scale: float | None = None,
    steps: int | None = None,
    strength: float | None = None,
    colour: float | None = None,
    laplacian: bool | None = None,
    tile: int | None = None,
    seed: int = 0,
    weights: str = "imagenet",
    precision: Precision = "auto",
    device: str = "auto",
    preview: Callable[[np.ndarray], None] | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Dream:
    """Have a network dream into a picture.

    What is not named comes from the preset, and what that leaves open was chosen by eye for each
    model; see `probe.synthesis.looks.LOOKS`. A call that is interrupted goes on when it is made
    again, unless the target is an object, of which the name does not tell what it is.

    Parameters
    ----------
    image : path, bytes, uint8 array (height, width[, 3 or 4]), or Pillow image
    model : str, Network or torch.nn.Module, optional
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours. By
        default `DEFAULT_MODEL`, or the network that the target's sites were fitted with.
    layers : str, optional
        One layer or several, with weights: ``features.22, 0.5*features.15``. Shallow layers give
        strokes and textures, deep ones eyes and animals. Of several, each by itself changes the
        picture alike, times its weight.
    target : str, int or Target, optional
        Instead of layers, anything that `probe.targets.parse` reads, such as a channel:
        ``features.22:84``, or a recorded site, ``site:v4:12``, whose field is laid over all of the
        picture; a number is a class, or the response of a V4 neuron. Where that exists for pictures
        of one size alone, as the response does, the picture is dreamt in pieces of that size.
    preset : str, optional
        A look: one of `probe.synthesis.looks.PRESETS`.
    guide : as image, optional
        A picture whose features are to be dreamt, rather than whatever is seen.
    mask : as image, optional
        Where to dream: all of it where the mask is white, nothing where it is black. Of the
        picture's proportions; it is resized.
    size : int, optional
        Longer side of the result, in pixels; by default the picture's own.
    octaves : int, optional
        Sizes at which is dreamt; the largest is the picture's.
    scale : float, optional
        From one octave to the next.
    steps : int, optional
        In each octave.
    strength : float, optional
        Mean change of a value in a step, where 255 is white.
    colour : float, optional
        From 0, the photograph's colours and only the brightness dreamt, to 1, as they come.
    laplacian : bool, optional
        Make coarse and fine structure equally strong in the gradient.
    tile : int, optional
        Side of the tiles in which large pictures are computed, in pixels; by default what takes
        about a gigabyte.
    seed : int
        Of rolls, and of random weights.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    precision : {"auto", "float32", "bfloat16"}
        ``auto``: bfloat16 where the processor computes it by itself.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    preview : callable, optional
        Is given the picture so far, uint8 (height, width, 3), on every ``preview_every``-th step of
        an octave, at the octave's size.
    preview_every : int
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Dream

    Raises
    ------
    ProbeError
        If something that was named does not exist, a picture cannot be read, or the target does not
        react to the picture.

    Examples
    --------
    >>> probe.dream("photo.jpg")  # doctest: +SKIP
    >>> probe.dream("photo.jpg", layers="features.15").save("out.png")  # doctest: +SKIP
    """
    plan = prepare(
        image, model, layers, target=target, preset=preset, guide=guide, mask=mask, size=size,
        octaves=octaves, scale=scale, steps=steps, strength=strength, colour=colour,
        laplacian=laplacian, tile=tile, seed=seed, weights=weights, precision=precision,
        device=device, progress=progress,
    )  # fmt: skip
    return plan.run(preview=preview, preview_every=preview_every, progress=progress)


@dataclass(frozen=True, eq=False)
class Plan:
    """A dream that is about to be dreamt; see `prepare`.

    Attributes
    ----------
    original : Original
        Without its pixels.
    pixels : torch.Tensor, float32, (1, 3, height, width)
        At the size of the result.
    mask : torch.Tensor or None, float32, (1, 1, height, width)
    network : Network
    target : Target
        Balanced, if it has several terms.
    look : Look
    tile, seed, precision, device
        As in `dream`.
    threads : int
        On how many is computed: sums of another number of parts are rounded otherwise.
    about : dict
        Everything that decides the result.
    store : Unfinished or None
        Where an interrupted run is kept; see `Unfinished.of`.
    """

    original: Original
    pixels: Tensor
    mask: Tensor | None
    network: Network
    target: Target
    look: Look
    tile: int | None
    seed: int
    precision: Precision
    device: str
    threads: int
    about: Mapping[str, Any]
    store: Unfinished | None

    def run(
        self,
        *,
        preview: Callable[[np.ndarray], None] | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> Dream:
        """Dream it, from where it was interrupted, if it was."""
        with running(
            self.store, self.network, device=self.device, threads=self.threads, preview=preview,
            preview_every=preview_every, progress=progress,
        ) as run:  # fmt: skip
            pixels = self.pixels.to(run.device)
            mask = None if self.mask is None else self.mask.to(run.device)
            detail = dreamt(
                pixels, self.network, self.target, self.look, run, mask=mask, tile=self.tile,
                seed=self.seed, precision=self.precision,
            )  # fmt: skip
            made = over(pixels, detail, colour=self.look.colour, mask=mask)
            del pixels, detail
        told = self.about["settings"]
        title = f"{told['model']} dreams of {told['target'] or told['layers']}"
        array = made[0].permute(1, 2, 0).cpu().contiguous().numpy()
        return Dream(array, self.original, title, self.about)


def prepare(
    image: Picture,
    model: str | Network | torch.nn.Module | None = None,
    layers: str | None = None,
    *,
    target: str | int | Target | None = None,
    preset: str | None = None,
    guide: Picture | None = None,
    mask: Picture | None = None,
    size: int | None = None,
    tile: int | None = None,
    seed: int = 0,
    weights: str = "imagenet",
    precision: Precision = "auto",
    device: str = "auto",
    threads: int | None = None,
    name: str | None = None,
    progress: bool | None = None,
    **changes: Any,
) -> Plan:
    """Find and check everything that a dream takes, which `Plan.run` then dreams.

    Parameters
    ----------
    image, model, layers, target, preset, guide, mask, size, tile, seed, weights, precision, device
        As in `dream`.
    threads : int, optional
        On how many to compute, to get the same bytes; by default as many as torch has.
    name : str, optional
        How the metadata call the picture; by default, as its file is called.
    progress : bool, optional
        Show a bar for weights that are fetched.
    **changes
        Of the look: ``octaves``, ``scale``, ``steps``, ``strength``, ``colour``, ``laplacian``.

    Raises
    ------
    ProbeError
        See `dream`.
    """
    if target is not None and (layers is not None or guide is not None):
        raise ProbeError(
            f"a target is named, and {'layers' if layers else 'a guide'} too: choose one; a guide "
            "goes with layers"
        )
    if layers is not None and not isinstance(layers, str):
        raise ProbeError(
            f"layers {layers!r}: expected the name of a layer, such as features.22; a class or an "
            "output is named by its number as target"
        )
    if precision not in PRECISIONS:
        raise ProbeError(f"precision {precision!r} is unknown; there is {', '.join(PRECISIONS)}")
    if tile is not None and tile < 64:
        raise ProbeError(f"tiles of {tile} pixels are too small: at least 64")
    if model is None and targets.is_site(target):
        model = targets.home(target, progress=progress)
    else:
        model = models.given(model or DEFAULT_MODEL, weights, "resize")
    picture = images.open_picture(image)
    sides = picture.pixels.shape[:2]
    if size is not None:
        if not SMALLEST <= size <= LARGEST:
            raise ProbeError(f"size {size} is not between {SMALLEST} and {LARGEST} pixels")
        sides = tuple(max(1, round(side * size / max(sides))) for side in sides)
    chosen = {name: value for name, value in changes.items() if value is not None}
    _check(replace(Look(""), **chosen), sides)
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None]
    if sides != picture.pixels.shape[:2]:
        pixels = resized(pixels, sides).clamp(0, 1)
    area, covered = (None, None) if mask is None else _mask(mask, picture, sides)
    other = None if guide is None else images.open_picture(guide)
    network = (
        model
        if isinstance(model, Network)
        else models.load(model, weights, seed=seed, progress=progress)
    )
    named = target
    network, target = targets.alone(network, target)
    look = look_of(network, preset, layers, target is None)
    look = replace(look, **chosen)
    threads = threads or torch.get_num_threads()
    with on_threads(threads), on_device(network, device, channels_last=True) as (place, _):
        if precision == "auto":
            precision = "bfloat16" if computes_bfloat16(place) else "float32"
        wanted = (
            _layers(look.layers, network, other, place)
            if target is None
            else targets.read(target, network).everywhere()
        )
        only = only_size(network, wanted.layers)
        sizes = octaves_of(sides, look, only)
        if only is None:
            models.layers(network, sizes[0])  # raises if the network takes no such picture
        elif any(side < least for side, least in zip(sides, only, strict=True)):
            raise ProbeError(
                f"the picture has {sides[1]} × {sides[0]} pixels, and {wanted.name!r} of "
                f"{network.name} exists for {only[1]} × {only[0]} alone: choose a larger size"
            )
        balance = balanced(network, wanted, pixels.to(place), precision)
    about = {
        **network.provenance(),
        "made": "dream",
        "image": name or _name(image),
        "image_sha256": images.sha256_of(picture),
        **({"site": dict(wanted.facts)} if wanted.facts else {}),
        "settings": {
            "model": network.name,
            "weights": weights,
            "layers": look.layers if target is None else None,
            "target": None if target is None else wanted.name,
            "guide": None if guide is None else _name(guide),
            "guide_sha256": None if other is None else images.sha256_of(other),
            "mask": None if mask is None else _name(mask),
            "mask_sha256": covered,
            "size": size,
            "octaves": len(sizes),
            "scale": look.scale,
            "steps": look.steps,
            "strength": look.strength,
            "colour": look.colour,
            "laplacian": look.laplacian,
            "tile": tile,
            "precision": precision,
            "threads": threads,
        },
        "seed": seed,
    }
    nothing = np.empty((0, 0, 3), np.float32)
    return Plan(
        replace(picture, pixels=nothing), pixels, area, network, balance, look, tile, seed,
        precision, device, threads, about, Unfinished.of(about, network, named),
    )  # fmt: skip


def dreamt(
    pixels: Tensor,
    network: Network,
    target: Target,
    look: Look,
    run: Run,
    *,
    detail: Tensor | None = None,
    mask: Tensor | None = None,
    tile: int | None = None,
    seed: int = 0,
    precision: Precision = "auto",
) -> Tensor:
    """Give what a dream adds to a picture: the detail, which `over` lays over it.

    Parameters
    ----------
    pixels : torch.Tensor, float32, (1, 3, height, width), in [0, 1]
        On the network's device. Is not changed.
    network : Network
    target : Target
        See `balanced`.
    look : Look
        Its ``layers`` and ``colour`` play no role here.
    run : Run
        A state belongs to an octave.
    detail : torch.Tensor, same shape, optional
        To begin with: what another dream has added to a picture like this one, such as the frame
        before. Each octave begins with so much of it as it can hold.
    mask : torch.Tensor, (1, 1, height, width), in [0, 1], optional
        Where to dream.
    tile, seed, precision
        See `in_tiles`.

    Returns
    -------
    torch.Tensor, float32, (1, 3, height, width)

    Raises
    ------
    Stopped
        See `running`.
    ProbeError
        If the target does not react to the picture.
    """
    sizes = octaves_of(pixels.shape[-2:], look, only_size(network, target.layers))
    added: Tensor | None = None  # to what was carried
    first = int(run.state.get("octave", 0))
    for octave, size in enumerate(sizes[first:], first):
        here = resized(pixels, size)
        carried = None if detail is None else resized(detail, size)
        start = torch.zeros_like(here) if added is None else resized(added, size)
        del added
        start += here
        if carried is not None:
            start += carried
        made = Pixels(start.clamp_(0, 1))
        del start
        area = None if mask is None else resized(mask, size).clamp(0, 1)
        (drawn,) = torch.randint(2**31, (1,), generator=generator(seed, octave)).tolist()
        uphill = in_tiles(
            network, target, tile=tile, jitter=min(JITTER, min(size) // 4), seed=drawn,
            precision=precision,
        )  # fmt: skip
        optimise(
            made,
            _normalised(uphill, target, area, look.laplacian),
            torch.optim.SGD(made.parameters, lr=look.strength / 255, foreach=False),
            look.steps,
            **run.loop(lambda pictures: as_array(pictures[0]), octave=octave),
            desc=f"octave {octave + 1} of {len(sizes)}",
        )
        added = levelled(made.parameters[0].detach().sub_(here))
        del made, here
        if carried is not None:
            added -= carried
    assert added is not None  # there is an octave
    return added if detail is None else added.add_(detail)


def over(
    pixels: Tensor, detail: Tensor, *, colour: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    """Lay what was dreamt over a picture.

    Parameters
    ----------
    pixels, detail : torch.Tensor, (1, 3, height, width)
        A picture, in [0, 1], and what `dreamt` gives for it.
    colour : float
        From 0, all chroma is the picture's, to 1, as dreamt.
    mask : torch.Tensor, (1, 1, height, width), in [0, 1], optional
        Where to.

    Returns
    -------
    torch.Tensor, (1, 3, height, width), in [0, 1]
    """
    made = detail.clone() if mask is None else detail * mask
    made += pixels
    made.clamp_(0, 1)
    if colour == 1:
        return made
    weights = torch.tensor(LUMA, device=pixels.device)
    # All of the picture's chroma, and of what is added a part; the brightness gives way where a
    # value would lie outside of [0, 1].
    luma = torch.einsum("nchw,c->nhw", made, weights)[:, None]
    made -= luma
    made *= colour
    made += (1 - colour) * (pixels - torch.einsum("nchw,c->nhw", pixels, weights)[:, None])
    luma = torch.maximum(luma, -made.amin(1, keepdim=True))
    luma = torch.minimum(luma, 1 - made.amax(1, keepdim=True))
    return made.add_(luma).clamp_(0, 1)


def levelled(detail: Tensor) -> Tensor:
    """Take from a detail, in place, what changes slowly over the picture.

    So brightness, contrast and cast of the photograph stay as they are over large areas: without,
    dreams go darker and more of one colour with every step.
    """
    height, width = detail.shape[-2:]
    part = max(2, round(min(height, width) / LEVELLED))
    coarse = resized(detail, (max(2, round(height / part)), max(2, round(width / part))))
    return detail.sub_(resized(coarse, (height, width)))


def octaves_of(
    sides: tuple[int, ...], look: Look, least: tuple[int, int] | None = None
) -> list[tuple[int, int]]:
    """Give the heights and widths at which is dreamt, from the smallest to the picture's own.

    None is smaller than ``least``, height and width, by default `SMALLEST`, but for the picture's.
    """
    short = min(sides)
    wanted = look.octaves
    if wanted is None:
        wanted = 1 + max(0, int(log(short / look.coarsest) / log(look.scale) + 1e-9))
    sizes = [
        (round(sides[0] / look.scale**k), round(sides[1] / look.scale**k)) for k in range(wanted)
    ]
    rows, columns = least or (SMALLEST, SMALLEST)
    fitting = [size for size in reversed(sizes) if size[0] >= rows and size[1] >= columns]
    return fitting or [(sides[0], sides[1])]


def balanced(
    network: Network, target: Target, pixels: Tensor, precision: Precision = "auto"
) -> Target:
    """Weigh the terms of a sum such that each by itself changes a picture alike, times its weight.

    Parameters
    ----------
    network : Network
    target : Target
    pixels : torch.Tensor, (1, 3, height, width)
        The picture on which they are compared; a small copy of it is.
    precision : {"auto", "float32", "bfloat16"}

    Raises
    ------
    ProbeError
        If one of the terms does not react to the picture.
    """
    if not isinstance(target, Sum):
        return target
    sides = pixels.shape[-2:]
    least = only_size(network, target.layers) or (0, 0)
    shrink = min(1.0, max(BALANCED_AT / min(sides), least[0] / sides[0], least[1] / sides[1]))
    small = resized(pixels, tuple(max(1, round(side * shrink)) for side in pixels.shape[-2:]))
    weighed = []
    for weight, term in target.terms:
        _, slope = in_tiles(network, term, precision=precision)(small, 0)
        size = float(slope.abs().mean())
        if not size > 0:
            raise ProbeError(_silent(term))
        weighed.append((weight / size, term))
    return Sum(tuple(weighed))


def _silent(target: Target) -> str:
    return (
        f"target {target.name!r} does not react to this picture: its gradient is zero everywhere; "
        "choose another channel or layer"
    )


def _normalised(slopes: Slopes, target: Target, mask: Tensor | None, laplacian: bool) -> Slopes:
    """Have gradients of mean magnitude 1 where is dreamt, and 0 elsewhere."""

    def normalised(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        values, slope = slopes(pictures, step)
        if laplacian:
            slope = in_bands(slope)
        if mask is not None:
            slope *= mask
        size = sum(float(band.abs().sum()) for band in slope[0]) / slope[0].numel()
        share = 1.0 if mask is None else float(mask.mean())
        if size == 0:
            raise ProbeError(_silent(target))
        return values, slope.mul_(share / size)

    return normalised


def in_bands(slope: Tensor, levels: int = 4) -> Tensor:
    """Divide each band of a gradient's Laplacian pyramid by its root mean square, in place.

    With the kernel [1, 4, 6, 4, 1] / 16 of Burt & Adelson (1983); after Mordvintsev et al. (2016),
    in their code.
    """
    size = slope.shape[-2:]
    if levels > 1 and min(size) >= 8:
        coarse = _halved(slope)
        slope -= resized_linearly(coarse, size)
        slope /= _rms(slope)
        slope += resized_linearly(in_bands(coarse, levels - 1), size)
        return slope
    return slope.div_(_rms(slope))


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt().clamp(min=1e-12)


def _halved(pictures: Tensor) -> Tensor:
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=pictures.device) / 16
    channels = pictures.shape[1]
    across = kernel.expand(channels, 1, 1, 5)
    padded = F.pad(pictures, (2, 2, 0, 0), mode="replicate")
    pictures = F.conv2d(padded, across, stride=(1, 2), groups=channels)
    padded = F.pad(pictures, (0, 0, 2, 2), mode="replicate")
    return F.conv2d(padded, across.mT, stride=(2, 1), groups=channels)


def resized_linearly(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate bilinearly."""
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)


def resized(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate bicubically, without aliases; the same tensor if it has that size."""
    if tuple(pictures.shape[-2:]) == tuple(size):
        return pictures
    smaller = pictures.shape[-2] > size[0] or pictures.shape[-1] > size[1]
    return F.interpolate(pictures, size=size, mode="bicubic", antialias=smaller)


def _check(look: Look, sides: tuple[int, ...]) -> None:
    """Say what makes no sense, before weights are fetched."""
    if look.octaves is not None and look.octaves < 1:
        raise ProbeError(f"{look.octaves} octaves are none: at least 1")
    if look.steps < 1:
        raise ProbeError(f"{look.steps} steps are none: at least 1")
    if not 1 < look.scale <= 4:
        raise ProbeError(f"scale {look.scale:g} is not above 1 and at most 4")
    if not 0 < look.strength <= 64:
        raise ProbeError(f"strength {look.strength:g} is not above 0 and at most 64")
    if not 0 <= look.colour <= 1:
        raise ProbeError(f"colour {look.colour:g} is not between 0 and 1")
    if min(sides) < SMALLEST:
        raise ProbeError(
            f"the picture has {sides[1]} × {sides[0]} pixels; at least {SMALLEST} along each side "
            "are needed: choose a larger size"
        )


def _layers(text: str, network: Network, guide: Original | None, place: torch.device) -> Target:
    """Read layers with weights, separated by commas."""
    terms: list[tuple[float, Target]] = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(?:(-?\d+(?:\.\d+)?)\s*\*\s*)?(.*)", piece)
        assert match is not None  # the pattern takes any string
        found = models.resolve([match[2]], network)
        if len(found) != 1:
            raise ProbeError(f"{match[2]!r} names {len(found)} layers: name them one by one")
        terms.append((float(match[1] or 1), Norm(found[0])))
    if not terms:
        raise ProbeError(f"no layer is named in {text!r}")
    if guide is not None:
        seen = _features(network, [term.name for _, term in terms], guide, place)
        terms = [(weight, Guided(term.name, seen[term.name])) for weight, term in terms]
    return terms[0][1] if len(terms) == 1 else Sum(tuple(terms))


def _features(
    network: Network, layers: list[str], guide: Original, place: torch.device
) -> dict[str, Tensor]:
    """Give what layers return for a guide: (positions, channels), at the network's own size."""
    pixels = torch.from_numpy(guide.pixels).permute(2, 0, 1)[None]
    shrink = max(network.preprocessing.size) / min(pixels.shape[-2:])
    small = resized(pixels, tuple(max(1, round(side * shrink)) for side in pixels.shape[-2:]))
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)
    seen = network.preprocessing.normalise(small.clamp(0, 1)).to(place, dtype)
    found = differentiable(network.module, seen, layers)
    for layer, output in found.items():
        if output.ndim != 4:
            raise ProbeError(f"layer {layer!r} has no positions at which a guide could be followed")
    return {k: v.detach()[0].flatten(1).T.float().contiguous() for k, v in found.items()}


def _mask(mask: Picture, of: Original, sides: tuple[int, ...]) -> tuple[Tensor, str]:
    """Read a mask at the size of the result."""
    given = images.open_picture(mask)
    (height, width), (wanted_height, wanted_width) = given.pixels.shape[:2], of.pixels.shape[:2]
    if abs(height * wanted_width / (width * wanted_height) - 1) > 0.02:
        raise ProbeError(
            f"mask {given.name!r} has {width} × {height} pixels, and the picture {wanted_width} × "
            f"{wanted_height}: it has to have the same proportions"
        )
    weights = torch.tensor(LUMA)
    grey = torch.from_numpy(given.pixels) @ weights
    if not grey.max() > 0:
        raise ProbeError(f"mask {given.name!r} is black: white is where to dream")
    return resized(grey[None, None], sides).clamp(0, 1), images.sha256_of(given)


def _name(source: Picture) -> str:
    return Path(source).name if isinstance(source, (str, Path)) else "image"
