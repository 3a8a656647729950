"""Presets of dreams: what was chosen by eye for each network, and a few looks of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from probe import models
from probe.errors import ProbeError, nearest
from probe.synthesis.settings import LOOK, PRESETS, DreamSettings

if TYPE_CHECKING:  # the page of the studio reads the looks, and does without torch
    from probe.models import Network

BASE = DreamSettings(scale=1.4, steps=15, strength=1.5, colour=1.0, laplacian=False)
"""What a look has where nothing else is said."""


def _looks(
    creatures: str, brushstrokes: str, texture: str, cities: str = ""
) -> dict[str, DreamSettings]:
    """Return the looks of a network by its layers."""
    looks = {
        "creatures": replace(BASE, layers=creatures),
        "brushstrokes": replace(BASE, layers=brushstrokes, steps=12),
        "texture": replace(BASE, layers=texture, steps=12),
        "subtle": replace(BASE, layers=creatures, steps=8, strength=1.0, colour=0.4),
    }
    return looks | (
        {"cities": replace(BASE, layers=cities, steps=20, strength=2.0)} if cities else {}
    )


LOOKS: dict[str, dict[str, DreamSettings]] = {
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

MAX_FIELD_PX = 120
"""Largest receptive field of units in the layer that is chosen for other networks, in pixels."""


def resolved(settings: DreamSettings, network: Network) -> DreamSettings:
    """Return settings in which nothing of the look is left open.

    Parameters
    ----------
    settings : DreamSettings
        Where layers or a part of the look are None, the preset decides.
    network : Network

    Returns
    -------
    DreamSettings
        ``octaves`` may still be None: they follow from the size of the picture.

    Raises
    ------
    ProbeError
        If there is no such preset, or the network has no layer to dream of.
    """
    look = look_of(network.architecture or "", settings.preset, network.name)
    layers = settings.layers or look.layers
    if layers is None and settings.target is None:
        layers = _suitable(network)
    options = {
        name: getattr(look, name) for name in LOOK if getattr(settings, name) is None
    }  # fmt: skip
    return replace(settings, layers=layers, **options)


def look_of(architecture: str, preset: str | None, network: str) -> DreamSettings:
    """Return what a preset decides for a network.

    Parameters
    ----------
    architecture : str
    preset : str or None
        None is the first of `PRESETS`, where the architecture has any.
    network : str
        What the network is called in an error.

    Raises
    ------
    ProbeError
        If the network has no such preset.
    """
    name = preset or PRESETS[0]
    looks = LOOKS.get(architecture)
    if name not in (looks or PRESETS):
        choices = tuple(looks or PRESETS)
        raise ProbeError(
            f"preset {preset!r}: expected one of {', '.join(choices)}"
            + (f" for {network}" if name in PRESETS else nearest(name, choices))
        )
    if looks is not None:
        return looks[name]
    if preset is not None:
        raise ProbeError(
            f"preset {preset!r}: only {', '.join(LOOKS)} have presets; for {network}, give "
            "layers, steps and strength"
        )
    return BASE


def _suitable(network: Network) -> str:
    """Choose the deepest layer whose units see no more than `MAX_FIELD_PX`."""
    fields = models.measures(network).fields
    deepest = ""
    for layer in models.default_layers(network):
        field = fields[layer]
        if field is not None and field.jump and (not deepest or max(field.size) <= MAX_FIELD_PX):
            deepest = layer
    if not deepest:
        raise ProbeError(f"{network.name} has no layer with positions: name one to dream of")
    return deepest
