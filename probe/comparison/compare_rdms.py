"""RDMs that there are, compared: models with data, of files, arrays or recordings.

RDMs of models ↘
RDMs of subjects → matched by stimulus → comparator → inference → `Comparison`
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from probe import inference
from probe.cluster import Cluster, connect
from probe.comparison.recorded import rdms_of_recording
from probe.comparison.result_compare import Comparison
from probe.comparison.settings import CompareSettings
from probe.errors import ProbeError
from probe.output.provenance import provenance_of
from probe.progress import track
from probe.recordings import Recording
from probe.similarity.comparators import choose_comparator
from probe.similarity.rdm_set import RDMs, match

if TYPE_CHECKING:
    from distributed import Client

PACKAGES = ("numpy", "scipy", "numba")
"""Packages that the numbers depend on."""


def compare(
    models: str | Path | RDMs | Sequence[str | Path | RDMs],
    data: str | Path | RDMs | Recording,
    *,
    comparator: str = "auto",
    resample: str | None = "stimuli",
    test: str = "auto",
    n_resamples: int = 1000,
    seed: int = 0,
    common: bool = False,
    metric: str | None = None,
    cluster: str | Client | Cluster | None = None,
    output: str | Path | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Compare RDMs that you already have: models with data.

    Every RDM of the models is compared with every RDM of the data, a subject each. Scores are
    means over subjects, with intervals and tests as `probe.rsa` has them. Stimuli are matched by
    name; those of RDMs without names are taken to be in the order of the others, and the result
    says so.

    Parameters
    ----------
    models : path, RDMs, or a sequence of these
        Files with RDMs (``.npz``, ``.npy``, ``.mat``, ``.csv``, ``.tsv``, ``.hdf5``, ``.pkl``; see
        `probe.similarity.RDMs.load`), or RDMs.
    data : path, RDMs or Recording
        Of a recording, of one region, the RDM of each subject is computed.
    comparator : str
        ``auto``, or one of `probe.similarity.COMPARATORS`. ``auto`` is Spearman, or rho-a where a
        model's RDM has ties.
    resample : {'stimuli', 'subjects', 'both', None}
        What intervals and tests generalise to, see `probe.inference.evaluate`.
    test : {'auto', 'permutation', 't', 'bootstrap', 'sign-flip'}
        See `probe.inference.evaluate`.
    n_resamples : int
        Number of bootstrap samples, and of permutations, at least 2.
    seed : int
        Seed of the resamples.
    common : bool
        Leave out stimuli that are not in all sets, which else are an error.
    metric : str, optional
        Distance of a recording's RDMs; by default that of the models.
    cluster : str, distributed.Client or Cluster, optional
        Where the resamples are computed, see `probe.cluster.connect`; the numbers are the same.
    output : str or Path, optional
        A folder where the result is saved.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Comparison
        ``table`` (a row per model), ``pairs`` (a row per two models), and the figure.

    Raises
    ------
    ProbeError
        If a file cannot be read, stimuli do not match, or a score is undefined (saying for which
        model or subject).

    See Also
    --------
    rsa : compares the layers of a network with a recording.
    probe.inference.evaluate : the same on arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import probe
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random(66)
    >>> models = probe.similarity.RDMs([truth, rng.random(66)], ["good", "poor"])
    >>> data = probe.similarity.RDMs(truth + 0.1 * rng.random((3, 66)), ["a", "b", "c"])
    >>> probe.compare(models, data, n_resamples=100).table[["model", "score"]].round(2)
      model  score
    0  good   0.99
    1  poor   0.10
    """
    settings = CompareSettings.of(locals()).checked()
    sources = [models] if isinstance(models, str | Path | RDMs) else list(models)
    matched = _match([_read(source) for source in sources], data, settings)
    name, remarks = choose_comparator(matched.models, settings.comparator)
    with connect(cluster) as workers:
        try:
            evaluation = inference.evaluate(
                matched.models.distances,
                matched.data.distances,
                name,
                resample=settings.resample,
                test=settings.test,
                n_resamples=settings.n_resamples,
                seed=settings.seed,
                names=matched.models.labels,
                subjects=matched.data.labels,
                track=functools.partial(
                    track, desc="resamples", unit="resample", progress=progress
                ),
                executor=workers,
            )
        except ValueError as error:
            raise ProbeError(str(error)) from None
    facts = {
        "comparator": name,
        "resample": evaluation.resample,
        "test": evaluation.test,
        "n_resamples": settings.n_resamples,
        "seed": settings.seed,
        "stimuli": matched.how,
    }
    result = Comparison(
        evaluation=evaluation,
        models=matched.models,
        data=matched.data,
        aliases=matched.aliases,
        facts=facts,
        remarks=matched.remarks + remarks,
        provenance=provenance_of(facts, PACKAGES) | {"sha256": matched.sha256},
    )
    if output is not None:
        result.save(output)
    return result


@dataclass(frozen=True)
class _Source:
    """RDMs, and the file that they are from."""

    rdms: RDMs
    path: Path | None = None

    @property
    def name(self) -> str:
        """What it is called in errors and remarks."""
        return str(self.path) if self.path else f"RDMs {self.rdms.labels[0]!r}, …"

    @property
    def prefix(self) -> str:
        """What tells its labels from those of other sources."""
        return str(self.path.with_suffix("") if self.path else self.rdms.attrs.get("model", ""))


@dataclass(frozen=True)
class _Matched:
    """Models and data over the same stimuli.

    Attributes
    ----------
    models, data : RDMs
    how : str
        How stimuli were matched.
    aliases : dict of str to str
        Short names of models that are layers.
    remarks : list of str
        What else has to be known.
    sha256 : dict of str to str
        Of the files.
    """

    models: RDMs
    data: RDMs
    how: str
    aliases: dict[str, str]
    remarks: list[str]
    sha256: dict[str, str]


def _read(source: str | Path | RDMs) -> _Source:
    """Read a file with RDMs; RDMs are taken as they are."""
    if isinstance(source, RDMs):
        return _Source(source)
    if not isinstance(source, str | Path):
        raise ProbeError(
            f"a {type(source).__name__} was named: expected RDMs, or the path of a file with RDMs"
        )
    try:
        return _Source(RDMs.load(source), Path(source))
    except ValueError as error:
        raise ProbeError(str(error)) from None


def _read_data(
    data: str | Path | RDMs | Recording, models: Sequence[_Source], metric: str | None
) -> _Source:
    """Read the data; of a recording, compute the RDM of each subject."""
    if not isinstance(data, Recording):
        if metric is not None:
            raise ProbeError(f"metric {metric!r} is for recordings: RDMs have the one they have")
        return _read(data)
    metrics = {source.rdms.metric for source in models}
    if metric is None:
        (metric,) = metrics if len(metrics) == 1 else (None,)
    if metric is None:
        raise ProbeError(
            f"recording {data.name!r}: expected metric=, the distance of its RDMs, since the "
            "models do not all name the same"
        )
    return _Source(rdms_of_recording(data, metric))


def _match(
    models: Sequence[_Source], data: str | Path | RDMs | Recording, settings: CompareSettings
) -> _Matched:
    """Bring models and data to the same stimuli.

    Raises
    ------
    ProbeError
        If they cannot be matched.
    """
    sources = [*models, _read_data(data, models, settings.metric)]
    remarks = []
    nameless = [source.name for source in sources if not source.rdms.named]
    how = "matched by name"
    if len(nameless) == len(sources):
        files = all(source.path for source in sources)
        how = f"matched by their order: no {'file' if files else 'set of RDMs'} names them"
    elif nameless:
        verb = "does" if len(nameless) == 1 else "do"
        how = f"matched by their order: {', '.join(nameless)} {verb} not name them"
        remarks.append(f"Stimuli of {nameless[0]} have no names: taken to be in the same order.")
    try:
        rdms = match([source.rdms for source in sources], common=settings.common)
    except ValueError as error:
        leave_out = (
            ""
            if settings.common or nameless
            else ("; --common leaves out what is not in all files")
        )
        raise ProbeError(f"the stimuli do not match: {error}{leave_out}") from None
    n_dropped = max(source.rdms.n_stimuli for source in sources) - rdms[0].n_stimuli
    if n_dropped:
        remarks.append(f"Left out: up to {n_dropped} stimuli of a file that are not in all files.")
    *of_models, of_data = rdms
    of_models = _distinct(models, of_models)
    try:
        together = RDMs.concatenate(of_models)
    except ValueError as error:
        raise ProbeError(str(error)) from None
    return _Matched(
        models=together,
        data=of_data,
        how=how,
        aliases=_aliases(of_models),
        remarks=remarks,
        sha256={
            source.name: hashlib.sha256(source.path.read_bytes()).hexdigest()
            for source in sources
            if source.path
        },
    )


def _distinct(sources: Sequence[_Source], sets: Sequence[RDMs]) -> list[RDMs]:
    """Return RDMs whose labels differ: where they do not, the name of their file comes first."""
    labels = [label for rdms in sets for label in rdms.labels]
    if len(set(labels)) == len(labels):
        return list(sets)
    prefixes = [source.prefix or f"set {k + 1}" for k, source in enumerate(sources)]
    return [
        replace(rdms, labels=tuple(f"{prefix}:{label}" for label in rdms.labels))
        for prefix, rdms in zip(prefixes, sets, strict=True)
    ]


def _aliases(sets: Sequence[RDMs]) -> dict[str, str]:
    """Return what models are called in figures: layers by their aliases, as `probe rsa` does."""
    aliases: dict[str, str] = {}
    for rdms in sets:
        of_layers = rdms.attrs.get("aliases")
        of_layers = of_layers if isinstance(of_layers, dict) else {}
        aliases |= {label: str(of_layers.get(label) or label) for label in rdms.labels}
    # Of networks that share an alias, as conv1, each layer goes by its path.
    if len(set(aliases.values())) < len(aliases):
        return {label: label for label in aliases}
    return aliases
