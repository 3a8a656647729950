"""RDMs of a network's layers and of its baselines: each computed once, and kept in the cache."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probe import assets, models
from probe.activations import PIXELS, ActivationStore, Extraction
from probe.cluster import Cluster
from probe.comparison.settings import RDMSettings
from probe.errors import ProbeError
from probe.models import Network
from probe.output.files import write_atomically
from probe.progress import track
from probe.similarity import rdm
from probe.similarity.comparators import is_constant
from probe.similarity.rdm_set import RDMs
from probe.similarity.rdms import NOISE_METRICS, BadPatternError
from probe.stimuli import StimulusSet

UNTRAINED_SEEDS = (0, 1, 2)
"""Seeds of the untrained networks that every comparison carries."""

COUNTERPART = dict.fromkeys(NOISE_METRICS, "euclidean")
"""The network's distance, where the recording's allows for noise: a network has none."""


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
    """

    names: list[str]
    trained: np.ndarray
    pixels: np.ndarray
    untrained: dict[int, np.ndarray]

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
        self._found: dict[str, LayerRDMs] = {}

    def over(self, stimuli: StimulusSet) -> LayerRDMs:
        """Return the RDMs over some stimuli."""
        if stimuli.hash not in self._found:
            self._found[stimuli.hash] = self._compute(stimuli)
        return self._found[stimuli.hash]

    def _compute(self, stimuli: StimulusSet) -> LayerRDMs:
        network, settings, workers = self.network, self.settings, self.workers
        names = [info.name for info in self.layers]
        names_and_pixels = [*names, PIXELS] if settings.baselines else names
        trained = rdms_of(network, names_and_pixels, stimuli, settings, workers)
        untrained: dict[int, np.ndarray] = {}
        if settings.baselines and network.architecture is not None:
            for seed in UNTRAINED_SEEDS:
                blank = models.load(
                    network.architecture, "random", seed=seed, preprocessing=network.preprocessing
                )
                named = blank.weights.sha256 == network.weights.sha256
                untrained[seed] = rdms_of(
                    blank, names, stimuli, settings, workers, baseline=not named
                )
        return LayerRDMs(names, trained[: len(names)], trained[len(names) :], untrained)


def rdms_of(
    network: Network,
    layers: Sequence[str],
    stimuli: StimulusSet,
    settings: RDMSettings,
    workers: Cluster | None = None,
    *,
    baseline: bool = False,
) -> np.ndarray:
    """Return the RDMs of some layers, shape (n_layers, n_pairs), from the cache where it has them.

    RDMs are small and kept; activations are large, and only those of a network that the user
    named are kept as well. A layer of a ``baseline`` may have no RDM (an untrained network can
    answer alike to all stimuli): its row is NaN.
    """
    metric = COUNTERPART.get(settings.metric, settings.metric)
    private = network.weights.kind == "user"
    root = assets.cache_dir()
    # What is deleted again lies apart from what a user has extracted.
    apart = root / "baselines" if baseline else None
    extraction = Extraction(network, stimuli, device=settings.device, folder=apart).on(workers)
    key = extraction.path.name
    n_pairs = len(stimuli) * (len(stimuli) - 1) // 2
    files = {
        layer: root / "rdms" / key / f"{layer.replace(':', '@')}.{metric}.npy" for layer in layers
    }
    rdms: dict[str, np.ndarray] = {}

    def look() -> list[str]:
        for layer in layers:
            if layer not in rdms and (cached := _read_rdm(files[layer], n_pairs)) is not None:
                rdms[layer] = cached
        return [layer for layer in layers if layer not in rdms]

    if look():
        # Whoever waited for another process finds its RDMs, whose activations may be gone.
        with assets.held(root / "rdms" / key):
            todo = look()
            try:
                store = extraction.run(
                    todo, batch_size=settings.batch_size, cluster=workers,
                    progress=settings.progress,
                )  # fmt: skip
                bar = track(todo, desc="RDMs", unit="layer", progress=settings.progress)
                for layer in bar:
                    try:
                        rdms[layer] = _rdm(network, store, stimuli, layer, metric)
                    except UndefinedRDM:
                        if not baseline:
                            raise
                        rdms[layer] = np.full(n_pairs, np.nan)
                        continue
                    if not private:
                        content = io.BytesIO()
                        np.save(content, rdms[layer])
                        files[layer].parent.mkdir(parents=True, exist_ok=True)
                        write_atomically(files[layer], content.getvalue())
            finally:
                # What nobody will ask for again goes, if it is finished or can never be.
                if private or (baseline and len(rdms) == len(layers)):
                    shutil.rmtree(extraction.path, ignore_errors=True)
    return np.stack([rdms[layer] for layer in layers])


class UndefinedRDM(ProbeError):
    """A layer that tells no stimuli apart, or responds to one in a way that has no distance."""


def _rdm(
    network: Network, store: ActivationStore, stimuli: StimulusSet, layer: str, metric: str
) -> np.ndarray:
    try:
        distances = rdm(store.array(layer), metric)
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
