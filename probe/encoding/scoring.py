"""Scores of all sites from held-out predictions, with intervals over stimuli, and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from probe.encoding import scores
from probe.encoding.bands import split_r2
from probe.encoding.ridge import Split
from probe.encoding.splits import n_units_of
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.significance import t_test
from probe.inference.variance import schuett2023_variance
from probe.recordings import Noise

SITES_AT_A_TIME = 512
"""Sites whose resamples are computed at a time."""

MIN_TEST_STIMULI = 10
"""With fewer test stimuli in a split, r is pooled over splits: within them it would be noise."""

CI_QUANTILES = (0.025, 0.975)
"""Quantiles of the resamples that bound a site's interval, and its ends of one around a median."""


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
        Of every stimulus, as deviations from its fold's training mean, plus the mean of all; empty
        where splits are no partition.
    resampled : numpy.ndarray, float32, shape (B, m)
        r of each site in each resample of the stimuli; no rows without resamples.
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
    partition: bool,
    n_units: int | None = None,
) -> Scored:
    """Score held-out predictions.

    r is computed within the test stimuli of each split and averaged over splits: by chance it is 0,
    whatever the penalties. Pooled over splits it would not be: predictions of noise scatter most
    where a chance pattern of the training stimuli called for a small penalty, and the same pattern
    is then missing from the test stimuli (−.05 in 640 stimuli). Where splits are a partition, the
    other scores are of all stimuli at once, as deviations from each fold's training mean;
    otherwise they are means over splits, too.

    The interval of a median over sites is a t interval around the score, as those of RDMs are
    (`probe.inference.evaluate`), with the standard deviation of the resamples' medians for its
    standard error. Percentiles of the resamples would lie to one side of the score: a resample
    leaves fewer different stimuli in each small fold, which lowers r, and adds noise to each
    site's r once more, which moves the median along a skewed distribution of sites. In nine
    simulated designs (100 to 640 stimuli, 50 to 120 sites, 10 folds), percentiles held the median
    of the sites' true r in .45 to .99 of experiments, t intervals in .85 to .98; the expected
    score, from as many other stimuli, in .89 to 1.00 and in .95 to .99. Mirrored (“basic”) and
    bias-corrected percentiles (Efron 1987, J Am Stat Assoc 82:171) held it in .72 to .91, since
    the shift of the resamples is not the bias of the score.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n, m)
    predictions : sequence of numpy.ndarray, shape (n_test, m)
        Of the test stimuli of each split.
    splits : sequence of (training, test) indices
    noise : Noise, optional
        Of all stimuli.
    counts : numpy.ndarray, shape (B, n), optional
        Resamples of the stimuli; only of a partition.
    partition : bool
        Whether every stimulus is tested once.
    n_units : int, optional
        How many stimuli, or groups of them, were resampled; by default n.

    Returns
    -------
    Scored
    """
    tests = [test for _, test in splits]
    per_split = [
        scores.of_predictions(responses[test], p, None if noise is None else noise.take(test))
        for test, p in zip(tests, predictions, strict=True)
    ]
    by_split = float(np.mean([scores.over_sites(of_split["r"]) for of_split in per_split]))
    if not partition:
        return _repeated(responses, noise, per_split, by_split)
    deviations, together = _pooled(responses, predictions, splits)
    values = scores.of_predictions(deviations, together, noise)
    within = tests if averages_within(splits) else None
    if within is not None:
        values = _with_r(values, _mean([of_split["r"] for of_split in per_split]))
    median = {name: float(scores.over_sites(values[name])) for name in scores.SCORES}
    low: dict[str, np.ndarray] = {}
    high: dict[str, np.ndarray] = {}
    median_low: dict[str, float] = {}
    median_high: dict[str, float] = {}
    resampled = np.empty((0, responses.shape[1]), dtype=np.float32)
    if counts is not None:
        of_resamples = _resample(deviations, together, noise, counts, within)
        resampled = of_resamples["r"]
        for name, of_score in of_resamples.items():
            low[name], high[name] = _quantiles(of_score)
            medians = scores.over_sites(of_score)
            if responses.shape[1] == 1:  # of one site, the median is its score
                median_low[name], median_high[name] = low[name][0], high[name][0]
            elif np.isfinite(medians).all():
                half = _half_width(medians, len(responses) if n_units is None else n_units)
                median_low[name] = median[name] - half
                median_high[name] = median[name] + half
    return Scored(values, low, high, median, median_low, median_high, by_split, together, resampled)


def _half_width(resampled: np.ndarray, n_units: int) -> float:
    """Return half the width of the 95 % t interval around what was resampled, (B,)."""
    if len(resampled) < 2 or n_units < 2:
        return np.nan
    return float(stats.t.ppf(CI_QUANTILES[1], n_units - 1) * resampled.std(ddof=1))


def _pooled(
    responses: np.ndarray, predictions: Sequence[np.ndarray], splits: Sequence[Split]
) -> tuple[np.ndarray, np.ndarray]:
    """Return responses and predictions as deviations from training means, plus the mean of all.

    The training mean is high where the fold's own is low: without its shift, pooled predictions of
    noise would correlate negatively with it.
    """
    mean = responses.mean(axis=0)
    together, deviations = np.empty_like(responses), np.empty_like(responses)
    for (train, test), of_split in zip(splits, predictions, strict=True):
        shift = mean - responses[train].mean(axis=0)
        together[test] = of_split + shift
        deviations[test] = responses[test] + shift
    return deviations, together


@dataclass(frozen=True, eq=False)
class ScoredBands:
    """How much of R² each band contributes, by the product measure: see `split_r2`.

    Attributes
    ----------
    r2, low, high : numpy.ndarray, shape (n_bands, m)
        Of each site, with 95 % intervals; NaN without resamples.
    mean, mean_low, mean_high : numpy.ndarray, shape (n_bands + 1,)
        Over sites: of each band, and of all together. Means, since they add up.
    """

    r2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    mean_low: np.ndarray
    mean_high: np.ndarray


def score_bands(
    responses: np.ndarray,
    predictions: Sequence[np.ndarray],
    by_band: Sequence[np.ndarray],
    splits: Sequence[Split],
    counts: np.ndarray | None,
    *,
    partition: bool,
) -> ScoredBands:
    """Divide R² of held-out predictions among the bands that they are the sum of.

    Where splits are a partition, of all stimuli at once, as deviations from each fold's training
    mean, as in `score`; otherwise, the mean over splits.

    Parameters
    ----------
    responses : numpy.ndarray, shape (n, m)
    predictions : sequence of numpy.ndarray, shape (n_test, m)
        Of the test stimuli of each split.
    by_band : sequence of numpy.ndarray, shape (n_bands, n_test, m)
        Their parts.
    splits : sequence of (training, test) indices
    counts : numpy.ndarray, shape (B, n), optional
        Resamples of the stimuli; only of a partition.
    partition : bool
        Whether every stimulus is tested once.
    """
    n_bands, m = len(by_band[0]), responses.shape[1]
    unknown = np.full((n_bands, m), np.nan)
    nothing = np.full(n_bands + 1, np.nan)
    if not partition:
        each = [
            split_r2(parts, of_split, responses[test])
            for parts, of_split, (_, test) in zip(by_band, predictions, splits, strict=True)
        ]
        r2 = _mean(each)
        return ScoredBands(r2, unknown, unknown, _means(r2), nothing, nothing)
    deviations, together = _pooled(responses, predictions, splits)
    parts = np.empty((n_bands, *responses.shape))
    for of_split, (_, test) in zip(by_band, splits, strict=True):
        parts[:, test] = of_split
    r2 = split_r2(parts, together, deviations)
    if counts is None:
        return ScoredBands(r2, unknown, unknown, _means(r2), nothing, nothing)
    low, high = unknown.copy(), unknown.copy()
    total = np.zeros((len(counts), n_bands))
    is_finite = np.isfinite(r2).all(axis=0)
    for start in range(0, m, SITES_AT_A_TIME):
        some = slice(start, start + SITES_AT_A_TIME)
        resampled = _resample_bands(
            parts[:, :, some], together[:, some], deviations[:, some], counts
        )
        for band in range(n_bands):
            low[band, some], high[band, some] = _quantiles(resampled[band])
        total += np.nansum(resampled[:, :, is_finite[some]], axis=2).T
    means = total / max(1, int(is_finite.sum()))
    means = np.concatenate([means, means.sum(axis=1, keepdims=True)], axis=1)
    mean_low, mean_high = (
        np.quantile(means, CI_QUANTILES, axis=0) if is_finite.any() else (nothing,) * 2
    )
    return ScoredBands(r2, low, high, _means(r2), mean_low, mean_high)


def _means(r2: np.ndarray) -> np.ndarray:
    """Average over sites that have a value: of each band, and of all together."""
    is_finite = np.isfinite(r2).all(axis=0)
    if not is_finite.any():
        return np.full(len(r2) + 1, np.nan)
    of_bands = r2[:, is_finite].mean(axis=1)
    return np.append(of_bands, of_bands.sum())


def _resample_bands(
    parts: np.ndarray, predictions: np.ndarray, responses: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Compute `split_r2` in all resamples, shape (n_bands, B, m)."""
    n = counts.sum(axis=1, keepdims=True)
    # Responses less their mean, which changes nothing but rounding.
    y = responses - responses.mean(axis=0)
    y_hat = predictions - predictions.mean(axis=0)
    of_y, of_gain = counts @ y / n, counts @ (2.0 * y - y_hat) / n
    total = counts @ y**2 / n - of_y**2
    floor = 1e-12 * (responses**2).mean(axis=0)  # a site that is constant in a resample
    total = np.where(total > floor, total, np.nan)
    return np.stack(
        [
            (counts @ (part * (2.0 * y - y_hat)) / n - (counts @ part / n) * of_gain) / total
            for part in parts
        ]
    )


def _mean(each: Sequence[np.ndarray]) -> np.ndarray:
    """Average over splits that have a value: a site may be silent in the test stimuli of one."""
    stacked = np.stack(each)
    is_finite = np.isfinite(stacked)
    total = np.where(is_finite, stacked, 0.0).sum(axis=0)
    n = is_finite.sum(axis=0)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def averages_within(splits: Sequence[Split]) -> bool:
    """Return whether every split tests enough stimuli for a correlation within it."""
    return min(len(test) for _, test in splits) >= MIN_TEST_STIMULI


def _repeated(
    responses: np.ndarray,
    noise: Noise | None,
    per_split: Sequence[Mapping[str, np.ndarray]],
    by_split: float,
) -> Scored:
    """Average over splits that leave out stimuli, or repeat them; ρ is that of all stimuli."""
    values = {name: _mean([of[name] for of in per_split]) for name in scores.SCORES}
    values["reliability"] = scores.of_predictions(responses, responses, noise)["reliability"]
    values = _with_r(values, values["r"])
    median = {name: float(scores.over_sites(values[name])) for name in scores.SCORES}
    median["r"] = by_split
    nothing: dict[str, Any] = {}
    empty = np.empty((0, responses.shape[1]))
    return Scored(values, nothing, nothing, median, nothing, nothing, by_split, empty,
                  empty.astype(np.float32))  # fmt: skip


def _with_r(values: Mapping[str, np.ndarray], r: np.ndarray) -> dict[str, np.ndarray]:
    """Put another r, and what follows of it, among scores."""
    reliability = values["reliability"]
    above = np.where(reliability > 0.0, reliability, np.nan)
    return {
        **values,
        "r": r,
        "r_ceiled": r / np.sqrt(above),
        "r2_ceiled": np.sign(r) * r**2 / above,
    }


def _resample(
    responses: np.ndarray,
    predictions: np.ndarray,
    noise: Noise | None,
    counts: np.ndarray,
    within: Sequence[np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """Compute all scores in all resamples, float32, (B, m); r within tests, if they are told."""
    m = responses.shape[1]
    resampled = {name: np.empty((len(counts), m), dtype=np.float32) for name in scores.SCORES}
    for start in range(0, m, SITES_AT_A_TIME):
        some = slice(start, start + SITES_AT_A_TIME)
        of_sites = None
        if noise is not None:
            of_sites = Noise(noise.variance[:, some], noise.shares[:, some])
        y, p = responses[:, some], predictions[:, some]
        values = scores.of_predictions(y, p, of_sites, counts)
        if within is not None:
            each = [scores.correlation(y[test], p[test], counts[:, test]) for test in within]
            values = _with_r(values, _mean(each))
        for name in scores.SCORES:
            resampled[name][:, some] = values[name]
    return resampled


def _quantiles(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of each site's interval; NaN where a resample has no score."""
    bounds = np.quantile(drawn.astype(np.float64), CI_QUANTILES, axis=0)
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
    first = next(iter(scored.values()))
    n_stimuli = len(first.predictions)
    n_units = n_units_of(n_stimuli, groups)
    for a, b in combinations(scored, 2) if n_resamples and len(first.resampled) else ():
        difference = scored[a].values["r"] - scored[b].values["r"]
        resampled = scored[a].resampled - scored[b].resampled
        is_finite = np.isfinite(difference) & np.isfinite(resampled).all(axis=0)
        rows.append(
            {
                "model_a": a,
                "model_b": b,
                **paired(difference[is_finite], resampled[:, is_finite], n_units, rng),
            }
        )
    pairs = pd.DataFrame(rows, columns=["model_a", "model_b", "difference", "se", "p"])
    p = pairs["p"].to_numpy(np.float64)
    pairs["p_fdr"] = benjamini_hochberg(p) if len(p) else p
    pairs["p_holm"] = holm(p) if len(p) else p
    return pairs


def paired(
    difference: np.ndarray, resampled: np.ndarray, n_units: int, rng: np.random.Generator
) -> dict[str, float]:
    """Test a mean difference over sites, for other stimuli and other sites.

    Parameters
    ----------
    difference : numpy.ndarray, shape (m,)
        Of r, in each site.
    drawn : numpy.ndarray, shape (B, m)
        The same in resamples of the stimuli.
    n_units : int
        Stimuli, or groups of them.
    rng : numpy.random.Generator

    Returns
    -------
    dict
        ``difference`` (the mean), ``se``, ``p`` (two-sided); NaN with fewer than two sites.
    """
    n_sites = len(difference)
    mean = float(difference.mean()) if n_sites else np.nan
    if n_sites < 2 or len(resampled) < 2:
        return {"difference": mean, "se": np.nan, "p": np.nan}
    resampled = resampled.astype(np.float64)
    weights = (
        rng.multinomial(n_sites, np.full(n_sites, 1.0 / n_sites), size=len(resampled)) / n_sites
    )
    both = np.einsum("bm,bm->b", weights, resampled).var(ddof=1)
    of_sites, of_stimuli = (weights @ difference).var(ddof=1), resampled.mean(axis=1).var(ddof=1)
    variance = schuett2023_variance(
        np.asarray(both), np.asarray(of_sites), np.asarray(of_stimuli), n_sites, n_units
    )
    se, dof = np.sqrt(variance), np.array(min(n_sites, n_units) - 1)
    p = t_test(np.array(mean), np.asarray(se), dof, two_sided=True)
    return {"difference": mean, "se": float(se), "p": float(p)}
