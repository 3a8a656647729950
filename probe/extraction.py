"""Activations of any pictures, from names to a store: what a notebook and `probe extract` call.

stimuli → network → activations per layer, reduced → `ActivationStore`
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from probe import cluster as clusters
from probe import models, recordings
from probe.activations import ActivationStore, cache
from probe.activations.extract import Extraction
from probe.activations.reduce import Reducer, parse
from probe.activations.shards import ShardLayout
from probe.errors import ProbeError, suggest
from probe.extraction_settings import ExtractSettings, precision_of
from probe.models import LayerInfo, Network
from probe.models.devices import resolve_device
from probe.progress import note
from probe.recordings import Recording
from probe.stimuli import StimulusSet, image_set

if TYPE_CHECKING:
    from dask.distributed import Client
    from torch import nn


_MANY = 2**30
"""Stimuli, enough for every reducer: to see how it is spelled before they are counted."""


def extract(
    model: str | Network | nn.Module,
    images: str | Path | StimulusSet | Recording,
    layers: str | Sequence[str] = "default",
    *,
    reduce: str | Reducer = "none",
    dtype: str = "float32",
    precision: str = "float32",
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    cluster: str | Client | None = None,
    skip_bad: bool = False,
    root: str | Path | None = None,
    folder: str | Path | None = None,
    force: bool = False,
    accept_licence: bool = False,
    progress: bool | None = None,
    autocast: str | None = None,
) -> ActivationStore:
    """Extract the activations of a network's layers for any set of pictures.

    They are kept on disk under a hash of everything that decides them. What is there already is
    not computed again; what was interrupted goes on where it stopped.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    images : str, path, StimulusSet or Recording
        A folder, a pattern, a table, a zip archive (see `probe.stimuli.image_set`); or the name of
        a recording (``v4``, ``sim-v4``), whose stimuli are meant. A folder of the same name is
        written ``./v4``.
    layers : str or sequence of str
        Layer paths or aliases, or ``default``, ``all``, ``conv``, ``relu``, ``pool``, ``linear``,
        ``block``; as a string, separated by commas.
    reduce : str or Reducer
        What is kept of a layer's output: ``none`` (all of it), ``mean`` or ``max`` over positions,
        ``srp:4096`` (a sparse random projection; ``srp:auto`` chooses how many), ``units:1000``
        (so many, drawn at random), ``pca:100@500`` (components fitted to 500 stimuli). See
        `probe.activations.reduce.parse`.
    dtype : {'float32', 'float16', 'bfloat16'}
        How values are stored.
    precision : {'float32', 'bfloat16', 'float16'}
        What the network computes in. ``float32`` leaves a network of yours in what its own
        parameters are.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        ``resize``: the whole picture. ``torchvision``: what the weights were trained with, a crop.
    seed : int
        Of random weights, projections and choices.
    batch_size : int, optional
        Images per forward pass; by default what suits the network and the device.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    cluster : str or dask.distributed.Client, optional
        Where it is computed besides: see `probe.cluster.connect`.
    skip_bad : bool
        Go on without pictures that cannot be read; the store's ``about['skipped']`` names them.
    root : path, optional
        Folder in which the pictures of a table lie, if it names them as on another machine; see
        `probe.stimuli.image_set`.
    folder : path, optional
        Where the store is put; by default, into the cache.
    force : bool
        Begin even if the disk seems too small.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    progress : bool, optional
        Show progress bars; by default when a person is watching.
    autocast : str, optional
        What ``precision`` was called in earlier versions, with ``none`` for ``float32``.

    Returns
    -------
    ActivationStore
        Holds all the layers, complete: a mapping of their names to lazy arrays.

    Raises
    ------
    ProbeError
        If something that was named does not exist, a picture cannot be read, or the disk is too
        small or full.

    See Also
    --------
    open_activations : What was extracted, as xarray.
    probe.activations.capture : One batch, in memory.

    Examples
    --------
    >>> import numpy as np
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> pictures = np.zeros((3, 64, 64, 3), np.uint8)
    >>> stimuli = probe.stimuli.StimulusSet(["a", "b", "c"], list(pictures), "black")
    >>> store = probe.extract(network, stimuli, "1", reduce="mean")
    >>> dict(store["1"].sizes)  # the mean of each of eight channels
    {'stimulus': 3, 'neuroid': 8}
    >>> probe.extract("alexnet", "photos/", "conv3,conv5")  # doctest: +SKIP
    """
    if autocast is not None:
        precision = precision_of(autocast)
    settings = ExtractSettings.of(locals())
    planned = plan(
        model, images, settings, accept_licence=accept_licence, cluster=cluster, progress=progress
    )
    with clusters.connect(cluster) as workers:
        return planned.run(cluster=workers, progress=progress)


def open_activations(
    store: ActivationStore | str | Path, layer: str | None = None
) -> xr.DataTree | xr.DataArray:
    """Open activations that were extracted; values are read when they are used.

    Parameters
    ----------
    store : ActivationStore, str or path
        What `extract` gave, the path of a store, or the beginning of its key as `probe cache ls`
        prints it.
    layer : str, optional
        One layer; by default all that are complete.

    Returns
    -------
    xarray.DataArray, dims (stimulus, neuroid), float32
        Of one layer, with ``stimulus_id``, the metadata of the stimuli, and what tells the
        neuroids apart (``channel``, ``y``, ``x``; ``token``; ``component``) as coordinates.
    xarray.DataTree
        Without ``layer``: a node per layer, in which ``activation`` is that array.

    Raises
    ------
    ProbeError
        If there is no such store or layer, or it is not complete.

    See Also
    --------
    extract : Computes and stores them.

    Examples
    --------
    >>> probe.open_activations("3f9a12cd", "features.7")  # doctest: +SKIP
    >>> probe.open_activations("3f9a12cd")["features.7"]["activation"]  # doctest: +SKIP
    """
    opened = store if isinstance(store, ActivationStore) else ActivationStore(cache.find(store))
    opened.touch()
    if layer is not None:
        return opened.open_layer(layer)
    complete = [name for name in opened.layers if opened.array(name).done().all()]
    if not opened.layers:
        raise ProbeError(f"{str(opened.path)!r} has no layers yet: the same extraction goes on")
    if lacking := [name for name in opened.layers if name not in complete]:
        if not complete:
            opened.open_layer(lacking[0])  # says what is missing of it
        warnings.warn(
            f"left out, since they are not complete: {', '.join(lacking)}; the same extraction "
            "again goes on with them",
            UserWarning,
            stacklevel=2,
        )
    tree = {name: opened.open_layer(name).to_dataset(name="activation") for name in complete}
    return xr.DataTree.from_dict(tree, name=opened.key[: cache.SHOWN])


@dataclass(frozen=True)
class Plan:
    """What is going to be extracted.

    Attributes
    ----------
    extraction : Extraction
    layers : tuple of LayerInfo
    settings : ExtractSettings
    """

    extraction: Extraction
    layers: tuple[LayerInfo, ...]
    settings: ExtractSettings

    @property
    def title(self) -> str:
        """Describe in one line what it is."""
        of = self.extraction
        return cache.title(of.network.name, of.stimuli.name, len(of.stimuli), len(self.layers))

    def store(self) -> ActivationStore | None:
        """Return what there is already, if anything."""
        path = self.extraction.path
        return ActivationStore(path) if (path / "zarr.json").is_file() else None

    def table(self) -> pd.DataFrame:
        """Return what it takes, one row per layer.

        Returns
        -------
        pandas.DataFrame
            Columns ``layer``; ``shape`` of its output; ``neuroids`` that are kept; ``there``, the
            share of the stimuli that is on disk already, 0 to 1; and ``GB`` of the whole.
        """
        store, n = self.store(), len(self.extraction.stimuli)
        rows = []
        for info in self.layers:
            shape = info.output_shape or (1,)
            neuroids = self.extraction.reducer.n_neuroids(shape)
            layout = ShardLayout.choose(n, neuroids, self.extraction.dtype)
            rows.append(
                {
                    "layer": info.name,
                    "shape": "×".join(map(str, shape)),
                    "neuroids": neuroids,
                    "there": store.array(info.name).share_done()
                    if store and info.name in store
                    else 0.0,
                    "GB": layout.n_shards(n) * layout.n_bytes / 1e9,
                }
            )
        return pd.DataFrame(rows)

    @staticmethod
    def share_there(table: pd.DataFrame) -> float:
        """Return the share of all values, 0 to 1, that a `table` says to be on disk."""
        return float((table["there"] * table["GB"]).sum() / table["GB"].sum())

    def on(self, cluster: clusters.Cluster | None) -> Plan:
        """Return the same on the workers of a cluster."""
        return replace(self, extraction=self.extraction.on(cluster))

    def run(
        self, *, cluster: clusters.Cluster | None = None, progress: bool | None = None
    ) -> ActivationStore:
        """Extract what is missing; see `extract`."""
        return self.extraction.run(
            [info.name for info in self.layers],
            batch_size=self.settings.batch_size,
            cluster=cluster,
            force=self.settings.force,
            progress=progress,
        )


def plan(
    model: str | Network | nn.Module,
    images: str | Path | StimulusSet | Recording,
    settings: ExtractSettings = ExtractSettings(),  # noqa: B008  # which is frozen
    *,
    accept_licence: bool = False,
    cluster: str | Client | clusters.Cluster | None = None,
    progress: bool | None = None,
) -> Plan:
    """Check that all there is to an extraction exists, and look at the pictures.

    What is misspelled is told before a picture is read or a file downloaded.

    Parameters
    ----------
    model, images, accept_licence, progress
        As for `extract`.
    settings : ExtractSettings
    cluster : str, dask.distributed.Client or Cluster, optional
        With one, the device is that of its workers.

    Raises
    ------
    ProbeError
        As `extract` does.
    """
    settings = settings.checked()
    clusters.check(cluster)
    model = models.check_model(model, settings.weights, settings.preprocessing)
    models.resolve(settings.layers, model)
    reduce = settings.reduce
    if isinstance(reduce, str):
        parse(reduce, n_stimuli=_MANY, seed=settings.seed)
    if cluster is None:
        for name in settings.device.split(","):
            resolve_device(name.strip())
    stimuli = stimuli_of(images, settings.skip_bad, accept_licence, progress, settings.root)
    if isinstance(reduce, str):
        reduce = parse(reduce, n_stimuli=len(stimuli), seed=settings.seed)
    network = models.as_network(
        model,
        settings.weights,
        settings.preprocessing,
        seed=settings.seed,
        accept_licence=accept_licence,
        progress=progress,
    )
    folder = settings.folder
    extraction = Extraction(
        network,
        stimuli,
        reduce,
        settings.dtype,
        settings.precision,
        settings.device,
        None if folder is None else Path(folder).expanduser().absolute(),
    )
    return Plan(extraction, _layers(network, settings, reduce, progress), settings)


def _layers(
    network: Network, settings: ExtractSettings, reducer: Reducer, progress: bool | None
) -> tuple[LayerInfo, ...]:
    names = models.resolve(settings.layers, network)  # some weights may be missing
    infos = tuple(info for info in models.layers(network) if info.name in names)
    if not reducer.by_channel or settings.layers != "all":
        return infos
    without_channels = [info.name for info in infos if not info.axes_known]
    if without_channels:
        listed = ", ".join(without_channels[:3]) + (" …" if len(without_channels) > 3 else "")
        note(
            f"left out, since it is not known which axis their channels are: {listed} "
            f"({len(without_channels)} of {len(infos)} layers)",
            progress,
        )
    return tuple(info for info in infos if info.axes_known)


def stimuli_of(
    images: Any,
    skip_bad: bool = False,
    accept_licence: bool = False,
    progress: bool | None = None,
    root: str | Path | None = None,
) -> StimulusSet:
    """Find the pictures that a user means: see `extract`."""
    if root is not None and not isinstance(images, str | Path):
        raise ProbeError("root says where the pictures of a table lie: images have to name one")
    if isinstance(images, StimulusSet):
        return images
    if isinstance(images, Recording):
        stimuli = copy.copy(images.stimuli)
        stimuli.name = images.name  # what a user knows them by
        of_stimuli = {
            str(name): coord.values
            for name, coord in images.data.coords.items()
            if coord.dims == ("stimulus",) and name != "stimulus_id"
        }
        if stimuli.metadata is None and of_stimuli:
            stimuli.metadata = pd.DataFrame(
                of_stimuli, index=pd.Index(stimuli.ids, name="stimulus_id")
            )
        return stimuli
    if isinstance(images, str):
        names = [w for entry in recordings.available() for w in (entry.name, *entry.aliases)]
        there = Path(images).expanduser().exists()
        if images in names or (recordings.head_of(images) in names and not there):
            recording = recordings.load(images, accept_licence=accept_licence, progress=progress)
            return stimuli_of(recording, skip_bad, accept_licence, progress)
        if not there and re.fullmatch(r"[\w-]+", images):  # no path, no pattern, no file's name
            folders = [
                path.name
                for path in Path().iterdir()
                if path.is_dir() and not path.name.startswith(".")
            ]
            raise ProbeError(
                f"images {images!r} are no folder, file or dataset"
                f"{suggest(images, [*names, *folders])} (see `probe datasets`)"
            )
    return image_set(images, root=root, skip_bad=skip_bad, progress=progress)
