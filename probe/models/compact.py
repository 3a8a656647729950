"""V4 neurons as networks: the compact models of Cowley, Stan, Pillow & Smith (2026).

One small network per recorded neuron, from a picture to the neuron's response (Nature,
doi:10.1038/s41586-026-10150-1). The files are GPL-3.0; they are downloaded, or taken from a mirror
folder, and never shipped. Modules are called as in the authors' files. Responses are unscaled: how
they vary over pictures means something, their mean and their size do not.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from probe.assets import Asset, Unavailable, fetch_asset, find
from probe.assets.checks import check
from probe.models.checkpoints import PublishedState, read_state
from probe.models.efficientnet_lite import SameConv2d
from probe.models.missing import MissingLayer
from probe.models.registry import COMPACT, COMPACT_SOURCE, neurons
from probe.progress import track

MANIFEST = "cowley2023-compact"
SIZE = (112, 112)
"""Height and width of the pictures, in pixels."""
MEAN = (116.222, 109.270, 100.381)
"""Of R, G and B on the 0–255 scale, which is subtracted; nothing is divided."""

_STRIDES = (1, 2, 2, 1, 1)
_SIDE = 28  # of the last convolution's output: SIZE, halved twice

# The networks were trained in Keras with an epsilon of 1e-3; in the files for PyTorch it stands in
# the running variances already. Added once more, it changes outputs by up to 5 SD, silently. That
# of the authors' own network in PyTorch is its default, whose outputs are off by some thousandths.
_EPSILON = 1e-5


class FlattenPositions(nn.Module):
    """Flatten (n, channels, y, x) in the order y, x, channel, as Keras does."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, y · x · channels)."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Readout(nn.Linear):
    """Weigh all positions and channels of the last convolution; of another size, there are none."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 1)."""
        if x.shape[1] != self.in_features:
            # Whoever looks at a convolution of a larger picture goes no further than that.
            raise MissingLayer(
                f"a V4 neuron's readout takes pictures of {SIZE[0]}×{SIZE[1]} px: for other sizes, "
                "name a layer before it, such as layers.layer4_act"
            )
        return super().forward(x)


class Neuron(nn.Module):
    """One V4 neuron: (n, 3, 112, 112) to (n, 1).

    Parameters
    ----------
    widths : sequence of int
        Channels of its five convolutions, which differ from neuron to neuron. The first is a full
        5×5 convolution, the others are separable: 5×5 on each channel, then 1×1.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        channels = 3
        for k, (width, stride) in enumerate(zip(widths, _STRIDES, strict=True)):
            if k == 0:
                self.layers.add_module("layer0_conv", SameConv2d(channels, width, 5, stride))
            else:
                depth = SameConv2d(channels, channels, 5, stride, groups=channels, bias=False)
                self.layers.add_module(f"layer{k}_conv_depth", depth)
                self.layers.add_module(f"layer{k}_conv_point", nn.Conv2d(channels, width, 1))
            self.layers.add_module(f"layer{k}_bn", nn.BatchNorm2d(width, eps=_EPSILON))
            self.layers.add_module(f"layer{k}_act", nn.ReLU())
            channels = width
        self.layers.add_module("embeddings", FlattenPositions())
        self.layers.add_module("Beta", Readout(_SIDE * _SIDE * channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the neuron's response, unscaled."""
        return self.layers(x)


class Concatenate(nn.Module):
    """Put the responses of neurons side by side."""

    def forward(self, *responses: Tensor) -> Tensor:
        """Return (n, neurons) for as many (n, 1)."""
        return torch.cat(responses, 1)


class Population(nn.Module):
    """All neurons of a session, which share nothing: (n, 3, 112, 112) to (n, neurons).

    They are computed one after the other: stacked into one convolution, the first layer alone of 89
    neurons would hold 200 MB for one picture, and be no faster.
    """

    def __init__(self, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.neurons = nn.ModuleList(Neuron(each) for each in widths)
        self.responses = Concatenate()

    def forward(self, x: Tensor) -> Tensor:
        """Return all neurons' responses, unscaled."""
        return self.responses(*(neuron(x) for neuron in self.neurons))


def build_compact(architecture: str) -> nn.Module:
    """Build ``v4-compact:NEURONS`` with random weights; its widths are those of its files.

    Raises
    ------
    Unavailable
        If a file is nowhere to be had.
    """
    labels = neurons(architecture)
    _fetch(labels)
    widths = [_widths(label) for label in labels]
    return Neuron(widths[0]) if _is_one(architecture) else Population(widths)


def published_neurons(architecture: str, progress: bool | None = None) -> PublishedState:
    """Get the published weights of ``v4-compact:NEURONS``.

    Raises
    ------
    Unavailable
        If a file is nowhere to be had.
    """
    labels = neurons(architecture)
    paths = _fetch(labels, progress)
    if _is_one(architecture):
        return PublishedState(
            _state(paths[0]), f"{paths[0].name} ({COMPACT_SOURCE})", check(paths[0]).sha256
        )
    state = {
        f"neurons.{k}.{name}": tensor
        for k, path in enumerate(paths)
        for name, tensor in _state(path).items()
    }
    return PublishedState(
        state, f"{len(paths)} files, {paths[0].name} and on ({COMPACT_SOURCE})", None
    )


def asset_of(label: str) -> Asset:
    """Return the file of a neuron: ``201025-12``."""
    from probe.assets.manifest import manifests, of_manifest  # it takes a while to import

    session, _, neuron = label.partition("-")
    return of_manifest(manifests()[MANIFEST], f"compact_model_{session}_neuron{neuron}.pt")


def _is_one(architecture: str) -> bool:
    return "-" in architecture.removeprefix(COMPACT)


def _fetch(labels: Sequence[str], progress: bool | None = None) -> list[Path]:
    assets = [asset_of(label) for label in labels]
    lacking = [asset for asset in assets if find(asset) is None]
    for asset in track(
        lacking,
        desc="V4 neurons",
        unit="file",
        progress=progress if len(lacking) > 1 else False,
    ):
        try:
            fetch_asset(asset, progress=False)
        except Unavailable as error:
            if len(assets) == 1:
                raise
            some = sum(not other.path.is_file() for other in assets)
            count = f"{some} of the session's {len(assets)} files are not here"
            raise Unavailable(asset, (*error.tried, count)) from None
    return [asset.path for asset in assets]


def _state(path: Path) -> dict[str, Tensor]:
    # The files keep Keras' order of axes in memory, which would slow every convolution down.
    return {name: tensor.contiguous() for name, tensor in read_state(path).items()}


@functools.cache
def _widths(label: str) -> tuple[int, ...]:
    state = read_state(asset_of(label).path)
    return tuple(len(state[f"layers.layer{k}_bn.weight"]) for k in range(len(_STRIDES)))
