"""What a layer makes of every picture of a set, batch by batch; nothing of it is kept here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from probe.activations import batch_size as batch_sizes
from probe.activations.capture import forward_until
from probe.activations.engine import filled_up, read_ahead
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import keep_freed_memory, on_device, out_of_memory
from probe.progress import track
from probe.stimuli import StimulusSet


def survey(
    network: Network,
    stimuli: StimulusSet,
    layer: str,
    see: Callable[[range, Tensor], None],
    *,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> None:
    """Show every picture to a network once, and what a layer makes of it to somebody.

    Parameters
    ----------
    network : Network
    stimuli : StimulusSet
    layer : str
        As in `probe.activations.capture.capture`.
    see : callable
        Takes the positions of some pictures, and what the layer returned for them, (n, …). The
        tensor is no copy: it will be overwritten.
    batch_size : int, optional
        Pictures in a forward pass; by default what suits the network and the device.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Raises
    ------
    ProbeError
        If a picture cannot be read, or memory runs out.
    """

    def receive(rows: range, _layer: str, output: Tensor) -> None:
        see(rows, output[: len(rows)])  # without what filled up their batch

    with on_device(network, device) as (target, dtype), keep_freed_memory():
        size = min(batch_size or batch_sizes.choose(network, target), len(stimuli))
        try:
            for rows, inputs in batches(network, stimuli, size, target, dtype, progress=progress):
                forward_until(network.module, inputs, [layer], partial(receive, rows))
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise ProbeError(
                f"{network.name} does not fit into memory with {size} pictures at a time: choose a "
                "smaller --batch-size"
            ) from None


def batches(
    network: Network,
    stimuli: StimulusSet,
    size: int,
    device: torch.device,
    dtype: torch.dtype,
    *,
    progress: bool | None = None,
) -> Iterator[tuple[range, Tensor]]:
    """Read pictures ahead, and yield them in batches of one size.

    Parameters
    ----------
    network : Network
    stimuli : StimulusSet
    size : int
        Pictures in a batch.
    device, dtype
        As `probe.models.devices.on_device` gives them.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Yields
    ------
    rows : range
        The positions of the pictures in the set.
    inputs : torch.Tensor, shape (size, 3, height, width)
        Preprocessed, and the receiver's own; of the last batch, what follows the pictures fills it
        up.

    Raises
    ------
    ProbeError
        If a picture cannot be read.
    """
    firsts = range(0, len(stimuli), size)
    parts = iter([range(first, min(first + size, len(stimuli))) for first in firsts])
    bar = track(total=len(stimuli), desc=network.name, unit="img", progress=progress)
    stop, pin = threading.Event(), device.type == "cuda"
    try:
        with bar:
            for rows, pictures in read_ahead(network, stimuli, parts, pin=pin, stop=stop):
                # A copy: a network may normalise its input in place.
                yield rows, filled_up(pictures, size).to(device, dtype, copy=True)
                bar.update(len(rows))
    finally:
        stop.set()
