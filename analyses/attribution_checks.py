"""Which maps can be trusted? All methods, three networks, four photographs, every check.

Run ``python analyses/attribution_checks.py [--models …] [--methods …] [--photographs …] [--quick]
[--output DIR]``. It writes ``attribution_checks.csv``, tidy, and ``attribution_checks.png``. Each
method on each network and photograph is a part of its own: stopped with Ctrl-C or killed, it goes
on where it was when run again into the same folder. Needs scikit-image, for its photographs.

Photographs and boxes, drawn by hand, in pixels of the photograph (left, top, right, bottom):

==========  ===================  ==============
photograph  object               class
==========  ===================  ==============
chelsea     the cat              Egyptian cat
coffee      the cup, without     espresso
            saucer and spoon
astronaut   the space shuttle    space shuttle
            behind her
rocket      the rocket           missile
==========  ===================  ==============

The target is the class, before the softmax. Of AlexNet, only the convolutions can be had from a
package index; its target is the channel of the last layer that is most active, and whether a map
lies on the object is not asked.

Asked of every map:

deletion, insertion
    Area below the curve (Petsiuk et al. 2018), of the class's probability; of AlexNet, as a share
    of the channel's value in the whole picture.
infidelity
    With squares, scaled (Yeh et al. 2019): 0 is best, 1 is a map that says nothing.
sensitivity
    The largest change with noise that one cannot see, as a share of the map (Yeh et al. 2019).
completeness
    The gap, of methods that promise to share out the target's change from a black map, or its
    value (layer-wise relevance propagation).
share in box, pointing
    Share of what speaks for the class that lies in the box, and whether the largest value does,
    within 7 pixels of 224 (Zhang et al. 2018: 15 of about 500).
randomisation
    Similarity with the map of a network with new weights (Adebayo et al. 2018), after each of a few
    layers, cascading and independent. The figure has the mean magnitude of ``spearman_abs`` along
    the cascade.

Maps whose sign is a direction and no vote (gradients) rank pixels by their magnitude.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from probe import models, targets
from probe.activations.capture import differentiable
from probe.attribution import METHODS, checks
from probe.attribution.methods import Method
from probe.errors import ProbeError
from probe.models import Network
from probe.progress import track
from probe.targets import Target


@dataclass(frozen=True)
class Photograph:
    """A photograph of scikit-image, and what is in it.

    Attributes
    ----------
    name : str
        The function of ``skimage.data`` that gives it.
    box : (left, top, right, bottom)
        Around the object, in pixels of the photograph.
    label : str
        Class of the object.
    """

    name: str
    box: tuple[int, int, int, int]
    label: str

    @functools.cached_property
    def picture(self) -> Image.Image:
        """The photograph."""
        import skimage.data

        return Image.fromarray(getattr(skimage.data, self.name)())

    def box_at(self, size: tuple[int, int]) -> checks.Box:
        """Give the box in the whole picture, resized to (height, width)."""
        x, y = size[1] / self.picture.width, size[0] / self.picture.height
        left, top, right, bottom = self.box
        return left * x, top * y, right * x, bottom * y


PHOTOGRAPHS = {
    photograph.name: photograph
    for photograph in (
        Photograph("chelsea", (35, 0, 395, 300), "Egyptian cat"),
        Photograph("coffee", (172, 17, 404, 308), "espresso"),
        Photograph("astronaut", (355, 0, 473, 285), "space shuttle"),
        Photograph("rocket", (300, 126, 345, 407), "missile"),
    )
}

LAYERS = {
    "squeezenet1_1": "features.12",
    "efficientnet_lite0": "features.8",
    "alexnet": "features.9",
}
"""The networks, and the layer whose positions the maps of layers have: the last that speaks of all
classes; of AlexNet, the one before the target's."""

ALEXNETS_TARGET = "features.12"

TOLERANCE = 7.0


@dataclass(frozen=True)
class Effort:
    """How thoroughly to look.

    Attributes
    ----------
    steps : int
        Of deletion and insertion.
    n_squares, n_noises : int
        For infidelity and sensitivity.
    n_layers : int
        That get new weights one after another.
    settings : dict of str to dict
        Of methods, where their own would take too long.
    """

    steps: int = 50
    n_squares: int = 50
    n_noises: int = 5
    n_layers: int = 6
    settings: Any = None


FULL = Effort(settings={"rise": {"masks": 1000}})
FEW = {
    "smoothgrad": {"samples": 4}, "vargrad": {"samples": 4}, "expected-gradients": {"samples": 4},
    "integrated-gradients": {"steps": 4}, "occlusion": {"size": 64, "stride": 64},
    "rise": {"masks": 8},
}  # fmt: skip
QUICK = Effort(4, 4, 1, 2, FEW)


def examine(
    network: Network, photograph: Photograph, method: Method, effort: Effort, seed: int
) -> pd.DataFrame:
    """Make one map, and check it.

    Returns
    -------
    pandas.DataFrame
        One row per number: ``check``, ``value``; for randomisation ``mode``, ``layer``,
        ``measure``; and what was asked of whom.
    """
    module = network.module
    images = network.preprocessing(photograph.picture)[None]
    size = network.preprocessing.size
    target = target_of(network, images, photograph)
    function = ready(method, network.name, effort, seed)
    signed = function(module, images, target)
    is_slope = method.slope
    maps = checks.at_picture(signed, size)
    maps = maps.abs() if is_slope else maps

    value = targets.values(module, images, target)
    numbers: dict[str, float] = {"target": float(value)}
    curves = {"deletion": checks.deletion_curve, "insertion": checks.insertion_curve}
    for name, curve in curves.items():
        found = curve(module, images, target, maps, steps=effort.steps, seed=seed)
        whole = float(value) if network.name == "alexnet" else 1.0
        numbers[name] = float(found.area[0]) / whole
    numbers["infidelity"] = float(
        checks.infidelity(
            module, images, target, signed, contributions=not is_slope,
            n_samples=effort.n_squares, seed=seed,
        )
    )  # fmt: skip
    numbers["sensitivity"] = float(
        checks.max_sensitivity(
            function, module, images, target, maps=signed, n_samples=effort.n_noises, seed=seed,
            progress=False,
        )
    )  # fmt: skip
    if method.sums_to:
        nothing = torch.zeros_like(value)
        if method.sums_to == "change":
            nothing = targets.values(module, torch.zeros_like(images), target)
        numbers["completeness"] = float(checks.completeness_gap(signed, value, nothing))
    if network.name != "alexnet":
        box = photograph.box_at(size)
        numbers["share in box"] = float(checks.share_in_box(maps, [box], size))
        hit = checks.pointing_game(maps, [box], size, tolerance=TOLERANCE)
        numbers["pointing"] = float(hit)
    rows = pd.DataFrame({"check": list(numbers), "value": list(numbers.values())})

    similar = checks.randomisation_test(
        function, module, images, target, maps=signed, n_layers=effort.n_layers, seed=seed,
        progress=False,
    )  # fmt: skip
    similar = similar.rename(columns={"similarity": "value"}).drop(columns="picture")
    table = pd.concat([rows, similar.assign(check="randomisation")], ignore_index=True)
    asked = {
        "model": network.name, "photograph": photograph.name, "method": method.name,
        "target": target.name,
    }  # fmt: skip
    order = [*asked, "check", "mode", "layer", "measure", "value"]
    return table.assign(**asked).reindex(columns=order)


def target_of(network: Network, images: Tensor, photograph: Photograph) -> Target:
    """Give the class of what is in a photograph, or the most active channel of AlexNet."""
    if network.name != "alexnet":
        return targets.class_of(photograph.label, network)
    outputs = differentiable(network.module, images, [ALEXNETS_TARGET])[ALEXNETS_TARGET]
    return targets.Channel(ALEXNETS_TARGET, int(outputs[0].mean((1, 2)).argmax()))


def ready(method: Method, model: str, effort: Effort, seed: int) -> Callable[..., Tensor]:
    """Give a method all but network, pictures and target."""
    takes = inspect.signature(method.function).parameters
    offered = {
        "layer": LAYERS[model], "seed": seed, "progress": False,
        **effort.settings.get(method.name, {}),
    }  # fmt: skip
    return functools.partial(
        method.function, **{name: value for name, value in offered.items() if name in takes}
    )


LABELS = {
    "deletion": "deletion\n(small is good)",
    "insertion": "insertion\n(large is good)",
    "infidelity": "infidelity\n(small is good)",
    "sensitivity": "sensitivity\n(small is good)",
    "share in box": "share in box\n(large is good)",
    "randomisation": "randomisation\n(small is good)",
}
"""Panels, and what is written below them."""


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw every check of every method: networks in colour, means over photographs."""
    import seaborn as sns
    from matplotlib import pyplot as plt

    shown = pd.concat([table[table["check"].isin(list(LABELS)[:-1])], randomised(table)])
    panels = {check: label for check, label in LABELS.items() if check in set(shown["check"])}
    methods = [name for name in METHODS if name in set(table["method"])]
    networks = [name for name in LAYERS if name in set(table["model"])]
    palette = dict(zip(networks, sns.color_palette("colorblind"), strict=False))
    style: Any = {"font.size": 7, "axes.linewidth": 0.6, "legend.frameon": False}
    with mpl.rc_context(style):
        figure, [axes] = plt.subplots(
            1, len(panels), figsize=(8.2, 1.3 + 0.19 * len(methods)), sharey=True, squeeze=False,
            layout="constrained", dpi=200,
        )  # fmt: skip
        for ax, (check, label) in zip(axes, panels.items(), strict=True):
            for k, name in enumerate(networks):
                rows = shown[(shown["check"] == check) & (shown["model"] == name)]
                at = np.array([methods.index(method) for method in rows["method"]], dtype=float)
                y = at + 0.22 * (k - (len(networks) - 1) / 2)
                ax.plot(rows["value"], y, "o", ms=1.8, mew=0, alpha=0.5, color=palette[name])
                means = rows.assign(y=y).groupby("y")["value"].mean()
                ax.plot(
                    means, means.index, "D", ms=3.4, mew=0.4, mec="white", color=palette[name],
                    label=name, zorder=3,
                )  # fmt: skip
            ax.set_xlabel(label)
            if check == "sensitivity":  # from hardly anything to many times the map
                ax.set_xscale("log")
                ax.xaxis.set_major_formatter("{x:g}")
                ax.xaxis.set_minor_formatter("")
            else:
                ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
            ax.grid(axis="y", lw=0.4, color="0.9")
            ax.set_axisbelow(True)
            ax.tick_params(length=2, width=0.5)
            sns.despine(ax=ax)
        axes[0].set_yticks(range(len(methods)), methods)
        axes[0].set_ylim(len(methods) - 0.4, -0.6)
        n = table["photograph"].nunique()
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(networks),
            title=f"mean over {n} photograph{'s' * (n > 1)} (diamonds), each photograph (dots)",
        )  # fmt: skip
        figure.savefig(path)
        plt.close(figure)


def randomised(table: pd.DataFrame) -> pd.DataFrame:
    """Give how alike maps stay on average, as one layer after another loses what it learned."""
    rows = table[table["mode"].eq("cascading") & table["measure"].eq("spearman_abs")]
    by = ["model", "photograph", "method", "check"]
    rows = rows.assign(value=rows["value"].abs())
    return rows.groupby(by, sort=False)["value"].mean().reset_index()


def run(
    names: Sequence[str],
    photographs: Sequence[Photograph],
    methods: Sequence[Method],
    output: Path,
    *,
    effort: Effort,
    seed: int,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Examine all that the folder does not have yet, and write table and figure.

    Returns
    -------
    pandas.DataFrame
        The rows of `examine`.
    """
    parts = output / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    work = [(name, photo, method) for photo in photographs for name in names for method in methods]
    kind = f"{effort.steps}-{effort.n_squares}-{effort.n_noises}-{effort.n_layers}-seed{seed}"
    files = [parts / f"{name}-{photo.name}-{m.name}-{kind}.csv" for name, photo, m in work]
    missing = [k for k, file in enumerate(files) if not file.exists()]
    if len(missing) < len(work):
        print(f"{len(work) - len(missing)} of {len(work)} parts are there already", flush=True)
    loaded = functools.cache(functools.partial(models.load, progress=progress))
    for k in track(missing, desc="attribution checks", unit="part", progress=progress):
        name, photograph, method = work[k]
        table = examine(loaded(name), photograph, method, effort, seed)
        partial = files[k].with_suffix(f".{os.getpid()}.partial")
        try:
            table.to_csv(partial, index=False)
            partial.replace(files[k])
        finally:
            partial.unlink(missing_ok=True)
    table = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    table.to_csv(output / "attribution_checks.csv", index=False)
    draw(table, output / "attribution_checks.png")
    return table


def report(table: pd.DataFrame) -> str:
    """Say what each method comes to, on average over networks and photographs."""
    numbers = pd.concat([table[table["mode"].isna()], randomised(table)])
    means = numbers.pivot_table(index="method", columns="check", values="value", sort=False)
    return means.drop(columns="target").round(3).to_string()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    every = [name for name, method in METHODS.items() if method.kind != "tokens"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for option, known in (
        ("models", list(LAYERS)), ("photographs", list(PHOTOGRAPHS)), ("methods", every),
    ):  # fmt: skip
        parser.add_argument(
            f"--{option}", nargs="+", choices=known, default=known, metavar="NAME",
            help=f"of {', '.join(known)} (all)",
        )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few steps and samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("attribution_checks"), help="folder")
    given = parser.parse_args(arguments)
    try:
        table = run(
            given.models,
            [PHOTOGRAPHS[name] for name in given.photographs],
            [METHODS[name] for name in given.methods],
            given.output,
            effort=QUICK if given.quick else FULL,
            seed=given.seed,
        )
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nstopped; run again with --output {given.output} to go on where this was",
            file=sys.stderr,
        )
        return 130
    print(report(table))
    print(f"{given.output / 'attribution_checks.csv'}\n{given.output / 'attribution_checks.png'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
