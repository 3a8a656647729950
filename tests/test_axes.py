"""A layer's channels and positions are the same for everybody, whatever order its axes are in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from examples import costly
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import probe
from probe.models import Network
from probe.models.preprocessing import Preprocessing

N_CHANNELS = 5


class Turned(nn.Module):
    """What a layer is given, its axes in another order."""

    def __init__(self, order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order).contiguous()


class Network_(nn.Module):
    """Two convolutions, between which the axes are turned and turned back."""

    def __init__(self, order):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, N_CHANNELS, 3, 2)
        self.turned = Turned(order)
        self.back = Turned([order.index(axis) for axis in range(4)])
        self.second, self.head = nn.Conv2d(N_CHANNELS, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = self.back(self.turned(self.first(x).relu()))
        return self.head(self.second(x).relu().mean((2, 3)))


def picture(height, width, seed=0):
    levels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def network(order, size):
    with torch.random.fork_rng():
        module = Network_(order).eval()
    return Network.from_module(module, preprocessing=Preprocessing("resize", size), name="turned")


ORDERS = st.permutations(range(4))
SIZES = st.sampled_from([(11, 11), (11, 15), (23, 13)])  # 5 × 5 positions of 5 channels, and others
MANY = settings(
    costly(8, full=100), derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@MANY
@given(order=ORDERS, size=SIZES, reduce=st.sampled_from(["none", "mean", "max", "units:7"]))
def test_extraction(order, size, reduce, tmp_path):
    images = [np.asarray(picture(*size, seed)) for seed in range(3)]
    stimuli = probe.stimuli.StimulusSet(["a", "b", "c"], images, "noise")
    plain, turned = (
        probe.extract(network(o, size), stimuli, ["turned"], reduce=reduce)["turned"]
        for o in (list(range(4)), list(order))
    )
    # Means are added up in another order.
    rtol = 1e-6 if reduce == "mean" else 0
    np.testing.assert_allclose(plain.values, turned.values, rtol=rtol)
    for name in ("channel", "y", "x"):
        assert (name in plain.coords) == (name in turned.coords)
        if name in plain.coords:
            np.testing.assert_array_equal(plain[name], turned[name])


@MANY
@given(
    order=ORDERS, size=SIZES,
    target=st.sampled_from([0, "turned", "turned:3", "turned:4,1,2", "turned:1 - 0.5*turned:2"]),
    method=st.sampled_from(["grad-cam", "layer-cam", "ablation-cam", "gradient"]),
)  # fmt: skip
def test_saliency(order, size, target, method):
    layer = {} if method == "gradient" else {"layer": "turned"}
    plain, turned = (
        probe.saliency(picture(*size), network(o, size), method, target, **layer)
        for o in (list(range(4)), list(order))
    )
    assert plain.target == turned.target
    np.testing.assert_allclose(plain.values, turned.values, atol=1e-6 * plain.values.max())


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (2, 3, 0, 1)])
def test_dreams(order):
    size = (32, 36)
    plain, turned = (
        probe.dream(
            picture(*size), network(o, size), target="turned:2", steps=2, octaves=1,
            precision="float32",
        )
        for o in ([0, 1, 2, 3], list(order))
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(plain.picture), np.asarray(turned.picture))


# Real architectures, with random weights, against what torch gives when it is asked by hand.

NETWORKS = {
    "swin_t": (lambda size: torchvision.models.swin_t(), {
        "features.7.1": "yxc", "features.1.1": "yxc", "features.2.reduction": "yxc"}),
    "swin_v2_t": (lambda size: torchvision.models.swin_v2_t(), {
        "features.7.1": "yxc", "features.3.0.norm1": "yxc"}),
    "convnext_tiny": (lambda size: torchvision.models.convnext_tiny(), {
        "features.7.2": "cyx", "features.1.0.block.2": "yxc"}),
    "vit_b_16": (lambda size: torchvision.models.vit_b_16(image_size=size[0]), {
        "encoder.layers.encoder_layer_10": "tc", "encoder.layers.encoder_layer_2.mlp": "tc"}),
    "maxvit_t": (lambda size: torchvision.models.maxvit_t(input_size=size), {
        "blocks.3": "cyx", "blocks.1.layers.0.layers.MBconv": "cyx"}),
    "clip": (lambda size: _timm("vit_base_patch32_clip_224", img_size=size), {
        "blocks.10": "tc", "blocks.3.attn": "tc"}),
}  # fmt: skip
DEFAULT = {
    "vit_b_16": "encoder.layers.encoder_layer_10",
    "clip": "blocks.10",
    "maxvit_t": "blocks.3",
    "swin_t": "features.7.1",
    "swin_v2_t": "features.7.1",
    "convnext_tiny": "features.7.2",
}


def _timm(name, **options):
    import timm

    return timm.create_model(name, num_classes=10, **options)


def by_hand(module, layer, inputs, order):
    """Return a layer's output and the gradient of class 3: (channel, y, x) or (channel, token)."""
    kept = {}

    def keep(_module, _inputs, output):
        output.retain_grad()
        kept["output"] = output

    handle = dict(module.named_modules())[layer].register_forward_hook(keep)
    try:
        module(inputs)[0, 3].backward()
    finally:
        handle.remove()
    output, slope = kept["output"][0].detach(), kept["output"].grad[0]
    if order in ("yxc", "tc"):
        output, slope = output.movedim(-1, 0), slope.movedim(-1, 0)
    return output.numpy(), slope.numpy()


USUAL = ((224, 224), (240, 320), (384, 384), (360, 480))
ONE_SIZE = ("vit_b_16", "maxvit_t")  # made for squares, or multiples of their windows


SIDES = {name: (64, 64) if name in ONE_SIZE else (64, 96) for name in NETWORKS}
"""Of one picture each; another, and others of the usual size, take longer."""

LARGE = ("swin_v2_t", "vit_b_16", "clip")
"""Whose tests are slow."""


@pytest.mark.parametrize(
    ("name", "size"),
    [item for item in SIDES.items() if item[0] not in LARGE]
    + [
        pytest.param(name, size, marks=pytest.mark.slow)
        for name in NETWORKS
        for size in ((64, 64), (64, 96), (96, 128), *USUAL)
        if name in LARGE or size != SIDES[name]
    ],
)
def test_real_networks(name, size, tmp_path):
    if name in ONE_SIZE and size[0] != size[1]:
        pytest.skip("this network takes squares")
    if name == "maxvit_t" and size[0] != 224:
        pytest.skip("its windows of 7 divide 224 / 32 alone")
    if name == "clip":
        size = tuple(side // 32 * 32 for side in size)
    make, layers = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = make(size).eval()
    wrapped = Network.from_module(module, preprocessing=Preprocessing("resize", size), name=name)
    image = picture(*size)
    inputs = wrapped.preprocessing(image)[None]
    stimuli = probe.stimuli.StimulusSet(["a"], [np.asarray(image)], "noise")
    whole = probe.extract(wrapped, stimuli, list(layers))
    means = probe.extract(wrapped, stimuli, list(layers), reduce="mean")
    for layer, order in layers.items():
        output, slope = by_hand(module, layer, inputs, order)
        scale = np.abs(output).max()
        # Channel means.
        by_channel = output.reshape(len(output), -1)
        np.testing.assert_allclose(means[layer].values[0], by_channel.mean(1), atol=1e-5 * scale)
        # Coordinates.
        array = whole[layer].isel(stimulus=0)
        axes = ("channel", "token") if order == "tc" else ("channel", "y", "x")
        units = [array[axis].values for axis in axes]
        np.testing.assert_allclose(array.values, output[tuple(units)], atol=1e-5 * scale)
        # Targets: a channel, and the last one there is.
        for channel in (3, len(output) - 1):
            target = probe.targets.parse(f"{layer}:{channel}", wrapped)
            value = probe.targets.values(module, inputs, target)
            np.testing.assert_allclose(float(value), by_channel[channel].mean(), atol=1e-5 * scale)
        # Grad-CAM.
        if order == "tc":
            height, width = (side // (16 if name == "vit_b_16" else 32) for side in size)
            output, slope = (a[:, 1:].reshape(len(a), height, width) for a in (output, slope))
        cam = (slope.mean((1, 2))[:, None, None] * output).sum(0).clip(0)
        found = probe.saliency(image, wrapped, "grad-cam", 3, layer=layer)
        assert found.values.shape == cam.shape
        np.testing.assert_allclose(found.values, cam, atol=2e-5 * cam.max())
    assert probe.saliency(image, wrapped, "grad-cam", 3).layer == DEFAULT[name]
