"""Style transfer: the content of one picture in the style of others.

content, styles → pictures at growing sizes → likeness → Adam → moving average → `Stylised`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from torch import nn

from probe import images, models
from probe.errors import ProbeError
from probe.images import Picture
from probe.models import Network
from probe.models.devices import on_device
from probe.output.pictures import Made
from probe.synthesis.optimise import (
    PRECISIONS,
    Precision,
    computes_bfloat16,
)
from probe.synthesis.run import Unfinished, running
from probe.synthesis.style_colours import COLOURS, Colours
from probe.synthesis.style_network import POOLINGS, Pooling
from probe.synthesis.style_objective import LOSSES, Loss
from probe.synthesis.style_run import LEAST_SIDE, Given, Run, is_word

MODEL = "vgg16"

LAYERS: Mapping[str, Mapping[str, float]] = {
    "wasserstein": dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 1.0),
    "gram": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 0.5, "relu5_1": 0.1},
}
"""What the distance to the style counts in each layer, relative to the style's own size there, with
each loss. Deep down, a photograph's Gram matrix may be twenty times off: weighed like the others,
it would spoil their colours and the content alike."""

CONTENT_LAYER = "relu4_2"

STEPS = 100

CHOSEN = (
    "size", "strength", "mix", "loss", "layers", "content_layer", "pooling", "histogram",
    "smoothness", "style_scale", "colours", "tileable", "steps", "tolerance", "precision",
)  # fmt: skip
"""The options that are plain values."""


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
    """Say in one line what a picture is."""
    styles = " and ".join(style["name"] for style in about["styles"])
    content = about["content"]
    return f"{content['name']} in the style of {styles}" if content else f"texture of {styles}"


def style(
    content: Picture | None,
    styles: Picture | Sequence[Picture],
    model: str | Network | nn.Module = MODEL,
    *,
    size: int | None = None,
    strength: float = 1.0,
    mix: Sequence[float] | None = None,
    loss: Loss = "wasserstein",
    layers: Mapping[str, float] | str | None = None,
    content_layer: str = CONTENT_LAYER,
    pooling: Pooling = "max",
    histogram: float = 0.0,
    smoothness: float = 1.0,
    style_scale: float = 1.0,
    colours: Colours = "style",
    masks: Picture | Sequence[Picture] = (),
    style_masks: Picture | Sequence[Picture] = (),
    tileable: bool = False,
    start: str | Picture | None = None,
    steps: int = STEPS,
    tolerance: float = 0.0,
    weights: str = "imagenet",
    seed: int = 0,
    precision: Precision = "auto",
    device: str = "auto",
    threads: int | None = None,
    limit: float = images.LIMIT,
    preview: Callable[[np.ndarray], None] | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Stylised:
    """Make a picture with the content of one picture in the style of others.

    A run that is interrupted is kept: the same call goes on with it.

    Parameters
    ----------
    content : path, bytes, uint8 array (height, width[, 3 or 4]), Pillow image, or None
        None: a texture, with nothing but style.
    styles : picture or sequence of pictures
        What is transparent in them, or in the content, does not count.
    model : str, Network or torch.nn.Module
        Of the VGG family.
    size : int, optional
        Pixels along the longer side; by default the content's, but at most `LONGEST`.
    strength : float
        Of the style beside the content; 2 is twice as much as 1.
    mix : sequence of float, optional
        What each style counts; by default all the same.
    loss : {"wasserstein", "gram"}
        Between what layers make of two styles: the Wasserstein distance of their means and
        covariances, or the squared difference of Gram matrices (Gatys et al. 2016).
    layers : mapping of str to float, or str, optional
        What the style counts in each layer; as a string, ``relu1_1=1,relu3_1=0.5``. By default,
        `LAYERS` of the loss.
    content_layer : str
    pooling : {"max", "average"}
    histogram : float
        What it counts that each value comes as often as in the style, against washed-out results
        (Risser et al. 2017).
    smoothness : float
        Of the total variation.
    style_scale : float
        Of strokes: 0.5 makes them half as wide, 2 twice. At 1, styles are as large as the picture
        is, or as they are, if they are smaller.
    colours : {"style", "keep", "match"}
        Those of the style; those of the content, of which the luminance alone is painted; or of the
        style after its colours were given the content's mean and covariance.
    masks : picture or sequence of pictures
        White where the picture is painted; elsewhere it stays as it is. One for all styles, or one
        for each, which then has a region of its own.
    style_masks : picture or sequence of pictures
        White where a style counts; one for each, or one for all.
    tileable : bool
        Make borders fit when pictures are laid beside each other; sides become multiples of 16.
    start : "content", "noise" or picture, optional
        What is begun with; by default the content, and of textures noise.
    steps : int
        At each size; twice as many at the first.
    tolerance : float
        Go on to the next size when the loss shrinks by less than this share in 32 steps.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    seed : int
        Of noise and random weights.
    precision : {"auto", "float32", "bfloat16"}
        ``auto``: bfloat16 where the processor computes it by itself, and float32 elsewhere.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    threads : int, optional
        As many as torch uses by itself; another number rounds otherwise.
    limit : float
        Megapixels of a picture that is read, at most.
    preview : callable, optional
        Is given the picture, uint8, (height, width, 3), on every ``preview_every``-th step.
    preview_every : int
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Stylised

    Raises
    ------
    ProbeError
        If something that was named does not exist, or does not go together.

    Examples
    --------
    >>> probe.style("cat.jpg", "waves.jpg")  # doctest: +SKIP
    >>> probe.style(None, "moss.jpg", size=512, tileable=True).save("tile.png")  # doctest: +SKIP
    """
    plan = prepare(
        content, styles, model, size=size, strength=strength, mix=mix, loss=loss, layers=layers,
        content_layer=content_layer, pooling=pooling, histogram=histogram, smoothness=smoothness,
        style_scale=style_scale, colours=colours, masks=masks, style_masks=style_masks,
        tileable=tileable, start=start, steps=steps, tolerance=tolerance, weights=weights,
        seed=seed, precision=precision, device=device, threads=threads, limit=limit,
        progress=progress,
    )  # fmt: skip
    return plan.run(preview=preview, preview_every=preview_every, progress=progress)


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that is about to begin; see `prepare`.

    Attributes
    ----------
    given : Given
    network : Network
    settings, seed, device, threads
        As in `style`.
    about : dict
        Everything that decides the result, as plain values.
    """

    given: Given
    network: Network
    settings: Mapping[str, Any]
    seed: int
    device: str
    threads: int
    about: Mapping[str, Any]

    def run(
        self,
        *,
        preview: Callable[[np.ndarray], None] | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> Stylised:
        """Make the picture, from where it was interrupted, if it was."""
        store = Unfinished.of(self.about, self.network)
        assert store is not None  # no target is an object
        with running(
            store, self.network, device=self.device, threads=self.threads, preview=preview,
            preview_every=preview_every, progress=progress,
        ) as session:  # fmt: skip
            run = Run(self.given, self.network, self.settings, self.seed, session.device)
            pixels = run.all(
                session.state, keep=store.keep, stop=session.stop, preview=preview,
                preview_every=preview_every, progress=progress,
            )  # fmt: skip
        return Stylised(
            pixels, self.given.content, title_of(self.about), self.about, tuple(run.history)
        )


def prepare(
    content: Picture | None,
    styles: Picture | Sequence[Picture],
    model: str | Network | nn.Module = MODEL,
    *,
    masks: Picture | Sequence[Picture] = (),
    style_masks: Picture | Sequence[Picture] = (),
    start: str | Picture | None = None,
    weights: str = "imagenet",
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    limit: float = images.LIMIT,
    progress: bool | None = None,
    **chosen: Any,
) -> Plan:
    """Find and check everything that a run takes, which `Plan.run` then makes.

    Parameters
    ----------
    content, styles, model, masks, style_masks, start, weights, seed, device, threads, limit
        As in `style`.
    progress : bool, optional
        Show a bar for weights that are fetched.
    **chosen
        The other options of `style`; by default as there.

    Raises
    ------
    ProbeError
        See `style`.
    """
    defaults = style.__kwdefaults__ or {}
    if unknown := set(chosen) - set(CHOSEN):
        raise TypeError(f"style has no option {', '.join(sorted(unknown))}")
    settings: dict[str, Any] = {
        **{name: chosen.get(name, defaults[name]) for name in CHOSEN},
        "start": start if start is None or is_word(start) else "picture",
        "weights": weights,
        "threads": torch.get_num_threads() if threads is None else threads,
    }
    settings["layers"] = _layers(settings["layers"], settings["loss"])
    settings["mix"] = None if settings["mix"] is None else list(settings["mix"])
    _check(settings, seed)
    model = models.given(model, weights, "resize")
    given = Given.read(content, styles, masks, style_masks, start, limit)
    given.check(settings)
    network = (
        model
        if isinstance(model, Network)
        else models.load(model, weights, seed=seed, progress=progress)
    )
    settings["model"] = network.name
    if settings["precision"] == "auto":
        with on_device(network, device) as (place, _):
            settings["precision"] = "bfloat16" if computes_bfloat16(place) else "float32"
    about = {
        **network.provenance(), "made": "style", "settings": settings, "seed": seed,
        **given.about(),
    }  # fmt: skip
    return Plan(given, network, settings, seed, device, settings["threads"], about)


def _layers(layers: Mapping[str, float] | str | None, loss: Loss) -> dict[str, float]:
    """Read what each layer counts."""
    if layers is None:
        layers = LAYERS.get(loss, {})  # of an unknown loss, `_check` will say so
    if not isinstance(layers, str):
        return {name: float(share) for name, share in layers.items()}
    found = {}
    for part in layers.split(","):
        name, equals, share = part.partition("=")
        try:
            found[name.strip()] = float(share) if equals else 1.0
        except ValueError:
            raise ProbeError(
                f"layers {part.strip()!r} is not LAYER=NUMBER, such as relu3_1=0.5"
            ) from None
    return found


def _check(settings: Mapping[str, Any], seed: int) -> None:
    """Check what can be told without pictures.

    Raises
    ------
    ProbeError
        If a word is unknown, or a number out of its range.
    """
    words = {"loss": LOSSES, "pooling": POOLINGS, "colours": COLOURS, "precision": PRECISIONS}
    for name, known in words.items():
        if settings[name] not in known:
            raise ProbeError(f"{name} {settings[name]!r} is unknown; there is {', '.join(known)}")
    least = {
        "strength": 0,
        "histogram": 0,
        "smoothness": 0,
        "tolerance": 0,
        "steps": 1,
        "size": LEAST_SIDE,
        "threads": 1,
    }
    for name, low in least.items():
        if settings[name] is not None and not low <= settings[name] < inf:
            raise ProbeError(f"{name} {settings[name]} is no number from {low} on")
    if not 0 < settings["style_scale"] < inf:
        raise ProbeError(f"style scale {settings['style_scale']} is no number above 0")
    if seed < 0:
        raise ProbeError(f"seed {seed} is no number from 0 on")
    for name in ("mix", "layers"):
        shares = settings[name]
        shares = list(shares.values()) if isinstance(shares, dict) else shares
        if shares is not None and not (all(0 <= s < inf for s in shares) and sum(shares) > 0):
            raise ProbeError(f"{name} has to be numbers from 0 on, and not all of them 0")
