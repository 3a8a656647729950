"""The options of `probe.saliency`, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probe.errors import ProbeError, suggest
from probe.models import settings as of_network
from probe.settings import Settings, option

METHODS = (
    "gradient", "input-x-gradient", "smoothgrad", "vargrad", "integrated-gradients",
    "expected-gradients", "deeplift", "lrp", "guided-backprop", "deconvnet", "occlusion", "rise",
    "feature-ablation", "shapley", "kernel-shap", "lime",
    "guided-grad-cam", "grad-cam", "grad-cam++", "hires-cam", "layer-cam", "score-cam",
    "ablation-cam", "attention-rollout", "attention-grad-cam",
)  # fmt: skip
"""The names of the methods, which `probe.attribution.methods` has."""

ALIASES = {
    "ig": "integrated-gradients",
    "eg": "expected-gradients",
    "gradient-shap": "expected-gradients",
    "gradcam": "grad-cam",
    "shapley-value-sampling": "shapley",
}
"""Other names."""


def name_of_method(name: str) -> str:
    """Return the name that a method has in `METHODS`.

    Raises
    ------
    ProbeError
        If there is none; the message names the nearest.
    """
    plain = name.strip().lower().replace("_", "-")
    plain = ALIASES.get(plain, plain)
    if plain not in METHODS:
        raise ProbeError(
            f"method {name!r}: expected a name of `probe saliency --methods`"
            f"{suggest(plain, METHODS)}"
        )
    return plain


@dataclass(frozen=True)
class SaliencySettings(Settings):
    """What is explained, and how: the options of `probe.saliency`, which explains them."""

    method: Any = option(
        None,
        "One method, several separated by commas, or all: grad-cam, gradient, smoothgrad, "
        "integrated-gradients, guided-backprop, occlusion, shapley, lime, lrp, … (see --methods).",
        unset="grad-cam; for a recorded site or a neuron, integrated-gradients",
    )
    target: Any = option(
        None,
        "A class by name or number (tabby, 281), a channel (features.10:84), a unit "
        "(features.10:84,6,6), a layer (features.10), a recorded site (site:v4:12, site:v4:all) "
        "that `probe encode` fitted, or a sum ('tabby - 0.5*tiger cat'); for all neurons of a "
        "session (v4-compact:201025), one of them (12). Where the network returns several "
        "tensors, [0]:281 or [logits]:281 is a class of one.",
        unset="the class that the network sees, or its only output",
    )
    layer: str | Sequence[str] | None = option(
        None,
        "For the CAMs: one layer, or several separated by commas.",
        unset="the last one with positions",
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    seed: int = option(0, "Seed of random weights, noise and masks.", at_least=0)
    batch_size: int | None = option(
        None, of_network.BATCH_SIZE, at_least=1, unset=of_network.BATCH_SIZE_UNSET
    )
    device: str = option("auto", of_network.DEVICE)
    progress: bool | None = option(None, "Show a progress bar.")


@dataclass(frozen=True)
class ConceptSettings(Settings):
    """What concepts are held against which target: the options of `probe.attribution.concepts`."""

    target: Any = option(
        None,
        "Whose change along a concept is measured: a class, a channel, a layer, a recorded site "
        "(site:v4:12), or a sum, as of probe saliency.",
    )
    layers: str | Sequence[str] | None = option(
        None,
        "In which layers: names, aliases or words such as conv, separated by commas.",
        unset="the last one with positions that the target looks at",
    )
    by: str = option(
        "category",
        "The column of a table that names the concepts; in a folder, they are its folders.",
    )
    positions: bool = option(
        False,
        "Let the vector of a concept have a value at every position, as in Kim et al. (2018), and "
        "not one for each channel.",
    )
    draws: int = option(10, "Draws of random pictures that a concept is told from.", at_least=1)
    permutations: int = option(
        199,
        "Random sets of pictures that stand in for a concept, for the test.",
        at_least=19,
    )
    weights: str = option("imagenet", of_network.WEIGHTS)
    preprocessing: str = option("resize", of_network.PREPROCESSING)
    seed: int = option(0, "Seed of random weights, draws and permutations.", at_least=0)
    batch_size: int | None = option(
        None, of_network.BATCH_SIZE, at_least=1, unset=of_network.BATCH_SIZE_UNSET
    )
    device: str = option("auto", of_network.DEVICE)
    progress: bool | None = option(None, "Show a progress bar.")
