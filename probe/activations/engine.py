"""Pictures through a network, batch by batch, into the shards of a store.

Threads decode the next pictures while the network is busy with these; its outputs are reduced and
copied to their places from within the hooks; other threads write what is complete.
"""

from __future__ import annotations

import copy
import itertools
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from probe.activations.capture import forward_until
from probe.activations.reduce import Reducer
from probe.activations.shards import ShardBuffer, ShardWriter, shard_writer
from probe.activations.store import ActivationStore
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import home_of, keep_freed_memory, out_of_memory
from probe.similarity.threads import n_threads
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from probe.activations.pictures import Pictures

PIXELS = "(pixels)"
"""Name under which the network's input itself is kept, as if it were a layer."""

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What a network computes in; float32 stands for what its own parameters are."""

MOST_READERS = 8
"""Threads that decode and preprocess pictures, at most."""

AHEAD = 2
"""Batches that are read before the network asks for them."""

LEAST_BATCH = 4
"""Fewer images than this, and the linear algebra takes other ways, with other last digits. (On a
single thread it does so for some networks between 8 and 16, too: SqueezeNet 1.1 in oneDNN.)"""


@dataclass(frozen=True)
class Job:
    """What is to be computed.

    Attributes
    ----------
    network : Network
    stimuli : StimulusSet
    layers : tuple of str
        Of which something is missing.
    path : pathlib.Path
        The store, in which there is room for all of them.
    reducer : Reducer
    precision : str
        One of `AUTOCAST`.
    channels_last : bool
        Whether pictures lie in memory pixel by pixel, which convolutions prefer.
    batch_size : int
        Stimuli in a forward pass.
    pictures : Pictures, optional
        The same stimuli, which other networks are shown too.
    """

    network: Network
    stimuli: StimulusSet
    layers: tuple[str, ...]
    path: Path
    reducer: Reducer
    precision: str
    channels_last: bool
    batch_size: int
    pictures: Pictures | None = None

    @cached_property
    def block_rows(self) -> int:
        """Stimuli of a block: the least number that fills batches, and shards of all layers."""
        store = ActivationStore(self.path)
        rows = max(store.array(layer).layout.rows for layer in self.layers)
        return math.lcm(rows, self.batch_size)


def compute(
    job: Job,
    blocks: Sequence[int],
    devices: Sequence[torch.device],
    advance: Callable[[int], object],
    stop: threading.Event,
) -> int:
    """Compute what is missing of some blocks, on each device some of them.

    Parameters
    ----------
    job : Job
    blocks : sequence of int
        Numbers of blocks of ``job.block_rows`` stimuli.
    devices : sequence of torch.device
        Each has the network, and takes the next block when it has done one.
    advance : callable
        Is told how many stimuli more are done.
    stop : threading.Event
        Ends the work after the batch at hand, with all that is complete on disk.

    Returns
    -------
    int
        The batch size with which it ended: half of the job's, or less, if memory ran out.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for block in blocks:
        waiting.put(block)
    if len(devices) == 1:
        return _on_device(job, job.network.module, devices[0], waiting, advance, stop)
    # Each device has a network of its own; the user's stays where it is.
    modules = [copy.deepcopy(job.network.module) for _ in devices]
    failed = threading.Event()

    def work(module: nn.Module, device: torch.device) -> int:
        try:
            return _on_device(job, module, device, waiting, advance, _Either(stop, failed))
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(len(devices)) as threads:
        working = [threads.submit(work, *of) for of in zip(modules, devices, strict=True)]
        return min(done.result() for done in working)


class _Either(threading.Event):
    """Set when one of two events is."""

    def __init__(self, first: threading.Event, second: threading.Event) -> None:
        super().__init__()
        self._both = first, second

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._both)


def _on_device(
    job: Job,
    module: nn.Module,
    device: torch.device,
    waiting: queue.SimpleQueue[int],
    advance: Callable[[int], object],
    stop: threading.Event,
) -> int:
    store = ActivationStore(job.path)
    inner = [layer for layer in job.layers if layer != PIXELS]
    home = home_of(module)
    dtype = _dtype_of(module)
    size = job.batch_size
    missing = _missing(job, store)
    batches = _batches(job, missing, waiting)
    with ExitStack() as stack:
        stack.enter_context(keep_freed_memory())
        stack.callback(module.to, home)
        module.to(device)
        shards = _Shards(store, job.layers, stack.enter_context(shard_writer()))

        def forward(part: Tensor, first: int, size: int) -> None:
            """Put the outputs for some images into the rows from ``first`` on."""
            n, images = len(part), filled_up(part, size)

            def receive(layer: str, output: Tensor) -> None:
                _check_axis(layer, output, len(images))
                if shards.wants(layer, first, n):
                    shards.put(layer, first, job.reducer.reduce(layer, output[:n].detach()))

            if PIXELS in job.layers:
                receive(PIXELS, images)
            if inner:
                at_device = images.to(device, dtype, non_blocking=True, copy=True)
                if job.channels_last:
                    at_device = at_device.contiguous(memory_format=torch.channels_last)
                with autocast(device, job.precision):
                    forward_until(module, at_device, inner, receive)

        pin = device.type == "cuda"
        reading = read_ahead(
            job.network, job.stimuli, batches, pin=pin, stop=stop, pictures=job.pictures
        )
        for rows, images in reading:
            done = 0
            while done < len(rows):
                n = min(size, len(rows) - done)
                if not _fits(forward, images[done : done + n], rows.start + done, size):
                    # With the traceback, what it held is gone by now.
                    if device.type == "cuda":
                        torch.cuda.empty_cache()
                    if size == 1:
                        raise _too_large(job.network, "one image")
                    size = (size + 1) // 2
                    continue
                done += n
            advance(int(missing[rows.start : rows.stop].sum()))
            if stop.is_set():
                break
    return size


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which a network computes in one of `AUTOCAST`."""
    dtype = AUTOCAST[precision]
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def _dtype_of(module: nn.Module) -> torch.dtype:
    """Return the precision of a network's parameters."""
    return next((p.dtype for p in module.parameters()), torch.float32)


def output_shapes(
    network: Network, layers: Sequence[str], image: Tensor, device: torch.device
) -> tuple[dict[str, tuple[int, ...]], bool]:
    """Try a network on one picture.

    Returns
    -------
    shapes : dict of str to tuple of int
        Of the layers' outputs for one stimulus; (1,) for a single number.
    channels_last : bool
        Whether the network takes pictures that lie pixel by pixel. Not one that reshapes with
        ``view`` what does not lie as it thinks.
    """
    module, home = network.module, home_of(network.module)
    inner = [layer for layer in layers if layer != PIXELS]
    images = image.repeat(2, 1, 1, 1).to(device, _dtype_of(module))
    shapes: dict[str, tuple[int, ...]] = {PIXELS: tuple(image.shape)}
    if not inner:
        return shapes, False

    def see(name: str, output: Tensor) -> None:
        _check_axis(name, output, len(images))
        shapes[name] = tuple(output.shape[1:]) or (1,)

    def attempt(memory_format: torch.memory_format) -> None:
        # A copy: a network may normalise its input in place.
        forward_until(module, images.clone(memory_format=memory_format), inner, see)

    try:
        module.to(device)
        try:
            attempt(torch.channels_last)
            channels_last = True
        except RuntimeError as error:
            if "view" not in str(error):
                raise
            attempt(torch.contiguous_format)
            channels_last = False
    except Exception as error:
        if out_of_memory(error):
            raise _too_large(network, "two images") from None
        raise
    finally:
        module.to(home)
    return shapes, channels_last


def _check_axis(layer: str, output: Tensor, n: int) -> None:
    """Refuse an output whose first axis is not that of the images."""
    if output.ndim == 0 or len(output) != n:
        raise ProbeError(
            f"layer {layer!r} returns shape {tuple(output.shape)} for {n} images: no axis of it "
            "runs over the images"
        )


def _too_large(network: Network, what: str) -> ProbeError:
    return ProbeError(
        f"{network.name} does not fit into memory, not even with {what} at a time: choose another "
        "device (--device), or smaller pictures"
    )


def _fits(work: Callable[..., None], *given: object) -> bool:
    try:
        work(*given)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return False
    return True


def filled_up(images: Tensor, size: int) -> Tensor:
    """Fill a last, smaller batch with copies: of every size, the digits could be others."""
    if len(images) == size:
        return images
    return torch.cat([images, images[-1:].expand(size - len(images), *images.shape[1:])])


def _missing(job: Job, store: ActivationStore) -> np.ndarray:
    """Return of which stimuli something is missing: bool, (n_stimuli,)."""
    done = [store.array(layer).rows_done() for layer in job.layers]
    return ~np.logical_and.reduce(done)


def _batches(job: Job, missing: np.ndarray, waiting: queue.SimpleQueue[int]) -> Iterator[range]:
    """Batches of which something is missing, from blocks that nobody has begun."""
    while True:
        try:
            block = waiting.get_nowait()
        except queue.Empty:
            return
        end = min((block + 1) * job.block_rows, len(missing))
        for first in range(block * job.block_rows, end, job.batch_size):
            rows = range(first, min(first + job.batch_size, end))
            if missing[rows.start : rows.stop].any():
                yield rows


def read_ahead(
    network: Network,
    stimuli: StimulusSet,
    batches: Iterator[range],
    *,
    pin: bool,
    stop: threading.Event,
    pictures: Pictures | None = None,
) -> Iterator[tuple[range, Tensor]]:
    """Decode and preprocess the next batches while the network is busy with this one.

    Parameters
    ----------
    network : Network
    stimuli : StimulusSet
    batches : iterator of range
        Positions of the stimuli of each batch.
    pin : bool
        Whether they go to a CUDA device next.
    stop : threading.Event
        Ends it.
    pictures : Pictures, optional
        The same stimuli, some of which may have been decoded for another network.

    Yields
    ------
    range, torch.Tensor
        A batch's positions, and its pictures: (n, 3, height, width).
    """
    preprocess = network.preprocessing

    def read(images: Tensor, slot: int, row: int) -> None:
        if not stop.is_set():
            images[slot] = preprocess(stimuli.image(row)) if pictures is None else pictures[row]

    # In a process that was forked, threads that use torch for the first time at the same moment
    # fail ("Invalid thread pool!"), unless one thread has set the number of threads before.
    torch.set_num_threads(torch.get_num_threads())
    n_readers = min(MOST_READERS, n_threads())
    with ThreadPoolExecutor(n_readers, thread_name_prefix="probe-reader") as readers:

        def begin(rows: range) -> tuple[range, Tensor, list[Future[None]]]:
            # One of inference mode could not be written to by the threads.
            with torch.inference_mode(False):
                images = torch.empty((len(rows), *network.input_shape), pin_memory=pin)
            return rows, images, [readers.submit(read, images, k, i) for k, i in enumerate(rows)]

        try:
            ahead = deque(begin(rows) for rows in itertools.islice(batches, AHEAD))
            while ahead:
                rows, images, reading = ahead.popleft()
                for picture in reading:
                    picture.result()
                if stop.is_set():
                    return
                ahead.extend(begin(rows) for rows in itertools.islice(batches, 1))
                yield rows, images
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise ProbeError(
                "not enough memory to read pictures ahead: choose a smaller --batch-size"
            ) from None
        finally:
            readers.shutdown(cancel_futures=True)


class _Shards:
    """The shards that are being filled, each handed on to the writer when it is full."""

    def __init__(self, store: ActivationStore, layers: Sequence[str], writer: ShardWriter) -> None:
        self._arrays = {layer: store.array(layer) for layer in layers}
        self._done = {layer: array.done() for layer, array in self._arrays.items()}
        self._filling: dict[tuple[str, int], tuple[ShardBuffer, np.ndarray]] = {}
        self._writer = writer

    def wants(self, layer: str, first: int, n: int) -> bool:
        """Return whether any of these rows is missing."""
        rows = self._arrays[layer].layout.rows
        return not self._done[layer][first // rows : (first + n - 1) // rows + 1].all()

    def put(self, layer: str, first: int, values: Tensor) -> None:
        """Copy values (n, neuroids) to the rows from ``first`` on, of shards that are missing."""
        array = self._arrays[layer]
        rows, last = array.layout.rows, first + len(values)
        for k in range(first // rows, (last - 1) // rows + 1):
            if self._done[layer][k]:
                continue
            start, end = max(first, k * rows), min(last, (k + 1) * rows)
            if (layer, k) not in self._filling:
                n_rows = min(rows, array.shape[0] - k * rows)
                empty = np.zeros(n_rows, dtype=bool)
                self._filling[layer, k] = self._writer.buffer(array.layout), empty
            buffer, filled = self._filling[layer, k]
            part = values[start - first : end - first]
            buffer.fill(start - k * rows, part)
            if array.layout.dtype == "float16":
                self._check_range(layer, buffer.rows[start - k * rows : end - k * rows], part)
            filled[start - k * rows : end - k * rows] = True
            if filled.all():
                del self._filling[layer, k]
                self._done[layer][k] = True
                self._writer.put(buffer, len(filled), array.shard(k))

    def _check_range(self, layer: str, stored: Tensor, values: Tensor) -> None:
        # What the network made infinite stays so; what only the store would make so does not.
        if torch.isinf(stored).sum() > torch.isinf(values).sum():
            largest = values[values.isfinite()].abs().max()
            raise ProbeError(
                f"layer {layer!r} has an activation of {largest:.3g}, and 65504 is the largest "
                "value of float16: choose --dtype bfloat16 or float32"
            )
