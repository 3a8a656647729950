"""Sparse random projection in one pass over the data.

k sums form s blocks. In every block a unit is added, with a random sign, to one sum, and all is
divided by √s: the sparse Johnson–Lindenstrauss transform of Kane & Nelson (2014), a stack of s
count sketches (Charikar et al. 2002), known in machine learning as feature hashing (Weinberger et
al. 2009). Squared Euclidean distances D and inner products are unbiased, and over seeds that of D
has a variance of at most 2 D² / k, as if every unit were added to every sum.

Which sum: the units are cut into rows of k/s. The unit at place i of row m goes to sum
i + shift[m], modulo the block's k/s, with an independent uniform shift for every row and block. So
two units of one row never meet, and two of different rows meet with probability s/k in every block.
The variance depends on nothing else; and memory is read and written in sequence. Where s does not
divide k, some blocks have one sum more.

The mean over units is carried over exactly: what the sums make of the pattern (1, …, 1) is replaced
by √(d/k) (1, …, 1), which is as long. A correlation between two patterns of sums then estimates
that between the patterns of units. Of plain sums it would estimate the cosine: random signs hide
the mean.

References
----------
Charikar, Chen & Farach-Colton (2002). Finding frequent items in data streams. ICALP, 693–703.
Weinberger, Dasgupta, Langford, Smola & Attenberg (2009). Feature hashing for large scale multitask
learning. ICML, 1113–1120.
Kane & Nelson (2014). Sparser Johnson-Lindenstrauss transforms. Journal of the ACM 61(1), 4.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from probe.similarity.ranks import compiled

BLOCKS = 4
"""Sums to which every unit is added."""

_GATHERED = 2**17  # units of every stimulus that a device gathers at once
_WORTH_A_THREAD = 2**18  # units; below, starting a thread takes longer than the work


def random_words(n: int, *key: object) -> np.ndarray:
    """Draw 64-bit words from a stream that the key alone decides.

    Philox is a counter-based generator, whose stream NumPy never changes: the same words are drawn
    in every process and need not be stored. The global generators are not touched.
    """
    digest = hashlib.sha256("\n".join(map(str, key)).encode()).digest()
    return np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(n)


@dataclass(frozen=True, eq=False)
class Sketch:
    """A projection of d units to k sums: half a byte for every unit.

    Parameters
    ----------
    words : torch.Tensor, shape (s, n_rows / 32, length), int32
        Bit r of word (b, g, i) tells whether unit i of row 32 g + r is subtracted in block b.
    shifts : torch.Tensor, shape (s, n_rows), int64
    widths : torch.Tensor, shape (s,), int64
        Number of sums of every block.
    correction : torch.Tensor, shape (k,), float32
        What is added to the sums for every unit of the mean.
    """

    words: Tensor
    shifts: Tensor
    widths: Tensor
    correction: Tensor

    @classmethod
    def draw(cls, layer: str, d: int, k: int, seed: int, device: torch.device) -> Sketch:
        """Draw the projection of a layer of d units, for use on a device."""
        s = min(BLOCKS, k)
        length = k // s
        widths = np.full(s, length)
        widths[: k % s] += 1
        n_rows = math.ceil(d / length)
        shape = s, math.ceil(n_rows / 32), length
        n_pairs = math.ceil(math.prod(shape) / 2)
        random_values = random_words(n_pairs + s * n_rows, "projection", seed, layer)
        words = random_values[:n_pairs].view(np.int32)[: math.prod(shape)].reshape(shape)
        fractions = random_values[n_pairs:].reshape(s, n_rows) >> np.uint64(32)
        shifts = (fractions * widths[:, np.newaxis].astype(np.uint64)) >> np.uint64(32)
        sketch = cls(
            torch.from_numpy(words.copy()).to(device),
            torch.from_numpy(shifts.astype(np.int64)).to(device),
            torch.from_numpy(widths),
            torch.zeros(k, device=device),
        )
        of_ones = sketch(torch.ones((1, d), device=device))[0]
        return replace(sketch, correction=math.sqrt(d / k) - of_ones)

    def __call__(self, output: Tensor) -> Tensor:
        """Project a batch (n, *shape) of d units to (n, k)."""
        on_cpu = output.device.type == "cpu"
        return add_on_cpu(output, self) if on_cpu else gather(in_order(output), self)


def in_order(output: Tensor) -> Tensor:
    """Flatten a batch to (n, d), float32, units in the order y, x, channel.

    That is how networks in channels-last format keep them: such a batch is not copied.
    """
    ordered = output.permute(0, 2, 3, 1) if output.ndim == 4 else output
    return ordered.reshape(len(output), -1).float()


def add_on_cpu(output: Tensor, sketch: Sketch) -> Tensor:
    """Project a batch, its stimuli shared between as many threads as torch uses.

    A stimulus is added up in one order, whatever the memory format, the batch and the threads.
    """
    output = output.detach()
    n, d = len(output), math.prod(output.shape[1:])
    sums = torch.empty((n, len(sketch.correction)))
    words = (
        sketch.words.numpy().view(np.uint32),
        sketch.shifts.numpy(),
        sketch.widths.numpy(),
        sketch.correction.numpy(),
    )
    threads = torch.get_num_threads() if n * d > _WORTH_A_THREAD else 1
    ordered = output.permute(0, 2, 3, 1) if output.ndim == 4 else output
    as_it_lies = ordered.is_contiguous() and output.dtype == torch.float32
    # What has to be brought into order first is copied for a few stimuli at a time.
    step = max(1, n if as_it_lies else max(threads, _WORTH_A_THREAD // d))
    for first in range(0, n, step):
        units = in_order(output[first : first + step]).contiguous().numpy()
        into = sums[first : first + step].numpy()
        if threads == 1:
            compiled(_add)(units, *words, into)
            continue
        cuts = [len(units) * t // threads for t in range(threads + 1)]
        parts = [slice(a, b) for a, b in itertools.pairwise(cuts) if a < b]
        with ThreadPoolExecutor(len(parts)) as pool:
            added = [pool.submit(compiled(_add), units[p], *words, into[p]) for p in parts]
        for part in added:
            part.result()
    return sums


def _add(
    units: np.ndarray,
    words: np.ndarray,
    shifts: np.ndarray,
    widths: np.ndarray,
    correction: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add every unit to its sums. Written as loops, to be compiled."""
    n, d = units.shape
    s, n_rows = shifts.shape
    length = words.shape[2]
    scale = np.float32(1.0 / np.sqrt(s))
    # Blocks twice as long as they are, so that no row is torn by the modulus. In the last, nothing
    # is shifted or subtracted: it is for the mean.
    wide = np.empty((s + 1, 2 * length + 2), dtype=np.float32)
    for j in range(n):
        wide[:] = np.float32(0.0)
        for first in range(0, n_rows, 32):
            end = min(first + 32, n_rows)
            for b in range(s):
                bits = words[b, first // 32]
                for m in range(first, end):
                    row = units[j, m * length : min((m + 1) * length, d)]
                    into = wide[b, shifts[b, m] : shifts[b, m] + length]
                    mask = np.uint32(1 << (m - first))
                    for i in range(row.size):
                        value = row[i]
                        if bits[i] & mask:
                            value = -value
                        into[i] += value
            into = wide[s]
            for m in range(first, end):
                row = units[j, m * length : min((m + 1) * length, d)]
                for i in range(row.size):
                    into[i] += row[i]
        mean = np.float64(0.0)
        for i in range(length):
            mean += wide[s, i]
        mean /= d
        t = 0
        for b in range(s):
            for i in range(widths[b]):
                total = scale * (wide[b, i] + wide[b, i + widths[b]])
                sums[j, t] = total + np.float32(mean * correction[t])
                t += 1


def gather(units: Tensor, sketch: Sketch) -> Tensor:
    """Project a batch (n, d) with what every device can do.

    For every sum its units are gathered and added: no two threads add to one place, so that the
    same bytes come out every time.
    """
    s, n_rows = sketch.shifts.shape
    length, longest = sketch.words.shape[2], int(sketch.widths.max())
    places = torch.arange(longest, device=units.device)
    bits = torch.arange(32, dtype=torch.int32, device=units.device)[:, None]
    widths = sketch.widths.to(units.device)[:, None, None]
    wide = units.new_zeros((len(units), s, longest))
    step = max(1, _GATHERED // (32 * length))
    for group in range(0, sketch.words.shape[1], step):
        first, end = 32 * group, min(32 * (group + step), n_rows)
        rows = units[:, first * length : end * length]
        missing = (end - first) * length - rows.shape[1]
        rows = torch.nn.functional.pad(rows, (0, missing))
        rows = rows.reshape(len(units), 1, end - first, length)
        words = sketch.words[:, group : group + step]
        subtracted = ((words[:, :, None] >> bits) & 1).flatten(1, 2)[:, : end - first]
        # Where a block is longer than a row, there is one place that no unit goes to.
        signed = torch.nn.functional.pad(rows * (1 - 2 * subtracted), (0, longest - length))
        source = (places - sketch.shifts[:, first:end, None]) % widths
        wide += signed.gather(3, source.expand(len(units), -1, -1, -1)).sum(2)
    sums = torch.cat([wide[:, b, :width] for b, width in enumerate(sketch.widths.tolist())], 1)
    return sums / math.sqrt(s) + units.mean(1, keepdim=True) * sketch.correction
