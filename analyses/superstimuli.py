"""How far to believe a superstimulus: what other architectures say of it.

    python analyses/superstimuli.py [--sites 20] [--dataset v4] [--output results/superstimuli]

For reliable sites of a recording, pictures are made with one network or with two, under the budget
of the stimuli, and judged by heads of networks that had no part in them, which were fitted to the
other half of the stimuli. Beside them stand the stimulus that the site responded to most, and the
one that the judge predicts most for, under the same budget. Writes table.csv (a row per site,
judge and picture), summary.csv and figure.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

import probe
from probe import recordings
from probe.output.pictures import FIGURE_STYLE, figure_png
from probe.recordings import variance_components

RUNS = (
    ("alexnet", (), "squeezenet1_1"),
    ("alexnet", (), "vgg16"),
    ("squeezenet1_1", (), "vgg16"),
    ("alexnet", ("squeezenet1_1",), "vgg16"),
)
"""Who makes the picture, with whom, and who judges it."""


def reliable_sites(dataset: str, n: int) -> list[int]:
    """Return the numbers of the most reliable sites, evenly drawn from the better half."""
    recording = recordings.load(dataset)
    reliability = variance_components(recording)["reliability"].to_numpy()
    order = np.argsort(-np.nan_to_num(reliability, nan=-np.inf))
    better = order[: max(n, len(order) // 2)]
    return sorted(int(k) for k in better[np.linspace(0, len(better) - 1, n).astype(int)])


def run(dataset: str, sites: list[int], seed: int, folder: Path) -> pd.DataFrame:
    """Make and judge all pictures; save the sheet of each run."""
    tables = []
    for maker, others, judge in RUNS:
        made = probe.superstimulus(
            [f"site:{dataset}:{k}" for k in sites], maker, together_with=others, judge=judge,
            seed=seed,
        )  # fmt: skip
        name = "+".join((maker, *others))
        made.save(folder / f"{name}-judged-by-{judge}.png")
        tables.append(made.table.assign(makers=name, judge=judge))
        print(f"{name}, judged by {judge}: {made.notes()[1]}", flush=True)
    return pd.concat(tables, ignore_index=True)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per run: medians over sites, and in how many the superstimulus wins."""
    rows = []
    for (makers, judge), of_run in table.groupby(["makers", "judge"], sort=False):
        wide = of_run.pivot_table(index="site", columns="picture", values="judged")
        made = of_run[of_run["picture"] == "superstimulus"]
        rows.append(
            {
                "makers": makers,
                "judge": judge,
                "n_sites": len(wide),
                "made_for": made["made_for"].median(),
                "superstimulus": wide["superstimulus"].median(),
                "percentile": made["percentile"].median(),
                "best_recorded": wide["best recorded"].median(),
                "best_for_the_judge": wide["best for the judge"].median(),
                "beats_best_recorded": int((wide["superstimulus"] > wide["best recorded"]).sum()),
                "beats_judges_best": int(
                    (wide["superstimulus"] > wide["best for the judge"]).sum()
                ),
            }
        )
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, title: str) -> mpl.figure.Figure:
    """Draw the judge's prediction for the superstimulus against the best recorded stimulus."""
    from matplotlib import pyplot as plt

    runs = list(dict.fromkeys(zip(table["makers"], table["judge"], strict=True)))
    with mpl.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(
            1, len(runs), figsize=(2.5 * len(runs) + 0.4, 3.1), dpi=200, sharex=True, sharey=True,
            layout="constrained", squeeze=False,
        )  # fmt: skip
        for ax, (makers, judge) in zip(axes[0], runs, strict=True):
            of_run = table[(table["makers"] == makers) & (table["judge"] == judge)]
            wide = of_run.pivot_table(index="site", columns="picture", values="judged")
            x, y = wide["best for the judge"], wide["superstimulus"]
            low = float(min(x.min(), y.min(), 0.0)) - 0.3
            high = float(max(x.max(), y.max())) + 0.3
            ax.plot((low, high), (low, high), color="0.4", lw=0.8, zorder=0)
            ax.axhline(0.0, color="0.85", lw=0.8, zorder=0)
            ax.plot(wide["best recorded"], y, "o", ms=4, mfc="white", mec="0.5",
                    label="best recorded")  # fmt: skip
            ax.plot(x, y, "o", ms=4.5, color="#0072b2", label="best for the judge")
            ax.set_title(f"made with {makers},\njudged by {judge}", fontsize=8, loc="left")
            ax.set_xlabel("stimulus, SD")
            for spine in ("top", "right"):
                ax.spines[spine].set_visible(False)
        axes[0, 0].set_ylabel("superstimulus, SD")
        axes[0, 0].legend(fontsize=7, loc="upper left")
        figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    return figure


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sites", type=int, default=20, help="How many sites.")
    parser.add_argument("--dataset", default="v4", help="A recording with repetitions.")
    parser.add_argument("--seed", type=int, default=0, help="Of halves, noise and transforms.")
    parser.add_argument("--output", type=Path, default=Path("results/superstimuli"))
    arguments = parser.parse_args()
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    sites = reliable_sites(arguments.dataset, arguments.sites)
    table = run(arguments.dataset, sites, arguments.seed, folder)
    summary = summarise(table)
    table.to_csv(folder / "table.csv", index=False)
    summary.to_csv(folder / "summary.csv", index=False)
    simulated = recordings.load(arguments.dataset).simulated
    mark = " (SIMULATED recording)" if simulated else ""
    title = f"predictions by a network that had no part in the picture, {len(sites)} sites{mark}"
    (folder / "figure.png").write_bytes(figure_png(draw(table, title), {"sites": sites}))
    print(summary.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
