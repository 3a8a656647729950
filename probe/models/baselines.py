"""What a network is compared with: itself untrained, and features and networks from before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from probe.models.known import BASELINES
from probe.models.layer_table import LayerInfo, layers
from probe.models.network import Network, load
from probe.models.settings import KINDS


@dataclass(frozen=True, eq=False)
class Baseline:
    """One of them.

    Attributes
    ----------
    network : Network
    layers : tuple of LayerInfo
        Its default ones.
    """

    network: Network
    layers: tuple[LayerInfo, ...]

    @property
    def names(self) -> list[str]:
        """What its layers are called beside another network's: ``hog``, ``hmax c2``."""
        name = self.network.name
        if len(self.layers) == 1:
            return [name]
        return [f"{name} {info.name}" for info in self.layers]


def untrained(network: Network, seed: int) -> Network:
    """Return the same architecture with random weights, and the same preprocessing.

    Parameters
    ----------
    network : Network
        Of a known architecture (`Network.why_no_untrained`).
    seed : int
        Of its weights.
    """
    assert network.architecture is not None
    return load(network.architecture, "random", seed=seed, preprocessing=network.preprocessing)


def baselines_of(
    network: Network, names: Sequence[str] = BASELINES, *, progress: bool | None = None
) -> Iterator[Baseline]:
    """Load what a network is compared with, one after the other.

    Each sees the pictures at its own size, cropped where the network's are.

    Parameters
    ----------
    network : Network
        Is not its own baseline.
    names : sequence of str
    progress : bool, optional
        Show progress bars where something is learned.
    """
    kind = network.preprocessing.name if network.preprocessing.name in KINDS else KINDS[0]
    for name in names:
        if name != network.name:
            baseline = load(name, preprocessing=kind, progress=progress)
            infos = tuple(info for info in layers(baseline) if info.default)
            yield Baseline(baseline, infos)
