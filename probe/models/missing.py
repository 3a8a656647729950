"""Parts of a network whose weights are not there."""

from __future__ import annotations

from torch import Tensor, nn

from probe.errors import ProbeError


class MissingLayer(ProbeError):
    """A part of a network whose weights are not there was asked to compute."""


class Missing(nn.Module):
    """Stands where weights are missing, so that nothing random passes for trained."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        """Raise the reason why nothing can be computed here."""
        raise MissingLayer(self.reason)

    def extra_repr(self) -> str:
        """Show the reason where the network is printed."""
        return self.reason
