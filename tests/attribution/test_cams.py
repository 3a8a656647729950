from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torchvision
from captum.attr import GuidedGradCam, LayerFeatureAblation, LayerGradCam
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from probe.activations import capture
from probe.attribution.cams import (
    ablation_cam,
    grad_cam,
    grad_cam_plus_plus,
    guided_grad_cam,
    hires_cam,
    layer_cam,
    score_cam,
)
from probe.errors import ProbeError
from probe.targets import Channel, Class, Function, Several, Unit, values

Cam = Callable[..., Tensor]

OF_GRADIENTS = (grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, guided_grad_cam)
CAMS = (*OF_GRADIENTS, score_cam, ablation_cam)


@cache  # no method changes it, which is tested below
def untrained(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.get_model(name).eval()


@cache
def in_doubles(name: str) -> nn.Module:
    """Ablation-CAM's weights are differences of scores that are nearly equal."""
    return copy.deepcopy(untrained(name)).double()


def vit(**options: Any) -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.VisionTransformer(
            **sizes | {"mlp_dim": 16, "num_classes": 5} | options
        )
        nn.init.normal_(network.heads[-1].weight)  # it begins at zero
    return network.eval()


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def three_layers(inplace: bool = False) -> nn.Module:
    """Convolution, ReLU, linear layer, of a picture of 2 × 2 pixels; small whole numbers."""
    network = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 2, 1, bias=False),
            relu=nn.ReLU(inplace=inplace),
            flat=nn.Flatten(),
            linear=nn.Linear(8, 2),
        )
    )
    weights = torch.tensor([1.0, -1, 2, 2, -1, 3, -2, -4])
    with torch.no_grad():
        network.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, -1]])[:, :, None, None])
        network.linear.weight.copy_(torch.stack([weights, -weights]))
        network.linear.bias.copy_(torch.tensor([7.0, -7]))
    return network


SMALL = torch.tensor([[[[1.0, 2], [-1, 3]], [[3, 1], [1, 2]], [[1, 2], [0, 1]]]])
# It gives A₀ = [[1, 2], [0, 3]] and A₁ = [[2, 0], [1, 1]]; the gradients are
# g₀ = [[1, −1], [2, 2]] and g₁ = [[−1, 3], [−2, −4]]; class 0 has 5 − 8 + 7 = 4, class 1 has −4.

SHARE = 1 / (1 + math.exp(-4 / 3))  # softmax of 22/3 and 6, of the masked pictures


@pytest.mark.parametrize(
    ("cam", "expected"),
    [
        (grad_cam, [[0, 2], [0, 2]]),  # relu(A₀ − A₁)
        (grad_cam_plus_plus, [[47 / 56, 46 / 56], [12 / 56, 81 / 56]]),  # w = 1/8 + 2/7, 3/14
        (hires_cam, [[-1, -2], [-2, 2]]),
        (layer_cam, [[1, 0], [0, 6]]),
        (ablation_cam, [[0, 2.5], [0, 1.75]]),  # w = (4 + 1)/4, (4 − 12)/4
        (score_cam, [[2 - SHARE, 2 * SHARE], [1 - SHARE, 1 + 2 * SHARE]]),
        (guided_grad_cam, [[[0, 0], [0, 4]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]),
    ],
)
def test_maps_of_three_layers_are_those_computed_by_hand(cam: Cam, expected: list[Any]) -> None:
    found = cam(three_layers(), SMALL, Class(0), layer="relu")
    assert found.dtype == torch.float32
    assert not found.requires_grad
    torch.testing.assert_close(found[0], torch.tensor(expected, dtype=torch.float32))


def test_ablation_cam_of_a_negative_target_shows_what_raises_it() -> None:
    # w₀ = (−4 − 1)/4, w₁ = (−4 + 12)/4
    found = ablation_cam(three_layers(), SMALL, Class(1), layer="relu")
    torch.testing.assert_close(found[0], torch.tensor([[2.75, 0], [2, 0]]))


def test_ablation_cam_of_a_target_that_is_zero_is_finite() -> None:
    target = Function(lambda scores: scores[:, 0] - 4)
    found = ablation_cam(three_layers(), SMALL, target, layer="relu")  # w = 5, −8
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 10], [0, 7]]))


def test_a_layer_before_an_inplace_relu_is_what_it_returned() -> None:
    # A = [[1, 2], [−1, 3]], [[2, −1], [1, 1]]; mean gradients, where the ReLU passes: 1/2, −7/4
    found = grad_cam(three_layers(inplace=True), SMALL, Class(0), layer="conv")
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 2.75], [0, 0]]))
    found = ablation_cam(three_layers(inplace=True), SMALL, Class(0), layer="conv")
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 4.5], [0, 1.75]]))


@pytest.mark.parametrize(
    ("name", "layer", "head"),
    [("resnet18", "layer4", "fc"), ("mobilenet_v2", "features", "classifier.1")],
)
def test_grad_cam_is_cam_where_pooling_and_a_linear_layer_follow(
    name: str, layer: str, head: str
) -> None:
    # Zhou et al. 2016: the channels weighted by the class's row, here over the number of positions.
    network, images = untrained(name), noise(2, 3, 96, 96)
    row = network.get_submodule(head).weight[7].detach()
    a = capture(network, images, [layer])[layer]
    cam = torch.einsum("k,nkyx->nyx", row, a)
    positions = a.shape[2] * a.shape[3]
    assert positions == 9
    found = grad_cam(network, images, Class(7), layer=layer)
    torch.testing.assert_close(found, cam.relu() / positions)
    # HiRes-CAM keeps the sign, and adds up to the class's score.
    signed = hires_cam(network, images, Class(7), layer=layer)
    torch.testing.assert_close(signed, cam / positions)
    bias = network.get_submodule(head).bias[7].detach()
    torch.testing.assert_close(signed.sum((1, 2)) + bias, values(network, images, Class(7)))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer1.1"),
        ("resnet18", "layer3.0.conv1"),
        ("resnet18", "layer4"),
        pytest.param("vgg11", "features.7", marks=pytest.mark.slow),
        pytest.param("vgg11", "features.20", marks=pytest.mark.slow),
    ],
)
def test_grad_cam_equals_captum(name: str, layer: str) -> None:
    network, images = untrained(name), noise(2, 3, 64, 64)
    peer = LayerGradCam(network, network.get_submodule(layer))
    theirs = peer.attribute(images, 3, relu_attributions=True)[:, 0].detach()
    assert theirs.any()
    ours = grad_cam(network, images, Class(3), layer=layer)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6 * float(theirs.max()))


def test_guided_grad_cam_equals_captum_where_every_relu_is_a_module() -> None:
    network, images = copy.deepcopy(untrained("resnet18")), noise(2, 3, 64, 64)
    for part in network.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # Captum's hooks do not bear it
    peer = GuidedGradCam(network, network.layer3)
    theirs = peer.attribute(images, 3, interpolate_mode="bilinear").detach()
    assert theirs.any()
    ours = guided_grad_cam(network, images, Class(3), layer="layer3")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6 * float(theirs.abs().max()))


def test_grad_cam_plus_plus_follows_from_three_derivatives_of_the_exponential() -> None:
    # Chattopadhay et al. 2018, eq. 19, with Y = exp(score): derivatives by autograd, unit by unit.
    generator = torch.Generator().manual_seed(3)
    a = torch.rand(3, 2, 2, generator=generator, dtype=torch.float64)
    w = torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)
    flat = a.flatten().requires_grad_()
    y = torch.exp((flat * w.flatten()).sum())
    (first,) = torch.autograd.grad(y, flat, create_graph=True)
    alphas = []
    for unit in range(12):
        second = torch.autograd.grad(first[unit], flat, create_graph=True)[0][unit]
        third = torch.autograd.grad(second, flat, retain_graph=True)[0][unit]
        total = a[unit // 4].sum()
        alphas.append((second / (2 * second + total * third)).item())
    weights = torch.tensor(alphas, dtype=torch.float64) * first.detach().relu() / y.detach()
    expected = torch.einsum("k,kyx->yx", weights.view(3, 4).sum(1), a.detach()).relu()

    network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(12, 1, bias=False)).double()
    with torch.no_grad():
        network[2].weight.copy_(w.view(1, 12))
    found = grad_cam_plus_plus(network, a.detach()[None], Class(0), layer="0")
    torch.testing.assert_close(found[0], expected.float())


def test_ablation_cam_equals_captums_ablation_of_channels() -> None:
    network, images = in_doubles("squeezenet1_1"), noise(2, 3, 48, 48).double()
    layer = "features.3"
    a = capture(network, images, [layer])[layer]
    channels = torch.arange(a.shape[1])[None, :, None, None].expand(1, *a.shape[1:])
    peer = LayerFeatureAblation(network, network.get_submodule(layer))
    with torch.no_grad():
        lost = peer.attribute(images, target=8, layer_mask=channels)
    score = values(network, images, Class(8))[:, None, None]
    expected = ((lost * a).sum(1) / score.abs()).relu()
    assert expected.any()
    found = ablation_cam(network, images, Class(8), layer=layer, batch_size=100)
    torch.testing.assert_close(found, expected.float())


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (in_doubles("squeezenet1_1"), "features.3.expand3x3"),  # joined to its neighbour
        # added, in place, to what runs beside
        pytest.param(in_doubles("resnet18"), "layer2.0.downsample.1", marks=pytest.mark.slow),
        (in_doubles("resnet18"), "layer1.1.bn2"),  # to which the way around it is added in place
        (vit(num_classes=9).double(), "conv_proj"),  # reshaped by the number of pictures
    ],
    ids=["concatenated", "shortcut", "residual", "patches"],
)
def test_ablation_cam_is_that_of_a_plain_loop_whatever_runs_beside(
    network: nn.Module, layer: str
) -> None:
    picture, kind = noise(1, 3, 32, 32).double(), 8
    a = capture(network, picture, [layer])[layer]
    scores = []
    for channel in range(a.shape[1]):

        def without(_m: nn.Module, _i: object, output: Tensor, channel: int = channel) -> Tensor:
            output = output.clone()
            output[:, channel] = 0
            return output

        handle = network.get_submodule(layer).register_forward_hook(without)
        with torch.no_grad():
            scores.append(network(picture)[0, kind])
        handle.remove()
    whole = values(network, picture, Class(kind))
    weights = (whole - torch.stack(scores)) / whole.abs()
    expected = (weights[None, :, None, None] * a).sum(1).relu()
    assert expected.any()
    found = ablation_cam(network, picture, Class(kind), layer=layer, batch_size=50)
    torch.testing.assert_close(found, expected.float())


def test_score_cam_is_that_of_a_plain_loop() -> None:
    network, picture = untrained("squeezenet1_1"), noise(1, 3, 64, 64)
    layer = "features.3.squeeze"
    a = capture(network, picture, [layer])[layer][0]
    scores = []
    for channel in a:
        mask = F.interpolate(channel[None, None], (64, 64), mode="bilinear", align_corners=False)
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        with torch.no_grad():
            scores.append(network(picture * mask)[0, 3])
    expected = torch.einsum("k,kyx->yx", torch.stack(scores).softmax(0), a).relu()
    assert expected.any()
    found = score_cam(network, picture, Class(3), layer=layer, batch_size=5)
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)


def test_score_cam_bears_a_channel_that_is_the_same_everywhere() -> None:
    network = three_layers()
    with torch.no_grad():
        network.conv.weight[1] = 0
    # x · H₀ gives 1/3 − 4/3 + 6 + 7 = 12, the empty mask 7
    found = score_cam(network, SMALL, Class(0), layer="relu")
    a = torch.tensor([[1.0, 2], [0, 3]])
    torch.testing.assert_close(found[0], a / (1 + math.exp(-5)))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_hires_cam_adds_up_and_bounds_hold(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    network = three_layers()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator)
    images = torch.randn(2, 3, 2, 2, generator=generator)
    signed = hires_cam(network, images, Class(0), layer="relu")
    left = values(network, images, Class(0)) - network.linear.bias[0].detach()
    torch.testing.assert_close(signed.sum((1, 2)), left, rtol=1e-4, atol=1e-5)
    # A is not negative: what is left out of Layer-CAM is what speaks against.
    assert (layer_cam(network, images, Class(0), layer="relu") >= signed - 1e-5).all()
    for cam in (grad_cam, grad_cam_plus_plus, layer_cam, score_cam, ablation_cam):
        found = cam(network, images, Class(0), layer="relu")
        assert found.isfinite().all()
        assert (found >= 0).all()


def test_tokens_of_a_transformer_are_a_grid_without_the_class_token() -> None:
    network, images, layer = vit(), noise(2, 3, 32, 32), "encoder.layers.encoder_layer_1.ln_1"
    a = capture(network, images, [layer])[layer].requires_grad_()
    assert a.shape == (2, 17, 8)
    block = network.encoder.layers[1]
    before = capture(network, images, ["encoder.layers.encoder_layer_0"])
    x = before["encoder.layers.encoder_layer_0"] + block.self_attention(a, a, a)[0]
    x = network.encoder.ln(x + block.mlp(block.ln_2(x)))
    (g,) = torch.autograd.grad(network.heads(x[:, 0])[:, 3].sum(), a)
    a, g = (part.detach()[:, 1:].reshape(2, 4, 4, 8) for part in (a, g))
    expected = (g.mean((1, 2), keepdim=True) * a).sum(3).relu()
    assert expected.any()
    found = grad_cam(network, images, Class(3), layer=layer)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        hires_cam(network, images, Class(3), layer=layer), (g * a).sum(3), rtol=1e-4, atol=1e-6
    )
    for cam in (score_cam, ablation_cam):
        assert cam(network, images, Class(3), layer=layer).shape == (2, 4, 4)


@pytest.mark.parametrize("cam", [*OF_GRADIENTS[:4], score_cam, ablation_cam])
def test_channels_that_come_last_are_found(cam: Cam) -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.movedim(1, 3).clone()

    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.movedim(3, 1)

    class Same(nn.Identity):
        pass

    def network(*parts: nn.Module) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, last = nn.Conv2d(3, 5, 3, 2, padding=1), nn.Linear(5 * 4 * 6, 2)
        return nn.Sequential(first, nn.ReLU(), *parts, nn.Flatten(), last)

    images = noise(2, 3, 8, 12)
    first = cam(network(Same(), Same()), images, Class(0), layer="2")
    last = cam(network(Last(), First()), images, Class(0), layer="2")
    assert first.shape == (2, 4, 6)
    assert first.any()
    torch.testing.assert_close(last, first)


@pytest.mark.parametrize("cam", CAMS)
def test_maps_do_not_depend_on_batches(cam: Cam) -> None:
    network, images = in_doubles("squeezenet1_1"), noise(2, 3, 32, 32).double()
    layer = "features.7.squeeze"
    target = Class(8) + 0.5 * Channel("features.12", 3)
    whole = cam(network, images, target, layer=layer)
    assert whole.any()
    for size in (1, 7):
        with torch.set_grad_enabled(size == 1):  # nor on who has switched gradients off
            part = cam(network, images, target, layer=layer, batch_size=size)
        torch.testing.assert_close(part, whole)
    one = cam(network, images[1:2], target, layer=layer)
    torch.testing.assert_close(one[0], whole[1])
    with pytest.raises(ProbeError, match="batch_size 0: expected 1 or more"):
        cam(network, images, target, layer=layer, batch_size=0)


def state(network: nn.Module) -> list[Any]:
    return [
        [(part.training, list(part._forward_hooks), getattr(part, "inplace", None))
         for part in network.modules()],
        [(p.requires_grad, p.grad is None, p._version) for p in network.parameters()],
        [(b._version) for b in network.buffers()],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    ]  # fmt: skip


@pytest.mark.parametrize("broken", [False, True], ids=["done", "raised"])
@pytest.mark.parametrize("cam", CAMS)
def test_the_network_is_as_it_was(cam: Cam, broken: bool) -> None:
    network, images = copy.deepcopy(untrained("resnet18")), noise(2, 3, 48, 48).requires_grad_()
    network.train()
    network.layer2.eval()
    network.layer1.requires_grad_(False)
    network.fc.register_forward_hook(lambda *_: None)
    before, pixels = state(network), images.detach().clone()

    def failing(scores: Tensor) -> Tensor:
        raise ValueError("half way")

    target = Function(failing) if broken else Class(1)
    try:
        cam(network, images, target, layer="layer1")
        assert not broken
    except ValueError:
        assert broken
    assert state(network) == before
    assert images.grad is None
    assert torch.equal(images, pixels)


@pytest.mark.parametrize("cam", CAMS)
@pytest.mark.parametrize(
    ("layer", "target", "words"),
    [
        ("layer9", Class(0), "layer 'layer9' does not exist"),
        ("avgpool", Class(5000), "class 5000 does not exist"),
        ("fc", Class(0), "no positions"),
    ],
)
def test_errors_name_what_is_wrong(cam: Cam, layer: str, target: Any, words: str) -> None:
    with pytest.raises(ProbeError, match=words) as error:
        cam(untrained("resnet18"), noise(1, 3, 48, 48), target, layer=layer)
    assert "\n" not in str(error.value)


def test_a_network_that_takes_one_picture_at_a_time_is_told_in_one_line() -> None:
    class One(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 1:
                raise ValueError("one at a time")
            return super().forward(x)

    module = One(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ProbeError, match=r"'1': .* two pictures.* One .*ValueError: one at a time"):
        grad_cam(module.eval(), torch.rand(1, 3, 8, 8), Class(1), layer="1")


@pytest.mark.parametrize("cam", [*OF_GRADIENTS, ablation_cam])
def test_a_target_before_the_layer_is_refused(cam: Cam) -> None:
    with pytest.raises(ProbeError, match="depend"):
        cam(untrained("resnet18"), noise(1, 3, 48, 48), Unit("layer1", 0, (0, 0)), layer="layer4")


def test_tokens_that_form_no_grid_are_refused() -> None:
    class ByColumns(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.transpose(2, 3).flatten(2).transpose(1, 2)

    network = nn.Sequential(ByColumns(), nn.Flatten())
    with pytest.raises(ProbeError, match=r"layer '0' has 24 tokens, and it is not known where"):
        grad_cam(network, noise(1, 3, 4, 6), Class(0), layer="0")
    mixed = nn.Sequential(nn.Flatten(2), nn.Linear(24, 6), nn.Flatten())
    with pytest.raises(ProbeError, match=r"layer '1' gives shape \(3, 6\) .* no positions"):
        grad_cam(mixed, noise(1, 3, 4, 6), Class(0), layer="1")


def test_a_layer_of_which_only_the_class_token_counts_is_refused() -> None:
    with pytest.raises(ProbeError, match="class token alone"):
        grad_cam(vit(), noise(1, 3, 32, 32), Class(0), layer="encoder.ln")


@pytest.mark.parametrize("cam", [score_cam, ablation_cam, *OF_GRADIENTS])
def test_several_targets_have_the_maps_of_each_alone(cam: Cam) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 9, 5), nn.ReLU(), nn.Conv2d(9, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 10 * 10, 8),
    )  # fmt: skip
    images = noise(2, 3, 16, 16)
    targets = (Class(3), -1.0 * Channel("2", 5), Class(7) - Class(3))
    maps = cam(network, images, Several(targets), layer="1", batch_size=7)
    assert maps.shape[:2] == (2, 3)
    for k, target in enumerate(targets):
        alone = cam(network, images, target, layer="1", batch_size=7)
        scale = float(alone.abs().max()) or 1.0  # of no channel that speaks for it, it is 0
        torch.testing.assert_close(maps[:, k] / scale, alone / scale, rtol=1e-6, atol=1e-6)
    assert (maps.abs().amax((0, 2, 3)) > 0).sum() >= 2
