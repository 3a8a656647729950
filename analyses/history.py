"""Sixty years of models of the ventral stream: which of them is like EVC, V4 and IT, and how much?

    python analyses/history.py [--models alexnet hog] [--output results/history]

Features from before networks, classic networks, and deep ones, each as its authors' year has it,
are compared by their RDMs with human early visual cortex and IT (fMRI of 15 people, 92 pictures of
objects: Cichy et al. 2014; IT also of Kriegeskorte et al. 2008, 4 people) and with macaque V4
(50 neurons, 320 of 640 pictures of session 210325 of Cowley et al.). All by the same measure,
rho-a. The layer of a network is chosen on one half of the stimuli and scored on the other.

Intervals are over stimuli, and hold the choice of the layer: their variance is that of the layers'
scores within and between the splits' choices. Differences between models are tested with each
model's most chosen layer, corrected over all pairs of models of an area (FDR). The trend is the
rank correlation of score and year, with an interval over stimuli.

What came out (seed 0; docs/history.png): in EVC, GIST of 2001 (.204) is as good as AlexNet (.205)
and SqueezeNet (.215), at the lower ceiling (.242), and the networks of 2018 and 2020 are worse
(.09). In V4, AlexNet is first (.311), not told from GIST (.273, p = .07 corrected) and SqueezeNet,
far below the ceiling (.785 to .886), and later networks are no better. In IT the scores rise with
the years (rank correlation .84, 95 % from .72 to .91), to EfficientNet-Lite0 (.225 of .453; in the
recording of 2008 .268 of .372, better than all others). Limits: one measure; pictures of isolated
objects (EVC, IT) or of objects on backgrounds (V4); 50 neurons of one animal; the Neocognitron and
LeNet-5 learned digits; AlexNet, VGG-16 and MobileNet v2 without their classifiers. The pairs' tests
take the layer that was chosen on these stimuli: it favours networks of many layers, by at most
.021 (in_sample minus score).

Networks without weights are left out, and named. Writes history.csv (a row per model and
recording), pairs.csv (a row per pair of models), trend.csv and history.png. RDMs that are there
already are not computed again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

import probe
from probe import inference, recordings
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
"""Of 640, drawn by the seed: RDMs of all would take four times as long, to say the same."""


@dataclass(frozen=True)
class Model:
    """A model of vision and its year.

    Attributes
    ----------
    name : str
        As `probe.models.load` has it.
    label : str
        For the figure.
    year : float
        When the idea was published; NaN for none.
    kind : {'features', 'classic', 'deep'}
    layers : str
        Which to choose from, as for `probe.rsa`.
    """

    name: str
    label: str
    year: float
    kind: str
    layers: str = "default"


VGG16_LAYERS = (
    "pool,features.5,features.7,features.10,features.12,features.14,features.17,features.19,"
    "features.21,features.24,features.26,features.28"
)
"""Its pools, and its convolutions but those of the first block, which fill a disk by themselves."""

MODELS = (
    Model("pixels", "pixels", np.nan, "features"),
    Model("v1-gabor", "simple & complex cells", 1962, "classic"),
    Model("neocognitron", "Neocognitron", 1980, "classic"),
    Model("power-spectrum", "power spectrum", 1987, "features"),
    Model("luminance-contrast", "contrast", 1990, "features"),
    Model("colour-histogram", "colour histogram", 1991, "features"),
    Model("lenet5", "LeNet-5", 1998, "classic"),
    Model("hmax", "HMAX", 1999, "classic"),
    Model("gist", "GIST", 2001, "features"),
    Model("bag-of-words", "visual words", 2004, "features"),
    Model("hog", "HOG", 2005, "features"),
    Model("alexnet", "AlexNet", 2012, "deep"),
    Model("zfnet", "ZFNet", 2014, "deep"),
    Model("vgg16", "VGG-16", 2014, "deep", VGG16_LAYERS),
    Model("squeezenet1_1", "SqueezeNet", 2016, "deep"),
    Model("mobilenet_v2", "MobileNet v2", 2018, "deep"),
    Model("efficientnet_lite0", "EfficientNet-Lite0", 2020, "deep"),
    Model("vit_b_16", "ViT-B/16", 2021, "deep"),
)
"""v1-gabor is Hubel & Wiesel's (1962) as Heeger (1992) put it; hmax is that of 1999 with the
templates of 2007; squeezenet1_1 came some months after the paper of 2016."""


@dataclass(frozen=True)
class Area:
    """A recording of an area.

    Attributes
    ----------
    title : str
        For the figure.
    dataset, region : str
        As `probe.recordings.load` has them.
    panel : str
        In which panel it is drawn.
    """

    title: str
    dataset: str
    region: str
    panel: str


AREAS = (
    Area("human EVC (fMRI)", "cichy2014", "EVC", "EVC"),
    Area("macaque V4 (neurons)", "cowley2023", "V4", "V4"),
    Area("human IT (fMRI)", "cichy2014", "IT", "IT"),
    Area("human IT (fMRI), 2008", "kriegeskorte2008", "IT-human", "IT, 2008"),
)

COLOURS = {"features": "#999999", "classic": "#e69f00", "deep": "#0072b2"}
KINDS = {"features": "image features", "classic": "classic network", "deep": "deep network"}


def load_recording(area: Area, seed: int, n_stimuli: int = N_STIMULI_V4) -> Recording:
    """Load an area's recording; of V4, some of the stimuli."""
    recording = recordings.load(area.dataset, region=area.region, accept_licence=True)
    if recording.has_responses and n_stimuli < recording.n_stimuli:
        order = np.random.default_rng(seed).permutation(recording.n_stimuli)
        recording = recording.select(stimuli=np.sort(order[:n_stimuli]).tolist())
    return recording


def compare(model: Model, recording: Recording, part: Path, seed: int) -> None:
    """Compare all layers of a model with a recording, and save that.

    Standard errors are a jackknife's: the resamples here are those of a test that is not reported.
    """
    result = probe.rsa(
        model.name, recording, layers=model.layers, comparator=COMPARATOR, baselines=False,
        n_resamples=100, seed=seed, progress=False,
    )  # fmt: skip
    result.save(part)


def summarise(result: dict[str, Any]) -> dict[str, Any]:
    """Turn what `probe.rsa` saved of a model and an area into a row.

    The score is that of whichever layer a split had chosen, on the other half of the stimuli, mean
    over splits. Its variance is that of a mixture: of the scores within the layers, each weighted
    by the share of splits that chose it, and between them.
    """
    layers = pd.DataFrame([row for row in result["table"] if row["kind"] == "layer"])
    layers = layers.set_index("layer")
    choice = result["choice"]
    if choice is None:  # a single layer: there was nothing to choose
        shares = pd.Series({layers.index[0]: 1.0})
        held_out = float(layers["score"].iloc[0])
    else:
        shares = pd.Series(choice["shares"])
        held_out = choice["score"]
    chosen = layers.loc[shares.index]
    between = (shares * (chosen["score"] - (shares * chosen["score"]).sum()) ** 2).sum()
    se = float(np.sqrt((shares * chosen["se"] ** 2).sum() + between))
    # The interval of a layer is a t interval: its multiple of the standard error is used here too.
    half_width = (chosen["ci_high"] - chosen["ci_low"]) / 2 / chosen["se"]
    width = float(half_width.max()) * se
    best = str(shares.idxmax())
    return {
        "layer": best,
        "alias": layers.loc[best, "alias"],
        "share_of_splits": float(shares.max()),
        "n_layers": len(layers),
        "score": held_out,
        "se": se,
        "ci_low": held_out - width,
        "ci_high": held_out + width,
        "in_sample": float(layers["score"].max()),
        "ceiling_lower": result["ceiling"]["lower"],
        "ceiling_upper": result["ceiling"]["upper"],
        "weights": result["model"]["weights_source"],
    }


def test_pairs(
    table: pd.DataFrame, parts: Path, area: Area, n_resamples: int, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Test all pairs of models of an area, and the trend over the years."""
    rows = table[table["area"] == area.title]
    models, data = [], None
    for row in rows.itertuples():
        part = parts / f"{row.model}-{area.dataset}-{area.region}"
        rdms = RDMs.load(part / "rdms.npz")
        models.append(rdms.distances[list(rdms.labels).index(str(row.layer))])
        data = RDMs.load(part / "recording.npz").distances
    names = list(rows["model"])
    found = inference.evaluate(
        np.array(models), data, COMPARATOR, n_resamples=n_resamples, seed=seed, names=names
    )
    pairs = pd.DataFrame(
        {
            "area": area.title, "model_a": names[i], "model_b": names[j],
            "difference": found.mean[i] - found.mean[j], "p": found.p_pairs[i, j],
            "p_fdr": found.p_pairs_fdr[i, j], "p_holm": found.p_pairs_holm[i, j],
        }
        for i, j in itertools.combinations(range(len(names)), 2)
    )  # fmt: skip
    return pairs, trend(np.array(models), data, rows["year"].to_numpy(), n_resamples, seed)


def trend(
    models: np.ndarray, data: np.ndarray, years: np.ndarray, n_resamples: int, seed: int
) -> dict[str, Any]:
    """Correlate the ranks of scores and years, with an interval over stimuli.

    Parameters
    ----------
    models : numpy.ndarray, shape (M, n_pairs)
    data : numpy.ndarray, shape (S, n_pairs)
    years : numpy.ndarray, shape (M,)
        NaN: left out.

    Returns
    -------
    dict
        ``rho`` with its 95 % interval (percentiles over resamples of stimuli), and the same of
        deep networks alone (from 2012 on).
    """
    comparator = get_comparator(COMPARATOR)
    a, b = prepare(comparator, models, data)
    units = Units.of(b.pairs, None)
    drawn = np.random.default_rng(seed).integers(units.n, size=(n_resamples, units.n))
    counts = np.array([np.bincount(row, minlength=units.n) for row in drawn])
    everything = np.concatenate([np.ones((1, units.n), dtype=int), counts])
    scores = resampled_scores(a, b, comparator, units.counts(everything))[0].mean(axis=2)
    found: dict[str, Any] = {}
    for which, chosen in (("all", np.isfinite(years)), ("deep", years >= 2012)):
        if chosen.sum() < 4:
            continue
        rho = [stats.spearmanr(years[chosen], row[chosen]).statistic for row in scores]
        low, high = np.nanquantile(rho[1:], (0.025, 0.975))
        found |= {f"rho_{which}": rho[0], f"low_{which}": low, f"high_{which}": high}
        found[f"n_{which}"] = int(chosen.sum())
    return found


def draw(table: pd.DataFrame) -> mpl.figure.Figure:
    """Draw scores against years, a panel per area, names above and ceilings as bands."""
    from matplotlib import pyplot as plt

    panels = [panel for panel in ("EVC", "V4", "IT") if panel in set(table["panel"])]
    dated = table[table["year"].notna()].drop_duplicates("model").sort_values("year")
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            1 + len(panels), 1, figsize=(7.1, 2.2 * len(panels) + 1.5), dpi=200, sharex=True,
            layout="constrained", squeeze=False, height_ratios=(0.68, *[1.0] * len(panels)),
        )  # fmt: skip
        rail, *others = axes[:, 0]
        _draw_names(rail, dated)
        for ax, panel in zip(others, panels, strict=True):
            _draw_panel(ax, table[table["panel"] == panel])
        axes[-1, 0].set_xlabel("year of the model")
        figure.align_ylabels(others)
        handles = [
            mpl.lines.Line2D([], [], marker="o", ls="", ms=5, color=COLOURS[kind], label=label)
            for kind, label in KINDS.items()
        ]
        handles.append(mpl.patches.Patch(color="0.88", label="noise ceiling"))
        handles.append(mpl.lines.Line2D([], [], color="0.5", ls=":", lw=1, label="pixels"))
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False,
                      fontsize=7.5, handletextpad=0.4, columnspacing=1.4)  # fmt: skip
    return figure


def _draw_names(ax: mpl.axes.Axes, dated: pd.DataFrame) -> None:
    """Write the models' names upright, side by side, with a line down to their years."""
    ax.set_ylim(0, 1)
    ax.axis("off")
    places = spread(dated["year"].to_numpy(), 2.2)
    for row, x in zip(dated.itertuples(), places, strict=True):
        ax.plot((row.year, x), (-0.06, 0.14), lw=0.6, color="0.75", clip_on=False)
        ax.text(x, 0.17, row.label, rotation=90, ha="center", va="bottom", fontsize=7.5,
                color=COLOURS[row.kind] if row.kind != "features" else "0.35")  # fmt: skip


def _draw_panel(ax: mpl.axes.Axes, rows: pd.DataFrame) -> None:
    low, high = rows["ceiling_lower"].iloc[0], rows["ceiling_upper"].iloc[0]
    ax.axhspan(low, high, color="0.88", lw=0, zorder=0)
    ax.axhline(0, color="0.6", lw=0.8, zorder=1)
    for pixels in rows.loc[rows["model"] == "pixels", "score"]:
        ax.axhline(pixels, color="0.5", lw=1, ls=":", zorder=1)
    for row in rows[rows["year"].notna()].itertuples():
        colour = COLOURS[row.kind]
        ax.axvline(row.year, color="0.93", lw=0.6, zorder=-1)
        ax.vlines(row.year, row.ci_low, row.ci_high, color=colour, lw=1.2, zorder=2)
        ax.plot(row.year, row.score, "o", ms=5, color=colour, mec="white", mew=0.6, zorder=3)
    top, bottom = max(high, rows["ci_high"].max()), min(0.0, rows["ci_low"].min())
    ax.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom))
    ax.set_xlim(1959.5, 2023.5)
    ax.set_title(f"{rows['area'].iloc[0]}, {rows['n_stimuli'].iloc[0]} pictures", loc="left",
                 fontsize=9)  # fmt: skip
    ax.set_ylabel("similarity of\nRDMs (rho-a)")
    for spine in ("top", "right"):
        ax.spines[spine].set_visible(False)


def spread(values: np.ndarray, gap: float) -> np.ndarray:
    """Move sorted numbers apart, as little as possible, to at least a gap between neighbours."""
    from scipy.optimize import isotonic_regression

    # With the gaps taken off, the nearest numbers that are still sorted are the ones looked for.
    index = np.arange(len(values)) * gap
    return np.asarray(isotonic_regression(values - index).x + index)


def run(
    models: Sequence[Model], output: Path, *, n_resamples: int, n_stimuli: int, seed: int
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Compare all models with all areas; write tables and the figure."""
    parts = output / "parts"
    loaded = {area: load_recording(area, seed, n_stimuli) for area in AREAS}
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for model in track(list(models), desc="models", unit="model", progress=None):
        for area, recording in loaded.items():
            part = parts / f"{model.name}-{area.dataset}-{area.region}"
            asked = {"layers": model.layers, "n_stimuli": recording.n_stimuli, "seed": seed}
            done = part / "asked.json"
            if not done.exists() or json.loads(done.read_text()) != asked:
                try:
                    compare(model, recording, part, seed)
                except ProbeError as error:
                    left_out.append(f"{model.label}: {str(error).split(';')[0]}")
                    break
                write_atomically(done, json.dumps(asked).encode())
            found = summarise(json.loads((part / "result.json").read_text()))
            rows.append(
                {
                    "model": model.name, "label": model.label, "year": model.year,
                    "kind": model.kind, "area": area.title, "panel": area.panel,
                    "dataset": recording.name, "region": area.region,
                    "n_stimuli": recording.n_stimuli, "n_subjects": len(recording.subjects),
                    **found,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    pairs, trends = [], []
    for area in AREAS:
        if (table["area"] == area.title).sum() > 1:
            of_area, found = test_pairs(table, parts, area, n_resamples, seed)
            pairs.append(of_area)
            trends.append({"area": area.title, **found})
    tables = {"history": table, "pairs": pd.concat(pairs), "trend": pd.DataFrame(trends)}
    for name, frame in tables.items():
        write_atomically(output / f"{name}.csv", frame.to_csv(index=False).encode())
    about = {"comparator": COMPARATOR, "seed": seed, "left_out": left_out}
    write_atomically(output / "history.png", figure_png(draw(table), about))
    return tables, left_out


def report(tables: dict[str, pd.DataFrame], left_out: Sequence[str]) -> str:
    """Say which models win in each area, below which ceiling, and whether there is a trend."""
    lines = []
    pairs = tables["pairs"]
    for area, rows in tables["history"].groupby("area", sort=False):
        ranked = rows.sort_values("score", ascending=False)
        best = ranked.iloc[0]
        of_best = pairs[
            (pairs["area"] == area)
            & ((pairs["model_a"] == best["model"]) | (pairs["model_b"] == best["model"]))
        ]
        equal = of_best[of_best["p_fdr"] >= 0.05]
        others = [
            row.model_b if row.model_a == best["model"] else row.model_a
            for row in equal.itertuples()
        ]
        labels = dict(zip(rows["model"], rows["label"], strict=True))
        lines.append(
            f"{area}: best {best['label']} ({best['layer']}) {best['score']:.3f} "
            f"[{best['ci_low']:.3f}, {best['ci_high']:.3f}], ceiling {best['ceiling_lower']:.3f} "
            f"to {best['ceiling_upper']:.3f}; not told from it (FDR): "
            + (", ".join(labels[name] for name in others) or "none")
        )
    for row in tables["trend"].to_dict("records"):
        parts = [
            f"{which} {row[f'rho_{which}']:.2f} [{row[f'low_{which}']:.2f}, "
            f"{row[f'high_{which}']:.2f}], {row[f'n_{which}']:.0f} models"
            for which in ("all", "deep") if np.isfinite(row.get(f"rho_{which}", np.nan))
        ]  # fmt: skip
        if parts:
            lines.append(f"{row['area']}: rank correlation of score and year: {'; '.join(parts)}")
    lines += [f"left out: {line}" for line in left_out]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [model.name for model in MODELS]
    parser.add_argument(
        "--models", nargs="+", choices=names, default=names, metavar="NAME",
        help=f"Of {', '.join(names)} (all).",
    )  # fmt: skip
    parser.add_argument(
        "--v4-stimuli", type=int, default=N_STIMULI_V4,
        help=f"How many pictures of V4's 640 ({N_STIMULI_V4}).",
    )  # fmt: skip
    parser.add_argument("--n-resamples", type=int, default=1000, help="Of stimuli (1000).")
    parser.add_argument("--seed", type=int, default=0, help="Of pictures, splits, resamples (0).")
    parser.add_argument("--output", type=Path, default=Path("results/history"))
    options = parser.parse_args(arguments)
    if not 20 <= options.v4_stimuli <= 640:
        parser.error(f"--v4-stimuli {options.v4_stimuli}: expected a number from 20 to 640")
    if options.n_resamples < 2:
        parser.error(f"--n-resamples {options.n_resamples}: expected at least 2")
    try:
        tables, left_out = run(
            [model for model in MODELS if model.name in options.models], options.output,
            n_resamples=options.n_resamples, n_stimuli=options.v4_stimuli, seed=options.seed,
        )  # fmt: skip
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; run again with --output {options.output} to go on", file=sys.stderr)
        return 130
    columns = ["label", "area", "layer", "share_of_splits", "score", "ci_low", "ci_high"]
    print(tables["history"][columns].round(3).to_string(index=False))
    print(f"\n{report(tables, left_out)}")
    print(f"\n{options.output / 'history.png'}\n{options.output / 'history.csv'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
