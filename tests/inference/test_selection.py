"""Choosing a model on one half of the stimuli, and reporting it on the other."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial.distance import squareform

from probe.inference import select_on_halves
from probe.inference import selection as module
from probe.similarity import COMPARATORS, compare, rdm


def world(seed=0, n=21, n_models=4):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 6))
    data = [rdm(shared + rng.normal(size=(n, 6))) for _ in range(2)]
    models = [rdm(shared + level * rng.normal(size=(n, 6))) for level in np.arange(1, n_models + 1)]
    return np.stack(models), np.stack(data)


def recorded_halves(monkeypatch):
    """Let the halves that are drawn be looked at."""
    seen = []
    original = module.resampled_scores

    def spy(models, data, comparator, counts, *others):
        seen.append(counts.copy())
        return original(models, data, comparator, counts, *others)

    monkeypatch.setattr(module, "resampled_scores", spy)
    return seen


@pytest.mark.parametrize("name", COMPARATORS)
@pytest.mark.parametrize("n", [10, 21])
def test_by_hand(name, n, monkeypatch):
    models, data = world(n=n)
    seen = recorded_halves(monkeypatch)
    found = select_on_halves(models, data, name, n_splits=10, seed=4)
    (halves,) = seen
    assert set(np.unique(halves)) == {0, 1}
    np.testing.assert_array_equal(halves[0::2] + halves[1::2], 1)
    assert set(halves.sum(axis=1)) <= {n // 2, n - n // 2}
    for k, half in enumerate(halves > 0):
        own, other = (
            compare(_part(models, part), _part(data, part), name).mean(axis=1)
            for part in (half, ~half)
        )
        assert found.chosen[k] == own.argmax()
        assert found.scores[k] == pytest.approx(other[own.argmax()], abs=1e-12)


def _part(rdms, kept):
    return np.stack([squareform(squareform(r)[np.ix_(kept, kept)]) for r in rdms])


def test_summaries():
    found = module.Selection(np.array([2, 0, 2, 1]), np.array([0.1, 0.2, 0.3, 0.6]))
    assert found.best == 2
    assert found.mean == pytest.approx(0.3)
    np.testing.assert_array_equal(found.shares(4), [0.25, 0.25, 0.5, 0.0])
    assert module.Selection(np.array([1, 0]), np.array([0.1, 0.2])).best == 0


def test_the_best_model_is_found():
    found = select_on_halves(*world(n=60), n_splits=40)
    assert found.best == 0
    assert found.shares(4).sum() == pytest.approx(1.0)


def test_no_circularity():
    """The best of many models of noise looks good on the data it was chosen with, not on others."""
    rng = np.random.default_rng(0)
    chosen_with, reported = [], []
    for seed in range(20):
        models = np.stack([rdm(rng.normal(size=(20, 6))) for _ in range(30)])
        data = rdm(rng.normal(size=(20, 6)))
        chosen_with.append(compare(models, data).max())
        reported.append(select_on_halves(models, data, n_splits=20, seed=seed).mean)
    assert np.mean(chosen_with) > 0.1
    assert abs(np.mean(reported)) < 0.03


def test_same_seed_same_bytes_and_no_global_state():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    a, b, c = (select_on_halves(*world(), n_splits=10, seed=seed) for seed in (1, 1, 2))
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
    assert a.scores.tobytes() == b.scores.tobytes()
    assert a.chosen.tobytes() == b.chosen.tobytes()
    assert (a.scores != c.scores).any()


def test_a_half_that_leaves_the_chosen_model_constant_is_left_out():
    odd = np.arange(20) == 0
    model = rdm(odd[:, None].astype(float), "euclidean")
    noise = np.random.default_rng(0).random(190)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The data are the model and a little noise: it is chosen wherever it has a score, and has
        # then none on the other half.
        found = select_on_halves(
            np.stack([noise[::-1], model]), model + 0.01 * noise, "pearson", n_splits=10
        )
    assert (found.chosen == 1).sum() == 5
    np.testing.assert_array_equal(np.isnan(found.scores), found.chosen == 1)
    assert found.mean == pytest.approx(found.scores[found.chosen == 0].mean())


def test_groups_stay_together(monkeypatch):
    models, data = world(n=24)
    seen = recorded_halves(monkeypatch)
    groups = np.arange(24) // 2
    select_on_halves(models, data, groups=groups, n_splits=10)
    np.testing.assert_array_equal(seen[0][:, ::2], seen[0][:, 1::2])
    assert set(seen[0].sum(axis=1)) == {12}


class TestErrors:
    def test_no_model_has_a_score(self):
        model = rdm((np.arange(20) == 0)[:, None].astype(float), "euclidean")
        with pytest.raises(ValueError, match="constant on a half"):
            select_on_halves(model, world(n=20)[1])

    @pytest.mark.parametrize("n", [5, 8, 9])
    def test_too_few_stimuli(self, n):
        with pytest.raises(ValueError, match=f"{n} stimuli are too few to split; at least 10"):
            select_on_halves(*world(n=n))

    @pytest.mark.parametrize("n_splits", [0, 1, 7, -2])
    def test_splits(self, n_splits):
        with pytest.raises(ValueError, match=f"n_splits={n_splits}: expected an even number"):
            select_on_halves(*world(), n_splits=n_splits)

    def test_other_stimuli(self):
        with pytest.raises(ValueError, match="models have 15 stimuli, the data 20"):
            select_on_halves(world(n=15)[0], world(n=20)[1])

    def test_bad_rdms_are_named(self):
        models, data = world()
        models[2] = np.nan
        with pytest.raises(ValueError, match="model 2 has no distances"):
            select_on_halves(models, data)
