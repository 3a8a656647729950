"""Class activation maps: the channels of a layer, weighted by what they do for a target, and added.

All are maps at the layer's own positions. They differ in the weights: from the gradient (Grad-CAM
and its kin), from the target of masked pictures (Score-CAM), from what a channel's loss costs
(Ablation-CAM). Throughout, A is what the layer returned, (channels, y, x), and g the gradient of
the target with respect to A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe.activations.capture import differentiable, split_name
from probe.attribution.gradients import at_least, checked
from probe.attribution.rectifiers import guided_backprop
from probe.errors import ProbeError
from probe.models.devices import out_of_memory
from probe.models.layouts import Layout, layouts
from probe.targets import Target, by_channel, gradient


def grad_cam(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Add a layer's channels, each weighted by its mean gradient (Selvaraju et al. 2017, eq. 1–2).

    relu(Σₖ wₖ Aₖ), where wₖ is the mean of gₖ over positions. Where global average pooling and a
    linear layer follow, this is CAM (Zhou et al. 2016), rectified and divided by the number of
    positions.

    Parameters
    ----------
    module : torch.nn.Module
    images : torch.Tensor, shape (n, 3, height, width)
        Preprocessed, on the module's device.
    target : Target
    layer : str
        One with positions: (n, channels, y, x), or the tokens of a transformer, of which the class
        token is left out.
    batch_size : int
        Pictures in a pass, at most.

    Returns
    -------
    torch.Tensor, shape (n, y, x); (n, m, y, x) of `probe.targets.Several`
        float32, not negative.

    Raises
    ------
    ProbeError
        If there is no such layer, it has no positions, or the target does not depend on it.
    """
    return _from_gradients(_mean_gradient, module, images, target, layer, batch_size)


def _mean_gradient(a: Tensor, g: Tensor) -> Tensor:
    return (g.mean((2, 3), keepdim=True) * a).sum(1).relu()


def grad_cam_plus_plus(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Weight positions, so that every instance of a class counts (Chattopadhay et al. 2018).

    relu(Σₖ wₖ Aₖ) with wₖ = Σ αₖ relu(gₖ), where αₖ = gₖ² / (2 gₖ² + (Σ Aₖ) gₖ³), sums over
    positions (eq. 19). As in the paper, Y = exp(target) is what is explained; its factor
    exp(target), the same for the whole map, is left out, since it overflows.

    Parameters
    ----------
    module, images, target, layer, batch_size
        As for `grad_cam`. The weights are meant for a layer that is not negative: after a ReLU.

    Returns
    -------
    torch.Tensor, shape (n, y, x); (n, m, y, x) of `probe.targets.Several`
        float32, not negative.

    Raises
    ------
    ProbeError
        As for `grad_cam`.
    """
    return _from_gradients(_weighted_gradient, module, images, target, layer, batch_size)


def _weighted_gradient(a: Tensor, g: Tensor) -> Tensor:
    # α is shortened by g², which is tiny; where g ≤ 0 it is multiplied by 0.
    rising = g.relu()
    below = 2 + a.sum((2, 3), keepdim=True) * rising
    weights = rising / below.where(below != 0, 1)
    return (weights.sum((2, 3), keepdim=True) * a).sum(1).relu()


def hires_cam(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Multiply activation and gradient, place by place (Draelos & Carin 2020).

    Σₖ gₖ Aₖ, signed. Where only pooling and one linear layer follow, the map sums to the target
    less its bias: it shows no place that the target does not depend on. Where gradients are the
    same at all positions, its positive part is Grad-CAM.

    Parameters
    ----------
    module, images, target, layer, batch_size
        As for `grad_cam`.

    Returns
    -------
    torch.Tensor, shape (n, y, x); (n, m, y, x) of `probe.targets.Several`
        float32, signed.

    Raises
    ------
    ProbeError
        As for `grad_cam`.
    """
    return _from_gradients(lambda a, g: (g * a).sum(1), module, images, target, layer, batch_size)


def layer_cam(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Weight every place of a channel by its own positive gradient (Jiang et al. 2021, eq. 6–8).

    relu(Σₖ relu(gₖ) Aₖ): fine enough for early layers. The paper's tanh, which lifts the maps of
    early layers where several are added, is left to the display.

    Parameters
    ----------
    module, images, target, layer, batch_size
        As for `grad_cam`.

    Returns
    -------
    torch.Tensor, shape (n, y, x); (n, m, y, x) of `probe.targets.Several`
        float32, not negative.

    Raises
    ------
    ProbeError
        As for `grad_cam`.
    """
    return _from_gradients(
        lambda a, g: (g.relu() * a).sum(1).relu(), module, images, target, layer, batch_size
    )


def score_cam(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Weight channels by the target of the picture masked by each (Wang et al. 2020, alg. 1).

    relu(Σₖ wₖ Aₖ), where w is the softmax over channels of target(x · Hₖ), and Hₖ the channel,
    enlarged bilinearly and stretched from 0 to 1. The paper's baseline, the target of the empty
    picture, is the same for all channels: the softmax takes it away. No gradients. It takes a pass
    of the whole network per channel.

    Parameters
    ----------
    module, images, target, layer
        As for `grad_cam`.
    batch_size : int
        Masked pictures in a pass, at most.

    Returns
    -------
    torch.Tensor, shape (n, y, x); (n, m, y, x) of `probe.targets.Several`
        float32, not negative.

    Raises
    ------
    ProbeError
        If there is no such layer, or it has no positions.
    """
    maps = []
    at_least(1, batch_size=batch_size)
    for picture in checked(images).split(1):
        a = differentiable(module, picture, [layer])[layer]
        a = on_grid(a, layout_at(module, layer, picture), layer)
        scores = torch.cat(
            [
                target(differentiable(module, picture * masks, target.layers)).float()
                for masks in map(_stretched(picture), a[0].float().split(batch_size))
            ]
        )
        maps.append(_weighted(scores.softmax(0), a))
    return torch.stack(maps)


def _weighted(weights: Tensor, a: Tensor) -> Tensor:
    """Sum a picture's channels, (1, channels, y, x), by their weights for one target or several."""
    return torch.tensordot(weights.movedim(0, -1), a[0].float(), 1).relu()


def _stretched(picture: Tensor) -> Callable[[Tensor], Tensor]:
    """Return masks of a picture from channels: (channels, y, x) to (channels, 1, height, width)."""

    def masks(channels: Tensor) -> Tensor:
        large = F.interpolate(channels[:, None], picture.shape[2:], mode="bilinear")
        low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
        # A channel that is the same everywhere says nothing of places: its mask is empty.
        return ((large - low) / (high - low).where(high > low, 1)).to(picture.dtype)

    return masks


def ablation_cam(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Weight channels by what the target loses without each (Desai & Ramaswamy 2020, eq. 4–5).

    relu(Σₖ wₖ Aₖ), where wₖ = (y − yₖ) / |y|, y is the target and yₖ the target when Aₖ is zero.
    The paper divides by y, a positive score; were a negative one not taken by its magnitude, the
    map would show what is evidence against the target. No gradients.

    Parameters
    ----------
    module, images, target, layer
        As for `grad_cam`. Of a transformer, a channel is set to zero in all patches.
    batch_size : int
        Ablated channels in a pass, at most. What comes before the layer is computed once for them.

    Returns
    -------
    torch.Tensor, shape (n, y, x); (n, m, y, x) of `probe.targets.Several`
        float32, not negative.

    Raises
    ------
    ProbeError
        If there is no such layer, it has no positions, or the target does not depend on it.
    """
    maps = []
    at_least(1, batch_size=batch_size)
    for picture in checked(images).split(1):
        outputs = differentiable(module, picture, [layer, *target.layers], cut=layer)
        if not any(outputs[name].requires_grad for name in target.layers):
            raise ProbeError(f"target {target.name!r} does not depend on layer {layer!r}")
        a, y = (
            on_grid(outputs[layer].detach(), layout_at(module, layer, picture), layer).float(),
            target(outputs).detach().float(),
        )
        del outputs  # with its graph
        ablated = [
            _without(channels, module, picture, target, layer).detach().float()
            for channels in torch.arange(a.shape[1], device=a.device).split(batch_size)
        ]
        maps.append(_weighted((y - torch.cat(ablated)) / y.abs().where(y != 0, 1), a))
    return torch.stack(maps)


def _without(
    channels: Tensor, module: nn.Module, picture: Tensor, target: Target, layer: str
) -> Tensor:
    """Return the target without each of some channels: (channels,)."""
    layout = layout_at(module, layer, picture)

    def ablated(output: Tensor) -> Tensor:
        torch.set_grad_enabled(False)  # a graph would begin here, and nobody asks for gradients
        rows = output.expand(len(channels), *output.shape[1:]).clone()
        on_grid(rows, layout, layer)[torch.arange(len(channels)), channels] = 0
        return rows

    def values(rows: Tensor) -> Tensor:
        layer_names = [layer, *target.layers]
        return target(differentiable(module, rows, layer_names, cut=layer, change=ablated))

    try:
        value = values(picture)
        if len(value) == len(channels):
            return value
    except RuntimeError as error:
        if out_of_memory(error):
            raise
    # What runs beside the layer, and is joined to it later, needs as many rows.
    return values(picture.expand(len(channels), -1, -1, -1))


def guided_grad_cam(
    module: nn.Module, images: Tensor, target: Target, *, layer: str, batch_size: int = 32
) -> Tensor:
    """Multiply guided backprop by Grad-CAM, enlarged bilinearly (Selvaraju et al. 2017, §3.2).

    Parameters
    ----------
    module, images, target, layer, batch_size
        As for `grad_cam`.

    Returns
    -------
    torch.Tensor, shape (n, 3, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed.

    Raises
    ------
    ProbeError
        As for `grad_cam`.
    """
    cam = grad_cam(module, images, target, layer=layer, batch_size=batch_size)
    large = F.interpolate(cam.reshape(-1, 1, *cam.shape[-2:]), images.shape[2:], mode="bilinear")
    slopes = guided_backprop(module, images, target, batch_size=batch_size)
    return large.reshape(*cam.shape[:-2], 1, *images.shape[2:]) * slopes


def _from_gradients(
    combined: Callable[[Tensor, Tensor], Tensor],
    module: nn.Module,
    images: Tensor,
    target: Target,
    layer: str,
    batch_size: int,
) -> Tensor:
    """Return a map from a layer's activations and gradients, both (n, channels, y, x)."""
    cams = []
    at_least(1, batch_size=batch_size)
    for batch in checked(images).split(batch_size):
        outputs = differentiable(module, batch, [layer, *target.layers], cut=layer)
        output = outputs[layer]
        with torch.enable_grad():  # also for one who has switched gradients off
            value = target(outputs)
        (slope,) = gradient(value, [output], target)
        layout = layout_at(module, layer, batch)
        a = on_grid(output.detach(), layout, layer).float()
        maps = []
        for of_target in slope.unbind(1) if value.ndim == 2 else (slope,):
            g = on_grid(of_target, layout, layer).float()
            if output.ndim == 3 and of_target.any() and not g.any():
                raise ProbeError(
                    f"layer {layer!r}: from here on target {target.name!r} looks at the class "
                    "token alone; take a layer before the last attention"
                )
            maps.append(combined(a, g))
        cams.append(torch.stack(maps, dim=1) if value.ndim == 2 else maps[0])
    return torch.cat(cams)


def on_grid(output: Tensor, layout: Layout, layer: str) -> Tensor:
    """Show what a layer returned as (n, channels, y, x): a view, of tokens the patches alone."""
    if layout.arranged == ("token", "channel"):
        if layout.grid is None:
            raise ProbeError(
                f"layer {layer!r} has {output.shape[1]} tokens, and it is not known where in the "
                "picture each is"
            )
        first, y, x = layout.grid
        return by_channel(output)[:, :, first : first + y * x].unflatten(2, (y, x))
    if layout.arranged != ("channel", "y", "x"):
        raise ProbeError(
            f"layer {layer!r} gives shape {tuple(output.shape[1:])} for a picture and has no "
            "positions to make a map of"
        )
    return output


@contextmanager
def tracing(module: nn.Module, what: str) -> Iterator[None]:
    """Return why the axes of an output cannot be traced."""
    try:
        yield
    except ProbeError:
        raise
    except Exception as error:  # a user's module may raise anything
        reason = str(error).split("\n")[0][:200]
        raise ProbeError(
            f"{what}: which axes of its output are rows and columns is traced with two "
            f"pictures, and {type(module).__name__} cannot be run on them "
            f"({type(error).__name__}: {reason})"
        ) from error


def layout_at(module: nn.Module, layer: str, images: Tensor) -> Layout:
    """Return what the axes of a layer's output are for pictures of this size.

    Raises
    ------
    ProbeError
        If pictures have no axis of their own, or the network does not take two at a time.
    """
    path, call, part = split_name(layer)
    with tracing(module, f"layer {layer!r}"):
        by_layer = layouts(module, images.shape[1:])
    layout = by_layer.get((path, call or 0, part))
    if layout is None:
        raise ProbeError(f"layer {layer!r} does not exist, or returns nothing for each picture")
    return layout
