"""Targets that only pictures that are being made have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, pi, sin

import torch
from torch import Tensor

from probe.activations.capture import OUTPUT
from probe.targets import Channel, Class, Direction, Outputs, Target, by_channel

DIVERSITY = 1.0
"""Weight of the likeness within a set of pictures, as a share of the target's own value."""

ALIGNED = 2.0
"""Power of the cosine in interpolations: see `probe.targets.Direction`."""


class Each(Target):
    """Another target for each picture: the first for the first, and so on.

    Parameters
    ----------
    targets : sequence of Target
        As many as there are pictures.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self.layers = tuple(dict.fromkeys(layer for t in targets for layer in t.layers))
        self.name = ", ".join(target.name for target in targets)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute the value of each picture; see `Target.__call__`."""
        values = [
            target({layer: outputs[layer][k : k + 1] for layer in target.layers})
            for k, target in enumerate(self.targets)
        ]
        return torch.cat(values)


class Diversity(Target):
    """How little a picture's texture in a layer is like that of the others (Olah et al. 2017).

    Minus the mean cosine between its Gram matrix of channels and those of the other pictures.

    Parameters
    ----------
    layer : str
    """

    def __init__(self, layer: str) -> None:
        self.layers = (layer,)
        self.name = f"diversity at {layer}"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute the value of each picture; see `Target.__call__`."""
        features = by_channel(outputs[self.layers[0]]).flatten(2)
        grams = (features @ features.mT).flatten(1)
        grams = grams / grams.norm(dim=1, keepdim=True).clamp(min=1e-12)
        alike = grams @ grams.T
        others = len(alike) - 1
        return -(alike.sum(1) - alike.diagonal()) / max(others, 1)


@dataclass(frozen=True)
class Between(Target):
    """A direction between those of two channels.

    Attributes
    ----------
    layer : str
    first, last : int
        The channels.
    share : float
        Of the right angle from the first to the last.
    name : str
    """

    layer: str
    first: int
    last: int
    share: float
    name: str

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute the value of each picture; see `Target.__call__`."""
        each = {self.layer: torch.eye(by_channel(outputs[self.layer]).shape[1])}
        a, b = (
            Class(k)(each) if self.layer == OUTPUT else Channel(self.layer, k)(each)
            for k in (self.first, self.last)
        )  # which checks that they exist
        angle = self.share * pi / 2
        return Direction(self.layer, cos(angle) * a + sin(angle) * b, power=ALIGNED)(outputs)


class Diverse(Target):
    """One target for several pictures, which are not to be alike: see `Diversity`.

    Parameters
    ----------
    target : Target
    layer : str
        In which they are compared.
    """

    def __init__(self, target: Target, layer: str) -> None:
        self.target, self.unlike = target, Diversity(layer)
        self.layers = tuple(dict.fromkeys((*target.layers, layer)))
        self.name = target.name

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute the value of each picture; see `Target.__call__`."""
        value = self.target(outputs)
        # Layers differ in scale: the weight is a share of the value.
        return value + DIVERSITY * value.detach().abs() * self.unlike(outputs)


@dataclass(frozen=True, eq=False)
class Guided(Target):
    """How like the features of a guide a layer's are: the mean product with the most alike.

    At every position, the one of the guide's features counts whose dot product with the picture's
    is largest (Mordvintsev et al. 2015, in their code).

    Attributes
    ----------
    layer : str
    features : torch.Tensor, shape (positions, channels)
        What the layer returned for the guide.
    """

    layer: str
    features: Tensor = field(repr=False)

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    @property
    def name(self) -> str:  # type: ignore[override]
        """For titles."""
        return f"{self.layer} like the guide"

    def __call__(self, outputs: Outputs) -> Tensor:
        """Compute the value of each picture; see `Target.__call__`."""
        features = by_channel(outputs[self.layer]).flatten(2)
        guide = self.features.to(features)
        nearest = torch.einsum("pc,ncq->nqp", guide, features.detach()).argmax(2)
        return torch.einsum("nqc,ncq->n", guide[nearest], features) / features.shape[2]
