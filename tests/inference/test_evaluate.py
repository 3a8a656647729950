"""Scores, bootstrap, intervals and tests of models against data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import squareform

from probe.inference import evaluate, holm, noise_ceiling
from probe.inference.resampling import Units, bootstrap_counts, resampled_scores
from probe.inference.variance import schuett2023_variance, stimulus_variance
from probe.similarity import COMPARATORS, RDMs, compare, rdm, whitened
from probe.similarity.pairs import Pairs

NAMES = tuple(COMPARATORS)
CORRELATED = 0.5 * np.eye(15) + 0.5
FIELDS = ("scores", "mean", "se", "ci_low", "ci_high", "p_zero", "p_zero_fdr", "p_zero_holm")


def world(seed=0, n=15, n_models=3, n_subjects=2):
    """Models and subjects; model 0 resembles the data most, the last not at all."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 6))
    data = [rdm(shared + rng.normal(size=(n, 6))) for _ in range(n_subjects)]
    noise = [*np.linspace(0.3, 2.0, n_models - 1), 1e6]
    models = [rdm(shared + level * rng.normal(size=(n, 6))) for level in noise]
    return np.stack(models), np.stack(data)


def draws(seed, n, n_subjects, n_resamples):
    """What `evaluate` draws: stimuli, subjects, permutations of the stimuli."""
    of_samples, of_tests = np.random.default_rng(seed).spawn(2)
    of_stimuli, of_subjects = of_samples.spawn(2)
    counts = bootstrap_counts(n, n_resamples, of_stimuli)
    subjects = of_subjects.multinomial(n_subjects, [1 / n_subjects] * n_subjects, size=n_resamples)
    orders = of_tests.permuted(np.tile(np.arange(n), (n_resamples, 1)), axis=1)
    return counts, subjects, orders


@pytest.mark.parametrize("name", NAMES)
def test_every_number_by_hand(name):
    models, data = world()
    found = evaluate(models, data, name, n_resamples=60, seed=3)
    np.testing.assert_allclose(found.scores, compare(models, data, name), rtol=1e-12)
    np.testing.assert_allclose(found.mean, found.scores.mean(axis=1))
    assert found.ceiling == pytest.approx(noise_ceiling(data, name), abs=1e-12)
    assert found.resampled.shape == (60, 3)
    assert (found.dof == 14).all()
    counts, _, orders = draws(3, 15, 2, 60)
    c = COMPARATORS[name]
    prepared = c.prepare(models), c.prepare(data)
    left_out = [c.similarity(*prepared, 1 - row).mean(axis=1) for row in np.eye(15, dtype=int)]
    boot = [c.similarity(*prepared, row).mean(axis=1) for row in counts]
    np.testing.assert_allclose(found.resampled, boot, atol=1e-12)
    se = np.sqrt(stimulus_variance(np.array(left_out), np.array(boot), counts))
    np.testing.assert_allclose(found.se, se, rtol=1e-8)
    half = stats.t(14).ppf(0.975) * se
    np.testing.assert_allclose(found.ci_low, np.maximum(found.mean - half, -1.0))
    np.testing.assert_allclose(found.ci_high, np.minimum(found.mean + half, 1.0))
    upper = np.triu_indices(15, 1)
    by_chance = [
        compare(models, np.stack([squareform(d)[np.ix_(o, o)][upper] for d in data]), name)
        for o in orders
    ]
    as_good = (np.mean(by_chance, axis=2) >= found.mean - 1e-12).sum(axis=0)
    np.testing.assert_allclose(found.p_zero, (as_good + 1) / 61)
    np.testing.assert_array_equal(found.p_zero_holm, holm(found.p_zero))
    np.testing.assert_array_equal(
        found.p_zero_fdr, stats.false_discovery_control(found.p_zero, method="bh")
    )
    difference = (
        np.subtract(*np.array(left_out)[:, [0, 2]].T),
        np.subtract(*np.array(boot)[:, [0, 2]].T),
    )
    se = np.sqrt(stimulus_variance(*difference, counts))
    assert found.difference_se[0, 2] == pytest.approx(se, rel=1e-8)
    t = (found.mean[0] - found.mean[2]) / se
    assert found.p_pairs[2, 0] == pytest.approx(2 * stats.t.sf(abs(t), 14), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_resamples_are_those_of_the_repeated_stimuli(name):
    models, data = world()
    counts = draws(3, 15, 2, 20)[0]
    drawn = np.repeat(np.arange(15), counts[7])
    rows, columns = np.triu_indices(15, 1)
    different = drawn[rows] != drawn[columns]
    i, j = drawn[rows[different]], drawn[columns[different]]
    c = COMPARATORS[name]
    scores = resampled_scores(c.prepare(models), c.prepare(data), c, counts)[0]
    if name in ("spearman", "rho-a", "pearson", "cosine", "tau-a", "tau-b"):
        by_hand = [
            [_plain(squareform(m)[i, j], squareform(d)[i, j], name) for d in data] for m in models
        ]
        np.testing.assert_allclose(scores[7], by_hand, atol=1e-12)
    resampled = evaluate(models, data, name, n_resamples=20, seed=3).resampled
    np.testing.assert_array_equal(resampled, scores.mean(axis=2))


def _plain(x, y, name):
    if name == "cosine":
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    if name == "pearson":
        return np.corrcoef(x, y)[0, 1]
    if name.startswith("tau"):
        # Of so many distances hardly two of different pairs are tied, but copies are.
        agree = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
        n = len(x)
        return stats.kendalltau(x, y).statistic if name == "tau-b" else agree.sum() / (n * (n - 1))
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
    # Copies of a pair are ties, which keep rho-a and tau-a of a resample a little below 1.
    ties = {"rho-a": 0.005, "tau-a": 0.05}
    assert found.ci_low[0] == pytest.approx(1.0, abs=ties.get(name, 1e-6))
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
        module = sys.modules["probe.inference.resampling"]
        results = []
        for n_threads in (1, 7):
            monkeypatch.setattr(module, "n_threads", lambda n=n_threads: n)
            results.append(evaluate(*world(n=40), name, n_resamples=40).resampled.tobytes())
        assert results[0] == results[1]

    @pytest.mark.slow
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

    @pytest.mark.parametrize(
        "design",
        [
            {},
            {"resample": "both"},
            {"resample": "subjects", "test": "sign-flip"},
            {"test": "bootstrap", "variance": "bootstrap"},
            {"resample": None},
        ],
        ids=str,
    )
    def test_of_some_models_is_as_if_there_were_no_others(self, design):
        models, data = world()
        names = [f"model {k}" for k in range(len(models))]
        some = evaluate(models, data, n_resamples=30, names=names, **design).of_models([2, 0])
        alone = evaluate(
            models[[2, 0]], data, n_resamples=30, names=["model 2", "model 0"], **design
        )
        pd.testing.assert_frame_equal(some.table(), alone.table())
        pd.testing.assert_frame_equal(some.pairs(), alone.pairs())
        for field in FIELDS:
            np.testing.assert_allclose(getattr(some, field), getattr(alone, field), rtol=1e-9)


@pytest.mark.slow
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
        counts = draws(0, 20, 2, 200)[0]
        np.testing.assert_array_equal(missing, counts[:, 0] == 0)
        by_bootstrap = evaluate(model, data, n_resamples=200, variance="bootstrap")
        kept = found.resampled[~missing, 0]
        assert by_bootstrap.se[0] == pytest.approx(np.sqrt(kept.var(ddof=1) * 20 / 19))
        # Without that one stimulus there is no score: how far it would vary is not known.
        assert np.isnan(found.se[0])
        assert np.isnan(found.ci_low[0])
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
        with pytest.raises(ValueError, match=f"{n} stimuli are too few|model 0 is constant"):
            evaluate(x, x)

    def test_five_stimuli_suffice(self):
        x = np.random.default_rng(0).random((2, 10))
        assert np.isfinite(evaluate(x, x, n_resamples=50).p_zero).all()

    def test_other_stimuli(self):
        with pytest.raises(ValueError, match="models have 15 stimuli, the data 20"):
            evaluate(world(n=15)[0], world(n=20)[1])

    @pytest.mark.parametrize("n_resamples", [-1, 0, 1])
    def test_too_few_resamples(self, n_resamples):
        with pytest.raises(ValueError, match=f"n_resamples {n_resamples}"):
            evaluate(*world(), n_resamples=n_resamples)

    @pytest.mark.parametrize("where", [0, 1])
    def test_bad_rdms_are_named(self, where):
        inputs = world()
        what = ("model", "subject")[where]
        inputs[where][1] = np.nan
        with pytest.raises(ValueError, match=f"{what} 1 has no distances"):
            evaluate(*inputs)
        inputs[where][1] = 0.5
        with pytest.raises(ValueError, match=f"{what} 1 is constant"):
            evaluate(*inputs)
        inputs[where][1, 3] = np.inf
        with pytest.raises(ValueError, match=f"{what} 1 has an infinite"):
            evaluate(*inputs)

    def test_unknown_comparator(self):
        with pytest.raises(ValueError, match="'tau': expected one of"):
            evaluate(*world(), "tau")


class TestProgress:
    def test_is_told_of_every_resample(self):
        seen = []

        def track(done, total, desc):
            seen.append((desc, total, len(list(done))))
            return ()

        evaluate(*world(), n_resamples=25, track=track)
        assert seen == [("bootstrap", 25, 25), ("jackknife", 15, 15), ("permutations", 25, 25)]

    def test_an_interruption_gets_through(self):
        def track(done, total, desc):
            yield next(iter(done))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            evaluate(*world(), n_resamples=500, track=track)


class TestDesigns:
    """What is resampled, and what that allows to be said."""

    @pytest.mark.parametrize("name", ["pearson", "spearman", "whitened-cosine"])
    def test_subjects_by_hand(self, name):
        models, data = world(n_subjects=6)
        found = evaluate(models, data, name, resample="subjects", test="t", n_resamples=50)
        np.testing.assert_allclose(found.se, stats.sem(found.scores, axis=1))
        assert (found.dof == 5).all()
        expected = stats.ttest_1samp(found.scores, 0.0, axis=1, alternative="greater").pvalue
        if name != "whitened-cosine":  # of which zero is not what unrelated RDMs score
            np.testing.assert_allclose(found.p_zero, expected, rtol=1e-8)
        paired = stats.ttest_rel(found.scores[0], found.scores[1]).pvalue
        assert found.p_pairs[0, 1] == pytest.approx(paired, rel=1e-8)
        others = [noise_ceiling(np.delete(data, s, axis=0), name) for s in range(6)]
        pseudo = 6 * np.array(found.ceiling) - 5 * np.array(others)
        np.testing.assert_allclose(found.ceiling_se, stats.sem(pseudo), rtol=1e-8)
        t = (found.ceiling[0] - found.mean[0]) / stats.sem(pseudo[:, 0] - found.scores[0])
        assert found.p_ceiling[0] == pytest.approx(stats.t.sf(t, 5), rel=1e-6)

    @pytest.mark.parametrize("name", ["pearson", "rho-a", "tau-a"])
    def test_bootstrap_of_both_as_rsatoolbox_has_it(self, name):
        models, data = world(n_subjects=4)
        found = evaluate(models, data, name, resample="both", variance="bootstrap", n_resamples=40)
        counts, subjects, _ = draws(0, 15, 4, 40)
        c = COMPARATORS[name]
        a, b = c.prepare(models), c.prepare(data)
        scores = np.stack([c.similarity(a, b, row) for row in counts])
        both = np.einsum("bms,bs->bm", scores, subjects) / 4
        np.testing.assert_allclose(found.resampled, both, atol=1e-12)
        of_subjects = c.similarity(a, b) @ subjects.T / 4
        of_three = both.T, of_subjects, scores.mean(axis=2).T
        v_b, v_s, v_c = (v.var(axis=1, ddof=1) for v in of_three)
        np.testing.assert_allclose(
            found.se**2, schuett2023_variance(v_b, v_s, v_c, 4, 15), rtol=1e-8
        )
        assert (found.dof == 3).all()

    def test_both_is_wider_than_either(self):
        models, data = world(n_subjects=5)
        both, stimuli = (
            evaluate(models, data, resample=r, n_resamples=200) for r in ("both", "stimuli")
        )
        assert (both.se >= stimuli.se).all()
        assert (both.dof >= 1).all()
        assert (both.dof < 14).any()
        np.testing.assert_array_equal(both.p_zero, stimuli.p_zero)  # the same permutations

    def test_nothing_resampled(self):
        found = evaluate(*world(), resample=None, n_resamples=30)
        assert np.isnan(found.se).all()
        assert np.isnan(found.ci_low).all()
        assert np.isnan(found.p_ceiling).all()
        assert np.isnan(found.p_pairs[0, 1])
        assert np.isfinite(found.p_zero).all()
        assert found.resampled is None

    def test_one_subject_has_no_ceiling(self):
        models, data = world(n_subjects=1)
        found = evaluate(models, data, n_resamples=30)
        assert np.isnan(found.ceiling).all()
        assert np.isnan(found.p_ceiling).all()
        assert np.isfinite(found.p_pairs).all()

    @pytest.mark.parametrize("resample", ["stimuli", "subjects", "both"])
    @pytest.mark.parametrize("test", ["auto", "t", "bootstrap", "sign-flip"])
    def test_all_p_values_are_probabilities(self, resample, test):
        models, data = world(n_subjects=3)
        models[2] = data.mean(axis=0)
        if test == "sign-flip" and resample != "subjects":
            with pytest.raises(ValueError, match="choose resample='subjects'"):
                evaluate(models, data, resample=resample, test=test)
            return
        found = evaluate(models, data, resample=resample, test=test, n_resamples=40)
        for of in ("zero", "ceiling", "pairs"):
            for corrected in ("", "_fdr", "_holm"):
                p = getattr(found, f"p_{of}{corrected}")
                assert ((p > 0) & (p <= 1)).all(), (of, corrected)
        with_cosine = evaluate(models, data, "cosine", resample=resample, test=test, n_resamples=9)
        assert np.isnan(with_cosine.p_zero).all() == (test != "auto"), "unrelated is not zero"
        assert (found.p_pairs.diagonal() == 1).all()
        np.testing.assert_array_equal(found.p_pairs, found.p_pairs.T)
        assert found.mean[2] > found.mean[0] > found.mean[1]
        assert found.p_ceiling[1] < found.p_ceiling[2]

    @pytest.mark.parametrize("resample", ["subjects", "both"])
    def test_two_subjects_are_few_but_allowed(self, resample):
        found = evaluate(*world(n_subjects=2), resample=resample, n_resamples=30)
        assert np.isfinite(found.se).all()
        assert np.isnan(found.p_ceiling).all(), "without one of two, there is no bound"

    def test_tables(self):
        found = evaluate(*world(), n_resamples=30)
        table, pairs = found.table(["a", "b", "c"]), found.pairs()
        assert list(table["model"]) == ["a", "b", "c"]
        np.testing.assert_array_equal(table["p_zero_holm"], found.p_zero_holm)
        assert table["share_of_lower"][0] == pytest.approx(found.mean[0] / found.ceiling[0])
        assert list(pairs["model_b"]) == ["model 1", "model 2", "model 2"]
        assert pairs["difference"][1] == found.mean[0] - found.mean[2]
        with pytest.raises(ValueError, match="2 names for 3 models"):
            found.table(["a", "b"])

    def test_names_are_in_tables_and_errors(self):
        models, data = world()
        named = {"names": ["a", "b", "c"], "subjects": [f"s{k}" for k in range(len(data))]}
        found = evaluate(models, data, n_resamples=30, **named)
        assert list(found.table()["model"]) == ["a", "b", "c"]
        assert found.pairs()["model_b"].tolist() == ["b", "c", "c"]
        constant = models.copy()
        constant[1] = 2.0
        with pytest.raises(ValueError, match=r"^model 'b' is constant"):
            evaluate(constant, data, **named)
        missing = data.copy()
        missing[0] = np.nan
        with pytest.raises(ValueError, match=r"^subject 's0' has no distances"):
            evaluate(models, missing, **named)
        with pytest.raises(ValueError, match="names: expected 3, one for each, not 1"):
            evaluate(models, data, names=["a"])

    def test_it_shows_itself(self):
        found = evaluate(*world(), names=["a", "b", "c"], n_resamples=30)
        assert repr(found).splitlines()[0] == found.title
        assert list(found.summary("holm").columns) == [
            "model", "score", "95 % CI", "p", "p (Holm)", "of ceiling",
        ]  # fmt: skip
        assert found.notes("none")[1].endswith("of 3 pairs of models differ (p < .05).")
        assert "<table" in found._repr_html_()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("resample", ["stimuli", "subjects", "both"])
def test_a_model_does_not_differ_from_itself(name, resample):
    """Not even where sums were rounded otherwise."""
    for seed in range(3):
        models, data = world(seed, n=10, n_models=2, n_subjects=4)
        same = np.stack([models[0], models[0], 3.7 * models[0], models[0]])
        found = evaluate(same, data, name, resample=resample, n_resamples=20)
        np.testing.assert_array_equal(found.p_pairs, 1.0)


def test_subjects_that_are_copies_tell_no_variance():
    models, data = world(n_subjects=1)
    data = np.repeat(data, 4, axis=0)
    found = evaluate(models, data, resample="subjects", test="t", n_resamples=20)
    assert np.isnan(found.p_zero).all()
    assert found.p_pairs[0, 0] == 1.0
    assert np.isnan(found.p_pairs[0, 1])


@pytest.mark.parametrize("name", NAMES)
def test_a_subject_that_some_resamples_leave_constant(name):
    """It has no score there and is in no pool: the same rule for all."""
    models, data = world(n=12)
    i, j = np.triu_indices(12, 1)
    odd = ((i == 0) | (j == 0)).astype(float) + (0.5 if name in ("cosine", "bures") else 0.0)
    data = np.concatenate([data, odd[None]])
    found = evaluate(models, data, name, n_resamples=40)
    assert np.isfinite(found.mean).all()
    assert np.isfinite(found.ceiling).all()
    c = COMPARATORS[name]
    counts = np.ones((2, 12), dtype=int)
    counts[1, 0] = 0
    _, bounds = c.resample(c.prepare(models), c.prepare(data), counts, [np.ones((2, 3))])
    without = c.resample(c.prepare(models), c.prepare(data[:2]), counts, [np.ones((2, 2))])[1]
    if np.isnan(bounds[0, 1, :, 2]).all():
        np.testing.assert_allclose(bounds[0, 1, :, :2], without[0, 1], atol=1e-9)


class TestWhatIsGiven:
    def test_lists_frames_and_integers(self):
        import pandas as pd

        models, data = world()
        expected = evaluate(models, data, n_resamples=10).scores
        for kind in (
            models.tolist(),
            pd.DataFrame(models),
            list(models),
            np.asfortranarray(models),
        ):
            np.testing.assert_array_equal(evaluate(kind, data, n_resamples=10).scores, expected)
        whole = np.round(100 * models).astype(int)
        assert np.isfinite(evaluate(whole, data, n_resamples=10).scores).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n_resamples": 10.0}, "n_resamples 10.0: expected a whole number"),
            ({"seed": None}, "seed None: expected a whole number"),
            ({"seed": -1}, "seed -1: expected a whole number ≥ 0"),
            ({"test": "wald"}, "test 'wald': expected one of auto, permutation"),
            ({"resample": "trials"}, "resample 'trials': expected one of stimuli"),
            ({"variance": "hc3"}, "variance 'hc3': expected one of"),
            ({"groups": [None] * 15}, "groups has no label for stimulus 0"),
            ({"comparator": whitened(CORRELATED)}, "cannot be drawn twice; use resample='subj"),
            ({"cv": 2, "resample": "both"}, "at least three subjects where models are fitted"),
        ],
    )
    def test_what_cannot_be(self, options, message):
        models, data = world()
        with pytest.raises(ValueError, match=re.escape(message)):
            evaluate(models, data, **options)

    def test_nothing(self):
        models, data = world()
        with pytest.raises(ValueError, match="there are no models"):
            evaluate([], data)
        with pytest.raises(ValueError, match="no subjects"):
            evaluate(models, data[:0])
        with pytest.raises(ValueError, match=r"give their distances \(models.distances\)"):
            evaluate(RDMs(models), data)


class TestGroups:
    def test_are_drawn_whole(self):
        models, data = world(n=18)
        groups = np.repeat(list("abcdef"), 3)
        found = evaluate(models, data, "pearson", groups=groups, n_resamples=20)
        counts, _, _ = draws(0, 6, 2, 20)
        c = COMPARATORS["pearson"]
        a, b = c.prepare(models), c.prepare(data)
        by_hand = [c.similarity(a, b, np.repeat(row, 3)).mean(axis=1) for row in counts]
        np.testing.assert_allclose(found.resampled, by_hand, atol=1e-12)
        assert (found.dof == 5).all()

    def test_of_one_stimulus_each_are_no_groups(self):
        models, data = world()
        a = evaluate(models, data, n_resamples=20)
        b = evaluate(models, data, n_resamples=20, groups=range(15))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))

    def test_trade_labels_with_groups_of_their_size(self):
        units = Units.of(Pairs.all(9), [0, 0, 1, 1, 2, 2, 2, 3, 3])
        for order in units.permutations(50, np.random.default_rng(0)):
            assert sorted(order) == list(range(9))
            np.testing.assert_array_equal(order[4:7], [4, 5, 6])
            np.testing.assert_array_equal(order[[1, 3, 8]] - order[[0, 2, 7]], 1)

    def test_errors(self):
        models, data = world()
        with pytest.raises(ValueError, match="groups has 3 labels: expected one for each of 15"):
            evaluate(models, data, groups=[0, 1, 2])
        with pytest.raises(ValueError, match="3 groups of stimuli are too few"):
            evaluate(models, data, groups=np.arange(15) % 3)
        sizes = np.repeat(np.arange(5), [1, 2, 3, 4, 5])
        with pytest.raises(ValueError, match="choose test='t'"):
            evaluate(models, data, groups=sizes)
        assert np.isfinite(
            evaluate(models, data, groups=sizes, test="t", n_resamples=20).p_zero
        ).all()


class TestMissingPairs:
    def test_a_stimulus_that_a_subject_lacks(self):
        models, data = world(n=16)
        kept = np.arange(16) != 3
        i, j = np.triu_indices(16, 1)
        there = kept[i] & kept[j]
        expected = evaluate(models[:, there], data[:, there], n_resamples=30)
        data[1, ~there] = np.nan
        found = evaluate(models, data, n_resamples=30)
        for field in FIELDS:
            np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-9)

    @pytest.mark.parametrize("name", ["pearson", "spearman", "tau-b", "whitened-pearson"])
    def test_single_pairs(self, name):
        models, data = world(n_subjects=3)
        data[2, [0, 17, 44]] = np.nan
        found = evaluate(models, data, name, n_resamples=40)
        np.testing.assert_allclose(found.scores, compare(models, data, name))
        assert np.isfinite(found.se).all()
        assert found.p_zero[0] < 0.05 < found.p_zero[2]
