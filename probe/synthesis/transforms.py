"""Small random changes of a picture before the network sees it: what survives them is no noise.

Every transform takes pictures, (n, channels, height, width) in 0–1, and a generator, and gives as
many. In one step all pictures are changed alike, so that a picture does not depend on those beside
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Transform = Callable[[Tensor, torch.Generator], Tensor]


def generator(*seeds: int) -> torch.Generator:
    """Return a generator of random numbers for each combination of seeds."""
    (state,) = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> 1))  # torch takes 63 bits


def uniform(drawn: torch.Generator, low: float, high: float) -> float:
    """Draw one number."""
    return low + (high - low) * float(torch.rand((), generator=drawn))


@dataclass(frozen=True)
class Pad:
    """Lay a frame around the picture, so that what moves in comes from nowhere.

    Attributes
    ----------
    width : int
        In pixels.
    value : float
        Its grey.
    """

    width: int
    value: float = 0.5

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        return F.pad(pictures, [self.width] * 4, value=self.value)


@dataclass(frozen=True)
class Jitter:
    """Cut as many pixels off, at random sides.

    Attributes
    ----------
    pixels : int
    """

    pixels: int

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        top, left = torch.randint(self.pixels + 1, (2,), generator=drawn).tolist()
        height, width = (side - self.pixels for side in pictures.shape[-2:])
        return pictures[..., top : top + height, left : left + width]


@dataclass(frozen=True)
class ScaleAndRotate:
    """Enlarge and turn the picture about its centre, in one interpolation.

    Attributes
    ----------
    scales : tuple of float
        Smallest and largest.
    degrees : float
        To either side, at most.
    """

    scales: tuple[float, float] = (0.9, 1.1)
    degrees: float = 10.0

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        scale = uniform(drawn, *self.scales)
        angle = uniform(drawn, -self.degrees, self.degrees) * pi / 180
        height, width = pictures.shape[-2:]
        # In coordinates from -1 to 1 along each side, as affine_grid wants them.
        turn = torch.tensor(
            [
                [cos(angle) / scale, sin(angle) / scale * height / width, 0.0],
                [-sin(angle) / scale * width / height, cos(angle) / scale, 0.0],
            ]
        )
        grid = F.affine_grid(turn[None], [1, 1, height, width], align_corners=False)
        grid = grid.to(pictures).expand(len(pictures), -1, -1, -1)
        return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class Roll:
    """Shift the picture by any number of pixels; what leaves at one side comes in at the other."""

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        shifts = [int(torch.randint(side, (), generator=drawn)) for side in pictures.shape[-2:]]
        return pictures.roll(shifts, (-2, -1))


@dataclass(frozen=True)
class Wrap:
    """Lay a frame around the picture, of what lies there when the picture is repeated as a tile.

    Attributes
    ----------
    width : int
        In pixels; no more than the picture has.
    """

    width: int

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        return F.pad(pictures, [self.width] * 4, mode="circular")


DEFAULT: tuple[Transform, ...] = (Pad(12), Jitter(8), ScaleAndRotate((0.9, 1.1), 10.0), Jitter(4))
"""After Olah et al. (2017): grey frame of 12 pixels, shifts of 8 and 4, ±10 %, ±10°."""
