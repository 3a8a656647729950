"""Saliency tested in the animal: which maps tell how a V4 neuron's response falls by a deletion?

    python analyses/saliency_in_vivo.py [--sites 6] [--output results/saliency_in_vivo]

Session 210305 of Cowley et al. showed 100 photographs whole, with one region blurred (A), and with
another blurred (B). For heads of neurons on several layers and networks, fitted without the
photograph and its variants, every method's map of the whole photograph is summed over both regions,
and the difference is held against that of the recorded responses. Beside the methods stand what
knows nothing of the neuron (area, centre, edges, detail), its field alone, and the head's own
prediction of the variants, which is all that a perfect map of the head could tell.

All methods are run on the first head; on the others, those that take a pass (--all-methods: all,
for hours). Sites are those whose responses to the synthesised pictures the first head
predicts best: no photograph has a say in the choice. Also asked: does a head that never saw a
synthesised picture predict the responses to them? Writes ranking.csv (a row per head and map),
pairs.csv (tests between maps of a head), synthesised.csv, reference.csv and three figures. Parts
that are there already are not computed again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe import models, recordings
from probe.attribution import InVivo, deletion_in_vivo, held_out_masses, reference_masses
from probe.attribution.in_vivo import REFERENCES
from probe.encoding.held_out import HeldOut, fit_held_out
from probe.errors import ProbeError
from probe.output.pictures import FIGURE_STYLE, figure_png
from probe.progress import track
from probe.recordings import Deletions, Recording, find_deletions

DATASET = "v4:210305"

METHODS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "input × gradient": {"method": "input-x-gradient"},
    "(input − blurred) × gradient": {"method": "input-x-gradient", "baseline": "blurred"},
    "guided-backprop": {},
    "deconvnet": {},
    "grad-cam": {},
    "grad-cam++": {},
    "hires-cam": {},
    "layer-cam": {},
    "ablation-cam": {},
    "guided-grad-cam": {},
    "deeplift": {},
    "deeplift, blurred": {"method": "deeplift", "baseline": "blurred"},
    "lrp": {},
    "smoothgrad": {"samples": 4},
    "vargrad": {"samples": 4},
    "integrated-gradients": {"steps": 8},
    "integrated-gradients, blurred": {
        "method": "integrated-gradients", "baseline": "blurred", "steps": 8,
    },
    "expected-gradients": {"samples": 4},
    "occlusion": {"size": 32, "stride": 32},
    "occlusion, blurred": {"method": "occlusion", "baseline": "blurred", "size": 32, "stride": 32},
    "rise": {"masks": 100},
    "score-cam": {},
}  # fmt: skip
"""Fewer samples and steps than by default, and coarser windows: thousands of maps are made."""


@dataclass(frozen=True)
class Case:
    """A network's layer that sites are read from."""

    model: str
    layer: str
    weights: str = "imagenet"

    @property
    def name(self) -> str:
        """For tables and files."""
        return f"{self.model}{', untrained' if self.weights == 'random' else ''}, {self.layer}"


CASES = (
    Case("alexnet", "features.7"),
    Case("alexnet", "features.6"),
    Case("alexnet", "features.1"),
    Case("alexnet", "features.7", "random"),
    Case("squeezenet1_1", "features.4"),
    Case("squeezenet1_1", "features.7"),
    Case("vgg16", "features.8"),
)
"""AlexNet's relu3, conv3 and relu1; two fire modules of SqueezeNet; VGG-16's relu2_2."""

FAST = (
    "gradient", "(input − blurred) × gradient", "guided-backprop", "grad-cam", "grad-cam++",
    "hires-cam", "layer-cam",
)  # fmt: skip
"""What is run on all heads, since it takes a pass."""


FEW = ("gradient", "(input − blurred) × gradient", "grad-cam", "layer-cam")
"""What is run on VGG-16, a pass of which takes ten times as long as one of AlexNet."""


def methods_of(case: Case, *, all_methods: bool) -> dict[str, dict[str, Any]]:
    """Return the methods that are run on a head, with their settings."""
    every = all_methods or case == CASES[0]
    few = FEW if case.model == "vgg16" else FAST
    return {name: settings for name, settings in METHODS.items() if every or name in few}


def fit(recording: Recording, case: Case) -> HeldOut:
    """Fit all sites, for every photograph without it and its variants."""
    network = models.load(case.model, case.weights)
    return fit_held_out(network, recording, [case.layer])[case.layer]


def choose_sites(recording: Recording, heads: HeldOut, n: int) -> list[int]:
    """Choose the sites whose responses to the synthesised pictures are predicted best."""
    rows = recording.data["kind"].values == "synthesised"
    r = correlate(heads.predictions[rows], recording.mean_responses().values[rows])
    return sorted(np.argsort(-np.nan_to_num(r, nan=-1.0), kind="stable")[:n].tolist())


def judge(
    case: Case,
    heads: HeldOut,
    deletions: Deletions,
    sites: list[int],
    methods: Mapping[str, Mapping[str, Any]],
    parts: Path,
    seed: int,
) -> InVivo:
    """Make and judge the maps of one head; maps that are there already are read."""
    masses = reference_masses(deletions, heads, sites=sites)
    regions = hashlib.sha256(np.packbits(deletions.regions).tobytes()).hexdigest()[:8]
    for label, settings in track(
        list(methods.items()), desc=case.name, unit="method", progress=None
    ):
        options = "-".join(f"{k}{v}" for k, v in settings.items())
        stem = f"{case.name}-{label}-{options}-{'.'.join(map(str, sites))}-{regions}-seed{seed}"
        path = parts / f"{stem.replace('/', '_')}.npy"
        if not path.exists():
            made = held_out_masses(
                heads, deletions, {label: dict(settings)}, sites=sites, seed=seed, progress=False
            )
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, made[label])
            partial.replace(path)
        masses[label] = np.load(path)
    return deletion_in_vivo(deletions, masses, sites=sites, seed=seed)


def correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlate the columns of two arrays: (n, m), (n, m) to (m,)."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(axis=0) / np.sqrt(np.square(a).sum(axis=0) * np.square(b).sum(axis=0))


def check_reference(recording: Recording, deletions: Deletions) -> pd.DataFrame:
    """Compute what was measured before by another program: a weight per unit of conv3."""
    heads = fit_held_out(models.load("alexnet"), recording, ["features.6"], readout="full")
    predicted, recorded = heads["features.6"].predictions, recording.mean_responses().values
    synthesised = recording.data["kind"].values == "synthesised"
    falls, measured = deletions.falls(predicted), deletions.falls()
    m = measured.shape[2]
    values = {
        "all pictures": correlate(predicted, recorded),
        "100 photographs": correlate(predicted[deletions.originals], recorded[deletions.originals]),
        "100 synthesised": correlate(predicted[synthesised], recorded[synthesised]),
        "change by blurring": correlate(falls.reshape(-1, m), measured.reshape(-1, m)),
        "A − B": correlate(falls[:, 0] - falls[:, 1], measured[:, 0] - measured[:, 1]),
    }
    before = (0.520, 0.490, 0.530, 0.207, 0.266)
    rows = [
        {"responses": name, "r, median over sites": np.median(r), "mean": r.mean(), "before": old}
        for (name, r), old in zip(values.items(), before, strict=True)
    ]
    return pd.DataFrame(rows)


def predict_synthesised(recording: Recording, layers: Sequence[str], seed: int) -> pd.DataFrame:
    """Predict responses to the synthesised pictures, by heads that saw others of them or none.

    Fitted to 360 pictures of all kinds, to the 300 photographs with their variants, or to the 100
    without; and photographs in turn by heads that were fitted to synthesised pictures alone.
    """
    network = models.load("alexnet")
    responses = recording.mean_responses().values
    synthesised = np.flatnonzero(recording.data["kind"].values == "synthesised")
    whole = np.flatnonzero(
        (recording.data["kind"].values == "photograph") & (recording.data["variant"].values == "")
    )
    others = np.flatnonzero(recording.data["kind"].values == "photograph")
    few = np.sort(np.concatenate([synthesised, whole]))
    part = Recording(recording.data.isel(stimulus=few), recording.stimuli)
    at = np.isin(few, synthesised)
    within = fit_held_out(network, recording, layers, seed=seed)
    halves = [(others, synthesised), (synthesised, others)]
    without = fit_held_out(network, recording, layers, splits=halves, seed=seed)
    kinds = [(np.flatnonzero(kind), np.flatnonzero(~kind)) for kind in (at, ~at)]
    plain = fit_held_out(network, part, layers, splits=kinds, seed=seed)
    rng = np.random.default_rng(seed)
    rows = []
    for layer in layers:
        predicted = {
            "synthesised, others among the training pictures": (
                within[layer].predictions[synthesised], synthesised),
            "synthesised, from photographs and their variants": (
                without[layer].predictions[synthesised], synthesised),
            "synthesised, from photographs": (plain[layer].predictions[at], synthesised),
            "photographs, others among the training pictures": (
                within[layer].predictions[whole], whole),
            "photographs, from synthesised pictures": (plain[layer].predictions[~at], whole),
        }  # fmt: skip
        for what, (values, stimuli) in predicted.items():
            recorded = responses[stimuli]
            draws = rng.integers(len(stimuli), size=(1000, len(stimuli)))
            drawn = [np.nanmedian(correlate(values[k], recorded[k])) for k in draws]
            low, high = np.quantile(drawn, (0.025, 0.975))
            r = np.nanmedian(correlate(values, recorded))
            rows.append({"layer": layer, "predicted": what, "r": r, "r_low": low, "r_high": high})
    return pd.DataFrame(rows)


def draw_networks(ranking: pd.DataFrame, title: str) -> mpl.figure.Figure:
    """Draw r of every map of every head as a table of colours; what was not run is hatched."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch, Rectangle

    wide = ranking.pivot_table(
        index="method", columns="head", values="r", sort=False, dropna=False
    )  # fmt: skip
    heads = list(dict.fromkeys(ranking["head"]))
    order = wide[heads[0]].sort_values(ascending=False).index
    wide = wide.loc[order, heads]
    with mpl.rc_context(FIGURE_STYLE):
        figure, ax = plt.subplots(
            figsize=(1.6 + 0.72 * len(heads) + 1.5, 1.6 + 0.2 * len(wide)), dpi=200,
            layout="constrained",
        )  # fmt: skip
        top = float(np.nanmax(np.abs(wide.to_numpy())))
        image = ax.imshow(wide, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto")
        run = {(row.method, row.head) for row in ranking.itertuples()}
        hatched: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": "0.8",
            "hatch": "////",
            "lw": 0,
        }
        for y, row in enumerate(wide.to_numpy()):
            for x, value in enumerate(row):
                if (wide.index[y], heads[x]) not in run:
                    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **hatched))
                elif np.isfinite(value):
                    colour = "white" if abs(value) > 0.65 * top else "0.15"
                    text = f"{round(value, 2) + 0:.2f}".replace("0.", ".").replace("-", "−")
                    ax.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
        ax.set_xticks(range(len(heads)), [head.replace(", ", "\n") for head in heads], fontsize=7)
        ax.set_yticks(range(len(wide)), list(wide.index))
        for label in ax.get_yticklabels():
            if label.get_text() in REFERENCES:
                label.set_fontstyle("italic")
                label.set_color("0.35")
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(image, ax=ax, label="r of differences between regions", shrink=0.7)
        if len(run) < wide.size:
            bar.ax.legend(
                handles=[Patch(label="not run", **hatched)], loc="upper left", fontsize=8,
                bbox_to_anchor=(0, -0.04), borderpad=0, borderaxespad=0, handlelength=1.5,
                handleheight=1.2,
            )  # fmt: skip
        ax.set_title(title, loc="left", fontsize=9)
    return figure


def draw_synthesised(table: pd.DataFrame) -> mpl.figure.Figure:
    """Draw how well responses are predicted by heads that saw pictures of the kind, or none."""
    from matplotlib import pyplot as plt

    what = list(dict.fromkeys(table["predicted"]))[::-1]
    layers = list(dict.fromkeys(table["layer"]))
    colours = ("#0072b2", "#d55e00", "#009e73")
    with mpl.rc_context(FIGURE_STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 2.6), dpi=200, layout="constrained")
        for k, layer in enumerate(layers):
            rows = table[table["layer"] == layer].set_index("predicted").loc[what]
            y = np.arange(len(what)) + 0.16 * (1 - k)
            colour = colours[k % len(colours)]
            ax.hlines(y, rows["r_low"], rows["r_high"], color=colour, lw=1.2)
            ax.plot(rows["r"], y, "o", ms=4.5, color=colour, label=layer)
        ax.set_yticks(range(len(what)), what)
        ax.set_xlim(0, None)
        ax.set_xlabel("r, median over 70 sites (95 % CI over pictures)")
        for spine in ("top", "right"):
            ax.spines[spine].set_visible(False)
        ax.legend(title="AlexNet", fontsize=7, title_fontsize=7, loc="lower left", frameon=False)
        ax.set_title("Synthesised pictures of session 210305", loc="left", fontsize=9)
    return figure


def run(
    cases: Sequence[Case], n_sites: int, output: Path, *, all_methods: bool, seed: int
) -> dict[str, pd.DataFrame]:
    """Judge the maps of all heads; write tables and figures."""
    parts = output / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    recording = recordings.load(DATASET)
    deletions = find_deletions(recording)
    fitted = functools.cache(functools.partial(fit, recording))
    sites = choose_sites(recording, fitted(CASES[0]), n_sites)
    tables: dict[str, list[pd.DataFrame]] = {"ranking": [], "pairs": []}
    for case in cases:
        heads = fitted(case)
        methods = methods_of(case, all_methods=all_methods)
        found = judge(case, heads, deletions, sites, methods, parts, seed)
        folder = output / case.name.replace(", ", "-")
        found = replace(found, about_maps=f"{case.name}. {found.title}")
        found.save(folder)
        print(f"\n{case.name}\n{found.summary().to_string(index=False)}", flush=True)
        tables["ranking"].append(found.table.assign(head=case.name))
        tables["pairs"].append(found.pairs.assign(head=case.name))
    written = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    written["reference"] = check_reference(recording, deletions)
    written["synthesised"] = predict_synthesised(
        recording, ["features.1", "features.6", "features.8"], seed
    )
    for name, table in written.items():
        table.to_csv(output / f"{name}.csv", index=False)
    title = f"Maps of {n_sites} V4 sites, held against deletions in the animal (100 photographs)"
    about = {"sites": sites, "seed": seed}
    networks = draw_networks(written["ranking"], title)
    (output / "networks.png").write_bytes(figure_png(networks, about))
    figure = draw_synthesised(written["synthesised"])
    (output / "synthesised.png").write_bytes(figure_png(figure, about))
    return written


def report(tables: Mapping[str, pd.DataFrame]) -> str:
    """Say which differences between methods survive, and what else was found."""
    lines = []
    for head, pairs in tables["pairs"].groupby("head", sort=False):
        methods = pairs[~pairs["method_a"].isin(REFERENCES) & ~pairs["method_b"].isin(REFERENCES)]
        sure = methods[methods["p_holm"] < 0.05]
        fdr = int((methods["p_fdr"] < 0.05).sum())
        lines.append(
            f"{head}: of {len(methods)} differences between methods, {fdr} survive FDR, "
            f"{len(sure)} Holm"
        )
    return "\n".join(
        [
            "", *lines, "", "Reference row (AlexNet conv3, a weight per unit)",
            tables["reference"].round(3).to_string(index=False), "", "Synthesised pictures",
            tables["synthesised"].round(3).to_string(index=False),
        ]
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = list(dict.fromkeys(case.model for case in CASES))
    parser.add_argument(
        "--models", nargs="+", choices=known, default=known, metavar="NAME",
        help=f"Of {', '.join(known)} (all).",
    )  # fmt: skip
    parser.add_argument("--sites", type=int, default=6, help="How many sites, of 70 (6).")
    parser.add_argument(
        "--all-methods", action="store_true", help="Run slow methods on all heads: hours."
    )
    parser.add_argument("--seed", type=int, default=0, help="Of noise, masks and resamples (0).")
    parser.add_argument("--output", type=Path, default=Path("results/saliency_in_vivo"))
    options = parser.parse_args(arguments)
    if not 1 <= options.sites <= 70:
        parser.error(f"--sites {options.sites}: expected a number from 1 to 70")
    try:
        tables = run(
            [case for case in CASES if case.model in options.models], options.sites,
            options.output, all_methods=options.all_methods, seed=options.seed,
        )  # fmt: skip
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped; run again with --output {options.output} to go on", file=sys.stderr)
        return 130
    print(report(tables))
    print(f"\n{options.output / 'networks.png'}\n{options.output / 'ranking.csv'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
