"""The patches that drive each channel of a layer most, from any set of pictures.

As in Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks" (ECCV 8689:818):
each channel's largest activation in every picture, the pictures in which it is largest, and of
these the part that the unit can see.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from probe.activations.survey import survey
from probe.errors import ProbeError
from probe.features.base import (
    FeatureFigure,
    check_channels,
    layer_called,
    network_of,
    titled,
)
from probe.features.settings import FilterSettings
from probe.models import Network, check_model
from probe.models.layer_table import measures
from probe.models.receptive_fields import ReceptiveField
from probe.plots import filters
from probe.stimuli import StimulusSet, image_set
from probe.targets import by_channel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CHANNELS_SHOWN = 8
"""Channels that are shown where nobody chooses."""

OUTSIDE_GREY = 217
"""Grey of what lies outside the picture: lighter than that around the stimuli of recordings."""


class Box(NamedTuple):
    """A part of a picture: rows from ``top`` on, before ``bottom``; columns alike.

    It may reach over the picture's border.
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, picture: np.ndarray, behind: float) -> np.ndarray:
        """Cut it out of a picture (height, width, …); outside there is ``behind``."""
        patch = np.full((*self.size, *picture.shape[2:]), behind, dtype=picture.dtype)
        height, width = picture.shape[:2]
        top, left = max(self.top, 0), max(self.left, 0)
        bottom, right = min(self.bottom, height), min(self.right, width)
        inside = picture[top:bottom, left:right]
        patch[top - self.top : bottom - self.top, left - self.left : right - self.left] = inside
        return patch


@dataclass(frozen=True, eq=False, repr=False)
class TopPatches(FeatureFigure):
    """The pictures and places that drive each channel of a layer most.

    Attributes
    ----------
    values : numpy.ndarray, float32, shape (n_channels, k)
        The largest activations of every channel, each the maximum over the positions of one
        picture; the largest first, and of equal ones that of the earlier picture.
    stimulus : numpy.ndarray, int64, shape (n_channels, k)
        Of which picture, as its position in ``stimuli``.
    position : numpy.ndarray, int64, shape (n_channels, k, n_axes)
        At which position of the layer: (y, x); (token,); () where there are none.
    channels : tuple of int
        Those that are shown, in this order.
    stimuli : StimulusSet
    network : Network
    layer : str
    field : ReceptiveField or None
        What the layer's units see of the picture.
    about : dict
        Everything that decides the values, as plain values.
    """

    values: np.ndarray
    stimulus: np.ndarray
    position: np.ndarray
    channels: tuple[int, ...]
    stimuli: StimulusSet
    network: Network
    layer: str
    field: ReceptiveField | None
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        n, name = len(self.stimuli), self.stimuli.name
        layer = titled(layer_called(self.layer, self.network))
        which = f"{self.values.shape[1]} patches of {n} pictures ({name})"
        return f"{self.network.name} {layer}: the {which} that drive each channel most"

    @property
    def scale(self) -> str:
        """One line that says what is to be seen."""
        height, width = self.box(self.channels[0], 0).size
        return (
            f"each patch is what the unit sees, {height}×{width} px (light grey: outside the "
            "picture); numbers are activations"
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per shown channel and rank.

        Returns
        -------
        pandas.DataFrame
            Columns ``channel``, ``rank`` (from 1), ``stimulus_id``, ``activation``, and the box of
            the patch in pixels of what the network saw: ``top``, ``left``, ``bottom``, ``right``.
        """
        rows = []
        for channel in self.channels:
            for rank in range(self.values.shape[1]):
                rows.append(
                    {
                        "channel": channel,
                        "rank": rank + 1,
                        "stimulus_id": self.stimuli.ids[self.stimulus[channel, rank]],
                        "activation": float(self.values[channel, rank]),
                        **self.box(channel, rank)._asdict(),
                    }
                )
        return pd.DataFrame(rows)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per shown channel: the picture that drives it most."""
        first = self.table[self.table["rank"] == 1]
        return first[["channel", "activation", "stimulus_id"]].reset_index(drop=True)

    def at(self, channel: int, rank: int) -> tuple[int, ...]:
        """Return the position of the unit with a channel's activation of some rank (from 0)."""
        return tuple(int(coordinate) for coordinate in self.position[channel, rank])

    def box(self, channel: int, rank: int) -> Box:
        """Return the part of the picture that this unit sees."""
        return unit_box(self.field, self.network.preprocessing.size, self.at(channel, rank))

    def inputs(self, channel: int, rank: int) -> Tensor:
        """Return the picture as the network gets it: (3, height, width)."""
        picture = self.stimuli.image(int(self.stimulus[channel, rank]))
        return self.network.preprocessing(picture)

    def patch(self, channel: int, rank: int) -> np.ndarray:
        """Cut out what the unit sees: uint8, (height, width, 3), light grey beyond the border."""
        pixels = self.network.preprocessing.seen(self.inputs(channel, rank))
        return self.box(channel, rank).cut(pixels, OUTSIDE_GREY)

    def excited(self, channel: int, rank: int) -> bool:
        """Return whether the picture drives the channel at all."""
        return bool(self.values[channel, rank] > 0)

    def rows(self) -> list[list[np.ndarray | None]]:
        """Return the patches of the channels that are shown; None where one is not driven."""
        ranks = range(self.values.shape[1])
        return [
            [self.patch(c, rank) if self.excited(c, rank) else None for rank in ranks]
            for c in self.channels
        ]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the patches, a row for each channel.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return filters.plot_patches(
            self.rows(),
            self.values[list(self.channels)],
            self.channels,
            title=self.title,
            note=self.scale,
            ax=ax,
        )


def top_patches(
    model: str | Network | nn.Module,
    images: str | os.PathLike[str] | StimulusSet,
    layer: str,
    channels: Sequence[int] | None = None,
    k: int = 9,
    *,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> TopPatches:
    """Find the pictures, and the patches of them, that drive the channels of a layer most.

    The network sees every picture once. Of its activations, only the k largest of every channel are
    kept, with their places: memory holds one batch, however many pictures there are.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    images : str, path or StimulusSet
        A folder, a pattern, a table, a zip archive; see `probe.stimuli.image_set`.
    layer : str
        A path or an alias.
    channels : sequence of int, optional
        Which are shown, and in which order; by default the 8 with the largest activation. All are
        measured.
    k : int
        How many pictures for each channel.
    batch_size : int, optional
        Pictures in a forward pass; by default what suits the network and the device.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    TopPatches

    Raises
    ------
    ProbeError
        If there is no such layer or channel, no picture, or one that cannot be read; or if an
        activation is not a number.

    See Also
    --------
    projections : What of each patch drives its unit.
    probe.visualize : A picture made to drive a channel.

    Examples
    --------
    >>> probe.features.top_patches("alexnet", "photos/", "conv4", [12, 84])  # doctest: +SKIP
    """
    FilterSettings.of({"k": k, "batch_size": batch_size}).checked()
    network = _checked(model, layer, channels)
    info = layer_called(layer, network)
    stimuli = image_set(images, progress=progress)
    best = _Best(info.name, min(k, len(stimuli)))
    survey(
        network, stimuli, info.name, best.see,
        batch_size=batch_size, device=device, progress=progress,
    )  # fmt: skip
    values, stimulus, position = best.top()
    if channels is None:
        strongest = np.argsort(-values[:, 0], kind="stable")[:MAX_CHANNELS_SHOWN]
        channels = [int(channel) for channel in strongest]
    about = network.provenance() | {
        "layer": info.name,
        "images": stimuli.name,
        "n_images": len(stimuli),
        "images_sha256": stimuli.hash,
        "channels": list(channels),
        "k": k,
    }
    channel_numbers = check_channels(channels, len(values), info.name)
    field = measures(network).fields.get(info.name)
    return TopPatches(
        values, stimulus, position, channel_numbers, stimuli, network, info.name, field, about
    )


def _checked(
    model: str | Network | nn.Module, layer: str, channels: Sequence[int] | None
) -> Network:
    """Load the network, when it is known to have the layer and the channels."""
    network = check_model(model)
    info = layer_called(layer, network)
    check_channels(channels or [0], info.n_channels, info.name)
    return network_of(network, layer)


class _Best:
    """The largest activations of every channel so far, and where they are.

    Parameters
    ----------
    layer : str
    k : int
        How many.
    """

    def __init__(self, layer: str, k: int) -> None:
        self._layer, self._k = layer, k
        self._values = torch.empty(0)
        self._stimulus = torch.empty(0, dtype=torch.int64)
        self._position = torch.empty(0, dtype=torch.int64)
        self._axes: tuple[int, ...] = ()

    def see(self, rows: range, output: Tensor) -> None:
        """Take in what the layer returned for some pictures."""
        output = by_channel(output)
        self._axes = tuple(output.shape[2:])
        values, position = output.flatten(2).max(2) if self._axes else (output, output.long() * 0)
        if not values.isfinite().all():
            raise ProbeError(f"layer {self._layer!r} has activations that are not finite")
        stimulus = torch.tensor(rows).expand(values.shape[1], -1)
        self._keep(values.T.float().cpu(), stimulus, position.T.cpu())

    def _keep(self, values: Tensor, stimulus: Tensor, position: Tensor) -> None:
        if self._values.ndim == 2:
            values = torch.cat([self._values, values], 1)
            stimulus = torch.cat([self._stimulus, stimulus], 1)
            position = torch.cat([self._position, position], 1)
        # Stable: of equal activations, the earlier picture's stays before.
        order = values.sort(dim=1, descending=True, stable=True).indices[:, : self._k]
        self._values, self._stimulus, self._position = (
            part.gather(1, order) for part in (values, stimulus, position)
        )

    def top(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return activations, pictures (channels, k), and positions (channels, k, axes)."""
        axes = np.unravel_index(self._position.numpy(), self._axes) if self._axes else ()
        position = np.stack(axes, -1) if axes else np.zeros((*self._values.shape, 0), np.int64)
        return self._values.numpy(), self._stimulus.numpy(), position


def unit_box(
    field: ReceptiveField | None, picture: tuple[int, int], position: tuple[int, ...]
) -> Box:
    """Return the part of the picture that decides what a unit returns.

    Parameters
    ----------
    field : ReceptiveField or None
        Of its layer.
    picture : (int, int)
        Height and width of what the network sees, in pixels.
    position : tuple of int
        (y, x) of the unit.

    Returns
    -------
    Box
        It may reach over the border, where the layers have padding. Along an axis along which it is
        no smaller than the picture, and where units lie at no even steps, it is the picture.
    """
    picture_box = Box(0, 0, *picture)
    if field is None or field.jump is None or field.start is None or len(position) != 2:
        return picture_box
    ends = []
    for axis in range(2):
        first = field.start[axis] + round(field.jump[axis] * position[axis])
        inside = field.size[axis] < picture[axis]
        ends.append((first, first + field.size[axis]) if inside else (0, picture[axis]))
    (top, bottom), (left, right) = ends
    return Box(top, left, bottom, right)
