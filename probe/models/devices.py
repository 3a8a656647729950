"""On which device a network works, and what its memory takes."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from probe.errors import ProbeError
from probe.models.network import Network

DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def on_device(
    network: Network, device: str, *, channels_last: bool = False
) -> Iterator[tuple[torch.device, torch.dtype]]:
    """Move a network to a device, and back at the end.

    Parameters
    ----------
    network : Network
    device : str
        See `devices_of`; of several, the first.
    channels_last : bool
        Lay weights out with the channels last, too, for work that takes many passes: whatever is
        computed with them is laid out so, and many operations are faster with it.

    Yields
    ------
    torch.device, torch.dtype
        What its pictures have to be on, and of.
    """
    module, target = network.module, devices_of(network, device)[0]
    home = home_of(module)
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    tensors = [*module.parameters(), *module.buffers()] if channels_last else []
    data_before = [tensor.data for tensor in tensors]
    try:
        module.to(target)
        if channels_last:
            for kernels in module.parameters():
                if kernels.ndim == 4:  # those of three dimensions have no such layout
                    kernels.data = kernels.data.contiguous(memory_format=torch.channels_last)
        yield target, dtype
    finally:
        module.to(home)
        for tensor, data in zip(tensors, data_before, strict=True):
            tensor.data = data


def resolve_device(device: str) -> torch.device:
    """Find a device by name.

    Raises
    ------
    ProbeError
        If there is no such device on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        if resolved.type not in DEVICES:
            raise RuntimeError("nothing is computed there")
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError):
        there = ["cpu"] + [f"cuda:{k}" for k in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise ProbeError(
            f"device {device!r} is not on this machine: expected auto or one of {', '.join(there)}"
        ) from None
    return resolved


def devices_of(network: Network, device: str) -> list[torch.device]:
    """Find the devices to work on.

    Parameters
    ----------
    network : Network
        A module of the user's own works where it lies, unless told otherwise.
    device : str
        As in `extract`.

    Raises
    ------
    ProbeError
        If one is not on this machine, or they are of different kinds, whose digits differ.
    """
    home = home_of(network.module)
    if device == "auto" and network.weights.kind == "user":
        return [home]
    devices = [resolve_device(name.strip()) for name in str(device).split(",")]
    if len({d.type for d in devices}) > 1:
        raise ProbeError(f"devices {device!r} are of different kinds, and compute other digits")
    if len(devices) == 1 and devices[0].type == "cuda" and devices[0].index is None:
        devices = [torch.device("cuda", k) for k in range(torch.cuda.device_count())]
    return devices


def home_of(module: nn.Module) -> torch.device:
    """Return where a network lies.

    Raises
    ------
    ProbeError
        If it lies on several devices: it could be moved, but not put back as it was.
    """
    devices = {part.device for part in itertools.chain(module.parameters(), module.buffers())}
    if len(devices) > 1:
        raise ProbeError(
            f"the network lies on several devices ({', '.join(sorted(map(str, devices)))}): "
            "move it to one of them"
        )
    return devices.pop() if devices else torch.device("cpu")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory, the device's or the machine's, is too small."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = (
        "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED",
        "could not create a primitive", "could not create a memory",  # oneDNN's
        "can't start new thread",
    )  # fmt: skip
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)
_keeping = 0
_keeping_lock = threading.Lock()


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep memory that is freed for the next batch, instead of giving it back to the system.

    Every output of a layer is larger than what the C library keeps by default: its pages would be
    returned, and cleared and mapped anew for the next one, which can take longer than a
    convolution. Afterwards all is as by default. Only glibc can be told so; elsewhere nothing
    happens.
    """
    global _keeping
    try:
        library = ctypes.CDLL(None)
        mallopt, malloc_trim = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    with _keeping_lock:
        _keeping += 1
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**30)
    try:
        yield
    finally:
        with _keeping_lock:
            _keeping -= 1
            if not _keeping:
                mallopt(_MMAP_THRESHOLD, 2**25)  # the most that it comes to by itself
                mallopt(_TRIM_THRESHOLD, 2**26)
                malloc_trim(0)
