"""What a picture is made of while it is optimised.

The same objective gives other pictures if the gradient runs along other coordinates: pixels are
full of noise, frequencies are smooth (Mordvintsev et al. 2018, Differentiable image
parameterizations).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import pi
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from probe.synthesis.transforms import generator

COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""How red, green and blue vary together in photographs: a square root of their covariance on
ImageNet (Olah et al. 2017, in their code). Rows are red, green, blue."""

EDGE = 4.0
"""How much faster a place becomes opaque, or clear, than its colour changes: by eye, such that
pictures have edges and no haze around them."""

OUTLINE = 0.016
"""Standard deviation of the blur of how opaque a place is, as a share of the shorter side. By eye:
at 0.01, pieces still come off; without, AlexNet's and SqueezeNet's fall into 44 to 122 pieces."""


class Parameterisation(ABC):
    """Some parameters, and the pictures that they stand for.

    Attributes
    ----------
    parameters : list of torch.Tensor
        Leaves that ask for gradients.
    """

    parameters: list[Tensor]

    @abstractmethod
    def __call__(self) -> Tensor:
        """Return the pictures, (n, 3, height, width) in 0–1, with their graph.

        Those that can be seen through have a fourth channel: how opaque they are.
        """

    def bound(self) -> None:  # noqa: B027 - most need none
        """Bring parameters back to where they make sense, after a step."""


class Pixels(Parameterisation):
    """The pixels themselves.

    Parameters
    ----------
    pictures : torch.Tensor, shape (n, 3, height, width)
        To begin with, in 0–1.
    """

    def __init__(self, pictures: Tensor) -> None:
        self.parameters = [pictures.detach().clone().requires_grad_()]

    def __call__(self) -> Tensor:
        """Return the pictures."""
        return self.parameters[0].clone()

    def bound(self) -> None:
        """Clip to 0–1."""
        with torch.no_grad():
            self.parameters[0].clamp_(0, 1)


class Fourier(Parameterisation):
    """Frequencies of decorrelated colours, in all of which the same step is as visible.

    They go on at the opposite side: the pictures have no edge.

    Parameters
    ----------
    n : int
        Number of pictures.
    size : (int, int)
        Height and width in pixels.
    seed : int
        Of the noise to begin with.
    alike : bool
        Whether all pictures begin with the same noise: a channel's picture is the same alone and
        in a sheet of all channels.
    sd : float
        Of the noise.
    decay : float
        Frequencies have amplitudes in proportion to 1/f to this power.
    device : torch.device
    """

    channels = 3

    def __init__(
        self,
        n: int,
        size: tuple[int, int],
        *,
        seed: int = 0,
        alike: bool = True,
        sd: float = 0.01,
        decay: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size = size
        frequencies = radii(size)
        self.scale = (1 / frequencies.clamp(min=1 / max(size)) ** decay).to(device)
        shape = (self.channels, *frequencies.shape, 2)
        self.parameters = [(sd * noise(n, shape, seed, alike, device)).requires_grad_()]

    def __call__(self) -> Tensor:
        """Return the pictures."""
        return in_colour(self.waves())

    def waves(self) -> Tensor:
        """Return the sum of all frequencies, (n, channels, height, width), around 0."""
        spectrum = torch.view_as_complex(self.parameters[0]) * self.scale
        return torch.fft.irfft2(spectrum, self.size, norm="ortho") / 4


class Transparent(Fourier):
    """As `Fourier`, with how opaque each place is as a fourth channel (Mordvintsev et al. 2018).

    The network has to see it over something: `probe.synthesis.natural.OverNoise`. Parameters are
    those of `Fourier`. How opaque a picture is changes smoothly, or it would be torn to shreds:
    every pixel that does not matter becomes clear, also between those that do.
    """

    channels = 4

    def __init__(self, n: int, size: tuple[int, int], **options: Any) -> None:
        super().__init__(n, size, **options)
        blur = torch.exp(-2 * (pi * OUTLINE * min(size) * radii(size)).square()).to(self.scale)
        colours = self.scale.expand(3, -1, -1)
        self.scale = torch.cat([colours, (self.scale * blur)[None]])

    def __call__(self) -> Tensor:
        """Return the pictures, (n, 4, height, width)."""
        waves = self.waves()
        return torch.cat([in_colour(waves[:, :3]), (EDGE * waves[:, 3:]).sigmoid()], 1)


class Laplacian(Parameterisation):
    """Decorrelated colours as a sum of pictures, each half as large as the one before.

    Parameters
    ----------
    n : int
        Number of pictures.
    size : (int, int)
        Height and width in pixels.
    seed : int
        Of the noise to begin with.
    alike : bool
        Whether all pictures begin with the same noise.
    sd : float
        Of the noise.
    device : torch.device
    """

    def __init__(
        self,
        n: int,
        size: tuple[int, int],
        *,
        seed: int = 0,
        alike: bool = True,
        sd: float = 0.01,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size = size
        self.parameters = []
        while min(size) >= 4:
            start = noise(n, (3, *size), seed, alike, device, len(self.parameters))
            self.parameters.append((sd * start).requires_grad_())
            size = (size[0] // 2, size[1] // 2)

    def __call__(self) -> Tensor:
        """Return the pictures."""
        pyramid = torch.zeros(())
        for level in self.parameters:
            pyramid = pyramid + F.interpolate(
                level, self.size, mode="bilinear", align_corners=False
            )
        return in_colour(pyramid)


def radii(size: tuple[int, int]) -> Tensor:
    """Return the frequencies of a picture's half spectrum, (height, width // 2 + 1), in 1/pixel."""
    return torch.hypot(torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None])


def noise(
    n: int,
    shape: tuple[int, ...],
    seed: int,
    alike: bool,
    device: torch.device | str,
    *seeds: int,
) -> Tensor:
    """Draw normal numbers, (n, *shape): the same for all n pictures, or for each its own."""
    pictures = [
        torch.randn(shape, generator=generator(seed, k, *seeds)) for k in range(1 if alike else n)
    ]
    return torch.stack(pictures).expand(n, *shape).to(device).clone()


def in_colour(decorrelated: Tensor) -> Tensor:
    """Turn decorrelated colours, (n, 3, height, width) around 0, into a picture in 0–1."""
    mixing = (COLOURS / COLOURS.norm(dim=0).max()).to(decorrelated)
    return torch.einsum("nchw,dc->ndhw", decorrelated, mixing).sigmoid()
