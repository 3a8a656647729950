"""Activations on disk: one Zarr group per request, one array per layer.

The folder's name is a hash of everything that decides the values, so that the same request is
never computed twice and another request never reads a stale one. A batch of stimuli is a row of
chunks, each of them renamed into place when it is complete; what is there is what was finished,
whenever the process was stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from probe.errors import ProbeError, suggest

CHUNK_NEUROIDS = 2**14
"""Neuroids per chunk: an RDM reads all stimuli of some neuroids, extraction writes all neuroids of
some stimuli; 16,384 float32 values of a batch of 64 are 4 MB, which suits both."""


class ActivationStore:
    """The activations of one network, one preprocessing and one stimulus set.

    Parameters
    ----------
    root : path
        Folder of all stores.
    request : mapping
        Everything that decides the values, as plain JSON values; its hash names the store.
    stimulus_ids : sequence of str
        Rows of every array, in order.
    batch_size : int
        Stimuli per chunk; a store that exists keeps the one it was begun with.
    """

    def __init__(
        self,
        root: Path,
        request: Mapping[str, Any],
        stimulus_ids: Sequence[str],
        batch_size: int,
    ) -> None:
        self.path = root / key_of(request)
        self.stimulus_ids = tuple(stimulus_ids)
        self._group = zarr.open_group(self.path, mode="a", zarr_format=3)
        if "request" not in self._group.attrs:
            self._group.attrs.update(
                {
                    "request": dict(request),
                    "stimulus_id": list(self.stimulus_ids),
                    "batch_size": batch_size,
                }
            )
        self.batch_size = int(self._group.attrs["batch_size"])  # type: ignore[arg-type]

    @property
    def n_batches(self) -> int:
        """Rows of chunks in every array."""
        return math.ceil(len(self.stimulus_ids) / self.batch_size)

    def rows(self, batch: int) -> range:
        """Positions of the stimuli of one batch."""
        start = batch * self.batch_size
        return range(start, min(start + self.batch_size, len(self.stimulus_ids)))

    def missing(self, layers: Sequence[str]) -> list[int]:
        """Batches of which any of the layers lacks a chunk, in order."""
        incomplete: set[int] = set()
        for layer in layers:
            array = self._find(layer)
            if array is None:
                return list(range(self.n_batches))
            n_columns = math.ceil(array.shape[1] / array.chunks[1])
            chunks = self.path / _folder(layer) / "c"
            for batch in range(self.n_batches):
                row = chunks / str(batch)
                there = [p.name for p in row.iterdir()] if row.is_dir() else []
                if sum(name.isdecimal() for name in there) < n_columns:
                    incomplete.add(batch)
        return sorted(incomplete)

    def sweep(self, layers: Sequence[str]) -> None:
        """Remove what a killed process left of chunks that it was writing."""
        for layer in layers:
            for torn in (self.path / _folder(layer)).rglob("*.partial"):
                torn.unlink(missing_ok=True)

    def write(self, layer: str, batch: int, values: np.ndarray, shape: Sequence[int]) -> None:
        """Write one batch of one layer.

        Parameters
        ----------
        layer : str
        batch : int
        values : numpy.ndarray, shape (stimuli of the batch, neuroids), float32
        shape : sequence of int
            Shape of the layer's output for one stimulus; its product is the number of neuroids.
        """
        array = self._find(layer)
        if array is None:
            array = self._create(layer, shape)
        rows = self.rows(batch)
        array[rows.start : rows.stop] = values

    def array(self, layer: str) -> zarr.Array:
        """Open one layer for reading.

        Returns
        -------
        zarr.Array, shape (stimulus, neuroid), float32

        Raises
        ------
        ProbeError
            If the layer is not there, or not complete.
        """
        array = self._find(layer)
        if array is None:
            raise ProbeError(f"no activations of layer {layer!r}{suggest(layer, self.layers)}")
        if self.missing([layer]):
            raise ProbeError(f"activations of layer {layer!r} are incomplete: extract them again")
        return array

    def open(self, layer: str) -> xr.DataArray:
        """Open one layer as a labelled array that is read when it is used.

        Returns
        -------
        xarray.DataArray, dims (stimulus, neuroid), float32
            Coordinates ``stimulus_id`` and, as far as the layer's shape has them, ``channel``,
            ``y`` and ``x`` (a convolution) or ``token`` and ``channel`` (a transformer).
        """
        array = self.array(layer)
        folder = _folder(layer)
        others = [name for name in self._group.array_keys() if name != folder]
        data = xr.open_zarr(self.path, drop_variables=others, chunks=None, consolidated=False)
        shape: Any = tuple(array.attrs["shape"])  # type: ignore[arg-type]
        axes = {3: ("channel", "y", "x"), 2: ("token", "channel"), 1: ("channel",)}.get(len(shape))
        coords: dict[str, Any] = {"stimulus_id": ("stimulus", list(self.stimulus_ids))}
        if axes:
            places = np.indices(shape).reshape(len(shape), -1)
            coords |= {axis: ("neuroid", place) for axis, place in zip(axes, places, strict=True)}
        return data[folder].assign_coords(coords).rename(layer)

    @property
    def layers(self) -> list[str]:
        """Layers of which at least a part is there."""
        return [str(array.attrs["layer"]) for _, array in self._group.arrays()]

    def delete(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _find(self, layer: str) -> zarr.Array | None:
        found = self._group.get(_folder(layer))
        return found if isinstance(found, zarr.Array) else None

    def _create(self, layer: str, shape: Sequence[int]) -> zarr.Array:
        n_neuroids = math.prod(shape)
        return self._group.create_array(
            _folder(layer),
            shape=(len(self.stimulus_ids), n_neuroids),
            chunks=(self.batch_size, min(n_neuroids, CHUNK_NEUROIDS)),
            dtype="float32",
            # Uncompressed: packing floats costs more time than the disk takes to swallow them.
            compressors=None,
            # A chunk that is not there reads as NaN, never as a silent layer; and a batch to
            # which a layer is silent is written all the same, so that it counts as done.
            fill_value=float("nan"),
            config={"write_empty_chunks": True},
            dimension_names=("stimulus", "neuroid"),
            attributes={"layer": layer, "shape": list(shape)},
        )


def key_of(request: Mapping[str, Any]) -> str:
    """Hash everything that decides the values, for the name of a folder."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]


def _folder(layer: str) -> str:
    # A colon cannot stand in a file name everywhere.
    return layer.replace(":", "@")
