"""Maps from the attention of vision transformers: which patches the answer was gathered from.

Attention is kept as it happens, in every call of ``torch.nn.MultiheadAttention`` and of
``scaled_dot_product_attention``; no module of the network is touched. Blocks that compute their
softmax by hand, or attend within windows, have no such map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from probe.activations.capture import differentiable
from probe.attribution.cams import tracing
from probe.attribution.gradients import at_least, checked
from probe.errors import ProbeError
from probe.models.layouts import Grid, outputs_of
from probe.targets import Target, gradient
from probe.targets.kinds import check_single


def attention_rollout(
    module: nn.Module, images: Tensor, target: Target, *, batch_size: int = 32
) -> Tensor:
    """Follow attention from the class token back to the patches (Abnar & Zuidema 2020, §3).

    Rₗ = ½ (Āₗ + I) Rₗ₋₁, where Ā is the mean of a block's attention over heads, and the identity
    stands for the way around it. The map is the class token's row of the last R; of a network
    without one, the mean of all rows, as its head averages them. It depends on the target only in
    how far it goes: through the attention that comes before the target's layers.

    Parameters
    ----------
    module : torch.nn.Module
    images : torch.Tensor, shape (n, 3, height, width)
        Preprocessed, on the module's device.
    target : Target
    batch_size : int
        Pictures in a pass, at most.

    Returns
    -------
    torch.Tensor, shape (n, y, x)
        float32, one value per patch: its share. They sum to 1, less the class token's share.

    Raises
    ------
    ProbeError
        If the network has no attention, it cannot be chained, or its patches form no square.
    """
    maps = []
    at_least(1, batch_size=batch_size)
    for batch in checked(images).split(batch_size):
        with _Attention(len(batch), lambda weights: weights.float().mean(1)) as attention:
            differentiable(module, batch, target.layers)
        rolled = attention.identity()
        for mean in attention.kept:
            rolled = (rolled + mean @ rolled) / 2
        maps.append(_answer(rolled, module, batch))
    return torch.cat(maps)


def attention_grad_cam(
    module: nn.Module, images: Tensor, target: Target, *, batch_size: int = 32
) -> Tensor:
    """Follow the attention that supports a target (Chefer, Gur & Wolf 2021, eq. 5–6).

    Rₗ = (I + Āₗ) Rₗ₋₁, where Ā is the mean over heads of relu(∂target/∂A · A): Grad-CAM of the
    attention, rolled out. The map is the class token's row of the last R; of a network without
    one, the mean of all rows.

    Parameters
    ----------
    module, images, target, batch_size
        As for `attention_rollout`. The target's layers are behind the attention.

    Returns
    -------
    torch.Tensor, shape (n, y, x)
        float32, not negative.

    Raises
    ------
    ProbeError
        As for `attention_rollout`, or if the target does not depend on the attention.
    """
    maps = []
    at_least(1, batch_size=batch_size)
    for batch in checked(images).split(batch_size):
        with _Attention(len(batch), lambda weights: weights.detach()) as attention:
            outputs = differentiable(module, batch.detach().requires_grad_(), target.layers)
        rolled = attention.identity()
        with torch.enable_grad():  # also for one who has switched gradients off
            value = target(outputs)
        check_single(value, target)
        slopes = gradient(value, attention.edges, target)
        for weights, slope in zip(attention.kept, slopes, strict=True):
            for_target = (slope.reshape(weights.shape).float() * weights.float()).relu().mean(1)
            rolled = rolled + for_target @ rolled
        maps.append(_answer(rolled, module, batch))
    return torch.cat(maps)


class _Attention(TorchFunctionMode):
    """While open, computes attention such that its weights can be seen, with equal results.

    Parameters
    ----------
    n : int
        Pictures.
    keep : callable
        Takes the weights of a call, (n, heads, tokens, tokens), and gives what is kept of them.

    Attributes
    ----------
    kept : list of torch.Tensor
        One for each call.
    edges : list of torch.autograd.graph.GradientEdge
        Where in the graph the gradient of each call's weights is found, if there is a graph.
    """

    def __init__(self, n: int, keep: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.n, self.keep = n, keep
        self.kept: list[Tensor] = []
        self.edges: list[GradientEdge] = []

    def identity(self) -> Tensor:
        """Return R₀: every token is its own.

        Raises
        ------
        ProbeError
            If no attention was called.
        """
        if not self.kept:
            raise ProbeError(
                "the target looks at no attention, through MultiheadAttention or "
                "scaled_dot_product_attention: take a vision transformer, such as vit_b_16"
            )
        return torch.eye(self.kept[0].shape[-1], device=self.kept[0].device)

    def seen(self, weights: Tensor, edge: GradientEdge | None) -> None:
        """Keep the weights of a call, if they can be chained to those before."""
        tokens = (self.kept or [weights])[0].shape[-1]
        if weights.ndim != 4 or (len(weights), *weights.shape[2:]) != (self.n, tokens, tokens):
            raise ProbeError(
                f"attention of shape {tuple(weights.shape)} is not from all {tokens} tokens to all "
                f"of {self.n} pictures: it cannot be followed from block to block"
            )
        self.kept.append(self.keep(weights))
        if edge is not None:
            self.edges.append(edge)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._heads(func, args, kwargs)
        if func is F.scaled_dot_product_attention:
            return self._product(*args, **kwargs)
        return func(*args, **kwargs)

    def _heads(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        with_weights = {**kwargs, "need_weights": True, "average_attn_weights": False}
        output, weights = func(*args, **with_weights)
        edge = None
        if weights.grad_fn is not None:
            # What is returned is a view of what was used: the gradient is there.
            edge = GradientEdge(*weights.grad_fn.next_functions[0])
            assert edge.node.name() == "SoftmaxBackward0"
        self.seen(weights, edge)
        if not kwargs.get("need_weights", True):
            return output, None
        return output, weights.mean(-3) if kwargs.get("average_attn_weights", True) else weights

    def _product(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        # Where every value is a unit vector, the answer is the weights, whatever mask there is.
        units = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device)
        units = units.expand(*key.shape[:-1], -1)
        weights = F.scaled_dot_product_attention(query, key, units, *args, **kwargs)
        edge = get_gradient_edge(weights) if weights.requires_grad else None
        self.seen(weights, edge)
        return weights @ value


def _answer(rolled: Tensor, module: nn.Module, images: Tensor) -> Tensor:
    """Return what the answer gathers from each patch: (n, tokens, tokens) to (n, y, x)."""
    first, y, x = _grid(rolled.shape[-1], module, images)
    row = rolled[:, 0] if first else rolled.mean(1)
    return row[:, first : first + y * x].unflatten(1, (y, x))


def _grid(n_tokens: int, module: nn.Module, images: Tensor) -> Grid:
    """Find the patches among tokens, as the network's layers have them."""
    with tracing(module, "attention"):
        traced = outputs_of(module, images.shape[1:])
    for output in traced:
        layout = output.layout
        if layout is None or layout.grid is None:
            continue
        if output.shape[layout.axes.index("token")] == n_tokens:
            return layout.grid
    raise ProbeError(
        f"attention has {n_tokens} tokens, and it is not known where in the picture each is"
    )
