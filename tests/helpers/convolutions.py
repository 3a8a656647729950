"""VGG networks without their classifiers, which have nine tenths of the weights."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models import vgg

from probe.models import Network

CONFIGURATIONS = {"vgg11": "A", "vgg16": "D"}


def convolutions(name: str) -> Network:
    """Build the convolutions of a VGG network; random weights, of the scale of the published."""
    layers = vgg.make_layers(vgg.cfgs[CONFIGURATIONS[name]], batch_norm=False)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in layers:
            if isinstance(part, nn.Conv2d) and part.bias is not None:
                nn.init.kaiming_normal_(
                    part.weight, mode="fan_out", nonlinearity="relu", generator=rng
                )
                part.bias.zero_()
    return Network.from_module(nn.Sequential(OrderedDict(features=layers)), name=name)
