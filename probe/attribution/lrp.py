"""Layer-wise relevance propagation: a target's number, handed back to the picture by rules.

Bach et al. 2015, doi:10.1371/journal.pone.0130140; Montavon et al. 2019, "Layer-wise relevance
propagation: an overview", doi:10.1007/978-3-030-28954-6_10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from probe.attribution.calls import (
    Call,
    Calls,
    HandedBack,
    Rule,
    as_function_of,
    batch_statistics,
    carriers,
    names,
    occurrences,
)
from probe.errors import ProbeError, suggest
from probe.targets import Target, gradient

RULES = ("composite", "epsilon", "z-plus")

CONVOLUTIONS = names("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
DENSE = names("linear matmul mm bmm mv")
_OPERANDS = ("input", "weight", "other", "mat2", "bias")
_BY_OUTPUT = names("conv1d conv2d conv3d linear")  # whose weights have their output's axis first

SUMS = names(
    """sum mean avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d"""
)
"""What adds values up with weights that are not negative."""

PASSING = names("relu relu6 leaky_relu elu tanh")
"""Functions of one number that rise, and are 0 at 0: they pass relevance on (Bach et al. 2015)."""

MAX_POOLS = names(
    """max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d"""
)
"""The greatest takes all, as in the gradient."""


def lrp(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    rule: str = "composite",
    epsilon: float = 1e-6,
    batch_size: int = 32,
) -> Tensor:
    """Hand a target's number back to the values of a picture, layer by layer (LRP).

    A neuron hands its relevance to its inputs in proportion to what each contributed. With z_ij
    for activation i times its weight to neuron j:

    - ``epsilon``: R_i = Σ_j z_ij / (z_j + ε sign z_j) R_j, where z_j is all that the neuron sums,
      its bias too. Biases and ε keep a share: it conserves where there are none. With ReLU, and
      for ε → 0, it is input × gradient (Ancona et al. 2018, arXiv:1711.06104).
    - ``z-plus``: R_i = Σ_j z⁺_ij / Σ_i z⁺_ij R_j, where z⁺ are the positive contributions. Biases
      take no part: it conserves. A neuron without a positive contribution, that only its bias
      excites, hands its relevance evenly to its inputs.
    - ``composite``: ``epsilon`` in dense layers; ``z-plus`` in convolutions, sums and means; in
      the first convolution, evenly to all values it sees (``flat``). The biases of dense layers
      and ε keep a share; everything else conserves.

    To conserve is to sum to the target. A ReLU passes relevance on, and a maximum passes it to the
    place of the maximum. A batch normalisation scales the weights of the convolution before it, of
    which only the signs matter here, and its shift is a bias. What the target does with its
    layer's output is handed back as by ``epsilon`` = 0.

    Parameters
    ----------
    module : torch.nn.Module
        Its operations may be modules or functions, in place, and used more than once.
    images : torch.Tensor, shape (n, 3, height, width)
        Preprocessed.
    target : Target
    rule : {"composite", "epsilon", "z-plus"}
    epsilon : float
        ε, in units of the root mean square of z over the layer, for each picture.
    batch_size : int
        Most pictures in one forward pass.

    Returns
    -------
    torch.Tensor, shape (n, 3, height, width)
        Signed, in units of the target.

    Raises
    ------
    ProbeError
        If the network has an operation for which there is no rule, or if there is no such rule.
    """
    if rule not in RULES:
        raise ProbeError(f"LRP rule {rule!r} does not exist{suggest(rule, RULES)}")
    if not 0 <= epsilon < float("inf"):
        raise ProbeError(f"epsilon {epsilon:g}: expected a number ≥ 0")
    maps: list[Tensor] = []
    for part in images.detach().split(batch_size):
        x = part.clone().requires_grad_()
        value = _Relevance(rule, epsilon).run(module, x, target)
        # What is handed back begins with the target's own number.
        maps += gradient(value * value.detach(), [x], target)
    return torch.cat(maps).float()


class _Relevance(Calls):
    """The rules of LRP: what is handed back is no gradient but relevance."""

    def __init__(self, rule: str, epsilon: float) -> None:
        super().__init__("LRP", MAX_POOLS, _RULES)
        self._rule, self._epsilon = rule, epsilon
        self._first = rule == "composite"  # whether the next convolution is the first

    def read(self, target: Target, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the target of what layers return; see `Calls.read`."""
        self._rule, self._epsilon = "epsilon", 0.0
        self.rules = {**self.rules, "square": _Relevance._pass}  # as in a norm
        return target(outputs)

    def _convolution(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        first, self._first = self._first, False
        return self._weighted(func, args, kwargs, self._rule != "epsilon", first)

    def _dense(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        return self._weighted(func, args, kwargs, self._rule == "z-plus")

    def _weighted(
        self,
        func: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        positive: bool,
        flat: bool = False,
    ) -> Tensor:
        if occurrences((args, kwargs)) > 1:
            raise self.refusal(func, "of two activations")
        if not positive:
            return self._by_all(func, args, kwargs)
        # What may come by position or by keyword, by position.
        args = (*args, *(kwargs.pop(key) for key in _OPERANDS if key in kwargs))
        swapped = not carriers(args[0])
        weights = args[0] if swapped else args[1]
        settings = (None, *args[3:]) if len(args) > 2 else ()  # without bias
        signs: dict[str, Tensor] = {}

        def call(x: Tensor, weights: Tensor) -> Tensor:
            operands = (weights, x) if swapped else (x, weights)
            return func(*operands, *settings, **kwargs)

        def positives(x: Tensor) -> Tensor:
            w = weights
            if signs:
                w = w * signs["batch_norm"].reshape(-1, *[1] * (w.ndim - 1))
            total = call(x.clamp(min=0), w.clamp(min=0))
            return total + call(x.clamp(max=0), w.clamp(max=0)) if (x < 0).any() else total

        def counts(x: Tensor) -> Tensor:
            return call(x, torch.ones_like(weights))

        result = self._by_positives(func, args, kwargs, positives, counts, flat)
        if func.__name__ in _BY_OUTPUT:
            _notes(result)["signs"] = signs
        return result

    def _batch_norm(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if batch_statistics(args, kwargs):
            raise self.refusal(func, "with the statistics of a batch")
        if self._rule == "epsilon":
            return self._by_all(func, args, kwargs)
        weight = args[1] if len(args) > 5 else kwargs.get("weight")  # torch's, or functional's
        signs = _notes(args[0]).get("signs")
        if weight is not None and signs is not None:
            # A convolution and its normalisation are a convolution with other weights.
            signs["batch_norm"] = weight.sign()
        return self._pass(func, args, kwargs)

    def _pad(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if kwargs.get("value"):
            raise self.refusal(func, "with a value")
        result = func(*args, **kwargs)
        # What is shared out evenly is not shared with the padding.
        _notes(result)["inside"] = func(torch.ones_like(args[0][:1]), *args[1:], **kwargs)
        return result

    def _sum(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if self._rule == "epsilon":
            return self._by_all(func, args, kwargs)
        counts = as_function_of(carriers((args, kwargs)), func, args, kwargs)
        return self._by_positives(func, args, kwargs, lambda x: counts(x.clamp(min=0)), counts)

    def _add(
        self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any], signs: tuple[int, int]
    ) -> Tensor:
        if self._rule == "epsilon":
            return self._by_all(func, args, kwargs)
        if "alpha" in kwargs:
            raise self.refusal(func, "with alpha")
        if occurrences((args, kwargs)) == 1:  # the other is a bias
            return self._pass(func, args, kwargs)

        def positives(a: Tensor, b: Tensor) -> Tensor:
            return (a * signs[0]).clamp(min=0) + (b * signs[1]).clamp(min=0)

        inputs, operands = carriers((args, kwargs)), (*args, *kwargs.values())
        function = as_function_of(inputs, positives, operands, {})
        counts = as_function_of(inputs, torch.add, operands, {})
        return self._by_positives(func, args, kwargs, function, counts)

    def _scale(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        if occurrences((args, kwargs)) > 1:
            raise self.refusal(func, "of two activations")
        if kwargs.get("rounding_mode"):
            raise self.refusal(func, "with rounding_mode")
        if "div" in func.__name__ and carriers(args[1:]):
            raise self.refusal(func, "by an activation")
        return self._pass(func, args, kwargs)

    def _hardtanh(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        low, high = (*args[1:], *(kwargs[key] for key in ("min_val", "max_val") if key in kwargs))
        if not low <= 0 <= high:
            raise self.refusal(func, f"from {low} to {high}")
        return self._pass(func, args, kwargs)

    def _pass(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        (carrying,) = carriers((args, kwargs))
        shape = carrying.shape
        return HandedBack.apply(
            lambda: func(*args, **kwargs), lambda handed: (handed.sum_to_size(shape),), carrying
        )

    def _by_all(self, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Make a call, and share relevance out by all contributions; constants keep a share."""
        inputs, epsilon = carriers((args, kwargs)), self._epsilon
        values = [tensor.detach().clone() for tensor in inputs]  # some are soon overwritten
        function = as_function_of(inputs, func, args, kwargs)

        def back(handed: Tensor) -> list[Tensor]:
            return _shares(handed, values, function, epsilon)[0]

        return HandedBack.apply(lambda: func(*args, **kwargs), back, *inputs)

    def _by_positives(
        self,
        func: Call,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        positives: Callable[..., Tensor],
        counts: Callable[..., Tensor],
        flat: bool = False,
    ) -> Tensor:
        """Make a call, and share relevance out by positive contributions, or else evenly.

        ``positives`` gives their sum, and ``counts``, of ones, the number of all contributions.
        """
        inputs = carriers((args, kwargs))
        values = [tensor.detach().clone() for tensor in inputs]
        ones = [_inside(tensor) for tensor in inputs]

        def back(handed: Tensor) -> list[Tensor]:
            if flat:
                return _shares(handed, ones, counts)[0]
            shares, left = _shares(handed, values, positives)
            if left.any():
                evenly, _ = _shares(left, ones, counts)
                shares = [a + b for a, b in zip(shares, evenly, strict=True)]
            return shares

        return HandedBack.apply(lambda: func(*args, **kwargs), back, *inputs)


def _notes(tensor: Tensor) -> dict[str, Any]:
    """Return what the call that a tensor comes from left with it."""
    node: Any = tensor.grad_fn
    while node is not None and node.name() == "CloneBackward0":
        node = node.next_functions[0][0]
    return {} if node is None else node.metadata


def _inside(tensor: Tensor) -> Tensor:
    """Return ones, with zeros where a tensor is padded."""
    return _notes(tensor).get("inside", torch.ones_like(tensor[:1])).expand_as(tensor)


def _shares(
    handed: Tensor, values: list[Tensor], total: Callable[..., Tensor], epsilon: float = 0.0
) -> tuple[list[Tensor], Tensor]:
    """Share relevance out in proportion to contributions, and give what could not be.

    Parameters
    ----------
    handed : torch.Tensor
        What each neuron has.
    values : list of torch.Tensor
        The inputs.
    total : callable
        The sum of contributions to each neuron, as a function of the inputs: linear in each, up to
        constants.
    epsilon : float
        Is added to the sums, away from 0, in units of their root mean square for each picture.
    """
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in values]
        sums = total(*leaves)
    divisor = sums.detach()
    if epsilon:
        scale = divisor.square().mean(tuple(range(1, divisor.ndim)), keepdim=True).sqrt()
        divisor = divisor + epsilon * torch.where(divisor < 0, -scale, scale)
    none = divisor.abs() < 1e8 * torch.finfo(divisor.dtype).tiny
    each = torch.where(none, 0, handed / divisor)
    slopes = torch.autograd.grad(sums, leaves, each)
    shares = [value * slope for value, slope in zip(values, slopes, strict=True)]
    return shares, torch.where(none, handed, 0)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(CONVOLUTIONS, _Relevance._convolution),
    **dict.fromkeys(DENSE, _Relevance._dense),
    **dict.fromkeys(SUMS, _Relevance._sum),
    **dict.fromkeys(PASSING, _Relevance._pass),
    "add": partial(_Relevance._add, signs=(1, 1)),
    "sub": partial(_Relevance._add, signs=(1, -1)),
    "rsub": partial(_Relevance._add, signs=(-1, 1)),
    "neg": _Relevance._pass,
    "mul": _Relevance._scale,
    "div": _Relevance._scale,
    "hardtanh": _Relevance._hardtanh,
    "pad": _Relevance._pad,
    "batch_norm": _Relevance._batch_norm,
}
