from __future__ import annotations

import inspect
from collections.abc import Callable

import captum.attr
import numpy as np
import pytest
import skimage.data
import torch
from captum.attr._core import integrated_gradients as captum_ig
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from probe import models
from probe.activations.capture import differentiable
from probe.attribution.gradients import (
    blurred,
    expected_gradients,
    gradient,
    input_x_gradient,
    integrated_gradients,
    path_rule,
    smoothgrad,
    vargrad,
)
from probe.errors import ProbeError
from probe.models import Network
from probe.models.layouts import layouts
from probe.targets import Channel, Class, Function, Norm, Several, Target, predicted, values


def some_images(n: int = 2, size: int = 64, seed: int = 1) -> Tensor:
    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(seed))


def untrained() -> nn.Module:
    return models.load("squeezenet1_1", "random").module.eval()


def assert_alike(found: Tensor, expected: Tensor, within: float = 1e-5) -> None:
    size = float(expected.abs().max())
    assert size > 0
    torch.testing.assert_close(found / size, expected / size, rtol=within, atol=within)


class Quadratic(nn.Module):
    """½ a·x², with the gradient a·x."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(some_images(1, 8, seed=7)[0])

    def forward(self, x: Tensor) -> Tensor:
        return (self.a * x * x / 2).sum((1, 2, 3))[:, None]


class Linear(Quadratic):
    def forward(self, x: Tensor) -> Tensor:
        return (self.a * x).sum((1, 2, 3))[:, None]


# --- against Captum ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_gradients_equal_captums() -> None:
    module, images = untrained(), some_images()
    ours = gradient(module, images, Class(3))
    assert_alike(ours, captum.attr.Saliency(module).attribute(images, target=3, abs=False))
    theirs = captum.attr.InputXGradient(module).attribute(images.clone(), target=3)
    assert_alike(input_x_gradient(module, images, Class(3)), theirs.detach())


@pytest.mark.parametrize("baseline", [0.0, -0.4, some_images(1, seed=5), some_images(2, seed=6)])
def test_integrated_gradients_equal_captums_with_the_same_quadrature(
    baseline: Tensor | float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In double precision: on which side of its threshold a unit is, does not hang on rounding.
    module, images = untrained().double(), some_images().double()
    places, weights = path_rule(12)
    rule = (lambda _: weights), (lambda _: places)
    monkeypatch.setattr(captum_ig, "approximation_parameters", lambda _: rule)
    origin = baseline.double() if isinstance(baseline, Tensor) else baseline
    theirs = captum.attr.IntegratedGradients(module).attribute(
        images, baselines=origin, target=3, n_steps=12
    )
    ours = integrated_gradients(module, images, Class(3), baseline=baseline, steps=12)
    assert_alike(ours, theirs.float())


# --- noise ---------------------------------------------------------------------------------------


def test_smoothgrad_without_noise_is_the_gradient() -> None:
    module, images = untrained(), some_images()
    found = smoothgrad(module, images, Class(3), noise=0.0, samples=3)
    assert_alike(found, gradient(module, images, Class(3)), within=1e-6)
    assert_alike(
        vargrad(module, images, Class(3), noise=0.0, samples=3) + 1, torch.ones(2, 3, 64, 64)
    )


def test_noise_is_a_share_of_each_pictures_range() -> None:
    # Of a quadratic, a noisy copy's gradient is a·(x + noise): mean and variance show the noise.
    module, images = Quadratic(), some_images(2, 8) * torch.tensor([1.0, 20.0]).view(2, 1, 1, 1)
    options = {"samples": 4000, "noise": 0.1, "seed": 3, "batch_size": 500}
    spread = 0.1 * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))[:, None, None, None]
    drawn = (smoothgrad(module, images, Class(0), **options) / module.a - images) / spread
    assert float(drawn.detach().abs().max()) < 5 / 4000**0.5
    variances = vargrad(module, images, Class(0), **options) / (module.a * spread) ** 2
    assert float((variances - 1).detach().abs().max()) < 5 * (2 / 4000) ** 0.5


def test_noise_equals_a_plain_loop() -> None:
    module, images = untrained(), some_images()
    generator = torch.Generator().manual_seed(5)
    slopes = []
    for _ in range(4):
        drawn = torch.randn((3, 64, 64), generator=generator)
        x = torch.stack([p + 0.2 * (p.max() - p.min()) * drawn for p in images]).requires_grad_()
        slopes.append(torch.autograd.grad(module(x)[:, 3].sum(), x)[0].double())
    options = {"samples": 4, "noise": 0.2, "seed": 5}
    stacked = torch.stack(slopes)
    mean, variance = stacked.mean(0).float(), stacked.var(0, correction=0).float()
    assert_alike(smoothgrad(module, images, Class(3), **options), mean)
    assert_alike(vargrad(module, images, Class(3), **options), variance, within=1e-4)


# --- paths ---------------------------------------------------------------------------------------


def test_the_integral_is_exact_where_the_gradient_is_linear() -> None:
    module, images, origin = Quadratic(), some_images(2, 8), some_images(1, 8, seed=4)
    expected = (module.a * (images**2 - origin**2) / 2).detach()
    for steps in (1, 2, 7):
        found = integrated_gradients(module, images, Class(0), baseline=origin, steps=steps)
        assert_alike(found, expected)


@pytest.mark.parametrize("power", [2, 3, 6])
def test_twice_the_steps_leave_a_quarter_of_the_error(power: int) -> None:
    errors = []
    for steps in (64, 128):
        places, weights = map(np.array, path_rule(steps))
        errors.append((weights * places**power).sum() - 1 / (power + 1))
    assert errors[1] / errors[0] == pytest.approx(1 / 4, rel=0.01)


def photograph(name: str, network: Network) -> Tensor:
    return network.preprocessing(Image.fromarray(getattr(skimage.data, name)()))[None]


def gap(network: Network, images: Tensor, target: Target, **options: int) -> float:
    found = integrated_gradients(network.module, images, target, **options)
    whole, nothing = (values(network.module, x, target) for x in (images, 0 * images))
    return float(abs(found.sum() / (whole - nothing) - 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chelsea", pytest.param("rocket", marks=pytest.mark.slow)])
def test_completeness_on_alexnet(name: str, alexnet: Network) -> None:
    images = photograph(name, alexnet)
    means = differentiable(alexnet.module, images, ["features.11"])["features.11"].mean((0, 2, 3))
    for target in (Channel("features.11", int(means.argmax())), Norm("features.7")):
        assert gap(alexnet, images, target) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_completeness_on_classifiers(name: str, load_trained: Callable[[str], Network]) -> None:
    network = load_trained(name)
    images = photograph("chelsea", network)
    assert gap(network, images, predicted(network, images)) < 0.01


def test_more_steps_where_they_are_needed() -> None:
    # A wave that 64 points do not follow, beside a plane: only the first takes more.
    class Wave(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            total = x.sum((1, 2, 3))
            return (total + 40 * (total > 50) * (total * 3).sin())[:, None]

    seen: list[int] = []
    images = torch.ones(2, 3, 6, 6)
    images[1] /= 3  # 36, below the wave
    network = Wave()
    layouts(network, images.shape[1:])
    seen.clear()  # of the trace of its axes
    found = integrated_gradients(network, images, Class(0), batch_size=512)
    both, *others = seen
    assert both == 2 * 64
    assert next(n for n in others if n > 2) == 128
    changes = Wave()(images)[:, 0] - Wave()(0 * images)[:, 0]
    sums = found.sum((1, 2, 3))
    assert abs(sums[1] / changes[1] - 1) < 1e-5


# --- expected gradients --------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_expected_gradients_of_a_linear_target(m: int, rounds: int, seed: int) -> None:
    # Its gradient is the same all over: each baseline counts as often as the others, exactly.
    module, images, origins = Linear(), some_images(2, 8), some_images(m, 8, seed=4)
    options = {"samples": m * rounds, "seed": seed}
    found = expected_gradients(module, images, Class(0), baselines=origins, **options)
    assert_alike(found, (module.a * (images - origins.mean(0))).detach())


def test_expected_gradients_of_a_quadratic() -> None:
    module, images, origins = Quadratic(), some_images(2, 8), some_images(5, 8, seed=4)
    found = expected_gradients(module, images, Class(0), baselines=origins, samples=2000)
    expected = (module.a * (images**2 - (origins**2).mean(0)) / 2).detach()
    assert_alike(found, expected, within=0.02)


def test_expected_gradients_are_unbiased() -> None:
    # Three samples of a quadratic, again and again: their mean nears the closed form.
    module, images, origins = Quadratic(), some_images(1, 8), some_images(2, 8, seed=4)
    maps = torch.stack(
        [
            expected_gradients(module, images, Class(0), baselines=origins, samples=3, seed=seed)
            for seed in range(400)
        ]
    )
    expected = (module.a * (images**2 - (origins**2).mean(0)) / 2).detach()
    error = maps.std(0) / len(maps) ** 0.5
    assert float(error.max()) < 0.03 * float(expected.abs().max())
    assert float(((maps.mean(0) - expected) / error).abs().max()) < 4


def test_expected_gradients_from_one_baseline_are_integrated_gradients_on_average() -> None:
    module, images, origin = untrained(), some_images(1, 32), some_images(1, 32, seed=4)
    expected = integrated_gradients(module, images, Class(3), baseline=origin, steps=400)
    maps = torch.stack(
        [
            expected_gradients(module, images, Class(3), baselines=origin, samples=30, seed=seed)
            for seed in range(25)
        ]
    )
    squared_error = maps.var(0).sum() / len(maps)  # of their mean
    assert float(squared_error.sqrt()) < 0.05 * float(expected.norm())
    assert float((maps.mean(0) - expected).square().sum()) < 2 * float(squared_error)
    fall = values(module, images, Class(3)) - values(module, origin, Class(3))
    sums = maps.sum((1, 2, 3, 4))
    assert float(abs(sums.mean() - fall)) < 3 * float(sums.std()) / len(sums) ** 0.5


def test_without_baselines_colours_of_the_picture_are_compared_with() -> None:
    # Of a linear target, a uniform picture in the mean colour is what they come to.
    module, images = Linear(), some_images(2, 8)
    found = expected_gradients(module, images, Class(0), samples=5000, batch_size=500)
    means = images.mean((2, 3), keepdim=True)
    assert_alike(found, (module.a * (images - means)).detach(), within=0.03)
    # and a uniform picture has nothing to explain
    flat = torch.ones((1, 3, 8, 8))
    assert not expected_gradients(module, flat, Class(0), samples=3).any()


def test_gradient_is_a_finite_difference() -> None:
    module, images = untrained().double(), some_images(1, 32).double()
    target = Function(lambda output: output.tanh().sum(1))
    slope, step = gradient(module, images, target).double(), some_images(1, 32, seed=9).double()
    near = 1e-6 * step
    change = values(module, images + near, target) - values(module, images - near, target)
    assert float((slope * step).sum()) == pytest.approx(float(change) / 2e-6, rel=1e-4)


# --- the picture itself, blurred, as baseline ----------------------------------------------------


def test_blurred_is_gaussian_a_twentieth_of_the_shorter_side_wide() -> None:
    images = torch.zeros((2, 3, 60, 81))
    images[:, :, 30, 40] = torch.tensor([1.0, 2, 3])
    y, x = np.arange(60)[:, None] - 30, np.arange(81)[None] - 40
    gaussian = np.exp(-(y**2 + x**2) / (2 * 3.0**2)) / (2 * np.pi * 3.0**2)
    soft = blurred(images)
    np.testing.assert_allclose(soft[0, 1], 2 * gaussian, atol=2e-5)
    assert torch.equal(soft[0], soft[1])


def test_input_x_gradient_from_a_baseline() -> None:
    module, images = Quadratic(), some_images(2, 8)
    slopes = (module.a * images).detach()
    soft = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, 8 / 20, 8 / 20)))
    for baseline, origin in ((0.0, 0.0), (0.3, 0.3), (soft[:1], soft[:1]), ("blurred", soft)):
        found = input_x_gradient(module, images, Class(0), baseline=baseline)
        torch.testing.assert_close(found, slopes * (images - origin))


def test_integrated_gradients_from_the_blurred_picture_equal_captums(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, images = untrained().double(), some_images().double()
    places, weights = path_rule(12)
    rule = (lambda _: weights), (lambda _: places)
    monkeypatch.setattr(captum_ig, "approximation_parameters", lambda _: rule)
    theirs = captum.attr.IntegratedGradients(module).attribute(
        images, baselines=blurred(images), target=3, n_steps=12
    )
    ours = integrated_gradients(module, images, Class(3), baseline="blurred", steps=12)
    assert_alike(ours, theirs.float())


@pytest.mark.parametrize("method", [input_x_gradient, integrated_gradients])
def test_a_baseline_that_does_not_fit_is_refused(method: Callable[..., Tensor]) -> None:
    images = some_images(2, 8)
    with pytest.raises(ProbeError, match="baseline 'black': expected a number, values or 'blurred"):
        method(Linear(), images, Class(0), baseline="black")
    with pytest.raises(ProbeError, match="does not fit pictures of shape"):
        method(Linear(), images, Class(0), baseline=torch.zeros(3, 7, 8))


@pytest.mark.parametrize(
    "method", [gradient, input_x_gradient, smoothgrad, vargrad, integrated_gradients,
               expected_gradients]
)  # fmt: skip
def test_several_targets_have_the_maps_of_each_alone(method: Callable[..., Tensor]) -> None:
    module, images = untrained(), some_images(2)
    targets = (Class(0), -1.0 * Class(1), Class(2) - Class(0))
    few = {k: 3 for k in ("samples", "steps") if k in inspect.signature(method).parameters}
    maps = method(module, images, Several(targets), batch_size=5, **few)
    assert maps.shape == (2, 3, *images.shape[1:])
    for k, target in enumerate(targets):
        alone = method(module, images, target, batch_size=5, **few)
        torch.testing.assert_close(
            maps[:, k], alone, rtol=1e-5, atol=1e-6 * float(alone.abs().max())
        )


def test_integrated_gradients_of_several_targets_take_the_steps_that_any_needs() -> None:
    module, images = untrained(), some_images(2)
    targets = (Class(0), Class(1))
    maps = integrated_gradients(module, images, Several(targets))
    change = values(module, images, Several(targets))
    change = change - values(module, torch.zeros_like(images), Several(targets))
    assert ((maps.sum((2, 3, 4)) - change).abs() < 0.02 * change.abs() + 1e-5).all()
