from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.errors import ProbeError
from probe.tuning.published import (
    PROPERTIES,
    Published,
    distance,
    expected_distance,
    published,
)

DISTRIBUTIONS = [entry for entry in published() if entry.values.size]
HISTOGRAMS = [entry for entry in DISTRIBUTIONS if entry.counts is not None]


def name(entry: Published) -> str:
    return f"{entry.property}-{entry.area}-{entry.source.split()[0]}-{entry.neurons}"


def draw(entry: Published, n: int, seed: int) -> np.ndarray:
    """Draw from a published histogram, uniformly within its bins."""
    rng = np.random.default_rng(seed)
    assert entry.counts is not None
    bins = rng.choice(len(entry.counts), size=n, p=entry.counts / entry.counts.sum())
    return np.asarray(rng.uniform(entry.values[bins], entry.values[bins + 1]))


@pytest.mark.parametrize("entry", published(), ids=name)
def test_every_entry_says_what_it_is_and_where_it_was_read(entry: Published) -> None:
    assert entry.property in PROPERTIES
    assert entry.read_in
    assert entry.neurons
    assert entry.source.count("(") == 1
    values, shares = entry.cumulative
    assert (np.diff(values) > 0).all()
    assert (np.diff(shares) >= 0).all()
    assert ((shares >= 0) & (shares <= 1)).all()
    if entry.counts is not None:
        assert entry.counts.sum() == entry.n
        assert len(entry.counts) == len(values) - 1
        np.testing.assert_allclose(np.diff(shares), entry.counts / entry.counts.sum())
    known = values.size or np.isfinite([entry.mean, entry.median, *entry.range]).any()
    assert known


def test_types_of_neurons_add_up_to_all_of_them() -> None:
    entries = published("preferred_frequency", "V1")
    for where in ("fovea", "parafovea"):
        counts = {
            e.neurons: e.counts for e in entries if e.eccentricity == where and e.counts is not None
        }
        np.testing.assert_array_equal(counts["simple"] + counts["complex"], counts["all"])
    both = published("frequency_bandwidth_70", "V1")
    shared = [
        dict(zip(e.values[1:].round(3), e.counts, strict=True))
        for e in both
        if e.counts is not None
    ]
    for edge, count in shared[0].items():
        assert count == shared[1].get(edge, 0) + shared[2].get(edge, 0)


def test_bandwidths_are_octaves() -> None:
    all_neurons, simple, _ = published("frequency_bandwidth_70", "V1")
    # 50 % of the high cut-off is an octave below it; 28 of 73 neurons had narrower bandwidths.
    assert all_neurons.shares[all_neurons.values == 1.0] == pytest.approx(28 / 73)
    assert simple.shares[simple.values == 1.0] == pytest.approx(19 / 30)


@pytest.mark.parametrize("entry", HISTOGRAMS, ids=name)
def test_the_distance_is_scipys_where_the_published_distribution_is_known_finely(
    entry: Published,
) -> None:
    published_values = draw(entry, 2000, 1)
    sample = draw(entry, 300, 2) * 0.8
    ordered = np.sort(published_values)
    fine = replace(
        entry, values=ordered, shares=np.arange(1, 2001) / 2000, counts=None, n=2000, fold=""
    )
    between_neurons = stats.ks_2samp(sample, published_values).statistic
    assert distance(sample, fine) == pytest.approx(between_neurons, abs=1 / 2000 + 1 / 300)
    within = stats.kstest(
        sample, lambda x: np.interp(x, entry.values, entry.shares)
    ).statistic  # the gap is the same at the edges, and may be greater between them
    plain = replace(entry, fold="")
    assert distance(sample, plain) <= within + 1e-12


@pytest.mark.parametrize("entry", HISTOGRAMS, ids=name)
def test_a_sample_of_the_published_one_is_near_and_a_shifted_one_is_far(entry: Published) -> None:
    plain = replace(entry, fold="")
    limit = expected_distance(200, plain)
    draws = np.array([distance(draw(entry, 200, seed), plain) for seed in range(60)])
    # The neurons' own sampling is in the limit, but not in these draws: more than 95 % are below.
    assert np.mean(draws <= limit) > 0.95
    alone = expected_distance(200, replace(plain, n=None))
    assert 0.85 < np.mean(draws <= alone) <= 1.0
    spread = entry.values[-1] - entry.values[0]
    assert distance(draw(entry, 200, 0) + spread / 2, plain) > 2 * limit


def test_the_noise_is_that_of_a_proportion() -> None:
    (width,) = published("orientation_full_width", "V4")
    # Of a median alone: |k / n − ½| of a binomial.
    for n in (10, 100, 1000):
        gaps = np.abs(stats.binom(n, 0.5).rvs(40_000, random_state=1) / n - 0.5)
        assert expected_distance(n, width) == pytest.approx(
            np.quantile(gaps, 0.95, method="higher"), abs=1.01 / n
        )
    assert expected_distance(10, width, 0.5) < expected_distance(10, width, 0.99)
    suppression = published("suppression_index", "V1")[0]
    assert expected_distance(50, suppression) > expected_distance(5000, suppression)
    # However many units: the neurons were 190.
    assert expected_distance(10**6, suppression) == pytest.approx(
        expected_distance(190, replace(suppression, n=None)), abs=0.02
    )


def test_orientations_are_folded_to_the_cardinal_axes() -> None:
    (orientation,) = published("preferred_orientation", "V1")
    np.testing.assert_allclose(
        orientation.folded([0, 90, 180, 45, 135, 100, -10, 170, np.nan]),
        [0, 0, 0, 45, 45, 10, 10, 10],
    )
    assert distance(np.full(10, 90.0), orientation) == pytest.approx(175 / 385)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_distances_are_between_0_and_1_and_of_the_finite_values(values: list[float]) -> None:
    for entry in DISTRIBUTIONS[::4]:
        there = distance(values, entry)
        assert 0 <= there <= 1
        assert distance([*values, np.nan, np.inf], entry) == there


def test_a_value_on_an_edge_is_in_the_bin_above() -> None:
    suppression = published("suppression_index", "V1")[0]
    sample = np.repeat([0.0, 0.2, 0.4, 0.6, 0.8, 1.2], [66, 44, 38, 23, 16, 3])
    assert distance(sample, suppression) == 0


def test_bad_input_is_refused_with_what_would_work() -> None:
    with pytest.raises(ProbeError, match="no property 'circular_varience'; did you mean 'circ"):
        published("circular_varience")
    with pytest.raises(ProbeError, match="no area 'V3'"):
        published(area="V3")
    assert published("circular_variance", "V1") == []
    (modulation,) = published("texture_modulation", "V2")
    for refused in (
        lambda: distance([0.1], modulation),
        lambda: expected_distance(10, modulation),
    ):
        with pytest.raises(ProbeError, match="gives no distribution: compare with its mean"):
            refused()
    suppression = published("suppression_index", "V1")[0]
    with pytest.raises(ProbeError, match="no unit has a finite suppression_index"):
        distance([np.nan], suppression)
    with pytest.raises(ProbeError, match="n=0: expected the number of units"):
        expected_distance(0, suppression)
