"""Noise ceilings: closed forms, bounds, invariances, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.inference import noise_ceiling
from probe.similarity import COMPARATORS, compare

NAMES = tuple(COMPARATORS)


def subjects(seed, n_subjects=4, n=10, noise=0.5):
    rng = np.random.default_rng(seed)
    n_pairs = n * (n - 1) // 2
    return rng.random(n_pairs) + noise * rng.random((n_subjects, n_pairs))


@pytest.mark.parametrize("name", NAMES)
def test_subjects_who_agree(name):
    lower, upper = noise_ceiling(np.tile(subjects(0, 1), (3, 1)), name)
    assert (lower, upper) == pytest.approx((1.0, 1.0), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_two_subjects(name):
    """The lower bound is how alike they are; of Pearson and cosine, the upper is √((1 + r) / 2)."""
    data = subjects(0, 2)
    r = compare(data[0], data[1], name)
    lower, upper = noise_ceiling(data, name)
    assert lower == pytest.approx(r, abs=1e-12)
    if name in ("pearson", "cosine"):
        assert upper == pytest.approx(np.sqrt((1 + r) / 2), abs=1e-12)


def test_pearson_from_z_scores():
    data = subjects(0, 5)
    z = stats.zscore(data, axis=1)
    by_hand = [
        [np.corrcoef(np.delete(z, s, axis=0).mean(axis=0), z[s])[0, 1] for s in range(5)],
        [np.corrcoef(z.mean(axis=0), z[s])[0, 1] for s in range(5)],
    ]
    assert noise_ceiling(data, "pearson") == pytest.approx(np.mean(by_hand, axis=1), abs=1e-12)


def test_a_mean_of_raw_rdms_is_no_upper_bound_for_ranks():
    rng = np.random.default_rng(0)
    data = subjects(0, 3) ** np.array([[1.0], [1.0], [20.0]])  # one subject on a skewed scale
    data[2] = rng.permutation(data[2]) * 1000.0
    upper = noise_ceiling(data, "spearman")[1]
    assert compare(data.mean(axis=0), data, "spearman").mean() < upper - 0.05


@given(
    seed=st.integers(0, 10**6),
    # Of tau and Bures the optimal pool is not known.
    name=st.sampled_from([n for n in NAMES if n not in ("tau-a", "tau-b", "bures")]),
)
def test_upper_bounds_every_model(seed, name):
    data = subjects(seed)
    rng = np.random.default_rng(seed + 1)
    models = np.concatenate([data, data.mean(axis=0)[None], rng.random((10, data.shape[1]))])
    lower, upper = noise_ceiling(data, name)
    assert lower <= upper + 1e-12
    assert compare(models, data, name).mean(axis=1).max() <= upper + 1e-12


@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES))
def test_subjects_in_another_order_and_on_another_scale(seed, name):
    data = subjects(seed)
    rng = np.random.default_rng(seed + 1)
    changed = (data * rng.uniform(0.01, 100.0, (4, 1)))[rng.permutation(4)]
    assert noise_ceiling(changed, name) == pytest.approx(noise_ceiling(data, name), abs=1e-10)


@pytest.mark.parametrize("data", [subjects(0, 1), subjects(0, 1)[0]])
def test_one_subject(data):
    with pytest.raises(ValueError, match="at least two subjects"):
        noise_ceiling(data)


@pytest.mark.parametrize("name", ["spearman", "rho-a", "pearson"])
@pytest.mark.parametrize("bad", [0, 2])
def test_a_bad_subject_is_named(name, bad):
    data = subjects(0)
    data[bad] = 0.3
    with pytest.raises(ValueError, match=f"subject {bad} is constant"):
        noise_ceiling(data, name)
    data[bad] = np.nan
    with pytest.raises(ValueError, match=f"subject {bad} has no distances"):
        noise_ceiling(data, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_stimulus_that_one_subject_lacks_is_left_out(name):
    data = subjects(0, n=9)
    kept = np.arange(9) != 2
    i, j = np.triu_indices(9, 1)
    there = kept[i] & kept[j]
    expected = noise_ceiling(data[:, there], name)
    data[1, ~there] = np.nan
    assert noise_ceiling(data, name) == pytest.approx(expected, abs=1e-10)


def test_unknown_comparator():
    with pytest.raises(ValueError, match="'tau': expected one of"):
        noise_ceiling(subjects(0), "tau")
