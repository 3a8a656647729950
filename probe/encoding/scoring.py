"""Scores of all sites from held-out predictions, with intervals over stimuli, and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from probe.encoding import scores
from probe.encoding.ridge import Split
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.significance import t_test
from probe.inference.variance import schuett2023_variance
from probe.recordings import Noise

SITES = 512
"""Sites whose resamples are computed at a time."""

INTERVAL = (0.025, 0.975)
"""Quantiles of the resamples that bound an interval."""


@dataclass(frozen=True, eq=False)
class Scored:
    """How well some sites are predicted.

    Attributes
    ----------
    values, low, high : dict of str to numpy.ndarray, shape (m,)
        Scores of each site and their 95 % intervals; ``values`` has ``reliability``, too.
    median, median_low, median_high : dict of str to float
        Over sites.
    by_split : float
        The median over sites of r in each split, then the mean over splits.
    predictions : numpy.ndarray, shape (n, m)
        Pooled over splits; empty where these are no partition.
    resampled : numpy.ndarray, float32, shape (B, m)
        r of each site in each resample of the stimuli; no rows without resamples.
    n_units : int
        Stimuli that were resampled.
    """

    values: dict[str, np.ndarray]
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    median: dict[str, float]
    median_low: dict[str, float]
    median_high: dict[str, float]
    by_split: float
    predictions: np.ndarray
    resampled: np.ndarray

    def row(self) -> dict[str, float]:
        """Return the columns of a table: medians over sites, with intervals."""
        columns: dict[str, float] = {}
        for name in scores.SCORES:
            columns[name] = self.median[name]
            columns[f"{name}_low"] = self.median_low.get(name, np.nan)
            columns[f"{name}_high"] = self.median_high.get(name, np.nan)
        return {**columns, "r_by_split": self.by_split}


def score(
    responses: np.ndarray,
    predictions: Sequence[np.ndarray],
    splits: Sequence[Split],
    noise: Noise | None,
    counts: np.ndarray | None,
    *,
    pooled: bool,
) -> Scored:
    """Score held-out predictions.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n, m)
    predictions : sequence of numpy.ndarray, shape (n_test, m)
        Of the test stimuli of each split.
    splits : sequence of (training, test) indices
    noise : Noise, optional
        Of all stimuli.
    counts : numpy.ndarray, shape (B, n), optional
        Resamples of the stimuli; only with ``pooled``.
    pooled : bool
        Whether splits are a partition: then scores are of all stimuli at once. Otherwise they are
        means over splits, and what is divided by the reliability is by that of all stimuli.

    Returns
    -------
    Scored
    """
    per_split = [
        scores.of_predictions(responses[test], p, None if noise is None else noise.take(test))
        for (_, test), p in zip(splits, predictions, strict=True)
    ]
    by_split = float(np.mean([scores.over_sites(of_split["r"]) for of_split in per_split]))
    low: dict[str, np.ndarray] = {}
    high: dict[str, np.ndarray] = {}
    median_low: dict[str, float] = {}
    median_high: dict[str, float] = {}
    resampled = np.empty((0, responses.shape[1]), dtype=np.float32)
    if pooled:
        together = np.empty_like(responses)
        for (_, test), of_split in zip(splits, predictions, strict=True):
            together[test] = of_split
        values = scores.of_predictions(responses, together, noise)
        median = {name: float(scores.over_sites(values[name])) for name in scores.SCORES}
        if counts is not None:
            of_resamples = _resample(responses, together, noise, counts)
            resampled = of_resamples["r"]
            for name, drawn in of_resamples.items():
                low[name], high[name] = _quantiles(drawn)
                medians = scores.over_sites(drawn)
                if np.isfinite(medians).all():
                    median_low[name], median_high[name] = np.quantile(medians, INTERVAL).tolist()
    else:
        together = np.empty((0, responses.shape[1]))
        whole = scores.of_predictions(responses, responses, noise)["reliability"]
        above = np.where(whole > 0, whole, np.nan)
        with np.errstate(invalid="ignore"):
            values = {
                name: np.mean([of_split[name] for of_split in per_split], axis=0)
                for name in scores.SCORES
            }
            squares = [np.sign(of["r"]) * of["r"] ** 2 for of in per_split]
            values |= {
                "r_ceiled": values["r"] / np.sqrt(above),
                "r2_ceiled": np.mean(squares, axis=0) / above,
                "reliability": whole,
            }
        median = {
            name: float(np.mean([scores.over_sites(of[name]) for of in per_split]))
            for name in ("r", "r2", "r2_er", "feve")
        }
        median["r_ceiled"] = float(scores.over_sites(values["r_ceiled"]))
        median["r2_ceiled"] = float(scores.over_sites(values["r2_ceiled"]))
    return Scored(values, low, high, median, median_low, median_high, by_split, together, resampled)


def _resample(
    responses: np.ndarray, predictions: np.ndarray, noise: Noise | None, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute all scores in all resamples, float32, (B, m)."""
    m = responses.shape[1]
    drawn = {name: np.empty((len(counts), m), dtype=np.float32) for name in scores.SCORES}
    for start in range(0, m, SITES):
        some = slice(start, start + SITES)
        of_sites = None
        if noise is not None:
            of_sites = Noise(noise.variance[:, some], noise.shares[:, some])
        found = scores.of_predictions(responses[:, some], predictions[:, some], of_sites, counts)
        for name in scores.SCORES:
            drawn[name][:, some] = found[name]
    return drawn


def _quantiles(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of each site's interval; NaN where a resample has no score."""
    bounds = np.quantile(drawn.astype(np.float64), INTERVAL, axis=0)
    return bounds[0], bounds[1]


def compare_layers(
    scored: Mapping[str, Scored],
    groups: np.ndarray | None,
    rng: np.random.Generator,
    n_resamples: int,
) -> pd.DataFrame:
    """Test all pairs of layers, paired over stimuli and sites.

    The difference of the mean r over sites is compared with a t distribution, whose variance is
    that over stimuli and sites together (Schütt et al. 2023, eLife 12:e82566): other stimuli and
    other sites of the same kind.

    Parameters
    ----------
    scored : mapping of str to Scored
        Of the same recording, splits and resamples.
    groups : numpy.ndarray, optional
        Labels of stimuli that were resampled together.
    rng : numpy.random.Generator
    n_resamples : int
        0: no tests.

    Returns
    -------
    pandas.DataFrame
        ``model_a``, ``model_b``, ``difference``, ``se``, ``p``, ``p_fdr``, ``p_holm``.
    """
    rows: list[dict[str, Any]] = []
    names = list(scored)
    first = next(iter(scored.values()))
    n_sites = first.resampled.shape[1]
    if n_resamples and len(first.resampled) and n_sites > 1 and len(names) > 1:
        n_stimuli = len(first.predictions)
        n_units = n_stimuli if groups is None else len(np.unique(groups))
        known = np.logical_and.reduce([np.isfinite(s.values["r"]) for s in scored.values()])
        known &= np.logical_and.reduce([np.isfinite(s.resampled).all(0) for s in scored.values()])
        n_known = int(known.sum())
        weights = rng.multinomial(
            n_known, np.full(n_known, 1.0 / n_known), size=len(first.resampled)
        ) / max(n_known, 1)
        plain, over_stimuli, over_sites, over_both = {}, {}, {}, {}
        for name, one in scored.items():
            r, drawn = one.values["r"][known], one.resampled[:, known].astype(np.float64)
            plain[name] = r.mean()
            over_stimuli[name] = drawn.mean(axis=1)
            over_sites[name] = weights @ r
            over_both[name] = np.einsum("bm,bm->b", weights, drawn)
        for a, b in combinations(names, 2):
            variances = [
                np.var(of[a] - of[b], ddof=1) for of in (over_both, over_sites, over_stimuli)
            ]
            variance = schuett2023_variance(
                *(np.asarray(v) for v in variances), n_known, n_units
            )  # type: ignore[call-arg]
            se = float(np.sqrt(variance))
            difference = float(plain[a] - plain[b])
            p = t_test(
                np.array(difference), np.array(se), np.array(min(n_known, n_units) - 1),
                two_sided=True,
            )  # fmt: skip
            rows.append(
                {"model_a": a, "model_b": b, "difference": difference, "se": se, "p": float(p)}
            )
    pairs = pd.DataFrame(rows, columns=["model_a", "model_b", "difference", "se", "p"])
    p = pairs["p"].to_numpy(np.float64)
    pairs["p_fdr"] = benjamini_hochberg(p) if len(p) else p
    pairs["p_holm"] = holm(p) if len(p) else p
    return pairs
