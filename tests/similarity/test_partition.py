"""Partial RSA and variance partitioning against regressions by least squares and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from probe.similarity import compare
from probe.similarity.partition import PARTIAL, partial, variance_partition

N_PAIRS = 66  # of 12 conditions
few = settings(max_examples=30, deadline=None)  # ranks are compiled at the first call
seeds = st.integers(0, 10**6)


def rdms(seed, k, tied=False):
    """RDMs that have something in common."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, size=(k, N_PAIRS)) + rng.uniform(0, 2, (k, 1)) * rng.gamma(2.0, size=66)
    return np.round(values) if tied else values


def residuals(v, given):
    design = np.column_stack([np.ones(len(v)), *given])
    return v - design @ np.linalg.lstsq(design, v, rcond=None)[0]


def r2(v, given):
    return 1 - np.var(residuals(v, given)) / np.var(v)


class TestPartial:
    @few
    @given(seed=seeds, k=st.integers(1, 4), tied=st.booleans())
    @pytest.mark.parametrize("comparator", ["pearson", "spearman"])
    def test_correlation_of_residuals(self, comparator, seed, k, tied):
        a, b, *given = rdms(seed, 2 + k, tied)
        found = partial(a, b, given, comparator)
        if comparator == "spearman":
            a, b, *given = (rankdata(v) for v in (a, b, *given))
        wanted = np.corrcoef(residuals(a, given), residuals(b, given))[0, 1]
        assert found == pytest.approx(wanted, abs=1e-10)
        assert type(found) is float

    @few
    @given(seed=seeds, tied=st.booleans())
    @pytest.mark.parametrize("comparator", PARTIAL)
    def test_closed_form_for_one(self, comparator, seed, tied):
        a, b, g = rdms(seed, 3, tied)
        ab, ag, bg = (compare(*two, comparator) for two in ((a, b), (a, g), (b, g)))
        wanted = (ab - ag * bg) / np.sqrt((1 - ag**2) * (1 - bg**2))
        assert partial(a, b, g, comparator) == pytest.approx(wanted, abs=1e-12)

    @pytest.mark.parametrize("comparator", PARTIAL)
    def test_of_a_common_cause(self, comparator):
        """a and b are alike through g alone."""
        rng = np.random.default_rng(0)
        g = rng.normal(size=4950)
        a, b = g + rng.normal(size=(2, 4950))
        assert compare(a, b, comparator) > 0.4
        assert partial(a, b, g, comparator) == pytest.approx(0.0, abs=0.04)

    def test_rho_a_is_expected_under_random_tie_breaking(self):
        rng = np.random.default_rng(0)
        a, b, g = rdms(0, 3, tied=True)
        mean = np.zeros((3, 3))
        for _ in range(3000):
            broken = [np.lexsort((rng.random(N_PAIRS), v)).argsort() for v in (a, b, g)]
            mean += np.corrcoef(broken) / 3000
        (ab, ag), bg = mean[0, 1:], mean[1, 2]
        wanted = (ab - ag * bg) / np.sqrt((1 - ag**2) * (1 - bg**2))
        assert partial(a, b, g, "rho-a") == pytest.approx(wanted, abs=0.01)

    @few
    @given(seed=seeds)
    @pytest.mark.parametrize("comparator", PARTIAL)
    def test_in_range_and_symmetric(self, comparator, seed):
        a, b, *given = rdms(seed, 4)
        found = partial(a, b, given, comparator)
        assert -1 <= found <= 1
        assert partial(b, a, given[::-1], comparator) == pytest.approx(found, abs=1e-12)
        assert partial(a, a, given, comparator) == pytest.approx(1.0)

    @pytest.mark.parametrize("comparator", ["pearson", "spearman"])
    def test_given_twice_is_given_once(self, comparator):
        a, b, g = rdms(0, 3)
        twice = partial(a, b, [g, 2 * g], comparator)
        assert twice == pytest.approx(partial(a, b, g, comparator), abs=1e-9)

    def test_missing_pairs_are_left_out_of_all(self):
        a, b, g = rdms(0, 3)
        known = np.ones(N_PAIRS, dtype=bool)
        known[[3, 10, 11]] = False
        wanted = np.corrcoef(*(residuals(v[known], [g[known]]) for v in (a, b)))[0, 1]
        a[3], g[10], b[11] = np.nan, np.nan, np.nan
        assert partial(a, b, g, "pearson") == pytest.approx(wanted, abs=1e-12)

    @pytest.mark.parametrize("comparator", ["pearson", "spearman"])
    def test_nothing_left(self, comparator):
        a, b, g = rdms(0, 3)
        with pytest.raises(ValueError, match="explain a completely"):
            partial(3 * g + 1, b, [a, g], comparator)
        with pytest.raises(ValueError, match="explain b completely"):
            partial(a, g, g, comparator)

    def test_bad_input(self):
        a, b, g = rdms(0, 3)
        with pytest.raises(ValueError, match=r"'tau-a': expected one with a partial form: pearson"):
            partial(a, b, g, "tau-a")
        with pytest.raises(ValueError, match="'given 1' is constant"):
            partial(a, b, [g, np.ones(N_PAIRS)])
        with pytest.raises(ValueError, match="cannot be compared"):
            partial(a, b, g[:55])
        with pytest.raises(ValueError, match="a has shape"):
            partial(np.stack([a, b]), b, g)
        with pytest.raises(ValueError, match="infinite"):
            partial(a, b, np.where(g > 1, np.inf, g))


def by_component(table, subject=0):
    return table[table["subject"] == subject].set_index("component")["r2"]


class TestVariancePartition:
    @few
    @given(seed=seeds, k=st.integers(2, 4), ranks=st.booleans(), adjusted=st.booleans())
    def test_components_add_up(self, seed, k, ranks, adjusted):
        data, *predictors = rdms(seed, 1 + k)
        table = variance_partition(
            data, dict(zip("abcd", predictors, strict=False)), ranks=ranks, adjusted=adjusted
        )
        assert len(table) == 2**k - 1
        if ranks:
            data, *predictors = (rankdata(v) for v in (data, *predictors))
        full = r2(data, predictors)
        if adjusted:
            full = 1 - (1 - full) * (N_PAIRS - 1) / (N_PAIRS - k - 1)
        assert table["r2"].sum() == pytest.approx(full, abs=1e-10)
        np.testing.assert_allclose(table["r2_all"], full, rtol=0, atol=1e-10)
        # All components that a predictor is part of are what it explains alone.
        alone = r2(data, predictors[:1])
        if adjusted:
            alone = 1 - (1 - alone) * (N_PAIRS - 1) / (N_PAIRS - 2)
        has_a = table["component"].str.split(" & ").map(lambda names: "a" in names)
        assert table.loc[has_a, "r2"].sum() == pytest.approx(alone, abs=1e-10)

    @few
    @given(seed=seeds)
    def test_unique_is_what_the_regression_loses(self, seed):
        data, *predictors = rdms(seed, 5)
        table = variance_partition(data, dict(zip("abcd", predictors, strict=True)))
        found = by_component(table)
        for k, name in enumerate("abcd"):
            without = [p for j, p in enumerate(predictors) if j != k]
            lost = r2(data, predictors) - r2(data, without)
            assert found[name] == pytest.approx(lost, abs=1e-10)

    @few
    @given(seed=seeds)
    def test_three_predictors_by_hand(self, seed):
        """The seven regions as they are written out for three (Seibold & McPhee 1979)."""
        data, a, b, c = rdms(seed, 4)
        e = {
            "".join(names): r2(data, [{"a": a, "b": b, "c": c}[n] for n in names])
            for k in (1, 2, 3)
            for names in itertools.combinations("abc", k)
        }
        found = by_component(variance_partition(data, {"a": a, "b": b, "c": c}))
        wanted = {
            "a": e["abc"] - e["bc"],
            "b": e["abc"] - e["ac"],
            "c": e["abc"] - e["ab"],
            "a & b": e["ac"] + e["bc"] - e["c"] - e["abc"],
            "a & c": e["ab"] + e["bc"] - e["b"] - e["abc"],
            "b & c": e["ab"] + e["ac"] - e["a"] - e["abc"],
            "a & b & c": e["a"] + e["b"] + e["c"] - e["ab"] - e["ac"] - e["bc"] + e["abc"],
        }
        assert list(found.index) == list(wanted)
        np.testing.assert_allclose(found, list(wanted.values()), rtol=0, atol=1e-10)

    def test_a_known_truth(self):
        rng = np.random.default_rng(0)
        columns = np.column_stack([np.ones(66), rng.normal(size=(66, 4))])
        own_a, own_b, both, noise = np.linalg.qr(columns)[0].T[1:]  # uncorrelated
        data = own_a + own_b + both + noise  # a quarter each
        found = by_component(variance_partition(data, {"a": own_a, "b": own_b, "shared": both}))
        np.testing.assert_allclose(found, [0.25, 0.25, 0.25, 0, 0, 0, 0], atol=1e-12)

    def test_one_predictor_twice_has_nothing_of_its_own(self):
        data, a, _ = rdms(0, 3)
        found = by_component(variance_partition(data, {"once": a, "again": 3 * a + 1}))
        assert found["once"] == pytest.approx(0.0, abs=1e-9)
        assert found["again"] == pytest.approx(0.0, abs=1e-9)
        assert found["once & again"] == pytest.approx(r2(data, [a]), abs=1e-9)

    def test_suppression_is_negative(self):
        """b says nothing of the data, and rids a of what is not in the data."""
        rng = np.random.default_rng(0)
        data, b = np.linalg.qr(np.column_stack([np.ones(66), rng.normal(size=(66, 2))]))[0].T[1:]
        found = by_component(variance_partition(data, {"a": data + b, "b": b}))
        np.testing.assert_allclose(found, [1.0, 0.5, -0.5], atol=1e-12)

    def test_subjects_one_by_one(self):
        values = rdms(0, 5)
        predictors = {"a": values[3], "b": values[4]}
        table = variance_partition(values[:3], predictors)
        assert table["subject"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
        assert table["n_predictors"].tolist() == [1, 1, 2] * 3
        for s in range(3):
            single = by_component(variance_partition(values[s], predictors))
            np.testing.assert_allclose(by_component(table, s), single, atol=1e-12)

    def test_missing_pairs_are_left_out_of_all(self):
        data, a, b = rdms(0, 3)
        known = np.ones(N_PAIRS, dtype=bool)
        known[[0, 20]] = False
        full = r2(data[known], [a[known], b[known]])
        adjusted = 1 - (1 - full) * 63 / 61
        data[0], b[20] = np.nan, np.nan
        table = variance_partition(data, {"a": a, "b": b}, adjusted=True)
        assert table["r2"].sum() == pytest.approx(adjusted, abs=1e-12)

    def test_bad_input(self):
        data, a, b = rdms(0, 3)
        with pytest.raises(ValueError, match=r"1 predictors \(a\): expected 2 to 4"):
            variance_partition(data, {"a": a})
        with pytest.raises(ValueError, match="5 predictors"):
            variance_partition(data, dict.fromkeys("abcde", a))
        with pytest.raises(ValueError, match="'b' is constant"):
            variance_partition(data, {"a": a, "b": np.ones(N_PAIRS)})
        with pytest.raises(ValueError, match="'data 1' is constant"):
            variance_partition([data, np.ones(N_PAIRS)], {"a": a, "b": b})
        with pytest.raises(ValueError, match="cannot be compared"):
            variance_partition(data, {"a": a, "b": b[:55]})
        with pytest.raises(ValueError, match="b has shape"):
            variance_partition(data, {"a": a, "b": np.stack([a, b])})
        with pytest.raises(ValueError, match="3 pairs are too few for the adjusted"):
            variance_partition(data[:3], {"a": a[:3], "b": b[:3]}, adjusted=True)
