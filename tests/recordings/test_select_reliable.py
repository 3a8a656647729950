"""Reliable neuroids: chosen on other repetitions than are kept, against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.recordings import (
    Recording,
    from_folder,
    published_reliability,
    select_reliable,
    split_half,
    variance_components,
)
from probe.recordings.reliability import PUBLISHED, _reliability_of_part, _telling
from probe.stimuli import StimulusSet


def recording(values, published=None, **attrs):
    s, _, n = values.shape
    ids = [f"s{k}" for k in range(s)]
    coords = {
        "stimulus_id": ("stimulus", ids),
        "subject": ("neuroid", ["A"] * n),
        "region": ("neuroid", ["V4"] * n),
        "neuroid_id": ("neuroid", [f"n{k}" for k in range(n)]),
    }
    if published is not None:
        coords[PUBLISHED] = ("neuroid", published)
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords=coords,
        attrs={"name": "made", **attrs},
    )
    return Recording(data, StimulusSet(ids, [np.zeros((2, 2), np.uint8)] * s, "made"))


def noisy(n_stimuli=40, n_repetitions=8, signal=(1.0,) * 20, noise=1.0, seed=0):
    """Neuroids with a signal of this SD, and noise of another in each repetition."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(n_stimuli, 1, len(signal))) * signal
    return signals + noise * rng.normal(size=(n_stimuli, n_repetitions, len(signal)))


def numbers(recording):
    return [int(name[1:]) for name in recording.data["neuroid_id"].values]


class TestChoice:
    def test_reliable_neuroids_are_kept(self):
        values = noisy(signal=(1.0, 0.0) * 15, n_stimuli=100)
        chosen = select_reliable(recording(values), 0.5)
        assert numbers(chosen) == list(range(0, 30, 2))

    def test_other_repetitions_are_kept(self):
        """All that is there is in one part or the other, and nothing is in both."""
        values = noisy()
        chosen = select_reliable(recording(values), 0.0).data["responses"].values
        telling = _telling(values, 0)
        assert chosen.shape == (40, 4, 20)
        for k in range(20):
            kept = np.sort(chosen[:, :, k], axis=1)
            np.testing.assert_array_equal(
                kept, np.sort(values[:, :, k][~telling[:, :, k]].reshape(40, 4), axis=1)
            )

    @pytest.mark.parametrize("n_repetitions", [3, 4, 7, 12])
    def test_threshold_is_that_of_all_repetitions(self, n_repetitions):
        """As variance components of the part that tells, and the Spearman–Brown formula, say."""
        values = noisy(n_repetitions=n_repetitions)
        telling = _telling(values, 0)
        n_telling = max(2, n_repetitions // 2)
        part = values[telling].reshape(40, n_telling, 20)
        components = variance_components(recording(part))
        q = n_repetitions / n_telling
        r = components["reliability"]
        expected = q * r / (1 + (q - 1) * r)
        np.testing.assert_allclose(_reliability_of_part(values, telling), expected, rtol=1e-10)
        threshold = float(np.sort(expected)[10])
        chosen = select_reliable(recording(values), threshold - 1e-9)
        assert numbers(chosen) == list(np.flatnonzero(expected >= threshold - 1e-9))

    def test_it_is_what_the_whole_recording_has(self):
        values = noisy(n_stimuli=3000, n_repetitions=6, signal=(0.5,) * 30)
        found = _reliability_of_part(values, _telling(values, 0))
        assert found.mean() == pytest.approx(0.25 / (0.25 + 1 / 6), abs=0.01)
        whole = variance_components(recording(values))["reliability"]
        assert found.mean() == pytest.approx(whole.mean(), abs=0.01)

    def test_runs_stay_together(self):
        """What was shown together is in one part, so that crossnobis has its runs."""
        chosen = select_reliable(recording(noisy()), 0.3)
        assert np.isfinite(chosen.data["responses"].values).all()
        _, (rdm,) = chosen.rdms("crossnobis")
        assert np.isfinite(rdm).all()

    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 10**6),
        n=st.integers(1, 8),
        k=st.integers(1, 9),
        m=st.integers(1, 4),
        missing=st.floats(0.0, 0.8),
    )
    def test_any_repetitions_may_be_missing(self, seed, n, k, m, missing):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(n, k, m))
        values[rng.random(values.shape) < missing] = np.nan
        telling = _telling(values, seed)
        present = np.isfinite(values)
        counts = present.sum(axis=1)
        assert not (telling & ~present).any()
        expected = np.where(counts < 3, 0, np.maximum(2, counts // 2))
        np.testing.assert_array_equal(telling.sum(axis=1), expected)
        left = (present & ~telling).sum(axis=1)
        assert ((left >= 1) | (counts == 0)).all()

    def test_stimuli_that_were_not_repeated_are_kept(self):
        """As in a recording of many pictures, of which some were repeated for a test."""
        values = noisy(n_stimuli=60, n_repetitions=10, signal=(2.0, 0.0) * 10)
        values[20:, 1:] = np.nan
        chosen = select_reliable(recording(values), 0.6)
        assert numbers(chosen) == list(range(0, 20, 2))
        kept = chosen.data["responses"].values
        np.testing.assert_array_equal(kept[20:, 0], values[20:, 0, ::2])
        assert (np.isfinite(kept[:20]).sum(axis=1) == 5).all()

    def test_silent_neuroids_are_not_kept(self):
        values = noisy()
        values[:, :, 3] = 7.0
        assert 3 not in numbers(select_reliable(recording(values), 0.0))

    def test_seed(self):
        made = recording(noisy())
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        one, same, other = (select_reliable(made, 0.2, seed=k) for k in (3, 3, 4))
        xr.testing.assert_identical(one.data, same.data)
        assert one.data.attrs["selection"]["seed"] == 3
        assert not np.array_equal(one.data["responses"], other.data["responses"])
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002

    def test_the_recording_is_left_alone(self):
        made = recording(noisy())
        before = made.data.copy(deep=True)
        select_reliable(made, 0.2)
        xr.testing.assert_identical(made.data, before)

    def test_it_says_how_they_were_chosen(self):
        chosen = select_reliable(recording(noisy(signal=(2.0, 0.0) * 10)), 0.6)
        assert chosen.describe()["selection"] == {
            "threshold": 0.6, "n_kept": 10, "n": 20, "seed": 0, "by": "other repetitions",
            "said": "neuroids with reliability ≥ 0.6: 10 of 20, chosen on other repetitions",
        }  # fmt: skip
        assert recording(noisy()).describe()["selection"] is None
        assert "10 of 20, chosen on other repetitions" in repr(chosen)


class TestBias:
    """Neuroids of pure noise, the most reliable of which are chosen."""

    def test_a_ceiling_of_noise_is_none(self):
        """Split-half reliability of the RDM, the noise ceiling of one subject."""
        rng = np.random.default_rng(0)
        naive, ours = [], []
        for seed in range(8):
            made = recording(rng.normal(size=(12, 4, 10000)))
            lucky = np.flatnonzero(variance_components(made)["reliability"] >= 0.7)
            naive.append(split_half(made.select(neuroids=lucky), n_splits=4).r)
            chosen = select_reliable(made, 0.7, seed=seed)
            assert chosen.n_neuroids > 100
            ours.append(split_half(chosen, n_splits=4).r)
        assert min(naive) > 0.1
        assert abs(np.mean(ours)) < 3 * np.std(ours, ddof=1) / np.sqrt(8)

    def test_signal_of_noise_is_none(self):
        """The variance of signal, whose estimate is unbiased where nothing was chosen."""
        made = recording(np.random.default_rng(1).normal(size=(30, 6, 3000)))
        lucky = np.flatnonzero(variance_components(made)["reliability"] >= 0.4)
        for one, biased in (
            (made.select(neuroids=lucky), True),
            (select_reliable(made, 0.4), False),
        ):
            signal = variance_components(one)["signal_variance"].to_numpy()
            error = signal.std() / np.sqrt(len(signal))
            assert (signal.mean() > 20 * error) == biased
            assert biased or abs(signal.mean()) < 4 * error


class TestPublished:
    def test_where_only_means_exist(self):
        made = recording(noisy(n_repetitions=1, signal=(1.0,) * 4), [0.3, 0.5, np.nan, 0.9])
        chosen = select_reliable(made, 0.5)
        assert numbers(chosen) == [1, 3]
        np.testing.assert_array_equal(
            chosen.data["responses"].values, made.data["responses"].values[:, :, [1, 3]]
        )
        said = "neuroids with reliability ≥ 0.5: 2 of 4, as published, of the same responses"
        assert chosen.data.attrs["selection"]["said"] == said

    def test_repetitions_count_more(self):
        made = recording(noisy(signal=(2.0,) * 4), [0.1] * 4)
        chosen = select_reliable(made, 0.5)
        assert chosen.n_neuroids == 4
        assert chosen.data.attrs["selection"]["by"] == "other repetitions"

    def test_as_texts_of_a_table(self):
        made = recording(noisy(signal=(1.0,) * 3), ["0.25", " ", "1"])
        np.testing.assert_array_equal(published_reliability(made), [0.25, np.nan, 1.0])
        assert published_reliability(recording(noisy())) is None

    @pytest.mark.parametrize("values", [["high", "low"], [0.5, 40.0]])
    def test_what_is_no_reliability(self, values):
        made = recording(noisy(n_repetitions=1, signal=(1.0,) * 2), values)
        with pytest.raises(ProbeError, match=f"'{PUBLISHED}': expected numbers up to 1"):
            select_reliable(made, 0.5)


class TestRefused:
    @pytest.mark.parametrize("threshold", [1.5, -0.1, float("nan"), "0.4", None, True])
    def test_no_threshold(self, threshold):
        with pytest.raises(ProbeError, match=r"min_reliability .*: expected a number from 0 to 1"):
            select_reliable(recording(noisy()), threshold)

    def test_two_repetitions(self):
        with pytest.raises(
            ProbeError,
            match=r"holds responses, 2 of each stimulus, .* takes 3 or more of 5 or more stimuli",
        ):
            select_reliable(recording(noisy(n_repetitions=2)), 0.5)

    def test_averages(self):
        with pytest.raises(ProbeError, match="holds means over repetitions, 1 of each stimulus"):
            select_reliable(recording(noisy(n_repetitions=1), averaged=True), 0.5)

    def test_too_few_repeated_stimuli(self):
        values = noisy(n_repetitions=6)
        values[4:, 2:] = np.nan
        with pytest.raises(ProbeError, match=r"2 to 6 of each stimulus.*\(4 have them\)"):
            select_reliable(recording(values), 0.5)

    def test_none_is_reliable_enough(self):
        with pytest.raises(ProbeError, match=r"no neuroid of 20 has a reliability ≥ 0.99, the hig"):
            select_reliable(recording(noisy()), 0.99)

    def test_rdms_only(self):
        data = xr.Dataset(
            {"rdms": (("rdm", "pair"), [[0.1, 0.2, 0.3]])},
            coords={
                "stimulus_id": ("stimulus", ["a", "b", "c"]),
                "subject": ("rdm", ["A"]),
                "region": ("rdm", ["V4"]),
            },
            attrs={"name": "made"},
        )
        stimuli = StimulusSet(["a", "b", "c"], [np.zeros((2, 2), np.uint8)] * 3, "made")
        with pytest.raises(ProbeError, match="holds RDMs only: there are no neuroids to choose"):
            select_reliable(Recording(data, stimuli), 0.5)


class TestOverTime:
    """Responses (stimulus, repetition, time, neuroid): the mean over times tells."""

    def test_as_the_mean_over_times(self):
        values = noisy(n_repetitions=6)
        spread = np.random.default_rng(3).normal(size=(1, 1, 5, 1))
        over_time = values[:, :, None] + spread - spread.mean()
        telling = _telling(over_time, 2)
        np.testing.assert_array_equal(
            telling, np.repeat(_telling(values, 2)[:, :, None], 5, axis=2)
        )
        np.testing.assert_allclose(
            _reliability_of_part(over_time, telling),
            _reliability_of_part(values, telling[:, :, 0]),
        )

    def test_a_presentation_is_never_divided(self):
        values = np.random.default_rng(4).normal(size=(12, 6, 5, 3))
        values[2, 1, 3] = np.nan  # one time is missing
        values[4, 2] = np.nan  # the presentation is
        telling = _telling(values, 0)
        assert (telling == telling[:, :, :1]).all()
        assert not telling[4, 2].any()
        assert np.isfinite(_reliability_of_part(values, telling)).all()


def test_from_a_folder(tmp_path):
    """What neuroids.csv calls the published reliability."""
    from PIL import Image

    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(
            tmp_path / "images" / f"p{k}.png"
        )
    np.save(tmp_path / "responses.npy", rng.normal(size=(6, 3)))
    (tmp_path / "neuroids.csv").write_text(f"neuroid_id,{PUBLISHED}\na,.8\nb,.2\nc,\n")
    chosen = select_reliable(from_folder(tmp_path), 0.4)
    assert list(chosen.data["neuroid_id"].values) == ["a"]
