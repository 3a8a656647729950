"""Crossvalidated RDMs against loops over the definition, and what they are for: no bias."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from probe.similarity import rdm
from probe.similarity.crossvalidated import CROSSVALIDATED_METRICS, crossvalidated_rdm
from probe.similarity.rdms import BadPatternError

PRIOR = (1.0, 0.1)


def spd(seed, p):
    a = np.random.default_rng(seed).normal(size=(p, p + 3))
    return a @ a.T / p


def design(seed, n=5, m=4, p=6, most=3, missing=0.3):
    """Between 0 and ``most`` measurements of each condition in each partition, shuffled."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, (n, m))
    counts[rng.random((n, m)) < missing] = 0
    counts[:2, :2] = 1  # so that one pair at least has two partitions
    counts[:, 0] = np.maximum(counts[:, 0], 1)  # and every condition is there
    condition, partition = (
        np.repeat(index.ravel(), counts.ravel()) for index in np.indices((n, m))
    )
    order = rng.permutation(len(condition))
    x = rng.gamma(2.0, 3.0, (len(condition), p))
    return x, condition[order], partition[order]


def root(precision, p):
    if precision is None:
        return np.eye(p)
    return np.diag(precision) if np.ndim(precision) == 1 else precision


def by_loops(x, condition, partition, metric="crossnobis", precision=None, prior=PRIOR):
    """The definition: mean over ordered pairs of partitions that have both conditions."""
    labels, p = np.unique(condition), x.shape[1]
    rate, weight = prior
    out = []
    for i, j in itertools.combinations(labels, 2):
        terms = []
        for k, m in itertools.permutations(np.unique(partition), 2):
            cells = [(condition == c) & (partition == q) for q in (k, m) for c in (i, j)]
            if not all(cell.any() for cell in cells):
                continue
            a, b, c, d = (x[cell].mean(axis=0) for cell in cells)
            if metric == "crossnobis":
                terms.append((a - b) @ root(precision, p) @ (c - d) / p)
            else:
                a, b, c, d = ((v + rate * weight) / (1 + weight) for v in (a, b, c, d))
                terms.append((a - b) @ (np.log(c) - np.log(d)) / p)
        out.append(np.mean(terms) if terms else np.nan)
    return np.array(out)


def independent_by_loops(x, condition, metric="crossnobis", precision=None):
    """Mean over ordered pairs of different measurements, within and between conditions."""
    labels, p = np.unique(condition), x.shape[1]
    if metric == "poisson":
        left = (x + 0.1) / 1.1
        right = np.log(left)
    else:
        left, right = x, x @ root(precision, p)

    def mean_product(i, j):
        pairs = itertools.product(np.flatnonzero(condition == i), np.flatnonzero(condition == j))
        products = [left[a] @ right[b] / p for a, b in pairs if a != b]
        return np.mean(products) if products else np.nan

    return np.array(
        [
            mean_product(i, i) + mean_product(j, j) - mean_product(i, j) - mean_product(j, i)
            for i, j in itertools.combinations(labels, 2)
        ]
    )


metrics = pytest.mark.parametrize("metric", CROSSVALIDATED_METRICS)
sizes = {"seed": st.integers(0, 10**6), "n": st.integers(2, 6), "m": st.integers(2, 5)}


class TestDefinition:
    def test_two_partitions_by_hand(self):
        x = np.array([[1.0, 2.0], [4.0, 4.0], [0.0, 3.0], [2.0, 2.0]])
        # Differences (-3, -2) and (-2, 1): product 6 - 2 = 4, over two neuroids.
        distances, labels = crossvalidated_rdm(x, ["b", "a", "b", "a"], [1, 1, 2, 2])
        np.testing.assert_allclose(distances, [2.0])
        assert labels.tolist() == ["a", "b"]

    @metrics
    @given(missing=st.sampled_from([0.0, 0.3]), block_bytes=st.integers(1, 3000), **sizes)
    def test_loops(self, metric, missing, block_bytes, seed, n, m):
        x, condition, partition = design(seed, n, m, missing=missing)
        result, labels = crossvalidated_rdm(
            x, condition, partition, metric, block_bytes=block_bytes
        )
        np.testing.assert_array_equal(labels, np.arange(n))
        expected = by_loops(x, condition, partition, metric)
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-11)

    @given(kind=st.sampled_from(["full", "diagonal"]), missing=st.sampled_from([0.0, 0.3]), **sizes)
    def test_precision(self, kind, missing, seed, n, m):
        x, condition, partition = design(seed, n, m, missing=missing)
        precision = spd(seed, 6) if kind == "full" else np.random.default_rng(seed).gamma(1, size=6)
        result, _ = crossvalidated_rdm(x, condition, partition, precision=precision)
        expected = by_loops(x, condition, partition, precision=precision)
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-10)

    @metrics
    @given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
    def test_independent_measurements(self, metric, seed, n):
        x, condition, _ = design(seed, n, 2, missing=0.5)
        result, _ = crossvalidated_rdm(x, condition, None, metric)
        expected = independent_by_loops(x, condition, metric)
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-11)
        if metric == "crossnobis":
            result, _ = crossvalidated_rdm(x, condition, None, precision=spd(1, 6))
            expected = independent_by_loops(x, condition, precision=spd(1, 6))
            np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-10)

    @pytest.mark.parametrize("missing", [0.0, 0.3])
    def test_a_precision_per_partition(self, missing):
        x, condition, partition = design(3, n=5, m=4, missing=missing)
        precisions = [spd(seed, 6) for seed in range(4)]
        result, _ = crossvalidated_rdm(x, condition, partition, precision=precisions)
        means = np.zeros(10)
        counts = np.zeros(10)
        for k, m in itertools.combinations(range(4), 2):
            both = np.isin(partition, (k, m))
            covariances = [np.linalg.inv(precisions[q]) for q in (k, m)]
            d = np.full((5, 5), np.nan)
            found = np.unique(condition[both])
            d[np.ix_(found, found)] = squareform(
                by_loops(
                    x[both],
                    condition[both],
                    partition[both],
                    precision=np.linalg.inv(np.mean(covariances, axis=0)),
                )
            )
            d = d[np.triu_indices(5, 1)]
            means += np.nan_to_num(d)
            counts += np.isfinite(d)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(result, means / counts, rtol=1e-9)
        same, _ = crossvalidated_rdm(x, condition, partition, precision=[precisions[0]] * 4)
        one, _ = crossvalidated_rdm(x, condition, partition, precision=precisions[0])
        np.testing.assert_allclose(same, one, rtol=1e-9)

    @metrics
    def test_the_prior(self, metric):
        x, condition, partition = design(0)
        other = crossvalidated_rdm(x, condition, partition, metric, prior=(3.0, 0.5))[0]
        expected = by_loops(x, condition, partition, metric, prior=(3.0, 0.5))
        np.testing.assert_allclose(other, expected, rtol=1e-10)

    def test_a_pair_that_shares_one_partition_is_missing(self):
        x = np.random.default_rng(0).normal(size=(9, 4))
        condition = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
        partition = np.array([0, 1, 2, 0, 1, 2, 2, 3, 4])
        result, _ = crossvalidated_rdm(x, condition, partition)
        np.testing.assert_array_equal(np.isnan(result), [False, True, True])

    def test_a_condition_measured_once_is_missing(self):
        x = np.random.default_rng(0).normal(size=(5, 4))
        result, _ = crossvalidated_rdm(x, [0, 0, 1, 1, 2], None)
        np.testing.assert_array_equal(np.isnan(result), [False, True, True])


class TestInvariances:
    @pytest.mark.parametrize("missing", [0.0, 0.3])
    def test_patterns_of_partitions_cancel(self, missing):
        """Also where conditions are missing; large ones cost no digits."""
        x, condition, partition = design(1, n=6, m=4, missing=missing)
        added = x + 1e6 * np.random.default_rng(1).normal(size=(4, 6))[partition]
        result = crossvalidated_rdm(added, condition, partition)[0]
        expected = crossvalidated_rdm(x, condition, partition)[0]
        np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-8)

    def test_the_same_measurement_again_is_a_distance_without_noise(self):
        x = np.random.default_rng(0).gamma(2.0, 3.0, (7, 9))
        thrice, condition, partition = np.tile(x, (3, 1)), np.tile(np.arange(7), 3), np.repeat(
            np.arange(3), 7
        )  # fmt: skip
        n = spd(0, 9)
        for got, wanted in (
            (crossvalidated_rdm(thrice, condition, partition), rdm(x, "euclidean")),
            (
                crossvalidated_rdm(thrice, condition, partition, precision=n),
                rdm(x, "mahalanobis", precision=n),
            ),
            (crossvalidated_rdm(thrice, condition, partition, "poisson"), rdm(x, "poisson")),
        ):
            np.testing.assert_allclose(got[0], wanted, rtol=1e-10)

    @metrics
    @given(seed=st.integers(0, 10**6))
    def test_order_and_names_do_not_matter(self, metric, seed):
        x, condition, partition = design(seed)
        order = np.random.default_rng(seed).permutation(len(x))
        names = np.array(["a", "b", "c", "d", "e"])
        runs = np.array([7.5, 1.0, -2.0, 100.0])
        result, labels = crossvalidated_rdm(
            x[order], names[condition[order]], runs[partition[order]], metric
        )
        assert labels.tolist() == names.tolist()
        expected = crossvalidated_rdm(x, condition, partition, metric)[0]
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-11)


class TestExpectation:
    """Fixed seeds; bounds of 4 standard errors of the mean over independent simulations."""

    @staticmethod
    def simulate(patterns, rng, m=4, missing=0.0, run=0.0):
        n, p = patterns.shape
        mixing = np.linalg.cholesky(np.linalg.inv(spd(5, p)))
        condition, partition = (index.ravel() for index in np.indices((n, m)))
        keep = (rng.random(len(condition)) >= missing) | (partition < 2)
        x = patterns[condition] + rng.normal(size=(n * m, p)) @ mixing.T
        x += run * rng.normal(size=(m, p))[partition]
        return x[keep], condition[keep], partition[keep]

    @pytest.mark.parametrize(("missing", "run"), [(0.0, 0.0), (0.3, 0.0), (0.3, 3.0)])
    def test_no_signal_no_distance(self, missing, run):
        rng = np.random.default_rng(0)
        n, p = 6, 8
        found = []
        for _ in range(400):
            x, condition, partition = self.simulate(np.zeros((n, p)), rng, 4, missing, run)
            found.append(crossvalidated_rdm(x, condition, partition, precision=spd(5, p))[0])
        found = np.array(found)
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0)) < 4.0 * error).all()
        # What it is for: the plain distance of the means is all noise, 2σ²/m = 0.5.
        assert error.max() < 0.05

    def test_signal_without_bias(self):
        rng = np.random.default_rng(1)
        patterns = rng.normal(size=(5, 8))
        truth = rdm(patterns, "mahalanobis", precision=spd(5, 8))
        found = []
        for independent in [False, True] * 300:
            x, condition, partition = self.simulate(patterns, rng, 3)
            partitions = None if independent else partition
            found.append(crossvalidated_rdm(x, condition, partitions, precision=spd(5, 8))[0])
        for k in (0, 1):
            values = np.array(found[k::2])
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
            assert (np.abs(values.mean(axis=0) - truth) < 4.0 * error).all()

    def test_poisson_without_signal(self):
        rng = np.random.default_rng(2)
        condition, partition = (index.ravel() for index in np.indices((4, 3)))
        found = np.array(
            [
                crossvalidated_rdm(rng.poisson(6.0, (12, 10)), condition, partition, "poisson")[0]
                for _ in range(400)
            ]
        )
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0)) < 4.0 * error).all()


class TestWhereItIsComputed:
    @metrics
    @pytest.mark.parametrize("missing", [0.0, 0.3])
    @pytest.mark.parametrize("partitioned", [True, False])
    def test_torch_on_the_cpu(self, metric, missing, partitioned):
        x, condition, partition = design(2, missing=missing)
        arguments = (condition, partition if partitioned else None, metric)
        precision = spd(0, 6) if metric == "crossnobis" else None
        expected = crossvalidated_rdm(x, *arguments, precision=precision)[0]
        for patterns, device in ((torch.from_numpy(x), None), (x, "cpu")):
            result = crossvalidated_rdm(patterns, *arguments, precision=precision, device=device)[0]
            np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)
        single = crossvalidated_rdm(x, *arguments, precision=precision, dtype="float32")[0]
        assert single.dtype == np.float64
        np.testing.assert_allclose(single, expected, atol=1e-4 * np.nanmax(np.abs(expected)))
        assert (single != expected).any()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @metrics
    def test_cuda(self, metric):
        x, condition, partition = design(2)
        expected = crossvalidated_rdm(x, condition, partition, metric)[0]
        result = crossvalidated_rdm(x, condition, partition, metric, device="cuda")[0]
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)


def wrong(**changes):
    x, condition, partition = design(0)
    arguments = {"x": x, "conditions": condition, "partitions": partition}
    return {**arguments, **changes}


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"metric": "euclidean"}, "'euclidean': expected one of crossnobis, poisson"),
            ({"x": np.ones(4)}, "expected"),
            (
                {"conditions": [0, 1]},
                r"conditions has shape \(2,\): expected one label per measure",
            ),
            (
                {"partitions": [0, 1]},
                r"partitions has shape \(2,\): expected one label per measure",
            ),
            ({"metric": "poisson", "precision": np.eye(6)}, "takes no precision"),
            ({"precision": np.eye(5)}, r"shape \(5, 5\): expected \(6, 6\)"),
            ({"precision": np.triu(np.ones((6, 6)))}, "not symmetric"),
            ({"precision": -np.eye(6)}, "not positive definite"),
            ({"precision": np.zeros(6)}, "not positive definite"),
            ({"precision": np.full((6, 6), np.nan)}, "NaN"),
            ({"precision": [np.eye(6)] * 3}, "3 precisions for 4 partitions"),
            ({"precision": [np.eye(6)], "partitions": None}, "needs partitions"),
            ({"dtype": "float16"}, "dtype 'float16': expected one of"),
            ({"metric": "poisson", "prior": (-1.0, 0.1)}, "prior"),
        ],
    )
    def test_arguments(self, changes, said):
        with pytest.raises(ValueError, match=said):
            crossvalidated_rdm(**wrong(**changes))

    def test_nothing_to_compare(self):
        x = np.random.default_rng(0).normal(size=(4, 3))
        with pytest.raises(ValueError, match="only one partition, '3'"):
            crossvalidated_rdm(x, [0, 0, 1, 1], [3, 3, 3, 3])
        with pytest.raises(ValueError, match="only one condition, 'a'"):
            crossvalidated_rdm(x, list("aaaa"), [0, 1, 2, 3])
        with pytest.raises(ValueError, match="no two conditions share two partitions"):
            crossvalidated_rdm(x, [0, 0, 1, 1], [0, 1, 2, 3])
        with pytest.raises(ValueError, match="no two conditions share two partitions"):
            crossvalidated_rdm(x, [0, 0, 1, 1], [0, 1, 2, 3], precision=[np.eye(3)] * 4)
        with pytest.raises(ValueError, match="measured twice"):
            crossvalidated_rdm(x, [0, 1, 2, 2], None)
        with pytest.raises(ValueError, match="conditions holds NaN"):
            crossvalidated_rdm(x, [0, 0, 1, np.nan], [0, 1, 0, 1])

    @metrics
    @pytest.mark.parametrize("partitioned", [True, False])
    def test_values(self, metric, partitioned):
        arguments = wrong(metric=metric)
        if not partitioned:
            arguments["partitions"] = None
        arguments["x"][3, 2] = np.nan
        with pytest.raises(BadPatternError, match="measurement 3 has a NaN"):
            crossvalidated_rdm(**arguments)
        arguments["x"][3, 2] = -1.0
        if metric == "poisson":
            with pytest.raises(BadPatternError, match="measurement 3 has a negative response"):
                crossvalidated_rdm(**arguments)
            arguments["x"][:] = 0.0
            with pytest.raises(ValueError, match="needs a prior above zero"):
                crossvalidated_rdm(**arguments, prior=(0.0, 0.0))
        else:
            arguments["x"] *= 1e200
            with pytest.raises(ValueError, match="too large"):
                crossvalidated_rdm(**arguments)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_input_is_left_alone(seed):
    x, condition, partition = design(seed)
    before = x.copy()
    for metric in CROSSVALIDATED_METRICS:
        crossvalidated_rdm(x, condition, partition, metric)
        crossvalidated_rdm(torch.from_numpy(x), condition, partition, metric)
    np.testing.assert_array_equal(x, before)
