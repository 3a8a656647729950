"""The layers of a network and a recording, aligned response by response rather than by RDMs.

stimuli → network → activations per layer ↘
recording → responses → mean over repetitions → alignment → table
"""

from __future__ import annotations

import functools
import math
import operator
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pandas as pd

from probe import models, recordings
from probe.activations.extract import Extraction
from probe.errors import ProbeError, nearest
from probe.models import Network
from probe.models.devices import resolve_device
from probe.models.settings import DEVICE
from probe.output.files import Contents, csv
from probe.output.pictures import figure_png
from probe.output.result import Saved
from probe.output.text import number, p_value
from probe.plots import plot_alignment
from probe.progress import track
from probe.recordings import Recording
from probe.settings import Settings, option
from probe.similarity.alignment import ALIGNMENTS, Representation
from probe.similarity.rdms import BadPatternError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn


OWNER = ("region", "subject")
"""Coordinates that say whose neuroids are."""

ROUNDING = 1e-12
"""A score of permuted stimuli that is lower by less than this counts as equal."""


@dataclass(frozen=True)
class AlignmentSettings(Settings):
    """The numbers of an alignment, and where it is computed."""

    n_permutations: int = option(
        100, "Number of permutations of the stimuli; 0 leaves them out.", at_least=0
    )
    seed: int = option(0, "Seed of the permutations, and of random weights.", at_least=0)
    device: str = option("auto", DEVICE)

    def checked(self) -> Self:
        """Return the settings, on a device that exists."""
        settings = super().checked()
        resolve_device(settings.device)
        return replace(settings, seed=operator.index(settings.seed))


class Alignment(Saved, pd.DataFrame):
    """The table that `align` returns. Shows, draws and saves itself; a selection is plain."""

    FILES: ClassVar = ("table.csv", "figure.png")
    """What `save` writes."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    @property
    def title(self) -> str:
        """One line that says what was aligned with what."""
        if self.empty:
            return "No layers aligned"
        first = self.iloc[0]
        mark = "SIMULATED recording " if first["simulated"] else ""
        return (
            f"{first['model']} and {mark}{first['dataset']}: {first['method']}, "
            f"{first['n_stimuli']} stimuli"
        )

    def summary(self) -> pd.DataFrame:
        """Return the alignments as a person reads them, of strings."""
        columns = {name: list(self[name]) for name in ("layer", "alias", "region", "subject")}
        if not any(columns["alias"]):
            del columns["alias"]
        columns |= {name: [number(value) for value in self[name]] for name in ("score", "chance")}
        return pd.DataFrame(columns | {"p": [p_value(p) for p in self["p"]]})

    def notes(self) -> list[str]:
        """Return in sentences what the table alone does not say."""
        if self["chance"].isna().all():
            return ["No permutations: what chance would score is not known."]
        notes = [
            "Chance: mean score of permuted stimuli; p: share of permutations that score as high."
        ]
        if self["simulated"].any():
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def plot(  # type: ignore[override]
        self, ax: Axes | None = None, *, legend: bool = True
    ) -> Axes:
        """Draw alignment along the layers, beside chance; see `probe.plots.plot_alignment`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.axes.Axes
        """
        method = str(self["method"].iloc[0])
        return plot_alignment(self, ylabel=method, title=self.title, legend=legend, ax=ax)

    def _contents(self) -> Contents:
        """Return the table and the figure."""
        return {"table.csv": csv(self), "figure.png": self._png()}

    def _png(self) -> bytes:
        return figure_png(self.plot(), {"title": self.title})


def align(
    model: str | Network | nn.Module,
    dataset: str | Recording,
    method: str = "cka-debiased",
    *,
    layers: str | Sequence[str] = "default",
    region: str | None = None,
    subject: str | None = None,
    variance: float | None = None,
    n_permutations: int = 100,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Alignment:
    """Align the layers of a network with recorded responses.

    Responses are averaged over repetitions. Every score stands beside the score that the same
    layer and the same responses have when stimuli are permuted: with few stimuli, all alignments
    but the debiased CKA are far above zero for responses that have nothing in common.

    Parameters
    ----------
    model, dataset, layers, region, subject, weights, preprocessing, device, batch_size, \
accept_licence, progress
        As for `probe.rsa`. A recording of yours may have several regions: each is aligned.
    method : {'cka-debiased', 'cka', 'svcca', 'pwcca', 'procrustes', 'soft-matching'}
        See `probe.similarity.alignment`; the layer is ``x``, the responses are ``y``.
    variance : float, optional
        Share of the variance that 'svcca' and 'pwcca' keep; by default theirs.
    n_permutations : int
        Permutations of the stimuli, the same for all layers and subjects; 0 leaves them out.
    seed : int
        Of the permutations and, with ``weights='random'``, the initialisation.

    Returns
    -------
    Alignment
        A `pandas.DataFrame` that shows, draws and saves itself. One row per layer, region and
        subject: ``model``, ``dataset``, ``simulated``, ``method``, ``layer``, ``alias``,
        ``n_neuroids`` (of the layer), ``region``, ``subject``, ``n_recorded`` (neuroids of the
        subject), ``n_stimuli``, ``score``, ``chance`` (the mean score of permuted stimuli), and
        ``p`` (one-sided: the share of permutations, with the one that is no permutation, whose
        score is at least as high).

    Raises
    ------
    ProbeError
        If something that was named does not exist, the recording holds RDMs only, or a score is
        undefined (saying for which layer and stimulus).

    See Also
    --------
    rsa : By RDMs, with intervals and a noise ceiling.
    encode : Predict each site from the layers.
    probe.similarity.cka : The score of two arrays.

    Examples
    --------
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> table = probe.align(network, "sim-v4", layers="1", n_permutations=9)
    >>> list(table["subject"])
    ['sim-1', 'sim-2', 'sim-3']
    """
    score = _score_of(method, variance)
    settings = AlignmentSettings.of(locals()).checked()
    network_or_name = models.check_model(
        model, weights, preprocessing
    )  # before anything is downloaded
    if isinstance(dataset, Recording):
        recording = dataset.select(region, subject)
    else:
        recording = recordings.load(
            dataset, region=region, subject=subject, accept_licence=accept_licence,
            progress=progress,
        )  # fmt: skip
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only, and {method} aligns responses: "
            "compare it with probe.rsa"
        )
    network = models.as_network(
        network_or_name, weights, preprocessing, seed=settings.seed,
        accept_licence=accept_licence, progress=progress,
    )  # fmt: skip
    names = models.resolve(layers, network)

    # One set of responses per region and subject, and the stimuli in other orders.
    responses = _responses_by_owner(recording)
    rng = np.random.default_rng(settings.seed)
    orders = [rng.permutation(recording.n_stimuli) for _ in range(n_permutations)]

    rows = []
    infos = [info for info in models.layers(network) if info.name in names]
    extraction = Extraction(network, recording.stimuli, device=device)
    try:
        store = extraction.run(names, batch_size=batch_size, progress=progress)
        for info in track(infos, desc=method, unit="layer", progress=progress):
            x = Representation(store.array(info.name), f"layer {info.name!r}")
            for (of_region, of_subject), y in responses.items():
                try:
                    aligned = score(x, Representation(y, f"{of_region} of {of_subject!r}"))
                    chance = np.array([score(x, y[order]) for order in orders])
                except BadPatternError as error:
                    stimulus = recording.stimuli.ids[error.row]
                    raise ProbeError(f"{network.name}: {stimulus!r} {error.what}") from None
                except ValueError as error:
                    raise ProbeError(f"{network.name} and {recording.name}: {error}") from None
                rows.append(
                    {
                        "model": network.name,
                        "dataset": recording.name,
                        "simulated": recording.simulated,
                        "method": method,
                        "layer": info.name,
                        "alias": info.alias,
                        "n_neuroids": math.prod(info.output_shape),
                        "region": of_region,
                        "subject": of_subject,
                        "n_recorded": y.shape[1],
                        "n_stimuli": recording.n_stimuli,
                        "score": aligned,
                        "chance": chance.mean() if orders else np.nan,
                        "p": _p_value(aligned, chance),
                    }
                )
    finally:
        if network.weights.kind == "user":  # nobody will ask for these activations again
            shutil.rmtree(extraction.path, ignore_errors=True)
    return Alignment(rows)


def _score_of(method: str, variance: float | None) -> Callable[..., float]:
    """Return the function of an alignment, with the share of the variance that it keeps."""
    if method not in ALIGNMENTS:
        raise ProbeError(
            f"method {method!r}: expected one of {', '.join(ALIGNMENTS)}"
            f"{nearest(method, ALIGNMENTS)}"
        )
    score = ALIGNMENTS[method]
    if variance is None:
        return score
    if method not in ("svcca", "pwcca"):
        raise ProbeError(
            f"variance {variance}: method {method!r} keeps all variance; choose svcca or pwcca"
        )
    return functools.partial(score, variance=variance)


def _responses_by_owner(recording: Recording) -> dict[tuple[str, str], np.ndarray]:
    """Return mean responses, (stimulus, neuroid), by region and subject."""
    means = recording.mean_responses()
    owners = [(str(r), str(s)) for r, s in zip(*(means[k].values for k in OWNER), strict=True)]
    return {
        owner: means.values[:, [k for k, other in enumerate(owners) if other == owner]]
        for owner in dict.fromkeys(owners)
    }


def _p_value(score: float, chance: np.ndarray) -> float:
    """Return the share of permutations, with the identity, that score as high; NaN without any."""
    if not len(chance):
        return float("nan")
    return float((1 + (chance >= score - ROUNDING).sum()) / (1 + len(chance)))
