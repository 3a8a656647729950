"""RDMs, comparators, noise ceilings and resamples against rsatoolbox 0.3.2."""

from __future__ import annotations

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.inference import boot_noise_ceiling, bootstrap_sample_pattern
from rsatoolbox.inference.crossvalsets import sets_leave_one_out_rdm
from rsatoolbox.inference.noise_ceiling import cv_noise_ceiling
from rsatoolbox.rdm import RDMs, calc_rdm
from rsatoolbox.rdm import compare as rsatoolbox_compare
from rsatoolbox.util.inference_util import pool_rdm

from probe.inference import noise_ceiling
from probe.inference.resampling import resampled_scores
from probe.similarity import COMPARATORS, compare, rdm

THEIRS = {"spearman": "spearman", "rho-a": "rho-a", "pearson": "corr", "cosine": "cosine"}


def patterns(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 60))
    if kind == "tied":
        return np.round(x)
    return 1000.0 + x if kind == "large mean" else x


def vectors(kind, n_rdms, seed, n=20):
    values = np.random.default_rng(seed).random((n_rdms, n * (n - 1) // 2))
    if kind == "category":  # few values, unequally many of each
        return (values > 0.8).astype(float) + 0.5 * (values > 0.95)
    return np.round(values, 1) if kind == "tied" else values


@pytest.mark.parametrize("kind", ["random", "tied", "large mean"])
@pytest.mark.parametrize("metric", ["correlation", "euclidean"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rdms(kind, metric, dtype):
    x = patterns(kind).astype(dtype)
    theirs = calc_rdm(Dataset(x.astype("f8")), method=metric).dissimilarities[0]
    # Theirs is |a|² + |b|² − 2ab of the responses as they are: a mean of 1000 costs it six digits.
    tolerance = 1e-8 if (kind, metric) == ("large mean", "euclidean") else 1e-12
    np.testing.assert_allclose(rdm(x, metric), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["random", "tied", "category"])
@pytest.mark.parametrize("name", THEIRS)
def test_comparators(kind, name):
    a, b = vectors(kind, 3, 0), vectors("tied" if kind == "category" else kind, 4, 1)
    theirs = rsatoolbox_compare(RDMs(a), RDMs(b), THEIRS[name])
    np.testing.assert_allclose(compare(a, b, name), theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", THEIRS)
def test_comparators_of_tied_patterns(name):
    """From responses to similarity, with ties in the responses."""
    rng = np.random.default_rng(0)
    x, y = (np.round(rng.normal(size=(25, 12))) for _ in range(2))
    ours = compare(rdm(x, "euclidean"), rdm(y, "euclidean"), name)
    # Squared distances of whole numbers, computed exactly: their ties are exact too.
    theirs = [RDMs(np.round(12 * rdm(v, "euclidean"))[None]) for v in (x, y)]
    assert ours == pytest.approx(rsatoolbox_compare(*theirs, THEIRS[name])[0, 0], abs=1e-12)


@pytest.mark.parametrize("kind", ["random", "tied"])
@pytest.mark.parametrize("name", THEIRS)
def test_noise_ceilings(kind, name):
    data = vectors("random", 1, 0) + vectors(kind, 5, 1)
    if kind == "tied":
        data = np.round(data, 1)
    theirs = boot_noise_ceiling(RDMs(data), THEIRS[name])
    # They average ranks, we the standardised ranks of Spearman: alike, but for unequal ties.
    tolerance = 1e-3 if (kind, name) == ("tied", "spearman") else 1e-12
    assert noise_ceiling(data, name) == pytest.approx(theirs, abs=tolerance)
    if tolerance > 1e-12:
        assert noise_ceiling(data, name)[1] >= theirs[1] - 1e-4


@pytest.mark.parametrize("name", THEIRS)
def test_crossvalidated_noise_ceiling(name):
    data = vectors("random", 1, 0) + vectors("random", 4, 1)
    rdms = RDMs(data)
    _, test, ceiling = sets_leave_one_out_rdm(rdms)
    theirs = cv_noise_ceiling(rdms, ceiling, test, THEIRS[name])
    assert noise_ceiling(data, name) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("name", THEIRS)
def test_pools(name):
    data = vectors("random", 4, 0)
    ours, theirs = COMPARATORS[name].pool(data), pool_rdm(RDMs(data), THEIRS[name])
    theirs = theirs.dissimilarities[0]
    # Up to a scale, and for all but cosine an offset, which the comparator does not see.
    if name != "cosine":
        ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    np.testing.assert_allclose(
        ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-13
    )


@pytest.mark.parametrize("kind", ["random", "tied", "category"])
@pytest.mark.parametrize("name", THEIRS)
def test_bootstrap_over_stimuli(kind, name, monkeypatch):
    n, n_resamples = 20, 12
    models, data = vectors(kind, 3, 0, n), vectors("random", 2, 1, n)
    rng = np.random.default_rng(7)
    # Their sampler draws from NumPy's global state: here from ours.
    monkeypatch.setattr(np.random, "randint", lambda low, high, size: rng.integers(low, high, size))
    counts, theirs = [], []
    for _ in range(n_resamples):
        sample, drawn = bootstrap_sample_pattern(RDMs(data))
        assert np.isnan(sample.dissimilarities).any()
        counts.append(np.bincount(drawn, minlength=n))
        of_models = RDMs(models).subsample_pattern("index", drawn)
        theirs.append(rsatoolbox_compare(of_models, sample, THEIRS[name]))
    comparator = COMPARATORS[name]
    ours = resampled_scores(
        comparator.prepare(models), comparator.prepare(data), comparator, np.array(counts)
    )[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
