"""What holds for every method that gives a map of the pixels, of gradients or of perturbations."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from examples import costly
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from probe.attribution import gradients, perturbation, rectifiers
from probe.errors import ProbeError
from probe.targets import OUTPUT, Class, Function, Unit

# Few samples, where the number is not the point.
METHODS: dict[str, Callable[..., Tensor]] = {
    "gradient": gradients.gradient,
    "input_x_gradient": gradients.input_x_gradient,
    "smoothgrad": partial(gradients.smoothgrad, samples=3),
    "vargrad": partial(gradients.vargrad, samples=3),
    "integrated_gradients": partial(gradients.integrated_gradients, steps=3),
    "expected_gradients": partial(gradients.expected_gradients, samples=3),
    "guided_backprop": rectifiers.guided_backprop,
    "deconvnet": rectifiers.deconvnet,
    "occlusion": partial(perturbation.occlusion, size=5, stride=4),
    "rise": partial(perturbation.rise, masks=12, cells=2),
}
BY_CHANCE = ("smoothgrad", "vargrad", "expected_gradients", "rise")


def seeded(build: Callable[[], nn.Module]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def some_images(n: int = 2, size: int = 9) -> Tensor:
    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(1))


# Three layers by hand: A = (1, −1, 2)·x and B = (−1, 2, 1)·x − 1, then 3 relu(A) − 2 relu(B),
# summed over three pixels:
#   (2, 0, 1): A =  4, B = −2, gives  12
#   (1, 2, 1): A =  1, B =  3, gives  −3
#   (0, 3, 1): A = −1, B =  6, gives −12
# On the way from 0 to the picture, A keeps its sign, and B leaves −1: at 1/4 of the way for the
# second pixel, at 1/7 for the third. Without the picture there is nothing: the target is 0.
PIXELS = torch.tensor([[2.0, 0, 1], [1, 2, 1], [0, 3, 1]]).T.reshape(1, 3, 1, 3)
BY_HAND = {  # method, its settings, the map pixel by pixel, how near it comes
    "gradient": ({}, [[3, -3, 6], [5, -7, 4], [2, -4, -2]], 0),
    "input_x_gradient": ({}, [[6, 0, 6], [5, -14, 4], [0, -12, -2]], 0),
    # Noise that moves no unit over its threshold: the gradient does not vary.
    "smoothgrad": ({"noise": 0.01}, [[3, -3, 6], [5, -7, 4], [2, -4, -2]], 1e-6),
    "vargrad": ({"noise": 0.01}, [[0, 0, 0]] * 3, 0),
    "integrated_gradients": (
        {"steps": 500},
        [[6, 0, 6], [4.5, -12, 4.5], [0, -72 / 7, -12 / 7]],
        0.05,
    ),
    "expected_gradients": (
        {"samples": 500, "baselines": torch.zeros((1, 3, 1, 3))},
        [[6, 0, 6], [4.5, -12, 4.5], [0, -72 / 7, -12 / 7]],
        0.05,
    ),
    # Of the third pixel, A is not active and B has a negative weight.
    "guided_backprop": ({}, [[3, -3, 6], [3, -3, 6], [0, 0, 0]], 0),
    "deconvnet": ({}, [[3, -3, 6], [3, -3, 6], [3, -3, 6]], 0),
    "occlusion": ({"size": 1, "stride": 1}, [[4] * 3, [-1] * 3, [-4] * 3], 1e-6),
    # Masks that show pixels 1, 1 and 2, 2 and 3, none: the target is 12, 9, −15, 0, its mean 1.5.
    # Pixel 1: (12 + 9)/2 − 1.5 = 9; pixel 2: (9 − 15)/2 − 1.5 = −4.5; pixel 3: −15 − 1.5 = −16.5.
    "rise": ({"masks": 4}, [[3] * 3, [-1.5] * 3, [-5.5] * 3], 1e-6),
}


def three_layers() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1, 2], [-1, 2, 1]])[..., None, None])
        network[0].bias.copy_(torch.tensor([0.0, -1]))
        network[2].weight.copy_(torch.tensor([[3.0, -2]])[..., None, None])
        network[2].bias.zero_()
    return network


@pytest.mark.parametrize("name", METHODS)
def test_maps_of_three_layers_by_hand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, by_hand, near = BY_HAND[name]
    masks = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0]])[:, None]
    monkeypatch.setattr(perturbation, "_masks", lambda *_: iter(masks))
    target = Function(lambda output: output.sum((1, 2, 3)))
    found = METHODS[name](three_layers(), PIXELS, target, **options)
    expected = torch.tensor(by_hand).float().T.reshape(1, 3, 1, 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=near)


class Odd(nn.Module):
    """Writes in place, uses a module twice, draws numbers; half of it in training."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 3)
        self.broken = broken
        self.most = 0

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, len(x))
        x.sub_(0.1)
        x = self.relu(self.norm(self.first(x)))
        torch.rand(3)
        if self.broken:
            raise RuntimeError("half way")
        x = self.relu(self.second(self.drop(x)))
        return self.last(nn.functional.relu(x.mean((2, 3)) - 0.01, inplace=True))


def state(network: Odd) -> Any:
    """Give all that a method might leave changed."""
    parts = list(network.named_modules())
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return copy.deepcopy(
        (
            {name: t.detach().clone() for name, t in tensors},
            {name: (t.requires_grad, t.grad, t._version, t.is_leaf) for name, t in tensors},
            {name: (m.training, getattr(m, "inplace", None)) for name, m in parts},
            {
                name: [len(hooks) for key, hooks in vars(m).items() if "hooks" in key]
                for name, m in parts
            },
            torch.get_rng_state(),
            np.random.get_state()[1],  # noqa: NPY002
            random.getstate(),
            torch.is_grad_enabled(),
            torch.overrides._len_torch_function_stack(),  # type: ignore[attr-defined]
        )
    )


@pytest.mark.parametrize("name", METHODS)
@costly(4, full=12)
@given(
    st.sampled_from(["finishes", "network raises", "target raises", "no gradient"]),
    st.integers(1, 3),
    st.integers(1, 5),
    st.booleans(),
)
def test_the_network_and_all_random_states_are_as_they_were(
    name: str, how: str, n: int, batch_size: int, gradients_on: bool
) -> None:
    network = seeded(lambda: Odd(how == "network raises")).train()
    network.norm.eval()  # half frozen: a plain .train() afterwards would be wrong
    network.second.weight.requires_grad_(False)
    network.relu.register_forward_hook(lambda *_: None)
    network.last.weight.grad = torch.ones_like(network.last.weight)
    target = {
        "target raises": Unit("second", 7, (0, 0)),
        "no gradient": Function(lambda output: output.detach()[:, 0]),
    }.get(how, Class(1))
    images = some_images(n).requires_grad_()
    kept = images.detach().clone()

    before = state(network)
    try:
        with torch.set_grad_enabled(gradients_on):
            METHODS[name](network, images, target, batch_size=batch_size)
        raised = False
    except (RuntimeError, ProbeError):
        raised = True
    assert raised == (
        how in ("network raises", "target raises")
        or (how == "no gradient" and name not in ("occlusion", "rise"))
    )
    np.testing.assert_equal(_numbers(state(network)), _numbers(before))
    assert torch.equal(images, kept)
    assert images.grad is None
    if how != "network raises":  # it is tried on two pictures, to see which axis they are
        assert network.most <= batch_size


def _numbers(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().numpy()
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(part) for part in value]
    return value


@pytest.mark.parametrize("name", METHODS)
@costly(4, full=8)
@given(st.integers(1, 4), st.integers(1, 40))
def test_a_map_depends_neither_on_the_batch_size_nor_on_its_neighbours(
    name: str, n: int, batch_size: int
) -> None:
    network, images = seeded(Odd), some_images(n)
    found = METHODS[name](network, images, Class(1), batch_size=batch_size)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert not found.requires_grad
    alone = torch.cat([METHODS[name](network, image[None], Class(1)) for image in images])
    size = float(alone.abs().max())
    assert size > 0
    torch.testing.assert_close(found / size, alone / size, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BY_CHANCE)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(name: str) -> None:
    network, images = seeded(Odd), some_images()
    maps = [METHODS[name](network, images, Class(1), seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[2])


@pytest.mark.parametrize("name", METHODS)
def test_precision_of_the_network_is_kept_and_maps_are_float32(name: str) -> None:
    network, images = seeded(Odd), some_images()
    expected = METHODS[name](network, images, Class(1))
    found = METHODS[name](network.double(), images.double(), Class(1))
    assert found.dtype == torch.float32
    size = float(expected.abs().max())
    torch.testing.assert_close(found / size, expected / size, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("layer", ["second", OUTPUT])
def test_a_target_may_be_anywhere(name: str, layer: str) -> None:
    target = Unit("second", 1, (1, 2)) if layer else Class(1)
    found = METHODS[name](seeded(Odd), some_images(), target)
    assert found.isfinite().all()
    assert found.any()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        *[(name, {"batch_size": 0}, "batch_size 0: expected 1 or more") for name in METHODS],
        ("smoothgrad", {"samples": 0}, "samples 0: expected 1 or more"),
        ("smoothgrad", {"noise": -0.1}, "noise -0.1: expected 0 or more"),
        ("smoothgrad", {"noise": float("nan")}, "noise nan: expected 0 or more"),
        ("vargrad", {"samples": 1}, "samples 1: expected 2 or more"),
        ("integrated_gradients", {"steps": 0}, "steps 0: expected 1 or more"),
        ("integrated_gradients", {"baseline": torch.zeros(2, 5)}, "baseline of shape (2, 5)"),
        ("expected_gradients", {"samples": 0}, "samples 0: expected 1 or more"),
        ("expected_gradients", {"baselines": torch.zeros(3, 9, 9)}, "baselines of shape (3, 9, 9)"),
        ("expected_gradients", {"baselines": torch.zeros(0, 3, 9, 9)}, "expected one or more"),
        ("occlusion", {"size": 0}, "size 0: expected 1 or more"),
        ("occlusion", {"size": 4, "stride": 5}, "windows of 4 pixels leave gaps at stride 5"),
        ("occlusion", {"baseline": torch.zeros(2, 5)}, "baseline of shape (2, 5)"),
        ("rise", {"masks": 0}, "masks 0: expected 1 or more"),
        ("rise", {"cells": 0}, "cells 0: expected 1 or more"),
        ("rise", {"shown": 1.0}, "shown 1.0: expected more than 0"),
        ("rise", {"masks": 1, "shown": 0.01}, "none of 1 masks shows some pixels"),
    ],
)
def test_bad_settings_are_told_in_one_line(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ProbeError, match=r"^[^\n]+$") as error:
        METHODS[name](seeded(Odd), some_images(), Class(1), **options)
    assert says in str(error.value)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(3, 9, 9), (0, 3, 9, 9)])
def test_pictures_of_no_use_are_told_in_one_line(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ProbeError, match=r"^images have shape \([^\n]+$"):
        METHODS[name](seeded(Odd), torch.zeros(shape), Class(1))
