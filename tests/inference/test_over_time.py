"""Scores over time: equal to those at each time, and clusters that err as often as they say."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from probe.inference import evaluate, evaluate_over_time, latencies
from probe.inference.over_time import (
    Z_OF_CLUSTERS,
    largest_masses,
    peaks_of,
    permutation_clusters,
    permuted_curves,
)
from probe.similarity import get_comparator, rdm
from probe.similarity.rdms import n_conditions

N, T, M = 14, 9, 3


def noise(rng, n_times, n_subjects, n=N, n_neuroids=8):
    """RDMs (time, subject, pair) of noise that lasts."""
    white = rng.standard_normal((n_times + 2, n_subjects, n, n_neuroids))
    smooth = white[:-2] + white[1:-1] + white[2:]
    return np.stack([[rdm(x, "euclidean") for x in at] for at in smooth])


@pytest.fixture(scope="module")
def curves():
    """Models, and data that hold the first at one time and the second at another."""
    rng = np.random.default_rng(3)
    patterns = rng.standard_normal((M, N, 8))
    models = np.stack([rdm(p, "euclidean") for p in patterns])
    weights = np.zeros((T, M))
    weights[2:5, 0] = 0.5, 1.5, 0.5
    weights[5:8, 1] = 0.5, 1.5, 0.5
    data = np.empty((T, 2, len(models[0])))
    for t in range(T):
        for s in range(2):
            signal = np.tensordot(weights[t], patterns, 1)
            data[t, s] = rdm(signal + 0.6 * rng.standard_normal((N, 8)), "euclidean")
    return models, data


@pytest.mark.parametrize("name", ["spearman", "rho-a", "pearson", "cosine", "tau-b", "bures"])
def test_scores_are_those_of_each_time(curves, name):
    models, data = curves
    found = evaluate_over_time(models, data, name, n_resamples=20)
    assert found.scores.shape == (M, T, 2)
    for t in range(T):
        alone = evaluate(models, data[t], name, n_resamples=20, resample=None)
        np.testing.assert_allclose(found.scores[:, t], alone.scores, atol=1e-12)
        np.testing.assert_allclose(found.ceiling[:, t], alone.ceiling, atol=1e-12)


def test_scores_are_those_of_scipy(curves):
    models, data = curves
    found = evaluate_over_time(models, data, "spearman", n_resamples=2)
    expected = [
        [[stats.spearmanr(m, data[t, s])[0] for s in range(2)] for t in range(T)] for m in models
    ]
    np.testing.assert_allclose(found.scores, expected, atol=1e-12)


def test_scores_are_those_of_rsatoolbox():
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 10, T))  # observation × channel × time, as it has them
    models = np.stack([pdist(rng.standard_normal((N, 5)), "correlation") for _ in range(M)])
    dataset = rsatoolbox.data.TemporalDataset(
        x, obs_descriptors={"stimulus": np.arange(N)}, time_descriptors={"time": np.arange(T)}
    )
    rdms = rsatoolbox.rdm.calc_rdm_movie(dataset, method="correlation", descriptor="stimulus")
    theirs = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(models), rdms, method="spearman")
    ours = np.stack([rdm(x[:, :, t]) for t in range(T)])[:, None]
    found = evaluate_over_time(models, ours, "spearman", n_resamples=2)
    np.testing.assert_allclose(found.mean, theirs, atol=1e-12)


@pytest.mark.parametrize("resample", ["stimuli", "subjects"])
@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_intervals_are_those_of_each_time(curves, name, resample):
    models, data = curves
    found = evaluate_over_time(models, data, name, resample=resample, n_resamples=60, seed=5)
    for t in range(T):
        alone = evaluate(models, data[t], name, resample=resample, n_resamples=60, seed=5)
        np.testing.assert_allclose(found.ci_low[:, t], alone.ci_low, atol=1e-10)
        np.testing.assert_allclose(found.ci_high[:, t], alone.ci_high, atol=1e-10)


@pytest.mark.parametrize("name", ["spearman", "cosine", "tau-a", "whitened-pearson"])
def test_permutations_are_those_of_each_time(curves, name):
    models, data = curves
    chosen = get_comparator(name)
    a, b = chosen.prepare(models), chosen.prepare(data.reshape(T * 2, -1))
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(np.arange(N), (6, 1)), axis=1)
    found = permuted_curves(a, b, chosen, orders, T)
    for t in range(T):
        expected = chosen.permuted_scores(a, chosen.prepare(data[t]), orders)
        np.testing.assert_allclose(found[:, :, t], expected, atol=1e-12)


def test_peaks_and_clusters_are_where_they_were_put(curves):
    models, data = curves
    found = evaluate_over_time(models, data, n_resamples=200, seed=1)
    assert found.peaks[:2].tolist() == [3, 6]
    times = 5.0 + 10 * np.arange(T)
    first, second, _ = latencies(found.peaks, found.resampled_peaks, times)
    assert first[0] == 35.0
    assert first[1] <= 35.0 <= first[2] < second[1] <= 65.0 <= second[2]
    assert first[2] - first[1] <= 20
    significant = [(m, a, b) for m, a, b, p in found.clusters if p < 0.05]
    assert [m for m, _, _ in significant] == [0, 1]
    assert all(a <= t <= b for (_, a, b), t in zip(significant, (3, 6), strict=True))
    assert found.p[0, 3] < 0.05 < found.p[2].min()
    np.testing.assert_array_equal(found.p[2, [0]], 1.0)
    again = evaluate_over_time(models, data, n_resamples=200, seed=1)
    np.testing.assert_array_equal(found.resampled_peaks, again.resampled_peaks)
    np.testing.assert_array_equal(found.p, again.p)


def by_hand(z, threshold):
    best = running = 0.0
    for value in z:
        running = running + value if value > threshold else 0.0
        best = max(best, running)
    return best


def test_masses_by_hand():
    z = np.random.default_rng(0).standard_normal((5, 4, 30)) * 2
    found = largest_masses(z, 1.0)
    np.testing.assert_allclose(found, np.apply_along_axis(by_hand, -1, z, 1.0))
    assert largest_masses(np.zeros((2, 3)), 1.0).tolist() == [0.0, 0.0]


def test_p_of_clusters_by_hand():
    rng = np.random.default_rng(2)
    by_chance = rng.standard_normal((49, 2, 12))
    observed = rng.standard_normal((2, 12))
    observed[1, 4:8] += 2.5
    both = np.concatenate([observed[None], by_chance])
    z = (both - both.mean(axis=0)) / both.std(axis=0)
    largest = [max(by_hand(curve, Z_OF_CLUSTERS) for curve in one) for one in z]
    found = permutation_clusters(observed, by_chance)
    assert any(model == 1 and first <= 5 <= last for model, first, last, _ in found)
    for model, first, last, p in found:
        mass = z[0, model, first : last + 1].sum()
        assert (z[0, model, first : last + 1] > Z_OF_CLUSTERS).all()
        assert p == pytest.approx(np.mean(np.array(largest) >= mass - 1e-9))


def test_a_permutation_without_a_score_counts_against_the_model():
    observed = np.array([[0.0, 3.0, 0.0]])
    by_chance = np.random.default_rng(0).standard_normal((19, 1, 3)) * 0.1
    assert [c[3] for c in permutation_clusters(observed, by_chance)] == [1 / 20]
    by_chance[:3, 0, 1] = np.nan
    assert [c[3] for c in permutation_clusters(observed, by_chance)] == [4 / 20]


@pytest.mark.slow
@pytest.mark.parametrize("n_subjects", [1, 3])
def test_false_positives_of_label_permutations(n_subjects):
    """Of models that say nothing of data that last, 5 % have a cluster somewhere."""
    rng = np.random.default_rng(n_subjects)
    chosen = get_comparator("spearman")
    n, n_simulations, found = 10, 300, 0
    for _ in range(n_simulations):
        models = np.stack([rdm(rng.standard_normal((n, 4)), "euclidean") for _ in range(2)])
        data = noise(rng, 12, n_subjects, n, 4).reshape(12 * n_subjects, -1)
        a, b = chosen.prepare(models), chosen.prepare(data)
        orders = rng.permuted(np.tile(np.arange(n), (59, 1)), axis=1)
        observed = chosen.similarity(a, b).reshape(2, 12, n_subjects).mean(axis=2)
        clusters = permutation_clusters(observed, permuted_curves(a, b, chosen, orders, 12))
        found += any(p <= 0.05 for *_, p in clusters)
    low, high = stats.binom.interval(0.998, n_simulations, 0.05)
    assert low <= found <= high


def test_signs_of_subjects(curves):
    models, _ = curves
    rng = np.random.default_rng(0)
    data = noise(rng, 6, 8)
    data[2:5] += 3.0 * models[0] / models[0].std()
    found = evaluate_over_time(models, data, resample="subjects", n_resamples=300)
    significant = [(m, a, b) for m, a, b, p in found.clusters if p < 0.05]
    assert significant[0] == (0, 2, 4)
    # All signs alike is the one of 256 flips with such a mass, with or without another model.
    assert min(p for *_, p in found.clusters) == pytest.approx(1 / 256)


def test_unknown_pairs_are_left_out_at_all_times(curves):
    models, data = curves
    lacking = data.copy()
    lacking[4, 1, 7] = np.nan
    kept = np.arange(data.shape[-1]) != 7
    found = evaluate_over_time(models, lacking, n_resamples=10)
    expected = [[stats.spearmanr(m[kept], data[t, 0, kept])[0] for t in range(T)] for m in models]
    np.testing.assert_allclose(found.scores[:, :, 0], expected, atol=1e-12)
    assert n_conditions(data.shape[-1]) == N


def test_peaks_without_a_value():
    curves = np.full((2, 1, 3), np.nan)
    curves[1, 0, 2] = -1.0
    assert peaks_of(curves).tolist() == [[-1], [2]]
    found = latencies(np.array([2]), peaks_of(curves), np.array([10.0, 20.0, 30.0]))
    assert found.tolist() == [[30.0, 30.0, 30.0]]
    assert np.isnan(latencies(np.array([2]), np.empty((0, 1), int), np.arange(3.0))[0, 1:]).all()


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (lambda d: d[:, :1], {"resample": "subjects"}, "one subject"),
        (lambda d: d[:, :, :6], {}, "models have 14 stimuli, the data 4"),
        (lambda d: np.zeros_like(d), {}, "is constant"),
        (lambda d: d * np.inf, {}, "infinite distance"),
    ],
)
def test_what_cannot_be_scored(curves, change, options, reason):
    models, data = curves
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=reason):
        evaluate_over_time(models, change(data), n_resamples=5, **options)


def test_too_few_stimuli():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="4 stimuli are too few"):
        evaluate_over_time(rng.random((1, 6)), rng.random((3, 1, 6)), n_resamples=5)
