"""What recordings cannot tell: are maps, superstimuli, layers and ceilings of V4 neurons true?

Run ``python analyses/known_truth.py [--sizes …] [--neurons …] [--methods …] [--output DIR]``. It
takes less than 20 minutes on two quiet cores, and a few files: the networks of 89 V4 neurons
(`v4-compact`) and the pictures of two sessions of `cowley2023`. Stopped with Ctrl-C or killed, it
goes on where it was when run again into the same folder.

**Everything here is simulated.** A neuron is the network that Cowley et al. (2026) fitted to one,
with a fitted gain and Poisson counts: `probe.recordings.simulate_v4_compact`, 8 repetitions. So its
rate for any picture is known, and has a gradient. Layers of AlexNet are fitted to noisy responses
to 200, 400, 800 and 1,600 of 2,400 natural pictures, as `probe.encode` does it, with the five ReLUs
for layers; sets of one size share no picture. Then the true neuron is asked:

superstimuli
    How strongly do pictures drive it that were made for its fitted site, as `probe.superstimulus`
    makes them (from AlexNet alone; mean and contrast of the pictures)? Beside: the picture with the
    highest recorded mean of those that were fitted, as it was shown and under the same budget, and
    the superstimulus of the true network, which has never been recorded either: there, the network
    is the neuron by definition. Rates are shares of that of the best of all 2,400 pictures.
maps
    Where the true neuron looks: by how much its rate falls as one of 7 × 7 cells of the picture is
    blurred (SD 8 px) or made grey (its mean colour), with soft edges. A method's map of the fitted
    site is summed over each cell and correlated over cells with that fall, picture by picture; then
    the mean over pictures and neurons, with a 95 % interval from resampling neurons. Maps of which
    the sign is a direction and no vote count by their magnitude. Beside: the same methods on the
    true network, which tells a bad method from a bad fit; the fitted site's own fall under the same
    covers; and maps that know of no neuron (middle, local contrast) or of its field alone.
    Pictures are evenly drawn from the quarter that drives the neuron most, of those that were not
    fitted.
layers, ceilings, intervals
    Held-out predictions are correlated with the noise-free rates of the same pictures, in the same
    folds: that is what r/√ρ estimates. The truth for layers is the mean over all sets of a size.
    The truth for a site's interval is the expected correlation of the site, as it is kept, with new
    8-repetition means, over all pictures that it was not fitted to. RSA is of all neurons together,
    with 200 pictures.

What it taught, with the defaults and seed 0: integrated gradients became the default for sites and
neurons, since Grad-CAM's maps agree no better than the field alone (.28 and .28; .51); superstimuli
of sites that were fitted to fewer than 400 pictures have a warning. r/√ρ is right (bias −.003 to
−.001), where r is .12 to .13 too low; the chosen layer is at most .003 worse than the best.
Intervals hold the mean r of sites fitted to so many pictures (.94 and .93 of them, with 200 and 400
pictures), and less often that of the very site that is kept (.85), which is mostly higher.

Neurons are numbered as in ``v4-compact:201025-0``. The ten were chosen once: evenly from the better
half of the 89, ordered by their networks' correlation with the recorded means of pictures that the
networks were not fitted to.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from scipy.stats import beta, rankdata
from sklearn.model_selection import KFold
from torch import Tensor
from torch.nn import functional as F

import probe
from probe import models, recordings, targets
from probe.activations.capture import capture
from probe.attribution import METHODS
from probe.attribution.maps import at_picture
from probe.attribution.methods import Method
from probe.encoding import Encoding, open_encoding
from probe.encoding.fitting import fit
from probe.encoding.settings import EncodeSettings
from probe.errors import ProbeError
from probe.models import Network
from probe.output.pictures import FIGURE_STYLE, figure_png
from probe.progress import track
from probe.recordings import Recording, simulate_v4_compact, v4_compact_rates
from probe.similarity import compare, rdm
from probe.stimuli import StimulusSet
from probe.synthesis.run import running
from probe.synthesis.settings import SuperstimulusSettings
from probe.synthesis.superstimulus import (
    Budget,
    Resized,
    field_mask,
    make_pictures,
)
from probe.targets import Response, Target

NEURONS = (3, 11, 12, 16, 17, 44, 78, 79, 84, 88)
SIZES = (200, 400, 800, 1600)
SESSIONS = ("201025", "210322")
N_NEURONS = 89
REPETITIONS = 8
WINDOW = 0.1
"""Seconds over which spikes are counted."""

MODEL = "alexnet"
LAYERS = ("features.1", "features.4", "features.7", "features.9", "features.11")
FOLDS = 10
MOST_SETS = 8
"""Of pictures, of one size."""

RSA_SETS, RSA_STIMULI = 4, 200

CELLS = 7
BLUR_SD, EDGE_SD = 8.0, 2.0
"""In pixels of the picture: of what covers a cell, and of the cell's edge."""

COVERS = ("blur", "grey")
PICTURES = 4
"""That are explained, of each neuron."""

BATCH = 4
"""Pictures in a pass through a true network: see `probe.recordings.simulated_compact`."""

TRUE_LAYER = "layers.layer4_act"
"""The last convolution of a true network, for methods that have a map of a layer."""

FEWER: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 8},
    "vargrad": {"samples": 8},
    "expected-gradients": {"samples": 16},
    "integrated-gradients": {"steps": 16},
    "occlusion": {"size": 32, "stride": 32},
    "rise": {"masks": 100},
}
"""Settings of methods whose own would take too long."""

FAST = ("gradient", "input-x-gradient", "grad-cam", "hires-cam")
"""Methods that are run on the fits to fewer pictures, too."""


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes
    ----------
    sizes : tuple of int
        Numbers of pictures that are fitted, from few to many.
    methods : tuple of str
    pictures : int
        That are explained, of each neuron.
    steps : int
        Of the optimiser, for superstimuli.
    sets : int
        Disjoint sets of pictures of one size, at most.
    rsa : (int, int)
        Sets of pictures for RSA, and pictures in each.
    resamples : int
        Of bootstraps.
    seed : int
        Of the order of pictures, folds, noise and resamples.
    """

    sizes: tuple[int, ...]
    methods: tuple[str, ...]
    pictures: int = PICTURES
    steps: int = 64
    sets: int = MOST_SETS
    rsa: tuple[int, int] = (RSA_SETS, RSA_STIMULI)
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Truth:
    """Neurons that are networks.

    Attributes
    ----------
    networks : tuple of Network
    gain, offset : numpy.ndarray, shape (m,)
        Spikes in `WINDOW` seconds.
    """

    networks: tuple[Network, ...]
    gain: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, recording: Recording) -> Truth:
        """Load the networks of a recording's neurons."""
        data = recording.data
        return cls(
            tuple(models.load(f"v4-compact:{label}") for label in data["neuroid_id"].values),
            data["gain"].values,
            data["offset"].values,
        )

    def rates(self, k: int, pictures: Tensor) -> np.ndarray:
        """Compute the k-th neuron's rate for pictures (n, 3, 112, 112) in 0–1: spikes per second.

        Returns
        -------
        numpy.ndarray, float64, shape (n,)
        """
        network = self.networks[k]
        module = network.module.to(memory_format=torch.channels_last)  # twice as fast
        with torch.inference_mode():
            outputs = [
                module(network.preprocessing.normalise(batch))[:, 0].double()
                for batch in pictures.split(BATCH)
            ]
        counts = self.offset[k] + self.gain[k] * torch.cat(outputs).numpy()
        return np.asarray(np.maximum(counts, 0) / WINDOW)


def load_pool() -> StimulusSet:
    """Read all pictures of the two sessions."""
    ids, pictures = [], []
    for session in SESSIONS:
        stimuli = recordings.load(f"v4/{session}").stimuli
        ids += [f"{session}/{name}" for name in stimuli.ids]
        pictures += [np.asarray(stimuli.image(k).convert("RGB")) for k in range(len(stimuli))]
    return StimulusSet(ids, pictures, f"v4/{'+'.join(SESSIONS)}")


def as_tensor(stimuli: StimulusSet, which: Iterable[int]) -> Tensor:
    """Return some pictures, (n, 3, height, width) in 0–1."""
    pictures = [np.asarray(stimuli.image(int(k)), dtype=np.float32) / 255 for k in which]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of each column of a (n, m) with that of b; NaN of constant ones."""
    a, b = a - a.mean(0), b - b.mean(0)
    scale = np.sqrt(np.square(a).sum(0) * np.square(b).sum(0))
    return np.asarray((a * b).sum(0) / np.where(scale > 0, scale, np.nan))


def reliability(rates: np.ndarray, repetitions: int = REPETITIONS) -> np.ndarray:
    """Return the true reliability of mean Poisson counts: signal over total variance.

    Parameters
    ----------
    rates : numpy.ndarray, shape (n, m)
        Spikes per second.
    """
    counts = rates * WINDOW
    signal = counts.var(axis=0, ddof=1)
    return np.asarray(signal / (signal + counts.mean(axis=0) / repetitions))


def held_out_r(predictions: np.ndarray, responses: np.ndarray, seed: int) -> np.ndarray:
    """Return r within each of `probe.encode`'s folds, then the mean over folds: shape (m,)."""
    folds = KFold(FOLDS, shuffle=True, random_state=seed).split(responses)
    each = [correlation(predictions[test], responses[test]) for _, test in folds]
    return np.asarray(np.nanmean(each, axis=0))


# --- fits: layers, ceilings, intervals -----------------------------------------------------------


def sets(n_pool: int, effort: Effort) -> list[tuple[int, int, np.ndarray]]:
    """Return (size, number, pictures) of every set; those of one size share no picture.

    All are of as many pictures as the largest set has: the others are never fitted.
    """
    order = np.random.default_rng(effort.seed).permutation(n_pool)
    return [
        (n, k, np.sort(order[k * n : (k + 1) * n]))
        for n in effort.sizes
        for k in range(min(effort.sets, max(effort.sizes) // n))
    ]


def fit_set(
    network: Network,
    recording: Recording,
    n: int,
    number: int,
    pictures: np.ndarray,
    effort: Effort,
    folder: Path,
) -> tuple[Encoding, pd.DataFrame]:
    """Fit all sites to one set of pictures.

    Returns
    -------
    Encoding
        Saved in the folder.
    pandas.DataFrame
        One row per layer and neuron: ``r``, held-out, with noisy means; ``r_ceiled``; ``r_true``,
        with noise-free rates.
    """
    settings = EncodeSettings(
        layers=list(LAYERS), splits=FOLDS, baselines=False, n_resamples=effort.resamples,
        seed=effort.seed,
    ).checked()  # fmt: skip
    encoding = fit(network, recording, settings, alias="known-truth", stimuli=pictures.tolist())
    means = recording.mean_responses().values[pictures]
    rates = recording.data["rate"].values[pictures]
    rho = encoding.sites["reliability"].to_numpy()
    tables = []
    aliases = dict(zip(encoding.layers["layer"], encoding.layers["alias"], strict=True))
    for layer, predictions in encoding.held_out.items():
        r = held_out_r(predictions, means, effort.seed)
        tables.append(
            pd.DataFrame(
                {
                    "n": n, "set": number, "layer": layer,
                    "alias": aliases[layer] or layer,
                    "neuron": encoding.sites["neuroid_id"],
                    "r": r,
                    "r_ceiled": r / np.sqrt(np.where(rho > 0, rho, np.nan)),
                    "r_true": held_out_r(predictions, rates, effort.seed),
                    "reliability": rho,
                    "reliability_true": reliability(rates),
                }
            )
        )  # fmt: skip
    encoding.save(folder, figures=False)
    return encoding, pd.concat(tables, ignore_index=True)


def predict_all(encodings: Sequence[Encoding], stimuli: StimulusSet) -> np.ndarray:
    """Predict all pictures with every fit, in one pass of the network: (n_fits, n, m)."""
    network = encodings[0].load_network()
    layers = list(dict.fromkeys(layer for one in encodings for layer in one.readouts))
    rows = []
    for start in track(range(0, len(stimuli), 32), desc="predict", unit="batch"):
        batch = range(start, min(start + 32, len(stimuli)))
        inputs = torch.stack([network.preprocessing(stimuli.image(k)) for k in batch])
        outputs = capture(network.module, inputs, layers)
        rows.append(
            np.stack(
                [one.predict_from({name: outputs[name] for name in one.readouts})
                 for one in encodings]
            )
        )  # fmt: skip
    return np.concatenate(rows, axis=1)


def check_sites(
    encodings: Sequence[Encoding],
    chosen: Sequence[tuple[int, int, np.ndarray]],
    predictions: np.ndarray,
    rates: np.ndarray,
) -> pd.DataFrame:
    """Compare each site's r and interval with what it has for pictures that it was not fitted to.

    Returns
    -------
    pandas.DataFrame
        One row per fit and site. ``r_new``: the expected r with new noisy means; ``r_rates``: r
        with the noise-free rates.
    """
    tables = []
    for encoding, (n, number, pictures), predicted in zip(
        encodings, chosen, predictions, strict=True
    ):
        unseen = np.setdiff1d(np.arange(len(rates)), pictures)
        r_rates = correlation(predicted[unseen], rates[unseen])
        own = encoding.sites[
            ["neuroid_id", "layer", "r", "r_low", "r_high", "r_ceiled", "reliability"]
        ]
        tables.append(
            own.rename(columns={"neuroid_id": "neuron"}).assign(
                n=n,
                set=number,
                r_rates=r_rates,
                r_new=r_rates * np.sqrt(reliability(rates[unseen])),
            )
        )
    return pd.concat(tables, ignore_index=True)


def run_rsa(
    network: Network, recording: Recording, again: Recording, number: int, effort: Effort
) -> pd.DataFrame:
    """Run `probe.rsa` on one set of pictures, and beside it what it estimates.

    Parameters
    ----------
    recording, again : Recording
        Of the same neurons and pictures, with noise of their own.

    Returns
    -------
    pandas.DataFrame
        One row per layer: ``score``, ``ci_low``, ``ci_high``; ``score_true``, with the RDM of the
        noise-free rates; the ceiling, and what its bounds estimate: ``lower_true``, the correlation
        with the RDM of another recording, and ``upper_true``, with that of the noise-free rates.
    """
    order = np.random.default_rng([effort.seed, 1]).permutation(recording.n_stimuli)
    size = effort.rsa[1]
    pictures = np.sort(order[number * size : (number + 1) * size])
    one, other = (
        Recording(every.data.isel(stimulus=pictures), every.stimuli) for every in (recording, again)
    )
    result = probe.rsa(
        network, one, layers=list(LAYERS), baselines=False, n_resamples=effort.resamples // 2,
        seed=effort.seed, comparator="spearman",
    )  # fmt: skip
    assert isinstance(result, probe.RSAResult)
    truth = rdm(one.data["rate"].values, "correlation")[None]
    (_, noisy), (_, second) = one.rdms(), other.rdms()
    table = result.table[["layer", "score", "ci_low", "ci_high", "ceiling_lower", "ceiling_upper"]]
    return table.assign(
        set=number,
        score_true=np.asarray(compare(result.rdms.distances, truth, "spearman"))[:, 0],
        lower_true=float(np.asarray(compare(noisy, second, "spearman")).squeeze()),
        upper_true=float(np.asarray(compare(noisy, truth, "spearman")).squeeze()),
        chosen="" if result.choice is None else result.choice.layer,
    )


# --- superstimuli --------------------------------------------------------------------------------


def make_superstimuli(
    truth: Truth,
    fits: dict[int, tuple[Encoding, np.ndarray]],
    recording: Recording,
    effort: Effort,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Make pictures for fitted sites and for the true networks, and show them to the true neurons.

    Parameters
    ----------
    fits : dict of int to (Encoding, pictures)
        By the number of pictures.

    Returns
    -------
    pandas.DataFrame
        One row per neuron and picture: ``picture``, ``n`` (fitted pictures; 0 where there is none),
        ``rate``, ``share`` (of the rate of the best of all pictures), ``predicted`` (by the site,
        SD from its mean).
    dict of str to numpy.ndarray, uint8, shape (m, height, width, 3)
        The pictures.
    """
    network = next(iter(fits.values()))[0].load_network()
    m = len(truth.networks)
    rates = recording.data["rate"].values
    means = recording.mean_responses().values
    budget = Budget.of_stimuli(recording.stimuli, network.preprocessing.size)
    whole = torch.ones(m, 1, *budget.size)
    rows: list[dict[str, Any]] = []
    sheet: dict[str, np.ndarray] = {}

    def add(kind: str, n: int, pictures: np.ndarray, predicted: Sequence[float]) -> None:
        name = f"{kind} {n}" if n else kind
        sheet[name] = pictures
        shown = torch.from_numpy(pictures.astype(np.float32) / 255).permute(0, 3, 1, 2)
        for k in range(m):
            rate = float(truth.rates(k, shown[k : k + 1])[0])
            rows.append(
                {
                    "neuron": recording.data["neuroid_id"].values[k], "picture": kind, "n": n,
                    "rate": rate, "share": rate / rates[:, k].max(), "predicted": predicted[k],
                }
            )  # fmt: skip

    def spent(which: np.ndarray, masks: Tensor) -> np.ndarray:
        pictures = budget.spend(as_tensor(recording.stimuli, which), masks)
        return np.asarray(pictures.permute(0, 2, 3, 1).mul(255).round().byte())

    settings = SuperstimulusSettings(steps=effort.steps, seed=effort.seed, precision="float32")

    def make(network: Network, targets: Sequence[Target], masks: Tensor) -> np.ndarray:
        with running(None, network) as run:
            return make_pictures([network], [targets], masks, budget, settings, run)

    unknown = [np.nan] * m
    for n, (encoding, pictures) in fits.items():
        sites = [encoding.site(k) for k in range(m)]
        masks = torch.cat([field_mask(encoding, site, budget.size) for site in sites])
        variants = {"superstimulus": masks}
        if n == max(fits):
            variants["superstimulus, whole"] = whole
        for kind, mask in variants.items():
            made = make(network, sites, mask)
            values = predict(network, sites, made)
            add(kind, n, made, values)
        best = pictures[means[pictures].argmax(axis=0)]
        shown = np.stack([np.asarray(recording.stimuli.image(int(k))) for k in best])
        add("best recorded", n, shown, unknown)
        add("best recorded, budget", n, spent(best, masks), unknown)
    made = np.concatenate(
        [
            make(one, [Response(0)], whole[:1])
            for one in track(truth.networks, desc="true superstimuli", unit="neuron")
        ]
    )
    add("true superstimulus", 0, made, unknown)
    best = rates.argmax(axis=0)
    add("best of all", 0, spent(best, whole), unknown)
    return pd.DataFrame(rows), sheet


def predict(network: Network, sites: Sequence[Any], pictures: np.ndarray) -> list[float]:
    """Predict each site's response to its own picture, in SD."""
    shown = torch.from_numpy(pictures.astype(np.float32) / 255).permute(0, 3, 1, 2)
    seen = as_inputs(network, shown)
    return [
        float(targets.values(network.module, seen[k : k + 1], site)) for k, site in enumerate(sites)
    ]


def as_inputs(network: Network, pictures: Tensor) -> Tensor:
    """Bring pictures in 0–1 to a network's input."""
    resized = Resized(network.preprocessing.size)(pictures, torch.default_generator)
    return network.preprocessing.normalise(resized)


# --- maps ----------------------------------------------------------------------------------------


def blurred(pictures: Tensor, sd: float) -> Tensor:
    """Blur pictures, or masks, with a Gaussian; the border is repeated."""
    radius = int(np.ceil(3 * sd))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-x.square() / (2 * sd**2))
    kernel = (kernel / kernel.sum()).expand(pictures.shape[1], 1, -1)
    padded = F.pad(pictures, [radius] * 4, mode="replicate")
    down = F.conv2d(padded, kernel[..., :, None], groups=pictures.shape[1])
    return F.conv2d(down, kernel[..., None, :], groups=pictures.shape[1])


def cells(size: tuple[int, int]) -> Tensor:
    """Return masks of the cells with soft edges, which sum to 1: (n², 1, height, width)."""
    height, width = size
    row = torch.arange(height) * CELLS // height
    column = torch.arange(width) * CELLS // width
    cell = row[:, None] * CELLS + column[None, :]
    hard = (cell == torch.arange(CELLS**2)[:, None, None]).float()[:, None]
    return blurred(hard, EDGE_SD)


def covered(picture: Tensor, cover: str) -> Tensor:
    """Cover a picture (3, height, width) in 0–1 cell by cell, by what a cover says: (n², 3, …)."""
    if cover == "blur":
        over = blurred(picture[None], BLUR_SD)[0]
    else:
        over = picture.mean((1, 2), keepdim=True).expand_as(picture)
    masks = cells((picture.shape[1], picture.shape[2]))
    return picture + masks * (over - picture)


def per_cell(maps: Tensor) -> np.ndarray:
    """Sum a map (height, width) over cells: (n²,)."""
    height, width = maps.shape
    step = height // CELLS, width // CELLS
    summed = F.avg_pool2d(maps[None, None], step) * (step[0] * step[1])
    return np.asarray(summed.flatten().double())


def agreement(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Correlate two maps over cells: Pearson and Spearman; 0 where one of them is constant.

    A map that is the same everywhere says nothing of where a neuron looks, which is no reason to
    leave it out.
    """
    if min(np.ptp(one), np.ptp(other)) <= 1e-12 * max(np.abs(one).max(), 1e-300):
        return 0.0, 0.0
    return (
        float(np.corrcoef(one, other)[0, 1]),
        float(np.corrcoef(rankdata(one), rankdata(other))[0, 1]),
    )


def map_of(method: Method, network: Network, inputs: Tensor, target: Target, layer: str,
           seed: int) -> list[np.ndarray]:  # fmt: skip
    """Return a method's maps of some pictures, summed over cells."""
    takes = inspect.signature(method.function).parameters
    offered = {
        "layer": layer, "seed": seed, "progress": False, "batch_size": 16,
        **FEWER.get(method.name, {}),
    }  # fmt: skip
    if method.name == "occlusion":  # the windows are the cells
        side = network.preprocessing.size[0] // CELLS
        offered |= {"size": side, "stride": side}
    given = {name: value for name, value in offered.items() if name in takes}
    maps = at_picture(
        method.function(network.module, inputs, target, **given), network.preprocessing.size
    )
    return [per_cell(one.abs() if method.slope else one) for one in maps]


def falls(truth: Truth, k: int, pictures: Tensor, encoding: Encoding) -> pd.DataFrame:
    """Cover pictures cell by cell, and see how the true rate falls, and the fitted site.

    Parameters
    ----------
    truth : Truth
    k : int
        Which neuron.
    pictures : torch.Tensor, shape (n, 3, height, width)
        In 0–1.
    encoding : Encoding

    Returns
    -------
    pandas.DataFrame
        One row per picture, cover and cell: ``rate`` (of the whole picture, spikes per second),
        ``fall``, and ``fall_site`` (SD).
    """
    network, site = encoding.load_network(), encoding.site(k)
    tables = []
    for p, picture in enumerate(pictures):
        for cover in COVERS:
            shown = torch.cat([picture[None], covered(picture, cover)])
            rates = truth.rates(k, shown)
            values = torch.cat(
                [
                    targets.values(network.module, as_inputs(network, batch), site)
                    for batch in shown.split(25)
                ]
            ).numpy()
            tables.append(
                pd.DataFrame(
                    {
                        "picture": p, "cover": cover, "cell": np.arange(CELLS**2),
                        "rate": rates[0], "fall": rates[0] - rates[1:],
                        "fall_site": values[0] - values[1:],
                    }
                )
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def judge(maps: dict[tuple[str, str], list[np.ndarray]], fallen: pd.DataFrame) -> pd.DataFrame:
    """Compare maps with the fall of the true rate.

    Parameters
    ----------
    maps : dict of (source, method) to list of numpy.ndarray
        A map per picture, summed over cells.
    fallen : pandas.DataFrame
        As from `falls`.

    Returns
    -------
    pandas.DataFrame
        One row per map, picture and cover: ``source``, ``method``, ``picture``, ``cover``, ``r``,
        ``spearman``.
    """
    rows = []
    every: Any = fallen.groupby(["picture", "cover"], sort=False)
    for (p, cover), of_cells in every:
        fall = of_cells["fall"].to_numpy()
        for (source, name), of_pictures in maps.items():
            r, spearman = agreement(of_pictures[p], fall)
            rows.append(
                {
                    "source": source, "method": name, "picture": p, "cover": cover, "r": r,
                    "spearman": spearman,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def explain(
    truth: Truth, k: int, encoding: Encoding, pictures: Tensor, method: str, seed: int, *,
    also_true: bool,
) -> dict[tuple[str, str], list[np.ndarray]]:  # fmt: skip
    """Make a method's maps of the fitted site, and perhaps of the true network."""
    network, site = encoding.load_network(), encoding.site(k)
    inputs = as_inputs(network, pictures)
    maps = {("site", method): map_of(METHODS[method], network, inputs, site, site.layers[0], seed)}
    if also_true:
        true = truth.networks[k]
        maps["true network", method] = map_of(
            METHODS[method], true, true.preprocessing.normalise(pictures), Response(0), TRUE_LAYER,
            seed,
        )  # fmt: skip
    return maps


def references(
    encoding: Encoding, k: int, pictures: Tensor, fallen: pd.DataFrame
) -> dict[tuple[str, str], list[np.ndarray]]:
    """Make maps that know nothing of the neuron, or its field; and the fitted site's falls."""
    size = (pictures.shape[2], pictures.shape[3])
    y, x = (torch.arange(side) + 0.5 - side / 2 for side in size)
    middle = torch.exp(-(y[:, None].square() + x.square()) / (2 * (size[0] / 4) ** 2))
    field = field_mask(encoding, encoding.site(k), size)[0, 0]
    grey = pictures.mean(1, keepdim=True)
    contrast = (grey - blurred(grey, 2.0)).square()[:, 0]
    n = len(pictures)
    blur = fallen[fallen["cover"] == COVERS[0]]
    return {
        ("reference", "middle of the picture"): [per_cell(middle)] * n,
        ("reference", "local contrast"): [per_cell(one) for one in contrast],
        ("reference", "field of the site"): [per_cell(field)] * n,
        ("reference", "field × local contrast"): [per_cell(field * one) for one in contrast],
        ("reference", "fall of the fitted site"): [
            of_picture["fall_site"].to_numpy() for _, of_picture in blur.groupby("picture")
        ],
    }


def to_explain(rates: np.ndarray, unseen: np.ndarray, n: int) -> np.ndarray:
    """Choose pictures of one neuron: evenly from the quarter that drives it most."""
    best = unseen[np.argsort(-rates[unseen])][: max(n, len(unseen) // 4)]
    return np.asarray(best[np.linspace(0, len(best) - 1, n).astype(int)])


# --- all of it -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """What is finished, in a folder: each part is computed once."""

    folder: Path

    def table(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Read a table, or compute and write it."""
        path = self.folder / f"{name}.csv"
        if not path.exists():
            self.write(path, compute().to_csv(index=False).encode())
        return pd.read_csv(path, keep_default_na=True, dtype={"neuron": str})

    @staticmethod
    def write(path: Path, content: bytes) -> None:
        """Write a file that is whole or not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def correlations_of_networks(
    studied: Sequence[int], parts: Parts, *, everything: bool
) -> pd.DataFrame:
    """Tell how well networks predict what was recorded for pictures 601–1200 of their session."""
    stimuli = recordings.load(f"v4/{SESSIONS[0]}").stimuli
    session = stimuli.subset(range(len(stimuli) - 600, len(stimuli)))

    def compute(some: Sequence[int]) -> pd.DataFrame:
        rates = v4_compact_rates(session, some, progress=False)
        return pd.DataFrame({"neuron": rates["neuroid_id"].values, "r": rates["r"].values})

    # The studied ones as they were simulated: their outputs are in the cache.
    others = [k for k in range(N_NEURONS) if k not in studied] if everything else []
    blocks = [list(studied), *(others[k : k + 11] for k in range(0, len(others), 11))]
    return pd.concat(
        [
            parts.table(f"networks-{'+'.join(map(str, some))}", functools.partial(compute, some))
            for some in track(blocks, desc="networks of neurons", unit="block")
        ],
        ignore_index=True,
    )


def run(neurons: Sequence[int], output: Path, effort: Effort) -> dict[str, pd.DataFrame]:
    """Do all that the folder does not have yet.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``layers``, ``sites``, ``rsa``, ``superstimuli``, ``maps``.
    """
    words = [effort.seed, effort.pictures, effort.steps, effort.resamples, effort.rsa[1]]
    kind = "-".join(map(str, [*neurons, "s", *words]))
    parts = Parts(output / "parts" / kind)
    parts.folder.mkdir(parents=True, exist_ok=True)
    pool = load_pool()
    recording, again = (
        simulate_v4_compact(seed, REPETITIONS, stimuli=pool, neurons=neurons)
        for seed in (effort.seed, effort.seed + 1)
    )
    truth = Truth.of(recording)
    rates = recording.data["rate"].values
    network = models.load(MODEL)

    chosen = sets(len(pool), effort)
    encodings, layers = [], []
    for n, number, pictures in track(chosen, desc="fits", unit="fit"):
        folder, name = parts.folder / f"fit-{n}-{number}", f"layers-{n}-{number}"
        if not (parts.folder / f"{name}.csv").exists():
            _, table = fit_set(network, recording, n, number, pictures, effort, folder)
            layers.append(parts.table(name, functools.partial(pd.DataFrame, table)))
        else:
            layers.append(pd.read_csv(parts.folder / f"{name}.csv"))
        encodings.append(open_encoding(folder, network))

    def sites() -> pd.DataFrame:
        return check_sites(encodings, chosen, predict_all(encodings, pool), rates)

    found = {
        "layers": pd.concat(layers, ignore_index=True),
        "sites": parts.table(
            f"sites-{'-'.join(f'{n}.{number}' for n, number, _ in chosen)}", sites
        ),
        "rsa": pd.concat(
            [
                parts.table(
                    f"rsa-{k}", functools.partial(run_rsa, network, recording, again, k, effort)
                )
                for k in track(range(effort.rsa[0]), desc="RSA", unit="set")
            ],
            ignore_index=True,
        ),
    }
    first = {
        n: (encoding, pictures)
        for encoding, (n, number, pictures) in zip(encodings, chosen, strict=True)
        if number == 0
    }

    name = f"superstimuli-{'-'.join(map(str, first))}"

    def superstimuli() -> pd.DataFrame:
        table, sheet = make_superstimuli(truth, first, recording, effort)
        out = io.BytesIO()
        np.savez_compressed(out, **sheet)  # type: ignore[arg-type]
        parts.write(parts.folder / f"{name}.npz", out.getvalue())
        return table

    found["superstimuli"] = parts.table(name, superstimuli)
    Parts.write(output / "superstimuli.npz", (parts.folder / f"{name}.npz").read_bytes())

    largest = max(first)
    fitted = np.unique(np.concatenate([pictures for _, pictures in first.values()]))
    unseen = np.setdiff1d(np.arange(len(pool)), fitted)
    work = [
        (k, n, method)
        for k in range(len(neurons))
        for n in sorted(first, reverse=True)
        for method in ("", *effort.methods)
        if n == largest or method in FAST
    ]
    tables = []
    for k, n, method in track(work, desc="maps", unit="map"):
        shown = to_explain(rates[:, k], unseen, effort.pictures)
        pictures, encoding = as_tensor(pool, shown), first[n][0]
        name = f"{largest}-{neurons[k]}"
        fallen = parts.table(
            f"falls-{name}", functools.partial(falls, truth, k, pictures, first[largest][0])
        )

        def judged(
            k: int = k, n: int = n, method: str = method, pictures: Tensor = pictures,
            encoding: Encoding = encoding, fallen: pd.DataFrame = fallen,
        ) -> pd.DataFrame:  # fmt: skip
            maps = (
                explain(truth, k, encoding, pictures, method, effort.seed, also_true=n == largest)
                if method
                else references(encoding, k, pictures, fallen)
            )
            return judge(maps, fallen).assign(n=n, neuron=f"{SESSIONS[0]}-{neurons[k]}")

        tables.append(parts.table(f"maps-{name}-{n}-{method or 'references'}", judged))
    found["maps"] = pd.concat(tables, ignore_index=True)
    for name, table in found.items():
        table.to_csv(output / f"{name}.csv", index=False)
    return found


# --- what it comes to ----------------------------------------------------------------------------


def interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Clopper & Pearson 1934)."""
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def over_neurons(table: pd.DataFrame, column: str, seed: int = 0) -> pd.DataFrame:
    """Return mean and 95 % interval, from 2,000 resamples of neurons, of each source, n, method."""
    rows = []
    for key, some in table.groupby(["source", "n", "method"], sort=False):
        means = some.groupby("neuron")[column].mean().to_numpy()
        rng = np.random.default_rng(seed)  # the same neurons for every method
        drawn = means[rng.integers(len(means), size=(2000, len(means)))].mean(axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        rows.append((*key, means.mean(), low, high))
    return pd.DataFrame(rows, columns=["source", "n", "method", "mean", "low", "high"])


def summarise_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """Return one row per size: does the ranking of layers, and do ceilings, come out right?

    ``rank_r``: Spearman's correlation over layers of the median r with the true one, mean over
    sets; ``best``: share of sets in which the layer of the highest median r is the truly best one;
    ``regret``: what is lost where it is not, in r. ``bias``, ``rmse``: of r/√ρ against r with
    noise-free rates, sites with their best layer; ``bias_uncorrected``: of r.
    """
    rows = []
    for n, of_size in layers.groupby("n"):
        medians = of_size.groupby(["set", "layer"])[["r", "r_true"]].median().reset_index()
        truth: Any = medians.groupby("layer")["r_true"].mean()
        ranks, best, regret = [], [], []
        for _, one in medians.groupby("set"):
            noisy = one.set_index("layer")["r"]
            ranks.append(noisy.corr(truth, method="spearman"))
            best.append(noisy.idxmax() == truth.idxmax())
            regret.append(truth.max() - truth[noisy.idxmax()])
        best_rows = of_size.loc[of_size.groupby(["set", "neuron"])["r_true"].idxmax()]
        error = best_rows["r_ceiled"] - best_rows["r_true"]
        rows.append(
            {
                "n": n, "sets": len(ranks), "rank_r": np.mean(ranks), "best": np.mean(best),
                "regret": np.mean(regret), "true_best": truth.idxmax(), "true_r": truth.max(),
                "bias": error.mean(), "rmse": np.sqrt((error**2).mean()),
                "bias_uncorrected": (best_rows["r"] - best_rows["r_true"]).mean(),
                "rho_bias": (best_rows["reliability"] - best_rows["reliability_true"]).mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def summarise_sites(sites: pd.DataFrame) -> pd.DataFrame:
    """Return one row per size: how often intervals hold the truth, and how far r is from it.

    ``coverage`` is of what the site that is kept has with new pictures; ``coverage_average`` of
    the mean r over all sets of the size, which is what sites fitted to so many pictures have.
    """
    rows = []
    for n, some in sites.groupby("n"):
        holds = (some["r_low"] <= some["r_new"]) & (some["r_new"] <= some["r_high"])
        average = some.groupby("neuron")["r"].transform("mean")
        holds_average = (some["r_low"] <= average) & (average <= some["r_high"])
        low, high = interval(int(holds.sum()), len(holds))
        rows.append(
            {
                "n": n, "intervals": len(some), "coverage": holds.mean(), "low": low, "high": high,
                "coverage_average": holds_average.mean() if some["set"].nunique() > 2 else np.nan,
                "truth_below": (some["r_new"] < some["r_low"]).mean(),
                "truth_above": (some["r_new"] > some["r_high"]).mean(),
                "r": some["r"].mean(), "r_new": some["r_new"].mean(),
                "bias": (some["r"] - some["r_new"]).mean(),
                "width": (some["r_high"] - some["r_low"]).mean(),
                "r_ceiled": some["r_ceiled"].mean(), "r_rates": some["r_rates"].mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def summarise_rsa(rsa: pd.DataFrame) -> pd.Series:
    """Return means over sets: ceilings and what they estimate, ranking, coverage of intervals."""
    expected = rsa.groupby("layer")["score"].mean()
    truth = rsa.groupby("layer")["score_true"].mean()
    of_row = rsa["layer"].map(expected)
    holds = (rsa["ci_low"] <= of_row) & (of_row <= rsa["ci_high"])
    low, high = interval(int(holds.sum()), len(holds))
    each = [one.set_index("layer") for _, one in rsa.groupby("set")]
    ranks = [one["score"].corr(truth, method="spearman") for one in each]
    ranks_here = [one["score"].corr(one["score_true"], method="spearman") for one in each]
    first = rsa.drop_duplicates("set")
    return pd.Series(
        {
            "sets": len(first),
            "lower": first["ceiling_lower"].mean(), "lower_true": first["lower_true"].mean(),
            "upper": first["ceiling_upper"].mean(), "upper_true": first["upper_true"].mean(),
            "upper_rmse": np.sqrt(((first["ceiling_upper"] - first["upper_true"]) ** 2).mean()),
            "score_of_upper": (rsa["score"] / rsa["ceiling_upper"]).mean(),
            "score_true": rsa["score_true"].mean(),
            "rank_r_same_pictures": np.mean(ranks_here), "rank_r": np.mean(ranks),
            "true_best": truth.idxmax(),
            "best": (first["chosen"] == truth.idxmax()).mean(),
            "coverage": holds.mean(), "coverage_low": low, "coverage_high": high,
        }
    )  # fmt: skip


def summarise_superstimuli(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per kind and size: median share and rate, and how often it beats recorded."""
    wide: Any = table.pivot_table(index="neuron", columns=["picture", "n"], values="rate")
    rows = []
    for (kind, n), some in table.groupby(["picture", "n"], sort=False):
        beaten = {}
        for other in ("best recorded", "best recorded, budget"):
            if kind != other and (other, n) in wide:
                beaten[f"beats {other}"] = int((wide[kind, n] > wide[other, n]).sum())
        rows.append(
            {
                "picture": kind, "n": n, "share": some["share"].median(),
                "rate": some["rate"].median(), "predicted": some["predicted"].median(), **beaten,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def report(found: dict[str, pd.DataFrame], networks: pd.DataFrame) -> str:
    """Say what it comes to."""
    maps = found["maps"]
    blur = over_neurons(maps[maps["cover"] == "blur"], "r")
    grey = over_neurons(maps[maps["cover"] == "grey"], "r")
    of_maps = blur.assign(grey=grey["mean"]).sort_values(
        ["source", "n", "mean"], ascending=[True, True, False]
    )
    own = maps["neuron"].nunique()
    which = "all 89" if len(networks) == N_NEURONS else f"{len(networks)} of 89"
    lines = [
        "Everything below is SIMULATED: the neurons are published networks of V4 neurons.",
        f"Networks and recorded means, pictures 601–1200: median r of {which} networks "
        f"{networks['r'].median():.3f}; {own} of them are studied.",
        "\nLayers and ceilings (encode)", table_text(summarise_layers(found["layers"])),
        "\nSites: r, its intervals and the truth (encode)",
        table_text(summarise_sites(found["sites"])),
        "\nRSA", summarise_rsa(found["rsa"]).to_string(),
        "\nSuperstimuli: share of the rate of the best of all pictures",
        table_text(summarise_superstimuli(found["superstimuli"])),
        "\nMaps: correlation over cells with the fall of the true rate (blur; grey)",
        table_text(of_maps),
    ]  # fmt: skip
    return "\n".join(lines)


def table_text(table: pd.DataFrame) -> str:
    """Return a table as a person reads it."""
    return table.round(3).to_string(index=False, na_rep="")


# --- figures -------------------------------------------------------------------------------------

BLACK, BLUE, ORANGE, GREEN, PURPLE, GREY = (
    "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "0.55",
)  # fmt: skip
"""Of Okabe and Ito, which the colour-blind tell apart."""

MARK = "SIMULATED neurons"


def tidy(ax: Any) -> None:
    """Leave out the spines that say nothing."""
    for spine in ("top", "right"):
        ax.spines[spine].set_visible(False)


def draw_superstimuli(table: pd.DataFrame) -> mpl.figure.Figure:
    """Draw what pictures do to the true neuron, against the number of pictures that were fitted."""
    from matplotlib import pyplot as plt

    sizes = sorted(n for n in table["n"].unique() if n)
    kinds = {
        "superstimulus": ("superstimulus of the fitted site", BLUE, "o"),
        "best recorded": ("best recorded picture, as shown", BLACK, "s"),
        "best recorded, budget": ("the same under the budget", ORANGE, "D"),
        "superstimulus, whole": ("superstimulus, not masked", PURPLE, "^"),
    }
    levels = {"true superstimulus": "superstimulus of the true network"}
    with mpl.rc_context(FIGURE_STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 3.6), dpi=200, layout="constrained")
        at = {n: k for k, n in enumerate(sizes)}
        shifts = dict(zip(kinds, (-0.18, -0.06, 0.06, 0.18), strict=True))
        for kind, (label, colour, marker) in kinds.items():
            some = table[table["picture"] == kind]
            x = some["n"].map(at) + shifts[kind]
            ax.plot(x, some["share"], marker, ms=2.4, mew=0, alpha=0.35, color=colour)
            medians = some.groupby("n")["share"].median()
            ax.plot(
                [at[n] + shifts[kind] for n in medians.index], medians, f"-{marker}", ms=5,
                lw=1.0, mec="white", mew=0.5, color=colour, label=label,
            )  # fmt: skip
        for kind, label in levels.items():
            shares = table[table["picture"] == kind]["share"]
            beyond = len(sizes) - 0.4
            ax.plot([beyond] * len(shares), shares, "v", ms=2.4, mew=0, alpha=0.35, color=GREEN)
            ax.plot(beyond, shares.median(), "v", ms=5, mec="white", mew=0.5, color=GREEN,
                    ls="", label=label)  # fmt: skip
        ax.axhline(1.0, color=GREY, lw=0.8, ls="--", zorder=0)
        ax.annotate("best of all pictures", (1, 1.0), (4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", fontsize=7, color="0.4", va="center")  # fmt: skip
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
        ax.set_yticks([0.2, 0.5, 1, 2, 5])
        ax.set_ylim(min(0.45, 0.9 * table["share"].min()), max(1.3, 1.15 * table["share"].max()))
        ax.set_xlim(-0.5, len(sizes))
        ax.set_xticks(range(len(sizes)), [f"{n:,}" for n in sizes])
        ax.set_xlabel("noisy pictures that the site was fitted to")
        ax.set_ylabel("rate of the true neuron,\nshare of that of the best picture")
        n_neurons = table["neuron"].nunique()
        ax.set_title(f"What superstimuli do to {n_neurons} {MARK} (median, large; each, small)",
                     loc="left")  # fmt: skip
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        tidy(ax)
    return figure


def draw_sheet(table: pd.DataFrame, sheet: dict[str, np.ndarray]) -> mpl.figure.Figure:
    """Draw the pictures, a row per neuron, with the true neuron's rate."""
    from matplotlib import pyplot as plt

    sizes = sorted(n for n in table["n"].unique() if n)
    few, many = sizes[0], sizes[-1]
    columns = {
        f"best recorded {many}": "best recorded",
        f"best recorded, budget {many}": "under the budget",
        f"superstimulus {few}": f"superstimulus\n{few:,} pictures",
        f"superstimulus {many}": f"superstimulus\n{many:,} pictures",
        f"superstimulus, whole {many}": "not masked", "true superstimulus": "of the true network",
    }  # fmt: skip
    neurons = list(dict.fromkeys(table["neuron"]))
    names = table["picture"] + np.where(table["n"] > 0, " " + table["n"].astype(str), "")
    rates = table.assign(name=names).set_index(["neuron", "name"])["rate"]
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            len(neurons), len(columns), figsize=(1.1 * len(columns), 1.22 * len(neurons) + 0.5),
            dpi=200, layout="constrained", squeeze=False,
        )  # fmt: skip
        for k, neuron in enumerate(neurons):
            for ax, (name, label) in zip(axes[k], columns.items(), strict=True):
                ax.imshow(sheet[name][k])
                ax.set(xticks=[], yticks=[])
                ax.set_xlabel(f"{rates[neuron, name]:.0f} spikes/s", fontsize=7, labelpad=2)
                if k == 0:
                    ax.set_title(label, fontsize=7)
            axes[k, 0].set_ylabel(neuron, fontsize=7)
        figure.suptitle(f"{MARK}: their rates for pictures that were made for fitted sites",
                        fontsize=8)  # fmt: skip
    return figure


def draw_maps(maps: pd.DataFrame) -> mpl.figure.Figure:
    """Draw the agreement of every method, on the fitted site and on the true network."""
    from matplotlib import pyplot as plt

    largest = maps["n"].max()
    blur = over_neurons(maps[maps["cover"] == "blur"], "r")
    grey = over_neurons(maps[maps["cover"] == "grey"], "r")
    both = blur.merge(grey, on=["source", "n", "method"], suffixes=("", "_grey"))
    full = both[both["n"] == largest]
    site = full[full["source"] == "site"].sort_values("mean", ascending=False)
    true = full[full["source"] == "true network"].set_index("method")
    reference = full[full["source"] == "reference"].sort_values("mean", ascending=False)
    labels = [*site["method"], *reference["method"]]
    with mpl.rc_context(FIGURE_STYLE):
        figure, [ax, right] = plt.subplots(
            1, 2, figsize=(8.4, 0.9 + 0.21 * len(labels)), dpi=200, layout="constrained",
            gridspec_kw={"width_ratios": (1.7, 1.0)},
        )  # fmt: skip
        gap = 0.7
        y_site = np.arange(len(site), dtype=float)
        y_reference = len(site) + gap + np.arange(len(reference), dtype=float)
        shown = [
            (site, y_site - 0.12, BLUE, "o", "on the fitted site"),
            (true.reindex(site["method"]).reset_index(), y_site + 0.16, ORANGE, "D",
             "on the true network"),
            (reference, y_reference, GREY, "s", "for comparison"),
        ]  # fmt: skip
        for rows, y, colour, marker, label in shown:
            ax.hlines(y, rows["low"], rows["high"], color=colour, lw=1.0)
            ax.plot(rows["mean"], y, marker, ms=4.5, mew=0, color=colour, label=label)
            ax.plot(rows["mean_grey"], y, marker, ms=3.5, mew=0.8, mfc="none", color=colour)
        ax.plot(
            [], [], "o", ms=3.5, mew=0.8, mfc="none", color="0.3", label="cells grey, not blurred"
        )
        ax.set_yticks([*y_site, *y_reference], labels)
        ax.set_ylim(y_reference[-1] + 0.6 if len(reference) else len(site), -0.6)
        ax.axvline(0, color="0.8", lw=0.8, zorder=0)
        ax.set_xlabel("correlation with the fall of the true rate,\nover 7 × 7 cells "
                      "(mean and 95 % CI over neurons)")  # fmt: skip
        n_pictures = maps.groupby("neuron")["picture"].nunique().max()
        ax.set_title(
            f"{maps['neuron'].nunique()} {MARK}, {n_pictures} pictures each; "
            f"sites fitted to {largest:,}", loc="left",
        )  # fmt: skip
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        ax.grid(axis="y", lw=0.4, color="0.92")
        ax.set_axisbelow(True)
        tidy(ax)
        fast = [name for name in FAST if name in set(site["method"])]
        looks: Any = zip(fast, (BLUE, ORANGE, GREEN, PURPLE), "osD^", (0.94, 0.98, 1.02, 1.06),
                    strict=False)  # fmt: skip
        for name, colour, marker, aside in looks:
            rows = both[(both["source"] == "site") & (both["method"] == name)].sort_values("n")
            x = rows["n"] * aside
            right.plot(x, rows["mean"], f"-{marker}", ms=4.5, lw=1, color=colour, label=name)
            right.vlines(x, rows["low"], rows["high"], color=colour, lw=0.8, alpha=0.7)
        sizes = sorted(maps["n"].unique())
        right.set_xscale("log")
        right.set_xticks(sizes, [f"{n:,}" for n in sizes])
        right.minorticks_off()
        right.set_xlabel("noisy pictures that the site was fitted to")
        right.set_ylabel("correlation with the fall, blurred cells")
        right.set_title("fits to more pictures", loc="left")
        right.set_ylim(bottom=min(0.0, float(both["low"].min())))
        right.legend(loc="lower center", ncols=2)
        tidy(right)
    return figure


def draw_fits(layers: pd.DataFrame, sites: pd.DataFrame, rsa: pd.DataFrame) -> mpl.figure.Figure:
    """Draw ranking of layers, ceilings, and coverage of intervals."""
    from matplotlib import pyplot as plt

    sizes = sorted(layers["n"].unique())
    colours = dict(zip(sizes, mpl.colormaps["viridis"](np.linspace(0, 0.85, len(sizes))),
                       strict=True))  # fmt: skip
    aliases = dict(zip(layers["layer"], layers["alias"], strict=True))
    names = list(aliases)
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(11.4, 6.4), dpi=200, layout="constrained")
        ranking, ceilings, kept, coverage, of_rsa, of_layers = axes.flat
        for n in sizes:
            medians = layers[layers["n"] == n].groupby(["set", "layer"])[["r", "r_true"]].median()
            for _, one in medians.groupby("set"):
                of_set = one.droplevel("set").reindex(names)
                ranking.plot(of_set["r"], "-", color=colours[n], lw=0.8, alpha=0.6)
            truth = medians.groupby("layer")["r_true"].mean().reindex(names)
            ranking.plot(truth, "--o", color=colours[n], lw=1.2, ms=3.5, label=f"{n:,}")
        ranking.set_xticks(range(len(names)), [aliases[name] for name in names])
        ranking.set_ylabel("median r over neurons, held out")
        ranking.set_title(
            "encode, layers: noisy means (lines, one\nper set), noise-free rates (dashed)",
            loc="left",
        )
        low, high = ranking.get_ylim()
        ranking.set_ylim(low - 0.18 * (high - low), high)
        ranking.legend(title="pictures", loc="lower center", ncols=4, columnspacing=0.8,
                       handlelength=1.4, handletextpad=0.4)  # fmt: skip

        best = layers.loc[layers.groupby(["n", "set", "neuron"])["r_true"].idxmax()]
        for n in sizes:
            some = best[best["n"] == n]
            ceilings.plot(some["r_true"], some["r"], "o", ms=3, mfc="none", mew=0.6, alpha=0.6,
                          color=colours[n])  # fmt: skip
            ceilings.plot(some["r_true"], some["r_ceiled"], "o", ms=3.2, mew=0, color=colours[n],
                          label=f"{n:,}")  # fmt: skip
        low, high = best[["r", "r_true"]].min().min() - 0.05, 1.0
        ceilings.plot((low, high), (low, high), color="0.4", lw=0.8, zorder=0)
        ceilings.set(xlabel="r with noise-free rates", xlim=(low, high), ylim=(low, high),
                     ylabel="r/√ρ (filled), r (open)")  # fmt: skip
        ceilings.set_title("encode, ceilings: each neuron’s best layer\n(colours as on the left)",
                           loc="left")  # fmt: skip

        for n in sizes:
            some = sites[sites["n"] == n]
            kept.vlines(some["r_new"], some["r_low"], some["r_high"], color=colours[n], lw=0.5,
                        alpha=0.6)  # fmt: skip
            kept.plot(some["r_new"], some["r"], "o", ms=2.6, mew=0, color=colours[n])
        low = float(sites[["r_low", "r_new"]].min().min()) - 0.03
        kept.plot((low, 1), (low, 1), color="0.4", lw=0.8, zorder=0)
        kept.set(xlabel="r of the kept site with new noisy means", xlim=(low, 1), ylim=(low, 1),
                 ylabel="held-out r, 95 % interval")  # fmt: skip
        kept.set_title("encode, sites", loc="left")

        summary = summarise_sites(sites)
        x = np.arange(len(summary))
        coverage.axhline(0.95, color=GREY, lw=0.8, ls="--", zorder=0)
        coverage.vlines(x, summary["low"], summary["high"], color=BLUE, lw=1.2)
        coverage.plot(x, summary["coverage"], "o", ms=5, color=BLUE, label="r of the kept site")
        coverage.plot(x + 0.12, summary["coverage_average"], "D", ms=4.5, color=ORANGE,
                      label="mean r of such sites")  # fmt: skip
        coverage.legend(loc="lower right")
        for k, row in enumerate(summary.itertuples()):
            coverage.annotate(f"{row.intervals} intervals", (k, row.low), (0, -4), fontsize=7,
                              textcoords="offset points", ha="center", va="top")  # fmt: skip
        coverage.set_xticks(x, [f"{n:,}" for n in summary["n"]])
        coverage.set(xlabel="noisy pictures", ylabel="share of 95 % intervals that hold the truth")
        coverage.set_ylim(max(0.0, summary["low"].min() - 0.12), 1.02)
        coverage.set_xlim(-0.6, len(summary) - 0.4)
        coverage.set_title(
            "encode, intervals of sites’ r\n(with the share’s own 95 % CI)", loc="left"
        )

        first = rsa.drop_duplicates("set")
        for column, true, colour, marker, label in (
            ("ceiling_lower", "lower_true", ORANGE, "s", "lower: another recording"),
            ("ceiling_upper", "upper_true", BLUE, "o", "upper: noise-free RDM"),
        ):
            of_rsa.plot(first[true], first[column], marker, ms=4.5, mew=0, alpha=0.8, color=colour,
                        label=label)  # fmt: skip
        both = first[["ceiling_lower", "lower_true", "ceiling_upper", "upper_true"]]
        ends = (float(both.min().min()) - 0.03, float(both.max().max()) + 0.03)
        of_rsa.plot(ends, ends, color="0.4", lw=0.8, zorder=0)
        of_rsa.set(xlabel="true correlation of RDMs", ylabel="noise ceiling", xlim=ends, ylim=ends)
        of_rsa.set_title("RSA, noise ceilings: one point per set", loc="left")
        of_rsa.legend(loc="upper left")

        corrected = rsa.assign(corrected=rsa["score"] / rsa["ceiling_upper"])
        for column, colour, marker, shift, label in (
            ("score", GREY, "s", -0.15, "score"),
            ("corrected", ORANGE, "D", 0.0, "score / upper ceiling"),
            ("score_true", BLUE, "o", 0.15, "with the noise-free RDM"),
        ):
            at = corrected["layer"].map({name: k for k, name in enumerate(names)}) + shift
            of_layers.plot(at, corrected[column], marker, ms=2.4, mew=0, alpha=0.4, color=colour)
            means = corrected.groupby("layer")[column].mean().reindex(names)
            of_layers.plot(np.arange(len(names)) + shift, means, marker, ms=5, mec="white", mew=0.5,
                           color=colour, label=label)  # fmt: skip
        of_layers.set_xticks(range(len(names)), [aliases[name] for name in names])
        of_layers.set_ylabel("Spearman correlation of RDMs")
        of_layers.set_title("RSA, layers: means over sets (large)", loc="left")
        of_layers.legend(loc="lower right")
        of_layers.set_ylim(bottom=min(0.0, float(rsa["score"].min())))
        for ax in axes.flat:
            tidy(ax)
        figure.suptitle(
            f"{layers['neuron'].nunique()} {MARK}, Poisson counts, {REPETITIONS} repetitions, "
            "layers of AlexNet", fontsize=9, x=0.01, ha="left",
        )  # fmt: skip
    return figure


def write_figures(found: dict[str, pd.DataFrame], output: Path) -> list[Path]:
    """Draw and write all figures."""
    about = {"simulated": True}
    figures = {
        "superstimuli.png": draw_superstimuli(found["superstimuli"]),
        "maps.png": draw_maps(found["maps"]),
        "fits.png": draw_fits(found["layers"], found["sites"], found["rsa"]),
    }
    sheet = output / "superstimuli.npz"
    if sheet.exists():
        with np.load(sheet, allow_pickle=False) as arrays:
            figures["sheet.png"] = draw_sheet(found["superstimuli"], dict(arrays))
    for name, figure in figures.items():
        Parts.write(output / name, figure_png(figure, about))
    return [output / name for name in figures]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    every = [name for name, method in METHODS.items() if method.kind != "tokens"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--neurons", type=int, nargs="+", default=list(NEURONS), metavar="NUMBER",
        help=f"of the session's {N_NEURONS}, from 0 ({' '.join(map(str, NEURONS))})",
    )  # fmt: skip
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=list(SIZES),
        metavar="N",
        help=f"pictures that are fitted, up to 1,600 of 2,400 ({' '.join(map(str, SIZES))})",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=every, default=every, metavar="NAME",
        help=f"of {', '.join(every)} (all)",
    )  # fmt: skip
    parser.add_argument("--pictures", type=int, default=PICTURES,
                        help=f"that are explained, of each neuron ({PICTURES})")  # fmt: skip
    parser.add_argument("--sets", type=int, default=MOST_SETS,
                        help=f"of pictures of one size, at most ({MOST_SETS})")  # fmt: skip
    parser.add_argument("--steps", type=int, default=64, help="for a superstimulus (64)")
    parser.add_argument(
        "--rsa", type=int, nargs=2, default=[RSA_SETS, RSA_STIMULI], metavar=("SETS", "N"),
        help=f"sets for RSA, and pictures in each ({RSA_SETS} {RSA_STIMULI})",
    )  # fmt: skip
    parser.add_argument("--resamples", type=int, default=1000, help="for intervals (1000)")
    parser.add_argument("--only-studied", action="store_true",
                        help="correlate no other networks with what was recorded")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("known_truth"), help="folder")
    given = parser.parse_args(arguments)
    effort = Effort(
        tuple(sorted(set(given.sizes))), tuple(given.methods), given.pictures, given.steps,
        given.sets, (given.rsa[0], given.rsa[1]), given.resamples, given.seed,
    )  # fmt: skip
    try:
        found = run(given.neurons, given.output, effort)
        networks = correlations_of_networks(
            given.neurons, Parts(given.output / "parts"), everything=not given.only_studied
        )
        networks.to_csv(given.output / "networks.csv", index=False)
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nstopped; run again with --output {given.output} to go on where this was",
            file=sys.stderr,
        )
        return 130
    print(report(found, networks))
    for path in write_figures(found, given.output):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
