"""Small random changes of a picture before the network sees it: what survives them is no noise.

Every transform takes pictures, (n, channels, height, width) in 0–1, and a generator, and gives
pictures. In one step all pictures are changed alike, so that a picture does not depend on those
beside it. A transform may give several pictures of each: the first of all, the second of all, ….
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Transform = Callable[[Tensor, torch.Generator], Tensor]


def generator(*seeds: int) -> torch.Generator:
    """Give a generator of random numbers for each combination of seeds."""
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


@dataclass(frozen=True)
class Colour:
    """Change the brightness and the contrast of red, green and blue, each for itself.

    Attributes
    ----------
    amount : float
        To either side, at most: of the contrast as a share, of the brightness on the scale 0–1.
    """

    amount: float = 0.1

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        contrast, brightness = (torch.rand(2, 3, 1, 1, generator=drawn) * 2 - 1) * self.amount
        return 0.5 + (pictures - 0.5) * (1 + contrast.to(pictures)) + brightness.to(pictures)


@dataclass(frozen=True)
class Crops:
    """Cut square parts out of the picture, bring all to one size, and add noise (Fel et al. 2023).

    Attributes
    ----------
    n : int
        How many of each picture.
    size : (int, int)
        Of what is given: height and width in pixels.
    share : float
        Of the picture's shorter side that a part has, on average; with a standard deviation of
        0.05, and no less than that. Centres are normal about the picture's, with 0.15 of its sides;
        what lies outside is mirrored.
    noise : float
        Its standard deviation, on the scale 0–1.
    """

    n: int
    size: tuple[int, int]
    share: float
    noise: float = 0.08

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Change pictures."""
        shares = (self.share + 0.05 * torch.randn(self.n, generator=drawn)).clamp(0.05, 1.0)
        # In coordinates from -1 to 1 along each side, as affine_grid wants them.
        centres = 2 * 0.15 * torch.randn(self.n, 2, generator=drawn)
        shorter = min(pictures.shape[-2:])
        theta = torch.zeros(self.n, 2, 3)
        theta[:, 0, 0] = shares * shorter / pictures.shape[-1]
        theta[:, 1, 1] = shares * shorter / pictures.shape[-2]
        theta[:, :, 2] = centres
        grid = F.affine_grid(theta, [self.n, 1, *self.size], align_corners=False)
        grid = grid.to(pictures).repeat_interleave(len(pictures), 0)
        copies = pictures.repeat(self.n, 1, 1, 1)
        parts = F.grid_sample(copies, grid, padding_mode="reflection", align_corners=False)
        noise = torch.randn(self.n, *parts.shape[1:], generator=drawn).to(parts) * self.noise
        return parts + noise.repeat_interleave(len(pictures), 0)


def closing_in(
    steps: int, size: tuple[int, int], n: int = 32
) -> Callable[[int], Sequence[Transform]]:
    """Give the crops of each step: large ones at first, small ones at last (Fel et al. 2023).

    From 0.8 to 0.25 of the picture's side. Fel et al. go from a half to a twentieth, of pictures
    that are larger than a network's: of 224 to 512 pixels, a twentieth is a blur, and the last
    steps undo what the first have done.

    Parameters
    ----------
    steps : int
        Of the whole run.
    size : (int, int)
        Of what the network is given.
    n : int
        Crops of each picture in a step.
    """
    first, last = 0.8, 0.25

    def at(step: int) -> Sequence[Transform]:
        return (Crops(n, size, first + (last - first) * step / max(steps - 1, 1)),)

    return at


DEFAULT: tuple[Transform, ...] = (Pad(12), Jitter(8), ScaleAndRotate((0.9, 1.1), 10.0), Jitter(4))
"""After Olah et al. (2017): grey frame of 12 pixels, shifts of 8 and 4, ±10 %, ±10°."""

TILEABLE: tuple[Transform, ...] = (Roll(), Wrap(12), *DEFAULT[1:])
"""As `DEFAULT`, for pictures without an edge: every place is as often at the network's border, and
has its neighbours of the other side. `Fourier` has no edge either."""
