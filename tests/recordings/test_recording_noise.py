"""Distances of a recording that reckon with its noise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from probe.errors import ProbeError
from probe.recordings import Recording, load
from probe.similarity import rdm
from probe.similarity.crossvalidated import crossvalidated_rdm
from probe.similarity.noise import noise_precision, residuals_from_repeats
from probe.stimuli import StimulusSet


def recording(n_stimuli=6, n_repetitions=4, n_neuroids=5, missing=(), seed=0, **attrs):
    rng = np.random.default_rng(seed)
    values = rng.gamma(3.0, 2.0, (n_stimuli, 1, 2 * n_neuroids))
    values = values + rng.random((n_stimuli, n_repetitions, 2 * n_neuroids))
    for stimulus, repetition in missing:
        values[stimulus, repetition] = np.nan
    ids = [f"s{k}" for k in range(n_stimuli)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "subject": ("neuroid", ["A"] * n_neuroids + ["B"] * n_neuroids),
            "region": ("neuroid", ["V4"] * 2 * n_neuroids),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(2 * n_neuroids)]),
        },
        attrs={"name": "made/1", **attrs},
    )
    return Recording(data, StimulusSet(ids, [np.zeros((2, 2, 3), np.uint8)] * n_stimuli, "made"))


@pytest.mark.parametrize("noise", ["shrinkage-diagonal", "diagonal"])
@pytest.mark.parametrize("missing", [(), ((1, 3), (4, 0), (4, 3))])
def test_one_rdm_per_subject(noise, missing):
    made = recording(missing=missing)
    for metric in ("mahalanobis", "crossnobis"):
        labels, rdms = made.rdms(metric, noise=noise)
        assert labels == ["A", "B"]
        for mine, subject in zip(rdms, (slice(5), slice(5, 10)), strict=True):
            values = made.data["responses"].values[:, :, subject]
            precision = noise_precision(*residuals_from_repeats(values)[:1], noise,
                                        residuals_from_repeats(values)[1])  # fmt: skip
            if metric == "mahalanobis":
                expected = rdm(np.nanmean(values, axis=1), metric, precision=precision)
            else:
                there = np.argwhere(~np.isnan(values[:, :, 0]))
                x = np.array([values[s, r] for s, r in there])
                expected = crossvalidated_rdm(x, *there.T, precision=precision)[0]
            np.testing.assert_allclose(mine, expected, rtol=1e-12)
    means = made.mean_responses().values
    np.testing.assert_allclose(made.rdms("poisson")[1][1], rdm(means[:, 5:], "poisson"))


def test_the_estimator_of_the_noise_matters():
    made = recording()
    assert np.abs(made.rdms("crossnobis")[1] - made.rdms("crossnobis", noise="full")[1]).max() > 0.1


def test_a_pair_without_two_common_repetitions_is_missing():
    made = recording(missing=((0, 0), (0, 1), (1, 2), (1, 3)))
    found = made.rdms("crossnobis")[1]
    assert np.isnan(found).sum(axis=0).tolist() == [2] + [0] * 14
    assert np.isfinite(made.rdms("mahalanobis")[1]).all()


def test_a_repetition_that_some_neuroids_lack_does_not_count():
    made = recording()
    made.data["responses"][2, 3, 1] = np.nan
    other = recording(missing=((2, 3),))
    np.testing.assert_allclose(made.rdms("crossnobis")[1][0], other.rdms("crossnobis")[1][0])


def test_too_few_repetitions():
    for metric in ("mahalanobis", "crossnobis"):
        with pytest.raises(ProbeError, match=r"no stimulus has two complete repetitions.*'euclid"):
            recording(n_repetitions=1).rdms(metric)
        with pytest.raises(ProbeError, match="it holds means over them"):
            recording(n_repetitions=1, averaged=True).rdms(metric)
    made = recording(missing=[(k, r) for k in (2, 3) for r in (0, 1, 2)])
    with pytest.raises(
        ProbeError,
        match=r"^recording 'made/1', subject 'A': stimulus 's2' \(and 1 more\) has fewer",
    ):
        made.rdms("crossnobis")
    assert np.isfinite(made.rdms("mahalanobis")[1]).all()


def test_bad_values():
    made = recording()
    with pytest.raises(
        ProbeError, match=r"metric 'crossnobi': expected one of .*did you mean 'crossnobis'"
    ):
        made.rdms("crossnobi")
    with pytest.raises(ProbeError, match="method 'lw': expected one of"):
        made.rdms("crossnobis", noise="lw")
    with pytest.raises(ProbeError, match=r"subject 'A'.*singular: use method="):
        recording(n_stimuli=3, n_repetitions=2).rdms("mahalanobis", noise="full")
    made.data["responses"][:, :, 7] = 1.0
    with pytest.raises(ProbeError, match=r"subject 'B': neuroid 2 .* has no noise"):
        made.rdms("crossnobis")
    made.data["responses"][:, :, 8] -= 100.0
    with pytest.raises(ProbeError, match=r"subject 'B': stimulus 's0' \(and 5 more\) has a negati"):
        made.rdms("poisson")


@pytest.mark.usefixtures("mirror")
def test_cowley2023():
    """What the plain distance of the means has too much is the noise: 2 / repetitions."""
    v4 = load("v4", accept_licence=True)
    crossnobis, mahalanobis, euclidean = (
        v4.rdms(metric)[1][0] for metric in ("crossnobis", "mahalanobis", "euclidean")
    )
    assert np.isfinite(crossnobis).all()
    counts = np.isfinite(v4.data["responses"].values[:, :, 0]).sum(axis=1)
    too_much = 2.0 * np.mean(1.0 / counts)
    assert mahalanobis.mean() - crossnobis.mean() == pytest.approx(too_much, rel=0.03)
    assert (crossnobis < 0.0).mean() < 1e-4
    assert spearmanr(crossnobis, mahalanobis)[0] > 0.98
    assert spearmanr(crossnobis, euclidean)[0] > 0.85
