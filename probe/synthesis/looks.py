"""How dreams look: what was chosen by eye for each network, and a few looks of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probe import models
from probe.errors import ProbeError, suggest
from probe.models import Network


@dataclass(frozen=True)
class Look:
    """What decides how a dream looks, besides the network.

    Attributes
    ----------
    layers : str
        With weights, as in `probe.dream`.
    coarsest : int
        Pixels of the shorter side of the first octave, about; so a dream looks the same at every
        size, but for finer detail.
    octaves : int or None
        Their number, if it is not to follow from ``coarsest``.
    scale : float
        From one octave to the next.
    steps : int
        In each octave.
    strength : float
        Mean change of a value in a step, where 255 is white.
    colour : float
        From 0, only the brightness is dreamt, to 1.
    laplacian : bool
        Whether coarse and fine structure is equally strong in the gradient.
    """

    layers: str
    coarsest: int = 88
    octaves: int | None = None
    scale: float = 1.4
    steps: int = 15
    strength: float = 1.5
    colour: float = 1.0
    laplacian: bool = False


PRESETS = ("creatures", "cities", "brushstrokes", "texture", "subtle")
"""The names of the looks; the first is what is dreamt if none is named."""


def _looks(creatures: str, brushstrokes: str, texture: str, cities: str = "") -> dict[str, Look]:
    """Give the looks of a network by its layers."""
    looks = {
        "creatures": Look(creatures),
        "brushstrokes": Look(brushstrokes, steps=12),
        "texture": Look(texture, steps=12),
        "subtle": Look(creatures, steps=8, strength=1.0, colour=0.4),
    }
    return looks | ({"cities": Look(cities, steps=20, strength=2.0)} if cities else {})


LOOKS: dict[str, dict[str, Look]] = {
    "vgg16": _looks("features.22", "features.15", "features.10", cities="features.26"),
    "mobilenet_v2": _looks("features.13", "features.6", "features.10"),
    "squeezenet1_1": _looks("features.11", "features.7", "features.9"),
    "efficientnet_lite0": _looks("features.5.2", "features.3.1", "features.4.2"),
    "alexnet": _looks("features.11", "features.9", "features.7"),
    # Of these no weights come from a package index. Their layers are those of the literature, and
    # were not looked at: Mordvintsev et al. (2015) dream of inception_4c, and of 3b for strokes.
    "googlenet": _looks("inception4c", "inception3b", "inception4a"),
    "resnet50": _looks("layer3", "layer2", "layer2"),
}
"""By architecture and name. In vgg16, units of conv4_3 make animals out of clouds, those of conv5_2
make houses; in the small networks, creatures come from the last layers before the classifier's."""

SEEN = 120
"""Pixels that units see, at most, in the layer that is chosen for other networks."""


def look_of(network: Network, preset: str | None, layers: str | None, needed: bool) -> Look:
    """Give the look of a name, with other layers if some are named.

    Parameters
    ----------
    network : Network
    preset : str, optional
    layers : str, optional
    needed : bool
        Whether its layers are used at all.

    Raises
    ------
    ProbeError
        If there is no such preset, or the network has no layer to dream of.
    """
    name = preset or PRESETS[0]
    known = LOOKS.get(network.architecture or "")
    if name not in (known or PRESETS):
        of = f" for {network.name}" if name in PRESETS else ""
        raise ProbeError(f"preset {preset!r} is unknown{of}{suggest(name, known or PRESETS)}")
    if known is not None:
        return known[name] if layers is None else replace(known[name], layers=layers)
    if preset is not None:
        raise ProbeError(
            f"there are presets for {', '.join(LOOKS)}; of {network.name}, name layers, steps and "
            "strength"
        )
    if layers is None and needed:
        layers = _suitable(network)
    return Look(layers or "")


def _suitable(network: Network) -> str:
    """Choose the deepest layer whose units see no more than `SEEN` pixels."""
    fields = models.measures(network).fields
    found = ""
    for layer in models.default_layers(network):
        field = fields[layer]
        if field is not None and field.jump and (not found or max(field.size) <= SEEN):
            found = layer
    if not found:
        raise ProbeError(f"{network.name} has no layer with positions: name one to dream of")
    return found
