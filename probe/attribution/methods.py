"""The methods that explain a number by a picture's pixels, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from probe.attribution import (
    attention,
    cams,
    deeplift,
    gradients,
    lrp,
    perturbation,
    rectifiers,
)
from probe.errors import ProbeError, suggest


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes
    ----------
    name : str
        As a user writes it.
    function : callable
        ``function(module, images, target, **settings)``.
    kind : {"pixels", "layer", "tokens"}
        Of what it gives a map: of every value of the picture; of the positions of a layer; of
        the patches of a transformer.
    signed : bool
        Whether its values can be negative: evidence against the target.
    about : str
        What it does, in a line.
    slope : bool
        Whether a value's sign is a direction, up or down which the target rises, and no vote.
    sums_to : {"", "change", "value"}
        What the map shares out, if anything: the target's change from the mean colour, or its
        value.
    several : bool
        Whether it takes `probe.targets.Several`, and makes their maps from the same passes.
    choosing : callable or None
        The same function where it chooses a setting by the picture: returns the maps, and what it
        chose. Checks of a map hold to that.
    """

    name: str
    function: Callable[..., Tensor]
    kind: Literal["pixels", "layer", "tokens"]
    signed: bool
    about: str
    slope: bool = False
    sums_to: Literal["", "change", "value"] = ""
    several: bool = True
    choosing: Callable[..., tuple[Tensor, dict[str, int]]] | None = None

    @property
    def needs_layer(self) -> bool:
        """Whether a layer has to be named."""
        return "layer" in inspect.signature(self.function).parameters

    @property
    def settings(self) -> list[str]:
        """Names of what can be set, besides module, images, target and layer."""
        names = inspect.signature(self.function).parameters
        besides = ("module", "images", "target", "layer", "progress")
        return [name for name in names if name not in besides]

    def takes(self, **options: Any) -> dict[str, Any]:
        """Return those of some options that the function has."""
        names = inspect.signature(self.function).parameters
        return {name: value for name, value in options.items() if name in names}

    @property
    def has_progress(self) -> bool:
        """Whether a map takes long enough for a progress bar of its own."""
        return "progress" in inspect.signature(self.function).parameters


_ALL = (
    Method(
        "gradient", gradients.gradient, "pixels", True, "how the target changes with a pixel",
        slope=True,
    ),
    Method(
        "input-x-gradient", gradients.input_x_gradient, "pixels", True, "gradient times the pixel"
    ),
    Method(
        "smoothgrad", gradients.smoothgrad, "pixels", True, "mean gradient of noisy copies",
        slope=True,
    ),
    Method(
        "vargrad", gradients.vargrad, "pixels", False, "variance of the gradient over noisy copies"
    ),
    Method(
        "integrated-gradients", gradients.integrated_gradients, "pixels", True,
        "gradient along the way from a baseline, times that way", sums_to="change",
        choosing=gradients.integrated_and_chosen,
    ),
    Method(
        "expected-gradients", gradients.expected_gradients, "pixels", True,
        "integrated gradients, averaged over random baselines and places on the way",
    ),
    Method(
        "deeplift", deeplift.deeplift, "pixels", True,
        "differences from a baseline, handed back layer by layer (Rescale)", sums_to="change",
        several=False,
    ),
    Method(
        "lrp", lrp.lrp, "pixels", True,
        "relevance, handed back layer by layer in proportion to what was contributed",
        sums_to="value", several=False,
    ),
    Method(
        "guided-backprop", rectifiers.guided_backprop, "pixels", True,
        "gradient through ReLUs that pass only what is positive, forwards and backwards",
        slope=True,
    ),
    Method(
        "deconvnet", rectifiers.deconvnet, "pixels", True,
        "gradient through ReLUs that pass what is positive backwards",
        slope=True,
    ),
    Method(
        "occlusion", perturbation.occlusion, "pixels", True,
        "how the target falls when a window is covered",
    ),
    Method(
        "rise", perturbation.rise, "pixels", True,
        "mean of random masks, weighted by the target behind each",
    ),
    Method(
        "guided-grad-cam", cams.guided_grad_cam, "pixels", True, "guided backprop times Grad-CAM",
        slope=True,
    ),
    Method(
        "grad-cam", cams.grad_cam, "layer", False,
        "a layer's channels, weighted by their mean gradient",
    ),
    Method(
        "grad-cam++", cams.grad_cam_plus_plus, "layer", False,
        "Grad-CAM with weights for several instances",
    ),
    Method(
        "hires-cam", cams.hires_cam, "layer", True, "activation times gradient, place by place"
    ),
    Method(
        "layer-cam", cams.layer_cam, "layer", False,
        "activation times positive gradient, place by place",
    ),
    Method(
        "score-cam", cams.score_cam, "layer", False,
        "channels, weighted by the target of the picture masked with each",
    ),
    Method(
        "ablation-cam", cams.ablation_cam, "layer", False,
        "channels, weighted by the target's fall without each",
    ),
    Method(
        "attention-rollout", attention.attention_rollout, "tokens", False,
        "attention multiplied through the blocks of a transformer, of no target", several=False,
    ),
    Method(
        "attention-grad-cam", attention.attention_grad_cam, "tokens", False,
        "attention times its gradient", several=False,
    ),
)  # fmt: skip

METHODS = {method.name: method for method in _ALL}

ALIASES = {"ig": "integrated-gradients", "eg": "expected-gradients", "gradcam": "grad-cam"}
"""Other names."""


def find(name: str) -> Method:
    """Find a method by its name.

    Raises
    ------
    ProbeError
        If there is none; the message names the nearest.
    """
    plain = name.strip().lower().replace("_", "-")
    method = METHODS.get(ALIASES.get(plain, plain))
    if method is None:
        raise ProbeError(
            f"method {name!r}: expected a name of `probe saliency --methods`"
            f"{suggest(plain, METHODS)}"
        )
    return method


def choose(names: str | Sequence[str]) -> list[Method]:
    """Find the methods that a user names: with commas, or ``all`` that need no transformer.

    Raises
    ------
    ProbeError
        If there is none of a name; the message names the nearest.
    """
    words = names.split(",") if isinstance(names, str) else list(names)
    if words == ["all"]:
        return [method for method in METHODS.values() if method.kind != "tokens"]
    by_name = {method.name: method for method in map(find, words)}
    if not by_name:
        raise ProbeError("method []: expected at least one, such as grad-cam")
    return list(by_name.values())


def check_settings(methods: Sequence[Method], settings: Iterable[str]) -> None:
    """Refuse a setting that none of some methods has.

    Raises
    ------
    ProbeError
        The message lists what they have.
    """
    for name in settings:
        if not any(name in method.settings for method in methods):
            has = sorted({setting for method in methods for setting in method.settings})
            which = ", ".join(method.name for method in methods)
            raise ProbeError(f"{which} has no setting {name!r}; it has: {', '.join(has) or 'none'}")
