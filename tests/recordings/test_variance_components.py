"""Signal and noise in the responses of each neuroid, and which pictures are variants of one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.recordings import Noise, Recording, load, neuroid_reliability
from probe.recordings.reliability import variance_components
from probe.stimuli import StimulusSet

SEEDS = st.integers(0, 10**6)


def recording(values):
    """A recording of single repetitions, shape (n, k, m)."""
    n, _, m = values.shape
    ids = [f"s{k}" for k in range(n)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "subject": ("neuroid", ["A"] * m),
            "region": ("neuroid", ["V4"] * m),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(m)]),
        },
        attrs={"name": "made/1"},
    )
    return Recording(data, StimulusSet(ids, [np.zeros((2, 2, 3), np.uint8)] * n, "made"))


def simulated(seed=0, n=300, k=6, m=60, signal=2.0, noise=3.0, missing=0.0):
    """Responses with a known variance of signal and noise; at least one repetition is there."""
    rng = np.random.default_rng(seed)
    values = np.sqrt(signal) * rng.normal(size=(n, 1, m)) + 5.0
    values = values + np.sqrt(noise) * rng.normal(size=(n, k, m))
    gone = rng.random((n, k)) < missing
    gone[np.arange(n), rng.integers(0, k, n)] = False
    values[gone] = np.nan
    return values


class TestKnownVariances:
    @pytest.mark.parametrize("missing", [0.0, 0.4])
    @pytest.mark.parametrize(("signal", "noise"), [(2.0, 3.0), (1.0, 0.1), (0.5, 20.0)])
    def test_are_recovered(self, signal, noise, missing):
        values = simulated(signal=signal, noise=noise, missing=missing)
        table = variance_components(recording(values))
        share = (1.0 / np.isfinite(values[:, :, 0]).sum(axis=1)).mean()
        total = signal + noise * share
        assert table["noise_variance"].mean() == pytest.approx(noise, rel=0.02)
        assert table["signal_variance"].mean() == pytest.approx(signal, rel=0.05, abs=0.02 * noise)
        assert table["total_variance"].mean() == pytest.approx(total, rel=0.05)
        # Ratios of noisy variances are too small on average: the median is nearer.
        assert table["reliability"].median() == pytest.approx(signal / total, abs=0.04)
        single = signal / (signal + noise)
        assert table["reliability_single"].median() == pytest.approx(single, abs=0.03)

    def test_neither_bias_nor_clipping_where_there_is_no_signal(self):
        table = variance_components(recording(simulated(1, n=60, m=400, signal=0.0, noise=1.0)))
        assert abs(table["signal_variance"].mean()) < 0.01
        assert 0.3 < (table["signal_variance"] < 0.0).mean() < 0.7
        assert (table["reliability"] < 0.0).any()

    def test_agree_with_split_halves(self):
        """On average: halves are drawn at random, of an even number of repetitions."""
        made = recording(simulated(2, n=400, k=6, m=40))
        halves = neuroid_reliability(made, n_splits=40)["spearman_brown"]
        found = variance_components(made)["reliability"]
        assert found.mean() == pytest.approx(halves.mean(), abs=0.005)
        assert np.abs(found - halves).max() < 0.03

    def test_root_of_the_reliability_is_what_the_signal_reaches(self):
        rng = np.random.default_rng(3)
        signal = rng.normal(size=(4000, 5))
        values = signal[:, None] + 1.5 * rng.normal(size=(4000, 4, 5))
        table = variance_components(recording(values))
        r = [np.corrcoef(signal[:, k], values[:, :, k].mean(axis=1))[0, 1] for k in range(5)]
        np.testing.assert_allclose(np.sqrt(table["reliability"]), r, atol=0.02)


class TestDefinition:
    @given(seed=SEEDS, missing=st.sampled_from([0.0, 0.3, 0.7]))
    def test_equals_loops(self, seed, missing):
        values = simulated(seed, n=12, k=4, m=2, missing=missing)
        table = variance_components(recording(values))
        for site in range(2):
            variances, shares, means = [], [], []
            for stimulus in values[:, :, site]:
                there = stimulus[np.isfinite(stimulus)]
                means.append(there.mean())
                shares.append(1.0 / len(there))
                if len(there) > 1:
                    variances.append(there.var(ddof=1))
            noise, total = np.mean(variances) if variances else np.nan, np.var(means, ddof=1)
            signal = total - noise * np.mean(shares)
            row = table.iloc[site]
            expected = [noise, signal, total, signal / total, signal / (signal + noise)]
            names = ["noise_variance", "signal_variance", "total_variance"]
            found = row[[*names, "reliability", "reliability_single"]].to_numpy(np.float64)
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)

    def test_repetitions_that_only_some_neuroids_miss(self):
        values = simulated(4, n=30, k=4, m=3)
        alone = variance_components(recording(values[:, :, [0, 2]]))
        values[:10, 2:, 1] = np.nan
        table = variance_components(recording(values)).iloc[[0, 2]].reset_index(drop=True)
        for name in ("noise_variance", "reliability"):
            np.testing.assert_array_equal(table[name], alone[name])

    @given(seed=SEEDS, scale=st.sampled_from([-1.0, 1e-6, 1e6]), shift=st.floats(-5.0, 5.0))
    def test_units(self, seed, scale, shift):
        values = simulated(seed, n=20, k=3, m=2)
        one = variance_components(recording(values))
        other = variance_components(recording(scale * (values + shift)))
        np.testing.assert_allclose(other["reliability"], one["reliability"], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            other["noise_variance"], scale**2 * one["noise_variance"], rtol=1e-7
        )

    def test_rows_are_named(self):
        table = variance_components(recording(simulated(5, n=5, m=3)))
        assert list(table["neuroid_id"]) == ["n0", "n1", "n2"]
        assert set(table["subject"]) == {"A"}
        assert set(table["region"]) == {"V4"}


class TestNotKnown:
    @pytest.fixture(autouse=True)
    def _no_warnings(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield

    def test_without_repetitions(self):
        table = variance_components(recording(simulated(6, n=20, k=1, m=3)))
        for name in ("noise_variance", "signal_variance", "reliability", "reliability_single"):
            assert table[name].isna().all()
        assert (table["total_variance"] > 0.0).all()

    def test_one_stimulus_with_repetitions_is_enough(self):
        values = simulated(7, n=20, k=3, m=3)
        values[1:, 1:] = np.nan
        table = variance_components(recording(values))
        np.testing.assert_allclose(table["noise_variance"], values[0].var(axis=0, ddof=1))
        assert table["reliability"].notna().all()

    @pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e4 / 3.0])
    def test_constant_neuroid(self, value):
        values = simulated(8, n=20, k=3, m=3)
        values[:, :, 1] = value
        table = variance_components(recording(values))
        for name in ("reliability", "reliability_single"):
            np.testing.assert_array_equal(table[name].isna(), [False, True, False])

    def test_rdms_only(self):
        data = xr.Dataset(
            {"rdms": (("rdm", "pair"), np.array([[0.1, 0.2, 0.3]]))},
            coords={
                "stimulus_id": ("stimulus", ["s0", "s1", "s2"]),
                "subject": ("rdm", ["A"]),
                "region": ("rdm", ["IT"]),
            },
            attrs={"name": "made/2"},
        )
        pictures = [np.zeros((2, 2, 3), np.uint8)] * 3
        made = Recording(data, StimulusSet(["s0", "s1", "s2"], pictures, "made"))
        with pytest.raises(ProbeError, match="RDMs only"):
            variance_components(made)


class TestNoise:
    @given(seed=SEEDS)
    def test_of_repetitions(self, seed):
        values = simulated(seed, n=8, k=4, m=3, missing=0.5)
        noise = Noise.of_repetitions(values)
        counts = np.isfinite(values).sum(axis=1)
        np.testing.assert_allclose(noise.shares, 1.0 / counts)
        np.testing.assert_array_equal(np.isnan(noise.variance), counts < 2)
        for stimulus, site in np.argwhere(counts > 1):
            there = values[stimulus, :, site]
            expected = there[np.isfinite(there)].var(ddof=1)
            assert noise.variance[stimulus, site] == pytest.approx(expected, rel=1e-9)
        some = noise.take(np.array([5, 2]))
        np.testing.assert_array_equal(some.variance, noise.variance[[5, 2]])
        np.testing.assert_array_equal(some.shares, noise.shares[[5, 2]])

    def test_known(self):
        values = simulated(9, n=8, k=3, m=3)
        values[:, 1:, 1] = np.nan
        np.testing.assert_array_equal(Noise.of_repetitions(values).known, [True, False, True])


class TestVariants:
    """Session 210305: photographs, of each of which two variants were shown."""

    @pytest.mark.slow
    def test_are_the_pictures_that_are_alike(self, mirror):
        made = load("cowley2023/210305")
        group = made.data["group"].values
        labels, counts = np.unique(group, return_counts=True)
        np.testing.assert_array_equal(labels, np.arange(200))
        np.testing.assert_array_equal(counts, [1] * 100 + [3] * 100)

        pictures = [np.asarray(made.stimuli.image(k).convert("L")) for k in range(400)]
        flat = np.stack(pictures).reshape(400, -1).astype(np.int16)
        same = group[:, None] == group[None, :]
        np.fill_diagonal(same, False)
        in_groups = np.flatnonzero(counts[group] == 3)
        assert (same[in_groups].sum(axis=1) == 2).all()

        distance = np.stack([np.abs(flat - picture).mean(axis=1) for picture in flat])
        np.fill_diagonal(distance, np.inf)
        assert same[in_groups, distance[in_groups].argmin(axis=1)].all()
        own = np.array([distance[k, same[k]] for k in in_groups])
        others = np.array([distance[k, ~same[k]].min() for k in in_groups])
        # Grey levels: 4 and 41.
        assert 5.0 * np.median(own) < np.median(others)
        # Where much is blurred, a dull picture may be as near: in 3 of 300.
        assert (own.max(axis=1) < others).sum() >= 297

        # Correlations, which do not see contrast, tell all apart.
        z = flat - flat.mean(axis=1, keepdims=True)
        r = z @ z.T / np.sqrt(np.outer((z**2).sum(axis=1), (z**2).sum(axis=1)))
        np.fill_diagonal(r, -1.0)
        own_r = np.array([r[k, same[k]].min() for k in in_groups])
        others_r = np.array([r[k, ~same[k]].max() for k in in_groups])
        assert (own_r > others_r).all()
        # The synthesised pictures are variants of nothing.
        assert r[:100].max() < 0.5 < own_r.min()

    @pytest.mark.parametrize("session", ["210325", "210322"])
    def test_other_sessions_have_none(self, mirror, session):
        assert "group" not in load(f"cowley2023/{session}").data.coords
