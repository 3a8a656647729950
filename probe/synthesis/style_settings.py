"""The options of style transfer, each written once. Imports neither NumPy nor torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, Self, get_args

from probe.errors import ProbeError
from probe.models.settings import DEVICE, WEIGHTS
from probe.settings import Settings, option
from probe.synthesis.settings import PRECISION, PRECISIONS, Precision

Loss = Literal["wasserstein", "gram"]
Pooling = Literal["max", "average"]
Colours = Literal["style", "keep", "match"]

LAYERS: Mapping[str, Mapping[str, float]] = {
    "wasserstein": dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 1.0),
    "gram": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 0.5, "relu5_1": 0.1},
}
"""Weight of the style in each layer, relative to the style's own size there, with each loss. Deep
down, a photograph's Gram matrix may be twenty times off: weighed like the others, it would spoil
their colours and the content alike."""

MIN_SIDE_PX = 32
"""Of the picture's shorter side: the deepest layer then has two positions."""

UNLISTED = ("seed", "device")
"""Options that are no part of a record's ``settings``: the first stands beside them, and where it
was computed decides nothing but rounding."""


@dataclass(frozen=True)
class StyleSettings(Settings):
    """How a picture takes on a style: see `probe.style`, whose options these are.

    They stand in the order in which files list them.
    """

    size: int | None = option(
        None, "Longer side of the picture, in pixels.",
        at_least=MIN_SIDE_PX, unit="pixels", unset="the content's own, at most 512",
    )  # fmt: skip
    strength: float = option(
        1.0, "Weight of the style: 2 is twice as much, 0.5 half as much.", at_least=0
    )
    mix: Sequence[float] | str | None = option(
        None, "Weights of several styles, separated by commas: 2,1.", unset="all the same"
    )
    loss: Loss = option(
        "wasserstein",
        "What makes a style: wasserstein (means and covariances of features) or gram (Gatys et al. "
        "2016).",
        choices=get_args(Loss),
    )
    layers: Mapping[str, float] | str | None = option(
        None, "Weight of the style in each layer: relu1_1=1,relu3_1=0.5.",
        unset="relu1_1 to relu5_1",
    )  # fmt: skip
    content_layer: str = option("relu4_2", "Layer in which the content is compared.")
    pooling: Pooling = option(
        "max",
        "How features are pooled: max, or average, which is smoother.",
        choices=get_args(Pooling),
    )
    histogram: float = option(
        0.0,
        "Weight of matching each feature's histogram to the style's (Risser et al. 2017); 1 helps "
        "against washed-out results.",
        at_least=0,
    )
    smoothness: float = option(
        1.0, "Weight of the total variation, which suppresses noise.", at_least=0
    )
    style_scale: float = option(
        1.0, "Width of strokes: below 1 they become finer, above 1 coarser.", above=0
    )
    colours: Colours = option(
        "style",
        "style: the colours of the style; keep: those of the content, only the brightness is "
        "painted; match: the style's, after it was given the content's hues.",
        choices=get_args(Colours),
    )
    tileable: bool = option(False, "Make opposite borders match, for a pattern without seams.")
    steps: int = option(
        60, "Steps of the optimiser at each size; twice as many at the first.", at_least=1
    )
    tolerance: float = option(
        0.0,
        "Go on to the next size when 32 steps reduce the loss by less than this share of it.",
        at_least=0,
    )
    precision: Precision = option("auto", PRECISION, choices=PRECISIONS)
    start: Any = option(
        None,
        "Picture to start from: content, noise, or a picture file.",
        unset="content in the colours of the style; for a texture, noise",
    )
    weights: str = option("imagenet", WEIGHTS)
    threads: int | None = option(
        None, "Processor threads to compute on.", at_least=1, unset="as many as torch uses"
    )
    model: Any = option(
        "vgg16", "Network whose features are compared: vgg16, vgg19, or another VGG."
    )
    seed: int = option(0, "Seed of noise and random weights.", at_least=0)
    device: str = option("auto", DEVICE)

    def checked(self) -> Self:
        """Return the settings, every value of which is allowed; layers as a mapping, mix as a list.

        Raises
        ------
        ProbeError
            ``NAME VALUE: expected …``.
        """
        super().checked()
        layers, mix = self.layer_weights, _numbers("mix", self.mix)
        for name, weights in (("layers", layers.values()), ("mix", mix)):
            if weights is not None and not (
                all(0 <= weight < inf for weight in weights) and sum(weights) > 0
            ):
                raise ProbeError(
                    f"{name} {getattr(self, name)!r}: expected numbers ≥ 0, not all of them 0"
                )
        return replace(self, layers=layers, mix=mix)

    @property
    def layer_weights(self) -> dict[str, float]:
        """The weight of the style in each layer."""
        return _layer_weights(self.layers, self.loss)

    def style_weights(self, n: int) -> list[float]:
        """Return the weight of each of n styles, 1 on average."""
        weights = _numbers("mix", self.mix) or [1.0] * n
        return [weight * n / sum(weights) for weight in weights]

    def to_about(self) -> dict[str, Any]:
        """Return the values by name, for the ``settings`` of the record in a file."""
        return {name: v for name, v in super().to_about().items() if name not in UNLISTED}

    @classmethod
    def from_about(cls, record: Mapping[str, Any]) -> Self:
        """Return the settings with which a picture was made, from the whole record in its file."""
        return cls.of({**record["settings"], "seed": record["seed"]})


def _numbers(name: str, values: Sequence[float] | str | None) -> list[float] | None:
    """Return numbers, which may be written with commas."""
    if values is None or not isinstance(values, str):
        return None if values is None else list(values)
    try:
        return [float(word) for word in values.split(",")]
    except ValueError:
        raise ProbeError(
            f"{name} {values!r}: expected numbers separated by commas, such as 2,1"
        ) from None


def _layer_weights(layers: Mapping[str, float] | str | None, loss: str) -> dict[str, float]:
    """Return the weight of the style in each layer."""
    if layers is None:
        layers = LAYERS[loss]
    if not isinstance(layers, str):
        return {layer: float(weight) for layer, weight in layers.items()}
    weights = {}
    for part in layers.split(","):
        layer, equals, weight = part.partition("=")
        try:
            weights[layer.strip()] = float(weight) if equals else 1.0
        except ValueError:
            raise ProbeError(
                f"layers {part.strip()!r}: expected LAYER=NUMBER, such as relu3_1=0.5"
            ) from None
    return weights
