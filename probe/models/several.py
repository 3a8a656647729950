"""Several networks that a user names at once: checked before they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from probe import models
from probe.errors import ProbeError
from probe.models import Network


def check_models(
    given: Sequence[str | Network | nn.Module],
    weights: str | Path = "imagenet",
    preprocessing: str = "resize",
) -> list[str | Network]:
    """See that networks exist, and leave out those named twice, before anything is downloaded.

    Parameters
    ----------
    given : sequence of str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of one's own.
    weights : str or path
        ``imagenet``, ``random``, or a checkpoint file. A network of one's own brings its own.
    preprocessing : {'resize', 'torchvision'}

    Returns
    -------
    list of str or Network

    Raises
    ------
    ProbeError
        With the nearest names, if there is none of a name.
    """
    found: dict[str, str | Network] = {}
    for model in given:
        network = models.given(model, weights, preprocessing)
        if isinstance(network, str):
            found[network] = network
            continue
        if network.name in found:
            raise ProbeError(
                f"two networks are called {network.name!r}; probe.models.Network.from_module("
                "module, name=…) tells them apart"
            )
        found[network.name] = network
    return list(found.values())


def load_network(
    model: str | Network,
    weights: str | Path = "imagenet",
    preprocessing: str = "resize",
    *,
    seed: int = 0,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Network:
    """Load a network by its name; one that is loaded is returned as it is.

    The arguments are those of `probe.models.load`.
    """
    if isinstance(model, Network):
        return model
    return models.load(
        model,
        weights,
        seed=seed,
        preprocessing=preprocessing,
        accept_licence=accept_licence,
        progress=progress,
    )
