from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from probe.synthesis import transforms
from probe.synthesis.natural import OverNoise
from probe.synthesis.transforms import (
    DEFAULT,
    Jitter,
    Pad,
    Roll,
    ScaleAndRotate,
    Transform,
    Wrap,
    generator,
)

ALL: dict[str, Transform] = {
    "Pad": Pad(3, 0.25),
    "Jitter": Jitter(5),
    "ScaleAndRotate": ScaleAndRotate(),
    "Roll": Roll(),
    "Wrap": Wrap(6),
}
sizes = st.integers(9, 30)
seeds = st.integers(0, 2**63)


def random_pictures(*shape: int) -> Tensor:
    return torch.rand(shape, generator=generator(1, *shape))


@pytest.mark.parametrize("name", ALL)
@given(height=sizes, width=sizes, seed=seeds)
def test_pictures_are_changed_alike_and_by_the_generator_alone(
    name: str, height: int, width: int, seed: int
) -> None:
    transform, before = ALL[name], torch.get_rng_state()
    pictures = random_pictures(2, 3, height, width)
    both = transform(pictures, generator(seed))
    for k in range(2):
        alone = transform(pictures[k : k + 1], generator(seed))
        torch.testing.assert_close(both[k : k + 1], alone, rtol=0, atol=1e-6)
    assert torch.equal(transform(pictures, generator(seed)), both)
    assert torch.equal(torch.get_rng_state(), before)


@given(width=st.integers(0, 9), value=st.floats(0, 1))
def test_pad_and_wrap_equal_numpy(width: int, value: float) -> None:
    pictures = random_pictures(2, 3, 9, 11)
    sides = [(0, 0), (0, 0), (width, width), (width, width)]
    drawn = generator(0)
    expected = np.pad(pictures.numpy(), sides, constant_values=value)
    np.testing.assert_array_equal(Pad(width, value)(pictures, drawn), expected)
    expected = np.pad(pictures.numpy(), sides, mode="wrap")
    np.testing.assert_array_equal(Wrap(width)(pictures, drawn), expected)


def places(transform: Transform, size: int, n: int) -> list[tuple[int, int]]:
    """Find where the pixel at (0, 0) of what comes out was, in pictures with a number each."""
    numbered = torch.arange(size * size).view(1, 1, size, size).float()
    first = [int(transform(numbered, generator(k))[0, 0, 0, 0]) for k in range(n)]
    return [divmod(at, size) for at in first]


def test_jitter_cuts_every_part_equally_often() -> None:
    numbered = torch.arange(7 * 8).view(1, 1, 7, 8).float()
    whole = np.lib.stride_tricks.sliding_window_view(numbered[0, 0].numpy(), (5, 6))
    counts = np.zeros((3, 3), int)
    for k in range(900):
        part = Jitter(2)(numbered, generator(k))[0, 0].numpy()
        same = (whole == part).all((2, 3))
        assert same.sum() == 1
        counts += same
    assert counts.min() > 60  # of 100; its standard deviation is 9.4
    assert Jitter(0)(numbered, generator(0)).shape == numbered.shape


def test_roll_moves_to_every_place() -> None:
    assert len(set(places(Roll(), 4, 300))) == 16
    pictures = random_pictures(1, 1, 5, 6)
    rolled = Roll()(pictures, generator(3))
    assert sorted(rolled.flatten().tolist()) == sorted(pictures.flatten().tolist())


def drawn_turn(turn: ScaleAndRotate, seed: int) -> tuple[float, float]:
    """Give scale and degrees as the transform draws them."""
    numbers = generator(seed)
    scale = transforms.uniform(numbers, *turn.scales)
    return scale, transforms.uniform(numbers, -turn.degrees, turn.degrees)


@given(height=sizes, width=sizes, seed=st.integers(0, 1000))
def test_scale_and_rotate_equals_scipy(height: int, width: int, seed: int) -> None:
    turn = ScaleAndRotate((0.8, 1.3), 30.0)
    picture = random_pictures(1, 1, height, width)
    scale, degrees = drawn_turn(turn, seed)
    assert 0.8 <= scale <= 1.3
    assert -30 <= degrees <= 30
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[c, -s], [s, c]]) / scale  # of (y, x): where a pixel comes from
    centre = (np.array([height, width]) - 1) / 2
    expected = ndimage.affine_transform(
        picture[0, 0].double().numpy(), matrix, centre - matrix @ centre, order=1, mode="reflect"
    )
    found = turn(picture, generator(seed))[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_scale_and_rotate_turns_as_torchvision_does() -> None:
    turn = ScaleAndRotate((1.2, 1.2), 25.0)
    picture = random_pictures(1, 3, 40, 40)
    _, degrees = drawn_turn(turn, 5)
    kind = tv.InterpolationMode.BILINEAR
    expected = tv.affine(picture, degrees, [0, 0], 1.2, [0.0, 0.0], interpolation=kind)
    expected_other = tv.affine(picture, -degrees, [0, 0], 1.2, [0.0, 0.0], interpolation=kind)
    found = turn(picture, generator(5))
    inside = (..., slice(12, -12), slice(12, -12))
    gaps = [(found - e)[inside].abs().max() for e in (expected, expected_other)]
    assert min(gaps) < 1e-4


def test_no_place_of_a_tile_is_nearer_to_an_edge_than_others() -> None:
    """How much of what the network sees hangs on a pixel is the same for all pixels."""

    def weight(chain: tuple[Transform, ...]) -> Tensor:
        total = torch.zeros(16, 16)
        for k in range(400):
            picture = torch.zeros(1, 1, 16, 16, requires_grad=True)
            seen, drawn = picture, generator(k)
            for transform in chain:
                seen = transform(seen, drawn)
            total += torch.autograd.grad(seen[..., 12:16, 12:16].sum(), picture)[0][0, 0]
        return total / total.mean()

    tiled = weight((Roll(), Wrap(12), *DEFAULT[1:]))
    assert float(tiled.std()) < 0.2
    border = torch.cat([tiled[0], tiled[-1], tiled[:, 0], tiled[:, -1]])
    assert float(border.mean()) == pytest.approx(1, abs=0.1)
    assert float(weight(DEFAULT).std()) > 0.5


def test_over_noise_blends() -> None:
    pictures = random_pictures(2, 4, 20, 24)
    pictures[:, 3, :, :8], pictures[:, 3, :, 8:16] = 1.0, 0.0
    found = OverNoise()(pictures, generator(4))
    assert torch.equal(found[..., :8], pictures[:, :3, :, :8])
    assert torch.equal(found[0, :, :, 8:16], found[1, :, :, 8:16])  # behind all the same
    clear = torch.cat([pictures[:, :3], torch.zeros(2, 1, 20, 24)], 1)
    behind = OverNoise()(clear, generator(4))
    opaque = pictures[:, 3:]
    torch.testing.assert_close(found, pictures[:, :3] * opaque + behind * (1 - opaque))
    assert 0.05 < float(behind.std()) < 0.4
    assert not torch.equal(OverNoise()(clear, generator(5)), behind)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=3), st.integers(0, 2**40))
def test_generators_differ_by_any_of_their_seeds(numbers: list[int], other: int) -> None:
    first = torch.rand(4, generator=generator(*numbers))
    assert torch.equal(first, torch.rand(4, generator=generator(*numbers)))
    for k, number in enumerate(numbers):
        changed = [*numbers[:k], other, *numbers[k + 1 :]]
        same = torch.equal(first, torch.rand(4, generator=generator(*changed)))
        assert same == (number == other)
