"""Human IT and eight model RDMs of 92 images (Kriegeskorte et al. 2008) against known figures.

The figures were computed with rsatoolbox 0.3.2, sessions of a subject averaged.
"""

from __future__ import annotations

import numpy as np
import pytest

from probe import assets
from probe.inference import evaluate, noise_ceiling
from probe.recordings import load, loaders
from probe.similarity import compare

pytestmark = pytest.mark.usefixtures("mirror")

RHO_A = {
    "animacy": 0.3345, "monkeyIT": 0.2963, "HMAX": 0.1599,
    "V1": 0.0265, "Silhouette": 0.0966, "RADON": 0.0381,
}  # fmt: skip


@pytest.fixture(name="human")
def _human():
    return load("it").rdms()[1]


@pytest.fixture(name="models")
def _models():
    return loaders.kriegeskorte_models(assets.fetch)


@pytest.mark.parametrize(
    ("comparator", "lower", "upper"),
    [
        ("spearman", 0.3723, 0.6657),
        ("rho-a", 0.3723, 0.6657),
        ("tau-a", 0.2539, 0.4767),
        ("pearson", 0.3944, 0.6804),
        # rsatoolbox, whose pool of whitened RDMs is not the best: .4298, .6958 and .6647, .8173.
        ("whitened-pearson", 0.4284, 0.6966),
        ("whitened-cosine", 0.6652, 0.8177),
    ],
)
def test_noise_ceiling(human, comparator, lower, upper):
    assert noise_ceiling(human, comparator) == pytest.approx((lower, upper), abs=5e-5)


@pytest.mark.parametrize("model", RHO_A)
def test_model_rho_a(human, models, model):
    assert compare(models[model], human, "rho-a").mean() == pytest.approx(RHO_A[model], abs=5e-5)


TAU_A = {
    "animacy": 0.2230, "monkeyIT": 0.2009, "HMAX": 0.1073,
    "V1": 0.0179, "Silhouette": 0.0647, "RADON": 0.0259,
}  # fmt: skip


@pytest.mark.parametrize("model", TAU_A)
def test_model_tau_a(human, models, model):
    assert compare(models[model], human, "tau-a").mean() == pytest.approx(TAU_A[model], abs=5e-5)


def test_spearman_flatters_categories(human, models):
    """Animacy has two distances only: Spearman divides by their small spread."""
    assert compare(models["animacy"], human, "spearman").mean() == pytest.approx(0.386, abs=5e-4)
    untied = models["HMAX"]
    assert compare(untied, human, "spearman").mean() == pytest.approx(RHO_A["HMAX"], abs=5e-4)


def test_monkey_and_categories_are_significant_and_nothing_exceeds_the_ceiling(human, models):
    found = evaluate(np.stack(list(models.values())), human, "rho-a", n_resamples=999)
    named = dict(zip(models, range(len(models)), strict=True))
    assert (found.p_zero_holm[[named["animacy"], named["monkeyIT"]]] < 0.01).all()
    assert found.mean.argmax() in (named["animacy"], named["FaceBodyManmadeNatobj"])
    assert found.mean.max() < noise_ceiling(human, "rho-a")[1]
