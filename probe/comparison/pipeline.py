"""How like a visual area each layer of a network is: flow 1 from start to end.

stimuli → network → activations per layer → RDM per layer ↘
recording → responses → RDM per subject → comparator → inference → `RSAResult`
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cluster import Cluster, connect
from probe.comparison.inputs import load_network, load_recordings
from probe.comparison.layer_rdms import UNTRAINED_SEEDS, NetworkRDMs
from probe.comparison.layer_scores import N_SPLITS, score_layers
from probe.comparison.over_time import compare_over_time
from probe.comparison.result import RSAResult
from probe.comparison.result_map import Failure, RSAMap
from probe.comparison.result_over_time import RSAOverTime
from probe.comparison.settings import RSASettings
from probe.errors import ProbeError
from probe.models import Network, check_models
from probe.output.provenance import command_line
from probe.progress import track, whole
from probe.recordings import Recording
from probe.recordings.several import EVERY, several
from probe.recordings.timing import Step, Time

if TYPE_CHECKING:
    from distributed import Client
    from torch import nn

__all__ = ["N_SPLITS", "UNTRAINED_SEEDS", "rsa"]


def rsa(
    model: str | Network | nn.Module | Sequence[str | Network | nn.Module],
    dataset: str | Recording | Sequence[str | Recording],
    *,
    layers: str | Sequence[str] = "default",
    metric: str = "correlation",
    comparator: str = "auto",
    region: str | Sequence[str] | None = None,
    subject: str | None = None,
    min_reliability: float | None = None,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    baselines: str | bool = "default",
    resample: str | None = "stimuli",
    test: str = "auto",
    n_resamples: int = 1000,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    cluster: str | Client | Cluster | None = None,
    accept_licence: bool = False,
    time: Time = None,
    step: Step = None,
    output: str | Path | None = None,
    progress: bool | None = None,
) -> RSAResult | RSAMap | RSAOverTime:
    """Compare the layers of a network with a recording, or of several with several.

    Every layer's RDM is compared with the RDM of each subject. Scores are means over subjects,
    with a 95 % interval and tests against zero, against the noise ceiling and between layers,
    p-values corrected over layers. The best layer is chosen on one half of the stimuli and scored
    on the other. The pixels and the same network untrained are compared in the same way.

    Of several networks, recordings or regions, each is compared with each. Networks and recordings
    are loaded once. What cannot be had, a recording or a region, is told before any work begins;
    a comparison that fails later is left out, with a warning, and listed in `RSAMap.failures`.

    Parameters
    ----------
    model : str, Network, torch.nn.Module, or a sequence of these
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours. Names
        may be separated by commas: ``"alexnet,resnet18"``.
    dataset : str, Recording, or a sequence of these
        A name (`probe.recordings.available`), the path of a folder, or a recording of yours.
        Names may be separated by commas.
    layers : str or sequence of str
        Layer paths or aliases, or ``default``, ``all``, ``conv``, ``relu``, ``pool``, ``linear``,
        ``block``; as a string, separated by commas.
    metric : str
        Distance of both the network's and the recording's RDMs, one of `probe.similarity.METRICS`.
        Where the recording's allows for noise (``mahalanobis``, ``crossnobis``, ``poisson``), the
        network's is ``euclidean``.
    comparator : str
        ``auto``, or one of `probe.similarity.COMPARATORS`. ``auto`` is Spearman, or rho-a where a
        layer's RDM has many ties, since these would raise its Spearman correlation.
    region : str or sequence of str, optional
        By default, the recording's default region. Of several, a recording is compared in those
        that it has; ``'all'`` are all that it has.
    subject : str, optional
        By default, all.
    min_reliability : float, optional
        Of each recording, the neuroids that are at least as reliable, from 0 to 1. They are chosen
        on half of the repetitions and scored on the others, or chosen by the reliability that was
        published where only averages were: see `probe.recordings.select_reliable`. By default, all.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        ``resize``: the whole picture resized to the network's input, since a crop would remove
        what the animal saw. ``torchvision``: what the weights were trained with.
    baselines : {'default', 'classic', 'none'} or bool
        What else is compared, in the same way. ``default``, or True: the pixels and three untrained
        networks. ``classic``: also what came before, `probe.models.known.BASELINES`. ``none``, or
        False: nothing.
    resample : {'stimuli', 'subjects', 'both', None}
        What the interval and the tests generalise to: other stimuli, other subjects, both (which
        takes several subjects), or nothing. See `probe.inference.evaluate`.
    test : {'auto', 'permutation', 't', 'bootstrap', 'sign-flip'}
        See `probe.inference.evaluate`.
    n_resamples : int
        Bootstrap samples, and permutations.
    seed : int
        Of the resamples, the splits, the choice of neuroids and, with ``weights='random'``, the
        initialisation.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    batch_size : int, optional
        Images per forward pass.
    cluster : str, distributed.Client or Cluster, optional
        Where to compute, see `probe.cluster.connect`: ``'local:4'``, ``'tcp://HOST:8786'``,
        ``'slurm:10'``, or a Dask client of yours. Of several networks, each is a task; for one,
        its images and the resamples are. On the same kind of processor, the numbers are those of
        one process. Workers read and write the cache, and the files that are named, where this
        process does: they share its file system.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    time : (float, float) or str, optional
        Of recordings with a time axis: from when to when after stimulus onset, in ms; the end is
        not included. ``(70, 170)``, or ``"70,170ms"``.
    step : float or str, optional
        Divide the time into steps of so many ms, and compare at each: an `RSAOverTime`. Of one
        network and one recording. Intervals, of scores and of the latencies of their peaks, and
        the test are as `probe.inference.evaluate_over_time` has them.
    output : str or Path, optional
        A folder: each result is saved there as soon as there is one, and of several the map at the
        end. What was finished before an interruption stays.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    RSAResult, RSAMap or RSAOverTime
        An `RSAMap` if several things were asked for: a sequence, names separated by commas, or
        ``region='all'``. An `RSAOverTime` with a ``step``.

    Raises
    ------
    ProbeError
        If something that was named does not exist, a file is broken, or a score is undefined; of
        several comparisons, if all fail.

    See Also
    --------
    compare : RDMs that you already have.
    align : By CKA, Procrustes, CCA or soft matching in place of RDMs.
    encode : Predict each site from the layers.
    searchlight : Around every voxel or vertex.
    probe.models.describe : The names of layers.

    References
    ----------
    Kriegeskorte, Mur & Bandettini 2008, Front Syst Neurosci 2:4; Nili et al. 2014, PLoS Comput
    Biol 10:e1003553; Schütt et al. 2023, eLife 12:e82566.

    Examples
    --------
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> result = probe.rsa(network, "sim-v4", layers="1", baselines="none", n_resamples=100)
    >>> result.table[["layer", "kind"]].values.tolist()
    [['1', 'layer']]
    >>> result.save("results/mine")  # doctest: +SKIP
    >>> probe.rsa(["alexnet", "resnet18"], "v4").plot()  # doctest: +SKIP
    """
    settings = RSASettings.of(locals()).checked(remote=cluster is not None)
    named_models, named_datasets = several(model), several(dataset)
    one = named_models is named_datasets is None and region != EVERY and several(region) is None
    if step is not None and not one:
        raise ProbeError(
            "over time (--step), one network is compared with one recording in one region: name "
            "one of each"
        )
    networks = check_models(named_models or [model], weights, preprocessing)
    with connect(cluster) as workers, whole("rsa", progress):
        loaded = load_recordings(named_datasets or [dataset], region, subject, settings)
        if not one:
            return _compare_all(networks, loaded, settings, output, workers)
        network = load_network(networks[0], settings)
        rdms = NetworkRDMs(network, settings, workers)
        result: RSAResult | RSAOverTime
        if settings.step is not None:
            result = compare_over_time(rdms, loaded[0], settings)
        else:
            result = score_layers(rdms, loaded[0], settings, workers)
    if output is not None:
        result.save(output)
    return result


def _compare_all(
    networks: Sequence[str | Network],
    loaded: Sequence[Recording],
    settings: RSASettings,
    output: str | Path | None,
    workers: Cluster | None,
) -> RSAMap:
    """Compare each network with each recording; what fails is noted, and the rest goes on."""
    results: list[RSAResult] = []
    failures: list[Failure] = []
    if workers is not None and len(networks) > 1:
        outcomes = _spread_out(networks, loaded, settings, workers)
    else:
        outcomes = _one_by_one(networks, loaded, settings, workers)
    with closing(outcomes):
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                failures.append(outcome)
                continue
            results.append(outcome)
            if output is not None:
                outcome.save(Path(output).expanduser() / RSAMap(results).folders[-1])
    for failure in failures:
        warnings.warn(f"no result for {failure.message}", UserWarning, stacklevel=3)
    if not results:
        n = len(failures)
        raise ProbeError(
            failures[0].message + (f" (and {n - 1} others, which failed too)" if n > 1 else "")
        ) from failures[0].error
    result_map = RSAMap(results, failures)
    if output is not None:
        result_map.save_map(output)
    return result_map


def _one_by_one(
    networks: Sequence[str | Network],
    loaded: Sequence[Recording],
    settings: RSASettings,
    workers: Cluster | None = None,
) -> Generator[RSAResult | Failure]:
    """Compare each network with all recordings, one after the other."""
    n = len(networks) * len(loaded)
    with track(total=n, unit="comparison", work=[1.0] * n, progress=settings.progress) as bar:
        for m, model in enumerate(networks):
            rdms: NetworkRDMs | Exception | None = None
            for k, recording in enumerate(loaded):
                what = f"{_name(model)} and {recording.name} ({recording.regions[0]})"
                bar.set_description(f"{m * len(loaded) + k + 1} of {n}: {what}")
                if rdms is None:
                    try:
                        rdms = NetworkRDMs(load_network(model, settings), settings, workers)
                    except Exception as error:  # whatever it is, it concerns this network alone
                        rdms = error
                outcome: RSAResult | Failure
                if isinstance(rdms, Exception):
                    outcome = _failure(model, recording, rdms)
                else:
                    try:
                        outcome = score_layers(rdms, recording, settings, workers)
                    except Exception as error:
                        outcome = _failure(model, recording, error)
                yield outcome
                bar.update()


def _spread_out(
    networks: Sequence[str | Network],
    loaded: Sequence[Recording],
    settings: RSASettings,
    workers: Cluster,
) -> Generator[RSAResult | Failure]:
    """Compare on workers, each a network with all recordings; yield results in order."""
    arrived: dict[int, list[RSAResult | Failure]] = {}
    following = 0
    try:
        for index, of_network in workers.map(
            _on_worker,
            networks,
            shared=(loaded, replace(settings, progress=False)),
            sizes=[len(loaded)] * len(networks),
            keep_errors=True,
            unit="comparison",
            progress=settings.progress,
        ):
            if isinstance(of_network, Exception):  # as when workers die of it
                of_network = [
                    _failure(networks[index], recording, of_network) for recording in loaded
                ]
            for outcome in of_network:
                if isinstance(outcome, RSAResult):
                    outcome.provenance["command"] = command_line()
            arrived[index] = of_network
            while following in arrived:
                yield from arrived.pop(following)
                following += 1
    except KeyboardInterrupt:
        for index in sorted(arrived):  # what was finished stays
            yield from arrived.pop(index)
        raise


def _on_worker(
    loaded: Sequence[Recording], settings: RSASettings, model: str | Network
) -> list[RSAResult | Failure]:
    return [
        outcome if isinstance(outcome, RSAResult) else _portable(outcome)
        for outcome in _one_by_one([model], loaded, settings)
    ]


def _portable(failure: Failure) -> Failure:
    """Put an error that cannot be sent into words."""
    try:
        pickle.loads(pickle.dumps(failure.error))
    except Exception:
        error = failure.error
        return replace(failure, error=RuntimeError(f"{type(error).__name__}: {error}"))
    return failure


def _name(model: str | Network) -> str:
    return model if isinstance(model, str) else model.name


def _failure(model: str | Network, recording: Recording, error: Exception) -> Failure:
    return Failure(_name(model), recording.name, recording.regions[0], error)
