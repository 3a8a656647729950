"""Networks of known cells, for tests of the instruments that measure them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from probe.models import Network, Preprocessing

SIDE = 63


def gabor(
    orientation: float, frequency: float, sd: float = 6.0, phase: float = 0.0, reach: int = 20
) -> np.ndarray:
    """Compute a round Gabor without a mean; frequency in cycles per `SIDE` pixels."""
    y, x = np.mgrid[reach : -reach - 1 : -1, -reach : reach + 1].astype(float)
    turn = np.radians(orientation)
    along = x * np.cos(turn) + y * np.sin(turn)
    window = np.exp(-(x**2 + y**2) / (2 * sd**2))
    kernel = window * np.cos(2 * np.pi * frequency / SIDE * along + phase)
    return kernel - window * kernel.sum() / window.sum()


def bank(
    kernels: Sequence[np.ndarray], *, bias: float = 0.0, size: tuple[int, int] = (SIDE, SIDE)
) -> Network:
    """Build a network whose only layers are these kernels, of luminance, and a ReLU.

    Positions are 16 pixels apart, so that it takes no time.
    """
    weights = torch.from_numpy(np.stack(kernels)).float()[:, None].expand(-1, 3, -1, -1) / 3
    reach = weights.shape[-1] // 2
    filters = nn.Conv2d(3, len(kernels), weights.shape[-1], stride=16, padding=reach)
    with torch.no_grad():
        filters.weight.copy_(weights)
        filters.bias.fill_(bias)
    seen = Preprocessing("resize", size, mean=(0.5,) * 3, std=(0.5,) * 3)
    return Network.from_module(nn.Sequential(filters, nn.ReLU()), preprocessing=seen)


def sensitivity(kernel: np.ndarray, orientation: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Compute the response of a kernel to gratings: its Fourier transform's modulus."""
    reach = len(kernel) // 2
    y, x = np.mgrid[reach : -reach - 1 : -1, -reach : reach + 1].astype(float)
    turn = np.radians(np.asarray(orientation))[..., None, None]
    along = x * np.cos(turn) + y * np.sin(turn)
    wave = np.exp(2j * np.pi * np.asarray(frequency)[..., None, None] / SIDE * along)
    return np.abs((kernel * wave).sum((-1, -2)))
