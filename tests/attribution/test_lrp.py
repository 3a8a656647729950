from __future__ import annotations

import copy
import warnings
from functools import cache

import pytest
import torch
from captum.attr import LRP
from torch import Tensor, nn

from probe import models
from probe.attribution.lrp import RULES, lrp
from probe.errors import ProbeError
from probe.models import Network
from probe.targets import Channel, Class, Function, Norm, values

CNNS = (
    pytest.param("vgg11", marks=pytest.mark.slow),
    "resnet18",
    "squeezenet1_1",
    pytest.param("googlenet", marks=pytest.mark.slow),
    pytest.param("densenet121", marks=pytest.mark.slow),
    pytest.param("efficientnet_lite0", marks=pytest.mark.slow),
    "mobilenet_v2",
)
LAST = {  # convolutional layers
    "vgg11": "features.18",
    "resnet18": "layer4.1.conv2",
    "squeezenet1_1": "features.12.expand1x1",
    "googlenet": "inception5b.branch1.conv",
    "densenet121": "features.denseblock4.denselayer16.conv2",
    "efficientnet_lite0": "features.8.0",
    "mobilenet_v2": "features.18.0",
}


@cache
def untrained(name: str) -> nn.Module:
    return models.load(name, "random").module


def pictures(n: int = 2, size: int = 64) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def filled(network: nn.Module, *, bias: bool = True) -> nn.Module:
    """Draw all parameters and the statistics of batch normalisation."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.normal_(generator=generator).div_(parameter[0].numel() ** 0.5)
            if name.endswith("bias") and not bias:
                parameter.zero_()
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean") and bias:
                buffer.normal_(generator=generator)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)
    return network.eval()


class Small(nn.Module):
    """Modules for which Captum has rules, in a network that flattens by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(32, 10), nn.Tanh(), nn.Linear(10, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def input_x_gradient(network: nn.Module, images: Tensor, index: int) -> Tensor:
    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network.eval()(x)[:, index].sum(), x)
    return slope * images


def of_three_layers() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1), nn.Flatten())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1, 0], [0, 1, 1]]).view(2, 3, 1, 1))
        network[0].bias.copy_(torch.tensor([0.0, -1]))
        network[2].weight.copy_(torch.tensor([2.0, 3]).view(1, 2, 1, 1))
        network[2].bias.fill_(2)
    return network


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # (3, 1, 2) goes to (2, 2) and to 4 + 6 + 2 = 12, of which the neurons have 4 and 6. The
        # first hands 3/2 of it to the first pixel, -1/2 to the second; the second, of
        # 2 = 1 + 2 - 1, 1/2 and 2/2 to the second and third.
        ("epsilon", [4 * 3 / 2, 4 * -1 / 2 + 6 * 1 / 2, 6 * 2 / 2]),
        # The neurons have 12·4/10 and 12·6/10; only the first pixel excites the first.
        ("z-plus", [4.8, 7.2 * 1 / 3, 7.2 * 2 / 3]),
        # The same, and evenly to all pixels that a neuron could see.
        ("composite", [4.0, 4.0, 4.0]),
    ],
)
def test_three_layers_by_hand(rule: str, expected: list[float]) -> None:
    x = torch.tensor([3.0, 1, 2]).view(1, 3, 1, 1)
    got = lrp(of_three_layers(), x, Class(0), rule=rule, epsilon=0.0)
    torch.testing.assert_close(got, torch.tensor(expected).view(1, 3, 1, 1))


def test_epsilon_by_hand() -> None:
    # One neuron, 1·3 - 1·1 = 2; ε of 1/2 of its own size.
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.Flatten())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1, 0]).view(1, 3, 1, 1))
    x = torch.tensor([3.0, 1, 2]).view(1, 3, 1, 1)
    got = lrp(network, x, Class(0), rule="epsilon", epsilon=0.5)
    torch.testing.assert_close(got, torch.tensor([3.0, -1, 0]).view(1, 3, 1, 1) * 2 / 3)


@pytest.mark.parametrize("name", CNNS)
def test_z_plus_conserves(name: str) -> None:
    network, images = untrained(name), pictures()
    for target in (Class(7), Class(7) - 0.5 * Class(8), Norm(LAST[name])):
        got = lrp(network, images, target, rule="z-plus").sum((1, 2, 3))
        torch.testing.assert_close(got, values(network, images, target), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", CNNS)
def test_composite_conserves_in_convolutions(name: str) -> None:
    network, images = untrained(name), pictures()
    for target in (Channel(LAST[name], 1), Norm(LAST[name])):
        got = lrp(network, images, target).sum((1, 2, 3))
        torch.testing.assert_close(got, values(network, images, target), rtol=1e-3, atol=0)


def test_conserves_with_trained_biases(alexnet: Network) -> None:
    images = pictures(2, 224)
    for target in (Channel("features.10", 84), Norm("features.10")):
        expected = values(alexnet.module, images, target)
        for rule in ("z-plus", "composite"):
            got = lrp(alexnet.module, images, target, rule=rule).sum((1, 2, 3))
            torch.testing.assert_close(got, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("densenet121", marks=pytest.mark.slow), "googlenet"]
)
def test_in_composite_a_bias_of_a_dense_layer_keeps_its_share(name: str) -> None:
    network, images = filled(copy.deepcopy(untrained(name))), pictures()
    dense = [part for part in network.modules() if isinstance(part, nn.Linear)][-1]
    expected = values(network, images, Class(3)) - dense.bias[3].detach()
    got = lrp(network, images, Class(3), epsilon=1e-9).sum((1, 2, 3))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    "name",
    [pytest.param("vgg11", marks=pytest.mark.slow), "resnet18", "squeezenet1_1", "googlenet",
     pytest.param("densenet121", marks=pytest.mark.slow)],
)  # fmt: skip
def test_epsilon_is_input_times_gradient_of_relu_networks(name: str) -> None:
    network, images = untrained(name), pictures()
    if name != "vgg11":
        network, images = copy.deepcopy(network).double(), images.double()
    if name in ("resnet18", "squeezenet1_1"):
        filled(network)  # biases keep their share
    got = lrp(network, images, Class(3), rule="epsilon", epsilon=0.0)
    expected = input_x_gradient(network, images, 3).float()
    scale = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    "name", ["small", pytest.param("vgg11", marks=pytest.mark.slow), "squeezenet1_1"]
)
def test_epsilon_equals_captum(name: str) -> None:
    network = filled(Small()) if name == "small" else untrained(name)
    images = pictures(1, 14 if name == "small" else 64)
    plain = copy.deepcopy(network)
    for part in plain.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = images.clone().requires_grad_()
        expected = LRP(plain).attribute(x, target=2).detach()
    got = lrp(network, images, Class(2), rule="epsilon", epsilon=1e-9)
    scale = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * scale)


def z_plus_in_a_loop(weights: Tensor, x: Tensor, relevance: Tensor) -> Tensor:
    """Of a convolution of stride 1 without padding."""
    shares = torch.zeros_like(x)
    size = weights.shape[-1]
    for j, y, z in torch.cartesian_prod(*map(torch.arange, relevance.shape)).tolist():
        window = (slice(None), slice(y, y + size), slice(z, z + size))
        contributions = (weights[j] * x[window]).clamp(min=0)
        if contributions.sum() == 0:  # excited by its bias alone
            contributions = torch.ones_like(contributions)
        shares[window] += contributions / contributions.sum() * relevance[j, y, z]
    return shares


def test_z_plus_equals_a_loop_over_neurons() -> None:
    network = filled(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 2))
    )
    with torch.no_grad():
        network[1].bias.add_(3)
        network[0].weight[1].zero_()
    assert (network[1].weight < 0).any()  # which turns contributions round
    images = pictures(1, 6)
    target = Norm("3")
    scale = network[1].weight / (network[1].running_var + network[1].eps).sqrt()
    merged = (network[0].weight * scale.view(-1, 1, 1, 1)).detach()
    relevance = network(images)[0].detach().square() / 2
    middle = network[:3](images)[0].detach()
    relevance = z_plus_in_a_loop(network[3].weight.detach(), middle, relevance)
    expected = z_plus_in_a_loop(merged, images[0], relevance)
    got = lrp(network, images, target, rule="z-plus")[0]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("apart", [False, True])
def test_flat_hands_back_evenly(apart: bool) -> None:
    network = filled(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)))
    if apart:
        network[0].padding = (0, 0)
        network = nn.Sequential(nn.ZeroPad2d(1), network[0])
    images, weights = pictures(1, 4), torch.arange(4 * 4 * 4.0).view(4, 4, 4)
    target = Function(lambda out: (out * weights).flatten(1).sum(1))
    relevance = network(images)[0].detach() * weights
    expected = torch.zeros(3, 4, 4)
    for j, y, x in torch.cartesian_prod(*[torch.arange(4)] * 3).tolist():
        window = expected[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        window += relevance[j, y, x] / window.numel()
    torch.testing.assert_close(lrp(network, images, target)[0], expected, rtol=1e-4, atol=1e-4)


class Sum(nn.Module):
    def __init__(self, subtract: bool) -> None:
        super().__init__()
        self.subtract = subtract

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] - x[:, 1] if self.subtract else x[:, 0] + x[:, 1]


@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_sums_share_out(subtract: bool, rule: str) -> None:
    images = pictures(2, 5)
    a, b = images[:, 0], -images[:, 1] if subtract else images[:, 1]
    weights = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    target = Function(lambda out: (out * weights).flatten(1).sum(1))
    relevance = (a + b) * weights
    if rule == "epsilon":
        expected = [a * weights, b * weights]
    else:
        total = a.clamp(min=0) + b.clamp(min=0)
        none = total == 0
        assert none.any()
        share = torch.where(none, 0.5, a.clamp(min=0) / total)
        expected = [share * relevance, (1 - share) * relevance]
    got = lrp(Sum(subtract), images, target, rule=rule, epsilon=0.0)
    torch.testing.assert_close(got[:, :2], torch.stack(expected, 1), rtol=1e-4, atol=1e-5)
    assert got[:, 2].eq(0).all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mobilenet_v3_small", "torch.nn.functional.hardswish;"),
        pytest.param("efficientnet_b0", "torch.nn.functional.silu;", marks=pytest.mark.slow),
        ("convnext_tiny", "torch.nn.functional.layer_norm;"),
    ],
)
def test_networks_without_rules_are_refused(name: str, says: str) -> None:
    with pytest.raises(ProbeError, match=r"^LRP has no rule for [^\n]+$") as error:
        lrp(models.load(name, "random").module, pictures(1), Class(0))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        (lambda x: x * x, "mul of two activations"),
        (lambda x: x * x.sum(1, keepdim=True), "mul of two activations"),
        (lambda x: 1 / x, "__rtruediv__"),
        (lambda x: torch.tensor(2.0) / x, "div by an activation"),
        (lambda x: x @ x.transpose(2, 3), "matmul of two activations"),
        (lambda x: x.softmax(1), "softmax"),
        (lambda x: nn.functional.gelu(x), "gelu"),
        (lambda x: nn.functional.hardtanh(x, 1, 2), "hardtanh from 1 to 2"),
        (lambda x: x.square(), "square"),
        (lambda x: torch.add(x, x, alpha=-2), "add with alpha"),
    ],
)
def test_operations_without_rules_are_named(operation: object, says: str) -> None:
    class Operation(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return operation(x)  # type: ignore[operator]

    with pytest.raises(ProbeError, match=r"^LRP has no rule for [^\n]+$") as error:
        lrp(Operation(), pictures(1, 4), Norm(""))
    assert says in str(error.value)


def test_settings_that_do_not_exist() -> None:
    network = of_three_layers()
    with pytest.raises(ProbeError, match=r"^LRP rule 'epsilons' does not exist; did you mean 'eps"):
        lrp(network, pictures(1, 4), Class(0), rule="epsilons")
    with pytest.raises(ProbeError, match=r"^epsilon -1: expected a number ≥ 0"):
        lrp(network, pictures(1, 4), Class(0), epsilon=-1)
