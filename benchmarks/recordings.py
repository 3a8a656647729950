"""How fast a searchlight is: `probe` beside rsatoolbox, on the same neighbourhoods, in one run.

Run ``python benchmarks/recordings.py``; it takes about five minutes. 92 conditions, 20,000 voxels
in a ball, neighbourhoods of 93 voxels (rsatoolbox's: nearer than three voxels). `probe` scores all
20,000 centres; rsatoolbox is given some hundred centres, since its centres take one time
each, and what is compared is the time per centre. Seconds are those of the processor, of all
threads together: on a machine that others use, the wall clock says little. That the scores of these
centres are the same is checked in the same run.
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

N_CENTRES = 20_000
N_STIMULI = 92
N_THEIRS = 200
GOAL = 30
THEIRS = {
    "spearman": "spearman",
    "pearson": "corr",
    "rho-a": "rho-a",
    "whitened-pearson": "corr_cov",
}
"""The comparators, and what rsatoolbox calls them."""


def cpu_seconds(work: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[float, Any]:
    """Processor time of a call, and what it gave."""
    start = time.process_time()
    result = work(*args, **kwargs)
    return time.process_time() - start, result


def ball_of_voxels() -> np.ndarray:
    """Return the voxels (n, 3) nearest to the centre of a cube."""
    voxels = np.argwhere(np.ones((41, 41, 41)))
    distance = np.linalg.norm(voxels - 20, axis=1)
    return voxels[np.sort(np.argsort(distance, kind="stable")[:N_CENTRES])]


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep rsatoolbox's bars, prints and warnings from the table."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def searchlights() -> None:
    from rsatoolbox.inference import eval_fixed
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.util.searchlight import (
        evaluate_models_searchlight,
        get_searchlight_RDMs,
        get_volume_searchlight,
    )

    from probe.inference.searchlight import searchlight_scores
    from probe.similarity import rdm
    from probe.similarity.neighbourhoods import Neighbourhoods, SearchlightRDMs, ball_neighbourhoods

    rng = np.random.default_rng(0)
    voxels = ball_of_voxels()
    responses = rng.normal(size=(N_STIMULI, len(voxels)))
    models = np.stack([rdm(rng.normal(size=(N_STIMULI, 30))) for _ in range(8)])

    near_t, near = cpu_seconds(ball_neighbourhoods, voxels, np.diag([2.0, 2.0, 2.0, 1.0]), 5.99)
    mask = np.zeros(voxels.max(axis=0) + 1)
    mask[tuple(voxels.T)] = 1
    with silence():
        their_near_t, (centres, neighbours) = cpu_seconds(
            get_volume_searchlight, mask, radius=3, threshold=0.0, truncate_at_boundary=True
        )
    place = np.ravel_multi_index(tuple(voxels.T), mask.shape)
    number = np.full(mask.size, -1)
    number[place] = np.arange(len(voxels))
    for centre, members in zip(centres, neighbours, strict=True):
        if not np.array_equal(near[number[centre]], np.sort(number[members])):
            raise AssertionError(f"the neighbourhoods of voxel {centre} differ")
    print(
        f"neighbourhoods of {len(near):,} voxels: {near_t:.2f} s, rsatoolbox {their_near_t:.1f} s, "
        f"{their_near_t / near_t:.0f} ×"
    )

    chosen = rng.choice(len(voxels), N_THEIRS, replace=False)
    volume = np.zeros((N_STIMULI, mask.size))
    volume[:, place] = responses
    with silence():
        their_rdms_t, their_rdms = cpu_seconds(
            get_searchlight_RDMs, volume, centres[chosen], [neighbours[c] for c in chosen],
            np.arange(N_STIMULI),
        )  # fmt: skip
    rdms = SearchlightRDMs(responses, near)
    # Once before, on a few centres: what is compiled is kept.
    few = Neighbourhoods(near.starts[:9], near.members)
    searchlight_scores(SearchlightRDMs(responses, few), models)
    print(
        f"\n{len(near):,} centres, {N_STIMULI} conditions, correlation distance; "
        f"rsatoolbox: {N_THEIRS} of these centres; CPU ms a centre"
    )
    names = ("models", 7), ("probe", 8), ("rsatoolbox", 12), ("ratio", 8), ("difference", 12)
    print(f"{'comparator':18}" + "".join(f"{name:>{width}}" for name, width in names))
    for comparator, theirs in THEIRS.items():
        for some in (models[:1], models):
            ours_t, ours = cpu_seconds(searchlight_scores, rdms, some, comparator)
            fixed = [ModelFixed(str(k), model) for k, model in enumerate(some)]
            with silence():
                their_t, evaluated = cpu_seconds(
                    evaluate_models_searchlight, their_rdms, fixed, eval_fixed, method=theirs
                )
            scores = np.array([e.evaluations.reshape(len(some)) for e in evaluated]).T
            difference = np.abs(scores - ours.scores[:, chosen]).max()
            a, b = 1e3 * ours_t / len(near), 1e3 * (their_t + their_rdms_t) / N_THEIRS
            print(
                f"{comparator:18}{len(some):7}{a:8.3f}{b:12.2f}{b / a:6.0f} ×{difference:12.0e}"
                + ("" if b / a >= GOAL else f"  below the goal, {GOAL} ×")
            )
    t, _ = cpu_seconds(searchlight_scores, rdms, models, n_permutations=1000)
    print(f"\n1,000 permutations of labels, 8 models, all centres, Spearman: {t:.0f} s")


if __name__ == "__main__":
    searchlights()
