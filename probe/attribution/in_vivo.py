"""Maps judged by neurons: how far responses fell when regions of a picture were taken away.

A map says how much each part of a picture drives a neuron. Where the same neuron was also shown the
picture without one part (A), and without another (B), what the map says of the two can be held
against what happened. No other check of a map asks anything but the network itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from probe import recordings
from probe.attribution.masses import chosen_sites
from probe.errors import ProbeError
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.inference.resampling import bootstrap_counts
from probe.inference.significance import ROUNDING, t_test
from probe.output.files import writable_folder, write_all
from probe.output.pictures import png
from probe.output.summarised import Summarised
from probe.output.text import number, p_value
from probe.plots.deletions import plot_in_vivo
from probe.recordings import Deletions, Noise, Recording, find_deletions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCES = ("prediction", "field", "area", "centre", "edges", "detail")
"""Names of what is no map of a method: see `reference_masses`."""

N_PERMUTATIONS = 10_000
"""So many are drawn, or all, where there are fewer."""

MAX_VARIANTS = 4
"""Variants of one picture, whose orders are all looked at."""


@dataclass(frozen=True, eq=False, repr=False)
class InVivo(Summarised):
    """How well maps tell what a deletion does to recorded responses. Shows, plots, saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per map, best first: ``method``; ``r`` (mean over sites of the correlation of
        differences between regions, see `deletion_in_vivo`) with ``r_low`` and ``r_high`` (95 %
        interval over pictures, bootstrap-t) and ``p`` (permutation), ``p_fdr``, ``p_holm`` (over
        all rows); ``r_fall``, ``r_fall_low``, ``r_fall_high`` (of each fall by itself);
        ``ceiling``, the mean over sites of the highest r that noise allows, NaN where there are no
        repetitions; ``n_sites``, ``n_pictures``.
    sites : pandas.DataFrame
        One row per map and site: ``method``, ``site``, ``neuroid_id``, ``r``, ``r_low``,
        ``r_high``, ``r_fall``, ``ceiling``.
    pairs : pandas.DataFrame
        Two-sided tests between maps, paired over pictures, of these sites: ``method_a``,
        ``method_b``, ``difference`` (of r), ``se``, ``p``, ``p_fdr``, ``p_holm``.
    resampled : dict of str to numpy.ndarray, shape (B, m)
        r of each site in each resample of the pictures.
    about_maps : str
        Which maps, recording, sites and pictures.
    remarks : tuple of str
    simulated : bool
    """

    table: pd.DataFrame
    sites: pd.DataFrame
    pairs: pd.DataFrame
    resampled: dict[str, np.ndarray]
    about_maps: str
    remarks: tuple[str, ...]
    simulated: bool

    FILES: ClassVar = ("table.csv", "sites.csv", "pairs.csv", "figure.png")

    @property
    def title(self) -> str:
        """One line that says what was judged."""
        return self.about_maps

    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""
        return list(self.remarks)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw r of every map with its interval, best first; references are hollow."""
        return plot_in_vivo(self.table, REFERENCES, title=self.title, ax=ax)

    def save(self, path: str | Path) -> list[Path]:
        """Write table.csv, sites.csv, pairs.csv and figure.png into a folder."""
        return write_all(
            writable_folder(path),
            {
                "table.csv": self.table.to_csv(index=False).encode(),
                "sites.csv": self.sites.to_csv(index=False).encode(),
                "pairs.csv": self.pairs.to_csv(index=False).encode(),
                "figure.png": self._png(),
            },
        )

    def _png(self) -> bytes:
        size = (6.4, 1.4 + 0.2 * len(self.table))
        return png(lambda figure: self.plot(figure.add_subplot()), size, self.title)

    def summary(self) -> pd.DataFrame:
        """Return the table as a person reads it."""
        rows = []
        for row in self.table.to_dict("records"):
            rows.append(
                {
                    "map": row["method"],
                    "r": number(row["r"]),
                    "95 % CI": f"{number(row['r_low'])} to {number(row['r_high'])}"
                    if np.isfinite(row["r_low"])
                    else "",
                    "p (FDR)": p_value(row["p_fdr"]),
                    "r of falls": number(row["r_fall"]),
                }
            )
        return pd.DataFrame(rows)


def deletion_in_vivo(
    recording: str | Recording | Deletions,
    masses: Mapping[str, np.ndarray],
    *,
    sites: Sequence[int] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> InVivo:
    """Hold what maps say of regions against how far recorded responses fell without them.

    For every original picture and each of its variants, in which a region was taken away, there is
    a map's mass in that region and the fall of the response. Both are taken less their mean over
    the variants of one picture, so that only the difference between regions counts, and not how
    much a picture drives the site. ``r`` is their correlation through 0: with two variants, that of
    (mass in A − mass in B) with (response to B − response to A), whichever is called A.

    Parameters
    ----------
    recording : str, Recording or Deletions
        With originals and variants of pictures: a name such as ``v4:210305``, or see
        `probe.recordings.find_deletions`.
    masses : mapping of str to numpy.ndarray, shape (n, k, m) or (n, k, 1)
        By name: of each original's map in the region of each variant, for each site or for all.
        `Deletions.masses` sums maps of yours, `held_out_masses` makes those of methods.
    sites : sequence of int, optional
        Which of the recording's sites the m are; by default, all.
    n_resamples : int
        Bootstrap samples of the pictures, for intervals and tests between maps.
    seed : int
        Of resamples and permutations.

    Returns
    -------
    InVivo

    Raises
    ------
    ProbeError
        If the recording has no variants, or masses do not fit.

    Notes
    -----
    ``p`` is of permutations of a map's masses among the variants of each picture (two variants: the
    sign of the difference), the same for all sites; two-sided. It is exact, whatever the
    correlations between sites. A map without any knowledge of the neuron may still be right: where
    a larger region is taken away, responses fall further. Compare with the references of
    `reference_masses`.
    """
    deletions = _deletions_of(recording)
    if not masses:
        raise ProbeError("there are no masses to judge: expected one array or more, by name")
    if n_resamples < 1 or seed < 0:
        raise ProbeError(f"n_resamples {n_resamples}, seed {seed}: expected 1 or more, 0 or more")
    if not 2 <= len(deletions.labels) <= MAX_VARIANTS:
        raise ProbeError(
            f"variants of each picture: {len(deletions.labels)}, expected 2 to {MAX_VARIANTS}, "
            "whose regions are compared"
        )
    source = deletions.recording
    falls = deletions.falls()
    chosen = chosen_sites(sites, falls.shape[2])
    falls = falls[:, :, chosen]
    contrasts = _centred(falls)
    varies = np.square(contrasts).sum(axis=(0, 1)) > 0
    n, k, m = falls.shape
    rng = np.random.default_rng(seed)
    counts = bootstrap_counts(n, n_resamples, rng).astype(np.float64)
    orders = _draw_orders(n, k, rng)
    ceiling = _ceilings(deletions, chosen)
    rows, by_site, resampled = [], [], {}
    influences: dict[str, np.ndarray] = {}
    ids = source.data["neuroid_id"].values.astype(str)
    for name, values in masses.items():
        mass = _checked(name, values, falls.shape)
        contrast = _centred(mass)
        r, resampled_r = _correlate(contrast, contrasts, counts)
        r_fall, drawn_fall = _correlate_falls(mass, falls, counts)
        resampled[name] = resampled_r
        low, high, influences[name] = _studentised(contrast, contrasts, counts)
        fall_low, fall_high = _interval(_over_sites(drawn_fall))
        rows.append(
            {
                "method": name, "r": float(_over_sites(r)), "r_low": low, "r_high": high,
                "p": _permutation_p(contrast, contrasts, orders),
                "r_fall": float(_over_sites(r_fall)), "r_fall_low": fall_low,
                "r_fall_high": fall_high, "ceiling": float(_over_sites(ceiling)),
                "n_sites": int(np.isfinite(r).sum()), "n_pictures": n,
            }
        )  # fmt: skip
        lows, highs = _interval(resampled_r)
        by_site.append(
            pd.DataFrame(
                {
                    "method": name, "site": chosen, "neuroid_id": ids[chosen], "r": r,
                    "r_low": lows, "r_high": highs, "r_fall": r_fall, "ceiling": ceiling,
                }
            )
        )  # fmt: skip
    table = pd.DataFrame(rows)
    p = table["p"].to_numpy()
    table.insert(5, "p_fdr", _corrected(benjamini_hochberg, p))
    table.insert(6, "p_holm", _corrected(holm, p))
    per_site = pd.concat(by_site, ignore_index=True)
    notes = [
        f"r: mean over {int(varies.sum())} sites, over {n} pictures; intervals over pictures.",
        *deletions.notes,
    ]
    if alike := int((~varies).sum()):
        which = "1 site responds" if alike == 1 else f"{alike} sites respond"
        notes.append(f"Left out: {which} alike to all variants of every picture.")
    if not np.isfinite(ceiling).any():
        notes.append("Without single repetitions, how high r could be is not known.")
    if source.simulated:
        notes.append("The recording is SIMULATED: its responses were generated, not measured.")
    mark = "SIMULATED " if source.simulated else ""
    return InVivo(
        table.sort_values("r", ascending=False, ignore_index=True, kind="stable"),
        per_site,
        _compare({row["method"]: row["r"] for row in rows}, influences),
        resampled,
        f"Maps and {mark}{source.name}: {source.regions[0]}, {m} sites, {n} pictures with "
        f"{k} regions taken away",
        tuple(notes),
        source.simulated,
    )


def _deletions_of(recording: str | Recording | Deletions) -> Deletions:
    if isinstance(recording, Deletions):
        return recording
    if isinstance(recording, str):
        recording = recordings.load(recording)
    return find_deletions(recording)


def _checked(name: str, values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    n, k, m = shape
    mass = np.asarray(values, dtype=np.float64)
    if mass.shape not in ((n, k, m), (n, k, 1)):
        raise ProbeError(
            f"masses of {name!r} have shape {mass.shape}: expected ({n}, {k}, {m}), for every "
            f"picture, variant and site, or ({n}, {k}, 1)"
        )
    if not np.isfinite(mass).all():
        raise ProbeError(f"masses of {name!r} have values that are not finite")
    return np.broadcast_to(mass, shape)


def _centred(values: np.ndarray) -> np.ndarray:
    """Subtract the mean over the variants of each picture: (n, k, m)."""
    return _without_rounding(values, values.mean(axis=1, keepdims=True), axis=1)


def _without_rounding(values: np.ndarray, mean: np.ndarray, axis: Any) -> np.ndarray:
    """Subtract a mean along some axes; 0 where no more than its rounding is left."""
    size = np.abs(values).max(axis=axis, keepdims=True)
    left = values - mean
    return np.where(np.abs(left) > ROUNDING * size, left, 0.0)


def _ratio(products: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Divide products by the roots of two sums of squares; NaN where one is 0."""
    scale = np.sqrt(np.maximum(a, 0.0) * np.maximum(b, 0.0))
    return np.divide(products, scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def _correlate(
    mass: np.ndarray, falls: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlate through 0, for each site: (m,), and in each resample of the pictures: (B, m)."""
    products, a, b = ((x * y).sum(1) for x, y in ((mass, falls), (mass, mass), (falls, falls)))
    return (
        _ratio(products.sum(0), a.sum(0), b.sum(0)),
        _ratio(counts @ products, counts @ a, counts @ b),
    )


def _influence(
    mass: np.ndarray, falls: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean r over sites, and how it changes with the weight of each picture.

    Parameters
    ----------
    mass, falls : numpy.ndarray, shape (n, k, m)
        Centred.
    weights : numpy.ndarray, shape (B, n)
        Of the pictures.

    Returns
    -------
    mean : numpy.ndarray, shape (B,)
    influence : numpy.ndarray, shape (n, B)
    """
    products, a, b = ((x * y).sum(1) for x, y in ((mass, falls), (mass, mass), (falls, falls)))
    varies = (a.sum(0) > 0) & (b.sum(0) > 0)
    if not varies.any():
        return np.full(len(weights), np.nan), np.full((len(mass), len(weights)), np.nan)
    products, a, b = products[:, varies], a[:, varies], b[:, varies]
    sums, of_mass, of_falls = weights @ products, weights @ a, weights @ b
    r = _ratio(sums, of_mass, of_falls)
    with np.errstate(divide="ignore", invalid="ignore"):
        influence = (
            products @ (1 / np.sqrt(of_mass * of_falls)).T
            - a @ (r / (2 * of_mass)).T
            - b @ (r / (2 * of_falls)).T
        )
    return r.mean(axis=1), influence / varies.sum()


def _standard_error(influence: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute that of the mean r from the influence of each picture (infinitesimal jackknife)."""
    n = len(influence)
    return np.sqrt((weights * influence**2).sum(axis=0) * n / (n - 1))


def _studentised(
    mass: np.ndarray, falls: np.ndarray, counts: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Compute the 95 % interval of the mean r over sites, and the influence of each picture, (n,).

    By the bootstrap-t. Percentiles alone leave out the truth in 6 to 7 % of 100 pictures, and in
    8 % of 25 (Efron & Tibshirani 1993, ch. 12; simulated).
    """
    equal = np.ones((1, len(mass)))
    (mean,), influence = _influence(mass, falls, equal)
    (se,) = _standard_error(influence, equal.T)
    means, of_resamples = _influence(mass, falls, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (means - mean) / _standard_error(of_resamples, counts.T)
    if not np.isfinite(t).all():  # in some resample, a map says nothing of any picture
        return np.nan, np.nan, influence[:, 0]
    upper, lower = np.quantile(t, (0.025, 0.975))
    low, high = max(float(mean - lower * se), -1.0), min(float(mean - upper * se), 1.0)
    return low, high, influence[:, 0]


def _correlate_falls(
    mass: np.ndarray, falls: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlate (Pearson's r) over all pictures and variants: (m,) and (B, m)."""
    mass, falls = (_without_rounding(x, x.mean(axis=(0, 1)), axis=(0, 1)) for x in (mass, falls))

    def r(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1, keepdims=True) * mass.shape[1]
        sums = [weights @ x.sum(1) / total for x in (mass, falls)]
        products = [
            weights @ (x * y).sum(1) / total
            for x, y in ((mass, falls), (mass, mass), (falls, falls))
        ]
        return _ratio(
            products[0] - sums[0] * sums[1], products[1] - sums[0] ** 2, products[2] - sums[1] ** 2
        )

    return r(np.ones((1, len(mass))))[0], r(counts)


def _draw_orders(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an order of the variants for each picture: numbers of permutations, (P, n)."""
    n_orders = len(list(permutations(range(k))))
    if n_orders**n <= N_PERMUTATIONS:
        grid = np.indices((n_orders,) * n).reshape(n, -1).T
        return np.asarray(grid[1:])  # all but the one that is there
    return rng.integers(n_orders, size=(N_PERMUTATIONS, n))


def _permutation_p(mass: np.ndarray, falls: np.ndarray, orders: np.ndarray) -> float:
    """Compute the two-sided p of the mean r over sites."""
    n, k, _ = mass.shape
    norms = [np.sqrt(np.square(x).sum(axis=(0, 1))) for x in (mass, falls)]
    varies = (norms[0] > 0) & (norms[1] > 0)
    if not varies.any():
        return np.nan
    a, b = mass[:, :, varies] / norms[0][varies], falls[:, :, varies] / norms[1][varies]
    # The mean over sites is one number per picture and order: no site is looked at again.
    of_order = (
        np.stack(
            [(a[:, list(order)] * b).sum(axis=(1, 2)) for order in permutations(range(k))], axis=1
        )
        / varies.sum()
    )
    observed = of_order[:, 0].sum()
    by_chance = of_order[np.arange(n), orders].sum(axis=1)
    extreme = (np.abs(by_chance) >= abs(observed) - ROUNDING).sum()
    return float((extreme + 1) / (len(orders) + 1))


def _ceilings(deletions: Deletions, sites: np.ndarray) -> np.ndarray:
    """Compute the highest r that noise allows, for each site: (m,); NaN without repetitions.

    The root of the share of the differences between variants that is signal. Of squared deviations
    from the mean of k variants, noise has (1 − 1/k) of the variance of a mean response.
    """
    noise = Noise.of_repetitions(deletions.recording.data["responses"].values[:, :, sites])
    variance = (noise.variance * noise.shares)[deletions.variants]
    k = deletions.variants.shape[1]
    total = np.square(_centred(deletions.falls()[:, :, sites])).sum(axis=(0, 1))
    of_noise = variance.sum(axis=(0, 1)) * (1 - 1 / k)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(np.maximum(1 - of_noise / total, 0.0))


def _over_sites(values: np.ndarray) -> np.ndarray:
    """Average over sites that have a value."""
    is_finite = np.isfinite(values)
    total = np.where(is_finite, values, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / is_finite.sum(axis=-1))


def _interval(drawn: np.ndarray) -> tuple[Any, Any]:
    """Return the 95 % interval of resamples, along their first axis."""
    is_finite = np.isfinite(drawn).all(axis=0)
    low, high = np.quantile(np.where(np.isfinite(drawn), drawn, 0.0), (0.025, 0.975), axis=0)
    low, high = np.where(is_finite, low, np.nan), np.where(is_finite, high, np.nan)
    return (low, high) if low.ndim else (float(low), float(high))


def _corrected(correct: Any, p: np.ndarray) -> np.ndarray:
    """Correct the p of rows that have one."""
    corrected = np.full(len(p), np.nan)
    is_finite = np.isfinite(p)
    if is_finite.any():
        corrected[is_finite] = correct(p[is_finite])
    return corrected


def _compare(r: Mapping[str, float], influences: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Test maps against each other, by t of the difference of their influences (n pictures)."""
    rows: list[dict[str, Any]] = []
    for a, b in combinations(r, 2):
        difference, change = r[a] - r[b], influences[a] - influences[b]
        se = _standard_error(change, np.ones(len(change)))
        p = t_test(np.array(difference), se, np.array(len(change) - 1), two_sided=True)
        rows.append(
            {"method_a": a, "method_b": b, "difference": difference, "se": float(se), "p": float(p)}
        )
    pairs = pd.DataFrame(rows, columns=["method_a", "method_b", "difference", "se", "p"])
    p = pairs["p"].to_numpy(np.float64)
    pairs["p_fdr"] = _corrected(benjamini_hochberg, p)
    pairs["p_holm"] = _corrected(holm, p)
    return pairs
