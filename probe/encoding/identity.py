"""Which network sites were fitted with: known without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from probe.errors import ProbeError

if TYPE_CHECKING:
    from probe.models import Network


@dataclass(frozen=True)
class Identity:
    """Which network sites were fitted with, and what pictures went through first.

    Attributes
    ----------
    model : str
        As `probe.models.load` takes it.
    weights_kind : str
        ``imagenet``, ``random``, ``file`` or ``user``.
    weights_sha256 : str
        Of the content of all weights.
    preprocessing : str
        Its key.
    described : str
        The preprocessing in words.
    """

    model: str
    weights_kind: str
    weights_sha256: str
    preprocessing: str
    described: str

    @classmethod
    def of(cls, network: Network) -> Identity:
        """Return the identity of a network as it is now."""
        from probe.models.weights import state_sha256

        return cls(
            network.name,
            network.weights.kind,
            state_sha256(network.module.state_dict()),
            network.preprocessing.key(),
            network.preprocessing.describe(),
        )

    def check(self, network: Network, whose: str) -> None:
        """Refuse another network.

        Raises
        ------
        ProbeError
            If its weights or its preprocessing are others.
        """
        other = Identity.of(network)
        if other.weights_sha256 != self.weights_sha256:
            raise ProbeError(
                f"{whose} was fitted with {self.model} (weights {self.weights_sha256[:8]}…), and "
                f"this network is {other.model} (weights {other.weights_sha256[:8]}…): use that "
                f"network, or fit this one with `probe encode --model {other.model}`"
            )
        if other.preprocessing != self.preprocessing:
            raise ProbeError(
                f"{whose} was fitted with pictures {self.described}, and this network gets them "
                f"{other.described}: use the same preprocessing"
            )
