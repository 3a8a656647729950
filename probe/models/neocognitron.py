r"""The neocognitron: S-cells that learn without a teacher, and C-cells (Fukushima 1980).

Biol Cybern 36:193, with the sizes of its simulation: planes of 16×16, 10×10, 8×8, 6×6, 2×2 and 1×1
cells, 24 in each layer, windows of 5×5 (the last of 2×2), columns of 5×5 (in the last layer, of all
2×2), r of 4, 1.5 and 1.5, q of 1, 16 and 16, α of ½, and 20 presentations of each picture. With
inputs u, and an inhibitory v = √(Σ c u²) of the same window,

    S = r φ[(1 + Σ a u) / (1 + 2r/(1+r) b v) − 1],    φ[x] = max(x, 0),
    C = ψ[(1 + Σ d S) / (1 + mean Σ d S) − 1],        ψ[x] = φ[x] / (α + φ[x]).

The cells of a plane share a and b. After each picture, the strongest S-cell of every column of
neighbouring cells, at most one of a plane, is strengthened for what it saw: a grows by q c u, and b
by q v / 2.

Where the paper leaves it open, or the pictures differ: c and d fall with the distance from the
middle as .9 to its power; the first a are small numbers drawn by a seed, without the paper's
preference for orientations; stages learn one after the other; the pictures are 0, 1, 2, 3 and 4 in
lines of one pixel, as the paper's were, drawn here, and seen 20 times. White ink on black. Thick
strokes look all alike to a window of 5×5 cells, and would be learned by one plane. After it, 2 and
3 have a plane of the last layer each, though a weak one, and 0, 1 and 4 share one; the paper's five
patterns had five. To photographs, mostly planes respond that have learned nothing, and very weakly.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional

from probe.models.light import luma

SIZE = (16, 16)
"""Height and width of the pictures, in pixels."""
N_PLANES = 24
SIDES = ((16, 10), (8, 6), (2, 1))
"""Cells along a side of the S- and C-planes of each stage."""
WINDOWS = ((5, 5), (5, 5), (5, 2))
"""Cells along a side of what an S- and a C-cell see."""
SELECTIVITY = (4.0, 1.5, 1.5)
"""r: how strong inhibition is."""
RATES = (1.0, 16.0, 16.0)
"""q: how fast connections grow."""
SATURATION = 0.5
"""α."""
COLUMN = 5
"""Cells along a side of a column, within which the strongest learns."""
N_ROUNDS = 20
"""How often each picture is seen: the paper's."""
DIGITS = (
    (((6, 2), (9, 2), (11, 4), (11, 11), (9, 13), (6, 13), (4, 11), (4, 4), (6, 2)),),
    (((7, 2), (7, 13)),),
    (((4, 4), (6, 2), (9, 2), (11, 4), (11, 6), (4, 13), (11, 13)),),
    (
        ((4, 3), (5, 2), (9, 2), (11, 4), (9, 7), (6, 7)),
        ((9, 7), (11, 9), (11, 11), (9, 13), (5, 13), (4, 12)),
    ),
    (((9, 13), (9, 2), (3, 10), (12, 10)),),
)
"""Strokes of 0, 1, 2, 3 and 4, as the columns and rows of their corners."""
SEED = 0
"""Of the first connections, and so of which plane learns what."""
VERSION = 1
"""Of the recipe: raised when it changes, so that no old connections are taken."""

_FALL = 0.9
_FIRST = 1e-4  # the largest of the first connections


class SCells(nn.Module):
    """Cells that see a feature: (n, planes before, y, x) to (n, planes, side, side)."""

    def __init__(self, before: int, sides: tuple[int, int], window: int, r: float) -> None:
        super().__init__()
        self.margin = _margin(*sides, window)
        self.r = r
        falling = _falling(window) / before
        self.register_buffer("c", falling.expand(1, before, -1, -1).clone())
        self.a = nn.Parameter(torch.empty(N_PLANES, before, window, window))
        self.b = nn.Parameter(torch.empty(N_PLANES))
        with torch.no_grad():
            nn.init.uniform_(self.a, 0.0, _FIRST).mul_(self.get_buffer("c"))
            nn.init.zeros_(self.b)

    def forward(self, x: Tensor) -> Tensor:
        """Return the responses of all planes."""
        framed = functional.pad(x, (self.margin,) * 4)
        excitation = functional.conv2d(framed, self.a)
        weight = 2.0 * self.r / (1.0 + self.r) * self.b[:, None, None]
        inhibition = weight * self._energy(framed)
        # (1 + e) / (1 + i) − 1, so that the small responses of new cells are not rounded away.
        return self.r * ((excitation - inhibition) / (1.0 + inhibition)).clamp_min(0.0)

    def _energy(self, framed: Tensor) -> Tensor:
        """Return v, what the inhibitory cells do: (n, 1, side, side)."""
        return (functional.conv2d(framed.square(), self.get_buffer("c")) + 1e-12).sqrt()

    @torch.no_grad()
    def learn(self, x: Tensor, rate: float) -> None:
        """Strengthen the strongest cells for a picture: (1, planes before, y, x)."""
        responses = self(x)[0].detach()
        framed = functional.pad(x, (self.margin,) * 4)
        energy = self._energy(framed)[0, 0]
        window = self.a.shape[-1]
        for plane, y, x_ in representatives(responses):
            patch = framed[0, :, y : y + window, x_ : x_ + window]
            self.a[plane] += rate * self.get_buffer("c")[0] * patch
            self.b[plane] += rate / 2.0 * energy[y, x_]


class CCells(nn.Module):
    """Cells that see a feature wherever it is in their window: each plane that of an S-plane."""

    def __init__(self, sides: tuple[int, int], window: int) -> None:
        super().__init__()
        self.margin = _margin(*sides, window)
        self.register_buffer("d", _falling(window).expand(N_PLANES, 1, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return the responses of all planes, from 0 to 1."""
        framed = functional.pad(x, (self.margin,) * 4)
        pooled = functional.conv2d(framed, self.get_buffer("d"), groups=N_PLANES)
        mean = pooled.mean(1, keepdim=True)
        positive = ((pooled - mean) / (1.0 + mean)).clamp_min(0.0)
        return positive / (SATURATION + positive)


class Neocognitron(nn.Module):
    """The neocognitron: (n, 3, 16, 16), from 0 (black) to 1 (white ink), to (n, 24, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        before, cells = 1, SIZE[0]
        for k, ((s, c), (s_window, c_window)) in enumerate(zip(SIDES, WINDOWS, strict=True), 1):
            self.add_module(f"s{k}", SCells(before, (cells, s), s_window, SELECTIVITY[k - 1]))
            self.add_module(f"c{k}", CCells((s, c), c_window))
            before, cells = N_PLANES, c

    def forward(self, x: Tensor) -> Tensor:
        """Return the responses of the last C-cells."""
        x = luma(x)
        for stage in self.children():
            x = stage(x)
        return x


def representatives(responses: Tensor) -> list[tuple[int, int, int]]:
    """Choose the cells that learn: the strongest of a column, and of those, of a plane.

    Parameters
    ----------
    responses : torch.Tensor, shape (planes, y, x)

    Returns
    -------
    list of (int, int, int)
        Plane, row and column; none for a picture that no cell responds to.
    """
    reach = COLUMN // 2
    rows, columns = responses.shape[1:]
    strongest: dict[int, tuple[float, int, int]] = {}
    for y in range(rows):
        for x in range(columns):
            top, left = max(y - reach, 0), max(x - reach, 0)
            column = responses[:, top : y + reach + 1, left : x + reach + 1]
            value, plane = responses[:, y, x].max(0)
            if float(value) <= 0.0 or value < column.max():
                continue
            if float(value) > strongest.get(int(plane), (0.0, 0, 0))[0]:
                strongest[int(plane)] = float(value), y, x
    return [(plane, y, x) for plane, (_, y, x) in strongest.items()]


def examples() -> Tensor:
    """Draw the pictures that layers are organised by: (5, 3, 16, 16), 1 on lines, else 0."""
    pictures = []
    for strokes in DIGITS:
        picture = Image.new("L", SIZE[::-1])
        for stroke in strokes:
            ImageDraw.Draw(picture).line(stroke, fill=255)
        pictures.append(np.asarray(picture, np.float32) / 255.0)
    return torch.from_numpy(np.stack(pictures))[:, None].repeat(1, 3, 1, 1)


def organise(seed: int = SEED, n_rounds: int = N_ROUNDS) -> Neocognitron:
    """Organise a neocognitron by `examples`, without telling it what they are.

    Parameters
    ----------
    seed : int
        Of the first connections. torch's random state is left as it was.
    n_rounds : int
        How often the pictures are seen.

    Returns
    -------
    Neocognitron
        In evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = Neocognitron().eval()
    pictures = luma(examples())
    with torch.no_grad():
        for k, rate in enumerate(RATES, 1):
            s_cells, c_cells = module.get_submodule(f"s{k}"), module.get_submodule(f"c{k}")
            assert isinstance(s_cells, SCells)
            for x in pictures.repeat(n_rounds, 1, 1, 1):
                s_cells.learn(x[None], rate)
            pictures = c_cells(s_cells(pictures))
    return module


def _margin(before: int, after: int, window: int) -> int:
    """Compute how many cells are added on each side, or, below 0, left out."""
    return (after - before + window - 1) // 2


def _falling(window: int) -> Tensor:
    """Return weights that fall from the middle of a window, and sum to 1."""
    middle = (window - 1) / 2.0
    y, x = np.mgrid[:window, :window] - middle
    weights = _FALL ** np.hypot(y, x)
    return torch.from_numpy((weights / weights.sum()).astype(np.float32))
