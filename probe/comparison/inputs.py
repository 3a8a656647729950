"""What is compared with what, and how: from what a user wrote."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe import models, recordings
from probe.activations.extract import resolve_device
from probe.errors import ProbeError, suggest
from probe.inference.evaluate import RESAMPLES, TESTS
from probe.models import Network
from probe.recordings import Recording
from probe.similarity import COMPARATORS, METRICS
from probe.similarity.rdms import NOISE_METRICS

if TYPE_CHECKING:
    from torch import nn

EVERY = "all"
"""Word for every region of a recording."""


@dataclass(frozen=True)
class Settings:
    """How networks and recordings are compared: the options of `probe.rsa`, which explains them."""

    layers: str | Sequence[str]
    metric: str
    comparator: str
    weights: str
    preprocessing: str
    baselines: bool
    resample: str | None
    test: str
    n_resamples: int
    seed: int
    device: str
    batch_size: int | None
    accept_licence: bool
    progress: bool | None

    def checked(self, *, remote: bool = False) -> Settings:
        """See that all this exists, before anything is downloaded or computed.

        The device of a ``remote`` comparison is that of a cluster's workers.

        Raises
        ------
        ProbeError
            With the nearest names of what does.
        """
        for what, given, known in (
            ("metric", self.metric, (*METRICS, *NOISE_METRICS)),
            ("comparator", self.comparator, ("auto", *COMPARATORS)),
            ("resample", self.resample or "none", (*RESAMPLES, "none")),
            ("test", self.test, TESTS),
        ):
            if given not in known:
                raise ProbeError(f"{what} {given!r} is unknown{suggest(given, known)}")
        for what, number, least in (("seed", self.seed, 0), ("n_resamples", self.n_resamples, 2)):
            if number < least:
                raise ProbeError(f"{what} is {number}; wanted {least} or more")
        if not remote:
            resolve_device(self.device)
        resample = None if self.resample == "none" else self.resample
        if self.test == "sign-flip" and resample != "subjects":
            raise ProbeError("test 'sign-flip' flips the signs of subjects: resample 'subjects'")
        if self.test in ("t", "bootstrap") and resample is None:
            raise ProbeError(f"test {self.test!r} needs something to resample: 'stimuli', …")
        return replace(self, seed=operator.index(self.seed), resample=resample)


def several(given: Any) -> list[Any] | None:
    """Tell the things of a list, or of a text with commas; None for a single thing.

    The name of a file or folder that exists is one thing, whatever commas it has.

    Raises
    ------
    ProbeError
        If a list is empty.
    """
    if not isinstance(given, str):
        if not isinstance(given, Iterable) or _is_module(given):
            return None
        if not (things := list(given)):
            raise ProbeError("an empty list: no model, dataset or region was named")
        return things
    paths = (given, given.removeprefix("file:"), given.partition("@")[2])
    if "," not in given or any(path and Path(path).expanduser().exists() for path in paths):
        return None
    return [part.strip() for part in given.split(",")]


def check_models(given: Sequence[str | Network | nn.Module], settings: Settings) -> list[Any]:
    """See that networks exist, and leave out those named twice, before anything is downloaded.

    Returns
    -------
    list of str or Network

    Raises
    ------
    ProbeError
        With the nearest names, if there is none of a name.
    """
    found: dict[str, str | Network] = {}
    for model in given:
        network = models.given(model, settings.weights, settings.preprocessing)
        if isinstance(network, str):
            found[network] = network
            continue
        if network.name in found:
            raise ProbeError(
                f"two networks are called {network.name!r}; probe.models.Network.from_module("
                "module, name=…) tells them apart"
            )
        found[network.name] = network
    return list(found.values())


def load_network(model: str | Network, settings: Settings) -> Network:
    """Load a network by its name."""
    if isinstance(model, Network):
        return model
    return models.load(
        model,
        settings.weights,
        seed=settings.seed,
        preprocessing=settings.preprocessing,
        accept_licence=settings.accept_licence,
        progress=settings.progress,
    )


def load_recordings(
    datasets: Sequence[str | Recording],
    region: str | Sequence[str] | None,
    subject: str | None,
    settings: Settings,
) -> list[Recording]:
    """Load recordings, one per dataset and region, in the order of datasets.

    Parameters
    ----------
    datasets : sequence of str or Recording
    region : str or sequence of str or None
        One region; several, of which every recording is compared in those that it has; ``all``;
        or None, the recording's default.
    subject : str or None
    settings : Settings

    Raises
    ------
    ProbeError
        If a recording cannot be had, or lacks the subject or all the regions.
    """

    def load(dataset: str | Recording, region: str | None) -> Recording:
        if isinstance(dataset, Recording):
            return dataset.select(region, subject)
        return recordings.load(
            dataset,
            region=region,
            subject=subject,
            accept_licence=settings.accept_licence,
            progress=settings.progress,
        )

    if region is None:
        return _different((dataset, load(dataset, None)) for dataset in datasets)
    if isinstance(region, str) and region != EVERY and several(region) is None:
        return _different((dataset, load(dataset, region)) for dataset in datasets)
    wanted = list(dict.fromkeys(several(region) or [EVERY]))
    there = [_regions_of(dataset, load) for dataset in datasets]
    known = list(dict.fromkeys(name for names in there for name in names))
    if unknown := [name for name in wanted if name not in (*known, EVERY)]:
        raise ProbeError(
            f"no region {unknown[0]!r} in these recordings{suggest(unknown[0], known)}"
        )
    pairs = []
    for dataset, names in zip(datasets, there, strict=True):
        chosen = names if EVERY in wanted else [name for name in wanted if name in names]
        if not chosen:
            name = dataset if isinstance(dataset, str) else dataset.name
            raise ProbeError(f"{name} has none of these regions{suggest(wanted[0], names)}")
        pairs += [(dataset, name) for name in chosen]
    return _different((dataset, load(dataset, name)) for dataset, name in pairs)


def _regions_of(
    dataset: str | Recording, load: Callable[[str | Recording, str | None], Recording]
) -> list[str]:
    if isinstance(dataset, Recording):
        return dataset.regions
    head = dataset.partition("/")[0]
    for entry in recordings.available():
        if head in (entry.name, *entry.aliases):
            return list(entry.regions)
    if Path(dataset).expanduser().is_dir():
        return recordings.from_folder(dataset).regions
    return load(dataset, None).regions  # says what is wrong with the name


def _different(loaded: Iterable[tuple[str | Recording, Recording]]) -> list[Recording]:
    """Leave out what was named twice; two recordings of one name cannot be told apart."""
    found: dict[tuple[str, ...], Recording] = {}
    for dataset, recording in loaded:
        key = (recording.name, *recording.regions)
        if key in found and isinstance(dataset, Recording):
            raise ProbeError(
                f"two recordings are called {recording.name!r}; the attribute 'name' of their "
                "data tells them apart"
            )
        found.setdefault(key, recording)
    return list(found.values())


def _is_module(given: Any) -> bool:
    from torch import nn

    return isinstance(given, nn.Module)  # nn.Sequential is iterable
