"""Activations of a stimulus set, batch by batch, into the store."""

from __future__ import annotations

import functools
import hashlib
import math
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import PIL
import torch
import torchvision
from torch import Tensor, nn

from probe import assets
from probe.activations.capture import forward_until
from probe.activations.store import ActivationStore, key_of
from probe.errors import ProbeError
from probe.models import Network
from probe.models.weights import state_sha256
from probe.progress import track
from probe.stimuli import StimulusSet

PIXELS = "(pixels)"
"""Name under which the network's input itself is kept, as if it were a layer."""

DEVICES = ("cpu", "cuda", "mps", "xpu")

BATCH_SIZE = 32
"""Stimuli per forward pass: larger batches are no faster on a CPU, and hold more memory."""


def extract(
    network: Network,
    stimuli: StimulusSet,
    layers: Sequence[str],
    *,
    batch_size: int = BATCH_SIZE,
    device: str = "auto",
    progress: bool | None = None,
) -> ActivationStore:
    """Run a network over a stimulus set and keep the outputs of some layers.

    One forward pass per batch serves all layers and ends at the last of them; every output goes
    to disk from within its hook, so that memory holds one batch however many stimuli there are.
    What the cache already has is not computed again, and work that was interrupted goes on at
    the first missing batch.

    Parameters
    ----------
    network : Network
        From `probe.models.load`, or a module of yours in `Network.from_module`.
    stimuli : StimulusSet
    layers : sequence of str
        Layer names as `capture` takes them, or `PIXELS` for the network's preprocessed input.
    batch_size : int
        Stimuli per forward pass.
    device : str
        ``auto`` (a CUDA device if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    ActivationStore
        Holds all the layers, complete.

    Raises
    ------
    ProbeError
        If an image cannot be read, a layer or the device does not exist, or the disk is too small.
    """
    return extract_for(
        request_of(network, stimuli, device), network, stimuli, layers, batch_size, device, progress
    )


def extract_for(
    request: Mapping[str, object],
    network: Network,
    stimuli: StimulusSet,
    layers: Sequence[str],
    batch_size: int,
    device: str,
    progress: bool | None,
) -> ActivationStore:
    """Do what `extract` does, for a request that the caller has made with `request_of`."""
    if batch_size < 1:
        raise ProbeError(f"batch size {batch_size} is not a positive number")
    root = assets.cache_dir() / "activations"
    # One process at a time writes a store; who waited finds the work done.
    with assets.held(root / key_of(request)):
        store = ActivationStore(root, request, stimuli.ids, batch_size)
        layers = [layer for layer in layers if store.missing([layer])]
        if layers:
            try:
                _fill(
                    store,
                    network,
                    stimuli,
                    layers,
                    batch_size,
                    target_of(network, device),
                    progress,
                )
            except (torch.OutOfMemoryError, MemoryError):
                raise ProbeError(
                    f"{network.name} does not fit into memory with batches of {batch_size} "
                    "images: choose fewer (--batch-size), or another device (--device)"
                ) from None
    return store


def _fill(
    store: ActivationStore,
    network: Network,
    stimuli: StimulusSet,
    layers: Sequence[str],
    batch_size: int,
    target: torch.device,
    progress: bool | None,
) -> None:
    todo = store.missing(layers)
    store.sweep(layers)
    module, inner = network.module, [layer for layer in layers if layer != PIXELS]
    home = _home(module)
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    bar = track(
        total=len(stimuli),
        initial=len(stimuli) - sum(len(store.rows(b)) for b in todo),
        desc=f"{network.name} ({network.weights.kind})",
        unit="img",
        progress=progress,
    )
    with bar:
        try:
            module.to(target)
            for batch, images in _read_ahead(network, stimuli, store, todo):
                if batch == todo[0]:
                    # A copy: a network may normalise its input in place.
                    shapes = _shapes(module, images[:1].to(target, dtype, copy=True), inner)
                    _check_space(store, shapes, layers)
                if PIXELS in layers:
                    _write(store, batch, PIXELS, images)
                if inner:
                    # Written from within the hook: the next layer may work in place.
                    write = functools.partial(_write, store, batch)
                    parts = images.split(batch_size)
                    if len(parts) == 1:
                        forward_until(module, images.to(target, dtype), inner, write)
                    else:  # a store that was begun with larger batches
                        for name, output in _in_parts(module, parts, inner, target, dtype):
                            write(name, output)
                bar.update(len(images))
        finally:
            module.to(home)


def request_of(network: Network, stimuli: StimulusSet, device: str) -> dict[str, object]:
    """Everything that decides the values of activations, as plain values.

    A module of the user's own may compute anything with the same weights, and something else
    after the next edit: its activations are never taken for those of an earlier one.
    """
    own = network.weights.kind == "user"
    return {
        "model": uuid.uuid4().hex if own else network.name,
        # As they are now: whoever loaded the network may have cut or changed it since.
        "weights": state_sha256(network.module.state_dict()),
        "modules": hashlib.sha256(repr(network.module).encode()).hexdigest(),
        "preprocessing": network.preprocessing.key(),
        "stimuli": stimuli.hash,
        "reducer": "none",
        "precision": "float32",
        # A GPU convolves with fewer digits (TF32), unless told otherwise.
        "device": target_of(network, device).type,
        # Kernels change between releases, and values with them in the last digits.
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        # So may what becomes of a picture before, and of activations after.
        "pillow": PIL.__version__,
        "probe": metadata.version("cnn-probe"),
    }


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
        found = torch.device(device)
        if found.type not in DEVICES:
            raise RuntimeError("nothing is computed there")
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError):
        there = ["cpu"] + [f"cuda:{k}" for k in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise ProbeError(
            f"device {device!r} is not on this machine; there is {', '.join(there)}"
        ) from None
    return found


def target_of(network: Network, device: str) -> torch.device:
    """Find the device to work on."""
    if device == "auto" and network.weights.kind == "user":
        return _home(network.module)  # it lies where its owner wants it
    return resolve_device(device)


def _home(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _read_ahead(
    network: Network, stimuli: StimulusSet, store: ActivationStore, batches: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """Decode and preprocess the next batch while the network is busy with this one."""

    def read(batch: int) -> Tensor:
        return torch.stack([network.preprocessing(stimuli.image(i)) for i in store.rows(batch)])

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, batches[0])
        for batch, following in zip(batches, [*batches[1:], None], strict=True):
            images = ahead.result()
            if following is not None:
                ahead = reader.submit(read, following)
            yield batch, images


def _in_parts(
    module: nn.Module,
    parts: Sequence[Tensor],
    layers: Sequence[str],
    target: torch.device,
    dtype: torch.dtype,
) -> Iterator[tuple[str, Tensor]]:
    """Outputs of a batch that goes through the network in smaller ones."""
    gathered: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for part in parts:
        forward_until(
            module,
            part.to(target, dtype),
            layers,
            lambda name, output: gathered[name].append(output.to("cpu", copy=True)),
        )
    for layer in layers:
        yield layer, torch.cat(gathered.pop(layer))


def _write(store: ActivationStore, batch: int, layer: str, output: Tensor) -> None:
    if output.shape[0] != len(store.rows(batch)):
        raise ProbeError(
            f"layer {layer!r} returns shape {tuple(output.shape)} for "
            f"{len(store.rows(batch))} images: its first axis is not the images"
        )
    values = output.detach().reshape(len(output), -1).to("cpu", torch.float32).numpy()
    store.write(layer, batch, values, tuple(output.shape[1:]) or (1,))


def _shapes(module: nn.Module, image: Tensor, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    shapes = {PIXELS: tuple(image.shape[1:])}
    if layers:
        forward_until(
            module, image, layers, lambda name, out: shapes.update({name: tuple(out.shape[1:])})
        )
    return shapes


def _check_space(
    store: ActivationStore, shapes: dict[str, tuple[int, ...]], layers: Sequence[str]
) -> None:
    wanted = sum(math.prod(shapes[name]) for name in layers if name not in store.layers)
    needed = 4 * wanted * len(store.stimulus_ids)
    free = shutil.disk_usage(store.path).free
    if needed > free:
        raise ProbeError(
            f"activations of {len(layers)} layers for {len(store.stimulus_ids)} stimuli take "
            f"{needed / 1e9:.1f} GB; {str(store.path.parent)!r} has {free / 1e9:.1f} GB left: "
            "name fewer with --layers, or set PROBE_CACHE to a folder on a larger disk"
        )
