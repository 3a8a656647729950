"""What of a patch drives a unit: its activation, carried back to the picture.

By deconvolution (Zeiler & Fergus 2014, ECCV 8689:818) or guided backpropagation (Springenberg et
al. 2015, ICLR workshop), from one unit, all others of its layer being left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from probe.attribution.rectifiers import deconvnet, guided_backprop
from probe.features.base import FeatureFigure
from probe.features.patches import TopPatches
from probe.features.settings import FilterSettings, Method
from probe.models.devices import on_device
from probe.plots import filters
from probe.progress import track
from probe.targets import Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROJECT: Mapping[str, Callable[..., Tensor]] = {
    "guided": guided_backprop,
    "deconvnet": deconvnet,
}
_NAMES = {"guided": "guided backpropagation", "deconvnet": "deconvolution"}


@dataclass(frozen=True, eq=False, repr=False)
class Projections(FeatureFigure):
    """What of each patch drives its unit.

    Attributes
    ----------
    values : numpy.ndarray, float32, shape (n_shown, k, 3, height, width)
        For each channel that ``patches`` show, and each of its patches: the projection in the
        patch's box, zero beyond the picture's border. All zero where a channel is not driven.
    patches : TopPatches
    method : {"guided", "deconvnet"}
    about : dict
        Everything that decides the values, as plain values.
    """

    values: np.ndarray
    patches: TopPatches
    method: Method
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        return self.patches.title

    @property
    def scale(self) -> str:
        """One line that says what is to be seen."""
        return (
            f"{self.patches.scale}; below each patch what of it drives the unit, by "
            f"{_NAMES[self.method]}, on a scale of its own: grey is 0, 99.5 % lie within"
        )

    @property
    def table(self) -> pd.DataFrame:
        """Of the patches."""
        return self.patches.table

    @property
    def summary(self) -> pd.DataFrame:
        """Of the patches."""
        return self.patches.summary

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the patches of each channel, and their projections below them.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        patches = self.patches
        return filters.plot_patches(
            patches.rows(),
            patches.values[list(patches.channels)],
            patches.channels,
            [list(row) for row in self.values.transpose(0, 1, 3, 4, 2)],
            title=self.title,
            note=self.scale,
            ax=ax,
        )


def projections(
    patches: TopPatches,
    method: Method = "guided",
    *,
    device: str = "auto",
    progress: bool | None = None,
) -> Projections:
    """Carry the activations of units back to the patches that drive them.

    Parameters
    ----------
    patches : TopPatches
        What `top_patches` found.
    method : {"guided", "deconvnet"}
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Projections

    Raises
    ------
    ProbeError
        If there is no such method.
    """
    FilterSettings.of({"project": method}).checked()
    project, network = PROJECT[method], patches.network
    k = patches.values.shape[1]
    height, width = patches.box(patches.channels[0], 0).size
    values = np.zeros((len(patches.channels), k, 3, height, width), np.float32)
    driven = [
        (row, rank, channel)
        for row, channel in enumerate(patches.channels)
        for rank in range(k)
        if patches.excited(channel, rank)
    ]
    with on_device(network, device) as (device_used, dtype):
        for row, rank, channel in track(driven, desc=method, unit="patch", progress=progress):
            unit = Unit(patches.layer, channel, patches.at(channel, rank))
            inputs = patches.inputs(channel, rank)[None].to(device_used, dtype)
            gradient = project(network.module, inputs, unit)[0].float().cpu().numpy()
            box = patches.box(channel, rank)
            values[row, rank] = box.cut(gradient.transpose(1, 2, 0), 0.0).transpose(2, 0, 1)
    return Projections(values, patches, method, {**patches.about, "projection": method})
