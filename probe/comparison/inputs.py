"""What is compared with what: networks and recordings."""

from __future__ import annotations

from collections.abc import Sequence

from probe.comparison.settings import RDMSettings, RSASettings
from probe.models import Network, as_network
from probe.recordings import Recording
from probe.recordings import several as several_recordings


def load_network(model: str | Network, settings: RDMSettings) -> Network:
    """Load a network by its name, with the weights and the preprocessing of the settings."""
    return as_network(
        model,
        settings.weights,
        settings.preprocessing,
        seed=settings.seed,
        accept_licence=settings.accept_licence,
        progress=settings.progress,
    )


def load_recordings(
    datasets: Sequence[str | Recording],
    region: str | Sequence[str] | None,
    subject: str | None,
    settings: RSASettings,
) -> list[Recording]:
    """Load recordings, one per dataset and region: see `probe.recordings.several`."""
    return several_recordings.load_scored(
        datasets,
        region,
        subject,
        time=settings.time,
        step=settings.step,
        min_reliability=settings.min_reliability,
        seed=settings.seed,
        accept_licence=settings.accept_licence,
        progress=settings.progress,
    )
