"""A small network, and pictures of noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from probe.models import Network, Preprocessing
from probe.stimuli import StimulusSet

SIZE = 41


class Small(nn.Module):
    """Two convolutions with in-place ReLUs and a pool between them, a third beside, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.relu1 = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.beside = nn.Conv2d(6, 8, 1)
        self.relu2 = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)
        self.dropout = nn.Dropout()
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
                spread = (2 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.1
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu1(self.conv1(x)))
        x = self.relu2(self.conv2(x) + self.beside(x))
        return self.head(self.dropout(x.mean((2, 3))))


@pytest.fixture
def small() -> Network:
    return Network.from_module(
        Small().train(), name="small", preprocessing=Preprocessing("resize", (SIZE, SIZE))
    )


@pytest.fixture(scope="session")
def noise() -> StimulusSet:
    """23 pictures."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(23)]
    return StimulusSet([f"noise-{k:02d}" for k in range(23)], pictures, "noise")


@pytest.fixture
def state():
    """Everything about a network, and the random state, that must be as it was."""

    def state(network: Network) -> list[Any]:
        module = network.module
        found: list[Any] = [torch.random.get_rng_state().tolist()]
        for part in module.modules():
            hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
            found += [part.training, getattr(part, "inplace", None), [len(h) for h in hooks]]
        for parameter in module.parameters():
            found += [parameter.requires_grad, parameter.grad, parameter.detach().tolist()]
        return found

    return state
