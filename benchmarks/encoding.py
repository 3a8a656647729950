"""How fast sites are fitted from a layer: `probe` beside its peers, on the same data.

Run ``python benchmarks/encoding.py``; it takes about eight minutes. With ``--quick`` it takes
two: himalaya and memory are left out.

Every figure is a ratio of two times of the processor, in the same run, each with one thread of
linear algebra, since machines are noisy and others may be at work on them. What is fast is measured
a few times, in turns with its peer where that is fast, too, and the shortest time counts; what
takes many seconds is measured once.

Activations and responses are random numbers, of the sizes of AlexNet's layers. Their spectrum is
like a layer's, few dimensions that vary much and many that vary little, and responses depend on
them. Where both sides compute the same, what they choose and predict has to agree, too.

ridge
    From activations to weights, with one of 19 penalties for each of 50 sites by leave-one-out,
    beside ``RidgeCV`` of scikit-learn, which gives the same, and of himalaya, which chooses by five
    folds.
pls
    25 components, beside ``PLSRegression(scale=False)`` of scikit-learn. Products are computed once
    for ten splits; a tenth of that counts.
fields
    The default readout: one of 109 fields for each site, in each of ten splits and on all stimuli,
    beside a loop with one decomposition for each field and split, in NumPy: the usual one,
    ``svd``, and the fastest, ``eigh`` of the product of channels. Both sides start from the pooled
    channels, and pooling counts for both. The loop runs through 12 fields, and its time for 109
    is extrapolated, since its fields take one time each.
memory
    The largest resident size of a process that fits 20,000 sites to 1,000 stimuli × 64,896 units on
    disk, in ten folds. Fields are tried with one penalty, of which there are 11 by default: more
    take more time, and the same memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import sklearn
from scipy.ndimage import gaussian_filter
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, ShuffleSplit
from threadpoolctl import threadpool_limits

from probe.encoding import fields as pooling
from probe.encoding import pls
from probe.encoding.fields import Decompositions, Layout
from probe.encoding.layer_fit import FIELD_ALPHAS, Plan, fit_layer, gram
from probe.encoding.readouts import from_dual
from probe.encoding.ridge import Decomposition, Selection, Split, select

POOL5, CONV3 = Layout(256, 6, 6), Layout(384, 13, 13)
"""Layers of AlexNet: of 9,216 and 64,896 units."""

N_STIMULI = 576
N_SITES = 50
ALPHAS = np.logspace(-5.0, 4.0, 19)
"""Penalties of the rows ``ridge``, relative to the mean squared length of the patterns."""

N_COMPONENTS = 25

N_LOOPED = 12
"""Fields that the plain loop runs through."""

SAME_FIELD = 0.98
"""Share of sites and splits for which the loop has to choose the same field."""

ROUNDING = 1e-6
"""How far predictions may lie apart where methods are the same, in SD of the responses."""

GIGABYTES = 4.0
"""Of memory, at most, for `MANY_STIMULI` and `MANY_SITES`."""

MANY_STIMULI, MANY_SITES = 1_000, 20_000


def seconds(work: Callable[[], object], runs: int = 1) -> float:
    """Give the shortest time of the processor, of some runs."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def simulate(
    layout: Layout, n_stimuli: int, n_sites: int, n_latents: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a layer, float32 (n, neuroids), and sites that look at it, float64 (n, m).

    Smooth maps of a few latent variables, of falling variance, are mixed into the channels, with
    noise. A site sees the latent variables through one of the fields, with as much noise.
    """
    rng = np.random.default_rng(0)
    sd = np.arange(1.0, n_latents + 1.0) ** -0.5
    latents = rng.standard_normal((n_stimuli, n_latents, layout.height, layout.width))
    latents = gaussian_filter(latents, layout.height / 8.0, axes=(2, 3))
    latents = (latents * (sd / latents.std(axis=(0, 2, 3)))[:, None, None]).astype(np.float32)
    latents = latents.reshape(n_stimuli, n_latents, -1)
    mixing = rng.standard_normal((layout.channels, n_latents), dtype=np.float32)
    activations = np.empty((n_stimuli, layout.channels * layout.n_positions), dtype=np.float32)
    for row, of_stimulus in zip(activations, latents, strict=True):
        row[:] = (mixing @ of_stimulus).ravel()
        row += rng.standard_normal(row.shape, dtype=np.float32)
    responses = rng.standard_normal((n_stimuli, n_sites))
    gaussians = pooling.weights(pooling.grid(), layout.height, layout.width)
    field_of_site = rng.integers(len(gaussians), size=n_sites)
    for k in np.unique(field_of_site):
        sites = np.flatnonzero(field_of_site == k)
        signal = latents @ gaussians[k] @ rng.standard_normal((n_latents, len(sites)))
        responses[:, sites] += signal / signal.std(axis=0)
    return activations, responses


def report(name: str, ours: float, peer: str, theirs: float, goal: float | None) -> bool:
    """Print a row of the table and tell whether the goal is met."""
    ratio = theirs / ours
    met = goal is None or ratio >= goal
    verdict = "no goal" if goal is None else f"goal ≥ {goal:g}: {'met' if met else 'NOT met'}"
    print(
        f"  {name:<24} probe {ours:7.3f} s, {peer:<30} {theirs:8.2f} s = {ratio:6.1f} × probe "
        f"({verdict})", flush=True,
    )  # fmt: skip
    return met


def ridge_of(activations: np.ndarray, responses: np.ndarray) -> tuple[Selection, np.ndarray]:
    """Choose the penalty of each site and compute its weights, (m, neuroids)."""
    decomposition = Decomposition.of_gram(gram(activations))
    selection = select([decomposition], responses, alphas=ALPHAS)
    dual = decomposition.dual(responses, selection.alpha)
    return selection, from_dual(activations, dual.T)


def ridge(layout: Layout, goal: float, goal_of_himalaya: float | None) -> dict[str, bool]:
    activations, responses = simulate(layout, N_STIMULI, N_SITES)
    activations = activations.astype(np.float64)  # what all compute with: none converts
    p = activations.shape[1]
    selection, weights = ridge_of(activations, responses)
    alphas = ALPHAS * Decomposition.of_gram(gram(activations)).scale
    peer = RidgeCV(alphas, alpha_per_target=True)
    turns = [
        (
            seconds(lambda: ridge_of(activations, responses), 2),
            seconds(lambda: peer.fit(activations, responses)),
        )
        for _ in range(4)
    ]
    ours, theirs = np.min(turns, axis=0)
    assert np.allclose(peer.alpha_, selection.alpha), "scikit-learn chooses other penalties"
    apart = (activations - activations.mean(axis=0)) @ (weights - peer.coef_).T
    assert np.abs(apart).max() < ROUNDING * responses.std(), "scikit-learn predicts otherwise"
    name = f"ridge, {p:,} units"
    met = {name: report(name, ours, "RidgeCV of scikit-learn", theirs, goal)}
    if goal_of_himalaya is None:
        return met
    if not find_spec("himalaya"):
        print(f"  {name + ', svd':<24} left out: himalaya is not installed")
        return met
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV as HimalayaRidgeCV

    set_backend("numpy")
    of_himalaya = HimalayaRidgeCV(alphas, solver="svd", cv=5, fit_intercept=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that kernels would be faster
        theirs = seconds(lambda: of_himalaya.fit(activations, responses))
    name += ", svd"
    met[name] = report(name, ours, "RidgeCV of himalaya, cv=5", theirs, goal_of_himalaya)
    return met


def partial_least_squares(goal: float) -> dict[str, bool]:
    activations, responses = simulate(POOL5, N_STIMULI, N_SITES)
    activations = activations.astype(np.float64)
    splits = list(ShuffleSplit(10, test_size=0.1, random_state=1).split(responses))
    products = gram(activations)
    predictions, _ = pls.predict_splits(products, responses, splits, N_COMPONENTS)
    ours = seconds(lambda: gram(activations), 3) / len(splits) + seconds(
        lambda: pls.predict_splits(products, responses, splits[:1], N_COMPONENTS), 3
    )
    train, test = splits[0]
    peer = PLSRegression(N_COMPONENTS, scale=False)
    theirs = seconds(lambda: peer.fit(activations[train], responses[train]))
    apart = np.abs(peer.predict(activations[test]) - predictions[0]).max()
    assert apart < ROUNDING * responses.std(), f"scikit-learn predicts otherwise, by {apart:.2g}"
    name = f"pls, {activations.shape[1]:,} units"
    return {name: report(name, ours, "PLSRegression of scikit-learn", theirs, goal)}


Factors = tuple[np.ndarray, np.ndarray, np.ndarray]
"""U, (n, k), s², (k,), and V, (p, k), of centred patterns."""


def by_svd(centred: np.ndarray) -> Factors:
    vectors, lengths, basis = np.linalg.svd(centred, full_matrices=False)
    return vectors, lengths**2, basis.T


def by_eigh(centred: np.ndarray) -> Factors:
    squares, basis = np.linalg.eigh(centred.T @ centred)
    return centred @ basis / np.sqrt(squares), squares, basis


def loop(
    pooled: np.ndarray,
    responses: np.ndarray,
    splits: Sequence[Split],
    decompose: Callable[[np.ndarray], Factors],
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Choose fields and penalties by one decomposition for each field and split.

    Patterns are of full rank, and fewer channels than stimuli.

    Returns
    -------
    field, alpha_index : numpy.ndarray of int, shape (n_splits, m)
    predictions : list of numpy.ndarray, shape (n_test, m)
    """
    shape = (len(splits), responses.shape[1])
    error = np.full(shape, np.inf)
    field, alpha_index = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    predictions = [np.empty((len(test), shape[1])) for _, test in splits]
    for k, of_field in enumerate(pooled):
        patterns = of_field.astype(np.float64)
        alphas = FIELD_ALPHAS * patterns.var(axis=0).sum()
        for row, (train, test) in enumerate(splits):
            mean, intercept = patterns[train].mean(axis=0), responses[train].mean(axis=0)
            centred, left = patterns[train] - mean, responses[train] - intercept
            vectors, squares, basis = decompose(centred)
            along = vectors.T @ left
            shrunk = squares[:, None] / (squares[:, None] + alphas)
            leverage = vectors**2 @ shrunk + 1.0 / len(train)
            for index in range(len(alphas)):
                residuals = left - vectors @ (shrunk[:, index, None] * along)
                residuals /= 1.0 - leverage[:, index, None]
                of_alpha = np.einsum("ij,ij->j", residuals, residuals)
                better = of_alpha < error[row]
                error[row, better] = of_alpha[better]
                field[row, better], alpha_index[row, better] = k, index
            sites = np.flatnonzero(field[row] == k)
            of_sites = shrunk[:, alpha_index[row, sites]] / np.sqrt(squares)[:, None]
            weights = basis @ (of_sites * along[:, sites])
            predictions[row][:, sites] = (patterns[test] - mean) @ weights + intercept[sites]
    return field, alpha_index, predictions


def fields(goal: float) -> dict[str, bool]:
    activations, responses = simulate(CONV3, 640, N_SITES)
    splits = list(ShuffleSplit(10, test_size=0.1, random_state=1).split(responses))
    everything = np.arange(len(responses))
    candidates = pooling.grid()
    looped = np.linspace(0, len(candidates) - 1, N_LOOPED).astype(int)

    def solve(pooled: np.ndarray) -> Selection:
        return select(
            Decompositions(pooled), responses, splits, alphas=FIELD_ALPHAS, search_dtype="float32"
        )

    pooled = pooling.pool(activations, CONV3, candidates)
    of_pooling = seconds(lambda: pooling.pool(activations, CONV3, candidates), 2)
    ours = of_pooling + seconds(lambda: solve(pooled), 2)
    expected = solve(pooled[looped])
    met = {}
    for decompose, peer, goal_of_peer in (
        (by_svd, "numpy.linalg.svd", goal),
        (by_eigh, "numpy.linalg.eigh", None),
    ):
        start = time.process_time()
        field, index, predictions = loop(
            pooled[looped], responses, [*splits, (everything, everything[:0])], decompose
        )
        spent = time.process_time() - start
        same = field[:-1] == expected.in_split
        assert same.mean() >= SAME_FIELD, f"the loop chooses {same.mean():.1%} of the fields"
        same &= index[:-1] == expected.alpha_in_split
        apart = max(
            np.abs(theirs - ours)[:, alike].max()
            for theirs, ours, alike in zip(
                predictions[:-1], expected.predictions, same, strict=True
            )
        )
        assert apart < ROUNDING * responses.std(), f"the loop predicts otherwise, by {apart:.2g}"
        name = f"fields, {peer.rpartition('.')[2]}"
        theirs = of_pooling + spent * len(candidates) / len(looped)
        met[name] = report(name, ours, f"loop with {peer}", theirs, goal_of_peer)
    print(f"    (time of the loops extrapolated from {len(looped)} of {len(candidates)} fields)")
    return met


def peak_gigabytes() -> float:
    """Return the largest resident size of this process so far.

    As Linux tells it, if it can: in ``ru_maxrss`` a process inherits what its parent had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def fit_many(readout: str, folder: Path) -> None:
    """Fit many sites from a layer on disk, and print what that takes: the work of a child."""
    shape = (MANY_STIMULI, CONV3.channels * CONV3.n_positions)
    activations = np.memmap(folder / "activations", np.float32, "r", shape=shape)
    responses = np.load(folder / "responses.npy")
    splits = list(KFold(10, shuffle=True, random_state=1).split(responses))
    plan = Plan(readout, alphas=(100.0,)) if readout == "field" else Plan(readout)
    before = peak_gigabytes()
    start = time.process_time()
    fit_layer(activations, "conv3", CONV3, responses, splits, plan, threads=1)
    spent = time.process_time() - start
    print(json.dumps({"before": before, "peak": peak_gigabytes(), "seconds": spent}))


def memory() -> dict[str, bool]:
    met = {}
    with tempfile.TemporaryDirectory() as folder:
        activations, responses = simulate(CONV3, MANY_STIMULI, MANY_SITES)
        activations.tofile(Path(folder, "activations"))
        np.save(Path(folder, "responses.npy"), responses)
        del activations, responses
        for readout in ("full", "field"):
            child = subprocess.run(
                [sys.executable, __file__, "--child", readout, folder],
                check=True, stdout=subprocess.PIPE,
            )  # fmt: skip
            of_child = json.loads(child.stdout)
            name = f"memory, readout {readout!r}"
            met[name] = of_child["peak"] <= GIGABYTES
            print(
                f"  {name:<24} {of_child['peak']:.2f} GB, of which libraries and responses are "
                f"{of_child['before']:.2f} GB (goal ≤ {GIGABYTES:g} GB: "
                f"{'met' if met[name] else 'NOT met'}); {of_child['seconds']:.0f} s", flush=True,
            )  # fmt: skip
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without himalaya and memory")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with threadpool_limits(1):
        if options.child:
            readout, folder = options.child
            fit_many(readout, Path(folder))
            return
        print(
            f"Times of the processor with one thread, scikit-learn {sklearn.__version__}, NumPy "
            f"{np.__version__}; simulated layers, {N_STIMULI} stimuli (fields: 640), {N_SITES} "
            "sites"
        )
        met = ridge(POOL5, goal=3, goal_of_himalaya=None if options.quick else 100)
        met |= ridge(CONV3, goal=2.5, goal_of_himalaya=None)
        met |= partial_least_squares(goal=15)
        met |= fields(goal=4)
        if not options.quick:
            met |= memory()
    missed = [name for name, is_met in met.items() if not is_met]
    print(f"missed: {'; '.join(missed)}" if missed else "all goals met")


if __name__ == "__main__":
    main()
