"""Architectures without weights: from a name to a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from probe.errors import ProbeError, suggest
from probe.models.classic import build_classic, is_classic
from probe.models.compact import build_compact
from probe.models.compiler import without_compiler
from probe.models.efficientnet_lite import efficientnet_lite0
from probe.models.hand_made import build_hand_made
from probe.models.known import CLASSES, FEATURES
from probe.models.registry import COMPACT
from probe.models.vision import import_torchvision


def build(architecture: str, num_classes: int | None = None) -> nn.Module:
    """Build a network as its ImageNet weights want it, initialised at random.

    Parameters
    ----------
    architecture : str
        A torchvision builder, ``efficientnet_lite0``, ``timm:NAME``, ``v4-compact:NEURONS``, or
        one of `CLASSIC` or `FEATURES` in `probe.models.known`.
    num_classes : int, optional
        How many classes the last layer tells apart; by default as published.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    if architecture.startswith("timm:"):
        return import_timm(architecture).create_model(architecture[5:], **options).eval()
    if num_classes is not None and CLASSES.get(architecture.partition(":")[0]) == ():
        raise ProbeError(f"model {architecture!r} tells no classes apart")
    if architecture in FEATURES:
        return build_hand_made(architecture).eval()
    if architecture.startswith(COMPACT):
        return build_compact(architecture).eval()
    if is_classic(architecture):
        return build_classic(architecture, **options).eval()
    if architecture == "efficientnet_lite0":
        return efficientnet_lite0(**options).eval()
    # What torchvision's builders set only together with pretrained weights, but is part of the
    # network: the input is scaled back, and the picture has the size that the weights know.
    if architecture in ("googlenet", "inception_v3"):
        options |= {"transform_input": True, "init_weights": True}
    if architecture == "googlenet":
        options["aux_logits"] = False  # torchvision's file holds no trained ones
    if architecture.startswith("vit_"):
        options["image_size"] = official(architecture).meta["min_size"][0]
    builder = import_torchvision().models.get_model_builder(architecture)
    return builder(weights=None, **options).eval()


def official(architecture: str) -> Any:
    """Return torchvision's weights of a network: the first on ImageNet-1K, or its default."""
    choice = import_torchvision().models.get_model_weights(architecture)
    return choice.__members__.get("IMAGENET1K_V1", choice["DEFAULT"])


def blueprint(architecture: str, num_classes: int | None = None) -> nn.Module:
    """Build a network without memory for its weights, which are to be put in (or never needed).

    What an architecture computes while it is built, such as the widths of a RegNet or the windows
    of a Swin transformer, is real; the rest is on torch's ``meta`` device.
    """
    with torch.random.fork_rng(devices=[]), without_compiler(), _WithoutMemory():
        return build(architecture, num_classes)


class _WithoutMemory(TorchFunctionMode):
    """Let `torch.empty`, by which torch's layers make their weights, take no memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.empty and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


def import_timm(architecture: str) -> Any:
    """Import timm, and see that it has the model ``timm:NAME``."""
    import_torchvision()  # which timm imports, and not as we do
    try:
        import timm
    except ImportError:
        raise ProbeError(
            f"model {architecture!r} needs the package timm; "
            "install it with: pip install 'cnn-probe[timm]'"
        ) from None
    base, _, tag = architecture.removeprefix("timm:").partition(".")
    if not timm.is_model(base):
        near = suggest(base, timm.list_models())
        raise ProbeError(f"timm {timm.__version__} has no model {base!r}{near}")
    tags = [name.partition(".")[2] for name in timm.list_models(f"{base}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ProbeError(f"timm's model {base!r} has no weights {tag!r}{suggest(tag, tags)}")
    return timm
