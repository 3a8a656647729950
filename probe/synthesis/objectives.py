"""Targets that only pictures that are being made have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probe.targets import Outputs, Target, by_channel


class Each(Target):
    """Another target for each picture: the first for the first, and so on.

    Parameters
    ----------
    targets : sequence of Target
        As many as there are pictures, or as many again for each transformed copy of them.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = tuple(targets)
        self.layers = tuple(dict.fromkeys(layer for t in targets for layer in t.layers))
        self.name = ", ".join(target.name for target in targets)

    def __call__(self, outputs: Outputs) -> Tensor:
        """See `Target.__call__`."""
        n = len(self.targets)
        values = [
            target({layer: outputs[layer][k::n] for layer in target.layers})
            for k, target in enumerate(self.targets)
        ]
        return torch.stack(values, 1).flatten()


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
        """See `Target.__call__`."""
        features = by_channel(outputs[self.layers[0]]).flatten(2)
        grams = (features @ features.mT).flatten(1)
        grams = grams / grams.norm(dim=1, keepdim=True).clamp(min=1e-12)
        alike = grams @ grams.T
        others = len(alike) - 1
        return -(alike.sum(1) - alike.diagonal()) / max(others, 1)
