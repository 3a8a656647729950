"""Do the tests reject as often as they say, and do the intervals hold what they promise?

Run ``python analyses/calibration.py [--quick] [--simulations 1000] [--jobs 2] [--output DIR]``. It
writes ``table.csv`` and ``figure.png``. Stopped with Ctrl-C or killed, it goes on where it was when
run again into the same folder; results of an older version of `probe` have to be deleted there.

All recordings are **simulated**. A stimulus is a pattern z of 20 latent features; subject s sees
z (I + τ G_s), with a random matrix G_s of their own, plus noise, and has the RDM of squared
distances between what they see. Models see z plus noise of their own. An experiment draws anew
what the inference claims to generalise to, and nothing else: the stimuli, the subjects, or both.
What is fixed is drawn once for each of a few worlds, over which rates are averaged.

Asked of every test that `probe.inference.evaluate` offers, for every factor that it resamples:

false positives at .05
    - *zero*: a model that has nothing to do with the data. It is drawn anew for every experiment.
      With cosine, and where stimuli come in variants that are alike for every model, its true
      score is above zero, which a permutation takes into account and the other tests do not.
    - *zero on average* (only for other subjects with these stimuli): the subjects' RDMs have
      nothing to do with each other, nor with the model, so that the model's mean score over
      subjects is zero for just these stimuli.
    - *pairs*: two models of equal true score. Where the stimuli are drawn anew these are models
      with equally much noise; where they are fixed, the noise of one is set to make them equal.
    - *ceiling*: a model whose true score is the expected lower bound of the noise ceiling, its
      noise set accordingly.
    - *ceiling, true model*: it scores above the lower bound and is to be rejected less often. Not
      so with cosine: noise makes all recorded distances larger, not those of the true model.
coverage
    of the 95 % intervals of an unrelated, a noisy and the true model. The true score is the mean
    over all experiments of a world.
power
    against zero, in pairs, and below the ceiling, for models of growing noise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats
from scipy.interpolate import PchipInterpolator

from probe.inference import evaluate, noise_ceiling
from probe.progress import track
from probe.similarity import compare

ALPHA = 0.05
BAND = (0.035, 0.065)
"""A test is called calibrated if it rejects this often at .05."""

WORLDS = 5
N_FEATURES = 20
INDIVIDUALITY = 0.5
"""τ: how much subjects differ."""
NOISE = 1.0
"""Of a measurement, in standard deviations of a feature."""
EFFECTS = (1.15, 1.3, 1.6, 2.2, 3.5)
"""Noise of the models for power; the model that they are compared with has 1."""

UNRELATED, TWIN, OTHER_TWIN, TRUE, AT_BOUND = range(5)
N_MODELS = 5 + len(EFFECTS)
NAMES = {"stimuli": "other stimuli", "subjects": "other subjects", "both": "both"}


@dataclass(frozen=True)
class Cell:
    """A design, and what is asked of it.

    Attributes
    ----------
    comparator, resample : str
        As `probe.inference.evaluate` takes them.
    n_stimuli, n_subjects : int
    tests : tuple of str
        ``auto`` is the default.
    stimuli : {'independent', 'clustered', 'variants'}
        Clustered stimuli lie around two centres. Variants come in pairs that are much alike, and
        are resampled and permuted as pairs.
    """

    comparator: str
    resample: str
    n_stimuli: int
    n_subjects: int
    tests: tuple[str, ...] = ("auto",)
    stimuli: str = "independent"

    @property
    def name(self) -> str:
        """For files and for the seed."""
        return (
            f"{self.resample}-{self.comparator}-{self.n_stimuli}x{self.n_subjects}-{self.stimuli}"
        )

    @property
    def groups(self) -> list[int] | None:
        """Which stimuli belong together."""
        return [k // 2 for k in range(self.n_stimuli)] if self.stimuli == "variants" else None


def cells(quick: bool) -> list[Cell]:
    """List what is simulated."""
    if quick:
        return [Cell("pearson", resample, 12, 4, _tests(resample)) for resample in NAMES]
    # All tests where they are cheap, and what is the default with every comparator.
    compared = {
        "pearson": ((12, 4), (20, 1), (20, 2), (20, 8), (40, 4)),
        "spearman": ((12, 4), (20, 8)),
    }
    defaults = {
        "pearson": ((92, 4),),
        "spearman": ((20, 1), (40, 4)),
        "rho-a": ((12, 4), (20, 8)),
        "cosine": ((12, 4), (20, 8)),
        "tau-a": ((12, 4),),
        "whitened-cosine": ((12, 4),),
        "whitened-pearson": ((12, 4),),
    }
    every = [
        Cell(comparator, resample, *design, _tests(resample) if designs is compared else ("auto",))
        for designs in (compared, defaults)
        for comparator, of_comparator in designs.items()
        for design in of_comparator
        for resample in NAMES
    ]
    every += [
        Cell("spearman", "stimuli", 20, 4, _tests("stimuli"), "clustered"),
        Cell("spearman", "both", 20, 4, _tests("both"), "clustered"),
        Cell("spearman", "stimuli", 40, 4, _tests("stimuli"), "variants"),
    ]
    return [cell for cell in every if cell.n_subjects > 1 or cell.resample == "stimuli"]


def _tests(resample: str) -> tuple[str, ...]:
    # Subjects' signs say nothing of other stimuli.
    return ("auto", "t", "bootstrap", *(("sign-flip",) if resample == "subjects" else ()))


class World:
    """Stimuli, subjects and models of one cell, any of which can be drawn again."""

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        self.cell, self.rng = cell, rng
        self.centres = 2.0 * rng.standard_normal((2, 2, N_FEATURES))
        for _ in range(20):
            self.draw_stimuli()
            self.draw_subjects()
            self.levels = np.array([0.0, 1.0, 1.0, 0.0, np.nan, *EFFECTS])
            if self._set_levels():
                return
        raise RuntimeError(f"{cell.name}: no noise makes the models equal")  # pragma: no cover

    def draw_stimuli(self) -> None:
        """Draw stimuli, and with them the noise of the models."""
        self.latent = self._features(self.centres[0])
        self.model_noise = self.rng.standard_normal((N_MODELS, *self.latent.shape))
        self.model_noise *= self.latent.std()

    def draw_subjects(self) -> None:
        """Draw what is individual in how subjects see."""
        own = self.rng.standard_normal((self.cell.n_subjects, N_FEATURES, N_FEATURES))
        self.maps = np.eye(N_FEATURES) + INDIVIDUALITY * own / np.sqrt(N_FEATURES)

    def draw(self) -> None:
        """Draw what the inference generalises to."""
        if self.cell.resample in ("stimuli", "both"):
            self.draw_stimuli()
        if self.cell.resample in ("subjects", "both"):
            self.draw_subjects()

    def data(self) -> np.ndarray:
        """Record every subject: RDMs of shape (S, n_pairs)."""
        seen = self.latent @ self.maps
        noise = NOISE * self.latent.std() * self.rng.standard_normal(seen.shape)
        return squared_distances(seen + noise)

    def unrelated_data(self) -> np.ndarray:
        """Record subjects whose RDMs have nothing to do with each other."""
        n_subjects = self.cell.n_subjects
        return squared_distances(
            np.stack([self._features(self.centres[0]) for _ in range(n_subjects)])
        )

    def models(self) -> np.ndarray:
        """Make the models' RDMs, shape (N_MODELS, n_pairs)."""
        patterns = self.latent + np.nan_to_num(self.levels)[:, None, None] * self.model_noise
        patterns[UNRELATED] = self._features(self.centres[1])
        return squared_distances(patterns)

    def _features(self, centres: np.ndarray) -> np.ndarray:
        shape = (self.cell.n_stimuli, N_FEATURES)
        features = self.rng.standard_normal(shape)
        if self.cell.stimuli == "clustered":
            features += centres[self.rng.integers(len(centres), size=len(features))]
        elif self.cell.stimuli == "variants":
            features = features[self.cell.groups] + 0.3 * self.rng.standard_normal(shape)
        return features

    def _set_levels(self, n_draws: int = 600) -> bool:
        """Find the noise with which a model's true score is what a hypothesis says.

        Where the stimuli are fixed, so is the noise but for its size, and there may be none that
        makes a pair. A bound that even the true model does not reach is not asked about.
        """
        fixed_stimuli, several = self.cell.resample == "subjects", self.cell.n_subjects > 1
        wanted = ([OTHER_TWIN] if fixed_stimuli else []) + ([AT_BOUND] if several else [])
        if not wanted:
            return True
        grid = np.array([0.0, 0.3, 0.6, 0.85, 1.1, 1.4, 1.8, 2.4, 3.2, 5.0])
        scores, targets = np.zeros((len(wanted), len(grid))), np.zeros(len(wanted))
        for _ in range(n_draws):
            self.draw()
            data = self.data()
            noise = self.model_noise[wanted][:, None] * grid[:, None, None]
            patterns = (self.latent + noise).reshape(-1, *self.latent.shape)
            twin = self.latent + self.model_noise[TWIN]
            rdms = squared_distances(np.concatenate([patterns, twin[None]]))
            similar = np.asarray(compare(rdms, data, self.cell.comparator)).mean(axis=1)
            scores += similar[:-1].reshape(scores.shape)
            for k, model in enumerate(wanted):
                if model == OTHER_TWIN:
                    targets[k] += similar[-1]
                else:
                    targets[k] += noise_ceiling(data, self.cell.comparator)[0]
        for k, model in enumerate(wanted):
            roots = PchipInterpolator(grid, scores[k] - targets[k]).roots(extrapolate=False)
            self.levels[model] = roots[0] if len(roots) else np.nan
        return bool(np.isfinite(self.levels[OTHER_TWIN]))


def squared_distances(patterns: np.ndarray) -> np.ndarray:
    """RDMs (…, n_pairs) of squared Euclidean distances between patterns (…, n, k)."""
    products = patterns @ np.swapaxes(patterns, -1, -2)
    i, j = np.triu_indices(patterns.shape[-2], 1)
    squares = np.einsum("...ii->...i", products)
    distances: np.ndarray = squares[..., i] + squares[..., j] - 2.0 * products[..., i, j]
    return distances


def simulate(cell: Cell, world: int, simulations: int, n_resamples: int, seed: int) -> pd.DataFrame:
    """Simulate experiments in one world and count what the tests say.

    Parameters
    ----------
    cell : Cell
    world : int
        Which of the worlds.
    simulations : int
        Number of experiments.
    n_resamples : int
        Bootstrap samples, and permutations, of each experiment.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row per question and test: ``quantity``, ``hypothesis``, ``test``, ``default``,
        ``level`` (of a model for power), ``effect``, ``hits``, ``simulations``. Effect is the true
        score, difference, or distance to the ceiling. Questions that the design cannot answer have
        no row.
    """
    rng = np.random.default_rng([seed, crc32(cell.name.encode()), world])
    here = World(cell, rng)
    has_bound = bool(np.isfinite(here.levels[AT_BOUND]))
    p_values: dict[tuple[str, str, int], list[float]] = {}
    means, low, high, lower_bound = [], [], [], []
    power_models = range(5, N_MODELS)
    for _ in range(simulations):
        here.draw()
        models, data = here.models(), here.data()
        data_without, seed_here = here.unrelated_data(), int(rng.integers(2**31))
        for test in cell.tests:
            found = evaluate(
                models, data, cell.comparator, resample=cell.resample, groups=cell.groups,
                test=test, n_resamples=n_resamples, seed=seed_here,
            )  # fmt: skip

            def note(hypothesis: str, p: float, model: int = 0, test: str = test) -> None:
                p_values.setdefault((hypothesis, test, model), []).append(float(p))

            note("zero", found.p_zero[UNRELATED])
            note("pairs", found.p_pairs[TWIN, OTHER_TWIN])
            note("ceiling", found.p_ceiling[AT_BOUND] if has_bound else np.nan)
            note("ceiling, true model", found.p_ceiling[TRUE])
            for model in power_models:
                note("zero", found.p_zero[model], model)
                note("pairs", found.p_pairs[TWIN, model], model)
                note("ceiling", found.p_ceiling[model], model)
            if cell.resample == "subjects":
                without = evaluate(
                    models[[TRUE]], data_without, cell.comparator, resample="subjects", test=test,
                    n_resamples=n_resamples, seed=seed_here,
                )  # fmt: skip
                note("zero on average", without.p_zero[0])
            if test == cell.tests[0]:  # the interval is the same with any test
                means.append(found.mean)
                low.append(found.ci_low)
                high.append(found.ci_high)
                lower_bound.append(found.ceiling[0])
    true, lower = np.mean(means, axis=0), float(np.mean(lower_bound))
    effect_of = {
        "zero": true,
        "pairs": np.abs(true[TWIN] - true),
        "ceiling": lower - true,
    }
    rows: list[dict[str, Any]] = []
    for (hypothesis, test, model), p in p_values.items():
        # With the default test, pairs and ceiling are tested as 't' says, too.
        if np.isnan(p).any() or (test == "t" and not hypothesis.startswith("zero")):
            continue
        rows.append(
            {
                "quantity": "power" if model else "false positives",
                "hypothesis": hypothesis,
                "test": resolved(test, hypothesis),
                "default": test == "auto",
                "level": here.levels[model] if model else np.nan,
                "effect": effect_of[hypothesis][model] if model else 0.0,
                "hits": int((np.array(p) <= ALPHA).sum()),
            }
        )
    inside = (np.array(low) <= true) & (true <= np.array(high))
    for of, model in (("unrelated model", UNRELATED), ("noisy model", TWIN), ("true model", TRUE)):
        if model == UNRELATED and cell.resample == "subjects":
            continue  # it is another one in every experiment, whose true score is not known
        rows.append(
            {
                "quantity": "coverage",
                "hypothesis": of,
                "test": "interval",
                "default": True,
                "level": np.nan,
                "effect": true[model],
                "hits": int(inside[:, model].sum()),
            }
        )
    return pd.DataFrame(rows).assign(simulations=simulations)


def resolved(test: str, hypothesis: str) -> str:
    """Name the test that the default is."""
    if test != "auto":
        return test
    return "permutation" if hypothesis.startswith("zero") else "t"


def summarise(parts: Sequence[tuple[Cell, pd.DataFrame]]) -> pd.DataFrame:
    """Average over worlds, with 95 % Wilson intervals.

    Returns
    -------
    pandas.DataFrame
        The columns of `simulate`, before them those of `Cell`, after them ``rate``, ``low``,
        ``high``, and ``in_band``: for false positives whether the rate lies within 3.5–6.5 %.
    """
    design = ["comparator", "resample", "n_stimuli", "n_subjects", "stimuli"]
    frames = [part.assign(**{name: getattr(cell, name) for name in design}) for cell, part in parts]
    question = ["quantity", "hypothesis", "test", "default", "level"]
    # The noise that puts a model at the bound differs between worlds; that of power does not.
    table = (
        pd.concat(frames)
        .groupby([*design, *question], dropna=False, sort=False)
        .agg(effect=("effect", "mean"), hits=("hits", "sum"), simulations=("simulations", "sum"))
        .reset_index()
    )
    table["rate"] = table["hits"] / table["simulations"]
    bounds = [
        stats.binomtest(int(k), int(n)).proportion_ci(method="wilson")
        for k, n in zip(table["hits"], table["simulations"], strict=True)
    ]
    table["low"], table["high"] = [b.low for b in bounds], [b.high for b in bounds]
    band = table["rate"].between(*BAND)
    # The true model is above the bound: it cannot be rejected too seldom.
    band |= table["hypothesis"].eq("ceiling, true model") & (table["rate"] <= BAND[1])
    table["in_band"] = band.astype(object).where(table["quantity"] == "false positives", None)
    table.insert(0, "recordings", "simulated")
    return table


COLOURS = {
    "permutation": "#0072B2",
    "t": "#D55E00",
    "bootstrap": "#009E73",
    "sign-flip": "#CC79A7",
    "interval": "#333333",
}
SHOWN = {
    "zero": ("zero", "zero on average"),
    "pairs": ("pairs",),
    "ceiling": ("ceiling", "ceiling, true model"),
}
MARKERS = {"zero on average": "s", "ceiling, true model": "s", "unrelated model": "s",
           "true model": "^"}  # fmt: skip


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw false positives, coverage and power into a file that fills a printed page."""
    import matplotlib.pyplot as plt

    resamples = [name for name in NAMES if name in set(table["resample"])]
    designs = {
        name: list(
            table[table["resample"] == name][
                ["comparator", "n_stimuli", "n_subjects", "stimuli"]
            ].drop_duplicates().itertuples(index=False, name=None)
        )
        for name in resamples
    }  # fmt: skip
    heights = [max(len(designs[name]), 3) * 0.135 + 0.25 for name in resamples]
    style: Any = {
        "font.size": 7,
        "axes.linewidth": 0.6,
        "legend.frameon": False,
        "savefig.dpi": 200,
    }
    with mpl.rc_context(style):
        figure: Any = plt.figure(figsize=(8.0, sum(heights) + 3.6), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=[sum(heights) + 0.9, 2.4])
        axes = above.subplots(len(resamples), 4, height_ratios=heights, squeeze=False)
        for row, name in zip(axes, resamples, strict=True):
            _draw_rates(row, table[table["resample"] == name], designs[name], name)
        for ax, title in zip(
            axes[0],
            ("against zero", "pairs of models", "against the ceiling", "95 % intervals"),
            strict=True,
        ):
            ax.set_title(title, fontsize=8)
        for ax in axes[-1, :3]:
            ax.set_xlabel("rejected at .05, no effect")
        axes[-1, 3].set_xlabel("cover the true score")
        above.suptitle(
            f"Simulated recordings, stimuli × subjects, {_experiments(table)} experiments each\n"
            "(filled: the default test, hollow: others; bars: 95 % Wilson intervals; "
            "grey: 3.5–6.5 %)",
            fontsize=8,
        )
        above.legend(handles=_legend(table), loc="outside lower center", ncols=4, fontsize=7)
        _draw_power(below.subplots(1, 3), table)
        figure.savefig(path)
        plt.close(figure)


def _experiments(table: pd.DataFrame) -> str:
    low, high = table["simulations"].min(), table["simulations"].max()
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _draw_rates(
    axes: Sequence[Any], table: pd.DataFrame, designs: list[tuple[str, int, int, str]], name: str
) -> None:
    limit = 0.16  # what lies beyond is drawn as an arrow at the edge
    for ax, hypotheses in zip(axes[:3], SHOWN.values(), strict=True):
        ax.axvspan(*BAND, color="0.88", lw=0)
        ax.axvline(ALPHA, color="0.6", lw=0.6)
        ax.set_xlim(0.0, limit)
        ax.set_xticks([0, 0.05, 0.1, 0.15], ["0", ".05", ".10", ".15"])
        rates = table[table["hypothesis"].isin(hypotheses) & (table["quantity"] != "power")]
        _draw_points(ax, rates, designs, limit)
    ax = axes[3]
    ax.axvspan(1 - BAND[1], 1 - BAND[0], color="0.88", lw=0)
    ax.axvline(0.95, color="0.6", lw=0.6)
    ax.set_xlim(0.86, 1.0)
    ax.set_xticks([0.9, 0.95, 1.0], [".90", ".95", "1"])
    _draw_points(ax, table[table["quantity"] == "coverage"], designs, 1.01)
    for ax in axes:
        ax.set_ylim(len(designs) - 0.4, -0.6)
        ax.set_yticks(range(len(designs)), [])
        ax.tick_params(length=2, width=0.5)
        ax.grid(axis="y", lw=0.3, color="0.9")
        ax.set_axisbelow(True)
    axes[0].set_yticklabels([_design_label(*design) for design in designs], fontsize=6)
    axes[0].text(
        -0.03, 1.0, f"to {NAMES[name]}", transform=axes[0].transAxes, ha="right", va="bottom",
        fontweight="bold",
    )  # fmt: skip


def _design_label(comparator: str, n_stimuli: int, n_subjects: int, stimuli: str) -> str:
    kind = "" if stimuli == "independent" else f", {stimuli}"
    return f"{comparator} {n_stimuli} × {n_subjects}{kind}"


def _draw_points(ax: Any, table: pd.DataFrame, designs: list[Any], limit: float) -> None:
    series: list[Any] = list(table.groupby(["hypothesis", "test"], sort=False))
    left = ax.get_xlim()[0]
    for k, ((hypothesis, test), rows) in enumerate(series):
        shift = (k - (len(series) - 1) / 2) * 0.8 / max(len(series), 4)
        for row in _records(rows):
            at = (row.comparator, row.n_stimuli, row.n_subjects, row.stimuli)
            y, colour = designs.index(at) + shift, COLOURS[test]
            face = colour if row.default else "white"
            beyond = row.rate > limit or row.rate < left
            if not beyond:
                ax.plot([row.low, row.high], [y, y], color=colour, lw=0.6)
            marker = (">" if row.rate > limit else "<") if beyond else MARKERS.get(hypothesis, "o")
            ax.plot(
                np.clip(row.rate, left, limit), y, marker, ms=2.6, mew=0.6, color=colour, mfc=face,
                clip_on=False, zorder=3,
            )  # fmt: skip


def _records(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples(index=False))


def _legend(table: pd.DataFrame) -> list[Any]:
    from matplotlib.lines import Line2D

    def entry(label: str, marker: str, colour: str, face: str) -> Any:
        return Line2D(
            [], [], ls="", marker=marker, color=colour, mfc=face, ms=3.5, mew=0.7, label=label
        )

    tests = [test for test in COLOURS if test in set(table["test"])]
    handles = [entry(test, "o", COLOURS[test], COLOURS[test]) for test in tests]
    for label, marker in MARKERS.items():
        if label in set(table["hypothesis"]):
            handles.append(entry(label, marker, "0.3", "white"))
    return handles


def _draw_power(axes: Sequence[Any], table: pd.DataFrame) -> None:
    titles = {
        "zero": ("true score", "zero"),
        "pairs": ("true difference", "pairs"),
        "ceiling": ("true distance to the lower bound", "ceiling"),
    }
    styles = {"stimuli": "-", "subjects": "--", "both": ":"}
    # One comparator shows the shape; the table has all of them.
    power = table[table["quantity"].eq("power") & table["stimuli"].eq("independent")]
    shown = "spearman" if "spearman" in set(power["comparator"]) else power["comparator"].iloc[0]
    power = power[power["comparator"].eq(shown) & power["default"]]
    designs = sorted(set(zip(power["n_stimuli"], power["n_subjects"], strict=True)))
    palette = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(designs)))
    for ax, (hypothesis, (xlabel, title)) in zip(axes, titles.items(), strict=True):
        of_hypothesis = power[power["hypothesis"] == hypothesis]
        for (resample, n, s), rows in of_hypothesis.groupby(
            ["resample", "n_stimuli", "n_subjects"]
        ):
            rows = rows.sort_values("effect")
            colour = palette[designs.index((n, s))]
            ax.plot(rows["effect"], rows["rate"], styles[str(resample)], color=colour, lw=0.9)
            ax.vlines(rows["effect"], rows["low"], rows["high"], color=colour, lw=0.6)
        ax.axhline(ALPHA, color="0.6", lw=0.6)
        ax.set(ylim=(0, 1.02), xlabel=xlabel)
        ax.set_title(f"power: {title} ({shown})", fontsize=8)
        ax.tick_params(length=2, width=0.5)
    axes[0].set_ylabel("rejected at .05")
    for colour, (n, s) in zip(palette, designs, strict=True):
        axes[2].plot([], [], color=colour, label=f"{n} stimuli × {s} subject{'s' * (s > 1)}")
    for name, style in styles.items():
        if name in set(power["resample"]):
            axes[2].plot([], [], style, color="0.3", label=f"to {NAMES[name]}")
    axes[2].legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))


def run(
    todo: Sequence[Cell],
    output: Path,
    *,
    simulations: int,
    n_resamples: int,
    jobs: int,
    seed: int,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Simulate all cells, those that the folder does not have yet, and write table and figure.

    Returns
    -------
    pandas.DataFrame
        As from `summarise`.
    """
    parts = output / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    n_worlds = min(WORLDS, simulations)
    share = [simulations // n_worlds + (k < simulations % n_worlds) for k in range(n_worlds)]
    # World by world: what is there when the run is stopped is of all cells.
    work = [
        (cell, world, share[world], n_resamples, seed) for world in range(n_worlds) for cell in todo
    ]
    missing = [item for item in work if not _file_of(parts, *item).exists()]
    if len(missing) < len(work):
        print(f"{len(work) - len(missing)} of {len(work)} parts are there already", flush=True)
    for _ in track(
        _each(missing, parts, jobs), total=len(missing), desc="simulated recordings", unit="part",
        progress=progress,
    ):  # fmt: skip
        pass
    table = summarise([(item[0], pd.read_csv(_file_of(parts, *item))) for item in work])
    table.to_csv(output / "table.csv", index=False)
    draw(table, output / "figure.png")
    return table


def _file_of(
    parts: Path, cell: Cell, world: int, simulations: int, n_resamples: int, seed: int
) -> Path:
    tests = "+".join(cell.tests)
    return parts / f"{cell.name}-{tests}-world{world}-{simulations}x{n_resamples}-seed{seed}.csv"


def _part(parts: Path, item: tuple[Cell, int, int, int, int]) -> str:
    """Simulate one part; its file appears when it is complete."""
    path = _file_of(parts, *item)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        simulate(*item).to_csv(partial, index=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path.name


def _start_worker() -> None:
    """Finish a part in spite of Ctrl-C, which is for the process that started this one.

    Without that process, end: a pool's processes would wait forever for one that was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _each(missing: Sequence[Any], parts: Path, jobs: int) -> Iterator[str]:
    if jobs == 1:
        for item in missing:
            yield _part(parts, item)
        return
    with ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    ) as pool:
        futures = [pool.submit(_part, parts, item) for item in missing]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def report(table: pd.DataFrame) -> str:
    """Say which tests are not calibrated where."""
    rates = table[table["quantity"].eq("false positives")]
    liberal = rates["low"] > BAND[1]
    careful = (rates["high"] < BAND[0]) & rates["hypothesis"].ne("ceiling, true model")
    outside = rates[liberal | careful].sort_values("default", ascending=False, kind="stable")
    lines = [
        f"{len(rates)} false-positive rates; outside 3.5–6.5 % with their whole interval: "
        f"{len(outside)}, of the default tests {int(outside['default'].sum())}"
    ]
    for row in _records(outside):
        design = _design_label(row.comparator, row.n_stimuli, row.n_subjects, row.stimuli)
        which = "default" if row.default else "       "
        lines.append(
            f"  {which}  {row.hypothesis:<20} {row.test:<12} {row.resample:<9} {design:<36} "
            f"{100 * row.rate:5.1f} %  ({100 * row.low:.1f}–{100 * row.high:.1f})"
        )
    cover = table[table["quantity"].eq("coverage")]
    lines.append(f"coverage {cover['rate'].min():.3f}–{cover['rate'].max():.3f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small design, in a minute")
    parser.add_argument("--simulations", type=int, help="experiments per design (1000; quick: 40)")
    parser.add_argument("--n-resamples", type=int, default=200, help="in each experiment (200)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("calibration"), help="folder")
    given = parser.parse_args(arguments)
    simulations = given.simulations or (40 if given.quick else 1000)
    if min(simulations, given.jobs) < 1 or given.n_resamples < 19:
        parser.error("wanted: at least 1 simulation, 1 job and 19 resamples")
    try:
        table = run(
            cells(given.quick),
            given.output,
            simulations=simulations,
            n_resamples=given.n_resamples,
            jobs=given.jobs,
            seed=given.seed,
        )
    except KeyboardInterrupt:
        print(
            f"\nstopped; run again with --output {given.output} to go on where this was",
            file=sys.stderr,
        )
        return 130
    print(report(table))
    print(f"{given.output / 'table.csv'}\n{given.output / 'figure.png'}")
    return 0


if __name__ == "__main__":
    warnings.simplefilter("error", RuntimeWarning)
    raise SystemExit(main())
