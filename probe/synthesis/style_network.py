"""A VGG network as style transfer looks through it: layers by the names that papers give them."""

from __future__ import annotations

import re
from collections import OrderedDict
from math import ceil
from typing import Literal

from torch import nn

from probe.errors import ProbeError, suggest
from probe.models import Network
from probe.synthesis.style_settings import Pooling

Padding = Literal["zeros", "replicate", "circular"]

FAMILY = ("vgg11", "vgg13", "vgg16", "vgg19")


def style_network(network: Network, pooling: Pooling = "max", *, wrap: bool = False) -> Network:
    """Return the convolutions of a VGG network, with layers conv1_1, relu1_1, … pool5.

    They share the weights of the network, which is not changed.

    Parameters
    ----------
    network : Network
        Of the VGG family, with or without batch normalisation.
    pooling : {"max", "average"}
        ``average`` gives smoother pictures (Gatys et al. 2016, section 2).
    wrap : bool
        Take what lies beyond a border from the opposite one, as in a texture that is laid like
        tiles. Without, the first convolution sees the border's pixels go on: around zeros, it would
        draw a frame.

    Raises
    ------
    ProbeError
        If it is built otherwise.
    """
    convolutions = getattr(network.module, "features", None)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
    if not isinstance(convolutions, nn.Sequential) or not all(
        isinstance(part, kinds) for part in convolutions
    ):
        raise ProbeError(
            f"model {network.name!r}: expected a VGG network ({', '.join(FAMILY)}, also with _bn), "
            "as style transfer looks through its layers"
        )
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    block, number = 1, 0
    for part in convolutions:
        if isinstance(part, nn.Conv2d):
            number += 1
            padding: Padding = "circular" if wrap else "zeros" if parts else "replicate"
            parts[f"conv{block}_{number}"] = _sharing(part, padding)
        elif isinstance(part, nn.BatchNorm2d):
            parts[f"bn{block}_{number}"] = part
        elif isinstance(part, nn.ReLU):
            parts[f"relu{block}_{number}"] = nn.ReLU(inplace=True)
        else:
            parts[f"pool{block}"] = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)
            block, number = block + 1, 0
    module = nn.Sequential(parts)
    # What is new here has been made in training mode.
    for name, part in parts.items():
        if not name.startswith("bn"):
            part.eval()
    return Network.from_module(module, name=network.name, preprocessing=network.preprocessing)


def _sharing(part: nn.Conv2d, padding: Padding) -> nn.Conv2d:
    convolution = nn.Conv2d(
        part.in_channels, part.out_channels, 3, padding=1, padding_mode=padding, device="meta"
    )
    convolution.weight, convolution.bias = part.weight, part.bias
    return convolution


def check_layers(network: Network, layers: list[str]) -> None:
    """Check that a style network has some layers after a ReLU.

    Raises
    ------
    ProbeError
        If not; the message names the nearest.
    """
    relus = [name for name, _ in network.module.named_children() if name.startswith("relu")]
    for layer in layers:
        if layer not in relus:
            raise ProbeError(f"{network.name} has no layer {layer!r}{suggest(layer, relus)}")


def jump(layer: str) -> int:
    """Return how many pixels lie between two positions of a layer."""
    block = re.search(r"\d+", layer)
    assert block is not None  # a name that `check_layers` knows
    return int(2 ** (int(block[0]) - 1))


def margin(network: Network, layers: list[str]) -> int:
    """Return how many pixels around a tile its positions see: a multiple of the largest `jump`."""
    field, step = 1, 1
    left = set(layers)
    for name, part in network.module.named_children():
        if isinstance(part, nn.Conv2d):
            field += 2 * step
        elif name.startswith("pool"):
            field, step = field + step, 2 * step
        left.discard(name)
        if not left:
            break
    return ceil(field / 2 / step) * step
