"""What a target is: one number per picture, with a gradient, from what some layers return.

A target is a class, a unit, a channel, a layer, a direction, any function, or a sum of several. It
names the layers that it looks at, and knows nothing of how a user writes it: see
`probe.targets.text`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from probe import models
from probe.activations.capture import OUTPUT, differentiable
from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.models import Network

Outputs = Mapping[str, Tensor]
"""What layers returned for a batch of pictures, by name."""


class Target(ABC):
    """One number per picture, from what some layers return.

    Attributes
    ----------
    layers : tuple of str
        What it looks at: names as in `probe.models.layers`, or `OUTPUT`, what the network returns.
    name : str
        For titles and files.
    facts : mapping
        What there is to know of it, as plain values: of a recorded site, how good its fit is.

    Notes
    -----
    Targets can be added, subtracted and multiplied by numbers.
    """

    layers: tuple[str, ...]
    name: str
    facts: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture of a batch.

        Parameters
        ----------
        outputs : mapping of str to torch.Tensor
            What each of ``layers`` returned: (n, channels, y, x), (n, tokens, channels) or
            (n, channels).

        Returns
        -------
        torch.Tensor, shape (n,)

        Raises
        ------
        ProbeError
            If the layer has no such channel, position or class.
        """

    def check(self, network: Network) -> None:  # noqa: B027 - most targets belong to any network
        """Refuse a network that the target does not belong to.

        Parameters
        ----------
        network : Network

        Raises
        ------
        ProbeError
            If the target was made for another network. By default, none is refused.
        """

    def home(self) -> Network | None:
        """Return the network that the target was made for; None where it may be any."""
        return None

    def everywhere(self) -> Target:
        """Return the target for a picture all of which counts: by default, itself.

        A target that looks at one place of the picture, such as a recorded site with its receptive
        field, looks at all of it instead.
        """
        return self

    def __add__(self, other: Target) -> Target:
        return Sum(((1.0, self), (1.0, other)))

    def __sub__(self, other: Target) -> Target:
        return Sum(((1.0, self), (-1.0, other)))

    def __mul__(self, weight: float) -> Target:
        return Sum(((float(weight), self),))

    def __neg__(self) -> Target:
        return -1.0 * self

    __rmul__ = __mul__

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Class(Target):
    """A class of a classifier: its output before the softmax.

    Attributes
    ----------
    index : int
    label : str
        What it is called, if anything.
    layers : tuple of str
        `OUTPUT`, or the one part of it that has the scores, such as ``[0]`` or ``[logits]``.
    """

    index: int
    label: str = ""
    layers: tuple[str, ...] = (OUTPUT,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label, or the number, behind the part of the output."""
        if self.layers != (OUTPUT,):
            return f"{self.layers[0]}:{self.index}"
        return self.label or f"class {self.index}"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        scores = outputs[self.layers[0]]
        if scores.ndim != 2:
            raise ProbeError(
                f"the network returns shape {tuple(scores.shape[1:])} for a picture, and no "
                "classes: name a layer as target, such as LAYER:CHANNEL"
            )
        return scores[
            :, _checked(self.index, scores.shape[1], "class", self.layers[0] or "the network")
        ]


@dataclass(frozen=True)
class Response(Target):
    """A number that a network returns and that competes with no other, such as a neuron's response.

    Of a `Class`, a softmax over all gives the probability; this one is taken as it is.

    Attributes
    ----------
    index : int
        Which of the network's outputs.
    label : str
        What it is called, if anything: of a published V4 neuron, ``201025-12``.
    """

    index: int
    label: str = ""

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the network returns."""
        return (OUTPUT,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label, or the number."""
        return self.label or f"output {self.index}"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        responses = outputs[OUTPUT]
        if responses.ndim != 2:
            raise ProbeError(
                f"the network returns shape {tuple(responses.shape[1:])} for a picture, and no "
                "list of numbers: name a layer as target, such as LAYER:CHANNEL"
            )
        return responses[:, _checked(self.index, responses.shape[1], "output", "the network")]


@dataclass(frozen=True, eq=False)
class Several(Target):
    """Several targets side by side: m numbers per picture, (n, m), from one pass of the network.

    For the methods of saliency that say so (`probe.attribution.Method.several`).

    Attributes
    ----------
    targets : tuple of Target
    """

    targets: tuple[Target, ...]

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """All layers that any of them looks at."""
        return tuple(dict.fromkeys(layer for one in self.targets for layer in one.layers))

    @property
    def name(self) -> str:  # type: ignore[override]
        """How many."""
        return f"{len(self.targets)} targets"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the numbers, (n, m)."""
        return torch.stack([one(outputs) for one in self.targets], dim=1)


@dataclass(frozen=True)
class Channel(Target):
    """The mean of a channel over all positions.

    Attributes
    ----------
    layer : str
    channel : int
    """

    layer: str
    channel: int

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """As `parse` reads it."""
        return f"{self.layer}:{self.channel}"

    def check(self, network: Network) -> None:
        """Refuse a network whose layer has no such channel: see `Target.check`."""
        _check_channel(self.layer, self.channel, network)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        values = _positions(outputs[self.layer], self.layer, self.channel)
        return values.reshape(len(values), -1).mean(1)


@dataclass(frozen=True)
class Unit(Target):
    """One unit of a layer: a channel at a position.

    Attributes
    ----------
    layer : str
    channel : int
    position : tuple of int
        (y, x); (token,) of a transformer; () of a layer without positions.
    """

    layer: str
    channel: int
    position: tuple[int, ...]

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """As `parse` reads it."""
        return ",".join([f"{self.layer}:{self.channel}", *map(str, self.position)])

    def check(self, network: Network) -> None:
        """Refuse a network whose layer has no such channel: see `Target.check`."""
        _check_channel(self.layer, self.channel, network)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        values = _positions(outputs[self.layer], self.layer, self.channel)
        if values.ndim - 1 != len(self.position):
            axes = {0: "no positions", 1: "positions token", 2: "positions y,x"}[values.ndim - 1]
            raise ProbeError(f"layer {self.layer!r} has {axes}; {self.name!r} names another kind")
        for axis, at in enumerate(self.position):
            what = "token" if len(self.position) == 1 else "yx"[axis]
            values = values[:, _checked(at, values.shape[1], what, f"layer {self.layer!r}")]
        return values


@dataclass(frozen=True)
class Norm(Target):
    """Half the sum of squares of a layer, the objective of DeepDream (Mordvintsev et al. 2015).

    Attributes
    ----------
    layer : str
    """

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """As `parse` reads it."""
        return self.layer or "output"

    def check(self, network: Network) -> None:
        """Refuse a layer that returns nothing for each picture: see `Target.check`."""
        for info in models.layers(network):
            if info.name == self.layer and info.layout is None:
                raise ProbeError(
                    f"layer {self.layer!r} returns {info.output_shape} and no axis of it is the "
                    "pictures: it cannot be a target"
                )

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        return outputs[self.layer].flatten(1).square().sum(1) / 2


@dataclass(frozen=True, eq=False)
class Direction(Target):
    """The projection of a layer's channels on a direction, averaged over all positions.

    Attributes
    ----------
    layer : str
    direction : torch.Tensor, shape (channels,)
        Is divided by its length.
    label : str
        For titles.
    power : float
        With more than 0, the projection at each position is multiplied by max(0.1, cosine) to this
        power, which asks for the direction alone, and not for large activations that have some of
        it (Olah et al. 2017; Carter et al. 2019, Activation atlas).
    """

    layer: str
    direction: Tensor
    label: str = ""
    power: float = 0.0

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label, or the layer."""
        return self.label or f"a direction of {self.layer}"

    def check(self, network: Network) -> None:
        """Refuse a network whose layer has no channels that are known: see `Target.check`."""
        _check_channel(self.layer, 0, network)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        output = by_channel(outputs[self.layer])
        direction = torch.as_tensor(self.direction).to(output)
        if direction.shape != (output.shape[1],):
            raise ProbeError(
                f"the direction has shape {tuple(direction.shape)}; layer {self.layer!r} has "
                f"{output.shape[1]} channels"
            )
        direction = direction / direction.norm()
        if not self.power:
            means = output.flatten(2).mean(2) if output.ndim > 2 else output
            return means @ direction
        at = output.flatten(2) if output.ndim > 2 else output[:, :, None]
        along = torch.einsum("ncp,c->np", at, direction)
        cosine = along / at.norm(dim=1).clamp(min=1e-12)
        return (along * cosine.clamp(min=0.1) ** self.power).mean(1)


@dataclass(frozen=True, eq=False)
class Function(Target):
    """Any function of what layers return.

    Attributes
    ----------
    function : callable
        Takes what each layer returned, (n, …), in the order of ``layers``, and gives (n,).
    layers : tuple of str
        By default, what the network returns.
    name : str
        For titles.
    """

    function: Callable[..., Tensor]
    layers: tuple[str, ...] = (OUTPUT,)
    name: str = "function"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        arguments = [outputs[layer] for layer in self.layers]
        values = self.function(*arguments)
        if not isinstance(values, Tensor) or values.shape != (len(arguments[0]),):
            what = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ProbeError(
                f"target {self.name!r} gives {what} for {len(arguments[0])} pictures: expected one "
                "number for each"
            )
        return values


@dataclass(frozen=True)
class Sum(Target):
    """Several targets at once, each with a weight.

    Attributes
    ----------
    terms : tuple of (float, Target)
    """

    terms: tuple[tuple[float, Target], ...]
    layers: tuple[str, ...] = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        flat: list[tuple[float, Target]] = []
        for weight, term in self.terms:
            inner = term.terms if isinstance(term, Sum) else ((1.0, term),)
            flat += [(weight * w, t) for w, t in inner]
        object.__setattr__(self, "terms", tuple(flat))
        object.__setattr__(
            self, "layers", tuple(dict.fromkeys(layer for _, t in flat for layer in t.layers))
        )
        text = ""
        for weight, term in flat:
            sign = ("-" if not text else " - ") if weight < 0 else (" + " if text else "")
            text += sign + ("" if abs(weight) == 1 else f"{abs(weight):g}*") + term.name
        object.__setattr__(self, "name", text)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        values = [weight * term(outputs) for weight, term in self.terms]
        return torch.stack(values).sum(0)

    def check(self, network: Network) -> None:
        """Ask every term: see `Target.check`."""
        for _, term in self.terms:
            term.check(network)

    def home(self) -> Network | None:
        """Ask every term: see `Target.home`."""
        homes = (term.home() for _, term in self.terms)
        return next((home for home in homes if home is not None), None)

    def everywhere(self) -> Target:
        """Ask every term: see `Target.everywhere`."""
        return Sum(tuple((weight, term.everywhere()) for weight, term in self.terms))

    @property
    def facts(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Those of all terms that have some, by their names."""
        return {term.name: dict(term.facts) for _, term in self.terms if term.facts}


def said(target: Target) -> tuple[str, ...]:
    """Return a line for each recorded site in a target, which says how good its fit is."""
    facts = target.facts
    each = [facts] if "said" in facts else [v for v in facts.values() if isinstance(v, Mapping)]
    return tuple(str(one["said"]) for one in each)


def by_channel(output: Tensor) -> Tensor:
    """Return a layer's output with its channels first: (n, channels, …positions)."""
    return output.movedim(-1, 1) if output.ndim == 3 else output


def values(module: torch.nn.Module, images: Tensor, target: Target) -> Tensor:
    """Return the target's number for each picture: (n,), without a graph."""
    return target(differentiable(module, images.detach(), target.layers)).detach()


def gradient(
    value: Tensor, of: Sequence[Tensor] | Sequence[GradientEdge], target: Target
) -> tuple[Tensor, ...]:
    """Compute the gradient of the target's numbers, summed over pictures, by some tensors.

    Of `Several`, (n, m), each number's by itself: along a second axis, (n, m, …).

    Raises
    ------
    ProbeError
        If there is none: the target does not depend on one of them.
    """
    if value.ndim == 2:
        each = [_gradient(one, of, target, retain=True) for one in value.unbind(1)]
        return tuple(torch.stack(parts, dim=1) for parts in zip(*each, strict=True))
    return _gradient(value, of, target)


def check_single(value: Tensor, target: Target) -> None:
    """Refuse several targets side by side, where a method explains one.

    Raises
    ------
    ProbeError
    """
    if value.ndim != 1:
        raise ProbeError(
            f"{target.name} side by side cannot be explained by this method: take each by itself"
        )


def _gradient(
    value: Tensor,
    of: Sequence[Tensor] | Sequence[GradientEdge],
    target: Target,
    *,
    retain: bool = False,
) -> tuple[Tensor, ...]:
    gradients: Sequence[Tensor | None] = [None]
    if value.requires_grad:
        # No sum: to one who has switched gradients off, it would have none.
        ones = torch.ones_like(value)
        gradients = torch.autograd.grad(value, of, ones, allow_unused=True, retain_graph=retain)
    if any(part is None for part in gradients):
        raise ProbeError(f"target {target.name!r} has no gradient here: it does not depend on it")
    return tuple(part for part in gradients if part is not None)


def _check_channel(layer: str, channel: int, network: Network) -> None:
    for info in models.layers(network):
        if info.name == layer:
            _checked(channel, info.n_channels, "channel", f"layer {layer!r}")


def _positions(output: Tensor, layer: str, channel: int) -> Tensor:
    output = by_channel(output)
    if output.ndim < 2:
        raise ProbeError(f"layer {layer!r} gives one number for a picture, and has no channels")
    return output[:, _checked(channel, output.shape[1], "channel", f"layer {layer!r}")]


def _checked(index: int, n: int, what: str, of: str) -> int:
    if not 0 <= index < n:
        raise ProbeError(f"{what} {index} does not exist: {of} has {n}, from 0")
    return index
