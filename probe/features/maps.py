"""Activation maps: what each channel of a layer makes of one picture, place by place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from probe import images
from probe.activations.capture import capture
from probe.errors import ProbeError
from probe.features.base import (
    FeatureFigure,
    check_channels,
    layer_called,
    network_of,
    titled,
)
from probe.features.settings import FilterSettings, Scale
from probe.models import Network
from probe.models.devices import on_device
from probe.plots import filters

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_MAPS_SHOWN = 27
"""Channels that are shown where nobody chooses: with the picture, four full rows."""


@dataclass(frozen=True, eq=False, repr=False)
class ActivationMaps(FeatureFigure):
    """What the channels of a layer make of a picture.

    Attributes
    ----------
    values : numpy.ndarray, float32, shape (n_channels, height, width)
        Of all channels, in the network's order.
    channels : tuple of int
        Those that are shown, in this order.
    picture : numpy.ndarray, uint8, shape (height, width, 3)
        What the network saw.
    name, model, layer : str
        Of the picture, the network, the layer.
    scaling : {"shared", "own"}
        Whether all maps are drawn on one scale.
    about : dict
        Everything that decides the values, as plain values.
    """

    values: np.ndarray
    channels: tuple[int, ...]
    picture: np.ndarray
    name: str
    model: str
    layer: str
    scaling: Scale
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        n, height, width = self.values.shape
        n_shown = len(self.channels)
        which = f"{n_shown} of {n} channels" if n_shown < n else f"{n} channels"
        return f"{self.model} {self.layer} of {self.name}: {which}, {height}×{width}"

    @property
    def scale(self) -> str:
        """One line that says what the colours stand for."""
        below = "below each map its channel and largest activation"
        if self.scaling == "own":
            return f"each map on its own scale; {below}"
        return f"one scale for all (99.5 % lie within); {below}"

    @property
    def table(self) -> pd.DataFrame:
        """One row per shown channel: ``channel``, its largest ``activation``, and where (y, x)."""
        maps = self.values[list(self.channels)]
        y, x = np.unravel_index(maps.reshape(len(maps), -1).argmax(1), maps.shape[1:])
        return pd.DataFrame(
            {"channel": self.channels, "activation": maps.max((1, 2)), "y": y, "x": x}
        )

    @property
    def summary(self) -> pd.DataFrame:
        """The table."""
        return self.table

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the picture and the maps of the channels.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return filters.plot_maps(
            self.values[list(self.channels)],
            self.channels,
            self.picture,
            shared=self.scaling == "shared",
            title=self.title,
            note=self.scale,
            ax=ax,
        )


def activation_maps(
    model: str | Network | nn.Module,
    image: images.Picture,
    layer: str,
    channels: Sequence[int] | None = None,
    *,
    scale: Scale = "shared",
    device: str = "auto",
) -> ActivationMaps:
    """Return the maps of a layer's channels for one picture.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    image : path, bytes, uint8 array (height, width[, 3]), or Pillow image
    layer : str
        With positions; a path or an alias.
    channels : sequence of int, optional
        Which are shown, and in which order; by default the 27 with the largest activation, the
        largest first.
    scale : {"shared", "own"}
        ``shared``: all maps are drawn on one scale; ``own``: each on its own, for channels that
        are hardly active.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Returns
    -------
    ActivationMaps

    Raises
    ------
    ProbeError
        If there is no such layer or channel, the layer has no maps, or the picture cannot be read.

    See Also
    --------
    kernels : The filters of the first layer.
    top_patches : The pictures that drive a channel most.

    Examples
    --------
    >>> probe.features.activation_maps("alexnet", "cat.jpg", "conv1")  # doctest: +SKIP
    """
    FilterSettings.of({"scale": scale}).checked()
    picture, name = images.read_named(image)
    network = network_of(model, layer)
    info = layer_called(layer, network)
    if info.axes != ("channel", "y", "x"):
        kinds = {("channel",): "no positions", ("token", "channel"): "a row of tokens"}
        kind = kinds.get(info.axes, "other axes")
        raise ProbeError(
            f"layer {info.name!r} has {kind}, and so no maps; its output is "
            f"{'×'.join(map(str, info.output_shape)) or 'a number'}"
        )
    inputs = network.preprocessing(picture)
    with on_device(network, device) as (device_used, dtype):
        output = capture(network.module, inputs[None].to(device_used, dtype), [info.name])[
            info.name
        ]
    values = output[0].float().cpu().numpy()
    if not np.isfinite(values).all():
        raise ProbeError(f"layer {info.name!r} has activations that are not finite")
    if channels is None:
        strongest = np.argsort(-values.max((1, 2)), kind="stable")[:MAX_MAPS_SHOWN]
        channels = [int(channel) for channel in strongest]
    about = network.provenance() | {
        "layer": info.name,
        "image": Path(name).name,
        "image_sha256": hashlib.sha256(np.asarray(picture).tobytes()).hexdigest(),
        "channels": list(channels),
        "scale": scale,
    }
    return ActivationMaps(
        values,
        check_channels(channels, len(values), info.name),
        network.preprocessing.seen(inputs),
        Path(name).name,
        network.name,
        titled(info),
        scale,
        about,
    )
