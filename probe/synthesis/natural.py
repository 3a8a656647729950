"""Pictures that share their amplitude spectrum with photographs.

MACO (Fel et al. 2023, Unlocking feature visualization for deeper networks with magnitude
constrained optimization): what is seen lies in the phases alone. Amplitudes are those of
photographs, and so no frequency can be abused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from probe.synthesis.parameterisations import Parameterisation, in_colour, noise, radii

SPECTRUM = torch.tensor(
    [
        [[-5.263, 0.344, -0.018], [-3.079, 0.278, -0.206], [-0.106, 0.060, -0.031]],
        [[-4.717, 0.100, 0.154], [-2.699, 0.201, -0.060], [-0.013, 0.058, -0.004]],
        [[-3.626, 0.058, 0.190], [-1.811, 0.170, 0.083], [0.092, 0.036, 0.030]],
    ]
)
"""Of photographs' decorrelated colours, the logarithm of their power at frequency f (in 1/pixel)
and orientation θ: the sum of its entries times (log f)^i · cos(2kθ), for each colour a row for each
i and a column for each k. ``analyses/natural_spectrum.py`` computes it."""


def amplitudes(size: tuple[int, int], spectrum: Tensor = SPECTRUM) -> Tensor:
    """Compute the amplitudes of photographs, in decorrelated colours.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    spectrum : torch.Tensor, shape (3, 3, 3)
        As `SPECTRUM`.

    Returns
    -------
    torch.Tensor, shape (3, height, width // 2 + 1)
        Of the half spectrum of an orthonormal transform; 0 for the mean.
    """
    logarithm = radii(size).clamp(min=1 / max(size)).log()
    angle = torch.atan2(torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None])
    power = sum(
        spectrum[:, i, k, None, None] * logarithm**i * torch.cos(2 * k * angle)
        for i in range(3)
        for k in range(3)
    )
    amplitude = torch.as_tensor(power / 2).exp()
    amplitude[:, 0, 0] = 0
    return amplitude


class Maco(Parameterisation):
    """Phases alone, with the amplitudes of photographs.

    Parameters
    ----------
    n : int
        Number of pictures.
    size : (int, int)
        Height and width in pixels.
    seed : int
        Of the phases to begin with.
    alike : bool
        Whether all pictures begin with the same phases.
    device : torch.device
    """

    def __init__(
        self,
        n: int,
        size: tuple[int, int],
        *,
        seed: int = 0,
        alike: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        self.size = size
        self.amplitudes = amplitudes(size).to(device)
        phases = pi * noise(n, tuple(self.amplitudes.shape), seed, alike, device)
        self.parameters = [phases.requires_grad_()]

    def __call__(self) -> Tensor:
        """Return the pictures."""
        spectrum = torch.polar(self.amplitudes.expand_as(self.parameters[0]), self.parameters[0])
        return in_colour(torch.fft.irfft2(spectrum, self.size, norm="ortho"))


@dataclass(frozen=True)
class OverNoise:
    """Lay pictures that can be seen through over noise with the amplitudes of photographs."""

    def __call__(self, pictures: Tensor, drawn: torch.Generator) -> Tensor:
        """Take pictures (n, 4, height, width), and give (n, 3, height, width)."""
        size = (pictures.shape[-2], pictures.shape[-1])
        amplitude = amplitudes(size)
        phases = 2 * pi * torch.rand(amplitude.shape, generator=drawn)
        behind = in_colour(
            torch.fft.irfft2(torch.polar(amplitude, phases), size, norm="ortho")[None]
        )
        opaque = pictures[:, 3:]
        return pictures[:, :3] * opaque + behind.to(pictures) * (1 - opaque)
