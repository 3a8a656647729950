"""The files that activations lie in: shards of Zarr v3, written whole, with a checksum a chunk.

A shard holds some stimuli of one layer: its chunks one after the other, each a run of neuroids and
its CRC-32C, then an index of where they are, with a CRC-32C too (the layout of Zarr's codecs
``sharding_indexed`` and ``crc32c``). Nothing is compressed, so that the size of a file is known
beforehand, and what a batch gives is copied straight to its place. Any Zarr reader reads them.

Zarr's own codecs write the same bytes, in 2.7 to 13 times the time: each chunk is copied three
times on its way, and goes through the page cache (``benchmarks/extraction.py --only write``).
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path

import google_crc32c
import numpy as np
import torch
from torch import Tensor

from probe.output.replacing import replacing

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""What activations can be stored as."""

SHARD_BYTES = 2**21
"""Size of a shard, in bytes, above which it takes no further stimulus: as many are lost at most in
each layer when a process is killed, and held in memory while it lives."""

CHUNK_NEUROIDS = 2**14
"""Neuroids in a chunk, at most: an RDM reads all stimuli of some neuroids."""

LEAST_ROWS = 32
"""Stimuli in a shard of a small layer, at least."""

SHARDS_PER_LAYER = 64
"""Shards of a small layer, at least, if there are enough stimuli: a kill costs one part in 64."""

PAGE = 4096
"""Alignment that writing past the page cache asks for, in bytes."""

WRITERS = 2
PENDING_BYTES = 2**26
"""What may wait to be written, in bytes; then the network waits."""


class DamagedShard(ValueError):
    """A file whose bytes are not those that were written.

    Attributes
    ----------
    path : pathlib.Path
    what : str
        What is wrong with it.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{str(path)!r} {what}")
        self.path, self.what = path, what


@dataclass(frozen=True)
class ShardLayout:
    """Where everything lies in a shard.

    Attributes
    ----------
    rows : int
        Stimuli in a shard; a power of two.
    neuroids : int
        In the layer.
    dtype : str
        One of `DTYPES`.
    """

    rows: int
    neuroids: int
    dtype: str

    @classmethod
    def choose(cls, n_stimuli: int, neuroids: int, dtype: str) -> ShardLayout:
        """Lay out a layer of so many stimuli and neuroids."""
        fitting = max(1, SHARD_BYTES // (neuroids * DTYPES[dtype].itemsize))
        most = max(LEAST_ROWS, n_stimuli // SHARDS_PER_LAYER)
        return cls(2 ** (min(fitting, most).bit_length() - 1), neuroids, dtype)

    @property
    def n_chunks(self) -> int:
        """Chunks in a shard."""
        return math.ceil(self.neuroids / CHUNK_NEUROIDS)

    @property
    def chunk_columns(self) -> int:
        """Neuroids in a chunk; all but the last are full, and that one nearly."""
        return math.ceil(self.neuroids / self.n_chunks)

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        return DTYPES[self.dtype].itemsize

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk without its checksum."""
        return self.rows * self.chunk_columns * self.itemsize

    @property
    def n_bytes(self) -> int:
        """Bytes of a shard: chunks, checksums, the index and its checksum."""
        return self.n_chunks * (self.chunk_bytes + 4 + 16) + 4

    @cached_property
    def index(self) -> bytes:
        """What ends every shard: offset and size of each chunk, and a checksum."""
        stride = self.chunk_bytes + 4
        entries = [(k * stride, stride) for k in range(self.n_chunks)]
        index = np.array(entries, dtype="<u8").tobytes()
        return index + _crc(index)

    def n_shards(self, n_stimuli: int) -> int:
        """Shards of a layer."""
        return math.ceil(n_stimuli / self.rows)

    def read(self, path: Path, first: int = 0, end: int | None = None) -> np.ndarray:
        """Read chunks of a shard, and check them.

        Parameters
        ----------
        path : path
        first, end : int
            Numbers of the first chunk, and of the one after the last; by default all.

        Returns
        -------
        numpy.ndarray, shape (chunks, rows, chunk_columns)
            float32.

        Raises
        ------
        DamagedShard
            If the file has another size, another index, or a wrong checksum.
        """
        end = self.n_chunks if end is None else end
        stride = self.chunk_bytes + 4
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.n_bytes:
                raise DamagedShard(path, f"has {size:,} bytes instead of {self.n_bytes:,}")
            file.seek(size - len(self.index))
            if _all_of(file, len(self.index)) != self.index:
                raise DamagedShard(path, "has another index than its layout says")
            file.seek(first * stride)
            content = np.frombuffer(_all_of(file, (end - first) * stride), np.uint8)
        chunks = content.reshape(end - first, stride)
        for k, chunk in enumerate(chunks):
            if _crc(chunk[:-4]) != chunk[-4:].tobytes():
                raise DamagedShard(path, f"has a wrong checksum in chunk {first + k}")
        values = chunks[:, :-4].reshape(end - first, self.rows, -1)
        if self.dtype == "bfloat16":  # the upper half of a float32
            return (values.view("<u2").astype(np.uint32) << 16).view(np.float32)
        return values.view(f"<f{self.itemsize}").astype(np.float32, copy=False)

    def damage(self, path: Path) -> str | None:
        """Return what is wrong with a file, or None: reads it whole."""
        try:
            self.read(path)
        except DamagedShard as error:
            return error.what
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return None


class ShardBuffer:
    """Memory of one shard while it is filled, laid out as on disk."""

    def __init__(self, layout: ShardLayout) -> None:
        self.layout = layout
        # Whole pages, from the start of a page on, as writing past the page cache wants them.
        try:
            self.memory = mmap.mmap(-1, -(-layout.n_bytes // PAGE) * PAGE)
        except OSError as error:  # which is what the disk raises, too
            raise MemoryError(f"no {layout.n_bytes:,} bytes for a shard") from error
        self._bytes = np.frombuffer(self.memory, np.uint8)
        columns, stride = layout.chunk_columns, (layout.chunk_bytes + 4) // layout.itemsize
        # Made within a hook, a tensor would be one of inference mode, and none of other threads.
        with torch.inference_mode(False):
            values = torch.frombuffer(self.memory, dtype=DTYPES[layout.dtype])
            self.rows = values.as_strided(
                (layout.rows, layout.n_chunks, columns), (columns, stride, 1)
            )
            # What lies beyond the last neuroid, or the last stimulus, is NaN.
            self.rows.fill_(float("nan"))

    def fill(self, start: int, values: Tensor) -> None:
        """Copy rows of values, shape (n, neuroids), to their places."""
        rows = self.rows[start : start + len(values)]
        columns, n_full = (
            self.layout.chunk_columns,
            self.layout.neuroids // self.layout.chunk_columns,
        )
        cut = n_full * columns
        rows[:, :n_full].copy_(values[:, :cut].reshape(len(values), n_full, columns))
        if cut < self.layout.neuroids:
            rows[:, n_full, : self.layout.neuroids - cut].copy_(values[:, cut:])

    def seal(self, n_rows: int) -> None:
        """Add the checksums and the index to a shard of so many stimuli."""
        layout = self.layout
        self.rows[n_rows:].fill_(float("nan"))
        stride = layout.chunk_bytes + 4
        for k in range(layout.n_chunks):
            start, end = k * stride, k * stride + layout.chunk_bytes
            self._bytes[end : end + 4] = np.frombuffer(_crc(self._bytes[start:end]), np.uint8)
        self._bytes[layout.n_bytes - len(layout.index) : layout.n_bytes] = np.frombuffer(
            layout.index, np.uint8
        )


class ShardWriter:
    """Writes shards behind the back of the network, and lets it wait when the disk is slower."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="probe-writer")
        self._free: dict[ShardLayout, list[ShardBuffer]] = defaultdict(list)
        self._lock = threading.Condition()
        self._pending = 0
        self._error: BaseException | None = None
        # All threads begin now: later there may be too little memory to begin one.
        started = threading.Barrier(WRITERS)
        try:
            for _ in range(WRITERS):
                self._pool.submit(started.wait)
        except RuntimeError:
            started.abort()
            raise

    def buffer(self, layout: ShardLayout) -> ShardBuffer:
        """Return an empty shard.

        Raises
        ------
        OSError
            If an earlier shard could not be written.
        """
        with self._lock:
            self._raise()
            free = self._free[layout]
            return free.pop() if free else ShardBuffer(layout)

    def put(self, buffer: ShardBuffer, n_rows: int, path: Path) -> None:
        """Write a shard of so many stimuli, some time."""
        with self._lock:
            while self._pending and self._pending + buffer.layout.n_bytes > PENDING_BYTES:
                self._lock.wait()
            self._raise()
            self._pending += buffer.layout.n_bytes
        self._pool.submit(self._write, buffer, n_rows, path).add_done_callback(
            lambda done: self._done(done, buffer)
        )

    def _write(self, buffer: ShardBuffer, n_rows: int, path: Path) -> None:
        if self._error is not None:  # nothing more is written after one
            return
        buffer.seal(n_rows)
        write_shard(path, buffer.memory, buffer.layout.n_bytes)

    def _done(self, done: Future[None], buffer: ShardBuffer) -> None:
        with self._lock:
            self._pending -= buffer.layout.n_bytes
            self._error = self._error or done.exception()
            free = self._free[buffer.layout]
            if len(free) * buffer.layout.n_bytes < PENDING_BYTES:
                free.append(buffer)
            self._lock.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait until all is written.

        Raises
        ------
        OSError
            If a shard could not be.
        """
        self._pool.shutdown(wait=True)
        self._raise()


@contextmanager
def shard_writer() -> Iterator[ShardWriter]:
    """Open a writer, and wait for it at the end, also after an exception."""
    writer = ShardWriter()
    try:
        yield writer
    except BaseException:
        with suppress(OSError):  # the first of two errors is the one to tell
            writer.close()
        raise
    writer.close()


def write_shard(path: Path, memory: mmap.mmap, n_bytes: int) -> None:
    """Write a file that is there entirely, or not at all, whatever happens.

    Past the page cache where the file system can: filling it with gigabytes that nobody reads soon
    costs more than the disk does, and throws out what others need.
    """
    with replacing(path) as partial:
        try:
            _write_aligned(partial, memory, n_bytes, getattr(os, "O_DIRECT", 0))
        except OSError as error:
            if error.errno not in _NO_DIRECT:
                raise
            _write_aligned(partial, memory, n_bytes, 0)


def _write_aligned(path: Path, memory: mmap.mmap, n_bytes: int, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags, 0o644)
    try:
        # Without O_DIRECT there is no need for whole pages.
        left = memoryview(memory)[: len(memory) if flags else n_bytes]
        while left:
            left = left[os.write(descriptor, left) :]
        os.ftruncate(descriptor, n_bytes)
    finally:
        os.close(descriptor)


_NO_DIRECT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP)


def _all_of(file: FileIO, n: int) -> bytes:
    parts = []
    while n and (part := file.read(n)):
        parts.append(part)
        n -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _crc(content: bytes | np.ndarray) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(4, "little")
