from __future__ import annotations

import copy
import warnings

import pytest
import torch
from captum.attr import DeepLift
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from probe import models
from probe.attribution.deeplift import deeplift
from probe.attribution.lrp import lrp
from probe.errors import ProbeError
from probe.targets import Class, Function, Norm, Several, Target, values

CNNS = (
    pytest.param("alexnet", marks=pytest.mark.slow),
    "resnet18",
    "squeezenet1_1",
    pytest.param("googlenet", marks=pytest.mark.slow),
    pytest.param("densenet121", marks=pytest.mark.slow),
    pytest.param("efficientnet_lite0", marks=pytest.mark.slow),
    pytest.param("mobilenet_v2", marks=pytest.mark.slow),
    "mobilenet_v3_small",  # with squeeze and excitation
    "shufflenet_v2_x0_5",
)


def pictures(n: int = 2, size: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def filled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all parameters, biases too, and the statistics of batch normalisation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator).div_(parameter[0].numel() ** 0.5)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(generator=generator)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)
    return network.eval()


def by_captum(network: nn.Module, images: Tensor, index: int, baseline: Tensor) -> Tensor:
    network = copy.deepcopy(network)
    for part in network.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = images.clone().requires_grad_()
        return DeepLift(network).attribute(x, baseline, target=index).detach()


def gap(network: nn.Module, images: Tensor, target: Target, baseline: Tensor) -> Tensor:
    """How far maps are from the target's change, as a part of what they hand out in all."""
    maps = deeplift(network, images, target, baseline=baseline)
    change = values(network, images, target) - values(network, baseline, target)
    return (maps.sum((1, 2, 3)) - change).abs() / maps.abs().sum((1, 2, 3))


def test_three_layers_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1), nn.Flatten())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1, 0], [0, 1, 1]]).view(2, 3, 1, 1))
        network[0].bias.copy_(torch.tensor([0.0, -1]))
        network[2].weight.copy_(torch.tensor([2.0, -3]).view(1, 2, 1, 1))
    # (3, 1, 2) goes to (2, 2), and black to (0, -1): slopes 1 and 2/3. Multipliers of the pixels:
    # 2·1, -2·1 - 3·2/3, -3·2/3.
    x = torch.tensor([3.0, 1, 2]).view(1, 3, 1, 1)
    expected = torch.tensor([2.0 * 3, -4.0 * 1, -2.0 * 2]).view(1, 3, 1, 1)
    torch.testing.assert_close(deeplift(network, x, Class(0)), expected)
    # From (3, 1, 2) itself nothing differs; from (1, 1, 3), (0, 3): slopes 1 and 1.
    assert deeplift(network, x, Class(0), baseline=x).eq(0).all()
    origin = torch.tensor([1.0, 1, 3]).view(1, 3, 1, 1)
    expected = torch.tensor([2.0 * 2, -5.0 * 0, -3.0 * -1]).view(1, 3, 1, 1)
    torch.testing.assert_close(deeplift(network, x, Class(0), baseline=origin), expected)


@pytest.mark.parametrize("name", CNNS)
def test_maps_sum_to_the_change_of_the_target(name: str) -> None:
    network = models.load(name, "random").module.double()  # most have outputs that hardly change
    images, origin = pictures(2).double(), pictures(1, seed=1).double()
    assert gap(network, images, Class(7), torch.zeros_like(origin)).max() < 1e-5
    assert gap(network, images, Class(7) - 0.5 * Class(8), origin).max() < 1e-5


def test_other_targets_are_complete() -> None:
    network = models.load("squeezenet1_1", "random").module
    network = network.double()
    images, origin = pictures(2).double(), pictures(1, seed=1).double()
    assert gap(network, images, Norm("features.6.expand3x3"), origin).max() < 1e-5

    def probability(scores: Tensor) -> Tensor:
        return (10 * scores).softmax(1)[:, 3]

    assert gap(network, images, Function(probability), origin).max() < 1e-5

    def ratio(scores: Tensor) -> Tensor:
        return scores[:, 3] / (1 + scores[:, 4] * scores[:, 4]) ** 0.5

    assert gap(network, images, Function(ratio), origin).max() < 1e-5


@pytest.mark.slow
def test_equals_captum_on_vgg11() -> None:
    network = models.load("vgg11", "random").module
    images, black = pictures(1), torch.zeros(1, 3, 64, 64)
    expected = by_captum(network, images, 5, black)
    scale = float(expected.abs().max())
    torch.testing.assert_close(
        deeplift(network, images, Class(5)), expected, rtol=0, atol=1e-5 * scale
    )


@pytest.mark.parametrize("nonlinear", [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh])
def test_equals_captum_without_pooling_by_maximum(nonlinear: type[nn.Module]) -> None:
    network = filled(
        nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nonlinear(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 3),
            nonlinear(),
            nn.Flatten(),
            nn.Linear(32, 5),
        )
    )
    images, origin = pictures(3, 10), pictures(3, 10, seed=1)
    expected = by_captum(network, images, 2, origin)
    torch.testing.assert_close(
        deeplift(network, images, Class(2), baseline=origin), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "before", [[nn.MaxPool2d(3, 2)], [nn.ReLU(), nn.MaxPool2d(2)]], ids=["overlap", "after ReLU"]
)
def test_captum_alone_loses_some_where_maxima_overlap_or_follow_a_relu(
    before: list[nn.Module],
) -> None:
    images, origin = pictures(2, 12), pictures(2, 12, seed=1)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), *before, nn.Flatten(), nn.LazyLinear(4))
    network(images)
    filled(network)
    change = values(network, images, Class(1)) - values(network, origin, Class(1))
    captum = by_captum(network, images, 1, origin).sum((1, 2, 3))
    assert ((captum - change).abs() > 0.02).all()
    assert gap(network, images, Class(1), origin).max() < 1e-6


@pytest.mark.parametrize("settings", [(2, 2, 0), (3, 2, 1), (3, 1, 0)])
def test_a_maximum_hands_back_to_its_place_and_the_baselines(
    settings: tuple[int, int, int],
) -> None:
    size, stride, padding = settings
    images, origin = pictures(1, 7), pictures(1, 7, seed=1)
    network = nn.MaxPool2d(size, stride, padding)
    weights = torch.randn(network(images).shape, generator=torch.Generator().manual_seed(2))
    target = Function(lambda pooled: (pooled * weights).flatten(1).sum(1))
    expected = torch.zeros_like(images)
    for c, i, j in torch.cartesian_prod(*map(torch.arange, weights.shape[1:])).tolist():
        top, left = i * stride - padding, j * stride - padding
        window = (0, c, slice(max(top, 0), top + size), slice(max(left, 0), left + size))
        change = images[window].max() - origin[window].max()
        place = (images if change > 0 else origin)[window].argmax()
        y, x = divmod(int(place), images[window].shape[1])
        expected[0, c, max(top, 0) + y, max(left, 0) + x] += change * weights[0, c, i, j]
    torch.testing.assert_close(deeplift(network, images, target, baseline=origin), expected)


OF_ONE_NUMBER = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "leaky_relu": functional.leaky_relu,
    "prelu": lambda x: functional.prelu(x, torch.tensor([0.1, 0.2, 0.3])),
    "hardtanh": functional.hardtanh,
    "clamp": lambda x: x.clamp(-0.5, 1),
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "softplus": functional.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "square": torch.square,
    "pow": lambda x: x**3,
    "rpow": lambda x: 2**x,
    "rdiv": lambda x: 1 / (x * x + 1),
    "div": lambda x: torch.div(torch.tensor(2.0), x.exp()),
}


class Elementwise(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = OF_ONE_NUMBER[name]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", OF_ONE_NUMBER)
def test_one_number_hands_back_its_own_change(name: str) -> None:
    network = Elementwise(name)
    images, origin = pictures(2, 4), pictures(2, 4, seed=1)
    target = Function(lambda out: out.flatten(1).sum(1))
    expected = network(images) - network(origin)
    torch.testing.assert_close(
        deeplift(network, images, target, baseline=origin), expected, rtol=1e-5, atol=1e-6
    )
    # Near the baseline it is the gradient: rounding is not blown up.
    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    near = images + 1e-6
    got = deeplift(network, near, target, baseline=images) / (near - images)
    torch.testing.assert_close(got, slope, rtol=1e-4, atol=1e-5)


def test_products_hand_back_shapley_values() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, 0] * x[:, 1]

    images, origin = pictures(2, 3), pictures(2, 3, seed=1)
    maps = deeplift(Product(), images, Function(lambda out: out.flatten(1).sum(1)), baseline=origin)
    a, b, a0, b0 = images[:, 0], images[:, 1], origin[:, 0], origin[:, 1]
    # what `a` adds, before and after `b` has changed
    expected = ((a * b0 - a0 * b0) + (a * b - a0 * b)) / 2
    torch.testing.assert_close(maps[:, 0], expected)
    torch.testing.assert_close(maps[:, 1], a * b - a0 * b0 - expected)
    assert maps[:, 2].eq(0).all()


def test_of_a_linear_network_it_is_input_times_gradient() -> None:
    network = filled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Flatten()))
    images = pictures(2, 8)
    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(x)[:, 3].sum(), x)
    torch.testing.assert_close(deeplift(network, images, Class(3)), slope * images)


def test_baselines_of_all_shapes() -> None:
    network = models.load("squeezenet1_1", "random").module
    images, origin = pictures(3), pictures(1, seed=1)
    one = deeplift(network, images, Class(0), baseline=origin)
    each = deeplift(network, images, Class(0), baseline=origin.expand(3, -1, -1, -1))
    torch.testing.assert_close(one, each, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
    origins = pictures(3, seed=1)
    each = deeplift(network, images, Class(0), baseline=origins, batch_size=2)
    alone = deeplift(network, images[2:], Class(0), baseline=origins[2:])
    torch.testing.assert_close(each[2:], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))
    colour = deeplift(network, images, Class(0), baseline=torch.ones(3, 1, 1))
    torch.testing.assert_close(colour, deeplift(network, images, Class(0), baseline=1.0))
    with pytest.raises(ProbeError, match=r"^a baseline of shape \(2, 3, 64, 64\) does not fit"):
        deeplift(network, images, Class(0), baseline=images[:2])


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_from_the_blurred_picture(batch_size: int) -> None:
    network = filled(
        nn.Sequential(
            nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4),
        )
    )  # fmt: skip
    images = pictures(5, 24)
    soft = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, 24 / 20, 24 / 20)))
    maps = deeplift(network, images, Class(2), baseline="blurred", batch_size=batch_size)
    scale = maps.abs().max()
    by_value = deeplift(network, images, Class(2), baseline=soft)
    torch.testing.assert_close(maps / scale, by_value / scale, rtol=1e-5, atol=1e-5)
    expected = by_captum(network, images, 2, soft)
    torch.testing.assert_close(maps / scale, expected / scale, rtol=1e-4, atol=1e-4)
    change = values(network, images, Class(2)) - values(network, soft, Class(2))
    torch.testing.assert_close(maps.sum((1, 2, 3)), change, rtol=1e-4, atol=1e-4)


def test_a_baseline_of_another_word_is_refused() -> None:
    with pytest.raises(ProbeError, match="baseline 'blur': expected a number, values or 'blurred'"):
        deeplift(nn.Flatten(), pictures(1, 8), Class(2), baseline="blur")


def test_several_targets_at_once_are_refused() -> None:
    network = filled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)))
    for method in (deeplift, lrp):
        with pytest.raises(ProbeError, match="2 targets side by side cannot be explained"):
            method(network, pictures(1, 12), Several((Class(0), Class(1))))
