"""Presets of dreams: what was chosen by eye for each network, and a few looks of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from probe import models
from probe.errors import ProbeError, nearest
from probe.synthesis.settings import LOOK, PRESETS, DreamSettings

if TYPE_CHECKING:  # the page of the studio reads the looks, and does without torch
    from probe.models import Network

BASE = DreamSettings(scale=1.4, steps=15, strength=1.5, colour=1.0, laplacian=False)
"""What a look has where nothing else is said."""


def _layer(layers: str, **options: Any) -> DreamSettings:
    return replace(BASE, layers=layers, **options)


def _subtle(layers: str) -> DreamSettings:
    return _layer(layers, steps=8, strength=1.0, colour=0.4)


LOOKS: dict[str, dict[str, DreamSettings]] = {
    "vgg16": {
        "creatures": _layer("features.22"),  # conv4_3
        "cities": replace(
            BASE, steps=12, strength=2.5,
            target="features.24:271 + features.24:392 + features.24:283",
        ),
        "eyes": _layer("features.17", steps=12),
        "brushstrokes": _layer("features.8", steps=10, colour=0.6),
        "stripes": _layer("features.12", steps=12),
        "mosaic": _layer("features.10", steps=12),
        "subtle": _subtle("features.22"),
    },
    "mobilenet_v2": {
        "creatures": _layer("features.13"),
        "stripes": _layer("features.6", steps=12),
        "patterns": _layer("features.10", steps=12),
        "subtle": _subtle("features.13"),
    },
    "efficientnet_lite0": {
        "patterns": _layer("features.5.2"),
        "stripes": _layer("features.3.1", steps=12),
        "subtle": _subtle("features.5.2"),
    },
    "squeezenet1_1": {
        "eyes": _layer("features.11"),
        "swirls": _layer("features.7", steps=12),
        "subtle": _subtle("features.11"),
    },
    "alexnet": {
        "creatures": _layer("features.11"),
        "eyes": _layer("features.7", steps=12),
        "subtle": _subtle("features.11"),
    },
    # Of these no weights come from a package index, and what they make was not looked at: it is
    # what Mordvintsev et al. (2015) say of their layers.
    "googlenet": {
        "creatures": _layer("inception4c"),
        "brushstrokes": _layer("inception3b", steps=12),
        "subtle": _subtle("inception4c"),
    },
}  # fmt: skip
"""By architecture and name; the first is dreamt if none is named. Each is called by what it shows:
those of vgg16 in photographs of 600 pixels (stripes: of 300), those of the others in one of 400.
The channels of cities are the three of conv5_1 that best tell the 30 photographs that
EfficientNet-Lite0 takes for buildings from the rest of 1,840 natural ones (Cowley et al. 2023)."""

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
    layers, target = settings.layers, settings.target
    if layers is None and target is None:
        if settings.guide is None:
            target = look.target
        layers = look.layers if target is None else None
        if layers is None and target is None:
            layers = _suitable(network)
    options = {
        name: getattr(look, name) for name in LOOK if getattr(settings, name) is None
    }  # fmt: skip
    return replace(settings, layers=layers, target=target, **options)


def look_of(architecture: str, preset: str | None, network: str) -> DreamSettings:
    """Return what a preset decides for a network.

    Parameters
    ----------
    architecture : str
    preset : str or None
        None is the architecture's first, where it has any.
    network : str
        What the network is called in an error.

    Raises
    ------
    ProbeError
        If the network has no such preset.
    """
    looks = LOOKS.get(architecture)
    name = preset or next(iter(looks or PRESETS))
    if name not in (looks or PRESETS):
        others = [other for other, of_other in LOOKS.items() if name in of_other]
        if others:
            raise ProbeError(
                f"preset {preset!r}: expected one of {', '.join(looks or PRESETS)} for {network}; "
                f"{name} is a look of {' and '.join(others)}: add --model {others[0]}"
            )
        raise ProbeError(
            f"preset {preset!r}: expected one of {', '.join(looks or PRESETS)}"
            f"{nearest(name, PRESETS)}"
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
