"""Activations on disk: one Zarr group per request, one array per layer.

The folder's name is a hash of everything that decides the values, so that the same request is
never computed twice and another request never reads a stale one. A shard of an array is a file,
which is renamed into place when it is complete; what is there is what was finished, whenever the
process was stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing

from probe.activations.shards import DamagedShard, ShardLayout
from probe.errors import ProbeError, suggest
from probe.output.replacing import PARTIAL_SUFFIX, replacing

if TYPE_CHECKING:
    from probe.activations.reduce import Reducer

FORMAT = 3
"""Of the folder; 1 had a file per chunk, and no checksums; 2, units in the module's own order."""

_BFLOAT16_NAN = 0x7FC0


class ActivationStore(Mapping[str, xr.DataArray]):
    """The activations of one network, one preprocessing and one stimulus set.

    A mapping of layers to labelled arrays (stimulus, neuroid), which are read when they are used.
    A layer goes by its path, or by its alias where the network is known by name.

    Parameters
    ----------
    path : path
        Folder of the store.

    Raises
    ------
    ProbeError
        If there is no store, one of an earlier version, or a damaged one.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        name = str(self.path)
        if not (self.path / "zarr.json").is_file():
            raise ProbeError(f"no activations in {name!r}; `probe cache ls` lists what there is")
        try:
            self._group = zarr.open_group(self.path, mode="r+", zarr_format=3)
            attributes = dict(self._group.attrs)
        except Exception as error:  # zarr raises many kinds
            raise _damaged(self.path, "zarr.json", error) from None
        if "request" not in attributes:
            raise ProbeError(f"{name!r} is a Zarr group, but holds no activations that probe wrote")
        if attributes.get("format") != FORMAT:
            raise ProbeError(
                f"{name!r} was written by another version of probe: extract again; "
                "`probe cache prune --old-format` frees the space"
            )
        try:
            self.request: dict[str, Any] = dict(attributes["request"])  # type: ignore[arg-type]
            self.about: dict[str, Any] = dict(attributes["about"])  # type: ignore[arg-type]
            self._stimuli: dict[str, list[Any]] = dict(attributes["stimuli"])  # type: ignore[arg-type]
            self.stimulus_ids = tuple(str(name) for name in self._stimuli["stimulus_id"])
            self.dtype = str(self.request["dtype"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path, "zarr.json", error) from None
        self._layers: dict[str, LayerArray] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        request: Mapping[str, Any],
        about: Mapping[str, Any],
        stimuli: Mapping[str, Sequence[Any]],
    ) -> ActivationStore:
        """Begin a store, or open the one that was begun.

        Parameters
        ----------
        path : path
            Folder of the store; its name is ``key_of(request)``.
        request : mapping
            Everything that decides the values, as plain JSON values.
        about : mapping
            What else a reader wants to know: names, versions.
        stimuli : mapping of str to sequence
            Columns: ``stimulus_id``, ``sha256`` (of content), and metadata.
        """
        if not (path / "zarr.json").exists():
            path.mkdir(parents=True, exist_ok=True)
            _write_group(path, request, about, stimuli)
        return cls(path)

    @property
    def key(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def n_stimuli(self) -> int:
        """Rows of every array."""
        return len(self.stimulus_ids)

    @property
    def stimuli(self) -> pd.DataFrame:
        """One row per stimulus: ``stimulus_id``, ``sha256`` (of the file), and metadata."""
        return pd.DataFrame(self._stimuli)

    @property
    def layers(self) -> list[str]:
        """Layers of which at least a part is there, in the order in which they were asked for."""
        folders = {_folder(layer) for layer in self._layers}
        for folder in self.path.iterdir():
            if folder.name not in folders and (folder / "zarr.json").is_file():
                array = LayerArray(folder)
                self._layers[array.layer] = array
        order = {layer: k for k, layer in enumerate(self.about.get("layers", []))}
        return sorted(self._layers, key=lambda layer: order.get(layer, len(order)))

    def create_layer(
        self, layer: str, shape: Sequence[int], axes: Sequence[str], reducer: Reducer
    ) -> None:
        """Make room for a layer.

        Parameters
        ----------
        layer : str
        shape : sequence of int
            Of the layer's output for one stimulus.
        axes : sequence of str
            What they are, as in `probe.models.LayerInfo`.
        reducer : Reducer
            Says how many neuroids of it are kept.
        """
        from zarr.codecs import Crc32cCodec

        if self._find(layer) is not None:
            return
        layout = ShardLayout.choose(self.n_stimuli, reducer.n_neuroids(tuple(shape)), self.dtype)
        self._group.create_array(
            _folder(layer),
            shape=(self.n_stimuli, layout.neuroids),
            chunks=(layout.rows, layout.chunk_columns),
            shards=(layout.rows, layout.n_chunks * layout.chunk_columns),
            # Zarr has no bfloat16: its bits are kept, and turned into float32 by `LayerArray`.
            dtype="uint16" if self.dtype == "bfloat16" else self.dtype,
            # Uncompressed: packing floats costs more time than the disk takes to swallow them.
            compressors=(Crc32cCodec(),),
            # A shard that is not there reads as NaN, never as a silent layer.
            fill_value=_BFLOAT16_NAN if self.dtype == "bfloat16" else float("nan"),
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=("stimulus", "neuroid"),
            attributes={
                "layer": layer,
                "shape": list(shape),
                "axes": list(axes),
                "dtype": self.dtype,
            },
        )
        with open(self.path / _folder(layer) / "zarr.json", "rb") as written:
            os.fsync(written.fileno())

    def array(self, layer: str) -> LayerArray:
        """Open one layer, complete or not.

        Raises
        ------
        ProbeError
            If the layer is not there.
        """
        array = self._find(layer)
        if array is None:
            names = [*self.layers, *(a for a in self._aliases if self._find(a) is not None)]
            raise ProbeError(f"no activations of layer {layer!r}{suggest(layer, names)}")
        return array

    def complete(self, layer: str) -> LayerArray:
        """Open one layer, of which nothing is missing.

        Raises
        ------
        ProbeError
            If the layer is not there, or not complete.
        """
        array = self.array(layer)
        if not array.done().all():
            raise ProbeError(
                f"activations of layer {layer!r} exist for {array.share_done():.0%} of the stimuli "
                "only: repeat the same extraction to complete them"
            )
        return array

    def __getitem__(self, layer: str) -> xr.DataArray:
        return self.open_layer(layer)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __contains__(self, layer: object) -> bool:
        return isinstance(layer, str) and self._find(layer) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActivationStore) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def open_layer(self, layer: str) -> xr.DataArray:
        """Open one layer as a labelled array that is read when it is used.

        Returns
        -------
        xarray.DataArray, dims (stimulus, neuroid), float32
            Coordinates ``stimulus_id`` and the metadata of the stimuli; and of the neuroids
            ``channel``, ``y`` and ``x`` (a convolution), ``token`` and ``channel`` (a transformer),
            or ``component`` (a projection).

        Raises
        ------
        ProbeError
            If the layer is not there, or not complete.
        """
        from probe.activations.reduce import from_key

        array = self.complete(layer)
        layer = array.layer  # an alias has no random numbers of its own
        data = indexing.LazilyIndexedArray(array)
        stimuli = self.stimuli.drop(columns="sha256")
        coords: dict[str, Any] = {
            str(name): ("stimulus", stimuli[name].to_numpy()) for name in stimuli
        }
        reducer = from_key(self.request["reducer"])
        if reducer.n_neuroids(array.output_shape) != array.shape[1]:
            reason = ValueError(f"shape {array.output_shape} of {array.shape[1]} neuroids")
            raise _damaged(self.path, f"{array.path.name}/zarr.json", reason)
        for name, values in reducer.coords(layer, array.output_shape, array.axes).items():
            coords[name] = ("neuroid", values)
        return xr.DataArray(
            xr.Variable(("stimulus", "neuroid"), data),
            coords,
            name=layer,
            attrs={k: v for k, v in self.about.items() if isinstance(v, (str, int, float))},
        )

    def n_bytes(self) -> int:
        """Size on disk, in bytes."""
        sizes = [
            _size(Path(folder, name)) for folder, _, names in os.walk(self.path) for name in names
        ]
        return sum(sizes)

    def sweep(self) -> None:
        """Remove what a killed process left of shards that it was writing."""
        for torn in self.path.rglob(f"*{PARTIAL_SUFFIX}"):
            torn.unlink(missing_ok=True)

    def remember(self, **about: Any) -> None:
        """Add to what a reader wants to know."""
        if any(self.about.get(name) != value for name, value in about.items()):
            self.about |= about
            self._describe()

    def refresh(self, stimuli: Mapping[str, Sequence[Any]]) -> None:
        """Take the metadata that the stimuli have now; what they show is the same."""
        columns = {name: list(values) for name, values in stimuli.items()}
        if columns != self._stimuli:
            self._stimuli = columns
            self._describe()

    def _describe(self) -> None:
        """Write what is known of the store."""
        _write_group(self.path, self.request, self.about, self._stimuli)

    def touch(self) -> None:
        """Note that it was used now: the time at which its folder was changed."""
        with suppress(OSError):  # one that may only be read
            os.utime(self.path)

    def delete(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.path, ignore_errors=True)

    def __repr__(self) -> str:
        of = f"{self.about.get('model', '?')}, {self.n_stimuli:,} stimuli"
        return f"<activations {self.key[:8]} of {of}: {len(self)} layers in {str(self.path)!r}>"

    def summary(self) -> pd.DataFrame:
        """Return what a store holds, one row per layer.

        Returns
        -------
        pandas.DataFrame
            Columns ``layer``; ``shape`` of the layer's output for one stimulus, such as
            ``256×13×13``; ``neuroids`` that are kept of it; ``complete``, the share of the stimuli
            that is there, 0 to 1; and ``GB`` of them on disk.
        """
        rows = []
        for layer in self.layers:
            array = self.array(layer)
            rows.append(
                {
                    "layer": layer,
                    "shape": "×".join(map(str, array.output_shape)),
                    "neuroids": array.shape[1],
                    "complete": array.share_done(),
                    "GB": len(array.shards()) * array.layout.n_bytes / 1e9,
                }
            )
        return pd.DataFrame(rows, columns=["layer", "shape", "neuroids", "complete", "GB"])

    def _repr_html_(self) -> str:
        title = f"<p>{self!r}</p>".replace("<a", "&lt;a").replace("'>", "'&gt;")
        return title + self.summary().to_html(index=False)

    @property
    def _aliases(self) -> dict[str, str]:
        """Paths of layers, by their aliases."""
        return dict(self.about.get("aliases", {}))

    def _find(self, layer: str) -> LayerArray | None:
        layer = self._aliases.get(layer, layer)
        if layer not in self._layers:
            folder = self.path / _folder(layer)
            if not (folder / "zarr.json").is_file():
                return None
            self._layers[layer] = LayerArray(folder)
        return self._layers[layer]


class LayerArray(BackendArray):
    """One layer on disk, as NumPy would have it: shape, dtype, and parts that are read by index.

    Attributes
    ----------
    shape : tuple of int
        (stimuli, neuroids).
    dtype : numpy.dtype
        float32, whatever is on disk.
    chunks : tuple of int
        Stimuli and neuroids of what is read together.
    layout : ShardLayout
    output_shape : tuple of int
        Of the layer's output for one stimulus, before it was reduced.
    axes : tuple of str
        What they are: ``channel``, ``y``, ``x``, ``token``; empty where that is not known.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            array = zarr.open_array(path, mode="r", zarr_format=3)
            attributes: Mapping[str, Any] = array.attrs.asdict()
            self.layer = str(attributes["layer"])
            self.output_shape = tuple(int(n) for n in attributes["shape"])
            self.axes = tuple(map(str, attributes["axes"]))
            self.shape = (int(array.shape[0]), int(array.shape[1]))
            rows = int(array.chunks[0])
            self.layout = ShardLayout(rows, self.shape[1], str(attributes["dtype"]))
            if array.chunks[1] != self.layout.chunk_columns:
                raise ValueError(f"chunks of {array.chunks[1]} neuroids")
        except Exception as error:  # zarr raises many kinds
            raise _damaged(path.parent, f"{path.name}/zarr.json", error) from None
        self.chunks = (rows, self.layout.chunk_columns)

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def shard(self, k: int) -> Path:
        """File of the k-th shard."""
        return self.path / f"c.{k}.0"

    def shards(self) -> list[Path]:
        """Files of the shards that are there, in order."""
        return [self.shard(int(k)) for k in np.flatnonzero(self._there())]

    def done(self) -> np.ndarray:
        """Return which shards are there: bool, (n_shards,)."""
        return self._there()

    def rows_done(self) -> np.ndarray:
        """Return of which stimuli the activations are there: bool, (n_stimuli,)."""
        return np.repeat(self._there(), self.layout.rows)[: self.shape[0]]

    def share_done(self) -> float:
        """Share of the stimuli whose activations are there, 0 to 1."""
        return float(self.rows_done().mean()) if self.shape[0] else 1.0

    def _there(self) -> np.ndarray:
        # A file of another size is one that a power cut, or a full disk, has cut short.
        there = np.zeros(self.layout.n_shards(self.shape[0]), dtype=bool)
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                parts = entry.name.split(".")
                if len(parts) == 3 and parts[0] == "c" and parts[1].isdecimal():
                    k = int(parts[1])
                    if k < len(there) and parts[2] == "0":
                        there[k] = entry.stat().st_size == self.layout.n_bytes
        return there

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, indexing.ExplicitIndexer):  # xarray's way of asking
            return indexing.explicit_indexing_adapter(
                key, self.shape, indexing.IndexingSupport.OUTER, self._read
            )
        return self._read(key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._read((slice(None), slice(None))), dtype=dtype)

    def _read(self, key: Any) -> np.ndarray:
        """Read the rows and columns of ``key``, each an index, a slice or an array of indices."""
        row_key, column_key = key if isinstance(key, tuple) else (key, slice(None))
        rows = np.arange(self.shape[0])[row_key]
        columns = np.arange(self.shape[1])[column_key]
        values = np.empty((rows.size, columns.size), dtype=np.float32)
        if values.size:
            self._read_into(values, np.atleast_1d(rows), np.atleast_1d(columns))
        return values.reshape(rows.shape + columns.shape)

    def _read_into(self, out: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        size, width = self.layout.rows, self.layout.chunk_columns
        # Chunks that lie side by side are read at once, and those between them with them.
        first, end = columns.min() // width, columns.max() // width + 1
        side_by_side = isinstance(_as_slice(columns), slice)
        for k in np.unique(rows // size):
            at = np.flatnonzero(rows // size == k)
            try:
                chunks = self.layout.read(self.shard(int(k)), first, end)
            except FileNotFoundError:
                raise ProbeError(
                    f"activations of layer {self.layer!r} are missing or were removed: "
                    f"{str(self.shard(int(k)))!r} does not exist; extract them again"
                ) from None
            except DamagedShard as error:
                raise ProbeError(
                    f"activations of layer {self.layer!r} are damaged: {error}; `probe cache "
                    "verify --repair` removes the damaged files, and the same extraction computes "
                    "them again"
                ) from error
            to, inside = _as_slice(at), _as_slice(rows[at] - k * size)
            if not side_by_side:
                of_rows = chunks[:, inside].swapaxes(0, 1).reshape(len(at), -1)
                out[to] = of_rows[:, columns - first * width]
                continue
            for chunk, start in zip(chunks, range(first * width, end * width, width), strict=True):
                left, right = max(start, columns[0]), min(start + width, columns[-1] + 1)
                out[to, left - columns[0] : right - columns[0]] = chunk[
                    inside, left - start : right - start
                ]


def _as_slice(indices: np.ndarray) -> np.ndarray | slice:
    """Return a slice where indices follow one another, of which NumPy makes no copy."""
    first = int(indices[0])
    if (indices == np.arange(first, first + indices.size)).all():
        return slice(first, first + indices.size)
    return indices


def key_of(request: Mapping[str, Any]) -> str:
    """Hash everything that decides the values, for the name of a folder."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]


def _write_group(
    path: Path,
    request: Mapping[str, Any],
    about: Mapping[str, Any],
    stimuli: Mapping[str, Sequence[Any]],
) -> None:
    """Write the description of a group of Zarr v3, in one piece that outlives a power cut."""
    attributes = {
        "format": FORMAT,
        "request": dict(request),
        "about": dict(about),
        "stimuli": {name: list(values) for name, values in stimuli.items()},
    }
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    write_text(path / "zarr.json", json.dumps(group, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write a small file that is there entirely, or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _damaged(path: Path, file: str, error: BaseException) -> ProbeError:
    reason = str(error).split("\n")[0]
    return ProbeError(
        f"activations in {str(path)!r} are damaged: {file} cannot be read ({reason}); "
        f"`probe cache prune {path.name[:8]}` removes them"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _folder(layer: str) -> str:
    # A colon cannot stand in a file name everywhere.
    return layer.replace(":", "@")
