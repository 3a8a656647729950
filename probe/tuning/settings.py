"""The options of `probe.tuning`, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probe.errors import ProbeError, nearest
from probe.models import settings as of_network
from probe.settings import Settings, option

TRANSFORMS = ("translation", "scale", "rotation")

STIMULI = ("gratings", "size", "contrast", "shapes", "textures")
"""What units can be shown: see `probe.tuning.tuning`."""

AREAS = ("V1", "V2", "V4")
"""Of which tuning was published: see `probe.tuning.published`."""

POSITIONS = ("middle", "all")
"""Which units of a map are measured: see `probe.tuning.units.layer_units`."""


@dataclass(frozen=True)
class InvarianceSettings(Settings):
    """How the responses of layers to moved pictures are measured."""

    layers: str | Sequence[str] = option(
        "default",
        "Layers, as for probe rsa; default: convolutions, pools, linear layers and blocks.",
    )
    transforms: str | Sequence[Any] = option(
        ",".join(TRANSFORMS),
        "Transforms, separated by commas: translation, scale, rotation.",
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    seed: int = option(0, "Seed of random weights.", at_least=0)
    batch_size: int = option(8, "Largest number of pictures in a forward pass.", at_least=1)
    device: str = option("auto", of_network.DEVICE)
    progress: bool | None = option(None, "Show a progress bar.")


@dataclass(frozen=True)
class TuningSettings(Settings):
    """How the tuning of units is measured."""

    layers: str | Sequence[str] = option(
        "default",
        "Layers, as for probe rsa; default: convolutions, pools, linear layers and blocks; of "
        "v4-compact: the neurons.",
    )
    sites: str | None = option(
        None,
        "Instead of layers: the recorded sites of this recording, such as v4, that `probe encode` "
        "fitted with the network.",
        unset="units of layers",
    )
    stimuli: str | Sequence[str] = option(
        "gratings",
        "What is shown, separated by commas: gratings (orientation, spatial frequency, phase), "
        "size, contrast, shapes (curvature), textures (against noise with the same spectrum).",
    )
    degrees: float | None = option(
        None,
        "Degrees of visual field that the width of a picture spans. Without, frequencies and sizes "
        "are per picture, and not compared with published ones.",
        above=0,
        unset="known of v1-gabor and of some recordings, else not",
    )
    area: str | None = option(
        None,
        "Macaque area whose published neurons are drawn over the units: V1, V2 or V4.",
        choices=AREAS,
        unset="V1, or the sites' own",
    )
    positions: str = option(
        "middle",
        "Units of a map: the one in the middle for each channel, or all.",
        choices=POSITIONS,
    )
    orientations: int = option(
        24, "How many orientations, evenly from 0 to 180 degrees.", at_least=4
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    seed: int = option(0, "Seed of random weights, and of textures and noise.", at_least=0)
    batch_size: int = option(64, "Largest number of pictures in a forward pass.", at_least=1)
    device: str = option("auto", of_network.DEVICE)
    progress: bool | None = option(None, "Show a progress bar.")


def read_stimuli(stimuli: str | Sequence[str], positions: str = "middle") -> list[str]:
    """Return the kinds of stimuli that are meant, in the order in which they are shown.

    Raises
    ------
    ProbeError
        If there is no such kind, or it does not go with the positions.
    """
    words = stimuli.split(",") if isinstance(stimuli, str) else stimuli
    names = {word.strip() for word in words}
    for name in sorted(names.difference(STIMULI)):
        raise ProbeError(
            f"stimuli {name!r}: expected some of {', '.join(STIMULI)}{nearest(name, STIMULI)}"
        )
    if not names:
        raise ProbeError(f"no stimuli were named: expected some of {', '.join(STIMULI)}")
    if {"size", "contrast"} & names:  # of the grating that drives a unit most
        names.add("gratings")
    if positions == "all" and names != {"gratings"}:
        raise ProbeError(
            "positions 'all' go with gratings alone: other stimuli are shown around the middle of "
            "each unit's window"
        )
    return [name for name in STIMULI if name in names]
