"""Style transfer as it was published, written plainly: what ours is compared with.

gatys
    Gatys et al. 2016, Image style transfer using convolutional neural networks, with the weights of
    the authors' program: Gram matrices of relu1_1 to relu5_1 divided by the number of positions,
    their mean squared differences weighted with 1000 / channels²; the mean squared difference of
    relu4_2, weighted with 1; L-BFGS, begun with the content.
recipe
    The open program that makes the best pictures, style-transfer-pytorch (K. Crowson):
    Wasserstein-2 of Gaussians, with roots by 12 Newton–Schulz steps, weighted with 256, 64, 16, 4,
    1, together 1; the squared difference of relu4_2 divided by the absolute one, weighted with
    0.015; the total variation, weighted with 2; the first convolution padded with the border's
    pixels; Adam, 0.02, its moments kept from scale to scale, scales from 128 pixels on that grow by
    √2, twice as many steps at the first; the moving average of 0.99 is the result of each.

Facts of the programs, no code of theirs. Both look through the network that they are given, here
VGG-16, where they took VGG-19; weights that fit the one may fit the other less. Gatys et al. scaled
theirs, and gave it pixels up to 255: see `LARGER`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_2"
LARGER = 20.0
"""What features are multiplied with for the weights of Gatys et al., chosen by eye: the style then
counts as much as in their pictures. As they are, it would hardly show."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Look = Callable[[Tensor], dict[str, Tensor]]


def look_through(features: nn.Sequential, beyond: str = "constant") -> Look:
    """Give what reads the layers that style transfer compares off a VGG network.

    What lies beyond the borders of a picture is 0, or, with "replicate", as at them.
    """
    names, block, place = [], 1, 0
    for part in features:
        place += isinstance(part, nn.Conv2d)
        names.append(f"relu{block}_{place}" if isinstance(part, nn.ReLU) else "")
        if isinstance(part, nn.MaxPool2d):
            block, place = block + 1, 0
    last = names.index(STYLE_LAYERS[-1]) + 1
    for parameter in features.parameters():
        parameter.requires_grad_(False)
    mean, deviation = (torch.tensor(one)[:, None, None] for one in (MEAN, DEVIATION))

    def look(picture: Tensor) -> dict[str, Tensor]:
        seen, outputs = (picture - mean) / deviation, {}
        seen = F.conv2d(F.pad(seen, (1, 1, 1, 1), beyond), features[0].weight, features[0].bias)
        for part, name in zip(features[1:last], names[1:], strict=False):
            # Not in place, as outputs are kept.
            seen = F.relu(seen) if isinstance(part, nn.ReLU) else part(seen)
            if name in (*STYLE_LAYERS, CONTENT_LAYER):
                outputs[name] = seen
        return outputs

    return look


def gram(features: Tensor) -> Tensor:
    """Give the Gram matrix, divided by the number of positions."""
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Give the mean and the covariance of the channels."""
    flat = features[0].flatten(1)
    mean = flat.mean(1)
    centred = flat - mean[:, None]
    return mean, centred @ centred.T / flat.shape[1] + 1e-4 * torch.eye(len(flat))


def root(matrix: Tensor, steps: int = 12) -> Tensor:
    """Newton–Schulz (Higham 2008, Functions of matrices, eq. 6.35)."""
    norm = matrix.norm()
    y, identity = matrix / norm, torch.eye(len(matrix))
    z = identity
    for _ in range(steps):
        t = (3 * identity - z @ y) / 2
        y, z = y @ t, t @ z
    return y * norm.sqrt()


def wasserstein(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], half: Tensor) -> Tensor:
    """Give the squared distance of two Gaussians, with the root of the other's covariance."""
    cross = root(half @ one[1] @ half).trace()
    apart = (one[0] - other[0]).square().sum()
    return apart + one[1].trace() + other[1].trace() - 2 * cross


def gatys_loss(look: Look, content: Tensor, style: Tensor) -> Callable[[Tensor], Tensor]:
    """Give the loss of a picture."""
    with torch.no_grad():
        kept = LARGER * look(content)[CONTENT_LAYER]
        grams = {layer: gram(LARGER * output) for layer, output in look(style).items()}

    def loss(picture: Tensor) -> Tensor:
        outputs = {layer: LARGER * output for layer, output in look(picture).items()}
        terms = [F.mse_loss(outputs[CONTENT_LAYER], kept)]
        for layer in STYLE_LAYERS:
            weight = 1000 / len(grams[layer]) ** 2
            terms.append(weight * F.mse_loss(gram(outputs[layer]), grams[layer]))
        return torch.stack(terms).sum()

    return loss


def recipe_loss(look: Look, content: Tensor, style: Tensor) -> Callable[[Tensor], Tensor]:
    """Give the loss of a picture."""
    with torch.no_grad():
        kept = look(content)[CONTENT_LAYER]
        wanted = {layer: gaussian(output) for layer, output in look(style).items()}
        roots = {layer: root(wanted[layer][1]) for layer in STYLE_LAYERS}
    weights: Mapping[str, float] = dict(zip(STYLE_LAYERS, (256, 64, 16, 4, 1), strict=True))

    def loss(picture: Tensor) -> Tensor:
        outputs = look(picture)
        apart = outputs[CONTENT_LAYER] - kept
        terms = [0.015 * apart.square().sum() / (apart.abs().sum() + 1e-8)]
        for layer, weight in weights.items():
            distance = wasserstein(gaussian(outputs[layer]), wanted[layer], roots[layer])
            terms.append(weight / sum(weights.values()) * distance)
        across, down = picture.diff(dim=3), picture.diff(dim=2)
        terms.append(2 * (across.square().sum() + down.square().sum()) / picture.numel())
        return torch.stack(terms).sum()

    return loss


def gatys(look: Look, content: Tensor, style: Tensor, steps: int) -> Tensor:
    """Make a picture, (1, 3, height, width) in 0–1; steps are evaluations of the loss."""
    loss = gatys_loss(look, content, style)
    picture = content.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([picture], max_iter=steps, max_eval=steps, tolerance_change=0)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(picture)
        value.backward()
        return value

    optimiser.step(closure)
    return picture.detach().clamp(0, 1)


def recipe(look: Look, content: Tensor, style: Tensor, steps: int) -> Tensor:
    """Make a picture, (1, 3, height, width) in 0–1; steps are of all scales together."""
    end = max(content.shape[-2:])
    scales = [end]
    while round(end / 2 ** (len(scales) / 2)) >= 128:
        scales.append(round(end / 2 ** (len(scales) / 2)))
    scales.reverse()
    each = steps // (len(scales) + 1)
    picture, state = content, None
    for number, scale in enumerate(scales):
        small = resized(content, scale)
        picture = F.interpolate(picture, small.shape[-2:], mode="bicubic").clamp(0, 1)
        picture = picture.detach().requires_grad_()
        loss = recipe_loss(look, small, resized(style, scale))
        optimiser = torch.optim.Adam([picture], lr=0.02, betas=(0.9, 0.99))
        if state is not None:
            carried = {
                name: F.interpolate(state[name], small.shape[-2:], mode="bilinear")
                for name in ("exp_avg", "exp_avg_sq")
            }
            optimiser.state[picture] = {"step": state["step"], **carried}
        average, left = torch.zeros_like(picture), 1.0
        for _ in range(each * (2 if number == 0 else 1)):
            optimiser.zero_grad()
            loss(picture).backward()
            optimiser.step()
            with torch.no_grad():
                picture.clamp_(0, 1)
                average = 0.99 * average + 0.01 * picture
                left *= 0.99
        state = optimiser.state[picture]
        picture = average / (1 - left)
    return picture.clamp(0, 1)


def resized(picture: Tensor, longest: int) -> Tensor:
    """Give a picture a longer side; never a larger one."""
    factor = min(longest / max(picture.shape[-2:]), 1)
    sides = [round(side * factor) for side in picture.shape[-2:]]
    return F.interpolate(picture, sides, mode="bicubic", antialias=True).clamp(0, 1)
