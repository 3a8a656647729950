"""DeepDream: a picture in which a network finds more of what it sees in it.

Here a dream is prepared and recorded; the algorithm is in `probe.synthesis.deepdream`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probe import images, models, targets
from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.images import Original, Picture
from probe.models import Network
from probe.models.devices import on_device
from probe.output.pictures import Made
from probe.synthesis.deepdream import (
    LUMA,
    balance_terms,
    blend,
    dream_detail,
    octave_sizes,
    resize,
)
from probe.synthesis.objectives import Guided
from probe.synthesis.optimise import resolve_precision
from probe.synthesis.presets import resolved
from probe.synthesis.run import Preview, Unfinished, on_threads, running
from probe.synthesis.settings import (
    DEFAULT_MODEL,
    MIN_OCTAVE_SIDE_PX,
    DreamSettings,
    Precision,
)
from probe.synthesis.tiles import min_side_px, only_size, runs_on
from probe.targets import Norm, Sum, Target


@dataclass(frozen=True, eq=False, repr=False)
class Dream(Made):
    """A dreamt picture, and how it was made: see `probe.output.pictures.Made`."""


def dream(
    image: Picture,
    model: str | Network | nn.Module | None = None,
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
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Dream:
    """Dream into a picture with a network.

    What is not named comes from the preset, and what that leaves open was chosen by eye for each
    model; see `probe.synthesis.presets.LOOKS`. A call that is interrupted goes on when it is made
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
        A look: one of `probe.synthesis.settings.PRESETS`, of which every network has some. Of
        VGG-16: ``creatures``, ``cities``, ``eyes``, ``brushstrokes``, ``stripes``, ``mosaic``,
        ``subtle``.
    guide : as image, optional
        A picture whose features are to be dreamt, rather than whatever is seen.
    mask : as image, optional
        Where to dream: all of it where the mask is white, nothing where it is black. Of the
        picture's proportions; it is resized.
    size : int, optional
        Longer side of the result, in pixels; by default the picture's own.
    octaves : int, optional
        Number of sizes at which to dream; the largest is the picture's.
    scale : float, optional
        Ratio of one octave's size to the one before.
    steps : int, optional
        Number of steps in each octave.
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
        Seed of rolls, and of random weights.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    precision : {"auto", "float32", "bfloat16"}
        ``auto``: bfloat16 where the processor computes it by itself.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    preview : callable, optional
        Takes the picture so far, uint8 (height, width, 3), on every ``preview_every``-th step of
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

    See Also
    --------
    visualize : From noise rather than from a photograph.
    style : Another picture's textures rather than a network's features.
    probe.synthesis.dream_film, probe.synthesis.dream_zoom : Films.

    Examples
    --------
    >>> import numpy as np
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    >>> picture = probe.dream(photo, network, "1", octaves=1, steps=2)
    >>> picture.pixels.shape, picture.about["settings"]["layers"]
    ((64, 96, 3), '1')
    >>> probe.dream("photo.jpg", layers="features.15").save("out.png")  # doctest: +SKIP
    >>> probe.dream("photo.jpg", target="site:v4:12")  # doctest: +SKIP
    """
    plan = prepare(image, DreamSettings.of(locals()), progress=progress)
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
    settings : DreamSettings
        Resolved: nothing that decides the result is left open.
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
    settings: DreamSettings
    about: Mapping[str, Any]
    store: Unfinished | None

    def run(
        self,
        *,
        preview: Preview | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> Dream:
        """Dream it, from where it was interrupted, if it was."""
        with running(
            self.store, self.network, device=self.settings.device, threads=self.settings.threads,
            preview=preview, preview_every=preview_every, progress=progress,
        ) as run:  # fmt: skip
            pixels = self.pixels.to(run.device)
            mask = None if self.mask is None else self.mask.to(run.device)
            detail = dream_detail(pixels, self.network, self.target, self.settings, run, mask=mask)
            picture = blend(pixels, detail, colour=self.settings.colour or 0.0, mask=mask)
            del pixels, detail
        record = self.about["settings"]
        title = f"{record['model']} dreams of {record['target'] or record['layers']}"
        array = picture[0].permute(1, 2, 0).cpu().contiguous().numpy()
        return Dream(array, self.original, title, self.about)


def prepare(
    image: Picture,
    settings: DreamSettings,
    *,
    name: str | None = None,
    progress: bool | None = None,
) -> Plan:
    """Find and check everything that a dream takes, which `Plan.run` then dreams.

    Parameters
    ----------
    image : picture
        As in `dream`.
    settings : DreamSettings
    name : str, optional
        How the record calls the picture; by default, as its file is called.
    progress : bool, optional
        Show a bar for weights that are downloaded.

    Raises
    ------
    ProbeError
        See `dream`.
    """
    _check_dreamt(settings)
    settings.checked()
    target = settings.target
    if settings.model is None and targets.is_site(target):
        model: str | Network = targets.home(target, progress=progress)
    else:
        model = models.check_model(settings.model or DEFAULT_MODEL, settings.weights, "resize")
    picture = images.open_picture(image)
    sides = _sides(picture, settings.size)
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None]
    if sides != picture.pixels.shape[:2]:
        pixels = resize(pixels, sides).clamp(0, 1)
    mask, mask_sha256 = (
        (None, None) if settings.mask is None else _read_mask(settings.mask, picture, sides)
    )
    guide = None if settings.guide is None else images.open_picture(settings.guide)
    network = models.as_network(model, settings.weights, seed=settings.seed, progress=progress)
    network, target = targets.alone(network, target)
    settings = replace(
        resolved(settings, network), threads=settings.threads or torch.get_num_threads()
    )
    target = settings.target if target is None else target  # a preset's
    at_work = on_device(network, settings.device, channels_last=True)
    with on_threads(settings.threads), at_work as (device, _):
        settings = replace(settings, precision=resolve_precision(settings.precision, device))
        dreamt = (
            _read_layers(settings.layers or "", network, guide, device)
            if target is None
            else targets.read(target, network).everywhere()
        )
        only = only_size(network, dreamt.layers)
        sizes = octave_sizes(sides, settings, only)
        if only is None:
            sizes = _sizes_that_run(picture, sizes, settings, network, dreamt)
        elif sides[0] < only[0] or sides[1] < only[1]:
            raise ProbeError(
                f"the picture has {sides[1]} × {sides[0]} pixels, and {dreamt.name!r} of "
                f"{network.name} exists for {only[1]} × {only[0]} alone: choose a larger size=… "
                "(--size)"
            )
        settings = replace(settings, octaves=len(sizes))
        balanced = balance_terms(network, dreamt, pixels.to(device), settings.precision)
    record = replace(
        settings,
        model=network.name,
        layers=settings.layers if target is None else None,
        target=None if target is None else dreamt.name,
        guide=None if guide is None else _name(settings.guide),
        mask=None if mask is None else _name(settings.mask),
    )
    sha256 = {
        "guide": None if guide is None else images.sha256_of(guide),
        "mask": mask_sha256,
    }
    about = {
        **network.provenance(),
        "made": "dream",
        "image": name or _name(image),
        "image_sha256": images.sha256_of(picture),
        **({"site": dict(dreamt.facts)} if dreamt.facts else {}),
        "settings": _with_hashes(record.to_about(), sha256),
        "seed": settings.seed,
    }
    nothing = np.empty((0, 0, 3), np.float32)
    return Plan(
        replace(picture, pixels=nothing), pixels, mask, network, balanced, settings, about,
        Unfinished.of(about, network, settings.target),
    )  # fmt: skip


def _check_dreamt(settings: DreamSettings) -> None:
    """Check that it is clear what to dream of: layers, like a guide or not, or a target."""
    layers = settings.layers
    if settings.target is not None and (layers is not None or settings.guide is not None):
        raise ProbeError(
            f"{'layers' if layers else 'a guide'} cannot be combined with a target: choose one; a "
            "guide needs layers"
        )
    if layers is not None and not isinstance(layers, str):
        raise ProbeError(
            f"layers {layers!r}: expected the name of a layer, such as features.22; a class or an "
            "output is named by its number as target"
        )


def _sides(picture: Original, size: int | None) -> tuple[int, int]:
    """Return the height and width of the result, in pixels."""
    height, width = picture.pixels.shape[:2]
    if size is not None:
        longest = max(height, width)
        height, width = (max(1, round(side * size / longest)) for side in (height, width))
    if min(height, width) < MIN_OCTAVE_SIDE_PX:
        raise ProbeError(
            f"the picture has {width} × {height} pixels; at least {MIN_OCTAVE_SIDE_PX} along each "
            "side are needed: choose a larger size=… (--size)"
        )
    return height, width


def _sizes_that_run(
    picture: Original,
    sizes: list[tuple[int, int]],
    settings: DreamSettings,
    network: Network,
    target: Target,
) -> list[tuple[int, int]]:
    """Return the heights and widths of the octaves; by default none is too small for the target.

    Raises
    ------
    ProbeError
        If an octave that was asked for is too small, or the picture itself.
    """
    if runs_on(network, target.layers, sizes[0]):
        return sizes
    min_side = min_side_px(network, target.layers)
    if min_side is None:
        models.layers(network, sizes[0])  # raises, and says why the network takes no such picture
        return sizes
    fitting = octave_sizes(sizes[-1], settings, (min_side, min_side))
    fits = min(sizes[-1]) >= min_side
    if fits and settings.octaves is None:
        return fitting
    n, scale = (settings.octaves or 1), settings.scale
    assert scale is not None, "settings are resolved"
    (height, width), sides = sizes[0], picture.pixels.shape[:2]
    size = ceil(min_side * scale ** (n - 1) * max(sides) / min(sides))
    what = f"the smallest of {n} octaves" if fits else "the picture"
    fewer = f", or --octaves {len(fitting)}" if fits else ""
    raise ProbeError(
        f"{what} has {width} × {height} pixels, and {target.name!r} of {network.name} needs at "
        f"least {min_side} along each side: choose --size {size} or more{fewer}"
    )


def _with_hashes(values: Mapping[str, Any], sha256: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the record of settings, each picture in it followed by the hash of its content."""
    record: dict[str, Any] = {}
    for name, value in values.items():
        record[name] = value
        if name in sha256:
            record[f"{name}_sha256"] = sha256[name]
    return record


def _read_layers(
    text: str, network: Network, guide: Original | None, device: torch.device
) -> Target:
    """Read layers with weights, separated by commas."""
    terms: list[tuple[float, Target]] = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(?:(-?\d+(?:\.\d+)?)\s*\*\s*)?(.*)", piece)
        assert match is not None  # the pattern takes any string
        names = models.resolve([match[2]], network)
        if len(names) != 1:
            raise ProbeError(f"{match[2]!r} stands for {len(names)} layers: name them one by one")
        terms.append((float(match[1] or 1), Norm(names[0])))
    if not terms:
        raise ProbeError(f"no layer is named in {text!r}")
    if guide is not None:
        features = _features(network, [term.name for _, term in terms], guide, device)
        terms = [(weight, Guided(term.name, features[term.name])) for weight, term in terms]
    return terms[0][1] if len(terms) == 1 else Sum(tuple(terms))


def _features(
    network: Network, layers: list[str], guide: Original, device: torch.device
) -> dict[str, Tensor]:
    """Compute what layers return for a guide: (positions, channels), at the network's own size."""
    pixels = torch.from_numpy(guide.pixels).permute(2, 0, 1)[None]
    shrink = max(network.preprocessing.size) / min(pixels.shape[-2:])
    small = resize(pixels, tuple(max(1, round(side * shrink)) for side in pixels.shape[-2:]))
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)
    inputs = network.preprocessing.normalise(small.clamp(0, 1)).to(device, dtype)
    outputs = differentiable(network.module, inputs, layers)
    for layer, output in outputs.items():
        if output.ndim != 4:
            raise ProbeError(f"layer {layer!r} has no positions at which a guide could be followed")
    return {k: v.detach()[0].flatten(1).T.float().contiguous() for k, v in outputs.items()}


def _read_mask(mask: Picture, photo: Original, sides: tuple[int, ...]) -> tuple[Tensor, str]:
    """Read a mask at the size of the result."""
    picture = images.open_picture(mask)
    (height, width), (rows, columns) = picture.pixels.shape[:2], photo.pixels.shape[:2]
    if abs(height * columns / (width * rows) - 1) > 0.02:
        raise ProbeError(
            f"mask {picture.name!r} has {width} × {height} pixels, and the picture {columns} × "
            f"{rows}: expected the same proportions"
        )
    weights = torch.tensor(LUMA)
    grey = torch.from_numpy(picture.pixels) @ weights
    if not grey.max() > 0:
        raise ProbeError(f"mask {picture.name!r} is black all over: expected white where to dream")
    return resize(grey[None, None], sides).clamp(0, 1), images.sha256_of(picture)


def _name(source: Picture) -> str:
    return Path(source).name if isinstance(source, (str, Path)) else "image"
