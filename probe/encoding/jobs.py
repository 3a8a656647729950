"""The layers that sites are fitted from: those of a network, and of the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from probe import assets, models
from probe.activations import PIXELS, Extraction
from probe.activations.extract import WHOLE
from probe.activations.reduce import GaussianFields
from probe.activations.store import ActivationStore
from probe.cluster import Cluster
from probe.encoding.fields import Layout
from probe.encoding.gabor import gabor_network
from probe.encoding.layer_fit import BRAINSCORE_ALPHAS, Plan
from probe.encoding.readouts import layout_of
from probe.encoding.settings import EncodeSettings
from probe.models import LayerInfo, Network
from probe.models.baselines import baselines_of, untrained
from probe.progress import share
from probe.recordings import Recording

UNTRAINED_SEED = 0


def plan_of(settings: EncodeSettings, groups: np.ndarray | None) -> Plan:
    """Return how each layer is fitted by itself; stimuli of a group are left out together."""
    if settings.protocol == "brainscore-ridgecv":
        return Plan("full", "ridge", shared_alpha=True, alphas=tuple(BRAINSCORE_ALPHAS))
    method = "ridge" if settings.method == "banded" else settings.method
    return Plan(settings.readout, method, settings.n_components, groups=_numbered(groups))


def banded_plan_of(settings: EncodeSettings, groups: np.ndarray | None) -> Plan | None:
    """Return how all layers are fitted together, if they are."""
    if settings.method != "banded":
        return None
    return Plan(settings.readout, "banded", seed=settings.seed, groups=_numbered(groups))


def _numbered(groups: np.ndarray | None) -> tuple[int, ...] | None:
    """Number the groups of stimuli, (n,)."""
    if groups is None:
        return None
    return tuple(np.unique(groups, return_inverse=True)[1].tolist())


@dataclass(frozen=True, eq=False)
class Job:
    """One layer to be fitted, of the network or of a baseline."""

    kind: str
    network: Network
    layer: str
    info: LayerInfo | None
    layout: Layout | None
    plan: Plan
    title: str

    @property
    def columns(self) -> dict[str, Any]:
        """What a table says of it."""
        info = self.info
        kind = info.type if info and self.kind in ("layer", "untrained") else self.title
        is_classic = self.kind == "classic"
        return {
            "kind": self.kind,
            "layer": self.title if is_classic else self.layer,
            "alias": info.alias if info and self.kind in ("layer", "untrained") else "",
            "type": self.network.name if is_classic else kind,
            "n_neuroids": math.prod(info.output_shape)
            if info
            else math.prod(self.network.input_shape),
            "shown": self.layer if self.kind == "layer" else self.title,
        }


def jobs_of(
    network: Network,
    infos: Sequence[LayerInfo],
    settings: EncodeSettings,
    groups: np.ndarray | None,
) -> list[Job]:
    """List the layers that are fitted: those of the network, then the baselines."""
    plan = plan_of(settings, groups)
    layouts = {info.name: layout_of(info) for info in infos}
    jobs = [
        Job("layer", network, info.name, info, layouts[info.name], plan, info.name)
        for info in infos
    ]
    if settings.baselines == "none":
        return jobs
    if network.architecture is not None:
        blank = untrained(network, UNTRAINED_SEED)
        jobs += [
            Job("untrained", blank, info.name, info, layouts[info.name], plan,
                 f"untrained {info.alias or info.name}")
            for info in infos
        ]  # fmt: skip
    # Pixels have no channels to pool: each has its own weight.
    full = replace(plan, readout="full")
    jobs.append(Job("pixels", network, PIXELS, None, None, full, "pixels"))
    gabor = gabor_network()
    (info,) = [info for info in models.layers(gabor) if info.name == "gabor"]
    channels, height, width = info.output_shape
    layout = Layout(channels, height, width)
    jobs.append(Job("gabor", gabor, "gabor", info, layout, plan, "Gabor energy"))
    if settings.baselines == "classic":
        jobs += [
            Job("classic", baseline.network, info.name, info, layout_of(info), plan, name)
            for baseline in baselines_of(network, progress=settings.progress)
            for info, name in zip(baseline.layers, baseline.names, strict=True)
        ]
    return jobs


def extract_jobs(
    jobs: Sequence[Job], recording: Recording, settings: EncodeSettings, workers: Cluster | None
) -> list[ActivationStore]:
    """Return the activations of each job: pooled with all fields, where that is what it needs.

    A hundred numbers per channel in place of all positions: of VGG-16's layers, 2 GB in place of
    69 for 640 stimuli.
    """
    root = assets.cache_dir() / "baselines"
    stores: dict[int, ActivationStore] = {}
    alike: dict[tuple[int, Any], list[int]] = {}
    for k, job in enumerate(jobs):
        pools = job.plan.pools(job.layout)
        alike.setdefault((id(job.network), job.plan.fields if pools else None), []).append(k)
    for (_, pooled), indices in alike.items():
        network = jobs[indices[0]].network
        extraction = Extraction(
            network, recording.stimuli,
            reducer=GaussianFields.of(pooled) if pooled else WHOLE,
            device=settings.device,
            folder=root if jobs[indices[0]].kind in ("untrained", "classic") else None,
        )  # fmt: skip
        with share(len(indices) / len(jobs)):
            store = extraction.run(
                [jobs[k].layer for k in indices], batch_size=settings.batch_size, cluster=workers,
                progress=settings.progress,
            )  # fmt: skip
        stores |= dict.fromkeys(indices, store)
    return [stores[k] for k in range(len(jobs))]
