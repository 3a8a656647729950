"""What the results of this room have in common, and how networks and layers are named."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from probe import models
from probe.errors import ProbeError
from probe.models import LayerInfo, Network
from probe.output.drawable import Contents, Drawable, npy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class FeatureFigure(Drawable):
    """A figure of what units look for.

    Attributes
    ----------
    values : numpy.ndarray
        What was measured; saved as .npy.
    about : mapping
        Everything that decides them, as plain values.
    """

    values: np.ndarray
    about: Mapping[str, Any]

    @property
    @abstractmethod
    def summary(self) -> pd.DataFrame:
        """What is shown, in a few numbers."""

    @property
    @abstractmethod
    def scale(self) -> str:
        """One line that says what the colours stand for."""

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw it, in a new figure by default."""

    def _contents(self) -> Contents:
        return {".npy": lambda: npy(self.values)}


def network_of(model: str | Network | nn.Module, layer: str | None) -> Network:
    """Load a network by its name, after a check that it has the layer."""
    if isinstance(model, str) and layer is not None:
        layer_called(layer, model)
    return models.as_network(model)


def layer_called(layer: str, network: Network | str) -> LayerInfo:
    """Find the one layer that a user means.

    Raises
    ------
    ProbeError
        If there is none, or there are several.
    """
    names = models.resolve([layer], network)
    if len(names) != 1:
        raise ProbeError(
            f"layer {layer!r} stands for {len(names)} layers: expected the name of one"
        )
    return next(info for info in models.layers(network) if info.name == names[0])


def titled(info: LayerInfo) -> str:
    """Return a layer's name, and what the literature calls it."""
    return f"{info.name} ({info.alias})" if info.alias else info.name


def check_channels(channels: Sequence[int], n: int, layer: str) -> tuple[int, ...]:
    """Check the numbers of channels.

    Raises
    ------
    ProbeError
        If there is no such channel, or none at all is named.
    """
    for channel in channels:
        if not 0 <= channel < n:
            raise ProbeError(f"channel {channel} does not exist: layer {layer!r} has {n}, from 0")
    if not channels:
        raise ProbeError("channels []: expected at least one")
    return tuple(channels)
