"""Scores of all neighbourhoods: `compare`, rsatoolbox, and false positives without an effect."""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
import pytest
from rsatoolbox.inference import eval_fixed
from rsatoolbox.model import ModelFixed
from rsatoolbox.util.searchlight import evaluate_models_searchlight, get_searchlight_RDMs
from scipy import ndimage

from probe.inference import clusters, searchlight
from probe.inference.searchlight import searchlight_scores
from probe.similarity import COMPARATORS, compare, rdm
from probe.similarity.comparators import whitened
from probe.similarity.neighbourhoods import SearchlightRDMs, ball_neighbourhoods, voxel_adjacency

RNG = np.random.default_rng
THEIRS = {
    "pearson": "corr", "spearman": "spearman", "rho-a": "rho-a", "cosine": "cosine",
    "tau-a": "tau-a", "tau-b": "tau-b", "whitened-pearson": "corr_cov",
    "whitened-cosine": "cosine_cov",
}  # fmt: skip


def world(seed=0, n=10, side=4, metric="correlation", smooth=1.0):
    """Noise over a cube of voxels, and models."""
    rng = RNG(seed)
    volume = ndimage.gaussian_filter(rng.normal(size=(n, side, side, side)), (0, *[smooth] * 3))
    voxels = np.argwhere(np.ones((side,) * 3))
    x = volume.reshape(n, -1)
    near = ball_neighbourhoods(voxels, np.eye(4), 1.5)
    return SearchlightRDMs(x, near, metric), x, near


def models(seed=1, n=10, m=3):
    rng = RNG(seed)
    return np.stack([rdm(rng.normal(size=(n, 12))) for _ in range(m)])


@pytest.mark.parametrize("metric", ["correlation", "euclidean"])
@pytest.mark.parametrize("comparator", [*COMPARATORS])
def test_scores_are_those_of_each_rdm(comparator, metric):
    rdms, x, near = world(metric=metric)
    found = searchlight_scores(rdms, models(), comparator)
    assert found.scores.shape == (3, 64)
    every = np.stack([rdm(x[:, near[k]], metric) for k in range(64)])
    np.testing.assert_allclose(
        found.scores, compare(models(), every, comparator), rtol=1e-9, atol=1e-12
    )


def test_ties_of_models_and_of_neighbourhoods():
    rdms, x, near = world(metric="euclidean")
    x[:] = np.round(2 * x)
    rdms = SearchlightRDMs(x, near, "euclidean")
    category = (np.arange(10) % 2)[:, None] != np.arange(10) % 2
    model = category[np.triu_indices(10, 1)][None].astype(float)
    every = rdms.compute(slice(None))
    for comparator in ("spearman", "rho-a", "tau-b"):
        found = searchlight_scores(rdms, model, comparator).scores
        np.testing.assert_allclose(found, compare(model, every, comparator), atol=1e-12)


@pytest.mark.parametrize("comparator", [*THEIRS])
def test_scores_as_rsatoolbox(comparator):
    rdms, x, near = world(smooth=0.3)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        theirs = get_searchlight_RDMs(
            x, np.arange(64), [near[k] for k in range(64)], np.arange(10), method="correlation"
        )
        fixed = [ModelFixed(f"model {k}", model) for k, model in enumerate(models())]
        evaluated = evaluate_models_searchlight(
            theirs, fixed, eval_fixed, method=THEIRS[comparator]
        )
    expected = np.array([e.evaluations.reshape(3) for e in evaluated]).T
    ours = searchlight_scores(rdms, models(), comparator).scores
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_errors_that_are_correlated():
    root = RNG(3).normal(size=(10, 14))
    comparator = whitened(root @ root.T)
    rdms, x, near = world()
    found = searchlight_scores(rdms, models(), comparator, n_permutations=3).scores
    np.testing.assert_allclose(
        found[:, 5], compare(models(), rdm(x[:, near[5]])[None], comparator)[:, 0], atol=1e-12
    )


def test_no_rdm_no_score():
    voxels = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 9, 9]])
    near = ball_neighbourhoods(voxels, np.eye(4), 1.0)
    rdms = SearchlightRDMs(RNG(0).normal(size=(8, 4)), near)
    found = searchlight_scores(rdms, models(n=8), "pearson", n_permutations=9)
    assert list(np.isnan(found.scores).all(axis=0)) == [False, False, False, True]
    assert np.isnan(found.p_values[:, 3]).all()
    assert np.isnan(found.p_of_best[3])
    assert np.isfinite(found.null).all()


@pytest.mark.parametrize("comparator", ["spearman", "rho-a", "whitened-pearson", "tau-a"])
def test_labels_are_permuted_alike_everywhere(comparator):
    rdms, _, _ = world(n=8)
    found = searchlight_scores(rdms, models(n=8), comparator, n_permutations=12, seed=5)
    every = rdms.compute(slice(None))
    rng = RNG(5)
    i, j = np.triu_indices(8, 1)
    square = np.zeros((3, 8, 8))
    square[:, i, j] = square[:, j, i] = models(n=8)
    null = []
    for _ in range(12):
        order = rng.permutation(8)
        permuted = square[:, order][:, :, order][:, i, j]
        null.append(compare(permuted, every, comparator).max(axis=1))
    np.testing.assert_allclose(found.null, null, atol=1e-6)
    count = (np.array(null)[:, :, None] >= found.scores - 1e-6).sum(axis=0)
    np.testing.assert_allclose(found.p_values, (count + 1) / 13)
    count = (np.array(null).max(axis=1)[:, None] >= found.scores.max(axis=0) - 1e-6).sum(axis=0)
    np.testing.assert_allclose(found.p_of_best, (count + 1) / 13)


def test_blocks_passes_and_threads_change_nothing(monkeypatch):
    rdms, _, _ = world()
    whole = searchlight_scores(rdms, models(), n_permutations=20)
    bars = []

    def watch(iterable, **about):
        bars.append(about)
        return iterable

    monkeypatch.setattr(searchlight, "NULL_BYTES", 5 * 3 * 45 * 4)
    monkeypatch.setattr(SearchlightRDMs, "block", 7)
    monkeypatch.setenv("PROBE_THREADS", "3")
    parts = searchlight_scores(rdms, models(), n_permutations=20, track=watch)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-12)
    np.testing.assert_allclose(parts.null, whole.null, atol=1e-6)
    assert [bar["desc"] for bar in bars] == [f"searchlight, pass {k} of 4" for k in (1, 2, 3, 4)]


def test_finds_the_place_where_a_model_is():
    rdms, x, near = world(n=14, side=5)
    signal = RNG(9).normal(size=(14, len(near[62])))
    x = x / x.std()
    x[:, near[62]] += 2.0 * signal
    rdms = SearchlightRDMs(x, near)
    own = rdm(signal)
    found = searchlight_scores(rdms, np.stack([own, models(n=14)[0]]), n_permutations=199)
    assert np.argmax(found.scores[0]) == 62
    assert found.p_values[0, 62] == pytest.approx(1 / 200)
    assert found.p_of_best[62] == pytest.approx(1 / 200)
    assert (found.p_values[1] > 0.05).all()
    far = np.linalg.norm(np.argwhere(np.ones((5, 5, 5))) - 2, axis=1) > 3.2
    assert (found.p_values[0, far] > 0.05).all()


@pytest.mark.slow
def test_false_positives():
    """1,000 volumes of smooth noise: a map errs anywhere in 5 ± 1.5 %, one model or two."""
    found, of_best = 0, 0
    for seed in range(1000):
        rdms, _, _ = world(seed, n=9, side=3)
        result = searchlight_scores(
            rdms, models(seed + 10**6, n=9, m=2), n_permutations=39, seed=seed
        )
        found += bool((result.p_values[0] <= 0.05).any())
        of_best += bool((result.p_of_best <= 0.05).any())
    assert 35 <= found <= 65
    assert 35 <= of_best <= 65


@pytest.mark.slow
@pytest.mark.parametrize("test", ["clusters", "maximum"])
def test_false_positives_over_subjects(test):
    """1,000 groups of ten maps of smooth noise over a volume."""
    voxels = np.array(list(itertools.product(range(6), repeat=3)))
    adjacency = voxel_adjacency(voxels)
    found = 0
    for seed in range(1000):
        noise = ndimage.gaussian_filter(RNG(seed).normal(size=(10, 6, 6, 6)), (0, 1, 1, 1))
        samples = noise.reshape(10, -1)
        settings = {"tail": "greater", "n_permutations": 199, "seed": seed}
        if test == "clusters":
            p = clusters.cluster_test(samples, adjacency=adjacency, **settings).p_values
        else:
            p = clusters.max_statistic_test(samples, **settings).p_values
        found += bool((p <= 0.05).any())
    assert 35 <= found <= 65


def test_refuses():
    rdms, _, _ = world()
    with pytest.raises(ValueError, match="model 1 is constant"):
        searchlight_scores(rdms, np.stack([models()[0], np.ones(45)]))
    with pytest.raises(ValueError, match="n_permutations -1"):
        searchlight_scores(rdms, models(), n_permutations=-1)
    with pytest.raises(ValueError, match="'manhattan': expected one of"):
        searchlight_scores(rdms, models(), "manhattan")
