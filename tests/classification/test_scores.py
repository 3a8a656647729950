"""Accuracies, their intervals, and differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from probe.classification.classifiers import held_out_classes, stratified_splits
from probe.classification.scores import Accuracy, accuracies, choose, differences


@given(counts=st.lists(st.integers(2, 9), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_they_are_scikit_learns(counts, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    predicted = rng.integers(0, len(counts), len(labels))
    accuracy, balanced = accuracies(predicted[:, None] == labels[:, None], labels)
    assert accuracy.value == pytest.approx(accuracy_score(labels, predicted))
    assert balanced.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    for each in (accuracy, balanced):
        assert 0.0 <= each.low <= each.value <= each.high <= 1.0
        assert each.low < each.high


@given(n=st.integers(1, 300), share=st.floats(0, 1))
def test_intervals_are_wilsons(n, share):
    right = round(share * n)
    expected = binomtest(right, n).proportion_ci(0.95, "wilson")
    each = Accuracy.of(right / n, n)
    assert (each.low, each.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_classes_of_different_sizes_the_small_ones_make_the_balanced_interval_wide():
    labels = np.repeat([0, 1], [100, 4])
    accuracy, balanced = accuracies(np.arange(104)[:, None] % 2 == 0, labels)
    assert accuracy.value == balanced.value == 0.5
    assert (balanced.low, balanced.high) == pytest.approx(
        (lambda each: (each.low, each.high))(Accuracy.of(0.5, 4 / (1 / 100 + 1 / 4)))
    )
    assert balanced.high - balanced.low > 2 * (accuracy.high - accuracy.low)


def test_repeats_are_no_further_pictures():
    labels = np.repeat([0, 1], 20)
    once = np.tile([[True], [True], [False], [True]], (10, 1))
    a, _ = accuracies(once, labels)
    b, _ = accuracies(np.repeat(once, 9, axis=1), labels)
    assert (a.low, a.high) == pytest.approx((b.low, b.high))


def test_where_all_is_correct_there_is_an_interval():
    labels = np.repeat([0, 1, 2], 10)
    accuracy, balanced = accuracies(np.ones((30, 2), dtype=bool), labels)
    assert (accuracy.value, accuracy.high) == (1.0, 1.0)
    assert 0.8 < accuracy.low < 0.9
    assert balanced == accuracy


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    a = rng.random((200, 3)) < 0.7
    b = a.copy()
    b[::10] = False  # never better, on the same pictures
    c = rng.random((200, 3)) < 0.7  # on others
    pairs = differences({"a": a, "b": b, "c": c}, labels, 2000, 0)
    assert [pair[:2] for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    (_, _, difference, low, high), (_, _, _, low_c, high_c) = pairs[:2]
    assert difference == pytest.approx(a.mean() - b.mean())
    assert 0 < low < difference < high
    assert high - low < 0.6 * (high_c - low_c)
    assert pairs == differences({"a": a, "b": b, "c": c}, labels, 2000, 0)
    assert pairs != differences({"a": a, "b": b, "c": c}, labels, 2000, 1)
    # Against the closed form: differences of independent answers, one repeat of each picture.
    se = np.sqrt((a.mean() * (1 - a.mean()) + c.mean() * (1 - c.mean())) / 200)
    assert high_c - low_c == pytest.approx(2 * 1.96 * se, rel=0.1)


def test_the_accuracy_of_what_was_chosen_is_not_that_of_the_best():
    """Of layers that all guess, the best one looks better than chance; the chosen one does not."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    layers = {str(k): rng.random((40, 1)) < 0.5 for k in range(50)}
    best = max(right.mean() for right in layers.values())
    choice = choose(layers, labels, 0)
    assert best > 0.6
    assert choice.accuracy < best - 0.05
    assert choose({"a": layers["0"]}, labels, 0).share == 1.0


@pytest.mark.slow
def test_intervals_hold_the_expected_accuracy():
    """Of Gaussian classes: the accuracy of a new picture after training on as many pictures."""
    n_per_class, n_classes, d = 15, 4, 30
    centres = np.random.default_rng(1).normal(size=(n_classes, d)) * 0.45
    labels = np.repeat(np.arange(n_classes), n_per_class)
    others = np.repeat(np.arange(n_classes), 50)
    held, expected = {"linear": [], "knn": []}, {"linear": [], "knn": []}
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        features = centres[labels] + rng.normal(size=(len(labels), d))
        new = centres[others] + rng.normal(size=(len(others), d))
        splits = stratified_splits(labels, 5, 3, seed)
        first = splits[0]
        whole = np.concatenate([features[first.training], new])
        of_whole = np.concatenate([labels[first.training], others])
        n = len(first.training)
        outside = [type(first)(0, np.arange(n), np.arange(n, len(whole)))]
        for name, predicted in held_out_classes(features, labels, splits, 5).items():
            held[name].append(accuracies(predicted == labels[:, None], labels)[0])
        for name, predicted in held_out_classes(whole, of_whole, outside, 5).items():
            expected[name].append((predicted[n:, 0] == others).mean())
    for name, of_classifier in held.items():
        truth = np.mean(expected[name])
        inside = np.mean([each.low <= truth <= each.high for each in of_classifier])
        assert inside >= 0.86  # of 95 %: folds share training pictures
