"""What a picture is made of while it is optimised.

The same objective gives other pictures if the gradient runs along other coordinates: pixels are
full of noise, frequencies are smooth (Mordvintsev et al. 2018, Differentiable image
parameterizations).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from probe.synthesis.transforms import generator

COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""How red, green and blue vary together in photographs: a square root of their covariance on
ImageNet (Olah et al. 2017, in their code). Rows are red, green, blue."""


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
        """Give the pictures, (n, 3, height, width) in 0–1, with their graph."""

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
        """Give the pictures."""
        return self.parameters[0].clone()

    def bound(self) -> None:
        """Clip to 0–1."""
        with torch.no_grad():
            self.parameters[0].clamp_(0, 1)


class Fourier(Parameterisation):
    """Frequencies of decorrelated colours, in all of which the same step is as visible.

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
        height, width = size
        frequencies = torch.hypot(
            torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
        )
        self.scale = (1 / frequencies.clamp(min=1 / max(size)) ** decay).to(device)
        noise = torch.stack(
            [
                torch.randn(3, *frequencies.shape, 2, generator=generator(seed, 0 if alike else k))
                for k in range(n)
            ]
        )
        self.parameters = [(sd * noise).to(device).requires_grad_()]

    def __call__(self) -> Tensor:
        """Give the pictures."""
        spectrum = torch.view_as_complex(self.parameters[0]) * self.scale
        return in_colour(torch.fft.irfft2(spectrum, self.size, norm="ortho") / 4)


def in_colour(decorrelated: Tensor) -> Tensor:
    """Turn decorrelated colours, (n, 3, height, width) around 0, into a picture in 0–1."""
    mixing = (COLOURS / COLOURS.norm(dim=0).max()).to(decorrelated)
    return torch.einsum("nchw,dc->ndhw", decorrelated, mixing).sigmoid()
