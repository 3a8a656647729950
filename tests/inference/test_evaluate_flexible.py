"""Models with parameters through `evaluate`: scored on stimuli that they were not fitted to."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from scipy import stats

from probe.inference import Model, evaluate, fitted_weights
from probe.inference.crossvalidation import crossvalidated_scores, random_folds
from probe.inference.evaluate import N_DEALS
from probe.inference.resampling import Units
from probe.similarity import COMPARATORS, rdm


def world(n=30, n_subjects=3, n_components=4, seed=0):
    """Subjects whose RDMs are a sum of the first two components, and noise."""
    rng = np.random.default_rng(seed)
    components = np.stack([rdm(rng.normal(size=(n, 4)), "euclidean") for _ in range(n_components)])
    truth = components[0] + 2.0 * components[1]
    data = truth + 1.5 * truth.std() * rng.normal(size=(n_subjects, truth.size))
    return components, data


def test_scores_by_hand():
    components, data = world()
    found = evaluate(
        [Model(components, "weighted"), components[1]], data, "pearson", cv=3, resample=None,
        n_resamples=10, seed=4,
    )  # fmt: skip
    c = COMPARATORS["pearson"]
    a, b = c.prepare(np.concatenate([components, components[1:2]])), c.prepare(data)
    models = [Model(components, "weighted"), Model(components[1])]
    once = np.ones((1, 30), dtype=int)
    folds = random_folds(once, 3, N_DEALS, np.random.default_rng(4).spawn(3)[2])
    scores, bounds = crossvalidated_scores(models, a, b, c, Units.of(b.pairs, None), once, folds)
    np.testing.assert_allclose(found.scores, scores[0].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.ceiling, bounds[0].mean(axis=(0, 2)), rtol=1e-12)


@pytest.mark.parametrize("resample", ["stimuli", "subjects", "both"])
@pytest.mark.parametrize("name", ["pearson", pytest.param("spearman", marks=pytest.mark.slow)])
def test_the_right_sum_beats_its_parts_and_noise_gains_nothing(resample, name):
    components, data = world()
    rng = np.random.default_rng(1)
    noise = np.stack([rdm(rng.normal(size=(30, 4)), "euclidean") for _ in range(6)])
    found = evaluate(
        [Model(components, "weighted"), components[0], Model(noise, "weighted"),
         Model(np.concatenate([noise, components[1:2]]), "selection")],
        data, name, resample=resample, n_resamples=60,
    )  # fmt: skip
    weighted, part, of_noise, selected = found.mean
    assert weighted > selected > part > of_noise
    assert found.p_zero[0] == 1 / 61
    assert found.p_zero[2] > 0.02
    assert found.p_pairs[0, 1] < 0.05
    assert (found.se > 0).all()
    assert found.mean[0] <= found.ceiling[1]
    in_sample = evaluate(fitted_weights(Model(noise, "weighted"), data, name) @ noise, data, name)
    assert in_sample.mean[0] > of_noise, "a fit to the data it is scored on looks better"


def test_same_seed_same_bytes_and_other_folds_with_another():
    components, data = world()
    model = [Model(components, "interpolation"), Model(components, "selection")]
    first, again, other = (evaluate(model, data, n_resamples=5, seed=s) for s in (0, 0, 1))
    assert first.se.tobytes() == again.se.tobytes()
    assert first.scores.tobytes() == again.scores.tobytes()
    assert (first.scores != other.scores).any()


def test_groups_are_held_out_together():
    """Copies of a stimulus in the other fold would be a model's best friends."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(12, 3)), 3, axis=0)
    components = np.stack([rdm(rng.normal(size=(36, 3)), "euclidean") for _ in range(8)])
    data = rdm(x + 0.1 * rng.normal(size=x.shape), "euclidean")[None]
    together, apart = (
        evaluate(
            [Model(components, "weighted")], data, "pearson", groups=g, resample=None, n_resamples=9
        )
        for g in (np.repeat(np.arange(12), 3), None)
    )
    assert together.scores != pytest.approx(apart.scores)


def test_fits_that_subjects_share_count_in_the_variance():
    """Pseudo-values, from the scores without each subject, whose fits are others."""
    components, data = world(n_subjects=5)
    models = [Model(components, "weighted"), components[0]]
    found = evaluate(models, data, "pearson", resample="subjects", cv=3, n_resamples=10)
    without = [
        evaluate(models, np.delete(data, s, axis=0), "pearson", resample="subjects", cv=3,
                 n_resamples=10).mean
        for s in range(5)
    ]  # fmt: skip
    pseudo = 5 * found.mean - 4 * np.array(without)
    np.testing.assert_allclose(found.se, stats.sem(pseudo), rtol=1e-8)
    np.testing.assert_allclose(found.se[1], stats.sem(found.scores[1]), rtol=1e-8)  # not fitted


@pytest.mark.slow
def test_permutations_without_a_score_are_no_evidence():
    """A model of three pairs is constant in many folds, and more so when labels are permuted."""
    hits = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sparse = np.ones((30, 30))
        for k in rng.permutation(30).reshape(-1, 2)[:3]:
            sparse[tuple(k)] = sparse[tuple(k[::-1])] = 0.0
        sparse = sparse[np.triu_indices(30, 1)]
        data = np.stack([rdm(rng.normal(size=(30, 5)), "euclidean") for _ in range(2)])
        parts = Model(rng.random((2, data.shape[1])), "weighted")
        with contextlib.suppress(ValueError):  # it has no score in any fold
            found = evaluate([sparse, parts], data, resample=None, n_resamples=19, seed=seed)
            hits.append(found.p_zero[0] <= 0.05)
    assert len(hits) >= 6
    assert np.mean(hits) < 0.4


def test_errors():
    components, data = world(n=10)
    with pytest.raises(ValueError, match="n_folds=5 is too many for 10 stimuli"):
        evaluate([Model(components, "weighted")], data, cv=5)
    with pytest.raises(ValueError, match="has 4 RDMs; a model with fit='fixed' has one"):
        evaluate([components], data)
    with pytest.raises(ValueError, match="fit 'linear': expected one of"):
        Model(components, "linear")
