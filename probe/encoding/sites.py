"""A recorded site as a target, and all sites as the head of a network.

What a site gives is how far its predicted response lies from its mean response to the training
stimuli, in standard deviations of its responses: sites of all rates can be added and subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from probe.activations.capture import differentiable
from probe.encoding.identity import Identity
from probe.encoding.readouts import ReadoutModule
from probe.errors import ProbeError, suggest
from probe.targets.kinds import Outputs, Target

if TYPE_CHECKING:
    from probe.models import Network


ALL = "all"
"""Number of the mean of all sites."""


def row_of(number: str, neuroid_ids: Sequence[str], dataset: str) -> int:
    """Find a site by its number, from 0, or by its ``neuroid_id``.

    Raises
    ------
    ProbeError
        If there is none; the message names the nearest.
    """
    n = len(neuroid_ids)
    if number.isdecimal() and int(number) < n:  # a number is a row, whatever sites are called
        return int(number)
    if number in neuroid_ids:
        return list(neuroid_ids).index(number)
    if number.isdecimal():
        raise ProbeError(
            f"site {number} of {dataset} does not exist: expected 0 to {n - 1}; the nearest is "
            f"{n - 1}"
        )
    raise ProbeError(
        f"{dataset} has no site {number!r}{suggest(number, [*neuroid_ids, ALL])}; sites are "
        f"numbered from 0 to {n - 1}"
    )


@dataclass(frozen=True, eq=False)
class Site(Target):
    """A recorded site, or the mean of several: the predicted response, in SD from its mean.

    Attributes
    ----------
    name : str
        As on the command line, ``site:v4:12``.
    readouts : tuple of ReadoutModule
        One per layer.
    means : tuple of torch.Tensor, shape (m_layer,)
        What each readout gives on average over the stimuli that it was fitted to. Those of a site
        sum to its mean response.
    sds : tuple of torch.Tensor, shape (m_layer,)
        Standard deviation of the recorded responses of each readout's sites.
    n_sites : int
        Of which the mean is taken. A site is read from one layer, or from several, which sum.
    identity : Identity
        Of the network.
    facts : mapping
        How good the fit is, as plain values; see `Encoding.site`.
    network : callable
        Returns the network that it was fitted with.
    anywhere : bool
        Whether the field counts, or is laid over all of the picture. See `everywhere`.
    """

    name: str
    readouts: tuple[ReadoutModule, ...]
    means: tuple[Tensor, ...] = field(repr=False)
    sds: tuple[Tensor, ...] = field(repr=False)
    n_sites: int
    identity: Identity = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)
    network: Callable[[], Network] = field(repr=False)
    anywhere: bool = False

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layers that its sites are read from."""
        return tuple(readout.layer for readout in self.readouts)

    def __call__(self, outputs: Outputs) -> Tensor:
        """Return the number for each picture; see `Target`."""
        total = None
        for readout, mean, sd in zip(self.readouts, self.means, self.sds, strict=True):
            output = outputs[readout.layer]
            readout.to(output.device)
            values = readout.everywhere(output) if self.anywhere else readout(output)
            scaled = ((values - mean.to(values)) / sd.to(values)).sum(1)
            total = scaled if total is None else total + scaled
        assert total is not None  # it has a readout
        return total / self.n_sites

    def check(self, network: Network) -> None:
        """Refuse a network that the site was not fitted with."""
        self.identity.check(network, self.name)

    def everywhere(self) -> Site:
        """Return the site as if its field were at any place of the picture, on average.

        So a whole picture can be dreamt into a site that looks at a part of it.
        """
        return replace(self, anywhere=True)

    def home(self) -> Network:
        """Return the network that the site was fitted with."""
        return self.network()


class Head(nn.Module):
    """A network with one output per recorded site.

    Takes preprocessed pictures, (n, 3, height, width), and gives predicted responses, (n, m), in
    the units of the recording and in the order of its sites, with their gradient.

    Parameters
    ----------
    module : torch.nn.Module
        The network. It is neither changed nor copied.
    readouts : sequence of ReadoutModule
    rows : torch.Tensor of int, shape (≥ m,)
        Of which site each of the readouts' outputs is, one readout after the other. Those of one
        site are summed.
    """

    def __init__(self, module: nn.Module, readouts: list[ReadoutModule], rows: Tensor) -> None:
        super().__init__()
        self.network = module
        self.readouts = nn.ModuleList(readouts)
        self.rows = nn.Buffer(rows)
        self.n_sites = int(rows.max()) + 1

    def forward(self, pictures: Tensor) -> Tensor:
        """Predict the responses of all sites."""
        readouts: list[Any] = list(self.readouts)
        layers = [readout.layer for readout in readouts]
        outputs = differentiable(self.network, pictures, layers)
        parts = torch.cat([readout(outputs[readout.layer]) for readout in readouts], dim=1)
        return parts.new_zeros(len(parts), self.n_sites).index_add(1, self.rows, parts)
