"""Principal components of layers with millions of units, from hundreds of stimuli.

Of n centred patterns X (n, d), the Gram matrix X Xᵀ (n, n) has the eigenvalues of the covariance,
but for the divisor, and its eigenvectors U give the components, Xᵀ U / √λ. Both products are sums
over units and are accumulated in double precision over blocks of them: memory holds n² numbers, one
block, and the components. The result is exact. An incremental PCA that goes over stimuli instead,
as scikit-learn's does, holds several matrices of (k + batch, d) doubles at once, drops variance at
every step, and depends on the order of the stimuli.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from probe.errors import ProbeError
from probe.output.replacing import replacing

_COLUMNS = 2**14  # units that a fit holds at once: as many as the store keeps in one piece
_TOGETHER = 16  # stimuli that a CPU projects at once
_IN_CACHE = 2**12  # units of them, whose loadings stay in the CPU's cache meanwhile
_ON_DEVICE = 2**18  # units that another device projects at once


class Values(Protocol):
    """An array (stimulus, neuroid) that is read in blocks: NumPy's, Zarr's, the store's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Stimuli, neuroids."""

    def __getitem__(self, index: Any, /) -> Any:
        """Read a block."""


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of one layer.

    Parameters
    ----------
    components : numpy.ndarray, shape (k, d), float32
        Orthonormal rows, the one with the largest variance first; zero where the fitted stimuli
        do not vary in so many directions.
    mean : numpy.ndarray, shape (d,), float32
    variance : numpy.ndarray, shape (k,), float64
        Of the fitted stimuli along every component (divisor n − 1).
    total_variance : float
        The same, summed over all units.
    """

    components: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    total_variance: float

    @classmethod
    def fit(cls, values: Values, k: int) -> Components:
        """Fit the first k components, or d where there are no more units.

        Parameters
        ----------
        values : array-like, shape (n, d)
            Read twice, in blocks of columns.
        k : int

        Raises
        ------
        ProbeError
            If a value is not finite.
        """
        n, d = values.shape
        rows = min(k, d)
        mean, gram, square = np.empty(d), np.zeros((n, n)), 0.0
        for part, block in _blocks(values):
            square += float(np.vdot(block, block))
            if not math.isfinite(square):
                raise ProbeError(
                    "an activation is NaN or infinite: principal components cannot be fitted"
                )
            mean[part] = block.mean(axis=0)
            block -= mean[part]
            gram += block @ block.T
        eigenvalues, eigenvectors = np.linalg.eigh(gram)
        eigenvalues, eigenvectors = eigenvalues[::-1][:rows], eigenvectors[:, ::-1][:, :rows]
        # Below is what rounding makes of no variance, in the products and in the subtracted mean.
        eps = n * np.finfo(np.float64).eps
        varies = eigenvalues > max(eps * eigenvalues[0], eps**2 * square)
        eigenvalues = np.where(varies, eigenvalues, 0.0)
        to_components = np.zeros((n, rows))
        to_components[:, varies] = eigenvectors[:, varies] / np.sqrt(eigenvalues[varies])
        components = np.empty((rows, d), dtype=np.float32)
        for part, block in _blocks(values):
            block -= mean[part]
            components[:, part] = to_components.T @ block
        # An eigenvector has no sign. As in scikit-learn, its largest entry is positive.
        largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, np.newaxis], 1)
        components *= np.where(largest < 0, np.float32(-1), np.float32(1))
        return cls(
            components,
            mean.astype(np.float32),
            eigenvalues / (n - 1),
            float(np.trace(gram)) / (n - 1),
        )

    def save(self, path: str | Path) -> None:
        """Write an npz file, whole or not at all."""
        with replacing(Path(path)) as partial, open(partial, "wb") as file:
            np.savez(
                file,
                components=self.components,
                mean=self.mean,
                variance=self.variance,
                total_variance=self.total_variance,
            )

    @classmethod
    def load(cls, path: str | Path) -> Components:
        """Read what `save` wrote.

        Raises
        ------
        ProbeError
            If the file is not there, or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                loaded = cls(
                    file["components"],
                    file["mean"],
                    file["variance"],
                    float(file["total_variance"]),
                )
            rows, d = loaded.components.shape
            if loaded.mean.shape != (d,) or loaded.variance.shape != (rows,):
                raise ValueError
        except FileNotFoundError:
            raise ProbeError(f"no principal components at {str(path)!r}") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError,
                zipfile.BadZipFile):  # fmt: skip
            raise ProbeError(
                f"file {str(path)!r} does not hold principal components, or is damaged: remove it, "
                "and they will be fitted again"
            ) from None
        return loaded

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return components and mean as tensors."""
        return (
            torch.from_numpy(self.components).to(device),
            torch.from_numpy(self.mean).to(device),
        )


def project(output: Tensor, components: Tensor, mean: Tensor) -> Tensor:
    """Project a batch onto components.

    Parameters
    ----------
    output : torch.Tensor, shape (n, *shape)
        In any memory format and precision.
    components : torch.Tensor, shape (k, d), float32
    mean : torch.Tensor, shape (d,), float32

    Returns
    -------
    torch.Tensor, shape (n, k), float32
    """
    output = output if output.ndim > 1 else output[:, None]
    on_cpu = output.device.type == "cpu"
    together, columns = (_TOGETHER, _IN_CACHE) if on_cpu else (len(output), _ON_DEVICE)
    # In blocks: brought into order and centred, the whole batch would take as much memory again.
    inner = len(mean) // output.shape[1]
    step = max(1, columns // inner)
    # A product's last digits depend on how many rows it has: on a CPU they are always as many, so
    # that a stimulus' values do not depend on the size of its batch.
    n_rows = len(output) + -len(output) % together
    values = components.new_zeros((n_rows, len(components)))
    # A network in half precision does not make a projection so.
    with torch.autocast(output.device.type, enabled=False):
        for first in range(0, output.shape[1], step):
            block = output[:, first : first + step].reshape(len(output), -1).float()
            part = slice(first * inner, first * inner + block.shape[1])
            block = block - mean[part]
            block = torch.nn.functional.pad(block, (0, 0, 0, n_rows - len(output)))
            loadings = components[:, part].T
            for row in range(0, n_rows, together):
                values[row : row + together] += block[row : row + together] @ loadings
    return values[: len(output)]


def _blocks(values: Values) -> Iterator[tuple[slice, np.ndarray]]:
    for first in range(0, values.shape[1], _COLUMNS):
        part = slice(first, min(first + _COLUMNS, values.shape[1]))
        yield part, np.array(values[:, part], dtype=np.float64)
