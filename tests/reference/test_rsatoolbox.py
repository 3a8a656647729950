"""RDMs, comparators, noise ceilings and resamples against rsatoolbox 0.3.2."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.inference import (
    boot_noise_ceiling,
    bootstrap_sample_pattern,
    eval_bootstrap,
    eval_bootstrap_pattern,
    eval_bootstrap_rdm,
)
from rsatoolbox.inference.crossvalsets import sets_leave_one_out_rdm
from rsatoolbox.inference.noise_ceiling import cv_noise_ceiling
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs, calc_rdm
from rsatoolbox.rdm import compare as rsatoolbox_compare
from rsatoolbox.util.inference_util import extract_variances, pool_rdm, t_test_0, zero_tests

from probe.inference import evaluate, noise_ceiling
from probe.inference.resampling import bootstrap_counts, resampled_scores
from probe.inference.significance import bootstrap_test
from probe.similarity import COMPARATORS, compare, rdm

THEIRS = {
    "spearman": "spearman", "rho-a": "rho-a", "pearson": "corr", "cosine": "cosine",
    "tau-a": "tau-a", "tau-b": "tau-b", "whitened-pearson": "corr_cov",
    "whitened-cosine": "cosine_cov",
}  # fmt: skip
WHITENED = ("whitened-pearson", "whitened-cosine")


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
    tolerance = 1e-12 if name in WHITENED else 1e-13
    np.testing.assert_allclose(compare(a, b, name), theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", THEIRS)
def test_missing_pairs(name):
    """Theirs are the same pairs in every RDM; ours may differ, and are left out of all."""
    a, b = vectors("random", 3, 0), vectors("tied", 4, 1)
    missing = [3, 40, 41, 99]
    a[:, missing] = b[:, missing] = np.nan
    theirs = rsatoolbox_compare(RDMs(a), RDMs(b), THEIRS[name])
    # Theirs of the whitened ones is found by iteration, which stops at 1e-5 of the residual.
    tolerance = 2e-5 if name in WHITENED else 1e-13
    np.testing.assert_allclose(compare(a, b, name), theirs, rtol=0, atol=tolerance)
    scattered = b.copy()
    scattered[:, missing] = vectors("random", 4, 5)[:, missing]
    scattered[np.arange(4), missing] = np.nan
    np.testing.assert_array_equal(compare(a, scattered, name), compare(a, b, name))


def test_bures():
    x = np.random.default_rng(0).normal(size=(5, 20, 30))
    distances = np.stack([rdm(v, "euclidean") for v in x])
    theirs = rsatoolbox_compare(RDMs(distances[:2]), RDMs(distances[2:]), "bures")
    ours = compare(distances[:2], distances[2:], "bures")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)  # theirs are roots of roots


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
    # They average ranks, we the standardised ranks of Spearman: alike, but for unequal ties. They
    # scale RDMs that are to be whitened before whitening, which is not the best pool there is.
    unequal = (kind, name) == ("tied", "spearman") or name in WHITENED
    tolerance = 1e-3 if unequal else 1e-12
    assert noise_ceiling(data, name) == pytest.approx(theirs, abs=tolerance)
    if unequal:
        assert noise_ceiling(data, name)[1] >= theirs[1] - (0.0 if name in WHITENED else 1e-4)


@pytest.mark.parametrize("name", THEIRS)
def test_crossvalidated_noise_ceiling(name):
    data = vectors("random", 1, 0) + vectors("random", 4, 1)
    rdms = RDMs(data)
    _, test, ceiling = sets_leave_one_out_rdm(rdms)
    theirs = cv_noise_ceiling(rdms, ceiling, test, THEIRS[name])
    tolerance = 1e-3 if name in WHITENED else 1e-12  # another pool, as above
    assert noise_ceiling(data, name) == pytest.approx(theirs, abs=tolerance)


@pytest.mark.parametrize("name", [n for n in THEIRS if n not in WHITENED])
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


@pytest.fixture
def draws(monkeypatch):
    """Let both tools resample alike: what their samplers drew, from ours instead of NumPy's."""
    rng = np.random.default_rng(7)
    monkeypatch.setattr(np.random, "randint", lambda low, high, size: rng.integers(low, high, size))


@pytest.mark.usefixtures("draws")
@pytest.mark.parametrize("kind", ["random", "tied", "category"])
@pytest.mark.parametrize("name", THEIRS)
def test_bootstrap_over_stimuli(kind, name):
    n, n_resamples = 20, 6 if name in WHITENED else 12
    models, data = vectors(kind, 3, 0, n), vectors("random", 2, 1, n)
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
    # They find the whitened ones by iteration, to 1e-5 of the residual.
    tolerance = 2e-5 if name in WHITENED else 1e-12
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("draws")
@pytest.mark.parametrize("name", [n for n in THEIRS if n not in WHITENED])
def test_noise_ceilings_in_resamples(name):
    n = 16
    data = vectors("random", 1, 0, n) + vectors("random", 4, 1, n)
    comparator = COMPARATORS[name]
    prepared = comparator.prepare(data)
    for _ in range(6):
        sample, drawn = bootstrap_sample_pattern(RDMs(data))
        with warnings.catch_warnings():  # that tau's pool is not the best
            warnings.simplefilter("ignore")
            theirs = boot_noise_ceiling(sample, THEIRS[name])
        counts = np.bincount(drawn, minlength=n)
        bounds = comparator.resample(prepared, prepared, counts[None], [np.ones((1, 4))])[1]
        np.testing.assert_allclose(bounds[0, 0].mean(axis=1), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["cosine", "pearson", "spearman", "tau-a"])
def test_bootstrap_of_both_factors(name, monkeypatch):
    """Their evaluations, variances and two-factor estimate, from the same samples as ours."""
    n, n_subjects, n_resamples = 14, 5, 12
    models = vectors("random", 3, 0, n)
    data = models[0] + vectors("random", n_subjects, 1, n)
    found = evaluate(
        models, data, name, resample="both", test="t", variance="bootstrap", n_resamples=n_resamples
    )
    of_stimuli, of_subjects = np.random.default_rng(0).spawn(2)[0].spawn(2)
    counts = bootstrap_counts(n, n_resamples, of_stimuli)
    shares = np.full(n_subjects, 1 / n_subjects)
    subjects = of_subjects.multinomial(n_subjects, shares, size=n_resamples)

    def theirs(evaluate_, sampler, *drawn):
        """Their bootstrap on given samples: theirs first draws subjects, then stimuli."""
        queue = [np.repeat(np.arange(len(c)), c) for row in zip(*drawn, strict=True) for c in row]
        monkeypatch.setattr(np.random, "randint", lambda *_, **__: queue.pop(0))
        fixed = [ModelFixed(f"{k}", RDMs(m[None])) for k, m in enumerate(models)]
        options = {} if sampler == "subjects" else {"boot_noise_ceil": False}
        result = evaluate_(fixed, RDMs(data), method=THEIRS[name], N=n_resamples, **options)
        assert not queue
        return result.evaluations

    both = theirs(eval_bootstrap, "both", subjects, counts)
    np.testing.assert_allclose(found.resampled, both, rtol=0, atol=1e-12)
    over_stimuli = theirs(eval_bootstrap_pattern, "stimuli", counts)
    over_subjects = theirs(eval_bootstrap_rdm, "subjects", subjects)
    variances = np.stack([np.cov(v.T) for v in (both, over_subjects, over_stimuli)])
    expected, of_pairs, _ = extract_variances(
        variances, nc_included=False, n_rdm=n_subjects, n_pattern=n
    )
    np.testing.assert_allclose(found.se**2, expected, rtol=1e-8)
    np.testing.assert_allclose(found.difference_se[[0, 0, 1], [1, 2, 2]] ** 2, of_pairs, rtol=1e-8)
    p = t_test_0(found.mean[None], expected, min(n, n_subjects) - 1)
    if name != "cosine":  # whose zero is not what unrelated RDMs score; ours is NaN
        np.testing.assert_allclose(found.p_zero, p, atol=1e-8)


def test_their_bootstrap_p_value_exceeds_one():
    """Theirs adds 1 / N to a share that can be 1; ours is (count + 1) / (N + 1)."""
    worse = np.full((20, 1), -0.5)
    theirs = zero_tests(worse, test_type="bootstrap")
    assert theirs[0] > 1.0
    assert bootstrap_test(worse, two_sided=False)[0] == 1.0
