from __future__ import annotations

from collections.abc import Callable

import captum.attr
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from probe import models
from probe.attribution.perturbation import _masks, occlusion, rise
from probe.errors import ProbeError
from probe.targets import Channel, Class, Function, Several, values


def some_images(n: int = 2, height: int = 12, width: int = 12, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, 3, height, width), generator=generator)


class Linear(nn.Module):
    def __init__(self, height: int = 12, width: int = 12) -> None:
        super().__init__()
        self.weight = some_images(1, height, width, seed=7)[0]

    def forward(self, x: Tensor) -> Tensor:
        return ((self.weight * x).sum((1, 2, 3)) + 0.7)[:, None]


# --- occlusion -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 15), st.sampled_from([0.0, 0.3]))
def test_occlusion_of_a_linear_target_sums_to_its_change(
    height: int, width: int, size: int, baseline: float
) -> None:
    module, images = Linear(height, width), some_images(2, height, width)
    found = occlusion(module, images, Class(0), size=size, stride=size, baseline=baseline)
    change = module(images) - module(torch.full_like(images, baseline))
    torch.testing.assert_close(found.sum((1, 2, 3)), change[:, 0], rtol=1e-4, atol=1e-4)


def test_occlusion_tells_the_sign() -> None:
    images = torch.ones((1, 3, 4, 4))
    weight = torch.ones((3, 4, 4))
    weight[:, :, 2:] = -1
    target = Function(lambda output: output.flatten(1).sum(1))
    module = nn.Identity()
    found = occlusion(module, images * weight, target, size=2, stride=2)
    torch.testing.assert_close(found, weight[None])


@settings(max_examples=40)
@given(st.integers(3, 11), st.integers(3, 11), st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_occlusion_equals_a_plain_loop(
    height: int, width: int, size: int, stride: int, uniform: bool
) -> None:
    stride = min(stride, size)
    images, weights = some_images(2, height, width), some_images(1, height, width, seed=3)[0]
    cover = 0.5 if uniform else some_images(1, height, width, seed=5)
    target = Function(lambda output: (output * weights).sum((1, 2, 3)).tanh())
    found = occlusion(
        nn.Identity(), images, target, size=size, stride=stride, baseline=cover, batch_size=7
    )

    whole = target({"": images})
    shares = torch.zeros((2, height, width), dtype=torch.double)
    covers = torch.zeros((height, width))
    y = 0
    while True:
        x = 0
        while True:
            covered = torch.zeros((height, width), dtype=torch.bool)
            covered[y : y + size, x : x + size] = True
            fall = whole - target({"": torch.where(covered, cover, images)})
            shares += fall[:, None, None] * covered / (3 * covered.sum())
            covers += covered
            if x + size >= width:
                break
            x += stride
        if y + size >= height:
            break
        y += stride
    expected = (shares / covers).float()
    for channel in range(3):
        torch.testing.assert_close(found[:, channel], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "size", "stride"),
    [(224, 224, 32, 16), (112, 112, 16, 8), (140, 112, 16, 8), (5, 9, 1, 1)],
)
def test_windows_of_occlusion_are_shares_of_the_picture(
    height: int, width: int, size: int, stride: int
) -> None:
    module, images = Linear(height, width), some_images(1, height, width)
    expected = occlusion(module, images, Class(0), size=size, stride=stride)
    torch.testing.assert_close(occlusion(module, images, Class(0)), expected, rtol=0, atol=0)
    # A window that is smaller than the usual step leaves no gaps.
    narrow = occlusion(module, images, Class(0), size=1 + size // 4)
    assert narrow.isfinite().all()


@pytest.mark.parametrize(("size", "stride"), [(16, 16), (16, 8), (24, 8)])
def test_occlusion_equals_captums_shared_out(size: int, stride: int) -> None:
    # Captum gives a value the mean fall of its windows, whatever their size.
    module, images = models.load("squeezenet1_1", "random").module.eval(), some_images(2, 64, 64)
    found = occlusion(module, images, Class(3), size=size, stride=stride, baseline=0.1)
    with torch.no_grad():
        theirs = captum.attr.Occlusion(module).attribute(
            images, (3, size, size), strides=(3, stride, stride), baselines=0.1, target=3
        )
    expected = theirs.float() / (3 * size * size)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-3, atol=1e-3)


# --- RISE ----------------------------------------------------------------------------------------


def test_masks_are_random_grids_enlarged_and_shifted() -> None:
    images = torch.zeros((1, 3, 28, 21))
    drawn = torch.stack([*_masks(3000, 7, 0.3, images, seed=2)])
    assert drawn.shape == (3000, 28, 21)
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) <= 1
    assert drawn.mean(0).sub(0.3).abs().max() < 0.04  # everywhere: no pixel is seen more often
    apart = (drawn[:, 14, 10] - 0.3) * (drawn[:, 14, 18] - 0.3)  # more than two cells
    assert abs(float(apart.mean())) < 0.02
    assert torch.equal(drawn[:5], torch.stack([*_masks(5, 7, 0.3, images, seed=2)]))


def test_rise_equals_its_formula() -> None:
    # Masks, values and weighted means in double precision, all at once.
    module = models.load("squeezenet1_1", "random").module.eval()
    images, cover = some_images(2, 48, 40), some_images(1, 48, 40, seed=4)
    target = Function(lambda output: 100 + 1000 * output[:, 3])  # far from 0
    found = rise(module, images, target, masks=30, baseline=cover, seed=6)

    masks = torch.stack([*_masks(30, 7, 0.5, images, seed=6)])
    for image, map_of in zip(images, found, strict=True):
        masked = masks[:, None] * image + (1 - masks[:, None]) * cover
        value = values(module, masked, target).double()
        weighted = (masks * value[:, None, None]).sum(0) / masks.double().sum(0)
        expected = (weighted - value.mean()).float()
        torch.testing.assert_close(
            map_of.sum(0), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())
        )
        torch.testing.assert_close(map_of[0], map_of[2])


def test_rise_gives_nothing_where_nothing_changes() -> None:
    target = Function(lambda output: 5 + 0 * output.flatten(1).sum(1))
    found = rise(nn.Identity(), some_images(), target, masks=50)
    assert float(found.abs().max()) < 1e-5


def test_rise_finds_what_counts() -> None:
    # The target is one block of the picture: higher where it is seen, the same elsewhere.
    images = torch.ones((1, 3, 28, 28))
    target = Function(lambda output: output[:, :, 4:8, 16:20].mean((1, 2, 3)))
    found = rise(nn.Identity(), images, target, masks=3000).sum(1)[0]
    at = divmod(int(found.argmax()), 28)
    assert 4 <= at[0] < 8
    assert 16 <= at[1] < 20
    assert float(found[4:8, 16:20].mean()) > 0.1
    far = found[16:, :12]
    assert float(far.abs().max()) < 0.05
    assert float(rise(nn.Identity(), images, -1 * target, masks=200).sum(1)[0, 6, 18]) < -0.1


# --- several targets, and the blurred picture as what covers -------------------------------------


@pytest.mark.parametrize(
    ("method", "options"),
    [(occlusion, {"size": 20, "stride": 12}), (rise, {"masks": 60, "cells": 4})],
)
def test_several_targets_have_the_maps_of_each_alone(method: Callable, options: dict) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 60 * 44, 9))
    images = some_images(3, 64, 48)
    targets = (Class(3), Channel("0", 2), Class(3) - 2 * Class(7))
    maps = method(module, images, Several(targets), **options, batch_size=5)
    assert maps.shape == (3, 3, 3, 64, 48)
    for k, target in enumerate(targets):
        alone = method(module, images, target, **options, batch_size=5)
        scale = float(alone.abs().max())
        torch.testing.assert_close(maps[:, k] / scale, alone / scale, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "options"),
    [(occlusion, {"size": 5, "stride": 3}), (rise, {"masks": 60, "cells": 3})],
)
def test_the_blurred_picture_covers(method: Callable, options: dict) -> None:
    images = some_images(2, 24, 30)
    soft = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, 24 / 20, 24 / 20)))
    target = Function(lambda output: (output**3).sum((1, 2, 3)))
    by_word = method(nn.Identity(), images, target, baseline="blurred", **options)
    torch.testing.assert_close(
        by_word, method(nn.Identity(), images, target, baseline=soft, **options)
    )
    assert not torch.allclose(by_word, method(nn.Identity(), images, target, **options))
    with pytest.raises(ProbeError, match="baseline 'blur': expected a number, values or 'blurred'"):
        method(nn.Identity(), images, target, baseline="blur", **options)
