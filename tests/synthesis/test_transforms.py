from __future__ import annotations

import math
from typing import Any

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
    TILEABLE,
    Colour,
    Crops,
    Jitter,
    Pad,
    Roll,
    ScaleAndRotate,
    Transform,
    Wrap,
    closing_in,
    generator,
)

ALL: dict[str, Transform] = {
    "Pad": Pad(3, 0.25),
    "Jitter": Jitter(5),
    "ScaleAndRotate": ScaleAndRotate(),
    "Roll": Roll(),
    "Wrap": Wrap(6),
    "Colour": Colour(0.2),
    "Crops": Crops(3, (12, 10), 0.4),
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
        torch.testing.assert_close(both[k::2], alone, rtol=0, atol=1e-6)
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


def test_colour_is_a_line_for_each_colour() -> None:
    pictures = random_pictures(2, 3, 6, 6)
    lines = []
    for k in range(50):
        found = Colour(0.2)(pictures, generator(k))
        for colour in range(3):
            slope, offset = np.polyfit(pictures[:, colour].flatten(), found[:, colour].flatten(), 1)
            lines.append((slope, offset - 0.5 * (1 - slope)))
            line = float(slope) * pictures[:, colour] + float(offset)
            torch.testing.assert_close(found[:, colour], line, atol=1e-5, rtol=0)
    contrast, brightness = np.array(lines).T
    assert 0.8 <= contrast.min() < 0.83
    assert 1.17 < contrast.max() <= 1.2
    assert -0.2 <= brightness.min() < -0.17
    assert 0.17 < brightness.max() <= 0.2
    assert abs(np.corrcoef(contrast, brightness)[0, 1]) < 0.25


def crop_by_scipy(picture: np.ndarray, crops: Crops, seed: int) -> np.ndarray:
    """Give each crop of a picture (height, width), sampled by scipy."""
    drawn = generator(seed)
    shares = (crops.share + 0.05 * torch.randn(crops.n, generator=drawn)).clamp(0.05, 1).numpy()
    away = 0.15 * torch.randn(crops.n, 2, generator=drawn).numpy()[:, ::-1]  # (y, x)
    found = []
    for share, shift in zip(shares, away, strict=True):
        side = share * min(picture.shape)
        middle = (0.5 + shift) * picture.shape - 0.5
        y, x = (
            at + side * ((np.arange(n) + 0.5) / n - 0.5)
            for at, n in zip(middle, crops.size, strict=True)
        )
        grid = np.stack(np.meshgrid(y, x, indexing="ij"))
        found.append(ndimage.map_coordinates(picture, grid, order=1, mode="reflect"))
    return np.stack(found)


@given(height=sizes, width=sizes, seed=st.integers(0, 1000), share=st.floats(0.05, 0.9))
def test_crops_equal_scipy(height: int, width: int, seed: int, share: float) -> None:
    crops = Crops(4, (7, 9), share, noise=0.0)
    pictures = random_pictures(2, 3, height, width)
    found = crops(pictures, generator(seed)).view(4, 2, 3, 7, 9)
    for k in range(2):
        expected = crop_by_scipy(pictures[k, 1].double().numpy(), crops, seed)
        np.testing.assert_allclose(found[:, k, 1], expected, atol=2e-4)


def test_crops_have_noise_of_the_size_that_is_asked_for() -> None:
    grey = torch.full((2, 3, 40, 40), 0.5)
    found = Crops(8, (30, 30), 0.5, noise=0.08)(grey, generator(0))
    assert found.shape == (16, 3, 30, 30)
    assert float(found.std()) == pytest.approx(0.08, rel=0.03)
    assert not torch.equal(found[0], found[2])


def test_crops_close_in() -> None:
    given = closing_in(11, (24, 20), 5)
    shares: list[Any] = [given(step)[0] for step in range(11)]
    assert [crops.share for crops in shares] == pytest.approx(np.linspace(0.8, 0.25, 11))
    assert {(crops.n, crops.size, crops.noise) for crops in shares} == {(5, (24, 20), 0.08)}
    assert closing_in(1, (24, 20))(0)[0] == Crops(32, (24, 20), 0.8)


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

    tiled = weight(TILEABLE)
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
