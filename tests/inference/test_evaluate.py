"""Scores, bootstrap, intervals and tests of models against data."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import squareform

from probe.inference import evaluate, holm
from probe.inference.evaluate import bootstrap_counts, resampled_scores
from probe.similarity import COMPARATORS, compare, rdm

NAMES = tuple(COMPARATORS)
FIELDS = ("scores", "mean", "se", "ci_low", "ci_high", "p_zero", "p_zero_fdr", "p_zero_holm")


def world(seed=0, n=15, n_models=3, n_subjects=2):
    """Models and subjects; model 0 resembles the data most, the last not at all."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 6))
    data = [rdm(shared + rng.normal(size=(n, 6))) for _ in range(n_subjects)]
    noise = [*np.linspace(0.3, 2.0, n_models - 1), 1e6]
    models = [rdm(shared + level * rng.normal(size=(n, 6))) for level in noise]
    return np.stack(models), np.stack(data)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_by_hand(name):
    models, data = world()
    found = evaluate(models, data, name, n_resamples=60, seed=3)
    np.testing.assert_allclose(found.scores, compare(models, data, name), rtol=1e-14)
    np.testing.assert_allclose(found.mean, found.scores.mean(axis=1))
    assert found.resampled.shape == (60, 3)
    assert found.dof == 14
    se = np.sqrt(found.resampled.var(axis=0, ddof=1) * 15 / 14)
    np.testing.assert_allclose(found.se, se)
    half = stats.t(14).ppf(0.975) * se
    np.testing.assert_allclose(found.ci_low, np.maximum(found.mean - half, -1.0))
    np.testing.assert_allclose(found.ci_high, np.minimum(found.mean + half, 1.0))
    rng = np.random.default_rng(3)
    bootstrap_counts(15, 60, rng)  # drawn first
    orders = rng.permuted(np.tile(np.arange(15), (60, 1)), axis=1)
    upper = np.triu_indices(15, 1)
    by_chance = [
        compare(models, np.stack([squareform(d)[np.ix_(o, o)][upper] for d in data]), name)
        for o in orders
    ]
    as_good = (np.mean(by_chance, axis=2) >= found.mean).sum(axis=0)
    np.testing.assert_allclose(found.p_zero, (as_good + 1) / 61)
    np.testing.assert_array_equal(found.p_zero_holm, holm(found.p_zero))
    np.testing.assert_array_equal(
        found.p_zero_fdr, stats.false_discovery_control(found.p_zero, method="bh")
    )


@pytest.mark.parametrize("name", NAMES)
def test_resamples_are_those_of_the_repeated_stimuli(name):
    models, data = world()
    counts = bootstrap_counts(15, 20, np.random.default_rng(3))
    drawn = np.repeat(np.arange(15), counts[7])
    rows, columns = np.triu_indices(15, 1)
    different = drawn[rows] != drawn[columns]
    i, j = drawn[rows[different]], drawn[columns[different]]
    c = COMPARATORS[name]
    by_hand = [
        [_plain(squareform(m)[i, j], squareform(d)[i, j], name) for d in data] for m in models
    ]
    scores = resampled_scores(c.prepare(models), c.prepare(data), c, counts)
    np.testing.assert_allclose(scores[7], by_hand, atol=1e-12)
    resampled = evaluate(models, data, name, n_resamples=20, seed=3).resampled
    np.testing.assert_array_equal(resampled, scores.mean(axis=2))


def _plain(x, y, name):
    if name == "cosine":
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    if name == "pearson":
        return np.corrcoef(x, y)[0, 1]
    x, y = stats.rankdata(x), stats.rankdata(y)
    if name == "spearman":
        return np.corrcoef(x, y)[0, 1]
    n = len(x)
    return 12.0 * (x @ y) / (n**3 - n) - 3.0 * (n + 1) / (n - 1)


def test_what_is_alike_is_found_and_what_is_not_is_not():
    found = evaluate(*world(seed=1, n=40), n_resamples=200)
    assert found.mean[0] > found.mean[1] > found.mean[2]
    assert found.p_zero[0] == 1 / 201, "no permutation is as good"
    assert found.p_zero[2] > 0.05
    assert found.ci_low[2] < 0.0 < found.ci_low[0]


def test_a_negative_score_is_not_significant():
    models, data = world()
    assert evaluate(-models[:1], data, n_resamples=100).p_zero[0] > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model(name):
    _, data = world(n_subjects=1)
    found = evaluate(data, data, name, n_resamples=50)
    assert found.mean[0] == pytest.approx(1.0)
    assert found.p_zero[0] == 1 / 51
    # Copies of a pair are ties, which keep rho-a of a resample a little below 1.
    assert found.ci_low[0] == pytest.approx(1.0, abs=0.005 if name == "rho-a" else 1e-9)
    assert found.ci_high[0] <= 1.0


class TestSeeds:
    def test_same_seed_same_bytes(self):
        first, again = (evaluate(*world(), n_resamples=40, seed=5) for _ in range(2))
        for field in (*FIELDS, "resampled"):
            assert getattr(first, field).tobytes() == getattr(again, field).tobytes()
        other = evaluate(*world(), n_resamples=40, seed=6)
        assert (other.resampled != first.resampled).any()

    @pytest.mark.parametrize("name", NAMES)
    def test_number_of_threads(self, name, monkeypatch):
        module = sys.modules["probe.inference.evaluate"]
        results = []
        for n_threads in (1, 7):
            monkeypatch.setattr(module.os, "cpu_count", lambda n=n_threads: n)
            results.append(evaluate(*world(n=40), name, n_resamples=40).resampled.tobytes())
        assert results[0] == results[1]

    def test_number_of_threads_of_the_linear_algebra(self):
        """A long dot product is summed in another order by another number of threads."""
        code = (
            "import hashlib, numpy as np; from probe.inference import evaluate\n"
            "x = np.random.default_rng(0).random((2, 44850))\n"
            "for name in ('pearson', 'cosine', 'spearman'):\n"
            "    found = evaluate(x[0], x[1], name, n_resamples=5)\n"
            "    print(hashlib.sha256(found.resampled.tobytes()).hexdigest())"
        )
        said = set()
        for n in "12":
            threads = dict.fromkeys(
                ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), n
            )
            said.add(
                subprocess.run(
                    [sys.executable, "-c", code],
                    env=os.environ | threads,
                    capture_output=True,
                    check=True,
                ).stdout
            )
        assert len(said) == 1

    def test_global_state_is_left_alone(self):
        np.random.seed(0)  # noqa: NPY002
        before = np.random.get_state()[1].tobytes()  # noqa: NPY002
        evaluate(*world(), n_resamples=10)
        assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002

    def test_models_do_not_depend_on_one_another(self):
        models, data = world()
        together = evaluate(models, data, n_resamples=30)
        alone = evaluate(models[1], data, n_resamples=30)
        np.testing.assert_allclose(alone.resampled[:, 0], together.resampled[:, 1], rtol=1e-12)


def test_test_against_zero_is_calibrated():
    """Models and data that share nothing are found alike in one of twenty experiments."""
    hits = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        model, data = (rdm(rng.normal(size=(12, 5))) for _ in range(2))
        hits.append(evaluate(model, data, n_resamples=39, seed=seed).p_zero[0] <= 0.05)
    # within three standard errors, .0126, of .05
    assert 0.012 <= np.mean(hits) <= 0.088


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES))
def test_subjects_in_another_order(seed, name):
    models, data = world(seed, n_subjects=3)
    order = np.random.default_rng(seed).permutation(3)
    a = evaluate(models, data, name, n_resamples=20)
    b = evaluate(models, data[order], name, n_resamples=20)
    np.testing.assert_allclose(b.scores, a.scores[:, order], rtol=1e-12)
    for field in FIELDS[1:]:
        np.testing.assert_allclose(getattr(b, field), getattr(a, field), rtol=1e-8, atol=1e-14)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 20))
def test_counts(seed, n):
    counts = bootstrap_counts(n, 50, np.random.default_rng(seed))
    assert counts.shape == (50, n)
    assert (counts.sum(axis=1) == n).all()
    assert ((counts > 0).sum(axis=1) >= 3).all()


def test_counts_are_those_of_a_bootstrap():
    counts = bootstrap_counts(30, 4000, np.random.default_rng(0))
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.08)
    assert counts.var() == pytest.approx(29 / 30, abs=0.02)
    assert (counts == 0).mean() == pytest.approx((29 / 30) ** 30, abs=0.005)


class TestDegenerate:
    def test_resamples_without_a_score_are_left_out(self):
        """A model of one odd stimulus out of 20 is constant where that one was not drawn."""
        odd = np.arange(20) == 0
        model = rdm(np.column_stack([odd, odd]).astype(float), "euclidean")
        data = world(n=20)[1]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = evaluate(model, data, n_resamples=200)
        missing = np.isnan(found.resampled[:, 0])
        counts = bootstrap_counts(20, 200, np.random.default_rng(0))
        np.testing.assert_array_equal(missing, counts[:, 0] == 0)
        kept = found.resampled[~missing, 0]
        assert found.se[0] == pytest.approx(np.sqrt(kept.var(ddof=1) * 20 / 19))
        assert 0.0 < found.p_zero[0] < 1.0

    def test_too_few_resamples_with_a_score(self):
        model = np.zeros(190)
        model[0] = 1.0  # one pair: it occurs in some 40 % of the resamples
        models, data = world(n=20)
        with pytest.raises(ValueError, match="model 1, or the data, is constant in most resamples"):
            evaluate(np.stack([models[0], model, models[1]]), data, n_resamples=200)

    @pytest.mark.parametrize("n", [2, 3, 4])
    def test_too_few_stimuli(self, n):
        x = np.random.default_rng(0).random((2, n * (n - 1) // 2))
        x[:, 0] += 1.0
        with pytest.raises(ValueError, match=f"{n} stimuli are too few|RDM 0 is constant"):
            evaluate(x, x)

    def test_five_stimuli_suffice(self):
        x = np.random.default_rng(0).random((2, 10))
        assert np.isfinite(evaluate(x, x, n_resamples=50).p_zero).all()

    def test_other_stimuli(self):
        with pytest.raises(ValueError, match="models have 15 stimuli, the data 20"):
            evaluate(world(n=15)[0], world(n=20)[1])

    @pytest.mark.parametrize("n_resamples", [-1, 0, 1])
    def test_too_few_resamples(self, n_resamples):
        with pytest.raises(ValueError, match=f"n_resamples={n_resamples}"):
            evaluate(*world(), n_resamples=n_resamples)

    @pytest.mark.parametrize("where", [0, 1])
    def test_bad_rdms_are_named(self, where):
        inputs = world()
        inputs[where][1, 4] = np.nan
        with pytest.raises(ValueError, match="RDM 1 has a NaN"):
            evaluate(*inputs)
        inputs[where][1] = 0.5
        with pytest.raises(ValueError, match="RDM 1 is constant"):
            evaluate(*inputs)

    def test_unknown_comparator(self):
        with pytest.raises(ValueError, match="'tau' is unknown"):
            evaluate(*world(), "tau")


class TestProgress:
    def test_is_told_of_every_resample(self):
        seen = []

        def track(done, total):
            assert total == 25
            for item in done:
                seen.append(item)
                yield item

        evaluate(*world(), n_resamples=25, track=track)
        assert len(seen) == 25

    def test_an_interruption_gets_through(self):
        def track(done, total):
            yield next(iter(done))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            evaluate(*world(), n_resamples=500, track=track)
