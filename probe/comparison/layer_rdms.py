"""RDMs of a network's layers and of its baselines: each computed once, and kept in the cache."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from probe import assets, models
from probe.activations import PIXELS, Extraction
from probe.activations.extract import Identity, kind_of_devices, request_of, versions_of
from probe.activations.pictures import Pictures
from probe.activations.store import LayerArray, key_of
from probe.cluster import Cluster
from probe.comparison.settings import RDMSettings
from probe.errors import ProbeError
from probe.models import Network
from probe.models.baselines import Baseline, baselines_of, untrained
from probe.output.files import write_atomically
from probe.progress import share, track
from probe.similarity import rdm
from probe.similarity.comparators import is_constant
from probe.similarity.rdm_set import RDMs
from probe.similarity.rdms import NOISE_METRICS, BadPatternError
from probe.stimuli import StimulusSet

UNTRAINED_SEEDS = (0, 1, 2)
"""Seeds of the untrained networks that every comparison carries."""

EXTRACTION_SHARE = 0.4
"""Share of running a network in the time of its RDMs, for the estimate of the time that is left."""

COUNTERPART = dict.fromkeys(NOISE_METRICS, "euclidean")
"""The network's distance, where the recording's allows for noise: a network has none."""


@dataclass(frozen=True)
class ClassicRDMs:
    """RDMs of a feature or network from before, over one stimulus set.

    Attributes
    ----------
    model : str
    names : list of str
        What its L layers are called beside a network's.
    n_neuroids : list of int
    rdms : numpy.ndarray, shape (L, n_pairs)
    undefined : list of str
        Layers that cannot tell all stimuli apart, and so have none.
    """

    model: str
    names: list[str]
    n_neuroids: list[int]
    rdms: np.ndarray
    undefined: list[str]

    @classmethod
    def of(cls, baseline: Baseline, rdms: np.ndarray) -> ClassicRDMs:
        """Set apart the layers without an RDM, whose row is NaN."""
        defined = np.isfinite(rdms).all(axis=1)
        sizes = [math.prod(info.output_shape) for info in baseline.layers]
        return cls(
            baseline.network.name,
            [name for name, is_defined in zip(baseline.names, defined, strict=True) if is_defined],
            [n for n, is_defined in zip(sizes, defined, strict=True) if is_defined],
            rdms[defined],
            [name for name, is_defined in zip(baseline.names, defined, strict=True)
             if not is_defined],
        )  # fmt: skip


@dataclass(frozen=True)
class LayerRDMs:
    """RDMs of one network over one stimulus set.

    Attributes
    ----------
    names : list of str
        The M layers, in the order of computation.
    trained : numpy.ndarray, shape (M, n_pairs)
    pixels : numpy.ndarray, shape (1, n_pairs) or (0, n_pairs)
        Of the network's input; none without baselines.
    untrained : dict of int to numpy.ndarray, shape (M, n_pairs)
        By seed; a layer that cannot tell all stimuli apart is NaN.
    classic : list of ClassicRDMs
        Of what came before; none unless asked for.
    """

    names: list[str]
    trained: np.ndarray
    pixels: np.ndarray
    untrained: dict[int, np.ndarray]
    classic: list[ClassicRDMs]

    @property
    def of_layers(self) -> RDMs:
        """The RDMs of the trained layers, with the layers' names."""
        return RDMs(self.trained, tuple(self.names))


class NetworkRDMs:
    """The RDMs of one network: over each stimulus set they are computed once.

    Parameters
    ----------
    network : Network
    settings : RDMSettings
    workers : Cluster, optional
        Run the network.
    """

    def __init__(
        self, network: Network, settings: RDMSettings, workers: Cluster | None = None
    ) -> None:
        self.network = network
        self.settings = settings
        self.workers = workers
        names = models.resolve(settings.layers, network)
        self.layers = [info for info in models.layers(network) if info.name in names]
        self._by_stimuli: dict[str, LayerRDMs] = {}

    def over(self, stimuli: StimulusSet) -> LayerRDMs:
        """Return the RDMs over some stimuli."""
        if stimuli.hash not in self._by_stimuli:
            self._by_stimuli[stimuli.hash] = self._compute(stimuli)
        return self._by_stimuli[stimuli.hash]

    def _compute(self, stimuli: StimulusSet) -> LayerRDMs:
        network, settings, workers = self.network, self.settings, self.workers
        names = [info.name for info in self.layers]
        with_baselines = settings.baselines != "none"
        names_and_pixels = [*names, PIXELS] if with_baselines else names
        # The untrained networks see the same pictures.
        pictures = Pictures(stimuli, network.preprocessing) if workers is None else None
        has_untrained = with_baselines and network.architecture is not None
        # The network, then as many untrained ones, which take as long.
        of_one = 1 / (1 + len(UNTRAINED_SEEDS) * has_untrained)
        with share(of_one):
            trained = rdms_of(
                network, names_and_pixels, stimuli, settings, workers, pictures=pictures
            )
        untrained: dict[int, np.ndarray] = {}
        for seed in UNTRAINED_SEEDS if has_untrained else ():
            with share(of_one):
                untrained[seed] = self._untrained(seed, names, stimuli, pictures)
        classic = self._classic(stimuli) if settings.baselines == "classic" else []
        return LayerRDMs(names, trained[: len(names)], trained[len(names) :], untrained, classic)

    def _classic(self, stimuli: StimulusSet) -> list[ClassicRDMs]:
        """Return the RDMs of what came before; of another network, the cache has them."""
        settings = self.settings
        classic = []
        for baseline in baselines_of(self.network, progress=settings.progress):
            names = [info.name for info in baseline.layers]
            rdms = rdms_of(baseline.network, names, stimuli, settings, self.workers, baseline=True)
            classic.append(ClassicRDMs.of(baseline, rdms))
        return classic

    def _untrained(
        self, seed: int, names: Sequence[str], stimuli: StimulusSet, pictures: Pictures | None
    ) -> np.ndarray:
        """Return the RDMs of an untrained network, which is built only if some are missing."""
        network, settings, workers = self.network, self.settings, self.workers
        assert network.architecture is not None  # or there would be no untrained network
        record = _Record(network.architecture, seed)
        if (identity := record.read()) is not None:
            device = kind_of_devices(settings.device, workers)
            key = key_of(request_of(identity, network.preprocessing, stimuli, device))
            cached = _Cached(key, settings, stimuli).rdms(names)
            if len(cached) == len(names):
                return np.stack([cached[name] for name in names])
        blank = untrained(network, seed)
        is_named = blank.weights.sha256 == network.weights.sha256
        rdms = rdms_of(
            blank, names, stimuli, settings, workers, baseline=not is_named, pictures=pictures
        )
        record.write(Identity.of(blank))
        return rdms


class _Record:
    """What an untrained network was when it was last built: one of these versions, on such a CPU.

    Parameters
    ----------
    architecture : str
    seed : int
    """

    def __init__(self, architecture: str, seed: int) -> None:
        about = {
            "architecture": architecture,
            "seed": seed,
            # Random numbers are drawn by instructions that another processor may not have.
            "cpu": torch.backends.cpu.get_cpu_capability(),
            **versions_of(architecture),
        }
        self._path = assets.cache_dir() / "untrained" / f"{key_of(about)}.json"

    def read(self) -> Identity | None:
        """Return what is known of it, if anything is."""
        try:
            identity = json.loads(self._path.read_text(encoding="utf-8"))
            return Identity(*(str(identity[name]) for name in Identity._fields))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, identity: Identity) -> None:
        """Keep what it is."""
        content = json.dumps(identity._asdict())
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, content.encode())


class _Cached:
    """RDMs in the cache, of one network over one stimulus set.

    Parameters
    ----------
    key : str
        Of the activations.
    settings : RDMSettings
    stimuli : StimulusSet
    """

    def __init__(self, key: str, settings: RDMSettings, stimuli: StimulusSet) -> None:
        self.folder = assets.cache_dir() / "rdms" / key
        self.metric = COUNTERPART.get(settings.metric, settings.metric)
        self.n_pairs = len(stimuli) * (len(stimuli) - 1) // 2

    def rdms(self, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Read those of some layers that are there."""
        cached = {layer: _read_rdm(self._file(layer), self.n_pairs) for layer in layers}
        return {layer: distances for layer, distances in cached.items() if distances is not None}

    def keep(self, layer: str, distances: np.ndarray) -> None:
        """Write that of one layer."""
        content = io.BytesIO()
        np.save(content, distances)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file(layer), content.getvalue())

    def _file(self, layer: str) -> Path:
        return self.folder / f"{layer.replace(':', '@')}.{self.metric}.npy"


def rdms_of(
    network: Network,
    layers: Sequence[str],
    stimuli: StimulusSet,
    settings: RDMSettings,
    workers: Cluster | None = None,
    *,
    baseline: bool = False,
    pictures: Pictures | None = None,
) -> np.ndarray:
    """Return the RDMs of some layers, shape (n_layers, n_pairs), from the cache where it has them.

    RDMs are small and kept; activations are large, and only those of a network that the user
    named are kept as well: others are deleted again. A layer of a ``baseline`` may have no RDM (an
    untrained network can answer alike to all stimuli): its row is NaN.
    """
    private = network.weights.kind == "user"
    root = assets.cache_dir()
    # What is deleted again lies apart from what a user has extracted.
    apart = root / "baselines" if baseline else None
    extraction = Extraction(
        network, stimuli, device=settings.device, folder=apart, pictures=pictures
    ).on(workers)
    cached = _Cached(extraction.path.name, settings, stimuli)
    rdms: dict[str, np.ndarray] = {}

    def look() -> list[str]:
        rdms.update(cached.rdms([layer for layer in layers if layer not in rdms]))
        return [layer for layer in layers if layer not in rdms]

    if look():
        # Whoever waited for another process finds its RDMs, whose activations may be gone.
        with assets.held(cached.folder):
            todo = look()
            try:
                if todo:
                    with share(EXTRACTION_SHARE):
                        store = extraction.run(
                            todo, batch_size=settings.batch_size, cluster=workers,
                            progress=settings.progress,
                        )  # fmt: skip
                    n_values = [math.prod(store.array(layer).shape) for layer in todo]
                    with share(1 - EXTRACTION_SHARE):
                        for layer in track(
                            todo, desc="RDMs", unit="layer", work=n_values,
                            progress=settings.progress,
                        ):  # fmt: skip
                            try:
                                rdms[layer] = _rdm(
                                    network, store.array(layer), stimuli, layer, cached.metric
                                )
                            except UndefinedRDM:
                                if not baseline:
                                    raise
                                rdms[layer] = np.full(cached.n_pairs, np.nan)
                                continue
                            if not private:
                                cached.keep(layer, rdms[layer])
            finally:
                # What nobody will ask for again goes, if it is finished or can never be.
                if private or (baseline and len(rdms) == len(layers)):
                    shutil.rmtree(extraction.path, ignore_errors=True)
    return np.stack([rdms[layer] for layer in layers])


class UndefinedRDM(ProbeError):
    """A layer that tells no stimuli apart, or responds to one in a way that has no distance."""


def _rdm(
    network: Network,
    responses: LayerArray,
    stimuli: StimulusSet,
    layer: str,
    metric: str,
) -> np.ndarray:
    try:
        distances = rdm(responses, metric)
    except BadPatternError as error:
        others = f" (and {error.count - 1} more)" if error.count > 1 else ""
        raise UndefinedRDM(
            f"layer {layer!r} of {network.name}: stimulus {stimuli.ids[error.row]!r}{others} "
            f"{error.what}"
        ) from None
    if is_constant(distances):
        raise UndefinedRDM(
            f"layer {layer!r} of {network.name}: all stimuli are equally far apart, "
            "the RDM is constant"
        )
    return distances


def _read_rdm(path: Path, n_pairs: int) -> np.ndarray | None:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    usable = values.shape == (n_pairs,) and values.dtype == np.float64 and np.isfinite(values).all()
    return values if usable else None
