"""Which layer for which area? Whether early, middle and late layers are like EVC, V4 and IT.

    python analyses/hierarchy.py [--models alexnet hmax] [--output results/hierarchy]

Layers of AlexNet, VGG-16, SqueezeNet, EfficientNet-Lite0 and HMAX are compared by their RDMs
(rho-a) with human EVC and IT (fMRI of the same 15 people and 92 pictures: Cichy et al. 2014) and
macaque V4 (50 neurons, 320 of 640 pictures of session 210325 of Cowley et al.). The layer of an
area is chosen on one half of the stimuli and scored on the other, in 100 splits. Its relative depth
is its place among the layers compared, from 0 for the first to 1 for the last: of the layer that
most splits chose, and as a mean over splits.

How sure the depth is, resamples of the stimuli tell: in each, the layer is chosen anew. EVC and IT
saw the same pictures, and are resampled together. Of one network, p is the share of resamples on
the less frequent side of equal depth, doubled. Page's test of the order EVC < V4 < IT, of the mean
depths, is over networks, which are no random sample of networks.

What came out (seed 0; docs/hierarchy.png): EVC is earliest in all five networks, if by .01 in
EfficientNet-Lite0 (mean relative depth .43; V4 .68, IT .62), but IT is later than V4 in one only,
VGG-16. Page's test has p = .039, which is the place of EVC: no order of V4 and IT was found.
Within a network little is sure: p < .05 for V4 after EVC in AlexNet and for IT after EVC in
SqueezeNet, of 15 comparisons, uncorrected. In EfficientNet-Lite0 all three areas are like its late
layers.

Limits: the V4 pictures are others, and its neurons of another species; the weights of AlexNet and
VGG-16 have no classifier, so that their last layer is the last pool; HMAX has three layers.

Writes hierarchy.csv (a row per network and area), order.csv (a row per network and pair of areas),
splits.csv (how often each layer was chosen) and hierarchy.png. RDMs that are there already are not
computed again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

import probe
from probe import recordings
from probe.errors import ProbeError
from probe.inference.evaluate import prepare
from probe.inference.resampling import Units, resampled_scores
from probe.output.files import write_atomically
from probe.output.pictures import FIGURE_STYLE, figure_png
from probe.progress import track
from probe.recordings import Recording
from probe.similarity import RDMs, get_comparator

COMPARATOR = "rho-a"
N_STIMULI_V4 = 320

MODELS = {
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "squeezenet1_1": "SqueezeNet",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "hmax": "HMAX",
}

LAYERS = {
    "vgg16": "pool,features.5,features.7,features.10,features.12,features.14,features.17,"
    "features.19,features.21,features.24,features.26,features.28"
}
"""Those of `probe.rsa` by default, but for VGG-16: its pools, and its convolutions but those of the
first block, which fill a disk by themselves."""

COLOURS = {"EVC": "#009e73", "V4": "#d55e00", "IT": "#0072b2"}


@dataclass(frozen=True)
class Area:
    """A recording of an area, in the order of the ventral stream."""

    name: str
    dataset: str
    region: str


AREAS = (
    Area("EVC", "cichy2014", "EVC"),
    Area("V4", "cowley2023", "V4"),
    Area("IT", "cichy2014", "IT"),
)


def load_recording(area: Area, seed: int, n_stimuli: int) -> Recording:
    """Load an area's recording; of V4, some of the stimuli."""
    recording = recordings.load(area.dataset, region=area.region, accept_licence=True)
    if recording.has_responses and n_stimuli < recording.n_stimuli:
        order = np.random.default_rng(seed).permutation(recording.n_stimuli)
        recording = recording.select(stimuli=np.sort(order[:n_stimuli]).tolist())
    return recording


def draw_stimuli(n: int, n_resamples: int, seed: int) -> np.ndarray:
    """Draw resamples of n stimuli: how often each occurs, shape (n_resamples, n)."""
    drawn = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
    return np.array([np.bincount(row, minlength=n) for row in drawn])


def chosen_depths(models: np.ndarray, data: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Choose the best layer in every resample; return relative depths, shape (n_resamples,).

    Parameters
    ----------
    models : numpy.ndarray, shape (n_layers, n_pairs)
        In the order of computation, at least two.
    data : numpy.ndarray, shape (S, n_pairs)
    counts : numpy.ndarray, shape (n_resamples, n_stimuli)
    """
    comparator = get_comparator(COMPARATOR)
    a, b = prepare(comparator, models, data)
    units = Units.of(b.pairs, None)
    scores = resampled_scores(a, b, comparator, units.counts(counts))[0].mean(axis=2)
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
    return np.asarray(best / (len(models) - 1))


def order_of(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Compare the depths of two areas over resamples.

    Returns
    -------
    dict
        ``difference`` (second − first, mean), ``low``, ``high`` (95 %), ``p`` (two-sided: twice the
        share of resamples on the less frequent side, ties half on each).
    """
    difference = second - first
    below = np.mean(difference < 0) + np.mean(difference == 0) / 2
    low, high = np.quantile(difference, (0.025, 0.975))
    p = max(2 * min(below, 1 - below), 1 / len(difference))
    return {"difference": float(difference.mean()), "low": low, "high": high, "p": float(p)}


def compare(model: str, layers: str, recording: Recording, part: Path, seed: int) -> None:
    """Compare layers of a network with a recording, and save that."""
    result = probe.rsa(
        model, recording, layers=layers, comparator=COMPARATOR,
        baselines=False, n_resamples=100, seed=seed, progress=False,
    )  # fmt: skip
    result.save(part)


def run(
    models: Sequence[str], output: Path, *, n_resamples: int, n_stimuli: int, seed: int
) -> dict[str, pd.DataFrame]:
    """Choose the layers of all networks and areas; write tables and the figure."""
    loaded = {area: load_recording(area, seed, n_stimuli) for area in AREAS}
    counts = {n: draw_stimuli(n, n_resamples, seed) for n in {r.n_stimuli for r in loaded.values()}}
    rows, orders, splits = [], [], []
    for model in track(list(models), desc="networks", unit="network", progress=None):
        depths: dict[str, np.ndarray] = {}
        for area, recording in loaded.items():
            part = output / "parts" / f"{model}-{area.dataset}-{area.region}"
            layers_asked = LAYERS.get(model, "default")
            asked = {"layers": layers_asked, "n_stimuli": recording.n_stimuli, "seed": seed}
            done = part / "asked.json"
            if not done.exists() or json.loads(done.read_text()) != asked:
                compare(model, layers_asked, recording, part, seed)
                write_atomically(done, json.dumps(asked).encode())
            result = json.loads((part / "result.json").read_text())
            layers = RDMs.load(part / "rdms.npz")
            depths[area.name] = chosen_depths(
                layers.distances, RDMs.load(part / "recording.npz").distances,
                counts[recording.n_stimuli],
            )  # fmt: skip
            splits.append(_split_rows(model, area, result, layers.labels))
            rows.append(_area_row(model, area, recording, result, splits[-1], depths[area.name]))
        for one, other in itertools.combinations(depths, 2):
            orders.append(
                {"model": model, "first": one, "second": other}
                | order_of(depths[one], depths[other])
            )
    tables = {
        "hierarchy": pd.DataFrame(rows),
        "order": pd.DataFrame(orders),
        "splits": pd.concat(splits, ignore_index=True),
    }
    for name, table in tables.items():
        write_atomically(output / f"{name}.csv", table.to_csv(index=False).encode())
    picture = figure_png(draw(tables), {"comparator": COMPARATOR, "seed": seed})
    write_atomically(output / "hierarchy.png", picture)
    return tables


def _split_rows(
    model: str, area: Area, result: Mapping[str, Any], names: Sequence[str]
) -> pd.DataFrame:
    layers = pd.DataFrame([row for row in result["table"] if row["kind"] == "layer"])
    shares = result["choice"]["shares"]
    return pd.DataFrame(
        {
            "model": model,
            "area": area.name,
            "layer": names,
            "alias": layers["alias"].fillna("").to_list(),
            "depth": np.arange(len(names)) / (len(names) - 1),
            "share_of_splits": [shares.get(name, 0.0) for name in names],
            "score": layers["score"].to_list(),
            "se": layers["se"].to_list(),
        }
    )


def _area_row(
    model: str, area: Area, recording: Recording, result: Mapping[str, Any],
    splits: pd.DataFrame, depths: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    best = splits.loc[splits["share_of_splits"].idxmax()]
    low, high = np.quantile(depths, (0.025, 0.975))
    return {
        "model": model,
        "area": area.name,
        "dataset": recording.name,
        "n_stimuli": recording.n_stimuli,
        "layer": best["layer"],
        "alias": best["alias"],
        "share_of_splits": best["share_of_splits"],
        "n_layers": len(splits),
        "score": result["choice"]["score"],
        "ceiling_lower": result["ceiling"]["lower"],
        "depth": best["depth"],
        "depth_low": low,
        "depth_high": high,
        "mean_depth": float((splits["depth"] * splits["share_of_splits"]).sum()),
    }


def page_test(table: pd.DataFrame) -> tuple[float, float] | None:
    """Test, over networks, whether mean depths rise from EVC to V4 to IT; L, p, None if too few."""
    wide = table.pivot_table(index="model", columns="area", values="mean_depth", sort=False)
    wide = wide[[area.name for area in AREAS]].dropna()
    if len(wide) < 2:
        return None
    result = stats.page_trend_test(wide.to_numpy(), method="exact")
    return float(result.statistic), float(result.pvalue)


def draw(tables: Mapping[str, pd.DataFrame]) -> mpl.figure.Figure:
    """Draw the depth of each area's layer per network, and the scores of all layers below."""
    from matplotlib import pyplot as plt

    table, splits = tables["hierarchy"], tables["splits"]
    models = list(dict.fromkeys(table["model"]))
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            2, len(models), figsize=(1.55 * len(models) + 0.7, 4.4), dpi=200, squeeze=False,
            layout="constrained", sharex="col", sharey="row", height_ratios=(1, 1.8),
        )  # fmt: skip
        names = [area.name for area in AREAS]
        for k, model in enumerate(models):
            above, below = axes[:, k]
            for y, name in enumerate(names):
                colour = COLOURS[name]
                row = table[(table["model"] == model) & (table["area"] == name)].iloc[0]
                above.hlines(y, row["depth_low"], row["depth_high"], color=colour, lw=1.4)
                above.plot(row["depth"], y, "o", ms=5.5, color=colour)
                layers = splits[(splits["model"] == model) & (splits["area"] == name)]
                share = layers["score"] / row["ceiling_lower"]
                below.plot(layers["depth"], share, "-", lw=1.1, color=colour)
                below.fill_between(
                    layers["depth"],
                    share - layers["se"] / row["ceiling_lower"],
                    share + layers["se"] / row["ceiling_lower"],
                    color=colour, alpha=0.15, lw=0,
                )  # fmt: skip
                size = 5 + 40 * layers["share_of_splits"]
                below.scatter(layers["depth"], share, s=size, color=colour, lw=0, zorder=3)
            above.set_title(MODELS.get(model, model), fontsize=8.5, loc="center")
            above.set_ylim(len(names) - 0.5, -0.5)
            above.set_xlim(-0.06, 1.06)
            below.axhline(0, color="0.75", lw=0.8, zorder=0)
            below.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            for ax in (above, below):
                for spine in ("top", "right"):
                    ax.spines[spine].set_visible(False)
        axes[0, 0].set_yticks(range(len(names)), names)
        axes[1, 0].set_ylabel("score / lower ceiling")
        figure.supxlabel("relative depth of the layer (0 first, 1 last)", fontsize=8.5)
    return figure


def report(tables: Mapping[str, pd.DataFrame]) -> str:
    """Say whether depth rises from EVC to V4 to IT, and how sure that is."""
    table, order = tables["hierarchy"], tables["order"]
    lines = []
    for (first, second), rows in order.groupby(["first", "second"], sort=False):
        n = int((rows["difference"] > 0).sum())
        sure = [MODELS[m] for m in rows.loc[(rows["p"] < 0.05) & (rows["low"] >= 0), "model"]]
        against = [MODELS[m] for m in rows.loc[(rows["p"] < 0.05) & (rows["high"] <= 0), "model"]]
        lines.append(
            f"{second} later than {first}: in {n} of {len(rows)} networks; p < .05 in "
            f"{', '.join(sure) or 'none'}; the other way round, p < .05, in "
            f"{', '.join(against) or 'none'}"
        )
    means = table.groupby("area", sort=False)["mean_depth"].mean()
    lines.append(
        "mean relative depth: " + ", ".join(f"{area} {depth:.2f}" for area, depth in means.items())
    )
    if (tested := page_test(table)) is not None:
        n_models = table["model"].nunique()
        lines.append(
            f"EVC < V4 < IT over {n_models} networks: Page's L = {tested[0]:.0f}, "
            f"p = {tested[1]:.3f} (exact, one-sided)"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME",
        help=f"Of {', '.join(MODELS)} (all).",
    )  # fmt: skip
    parser.add_argument(
        "--v4-stimuli", type=int, default=N_STIMULI_V4,
        help=f"How many pictures of V4's 640 ({N_STIMULI_V4}).",
    )  # fmt: skip
    parser.add_argument("--n-resamples", type=int, default=1000, help="Of stimuli (1000).")
    parser.add_argument("--seed", type=int, default=0, help="Of pictures, splits, resamples (0).")
    parser.add_argument("--output", type=Path, default=Path("results/hierarchy"))
    options = parser.parse_args(arguments)
    if not 20 <= options.v4_stimuli <= 640:
        parser.error(f"--v4-stimuli {options.v4_stimuli}: expected a number from 20 to 640")
    if options.n_resamples < 2:
        parser.error(f"--n-resamples {options.n_resamples}: expected at least 2")
    try:
        tables = run(
            options.models, options.output, n_resamples=options.n_resamples,
            n_stimuli=options.v4_stimuli, seed=options.seed,
        )  # fmt: skip
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; run again with --output {options.output} to go on", file=sys.stderr)
        return 130
    columns = ["model", "area", "layer", "alias", "share_of_splits", "score", "depth", "depth_low",
               "depth_high", "mean_depth"]  # fmt: skip
    print(tables["hierarchy"][columns].round(3).to_string(index=False))
    print(tables["order"].round(3).to_string(index=False))
    print(f"\n{report(tables)}")
    print(f"\n{options.output / 'hierarchy.png'}\n{options.output / 'hierarchy.csv'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
