"""Every function of `probe.plots`, each with a small table such as real results have.

A table is made once for its size; random numbers in it are called simulated where the function has
such a word.
"""

# ruff: noqa: E501
from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

KINDS = ["Conv2d", "ReLU", "MaxPool2d"]

TITLE = "densenet121 (ImageNet weights) and SIMULATED recording V4: 88 neuroids, 640 stimuli"

LONG_TITLE = (
    "densenet121 (weights of the user) and SIMULATED recording my-laboratory/day-7: V4, 120 "
    "neuroids of reliability 0.3 or more, 3 subjects, 178 stimuli"
)

CEILING = "noise ceiling (4 subjects, leave-one-out to all-in)"

SITE = "recorded site v4:12 of majajhong2015, at densenet121.features.denseblock3"


def names(n: int, long: bool) -> tuple[list[str], list[str]]:
    """Return paths and aliases of layers; the long ones have no alias, as in one's own network."""
    paths = [f"features.denseblock{1 + k % 4}.denselayer{k}.conv2" for k in range(n)]
    return paths, [""] * n if long else [f"conv{k}" for k in range(n)]


@functools.cache
def layers(n: int, long: bool) -> pd.DataFrame:
    """Return a table of `probe.rsa`: layers, pixels, untrained networks and classic ones."""
    paths, aliases = names(n, long)
    rng = np.random.default_rng(n)
    score = 0.1 + 0.3 * np.sin(np.linspace(0.2, 2.8, n)) + rng.normal(0, 0.02, n)
    base = pd.DataFrame(
        {"layer": paths, "alias": aliases, "type": [KINDS[k % 3] for k in range(n)]}
    )
    parts = [
        base.assign(kind="layer", score=score, ci_low=score - 0.06, ci_high=score + 0.06),
        pd.DataFrame([{"kind": "pixels", "layer": "pixels", "alias": "", "type": "input", "score": 0.07,
                           "ci_low": 0.0, "ci_high": 0.1}]),
        *(base.assign(kind="untrained", score=0.5 * score + 0.02 * s, init_seed=s)
          for s in range(3)),
        pd.DataFrame([
            {"kind": "classic", "layer": name, "alias": "", "type": name.split()[0], "score": s,
                 "ci_low": s - 0.05, "ci_high": s + 0.05}
            for name, s in (("hog", 0.15), ("hmax c1", 0.12), ("hmax c2", 0.2))
        ]),
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@functools.cache
def encoding(n: int, long: bool) -> pd.DataFrame:
    table = layers(n, long)
    table = table[table["kind"].isin(["layer", "untrained"])].copy()
    table = table.rename(columns={"score": "r", "ci_low": "r_low", "ci_high": "r_high"})
    table = table[(table["kind"] == "layer") | (table["init_seed"] == 0)].drop(columns="init_seed")
    table["shuffled"] = np.where(table["kind"] == "layer", 0.01, np.nan)
    others = [{"kind": kind, "layer": kind, "alias": "", "type": "", "r": r}
              for kind, r in (("gabor", 0.21), ("bands", 0.46))]  # fmt: skip
    return pd.concat([table, pd.DataFrame(others)], ignore_index=True)


@functools.cache
def banded(n: int, long: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths, aliases = names(n, long)
    rng = np.random.default_rng(0)
    parts = rng.uniform(-0.02, 0.3, (n, 40)) / np.sqrt(n)
    table = pd.DataFrame({"kind": "layer", "layer": paths, "alias": aliases,
                          "r2_band": parts.mean(1), "r2_band_low": parts.mean(1) - 0.02,
                          "r2_band_high": parts.mean(1) + 0.02})  # fmt: skip
    bands = pd.DataFrame({"layer": np.repeat(paths, 40), "site": list(range(40)) * n,
                          "r2": parts.ravel()})  # fmt: skip
    return table, bands


@functools.cache
def sites(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    reliability = rng.uniform(0.3, 0.95, n)
    r = np.sqrt(reliability) * rng.uniform(0.2, 0.95, n)
    sd = rng.uniform(8, 60, n)
    sd[n // 2 :: 7] = np.inf
    sd[n // 3 :: 11] = np.nan
    return pd.DataFrame({"r": r, "r_low": r - 0.1, "r_high": r + 0.1, "reliability": reliability,
                         "x_px": rng.uniform(50, 170, n), "y_px": rng.uniform(50, 170, n),
                         "sd_px": sd})  # fmt: skip


@functools.cache
def encodings(n: int, long: bool) -> pd.DataFrame:
    models = ["densenet121", "alexnet"] if not long else [
        "timm:vit_base_patch16_clip_224.openai", "efficientnet_b0 (weights of the user)"]  # fmt: skip
    rng = np.random.default_rng(0)
    rows = []
    for model in models:
        for region in ("V4", "IT"):
            r = 0.3 + 0.1 * rng.random(n)
            rows.append(pd.DataFrame({
                "kind": "layer", "model": model, "dataset": "majajhong2015", "region": region,
                "layer": names(n, long)[0], "r": r, "r_low": r - 0.05, "r_high": r + 0.05}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@functools.cache
def alignment(n: int, long: bool) -> pd.DataFrame:
    paths, aliases = names(n, long)
    rows = []
    for region, subject in (("V4", "Magneto"), ("V4", "Jenkins"), ("IT", "Magneto"),
                            ("IT", "Jenkins"), ("V1", "Alien"), ("V2", "Alien"),
                            ("V1", "Solo"), ("V2", "Solo")):  # fmt: skip
        level = 0.2 + 0.02 * len(rows)
        rows.append(pd.DataFrame({"region": region, "subject": subject, "layer": paths, "alias": aliases,
                                      "score": level + 0.1 * np.sin(np.arange(n) / 3),
                                      "chance": 0.05 + 0.004 * len(rows)}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@functools.cache
def concepts(n: int, long: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = ["striped", "dotted", "zigzagged", "random 1"]
    if long:
        kinds = [f"{kind} (Describable Textures, 120 pictures)" for kind in kinds]
    rows = [(concept, layer) for layer in names(n, long)[0] for concept in kinds]
    change, score = rng.normal(0, 0.4, len(rows)), rng.random(len(rows))
    return pd.DataFrame(rows, columns=["concept", "layer"]).assign(
        change=change, change_low=-0.5, change_high=0.4, p_holm=np.where(change > 0.4, 0.01, 0.6),
        score=score, score_low=0.3, score_high=0.7, score_p_holm=np.where(score > 0.7, 0.02, 0.8))  # fmt: skip


METHODS = ["gradient", "input-x-gradient", "guided-backprop", "integrated-gradients", "smoothgrad",
           "grad-cam", "score-cam", "lrp", "occlusion", "rise"]  # fmt: skip


@functools.cache
def randomisation(n: int, long: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n_methods = min(n, 8)
    return pd.DataFrame([
        {"method": method, "mode": mode, "layer": layer, "measure": "spearman_abs", "picture": 0,
             "similarity": 0.9 * np.exp(-(k + 1) / (2 + m)) + 0.05 * rng.random()}
        for m, method in enumerate(METHODS[:n_methods])
        for mode in ("cascading", "independent")
        for k, layer in enumerate(reversed(names(n, long)[0] if long else names(n, long)[1]))
    ])  # fmt: skip


def curves(n: int) -> dict[str, Any]:
    fractions = np.linspace(0, 1, 21)
    rng = np.random.default_rng(0)
    return {
        f"{kind}, {method}": (fractions, np.exp(-fractions * (2 + m)) + 0.02 * rng.random((3, 21)))
        for m, method in enumerate(METHODS[: max(1, min(n, 10) // 2)])
        for kind in ("deletion", "insertion")
    }


@functools.cache
def in_vivo(n: int) -> pd.DataFrame:
    every = [*METHODS, "area", "fitted field"][: max(2, min(n, 12))]
    r = np.linspace(-0.05, 0.4, len(every))
    return pd.DataFrame({"method": every, "r": r, "r_low": r - 0.08, "r_high": r + 0.08,
                         "ceiling": 0.62})  # fmt: skip


@functools.cache
def invariance(n: int, long: bool) -> pd.DataFrame:
    paths, aliases = names(n, long)
    amounts = {"translation": [0, 1, 2, 4, 8, 16, 32], "scale": [0.5, 0.71, 1.0, 1.41, 2.0],
               "rotation": [0, 45, 90, 180]}  # fmt: skip
    return pd.DataFrame([
        {"layer": layer, "alias": alias, "kind": ("conv", "pool", "linear")[k % 3], "transform": name,
             "amount": amount, "error": 0.1 * i + 0.02 * k % 0.3, "error_sd": 0.02,
             "correlation": 1 - 0.08 * i - (0.03 * k) % 0.4, "correlation_sd": 0.03, "n_images": 16}
        for k, (layer, alias) in enumerate(zip(paths, aliases, strict=True))
        for name in amounts for i, amount in enumerate(amounts[name])
    ])  # fmt: skip


@functools.cache
def over_time(n: int, long: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    paths, aliases = names(n, long)
    start = np.arange(-100.0, 500.0, 20.0)
    rows, peaks, clusters = [], [], []
    for k, (layer, alias) in enumerate(zip(paths, aliases, strict=True)):
        latency = 90 + 120 * k / n
        score = 0.3 * np.exp(-(((start - latency) / 60) ** 2)) * (0.5 + 0.5 * (k % 4) / 3)
        rows.append(pd.DataFrame({
            "kind": "layer", "layer": layer, "alias": alias, "time_start": start, "time_end": start + 20.0,
            "score": score, "ci_low": score - 0.04, "ci_high": score + 0.04, "ceiling_lower": 0.35,
            "ceiling_upper": 0.42}))  # fmt: skip
        peaks.append({"layer": layer, "score": score.max(), "latency": latency,
                          "latency_low": latency - 15, "latency_high": latency + 15})  # fmt: skip
        clusters.append({"layer": layer, "time_start": 60.0, "time_end": 240.0, "p": 0.01})
    pixels = rows[0].assign(kind="pixels", layer="pixels", alias="", score=0.05)
    table = pd.concat([*rows, pixels], ignore_index=True)
    return table, pd.DataFrame(peaks), pd.DataFrame(clusters)


def generalisation(n: int) -> tuple[np.ndarray, np.ndarray]:
    start = np.arange(n) * 600.0 / n - 100.0
    t = (start[:, None] - start[None]) / 200
    return np.exp(-(t**2)), np.stack([start, start + 600.0 / n], 1)


@functools.cache
def regions(n: int, long: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths, aliases = names(n, long)
    cells, best = [], []
    for model in ("densenet121 (ImageNet weights)", "alexnet (untrained)"):
        for r, region in enumerate(("V1", "V4", "IT")):
            score = 0.2 + 0.3 * np.sin(np.arange(n) / max(n, 2) * 3 + r)
            lower = np.nan if region == "V1" else 0.8
            chosen = np.zeros(n)
            chosen[r % n], chosen[(r + 1) % n] = 0.75, 0.25
            what = {"model": model, "dataset": "majajhong2015" if long else "mine", "region": region,
                        "simulated": r == 0}  # fmt: skip
            cells.append(pd.DataFrame(dict(
                comparison=len(cells), **what, layer=paths, alias=aliases, score=score,
                share_of_lower=score / lower, chosen=chosen)))  # fmt: skip
            best.append({**what, "layer": paths[r % n], "alias": aliases[r % n], "share": 0.75,
                         "score": 0.45, "score_sd": 0.05,
                         "share_of_lower": 0.45 / lower})  # fmt: skip
    return pd.concat(cells, ignore_index=True), pd.DataFrame(best)


@functools.cache
def reliability(n: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    groups = [("V4", "Magneto"), ("V4", "Jenkins"), ("IT", "Magneto"), ("IT", "Jenkins")]
    groups = groups[: max(1, min(n, 4))]
    neuroids = pd.concat([
        pd.DataFrame({"region": r, "subject": s, "reliability": rng.beta(5, 2, 60)}) for r, s in groups
    ])  # fmt: skip
    rdms = pd.DataFrame([{"region": r, "subject": s, "r_halves": 0.7, "r_low": 0.62, "r_high": 0.77,
                              "spearman_brown": 0.83} for r, s in groups])  # fmt: skip
    start = np.arange(0.0, 300.0, 25.0)
    rise = np.clip(np.sin(start / 100), 0, 1)
    times = pd.concat([
        pd.DataFrame({"region": r, "subject": s, "time_start": start, "time_end": start + 25,
                          "reliability": 0.7 * rise, "reliability_low": 0.5 * rise,
                          "reliability_high": 0.8 * rise, "rdm_spearman_brown": 0.8 * rise})
        for r, s in groups
    ])  # fmt: skip
    return neuroids, rdms, times


@functools.cache
def evaluation(n: int) -> Any:
    """Return an evaluation in which every test says something."""
    from probe.inference import Evaluation

    rng = np.random.default_rng(n)
    mean = np.linspace(0.6, -0.05, n)
    ones = {f"p_zero{s}": np.where(mean > 0.1, 0.0005, 0.3) for s in ("", "_fdr", "_holm")}
    ones |= {f"p_ceiling{s}": np.where(mean > 0.5, 0.4, 0.001) for s in ("", "_fdr", "_holm")}
    pairs = np.where(np.abs(mean[:, None] - mean) > 0.1, 0.001, 0.5)
    return Evaluation(
        scores=mean[:, None] + rng.normal(0, 0.05, (n, 4)), mean=mean, se=np.full(n, 0.03),
        ci_low=mean - 0.07, ci_high=mean + 0.07, ceiling=(0.62, 0.71), ceiling_se=(0.02, 0.02),
        **ones, **{f"p_pairs{s}": pairs for s in ("", "_fdr", "_holm")},
        difference_se=np.full((n, n), 0.03), dof=np.full(n, 20.0), resample="both",
        test="permutation", resampled=None,
    )  # fmt: skip


@functools.cache
def rdm(n: int, long: bool) -> Any:
    from scipy.spatial.distance import pdist

    from probe.similarity.rdm_set import RDMs

    n = max(n, 3)
    points = np.random.default_rng(n).normal(size=(n, 3))
    ids = [f"object_{k:03d}_{'rotated_and_scaled' if long else 'a'}.png" for k in range(n)]
    label = "densenet121 features.denseblock4.denselayer16.conv2" if long else "conv5"
    return RDMs(pdist(points), [label], ids, "correlation")


def categories(n: int, long: bool) -> list[str]:
    kinds = ["animals", "boats", "cars", "chairs", "faces", "fruits", "planes", "tables"]
    if long:
        kinds = [f"{kind} (natural background)" for kind in kinds]
    return [kinds[k % len(kinds)] for k in range(max(n, 3))]


@functools.cache
def pictures(n: int, height: int = 12, width: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def patches(n: int) -> tuple[list[Any], np.ndarray, list[int], list[Any]]:
    n = min(n, 12)
    rows = [list(pictures(9, 8, 8)) for _ in range(n)]
    values = np.sort(np.random.default_rng(0).random((n, 9)), 1)[:, ::-1] * 12.345
    shown = [[p / 255 - 0.5 for p in row] for row in rows]
    return rows, values, [7 * k for k in range(n)], shown


@functools.cache
def searchlight(n: int, long: bool) -> tuple[Any, ...]:
    from probe.recordings.space import Volume

    voxels = np.argwhere(np.ones((6, 7, 5), bool))
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    space = Volume(voxels, (6, 7, 5), affine, "MNI152")
    rng = np.random.default_rng(0)
    n = min(n, 12)
    scores = 0.2 + 0.1 * rng.normal(size=(n, len(voxels)))
    paths, aliases = names(n, long)
    return space, scores, paths if long else aliases, scores > 0.35, scores.argmax(0)


@functools.cache
def surfaces(n: int, long: bool) -> tuple[Any, ...]:
    from probe.formats.brain_maps import Mesh
    from probe.recordings.space import Surface

    y, z = (a.ravel() for a in np.mgrid[-60:60:13j, -40:40:9j])
    n_points = len(y)
    index = np.arange(n_points).reshape(13, 9)
    a, b, c, d = (v.ravel() for v in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:],
                                      index[1:, 1:]))  # fmt: skip
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    meshes = {side: Mesh(np.stack([np.full(n_points, x), y, z], 1), faces, side)
              for side, x in (("L", -30.0), ("R", 30.0))}  # fmt: skip
    vertices = np.tile(np.arange(n_points), 2)
    space = Surface(vertices, np.repeat(["L", "R"], n_points))
    n = min(n, 12)
    scores = np.random.default_rng(0).normal(0.2, 0.1, (n, len(vertices)))
    paths, aliases = names(n, long)
    return space, meshes, scores, paths if long else aliases, scores.argmax(0)


@functools.cache
def superstimuli(n: int) -> tuple[Any, ...]:
    n = min(n, 12)
    beside = {kind: pictures(n, 12, 12)
              for kind in ("best recorded", "best for the judge", "best photograph")}  # fmt: skip
    rows = []
    for k in range(n):
        for d in range(2):
            rows.append({"site": f"v4:{k}", "picture": "superstimulus", "index": d, "judged": 5.2 + d,
                             "made_for": 14.0, "recorded": np.nan})  # fmt: skip
        rows += [{"site": f"v4:{k}", "picture": kind, "index": 0, "judged": 1.5, "made_for": 2.0, "recorded": 1.0}
                 for kind in beside]  # fmt: skip
    return pictures(2 * n, 12, 12), beside, pd.DataFrame(rows)


@functools.cache
def transfer(n: int, long: bool) -> pd.DataFrame:
    paths, aliases = names(n, long)
    kinds = [("layer", *pair) for pair in zip(paths, aliases, strict=True)]
    kinds += [("untrained", *pair) for pair in zip(paths, aliases, strict=True)]
    kinds += [("baseline", name, "") for name in ("pixels", "hog", "hmax c1", "hmax c2", "gist")]
    return pd.DataFrame([
        {"kind": kind, "layer": layer, "alias": alias, "classifier": classifier,
             "model": layer.split()[0] if kind == "baseline" else "densenet121",
             "shown": f"untrained {layer}" if kind == "untrained" else layer, "few_shot": m < 180,
             "n_train_per_class": m, "chance": 0.11, "balanced_chance": 0.1,
             "accuracy": (a := 0.3 + 0.5 * np.sin(3 * k / len(kinds)) * (m / 180) ** 0.2),
             "low": a - 0.03, "high": a + 0.03}
        for k, (kind, layer, alias) in enumerate(kinds)
        for classifier in ("linear", "knn") for m in (1.0, 5.0, 10.0, 50.0, 180.0)
    ])  # fmt: skip


@functools.cache
def tuning(n: int, long: bool) -> tuple[Any, ...]:
    from probe.plots.tuning import Reference

    paths, aliases = names(n, long)
    rng = np.random.default_rng(0)
    table = pd.DataFrame([{"unit": f"{layer}:{k}", "layer": layer, "alias": alias}
                          for layer, alias in zip(paths, aliases, strict=True)
                          for k in range(12)])  # fmt: skip
    units = {"preferred_orientation": "degrees", "preferred_frequency": "cycles per receptive field",
             "frequency_bandwidth": "octaves", "orientation_bandwidth": "degrees",
             "circular_variance": "", "f1_f0": "", "suppression_index": "",
             "c50": "", "texture_modulation": "", "preferred_angle": "degrees"}  # fmt: skip
    ends = {"preferred_orientation": 180, "preferred_frequency": 8, "frequency_bandwidth": 4,
                "orientation_bandwidth": 90, "circular_variance": 1, "f1_f0": 2, "suppression_index": 1,
                "c50": 1, "texture_modulation": 1, "preferred_angle": 360}  # fmt: skip
    for name in units:
        table[name] = rng.uniform(0.05 * ends[name], ends[name], len(table))
    curves = pd.DataFrame(rng.uniform(size=(len(table), 4)), pd.Index(table["unit"]),
                          [0.0, 45.0, 90.0, 135.0])  # fmt: skip
    references = {
        "circular_variance": Reference(np.linspace(0, 1, 11), np.arange(10), 0.61, np.nan,
                                       "V1: Ringach, Shapley & Hawken 2002"),
        "orientation_bandwidth": Reference(None, None, 23.5, np.nan,
                                           "V1: De Valois, Yund & Hepler 1982"),
    }  # fmt: skip
    comparison = pd.DataFrame([{"layer": layer, "property": name, "distance": 0.31, "expected": 0.12}
                               for layer in paths for name in references])  # fmt: skip
    return table, {"orientation": curves}, units, references, comparison


@functools.cache
def fields(n: int, long: bool) -> tuple[pd.DataFrame, list[Any]]:
    paths, aliases = names(n, long)
    table = pd.DataFrame([
        {"layer": layer, "alias": alias, "window": 67, "channel": 11 * k, "map_reliability": 0.9 - 0.05 * k,
             "field_size": 30.0 if k % 3 else np.nan, "field_x": 30.0, "field_y": 33.0}
        for layer, alias in zip(paths, aliases, strict=True) for k in range(8)
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    return table, [(rng.normal(size=(3, 9, 9)), (0, 0), 8) for _ in range(len(table))]


@functools.cache
def saliency_maps(n: int) -> list[np.ndarray]:
    y, x = np.mgrid[-1:1:12j, -1:1:16j]
    return [np.exp(-((x - 0.1 * k % 1) ** 2 + y**2) * 4) - 0.2 for k in range(n)]


@functools.cache
def atlas(n: int, target: bool) -> Any:
    from probe.synthesis.atlas import Atlas
    from probe.targets import Channel

    grid = int(np.clip(n, 2, 12))
    cells = [(r, c) for r in range(grid) for c in range(grid) if (r + c) % 3 or r == 0]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(cells, columns=["row", "column"])
    table["activations"] = rng.integers(3, 90, len(table))
    table["attribution"] = rng.normal(size=len(table))
    explained = None
    if target:
        explained = Channel("features.10", 84)
    return Atlas(
        pictures(len(table), 16, 16), table, rng.random((500, 2)).astype("float32"), grid,
        f"atlas of alexnet features.10 (conv5): {len(table)} cells of 5,000 activations", {},
        explained,
    )  # fmt: skip


Draw = Callable[..., Any]


def _plots() -> tuple[dict[str, Draw], dict[str, Draw]]:
    from probe.plots import maps
    from probe.plots.alignment import plot_alignment
    from probe.plots.checks import plot_curves, plot_randomisation
    from probe.plots.concepts import plot_concepts
    from probe.plots.deletions import plot_in_vivo
    from probe.plots.encoding import plot_bands, plot_encoding, plot_encodings, plot_sites
    from probe.plots.filters import plot_kernels, plot_maps, plot_patches
    from probe.plots.invariance import plot_invariance
    from probe.plots.layers import plot_layers
    from probe.plots.over_time import plot_generalisation, plot_over_time
    from probe.plots.pictures import plot_pictures
    from probe.plots.rdms import plot_dendrogram, plot_mds, plot_rdm
    from probe.plots.regions import plot_regions
    from probe.plots.reliability import plot_reliability
    from probe.plots.scores import plot_scores
    from probe.plots.searchlight import plot_slices, plot_surfaces
    from probe.plots.superstimuli import plot_superstimuli
    from probe.plots.transfer import plot_transfer
    from probe.plots.tuning import plot_tuning
    from probe.plots.tuning_fields import plot_fields

    def title(long: bool) -> str:
        return LONG_TITLE if long else TITLE

    def sheet(n: int, long: bool, figure: Any, rows: int, **options: Any) -> Any:
        n = min(n, 12)
        columns = ([*METHODS, "deeplift", "captum:ShapleyValueSampling"])[:n]
        return maps.plot_sheet(
            pictures(1)[0], [saliency_maps(n)] * rows, signed=[[bool(k % 2) for k in range(n)]] * rows,
            rows=names(rows, long)[0 if long else 1], columns=columns, title=title(long),
            figure=figure, **options,
        )  # fmt: skip

    def slices(n: int, long: bool, figure: Any, **options: Any) -> Any:
        space, scores, called, significant, best = searchlight(n, long)
        return plot_slices(space, scores, called, significant=significant, best=best,
                           symbol="Spearman ρ", title=title(long), figure=figure,
                           **options)  # fmt: skip

    def of_surfaces(n: int, long: bool, figure: Any, **options: Any) -> Any:
        space, meshes, scores, called, best = surfaces(n, long)
        return plot_surfaces(space, meshes, scores, called, best=best, symbol="Spearman ρ",
                             title=title(long), figure=figure, **options)  # fmt: skip

    in_axes: dict[str, Draw] = {
        "alignment": lambda n, long, ax, **o: plot_alignment(
            alignment(n, long), ylabel="linear CKA", title=title(long), ax=ax, **o),
        "curves": lambda n, long, ax, **o: plot_curves(
            curves(n), ylabel="probability of the class 'Egyptian cat'", title=title(long), ax=ax,
            **o),
        "randomisation": lambda n, long, ax, **o: plot_randomisation(
            randomisation(n, long), title=title(long), ax=ax, **o),
        "in_vivo": lambda n, long, ax, **o: plot_in_vivo(
            in_vivo(n), ("area", "fitted field"), title=title(long), ax=ax, **o),
        "encoding": lambda n, long, ax, **o: plot_encoding(
            encoding(n, long), ceiling=0.8, title=title(long), ax=ax, **o),
        "encodings": lambda n, long, ax, **o: plot_encodings(
            encodings(n, long), title=title(long), ax=ax, **o),
        "kernels": lambda n, long, ax, **o: plot_kernels(
            np.random.default_rng(0).normal(size=(n, 3, 5, 5)),
            {"grey": range(n // 2), "coloured": range(n // 2, n)}, title=title(long),
            note="all on one scale, which ends at 0.31: zero is grey", ax=ax, **o),
        "activation_maps": lambda n, long, ax, **o: plot_maps(
            np.random.default_rng(0).random((n, 4, 6)), range(n), pictures(1)[0], title=title(long),
            note="strongest channels first", ax=ax, **o),
        "patches": lambda n, long, ax, **o: plot_patches(
            *(patches(n) if long else patches(n)[:3]), title=title(long),
            note="below: values of the activation", ax=ax, **o),
        "layers": lambda n, long, ax, **o: plot_layers(
            layers(n, long), ceiling=(0.5, 0.62), ceiling_label=CEILING,
            interval_label="95 % CI over stimuli and subjects",
            ylabel="Spearman ρ with V4\n(RDMs of 1 − Pearson r)", title=title(long), ax=ax, **o),
        "saliency_map": lambda n, long, ax, **o: maps.plot_map(
            pictures(1)[0], saliency_maps(1)[0], signed=True, style="contours" if long else
            "overlay", title=title(long), ax=ax, **o),
        "generalisation": lambda n, long, ax, **o: plot_generalisation(
            *generalisation(n), label="Spearman ρ between RDMs (halves of the repetitions)",
            title=title(long), ax=ax, **o),
        "pictures": lambda n, long, ax, **o: plot_pictures(
            pictures(n), [f"{name}:{k}  3.21" for k, name in enumerate(names(n, long)[not long])],
            title=title(long), note="5,000 activations; crossed out: silent", ax=ax, **o),
        "rdm": lambda n, long, ax, **o: plot_rdm(
            rdm(n, long), categories=categories(n, long), ranked=long, ax=ax, **o),
        "rdm_names": lambda n, long, ax, **o: plot_rdm(rdm(n, long), ax=ax, **o),
        "rdm_pictures": lambda n, long, ax, **o: plot_rdm(
            rdm(n, long), images=list(pictures(max(n, 3))), categories=categories(n, long), ax=ax,
            **o),
        "mds": lambda n, long, ax, **o: plot_mds(
            rdm(n, long), categories=categories(n, long), ax=ax, **o),
        "dendrogram": lambda n, long, ax, **o: plot_dendrogram(
            rdm(n, long), categories=categories(n, long), ax=ax, **o),
        "dendrogram_pictures": lambda n, long, ax, **o: plot_dendrogram(
            rdm(n, long), images=list(pictures(max(n, 3))), ax=ax, **o),
        "scores": lambda n, long, ax, **o: plot_scores(
            evaluation(n), names(n, long)[not long], ylabel="Spearman ρ", title=title(long), ax=ax,
            **o),
        "atlas": lambda n, long, ax, **o: atlas(n, long).plot(ax, **o),
    }  # fmt: skip
    in_figures: dict[str, Draw] = {
        "sites": lambda n, long, figure, **o: plot_sites(
            sites(n), (224, 224), title=title(long), figure=figure, **o),
        "bands": lambda n, long, figure, **o: plot_bands(
            *banded(n, long), title=title(long), figure=figure, **o),
        "concepts": lambda n, long, figure, **o: plot_concepts(
            concepts(n, long), target="logit of 'zebra'" if not long else SITE, title=title(long),
            figure=figure, **o),
        "invariance": lambda n, long, figure, **o: plot_invariance(
            invariance(n, long), title=title(long), figure=figure, **o),
        "side_by_side": lambda n, long, figure, **o: maps.plot_side_by_side(
            pictures(1)[0], saliency_maps(1)[0], signed=True, title=title(long),
            label="gradient × input, logit of 'Egyptian cat'", figure=figure, **o),
        "sheet": lambda n, long, figure, **o: sheet(n, long, figure, 1, **o),
        "sheet_of_layers": lambda n, long, figure, **o: sheet(n, long, figure, 3, **o),
        "over_time": lambda n, long, figure, **o: plot_over_time(
            *over_time(n, long), ceiling_label=CEILING, interval_label="95 % CI over stimuli",
            ylabel="Spearman ρ with V4\n(RDMs of 1 − Pearson r)", title=title(long), figure=figure,
            **o),
        "regions": lambda n, long, figure, **o: plot_regions(
            *regions(n, long), symbol="Spearman ρ", title=title(long), figure=figure, **o),
        "reliability": lambda n, long, figure, **o: plot_reliability(
            *reliability(n), title=title(long), figure=figure, **o),
        "slices": slices,
        "surfaces": of_surfaces,
        "superstimuli": lambda n, long, figure, **o: plot_superstimuli(
            *superstimuli(n), judge="resnet50", makers="alexnet, vgg16", title=title(long),
            simulated=True, figure=figure, **o),
        "transfer": lambda n, long, figure, **o: plot_transfer(
            transfer(n, long), title=title(long), figure=figure, **o),
        "tuning": lambda n, long, figure, **o: plot_tuning(
            *tuning(n, long), title=title(long), figure=figure, **o),
        "fields": lambda n, long, figure, **o: plot_fields(
            *fields(n, long), title=title(long), figure=figure, **o),
    }  # fmt: skip
    return in_axes, in_figures


@functools.cache
def plots() -> Mapping[str, tuple[str, Draw]]:
    """Return, by name, whether a figure is drawn in ``ax`` or ``figure``, and what draws it.

    What draws it takes a number of layers (models, stimuli, …), whether names are long, where to
    draw, and further options.
    """
    in_axes, in_figures = _plots()
    return {
        **{name: ("ax", draw) for name, draw in in_axes.items()},
        **{name: ("figure", draw) for name, draw in in_figures.items()},
    }
