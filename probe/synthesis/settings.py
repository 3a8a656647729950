"""Settings of what is made: every option once, with its default, its range and what it means.

The command line reads this when it starts: nothing here imports NumPy or torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from probe.models.settings import DEVICE, MODEL, WEIGHTS
from probe.settings import Settings, option

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")

Layout = Literal["pca", "umap"]
LAYOUTS: tuple[Layout, ...] = ("pca", "umap")

PARAMETERISATIONS = ("fourier", "laplacian", "pixels", "maco")

PRESETS = (
    "creatures", "cities", "eyes", "brushstrokes", "stripes", "mosaic", "patterns", "swirls",
    "subtle",
)  # fmt: skip
"""The names of the looks of dreams, those of `DEFAULT_MODEL` first. Others have some of them."""

PRESETS_OF = {
    "vgg16": ("creatures", "cities", "eyes", "brushstrokes", "stripes", "mosaic", "subtle"),
    "mobilenet_v2": ("creatures", "stripes", "patterns", "subtle"),
    "efficientnet_lite0": ("patterns", "stripes", "subtle"),
    "squeezenet1_1": ("eyes", "swirls", "subtle"),
    "alexnet": ("creatures", "eyes", "subtle"),
    "googlenet": ("creatures", "brushstrokes", "subtle"),
}
"""Those of each network, its default first; what they are is in `probe.synthesis.presets.LOOKS`."""

DEFAULT_MODEL = "vgg16"
"""The network that dreams by default: of those whose weights come from a package index, the one
that looks best."""

MIN_OCTAVE_SIDE_PX = 32
"""Shorter side of an octave, at least."""

MAX_SIDE_PX = 20_000
"""Longer side of a picture that is dreamt, at most."""

PRECISION = (
    "auto, float32, bfloat16; auto is bfloat16 where the processor computes it, which is several "
    "times faster."
)
_PRESET = "that of the preset"


@dataclass(frozen=True)
class DreamSettings(Settings):
    """All that decides a dream, besides the picture; see `probe.dream`.

    Where a value is None, the preset decides, then what was chosen for the network; see
    `resolved` in `probe.synthesis.presets`.
    """

    model: Any = option(
        None,
        f"{MODEL}; for a recorded site, by default the network that it was fitted with.",
        unset=DEFAULT_MODEL,
    )
    weights: Any = option("imagenet", WEIGHTS)
    layers: str | None = option(
        None,
        "One layer or several, with weights: 'features.22, 0.5*features.15'.",
        unset=_PRESET,
    )
    target: Any = option(
        None,
        "Dream of this instead of layers: a channel (features.22:84), a recorded site "
        "(site:v4:12) that `probe encode` fitted, a sum (site:v4:12+site:v4:30), a class by name "
        "or number, or the response of a published V4 neuron (0). If it exists only for pictures "
        "of one size, as that response does, the picture is dreamt in pieces of that size.",
    )
    guide: Any = option(None, "Dream of the features of this picture.")
    mask: Any = option(
        None,
        "Where to dream: a picture that is white there and black elsewhere, with edges as soft as "
        "you like.",
    )
    size: int | None = option(
        None,
        "Longer side, in pixels.",
        at_least=MIN_OCTAVE_SIDE_PX,
        at_most=MAX_SIDE_PX,
        unit="pixels",
        unset="the picture's own",
    )
    octaves: int | None = option(
        None,
        "Number of sizes at which to dream. With more of them, larger things appear.",
        at_least=1,
        unset="what suits the picture's size",
    )
    scale: float | None = option(
        None,
        "Ratio of the size of each octave to that of the one before.",
        above=1,
        at_most=4,
        unset="1.4",
    )
    steps: int | None = option(None, "Number of steps in each octave.", at_least=1, unset=_PRESET)
    strength: float | None = option(
        None,
        "Mean change of a value in a step, where 255 is white.",
        above=0,
        at_most=64,
        unset=_PRESET,
    )
    colour: float | None = option(
        None,
        "How much of the dream's colours to take: at 0 only its brightness, at 1 all of them.",
        at_least=0,
        at_most=1,
        unset=_PRESET,
    )
    laplacian: bool | None = option(
        None, "Make coarse and fine structure equally strong.", unset=_PRESET
    )
    tile: int | None = option(
        None,
        "Side of the tiles in which large pictures are computed, in pixels.",
        at_least=64,
        unit="pixels",
        unset="what takes about 1 GB",
    )
    precision: Precision = option("auto", PRECISION, choices=PRECISIONS)
    threads: int | None = option(None, "Number of threads that torch uses.", at_least=1)
    preset: str | None = option(
        None,
        "A look. "
        + "; ".join(f"{network}: {', '.join(looks)}" for network, looks in PRESETS_OF.items())
        + ".",
        unset="the network's first",
    )
    seed: int = option(0, "Seed of everything random.", at_least=0)
    device: str = option("auto", DEVICE)

    def to_about(self) -> dict[str, Any]:
        """Return what a record keeps: not the preset, which is resolved, and seed and device."""
        values = super().to_about()
        return {name: values[name] for name in values if name not in ("preset", "seed", "device")}


LOOK = ("octaves", "scale", "steps", "strength", "colour", "laplacian")
"""Options of a dream that a preset decides, besides its layers."""


@dataclass(frozen=True)
class ZoomSettings(Settings):
    """How a film goes into a picture; see `probe.synthesis.film.dream_zoom`."""

    frames: int = option(100, "Number of frames.", at_least=1)
    zoom: float = option(
        1.05,  # Mordvintsev et al. 2015
        "Magnification from one frame to the next.",
        above=1,
        at_most=2,
    )
    fps: float = option(25.0, "Frames a second.")


@dataclass(frozen=True)
class VisualizeSettings(Settings):
    """All that decides pictures that drive targets; see `probe.visualize`."""

    model: Any = option(None, f"{MODEL}.")
    target: Any = option(
        None,
        "What the pictures are to drive, one or several: a channel (features.10:84, conv5:84), all "
        "channels of a layer (features.10), a unit by channel, row and column (features.10:84,6,6),"
        " a class by name or number (tabby, 281), a recorded site (site:v4:12) that `probe encode` "
        "fitted, or a sum ('tabby - 0.5*tiger cat').",
        unset="the only output, such as a V4 neuron's response",
    )
    channels: Sequence[int] | None = option(
        None, "Channels of the layer, separated by commas: 12,84 or 0-31.", unset="all"
    )
    interpolate: int | None = option(
        None,
        "Make this many pictures from one channel to another of the same layer, or from one class "
        "to another.",
        at_least=2,
    )
    diverse: int | None = option(
        None, "Make this many pictures of one target, as different as they can be.", at_least=2
    )
    parameterisation: str = option(
        "fourier",
        "What pictures are made of: fourier, laplacian (a pyramid), pixels, maco (phases with a "
        "photograph's amplitudes).",
        choices=PARAMETERISATIONS,
    )
    size: Any = option(
        None,
        "Size of the pictures in pixels: 256, or width and height, 256x128.",
        unset="what the network was made for",
    )
    transparent: bool = option(
        False, "Make pictures that are opaque only where it matters to the target."
    )
    tileable: bool = option(False, "Make opposite borders match, for a pattern without seams.")
    steps: int = option(128, "Largest number of steps of the optimiser.", at_least=1)
    tolerance: float = option(
        0.0, "Stop early when 32 steps gain less than this share of the activation.", at_least=0
    )
    lr: float | None = option(
        None,
        "Learning rate of the optimiser.",
        above=0,
        unset="depends on --parameterisation",
    )
    weights: Any = option("imagenet", WEIGHTS)
    preprocessing: Any = option(
        "resize",
        "resize: the whole picture, as the animal saw it; torchvision: as the weights were "
        "trained, with a crop.",
    )
    seed: int = option(0, "Seed of random weights, the noise, and the transforms.", at_least=0)
    precision: Precision = option("auto", PRECISION, choices=PRECISIONS)
    batch_size: int | None = option(
        None,
        "Largest number of pictures that are made together.",
        at_least=1,
        unset="what suits network and device",
    )
    device: str = option("auto", DEVICE)
    threads: int | None = option(None, "Number of threads that torch uses.", at_least=1)


@dataclass(frozen=True)
class AtlasSettings(Settings):
    """All that decides an atlas, besides the pictures that are shown; see `probe.atlas`."""

    model: Any = option(None, f"{MODEL}.")
    layer: str = option("", "A layer, by its path or alias: features.10, conv5.")
    grid: int = option(10, "Number of cells along each side.", at_least=1)
    layout: Layout = option(
        "pca", "pca, or umap (which needs: pip install 'cnn-probe[atlas]').", choices=LAYOUTS
    )
    samples: int = option(
        5000, "Number of activations, at random positions, of all pictures together.", at_least=3
    )
    size: int = option(96, "Side of a cell's picture, in pixels.", at_least=1, unit="pixels")
    steps: int = option(128, "Number of steps of the optimiser.", at_least=1)
    weights: Any = option("imagenet", WEIGHTS)
    preprocessing: Any = option(
        "resize",
        "resize: the whole picture, as the animal saw it; torchvision: as the weights were "
        "trained, with a crop.",
    )
    precision: Precision = option("auto", PRECISION, choices=PRECISIONS)
    batch_size: int | None = option(
        None,
        "Largest number of pictures in a forward pass.",
        at_least=1,
        unset="what suits network and device",
    )
    device: str = option("auto", DEVICE)
    target: Any = option(
        None,
        "Show how strongly each cell drives it, by the colour of its frame: a class (281, tabby), "
        "a channel (features.10:84), a recorded site (site:v4:12) that `probe encode` fitted, or a "
        "sum; read from the layer or a later one.",
    )
    seed: int = option(
        0,
        "Seed of random weights, positions, the layout, the noise, and the transforms.",
        at_least=0,
    )

    def to_about(self) -> dict[str, Any]:
        """Return what a record keeps; target and seed stand beside the settings."""
        values = super().to_about()
        return {name: values[name] for name in values if name not in ("target", "seed")}


@dataclass(frozen=True)
class SuperstimulusSettings(Settings):
    """How superstimuli are made; see `probe.superstimulus`."""

    diverse: int = option(
        1, "Make this many pictures of each site, as different as they can be.", at_least=1
    )
    steps: int = option(64, "Number of steps of the optimiser.", at_least=1)
    lr: float = option(0.03, "Learning rate of the optimiser.", above=0)
    seed: int = option(0, "Seed of the halves, the noise and the transforms.", at_least=0)
    precision: Precision = option("auto", PRECISION, choices=PRECISIONS)
    threads: int | None = option(None, "Number of threads that torch uses.", at_least=1)
