"""Responses of one layer after the other to all pictures, in memory, of which nothing is written.

All batches go through the network side by side. Each has a thread of its own, which waits in the
hook of a layer until the responses of that layer to all pictures have been used. Memory therefore
holds what one layer returns, where the network has put it, and not all layers of the network.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from probe.activations.capture import layouts_of, split_name
from probe.activations.engine import (
    PIXELS,
    check_axis,
    dtype_of,
    filled_up,
    output_shapes,
    read_ahead,
    trial_images,
)
from probe.activations.extract import Extraction
from probe.models import Network
from probe.models.devices import home_of, out_of_memory
from probe.models.hooks import watched
from probe.similarity.products import host_free_bytes

MEMORY_SHARE = 0.5
"""Share of the free memory that the responses of a layer, and what belongs to them, may take."""

UNSEEN = 1.5
"""Memory that a pass holds, in outputs of modules: what other operations return is not seen."""

MOST_THREADS = 1024
"""Threads, those of the network's operations included, that wait at a time."""


class Responses:
    """Responses of one layer, in the parts in which the network has put them.

    Neuroids are in the order in which they lie in memory, channels first or last, so that nothing
    has to be copied.

    Attributes
    ----------
    parts : sequence of numpy.ndarray, shape (n, n_neuroids)
        Of a batch of n stimuli each.
    shape : (int, int)
        (n_stimuli, n_neuroids).
    """

    dtype = np.dtype(np.float32)

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts = parts
        self.shape = (sum(len(part) for part in parts), parts[0].shape[1])

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = key
        return np.concatenate([part[:, columns] for part in self.parts])[rows]


class NotInMemoryError(Exception):
    """The responses of a network cannot be had in memory, one layer after the other."""


class _CancelledError(BaseException):
    """Ends a forward pass early; no ``except Exception`` of a model's own catches it."""


class _Pass(threading.Thread):
    """The forward pass of one batch, which waits at every layer.

    Parameters
    ----------
    forward : callable
        Runs the network.
    """

    def __init__(self, forward: Callable[[], object]) -> None:
        super().__init__(daemon=True, name="probe-pass")
        self._forward: Callable[[], object] | None = forward
        self._going, self._waiting = threading.Semaphore(0), threading.Semaphore(0)
        self._output: tuple[str, Tensor] | None = None
        self._error: BaseException | None = None
        self._is_cancelled = False
        self._calls: dict[str, tuple[int, int]] = {}

    def run(self) -> None:
        self._going.acquire()
        forward, self._forward = self._forward, None
        try:
            if not self._is_cancelled and forward is not None:
                with torch.inference_mode():
                    forward()
        except _CancelledError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._output = None
            self._waiting.release()

    def to_next_layer(self) -> tuple[str, Tensor] | None:
        """Go on to the next layer; return its name and output, or None at the end."""
        if self.ident is None:
            self.start()
        self._going.release()
        self._waiting.acquire()
        if self._error is not None:
            raise self._error
        return self._output

    def wait_at(self, layer: str, output: Tensor) -> None:
        """Wait, in the thread of the pass, until the output of a layer has been used."""
        self._output = layer, output
        del output
        self._waiting.release()
        self._going.acquire()
        self._output = None
        if self._is_cancelled:
            raise _CancelledError

    def number(self, path: str, call: int) -> int:
        """Return which call of a module this is in this pass; ``call`` counts those of all."""
        last, n = self._calls.get(path, (-1, -1))
        if call != last:
            self._calls[path] = call, n + 1
        return self._calls[path][1]

    def cancel(self) -> None:
        """End the pass where it waits."""
        self._is_cancelled = True
        self._forward = None
        if self.is_alive():
            self._going.release()
            self.join()


def fits(extraction: Extraction, layers: Sequence[str], batch_size: int | None) -> bool:
    """Return whether the responses of any one layer to all pictures fit into memory.

    That is `MEMORY_SHARE` of what is free now, beside the pictures, and on this machine's CPU: a
    network on another device, or on the workers of a cluster, takes another way.

    Parameters
    ----------
    extraction : Extraction
        Of all units.
    layers : sequence of str
    batch_size : int, optional
        As in `Extraction.run`.
    """
    if extraction.remote or [device.type for device in extraction.devices] != ["cpu"]:
        return False
    network, n = extraction.network, len(extraction.stimuli)
    if home_of(network.module).type != "cpu":
        return False
    n_passes = math.ceil(n / extraction.batch_size(batch_size))
    if n_passes * torch.get_num_threads() > MOST_THREADS:
        return False
    image = extraction.first_picture
    # The pictures once as they were read, and once as the network takes them.
    per_picture = UNSEEN * _bytes_held(network, layers, image) + 2 * 4 * image.numel()
    rdm_bytes = 2 * 8 * n**2
    return n * per_picture + rdm_bytes <= MEMORY_SHARE * host_free_bytes()


def _bytes_held(network: Network, layers: Sequence[str], image: Tensor) -> float:
    """Return what the outputs of modules take at most, of one picture, when a layer returns."""
    images = trial_images(network, image)
    paths = {split_name(layer)[0] for layer in layers if layer != PIXELS}
    outputs: list[weakref.ref[Tensor]] = []
    most = 0

    def saw(path: str, _call: int, _place: str, tensor: Tensor) -> None:
        nonlocal most
        outputs.append(weakref.ref(tensor))
        alive = [(ref, output) for ref in outputs if (output := ref()) is not None]
        outputs[:] = [ref for ref, _ in alive]
        if path in paths:
            storages = [output.untyped_storage() for _, output in alive]
            most = max(most, sum({s.data_ptr(): s.nbytes() for s in storages}.values()))

    module = network.module
    if paths:
        with watched(module, [name for name, _ in module.named_modules()], saw):
            module(images)
    return most / len(images)


def each_layer(
    extraction: Extraction,
    layers: Sequence[str],
    use: Callable[[str, Responses], object],
    *,
    batch_size: int | None = None,
) -> None:
    """Run a network over all pictures, and use the responses of one layer after the other.

    Parameters
    ----------
    extraction : Extraction
        Of all units, on the CPU; see `fits`.
    layers : sequence of str
        Names that `capture` would accept, or `PIXELS`.
    use : callable
        Takes a layer's name and its `Responses`, in the order in which the network computes them.
        They hold until it returns.
    batch_size : int, optional
        As in `Extraction.run`.

    Raises
    ------
    NotInMemoryError
        If memory is too small after all, batches come to layers in different orders, or a network
        of the user's own computes something else while several batches are on their way; some
        layers may have been used by then.
    ProbeError
        If a picture cannot be read, or a layer is not called.
    """
    network = extraction.network
    n, size = len(extraction.stimuli), extraction.batch_size(batch_size)
    batches = [range(first, min(first + size, n)) for first in range(0, n, size)]
    inner = [layer for layer in layers if layer != PIXELS]
    extraction.axes(inner)  # or it says why there is nothing to keep
    if PIXELS in layers:
        use(PIXELS, Responses(_rows([images for _, images in _read(extraction, batches)])))
    if not inner:
        return
    image = extraction.first_picture
    _, channels_last = output_shapes(network, inner, image, torch.device("cpu"))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if network.weights.kind == "user" and not _may_wait(network, inner, image, layout):
        raise NotInMemoryError("it computes something else while other batches are on their way")
    batches_read = (images for _, images in _read(extraction, batches))
    _side_by_side(network, inner, batches_read, size, layout, use)


def _may_wait(
    network: Network, layers: Sequence[str], image: Tensor, layout: torch.memory_format
) -> bool:
    """Return whether batches that wait for one another are computed as each by itself.

    They are not where a network keeps what it has computed in itself, to use it later in the same
    pass: there, another batch has overwritten it.
    """

    def answers_to(*batches: Tensor) -> dict[str, list[bytes]]:
        """Hash what layers return for each batch."""
        answers: dict[str, list[bytes]] = {}

        def use(layer: str, responses: Responses) -> None:
            answers[layer] = [sha256(part.tobytes()).digest() for part in responses.parts]

        _side_by_side(network, layers, batches, len(batches[0]), layout, use)
        return answers

    first = trial_images(network, image)
    second = -first
    of_first, of_second = answers_to(first), answers_to(second)
    alone = {layer: of_first[layer] + of_second[layer] for layer in of_first}
    return answers_to(first, second) == alone


def _side_by_side(
    network: Network,
    layers: Sequence[str],
    batches: Iterable[Tensor],
    size: int,
    layout: torch.memory_format,
    use: Callable[[str, Responses], object],
) -> None:
    """Run a network over all batches, each filled up to ``size``; see `each_layer`."""
    module = network.module
    layouts = layouts_of(module, network.input_shape)
    of_thread = threading.local()

    def saw(path: str, call: int, place: str, tensor: Tensor) -> None:
        this: _Pass = of_thread.this
        number = this.number(path, call)
        for name in (f"{path}:{number}{place}", f"{path}{place}" if number == 0 else None):
            if name is not None and name in layers:
                axes = layouts.get((path, number, place))
                output = axes.arrange(tensor) if axes else tensor
                check_axis(name, output, size)
                this.wait_at(name, output)

    def begin(images: Tensor) -> _Pass:
        # A copy: a network may normalise its input in place.
        images = filled_up(images, size).to(dtype_of(module), copy=True, memory_format=layout)

        def forward() -> None:
            of_thread.this = threading.current_thread()
            module(images)

        return _Pass(forward)

    passes: list[_Pass] = []
    n_images: list[int] = []
    paths = dict.fromkeys(split_name(layer)[0] for layer in layers)
    with watched(module, paths, saw):
        try:
            stops = []
            for images in batches:
                n_images.append(len(images))
                passes.append(begin(images))
                stops.append(passes[-1].to_next_layer())
            for _ in layers:
                stops = stops or [each.to_next_layer() for each in passes]
                reached = [stop for stop in stops if stop is not None]
                names = {name for name, _ in reached}
                if len(names) != 1 or len(reached) < len(passes):
                    raise NotInMemoryError("batches come to its layers in different orders")
                outputs = [output[:n] for (_, output), n in zip(reached, n_images, strict=True)]
                stops, reached = [], []  # so that nothing is held here when the network goes on
                parts = _rows(outputs)
                del outputs
                use(names.pop(), Responses(parts))
                del parts
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise NotInMemoryError("memory is too small") from None
        finally:
            for each in passes:
                each.cancel()


def _read(extraction: Extraction, batches: Sequence[range]) -> Iterator[tuple[range, Tensor]]:
    return read_ahead(
        extraction.network, extraction.stimuli, iter(batches),
        pin=False, stop=threading.Event(), pictures=extraction.pictures,
    )  # fmt: skip


def _rows(outputs: Sequence[Tensor]) -> list[np.ndarray]:
    """Return outputs as matrices (stimuli, neuroids), whose neuroids are in the same order."""
    strides = outputs[0].stride()
    inner = sorted(range(1, outputs[0].ndim), key=lambda axis: strides[axis], reverse=True)
    in_memory = [output.permute(0, *inner) for output in outputs]
    is_dense = all(each.is_contiguous() for each in in_memory)
    if any(output.stride()[1:] != strides[1:] for output in outputs) or not is_dense:
        in_memory = list(outputs)
    return [each.reshape(len(each), -1).float().numpy() for each in in_memory]
