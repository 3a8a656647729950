"""Sites fitted from many layers: here, one after the other, or on the workers of a cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.activations.store import ActivationStore
from probe.cluster import Cluster
from probe.encoding.banded_fit import BandedPatterns
from probe.encoding.fields import Layout
from probe.encoding.jobs import Job, extract_jobs
from probe.encoding.layer_fit import LayerFit, Patterns, Plan, fit_blocks, prepare
from probe.encoding.ridge import Split
from probe.encoding.settings import EncodeSettings
from probe.errors import ProbeError
from probe.models import measures
from probe.progress import share, track
from probe.recordings import Recording

FIT_MULTIPLY_ADDS = 1.5e9
"""What fitting one layer takes, in multiply-adds of the network for a picture. Measured on two
processor cores: AlexNet (0.7e9) runs on 640 stimuli in 6 s of processor time, and sites are fitted
from its conv3 in 13 s. For the estimate of the time that is left alone."""


@dataclass(frozen=True, eq=False)
class Data:
    """What is fitted: the same for every layer.

    Attributes
    ----------
    responses : numpy.ndarray, shape (n, m)
        Of all sites: recorded ones first, then permuted ones.
    splits : sequence of (training, test) indices
    n_recorded : int
        The first so many sites are needed as a readout.
    used : tuple of int or None
        Which stimuli of the recording these are; by default all.
    """

    responses: np.ndarray
    splits: Sequence[Split]
    n_recorded: int
    used: tuple[int, ...] | None = None

    @property
    def n_sites(self) -> int:
        """How many sites are fitted, permuted ones among them."""
        return self.responses.shape[1]


def fit_jobs(
    jobs: Sequence[Job],
    banded: Plan | None,
    recording: Recording,
    data: Data,
    settings: EncodeSettings,
    workers: Cluster | None,
) -> list[LayerFit]:
    """Extract and fit all layers, in the order of jobs; then, last, those of the network together.

    Sites are fitted some at a time. On a cluster, each time is a task: so a process may read a
    layer again that another has read, and none waits for the longest.
    """
    of_extraction = _extraction_share(jobs)
    with share(of_extraction):
        stores = extract_jobs(jobs, recording, settings, workers)
    layers = [(store.path, job.layer, job.layout) for job, store in zip(jobs, stores, strict=True)]
    tasks = [
        Task((layer,), job.plan, job.network.name, job.title)
        for layer, job in zip(layers, jobs, strict=True)
    ]
    of_network = [layer for layer, job in zip(layers, jobs, strict=True) if job.kind == "layer"]
    if banded is not None:
        tasks.append(Task(tuple(of_network), banded, jobs[0].network.name, "all together"))
    fits: list[LayerFit] = []
    try:
        with share(1 - of_extraction):
            fits = (
                _fit_here(tasks, data, settings)
                if workers is None
                else _fit_there(tasks, data, settings, workers)
            )
        return fits
    finally:
        user = [job.network.weights.kind == "user" for job in jobs]
        if user[0]:  # sites are read from all together, or from the layers
            last = fits[-1:] if banded else fits[: len(of_network)]
            for readout in (readout for one in last for readout in one.readouts):
                if readout.training is not None:
                    readout.hold()
        for is_user, store in zip(user, stores, strict=True):
            if is_user:  # nobody will ask for these again
                shutil.rmtree(store.path, ignore_errors=True)


def _extraction_share(jobs: Sequence[Job]) -> float:
    """Return the expected share of running the networks, in 0–1.

    A module of the user's own is not run for it, and taken for one that costs as much as its fit.
    """
    networks = {id(job.network): job.network for job in jobs}
    running = FIT_MULTIPLY_ADDS * sum(net.architecture is None for net in networks.values())
    for network in networks.values():
        if network.architecture is not None:
            with contextlib.suppress(ProbeError):
                running += measures(network).total_multiply_adds
    return running / (running + FIT_MULTIPLY_ADDS * len(jobs))


@dataclass(frozen=True)
class Task:
    """Layers whose activations are on disk, and how sites are fitted from them."""

    layers: tuple[tuple[Path, str, Layout | None], ...]
    plan: Plan
    network: str
    title: str

    @property
    def n_candidates(self) -> int:
        """How many are solved for some sites: the work, for a progress bar."""
        layouts = [layout for _, _, layout in self.layers]
        if self.plan.method == "banded":
            return BandedPatterns.n_candidates(self.plan, layouts)
        return self.plan.n_candidates(layouts[0])

    def prepare(self, used: tuple[int, ...] | None) -> Patterns:
        """Read the layers, of some stimuli or of all, and compute what all sites need of them."""
        read: list[tuple[Any, str, Layout | None]] = []
        for path, layer, layout in self.layers:
            array: Any = ActivationStore(path).complete(layer)
            if used is not None:
                array = np.asarray(array[np.array(used), :])
            read.append((array, layer, layout))
        if self.plan.method == "banded":
            return BandedPatterns(read, self.plan, self.network)
        ((array, layer, layout),) = read
        return prepare(
            array, layer, layout, self.plan, pooled=self.plan.pools(layout), network=self.network
        )


def _fit_here(tasks: Sequence[Task], data: Data, settings: EncodeSettings) -> list[LayerFit]:
    """Fit in this process, one task after the other."""
    fits = []
    n_blocks = [len(task.plan.blocks(data.n_sites, data.n_recorded)) for task in tasks]
    total = sum(task.n_candidates * n for task, n in zip(tasks, n_blocks, strict=True))
    with track(total=total, desc="fit", unit="fit", progress=settings.progress) as bar:

        def step(iterable: Iterable[Any], **_: Any) -> Iterable[Any]:
            for item in iterable:
                yield item
                bar.update()

        for task, n in zip(tasks, n_blocks, strict=True):
            bar.set_description(f"fit {task.title}")
            patterns = task.prepare(data.used)
            fits.append(
                fit_blocks(
                    patterns,
                    data.responses,
                    data.splits,
                    task.plan,
                    n_kept=data.n_recorded,
                    track=step,
                )
            )
            if task.plan.method == "pls":
                bar.update(n)
    return fits


def _fit_there(
    tasks: Sequence[Task], data: Data, settings: EncodeSettings, workers: Cluster
) -> list[LayerFit]:
    """Fit on workers: what takes longest first, so that none is waited for at the end."""
    pieces = [
        (k, task, block)
        for k, task in sorted(enumerate(tasks), key=lambda pair: -pair[1].n_candidates)
        for block in task.plan.blocks(data.n_sites, data.n_recorded)
    ]
    parts: dict[int, dict[int, LayerFit]] = {k: {} for k in range(len(tasks))}
    for index, part in workers.map(
        _fit_on_worker, [(task, block) for _, task, block in pieces],
        shared=(data.responses, data.splits, data.n_recorded, data.used),
        sizes=[task.n_candidates for _, task, _ in pieces],
        desc="fit", unit="fit", progress=settings.progress,
    ):  # fmt: skip
        parts[pieces[index][0]][index] = part
    with contextlib.suppress(Exception):
        workers.client.run(_forget, on_error="ignore")
    return [
        type(of_task[min(of_task)]).joined([of_task[index] for index in sorted(of_task)])
        for of_task in parts.values()
    ]


_prepared: dict[Any, Patterns] = {}
"""What a worker read last: pieces of one task follow each other."""


def _forget() -> None:
    """Free the memory of what was read."""
    _prepared.clear()


def _fit_on_worker(
    responses: np.ndarray,
    splits: Sequence[Split],
    n_recorded: int,
    used: tuple[int, ...] | None,
    piece: tuple[Task, slice],
) -> LayerFit:
    task, block = piece
    if (task, used) not in _prepared:
        _prepared.clear()  # first: there is memory for one
        _prepared[task, used] = task.prepare(used)
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return _prepared[task, used].fit(responses, splits, block, n_recorded, threads=n_threads)
