"""Units of a network, and how they respond to pictures: the electrode of every experiment here.

A response stands for a firing rate. What layers return may be negative, a rate is not: of units of
layers, the negative part is cut off, as the rectifier behind them would. What recorded sites and
published neurons are predicted to respond is taken as it is: its zero is whatever the recording's
was. Spontaneous activity is the response to plain mid-grey.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from probe import models
from probe.activations.capture import forward_until
from probe.encoding.kept import find_encoding, model_of
from probe.encoding.readouts import ReadoutModule
from probe.encoding.result import Encoding, rows_of
from probe.errors import ProbeError, nearest
from probe.models import LayerInfo, Network, ReceptiveField
from probe.models.devices import keep_freed_memory, on_device
from probe.models.registry import neurons
from probe.progress import track
from probe.tuning.settings import POSITIONS

COLUMNS = (
    "unit", "layer", "alias", "channel", "y", "x", "centre_y", "centre_x", "window",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tap:
    """How some units are read from what a layer returns.

    Attributes
    ----------
    layer : str
        As `probe.activations.capture` takes it.
    rows : numpy.ndarray of int, shape (m,)
        Which of the units; what several taps return for one unit adds up.
    read : callable
        Takes the layer's output, (n, channels, y, x), (n, tokens, channels) or (n, channels), and
        returns (n, m).
    """

    layer: str
    rows: np.ndarray
    read: Callable[[Tensor], Tensor]

    @functools.cached_property
    def where(self) -> slice | np.ndarray:
        """The rows; where they follow each other, a slice, which is written at once."""
        first, n = int(self.rows[0]), len(self.rows)
        follow = np.array_equal(self.rows, np.arange(first, first + n))
        return slice(first, first + n) if follow else self.rows


@dataclass(frozen=True, eq=False)
class Units:
    """Units of one network whose responses to pictures are measured.

    Attributes
    ----------
    network : Network
    table : pandas.DataFrame
        One row per unit: ``unit``, its name (``features.0:12``, ``site:v4:12``, ``201025-12``);
        ``layer`` and ``alias``; ``channel``; ``y`` and ``x``, its position in the map (NaN without
        one); ``centre_y`` and ``centre_x``, the middle of its window or of its field: row and
        column of the network's input, 0 being the middle of the first; ``window``, the height of
        that window in pixels, padding included, NaN where it is not known.
    taps : tuple of Tap
        How they are read.
    rectified : bool
        Whether the negative part of what is read is cut off.
    """

    network: Network
    table: pd.DataFrame
    taps: tuple[Tap, ...] = field(repr=False)
    rectified: bool = True

    def __len__(self) -> int:
        return len(self.table)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures, in pixels."""
        return self.network.preprocessing.size

    @functools.cached_property
    def adds_up(self) -> bool:
        """Whether a unit is the sum of what several taps return."""
        rows = np.concatenate([tap.rows for tap in self.taps])
        return len(np.unique(rows)) < len(rows)

    def reading(self, rows: np.ndarray) -> Units:
        """Return the same units, of which only some are read, with the layers that these need.

        What others respond is not defined.
        """
        return replace(self, taps=tuple(t for t in self.taps if np.isin(t.rows, rows).any()))


def chosen_layers(network: str | Network, layers: str | Sequence[str]) -> list[LayerInfo]:
    """Find the layers whose units are measured.

    Parameters
    ----------
    network : str or Network
        For a name no weights are needed.
    layers : str or sequence of str
        As in `probe.models.resolve`. ``default``: convolutions, linear layers and blocks, and pools
        that change the shape.

    Returns
    -------
    list of LayerInfo

    Raises
    ------
    ProbeError
        If there is no such layer.
    """
    infos = models.layers(network)
    if layers != "default":
        names = models.resolve(layers, network)
        return [info for info in infos if info.name in names]
    blocks = tuple(f"{info.path}." for info in infos if info.default)
    chosen = []
    for before, info in zip([None, *infos], infos, strict=False):
        # A pool that leaves the shape as it is does nothing, or hardly anything.
        pools = info.kind == "pool" and before and before.output_shape != info.output_shape
        part_of_a_block = info.path.startswith(blocks)
        looks = info.default and info.kind not in ("relu", "norm")
        if looks or (pools and not part_of_a_block):
            chosen.append(info)
    return chosen


def layer_units(
    network: Network, layers: str | Sequence[str] = "default", positions: str = "middle"
) -> Units:
    """Return the units of some layers.

    Parameters
    ----------
    network : Network
    layers : str or sequence of str
        As in `chosen_layers`.
    positions : {"middle", "all"}
        ``middle``: of every channel, the unit in the middle of the map; of tokens, the patch in the
        middle of their grid. ``all``: every unit. A layer without positions has all its units.

    Returns
    -------
    Units
        Layer after layer; within each by channel, then y, then x. Rectified.

    Raises
    ------
    ProbeError
        If there is no such layer, it has no weights, or it is not known what its axes are, or which
        of its tokens is a patch in the middle.

    Examples
    --------
    >>> from probe import models
    >>> from probe.tuning.units import layer_units
    >>> units = layer_units(models.load("squeezenet1_1", "random"), "conv1")
    >>> units.table.loc[12, "unit"]
    'features.0:12'
    >>> units.table.loc[12, ["y", "x", "centre_y", "window"]].astype(float).tolist()
    [55.0, 55.0, 111.0, 3.0]
    """
    if positions not in POSITIONS:
        raise ProbeError(
            f"positions {positions!r}: expected one of {', '.join(POSITIONS)}"
            f"{nearest(positions, POSITIONS)}"
        )
    infos = [i for i in chosen_layers(network, layers) if network.available(i.name)]
    if not infos:
        raise ProbeError(f"{network.name}: none of the layers has weights")
    fields = models.measures(network).fields
    tables, taps, start = [], [], 0
    for info in infos:
        table, read = _of_layer(info, fields[info.name], network, positions)
        taps.append(Tap(info.name, np.arange(start, start + len(table)), read))
        tables.append(table)
        start += len(table)
    return Units(network, pd.concat(tables, ignore_index=True)[list(COLUMNS)], tuple(taps))


def neuron_units(network: Network) -> Units:
    """Return published V4 neurons, which are networks, as units: see `probe.models.compact`.

    Parameters
    ----------
    network : Network
        ``v4-compact:SESSION`` or ``v4-compact:SESSION-NEURON``.

    Returns
    -------
    Units
        Not rectified: the responses' zero means nothing.

    Raises
    ------
    ProbeError
        If it is another network.
    """
    names = neurons(network.architecture or "")
    if not names:
        raise ProbeError(f"{network.name} is no V4 neuron: expected v4-compact:SESSION")
    info = next(i for i in reversed(models.layers(network)) if i.output_shape == (len(names),))
    middle = (np.array(network.preprocessing.size) - 1) / 2
    table = pd.DataFrame(
        {
            "unit": list(names), "layer": info.name, "alias": "neurons",
            "channel": np.arange(len(names)), "y": np.nan, "x": np.nan,
            "centre_y": middle[0], "centre_x": middle[1], "window": network.preprocessing.size[0],
        }
    )  # fmt: skip
    tap = Tap(info.name, np.arange(len(names)), lambda output: output)
    return Units(network, table[list(COLUMNS)], (tap,), rectified=False)


def site_units(dataset: str | Encoding, network: Network | None = None) -> Units:
    """Return the recorded sites that were fitted with a network, as units.

    Parameters
    ----------
    dataset : str or Encoding
        As in ``site:DATASET:NUMBER``, or a fit itself.
    network : Network, optional
        By default, the one that the sites of this name were fitted with last.

    Returns
    -------
    Units
        The sites whose recorded responses vary. Their predicted responses are in the units of the
        recording, and not rectified.

    Raises
    ------
    ProbeError
        If there are none; the message says how to fit them.

    See Also
    --------
    probe.encode : Fits them.
    """
    encoding = open_sites(dataset, network)
    name = dataset if isinstance(dataset, str) else encoding.dataset
    network = encoding.load_network() if network is None else network
    fields = models.measures(network).fields
    sites = encoding.sites
    height, width = network.preprocessing.size
    sees = {name: np.nan if w is None else float(w.size[0]) for name, w in fields.items()}
    # A site that is read from several layers sees what any of them does.
    widest = max((sees[layer] for layer in encoding.readouts), default=np.nan)
    heights = np.array([sees.get(layer, widest) for layer in sites["layer"]])
    table = pd.DataFrame(
        {
            "unit": [f"site:{name}:{k}" for k in sites["site"]],
            "layer": sites["layer"].to_numpy(),
            "alias": sites["region"].to_numpy(),
            "channel": sites["site"].to_numpy(),
            "y": np.nan,
            "x": np.nan,
            "centre_y": sites["y_px"].fillna((height - 1) / 2).to_numpy(float),
            "centre_x": sites["x_px"].fillna((width - 1) / 2).to_numpy(float),
            # Within 2 SD of its field lie 86 % of what it pools.
            "window": np.minimum(heights + 4 * sites["sd_px"].to_numpy(float), height),
        }
    )
    varies = (sites["sd"] > 0).to_numpy()
    if not varies.any():
        raise ProbeError(f"no site of {name} responds differently to any stimulus")
    row_of_site = np.cumsum(varies) - 1
    taps = []
    for layer, readout in encoding.readouts.items():
        rows = rows_of(sites, layer, banded=encoding.is_banded)
        chosen = np.flatnonzero(varies[rows])
        if len(chosen):
            module = readout.take(chosen).module()
            taps.append(Tap(layer, row_of_site[rows[chosen]], _read_sites(module)))
    table = table[varies].reset_index(drop=True)[list(COLUMNS)]
    return Units(network, table, tuple(taps), rectified=False)


def open_sites(dataset: str | Encoding, network: Network | None = None) -> Encoding:
    """Return the fit of a recording's sites; see `site_units`."""
    if not isinstance(dataset, str):
        return dataset
    if network is None:
        model, weights, preprocessing, seed = model_of(dataset)
        network = models.load(model, weights, seed=seed, preprocessing=preprocessing)
    return find_encoding(dataset, network)


def respond(
    units: Units,
    pictures: Tensor | Iterable[Tensor],
    *,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
    total: int | None = None,
) -> np.ndarray:
    """Measure the responses of units to pictures, in one forward pass for all their layers.

    Parameters
    ----------
    units : Units
    pictures : torch.Tensor or iterable of torch.Tensor, shape (n, height, width) or (n, 3, …)
        Grey levels, or R, G and B, from 0 to 1, of the size that the network sees; mid-grey is .5.
        They are normalised as the network's preprocessing does it, and not resized. As an iterable,
        they are made when their turn comes.
    device : str
        ``auto``, ``cpu``, ``cuda``, …
    batch_size : int
        Most pictures in a forward pass.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.
    total : int, optional
        How many pictures there are, for the bar.

    Returns
    -------
    numpy.ndarray, float32, shape (n_pictures, n_units)
        The network, its flags and torch's random state are as they were.

    Raises
    ------
    ProbeError
        If pictures are of another size, or not within 0 and 1.

    Examples
    --------
    >>> import torch
    >>> from probe import models
    >>> from probe.tuning.units import layer_units, respond
    >>> units = layer_units(models.load("squeezenet1_1", "random"), "conv1")
    >>> respond(units, torch.full((2, 224, 224), 0.5)).shape
    (2, 64)
    """
    parts = list(
        responses(
            units, pictures, device=device, batch_size=batch_size, progress=progress, total=total
        )
    )
    return np.concatenate(parts) if parts else np.empty((0, len(units)), np.float32)


def responses(
    units: Units,
    pictures: Tensor | Iterable[Tensor],
    *,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool | None = None,
    total: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield the responses to each tensor of pictures in turn; see `respond`.

    Yields
    ------
    numpy.ndarray, float32, shape (n, n_units)
        One for each tensor of ``pictures``.
    """
    stacks = [pictures] if isinstance(pictures, Tensor) else pictures
    network = units.network
    names = list(dict.fromkeys(tap.layer for tap in units.taps))
    if total is None and isinstance(pictures, Tensor):
        total = len(pictures)
    with (
        on_device(network, device) as (target, dtype),
        keep_freed_memory(),
        track(total=total, desc=network.name, unit="picture", progress=progress) as bar,
    ):
        for stack in stacks:
            values = np.empty((len(stack), len(units)), np.float32)
            for start in range(0, len(stack), batch_size):
                batch = stack[start : start + batch_size]
                inputs = _as_inputs(batch, network).to(target, dtype)
                _read(units, inputs, names, values[start : start + len(batch)])
                bar.update(len(batch))
            yield values


def _read(units: Units, inputs: Tensor, names: Sequence[str], values: np.ndarray) -> None:
    """Run one forward pass, and write what is read from it into ``values``, (n, n_units)."""
    if units.adds_up:
        values[:] = 0

    def keep(name: str, output: Tensor) -> None:
        for tap in units.taps:
            if tap.layer != name:
                continue
            part = tap.read(output).to("cpu", torch.float32).numpy()
            if units.adds_up:
                values[:, tap.rows] += part
            elif isinstance(tap.where, slice) and units.rectified:
                np.maximum(part, 0, out=values[:, tap.where])  # in one go: it may be large
            else:
                values[:, tap.where] = np.maximum(part, 0) if units.rectified else part

    forward_until(units.network.module, inputs, names, keep)


def _read_sites(module: ReadoutModule) -> Callable[[Tensor], Tensor]:
    return lambda output: module.to(output.device)(output)


def _as_inputs(pictures: Tensor, network: Network) -> Tensor:
    """Normalise pictures as the network's preprocessing does: (n, 3, height, width)."""
    size = network.preprocessing.size
    is_grey = pictures.ndim == 3
    if tuple(pictures.shape[1:]) not in (size, (3, *size)):
        raise ProbeError(
            f"pictures of shape {tuple(pictures.shape[1:])}: {network.name} sees {size} pixels, "
            "grey or R, G and B"
        )
    low, high = pictures.aminmax()
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # nor if one of them is not a number
        raise ProbeError(f"pictures from {low:.3g} to {high:.3g}: expected grey levels from 0 to 1")
    if is_grey:
        pictures = pictures[:, None].expand(-1, 3, -1, -1)
    return network.preprocessing.normalise(pictures)


def _of_layer(
    info: LayerInfo, window: ReceptiveField | None, network: Network, positions: str
) -> tuple[pd.DataFrame, Callable[[Tensor], Tensor]]:
    """Return the units of a layer, one row each, and how they are read from its output."""
    n_channels = info.n_channels
    whole = positions == "all"
    picture = np.array(network.preprocessing.size, float)
    size = None if window is None else window.size
    centre = (picture - 1) / 2
    common = {"layer": info.name, "alias": info.alias, "window": size[0] if size else np.nan}
    common |= {"centre_y": centre[0], "centre_x": centre[1]}
    channels = np.arange(n_channels)
    if info.axes == ("channel",):
        table = pd.DataFrame({"unit": [f"{info.name}:{c}" for c in channels], "channel": channels})
        return table.assign(y=np.nan, x=np.nan, **common), lambda output: output

    first, height, width = _grid_of(info)
    y, x = (at.ravel() for at in np.mgrid[:height, :width])
    if not whole:
        y, x = np.array([height // 2]), np.array([width // 2])
    at = slice(None) if whole else int(y[0] * width + x[0])
    cells = pd.DataFrame({"channel": np.repeat(channels, len(y))})
    cells = cells.assign(y=np.tile(y, n_channels), x=np.tile(x, n_channels), **common)
    if window is not None and window.jump is not None and window.start is not None:
        for name, along, axis in (("centre_y", y, 0), ("centre_x", x, 1)):
            middles = window.start[axis] + window.jump[axis] * along + (window.size[axis] - 1) / 2
            cells[name] = np.tile(middles, n_channels)
    tokens = info.axes == ("token", "channel")
    if not whole:
        names = [f"{info.name}:{c}" for c in channels]
    elif tokens:
        names = [f"{info.name}:{c},{first + k}" for c in channels for k in range(len(y))]
    else:
        names = [f"{info.name}:{c},{r},{k}" for c in channels for r, k in zip(y, x, strict=True)]

    def read(output: Tensor) -> Tensor:
        by_channel = output[:, first : first + height * width].mT if tokens else output.flatten(2)
        return by_channel[:, :, at].flatten(1)

    return cells.assign(unit=names), read


def _grid_of(info: LayerInfo) -> tuple[int, int, int]:
    """Return the first token and the sides of a map, or of the grid of patches."""
    if info.axes == ("channel", "y", "x"):
        return 0, info.output_shape[1], info.output_shape[2]
    grid = info.layout.grid if info.layout else None
    if grid is None:
        raise ProbeError(
            f"layer {info.name!r} returns {info.output_shape[0]} tokens, and it is not known where "
            "in the picture they are: name layers whose patches are in order, or without positions"
        )
    return grid.first, grid.height, grid.width
