r"""HMAX: simple and complex cells, twice (Riesenhuber & Poggio 1999, Nat Neurosci 2:1019).

In the form of Serre, Wolf, Bileschi, Riesenhuber & Poggio 2007, IEEE PAMI 29:411, with the filters
and bands of its table 1:

- **S1**: Gabor filters of 16 sizes and 4 orientations; the modulus of their response, divided by
  the norm of the pixels that they cover.
- **C1**: the largest S1 response of two neighbouring sizes in a window, for each of 8 bands.
- **S2**: exp(−β‖X − P‖²) for patches X of C1 and 1,000 templates P of 4, 8, 12 and 16 positions
  a side, which are patches of C1 for photographs.
- **C2**: the largest response of each template over all positions and bands.

Where something was left open: β is 1. The templates are imprinted from the two photographs that
scikit-learn ships, at 140 pixels in height, at random places of the second band (filters of 11 and
13 pixels) as in the authors' software, by a seed. As there, what reaches beyond the picture is
silent. C1 is kept at every pixel, and S2 takes each band at the paper's spacing.

Without that silence (`borders`), the RDM of C1 for the 92 images is much like that which was
published for the V1 model of Kriegeskorte, Mur & Bandettini 2008 (Front Syst Neurosci 2:4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from probe.errors import ProbeError
from probe.models.light import luma
from probe.models.v1_gabor import across_and_along

SIZE = (140, 140)
"""Height and width of the pictures, in pixels: the height is the paper's."""

# Table 1 of Serre et al. 2007: of each band, the two filters' sides, deviations of their envelopes
# and wavelengths, all in pixels; the side of the window of C1, and the spacing of its positions.
BANDS = (
    ((7, 9), (2.8, 3.6), (3.5, 4.6), 8, 4),
    ((11, 13), (4.5, 5.4), (5.6, 6.8), 10, 5),
    ((15, 17), (6.3, 7.3), (7.9, 9.1), 12, 6),
    ((19, 21), (8.2, 9.2), (10.3, 11.5), 14, 7),
    ((23, 25), (10.2, 11.3), (12.7, 14.1), 16, 8),
    ((27, 29), (12.3, 13.4), (15.4, 16.8), 18, 9),
    ((31, 33), (14.6, 15.8), (18.2, 19.7), 20, 10),
    ((35, 37), (17.0, 18.2), (21.2, 22.8), 22, 11),
)
ORIENTATIONS = (0.0, 45.0, 90.0, 135.0)
"""In degrees: 0° are vertical bars, and they turn anticlockwise, as in `probe.stimuli.gratings`."""
ASPECT = 0.3
"""How wide an envelope is across the bars, as a share of its length along them."""
TEMPLATE_SIDES = (4, 8, 12, 16)
N_TEMPLATES = 250
"""Of each side."""
SHARPNESS = 1.0
"""β."""
SEED = 0
"""Of the templates that `probe` gives the network's name."""
VERSION = 2
"""Of the recipe: raised when it changes, so that no old templates are taken."""

_IMPRINTED_BAND = 1
_LARGEST = 0.12  # of templates drawn at random, whose mean is that of C1 for photographs: .06


class S1(nn.Module):
    """Gabor filters: (n, 3, y, x), from 0 to 1, to (n, 64, y, x), from 0 to 1.

    The orientations of the smallest size come first.
    """

    def __init__(self, borders: bool = False) -> None:
        super().__init__()
        self.borders = borders
        for sides, deviations, wavelengths, _, _ in BANDS:
            for side, deviation, wavelength in zip(sides, deviations, wavelengths, strict=True):
                filters = np.stack([gabor(side, deviation, wavelength, t) for t in ORIENTATIONS])
                name = f"gabors_{side}"
                self.register_buffer(name, torch.from_numpy(filters[:, None].astype(np.float32)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the moduli of normalised responses."""
        grey = luma(pictures)
        maps = []
        for side in (side for band in BANDS for side in band[0]):
            gabors, reach = self.get_buffer(f"gabors_{side}"), side // 2
            framed = functional.pad(grey, (reach,) * 4) if self.borders else grey
            responses = functional.conv2d(framed, gabors).abs()
            responses = responses / (_window_sums(framed.square(), side) + 1e-6).sqrt()
            maps.append(responses if self.borders else functional.pad(responses, (reach,) * 4))
        return torch.cat(maps, 1)


class C1(nn.Module):
    """The largest of two sizes and of a window: (n, 64, y, x) to (n, 32, y, x).

    The orientations of the finest band come first.
    """

    def forward(self, s1: Tensor) -> Tensor:
        """Return the responses of complex cells at every pixel."""
        bands = []
        pairs = s1.unflatten(1, (len(BANDS), 2, len(ORIENTATIONS)))
        for k, (_, _, _, window, _) in enumerate(BANDS):
            larger = functional.pad(pairs[:, k].amax(1), (window // 2 - 1, window // 2) * 2)
            rows = functional.max_pool2d(larger, (window, 1), 1)
            bands.append(functional.max_pool2d(rows, (1, window), 1))
        return torch.cat(bands, 1)


class S2(nn.Module):
    """How near patches of C1 are to templates: (n, 32, y, x) to (n, templates, positions).

    The positions of all bands one after the other, row by row, the finest band first. Zero where a
    patch reaches beyond its map, and 1 where it is the template.
    """

    output_axes = ("picture", "channel", "token")
    compared_by_default = False  # 3.8 million units a picture

    def __init__(self, n_templates: int) -> None:
        super().__init__()
        for side in TEMPLATE_SIDES:
            templates = torch.empty(n_templates, len(ORIENTATIONS), side, side)
            nn.init.uniform_(templates, 0.0, _LARGEST)
            setattr(self, f"templates_{side}", nn.Parameter(templates))

    def forward(self, c1: Tensor) -> Tensor:
        """Return the responses of all templates."""
        bands = [self._responses(band) for band in spaced(c1)]
        return torch.cat(bands, 2)

    def _responses(self, band: Tensor) -> Tensor:
        """Return (n, templates, positions) of one band."""
        sizes = []
        for side in TEMPLATE_SIDES:
            templates = self.get_parameter(f"templates_{side}")
            n, (height, width) = len(templates), band.shape[2:]
            if min(height, width) < side:
                sizes.append(band.new_zeros(len(band), n, height * width))
                continue
            norms = _window_sums(band.square().sum(1, keepdim=True), side)
            products = functional.conv2d(band, templates)
            template_norms = templates.square().sum((1, 2, 3))[:, None, None]
            distances = (norms - 2.0 * products + template_norms).clamp_min(0.0)
            responses = torch.exp(-SHARPNESS * distances)
            edge = ((side - 1) // 2, side // 2)
            sizes.append(functional.pad(responses, edge * 2).flatten(2))
        return torch.cat(sizes, 1)


class C2(nn.Module):
    """The largest response of each template: (n, templates, positions) to (n, templates)."""

    def forward(self, s2: Tensor) -> Tensor:
        """Return the largest response over positions and bands."""
        return s2.amax(2)


class HMAX(nn.Module):
    """HMAX: (n, 3, y, x), from 0 to 1, to the (n, templates) of C2.

    Parameters
    ----------
    n_templates : int
        Of each of the four sizes.
    borders : bool
        Let filters look beyond the picture, where all is black, as the published RDM suggests that
        those of Kriegeskorte et al. did. The edge of the picture is then the strongest of all
        contours, the same in every picture.
    """

    def __init__(self, n_templates: int = N_TEMPLATES, *, borders: bool = False) -> None:
        super().__init__()
        self.s1 = S1(borders)
        self.c1 = C1()
        self.s2 = S2(n_templates)
        self.c2 = C2()

    def forward(self, x: Tensor) -> Tensor:
        """Return C2."""
        return self.c2(self.s2(self.c1(self.s1(x))))


def gabor(side: int, deviation: float, wavelength: float, orientation: float) -> np.ndarray:
    """Compute a round, even Gabor filter with a mean of 0 and a norm of 1.

    Parameters
    ----------
    side, deviation, wavelength : float
        In pixels.
    orientation : float
        In degrees.

    Returns
    -------
    numpy.ndarray, shape (side, side)
    """
    u, v = across_and_along(side // 2, orientation)
    values = np.exp(-(u**2 + (ASPECT * v) ** 2) / (2.0 * deviation**2))
    values *= np.cos(2.0 * np.pi * u / wavelength)
    values[np.hypot(u, v) > side / 2.0] = 0.0
    values -= values.mean()
    return values / np.linalg.norm(values)


def spaced(c1: Tensor) -> list[Tensor]:
    """Return the bands of C1 at the paper's spacing: (n, 4, y / spacing, x / spacing) each."""
    bands = c1.split(len(ORIENTATIONS), 1)
    return [
        band[:, :, step // 2 :: step, step // 2 :: step]
        for band, (*_, step) in zip(bands, BANDS, strict=True)
    ]


def _window_sums(x: Tensor, side: int) -> Tensor:
    """Add up all windows, first in columns and then in rows: (n, 1, y, x) to fewer y and x."""
    columns = functional.avg_pool2d(x, (side, 1), 1)
    return functional.avg_pool2d(columns, (1, side), 1) * side**2


def photographs() -> list[Image.Image]:
    """Return the two photographs that scikit-learn ships, a temple and a flower."""
    from sklearn.datasets import load_sample_images

    return [Image.fromarray(image) for image in load_sample_images().images]


def imprint(module: HMAX, pictures: Sequence[Image.Image], seed: int = SEED) -> None:
    """Make patches of C1 for pictures the templates of S2.

    Parameters
    ----------
    module : HMAX
        Its templates are replaced.
    pictures : sequence of PIL.Image.Image
        Of any size; they are brought to 140 pixels in height, in their own proportions.
    seed : int
        Of which picture and which place a template is from.

    Raises
    ------
    ProbeError
        If a picture is too narrow for the largest template.
    """
    maps = []
    with torch.inference_mode():
        for picture in pictures:
            width = round(picture.width * SIZE[0] / picture.height)
            if width < max(TEMPLATE_SIDES) * BANDS[_IMPRINTED_BAND][-1]:
                raise ProbeError(
                    f"a picture of {picture.width}×{picture.height} px is too narrow for templates "
                    f"of {max(TEMPLATE_SIDES)} positions"
                )
            small = picture.convert("RGB").resize((width, SIZE[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(small, np.float32).transpose(2, 0, 1) / 255.0
            c1 = module.c1(module.s1(torch.from_numpy(pixels.copy())[None]))
            maps.append(spaced(c1)[_IMPRINTED_BAND][0])
    rng = np.random.default_rng(seed)
    for side in TEMPLATE_SIDES:
        templates = module.s2.get_parameter(f"templates_{side}").data
        for template in templates:
            c1 = maps[rng.integers(len(maps))]
            y, x = (int(rng.integers(n - side + 1)) for n in c1.shape[1:])
            template.copy_(c1[:, y : y + side, x : x + side])


def imprinted(seed: int = SEED) -> HMAX:
    """Build HMAX with templates imprinted from scikit-learn's photographs."""
    with torch.random.fork_rng(devices=[]):
        module = HMAX().eval()
    imprint(module, photographs(), seed)
    return module
