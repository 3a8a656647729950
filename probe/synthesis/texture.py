"""Pictures that are the same texture as another, and otherwise as random as can be.

Noise is changed until its statistics (`probe.synthesis.texture_statistics`) are those of a picture
(Portilla & Simoncelli 2000, Int J Comput Vis 40:49). They impose one group of statistics after the
other; here the gradient of all of them is followed at once, by L-BFGS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from probe import images
from probe.errors import ProbeError
from probe.images import Picture
from probe.models.devices import keep_freed_memory, resolve_device
from probe.models.light import LUMA
from probe.output.pictures import Made
from probe.synthesis.optimise import optimise
from probe.synthesis.parameterisations import Parameterisation
from probe.synthesis.run import Loop, on_threads
from probe.synthesis.texture_statistics import (
    NEIGHBOURHOOD,
    SCALES,
    Pyramid,
    TextureStatistics,
)
from probe.synthesis.transforms import generator

MULTIPLE = 2**SCALES
"""Sides of pictures are multiples of as many pixels."""

LEAST_SIDE = NEIGHBOURHOOD * MULTIPLE
"""The smallest side of a picture, in pixels, whose statistics are all there."""

STEPS = 60
"""Of L-BFGS; more change nothing that one sees."""

STEPS_AT_ONCE = 10
"""Steps between two looks at Ctrl-C and the progress bar."""

MEMORY = 20
"""Past steps by which L-BFGS guesses the curvature."""

RELATIVE = (
    "kurtosis", "lowpass_kurtosis", "variance", "lowpass_variance", "highpass_variance",
    "magnitude_mean",
)  # fmt: skip
"""Statistics whose deviation is a share of the value: they are not around −1 … 1 as all others."""

OUT_OF_RANGE = 10.0
"""Weight of the mean square by which pixels are out of the range of grey levels."""


@dataclass(frozen=True, eq=False, repr=False)
class Texture(Made):
    """A synthesised texture, and how it was made: see `probe.output.pictures.Made`.

    Attributes
    ----------
    deviation : float
        Root of the mean squared deviation of its statistics from the picture's.
    """

    deviation: float


def synthesise_texture(
    picture: Picture,
    size: int = 256,
    *,
    seed: int = 0,
    steps: int = STEPS,
    device: str = "auto",
    progress: bool | None = None,
) -> Texture:
    """Make a picture of the same texture as another, by Portilla & Simoncelli's statistics.

    Parameters
    ----------
    picture : path, bytes, uint8 array (height, width[, 3 or 4]), or Pillow image
        Of a texture. It is scaled such that its shorter side is ``size``, its middle is cut out,
        and it is made grey. Opposite edges are taken for neighbours.
    size : int
        Height and width of the result, in pixels: a multiple of 16, 112 or more. The result is a
        tile: opposite edges fit together.
    seed : int
        Of the noise that it starts from; every seed gives another sample of the texture.
    steps : int
        Of L-BFGS.
    device : str
        ``auto``, ``cpu``, ``cuda``, ….
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Texture
        Grey.

    Raises
    ------
    ProbeError
        If the picture cannot be read or is of one grey level, or there is no texture of that size.

    See Also
    --------
    probe.stimuli.matched_noise : The same spectrum without the texture.
    probe.stimuli.draw_texture : Textures to begin with.

    Examples
    --------
    >>> from probe.stimuli import draw_texture
    >>> from probe.synthesis import synthesise_texture
    >>> pebbles = (255 * draw_texture("pebbles", size=112)).astype("uint8")
    >>> synthesise_texture(pebbles, size=112, steps=20)
    <Texture texture of image, 112×112>
    """
    check_size(size)
    if steps < 1:
        raise ProbeError(f"steps {steps}: expected 1 or more")
    original = images.open_picture(picture)
    source = grey_square(original.pixels, size)
    grey, deviation = synthesise(
        source, seed=seed, steps=steps, device=resolve_device(device), progress=progress
    )
    about = {
        "made": "texture",
        "image": original.name,
        "image_sha256": images.sha256_of(original),
        "size": size,
        "seed": seed,
        "steps": steps,
        "deviation": deviation,
        "torch": torch.__version__,
    }
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    return Texture(pixels, None, f"texture of {original.name}", about, deviation)


def check_size(size: int) -> None:
    """Raise ProbeError if no texture of that size can be synthesised."""
    if size % MULTIPLE or size < LEAST_SIDE:
        near = max(LEAST_SIDE, MULTIPLE * round(size / MULTIPLE))
        raise ProbeError(
            f"size {size}: a texture's side is a multiple of {MULTIPLE} px, and {LEAST_SIDE} or "
            f"more, such as {near}"
        )


def grey_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Scale a picture to a shorter side, cut the middle out, and make it grey.

    Parameters
    ----------
    pixels : numpy.ndarray, shape (height, width, 3), in [0, 1]
    size : int

    Returns
    -------
    numpy.ndarray, float32, shape (size, size), in [0, 1]
    """
    grey = torch.from_numpy(np.asarray(pixels @ np.array(LUMA), np.float32))[None, None]
    factor = size / min(grey.shape[-2:])
    height, width = (max(size, round(side * factor)) for side in grey.shape[-2:])
    if (height, width) != tuple(grey.shape[-2:]):
        grey = F.interpolate(grey, (height, width), mode="bicubic", antialias=True)
    top, left = (height - size) // 2, (width - size) // 2
    return grey[0, 0, top : top + size, left : left + size].clamp(0, 1).contiguous().numpy()


def synthesise(
    source: np.ndarray,
    *,
    seed: int = 0,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
    progress: bool | None = None,
) -> tuple[np.ndarray, float]:
    """Synthesise a texture from grey levels.

    Parameters
    ----------
    source : numpy.ndarray, float32, shape (height, width), in [0, 1]
    seed, steps, device, progress
        As in `synthesise_texture`.

    Returns
    -------
    grey : numpy.ndarray, float32, shape (height, width), in [0, 1]
    deviation : float
        See `Texture`.

    Raises
    ------
    ProbeError
        If the source is of one grey level, or too small.
    """
    reference = torch.from_numpy(np.asarray(source, np.float32)).to(device)[None]
    mean, sd = reference.mean(), reference.std(correction=0)
    if not sd > 1e-3:
        raise ProbeError("the picture is of one grey level: it shows no texture")
    reference = (reference - mean) / sd
    low, high = -mean / sd, (1 - mean) / sd
    measure = TextureStatistics((reference.shape[-2], reference.shape[-1]), device=device)
    with torch.no_grad():
        expected = measure(reference)
        n_values = sum(values.numel() for values in expected.values())
        made = GreyLevels(_start(measure, reference, generator(seed)))
    squared = torch.zeros(())

    def objective(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        nonlocal squared
        with torch.enable_grad():
            leaf = pictures.detach().requires_grad_()
            squared = squared_deviation(measure(leaf), expected)
            out = F.relu(low - leaf) + F.relu(leaf - high)
            value = -(squared + OUT_OF_RANGE * (out**2).mean((-2, -1)))
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    whole, rest = divmod(steps, STEPS_AT_ONCE)
    # Maps are small: threads take longer to meet than they save, and another number of them would
    # make another picture.
    with keep_freed_memory(), on_threads(1):
        for n_rounds, n_steps in ((whole, STEPS_AT_ONCE), (1, rest)):
            if not (n_rounds and n_steps):
                continue
            lbfgs = torch.optim.LBFGS(
                made.parameters, max_iter=n_steps, max_eval=10 * n_steps, history_size=MEMORY,
                line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0,
            )  # fmt: skip
            optimise(made, objective, lbfgs, n_rounds, loop=Loop(progress=progress), desc="texture")
    with torch.no_grad():
        grey = (made() * sd + mean).clamp(0, 1)
        squared = squared_deviation(measure((grey - mean) / sd), expected)
    return grey[0].cpu().numpy(), float((squared / n_values).sqrt())


class GreyLevels(Parameterisation):
    """Grey levels without bounds.

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


def squared_deviation(measured: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Tensor:
    """Sum the squared deviations of statistics, (n,); see `RELATIVE`."""
    total = torch.zeros(())
    for name, values in measured.items():
        off = values - expected[name]
        if name in RELATIVE:
            off = off / (expected[name].abs() + 1e-6)
        total = total.to(off) + (off**2).reshape(len(off), -1).sum(1)
    return total


def _start(measure: TextureStatistics, reference: Tensor, drawn: torch.Generator) -> Tensor:
    """Draw noise whose bands have the variances of a picture's: from there it is not far."""
    white = torch.randn(reference.shape, generator=drawn).to(reference)
    of_noise, of_picture = measure.pyramid(white), measure.pyramid(reference)

    def scaled(noise: Tensor, like: Tensor) -> Tensor:
        return noise * (_sd(like.real) / _sd(noise.real))

    return measure.pyramid.invert(
        Pyramid(
            scaled(of_noise.high, of_picture.high),
            tuple(map(scaled, of_noise.bands, of_picture.bands)),
            scaled(of_noise.low, of_picture.low),
            (),
        )
    )


def _sd(maps: Tensor) -> Tensor:
    return maps.std((-2, -1), correction=0, keepdim=True)
