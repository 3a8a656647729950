"""Scores over folds: what chance gives, what intervals cover, and which layer is better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import KFold, ShuffleSplit

from probe.encoding import scoring
from probe.encoding.bands import split_r2
from probe.encoding.ridge import Decomposition, select
from probe.encoding.scores import SCORES, of_predictions
from probe.encoding.scoring import compare_layers, score, score_bands
from probe.recordings import Noise


def folds(n, k):
    return list(KFold(k, shuffle=True, random_state=0).split(np.zeros((n, 1))))


def resamples(n, n_resamples, seed=0):
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples).astype(np.float64)


def held_out(predictions, splits):
    """Fixed predictions of all stimuli, divided among splits."""
    return [predictions[test] for _, test in splits]


def fixed(seed=0, n=120, m=6, quality=1.0, k=4):
    """Responses, noise and predictions that hang together."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, m))
    single = signal[:, None] + rng.normal(size=(n, k, m)) + 3.0
    predictions = quality * signal + rng.normal(size=(n, m)) + 3.0
    return single.mean(axis=1), Noise.of_repetitions(single), predictions


class TestChance:
    """Responses that have nothing to do with the patterns, of 200 sites for each of five layers."""

    def mean_r(self, k, alphas):
        """r as it is scored, and of predictions that are put together as they are."""
        scored, plain = [], []
        splits = folds(200, k)
        for seed in range(5):
            rng = np.random.default_rng(seed)
            decomposition = Decomposition.of_patterns(rng.normal(size=(200, 50)))
            responses = rng.normal(size=(200, 200)) + 5.0
            chosen = select([decomposition], responses, splits, alphas=alphas)
            found = score(responses, chosen.predictions, splits, None, None, partition=True)
            scored.append(found.values["r"].mean())
            together = np.empty_like(responses)
            for (_, test), predictions in zip(splits, chosen.predictions, strict=True):
                together[test] = predictions
            plain.append(of_predictions(responses, together)["r"].mean())
        return np.mean(scored), np.mean(plain)

    @pytest.mark.parametrize("alphas", [np.array([1e4]), np.logspace(-2.0, 4.0, 7)])
    def test_is_zero(self, alphas):
        """What is pooled over folds as it is, follows the training means: clearly below 0."""
        scored, plain = self.mean_r(10, alphas)
        assert abs(scored) < 0.01
        assert plain < -0.1

    @pytest.mark.slow
    def test_is_nearly_zero_in_small_folds(self):
        """Pooled, but less the training means; penalties that differ among folds would show."""
        assert not scoring.averages_within(folds(200, 40))
        scored, plain = self.mean_r(40, np.array([1e4]))
        assert abs(scored) < 0.03
        assert plain < -0.3

    @pytest.mark.parametrize("k", [5, 60])
    def test_r2_of_the_training_mean_is_zero(self, k):
        rng = np.random.default_rng(0)
        responses, splits = rng.normal(size=(60, 5)) + 5.0, folds(60, k)
        means = [
            responses[train].mean(axis=0) + 1e-4 * rng.normal(size=(len(test), 5))
            for train, test in splits
        ]
        scored = score(responses, means, splits, None, None, partition=True)
        np.testing.assert_allclose(scored.values["r2"], 0.0, atol=1e-3)


class TestScore:
    def test_r_is_the_mean_over_folds(self):
        responses, noise, predictions = fixed()
        splits = folds(120, 5)
        scored = score(
            responses, held_out(predictions, splits), splits, noise, None, partition=True
        )
        each = np.array(
            [
                [np.corrcoef(responses[test, k], predictions[test, k])[0, 1] for k in range(6)]
                for _, test in splits
            ]
        )
        np.testing.assert_allclose(scored.values["r"], each.mean(axis=0), rtol=1e-10)
        assert scored.by_split == pytest.approx(np.median(each, axis=1).mean())
        assert scored.median["r"] == pytest.approx(np.median(each.mean(axis=0)))
        rho = scored.values["reliability"]
        np.testing.assert_allclose(scored.values["r_ceiled"], each.mean(axis=0) / np.sqrt(rho))
        np.testing.assert_allclose(scored.values["r2_ceiled"], each.mean(axis=0) ** 2 / rho)

    def test_small_folds_are_pooled(self):
        """Deviations from the training mean of each fold, of responses and predictions."""
        responses, noise, predictions = fixed()
        splits = folds(120, 30)
        scored = score(
            responses, held_out(predictions, splits), splits, noise, None, partition=True
        )
        y, p = np.empty_like(responses), np.empty_like(responses)
        for train, test in splits:
            y[test] = responses[test] - responses[train].mean(axis=0)
            p[test] = predictions[test] - responses[train].mean(axis=0)
        expected = of_predictions(y, p, noise)
        for name in SCORES:
            np.testing.assert_allclose(scored.values[name], expected[name], rtol=1e-8)
        np.testing.assert_allclose(scored.predictions, p + responses.mean(axis=0), rtol=1e-10)

    def test_random_splits_are_averaged(self):
        responses, noise, predictions = fixed()
        splits = list(ShuffleSplit(4, test_size=0.25, random_state=0).split(responses))
        scored = score(
            responses, held_out(predictions, splits), splits, noise, None, partition=False
        )
        each = [
            of_predictions(responses[test], predictions[test], noise.take(test))
            for _, test in splits
        ]
        for name in ("r", "r2", "r2_er", "feve"):
            expected = np.mean([of[name] for of in each], axis=0)
            np.testing.assert_allclose(scored.values[name], expected, rtol=1e-9)
        reliability = of_predictions(responses, responses, noise)["reliability"]
        np.testing.assert_allclose(scored.values["reliability"], reliability)
        assert scored.median["r"] == scored.by_split
        assert np.isnan(scored.row()["r_low"])
        assert len(scored.predictions) == 0

    def test_blocks_of_sites(self, monkeypatch):
        responses, noise, predictions = fixed()
        splits, counts = folds(120, 5), resamples(120, 50)
        arguments = responses, held_out(predictions, splits), splits, noise, counts
        whole = score(*arguments, partition=True)
        monkeypatch.setattr(scoring, "SITES_AT_A_TIME", 4)
        parts = score(*arguments, partition=True)
        np.testing.assert_allclose(parts.resampled, whole.resampled, rtol=1e-5)
        for name in SCORES:
            np.testing.assert_allclose(parts.low[name], whole.low[name], rtol=1e-5)

    def test_constant_site(self):
        responses, _, predictions = fixed()
        responses[:, 2] = 0.1
        predictions[:, 2] = 0.1
        splits, counts = folds(120, 5), resamples(120, 50)
        scored = score(
            responses, held_out(predictions, splits), splits, None, counts, partition=True
        )
        assert np.isnan(scored.values["r"][2])
        assert np.isnan(scored.low["r"][2])
        others = np.delete(np.arange(6), 2)
        assert np.isfinite(scored.values["r"][others]).all()
        assert np.isfinite(scored.low["r"][others]).all()
        assert scored.median["r"] == pytest.approx(np.median(scored.values["r"][others]))
        assert np.isfinite(scored.median_low["r"])


class TestIntervals:
    @pytest.mark.parametrize("k", [5, 50])
    def test_cover_what_they_should(self, k):
        """r of the population, 1/√2, in about 95 % of 400 sites; by r within folds, and pooled."""
        n, m = 200, 400
        rng = np.random.default_rng(0)
        signal = rng.normal(size=(n, m))
        predictions = signal + rng.normal(size=(n, m))
        splits = folds(n, k)
        scored = score(
            signal, held_out(predictions, splits), splits, None, resamples(n, 300), partition=True
        )
        covered = (scored.low["r"] < np.sqrt(0.5)) & (np.sqrt(0.5) < scored.high["r"])
        assert 0.9 < covered.mean() < 0.98
        assert (scored.low["r"] < scored.values["r"]).mean() > 0.99
        assert (scored.values["r"] < scored.high["r"]).mean() > 0.99

    def test_of_the_median_are_narrower(self):
        responses, noise, predictions = fixed(1, m=30)
        splits, counts = folds(120, 5), resamples(120, 200)
        scored = score(
            responses, held_out(predictions, splits), splits, noise, counts, partition=True
        )
        width = scored.median_high["r"] - scored.median_low["r"]
        assert scored.median_low["r"] < scored.median["r"] < scored.median_high["r"]
        assert width < np.median(scored.high["r"] - scored.low["r"])

    @pytest.mark.parametrize("rho", [0.6, np.linspace(0.2, 0.85, 41) ** 2])
    def test_of_the_median_hold_the_expected_score(self, rho):
        """In 60 experiments with 100 stimuli; percentiles held the true median in half of them."""
        n, m, n_experiments = 100, 41, 60
        rho = np.broadcast_to(rho, m)
        splits, medians, held = folds(n, 10), [], []
        for seed in range(n_experiments):
            rng = np.random.default_rng(seed)
            # What sites have in common makes their scores vary together.
            signal = rng.normal(size=(n, 12)) @ np.random.default_rng(0).normal(size=(12, m))
            signal /= np.sqrt(12.0)
            responses = rho * signal + np.sqrt(1 - rho**2) * rng.normal(size=(n, m))
            scored = score(
                responses, held_out(signal, splits), splits, None, resamples(n, 200, seed),
                partition=True,
            )  # fmt: skip
            medians.append(scored.median["r"])
            held.append((scored.median_low["r"], scored.median_high["r"]))
        low, high = np.array(held).T
        covered = (low <= np.mean(medians)) & (np.mean(medians) <= high)
        assert covered.mean() >= 0.88
        # And are no wider than they have to be.
        assert np.mean(high - low) < 1.6 * 2 * 1.98 * np.std(medians)

    def test_of_the_median_lie_around_it(self):
        """As those of RDMs do: t times the standard deviation of the resampled median."""
        responses, noise, predictions = fixed(1, m=31)
        splits, counts = folds(120, 12), resamples(120, 200)
        arguments = responses, held_out(predictions, splits), splits, noise, counts
        scored = score(*arguments, partition=True)
        medians = np.median(scored.resampled.astype(float), axis=1)
        half = stats.t.ppf(0.975, 119) * medians.std(ddof=1)
        assert scored.median_high["r"] - scored.median["r"] == pytest.approx(half)
        assert scored.median["r"] - scored.median_low["r"] == pytest.approx(half)
        # The percentiles of the resamples would not: few stimuli in a fold lower r.
        assert medians.mean() < scored.median["r"] - 0.1 * half
        few = score(*arguments, partition=True, n_units=6)
        assert few.median_high["r"] - few.median["r"] > 1.2 * half

    def test_of_one_site_are_its_own(self):
        responses, noise, predictions = fixed(m=1)
        splits, counts = folds(120, 5), resamples(120, 100)
        scored = score(
            responses, held_out(predictions, splits), splits, noise, counts, partition=True
        )
        for name in SCORES:
            assert (scored.median_low[name], scored.median_high[name]) == (
                scored.low[name][0], scored.high[name][0],
            )  # fmt: skip

    @pytest.mark.parametrize(("n", "k"), [(100, 10), (60, 5)])
    def test_are_there_with_few_stimuli_in_a_fold(self, n, k):
        """A resample may leave a fold without two different stimuli."""
        responses, noise, predictions = fixed(2, n)
        splits, counts = folds(n, k), resamples(n, 1000)
        scored = score(
            responses, held_out(predictions, splits), splits, noise, counts, partition=True
        )
        assert np.isfinite(scored.low["r"]).all()
        assert "r" in scored.median_low


class TestLayers:
    """Predictions of some quality, of the same responses."""

    def scored(self, qualities, n=150, m=20, shared=0.0, seed=0):
        rng = np.random.default_rng(seed)
        signal = rng.normal(size=(n, m))
        responses = signal + rng.normal(size=(n, m))
        common = rng.normal(size=(n, m))
        splits, counts = folds(n, 5), resamples(n, 200)
        found = {}
        for name, quality in qualities.items():
            own = np.sqrt(shared) * common + np.sqrt(1.0 - shared) * rng.normal(size=(n, m))
            predictions = quality * signal + own
            found[name] = score(
                responses, held_out(predictions, splits), splits, None, counts, partition=True
            )
        return found

    def compare(self, scored, n_resamples=200, groups=None):
        return compare_layers(scored, groups, np.random.default_rng(0), n_resamples)

    def test_identical_layers(self):
        one = self.scored({"a": 1.0})["a"]
        (row,) = self.compare({"a": one, "b": one}).to_dict("records")
        assert (row["difference"], row["se"]) == (0.0, 0.0)
        assert (row["p"], row["p_fdr"], row["p_holm"]) == (1.0, 1.0, 1.0)

    def test_better_layer(self):
        scored = self.scored({"bad": 0.3, "good": 1.5})
        (row,) = self.compare(scored).to_dict("records")
        means = {name: s.values["r"].mean() for name, s in scored.items()}
        assert row["difference"] == pytest.approx(means["bad"] - means["good"])
        assert row["difference"] < -0.2
        assert row["p"] < 1e-6

    def test_equally_good_layers(self):
        """No more often different than by chance."""
        p = [
            self.compare(self.scored({"a": 0.7, "b": 0.7}, 60, 8, seed=seed))["p"].item()
            for seed in range(20)
        ]
        assert np.sum(np.array(p) < 0.05) <= 3

    def test_order_of_the_two(self):
        scored = self.scored({"a": 0.7, "b": 1.0})
        (one,) = self.compare(scored).to_dict("records")
        (other,) = self.compare(dict(reversed(scored.items()))).to_dict("records")
        assert other["difference"] == pytest.approx(-one["difference"])
        assert other["p"] == pytest.approx(one["p"])

    def test_paired(self):
        """What two layers have in common does not make their difference less sure."""
        (apart,) = self.compare(self.scored({"a": 0.7, "b": 0.8})).to_dict("records")
        (alike,) = self.compare(self.scored({"a": 0.7, "b": 0.8}, shared=0.98)).to_dict("records")
        assert alike["se"] < 0.5 * apart["se"]
        assert alike["p"] < apart["p"]

    def test_all_pairs(self):
        pairs = self.compare(self.scored({"a": 0.5, "b": 0.7, "c": 1.0}))
        assert list(zip(pairs["model_a"], pairs["model_b"], strict=True)) == [
            ("a", "b"), ("a", "c"), ("b", "c"),
        ]  # fmt: skip
        assert (pairs["p_fdr"] >= pairs["p"]).all()
        assert (pairs["p_holm"] >= pairs["p_fdr"]).all()

    def test_groups_count_as_units(self):
        """Degrees of freedom are those of what was resampled."""
        scored = self.scored({"a": 0.7, "b": 0.8}, m=200)
        (one,) = self.compare(scored).to_dict("records")
        (grouped,) = self.compare(scored, groups=np.arange(150) // 15).to_dict("records")
        assert grouped["p"] > one["p"]

    def test_sites_without_a_score_are_left_out(self):
        scored = self.scored({"a": 0.3, "b": 1.5})
        expected = np.mean(scored["a"].values["r"][1:] - scored["b"].values["r"][1:])
        scored["a"].values["r"][0] = np.nan
        scored["a"].resampled[:, 0] = np.nan
        (row,) = self.compare(scored).to_dict("records")
        assert row["difference"] == pytest.approx(expected)

    def test_no_tests(self):
        scored = self.scored({"a": 0.3, "b": 1.5})
        columns = ["model_a", "model_b", "difference", "se", "p", "p_fdr", "p_holm"]
        for pairs in (self.compare(scored, 0), self.compare({"a": scored["a"]})):
            assert len(pairs) == 0
            assert list(pairs.columns) == columns

    @pytest.mark.parametrize("n_known", [0, 1])
    def test_hardly_any_site_with_a_score(self, n_known):
        """Such as a layer that is silent for all stimuli: nothing is told, and nothing breaks."""
        scored = self.scored({"a": 0.3, "b": 1.5})
        scored["a"].values["r"][n_known:] = np.nan
        scored["a"].resampled[:, n_known:] = np.nan
        pairs = self.compare(scored)
        assert not (pairs["p"] < 1.0).any()


class TestBands:
    """Parts of R²: of three bands, whose sum is a prediction but for the training mean."""

    @staticmethod
    def case(splits, m=5, n=60):
        rng = np.random.default_rng(3)
        signal = rng.normal(size=(3, n, m))
        responses = signal.sum(axis=0) + rng.normal(size=(n, m)) + 7.0
        parts = 0.7 * signal + 0.2 * rng.normal(size=signal.shape)
        by_band = [parts[:, test] for _, test in splits]
        predictions = [
            parts[:, test].sum(axis=0) + responses[train].mean(axis=0) for train, test in splits
        ]
        return responses, predictions, by_band

    def test_they_sum_to_r2(self):
        splits = folds(60, 5)
        responses, predictions, by_band = self.case(splits)
        found = score_bands(responses, predictions, by_band, splits, None, partition=True)
        scored = score(responses, predictions, splits, None, None, partition=True)
        # But for the offset of all predictions, which is of no band.
        deviations, together = scoring._pooled(responses, predictions, splits)
        offset = together.mean(axis=0) - deviations.mean(axis=0)
        total = found.r2.sum(axis=0) - offset**2 / deviations.var(axis=0)
        np.testing.assert_allclose(total, scored.values["r2"], atol=1e-12)
        np.testing.assert_allclose(found.mean[:3], found.r2.mean(axis=1))
        assert found.mean[3] == pytest.approx(found.r2.sum(axis=0).mean())

    def test_they_are_those_of_himalaya(self):
        scoring_ = pytest.importorskip("himalaya.scoring")
        splits = folds(60, 5)
        responses, predictions, by_band = self.case(splits)
        found = score_bands(responses, predictions, by_band, splits, None, partition=True)
        parts, left = np.empty((3, 60, 5)), np.empty((60, 5))
        for of_split, (train, test) in zip(by_band, splits, strict=True):
            parts[:, test] = of_split
            left[test] = responses[test] - responses[train].mean(axis=0)
        parts -= parts.mean(axis=1, keepdims=True)
        theirs = scoring_.r2_score_split(left - left.mean(axis=0), parts)
        np.testing.assert_allclose(found.r2, theirs, atol=1e-12)

    def test_resamples_repeat_and_leave_out_stimuli(self):
        splits = folds(60, 5)
        responses, predictions, by_band = self.case(splits)
        counts = resamples(60, 40)
        found = score_bands(responses, predictions, by_band, splits, counts, partition=True)
        deviations, together = scoring._pooled(responses, predictions, splits)
        parts = np.empty((3, 60, 5))
        for of_split, (_, test) in zip(by_band, splits, strict=True):
            parts[:, test] = of_split
        drawn = []
        for row in counts.astype(int):
            rows = np.repeat(np.arange(60), row)
            drawn.append(split_r2(parts[:, rows], together[rows], deviations[rows]))
        low, high = np.quantile(drawn, scoring.CI_QUANTILES, axis=0)
        np.testing.assert_allclose(found.low, low, atol=1e-10)
        np.testing.assert_allclose(found.high, high, atol=1e-10)
        low, high = np.quantile(np.mean(drawn, axis=2), scoring.CI_QUANTILES, axis=0)
        np.testing.assert_allclose(found.mean_low[:3], low, atol=1e-10)
        np.testing.assert_allclose(found.mean_high[:3], high, atol=1e-10)

    def test_of_splits_that_repeat_stimuli_the_mean_over_splits(self):
        splits = list(ShuffleSplit(4, test_size=0.3, random_state=0).split(np.zeros((60, 1))))
        responses, predictions, by_band = self.case(splits)
        found = score_bands(responses, predictions, by_band, splits, None, partition=False)
        each = [
            split_r2(parts, values, responses[test])
            for parts, values, (_, test) in zip(by_band, predictions, splits, strict=True)
        ]
        np.testing.assert_allclose(found.r2, np.mean(each, axis=0))
        assert np.isnan(found.low).all()

    def test_a_constant_site_has_none_and_the_mean_is_of_the_others(self):
        splits = folds(60, 5)
        responses, predictions, by_band = self.case(splits)
        responses[:, 2] = 7.0
        found = score_bands(
            responses, predictions, by_band, splits, resamples(60, 10), partition=True
        )
        assert np.isnan(found.r2[:, 2]).all()
        others = np.delete(found.r2, 2, axis=1)
        np.testing.assert_allclose(found.mean[:3], others.mean(axis=1))
        assert np.isfinite(found.mean_low).all()
