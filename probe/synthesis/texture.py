"""Pictures that are the same texture as another, and otherwise as random as can be.

Noise is changed until its statistics (`probe.synthesis.texture_statistics`) are those of a picture
(Portilla & Simoncelli 2000, Int J Comput Vis 40:49). They impose one group of statistics after the
other; here the gradient of all of them is followed at once, by L-BFGS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe import images
from probe.errors import ProbeError
from probe.synthesis.optimise import optimise
from probe.synthesis.parameterisations import Parameterisation
from probe.synthesis.run import Loop
from probe.synthesis.texture_statistics import (
    NEIGHBOURHOOD,
    ORIENTATIONS,
    SCALES,
    TextureStatistics,
)
from probe.synthesis.transforms import generator

STEPS = 80
"""Of L-BFGS: after as many, more steps change nothing that one sees."""

ITERATIONS = 10
"""Steps of L-BFGS between two looks at the clock, the key board and the range of grey levels."""

RELATIVE = (
    "kurtosis", "lowpass_kurtosis", "lowpass_variance", "highpass_variance", "magnitude_mean",
    "variance",
)  # fmt: skip
"""Statistics whose deviation is measured as a share: all others lie around −1 … 1."""

OUT_OF_RANGE = 10.0
"""Weight of the mean squared distance of pixels from the range of grey levels, in SD of them."""


class GreyLevels(Parameterisation):
    """Grey levels in units of a texture's: mean 0 and standard deviation 1, without bounds.

    Parameters
    ----------
    pictures : torch.Tensor, shape (n, height, width)
        To begin with.
    """

    def __init__(self, pictures: Tensor) -> None:
        self.parameters = [pictures.detach().clone().requires_grad_()]

    def __call__(self) -> Tensor:
        """Return the pictures, (n, height, width)."""
        return self.parameters[0].clone()


def synthesise_texture(
    picture: images.Picture,
    size: int | tuple[int, int] | None = None,
    *,
    seed: int = 0,
    steps: int = STEPS,
    scales: int = SCALES,
    orientations: int = ORIENTATIONS,
    device: str = "cpu",
    progress: bool | None = None,
) -> np.ndarray:
    return None


def deviation(
    measured: Mapping[str, Tensor], reference: Mapping[str, Tensor]
) -> Tensor:
    total = torch.zeros(())
    for name, values in measured.items():
        off = values - reference[name]
        if name in RELATIVE:
            off = off / reference[name]
        total = total + (off**2).reshape(len(off), -1).sum(1)
    return total
