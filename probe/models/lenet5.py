r"""LeNet-5, trained here on the digits that scikit-learn ships.

LeCun, Bottou, Bengio & Haffner 1998, Proc IEEE 86:2278, section II.B: convolutions C1, C3 and C5,
subsampling S2 and S4 with one coefficient and one bias per map, C3 connected to S2 by the paper's
table I, and 1.7159 tanh(2x/3) up to F6. Without what table I leaves out, and the fixed codes of the
output, it has the paper's 60,000 parameters.

Where it departs from the paper:

- The ten codes of the radial-basis outputs are ±1 at random, which the paper names as a choice, and
  not drawn as characters. The output is minus the squared distance to them: the largest wins.
- Pictures are scikit-learn's digits of 8×8, enlarged to 20×20 in the middle of 32×32, as MNIST's
  are of 20×20. White ink on black, from −0.1 (black) to 1.175 (white) as in the paper.
- Adam in place of the stochastic diagonal Levenberg–Marquardt; the loss is the paper's (9), with
  distances divided by 84, the number of their terms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from probe.models.light import luma

SIZE = (32, 32)
"""Height and width of the pictures, in pixels."""
BLACK, WHITE = -0.1, 1.175
"""What the values 0 and 1 of a picture become."""

# Table I of the paper: which maps of S2 each map of C3 looks at.
TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip

SEED = 0
"""Of the weights that `probe` gives the network's name."""
VERSION = 1
"""Of the recipe: raised when it changes, so that no old weights are taken."""
EPOCHS = 15
BATCH_SIZE = 32
RATE = 4e-3
"""Of Adam; it falls to zero along a cosine."""
HELD_OUT = 450
"""Digits of scikit-learn's 1,797 that the weights have not seen."""
_CODE_SEED = 1998
_MARGIN = 0.1  # j of the paper's (9), which leaves its value open


class Squash(nn.Module):
    """1.7159 tanh(2x/3), which is 1 at 1 and −1 at −1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return values between −1.7159 and 1.7159."""
        return 1.7159 * torch.tanh(2.0 / 3.0 * x)


class SubsamplingPool(nn.Module):
    """The sum of 2×2 positions, times a coefficient of the map, plus a bias of the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels, y / 2, x / 2)."""
        sums = 4.0 * functional.avg_pool2d(x, 2)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class Stage(nn.Module):
    """A layer of the paper: a weighted sum, and what is squashed of it."""

    def __init__(self, weighted: nn.Module) -> None:
        super().__init__()
        self.sum = weighted
        self.squash = Squash()

    def forward(self, x: Tensor) -> Tensor:
        """Return the states of the units."""
        return self.squash(self.sum(x))


class RadialBasis(nn.Module):
    """Minus the squared distance to a code of ±1 for each class: (n, features) to (n, classes)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        rng = np.random.default_rng(_CODE_SEED)
        codes = rng.choice((-1.0, 1.0), (classes, features)).astype(np.float32)
        self.register_buffer("codes", torch.from_numpy(codes))

    def forward(self, x: Tensor) -> Tensor:
        """Return 0 at a code, and less elsewhere."""
        codes = self.get_buffer("codes")
        squares = x.square().sum(1, keepdim=True) + codes.square().sum(1)
        return 2.0 * x @ codes.T - squares


class LeNet5(nn.Module):
    """LeNet-5: (n, 3, 32, 32), from −0.1 to 1.175, to (n, num_classes)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.c1 = Stage(nn.Conv2d(1, 6, 5))
        self.s2 = Stage(SubsamplingPool(6))
        self.c3 = Stage(nn.Conv2d(6, 16, 5))
        self.s4 = Stage(SubsamplingPool(16))
        self.c5 = Stage(nn.Conv2d(16, 120, 5))
        self.pool = nn.AdaptiveMaxPool2d(1)  # does nothing to the one position of a 32×32 picture
        self.f6 = Stage(nn.Linear(120, 84))
        self.output = RadialBasis(84, num_classes)
        self._draw()

    def _draw(self) -> None:
        """Draw weights within ±2.4 / inputs, as in the paper's appendix A."""
        inputs = {"c1": 25, "s2": 4, "c3": 150, "s4": 4, "c5": 400, "f6": 120}
        for name, n in inputs.items():
            for parameter in self.get_submodule(name).parameters():
                nn.init.uniform_(parameter, -2.4 / n, 2.4 / n)
        with torch.no_grad():
            for weight, maps in zip(self._c3_weight(), TABLE, strict=True):
                weight[[k for k in range(6) if k not in maps]] = 0.0

    def _c3_weight(self) -> nn.Parameter:
        return self.c3.sum.weight  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """Return minus the squared distances to the classes' codes."""
        x = self.c3(self.s2(self.c1(luma(x))))
        x = self.pool(self.c5(self.s4(x)))
        return self.output(self.f6(x.flatten(1)))


class Digits(NamedTuple):
    """Pictures of digits, ready for LeNet-5, and which they are."""

    pictures: Tensor
    labels: Tensor


def digits() -> tuple[Digits, Digits]:
    """Return scikit-learn's digits: those to learn from, and the held-out ones.

    Returns
    -------
    training, held_out : Digits
        1,347 and 450 of them: float32 (n, 3, 32, 32) from `BLACK` to `WHITE`, and whole numbers.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    ink = torch.from_numpy(data.images.astype(np.float32) / 16.0)[:, None]
    large = functional.interpolate(ink, (20, 20), mode="bilinear", align_corners=False)
    framed = BLACK + (WHITE - BLACK) * functional.pad(large, (6, 6, 6, 6))
    chosen = train_test_split(
        np.arange(len(ink)), test_size=HELD_OUT, stratify=data.target, random_state=0
    )
    labels = torch.from_numpy(data.target)
    training, held_out = (Digits(framed[k].repeat(1, 3, 1, 1), labels[k]) for k in chosen)
    return training, held_out


def train(seed: int = SEED, epochs: int = EPOCHS) -> LeNet5:
    """Train LeNet-5 on scikit-learn's digits.

    Parameters
    ----------
    seed : int
        Of the first weights and of the order of the pictures. One seed gives the same weights on
        the same kind of processor and versions of libraries, whatever the number of threads.
        torch's random state is left as it was.
    epochs : int
        How often each picture is seen.

    Returns
    -------
    LeNet5
        In evaluation mode.
    """
    training, _ = digits()
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), _one_thread():
        torch.default_generator.manual_seed(seed)
        module = LeNet5().train()
        connected = _connections()
        optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
        n_steps = epochs * math.ceil(len(training.labels) / BATCH_SIZE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        for _ in range(epochs):
            for batch in torch.randperm(len(training.labels)).split(BATCH_SIZE):
                optimizer.zero_grad()
                _loss(module(training.pictures[batch]), training.labels[batch]).backward()
                module._c3_weight().grad.mul_(connected)  # type: ignore[union-attr]
                optimizer.step()
                schedule.step()
    return module.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Add gradients up in one order: over several threads, the sums differ in their last bits."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Compute the paper's (9): the right distance, against all of them and a constant."""
    distances = -outputs / 84.0
    right = distances.gather(1, labels[:, None])
    margin = torch.full_like(right, -_MARGIN)
    return (right[:, 0] + torch.cat([margin, -distances], 1).logsumexp(1)).mean()


def _connections() -> Tensor:
    """Return 1 where a map of C3 is connected with a map of S2: (16, 6, 1, 1)."""
    connected = torch.zeros(len(TABLE), 6)
    for k, maps in enumerate(TABLE):
        connected[k, list(maps)] = 1.0
    return connected[:, :, None, None]


def accuracy(module: nn.Module, pictures: Digits) -> float:
    """Compute the share of digits that are classified correctly."""
    with torch.inference_mode():
        return float((module(pictures.pictures).argmax(1) == pictures.labels).float().mean())
