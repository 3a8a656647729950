"""The kernels of a first layer: what each convolution looks for in the picture itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from probe import models
from probe.errors import ProbeError
from probe.features.base import FeatureFigure, layer_called, network_of, titled
from probe.features.settings import FilterSettings, Sort
from probe.models import LayerInfo, Network
from probe.plots import filters
from probe.plots.maps import scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_SPECTRUM_SIDE = 64
"""Side of the power spectrum, at least: kernels are padded with zeros to it."""

MAX_GREY_SHARE = 0.2
"""A kernel with no larger share of its energy in opponent colours is a grey one.

Its colours then are at most half as strong as its lights and darks, in amplitude (0.5² to 1), which
is where Johnson, Hawken & Shapley (2001) call a cell of V1 luminance-preferring. AlexNet's look it.
"""

MIN_COLOURED_SHARE = 0.5
"""A kernel with a larger share is a coloured one; between the two, it is tinted."""

MIN_ANISOTROPY = 0.5
"""A kernel with a larger anisotropy has an orientation to speak of."""

MIN_ENERGY_SHARE = 0.01
"""A kernel with a smaller share of the largest one's energy is as good as none."""


@dataclass(frozen=True, eq=False, repr=False)
class Kernels(FeatureFigure):
    """The kernels of a convolution that sees colours or a single map.

    Attributes
    ----------
    values : numpy.ndarray, float32, shape (n, channels, height, width)
        The weights, in the network's order; of 3 channels (R, G, B) or 1.
    table : pandas.DataFrame
        One row per kernel, in the order in which they are shown; see `describe`. Column ``group``
        says among which it stands.
    model, layer : str
    sort : {"orientation", "energy", "index"}
    about : dict
        Everything that decides the values, as plain values.
    """

    values: np.ndarray
    table: pd.DataFrame
    model: str
    layer: str
    sort: Sort
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        n, _, height, width = self.values.shape
        return f"{self.model} {self.layer}: {n} kernels of {height}×{width}"

    @property
    def scale(self) -> str:
        """One line that says what the colours stand for."""
        end = scale_of(self.values)
        zero = "grey" if self.values.shape[1] == 3 else "white"
        return f"one scale for all: {zero} is 0, colours end at ±{end:.3g} (99.5 % lie within)"

    @property
    def summary(self) -> pd.DataFrame:
        """How many ``kernels`` each ``group`` has."""
        counts = self.table.groupby("group", sort=False).size()
        return counts.rename("kernels").reset_index()[["kernels", "group"]]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw all kernels on one scale, group by group.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        groups = {
            str(group): [int(k) for k in rows["kernel"]]
            for group, rows in self.table.groupby("group", sort=False)
        }
        return filters.plot_kernels(self.values, groups, title=self.title, note=self.scale, ax=ax)


def kernels(
    model: str | Network | nn.Module, layer: str | None = None, sort: Sort = "orientation"
) -> Kernels:
    """Return the kernels of a network's first layer.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    layer : str, optional
        Another convolution whose kernels have 1 or 3 input channels, such as a depthwise one; by
        default the network's first.
    sort : {"orientation", "energy", "index"}
        ``orientation``: grey kernels by orientation, those that have none, tinted ones (between a
        fifth and a half of their energy is in opponent colours) likewise, coloured ones by their
        opponent axis, and those with hardly any weight; ``energy``: the largest first; ``index``:
        as they are numbered.

    Returns
    -------
    Kernels

    Raises
    ------
    ProbeError
        If the first layer is no convolution, or the layer's kernels cannot be shown.

    See Also
    --------
    activation_maps : What channels make of a picture.
    top_patches : What drives channels of later layers.

    Examples
    --------
    >>> probe.features.kernels("alexnet")  # doctest: +SKIP
    """
    FilterSettings.of({"sort": sort}).checked()
    network = network_of(model, layer)
    info = _first(network) if layer is None else layer_called(layer, network)
    weights = _weights(network, info)
    table = _sorted(describe(weights), sort)
    about = network.provenance() | {"layer": info.name, "sort": sort}
    return Kernels(weights, table, network.name, titled(info), sort, about)


def describe(weights: np.ndarray) -> pd.DataFrame:
    """Measure kernels.

    Parameters
    ----------
    weights : numpy.ndarray, shape (n, channels, height, width)
        Of 3 channels (R, G, B) or 1.

    Returns
    -------
    pandas.DataFrame
        One row per kernel:

        - ``kernel``: its number;
        - ``energy``: the sum of its squared weights;
        - ``colour``: the share of its energy, 0 to 1, that is in opponent colours: what is left of
          every pixel when the mean of R, G and B is taken away; 0 for kernels of one channel;
        - ``orientation``: of the grating that it prefers, in degrees, [0, 180): 0° are vertical
          bars, and they turn anticlockwise (as in `probe.stimuli`);
        - ``anisotropy``: how clearly, 0 to 1;
        - ``frequency``: of that grating, in cycles per pixel;
        - ``axis``: of its opponent colours, in degrees, [0, 180); 0° is red against cyan, 60°
          yellow against blue, 120° green against magenta.

    Notes
    -----
    Orientation and anisotropy are angle and length of the second circular moment of the power
    spectrum, Σ P exp(2iθ) / Σ P; the frequency is that of its peak. The mean of each channel is
    taken away before. The power of the channels is summed.
    """
    n, channels, height, width = weights.shape
    w = weights.astype(np.float64)
    energy = np.square(w).sum((1, 2, 3))
    safe = np.where(energy > 0, energy, 1.0)
    chroma = w - w.mean(1, keepdims=True)
    colour = np.square(chroma).sum((1, 2, 3)) / safe

    side = max(MIN_SPECTRUM_SIDE, 2 * height, 2 * width)
    waves = np.fft.fft2(w - w.mean((2, 3), keepdims=True), (side, side))
    power = np.square(np.abs(waves)).sum(1).reshape(n, -1)
    along = np.fft.fftfreq(side)
    fx, fy = (f.ravel() for f in np.meshgrid(along, -along))  # y upwards
    moment = power @ np.exp(2j * np.arctan2(fy, fx)) / np.maximum(power.sum(1), 1e-300)
    peak = power.argmax(1)

    # A colour as a complex number: red at 0°, green at 120°, blue at 240°; its square knows only
    # the axis, so that red-green is green-red.
    hue = np.exp(2j * np.pi * np.arange(channels) / 3) if channels == 3 else np.zeros(channels)
    axis = np.square(np.tensordot(chroma, hue, axes=(1, 0))).sum((1, 2))
    return pd.DataFrame(
        {
            "kernel": np.arange(n),
            "energy": energy,
            "colour": colour,
            "orientation": np.degrees(np.angle(moment)) / 2 % 180,
            "anisotropy": np.abs(moment),
            "frequency": np.hypot(fx, fy)[peak],
            "axis": np.degrees(np.angle(axis)) / 2 % 180,
        }
    )


def _sorted(table: pd.DataFrame, sort: Sort) -> pd.DataFrame:
    if sort != "orientation":
        name = "kernels, by energy" if sort == "energy" else "kernels, as they are numbered"
        return _group(table, name, "energy" if sort == "energy" else "kernel").reset_index(
            drop=True
        )
    weak = table["energy"] < MIN_ENERGY_SHARE * table["energy"].max()
    oriented = table["anisotropy"] > MIN_ANISOTROPY
    coloured = (table["colour"] > MIN_COLOURED_SHARE) & ~weak
    grey = (table["colour"] <= MAX_GREY_SHARE) & ~weak
    groups = []
    for name, shade in (("grey", grey), ("tinted", ~grey & ~coloured & ~weak)):
        groups += [
            _group(table[shade & oriented], f"{name} and oriented, by orientation", "orientation"),
            _group(table[shade & ~oriented], f"{name} without orientation, by energy", "energy"),
        ]
    groups += [
        _group(table[coloured], "coloured, by opponent axis", "axis"),
        _group(table[weak], "with hardly any weight, by energy", "energy"),
    ]
    return pd.concat([group for group in groups if len(group)], ignore_index=True)


def _group(rows: pd.DataFrame, name: str, by: str) -> pd.DataFrame:
    return rows.sort_values(by, ascending=by != "energy").assign(group=name)


def _first(network: Network) -> LayerInfo:
    """Find the first layer that does anything to the picture."""
    modules = dict(network.module.named_modules())
    for info in models.layers(network):
        if info.kind in ("norm", "none") or next(modules[info.path].children(), None) is not None:
            continue
        if not isinstance(modules[info.path], nn.Conv2d):
            raise ProbeError(
                f"the first layer of {network.name!r}, {info.name!r} ({info.type}), is not a "
                "convolution: it has no kernels to show"
            )
        return info
    raise ProbeError(f"{network.name!r} has no layers, and so no kernels to show")


def _weights(network: Network, info: LayerInfo) -> np.ndarray:
    module = network.module.get_submodule(info.path)
    if not isinstance(module, nn.Conv2d):
        raise ProbeError(
            f"layer {info.name!r} ({info.type}) is not a convolution: it has no kernels"
        )
    weights = module.weight.detach().float().cpu().numpy().copy()  # not the network's own
    if weights.shape[1] not in (1, 3):
        raise ProbeError(
            f"layer {info.name!r} has kernels of {weights.shape[1]} channels, which no picture "
            "shows: name an image to see its maps, or images to see what drives its channels"
        )
    return weights
