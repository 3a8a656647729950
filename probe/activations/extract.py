"""Activations of a stimulus set: each computed once, and kept, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import PIL
import torch
from torch import Tensor, nn

from probe import assets, images, models
from probe.activations import batch_size as batch_sizes
from probe.activations import reduce as reducers
from probe.activations.engine import LEAST_BATCH, PIXELS, Job, compute, output_shapes
from probe.activations.reduce import PCA, Components, Reducer, Unreduced
from probe.activations.shards import ShardLayout, ShardWriter, shard_writer
from probe.activations.store import FORMAT, ActivationStore, LayerArray, key_of
from probe.cluster import Cluster
from probe.errors import ProbeError
from probe.extraction_settings import NO_AUTOCAST, ExtractSettings, precision_of
from probe.models import Network
from probe.models.devices import devices_of, out_of_memory, resolve_device
from probe.models.layouts import ORDERS
from probe.models.preprocessing import Preprocessing
from probe.models.vision import import_torchvision
from probe.models.weights import state_sha256
from probe.progress import finishing, note, track
from probe.stimuli import StimulusSet

if TYPE_CHECKING:
    from probe.activations.pictures import Pictures

WHOLE = Unreduced()

RESERVED = ("sha256", "stimulus", "neuroid", "channel", "y", "x", "token", "component", "unit")
"""Names that a column of the stimuli's metadata cannot have in a store."""

SCATTERED = 8
"""Times the stimuli of a shard, that are read at most to copy it from another store."""

OPTIONS = ("reduce", "dtype", "precision", "batch_size", "device", "folder", "force", "seed")
"""Of `ExtractSettings`, those that `extract` takes."""

TASKS = 256
"""Into which the work is cut for a cluster, at most."""


class Identity(NamedTuple):
    """What tells a network from all others, but for what its pictures go through first.

    Attributes
    ----------
    model : str
        Its name.
    weights, modules : str
        Hashes of its state, and of what it computes besides.
    """

    model: str
    weights: str
    modules: str

    @classmethod
    def of(cls, network: Network) -> Identity:
        """Look at a network as it is now: whoever loaded it may have cut or changed it since.

        A module of the user's own may compute anything with the same weights, and something else
        after the next edit: it is never taken for an earlier one.
        """
        module = network.module
        is_unique = network.weights.kind == "user" or _is_tampered_with(module)
        return cls(
            uuid.uuid4().hex if is_unique else network.name,
            state_sha256(module.state_dict()),
            _hash_of_modules(module),
        )


def request_of(
    identity: Identity,
    preprocessing: Preprocessing,
    stimuli: StimulusSet,
    device: str,
    *,
    reducer: Reducer = WHOLE,
    dtype: str = "float32",
    autocast: str = NO_AUTOCAST,
) -> dict[str, Any]:
    """Return everything that decides the values of activations, as plain values.

    Parameters
    ----------
    identity : Identity
    preprocessing : Preprocessing
    stimuli : StimulusSet
    device : str
        Its kind: a GPU convolves with fewer digits (TF32), unless told otherwise.
    reducer, dtype, autocast
        As in `Extraction`.
    """
    return {
        "format": FORMAT,
        **identity._asdict(),
        "preprocessing": preprocessing.key(),
        "stimuli": stimuli.hash,
        "reducer": reducer.key(),
        "dtype": dtype,
        "autocast": autocast,
        "device": device,
        **versions_of(identity.model),
    }


def versions_of(model: str) -> dict[str, str]:
    """Return the versions of what changes the last digits of a network's activations."""
    return {
        # Kernels change between releases, and values with them in the last digits.
        "torch": torch.__version__,
        "torchvision": import_torchvision().__version__,
        **({"timm": metadata.version("timm")} if model.startswith("timm:") else {}),
        # So may what becomes of a picture before, and of activations after.
        "pillow": PIL.__version__,
        "colours": images.COLOURS,
        "probe": metadata.version("cnn-probe"),
    }


@dataclass(frozen=True, eq=False)
class Extraction:
    """A network, pictures, and what is kept of its activations: all that decides their values.

    Attributes
    ----------
    network : Network
    stimuli : StimulusSet
    reducer : Reducer
    dtype : str
        As which they are stored: one of `probe.activations.shards.DTYPES`.
    precision : str
        What the network computes in: ``float32`` (or whatever its own parameters are),
        ``bfloat16``, ``float16``.
    device : str
        See `devices_of`.
    folder : path, optional
        Where the store lies; by default, in the cache.
    remote : bool
        Whether the device is that of a cluster's workers: none of this machine, perhaps.
    pictures : Pictures, optional
        The same stimuli, some of which may have been decoded for another network.
    """

    network: Network
    stimuli: StimulusSet
    reducer: Reducer = WHOLE
    dtype: str = "float32"
    precision: str = "float32"
    device: str = "auto"
    folder: Path | None = None
    remote: bool = False
    pictures: Pictures | None = None

    def __post_init__(self) -> None:
        ExtractSettings(dtype=self.dtype, precision=self.precision).checked()
        pictures = self.pictures
        if pictures is not None and (
            pictures.stimuli is not self.stimuli
            or pictures.preprocessing.key() != self.network.preprocessing.key()
        ):
            raise ValueError(
                "pictures: expected those of the same stimuli, with the same preprocessing"
            )

    @cached_property
    def devices(self) -> list[torch.device]:
        """Where the network works."""
        if self.remote:
            return [torch.device(self.device)]
        return devices_of(self.network, self.device)

    @property
    def _here(self) -> torch.device:
        """Where it is tried first."""
        return torch.device("cpu") if self.remote else self.devices[0]

    @cached_property
    def request(self) -> dict[str, Any]:
        """Everything that decides the values of activations, as plain values."""
        return request_of(
            Identity.of(self.network),
            self.network.preprocessing,
            self.stimuli,
            self.devices[0].type,
            reducer=self.reducer,
            dtype=self.dtype,
            autocast=self._autocast,
        )

    @property
    def _autocast(self) -> str:
        """The precision, as stores have called it from the first version on."""
        return NO_AUTOCAST if self.precision == "float32" else self.precision

    @cached_property
    def path(self) -> Path:
        """Folder of the store."""
        root = self.folder or assets.cache_dir() / "activations"
        return root / key_of(self.request)

    @cached_property
    def first_picture(self) -> Tensor:
        """The first picture, preprocessed: (3, height, width)."""
        if self.pictures is not None:
            return self.pictures[0]
        return self.network.preprocessing(self.stimuli.image(0))

    def batch_size(self, batch_size: int | None) -> int:
        """Return how many images a forward pass takes: what was asked for, or what suits."""
        size = batch_size or self._remembered.get()
        size = size or batch_sizes.choose(self.network, self._here)
        return min(size, batch_sizes.at_least(len(self.stimuli)))

    @property
    def _remembered(self) -> batch_sizes.Remembered:
        return batch_sizes.Remembered(self.request, self._here)

    def on(self, cluster: Cluster | None) -> Extraction:
        """Return the same on the workers of a cluster, whose devices may be of another kind."""
        if cluster is None:
            return self
        device = kind_of_devices(self.device, cluster)
        return replace(self, device=device, remote=True, pictures=None)

    def run(
        self,
        layers: Sequence[str],
        *,
        batch_size: int | None = None,
        cluster: Cluster | None = None,
        force: bool = False,
        progress: bool | None = None,
    ) -> ActivationStore:
        """Compute what is missing of some layers; see `extract`."""
        if batch_size is not None and batch_size < 1:
            raise ProbeError(f"batch size {batch_size}: expected a whole number ≥ 1")
        if not layers:
            raise ProbeError("no layer is named: name at least one")
        if cluster is not None and not self.remote:
            return self.on(cluster).run(
                layers, batch_size=batch_size, cluster=cluster, force=force, progress=progress
            )

        def wait() -> None:
            note("another process extracts these activations: waiting for it", progress)

        # One process at a time writes a store; who waited finds the work done.
        with assets.held(self.path, wait):
            store = self._begin(layers)
            try:
                self._complete(store, layers, batch_size, cluster, force, progress)
            except OSError as error:
                raise ProbeError(
                    f"activations cannot be written to {str(self.path)!r} "
                    f"({error.strerror or error}); what is complete is kept: once that is fixed, "
                    "the same extraction resumes from there"
                ) from None
            except Exception as error:
                if not out_of_memory(error):
                    raise
                raise ProbeError(
                    f"not enough memory for {self.network.name}: choose a smaller --batch-size, or "
                    "free some memory; what is complete is kept, and the same extraction resumes"
                ) from None
        store.touch()
        return store

    def _begin(self, layers: Sequence[str]) -> ActivationStore:
        network, stimuli = self.network, self.stimuli
        about = {
            "model": network.name,
            "weights": network.weights.kind,
            "weights_source": network.weights.source,
            "preprocessing": network.preprocessing.describe(),
            "stimuli": stimuli.name,
            "reduce": self.reducer.name,
            "reduced": self.reducer.describe(),
            "dtype": self.dtype,
            "autocast": self._autocast,
            "skipped": [list(bad) for bad in stimuli.skipped],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "layers": list(layers),
            "aliases": _aliases(network),
        }
        columns: dict[str, Sequence[Any]] = {}
        if stimuli.metadata is not None:
            # A column that is called as one of the array's axes is told from it.
            taken = {*RESERVED, *map(str, stimuli.metadata)}
            for column, values in stimuli.metadata.items():
                name = str(column)
                while name in RESERVED or (name != str(column) and name in taken):
                    name = f"stimulus_{name}"
                columns[name] = _plain(values)
        columns |= {"stimulus_id": stimuli.ids, "sha256": stimuli.content_hashes}
        store = ActivationStore.create(self.path, self.request, about, columns)
        store.sweep()
        # Other files may be left out of the same set now, and its metadata may be others.
        current = ("stimuli", "skipped", "aliases")
        store.remember(**{name: about[name] for name in current})
        store.refresh(columns)
        # In the order of the network, whoever asked for which first.
        listed = store.about["layers"]
        store.remember(layers=listed + [layer for layer in layers if layer not in listed])
        return store

    def _complete(
        self,
        store: ActivationStore,
        layers: Sequence[str],
        batch_size: int | None,
        cluster: Cluster | None,
        force: bool,
        progress: bool | None,
    ) -> None:
        missing = [n for n in layers if n not in store or not store.array(n).done().all()]
        if not missing:
            return
        network, stimuli = self.network, self.stimuli
        axes = self.axes(missing)
        image = self.first_picture
        shapes, channels_last = output_shapes(network, missing, image, self._here)
        self._check_space(store, {name: shapes[name] for name in missing}, force)
        for layer in missing:
            store.create_layer(layer, shapes[layer], axes[layer], self.reducer)
        self._adopt(store, missing)
        missing = [layer for layer in missing if not store.array(layer).done().all()]
        if not missing:
            return
        reducer = self._fitted(
            store, missing, shapes,
            batch_size=batch_size, cluster=cluster, force=force, progress=progress,
        )  # fmt: skip
        size = self.batch_size(batch_size)
        job = Job(
            network,
            stimuli,
            tuple(missing),
            store.path,
            reducer,
            self.precision,
            channels_last,
            size,
            self.pictures,
        )
        store.remember(batch_size=size, channels_last=channels_last)
        ended = self._compute(job, store, cluster, progress)
        if ended < size:
            if batch_size is None and ended >= LEAST_BATCH:
                self._remembered.put(ended)
            store.remember(batch_size=ended)
            note(f"memory was short: batches of {ended} images instead of {size}", progress)

    def axes(self, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return what the axes of layers' outputs are; refuse what nothing can be kept of."""
        infos = {info.name: info for info in models.layers(self.network)}
        axes: dict[str, tuple[str, ...]] = {PIXELS: ORDERS[0]}
        for name in layers:
            if (info := infos.get(name)) is None:
                continue  # not called: the forward pass says so
            if info.layout is None:
                raise ProbeError(
                    f"layer {name!r} returns shape {info.output_shape}, of which no axis runs over "
                    "the pictures: it has no activations of each to store"
                )
            if self.reducer.by_channel:
                info.n_channels  # or it says why  # noqa: B018
            axes[name] = info.axes if info.output_shape else ORDERS[2]
        return axes

    def _compute(
        self, job: Job, store: ActivationStore, cluster: Cluster | None, progress: bool | None
    ) -> int:
        """Compute what is missing, here or on a cluster; give the batch size in the end."""
        n, arrays = len(job.stimuli), [store.array(layer) for layer in job.layers]
        done = np.logical_and.reduce([array.rows_done() for array in arrays])
        rows = job.block_rows
        blocks = np.unique(np.flatnonzero(~done) // rows)
        desc = f"{job.network.name} ({job.network.weights.kind})"
        if cluster is not None:
            tasks = [part.tolist() for part in np.array_split(blocks, min(len(blocks), TASKS))]
            sizes = [
                sum(int((~done[block * rows : (block + 1) * rows]).sum()) for block in task)
                for task in tasks
            ]
            results = cluster.map(
                compute_blocks, tasks, shared=(job, self.devices[0]),
                sizes=sizes, desc=desc, unit="img", progress=progress,
            )  # fmt: skip
            ended = min(size for _, size in results)
            store.sweep()  # what workers left that were lost
            return ended
        bar = track(total=n, initial=int(done.sum()), desc=desc, unit="img", progress=progress)
        with bar, finishing() as stop:
            return compute(job, [int(block) for block in blocks], self.devices, bar.update, stop)

    def _fitted(
        self,
        store: ActivationStore,
        layers: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
        **how: Any,
    ) -> Reducer:
        """Fit principal components, layer by layer, to all activations of some stimuli.

        They lie beside the activations, so that what goes on later is projected alike.
        """
        if not isinstance(self.reducer, PCA):
            return self.reducer
        self.reducer.check_memory({layer: shapes[layer] for layer in layers})
        files = {layer: store.array(layer).path / "components.npz" for layer in layers}
        # Apart from what a user has extracted, since it is deleted again.
        apart = self.path.with_name(f"{self.path.name}.fitting")
        if unfitted := [layer for layer in layers if not files[layer].exists()]:
            rows = self.reducer.positions(len(self.stimuli))
            unreduced = replace(
                self,
                stimuli=self.stimuli.subset([int(row) for row in rows]),
                pictures=None,  # whose positions are those of all stimuli
                reducer=WHOLE,
                dtype="float32",
                folder=apart,
            )
            activations = unreduced.run(unfitted, **how)
            for layer in track(unfitted, desc="PCA", unit="layer", progress=how["progress"]):
                self.reducer.fit(layer, activations.array(layer)).save(files[layer])
        shutil.rmtree(apart, ignore_errors=True)
        return self.reducer.with_components(
            {layer: Components.load(file) for layer, file in files.items()}
        )

    def _adopt(self, store: ActivationStore, layers: Sequence[str]) -> None:
        """Copy what other stores of the same network have of these pictures.

        So that a set that grew, a part of one, or one in another order costs only what is new.
        """
        if isinstance(self.reducer, PCA):  # fitted on these pictures, and none but these
            return
        content = store.stimuli["sha256"].to_numpy()
        for other in self._alike():
            row_of = {key: row for row, key in enumerate(other.stimuli["sha256"])}
            rows = np.array([row_of.get(key, -1) for key in content])
            with shard_writer() as writer, suppress(ProbeError):  # damage is its own concern
                for layer in layers:
                    if layer in other:
                        _copy_shards(other.array(layer), store.array(layer), rows, writer)

    def _alike(self) -> Iterator[ActivationStore]:
        """Stores of other pictures, of which all else is the same."""
        for folder in sorted(self.path.parent.iterdir()):
            try:
                # Most are of another network: seen before their long lists are parsed.
                is_same_network = self.request["weights"] in (folder / "zarr.json").read_text()
                other = ActivationStore(folder) if is_same_network and folder != self.path else None
            except (OSError, ValueError):  # whatever is wrong there is its own concern
                continue
            if other is not None and all(
                other.request.get(name) == value
                for name, value in self.request.items()
                if name != "stimuli"
            ):
                yield other

    def _check_space(
        self, store: ActivationStore, shapes: Mapping[str, tuple[int, ...]], force: bool
    ) -> None:
        needed = 0
        for layer, shape in shapes.items():
            if layer in store:
                array = store.array(layer)
                needed += int((~array.done()).sum()) * array.layout.n_bytes
            else:
                n = self.reducer.n_neuroids(shape)
                layout = ShardLayout.choose(store.n_stimuli, n, self.dtype)
                needed += layout.n_shards(store.n_stimuli) * layout.n_bytes
        free = shutil.disk_usage(store.path).free
        if needed > free and not force:
            if not store.layers:  # it was begun in vain
                store.delete()
            raise ProbeError(
                f"activations of {len(shapes)} layers for {store.n_stimuli:,} stimuli take "
                f"{needed / 1e9:,.2f} GB; {str(store.path.parent)!r} has {free / 1e9:,.2f} GB "
                "left: keep less of them (--reduce mean, --reduce srp:4096, --dtype float16), name "
                "fewer with --layers, or set PROBE_CACHE to a folder on a larger disk (--force "
                "starts anyway)"
            )


def extract(
    network: Network,
    stimuli: StimulusSet,
    layers: Sequence[str],
    *,
    cluster: Cluster | None = None,
    progress: bool | None = None,
    **options: Any,
) -> ActivationStore:
    """Run a network over a stimulus set and keep the outputs of some layers.

    One forward pass per batch serves all layers and ends at the last of them; every output is
    reduced and copied within its hook, so that memory holds one batch however many stimuli there
    are. What the store already has is not computed again, and work that was interrupted, by Ctrl-C,
    a kill, a power cut or a full disk, goes on where it stopped, to the same bytes.

    Parameters
    ----------
    network : Network
        From `probe.models.load`, or a module of yours in `Network.from_module`.
    stimuli : StimulusSet
        See `probe.stimuli.image_set`.
    layers : sequence of str
        Layer names as `capture` takes them, or `PIXELS` for the network's preprocessed input.
    cluster : Cluster, optional
        From `probe.cluster.connect`: blocks of stimuli are computed by its workers.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.
    **options
        ``reduce``, ``dtype``, ``precision``, ``batch_size``, ``device``, ``folder``, ``force`` and
        ``seed``, as for `probe.extract`. ``device`` may be several with commas; ``cuda`` is all.

    Returns
    -------
    ActivationStore
        Holds all the layers, complete.

    Raises
    ------
    ProbeError
        If an image cannot be read, a layer or the device does not exist, or the disk is too small
        or full.
    TypeError
        If there is no such option.
    """
    if "autocast" in options:
        options["precision"] = precision_of(options.pop("autocast"))
    for name in options:
        if name not in OPTIONS:  # others of `probe.extract` are decided by network and stimuli
            raise TypeError(f"extract() got an unexpected keyword argument {name!r}")
    settings = ExtractSettings(**options).checked()
    reduce = settings.reduce
    if isinstance(reduce, str):
        reduce = reducers.parse(reduce, n_stimuli=len(stimuli), seed=settings.seed)
    extraction = Extraction(
        network,
        stimuli,
        reduce,
        settings.dtype,
        settings.precision,
        settings.device,
        None if settings.folder is None else Path(settings.folder).expanduser(),
    )
    return extraction.run(
        layers,
        batch_size=settings.batch_size,
        cluster=cluster,
        force=settings.force,
        progress=progress,
    )


def _plain(column: pd.Series) -> list[Any]:
    """Return a column as JSON has it: numbers, truth values and text; what is missing is null."""
    return [
        None if pd.isna(v) else v if isinstance(v, bool | int | float | str) else str(v)
        for v in column.tolist()
    ]


def _is_tampered_with(module: nn.Module) -> bool:
    """Return whether someone's hooks, or a ``forward`` of their own, make a network another."""
    return any(
        part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)
        for part in module.modules()
    )


def _hash_of_modules(module: nn.Module) -> str:
    """Hash what a network computes besides its weights: its parts, and their settings."""
    digest = hashlib.sha256(repr(module).encode())
    for name, part in module.named_modules():
        settings = {
            key: value
            for key, value in sorted(vars(part).items())
            if isinstance(value, bool | int | float | str | tuple) and key != "training"
        }
        digest.update(repr((name, settings)).encode())
        hidden = part._non_persistent_buffers_set
        for key in sorted(hidden):
            buffer = part._buffers[key]
            if buffer is not None:
                digest.update(buffer.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def kind_of_device(device: str) -> str:
    """Return what kind of device a name means on this machine, a worker's, say."""
    if "," in device:
        raise ProbeError(f"device {device!r}: expected one, since each worker of a cluster has one")
    return resolve_device(device).type


def kind_of_devices(device: str, cluster: Cluster | None) -> str:
    """Return what kind of devices a network that is known by name works on, here or elsewhere."""
    if cluster is not None:
        [(_, kind)] = cluster.map(kind_of_device, [device])
        return str(kind)
    return resolve_device(device.split(",")[0].strip()).type


def compute_blocks(job: Job, device: torch.device, blocks: Sequence[int]) -> int:
    """Compute some blocks, in a worker of a cluster; give the batch size in the end."""
    return compute(job, blocks, [device], lambda _n: None, threading.Event())


def _copy_shards(
    source: LayerArray, target: LayerArray, rows: np.ndarray, writer: ShardWriter
) -> None:
    """Copy the shards of which another array has all rows; ``rows`` says where, -1: nowhere."""
    rows = np.where((rows >= 0) & source.rows_done()[rows], rows, -1)
    size = target.layout.rows
    for k in np.flatnonzero(~target.done()):
        part = rows[k * size : (k + 1) * size]
        n_read = np.unique(part // source.layout.rows).size * source.layout.rows
        # Of what lies scattered, more would be read than is worth it.
        if (part < 0).any() or n_read > SCATTERED * max(size, source.layout.rows):
            continue
        buffer = writer.buffer(target.layout)
        buffer.fill(0, torch.from_numpy(source[part, :]))
        writer.put(buffer, len(part), target.shard(int(k)))


def _aliases(network: Network) -> dict[str, str]:
    """Return the paths of layers by their aliases, but for those that are another layer's path."""
    if network.architecture is None:
        return {}  # only known architectures have them
    infos = models.layers(network)
    paths = {info.name for info in infos}
    return {info.alias: info.name for info in infos if info.alias and info.alias not in paths}
