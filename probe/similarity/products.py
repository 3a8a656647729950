"""Sums of products over blocks of neuroids: what every RDM metric here is made of.

A matrix of responses may be larger than memory, so it is read once, a block of neuroids at a time,
and each block adds its inner products to one (stimuli × stimuli) matrix. NumPy does that with the
symmetric updates of BLAS, which compute one triangle in place, some blocks side by side; PyTorch
does it on its devices. The metrics are written once, for both, in terms of `Products`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from probe.similarity.blas import single_threaded, symmetric_update
from probe.similarity.threads import n_threads

BLOCK_BYTES = 2**26
"""Size of one block of neuroids on a device of its own, in bytes of what is computed with."""

CACHED_BYTES = 2**22
"""Size of one block in NumPy: from one step to the next it stays in the caches of a processor."""

LEAST_WIDTH = 2048
"""Neuroids in a block of very many stimuli, at least: each block goes over the whole matrix of
products, which is too large for the caches then."""

MOST_PARTS, PARTS_BYTES = 4, 2**26
"""Matrices of products that are summed side by side at most, and their size together, in bytes."""

DTYPES = ("float64", "float32")

T = TypeVar("T")

Finish = Callable[[np.ndarray, slice, slice], None]
"""Turns a tile (rows, columns) of a matrix of products into distances, in place."""


class Products(Protocol):
    """The few operations on blocks that NumPy and PyTorch spell differently."""

    xp: Any
    dtype: str

    def block_width(self, n_rows: int) -> int:
        """Choose how many neuroids a block of so many rows takes."""

    def n_parts(self, n_rows: int) -> int:
        """Choose how many matrices of products are summed side by side."""

    def array(self, values: Any) -> Any:
        """Copy values into a C-contiguous array of ``dtype`` that may be written to."""

    def zeros(self, *shape: int) -> Any:
        """Make an array of zeros."""

    def add(self, gram: Any, a: Any, b: Any = None, alpha: float = 1.0) -> None:
        """Add ``alpha · a aᵀ``, or ``alpha · (a bᵀ + b aᵀ) / 2``, to the upper triangle."""

    def add_all(self, gram: Any, terms: Iterable[tuple[Any, ...]]) -> None:
        """Add the products of all terms, ``(a,)`` or ``(a, b)``, which are not changed later."""

    def times(self, block: Any, triangle: Any) -> Any:
        """Multiply rows by a lower triangular matrix; ``block`` may be used up."""

    def sums(self, block: Any, groups: np.ndarray, n_groups: int) -> Any:
        """Sum the rows of each group."""

    def numpy(self, values: Any) -> np.ndarray:
        """Bring values to the host, as they are."""

    def device_free_bytes(self) -> int | None:
        """How much memory the device has free, if it has one of its own that can be asked."""


class _NumPyProducts:
    """Blocks in NumPy, products in the BLAS that SciPy brings."""

    xp: Any = np

    def __init__(self, dtype: str) -> None:
        from scipy.linalg import blas

        self.dtype = dtype
        self._update = symmetric_update(dtype)
        # Not NumPy's ``@``: it brings a BLAS of its own, and the idle threads of one of them, which
        # wait awake, would be in the way of the other's.
        self._trmm = blas.dtrmm if dtype == "float64" else blas.strmm

    def block_width(self, n_rows: int) -> int:
        return max(1, CACHED_BYTES // (8 * n_rows), min(n_rows, LEAST_WIDTH))

    def n_parts(self, n_rows: int) -> int:
        gram_bytes = n_rows**2 * np.dtype(self.dtype).itemsize
        return max(1, min(MOST_PARTS, PARTS_BYTES // gram_bytes))

    def array(self, values: Any) -> np.ndarray:
        return np.array(values, dtype=self.dtype, order="C")

    def zeros(self, *shape: int) -> np.ndarray:
        return np.zeros(shape, dtype=self.dtype)

    def add(
        self, gram: np.ndarray, a: np.ndarray, b: np.ndarray | None = None, alpha: float = 1.0
    ) -> None:
        self._update(gram, a, b, alpha)

    def add_all(self, gram: np.ndarray, terms: Iterable[tuple[Any, ...]]) -> None:
        n_parts = self.n_parts(len(gram))
        terms = iter(terms)
        first = list(itertools.islice(terms, 2))
        n_first, terms = len(first), _one_by_one(first, terms)
        if n_parts < 2 or n_first < 2:
            for term in terms:
                self._update(gram, *term)
            return
        # The k-th term goes to the same part for any number of threads, so that sums are the same.
        parts = [gram, *(np.zeros_like(gram) for _ in range(n_parts - 1))]
        pending: list[Future[None] | None] = [None] * n_parts
        with single_threaded(), ThreadPoolExecutor(min(n_parts, n_threads())) as pool:
            for k, term in enumerate(terms):
                if (before := pending[k % n_parts]) is not None:
                    before.result()
                pending[k % n_parts] = pool.submit(self._update, parts[k % n_parts], *term)
            for last in pending:
                if last is not None:
                    last.result()
        for part in parts[1:]:
            gram += part

    def times(self, block: np.ndarray, triangle: np.ndarray) -> np.ndarray:
        return self._trmm(1.0, triangle.T, block.T, overwrite_b=1).T

    def sums(self, block: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
        from scipy.sparse import csr_array

        n = len(groups)
        ones = np.ones(n, dtype=self.dtype)
        return csr_array((ones, (groups, np.arange(n))), shape=(n_groups, n)) @ block

    def numpy(self, values: np.ndarray) -> np.ndarray:
        return values

    def device_free_bytes(self) -> int | None:
        return None


def _one_by_one(first: list[T], rest: Iterable[T]) -> Iterator[T]:
    """Chain two, holding none of what was handed on: blocks are large."""
    while first:
        yield first.pop(0)
    yield from rest


class _TorchProducts:
    """Blocks and products in PyTorch, on one of its devices."""

    def __init__(self, dtype: str, device: Any) -> None:
        import torch

        self.xp: Any = torch
        self.dtype = dtype
        self._dtype = getattr(torch, dtype)
        self._device = torch.device(device)
        if self._device.type == "mps" and dtype == "float64":
            raise ValueError("device 'mps' has no float64: pass dtype='float32'")
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError("device 'cuda': PyTorch sees no CUDA device here")

    def block_width(self, n_rows: int) -> int:
        return max(1, BLOCK_BYTES // (8 * n_rows))

    def n_parts(self, n_rows: int) -> int:
        return 1

    def array(self, values: Any) -> Any:
        torch = self.xp
        if not isinstance(values, torch.Tensor):
            values = np.asarray(values)
            if values.dtype.kind != "f" or not values.dtype.isnative:
                values = values.astype(self.dtype)
            values = torch.from_numpy(np.array(values, order="C"))
        # In a layout of its own: a slice of columns is not contiguous.
        blank = torch.empty(values.shape, dtype=self._dtype, device=self._device)
        return blank.copy_(values.detach())

    def zeros(self, *shape: int) -> Any:
        return self.xp.zeros(shape, dtype=self._dtype, device=self._device)

    def add(self, gram: Any, a: Any, b: Any = None, alpha: float = 1.0) -> None:
        if b is None:
            gram.addmm_(a, a.T, alpha=alpha)
        else:
            gram.addmm_(a, b.T, alpha=alpha / 2.0)
            gram.addmm_(b, a.T, alpha=alpha / 2.0)

    def add_all(self, gram: Any, terms: Iterable[tuple[Any, ...]]) -> None:
        for term in terms:
            self.add(gram, *term)

    def times(self, block: Any, triangle: Any) -> Any:
        return block @ triangle

    def sums(self, block: Any, groups: np.ndarray, n_groups: int) -> Any:
        where = self.xp.from_numpy(np.asarray(groups, dtype=np.int64)).to(self._device)
        return self.zeros(n_groups, block.shape[1]).index_add_(0, where, block)

    def numpy(self, values: Any) -> np.ndarray:
        return values.cpu().numpy()

    def device_free_bytes(self) -> int | None:
        if self._device.type != "cuda":
            return None
        cuda = self.xp.cuda
        # What PyTorch keeps for itself and does not use is free to it.
        unused = cuda.memory_reserved(self._device) - cuda.memory_allocated(self._device)
        return int(cuda.mem_get_info(self._device)[0] + unused)


def products_for(x: Any, dtype: str, device: Any) -> tuple[Any, Products]:
    """Choose where to compute: in PyTorch for a tensor or a named device, in NumPy otherwise.

    Returns
    -------
    x : array-like
        With a ``shape``.
    Products
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    # PyTorch takes a second to import: whoever passes no tensor does not wait for it.
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(x, torch.Tensor)
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    if is_tensor or device is not None:
        return x, _TorchProducts(dtype, x.device if device is None else device)
    return x, _NumPyProducts(dtype)


def host_free_bytes() -> int:
    """How much memory this machine has free."""
    import psutil

    return int(psutil.virtual_memory().available)


def require_memory(n: int, work_bytes: int, products: Products) -> None:
    """Refuse an RDM of ``n`` stimuli, and ``work_bytes`` beside it, that memory cannot hold.

    Raises
    ------
    ValueError
        That says what is needed and what is free.
    """
    gram = n * n * np.dtype(products.dtype).itemsize
    # NumPy's float64 matrix itself becomes the condensed vector, see `condense`.
    in_place = isinstance(products, _NumPyProducts) and products.dtype == "float64"
    condensed = 0 if in_place else n * (n - 1) // 2 * 8
    host = host_free_bytes()
    needs = [(gram + work_bytes + condensed, host)]
    if (free := products.device_free_bytes()) is not None:
        needs = [(gram + work_bytes, free), (gram + condensed, host)]
    for needed, free in needs:
        if needed > free:
            raise ValueError(
                f"the RDM of {n:,} stimuli needs {needed / 1e9:.3g} GB of memory, "
                f"{free / 1e9:.3g} GB are free: leave out stimuli, or free some memory"
            )


def block_width(n_rows: int, products: Products, block_bytes: int | None) -> int:
    """Return how many neuroids a block takes, of so many bytes or of what suits the products."""
    if block_bytes is None:
        return products.block_width(n_rows)
    return max(1, block_bytes // (8 * n_rows))


def blocks(
    x: Any, products: Products, block_bytes: int | None = None
) -> Iterator[tuple[slice, Any]]:
    """Read ``x`` (rows, neuroids) once; yield the columns of a block, and a copy to compute with.

    Where ``x`` lies in chunks, whole ones are read, so that none is decoded twice, and handed on
    in blocks of ``block_bytes``, by default of what suits the products.
    """
    n_rows, n_columns = x.shape
    width = read = block_width(n_rows, products, block_bytes)
    chunks = getattr(x, "chunks", None)
    if chunks is not None:
        chunk = int(np.max(chunks[1]))
        read = max(chunk, width // chunk * chunk)
        row_bytes = n_rows * getattr(x, "dtype", np.dtype(np.float64)).itemsize
        # But for chunks so wide that a strip of them could fill the memory.
        read = min(read, max(width, host_free_bytes() // 4 // row_bytes))
        width = min(width, read)
    for start in range(0, n_columns, read):
        strip = x[:, start : start + read]
        if not hasattr(strip, "device"):  # neither NumPy nor PyTorch: read it now, and once
            strip = np.asarray(strip)
        for first in range(0, strip.shape[1], width):
            with np.errstate(over="ignore"):
                block = products.array(strip[:, first : first + width])
            yield slice(start + first, start + first + block.shape[1]), block


def whitening(precision: Any, n_neuroids: int) -> np.ndarray:
    r"""Root of a noise precision: with it, a Mahalanobis distance is a Euclidean one.

    Parameters
    ----------
    precision : array-like, shape (n_neuroids, n_neuroids) or (n_neuroids,)
        Inverse covariance of the noise; its diagonal alone if the noise is uncorrelated.
    n_neuroids : int

    Returns
    -------
    numpy.ndarray
        Lower triangular :math:`W` with :math:`W W^\top` the precision, or the square roots of its
        diagonal.

    Raises
    ------
    ValueError
        If the precision has another shape or is not finite, symmetric and positive definite.
    """
    if hasattr(precision, "detach"):
        precision = precision.detach().cpu()
    precision = np.asarray(precision, dtype=np.float64)
    if precision.shape not in ((n_neuroids, n_neuroids), (n_neuroids,)):
        raise ValueError(
            f"precision has shape {precision.shape}: expected ({n_neuroids}, {n_neuroids}), or "
            f"({n_neuroids},) for a diagonal one"
        )
    if not np.isfinite(precision).all():
        raise ValueError("precision holds a NaN or infinite value")
    if precision.ndim == 1:
        if (precision <= 0.0).any():
            raise ValueError("precision is not positive definite: a value is zero or negative")
        return np.sqrt(precision)
    scale = np.abs(precision).max()
    if np.abs(precision - precision.T).max() > 1e-8 * scale:
        raise ValueError("precision is not symmetric")
    from scipy.linalg import cholesky

    try:
        return cholesky((precision + precision.T) / 2.0, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        raise ValueError("precision is not positive definite") from None


def whitened(
    source: Iterable[tuple[slice, Any]],
    root: np.ndarray | None,
    shape: tuple[int, int],
    products: Products,
) -> Iterator[Any]:
    """Multiply blocks of a matrix (rows, neuroids) by the root that `whitening` gives.

    A diagonal keeps the blocks apart. A full matrix mixes all neuroids, which are therefore held.
    """
    if root is None:
        yield from (block for _, block in source)
        return
    weights = products.array(root)
    if root.ndim == 1:
        for columns, block in source:
            block *= weights[columns]
            yield block
        return
    result = products.zeros(*shape)
    for columns, block in source:
        result[:, columns] = block
    yield products.times(result, weights)


def condense(gram: np.ndarray, finish: Finish) -> np.ndarray:
    """Turn the upper triangle of a matrix of products into a condensed vector of distances.

    Parameters
    ----------
    gram : numpy.ndarray, shape (n, n)
        Is used up: a float64 matrix that owns its memory becomes the vector, in place.
    finish : callable
        Makes distances of a float64 tile, see `Finish`.

    Returns
    -------
    numpy.ndarray, shape (n * (n - 1) / 2,), float64
    """
    n = len(gram)
    n_pairs = n * (n - 1) // 2
    in_place = gram.dtype == np.float64 and gram.flags.owndata and gram.flags.c_contiguous
    out = gram.reshape(-1) if in_place else np.empty(n_pairs)
    height = max(1, 2**17 // n)
    end = 0
    for start in range(0, n, height):
        rows, columns = slice(start, min(start + height, n)), slice(start, n)
        tile = gram[rows, columns].astype(np.float64)
        finish(tile, rows, columns)
        # In place, the vector never catches up with the rows that are still to be read.
        for k, row in enumerate(tile):
            begin, end = end, end + len(row) - 1 - k
            out[begin:end] = row[k + 1 :]
    if not in_place:
        return out
    del out
    gram.resize(n_pairs, refcheck=False)  # gives the rest back, without a copy
    return gram
