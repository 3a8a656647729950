"""Features from before networks, as modules with named layers.

So every command takes them as it takes networks. None has weights, but for the vocabulary of a bag
of words, which is learned here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from probe.models import gist, visual_words
from probe.models.checkpoints import PublishedState, learned_state
from probe.models.colour_histogram import LabHistogram, RGBHistogram
from probe.models.hog import OrientedGradients
from probe.models.known import FEATURES, UNLEARNED
from probe.models.picture_statistics import (
    Contrast,
    LocalContrast,
    LocalLuminance,
    Luminance,
    SpectralPower,
)

VERSION = 1
"""Part of the state, and so of what activations are kept under: raised when values change."""


class Pixels(nn.Module):
    """The picture itself: (n, 3, y, x)."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures."""
        return pictures


class SideBySide(nn.Module):
    """Features of the same picture, each a layer; together they are one row: (n, values)."""

    def __init__(self, **features: nn.Module) -> None:
        super().__init__()
        for name, feature in features.items():
            self.add_module(name, feature)
        self.register_buffer("version", torch.tensor([VERSION]))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return all values."""
        return torch.cat([feature(pictures).flatten(1) for feature in self.children()], 1)


class OneAfterAnother(SideBySide):
    """Features each computed from the one before, each a layer."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the last one's values."""
        for feature in self.children():
            pictures = feature(pictures)
        return pictures


_BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "bag-of-words": lambda: OneAfterAnother(
        descriptors=visual_words.Descriptors(), words=visual_words.VisualWords()
    ),
    "colour-histogram": lambda: SideBySide(rgb=RGBHistogram(), lab=LabHistogram()),
    "gist": lambda: OneAfterAnother(whitened=gist.LocalNormalisation(), gist=gist.GaborEnergy()),
    "hog": lambda: SideBySide(hog=OrientedGradients()),
    "luminance-contrast": lambda: SideBySide(
        luminance=Luminance(), contrast=Contrast(), local_luminance=LocalLuminance(),
        local_contrast=LocalContrast(),
    ),
    "pixels": lambda: SideBySide(pixels=Pixels()),
    "power-spectrum": lambda: SideBySide(power=SpectralPower()),
}  # fmt: skip

SIZES = dict.fromkeys(FEATURES, (224, 224)) | {"gist": gist.SIZE}
"""Height and width of the pictures, in pixels. Their values go from 0 to 1."""


def build_hand_made(name: str) -> nn.Module:
    """Build features; what they would learn is drawn at random."""
    return _BUILDERS[name]()


def published_hand_made(name: str) -> PublishedState:
    """Return the state of features; make the vocabulary, or take it from the cache."""
    with torch.random.fork_rng(devices=[]):
        state = build_hand_made(name).state_dict()
    if name in UNLEARNED:
        return PublishedState(state, f"nothing is learned: {FEATURES[name]}", None)

    key = f"{name}-{visual_words.SEED}-{visual_words.VERSION}"
    learned = learned_state("hand-made", key, lambda: {"words.words": visual_words.vocabulary()})
    source = (
        f"{visual_words.N_WORDS} words learned from the two photographs that scikit-learn ships, "
        f"seed {visual_words.SEED}"
    )
    return PublishedState(state | learned, source, None)
