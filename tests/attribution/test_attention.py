from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from probe import models
from probe.attribution.attention import attention_grad_cam, attention_rollout
from probe.errors import ProbeError
from probe.targets import OUTPUT, Class, Function, Unit

METHODS = (attention_rollout, attention_grad_cam)


@cache  # no method changes it, which is tested below
def vit() -> nn.Module:
    """A small vision transformer: 16 patches and a class token, 3 blocks, 4 heads, 10 classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=16, mlp_dim=32,
            num_classes=10,
        )  # fmt: skip
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.4)  # so that attention is not the same for all
    return network.eval()


@cache
def timm_vit(**options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.models.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=10, **options
        )
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.4)
    return network.eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def by_hand(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run torchvision's transformer step by step: its output, and each block's attention."""
    x = network.conv_proj(images).flatten(2).transpose(1, 2)
    x = torch.cat([network.class_token.expand(len(x), -1, -1), x], 1)
    x = x + network.encoder.pos_embedding
    attention = []
    for block in network.encoder.layers:
        y, part = block.ln_1(x), block.self_attention
        query, key, value = (y @ part.in_proj_weight.T + part.in_proj_bias).chunk(3, -1)
        width = query.shape[-1] // part.num_heads
        heads = []
        for h in range(part.num_heads):
            of = slice(h * width, (h + 1) * width)
            logits = query[:, :, of] @ key[:, :, of].transpose(1, 2) / width**0.5
            heads.append(logits.softmax(-1))
        weights = torch.stack(heads, 1)
        attention.append(weights)
        outs = [weights[:, h] @ value[..., h * width : (h + 1) * width] for h in range(len(heads))]
        x = x + torch.cat(outs, -1) @ part.out_proj.weight.T + part.out_proj.bias
        x = x + block.mlp(block.ln_2(x))
    return network.heads(network.encoder.ln(x)[:, 0]), attention


def rolled_out(attention: list[Tensor]) -> Tensor:
    """Follow every way from the class token to a patch, token by token, of one picture."""
    rolled = torch.eye(attention[0].shape[-1])
    for weights in attention:
        means = weights.mean(0)
        step = torch.zeros_like(rolled)
        for i in range(len(rolled)):
            for j in range(len(rolled)):
                step[i] += (0.5 * means[i, j] + 0.5 * (i == j)) * rolled[j]
        rolled = step
    return rolled


def test_attention_rollout_is_that_of_an_explicit_loop() -> None:
    network, images = vit(), noise(2, 3, 32, 32)
    with torch.no_grad():
        scores, attention = by_hand(network, images)
        torch.testing.assert_close(scores, network(images))  # the steps are the network's
    found = attention_rollout(network, images, Class(0))
    for k in range(2):
        expected = rolled_out([weights[k] for weights in attention])[0, 1:].reshape(4, 4)
        torch.testing.assert_close(found[k], expected)
    assert found.dtype == torch.float32
    assert float(found.std()) > 0.001
    assert (found.sum((1, 2)) < 1).all()


def test_attention_grad_cam_is_that_of_an_explicit_loop() -> None:
    network, images = vit(), noise(2, 3, 32, 32)
    scores, attention = by_hand(network, images)
    slopes = torch.autograd.grad(scores[:, 3].sum(), attention)
    found = attention_grad_cam(network, images, Class(3))
    for k in range(2):
        rolled = torch.eye(17)
        for weights, slope in zip(attention, slopes, strict=True):
            heads = [(weights[k, h] * slope[k, h]).clamp(min=0) for h in range(4)]
            rolled = rolled + sum(heads).detach() / 4 @ rolled
        expected = rolled[0, 1:].reshape(4, 4)
        assert expected.any()
        torch.testing.assert_close(found[k], expected, rtol=1e-4, atol=1e-6)
    assert not found.requires_grad
    other = attention_grad_cam(network, images, Class(4))
    assert not torch.allclose(found, other), "it is of a target"


@pytest.mark.parametrize("options", [{}, {"class_token": False, "global_pool": "avg"}])
def test_fused_attention_of_timm_gives_what_the_unfused_gives(options: dict[str, Any]) -> None:
    network, images = timm_vit(**options), noise(2, 3, 32, 32)
    assert network.blocks[0].attn.fused_attn
    unfused = copy.deepcopy(network)
    kept: list[Tensor] = []
    for block in unfused.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda _m, _i, out: kept.append(out))
    scores = unfused(images)
    slopes = torch.autograd.grad(scores[:, 2].sum(), kept)
    rollout = attention_rollout(network, images, Class(2))
    cam = attention_grad_cam(network, images, Class(2))
    for k in range(2):
        rolled = rolled_out([weights[k].detach() for weights in kept])
        spoken = torch.eye(len(rolled))
        for weights, slope in zip(kept, slopes, strict=True):
            spoken = spoken + (weights[k] * slope[k]).relu().mean(0).detach() @ spoken
        if options:  # without a class token, the head averages over patches
            expected = rolled.mean(0).reshape(4, 4), spoken.mean(0).reshape(4, 4)
        else:
            expected = rolled[0, 1:].reshape(4, 4), spoken[0, 1:].reshape(4, 4)
        torch.testing.assert_close(rollout[k], expected[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(cam[k], expected[1], rtol=1e-4, atol=1e-6)


class Varied(nn.Module):
    """Attention with a mask, a scale, one that is causal, and weights that are used."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(12, 2, batch_first=True)
        self.apart = nn.MultiheadAttention(12, 3, batch_first=True, kdim=12, vdim=12, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * noise(*parameter.shape))

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(2).transpose(1, 2).repeat(1, 1, 4)  # 16 tokens
        mask = torch.arange(16) % 3 == 0
        out, mean = self.heads(x, x, x, key_padding_mask=mask.expand(len(x), -1))
        x = x + out + mean.sum(-1, keepdim=True).square()
        out, each = self.heads(x, x, x, average_attn_weights=False)
        x = x + out + each[:, 1] @ x
        out, nothing = self.apart(x, x, x, need_weights=False, attn_mask=mask.expand(16, -1))
        assert nothing is None
        q = (x + out).unflatten(-1, (3, 4)).transpose(1, 2)
        q = F.scaled_dot_product_attention(q, q, q, is_causal=True, scale=0.3)
        q = F.scaled_dot_product_attention(q, q, q, torch.linspace(-2, 2, 16).expand(16, -1))
        return q.transpose(1, 2).flatten(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "network", [vit(), timm_vit(), Varied()], ids=["torchvision", "timm", "varied"]
)
def test_the_network_computes_what_it_does_unwatched(
    method: Callable[..., Tensor], network: nn.Module
) -> None:
    size = 4 if isinstance(network, Varied) else 32
    images = noise(2, 3, size, size)
    seen = []

    def kept(scores: Tensor) -> Tensor:
        seen.append(scores.detach())
        return scores[:, 1]

    found = method(network, images, Function(kept, (OUTPUT,)))
    assert found.shape == (2, 4, 4)
    # By the plain formula: fused kernels add in another order on every kind of processor.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        expected = network.eval()(images)
    # Rollout never asks the target for its value.
    if method is attention_grad_cam:
        torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)
    else:
        assert not seen


def test_masked_attention_goes_nowhere() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Identity()  # where the network says which token is which patch

        def forward(self, images: Tensor) -> Tensor:
            x = self.tokens(images.flatten(2).transpose(1, 2))[:, None]
            allowed = torch.ones(4, 4, dtype=torch.bool)
            allowed[:, 2] = False
            return F.scaled_dot_product_attention(x, x, x, allowed).flatten(1)

    found = attention_rollout(Masked(), noise(1, 3, 2, 2), Class(0))
    assert float(found[0, 1, 0]) == pytest.approx(0.5 / 4)  # what goes around the attention
    assert float(found.sum()) == pytest.approx(1)


def test_rollout_goes_as_far_as_the_targets_layer() -> None:
    network, images = vit(), noise(2, 3, 32, 32)
    with torch.no_grad():
        _, attention = by_hand(network, images)
    target = Unit("encoder.layers.encoder_layer_1", 3, (0,))
    found = attention_rollout(network, images, target)
    expected = rolled_out([weights[0] for weights in attention[:2]])[0, 1:].reshape(4, 4)
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize("method", METHODS)
def test_maps_do_not_depend_on_batches(method: Callable[..., Tensor]) -> None:
    network, images = vit(), noise(3, 3, 32, 32)
    whole = method(network, images, Class(1))
    for size in (1, 2):
        with torch.set_grad_enabled(size == 1):  # nor on who has switched gradients off
            part = method(network, images, Class(1), batch_size=size)
        torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_that_is_not_square_has_its_own_grid(method: Callable[..., Tensor]) -> None:
    images = noise(1, 3, 2, 8)  # 16 patches: not 4 × 4
    assert method(Varied(), images, Class(0)).shape == (1, 2, 8)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_vit_b_16_has_a_map_of_its_patches(method: Callable[..., Tensor]) -> None:
    network = models.load("vit_b_16", "random")
    # A random classifier begins at zero and has no gradient: the target is behind the last block.
    found = method(network.module, noise(1, 3, 224, 224), Unit("encoder.ln", 5, (0,)))
    assert found.shape == (1, 14, 14)
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert found.any()


@pytest.mark.parametrize("broken", [False, True], ids=["done", "raised"])
@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_as_it_was(method: Callable[..., Tensor], broken: bool) -> None:
    network, images = copy.deepcopy(vit()).train(), noise(2, 3, 32, 32).requires_grad_()
    network.encoder.layers[1].eval()
    network.conv_proj.requires_grad_(False)
    if broken:  # behind the first attention
        network.encoder.layers[1].mlp[0].register_forward_pre_hook(failing)

    def state() -> list[Any]:
        return [
            [(part.training, len(part._forward_hooks)) for part in network.modules()],
            [(p.requires_grad, p.grad is None, p._version) for p in network.parameters()],
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
            images.grad is None,
            torch.overrides._get_current_function_mode_stack(),
        ]

    before = state()
    if broken:
        with pytest.raises(ValueError, match="half way"):
            method(network, images, Class(1))
    else:
        method(network, images, Class(1))
    assert state() == before


def failing(*_: object) -> None:
    raise ValueError("half way")


class Windows(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(2).transpose(1, 2)
        windows = x.reshape(-1, 1, 4, 3)
        return F.scaled_dot_product_attention(windows, windows, windows).reshape(len(x), -1)


class Unplaced(nn.Module):
    """Tokens that no module returns: nobody says which patch each is."""

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(2).transpose(1, 2)[:, None]
        return F.scaled_dot_product_attention(x, x, x).flatten(1)


class Narrowing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(2).transpose(1, 2)[:, None]
        x = F.scaled_dot_product_attention(x, x, x)
        return F.scaled_dot_product_attention(x[:, :, :1], x, x).flatten(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("network", "size", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), (8, 8), "no attention.*vit_b_16"),
        (Windows(), (4, 4), r"\(4, 1, 4, 4\) is not from all"),
        (Narrowing(), (4, 4), r"\(1, 1, 1, 16\) is not from all 16 tokens"),
        (Unplaced(), (4, 4), "attention has 16 tokens, and it is not known where"),
    ],
    ids=["none", "windows", "pooling", "no places"],
)
def test_errors_name_what_is_wrong(
    method: Callable[..., Tensor], network: nn.Module, size: tuple[int, int], words: str
) -> None:
    with pytest.raises(ProbeError, match=words) as error:
        method(network, noise(1, 3, *size), Class(0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_registers_are_left_out(method: Callable[..., Tensor]) -> None:
    """The map is of the patches alone, which come after the class token and its registers."""
    network = timm_vit(class_token=True, reg_tokens=3)
    found = method(network, noise(1, 3, 32, 32), Class(0))
    assert found.shape == (1, 4, 4)
    if method is attention_rollout:
        assert 0 < float(found.sum()) < 1
