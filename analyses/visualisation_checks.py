"""Do the pictures of all channels of a layer show what drives them?

Run ``python analyses/visualisation_checks.py [--layers alexnet:features.10 …] [--every N]
[--size PIXELS] [--steps N] [--output DIR]``. It makes the picture of every channel with the
defaults of ``probe.visualize``, and measures it as it is saved, without transforms. It takes about
an hour for 512 channels of VGG-16 on two cores; stopped, it goes on where it was when run again.
Needs scikit-image, for its photographs.

Asked of every channel:

grey
    Whether its picture drives it no more than 99 % of parts of photographs do. 400 parts of nine
    photographs, of random places and sizes, at the size of the picture.
own
    Whether it is the most driven of all channels of the layer, by its picture: in its mean over
    positions.
own, standardised
    The same, in deviations over the parts of photographs: a channel may be large in everything.

It writes ``visualisation_checks.csv``, one row per channel, and ``visualisation_checks.png``: for
each channel, by how much its picture drives it more than photographs do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

import probe
from probe import models
from probe.activations.capture import capture
from probe.models import Network
from probe.progress import track
from probe.synthesis.transforms import generator

LAYERS = ("alexnet:features.10", "vgg16:features.28")
PHOTOGRAPHS = (
    "astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry",
    "brick", "grass", "gravel",
)  # fmt: skip
"""What comes with scikit-image itself."""
PARTS = 400
BLOCK = 32
"""Channels whose rows are written together."""


def parts(size: int) -> list[Image.Image]:
    """Cut parts out of photographs, at random places, of 15 to 100 % of their shorter side."""
    from skimage import data

    drawn = generator(0)
    photographs = []
    for name in PHOTOGRAPHS:
        try:
            photographs.append(Image.fromarray(getattr(data, name)()).convert("RGB"))
        except Exception as error:  # some versions download what others ship
            print(f"without {name}: {error}", file=sys.stderr)
    found = []
    for k in range(PARTS):
        photograph = photographs[k % len(photographs)]
        share, across, down = torch.rand(3, generator=drawn).tolist()
        side = int(min(photograph.size) * (0.15 + 0.85 * share))
        left, top = (
            int(u * (s - side)) for u, s in zip((across, down), photograph.size, strict=True)
        )
        box = (left, top, left + side, top + side)
        found.append(photograph.resize((size, size), Image.Resampling.BICUBIC, box=box))
    return found


def driven(network: Network, layer: str, pictures: list[Image.Image]) -> np.ndarray:
    """Give the mean of every channel over positions, (pictures, channels)."""
    means = []
    for picture in pictures:
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255
        output = capture(network.module, network.preprocessing.normalise(pixels)[None], [layer])[
            layer
        ]
        means.append(output[0].flatten(1).mean(1).float().numpy())
    return np.stack(means)


def check(model: str, layer: str, every: int, size: int, steps: int, folder: Path) -> pd.DataFrame:
    """Give one row per channel; those that are in the folder are not made again."""
    network = models.load(model)
    natural = driven(network, layer, parts(size))
    channels = range(0, natural.shape[1], every)
    tables = []
    for start in track(range(0, len(channels), BLOCK), desc=f"{model} {layer}", unit="block"):
        block = list(channels[start : start + BLOCK])
        path = folder / f"{model}-{layer}-{block[0]}-{block[-1]}-{every}-{size}-{steps}.csv"
        if not path.exists():
            rows(network, layer, block, natural, size, steps).to_csv(path, index=False)
        tables.append(pd.read_csv(path))
    return pd.concat(tables, ignore_index=True)


def rows(
    network: Network, layer: str, channels: list[int], natural: np.ndarray, size: int, steps: int
) -> pd.DataFrame:
    """Give the rows of some channels."""
    model = network.name
    found = probe.visualize(model, layer, channels=channels, size=size, steps=steps)
    by_own = driven(network, layer, [Image.fromarray(one) for one in found.pictures])
    own = by_own[np.arange(len(channels)), channels]
    limit = np.percentile(natural, 99, axis=0)[channels]
    spread = natural.std(0).clip(1e-9)
    standardised = (by_own - natural.mean(0)) / spread
    return pd.DataFrame(
        {
            "model": model,
            "layer": layer,
            "channel": channels,
            "value": own,
            "photographs_99": limit,
            "largest_photograph": natural.max(0)[channels],
            "deviations": standardised[np.arange(len(channels)), channels],
            "deviations_99": ((limit - natural.mean(0)[channels]) / spread[channels]),
            "grey": own <= limit,
            "silent": found.table["silent"].to_numpy(),
            "own": by_own.argmax(1) == channels,
            "own_standardised": standardised.argmax(1) == channels,
            "size": size,
            "steps": steps,
        }
    )


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw, for every layer, its channels in order of how much their pictures drive them."""
    from matplotlib import pyplot as plt

    groups = list(table.groupby(["model", "layer"], sort=False))
    fig, axes = plt.subplots(
        1, len(groups), figsize=(4.2 * len(groups), 3.2), squeeze=False, layout="constrained"
    )
    for ax, ((model, layer), rows) in zip(axes[0], groups, strict=True):
        ordered = rows.sort_values("deviations")
        places = np.arange(len(rows))
        ax.plot(places, ordered["deviations"], color="#31688e", label="its picture")
        ax.plot(
            places,
            ordered["deviations_99"],
            ".",
            ms=3,
            color="#b5403a",
            label="99 % of photographs",
        )
        ax.set(xlabel="channel, in order", ylabel="mean of the channel, in deviations")
        ax.set_title(
            f"{model} {layer}: {rows['grey'].mean():.1%} grey, {rows['own'].mean():.0%} own", size=9
        )
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=200)
    plt.close(fig)


def main() -> None:
    """Make pictures, measure them, write a table and a figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", nargs="+", default=LAYERS, metavar="MODEL:LAYER")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth channel")
    parser.add_argument("--size", type=int, default=128, help="of the pictures, in pixels")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--output", type=Path, default=Path("results/visualisation-checks"))
    given = parser.parse_args()
    folder = given.output / "blocks"
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for name in given.layers:
        model, _, layer = name.rpartition(":")
        tables.append(check(model, layer, given.every, given.size, given.steps, folder))
        table = pd.concat(tables, ignore_index=True)
        table.to_csv(given.output / "visualisation_checks.csv", index=False)
        last = tables[-1]
        print(
            f"{name}: {len(last)} channels; grey {last['grey'].mean():.1%}, silent "
            f"{last['silent'].mean():.1%}, own {last['own'].mean():.1%} (standardised "
            f"{last['own_standardised'].mean():.1%}); median {last['deviations'].median():.1f} "
            f"deviations above photographs, whose 99th percentile is at "
            f"{last['deviations_99'].median():.1f}"
        )
    figure(table, given.output / "visualisation_checks.png")
    print(f"wrote {given.output / 'visualisation_checks.csv'} and .png")


if __name__ == "__main__":
    main()
