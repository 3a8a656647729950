"""The methods that explain a number by a picture's pixels, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from probe.attribution import (
    attention,
    cams,
    deeplift,
    gradients,
    lrp,
    perturbation,
    rectifiers,
    segments,
)
from probe.attribution.method import Method
from probe.attribution.settings import name_of_method
from probe.errors import ProbeError

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
        "feature-ablation", segments.feature_ablation, "pixels", True,
        "how the target falls when a segment is covered", several=False, library="captum",
    ),
    Method(
        "shapley", segments.shapley, "pixels", True,
        "what a segment adds to the target, averaged over random orders of all", sums_to="change",
        several=False, library="captum",
    ),
    Method(
        "kernel-shap", segments.kernel_shap, "pixels", True,
        "Shapley values of segments, from a weighted regression", sums_to="change",
        several=False, library="captum",
    ),
    Method(
        "lime", segments.lime, "pixels", True,
        "a linear model of which segments are seen, fitted near the picture", several=False,
        library="captum",
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


def find(name: str) -> Method:
    """Find a method by its name.

    Raises
    ------
    ProbeError
        If there is none; the message names the nearest.
    """
    return METHODS[name_of_method(name)]


def choose(methods: Any) -> list[Method]:
    """Find the methods that a user means.

    Parameters
    ----------
    methods : str, class or object of Captum, callable, or sequence of these
        Names, with commas, or ``all`` that need no transformer; of Captum, see
        `probe.attribution.captum_methods.method_of`.

    Raises
    ------
    ProbeError
        If there is none of a name; the message names the nearest.
    """
    several = isinstance(methods, Sequence) and not isinstance(methods, str)
    words = methods.split(",") if isinstance(methods, str) else methods if several else [methods]
    if list(words) == ["all"]:
        # Those that take minutes on a picture are asked for by name.
        return [m for m in METHODS.values() if m.kind != "tokens" and m.library != "captum"]
    chosen = [find(one) if isinstance(one, str) else of_captum(one) for one in words]
    if not chosen:
        raise ProbeError("method []: expected at least one, such as grad-cam")
    return [m for k, m in enumerate(chosen) if m.name not in METHODS or m not in chosen[:k]]


def of_captum(source: Any) -> Method:
    """Return a method of what a user brings of Captum."""
    from probe.attribution.captum_methods import method_of  # takes a second to import

    return method_of(source)


def for_network(
    methods: Sequence[Method], module: nn.Module, settings: Iterable[str]
) -> list[Method]:
    """Return methods for a network, no two of one name.

    Raises
    ------
    ProbeError
        If one belongs to another network, or none has one of the settings.
    """
    ready: list[Method] = []
    for method in methods:
        method = method.on(module)
        n_before = sum(one.name.rpartition(" #")[0] == method.name for one in ready)
        n_before += sum(one.name == method.name for one in ready)
        ready.append(replace(method, name=f"{method.name} #{n_before + 1}") if n_before else method)
    check_settings(ready, settings)
    return ready


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
