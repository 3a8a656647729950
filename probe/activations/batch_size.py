"""How many pictures a network takes at once: as many as help, and fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import torch

from probe import assets, models
from probe.activations.engine import LEAST_BATCH
from probe.activations.store import key_of, write_text
from probe.models import Network
from probe.models.devices import home_of
from probe.models.hooks import watched

MOST_ON_CPU = 32
"""Larger batches are no faster on a CPU, and hold more memory."""

MOST_ON_DEVICE = 256

GRAPH_BYTES = 2**30
"""What the activations of a pass may take that is gone back through."""

CPU_BYTES = 2**27
"""What the input and the output of the largest layer may take together, on a CPU."""

DEVICE_SHARE = 0.5
"""Share of a device's memory that a batch may take."""


def choose(network: Network, device: torch.device) -> int:
    """Choose a batch size for a network on a device: the same one every time.

    On a CPU, from the size of the largest layer; on a CUDA device, from the memory that a trial
    takes.
    """
    if device.type == "cuda":
        return _power_of_two(
            DEVICE_SHARE * _device_bytes(device) / _bytes_per_image(network, device), MOST_ON_DEVICE
        )
    largest = max((math.prod(i.output_shape) for i in models.layers(network)), default=1)
    largest = max(largest, math.prod(network.input_shape))
    return _power_of_two(CPU_BYTES / (2 * 4 * largest), MOST_ON_CPU)


def at_least(n_stimuli: int) -> int:
    """Return the least batch size that takes all stimuli at once."""
    return max(LEAST_BATCH, 2 ** math.ceil(math.log2(max(1, n_stimuli))))


class Remembered:
    """The batch size that was found to fit, for a network on a kind of device.

    Parameters
    ----------
    request : mapping
        Of an `Extraction`.
    device : torch.device
    """

    def __init__(self, request: Mapping[str, Any], device: torch.device) -> None:
        names = ("modules", "preprocessing", "reducer", "autocast")
        about = {name: request[name] for name in names}
        about["device"] = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        )
        self._path = assets.cache_dir() / "batch-sizes" / f"{key_of(about)}.json"

    def get(self) -> int | None:
        """Return it, if there is one."""
        try:
            size = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        return size if isinstance(size, int) and size > 0 else None

    def put(self, size: int) -> None:
        """Keep it for the next time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._path, json.dumps(size))


def _power_of_two(fitting: float, most: int) -> int:
    return 2 ** int(math.log2(min(max(fitting, LEAST_BATCH), most)))


def _device_bytes(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory)


def _bytes_per_image(network: Network, device: torch.device) -> float:
    """Memory that one more picture takes in a forward pass, by a trial."""
    module, home = network.module, home_of(network.module)
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    n = 2 * LEAST_BATCH
    try:
        module.to(device)
        images = torch.zeros((n, *network.input_shape), device=device, dtype=dtype)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        with watched(module, [], lambda *_: None):
            module(images.contiguous(memory_format=torch.channels_last))
        return max(1.0, (torch.cuda.max_memory_allocated(device) - before) / n)
    finally:
        module.to(home)


def with_graph(network: Network, size: tuple[int, int] | None = None) -> int:
    """Choose how many pictures a pass takes whose activations are all kept for the way back.

    Parameters
    ----------
    network : Network
    size : (int, int), optional
        Height and width of the pictures; by default, what the network was made for.
    """
    usual = network.preprocessing.size
    total = sum(math.prod(i.output_shape) for i in models.layers(network) if i.kind != "block")
    total = round(total * math.prod(size or usual) / math.prod(usual))
    return int(min(MOST_ON_CPU, max(1, GRAPH_BYTES // (4 * max(total, 1)))))
