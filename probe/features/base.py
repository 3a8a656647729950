"""What the results of this room have in common: a figure that says how it was made."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from probe import models
from probe.errors import ProbeError
from probe.models import LayerInfo, Network
from probe.output.pictures import as_html, figure_png, place_of, write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class Shown(ABC):
    """A result that draws itself, shows itself in a notebook, and saves itself.

    Attributes
    ----------
    values : numpy.ndarray
        What was measured.
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
    def title(self) -> str:
        """One line that says what is shown."""

    @property
    @abstractmethod
    def scale(self) -> str:
        """One line that says what the colours stand for."""

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw it, in a new figure by default."""

    def png(self) -> bytes:
        """Give the content of a PNG file; `probe.images.about` reads how it was made."""
        return figure_png(self.plot(), self.about)

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png), with all that made it in its metadata, or the values (.npy).

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        place = place_of(path, ".png", ".npy")
        content = io.BytesIO()
        if place.suffix.lower() == ".npy":
            np.save(content, self.values)
        else:
            content.write(self.png())
        return write(place, content.getvalue())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}>"

    def _repr_html_(self) -> str:
        return as_html(self.png(), self.title)


def network_of(model: str | Network | nn.Module, layer: str | None) -> Network:
    """Load a network that is named; a layer that it does not have is told before."""
    if isinstance(model, str):
        if layer is not None:
            called(layer, model)
        return models.load(model)
    return model if isinstance(model, Network) else Network.from_module(model)


def called(layer: str, network: Network | str) -> LayerInfo:
    """Find the one layer that a user means.

    Raises
    ------
    ProbeError
        If there is none, or there are several.
    """
    found = models.resolve([layer], network)
    if len(found) != 1:
        raise ProbeError(f"{layer!r} names {len(found)} layers; name one")
    return next(info for info in models.layers(network) if info.name == found[0])


def titled(info: LayerInfo) -> str:
    """Give a layer's name, and what the literature calls it."""
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
        raise ProbeError("no channel is named")
    return tuple(channels)
