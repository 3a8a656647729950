"""RDM metrics and noise precisions against rsatoolbox 0.3.2, and where it is otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.data.noise import (
    cov_from_measurements,
    cov_from_residuals,
    prec_from_residuals,
    prec_from_unbalanced,
)
from rsatoolbox.rdm import calc_rdm, calc_rdm_unbalanced

from probe.similarity import rdm
from probe.similarity.crossvalidated import crossvalidated_rdm
from probe.similarity.noise import noise_covariance, noise_precision, residuals_from_repeats

METHODS = {
    "shrinkage-diagonal": "shrinkage_diag",
    "ledoit-wolf": "shrinkage_eye",
    "full": "full",
    "diagonal": "diag",
}
CV = {"crossnobis": "crossnobis", "poisson": "poisson_cv"}


def responses(kind, n=12, p=9, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 3.0, (n, p))
    return {"random": x, "tied": np.round(x / 4), "large mean": 1000.0 + x}[kind]


def precision_of(p=9, seed=0):
    return noise_precision(np.random.default_rng(seed).normal(size=(40, p)))


def dataset(x, condition=None, partition=None):
    descriptors = {} if condition is None else {"condition": condition}
    if partition is not None:
        descriptors["partition"] = partition
    return Dataset(x.astype("f8"), obs_descriptors=descriptors)


def balanced(kind="random", n=6, m=4, k=1, p=9):
    """Give ``k`` measurements of each condition in each partition, in any order."""
    rng = np.random.default_rng(1)
    order = rng.permutation(n * m * k)
    condition, partition, _ = (i.ravel()[order] for i in np.indices((n, m, k)))
    return responses(kind, len(order), p), condition, partition


def theirs(x, condition, partition, metric, function=calc_rdm, **options):
    given = dataset(x, condition, partition)
    if partition is not None:
        options["cv_descriptor"] = "partition"
    found = function(given, method=CV[metric], descriptor="condition", **options)
    order = np.argsort(found.pattern_descriptors["condition"])
    return found.get_matrices()[0][np.ix_(order, order)][np.triu_indices(len(order), 1)]


kinds = pytest.mark.parametrize("kind", ["random", "tied", "large mean"])


@kinds
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_mahalanobis(kind, dtype):
    x, precision = responses(kind).astype(dtype), precision_of()
    expected = calc_rdm(dataset(x), method="mahalanobis", noise=precision).dissimilarities[0]
    # Theirs multiplies responses as they are: a mean of 1000 costs six digits.
    tolerance = 1e-8 if kind == "large mean" else 1e-12
    got = rdm(x, "mahalanobis", precision=precision)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    diagonal = calc_rdm(dataset(x), method="mahalanobis", noise=np.diag(precision.diagonal()))
    got = rdm(x, "mahalanobis", precision=precision.diagonal())
    np.testing.assert_allclose(got, diagonal.dissimilarities[0], rtol=tolerance, atol=tolerance)


@kinds
@pytest.mark.parametrize("prior", [(1.0, 0.1), (2.0, 0.7)])
def test_poisson(kind, prior):
    x = responses(kind)
    expected = calc_rdm(
        dataset(x), method="poisson", prior_lambda=prior[0], prior_weight=prior[1]
    ).dissimilarities[0]
    tolerance = 1e-8 if kind == "large mean" else 1e-12
    got = rdm(x, "poisson", prior=prior)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@kinds
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("whitened", [True, False])
def test_crossnobis_of_balanced_designs(kind, k, whitened):
    x, condition, partition = balanced(kind, k=k)
    precision = precision_of() if whitened else None
    ours = crossvalidated_rdm(x, condition, partition, precision=precision)[0]
    tolerance = 1e-7 if kind == "large mean" else 1e-11
    for function in (calc_rdm, calc_rdm_unbalanced):
        expected = theirs(x, condition, partition, "crossnobis", function, noise=precision)
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


def test_crossnobis_with_a_precision_per_partition():
    x, condition, partition = balanced()
    precisions = [precision_of(seed=seed) for seed in range(4)]
    expected = theirs(x, condition, partition, "crossnobis", noise=list(precisions))
    ours = crossvalidated_rdm(x, condition, partition, precision=precisions)[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("metric", CV)
@pytest.mark.filterwarnings("ignore:cv_descriptor not set")
def test_independent_measurements_of_unbalanced_designs(metric):
    """Without partitions, with 2 to 5 measurements of a condition."""
    condition = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [2, 3, 4, 5, 2]))
    x = responses("random", len(condition))
    options = {"noise": precision_of()} if metric == "crossnobis" else {}
    expected = theirs(x, condition, None, metric, calc_rdm_unbalanced, **options)
    precision = options.get("noise")
    ours = crossvalidated_rdm(x, condition, None, metric, precision=precision)[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("design", ["a condition missing", "measured twice"])
def test_what_a_partition_adds_must_cancel(design):
    """In unbalanced designs, theirs lets the patterns of partitions into the distances.

    Without noise, but with a pattern that each partition adds, the distances are those of the
    signal.
    """
    condition, partition = (i.ravel() for i in np.indices((5, 4)))
    cell = np.flatnonzero((condition == 2) & (partition == 1))
    rows = np.arange(20)
    rows = np.delete(rows, cell) if design == "a condition missing" else np.append(rows, cell)
    condition, partition = condition[rows], partition[rows]
    signal = responses("random", 5, seed=1)
    arguments = (signal[condition] + responses("random", 4)[partition], condition, partition)
    truth = rdm(signal, "euclidean")
    np.testing.assert_allclose(crossvalidated_rdm(*arguments)[0], truth, rtol=1e-12)
    other = theirs(*arguments, "crossnobis", calc_rdm_unbalanced)
    assert np.abs(other - truth).max() > 0.5
    if design == "a condition missing":  # which their other function cannot do
        with pytest.raises(ValueError, match=r"broadcast|mismatch"):
            theirs(*arguments, "crossnobis", calc_rdm)
    else:
        assert np.abs(theirs(*arguments, "crossnobis", calc_rdm) - truth).max() > 0.05


def folds_of_poisson(x, condition, partition):
    """Mean rates of the other partitions, times log rates of one, for each partition."""
    found = []
    for fold in np.unique(partition):
        train, test = (
            np.stack([x[here & (condition == c)].mean(axis=0) for c in np.unique(condition)])
            for here in (partition != fold, partition == fold)
        )
        rates, logs = (train + 0.1) / 1.1, np.log((test + 0.1) / 1.1)
        i, j = np.triu_indices(len(rates), 1)
        found.append(((rates[i] - rates[j]) * (logs[i] - logs[j])).mean(axis=1))
    return np.array(found)


@pytest.mark.parametrize("k", [1, 2])
def test_crossvalidated_poisson_is_the_mean_of_the_folds(k):
    x, condition, partition = balanced(k=k)
    folds = folds_of_poisson(x, condition, partition)
    expected = theirs(x, condition, partition, "poisson")
    np.testing.assert_allclose(expected, folds[-1], rtol=1e-11)  # the last one alone
    ours = crossvalidated_rdm(x, condition, partition, "poisson")[0]
    np.testing.assert_allclose(ours, folds.mean(axis=0), rtol=1e-10, atol=1e-12)
    assert np.abs(ours - expected).max() > 0.01
    if k == 1:  # their other function has no folds
        other = theirs(x, condition, partition, "poisson", calc_rdm_unbalanced)
        np.testing.assert_allclose(ours, other, rtol=1e-10, atol=1e-12)


def test_crossvalidated_poisson_where_all_folds_are_alike():
    x = np.tile(responses("random", 6), (3, 1))
    condition, partition = np.tile(np.arange(6), 3), np.repeat(np.arange(3), 6)
    ours = crossvalidated_rdm(x, condition, partition, "poisson")[0]
    expected = theirs(x, condition, partition, "poisson")
    np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "p", "dof"), [(40, 9, None), (40, 9, 31), (8, 20, None)])
def test_noise(method, n, p, dof):
    rng = np.random.default_rng(0)
    residuals = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + 3.0
    expected = cov_from_residuals(residuals.copy(), dof, METHODS[method])
    ours = noise_covariance(residuals, method, dof)
    ours = np.diag(ours) if method == "diagonal" else ours
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)
    if (method, n) == ("full", 8):  # singular: an error here, numbers of 1e15 there
        assert np.abs(prec_from_residuals(residuals.copy(), dof, METHODS[method])).max() > 1e12
        with pytest.raises(ValueError, match="singular"):
            noise_precision(residuals, method, dof)
        return
    expected = prec_from_residuals(residuals.copy(), dof, METHODS[method])
    ours = noise_precision(residuals, method, dof)
    ours = np.diag(ours) if method == "diagonal" else ours
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def test_noise_of_repetitions():
    repeated = responses("random", 7 * 4).reshape(7, 4, 9)
    repeated[3, 2:] = np.nan
    residuals, dof = residuals_from_repeats(repeated)
    there = ~np.isnan(repeated).any(axis=2)
    given = dataset(repeated[there], np.nonzero(there)[0])
    for method, name in METHODS.items():
        ours = noise_precision(residuals, method, dof)
        ours = np.diag(ours) if method == "diagonal" else ours
        expected = prec_from_unbalanced(given, "condition", method=name)
        np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-9)


def test_their_degrees_of_freedom_of_balanced_repetitions():
    """``cov_from_measurements`` counts (stimuli − 1) × repetitions for stimuli × (repetitions − 1).

    Of 6 stimuli shown twice, the covariance is 6 / 10 of what it should be.
    """
    repeated = responses("random", 12).reshape(6, 2, 9)
    residuals, dof = residuals_from_repeats(repeated)
    given = dataset(repeated.reshape(12, 9), np.repeat(np.arange(6), 2))
    expected = cov_from_measurements(given, "condition", method="full")
    ours = noise_covariance(residuals, "full", dof)
    np.testing.assert_allclose(expected, ours * dof / 10, rtol=1e-10)
