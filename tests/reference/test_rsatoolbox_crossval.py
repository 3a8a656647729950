"""Cross-validation of models with parameters against rsatoolbox 0.3.2."""

from __future__ import annotations

import numpy as np
import pytest
from rsatoolbox.inference import crossval
from rsatoolbox.inference.crossvalsets import sets_k_fold, sets_k_fold_pattern
from rsatoolbox.model import ModelFixed, ModelInterpolate, ModelSelect, ModelWeighted
from rsatoolbox.model.fitter import (
    fit_interpolate,
    fit_mock,
    fit_optimize_positive,
    fit_regress_nn,
    fit_select,
)
from rsatoolbox.rdm import RDMs
from rsatoolbox.util.inference_util import default_k_pattern

from probe.inference.crossvalidation import crossvalidated_scores, default_n_folds
from probe.inference.flexible import Model, fitted_weights
from probe.inference.resampling import Units
from probe.similarity import COMPARATORS, compare

THEIRS = {
    "pearson": "corr",
    "cosine": "cosine",
    "whitened-pearson": "corr_cov",
    "whitened-cosine": "cosine_cov",
    "spearman": "spearman",
    "rho-a": "rho-a",
    "tau-a": "tau-a",
}
EXACT = ("pearson", "cosine", "whitened-pearson", "whitened-cosine")
N, K = 19, 3  # folds of unequal size


def rdms(n_rdms, seed):
    x = np.random.default_rng(seed).normal(size=(n_rdms, N, 6))
    i, j = np.triu_indices(N, 1)
    return ((x[:, i] - x[:, j]) ** 2).mean(axis=2)


COMPONENTS = rdms(4, 0)
DATA = COMPONENTS[1] + 0.6 * COMPONENTS[2] + 0.8 * rdms(4, 1)


def ours(fit, name, folds, other_subjects=False):
    """Scores (S,) and bounds (2, S)."""
    model = Model(COMPONENTS[:1] if fit == "fixed" else COMPONENTS, fit)
    comparator = COMPARATORS[name]
    a, b = comparator.prepare(model.rdms), comparator.prepare(DATA)
    scores, bounds = crossvalidated_scores(
        [model], a, b, comparator, Units.of(b.pairs, None), np.ones((1, N), dtype=int),
        folds[None, None], other_subjects=other_subjects,
    )  # fmt: skip
    return scores[0, 0, 0], bounds[0, 0]


def their_model(fit):
    if fit == "fixed":
        return ModelFixed("m", COMPONENTS[0]), fit_mock
    return {
        "selection": (ModelSelect("m", COMPONENTS), fit_select),
        # Smaller ones: their regression ends only if a gradient falls below 2e-14, in any unit.
        "weighted": (ModelWeighted("m", 1e-3 * COMPONENTS), fit_regress_nn),
        "interpolation": (ModelInterpolate("m", COMPONENTS), fit_interpolate),
    }[fit]


def over_stimuli():
    """Their sets, and the same as one fold per stimulus."""
    train, test, ceiling = sets_k_fold_pattern(RDMs(DATA), k=K, random=False)
    folds = np.full(N, -1)
    for fold, (_, members) in enumerate(test):
        folds[members] = fold
    return train, test, ceiling, folds


@pytest.mark.parametrize("fit", ["fixed", "selection", "weighted"])
@pytest.mark.parametrize("name", EXACT)
def test_folds_of_stimuli(name, fit):
    train, test, ceiling, folds = over_stimuli()
    model, fitter = their_model(fit)
    theirs = crossval(model, RDMs(DATA), train, test, ceiling, THEIRS[name], fitter=[fitter])
    scores, bounds = ours(fit, name, folds)
    # They solve for V⁻¹ r by conjugate gradients, to five digits.
    tolerance = 1e-4 if name.startswith("whitened") else 1e-10
    assert scores.mean() == pytest.approx(theirs.evaluations.mean(), abs=tolerance)
    their_bounds = np.mean(theirs.noise_ceiling, axis=1)
    if name.startswith("whitened"):
        # They pool RDMs scaled to one length before whitening, which is not the best pool there is.
        np.testing.assert_allclose(bounds.mean(axis=1), their_bounds, rtol=0, atol=2e-3)
        assert bounds[1].mean() >= their_bounds[1]
    else:
        np.testing.assert_allclose(bounds.mean(axis=1), their_bounds, rtol=0, atol=tolerance)


@pytest.mark.parametrize("fit", ["fixed", "selection"])
@pytest.mark.parametrize("name", ["spearman", "rho-a", "tau-a"])
def test_folds_of_stimuli_by_ranks(name, fit):
    """No weights: their regression is for cosines only, and their search has no gradient to go."""
    train, test, ceiling, folds = over_stimuli()
    model, fitter = their_model(fit)
    theirs = crossval(model, RDMs(DATA), train, test, ceiling, THEIRS[name], fitter=[fitter])
    scores, bounds = ours(fit, name, folds)
    assert scores.mean() == pytest.approx(theirs.evaluations.mean(), abs=1e-12)
    np.testing.assert_allclose(
        bounds.mean(axis=1), np.mean(theirs.noise_ceiling, axis=1), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", ["pearson", "cosine"])
def test_interpolation(name):
    """They find t by a search that ends five digits behind the point."""
    train, test, ceiling, folds = over_stimuli()
    model, fitter = their_model("interpolation")
    theirs = crossval(model, RDMs(DATA), train, test, ceiling, THEIRS[name], fitter=[fitter])
    scores, _ = ours("interpolation", name, folds)
    assert scores.mean() == pytest.approx(theirs.evaluations.mean(), abs=1e-4)
    their_t = fitter(model, RDMs(DATA), method=THEIRS[name])
    our_t = fitted_weights(Model(COMPONENTS, "interpolation"), DATA, name)
    np.testing.assert_allclose(our_t, their_t, rtol=0, atol=1e-4)
    in_sample = [compare(t @ COMPONENTS, DATA, name).mean() for t in (our_t, their_t)]
    assert in_sample[0] >= in_sample[1] - 1e-14


@pytest.mark.parametrize("fit", ["fixed", "selection", "weighted"])
@pytest.mark.parametrize("name", ["pearson", "cosine"])
def test_folds_of_stimuli_and_subjects(name, fit):
    """Each subject is scored with a fit to the others, on stimuli that had no part in it either."""
    data = RDMs(DATA)
    train, test, ceiling = sets_k_fold(data, k_rdm=len(DATA), k_pattern=K, random=False)
    folds = np.full(N, -1)
    for fold, (_, members) in enumerate(test[:K]):
        folds[members] = fold
    model, fitter = their_model(fit)
    theirs = crossval(model, data, train, test, ceiling, THEIRS[name], fitter=[fitter])
    scores, _ = ours(fit, name, folds, other_subjects=True)
    by_subject = theirs.evaluations.reshape(len(DATA), K).mean(axis=1)
    np.testing.assert_allclose(scores, by_subject, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["pearson", "cosine"])
def test_weights(name):
    model, data = ModelWeighted("m", 1e-3 * COMPONENTS), RDMs(DATA)
    ours = fitted_weights(Model(COMPONENTS, "weighted"), DATA, name)
    regression = fit_regress_nn(model, data, method=THEIRS[name])
    np.testing.assert_allclose(ours / np.linalg.norm(ours), regression, rtol=0, atol=1e-12)
    search = fit_optimize_positive(ModelWeighted("m", COMPONENTS), data, method=THEIRS[name])
    np.testing.assert_allclose(ours / np.linalg.norm(ours), search, rtol=0, atol=1e-3)


def test_weights_by_ranks():
    """Least squares on ranks come as near to the best rank correlation as their search does."""
    model, data = ModelWeighted("m", COMPONENTS), RDMs(DATA)
    by_ranks = fitted_weights(Model(COMPONENTS, "weighted"), DATA, "spearman")
    search = fit_optimize_positive(model, data, method="spearman")
    scores = [compare(w @ COMPONENTS, DATA, "spearman").mean() for w in (by_ranks, search)]
    assert scores[0] >= scores[1] - 0.01


def test_no_positive_component():
    """Their weights are all 0, and their score NaN; here the best component is left."""
    against = COMPONENTS.max() - COMPONENTS[1:3]
    theirs = fit_regress_nn(ModelWeighted("m", 1e-3 * against), RDMs(DATA), method="corr")
    assert not theirs.any()
    weights = fitted_weights(Model(against, "weighted"), DATA, "pearson")
    assert sorted(weights) == [0.0, 1.0]


def test_number_of_folds():
    assert [default_n_folds(n) for n in range(6, 60)] == [
        default_k_pattern(n) for n in range(6, 60)
    ]
