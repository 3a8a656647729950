"""The jackknife of ranks against resamples without each condition, and against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.inference import Model, evaluate
from probe.similarity import comparators, get_comparator, jackknife, rdm
from probe.similarity.jackknife import LeftOut, UnitRanks, left_out_products
from probe.similarity.lanes import LaneRanks, SortedPairs
from probe.similarity.pairs import Pairs

N = 12


def draw(seed, levels=None, missing=0):
    """Two RDMs over the pairs of 12 conditions, the second never tied, and the pairs."""
    rng = np.random.default_rng(seed)
    pairs = Pairs.all(N)
    pairs = pairs.take(np.sort(rng.permutation(len(pairs))[missing:]))
    rdms = rng.random((2, len(pairs)))
    if levels:
        rdms[0] = np.floor(levels * rdms[0]) / 7.0
    return rdms, pairs


def products(rdms, pairs, unit):
    """Both RDMs with both, without each unit."""
    left_out = LeftOut.of(pairs, unit)
    order = [SortedPairs.of(row, pairs.i, pairs.j) for row in rdms]
    data = [UnitRanks.of(row, left_out) for row in order]
    return order, [left_out_products(row, data, left_out) for row in order]


@given(
    seed=st.integers(0, 10**6),
    levels=st.sampled_from([None, 2, 4]),
    missing=st.sampled_from([0, 20]),
    n_units=st.sampled_from([N, 5]),
)
def test_products_are_those_of_resamples(seed, levels, missing, n_units):
    # 66 pairs are in as many blocks, so that nothing is lost.
    rdms, pairs = draw(seed, levels, missing)
    unit = np.arange(N) % n_units
    order, of_each = products(rdms, pairs, unit)
    for start in range(0, n_units, 8):
        units = np.arange(start, min(start + 8, n_units))
        expected = LaneRanks.of(order, pairs, (unit != units[:, None]).astype(int)).products(order)
        for m, sums in enumerate(of_each):
            np.testing.assert_allclose(sums.cross[units, 0], expected.cross[:, m], atol=1e-6)
            np.testing.assert_allclose(sums.of_models[units, 0], expected.of_models[:, m])
            np.testing.assert_allclose(sums.of_data[units], expected.of_data)


@pytest.mark.parametrize("n_blocks", [1, 8, 1024])
def test_ties_stay_in_a_block_and_others_have_its_size(n_blocks, monkeypatch):
    monkeypatch.setattr(jackknife, "N_BLOCKS", n_blocks)
    rdms, pairs = draw(0, levels=3)
    left_out = LeftOut.of(pairs, np.arange(N))
    tied, untied = (UnitRanks.of(SortedPairs.of(row, pairs.i, pairs.j), left_out) for row in rdms)
    for ranks in np.unique(tied.ranks):
        assert len(np.unique(tied.block[tied.ranks == ranks])) == 1
    assert np.bincount(untied.block).max() <= -(-len(pairs) // n_blocks)
    # Each is the mean of what it stands for.
    signs = np.sign(tied.ranks[:, None] - tied.ranks)
    of_pairs = np.zeros((N, len(pairs)))
    for k in range(N):
        of_pairs[k] = signs[:, (pairs.i == k) | (pairs.j == k)].sum(axis=1)
    for block, means in enumerate(tied.means):
        np.testing.assert_allclose(means, of_pairs[:, tied.block == block].mean(axis=1))


class TestLarge:
    """1,030 stimuli, 519 pairs in a block: the sums are no longer exact."""

    N = 1030

    def test_scores_are_those_without_each(self):
        rng = np.random.default_rng(0)
        patterns = rng.normal(size=(self.N, 20))
        patterns[:, 0] += np.arange(self.N) % 3 * 10
        patterns[7] += 30.0  # all of its distances are neighbours
        i, j = np.triu_indices(self.N, 1)
        models = np.stack(
            [
                rdm(patterns + rng.normal(size=patterns.shape), "euclidean"),
                (i % 3 != j % 3).astype(float),
            ]
        )
        data = rdm(patterns, "euclidean")
        chosen = get_comparator("spearman")
        prepared = chosen.prepare(models), chosen.prepare(data)
        score = chosen.without_each(*prepared, np.arange(self.N))
        for m, model in enumerate(models):
            scores = score(m)[:, 0]
            for k in (0, 7, self.N - 1):
                left = (i != k) & (j != k)
                expected = stats.spearmanr(model[left], data[left]).statistic
                assert scores[k] == pytest.approx(expected, abs=1e-9)

    def test_small_ones_are_resampled(self):
        chosen = get_comparator("spearman")
        prepared = chosen.prepare(draw(0)[0])
        assert chosen.without_each(prepared, prepared, np.arange(N)) is None


@pytest.mark.parametrize("comparator", ["spearman", "rho-a"])
@pytest.mark.parametrize("groups", [None, np.arange(N) // 2])
def test_evaluations_are_the_same(comparator, groups, monkeypatch):
    rdms, _ = draw(3, levels=4)
    models = np.stack([rdms[0], rdms[0] + 2.0 * rdms[1]])
    results = []
    for least in (2**19, 0):
        monkeypatch.setattr(comparators, "MANY_PAIRS", least)
        results.append(
            evaluate(
                models,
                rdms[1],
                comparator,
                resample="stimuli",
                groups=groups,
                n_resamples=50,
                seed=1,
            )
        )
    for name in ("mean", "se", "ci_low", "p_zero", "p_pairs"):
        expected, value = (getattr(result, name) for result in results)
        np.testing.assert_allclose(value, expected, rtol=1e-9, err_msg=name)


def test_fitted_models_are_resampled(monkeypatch):
    """Without a stimulus they are fitted anew."""
    rdms, _ = draw(3)
    models = [Model(rdms, "weighted"), rdms[0]]
    results = []
    for least in (2**19, 0):
        monkeypatch.setattr(comparators, "MANY_PAIRS", least)
        data = rdms[1] + 0.3 * rdms[0]
        results.append(evaluate(models, data, resample="stimuli", n_resamples=5, seed=1))
    np.testing.assert_array_equal(results[0].se, results[1].se)
    np.testing.assert_array_equal(results[0].p_pairs, results[1].p_pairs)
