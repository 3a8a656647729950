"""Designs in which something is missing, doubled or constant: a clear error, or a value that holds.

Every message names what is wrong; nothing warns, and no number leaves its range.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.inference import TESTS, evaluate, noise_ceiling, select_on_halves
from probe.similarity import COMPARATORS, compare, rdm
from probe.similarity.pairs import complete_pairs, n_conditions, restrict

NAMES = tuple(COMPARATORS)
QUICK = tuple(n for n in NAMES if n != "bures")


def patterns(rng, n, n_neuroids, kind):
    x = rng.normal(size=(n, n_neuroids))
    if kind == "duplicates":
        x[1::2] = x[: n - 1 : 2][: len(x[1::2])]
    if kind == "rounded":
        x = np.round(x)
    if kind == "one stands out":
        x[1:] = x[1] + 1e-3 * x[1:]
    if kind == "all alike":
        x[:] = x[0]
    return x


KINDS = st.sampled_from(["random", "duplicates", "rounded", "one stands out", "all alike"])


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10**6), n=st.integers(2, 9), n_neuroids=st.integers(1, 4),
    n_subjects=st.integers(1, 3), of_models=KINDS, of_data=KINDS, name=st.sampled_from(QUICK),
    resample=st.sampled_from(["stimuli", "subjects", "both", None]), test=st.sampled_from(TESTS),
    variance=st.sampled_from(["corrected", "bootstrap"]), n_missing=st.integers(0, 6),
    grouped=st.booleans(),
)  # fmt: skip
def test_an_error_that_says_why_or_numbers_in_range(
    seed, n, n_neuroids, n_subjects, of_models, of_data, name, resample, test, variance, n_missing,
    grouped,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    models = np.stack([rdm(patterns(rng, n, n_neuroids, of_models), "euclidean") for _ in range(2)])
    data = np.stack(
        [rdm(patterns(rng, n, n_neuroids, of_data), "euclidean") for _ in range(n_subjects)]
    )
    data[0, rng.permutation(data.shape[1])[:n_missing]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, said = _result_or_message(
            models, data, name, resample=resample, test=test, variance=variance,
            groups=np.arange(n) // 2 if grouped else None, n_resamples=12, seed=seed,
        )  # fmt: skip
    if found is None:
        assert "\n" not in said
        words = ("constant", "too few", "NaN", "needs", "choose")
        assert any(word in said for word in words), said
        return
    assert (np.abs(found.scores) <= 1.0).all()
    for of in ("zero", "ceiling", "pairs"):
        for corrected in ("", "_fdr", "_holm"):
            p = getattr(found, f"p_{of}{corrected}")
            p = p[np.isfinite(p)]
            assert ((p > 0.0) & (p <= 1.0)).all() or (found.test == "t" or of != "zero")
            assert ((p >= 0.0) & (p <= 1.0)).all()
    known = np.isfinite(found.se)
    assert (found.se[known] >= 0.0).all()
    assert (found.ci_low[known] <= found.mean[known] + 1e-12).all()
    assert (found.ci_high[known] >= found.mean[known] - 1e-12).all()
    if resample is not None and n_subjects > 1:
        jackknife = resample != "subjects" and variance == "corrected"
        lost = jackknife and constant_without_one(models, data, name, grouped)
        assert np.array_equal(known, ~np.broadcast_to(lost, known.shape))
    lower, upper = found.ceiling
    if n_subjects == 1 or others_agree_on_nothing(data, name):
        assert np.isnan(lower)
    elif name not in ("tau-a", "tau-b"):
        assert lower <= upper + 1e-9
    else:
        assert np.isfinite(lower)


def constant_without_one(models, data, name, grouped):
    """For each model: without some stimulus (or group), it or a subject has no similarity left."""
    n = n_conditions(models.shape[1])
    units = np.arange(n) // 2 if grouped else np.arange(n)
    known = np.isfinite(data).all(axis=0)
    i, j = np.triu_indices(n, 1)
    lost = np.zeros(len(models), dtype=bool)
    for unit in np.unique(units):
        left = known & (units[i] != unit) & (units[j] != unit)
        lost |= [undefined(model[left], name) for model in models]
        lost |= any(undefined(subject[left], name) for subject in data)
    return lost


def others_agree_on_nothing(data, name):
    """Of the subjects without one, the pool is constant."""
    pairs = complete_pairs([data])
    data = restrict(data, pairs)
    pools = [COMPARATORS[name].pool(np.delete(data, s, axis=0), pairs) for s in range(len(data))]
    return any(undefined(pool, name) for pool in pools)


def undefined(values, name):
    """Whether distances have no similarity to others: too few, or constant.

    Of constant ones rho-a and tau-a are 0, what they are on average if ties break at random.
    """
    if len(values) < 2:
        return True
    if name in ("rho-a", "tau-a"):
        return False
    if "cosine" in name:
        return not values.any()
    return np.ptp(values) <= 1e-12 * np.abs(values).max()


def _result_or_message(*args, **options):
    try:
        return evaluate(*args, **options), None
    except ValueError as error:
        return None, str(error)


def world(n=12, n_subjects=3, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 6))
    models, data = (
        np.stack([rdm(shared + rng.normal(size=(n, 6)), "euclidean") for _ in range(k)])
        for k in (3, n_subjects)
    )
    return models, data


@pytest.mark.parametrize("name", NAMES)
class TestNamedOnes:
    def test_three_conditions(self, name):
        models, data = world(3)
        assert np.isfinite(compare(models, data, name)).all()
        assert np.isfinite(noise_ceiling(data, name)).all()
        found = evaluate(models, data, name, resample="subjects", test="t", n_resamples=10)
        assert np.isfinite(found.se).all()
        with pytest.raises(ValueError, match="3 stimuli are too few to resample; at least 5"):
            evaluate(models, data, name)
        with pytest.raises(ValueError, match="too few to split"):
            select_on_halves(models, data, name)

    def test_two_subjects(self, name):
        models, data = world(n_subjects=2)
        found = evaluate(models, data, name, resample="both", n_resamples=20)
        assert np.isfinite(found.ci_low).all()
        assert np.isfinite(found.ceiling).all()

    def test_duplicate_stimuli(self, name):
        """Distances of 0 between copies are distances like others."""
        rng = np.random.default_rng(0)
        x = np.repeat(rng.normal(size=(6, 5)), 2, axis=0)
        models = np.stack([rdm(x, "euclidean"), rdm(rng.normal(size=(12, 5)), "euclidean")])
        found = evaluate(models, world()[1], name, n_resamples=30)
        assert np.isfinite(found.p_zero).all()
        if name not in ("rho-a", "tau-a"):  # of which ties take something
            assert compare(models[0], models[0], name) == pytest.approx(1.0, abs=1e-7)

    def test_all_nan_subject(self, name):
        models, data = world()
        data[1] = np.nan
        for work in (lambda: evaluate(models, data, name), lambda: noise_ceiling(data, name)):
            with pytest.raises(ValueError, match="subject 1 has no distances: all are NaN"):
                work()

    def test_constant_rdm(self, name):
        models, data = world()
        data[2] = 0.0
        with pytest.raises(ValueError, match="subject 2 is constant"):
            evaluate(models, data, name)

    def test_one_condition_drawn_many_times(self, name):
        """A resample without two distinct conditions has no pairs: no score."""
        models, data = world()
        c = COMPARATORS[name]
        counts = np.zeros((5, 12), dtype=int)
        counts[:, 3] = 12
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scores, bounds = c.resample(
                c.prepare(models), c.prepare(data), counts, [np.ones((5, 3))]
            )
        assert np.isnan(scores).all()
        assert np.isnan(bounds).all()

    def test_one_neuroid(self, name):
        rng = np.random.default_rng(0)
        models = np.stack([rdm(rng.normal(size=(12, 1)), "euclidean") for _ in range(2)])
        found = evaluate(models, world()[1], name, n_resamples=20)
        assert np.isfinite(found.mean).all()
